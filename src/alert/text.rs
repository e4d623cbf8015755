//! The words of an alert. Every text has its numbers beside it in `values`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::record::Why;
use crate::covert::Distinct;
use crate::detect::{Bits, Evidence, Replies, Run, Spoken, Staging, Term};
use crate::names::{Naming, PortOf, Service};
use crate::net::Addr;
use crate::rules::{Excess, Limit};

/// A number of bytes as people say it: SI units, three significant digits at most.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(value < 9.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A length of time as people say it: "41 s", "10 min", "3 h", "9 days".
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis().max(1)),
        secs @ 1..120 => format!("{secs} s"),
        secs @ 120..7200 if secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs @ 120..7200 => format!("{} min", secs / 60),
        secs @ 7200..172_800 => format!("{} h", secs / 3600),
        secs => days((secs / 86_400) as u32),
    }
}

pub(super) fn days(days: u32) -> String {
    match days {
        1 => "1 day".to_owned(),
        _ => format!("{days} days"),
    }
}

/// A term in words and numbers. What the client program says of itself is said where it is known.
pub(super) fn why(term: &Term, client: Option<&str>) -> Why {
    let (values, text) = match term.evidence {
        Evidence::Volume { bytes: sent, history_max, days: known } => (
            json!({"bytes": sent, "history_max": history_max, "days": known}),
            format!("{} to this destination today; {}", bytes(sent), history(history_max, known)),
        ),
        Evidence::Young { bytes: sent, destinations } => (
            json!({"bytes": sent, "destinations": destinations}),
            format!("{} to {destinations} recently met destinations together today", bytes(sent)),
        ),
        Evidence::Served { bytes: sent, days: known } => (
            json!({"bytes": sent, "days": known}),
            format!(
                "{} answered to this one client today; {} of history",
                bytes(sent),
                days(known)
            ),
        ),
        Evidence::ServedTogether { bytes: sent, clients, days: known } => (
            json!({"bytes": sent, "clients": clients, "days": known}),
            format!(
                "{} answered to {clients} outside clients together today; {} of history",
                bytes(sent),
                days(known)
            ),
        ),
        Evidence::HostVolume { bytes: sent, window_secs, history_max, days: known } => (
            json!({"bytes": sent, "window_secs": window_secs, "history_max": history_max, "days": known}),
            format!(
                "{} of it within {}; {}",
                bytes(sent),
                duration(Duration::from_secs(window_secs)),
                busiest(window_secs, history_max, known)
            ),
        ),
        Evidence::NewDestination { host_max, hosts, share } => (
            json!({"host": host_max == 0, "host_max": host_max, "hosts": hosts, "share": share}),
            novelty(host_max, hosts, share),
        ),
        Evidence::DnsTunnel {
            bytes: sent,
            names,
            queries,
            kinds,
            hosts,
            history_max,
            days: known,
        } => {
            let kinds: Vec<_> = kinds.names().collect();
            (
                json!({
                    "bytes": sent, "names": names, "queries": queries, "types": kinds, "hosts": hosts,
                    "history_max": history_max, "days": known,
                }),
                format!(
                    "{} in {} of {} queries ({}) by {}; {}",
                    bytes(sent),
                    different(names),
                    count(queries),
                    kinds.join(", "),
                    if hosts == 1 {
                        "this host alone".to_owned()
                    } else {
                        format!("{hosts} hosts")
                    },
                    most("domain", &bytes(history_max), known)
                ),
            )
        }
        Evidence::DnsTogether { bytes: sent, names, hosts, own, history_max, days: known } => (
            json!({
                "bytes": sent, "names": names, "hosts": hosts, "own": own,
                "history_max": history_max, "days": known,
            }),
            format!(
                "{} in {} by {hosts} hosts together, {} of it by this one; {}",
                bytes(sent),
                different(names),
                bytes(own),
                together_before(history_max, known)
            ),
        ),
        Evidence::IcmpTunnel {
            bytes: sent,
            echoes,
            replies,
            mirrored,
            history_max,
            days: known,
        } => (
            json!({
                "bytes": sent, "echoes": echoes, "replies": replies, "mirrored": mirrored,
                "history_max": history_max, "days": known,
            }),
            format!(
                "{} in what differs of {} echoes; {} replies, {} of them with what was sent; {}",
                bytes(sent),
                count(echoes),
                count(replies),
                count(mirrored),
                most("address", &bytes(history_max), known)
            ),
        ),
        Evidence::EchoMismatch { replies, mirrored } => (
            json!({"replies": replies, "mirrored": mirrored}),
            format!(
                "of {} replies {} return what was sent, as replies must",
                count(replies),
                count(mirrored)
            ),
        ),
        Evidence::PingSweep { addresses, history_max, days: known } => (
            json!({"addresses": addresses, "history_max": history_max, "days": known}),
            format!("{}; {}", silent(addresses), silent_before(history_max, known)),
        ),
        Evidence::Staging(staging) => (
            json!({
                "source": staging.source, "bytes": staging.bytes, "started": staging.first_at,
                "last": staging.last_at, "history_max": staging.history_max, "days": staging.days,
            }),
            format!("{}; {}", staged(&staging), from_there(staging.history_max, staging.days)),
        ),
        Evidence::Protocol(spoken) => (
            json!({
                "service": spoken.usage.service, "port": spoken.port, "port_of": spoken.usage.port,
                "naming": spoken.usage.naming, "share": rounded(spoken.p),
                "host_used": spoken.host_used, "host_days": spoken.host_days,
            }),
            format!(
                "{}; {}",
                speech(&spoken),
                used_before(spoken.p, spoken.host_used, spoken.host_days)
            ),
        ),
        Evidence::Program(Run { p, host_used, host_days }) => (
            json!({"client": client, "share": rounded(p), "host_used": host_used, "host_days": host_days}),
            format!(
                "the client program {}; {}",
                client.unwrap_or("that is used"),
                used_before(p, host_used, host_days)
            ),
        ),
        Evidence::Mail(replies) => (
            json!({
                "replies": replies.bytes, "messages": replies.messages(),
                "history_max": replies.history_max, "days": replies.days,
            }),
            format!(
                "{} of replies, as to {} messages; {}",
                bytes(replies.bytes),
                count(replies.messages()),
                replied_before(&replies)
            ),
        ),
        Evidence::Ratio { pcr, bytes_in } => (
            json!({"pcr": pcr, "bytes_in": bytes_in}),
            format!("{} came back (producer–consumer ratio {pcr:+.2})", bytes(bytes_in)),
        ),
    };
    Why { term: term.evidence.name(), bits: term.bits, values: object(values), text }
}

