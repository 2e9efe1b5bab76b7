//! Places of messages in the order of their keys, which is about that in which they came. Owns: that order. Takes: a place when
//! its message comes and when it goes. Gives: the one with a key, or the next one. Never: asks for a key that it can do without.
//!
//! A place takes 4 octets and seldom more than 6; nearly all come at the end.

use core::ops::Range;
use std::collections::VecDeque;

/// Places of a piece.
const PIECE: usize = 1024;

/// See the room's header.
#[derive(Debug, Default)]
pub(super) struct ByAge {
    pieces: VecDeque<VecDeque<u32>>,
}

impl ByAge {
    /// The piece that a key is in, or would be, and where in it.
    fn at(&self, key: u64, key_of: &impl Fn(u32) -> u64) -> (usize, usize) {
        let first = |piece: &VecDeque<u32>| piece.front().map_or(0, |place| key_of(*place));
        let piece = self.pieces.partition_point(|piece| first(piece) <= key).saturating_sub(1);
        let within =
            self.pieces.get(piece).map_or(0, |piece| piece.partition_point(|place| key_of(*place) < key));
        (piece, within)
    }

    /// Takes a place; no other one has its key.
    pub(super) fn insert(&mut self, place: u32, key_of: impl Fn(u32) -> u64) {
        let key = key_of(place);
        let last = self.pieces.back().and_then(VecDeque::back);
        if last.is_none_or(|last| key_of(*last) < key) {
            match self.pieces.back_mut().filter(|piece| piece.len() < PIECE) {
                Some(piece) => piece.push_back(place),
                None => self.pieces.push_back(VecDeque::from([place])),
            }
            return;
        }
        let (piece, within) = self.at(key, &key_of);
        let Some(full) = self.pieces.get_mut(piece) else { return };
        full.insert(within, place);
        if full.len() > PIECE {
            let mut upper = full.split_off(PIECE / 2);
            upper.shrink_to_fit();
            self.pieces.insert(piece + 1, upper);
        }
    }

    /// The places of these keys, in their order.
    pub(super) fn range(&self, keys: Range<u64>, key_of: impl Fn(u32) -> u64) -> impl Iterator<Item = u32> {
        let (piece, within) = self.at(keys.start, &key_of);
        let places = self.pieces.range(piece.min(self.pieces.len())..).flatten().skip(within).copied();
        let until = move |place: &u32| key_of(*place) < keys.end;
        places.take_while(until)
    }

    /// Puts out the place of this key.
    pub(super) fn remove(&mut self, key: u64, key_of: impl Fn(u32) -> u64) {
        let (at, within) = self.at(key, &key_of);
        let Some(piece) = self.pieces.get_mut(at) else { return };
        if piece.get(within).is_none_or(|place| key_of(*place) != key) {
            return debug_assert!(false, "it came once");
        }
        piece.remove(within);
        if piece.is_empty() {
            self.pieces.remove(at);
        } else if piece.len() < piece.capacity() / 2 {
            piece.shrink_to(piece.len() + piece.len() / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_an_ordered_map_in_whatever_order_they_come_and_go() {
        let (mut all, mut prng) = (ByAge::default(), Prng::new(5));
        let mut keys: Vec<u64> = Vec::new();
        let mut model = BTreeMap::new();
        for round in 0..20_000_u64 {
            // Most at the end, some between, as after a restart.
            let key = if prng.below(4) == 0 { prng.below(round * 8 + 1) } else { round * 8 };
            let place = keys.len() as u32;
            keys.push(key);
            if model.contains_key(&key) {
                continue;
            }
            model.insert(key, place);
            all.insert(place, |place| keys[place as usize]);
            let near = prng.below(round * 8 + 20);
            let next = model.range(near..).next().map(|(key, place)| (*key, *place));
            let found = all.range(near..u64::MAX, |place| keys[place as usize]).next();
            assert_eq!(found, next.map(|(_, place)| place));
            if round > 6000
                && let Some((key, _)) = next
            {
                model.remove(&key);
                all.remove(key, |place| keys[place as usize]);
            }
        }
        assert!(model.len() > 1000 && all.pieces.iter().map(VecDeque::len).sum::<usize>() == model.len());
        for (key, _) in model {
            all.remove(key, |place| keys[place as usize]);
        }
        assert!(all.pieces.is_empty());
    }
}
