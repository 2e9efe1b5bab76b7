//! The journal in a real directory: what was promised is there after the end of the process, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use bindery::config::{self, Config, Files, Homes};
use bindery::io::Clock;
use bindery::io::journal::{AppendRefused, Journal, OpenError, ReadOnly, Settings, Start};
use bindery::journal::record::NO_REASON;
use bindery::journal::recover::{Refusal, Verdict};
use bindery::journal::{
    Cursors, DiskError, Durability, Erasing, Kind, Lsn, Recall, Record, Recorder, Recovery, Wanted,
};
use bindery::ledger::Restored;
use bindery::limits::JOURNAL_RECALLS_MAX;
use bindery::shard::Left;
use bindery::time::Duration;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const CHILD: &str = "JOURNAL_STORE_CHILD";

/// A directory of one test, empty at first and removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(directory: &Path, durability: Durability) -> Settings {
    let (segment, ring) = (1 << 20, 1 << 18);
    let directory = directory.to_owned();
    Settings {
        directory,
        shards: 1,
        durability,
        segment,
        size_max: 64 << 20,
        min_free: 0,
        ring,
        erasing: Erasing::default(),
        adopt: false,
    }
}

/// Opens a journal of one shard; each record of the last run, as its key and the octets of its PDU.
fn open(settings: &Settings) -> (Journal, Start, Vec<(u64, Vec<u8>)>) {
    let mut read = Vec::new();
    let opened = Journal::open(
        settings,
        vec![Box::new(|| ())],
        (Clock::start(), std::sync::mpsc::sync_channel(0).0),
        &mut |_, frame, _| {
            let Some(Record::Accept { pdu, .. }) = frame.record() else { panic!("{frame:?}") };
            read.push((frame.key, pdu.to_vec()));
        },
    );
    let (journal, mut starts) = opened.unwrap_or_else(|error| panic!("{error}"));
    (journal, starts.remove(0), read)
}

fn pdu_of(key: u64) -> Vec<u8> {
    (0..key % 300).map(|at| (key + at) as u8).collect()
}

/// Appends a message, waiting for room where there is none.
fn append(start: &mut Start, clock: Clock, key: u64) -> Lsn {
    let pdu = pdu_of(key);
    let record = Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: &pdu };
    loop {
        match start.appender.append(clock.now(), key, &record) {
            Ok(lsn) => return lsn,
            Err(AppendRefused::Full) => {
                start.appender.kick();
                std::thread::yield_now();
            }
            Err(AppendRefused::TooLong) => panic!("it is short"),
        }
    }
}

fn wait_for(start: &Start, lsn: Lsn) {
    start.appender.kick();
    while start.appender.answerable() < lsn {
        std::thread::yield_now();
    }
}

const ALL: [Durability; 4] =
    [Durability::Off, Durability::Process, Durability::Group(Duration::from_millis(1)), Durability::Strict];

#[test]
fn what_was_appended_is_read_back_in_order_whatever_responses_wait_for() {
    for (index, durability) in ALL.into_iter().enumerate() {
        let folder = Folder::new(&format!("back-{index}"));
        let settings = settings(&folder.0, durability);
        for run in 0..3u64 {
            let (journal, mut start, read) = open(&settings);
            let keys: Vec<u64> = read.iter().map(|(key, _)| *key).collect();
            assert!(
                keys.iter().copied().eq(0..run * 3000),
                "{durability:?}: {} of {}",
                keys.len(),
                run * 3000
            );
            assert!(read.iter().all(|(key, pdu)| *pdu == pdu_of(*key)));
            assert!(start.report.verdict() <= Verdict::Torn, "{:?}", start.report);
            let clock = Clock::start();
            let last = (run * 3000..(run + 1) * 3000).map(|key| append(&mut start, clock, key)).last();
            assert_eq!(last, Some(Lsn((run + 1) * 3000)));
            wait_for(&start, last.unwrap());
            drop(journal);
        }
    }
}

