//! Random peers, then peace: whatever happened, every request was answered once, every receipt reached the right
//! account, and nothing is left behind.

use super::world::World;

/// Steps with faults before the peers behave.
const STEPS: usize = 300;

fn soak(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle();
    world.check();
    world
}

/// 50 seeds, or as many as `SIM_SEEDS` says; `SIM_SEED` replays one.
fn seeds() -> core::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(50),
    }
}

#[test]
fn random_peers_are_answered_once_and_leave_nothing_behind() {
    for seed in seeds() {
        let settled = std::panic::catch_unwind(|| soak(seed));
        assert!(settled.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_soak_is_no_idle_one() {
    let seen = soak(7).seen();
    assert!(seen.accepted > 20 && seen.refused > 5 && seen.receipts > 10 && seen.mo > 0, "{seen:?}");
    assert!(seen.links_lost > 3, "{seen:?}");
}
