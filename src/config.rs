//! Settings: what was typed, the configuration file and the rules folder, made one.

mod limits;

pub use limits::{Limits, MEMORY_MIN};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::capture::live;
use crate::evidence::{self, Packets};
use crate::machines::Identity;
use crate::names::{Registry, RegistryError};
use crate::net::Subnets;
use crate::rules::units::{ByteSize, UnitError};
use crate::rules::{Period, RuleSet, RulesError};
use crate::time::Timestamp;
use crate::{alert, baseline, capture, census, egress, engine, flow, names};

/// Everything that can be configured, each key as a flag, in the environment, or in the file.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Time zone of days, as in `Asia/Tokyo`.
    pub timezone: Option<String>,
    /// BPF expression.
    pub filter: Option<String>,
    /// Interfaces to watch.
    pub interfaces: Option<Vec<String>>,
    /// Size of each interface's ring, as in `64MiB`.
    pub ring_buffer: Option<String>,
    /// Bytes captured of a frame at most.
    pub snap_length: Option<u32>,
    /// First moment.
    pub since: Option<String>,
    /// Moment after the last.
    pub until: Option<String>,
    /// Networks that are inside.
    #[schemars(with = "Option<Vec<String>>")]
    pub internal: Option<Vec<IpNet>>,
    /// Rules folder.
    pub rules: Option<PathBuf>,
    /// Databases of autonomous systems and countries, in the MaxMind DB format.
    pub mmdb: Option<Vec<PathBuf>>,
    /// Alerts a day that the operator wants to see.
    pub budget: Option<f64>,
    /// Threads, or `auto`.
    pub workers: Option<String>,
    /// How to tell.
    pub format: Option<Format>,
    /// What makes a host: `machine`, or `address`.
    pub identity: Option<Identity>,
    /// The sensor's name in alerts.
    pub sensor: Option<String>,
    /// Memory to take at most, as in `2GB`, divided into the limits that are not given.
    pub memory: Option<String>,
    /// File that metrics are written to.
    pub metrics: Option<PathBuf>,
    /// Limits of memory.
    pub limits: Limits,
    /// What makes a flow.
    pub flow: FlowKeys,
    /// What is kept of the packets of incidents.
    pub evidence: EvidenceKeys,
}

/// What is kept of the packets of incidents.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceKeys {
    /// The folder; without one nothing is kept.
    pub dir: Option<PathBuf>,
    /// What is kept of a packet: `headers`, or `whole`.
    pub packets: Option<Packets>,
    /// Size of all files at most, as in `1GB`.
    pub max: Option<String>,
    /// Size of one file at most.
    pub incident_max: Option<String>,
    /// How far back before an alert packets are kept, as in `30s`.
    pub before: Option<String>,
    /// Memory for packets that may turn out to be wanted.
    pub before_max: Option<String>,
    /// How long files are kept, as in `90d`.
    pub kept_for: Option<String>,
}

impl EvidenceKeys {
    /// These keys, and `other` where they are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            dir: self.dir.or(other.dir),
            packets: self.packets.or(other.packets),
            max: self.max.or(other.max),
            incident_max: self.incident_max.or(other.incident_max),
            before: self.before.or(other.before),
            before_max: self.before_max.or(other.before_max),
            kept_for: self.kept_for.or(other.kept_for),
        }
    }
}

/// What makes a flow.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowKeys {
    /// Are equal 5-tuples in different VLANs different flows?
    pub key_by_vlan: Option<bool>,
    /// Are equal 5-tuples in different tunnels different flows?
    pub key_by_tunnel: Option<bool>,
}

