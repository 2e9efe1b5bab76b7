//! Lanes: what the shards of a node send each other, in order.
//!
//! Owns: one bounded ring per ordered pair of shards, what did not fit into it, who sleeps. Takes: posts. Gives: posts,
//! and a wake to a shard that has said that it sleeps. Never: waits for a ring, loses a post, reorders two.
//!
//! There is one lane each way, not one per kind: an answer and a later request of the same shard keep their order. No
//! shard waits for another: what does not fit stays with its sender, and a receiver takes whatever its own output does.
//!
//! A shard that goes to sleep says so and then looks once more; a shard that has put a post into a lane looks whether the
//! other sleeps. A sequentially consistent fence stands between the two steps of each, so one of them sees the other.
//! The same holds for a sender that sleeps with posts that found no room, and the receiver that makes room.

mod flag;

use super::{Clock, StopHandle};
use crate::counters::{Counter, LoopCounters};
use crate::ids::ShardId;
use crate::limits::{LANE_SLOTS, LANE_SLOTS_ALL, LANE_TAKE};
use crate::shard::mail::{Mail, Parcel};
use crate::time::Duration;
use crossbeam_utils::CachePadded;
use flag::{Asleep, before_looking};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the flags are made of; under loom they are made of its own.
mod atomics {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
}

/// What goes from one shard to another.
#[derive(Debug)]
pub(super) enum Post {
    Mail(Mail),
    /// A link that the other shard has from now on.
    Link {
        socket: OwnedFd,
        parcel: Parcel,
    },
}

/// Where a shard is woken.
#[derive(Debug)]
struct Door {
    asleep: Asleep,
    handle: StopHandle,
}

impl Door {
    /// Wakes the shard if it sleeps. What it must see was written before.
    fn wake(&self) {
        if self.asleep.take() {
            self.handle.wake();
        }
    }
}

/// The sender's end of a lane.
struct Sending {
    ring: HeapProd<Post>,
    /// The sender sleeps with posts that found no room.
    full: Arc<CachePadded<Asleep>>,
    /// Those posts.
    waiting: VecDeque<Post>,
}

/// The receiver's end of a lane.
struct Taking {
    ring: HeapCons<Post>,
    full: Arc<CachePadded<Asleep>>,
}

/// What the loop of a shard shares with those of the other shards: lanes, and the clock that deadlines are told by.
pub struct Lanes {
    shard: ShardId,
    clock: Clock,
    doors: Arc<[CachePadded<Door>]>,
    /// By shard; none to itself.
    sending: Vec<Option<Sending>>,
    taking: Vec<Option<Taking>>,
    cells: Arc<LoopCounters>,
}

impl Lanes {
    /// Lanes between shards that are woken by these handles: one value for each, in order.
    #[must_use]
    pub fn between(handles: &[StopHandle]) -> Vec<Self> {
        Self::with_slots(handles, LANE_SLOTS.min(LANE_SLOTS_ALL / handles.len().max(1)))
    }

    /// The same with so many slots, at least 1, in each lane.
    #[must_use]
    pub fn with_slots(handles: &[StopHandle], slots: usize) -> Vec<Self> {
        let shards = handles.len();
        let doors = handles.iter().cloned();
        let doors = doors.map(|handle| CachePadded::new(Door { asleep: Asleep::new(), handle }));
        let doors: Arc<[CachePadded<Door>]> = doors.collect();
        let clock = Clock::start();
        let mut all: Vec<Self> = (0..shards)
            .map(|shard| Self {
                shard: ShardId::new(shard),
                clock,
                doors: Arc::clone(&doors),
                sending: Vec::with_capacity(shards),
                taking: core::iter::repeat_with(|| None).take(shards).collect(),
                cells: Arc::new(LoopCounters::new(shards)),
            })
            .collect();
        for from in 0..shards {
            for to in 0..shards {
                let lane = (from != to).then(|| lane(slots));
                let (sending, taking) = lane.unzip();
                if let Some(place) = all.get_mut(to).and_then(|lanes| lanes.taking.get_mut(from)) {
                    *place = taking;
                }
                if let Some(lanes) = all.get_mut(from) {
                    lanes.sending.push(sending);
                }
            }
        }
        all
    }

