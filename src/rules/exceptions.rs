//! `allowances.yaml`, `suppressions.yaml`, `maintenance.yaml`: what the operator does not want to be told,
//! who answers for it, and until when.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{Fields, Node};
use super::matcher::{Grade, Inside, Matcher, MatcherFields, Matter, Source, Upload};
use super::moment::Moment;
use super::problem::{Fault, Placed, Problem, Problems};
use super::{ByteSize, escaped, quoted};
use crate::net::Subnets;

/// All that the operator does not want to be told, or not by night.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exceptions {
    /// Uploads that are in order up to so many bytes a day.
    pub allowances: Vec<Allowance>,
    /// Alerts that are not told.
    pub suppressions: Vec<Suppression>,
    /// Times in which nothing pages.
    pub maintenance: Vec<Maintenance>,
}

/// Who answers for an exception, why it is one, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// What it is called; the only one of its kind.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is made.
    pub reason: String,
    /// When it ends, by packet time.
    pub expires: Moment,
}

/// Uploads that are in order up to so many bytes a day, of one host to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowance {
    /// Who answers for it.
    pub terms: Terms,
    /// Bytes of a day up to which nothing is told.
    pub bytes_per_day: u64,
    matcher: Matcher,
}

/// Alerts that are not told.
#[derive(Debug, Clone, PartialEq)]
pub struct Suppression {
    /// Who answers for it.
    pub terms: Terms,
    matcher: Matcher,
    uploads: Vec<Upload>,
    /// Alerts of this grade and above are told.
    below: Option<Grade>,
}

/// A time in which alerts are told and do not page.
#[derive(Debug, Clone, PartialEq)]
pub struct Maintenance {
    /// Who answers for it, and when it ends.
    pub terms: Terms,
    /// When it begins, by packet time.
    pub from: Moment,
    hosts: Option<Inside>,
}

/// What rules say of a verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Why it is not told, or does not page.
    pub silence: Option<Silence>,
    /// By which allowance it would not be told, had less been sent.
    pub excess: Option<Excess>,
}

/// Which kind of rule silences.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SilencedBy {
    /// It is in order: it is not told, and no measure for others.
    Allowance,
    /// It is not told.
    Suppression,
    /// It is told, and does not page.
    Maintenance,
}

/// Why a verdict is not told, or does not page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// The kind of rule.
    pub by: SilencedBy,
    /// The rule's name.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it was made.
    pub reason: String,
    /// Until when it holds, as it was written.
    pub until: String,
    /// Of an allowance: bytes of a day up to which it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
}

/// An allowance that less would have fallen under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excess {
    /// The allowance.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// Until when it holds, as it was written.
    pub until: String,
    /// Bytes of a day up to which it holds.
    pub bytes_per_day: u64,
    /// Bytes of the day.
    pub bytes: u64,
}

impl SilencedBy {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowance => "allowance",
            Self::Suppression => "suppression",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Silence {
    fn of(by: SilencedBy, terms: &Terms, bytes_per_day: Option<u64>) -> Self {
        Self {
            by,
            rule: terms.name.clone(),
            owner: terms.owner.clone(),
            reason: terms.reason.clone(),
            until: terms.expires.to_string(),
            bytes_per_day,
        }
    }

    /// Is what it silences not told at all?
    pub fn hides(&self) -> bool {
        match self.by {
            SilencedBy::Allowance | SilencedBy::Suppression => true,
            SilencedBy::Maintenance => false,
        }
    }

    /// Is what it silences in order?
    pub fn allows(&self) -> bool {
        self.by == SilencedBy::Allowance
    }
}

impl Exceptions {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        let Self { allowances, suppressions, maintenance } = self;
        allowances.is_empty() && suppressions.is_empty() && maintenance.is_empty()
    }

