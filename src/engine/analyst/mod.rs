//! Folds deltas, judges, keeps incidents: one thread, deterministic, can be cloned and restored.

mod hosts;
mod kept;
mod mail;
mod messages;
mod news;

pub use kept::Outgrown;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::hosts::{group, host_of, machine, role};
use self::mail::Mails;
use self::messages::CovertHabits;
use self::news::News;
use super::worker::Reports;
use crate::alert::{
    self, Alert, ClosedBecause, Incidents, Labels, MachineFacts, RankingEntry, Record, Silenced,
    Summary, TopSender, Wishes, share,
};
use crate::baseline::{self, Baseline};
use crate::covert::{ChannelDay, Echoes, Lookups};
use crate::detect::{Bits, Case, EVERYBODY, Family, Finding, Measure, Subject, judge};
use crate::egress::{self, Crossing, Destination, Egress, Onward, Place, Relays};
use crate::flow::FlowDelta;
use crate::machines::{Identity, Register};
use crate::names::{Directory, Event, Program, Registry, Said, Turn, Usage, Who};
use crate::net::{Addr, Protocol};
use crate::rules::{Role, RuleSet, Silence};
use crate::time::{Day, PacketClock, Timestamp};

/// What the analyst goes by.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is inside, and limits.
    pub egress: egress::Options,
    /// How much of the past is remembered.
    pub baseline: baseline::Options,
    /// How incidents live.
    pub alert: alert::Options,
    /// What the operator says of networks and destinations.
    pub rules: Arc<RuleSet>,
    /// What makes a host.
    pub identity: Identity,
    /// Bytes kept of what hosts call addresses.
    pub book_bytes_max: usize,
    /// What databases say of addresses.
    pub registry: Registry,
}

/// The state of the verdict: everything after the flow table.
///
/// A clone is a fork: both go on from the same past. What is read back from where it was written lives
/// only after [`Analyst::resume`]; the owners of flows that were open then are not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Analyst {
    egress: Egress,
    baseline: Baseline,
    #[serde(default)]
    lookups: Lookups,
    #[serde(default)]
    echoes: Echoes,
    #[serde(default)]
    habits: CovertHabits,
    incidents: Incidents,
    directory: Directory,
    register: Register,
    relays: Relays,
    #[serde(skip)]
    mails: Mails,
    #[serde(skip)]
    identity: Identity,
    #[serde(skip, default = "shipped")]
    rules: Arc<RuleSet>,
    clock: PacketClock,
    #[serde(skip)]
    floor_bytes: u64,
    /// Was anything counted in this run on the day that is under way? Else its ranking was told already.
    #[serde(skip)]
    has_counted_today: bool,
    /// Did the day before end in silence, and was nothing counted since?
    #[serde(default)]
    is_waiting: bool,
    #[serde(skip)]
    records: Vec<Record>,
}

