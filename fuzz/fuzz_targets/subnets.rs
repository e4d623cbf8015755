//! Merged ranges answer as a walk over the networks would: else a host changes sides unnoticed.

#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use sekisho::net::{Addr, Subnets};

fuzz_target!(|input: (Vec<(IpAddr, u8)>, Vec<IpAddr>)| {
    let (nets, asked) = input;
    let nets: Vec<IpNet> =
        nets.into_iter().filter_map(|(ip, len)| IpNet::new(ip.to_canonical(), len).ok()).collect();
    let subnets: Subnets = nets.iter().copied().collect();
    for ip in asked {
        let addr = Addr::from(ip);
        // IPv4 is held in its mapped form (RFC 4291), so `::/0` holds it too.
        let held = nets.iter().any(|net| match net {
            IpNet::V4(net) => matches!(addr.to_ip(), IpAddr::V4(ip) if net.contains(&ip)),
            IpNet::V6(net) => net.contains(&Ipv6Addr::from_bits(addr.to_bits())),
        });
        assert_eq!(subnets.contains(addr), held, "{ip}");
    }
});