#[test]
fn a_directory_has_one_writer_and_any_number_of_readers() {
    let folder = Folder::new("lock");
    let settings = settings(&folder.0, Durability::Strict);
    let (journal, mut start, _) = open(&settings);
    let last = append(&mut start, Clock::start(), 7);
    wait_for(&start, last);
    let second = Journal::open(
        &settings,
        vec![Box::new(|| ())],
        (Clock::start(), std::sync::mpsc::sync_channel(0).0),
        &mut |_, _, _| (),
    );
    assert!(matches!(second, Err(OpenError::System(_))));
    let mut reader = ReadOnly::new(&folder.0);
    assert_eq!(reader.shards(), Ok(vec![0]));
    let recovery = bindery::journal::Recovery { shard: 0, journal: None };
    // The writer renames files while others read: what is gone by then is looked for again.
    let recovered = loop {
        match recovery.run(&mut reader, &mut |_, _| ()) {
            Err(Refusal::Disk(DiskError::Gone)) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!((recovered.end, recovered.report.verdict()), (last, Verdict::Sound));
    drop(journal);
    drop(open(&settings));
}

fn wakes(shards: u32) -> Vec<bindery::io::journal::Wake> {
    (0..shards).map(|_| Box::new(|| ()) as _).collect()
}

#[test]
fn files_of_a_shard_that_no_node_can_have_are_refused_and_left_as_they_are() {
    let folder = Folder::new("shards");
    let settings = settings(&folder.0, Durability::Strict);
    drop(open(&settings));
    let file = folder.0.join("064-0000000001.spare");
    std::fs::write(&file, [1; 100]).unwrap();
    let refused = Journal::open(
        &settings,
        wakes(1),
        (Clock::start(), std::sync::mpsc::sync_channel(0).0),
        &mut |_, _, _| (),
    );
    assert!(matches!(refused, Err(OpenError::NoShard(64))));
    assert_eq!(std::fs::read(&file).unwrap(), [1; 100]);
}

/// One account and its carrier.
fn configuration() -> Config {
    let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[carrier.a]\naddresses = [\"127.0.0.1:1\"]\n\
                system_id = \"b\"\npassword = \"p\"\n[pool.main]\nmembers = [{ carrier = \"a\" }]\n\
                [esme.acme]\npassword = \"p\"\npool = \"main\"\n";
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    config::load(Path::new("a.toml"), &mut files).unwrap().config
}

/// A journal of two shards, the second of which has so many messages that are over, and its last record.
fn of_two(folder: &Folder, messages: u64) -> Lsn {
    let settings = Settings { shards: 2, ..settings(&folder.0, Durability::Group(Duration::ZERO)) };
    let clock = Clock::start();
    let (journal, mut starts) =
        Journal::open(&settings, wakes(2), (clock, std::sync::mpsc::sync_channel(0).0), &mut |_, _, _| ())
            .unwrap();
    let start = &mut starts[1];
    let mut last = Lsn::NONE;
    for key in 0..messages {
        append(start, clock, key);
        let over = Record::Tombstone { reason: NO_REASON };
        last = loop {
            match start.appender.append(clock.now(), key, &over) {
                Ok(lsn) => break lsn,
                Err(_) => wait_for(start, last),
            }
        };
    }
    wait_for(start, last);
    drop(journal);
    last
}

/// The names of the files of the second shard.
fn files_of_second(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("001-")).collect();
    names.sort();
    names
}

#[test]
fn the_journal_of_a_shard_that_is_no_more_shrinks_to_one_segment_when_its_sinks_have_all_and_goes_on_later() {
    let folder = Folder::new("former");
    let last = of_two(&folder, 30_000);
    let before = files_of_second(&folder);
    assert!(before.len() > 5, "{before:?}");
    let one = settings(&folder.0, Durability::Group(Duration::ZERO));
    let clock = Clock::start();
    let mut restored = Restored::new(100);
    let (mut journal, starts) = Journal::open(
        &one,
        wakes(1),
        (clock, std::sync::mpsc::sync_channel(0).0),
        &mut |shard, frame, place| {
            assert_eq!(shard, 1);
            restored.take(frame, place);
        },
    )
    .unwrap();
    assert_eq!(starts.len(), 1);
    let former = journal.formers().remove(0);
    assert_eq!((former.shard(), former.end()), (1, last));
    assert!(!former.rests(false, false), "it has segments to give back");
    let cursors = Arc::new(Cursors::new(2, 1));
    let recorder = Box::new(journal.reopen(former).unwrap());
    let config = configuration();
    let surplus = Left::of(restored, &config, &Homes::one(&config)).kept_by(1, recorder);
    assert!(clock.wait_until(Duration::from_secs(30), || surplus.is_all_safe()));
    journal.look_after(surplus, Some(Arc::clone(&cursors)));
    // A sink that has read half of it: what it has not got is there.
    assert!(clock.wait_until(Duration::from_secs(30), || cursors.durable(1) >= last));
    let half = Lsn(last.0 / 2);
    cursors.advance(0, 1, half);
    let recovered =
        |disk: &mut ReadOnly| Recovery { shard: 1, journal: None }.run(disk, &mut |_, _| ()).unwrap();
    let mut disk = ReadOnly::new(&folder.0);
    let gave_back = || files_of_second(&folder).len() < before.len() - 1;
    assert!(clock.wait_until(Duration::from_secs(30), gave_back));
    let oldest = recovered(&mut disk).segments[0].base;
    assert!(oldest > Lsn::FIRST && oldest <= half, "{oldest:?}");
    // Now it has all, also what was written since.
    let all = || {
        cursors.advance(0, 1, cursors.durable(1).next());
        files_of_second(&folder).len() == 1
    };
    assert!(clock.wait_until(Duration::from_secs(30), all), "{:?}", files_of_second(&folder));
    drop(journal);
    // The next start finds nothing to do there, and a node with more shards goes on with it.
    let (mut journal, _) =
        Journal::open(&one, wakes(1), (clock, std::sync::mpsc::sync_channel(0).0), &mut |_, _, _| ())
            .unwrap();
    let former = journal.formers().remove(0);
    let end = former.end();
    assert!(end > last && former.rests(false, true));
    assert_eq!(former.report().verdict(), Verdict::Sound);
    drop((journal, former));
    assert_eq!(files_of_second(&folder).len(), 1);
    let two = Settings { shards: 2, ..one };
    let (journal, mut starts) =
        Journal::open(&two, wakes(2), (clock, std::sync::mpsc::sync_channel(0).0), &mut |_, _, _| ())
            .unwrap();
    assert_eq!(append(&mut starts[1], clock, 7), end.next());
    drop(journal);
}

#[test]
fn segments_are_given_back_when_nothing_in_them_is_needed() {
    let folder = Folder::new("given-back");
    let settings = settings(&folder.0, Durability::Group(Duration::ZERO));
    let (journal, mut start, _) = open(&settings);
    let clock = Clock::start();
    let mut last = Lsn::NONE;
    // 60,000 records are some 11 MiB, eleven segments.
    for key in 0..60_000 {
        last = append(&mut start, clock, key);
        start.appender.needs_from(last);
    }
    wait_for(&start, last);
    drop(journal);
    let segments = std::fs::read_dir(&folder.0).unwrap();
    let names: Vec<String> =
        segments.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.len() < 12, "{names:?}");
    let (_journal, start, read) = open(&settings);
    assert_eq!((start.end, read.last().map(|(key, _)| *key)), (last, Some(59_999)));
    assert!(start.report.verdict() <= Verdict::Torn, "{:?}", start.report);
}

#[test]
fn while_no_file_can_be_made_nothing_waits_and_once_one_can_nothing_is_missing() {
    let folder = Folder::new("no-room");
    let settings = settings(&folder.0, Durability::Strict);
    let (journal, mut start, _) = open(&settings);
    let clock = Clock::start();
    let mut last = append(&mut start, clock, 0);
    wait_for(&start, last);
    assert_eq!(start.appender.failed(), None);
    // The folder is elsewhere: files that are open can be written, none can be made.
    let away = folder.0.with_extension("away");
    std::fs::rename(&folder.0, &away).unwrap();
    let mut keys = 1..;
    while start.appender.failed().is_none() {
        let (key, pdu) = (keys.start, [7; 300]);
        let record = Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: &pdu };
        if let Ok(lsn) = start.appender.append(clock.now(), key, &record) {
            (last, keys) = (lsn, key + 1..);
        }
        start.appender.kick();
        std::thread::yield_now();
    }
    assert!(start.appender.durable() < last);
    let state = journal.watch().state();
    assert_eq!((state.failed, state.failed_files), (0, 0), "the disk does not fail");
    std::fs::rename(&away, &folder.0).unwrap();
    wait_for(&start, last);
    assert_eq!(start.appender.failed(), None);
    drop(journal);
    let mut read = 0;
    let opened = Journal::open(
        &settings,
        vec![Box::new(|| ())],
        (clock, std::sync::mpsc::sync_channel(0).0),
        &mut |_, _, _| read += 1,
    );
    assert_eq!((opened.unwrap().1[0].end, read), (last, last.0));
}

