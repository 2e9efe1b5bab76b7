//! The preparer: segments before and after their use, off the path of any message.
//!
//! Owns: the list of segments, the making of new ones, whether new messages may come. Takes: what the committer changed,
//! the oldest record that is needed, a disk. Gives: spares. Never: touches a page in use; overwrites what is damaged,
//! that goes to `quarantine/`.
//!
//! A file that is given back still says what was said in it. It is given to the committer again as it is, or, when that does
//! not come soon, wiped; what stands behind the last record of a segment is of an earlier use, and wiped as well.
//!
//! A step is one small piece of work, so that whoever runs it can stop between two.

use super::commit::{Change, Spare};
use super::disk::Space;
use super::disk::{Disk, DiskError, FileKind, name_of, write_all};
use super::header::SEGMENT_HEAD;
use super::quarantine::{self, Wrong};
use super::recover::{Recovered, Segment};
use super::space::{Gate, SpaceLimits, Usage};
use super::wipe::{Wipe, Wiped};
use super::{Erasing, Geometry, Lsn};
use crate::limits::{
    JOURNAL_PREPARE_CHUNK, JOURNAL_PREPARE_PAUSE, JOURNAL_PREPARE_PIECE, JOURNAL_SPACE_EVERY, JOURNAL_SPARES,
};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Nobody writes to it, so the system has one page of zeros for all of it.
static ZEROS: [u8; JOURNAL_PREPARE_PIECE] = [0; JOURNAL_PREPARE_PIECE];

/// Why a file is in `quarantine/`.
pub(super) const WRITE_FAILED: &str = "write_failed";
const HEADER_FAILED: &str = "header_failed";

/// What a step did.
#[derive(Debug)]
pub enum Done<F> {
    /// Something; there may be more.
    Some,
    /// A file for the committer.
    Spare(Spare<F>),
    /// A file stands in `quarantine/` now: its name there, and why.
    Away(String, &'static str),
    /// Nothing is to be done now.
    Nothing,
}

/// Done strictly in order: no segment is touched before the older ones are gone for good, so what a restart finds is
/// always the end of the journal.
#[derive(Debug)]
enum Job {
    Rename(String, String),
    /// A file goes to `quarantine/`, and why.
    Away(String, &'static str),
    /// The header goes: from then on nobody reads the file.
    Blank(String),
    /// What is said of a file in `quarantine/`.
    Report(String, String),
    /// A file that could not be wiped.
    Remove(String),
}

/// A file that holds nothing that is needed.
#[derive(Debug)]
struct Freed {
    name: String,
    /// Then it is wiped, unless it is in use by then; `None`: it need not be.
    wiped_at: Option<Instant>,
    /// The committer had it and did not need it in time: now it is wiped whatever comes.
    returned: bool,
}

/// What is being wiped.
#[derive(Debug)]
enum Of {
    /// A file without records.
    File,
    /// What stands behind the records of this segment.
    Segment(u64),
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
    /// Segments that are given back, and files left from the last run.
    recycle: VecDeque<Freed>,
    unfinished: Vec<String>,
    jobs: VecDeque<Job>,
    making: Option<Making<F>>,
    /// What is wiped now; its name.
    wiping: Option<(Of, Wipe<F>)>,
    /// Numbers of segments that could not be wiped: they are not written to again.
    spent: Vec<u64>,
    /// A file that was given back waits so long for its next use; `None`: nothing is wiped.
    reuse: Option<Duration>,
    /// The spares that the committer has or is given.
    spares: Vec<Freed>,
    /// So many it is to have.
    spares_wanted: usize,
    /// It has had them.
    settled: bool,
    /// When the committer took the last one, and how long the one before lasted.
    taken_at: Option<Instant>,
    lasted: Option<Duration>,
    /// It has taken one since the last step.
    taken: bool,
    number: u64,
    gate: Gate,
    space_at: Option<Instant>,
    /// What is wrong with those that the last run left.
    wrong: Wrong,
    /// The file system's, of late.
    space: Space,
    /// There is no spare, and why none could be made.
    starved: Option<DiskError>,
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
            wiping: None,
            spent: Vec::new(),
            reuse: None,
            spares: Vec::new(),
            spares_wanted: JOURNAL_SPARES,
            settled: false,
            taken_at: None,
            lasted: None,
            taken: false,
            number: recovered.number,
            gate: Gate::new(limits, geometry.segment),
            space_at: None,
            wrong: Wrong::of(recovered),
            space: Space { free: 0, total: 0 },
            starved: None,
        };
        // What is read as no header may be another one on the disk, after a sync that failed.
        let void = recovered.void.iter().map(|segment| &segment.name);
        for name in recovered.spares.iter().chain(void) {
            preparer.jobs.push_back(Job::Blank(name.clone()));
            preparer.recycle.push_back(Freed { name: name.clone(), wiped_at: None, returned: false });
        }
        let spoilt = recovered.spoilt.iter();
        preparer.jobs.extend(
            spoilt.flat_map(|name| away(name, (WRITE_FAILED, quarantine::empty(shard, name, WRITE_FAILED)))),
        );
        // One that nothing proves to be durable keeps its name: its header may be gone after the next power cut.
        let named = |segment: &&mut Segment| segment.kind == FileKind::Spare && segment.proven;
        for segment in preparer.segments.iter_mut().filter(named) {
            let name = name_of(FileKind::Segment, shard, segment.number);
            preparer.jobs.push_back(Job::Rename(core::mem::replace(&mut segment.name, name.clone()), name));
            segment.kind = FileKind::Segment;
        }
        preparer
    }

