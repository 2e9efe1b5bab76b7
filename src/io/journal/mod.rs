//! The journal's threads and files. Owns: the directory and its lock, a ring and a committer thread for each shard, one
//! preparer thread for all, and one that reads messages back. Takes: settings; records from the shards' `Appender`s. Gives:
//! what the last run left, and how far everything is written and durable. Never: decides what is written when (that is
//! `journal`); makes a shard wait.

mod ahead;
mod recall;
mod ring;
mod store;
mod watch;

pub use crate::journal::AppendRefused;
pub use ring::{Appender, Wake};
pub use store::ReadOnly;
pub use watch::{State, Watch};

use super::Clock;
use crate::journal::commit::{Change, Committer, Identity, Next, Spare};
use crate::journal::prepare::{Done, Preparer};
use crate::journal::recover::{Place, Recovered, Recovery, Refusal, Report};
use crate::journal::space::SpaceLimits;
use crate::journal::{DiskError, Durability, Frame, Geometry, Lsn};
use crate::limits::{JOURNAL_BATCH_MAX, JOURNAL_SPARES};
use crate::time::Duration;
use ring::{Asked, Recalls, Shared};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use store::{Directory, Lock};

/// A committer that has nothing to do looks so often whether it is to end.
const IDLE: Duration = Duration::from_millis(500);
/// While there is no room for another file, room is looked for this often.
const STARVED: Duration = Duration::from_millis(100);
/// At the end a disk that does nothing is waited for so long.
const CLOSING: Duration = Duration::from_secs(5);

/// `[journal]`, for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its files are.
    pub directory: PathBuf,
    /// Shards of the node.
    pub shards: u32,
    /// What responses wait for.
    pub durability: Durability,
    /// `segment_size`, octets.
    pub segment: u64,
    /// `size_max`, octets, of all shards.
    pub size_max: u64,
    /// `min_free`, percent.
    pub min_free: u8,
    /// Octets of a shard's ring, a power of two.
    pub ring: usize,
}

/// Why a journal cannot be opened. Its files are as they were.
#[derive(Debug)]
pub enum OpenError {
    /// The directory is used by another process, or the system refuses.
    System(std::io::Error),
    /// It cannot be read by this program.
    Refused(Refusal),
    /// It has records of this shard, which the node does not have.
    NoShard(u32),
    /// No segment can be prepared.
    NoSpace(DiskError),
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::System(error) => write!(out, "{error}"),
            Self::Refused(refusal) => write!(out, "{refusal}"),
            Self::NoShard(shard) => {
                write!(out, "the journal has records of shard {shard}, which this node does not have")
            }
            Self::NoSpace(error) => write!(out, "no segment can be prepared: {error}"),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// What a shard begins with.
pub struct Start {
    /// Its end of the journal.
    pub appender: Appender,
    /// The last record of the run before.
    pub end: Lsn,
    /// How that was read.
    pub report: Report,
}

/// What the preparer does for one shard.
struct Prepared {
    preparer: Preparer<File>,
    shared: Arc<Shared>,
    changes: Receiver<Change>,
    spares: SyncSender<Spare<File>>,
}

/// What a committer thread has.
struct Committing {
    committer: Committer<File>,
    disk: Directory,
    shared: Arc<Shared>,
    clock: Clock,
    changes: Sender<Change>,
    spares: Receiver<Spare<File>>,
    preparer: Arc<std::sync::OnceLock<std::thread::Thread>>,
}

/// The threads of an open journal. Dropped: everything that was appended is written, as `durability` says, and they end.
pub struct Journal {
    shared: Vec<Arc<Shared>>,
    committers: Vec<JoinHandle<()>>,
    preparer: Option<JoinHandle<()>>,
    /// Who reads messages back, and how it is told to end.
    recaller: Option<JoinHandle<()>>,
    ask: Sender<Asked>,
    _lock: Lock,
}

impl Journal {
    /// Takes the directory, reads what is there and starts the threads. `visit` gets each record of the last run, in the
    /// order of its shard; `wakes` has one for each shard.
    ///
    /// # Errors
    /// See `OpenError`.
    pub fn open(
        settings: &Settings,
        wakes: Vec<Wake>,
        clock: Clock,
        visit: &mut dyn FnMut(u32, &Frame<'_>, &Place),
    ) -> Result<(Self, Vec<Start>), OpenError> {
        let taken = store::take(&settings.directory, u128::from(random()) << 64 | u128::from(random()))?;
        if let Some(shard) = taken.shards.iter().find(|shard| **shard >= settings.shards) {
            return Err(OpenError::NoShard(*shard));
        }
        let woken = Arc::new(std::sync::OnceLock::new());
        let (ask, asked) = channel();
        let mut journal = Self {
            shared: Vec::new(),
            committers: Vec::new(),
            preparer: None,
            recaller: None,
            ask,
            _lock: taken.lock,
        };
        let (mut starts, mut prepared, mut askers) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, wake) in (0..settings.shards).zip(wakes) {
            let disk = taken.directory.clone();
            let recovery = Recovery { shard, journal: Some(taken.journal) };
            let recovered =
                ahead::read(recovery, disk.clone(), &mut |frame, place| visit(shard, frame, place))?;
            let shared = Shared::new(settings.ring, wake)?;
            let (give, come) = channel();
            let recalls = Recalls { shard: shard as usize, ask: journal.ask.clone(), come };
            askers.push(recall::Asker::new(shard, Arc::clone(&shared), give));
            let parts =
                begin(settings, shard, taken.journal, &recovered, (&shared, recalls), disk, clock, &woken)?;
            let (committing, preparing, appender) = parts;
            let thread = std::thread::Builder::new().name(format!("commit{shard}"));
            journal.shared.push(shared);
            journal.committers.push(thread.spawn(move || committing.run())?);
            prepared.push(preparing);
            starts.push(Start { appender, end: recovered.end, report: recovered.report });
        }
        let disk = taken.directory;
        let thread = std::thread::Builder::new().name("prepare".into());
        journal.preparer = Some(thread.spawn(move || prepare(prepared, disk, clock, &woken))?);
        let disk = ReadOnly::new(&settings.directory);
        let thread = std::thread::Builder::new().name("recall".into());
        journal.recaller = Some(thread.spawn(move || recall::run(askers, disk, &asked))?);
        Ok((journal, starts))
    }

