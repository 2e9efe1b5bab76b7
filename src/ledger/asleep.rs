//! Accepted messages that are on the disk alone, as their carriers' ids find them.
//!
//! Owns: for each its key in the journal of its owner and 31 bits of the hash of its id. Takes: messages that nobody has asked
//! for in a while. Gives: the keys that an id may stand for. Never: says which it is; forgets one before its owner says so.
//!
//! One takes 12 octets and a little room to grow: parts of a few hundred are kept in order.

use super::{Entry, EntryKey, Given, IdText, Ledger, NewEntry, id_hash, mix};
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::smpp::id_form::{receipt_keys, response_key};
use crate::time::{Duration, Instant};
use smallvec::SmallVec;

/// So many entries are looked at for one that may leave memory.
const TIRED_LOOKS: usize = 64;

const HASH: u32 = u32::MAX >> 1;
const ASKED: u32 = 1 << 31;

/// Whether an entry may leave memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It may.
    May,
    /// Its message's owner was asked.
    Asked,
    /// A receipt has come, or its owner wants it awake.
    Never,
}

/// A key is two words: together with the hash they are 12 octets, not 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    key: [u32; 2],
    hash: u32,
}

const _: () = assert!(size_of::<Place>() == 12);

impl Place {
    const fn new(hash: u32, key: u64) -> Self {
        Self { key: [key as u32, (key >> 32) as u32], hash }
    }

    fn key(self) -> u64 {
        let [low, high] = self.key.map(u64::from);
        high << 32 | low
    }

    fn is(self, hash: u32) -> bool {
        self.hash & HASH == hash
    }

    const fn order(self) -> u32 {
        self.hash & HASH
    }
}

/// Parts; the lowest bits of a hash say which one.
const PARTS: usize = 4096;

/// See the room's header.
#[derive(Debug, Default)]
pub struct Asleep {
    /// Each in the order of the hashes. None before the first message.
    parts: Vec<Vec<Place>>,
    len: usize,
    /// Given by a restart, and in no part yet.
    coming: Vec<(u32, u64)>,
}

impl Asleep {
    /// What is kept of an id's hash.
    #[must_use]
    pub const fn short(hash: u64) -> u32 {
        // Of ids that stand side by side the index's hashes differ in few bits.
        (mix(hash) >> 7) as u32 & HASH
    }

    /// Messages.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Those with this hash.
    fn same(&mut self, hash: u32) -> &mut [Place] {
        let part = self.parts.get_mut(hash as usize % PARTS).map(Vec::as_mut_slice).unwrap_or_default();
        let from = part.partition_point(|place| place.order() < hash);
        let rest = part.get_mut(from..).unwrap_or_default();
        let until = rest.iter().take_while(|place| place.is(hash)).count();
        rest.get_mut(..until).unwrap_or_default()
    }

    /// Takes one.
    pub fn insert(&mut self, hash: u32, key: u64) {
        self.parts.resize_with(PARTS, Vec::new);
        let place = Place::new(hash & HASH, key);
        let Some(part) = self.parts.get_mut(place.hash as usize % PARTS) else { return };
        if part.len() == part.capacity() {
            part.reserve_exact((part.len() / 16).max(8));
        }
        let at = part.partition_point(|other| other.order() < place.hash);
        part.insert(at, place);
        self.len += 1;
    }

    /// Takes one of many: none is found before `put_in`.
    pub fn insert_later(&mut self, hash: u32, key: u64) {
        self.coming.push((hash & HASH, key));
    }

    /// Puts those where `insert` does, each part once.
    pub fn put_in(&mut self) {
        let coming = core::mem::take(&mut self.coming);
        if !self.is_empty() || coming.is_empty() {
            return coming.into_iter().for_each(|(hash, key)| self.insert(hash, key));
        }
        self.parts.resize_with(PARTS, Vec::new);
        let mut counts = vec![0_usize; PARTS];
        let part_of = |hash: u32| hash as usize % PARTS;
        for (hash, _) in &coming {
            counts.get_mut(part_of(*hash)).into_iter().for_each(|count| *count += 1);
        }
        let parts = self.parts.iter_mut();
        parts.zip(counts).for_each(|(part, count)| part.reserve_exact(count + (count / 16).max(8)));
        self.len = coming.len();
        // Of those with the same hash the last one is the first.
        for (hash, key) in coming.into_iter().rev() {
            self.parts.get_mut(part_of(hash)).into_iter().for_each(|part| part.push(Place::new(hash, key)));
        }
        self.parts.iter_mut().for_each(|part| part.sort_by_key(|place| place.order()));
    }

