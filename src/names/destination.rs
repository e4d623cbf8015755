//! Whose an outside end is.

use std::net::IpAddr;

use ring::digest;
use serde::{Deserialize, Serialize};

use super::name::Name;
use crate::net::Addr;

/// The owner of an outside end: a registrable domain where it has a name, else an autonomous system where
/// one is known, else its address.
///
/// The same sixteen bytes name the same owner in every run and on every sensor. What is no address is
/// written as one that multicast has (`ff00::/8`, RFC 4291), which no outside end can be: behind it 120 bits
/// of the domain's SHA-256, or the number of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination(Addr);

impl Destination {
    /// An owner of whom nothing but an address is known.
    pub const fn of_address(addr: Addr) -> Self {
        Self(addr)
    }

    /// The owner of a registrable domain, in lower case.
    pub fn of_domain(domain: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, domain.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        bytes[0] = OWNED;
        bytes[1] &= !SYSTEM;
        Self(Addr::from_v6(bytes))
    }

    /// An autonomous system (RFC 6793).
    pub const fn of_system(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self(Addr::from_v6([OWNED, SYSTEM, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]))
    }

    /// Reads a destination as it is written in alerts and profiles: an address, `AS` and a number, a domain,
    /// or what is left of one whose text was forgotten.
    pub fn of_key(key: &str) -> Option<Self> {
        if let Ok(addr) = key.parse::<IpAddr>() {
            return Some(Self::of_address(addr.into()));
        }
        if let Some(number) = key.strip_prefix("AS") {
            return number.parse().ok().map(Self::of_system);
        }
        if let Some(digest) = key.strip_prefix(FORGOTTEN) {
            let bits = u128::from_str_radix(digest, 16).ok().filter(|bits| bits >> 120 == 0)?;
            let owned = (u128::from(OWNED) << 120) | bits;
            return Some(Self(Addr::from_v6(owned.to_be_bytes())));
        }
        let name = Name::of(key.as_bytes()).filter(|name| name.is_valid() && name.as_str() == key);
        name.map(|_| Self::of_domain(key))
    }

    /// The address, of an owner known by nothing else.
    pub fn address(self) -> Option<Addr> {
        (self.first() >> 8 != u64::from(OWNED)).then_some(self.0)
    }

    /// The number of the autonomous system, where that is the owner.
    pub fn system(self) -> Option<u32> {
        (self.first() == u64::from(OWNED) << 8 | u64::from(SYSTEM))
            .then_some(self.0.halves()[1] as u32)
    }

    /// The same as one number.
    pub const fn to_bits(self) -> u128 {
        self.0.to_bits()
    }

    fn first(self) -> u64 {
        self.0.halves()[0] >> 48
    }
}

/// What stands before the digest of a domain whose text was forgotten.
pub(super) const FORGOTTEN: &str = "domain-";

/// First byte of all that is no address, and the bit of the second that systems have and domains have not.
const OWNED: u8 = 0xff;
const SYSTEM: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_each_kind_stay_apart() {
        let address = Addr::from_v4([203, 0, 113, 9]);
        let address = (Destination::of_address(address), Some(address), None);
        let system = (Destination::of_system(64_500), None, Some(64_500));
        let domain = (Destination::of_domain("files.example"), None, None);
        for (destination, address, number) in [address, system, domain] {
            assert_eq!((destination.address(), destination.system()), (address, number));
        }
        assert_eq!(Destination::of_domain("files.example"), domain.0);
        assert_ne!(Destination::of_domain("file.example"), domain.0);
        // No domain is taken for a system, whatever its digest begins with.
        let is_system =
            |n: u32| Destination::of_domain(&format!("d{n}.example")).system().is_some();
        assert!(!(0..10_000).any(is_system));
    }
}
