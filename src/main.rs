//! Sekisho's command line: arguments to settings, settings to one mode, mode to exit code.

mod allocator;
mod cli;
mod watch;

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use terminal_size::terminal_size_of;

use cli::{
    Bench, Census, CensusFormatArg, Cli, Common, Eval, Flows, ListRules, Mode, Replay, RulesAction,
    SchemaOf, Synth, Whom,
};
use sekisho::alert::{Alert, RankingEntry, Record, Summary};
use sekisho::baseline::Profile;
use sekisho::bench::{self, Comparison, Report, scaling};
use sekisho::capture::{FileSource, Source};
use sekisho::census::{self, DestinationRecord, HostRecord};
use sekisho::config::{Format, Keys, Settings};
use sekisho::egress::{FlowRecord, Ledger, Scope};
use sekisho::engine::{self, Analyst, Reported, WhatIf};
use sekisho::eval::grid::ramps::{self, RampsReport};
use sekisho::eval::grid::{GridPlan, GridReport};
use sekisho::eval::{self, EvalError, Labels, LabelsFile};
use sekisho::evidence::{Evidence, Haste, Tap};
use sekisho::flow::Reporting;
use sekisho::machines::Claim;
use sekisho::rules::{RuleSet, Style};
use sekisho::sink::{self, CensusFormat, JsonLines, RuleRow, Sink, Text, Width, printable};
use sekisho::state::IncidentRow;
use sekisho::synth::office::{Office, Packets};
use sekisho::synth::{Kind, Lookups, Traffic, write_pcap};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn main() -> ExitCode {
    allocator::give_back_soon();
    let mode = Cli::parse().mode;
    if !matches!(mode, Mode::Watch(_)) {
        allocator::go_without_huge_pages();
    }
    let outcome = match mode {
        Mode::Replay(replay) => self::replay(&replay),
        Mode::Watch(watch) => watch::watch(&Arc::from(watch)),
        Mode::Interfaces(list) => watch::interfaces(&list),
        Mode::Flows(flows) => self::flows(&flows),
        Mode::Hosts(census) => self::census(&census, Whom::Hosts),
        Mode::Destinations(census) => self::census(&census, Whom::Destinations),
        Mode::Eval(eval) => self::eval(&eval),
        Mode::Bench(bench) => self::bench(&bench),
        Mode::Synth(synth) => self::synth(&synth),
        Mode::Baseline(baseline) => baseline.run().map(|()| ExitCode::SUCCESS),
        Mode::Incidents(incidents) => incidents.run().map(|()| ExitCode::SUCCESS),
        Mode::Schema { of } => schema(of),
        Mode::Rules { action: RulesAction::Check { dir } } => check_rules(dir.as_deref()),
        Mode::Rules { action: RulesAction::List(list) } => list_rules(&list),
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
    let keys = keys(replay.keys(), common)?;
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    let source = FileSource::open(&replay.files, settings.capture.clone())?;
    let first = source.first_at().max(settings.capture.since);
    let (keeper, mut diary, mut analyst) = replay.memory.open(first, &settings.analyst)?;
    if let Some(dir) = &replay.what_if {
        return what_if(replay, &settings, (source, analyst), dir);
    }
    let mut sink = sink(common, settings.format)?;
    let progress = progress(common, source.total_bytes());
    let ports = source.ports().clone();
    let evidence = settings.evidence.map(|options| Evidence::open(options, ports, Haste::None));
    let mut source = Tap { source, evidence: evidence.transpose()? };
    let mut told = Ok(());
    let mut tell = |records: &[Record]| -> anyhow::Result<()> {
        // What is told can be looked up.
        diary.keep(records)?;
        records.iter().try_for_each(|record| sink.write(record))?;
        Ok(sink.flush()?)
    };
    let outcome = engine::replay(&mut source, &settings.run, &mut analyst, |source, records| {
        progress.set_position(source.source.consumed_bytes());
        let mut records: Vec<Record> = records.collect();
        source.hear(&mut records);
        if told.is_ok() {
            told = tell(&records);
        }
    });
    source.finish();
    let Tap { source, evidence } = source;
    progress.finish_and_clear();
    told?;
    let counted = outcome?;
    keeper.save(&analyst)?;
    analyst.rank_day();
    analyst.drain().try_for_each(|record| sink.write(&record))?;

    let mut summary = engine::summarize(&source, &counted, &analyst);
    if let Some(mut evidence) = evidence {
        evidence.sum_up(&mut summary);
    }
    let has_alerts = summary.alerts > 0;
    // The report for people says the warnings itself, where it is read.
    if settings.format == Format::Json || common.output.is_some() {
        warn(&source);
    }
    sink.write(&Record::Summary(Box::new(summary)))?;
    sink.flush()?;
    Ok(if replay.verdict.fail_on_alert && has_alerts {
        ExitCode::from(ALERTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Replays before two analysts who differ in their rules, and says in which alerts they do.
fn what_if(
    replay: &Replay,
    settings: &Settings,
    (mut source, mut analyst): (FileSource, Analyst),
    dir: &Path,
) -> anyhow::Result<ExitCode> {
    let common = &replay.common;
    let mut other = analyst.clone();
    let differs = other.reload(Arc::new(load_rules(dir)?), String::new());
    if differs {
        eprintln!(
            "sekisho: warning: what is inside, and the defaults, are those of the rules at hand"
        );
    }
    let progress = progress(common, source.total_bytes());
    let analysts = (&mut analyst, &mut other);
    let (_, what_if) = engine::what_if(&mut source, &settings.run, analysts, |source| {
        progress.set_position(source.consumed_bytes());
    })?;
    progress.finish_and_clear();
    warn(&source);
    let mut out = output(common)?;
    match settings.format {
        Format::Text => sink::write_what_if(&mut out, &what_if)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(&what_if)?)?,
    }
    out.flush()?;
    let is_failure = replay.verdict.fail_on_alert && what_if.alerts_after > 0;
    Ok(if is_failure { ExitCode::from(ALERTED) } else { ExitCode::SUCCESS })
}

fn flows(flows: &Flows) -> anyhow::Result<ExitCode> {
    let common = &flows.common;
    let keys = keys(common.keys(), common)?;
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut source = FileSource::open(&flows.files, settings.capture.clone())?;
    let mut sink = sink::Flows::new(output(common)?, flows.format.into())?;
    let mut written = Ok(());
    let tally = read_flows(&mut source, settings, common, |found| {
        if let Found::Flow(record) = found {
            written = sink.write(record);
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written.and_then(|()| sink.finish())?;
    tally?.tell(&source, common);
    Ok(ExitCode::SUCCESS)
}

fn census(census: &Census, whom: Whom) -> anyhow::Result<ExitCode> {
    let common = &census.common;
    let keys = keys(census.keys(), common)?;
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut source = FileSource::open(&census.files, settings.capture.clone())?;
    let mut out = output(common)?;
    let engine::Options { egress, rules, registry, .. } = settings.analyst.clone();
    let mut known = census::Census::new(settings.census, rules, registry, egress.internal);
    let tally = read_flows(&mut source, settings, common, |found| {
        match found {
            Found::Flow(record) => known.count(record),
            Found::Claim(claim) => known.hear(claim),
        }
        ControlFlow::Continue(())
    });
    let order = census.sort.into();
    let format = match census.format {
        CensusFormatArg::Text => CensusFormat::Text(width(common)),
        CensusFormatArg::Json => CensusFormat::Json,
        CensusFormatArg::Csv => CensusFormat::Csv,
    };
    let top = census.top.unwrap_or(usize::MAX);
    match whom {
        Whom::Hosts => {
            let hosts = known.hosts(order);
            sink::write_census(&mut out, &hosts[..hosts.len().min(top)], format)?;
        }
        Whom::Destinations => {
            let destinations = known.destinations(order);
            let shown = &destinations[..destinations.len().min(top)];
            sink::write_census(&mut out, shown, format)?;
        }
    }
    out.flush()?;
    let mut tally = tally?;
    let forgotten = known.forgotten();
    for (count, what) in [
        (forgotten.hosts, "hosts"),
        (forgotten.destinations, "destinations"),
        (forgotten.pairs, "pairs of host and destination"),
        (forgotten.machines, "machines and addresses of them"),
    ] {
        if count > 0 {
            tally.warnings.push(format!("{count} {what} were given up for want of memory"));
        }
    }
    tally.tell(&source, common);
    Ok(ExitCode::SUCCESS)
}

/// What there is to say at the end of reading flows.
struct Tally {
    packets: u64,
    flows: u64,
    rejected: u64,
    warnings: Vec<String>,
}

impl Tally {
    fn tell(&self, source: &FileSource, common: &Common) {
        warn(source);
        for warning in &self.warnings {
            eprintln!("sekisho: warning: {warning}");
        }
        if !common.quiet {
            let Self { packets, flows, rejected, warnings } = self;
            let warnings = source.notices().len() + warnings.len();
            eprintln!(
                "sekisho: {packets} packets, {flows} flows, {rejected} rejected, {warnings} warnings"
            );
        }
    }
}

/// What reading flows comes upon.
enum Found<'a> {
    Flow(&'a FlowRecord),
    Claim(&'a Claim),
}

/// Reads a source to its end, or until `take` breaks, and hands on the record of every flow, and what is
/// claimed of machines.
fn read_flows(
    source: &mut FileSource,
    mut settings: Settings,
    common: &Common,
    mut take: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> anyhow::Result<Tally> {
    settings.run.flow.reporting = Reporting::AtEnd;
    let book_bytes_max = settings.run.names.unwrap_or_default().book_bytes_max;
    let mut ledger = Ledger::new(settings.analyst.egress.internal, book_bytes_max);
    let progress = progress(common, source.total_bytes());
    let (mut flow, mut has_inside) = (ControlFlow::Continue(()), false);
    let outcome = engine::count(source, &settings.run, |source, reports| {
        progress.set_position(source.consumed_bytes());
        for report in reports.in_order() {
            let record = match report {
                Reported::Event(event) => {
                    ledger.hear(event);
                    continue;
                }
                Reported::Claim(claim) => {
                    if flow.is_continue() {
                        flow = take(Found::Claim(claim));
                    }
                    continue;
                }
                Reported::Delta(delta) => ledger.fold(delta),
            };
            let Some(record) = record else { continue };
            has_inside |= record.scope != Scope::Outside;
            if flow.is_continue() {
                flow = take(Found::Flow(&record));
            }
        }
        flow
    });
    progress.finish_and_clear();
    let counted = outcome?;
    let mut warnings = Vec::new();
    let forgotten = counted.names.evicted + ledger.book().evicted();
    if forgotten > 0 {
        warnings.push(format!("{forgotten} names were given up for want of memory"));
    }
    if counted.flows.started > 0 && !has_inside {
        warnings.push(NO_INSIDE.to_owned());
    }
    Ok(Tally {
        packets: source.counters().frames,
        flows: counted.flows.started,
        rejected: counted.rejects.total(),
        warnings,
    })
}

fn eval(eval: &Eval) -> anyhow::Result<ExitCode> {
    let common = &eval.common;
    let office = eval.office()?;
    let labels = match (&office, &eval.labels) {
        (Some(office), _) => {
            let text = serde_json::to_string(&office.labels())?;
            Labels::parse("office".as_ref(), &text)?
        }
        (None, Some(path)) => Labels::read(path)?,
        (None, None) => return Err(anyhow!("nothing to evaluate: give --labels or --office")),
    };
    let mut keys = keys(eval.keys(), common)?;
    // Whoever labelled the captures knows where they come from.
    keys.timezone = labels.timezone.clone().or(keys.timezone);
    if !labels.internal.is_empty() {
        keys.internal = Some(labels.internal.clone());
    }
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    if (eval.grid || eval.ramps)
        && let Some(office) = office
    {
        return grid(eval, office, labels.set, settings);
    }
    let traffic = match office {
        Some(office) => eval::Traffic::Office(Box::new(office)),
        None => {
            let files = eval.files(&labels);
            if files.is_empty() {
                let path = eval.labels.clone().unwrap_or_default();
                return Err(EvalError::NoCaptures { path }.into());
            }
            eval::Traffic::Captures(files, settings.capture)
        }
    };
    let plan = eval::Plan {
        traffic,
        labels,
        run: settings.run,
        analyst: settings.analyst,
        is_answered: eval.answered,
        budgets: eval.budgets(),
    };
    let progress = progress(common, 0);
    let mut notices = 0;
    let report = eval::run(&plan, |source| {
        progress.set_length(source.total_bytes());
        progress.set_position(source.consumed_bytes());
        for notice in &source.notices()[notices..] {
            progress.suspend(|| eprintln!("sekisho: warning: {}", printable(&notice.to_string())));
        }
        notices = source.notices().len();
    })?;
    progress.finish_and_clear();
    tell(eval, &report, || report.html())
}

fn grid(eval: &Eval, office: Office, set: String, settings: Settings) -> anyhow::Result<ExitCode> {
    let plan = GridPlan {
        office,
        set,
        seed: eval.seed,
        uploads: eval.uploads(),
        threads: settings.run.workers,
        analyst: settings.analyst,
        is_answered: eval.answered,
        budgets: eval.budgets(),
    };
    let progress = progress(&eval.common, 0);
    progress.set_style(ProgressStyle::with_template("{spinner} day {pos} of {len}")?);
    let day = |day, of| {
        progress.set_length(u64::from(of));
        progress.set_position(u64::from(day));
    };
    if eval.ramps {
        let report = ramps::run(&plan, day)?;
        progress.finish_and_clear();
        return tell(eval, &report, || report.html());
    }
    let report = eval::grid::run(&plan, day)?;
    progress.finish_and_clear();
    tell(eval, &report, || report.html())
}

/// Writes a report the way it is asked for, and the page.
fn tell(
    eval: &Eval,
    report: &(impl Serialize + Display),
    html: impl FnOnce() -> String,
) -> anyhow::Result<ExitCode> {
    if let Some(path) = &eval.html {
        std::fs::write(path, html())
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let told = match eval.format.into() {
        Format::Text => report.to_string().trim_end().to_owned(),
        Format::Json => serde_json::to_string_pretty(report)?,
    };
    let mut out = output(&eval.common)?;
    writeln!(out, "{told}")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn bench(bench: &Bench) -> anyhow::Result<ExitCode> {
    let common = &bench.common;
    let keys = keys(bench.keys(), common)?;
    let settings = Settings::of(&keys).map_err(explained)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    let progress = progress(common, 0);
    progress.set_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let tell = |what: &str| {
        progress.set_message(what.to_owned());
        progress.tick();
    };
    allocator::start();
    let (text, json) = if let Some([old, new]) = bench.compare.as_deref() {
        let comparison = Comparison::of(&Report::read(old)?, &Report::read(new)?);
        (comparison.to_string(), serde_json::to_string_pretty(&comparison)?)
    } else if let Some(axis) = bench.scaling {
        let (axis, most, seed) = (axis.into(), bench.scaling_max, bench.seed);
        let Settings { run, analyst, .. } = settings;
        let plan = scaling::Plan { axis, most, seed, run, analyst, heap: allocator::heap };
        let scaling = scaling::run(&plan, tell)?;
        if let Some(path) = &bench.plot {
            std::fs::write(path, scaling.svg())
                .with_context(|| format!("{}: cannot be written", path.display()))?;
        }
        (scaling.to_string(), serde_json::to_string_pretty(&scaling)?)
    } else {
        let plan = bench::Plan {
            files: bench.files.clone(),
            capture: settings.capture,
            run: settings.run,
            analyst: settings.analyst,
            stages: bench.stages(),
            media: bench.media(),
            loops: bench.loops(),
            speed: bench.speed,
            memory_max: bench.memory_max,
            heap: allocator::heap,
        };
        let report = bench::run(&plan, tell)?;
        (report.to_string(), serde_json::to_string_pretty(&report)?)
    };
    progress.finish_and_clear();
    let told = match bench.format.into() {
        Format::Text => text.trim_end(),
        Format::Json => &json,
    };
    let mut out = output(common)?;
    writeln!(out, "{told}")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn synth(synth: &Synth) -> anyhow::Result<ExitCode> {
    let (kind, plain) = match synth {
        Synth::Min(plain) => (Kind::Min, plain),
        Synth::Mix(plain) => (Kind::Mix, plain),
        Synth::Bulk(plain) => (Kind::Bulk, plain),
        Synth::Flows(plain) => (Kind::Flows, plain),
        Synth::Dns(names) => {
            return write_capture(&mut Lookups::new(names.options())?, &names.output);
        }
        Synth::Office(days) => {
            let office = days.office()?;
            if let Some(path) = &days.labels {
                std::fs::write(path, serde_json::to_string_pretty(&office.labels())?)
                    .with_context(|| format!("{}: cannot be written", path.display()))?;
            }
            return write_capture(&mut Packets::new(office, days.snap()), &days.output);
        }
    };
    write_capture(&mut Traffic::new(plain.options(kind))?, &plain.output)
}

fn write_capture(
    traffic: &mut impl Source<Error = Infallible>,
    path: &Path,
) -> anyhow::Result<ExitCode> {
    let mut write = || {
        let mut out = BufWriter::new(File::create(path)?);
        write_pcap(traffic, &mut out)?;
        out.flush()
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn warn(source: &FileSource) {
    for notice in source.notices() {
        eprintln!("sekisho: warning: {}", printable(&notice.to_string()));
    }
}

fn schema(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let schema = match of {
        SchemaOf::Alert => serde_json::to_value(schemars::schema_for!(Alert))?,
        SchemaOf::Flow => serde_json::to_value(schemars::schema_for!(FlowRecord))?,
        SchemaOf::Host => serde_json::to_value(schemars::schema_for!(HostRecord))?,
        SchemaOf::Destination => serde_json::to_value(schemars::schema_for!(DestinationRecord))?,
        SchemaOf::Baseline => serde_json::to_value(schemars::schema_for!(Profile))?,
        SchemaOf::Incident => serde_json::to_value(schemars::schema_for!(IncidentRow))?,
        SchemaOf::Ranking => serde_json::to_value(schemars::schema_for!(RankingEntry))?,
        SchemaOf::Summary => serde_json::to_value(schemars::schema_for!(Summary))?,
        SchemaOf::Rule => serde_json::to_value(schemars::schema_for!(RuleRow))?,
        SchemaOf::WhatIf => serde_json::to_value(schemars::schema_for!(WhatIf))?,
        SchemaOf::Bench => serde_json::to_value(schemars::schema_for!(Report))?,
        SchemaOf::Scaling => serde_json::to_value(schemars::schema_for!(scaling::Scaling))?,
        SchemaOf::Comparison => serde_json::to_value(schemars::schema_for!(Comparison))?,
        SchemaOf::Labels => serde_json::to_value(schemars::schema_for!(LabelsFile))?,
        SchemaOf::Eval => serde_json::to_value(schemars::schema_for!(eval::Report))?,
        SchemaOf::Grid => serde_json::to_value(schemars::schema_for!(GridReport))?,
        SchemaOf::Ramps => serde_json::to_value(schemars::schema_for!(RampsReport))?,
        SchemaOf::Rules => serde_json::to_value(
            RuleSet::schemas().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        )?,
    };
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

fn check_rules(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    let rules = match dir {
        Some(dir) => load_rules(dir)?,
        None => RuleSet::shipped(),
    };
    writeln!(io::stdout(), "{}", rules.summary())?;
    Ok(ExitCode::SUCCESS)
}

/// Loads a folder, or shows what is wrong with it.
fn load_rules(dir: &Path) -> anyhow::Result<RuleSet> {
    RuleSet::load(dir).map_err(|error| {
        eprintln!("{}", error.render(style(io::stderr().is_terminal())));
        anyhow!("{}: the rules cannot be used", dir.display())
    })
}

fn list_rules(list: &ListRules) -> anyhow::Result<ExitCode> {
    let rows = list.rows(&load_rules(&list.rules)?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    for row in rows {
        match list.format.into() {
            Format::Text => writeln!(out, "{row}")?,
            Format::Json => writeln!(out, "{}", serde_json::to_string(&row)?)?,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Flag, then environment, then file.
fn keys(typed: Keys, common: &Common) -> anyhow::Result<Keys> {
    Ok(match &common.config {
        Some(path) => typed.or(Keys::read(path)?),
        None => typed,
    })
}

/// A configuration error; one of the rules folder comes with its lines.
fn explained(error: sekisho::config::ConfigError) -> anyhow::Error {
    let sekisho::config::ConfigError::Rules(rules) = &error else { return error.into() };
    eprintln!("{}", rules.render(style(io::stderr().is_terminal())));
    anyhow!("the rules cannot be used")
}

fn style(is_terminal: bool) -> Style {
    if is_terminal { Style::Coloured } else { Style::Plain }
}

fn sink(common: &Common, format: Format) -> anyhow::Result<Box<dyn Sink>> {
    let to = output(common)?;
    Ok(match format {
        Format::Text => Box::new(Text::new(to)),
        Format::Json => Box::new(JsonLines::new(to)),
    })
}

fn output(common: &Common) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match &common.output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?,
        )),
        None => Box::new(BufWriter::new(io::stdout())),
    })
}

/// Lines that a terminal would break are cut; a pipe gets all of them.
fn width(common: &Common) -> Width {
    match terminal_size_of(io::stdout()) {
        Some((columns, _)) if common.output.is_none() => Width::Columns(columns.0.into()),
        Some(_) | None => Width::Any,
    }
}

/// Does somebody look at what is drawn on standard error?
fn is_seen(common: &Common) -> bool {
    !common.quiet && io::stderr().is_terminal()
}

/// A bar on standard error while it is a terminal; it shows itself only on long replays.
fn progress(common: &Common, total: u64) -> ProgressBar {
    if !is_seen(common) {
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

const NO_INSIDE: &str = "no flow has an inside end, so that the initiator is taken for the host; say what is inside with \
                         --internal CIDR,...";

const ALERTED: u8 = 1;
const COULD_NOT_RUN: u8 = 2;
