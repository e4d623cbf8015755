//! One incident: what is known of it, and how it is told.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::budget::Budget;
use super::incidents::{Labels, Options, Verdict};
use super::record::{
    Alert, ClosedBecause, Counterfactual, DestinationFacts, FlowFacts, Health, HostFacts, Kind,
    Pivot, Revision, Sensor, Severity, StagingFacts, TogetherFacts, Why,
};
use super::scene::{Scene, Sent};
use super::silenced::Hush;
use super::text;
use crate::detect::{Bits, DETECTORS, Family, Finding, Subject};
use crate::egress::{Class, Destination, FlowBytes, HostKey, WindowSums};
use crate::net::Addr;
use crate::rules::{Bar, Excess, Limit, Ruling, Silence};
use crate::time::{Day, Timestamp};

/// What makes two findings one incident. Without a destination it is about many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) host: HostKey,
    pub(super) destination: Option<Destination>,
    pub(super) family: Family,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Incident {
    pub(super) id: String,
    started: Timestamp,
    /// Bytes of days before the present one.
    carried: Sent,
    pub(super) facts: Facts,
    severity: Severity,
    left_when_raised: u64,
    has_paged: bool,
    /// Terms that raised the score in some revision.
    #[serde(deserialize_with = "detectors")]
    fired: SmallVec<[&'static str; 6]>,
    revisions: Vec<Revision>,
    /// Bytes when it was last closed, and the day, for re-opening.
    pub(super) largest: u64,
    pub(super) closed_on: Day,
    /// What a person judged of it.
    verdict: Option<Verdict>,
    #[serde(default)]
    hushed: Hushed,
    /// The score from which it pages, where a rule says another than the budget.
    #[serde(default)]
    threshold: Option<Bits>,
    /// The limit that it has passed, and the day on which that was told.
    #[serde(default)]
    limit: Option<(Day, Limit)>,
}

/// What rules have kept of an incident from being told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Hushed {
    /// By which rule, at the latest look.
    by: Option<Silence>,
    /// Nothing was told since it was last opened.
    is_untold: bool,
    /// Nothing was ever told.
    is_unknown: bool,
    /// Bytes that are accounted for: as told, or as hushed up.
    bytes: u64,
    /// The day on which it was last told that an allowance is exceeded, and by how much.
    excess: Option<(Day, Excess)>,
}

/// An incident as last looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) day: Day,
    /// Start of the first flow of the day that counts.
    started: Timestamp,
    pub(super) last: Timestamp,
    today: Sent,
    finding: Finding,
    flows: SmallVec<[FlowBytes; 1]>,
    /// The host's address, and those that it was seen to send from.
    addr: Addr,
    sources: Vec<Addr>,
    peers: Vec<Addr>,
    /// Destinations, of an incident about many.
    destinations: usize,
    /// Hosts that sent it together, with the bytes of each.
    together: Vec<(Addr, u64)>,
    first_seen: Timestamp,
    pub(super) labels: Labels,
    hosts_30d: usize,
    no_alert_below_bytes: u64,
}

impl Key {
    pub(super) fn of(scene: &impl Scene, finding: &Finding) -> Self {
        let destination = match finding.subject {
            Subject::Destination => Some(scene.destination()),
            Subject::Many => None,
        };
        Self { host: scene.host(), destination, family: finding.family }
    }
}

impl Incident {
    /// Would it page for the first time by a verdict of this severity?
    pub(super) fn is_graver(&self, severity: Severity) -> bool {
        self.severity < Severity::Medium && severity >= Severity::Medium
    }

    pub(super) fn open(key: &Key, facts: Facts, severity: Severity) -> Self {
        let started = facts.started;
        Self {
            id: id(key, started),
            started,
            carried: Sent::default(),
            left_when_raised: facts.finding.bytes(),
            facts,
            severity,
            has_paged: false,
            fired: SmallVec::new(),
            revisions: Vec::new(),
            largest: 0,
            closed_on: Day::default(),
            verdict: None,
            hushed: Hushed { is_untold: true, is_unknown: true, ..Hushed::default() },
            threshold: None,
            limit: None,
        }
    }