/// How to tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Settings for a run, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which frames are read.
    pub capture: capture::Options,
    /// Which interfaces are captured from, and how.
    pub live: live::Options,
    /// How flows are kept, by how many workers.
    pub run: engine::Run,
    /// How verdicts are made.
    pub analyst: engine::Options,
    /// What is kept of the packets of incidents, if anything.
    pub evidence: Option<evidence::Options>,
    /// How many hosts and destinations are listed.
    pub census: census::Options,
    /// How to tell.
    pub format: Format,
}

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is wrong; the message has line and text.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the place.
        message: String,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The rules folder is wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A database cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Keys {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has a key that does not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a configuration file; `path` stands for it in messages.
    ///
    /// # Errors
    /// When it is no TOML or has a key that does not exist.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })
    }

    /// These keys, and `other` where they are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            timezone: self.timezone.or(other.timezone),
            filter: self.filter.or(other.filter),
            interfaces: self.interfaces.or(other.interfaces),
            ring_buffer: self.ring_buffer.or(other.ring_buffer),
            snap_length: self.snap_length.or(other.snap_length),
            since: self.since.or(other.since),
            until: self.until.or(other.until),
            internal: self.internal.or(other.internal),
            rules: self.rules.or(other.rules),
            mmdb: self.mmdb.or(other.mmdb),
            budget: self.budget.or(other.budget),
            workers: self.workers.or(other.workers),
            format: self.format.or(other.format),
            identity: self.identity.or(other.identity),
            sensor: self.sensor.or(other.sensor),
            memory: self.memory.or(other.memory),
            metrics: self.metrics.or(other.metrics),
            limits: self.limits.or(other.limits),
            flow: FlowKeys {
                key_by_vlan: self.flow.key_by_vlan.or(other.flow.key_by_vlan),
                key_by_tunnel: self.flow.key_by_tunnel.or(other.flow.key_by_tunnel),
            },
            evidence: self.evidence.or(other.evidence),
        }
    }
}

impl Settings {
    /// Makes settings of keys: loads the rules folder, reads every value.
    ///
    /// # Errors
    /// When a value cannot be used or the rules folder is wrong.
    pub fn of(keys: &Keys) -> Result<Self, ConfigError> {
        let rules = match &keys.rules {
            Some(dir) => RuleSet::load(dir)?,
            None => RuleSet::shipped(),
        };
        let rules = Arc::new(rules);
        let timezone = timezone(keys, &rules)?;
        let budget = keys.budget.unwrap_or(rules.defaults.budget_per_day);
        if !(budget > 0.0 && budget <= BUDGET_MAX) {
            return Err(wrong(
                "budget",
                format!("must be above 0 and at most {BUDGET_MAX} (got {budget})"),
            ));
        }
        let internal = match &keys.internal {
            Some(nets) => nets.iter().copied().collect::<Subnets>(),
            None => rules.networks.internal.clone(),
        }
        .with_local();
        let registry = Registry::open(keys.mmdb.as_deref().unwrap_or_default())?;
        let limits = limits(keys)?;
        let flow = flow_options(&limits, &keys.flow, &rules);
        let egress = egress_options(&limits, &rules, internal, timezone.clone());
        let baseline = baseline_options(&limits);
        let alert = alert::Options {
            alerts_per_day: budget,
            quiet_after: rules.defaults.quiet_after,
            reopen_within_days: i32::try_from(rules.defaults.reopen_within_days)
                .unwrap_or(i32::MAX),
            hosts_max: egress.hosts_max,
            sensor: keys.sensor.clone().unwrap_or_else(|| "sekisho".to_owned()),
            config_digest: digest(keys, &limits, &rules, &registry, &egress.internal, budget),
        };
        Ok(Self {
            capture: capture::Options {
                filter: keys.filter.clone(),
                since: keys
                    .since
                    .as_deref()
                    .map(|text| moment("since", text, &timezone))
                    .transpose()?,
                until: keys
                    .until
                    .as_deref()
                    .map(|text| moment("until", text, &timezone))
                    .transpose()?,
            },
            live: live_options(keys)?,
            run: engine::Run {
                names: Some(names::Options::default()),
                flow,
                internal: egress.internal.clone(),
                workers: workers(keys.workers.as_deref())?,
            },
            analyst: engine::Options {
                egress,
                baseline,
                alert,
                rules,
                identity: keys.identity.unwrap_or_default(),
                book_bytes_max: names::Options::default().book_bytes_max,
                registry,
            },
            evidence: evidence_options(&keys.evidence)?,
            census: census_options(&limits, keys.identity),
            format: keys.format.unwrap_or_default(),
        })
    }
}

