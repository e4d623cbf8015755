//! Incidents as they live: opened once, updated when it matters, closed when quiet.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::incident::{Facts, GROWTH, Incident, Key, severity};
use super::ranking::{Best, RankingEntry, ranked};
use super::record::{Alert, ClosedBecause, Kind, Severity};
use super::scene::Scene;
use super::silenced::{Hush, Silenced, Tally};
use super::wishes::Wishes;
use crate::arena::Hand;
use crate::detect::{Bits, Case, Family, Finding, Subject};
use crate::egress::{self, Class, Destination, HostKey, WindowSums};
use crate::names::Who;
use crate::net::Addr;
use crate::rules::{Ruling, Silence};
use crate::time::{Day, Timestamp};

/// How incidents live, and how they are signed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Alerts a day that the operator wants to see.
    pub alerts_per_day: f64,
    /// Quiet time after which an incident closes.
    pub quiet_after: Duration,
    /// Days after it closed within which the same pair re-opens its incident, once it has sent four times as
    /// much in all.
    pub reopen_within_days: i32,
    /// Hosts that are ranked at most, and as many peaks of a day and closed incidents; of more the least of a few
    /// goes, and the incident that closed longest ago.
    pub hosts_max: usize,
    /// The sensor's name.
    pub sensor: String,
    /// Digest of everything configured that can change a verdict.
    pub config_digest: String,
}

/// What the rules and the wire say about the two ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Labels {
    /// The host's declared role.
    pub role: Option<String>,
    /// The machine that the host is, or whose address it is.
    pub machine: MachineFacts,
    /// The destination's category.
    pub category: Option<String>,
    /// The destination in words.
    pub key: String,
    /// Autonomous system of the address that got most.
    pub asn: Option<u32>,
    /// The country of that address, as two letters.
    pub country: Option<String>,
    /// Who the destination is.
    pub who: Who,
}

/// What is known of a machine inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// All its addresses.
    pub addresses: Vec<Addr>,
    /// Its hardware address, where it is sure.
    pub mac: Option<String>,
    /// What it called itself.
    pub name: Option<String>,
    /// Does more than one machine claim its address?
    #[serde(default)]
    pub is_disputed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            alerts_per_day: 1.0,
            quiet_after: Duration::from_secs(1800),
            reopen_within_days: 14,
            hosts_max: egress::Options::default().hosts_max,
            sensor: "sekisho".to_owned(),
            config_digest: String::new(),
        }
    }
}

/// What a person judged of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It was in order.
    Benign,
    /// It was a theft.
    Theft,
}

/// An incident of which a person has judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The inside end.
    pub host: HostKey,
    /// The outside end; of many, none is said.
    pub destination: Option<Destination>,
    /// The kind of upload.
    pub family: Family,
    /// The day on which it was last seen.
    pub day: Day,
    /// Bytes that it was about, on one day.
    pub bytes: u64,
    /// What kind of exchange it was, and bytes of that in the host's sliding windows at its last look.
    pub windows: (Class, WindowSums),
}

/// All incidents that are open, or may re-open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Incidents {
    #[serde(skip)]
    options: Options,
    budget: Budget,
    incidents: BTreeMap<Key, Incident>,
    open: BTreeSet<Key>,
    /// Those that closed, the longest ago first; some again, or gone since.
    #[serde(default)]
    closed: VecDeque<Key>,
    /// No open incident can have been quiet for long enough before this.
    next_close: Timestamp,
    /// Largest score today of each incident that there is, or could be, and the threshold it was above.
    peaks: IndexMap<Key, (Bits, Option<Bits>), foldhash::fast::RandomState>,
    /// Those of them that are in order, by an allowance.
    #[serde(default)]
    allowed: BTreeSet<Key>,
    /// Each host's best of the day.
    best: IndexMap<HostKey, Best, foldhash::fast::RandomState>,
    /// Where the searches for the least of these go on.
    #[serde(default)]
    hands: (Hand, Hand),
    /// What rules have silenced, ever and in this run.
    #[serde(default)]
    silenced: Tally,
    #[serde(skip)]
    silenced_now: Tally,
    /// Of this run.
    #[serde(skip)]
    paged: u64,
    /// Closed incidents, hosts of the ranking and peaks that made room for others, in this run.
    #[serde(skip)]
    forgotten: u64,
}

