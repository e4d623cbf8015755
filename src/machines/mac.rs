//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit hardware address of one interface (IEEE 802), never zero and never a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Reads one; `None` for zero and for addresses of groups, which no interface has.
    pub fn of(bytes: [u8; 6]) -> Option<Self> {
        (bytes != [0; 6] && bytes[0] & GROUP == 0).then_some(Self(bytes))
    }

    /// The address as one number.
    pub fn to_bits(self) -> u128 {
        let [a, b, c, d, e, g] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, g]).into()
    }

    /// Does it stand for whichever router is up? VRRP (RFC 9568, section 7.3) and HSRP (RFC 2281).
    pub fn is_virtual_router(self) -> bool {
        matches!(self.0, [0, 0, 0x5e, 0, 1 | 2, _] | [0, 0, 0x0c, 0x07, 0xac, _])
    }
}

impl FromStr for Mac {
    type Err = NoMac;

    /// Six bytes in hexadecimal digits, two each, with colons between them.
    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let is_byte = |part: &&str| part.len() == 2 && !part.starts_with('+');
            let part = parts.next().filter(is_byte).ok_or(NoMac)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMac)?;
        }
        if parts.next().is_some() {
            return Err(NoMac);
        }
        Self::of(bytes).ok_or(NoMac)
    }
}

/// What is no hardware address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no hardware address of an interface, as in 02:00:5e:10:00:01")]
pub struct NoMac;

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.0.serialize(serializer)
    }
}

/// Only from its bytes: the text is for readers.
impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 6]>::deserialize(deserializer).map(Self)
    }
}

impl schemars::JsonSchema for Mac {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$",
            "description": "hardware address"
        })
    }
}

const GROUP: u8 = 1;
