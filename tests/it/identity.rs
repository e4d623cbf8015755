//! Machines as hosts: what is theirs over all their addresses, and what nobody can make theirs.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use sekisho::alert::{Alert, Record, Severity};
use sekisho::config::{Keys, Settings};
use sekisho::egress::{Host, HostKey};
use sekisho::engine::Analyst;
use sekisho::flow::{Counters, FlowDelta, FlowEnd, FlowKey};
use sekisho::machines::{Claim, ClaimSource, Identity, Mac, Says};
use sekisho::names::{Event, Name, Query, Told};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::time::Timestamp;

fn mac(number: u8) -> Mac {
    Mac::of([2, 0, 0, 0, 0, number]).unwrap()
}

fn machine(number: u8) -> HostKey {
    HostKey::Machine(mac(number))
}

fn v4(number: u8) -> Addr {
    Addr::from_v4([10, 0, 0, number])
}

fn v6(number: u8) -> Addr {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (0xfd, number);
    Addr::from_v6(bytes)
}

/// An outside address of the same version.
fn server(of: Addr, number: u8) -> Addr {
    let mut bytes = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[15] = number;
    if of.to_ip().is_ipv4() { Addr::from_v4([203, 0, 113, number]) } else { Addr::from_v6(bytes) }
}

/// Analyst and time: what happens on a link, an hour after hour.
struct Link {
    analyst: Analyst,
    hour: u64,
    port: u16,
    told: Vec<Alert>,
}

impl Link {
    fn new(keys: &Keys) -> Self {
        let analyst = Analyst::new(Settings::of(keys).unwrap().analyst);
        Self { analyst, hour: 0, port: 1000, told: Vec::new() }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_secs_nanos(1_700_006_400 + self.hour * 3600, 0)
    }

    fn claims(&mut self, mac: Mac, addr: Addr) {
        self.says(Says::Bears { mac, addr, lease: None });
    }

    fn leases(&mut self, mac: Mac, addr: Addr, hours: u64) {
        let lease = Some(Duration::from_secs(hours * 3600));
        self.says(Says::Bears { mac, addr, lease });
    }

    fn says(&mut self, says: Says) {
        self.analyst.hear_claim(&Claim { at: self.at(), source: ClaimSource::Arp, says });
    }

    /// A flow of its own, whole.
    fn sends(&mut self, from: Addr, to: u8, bytes: u64) {
        self.port += 1;
        let port = self.port;
        self.reports((from, port), to, bytes, Some(FlowEnd::Fin));
    }

    fn reports(&mut self, (from, port): (Addr, u16), to: u8, bytes: u64, end: Option<FlowEnd>) {
        let out = Counters {
            payload: bytes,
            sent: bytes,
            wire: bytes,
            packets: 1,
            ..Counters::default()
        };
        let end_of = |addr, port| Endpoint { addr, port };
        let delta = FlowDelta::new(
            end_of(from, port),
            end_of(server(from, to), 443),
            Protocol::TCP,
            self.at(),
            [out, Counters::default()],
        );
        self.analyst.fold([&FlowDelta { end, ..delta }]);
        self.told.extend(self.analyst.drain().filter_map(|record| match record {
            Record::Alert(alert) => Some(*alert),
            Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
        }));
    }

    fn sent(&self, host: HostKey) -> u64 {
        self.analyst.egress().host(host).map_or(0, Host::total_out)
    }

    fn pages(&self) -> Vec<&Alert> {
        self.told.iter().filter(|alert| alert.severity >= Severity::Medium).collect()
    }

    /// An office of forty machines, each of which sends much to its own place every day.
    fn office(days: u64) -> Self {
        let mut link = Self::new(&Keys::default());
        for _ in 0..days {
            for number in 1..=40 {
                link.claims(mac(number), v4(number));
                link.sends(v4(number), number, 3_000_000);
            }
            link.sends(v4(1), 1, NIGHTLY);
            link.hour += 24;
        }
        link
    }
}

/// What one machine of the office sends home each night.
const NIGHTLY: u64 = 4_000_000_000;

