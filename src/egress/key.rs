//! Whose sums, history and incidents these are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::machines::Mac;
use crate::net::Addr;

/// An inside host: a machine where it is sure which one it is, else an address.
///
/// What a machine has sent stays its own when its address passes on to another. The two kinds are never
/// equal: no address that is forged on the wire can be taken for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKey {
    /// An address that stands alone.
    Address(Addr),
    /// A machine, whatever its addresses are, by the hardware address of its interface.
    Machine(Mac),
}

impl HostKey {
    /// The hardware address of a machine.
    pub fn mac(self) -> Option<Mac> {
        match self {
            Self::Address(_) => None,
            Self::Machine(mac) => Some(mac),
        }
    }

    /// The address of a host that is none but an address.
    pub fn address(self) -> Option<Addr> {
        match self {
            Self::Address(addr) => Some(addr),
            Self::Machine(_) => None,
        }
    }

    /// One number to be hashed. Those of a machine and of a forged address may be equal: compare keys.
    pub(super) fn to_bits(self) -> u128 {
        match self {
            Self::Address(addr) => addr.to_bits(),
            Self::Machine(mac) => !mac.to_bits(),
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => addr.fmt(f),
            Self::Machine(mac) => mac.fmt(f),
        }
    }
}

/// What is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address nor a hardware address as in 02:00:5e:10:00:01")]
pub struct NoHost;

impl FromStr for HostKey {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let address = text.parse::<IpAddr>().map(|ip| Self::Address(ip.into()));
        address.or_else(|_| text.parse().map(Self::Machine)).map_err(|_| NoHost)
    }
}

/// How a key is kept: its kind beside its bytes.
#[derive(Serialize, Deserialize)]
enum Kept {
    Address(Addr),
    Machine(Mac),
}

impl Serialize for HostKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            _ if serializer.is_human_readable() => serializer.collect_str(self),
            Self::Address(addr) => Kept::Address(addr).serialize(serializer),
            Self::Machine(mac) => Kept::Machine(mac).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HostKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        Ok(match Kept::deserialize(deserializer)? {
            Kept::Address(addr) => Self::Address(addr),
            Kept::Machine(mac) => Self::Machine(mac),
        })
    }
}

impl schemars::JsonSchema for HostKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostKey".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let kinds = [generator.subschema_for::<Addr>(), generator.subschema_for::<Mac>()];
        schemars::json_schema!({
            "anyOf": kinds,
            "description": "inside host: IP address, or hardware address of a machine"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = HostKey> {
        let address = any::<[u8; 16]>().prop_map(|bytes| HostKey::Address(Addr::from_v6(bytes)));
        let machine = any::<[u8; 6]>().prop_filter_map("a group's", Mac::of);
        prop_oneof![address, machine.prop_map(HostKey::Machine)]
    }

    proptest! {
        /// A state file and an export name the same hosts.
        #[test]
        fn reads_back_what_it_wrote(key in keys()) {
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            let text = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<HostKey>(&text).unwrap(), key);
            let bytes = rmp_serde::to_vec_named(&key).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<HostKey>(&bytes).unwrap(), key);
        }

        /// The text of a key comes from people, and from files that others wrote.
        #[test]
        fn any_text_is_a_host_or_none(text in "[0-9a-f:.]{0,20}|\\PC{0,8}") {
            if let Ok(key) = text.parse::<HostKey>() {
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
    }
}
