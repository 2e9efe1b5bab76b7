//! The journal against a disk that fails: power cuts, kills, errors at every call, damaged sectors. The real committer,
//! preparer and recovery; the disk, the shard and the oracle are of the test.
//!
//! `JOURNAL_SEED` replays one seed, `JOURNAL_SEEDS` says how many there are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "journal/commit.rs"]
mod commit;
#[path = "journal/concerned.rs"]
mod concerned;
#[path = "journal/damage.rs"]
mod damage;
#[path = "journal/disk.rs"]
mod disk;
#[path = "journal/erase.rs"]
mod erase;
#[path = "journal/follow.rs"]
mod follow;
#[path = "journal/prepare.rs"]
mod prepare;
#[path = "journal/world.rs"]
mod world;

use bindery::journal::commit::{Front, Identity, Spare};
use bindery::journal::disk::{FileKind, name_of, write_all};
use bindery::journal::header::SEGMENT_HEAD;
use bindery::journal::recover::Recovery;
use bindery::journal::ring::{Producer, Unfreed};
use bindery::journal::{Committer, Disk, Durability, Lsn, Record};
use bindery::time::{Duration, Now};
use disk::{Bug, Fault, Plan, SimDisk};
use world::{GEOMETRY, Totals, World};

const SEEDS: u64 = 220;
const CUTS: u64 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match number("JOURNAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("JOURNAL_SEEDS").unwrap_or(count),
    }
}

fn durability(seed: u64) -> Durability {
    match seed % 4 {
        0 => Durability::Group(Duration::ZERO),
        1 => Durability::Group(Duration::from_millis(2)),
        2 => Durability::Process,
        _ => Durability::Strict,
    }
}

/// Runs one seed through its cuts; what the oracle found first, if anything.
fn run(seed: u64, bug: Option<Bug>, faults: bool) -> Result<Totals, String> {
    let mut world = World::new(seed, durability(seed), bug);
    for cut in 0..CUTS {
        world.disk.plan = if faults { Plan::drawn(seed * CUTS + cut) } else { Plan::default() };
        world.work()?;
        world.crash()?;
    }
    Ok(world.totals)
}

fn say(what: &str, totals: &Totals) {
    println!("{what}: {totals:?}");
}

#[test]
fn no_acknowledged_record_is_lost_and_none_is_invented_by_power_cuts_and_kills() {
    let mut all = Totals::default();
    for seed in seeds(SEEDS) {
        let totals = run(seed, None, false).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.add(&totals);
    }
    say("power cuts and kills", &all);
    if number("JOURNAL_SEED").is_none() {
        assert!(all.cuts + all.kills >= 2000 && all.cuts >= 1000, "{all:?}");
        assert!(all.acknowledged > 20_000 && all.given_back > 500 && all.moved > 100, "{all:?}");
        assert!(all.void > 0 && all.again > 0, "{all:?}");
    }
}

#[test]
fn nor_when_writes_and_syncs_fail_are_short_or_find_no_space() {
    let mut all = Totals::default();
    for seed in seeds(SEEDS) {
        let totals = run(seed, None, true).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.add(&totals);
    }
    say("failing calls", &all);
    if number("JOURNAL_SEED").is_none() {
        assert!(all.failed_files > 100 && all.short_writes > 100, "{all:?}");
    }
}

#[test]
fn every_planted_bug_is_caught() {
    for bug in Bug::ALL {
        let faults = matches!(bug, Bug::RetriesSync);
        let caught = (0..2000).find_map(|seed| run(seed, Some(bug), faults).err().map(|what| (seed, what)));
        let (seed, what) = caught.unwrap_or_else(|| panic!("{bug:?} was not caught"));
        println!("{bug:?}: seed {seed}: {what}");
    }
}

