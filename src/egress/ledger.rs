//! The ledger: deltas in, one record for every flow that ends.

use std::collections::HashMap;

use super::record::{Account, FlowRecord};
use crate::flow::{FlowDelta, FlowKey};
use crate::names::{Book, Event};
use crate::net::Subnets;

/// Sums the deltas of open flows, joins them with what is learned of names, and makes a record of each
/// when it ends.
///
/// It holds what the flow tables hold and no more: a key has at most one open flow, over all shards,
/// and every flow has a last delta. What hosts call addresses has a limit of its own.
#[derive(Debug, Clone)]
pub struct Ledger {
    internal: Subnets,
    open: HashMap<FlowKey, Account, foldhash::fast::RandomState>,
    book: Book,
}

impl Ledger {
    /// An empty ledger, which remembers so many bytes of what hosts call addresses.
    pub fn new(internal: Subnets, book_bytes_max: usize) -> Self {
        Self { internal, open: HashMap::default(), book: Book::new(book_bytes_max) }
    }

    /// Takes what was learned of names, in the order in which it was reported among the deltas.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Facts(key, facts) => {
                let new = || Account::new(key, facts.seen_at, &self.book);
                self.open.entry(*key).or_insert_with(new).hear(key, facts, &self.book);
            }
            Event::Answer(answer) => self.book.hear(answer, None),
            Event::Query(_) | Event::Echo(_) => {}
        }
    }

    /// Adds a delta; answers the flow's record when it was the last.
    pub fn fold(&mut self, delta: &FlowDelta) -> Option<FlowRecord> {
        let new = || Account::new(&delta.key, delta.started_at, &self.book);
        let Some(end) = delta.end else {
            self.open.entry(delta.key).or_insert_with(new).add(delta);
            return None;
        };
        let mut account = self.open.remove(&delta.key).unwrap_or_else(new);
        account.add(delta);
        Some(FlowRecord::of(&self.internal, delta, end, &account))
    }

    /// What hosts call addresses.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Flows that are open now.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Is no flow open?
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::TunnelKind;
    use crate::egress::{FlowTunnel, Party, RecordEnd, Scope};
    use crate::flow::{Counters, FlowEnd, TunnelEnds};
    use crate::net::{Addr, Endpoint, Protocol};
    use crate::time::Timestamp;

    const INSIDE: [u8; 4] = [10, 0, 0, 1];
    const OUTSIDE: [u8; 4] = [203, 0, 113, 9];

    fn ledger() -> Ledger {
        Ledger::new(Subnets::private(), 10_000)
    }

    fn sent(payload: u64, acked: u64) -> Counters {
        Counters {
            payload,
            acked,
            sent: payload.max(acked),
            wire: payload + 40,
            packets: 1,
            ..Counters::default()
        }
    }

    /// A delta of a flow that `source` opened; `out` is what it sent.
    fn delta(
        source: [u8; 4],
        destination: [u8; 4],
        out: Counters,
        back: Counters,
        end: Option<FlowEnd>,
    ) -> FlowDelta {
        let endpoint = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
        let (from, to) = (endpoint(source, 50_000), endpoint(destination, 443));
        let started_at = Timestamp::from_secs_nanos(100, 0);
        let delta = FlowDelta::new(from, to, Protocol::TCP, started_at, [out, back]);
        FlowDelta { last_at: Timestamp::from_secs_nanos(107, 0), end, ..delta }
    }

    #[test]
    fn increments_add_up_and_the_last_one_closes() {
        let mut ledger = ledger();
        let more = delta(INSIDE, OUTSIDE, sent(1000, 400), sent(10, 10), None);
        assert_eq!(ledger.fold(&more), None);
        assert_eq!(ledger.fold(&more), None);
        assert_eq!(ledger.len(), 1);
        let last = delta(INSIDE, OUTSIDE, sent(0, 1300), sent(0, 0), Some(FlowEnd::Fin));
        let record = ledger.fold(&last).unwrap();
        assert!(ledger.is_empty());
        assert_eq!((record.payload_out, record.acked_out), (2000, Some(2100)));
        assert_eq!((record.lost_out, record.bytes_out()), (Some(100), 2100));
        assert_eq!((record.packets_out, record.wire_out), (3, 2120));
        assert_eq!((record.payload_in, record.acked_in), (20, Some(20)));
        assert_eq!(record.end, RecordEnd::Fin);
        assert!(!record.one_sided);
    }

    /// A client port used again within the linger time is the same key: its bytes are not the first's.
    #[test]
    fn a_key_used_again_starts_from_nothing() {
        let mut ledger = ledger();
        let nothing = Counters::default();
        for bytes in [700, 30] {
            ledger.fold(&delta(INSIDE, OUTSIDE, sent(bytes, 0), nothing, None));
            let last = delta(INSIDE, OUTSIDE, nothing, nothing, Some(FlowEnd::Rst));
            assert_eq!(ledger.fold(&last).unwrap().payload_out, bytes);
        }
    }

    /// Who is the host must not depend on who called whom, unless nothing else can tell.
    #[test]
    fn the_inside_end_is_the_host() {
        let record = |source, destination| {
            ledger()
                .fold(&delta(source, destination, sent(5, 5), sent(7, 7), Some(FlowEnd::Eof)))
                .unwrap()
        };
        let out = record(INSIDE, OUTSIDE);
        assert_eq!((out.scope, out.initiator), (Scope::Border, Party::Host));
        assert_eq!((out.host, out.host_port), (Addr::from_v4(INSIDE), 50_000));
        assert_eq!((out.payload_out, out.payload_in), (5, 7));
        let served = record(OUTSIDE, INSIDE);
        assert_eq!((served.scope, served.initiator), (Scope::Border, Party::Peer));
        assert_eq!((served.host, served.host_port), (Addr::from_v4(INSIDE), 443));
        assert_eq!((served.payload_out, served.payload_in), (7, 5));
        for (a, b, scope) in [
            (INSIDE, [10, 0, 0, 2], Scope::Inside),
            ([10, 0, 0, 2], INSIDE, Scope::Inside),
            (OUTSIDE, [198, 51, 100, 1], Scope::Outside),
        ] {
            let kept = record(a, b);
            assert_eq!((kept.scope, kept.initiator), (scope, Party::Host));
            assert_eq!((kept.host, kept.payload_out), (Addr::from_v4(a), 5));
        }
    }

    /// A mirror session brings the flow; its ends are told on the sides of the flow's own.
    #[test]
    fn a_tunnels_ends_stand_on_the_flows_sides() {
        let mut mirrored = delta(INSIDE, OUTSIDE, sent(5, 5), sent(7, 7), Some(FlowEnd::Eof));
        let (near, far) = (Addr::from_v4([10, 9, 9, 1]), Addr::from_v4([10, 9, 9, 2]));
        mirrored.tunnel = Some(TunnelEnds { kind: TunnelKind::Gre, id: 3, low: near, high: far });
        let record = ledger().fold(&mirrored).unwrap();
        assert_eq!(record.scope, Scope::Border);
        let tunnel = FlowTunnel { kind: TunnelKind::Gre, id: 3, host: near, peer: far };
        assert_eq!(record.tunnel, Some(tunnel));
    }

    /// "0 acknowledged" would say that nothing arrived, where nobody could see the acknowledgements.
    #[test]
    fn what_cannot_be_known_is_null() {
        let nothing = Counters::default();
        let mut upload = delta(INSIDE, OUTSIDE, sent(5, 0), nothing, Some(FlowEnd::Eof));
        let record = ledger().fold(&upload).unwrap();
        assert!(record.one_sided);
        assert_eq!((record.acked_out, record.lost_out), (None, None));
        assert_eq!((record.acked_in, record.retransmitted_out), (Some(0), Some(0)));
        let download = delta(INSIDE, OUTSIDE, nothing, sent(5, 0), Some(FlowEnd::Eof));
        let record = ledger().fold(&download).unwrap();
        assert_eq!((record.acked_in, record.retransmitted_out), (None, None));
        upload.key.protocol = Protocol::UDP;
        let record = ledger().fold(&upload).unwrap();
        assert_eq!((record.acked_out, record.acked_in), (None, None));
        assert_eq!((record.retransmitted_out, record.lost_out), (None, None));
    }
}
