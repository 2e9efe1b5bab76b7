//! What the committer does when: windows, syncs, spares, files that fail.

use crate::disk::{Fault, Plan, SimDisk};
use crate::world::GEOMETRY;
use bindery::journal::commit::{Change, Front, Identity, Next, Spare, Step};
use bindery::journal::disk::{FileKind, name_of, write_all};
use bindery::journal::frame::frame_len;
use bindery::journal::header::{BATCH_HEAD, SEGMENT_HEAD, batches};
use bindery::journal::recover::{Recovery, Verdict};
use bindery::journal::ring::{Producer, Unfreed};
use bindery::journal::{Committer, Disk, DiskError, Durability, Erasing, Lsn, PAGE, Record};
use bindery::limits::{JOURNAL_OFF_WRITE, JOURNAL_WRITE_SOON};
use bindery::time::{Duration, Instant, Now, Wall};

const RING: usize = 1024 * 1024;
/// Records of a batch of which a segment holds less than are written in `JOURNAL_PROCESS_SYNC`.
const BATCH: u64 = 100;

struct Rig {
    disk: SimDisk,
    ring: Vec<u8>,
    producer: Producer,
    committer: Committer<usize>,
    tail: u64,
    freed: u64,
    files: u64,
    front: Front,
}

impl Rig {
    fn new(durability: Durability, spares: u64) -> Self {
        let (fork, front) = (Lsn::FIRST, Lsn::NONE);
        Self::after(
            Identity { journal: 1, shard: 0, run: 1, fork, forks: Vec::new(), first: fork, number: 0, front },
            durability,
            spares,
        )
    }

    /// What goes on after an earlier run.
    fn after(identity: Identity, durability: Durability, spares: u64) -> Self {
        let first = identity.first;
        let mut rig = Self {
            disk: SimDisk::new(1, None),
            ring: vec![0; RING],
            producer: Producer::new(RING, first),
            committer: Committer::new(identity, GEOMETRY, durability, 3),
            tail: 0,
            freed: 0,
            files: 0,
            front: Front::default(),
        };
        (0..spares).for_each(|_| rig.spare());
        rig
    }

    fn spare(&mut self) {
        self.files += 1;
        let name = name_of(FileKind::Spare, 0, self.files);
        let file = self.disk.create(&name).unwrap();
        write_all(&mut self.disk, &file, 0, &vec![0; GEOMETRY.segment as usize]).unwrap();
        self.disk.sync(&file).unwrap();
        self.committer.give(Spare { name, file, wiped_at: None });
    }

    fn append(&mut self, records: u64) {
        for key in 0..records {
            let record = Record::Tombstone { reason: 1 };
            self.producer.append(&mut self.ring, key, 0, &record).unwrap();
        }
        self.tail = self.freed + self.producer.used();
    }

    fn step(&mut self, millis: u64) -> Step {
        self.step_at(Instant::from_nanos(millis * 1_000_000))
    }

    fn step_at(&mut self, mono: Instant) -> Step {
        let now = Now { mono, wall: Wall(0) };
        let unfreed = Unfreed::of(&self.ring, self.freed, self.tail);
        let step = self.committer.step(now, &unfreed, self.front, &mut self.disk);
        self.freed = step.freed;
        self.producer.free(step.freed);
        assert_eq!(self.disk.forbidden, None);
        step
    }

    /// The next call of the disk goes wrong.
    fn fail_next(&mut self, calls_from_now: u64, fault: Fault) {
        self.disk.plan = Plan { at: Some((self.disk.calls + calls_from_now, fault)), ..Plan::default() };
    }
}

fn at(millis: u64) -> Next {
    Next::At(Instant::from_nanos(millis * 1_000_000))
}

#[test]
fn a_commit_is_durable_in_one_step_and_then_there_is_nothing_to_do() {
    for durability in [Durability::Strict, Durability::Group(Duration::ZERO)] {
        let mut rig = Rig::new(durability, 1);
        assert_eq!(rig.step(0).next, Next::Idle);
        rig.append(3);
        let step = rig.step(1);
        assert_eq!((step.written, step.durable, step.next), (Lsn(3), Lsn(3), Next::Idle));
        assert_eq!(step.freed, rig.tail);
    }
}

#[test]
fn a_window_waits_for_company_and_no_longer() {
    let mut rig = Rig::new(Durability::Group(Duration::from_millis(5)), 1);
    rig.append(1);
    assert_eq!(
        (rig.step(10).next, rig.step(14).durable),
        (Next::Later(Instant::from_nanos(15_000_000)), Lsn::NONE)
    );
    rig.append(1);
    let step = rig.step(15);
    assert_eq!((step.durable, step.next), (Lsn(2), Next::Idle));
}

