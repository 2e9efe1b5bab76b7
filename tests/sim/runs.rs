//! Many runs: over both cores, added up, and a failing one made small.

use crate::faults::Kind;
use crate::oracle::Violation;
use crate::world::{Plan, Report, run};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A number of the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// One run; a panic of the core is a broken promise too.
pub(crate) fn try_run(plan: &Plan) -> Report {
    let step = AtomicU64::new(0);
    let ended = catch_unwind(AssertUnwindSafe(|| run(plan, &step)));
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_default();
        let violation = Some(Violation { rule: "panic", what });
        Report { steps: step.load(Ordering::Relaxed), violation, ..Report::default() }
    })
}

/// What many runs came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) seeds: u64,
    pub(crate) messages: u64,
    accepted: u64,
    second_attempts: u64,
    delivered: u64,
    /// Seeds by how many shards they have.
    by_shards: BTreeMap<usize, u64>,
    letters: u64,
    moved: u64,
    /// How often nodes crashed.
    pub(crate) crashes: u64,
    /// Stored messages that were read back from their journals.
    pub(crate) read_back: u64,
    steps: u64,
    virtual_time: Duration,
    violations: u64,
    happened: Vec<u64>,
    /// Per kind: seeds in which it happened.
    pub(crate) seeds_with: Vec<u64>,
    seconds: f64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.messages += report.messages;
        self.accepted += report.accepted;
        self.second_attempts += report.second_attempts;
        *self.by_shards.entry(report.shards).or_default() += 1;
        self.delivered += report.delivered;
        self.letters += report.letters;
        self.moved += report.moved;
        self.crashes += report.crashes;
        self.read_back += report.read_back;
        self.steps += report.steps;
        self.virtual_time += report.time;
        self.violations += u64::from(report.violation.is_some());
        self.happened.resize(Kind::ALL.len(), 0);
        self.seeds_with.resize(Kind::ALL.len(), 0);
        for (at, &count) in report.faults.iter().enumerate() {
            self.happened[at] += count;
            self.seeds_with[at] += u64::from(count > 0);
        }
    }

    /// Faults of all kinds.
    pub(crate) fn faults(&self) -> u64 {
        self.happened.iter().sum()
    }

    /// Everything in one line.
    pub(crate) fn line(&self) -> String {
        let kinds: Vec<String> = Kind::ALL
            .iter()
            .zip(self.happened.iter().zip(&self.seeds_with))
            .map(|(kind, (count, seeds))| format!("{} {count} in {seeds}", kind.name()))
            .collect();
        format!(
            "sim: {} seeds (by shards: {:?}), {} violations, {} messages ({} accepted, {} second attempts), \
             {} deliveries taken, {} letters between shards, {} links handed over, {} crashes, {} messages read back, {} faults, {} steps, {:.1} virtual hours, {:.1} s; faults and seeds with them: {}",
            self.seeds,
            self.by_shards,
            self.violations,
            self.messages,
            self.accepted,
            self.second_attempts,
            self.delivered,
            self.letters,
            self.moved,
            self.crashes,
            self.read_back,
            self.faults(),
            self.steps,
            self.virtual_time.as_secs_f64() / 3600.0,
            self.seconds,
            kinds.join(", ")
        )
    }
}

/// Runs all seeds, on as many threads as there are cores; gives the totals and the seeds that failed, in order.
pub(crate) fn run_many(seeds: &[u64]) -> (Totals, Vec<(u64, Violation)>) {
    let started = std::time::Instant::now();
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((Totals::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = try_run(&Plan::of(seed));
                    let mut shared = shared.lock().unwrap();
                    shared.0.add(&report);
                    shared.1.extend(report.violation.map(|violation| (seed, violation)));
                }
            });
        }
    });
    let (mut totals, mut failed) = shared.into_inner().unwrap();
    failed.sort_unstable_by_key(|(seed, _)| *seed);
    totals.seconds = started.elapsed().as_secs_f64();
    (totals, failed)
}

/// The smallest run of a seed that still breaks the same promise: without every kind of fault that it does not need,
/// and no longer than it must be.
pub(crate) fn minimised(mut plan: Plan) -> (Plan, String) {
    let seed = plan.seed;
    let mut report = try_run(&plan);
    let Some(mut violation) = report.violation.clone() else {
        return (plan, format!("seed {seed} does not fail again"));
    };
    let mut attempt = |smaller: Plan, plan: &mut Plan, violation: &mut Violation| {
        let ended = try_run(&smaller);
        if let Some(found) = ended.violation.clone().filter(|found| found.rule == violation.rule) {
            (*plan, *violation, report) = (smaller, found, ended);
        }
    };
    for bit in 0..Kind::ALL.len() {
        attempt(Plan { off: plan.off | 1 << bit, ..plan }, &mut plan, &mut violation);
    }
    for _ in 0..8 {
        attempt(Plan { trouble_ms: plan.trouble_ms * 2 / 3, ..plan }, &mut plan, &mut violation);
    }
    let left: Vec<&str> = Kind::ALL
        .iter()
        .filter(|kind| report.faults.get(**kind as usize).is_some_and(|&count| count > 0))
        .map(|kind| kind.name())
        .collect();
    let text = format!(
        "seed {seed} breaks {} at step {}: {}\n  smallest: off={:#x}, {} ms of faults, kinds left: {}",
        violation.rule,
        report.steps,
        violation.what,
        plan.off,
        plan.trouble_ms,
        left.join(", ")
    );
    (plan, text)
}