/// "it took 150 MB from 10.20.1.6 within 9 s before".
pub(super) fn staged(staging: &Staging) -> String {
    let Staging { source, bytes: taken, first_at, last_at, .. } = staging;
    let elapsed = duration(last_at.since(*first_at));
    format!("it took {} from {source} within {elapsed} before", bytes(*taken))
}

/// "ssh on port 443, which is that of another service".
fn speech(spoken: &Spoken) -> String {
    let Spoken { usage, port, .. } = spoken;
    let service = match usage.service {
        Service::Unknown => "no known protocol",
        known => known.name(),
    };
    let whose = match usage.port {
        PortOf::Own | PortOf::Nobody => "",
        PortOf::Another => ", which is that of another service",
        PortOf::EncryptedDns => ", which is that of DNS",
    };
    let naming = match usage.naming {
        Naming::None | Naming::Named => "",
        Naming::Nameless => ", to a server without a name",
        Naming::Disputed => ", under a name that is disputed",
    };
    format!("{service} on port {port}{whose}{naming}")
}

fn used_before(p: f64, host_used: u32, host_days: u32) -> String {
    let before = match (host_days, host_used) {
        (0, _) => "no earlier day of this host to compare with".to_owned(),
        (_, 0) => format!("never by this host on {} before", days(host_days)),
        _ => format!("by this host on {host_used} of {}", days(host_days)),
    };
    format!("{before}; as rare on {:.1} % of host-days here", p * 100.0)
}

fn replied_before(replies: &Replies) -> String {
    match (replies.days, replies.history_max) {
        (0, _) => "no earlier day of this host to compare with".to_owned(),
        (known, 0) => format!("none of this service on {} before", days(known)),
        (known, largest) => format!("at most {} a day on {} before", bytes(largest), days(known)),
    }
}

/// A share to the hundredth of a thousandth.
fn rounded(share: f64) -> f64 {
    (share * 100_000.0).round() / 100_000.0
}

fn from_there(largest: u64, known: u32) -> String {
    match (known, largest) {
        (0, _) => "no earlier day of this host to compare with".to_owned(),
        (_, 0) => format!("hardly anything from there on {} before", days(known)),
        _ => format!("at most {} a day from there on {} before", bytes(largest), days(known)),
    }
}

fn object(values: Value) -> Map<String, Value> {
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}

/// What an allowance would have taken, had less been sent: worth no bits.
pub(super) fn exceeded(excess: &Excess) -> Why {
    let Excess { rule, owner, until, bytes_per_day, bytes: sent } = excess;
    let values = object(json!({
        "rule": rule, "owner": owner, "until": until, "bytes_per_day": bytes_per_day, "bytes": sent,
    }));
    let text = format!(
        "allowed: {} a day by {rule} for {owner} until {until}; has sent {} today",
        bytes(*bytes_per_day),
        bytes(*sent)
    );
    Why { term: "allowance", bits: Bits::default(), values, text }
}

/// A limit of the operator that was passed: worth no bits.
pub(super) fn passed(limit: &Limit, sent: u64) -> Why {
    let Limit { rule, owner, reason, bytes_per_day } = limit;
    let values = object(json!({
        "rule": rule, "owner": owner, "reason": reason, "bytes_per_day": bytes_per_day, "bytes": sent,
    }));
    let text = format!(
        "limit: {} a day by {rule} of {owner} ({reason}); has sent {} today",
        bytes(*bytes_per_day),
        bytes(sent)
    );
    Why { term: "limit", bits: Bits::default(), values, text }
}

