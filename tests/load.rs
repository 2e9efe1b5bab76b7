//! `bindery load` as people call it: the binary against `bindery smsc`, over sockets on a free port of the loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bindery::tools::load::latency::Latency;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_bindery");

/// A simulated carrier in a process of its own; it ends with us.
struct Carrier {
    child: Child,
    address: String,
}

impl Carrier {
    fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["smsc", "--listen", "127.0.0.1:0", "--every", "1h"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening address=").unwrap().to_owned();
        Self { child, address }
    }

    fn load(&self, flags: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.arg("load");
        let (form, rest) = match flags {
            ["ramp", rest @ ..] => (Some("ramp"), rest),
            rest => (None, rest),
        };
        command.args(form).args(["--to-address", &self.address]).args(rest);
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A folder of this test's own; it goes when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bindery-load-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn the_report_is_the_last_line_and_before_it_the_begin_and_end_of_measuring_are_told() {
    let carrier = Carrier::start(&[]);
    // On a machine that has more to do the generator may be late; that has its own test.
    let flags = ["--rate", "500/s", "--for", "1s", "--warmup", "1s", "--json", "--late-max", "100%"];
    let output = carrier.load(&flags);
    assert_eq!(code(&output), 0, "{output:?}");
    let lines = lines(&output);
    let events: Vec<_> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!((events, lines.len()), (vec!["measuring", "measured"], 3));
    assert!(output.stderr.is_empty(), "{output:?}");
    let report = &lines[2];
    assert_eq!((&report["schema"], &report["verdict"]), (&"bindery-load/1".into(), &"good".into()));
    assert_eq!((whole(&report["submitted"]), whole(&report["response_latency"]["count"])), (1000, 500));
    assert_eq!(lines[1]["answered"], report["measured"]["answered"]);
    let span = lines[1]["at"].as_f64().unwrap() - lines[0]["at"].as_f64().unwrap();
    assert!((0.9..2.0).contains(&span), "{span}");
    assert_eq!(lines[0]["at"], report["measured"]["from"]);
    assert!(whole(&report["ran"]["cores"]) > 0 && report["ran"]["kernel"] != "");
    let schema = carrier.load(&["--json-schema"]);
    assert_eq!(serde_json::from_slice::<Value>(&schema.stdout).unwrap()["$id"], "bindery-load/1");
}

#[test]
fn what_a_run_leaves_in_files_can_be_read_again_and_says_the_same() {
    let (carrier, folder) = (Carrier::start(&["--delay", "2ms"]), Folder::new("files"));
    let [hlog, csv, html] = ["run.hlog", "run.csv", "run.html"].map(|name| folder.file(name));
    let flags = ["--hlog", &hlog, "--csv", &csv, "--html", &html, "--receipts", "50%", "--json"];
    let more = ["--messages", "1500", "--late-max", "100%", "--mix", "gsm7:2,ucs2:1,long:1"];
    let output = carrier.load(&[&flags[..], &more[..]].concat());
    assert_eq!(code(&output), 0, "{output:?}");
    let report = lines(&output).pop().unwrap();
    let (mut submit, mut receipt) = (0, 0);
    for entry in IntervalLogIterator::new(folder.read("run.hlog").as_bytes()) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        let held = Latency::decode(interval.encoded_histogram()).unwrap();
        match interval.tag().unwrap().as_str() {
            "submit" => submit += held.count(),
            tag => receipt += if tag == "receipt" { held.count() } else { panic!("{tag}") },
        }
    }
    assert_eq!((submit, receipt), (1500, whole(&report["receipts_matched"])));
    assert!((500..1000).contains(&receipt), "{receipt}");
    let csv = folder.read("run.csv");
    let answered = csv.lines().next().unwrap().split(',').position(|name| name == "answered").unwrap();
    let field = |line: &str| line.split(',').nth(answered).unwrap().parse::<u64>().unwrap();
    assert_eq!(csv.lines().skip(1).map(field).sum::<u64>(), 1500);
    assert!(csv.lines().count() >= 3, "{csv}");
    let page = folder.read("run.html");
    assert!(page.contains("<svg") && page.contains("\"answered\":1500") && !page.contains("http"));
}

