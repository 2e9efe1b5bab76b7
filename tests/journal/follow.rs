//! Who follows a journal reads what a restart would read, at any moment of it.

use crate::disk::{Plan, SimDisk};
use crate::world::{Known, World, known};
use crate::{CUTS, durability, seeds};
use bindery::journal::recover::Recovery;
use bindery::journal::{
    Disk as _, Durability, Follower, Kind, Lsn, Recall, Recalled, Recaller, Record, Wanted,
};
use bindery::prng::Prng;
use std::collections::BTreeMap;

type Read = BTreeMap<u64, Known>;

/// What is proven to be durable, read both ways: by a restart, and by a follower in steps of so many octets.
fn both(disk: &SimDisk, step: usize) -> (Read, Read, Lsn) {
    let (mut disk, mut restart, mut followed) = (disk.copy(), Read::new(), Read::new());
    let recovery = Recovery { shard: 0, journal: None };
    let recovered = recovery.run(&mut disk, &mut |frame, _| {
        restart.insert(frame.lsn.0, known(frame));
    });
    let durable = recovered.unwrap().report.durable;
    restart.retain(|lsn, _| *lsn <= durable.0);
    let mut follower = Follower::new(0);
    let mut visit = |follower: &mut Follower<usize>| {
        follower.read(&mut disk, durable, step, &mut |frame, _| {
            assert_eq!(followed.insert(frame.lsn.0, known(frame)), None, "{:?} came twice", frame.lsn);
        })
    };
    while visit(&mut follower).unwrap() {}
    assert_eq!((follower.lost(), follower.next() > durable || restart.is_empty()), ((0, 0), true));
    (restart, followed, durable)
}

#[test]
fn at_any_moment_and_after_any_crash_all_that_is_durable_is_followed_once() {
    let (mut looks, mut records) = (0, 0);
    for seed in seeds(30) {
        let mut world = World::new(seed, durability(seed), None);
        for cut in 0..CUTS {
            world.disk.plan = Plan::drawn(seed * CUTS + cut);
            world.work().unwrap();
            for crashed in [false, true] {
                if crashed {
                    world.crash().unwrap();
                } else if world.disk.dead {
                    continue;
                }
                let (restart, followed, durable) = both(&world.disk, 1 + (seed as usize * 997) % 20_000);
                let differs = restart.iter().find(|(lsn, known)| followed.get(lsn) != Some(known));
                let differs = differs.or_else(|| followed.iter().find(|(lsn, _)| !restart.contains_key(lsn)));
                assert!(
                    differs.is_none(),
                    "seed {seed}, cut {cut}, crashed {crashed}, up to {durable:?}: {:?} of {:?} and {:?}",
                    differs.map(|(lsn, _)| lsn),
                    restart.keys().next().zip(restart.keys().last()),
                    followed.keys().next().zip(followed.keys().last())
                );
                let truth = |lsn: &u64| world.truth.get(*lsn as usize - 1);
                assert!(followed.iter().all(|(lsn, known)| truth(lsn) == Some(known)), "seed {seed}");
                (looks, records) = (looks + 1, records + followed.len());
            }
        }
    }
    assert!(looks >= 10 && records > 100 * looks / 10, "{looks} looks at {records} records");
}

/// Batches with pages of their own, and such as share them.
fn either(seed: u64) -> Durability {
    if seed.is_multiple_of(2) { Durability::Strict } else { Durability::Process }
}

#[test]
fn one_that_goes_on_reads_each_record_once_and_says_what_was_given_back() {
    for seed in seeds(40) {
        let mut world = World::new(seed, either(seed), None);
        let (mut follower, mut next, mut seen) = (Follower::new(0), 0, 0);
        for _ in 0..CUTS {
            world.work().unwrap();
            world.rest();
            let mut disk = world.disk.copy();
            let upto = Lsn(world.truth.len() as u64);
            let more = follower.read(&mut disk, upto, usize::MAX, &mut |frame, _| {
                assert!(frame.lsn.0 > next, "seed {seed}: {:?} after {next}", frame.lsn);
                assert_eq!(world.truth.get(frame.lsn.0 as usize - 1), Some(&known(frame)), "seed {seed}");
                (next, seen) = (frame.lsn.0, seen + 1);
            });
            assert!(!more.unwrap() && follower.next() == upto.next());
            assert_eq!(next, upto.0);
        }
        let (missed, damaged) = follower.lost();
        assert_eq!(damaged, 0);
        assert!(
            seen + missed <= next && seen > 0,
            "seed {seed}: {seen} read, {missed} given back, of {next}"
        );
    }
}

