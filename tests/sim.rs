//! The simulator: the real core under a virtual network, with ESMEs and carriers that are friendly and hostile, and an
//! oracle that sees only the wires.
//!
//! `SIM_SEED` replays one seed, `SIM_SEEDS` says how many there are, `SIM_FROM` where they begin.
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
#[path = "sim/lanes.rs"]
mod lanes;
#[path = "sim/messages.rs"]
mod messages;
#[path = "sim/net.rs"]
mod net;
#[path = "sim/oracle.rs"]
mod oracle;
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

use faults::Kind;
use planted::Bug;
use runs::{Totals, minimised, number, run_many, try_run};
use std::io::Write;
use world::Plan;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 256;

#[expect(clippy::explicit_write, reason = "println! would be captured")]
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}

#[test]
fn no_seed_breaks_a_promise() {
    let seeds: Vec<u64> = match number("SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("SIM_FROM").unwrap_or(0);
            (from..from + number("SIM_SEEDS").unwrap_or(SEEDS)).collect()
        }
    };
    let (totals, failed) = run_many(&seeds);
    say(&totals.line());
    for (seed, violation) in failed.iter().take(40) {
        say(&format!("  seed {seed} breaks {}: {}", violation.rule, violation.what));
    }
    for (seed, _) in failed.iter().take(3) {
        say(&minimised(Plan::of(*seed)).1);
    }
    assert!(failed.is_empty(), "SIM_SEED={} cargo test --test sim", failed[0].0);
    if seeds.len() as u64 >= SEEDS {
        check_reach(&totals);
    }
}

/// A run that does little shows little.
fn check_reach(totals: &Totals) {
    assert!(totals.messages / totals.seeds >= 1000, "{} messages a seed", totals.messages / totals.seeds);
    assert!(totals.faults() / totals.seeds >= 15, "{} faults a seed", totals.faults() / totals.seeds);
    for (kind, seeds) in Kind::ALL.iter().zip(&totals.seeds_with) {
        assert!(seeds * 10 >= totals.seeds, "{} in {seeds} of {} seeds", kind.name(), totals.seeds);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, 4] {
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
        let caught = (0..64).find_map(|seed| {
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
