//! Which uploads a rule is about: matchers, and what they are held against.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use jiff::civil::{DateTime, Weekday};

use super::destinations::{Category, Domain, OUTSIDE};
use super::document::Fields;
use super::networks::{INSIDE, Net, Role, overlaps};
use super::prefixes::Prefixes;
use super::problem::{Fault, Placed, Problem, Problems};
use super::words::words;
use crate::machines::Mac;
use crate::names::Service;
use crate::net::{Addr, Subnets};
use crate::time::Timestamp;

words! {
    /// The kind of upload that a rule is about.
    Upload, "the kind of upload":
    /// A host sends.
    Volume = "volume",
    /// A host answers a client outside.
    Server = "server",
    /// A host tells in the names that it asks for.
    Dns = "dns",
    /// A host tells in pings.
    Icmp = "icmp",
}

words! {
    /// Days that a rule is about.
    DayKind, "days":
    /// Monday.
    Monday = "mon",
    /// Tuesday.
    Tuesday = "tue",
    /// Wednesday.
    Wednesday = "wed",
    /// Thursday.
    Thursday = "thu",
    /// Friday.
    Friday = "fri",
    /// Saturday.
    Saturday = "sat",
    /// Sunday.
    Sunday = "sun",
    /// Monday to Friday, but holidays.
    Workdays = "workdays",
    /// What `defaults.yaml` calls so, on whatever day of the week.
    Holidays = "holidays",
}

words! {
    /// How much a verdict matters.
    Grade, "how much it matters":
    /// Below the threshold: pages nobody.
    Low = "low",
    /// At the threshold or above.
    Medium = "medium",
    /// Far above it.
    High = "high",
    /// Farther.
    Critical = "critical",
}

/// An upload under judgement, as rules see it.
#[derive(Debug, Clone)]
pub struct Matter<'a> {
    /// The kind of upload.
    pub upload: Upload,
    /// How much it matters.
    pub grade: Grade,
    /// The host's addresses, as far as these are sure.
    pub hosts: &'a [Addr],
    /// Its hardware address, where that is sure.
    pub mac: Option<Mac>,
    /// Its declared role.
    pub role: Option<Role>,
    /// Names of the destination; none where they are in dispute.
    pub names: &'a [&'a str],
    /// Its addresses.
    pub peers: &'a [Addr],
    /// Its category; none where that comes from a name in dispute.
    pub category: Option<Category>,
    /// The application protocol.
    pub service: Option<Service>,
    /// Ports at the serving end.
    pub ports: &'a [u16],
    /// Bytes that the verdict is about: those of the day.
    pub bytes: u64,
    /// The score, in bits.
    pub score: f64,
    /// Packet time.
    pub at: Timestamp,
    /// The same on the clocks of the time zone.
    pub local: DateTime,
    /// Is that day a holiday?
    pub is_holiday: bool,
}

impl Matter<'_> {
    /// One that conditions are tried on.
    pub(super) fn made_up() -> Self {
        Self {
            upload: Upload::Volume,
            grade: Grade::Medium,
            hosts: const { &[Addr::from_v4([10, 0, 0, 1])] },
            mac: None,
            role: Some(Role::Workstation),
            names: &["files.example"],
            peers: &[],
            category: Some(Category::FileSharing),
            service: Some(Service::Tls),
            ports: &[443],
            bytes: 1_000_000,
            score: 8.0,
            at: Timestamp::EPOCH,
            local: jiff::civil::date(2026, 3, 16).at(12, 0, 0, 0),
            is_holiday: false,
        }
    }
}

/// Which uploads a rule is about: all that is said must hold, and of each list one entry.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Matcher {
    from: Option<Inside>,
    to: Option<Outside>,
    services: Vec<Service>,
    ports: Vec<RangeInclusive<u16>>,
    hours: Option<Hours>,
    days: Vec<DayKind>,
}

impl Matcher {
    /// Is it about this upload?
    pub(super) fn matches(&self, matter: &Matter<'_>) -> bool {
        let serves = |port| self.ports.iter().any(|range| range.contains(port));
        self.from.as_ref().is_none_or(|from| from.holds(matter))
            && self.to.as_ref().is_none_or(|to| to.holds(matter))
            && (self.services.is_empty()
                || matter.service.is_some_and(|service| self.services.contains(&service)))
            && (self.ports.is_empty()
                || !matter.ports.is_empty() && matter.ports.iter().all(serves))
            && self.hours.is_none_or(|hours| hours.hold(matter.local))
            && (self.days.is_empty() || self.days.iter().any(|days| days.hold(matter)))
    }
}

