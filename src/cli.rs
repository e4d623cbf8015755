//! What can be typed.

mod baseline;
mod bench;
mod census;
mod eval;
mod incidents;
mod memory;
mod synth;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sekisho::config::{EvidenceKeys, Format, Keys};
use sekisho::engine::Analyst;
use sekisho::evidence::Packets;
use sekisho::machines::Identity;
use sekisho::rules::{Period, RuleSet};
use sekisho::sink::{FlowFormat, RuleRecord, RuleRow};
use sekisho::time::{Calendar, Timestamp};

pub(crate) use baseline::Baseline;
pub(crate) use bench::Bench;
pub(crate) use census::{Census, CensusFormatArg, Whom};
pub(crate) use eval::Eval;
pub(crate) use incidents::Incidents;
pub(crate) use memory::{Diary, Keeper, Memory};
pub(crate) use synth::Synth;
pub(crate) use watch::{ListFormatArg, ListInterfaces, Watch};

/// Flags unusual uploads from workstations to outside hosts, while they run.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Read capture files; print incidents and a ranking
    Replay(Box<Replay>),
    /// Watch interfaces until stopped; print incidents as they come
    Watch(Box<Watch>),
    /// Say what can be captured from, and what is missing for it
    Interfaces(ListInterfaces),
    /// Read capture files; print a record of every flow
    Flows(Box<Flows>),
    /// Read capture files; print who is inside, and what each sent and received
    Hosts(Box<Census>),
    /// Read capture files; print whom the inside talks to
    Destinations(Box<Census>),
    /// Replay labelled captures; print what was found, how early, and how often it cried wolf
    Eval(Box<Eval>),
    /// Measure this machine on recorded traffic, or how costs grow on traffic made up
    Bench(Box<Bench>),
    /// Write a capture of traffic made up; the same seed gives the same file
    #[command(subcommand)]
    Synth(Synth),
    /// Print the JSON Schema of something that is written or read
    Schema {
        /// Of what
        of: SchemaOf,
    },
    /// Look at what was learned, in a state folder
    #[command(subcommand)]
    Baseline(Baseline),
    /// Look at the incidents of a state folder, and say what they were
    #[command(subcommand)]
    Incidents(Incidents),
    /// Look after the rules folder
    Rules {
        #[command(subcommand)]
        action: RulesAction,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Capture files (pcap, pcapng, each also .gz or .zst), folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) verdict: Verdict,
    #[command(flatten)]
    pub(crate) memory: Memory,
    /// Say which alerts the rules of this folder would add and remove, and nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "learn")]
    pub(crate) what_if: Option<PathBuf>,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

impl Replay {
    /// What was typed, as keys of the configuration.
    pub(crate) fn keys(&self) -> Keys {
        Keys { evidence: self.evidence.keys(), ..self.verdict.keys(&self.common) }
    }
}

/// What is kept of the packets of incidents.
#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// Keep the packets of each incident in this folder, as a pcapng file
    #[arg(long = "evidence", env = "SEKISHO_EVIDENCE", value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What to keep of a packet [default: headers]
    #[arg(long = "evidence-packets", env = "SEKISHO_EVIDENCE_PACKETS", value_enum)]
    packets: Option<PacketsArg>,
    /// Size of all evidence at most: the oldest goes [default: 1GB]
    #[arg(long = "evidence-max", env = "SEKISHO_EVIDENCE_MAX", value_name = "SIZE")]
    max: Option<String>,
    /// Size of one incident's evidence at most [default: 64MB]
    #[arg(
        long = "evidence-incident-max",
        env = "SEKISHO_EVIDENCE_INCIDENT_MAX",
        value_name = "SIZE"
    )]
    incident_max: Option<String>,
    /// How far back before an alert [default: 30s]
    #[arg(long = "evidence-before", env = "SEKISHO_EVIDENCE_BEFORE", value_name = "LENGTH")]
    before: Option<String>,
    /// How long evidence is kept [default: 90d]
    #[arg(long = "evidence-kept-for", env = "SEKISHO_EVIDENCE_KEPT_FOR", value_name = "LENGTH")]
    kept_for: Option<String>,
}

