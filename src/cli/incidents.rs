//! `sekisho incidents`: what was told, and what people say of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use sekisho::rules::Silence;
use sekisho::sink::{self, IncidentFormat};
use sekisho::state::{IncidentRow, Remark, Said, State, Store};
use sekisho::time::Timestamp;

use super::FormatArg;

#[derive(Debug, Subcommand)]
pub(crate) enum Incidents {
    /// Print the incidents, the latest first
    List {
        #[command(flatten)]
        at: At,
        /// Print those as well that somebody has judged or looks into, and those that rules kept from being told
        #[arg(long)]
        all: bool,
    },
    /// Print all that was told of an incident, and said of it
    Show {
        #[command(flatten)]
        at: At,
        /// Its id, or how it begins
        id: String,
    },
    /// Say that somebody looks into it
    Ack(Say),
    /// Say that it was in order: its whole upload teaches what is normal
    Benign(Say),
    /// Say that it was a theft: it teaches nothing
    Theft(Say),
    /// Say something to remember
    Note {
        #[command(flatten)]
        at: At,
        /// Its id, or how it begins
        id: String,
        /// What
        text: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct At {
    /// State folder
    #[arg(long, env = "SEKISHO_STATE", value_name = "DIR")]
    state: PathBuf,
    /// How to tell [default: text]
    #[arg(long, env = "SEKISHO_FORMAT", value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(crate) struct Say {
    #[command(flatten)]
    at: At,
    /// Its id, or how it begins
    id: String,
    /// In which words
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl Incidents {
    /// Does it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::List { at, all } => {
                let mut rows = store(&at.state)?.list()?;
                let is_hidden =
                    |row: &IncidentRow| row.silenced.as_ref().is_some_and(Silence::hides);
                rows.retain(|row| *all || row.said.is_none() && !is_hidden(row));
                sink::write_incidents(&mut io::stdout().lock(), &rows, at.format())?;
            }
            Self::Show { at, id } => {
                let store = store(&at.state)?;
                let row = store.find(id)?;
                let (alerts, remarks) =
                    (store.alerts(&row.incident)?, store.remarks(&row.incident)?);
                let mut out = io::stdout().lock();
                sink::write_incident(&mut out, &row, (&alerts, &remarks), at.format())?;
            }
            Self::Ack(say) => say.say(Said::Ack)?,
            Self::Benign(say) => say.say(Said::Benign)?,
            Self::Theft(say) => say.say(Said::Theft)?,
            Self::Note { at, id, text } => say(&at.state, id, Said::Note, Some(text))?,
        }
        Ok(())
    }
}

impl At {
    fn format(&self) -> IncidentFormat {
        match self.format {
            FormatArg::Text => IncidentFormat::Text,
            FormatArg::Json => IncidentFormat::Json,
        }
    }
}

impl Say {
    fn say(&self, said: Said) -> anyhow::Result<()> {
        say(&self.at.state, &self.id, said, self.note.as_deref())
    }
}

fn say(dir: &Path, id: &str, said: Said, text: Option<&str>) -> anyhow::Result<()> {
    let store = store(dir)?;
    let row = store.find(id)?;
    // What people say has the time of people.
    let at = Timestamp::from_nanos(u64::try_from(jiff::Timestamp::now().as_nanosecond())?);
    store.say(&row.incident, &Remark { at, said, text: text.map(str::to_owned) })?;
    writeln!(io::stdout(), "{} {}", row.incident, said.as_str()).context("standard output")
}

fn store(dir: &Path) -> anyhow::Result<Store> {
    Ok(State::read(dir)?.store()?)
}
