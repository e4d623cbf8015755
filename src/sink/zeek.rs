//! Flow records as Zeek's `conn.log`, for programs that read one.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::egress::{FlowRecord, Party, Scope};
use crate::names::Service;
use crate::net::{Addr, Protocol};

/// Writes the header lines. `#open` and `#close` are left out: the clock on the wall is not ours to
/// tell, and the same capture gives the same log.
pub(super) fn head(to: &mut impl Write) -> io::Result<()> {
    let (names, types): (Vec<_>, Vec<_>) = COLUMNS.into_iter().unzip();
    writeln!(to, "#separator \\x09")?;
    writeln!(to, "#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn")?;
    writeln!(to, "#fields\t{}", names.join("\t"))?;
    writeln!(to, "#types\t{}", types.join("\t"))
}

/// Writes a record, its columns as in [`COLUMNS`].
pub(super) fn row(to: &mut impl Write, record: &FlowRecord) -> io::Result<()> {
    let (orig, resp) = ends(record);
    let duration = record.last.since(record.start).as_micros();
    let start = record.start.as_nanos() / 1000;
    write!(to, "{}.{:06}\t{}", start / 1_000_000, start % 1_000_000, uid(record))?;
    write!(to, "\t{}\t{}\t{}\t{}", orig.addr, orig.port, resp.addr, resp.port)?;
    write!(to, "\t{}\t{}", proto(record.proto), service(record.service))?;
    write!(to, "\t{}.{:06}", duration / 1_000_000, duration % 1_000_000)?;
    write!(to, "\t{}\t{}\t{}", orig.bytes(), resp.bytes(), conn_state(record))?;
    write!(to, "\t{}\t{}", truth(orig.is_local), truth(resp.is_local))?;
    match (orig.missed(), resp.missed()) {
        (None, None) => write!(to, "\t{UNSET}")?,
        (orig, resp) => write!(to, "\t{}", orig.unwrap_or(0) + resp.unwrap_or(0))?,
    }
    write!(to, "\t{UNSET}\t{}\t{}", orig.packets, orig.wire)?;
    write!(to, "\t{}\t{}", resp.packets, resp.wire)?;
    writeln!(to, "\t{UNSET}\t{}", record.community_id)
}

/// Zeek's word for a service, which is the same but for one.
fn service(service: Option<Service>) -> &'static str {
    match service {
        None | Some(Service::Unknown) => UNSET,
        Some(Service::Tls) => "ssl",
        Some(other) => other.name(),
    }
}

/// One end of a flow, as Zeek sees flows: from the originator to the responder.
#[derive(Debug, Clone, Copy)]
struct End {
    addr: Addr,
    port: u16,
    is_local: bool,
    payload: u64,
    acked: Option<u64>,
    wire: u64,
    packets: u64,
}

impl End {
    /// Zeek takes TCP's bytes from sequence numbers, so that missed ones count.
    fn bytes(&self) -> u64 {
        self.payload.max(self.acked.unwrap_or(0))
    }

    fn missed(&self) -> Option<u64> {
        self.acked.map(|acked| acked.saturating_sub(self.payload))
    }
}

/// Originator and responder.
fn ends(record: &FlowRecord) -> (End, End) {
    let host = End {
        addr: record.host,
        port: record.host_port,
        is_local: match record.scope {
            Scope::Border | Scope::Inside => true,
            Scope::Outside => false,
        },
        payload: record.payload_out,
        acked: record.acked_out,
        wire: record.wire_out,
        packets: record.packets_out,
    };
    let peer = End {
        addr: record.peer,
        port: record.peer_port,
        is_local: match record.scope {
            Scope::Inside => true,
            Scope::Border | Scope::Outside => false,
        },
        payload: record.payload_in,
        acked: record.acked_in,
        wire: record.wire_in,
        packets: record.packets_in,
    };
    match record.initiator {
        Party::Host => (host, peer),
        Party::Peer => (peer, host),
    }
}

