//! Machines that say who they are, and others that say it for them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::names::Name;
use crate::net::{Addr, Subnets};

fn mac(number: u8) -> Mac {
    Mac::of([2, 0, 0, 0, 0, number]).unwrap()
}

fn v4(number: u8) -> Addr {
    Addr::from_v4([10, 0, 0, number])
}

fn v6(number: u8) -> Addr {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (0xfd, number);
    Addr::from_v6(bytes)
}

fn at(hours: u64) -> Timestamp {
    Timestamp::from_secs_nanos(1_700_000_000 + hours * 3600, 0)
}

/// Hours, and what was claimed then.
fn register(claims: &[(u64, Says)]) -> Register {
    let mut register = Register::new(Subnets::private().with_local(), 1000);
    for (hours, says) in claims {
        register.hear(&Claim { at: at(*hours), source: ClaimSource::Arp, says: says.clone() });
    }
    register
}

fn bears(mac: Mac, addr: Addr) -> Says {
    Says::Bears { mac, addr, lease: None }
}

fn leases(mac: Mac, addr: Addr, hours: u64) -> Says {
    Says::Bears { mac, addr, lease: Some(Duration::from_secs(hours * 3600)) }
}

#[test]
fn addresses_of_both_versions_are_one_machine() {
    let known = register(&[
        (0, leases(mac(1), v4(1), 8)),
        (0, bears(mac(1), v6(1))),
        (1, bears(mac(1), v6(2))),
        (0, Says::Named(mac(1), Box::new(Name::of(b"PC-37").unwrap()))),
    ]);
    for addr in [v4(1), v6(1), v6(2)] {
        assert_eq!(known.bearer(addr, at(2)), Some(mac(1)));
    }
    assert_eq!(known.names_of(mac(1))[0].0.as_str(), "pc-37");
}

/// The colleague's machine must not be where a thief's bytes are looked for: he says that his own address is
/// at its interface, before or after he says who really has it, or has the server say it.
#[test]
fn nobody_can_move_his_address_to_another_machine() {
    let (thief, colleague) = (mac(66), mac(1));
    let honest = [(0, bears(colleague, v4(1))), (0, bears(thief, v4(66)))];
    for forged in [bears(colleague, v4(66)), leases(colleague, v4(66), 8)] {
        let known = register(&[&honest[..], &[(1, forged.clone())]].concat());
        assert_eq!(known.bearer(v4(66), at(2)), None, "disputed");
        let known = register(&[&[(0, forged)], &honest[..]].concat());
        assert_eq!(known.bearer(v4(66), at(2)), None, "disputed from the start");
        assert_eq!(known.only_bearer(v4(66)), None);
    }
    // His lease has run out, but he is still there.
    let known = register(&[
        (0, leases(thief, v4(66), 2)),
        (3, bears(thief, v4(66))),
        (4, leases(colleague, v4(66), 8)),
    ]);
    assert_eq!(known.bearer(v4(66), at(5)), None);
}

/// Nor must the bytes of others count among his habits.
#[test]
fn nobody_can_take_another_machine_for_his_own() {
    let (thief, server) = (mac(66), mac(1));
    let known = register(&[
        (0, bears(server, v4(1))),
        (0, bears(thief, v4(66))),
        (1, bears(thief, v4(1))),
        (2, bears(thief, v4(66))),
    ]);
    assert_eq!(known.bearer(v4(1), at(3)), None);
    // A server of another link says nothing here.
    let known = register(&[
        (0, bears(thief, v4(66))),
        (1, bears(thief, v4(200))),
        (2, bears(thief, v4(66))),
    ]);
    assert_eq!(known.bearer(v4(200), at(3)), None, "he has two addresses at once");
    assert_eq!(known.bearer(v4(66), at(3)), None);
}

/// He who takes the place of another is not him.
#[test]
fn an_address_passes_on_when_its_lease_is_over() {
    let known = register(&[(0, leases(mac(1), v4(1), 8)), (9, leases(mac(2), v4(1), 8))]);
    assert_eq!(known.bearer(v4(1), at(10)), Some(mac(2)));
    assert_eq!(known.only_bearer(v4(1)), None, "what was before was not his");
    let early = register(&[(0, leases(mac(1), v4(1), 8)), (4, leases(mac(2), v4(1), 8))]);
    assert_eq!(early.bearer(v4(1), at(5)), None);
    let silent = register(&[(0, bears(mac(1), v4(1))), (25, bears(mac(2), v4(1)))]);
    assert_eq!(silent.bearer(v4(1), at(26)), Some(mac(2)));
}

