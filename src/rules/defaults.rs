//! `defaults.yaml`: what the operator sets once for everything.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::document::{Fields, Node};
use super::problem::{Fault, Placed, Problem, Problems, nearest};
use super::{ByteSize, Period};

/// Settings of the operator; a flag on the command line goes before them.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Alerts a day that the operator wants to see; above 0, at most 10000.
    pub budget_per_day: f64,
    /// Bytes sent to one destination below which nothing is judged.
    pub floor_bytes: u64,
    /// Silence after which an incident closes.
    pub quiet_after: Duration,
    /// Days within which the same pair re-opens its incident; 0 never does.
    pub reopen_within_days: u32,
    /// Whose days and hours are meant.
    pub timezone: TimeZone,
    /// Days on which nobody is at work, in that time zone.
    pub holidays: BTreeSet<Date>,
    /// Silence after which a TCP flow counts as ended.
    pub tcp_idle: Duration,
    /// Silence after which a UDP flow counts as ended.
    pub udp_idle: Duration,
    /// Silence after which a flow of any other protocol counts as ended.
    pub other_idle: Duration,
    /// How long a closed TCP flow stays known, so that stragglers do not open a new one.
    pub closed_linger: Duration,
}

impl Defaults {
    /// Joins the files of a folder; what none of them says is as shipped.
    pub(super) fn check(
        files: Vec<DefaultsFile>,
        shipped: DefaultsFile,
        problems: &mut Problems,
    ) -> Self {
        let mut all = DefaultsFile::default();
        for file in files {
            all.merge(file, problems);
        }
        // Keys that are there already are kept: no file contradicts what is shipped.
        all.fill(shipped);
        let period = |key: Option<Placed<Period>>| key.map_or(Duration::ZERO, |key| key.value.0);
        Self {
            budget_per_day: all.budget_per_day.map_or(1.0, |key| key.value),
            floor_bytes: all.floor_bytes.map_or(0, |key| key.value.0),
            quiet_after: period(all.quiet_after),
            reopen_within_days: all.reopen_within_days.map_or(0, |key| key.value),
            holidays: all.holidays.into_iter().map(|day| day.value.0).collect(),
            timezone: all.timezone.map_or(TimeZone::UTC, |key| key.value.0),
            tcp_idle: period(all.tcp_idle),
            udp_idle: period(all.udp_idle),
            other_idle: period(all.other_idle),
            closed_linger: period(all.closed_linger),
        }
    }
}

/// The file, its reading and its joining from one list of keys.
macro_rules! defaults_file {
    ($($(#[$meta:meta])* $key:ident: $type:ty = $parse:expr),+ $(,)?) => {
        /// Settings of the operator. Every key may be left out.
        #[derive(Debug, Default, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct DefaultsFile {
            /// What this file holds; needed only when the file has another name than `defaults.yaml`.
            #[expect(dead_code, reason = "read before the rest of the file; here for the schema")]
            kind: Option<super::Kind>,
            /// Days on which nobody is at work: 2026-12-25. Those of all files count.
            #[schemars(default)]
            holidays: Vec<Placed<Holiday>>,
            $($(#[$meta])* $key: Option<Placed<$type>>),+
        }

        impl DefaultsFile {
            pub(super) fn read(node: Node, problems: &mut Problems) -> Self {
                let mut fields = Fields::of(node, "key", problems);
                let kind = super::Kind::take(&mut fields);
                $(let $key = fields.value(stringify!($key), |text| $parse(stringify!($key), text));)+
                let holidays = fields.list("holidays", holiday).unwrap_or_default();
                fields.finish();
                Self { kind, holidays, $($key),+ }
            }

            /// Takes over the keys of another file; a key that both have is a contradiction.
            fn merge(&mut self, other: Self, problems: &mut Problems) {
                self.holidays.extend(other.holidays);
                $(match (&self.$key, other.$key) {
                    (Some(first), Some(second)) => {
                        let message = concat!("`", stringify!($key), "` is set in two files");
                        let fault = Fault::new(message, "keep one of them");
                        problems.push(Problem::at(&second.at, fault).and(&first.at, "first set"));
                    }
                    (None, second) => self.$key = second,
                    (Some(_), None) => {}
                })+
            }

            /// Takes over the keys that are still missing.
            fn fill(&mut self, other: Self) {
                $(self.$key = self.$key.take().or(other.$key);)+
            }

            /// Is every key there?
            #[cfg(test)]
            pub(super) fn is_whole(&self) -> bool {
                $(self.$key.is_some())&&+
            }
        }
    };
}

defaults_file! {
    /// Alerts a day that the operator wants to see, on average. Above 0, at most 10000; fractions
    /// are fine: 0.2 is one in five days. Default: 1.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10000))]
    budget_per_day: f64 = budget,
    /// Bytes sent to one destination below which nothing is judged. 1KiB to 1TiB. Default: 1MiB.
    floor_bytes: ByteSize = |key, text| within(key, text, ByteSize(1 << 10)..=ByteSize(1 << 40)),
    /// Silence after which an incident closes. 1m to 1d. Default: 30m.
    quiet_after: Period = |key, text| within(key, text, secs(60)..=secs(DAY)),
    /// Days within which the same host and destination re-open their incident instead of making
    /// a new one. 0 (never) to 365. Default: 14.
    #[schemars(range(min = 0, max = 365))]
    reopen_within_days: u32 = days,
    /// Time zone of days and working hours, by its IANA name: Asia/Tokyo. Default: UTC.
    timezone: Zone = zone,
    /// Silence after which a TCP flow counts as ended. 1s to 1d. Default: 15m.
    tcp_idle: Period = |key, text| within(key, text, secs(1)..=secs(DAY)),
    /// Silence after which a UDP flow counts as ended. 1s to 1d. Default: 3m.
    udp_idle: Period = |key, text| within(key, text, secs(1)..=secs(DAY)),
    /// Silence after which a flow of another protocol counts as ended. 1s to 1d. Default: 1m.
    other_idle: Period = |key, text| within(key, text, secs(1)..=secs(DAY)),
    /// How long a closed TCP flow stays known, so that late segments do not open a new one.
    /// 0s to 1h. Default: 10s.
    closed_linger: Period = |key, text| within(key, text, secs(0)..=secs(3600)),
}

/// A day on which nobody is at work.
#[derive(Debug, Clone)]
pub(super) struct Holiday(Date);

impl schemars::JsonSchema for Holiday {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Holiday".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date", "description": "day in the time zone: 2026-12-25"
        })
    }
}

