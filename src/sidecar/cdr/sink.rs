//! One sink, turn by turn. Owns: its files, and how far it has read each shard. Takes: the time, the journal's directory, how
//! far that is durable. Gives: lines; how far they are there for good. Never: says that a line is there before it is synced;
//! waits.
//!
//! A turn reads, writes, syncs, and only then moves the cursors. When something fails in between all of it is undone: the
//! file is cut to what was synced and the journal read from there again. Nothing is synced twice: what was not synced the
//! first time is written again.

use super::Cells;
use super::erase::Erased;
use super::files::{Files, Output, Positions};
use crate::config::Cdr;
use crate::io::journal::ReadOnly;
use crate::journal::cdr::Writer;
use crate::journal::cdr::names::Begin;
use crate::journal::recover::Refusal;
use crate::journal::{Cursors, Follower, Kind, Lsn};
use crate::time::{Duration, Instant, Now};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Octets of the journal that one turn reads of a shard.
const TURN: usize = 8 * 1024 * 1024;
/// Octets of lines over which a turn reads no further shard.
const LINES: usize = 16 * 1024 * 1024;
/// How far the sink is is kept so often.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Old files are looked for so often.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// What a sink is given.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its part of the configuration.
    pub cdr: Cdr,
    /// The journal's directory.
    pub journal: PathBuf,
    /// Which of the node's sinks it is, from 0.
    pub sink: usize,
    /// For each shard the last record of the run before, when it is known. Lines of later ones, which `durability = "off"`
    /// allows to be lost, do not hide new records of the same number.
    pub ends: Vec<Lsn>,
    /// `[privacy] keep_numbers`, and the file of the key of what stands in their place then; `None`: they are kept.
    pub numbers: Option<(Duration, PathBuf)>,
}

/// Why a turn came to nothing. It is tried again.
#[derive(Debug)]
pub enum SinkError {
    /// The journal cannot be read.
    Journal(Refusal),
    /// The sink's own disk.
    Files(std::io::Error),
}

impl core::fmt::Display for SinkError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Journal(refusal) => write!(out, "{refusal}"),
            Self::Files(error) => write!(out, "{error}"),
        }
    }
}

impl core::error::Error for SinkError {}

impl From<Refusal> for SinkError {
    fn from(refusal: Refusal) -> Self {
        Self::Journal(refusal)
    }
}

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> Self {
        Self::Files(error)
    }
}

/// One shard.
#[derive(Debug)]
struct Reading {
    follower: Follower<File>,
    /// `None` while nothing is known of its journal.
    writer: Option<Writer>,
    journal: u128,
    /// The next record, as the files have it.
    synced: Lsn,
    /// Lines of this turn.
    lines: u64,
}

/// A sink of kind `file`.
#[derive(Debug)]
pub struct Sink {
    settings: Settings,
    files: Files,
    disk: ReadOnly,
    cursors: Arc<Cursors>,
    cells: Arc<Cells>,
    shards: Vec<Reading>,
    /// The shard that was read first.
    first: usize,
    /// `None` until the files were read.
    positions: Option<Positions>,
    output: Option<Output>,
    /// After a failure: the file to go on with, and its octets that are there for good.
    undone: Option<(Begin, u64)>,
    lines: Vec<u8>,
    saved: Option<(Instant, Lsn)>,
    cleaned: Option<Instant>,
    unreadable: u64,
    told: (u64, u64, u64),
}

impl Sink {
    /// One that has read nothing yet.
    ///
    /// # Errors
    /// The path cannot be one of a sink.
    pub fn new(settings: Settings, cursors: Arc<Cursors>, cells: Arc<Cells>) -> std::io::Result<Self> {
        let files = Files::new(&settings.cdr.path, settings.cdr.rotate, settings.cdr.keep)?;
        let reading = |shard| Reading {
            follower: Follower::new(shard),
            writer: None,
            journal: 0,
            synced: Lsn::NONE,
            lines: 0,
        };
        let shards = (0..cursors.shards() as u32).map(reading).collect();
        Ok(Self {
            disk: ReadOnly::new(&settings.journal),
            settings,
            files,
            cursors,
            cells,
            shards,
            first: 0,
            positions: None,
            output: None,
            undone: None,
            lines: Vec::new(),
            saved: None,
            cleaned: None,
            unreadable: 0,
            told: (0, 0, 0),
        })
    }

