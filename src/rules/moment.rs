//! Moments as people write them: a day, a time of day in the time zone, or RFC 3339.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime};

use super::problem::Fault;
use crate::time::Timestamp;

/// A moment, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    text: String,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// On the clocks of the time zone.
    Local(DateTime),
    Exact(Timestamp),
}

impl Moment {
    /// Has packet time reached it?
    pub fn is_reached(&self, at: Timestamp, local: DateTime) -> bool {
        match self.when {
            When::Local(when) => local >= when,
            When::Exact(when) => at >= when,
        }
    }

    /// Is it earlier, as far as that can be said without a time zone?
    pub(super) fn is_before(&self, other: &Self) -> bool {
        match (self.when, other.when) {
            (When::Local(one), When::Local(other)) => one < other,
            (When::Exact(one), When::Exact(other)) => one < other,
            (When::Local(_), When::Exact(_)) | (When::Exact(_), When::Local(_)) => false,
        }
    }

    /// The end of something: of a day, its midnight.
    pub(super) fn end(text: &str) -> Result<Self, Fault> {
        Self::parse(text, |date| date.tomorrow().unwrap_or(Date::MAX))
    }

    /// The begin of something: of a day, the midnight before it.
    pub(super) fn begin(text: &str) -> Result<Self, Fault> {
        Self::parse(text, |date| date)
    }

    fn parse(text: &str, of_day: impl FnOnce(Date) -> Date) -> Result<Self, Fault> {
        let text = text.trim();
        let when = if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            u64::try_from(exact.as_nanosecond()).ok().map(Timestamp::from_nanos).map(When::Exact)
        } else if text.len() == DATE.len() {
            text.parse::<Date>().ok().map(|date| When::Local(of_day(date).into()))
        } else {
            text.parse::<DateTime>().ok().map(When::Local)
        };
        match when {
            Some(when) if text.is_ascii() => Ok(Self { text: text.to_owned(), when }),
            Some(_) | None => {
                let message = format!("{} is neither a day nor a time", super::quoted(text));
                Err(Fault::new(
                    message,
                    format!("write {DATE}, 2026-12-31T18:00 or 2026-12-31T09:00:00Z"),
                ))
            }
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl schemars::JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?\s*$",
            "description": "a day, or a time in the time zone, or RFC 3339: 2026-12-31, 2026-12-31T18:00, 2026-12-31T09:00:00Z"
        })
    }
}

const DATE: &str = "2026-12-31";

#[cfg(test)]
mod tests {
    use super::*;

    /// "Until the 31st" holds on the 31st, on the clocks of the office.
    #[test]
    fn a_day_ends_at_its_midnight() {
        let end = Moment::end("2026-03-16").unwrap();
        let begin = Moment::begin("2026-03-16").unwrap();
        let at = |hour, day| jiff::civil::date(2026, 3, day).at(hour, 0, 0, 0);
        let never = Timestamp::EPOCH;
        assert!(!end.is_reached(never, at(23, 16)) && end.is_reached(never, at(0, 17)));
        assert!(!begin.is_reached(never, at(23, 15)) && begin.is_reached(never, at(0, 16)));
        let exact = Moment::end("2026-03-16T09:00:00+09:00").unwrap();
        let midnight = Timestamp::from_secs_nanos(1_773_619_200, 0);
        assert!(exact.is_reached(midnight, at(0, 1)));
        assert!(!exact.is_reached(Timestamp::from_secs_nanos(1_773_619_199, 0), at(0, 31)));
        assert!(Moment::end("2026-03-16T18:30").unwrap().is_reached(never, at(19, 16)));
        assert_eq!(end.to_string(), "2026-03-16");
        for text in ["", "soon", "2026-02-30", "16.03.2026", "2026-3-16", "1900-01-01T00:00:00Z"] {
            assert!(Moment::end(text).is_err(), "{text}");
        }
    }
}