/// Memory of a host of the ranking, a peak and a closed incident, in bytes, with room to grow: what there may be of
/// [`Options::hosts_max`].
pub const HOST_BYTES: usize =
    (size_of::<Best>() + size_of::<(Key, Bits, Option<Bits>)>() + 2 * MAP_ENTRY) * 3 / 2
        + size_of::<(Key, Incident)>()
        + INCIDENT_HEAP;

/// Key, hash and index of an entry in an ordered map.
const MAP_ENTRY: usize = 56;

/// What an incident holds beside its own structure, as most do: a few flows, addresses, revisions, names.
const INCIDENT_HEAP: usize = 1024;

impl Incidents {
    /// None yet.
    pub fn new(options: Options) -> Self {
        Self {
            budget: Budget::new(options.alerts_per_day),
            options,
            incidents: BTreeMap::new(),
            open: BTreeSet::new(),
            closed: VecDeque::new(),
            next_close: Timestamp::MAX,
            peaks: IndexMap::default(),
            allowed: BTreeSet::new(),
            best: IndexMap::default(),
            hands: Default::default(),
            silenced: Tally::default(),
            silenced_now: Tally::default(),
            paged: 0,
            forgotten: 0,
        }
    }

    /// Goes on from what another process kept. The threshold is that of the day under way.
    #[must_use]
    pub fn resume(self, options: Options) -> Self {
        Self { budget: self.budget.resume(options.alerts_per_day), options, ..self }
    }

    /// Takes a person's verdict on an incident whose days are over before `today`; `None` where there is
    /// nothing to do, as when the same was said before.
    pub fn settle(&mut self, id: &str, verdict: Verdict, today: Day) -> Option<Settled> {
        let (key, incident) = self.incidents.iter_mut().find(|(_, incident)| incident.id == id)?;
        let is_over = incident.facts.day < today;
        (is_over && incident.settle(verdict)).then(|| Settled {
            host: key.host,
            destination: key.destination,
            family: key.family,
            day: incident.facts.day,
            bytes: incident.facts.measure().0,
            windows: incident.facts.measure().1,
        })
    }

    /// The threshold, and what it follows from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Incidents that have paged so far.
    pub fn paged(&self) -> u64 {
        self.paged
    }

    /// Closed incidents, hosts of the ranking and peaks that made room for others, in this run.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Incidents that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Signs what is told from now on with another digest.
    pub fn set_config_digest(&mut self, digest: String) {
        self.options.config_digest = digest;
    }