impl Analyst {
    /// One that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self {
            floor_bytes: options.egress.floor_bytes,
            register: Register::new(options.egress.internal.clone(), options.machines_max()),
            egress: Egress::new(options.egress),
            baseline: Baseline::new(options.baseline),
            lookups: Lookups::default(),
            echoes: Echoes::default(),
            habits: CovertHabits::default(),
            incidents: Incidents::new(options.alert),
            directory: Directory::new(options.book_bytes_max, options.registry),
            relays: Relays::default(),
            mails: Mails::default(),
            identity: options.identity,
            rules: options.rules,
            clock: PacketClock::default(),
            has_counted_today: false,
            is_waiting: false,
            records: Vec::new(),
        }
    }

    /// Takes what workers reported, in the order of the input: hears what was learned of names, adds
    /// deltas, and judges what each touched.
    pub fn take(&mut self, reports: &Reports) {
        let mut events = reports.events.iter().peekable();
        let mut claims = reports.claims.iter().peekable();
        let deltas = reports.deltas.iter().map(|(position, delta)| (position, delta));
        self.run(deltas, |analyst, position, news| {
            while let Some((_, claim)) = claims.next_if(|(at, _)| at < position) {
                analyst.hear_claim(claim);
            }
            while let Some((_, event)) = events.next_if(|(at, _)| at < position) {
                analyst.hear(event);
                match event {
                    Event::Facts(flow, _) => news.note(flow.low.addr),
                    Event::Answer(answer) => news.note(answer.host),
                    Event::Query(_) | Event::Echo(_) => {}
                }
            }
        });
        events.for_each(|(_, event)| self.hear(event));
        claims.for_each(|(_, claim)| self.hear_claim(claim));
        if let Some(now) = reports.idle_at {
            self.pass(now, reports.counted.held == 0);
        }
    }

    /// Takes what was learned of names. What a flow has sent so far goes with it, when it says whose its
    /// peer is. What was asked for, or pinged, is judged.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Query(query) => return self.hear_query(query),
            Event::Echo(echo) => return self.hear_echo(echo),
            Event::Facts(..) | Event::Answer(_) => {}
        }
        let turn = self.directory.hear(event);
        if let Event::Facts(flow, facts) = event {
            self.hear_mail(flow, facts);
        }
        if let Event::Facts(flow, facts) = event
            && facts.asks_proxy
            && let Some((client, destination)) = self.directory.said(flow).asked()
        {
            // From now on, and not from its first report on: the relay's own may come before that.
            let relay = flow.end(client.other()).addr;
            self.ask(relay, (destination, Onward::To(destination)), 0);
        }
        let Some(Turn { flow, client, from, to }) = turn else { return };
        let place = Place::of(self.egress.internal(), &flow);
        let Place::Border(Crossing { host, side, .. }) = place else { return };
        let (host, day) = (self.host_of(host, self.clock.now()), self.egress.day());
        let is_young = || self.baseline.is_young(host, to, day);
        if side == client && self.egress.join(&flow, host, (from, to), is_young) {
            self.incidents.rename(host, (from, to));
        }
    }

    /// Adds deltas, in their order, and judges what each touched.
    pub fn fold<'d>(&mut self, deltas: impl IntoIterator<Item = &'d FlowDelta>) {
        self.run(deltas.into_iter().map(|delta| ((), delta)), |_, (), _| {});
    }

    /// Some deltas at a time ask for their memory together: what one waits for, the others wait for
    /// meanwhile. Before each `hear` is called with its place, and notes whom it learned of: what was found out
    /// of them is found out again.
    fn run<'d, P>(
        &mut self,
        mut deltas: impl Iterator<Item = (P, &'d FlowDelta)>,
        mut hear: impl FnMut(&mut Self, P, &mut News),
    ) {
        let mut group = SmallVec::<[_; GROUP]>::new();
        let mut spots = SmallVec::<[_; GROUP]>::new();
        loop {
            group.extend(deltas.by_ref().take(GROUP).map(|(place, delta)| {
                let said = self.directory.said(&delta.key);
                (place, delta, said)
            }));
            if group.is_empty() {
                return;
            }
            spots.extend(group.iter().map(|(_, delta, said)| {
                let who = |addr| self.host_of(addr, delta.last_at);
                self.egress.place(delta, |place| self.route(delta, place, said), who)
            }));
            spots.iter_mut().for_each(|spot| self.egress.approach(spot));
            for ((_, delta, _), spot) in group.iter().zip(&spots) {
                self.egress.approach_media(delta, spot);
            }
            let (mut news, known) = (News::default(), self.knows());
            for ((place, delta, _), mut spot) in group.drain(..).zip(spots.drain(..)) {
                hear(self, place, &mut news);
                if self.knows() != known {
                    news.note_all();
                }
                // What relays may carry changes with every delta.
                if news.concern(&delta.key) || !self.relays.is_empty() {
                    let said = self.directory.said(&delta.key);
                    let route = |place| self.route(delta, place, &said);
                    let who = |addr| self.host_of(addr, delta.last_at);
                    self.egress.reroute(delta, &mut spot, route, who);
                }
                self.judge(delta, spot);
                if delta.end.is_some() {
                    self.directory.end(&delta.key);
                    self.mails.end(&delta.key);
                    news.note(delta.key.low.addr);
                }
            }
        }
    }

    /// How often it has changed what any flow may go by: whose an address is, and what was forgotten of names.
    fn knows(&self) -> (u64, u64) {
        (self.register.changes(), self.directory.answers_evicted())
    }

    /// Where a delta belongs by all that is known of its ends: to whom, and on whose behalf.
    fn route(&self, delta: &FlowDelta, place: Place, said: &Said) -> Place {
        let flow = &delta.key;
        match place {
            Place::Border(crossing) => {
                let destination =
                    self.directory.destination((flow, said), crossing.side, delta.started_at);
                let crossing = Crossing { destination, client: said.client, ..crossing };
                let bytes = delta.sent_by(crossing.side).sent;
                let onward = self.mails.onward(flow, destination);
                if self.relays.is_asked(crossing.host, onward, bytes) {
                    Place::Relayed(crossing)
                } else {
                    Place::Border(crossing)
                }
            }
            Place::Inside => match said.asked().or_else(|| self.mails.submitted(flow)) {
                Some((side, destination)) if self.is_outside(destination) => {
                    let (host, peer) = (flow.end(side).addr, flow.end(side.other()).addr);
                    let client = said.client;
                    Place::Border(Crossing { host, peer, destination, side, client })
                }
                Some(_) | None => place,
            },
            Place::Outside | Place::Relayed(_) => place,
        }
    }

    fn is_outside(&self, destination: Destination) -> bool {
        destination.address().is_none_or(|addr| !self.egress.internal().contains(addr))
    }

    /// Keeps account of what relays are asked to carry, and of what they carry.
    fn relay(&mut self, delta: &FlowDelta, place: Place) {
        // Whoever is asked for anything is known from that moment on.
        if self.relays.is_empty() {
            return;
        }
        match place {
            Place::Border(Crossing { peer, destination, side, .. }) => {
                let onward = self.mails.onward(&delta.key, destination);
                self.ask(peer, (destination, onward), delta.sent_by(side).sent);
            }
            Place::Relayed(Crossing { host, destination, side, .. }) => {
                let onward = self.mails.onward(&delta.key, destination);
                self.relays.carry(host, onward, delta.sent_by(side).sent);
            }
            Place::Inside | Place::Outside => {}
        }
    }

    /// Notes what `relay` is asked to carry, if it is one: a proxy outside is a destination like others.
    fn ask(&mut self, relay: Addr, (to, onward): (Destination, Onward), bytes: u64) {
        if self.egress.internal().contains(relay) && self.is_outside(to) {
            self.relays.ask(relay, onward, bytes);
        }
    }

    fn judge(&mut self, delta: &FlowDelta, spot: egress::Spot) {
        self.relay(delta, spot.place());
        // The end of a long idle flow brings nothing new, and so no time either.
        let is_news = delta.low.packets + delta.high.packets > 0;
        self.keep_time(if is_news { delta.last_at } else { self.clock.now() });
        let (now, day) = (self.clock.now(), self.egress.day());
        self.has_counted_today = true;
        if spot.place() == Place::Inside {
            let (identity, register) = (self.identity, &self.register);
            let who = |addr| host_of(identity, register, addr, delta.last_at);
            self.egress.take_in(delta, who);
        }
        let (rules, register, baseline) = (&self.rules, &self.register, &self.baseline);
        let touch = self.egress.fold(
            delta,
            spot,
            |host| group(rules, register, host, now),
            |host, to| baseline.is_young(host, to, day),
        );
        for day in self.egress.take_forgotten() {
            self.baseline.learn(&day);
        }
        let Some(touch) = touch else { return };
        let (host, pair) = self.egress.touched(&touch);
        let case = case(&self.egress, &self.baseline, self.floor_bytes, (host, pair));
        // The last word on an incident is said with its flow's last byte counted.
        let is_last_word =
            delta.end.is_some() && self.incidents.is_open(touch.host, touch.destination);
        let has_allowances = !self.rules.exceptions.allowances.is_empty();
        let is_past_ceiling = has_allowances && self.incidents.is_past_ceiling(&case);
        if !touch.is_due && !is_last_word && !is_past_ceiling {
            self.incidents.touch(&case);
            return;
        }
        let family = if pair.is_served() { Family::Server } else { Family::Volume };
        let tells_of_many = self.incidents.tells_of_many(touch.host, family);
        let case = Case { tells_of_many, ..self.with_speech(case) };
        let finding = self.finding(case);
        // What an incident knows as names, or as pings, is not told again as bytes.
        let is_covered = self.incidents.is_covered(&case);
        let mut is_suspicious = is_covered;
        if !is_covered {
            let known = (&*self.rules, &self.register, &self.directory);
            let labels = || labels_of_pair(known, (host, pair), now);
            let wishes = wishes(&self.rules, &self.egress);
            let alert;
            (is_suspicious, alert) = self.incidents.observe(&case, &finding, labels, wishes);
            self.records.extend(alert.map(record));
        }
        if is_suspicious && self.baseline.age(touch.host, day) >= LEARN_ALL_BEFORE {
            match finding.subject {
                Subject::Destination => self.egress.mark(&touch),
                Subject::Many => self.egress.mark_together(&touch),
            }
            if let Some(staging) = finding.staging() {
                self.egress.mark_intake(touch.host, staging.source);
            }
        }
    }

    /// Judges a pair. What goes to many destinations is judged without what an allowance covers of it.
    /// The same with how the pair's largest flow is spoken.
    fn with_speech<'a>(&self, case: Case<'a>) -> Case<'a> {
        let (usage, program) = spoken(&self.directory, case.pair);
        Case { usage, program, ..case }
    }

    fn finding(&self, case: Case<'_>) -> Finding {
        let measure = Measure::of(case.host, case.pair);
        let finding = judge(case, measure);
        if finding.subject != Subject::Many
            || !finding.passes_gate
            || self.rules.exceptions.allowances.is_empty()
        {
            return finding;
        }
        let known = (&*self.rules, &self.register, &self.directory);
        let wishes = wishes(&self.rules, &self.egress);
        let served = case.pair.is_served();
        let counts = |pair: &&egress::Pair| {
            pair.counts_together(served) && (served || pair.class() == measure.class)
        };
        let allowed = case.pairs.of(case.host).filter(counts).filter(|&pair| {
            let labels = labels_of_pair(known, (case.host, pair), self.clock.now());
            wishes.allows(&Case { pair, ..case }, pair.out.sent, &labels)
        });
        match allowed.map(|pair| pair.out.sent).sum() {
            0 => finding,
            allowed => {
                let together = measure.together.saturating_sub(allowed);
                judge(case, Measure { together, ..measure })
            }
        }
    }

    /// Notes that something came at `at`; with its day what the last one held is learned.
    fn keep_time(&mut self, at: Timestamp) {
        self.clock.advance(at);
        let now = self.clock.now();
        let (day, is_another) = self.egress.day_of(now);
        self.advance(now);
        let was_waiting = std::mem::take(&mut self.is_waiting);
        if is_another {
            if was_waiting {
                self.egress.close_day(day, |_| {});
            } else {
                self.end_day(day);
            }
            self.freeze_budget(day);
        }
    }

    /// Lets time pass in silence. A day that is over ends without anything of another, once all flows of it
    /// are over too: what they still had to say belongs to it.
    fn pass(&mut self, now: Timestamp, is_all_over: bool) {
        self.advance(now);
        let (day, _) = self.egress.day_of(now);
        if is_all_over && self.has_counted_today && day > self.egress.day() {
            self.clock.advance(now);
            self.end_day(day);
            self.freeze_budget(day);
            self.is_waiting = true;
        }
    }

    fn freeze_budget(&mut self, day: Day) {
        let hosts = self.baseline.hosts_lately(day);
        self.incidents.freeze_budget(self.baseline.host_days(), hosts);
    }

    /// Goes by other rules from now on; `config_digest` is that of alerts to come. What is inside, and what
    /// the defaults say, stays as it was at the start: counts and references are made of it. Answers
    /// whether the new rules differ in that.
    pub fn reload(&mut self, rules: Arc<RuleSet>, config_digest: String) -> bool {
        let differs = rules.networks.internal != self.rules.networks.internal
            || rules.defaults != self.rules.defaults;
        self.rules = rules;
        self.incidents.set_config_digest(config_digest);
        differs
    }

    /// What rules have kept from being told or from paging, as far back as is remembered.
    pub fn silenced(&self) -> Vec<Silenced> {
        self.incidents.silenced()
    }

    /// Incidents that are open.
    pub fn open_incidents(&self) -> usize {
        self.incidents.open()
    }

    /// Lets time pass: closes incidents that have been quiet.
    pub fn advance(&mut self, now: Timestamp) {
        self.incidents.advance(now, |alert| self.records.push(record(alert)));
    }

    /// Closes all incidents: the run ends. What is to be kept of it is written after this, and before the day
    /// is ranked: another run may go on with it.
    pub fn close(&mut self, because: ClosedBecause) {
        self.incidents.close_all(because, |alert| self.records.push(record(alert)));
    }

    /// Ends the day, as midnight does: ranks it and learns from it.
    pub fn end_day(&mut self, next: Day) {
        self.rank_day();
        let day = self.egress.day();
        for (host, destination) in self.incidents.counted_on(day) {
            let Some(host) = self.egress.host(host) else { continue };
            let is_its = |pair: &&egress::Pair| destination.is_none_or(|to| to == pair.destination);
            if let Some(pair) = self.egress.pairs().of(host).find(is_its) {
                let case = case(&self.egress, &self.baseline, self.floor_bytes, (host, pair));
                self.incidents.complete(&case);
            }
        }
        self.learn_usages(day);
        let (rules, register, now) = (&self.rules, &self.register, self.clock.now());
        let group = |host| group(rules, register, host, now);
        for of in self.egress.close_intakes() {
            self.baseline.learn_intake((of.host, group(of.host)), day, &of.taken);
        }
        self.egress.close_day(next, |host_day| self.baseline.learn(&host_day));
        let most = |channels: &[ChannelDay]| {
            channels.iter().map(|channel| channel.clipped).max().unwrap_or(0)
        };
        let CovertHabits { names, together, echoes, sweeps } = &mut self.habits;
        let asked = self.lookups.close_day();
        together.learn(
            (EVERYBODY, egress::Group::UNDECLARED),
            day,
            most(&asked.together),
            &asked.together,
        );
        for of in asked.hosts {
            let asker = (of.host, group(of.host));
            names.learn(asker, day, most(&of.channels), &of.channels);
        }
        for of in self.echoes.close_day() {
            let asker = (of.host, group(of.host));
            echoes.learn(asker, day, most(&of.channels), &of.channels);
            sweeps.learn(asker, day, of.unanswered, &[]);
        }
    }

    /// Learns how hosts spoke with those outside today, and what mail services replied, but for what is under suspicion. Less than
    /// [`USED_FROM`] is no more than an attempt.
    fn learn_usages(&mut self, day: Day) {
        let (pairs, directory) = (self.egress.pairs(), &self.directory);
        let counts = |pair: &&egress::Pair| {
            pair.out.sent >= USED_FROM && pair.clipped.is_none() && !pair.is_served()
        };
        for host in self.egress.active() {
            let (mut used, mut programs) = (BTreeSet::new(), BTreeSet::new());
            let mut replied = Vec::new();
            for pair in pairs.of(host).filter(counts) {
                let clients = pair.flows.iter().filter_map(|flow| flow.client);
                let texts = clients.filter_map(|client| directory.client_text(client));
                programs.extend(texts.map(Program::of));
                let (Some(usage), _) = spoken(directory, pair) else { continue };
                used.insert(usage);
                if usage.is_mail(pair.port()) {
                    replied.push(ChannelDay {
                        destination: pair.destination,
                        first_at: pair.first_at,
                        clipped: pair.bytes_in,
                    });
                }
            }
            let who = (host.key(), host.group());
            self.baseline.learn_usages(who, day, &used);
            self.baseline.learn_programs(who, day, &programs);
            if !replied.is_empty() {
                self.baseline.learn_replies(who, day, &replied);
            }
        }
    }

    /// What there is to tell since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Record> {
        self.records.drain(..)
    }

    /// What is normal here.
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The latest packet time of all that was taken.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The score from which an incident pages today.
    pub fn threshold(&self) -> Bits {
        self.incidents.budget().threshold()
    }

    /// The verdict on what the host with an address has sent today to the owner of another, as things are;
    /// `None` when it has sent nothing there. Of several owners who share the address it is the one who got most. It
    /// changes nothing.
    pub fn verdict(&self, host: Addr, peer: Addr) -> Option<Finding> {
        let host = self.egress.host(self.host_of(host, self.now()))?;
        let pairs = self.egress.pairs().of(host).filter(|pair| pair.peers().contains(&peer));
        let pair = pairs.max_by_key(|pair| pair.out.sent)?;
        let case = case(&self.egress, &self.baseline, self.floor_bytes, (host, pair));
        Some(judge(self.with_speech(case), Measure::of(host, pair)))
    }

    /// Who sent how much to whom.
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Fills in what the analyst knows of the run.
    pub fn summarize(&self, summary: &mut Summary) {
        self.tally(summary);
        summary.top_senders = self.top_senders();
    }

    /// Fills in what the analyst knows of the run, but for those who sent most.
    pub fn tally(&self, summary: &mut Summary) {
        let totals = self.egress.totals();
        summary.internal = self.egress.internal().nets().iter().map(ToString::to_string).collect();
        summary.timezone = self.egress.zone_name().to_owned();
        summary.hosts = self.egress.hosts().filter(|host| host.was_seen()).count();
        summary.hosts_evicted = totals.hosts_evicted;
        summary.pairs_evicted = totals.pairs_evicted;
        summary.incidents_evicted = self.incidents.forgotten();
        summary.channels_evicted = self.lookups.channels().evicted()
            + self.echoes.channels().evicted()
            + self.egress.intakes().evicted();
        summary.bytes_out = totals.bytes_out;
        summary.bytes_in = totals.bytes_in;
        summary.bytes_inside = totals.bytes_inside;
        summary.bytes_outside = totals.bytes_outside;
        summary.bytes_relayed = totals.bytes_relayed;
        summary.addresses_disputed = self.register.disputes();
        let unseen = totals.bytes_out.saturating_sub(totals.bytes_out_seen);
        summary.health.lost = Some(share(unseen, totals.bytes_out));
        summary.budget = self.incidents.budget().alerts_per_day();
        summary.threshold_bits = self.threshold();
        summary.alerts = self.incidents.paged();
        summary.silenced = self.incidents.silenced_now();
    }

    /// Hosts that sent most, largest first.
    pub(super) fn top_senders(&self) -> Vec<TopSender> {
        let mut hosts: Vec<&egress::Host> =
            self.egress.hosts().filter(|host| host.total_out() > 0).collect();
        let place =
            |host: &egress::Host| (std::cmp::Reverse(host.total_out()), host.addr(), host.key());
        hosts.sort_by_key(|host| place(host));
        let sender = |host: &&egress::Host| TopSender {
            host: host.addr(),
            mac: host.key().mac().map(|mac| mac.to_string()),
            bytes_out: host.total_out(),
            bytes_in: host.total_in(),
            destination: self.egress.largest(host).map(|(to, _)| self.directory.text(to)),
            destination_bytes: self.egress.largest(host).map_or(0, |(_, bytes)| bytes),
        };
        hosts.iter().take(TOP_SENDERS).map(sender).collect()
    }

    /// Ranks the hosts of the day as it stands.
    pub fn rank_day(&mut self) {
        let day = self.egress.day();
        // The last look may lie a tenth of the bytes back, and small hosts had none.
        for largest in self.egress.largest_today() {
            let case = case(&self.egress, &self.baseline, self.floor_bytes, largest);
            let case = self.with_speech(case);
            self.incidents.note(&case, &self.finding(case), None);
        }
        let ranking = self.incidents.close_day(day, |destination| self.directory.text(destination));
        if std::mem::take(&mut self.has_counted_today) {
            let entry = |entry: RankingEntry| Record::Ranking(Box::new(entry));
            self.records.extend(ranking.into_iter().map(entry));
        }
    }
}

