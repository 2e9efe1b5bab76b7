//! The memory between a shard and its committer. Owns: one mapping and the counters beside it. Takes: records of one
//! producer. Gives: them to one consumer. Never: shows one side what the other one may be writing.
//!
//! The mapping is faulted in before it is used, so an append touches no page for the first time.
#![allow(unsafe_code, reason = "memory that two threads share")]

use crate::counters::Spans;
use crate::journal::commit::{Front, Next, Step};
use crate::journal::frame::{frame_len, write};
use crate::journal::header::time_ms;
use crate::journal::recover::Tail;
use crate::journal::ring::{Producer, Unfreed, pieces};
use crate::journal::{AppendRefused, DiskError, Durability, Lsn, Recall, Recalled, Record, Recorder};
use crate::limits::JOURNAL_RECALLS_MAX;
use crate::time::{Duration, Now};
use crossbeam_utils::CachePadded;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// How a shard that sleeps is woken.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What both sides see.
pub(super) struct Shared {
    base: *mut c_void,
    capacity: usize,
    tail: CachePadded<AtomicU64>,
    /// The oldest record needed, and the last record appended when that was so: the second is written first.
    front: CachePadded<AtomicU64>,
    front_as_of: AtomicU64,
    freed: CachePadded<AtomicU64>,
    written: AtomicU64,
    durable: AtomicU64,
    /// Why two files in a row have failed, `DiskError::number`; 0: they have not.
    failed: AtomicI32,
    /// The committer waits for a file that cannot be made for now: why.
    stuck: AtomicI32,
    /// The preparer has no file for it, and could not make one: why.
    pub(super) starved: AtomicI32,
    /// Segments below it may be given back.
    pub(super) given_back: AtomicU64,
    pub(super) accepting: AtomicBool,
    pub(super) failed_files: AtomicU64,
    pub(super) failed_preparations: AtomicU64,
    /// How much of its room is used.
    pub(super) used_percent: AtomicU64,
    /// Octets of its files, and of the file system: free for us and in all.
    pub(super) files: AtomicU64,
    pub(super) space_free: AtomicU64,
    pub(super) space_total: AtomicU64,
    /// How long syncs take.
    pub(super) syncs: Arc<Spans>,
    pub(super) stop: AtomicBool,
    committer_asleep: CachePadded<AtomicBool>,
    committer: OnceLock<Thread>,
    shard_asleep: CachePadded<AtomicBool>,
    /// Messages that were read back for the shard so far.
    recalled: AtomicU64,
    wake: Wake,
}

// SAFETY: the mapping belongs to the value; the producer writes only between the tail and what is freed, the consumer reads
// only between what is freed and the tail, and both bounds are atomics that are released and acquired.
unsafe impl Send for Shared {}
// SAFETY: as above; there is one `Appender` and one committer.
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and nobody else is left.
        let unmapped = unsafe { munmap(self.base, self.capacity) };
        debug_assert!(unmapped.is_ok());
    }
}

