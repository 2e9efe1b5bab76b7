//! The committer: from the ring to the disk, batch by batch.
//!
//! Owns: the segment in use, the spares, how far all is written and durable. Takes: the time, what the ring holds, the
//! oldest record that is needed, a disk. Gives: what may be answered, what the ring may use again, when it wants to be
//! called next. Never: writes a page twice, asks a file again that failed, says durable before the disk has.
//!
//! ```text
//! idle ──records──▶ written ──sync──▶ durable
//!                      └──an error──▶ the file is given up; all above durable is written again into the next spare
//! ```
//!
//! With `process` nothing waits for a sync: more is written while one is under way, also into the next file. Batches follow
//! each other at once until a sync is asked for, the next one then begins on a page of its own: what is durable is not
//! written again by a later sync, whatever becomes of it.

use super::disk::{Disk, DiskError, Syncing, write_all};
use super::frame::{Seed, seal};
use super::header::{BATCH_HEAD, BatchHeader, Fork, SEGMENT_HEAD, SegmentHeader};
use super::ring::Unfreed;
use super::{Erasing, Geometry, Lsn, whole_pages};
use crate::limits::{
    JOURNAL_FAILED_WAIT, JOURNAL_OFF_WRITE, JOURNAL_PROCESS_SYNC, JOURNAL_PROCESS_UNSYNCED,
    JOURNAL_WRITE_SOON,
};
use crate::prng::Prng;
use crate::time::{Duration, Instant, Now};
use std::collections::VecDeque;

/// `[journal] durability`: what a response waits for, and what it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing.
    Off,
    /// Written: kill -9, a panic.
    Process,
    /// Durable: also a power cut. A commit begins at most so long after its first record came, and not before the last
    /// one ended.
    Group(Duration),
    /// Durable, and no commit waits for company.
    Strict,
}

impl Durability {
    /// The last record whose response may leave.
    #[must_use]
    pub fn answerable(self, appended: Lsn, written: Lsn, durable: Lsn) -> Lsn {
        match self {
            Self::Off => appended,
            Self::Process => written,
            Self::Group(_) | Self::Strict => durable,
        }
    }
}

/// Whose journal it is, and where this run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The directory's id.
    pub journal: u128,
    /// The shard.
    pub shard: u32,
    /// This start of the process.
    pub run: u64,
    /// The first record that no earlier run has written.
    pub fork: Lsn,
    /// Where earlier runs began.
    pub forks: Vec<Fork>,
    /// The first record in the ring: `fork`, or the first of a tail that is written again.
    pub first: Lsn,
    /// The number of the last use of a file.
    pub number: u64,
    /// What earlier runs said last of the oldest record that is needed.
    pub front: Lsn,
}

/// A prepared file.
#[derive(Debug)]
pub struct Spare<F> {
    /// Its name.
    pub name: String,
    /// The file, whole and zeros or an earlier life.
    pub file: F,
    /// It holds an earlier life, and goes back to be wiped when it is not used by then; `None`: it is zeros.
    pub wiped_at: Option<Instant>,
}

/// What the preparer must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A spare holds durable records.
    Used {
        /// Its name so far.
        spare: String,
        /// The number of its use.
        number: u64,
        /// Its first record.
        base: Lsn,
    },
    /// A segment is not written to any longer.
    Sealed {
        /// The number of its use.
        number: u64,
        /// Behind its last batch.
        end: u64,
    },
    /// A spare that was not used in time.
    Returned {
        /// Its name.
        spare: String,
    },
    /// A write or sync failed: the file is read and never written again.
    Failed {
        /// Its name as a spare.
        spare: String,
        /// The number of its use.
        number: u64,
        /// Its first record.
        base: Lsn,
        /// Why.
        error: DiskError,
    },
}

/// The oldest record that a shard needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Front {
    /// It.
    pub lsn: Lsn,
    /// The last record that was appended when that was so.
    pub as_of: Lsn,
}