impl Options {
    /// A machine with all that can be said of it takes a quarter of a host.
    fn machines_max(&self) -> usize {
        (self.egress.hosts_max / 4).min(Register::MACHINES_MAX)
    }
}

fn shipped() -> Arc<RuleSet> {
    Arc::new(RuleSet::shipped())
}

/// A host and one of its pairs as they stand today.
fn case<'a>(
    egress: &'a Egress,
    baseline: &'a Baseline,
    floor_bytes: u64,
    (host, pair): (&'a egress::Host, &'a egress::Pair),
) -> Case<'a> {
    let (pairs, intakes, day) = (egress.pairs(), egress.intakes(), egress.day());
    let (usage, program, tells_of_many) = (None, None, false);
    Case { host, pair, pairs, intakes, usage, program, baseline, day, floor_bytes, tells_of_many }
}

/// How the flow that sent most is spoken, and by which program.
fn spoken(directory: &Directory, pair: &egress::Pair) -> (Option<Usage>, Option<Program>) {
    let flow = pair.flows.first().filter(|flow| {
        [Protocol::TCP, Protocol::UDP].contains(&flow.key.protocol) && flow.initiator == flow.side
    });
    let Some(flow) = flow else { return (None, None) };
    let program = flow.client.and_then(|client| directory.client_text(client)).map(Program::of);
    (Some(directory.usage(&flow.key, flow.side, pair.first_at)), program)
}

