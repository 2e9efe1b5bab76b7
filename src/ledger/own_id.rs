//! Our own message ids. Owns: the last one. Takes: the time. Gives: ids that are unique across restarts and shards.
//! Never: the same twice, as long as the wall clock does not go back over a restart.
//!
//! Decimal, at most 19 digits, below 2^63: microseconds since 2020 (50 bits, until 2055), 7 bits that count within
//! one, 6 bits for the shard. The counter only goes up, so a clock that stands still or jumps back costs nothing while
//! the process lives; 128 ids per microsecond are more than a core can relay.

use crate::time::Wall;

const EPOCH_US: i64 = 1_577_836_800_000_000;
const SEQUENCE_BITS: u32 = 7;
/// The book of a journal counts on it (`journal::book`).
const SHARD_BITS: u32 = 6;
/// Ids that a shard gives one after the other are so far apart, or further.
pub const ID_STEP: u64 = 1 << SHARD_BITS;
const TICKS_MAX: u64 = 1 << (63 - SHARD_BITS);

/// See the room's header.
#[derive(Debug)]
pub struct OwnIds {
    shard: u64,
    /// How far short ids of one shard are apart: those of the others stand between.
    step: u32,
    last: u64,
    short: u32,
}

impl OwnIds {
    /// Those of a shard of so many.
    ///
    /// # Panics
    /// There is no such shard, or there are more than 64.
    #[must_use]
    pub const fn new(shard: u64, shards: u32) -> Self {
        assert!(shard < 1 << SHARD_BITS && shard < shards as u64);
        Self { shard, step: shards.next_power_of_two(), last: 0, short: 0 }
    }

    /// From now on ids are above this one, which an earlier run gave: also when the wall clock has gone back.
    pub const fn above(&mut self, id: u64) {
        let tick = id >> SHARD_BITS;
        if tick > self.last {
            self.last = tick;
        }
    }

    /// The next one.
    pub fn next(&mut self, now: Wall) -> u64 {
        let micros = u64::try_from(now.0.saturating_sub(EPOCH_US)).unwrap_or(0);
        let tick = (micros << SEQUENCE_BITS) % TICKS_MAX;
        self.last = tick.max(self.last + 1) % TICKS_MAX;
        self.last << SHARD_BITS | self.shard
    }

    /// When an id was given, about: the clock may have gone back since the last one.
    #[must_use]
    pub const fn wall_of(id: u64) -> Wall {
        Wall((id >> (SHARD_BITS + SEQUENCE_BITS)) as i64 + EPOCH_US)
    }

    /// The shard that gave an id.
    #[must_use]
    pub const fn shard_of(id: u64) -> u32 {
        (id & ((1 << SHARD_BITS) - 1)) as u32
    }

    /// For 3.3 peers: 32 bits, started from the time so that a restart does not begin where the last one began.
    pub fn next_short(&mut self, now: Wall) -> u32 {
        if self.short == 0 {
            self.short = (now.0 / 1000) as u32 / self.step * self.step + self.shard as u32;
        }
        self.short = self.short.wrapping_add(self.step);
        if self.short == 0 {
            self.short = self.step;
        }
        self.short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_whatever_the_clock_does() {
        let mut ids = OwnIds::new(5, 6);
        let mut last = 0;
        for wall in
            [1_790_000_000_000_000, 1_790_000_000_000_000, 1_600_000_000_000_000, 1_790_000_000_000_001]
        {
            for _ in 0..1000 {
                let id = ids.next(Wall(wall));
                assert!(id > last && id.to_string().len() <= 19 && id & 63 == 5);
                last = id;
            }
        }
    }

    #[test]
    fn no_two_shards_give_the_same_short_id() {
        let mut given = std::collections::HashSet::new();
        for shard in 0..3 {
            let mut ids = OwnIds::new(shard, 3);
            // Over the end of 32 bits as well.
            let wall = Wall((i64::from(u32::MAX) - 200 + shard as i64) * 1000);
            assert!((0..100).all(|_| given.insert(ids.next_short(wall))));
        }
        assert!(!given.contains(&0));
    }

    #[test]
    fn a_restart_begins_above_the_former_ids() {
        let former = OwnIds::new(0, 1).next(Wall(1_790_000_000_000_000));
        assert!(OwnIds::new(0, 1).next(Wall(1_790_000_001_000_000)) > former);
    }
}
