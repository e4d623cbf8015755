//! Merged ranges answer as a walk over the networks would: else a host changes sides unnoticed.

#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use sekisho::net::{Addr, Subnets};

fuzz_target!(|input: (Vec<(IpAddr, u8)>, Vec<(IpAddr, u8)>, Vec<IpAddr>)| {
    let (nets, holes, asked) = input;
    let [nets, holes] = [nets, holes].map(|nets| {
        nets.into_iter()
            .filter_map(|(ip, len)| IpNet::new(ip.to_canonical(), len).ok())
            .collect::<Vec<_>>()
    });
    let [subnets, without] = [&nets, &holes].map(|nets| nets.iter().copied().collect::<Subnets>());
    let left = subnets.minus(&without);
    // The edges of every network, where a range may end one too early, besides what the fuzzer asks.
    let edges = nets.iter().chain(&holes).flat_map(|net| [net.network(), net.broadcast()]);
    for ip in edges.chain(asked) {
        let addr = Addr::from(ip);
        // IPv4 is held in its mapped form (RFC 4291), so `::/0` holds it too.
        let is_in = |nets: &[IpNet]| {
            nets.iter().any(|net| match net {
                IpNet::V4(net) => matches!(addr.to_ip(), IpAddr::V4(ip) if net.contains(&ip)),
                IpNet::V6(net) => net.contains(&Ipv6Addr::from_bits(addr.to_bits())),
            })
        };
        assert_eq!(subnets.contains(addr), is_in(&nets), "{ip}");
        assert_eq!(left.contains(addr), is_in(&nets) && !is_in(&holes), "{ip} after minus");
    }
});