/// Zeek's word for how the connection went, as its own script says it (`base/protocols/conn`); `OTH` where
/// no word fits.
fn conn_state(record: &FlowRecord) -> &'static str {
    let (orig, resp) = ends(record);
    match record.proto {
        Protocol::TCP => {}
        Protocol::UDP if orig.packets == 0 => return "SHR",
        Protocol::UDP if resp.packets == 0 => return "S0",
        Protocol::UDP => return "SF",
        _ => return "OTH",
    }
    let has_syn = !record.initiator_inferred;
    // Zeek calls an end inactive that sent nothing, or that it met in the middle.
    let is_inactive = |end: End| end.packets == 0 || !has_syn;
    let choose = |is_true, yes, no| if is_true { yes } else { no };
    if let Some(by) = record.closing.reset_by {
        if by == record.initiator {
            return choose(is_inactive(resp), "RSTOS0", "RSTO");
        }
        // A SYN and its reset. Of a SYN-ACK out of nowhere and its reset, the latter is the shorter.
        let is_answer = orig.packets == resp.packets && orig.wire >= resp.wire;
        return match (is_inactive(orig), is_answer && orig.bytes() + resp.bytes() == 0) {
            (true, _) => "RSTRH",
            (false, true) => "REJ",
            (false, false) => "RSTR",
        };
    }
    let (host_fin, peer_fin) = (record.closing.host_fin, record.closing.peer_fin);
    let (orig_fin, resp_fin) = match record.initiator {
        Party::Host => (host_fin, peer_fin),
        Party::Peer => (peer_fin, host_fin),
    };
    match (orig_fin, resp_fin) {
        (true, true) => "SF",
        (true, false) => choose(is_inactive(resp), "SH", "S2"),
        (false, true) => choose(is_inactive(orig), "SHR", "S3"),
        (false, false) if !has_syn => "OTH",
        (false, false) => match (orig.packets, resp.packets) {
            (_, 0) if orig.payload == 0 => "S0",
            // The SYN, and the acknowledgement of its answer.
            (2.., 1..) => "S1",
            _ => "OTH",
        },
    }
}

/// An id in the shape of Zeek's: the same for the same flow in every run.
fn uid(record: &FlowRecord) -> String {
    let (start, last) = (record.start.as_nanos(), record.last.as_nanos());
    let FlowRecord { proto, host, host_port, peer, peer_port, vlan, tunnel, .. } = record;
    let identity =
        format!("{start} {last} {proto} {host} {host_port} {peer} {peer_port} {vlan:?} {tunnel:?}");
    let mut rest = Sha256::digest(identity)
        .iter()
        .take(size_of::<u128>())
        .fold(0u128, |number, &byte| number << 8 | u128::from(byte));
    let mut uid = String::from("C");
    for _ in 0..UID_DIGITS {
        uid.push(char::from(BASE_62[(rest % 62) as usize]));
        rest /= 62;
    }
    uid
}

/// Zeek has words for these only.
fn proto(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::TCP => "tcp",
        Protocol::UDP => "udp",
        Protocol::ICMP | Protocol::ICMPV6 => "icmp",
        _ => "unknown_transport",
    }
}

fn truth(is_true: bool) -> &'static str {
    if is_true { "T" } else { "F" }
}

const UNSET: &str = "-";

