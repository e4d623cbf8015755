//! What was learned of one host, written down as a document and taken in from one.

use std::time::Duration;

use super::{Baseline, HostHistory, PairHistory, make_room};
use crate::baseline::profile::{DestinationProfile, Profile, Unfit, WindowProfile};
use crate::baseline::tail::Ring;
use crate::egress::{Destination, HostKey, WINDOWS};

impl Baseline {
    /// What was learned of a host, as a document; `text_of` puts a destination into words.
    pub fn profile(
        &self,
        host: HostKey,
        text_of: impl Fn(Destination) -> String,
    ) -> Option<Profile> {
        let known = self.hosts.get(&host)?;
        let mut destinations: Vec<DestinationProfile> = known
            .pairs
            .iter()
            .map(|(&to, pair)| DestinationProfile {
                key: text_of(to),
                first_seen: pair.first_at.to_millis(),
                first_day: pair.first_day,
                last_day: pair.last_day,
                largest: pair.largest,
                largest_day: pair.largest_day,
                bytes: pair.days.oldest_first(),
                vouched: pair.vouched,
                hosts: self.destinations.get(&to).map_or(1, |known| known.hosts),
            })
            .collect();
        destinations.sort_by(|a, b| b.largest.cmp(&a.largest).then_with(|| a.key.cmp(&b.key)));
        let windows = |rings: &[Ring<60>; 4]| {
            let window = |(window, ring): (&Duration, &Ring<60>)| WindowProfile {
                seconds: window.as_secs(),
                bytes: ring.oldest_first(),
            };
            WINDOWS.iter().zip(rings).map(window).collect()
        };
        let [bulk, media] = &known.windows;
        Some(Profile {
            schema: Profile::SCHEMA.to_owned(),
            host,
            first_day: known.first_day,
            last_day: known.last_day,
            days: known.days,
            windows: windows(bulk),
            media_windows: windows(media),
            answered: known.client.oldest_first(),
            answered_in_all: known.clients.oldest_first(),
            destinations,
        })
    }

    /// Takes in what another sensor learned of a host, in place of what is known of it here.
    ///
    /// # Errors
    /// When the document does not hold together.
    pub fn adopt(&mut self, profile: &Profile) -> Result<(), Unfit> {
        let mut host = HostHistory {
            first_day: profile.first_day,
            last_day: profile.last_day,
            days: profile.days,
            ..HostHistory::default()
        };
        for (rings, windows) in
            host.windows.iter_mut().zip([&profile.windows, &profile.media_windows])
        {
            for window in windows {
                let at = WINDOWS.iter().position(|known| known.as_secs() == window.seconds);
                let at =
                    at.ok_or_else(|| Unfit(format!("no window has {} seconds", window.seconds)))?;
                rings[at] = window.bytes.iter().copied().collect();
            }
        }
        host.client = profile.answered.iter().copied().collect();
        host.clients = profile.answered_in_all.iter().copied().collect();
        for known in &profile.destinations {
            let destination = Destination::of_key(&known.key)
                .ok_or_else(|| Unfit(format!("{:?} is no destination", known.key)))?;
            let pair = PairHistory {
                first_day: known.first_day,
                first_at: known.first_seen,
                last_day: known.last_day,
                largest: known.largest,
                largest_day: known.largest_day,
                days: known.bytes.iter().copied().collect(),
                vouched: known.vouched,
            };
            host.pairs.insert(destination, pair);
        }
        let max = self.options.pairs_per_host_max;
        if host.pairs.len() > max {
            let known = host.pairs.len();
            return Err(Unfit(format!("{known} destinations: a host has at most {max} here")));
        }
        self.make_room_for(profile.host);
        let before = self.hosts.insert(profile.host, host).map(|before| before.pairs);
        let before = before.unwrap_or_default();
        let now = &self.hosts[&profile.host].pairs;
        self.pairs = (self.pairs + now.len()).saturating_sub(before.len());
        for (to, pair) in now.iter().filter(|(to, _)| !before.contains_key(*to)) {
            if !self.destinations.contains_key(to) {
                let max = self.options.destinations_max;
                let gone =
                    make_room(&mut self.destinations, max, &mut self.hand, |known| known.last_day);
                self.forgotten += u64::from(gone.is_some());
            }
            let known = self.destinations.entry(*to).or_default();
            known.hosts += 1;
            known.last_day = known.last_day.max(pair.last_day);
            pair.days.oldest_first().into_iter().for_each(|bytes| known.days.add(bytes));
        }
        self.forget_pairs();
        Ok(())
    }
}
