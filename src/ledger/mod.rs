//! What we promised: which message a carrier's id stands for, and who is to get its receipts.
//!
//! Owns: one entry per accepted message, bounded; receipts that came before their message was known. Takes: accepted
//! messages, receipts. Gives: the entry that a receipt belongs to, or none. Never: guesses; a receipt for the wrong
//! account is worse than one that is late.

pub mod asleep;
mod by_age;
pub mod end;
pub mod form;
mod id_room;
pub mod open;
pub mod over;
pub mod own_id;
mod pace;
pub mod parked;
mod pieces;
mod remains;
pub mod restored;
mod shelf;
pub mod sleepers;
pub mod stored;
pub mod stored_message;
mod unsorted;

pub use end::{End, ErrorText};
pub use form::FormLearner;
pub use id_room::IdRoom;
pub use open::{OpenKey, OpenMessage, OpenMessages};
pub use over::Over;
pub use parked::{Parked, ParkedKey};
pub use remains::{Lone, Remains, Still};
pub use restored::Restored;
pub use sleepers::Sleepers;
pub use stored::Stored;
pub use stored_message::{Octets, Stand, StoredKey, StoredMessage};

use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::limits::{
    ADDRESS_TAIL, LEDGER_RECENT_FAST, LEDGER_RECENT_MAX, LEDGER_UNSORTED_MAX, RECEIPT_KEEP,
    RECEIPTS_AWAITED_MAX,
};
use crate::smpp::id_form::{IdKey, response_key};
use crate::split::{Split, neighbours};
use crate::time::Instant;
use asleep::{Asleep, Sleep};
use hashbrown::HashTable;
use pace::Pace;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use unsorted::Unsorted;

/// A carrier's id; most are short.
pub type IdText = SmallVec<[u8; 24]>;

/// The id that the ESME was given for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The carrier's.
    Carrier,
    /// Ours: decimal.
    Own(u64),
    /// Ours for a 3.3 peer: 8 hex digits.
    Short(u32),
}

impl Given {
    /// As the ESME sees it; `None`: the carrier's.
    #[must_use]
    pub fn text(self) -> Option<IdText> {
        self.text_in(&mut IdRoom::default()).map(IdText::from_slice)
    }

    /// The same, written into `room`.
    #[inline]
    pub fn text_in(self, room: &mut IdRoom) -> Option<&[u8]> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        match self {
            Self::Carrier => None,
            Self::Own(number) => Some(room.decimal(number)),
            Self::Short(number) => {
                for (place, octet) in room.hex.iter_mut().rev().enumerate() {
                    *octet = HEX.get((number >> (4 * place)) as usize & 0xF).copied().unwrap_or_default();
                }
                Some(&room.hex)
            }
        }
    }

    /// What `text` gave; an empty one is the carrier's.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        Self::own_of(text).unwrap_or(Self::Carrier)
    }

    /// What an ESME's text can stand for among our own ids.
    fn own_of(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        if text.len() == 8
            && let Ok(number) = u32::from_str_radix(text, 16)
        {
            return Some(Self::Short(number));
        }
        text.parse().ok().map(Self::Own)
    }

    fn hash(self) -> u64 {
        let number = match self {
            Self::Carrier => 0,
            Self::Own(number) => number,
            Self::Short(number) => u64::from(number) | 1 << 63,
        };
        mix(number)
    }
}

const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

/// The last digits of an address, at most seven: how a receipt's destination is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressTail(u64);

impl AddressTail {
    /// Of several or no destinations: agrees with everything.
    pub const ANY: Self = Self(0);

    /// The tail of an address.
    #[must_use]
    pub fn of(digits: &[u8]) -> Self {
        const { assert!(ADDRESS_TAIL < size_of::<u64>()) };
        if let Some((_, last)) = digits.split_last_chunk::<8>() {
            return Self(u64::from_be_bytes(*last) & ((1 << (8 * ADDRESS_TAIL)) - 1));
        }
        let from = digits.len().saturating_sub(ADDRESS_TAIL);
        let tail = digits.get(from..).unwrap_or_default();
        Self(tail.iter().fold(0, |packed, &octet| packed << 8 | u64::from(octet)))
    }

