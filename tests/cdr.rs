//! The call detail record sink beside a journal: every FINISH is a line of a file, once, whatever ends the process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "cdr/rig.rs"]
#[allow(dead_code, reason = "the tests of the commands use the rest of it")]
mod rig;

use bindery::config::Cdr;
use bindery::io::Clock;
use bindery::journal::cdr::origin_of;
use bindery::journal::{Cursors, Lsn};
use bindery::sidecar::cdr;
use bindery::time::Duration;
use rig::{DAY, Folder, HOUR, Node, Watch, at, lines_of};
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn a_sink_that_ends_at_any_line_goes_on_with_the_next_one() {
    let folder = Folder::new("every-line");
    let mut node = Node::open(&folder, 2);
    let mut expected = BTreeSet::new();
    for round in 0..40u64 {
        expected.extend((0..1 + round % 3).map(|_| node.message((round % 2) as usize)));
        node.settle();
        let mut watch = Watch::new(&folder, &node);
        watch.drain(at(0));
        // Dropped as by a kill, in the middle of a line.
        drop(watch);
        folder.append("cdr/2026-11-22.jsonl", &b"{\"v\":1,\"id\":\"to"[..(round % 15) as usize]);
    }
    drop(Watch::new(&folder, &node).drained(at(0)));
    assert_eq!(lines_of(&folder).into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_file_that_lost_any_number_of_octets_that_were_not_synced_becomes_whole_again() {
    let folder = Folder::new("any-octet");
    let mut node = Node::open(&folder, 2);
    node.message(0);
    node.settle();
    drop(Watch::new(&folder, &node).drained(at(0)));
    let (hidden, first) = (folder.read("cdr/.date.jsonl.cursors"), folder.read("cdr/2026-11-22.jsonl").len());
    for number in 0..30 {
        node.message(number % 2);
    }
    node.settle();
    drop(Watch::new(&folder, &node).drained(at(0)));
    let whole = folder.read("cdr/2026-11-22.jsonl");
    for cut in (first..whole.len()).step_by(97).chain([whole.len()]) {
        folder.write("cdr/.date.jsonl.cursors", &hidden);
        folder.write("cdr/2026-11-22.jsonl", &whole[..cut]);
        drop(Watch::new(&folder, &node).drained(at(0)));
        // The lines of the two shards may stand in another order.
        let again = folder.read("cdr/2026-11-22.jsonl");
        let sorted =
            |text: &[u8]| text.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        assert_eq!((again.len(), sorted(&again)), (whole.len(), sorted(&whole)), "cut at {cut}");
    }
}

#[test]
fn a_shard_that_has_nothing_to_tell_for_a_whole_run_is_not_read_again_in_the_next_one() {
    let folder = Folder::new("idle-shard");
    let mut node = Node::open(&folder, 2);
    let mut expected = vec![node.message(0), node.message(1)];
    node.settle();
    drop(Watch::new(&folder, &node).drained(at(0)));
    drop(node);
    let mut node = Node::open(&folder, 2);
    expected.push(node.message(0));
    node.written(0);
    node.cursors.tell_durable(0, node.end(0));
    drop(Watch::new(&folder, &node).drained(at(0)));
    drop(node);
    let mut node = Node::open(&folder, 2);
    expected.push(node.message(1));
    node.settle();
    drop(Watch::new(&folder, &node).drained(at(0)));
    let lines = lines_of(&folder);
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
}

#[test]
fn files_begin_with_the_day_and_old_ones_go() {
    let folder = Folder::new("rotation");
    let mut node = Node::open(&folder, 1);
    let mut expected = Vec::new();
    let mut watch = Watch::new(&folder, &node);
    for day in 0..6 {
        expected.push(node.message(0));
        node.settle();
        watch.drain(at(day * DAY));
    }
    assert_eq!(folder.names("cdr"), (22..28).map(|day| format!("2026-11-{day}.jsonl")).collect::<Vec<_>>());
    assert_eq!(lines_of(&folder), expected);
    // A clock that goes back stays with the newest file; days without messages have none.
    expected.push(node.message(0));
    node.settle();
    watch.drain(at(0));
    assert_eq!((folder.names("cdr").len(), lines_of(&folder)), (6, expected.clone()));
    drop(watch);
    let mut watch = Watch::with(&folder, &node, Duration::from_secs(2 * 86_400), Duration::from_secs(3600));
    expected.push(node.message(0));
    node.settle();
    watch.drain(at(6 * DAY + 5 * HOUR));
    assert_eq!(folder.names("cdr"), ["2026-11-26.jsonl", "2026-11-27.jsonl", "2026-11-28.050000.jsonl"]);
    assert_eq!(lines_of(&folder), expected[4..]);
}

#[test]
fn a_growing_journal_is_followed_over_its_segments_which_wait_for_the_sink() {
    let folder = Folder::new("grows");
    let mut node = Node::open(&folder, 2);
    let (mut expected, mut watch) = (BTreeSet::new(), Watch::new(&folder, &node));
    // Some ten segments for each shard; the sink sleeps, reads, and is killed by turns.
    for round in 0..60 {
        for _ in 0..500 {
            expected.extend([node.message(0), node.message(1)]);
        }
        node.settle();
        match round % 5 {
            0 | 1 => {}
            2 => {
                watch = Watch::new(&folder, {
                    drop(watch);
                    &node
                })
            }
            _ => watch.drain(at(round * HOUR)),
        }
    }
    watch.drain(at(60 * HOUR));
    let lines = lines_of(&folder);
    assert_eq!(lines.len(), expected.len());
    assert_eq!(lines.iter().copied().collect::<BTreeSet<_>>(), expected);
    for shard in 0..2 {
        let own: Vec<u64> = lines.iter().filter(|line| line.0 == shard).map(|line| line.1).collect();
        assert!(own.is_sorted(), "in the order of the shard's journal");
        assert_eq!(node.cursors.keep_from(shard as usize), Some(node.end(shard as usize).next()));
    }
    assert!(watch.cells.written.get() > 0);
    assert_eq!((watch.cells.lag.get(), watch.lost()), (0, 0));
    node.settle();
    drop((watch, node));
    assert!(folder.names("journal").len() < 24, "what was read is given back: {:?}", folder.names("journal"));
}

#[test]
fn a_damaged_record_costs_its_line_and_no_other() {
    let folder = Folder::new("damage");
    let mut node = Node::open(&folder, 1);
    let mut expected: Vec<_> = (0..6000).map(|_| node.message(0)).collect();
    node.settle();
    drop(node);
    let (path, at_octet) = rig::place_of(&folder, expected[700]);
    let mut octets = folder.read(&path);
    octets[at_octet + 40] ^= 4;
    folder.write(&path, &octets);
    let mut node = Node::open(&folder, 1);
    expected.push(node.message(0));
    node.settle();
    let mut watch = Watch::new(&folder, &node);
    watch.drain(at(0));
    let (lines, sound) = (lines_of(&folder), rig::finished(&folder, 1));
    assert_eq!(lines, sound, "what the journal still has, once");
    expected.remove(700);
    assert_eq!(lines, expected);
    assert!(watch.lost() >= 1, "and it is said");
    let again = Watch::new(&folder, &node).drained_after(watch);
    assert_eq!((lines_of(&folder), again.cells.written.get()), (sound, 0));
}

#[test]
fn a_disk_that_refuses_costs_nothing_but_time() {
    let folder = Folder::new("refuses");
    let mut node = Node::open(&folder, 1);
    folder.write("cdr", b"a file where the folder is to be");
    let mut expected = vec![node.message(0), node.message(0)];
    node.settle();
    let mut watch = Watch::new(&folder, &node);
    for _ in 0..3 {
        assert!(watch.turn(at(0)).is_err());
        assert_eq!(node.cursors.keep_from(0), Some(Lsn::FIRST), "the journal keeps what has no line");
    }
    assert_eq!((watch.cells.written.get(), watch.cells.lag.get()), (0, node.end(0).0));
    folder.remove("cdr");
    watch.drain(at(0));
    // A device without space, in the place of the next file.
    std::os::unix::fs::symlink("/dev/full", folder.path("cdr/2026-11-23.jsonl")).unwrap();
    expected.push(node.message(0));
    node.settle();
    let kept = node.cursors.keep_from(0);
    assert!(watch.turn(at(DAY)).is_err() && watch.turn(at(DAY)).is_err());
    assert_eq!(node.cursors.keep_from(0), kept);
    folder.remove("cdr/2026-11-23.jsonl");
    expected.push(node.message(0));
    node.settle();
    watch.drain(at(DAY));
    assert_eq!((lines_of(&folder), watch.cells.written.get()), (expected, 4));
}

#[test]
fn records_that_are_not_durable_have_no_line() {
    let folder = Folder::new("durable");
    let mut node = Node::open(&folder, 1);
    let first = node.message(0);
    node.settle();
    node.message(0);
    node.written(0);
    // The shard has not told of the second one.
    let mut watch = Watch::new(&folder, &node);
    watch.drain(at(0));
    assert_eq!(lines_of(&folder), [first]);
}

#[test]
fn a_journal_that_lost_its_end_does_not_hide_its_next_records() {
    let folder = Folder::new("ends");
    let mut node = Node::open(&folder, 1);
    let first = node.message(0);
    node.settle();
    let line = |lsn: u64| {
        format!("{{\"v\":1,\"journal\":\"{:032x}\",\"shard\":0,\"lsn\":{lsn}}}\n", rig::id(&folder))
    };
    folder.write("cdr/2026-11-22.jsonl", line(first.1 + 500).as_bytes());
    let mut hidden = Watch::new(&folder, &node);
    hidden.drain(at(0));
    assert_eq!(lines_of(&folder).len(), 1, "nothing is newer");
    drop(hidden);
    let second = node.message(0);
    node.settle();
    folder.remove("cdr");
    folder.write("cdr/2026-11-22.jsonl", line(first.1 + 500).as_bytes());
    let mut watch = Watch::ending(&folder, &node, vec![Lsn(first.1)]);
    watch.drain(at(0));
    assert_eq!(lines_of(&folder), [(0, first.1 + 500), second]);
}

#[test]
fn a_running_sink_keeps_up_and_writes_what_is_durable_before_it_ends() {
    let folder = Folder::new("running");
    let mut node = Node::open(&folder, 1);
    let settings = cdr::Settings {
        cdr: Cdr { path: folder.path("cdr/cdr.jsonl"), rotate: Duration::ZERO, keep: Duration::ZERO },
        journal: folder.path("journal"),
        sink: 0,
        ends: Vec::new(),
        numbers: None,
    };
    let (tell, told) = std::sync::mpsc::channel();
    let log = Box::new(move |event: &bindery::shard::port::Event| tell.send(event.name).unwrap());
    let cdr::Started { running, cells, .. } = cdr::start(settings, Arc::clone(&node.cursors), log).unwrap();
    let first = node.message(0);
    node.settle();
    while cells.written.get() == 0 {
        std::thread::yield_now();
    }
    let second = node.message(0);
    node.settle();
    running.stop();
    assert_eq!((lines_of(&folder), cells.written.get()), (vec![first, second], 2));
    assert_eq!(told.iter().count(), 0, "there is nothing to say");
}

#[test]
fn a_sink_that_fails_says_so_once_and_says_when_it_is_well_again() {
    let folder = Folder::new("says");
    let mut node = Node::open(&folder, 1);
    node.message(0);
    node.settle();
    folder.write("cdr", b"in the way");
    let cdr = Cdr { path: folder.path("cdr/cdr.jsonl"), rotate: Duration::ZERO, keep: Duration::ZERO };
    let (ends, numbers) = (Vec::new(), None);
    let settings = cdr::Settings { cdr, journal: folder.path("journal"), sink: 0, ends, numbers };
    let (tell, told) = std::sync::mpsc::channel();
    let log = Box::new(move |event: &bindery::shard::port::Event| tell.send(event.name).unwrap());
    let cdr::Started { running, cells, .. } = cdr::start(settings, Arc::clone(&node.cursors), log).unwrap();
    while cells.failed.get() < 2 {
        std::thread::yield_now();
    }
    folder.remove("cdr");
    while cells.written.get() == 0 {
        std::thread::yield_now();
    }
    running.stop();
    assert_eq!(told.iter().collect::<Vec<_>>(), ["cdr_failed", "cdr_well"]);
}

#[test]
fn a_line_says_what_its_record_says() {
    let folder = Folder::new("says-what");
    let mut node = Node::open(&folder, 1);
    let (_, lsn) = node.message(0);
    node.settle();
    drop(Watch::new(&folder, &node).drained(at(0)));
    let text = String::from_utf8(folder.read("cdr/2026-11-22.jsonl")).unwrap();
    let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(
        (&value["esme"], &value["state"], &value["lsn"]),
        (&"acme".into(), &"delivered".into(), &lsn.into())
    );
    let year = Clock::start().now().wall.0 / 31_556_952_000_000 + 1970;
    assert!(value["final"].as_str().unwrap().starts_with(&year.to_string()), "{value}");
    assert_eq!(origin_of(text.trim_end().as_bytes()).unwrap().journal, rig::id(&folder));
    assert_eq!(Cursors::new(1, 1).keep_from(0), Some(Lsn::FIRST));
}

#[test]
#[ignore = "a measurement: cargo test --release --test cdr -- --ignored --nocapture; CDR_RECORDS says how many"]
fn how_many_records_a_second_a_sink_writes() {
    let records = std::env::var("CDR_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let folder = Folder::new("measured");
    let mut node = Node::open(&folder, 1);
    for _ in 0..records / 1000 {
        for _ in 0..1000 {
            node.message(0);
        }
        node.settle();
    }
    let mut watch = Watch::new(&folder, &node);
    let begun = std::time::Instant::now();
    watch.drain(at(0));
    let seconds = begun.elapsed().as_secs_f64();
    let written = watch.cells.written.get();
    let octets = folder.read("cdr/2026-11-22.jsonl").len() as u64 / written.max(1);
    println!(
        "{written} lines of {octets} octets in {seconds:.3} s: {:.0} a second",
        written as f64 / seconds
    );
    assert_eq!(written, records / 1000 * 1000);
}

/// A number of the rig's messages stands in the file.
fn has_numbers(folder: &Folder, name: &str) -> bool {
    let text = String::from_utf8(folder.read(&format!("cdr/{name}"))).unwrap();
    text.contains("38267123456") || text.contains("\"ACME\"")
}

#[test]
fn files_of_old_days_lose_their_numbers_and_no_line() {
    let folder = Folder::new("numbers");
    let mut node = Node::open(&folder, 2);
    let day = Duration::from_secs(86_400);
    for days in 0..4 {
        node.message(0);
        node.message(1);
        node.settle();
        drop(Watch::hashing(&folder, &node, 10 * day).drained(at(days * DAY)));
    }
    let names = folder.names("cdr");
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| has_numbers(&folder, name)), "they are young");
    let before = lines_of(&folder);
    // What a crash left of the work of an earlier run.
    folder.write(&format!("cdr/.{}.new", names[1]), b"half a li");
    let mut watch = Watch::hashing(&folder, &node, 10 * day);
    for turn in 0..8 {
        watch.turn(at(12 * DAY + turn)).unwrap();
        assert_eq!(lines_of(&folder), before, "turn {turn}");
    }
    let left: Vec<bool> = names.iter().map(|name| has_numbers(&folder, name)).collect();
    assert_eq!(left, [false, false, true, true], "a day counts from its end");
    let first = folder.read(&format!("cdr/{}", names[0]));
    // Whatever ends the process, and also without what it had in mind, it goes on where it was.
    for forgets in [false, true, false] {
        drop(watch);
        if forgets {
            folder.remove("cdr/.date.jsonl.cursors");
        }
        node.message(0);
        node.settle();
        watch = Watch::hashing(&folder, &node, 10 * day).drained(at(12 * DAY));
    }
    for turn in 0..9 {
        watch.turn(at(40 * DAY + turn * HOUR)).unwrap();
    }
    drop(watch);
    assert_eq!(lines_of(&folder).len(), before.len() + 3);
    let names = folder.names("cdr");
    let left: Vec<bool> = names.iter().map(|name| has_numbers(&folder, name)).collect();
    assert_eq!(left, [false, false, false, false, true], "the newest is written to");
    assert_eq!(folder.read(&format!("cdr/{}", names[0])), first, "hashed once, with one key");
}
