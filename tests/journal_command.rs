//! `bindery journal` on journals that are sound, damaged and incomplete.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use bindery::io::Clock;
use bindery::io::journal::{Journal, Settings, Start};
use bindery::journal::record::NO_REASON;
use bindery::journal::{Durability, Erasing, Facts, Fault, Lsn, Record};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A new journal of one shard.
fn opened(path: &Path) -> (Journal, Vec<Start>, Clock) {
    let settings = Settings {
        directory: path.to_owned(),
        shards: 1,
        durability: Durability::Strict,
        segment: 1 << 20,
        size_max: 16 << 20,
        min_free: 0,
        ring: 1 << 18,
        erasing: Erasing::default(),
        adopt: false,
    };
    let clock = Clock::start();
    let opened = Journal::open(
        &settings,
        vec![Box::new(|| ())],
        (clock, std::sync::mpsc::sync_channel(0).0),
        &mut |_, _, _| (),
    );
    let (journal, starts) = opened.unwrap_or_else(|error| panic!("{error}"));
    (journal, starts, clock)
}

/// A journal of 300 records, of which the messages 100 to 149 are open.
fn journal(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-command-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    let (journal, mut starts, clock) = opened(&path);
    let appender = &mut starts[0].appender;
    for key in 0..150 {
        let accept =
            Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: b"0123456789" };
        let last = if key < 100 {
            appender.append(clock.now(), key, &accept).unwrap();
            appender.append(clock.now(), key, &Record::Tombstone { reason: 1 }).unwrap()
        } else {
            appender.append(clock.now(), key, &accept).unwrap()
        };
        // Some batches: the last one is never known to be durable.
        if key % 10 == 0 {
            appender.kick();
            while appender.durable() < last {
                std::thread::yield_now();
            }
        }
    }
    assert_eq!(appender.append(clock.now(), 999, &accept_of()).unwrap(), Lsn(251));
    appender.kick();
    drop(journal);
    path
}

fn accept_of() -> Record<'static> {
    Record::Accept { accepted: 0, validity: 7, due: 0, esme: b"bank", id: b"", pdu: b"last" }
}

