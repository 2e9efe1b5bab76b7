//! The preparer: segments before and after their use, off the path of any message.
//!
//! Owns: the list of segments, the making of new ones, whether new messages may come. Takes: what the committer changed,
//! the oldest record that is needed, a disk. Gives: spares. Never: touches a segment in use; overwrites what is damaged,
//! that goes to `quarantine/`.
//!
//! A step is one small piece of work, so that whoever runs it can stop between two.

use super::commit::{Change, Spare};
use super::disk::Space;
use super::disk::{Disk, DiskError, FileKind, name_of, write_all};
use super::header::SEGMENT_HEAD;
use super::quarantine::{self, Wrong};
use super::recover::{Recovered, Segment};
use super::space::{Gate, SpaceLimits, Usage};
use super::{Geometry, Lsn};
use crate::limits::{JOURNAL_PREPARE_CHUNK, JOURNAL_SPACE_EVERY, JOURNAL_SPARES};
use crate::time::Instant;
use std::collections::VecDeque;

/// Why a file is in `quarantine/`.
pub(super) const WRITE_FAILED: &str = "write_failed";

/// What a step did.
#[derive(Debug)]
pub enum Done<F> {
    /// Something; there may be more.
    Some,
    /// A file for the committer.
    Spare(Spare<F>),
    /// Nothing is to be done now.
    Nothing,
}

/// Done strictly in order: no segment is touched before the older ones are gone for good, so what a restart finds is
/// always the end of the journal.
#[derive(Debug)]
enum Job {
    Rename(String, String),
    /// The header goes: from then on nobody reads the file.
    Blank(String),
    /// What is said of a file in `quarantine/`.
    Report(String, String),
}

#[derive(Debug)]
struct Making<F> {
    name: String,
    number: u64,
    file: F,
    at: u64,
}

/// The preparer of one shard.
#[derive(Debug)]
pub struct Preparer<F> {
    shard: u32,
    geometry: Geometry,
    segments: VecDeque<Segment>,
    /// Names of segments that are given back, and of files left from the last run.
    recycle: VecDeque<String>,
    unfinished: Vec<String>,
    jobs: VecDeque<Job>,
    making: Option<Making<F>>,
    /// Names of the spares that the committer has or is given.
    spares: Vec<String>,
    /// So many it is to have.
    spares_wanted: usize,
    number: u64,
    gate: Gate,
    space_at: Option<Instant>,
    /// Files in `quarantine/` of this run; their space stays used.
    quarantined: u64,
    /// What is wrong with those that the last run left.
    wrong: Wrong,
    /// The file system's, of late.
    space: Space,
    /// There is no spare, and none could be made.
    starved: bool,
}

impl<F> Preparer<F> {
    /// One that goes on where the last run ended.
    #[must_use]
    pub fn new(shard: u32, geometry: Geometry, limits: SpaceLimits, recovered: &Recovered) -> Self {
        let mut preparer = Self {
            shard,
            geometry,
            segments: recovered.segments.iter().cloned().collect(),
            recycle: VecDeque::new(),
            unfinished: recovered.unfinished.clone(),
            jobs: VecDeque::new(),
            making: None,
            spares: Vec::new(),
            spares_wanted: JOURNAL_SPARES,
            number: recovered.number,
            gate: Gate::new(limits, geometry.segment),
            space_at: None,
            quarantined: 0,
            wrong: Wrong::of(recovered),
            space: Space { free: 0, total: 0 },
            starved: false,
        };
        // What is read as no header may be another one on the disk, after a sync that failed.
        let void = recovered.void.iter().map(|segment| &segment.name);
        for name in recovered.spares.iter().chain(void) {
            preparer.jobs.push_back(Job::Blank(name.clone()));
            preparer.recycle.push_back(name.clone());
        }
        let spoilt = recovered.spoilt.iter();
        preparer
            .jobs
            .extend(spoilt.flat_map(|name| away(name, quarantine::empty(shard, name, WRITE_FAILED))));
        // One that nothing proves to be durable keeps its name: its header may be gone after the next power cut.
        let named = |segment: &&mut Segment| segment.kind == FileKind::Spare && segment.proven;
        for segment in preparer.segments.iter_mut().filter(named) {
            let name = name_of(FileKind::Segment, shard, segment.number);
            preparer.jobs.push_back(Job::Rename(core::mem::replace(&mut segment.name, name.clone()), name));
            segment.kind = FileKind::Segment;
        }
        preparer
    }

    /// The same for a journal that is to become as small as it can.
    #[must_use]
    pub fn sparing(self) -> Self {
        Self { spares_wanted: 1, ..self }
    }

    /// No spare is wanted any more.
    pub const fn ends(&mut self) {
        self.spares_wanted = 0;
    }

    /// From now on this is its `size_max`.
    pub const fn limit(&mut self, size_max: u64) {
        self.gate.limit(size_max);
    }