#[test]
fn a_missed_threshold_is_exit_code_10_and_is_said_first() {
    let carrier = Carrier::start(&["--delay", "20ms"]);
    let closed = ["--closed", "--messages", "2000"];
    let held = |thresholds: &[&str]| carrier.load(&[&closed[..], thresholds].concat());
    let good = held(&["--threshold", "submit.p50>10ms", "--threshold", "lost==0", "--quiet"]);
    assert_eq!((code(&good), good.stderr.is_empty()), (0, true), "{good:?}");
    let missed = held(&["--threshold", "submit.p50<10ms", "--threshold", "lost==0"]);
    assert_eq!(code(&missed), 10);
    let text = String::from_utf8(missed.stdout).unwrap();
    assert!(
        text.starts_with("MISSED      1 of 2 thresholds\n  MISSED    submit.p50<10ms  found 2"),
        "{text}"
    );
    let places = ["MISSED", "ran  ", "offered", "response", "faults", "generator"];
    let at: Vec<_> = places.iter().map(|place| text.find(place).unwrap()).collect();
    assert!(at.is_sorted(), "{text}");
    let wrong = held(&["--threshold", "submit.p98<10ms"]);
    assert_eq!(code(&wrong), 2);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("p99.9"));
}

#[test]
fn reports_of_two_generators_are_merged_exactly_and_a_wrong_one_is_refused() {
    let (carrier, folder) = (Carrier::start(&[]), Folder::new("merge"));
    let mut sum = Latency::default().count();
    for (name, messages) in [("one.json", "700"), ("two.json", "300")] {
        let output = carrier.load(&["--closed", "--json", "--messages", messages, "--account", "a:geheim"]);
        assert_eq!(code(&output), 0);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("a:***") && !text.contains("geheim"), "{text}");
        sum += messages.parse::<u64>().unwrap();
        std::fs::write(folder.file(name), text).unwrap();
    }
    let merge = |files: &[&str]| {
        let files: Vec<_> = files.iter().map(|name| folder.file(name)).collect();
        Command::new(BINARY).args(["load", "merge", "--json"]).args(files).output().unwrap()
    };
    let merged = lines(&merge(&["one.json", "two.json"])).pop().unwrap();
    assert_eq!((whole(&merged["answered"]), whole(&merged["response_latency"]["count"])), (sum, sum));
    let histogram = Latency::decode(merged["histogram"]["submit"].as_str().unwrap()).unwrap();
    assert_eq!(histogram.count(), sum);
    std::fs::write(folder.file("old.json"), folder.read("one.json").replace("load/1", "load/0")).unwrap();
    let refused = merge(&["one.json", "old.json"]);
    assert_eq!(code(&refused), 1);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("it is bindery-load/0"));
}

#[test]
fn a_ramp_prints_its_steps_and_finds_what_a_carrier_allows() {
    // Two sessions with one message in flight each, 10 ms a message: 200 a second and no more.
    let carrier = Carrier::start(&["--delay", "10ms"]);
    let flags =
        ["ramp", "--from", "25/s", "--to", "10k/s", "--step", "30%", "--for", "1s", "--warmup", "100ms"];
    let more = ["--binds", "2", "--window", "1", "--json", "--late-max", "100%", "--destination", "381-389"];
    let output = carrier.load(&[&flags[..], &more[..]].concat());
    let lines = lines(&output);
    let answer = lines.last().unwrap();
    assert_eq!((code(&output), &answer["schema"]), (0, &"bindery-load-ramp/1".into()), "{answer}");
    let highest = whole(&answer["highest_per_second"]);
    assert!((50..=205).contains(&highest), "{answer}");
    assert_eq!(answer["steps"].as_array().unwrap().len(), lines.len() - 1);
    assert!(lines[0]["event"] == "step" && lines[0]["step"]["held"] == true, "{}", lines[0]);
    assert_eq!(code(&carrier.load(&["ramp", "--rate", "5/s"])), 2);
    let never = ["--for", "1s", "--warmup", "0", "--threshold", "submit.p50<1ms"];
    assert_eq!(code(&carrier.load(&[&["ramp", "--from", "20/s"], &never[..]].concat())), 10);
}

#[test]
fn nobody_there_is_exit_code_4() {
    let carrier = Carrier::start(&["--account", "a:b"]);
    assert_eq!(code(&carrier.load(&["--account", "a:wrong", "--messages", "1"])), 1);
    let gone = carrier.address.clone();
    drop(carrier);
    let output = Command::new(BINARY).args(["load", "--to-address", &gone, "--json"]).output().unwrap();
    assert_eq!(code(&output), 4);
    assert_eq!(lines(&output).pop().unwrap()["verdict"], "unreachable");
}
