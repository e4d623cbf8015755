//! Hosts that ask a resolver for names, and one that hides data in some of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::packet::{Packet, Transport};
use super::payload;
use super::random::{Random, scramble};
use super::talk::{Ends, HOSTS_MAX, Press, Server};
use super::traffic::{START, SynthError, range};
use crate::capture::{Polled, Source};
use crate::frame::Batch;
use crate::time::Timestamp;

/// How much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupOptions {
    /// Hosts that ask as everybody does: a name about once a minute.
    pub hosts: u32,
    /// Bytes a second that the first host hides in names; 0 for none.
    pub rate: f64,
    /// How long they ask.
    pub length: Duration,
    /// Other seeds, other names.
    pub seed: u64,
}

/// Lookups as a source of frames.
///
/// Of the ordinary ones nine in ten ask for one of a few thousand names, the first ones far more often; the
/// others have an identifier for a label, as content networks and telemetry do, or ask for the name of an address.
#[derive(Debug, Clone)]
pub struct Lookups {
    options: LookupOptions,
    random: Random,
    press: Press,
    /// What comes next, of one moment in its order.
    next: BinaryHeap<Reverse<(Timestamp, u64, Step)>>,
    ends_at: Timestamp,
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A host asks as everybody does.
    Browse(u32),
    /// The first host sends some of its data.
    Leak,
    /// The resolver answers a host what it was asked.
    Answer { host: u32, id: u16, name: String },
}

impl Lookups {
    /// Lookups as asked for.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn new(options: LookupOptions) -> Result<Self, SynthError> {
        range("hosts", 1, u64::from(HOSTS_MAX), u64::from(options.hosts))?;
        range("rate", 0, RATE_MAX, options.rate.ceil() as u64)?;
        let start = Timestamp::from_secs_nanos(START, 0);
        let mut random = Random::new(options.seed);
        let press = Press::new(&mut random);
        let ends_at = start.plus(options.length);
        let mut lookups =
            Self { press, random, next: BinaryHeap::new(), ends_at, count: 0, options };
        for host in 0..lookups.options.hosts {
            let at = start.plus(lookups.pause());
            lookups.plan(at, Step::Browse(host));
        }
        if lookups.options.rate > 0.0 {
            let at = start.plus(lookups.leak_every());
            lookups.plan(at, Step::Leak);
        }
        Ok(lookups)
    }

    /// Until a host asks again: exponential, so that they ask independently of one another.
    fn pause(&mut self) -> Duration {
        let draw = (self.random.bits() | 1) as f64 / 2f64.powi(64);
        Duration::from_secs_f64(-libm::log(draw) * PAUSE_SECS)
    }

    fn leak_every(&self) -> Duration {
        Duration::from_secs_f64(CARRIED as f64 / self.options.rate)
    }

    fn plan(&mut self, at: Timestamp, step: Step) {
        if at < self.ends_at {
            self.count += 1;
            self.next.push(Reverse((at, self.count, step)));
        }
    }

    /// Sends the next packet, if there is one.
    fn step(&mut self, out: &mut Batch) -> bool {
        let Some(Reverse((at, number, step))) = self.next.pop() else { return false };
        let (host, id, name) = match step {
            Step::Browse(host) => {
                let again = at.plus(self.pause());
                self.plan(again, Step::Browse(host));
                (host, scramble(number) as u16, self.ordinary())
            }
            Step::Leak => {
                self.plan(at.plus(self.leak_every()), Step::Leak);
                (0, scramble(number) as u16, self.carrier())
            }
            Step::Answer { host, id, name } => {
                self.send(at, (host, id), &name, true, out);
                return true;
            }
        };
        self.send(at, (host, id), &name, false, out);
        let answered_at = at.plus(Duration::from_micros(3000 + self.random.below(30_000)));
        self.plan(answered_at, Step::Answer { host, id, name });
        true
    }

    fn send(
        &mut self,
        at: Timestamp,
        (host, id): (u32, u16),
        name: &str,
        answers: bool,
        out: &mut Batch,
    ) {
        let ends =
            Ends { host, port: 0, server: Server::Inside(RESOLVER), is_v6: false, vlan: None };
        // A port for each question, as resolvers of hosts do (RFC 5452).
        let port = 0xc000 | (scramble(u64::from(id)) as u16 >> 2);
        let address = scramble(name.len() as u64 ^ u64::from(id)) as u32;
        let [_, _, c, d] = address.to_be_bytes();
        let head = payload::dns(id, name, Ipv4Addr::new(198, 18, c, d).into(), answers);
        let (client, server) = (ends.client(), ends.server());
        let (from, to, transport) = match answers {
            false => (client, server, Transport::Udp { from: port, to: 53 }),
            true => (server, client, Transport::Udp { from: 53, to: port }),
        };
        let packet =
            Packet { from, to, vlan: None, hop_limit: 64, transport, head: &head, filler: &[] };
        self.press.put(at, out, |frame, _| packet.write(frame));
    }

    fn ordinary(&mut self) -> String {
        match self.random.below(100) {
            0..90 => {
                // The n-th name about as often as 1/n (Zipf).
                let number = libm::exp(self.random.unit() * libm::log(NAMES)) as u32;
                payload::name(number)
            }
            90..98 => {
                let id = scramble(self.random.below(IDENTIFIERS));
                format!("{id:016x}.edge{}.content.example", id % 20)
            }
            _ => {
                let [a, b] = (self.random.bits() as u16).to_be_bytes();
                format!("{b}.{a}.18.198.in-addr.arpa")
            }
        }
    }

    /// A name with thirty bytes in letters and digits (RFC 4648, base 32).
    fn carrier(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let letter = |_| char::from(LETTERS[self.random.below(32) as usize]);
        let label: String = (0..CARRIED * 8 / 5).map(letter).collect();
        format!("{label}.{TUNNEL}")
    }
}

