//! Whom what was just learned is about.

use crate::flow::FlowKey;
use crate::net::Addr;

/// Addresses of which something was learned while deltas waited that had been looked up before: at times one too
/// many, never one too few.
#[derive(Debug, Default)]
pub(super) struct News {
    is_of_all: bool,
    /// A bit for each of 256 sets of addresses.
    of: [u64; 4],
}

impl News {
    /// Something was learned of flows of this address.
    pub(super) fn note(&mut self, addr: Addr) {
        let (word, bit) = set_of(addr);
        self.of[word] |= bit;
    }

    /// Something was learned that may be about anybody.
    pub(super) fn note_all(&mut self) {
        self.is_of_all = true;
    }

    /// Was anything learned of an end of this flow?
    pub(super) fn concern(&self, flow: &FlowKey) -> bool {
        let is_noted = |addr| {
            let (word, bit) = set_of(addr);
            self.of[word] & bit != 0
        };
        self.is_of_all || is_noted(flow.low.addr) || is_noted(flow.high.addr)
    }
}

/// The upper bits of a product depend on all of the address (Knuth, The Art of Computer Programming 3, 6.4).
fn set_of(addr: Addr) -> (usize, u64) {
    let [high, low] = addr.halves();
    let set = (high.rotate_left(32) ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    ((set >> 6) as usize, 1 << (set & 63))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Analyst, Options};
    use super::*;
    use crate::config::{Keys, Settings};
    use crate::egress::Destination;
    use crate::flow::{Counters, FlowDelta, FlowEnd, Sender};
    use crate::names::{Event, Facts, Name, NameSource, Service};
    use crate::net::{Endpoint, Protocol};
    use crate::time::Timestamp;

    fn sends(secs: u64, end: Option<FlowEnd>) -> FlowDelta {
        let at = Timestamp::from_secs_nanos(secs, 0);
        let host = Endpoint { addr: Addr::from_v4([10, 0, 0, 1]), port: 50_000 };
        let server = Endpoint { addr: Addr::from_v4([198, 51, 100, 7]), port: 443 };
        let out = Counters { payload: 5000, sent: 5000, packets: 5, ..Counters::default() };
        let delta = FlowDelta::new(host, server, Protocol::TCP, at, [out, Counters::default()]);
        FlowDelta { end, ..delta }
    }

    /// To whom how much went.
    fn sent(analyst: &Analyst) -> Vec<(Destination, u64)> {
        let host = analyst.egress().active().next().unwrap();
        analyst.egress().pairs().of(host).map(|pair| (pair.destination, pair.out.sent)).collect()
    }

    /// A connection that begins anew between the same ports has said nothing yet, also when it is counted along
    /// with the end of the one before.
    #[test]
    fn what_a_flow_said_ends_with_it() {
        let options: Options = Settings::of(&Keys::default()).unwrap().analyst;
        let deltas = [sends(1, None), sends(2, Some(FlowEnd::Fin)), sends(3, None)];
        let name = Name::of(b"files.example.com").unwrap();
        let facts = Facts {
            seen_at: Timestamp::from_secs_nanos(1, 0),
            service: Service::Tls,
            name: Some((name.clone(), NameSource::TlsSni)),
            named_by: Some(Sender::Low),
            ..Facts::default()
        };
        let mut together = Analyst::new(options.clone());
        together.hear(&Event::Facts(deltas[0].key, Arc::new(facts)));
        let mut alone = together.clone();
        together.fold(&deltas);
        deltas.iter().for_each(|delta| alone.fold([delta]));
        let nameless = Destination::of_address(Addr::from_v4([198, 51, 100, 7]));
        assert_eq!(sent(&alone), [(name.destination().unwrap(), 10_000), (nameless, 5000)]);
        assert_eq!(sent(&together), sent(&alone));
    }

    #[test]
    fn news_are_of_whom_they_are() {
        let addr = |number: u32| Addr::from_v4(number.to_be_bytes());
        let flow = |low, high| {
            FlowKey::of(
                Endpoint { addr: addr(low), port: 1 },
                Endpoint { addr: addr(high), port: 2 },
                Protocol::UDP,
            )
            .0
        };
        let mut news = News::default();
        news.note(addr(5));
        assert!(news.concern(&flow(5, 9)) && news.concern(&flow(1, 5)));
        let others = (10..1010).filter(|&low| news.concern(&flow(low, low + 5000))).count();
        assert!(others < 30, "{others} of 1000");
        news.note_all();
        assert!(news.concern(&flow(7, 9)));
    }
}