    /// True when the shorter one is the end of the longer one. An empty address agrees with everything.
    #[must_use]
    pub const fn agrees(self, other: Self) -> bool {
        let zeros = if self.0.leading_zeros() > other.0.leading_zeros() {
            self.0.leading_zeros()
        } else {
            other.0.leading_zeros()
        };
        let octets = 8 - zeros / 8;
        if octets == 0 {
            return true;
        }
        let shift = 64 - octets * 8;
        (self.0 << shift) == (other.0 << shift)
    }
}

/// Where a message goes, as its receipts are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destinations {
    /// One number, or none.
    One(AddressTail),
    /// Those of a submit_multi.
    Several(Arc<[AddressTail]>),
}

impl Destinations {
    /// Of the numbers in a record, with commas between. What is no number is the name of a list: it may be any.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        if !text.contains(&b',') {
            return Self::One(AddressTail::of(text));
        }
        let is_number = |part: &[u8]| part.iter().all(|octet| octet.is_ascii_digit() || *octet == b'+');
        let tails = text.split(|octet| *octet == b',');
        let tails = tails.map(|part| if is_number(part) { AddressTail::of(part) } else { AddressTail::ANY });
        Self::Several(tails.collect())
    }
}

/// How far the receipts of one destination of a submit_multi have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    WithEsme,
    Done,
}

/// The destinations of a submit_multi.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Several {
    tails: Arc<[AddressTail]>,
    progress: Vec<Progress>,
}

/// What a receipt is to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// News for the ESME, of this destination.
    News(u8),
    /// The ESME has one like it and has not answered.
    Busy,
    /// The ESME has had the last word on it.
    Over,
}

/// A message that a carrier accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who took it.
    pub carrier: CarrierId,
    /// The carrier's id, as in its response.
    pub id: IdText,
    /// What the ESME was given.
    pub given: Given,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it.
    pub link: LinkId,
    /// Where the response ends in that session's output.
    pub mark: u64,
    /// Its destination, when it is one.
    destination: AddressTail,
    several: Option<Box<Several>>,
    /// Final receipts that are still to come: 1, or the number of destinations of a submit_multi; 0 when none
    /// was asked for.
    pub awaited: u16,
    /// A final receipt is with the ESME, unanswered.
    with_esme: bool,
    /// The ESME has answered its last final receipt.
    pub done: bool,
    /// Its records, as its owner knows them; 0: it has none.
    pub record: u64,
    /// Until when the entry is kept.
    expires: Instant,
    key: IdKey,
    /// Found by hash, not in the ascending list.
    own_hashed: bool,
    sleep: Sleep,
}

impl Entry {
    /// True when a receipt for this number may be its.
    #[must_use]
    pub fn agrees(&self, tail: AddressTail) -> bool {
        match &self.several {
            None => self.destination.agrees(tail),
            Some(several) => several.tails.iter().any(|own| own.agrees(tail)),
        }
    }

    /// A receipt for this number has come. One that is final, and news, is with the ESME from now on.
    pub fn begin(&mut self, tail: AddressTail, is_final: bool) -> Begun {
        debug_assert!(
            self.sleep != Sleep::Asked,
            "what comes for it waits until its owner has said whether it sleeps"
        );
        self.sleep = Sleep::Never;
        if self.done {
            return Begun::Over;
        }
        let Some(several) = &mut self.several else {
            if is_final && self.with_esme {
                return Begun::Busy;
            }
            self.with_esme |= is_final;
            return Begun::News(0);
        };
        let of_number = several.tails.iter().zip(&several.progress).enumerate();
        let mut of_number = of_number.filter(|(_, (own, _))| own.agrees(tail));
        // The one of equal numbers that is least far.
        let rank = |progress: Progress| match progress {
            Progress::Open => 0,
            Progress::WithEsme => 1,
            Progress::Done => 2,
        };
        let first = of_number.by_ref().map(|(at, (_, progress))| (rank(*progress), at)).min();
        match first {
            None | Some((2, _)) => Begun::Over,
            Some((1, _)) if is_final => Begun::Busy,
            Some((_, at)) => {
                if is_final && let Some(progress) = several.progress.get_mut(at) {
                    *progress = Progress::WithEsme;
                }
                Begun::News(at as u8)
            }
        }
    }