/// A thief who spreads his upload over an IPv4 address and a privacy address an hour sends it from one desk.
#[test]
fn what_leaves_from_many_addresses_is_one_machines_incident() {
    let mut link = Link::office(10);
    link.told.clear();
    link.claims(mac(5), v4(5));
    for number in 1..=10 {
        link.claims(mac(5), v6(number));
        link.reports((v6(number), 7), 99, 60_000_000, None);
    }
    let hosts: Vec<_> = link.pages().iter().map(|alert| alert.host.mac.clone()).collect();
    assert!(!hosts.is_empty() && hosts.iter().all(|of| *of == Some(mac(5).to_string())));
    let last = link.pages().last().copied().unwrap().clone();
    assert!(last.bytes_out > 300_000_000, "{}", last.summary);
    assert_eq!(link.pages().iter().filter(|alert| alert.incident != last.incident).count(), 0);
    assert!(last.host.ips.len() > 5 && last.pivot.bpf.contains("host fd00::2 or "));
    // By address each of the ten would be a host on its first day.
    assert_eq!(link.sent(machine(5)), 10 * 3_000_000 + 600_000_000);
}

/// The nightly backup of a machine is no news when it has another address, and is news of the machine that
/// has its address now.
#[test]
fn a_history_follows_its_machine_and_not_its_address() {
    let mut link = Link::office(10);
    link.told.clear();
    link.leases(mac(1), v4(101), 24);
    link.hour += 24;
    link.claims(mac(1), v4(101));
    link.sends(v4(101), 1, NIGHTLY);
    assert_eq!(link.pages().len(), 0, "{:?}", link.told);
    link.hour += 24;
    link.leases(mac(77), v4(1), 24);
    link.sends(v4(1), 1, NIGHTLY);
    let told = link.pages();
    assert!(!told.is_empty());
    assert!(told.iter().all(|alert| alert.host.mac == Some(mac(77).to_string())));
    assert_eq!(link.analyst.baseline().days(machine(77)), 0, "inherits nothing");
    assert!(link.analyst.baseline().days(machine(1)) >= 10);
    assert_eq!(link.analyst.baseline().days(HostKey::Address(v4(1))), 0);
}

/// The machine says who it is while the upload runs: one incident, with every byte in it, once.
#[test]
fn who_is_known_late_has_sent_what_its_address_sent() {
    let mut link = Link::new(&Keys::default());
    for _ in 0..10 {
        link.reports((v4(200), 7), 99, 200_000_000, None);
    }
    assert!(!link.told.is_empty() && link.told.iter().all(|alert| alert.host.mac.is_none()));
    let id = link.told[0].incident.clone();
    link.claims(mac(20), v4(200));
    link.claims(mac(20), v6(200));
    assert_eq!((link.sent(HostKey::Address(v4(200))), link.sent(machine(20))), (0, 2_000_000_000));
    for _ in 0..100 {
        link.reports((v4(200), 7), 99, 200_000_000, None);
    }
    let last = link.told.last().unwrap();
    assert_eq!((&last.incident, &last.host.mac), (&id, &Some(mac(20).to_string())));
    assert!(last.bytes_out > 8_000_000_000 && last.bytes_out <= 22_000_000_000);
    assert!(link.told.iter().all(|alert| alert.incident == id));
    assert_eq!(link.sent(machine(20)), 22_000_000_000);
}

/// Who forges that a colleague's address is at his interface gets none of the colleague's habits and gives him
/// none of his bytes; nor does the colleague's backup alarm, because he was made to stand alone.
#[test]
fn a_forged_claim_moves_no_bytes_and_takes_no_history() {
    let mut link = Link::office(10);
    link.told.clear();
    link.claims(mac(1), v4(1));
    link.claims(mac(5), v4(5));
    link.claims(mac(5), v4(1));
    assert_eq!(link.analyst.host_of(v4(1), link.at()), HostKey::Address(v4(1)));
    link.sends(v4(1), 1, NIGHTLY);
    assert_eq!(link.pages().len(), 0, "{:?}", link.told);
    link.claims(mac(5), v4(5));
    for to in [99, 1] {
        link.told.clear();
        link.sends(v4(5), to, NIGHTLY);
        let told = link.pages();
        assert!(!told.is_empty(), "he has no use for what others send to {to}");
        assert!(told.iter().all(|alert| alert.host.ip == v4(5)));
        // He has claimed two addresses at once, and so goes by this one, with the history he had.
        assert!(!told[0].summary.contains("first day on record"), "{}", told[0].summary);
    }
}