    /// Takes a verdict: opens, updates or re-opens an incident, or lets it pass, as rules wish.
    ///
    /// Answers whether the pair is under suspicion, and what to tell, or to put on record. Rules decide who is told;
    /// what is learned is the same without them.
    pub fn observe(
        &mut self,
        scene: &impl Scene,
        finding: &Finding,
        labels: impl FnOnce() -> Labels,
        wishes: Wishes<'_>,
    ) -> (bool, Option<Alert>) {
        let labels = LazyCell::new(labels);
        let bar = wishes.bar(scene, finding, || labels.clone());
        let bought = self.budget.threshold();
        let threshold = bar.bits.map_or(bought, Bits::from_f64);
        let severity = match severity(finding, threshold) {
            Severity::Low if bar.limit.is_some() => Severity::Medium,
            severity => severity,
        };
        let key = Key::of(scene, finding);
        // Rules are asked of what could alert, and not of every pair.
        let could_alert = finding.passes_gate || bar.limit.is_some();
        let ruling = if could_alert && !wishes.exceptions.is_empty() {
            wishes.ruling(scene, (finding, severity), &labels)
        } else {
            Ruling::default()
        };
        let is_allowed = ruling.silence.as_ref().is_some_and(Silence::allows);
        if is_allowed {
            // What is in order is no peak that the bar could go by, and was none on the way here.
            self.allowed.insert(key);
            self.peaks.swap_remove(&key);
        } else if finding.passes_gate {
            self.allowed.remove(&key);
        }
        self.note(scene, finding, ruling.silence.as_ref());
        // What is learned follows from the budget alone.
        let is_suspicious = finding.passes_gate && finding.score >= bought - LOW;
        let is_striking = finding.passes_gate && finding.score >= threshold - LOW;
        if !is_striking && bar.limit.is_none() {
            return (is_suspicious, None);
        }
        let kind = match self.incidents.get_mut(&key) {
            Some(_) if self.open.contains(&key) => Kind::Update,
            Some(past) if scene.day().since(past.closed_on) <= self.options.reopen_within_days => {
                // In silence, until it is four times what was told, or is to page and did not.
                past.recount(scene);
                if past.sent().out.sent < past.largest.saturating_mul(GROWTH)
                    && !past.is_graver(severity)
                    && !past.surfaces(&ruling, false)
                    && !past.passes_limit(&bar)
                {
                    let hushed = past.hush(&ruling, false);
                    self.tally(hushed.as_ref());
                    return (is_suspicious, None);
                }
                Kind::Reopen
            }
            Some(_) | None => Kind::Open,
        };
        let incident = match kind {
            Kind::Open | Kind::Reopen => {
                if kind == Kind::Open {
                    self.make_room();
                }
                self.open.insert(key);
                self.next_close =
                    self.next_close.min(scene.last_at().plus(self.options.quiet_after));
                let facts = Facts::of(scene, finding, labels.clone());
                let old = self.incidents.remove(&key).filter(|_| kind == Kind::Reopen);
                let incident = match old {
                    Some(old) => old.reopen(facts, severity),
                    None => Incident::open(&key, facts, severity),
                };
                self.incidents.entry(key).or_insert(incident)
            }
            Kind::Update | Kind::Close => match self.incidents.get_mut(&key) {
                Some(incident) => {
                    incident.refresh(scene, finding);
                    if !incident.has_news(finding, severity)
                        && !incident.surfaces(&ruling, true)
                        && !incident.passes_limit(&bar)
                    {
                        let hushed = incident.hush(&ruling, false);
                        self.tally(hushed.as_ref());
                        return (is_suspicious, None);
                    }
                    incident.facts.labels = labels.clone();
                    incident
                }
                None => return (is_suspicious, None),
            },
        };
        incident.facts.weigh(scene, threshold);
        incident.set_bar(bar);
        let kind = incident.kind_told(kind, &ruling);
        let hushed = incident.hush(&ruling, true);
        let newly_paged = incident.raise(finding, severity);
        let time = incident.facts.last;
        let about = (kind, None, ruling.silence);
        let alert = incident.tell(&key, about, time, &self.options, &self.budget);
        if newly_paged {
            self.paged += 1;
            if let Some(best) = self.best.get_mut(&key.host) {
                best.alerted = true;
            }
        }
        self.tally(hushed.as_ref());
        (is_suspicious, Some(alert))
    }

    /// What rules have silenced, ever.
    pub fn silenced(&self) -> Vec<Silenced> {
        self.silenced.list()
    }

    /// What rules have silenced in this run.
    pub fn silenced_now(&self) -> Vec<Silenced> {
        self.silenced_now.list()
    }

    fn tally(&mut self, hushed: Option<&(Silence, Hush)>) {
        if let Some((silence, hush)) = hushed {
            self.silenced.add(silence, *hush);
            self.silenced_now.add(silence, *hush);
        }
    }