    /// For whoever watches it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(&self.shared)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        for shared in &self.shared {
            shared.stop.store(true, Ordering::Release);
            shared.wake_committer();
        }
        // One that has ended needs not be told.
        let _ = self.ask.send(Asked::End);
        // A thread that panicked said so; there is nothing to be done for it.
        for committer in self.committers.drain(..) {
            let _ = committer.join();
        }
        if let Some(preparer) = self.preparer.take() {
            preparer.thread().unpark();
            let _ = preparer.join();
        }
        if let Some(recaller) = self.recaller.take() {
            let _ = recaller.join();
        }
    }
}

/// Different at each start.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Random octets that nobody can guess.
///
/// # Errors
/// The system has none.
pub fn salt() -> std::io::Result<[u8; 16]> {
    let mut octets = [0; 16];
    let filled = ::ring::rand::SecureRandom::fill(&::ring::rand::SystemRandom::new(), &mut octets);
    filled.map_err(|_| std::io::Error::other("the system gives no random octets"))?;
    Ok(octets)
}

type Parts = (Committing, Prepared, Appender);

/// One shard's parts, with the first spare made.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing of the node, the shard or the directory"
)]
fn begin(
    settings: &Settings,
    shard: u32,
    journal: u128,
    recovered: &Recovered,
    (shared, recalls): (&Arc<Shared>, Recalls),
    mut disk: Directory,
    clock: Clock,
    woken: &Arc<std::sync::OnceLock<std::thread::Thread>>,
) -> Result<Parts, OpenError> {
    let geometry =
        Geometry { segment: settings.segment, batch: JOURNAL_BATCH_MAX.min(settings.segment as usize / 4) };
    let fork = recovered.end.next();
    let first = Lsn(fork.0 - recovered.tail.len() as u64);
    let now = clock.now();
    let run = recovered.next_run(now.wall);
    let (forks, number, front) = (recovered.forks.clone(), recovered.number, recovered.report.front);
    let identity = Identity { journal, shard, run, fork, forks, first, number, front };
    let mut committer = Committer::new(identity, geometry, settings.durability, random());
    let size_max = settings.size_max / u64::from(settings.shards.max(1));
    let limits = SpaceLimits { size_max, min_free: settings.min_free };
    let mut preparer = Preparer::new(shard, geometry, limits, recovered);
    loop {
        match preparer.step(now.mono, Lsn::NONE, &mut disk).map_err(OpenError::NoSpace)? {
            Done::Some => {}
            Done::Spare(spare) => break committer.give(spare),
            Done::Nothing => return Err(OpenError::NoSpace(DiskError::Full)),
        }
    }
    let frame_max = geometry.frame_max();
    let mut appender = Appender::new(Arc::clone(shared), first, settings.durability, frame_max, recalls);
    let restored = appender.restore(now, &recovered.tail);
    restored.map_err(|_| {
        OpenError::System(std::io::Error::other("ring: smaller than the one of the last run"))
    })?;
    let (changes, changed) = channel();
    let (give, spares) = sync_channel(JOURNAL_SPARES + 1);
    let preparing = Prepared { preparer, shared: Arc::clone(shared), changes: changed, spares: give };
    let disk = disk.timed(Arc::clone(&shared.syncs), clock);
    let (shared, preparer) = (Arc::clone(shared), Arc::clone(woken));
    Ok((Committing { committer, disk, shared, clock, changes, spares, preparer }, preparing, appender))
}