/// Machines inside.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Inside {
    nets: Prefixes<()>,
    roles: Vec<Role>,
    macs: Vec<Mac>,
}

impl Inside {
    /// Checks that each network can be that of a host.
    pub(super) fn check(
        entries: Vec<Placed<Source>>,
        internal: &Subnets,
        problems: &mut Problems,
    ) -> Self {
        let (mut nets, mut roles, mut macs) = (Vec::new(), Vec::new(), Vec::new());
        for Placed { value, at } in entries {
            match value {
                Source::Role(role) => roles.push(role),
                Source::Mac(mac) => macs.push(mac),
                Source::Net(net) if overlaps(net, internal) => nets.push((net.0, ())),
                Source::Net(net) => {
                    let message = format!("{} is not internal: no host is there", net.0);
                    let fault = Fault::new(message, "write a network of `internal`");
                    problems.push(Problem::at(&at, fault));
                }
            }
        }
        Self { nets: Prefixes::new(nets), roles, macs }
    }

    pub(super) fn holds(&self, matter: &Matter<'_>) -> bool {
        matter.role.is_some_and(|role| self.roles.contains(&role))
            || matter.mac.is_some_and(|mac| self.macs.contains(&mac))
            || matter.hosts.iter().any(|&host| self.nets.get(host).is_some())
    }
}

/// Destinations.
#[derive(Debug, Clone, PartialEq, Default)]
struct Outside {
    domains: HashSet<Box<str>>,
    nets: Prefixes<()>,
    categories: Vec<Category>,
}

impl Outside {
    fn of(entries: Vec<Placed<Target>>) -> Self {
        let (mut outside, mut nets) = (Self::default(), Vec::new());
        for entry in entries {
            match entry.value {
                Target::Domain(domain) => {
                    outside.domains.insert(domain.name().into());
                }
                Target::Net(net) => nets.push((net.0, ())),
                Target::Category(category) => outside.categories.push(category),
            }
        }
        Self { nets: Prefixes::new(nets), ..outside }
    }

    /// Of addresses all must be listed: an owner may have others too.
    fn holds(&self, matter: &Matter<'_>) -> bool {
        let is_listed = |peer: &Addr| self.nets.get(*peer).is_some();
        matter.category.is_some_and(|category| self.categories.contains(&category))
            || !matter.peers.is_empty() && matter.peers.iter().all(is_listed)
            || matter.names.iter().any(|name| self.lists(name))
    }

    /// Is the name, or one above it, listed?
    fn lists(&self, name: &str) -> bool {
        if self.domains.is_empty() {
            return false;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut rest: Option<&str> = Some(&name);
        while let Some(domain) = rest {
            if self.domains.contains(domain) {
                return true;
            }
            rest = domain.split_once('.').map(|(_, above)| above);
        }
        false
    }
}

/// What a file says of the uploads that a rule is about.
#[derive(Debug, Default, Clone, schemars::JsonSchema)]
pub(super) struct MatcherFields {
    /// Networks, addresses, roles or hardware addresses of hosts inside.
    #[schemars(default)]
    from: Vec<Placed<Source>>,
    /// Domains, networks or categories of destinations.
    #[schemars(default)]
    to: Vec<Placed<Target>>,
    /// Application protocols.
    #[schemars(default, with = "Vec<Service>")]
    services: Vec<Placed<Service>>,
    /// Ports at the serving end, or ranges of them.
    #[schemars(default)]
    ports: Vec<Placed<Ports>>,
    /// Hours of the day in the time zone; they may go beyond midnight.
    hours: Option<Placed<Hours>>,
    /// Days in the time zone: of the week, `workdays` or `holidays`.
    #[schemars(default, with = "Vec<DayKind>")]
    days: Vec<Placed<DayKind>>,
}

impl MatcherFields {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let entries = Self::read_any(fields);
        if !fields.has("from") && !fields.has("to") {
            let message = "neither `from` nor `to` says whom this is about";
            fields.refuse(Fault::new(message, "add at least one of them"));
        }
        entries
    }