    /// What the committer did to its files.
    pub fn changed(&mut self, change: Change) {
        let (spare, number, base, kind) = match change {
            Change::Used { spare, number, base } => (spare, number, base, FileKind::Segment),
            Change::Failed { spare, number, base, .. } => (spare, number, base, FileKind::Spoilt),
        };
        // A file that fails after it was in use has its name as a segment by now, or will have.
        if let Some(known) = self.segments.iter_mut().find(|segment| segment.number == number) {
            let name = name_of(FileKind::Failed, self.shard, number);
            self.jobs.push_back(Job::Rename(core::mem::replace(&mut known.name, name.clone()), name));
            known.kind = FileKind::Failed;
            return;
        }
        let name = name_of(kind, self.shard, number);
        self.spares.retain(|known| *known != spare);
        self.jobs.push_back(Job::Rename(spare, name.clone()));
        self.segments.push_back(Segment {
            number,
            name,
            kind,
            base,
            length: self.geometry.segment,
            proven: true,
            damaged: false,
        });
    }

    /// True when new messages may be taken.
    #[must_use]
    pub const fn accepting(&self) -> bool {
        self.gate.is_open()
    }

    /// Segments that hold something.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Octets of all its files, those in `quarantine/` of this run among them.
    #[must_use]
    pub fn octets(&self) -> u64 {
        let files = self.segments.len() + self.recycle.len() + self.spares.len();
        (files as u64 + self.quarantined) * self.geometry.segment
            + self.making.as_ref().map_or(0, |making| making.at)
    }

    /// True while there is no spare and the last attempt to make one did not succeed: who waits for one may wait for long.
    #[must_use]
    pub const fn is_starved(&self) -> bool {
        self.starved
    }

    /// How much of its room is used, percent: of its own, or all of it when the file system is nearly full.
    #[must_use]
    pub fn used_percent(&self) -> u64 {
        if self.gate.wants_space(self.space) { 100 } else { self.gate.percent(self.used()) }
    }

    /// Octets of the files that hold something.
    fn used(&self) -> u64 {
        (self.segments.len() as u64 + self.quarantined) * self.geometry.segment
    }

    /// What the file system had when it was asked last.
    #[must_use]
    pub const fn space(&self) -> Space {
        self.space
    }

    /// One piece of work. `front`: the oldest record that is needed, as the disk knows it.
    ///
    /// # Errors
    /// The disk did not do what was asked; the same work is tried again in the next step.
    pub fn step<D: Disk<File = F>>(
        &mut self,
        now: Instant,
        front: Lsn,
        disk: &mut D,
    ) -> Result<Done<F>, DiskError> {
        let done = self.work(now, front, disk);
        match &done {
            Ok(Done::Spare(_)) => self.starved = false,
            Ok(Done::Nothing) | Err(_) => self.starved |= self.spares.is_empty(),
            Ok(Done::Some) => {}
        }
        done
    }

    fn work<D: Disk<File = F>>(
        &mut self,
        now: Instant,
        front: Lsn,
        disk: &mut D,
    ) -> Result<Done<F>, DiskError> {
        if let Some(job) = self.jobs.front() {
            let done = do_job(job, disk);
            if let (Err(_), Job::Blank(name)) = (&done, job) {
                // A file that fails is not used again.
                let name = name.clone();
                self.recycle.retain(|waiting| *waiting != name);
                self.quarantine(name);
            } else if done.is_ok() || matches!(job, Job::Report(..)) {
                // A report that cannot be written holds nothing up.
                self.jobs.pop_front();
                return Ok(Done::Some);
            }
            return done.map(|()| Done::Some);
        }
        if let Some(name) = self.unfinished.last() {
            disk.remove(name)?;
            self.unfinished.pop();
            return Ok(Done::Some);
        }
        if self.space_at.is_none_or(|at| now >= at) || !self.gate.is_open() {
            self.space_at = Some(now.after(JOURNAL_SPACE_EVERY));
            self.look(disk)?;
        }
        if self.give_back(front) {
            return Ok(Done::Some);
        }
        if self.spares.len() < self.spares_wanted
            && let Some(spare) = self.recycled(disk)?
        {
            return Ok(self.ready(spare));
        }
        if (self.gate.wants_space(self.space) || self.spares_wanted < JOURNAL_SPARES)
            && let Some(name) = self.recycle.back()
        {
            disk.remove(name)?;
            self.recycle.pop_back();
            self.space_at = None;
            return Ok(Done::Some);
        }
        self.make(disk)
    }

    /// Puts a file away instead of the first job.
    fn quarantine(&mut self, name: String) {
        self.jobs.pop_front();
        let report = quarantine::empty(self.shard, &name, "header_failed");
        away(&name, report).into_iter().rev().for_each(|job| self.jobs.push_front(job));
        self.quarantined += 1;
    }