#[test]
fn what_nobody_waits_for_is_written_with_what_comes_soon_behind_it_unless_that_is_much() {
    let mut rig = Rig::new(Durability::Off, 1);
    let (first, half) = (Instant::from_nanos(5_000_000), JOURNAL_OFF_WRITE / 2);
    rig.append(1);
    assert_eq!(rig.step_at(first).written, Lsn(1), "the first one waits for nobody");
    rig.append(1);
    let (step, second) = (rig.step_at(first.after(half)), first.after(JOURNAL_OFF_WRITE));
    assert_eq!((step.written, step.next), (Lsn(1), Next::Later(second)));
    rig.append(1);
    assert_eq!(rig.step_at(second).written, Lsn(3));
    while rig.producer.used() < 2 * JOURNAL_WRITE_SOON {
        rig.append(1);
    }
    assert!(rig.step_at(second.after(half)).written > Lsn(3), "it is much");
}

#[test]
fn process_says_written_at_once_and_durable_a_while_later() {
    let mut rig = Rig::new(Durability::Process, 1);
    rig.append(2);
    let step = rig.step(0);
    assert_eq!((step.written, step.durable, step.freed, step.next), (Lsn(2), Lsn::NONE, 0, at(200)));
    rig.append(1);
    assert_eq!((rig.step(199).written, rig.step(199).durable), (Lsn(3), Lsn::NONE));
    assert_eq!((rig.step(200).durable, rig.step(200).next), (Lsn(3), Next::Idle));
    let answerable = |durability: Durability| durability.answerable(Lsn(9), Lsn(5), Lsn(3));
    let all = [Durability::Off, Durability::Process, Durability::Group(Duration::ZERO), Durability::Strict];
    assert_eq!(all.map(answerable), [Lsn(9), Lsn(5), Lsn(3), Lsn(3)]);
}

/// Steps until the sync that is under way is through.
fn until_durable(rig: &mut Rig, millis: u64, lsn: Lsn) -> Step {
    let done = (0..20).map(|_| rig.step(millis)).find(|step| step.durable >= lsn);
    done.unwrap_or_else(|| panic!("{lsn:?} is not durable"))
}

#[test]
fn with_process_more_is_written_while_a_sync_is_under_way_which_says_nothing_of_it() {
    let mut rig = Rig::new(Durability::Process, 2);
    rig.disk.slow = true;
    rig.append(2);
    assert_eq!(rig.step(0).next, at(200));
    rig.step(200);
    rig.append(3);
    assert_eq!(rig.step(200).written, Lsn(5), "the sync holds up no write");
    let step = until_durable(&mut rig, 201, Lsn(1));
    assert_eq!((step.durable, step.next), (Lsn(2), at(400)));
    assert_eq!(until_durable(&mut rig, 400, Lsn(3)).durable, Lsn(5));
}

#[test]
fn with_process_batches_share_a_page_until_a_sync_is_asked_for() {
    let mut rig = Rig::new(Durability::Process, 1);
    rig.disk.slow = true;
    // At 200 ms a sync begins, before the third record is written: it goes with the fourth.
    for millis in [0, 1, 200, 200, 200] {
        rig.append(1);
        rig.step(millis);
    }
    until_durable(&mut rig, 201, Lsn(1));
    rig.append(1);
    rig.step(201);
    let name = rig.disk.list().unwrap().remove(0);
    let octets = rig.disk.octets(&name).clone();
    let found: Vec<usize> = batches(&octets, SEGMENT_HEAD).map(|(at, _)| at).collect();
    let (frame, second) = (frame_len(1), 3 * PAGE);
    let (one, two) = (BATCH_HEAD + frame, BATCH_HEAD + 2 * frame);
    assert_eq!(found, [2 * PAGE, 2 * PAGE + one, second, second + two, second + two + one]);
    let recovery = Recovery { shard: 0, journal: None };
    let recovered = recovery.run(&mut rig.disk, &mut |_, _| ()).unwrap();
    assert_eq!((recovered.end, recovered.report.verdict()), (Lsn(6), Verdict::Sound));
}

