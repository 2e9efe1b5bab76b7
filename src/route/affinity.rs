//! The parts of one long message go one way, whichever bind of the account they came by.
//!
//! Owns: where each long message goes, which of its parts were sent and which ended, how many were paid for before they
//! came; bounded in number and time. Takes: the choice for a first part, what became of each part. Gives: the carrier that
//! the others must follow, what a part costs its account. Never: a
//! message on two carriers: it may move only while none of its parts is with one; after that the rest follow, or all
//! of them fail.
//!
//! ```text
//!            choose                sent                    all parts accepted
//!   (none) ─────────▶ placed ───────────────▶ bound ─────────────────────────────▶ (forgotten)
//!                       │ ▲  refused, no part    │ failed
//!                choose └─┘  is with it          ▼        all parts ended
//!                                              failed ───────────────────────────▶ (forgotten)
//! ```

use super::hash;
use crate::ids::{CarrierId, EsmeId};
use crate::limits::{AFFINITY_MAX, AFFINITY_TTL};
use crate::smpp::segment::{Part, Reference};
use crate::time::Instant;
use hashbrown::HashTable;

const NONE: u32 = u32::MAX;
/// Entries past their time that one choice may clear away.
const EXPIRED_PER_CHOICE: usize = 2;

const _: () = assert!(AFFINITY_MAX < NONE as usize);

/// Where a message comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Its account.
    pub esme: EsmeId,
    /// Its source address, digits or letters.
    pub source: &'a [u8],
    /// Its destination address.
    pub destination: &'a [u8],
}

/// One long message: account, source, destination, reference and number of parts, as 128 keyed bits. Two messages of
/// a full table share them with a probability of 2^-94.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    high: u64,
    low: u64,
    total: u8,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The carrier that its parts go to.
    pub carrier: CarrierId,
    /// Parts that are with the carrier: sent and not refused. While it is 0 the message may move.
    pub sent: u8,
    /// A part could not go to the carrier: the rest fail.
    pub failed: bool,
}

/// A bit for each part.
#[derive(Debug, Clone, Copy, Default)]
struct PartSet([u64; 4]);

impl PartSet {
    fn word(&mut self, number: u8) -> (&mut u64, u64) {
        let [a, b, c, d] = &mut self.0;
        let word = match number >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        (word, 1 << (number & 63))
    }

    fn add(&mut self, number: u8) {
        let (word, bit) = self.word(number);
        *word |= bit;
    }

    fn remove(&mut self, number: u8) {
        let (word, bit) = self.word(number);
        *word &= !bit;
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    carrier: CarrierId,
    failed: bool,
    /// Parts that may still come at no cost.
    reserved: u8,
    sent: PartSet,
    ended: PartSet,
    until: Instant,
    older: u32,
    newer: u32,
}

/// All long messages of a shard whose parts are under way.
#[derive(Debug)]
pub struct Affinity {
    seed: u64,
    max: usize,
    by_key: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Linked in the order of their first parts, which is that of `until`.
    oldest: u32,
    newest: u32,
    forgotten: u64,
}

impl Affinity {
    /// An empty table. The seed decides the keys.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_max(seed, AFFINITY_MAX)
    }

    fn with_max(seed: u64, max: usize) -> Self {
        Self {
            seed,
            max,
            by_key: HashTable::with_capacity(max),
            entries: Vec::with_capacity(max),
            free: Vec::with_capacity(max),
            oldest: NONE,
            newest: NONE,
            forgotten: 0,
        }
    }

    /// The key of the message that a part belongs to.
    #[must_use]
    pub fn key(&self, ends: &Ends<'_>, part: &Part) -> Key {
        let (kind, reference) = match part.reference {
            Reference::Octet(reference) => (0u64, u64::from(reference)),
            Reference::Word(reference) => (1, u64::from(reference)),
            Reference::Sar(reference) => (2, u64::from(reference)),
        };
        let rest = u64::from(ends.esme.0) << 32 | kind << 24 | u64::from(part.total) << 16 | reference;
        let half = |seed: u64| {
            let source = hash::octets(seed ^ hash::mix(rest), ends.source);
            hash::octets(source, ends.destination)
        };
        Key { high: half(self.seed), low: half(!self.seed), total: part.total }
    }

    /// Where the message goes; `None` when none of its parts was placed, or too long ago.
    pub fn place(&mut self, now: Instant, key: Key) -> Option<Placed> {
        let entry = self.live(now, key)?;
        let sent = u8::try_from(entry.sent.len()).unwrap_or(u8::MAX);
        Some(Placed { carrier: entry.carrier, sent, failed: entry.failed })
    }

    /// A part is to go to this carrier. Places the message there, or moves it while that is allowed; gives where it
    /// stands, which is elsewhere when it is bound.
    pub fn choose(&mut self, now: Instant, key: Key, carrier: CarrierId) -> Placed {
        if let Some(entry) = self.live(now, key) {
            let sent = u8::try_from(entry.sent.len()).unwrap_or(u8::MAX);
            if sent == 0 && !entry.failed {
                entry.carrier = carrier;
            }
            return Placed { carrier: entry.carrier, sent, failed: entry.failed };
        }
        self.insert(now, key, carrier);
        Placed { carrier, sent: 0, failed: false }
    }