    /// What they say of an upload. Of several allowances the one with the highest ceiling counts; it goes
    /// before suppressions, and these before maintenance; else the first of a kind counts.
    pub fn ruling(&self, matter: &Matter<'_>) -> Ruling {
        let allowance = self.allowance(matter);
        let (within, beyond) = match allowance {
            Some(allowance) if matter.bytes <= allowance.bytes_per_day => (Some(allowance), None),
            other => (None, other),
        };
        let allowed = within.map(|allowance| {
            Silence::of(SilencedBy::Allowance, &allowance.terms, Some(allowance.bytes_per_day))
        });
        let suppressed = || {
            let suppression = self.suppressions.iter().find(|each| each.holds(matter))?;
            Some(Silence::of(SilencedBy::Suppression, &suppression.terms, None))
        };
        let maintained = || {
            let maintenance = self.maintenance.iter().find(|each| each.holds(matter))?;
            Some(Silence::of(SilencedBy::Maintenance, &maintenance.terms, None))
        };
        Ruling {
            silence: allowed.or_else(suppressed).or_else(maintained),
            excess: beyond.map(|allowance| Excess {
                rule: allowance.terms.name.clone(),
                owner: allowance.terms.owner.clone(),
                until: allowance.terms.expires.to_string(),
                bytes_per_day: allowance.bytes_per_day,
                bytes: matter.bytes,
            }),
        }
    }

    /// Whoever may upload may not tunnel: names and pings are no way for data that is in order.
    fn allowance(&self, matter: &Matter<'_>) -> Option<&Allowance> {
        if !matches!(matter.upload, Upload::Volume | Upload::Server) {
            return None;
        }
        let mut highest: Option<&Allowance> = None;
        for allowance in &self.allowances {
            if highest.is_none_or(|highest| allowance.bytes_per_day > highest.bytes_per_day)
                && allowance.terms.hold(matter)
                && allowance.matcher.matches(matter)
            {
                highest = Some(allowance);
            }
        }
        highest
    }

    pub(super) fn check(
        files: Vec<ExceptionsFile>,
        internal: &Subnets,
        problems: &mut Problems,
    ) -> Self {
        let (mut exceptions, mut names) = (Self::default(), HashMap::new());
        for entry in files.into_iter().flat_map(|file| file.entries) {
            let (by, name) = (entry.kind(), entry.name().clone());
            match entry {
                Entry::Allowance(entry) => exceptions.allowances.push(Allowance {
                    terms: entry.terms.into_terms(),
                    bytes_per_day: entry.bytes_per_day.value.0,
                    matcher: entry.matcher.check(internal, problems),
                }),
                Entry::Suppression(entry) => exceptions.suppressions.push(Suppression {
                    terms: entry.terms.into_terms(),
                    matcher: entry.matcher.check(internal, problems),
                    uploads: entry.family.into_iter().map(|upload| upload.value).collect(),
                    below: entry.below.map(|grade| grade.value),
                }),
                Entry::Maintenance(entry) => {
                    let hosts = (!entry.hosts.is_empty())
                        .then(|| Inside::check(entry.hosts, internal, problems));
                    let Placed { value: from, .. } = entry.from;
                    let terms = Terms {
                        name: entry.name.value,
                        owner: entry.owner.value,
                        reason: entry.reason.value,
                        expires: entry.to.value,
                    };
                    exceptions.maintenance.push(Maintenance { terms, from, hosts });
                }
            }
            if let Some(first) = names.insert((by, name.value.clone()), name.at.clone()) {
                let message = format!("two rules are called {}", quoted(&name.value));
                let fault = Fault::new(message, "what is hidden is on record by name: rename one");
                problems.push(Problem::at(&name.at, fault).and(&first, "first written"));
            }
        }
        exceptions
    }
}

impl Terms {
    fn hold(&self, matter: &Matter<'_>) -> bool {
        !self.expires.is_reached(matter.at, matter.local)
    }
}

impl Suppression {
    fn holds(&self, matter: &Matter<'_>) -> bool {
        (self.uploads.is_empty() || self.uploads.contains(&matter.upload))
            && self.below.is_none_or(|below| matter.grade < below)
            && self.terms.hold(matter)
            && self.matcher.matches(matter)
    }
}