    /// The same for a journal whose texts are erased like this. Nobody knows how old what an earlier run left is.
    #[must_use]
    pub fn erasing(mut self, erasing: &Erasing) -> Self {
        self.reuse = Some(erasing.reuse());
        self.recycle.iter_mut().for_each(|freed| freed.wiped_at = Some(Instant::ZERO));
        self
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
            Change::Sealed { number, end } => return self.sealed(number, end),
            Change::Returned { spare } => return self.returned(&spare),
        };
        // A file that fails after it was in use has its name as a segment by now, or will have.
        if let Some(known) = self.segments.iter_mut().find(|segment| segment.number == number) {
            let name = name_of(FileKind::Failed, self.shard, number);
            self.jobs.push_back(Job::Rename(core::mem::replace(&mut known.name, name.clone()), name));
            known.kind = FileKind::Failed;
            return;
        }
        self.taken = true;
        let name = name_of(kind, self.shard, number);
        let given = self.spares.iter().position(|known| known.name == spare);
        let is_stale = given.is_some_and(|at| self.spares.remove(at).wiped_at.is_some());
        self.jobs.push_back(Job::Rename(spare, name.clone()));
        self.segments.push_back(Segment {
            number,
            name,
            kind,
            base,
            length: self.geometry.segment,
            proven: true,
            damaged: false,
            // It is told where that begins when it is sealed.
            stale: is_stale.then_some(self.geometry.segment),
        });
    }

    fn sealed(&mut self, number: u64, end: u64) {
        let known = self.segments.iter_mut().find(|segment| segment.number == number);
        if let Some(known) = known {
            known.stale = known.stale.map(|_| end).filter(|end| *end < known.length);
        }
    }

    /// The committer did not need it in time.
    fn returned(&mut self, spare: &str) {
        let Some(at) = self.spares.iter().position(|known| known.name == spare) else { return };
        let name = self.spares.remove(at).name;
        self.recycle.push_back(Freed { name, wiped_at: Some(Instant::ZERO), returned: true });
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

    /// Octets of all its files. Those in `quarantine/` are none of them any more, in this run as after the next start.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.files() * self.geometry.segment + self.making.as_ref().map_or(0, |making| making.at)
    }

    /// All of them that are whole.
    fn files(&self) -> u64 {
        let wiped = usize::from(matches!(self.wiping, Some((Of::File, _))));
        (self.segments.len() + self.recycle.len() + self.spares.len() + wiped) as u64
    }

    /// Why there is no spare, when the last attempt to make one did not succeed: who waits for one may wait for long.
    #[must_use]
    pub const fn starved(&self) -> Option<DiskError> {
        self.starved
    }

    /// How long to do nothing after a piece: not at all while there is no spare, so that its shard takes no new messages or is
    /// about to, nor after a start before there are as many as there are to be. Else so long that a segment is made in a
    /// quarter of the time in which the last one was full.
    #[must_use]
    pub fn pause(&self) -> Duration {
        if self.spares.is_empty() || !self.settled {
            return Duration::ZERO;
        }
        let pieces = self.geometry.segment.div_ceil(JOURNAL_PREPARE_PIECE as u64);
        let share = u32::try_from(4 * pieces).unwrap_or(u32::MAX);
        let own = self.lasted.and_then(|lasted| lasted.checked_div(share));
        own.unwrap_or(JOURNAL_PREPARE_PAUSE).min(JOURNAL_PREPARE_PAUSE)
    }

    /// How much of its room is used, percent: of its own, or all of it when the file system is nearly full.
    #[must_use]
    pub fn used_percent(&self) -> u64 {
        if self.gate.wants_space(self.space) { 100 } else { self.gate.percent(self.used()) }
    }

    /// Octets of the files that hold something.
    fn used(&self) -> u64 {
        self.segments.len() as u64 * self.geometry.segment
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
        if core::mem::take(&mut self.taken) {
            self.lasted = self.taken_at.map(|at| now.since(at));
            self.taken_at = Some(now);
        }
        let done = self.work(now, front, disk);
        match &done {
            Ok(Done::Spare(_)) => self.starved = None,
            Ok(Done::Nothing) if self.spares.is_empty() => self.starved = Some(DiskError::Full),
            Err(error) if self.spares.is_empty() => self.starved = Some(*error),
            Ok(Done::Some | Done::Nothing | Done::Away(..)) | Err(_) => {}
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
                self.recycle.retain(|waiting| waiting.name != name);
                self.quarantine(name);
            } else if done.is_ok() || matches!(job, Job::Report(..)) {
                // A report that cannot be written holds nothing up.
                return Ok(match self.jobs.pop_front() {
                    Some(Job::Away(name, why)) => Done::Away(name, why),
                    _ => Done::Some,
                });
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
        if self.give_back(now, front) {
            return Ok(Done::Some);
        }
        if self.spares.len() < self.spares_wanted
            && let Some(spare) = self.recycled(now, disk)?
        {
            return Ok(self.ready(spare));
        }
        if (self.gate.wants_space(self.space) || self.spares_wanted < JOURNAL_SPARES)
            && let Some(freed) = self.recycle.back()
        {
            disk.remove(&freed.name)?;
            self.recycle.pop_back();
            self.space_at = None;
            return Ok(Done::Some);
        }
        // Without a spare a new file comes first, unless one is nearly wiped.
        let can_wait = self.spares.is_empty() && self.wiping.is_none();
        if !can_wait && self.wipe(now, disk)? {
            return Ok(Done::Some);
        }
        let made = self.make(disk)?;
        let nothing = matches!(made, Done::Nothing);
        Ok(if nothing && can_wait && self.wipe(now, disk)? { Done::Some } else { made })
    }

    /// One piece of wiping; false: there is nothing to wipe now.
    fn wipe<D: Disk<File = F>>(&mut self, now: Instant, disk: &mut D) -> Result<bool, DiskError> {
        let Some((of, mut wipe)) = self.wiping.take().or_else(|| self.next_wipe(now)) else {
            return Ok(false);
        };
        let wiped = wipe.step(disk);
        match (of, &wiped) {
            (of, Ok(Wiped::Some)) => self.wiping = Some((of, wipe)),
            (Of::File, Ok(Wiped::All)) => {
                self.recycle.push_back(Freed { name: wipe.name, wiped_at: None, returned: false });
            }
            // A file that fails is not used again.
            (Of::File, Err(_)) => self.jobs.push_back(Job::Remove(wipe.name)),
            (Of::Segment(number), result) => {
                self.spent.extend(result.is_err().then_some(number));
                let known = self.segments.iter_mut().find(|segment| segment.number == number);
                known.into_iter().for_each(|segment| segment.stale = None);
            }
        }
        wiped.map(|_| true)
    }

    /// What stands behind the records of a segment, else a file that waited long enough.
    fn next_wipe(&mut self, now: Instant) -> Option<(Of, Wipe<F>)> {
        self.reuse?;
        let is_sound = |segment: &&Segment| {
            !segment.damaged && matches!(segment.kind, FileKind::Segment | FileKind::Spare)
        };
        for segment in self.segments.iter().filter(is_sound) {
            if let Some(from) = segment.stale.filter(|from| *from < segment.length) {
                let octets = from..segment.length;
                return Some((Of::Segment(segment.number), Wipe::new(segment.name.clone(), octets)));
            }
        }
        let due = |freed: &Freed| freed.wiped_at.is_some_and(|at| at <= now);
        let at = self.recycle.iter().position(due)?;
        let octets = SEGMENT_HEAD as u64..self.geometry.segment;
        self.recycle.remove(at).map(|freed| (Of::File, Wipe::new(freed.name, octets)))
    }

    /// Puts a file away instead of the first job.
    fn quarantine(&mut self, name: String) {
        self.jobs.pop_front();
        let report = quarantine::empty(self.shard, &name, HEADER_FAILED);
        away(&name, (HEADER_FAILED, report)).into_iter().rev().for_each(|job| self.jobs.push_front(job));
    }

    fn ready(&mut self, spare: Spare<F>) -> Done<F> {
        let (name, wiped_at) = (spare.name.clone(), spare.wiped_at);
        self.spares.push(Freed { name, wiped_at, returned: false });
        self.settled |= self.spares.len() >= self.spares_wanted;
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

    /// The first record of the newest segment.
    #[must_use]
    pub fn newest(&self) -> Option<Lsn> {
        self.segments.back().map(|segment| segment.base)
    }

    /// Removes the files that hold nothing. For a journal whose committer has ended with everything in step.
    ///
    /// # Errors
    /// One cannot be removed: to be tried again.
    pub fn clear<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        self.unfinished.extend(self.making.take().map(|making| making.name));
        self.unfinished.extend(self.spares.drain(..).map(|spare| spare.name));
        while let Some(name) = self.unfinished.last() {
            disk.remove(name)?;
            self.unfinished.pop();
        }
        Ok(())
    }

    fn give_back(&mut self, now: Instant, front: Lsn) -> bool {
        if !self.gives_back(front) {
            return false;
        }
        let Some(oldest) = self.segments.pop_front() else { return false };
        if matches!(&self.wiping, Some((Of::Segment(number), _)) if *number == oldest.number) {
            self.wiping = None;
        }
        if oldest.damaged || matches!(oldest.kind, FileKind::Failed | FileKind::Spoilt) {
            let next = self.segments.front().map_or(oldest.base, |next| next.base);
            let report = self.wrong.report(self.shard, &oldest, next);
            self.jobs.extend(away(&oldest.name, (quarantine::why(&oldest), report)));
        } else if let Some(at) = self.spent.iter().position(|number| *number == oldest.number) {
            self.spent.remove(at);
            self.jobs.push_back(Job::Remove(oldest.name));
        } else {
            // From then on its name says that its octets are not needed.
            self.number += 1;
            let name = name_of(FileKind::Spare, self.shard, self.number);
            self.jobs.push_back(Job::Rename(oldest.name, name.clone()));
            self.jobs.push_back(Job::Blank(name.clone()));
            // Of one that was not wiped behind its records nobody knows how old what it says is.
            let wait = if oldest.stale.is_some() { Duration::ZERO } else { self.reuse.unwrap_or_default() };
            let wiped_at = self.reuse.map(|_| now.after(wait));
            self.recycle.push_back(Freed { name, wiped_at, returned: false });
        }
        true
    }

    /// The next file that held something once. One that is to be wiped by now is used without that only where the
    /// committer has no other one.
    fn recycled<D: Disk<File = F>>(
        &mut self,
        now: Instant,
        disk: &mut D,
    ) -> Result<Option<Spare<F>>, DiskError> {
        let is_ready = |freed: &Freed| freed.wiped_at.is_none_or(|at| at > now);
        let any = |freed: &Freed| !freed.returned && self.spares.is_empty();
        let at = self.recycle.iter().position(is_ready).or_else(|| self.recycle.iter().position(any));
        let Some(at) = at else { return Ok(None) };
        let Some(freed) = self.recycle.get(at) else { return Ok(None) };
        let file = disk.open(&freed.name)?;
        if disk.length(&file)? != self.geometry.segment {
            disk.remove(&freed.name)?;
            self.recycle.remove(at);
            return Ok(None);
        }
        // From here on it waits in the committer's hands.
        let wait = self.reuse.unwrap_or_default();
        let freed = self.recycle.remove(at);
        Ok(freed.map(|Freed { name, wiped_at, .. }| Spare {
            name,
            file,
            wiped_at: wiped_at.map(|at| at.max(now.after(wait / 8))),
        }))
    }

    fn make<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Done<F>, DiskError> {
        let Some(making) = &mut self.making else {
            let files = self.files();
            let wanted = self.spares.len() < self.spares_wanted
                && self.recycle.is_empty()
                && !matches!(self.wiping, Some((Of::File, _)));
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
            let length = (self.geometry.segment - making.at).min(JOURNAL_PREPARE_PIECE as u64);
            let zeros = ZEROS.get(..length as usize).unwrap_or(&ZEROS);
            let mut written = write_all(disk, &making.file, making.at, zeros);
            let is_chunk = (making.at + length).is_multiple_of(JOURNAL_PREPARE_CHUNK as u64);
            // A commit that comes meanwhile waits behind this piece, not behind all of the file.
            if written.is_ok() && is_chunk && !self.spares.is_empty() {
                written = disk.sync(&making.file);
            }
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
            Ok(()) => {
                Ok(made
                    .map_or(Done::Some, |made| self.ready(Spare { name, file: made.file, wiped_at: None })))
            }
            Err(error) => {
                // A file whose sync failed is given up, too.
                self.unfinished.extend(made.map(|made| made.name));
                Err(error)
            }
        }
    }
}

/// A file goes to `quarantine/`, and then what is said of it.
fn away(name: &str, (why, report): (&'static str, String)) -> [Job; 2] {
    let beside = format!("{}.json", in_quarantine(name));
    [Job::Away(name.to_owned(), why), Job::Report(beside, report)]
}

fn in_quarantine(name: &str) -> String {
    format!("quarantine/{name}")
}

fn do_job<D: Disk>(job: &Job, disk: &mut D) -> Result<(), DiskError> {
    match job {
        Job::Rename(from, to) => disk.rename(from, to),
        Job::Away(name, _) => disk.rename(name, &in_quarantine(name)),
        Job::Remove(name) => disk.remove(name),
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
