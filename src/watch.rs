//! `watch` and `interfaces`: signals, the service manager, and what is said beside alerts.

mod board;
mod checkpoint;
mod desk;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use self::board::Board;
use self::checkpoint::Checkpoint;
use self::desk::{Desk, Word};
use crate::cli::{Common, Diary, Keeper, ListFormatArg, ListInterfaces, Watch};
use crate::{ALERTED, explained, is_seen, keys, output};
use sekisho::alert::{Record, Summary};
use sekisho::capture::live::{Interfaces, LiveSource, Options, Reach, privilege};
use sekisho::capture::{Counters, Live};
use sekisho::config::{Format, Keys, Settings};
use sekisho::engine::{self, Analyst, Delays, Moment, Relief, WorkerCounters};
use sekisho::evidence::{Evidence, Haste, Tap};
use sekisho::metrics::{self, Attempt, Figures};
use sekisho::sink::{Bulletin, JsonLines, Sink, printable};
use sekisho::time::Timestamp;

/// Watches interfaces until somebody ends it.
pub(crate) fn watch(watch: &Arc<Watch>) -> anyhow::Result<ExitCode> {
    let common = &watch.common;
    let keys = keys(watch.keys(), common)?;
    if common.print_config {
        print!("{}", toml::to_string_pretty(&keys)?);
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        keys.since.is_none() && keys.until.is_none(),
        "since and until are for capture files; --duration ends a watch"
    );
    let settings = Settings::of(&keys).map_err(explained)?;
    let signals = Signals::listen().context("signals cannot be listened to")?;
    let sink = sink(common, settings.format)?;
    let options = Options {
        run_for: watch.duration.map(|length| length.0),
        record: watch.write.clone(),
        ..settings.live.clone()
    };
    let board = keys.metrics.as_deref().map(|path| Board::create(path, &settings));
    let board = board.transpose()?;
    let source = LiveSource::open(options, Arc::clone(&signals.stop))?;
    let evidence =
        settings.evidence.map(|options| Evidence::open(options, source.names(), Haste::Live));
    let mut source = Tap { source: Relief::new(source), evidence: evidence.transpose()? };
    let (keeper, diary, mut analyst) = watch.memory.open(Some(source.now()), &settings.analyst)?;
    // Before the first frame is looked at; all threads that look at frames are started after this.
    let reach = reach(watch, &keys);
    let confinement = privilege::give_up(&reach).context("privileges cannot be given up")?;

    let mut post = Post::new((sink, diary), keeper, common, source.now());
    post.board = board;
    post.log(source.now(), &confinement.to_string());
    post.tell_service(&[NotifyState::Ready]);
    let outcome = engine::watch(&mut source, &settings.run, &mut analyst, |mut moment| {
        if signals.reload.swap(false, Ordering::Relaxed) {
            post.desk.reload(Arc::clone(watch));
        }
        post.attend(&mut moment)
    });
    source.finish();
    post.tell_service(&[NotifyState::Stopping]);
    post.bar.finish_and_clear();
    post.settle(&mut analyst, source.now())?;
    let counted = outcome?;
    post.keeper.save(&analyst)?;
    post.saved = Attempt::good(source.now());
    analyst.rank_day();
    post.desk.tell(analyst.drain().collect());
    let mut summary = engine::summarize_watch(&source, &counted, &analyst);
    if let Some(evidence) = &mut source.evidence {
        let now = source.source.now();
        evidence.take_notices().iter().for_each(|notice| post.log(now, &notice.to_string()));
        evidence.sum_up(&mut summary);
    }
    let (counted, delays) = &counted;
    post.show(&summary, (counted, delays), &source.source.source, &analyst);
    let has_alerts = summary.alerts > 0;
    post.desk.tell(vec![Record::Summary(Box::new(summary))]);
    post.settle(&mut analyst, source.source.now())?;
    if let Some(board) = &post.board {
        board.finish();
    }
    let is_failure = watch.verdict.fail_on_alert && has_alerts;
    Ok(if is_failure { ExitCode::from(ALERTED) } else { ExitCode::SUCCESS })
}

/// What is opened anew while it runs: at `SIGHUP`, or to keep what outlives it.
fn reach(watch: &Watch, keys: &Keys) -> Reach {
    let mut reach = Reach::default();
    reach.read.extend(keys.rules.clone());
    let files = keys.mmdb.iter().flatten().chain(&watch.common.config);
    files.for_each(|file| reach.read_beside(file));
    reach.write.extend(keys.evidence.dir.iter().chain(watch.memory.dir()).cloned());
    let files = watch.common.output.iter().chain(&keys.metrics);
    files.for_each(|file| reach.write_anew(file));
    reach
}

/// Where alerts go.
fn sink(common: &Common, format: Format) -> anyhow::Result<Box<dyn Sink + Send>> {
    let to = append(common)?;
    Ok(match format {
        Format::Text => Box::new(Bulletin::new(to)),
        Format::Json => Box::new(JsonLines::new(to)),
    })
}

