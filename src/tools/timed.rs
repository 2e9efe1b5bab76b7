//! Things that are due later. Owns: a queue for times that come in order and a heap for the others. Takes: a time
//! and a thing. Gives: what is due, earliest first, equal times in the order they came. Never: reads a clock.

use crate::time::Instant;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// A queue by time. Equal delays cost a push and a pop of a ring; only what is out of order costs a heap.
#[derive(Debug)]
pub struct Timed<T> {
    in_order: VecDeque<Entry<T>>,
    others: BinaryHeap<Reverse<Entry<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    number: u64,
    thing: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self { in_order: VecDeque::new(), others: BinaryHeap::new(), count: 0 }
    }
}

impl<T> Timed<T> {
    /// Puts a thing that is due at `at`.
    pub fn push(&mut self, at: Instant, thing: T) {
        self.count += 1;
        let entry = Entry { at, number: self.count, thing };
        if self.in_order.back().is_none_or(|last| last.at <= at) {
            self.in_order.push_back(entry);
        } else {
            self.others.push(Reverse(entry));
        }
    }

    /// When the next thing is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let first = self.in_order.front().map(|entry| entry.at);
        match (first, self.others.peek()) {
            (Some(first), Some(Reverse(other))) => Some(first.min(other.at)),
            (first, other) => first.or(other.map(|Reverse(other)| other.at)),
        }
    }

    /// The next thing that is due by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let other_first = match (self.in_order.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) => other < first,
            (first, other) => first.is_none() && other.is_some(),
        };
        if other_first {
            if self.others.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
                return self.others.pop().map(|Reverse(entry)| entry.thing);
            }
            return None;
        }
        if self.in_order.front().is_some_and(|entry| entry.at <= now) {
            return self.in_order.pop_front().map(|entry| entry.thing);
        }
        None
    }

    /// How many things wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_by_time_and_then_in_the_order_they_were_put() {
        let mut timed = Timed::default();
        for (at, thing) in [(5, 'a'), (5, 'b'), (9, 'c'), (5, 'd'), (1, 'e'), (9, 'f')] {
            timed.push(Instant::from_nanos(at), thing);
        }
        assert_eq!(timed.next_at(), Some(Instant::from_nanos(1)));
        assert_eq!(timed.pop_due(Instant::ZERO), None);
        let due: String = std::iter::from_fn(|| timed.pop_due(Instant::from_nanos(8))).collect();
        assert_eq!((due.as_str(), timed.len()), ("eabd", 2));
        let rest: String = std::iter::from_fn(|| timed.pop_due(Instant::from_nanos(9))).collect();
        assert_eq!((rest.as_str(), timed.is_empty(), timed.next_at()), ("cf", true, None));
    }
}
