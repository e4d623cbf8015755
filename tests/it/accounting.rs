//! What is counted equals what was sent, whatever the capture does to the view of it.
//!
//! Every law goes the public way: frames, decode, flow tables, deltas. docs/accounting.md lists them.

use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sekisho::flow::Counters;

use crate::traffic::{
    ACK, Capture, Close, Conversation, Exchange, FIN, Kind, MILLISECOND, Open, Order, Packet, Play,
    RST, Rng, SECOND, SYN, TcpHead, Trouble, Twin,
};

/// The same cases every time, few enough for every run; `SEKISHO_CASES` times as many, and others
/// with `SEKISHO_SEED`.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases * setting("SEKISHO_CASES").unwrap_or(1) as u32,
        rng_seed: RngSeed::Fixed(setting("SEKISHO_SEED").unwrap_or(0x5e_c1_50)),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number (got {value})")))
}

fn ends(number: u16, is_v6: bool) -> (SocketAddr, SocketAddr) {
    let client = 40_000 + number;
    let (client, server) = match is_v6 {
        true => (format!("[2001:db8:20::{number:x}]:{client}"), "[2001:db8:9::9]:443"),
        false => (format!("10.20.{}.{}:{client}", number >> 8, number & 0xff), "203.0.113.9:443"),
    };
    (client.parse().unwrap(), server.parse().unwrap())
}

/// Connections of up to `max` bytes each way, without trouble.
fn conversations(max: u64) -> impl Strategy<Value = Conversation> {
    // Half of them wrap.
    let isn = || prop_oneof![any::<u32>(), (0u32..200_000).prop_map(|before| u32::MAX - before)];
    (
        (any::<bool>(), any::<bool>(), any::<u64>()),
        [0..max, 0..max],
        [isn(), isn()],
        prop_oneof![Just(536u32), Just(1440), Just(1448), Just(1460)],
        prop_oneof![Just(40_000u32), Just(256 << 10), Just(1 << 20)],
        prop_oneof![4 => Just(Open::Usual), 1 => Just(Open::Simultaneous)],
        prop_oneof![Just(Close::Fin), Just(Close::Rst), Just(Close::None)],
    )
        .prop_map(|((is_v6, has_timestamps, seed), bytes, isn, mss, window, open, close)| {
            let (client, server) = ends(7, is_v6);
            Conversation {
                isn,
                mss,
                window,
                has_timestamps,
                open,
                close,
                seed,
                ..Conversation::new(client, server, bytes)
            }
        })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Udp), Just(Kind::Echo), Just(Kind::Sctp)]
}

fn exchange(kind: Kind, is_v6: bool, datagrams: u16, len: u32, seed: u64) -> Exchange {
    let (client, mut server) = ends(9, is_v6);
    if kind == Kind::Echo {
        server.set_port(client.port());
    }
    let start = Conversation::new(client, server, [0, 0]).start;
    Exchange { kind, client, server, start, datagrams, len, seed }
}

fn exchanges() -> impl Strategy<Value = Exchange> {
    (kinds(), any::<bool>(), 1u16..60, 0u32..1400, any::<u64>())
        .prop_map(|(kind, is_v6, datagrams, len, seed)| exchange(kind, is_v6, datagrams, len, seed))
}

/// Packets of the longest handshake and the longest close.
const OPENING: usize = 5;
const CLOSING: usize = 4;

/// Payload, acknowledged and sent bytes.
fn bytes(counters: [Counters; 2]) -> [[u64; 3]; 2] {
    counters.map(|one| [one.payload, one.acked, one.sent])
}

/// Without what the truth does not foretell.
fn firsts(counters: [Counters; 2]) -> [Counters; 2] {
    counters.map(|one| Counters { retransmitted: 0, ..one })
}

