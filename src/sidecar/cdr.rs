//! Call detail records, to files. Owns: a thread for each sink of kind `file`. Takes: the journal's directory, how far it is
//! durable. Gives: a line for each FINISH, once, whatever ends the process; how far it is. Never: makes a shard wait; lets
//! go of a segment that it has not read.

mod erase;
pub(super) mod files;
mod sink;

pub use erase::Erased;
pub use sink::{Settings, Sink, SinkError};

use super::metrics::Page;
use crate::counters::Counter;
use crate::io::Clock;
use crate::journal::Cursors;
use crate::shard::port::{Event, Level};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// So often a sink that has everything looks for more.
const POLL: Duration = Duration::from_millis(500);
/// After a failure it is tried again so much later, twice as late each time.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// At most.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A failure that goes on is logged so often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Where a sink's log lines go.
pub type Log = Box<dyn FnMut(&Event) + Send>;

/// What one sink counts.
#[derive(Debug, Default)]
pub struct Cells {
    /// The path of its files, as configured: its name.
    pub path: String,
    /// Lines that are in a file, for good.
    pub written: Counter,
    /// Times that it failed and tried again.
    pub failed: Counter,
    /// Records of the journal that are durable and that it has not read yet.
    pub lag: Counter,
}

/// A number is to go from the files of a sink.
#[derive(Debug)]
pub struct Wish {
    /// It.
    pub number: String,
    /// The file of the key of what stands in its place.
    pub key: PathBuf,
    /// Where it is told what was done.
    pub done: Sender<Result<Erased, SinkError>>,
}

/// Tells a sink what is wished.
#[derive(Debug)]
pub struct Eraser {
    ask: Sender<Wish>,
    thread: Thread,
}

impl Eraser {
    /// It is done when the sink has time; one that has ended drops it.
    pub fn ask(&self, wish: Wish) {
        let _ = self.ask.send(wish);
        self.thread.unpark();
    }
}

/// A running sink. It ends with `stop`, or when it is dropped.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a sink on a thread of its own. It begins where its files end.
///
/// # Errors
/// The path cannot be one of a sink, or the system gives no thread.
pub fn start(settings: Settings, cursors: Arc<Cursors>, log: Log) -> std::io::Result<Started> {
    let cells = Arc::new(Cells { path: settings.cdr.path.display().to_string(), ..Cells::default() });
    let sink = Sink::new(settings, cursors, Arc::clone(&cells))?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, thread) = (Arc::clone(&stop), std::thread::Builder::new().name("cdr".into()));
    let (ask, wishes) = channel();
    let thread = thread.spawn(move || Attempts::new(log, wishes).run(sink, &stopped))?;
    let eraser = Eraser { ask, thread: thread.thread().clone() };
    Ok(Started { running: Running { stop, thread: Some(thread) }, cells, eraser })
}

/// A sink that was started.
#[derive(Debug)]
pub struct Started {
    /// Its thread.
    pub running: Running,
    /// What it counts.
    pub cells: Arc<Cells>,
    /// For telling it.
    pub eraser: Eraser,
}

impl Running {
    /// Writes what is durable by now, once, and ends. What cannot be written is in the journal for the next start.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there was printed by its thread; the journal has what it did not write.
            let _ = thread.join();
        }
    }
}

/// How a sink gets along with its disk.
struct Attempts {
    log: Log,
    clock: Clock,
    failures: u32,
    logged_at: Option<crate::time::Instant>,
    wishes: Receiver<Wish>,
}

impl Attempts {
    fn new(log: Log, wishes: Receiver<Wish>) -> Self {
        Self { log, clock: Clock::start(), failures: 0, logged_at: None, wishes }
    }

    /// An operator wants a number to go: that is said, and not which one.
    fn erase(&mut self, sink: &mut Sink) {
        while let Ok(wish) = self.wishes.try_recv() {
            let done = sink.erase(self.clock.now(), &wish.number, &wish.key);
            let fields = match &done {
                Ok(done) => vec![
                    ("files", done.files.to_string()),
                    ("lines", done.lines.to_string()),
                    ("left", done.left.len().to_string()),
                ],
                Err(error) => vec![("error", error.to_string())],
            };
            self.tell(Level::Warn, "privacy_erased", sink, fields);
            // Who asked may have gone.
            let _ = wish.done.send(done);
        }
    }

    fn run(mut self, mut sink: Sink, stop: &AtomicBool) {
        loop {
            // Before the turn: what is durable by then is written.
            let last = stop.load(Ordering::Acquire);
            self.erase(&mut sink);
            let wait = match sink.turn(self.clock.now()) {
                Ok(more) => {
                    self.well(&mut sink);
                    if more { Duration::ZERO } else { POLL }
                }
                Err(error) => self.failed(&sink, &error),
            };
            if last && (wait > Duration::ZERO) {
                if let Err(error) = sink.save() {
                    self.failed(&sink, &error);
                }
                return;
            }
            if wait > Duration::ZERO && !stop.load(Ordering::Acquire) {
                std::thread::park_timeout(wait);
            }
        }
    }

    fn well(&mut self, sink: &mut Sink) {
        for (name, records) in sink.lost() {
            self.tell(Level::Error, name, sink, vec![("records", records.to_string())]);
        }
        if self.failures > 0 {
            self.tell(Level::Info, "cdr_well", sink, vec![("attempts", self.failures.to_string())]);
        }
        (self.failures, self.logged_at) = (0, None);
    }

    /// Says how long to wait.
    fn failed(&mut self, sink: &Sink, error: &SinkError) -> Duration {
        sink.cells().failed.bump();
        let now = self.clock.mono();
        if self.logged_at.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            self.logged_at = Some(now);
            self.tell(Level::Error, "cdr_failed", sink, vec![("error", error.to_string())]);
        }
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        wait.min(RETRY_MAX)
    }

    fn tell(&mut self, level: Level, name: &'static str, sink: &Sink, fields: Vec<(&'static str, String)>) {
        let path = ("path", sink.cells().path.clone());
        let fields = core::iter::once(path).chain(fields).collect();
        (self.log)(&Event { level, name, fields });
    }
}

/// The sinks' part of `/metrics`.
pub(super) fn metrics(page: &mut Page, sinks: &[Arc<Cells>]) {
    if sinks.is_empty() {
        return;
    }
    page.counter("cdr_written_total", "Call detail records that are in a sink, for good.");
    for cells in sinks {
        page.sample(&[("sink", &cells.path)], cells.written.get());
    }
    page.counter("cdr_failed_total", "Times that a sink failed; it tries again.");
    for cells in sinks {
        page.sample(&[("sink", &cells.path)], cells.failed.get());
    }
    page.gauge(
        "cdr_lag_records",
        "Records of the journal that a sink has not read yet; their segments are kept.",
    );
    for cells in sinks {
        page.sample(&[("sink", &cells.path)], cells.lag.get());
    }
}