fn record(alert: Alert) -> Record {
    let is_hidden = alert.silenced.as_ref().is_some_and(Silence::hides);
    if is_hidden { Record::Silenced(Box::new(alert)) } else { Record::Alert(Box::new(alert)) }
}

fn wishes<'a>(rules: &'a RuleSet, egress: &'a Egress) -> Wishes<'a> {
    Wishes {
        exceptions: &rules.exceptions,
        thresholds: &rules.thresholds,
        calendar: egress.calendar(),
        holidays: &rules.defaults.holidays,
    }
}

fn labels_of_pair(
    (rules, register, directory): (&RuleSet, &Register, &Directory),
    (host, pair): (&egress::Host, &egress::Pair),
    now: Timestamp,
) -> Labels {
    let peers = pair.peers();
    let addr = pair.sources().first().copied().unwrap_or(host.addr());
    let machine = machine(register, (host.key(), addr), now);
    let of_host = (role(rules, register, host.key(), now), machine);
    let who = peers.first().map(|&peer| directory.who(addr, peer, pair.first_at));
    let largest = pair.flows.first();
    let service = largest.and_then(|flow| directory.service(&flow.key, flow.initiator.other()));
    let client = largest.and_then(|flow| directory.client_text(flow.client?)).map(Box::from);
    let who = Who { service, client, ..who.unwrap_or_default() };
    labels(rules, directory, of_host, (pair.destination, peers.as_slice()), who)
}

