//! Which records are still needed. Owns: the open keys with their records, and how much of each block of records is
//! needed. Takes: each record that is appended or read back; the same book comes out either way. Gives: the oldest record
//! needed, what is to be copied to the end. Never: the content of a record.
//!
//! A record takes 24 octets while it is needed, a key a place of 5 in a table beside; a block of 1,024 records 152, needed
//! or not, from the oldest needed one on.

use super::Lsn;
use super::erase::{Ages, Erasing};
use super::frame::Frame;
use super::record::{Kind, Record, Role};
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_ALWAYS_AT, JOURNAL_MOVE_BELOW};
use crate::split::{Split, neighbours};
use crate::time::{Now, Wall};
use std::collections::VecDeque;

const NONE: u32 = u32::MAX;
const WORDS: usize = JOURNAL_BLOCK / 64;

#[derive(Debug, Clone, Copy)]
struct Needed {
    lsn: Lsn,
    key: u64,
    octets: u32,
    /// The next older one of its key, or the next free one.
    older: u32,
}

/// In `Needed::octets`: the next such record of the key takes its place (`Role::Latest`). A frame is shorter by far.
const LATEST: u32 = 1 << 31;
/// The same, of the newest record of a key: what it says is on the disk alone.
const RESTS: u32 = 1 << 30;
/// As `LATEST`, beside it (`Role::Steers`).
const STEERS: u32 = 1 << 29;
const OCTETS: u32 = STEERS - 1;

#[derive(Debug, Clone, Default)]
struct Block {
    octets: u64,
    needed_octets: u64,
    needed: [u64; WORDS],
}

/// The table of needed records is full: a new message for the journal is refused with ESME_RMSGQFUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookFull;

/// Copy what is needed below this record to the end; then all below it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The first record that stays where it is.
    pub below: Lsn,
    /// Octets to copy.
    pub octets: u64,
    /// Octets that become free.
    pub frees: u64,
}

/// The book of one shard's journal.
#[derive(Debug)]
pub struct Book {
    /// The newest record of each key that is open.
    keys: Split<u32>,
    records: Vec<Needed>,
    free: u32,
    /// Records that are needed.
    len: usize,
    records_max: usize,
    blocks: VecDeque<Block>,
    /// The number of the first block.
    first: u64,
    last: Lsn,
    /// Records from here on are kept whatever becomes of their keys: a sink has not got them yet.
    kept_from: Option<Lsn>,
    /// How old they are, for who erases what they say.
    ages: Option<Ages>,
}

/// The last bits of a key are those of the shard that gave it: keys that come together do not differ in them.
const SHARD_BITS: u32 = 6;

/// What came together ends about together.
fn hash(key: u64) -> u64 {
    neighbours(key.rotate_right(SHARD_BITS))
}

fn key_at(records: &[Needed], at: u32) -> Option<u64> {
    records.get(at as usize).map(|record| record.key)
}

const fn block_of(lsn: Lsn) -> u64 {
    lsn.0 / JOURNAL_BLOCK as u64
}

impl Book {
    /// An empty one with room for so many needed records; it never grows beyond them.
    #[must_use]
    pub fn new(records_max: usize) -> Self {
        Self {
            keys: Split::default(),
            records: Vec::with_capacity(records_max),
            free: NONE,
            len: 0,
            records_max,
            blocks: VecDeque::new(),
            first: 0,
            last: Lsn::NONE,
            kept_from: None,
            ages: None,
        }
    }

    /// From now on it knows how old its records are.
    pub fn erasing(&mut self, erasing: &Erasing) {
        self.ages.get_or_insert_with(|| Ages::new(erasing));
    }

    /// The next record was written in an earlier run, at this time.
    pub fn was(&mut self, wall: Wall) {
        if !self.ages.as_ref().is_some_and(|ages| ages.wants(wall)) {
            return;
        }
        let needed = self.needed();
        if let Some(ages) = &mut self.ages {
            ages.was(wall, self.last, needed);
        }
    }

