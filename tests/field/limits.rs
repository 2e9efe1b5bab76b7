//! Memory: churn, receipts that are never acknowledged, readers that are slow.

use crate::figures::{account, carrier, figure, pool, scaled};
use crate::heap;
use crate::net::WireId;
use crate::receipts::millis;
use crate::smsc::Act;
use crate::world::World;
use bindery::limits::LEDGER_RECENT_MAX;
use bindery::smpp::status::CommandStatus;
use bindery::time::Duration;

const OK: CommandStatus = CommandStatus::OK;
/// Messages a second.
const RATE: u64 = 400;

/// A minute of churn: connects that never bind, a reader that takes nothing, the usual traffic.
fn minute(world: &mut World, slow: &[WireId]) {
    for second in 0..60 {
        // 100,000 an hour.
        for _ in 0..28 {
            world.net.connect(0);
        }
        let stuck = slow[second % slow.len()];
        if world.net.is_open(stuck) {
            world.net.stick(stuck, second % 10 < 5);
        }
        world.run_for(Duration::from_secs(1));
    }
}

#[test]
fn up_21_memory_stays() {
    let (warm, minutes) = (4, scaled(6, 60));
    let text = account("a", "sessions_max = 8\nwindow_max = 200\nresponse_timeout = \"5s\"")
        + &carrier("alpha", "sessions = 2\nwindow_max = 200")
        + &pool("", &[("alpha", 1, 1)]);
    let mut world = World::up(&text, 2, 31);
    let slow = world.bound(0, 4);
    world.script(0, |prng, _| {
        vec![Act::Answer(millis(prng, 5, 50), OK), Act::Receipt(millis(prng, 100, 3000), "DELIVRD")]
    });
    world.esmes[0].answers = Box::new(|prng| (!prng.chance(1, 100)).then_some((Duration::ZERO, OK)));
    // The world's own lists must not grow while the heap is watched.
    let seconds = 60 * (warm + minutes);
    world.messages.reserve((RATE * seconds * 2) as usize);
    world.net.reserve((40 * seconds) as usize);
    world.sides.reserve((40 * seconds) as usize);
    world.stream(0, u64::MAX, Duration::from_micros(1_000_000 / RATE), 800);
    (0..warm).for_each(|_| minute(&mut world, &slow));
    assert!(world.messages.len() > LEDGER_RECENT_MAX, "warm: {}", world.messages.len());
    let list = (world.messages.capacity() * size_of::<crate::world::Message>()) as i64;
    let held: Vec<i64> = (0..minutes)
        .map(|_| {
            minute(&mut world, &slow);
            heap::held() - list
        })
        .collect();
    // A table that doubles once more in the first half is no slope.
    let settled = &held[held.len() / 2..];
    let half = settled.len() / 2;
    let mean = |of: &[i64]| of.iter().sum::<i64>() as f64 / of.len() as f64;
    let (early, late) = (mean(&settled[..half]), mean(&settled[half..]));
    let slope = (late / early - 1.0) * 100.0 * 60.0 / half as f64;
    let links = world.net.open_wires();
    world.streams[0].left = 0;
    world.run_for(Duration::from_secs(120));
    let left = world.net.open_wires();
    figure(
        "UP-21",
        "up_21_memory_stays",
        &format!(
            "{minutes} min: 28 connects/s that never bind, {RATE} messages/s, 1 % of receipts never acknowledged, readers that stand still"
        ),
        &format!(
            "heap {:.1} MiB, slope {slope:.2} %/h, {links} links open in between, {left} afterwards",
            late / 1024.0 / 1024.0
        ),
        "within 1 %/h (in a short run: 1 % in all)",
    );
    let grown = (late / early - 1.0).abs();
    assert!(if minutes >= 60 { slope.abs() <= 1.0 } else { grown <= 0.01 }, "{slope} {held:?}");
    assert!(left <= 6 && links < 400, "{links} {left}");
    assert_eq!(world.sum(|all| all.retained.get()), 0);
}
