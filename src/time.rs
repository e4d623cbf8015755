//! Packet time: the only clock the pipeline knows.
//!
//! Nothing here reads the machine's clock. `now` comes from frames and is an argument everywhere.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of packet time, in nanoseconds since 1970-01-01 UTC; the range ends in the year 2554.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest moment that can be said.
    pub const EPOCH: Self = Self(0);
    /// The latest moment that can be said: "never" for a timer.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `secs` seconds and `nanos` nanoseconds after the epoch, held at the range's end.
    pub const fn from_secs_nanos(secs: u64, nanos: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// This moment as it is written: whole milliseconds, rounded down.
    #[must_use]
    pub const fn to_millis(self) -> Self {
        Self(self.0 - self.0 % 1_000_000)
    }

    /// This moment moved later, held at the range's end.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// This moment moved earlier, held at the epoch.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }

    /// How long after `earlier` this is; zero when it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// RFC 3339 in UTC, with milliseconds unless a precision is asked for.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*}", f.precision().unwrap_or(3), self.to_jiff())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        u64::try_from(moment.as_nanosecond()).map(Self).map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time", "description": "packet time, UTC, RFC 3339"
        })
    }
}

/// The stream's present moment: the latest packet time seen, unless time itself was turned back.
///
/// Frames a little out of order do not move it. A frame more than [`PacketClock::TURN_BACK`] behind
/// means that the recording's own clock was set back (or one broken frame had set it forward):
/// the clock follows, counts it, and whoever holds timers must let them all fire.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct PacketClock {
    now: Timestamp,
    turned_back: u64,
}

/// What a frame's time did to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Time went on, or stood still.
    Forward(Timestamp),
    /// Time was set back by more than an hour.
    Back(Timestamp),
}

impl PacketClock {
    /// How far behind a frame may be and still count as merely out of order.
    pub const TURN_BACK: Duration = Duration::from_secs(3600);

    /// Takes note of a frame's time and says what the time is now.
    pub fn advance(&mut self, at: Timestamp) -> Advance {
        if at.plus(Self::TURN_BACK) < self.now {
            self.now = at;
            self.turned_back += 1;
            return Advance::Back(at);
        }
        self.now = self.now.max(at);
        Advance::Forward(self.now)
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How often time was set back.
    pub fn turned_back(&self) -> u64 {
        self.turned_back
    }
}

/// A calendar day in the operator's time zone, counted from 1970-01-01 there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// Days from `earlier` to this one; negative when it is not later.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = jiff::civil::date(1970, 1, 1);
        match epoch.checked_add(jiff::Span::new().days(self.0)) {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_i32(self.0)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i32::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let date: jiff::civil::Date = text.parse().map_err(de::Error::custom)?;
        let days = jiff::civil::date(1970, 1, 1).until(date).map_err(de::Error::custom)?;
        Ok(Self(days.get_days()))
    }
}

impl schemars::JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date" })
    }
}

/// Turns packet time into days of the operator's time zone; remembers the day it is in.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: jiff::tz::TimeZone,
    day: Day,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new(jiff::tz::TimeZone::UTC)
    }
}

impl Calendar {
    /// A calendar of this time zone.
    pub fn new(zone: jiff::tz::TimeZone) -> Self {
        let (day, starts_at, ends_at) = bounds(&zone, Timestamp::EPOCH);
        Self { zone, day, starts_at, ends_at }
    }

    /// The day that `at` falls on; free of cost while the day stays the same.
    pub fn day(&mut self, at: Timestamp) -> Day {
        if at < self.starts_at || at >= self.ends_at {
            (self.day, self.starts_at, self.ends_at) = bounds(&self.zone, at);
        }
        self.day
    }

    /// What the clocks of the zone show at `at`.
    pub fn local(&self, at: Timestamp) -> jiff::civil::DateTime {
        at.to_jiff().to_zoned(self.zone.clone()).datetime()
    }

    /// The zone's name, as the summary says it aloud.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// The day of `at` in `zone`, with its first moment and the first moment of the next.
fn bounds(zone: &jiff::tz::TimeZone, at: Timestamp) -> (Day, Timestamp, Timestamp) {
    let date = at.to_jiff().to_zoned(zone.clone()).date();
    let first = |date: jiff::civil::Date| {
        date.to_zoned(zone.clone())
            .map_or(0, |start| u64::try_from(start.timestamp().as_nanosecond()).unwrap_or(0))
    };
    let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
    let ends_at = date.tomorrow().map_or(u64::MAX, first);
    (Day(days), Timestamp(first(date)), Timestamp(ends_at))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    /// A night upload in Tokyo must not be cut at 09:00 because the machine thinks in UTC.
    #[test]
    fn days_are_those_of_the_zone() {
        let tokyo = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
        let mut calendar = Calendar::new(tokyo);
        let midnight = 1_773_586_800; // 2026-03-16T00:00:00+09:00
        assert_eq!(calendar.day(at(midnight)).to_string(), "2026-03-16");
        assert_eq!(calendar.day(at(midnight - 1)).to_string(), "2026-03-15");
        assert_eq!(calendar.day(at(midnight + 24 * HOUR - 1)).to_string(), "2026-03-16");
        assert_eq!(calendar.day(at(midnight + 24 * HOUR)).to_string(), "2026-03-17");
    }

    /// Daylight saving makes days of 23 and 25 hours; each is still one day.
    #[test]
    fn days_follow_daylight_saving() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let mut calendar = Calendar::new(berlin);
        let spring = 1_774_738_800; // 2026-03-29T00:00:00+01:00, 23 hours long
        assert_eq!(calendar.day(at(spring + 23 * HOUR - 1)).to_string(), "2026-03-29");
        assert_eq!(calendar.day(at(spring + 23 * HOUR)).to_string(), "2026-03-30");
    }

    #[test]
    fn any_moment_has_a_day_and_a_text() {
        let mut calendar = Calendar::new(jiff::tz::TimeZone::UTC);
        for moment in [Timestamp::EPOCH, at(1), at(u64::from(u32::MAX)), Timestamp::MAX] {
            let day = calendar.day(moment);
            assert!(moment.to_string().starts_with(&day.to_string()), "{moment} {day}");
        }
    }

    /// Alerts show milliseconds, flow records what the capture holds.
    #[test]
    fn a_text_is_as_precise_as_asked() {
        let moment = Timestamp::from_secs_nanos(1_773_626_400, 24_501_999);
        assert_eq!(moment.to_string(), "2026-03-16T02:00:00.024Z");
        assert_eq!(format!("{moment:.6}"), "2026-03-16T02:00:00.024501Z");
    }

    /// One frame from the year 2106 must not stop time for the rest of the file.
    #[test]
    fn clock_survives_a_frame_from_the_future() {
        let mut clock = PacketClock::default();
        assert_eq!(clock.advance(at(100)), Advance::Forward(at(100)));
        assert_eq!(clock.advance(at(99)), Advance::Forward(at(100)));
        assert_eq!(clock.advance(at(4_000_000_000)), Advance::Forward(at(4_000_000_000)));
        assert_eq!(clock.advance(at(101)), Advance::Back(at(101)));
        assert_eq!(clock.advance(at(102)), Advance::Forward(at(102)));
        assert_eq!(clock.turned_back(), 1);
    }
}
