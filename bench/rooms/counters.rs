//! Counters.
//!
//! Sketch: a cell is 8 octets of a cache line that this shard alone writes: load, add, store. A status finds its cell
//! through a table of 261 octets; a span through a search over 19 bounds, five steps. No system call.

use crate::case::{Case, Work, warmed};
use bindery::counters::ShardCounters;
use bindery::time::Duration;
use std::hint::black_box;

const TIMES: u64 = 1024;

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: TIMES, rounds: 64, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] =
    &[case("counters/bump", bump), case("counters/status", status), case("counters/span", span)];

/// A cell of an account, by its number.
fn bump() -> Box<dyn Work> {
    let counters = ShardCounters::new(4, 4);
    let work = move || {
        for at in 0..TIMES as usize {
            if let Some(cells) = counters.esmes.get(black_box(at) & 3) {
                cells.submits.bump();
            }
        }
    };
    warmed(work, 10)
}

/// The cell of a status of a carrier.
fn status() -> Box<dyn Work> {
    let counters = ShardCounters::new(1, 1);
    let work = move || {
        for at in 0..TIMES as u32 {
            if let Some(cells) = counters.carriers.first() {
                cells.answers.of(black_box(at & 0xFF)).bump();
            }
        }
    };
    warmed(work, 10)
}

/// A time from submitted to answered, 0 to 1 s.
fn span() -> Box<dyn Work> {
    let counters = ShardCounters::new(1, 1);
    let work = move || {
        for at in 0..TIMES {
            if let Some(cells) = counters.carriers.first() {
                cells.submit_spans.add(black_box(Duration::from_micros(at * at)));
            }
        }
    };
    warmed(work, 10)
}
