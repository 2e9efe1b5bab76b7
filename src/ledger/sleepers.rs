//! Open messages that are on the disk alone. Owns: their keys, about in the order in which they were given. Takes: a message
//! that leaves memory. Gives: the oldest, and all of them a piece at a time. Never: knows of one whether it still sleeps; who
//! looks at it says so.

use super::pieces::Pieces;

/// See the room's header.
#[derive(Debug, Default)]
pub struct Sleepers {
    /// Some of them are stale.
    keys: Pieces<u64>,
    /// The piece that is looked at next.
    at: usize,
    len: usize,
}

impl Sleepers {
    /// Messages that sleep.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when none does.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One falls asleep.
    pub fn push(&mut self, key: u64) {
        self.len += 1;
        self.keys.push(key);
    }

    /// One wakes, or is over.
    pub fn wakes(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// The one that was given first.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.keys.first()
    }

    /// Nobody needs to look at that one any more.
    pub fn drop_first(&mut self) {
        let pieces = self.keys.pieces();
        self.keys.drop_first();
        if self.keys.pieces() < pieces {
            self.at = self.at.saturating_sub(1);
        }
    }

    /// From now on `look` begins with the first.
    pub fn begin(&mut self) {
        self.at = 0;
    }

    /// Looks at the next piece, and forgets those of it that do not `stay`. True: that was the last piece.
    pub fn look(&mut self, stays: impl FnMut(&u64) -> bool) -> bool {
        if self.keys.retain_in(self.at, stays) {
            self.at += 1;
        }
        let is_last = self.at >= self.keys.pieces();
        if is_last {
            self.at = 0;
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_all_of_them_comes_piece_by_piece_and_forgets_those_that_wake() {
        let mut sleepers = Sleepers::default();
        assert!(sleepers.look(|_| true) && sleepers.first().is_none());
        (0..2500).for_each(|key| sleepers.push(key));
        let looks = |sleepers: &mut Sleepers, stays: fn(u64) -> bool| {
            let (mut seen, mut pieces) = (Vec::new(), 1);
            sleepers.begin();
            let mut look = |key: &u64| {
                seen.push(*key);
                stays(*key)
            };
            while !sleepers.look(&mut look) {
                pieces += 1;
            }
            (seen, pieces)
        };
        assert_eq!(
            looks(&mut sleepers, |key| key % 3 == 0 && !(1024..2048).contains(&key)),
            ((0..2500).collect(), 3)
        );
        let (seen, pieces) = looks(&mut sleepers, |_| true);
        assert!(seen.iter().all(|key| key % 3 == 0) && pieces == 2 && seen.len() > 400, "{pieces}");
        assert_eq!(sleepers.first(), Some(0));
        sleepers.drop_first();
        assert_eq!(sleepers.first(), Some(3));
        (0..seen.len()).for_each(|_| sleepers.drop_first());
        assert!(sleepers.first().is_none());
    }
}