    /// The same incident again, with all that was counted under it since.
    pub(super) fn reopen(self, mut facts: Facts, severity: Severity) -> Self {
        facts.meet(&self.facts.peers);
        Self {
            left_when_raised: self.sent().out.sent,
            facts,
            severity,
            has_paged: false,
            fired: SmallVec::new(),
            hushed: Hushed { is_untold: true, ..self.hushed },
            ..self
        }
    }

    /// Nothing more is told of it, until it is far more.
    pub(super) fn close(&mut self) {
        self.largest = self.largest.max(self.sent().out.sent);
        self.closed_on = self.facts.day;
    }

    /// Takes a person's verdict; is it another than before?
    pub(super) fn settle(&mut self, verdict: Verdict) -> bool {
        self.verdict.replace(verdict) != Some(verdict)
    }

    /// Takes over a new look at it.
    pub(super) fn refresh(&mut self, scene: &impl Scene, finding: &Finding) {
        self.facts.finding = finding.clone();
        self.recount(scene);
    }

    /// Brings its counts up to date.
    pub(super) fn recount(&mut self, scene: &impl Scene) {
        if scene.day() != self.facts.day {
            self.carried = self.carried.plus(&self.facts.today);
            self.facts.day = scene.day();
        }
        self.facts.recount(scene);
    }

    /// Takes note of what rules say of the threshold, at a new look.
    pub(super) fn set_bar(&mut self, bar: Bar) {
        self.threshold = bar.bits.map(Bits::from_f64);
        if let Some(limit) = &bar.limit {
            let least = &mut self.facts.no_alert_below_bytes;
            *least = limit.bytes_per_day.min(*least);
        }
        self.limit = bar.limit.map(|limit| (self.facts.day, limit));
    }

    /// Has it passed a limit today, and was that not told yet?
    pub(super) fn passes_limit(&self, bar: &Bar) -> bool {
        let told_on = self.limit.as_ref().map(|(day, _)| *day);
        bar.limit.is_some() && told_on != Some(self.facts.day)
    }

    pub(super) fn sent(&self) -> Sent {
        self.carried.plus(&self.facts.today)
    }

    /// Fourfold bytes, a term that had not fired, or a higher severity.
    pub(super) fn has_news(&self, finding: &Finding, severity: Severity) -> bool {
        let last = self.revisions.last().map_or(0, |revision| revision.bytes_out);
        self.sent().out.sent >= last.saturating_mul(GROWTH)
            || severity > self.severity
            || fired(finding).any(|term| !self.fired.contains(&term))
    }

    /// Is it to be told now, because of what rules say and though it has not grown? What was hushed up is
    /// told when that ends; and once a day, that an allowance is exceeded.
    pub(super) fn surfaces(&self, ruling: &Ruling, is_open: bool) -> bool {
        if ruling.silence.as_ref().is_some_and(Silence::hides) {
            return false;
        }
        let Hushed { by, is_untold, excess, .. } = &self.hushed;
        let is_over = is_open && by.is_some() && ruling.silence.is_none();
        let told_on = excess.as_ref().map(|(day, _)| *day);
        *is_untold || is_over || ruling.excess.is_some() && told_on != Some(self.facts.day)
    }

    /// What happened to it for whoever is told now.
    pub(super) fn kind_told(&self, kind: Kind, ruling: &Ruling) -> Kind {
        if ruling.silence.as_ref().is_some_and(Silence::hides) {
            return kind;
        }
        match kind {
            Kind::Close => Kind::Close,
            Kind::Open | Kind::Update | Kind::Reopen if self.hushed.is_unknown => Kind::Open,
            Kind::Open | Kind::Update | Kind::Reopen if self.hushed.is_untold => Kind::Reopen,
            Kind::Open | Kind::Update | Kind::Reopen => kind,
        }
    }

    /// Takes note of what rules say, and answers what they hush up.
    pub(super) fn hush(&mut self, ruling: &Ruling, is_told: bool) -> Option<(Silence, Hush)> {
        let sent = self.sent().out.sent;
        let hushed = &mut self.hushed;
        let bytes = sent.saturating_sub(std::mem::replace(&mut hushed.bytes, sent));
        let before = std::mem::replace(&mut hushed.by, ruling.silence.clone());
        let is_hidden = ruling.silence.as_ref().is_some_and(Silence::hides);
        if is_told && !is_hidden {
            (hushed.is_untold, hushed.is_unknown) = (false, false);
        }
        if !is_hidden {
            hushed.excess = ruling.excess.clone().map(|excess| (self.facts.day, excess));
        }
        let silence = ruling.silence.clone()?;
        let is_another =
            before.is_none_or(|before| (before.by, &before.rule) != (silence.by, &silence.rule));
        Some((silence, Hush { at: self.facts.last, is_another, bytes }))
    }