impl Maintenance {
    fn holds(&self, matter: &Matter<'_>) -> bool {
        self.from.is_reached(matter.at, matter.local)
            && self.terms.hold(matter)
            && self.hosts.as_ref().is_none_or(|hosts| hosts.holds(matter))
    }
}

/// What one file says, of whichever kind.
#[derive(Debug, Default)]
pub(super) struct ExceptionsFile {
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    Allowance(AllowanceFields),
    Suppression(SuppressionFields),
    Maintenance(MaintenanceFields),
}

impl Entry {
    fn kind(&self) -> SilencedBy {
        match self {
            Self::Allowance(_) => SilencedBy::Allowance,
            Self::Suppression(_) => SilencedBy::Suppression,
            Self::Maintenance(_) => SilencedBy::Maintenance,
        }
    }

    fn name(&self) -> &Placed<String> {
        match self {
            Self::Allowance(entry) => &entry.terms.name,
            Self::Suppression(entry) => &entry.terms.name,
            Self::Maintenance(entry) => &entry.name,
        }
    }
}

impl ExceptionsFile {
    pub(super) fn read(by: SilencedBy, node: Node, problems: &mut Problems) -> Self {
        let mut fields = Fields::of(node, "key", problems);
        super::Kind::take(&mut fields);
        let entries = match by {
            SilencedBy::Allowance => fields
                .each("allowances", |entry| AllowanceFields::read(entry).map(Entry::Allowance)),
            SilencedBy::Suppression => fields.each("suppressions", |entry| {
                SuppressionFields::read(entry).map(Entry::Suppression)
            }),
            SilencedBy::Maintenance => fields.each("maintenance", |entry| {
                MaintenanceFields::read(entry).map(Entry::Maintenance)
            }),
        };
        fields.finish();
        Self { entries }
    }
}

/// Uploads that are in order up to so many bytes a day; counted and learned all the same.
#[derive(Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "for the schema")]
pub(super) struct AllowancesFile {
    /// What this file holds; needed only when the file has another name than `allowances.yaml`.
    kind: Option<super::Kind>,
    /// One for each agreement.
    #[schemars(default)]
    allowances: Vec<AllowanceFields>,
}

/// Alerts that are not told for a while; on record all the same.
#[derive(Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "for the schema")]
pub(super) struct SuppressionsFile {
    /// What this file holds; needed only when the file has another name than `suppressions.yaml`.
    kind: Option<super::Kind>,
    /// One for each thing that is not to be told.
    #[schemars(default)]
    suppressions: Vec<SuppressionFields>,
}

/// Times in which alerts are told and do not page.
#[derive(Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "for the schema")]
pub(super) struct MaintenanceFile {
    /// What this file holds; needed only when the file has another name than `maintenance.yaml`.
    kind: Option<super::Kind>,
    /// One for each time.
    #[schemars(default)]
    maintenance: Vec<MaintenanceFields>,
}

/// Who answers for a rule, why it is made, and for how long.
#[derive(Debug, Clone, schemars::JsonSchema)]
struct TermsFields {
    /// What it is called; the only one of its kind.
    #[schemars(length(min = 1, max = 200))]
    name: Placed<String>,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 200))]
    owner: Placed<String>,
    /// Why it is made.
    #[schemars(length(min = 1, max = 200))]
    reason: Placed<String>,
    /// When it ends, by packet time; a day ends at its midnight in the time zone.
    expires: Placed<Moment>,
}

impl TermsFields {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (name, owner) = (fields.must("name", words), fields.must("owner", words));
        let (reason, expires) = (fields.must("reason", words), fields.must("expires", Moment::end));
        Some(Self { name: name?, owner: owner?, reason: reason?, expires: expires? })
    }

    fn into_terms(self) -> Terms {
        let Self { name, owner, reason, expires } = self;
        Terms { name: name.value, owner: owner.value, reason: reason.value, expires: expires.value }
    }
}

