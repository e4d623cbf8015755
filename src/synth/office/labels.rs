//! What must be found in a made-up office, as `sekisho.labels/1`.

use serde::Serialize;

use super::Days;
use super::grid::Injection;
use super::parameters::Parameters;
use super::thefts::Theft;
use crate::net::Addr;
use crate::time::Timestamp;

/// Labels of a made-up office; docs/labels.md describes the form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfficeLabels {
    set: String,
    timezone: String,
    internal_networks: [&'static str; 2],
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
    dst: Vec<Addr>,
    start: Timestamp,
    end: Timestamp,
    bytes_out_tool: u64,
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
        let mut dst: Vec<Addr> = theft.transfers.iter().map(|(_, one)| one.place).collect();
        dst.sort();
        dst.dedup();
        let (start, end) = theft.span();
        Self {
            id: theft.id.clone(),
            title: theft.title,
            expected: "alert",
            src: theft.host,
            dst,
            start,
            end,
            bytes_out_tool: theft.transfers.iter().map(|(_, one)| one.out).sum(),
        }
    }

    fn of_grid(at: usize, injection: &Injection) -> Self {
        Self {
            id: at.to_string(),
            title: "An upload of the grid",
            expected: "alert",
            src: injection.host,
            dst: vec![injection.place],
            start: injection.start,
            end: injection.end(),
            bytes_out_tool: injection.cell.bytes,
        }
    }
}

/// All hosts' addresses, here and at the other site.
pub(super) const INTERNAL: [&str; 2] = ["10.20.0.0/16", "10.64.0.0/16"];
