//! Incidents as a state folder has them, and what people said of them.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::printable;
use crate::alert::bytes_text;
use crate::state::{IncidentRow, Remark};

/// How incidents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes a line for each incident.
///
/// # Errors
/// When they cannot be written.
pub fn write_incidents(
    to: &mut impl Write,
    rows: &[IncidentRow],
    format: IncidentFormat,
) -> io::Result<()> {
    for row in rows {
        match format {
            IncidentFormat::Text => line(to, row)?,
            IncidentFormat::Json => writeln!(to, "{}", json!(row))?,
        }
    }
    Ok(())
}

/// Writes one incident: its alerts in their order, and what was said of it.
///
/// # Errors
/// When it cannot be written.
pub fn write_incident(
    to: &mut impl Write,
    row: &IncidentRow,
    (alerts, remarks): (&[Value], &[Remark]),
    format: IncidentFormat,
) -> io::Result<()> {
    if format == IncidentFormat::Json {
        let whole = json!({ "incident": row, "alerts": alerts, "remarks": remarks });
        return writeln!(to, "{whole}");
    }
    line(to, row)?;
    for alert in alerts {
        let bytes = alert["bytes_out"].as_u64().unwrap_or(0);
        writeln!(
            to,
            "  {}  {:<6}  {:<8}  {:>5} bits  {:>8}",
            text(alert, "/time"),
            text(alert, "/kind"),
            text(alert, "/severity"),
            alert["score_bits"],
            bytes_text(bytes)
        )?;
    }
    if let Some(latest) = alerts.last() {
        for why in latest["why"].as_array().into_iter().flatten() {
            writeln!(to, "  {:>6} bits  {}", why["bits"], text(why, "/text"))?;
        }
        writeln!(to, "  filter: {}", text(latest, "/pivot/bpf"))?;
        if latest["evidence"].is_string() {
            writeln!(to, "  packets: {}", text(latest, "/evidence"))?;
        }
    }
    for remark in remarks {
        let words = remark.text.as_deref().map(printable).unwrap_or_default();
        writeln!(to, "  {:.0}  {}  {words}", remark.at, remark.said.as_str())?;
    }
    Ok(())
}

fn line(to: &mut impl Write, row: &IncidentRow) -> io::Result<()> {
    let is_over = if row.kind == "close" { "closed" } else { "open" };
    let said = row.said.map_or("-", |said| said.as_str());
    let silenced = row.silenced.as_ref().map_or_else(String::new, |silence| {
        format!("  ({}: {})", silence.by.name(), printable(&silence.rule))
    });
    writeln!(
        to,
        "{}  {:.0}  {:<8}  {is_over:<6}  {said:<6}  {}{silenced}",
        row.incident,
        row.told,
        row.severity,
        printable(&row.summary)
    )
}

fn text(value: &Value, pointer: &str) -> String {
    printable(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}
