//! Deadlines of a shard. Owns: a heap of instants. Takes: what is wanted when. Gives: what is due. Never: touched per
//! PDU: each link stands in it about once, re-armed lazily when its entry fires; each carrier and account counts once.

use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The session of a link.
    Link(LinkId),
    /// Dials, pace and queue of a carrier.
    Carrier(CarrierId),
    /// A refused bind is answered.
    RefuseBind(LinkId),
    /// The oldest parked receipt.
    Parked,
    /// Deliveries that wait for an account.
    Waiting(EsmeId),
    /// The drain deadline.
    Drained,
}

impl Timer {
    /// Its owner says anew what it wants each time it fires, so only the earliest wish counts.
    const fn is_single(self) -> bool {
        match self {
            Self::Carrier(_) | Self::Parked | Self::Waiting(_) => true,
            Self::Link(_) | Self::RefuseBind(_) | Self::Drained => false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// The earliest wish of each single timer; an entry that says otherwise is stale.
    single: HashMap<Timer, Instant>,
}

impl TimerQueue {
    pub(super) fn push(&mut self, at: Instant, timer: Timer) {
        if timer.is_single() {
            if self.single.get(&timer).is_some_and(|&earlier| earlier <= at) {
                return;
            }
            self.single.insert(timer, at);
        }
        self.heap.push(Reverse((at, timer)));
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        while self.heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Reverse((at, timer)) = self.heap.pop()?;
            if !timer.is_single() {
                return Some(timer);
            }
            if self.single.get(&timer) == Some(&at) {
                self.single.remove(&timer);
                return Some(timer);
            }
        }
        None
    }

    /// Entries that have not fired.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
