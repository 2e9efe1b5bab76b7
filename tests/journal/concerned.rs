//! Whose records are missing: said as far as others prove it, and no further.

use crate::disk::SimDisk;
use crate::world::GEOMETRY;
use bindery::journal::commit::{Front, Identity, Spare};
use bindery::journal::disk::{FileKind, name_of, write_all};
use bindery::journal::header::time_ms;
use bindery::journal::prepare::Done;
use bindery::journal::recover::{Recovered, Recovery, Verdict};
use bindery::journal::ring::{Producer, Unfreed};
use bindery::journal::space::SpaceLimits;
use bindery::journal::{Committer, Disk, Durability, Facts, Fault, Lsn, Preparer, Record};
use bindery::smpp::message_state::MessageState;
use bindery::time::{Instant, Now, Wall};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const RING: usize = 64 * 1024;
const WALL: i64 = 1_790_000_000_000_000;
const RECOVERY: Recovery = Recovery { shard: 0, journal: None };

/// A journal with a record on each page.
struct Rig {
    disk: SimDisk,
    ring: Vec<u8>,
    producer: Producer,
    committer: Committer<usize>,
    tail: u64,
    freed: u64,
    lsn: u64,
    seconds: i64,
    front: Lsn,
}

fn wall(seconds: i64) -> i64 {
    WALL + seconds * 1_000_000
}

impl Rig {
    fn new() -> Self {
        let (fork, front) = (Lsn::FIRST, Lsn::NONE);
        let identity =
            Identity { journal: 1, shard: 0, run: 1, fork, forks: Vec::new(), first: fork, number: 0, front };
        let mut rig = Self {
            disk: SimDisk::new(1, None),
            ring: vec![0; RING],
            producer: Producer::new(RING, fork),
            committer: Committer::new(identity, GEOMETRY, Durability::Strict, 3),
            tail: 0,
            freed: 0,
            lsn: 0,
            seconds: 0,
            front,
        };
        for number in 1..=4 {
            let name = name_of(FileKind::Spare, 0, number);
            let file = rig.disk.create(&name).unwrap();
            write_all(&mut rig.disk, &file, 0, &vec![0; GEOMETRY.segment as usize]).unwrap();
            rig.disk.sync(&file).unwrap();
            rig.committer.give(Spare { name, file, wiped_at: None });
        }
        rig
    }

    /// Ten seconds after the last one.
    fn write(&mut self, key: u64, record: &Record<'_>) -> u64 {
        self.seconds += 10;
        let mono = Instant::from_nanos(self.seconds as u64 * 1_000_000_000);
        let now = Now { mono, wall: Wall(wall(self.seconds)) };
        self.producer.append(&mut self.ring, key, time_ms(now), record).unwrap();
        self.lsn += 1;
        self.tail = self.freed + self.producer.used();
        let front = Front { lsn: self.front, as_of: Lsn(self.lsn) };
        while self.freed < self.tail {
            let unfreed = Unfreed::of(&self.ring, self.freed, self.tail);
            let step = self.committer.step(now, &unfreed, front, &mut self.disk);
            self.producer.free(step.freed);
            self.freed = step.freed;
        }
        self.lsn
    }

    fn accept(&mut self, key: u64, esme: &str) -> u64 {
        let accepted = wall(self.seconds + 10);
        let (validity, due, esme) = (0, 0, esme.as_bytes());
        self.write(key, &Record::Accept { accepted, validity, due, esme, id: b"7", pdu: b"text" })
    }

    fn sending(&mut self, key: u64) -> u64 {
        self.write(key, &Record::Sending { attempt: 1, carrier: b"alpha" })
    }

    fn sent(&mut self, key: u64, facts: Facts<'_>) -> u64 {
        self.write(key, &Record::Sent { awaited: 1, kept: false, over: b"", facts })
    }

    fn finish(&mut self, key: u64, state: MessageState, facts: Facts<'_>) -> u64 {
        let (state, fault) = (state as u8, Fault::Nobody);
        let (reason, error, price, currency) = (0xFF, &b""[..], 0, &b""[..]);
        self.write(key, &Record::Finish { state, status: 0, reason, fault, error, price, currency, facts })
    }

    fn nothing(&mut self, records: u64) {
        (0..records).for_each(|_| {
            self.write(0, &Record::Tombstone { reason: 0xFF });
        });
    }