    /// Has it sent more than the allowance that hides it says?
    pub(super) fn is_past_ceiling(&self, bytes: u64) -> bool {
        let ceiling = self.hushed.by.as_ref().and_then(|by| by.bytes_per_day);
        ceiling.is_some_and(|ceiling| bytes > ceiling)
    }

    /// The rule because of which its end is not told either, with what was sent since the latest look.
    pub(super) fn hush_close(&mut self) -> Option<(Silence, Hush)> {
        let silence = self.hushed.by.clone()?;
        let sent = self.facts.today.out.sent;
        if !silence.hides() || self.hushed.is_untold && !self.is_past_ceiling(sent) {
            let ruling = Ruling { silence: Some(silence), excess: None };
            return self.hush(&ruling, false);
        }
        (self.hushed.is_untold, self.hushed.is_unknown) = (false, false);
        None
    }

    /// Takes over a verdict; answers whether the incident pages for the first time.
    pub(super) fn raise(&mut self, finding: &Finding, severity: Severity) -> bool {
        self.severity = self.severity.max(severity);
        for term in fired(finding) {
            if !self.fired.contains(&term) {
                self.fired.push(term);
            }
        }
        let pages =
            !self.has_paged && self.severity >= Severity::Medium && self.hushed.by.is_none();
        if pages {
            self.has_paged = true;
            self.left_when_raised = self.sent().out.sent;
        }
        pages
    }

    pub(super) fn tell(
        &mut self,
        key: &Key,
        (kind, reason, silenced): (Kind, Option<ClosedBecause>, Option<Silence>),
        time: Timestamp,
        options: &Options,
        budget: &Budget,
    ) -> Alert {
        let Sent { out, bytes_in, packets_in } = self.sent();
        let finding = &self.facts.finding;
        let revision = self.revisions.last().map_or(0, |last| last.revision) + 1;
        self.revisions.push(Revision {
            revision,
            time,
            bytes_out: out.sent,
            score_bits: finding.score,
        });
        if self.revisions.len() > REVISIONS_KEPT {
            self.revisions.remove(1);
        }
        let elapsed = self.facts.last.since(self.started);
        let destination = self.facts.destination(key);
        let machine = &self.facts.labels.machine;
        let ips = self.facts.addresses();
        let supporting = finding.terms.iter().skip(1).filter(|term| term.bits > Bits::default());
        Alert {
            schema: "sekisho.alert/1",
            kind,
            silenced,
            reason,
            incident: self.id.clone(),
            revision,
            time,
            severity: self.severity,
            score_bits: finding.score,
            threshold_bits: self.threshold.unwrap_or(budget.threshold()),
            budget: budget.alerts_per_day(),
            techniques: techniques(key.family, &destination, finding),
            family: key.family.name(),
            detectors: fired(finding).collect(),
            summary: self.facts.summary(key, out.sent, elapsed),
            host: HostFacts {
                ip: self.facts.addr,
                ips,
                mac: machine.mac.clone(),
                name: machine.name.clone(),
                disputed: machine.is_disputed,
                role: self.facts.labels.role.clone(),
            },
            started: self.started,
            last: self.facts.last,
            bytes_out: out.sent,
            bytes_out_acked: out.acked,
            bytes_out_wire: out.wire,
            bytes_in,
            rate_bps: rate_bps(out.sent, elapsed),
            why: self.why(),
            quiet: DETECTORS
                .into_iter()
                .filter(|name| finding.terms.iter().all(|term| term.evidence.name() != *name))
                .collect(),
            counterfactual: Counterfactual {
                bits_without: supporting
                    .map(|term| (term.evidence.name(), finding.score_without(term)))
                    .collect(),
                no_alert_below_bytes: self.facts.no_alert_below_bytes,
            },
            left_when_raised: self.left_when_raised,
            revisions: self.revisions.clone(),
            flows: self.facts.flows.iter().map(flow_facts).collect(),
            pivot: pivot(&self.facts.sources, &self.facts.ends(&destination.ips)),
            staging: finding.staging().map(StagingFacts::of),
            together: self.facts.together.iter().map(TogetherFacts::of).collect(),
            destination,
            evidence: None,
            health: Health::of_pair(&out, packets_in),
            sensor: Sensor {
                name: options.sensor.clone(),
                version: env!("CARGO_PKG_VERSION"),
                config: options.config_digest.clone(),
            },
        }
    }
}