#[test]
fn with_process_a_full_file_is_synced_before_the_next_one_and_both_are_given_up_when_it_fails() {
    for fails in [false, true] {
        let mut rig = Rig::new(Durability::Process, 4);
        rig.disk.slow = true;
        let (mut millis, mut written) = (0, Lsn::NONE);
        while rig.committer.spares() > 2 {
            rig.append(BATCH);
            rig.step(millis);
            (millis, written) = (millis + 1, written.plus(BATCH));
        }
        let mut step = rig.step(millis);
        assert_eq!((step.written, step.durable, rig.committer.change()), (written, Lsn::NONE, None));
        if !fails {
            let full = until_durable(&mut rig, millis, Lsn(1));
            assert_eq!(full.durable, Lsn(written.0 - BATCH), "what the full file has");
            assert!(matches!(rig.committer.change(), Some(Change::Used { number: 1, .. })));
            assert!(matches!(rig.committer.change(), Some(Change::Sealed { number: 1, .. })));
            assert_eq!(until_durable(&mut rig, millis + 200, written).durable, written);
            assert!(matches!(rig.committer.change(), Some(Change::Used { number: 2, .. })));
            continue;
        }
        rig.fail_next(0, Fault::Io);
        while rig.committer.spares() == 2 {
            step = rig.step(millis);
        }
        while step.next == Next::Now {
            step = rig.step(millis);
        }
        assert_eq!((step.written, step.durable), (written, Lsn::NONE), "it is written again from the ring");
        let failed: Vec<_> = std::iter::from_fn(|| rig.committer.change()).collect();
        let is_failed = |change: &Change| matches!(change, Change::Failed { .. });
        assert!(failed.len() == 2 && failed.iter().all(is_failed), "{failed:?}");
        rig.disk.plan = Plan::default();
        assert_eq!(until_durable(&mut rig, millis + 200, written).durable, written);
    }
}

#[test]
fn with_process_a_sync_of_a_file_that_was_given_up_says_nothing() {
    let mut rig = Rig::new(Durability::Process, 3);
    rig.disk.slow = true;
    rig.append(2);
    rig.step(0);
    rig.step(200);
    rig.append(1);
    rig.fail_next(0, Fault::Io);
    rig.step(200);
    rig.disk.plan = Plan::default();
    let step = rig.step(201);
    assert_eq!((step.written, step.durable), (Lsn(3), Lsn::NONE));
    assert_eq!(until_durable(&mut rig, 402, Lsn(1)).durable, Lsn(3));
}

#[test]
fn what_the_last_run_had_not_synced_is_synced_at_once_and_its_front_is_told_with_it() {
    let forks = Vec::new();
    let (first, fork, front) = (Lsn(5), Lsn(8), Lsn(4));
    let identity = Identity { journal: 1, shard: 0, run: 2, fork, forks, first, number: 1, front };
    let mut rig = Rig::after(identity, Durability::Process, 1);
    assert_eq!(rig.step(0).front, Lsn::NONE, "no file of this run says so");
    // The ring begins with the tail.
    rig.append(3);
    let step = rig.step(1);
    assert_eq!((step.durable, step.front, step.next), (Lsn(7), Lsn(4), Next::Idle));
    rig.append(1);
    let step = rig.step(2);
    assert_eq!((step.written, step.durable, step.next), (Lsn(8), Lsn(7), at(202)), "then as ever");
}

#[test]
fn off_asks_for_no_sync() {
    let mut rig = Rig::new(Durability::Off, 1);
    rig.append(2);
    let calls = rig.disk.calls;
    assert_eq!((rig.step(0).next, rig.step(1000).next), (Next::Idle, Next::Idle));
    assert_eq!(rig.disk.calls - calls, 2, "the header and the batch");
}

#[test]
fn without_a_spare_it_waits_and_loses_nothing() {
    let mut rig = Rig::new(Durability::Strict, 0);
    rig.append(5);
    assert_eq!((rig.step(0).next, rig.step(1).durable), (Next::Spare, Lsn::NONE));
    rig.spare();
    assert_eq!(rig.step(2).durable, Lsn(5));
}

#[test]
fn a_file_that_fails_is_left_and_all_that_is_not_durable_goes_into_the_next_one() {
    // The header, the batch, the sync; each may be the one that fails.
    for call in 0..3 {
        let mut rig = Rig::new(Durability::Strict, 2);
        rig.append(4);
        rig.fail_next(call, Fault::Io);
        let step = rig.step(0);
        assert_eq!(
            (step.written, step.durable, step.failed, step.next),
            (Lsn::NONE, Lsn::NONE, None, Next::Now)
        );
        let step = rig.step(0);
        assert_eq!((step.durable, step.failed), (Lsn(4), None));
        let changes: Vec<Change> = std::iter::from_fn(|| rig.committer.change()).collect();
        assert!(
            matches!(changes[..], [Change::Failed { number: 1, .. }, Change::Used { number: 2, .. }]),
            "{changes:?}"
        );
    }
}