    fn read(&mut self) -> (Recovered, Vec<(u64, u64, u64)>) {
        let mut places = Vec::new();
        let visit = &mut |frame: &bindery::journal::Frame<'_>, place: &bindery::journal::recover::Place| {
            places.push((frame.lsn.0, place.segment, place.at));
        };
        (RECOVERY.run(&mut self.disk, visit).unwrap(), places)
    }

    /// Those who are named when these records cannot be read.
    fn named_without(&self, lsns: &[u64]) -> (SimDisk, Recovered, Vec<String>) {
        let mut rig = Self { disk: self.disk.copy(), ..Self::new() };
        let (before, places) = rig.read();
        for (lsn, segment, at) in places {
            let segment = before.segments.iter().find(|one| one.number == segment).unwrap();
            if lsns.contains(&lsn) {
                rig.disk.octets(&segment.name)[at as usize + 33] ^= 1;
            }
        }
        let (mut recovered, _) = rig.read();
        let told =
            |gap: &u64| recovered.report.missing.iter().any(|one| (one.first.0..=one.last.0).contains(gap));
        assert!(lsns.iter().all(told), "{lsns:?}: {:?}", recovered.report);
        let concerned = RECOVERY.concerned(&mut rig.disk, &recovered).unwrap();
        let names: BTreeSet<String> = concerned.iter().map(|one| one.account.clone()).collect();
        recovered.report.concerned = Some(concerned);
        (rig.disk, recovered, names.into_iter().collect())
    }
}

fn facts(esme: &str, accepted: i64) -> Facts<'_> {
    let (accepted, submitted) = (wall(accepted), wall(accepted + 10));
    Facts { accepted, submitted, esme: esme.as_bytes(), id: b"7", ..Facts::default() }
}

fn had<'a>(esme: &'a str, accepted: i64) -> Facts<'a> {
    Facts { message_id: b"m", carrier: b"alpha", ..facts(esme, accepted) }
}

/// A journal with messages of several accounts, each of whose records lies among those of others; what each record is of.
fn mixed() -> (Rig, Vec<&'static str>) {
    let mut rig = Rig::new();
    let mut whose = Vec::new();
    rig.nothing(2);
    whose.extend(["", ""]);
    rig.accept(1, "acme"); // 3, at 30 s
    rig.accept(2, "bank"); // 4
    rig.sending(1);
    rig.sending(2);
    rig.sent(1, had("acme", 30)); // 7
    rig.sent(2, had("bank", 40));
    whose.extend(["acme", "bank", "acme", "bank", "acme", "bank"]);
    // Relayed: refused by the carrier, taken without a receipt to come, taken with one.
    rig.finish(3, MessageState::Rejected, facts("carol", 30)); // 9
    rig.finish(4, MessageState::Accepted, had("dave", 30));
    rig.sent(5, had("erin", 30)); // 11
    rig.finish(5, MessageState::Delivered, had("erin", 30));
    whose.extend(["carol", "dave", "erin", "erin"]);
    // A receipt of `frank`, which is answered.
    rig.sent(6, had("frank", 120)); // 13
    let at = Lsn(rig.write(6, &Record::DlrIn { carrier: b"alpha", pdu: b"receipt" }));
    rig.write(6, &Record::DlrOut { of: at, at, state: 2, status: 0 });
    rig.finish(6, MessageState::Delivered, had("frank", 120));
    whose.extend(["frank"; 4]);
    // Nothing but an ACCEPT.
    rig.accept(7, "grace"); // 17
    whose.push("grace");
    rig.finish(1, MessageState::Delivered, had("acme", 30));
    rig.finish(2, MessageState::Delivered, had("bank", 40));
    whose.extend(["acme", "bank"]);
    rig.nothing(30);
    whose.extend([""; 30]);
    (rig, whose)
}

#[test]
fn who_lost_a_message_is_named_when_a_later_record_proves_it() {
    let (rig, _) = mixed();
    for (lsns, names) in [
        (&[3][..], &["acme"][..]),
        (&[4], &["bank"]),
        (&[3, 4], &["acme", "bank"]),
        (&[11], &["erin"]),
        (&[14], &["frank"]),
        (&[3, 11, 14], &["acme", "erin", "frank"]),
        (&[17], &[]),
        (&[3, 5], &[]),
        (&[9], &[]),
        (&[30], &[]),
    ] {
        assert_eq!(rig.named_without(lsns).2, names, "without {lsns:?}");
    }
}

