//! The journals of a node in memory: what its shards append comes to the disk late and in steps, and a crash leaves what
//! had come so far.

use bindery::journal::frame::{Head, frame_len, write};
use bindery::journal::recover::Place;
use bindery::journal::{
    AppendRefused, DiskError, Frame, Kind, Lsn, Recall, Recalled, Record, Recorder, Wanted,
};
use bindery::ledger::Restored;
use bindery::prng::Prng;
use bindery::time::{Duration, Instant, Now, Wall};
use std::sync::{Arc, Mutex, MutexGuard};

/// Records that a shard may need at once.
const NEEDED_MAX: usize = 100_000;

/// What a broken journal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Broken {
    /// Nothing.
    #[default]
    No,
    /// It says that all is safe at once.
    Lies,
    /// A restart does not find records of this kind.
    Loses(Kind),
}

/// A record.
#[derive(Debug)]
struct Kept {
    octets: Vec<u8>,
    wall: Wall,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Kept>,
    written: usize,
    durable: usize,
    full: bool,
    refusing: bool,
    failed: bool,
    broken: Broken,
    /// What was asked for, and what of it has come.
    asked: Vec<Recall>,
    came: Vec<Recall>,
    /// Messages that were read back.
    read_back: u64,
}

/// The journal of one shard; it survives the shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<State>>);

/// What is wrong with a disk for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no room for a record.
    Full,
    /// No new messages may come.
    Refusing,
    /// Nothing can be promised.
    Failed,
}

/// What a crash has left of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is gone, what it wrote is not.
    Kill,
    /// What was not in step with the disk is gone as well, in part.
    Power,
}

impl Paper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// One that is broken.
    pub(crate) fn of(broken: Broken) -> Self {
        let paper = Self::default();
        paper.state().broken = broken;
        paper
    }

    /// A shard's end of it.
    pub(crate) fn pen(&self) -> Box<dyn Recorder> {
        Box::new(self.clone())
    }

    /// True when something is not in step with the disk, or is to be read from it.
    pub(crate) fn lags(&self) -> bool {
        let state = self.state();
        state.durable < state.records.len() || !state.asked.is_empty()
    }

    /// The same of what was appended a while ago: what the node says of itself may have come just now.
    pub(crate) fn lags_behind(&self, now: Instant) -> bool {
        let state = self.state();
        let late = |record: &Kept| now.since(record.at) > Duration::from_secs(5);
        // What sleeps is read and copied as often as `erase_within` wants it.
        let stays = |recall: &Recall| recall.wanted == Wanted::Pdu;
        state.records.get(state.durable).is_some_and(late) || state.asked.iter().any(stays)
    }

    /// Messages that were read back.
    pub(crate) fn read_back(&self) -> u64 {
        self.state().read_back
    }

    /// The disk does some of its work.
    pub(crate) fn work(&self, prng: &mut Prng) {
        let mut state = self.state();
        let asked = core::mem::take(&mut state.asked);
        state.came.extend(asked);
        if state.failed {
            return;
        }
        let step = |from: usize, to: usize, prng: &mut Prng| {
            if prng.chance(1, 2) { to } else { from + prng.below((to - from) as u64 + 1) as usize }
        };
        state.written = step(state.written, state.records.len(), prng);
        state.durable = step(state.durable, state.written, prng);
    }

    /// Everything is in step.
    pub(crate) fn sync(&self) {
        let mut state = self.state();
        state.written = state.records.len();
        state.durable = state.written;
    }

    /// Something is wrong, or no more.
    pub(crate) fn trouble(&self, trouble: Trouble, on: bool) {
        let mut state = self.state();
        match trouble {
            Trouble::Full => state.full = on,
            Trouble::Refusing => state.refusing = on,
            Trouble::Failed => state.failed = on,
        }
    }

    /// What a crash leaves. Gives the instant of the first record that is gone.
    pub(crate) fn crash(&self, crash: Crash, prng: &mut Prng) -> Option<Instant> {
        let mut state = self.state();
        let least = if crash == Crash::Power { state.durable } else { state.written };
        let all = state.records.len();
        // What was on its way may have come all the same.
        let left = match prng.below(3) {
            0 => least,
            1 => least + prng.below((all - least) as u64 + 1) as usize,
            _ => least + prng.below((all - least).min(3) as u64 + 1) as usize,
        };
        let lost = state.records.get(left).map(|record| record.at);
        state.records.truncate(left);
        (state.written, state.durable) = (left, left);
        (state.full, state.refusing, state.failed) = (false, false, false);
        state.asked.clear();
        state.came.clear();
        lost
    }

    /// Shows all records that it has, in their order.
    pub(crate) fn read(&self, visit: &mut dyn FnMut(&Frame<'_>, Wall)) {
        let state = self.state();
        for record in &state.records {
            visit(&Frame::unsealed(&record.octets).unwrap().0, record.wall);
        }
    }

    /// What a restart finds.
    pub(crate) fn restored(&self) -> Restored {
        let broken = self.state().broken;
        let mut restored = Restored::new(NEEDED_MAX);
        self.read(&mut |frame, wall| {
            let octets = frame_len(frame.payload.len()) as u32;
            let place = Place { segment: 1, at: 0, wall, octets, is_over: false };
            if frame.kind().is_none_or(|kind| broken != Broken::Loses(kind)) {
                restored.take(frame, &place);
            }
        });
        restored
    }
}

impl Recorder for Paper {
    fn append(&mut self, now: Now, key: u64, record: &Record<'_>) -> Result<Lsn, AppendRefused> {
        let mut state = self.state();
        if state.full {
            return Err(AppendRefused::Full);
        }
        let lsn = Lsn(state.records.len() as u64 + 1);
        let mut octets = vec![0; frame_len(record.len())];
        write(&mut octets, &Head { lsn, key, time_ms: 0 }, record, record.len());
        state.records.push(Kept { octets, wall: now.wall, at: now.mono });
        Ok(lsn)
    }

    fn kick(&self) {}

    fn written(&self) -> Lsn {
        let state = self.state();
        Lsn(if state.broken == Broken::Lies { state.records.len() } else { state.written } as u64)
    }

    fn durable(&self) -> Lsn {
        let state = self.state();
        Lsn(if state.broken == Broken::Lies { state.records.len() } else { state.durable } as u64)
    }

    fn failed(&self) -> Option<DiskError> {
        self.state().failed.then_some(DiskError::Failed(5))
    }

    fn accepting(&self) -> bool {
        !self.state().refusing
    }

    fn used_percent(&self) -> u64 {
        0
    }

    fn full_percent(&mut self) -> u64 {
        if self.state().full { 100 } else { 0 }
    }

    fn needs_from(&self, _: Lsn) {}

    fn recall(&mut self, recall: Recall) -> bool {
        let mut state = self.state();
        assert!(recall.lsn.0 <= state.records.len() as u64, "only what was appended");
        state.asked.push(recall);
        true
    }

    fn recalled(&mut self) -> Option<Recalled> {
        let mut state = self.state();
        let recall = state.came.pop()?;
        state.read_back += 1;
        let frame = Frame::unsealed(&state.records.get(recall.lsn.0 as usize - 1)?.octets)?.0;
        Some(recall.found(Some(&frame)))
    }

    fn has_recalled(&self) -> bool {
        !self.state().came.is_empty()
    }

    fn sleeps(&self, written: Lsn, durable: Lsn) -> bool {
        self.written() == written && self.durable() == durable
    }
}