impl Incident {
    fn why(&self) -> Vec<Why> {
        let excess = self.hushed.excess.as_ref().filter(|(day, _)| *day == self.facts.day);
        let client = self.facts.labels.who.client.as_deref();
        let terms = self.facts.finding.terms.iter().map(|term| text::why(term, client));
        let limit = self.limit.as_ref().filter(|(day, _)| *day == self.facts.day);
        let limit = limit.map(|(_, limit)| text::passed(limit, self.facts.finding.bytes()));
        terms.chain(excess.map(|(_, excess)| text::exceeded(excess))).chain(limit).collect()
    }
}

impl Facts {
    pub(super) fn of(scene: &impl Scene, finding: &Finding, labels: Labels) -> Self {
        let first_at = scene.sight(finding.subject, finding.family).first_at;
        let mut facts = Self {
            day: scene.day(),
            started: first_at,
            last: scene.last_at(),
            today: Sent::default(),
            finding: finding.clone(),
            flows: SmallVec::new(),
            addr: scene.addr(),
            sources: Vec::new(),
            peers: Vec::new(),
            destinations: 0,
            together: Vec::new(),
            first_seen: finding.known.host_since.unwrap_or(first_at),
            labels,
            hosts_30d: 0,
            no_alert_below_bytes: 0,
        };
        facts.recount(scene);
        facts
    }

    /// Bytes that the latest verdict on it is about, and those of its class in the host's windows then.
    pub(super) fn measure(&self) -> (u64, (Class, WindowSums)) {
        let measure = &self.finding.measure;
        (self.finding.bytes(), (measure.class, measure.windows))
    }

    /// Finds what costs a walk over all hosts, or many verdicts: only for what is told.
    pub(super) fn weigh(&mut self, scene: &impl Scene, threshold: Bits) {
        self.hosts_30d =
            scene.hosts_within(30) + usize::from(self.finding.known.host_since.is_none());
        self.no_alert_below_bytes = scene.bytes_at_threshold(&self.finding, threshold);
    }

    pub(super) fn recount(&mut self, scene: &impl Scene) {
        let sight = scene.sight(self.finding.subject, self.finding.family);
        self.last = self.last.max(scene.last_at());
        (self.flows, self.today) = (sight.flows, sight.sent);
        (self.destinations, self.together) = (sight.destinations, sight.together);
        if self.finding.subject == Subject::Many {
            self.started = self.started.min(sight.first_at);
        }
        self.addr = scene.addr();
        meet(&mut self.sources, &[&[self.addr], &sight.sources[..]].concat(), SOURCES_KEPT);
        self.meet(&sight.peers);
    }

    /// All addresses of the host: the one it goes by, those that sent, and the others of the machine.
    fn addresses(&self) -> Vec<Addr> {
        let mut addresses = vec![self.addr];
        meet(&mut addresses, &self.sources, usize::MAX);
        meet(&mut addresses, &self.labels.machine.addresses, usize::MAX);
        addresses
    }

    /// The other ends of the evidence: outside, and inside where it was staged from.
    fn ends(&self, outside: &[Addr]) -> Vec<Addr> {
        let outside = outside.iter().copied().take(PIVOT_DESTINATIONS);
        outside.chain(self.finding.staging().map(|staging| staging.source)).collect()
    }

    /// Is one of these among the outside ends?
    pub(super) fn meets(&self, peers: &[Addr]) -> bool {
        peers.iter().any(|peer| self.peers.contains(peer))
    }

    /// Takes note of outside ends.
    fn meet(&mut self, peers: &[Addr]) {
        meet(&mut self.peers, peers, PEERS_KEPT);
    }

