//! The journal's threads and files. Owns: the directory and its lock, a ring and a committer thread for each shard (with
//! `process` another one that syncs), one preparer thread for all, and one that reads messages back. Takes: settings; records
//! from the shards' `Appender`s. Gives: what the last run left, and how far everything is written and durable. Never: decides
//! what is written when (that is `journal`); makes a shard wait.

mod ahead;
mod beside;
mod former;
mod owner;
mod preparing;
mod recall;
mod ring;
mod said;
mod store;
mod watch;

pub use crate::journal::AppendRefused;
pub use former::Former;
pub use ring::{Appender, Wake};
pub use store::{Lock, ReadOnly, hold};
pub use watch::{State, Watch};

use super::Clock;
use crate::journal::commit::{Change, Committer, Identity, Next, Spare};
use crate::journal::prepare::{Done, Preparer};
use crate::journal::recover::{Place, Recovered, Recovery, Refusal, Report};
use crate::journal::space::SpaceLimits;
use crate::journal::{Cursors, DiskError, Durability, Erasing, Frame, Geometry, Lsn};
use crate::limits::{JOURNAL_BATCH_MAX, JOURNAL_SPARES, SHARDS_MAX};
use crate::shard::Surplus;
use crate::shard::port::Event;
use crate::time::Duration;
use preparing::{News, Prepared, Preparing};
use ring::{Asked, Recalls, Shared};
use said::Said;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{JoinHandle, Thread};
use store::Directory;

/// A committer that has nothing to do looks so often whether it is to end.
const IDLE: Duration = Duration::from_millis(500);
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
    /// How soon texts are gone that nobody needs.
    pub erasing: Erasing,
    /// A copy of a directory is opened even when somebody may write to the other one.
    pub adopt: bool,
}

