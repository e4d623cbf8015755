//! Laws of the census, on flows made up.

use proptest::prelude::*;

use super::*;
use crate::egress::{Errand, Party, RecordClosing, RecordEnd};
use crate::names::{Name, NameSource, Service};
use crate::net::Protocol;
use crate::rules::Role;
use crate::time::Timestamp;

fn inside(number: u8) -> Addr {
    Addr::from_v4([10, 0, 0, number])
}

fn outside(number: u8) -> Addr {
    Addr::from_v4([203, 0, 113, number])
}

/// A flow that `host` opened to `peer` and both ends closed.
fn flow(scope: Scope, host: Addr, peer: Addr, out: u64, back: u64) -> FlowRecord {
    let start = Timestamp::from_secs_nanos(1_700_000_000, 0);
    FlowRecord {
        schema: "sekisho.flow/1",
        start,
        last: start,
        scope,
        host,
        host_port: 50_000,
        peer,
        peer_port: 443,
        initiator: Party::Host,
        initiator_inferred: false,
        proto: Protocol::TCP,
        service: Some(Service::Tls),
        name: None,
        name_source: None,
        owner: None,
        name_mismatch: false,
        client: None,
        recipients: None,
        vlan: None,
        tunnel: None,
        payload_out: out,
        payload_in: back,
        acked_out: Some(out),
        acked_in: Some(back),
        wire_out: out,
        wire_in: back,
        packets_out: 1,
        packets_in: 1,
        retransmitted_out: Some(0),
        lost_out: Some(0),
        duplicates: 0,
        one_sided: false,
        end: RecordEnd::Fin,
        closing: RecordClosing::default(),
        community_id: String::new(),
        errand: None,
    }
}

fn named(record: FlowRecord, name: &str) -> FlowRecord {
    let name = Name::of(name.as_bytes()).unwrap();
    FlowRecord {
        owner: name.owner().map(str::to_owned),
        name: Some(name),
        name_source: Some(NameSource::TlsSni),
        ..record
    }
}

fn census(options: Options, flows: &[FlowRecord]) -> Census {
    let mut census =
        Census::new(options, Arc::new(RuleSet::shipped()), Registry::default(), Subnets::private());
    flows.iter().for_each(|flow| census.count(flow));
    census
}

/// A hello that names somebody harmless must not put the bytes among his.
#[test]
fn who_lies_about_his_name_goes_by_his_address() {
    let honest = named(flow(Scope::Border, inside(1), outside(1), 10, 0), "www.bank.example");
    let lie = FlowRecord { peer: outside(2), name_mismatch: true, ..honest.clone() };
    let told = census(Options::default(), &[honest, lie]).destinations(Order::Name);
    let told: Vec<_> = told
        .iter()
        .map(|to| (to.destination.as_deref().unwrap(), to.traffic.bytes_out, to.name_mismatch))
        .collect();
    assert_eq!(told, [("bank.example", 10, false), ("203.0.113.2", 10, true)]);
}

/// A scan asks 65,536 addresses, of which few exist; a broadcast address is nobody.
#[test]
fn who_never_sent_is_nobody() {
    let scan = FlowRecord {
        payload_in: 0,
        acked_in: None,
        packets_in: 0,
        ..flow(Scope::Inside, inside(1), inside(9), 0, 0)
    };
    let from_outside =
        FlowRecord { packets_out: 0, ..flow(Scope::Border, inside(8), outside(1), 0, 0) };
    let unconfigured = Addr::from_v4([0; 4]);
    let asks_for_address = flow(Scope::Inside, unconfigured, inside(1), 300, 0);
    let one_sided =
        FlowRecord { packets_out: 0, ..flow(Scope::Border, inside(7), outside(1), 0, 5) };
    let told = census(Options::default(), &[scan, from_outside, asks_for_address, one_sided])
        .hosts(Order::Name);
    let told: Vec<_> = told.iter().map(|host| host.host.unwrap()).collect();
    assert_eq!(told, [inside(1), inside(7)]);
}

/// Both ends of a flow inside are hosts; its bytes do not leave.
#[test]
fn what_stays_inside_is_apart() {
    let told = census(Options::default(), &[flow(Scope::Inside, inside(1), inside(2), 7, 5)]);
    let told = told.hosts(Order::Name);
    let bytes: Vec<_> = told
        .iter()
        .map(|host| (host.inside_out, host.inside_in, host.traffic.bytes_out, host.destinations))
        .collect();
    assert_eq!(bytes, [(7, 5, 0, 0), (5, 7, 0, 0)]);
}

#[test]
fn roles_are_inferred_from_who_answers() {
    let to = |host, peer, service, peer_port| FlowRecord {
        service: Some(service),
        peer_port,
        ..flow(Scope::Inside, inside(host), inside(peer), 7, 5)
    };
    let told = census(
        Options::default(),
        &[
            to(1, 50, Service::Smb, 445),
            to(2, 50, Service::Smb, 445),
            to(1, 53, Service::Dns, 53),
            to(1, 25, Service::Smtp, 25),
            // Both may be at it: no sign of a server.
            to(1, 3, Service::Http, 80),
            flow(Scope::Border, inside(1), outside(1), 7, 5),
        ],
    );
    let roles: Vec<_> =
        told.hosts(Order::Name).iter().map(|host| (host.host.unwrap(), host.role)).collect();
    let expected = [
        (1, Some(Role::Workstation)),
        (2, None),
        (3, None),
        (25, Some(Role::Mail)),
        (50, Some(Role::Server)),
        (53, Some(Role::Resolver)),
    ];
    assert_eq!(roles, expected.map(|(host, role)| (inside(host), role)));
}