    /// The same of a rule that may be about everybody.
    pub(super) fn read_any(fields: &mut Fields<'_>) -> Self {
        Self {
            from: fields.some("from", Source::parse),
            to: fields.some("to", Target::parse),
            services: fields.some("services", service),
            ports: fields.some("ports", Ports::parse),
            hours: fields.value("hours", Hours::parse),
            days: fields.some("days", DayKind::parse),
        }
    }

    pub(super) fn check(self, internal: &Subnets, problems: &mut Problems) -> Matcher {
        let Self { from, to, services, ports, hours, days } = self;
        Matcher {
            from: (!from.is_empty()).then(|| Inside::check(from, internal, problems)),
            to: (!to.is_empty()).then(|| Outside::of(to)),
            services: services.into_iter().map(|service| service.value).collect(),
            ports: ports.into_iter().map(|ports| ports.value.0).collect(),
            hours: hours.map(|hours| hours.value),
            days: days.into_iter().map(|days| days.value).collect(),
        }
    }
}

/// Whom an upload comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Role(Role),
    Mac(Mac),
    Net(Net),
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let word = text.trim();
        if let Some(role) = Role::named(word) {
            return Ok(Self::Role(role));
        }
        if let Ok(mac) = word.parse() {
            return Ok(Self::Mac(mac));
        }
        if word.contains(['.', ':', '/']) || word.is_empty() {
            return Net::parse(text, INSIDE).map(Self::Net);
        }
        let known: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        Err(Fault::unknown("role", word, &known))
    }
}

/// Whom an upload goes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Domain(Domain),
    Net(Net),
    Category(Category),
}

impl Target {
    fn parse(text: &str) -> Result<Self, Fault> {
        let word = text.trim();
        if let Some(category) = Category::named(word) {
            return Ok(Self::Category(category));
        }
        if word.parse::<IpAddr>().is_ok() || word.parse::<ipnet::IpNet>().is_ok() {
            return Net::parse(text, OUTSIDE).map(Self::Net);
        }
        if word.contains('.') || word.is_empty() {
            return Domain::parse(text).map(Self::Domain);
        }
        let known: Vec<&str> = Category::ALL.iter().map(|category| category.name()).collect();
        Err(Fault::unknown("category", word, &known))
    }
}

/// Ports from one to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ports(RangeInclusive<u16>);

impl Ports {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        match range {
            Some((first, last)) if first <= last => Ok(Self(first..=last)),
            Some(_) | None => {
                let message = format!("{} is neither a port nor a range", super::quoted(text));
                Err(Fault::new(message, "write a port like 443, or a range like 8000-8100"))
            }
        }
    }
}

/// A part of every day, in minutes since midnight; it may go beyond the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hours {
    begin: u16,
    end: u16,
}

impl Hours {
    fn parse(text: &str) -> Result<Self, Fault> {
        let hours = text
            .split_once('-')
            .and_then(|(begin, end)| Some(Self { begin: minutes(begin)?, end: minutes(end)? }));
        hours.filter(|hours| hours.begin != hours.end && hours.begin < DAY_MINUTES).ok_or_else(
            || {
                let message = format!("{} is no part of a day", super::quoted(text));
                Fault::new(message, "write hours like 22:00-06:00")
            },
        )
    }

    fn hold(self, local: DateTime) -> bool {
        let now =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let (is_after, is_before) = (now >= self.begin, now < self.end);
        if self.begin < self.end { is_after && is_before } else { is_after || is_before }
    }
}

impl DayKind {
    fn parse(text: &str) -> Result<Self, Fault> {
        let word = text.trim();
        let known: Vec<&str> = Self::ALL.iter().map(|days| days.name()).collect();
        Self::named(word).ok_or_else(|| Fault::unknown("day", word, &known))
    }

    fn hold(self, matter: &Matter<'_>) -> bool {
        let today = matter.local.weekday();
        match self {
            Self::Monday => today == Weekday::Monday,
            Self::Tuesday => today == Weekday::Tuesday,
            Self::Wednesday => today == Weekday::Wednesday,
            Self::Thursday => today == Weekday::Thursday,
            Self::Friday => today == Weekday::Friday,
            Self::Saturday => today == Weekday::Saturday,
            Self::Sunday => today == Weekday::Sunday,
            Self::Workdays => {
                !matter.is_holiday && !matches!(today, Weekday::Saturday | Weekday::Sunday)
            }
            Self::Holidays => matter.is_holiday,
        }
    }
}