/// Who disputes his own address, to be judged as one of whom nothing is known, is judged by what he was; and
/// it is told.
#[test]
fn nobody_rids_himself_of_his_history_by_disputing_his_address() {
    let told = |dispute: fn(&mut Link)| {
        let mut link = Link::office(10);
        link.told.clear();
        link.claims(mac(5), v4(5));
        dispute(&mut link);
        link.sends(v4(5), 99, 600_000_000);
        let mut summary = sekisho::alert::Summary::default();
        link.analyst.summarize(&mut summary);
        let alert = link.pages().last().copied().unwrap().clone();
        (alert.score_bits.to_f64(), alert.host.disputed, summary.addresses_disputed)
    };
    let honest = told(|_| {});
    assert_eq!((honest.1, honest.2), (false, 0));
    let (disputed, routes) =
        (told(|link| link.claims(mac(66), v4(5))), told(|link| link.says(Says::Routes(mac(5)))));
    assert_eq!((disputed.1, disputed.2, routes.1), (true, 1, false));
    // Only what it sent within a day before is not in its windows.
    assert!((disputed.0 - honest.0).abs() < 0.2 && (routes.0 - honest.0).abs() < 0.2);
}

/// A dispute must not be a way to another's history: an address that is said to be at the backup server's
/// interface, which has its own, gets nothing of that server's.
#[test]
fn an_address_that_was_forged_on_another_lends_nothing() {
    let mut link = Link::office(10);
    for _ in 0..3 {
        link.claims(mac(1), v4(1));
        link.claims(mac(1), v4(150));
        link.hour += 12;
        link.claims(mac(1), v4(1));
        link.hour += 12;
    }
    link.claims(mac(66), v4(150));
    assert_eq!(link.analyst.baseline().days(HostKey::Address(v4(150))), 0);
}

/// A router's interface bears many, and a sensor behind it sees nobody else's: all as without machines.
#[test]
fn behind_a_router_hosts_are_addresses() {
    let mut link = Link::new(&Keys::default());
    for number in 1..=20 {
        link.claims(mac(254), v4(number));
        link.sends(v4(number), 1, 1000);
    }
    link.hour += 1;
    (1..=20).for_each(|number| link.sends(v4(number), 1, 1000));
    let by_address = (5..=20).filter(|&number| link.sent(HostKey::Address(v4(number))) > 0).count();
    assert_eq!(by_address, 16);
}

/// Off is off; and who turns it off keeps what was learned, by address.
#[test]
fn by_address_nothing_is_joined() {
    let keys = Keys { identity: Some(Identity::Address), ..Keys::default() };
    let mut link = Link::new(&keys);
    link.sends(v4(1), 1, 1000);
    link.claims(mac(1), v4(1));
    link.claims(mac(1), v6(1));
    link.sends(v4(1), 1, 1000);
    link.sends(v6(1), 1, 1000);
    assert_eq!(link.sent(HostKey::Address(v4(1))), 2000);
    assert_eq!(link.sent(HostKey::Address(v6(1))), 1000);
    let learned = Link::office(10).analyst.resume(Settings::of(&keys).unwrap().analyst).unwrap();
    assert!(learned.baseline().days(HostKey::Address(v4(1))) >= 9);
    assert_eq!(learned.host_of(v4(1), learned.now()), HostKey::Address(v4(1)));
}