    /// What it counts.
    #[must_use]
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Reads what is durable, up to a bound, writes it and syncs it. True when there is more.
    ///
    /// # Errors
    /// The journal or the files failed: what was not synced is undone.
    pub fn turn(&mut self, now: Now) -> Result<bool, SinkError> {
        self.measure();
        let done = self.attempt(now);
        if done.is_err() {
            self.undo();
        }
        self.measure();
        done
    }

    /// Keeps how far it is, so that the next start reads no lines.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn save(&mut self) -> Result<(), SinkError> {
        let Some(output) = &self.output else { return Ok(()) };
        let known: Vec<&Reading> = self.shards.iter().filter(|shard| shard.writer.is_some()).collect();
        let Some(journal) = known.first().map(|shard| shard.journal) else { return Ok(()) };
        // A shard that has nothing durable in this run yet is where the last one left it.
        let left = |index: u32| {
            let place = self.positions.as_ref()?.get(&(journal, index))?;
            Some((index, *place))
        };
        let shards: Vec<(u32, Lsn)> = (self.shards.iter().zip(0..))
            .filter_map(|(shard, index)| match shard.writer {
                Some(_) => Some(place((shard, index))),
                None => left(index),
            })
            .collect();
        Ok(self.files.save(output, journal, &shards)?)
    }

    /// What is new of records that it could not have: gone before they were read, damaged, or of a later program.
    pub fn lost(&mut self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let lost = self.shards.iter().map(|shard| shard.follower.lost());
        let (missed, damaged) = lost.fold((0, 0), |sum, lost| (sum.0 + lost.0, sum.1 + lost.1));
        let now = (missed, damaged, self.unreadable);
        let before = core::mem::replace(&mut self.told, now);
        let news = [
            ("cdr_missed", now.0.saturating_sub(before.0)),
            ("cdr_damaged", now.1.saturating_sub(before.1)),
            ("cdr_unreadable", now.2.saturating_sub(before.2)),
        ];
        news.into_iter().filter(|(_, records)| *records > 0)
    }

    fn measure(&self) {
        let behind = |(at, shard): (usize, &Reading)| {
            self.cursors.durable(at).next().0.saturating_sub(shard.synced.0.max(1))
        };
        self.cells.lag.set(self.shards.iter().enumerate().map(behind).sum());
    }

    fn attempt(&mut self, now: Now) -> Result<bool, SinkError> {
        self.begin()?;
        let more = self.read()?;
        if !self.lines.is_empty() {
            self.write(now)?;
        }
        self.settled();
        self.look_after(now)?;
        Ok(more)
    }

    /// Finds out how far the files are, of each shard as soon as it has a journal.
    fn begin(&mut self) -> Result<(), SinkError> {
        if self.positions.is_none() {
            let (positions, output) = self.files.resume()?;
            (self.positions, self.output) = (Some(positions), output);
        }
        let positions = self.positions.as_ref();
        for (index, shard) in self.shards.iter_mut().enumerate().filter(|(_, shard)| shard.writer.is_none()) {
            if self.cursors.durable(index) == Lsn::NONE {
                continue;
            }
            let Some(journal) = shard.follower.journal(&mut self.disk)? else { continue };
            let last = positions.and_then(|all| all.get(&(journal, index as u32))).copied();
            let last = last.filter(|last| *last > Lsn::NONE);
            let end = self.settings.ends.get(index).copied().unwrap_or(Lsn(u64::MAX));
            let next = last.map_or(Lsn::NONE, |last| last.min(end).next());
            (shard.writer, shard.journal) = (Some(Writer::new(journal, index as u32)), journal);
            shard.synced = next;
            shard.follower.seek(next);
            if last.is_some() {
                self.cursors.advance(self.settings.sink, index, next);
            }
        }
        Ok(())
    }

    /// Reads of each shard; the one that is read first is another one each time, since there may be an end to the room.
    fn read(&mut self) -> Result<bool, SinkError> {
        let (mut more, shards) = (false, self.shards.len());
        self.first = (self.first + 1) % shards.max(1);
        for index in (self.first..shards).chain(0..self.first) {
            if self.lines.len() >= LINES {
                return Ok(true);
            }
            more |= self.read_shard(index)?;
        }
        Ok(more)
    }

    fn read_shard(&mut self, index: usize) -> Result<bool, SinkError> {
        let Some(shard) = self.shards.get_mut(index) else { return Ok(false) };
        let Some(writer) = &mut shard.writer else { return Ok(false) };
        let (lines, unreadable, count) = (&mut self.lines, &mut self.unreadable, &mut shard.lines);
        let upto = self.cursors.durable(index);
        let more = shard.follower.read(&mut self.disk, upto, TURN, &mut |frame, ended| {
            if frame.kind != Kind::Finish as u8 {
                return;
            }
            if writer.write(frame, ended, lines) {
                *count += 1;
            } else {
                *unreadable += 1;
            }
        });
        Ok(more?)
    }

    fn write(&mut self, now: Now) -> Result<(), SinkError> {
        if let Some((begin, synced)) = self.undone {
            self.output = Some(self.files.output(begin, synced)?);
            self.undone = None;
        }
        let begin = self.files.begin_at(now.wall);
        if self.output.as_ref().is_none_or(|output| output.begin < begin) {
            // From here on the place that is kept is in the new file.
            self.output = Some(self.files.output(begin, u64::MAX)?);
            (self.saved, self.cleaned) = (None, None);
            self.save()?;
        }
        let Some(output) = &mut self.output else { return Ok(()) };
        output.file.write_all(&self.lines)?;
        output.file.sync_data()?;
        output.synced += self.lines.len() as u64;
        Ok(())
    }

    /// What was read is there for good.
    fn settled(&mut self) {
        self.lines.clear();
        for (index, shard) in self.shards.iter_mut().enumerate().filter(|(_, shard)| shard.writer.is_some()) {
            let next = shard.follower.next();
            assert!(next >= shard.synced, "a cursor never goes back");
            if next != shard.synced {
                self.cursors.advance(self.settings.sink, index, next);
            }
            shard.synced = next;
            self.cells.written.add(core::mem::take(&mut shard.lines));
        }
    }

    fn look_after(&mut self, now: Now) -> Result<(), SinkError> {
        let upto = Lsn(self.shards.iter().map(|shard| shard.synced.0).sum());
        let due = |(at, saved): (Instant, Lsn)| saved != upto && now.mono.since(at) >= SAVE_EVERY;
        if self.output.is_some() && self.saved.is_none_or(due) {
            self.save()?;
            self.saved = Some((now.mono, upto));
        }
        if self.cleaned.is_none_or(|at| now.mono.since(at) >= CLEAN_EVERY) {
            self.files.clean(now.wall)?;
            // One file a turn: lines do not wait for all of them.
            if !self.hash_one(now)? {
                self.cleaned = Some(now.mono);
            }
        }
        Ok(())
    }

    /// The next old file loses its numbers; false: there is none.
    fn hash_one(&mut self, now: Now) -> Result<bool, SinkError> {
        let Some((keep, path)) = &self.settings.numbers else { return Ok(false) };
        let numbers = crate::io::numbers::key(path)?;
        let hashed = self.files.hash_one(now.wall, *keep, &numbers)?;
        if hashed {
            self.save()?;
        }
        Ok(hashed)
    }

    /// What is durable is written, then this number goes from all files; `key`: the file of the key of what stands in its
    /// place.
    ///
    /// # Errors
    /// The journal or the files failed: some files may have it still.
    pub fn erase(&mut self, now: Now, number: &str, key: &Path) -> Result<Erased, SinkError> {
        while self.turn(now)? {}
        let numbers = crate::io::numbers::key(key)?;
        if let Some(output) = self.output.take() {
            self.undone = Some((output.begin, output.synced));
        }
        if let Some((begin, synced)) = self.undone {
            // Without what could not be synced.
            drop(self.files.output(begin, synced)?);
            self.undone = Some((begin, u64::MAX));
        }
        let erased = self.files.erase(number, &numbers)?;
        if let Some((begin, all)) = self.undone {
            self.output = Some(self.files.output(begin, all)?);
            self.undone = None;
            self.save()?;
        }
        Ok(erased)
    }

    fn undo(&mut self) {
        self.lines.clear();
        if let Some(output) = self.output.take() {
            self.undone = Some((output.begin, output.synced));
        }
        for shard in &mut self.shards {
            shard.lines = 0;
            shard.follower.seek(shard.synced);
        }
    }
}

/// A shard with the last record that the files have of it, or have passed.
fn place((shard, index): (&Reading, u32)) -> (u32, Lsn) {
    (index, shard.synced.previous())
}
