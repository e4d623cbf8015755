//! Hardware addresses.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit hardware address of one interface (IEEE 802), never zero and never a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Reads one; `None` for zero and for addresses of groups, which no interface has.
    pub fn of(bytes: [u8; 6]) -> Option<Self> {
        (bytes != [0; 6] && bytes[0] & GROUP == 0).then_some(Self(bytes))
    }

    /// Does it stand for whichever router is up? VRRP (RFC 9568, section 7.3) and HSRP (RFC 2281).
    pub fn is_virtual_router(self) -> bool {
        matches!(self.0, [0, 0, 0x5e, 0, 1 | 2, _] | [0, 0, 0x0c, 0x07, 0xac, _])
    }
}

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
