//! `sekisho baseline`: what was learned, to be read, compared and taken elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use sekisho::baseline::Profile;
use sekisho::config::{Keys, Settings};
use sekisho::egress::HostKey;
use sekisho::engine::Analyst;
use sekisho::sink::{Projection, printable, write_profile};
use sekisho::state::{State, StateError};

use super::FormatArg;

#[derive(Debug, Subcommand)]
pub(crate) enum Baseline {
    /// Print what is normal for a host, and how much of an upload would leave before it was reported
    Show {
        #[command(flatten)]
        from: Learned,
        /// Its address, or its hardware address; all hosts where none is given
        host: Vec<HostKey>,
        /// How to tell
        #[arg(long, value_enum, default_value_t = FormatArg::Text)]
        format: FormatArg,
    },
    /// Write what was learned of hosts, one JSON object a line, for another sensor or for keeping
    Export {
        #[command(flatten)]
        from: Learned,
        /// Whose; all hosts where none is given
        host: Vec<HostKey>,
    },
    /// Take in what another sensor exported, in place of what is known of these hosts
    Import {
        #[command(flatten)]
        from: Learned,
        /// What `export` wrote, or - for standard input
        file: PathBuf,
    },
    /// Print what differs from another state folder, or from what `export` wrote
    Diff {
        #[command(flatten)]
        from: Learned,
        /// The folder or file of before
        before: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Learned {
    /// State folder
    #[arg(long, env = "SEKISHO_STATE", value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Baseline {
    /// Does it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        match self {
            Self::Show { from, host, format } => {
                let analyst = from.analyst()?;
                for profile in profiles(&analyst, host)? {
                    match format {
                        FormatArg::Text => {
                            // A rehearsal goes through all that was learned: not for every host there is.
                            let tried = if host.is_empty() { &[][..] } else { &UPLOADS };
                            write_profile(&mut out, &profile, &tries(&analyst, &profile, tried))?;
                        }
                        FormatArg::Json => writeln!(out, "{}", serde_json::to_string(&profile)?)?,
                    }
                }
            }
            Self::Export { from, host } => {
                for profile in profiles(&from.analyst()?, host)? {
                    writeln!(out, "{}", serde_json::to_string(&profile)?)?;
                }
            }
            Self::Import { from, file } => {
                let imported = read(file)?;
                let mut state = State::write(&from.state)?;
                let settings = from.settings(&state)?;
                let learned = state.load(&settings.analyst)?.map(|(_, analyst)| analyst);
                let mut analyst = learned.unwrap_or_else(|| Analyst::new(settings.analyst));
                for (line, profile) in &imported {
                    let place = || format!("{}:{line}", file.display());
                    analyst.adopt(profile).with_context(place)?;
                }
                state.save(&analyst)?;
                writeln!(out, "{} hosts taken in", imported.len())?;
            }
            Self::Diff { from, before } => {
                let was = match before.is_dir() {
                    true => {
                        let from = Learned { state: before.clone(), config: from.config.clone() };
                        profiles(&from.analyst()?, &[])?
                    }
                    false => read(before)?.into_iter().map(|(_, profile)| profile).collect(),
                };
                diff(&mut out, was, profiles(&from.analyst()?, &[])?)?;
            }
        }
        Ok(out.flush()?)
    }
}

impl Learned {
    pub(super) fn analyst(&self) -> anyhow::Result<Analyst> {
        let mut state = State::read(&self.state)?;
        let settings = self.settings(&state)?;
        let loaded = state.load(&settings.analyst);
        for notice in state.notices() {
            eprintln!("sekisho: warning: {}", printable(notice));
        }
        let empty = || StateError::Empty { dir: self.state.clone() };
        let (_, analyst) = loaded?.ok_or_else(empty)?;
        Ok(analyst)
    }

