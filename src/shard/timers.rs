//! Deadlines of a shard. Owns: a heap of instants. Takes: what is wanted when. Gives: what is due. Never: touched per
//! PDU: each link stands in it about once, re-armed lazily when its entry fires.

use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

#[derive(Debug, Default)]
pub(super) struct TimerQueue(BinaryHeap<Reverse<(Instant, Timer)>>);

impl TimerQueue {
    pub(super) fn push(&mut self, at: Instant, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let due = self.0.peek().is_some_and(|Reverse((at, _))| *at <= now);
        if !due {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
