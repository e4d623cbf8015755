//! What outlives a run: the state folder that a run goes on from and writes to.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use sekisho::alert::{Alert, Record};
use sekisho::engine::{Analyst, Options};
use sekisho::scribe::Scribe;
use sekisho::sink::printable;
use sekisho::state::{State, StateError, Store};
use sekisho::time::Timestamp;

/// What outlives a run.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// State folder: judge by what was learned there [default: nothing is known yet]
    #[arg(long, env = "SEKISHO_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Learn from this traffic: write what was learned, and every alert, to the state folder
    #[arg(long, requires = "state")]
    learn: bool,
}

/// Where a run writes what it learned, if it does.
pub(crate) struct Keeper(Option<State>);

/// Where a run writes its alerts, if it does.
pub(crate) struct Diary(Option<Store>);

impl Memory {
    /// The folder, where there is one.
    pub(crate) fn dir(&self) -> Option<&PathBuf> {
        self.state.as_ref()
    }

    /// An analyst that goes on from the folder, or knows nothing. A run that learns is refused traffic that
    /// begins before the end of what was learned.
    pub(crate) fn open(
        &self,
        first: Option<Timestamp>,
        options: &Options,
    ) -> anyhow::Result<(Keeper, Diary, Analyst)> {
        let Some(dir) = &self.state else {
            return Ok((Keeper(None), Diary(None), Analyst::new(options.clone())));
        };
        let mut state = if self.learn { State::write(dir)? } else { State::read(dir)? };
        let loaded = state.load(options);
        for notice in state.notices() {
            eprintln!("sekisho: warning: {}", printable(notice));
        }
        let analyst = match loaded? {
            Some((header, analyst)) => {
                match header.check(dir, first.unwrap_or(Timestamp::MAX)) {
                    Err(error) if self.learn => return Err(error.into()),
                    Err(error) => eprintln!("sekisho: warning: {error}"),
                    Ok(()) => {}
                }
                analyst
            }
            None if self.learn => Analyst::new(options.clone()),
            None => return Err(StateError::Empty { dir: dir.clone() }.into()),
        };
        let store = self.learn.then(|| state.store()).transpose()?;
        Ok((Keeper(self.learn.then_some(state)), Diary(store), analyst))
    }
}

impl Keeper {
    /// Is anything kept?
    pub(crate) fn learns(&self) -> bool {
        self.0.is_some()
    }

    /// Writes what was learned.
    pub(crate) fn save(&self, analyst: &Analyst) -> anyhow::Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        state.save(analyst).context(LOST)
    }

    /// As [`Keeper::save`], but it is a scribe who writes, and hands the outcome on.
    pub(crate) fn save_by(
        &self,
        scribe: &Scribe,
        analyst: &Analyst,
        done: impl FnOnce(anyhow::Result<()>) + Send + 'static,
    ) {
        if let Some(state) = &self.0 {
            state.save_by(scribe, analyst, |outcome| done(outcome.context(LOST)));
        }
    }
}

impl Diary {
    /// Writes the alerts among these records.
    pub(crate) fn keep(&mut self, records: &[Record]) -> Result<(), StateError> {
        let Some(store) = &mut self.0 else { return Ok(()) };
        store.add(records.iter().filter_map(|record| match record {
            Record::Alert(alert) | Record::Silenced(alert) => Some::<&Alert>(alert),
            Record::Ranking(_) | Record::Summary(_) => None,
        }))
    }
}

const LOST: &str = "what was learned is lost";
