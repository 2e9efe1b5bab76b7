//! The simulator: the real core under a virtual network, with ESMEs and carriers that are friendly and hostile, and an
//! oracle that sees only the wires.
//!
//! `SIM_SEED` replays one seed, `SIM_SEEDS` says how many there are, `SIM_FROM` where they begin. Seeds from
//! `JOURNAL_FROM` on are nodes with a journal, which crash and begin again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "sim/carriers.rs"]
mod carriers;
#[path = "sim/chaos.rs"]
mod chaos;
#[path = "sim/esmes.rs"]
mod esmes;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/ids.rs"]
mod ids;
#[path = "sim/kept.rs"]
mod kept;
#[path = "sim/lanes.rs"]
mod lanes;
#[path = "sim/lives.rs"]
mod lives;
#[path = "sim/messages.rs"]
mod messages;
#[path = "sim/net.rs"]
mod net;
#[path = "sim/oracle.rs"]
mod oracle;
#[path = "sim/paper.rs"]
mod paper;
#[path = "sim/planted.rs"]
mod planted;
#[path = "sim/receipts.rs"]
mod receipts;
#[path = "sim/runs.rs"]
mod runs;
#[path = "sim/setup.rs"]
mod setup;
#[path = "sim/wire.rs"]
mod wire;
#[path = "sim/world.rs"]
mod world;

use faults::{FIRST_OF_JOURNAL, Kind};
use planted::Bug;
use runs::{Totals, minimised, number, run_many, try_run};
use setup::JOURNAL_FROM;
use std::io::Write;
use world::Plan;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 256;

#[expect(clippy::explicit_write, reason = "println! would be captured")]
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}

/// The seeds of one set of runs; `SIM_SEED` is one, of whatever set.
fn seeds_from(first: u64) -> Vec<u64> {
    match number("SIM_SEED") {
        Some(seed) if (seed >= JOURNAL_FROM) == (first >= JOURNAL_FROM) => vec![seed],
        Some(_) => Vec::new(),
        None => {
            let from = first + number("SIM_FROM").unwrap_or(0);
            (from..from + number("SIM_SEEDS").unwrap_or(SEEDS)).collect()
        }
    }
}

fn check_seeds(seeds: &[u64]) -> Totals {
    let (totals, failed) = run_many(seeds);
    say(&totals.line());
    for (seed, violation) in failed.iter().take(40) {
        say(&format!("  seed {seed} breaks {}: {}", violation.rule, violation.what));
    }
    for (seed, _) in failed.iter().take(3) {
        say(&minimised(Plan::of(*seed)).1);
    }
    assert!(failed.is_empty(), "SIM_SEED={} cargo test --test sim", failed[0].0);
    totals
}

#[test]
fn no_seed_breaks_a_promise() {
    let seeds = seeds_from(0);
    let totals = check_seeds(&seeds);
    if seeds.len() as u64 >= SEEDS {
        check_reach(&totals, &Kind::ALL[..FIRST_OF_JOURNAL], 10);
    }
}

#[test]
fn no_seed_with_a_journal_breaks_a_promise() {
    let seeds = seeds_from(JOURNAL_FROM);
    let totals = check_seeds(&seeds);
    if seeds.len() as u64 >= SEEDS {
        // A stored submit_multi goes one by one: few are refused in part.
        check_reach(&totals, Kind::ALL, 20);
        assert!(totals.crashes >= totals.seeds, "{} crashes", totals.crashes);
        assert!(totals.read_back >= totals.seeds, "{} messages read back", totals.read_back);
    }
}

/// A run that does little shows little: each kind of fault is in one of `share` seeds.
fn check_reach(totals: &Totals, kinds: &[Kind], share: u64) {
    assert!(totals.messages / totals.seeds >= 1000, "{} messages a seed", totals.messages / totals.seeds);
    assert!(totals.faults() / totals.seeds >= 15, "{} faults a seed", totals.faults() / totals.seeds);
    for (kind, seeds) in kinds.iter().zip(&totals.seeds_with) {
        assert!(seeds * share >= totals.seeds, "{} in {seeds} of {} seeds", kind.name(), totals.seeds);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, JOURNAL_FROM, JOURNAL_FROM + 1, JOURNAL_FROM + 2] {
        let (first, second) = (try_run(&Plan::of(seed)), try_run(&Plan::of(seed)));
        assert_eq!((first.trace, first.steps), (second.trace, second.steps), "seed {seed}");
    }
    assert_ne!(try_run(&Plan::of(1)).trace, try_run(&Plan::of(2)).trace);
}

#[test]
fn every_planted_bug_is_caught_by_its_rule() {
    let mut missed = Vec::new();
    say("planted bug -> rule, seed and step that caught it");
    for &bug in Bug::ALL {
        let first = if bug.of_journal() { JOURNAL_FROM } else { 0 };
        let caught = (first..first + 64).find_map(|seed| {
            let report = try_run(&Plan { bug: Some(bug), ..Plan::of(seed) });
            let violation = report.violation.filter(|violation| violation.rule == bug.rule())?;
            Some((seed, report.steps, violation))
        });
        match caught {
            Some((seed, step, found)) => {
                say(&format!("  {bug:?} -> {}, seed {seed}, step {step}: {}", found.rule, found.what));
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_failing_seed_is_made_small() {
    let plan = Plan { bug: Some(Bug::SubmitsTwice), ..Plan::of(3) };
    let (small, text) = minimised(plan);
    // It needs no fault at all.
    assert_eq!(small.off, (1 << Kind::ALL.len()) - 1, "{text}");
    assert!(small.trouble_ms < plan.trouble_ms / 2, "{text}");
    assert!(text.contains("seed 3 breaks doubled at step "), "{text}");
    let (_, sound) = minimised(Plan::of(3));
    assert_eq!(sound, "seed 3 does not fail again");
}
