//! One day of one host.

use std::collections::BTreeMap;
use std::time::Duration;

use super::messages::Says;
use super::parameters::{Event, Over, Parameters, When, Who};
use super::places::{PlaceId, Places};
use super::transfer::Transfer;
use super::{Days, Host};
use crate::net::{Addr, Protocol};
use crate::synth::random::Random;
use crate::time::Timestamp;

/// What all hosts share.
pub(super) struct Office<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) calendar: &'a Days,
    pub(super) places: &'a mut Places,
}

/// One day of one host, in the making.
pub(super) struct Workday<'a> {
    pub(super) office: Office<'a>,
    pub(super) host: &'a mut Host,
    /// By which it is seen today.
    pub(super) addr: Addr,
    /// The same over IPv6, if it has that.
    pub(super) temporary: Option<Addr>,
    pub(super) random: Random,
    pub(super) day: u32,
    pub(super) out: &'a mut Vec<Transfer>,
}

impl Workday<'_> {
    pub(super) fn make_up(mut self) {
        let hours = self.hours();
        if self.host.who == Who::Workstations && !hours.is_empty() {
            self.browse(&hours);
            self.idle(&hours);
        }
        let parameters = self.office.parameters;
        for event in &parameters.events {
            self.happen(event, &hours);
        }
    }

    /// The hours at which somebody is at it.
    fn hours(&mut self) -> Vec<u64> {
        let parameters = self.office.parameters;
        let hosts = &parameters.hosts;
        let chance = match () {
            () if self.host.is_always_on || self.host.starts_on == Some(self.day) => 1.0,
            () if self.is_back() => 1.0,
            () if self.office.calendar.is_off(self.day) => hosts.present_weekend,
            () if self.office.calendar.is_friday(self.day) => hosts.present * hosts.present_friday,
            () => hosts.present,
        };
        let (is_present, place_in_line) = (self.random.unit() < chance, self.random.unit());
        let is_at_work = |&hour: &u64| {
            // Who comes early goes late: so the profile holds for every hour.
            self.host.is_always_on
                || is_present && place_in_line < parameters.hours.at_work[hour as usize]
        };
        (0..24).filter(is_at_work).collect()
    }

    /// Is it a working day after one on which the host was away or elsewhere?
    fn is_back(&self) -> bool {
        let Office { parameters, calendar, .. } = &self.office;
        let is_here = |&day: &u32| self.host.is_here(day, &parameters.travel);
        let working = |day: &u32| !calendar.is_off(*day);
        let before = (0..self.day).rev().find(working);
        working(&self.day) && is_here(&self.day) && before.is_some_and(|day| !is_here(&day))
    }

    /// Visits of favourite and rare places; those of an hour to a place make one flow.
    fn browse(&mut self, hours: &[u64]) {
        let browsing = &self.office.parameters.browsing;
        let scale = self.host.scale;
        let bytes = MB * self.random.lognormal(browsing.mb_median * scale, browsing.mb_spread_days);
        let visits = self.random.lognormal(browsing.visits_median, browsing.visits_spread) as u32;
        let mut weights: BTreeMap<(u64, PlaceId), f64> = BTreeMap::new();
        for _ in 0..visits.min(VISITS_MAX) {
            let hour = self.pick(hours);
            let place = self.office.places.visit(&mut self.host.habits, &mut self.random);
            *weights.entry((hour, place)).or_default() += self.random.lognormal(1.0, VISIT_SPREAD);
        }
        let whole: f64 = weights.values().sum();
        for ((hour, place), weight) in weights {
            let out = (bytes * weight / whole) as u64;
            let back = if self.office.places.is_talkative(place) {
                out / 3
            } else {
                (out as f64 * self.random.lognormal(browsing.in_per_out, 1.0)) as u64
            };
            let millis = self.random.lognormal(20_000.0, 1.0) as u64;
            let start = self.moment(hour);
            self.send(place, start, Flow { out, back, millis, ..Flow::default() });
        }
    }

    /// What a machine says by itself, each hour, to a few services that many use.
    fn idle(&mut self, hours: &[u64]) {
        let out = (MB * self.office.parameters.browsing.mb_idle / 24.0) as u64;
        for &hour in hours {
            let place = self.office.places.service("vendor");
            let start = self.moment(hour);
            self.send(place, start, Flow { out, back: out, millis: 60_000, ..Flow::default() });
        }
    }

    fn happen(&mut self, event: &Event, hours: &[u64]) {
        let is_its = event.who == self.host.who
            && event.is_on(self.day)
            && self.host.is_among(event.share, &event.name);
        let is_on = match event.when {
            When::Work | When::Night => true,
            When::First => self.host.starts_on == Some(self.day),
            When::Back => self.is_back(),
        };
        if !is_its || !is_on {
            return;
        }
        let meets = |hour: &u64| event.hours.is_empty() || event.hours.contains(hour);
        let hours: Vec<u64> = match event.when {
            When::Night => NIGHT.filter(meets).collect(),
            _ => hours.iter().copied().filter(meets).collect(),
        };
        if hours.is_empty() {
            return;
        }
        for _ in 0..self.random.poisson(event.rate / 100.0) {
            let mb = self.random.lognormal(event.mb_median, event.mb_spread).min(event.mb_max);
            let out = (mb * MB) as u64;
            let hour = self.pick(&hours);
            let place = match event.to.as_str() {
                "own" => self.host.own_service,
                "relay" => Places::relay(&mut self.random),
                "client" => Places::client(&mut self.random),
                "new" => self.office.places.fresh(),
                service => self.office.places.service(service),
            };
            let flow = Flow {
                out,
                back: (out as f64 * event.back) as u64,
                millis: (out as f64 * 8.0 / (event.mbit * 1000.0)) as u64,
                port: event.port,
                protocol: event.over.protocol(),
                is_inbound: event.to == "client",
                says: match (event.over, event.who) {
                    (Over::Tcp | Over::Udp, _) => Says::Bytes,
                    (Over::Icmp, _) => Says::Pings,
                    (Over::Dns, Who::Servers) => Says::Names,
                    (Over::Dns, Who::Workstations) => Says::Digests,
                },
            }
            .in_messages();
            let start = self.moment(hour);
            self.send(place, start, flow);
        }
    }

    fn send(&mut self, place: PlaceId, start: Timestamp, flow: Flow) {
        let Flow { out, back, millis, port, protocol, is_inbound, says } = flow;
        let direct = Transfer {
            machine: self.addr,
            host: self.addr,
            place: place.addr(),
            port,
            protocol,
            is_inbound,
            start,
            millis,
            out,
            back,
            says,
        };
        if direct.is_web() && self.host.asks_proxy(&self.office.parameters.proxy) {
            let latest = self.office.calendar.midnights[self.day as usize].minus(PROXY_PAUSE);
            self.out.extend(direct.through_proxy(start.min(latest)));
        } else {
            let v6 = self.temporary.and_then(|own| Some([own, self.office.places.v6(place)?]));
            self.out.push(v6.map_or(direct, |ends| direct.over_v6(ends)));
        }
    }

    fn pick(&mut self, hours: &[u64]) -> u64 {
        hours[self.random.below(hours.len() as u64) as usize]
    }

    /// Some moment of an hour of the day.
    fn moment(&mut self, hour: u64) -> Timestamp {
        let millis = hour * 3_600_000 + self.random.below(3_600_000);
        self.office.calendar.start(self.day).plus(Duration::from_millis(millis))
    }
}

/// What a transfer is like.
#[derive(Debug, Clone, Copy)]
struct Flow {
    out: u64,
    back: u64,
    millis: u64,
    port: u16,
    protocol: Protocol,
    is_inbound: bool,
    says: Says,
}

impl Flow {
    /// The same in whole messages, where it consists of them.
    fn in_messages(self) -> Self {
        let [ask, answer] = self.says.unit();
        if !self.says.is_messages() {
            return self;
        }
        let count = self.out.div_ceil(ask);
        Self { out: count * ask, back: count * answer, ..self }
    }
}

impl Default for Flow {
    fn default() -> Self {
        let (port, protocol, says) = (443, Protocol::TCP, Says::Bytes);
        Self { out: 0, back: 0, millis: 0, port, protocol, is_inbound: false, says }
    }
}

const MB: f64 = 1e6;

/// The hours of what happens at night.
const NIGHT: std::ops::Range<u64> = 1..5;

/// A proxy is asked on the day on which it sends: nothing is sent right before midnight.
const PROXY_PAUSE: Duration = Duration::from_secs(5);

/// Visits a day at most.
const VISITS_MAX: u32 = 20_000;

/// Standard deviation of the logarithm of a visit's share of the day.
const VISIT_SPREAD: f64 = 1.5;
