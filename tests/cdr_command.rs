//! The commands that look at call detail records: `bindery journal` and `bindery cdr`, beside a journal and a sink's files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "cdr/rig.rs"]
#[allow(dead_code, reason = "the sink's own tests use the rest of it")]
mod rig;

use rig::{Folder, Node, Watch, at};
use serde_json::Value;
use std::process::Command;

/// What the command prints, and its exit code.
fn run(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_bindery")).args(arguments).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn asked(arguments: &[&str]) -> Vec<Value> {
    let (text, code) = run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A journal of two shards with ten messages each; the sink has all but the last two.
fn example(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut node = Node::open(&folder, 2);
    for number in 0..20 {
        node.message(number % 2);
        if number == 17 {
            node.settle();
            drop(Watch::new(&folder, &node).drained(at(0)));
        }
    }
    node.settle();
    // One more batch proves that the last one was durable.
    (0..2).for_each(|shard| node.open_message(shard));
    node.settle();
    folder
}

#[test]
fn a_journal_is_summed_up_and_a_message_found_by_either_id() {
    let folder = example("summed");
    let path = folder.path("journal").display().to_string();
    let lines = asked(&["journal", "stats", &path]);
    assert_eq!((lines.len(), &lines[1]["shard"], &lines[0]["records"]), (2, &1.into(), &21.into()));
    assert_eq!((&lines[0]["kinds"]["FINISH"]["records"], &lines[0]["open"]), (&10.into(), &1.into()));
    assert_eq!((&lines[0]["finished"]["delivered"], &lines[0]["last"]), (&10.into(), &21.into()));
    for id in ["1781500559569362944", "0A1"] {
        let lines = asked(&["journal", "find", &path, "--message-id", id]);
        assert_eq!(lines.len(), 40, "each message with its ACCEPT");
        assert_eq!((&lines[0]["type"], &lines[1]["destination"]), (&"ACCEPT".into(), &"*********56".into()));
    }
    assert!(asked(&["journal", "find", &path, "--message-id", "0A2"]).is_empty());
    assert!(asked(&["journal", "holes", &path]).is_empty());
}

#[test]
fn holes_are_named_and_keep_their_exit_code() {
    let folder = example("holes");
    let (file, place) = rig::place_of(&folder, (0, 20));
    let mut octets = folder.read(&file);
    octets[place + 40] ^= 1;
    folder.write(&file, &octets);
    let (text, code) = run(&["journal", "holes", &folder.path("journal").display().to_string()]);
    let kinds: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!(kinds, ["missing", "damage"]);
    assert_eq!(code, Some(9));
}

#[test]
fn the_journal_says_what_a_sink_has_not_got_yet_and_gives_the_same_lines() {
    let folder = example("behind");
    let (path, sink) = (folder.path("journal").display().to_string(), folder.path("cdr/{date}.jsonl"));
    let sink = sink.display().to_string();
    let lines = asked(&["journal", "cursors", &path, "--cdr", &sink]);
    let behind: Vec<u64> = lines.iter().map(|line| line["behind"].as_u64().unwrap()).collect();
    assert_eq!((behind, &lines[0]["upto"]), (vec![1, 1], &18.into()));
    let (exported, code) = run(&["journal", "export", &path]);
    assert_eq!((exported.lines().count(), code), (20, Some(0)));
    let written = String::from_utf8(folder.read("cdr/2026-11-22.jsonl")).unwrap();
    assert!(written.lines().count() == 18 && written.lines().all(|line| exported.contains(line)));
    assert_eq!(run(&["journal", "export", &path, "--from", "20", "--shard", "1"]).0.lines().count(), 1);
    let schema: Value = serde_json::from_str(&run(&["journal", "cdr-schema"]).0).unwrap();
    assert_eq!(schema["title"], "Call detail record");
}

#[test]
fn records_are_exported_and_summed_and_wrong_lines_have_an_exit_code() {
    let folder = example("exported");
    let sink = folder.path("cdr/{date}.jsonl").display().to_string();
    let (text, code) = run(&["cdr", "export", &sink, "--esme", "acme"]);
    assert_eq!((text.lines().count(), code), (18, Some(0)));
    let (text, _) = run(&["cdr", "export", &sink, "--sum", "carrier,state"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["alpha", "delivered", "18", "0.225000", "EUR"]);
    assert_eq!(rows[2], ["18", "records"]);
    assert!(run(&["cdr", "export", &sink, "--to", "2001-01-01"]).0.is_empty());
    folder.append("cdr/2026-11-22.jsonl", b"nonsense\n");
    assert_eq!(run(&["cdr", "export", &sink]).1, Some(8));
    assert_eq!(run(&["cdr", "export", "no-such-file"]).1, Some(1));
    assert_eq!(run(&["cdr", "export", &sink, "--sum", "nothing"]).1, Some(2));
}
