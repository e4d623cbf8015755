//! DNS tunnel: how likely is a day with so much information in names?

use super::{Bits, Evidence, Family, Finding, Subject, least_at_threshold, of_channel};
use crate::baseline::{Asker, Habits, Tail};
use crate::covert::{Channel, Lookups, Names, Shared};
use crate::egress::Group;
use crate::time::Day;

/// A host and a domain that it asks for, against what is normal.
#[derive(Debug, Clone, Copy)]
pub struct DnsCase<'a> {
    /// What the host has told the domain today.
    pub channel: &'a Channel<Names>,
    /// How all hosts ask for the domain today, as far as is remembered.
    pub shared: Option<&'a Shared>,
    /// Domains that the host has asked for today.
    pub domains: u64,
    /// The hosts it is compared with.
    pub group: Group,
    /// What is normal.
    pub habits: &'a Habits,
    /// Today.
    pub day: Day,
}

impl DnsCase<'_> {
    /// Judges what was told.
    pub fn judge(&self) -> Finding {
        self.judge_told(self.channel.own())
    }

    /// The least number of bytes told that would still score `threshold`, all else equal.
    pub fn bytes_at_threshold(&self, threshold: Bits) -> u64 {
        least_at_threshold(self.channel.own(), threshold, |bytes| self.judge_told(bytes))
    }

    fn judge_told(&self, bytes: u64) -> Finding {
        let (host, to) = (self.channel.host, self.channel.destination);
        let asker = Asker {
            host,
            group: self.group,
            stands_for: (self.domains as f64 / DOMAINS_OF_A_HOST).max(1.0),
        };
        let others = self.shared.into_iter().flat_map(|shared| shared.others(host));
        let prior = Tail::power_law(bytes, PRIOR_SCALE, PRIOR_ALPHA);
        let tail = self.habits.channel(prior, &asker, to, others, bytes);
        let familiar = self.habits.familiar(host, to);
        let queries = self.channel.out.messages;
        let evidence = Evidence::DnsTunnel {
            bytes,
            // Of many names it is an estimate.
            names: self.channel.different().min(queries.max(self.channel.back.messages)),
            queries,
            kinds: self.channel.detail.kinds,
            hosts: self.shared.map_or(1, Shared::hosts).max(1),
            history_max: familiar.host_largest,
            days: familiar.host_days,
        };
        let is_enough = bytes >= Lookups::FLOOR;
        of_channel(
            (Subject::Destination, Family::Dns),
            (tail, evidence),
            (bytes, is_enough),
            &familiar,
        )
    }
}

/// What is believed of a host's day before anything was seen: the domain that hears most is told x bytes or more
/// with P = min(1, (x / 200 B)^−1.3) (DETECTION 4.4). Names are chosen for people, or by programs for one thing
/// each: even a walk over 14,000 domains tells none of them 170 B.
const PRIOR_SCALE: f64 = 200.0;
const PRIOR_ALPHA: f64 = 1.3;

/// Domains that a host asks for on a busy day. Who asks for more does so for others, and the largest of n
/// hosts' days is up to n times as likely to be this large.
const DOMAINS_OF_A_HOST: f64 = 256.0;