/// Two runs use one file, the second one less of it; how many records are read when their epochs come from these seeds.
fn records_after_two_lives(seeds: [u64; 2]) -> u64 {
    let mut disk = SimDisk::new(1, None);
    let name = name_of(FileKind::Spare, 0, 1);
    let file = disk.create(&name).unwrap();
    write_all(&mut disk, &file, 0, &vec![0; GEOMETRY.segment as usize]).unwrap();
    for (life, batches) in [4, 1].into_iter().enumerate() {
        // The header of the first life is gone, as after a power cut that garbled it.
        write_all(&mut disk, &file, 0, &[0; SEGMENT_HEAD]).unwrap();
        let (run, fork, number) = (life as u64 + 1, Lsn::FIRST, life as u64);
        let (first, front) = (Lsn::FIRST, Lsn::NONE);
        let identity = Identity { journal: 1, shard: 0, run, fork, forks: Vec::new(), first, number, front };
        let mut committer = Committer::new(identity, GEOMETRY, Durability::Strict, seeds[life]);
        committer.give(Spare { name: name.clone(), file, wiped_at: None });
        let (mut ring, mut producer) = (vec![0; 4096], Producer::new(4096, Lsn::FIRST));
        let mut freed = 0;
        for _ in 0..batches {
            producer.append(&mut ring, 1, 0, &Record::Tombstone { reason: life as u8 }).unwrap();
            let tail = freed + producer.used();
            let unfreed = Unfreed::of(&ring, freed, tail);
            freed = committer.step(Now::default(), &unfreed, Front::default(), &mut disk).freed;
            producer.free(freed);
        }
    }
    let recovered = Recovery { shard: 0, journal: None }.run(&mut disk, &mut |_, _| ()).unwrap();
    recovered.report.records
}

#[test]
fn octets_of_an_earlier_life_of_the_file_are_never_taken_for_new_ones() {
    assert_eq!(records_after_two_lives([5, 6]), 1);
    assert_eq!(records_after_two_lives([5, 5]), 4, "with one epoch for both lives the old ones rise again");
}

/// A short run with a fault at its n-th call, then a power cut; `None` when it has fewer calls.
fn with_fault_at(call: u64, fault: Fault, for_ever: bool) -> Option<()> {
    let mut world = World::new(7, Durability::Strict, None);
    world.disk.plan = Plan { at: Some((call, fault)), for_ever, ..Plan::default() };
    let what = world.work().and_then(|()| world.crash());
    let reached = world.calls_made > call;
    what.unwrap_or_else(|what| panic!("{fault:?} at call {call}, for ever: {for_ever}: {what}"));
    // It works again afterwards.
    world.disk.plan = Plan::default();
    let what = world.work().and_then(|()| world.crash());
    what.unwrap_or_else(|what| panic!("after {fault:?} at call {call}: {what}"));
    reached.then_some(())
}

#[test]
fn an_error_at_any_call_loses_nothing() {
    for fault in Fault::ALL {
        for for_ever in [false, true] {
            let calls = (0..).take_while(|call| with_fault_at(*call, fault, for_ever).is_some()).count();
            assert!(calls > 20, "{fault:?}: {calls} calls");
        }
    }
}

#[test]
fn a_power_cut_at_any_call_and_again_in_the_recovery_loses_nothing() {
    let mut calls = 0;
    for call in 0.. {
        let mut world = World::new(15, Durability::Strict, None);
        world.disk.plan = Plan { at: Some((call, Fault::Cut)), ..Plan::default() };
        let what = world.work().and_then(|()| world.crash());
        what.unwrap_or_else(|what| panic!("cut at call {call}: {what}"));
        let reached = world.calls_made > call;
        for again in 0..12 {
            world.disk.plan = Plan { at: Some((again, Fault::Cut)), ..Plan::default() };
            let what = world.work().and_then(|()| world.crash());
            what.unwrap_or_else(|what| panic!("cut at call {call}, then at {again}: {what}"));
        }
        if !reached {
            break;
        }
        calls += 1;
    }
    assert!(calls > 20, "{calls} calls");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let once = run(3, None, true).unwrap();
    assert_eq!(once, run(3, None, true).unwrap());
    assert_ne!(once, run(4, None, true).unwrap());
}
