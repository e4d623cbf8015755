//! Sizes and spans of time as people write them: `25MB`, `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written `25MB` (10^6), `25MiB` (2^20), `1.5GB`, or as a plain number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A length of time, written `90s`, `15m`, `1h30m`, `2d`, `500ms`; units fall from left to right.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// Why a text is not a size or a length of time; says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct UnitError {
    message: String,
    remedy: String,
}

impl UnitError {
    fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }

    /// What is wrong, without the remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let shown = super::quoted(text);
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let unit = unit.trim_start();
        let Some(scale) = scale_of(unit) else {
            return Err(bad_size_unit(&shown, number, unit));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let malformed = whole.is_empty() || fraction.contains('.') || number.ends_with('.');
        if malformed {
            return Err(UnitError::new(format!("{shown} is not a size"), SIZE_EXAMPLES));
        }
        let too_large =
            || UnitError::new(format!("{shown} is too large"), "write less than 16EiB".to_owned());
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let bytes = scale.checked_mul(whole).ok_or_else(too_large)?;
        let part = part_of(scale, fraction).ok_or_else(|| {
            UnitError::new(format!("{shown} is not a whole number of bytes"), SIZE_EXAMPLES)
        })?;
        bytes.checked_add(part).map(Self).ok_or_else(too_large)
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that says it exactly, SI before binary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS
            .iter()
            .filter(|&&(_, scale)| self.0 != 0 && self.0.is_multiple_of(scale))
            .max_by_key(|&&(_, scale)| scale);
        match exact {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let shown = super::quoted(text);
        let wrong = |why: &str| UnitError::new(format!("{shown} {why}"), PERIOD_EXAMPLES);
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong("is not a length of time"));
        }
        let mut total = Duration::ZERO;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let after = after.trim_start();
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            if number.is_empty() {
                return Err(wrong("is not a length of time"));
            }
            if unit.is_empty() {
                return Err(wrong("has no unit"));
            }
            let Some(&(_, millis)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(wrong("has a unit that is none of d, h, m, s, ms"));
            };
            if millis >= smallest {
                return Err(wrong("does not go from the larger unit to the smaller"));
            }
            smallest = millis;
            let part = number.parse::<u64>().ok().and_then(|count| count.checked_mul(millis));
            total = part
                .and_then(|part| total.checked_add(Duration::from_millis(part)))
                .ok_or_else(|| wrong("is too long"))?;
            rest = after.trim_start();
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Period {
    /// As it is written, to the millisecond: `1h30m`; no time at all is `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in TIME_UNITS {
            if left >= millis {
                write!(f, "{}{unit}", left / millis)?;
                left %= millis;
            }
        }
        Ok(())
    }
}

/// Bytes in one of `unit`; none is bytes.
fn scale_of(unit: &str) -> Option<u64> {
    match unit {
        "" | "B" => Some(1),
        // The SI symbol for kilo is small; both are written.
        "kB" => Some(1000),
        unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, scale)| scale),
    }
}

/// `0.fraction` of `scale`, if that is a whole number.
fn part_of(scale: u64, fraction: &str) -> Option<u64> {
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Some(0);
    }
    let digits = u32::try_from(fraction.len()).ok()?;
    let tens = 10u128.checked_pow(digits)?;
    let product = fraction.parse::<u128>().ok()?.checked_mul(u128::from(scale))?;
    if !product.is_multiple_of(tens) {
        return None;
    }
    u64::try_from(product / tens).ok()
}

fn bad_size_unit(shown: &str, number: &str, unit: &str) -> UnitError {
    if number.is_empty() {
        return UnitError::new(format!("{shown} is not a size"), SIZE_EXAMPLES);
    }
    // 25Mb is read as megabits by some and typed for megabytes by others: eight times apart.
    if let Some(prefix) = unit.strip_suffix('b').filter(|prefix| prefix.len() <= 2) {
        let meant = format!("{}B", prefix.to_ascii_uppercase().replace('I', "i"));
        if scale_of(&meant).is_some() {
            return UnitError::new(
                format!("{shown} may mean bits or bytes"),
                format!("write {number}{meant} for bytes"),
            );
        }
    }
    UnitError::new(format!("{shown} has an unknown unit"), SIZE_EXAMPLES)
}

const SIZE_EXAMPLES: &str = "write a size like 25MB (10^6 bytes) or 25MiB (2^20 bytes)";
const PERIOD_EXAMPLES: &str = "write a length of time like 90s, 15m, 1h30m or 2d";

const SIZE_UNITS: [(&str, u64); 10] = [
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like 25MB or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom(format_args!("{bytes} is not a size; {SIZE_EXAMPLES}")))
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^\s*\d+(\.\d+)?\s*(B|[kKMGTP]B|[KMGTP]iB)?\s*$",
            "description": "size: 25MB is 25 * 10^6 bytes, 25MiB is 25 * 2^20, a plain number is bytes"
        })
    }
}

impl schemars::JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*(\d+\s*(d|h|ms|m|s)\s*)+$",
            "description": "length of time: 90s, 15m, 1h30m, 2d, 500ms"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        for (text, bytes) in [
            ("25MB", 25_000_000),
            ("25MiB", 25 << 20),
            ("25 MiB", 25 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("64kB", 64_000),
            ("512", 512),
            ("512B", 512),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn size_errors_say_what_to_write() {
        for (text, message) in [
            ("25Mb", "`25Mb` may mean bits or bytes; write 25MB for bytes"),
            ("25mib", "`25mib` may mean bits or bytes; write 25MiB for bytes"),
            ("25 megs", "`25 megs` has an unknown unit; write a size like"),
            ("MB", "`MB` is not a size; write a size like"),
            ("", "`` is not a size; write a size like"),
            ("-1MB", "`-1MB` is not a size; write a size like"),
            ("1.2.3MB", "`1.2.3MB` is not a size; write a size like"),
            ("0.3B", "`0.3B` is not a whole number of bytes; write a size like"),
            ("99999999PB", "`99999999PB` is too large; write less than 16EiB"),
        ] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn periods_add_up() {
        for (text, secs) in [
            ("15m", 900),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("90s", 90),
            ("2d", 172_800),
            ("1d1h1m1s", 90_061),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(secs))), "{text}");
        }
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
    }

    #[test]
    fn period_errors_say_what_to_write() {
        for (text, message) in [
            ("15", "`15` has no unit; write a length of time like 90s, 15m, 1h30m or 2d"),
            ("30m1h", "`30m1h` does not go from the larger unit to the smaller;"),
            ("1h30", "`1h30` has no unit;"),
            ("5min", "`5min` has a unit that is none of d, h, m, s, ms;"),
            ("soon", "`soon` is not a length of time;"),
            ("1.5h", "`1.5h` has no unit;"),
            ("", "`` is not a length of time;"),
            ("999999999999999999999d", "`999999999999999999999d` is too long;"),
        ] {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64, millis in 0..u64::from(u32::MAX)) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
            let period = Period(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.]{0,30} ?[a-zA-Z]{0,4}") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Period>();
        }
    }
}