/// A role that is declared for an address is that of the machine.
#[test]
fn a_declared_role_is_the_machines() {
    let folder = tempfile::tempdir().unwrap();
    let networks = "roles:\n  backup: [10.0.0.5]\n";
    std::fs::write(folder.path().join("networks.yaml"), networks).unwrap();
    let keys = Keys { rules: Some(folder.path().to_owned()), ..Keys::default() };
    let mut link = Link::new(&keys);
    link.claims(mac(5), v6(5));
    link.claims(mac(5), v4(5));
    link.reports((v6(5), 7), 99, 4_000_000_000, None);
    assert_eq!(link.told.last().unwrap().host.role.as_deref(), Some("backup"));
}

/// What happens on a link.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Claims { mac: u8, addr: u8, lease: bool },
    Routes { mac: u8 },
    Sends { addr: u8, to: u8, bytes: u32 },
    Hours(u8),
}

/// Half of them are IPv4.
fn addr(number: u8) -> Addr {
    if number.is_multiple_of(2) { v4(number) } else { v6(number) }
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        6 => (0..8u8, 0..4u8, 1..200_000_000u32)
            .prop_map(|(addr, to, bytes)| Happening::Sends { addr, to, bytes }),
        6 => (1..5u8, 0..8u8, any::<bool>())
            .prop_map(|(mac, addr, lease)| Happening::Claims { mac, addr, lease }),
        1 => (1..5u8).prop_map(|mac| Happening::Routes { mac }),
        2 => (1..30u8).prop_map(Happening::Hours),
    ];
    prop::collection::vec(one, 1..60)
}

impl Link {
    fn goes_on(&mut self, happening: Happening) {
        match happening {
            Happening::Claims { mac: of, addr: number, lease: false } => {
                self.claims(mac(of), addr(number));
            }
            Happening::Claims { mac: of, addr: number, lease: true } => {
                self.leases(mac(of), addr(number), 8);
            }
            Happening::Routes { mac: of } => self.says(Says::Routes(mac(of))),
            Happening::Sends { addr: number, to, bytes } => {
                self.reports((addr(number), 7), to, bytes.into(), None);
            }
            Happening::Hours(hours) => self.hour += u64::from(hours),
        }
    }

