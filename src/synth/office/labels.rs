//! What must be found in a made-up office, as `sekisho.labels/1`.

use serde::Serialize;

use super::Days;
use super::grid::Injection;
use super::parameters::Parameters;
use super::thefts::Theft;
use super::transfer::Transfer;
use crate::net::Addr;
use crate::time::Timestamp;

/// Labels of a made-up office; docs/labels.md describes the form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfficeLabels {
    set: String,
    timezone: String,
    internal_networks: [&'static str; 4],
    timeline: Timeline,
    incidents: Vec<Incident>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Timeline {
    learn_days: Vec<String>,
    evaluation_days: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Incident {
    id: String,
    title: &'static str,
    expected: &'static str,
    src: Addr,
    #[serde(flatten)]
    ends: Ends,
    start: Timestamp,
    end: Timestamp,
    bytes_out_tool: u64,
}

/// Where something goes, and by which way.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Ends {
    #[serde(skip_serializing_if = "Option::is_none")]
    egress_host_seen: Option<Addr>,
    dst: Vec<Addr>,
    /// Who sent to whom over IPv6.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    per_destination: Vec<Pair>,
    /// By which a proxy is asked for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dst_names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Pair {
    host: Addr,
    peer: Addr,
}

impl OfficeLabels {
    pub(super) fn of(parameters: &Parameters, calendar: &Days, thefts: &[Theft]) -> Self {
        let learned = (parameters.learn_days as usize).min(calendar.dates.len());
        let (learn, judge) = calendar.dates.split_at(learned);
        let days = |dates: &[jiff::civil::Date]| dates.iter().map(ToString::to_string).collect();
        Self {
            set: format!(
                "a made-up office of {} workstations, {} days",
                parameters.hosts.workstations, parameters.days
            ),
            timezone: calendar.zone.iana_name().unwrap_or("UTC").to_owned(),
            internal_networks: INTERNAL,
            timeline: Timeline { learn_days: days(learn), evaluation_days: days(judge) },
            incidents: thefts.iter().map(Incident::of_theft).collect(),
        }
    }

    /// The same office with other uploads in it, which are called by their numbers.
    pub(super) fn with(self, injections: &[Injection]) -> Self {
        let incidents = injections.iter().enumerate();
        Self { incidents: incidents.map(|(at, one)| Incident::of_grid(at, one)).collect(), ..self }
    }
}

impl Incident {
    fn of_theft(theft: &Theft) -> Self {
        let (start, end) = theft.span();
        let sent = || theft.transfers.iter().map(|(_, one)| one);
        let own = |one: &&Transfer| !one.errand().is_passed_on;
        Self {
            id: theft.id.clone(),
            title: theft.title,
            expected: "alert",
            src: theft.host,
            ends: Ends::of(sent()),
            start,
            end,
            bytes_out_tool: sent().filter(own).map(|one| one.out).sum(),
        }
    }

    fn of_grid(at: usize, injection: &Injection) -> Self {
        Self {
            id: at.to_string(),
            title: "An upload of the grid",
            expected: "alert",
            src: injection.host,
            ends: Ends::of(injection.transfers().iter()),
            start: injection.start,
            end: injection.end(),
            bytes_out_tool: injection.cell.bytes,
        }
    }
}

impl Ends {
    fn of<'a>(transfers: impl Iterator<Item = &'a Transfer>) -> Self {
        let mut ends = Self::default();
        for transfer in transfers {
            if transfer.errand().is_passed_on {
                ends.egress_host_seen = Some(transfer.host);
                ends.dst_names.push(transfer.owner());
            }
            if transfer.host.to_ip().is_ipv6() {
                ends.per_destination.push(Pair { host: transfer.host, peer: transfer.place });
            }
            ends.dst.push(transfer.target());
        }
        ends.per_destination.sort();
        ends.per_destination.dedup();
        ends.dst.sort();
        ends.dst.dedup();
        ends.dst_names.sort();
        ends.dst_names.dedup();
        ends
    }
}

/// All hosts' addresses, here and at the other site.
pub(super) const INTERNAL: [&str; 4] =
    ["10.20.0.0/16", "10.64.0.0/16", "2001:db8:20::/48", "2001:db8:64::/48"];
