//! A table in many small ones, so that no turn waits while it grows: of a million entries one growth moves a few thousand.
//! Owns: the entries. Takes: them with their hash. Gives: them back by it. Never: asks for a hash but when a part grows.

use hashbrown::HashTable;

/// Entries for which a part that shrinks keeps room.
const PART_ROOM: usize = 16;
/// Parts; the hash says which one.
const PARTS: usize = 256;

/// See the room's header.
#[derive(Debug)]
pub struct Split<T> {
    parts: Box<[HashTable<T>; PARTS]>,
    /// Never asked: eight bits of a hash name one of the others.
    none: HashTable<T>,
    len: usize,
    /// Whose turn it is to shrink.
    shrunk: usize,
}

impl<T> Default for Split<T> {
    fn default() -> Self {
        let parts = Box::new(core::array::from_fn(|_| HashTable::new()));
        Self { parts, none: HashTable::new(), len: 0, shrunk: 0 }
    }
}

/// Numbers that come one after the other, so many of them at most, stand side by side in a table. With eight the parts differ so
/// much in what they hold that one or another grows for long after the start (`tests/alloc.rs`).
const NEIGHBOURS: u64 = 4;

/// The hash of a number: four that differ in their last two bits alone are on the same lines of the cache, so that of
/// what comes together one fetches the memory of the others.
#[inline]
#[must_use]
pub const fn neighbours(number: u64) -> u64 {
    let (all, last) = (number / NEIGHBOURS, number % NEIGHBOURS);
    let mixed = (all ^ (all >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The place within a part, and the tag that is compared before the entry is looked at.
    mixed ^ (mixed >> 32) ^ last ^ (last << 57)
}

/// Bits that a part uses neither for its places nor for its tags.
const fn part_of(hash: u64) -> usize {
    ((hash >> 40) as u8) as usize
}

impl<T> Split<T> {
    /// Entries held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn part(&self, hash: u64) -> &HashTable<T> {
        self.parts.get(part_of(hash)).unwrap_or(&self.none)
    }

    #[inline]
    fn part_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        self.parts.get_mut(part_of(hash)).unwrap_or(&mut self.none)
    }

    /// One with this hash.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        self.part(hash).find(hash, is_it)
    }

    /// The same, to be changed; its hash stays.
    #[inline]
    #[must_use]
    pub fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.part_mut(hash).find_mut(hash, is_it)
    }

    /// All with this hash.
    #[inline]
    pub fn iter_hash(&self, hash: u64) -> impl Iterator<Item = &T> {
        self.part(hash).iter_hash(hash)
    }

    /// So many more are to come: parts that get about their share of them do not grow on the way.
    pub fn reserve(&mut self, more: usize, hasher: impl Fn(&T) -> u64) {
        self.parts.iter_mut().for_each(|part| part.reserve(more / PARTS, &hasher));
    }

    /// The next part in turn takes less memory when it holds few: where it had many they lie far apart, each on lines of the
    /// cache of its own. It has room for as many again, so that it does not grow at once. True when all have had their turn.
    pub fn shrink_one(&mut self, hasher: impl Fn(&T) -> u64) -> bool {
        if let Some(part) = self.parts.get_mut(self.shrunk) {
            part.shrink_to(2 * part.len() + PART_ROOM, hasher);
        }
        self.shrunk = (self.shrunk + 1) % PARTS;
        self.shrunk == 0
    }

    /// Takes an entry that is not there yet; `hasher` says the hash of one that is.
    #[inline]
    pub fn insert_unique(&mut self, hash: u64, entry: T, hasher: impl Fn(&T) -> u64) {
        self.part_mut(hash).insert_unique(hash, entry, hasher);
        self.len += 1;
    }

    /// Puts an entry out.
    #[inline]
    pub fn remove(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let entry = self.part_mut(hash).find_entry(hash, is_it).ok()?.remove().0;
        self.len -= 1;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_and_its_parts_share_it() {
        let hash = |number: &u64| (*number ^ (*number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut all = Split::default();
        for number in 0..100_000_u64 {
            all.insert_unique(hash(&number), number, hash);
        }
        assert_eq!(all.len(), 100_000);
        let largest = all.parts.iter().map(HashTable::len).max().unwrap();
        assert!(largest < 100_000 / PARTS * 2, "{largest}");
        for number in (0..100_000).step_by(7) {
            assert_eq!(all.remove(hash(&number), |other| *other == number), Some(number));
            assert_eq!(all.find(hash(&number), |other| *other == number), None);
        }
        assert_eq!(all.iter_hash(hash(&8)).filter(|other| **other == 8).count(), 1);
        *all.find_mut(hash(&8), |other| *other == 8).unwrap() = 8;
        assert_eq!(all.len(), 100_000 - 100_000_usize.div_ceil(7));
    }

    #[test]
    fn numbers_that_follow_each_other_stand_side_by_side_and_all_others_apart() {
        let lines = |numbers: core::ops::Range<u64>| {
            numbers.map(|number| (part_of(neighbours(number)), neighbours(number) & 0xFC)).collect::<Vec<_>>()
        };
        assert!(
            (0..1000).all(|four| lines(four * 4..four * 4 + 4).windows(2).all(|pair| pair[0] == pair[1]))
        );
        for step in [1, 8, 64, 1 << 14, 1 << 20, 1 << 40] {
            let mut all = Split::default();
            for number in (0..50_000_u64).map(|count| count * step) {
                all.insert_unique(neighbours(number), number, |number| neighbours(*number));
            }
            let largest = all.parts.iter().map(HashTable::len).max().unwrap();
            assert!(largest < 50_000 / PARTS * 2, "{step}: {largest}");
            let looked_at = |number: u64| all.part(neighbours(number)).iter_hash(neighbours(number)).count();
            let most = (0..50_000).map(|count| looked_at(count * step)).max();
            assert!(most < Some(16), "{step}: {most:?}");
        }
    }

    #[test]
    fn it_takes_less_memory_when_it_is_asked_to_and_holds_what_it_held() {
        let hash = |number: &u64| (*number ^ (*number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut all = Split::default();
        (0..100_000_u64).for_each(|number| all.insert_unique(hash(&number), number, hash));
        (4_000..100_000)
            .for_each(|number| assert!(all.remove(hash(&number), |other| *other == number).is_some()));
        assert_eq!((0..PARTS).filter(|_| all.shrink_one(hash)).count(), 1);
        let room: usize = all.parts.iter().map(HashTable::capacity).sum();
        assert!(room < 5 * 4_000, "{room}");
        assert!((0..4_000).all(|number| all.find(hash(&number), |other| *other == number).is_some()));
    }
}