proptest! {
    #![proptest_config(cases(120))]

    /// The plainest law, without which no other means anything.
    #[test]
    fn what_is_seen_whole_is_counted_exactly(
        conversation in conversations(400_000), exchange in exchanges(),
    ) {
        let plays = [conversation.play(), exchange.play()];
        let counted = Capture::of(&plays, 1).count();
        for play in &plays {
            prop_assert_eq!(counted.of(play), play.truth);
        }
        prop_assert_eq!(counted.flows.len(), 2);
    }

    /// Deltas are increments: when they are reported, and by which worker, must not show in their sum.
    #[test]
    fn sums_do_not_depend_on_when_or_by_whom_they_are_reported(
        conversation in conversations(400_000),
        exchange in exchanges(),
        loss in 0.0..0.1,
        (every, workers, frames) in (1u64..3000, 1usize..9, 1usize..300),
    ) {
        let trouble = Trouble { loss, recuts: true, keep_alives: true, ..Trouble::default() };
        let plays = [Conversation { trouble, ..conversation }.play(), exchange.play()];
        let seen = Capture::of(&plays, 1);
        let plain = seen.count();
        let ticked = seen.clone().tick(every * MILLISECOND).count();
        let spread = seen.count_by(workers, frames);
        prop_assert_eq!(&spread.flows, &plain.flows);
        for play in &plays {
            prop_assert_eq!(ticked.of(play), plain.of(play));
        }
    }

    /// A flow that slept longer than any timer goes on as if it had not.
    #[test]
    fn a_long_silence_costs_no_byte(conversation in conversations(300_000), secs in 1u64..2000) {
        let trouble = Trouble { pause: secs * SECOND, ..Trouble::default() };
        let play = Conversation { trouble, ..conversation }.play();
        let counted = Capture::of([&play], 1).tick(20 * SECOND).count();
        prop_assert_eq!(counted.of(&play), play.truth);
    }

    /// TCP repairs what the network breaks; a byte that was sent three times left once. None of the
    /// repeats is the mirror's.
    #[test]
    fn repairs_and_probes_add_nothing(
        conversation in conversations(400_000),
        loss in prop_oneof![Just(0.0), 0.0..0.2],
        (recuts, keep_alives, zero_window) in any::<(bool, bool, bool)>(),
    ) {
        let trouble = Trouble { loss, recuts, keep_alives, zero_window, pause: 0 };
        let play = Conversation { trouble, ..conversation }.play();
        let counted = Capture::of([&play], 1).count();
        prop_assert_eq!(firsts(counted.of(&play)), play.truth);
    }

    /// A mirror that shuffles frames loses no byte and invents none.
    #[test]
    fn reordering_changes_nothing(
        conversation in conversations(400_000),
        seed: u64,
        (rate, reach) in (0.0..0.4, 1u64..20),
        loss in prop_oneof![Just(0.0), 0.0..0.1],
    ) {
        let trouble = Trouble { loss, recuts: true, ..Trouble::default() };
        let play = Conversation { trouble, ..conversation }.play();
        let seen = Capture::of([&play], seed);
        let end = seen.packets.len() - CLOSING;
        let mut shuffled = seen.clone().take(end).skip(OPENING).reorder(rate, reach);
        shuffled.packets.splice(..0, seen.packets[..OPENING].iter().cloned());
        shuffled.packets.extend(seen.packets[end..].iter().cloned());
        prop_assert_eq!(bytes(shuffled.count().of(&play)), bytes(play.truth));
    }

    /// Sensors that keep 64 bytes of each frame are common, and headers say it all. IPv6 with a whole
    /// TCP header needs 74.
    #[test]
    fn snap_length_changes_nothing(
        conversation in conversations(400_000),
        exchange in exchanges(),
        loss in prop_oneof![Just(0.0), 0.0..0.1],
    ) {
        let trouble = Trouble { loss, recuts: true, zero_window: true, ..Trouble::default() };
        let plays = [Conversation { trouble, ..conversation }.play(), exchange.play()];
        let seen = Capture::of(&plays, 1);
        let whole = seen.count();
        for len in [64, 96, 128] {
            if len >= 74 || plays.iter().all(|play| play.packets[0].source.is_ipv4()) {
                prop_assert_eq!(&seen.clone().snap(len).count().flows, &whole.flows, "{}", len);
            }
        }
    }

    /// A capture on the sending machine sees segments of 64 KiB whose IP length is 0.
    #[test]
    fn offloaded_segments_count_by_the_frame(conversation in conversations(3_000_000), mss in 2000u32..65_000) {
        let play = Conversation { mss, ..conversation }.play();
        prop_assert_eq!(Capture::of([&play], 1).count().of(&play), play.truth);
    }
}