/// `09:30` in minutes; `24:00` is the end of the day.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, minute) = (digits(hour).then_some(hour)?, digits(minute).then_some(minute)?);
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY_MINUTES).then_some(minutes)
}

fn service(text: &str) -> Result<Service, Fault> {
    let word = text.trim();
    Service::ALL.into_iter().find(|service| service.name() == word).ok_or_else(|| {
        let known: Vec<&str> = Service::ALL.iter().map(|service| service.name()).collect();
        Fault::unknown("service", word, &known)
    })
}

/// The JSON Schema of what is written as one text.
macro_rules! written {
    ($($name:ident: $schema:tt),+ $(,)?) => {$(
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )+};
}

written! {
    Source: {
        "type": "string", "minLength": 1,
        "description": "network in CIDR form, address, hardware address (02:00:5e:10:00:01), or role"
    },
    Target: {
        "type": "string", "minLength": 1,
        "description": "domain (stands for all names below it), network in CIDR form, address, or category"
    },
    Ports: {
        "type": ["string", "integer"], "minimum": 0, "maximum": 65535,
        "pattern": r"^\s*\d{1,5}\s*(-\s*\d{1,5}\s*)?$",
        "description": "a port, or a range: 8000-8100"
    },
    Hours: {
        "type": "string",
        "pattern": r"^\s*[0-2]\d:[0-5]\d\s*-\s*[0-2]\d:[0-5]\d\s*$",
        "description": "a part of every day in the time zone: 22:00-06:00"
    },
}

const DAY_MINUTES: u16 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// A holiday is no working day, on whatever day of the week it falls, and still that day of the week.
    #[test]
    fn days_are_what_the_calendar_says() {
        let on = |day, is_holiday| Matter {
            local: jiff::civil::date(2026, 3, day).at(12, 0, 0, 0),
            is_holiday,
            ..Matter::made_up()
        };
        // The 20th of March 2026 is a Friday, and the equinox.
        for (day, is_holiday, held) in [
            (19, false, &["thu", "workdays"][..]),
            (20, true, &["fri", "holidays"]),
            (21, false, &["sat"]),
            (22, true, &["sun", "holidays"]),
        ] {
            let matter = on(day, is_holiday);
            let names: Vec<&str> = DayKind::ALL
                .iter()
                .filter(|days| days.hold(&matter))
                .map(|days| days.name())
                .collect();
            assert_eq!(names, held, "{day}");
        }
        assert!(DayKind::parse("holliday").unwrap_err().remedy.contains("holidays"));
    }

    #[test]
    fn hours_go_beyond_midnight() {
        let night = Hours::parse("22:00-06:00").unwrap();
        let day = Hours::parse("09:30 - 24:00").unwrap();
        for (hour, minute, is_night, is_day) in [
            (21, 59, false, true),
            (22, 0, true, true),
            (0, 0, true, false),
            (5, 59, true, false),
            (6, 0, false, false),
            (9, 30, false, true),
        ] {
            let at = jiff::civil::date(2026, 3, 16).at(hour, minute, 0, 0);
            assert_eq!((night.hold(at), day.hold(at)), (is_night, is_day), "{hour}:{minute}");
        }
        for text in [
            "",
            "22:00",
            "22-06",
            "22:00-22:00",
            "24:00-06:00",
            "25:00-06:00",
            "9:00-10:00",
            "12:60-13:00",
            "+1:00-02:00",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
    }

    /// One careless word must not widen a rule: what is neither this nor that is refused.
    #[test]
    fn whom_a_rule_is_about_is_read_in_its_place() {
        assert_eq!(Source::parse("backup"), Ok(Source::Role(Role::Backup)));
        assert!(matches!(Source::parse("02:00:5e:10:00:01"), Ok(Source::Mac(_))));
        assert!(matches!(Source::parse("2001:db8::1"), Ok(Source::Net(_))));
        assert!(Source::parse("bakcup").unwrap_err().remedy.contains("backup"));
        assert!(Source::parse("0.0.0.0/0").is_err());
        assert!(matches!(Target::parse("Vault.example"), Ok(Target::Domain(_))));
        assert!(matches!(Target::parse("203.0.113.0/24"), Ok(Target::Net(_))));
        assert_eq!(Target::parse("paste"), Ok(Target::Category(Category::Paste)));
        assert!(Target::parse("com").is_err() && Target::parse("*.example.com").is_err());
        assert!(Ports::parse("90-80").is_err() && Ports::parse("70000").is_err());
    }
}
