//! Evidence in bits.

use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of evidence in hundredths of a bit.
///
/// A whole number, so that terms add up to their score exactly and an alert at the edge does not
/// depend on the order of an addition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(i32);

impl Bits {
    /// So many whole bits.
    pub const fn whole(bits: i32) -> Self {
        Self(bits * 100)
    }

    /// The nearest hundredth.
    pub fn from_f64(bits: f64) -> Self {
        Self(libm::round(bits * 100.0) as i32)
    }

    /// −log2 of a probability.
    pub fn of_probability(p: f64) -> Self {
        Self::from_f64(-libm::log2(p.clamp(f64::MIN_POSITIVE, 1.0)))
    }

    /// The amount as a fraction.
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Half of it, rounded towards zero.
    #[must_use]
    pub fn half(self) -> Self {
        Self(self.0 / 2)
    }
}

impl Add for Bits {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Bits {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<i32> for Bits {
    type Output = Self;
    fn mul(self, times: i32) -> Self {
        Self(self.0 * times)
    }
}

impl Sum for Bits {
    fn sum<I: Iterator<Item = Self>>(bits: I) -> Self {
        bits.fold(Self::default(), Add::add)
    }
}

impl std::fmt::Display for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1}", self.to_f64())
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::from_f64)
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl schemars::JsonSchema for Bits {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bits".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "description": "evidence in bits, in hundredths" })
    }
}