/// The other process: appends for ever and says which records it might have answered.
fn child(path: &str, durability: Durability) {
    let settings = settings(Path::new(path), durability);
    let (_journal, mut start, read) = open(&settings);
    let (clock, mut key) = (Clock::start(), read.len() as u64);
    let mut out = std::io::stdout().lock();
    loop {
        for _ in 0..20 {
            append(&mut start, clock, key);
            key += 1;
        }
        start.appender.kick();
        if writeln!(out, "acked {}", start.appender.answerable().0).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    if let Some(path) = std::env::var_os(CHILD) {
        let path = path.to_string_lossy().into_owned();
        let (kind, path) = path.split_once(':').unwrap();
        child(path, if kind == "process" { Durability::Process } else { Durability::Group(Duration::ZERO) });
        return;
    }
    for kind in ["process", "group"] {
        let folder = Folder::new(&format!("kill-{kind}"));
        let mut kept = 0;
        for round in 0..8usize {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "nothing_that_was_answered_is_lost_when_the_process_is_killed",
                    "--nocapture",
                ])
                .env(CHILD, format!("{kind}:{}", folder.0.display()))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let mut acked = lines.filter_map(|line| line.strip_prefix("acked ")?.parse::<u64>().ok());
            let mut last = acked.by_ref().nth(3 + 17 * round).expect("it answers");
            child.kill().unwrap();
            last = acked.last().unwrap_or(last);
            child.wait().unwrap();
            let (_journal, start, read) = open(&settings(&folder.0, Durability::Strict));
            assert!(start.end.0 >= last, "{kind}: answered {last}, read {:?}", start.end);
            assert!(
                read.iter().enumerate().all(|(at, (key, pdu))| at as u64 == *key && *pdu == pdu_of(*key))
            );
            assert!(start.report.verdict() <= Verdict::Torn, "{:?}", start.report);
            kept = start.end.0;
        }
        assert!(kept > 500, "{kind}: {kept} records");
    }
}

