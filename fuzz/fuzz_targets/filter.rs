//! Our interpreter of compiled filters says of any frame what libpcap's says, if all of the frame is
//! there; and no frame panics it, if it was cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pcap::{Capture, Linktype};
use sekisho::capture::filter::Filter;
use sekisho::frame::{Frame, LinkType};
use sekisho::time::Timestamp;
use sekisho_fuzz::{first_frames, seed};

fuzz_target!(init: seed(|files| {
    let mut seeds = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let batch = first_frames(file, 3);
        let ethernet = batch.frames().filter(|frame| frame.link == LinkType::ETHERNET);
        let pick = (number % EXPRESSIONS.len()) as u8;
        seeds.extend(ethernet.map(|frame| [&[pick, 0, 3, 0], frame.bytes].concat()));
    }
    seeds
}), |input: (u8, u8, u8, u8, &[u8])| {
    let (first, second, join, cut, bytes) = input;
    let [first, second] = [first, second].map(|at| EXPRESSIONS[usize::from(at) % EXPRESSIONS.len()]);
    let expression = match join % 8 {
        0 => format!("not ({first})"),
        1 => format!("({first}) and ({second})"),
        2 => format!("({first}) or not ({second})"),
        _ => first.to_owned(),
    };
    // Two that contradict each other in the offsets they need do not compile together.
    let Ok(mut filter) = Filter::new(Some(&expression), None, None) else { return };
    let wire_len = bytes.len() as u32 + u32::from(cut);
    let frame = Frame { at: Timestamp::EPOCH, link: LinkType::ETHERNET, wire_len, bytes };
    let ours = filter.keep(&frame).expect("it compiled for Ethernet before");
    // Through a header of IPsec libpcap's program for `protochain` jumps to and fro, and its interpreter
    // lets it do so for ever; ours refuses the frame.
    if cut == 0 && !expression.contains("protochain") {
        let capture = Capture::dead(Linktype::ETHERNET).expect("libpcap knows Ethernet");
        let program = capture.compile(&expression, true).expect("it compiled for us");
        assert_eq!(ours, program.filter(bytes), "{expression}");
    }
});

/// What operators write, and what needs the rarer instructions.
const EXPRESSIONS: [&str; 22] = [
    "ip",
    "ip6",
    "tcp",
    "udp port 53",
    "host 10.0.0.1",
    "net 10.0.0.0/8",
    "portrange 1-1024",
    "vlan and ip",
    "vlan 5 and tcp port 80",
    "mpls and ip",
    "pppoes and ip",
    "greater 60",
    "less 100",
    "len % 7 = 3",
    "ip[0] & 0xf > 5",
    "tcp[13] & 7 != 0",
    "ip6 protochain 6",
    "ip protochain 6",
    "ether multicast",
    "ip[2:2] - ((ip[0] & 0xf) << 2) > 100",
    "len / ip[1] > 3",
    "icmp6 or arp or (ip and not broadcast and 5 * ip[8] >= ether[20:4])",
];