    fn destination(&self, key: &Key) -> DestinationFacts {
        let largest = self.flows.first();
        // Of many destinations each has a name of its own.
        let who = key.destination.map(|_| &self.labels.who);
        let name = who.and_then(|who| who.name.clone());
        DestinationFacts {
            key: key.destination.map_or_else(|| "*".to_owned(), |_| self.labels.key.clone()),
            name_source: name.as_ref().map(|&(_, source)| source),
            name: name.map(|(name, _)| name),
            ips: self.peers.clone(),
            ports: ports(&self.flows),
            transport: largest.map(|flow| flow.key.protocol.to_string()),
            service: who.and_then(|who| who.service),
            client: who.and_then(|who| who.client.as_deref()).map(str::to_owned),
            recipients: who.map(|who| who.recipients).filter(|&count| count > 0),
            initiator: match largest {
                Some(flow) if flow.initiator != flow.side => "destination",
                Some(_) | None => "host",
            },
            name_mismatch: who.filter(|who| who.name.is_some()).map(|who| who.is_mismatch),
            asn: self.labels.asn.filter(|_| who.is_some()),
            country: self.labels.country.clone().filter(|_| who.is_some()),
            category: self.labels.category.clone().filter(|_| who.is_some()),
            first_seen: self.first_seen,
            hosts_30d: self.hosts_30d,
        }
    }

    fn summary(&self, key: &Key, sent: u64, elapsed: Duration) -> String {
        match key.family {
            Family::Volume | Family::Server => self.summary_of_bytes(key, sent, elapsed),
            Family::Dns | Family::Icmp => {
                let to = key.destination.map(|_| self.labels.key.as_str());
                let evidence = self.finding.terms.first().map(|term| &term.evidence);
                evidence.map_or_else(String::new, |evidence| {
                    text::told(self.addr, to, sent, elapsed, evidence)
                })
            }
        }
    }

    fn summary_of_bytes(&self, key: &Key, sent: u64, elapsed: Duration) -> String {
        let Labels { who, key: to, .. } = &self.labels;
        let to = match (key.destination, &who.name) {
            (Some(_), Some((name, _))) if who.is_mismatch => {
                format!("{to}, which was called {name} but is not,")
            }
            (Some(_), Some((name, _))) if !name.is_address() => match &self.peers[..] {
                [peer] => format!("{name} at {peer}"),
                peers => format!("{name} at {} addresses", peers.len()),
            },
            (Some(_), _) => to.clone(),
            (None, _) if key.family == Family::Server => {
                format!("{} outside clients", self.destinations)
            }
            (None, _) => format!("{} recently met destinations", self.destinations),
        };
        let (window_secs, history_max, days) = self.finding.busiest_window();
        let staged = self.finding.staging().map(|staging| format!("; {}", text::staged(staging)));
        format!(
            "{} has sent {} to {to} ({}) in {}; {}{}",
            self.addr,
            text::bytes(sent),
            self.acquaintance(key, days),
            text::duration(elapsed),
            text::busiest(window_secs, history_max, days),
            staged.unwrap_or_default(),
        )
    }

    fn acquaintance(&self, key: &Key, days: u32) -> String {
        let known = &self.finding.known;
        if key.family == Family::Server {
            return "which asked for it".to_owned();
        }
        match (known.host_since, known.hosts) {
            (Some(_), _) if known.is_novel(self.finding.bytes()) => {
                "never this much before".to_owned()
            }
            (Some(_), _) => "known to this host".to_owned(),
            (None, 0) if days == 0 => "first day on record".to_owned(),
            (None, 0) => "never seen here".to_owned(),
            (None, hosts) => format!("new to this host, known to {hosts}"),
        }
    }
}

/// Names of detectors, as they were kept; one that is no more is left out.
fn detectors<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SmallVec<[&'static str; 6]>, D::Error> {
    let kept = Vec::<String>::deserialize(deserializer)?;
    Ok(DETECTORS.into_iter().filter(|name| kept.iter().any(|kept| kept == name)).collect())
}

/// Names of the terms that raised the score.
fn fired(finding: &Finding) -> impl Iterator<Item = &'static str> + '_ {
    finding.terms.iter().filter(|term| term.bits > Bits::default()).map(|term| term.evidence.name())
}

