//! Labels: what a capture holds, by somebody who knows. docs/labels.md describes the form.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::EvalError;
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// A labels file, `sekisho.labels/1`. Keys beside these are for people, and not read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct LabelsFile {
    /// A name for the captures.
    #[serde(default)]
    set: String,
    /// Time zone of days, as in `Asia/Tokyo`; without it the configured one.
    timezone: Option<String>,
    /// Networks that are inside, as in `10.20.0.0/16`; without any, the configured ones.
    #[serde(default)]
    internal_networks: Vec<String>,
    /// Which days are learned from and which are judged.
    #[serde(default)]
    timeline: TimelineFile,
    /// Captures of ordinary traffic.
    #[serde(default)]
    baseline: Vec<CaptureFile>,
    /// Uploads within that traffic that look like more than they are.
    #[serde(default)]
    benign_inside_baseline: Vec<UsualFile>,
    /// What happened.
    incidents: Vec<IncidentFile>,
}

#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
struct TimelineFile {
    /// Days to learn from, as in `2026-03-02`. Alerts on other days than those judged are told apart.
    #[serde(default)]
    learn_days: Vec<String>,
    /// Days on which an alert without an incident is a false one; without any, all days.
    #[serde(default)]
    evaluation_days: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct CaptureFile {
    /// The capture, from where the labels are.
    file: PathBuf,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct UsualFile {
    /// Its name.
    id: String,
    /// What ought to be said of it.
    expected: Expected,
    /// When it happened, as far as it matters.
    #[serde(default)]
    on_evaluation_days: Vec<OccasionFile>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct OccasionFile {
    /// Address of the inside host.
    src: String,
    /// Address of the outside end.
    dst: Option<String>,
    /// First moment, RFC 3339.
    start: String,
    /// Last moment, RFC 3339.
    end: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct IncidentFile {
    /// Its name, unlike that of any other.
    id: String,
    /// Its capture, from where the labels are; none when it is in another's.
    file: Option<PathBuf>,
    /// What happened, in words.
    #[serde(default)]
    title: String,
    /// What ought to be said of it.
    expected: Expected,
    /// Address of the host that it is about.
    src: String,
    /// Address of the inside host that is seen at the border instead: a resolver, a proxy.
    egress_host_seen: Option<String>,
    /// Addresses at the other end.
    dst: Vec<String>,
    /// Names of the other end; what lies beneath them is meant too.
    #[serde(default)]
    dst_names: Vec<String>,
    /// Time of the first packet, RFC 3339.
    start: String,
    /// Time of the last packet, RFC 3339.
    end: String,
    /// Bytes by the user's own tool, before what protocols add.
    bytes_out_tool: Option<u64>,
    /// What others measured in the capture.
    #[serde(default)]
    measured: MeasuredFile,
    /// Who sent to whom, where that is more than `src` and `dst` say: by IPv6, or to those asked on the way.
    #[serde(default)]
    per_destination: Vec<PairFile>,
}

#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
struct MeasuredFile {
    /// Unique payload bytes sent out.
    up_unique_payload: Option<u64>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct PairFile {
    /// The inside address.
    host: String,
    /// The outside address.
    peer: String,
}

/// What ought to be said of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It must be flagged.
    Alert,
    /// It may be mentioned, at low severity; it must page nobody.
    Low,
    /// It must pass in silence.
    NoAlert,
}

/// Labels, checked.
#[derive(Debug, Clone)]
pub struct Labels {
    /// A name for the captures.
    pub set: String,
    /// Time zone of days.
    pub timezone: Option<String>,
    /// Networks that are inside.
    pub internal: Vec<IpNet>,
    /// Captures that the labels name.
    pub files: Vec<PathBuf>,
    /// Days to learn from.
    pub learn_days: BTreeSet<Day>,
    /// Days to judge; none for all.
    pub evaluation_days: BTreeSet<Day>,
    /// Uploads that look like more than they are, on the days that are judged.
    pub usual: Vec<Occasion>,
    /// What happened.
    pub incidents: Vec<Label>,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Label {
    /// Its name.
    pub id: String,
    /// What happened, in words.
    pub title: String,
    /// What ought to be said of it.
    pub expected: Expected,
    /// The host that it is about.
    pub src: Addr,
    /// The inside host that is seen at the border instead.
    pub seen: Option<Addr>,
    /// The other end.
    pub dst: Vec<Addr>,
    /// Names of the other end, in lower case.
    pub names: Vec<String>,
    /// Who sent to whom, beyond that.
    pub pairs: Vec<(Addr, Addr)>,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the last packet.
    pub end: Timestamp,
    /// Payload bytes sent, by others' measure, or by the user's tool.
    pub bytes: Option<u64>,
}

/// An ordinary upload.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// What it is an occasion of.
    pub id: String,
    /// What ought to be said of it.
    pub expected: Expected,
    /// The inside host.
    pub src: Addr,
    /// The outside end, if known.
    pub dst: Option<Addr>,
    /// First moment.
    pub start: Timestamp,
    /// Last moment.
    pub end: Timestamp,
}

impl Labels {
    /// Reads a labels file.
    ///
    /// # Errors
    /// When it cannot be read, is not of the form, or says what cannot be.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| EvalError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Is an alert without an incident a false one on this day?
    pub fn judges(&self, day: Day) -> bool {
        self.evaluation_days.is_empty() || self.evaluation_days.contains(&day)
    }

    /// Reads the text of a labels file; `path` stands for it in messages, and captures lie beside it.
    ///
    /// # Errors
    /// When it is not of the form, or says what cannot be.
    pub fn parse(path: &Path, text: &str) -> Result<Self, EvalError> {
        let file: LabelsFile =
            serde_json::from_str(text).map_err(|error| EvalError::of_form(path, &error))?;
        file.check(path.parent().unwrap_or(Path::new("")))
            .map_err(|(place, problem)| EvalError::Label { path: path.to_owned(), place, problem })
    }
}

/// Where something is wrong, and what, with the remedy.
type Wrong = (String, String);

impl LabelsFile {
    fn check(self, folder: &Path) -> Result<Labels, Wrong> {
        let named = self.baseline.into_iter().map(|capture| capture.file);
        let own = self.incidents.iter().filter_map(|incident| incident.file.clone());
        let mut files: Vec<PathBuf> = named.chain(own).map(|file| folder.join(file)).collect();
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(file.clone()));

        let internal = self.internal_networks.iter().enumerate().map(|(at, text)| {
            text.parse::<IpNet>().map_err(|_| {
                let problem = format!("{text:?} is no network; write one as in 10.20.0.0/16");
                (format!("internal_networks[{at}]"), problem)
            })
        });
        let internal = internal.collect::<Result<_, _>>()?;
        if let Some(zone) = &self.timezone {
            jiff::tz::TimeZone::get(zone).map_err(|_| {
                let problem = format!("no time zone {zone:?}; give one as in Asia/Tokyo or UTC");
                ("timezone".to_owned(), problem)
            })?;
        }
        let mut usual = Vec::new();
        for (at, kind) in self.benign_inside_baseline.iter().enumerate() {
            for (nth, occasion) in kind.on_evaluation_days.iter().enumerate() {
                let place = format!("benign_inside_baseline[{at}].on_evaluation_days[{nth}]");
                usual.push(occasion.check(&place, kind)?);
            }
        }
        let mut incidents: Vec<Label> = Vec::new();
        for (at, incident) in self.incidents.into_iter().enumerate() {
            let place = format!("incidents[{at}]");
            let label = incident.check(&place)?;
            if incidents.iter().any(|other| other.id == label.id) {
                let problem = format!("there is another {:?}; give each its own name", label.id);
                return Err((format!("{place}.id"), problem));
            }
            incidents.push(label);
        }
        Ok(Labels {
            set: self.set,
            timezone: self.timezone,
            internal,
            files,
            learn_days: days("timeline.learn_days", &self.timeline.learn_days)?,
            evaluation_days: days("timeline.evaluation_days", &self.timeline.evaluation_days)?,
            usual,
            incidents,
        })
    }
}

impl OccasionFile {
    fn check(&self, place: &str, kind: &UsualFile) -> Result<Occasion, Wrong> {
        let (start, end) = span(place, &self.start, &self.end)?;
        let dst = self.dst.as_deref().map(|dst| addr(&format!("{place}.dst"), dst));
        Ok(Occasion {
            id: kind.id.clone(),
            expected: kind.expected,
            src: addr(&format!("{place}.src"), &self.src)?,
            dst: dst.transpose()?,
            start,
            end,
        })
    }
}

impl IncidentFile {
    fn check(self, place: &str) -> Result<Label, Wrong> {
        if self.id.trim().is_empty() {
            return Err((format!("{place}.id"), "is empty; give it a name".to_owned()));
        }
        if self.dst.is_empty() {
            let problem = "is empty; name at least one address at the other end".to_owned();
            return Err((format!("{place}.dst"), problem));
        }
        let (start, end) = span(place, &self.start, &self.end)?;
        let dst = self.dst.iter().enumerate();
        let dst = dst.map(|(at, text)| addr(&format!("{place}.dst[{at}]"), text));
        let dst: BTreeSet<Addr> = dst.collect::<Result<_, Wrong>>()?;
        let seen = self.egress_host_seen.as_deref();
        let seen = seen.map(|seen| addr(&format!("{place}.egress_host_seen"), seen));
        let pairs = self.per_destination.iter().enumerate().map(|(at, pair)| {
            let place = format!("{place}.per_destination[{at}]");
            Ok((
                addr(&format!("{place}.host"), &pair.host)?,
                addr(&format!("{place}.peer"), &pair.peer)?,
            ))
        });
        Ok(Label {
            title: self.title,
            expected: self.expected,
            src: addr(&format!("{place}.src"), &self.src)?,
            seen: seen.transpose()?,
            dst: dst.into_iter().collect(),
            names: self.dst_names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            pairs: pairs.collect::<Result<_, Wrong>>()?,
            start,
            end,
            bytes: self.measured.up_unique_payload.or(self.bytes_out_tool),
            id: self.id,
        })
    }
}

fn span(place: &str, start: &str, end: &str) -> Result<(Timestamp, Timestamp), Wrong> {
    let first = moment(&format!("{place}.start"), start)?;
    let last = moment(&format!("{place}.end"), end)?;
    if last < first {
        let problem = format!("{end} is before the start, {start}; give the last packet's time");
        return Err((format!("{place}.end"), problem));
    }
    Ok((first, last))
}

fn moment(place: &str, text: &str) -> Result<Timestamp, Wrong> {
    let nanos = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond);
    let nanos = nanos.and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(Timestamp::from_nanos).ok_or_else(|| {
        let problem = format!("{text:?} is no moment; write one as in 2026-03-16T11:00:00+09:00");
        (place.to_owned(), problem)
    })
}

fn addr(place: &str, text: &str) -> Result<Addr, Wrong> {
    text.parse::<IpAddr>().map(Addr::from).map_err(|_| {
        let problem = format!("{text:?} is no address; write one as in 192.0.2.7 or 2001:db8::7");
        (place.to_owned(), problem)
    })
}

fn days(place: &str, texts: &[String]) -> Result<BTreeSet<Day>, Wrong> {
    let day = |(at, text): (usize, &String)| {
        let date: Date = text.parse().map_err(|_| {
            let problem = format!("{text:?} is no day; write one as in 2026-03-16");
            (format!("{place}[{at}]"), problem)
        })?;
        Ok(Day((date - jiff::civil::date(1970, 1, 1)).get_days()))
    };
    texts.iter().enumerate().map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(labels: &Value) -> Result<Labels, String> {
        Labels::parse(Path::new("lab/labels.json"), &labels.to_string())
            .map_err(|error| error.to_string())
    }

    fn good() -> Value {
        json!({
            "timezone": "Asia/Tokyo",
            "internal_networks": ["10.20.0.0/16"],
            "timeline": { "evaluation_days": ["2026-03-16"] },
            "baseline": [{ "file": "days/1.pcap" }, { "file": "days/2.pcap" }],
            "benign_inside_baseline": [{ "id": "B", "expected": "low", "on_evaluation_days": [
                { "src": "10.20.1.7", "start": "2026-03-16T01:31:18Z", "end": "2026-03-16T01:31:26Z" }
            ] }],
            "incidents": [{
                "id": "S", "file": "days/2.pcap", "expected": "alert", "src": "10.20.1.51",
                "dst": ["198.18.7.44"], "dst_names": ["Drop.Example"],
                "start": "2026-03-16T11:00:00+09:00", "end": "2026-03-16T11:01:06.867+09:00",
                "measured": { "up_unique_payload": 7 }, "bytes_out_tool": 6, "by_hand": true
            }]
        })
    }

    #[test]
    fn what_is_labelled_is_read() {
        let labels = parse(&good()).unwrap();
        assert_eq!(labels.files, ["lab/days/1.pcap", "lab/days/2.pcap"].map(PathBuf::from));
        assert!(labels.judges(Day(20_528)) && !labels.judges(Day(20_527)));
        let label = &labels.incidents[0];
        assert_eq!(label.start.to_string(), "2026-03-16T02:00:00.000Z");
        assert_eq!((label.bytes, &label.names[0][..]), (Some(7), "drop.example"));
        let every_day = parse(&json!({ "incidents": [] })).unwrap();
        assert!(every_day.judges(Day(1)));
    }

    /// Whoever labels by hand makes mistakes; each is answered with file, place and remedy.
    #[test]
    fn mistakes_are_named_with_their_place_and_remedy() {
        let mistakes = [
            (
                "/timezone",
                json!("Tokio"),
                "timezone: no time zone \"Tokio\"; give one as in Asia/Tokyo or UTC",
            ),
            (
                "/internal_networks/0",
                json!("10.20"),
                "internal_networks[0]: \"10.20\" is no network; write one as in 10.20.0.0/16",
            ),
            (
                "/timeline/evaluation_days/0",
                json!("16.3."),
                "timeline.evaluation_days[0]: \"16.3.\" is no day; write one as in 2026-03-16",
            ),
            (
                "/benign_inside_baseline/0/on_evaluation_days/0/src",
                json!("pc"),
                "benign_inside_baseline[0].on_evaluation_days[0].src: \"pc\" is no address; write one as in 192.0.2.7 or 2001:db8::7",
            ),
            ("/incidents/0/id", json!(" "), "incidents[0].id: is empty; give it a name"),
            (
                "/incidents/0/dst",
                json!([]),
                "incidents[0].dst: is empty; name at least one address at the other end",
            ),
            (
                "/incidents/0/dst/0",
                json!("drop.example"),
                "incidents[0].dst[0]: \"drop.example\" is no address; write one as in 192.0.2.7 or 2001:db8::7",
            ),
            (
                "/incidents/0/start",
                json!("11:00"),
                "incidents[0].start: \"11:00\" is no moment; write one as in 2026-03-16T11:00:00+09:00",
            ),
            (
                "/incidents/0/end",
                json!("2026-03-16T10:00:00+09:00"),
                "incidents[0].end: 2026-03-16T10:00:00+09:00 is before the start, 2026-03-16T11:00:00+09:00; give the last packet's time",
            ),
        ];
        for (key, value, message) in mistakes {
            let mut labels = good();
            *labels.pointer_mut(key).unwrap() = value;
            assert_eq!(parse(&labels).unwrap_err(), format!("lab/labels.json: {message}"));
        }
        let mut twice = good();
        let again = twice["incidents"][0].clone();
        twice["incidents"].as_array_mut().unwrap().push(again);
        let message =
            "lab/labels.json: incidents[1].id: there is another \"S\"; give each its own name";
        assert_eq!(parse(&twice).unwrap_err(), message);
    }

    #[test]
    fn what_is_not_of_the_form_is_named_with_its_line() {
        let path = Path::new("labels.json");
        let parse = |text| Labels::parse(path, text).unwrap_err().to_string();
        assert_eq!(
            parse("{\n\"incidents\": [{\"id\": \"S\", \"expected\": \"alarm\"}]}"),
            "labels.json:2:45: unknown variant `alarm`, expected one of `alert`, `low`, `no-alert`; sekisho \
             schema labels prints the form"
        );
        assert_eq!(
            parse("{}"),
            "labels.json:1:2: missing field `incidents`; sekisho schema labels prints the form"
        );
    }
}
