//! ICMP tunnel: how likely is a day with so much information in pings, or with so many that nobody answers?

use super::{Bits, Evidence, Family, Finding, Subject, Term, least_at_threshold, of_channel};
use crate::baseline::{Asker, Familiar, Habits, Tail};
use crate::covert::{Channel, Channels, Echoes, Pings, Sweep};
use crate::egress::Group;
use crate::time::Day;

/// A host and an address that it pings, against what is normal.
#[derive(Debug, Clone, Copy)]
pub struct IcmpCase<'a> {
    /// What the host has told the address today.
    pub channel: &'a Channel<Pings>,
    /// What all hosts have told today.
    pub channels: &'a Channels<Pings>,
    /// All that the host pings today.
    pub sweep: &'a Sweep,
    /// What it and the others told on earlier days.
    pub echoes: &'a Habits,
    /// How many addresses never replied on earlier days.
    pub sweeps: &'a Habits,
    /// The hosts it is compared with.
    pub group: Group,
    /// Today.
    pub day: Day,
}

impl IcmpCase<'_> {
    /// Judges what was told, or to how many, whichever is less likely.
    pub fn judge(&self) -> Finding {
        let (told, swept) = (self.judge_told(self.channel.told()), self.judge_sweep());
        if swept.score > told.score { swept } else { told }
    }

    /// The least number of bytes that would still score `threshold`, all else equal: told to the one address, or
    /// sent to fewer of the many.
    pub fn bytes_at_threshold(&self, subject: Subject, threshold: Bits) -> u64 {
        match subject {
            Subject::Destination => {
                least_at_threshold(self.channel.told(), threshold, |bytes| self.judge_told(bytes))
            }
            Subject::Many => {
                let (all, bytes) = (self.sweep.unanswered(), self.sweep.out.bytes);
                let judge = |addresses| self.judge_addresses(addresses);
                let least = least_at_threshold(all, threshold, judge);
                (u128::from(bytes) * u128::from(least) / u128::from(all.max(1))) as u64
            }
        }
    }

    fn judge_told(&self, bytes: u64) -> Finding {
        let (host, to) = (self.channel.host, self.channel.destination);
        let prior = Tail::power_law(bytes, PRIOR_SCALE, PRIOR_ALPHA);
        let tail = self.echoes.channel(prior, &self.asker(), to, std::iter::empty(), bytes);
        let familiar = self.echoes.familiar(host, to);
        let Pings { replies, mirrored, .. } = self.channel.detail;
        let evidence = Evidence::IcmpTunnel {
            bytes,
            echoes: self.channel.out.messages,
            replies,
            mirrored,
            history_max: familiar.host_largest,
            days: familiar.host_days,
        };
        let is_enough = bytes >= Echoes::FLOOR;
        let subject = (Subject::Destination, Family::Icmp);
        let mut finding = of_channel(subject, (tail, evidence), (bytes, is_enough), &familiar);
        if self.channel.is_mismatched() {
            let term =
                Term { bits: MISMATCH, evidence: Evidence::EchoMismatch { replies, mirrored } };
            finding.score = finding.score + term.bits;
            finding.terms.push(term);
        }
        finding
    }

    fn judge_sweep(&self) -> Finding {
        self.judge_addresses(self.sweep.unanswered())
    }

    fn judge_addresses(&self, addresses: u64) -> Finding {
        let prior = Tail::power_law(addresses, SWEEP_SCALE, SWEEP_ALPHA);
        let tail = self.sweeps.largest(prior, &self.asker(), addresses);
        let familiar = self.sweeps.familiar(self.channel.host, self.channel.destination);
        let evidence = Evidence::PingSweep {
            addresses,
            history_max: familiar.host_largest,
            days: familiar.host_days,
        };
        let bytes = self.sweep.out.bytes;
        let is_enough = addresses >= Echoes::SWEEP_FLOOR;
        let subject = (Subject::Many, Family::Icmp);
        of_channel(subject, (tail, evidence), (bytes, is_enough), &Familiar::default())
    }

    fn asker(&self) -> Asker {
        Asker { host: self.channel.host, group: self.group, stands_for: 1.0 }
    }
}

/// What is believed of a host's day before anything was seen: the address that is told most in pings is told x
/// bytes or more with P = min(1, 1472 B / x). Ping fills its echoes with a pattern that never changes, so that an
/// ordinary day tells next to nothing; the scale is one echo of the largest size, once, full of something else.
/// Nothing is published of the rest, and 1 is the index between that of bytes (0.7) and that of names (1.3).
const PRIOR_SCALE: f64 = 1472.0;
const PRIOR_ALPHA: f64 = 1.0;

/// The same of addresses that are pinged and do not reply: two, as where a host and its fallback are probed.
const SWEEP_SCALE: f64 = 2.0;
const SWEEP_ALPHA: f64 = 1.3;

/// Worth of replies that break RFC 792, which has them return what they got. Little: the sender of the requests
/// may own both ends, and see to it that they agree.
const MISMATCH: Bits = Bits::whole(1);