impl EvidenceArgs {
    fn keys(&self) -> EvidenceKeys {
        EvidenceKeys {
            dir: self.dir.clone(),
            packets: self.packets.map(Into::into),
            max: self.max.clone(),
            incident_max: self.incident_max.clone(),
            before: self.before.clone(),
            before_max: None,
            kept_for: self.kept_for.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PacketsArg {
    /// Down to that of the transport: who, when and how much, and not what
    Headers,
    /// All that was captured
    Whole,
}

impl From<PacketsArg> for Packets {
    fn from(packets: PacketsArg) -> Self {
        match packets {
            PacketsArg::Headers => Self::Headers,
            PacketsArg::Whole => Self::Whole,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Flows {
    /// Capture files (pcap, pcapng, each also .gz or .zst), folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to write records
    #[arg(long, value_enum, default_value_t = FlowFormatArg::Json)]
    pub(crate) format: FlowFormatArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every mode that reads traffic takes. Flag, then environment, then file, then default.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML)
    #[arg(long, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Time zone of days, as in Asia/Tokyo [default: UTC]
    #[arg(long, env = "SEKISHO_TIMEZONE", value_name = "ZONE")]
    timezone: Option<String>,
    /// Take only frames that this BPF expression matches
    #[arg(long, env = "SEKISHO_FILTER", value_name = "BPF")]
    filter: Option<String>,
    /// Take only frames from this moment on: RFC 3339, or a date (and time) in the time zone
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Take only frames before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Networks that are inside [default: as in the rules folder, else private ones]
    #[arg(long, env = "SEKISHO_INTERNAL", value_name = "CIDR,...", value_delimiter = ',')]
    internal: Option<Vec<ipnet::IpNet>>,
    /// Rules folder [default: the one that is built in]
    #[arg(long, env = "SEKISHO_RULES", value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Databases of autonomous systems and countries, in the MaxMind DB format of any vendor
    #[arg(long, env = "SEKISHO_MMDB", value_name = "FILE,...", value_delimiter = ',')]
    mmdb: Option<Vec<PathBuf>>,
    /// What makes a host [default: machine]
    #[arg(long, value_enum, env = "SEKISHO_IDENTITY")]
    identity: Option<IdentityArg>,
    /// Threads, or auto: one reads and judges, the others count [default: auto; bench: 1]
    #[arg(long, env = "SEKISHO_WORKERS", value_name = "N|auto")]
    workers: Option<String>,
    /// Where to tell it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Memory to take at most, as in 2GB: divided into limits of flows, hosts and destinations
    #[arg(long, env = "SEKISHO_MEMORY", value_name = "SIZE")]
    memory: Option<String>,
    /// Print the settings that would be used, and stop
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Show no progress, and no line at the end of `flows`
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What every mode that judges takes beside.
#[derive(Debug, Args)]
pub(crate) struct Verdict {
    /// Alerts a day that you want to see [default: 1]
    #[arg(long, env = "SEKISHO_BUDGET", value_name = "N")]
    budget: Option<f64>,
    /// How to tell [default: text]
    #[arg(long, env = "SEKISHO_FORMAT", value_enum)]
    format: Option<FormatArg>,
    /// Exit with 1 when an incident paged
    #[arg(long)]
    pub(crate) fail_on_alert: bool,
}

impl Verdict {
    /// What was typed, as keys of the configuration.
    fn keys(&self, common: &Common) -> Keys {
        let Self { budget, format, fail_on_alert: _ } = *self;
        Keys { budget, format: format.map(Into::into), ..common.keys() }
    }
}

impl Common {
    /// What was typed, as keys of the configuration.
    pub(crate) fn keys(&self) -> Keys {
        Keys {
            timezone: self.timezone.clone(),
            filter: self.filter.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            internal: self.internal.clone(),
            rules: self.rules.clone(),
            mmdb: self.mmdb.clone(),
            identity: self.identity.map(Into::into),
            workers: self.workers.clone(),
            memory: self.memory.clone(),
            ..Keys::default()
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum IdentityArg {
    /// An address
    Address,
    /// All addresses of a machine, where that is sure
    Machine,
}

impl From<IdentityArg> for Identity {
    fn from(identity: IdentityArg) -> Self {
        match identity {
            IdentityArg::Address => Self::Address,
            IdentityArg::Machine => Self::Machine,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArg {
    /// For people
    Text,
    /// For programs: JSON lines
    Json,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Self::Text,
            FormatArg::Json => Self::Json,
        }
    }
}

/// How `flows` writes. Apart from `--format` of the others, and so with neither a key in the file nor a
/// variable: what is set there for verdicts must not stand in the way here.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FlowFormatArg {
    /// JSON lines
    Json,
    /// Comma-separated values with a header
    Csv,
    /// The columns of Zeek's conn.log
    Zeek,
}

impl From<FlowFormatArg> for FlowFormat {
    fn from(format: FlowFormatArg) -> Self {
        match format {
            FlowFormatArg::Json => Self::Json,
            FlowFormatArg::Csv => Self::Csv,
            FlowFormatArg::Zeek => Self::Zeek,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    /// `sekisho.alert/1`
    Alert,
    /// `sekisho.flow/1`
    Flow,
    /// `sekisho.host/1`
    Host,
    /// `sekisho.destination/1`
    Destination,
    /// `sekisho.baseline/1`, what `baseline export` prints
    Baseline,
    /// What `incidents list` prints
    Incident,
    /// `sekisho.ranking/1`
    Ranking,
    /// `sekisho.summary/1`
    Summary,
    /// `sekisho.bench/1`
    Bench,
    /// `sekisho.scaling/1`
    Scaling,
    /// `sekisho.comparison/1`
    Comparison,
    /// `sekisho.labels/1`, what `eval` reads
    Labels,
    /// `sekisho.eval/1`
    Eval,
    /// `sekisho.grid/1`, what `eval --grid` prints
    Grid,
    /// `sekisho.ramps/1`, what `eval --ramps` prints
    Ramps,
    /// The files of the rules folder
    Rules,
    /// `sekisho.rule/1`, what `rules list` prints
    Rule,
    /// `sekisho.what-if/1`, what `replay --what-if` prints
    WhatIf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesAction {
    /// Say whether a rules folder is good, and what is in it
    Check {
        /// The folder [default: the rules that are built in]
        dir: Option<PathBuf>,
    },
    /// Print each allowance, suppression, maintenance and threshold: who answers for it, until when, what it has silenced
    List(ListRules),
}

#[derive(Debug, Args)]
pub(crate) struct ListRules {
    /// Rules folder
    #[arg(long, env = "SEKISHO_RULES", value_name = "DIR")]
    pub(crate) rules: PathBuf,
    /// State folder: what the rules have silenced, and by which time
    #[arg(long, env = "SEKISHO_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long a rule may have silenced nothing before it counts as dead
    #[arg(long, value_name = "LENGTH", default_value = "30d")]
    dead_after: Period,
    /// How to tell [default: text]
    #[arg(long, env = "SEKISHO_FORMAT", value_enum, default_value_t = FormatArg::Text)]
    pub(crate) format: FormatArg,
}

impl ListRules {
    /// The rows of the folder's rules, by what the state folder has on record, or by the clock where there is none.
    pub(crate) fn rows(&self, rules: &RuleSet) -> anyhow::Result<Vec<RuleRow>> {
        let learned = match &self.state {
            Some(state) => {
                let config = self.config.clone();
                Some(baseline::Learned { state: state.clone(), config }.analyst()?)
            }
            None => None,
        };
        let silenced = learned.as_ref().map(Analyst::silenced);
        let (now, calendar) = match &learned {
            Some(analyst) => (analyst.now(), analyst.egress().calendar().clone()),
            None => {
                // Without a record of packets, the time of whoever asks.
                let now = u64::try_from(jiff::Timestamp::now().as_nanosecond())?;
                (Timestamp::from_nanos(now), Calendar::new(rules.defaults.timezone.clone()))
            }
        };
        let record = RuleRecord {
            silenced: silenced.as_deref(),
            now,
            calendar: &calendar,
            dead_after: self.dead_after.0,
        };
        Ok(RuleRow::all(rules, &record))
    }
}
