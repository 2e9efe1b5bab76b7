//! What the preparer makes, gives back and puts away, and what it does without space.

use crate::disk::{Fault, Plan, SimDisk};
use crate::world::GEOMETRY;
use bindery::journal::commit::Change;
use bindery::journal::disk::{Disk, DiskError, FileKind, name_of};
use bindery::journal::prepare::Done;
use bindery::journal::recover::Recovered;
use bindery::journal::space::SpaceLimits;
use bindery::journal::{Erasing, Lsn, Preparer};
use bindery::limits::{JOURNAL_PREPARE_PAUSE, JOURNAL_PREPARE_PIECE};
use bindery::time::{Duration, Instant};

struct Rig {
    disk: SimDisk,
    preparer: Preparer<usize>,
    spares: Vec<String>,
    used: u64,
    away: Vec<(String, &'static str)>,
}

impl Rig {
    fn new(segments_max: u64) -> Self {
        let limits = SpaceLimits { size_max: segments_max * GEOMETRY.segment, min_free: 10 };
        let preparer = Preparer::new(0, GEOMETRY, limits, &Recovered::default());
        Self { disk: SimDisk::new(1, None), preparer, spares: Vec::new(), used: 0, away: Vec::new() }
    }

    /// Works until there is nothing to do at this time.
    fn work(&mut self, millis: u64, front: u64) -> Result<(), DiskError> {
        let now = Instant::from_nanos(millis * 1_000_000);
        loop {
            match self.preparer.step(now, Lsn(front), &mut self.disk)? {
                Done::Some => {}
                Done::Away(name, why) => self.away.push((name, why)),
                Done::Spare(spare) => self.spares.push(spare.name),
                Done::Nothing => return Ok(()),
            }
        }
    }

    /// The committer takes a spare for the records from `base` on.
    fn takes(&mut self, base: u64) {
        self.used += 1;
        let spare = self.spares.remove(0);
        self.preparer.changed(Change::Used { spare, number: self.used, base: Lsn(base) });
    }