    /// True when one may have an id with this hash.
    #[must_use]
    pub fn has(&self, hash: u32) -> bool {
        let part = self.parts.get(hash as usize % PARTS);
        part.is_some_and(|part| part.binary_search_by_key(&hash, |place| place.order()).is_ok())
    }

    /// The keys of those that may, and have not been asked for: they are from now on.
    pub fn ask(&mut self, hash: u32) -> SmallVec<[u64; 2]> {
        let new = self.same(hash).iter_mut().filter(|place| place.hash & ASKED == 0);
        let ask = |place: &mut Place| {
            place.hash |= ASKED;
            place.key()
        };
        new.map(ask).collect()
    }

    /// One may be asked for again.
    pub fn answered(&mut self, hash: u32, key: u64) {
        let same = self.same(hash).iter_mut().filter(|place| place.key() == key);
        same.for_each(|place| place.hash &= HASH);
    }

    /// One is not asleep any more. False: it was not.
    pub fn remove(&mut self, hash: u32, key: u64) -> bool {
        let Some(part) = self.parts.get_mut(hash as usize % PARTS) else { return false };
        let from = part.partition_point(|place| place.order() < hash);
        let found =
            part.iter().skip(from).take_while(|place| place.is(hash)).position(|place| place.key() == key);
        let Some(at) = found else { return false };
        part.remove(from + at);
        if part.len() < part.capacity() / 2 {
            part.shrink_to(part.len() + part.len() / 16);
        }
        self.len -= 1;
        true
    }
}

impl Entry {
    /// True while its owner is asked whether it may leave memory: what comes for it waits.
    #[must_use]
    pub fn falls_asleep(&self) -> bool {
        self.sleep == Sleep::Asked
    }

    /// What an owner that has its records can read back: one destination, an id that does not need the index.
    fn may_sleep(&self) -> bool {
        let can = self.record != 0 && self.awaited == 1 && self.several.is_none();
        can && self.sleep == Sleep::May && !self.done && !matches!(self.given, Given::Short(_))
    }
}

impl Ledger {
    /// The next entry that was accepted before this and may leave memory; its message's owner is asked from now on. With it
    /// the session that submitted it, and its records. A few are looked at for it.
    pub fn tired(&mut self, before: Instant) -> Option<(EntryKey, EsmeId, (LinkId, u64))> {
        for _ in 0..TIRED_LOOKS {
            let key = *self.awaiting.get(self.looked_at)?;
            let entry = self.get_mut(key);
            if entry.as_ref().is_some_and(|entry| entry.accepted() > before) {
                return None;
            }
            let tired = entry.filter(|entry| entry.may_sleep()).map(|entry| {
                entry.sleep = Sleep::Asked;
                (key, entry.esme, (entry.link, entry.record))
            });
            self.looked_at += 1;
            if tired.is_some() {
                return tired;
            }
        }
        None
    }

    /// An owner wants a message in memory.
    pub fn stays(&mut self, key: EntryKey) -> Option<(CarrierId, IdText)> {
        let entry = self.get_mut(key)?;
        entry.sleep = Sleep::Never;
        Some((entry.carrier, entry.id.clone()))
    }

    /// The message of an entry is on the disk alone, and has this key there.
    pub fn sleeps(&mut self, at: EntryKey, key: u64) -> Option<(CarrierId, IdText)> {
        let entry = self.get(at)?;
        debug_assert!(entry.falls_asleep());
        let (carrier, id) = (entry.carrier, entry.id.clone());
        self.asleep.insert(Asleep::short(id_hash(carrier, entry.key)), key);
        self.remove(at);
        Some((carrier, id))
    }

    /// A message of the last run is on the disk alone.
    pub fn slept(&mut self, carrier: CarrierId, id: &[u8], key: u64) {
        self.asleep.insert(Self::sleep_hash(carrier, id), key);
    }

    /// The same of many: none is found before `all_slept`.
    pub fn slept_too(&mut self, carrier: CarrierId, id: &[u8], key: u64) {
        self.asleep.insert_later(Self::sleep_hash(carrier, id), key);
    }

    /// Those are found from now on.
    pub fn all_slept(&mut self) {
        self.asleep.put_in();
    }

    /// What is kept of a message with this id of this carrier while it is on the disk alone.
    #[must_use]
    pub fn sleep_hash(carrier: CarrierId, id: &[u8]) -> u32 {
        Asleep::short(id_hash(carrier, response_key(id)))
    }

