//! A carrier's pace.
//!
//! Sketch: without a rate one cell of a count per span is written. With one it is the throttle besides: asked twice,
//! before a session is chosen and when the message leaves, so twice its arithmetic; two cache lines, no system call.

use crate::case::{Case, Work, warmed};
use bindery::carrier::Pace;
use bindery::carrier::settings::PaceSettings;
use bindery::throttle::Rate;
use bindery::time::{Duration, Instant};
use std::hint::black_box;

const TAKES: u64 = 1024;

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: TAKES, rounds: 64, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] = &[case("carrier/pace_rate", rate), case("carrier/pace_free", free)];

const SETTINGS: PaceSettings = PaceSettings {
    min: Rate { units: 1, per: Duration::from_secs(1) },
    cut_percent: 50,
    grow_over: Duration::from_secs(60),
};

/// Asked, then taken, under a configured rate.
fn rate() -> Box<dyn Work> {
    paced(Some(Rate { units: 1000, per: Duration::from_secs(1) }))
}

/// The same without any.
fn free() -> Box<dyn Work> {
    paced(None)
}

fn paced(rate: Option<Rate>) -> Box<dyn Work> {
    let mut now = Instant::ZERO;
    let mut pace = Pace::new(now, &SETTINGS, rate, 100);
    let work = move || {
        for _ in 0..TAKES {
            now = now.after(Duration::from_millis(1));
            assert!(pace.available(black_box(now)) > 0 && pace.take(now));
        }
    };
    warmed(work, 10)
}
