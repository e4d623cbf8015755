//! An analyst whose pages people answer, as they do on the day after.

use std::sync::Arc;

use super::judge::{Judge, Said, Told};
use super::labels::Expected;
use super::matching::{Match, Target};
use super::notes::Alarm;
use crate::alert::{self, Severity};
use crate::detect::{Bits, Finding};
use crate::engine::Analyst;
use crate::flow::FlowDelta;
use crate::machines::Claim;
use crate::names::Event;
use crate::net::Addr;
use crate::time::Day;

/// The analyst, and who looks at what it pages for.
#[derive(Clone)]
pub(super) struct Reviewed {
    pub(super) analyst: Analyst,
    /// Nobody, where it is left to itself.
    is_answered: bool,
    targets: Arc<[Target]>,
    day: Day,
    /// Incidents that paged, and days for which they are still looked at.
    paged: Vec<(String, alert::Verdict, u32)>,
}

impl Reviewed {
    pub(super) fn new(analyst: Analyst, is_answered: bool) -> Self {
        let (targets, paged) = (Arc::new([]), Vec::new());
        Self { analyst, is_answered, targets, day: Day::default(), paged }
    }

    fn note(&mut self, said: &Said) {
        let is_news = self.paged.iter().all(|(incident, ..)| *incident != said.incident);
        if self.is_answered && said.severity >= Severity::Medium && is_news {
            let alarm = Alarm::of(said);
            let is_about = |target: &Target| {
                target.expected == Expected::Alert
                    && target.matches(&alarm, said.time) != Match::None
            };
            let is_theft = self.targets.iter().any(is_about);
            let verdict = if is_theft { alert::Verdict::Theft } else { alert::Verdict::Benign };
            self.paged.push((said.incident.clone(), verdict, LOOKED_AT_DAYS));
        }
    }

    /// An incident is answered once the day is over on which it was counted last.
    fn answer(&mut self) {
        let day = self.analyst.egress().day();
        if self.paged.is_empty() || day == self.day {
            return;
        }
        self.day = day;
        for (incident, verdict, days) in &mut self.paged {
            self.analyst.settle(incident, *verdict);
            *days -= 1;
        }
        self.paged.retain(|&(.., days)| days > 0);
    }
}

impl Judge for Reviewed {
    fn fold(&mut self, delta: &FlowDelta) {
        Judge::fold(&mut self.analyst, delta);
        self.answer();
    }

    fn hear_claim(&mut self, claim: &Claim) {
        self.analyst.hear_claim(claim);
    }

    fn hear(&mut self, event: &Event) {
        Judge::hear(&mut self.analyst, event);
    }

    fn expect(&mut self, targets: &Arc<[Target]>) {
        self.targets = targets.clone();
    }

    fn finish(&mut self) {
        self.analyst.finish();
    }

    fn told(&mut self) -> Vec<Told> {
        let told = self.analyst.told();
        for told in &told {
            if let Told::Alert(said) = told {
                self.note(said);
            }
        }
        told
    }

    fn verdict(&self, host: Addr, peer: Addr) -> Option<(Finding, Bits)> {
        Judge::verdict(&self.analyst, host, peer)
    }
}

/// Days for which somebody looks at what paged: it may go on after midnight.
const LOOKED_AT_DAYS: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Keys, Settings};
    use crate::eval::Labels;
    use crate::eval::ground::Ground;
    use crate::flow::{Counters, FlowEnd};
    use crate::net::{Endpoint, Protocol, Subnets};
    use crate::time::Timestamp;

    const START: u64 = 1_773_619_200; // 2026-03-16T00:00:00Z
    const DAY: u64 = 86_400;

    fn sends(host: u8, place: u8, secs: u64, bytes: u64) -> FlowDelta {
        let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
        let (host, place) = (end([10, 0, 0, host], 50_000), end([198, 51, 100, place], 443));
        let out = Counters { payload: bytes, sent: bytes, packets: 1, ..Counters::default() };
        let at = Timestamp::from_secs_nanos(START + secs, 0);
        let delta = FlowDelta::new(host, place, Protocol::TCP, at, [out, Counters::default()]);
        FlowDelta { end: Some(FlowEnd::Fin), ..delta }
    }

    /// What the second of two uploads to one place scores, when the first was this by the labels and somebody said so.
    fn second_scores(incidents: &str, is_answered: bool) -> Bits {
        let settings = Settings::of(&Keys::default()).unwrap();
        let text = format!(
            r#"{{"timeline":{{"evaluation_days":["2026-04-05"]}},"incidents":[{incidents}]}}"#
        );
        let labels = Labels::parse("labels.json".as_ref(), &text).unwrap();
        let ground = Ground::new(&labels, &Subnets::private(), &jiff::tz::TimeZone::UTC);
        let mut judge = Reviewed::new(Analyst::new(settings.analyst), is_answered);
        judge.expect(&ground.targets());
        let mut pages = 0;
        for day in 0..23 {
            let usual = (1..12).map(|host| sends(host, host, day * DAY + u64::from(host), 300_000));
            let upload =
                [20, 22].contains(&day).then(|| sends(1, 99, day * DAY + 50_000, 500_000_000));
            for delta in usual.chain(upload) {
                Judge::fold(&mut judge, &delta);
                pages += judge.told().iter().filter(|told| matches!(told, Told::Alert(said) if said.severity >= Severity::Medium)).count();
            }
        }
        assert!(pages > 0);
        let verdict =
            Judge::verdict(&judge, Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([198, 51, 100, 99]));
        verdict.unwrap().0.score
    }

    #[test]
    fn what_people_say_is_learned() {
        let theft = r#"{"id":"x","expected":"alert","src":"10.0.0.1","dst":["198.51.100.99"],"start":"2026-04-05T13:00:00Z","end":"2026-04-05T15:00:00Z"}"#;
        let unanswered = second_scores("", false);
        assert_eq!(second_scores(theft, false), unanswered);
        assert!(second_scores("", true) < unanswered);
        assert!(second_scores(theft, true) >= unanswered);
    }
}