#[test]
fn routers_are_no_machines() {
    let many = (1..=9).map(|number| (0, bears(mac(1), v4(number)))).collect::<Vec<_>>();
    assert_eq!(register(&many).bearer(v4(9), at(1)), None);
    let outside = Addr::from_v4([203, 0, 113, 9]);
    for routes in [Says::Routes(mac(1)), bears(mac(1), outside)] {
        let known = register(&[(0, bears(mac(1), v4(1))), (0, routes)]);
        assert_eq!((known.bearer(v4(1), at(1)), known.only_bearer(v4(1))), (None, None));
    }
    let virtual_router = Mac::of([0, 0, 0x5e, 0, 1, 7]).unwrap();
    assert_eq!(register(&[(0, bears(virtual_router, v4(1)))]).bearer(v4(1), at(1)), None);
}

/// A privacy address a day, each for a week, and no more than that.
#[test]
fn privacy_addresses_are_counted_by_the_day() {
    let rotating: Vec<_> =
        (0..200).map(|hour| (hour, bears(mac(1), v6((hour / 24) as u8 + 1)))).collect();
    assert_eq!(register(&rotating).bearer(v6(9), at(200)), Some(mac(1)));
    let claims: Vec<_> = (1..=100).map(|number| (0, bears(mac(1), v6(number)))).collect();
    assert_eq!(register(&claims).bearer(v6(100), at(1)), None);
}

/// A machine that claims ten thousand addresses, and ten thousand that claim one.
#[test]
fn floods_fill_no_memory() {
    let mut register = Register::new(Subnets::private(), 100);
    for number in 0..20_000u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let (mac, addr) = if number < 10_000 {
            (mac(1), Addr::from_v4([10, 1, high, low]))
        } else {
            (Mac::of([2, 1, 0, 0, high, low]).unwrap(), v4(1))
        };
        let says = bears(mac, addr);
        register.hear(&Claim { at: at(0), source: ClaimSource::Arp, says });
    }
    let (machines, addresses) = register.sizes();
    assert!(machines <= 100 && addresses <= 200, "{machines} {addresses}");
    assert!(register.forgotten() > 19_000);
    assert_eq!(register.bearer(v4(1), at(0)), None);
}

/// A machine that is forgotten for want of room leaves its addresses alone; that a router is one is known for longer.
#[test]
fn who_is_forgotten_bears_nothing() {
    let mut register = Register::new(Subnets::private(), 100);
    let mut hear = |says| register.hear(&Claim { at: at(0), source: ClaimSource::Arp, says });
    hear(bears(mac(1), v4(1)));
    hear(bears(mac(2), v4(2)));
    hear(Says::Routes(mac(2)));
    for number in 0..200u8 {
        hear(bears(Mac::of([2, 1, 0, 0, 0, number]).unwrap(), Addr::from_v4([10, 1, 0, number])));
    }
    assert_eq!(register.sizes().0, 100);
    assert_eq!((register.names_of(mac(1)), register.bearer(v4(1), at(0))), (&[][..], None));
    register.hear(&Claim { at: at(0), source: ClaimSource::Arp, says: bears(mac(2), v4(2)) });
    assert!(register.is_router(mac(2)) && register.bearer(v4(2), at(0)).is_none());
}

#[test]
fn arp_is_believed_of_the_sender_alone() {
    let packet = |operation: u8, hardware: [u8; 6], addr: [u8; 4]| {
        let head = [0, 1, 8, 0, 6, 4, 0, operation];
        [&head[..], &hardware, &addr, &[9; 10]].concat()
    };
    let own = [2, 0, 0, 0, 0, 1];
    let heard = |bytes: &[u8], source| arp::read(&Resolution { source, bytes });
    for operation in [1, 2] {
        let bytes = packet(operation, own, [10, 0, 0, 1]);
        assert_eq!(heard(&bytes, Some(own)), Some(bears(mac(1), v4(1))));
        assert_eq!(heard(&bytes, Some([2, 0, 0, 0, 0, 2])), None, "it came from another");
        for len in 0..18 {
            assert_eq!(heard(&bytes[..len], Some(own)), None, "{len}");
        }
    }
    assert_eq!(heard(&packet(1, own, [0; 4]), Some(own)), None, "a probe");
    assert_eq!(heard(&packet(2, [0xff; 6], [10, 0, 0, 1]), None), None);
}

