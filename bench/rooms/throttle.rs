//! The token bucket.
//!
//! Sketch: four words of one cache line, read and one of them written; no timer, no clock, no system call. A few
//! multiplications and comparisons, about 10 cycles; `available` divides once more.

use crate::case::{Case, Work, warmed};
use bindery::throttle::{Rate, Throttle};
use bindery::time::{Duration, Instant};
use std::hint::black_box;

const TAKES: u64 = 1024;
const RATE: Rate = Rate { units: 1000, per: Duration::from_secs(1) };

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: TAKES, rounds: 64, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] =
    &[case("throttle/take", take), case("throttle/refuse", refuse), case("throttle/available", available)];

/// A unit that the rate allows.
fn take() -> Box<dyn Work> {
    let mut now = Instant::ZERO;
    let mut throttle = Throttle::new(now, RATE, 100);
    let work = move || {
        for _ in 0..TAKES {
            now = now.after(Duration::from_millis(1));
            assert!(throttle.take(black_box(now), 1));
        }
    };
    warmed(work, 10)
}

/// A unit that it does not allow.
fn refuse() -> Box<dyn Work> {
    let mut throttle = Throttle::new(Instant::ZERO, RATE, 1);
    assert!(throttle.take(Instant::ZERO, 1));
    let work = move || (0..TAKES).for_each(|_| assert!(!throttle.take(black_box(Instant::ZERO), 1)));
    warmed(work, 10)
}

/// How much there is.
fn available() -> Box<dyn Work> {
    let mut throttle = Throttle::new(Instant::ZERO, RATE, 100);
    let work = move || (0..TAKES).for_each(|_| assert_eq!(throttle.available(black_box(Instant::ZERO)), 100));
    warmed(work, 10)
}