fn holiday(text: &str) -> Result<Holiday, Fault> {
    text.trim().parse().map(Holiday).map_err(|_| {
        Fault::new(format!("{} is not a day", super::quoted(text)), "write it like 2026-12-25")
    })
}

/// A time zone by its IANA name.
#[derive(Debug, Clone)]
pub(super) struct Zone(TimeZone);

impl schemars::JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "minLength": 1, "description": "IANA time zone: UTC, Asia/Tokyo"
        })
    }
}

fn budget(key: &str, text: &str) -> Result<f64, Fault> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let Some(number) = number else {
        let message = format!("`{key}` must be a number, found {}", super::quoted(text));
        return Err(Fault::new(message, "write alerts a day, like 1 or 0.2"));
    };
    if number > 0.0 && number <= BUDGET_MAX {
        return Ok(number);
    }
    Err(Fault::new(
        format!("`{key}` must be above 0 and at most {BUDGET_MAX} (got {number})"),
        "write alerts a day, like 1 or 0.2",
    ))
}

fn days(key: &str, text: &str) -> Result<u32, Fault> {
    let Ok(number) = text.trim().parse::<u64>() else {
        let message = format!("`{key}` must be a whole number, found {}", super::quoted(text));
        return Err(Fault::new(message, "write a number of days, like 14"));
    };
    match u32::try_from(number) {
        Ok(days) if days <= DAYS_MAX => Ok(days),
        _ => Err(Fault::new(
            format!("`{key}` must be at most {DAYS_MAX} (got {number})"),
            "write a number of days, like 14",
        )),
    }
}

fn within<T>(key: &str, text: &str, range: RangeInclusive<T>) -> Result<T, Fault>
where
    T: FromStr<Err = super::UnitError> + PartialOrd + std::fmt::Display,
{
    let value: T = text.parse()?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start(), range.end());
    let message = format!("`{key}` must be from {least} to {most} (got {value})");
    Err(Fault::new(message, "write a value in that range"))
}

fn zone(_: &str, text: &str) -> Result<Zone, Fault> {
    let name = text.trim();
    // UTC is known without the machine's time zone files.
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(Zone(TimeZone::UTC));
    }
    let unknown = || {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let remedy = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "write an IANA name that this machine knows, like Asia/Tokyo, or UTC".to_owned()
            }
        };
        Fault::new(format!("unknown time zone {}", super::quoted(name)), remedy)
    };
    TimeZone::get(name).map(Zone).map_err(|_| unknown())
}

const fn secs(secs: u64) -> Period {
    Period(Duration::from_secs(secs))
}

const DAY: u64 = 86_400;
const BUDGET_MAX: f64 = 10_000.0;
const DAYS_MAX: u32 = 365;