pub(super) fn severity(finding: &Finding, threshold: Bits) -> Severity {
    let is_much = finding.bytes().saturating_sub(finding.known.host_largest) >= MUCH;
    let above = finding.score - threshold;
    if above < Bits::default() {
        Severity::Low
    } else if above >= Bits::whole(12) && is_much {
        Severity::Critical
    } else if above >= Bits::whole(6) || is_much {
        Severity::High
    } else {
        Severity::Medium
    }
}

/// ATT&CK: exfiltration over a web service where the port says web, else over another protocol; in clear text
/// over one that is none for data, with the channel that it is. What was collected on the host first is local staging.
fn techniques(
    family: Family,
    destination: &DestinationFacts,
    finding: &Finding,
) -> Vec<&'static str> {
    let is_web = || destination.ports.iter().any(|port| [80, 443, 8080, 8443].contains(port));
    let mut techniques = match family {
        Family::Dns => vec!["T1048.003", "T1071.004"],
        Family::Icmp => vec!["T1048.003", "T1095"],
        Family::Volume | Family::Server if is_web() => vec!["T1567"],
        Family::Volume | Family::Server => vec!["T1048"],
    };
    techniques.extend(finding.staging().map(|_| "T1074.001"));
    techniques
}

/// Ports at the outside end, or at the inside end of flows that the outside opened.
pub(super) fn ports(flows: &[FlowBytes]) -> Vec<u16> {
    let serving = |flow: &FlowBytes| {
        flow.key.end(if flow.initiator == flow.side { flow.side.other() } else { flow.side }).port
    };
    let mut ports: Vec<u16> =
        flows.iter().filter(|flow| !flow.key.protocol.is_icmp()).map(serving).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn rate_bps(bytes: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 8000 / millis).unwrap_or(u64::MAX)
}

fn flow_facts(flow: &FlowBytes) -> FlowFacts {
    let (host, peer) = (flow.key.end(flow.side), flow.key.end(flow.side.other()));
    FlowFacts {
        community_id: flow.key.community_id(),
        src: host.addr,
        sport: host.port,
        dst: peer.addr,
        dport: peer.port,
        proto: flow.key.protocol.to_string(),
        bytes_out: flow.bytes_out,
    }
}

/// Takes note of addresses, as far as there is room.
fn meet(known: &mut Vec<Addr>, addrs: &[Addr], max: usize) {
    for addr in addrs {
        if known.len() < max && !known.contains(addr) {
            known.push(*addr);
        }
    }
}

fn pivot(sources: &[Addr], ips: &[Addr]) -> Pivot {
    let field = |addr: &Addr| if addr.to_ip().is_ipv6() { "ipv6.addr" } else { "ip.addr" };
    let any_of = |texts: Vec<String>, or: &str| match texts.len() {
        1 => texts.concat(),
        _ => format!("({})", texts.join(or)),
    };
    let hosts = |ips: &[Addr]| any_of(ips.iter().map(|ip| format!("host {ip}")).collect(), " or ");
    let is_it = |ip: &Addr| format!("{}=={ip}", field(ip));
    let fields = |ips: &[Addr]| any_of(ips.iter().map(is_it).collect(), " || ");
    Pivot {
        bpf: format!("{} and {}", hosts(sources), hosts(ips)),
        wireshark: format!("{} && {}", fields(sources), fields(ips)),
    }
}

/// The same in every replay of the same traffic.
fn id(key: &Key, started: Timestamp) -> String {
    let to = match key.destination {
        Some(to) => to.address().map_or_else(|| format!("{:x}", to.to_bits()), |to| to.to_string()),
        None => "*".to_owned(),
    };
    let text = format!("{}|{to}|{:?}|{}", key.host, key.family, started.as_nanos());
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Growth that is worth another alert.
pub(super) const GROWTH: u64 = 4;

/// Bytes beyond normal that make an incident high whatever its score.
const MUCH: u64 = 100_000_000;

/// Alerts remembered in an incident: the first and the latest.
const REVISIONS_KEPT: usize = 32;

/// Outside ends listed in an incident, and in its filters.
const PEERS_KEPT: usize = 256;
const PIVOT_DESTINATIONS: usize = 20;

/// Inside addresses listed in an incident.
const SOURCES_KEPT: usize = 20;