/// A backup of 5 GB wraps the sequence number twice.
#[test]
fn more_than_four_gib_is_exact() {
    for is_v6 in [false, true] {
        let (client, server) = ends(1, is_v6);
        let play = Conversation {
            mss: 65_000,
            window: 8 << 20,
            ..Conversation::new(client, server, [5_000_000_000, 1_000])
        }
        .play();
        assert_eq!(Capture::of([&play], 1).snap(96).count().of(&play), play.truth);
    }
}

proptest! {
    #![proptest_config(cases(80))]

    /// A mirror port that loses a tenth of the frames: acknowledgements tell what passed unseen.
    ///
    /// Nobody can know more than the numbers that were in a frame, so a small flow is compared with those.
    #[test]
    fn acknowledgements_cover_capture_loss(
        conversations in prop::collection::vec(conversations(40_000), 1..20),
        large in conversations(500_000),
        seed: u64,
        is_bursty: bool,
    ) {
        let large = Conversation { bytes: [3_000_000 + large.bytes[0], large.bytes[1]], ..large };
        let mut conversations = [vec![large], conversations].concat();
        for (conversation, number) in conversations.iter_mut().zip(20..) {
            let is_v6 = conversation.client.is_ipv6();
            (conversation.client, conversation.server) = ends(number, is_v6);
        }
        let plays: Vec<Play> = conversations.iter().map(Conversation::play).collect();
        let seen = Capture::of(&plays, seed);
        let seen = if is_bursty { seen.lose_in_bursts(0.1, 10.0) } else { seen.lose(0.1) };
        let counted = seen.count();
        for (play, conversation) in plays.iter().zip(&conversations) {
            for (side, counted) in counted.of(play).into_iter().enumerate() {
                let knowable = seen.knowable(play, conversation.isn[side], side);
                let known = knowable.acked.max(knowable.payload);
                // Of an end that was not seen, the last number may be a byte or a FIN.
                let doubt = u64::from(!knowable.is_end_seen);
                let story = || seen.story(play, conversation.isn);
                prop_assert!(
                    counted.acked.abs_diff(knowable.acked) <= doubt,
                    "{side}: {counted:?} {knowable:?}\n{}", story(),
                );
                prop_assert!(
                    counted.sent.abs_diff(known) <= doubt,
                    "{side}: {counted:?} {knowable:?}\n{}", story(),
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(6))]

    /// What an operator adds up: one frame in ten is lost, each alone, and the sum of all flows, and
    /// each large one, is right to a thousandth. Connections are closed, so that three frames tell each
    /// last number; where all three of a large flow are lost, there is nothing to know it by.
    #[test]
    fn a_tenth_of_the_frames_lost_alone_costs_less_than_a_thousandth(
        conversations in prop::collection::vec(conversations(300_000), 120),
        seed: u64,
    ) {
        let mut conversations = conversations;
        for (conversation, number) in conversations.iter_mut().zip(20..) {
            let is_v6 = conversation.client.is_ipv6();
            (conversation.client, conversation.server) = ends(number, is_v6);
            conversation.close = Close::Fin;
            if number % 10 == 0 {
                conversation.bytes[0] += 1_000_000;
            }
        }
        let plays: Vec<Play> = conversations.iter().map(Conversation::play).collect();
        let seen = Capture::of(&plays, seed).lose(0.1);
        let counted = seen.count();
        let (mut acked, mut sent, mut truth) = (0, 0, 0);
        for (play, conversation) in plays.iter().zip(&conversations) {
            for (side, counted) in counted.of(play).into_iter().enumerate() {
                let real = play.truth[side].payload;
                acked += counted.acked;
                sent += counted.sent;
                truth += real;
                if real >= 1_000_000 && !is_within_a_thousandth(counted.acked, real) {
                    let knowable = seen.knowable(play, conversation.isn[side], side);
                    prop_assert!(counted.acked + 1 >= knowable.acked, "{counted:?} {knowable:?}");
                    prop_assert!(!is_within_a_thousandth(knowable.acked, real));
                }
            }
        }
        prop_assert!(is_within_a_thousandth(acked, truth), "{acked} of {truth}");
        prop_assert!(is_within_a_thousandth(sent, truth), "{sent} of {truth}");
    }
}

proptest! {
    #![proptest_config(cases(80))]

    /// Asymmetric routing shows one direction only. What the host sends is seen; what the other end
    /// acknowledges is proof enough.
    #[test]
    fn one_direction_tells_of_the_host(conversation in conversations(400_000)) {
        let play = conversation.play();
        let seen = Capture::of([&play], 1);
        let outbound = seen.clone().only_from(conversation.client).count().of(&play);
        prop_assert_eq!(outbound[0].payload, play.truth[0].payload);
        prop_assert_eq!(outbound[0].sent, play.truth[0].payload);
        prop_assert_eq!(outbound[0].wire, play.truth[0].wire);
        let inbound = seen.only_from(conversation.server).count().of(&play);
        // A reset is all that the server does not acknowledge.
        prop_assert_eq!(inbound[0].acked, play.truth[0].acked);
        prop_assert_eq!(inbound[0].sent, play.truth[0].acked);
        prop_assert_eq!(inbound[1].payload, play.truth[1].payload);
    }

    /// The sensor was started during the upload: it tells what passed since, all of it, and nothing
    /// of what came before.
    #[test]
    fn a_flow_met_in_the_middle_counts_from_there(conversation in conversations(400_000), late in 0.0..1.0) {
        let play = conversation.play();
        let seen = Capture::of([&play], 1);
        let frames = (late * seen.packets.len() as f64) as usize;
        let seen = seen.skip(frames);
        let counted = seen.count().of(&play);
        for (side, counted) in counted.into_iter().enumerate() {
            let knowable = seen.knowable(&play, conversation.isn[side], side);
            prop_assert_eq!(counted.payload, knowable.payload);
            // In flight when the sensor started, and acknowledged after.
            prop_assert!(counted.acked <= knowable.acked);
            prop_assert!(counted.acked + u64::from(conversation.window) >= knowable.acked);
        }
    }

    /// Clients have few ports. The next connection has its own numbers, and its own bytes.
    #[test]
    fn ports_used_again_make_another_flow(
        first in conversations(100_000),
        second in conversations(100_000),
        after in prop_oneof![MILLISECOND..SECOND, SECOND..400 * SECOND],
    ) {
        let before = first.play();
        let start = before.packets[before.packets.len() - 1].at + after;
        let close = first.close;
        let second =
            Conversation { client: first.client, server: first.server, start, ..second };
        let plays = [before, second.play()];
        let each = Capture::of(&plays, 1).tick(SECOND).count().each(&plays[0]);
        prop_assert_eq!(each.len(), 2);
        for (counted, play) in each.iter().zip(&plays) {
            prop_assert_eq!(bytes(*counted), bytes(play.truth), "after {:?}", close);
        }
    }

    /// Large datagrams travel in pieces, of which only the first has ports.
    #[test]
    fn fragments_count_where_their_first_was_seen(
        is_v6: bool, kind in kinds(), datagrams in 1u16..40, len in 1600u32..9000,
        order in prop_oneof![Just(Order::Sent), Just(Order::Reversed), Just(Order::FirstLost)],
    ) {
        let exchange = exchange(kind, is_v6, datagrams, len, 1);
        let client = exchange.client;
        let play = exchange.play();
        let seen = Capture::of([&play], 1).fragment(1500, order);
        let counted = seen.count();
        let own = counted.of(&play)[0];
        let all = counted.between_addresses(&play)[0];
        // Bytes of a datagram in the first piece, behind the header.
        let first = (1500u64 - 48) / 8 * 8 - kind.header_len();
        let count = u64::from(datagrams);
        let payload = play.truth[0].payload;
        match order {
            Order::Sent => prop_assert_eq!(own.payload, payload),
            Order::Reversed => prop_assert_eq!((own.payload, all.payload), (first * count, payload)),
            Order::FirstLost => {
                prop_assert_eq!((own.payload, all.payload), (0, payload - first * count));
            }
        }
        prop_assert_eq!(
            all.wire,
            seen.packets
                .iter()
                .filter(|packet| packet.source == client)
                .map(|packet| u64::from(packet.ip_len()))
                .sum::<u64>()
        );
    }

    /// Whatever part of a connection is mirrored twice, TCP numbers tell its bytes apart from new ones.
    #[test]
    fn duplicates_add_no_byte_to_a_stream(
        conversation in conversations(200_000),
        (rate, seed) in (0.0..1.0, any::<u64>()),
        twin in prop_oneof![Just(Twin::Exact), Just(Twin::Routed)],
    ) {
        let play = conversation.play();
        let seen = Capture::of([&play], seed).duplicate(rate, twin);
        prop_assert_eq!(bytes(seen.count().of(&play)), bytes(play.truth));
    }

    /// An attacker who sees the flow can name any number in a RST or SYN; the counting goes on.
    #[test]
    fn a_forged_reset_or_syn_changes_nothing(
        conversation in conversations(400_000),
        place in 0.2..0.8,
        seed: u64,
        flags in prop_oneof![Just(RST), Just(RST | ACK), Just(SYN)],
        pause in prop_oneof![Just(0u64), Just(20 * SECOND)],
    ) {
        let (play, seen, at) = amid(&conversation, place, pause);
        let forged = forge((&play, 0), &seen, at, seed, |tcp, _| {
            tcp.flags = flags;
            if flags == SYN {
                tcp.seq = tcp.seq.wrapping_add(seed as u32);
            }
        });
        let counted = seen.insert(at, forged).tick(SECOND).count().of(&play);
        prop_assert_eq!(bytes(counted), bytes(play.truth), "{:#x}", flags);
    }
}

/// A large upload with a place in its middle, after which some more windows follow.
fn amid(conversation: &Conversation, place: f64, pause: u64) -> (Play, Capture, usize) {
    let conversation = Conversation {
        bytes: [2_000_000 + conversation.bytes[0], conversation.bytes[1]],
        window: 64 << 10,
        trouble: Trouble { pause, ..conversation.trouble },
        ..*conversation
    };
    let play = conversation.play();
    let seen = Capture::of([&play], 1);
    let at = (place * seen.packets.len() as f64) as usize;
    (play, seen, at)
}

/// What an attacker who sees the latest segment of one side, 0 the client's and 1 the server's, could
/// send in its name.
fn forge(
    (play, side): (&Play, usize),
    seen: &Capture,
    place: usize,
    seed: u64,
    change: impl FnOnce(&mut TcpHead, &mut u32),
) -> Packet {
    let first = &play.packets[0];
    let name = [first.source, first.destination][side];
    let before = seen.packets[..place].iter().rfind(|packet| packet.source == name).unwrap();
    let mut forged =
        Packet { id: Rng(seed).next() as u16, at: seen.packets[place].at, ..before.clone() };
    let mut len = 0;
    let end = before.len;
    if let Some(tcp) = forged.tcp_mut() {
        tcp.seq = tcp.seq.wrapping_add(end);
        change(tcp, &mut len);
    }
    Packet { len, is_offloaded: false, ..forged }
}

fn is_within_a_thousandth(counted: u64, truth: u64) -> bool {
    counted.abs_diff(truth) * 1000 <= truth
}

proptest! {
    #![proptest_config(cases(80))]

    /// A sensor that sees both sides of a mirror, or both sides of a router, would double every number.
    #[test]
    fn duplicates_count_as_nothing_else(
        conversation in conversations(200_000),
        exchange in exchanges(),
        loss in prop_oneof![Just(0.0), 0.0..0.1],
        twin in prop_oneof![Just(Twin::Exact), Just(Twin::Routed)],
        seed: u64,
    ) {
        let trouble = Trouble { loss, recuts: true, ..Trouble::default() };
        let plays = [Conversation { trouble, ..conversation }.play(), exchange.play()];
        let once = Capture::of(&plays, seed);
        let twice = once.clone().duplicate(1.0, twin).count();
        let once = once.count();
        for play in &plays {
            let mut expected = once.of(play);
            for (expected, truth) in expected.iter_mut().zip(play.truth) {
                expected.duplicates += truth.packets;
            }
            prop_assert_eq!(twice.of(play), expected);
        }
    }

    /// The same of large datagrams, of which every piece comes twice.
    #[test]
    fn copies_of_fragments_count_as_nothing_else(
        is_v6: bool, kind in kinds(), datagrams in 1u16..40, len in 1600u32..9000,
        twin in prop_oneof![Just(Twin::Exact), Just(Twin::Routed)],
        seed: u64,
    ) {
        let play = exchange(kind, is_v6, datagrams, len, seed).play();
        let once = Capture::of([&play], seed).fragment(1500, Order::Sent);
        let twice = once.clone().duplicate(1.0, twin).count().of(&play);
        let mut expected = once.count().of(&play);
        for counted in &mut expected {
            counted.duplicates = counted.packets;
        }
        prop_assert_eq!(twice, expected);
    }

    /// Nobody else can end a stream: what follows a forged FIN was sent and acknowledged all the same.
    #[test]
    fn a_forged_fin_changes_nothing(
        conversation in conversations(400_000),
        place in 0.2..0.8,
        seed: u64,
        pause in prop_oneof![Just(0u64), Just(20 * SECOND)],
    ) {
        let (play, seen, at) = amid(&conversation, place, pause);
        let forged = forge((&play, 0), &seen, at, seed, |tcp, _| tcp.flags = FIN | ACK);
        let counted = seen.insert(at, forged).tick(SECOND).count().of(&play);
        prop_assert_eq!(bytes(counted), bytes(play.truth));
    }

    /// A mirror of several queues shuffles handshakes too: a FIN may come after the acknowledgement
    /// of it, and is no byte in either order.
    #[test]
    fn shuffled_handshakes_change_nothing(
        conversation in conversations(100_000), seed: u64, (rate, reach) in (0.0..0.4, 1u64..20),
    ) {
        let play = conversation.play();
        let seen = Capture::of([&play], seed).reorder(rate, reach);
        let counted = bytes(seen.count().of(&play));
        for (side, mut truth) in bytes(play.truth).into_iter().enumerate() {
            if seen.is_begun_backwards(&play, conversation.isn[side], side) {
                truth[0] = counted[side][0];
            }
            prop_assert_eq!(counted[side], truth, "{}", seen.story(&play, conversation.isn));
        }
    }

    /// One segment with numbers out of the air may say one receive window too much until the flow
    /// itself goes on, and then nothing.
    #[test]
    fn a_forged_segment_adds_at_most_a_window_for_a_while(
        conversation in conversations(400_000),
        place in 0.2..0.6,
        ahead in prop_oneof![0u32..65_000, 65_000..(1u32 << 30), any::<u32>()],
        len in 1u32..1400,
        seed: u64,
    ) {
        let (play, seen, at) = amid(&conversation, place, 0);
        let forged = forge((&play, 0), &seen, at, seed, |tcp, forged_len| {
            tcp.seq = tcp.seq.wrapping_add(ahead);
            *forged_len = len;
        });
        check_forged(&play, &seen, at, forged)?;
    }

    /// The same for an acknowledgement of what was never sent.
    #[test]
    fn a_forged_acknowledgement_adds_at_most_a_window_for_a_while(
        conversation in conversations(400_000),
        place in 0.2..0.6,
        ahead in prop_oneof![0u32..65_000, 65_000..(1u32 << 30), any::<u32>()],
        side in 0usize..2,
        seed: u64,
    ) {
        let (play, seen, at) = amid(&conversation, place, 0);
        let forged = forge((&play, side), &seen, at, seed, |tcp, _| tcp.ack = tcp.ack.wrapping_add(ahead));
        check_forged(&play, &seen, at, forged)?;
    }
}

/// What an attacker can do at one moment, one frame after the other.
#[derive(Debug, Clone, Copy)]
enum Forgery {
    Rst,
    /// Of another connection on the same ports.
    Syn(u32),
    SynAck(u32),
    Fin,
    /// Data so far ahead.
    Data(u32),
    /// The other end's acknowledgement, so far ahead.
    Ack(u32),
    /// Data so far ahead and their acknowledgement; the latter first?
    Pair(u32, bool),
}

impl Forgery {
    fn frames(self, play: &Play, seen: &Capture, place: usize, seed: u64) -> Vec<Packet> {
        let frame = |side: usize, change: &dyn Fn(&mut TcpHead) -> u32| {
            forge((play, side), seen, place, seed ^ side as u64, |tcp, len| *len = change(tcp))
        };
        let data = |ahead: u32| {
            frame(0, &move |tcp| {
                tcp.seq = tcp.seq.wrapping_add(ahead);
                1000
            })
        };
        let ack = |ahead: u32| {
            frame(1, &move |tcp| {
                tcp.ack = tcp.ack.wrapping_add(ahead);
                0
            })
        };
        let begin = |side: usize, flags: u8, isn: u32| {
            frame(side, &move |tcp| {
                (tcp.flags, tcp.seq) = (flags, isn);
                0
            })
        };
        match self {
            Self::Rst => vec![frame(0, &|tcp| {
                tcp.flags = RST;
                0
            })],
            Self::Syn(isn) => vec![begin(0, SYN, isn)],
            Self::SynAck(isn) => vec![begin(1, SYN | ACK, isn)],
            Self::Fin => vec![frame(0, &|tcp| {
                tcp.flags = FIN | ACK;
                0
            })],
            Self::Data(ahead) => vec![data(ahead)],
            Self::Ack(ahead) => vec![ack(ahead)],
            Self::Pair(ahead, is_ack_first) => {
                let mut pair = vec![data(ahead), ack(ahead + 1000)];
                if is_ack_first {
                    pair.reverse();
                }
                pair
            }
        }
    }
}

fn forgeries() -> impl Strategy<Value = Vec<Forgery>> {
    let ahead = || prop_oneof![1000u32..60_000, 60_000..(1u32 << 30)];
    let one = prop_oneof![
        Just(Forgery::Rst),
        any::<u32>().prop_map(Forgery::Syn),
        any::<u32>().prop_map(Forgery::SynAck),
        Just(Forgery::Fin),
        ahead().prop_map(Forgery::Data),
        ahead().prop_map(Forgery::Ack),
        (ahead(), any::<bool>())
            .prop_map(|(ahead, is_ack_first)| Forgery::Pair(ahead, is_ack_first)),
    ];
    prop::collection::vec(one, 1..4)
}

proptest! {
    #![proptest_config(cases(80))]

    /// Several forged frames in a row: what one prepares must not help the next.
    #[test]
    fn forgeries_do_not_help_one_another(
        conversation in conversations(400_000),
        place in 0.2..0.6,
        forgeries in forgeries(),
        seed: u64,
    ) {
        let (play, seen, at) = amid(&conversation, place, 0);
        let told = |capture: Capture| capture.count().of(&play).map(|one| one.sent);
        let before = told(seen.clone().take(at));
        let mut with = seen.clone();
        let mut end = at;
        for (forgery, number) in forgeries.iter().zip(0..) {
            for frame in forgery.frames(&play, &seen, at, seed.wrapping_add(number << 8)) {
                with = with.insert(end, frame);
                end += 1;
            }
        }
        for (before, after) in before.into_iter().zip(told(with.clone().take(end))) {
            prop_assert!(after <= before + SYN_WINDOW_MAX, "{} at once", after - before);
        }
        let counted = bytes(with.count().of(&play));
        // A reset and then a SYN look like ports used again: what was in flight lies between the two
        // connections.
        let reset = forgeries.iter().position(|one| matches!(one, Forgery::Rst));
        let is_split = reset.is_some_and(|reset| {
            forgeries[reset..].iter().any(|one| matches!(one, Forgery::Syn(_)))
        });
        let slack = if is_split { SYN_WINDOW_MAX } else { 0 };
        for (counted, truth) in counted.into_iter().zip(bytes(play.truth)) {
            for (counted, truth) in counted.into_iter().zip(truth) {
                prop_assert!(
                    counted.abs_diff(truth) <= slack, "{counted} of {truth}\n{}",
                    with.clone().skip(at.saturating_sub(20)).take(60).story(&play, conversation.isn),
                );
            }
        }
    }
}

fn check_forged(
    play: &Play,
    seen: &Capture,
    place: usize,
    forged: Packet,
) -> Result<(), TestCaseError> {
    let told = |capture: Capture| capture.count().of(play).map(|one| one.sent);
    let before = told(seen.clone().take(place));
    let with = seen.clone().insert(place, forged);
    for (before, after) in before.into_iter().zip(told(with.clone().take(place + 1))) {
        prop_assert!(after <= before + SYN_WINDOW_MAX, "{} at once", after - before);
    }
    prop_assert_eq!(bytes(with.count().of(play)), bytes(play.truth));
    Ok(())
}

/// What a window of 65 535 in the SYN says with the scale of these flows, 0 or 1; 1 MiB where no
/// SYN was seen is more.
const SYN_WINDOW_MAX: u64 = 65_535 << 1;