/// A message of DHCP, to or from a server.
fn dhcp_message(op: u8, yours: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..3].copy_from_slice(&[op, 1, 6]);
    bytes[16..20].copy_from_slice(&yours);
    bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    [&bytes[..], &[99, 130, 83, 99], options].concat()
}

#[test]
fn a_server_binds_and_a_client_is_named() {
    let ack = dhcp_message(2, [10, 0, 0, 1], &[53, 1, 5, 0, 51, 4, 0, 0, 0x0e, 0x10, 255]);
    assert_eq!(dhcp::read(&ack), Some(leases(mac(1), v4(1), 1)));
    let request = dhcp_message(1, [0; 4], &[53, 1, 3, 12, 5, b'P', b'C', b'-', b'3', b'7', 255]);
    let name = Box::new(Name::of(b"pc-37").unwrap());
    assert_eq!(dhcp::read(&request), Some(Says::Named(mac(1), name)));
    let offer = dhcp_message(2, [10, 0, 0, 1], &[53, 1, 2, 51, 4, 0, 0, 0x0e, 0x10, 255]);
    let answer_to_inform = dhcp_message(2, [0; 4], &[53, 1, 5, 255]);
    let forged_by_client = dhcp_message(1, [10, 0, 0, 1], &[53, 1, 5, 51, 4, 0, 0, 1, 0, 255]);
    for nothing in [offer, answer_to_inform, forged_by_client] {
        assert_eq!(dhcp::read(&nothing), None);
    }
    for len in 0..ack.len() - 1 {
        assert_eq!(dhcp::read(&ack[..len]), None, "{len}");
    }
}

#[test]
fn a_client_may_say_its_name_in_full() {
    let named = |name: &[u8]| Some(Says::Named(mac(1), Box::new(Name::of(name).unwrap())));
    let options = |name: &[u8]| [&[53, 1, 3, 81, name.len() as u8][..], name, &[255]].concat();
    let text = options(b"\0\0\0pc-37.corp.example");
    assert_eq!(dhcp::read(&dhcp_message(1, [0; 4], &text)), named(b"pc-37.corp.example"));
    let wire = options(b"\x04\0\0\x05pc-37\x04corp\x07example\0");
    assert_eq!(dhcp::read(&dhcp_message(1, [0; 4], &wire)), named(b"pc-37.corp.example"));
    let partial = options(b"\x04\0\0\x05pc-37");
    assert_eq!(dhcp::read(&dhcp_message(1, [0; 4], &partial)), named(b"pc-37"));
    for broken in [&b"\x04\0\0\x3fpc-37"[..], b"\0\0", b"\0\0\0", b"\0\0\0p c"] {
        assert_eq!(dhcp::read(&dhcp_message(1, [0; 4], &options(broken))), None, "{broken:?}");
    }
}

/// An option of DHCPv6.
fn option(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

#[test]
fn what_relays_carry_is_heard() {
    let client = option(1, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]);
    let name = option(39, b"\0\x05pc-37\0");
    let mut given = [0; 24];
    (given[0], given[15]) = (0xfd, 1);
    given[20..].copy_from_slice(&3600u32.to_be_bytes());
    let addresses = option(3, &[&[0; 12][..], &option(5, &given)].concat());
    let reply = [&[7, 0, 0, 9][..], &client, &name, &addresses].concat();
    let relayed = |inner: &[u8]| [&[13][..], &[0; 33], &option(9, inner)].concat();
    let heard = |bytes: &[u8]| {
        let mut heard = Vec::new();
        dhcpv6::read(bytes, |says| heard.push(says));
        heard
    };
    let known =
        vec![Says::Named(mac(1), Box::new(Name::of(b"pc-37").unwrap())), leases(mac(1), v6(1), 1)];
    assert_eq!(heard(&reply), known);
    assert_eq!(heard(&relayed(&reply)), known);
    assert_eq!(heard(&relayed(&relayed(&reply))), known);
    // A client's request binds nothing, and says its name.
    let request = [&[3, 0, 0, 9][..], &client, &name, &addresses].concat();
    assert_eq!(heard(&request), known[..1]);
    // More relays than there may be.
    assert_eq!(heard(&(0..40).fold(reply, |inner, _| relayed(&inner))), vec![]);
}