#[test]
fn a_panic_of_who_takes_the_records_leaves_no_reader_behind() {
    let folder = Folder::new("panic");
    let settings = settings(&folder.0, Durability::Group(Duration::ZERO));
    let (journal, mut start, _) = open(&settings);
    let clock = Clock::start();
    // More than may be under way between the two threads.
    let last = (0..30_000).map(|key| append(&mut start, clock, key)).last().unwrap();
    wait_for(&start, last);
    drop(journal);
    let opened = std::panic::catch_unwind(|| {
        let mut seen = 0;
        Journal::open(
            &settings,
            vec![Box::new(|| ())],
            (Clock::start(), std::sync::mpsc::sync_channel(0).0),
            &mut |_, _, _| {
                seen += 1;
                assert!(seen < 1000, "as far as this");
            },
        )
        .map(|_| ())
    });
    assert!(opened.is_err());
    assert_eq!(open(&settings).2.len(), 30_000);
}

#[test]
fn a_message_is_read_back_for_its_shard_which_is_woken() {
    let folder = Folder::new("recall");
    let settings = settings(&folder.0, Durability::Strict);
    let (woken, wakes) = std::sync::mpsc::channel();
    let wake = vec![Box::new(move || woken.send(()).unwrap()) as _];
    let opened = Journal::open(
        &settings,
        wake,
        (Clock::start(), std::sync::mpsc::sync_channel(0).0),
        &mut |_, _, _| (),
    );
    let (_journal, mut starts) = opened.unwrap_or_else(|error| panic!("{error}"));
    let mut start = starts.remove(0);
    let last = (0..3000).map(|key| append(&mut start, Clock::start(), key)).last().unwrap();
    wait_for(&start, last);
    let recorder: &mut dyn Recorder = &mut start.appender;
    // Key 7 is not in the record after it.
    let asked = [(2999, 2999), (0, 0), (1500, 1500), (8, 7)];
    for (tag, (record, key)) in (0..).zip(asked) {
        assert!(recorder.recall(Recall { wanted: Wanted::Pdu, lsn: Lsn(record + 1), key, tag }));
    }
    let mut came = Vec::new();
    while came.len() < asked.len() {
        if recorder.sleeps(last, last) {
            wakes.recv().unwrap();
        }
        came.extend(std::iter::from_fn(|| recorder.recalled()));
    }
    came.sort_by_key(|recalled| recalled.recall.tag);
    let found: Vec<Option<Vec<u8>>> = came.into_iter().map(|recalled| recalled.content).collect();
    assert_eq!(found, [Some(pdu_of(2999)), Some(pdu_of(0)), Some(pdu_of(1500)), None]);
    let more = (0..)
        .take_while(|tag| recorder.recall(Recall { wanted: Wanted::Pdu, lsn: Lsn(1), key: 0, tag: *tag }))
        .count();
    assert_eq!(more as u64, JOURNAL_RECALLS_MAX, "and no more at a time");
}

