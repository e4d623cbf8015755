//! Where records are told and alerts kept: on a thread of its own, so that no packet waits for a disk, or for whoever
//! reads what is told.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

use super::sink;
use crate::cli::{Diary, Keeper, Watch};
use crate::{explained, keys};
use sekisho::alert::Record;
use sekisho::config::Settings;
use sekisho::engine::Analyst;
use sekisho::scribe::Scribe;
use sekisho::sink::Sink;

/// Does what is slow, in the order in which it is told to.
pub(super) struct Desk {
    scribe: Scribe,
    drawer: Arc<Mutex<Drawer>>,
    say: Sender<Word>,
    words: Receiver<Word>,
}

/// How something went.
pub(super) enum Word {
    /// Nothing more is told or kept.
    Broken(anyhow::Error),
    /// Writing what was learned.
    Saved(anyhow::Result<()>),
    /// Reading the rules again.
    Read(anyhow::Result<Box<Settings>>),
    /// The output cannot be opened anew: the old one stays open.
    Unopened(anyhow::Error),
}

/// What its thread has in hand.
struct Drawer {
    sink: Box<dyn Sink + Send>,
    diary: Diary,
    /// On the terminal that records are told to. Nobody else can draw or log while it is suspended.
    bar: Option<ProgressBar>,
    is_broken: bool,
}

impl Desk {
    pub(super) fn new(sink: Box<dyn Sink + Send>, diary: Diary, bar: Option<ProgressBar>) -> Self {
        let drawer = Drawer { sink, diary, bar, is_broken: false };
        let (say, words) = channel();
        let scribe = Scribe::on_thread("output");
        Self { scribe, drawer: Arc::new(Mutex::new(drawer)), say, words }
    }

    /// Keeps and tells records.
    pub(super) fn tell(&self, records: Vec<Record>) {
        let bytes = (records.len() * RECORD_BYTES) as u64;
        self.ask(bytes, move |drawer, say| {
            let outcome = if drawer.is_broken { Ok(()) } else { drawer.tell(&records) };
            if let Err(error) = outcome {
                drawer.is_broken = true;
                say(Word::Broken(error));
            }
        });
    }

    /// Writes what was learned. It is put together before this returns, and on the disk later.
    pub(super) fn save(&self, keeper: &Keeper, analyst: &Analyst) {
        let say = self.say.clone();
        let done = move |outcome| say.send(Word::Saved(outcome)).unwrap_or_default();
        keeper.save_by(&self.scribe, analyst, done);
    }

    /// Reads rules and configuration again, and opens the output anew: it may have been moved away.
    pub(super) fn reload(&self, watch: Arc<Watch>) {
        self.ask(0, move |drawer, say| {
            let read = || Settings::of(&keys(watch.keys(), &watch.common)?).map_err(explained);
            let outcome = suspended(drawer.bar.as_ref(), read);
            if let (Ok(settings), Some(_)) = (&outcome, &watch.common.output) {
                match sink(&watch.common, settings.format) {
                    Ok(sink) => drawer.sink = sink,
                    Err(error) => say(Word::Unopened(error)),
                }
            }
            say(Word::Read(outcome.map(Box::new)));
        });
    }

    /// How what is done by now went.
    pub(super) fn hear(&self) -> Option<Word> {
        self.words.try_recv().ok()
    }

    /// Waits until all is done.
    pub(super) fn finish(&self) {
        self.scribe.finish(Duration::MAX);
    }

    /// Bytes that wait, about.
    pub(super) fn waiting(&self) -> u64 {
        self.scribe.waiting()
    }

    fn ask(&self, bytes: u64, deed: impl FnOnce(&mut Drawer, &dyn Fn(Word)) + Send + 'static) {
        let (drawer, say) = (Arc::clone(&self.drawer), self.say.clone());
        self.scribe.tell(bytes, move || {
            let mut drawer = drawer.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody hears any more once the watch is over.
            deed(&mut drawer, &|word| say.send(word).unwrap_or_default());
        });
    }
}

impl Drawer {
    fn tell(&mut self, records: &[Record]) -> anyhow::Result<()> {
        // What is told can be looked up.
        self.diary.keep(records)?;
        let Self { sink, bar, .. } = self;
        suspended(bar.as_ref(), || {
            records.iter().try_for_each(|record| sink.write(record))?;
            Ok(sink.flush()?)
        })
    }
}

fn suspended<T>(bar: Option<&ProgressBar>, then: impl FnOnce() -> T) -> T {
    match bar {
        Some(bar) => bar.suspend(then),
        None => then(),
    }
}

/// What a record that waits takes of memory, about.
const RECORD_BYTES: usize = 4 << 10;