    /// Bytes that all hosts sent in all, and what their pairs say they sent today.
    fn sums(&self) -> (u64, u64) {
        let egress = self.analyst.egress();
        let pairs = |host| egress.pairs().of(host).map(|pair| pair.out.sent).sum::<u64>();
        egress
            .hosts()
            .fold((0, 0), |(all, today), host| (all + host.total_out(), today + pairs(host)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// In whatever order machines are claimed, disputed and become routers: every byte is some host's, once,
    /// and in the sums of the day on which it was sent.
    #[test]
    fn every_byte_is_one_hosts(happenings in happenings()) {
        let mut link = Link::new(&Keys::default());
        let (mut sent, mut today, mut day) = (0, 0, link.analyst.egress().day());
        for happening in happenings {
            link.goes_on(happening);
            if let Happening::Sends { bytes, .. } = happening {
                if link.analyst.egress().day() != day {
                    (day, today) = (link.analyst.egress().day(), 0);
                }
                sent += u64::from(bytes);
                today += u64::from(bytes);
            }
            prop_assert_eq!(link.sums(), (sent, today));
        }
        let totals = link.analyst.egress().totals();
        prop_assert_eq!(totals.bytes_out, sent);
        // What is learned of a host is at most what was sent.
        for host in link.analyst.baseline().hosts() {
            let profile = link.analyst.profile(host).unwrap();
            let largest: u64 = profile.destinations.iter().map(|to| to.largest).sum();
            prop_assert!(largest <= sent);
        }
    }

    /// Whoever forges claims without ever being the machine that has an address is never counted as that
    /// machine, nor it as him.
    #[test]
    fn no_forger_is_taken_for_another(forged in prop::collection::vec((0..8u8, any::<bool>(), 0..12u8), 0..20)) {
        let mut link = Link::new(&Keys::default());
        let (thief, colleague) = (mac(66), mac(1));
        link.claims(colleague, v4(2));
        link.claims(thief, v4(66));
        for (what, is_lease, hours) in forged {
            // What he can say, between what both say of themselves.
            let (of, addr) = match what % 4 {
                0 => (colleague, v4(66)),
                1 => (thief, v4(2)),
                2 => (mac(67), v4(66)),
                _ => (mac(67), v4(2)),
            };
            if is_lease { link.leases(of, addr, 8) } else { link.claims(of, addr) }
            link.hour += u64::from(hours);
            link.claims(colleague, v4(2));
            link.claims(thief, v4(66));
            let at = link.at();
            let (his, colleagues) = (link.analyst.host_of(v4(66), at), link.analyst.host_of(v4(2), at));
            prop_assert!(his == HostKey::Machine(thief) || his == HostKey::Address(v4(66)));
            prop_assert!(colleagues == HostKey::Machine(colleague) || colleagues == HostKey::Address(v4(2)));
        }
    }

    /// A run that ends and another that goes on from its file are one run.
    #[test]
    fn what_is_kept_goes_on_as_the_same(before in happenings(), after in happenings()) {
        let mut link = Link::new(&Keys::default());
        before.into_iter().for_each(|happening| link.goes_on(happening));
        let bytes = rmp_serde::to_vec_named(&link.analyst).unwrap();
        let read: Analyst = rmp_serde::from_slice(&bytes).unwrap();
        let analyst = read.resume(Settings::of(&Keys::default()).unwrap().analyst).unwrap();
        let (hour, port) = (link.hour, link.port);
        let mut again = Link { analyst, hour, port, told: Vec::new() };
        link.told.clear();
        for happening in after {
            link.goes_on(happening);
            again.goes_on(happening);
        }
        prop_assert_eq!(&link.told, &again.told);
    }
}

/// A flood of forged claims and of forged senders takes no more room than there is, and loses no byte.
#[test]
fn a_flood_is_bounded() {
    let mut keys = Keys::default();
    keys.limits.hosts_max = Some(64);
    let mut link = Link::new(&keys);
    let mut evicted = 0;
    for number in 0..20_000u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let addr = Addr::from_v4([10, a, b, c]);
        link.sends(addr, 1, 10);
        link.claims(Mac::of([2, 9, a, b, c, 1]).unwrap(), addr);
        link.claims(Mac::of([2, 9, a, b, c, 2]).unwrap(), v4(number as u8));
        evicted = link.analyst.egress().totals().hosts_evicted;
        assert!(link.analyst.egress().hosts().len() <= 64);
    }
    assert!(evicted > 19_000);
    assert_eq!(link.analyst.egress().totals().bytes_out, 200_000);
    assert!(link.analyst.baseline().sizes().0 <= 64);
}

/// A tunnel in names that began before its machine was known is one incident, told once, and goes on as the
/// machine's.
#[test]
fn a_tunnel_in_names_goes_with_its_machine() {
    let mut link = Link::new(&Keys::default());
    let ask = |link: &mut Link, number: u64| {
        let key = FlowKey::of(
            Endpoint { addr: v4(7), port: 40_000 },
            Endpoint { addr: server(v4(7), 53), port: 53 },
            Protocol::UDP,
        );
        let query = Query {
            at: link.at().plus(Duration::from_millis(number * 20)),
            flow: key.0,
            client: key.1,
            is_response: false,
            bytes: 120,
            kind: 16,
            domain: Name::of(b"tunnel.example"),
            is_listed: true,
            below: Told { digest: number, bits: 640 },
            own: Told::default(),
            about: None,
        };
        link.analyst.hear(&Event::Query(Box::new(query)));
        link.told.extend(link.analyst.drain().filter_map(|record| match record {
            Record::Alert(alert) => Some(*alert),
            Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
        }));
    };
    (0..1000).for_each(|number| ask(&mut link, number));
    assert!(!link.pages().is_empty());
    link.claims(mac(7), v4(7));
    (1000..4000).for_each(|number| ask(&mut link, number));
    let incidents: BTreeSet<&String> = link.told.iter().map(|alert| &alert.incident).collect();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(link.told.last().unwrap().host.mac.as_deref(), Some("02:00:00:00:00:07"));
}