    /// Has the pair sent more than the allowance that hides its incident says? It is then looked at at once.
    pub fn is_past_ceiling(&self, case: &Case<'_>) -> bool {
        let (host, of_pair) = (case.host.key(), Some(case.pair.destination));
        !self.open.is_empty()
            && [(of_pair, case.pair.out.sent), (None, case.host.young_out(case.pair.class()))]
                .into_iter()
                .any(|(destination, bytes)| {
                    [Family::Volume, Family::Server].into_iter().any(|family| {
                        let key = Key { host, destination, family };
                        self.open.contains(&key)
                            && self
                                .incidents
                                .get(&key)
                                .is_some_and(|incident| incident.is_past_ceiling(bytes))
                    })
                })
    }

    /// Is an incident open that this destination could be part of?
    pub fn is_open(&self, host: HostKey, destination: Destination) -> bool {
        !self.open.is_empty()
            && [Some(destination), None].into_iter().any(|destination| {
                [Family::Volume, Family::Server]
                    .into_iter()
                    .any(|family| self.open.contains(&Key { host, destination, family }))
            })
    }

    /// Is the pair's largest flow already part of an open incident that knows better what it carries: of names,
    /// or of pings?
    pub fn is_covered(&self, case: &Case<'_>) -> bool {
        let family = match case.pair.flows.first() {
            Some(flow) if flow.key.protocol.is_icmp() => Family::Icmp,
            Some(flow) if flow.key.end(flow.side.other()).port == DNS_PORT => Family::Dns,
            Some(_) | None => return false,
        };
        let host = case.host.key();
        let peers = case.pair.peers();
        !self.open.is_empty()
            && self.open.iter().filter(|key| key.host == host && key.family == family).any(|key| {
                self.incidents.get(key).is_some_and(|incident| incident.facts.meets(&peers))
            })
    }

    /// Is an incident open that is about many destinations of the host?
    pub fn tells_of_many(&self, host: HostKey, family: Family) -> bool {
        !self.open.is_empty() && self.open.contains(&Key { host, destination: None, family })
    }

    /// Is any incident of this host open?
    pub fn has_open(&self, host: HostKey) -> bool {
        self.open.iter().any(|key| key.host == host)
    }

    /// Keeps an open incident's counts true between looks.
    pub fn touch(&mut self, scene: &impl Scene) {
        if !self.open.is_empty() {
            self.recount(scene, |key, _, open| open.contains(key));
        }
    }

    /// Counts what the latest look of the day did not see, under incidents that the day was counted under.
    pub fn complete(&mut self, scene: &impl Scene) {
        let today = scene.day();
        self.recount(scene, |_, incident, _| incident.facts.day == today);
    }

    /// Hosts and destinations of incidents that `day` was counted under; of many, none is said.
    pub fn counted_on(&self, day: Day) -> Vec<(HostKey, Option<Destination>)> {
        let of_day = self.incidents.iter().filter(|(_, incident)| incident.facts.day == day);
        of_day.map(|(key, _)| (key.host, key.destination)).collect()
    }

    fn recount(
        &mut self,
        scene: &impl Scene,
        is_meant: impl Fn(&Key, &Incident, &BTreeSet<Key>) -> bool,
    ) {
        let host = scene.host();
        for subject in scene.subjects() {
            let destination = match subject {
                Subject::Destination => Some(scene.destination()),
                Subject::Many => None,
            };
            for &family in scene.families() {
                let key = Key { host, destination, family };
                if let Some(incident) = self.incidents.get_mut(&key)
                    && is_meant(&key, incident, &self.open)
                {
                    incident.recount(scene);
                }
            }
        }
    }

    /// Closes what has been quiet until `now`.
    pub fn advance(&mut self, now: Timestamp, tell: impl FnMut(Alert)) {
        if now < self.next_close {
            return;
        }
        let quiet_after = self.options.quiet_after;
        let is_quiet = |incident: &Incident| incident.facts.last.plus(quiet_after) <= now;
        let quiet: Vec<Key> = self
            .open
            .iter()
            .filter(|key| self.incidents.get(key).is_some_and(is_quiet))
            .copied()
            .collect();
        quiet.iter().filter_map(|key| self.close(key, ClosedBecause::Quiet)).for_each(tell);
        let open = self.open.iter().filter_map(|key| self.incidents.get(key));
        let next = open.map(|incident| incident.facts.last.plus(quiet_after)).min();
        self.next_close = next.unwrap_or(Timestamp::MAX);
    }