/// Why a journal cannot be opened. Its files are as they were.
#[derive(Debug)]
pub enum OpenError {
    /// The directory is used by another process, or the system refuses.
    System(std::io::Error),
    /// It is a copy of one whose owner, which is named, did not end before it was made, and nobody said to adopt it.
    Copy(String),
    /// It cannot be read by this program.
    Refused(Refusal),
    /// It has files of this shard, and no node has so many.
    NoShard(u32),
    /// No segment can be prepared.
    NoSpace(DiskError),
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::System(error) => write!(out, "{error}"),
            Self::Copy(owner) => write!(
                out,
                "it is a copy of one whose owner ({owner}) did not end before it was made, or runs still; two that go on with one \
                 journal send its messages twice, and something may be missing here"
            ),
            Self::Refused(refusal) => write!(out, "{refusal}"),
            Self::NoShard(shard) => {
                write!(out, "it has files of shard {shard}, and no node has so many")
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

/// What a committer thread has.
struct Committing {
    committer: Committer<File>,
    disk: Directory,
    shared: Arc<Shared>,
    clock: Clock,
    said: Said,
    changes: Sender<Change>,
    spares: Receiver<Spare<File>>,
    preparer: Arc<OnceLock<Thread>>,
}

/// What all of a journal's shards have in common.
struct Ground {
    settings: Settings,
    /// The directory's id.
    journal: u128,
    directory: Directory,
    clock: Clock,
    /// The log.
    lines: SyncSender<Event>,
    preparer: Arc<OnceLock<Thread>>,
}

/// The threads of an open journal. Dropped: everything that was appended is written, as `durability` says, and they end.
pub struct Journal {
    ground: Ground,
    shared: Vec<Arc<Shared>>,
    /// Of shards that are no more, while they are written.
    others: Vec<Weak<Shared>>,
    others_octets: Arc<AtomicU64>,
    formers: Vec<Former>,
    committers: Vec<JoinHandle<()>>,
    preparer: Option<JoinHandle<()>>,
    /// Who reads messages back, and how it is told to end.
    recaller: Option<JoinHandle<()>>,
    ask: Sender<Asked>,
    news: SyncSender<News>,
    lock: Lock,
}

impl Journal {
    /// Takes the directory, reads what is there and starts the threads. `visit` gets each record of the last run, in the
    /// order of its shard, those of shards that are no more last; `wakes` has one for each shard.
    ///
    /// # Errors
    /// See `OpenError`.
    pub fn open(
        settings: &Settings,
        wakes: Vec<Wake>,
        (clock, lines): (Clock, SyncSender<Event>),
        visit: &mut dyn FnMut(u32, &Frame<'_>, &Place),
    ) -> Result<(Self, Vec<Start>), OpenError> {
        let taken = store::take(
            &settings.directory,
            u128::from(random()) << 64 | u128::from(random()),
            settings.adopt,
        )?;
        if let Some(shard) = taken.shards.iter().find(|shard| **shard as usize >= SHARDS_MAX) {
            return Err(OpenError::NoShard(*shard));
        }
        let (ask, asked) = channel();
        let others: Vec<u32> =
            taken.shards.iter().copied().filter(|shard| *shard >= settings.shards).collect();
        let (news, told) = sync_channel(2 * others.len());
        let ground = Ground {
            settings: settings.clone(),
            journal: taken.journal,
            directory: taken.directory,
            clock,
            lines,
            preparer: Arc::default(),
        };
        if let Some(owner) = taken.copy_of {
            said::copy_of(&ground.lines, &owner);
        }
        let mut journal = Self {
            ground,
            shared: Vec::new(),
            others: Vec::new(),
            others_octets: Arc::default(),
            formers: Vec::new(),
            committers: Vec::new(),
            preparer: None,
            news,
            recaller: None,
            ask,
            lock: taken.lock,
        };
        let (mut starts, mut prepared, mut askers) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, wake) in (0..settings.shards).zip(wakes) {
            let recovered = journal.ground.read(shard, visit)?;
            let shared = Shared::new(settings.ring, wake)?;
            let (give, come) = channel();
            let recalls = Recalls { shard: shard as usize, ask: journal.ask.clone(), come };
            askers.push(recall::Asker::new(shard, Arc::clone(&shared), give));
            let parts = journal.ground.begin(shard, &recovered, (&shared, recalls), false)?;
            let (preparing, appender) = journal.committer(shard, parts)?;
            journal.shared.push(shared);
            prepared.push(preparing);
            starts.push(Start { appender, end: recovered.end, report: recovered.report });
        }
        for shard in others {
            let mut texts = false;
            let recovered = journal.ground.read(shard, &mut |shard, frame, place| {
                texts |= former::has_text(frame);
                visit(shard, frame, place);
            })?;
            journal.formers.push(Former { shard, recovered, texts });
        }
        journal.prepare(prepared, told)?;
        let disk = ReadOnly::new(&settings.directory);
        let thread = std::thread::Builder::new().name("recall".into());
        journal.recaller = Some(thread.spawn(move || recall::run(askers, disk, &asked))?);
        journal.lock.begins_run()?;
        Ok((journal, starts))
    }

    fn prepare(&mut self, shards: Vec<Prepared>, news: Receiver<News>) -> std::io::Result<()> {
        let ground = &self.ground;
        let resting = self.formers.iter().map(Former::octets).sum();
        self.others_octets.store(resting, Ordering::Relaxed);
        let preparing = Preparing {
            shards,
            news,
            disk: ground.directory.clone(),
            clock: ground.clock,
            settings: ground.settings.clone(),
            resting,
            others: Arc::clone(&self.others_octets),
        };
        let (thread, woken) =
            (std::thread::Builder::new().name("prepare".into()), Arc::clone(&ground.preparer));
        let run = move || {
            let _ = woken.set(std::thread::current());
            preparing.run();
        };
        self.preparer = Some(thread.spawn(run)?);
        Ok(())
    }

    fn committer(&mut self, shard: u32, parts: Parts) -> std::io::Result<(Prepared, Appender)> {
        let (committing, prepared, appender) = parts;
        let thread = std::thread::Builder::new().name(format!("commit{shard}"));
        self.committers.push(thread.spawn(move || committing.run())?);
        Ok((prepared, appender))
    }

    /// What was read of shards that are no more, once.
    pub fn formers(&mut self) -> Vec<Former> {
        core::mem::take(&mut self.formers)
    }

    /// The journal of a shard that is no more is written again: what is not over in it goes elsewhere. Then it is given to
    /// `look_after`.
    ///
    /// # Errors
    /// As `open`.
    pub fn reopen(&mut self, former: Former) -> Result<Appender, OpenError> {
        let shared = Shared::new(self.ground.settings.ring, Box::new(|| ()))?;
        // Nothing is read back for a shard that is no more.
        let recalls = Recalls { shard: usize::MAX, ask: self.ask.clone(), come: channel().1 };
        let parts = self.ground.begin(former.shard, &former.recovered, (&shared, recalls), true)?;
        let (prepared, appender) = self.committer(former.shard, parts)?;
        self.others.push(Arc::downgrade(&shared));
        self.tell(News::Reopened(Box::new(prepared), former.octets()));
        Ok(appender)
    }

    /// Gives the files of such a journal back as soon as nobody needs what is in them, also not the sinks of call detail
    /// records.
    pub fn look_after(&self, surplus: Surplus, cursors: Option<Arc<Cursors>>) {
        self.tell(News::Surplus(Box::new(surplus), cursors));
    }

    fn tell(&self, news: News) {
        // There is room for all of it; a thread that has panicked said so.
        let _ = self.news.try_send(news);
        self.preparer.iter().for_each(|preparer| preparer.thread().unpark());
    }

    /// For whoever watches it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(&self.shared, Arc::clone(&self.others_octets))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let others = self.others.drain(..).filter_map(|shared| shared.upgrade());
        for shared in self.shared.iter().cloned().chain(others) {
            shared.ends();
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

impl Ground {
    fn read(
        &self,
        shard: u32,
        visit: &mut dyn FnMut(u32, &Frame<'_>, &Place),
    ) -> Result<Recovered, OpenError> {
        let recovery = Recovery { shard, journal: Some(self.journal) };
        let visit = &mut |frame: &Frame<'_>, place: &Place| visit(shard, frame, place);
        let mut recovered = ahead::read(recovery, self.directory.clone(), visit)?;
        // A report without names stops no start; it says that it has none.
        let concerned = recovery.concerned(&mut self.directory.clone(), &recovered);
        recovered.report.concerned = concerned.ok();
        Ok(recovered)
    }

    /// One shard's parts, with the first spare made. `is_former`: the shard is no more.
    fn begin(
        &self,
        shard: u32,
        recovered: &Recovered,
        (shared, recalls): (&Arc<Shared>, Recalls),
        is_former: bool,
    ) -> Result<Parts, OpenError> {
        let Self { settings, clock, .. } = self;
        let mut disk = self.directory.clone();
        let geometry = Geometry {
            segment: settings.segment,
            batch: JOURNAL_BATCH_MAX.min(settings.segment as usize / 4),
        };
        let fork = recovered.end.next();
        let first = Lsn(fork.0 - recovered.tail.len() as u64);
        let now = clock.now();
        let (journal, run) = (self.journal, recovered.next_run(now.wall));
        let (forks, number, front) = (recovered.forks.clone(), recovered.number, recovered.report.front);
        let identity = Identity { journal, shard, run, fork, forks, first, number, front };
        // A former one is soon to end with a segment that says nothing.
        let quick = Erasing { within: Duration::ZERO, ..settings.erasing };
        let erasing = if is_former { quick } else { settings.erasing };
        let committer = Committer::new(identity, geometry, settings.durability, random());
        let mut committer = committer.erasing(&erasing);
        // What is let go of in a former one makes room in the others.
        let size_max = if is_former { settings.size_max } else { preparing::share(settings, 0) };
        let limits = SpaceLimits { size_max, min_free: settings.min_free };
        let preparer = Preparer::new(shard, geometry, limits, recovered).erasing(&settings.erasing);
        let mut preparer = if is_former { preparer.sparing() } else { preparer };
        let mut said = Said::new(shard, now.mono, self.lines.clone());
        loop {
            match preparer.step(now.mono, Lsn::NONE, &mut disk).map_err(OpenError::NoSpace)? {
                Done::Some => {}
                Done::Away(name, why) => said.away(now.mono, &name, why),
                Done::Spare(spare) => break committer.give(spare),
                Done::Nothing => return Err(OpenError::NoSpace(DiskError::Full)),
            }
        }
        let mut appender =
            Appender::new(Arc::clone(shared), first, settings.durability, geometry.frame_max(), recalls);
        let restored = appender.restore(now, &recovered.tail);
        restored.map_err(|_| {
            OpenError::System(std::io::Error::other("ring: smaller than the one of the last run"))
        })?;
        let (changes, changed) = channel();
        let (give, spares) = sync_channel(JOURNAL_SPARES + 1);
        let former = (is_former.then_some(shard), said);
        let prepared = Prepared::new(preparer, Arc::clone(shared), changed, give, former);
        let said = Said::new(shard, now.mono, self.lines.clone());
        let mut disk = disk.timed(Arc::clone(&shared.syncs), *clock);
        if settings.durability == Durability::Process {
            let woken = Arc::clone(shared);
            disk = disk.syncing(format!("sync{shard}"), move || woken.wake_committer())?;
        }
        let (shared, clock, preparer) = (Arc::clone(shared), *clock, Arc::clone(&self.preparer));
        let committing = Committing { committer, disk, shared, clock, said, changes, spares, preparer };
        Ok((committing, prepared, appender))
    }
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
            let over =
                stop && (step.freed == tail || now.mono >= *closing.get_or_insert(now.mono.after(CLOSING)));
            if over {
                self.committer.ends();
            }
            while let Some(change) = self.committer.change() {
                if let Change::Failed { number, base, error, .. } = &change {
                    self.shared.failed_files.fetch_add(1, Ordering::Relaxed);
                    self.said.given_up(now.mono, *number, *base <= step.durable, *error);
                }
                // The preparer ends after this thread.
                let _ = self.changes.send(change);
                news = true;
            }
            self.said.disk(now.mono, self.shared.failing());
            if news && let Some(preparer) = self.preparer.get() {
                preparer.unpark();
            }
            if over {
                return;
            }
            let at_most = match step.next {
                Next::Now => continue,
                Next::Later(at) => {
                    self.shared.rest(at.since(now.mono));
                    continue;
                }
                Next::At(at) => at.since(now.mono),
                Next::Idle => IDLE,
                // The preparer may have been about to give one.
                Next::Spare => Duration::from_millis(10),
            };
            let waits_for_time = matches!(step.next, Next::At(_) | Next::Spare);
            let has_work =
                || self.shared.stop.load(Ordering::Acquire) && !waits_for_time || self.disk.has_synced();
            self.shared.wait(tail, at_most, has_work);
        }
    }
}
