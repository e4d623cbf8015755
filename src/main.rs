//! Sekisho's command line: arguments to settings, settings to one mode, mode to exit code.

mod cli;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use cli::{Cli, Common, Mode, Replay, RulesAction, SchemaOf};
use sekisho::alert::{Alert, RankingEntry, Record, Summary};
use sekisho::capture::FileSource;
use sekisho::config::{Format, Keys, Settings};
use sekisho::engine::{self, Analyst};
use sekisho::rules::{RuleSet, Style};
use sekisho::sink::{JsonLines, Sink, Text, printable};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().mode {
        Mode::Replay(replay) => self::replay(&replay),
        Mode::Schema { of } => schema(of),
        Mode::Rules { action: RulesAction::Check { dir } } => check_rules(dir.as_deref()),
    };
    match outcome {
        Ok(code) => code,
        // The reader of our output went away: nothing is wrong with the run.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sekisho: {}", printable(&format!("{error:#}")));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn replay(replay: &Replay) -> anyhow::Result<ExitCode> {
    let common = &replay.common;
    let keys = keys(common)?;
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut source = FileSource::open(&replay.files, settings.capture.clone())?;
    let mut sink = sink(common, settings.format)?;
    let mut analyst = Analyst::new(settings.analyst.clone());
    let progress = progress(common, source.total_bytes());
    let mut written = Ok(());
    let outcome = engine::replay(&mut source, &settings.run, &mut analyst, |source, records| {
        progress.set_position(source.consumed_bytes());
        for record in records {
            if written.is_ok() {
                written = sink.write(&record);
            }
        }
    });
    progress.finish_and_clear();
    written?;
    let counted = outcome?;

    let summary = engine::summarize(&source, &counted, &analyst);
    let has_alerts = summary.alerts > 0;
    for notice in source.notices() {
        eprintln!("sekisho: warning: {}", printable(&notice.to_string()));
    }
    sink.write(&Record::Summary(Box::new(summary)))?;
    Ok(if common.fail_on_alert && has_alerts { ExitCode::from(ALERTED) } else { ExitCode::SUCCESS })
}

fn schema(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let schema = match of {
        SchemaOf::Alert => serde_json::to_value(schemars::schema_for!(Alert))?,
        SchemaOf::Ranking => serde_json::to_value(schemars::schema_for!(RankingEntry))?,
        SchemaOf::Summary => serde_json::to_value(schemars::schema_for!(Summary))?,
        SchemaOf::Rules => serde_json::to_value(
            RuleSet::schemas().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        )?,
    };
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

fn check_rules(dir: Option<&std::path::Path>) -> anyhow::Result<ExitCode> {
    let rules = match dir {
        Some(dir) => RuleSet::load(dir).map_err(|error| {
            eprintln!("{}", error.render(style(io::stderr().is_terminal())));
            anyhow!("{}: the rules cannot be used", dir.display())
        })?,
        None => RuleSet::shipped(),
    };
    writeln!(io::stdout(), "{}", rules.summary())?;
    Ok(ExitCode::SUCCESS)
}

/// Flag, then environment, then file.
fn keys(common: &Common) -> anyhow::Result<Keys> {
    let typed = common.keys();
    Ok(match &common.config {
        Some(path) => typed.or(Keys::read(path)?),
        None => typed,
    })
}

/// A configuration error; one of the rules folder comes with its lines.
fn explained(error: sekisho::config::ConfigError) -> anyhow::Error {
    if let sekisho::config::ConfigError::Rules(error) = &error {
        eprintln!("{}", error.render(style(io::stderr().is_terminal())));
    }
    error.into()
}

fn style(is_terminal: bool) -> Style {
    if is_terminal { Style::Coloured } else { Style::Plain }
}

fn sink(common: &Common, format: Format) -> anyhow::Result<Box<dyn Sink>> {
    let to: Box<dyn Write> = match &common.output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?,
        )),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    Ok(match format {
        Format::Text => Box::new(Text::new(to)),
        Format::Json => Box::new(JsonLines::new(to)),
    })
}

/// A bar on standard error while it is a terminal; it shows itself only on long replays.
fn progress(common: &Common, total: u64) -> ProgressBar {
    if common.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // The length of standard input is not known.
    let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::no_length() };
    let style = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    bar
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

const ALERTED: u8 = 1;
const COULD_NOT_RUN: u8 = 2;
