//! DNS tunnel: how likely is a day with so much information in names?

use super::{Bits, Evidence, Family, Finding, Subject, least_at_threshold, of_channel};
use crate::baseline::{Asker, Habits, Tail};
use crate::covert::{Channel, Lookups, Names, Shared, ToldOf};
use crate::egress::{Group, HostKey};
use crate::net::Addr;
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
    /// The same of all hosts together.
    pub together: &'a Habits,
    /// Today.
    pub day: Day,
}

impl<'a> DnsCase<'a> {
    /// Judges what was told: by the host, or by all of those for whom it stands, whichever is less likely.
    pub fn judge(&self) -> Finding {
        match self.together() {
            Some(shared) => self.judge_together(shared, shared.told()),
            None => self.judge_told(self.channel.own()),
        }
    }

    /// The least number of bytes told that would still score `threshold`, all else equal.
    pub fn bytes_at_threshold(&self, threshold: Bits) -> u64 {
        match self.together() {
            Some(shared) => least_at_threshold(shared.told(), threshold, |bytes| {
                self.judge_together(shared, bytes)
            }),
            None => {
                least_at_threshold(self.channel.own(), threshold, |bytes| self.judge_told(bytes))
            }
        }
    }

    /// The domain as all tell it something, if the host stands for all, and this is less likely than what the host
    /// tells by itself. What was told to people first decides for the day: what one host does is not told again as
    /// part of what all do.
    pub fn together(&self) -> Option<&'a Shared> {
        let shared = self.shared.filter(|shared| shared.is_spoken_for_by(self.channel.host))?;
        let is_less_likely =
            || self.tail_together(shared, shared.told()).p < self.tail(self.channel.own()).p;
        let is_to_tell = match shared.told_of() {
            Some(of) => of == ToldOf::All,
            None => is_less_likely(),
        };
        is_to_tell.then_some(shared)
    }

    fn judge_together(&self, shared: &Shared, bytes: u64) -> Finding {
        let familiar = self.together.familiar(EVERYBODY, self.channel.destination);
        let evidence = Evidence::DnsTogether {
            bytes,
            names: shared.different(),
            hosts: shared.hosts(),
            own: self.channel.own(),
            history_max: familiar.largest,
            days: familiar.host_days,
        };
        of_channel(
            (Subject::Destination, Family::Dns),
            (self.tail_together(shared, bytes), evidence),
            (bytes, bytes >= Lookups::FLOOR),
            &familiar,
        )
    }

    /// How likely is a day on which so many hosts tell the domain this much? Of sums with heavy tails one is as
    /// large as all beyond what was to be expected: P(S ≥ x) ≈ n·P(X ≥ x − (n − 1)·E X) (Mikosch and Nagaev 1998).
    fn tail_together(&self, shared: &Shared, bytes: u64) -> Tail {
        let hosts = f64::from(shared.hosts().max(1));
        let expected = (hosts - 1.0) * PRIOR_SCALE * PRIOR_ALPHA / (PRIOR_ALPHA - 1.0);
        let beyond = bytes.saturating_sub(expected as u64);
        let prior = Tail::power_law(beyond, PRIOR_SCALE, PRIOR_ALPHA).of_largest(hosts);
        self.together.of_pair(prior, (EVERYBODY, self.channel.destination), bytes)
    }

    fn tail(&self, bytes: u64) -> Tail {
        let (host, to) = (self.channel.host, self.channel.destination);
        let asker = Asker {
            host,
            group: self.group,
            stands_for: (self.domains as f64 / DOMAINS_OF_A_HOST).max(1.0),
        };
        let others = self.shared.into_iter().flat_map(|shared| shared.others(host));
        let prior = Tail::power_law(bytes, PRIOR_SCALE, PRIOR_ALPHA);
        self.habits.channel(prior, &asker, to, others, bytes)
    }

    fn judge_told(&self, bytes: u64) -> Finding {
        let familiar = self.habits.familiar(self.channel.host, self.channel.destination);
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
            (self.tail(bytes), evidence),
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

/// All hosts of the organisation, in its habits.
pub const EVERYBODY: HostKey = HostKey::Address(Addr::from_v4([0; 4]));

/// Domains that a host asks for on a busy day. Who asks for more does so for others, and the largest of n
/// hosts' days is up to n times as likely to be this large.
const DOMAINS_OF_A_HOST: f64 = 256.0;