/// What the command prints, line by line, and its exit code.
fn asked(arguments: &[&str], path: &Path) -> (Vec<serde_json::Value>, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_bindery"))
        .arg("journal")
        .arg(arguments[0])
        .arg(path)
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

fn segment(path: &Path) -> PathBuf {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        names.filter(|name| name.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    segments.remove(0)
}

#[test]
fn a_sound_journal_is_shown_and_verified() {
    let path = journal("sound");
    let (lines, code) = asked(&["verify"], &path);
    assert_eq!((code, &lines[0]["verdict"], &lines[0]["records"]), (Some(0), &"sound".into(), &251.into()));
    let (lines, code) = asked(&["ls"], &path);
    assert_eq!((code, lines.len(), &lines[0]["base"]), (Some(0), 1, &1.into()));
    let (lines, code) = asked(&["cat"], &path);
    assert_eq!((code, lines.len(), &lines[250]["esme"]), (Some(0), 251, &"bank".into()));
    assert!(lines[250].get("pdu").is_none(), "bodies only when they are asked for");
    let (lines, _) = asked(&["cat", "--type", "tombstone", "--from", "100"], &path);
    assert_eq!((lines.len(), &lines[0]["lsn"]), (51, &100.into()));
    let (lines, _) = asked(&["cat", "--key", "999", "--full"], &path);
    assert_eq!((lines.len(), &lines[0]["pdu"]), (1, &"6c617374".into()));
    let (lines, code) = asked(&["pending"], &path);
    assert_eq!((code, lines.len(), &lines[0]["key"]), (Some(0), 51, &100.into()));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn damage_is_exit_code_8_and_what_is_missing_9_and_nothing_is_mended() {
    let path = journal("damaged");
    let file = segment(&path);
    let sound = std::fs::read(&file).unwrap();
    // The second copy of the header.
    let mut octets = sound.clone();
    octets[5000] ^= 1;
    std::fs::write(&file, &octets).unwrap();
    let (lines, code) = asked(&["verify"], &path);
    assert_eq!((code, &lines[0]["verdict"]), (Some(8), &"damaged".into()));
    // A record of the first batch.
    let mut octets = sound;
    octets[2 * 4096 + 64 + 40] ^= 1;
    std::fs::write(&file, &octets).unwrap();
    let (lines, code) = asked(&["verify"], &path);
    assert_eq!((code, &lines[0]["missing_records"]), (Some(9), &1.into()));
    assert_eq!(lines[0]["missing"][0]["first"], 1);
    assert_eq!(lines[0]["missing"][0]["accounts"], serde_json::json!([]), "nothing says whose it was");
    assert_eq!(asked(&["cat"], &path).0.len(), 250, "the others are there");
    assert_eq!(std::fs::read(&file).unwrap(), octets);
    std::fs::remove_dir_all(&path).unwrap();
}

/// What a command says of a journal.
fn said(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
    let output = command.args(arguments).arg("--journal").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A journal with one message that was refused, accepted, delivered and answered, and one whose receipt waits.
fn lives(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-command-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    let (journal, mut starts, clock) = opened(&path);
    let now = clock.now();
    let facts = |id: &'static [u8], message_id: &'static [u8]| Facts {
        submitted: now.wall.0,
        attempts: 2,
        esme: b"acme",
        id,
        carrier: b"alpha",
        message_id,
        source: b"ACME",
        destination: b"38267123456",
        ..Facts::default()
    };
    let finish = Record::Finish {
        state: 2,
        status: 0,
        reason: NO_REASON,
        fault: Fault::Nobody,
        error: b"000",
        price: 0,
        currency: b"",
        facts: facts(b"71", b"A1"),
    };
    let all = [
        (71, Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"71", pdu: b"?" }),
        (71, Record::Sending { attempt: 1, carrier: b"alpha" }),
        (71, Record::Refused { attempt: 1, status: 0x14, wait_ms: 5000, carrier: b"alpha" }),
        (71, Record::Steer { held: true, pool: b"" }),
        (71, Record::Steer { held: false, pool: b"bulk" }),
        (71, Record::Sending { attempt: 2, carrier: b"alpha" }),
        (71, Record::Sent { awaited: 1, kept: false, over: b"", facts: facts(b"71", b"A1") }),
        (72, Record::Sent { awaited: 1, kept: false, over: b"", facts: facts(b"72", b"A2") }),
        (71, Record::DlrIn { carrier: b"alpha", pdu: b"?" }),
        (72, Record::DlrIn { carrier: b"alpha", pdu: b"?" }),
        (71, finish),
        (73, Record::Sent { awaited: 1, kept: false, over: b"", facts: facts(b"", b"A3") }),
    ];
    for (key, record) in &all {
        starts[0].appender.append(now, *key, record).unwrap();
    }
    starts[0].appender.kick();
    drop(journal);
    path
}

#[test]
fn a_life_is_told_by_either_id_or_a_number_and_numbers_are_masked() {
    let path = lives("trace");
    let told = said(&["trace", "A1"], &path);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 10, "{told}");
    assert_eq!(lines[0], "message 71, shard 0");
    for (line, words) in lines[1..].iter().zip([
        "taken from acme, answered with id 71",
        "attempt 1: to alpha",
        "attempt 1: alpha refused it with ESME_RMSGQFUL, next in 5000 ms",
        "held, for its own pool, by an operator",
        "not held, for pool bulk, by an operator",
        "attempt 2: to alpha",
        "acme to *********56, id \"71\": at alpha as \"A1\", receipts to come: 1",
        "receipt ? of alpha",
        "over, acme to *********56: delivered, ESME_ROK, error 000, attempts 2",
    ]) {
        assert!(line.ends_with(words), "{line}");
    }
    assert_eq!(said(&["trace", "+38267123456"], &path).matches("message ").count(), 3);
    assert!(said(&["trace", "72", "--full"], &path).contains("38267123456"));
    assert!(said(&["trace", "4711"], &path).starts_with("the journal has no message"));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn receipts_are_summed_up_by_account_and_the_missing_ones_listed() {
    let path = lives("receipts");
    assert_eq!(
        said(&["receipts"], &path),
        "acme: asked 3, returned 2, answered 1, waiting 1, awaited 1, overdue 0\n"
    );
    let listed = said(&["receipts", "--esme", "acme", "--list", "--json", "--overdue", "0"], &path);
    let lines: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["overdue"], lines.len()), (&1.into(), 3));
    let mut why: Vec<(&str, &str)> =
        lines[1..].iter().map(|line| (line["id"].as_str().unwrap(), line["why"].as_str().unwrap())).collect();
    why.sort_unstable();
    assert_eq!(why, [("72", "waits for its account"), ("A3", "not come")]);
    assert_eq!(said(&["receipts", "--esme", "bank"], &path), "");
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn what_is_no_journal_is_exit_code_1() {
    assert_eq!(asked(&["verify"], Path::new("/nonexistent")).1, Some(1));
    assert_eq!(asked(&["verify"], Path::new(env!("CARGO_MANIFEST_DIR"))).1, Some(1));
}