    /// What the loop counts.
    #[must_use]
    pub fn counters(&self) -> Arc<LoopCounters> {
        Arc::clone(&self.cells)
    }

    pub(super) const fn shard(&self) -> ShardId {
        self.shard
    }

    /// The clock of all shards of the node: their times agree.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn turned(&self, span: Duration) {
        self.cells.turn_spans.add(span);
    }

    pub(super) fn busy(&self) -> &Counter {
        &self.cells.busy_ns
    }

    /// True when there is such another shard.
    pub(super) fn leads_to(&self, shard: ShardId) -> bool {
        self.sending.get(shard.index()).is_some_and(Option::is_some)
    }

    /// Leaves a post for the next `flush`.
    pub(super) fn send(&mut self, to: ShardId, post: Post) {
        let Some(Some(lane)) = self.sending.get_mut(to.index()) else {
            return debug_assert!(false, "a post for a shard that is not there");
        };
        lane.waiting.push_back(post);
        if let Some(cell) = self.cells.mail.get(to.index()) {
            cell.bump();
        }
    }

    /// Puts what waits into the lanes, as much as there is room for, and wakes who sleeps.
    pub(super) fn flush(&mut self) {
        for (lane, door) in self.sending.iter_mut().zip(self.doors.iter()) {
            if let Some(lane) = lane
                && !lane.waiting.is_empty()
                && lane.flush()
            {
                door.wake();
            }
        }
        let waiting: usize = self.sending.iter().flatten().map(|lane| lane.waiting.len()).sum();
        self.cells.posts_waiting.set(waiting as u64);
    }

    /// Takes posts from every lane, each lane's in order and at most its budget of a turn.
    pub(super) fn take(&mut self, into: &mut Vec<(ShardId, Post)>) {
        for (index, (lane, door)) in self.taking.iter_mut().zip(self.doors.iter()).enumerate() {
            let Some(lane) = lane else { continue };
            if lane.ring.is_empty() {
                continue;
            }
            let from = ShardId::new(index);
            into.extend(lane.ring.pop_iter().take(LANE_TAKE).map(|post| (from, post)));
            if lane.full.take() {
                door.wake();
            }
        }
    }

    /// True when there is something to take, or room for something that waits.
    pub(super) fn has_work(&self) -> bool {
        let comes = self.taking.iter().flatten().any(|lane| !lane.ring.is_empty());
        comes || self.sending.iter().flatten().any(|lane| !lane.waiting.is_empty() && lane.can_flush())
    }

    /// Says that this shard sleeps from now on; true when it may.
    pub(super) fn doze(&self) -> bool {
        let Some(door) = self.doors.get(self.shard.index()) else { return true };
        door.asleep.say();
        for lane in self.sending.iter().flatten().filter(|lane| !lane.waiting.is_empty()) {
            lane.full.say();
        }
        before_looking();
        if self.has_work() {
            self.awake();
            return false;
        }
        true
    }

    /// Says that this shard is awake.
    pub(super) fn awake(&self) {
        if let Some(door) = self.doors.get(self.shard.index()) {
            door.asleep.unsay();
        }
    }
}

impl Sending {
    /// True when something went.
    fn flush(&mut self) -> bool {
        if !self.ring.read_is_held() {
            // That shard has ended, and its sessions with it.
            self.waiting.clear();
            return false;
        }
        let room = self.ring.vacant_len().min(self.waiting.len());
        self.ring.push_iter(self.waiting.drain(..room)) > 0
    }

    fn can_flush(&self) -> bool {
        !self.ring.is_full() || !self.ring.read_is_held()
    }
}

fn lane(slots: usize) -> (Sending, Taking) {
    let (prod, cons) = HeapRb::new(slots.max(1)).split();
    let full = Arc::new(CachePadded::new(Asleep::new()));
    let sending = Sending { ring: prod, full: Arc::clone(&full), waiting: VecDeque::new() };
    (sending, Taking { ring: cons, full })
}

#[cfg(test)]
#[path = "lanes/tests.rs"]
mod tests;