/// As [`output`], but a sensor that starts again adds to what it told before.
fn append(common: &Common) -> anyhow::Result<Box<dyn Write + Send>> {
    let Some(path) = &common.output else { return output(common) };
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Says what can be captured from, and what is missing for it.
pub(crate) fn interfaces(list: &ListInterfaces) -> anyhow::Result<ExitCode> {
    let known = Interfaces::list();
    let mut out = io::stdout().lock();
    if let ListFormatArg::Json = list.format {
        writeln!(out, "{}", serde_json::to_string_pretty(&known)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for interface in &known.interfaces {
        let state = match (interface.is_up, interface.has_carrier) {
            (false, _) => "down",
            (true, Some(false)) => "up, no carrier",
            (true, Some(true) | None) => "up",
        };
        let speed =
            interface.speed_mbit.map_or_else(String::new, |speed| format!("{speed} Mbit/s"));
        let (name, mtu) = (printable(&interface.name), interface.mtu);
        let mac = interface.mac.as_deref().unwrap_or_default();
        let line = format!("{name:<16} {state:<15} mtu {mtu:<6} {mac:<18} {speed}");
        writeln!(out, "{}", line.trim_end())?;
    }
    match &known.remedy {
        None => writeln!(out, "\nThis process may capture from them.")?,
        Some(remedy) => writeln!(
            out,
            "\nThis process may not capture: CAP_NET_RAW is missing. Run it as root, or once:\n  {remedy}"
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What signals ask for.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let signals = Self { stop: Arc::default(), reload: Arc::default() };
        for signal in [SIGTERM, SIGINT] {
            // The second one ends us at once; the order of these two makes it the second.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.stop))?;
            flag::register(signal, Arc::clone(&signals.stop))?;
        }
        flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        Ok(signals)
    }
}

/// Hands records to the desk, and tells what happens to the log, and how things stand to whoever looks.
struct Post {
    desk: Desk,
    keeper: Keeper,
    checkpoint: Checkpoint,
    /// How that went, and reading the rules.
    saved: Attempt,
    rules_read: Attempt,
    /// Where metrics are shown.
    board: Option<Board>,
    /// Once something cannot be told or kept, nothing more is.
    told: anyhow::Result<()>,
    /// On a terminal; hidden elsewhere.
    bar: ProgressBar,
    is_quiet: bool,
    /// How things stood when it was last said.
    then: Standing,
    next_ping: Timestamp,
    ping_every: Option<Duration>,
}

/// How things stood at one time.
#[derive(Debug, Default, Clone, Copy)]
struct Standing {
    at: Timestamp,
    frames: u64,
    wire_bytes: u64,
}

impl Post {
    fn new(
        (sink, diary): (Box<dyn Sink + Send>, Diary),
        keeper: Keeper,
        common: &Common,
        now: Timestamp,
    ) -> Self {
        let bar = if is_seen(common) { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        if is_seen(common) {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        Self {
            desk: Desk::new(sink, diary, is_seen(common).then(|| bar.clone())),
            keeper,
            checkpoint: Checkpoint::new(now),
            saved: Attempt::good(Timestamp::EPOCH),
            rules_read: Attempt::good(now),
            board: None,
            told: Ok(()),
            bar,
            is_quiet: common.quiet,
            then: Standing { at: now, ..Standing::default() },
            next_ping: Timestamp::EPOCH,
            ping_every: sd_notify::watchdog_enabled().map(|limit| limit / 2),
        }
    }

    fn attend(&mut self, moment: &mut Moment<'_, Tap<Relief<LiveSource>>>) -> ControlFlow<()> {
        let now = moment.source.now();
        let Relief { source: live, .. } = &mut moment.source.source;
        for notice in live.take_notices() {
            self.log(now, &notice.to_string());
        }
        for notice in moment.source.source.take_notices() {
            self.log(now, &notice.to_string());
        }
        moment.source.hear(&mut moment.records);
        let said = moment.source.evidence.as_mut().map(Evidence::take_notices);
        for notice in said.into_iter().flatten() {
            self.log(now, &notice.to_string());
        }
        self.checkpoint.note(&moment.records);
        if !moment.records.is_empty() {
            self.desk.tell(std::mem::take(&mut moment.records));
        }
        self.hear(moment.analyst, now);
        if self.keeper.learns() && self.checkpoint.is_due(now) {
            let from = moment.source.clock();
            self.desk.save(&self.keeper, moment.analyst);
            self.checkpoint.begun(from, moment.source.clock());
        }
        if let Some(trouble) = self.board.as_mut().and_then(Board::trouble) {
            self.log(now, &trouble);
        }
        self.tell_standing(moment, now);
        if self.board.as_mut().is_some_and(|board| board.is_due(now)) {
            let Moment { source, analyst, counted, delays, .. } = moment;
            let evidence = source.evidence.as_ref().map(Evidence::tally);
            let summary =
                Summary { evidence, ..engine::tally(source.counters(), counted, analyst) };
            self.show(&summary, (counted, delays), &source.source.source, analyst);
        }
        if self.told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Shows metrics where they are wanted.
    fn show(
        &mut self,
        summary: &Summary,
        (counted, delays): (&WorkerCounters, &Delays),
        live: &LiveSource,
        analyst: &Analyst,
    ) {
        let Some(board) = &mut self.board else { return };
        let ports: Vec<_> = live.ports().collect();
        let figures = Figures {
            summary,
            delays,
            ports: &ports,
            tables: &board.tables(counted.held, analyst),
            open_incidents: analyst.open_incidents(),
            untold_bytes: self.desk.waiting(),
            rules: self.rules_read,
            state: self.keeper.learns().then_some(self.saved),
            process: board.process(),
        };
        board.write(metrics::page(&figures));
    }

    /// Hears how things went at the desk.
    fn hear(&mut self, analyst: &mut Analyst, now: Timestamp) {
        while let Some(word) = self.desk.hear() {
            match word {
                Word::Broken(error) => self.told = Err(error),
                Word::Saved(outcome) => {
                    self.checkpoint.done();
                    self.saved.note(now, outcome.is_ok());
                    if let Err(error) = outcome {
                        self.log(now, &format!("{error:#}; tried again in an hour"));
                    }
                }
                Word::Unopened(error) => {
                    self.log(now, &format!("{error:#}; the old one stays open"));
                }
                Word::Read(outcome) => self.take(outcome, analyst, now),
            }
        }
    }

    /// Waits until all that was told by now is; fails when it could not be.
    fn settle(&mut self, analyst: &mut Analyst, now: Timestamp) -> anyhow::Result<()> {
        self.desk.finish();
        self.hear(analyst, now);
        std::mem::replace(&mut self.told, Ok(()))
    }

    /// Goes by rules that were read again. Bad ones change nothing.
    fn take(
        &mut self,
        outcome: anyhow::Result<Box<Settings>>,
        analyst: &mut Analyst,
        now: Timestamp,
    ) {
        match outcome {
            Ok(settings) => {
                let options = settings.analyst;
                let differs = analyst.reload(options.rules, options.alert.config_digest);
                self.rules_read.note(now, true);
                self.log(now, "rules reloaded");
                if differs {
                    self.log(now, "what is inside and the defaults change at the next start only");
                }
            }
            Err(error) => {
                self.rules_read.note(now, false);
                self.log(now, &format!("{error:#}; the old rules stay in force"));
            }
        }
    }

    fn log(&self, now: Timestamp, text: &str) {
        self.bar.suspend(|| eprintln!("sekisho: {now:.0} {}", printable(text)));
    }

    /// On a terminal some times a second, in a log once a minute; the service manager as often as it
    /// wants to hear.
    fn tell_standing(&mut self, moment: &Moment<'_, Tap<Relief<LiveSource>>>, now: Timestamp) {
        if now >= self.next_ping || now < self.then.at {
            self.tell_service(&[NotifyState::Watchdog]);
            self.next_ping = now.plus(self.ping_every.unwrap_or(EVERY_LOG));
        }
        let every = if self.bar.is_hidden() { EVERY_LOG } else { EVERY_LINE };
        // The machine's clock may be set back.
        if now < self.then.at.plus(every) && now >= self.then.at {
            return;
        }
        let counters = moment.source.counters();
        let text = standing(&counters, self.then, moment, now);
        let Counters { frames, wire_bytes, .. } = counters;
        self.then = Standing { at: now, frames, wire_bytes };
        self.tell_service(&[NotifyState::Status(&text)]);
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            self.bar.tick();
        } else if !self.is_quiet {
            self.log(now, &text);
        }
    }

    fn tell_service(&self, state: &[NotifyState<'_>]) {
        // Whether somebody listens changes nothing here.
        let _ = sd_notify::notify(state);
    }
}

fn standing(
    counters: &Counters,
    then: Standing,
    moment: &Moment<'_, Tap<Relief<LiveSource>>>,
    now: Timestamp,
) -> String {
    let secs = now.since(then.at).as_secs_f64().max(0.001);
    let packets = (counters.frames - then.frames) as f64 / secs;
    let mbit = (counters.wire_bytes - then.wire_bytes) as f64 * 8.0 / secs / 1e6;
    let (open, ports) = moment.source.source.source.open_ports();
    let shed = match counters.shed {
        0 => String::new(),
        shed => format!(", {shed} passed over"),
    };
    let delay = |share| moment.delays.quantile(share).as_secs_f64() * 1000.0;
    format!(
        "{open} of {ports} interfaces, {packets:.0} packets/s, {mbit:.1} Mbit/s, {} of {} packets lost{shed}, {} hosts, {} \
         flows, {} incidents open, verdicts after {:.0} ms, 99 % within {:.0} ms",
        counters.dropped,
        counters.frames + counters.dropped,
        moment.analyst.egress().hosts().len(),
        moment.counted.held,
        moment.analyst.open_incidents(),
        delay(0.5),
        delay(0.99),
    )
}

const EVERY_LINE: Duration = Duration::from_millis(500);
const EVERY_LOG: Duration = Duration::from_secs(60);