#[test]
fn two_files_in_a_row_that_fail_are_said_and_it_goes_on_when_the_disk_does() {
    const FULL: Option<DiskError> = Some(DiskError::Full);
    let mut rig = Rig::new(Durability::Strict, 4);
    rig.append(4);
    rig.disk.plan = Plan { at: Some((rig.disk.calls, Fault::Full)), for_ever: true, ..Plan::default() };
    assert_eq!(rig.step(0).failed, None);
    let step = rig.step(1);
    assert_eq!((step.failed, step.next, step.durable), (FULL, at(1001), Lsn::NONE));
    rig.disk.plan = Plan::default();
    assert_eq!((rig.step(1000).next, rig.step(1000).failed), (at(1001), FULL), "not before its time");
    let step = rig.step(1001);
    assert_eq!((step.failed, step.durable), (None, Lsn(4)));
}

#[test]
fn the_front_moves_only_when_the_record_that_moved_it_is_durable() {
    let mut rig = Rig::new(Durability::Strict, 1);
    rig.append(1);
    assert_eq!(rig.step(0).front, Lsn::NONE);
    // Record 2 closes record 1, and is in the ring only.
    rig.append(1);
    rig.front = Front { lsn: Lsn(2), as_of: Lsn(2) };
    assert_eq!(rig.step(1).front, Lsn::NONE, "the batch with record 2 cannot say so itself");
    rig.append(1);
    rig.front = Front { lsn: Lsn(3), as_of: Lsn(3) };
    assert_eq!(rig.step(2).front, Lsn(2));
}

/// A rig whose texts are erased: a segment is written to for two seconds.
fn erasing(spares: u64) -> Rig {
    let mut rig = Rig::new(Durability::Strict, 0);
    let (fork, front) = (Lsn::FIRST, Lsn::NONE);
    let identity =
        Identity { journal: 1, shard: 0, run: 1, fork, forks: Vec::new(), first: fork, number: 0, front };
    let erasing = Erasing { keep: Duration::ZERO, within: Duration::from_secs(16) };
    rig.committer = Committer::new(identity, GEOMETRY, Durability::Strict, 3).erasing(&erasing);
    (0..spares).for_each(|_| rig.spare());
    rig
}

#[test]
fn a_segment_is_not_written_to_for_longer_than_its_share() {
    let mut rig = erasing(2);
    for millis in [0, 1000, 1999] {
        rig.append(1);
        rig.step(millis);
    }
    assert!(matches!(rig.committer.change(), Some(Change::Used { number: 1, .. })));
    assert_eq!((rig.step(9000).next, rig.committer.change()), (Next::Idle, None), "nothing comes");
    rig.append(1);
    assert_eq!(rig.step(9001).durable, Lsn(4));
    let end = 5 * 4096;
    assert_eq!(rig.committer.change(), Some(Change::Sealed { number: 1, end }));
    assert!(matches!(rig.committer.change(), Some(Change::Used { number: 2, base: Lsn(4), .. })));
    // It waits for no file for that.
    rig.append(1);
    assert_eq!((rig.step(19_000).durable, rig.committer.change()), (Lsn(5), None));
    rig.committer.ends();
    assert_eq!(rig.committer.change(), Some(Change::Sealed { number: 2, end: 4 * 4096 }));
}

#[test]
fn a_spare_that_is_not_used_in_time_goes_back_and_the_last_one_much_later() {
    let mut rig = erasing(0);
    for millis in [500, 700] {
        rig.files += 1;
        let name = name_of(FileKind::Spare, 0, rig.files);
        let file = rig.disk.create(&name).unwrap();
        let wiped_at = Some(Instant::from_nanos(millis * 1_000_000));
        rig.committer.give(Spare { name, file, wiped_at });
    }
    let mut returned = |millis| {
        rig.step(millis);
        rig.committer.change()
    };
    assert_eq!(returned(499), None);
    assert_eq!(returned(900), Some(Change::Returned { spare: name_of(FileKind::Spare, 0, 1) }));
    assert_eq!(returned(2699), None, "the last one");
    assert_eq!(returned(2700), Some(Change::Returned { spare: name_of(FileKind::Spare, 0, 2) }));
}