impl Source for Lookups {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let mut frames = 0;
        while frames < FRAMES_PER_POLL && self.step(batch) {
            frames += 1;
        }
        Ok(if frames == 0 { Polled::End } else { Polled::Frames })
    }
}

/// The domain that data is hidden under.
const TUNNEL: &str = "t.drop-box.example";

/// Bytes of data in one name.
const CARRIED: usize = 30;

/// Of a server inside.
const RESOLVER: u8 = 53;

const PAUSE_SECS: f64 = 60.0;
const NAMES: f64 = 5000.0;
const IDENTIFIERS: u64 = 2000;
const RATE_MAX: u64 = 1_000_000;
const FRAMES_PER_POLL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions, in an hour, and how many of them are the tunnel's.
    fn asked(rate: f64) -> (usize, usize) {
        let length = Duration::from_secs(3600);
        let mut lookups = Lookups::new(LookupOptions { hosts: 50, rate, length, seed: 3 }).unwrap();
        let (mut batch, mut latest) = (Batch::default(), Timestamp::EPOCH);
        while lookups.poll(&mut batch).unwrap() == Polled::Frames {}
        for frame in batch.frames() {
            assert!(frame.at >= latest, "in order of time");
            latest = frame.at;
        }
        let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        let questions: Vec<_> =
            batch.frames().filter(|frame| frame.bytes[36..38] == [0, 53]).collect();
        let hidden = questions.iter().filter(|frame| has(frame.bytes, b"\x08drop-box")).count();
        (questions.len(), hidden)
    }

    /// As many as the rate says, beside what everybody asks.
    #[test]
    fn the_rate_is_kept() {
        let (all, hidden) = asked(50.0);
        assert!((5990..=6000).contains(&hidden), "{hidden}");
        assert!((2700..3300).contains(&(all - hidden)), "{}", all - hidden);
        assert_eq!(asked(0.0).1, 0);
    }
}