    fn set(&mut self, destination: u8, to: Progress) {
        match &mut self.several {
            None => self.with_esme = false,
            Some(several) => {
                if let Some(progress) = several.progress.get_mut(usize::from(destination)) {
                    *progress = to;
                }
            }
        }
    }

    /// When the message was accepted.
    #[must_use]
    pub fn accepted(&self) -> Instant {
        Instant::ZERO.after(self.expires.since(Instant::ZERO).saturating_sub(RECEIPT_KEEP))
    }
}

/// A stale-safe handle of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey(u64);

impl EntryKey {
    const fn new(index: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | index as u64)
    }

    const fn index(self) -> u32 {
        self.0 as u32
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// As a letter carries it, and back.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// What `number` gave.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        Self(number)
    }
}

/// What the shard says of an accepted message.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// Who took it.
    pub carrier: CarrierId,
    /// The carrier's id; not empty.
    pub id: &'a [u8],
    /// What the ESME was given.
    pub given: Given,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it.
    pub link: LinkId,
    /// Where the response ends in that session's output.
    pub mark: u64,
    /// Where it goes.
    pub destination: &'a Destinations,
    /// Final receipts that were asked for.
    pub awaited: u16,
    /// Its records, as its owner knows them; 0: it has none.
    pub record: u64,
}

/// So many of the recent are put out together, and so often for one that comes.
const FORGOTTEN_AT_ONCE: usize = 32;
const FORGOTTEN_IN_A_ROW: usize = 2;
const _: () = assert!(FORGOTTEN_AT_ONCE < LEDGER_RECENT_FAST && LEDGER_RECENT_FAST < LEDGER_RECENT_MAX);

/// What is read to put an entry out is all that the next one is written to. Not on a cache line: a table of what is aligned so
/// cannot grow where it is, and a turn of 35 ms copied half a million of them.
#[derive(Debug)]
struct Place {
    generation: u32,
    entry: Option<Entry>,
}

const _: () = assert!(size_of::<Place>() <= 128);

/// The index of accepted messages of one shard.
///
/// Memory: messages that wait for a receipt are bounded by `RECEIPTS_AWAITED_MAX` and 72 h, all others (no receipt
/// asked for, or it came) by `LEDGER_RECENT_MAX`, at a high rate by `LEDGER_RECENT_FAST`; beyond, the oldest goes first. One
/// that waited is counted.
#[derive(Debug, Default)]
pub struct Ledger {
    places: Vec<Place>,
    free: Vec<u32>,
    by_id: Split<u32>,
    /// Our ids, which we give in ascending order: no hash is needed to find one. Stale ones stay until they reach the
    /// front or outnumber the others.
    own: VecDeque<(u64, EntryKey)>,
    /// Those that came later than they were given, and the short ones of 3.3 peers.
    by_own: HashTable<u32>,
    /// In order of arrival, since all are kept equally long. Done entries stay here as stale keys until they reach
    /// the front or outnumber the others.
    awaiting: VecDeque<EntryKey>,
    /// Those of them that do wait.
    awaited: usize,
    /// So many in front of them were looked at, whether they may leave memory.
    looked_at: usize,
    /// Those that have left it.
    asleep: Asleep,
    recent: VecDeque<EntryKey>,
    pace: Pace,
    /// Messages to one number whose receipt nobody asked for, in no table: most are never looked for. Once they are as
    /// many as may be, each new one takes the place of the oldest.
    unsorted: Vec<Unsorted>,
    /// Where that is.
    oldest: usize,
    /// Messages kept since somebody last looked for one.
    unlooked: usize,
    evicted: u64,
}

fn id_hash(carrier: CarrierId, key: IdKey) -> u64 {
    // Of one carrier's ids, which most write one after the other.
    neighbours(key.bits() ^ (u64::from(carrier.0) << 48))
}

fn entry_at(places: &[Place], index: u32) -> Option<&Entry> {
    places.get(index as usize).and_then(|place| place.entry.as_ref())
}

fn held(places: &[Place], key: EntryKey) -> Option<&Entry> {
    let place = places.get(key.index() as usize)?;
    place.entry.as_ref().filter(|_| place.generation == key.generation())
}