impl Shared {
    /// A ring of so many octets, a power of two and whole pages.
    pub(super) fn new(capacity: usize, wake: Wake) -> std::io::Result<Arc<Self>> {
        assert!(capacity.is_power_of_two() && capacity >= crate::journal::PAGE);
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that is in use.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), capacity, protection, flags) }?;
        let zero = || AtomicU64::new(0);
        Ok(Arc::new(Self {
            base,
            capacity,
            tail: CachePadded::new(zero()),
            front: CachePadded::new(zero()),
            front_as_of: zero(),
            freed: CachePadded::new(zero()),
            written: zero(),
            durable: zero(),
            failed: AtomicI32::new(0),
            stuck: AtomicI32::new(0),
            starved: AtomicI32::new(0),
            given_back: zero(),
            accepting: AtomicBool::new(true),
            failed_files: zero(),
            failed_preparations: zero(),
            used_percent: zero(),
            files: zero(),
            space_free: zero(),
            space_total: zero(),
            syncs: Arc::new(Spans::default()),
            stop: AtomicBool::new(false),
            committer_asleep: CachePadded::new(AtomicBool::new(false)),
            committer: OnceLock::new(),
            shard_asleep: CachePadded::new(AtomicBool::new(false)),
            recalled: zero(),
            wake,
        }))
    }

    /// How much of the ring is taken, and how much there is, octets.
    pub(super) fn ring(&self) -> (u64, u64) {
        // In this order: what is freed was below the tail before.
        let freed = self.freed.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        (tail.saturating_sub(freed).min(self.capacity as u64), self.capacity as u64)
    }

    /// Nothing can be promised for now: the disk fails.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire) != 0
    }

    /// Why nothing can be promised for now: the disk fails, or no other file can be made.
    pub(super) fn failing(&self) -> Option<DiskError> {
        let of = |cell: &AtomicI32| DiskError::of(cell.load(Ordering::Acquire));
        of(&self.failed).or_else(|| of(&self.stuck))
    }

    fn octets(&self, range: core::ops::Range<usize>) -> *mut [u8] {
        assert!(range.start <= range.end && range.end <= self.capacity);
        // SAFETY: with the assertion above the place is inside the mapping.
        let start = unsafe { self.base.cast::<u8>().add(range.start) };
        std::ptr::slice_from_raw_parts_mut(start, range.end - range.start)
    }

    /// What the committer may read now.
    pub(super) fn unfreed(&self) -> Unfreed<'_> {
        let tail = self.tail.load(Ordering::Acquire);
        let start = self.freed.load(Ordering::Relaxed);
        let (first, second) = pieces(self.capacity, start, tail);
        // SAFETY: the producer does not touch what is between `freed`, which only the committer moves, and the tail.
        unsafe { Unfreed { start, first: &*self.octets(first), second: &*self.octets(second) } }
    }

    pub(super) fn front(&self) -> Front {
        let lsn = Lsn(self.front.load(Ordering::Acquire));
        Front { lsn, as_of: Lsn(self.front_as_of.load(Ordering::Relaxed)) }
    }

    /// The committer's news. Wakes the shard if it sleeps.
    pub(super) fn publish(&self, step: &Step) {
        let stuck = if step.next == Next::Spare { self.starved.load(Ordering::Acquire) } else { 0 };
        let failed = step.failed.map_or(0, DiskError::number);
        let news = self.durable.load(Ordering::Relaxed) != step.durable.0
            || self.written.load(Ordering::Relaxed) < step.written.0
            || self.failed.load(Ordering::Relaxed) != failed
            || self.stuck.load(Ordering::Relaxed) != stuck;
        self.freed.store(step.freed, Ordering::Release);
        // What was said to be written stays so: the ring has it, and it is written again.
        self.written.fetch_max(step.written.0, Ordering::Release);
        self.durable.store(step.durable.0, Ordering::Release);
        self.failed.store(failed, Ordering::Release);
        self.stuck.store(stuck, Ordering::Release);
        self.given_back.store(step.front.0, Ordering::Release);
        if news {
            self.wake_shard();
        }
    }

    /// So many messages that the shard asked for are there.
    pub(super) fn has_recalled(&self, messages: u64) {
        self.recalled.fetch_add(messages, Ordering::Release);
        self.wake_shard();
    }

    /// Wakes the shard if it sleeps. What it must see was written before.
    fn wake_shard(&self) {
        fence(Ordering::SeqCst);
        if self.shard_asleep.load(Ordering::Relaxed) && self.shard_asleep.swap(false, Ordering::SeqCst) {
            (self.wake)();
        }
    }

    /// The committer waits until something is appended, or so long. `has_work`: what else it would miss.
    pub(super) fn wait(&self, seen: u64, at_most: Duration, has_work: impl Fn() -> bool) {
        let _ = self.committer.set(std::thread::current());
        self.committer_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.tail.load(Ordering::Acquire) == seen && !has_work() {
            std::thread::park_timeout(at_most);
        }
        self.committer_asleep.store(false, Ordering::Relaxed);
    }

    /// The committer waits so long, whatever is appended: nobody need wake it.
    pub(super) fn rest(&self, span: Duration) {
        std::thread::park_timeout(span);
    }

    /// The committer ends as soon as everything that was appended is in step with the disk.
    pub(super) fn ends(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_committer();
    }

    /// Wakes the committer if it sleeps. What it must see was written before.
    pub(super) fn wake_committer(&self) {
        fence(Ordering::SeqCst);
        if self.committer_asleep.load(Ordering::Relaxed)
            && self.committer_asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.committer.get()
        {
            thread.unpark();
        }
    }
}