/// What somebody has told in names or pings, in one sentence. Without `to` it went to many.
pub(super) fn told(
    host: Addr,
    to: Option<&str>,
    sent: u64,
    elapsed: Duration,
    evidence: &Evidence,
) -> String {
    let (to, elapsed) = (to.unwrap_or("many addresses"), duration(elapsed));
    match *evidence {
        Evidence::DnsTunnel { names, history_max, days: known, .. } => format!(
            "{host} has sent {} in names of {to} ({} in {elapsed}; {})",
            bytes(sent),
            different(names),
            most("domain", &bytes(history_max), known)
        ),
        Evidence::DnsTogether { names, hosts, history_max, days: known, .. } => format!(
            "{host} and {} have sent {} in names of {to} ({} in {elapsed}; {})",
            if hosts == 2 { "another".to_owned() } else { format!("{} others", hosts - 1) },
            bytes(sent),
            different(names),
            together_before(history_max, known)
        ),
        Evidence::PingSweep { addresses, history_max, days: known } => format!(
            "{host} has pinged {} in {elapsed}; {}",
            silent(addresses),
            silent_before(history_max, known)
        ),
        Evidence::IcmpTunnel { echoes, history_max, days: known, .. } => format!(
            "{host} has sent {} in pings to {to} ({} echoes in {elapsed}; {})",
            bytes(sent),
            count(echoes),
            most("address", &bytes(history_max), known)
        ),
        Evidence::Volume { .. }
        | Evidence::Young { .. }
        | Evidence::Served { .. }
        | Evidence::ServedTogether { .. }
        | Evidence::HostVolume { .. }
        | Evidence::NewDestination { .. }
        | Evidence::Ratio { .. }
        | Evidence::Staging(_)
        | Evidence::Protocol(_)
        | Evidence::Program(_)
        | Evidence::Mail(_)
        | Evidence::EchoMismatch { .. } => {
            format!("{host} has sent {} to {to} in {elapsed}", bytes(sent))
        }
    }
}

/// "largest to one domain here in 9 days: 3.0 kB".
fn most(what: &str, largest: &str, known: u32) -> String {
    match known {
        0 => "no earlier day of this host to compare with".to_owned(),
        _ => format!("largest to one {what} here in {}: {largest}", days(known)),
    }
}

fn together_before(largest: u64, known: u32) -> String {
    match (largest, known) {
        (_, 0) => "no earlier day to compare with".to_owned(),
        (0, _) => "never several hosts before".to_owned(),
        _ => format!("at most {} on {} before", bytes(largest), days(known)),
    }
}

fn silent(addresses: u64) -> String {
    format!("{} outside addresses that do not reply", count(addresses))
}

fn silent_before(history_max: u64, known: u32) -> String {
    match known {
        0 => "no earlier day of this host to compare with".to_owned(),
        _ => format!("at most {} on {} before", count(history_max), days(known)),
    }
}

/// A number with commas between thousands.
/// Names that differ, which are counted exactly while they are few.
fn different(names: u64) -> String {
    let about = if names > Distinct::EXACT as u64 { "about " } else { "" };
    format!("{about}{} different names", count(names))
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// "busiest 10 min in 9 days: 1.5 MB".
pub(super) fn busiest(window_secs: u64, history_max: u64, known: u32) -> String {
    if known == 0 {
        return "no earlier day of this host to compare with".to_owned();
    }
    let window = duration(Duration::from_secs(window_secs));
    format!("busiest {window} in {}: {}", days(known), bytes(history_max))
}

fn history(largest: u64, known: u32) -> String {
    match (known, largest) {
        (0, _) => "no earlier day of this host to compare with".to_owned(),
        (_, 0) => format!("nothing on {} before", days(known)),
        _ => format!("at most {} a day on {} before", bytes(largest), days(known)),
    }
}

fn novelty(host_max: u64, hosts: u32, share: f64) -> String {
    let host = match host_max {
        0 => "this host never sent there before".to_owned(),
        _ => format!("this host never sent more than {} a day there", bytes(host_max)),
    };
    let others = match hosts {
        0 => "nor did any other".to_owned(),
        1 => "1 other host did".to_owned(),
        _ => format!("{hosts} other hosts did"),
    };
    format!("{host}, {others}; {:.0} % of big uploads here are as new", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_si_units() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (88_080_384, "88 MB"),
            (999_600_000, "1.0 GB"),
            (597_055_762, "597 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn thousands_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (31_402, "31,402"), (1_000_000, "1,000,000")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn durations_are_round() {
        for (secs, text) in
            [(0, "1 ms"), (41, "41 s"), (600, "10 min"), (3600, "1 h"), (86_400, "24 h")]
        {
            assert_eq!(duration(Duration::from_secs(secs)), text);
        }
    }
}