fn labels(
    rules: &RuleSet,
    directory: &Directory,
    (role, machine): (Option<Role>, MachineFacts),
    (destination, peers): (Destination, &[Addr]),
    who: Who,
) -> Labels {
    let who = who.of(destination);
    let key = directory.text(destination);
    let named = || destination.address().is_none().then_some(key.as_str());
    let said = who.name.as_ref().filter(|_| !who.is_mismatch).map(|(name, _)| name.as_str());
    let category = said.or_else(named).and_then(|name| rules.destinations.category_of_domain(name));
    let of_address = || peers.iter().find_map(|&peer| rules.destinations.category_of(peer));
    Labels {
        role: role.map(|role| role.to_string()),
        machine,
        category: category.or_else(of_address).map(|category| category.to_string()),
        asn: peers.iter().find_map(|&peer| directory.registry().system(peer)),
        country: peers
            .iter()
            .find_map(|&peer| directory.registry().country(peer))
            .map(str::to_owned),
        key,
        who,
    }
}

/// Days of a host from which everything is learned, suspicious or not: else the nightly backup
/// alarms on the first day, is never learned, and alarms for ever (DETECTION 1).
const LEARN_ALL_BEFORE: u32 = 3;

/// Bytes to a destination in a day from which it counts as spoken with: more than the first words of most protocols.
const USED_FROM: u64 = 4 << 10;

/// Deltas that ask for their memory together.
const GROUP: usize = 32;

/// Hosts listed in the summary.
const TOP_SENDERS: usize = 10;