/// An upload that is in order.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AllowanceFields {
    #[schemars(flatten)]
    terms: TermsFields,
    /// Bytes that a host may send to a destination in a day of the time zone before it is told.
    bytes_per_day: Placed<ByteSize>,
    #[schemars(flatten)]
    matcher: MatcherFields,
}

impl AllowanceFields {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let terms = TermsFields::read(&mut fields);
        let bytes_per_day = fields.must("bytes_per_day", |text| Ok(text.parse::<ByteSize>()?));
        let matcher = MatcherFields::read(&mut fields);
        fields.finish();
        Some(Self { terms: terms?, bytes_per_day: bytes_per_day?, matcher })
    }
}

/// Alerts that are not told.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SuppressionFields {
    #[schemars(flatten)]
    terms: TermsFields,
    /// The kinds of upload that are not told. Default: all.
    #[schemars(default)]
    family: Vec<Placed<Upload>>,
    /// Alerts of this severity and above are told all the same.
    below: Option<Placed<Grade>>,
    #[schemars(flatten)]
    matcher: MatcherFields,
}

impl SuppressionFields {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let terms = TermsFields::read(&mut fields);
        let family = fields.some("family", |text| {
            let known: Vec<&str> = Upload::ALL.iter().map(|upload| upload.name()).collect();
            Upload::named(text.trim()).ok_or_else(|| Fault::unknown("family", text, &known))
        });
        let below = fields.value("below", |text| {
            let known: Vec<&str> = Grade::ALL.iter().skip(1).map(|grade| grade.name()).collect();
            let grade = Grade::named(text.trim()).filter(|grade| *grade > Grade::Low);
            grade.ok_or_else(|| Fault::unknown("severity", text, &known))
        });
        let matcher = MatcherFields::read(&mut fields);
        fields.finish();
        Some(Self { terms: terms?, family, below, matcher })
    }
}

/// A time in which nothing pages.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct MaintenanceFields {
    /// What it is called; the only one of its kind.
    #[schemars(length(min = 1, max = 200))]
    name: Placed<String>,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 200))]
    owner: Placed<String>,
    /// Why it is made.
    #[schemars(length(min = 1, max = 200))]
    reason: Placed<String>,
    /// When it begins, by packet time; a day begins at its midnight in the time zone.
    from: Placed<Moment>,
    /// When it ends; a day ends at its midnight.
    to: Placed<Moment>,
    /// Networks, addresses, roles or hardware addresses. Default: all.
    #[schemars(default)]
    hosts: Vec<Placed<Source>>,
}

impl MaintenanceFields {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let (name, owner) = (fields.must("name", words), fields.must("owner", words));
        let reason = fields.must("reason", words);
        let (from, to) = (fields.must("from", Moment::begin), fields.must("to", Moment::end));
        let hosts = fields.some("hosts", Source::parse);
        if let (Some(from), Some(to)) = (&from, &to)
            && to.value.is_before(&from.value)
        {
            let message = format!("ends at {}, before it begins at {}", to.value, from.value);
            fields.refuse(Fault::new(message, "swap them"));
        }
        fields.finish();
        Some(Self { name: name?, owner: owner?, reason: reason?, from: from?, to: to?, hosts })
    }
}

/// A text for people, on one line.
pub(super) fn words(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::new("empty text", "write some words"));
    }
    if text.chars().count() > WORDS_MAX {
        let message = format!("longer than {WORDS_MAX} letters: {}", quoted(text));
        return Err(Fault::new(message, "say it in fewer words"));
    }
    if escaped(text) != text {
        let message = format!("control characters in {}", quoted(text));
        return Err(Fault::new(message, "write one line of plain text"));
    }
    Ok(text.to_owned())
}

/// Letters of a name, an owner, a reason.
const WORDS_MAX: usize = 200;