/// The limits given, and what the memory given leaves for the others.
fn limits(keys: &Keys) -> Result<Limits, ConfigError> {
    let Some(text) = &keys.memory else { return Ok(keys.limits) };
    let bytes = size("memory", text)?;
    let divided = Limits::of_memory(bytes).ok_or_else(|| {
        wrong(
            "memory",
            format!("must be at least {} MB (got {text})", MEMORY_MIN.div_ceil(1_000_000)),
        )
    })?;
    Ok(keys.limits.or(divided))
}

fn size(key: &'static str, text: &str) -> Result<u64, ConfigError> {
    let read = text.parse().map(|ByteSize(bytes)| bytes);
    read.map_err(|error: UnitError| wrong(key, format!("{}; {}", error.message(), error.remedy())))
}

fn period(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let read = text.parse().map(|Period(length)| length);
    read.map_err(|error: UnitError| wrong(key, format!("{}; {}", error.message(), error.remedy())))
}

fn evidence_options(keys: &EvidenceKeys) -> Result<Option<evidence::Options>, ConfigError> {
    let Some(dir) = &keys.dir else { return Ok(None) };
    let default = evidence::Options::new(dir);
    let size = |key, text: &Option<String>, default, min: u64| {
        let bytes = text.as_deref().map_or(Ok(default), |text| size(key, text))?;
        let problem = || wrong(key, format!("must be at least {min} bytes (got {bytes})"));
        if bytes < min { Err(problem()) } else { Ok(bytes) }
    };
    let length = |key, text: &Option<String>, default| {
        text.as_deref().map_or(Ok(default), |text| period(key, text))
    };
    Ok(Some(evidence::Options {
        packets: keys.packets.unwrap_or_default(),
        bytes_max: size("evidence.max", &keys.max, default.bytes_max, EVIDENCE_MIN)?,
        incident_bytes_max: size(
            "evidence.incident_max",
            &keys.incident_max,
            default.incident_bytes_max,
            EVIDENCE_MIN,
        )?,
        before: length("evidence.before", &keys.before, default.before)?,
        before_bytes_max: size(
            "evidence.before_max",
            &keys.before_max,
            default.before_bytes_max,
            0,
        )?,
        kept_for: length("evidence.kept_for", &keys.kept_for, default.kept_for)?,
        ..default
    }))
}

fn live_options(keys: &Keys) -> Result<live::Options, ConfigError> {
    let default = live::Options::default();
    let ring_bytes = match &keys.ring_buffer {
        Some(text) => size("ring_buffer", text)?,
        None => default.ring_bytes,
    };
    let snap_len = keys.snap_length.unwrap_or(default.snap_len);
    if !live::SNAP_LENGTHS.contains(&snap_len) {
        let (least, most) = (live::SNAP_LENGTHS.start(), live::SNAP_LENGTHS.end());
        let problem = format!("must be {least} to {most} bytes (got {snap_len})");
        return Err(wrong("snap_length", problem));
    }
    Ok(live::Options {
        interfaces: keys.interfaces.clone().unwrap_or_default(),
        filter: keys.filter.clone(),
        snap_len,
        ring_bytes,
        ..default
    })
}

fn flow_options(limits: &Limits, keys: &FlowKeys, rules: &RuleSet) -> flow::Options {
    let default = flow::Options::default();
    flow::Options {
        flows_max: limits.flows_max.unwrap_or(default.flows_max),
        tcp_idle: rules.defaults.tcp_idle,
        udp_idle: rules.defaults.udp_idle,
        other_idle: rules.defaults.other_idle,
        closed_linger: rules.defaults.closed_linger,
        key_by_vlan: keys.key_by_vlan.unwrap_or(default.key_by_vlan),
        key_by_tunnel: keys.key_by_tunnel.unwrap_or(default.key_by_tunnel),
        reporting: default.reporting,
    }
}