/// Seventeen digits hold 101 bits; Zeek's own are of 96.
const UID_DIGITS: usize = 17;
const BASE_62: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Zeek's names and types, in Zeek's order.
const COLUMNS: [(&str, &str); 22] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
    ("community_id", "string"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{RecordClosing, RecordEnd};
    use crate::time::Timestamp;

    /// An upload of 1000 bytes from inside, without a hole and properly closed.
    fn upload() -> FlowRecord {
        FlowRecord {
            schema: "sekisho.flow/1",
            start: Timestamp::from_secs_nanos(1_700_000_000, 5_999),
            last: Timestamp::from_secs_nanos(1_700_000_002, 500_005_000),
            scope: Scope::Border,
            host: Addr::from_v4([10, 0, 0, 1]),
            host_port: 50_000,
            peer: Addr::from_v4([203, 0, 113, 9]),
            peer_port: 443,
            initiator: Party::Host,
            initiator_inferred: false,
            proto: Protocol::TCP,
            service: None,
            name: None,
            name_source: None,
            owner: None,
            name_mismatch: false,
            client: None,
            recipients: None,
            vlan: None,
            tunnel: None,
            payload_out: 1000,
            payload_in: 20,
            acked_out: Some(1000),
            acked_in: Some(20),
            wire_out: 1200,
            wire_in: 160,
            packets_out: 5,
            packets_in: 4,
            retransmitted_out: Some(0),
            lost_out: Some(0),
            duplicates: 0,
            one_sided: false,
            end: RecordEnd::Fin,
            closing: RecordClosing { host_fin: true, peer_fin: true, reset_by: None },
            community_id: "1:abc=".to_owned(),
            errand: None,
        }
    }

    fn cells(record: &FlowRecord) -> Vec<String> {
        let mut line = Vec::new();
        row(&mut line, record).unwrap();
        String::from_utf8(line).unwrap().trim_end().split('\t').map(str::to_owned).collect()
    }

    #[test]
    fn a_row_has_a_cell_for_every_column() {
        let cells = cells(&upload());
        assert_eq!(cells.len(), COLUMNS.len());
        assert!(cells[1].starts_with('C') && cells[1].len() == 18, "{}", cells[1]);
        assert_eq!((cells[0].as_str(), cells[8].as_str()), ("1700000000.000005", "2.499999"));
        let rest = "1000 20 SF T F 0 - 5 1200 4 160 - 1:abc=";
        assert_eq!(cells[9..].join(" "), rest);
    }

    /// A server that gives data away: the client outside is the originator.
    #[test]
    fn the_initiator_is_the_originator() {
        let cells = cells(&FlowRecord { initiator: Party::Peer, ..upload() });
        assert_eq!(cells[2..6].join(" "), "203.0.113.9 443 10.0.0.1 50000");
        assert_eq!(cells[9..14].join(" "), "20 1000 SF F T");
        assert_eq!(cells[16..20].join(" "), "4 160 5 1200");
    }

    /// What the mirror port lost was sent all the same.
    #[test]
    fn missed_bytes_count() {
        let holed = FlowRecord { acked_out: Some(1500), acked_in: Some(21), ..upload() };
        assert_eq!(cells(&holed)[9..15].join(" "), "1500 21 SF T F 501");
        let udp = FlowRecord { proto: Protocol::UDP, acked_out: None, acked_in: None, ..upload() };
        assert_eq!(cells(&udp)[14], "-");
    }

    #[test]
    fn uids_differ_where_flows_do() {
        let first = uid(&upload());
        assert_eq!(first, uid(&FlowRecord { payload_out: 7, ..upload() }));
        assert_ne!(first, uid(&FlowRecord { host_port: 50_001, ..upload() }));
        assert_ne!(first, uid(&FlowRecord { vlan: Some(0), ..upload() }));
        let later = Timestamp::from_secs_nanos(1_700_000_001, 0);
        assert_ne!(first, uid(&FlowRecord { start: later, ..upload() }));
    }

    #[test]
    fn states_are_zeeks_where_a_record_tells_them() {
        let closed = |host_fin, peer_fin, reset_by, record: &FlowRecord| FlowRecord {
            closing: RecordClosing { host_fin, peer_fin, reset_by },
            ..record.clone()
        };
        let open = closed(false, false, None, &upload());
        let syns = FlowRecord {
            payload_out: 0,
            payload_in: 0,
            acked_out: None,
            acked_in: Some(0),
            packets_in: 0,
            wire_in: 0,
            one_sided: true,
            ..open.clone()
        };
        let pair =
            FlowRecord { packets_out: 1, wire_out: 44, packets_in: 1, wire_in: 40, ..syns.clone() };
        let backwards = FlowRecord { wire_out: 40, wire_in: 44, ..pair.clone() };
        let answers = FlowRecord { initiator: Party::Peer, ..syns.clone() };
        let met = FlowRecord { initiator_inferred: true, ..open.clone() };
        let udp = FlowRecord { proto: Protocol::UDP, ..open.clone() };
        let (host, peer) = (Some(Party::Host), Some(Party::Peer));
        let states = [
            ("SF", upload()),
            ("S1", open.clone()),
            ("S2", closed(true, false, None, &open)),
            ("S3", closed(false, true, None, &open)),
            ("S3", FlowRecord { initiator: Party::Peer, ..closed(true, false, None, &open) }),
            ("SH", closed(true, false, None, &syns)),
            ("SHR", closed(true, false, None, &answers)),
            ("OTH", met.clone()),
            ("RSTO", closed(false, false, host, &open)),
            ("RSTO", closed(true, false, host, &open)),
            ("RSTR", closed(false, false, peer, &open)),
            ("RSTOS0", closed(false, false, host, &met)),
            ("RSTRH", closed(false, false, peer, &met)),
            ("S0", syns.clone()),
            ("OTH", FlowRecord { payload_out: 9, ..syns.clone() }),
            ("RSTOS0", closed(false, false, host, &syns)),
            ("RSTRH", closed(false, false, host, &answers)),
            ("REJ", closed(false, false, peer, &pair)),
            ("RSTR", closed(false, false, peer, &backwards)),
            ("OTH", pair),
            ("SF", udp.clone()),
            ("S0", FlowRecord { packets_in: 0, ..udp.clone() }),
            ("SHR", FlowRecord { packets_out: 0, ..udp }),
            ("OTH", FlowRecord { proto: Protocol::ICMP, ..open }),
        ];
        for (state, record) in states {
            assert_eq!(conn_state(&record), state, "{record:?}");
        }
    }
}