/// When the committer wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// Then, or when there is more in the ring.
    At(Instant),
    /// Then, and not before: what is in the ring waits for company.
    Later(Instant),
    /// When there is more in the ring.
    Idle,
    /// When there is a spare.
    Spare,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The last record that the kernel has.
    pub written: Lsn,
    /// The last record that the disk has.
    pub durable: Lsn,
    /// The ring may be used again up to here.
    pub freed: u64,
    /// The oldest record needed, as the disk knows it: segments below it may be given back.
    pub front: Lsn,
    /// The second file in a row has failed, and why: nothing can be promised for now.
    pub failed: Option<DiskError>,
    /// When to call again.
    pub next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    lsn: Lsn,
    position: u64,
    front: Lsn,
}

#[derive(Debug)]
struct Current<F> {
    spare: Spare<F>,
    header: SegmentHeader,
    seed: Seed,
    /// Where the next batch begins.
    at: u64,
    batches: u64,
    /// Some of it is durable, and the preparer knows.
    told: bool,
}

impl<F> Current<F> {
    /// For the preparer, once.
    fn tell(&mut self) -> Option<Change> {
        let (number, base) = (self.header.number, self.header.base);
        let change = Change::Used { spare: self.spare.name.clone(), number, base };
        (!core::mem::replace(&mut self.told, true)).then_some(change)
    }

    /// What was written is on its way to the disk: what follows touches none of its pages.
    const fn turn_page(&mut self) {
        self.at = whole_pages(self.at as usize) as u64;
    }
}

/// A sync beside the writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    None,
    /// Of the oldest file that needs one, as far as this.
    Upto(Mark),
    /// Of a file that was given up meanwhile.
    Stale,
}

/// The committer of one shard.
#[derive(Debug)]
pub struct Committer<F> {
    identity: Identity,
    geometry: Geometry,
    durability: Durability,
    epochs: Prng,
    number: u64,
    spares: VecDeque<Spare<F>>,
    current: Option<Current<F>>,
    /// Full files whose end is not durable yet, the oldest first, with the last record of each. What is not durable fits
    /// the ring, and so into two files.
    full: VecDeque<(Current<F>, Mark)>,
    beside: Beside,
    written: Mark,
    durable: Mark,
    staging: Vec<u8>,
    /// Since when something waits for the next commit.
    waiting_since: Option<Instant>,
    unsynced_since: Option<Instant>,
    /// When the last records were written.
    wrote_at: Option<Instant>,
    failures: u32,
    /// Why the last file failed.
    failed_by: Option<DiskError>,
    not_before: Instant,
    changes: VecDeque<Change>,
    /// What the shard said last of its oldest record.
    candidate: Front,
    /// The part of that which rests on durable records.
    front: Lsn,
    /// A segment is written to for so long.
    rotate: Option<Duration>,
}

impl<F> Committer<F> {
    /// One that has written nothing. `seed` is random: it gives each use of a file its epoch.
    #[must_use]
    pub fn new(identity: Identity, geometry: Geometry, durability: Durability, seed: u64) -> Self {
        assert!(geometry.segment.is_multiple_of(super::PAGE as u64) && geometry.frame_max() > 0);
        assert!(identity.first <= identity.fork);
        let mark = Mark { lsn: identity.first.previous(), position: 0, front: Lsn::NONE };
        Self {
            geometry,
            durability,
            epochs: Prng::new(seed),
            number: identity.number,
            spares: VecDeque::new(),
            current: None,
            full: VecDeque::new(),
            beside: Beside::None,
            written: mark,
            durable: mark,
            staging: Vec::with_capacity(whole_pages(geometry.batch + BATCH_HEAD) + super::PAGE),
            waiting_since: None,
            unsynced_since: None,
            wrote_at: None,
            failures: 0,
            failed_by: None,
            not_before: Instant::ZERO,
            changes: VecDeque::new(),
            candidate: Front::default(),
            // It rested on durable records when it was said.
            front: identity.front,
            identity,
            rotate: None,
        }
    }

    /// The same for a journal whose texts are erased like this.
    #[must_use]
    pub fn erasing(self, erasing: &Erasing) -> Self {
        Self { rotate: Some(erasing.rotate()), ..self }
    }