fn egress_options(
    limits: &Limits,
    rules: &RuleSet,
    internal: Subnets,
    timezone: TimeZone,
) -> egress::Options {
    let default = egress::Options::default();
    egress::Options {
        internal,
        timezone,
        floor_bytes: rules.defaults.floor_bytes,
        hosts_max: limits.hosts_max.unwrap_or(default.hosts_max).max(1),
        pairs_max: limits.pairs_max.unwrap_or(default.pairs_max).max(1),
    }
}

fn baseline_options(limits: &Limits) -> baseline::Options {
    let default = baseline::Options::default();
    baseline::Options {
        hosts_max: limits.hosts_max.unwrap_or(default.hosts_max).max(1),
        pairs_per_host_max: limits.pairs_per_host_max.unwrap_or(default.pairs_per_host_max).max(1),
        pairs_max: limits.pairs_remembered_max.unwrap_or(default.pairs_max).max(1),
        destinations_max: limits.destinations_max.unwrap_or(default.destinations_max).max(1),
    }
}

/// Names make an entry of the census large: a limit that is meant for sums alone does not raise its own.
fn census_options(limits: &Limits, identity: Option<Identity>) -> census::Options {
    let default = census::Options::default();
    census::Options {
        hosts_max: limits.hosts_max.unwrap_or(usize::MAX).min(default.hosts_max),
        destinations_max: limits
            .destinations_max
            .unwrap_or(usize::MAX)
            .min(default.destinations_max),
        pairs_max: limits.pairs_max.unwrap_or(usize::MAX).min(default.pairs_max),
        identity: identity.unwrap_or_default(),
    }
}

fn timezone(keys: &Keys, rules: &RuleSet) -> Result<TimeZone, ConfigError> {
    let Some(name) = &keys.timezone else { return Ok(rules.defaults.timezone.clone()) };
    TimeZone::get(name).map_err(|_| {
        wrong("timezone", format!("no time zone {name:?}; give one as in Asia/Tokyo or UTC"))
    })
}

/// A moment: RFC 3339, or a date with or without a time in the time zone.
fn moment(key: &'static str, text: &str, zone: &TimeZone) -> Result<Timestamp, ConfigError> {
    let civil = |text: &str| {
        text.parse::<jiff::civil::DateTime>()
            .and_then(|time| time.to_zoned(zone.clone()))
            .map(|zoned| zoned.timestamp())
    };
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| civil(text)).map_err(|_| {
        wrong(
            key,
            format!(
                "{text:?} is no moment; write 2026-03-16, 2026-03-16T09:30 or 2026-03-16T00:30:00Z"
            ),
        )
    })?;
    u64::try_from(moment.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| wrong(key, format!("{text} is before 1970 or after 2554")))
}

fn workers(text: Option<&str>) -> Result<usize, ConfigError> {
    match text {
        None | Some("auto") => Ok(std::thread::available_parallelism()
            .map_or(1, |cores| cores.get().min(WORKERS_AUTO_MAX))),
        Some(text) => match text.parse() {
            Ok(count @ 1..=flow::SHARDS) => Ok(count),
            _ => Err(wrong(
                "workers",
                format!("must be auto or 1 to {} (got {text:?})", flow::SHARDS),
            )),
        },
    }
}

fn wrong(key: &'static str, problem: String) -> ConfigError {
    ConfigError::Value { key, problem }
}

/// Digest of everything configured that can change a verdict.
fn digest(
    keys: &Keys,
    limits: &Limits,
    rules: &RuleSet,
    registry: &Registry,
    internal: &Subnets,
    budget: f64,
) -> String {
    let mut digest = Sha256::new();
    digest.update(rules.digest());
    for net in internal.nets() {
        digest.update(format!("{net} "));
    }
    for (kind, built_at) in registry.editions() {
        digest.update(format!("{kind} {built_at} "));
    }
    let identity = keys.identity.unwrap_or_default();
    digest.update(format!("{budget} {:?} {limits:?} {:?} {identity:?}", keys.timezone, keys.flow));
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The least that evidence may take: room for what is said of it, and some packets.
const EVIDENCE_MIN: u64 = 100_000;

const BUDGET_MAX: f64 = 10_000.0;

/// Workers that `auto` means at most.
const WORKERS_AUTO_MAX: usize = 8;