    /// Closes everything: there is no more input.
    pub fn close_all(&mut self, because: ClosedBecause, tell: impl FnMut(Alert)) {
        let open = std::mem::take(&mut self.open);
        open.iter().filter_map(|key| self.close(key, because)).for_each(tell);
    }

    /// Ends a day: its peaks teach the budget, its ranking is handed out, old incidents are let go.
    /// `text_of` puts a destination into words.
    pub fn close_day(
        &mut self,
        day: Day,
        text_of: impl Fn(Destination) -> String,
    ) -> Vec<RankingEntry> {
        for (_, (peak, alarmed_at)) in std::mem::take(&mut self.peaks) {
            self.budget.learn(peak, alarmed_at);
        }
        self.allowed.clear();
        self.silenced.forget();
        let keep = self.options.reopen_within_days;
        let open = &self.open;
        self.incidents
            .retain(|key, incident| open.contains(key) || day.since(incident.closed_on) <= keep);
        self.closed.retain(|key| self.incidents.contains_key(key));
        ranked(std::mem::take(&mut self.best), day, text_of)
    }

    /// Follows what a host has sent from one destination to another, of which it turned out to be.
    pub fn rename(&mut self, host: HostKey, (from, to): (Destination, Destination)) {
        for family in [Family::Volume, Family::Server] {
            let old = Key { host, destination: Some(from), family };
            let new = Key { destination: Some(to), ..old };
            if self.incidents.contains_key(&new) {
                continue;
            }
            if let Some(incident) = self.incidents.remove(&old) {
                self.incidents.insert(new, incident);
            }
            if self.open.remove(&old) {
                self.open.insert(new);
            }
        }
        let old = Key { host, destination: Some(from), family: Family::Volume };
        if let Some((score, alarmed_at)) = self.peaks.swap_remove(&old) {
            self.peak(Key { destination: Some(to), ..old }, score, alarmed_at);
        }
        if let Some(best) = self.best.get_mut(&host).filter(|best| best.destination == from) {
            best.destination = to;
        }
    }

    /// Follows what an address has sent to the machine that it turned out to be of, where `has_moved` says so. An
    /// incident of which the machine has one of its own stays by itself until it is quiet.
    pub fn unite(
        &mut self,
        from: HostKey,
        to: HostKey,
        has_moved: impl Fn(Family, Option<Destination>) -> bool,
    ) {
        let first = Key { host: from, destination: None, family: Family::Volume };
        let of_host = self.incidents.range(first..).take_while(|(key, _)| key.host == from);
        let keys: Vec<Key> = of_host.map(|(key, _)| *key).collect();
        for old in keys {
            let new = Key { host: to, ..old };
            if !has_moved(old.family, old.destination) || self.incidents.contains_key(&new) {
                continue;
            }
            if let Some(incident) = self.incidents.remove(&old) {
                self.incidents.insert(new, incident);
            }
            if self.open.remove(&old) {
                self.open.insert(new);
            }
        }
        // Whoever has a peak has a best too.
        let Some(best) = self.best.swap_remove(&from) else { return };
        let known = self.best.entry(to).or_insert_with(|| best.clone());
        let alerted = known.alerted || best.alerted;
        if best.worth() > known.worth() {
            *known = best;
        }
        known.alerted = alerted;
        let peaks: Vec<Key> = self.peaks.keys().filter(|key| key.host == from).copied().collect();
        for old in peaks {
            if let Some((score, alarmed_at)) = self.peaks.swap_remove(&old) {
                self.peak(Key { host: to, ..old }, score, alarmed_at);
            }
        }
    }