/// The entry at a place and its handle.
fn known_at(places: &[Place], index: u32) -> Option<(EntryKey, &Entry)> {
    let place = places.get(index as usize)?;
    Some((EntryKey::new(index, place.generation), place.entry.as_ref()?))
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries held, those on the disk too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.awake() + self.asleep.len()
    }

    fn awake(&self) -> usize {
        self.by_id.len() + self.unsorted.len()
    }

    /// Entries that wait for a receipt in memory.
    #[must_use]
    pub const fn awaited(&self) -> usize {
        self.awaited
    }

    /// True when none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that were put out, before their time, because the table was full.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Keeps an accepted message. One whose receipt nobody asked for goes into no table while nobody looks for any.
    #[inline(always)]
    pub fn keep(&mut self, now: Instant, new: &NewEntry<'_>) {
        self.unlooked = self.unlooked.saturating_add(1);
        if self.unlooked <= LEDGER_UNSORTED_MAX || !Unsorted::fits(new) {
            // A copy, so that what goes into no table is written nowhere else.
            let sorted = *new;
            self.insert(now, &sorted);
            return;
        }
        let at = if self.unsorted.len() < LEDGER_UNSORTED_MAX {
            self.unsorted.push(Unsorted::EMPTY);
            self.unsorted.len() - 1
        } else {
            let at = self.oldest;
            self.oldest = (at + 1) % LEDGER_UNSORTED_MAX;
            at
        };
        if let Some(place) = self.unsorted.get_mut(at) {
            place.fill(now, new);
        }
    }

    /// Somebody looks for a message: whatever is kept can be found from now on. To be called before each search.
    pub fn look(&mut self) {
        self.unlooked = 0;
        if self.unsorted.is_empty() {
            return;
        }
        let mut unsorted = core::mem::take(&mut self.unsorted);
        let (later, earlier) = unsorted.split_at(core::mem::take(&mut self.oldest));
        for kept in earlier.iter().chain(later) {
            let new = NewEntry {
                carrier: kept.carrier,
                id: kept.id.get(..usize::from(kept.id_length)).unwrap_or_default(),
                given: kept.given,
                esme: kept.esme,
                link: kept.link,
                mark: kept.mark,
                destination: &Destinations::One(kept.destination),
                awaited: 0,
                record: 0,
            };
            self.insert(kept.at, &new);
        }
        unsorted.clear();
        self.unsorted = unsorted;
    }

    /// Puts an accepted message into the tables.
    pub fn insert(&mut self, now: Instant, new: &NewEntry<'_>) -> EntryKey {
        debug_assert!(!new.id.is_empty());
        self.make_room(now);
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, entry: None });
            (self.places.len() - 1) as u32
        });
        let key = response_key(new.id);
        let ascends = |own: u64| self.own.back().is_none_or(|(last, _)| *last < own);
        let hashed = match new.given {
            Given::Carrier => false,
            Given::Own(own) => !ascends(own),
            Given::Short(_) => true,
        };
        let handle = self.fill(index, now, key, new, hashed);
        let places = &self.places;
        let rehash = |&at: &u32| entry_at(places, at).map_or(0, |entry| id_hash(entry.carrier, entry.key));
        self.by_id.insert_unique(id_hash(new.carrier, key), index, rehash);
        if let Given::Own(own) = new.given
            && !hashed
        {
            self.own.push_back((own, handle));
        }
        if hashed {
            let rehash = |&at: &u32| entry_at(places, at).map_or(0, |entry| entry.given.hash());
            self.by_own.insert_unique(new.given.hash(), index, rehash);
        }
        if new.awaited > 0 {
            self.awaiting.push_back(handle);
            self.awaited += 1;
        } else {
            self.recent.push_back(handle);
            self.pace.one_more();
        }
        handle
    }

    fn fill(&mut self, index: u32, now: Instant, key: IdKey, new: &NewEntry<'_>, hashed: bool) -> EntryKey {
        let Some(place) = self.places.get_mut(index as usize) else {
            return EntryKey::new(index, 0);
        };
        debug_assert!(place.entry.is_none());
        place.generation = place.generation.wrapping_add(1);
        let generation = place.generation;
        let (destination, several) = match new.destination {
            Destinations::One(tail) => (*tail, None),
            Destinations::Several(tails) => {
                let (tails, progress) = (Arc::clone(tails), vec![Progress::Open; tails.len()]);
                (AddressTail::ANY, Some(Box::new(Several { tails, progress })))
            }
        };
        let entry = place.entry.insert(Entry {
            carrier: new.carrier,
            id: IdText::new(),
            given: new.given,
            esme: new.esme,
            link: new.link,
            mark: new.mark,
            destination,
            several,
            awaited: new.awaited,
            with_esme: false,
            done: false,
            record: new.record,
            expires: now.after(RECEIPT_KEEP),
            key,
            own_hashed: hashed,
            sleep: Sleep::May,
        });
        // Where it stays: read from elsewhere to be moved, what was just written would be waited for.
        entry.id.extend_from_slice(new.id);
        EntryKey::new(index, generation)
    }

    fn make_room(&mut self, now: Instant) {
        while let Some(&oldest) = self.awaiting.front() {
            let waits = self.get(oldest).filter(|entry| !entry.done).map(|entry| entry.expires > now);
            if waits == Some(true) && self.awaited < RECEIPTS_AWAITED_MAX {
                break;
            }
            self.awaiting.pop_front();
            self.looked_at = self.looked_at.saturating_sub(1);
            if waits.is_some() {
                self.evicted += 1;
                self.remove(oldest);
            }
        }
        if now >= self.pace.until {
            self.pace.turns(now);
        }
        if self.recent.len() > self.pace.most {
            self.forget_some();
        } else if self.pace.shrinks {
            self.shrink();
        }
        while self.own.front().is_some_and(|(_, key)| self.get(*key).is_none()) {
            self.own.pop_front();
        }
        if self.own.len() > 2 * self.awake() + LEDGER_RECENT_MAX {
            let places = &self.places;
            self.own.retain(|(_, key)| held(places, *key).is_some());
        }
        if self.awaiting.len() > 2 * self.awaited + LEDGER_RECENT_MAX {
            let places = &self.places;
            self.looked_at = 0;
            self.awaiting.retain(|key| held(places, *key).is_some_and(|entry| !entry.done));
        }
    }

    /// More than one comes, but not all that a lower rate has left at once.
    fn forget_some(&mut self) {
        for _ in 0..FORGOTTEN_IN_A_ROW {
            if self.recent.len() > self.pace.most {
                self.forget_oldest();
            }
        }
    }

    /// Puts the oldest of the recent out, several at once: nobody has touched them for long, and the memory of all is
    /// asked for before any of it is needed.
    fn forget_oldest(&mut self) {
        let mut oldest = [(EntryKey::new(0, 0), 0); FORGOTTEN_AT_ONCE];
        for (place, key) in oldest.iter_mut().zip(self.recent.drain(..FORGOTTEN_AT_ONCE)) {
            let entry = entry_at(&self.places, key.index());
            *place = (key, entry.map_or(0, |entry| id_hash(entry.carrier, entry.key)));
        }
        let known =
            |(key, hash): &&(EntryKey, u64)| self.by_id.find(*hash, |&at| at == key.index()).is_some();
        // Not for the number, but for what it takes to know it.
        core::hint::black_box(oldest.iter().filter(known).count());
        for (key, _) in oldest {
            self.remove(key);
        }
    }

    /// There are few, where there were many: what held them gets smaller, a piece at a time.
    #[cold]
    fn shrink(&mut self) {
        let places = &self.places;
        let rehash = |&at: &u32| entry_at(places, at).map_or(0, |entry| id_hash(entry.carrier, entry.key));
        if self.by_id.shrink_one(rehash) {
            self.pace.shrinks = false;
            self.recent.shrink_to(2 * LEDGER_RECENT_FAST);
            if self.own.len() < LEDGER_RECENT_MAX {
                self.own.shrink_to_fit();
            }
        }
    }

    /// Puts an entry out.
    pub fn remove(&mut self, key: EntryKey) {
        let index = key.index();
        let Some(place) = self.places.get_mut(index as usize) else { return };
        if place.generation != key.generation() {
            return;
        }
        let Some(entry) = &place.entry else { return };
        self.awaited -= usize::from(entry.awaited > 0);
        self.by_id.remove(id_hash(entry.carrier, entry.key), |&at| at == index);
        if entry.own_hashed
            && let Ok(found) = self.by_own.find_entry(entry.given.hash(), |&at| at == index)
        {
            found.remove();
        }
        place.entry = None;
        self.free.push(index);
    }

    /// The entry of a handle, if it is still held.
    #[must_use]
    pub fn get(&self, key: EntryKey) -> Option<&Entry> {
        held(&self.places, key)
    }

    /// As `get`, to be changed.
    pub fn get_mut(&mut self, key: EntryKey) -> Option<&mut Entry> {
        let place = self.places.get_mut(key.index() as usize)?;
        place.entry.as_mut().filter(|_| place.generation == key.generation())
    }

    /// What is at a place of the index, most likely (`FormLearner::place_of`).
    #[must_use]
    pub fn at_place(&self, place: u64) -> Option<EntryKey> {
        self.by_id.find(place, |_| true).map(|index| EntryKey::new(*index, 0))
    }

    /// Asks for the memory of what is at a place, whatever that is by now. Gives the records that it names.
    #[must_use]
    pub fn ask(&self, at: EntryKey) -> Option<u64> {
        let place = self.places.get(at.index() as usize)?;
        core::hint::black_box(place.generation);
        place.entry.as_ref().map(|entry| entry.record)
    }

    /// The ESME did not take a final receipt of this destination: it may come again.
    pub fn receipt_back(&mut self, key: EntryKey, destination: u8) {
        if let Some(entry) = self.get_mut(key) {
            entry.set(destination, Progress::Open);
        }
    }

    /// What the last run knew of the destinations: these are over, or with the ESME.
    pub fn are_over(&mut self, key: EntryKey, over: &Over) {
        if let Some(several) = self.get_mut(key).and_then(|entry| entry.several.as_mut()) {
            for (_, progress) in several.progress.iter_mut().enumerate().filter(|(at, _)| over.has(*at)) {
                *progress = Progress::Done;
            }
        }
    }

    /// The ESME answered a final receipt of this message with success: one fewer is awaited. With the last one the
    /// message is done; its entry is kept for a while among the recent ones, to know duplicates by.
    pub fn receipt_done(&mut self, key: EntryKey, destination: u8) {
        let Some(entry) = self.get_mut(key) else { return };
        entry.set(destination, Progress::Done);
        if entry.awaited > 1 {
            entry.awaited -= 1;
        } else if !entry.done {
            entry.done = true;
            self.awaited -= usize::from(core::mem::take(&mut entry.awaited));
            self.recent.push_back(key);
            self.pace.one_more();
            // Receipts may come for long when no message does.
            if self.recent.len() > self.pace.most {
                self.forget_some();
            }
        }
    }

    /// The entries of a carrier whose id has this key.
    pub(crate) fn with_key(
        &self,
        carrier: CarrierId,
        key: IdKey,
    ) -> impl Iterator<Item = (EntryKey, &Entry)> {
        debug_assert!(self.unsorted.is_empty(), "`look` comes first");
        let same =
            self.by_id.iter_hash(id_hash(carrier, key)).filter_map(|&index| known_at(&self.places, index));
        same.filter(move |(_, entry)| entry.key == key && entry.carrier == carrier)
    }

    /// The message that an account calls by this id: ours, or that of one of `carriers`.
    #[must_use]
    pub fn of_account(&self, esme: EsmeId, id: &[u8], carriers: u32) -> Option<(EntryKey, &Entry)> {
        debug_assert!(self.unsorted.is_empty(), "`look` comes first");
        if let Some(Given::Own(own)) = Given::own_of(id)
            && let Ok(at) = self.own.binary_search_by_key(&own, |(own, _)| *own)
            && let Some((_, key)) = self.own.get(at)
            && let Some(entry) = self.get(*key).filter(|entry| entry.esme == esme)
        {
            return Some((*key, entry));
        }
        if let Some(own) = Given::own_of(id) {
            let mut same = self.by_own.iter_hash(own.hash());
            let found = same.find_map(|&index| {
                let (key, entry) = known_at(&self.places, index)?;
                (entry.given == own && entry.esme == esme).then_some((key, entry))
            });
            if found.is_some() {
                return found;
            }
        }
        let key = response_key(id);
        (0..carriers).find_map(|carrier| {
            self.with_key(CarrierId(carrier), key).find(|(_, entry)| {
                entry.esme == esme && entry.given == Given::Carrier && entry.id.as_slice() == id
            })
        })
    }
}

#[cfg(test)]
mod tests;