/// Link-local multicast names are those of who answers (RFC 4795): a response with its own address.
#[test]
fn an_llmnr_answer_names_its_sender() {
    let answer = |addr: [u8; 4]| {
        let head = [0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let name = b"\x05PC-37\0";
        let body = [&name[..], &[0, 1, 0, 1], name, &[0, 1, 0, 1, 0, 0, 0, 30, 0, 4], &addr];
        [&head[..], &body.concat()].concat()
    };
    let heard = |payload: &[u8], port| {
        let end = |addr, port| crate::net::Endpoint { addr, port };
        let segment = Segment {
            source: end(v4(1), port),
            destination: end(v4(2), 50_000),
            protocol: Protocol::UDP,
            vlan: None,
            tunnel: None,
            ip_len: 0,
            identification: 0,
            hop_limit: 1,
            transport: payload,
            payload_len: payload.len() as u32,
            header_len: 0,
            tcp: None,
            fragment: None,
        };
        let mut heard = Vec::new();
        hear(at(0), &segment, |claim| heard.push((claim.source, claim.says)));
        heard
    };
    let called = Says::Called(v4(1), Box::new(Name::of(b"pc-37").unwrap()));
    assert_eq!(heard(&answer([10, 0, 0, 1]), LLMNR), [(ClaimSource::Llmnr, called.clone())]);
    assert_eq!(heard(&answer([10, 0, 0, 1]), MDNS), [(ClaimSource::Mdns, called)]);
    assert_eq!(heard(&answer([10, 0, 0, 9]), LLMNR), [], "of another");
    assert_eq!(heard(&answer([10, 0, 0, 1])[..40], LLMNR), []);
}

#[test]
fn a_netbios_registration_names_its_sender() {
    let mut bytes = vec![0, 7, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1, 32];
    for byte in b"PC-37          \0" {
        bytes.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
    }
    bytes.extend([0, 0, 0x20, 0, 1, 0xc0, 12, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6, 0, 0]);
    bytes.extend([10, 0, 0, 1]);
    assert_eq!(netbios::read(&bytes), Some((Name::of(b"pc-37").unwrap(), v4(1))));
    for len in 0..bytes.len() {
        assert_eq!(netbios::read(&bytes[..len]), None, "{len}");
    }
    let group = bytes.len() - 6;
    bytes[group] = 0x80;
    assert_eq!(netbios::read(&bytes), None, "the name of a group");
}

proptest! {
    /// Whatever is claimed, and by whom: an address has one bearer at most, who claimed it.
    #[test]
    fn who_bears_an_address_has_claimed_it(
        claims in prop::collection::vec((0u64..60, 1u8..5, 1u8..6, any::<bool>()), 1..80),
    ) {
        let mut claims = claims;
        claims.sort_by_key(|&(hours, ..)| hours);
        let said: Vec<_> = claims
            .iter()
            .map(|&(hours, of, addr, is_leased)| {
                let lease = is_leased.then(|| Duration::from_secs(3600));
                (hours, Says::Bears { mac: mac(of), addr: v4(addr), lease })
            })
            .collect();
        let known = register(&said);
        for number in 1..6 {
            if let Some(bearer) = known.bearer(v4(number), at(60)) {
                let own = claims.iter().any(|&(_, of, addr, _)| (mac(of), addr) == (bearer, number));
                prop_assert!(own);
                // Nobody else's word is younger than a day.
                let others = claims.iter().filter(|&&(hours, of, addr, _)| {
                    addr == number && mac(of) != bearer && hours > 36
                });
                let last_own = claims.iter().rev().find(|claim| (mac(claim.1), claim.2) == (bearer, number));
                let after = others.filter(|other| other.0 > last_own.unwrap().0).count();
                prop_assert_eq!(after, 0);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), prefix in 0usize..4) {
        let bytes = match prefix {
            0 => bytes,
            1 => dhcp_message(2, [10, 0, 0, 1], &bytes),
            2 => [&[7, 0, 0, 0, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1][..], &bytes].concat(),
            _ => [&[0, 7, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1, 32][..], &bytes].concat(),
        };
        let _ = dhcp::read(&bytes);
        let mut told = 0;
        dhcpv6::read(&bytes, |_| told += 1);
        prop_assert!(told <= bytes.len() / 28 + 1);
        let _ = netbios::read(&bytes);
        let _ = arp::read(&Resolution { source: None, bytes: &bytes });
    }
}