    /// Takes note of a peak of a pair, among others of it.
    fn peak(&mut self, key: Key, score: Bits, alarmed_at: Option<Bits>) {
        let peak = self.peaks.entry(key).or_insert((Bits::default(), None));
        *peak = (peak.0.max(score), peak.1.or(alarmed_at));
    }

    /// Sets the threshold for the coming day.
    pub fn freeze_budget(&mut self, host_days: u64, hosts: usize) {
        self.budget.freeze(host_days, hosts);
    }

    /// Takes note of a verdict for the ranking, and for the budget when it passes the gate.
    pub fn note(&mut self, scene: &impl Scene, finding: &Finding, silence: Option<&Silence>) {
        let threshold = self.budget.threshold();
        let (host, destination) = (scene.host(), scene.destination());
        let key = Key::of(scene, finding);
        let max = self.options.hosts_max;
        let alarmed_at = (finding.score >= threshold).then_some(threshold);
        let worth = |&(score, alarmed_at): &(Bits, Option<Bits>)| (alarmed_at.is_some(), score);
        let own = worth(&(finding.score, alarmed_at));
        if finding.passes_gate
            && !self.allowed.contains(&key)
            && has_room(
                &mut self.peaks,
                &key,
                (max, &mut self.hands.0),
                (worth, own),
                &mut self.forgotten,
            )
        {
            // One for an incident: what a host sent to many is found again with each of them.
            self.peak(key, finding.score, alarmed_at);
        }
        let known = self.best.get(&host);
        let own = (finding.score, finding.bytes());
        let is_better = known.is_none_or(|best| own > best.worth());
        let alerted = known.is_some_and(|best| best.alerted);
        if is_better
            && has_room(
                &mut self.best,
                &host,
                (max, &mut self.hands.1),
                (Best::worth, own),
                &mut self.forgotten,
            )
        {
            let addr = scene.addr();
            let silenced = silence.cloned();
            let best =
                Best { addr, finding: finding.clone(), destination, threshold, alerted, silenced };
            self.best.insert(host, best);
        }
    }

    /// Forgets what closed longest ago while there is more than there may be.
    fn make_room(&mut self) {
        while self.incidents.len() >= self.options.hosts_max
            && let Some(key) = self.closed.pop_front()
        {
            let is_gone = !self.open.contains(&key) && self.incidents.remove(&key).is_some();
            self.forgotten += u64::from(is_gone);
        }
    }

    fn close(&mut self, key: &Key, because: ClosedBecause) -> Option<Alert> {
        self.open.remove(key);
        self.closed.push_back(*key);
        let incident = self.incidents.get_mut(key)?;
        incident.close();
        let time = match because {
            ClosedBecause::Quiet => incident.facts.last.plus(self.options.quiet_after),
            ClosedBecause::Eof | ClosedBecause::Stopped => incident.facts.last,
        };
        let hushed = incident.hush_close();
        let silence = hushed.as_ref().map(|(silence, _)| silence.clone());
        let about = (Kind::Close, Some(because), silence);
        let alert = incident.tell(key, about, time, &self.options, &self.budget);
        self.tally(hushed.as_ref());
        Some(alert)
    }
}

/// Where DNS is served that somebody delegates to (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// Is there room for something of this worth? When there is none, of the next few the one worth least makes it,
/// unless that is worth as much.
fn has_room<K: Hash + Eq, V, W: Ord>(
    map: &mut IndexMap<K, V, foldhash::fast::RandomState>,
    key: &K,
    (max, hand): (usize, &mut Hand),
    (worth, own): (impl Fn(&V) -> W, W),
    forgotten: &mut u64,
) -> bool {
    if map.len() < max || map.contains_key(key) {
        return true;
    }
    let least = hand.next(map.len()).min_by_key(|&place| worth(&map[place]));
    let least = least.filter(|&place| worth(&map[place]) < own);
    let is_made = least.and_then(|place| map.swap_remove_index(place)).is_some();
    *forgotten += u64::from(is_made);
    is_made
}

/// Below the threshold by less than this, an incident is told at low severity.
const LOW: Bits = Bits::whole(2);