    /// Settings in the time zone that the state was learned in.
    fn settings(&self, state: &State) -> anyhow::Result<Settings> {
        let mut keys = match &self.config {
            Some(path) => Keys::read(path)?,
            None => Keys::default(),
        };
        keys.timezone = state.header()?.map(|header| header.timezone).or(keys.timezone);
        Ok(Settings::of(&keys)?)
    }
}

/// What would be seen of uploads of these sizes, the largest last: they begin alike, so one is tried.
fn tries(analyst: &Analyst, profile: &Profile, sizes: &[u64]) -> Vec<Projection> {
    let largest = sizes.last().and_then(|&bytes| analyst.rehearse(profile.host, bytes, RATE));
    let of = |&bytes| Projection { bytes, left: largest.filter(|&left| left <= bytes) };
    sizes.iter().map(of).collect()
}

fn profiles(analyst: &Analyst, hosts: &[HostKey]) -> anyhow::Result<Vec<Profile>> {
    let all = || analyst.baseline().hosts();
    // Of a machine's address the machine is meant.
    let meant = |&host: &HostKey| match host {
        HostKey::Address(addr) => analyst.host_of(addr, analyst.now()),
        HostKey::Machine(_) => host,
    };
    let hosts = if hosts.is_empty() { all() } else { hosts.iter().map(meant).collect() };
    let profile = |host| {
        analyst.profile(host).ok_or_else(|| anyhow!("{host}: no finished day of it was learned"))
    };
    hosts.into_iter().map(profile).collect()
}

/// What `export` wrote, each with its line.
fn read(path: &Path) -> anyhow::Result<Vec<(usize, Profile)>> {
    let lines: Box<dyn BufRead> = match path.to_str() {
        Some("-") if !io::stdin().is_terminal() => Box::new(io::stdin().lock()),
        Some("-") => bail!("standard input is a terminal: give the file that export wrote"),
        Some(_) | None => Box::new(BufReader::new(
            fs::File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?,
        )),
    };
    let mut profiles = Vec::new();
    for (line, text) in (1..).zip(lines.lines()) {
        let place = || format!("{}:{line}", path.display());
        let profile: Profile = serde_json::from_str(&text.with_context(place)?)
            .with_context(|| format!("{}: no {}", place(), Profile::SCHEMA))?;
        if profile.schema != Profile::SCHEMA {
            bail!("{}: is {:?}, and not {}", place(), profile.schema, Profile::SCHEMA);
        }
        profiles.push((line, profile));
    }
    Ok(profiles)
}

fn diff(out: &mut impl Write, was: Vec<Profile>, now: Vec<Profile>) -> anyhow::Result<()> {
    let by_host = |profiles: Vec<Profile>| -> BTreeMap<HostKey, Profile> {
        profiles.into_iter().map(|profile| (profile.host, profile)).collect()
    };
    let (was, now) = (by_host(was), by_host(now));
    for host in was.keys().filter(|host| !now.contains_key(host)) {
        writeln!(out, "- {host}")?;
    }
    for (host, now) in &now {
        let Some(was) = was.get(host) else {
            writeln!(out, "+ {host}: {} destinations", now.destinations.len())?;
            continue;
        };
        if was == now {
            continue;
        }
        writeln!(out, "  {host}: {} to {} days", was.days, now.days)?;
        let keys = |profile: &Profile| -> BTreeMap<String, u64> {
            profile.destinations.iter().map(|to| (to.key.clone(), to.largest)).collect()
        };
        let (known, knows) = (keys(was), keys(now));
        for key in known.keys().filter(|key| !knows.contains_key(*key)) {
            writeln!(out, "    - {key}")?;
        }
        for (key, largest) in knows {
            match known.get(&key) {
                None => writeln!(out, "    + {key}: at most {largest} bytes in a day")?,
                Some(&before) if before != largest => {
                    writeln!(out, "      {key}: at most {before} to {largest} bytes in a day")?;
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Uploads that are tried on a fork, in bytes, and their pace in bytes a second: 8 Mbit/s.
const UPLOADS: [u64; 3] = [10_000_000, 100_000_000, 1_000_000_000];
const RATE: u64 = 1_000_000;
