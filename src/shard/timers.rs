//! Deadlines of a shard. Owns: a heap of instants. Takes: what is wanted when. Gives: what is due. Never: touched per
//! PDU: each link stands in it about once, re-armed lazily when its entry fires.

use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The session of a link.
    Link(LinkId),
    /// Dials and pace of a carrier.
    Carrier(CarrierId),
    /// The first deadline of what waits for a carrier. A timer of its own: an earlier one for the pace would take its place.
    Queue(CarrierId),
    /// A refused bind is answered.
    RefuseBind(LinkId),
    /// The oldest parked receipt.
    Parked,
    /// Deliveries that wait for an account.
    Waiting(EsmeId),
    /// The first of the bans ends.
    Bans,
    /// The first receipt that its ESME has had too long to go without a record.
    AtOnce,
    /// Messages of the last run that other shards are still to be told of.
    Restored,
    /// Stored messages: their waits, their ends.
    Stored,
    /// Messages that may leave memory, and those that are over there.
    Asleep,
    /// What the journal says of what is over.
    Erase,
    /// The drain deadline.
    Drained,
}

/// The heap. A timer that is asked for `once` has one live entry, the earliest; others of it are stale and pass.
#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
    once: HashMap<Timer, Instant>,
    /// Entries of `once` in the heap, stale ones too.
    entries: usize,
}

/// So many stale entries are nothing to be done about.
const STALE: usize = 16;

impl TimerQueue {
    /// Asks for a link's tick; the link itself remembers its earliest.
    pub(super) fn push(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// Asks for a timer, unless it fires as early already.
    pub(super) fn push_once(&mut self, at: Instant, timer: Timer) {
        if self.once.get(&timer).is_some_and(|&armed| armed <= at) {
            return;
        }
        self.once.insert(timer, at);
        self.push(at, timer);
        self.entries += 1;
        if self.entries > 2 * self.once.len() + STALE {
            // A later wish that an earlier one took the place of stays until its time: many may come before it.
            let once = &self.once;
            let is_link = |timer: &Timer| matches!(timer, Timer::Link(_));
            self.heap.retain(|Reverse((at, timer))| is_link(timer) || once.get(timer) == Some(at));
            self.entries = once.len();
        }
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        while let Some(&Reverse((at, timer))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            if !matches!(timer, Timer::Link(_)) {
                self.entries = self.entries.saturating_sub(1);
            }
            match self.once.get(&timer) {
                Some(&armed) if armed == at => {
                    self.once.remove(&timer);
                    return Some(timer);
                }
                None if matches!(timer, Timer::Link(_)) => return Some(timer),
                Some(_) | None => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_entries_do_not_pile_up_and_links_keep_theirs() {
        let at = Instant::from_nanos;
        let mut queue = TimerQueue::default();
        let link = Timer::Link(LinkId { slot: 1, generation: 1 });
        queue.push(at(5_000), link);
        for turn in 1..1000 {
            queue.push_once(at(turn + 10_000), Timer::Parked);
            queue.push_once(at(turn), Timer::Parked);
            assert_eq!(queue.pop_due(at(turn)), Some(Timer::Parked));
            assert!(queue.len() < 2 * STALE, "{}", queue.len());
        }
        assert_eq!(queue.pop_due(at(5_000)), Some(link));
        assert_eq!(queue.pop_due(at(20_000)), None);
    }

    #[test]
    fn a_timer_fires_once_and_at_its_earliest() {
        let at = Instant::from_nanos;
        let mut queue = TimerQueue::default();
        queue.push_once(at(9), Timer::Parked);
        queue.push_once(at(5), Timer::Parked);
        queue.push_once(at(7), Timer::Parked);
        assert_eq!(queue.pop_due(at(4)), None);
        assert_eq!(queue.pop_due(at(5)), Some(Timer::Parked));
        assert_eq!(queue.pop_due(at(100)), None);
        queue.push_once(at(200), Timer::Parked);
        assert_eq!(queue.pop_due(at(200)), Some(Timer::Parked));
        assert_eq!(queue.deadline(), None);
    }
}
