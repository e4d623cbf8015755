//! What the operator wants to be told: a verdict, held against the exceptions and thresholds in the rules.

use std::collections::BTreeSet;

use jiff::civil::Date;
use smallvec::SmallVec;

use super::incident::ports;
use super::incidents::Labels;
use super::record::Severity;
use super::scene::Scene;
use crate::detect::{Bits, Family, Finding, Subject};
use crate::net::Addr;
use crate::rules::{Bar, Category, Exceptions, Grade, Matter, Role, Ruling, Thresholds, Upload};
use crate::time::Calendar;

/// What the operator wants to be told, and on whose clocks.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// What is not to be told.
    pub exceptions: &'a Exceptions,
    /// From where on it is.
    pub thresholds: &'a Thresholds,
    /// The time zone of its hours and days.
    pub calendar: &'a Calendar,
    /// Days that are holidays there.
    pub holidays: &'a BTreeSet<Date>,
}

impl Wishes<'_> {
    /// May the host send the destination that much today?
    pub fn allows(&self, scene: &impl Scene, bytes: u64, labels: &Labels) -> bool {
        let about = About {
            subject: Subject::Destination,
            family: Family::Volume,
            grade: Grade::Low,
            bytes,
            score: Bits::default(),
        };
        let ruling = self.matter(scene, about, labels, |matter| self.exceptions.ruling(matter));
        ruling.silence.is_some_and(|silence| silence.allows())
    }

    /// From where on the rules want to be told of it, beside the threshold that the budget buys.
    pub(super) fn bar(
        &self,
        scene: &impl Scene,
        finding: &Finding,
        labels: impl FnOnce() -> Labels,
    ) -> Bar {
        if !self.thresholds.concern(finding.bytes(), finding.passes_gate) {
            return Bar::default();
        }
        let about = About::of(finding, Grade::Low);
        self.matter(scene, about, &labels(), |matter| self.thresholds.bar(matter))
    }

    /// What the rules say of a verdict.
    pub(super) fn ruling(
        &self,
        scene: &impl Scene,
        (finding, severity): (&Finding, Severity),
        labels: &Labels,
    ) -> Ruling {
        let grade = match severity {
            Severity::Low => Grade::Low,
            Severity::Medium => Grade::Medium,
            Severity::High => Grade::High,
            Severity::Critical => Grade::Critical,
        };
        let about = About::of(finding, grade);
        self.matter(scene, about, labels, |matter| self.exceptions.ruling(matter))
    }

    /// Shows rules what a verdict is about.
    fn matter<T>(
        &self,
        scene: &impl Scene,
        about: About,
        labels: &Labels,
        judge: impl FnOnce(&Matter<'_>) -> T,
    ) -> T {
        let About { subject, family, grade, bytes, score } = about;
        let mut hosts: SmallVec<[Addr; 8]> = labels.machine.addresses.iter().copied().collect();
        hosts.push(scene.addr());
        let sight = scene.sight(subject, family);
        // Of many destinations each has a name and a category of its own.
        let who = (subject == Subject::Destination).then_some(&labels.who);
        let is_sure = who.is_some_and(|who| !who.is_mismatch);
        let mut names: SmallVec<[&str; 2]> = SmallVec::new();
        if is_sure {
            names.extend(labels.who.name.as_ref().map(|(name, _)| name.as_str()));
            names.push(&labels.key);
        }
        let at = scene.last_at();
        let local = self.calendar.local(at);
        judge(&Matter {
            upload: match family {
                Family::Volume => Upload::Volume,
                Family::Server => Upload::Server,
                Family::Dns => Upload::Dns,
                Family::Icmp => Upload::Icmp,
            },
            grade,
            hosts: &hosts,
            mac: labels.machine.mac.as_deref().and_then(|mac| mac.parse().ok()),
            role: labels.role.as_deref().and_then(Role::named),
            names: &names,
            peers: who.map_or(&[], |_| &sight.peers),
            category: labels.category.as_deref().filter(|_| is_sure).and_then(Category::named),
            service: who.and_then(|who| who.service),
            ports: &ports(&sight.flows),
            bytes,
            score: score.to_f64(),
            at,
            local,
            is_holiday: self.holidays.contains(&local.date()),
        })
    }
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy)]
struct About {
    subject: Subject,
    family: Family,
    grade: Grade,
    bytes: u64,
    score: Bits,
}

impl About {
    fn of(finding: &Finding, grade: Grade) -> Self {
        Self {
            subject: finding.subject,
            family: finding.family,
            grade,
            bytes: finding.bytes(),
            score: finding.score,
        }
    }
}