/// A shard's end of its journal.
pub struct Appender {
    shared: Arc<Shared>,
    producer: Producer,
    durability: Durability,
    frame_max: usize,
    /// Who reads messages back, by whom it knows this shard, and what has come.
    recalls: Recalls,
    /// Messages that were asked for, and that came, so far.
    asked: u64,
    came: u64,
}

/// A shard's way to who reads messages back, and from there.
pub(super) struct Recalls {
    pub(super) shard: usize,
    pub(super) ask: Sender<Asked>,
    pub(super) come: Receiver<Recalled>,
}

/// What who reads messages back is told.
pub(super) enum Asked {
    /// A shard wants this one.
    For(usize, Recall),
    /// Nobody asks any more.
    End,
}

impl Appender {
    pub(super) fn new(
        shared: Arc<Shared>,
        first: Lsn,
        durability: Durability,
        frame_max: usize,
        recalls: Recalls,
    ) -> Self {
        shared.durable.store(first.previous().0, Ordering::Relaxed);
        shared.written.store(first.previous().0, Ordering::Relaxed);
        let frame_max = frame_max.min(shared.capacity / 2);
        let producer = Producer::new(shared.capacity, first);
        Self { producer, shared, durability, frame_max, recalls, asked: 0, came: 0 }
    }

    /// Appends again what may not be durable of the last run.
    pub(super) fn restore(&mut self, now: Now, tail: &[Tail]) -> Result<(), AppendRefused> {
        for record in tail {
            // Its time is told by the clock of this run from now on.
            let ago = now.wall.0.saturating_sub(record.wall.0).max(0) / 1000;
            let time = time_ms(now).wrapping_sub(ago as u32);
            // SAFETY: nothing is published yet: the committer reads nothing of the ring.
            let ring = unsafe { &mut *self.shared.octets(0..self.shared.capacity) };
            self.producer.append_again(ring, time, &record.frame).map_err(|_| AppendRefused::Full)?;
        }
        self.shared.tail.store(self.producer.used(), Ordering::Release);
        Ok(())
    }

    /// Appends a record. It is on its way to the disk with the next `kick`, at the latest.
    ///
    /// # Errors
    /// There is no room for it.
    #[inline]
    pub fn append(&mut self, now: Now, key: u64, record: &Record<'_>) -> Result<Lsn, AppendRefused> {
        let payload = record.len();
        let length = frame_len(payload);
        if length > self.frame_max {
            return Err(AppendRefused::TooLong);
        }
        let room = match self.producer.room(length) {
            Ok(room) => room,
            Err(_) => self.room_after_freeing(length)?,
        };
        if let Some(mark) = room.mark.clone() {
            // SAFETY: the room is between the tail and what is freed: the committer does not read it.
            unsafe { (*self.shared.octets(mark)).copy_from_slice(&Producer::mark()) };
        }
        let lsn = self.producer.next();
        let head = crate::journal::frame::Head { lsn, key, time_ms: time_ms(now) };
        // SAFETY: as above.
        write(unsafe { &mut *self.shared.octets(room.at.clone()) }, &head, record, payload);
        self.shared.tail.store(self.producer.filled(&room), Ordering::Release);
        Ok(lsn)
    }

