//! A case, and the two ways to measure it.
//!
//! Owns: nothing. Takes: cases. Gives: nanoseconds per operation to criterion; one call of `measured` per step to
//! callgrind, which collects inside it and nowhere else. Never: measures what the peers of a case do.

use criterion::Criterion;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Something to measure.
pub(crate) struct Case {
    /// Room and operation, `smpp/frame`.
    pub(crate) name: &'static str,
    /// Operations in one round.
    pub(crate) operations: u64,
    /// Rounds that are enough to count instructions.
    pub(crate) rounds: u64,
    /// Sets everything up and brings it to where it stays.
    pub(crate) start: fn() -> Box<dyn Work>,
}

/// What a case does in a round.
pub(crate) trait Work {
    /// Steps of a round.
    fn steps(&self) -> usize {
        1
    }

    /// Before a step, not measured: what the peers say, and whether what was said to them is right.
    fn lay_out(&mut self, _step: usize) {}

    /// The step itself.
    fn run(&mut self, step: usize);
}

impl<F: FnMut()> Work for F {
    fn run(&mut self, _step: usize) {
        self();
    }
}

/// The same, after so many rounds.
pub(crate) fn warmed(mut work: impl Work + 'static, rounds: u64) -> Box<dyn Work> {
    for _ in 0..rounds {
        for step in 0..work.steps() {
            work.lay_out(step);
            work.run(step);
        }
    }
    Box::new(work)
}

/// Time per operation, by criterion.
pub(crate) fn time(cases: &[&Case]) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for case in cases {
        let mut started = None;
        criterion.bench_function(case.name, |bencher| {
            let work = started.get_or_insert_with(case.start);
            bencher.iter_custom(|operations| timed(case, work.as_mut(), operations));
        });
    }
    criterion.final_summary();
}

/// How long so many operations took. They are done in whole rounds.
fn timed(case: &Case, work: &mut dyn Work, operations: u64) -> Duration {
    let rounds = operations.div_ceil(case.operations);
    let mut taken = Duration::ZERO;
    for _ in 0..rounds {
        for step in 0..work.steps() {
            work.lay_out(step);
            let start = Instant::now();
            work.run(step);
            taken += start.elapsed();
        }
    }
    taken.mul_f64(operations as f64 / (rounds * case.operations) as f64)
}

/// Does the rounds of each case whose name begins with `wanted`; says each name and its operations.
pub(crate) fn count(cases: &[&Case], wanted: &str) {
    for case in cases.iter().filter(|case| case.name.starts_with(wanted)) {
        let mut work = (case.start)();
        for _ in 0..case.rounds {
            for step in 0..work.steps() {
                work.lay_out(step);
                measured(work.as_mut(), step);
            }
        }
        println!("{} {}", case.name, case.rounds * case.operations);
        finished(case.name);
    }
}

/// Callgrind collects while this runs (`--toggle-collect`).
#[inline(never)]
fn measured(work: &mut dyn Work, step: usize) {
    black_box(&mut *work).run(step);
}

/// Callgrind writes down what it has collected and begins anew when this returns (`--dump-after`).
#[inline(never)]
fn finished(name: &str) {
    black_box(name);
}
