//! The lanes between the shards of a node: first in, first out, of a few letters; what does not fit stays with its sender
//! in order.

use crate::wire::WireId;
use bindery::prng::Prng;
use bindery::shard::mail::{Mail, Parcel};
use bindery::time::{Duration, Instant};
use std::collections::VecDeque;

/// What goes from one shard to another.
#[derive(Debug)]
pub(crate) enum Letter {
    Mail(Mail),
    /// A link, with what is known of it.
    Link(WireId, Parcel),
}

#[derive(Debug, Default)]
struct Lane {
    /// With the sender.
    waiting: VecDeque<Letter>,
    /// In the lane.
    inside: VecDeque<Letter>,
    /// When the last one that is inside arrives.
    last: Instant,
    /// Letters take so long at most, until then.
    slow: Option<(Duration, Instant)>,
}

/// All lanes of a node.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    shards: usize,
    room: usize,
    delay: Duration,
}

impl Lanes {
    /// Lanes of so many letters, each of which takes at most `delay`.
    pub(crate) fn new(shards: usize, room: usize, delay: Duration) -> Self {
        let lanes = core::iter::repeat_with(Lane::default).take(shards * shards).collect();
        Self { lanes, shards, room, delay }
    }

    fn lane(&mut self, from: usize, to: usize) -> &mut Lane {
        &mut self.lanes[from * self.shards + to]
    }

    /// A letter is written.
    pub(crate) fn put(&mut self, from: usize, to: usize, letter: Letter) {
        assert_ne!(from, to, "a shard writes to itself");
        self.lane(from, to).waiting.push_back(letter);
    }

    /// The next letter enters the lane, if it has room: when it arrives.
    pub(crate) fn take_up(
        &mut self,
        from: usize,
        to: usize,
        now: Instant,
        prng: &mut Prng,
    ) -> Option<Instant> {
        let (room, delay) = (self.room, self.delay);
        let lane = self.lane(from, to);
        if lane.inside.len() >= room {
            return None;
        }
        let letter = lane.waiting.pop_front()?;
        lane.inside.push_back(letter);
        let slow = lane.slow.filter(|(_, until)| *until > now);
        let longest = slow.map_or(delay, |(delay, _)| delay);
        let takes = Duration::from_micros(prng.below(longest.as_micros() as u64 + 1));
        lane.last = now.after(takes).max(lane.last);
        Some(lane.last)
    }

    /// The first letter inside has arrived.
    pub(crate) fn arrive(&mut self, from: usize, to: usize) -> Option<Letter> {
        self.lane(from, to).inside.pop_front()
    }

    /// Letters take up to `delay` until then.
    pub(crate) fn slow(&mut self, from: usize, to: usize, delay: Duration, until: Instant) {
        self.lane(from, to).slow = Some((delay, until));
    }
}
