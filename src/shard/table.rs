//! A table of what is too large to be moved. Owns: the entries, each in one place from its making until it is over, and the
//! places that are free. Takes: what an entry begins as. Gives: entries, by a handle that tells stale from live. Never:
//! allocates while a place is free.
//!
//! An entry that is taken out is a pointer to its place; who ends it gives the place back with `keep`. One that is dropped
//! instead costs an allocation later, and nothing else.

use slotmap::{Key, SlotMap};

#[derive(Debug)]
pub(super) struct Table<K: Key, T> {
    entries: SlotMap<K, Box<T>>,
    free: Vec<Box<T>>,
}

impl<K: Key, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { entries: SlotMap::with_key(), free: Vec::new() }
    }
}

impl<K: Key, T> Table<K, T> {
    /// Makes an entry, in its place; it is not in the table yet.
    #[inline(always)]
    pub(super) fn make(&mut self, entry: impl FnOnce() -> T) -> Box<T> {
        let Some(mut place) = self.free.pop() else { return Box::new(entry()) };
        *place = entry();
        place
    }

    /// Puts one in that was made or taken out before.
    #[inline]
    pub(super) fn insert(&mut self, entry: Box<T>) -> K {
        self.entries.insert(entry)
    }

    #[inline]
    pub(super) fn get(&self, key: K) -> Option<&T> {
        self.entries.get(key).map(Box::as_ref)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.entries.get_mut(key).map(Box::as_mut)
    }

    /// Where one is.
    #[inline]
    pub(super) fn place(&self, key: K) -> Option<*const T> {
        self.entries.get(key).map(|entry| core::ptr::from_ref(entry.as_ref()))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().map(|(key, entry)| (key, entry.as_ref()))
    }

    /// Takes one out.
    #[inline]
    pub(super) fn remove(&mut self, key: K) -> Option<Box<T>> {
        self.entries.remove(key)
    }

    /// It is over with one that was taken out: the next one may have its place.
    #[inline]
    pub(super) fn keep(&mut self, over: Box<T>) {
        self.free.push(over);
    }

    /// It is over with one that is in it.
    pub(super) fn end(&mut self, key: K) {
        if let Some(over) = self.remove(key) {
            self.keep(over);
        }
    }

    /// Entries in it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::DefaultKey;

    #[test]
    fn a_place_is_used_again_and_a_former_handle_of_it_finds_nothing() {
        let mut table: Table<DefaultKey, u64> = Table::default();
        let first = table.make(|| 1);
        let first = table.insert(first);
        let over = table.remove(first).unwrap();
        let place = core::ptr::from_ref(&*over);
        table.keep(over);
        let next = table.make(|| 2);
        assert_eq!((core::ptr::from_ref(&*next), *next), (place, 2));
        let next = table.insert(next);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.len(), 1);
        assert_eq!(table.get(next), Some(&2));
    }
}