#[test]
fn a_file_that_gets_another_name_while_a_damaged_journal_is_read_hides_nothing() {
    let mut world = World::new(50, Durability::Strict, None);
    for _ in 0..CUTS {
        world.work().unwrap();
        world.rest();
    }
    let upto = Lsn(world.truth.len() as u64);
    let mut disk = world.disk.copy();
    let mut segments: Vec<String> =
        disk.list().unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect();
    segments.sort();
    // Of the newest one what is damaged may be the end, and then nobody knows that there was more.
    segments.pop();
    assert!(!segments.is_empty());
    for name in &segments {
        disk.octets(name)[9000] ^= 4;
    }
    let read = |renamed_at| {
        let (mut disk, mut follower, mut seen) = (disk.copy(), Follower::new(0), Vec::new());
        disk.renamed_at = renamed_at;
        while follower.read(&mut disk, upto, 5000, &mut |frame, _| seen.push(frame.lsn)).unwrap() {}
        (seen, follower.lost(), disk.opens)
    };
    let (seen, lost, opens) = read(None);
    assert!(lost.1 > 0 && !seen.is_empty(), "{lost:?}");
    for at in 0..opens {
        let (again, still, _) = read(Some(at));
        assert_eq!((again, still), (seen.clone(), lost), "the open number {at}");
    }
}

#[test]
fn a_message_is_read_back_wherever_it_stands_and_another_is_never_taken_for_it() {
    let (mut found, mut refused) = (0, 0);
    for seed in seeds(30) {
        let mut world = World::new(seed, either(seed), None);
        let (mut recaller, mut prng) = (Recaller::new(0), Prng::new(seed));
        for _ in 0..CUTS {
            world.work().unwrap();
            world.rest();
            let mut disk = world.disk.copy();
            let (restart, _, durable) = both(&world.disk, 10_000);
            let mut asked: Vec<Recall> = (0..20)
                .map(|tag| {
                    let lsn = 1 + prng.below(durable.0);
                    let known = &world.truth[lsn as usize - 1];
                    // Some ask for what is not theirs.
                    let wanted = if prng.chance(1, 2) { Wanted::Pdu } else { Wanted::Sent };
                    Recall { wanted, lsn: Lsn(lsn), key: known.key + u64::from(prng.chance(1, 8)), tag }
                })
                .collect();
            let mut came = Vec::new();
            recaller.read(&mut disk, &mut asked, &mut |recalled| came.push(recalled));
            came.sort_by_key(|recalled| recalled.recall.tag);
            asked.sort_by_key(|recall| recall.tag);
            assert_eq!(came.iter().map(|recalled| recalled.recall).collect::<Vec<_>>(), asked);
            for Recalled { recall, origin, content } in came {
                let truth = &world.truth[recall.lsn.0 as usize - 1];
                let wanted = (truth.key == recall.key).then(|| message_of(truth, recall.wanted)).flatten();
                // A file that was given back may be open still, with what it had.
                let is_there = restart.contains_key(&recall.lsn.0);
                let wanted = wanted.map(|(origin, content)| (origin.unwrap_or(recall.lsn), content));
                let is_it = content.is_some() && content.map(|content| (origin, content)) == wanted;
                assert!(is_it || wanted.is_none() || !is_there, "seed {seed}: {recall:?}");
                if wanted.is_some() { found += 1 } else { refused += 1 }
            }
        }
    }
    assert!(found > 10 && refused > 10, "{found} found, {refused} refused");
}

/// What an ACCEPT or SENT, or a copy of one, holds, and which one it is a copy of.
fn message_of(known: &Known, wanted: Wanted) -> Option<(Option<Lsn>, Vec<u8>)> {
    let (origin, kind, payload) = match Record::read(Kind::of(known.kind)?, 1, &known.payload)? {
        Record::Move { origin, kind, payload, .. } => (Some(origin), kind, payload),
        _ => (None, known.kind, &known.payload[..]),
    };
    match (wanted, Record::read(Kind::of(kind)?, 1, payload)?) {
        (Wanted::Pdu, Record::Accept { pdu, .. }) => Some((origin, pdu.to_vec())),
        (Wanted::Sent, Record::Sent { .. }) => Some((origin, payload.to_vec())),
        _ => None,
    }
}