    /// True when the message of a receipt of this carrier with this id may be one that is on the disk alone.
    #[must_use]
    pub fn may_sleep(&self, carrier: CarrierId, receipt_id: &[u8]) -> bool {
        let hash = |key| Asleep::short(id_hash(carrier, key));
        !self.asleep.is_empty() && receipt_keys(receipt_id).any(|one| self.asleep.has(hash(one.key)))
    }

    /// True when one with this hash is on the disk alone.
    #[must_use]
    pub fn has_sleeper(&self, hash: u32) -> bool {
        self.asleep.has(hash)
    }

    /// The hashes of those that it may be.
    #[must_use]
    pub fn sleeper_hashes(&self, carrier: CarrierId, receipt_id: &[u8]) -> SmallVec<[u32; 3]> {
        let hashes = receipt_keys(receipt_id).map(|one| Asleep::short(id_hash(carrier, one.key)));
        hashes.filter(|hash| self.asleep.has(*hash)).collect()
    }

    /// The keys of those that it may be, and their hashes; each once.
    pub fn sleepers(&mut self, carrier: CarrierId, receipt_id: &[u8]) -> SmallVec<[(u64, u32); 2]> {
        let hashes = receipt_keys(receipt_id).map(|one| Asleep::short(id_hash(carrier, one.key)));
        let asleep = &mut self.asleep;
        hashes.flat_map(|hash| asleep.ask(hash).into_iter().map(move |key| (key, hash))).collect()
    }

    /// The hashes of those of `carriers` that an account may call by this id of theirs.
    #[must_use]
    pub fn sleepers_of_account(&self, id: &[u8], carriers: u32) -> SmallVec<[(CarrierId, u32); 2]> {
        let all = (0..if self.asleep.is_empty() { 0 } else { carriers }).map(CarrierId);
        let hashes = all.map(|carrier| (carrier, Self::sleep_hash(carrier, id)));
        hashes.filter(|(_, hash)| self.asleep.has(*hash)).collect()
    }

    /// A message is back from the disk, and was accepted so long ago. It stays: what asked for it may ask again.
    pub fn wakes(&mut self, now: Instant, key: u64, age: Duration, new: &NewEntry<'_>) {
        self.asleep.remove(Self::sleep_hash(new.carrier, new.id), key);
        let accepted = now.since(Instant::ZERO).saturating_sub(age);
        let key = self.insert(Instant::ZERO.after(accepted), new);
        self.stays(key);
    }

    /// A message that was on the disk alone is over, or stays there and may be asked for again.
    pub fn gone(&mut self, hash: u32, key: u64, over: bool) {
        if over {
            self.asleep.remove(hash, key);
        } else {
            self.asleep.answered(hash, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix;
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn those_that_are_put_in_at_once_stand_where_they_would_one_by_one() {
        let (mut one_by_one, mut at_once, mut prng) = (Asleep::default(), Asleep::default(), Prng::new(5));
        for round in 0..2 {
            for key in 0..3000 {
                // Several of a hash, and parts with many and with none.
                let hash = (prng.below(500) * 4097 % (1 << 31)) as u32;
                one_by_one.insert(hash, round * 3000 + key);
                at_once.insert_later(hash, round * 3000 + key);
            }
            at_once.put_in();
            at_once.put_in();
            assert_eq!((&one_by_one.parts, one_by_one.len()), (&at_once.parts, at_once.len()));
        }
    }

    #[test]
    fn those_that_an_id_may_stand_for_are_asked_for_once() {
        let mut asleep = Asleep::default();
        assert!(!asleep.has(7));
        for (hash, key) in [(7, 1 << 40), (7, u64::MAX), (8, 3)] {
            asleep.insert(hash, key);
        }
        assert!(asleep.has(7) && asleep.has(8) && !asleep.has(9));
        let mut keys = asleep.ask(7);
        keys.sort_unstable();
        assert_eq!(&keys[..], [1 << 40, u64::MAX]);
        assert!(asleep.ask(7).is_empty() && asleep.has(7));
        assert!(asleep.remove(7, u64::MAX) && !asleep.remove(7, u64::MAX) && !asleep.remove(7, 3));
        assert_eq!(asleep.len(), 2);
        asleep.insert(7, 5);
        assert_eq!(&asleep.ask(7)[..], [5]);
    }

    #[test]
    fn many_are_found_by_their_hashes() {
        let mut asleep = Asleep::default();
        let hash = |key: u64| Asleep::short(mix(key * 3));
        (0..50_000).for_each(|key| asleep.insert(hash(key), key));
        assert!((0..50_000).all(|key| asleep.ask(hash(key)).contains(&key) || asleep.has(hash(key))));
        assert!((0..50_000).all(|key| asleep.remove(hash(key), key)));
        assert!(asleep.is_empty());
    }
}
