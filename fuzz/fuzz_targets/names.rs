//! Payload of two flows, piece by piece: whatever it claims to be, what is kept is bounded, what is told
//! is inert, and nothing stays behind.

#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use sekisho::decode::decode;
use sekisho::flow::{FlowKey, SHARDS, Sender};
use sekisho::frame::Batch;
use sekisho::names::{Event, Facts, Gaze, Name, Names, Options, Piece};
use sekisho::net::{Endpoint, Protocol};
use sekisho::time::Timestamp;
use sekisho_fuzz::{first_frames, seed};

/// Room for a few flows at once, so that the oldest often has to go.
const BYTES_MAX: usize = 24 << 10;

fuzz_target!(init: seed(|files| {
    files.iter().flat_map(|file| seeds(&first_frames(file, 60))).collect()
}), |bytes: &[u8]| {
    let [kind, rest @ ..] = bytes else { return };
    let protocol = if kind & 1 == 0 { Protocol::TCP } else { Protocol::UDP };
    let keys = [50_000, 50_001].map(|port| {
        let end = |last, port| Endpoint { addr: Ipv4Addr::new(10, 0, 0, last).into(), port };
        FlowKey::of(end(1, port), end(2, 21), protocol).0
    });
    let mut names = Names::new(Options { bytes_max: BYTES_MAX * SHARDS, ..Options::default() });
    let mut before = [Some(0u8); 2];
    let mut rest = rest;
    while let [kind, high, low, len_high, len_low, more @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*len_high, *len_low])).min(more.len());
        let (payload, more) = more.split_at(len);
        rest = more;
        let flow = usize::from(kind & 1);
        let Some(seen) = before[flow] else { continue };
        let piece = Piece {
            at: Timestamp::EPOCH,
            sender: if kind & 2 == 0 { Sender::Low } else { Sender::High },
            initiator: if kind & 4 == 0 { Sender::Low } else { Sender::High },
            offset: (protocol == Protocol::TCP)
                .then(|| u16::from_be_bytes([*high, *low]).into()),
            bytes: payload,
            is_cut: kind & 8 != 0,
            before: seen,
        };
        before[flow] = match names.look((flow as u32, &keys[flow]), &piece, check) {
            Gaze::On => Some(seen.saturating_add(1).min(Gaze::PIECES_MAX)),
            Gaze::Kept => Some(Gaze::KEPT),
            Gaze::Done => None,
        };
        assert!(names.bytes() <= BYTES_MAX, "{} bytes kept", names.bytes());
    }
    for flow in [0, 1] {
        names.close(flow, check);
    }
    assert_eq!(names.bytes(), 0, "ended flows leave nothing");
});

fn check(event: Event) {
    match event {
        Event::Facts(_, facts) => {
            facts.name.iter().for_each(|(name, _)| check_name(name));
            facts.certificate.iter().for_each(check_name);
            facts.mail_for.iter().for_each(|name| check_name(name));
            assert!(facts.certificate.len() <= 32 && facts.alpn.len() <= Facts::ALPN_MAX);
            facts.client.iter().for_each(|text| check_text(text));
            facts.alpn.iter().for_each(|text| check_text(text));
        }
        Event::Answer(answer) => {
            assert!(answer.addresses.len() <= 32 && answer.aliases.len() <= 8);
            check_name(&answer.name);
            answer.aliases.iter().for_each(check_name);
        }
        Event::Query(query) => {
            query.domain.iter().for_each(check_name);
            assert!(query.below.bits.max(query.own.bits) <= 8 * 255);
        }
        Event::Echo(_) => panic!("names looks at no echoes"),
    }
}

fn check_name(name: &Name) {
    check_text(name.as_str());
    if let Some(owner) = name.owner() {
        assert!(name.is_valid() && name.as_str().ends_with(owner), "{owner} of {name}");
    }
}

fn check_text(text: &str) {
    assert!(
        text.len() <= Facts::TEXT_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    );
}

/// The flows between the ends of the first segments that carry something, one seed for each.
fn seeds(frames: &Batch) -> Vec<Vec<u8>> {
    let mut flows: Vec<(FlowKey, [Option<u32>; 2], Vec<u8>)> = Vec::new();
    for frame in frames.frames() {
        let Ok(segment) = decode(&frame) else { continue };
        if segment.payload().is_empty()
            || ![Protocol::TCP, Protocol::UDP].contains(&segment.protocol)
        {
            continue;
        }
        let (key, sender) = FlowKey::of(segment.source, segment.destination, segment.protocol);
        let place = flows.iter().position(|(known, ..)| *known == key).unwrap_or_else(|| {
            flows.push((key, [None; 2], vec![u8::from(key.protocol == Protocol::UDP)]));
            flows.len() - 1
        });
        let (_, origins, seed) = &mut flows[place];
        let is_high = sender == Sender::High;
        let seq = segment.tcp.map_or(0, |tcp| tcp.seq);
        let origin = *origins[usize::from(is_high)].get_or_insert(seq);
        let is_cut = segment.payload().len() < segment.payload_len as usize;
        seed.push(if is_high { 2 } else { 0 } | if is_cut { 8 } else { 0 });
        seed.extend((seq.wrapping_sub(origin) as u16).to_be_bytes());
        seed.extend((segment.payload().len() as u16).to_be_bytes());
        seed.extend(segment.payload());
    }
    flows.into_iter().map(|(.., seed)| seed).filter(|seed| seed.len() <= 4096).collect()
}