    fn room_after_freeing(&mut self, length: usize) -> Result<crate::journal::ring::Room, AppendRefused> {
        self.producer.free(self.shared.freed.load(Ordering::Acquire));
        self.producer.room(length).map_err(|_| AppendRefused::Full)
    }

    /// Once a turn, when something was appended: wakes the committer if it sleeps.
    pub fn kick(&self) {
        self.shared.wake_committer();
    }

    /// The last record whose response may leave.
    #[must_use]
    pub fn answerable(&self) -> Lsn {
        self.durability.answerable(self.producer.next().previous(), self.written(), self.durable())
    }

    /// The last record that survives kill -9.
    #[must_use]
    pub fn written(&self) -> Lsn {
        Lsn(self.shared.written.load(Ordering::Acquire))
    }

    /// The last record that survives a power cut.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// Why nothing can be promised for now: two files in a row have failed, or no other one can be made.
    #[must_use]
    pub fn failed(&self) -> Option<DiskError> {
        self.shared.failing()
    }

    /// New messages may be taken; else they hear ESME_RMSGQFUL.
    #[must_use]
    pub fn accepting(&self) -> bool {
        self.shared.accepting.load(Ordering::Acquire)
    }

    /// Segments given up after a failed write or sync; pieces of the preparer's work that failed and were tried again.
    #[must_use]
    pub fn failures(&self) -> (u64, u64) {
        let shared = &self.shared;
        (shared.failed_files.load(Ordering::Relaxed), shared.failed_preparations.load(Ordering::Relaxed))
    }

    /// How full the ring is, percent.
    #[must_use]
    pub fn full_percent(&mut self) -> u64 {
        self.producer.free(self.shared.freed.load(Ordering::Acquire));
        self.producer.used() * 100 / self.shared.capacity as u64
    }

    /// Says which record is the oldest that is needed: `Book::front`, now.
    pub fn needs_from(&self, front: Lsn) {
        self.shared.front_as_of.store(self.producer.next().previous().0, Ordering::Relaxed);
        self.shared.front.store(front.0, Ordering::Release);
    }
}

impl Recorder for Appender {
    fn append(&mut self, now: Now, key: u64, record: &Record<'_>) -> Result<Lsn, AppendRefused> {
        Self::append(self, now, key, record)
    }

    fn kick(&self) {
        Self::kick(self);
    }

    fn written(&self) -> Lsn {
        Self::written(self)
    }

    fn durable(&self) -> Lsn {
        Self::durable(self)
    }

    fn failed(&self) -> Option<DiskError> {
        Self::failed(self)
    }

    fn accepting(&self) -> bool {
        Self::accepting(self)
    }

    fn full_percent(&mut self) -> u64 {
        Self::full_percent(self)
    }

    fn used_percent(&self) -> u64 {
        self.shared.used_percent.load(Ordering::Relaxed)
    }

    fn needs_from(&self, front: Lsn) {
        Self::needs_from(self, front);
    }

    fn recall(&mut self, recall: Recall) -> bool {
        let asks = self.asked - self.came < JOURNAL_RECALLS_MAX
            && self.recalls.ask.send(Asked::For(self.recalls.shard, recall)).is_ok();
        self.asked += u64::from(asks);
        asks
    }

    fn recalled(&mut self) -> Option<Recalled> {
        let recalled = self.recalls.come.try_recv().ok()?;
        self.came += 1;
        Some(recalled)
    }

    fn has_recalled(&self) -> bool {
        self.shared.recalled.load(Ordering::Acquire) > self.came
    }

    fn sleeps(&self, written: Lsn, durable: Lsn) -> bool {
        self.shared.shard_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let news = self.written() > written || self.durable() > durable || Recorder::has_recalled(self);
        if news {
            self.shared.shard_asleep.store(false, Ordering::Relaxed);
        }
        !news
    }
}
