//! What an office is like.

use serde::Deserialize;
use thiserror::Error;
use toml::Table;

use crate::net::Protocol;

/// What an office is like; `office.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub(super) first_day: String,
    pub(super) days: u32,
    pub(super) learn_days: u32,
    pub(super) holidays: Vec<String>,
    pub(super) timezone: String,
    pub(super) hosts: Hosts,
    pub(super) hours: Hours,
    pub(super) browsing: Browsing,
    pub(super) nat: Nat,
    pub(super) proxy: Proxy,
    pub(super) ipv6: Ipv6,
    pub(super) travel: Travel,
    #[serde(rename = "event")]
    pub(super) events: Vec<Event>,
    #[serde(default, rename = "move")]
    pub(super) moves: Vec<Move>,
    pub(super) thefts: Thefts,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hosts {
    pub(super) workstations: u32,
    pub(super) servers: u32,
    pub(super) present: f64,
    pub(super) present_weekend: f64,
    pub(super) present_friday: f64,
    pub(super) always_on: f64,
    pub(super) new_per_month: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hours {
    pub(super) at_work: [f64; 24],
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Browsing {
    pub(super) mb_median: f64,
    pub(super) mb_spread_days: f64,
    pub(super) mb_spread_hosts: f64,
    pub(super) visits_median: f64,
    pub(super) visits_spread: f64,
    pub(super) host_discount: f64,
    pub(super) host_strength: f64,
    pub(super) office_discount: f64,
    pub(super) office_strength: f64,
    pub(super) in_per_out: f64,
    pub(super) talkative: f64,
    pub(super) mb_idle: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nat {
    pub(super) share: f64,
    pub(super) hosts: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) share: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ipv6 {
    pub(super) share: f64,
    pub(super) places: f64,
    pub(super) is_heard: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Travel {
    pub(super) share: f64,
    pub(super) per_week: f64,
    pub(super) days_max: u32,
    pub(super) elsewhere: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) name: String,
    #[serde(default)]
    pub(super) who: Who,
    #[serde(default = "one")]
    pub(super) share: f64,
    pub(super) rate: f64,
    pub(super) mb_median: f64,
    pub(super) mb_spread: f64,
    pub(super) mb_max: f64,
    #[serde(default = "hundredth")]
    pub(super) back: f64,
    #[serde(default = "forty")]
    pub(super) mbit: f64,
    pub(super) to: String,
    #[serde(default = "https")]
    pub(super) port: u16,
    #[serde(default)]
    pub(super) over: Over,
    #[serde(default)]
    pub(super) when: When,
    /// Hours of the day; none stands for any.
    #[serde(default)]
    pub(super) hours: Vec<u64>,
    #[serde(default)]
    pub(super) from_day: u32,
    #[serde(default = "never")]
    pub(super) until_day: u32,
    /// Days after which it comes again.
    #[serde(default = "never")]
    pub(super) every: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    #[default]
    Workstations,
    Servers,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Over {
    #[default]
    Tcp,
    Udp,
    Icmp,
    Dns,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum When {
    #[default]
    Work,
    Night,
    First,
    Back,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) service: String,
    pub(super) day: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thefts {
    pub(super) bulk: u32,
    pub(super) bulk_mb_median: f64,
    pub(super) bulk_mb_spread: f64,
    pub(super) cloud: u32,
    pub(super) night: u32,
    pub(super) split: u32,
    pub(super) slow: u32,
    pub(super) slow_mb_day: f64,
}

/// Why there is no such office.
#[derive(Debug, Error, PartialEq)]
pub enum OfficeError {
    /// The text is not of the form; the message has the place.
    #[error("{0}")]
    Form(String),
    /// A value cannot be.
    #[error("{key}: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl Event {
    /// Is it one of the days on which it happens?
    pub(super) fn is_on(&self, day: u32) -> bool {
        let passed = day.checked_sub(self.from_day);
        passed.is_some_and(|passed| self.from_day + passed % self.every < self.until_day)
    }
}

impl Over {
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::TCP,
            Self::Udp | Self::Dns => Protocol::UDP,
            Self::Icmp => Protocol::ICMP,
        }
    }
}

impl Parameters {
    /// The parameters that ship, with what `text`, a part of such a file, has otherwise.
    ///
    /// # Errors
    /// When the text is no TOML, has a key that does not exist, or a value that cannot be.
    pub fn parse(text: &str) -> Result<Self, OfficeError> {
        Self::layered(&[text])
    }

    /// The same with several such texts, each over those before it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn layered(texts: &[&str]) -> Result<Self, OfficeError> {
        let form =
            |error: toml::de::Error| OfficeError::Form(error.to_string().trim_end().to_owned());
        let mut all: Table = toml::from_str(SHIPPED).map_err(form)?;
        for text in texts {
            lay_over(&mut all, toml::from_str(text).map_err(form)?);
        }
        let parameters: Self = all.try_into().map_err(form)?;
        parameters.check()?;
        Ok(parameters)
    }

    fn check(&self) -> Result<(), OfficeError> {
        let hosts = &self.hosts;
        within("hosts.workstations", f64::from(hosts.workstations), 1.0, 50_000.0)?;
        within("hosts.servers", f64::from(hosts.servers), 0.0, 1000.0)?;
        within("days", f64::from(self.days), 1.0, 1000.0)?;
        for (key, share) in [
            ("hosts.present", hosts.present),
            ("hosts.present_weekend", hosts.present_weekend),
            ("hosts.present_friday", hosts.present_friday),
            ("hosts.always_on", hosts.always_on),
            ("hosts.new_per_month", hosts.new_per_month),
            ("browsing.host_discount", self.browsing.host_discount),
            ("browsing.office_discount", self.browsing.office_discount),
            ("browsing.talkative", self.browsing.talkative),
            ("nat.share", self.nat.share),
            ("proxy.share", self.proxy.share),
            ("ipv6.share", self.ipv6.share),
            ("ipv6.places", self.ipv6.places),
            ("travel.share", self.travel.share),
            ("travel.per_week", self.travel.per_week),
            ("travel.elsewhere", self.travel.elsewhere),
        ] {
            within(key, share, 0.0, 1.0)?;
        }
        within("nat.hosts", f64::from(self.nat.hosts), 1.0, 10_000.0)?;
        within("travel.days_max", f64::from(self.travel.days_max), 1.0, 7.0)?;
        for share in self.hours.at_work {
            within("hours.at_work", share, 0.0, 1.0)?;
        }
        let browsing = &self.browsing;
        within("browsing.visits_median", browsing.visits_median, 0.0, 10_000.0)?;
        for event in &self.events {
            within("event.share", event.share, 0.0, 1.0)?;
            within("event.rate", event.rate, 0.0, 1_000_000.0)?;
            within("event.mb_max", event.mb_max, 0.0, 1e6)?;
            within("event.back", event.back, 0.0, 1000.0)?;
            within("event.mbit", event.mbit, 1e-5, 1e6)?;
            within("event.every", f64::from(event.every), 1.0, f64::from(never()))?;
            for &hour in &event.hours {
                within("event.hours", hour as f64, 0.0, 23.0)?;
            }
        }
        let thefts = &self.thefts;
        let counts = [thefts.bulk, thefts.cloud, thefts.night, thefts.split, thefts.slow];
        let count = counts.map(f64::from).into_iter().sum();
        within("thefts", count, 0.0, f64::from(hosts.workstations))
    }
}

fn within(key: &'static str, value: f64, least: f64, most: f64) -> Result<(), OfficeError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(OfficeError::Value { key, problem: format!("must be {least} to {most} (got {value})") })
}

fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay_over(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The parameters that ship.
pub const SHIPPED: &str = include_str!("office.toml");

/// What is different where a grid of uploads is laid over the office: four weeks to learn, thirty honest days.
pub const GRID: &str = "days = 58\nlearn_days = 28\n\
    [thefts]\nbulk = 0\ncloud = 0\nnight = 0\nsplit = 0\nslow = 0";

fn one() -> f64 {
    1.0
}

fn hundredth() -> f64 {
    0.01
}

fn forty() -> f64 {
    40.0
}

fn https() -> u16 {
    443
}

fn never() -> u32 {
    u32::MAX
}