    /// Takes a prepared file.
    pub fn give(&mut self, spare: Spare<F>) {
        self.spares.push_back(spare);
    }

    /// Prepared files that wait.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.spares.len()
    }

    /// What the preparer must know.
    pub fn change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// It is called no more: its segment is sealed.
    pub fn ends(&mut self) {
        if let Some(current) = self.current.take() {
            self.seal(&current);
        }
    }

    fn seal(&mut self, sealed: &Current<F>) {
        self.changes.push_back(Change::Sealed {
            number: sealed.header.number,
            end: whole_pages(sealed.at as usize) as u64,
        });
    }

    /// A spare that was not used in time goes back: while there is another one, and the last one in the end, too.
    fn return_one(&mut self, now: Instant) {
        let more = if self.spares.len() > 1 { Duration::ZERO } else { self.rotate.unwrap_or_default() };
        let late = |spare: &Spare<F>| spare.wiped_at.is_some_and(|at| at.after(more) <= now);
        if let Some(at) = self.spares.iter().position(late)
            && let Some(spare) = self.spares.remove(at)
        {
            self.changes.push_back(Change::Returned { spare: spare.name });
        }
    }

    /// Writes at most one batch and asks for at most one sync. While one is under way it is to be called when
    /// `Disk::synced` has something to say.
    pub fn step<D: Disk<File = F>>(
        &mut self,
        now: Now,
        ring: &Unfreed<'_>,
        front: Front,
        disk: &mut D,
    ) -> Step {
        assert_eq!(ring.start, self.durable.position, "the ring holds all that is not durable");
        self.look_at(front);
        if let Some(error) = self.look_beside(disk) {
            let next = self.fail(now, error);
            return self.outcome(next);
        }
        self.return_one(now.mono);
        if now.mono < self.not_before {
            return self.outcome(Next::At(self.not_before));
        }
        let more = ring.end() > self.written.position;
        if more && self.waiting_since.is_none() {
            self.waiting_since = Some(now.mono);
        }
        let next = match self.work(now, ring, more, disk) {
            Ok(next) => next,
            Err(error) => self.fail(now, error),
        };
        self.outcome(next)
    }

    /// Looks at the sync that is under way; gives why it failed.
    fn look_beside<D: Disk<File = F>>(&mut self, disk: &mut D) -> Option<DiskError> {
        if self.beside == Beside::None {
            return None;
        }
        let synced = disk.synced()?;
        match (core::mem::replace(&mut self.beside, Beside::None), synced) {
            (Beside::Upto(mark), Ok(())) => {
                self.settled(mark);
                None
            }
            (Beside::Upto(_), Err(error)) => Some(error),
            (Beside::None | Beside::Stale, _) => None,
        }
    }

    /// A record below the front is not needed because of one that closed it: that one must be durable first.
    fn look_at(&mut self, front: Front) {
        if self.candidate.as_of <= self.durable.lsn {
            self.front = self.front.max(self.candidate.lsn);
            self.candidate = front;
        }
        if self.candidate.as_of <= self.durable.lsn {
            self.front = self.front.max(self.candidate.lsn);
        }
    }

    fn outcome(&self, next: Next) -> Step {
        debug_assert!(self.durable.lsn <= self.written.lsn);
        Step {
            written: self.written.lsn,
            durable: self.durable.lsn,
            freed: self.durable.position,
            front: self.durable.front,
            failed: self.failed_by.filter(|_| self.failures > 1),
            next,
        }
    }

    fn work<D: Disk<File = F>>(
        &mut self,
        now: Now,
        ring: &Unfreed<'_>,
        more: bool,
        disk: &mut D,
    ) -> Result<Next, DiskError> {
        if let Some(due) = self.sync_due(now)
            && now.mono >= due
        {
            self.sync_beside(disk)?;
            return Ok(Next::Now);
        }
        if !more {
            return Ok(self.sync_due(now).map_or(Next::Idle, Next::At));
        }
        if let Some(at) = self.waits_until().filter(|at| now.mono < *at)
            && ring.end() - self.written.position < JOURNAL_WRITE_SOON
        {
            return Ok(Next::Later(at));
        }
        let staged = self.stage(ring);
        if !self.has_place(now, disk)? {
            return Ok(Next::Spare);
        }
        self.write(&staged, disk)?;
        match self.durability {
            Durability::Off => self.settled(self.written),
            // What the last run had not synced is in both files until it is durable in ours: a process that is killed
            // again and again before its first sync must not need one more file each time.
            Durability::Process if self.is_young() => self.sync(disk)?,
            Durability::Process => {
                self.unsynced_since.get_or_insert(now.mono);
            }
            Durability::Group(_) | Durability::Strict => self.sync(disk)?,
        }
        (self.waiting_since, self.wrote_at) = (None, Some(now.mono));
        let more = ring.end() > self.written.position;
        Ok(if more { Next::Now } else { self.sync_due(now).map_or(Next::Idle, Next::At) })
    }

    /// What is in the ring is not written before then, unless it is much.
    fn waits_until(&self) -> Option<Instant> {
        match self.durability {
            Durability::Off => self.wrote_at.map(|at| at.after(JOURNAL_OFF_WRITE)),
            Durability::Group(window) => self.waiting_since.map(|since| since.after(window)),
            Durability::Process | Durability::Strict => None,
        }
    }

    /// Something of the last run is not durable in our files.
    fn is_young(&self) -> bool {
        self.durable.lsn < self.identity.fork.previous()
    }

    /// With `process`: when the next sync beside is to begin.
    fn sync_due(&self, now: Now) -> Option<Instant> {
        let since = self.unsynced_since.filter(|_| self.beside == Beside::None)?;
        let many = self.written.position - self.durable.position >= JOURNAL_PROCESS_UNSYNCED;
        Some(if many || !self.full.is_empty() { now.mono } else { since.after(JOURNAL_PROCESS_SYNC) })
    }

    /// Copies the next frames into the staging buffer; checksums are set when the segment is known.
    fn stage(&mut self, ring: &Unfreed<'_>) -> Mark {
        self.staging.clear();
        self.staging.resize(BATCH_HEAD, 0);
        let mut mark = Mark { front: self.front, ..self.written };
        while let Some((frame, octets, after)) = ring.frame(mark.position) {
            let length = self.staging.len() - BATCH_HEAD + octets.len();
            if length > self.geometry.batch && self.staging.len() > BATCH_HEAD {
                break;
            }
            assert_eq!(frame.lsn, mark.lsn.next(), "records are numbered without gaps");
            self.staging.extend_from_slice(octets);
            mark = Mark { lsn: frame.lsn, position: after, ..mark };
        }
        assert!(mark.lsn > self.written.lsn, "there was a whole record");
        mark
    }

    /// True when the staged batch has a segment to go to.
    fn has_place<D: Disk<File = F>>(&mut self, now: Now, disk: &mut D) -> Result<bool, DiskError> {
        let length = self.staging.len();
        assert!(
            (whole_pages(length) + SEGMENT_HEAD) as u64 <= self.geometry.segment,
            "every batch fits an empty segment"
        );
        if let Some(current) = &self.current
            && current.at + length as u64 <= self.geometry.segment
            && (!self.is_old(current, now) || self.spares.is_empty())
        {
            return Ok(true);
        }
        if self.spares.is_empty() {
            return Ok(false);
        }
        let Some(spare) = self.spares.pop_front() else { return Ok(false) };
        if self.durable.lsn < self.written.lsn
            && let Some(full) = self.current.take()
        {
            self.full.push_back((full, self.written));
        }
        self.ends();
        self.number += 1;
        let header = SegmentHeader {
            journal: self.identity.journal,
            shard: self.identity.shard,
            number: self.number,
            run: self.identity.run,
            epoch: self.epochs.bits(),
            base: self.written.lsn.next(),
            fork: self.identity.fork,
            forks: self.identity.forks.clone(),
            durable: self.durable.lsn,
            length: self.geometry.segment,
            wall: now.wall,
            mono: now.mono,
        };
        let seed = Seed::of(header.epoch);
        let page = header.to_page();
        let current = Current { spare, header, seed, at: SEGMENT_HEAD as u64, batches: 0, told: false };
        let current = self.current.insert(current);
        write_all(disk, &current.spare.file, 0, &[page, page].concat())?;
        Ok(true)
    }

    /// True when what is in a segment must not wait for what fills it.
    fn is_old(&self, current: &Current<F>, now: Now) -> bool {
        self.rotate.is_some_and(|rotate| now.mono.since(current.header.mono) >= rotate)
    }

    /// Writes what is staged, and zeros up to the end of the page: all of a page that is new to us is written, none of it
    /// read.
    fn write<D: Disk<File = F>>(&mut self, staged: &Mark, disk: &mut D) -> Result<(), DiskError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let octets = self.staging.len() - BATCH_HEAD;
        let header = BatchHeader {
            epoch: current.header.epoch,
            number: current.batches,
            first: self.written.lsn.next(),
            durable: self.durable.lsn,
            front: staged.front,
            records: (staged.lsn.0 - self.written.lsn.0) as u32,
            octets: octets as u32,
        };
        let (head, mut body) = self.staging.split_at_mut(BATCH_HEAD);
        head.copy_from_slice(&header.to_octets());
        while let Some(span) = super::frame::span(body) {
            let (frame, rest) = body.split_at_mut(span);
            seal(frame, current.seed);
            body = rest;
        }
        let end = current.at as usize + self.staging.len();
        self.staging.resize(whole_pages(end) - current.at as usize, 0);
        write_all(disk, &current.spare.file, current.at, &self.staging)?;
        current.at = end as u64;
        current.batches += 1;
        self.written = *staged;
        Ok(())
    }

    fn sync<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        self.current.iter_mut().for_each(Current::turn_page);
        let full = self.full.iter().map(|(full, _)| full);
        for file in full.chain(&self.current) {
            disk.sync(&file.spare.file)?;
        }
        self.settled(self.written);
        Ok(())
    }

    /// Begins the sync of the oldest file that needs one.
    fn sync_beside<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        let (file, upto) = match (self.full.front(), &mut self.current) {
            (Some((full, last)), _) => (&full.spare.file, *last),
            (None, Some(current)) => {
                self.unsynced_since = None;
                current.turn_page();
                (&current.spare.file, self.written)
            }
            (None, None) => return Ok(()),
        };
        match disk.sync_beside(file)? {
            Syncing::Done => self.settled(upto),
            Syncing::UnderWay => self.beside = Beside::Upto(upto),
        }
        Ok(())
    }

    /// What is written so far is durable, or as durable as was asked for.
    fn settled(&mut self, upto: Mark) {
        self.durable = upto;
        self.failures = 0;
        if upto == self.written {
            self.unsynced_since = None;
        }
        while let Some((mut full, _)) = self.full.pop_front_if(|(_, last)| last.lsn <= upto.lsn) {
            self.changes.extend(full.tell());
            self.seal(&full);
        }
        if let Some(current) = &mut self.current
            && upto.lsn >= current.header.base
        {
            self.changes.extend(current.tell());
        }
    }

    /// The files that are not durable are given up; the ring has everything that they may have lost.
    fn fail(&mut self, now: Now, error: DiskError) -> Next {
        self.failures += 1;
        self.failed_by = Some(error);
        self.written = self.durable;
        self.unsynced_since = None;
        if self.beside != Beside::None {
            self.beside = Beside::Stale;
        }
        for file in self.full.drain(..).map(|(full, _)| full).chain(self.current.take()) {
            let (number, base) = (file.header.number, file.header.base);
            self.changes.push_back(Change::Failed { spare: file.spare.name, number, base, error });
        }
        if self.failures == 1 {
            return Next::Now;
        }
        self.not_before = now.mono.after(JOURNAL_FAILED_WAIT);
        Next::At(self.not_before)
    }
}