    fn ready(&mut self, spare: Spare<F>) -> Done<F> {
        self.spares.push(spare.name.clone());
        self.space_at = None;
        Done::Spare(spare)
    }

    fn look<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        let space = disk.space()?;
        self.space = space;
        self.gate.decide(Usage { used: self.used(), spares: self.spares.len(), space });
        Ok(())
    }

    /// True when a segment stands in front of this record that can be given back once the disk knows that it is the oldest
    /// needed: the one behind it begins at or below it.
    #[must_use]
    pub fn gives_back(&self, front: Lsn) -> bool {
        self.segments.get(1).is_some_and(|next| next.base <= front)
    }

    /// Removes the files that hold nothing. For a journal whose committer has ended with everything in step.
    ///
    /// # Errors
    /// One cannot be removed: to be tried again.
    pub fn clear<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        self.unfinished.extend(self.making.take().map(|making| making.name));
        for names in [&mut self.spares, &mut self.unfinished] {
            while let Some(name) = names.last() {
                disk.remove(name)?;
                names.pop();
            }
        }
        Ok(())
    }

    fn give_back(&mut self, front: Lsn) -> bool {
        if !self.gives_back(front) {
            return false;
        }
        let Some(oldest) = self.segments.pop_front() else { return false };
        if oldest.damaged || matches!(oldest.kind, FileKind::Failed | FileKind::Spoilt) {
            let next = self.segments.front().map_or(oldest.base, |next| next.base);
            self.jobs.extend(away(&oldest.name, self.wrong.report(self.shard, &oldest, next)));
            self.quarantined += 1;
        } else {
            // From then on its name says that its octets are not needed.
            self.number += 1;
            let name = name_of(FileKind::Spare, self.shard, self.number);
            self.jobs.push_back(Job::Rename(oldest.name, name.clone()));
            self.jobs.push_back(Job::Blank(name.clone()));
            self.recycle.push_back(name);
        }
        true
    }

    /// The next file that held something once.
    fn recycled<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Option<Spare<F>>, DiskError> {
        let Some(name) = self.recycle.front() else { return Ok(None) };
        let file = disk.open(name)?;
        if disk.length(&file)? != self.geometry.segment {
            disk.remove(name)?;
            self.recycle.pop_front();
            return Ok(None);
        }
        Ok(self.recycle.pop_front().map(|name| Spare { name, file }))
    }

    fn make<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Done<F>, DiskError> {
        let Some(making) = &mut self.making else {
            let files = self.segments.len() + self.recycle.len() + self.spares.len();
            let files = files as u64 + self.quarantined;
            let wanted = self.spares.len() < self.spares_wanted && self.recycle.is_empty();
            let reserve = self.spares.is_empty();
            if !wanted || !self.gate.allows(files, disk.space()?, reserve) {
                return Ok(Done::Nothing);
            }
            self.number += 1;
            let (name, number) = (name_of(FileKind::Unfinished, self.shard, self.number), self.number);
            let file = disk.create(&name)?;
            self.making = Some(Making { name, number, file, at: 0 });
            return Ok(Done::Some);
        };
        if making.at < self.geometry.segment {
            let length = (self.geometry.segment - making.at).min(JOURNAL_PREPARE_CHUNK as u64);
            let written = write_all(disk, &making.file, making.at, &vec![0; length as usize]);
            if let Err(error) = written {
                self.unfinished.extend(self.making.take().map(|making| making.name));
                return Err(error);
            }
            making.at += length;
            return Ok(Done::Some);
        }
        let name = name_of(FileKind::Spare, self.shard, making.number);
        let finished = disk.sync(&making.file).and_then(|()| disk.rename(&making.name, &name));
        let made = self.making.take();
        match finished {
            Ok(()) => Ok(made.map_or(Done::Some, |made| self.ready(Spare { name, file: made.file }))),
            Err(error) => {
                // A file whose sync failed is given up, too.
                self.unfinished.extend(made.map(|made| made.name));
                Err(error)
            }
        }
    }
}

/// A file goes to `quarantine/`, and then what is said of it.
fn away(name: &str, report: String) -> [Job; 2] {
    let to = format!("quarantine/{name}");
    let beside = format!("{to}.json");
    [Job::Rename(name.to_owned(), to), Job::Report(beside, report)]
}

fn do_job<D: Disk>(job: &Job, disk: &mut D) -> Result<(), DiskError> {
    match job {
        Job::Rename(from, to) => disk.rename(from, to),
        Job::Report(name, text) => {
            let file = disk.create(name)?;
            write_all(disk, &file, 0, text.as_bytes())?;
            disk.sync(&file)
        }
        Job::Blank(name) => {
            let file = disk.open(name)?;
            write_all(disk, &file, 0, &[0; SEGMENT_HEAD])?;
            disk.sync(&file)
        }
    }
}
