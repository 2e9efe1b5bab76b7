//! A queue in pieces, so that no turn waits while it grows, and what was used of it is used again. Owns: the entries. Takes:
//! them at its end. Gives: the first, and all of a piece. Never: an empty piece.

use std::collections::VecDeque;

/// Entries of a piece.
const PIECE: usize = 1024;

/// See the room's header.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    pieces: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), len: 0 }
    }
}

impl<T: Copy> Pieces<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn push(&mut self, entry: T) {
        self.len += 1;
        match self.pieces.back_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push_back(entry),
            None => {
                let mut piece = VecDeque::with_capacity(PIECE);
                piece.push_back(entry);
                self.pieces.push_back(piece);
            }
        }
    }

    pub(super) fn first(&self) -> Option<T> {
        self.pieces.front()?.front().copied()
    }

    pub(super) fn drop_first(&mut self) {
        let Some(piece) = self.pieces.front_mut() else { return };
        self.len -= usize::from(piece.pop_front().is_some());
        if piece.is_empty() {
            self.pieces.pop_front();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    /// Keeps of a piece what `stays`; false: the piece is gone, and the next one has its place.
    pub(super) fn retain_in(&mut self, at: usize, stays: impl FnMut(&T) -> bool) -> bool {
        let Some(piece) = self.pieces.get_mut(at) else { return false };
        let before = piece.len();
        piece.retain(stays);
        self.len -= before - piece.len();
        if piece.is_empty() {
            self.pieces.remove(at);
            return false;
        }
        if piece.len() < piece.capacity() / 2 {
            piece.shrink_to_fit();
        }
        true
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        let mut at = 0;
        while at < self.pieces.len() {
            at += usize::from(self.retain_in(at, &mut stays));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_queue_whatever_leaves_it_in_the_middle() {
        let mut all = Pieces::default();
        (0..5000).for_each(|entry| all.push(entry));
        assert_eq!((all.len(), all.pieces(), all.first()), (5000, 5, Some(0)));
        all.retain(|entry| entry % 2 == 1 && !(2048..3072).contains(entry));
        assert_eq!((all.len(), all.pieces()), (5000 / 2 - 512, 4));
        let left: Vec<i32> = all.iter().copied().collect();
        assert!(left.is_sorted() && left.len() == all.len());
        for entry in left {
            assert_eq!(all.first(), Some(entry));
            all.drop_first();
        }
        assert_eq!((all.len(), all.pieces(), all.first()), (0, 0, None));
    }
}