impl Committing {
    fn run(mut self) {
        let mut closing = None;
        let mut front = Lsn::NONE;
        loop {
            while let Ok(spare) = self.spares.try_recv() {
                self.committer.give(spare);
            }
            // Before the look at the ring: what was appended before the stop is in it.
            let stop = self.shared.stop.load(Ordering::Acquire);
            let now = self.clock.now();
            let ring = self.shared.unfreed();
            let tail = ring.end();
            let step = self.committer.step(now, &ring, self.shared.front(), &mut self.disk);
            self.shared.publish(&step);
            let mut news = step.front != front;
            front = step.front;
            while let Some(change) = self.committer.change() {
                if matches!(change, Change::Failed { .. }) {
                    self.shared.failed_files.fetch_add(1, Ordering::Relaxed);
                }
                // The preparer ends after this thread.
                let _ = self.changes.send(change);
                news = true;
            }
            if news && let Some(preparer) = self.preparer.get() {
                preparer.unpark();
            }
            if stop && (step.freed == tail || now.mono >= *closing.get_or_insert(now.mono.after(CLOSING))) {
                return;
            }
            let at_most = match step.next {
                Next::Now => continue,
                Next::At(at) => at.since(now.mono),
                Next::Idle => IDLE,
                // The preparer may have been about to give one.
                Next::Spare => Duration::from_millis(10),
            };
            let waits_for_time = matches!(step.next, Next::At(_) | Next::Spare);
            let has_work = || self.shared.stop.load(Ordering::Acquire) && !waits_for_time;
            self.shared.wait(tail, at_most, has_work);
        }
    }
}

/// The preparer's thread: small pieces of work for each shard in turn, until all committers have ended.
fn prepare(
    mut shards: Vec<Prepared>,
    mut disk: Directory,
    clock: Clock,
    woken: &std::sync::OnceLock<std::thread::Thread>,
) {
    let _ = woken.set(std::thread::current());
    loop {
        let (mut worked, mut over, mut starved) = (false, true, false);
        for shard in &mut shards {
            loop {
                match shard.changes.try_recv() {
                    Ok(change) => shard.preparer.changed(change),
                    Err(TryRecvError::Empty) => break over = false,
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            let front = Lsn(shard.shared.given_back.load(Ordering::Acquire));
            match shard.preparer.step(clock.mono(), front, &mut disk) {
                Ok(Done::Some) => worked = true,
                Ok(Done::Spare(spare)) => {
                    worked = true;
                    // There is room for all spares; a committer that has ended needs none.
                    let _ = shard.spares.try_send(spare);
                    shard.shared.wake_committer();
                }
                Ok(Done::Nothing) => {}
                // It is tried again after the wait.
                Err(_) => {
                    shard.shared.failed_preparations.fetch_add(1, Ordering::Relaxed);
                }
            }
            shard.shared.accepting.store(shard.preparer.accepting(), Ordering::Release);
            starved |= shard.preparer.is_starved();
            shard.shared.starved.store(shard.preparer.is_starved(), Ordering::Release);
            shard.shared.used_percent.store(shard.preparer.used_percent(), Ordering::Relaxed);
            shard.shared.files.store(shard.preparer.octets(), Ordering::Relaxed);
            let space = shard.preparer.space();
            shard.shared.space_free.store(space.free, Ordering::Relaxed);
            shard.shared.space_total.store(space.total, Ordering::Relaxed);
        }
        if over {
            return;
        }
        if !worked {
            std::thread::park_timeout(if starved { STARVED } else { IDLE });
        }
    }
}