#[test]
fn each_range_has_its_own_accounts() {
    let (rig, _) = mixed();
    let concerned = rig.named_without(&[3, 13]).1.report.concerned.unwrap();
    let named: Vec<(&str, u64)> =
        concerned.iter().map(|one| (one.account.as_str(), one.missing.first.0)).collect();
    assert_eq!(named, [("acme", 3), ("frank", 13)]);
}

#[test]
fn nobody_is_named_for_what_another_one_has_lost() {
    let (rig, whose) = mixed();
    for lsn in 1..45 {
        let names = rig.named_without(&[lsn]).2;
        assert!(names.iter().all(|name| name == whose[lsn as usize - 1]), "without {lsn}: {names:?}");
    }
}

#[test]
fn where_nothing_is_missing_nothing_is_read_again() {
    let (mut rig, _) = mixed();
    let (recovered, _) = rig.read();
    assert!(recovered.report.verdict() < Verdict::Missing);
    let (opens, calls) = (rig.disk.opens, rig.disk.calls);
    assert_eq!(RECOVERY.concerned(&mut rig.disk, &recovered), Ok(Vec::new()));
    assert_eq!((rig.disk.opens, rig.disk.calls), (opens, calls));
}

#[test]
fn a_message_that_began_in_what_was_given_back_has_lost_nothing() {
    let mut rig = Rig::new();
    rig.accept(1, "acme");
    rig.nothing(19);
    // A carrier has it at 210 s; all that is lost later may hold no answer of it.
    rig.sent(3, had("carol", 200));
    rig.nothing(1);
    rig.front = Lsn(23);
    let gone = rig.read().0.segments[0].name.clone();
    rig.sending(1);
    let lost = rig.accept(2, "bank");
    rig.sending(2);
    rig.sent(1, had("acme", 10));
    rig.finish(1, MessageState::Delivered, had("acme", 10));
    rig.finish(2, MessageState::Undeliverable, facts("bank", lost as i64 * 10));
    rig.finish(3, MessageState::Delivered, had("carol", 200));
    rig.nothing(30);
    rig.disk.lose(&gone);
    assert!(rig.read().0.report.missing.is_empty(), "it was given back");
    assert_eq!(rig.named_without(&[lost]).2, ["bank"]);
}

#[test]
fn a_copy_of_what_is_missing_is_as_good_as_that() {
    let mut rig = Rig::new();
    rig.nothing(2);
    let from = Lsn(rig.accept(1, "acme"));
    rig.sending(1);
    let mut payload = Vec::new();
    let accept =
        Record::Accept { accepted: wall(30), validity: 0, due: 0, esme: b"acme", id: b"7", pdu: b"text" };
    accept.payload(&mut payload);
    let kind = accept.kind() as u8;
    rig.write(1, &Record::Move { from, origin: from, kind, version: 1, wall: wall(30), payload: &payload });
    rig.finish(1, MessageState::Undeliverable, facts("acme", 30));
    rig.nothing(30);
    assert!(rig.named_without(&[from.0]).2.is_empty());
    assert_eq!(rig.named_without(&[from.0, 5]).2, ["acme"], "the copy as well");
}

#[test]
fn the_report_in_quarantine_names_them() {
    let (rig, _) = mixed();
    let (mut disk, recovered, _) = rig.named_without(&[3]);
    let limits = SpaceLimits { size_max: 100 * GEOMETRY.segment, min_free: 0 };
    let mut preparer = Preparer::new(0, GEOMETRY, limits, &recovered);
    while !matches!(preparer.step(Instant::ZERO, recovered.end, &mut disk), Ok(Done::Nothing)) {}
    let names = disk.list().unwrap();
    let reports: Vec<&String> = names.iter().filter(|name| name.ends_with(".json")).collect();
    let [report] = reports[..] else { panic!("{names:?}") };
    // The disk gives whole sectors.
    let line = disk.octets(report).split(|octet| *octet == b'\n').next().unwrap_or_default();
    let report: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(report["missing"], json!([{ "first": 3, "last": 3 }]), "{report}");
    assert_eq!(report["accounts"], json!(["acme"]), "{report}");
}