/// Octets of the files, those of `quarantine/` aside.
fn all_octets(folder: &Path) -> Vec<Vec<u8>> {
    loop {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let octets = paths.filter(|path| path.is_file() || !path.exists()).map(std::fs::read);
        // One that has another name by now is looked for again.
        if let Ok(octets) = octets.collect() {
            return octets;
        }
    }
}

fn says(folder: &Path, text: &[u8]) -> bool {
    all_octets(folder).iter().any(|octets| octets.windows(text.len()).any(|part| part == text))
}

#[test]
fn what_was_said_and_is_over_is_gone_from_the_files_soon_and_what_waits_is_there() {
    let folder = Folder::new("erased");
    let erasing = Erasing { keep: Duration::ZERO, within: Duration::from_secs(1) };
    let settings = Settings { erasing, ..settings(&folder.0, Durability::Strict) };
    let (journal, mut start, _) = open(&settings);
    let clock = Clock::start();
    let accept = |pdu| Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu };
    let mut append = |key, record: &Record<'_>, front: Lsn| {
        let lsn = start.appender.append(clock.now(), key, record).unwrap();
        wait_for(&start, lsn);
        start.appender.needs_from(front.max(Lsn::FIRST));
        lsn
    };
    append(1, &accept(b"the code is 846213"), Lsn::FIRST);
    append(1, &Record::Tombstone { reason: 1 }, Lsn::FIRST);
    let mut front = append(2, &accept(b"what waits longer"), Lsn::FIRST);
    assert!(says(&folder.0, b"846213") && says(&folder.0, b"waits longer"));
    // As a shard does while nobody comes: what waits is copied, and the disk is told.
    let begun = clock.now().mono;
    while says(&folder.0, b"846213") {
        assert!(clock.now().mono.since(begun) < Duration::from_secs(60), "it is still there");
        let mut payload = Vec::new();
        accept(b"what waits longer").payload(&mut payload);
        let (from, kind) = (front, Kind::Accept as u8);
        let copy = Record::Move { from, origin: from, kind, version: 1, wall: 0, payload: &payload };
        front = append(2, &copy, from);
    }
    drop(journal);
    assert!(says(&folder.0, b"waits longer") && !says(&folder.0, b"846213"));
}