    /// Once in a while: how old the records are.
    pub fn look(&mut self, now: Now) {
        let needed = self.needed();
        if let Some(ages) = &mut self.ages {
            ages.look(now, self.last, needed);
        }
    }

    /// What is needed below this record is so old that it is to be copied to the end; `None`: there is nothing.
    #[must_use]
    pub fn copied_below(&self) -> Option<Lsn> {
        let below = self.ages.as_ref()?.old().next();
        (self.needed() < below).then_some(below)
    }

    /// True while records are kept only because they were needed of late.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.ages.as_ref().and_then(Ages::kept_from).is_some_and(|kept| kept < self.needed())
    }

    /// Room is wanted: of what was needed of late less is kept.
    pub fn keep_less(&mut self) {
        self.ages.iter_mut().for_each(Ages::forget_half);
    }

    /// True when a record that opens or adds to a key has room.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.len < self.records_max
    }

    /// True when a record that nobody must write has room: an eighth is kept for others.
    #[must_use]
    pub const fn has_room_to_spare(&self) -> bool {
        self.len < self.records_max - self.records_max / 8
    }

    /// The last record that was appended or read.
    #[must_use]
    pub const fn last(&self) -> Lsn {
        self.last
    }

    /// True when something of this key is needed.
    #[must_use]
    pub fn holds(&self, key: u64) -> bool {
        self.newest(key) != NONE
    }

    /// Asks for the memory of a key.
    pub fn ask(&self, key: u64) {
        core::hint::black_box(self.newest(key));
    }

    /// Keys that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.keys.len()
    }

    /// A record was appended, or is read back. `octets`: of its frame.
    ///
    /// # Errors
    /// It is needed and there is no room: see `has_room`.
    pub fn note(&mut self, frame: &Frame<'_>, octets: u32) -> Result<(), BookFull> {
        self.passed(frame.lsn, octets);
        let noted = self.noted(frame, octets);
        self.shrink();
        noted
    }

    /// The same, of a record whose content is known: `kind` is `None` when this program does not know it, `from` the
    /// record that a MOVE is a copy of, or that a DLR_OUT answers.
    ///
    /// # Errors
    /// As `note`.
    pub fn appended(
        &mut self,
        lsn: Lsn,
        key: u64,
        kind: Option<Kind>,
        from: Option<Lsn>,
        octets: u32,
    ) -> Result<(), BookFull> {
        self.passed(lsn, octets);
        let noted = kind.map_or(Ok(()), |kind| self.keyed(lsn, key, kind, from, octets));
        self.shrink();
        noted
    }

    /// A record is read back, and what it does to its key is said by `noted` later, or never when the key is closed by then.
    pub fn passed(&mut self, lsn: Lsn, octets: u32) {
        debug_assert!(lsn > self.last, "records come in order");
        self.last = lsn;
        if self.blocks.is_empty() {
            self.first = block_of(lsn);
        }
        while block_of(lsn) >= self.first + self.blocks.len() as u64 {
            self.blocks.push_back(Block::default());
        }
        if let Some(block) = self.block(lsn) {
            block.octets += u64::from(octets);
        }
    }

    /// What a record that was passed does to its key. Those of one key come in order, and after the last one of all keys
    /// `settle`.
    ///
    /// # Errors
    /// As `note`.
    pub fn noted(&mut self, frame: &Frame<'_>, octets: u32) -> Result<(), BookFull> {
        let Some(kind) = frame.kind() else { return Ok(()) };
        let (from, mark) = from_of(frame);
        self.keyed(frame.lsn, frame.key, kind, from, octets | mark)
    }

    /// So many keys are about to be noted.
    pub fn make_room(&mut self, keys: usize) {
        let Self { keys: table, records, .. } = self;
        table.reserve(keys, |at| key_at(records, *at).map_or(0, hash));
    }

    /// All records that were passed are noted.
    pub fn settle(&mut self) {
        self.shrink();
    }

    fn keyed(
        &mut self,
        lsn: Lsn,
        key: u64,
        kind: Kind,
        from: Option<Lsn>,
        octets: u32,
    ) -> Result<(), BookFull> {
        match kind.role() {
            Role::Adds => self.add(lsn, key, octets),
            Role::Latest => self.add_last(lsn, key, octets, LATEST),
            Role::Steers => self.add_last(lsn, key, octets, STEERS),
            Role::Closes => {
                self.close(key);
                Ok(())
            }
            Role::Replaces => {
                self.close(key);
                self.add(lsn, key, octets)
            }
            Role::Renews => {
                if self.holds(key) {
                    self.close_but(key, self.steers(key));
                }
                self.add(lsn, key, octets)
            }
            Role::Follows => {
                for mark in [LATEST, STEERS] {
                    if let Some(former) = self.marked(key, mark) {
                        self.answered(key, former);
                    }
                }
                self.add(lsn, key, octets)
            }
            Role::Answers => {
                if let Some(of) = from {
                    self.answered(key, of);
                }
                Ok(())
            }
            Role::Moves => from.map_or(Ok(()), |from| self.moved(lsn, key, octets, from)),
        }
    }

    /// Records from this one on are kept for the sinks; `None`: there are no sinks.
    pub fn keep_from(&mut self, lsn: Option<Lsn>) {
        self.kept_from = lsn;
    }

    /// The oldest record that is needed; the next one to come when none is.
    #[must_use]
    pub fn front(&self) -> Lsn {
        let kept = self.ages.as_ref().and_then(Ages::kept_from);
        [self.kept_from, kept].into_iter().flatten().fold(self.needed(), Lsn::min)
    }

    /// The same without what is kept for sinks, or for a while.
    #[must_use]
    pub fn needed(&self) -> Lsn {
        self.oldest().unwrap_or(self.last.next())
    }

    /// True while the record is needed for its key.
    #[must_use]
    pub fn is_needed(&self, lsn: Lsn) -> bool {
        let place = block_of(lsn).checked_sub(self.first);
        let block = place.and_then(|place| self.blocks.get(place as usize));
        block.is_some_and(|block| {
            let (word, bit) = bit_of(lsn);
            block.needed.get(word).is_some_and(|word| word & bit != 0)
        })
    }

    /// The records of a key, in no order that means anything once copies are among them.
    pub fn records_of(&self, key: u64) -> impl Iterator<Item = Lsn> + '_ {
        let mut at = self.newest(key);
        core::iter::from_fn(move || {
            let record = self.records.get(at as usize)?;
            at = record.older;
            Some(record.lsn)
        })
    }

    /// The one record of a key is on the disk alone from now on, or is not any more. False: it has none, or several.
    pub fn rest(&mut self, key: u64, rests: bool) -> bool {
        let at = self.newest(key);
        let Some(record) = self.records.get_mut(at as usize).filter(|record| record.older == NONE) else {
            return false;
        };
        record.octets = record.octets & !RESTS | if rests { RESTS } else { 0 };
        true
    }

    /// The record of a key that is on the disk alone.
    #[must_use]
    pub fn rests(&self, key: u64) -> Option<Lsn> {
        let newest = self.records.get(self.newest(key) as usize)?;
        (newest.octets & RESTS != 0).then_some(newest.lsn)
    }

    /// What an operator has said last of a key.
    #[must_use]
    pub fn steers(&self, key: u64) -> Option<Lsn> {
        self.marked(key, STEERS)
    }

    /// True when there is an attempt of a key, or what came of it.
    #[must_use]
    pub fn has_attempt(&self, key: u64) -> bool {
        self.marked(key, LATEST).is_some()
    }

    /// What to copy: the shortest front of which less than a quarter is needed; when the disk is nearly full
    /// (`used_percent`), the front of which the least share is. The last block stays.
    #[must_use]
    pub fn plan(&self, used_percent: u64) -> Option<Plan> {
        let (mut octets, mut frees, mut best) = (0, 0, None::<Plan>);
        let most = if used_percent >= JOURNAL_MOVE_ALWAYS_AT { 100 } else { JOURNAL_MOVE_BELOW };
        for (index, block) in self.blocks.iter().enumerate().take(self.blocks.len().saturating_sub(1)) {
            octets += block.needed_octets;
            frees += block.octets;
            let below = Lsn((self.first + index as u64 + 1) * JOURNAL_BLOCK as u64);
            let plan = Plan { below, octets, frees };
            if octets * 100 < frees * most && octets > 0 {
                if most < 100 {
                    return Some(plan);
                }
                if best.is_none_or(|best| octets * best.frees < best.octets * frees) {
                    best = Some(plan);
                }
            }
        }
        best
    }

    fn block(&mut self, lsn: Lsn) -> Option<&mut Block> {
        let place = block_of(lsn).checked_sub(self.first)?;
        self.blocks.get_mut(place as usize)
    }

    fn oldest(&self) -> Option<Lsn> {
        let (index, block) = self.blocks.iter().enumerate().find(|(_, block)| block.needed_octets > 0)?;
        let (word, bits) = block.needed.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        let place = word as u64 * 64 + u64::from(bits.trailing_zeros());
        Some(Lsn((self.first + index as u64) * JOURNAL_BLOCK as u64 + place))
    }

    fn newest(&self, key: u64) -> u32 {
        self.keys.find(hash(key), |at| key_at(&self.records, *at) == Some(key)).copied().unwrap_or(NONE)
    }

    fn add(&mut self, lsn: Lsn, key: u64, octets: u32) -> Result<(), BookFull> {
        let at = self.place(Needed { lsn, key, octets, older: NONE })?;
        let Self { keys, records, .. } = self;
        match keys.find_mut(hash(key), |newest| key_at(records, *newest) == Some(key)) {
            Some(newest) => {
                let older = core::mem::replace(newest, at);
                if let Some(record) = records.get_mut(at as usize) {
                    record.older = older;
                }
            }
            None => {
                keys.insert_unique(hash(key), at, |at| key_at(records, *at).map_or(0, hash));
            }
        }
        self.mark(lsn, octets);
        Ok(())
    }

    /// The one before it with this mark is not needed any more.
    fn add_last(&mut self, lsn: Lsn, key: u64, octets: u32, mark: u32) -> Result<(), BookFull> {
        if let Some(former) = self.marked(key, mark) {
            self.answered(key, former);
        }
        self.add(lsn, key, octets | mark)
    }

    fn place(&mut self, record: Needed) -> Result<u32, BookFull> {
        if !self.has_room() {
            return Err(BookFull);
        }
        self.len += 1;
        if let Some(free) = self.records.get_mut(self.free as usize) {
            let at = core::mem::replace(&mut self.free, free.older);
            *free = record;
            return Ok(at);
        }
        self.records.push(record);
        Ok((self.records.len() - 1) as u32)
    }

    fn mark(&mut self, lsn: Lsn, octets: u32) {
        if let Some(block) = self.block(lsn) {
            let (word, bit) = bit_of(lsn);
            block.needed_octets += u64::from(octets & OCTETS);
            if let Some(word) = block.needed.get_mut(word) {
                debug_assert!(*word & bit == 0);
                *word |= bit;
            }
        }
    }

    fn unmark(&mut self, lsn: Lsn, octets: u32) {
        if let Some(block) = self.block(lsn) {
            let (word, bit) = bit_of(lsn);
            block.needed_octets -= u64::from(octets & OCTETS);
            if let Some(word) = block.needed.get_mut(word) {
                debug_assert!(*word & bit != 0);
                *word &= !bit;
            }
        }
    }

    /// Nothing of a key is needed any more.
    pub fn close(&mut self, key: u64) {
        let records = &self.records;
        let found = self.keys.remove(hash(key), |newest| key_at(records, *newest) == Some(key));
        let Some(mut at) = found else { return };
        while let Some(record) = self.records.get_mut(at as usize) {
            let (lsn, octets, older) = (record.lsn, record.octets, record.older);
            record.older = core::mem::replace(&mut self.free, at);
            self.len -= 1;
            self.unmark(lsn, octets);
            at = older;
        }
    }

    /// The same of all but one.
    fn close_but(&mut self, key: u64, one: Option<Lsn>) {
        if one.is_none() {
            return self.close(key);
        }
        let other = |book: &Self| book.records_of(key).find(|lsn| Some(*lsn) != one);
        while let Some(other) = other(self) {
            self.answered(key, other);
        }
    }

    /// The record of a key that the next one with this mark takes the place of.
    fn marked(&self, key: u64, mark: u32) -> Option<Lsn> {
        let mut at = self.newest(key);
        while let Some(record) = self.records.get(at as usize) {
            if record.octets & mark != 0 {
                return Some(record.lsn);
            }
            at = record.older;
        }
        None
    }

    /// One record of a key is not needed any more; the key stays open while others are.
    fn answered(&mut self, key: u64, of: Lsn) {
        let (mut at, mut newer) = (self.newest(key), NONE);
        while let Some(&Needed { lsn, octets, older, .. }) = self.records.get(at as usize) {
            if lsn != of {
                (newer, at) = (at, older);
                continue;
            }
            if let Some(newer) = self.records.get_mut(newer as usize) {
                newer.older = older;
            } else if older == NONE {
                self.keys.remove(hash(key), |newest| *newest == at);
            } else if let Some(newest) = self.keys.find_mut(hash(key), |newest| *newest == at) {
                *newest = older;
            }
            if let Some(record) = self.records.get_mut(at as usize) {
                record.older = core::mem::replace(&mut self.free, at);
                self.len -= 1;
            }
            return self.unmark(lsn, octets);
        }
    }

    /// The copy takes the place of the record that it was made of; when that is gone, the copy is all there is.
    fn moved(&mut self, lsn: Lsn, key: u64, octets: u32, from: Lsn) -> Result<(), BookFull> {
        let mut at = self.newest(key);
        while let Some(record) = self.records.get_mut(at as usize) {
            if record.lsn == from {
                let before = record.octets;
                record.octets = octets & OCTETS | before & !OCTETS;
                record.lsn = lsn;
                self.unmark(from, before);
                self.mark(lsn, octets);
                return Ok(());
            }
            at = record.older;
        }
        self.add(lsn, key, octets)
    }

    /// Blocks in front of which nothing is needed are forgotten, all but the last.
    fn shrink(&mut self) {
        while self.blocks.len() > 1 && self.blocks.front().is_some_and(|block| block.needed_octets == 0) {
            self.blocks.pop_front();
            self.first += 1;
        }
    }
}

/// The record that a MOVE is a copy of, or that a DLR_OUT answers, and the mark of what is copied. Of most records the kind is
/// enough.
fn from_of(frame: &Frame<'_>) -> (Option<Lsn>, u32) {
    if !matches!(frame.kind(), Some(Kind::Move | Kind::DlrOut)) {
        return (None, 0);
    }
    match frame.record() {
        Some(Record::Move { from, kind, .. }) => (Some(from), Kind::of(kind).map_or(0, mark_of)),
        Some(Record::DlrOut { at, .. }) => (Some(at), 0),
        _ => (None, 0),
    }
}

const fn mark_of(kind: Kind) -> u32 {
    match kind.role() {
        Role::Latest => LATEST,
        Role::Steers => STEERS,
        Role::Adds
        | Role::Replaces
        | Role::Renews
        | Role::Follows
        | Role::Moves
        | Role::Answers
        | Role::Closes => 0,
    }
}

const fn bit_of(lsn: Lsn) -> (usize, u64) {
    let place = lsn.0 as usize % JOURNAL_BLOCK;
    (place / 64, 1 << (place % 64))
}

#[cfg(test)]
mod tests;
