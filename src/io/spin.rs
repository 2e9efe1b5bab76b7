//! Adaptive spin: looks for work for a while before sleeping, but only where waits are so short that it pays.
//!
//! Owns: how long waits have been of late. Takes: when it looked and whether there was anything. Gives: whether to look
//! again or to sleep. Never: reads a clock.
//!
//! Spinning costs the wait, sleeping and being woken about 10 µs of CPU and 25 to 50 µs of latency (reference
//! measurements; at 1 × 1 it is 143 or 50 µs). So it looks while the waits of late are short beside that: a round trip
//! with one peer that answers at once. Messages that come one by one every 100 µs are waited for asleep. A wait that was
//! slept through is longer by the wake, therefore more is allowed to it. A wait that has become a few times as long as
//! those of late is of another kind, such as a peer that lost its core: the rest of it is slept through.

use crate::time::{Duration, Instant};

/// A wait counts for one eighth of what is expected of the next.
const MEMORY: u64 = 8;
/// So many times the expected wait is looked for; no less than this part of the longest.
const PATIENCE: u64 = 3;
const PATIENCE_LEAST: u64 = 5;

pub(super) struct Spin {
    longest: u64,
    idle_since: Option<Instant>,
    /// Nanoseconds that a wait takes of late.
    expected: u64,
    worthwhile: bool,
    look: bool,
}

impl Spin {
    pub(super) fn new(longest: Duration) -> Self {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Self { longest, idle_since: None, expected: 0, worthwhile: true, look: longest > 0 }
    }

    pub(super) fn wants_to_look(&self) -> bool {
        self.look
    }

    pub(super) fn looked(&mut self, mono: Instant, found: bool) {
        if self.longest == 0 {
            return;
        }
        if found {
            // What is there at once, such as the end of a send of our own, was not waited for and tells nothing.
            if let Some(since) = self.idle_since.take() {
                self.learn(mono.nanos_since(since));
            }
            self.look = true;
            return;
        }
        let since = *self.idle_since.get_or_insert(mono);
        self.look = self.worthwhile && mono.nanos_since(since) < self.patience();
    }

    /// How long it looks in one wait.
    fn patience(&self) -> u64 {
        if self.expected == 0 {
            return self.longest; // nothing was learnt yet
        }
        self.expected.saturating_mul(PATIENCE).clamp(self.longest / PATIENCE_LEAST, self.longest)
    }

    fn learn(&mut self, waited: u64) {
        let waited = waited.min(self.longest.saturating_mul(2));
        self.expected = self.expected - self.expected / MEMORY + waited / MEMORY;
        if self.worthwhile {
            self.worthwhile = self.expected < self.longest / 10 * 3;
        } else if self.expected < self.longest / 10 * 6 {
            self.worthwhile = true;
            self.expected /= 2; // what is learnt from now on is without the wake
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// After so many waits of so many microseconds, and the wake when it sleeps: does it look before it sleeps?
    fn looks_after(spin: &mut Spin, waits: u64, micros: u64) -> bool {
        const WAKE: u64 = 30;
        let mut now = 1_000_000;
        for _ in 0..waits {
            spin.looked(at(now), false);
            now += if spin.wants_to_look() { micros } else { micros + WAKE };
            spin.looked(at(now), true);
        }
        spin.looked(at(now), false);
        let looks = spin.wants_to_look();
        spin.looked(at(now), true);
        looks
    }

    #[test]
    fn it_looks_for_the_longest_time_and_then_sleeps() {
        let mut spin = Spin::new(Duration::from_micros(100));
        spin.looked(at(0), false);
        assert!(spin.wants_to_look());
        spin.looked(at(99), false);
        assert!(spin.wants_to_look());
        spin.looked(at(100), false);
        assert!(!spin.wants_to_look());
    }

    #[test]
    fn waits_that_are_too_long_to_pay_are_slept_through_until_they_are_short_again() {
        let mut spin = Spin::new(Duration::from_micros(100));
        assert!(looks_after(&mut spin, 20, 15), "a peer that answers at once");
        assert!(!looks_after(&mut spin, 20, 100), "a message now and then");
        assert!(looks_after(&mut spin, 40, 15), "at once again");
    }

    #[test]
    fn a_wait_that_outlasts_those_of_late_by_far_is_slept_through() {
        let mut spin = Spin::new(Duration::from_micros(100));
        assert!(looks_after(&mut spin, 40, 10));
        spin.looked(at(0), false);
        spin.looked(at(19), false);
        assert!(spin.wants_to_look(), "a fifth of the longest, whatever was expected");
        spin.looked(at(30), false);
        assert!(!spin.wants_to_look(), "three times what was expected");
        spin.looked(at(1000), true);
        assert!(looks_after(&mut spin, 20, 25), "waits that became longer are looked for again");
    }

    #[test]
    fn one_long_wait_among_short_ones_changes_nothing() {
        let mut spin = Spin::new(Duration::from_micros(100));
        assert!(looks_after(&mut spin, 20, 10));
        assert!(looks_after(&mut spin, 1, 100));
        assert!(!looks_after(&mut spin, 4, 100));
    }

    #[test]
    fn what_is_there_at_once_does_not_make_looking_worthwhile() {
        let mut spin = Spin::new(Duration::from_micros(100));
        assert!(!looks_after(&mut spin, 20, 5000));
        for _ in 0..20 {
            spin.looked(at(1), true);
        }
        spin.looked(at(1), false);
        assert!(!spin.wants_to_look());
    }

    #[test]
    fn without_a_span_it_never_looks() {
        let mut spin = Spin::new(Duration::ZERO);
        spin.looked(at(1), true);
        assert!(!spin.wants_to_look());
    }
}