const ASKED: &str = "www.files.example";

/// A flow in which an inside host has another one pass something on.
fn asks(host: Addr, relay: Addr, errand: Errand, bytes: u64) -> FlowRecord {
    let (service, port) = match errand {
        Errand::Proxied => (Service::Http, 3128),
        Errand::Mail => (Service::Smtp, 25),
        Errand::Questions => (Service::Dns, 53),
    };
    FlowRecord {
        service: Some(service),
        peer_port: port,
        errand: Some(errand),
        ..named(flow(Scope::Inside, host, relay, bytes, 5), ASKED)
    }
}

/// A machine that passes on what others hand it is not who sends it; what it adds of its own is its own. Which
/// of the two flows ended first says nothing.
#[test]
fn what_a_relay_was_asked_for_is_told_apart() {
    let sends = |relay: u8, service, bytes| FlowRecord {
        service: Some(service),
        ..named(flow(Scope::Border, inside(relay), outside(relay), bytes, 5), ASKED)
    };
    let elsewhere = named(flow(Scope::Border, inside(31), outside(1), 900, 5), "b.example");
    let mut flows = vec![
        sends(31, Service::Tls, 100),
        asks(inside(1), inside(31), Errand::Proxied, 60),
        asks(inside(2), inside(31), Errand::Proxied, 30),
        elsewhere,
        asks(inside(1), inside(25), Errand::Mail, 700),
        sends(25, Service::Smtp, 500),
        sends(25, Service::Tls, 500),
        asks(inside(1), inside(53), Errand::Questions, 70),
        sends(53, Service::Dns, 20),
        // Asked by the outside: nobody inside had it sent.
        FlowRecord {
            scope: Scope::Border,
            initiator: Party::Peer,
            ..asks(inside(54), outside(1), Errand::Questions, 80)
        },
    ];
    for _ in 0..2 {
        let census = census(Options::default(), &flows);
        let told: Vec<_> = census
            .hosts(Order::Name)
            .iter()
            .filter(|host| host.bytes_relayed > 0)
            .map(|host| (host.host.unwrap(), host.role, host.bytes_relayed))
            .collect();
        let hosts = census.hosts(Order::Name);
        let proxy = hosts.iter().find(|host| host.role == Some(Role::Proxy)).unwrap();
        assert!(proxy.names.is_empty(), "nobody calls it by the name of whom it is asked for");
        let is = |host, role, bytes| (inside(host), Some(role), bytes);
        let relays = [is(25, Role::Mail, 500), is(31, Role::Proxy, 90), is(53, Role::Resolver, 20)];
        assert_eq!(told, relays);
        flows.reverse();
    }
}

proptest! {
    /// Sums over hosts, and over destinations, are the sum over flows, however little is remembered, and no
    /// table is larger than it may be.
    #[test]
    fn nothing_is_lost_for_want_of_room(
        flows in prop::collection::vec((0u8..40, 0u8..40, 0u64..1000, 0u64..1000), 1..300),
        max in 1usize..20,
    ) {
        let flows: Vec<_> = flows
            .iter()
            .map(|&(host, peer, out, back)| {
                let made = flow(Scope::Border, inside(host), outside(peer), out, back);
                if peer % 3 == 0 { made } else { named(made, &format!("a{peer}.b{}.example", peer % 7)) }
            })
            .collect();
        let options = Options {
            hosts_max: max,
            destinations_max: max,
            pairs_max: 2 * max,
            ..Options::default()
        };
        let census = census(options, &flows);
        let whole = |of: fn(&FlowRecord) -> u64| flows.iter().map(of).sum::<u64>();
        let sums = (flows.len() as u64, whole(FlowRecord::bytes_out), whole(FlowRecord::bytes_in));
        let total = |all: Vec<Traffic>| {
            all.iter().fold((0, 0, 0), |(flows, out, back), one| {
                (flows + one.flows, out + one.bytes_out, back + one.bytes_in)
            })
        };
        let hosts = census.hosts(Order::BytesOut);
        let destinations = census.destinations(Order::BytesOut);
        prop_assert!(hosts.len() <= max + 1 && destinations.len() <= max + 1);
        prop_assert!(census.pairs.iter().count() <= 2 * max);
        prop_assert_eq!(hosts.iter().any(|host| host.host.is_none()), census.forgotten().hosts > 0);
        prop_assert_eq!(total(hosts.into_iter().map(|host| host.traffic).collect()), sums);
        prop_assert_eq!(total(destinations.into_iter().map(|to| to.traffic).collect()), sums);
    }

    /// Where there is room, the order in which flows end does not matter.
    #[test]
    fn the_order_of_flows_does_not_matter(
        mut flows in prop::collection::vec((0u8..9, 0u8..9, 0u64..50, 0u64..50), 1..60),
    ) {
        let told = |flows: &[(u8, u8, u64, u64)]| {
            let flows: Vec<_> = flows
                .iter()
                .map(|&(host, peer, out, back)| match peer % 3 {
                    0 => asks(inside(host), inside(peer), Errand::Proxied, out),
                    1 => named(flow(Scope::Border, inside(host), outside(1), out, back), ASKED),
                    _ => flow(Scope::Border, inside(host), outside(peer), out, back),
                })
                .collect();
            let census = census(Options::default(), &flows);
            let hosts = census.hosts(Order::BytesOut);
            assert!(hosts.iter().all(|host| host.bytes_relayed <= host.traffic.bytes_out));
            (hosts, census.destinations(Order::Peers))
        };
        let before = told(&flows);
        flows.reverse();
        prop_assert_eq!(before, told(&flows));
    }
}