    fn names(&mut self) -> Vec<String> {
        self.disk.list().unwrap()
    }
}

#[test]
fn there_are_two_spares_and_a_used_one_is_replaced() {
    let mut rig = Rig::new(10);
    rig.work(0, 0).unwrap();
    assert_eq!(rig.names(), [name_of(FileKind::Spare, 0, 1), name_of(FileKind::Spare, 0, 2)]);
    let names = rig.names();
    assert!(rig.preparer.accepting() && rig.spares == names);
    rig.takes(1);
    rig.work(1, 0).unwrap();
    let segment = name_of(FileKind::Segment, 0, 1);
    assert_eq!((rig.names().len(), rig.names().contains(&segment), rig.spares.len()), (3, true, 2));
}

#[test]
fn it_takes_its_time_once_there_are_two_spares_and_none_while_there_is_none() {
    let mut rig = Rig::new(10);
    assert_eq!(rig.preparer.pause(), Duration::ZERO, "the first message takes a spare");
    rig.work(0, 0).unwrap();
    assert_eq!(rig.preparer.pause(), JOURNAL_PREPARE_PAUSE);
    rig.takes(1);
    assert_eq!(rig.preparer.pause(), JOURNAL_PREPARE_PAUSE);
    rig.takes(100);
    assert_eq!(rig.preparer.pause(), Duration::ZERO);
    rig.work(1, 0).unwrap();
    // A segment that is full in a millisecond is replaced in a quarter of one.
    rig.takes(200);
    rig.work(2, 0).unwrap();
    let pieces = GEOMETRY.segment.div_ceil(JOURNAL_PREPARE_PIECE as u64);
    assert_eq!(rig.preparer.pause(), Duration::from_nanos(250_000 / pieces));
}

#[test]
fn only_the_oldest_segments_are_given_back_and_their_files_used_again() {
    let mut rig = Rig::new(10);
    rig.work(0, 0).unwrap();
    for base in [1, 100, 200] {
        rig.takes(base);
        rig.work(1, 0).unwrap();
    }
    let files = rig.names().len();
    rig.work(2, 99).unwrap();
    assert_eq!(rig.preparer.segments(), 3, "record 99 is in the first");
    rig.work(3, 200).unwrap();
    assert_eq!(rig.preparer.segments(), 1, "the one in use stays");
    rig.takes(300);
    rig.takes(400);
    rig.work(4, 200).unwrap();
    assert_eq!((rig.names().len(), rig.spares.len()), (files, 2), "no new file was made");
}

#[test]
fn a_segment_that_failed_is_put_away_and_never_used_again() {
    let mut rig = Rig::new(10);
    rig.work(0, 0).unwrap();
    rig.takes(1);
    rig.work(0, 0).unwrap();
    let spare = String::new();
    rig.preparer.changed(Change::Failed { spare, number: 1, base: Lsn(1), error: DiskError::Failed(5) });
    rig.takes(50);
    rig.work(1, 0).unwrap();
    assert!(rig.names().contains(&name_of(FileKind::Failed, 0, 1)));
    rig.work(2, 50).unwrap();
    let name = name_of(FileKind::Failed, 0, 1);
    let away = format!("quarantine/{name}");
    assert!(rig.names().contains(&away) && rig.spares.len() == 2, "{:?}", rig.names());
    assert_eq!(rig.away, [(name, "write_failed")]);
    let files = rig.names().iter().filter(|name| !name.starts_with("quarantine/")).count() as u64;
    assert_eq!(rig.preparer.octets(), files * GEOMETRY.segment, "as after the next start");
}

#[test]
fn without_space_nothing_new_is_taken_and_a_second_after_it_is_back_everything_is() {
    let mut rig = Rig::new(10);
    rig.disk.free = 0;
    rig.work(0, 0).unwrap();
    assert!(!rig.preparer.accepting() && rig.names().is_empty());
    rig.disk.free = 1 << 40;
    rig.work(999, 0).unwrap();
    rig.work(1000, 0).unwrap();
    assert!(rig.preparer.accepting() && rig.spares.len() == 2);
}

#[test]
fn who_waits_for_a_file_that_cannot_be_made_is_told_so_until_there_is_one() {
    let mut rig = Rig::new(10);
    rig.work(0, 0).unwrap();
    rig.disk.free = 0;
    rig.takes(1);
    rig.work(1, 0).unwrap();
    assert_eq!(rig.preparer.starved(), None, "one is left");
    rig.takes(100);
    rig.work(2, 0).unwrap();
    assert_eq!(rig.preparer.starved(), Some(DiskError::Full));
    rig.disk.free = 1 << 40;
    rig.disk.plan = Plan { at: Some((rig.disk.calls, Fault::Full)), ..Plan::default() };
    assert!(rig.work(3, 0).is_err() && rig.preparer.starved() == Some(DiskError::Full));
    rig.work(4, 0).unwrap();
    assert!(rig.preparer.starved().is_none() && rig.spares.len() == 2);
}

#[test]
fn files_that_are_not_needed_any_more_make_room_on_a_disk_that_is_nearly_full() {
    let mut rig = Rig::new(20);
    rig.work(0, 0).unwrap();
    for number in 0..10 {
        rig.takes(1 + number * 100);
        rig.work(1 + number, 0).unwrap();
    }
    assert_eq!(rig.names().len(), 12);
    // A tenth is to be free; the files of the test take nothing of it.
    rig.disk.free = (1 << 40) / 10;
    rig.work(2000, 0).unwrap();
    assert!(rig.preparer.accepting() && rig.names().len() == 12, "all of them are needed");
    rig.disk.free -= 1;
    rig.work(4000, 901).unwrap();
    assert!(!rig.preparer.accepting());
    assert_eq!((rig.names().len(), rig.spares.len()), (3, 2), "{:?}", rig.names());
    rig.disk.free = (1 << 40) / 10 * 11 / 10 + 10;
    rig.work(6000, 901).unwrap();
    assert!(rig.preparer.accepting());
}

#[test]
fn the_journal_grows_to_its_limit_and_the_last_of_it_is_for_what_ends_messages() {
    let mut rig = Rig::new(6);
    rig.work(0, 0).unwrap();
    for number in 0..4 {
        rig.takes(1 + number * 100);
        rig.work(1 + number * 2000, 0).unwrap();
    }
    assert!(!rig.preparer.accepting());
    assert!(rig.spares.len() == 1 && rig.names().len() == 5, "{:?}", rig.names());
    rig.takes(500);
    rig.work(9000, 0).unwrap();
    assert_eq!((rig.spares.len(), rig.names().len()), (1, 6));
    rig.takes(600);
    rig.work(9500, 0).unwrap();
    assert_eq!((rig.spares.len(), rig.names().len()), (0, 6), "the reserve has an end");
    rig.work(10_000, 601).unwrap();
    rig.work(12_000, 601).unwrap();
    assert!(rig.preparer.accepting() && rig.spares.len() == 2, "{:?}", rig.names());
}

#[test]
fn a_file_whose_preparation_fails_is_removed_and_another_one_made() {
    for fault in [Fault::Io, Fault::Full] {
        let mut calls = 0;
        for call in 0..5 {
            let mut rig = Rig::new(10);
            rig.disk.plan = Plan { at: Some((call, fault)), ..Plan::default() };
            calls += usize::from(rig.work(0, 0).is_err());
            rig.disk.plan = Plan::default();
            rig.work(1, 0).unwrap();
            assert_eq!(rig.spares.len(), 2, "{fault:?} at {call}");
            let kinds = rig.names().iter().filter(|name| name.ends_with(".new")).count();
            assert_eq!(kinds, 0, "{:?}", rig.names());
            assert_eq!(rig.disk.forbidden, None);
        }
        assert!(calls >= 4, "{fault:?}: {calls} calls fail");
    }
}

/// A rig whose texts are erased: a file that was given back waits a second for its next use.
fn erasing() -> Rig {
    let mut rig = Rig::new(10);
    let erasing = Erasing { keep: Duration::ZERO, within: Duration::from_secs(16) };
    let limits = SpaceLimits { size_max: 10 * GEOMETRY.segment, min_free: 10 };
    rig.preparer = Preparer::new(0, GEOMETRY, limits, &Recovered::default()).erasing(&erasing);
    rig
}

/// Octets of a file that are not zeros.
fn said(rig: &mut Rig, name: &str) -> usize {
    rig.disk.octets(name).iter().filter(|octet| **octet != 0).count()
}

#[test]
fn a_file_that_was_given_back_is_used_as_it_is_while_that_is_soon_and_else_wiped() {
    let mut rig = erasing();
    rig.work(0, 0).unwrap();
    for base in [1, 100, 200, 300] {
        rig.takes(base);
        rig.work(1, 0).unwrap();
        let names = rig.names();
        let last = names.iter().rfind(|name| name.ends_with(".seg")).unwrap();
        rig.disk.octets(last).fill(7);
    }
    rig.work(2, 300).unwrap();
    // Two spares are there: the files wait.
    let freed: Vec<String> = rig.names().into_iter().filter(|name| !rig.spares.contains(name)).collect();
    let freed: Vec<String> = freed.into_iter().filter(|name| name.ends_with(".spare")).collect();
    assert_eq!(freed.len(), 3, "{:?}", rig.names());
    assert!(freed.iter().all(|name| said(&mut rig, name) > 0));
    rig.takes(400);
    rig.work(900, 300).unwrap();
    assert!(said(&mut rig, &freed[0]) > 0 && rig.spares.contains(&freed[0]), "in time");
    rig.work(1002, 300).unwrap();
    assert_eq!(freed[1..].iter().map(|name| said(&mut rig, name)).sum::<usize>(), 0);
    assert!(said(&mut rig, &freed[0]) > 0, "the committer has it");
    // It does not need it.
    let spare = freed[0].clone();
    rig.spares.retain(|name| *name != spare);
    rig.preparer.changed(Change::Returned { spare });
    rig.work(1002, 300).unwrap();
    assert_eq!((said(&mut rig, &freed[0]), rig.spares.len()), (0, 2));
    assert_eq!(rig.disk.forbidden, None);
}

#[test]
fn what_stands_behind_the_records_of_a_segment_is_wiped_and_they_are_not() {
    let mut rig = erasing();
    rig.work(0, 0).unwrap();
    for base in [1, 100, 200] {
        rig.takes(base);
        rig.work(1, 0).unwrap();
    }
    let segment = |number| name_of(FileKind::Segment, 0, number);
    rig.disk.octets(&segment(1)).fill(7);
    rig.work(2, 100).unwrap();
    // The first is used again before it is wiped.
    rig.spares.clear();
    for base in [300, 400, 500] {
        rig.used += 1;
        let spare = rig.names().into_iter().find(|name| name.ends_with(".spare")).unwrap();
        rig.preparer.changed(Change::Used { spare, number: rig.used, base: Lsn(base) });
        rig.work(3, 100).unwrap();
    }
    let stale: Vec<u64> = (2..=6).filter(|number| said(&mut rig, &segment(*number)) > 0).collect();
    assert_eq!(stale.len(), 1, "{:?}", rig.names());
    let (number, end) = (stale[0], 3 * 4096);
    let before = said(&mut rig, &segment(number));
    rig.work(4, 100).unwrap();
    assert_eq!(said(&mut rig, &segment(number)), before, "it may be written to");
    rig.preparer.changed(Change::Sealed { number, end });
    rig.work(5, 100).unwrap();
    let octets = rig.disk.octets(&segment(number));
    assert!(octets[end as usize..].iter().all(|octet| *octet == 0));
    assert!(octets[2 * 4096..end as usize].iter().all(|octet| *octet == 7));
    assert_eq!(rig.disk.forbidden, None);
}

#[test]
fn a_file_that_cannot_be_wiped_is_not_used_again() {
    for call in 0..3 {
        let mut rig = erasing();
        rig.work(0, 0).unwrap();
        for base in [1, 100, 200] {
            rig.takes(base);
            rig.work(1, 0).unwrap();
        }
        rig.disk.octets(&name_of(FileKind::Segment, 0, 1)).fill(7);
        rig.work(2, 100).unwrap();
        rig.disk.plan = Plan { at: Some((rig.disk.calls + call, Fault::Io)), ..Plan::default() };
        let failed = rig.work(1003, 100).is_err();
        rig.disk.plan = Plan::default();
        rig.work(1004, 100).unwrap();
        let names = rig.names();
        let said: usize = names.iter().map(|name| said(&mut rig, name)).sum();
        assert_eq!((said, rig.spares.len()), (0, 2), "call {call}, failed: {failed}");
        assert_eq!((rig.disk.forbidden.take(), failed), (None, call < 2), "{call}");
    }
}