    /// A part is being written to this carrier. False when it must not be: its message goes elsewhere or has failed. A
    /// message that was never placed, or is forgotten, is placed here.
    #[must_use]
    pub fn sent(&mut self, now: Instant, key: Key, number: u8, carrier: CarrierId) -> bool {
        let placed = self.choose(now, key, carrier);
        if placed.failed || placed.carrier != carrier {
            return false;
        }
        if let Some(entry) = self.live(now, key) {
            entry.sent.add(number);
        }
        true
    }

    /// What the part that comes now costs its account: all parts of a message that is not known, nothing while some are
    /// reserved, and one after that, for a part that comes again.
    pub fn cost(&mut self, now: Instant, key: Key) -> u32 {
        match self.live(now, key) {
            None => u32::from(key.total),
            Some(entry) if entry.reserved > 0 => {
                entry.reserved -= 1;
                0
            }
            Some(_) => 1,
        }
    }

    /// So many more parts of a message that was placed have been paid for.
    pub fn reserve(&mut self, now: Instant, key: Key, parts: u8) {
        debug_assert!(parts < key.total, "the first has come");
        if let Some(entry) = self.live(now, key) {
            entry.reserved = parts;
        }
    }

    /// The carrier has the part: the message is bound to it for good.
    pub fn accepted(&mut self, now: Instant, key: Key, number: u8) {
        self.end(now, key, number);
    }

    /// The carrier refused the part and may be asked again, or another: it is not with the carrier.
    pub fn refused(&mut self, now: Instant, key: Key, number: u8) {
        if let Some(entry) = self.live(now, key) {
            entry.sent.remove(number);
        }
    }

    /// The part could not go to its message's carrier, or was refused for good: the rest fail.
    pub fn failed(&mut self, now: Instant, key: Key, number: u8) {
        if let Some(entry) = self.live(now, key) {
            entry.failed = true;
        }
        self.end(now, key, number);
    }

    /// Messages held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// True when none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Messages that were forgotten before their time because the table was full.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn end(&mut self, now: Instant, key: Key, number: u8) {
        let Some(entry) = self.live(now, key) else { return };
        entry.ended.add(number);
        if entry.ended.len() >= u32::from(key.total)
            && let Some(at) = self.find(key)
        {
            self.remove(at);
        }
    }

    fn find(&self, key: Key) -> Option<u32> {
        let same = |at: &u32| self.entries.get(*at as usize).is_some_and(|entry| entry.key == key);
        self.by_key.find(key.high, same).copied()
    }

    /// The entry, unless its time is over.
    fn live(&mut self, now: Instant, key: Key) -> Option<&mut Entry> {
        let at = self.find(key)?;
        if self.entries.get(at as usize)?.until <= now {
            self.remove(at);
            return None;
        }
        self.entries.get_mut(at as usize)
    }

    fn insert(&mut self, now: Instant, key: Key, carrier: CarrierId) {
        self.clear(now);
        let entry = Entry {
            key,
            carrier,
            failed: false,
            reserved: 0,
            sent: PartSet::default(),
            ended: PartSet::default(),
            until: now.after(AFFINITY_TTL),
            older: self.newest,
            newer: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        if let Some(place) = self.entries.get_mut(at as usize) {
            *place = entry;
        }
        self.link(self.newest, at);
        self.newest = at;
        let entries = &self.entries;
        let hash = |at: &u32| entries.get(*at as usize).map_or(0, |entry| entry.key.high);
        self.by_key.insert_unique(key.high, at, hash);
        debug_assert!(self.by_key.len() <= self.max);
    }

    /// Makes room: a few whose time is over, and the oldest when the table is full.
    fn clear(&mut self, now: Instant) {
        for _ in 0..EXPIRED_PER_CHOICE {
            match self.entries.get(self.oldest as usize) {
                Some(oldest) if oldest.until <= now => self.remove(self.oldest),
                Some(_) | None => break,
            }
        }
        if self.by_key.len() >= self.max {
            self.forgotten += 1;
            self.remove(self.oldest);
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(&Entry { key, older, newer, .. }) = self.entries.get(at as usize) else { return };
        match self.by_key.find_entry(key.high, |&found| found == at) {
            Ok(found) => {
                found.remove();
            }
            Err(_) => return,
        }
        self.link(older, newer);
        if self.newest == at {
            self.newest = older;
        }
        self.free.push(at);
    }

    /// Makes two entries neighbours; `NONE` is the end of the line.
    fn link(&mut self, older: u32, newer: u32) {
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        if let Some(entry) = self.entries.get_mut(newer as usize) {
            entry.older = older;
        }
    }
}

#[cfg(test)]
mod tests;
