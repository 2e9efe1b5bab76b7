//! The whole program with a journal: what it makes, what it reads back, how it ends, and what it says when it cannot start.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use bindery::ids::ListenerId;
use bindery::io::journal::{Journal, Settings};
use bindery::io::{self, Clock, Driver, Options, Stop, StopHandle};
use bindery::journal::cdr::origin_of;
use bindery::journal::{Durability, Erasing, Record};
use bindery::shard::port::{Core, Event};
use bindery::sidecar::client::{self, Address};
use bindery::smpp::status::CommandStatus;
use bindery::time::Duration;
use bindery::tools::load::{self, Load};
use bindery::tools::smsc::{self, Smsc};
use bindery::tools::units::Share;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::JoinHandle;

const SEGMENT: u64 = 16 << 20;
const SHARDS: u32 = 2;

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-node-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A configuration in it.
    fn configuration(&self, name: &str, shards: u32) -> PathBuf {
        self.with_carrier(name, shards, "127.0.0.1:1")
    }

    fn with_carrier(&self, name: &str, shards: u32, carrier: &str) -> PathBuf {
        self.with_more(name, shards, carrier, "")
    }

    fn with_more(&self, name: &str, shards: u32, carrier: &str, more: &str) -> PathBuf {
        let path = self.0.join(name);
        let text = format!(
            "[node]\nshards = {shards}\ndata_dir = \"kept\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [carrier.a]\naddresses = [\"{carrier}\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
             [pool.main]\nmembers = [{{ carrier = \"a\" }}]\n[esme.acme]\npassword = \"p\"\npool = \"main\"\n\
             [http]\naddress = \"127.0.0.1:0\"\n\
             [journal]\nsegment_size = \"16MiB\"\nsize_max = \"1GiB\"\nmin_free = \"0%\"\n\
             {more}"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    fn data_dir(&self) -> PathBuf {
        self.0.join("kept")
    }

    fn journal(&self) -> PathBuf {
        self.data_dir().join("journal")
    }

    /// Files of the journal with this ending.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let names = std::fs::read_dir(self.journal()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|name| name.extension().is_some_and(|end| end == ending)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn bindery(arguments: &[&str], path: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
    command.args(arguments).arg(path).args(more).output().unwrap()
}

/// A running node.
struct Node {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said so far.
    said: Vec<String>,
    http: String,
    /// Where ESMEs bind.
    listens: String,
}

impl Node {
    /// Starts it and waits until it serves HTTP or has ended.
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let command = command.arg("run").arg("-c").arg(config);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut node = Self { child, stderr, said: Vec::new(), http: String::new(), listens: String::new() };
        while let Some(line) = node.next_line() {
            if let Some(address) = line.strip_prefix("listening address=") {
                node.listens = address.to_owned();
            }
            if let Some(address) = line.strip_prefix("http address=") {
                node.http = address.to_owned();
                break;
            }
        }
        node
    }

    fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let octets = self.stderr.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        self.said.push(line.clone());
        (octets > 0).then_some(line)
    }

    /// The log line of this event.
    fn event(&mut self, name: &str) -> Value {
        let is_it = |line: &str| {
            let event: Option<Value> = serde_json::from_str(line).ok();
            event.filter(|event| event["event"] == name)
        };
        if let Some(event) = self.said.iter().find_map(|line| is_it(line)) {
            return event;
        }
        while let Some(line) = self.next_line() {
            if let Some(event) = is_it(&line) {
                return event;
            }
        }
        panic!("no line of {name}: {:#?}", self.said);
    }

    /// Its exit code and all it said.
    fn end(mut self, signal: Option<Signal>) -> (Option<i32>, String) {
        if let Some(signal) = signal {
            let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
        }
        while self.next_line().is_some() {}
        (self.child.wait().unwrap().code(), self.said.join("\n"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what an earlier run might have left: 300 records of shard 1, each batch known to be durable but the last.
fn earlier_run(folder: &Folder) {
    let settings = Settings {
        directory: folder.journal(),
        shards: SHARDS,
        durability: Durability::Strict,
        segment: SEGMENT,
        size_max: 1 << 30,
        min_free: 0,
        ring: 1 << 18,
        erasing: Erasing::default(),
        adopt: false,
    };
    let clock = Clock::start();
    let wakes = vec![Box::new(|| ()) as _, Box::new(|| ()) as _];
    let (journal, mut starts) =
        Journal::open(&settings, wakes, (clock, std::sync::mpsc::sync_channel(0).0), &mut |_, _, _| ())
            .unwrap();
    let appender = &mut starts[1].appender;
    for key in 0..150 {
        let accept =
            Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: b"0123456789" };
        appender.append(clock.now(), key, &accept).unwrap();
        let last = appender.append(clock.now(), key, &Record::Tombstone { reason: 1 }).unwrap();
        if key % 10 == 0 {
            appender.kick();
            while appender.durable() < last {
                std::thread::yield_now();
            }
        }
    }
    drop(journal);
}

/// The first sample of this metric, or the one with these labels.
fn sample(page: &str, name: &str) -> Option<f64> {
    let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    page.lines().find(is_it)?.rsplit_once(' ')?.1.parse().ok()
}

fn verified(folder: &Folder) -> Option<i32> {
    bindery(&["journal", "verify"], &folder.journal(), &[]).status.code()
}

#[test]
fn a_node_makes_its_folder_and_ends_with_a_sound_journal() {
    let folder = Folder::new("made");
    let config = folder.configuration("a.toml", SHARDS);
    let mut node = Node::start(&config);
    let read = node.event("journal_read");
    assert_eq!((&read["records"], &read["state"]), (&"0".into(), &"sound".into()), "{read}");
    assert!(folder.journal().join("id").is_file() && folder.journal().join("lock").is_file());
    assert!(folder.files("spare").len() >= SHARDS as usize);
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(verified(&folder), Some(0));
}

#[test]
fn what_an_earlier_run_left_is_read_back_and_said_in_one_line() {
    let folder = Folder::new("back");
    earlier_run(&folder);
    let config = folder.configuration("a.toml", SHARDS);
    let mut node = Node::start(&config);
    let read = node.event("journal_read");
    let of = |name: &str| read[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((of("records"), of("shards"), of("segments")), (300, 2, 1), "{read}");
    assert!(of("octets") > 300 * 32 && of("ms") < 60_000, "{read}");
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("\"journal_read\"").count(), 1, "{said}");
    assert_eq!(verified(&folder), Some(0));
}

#[test]
fn a_file_that_goes_to_quarantine_is_said_and_is_no_file_of_the_journal_any_more() {
    let folder = Folder::new("quarantine");
    let config = folder.configuration("a.toml", SHARDS);
    assert_eq!(Node::start(&config).end(Some(Signal::TERM)).0, Some(0));
    // As a run leaves it whose disk failed in its first batch.
    std::fs::write(folder.journal().join("001-0000000099.spoilt"), vec![1; 4096]).unwrap();
    let mut node = Node::start(&config);
    let said = node.event("journal_quarantine");
    let said =
        ["shard", "file", "reason", "see"].map(|field| said[field].as_str().unwrap_or_default().to_owned());
    let see = "quarantine/001-0000000099.spoilt.json";
    assert_eq!(said, ["1", "001-0000000099.spoilt", "write_failed", see]);
    assert!(folder.journal().join("quarantine/001-0000000099.spoilt").is_file());
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_second_node_on_the_same_folder_is_told_so_and_the_first_one_goes_on() {
    let folder = Folder::new("twice");
    let config = folder.configuration("a.toml", SHARDS);
    let first = Node::start(&config);
    let (code, said) = Node::start(&folder.configuration("b.toml", SHARDS)).end(None);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("another process writes to this journal"), "{said}");
    assert!(said.contains("give this node a data_dir of its own"), "{said}");
    let (code, said) = first.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_node_that_is_killed_leaves_a_journal_that_the_next_one_reads() {
    let folder = Folder::new("killed");
    earlier_run(&folder);
    let config = folder.configuration("a.toml", SHARDS);
    let (code, _) = Node::start(&config).end(Some(Signal::KILL));
    assert_eq!((code, verified(&folder)), (None, Some(0)));
    let mut next = Node::start(&config);
    let read = next.event("journal_read");
    assert!(read["records"].as_str().unwrap().parse::<u64>().unwrap() >= 300, "{read}");
    let (code, said) = next.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
}

#[test]
fn a_journal_of_more_shards_is_read_and_check_says_so_before_and_a_foreign_one_is_not() {
    let folder = Folder::new("foreign");
    earlier_run(&folder);
    let (one, two) = (folder.configuration("one.toml", 1), folder.configuration("two.toml", SHARDS));
    let against = |config: &Path, more: &[&str]| {
        let data_dir = folder.data_dir();
        let more: Vec<&str> = ["--against", data_dir.to_str().unwrap()].iter().chain(more).copied().collect();
        bindery(&["check", "-c"], config, &more)
    };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    for config in [&one, &two] {
        let good = against(config, &[]);
        assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
        assert!(text(&good.stdout).contains("can be read: 300 records in 1 segments of 2 shards"));
    }
    let json: Value = serde_json::from_slice(&against(&two, &["--json"]).stdout).unwrap();
    assert_eq!((&json["records"], &json["state"]), (&300.into(), &"sound".into()));
    let mut fewer = Node::start(&one);
    assert_eq!(fewer.event("journal_read")["records"], "300");
    let (code, said) = fewer.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
    // The file is given the id of another journal: the first octet of the directory's own is another one.
    let id = folder.journal().join("id");
    let own = std::fs::read_to_string(&id).unwrap();
    let other = if own.starts_with('0') { "1" } else { "0" };
    std::fs::write(&id, own.replacen(own.get(..1).unwrap(), other, 1)).unwrap();
    let (code, said) = Node::start(&two).end(None);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("belongs to another journal"), "{said}");
    let nothing = bindery(&["check", "-c"], &two, &["--against", env!("CARGO_MANIFEST_DIR")]);
    assert_eq!(nothing.status.code(), Some(6));
}

#[test]
fn records_that_are_gone_are_an_alarm_and_the_node_runs() {
    let folder = Folder::new("gone");
    earlier_run(&folder);
    let config = folder.configuration("a.toml", SHARDS);
    let files = folder.files("seg").into_iter().chain(folder.files("spare"));
    let octets_of = |path: PathBuf| std::fs::read(&path).map(|octets| (path, octets)).unwrap();
    let is_used = |(_, octets): &(PathBuf, Vec<u8>)| octets.iter().any(|octet| *octet != 0);
    let (file, mut octets) = files.map(octets_of).find(is_used).unwrap();
    // A record of the first batch.
    octets[2 * 4096 + 64 + 40] ^= 1;
    std::fs::write(&file, &octets).unwrap();
    let mut node = Node::start(&config);
    let alarm = node.event("journal_records_missing");
    assert_eq!((&alarm["level"], &alarm["shard"]), (&"error".into(), &"1".into()), "{alarm}");
    assert_eq!(alarm["missing_records"], "1", "{alarm}");
    assert!(alarm["see"].as_str().unwrap().starts_with("bindery journal verify "), "{alarm}");
    assert_eq!(node.event("journal_read")["state"], "missing");
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn whoever_watches_a_node_sees_its_journal() {
    let folder = Folder::new("watched");
    let node = Node::start(&folder.configuration("a.toml", SHARDS));
    let address = Address::Http(node.http.clone());
    // Its spares are made one after the other.
    let page = loop {
        let page = client::fetch(&address, "/metrics").unwrap();
        if sample(&page, "bindery_journal_bytes").is_some_and(|octets| octets >= 2.0 * SEGMENT as f64) {
            break page;
        }
        std::thread::yield_now();
    };
    assert!(sample(&page, "bindery_journal_free_bytes").unwrap() > 0.0, "{page}");
    assert_eq!(sample(&page, "bindery_journal_failed_files_total"), Some(0.0));
    assert_eq!(sample(&page, "bindery_journal_failed_preparations_total"), Some(0.0));
    assert_eq!(sample(&page, "bindery_journal_left_out_total"), Some(0.0));
    assert!(page.contains("bindery_journal_sync_seconds_count{shard=\"1\"}"), "{page}");
    assert!(page.contains("bindery_table_max{table=\"journal_ring\"} 33554432\n"), "{page}");
    let status = client::status(&address).unwrap();
    let journal = &status["journal"];
    assert_eq!((&journal["accepting"], &journal["failed"]), (&true.into(), &false.into()), "{journal}");
    assert_eq!(journal["bytes_max"], 1 << 30);
    let failing = status["failing"].as_array().unwrap();
    assert!(!failing.iter().any(|line| line.as_str().unwrap().contains("journal")), "{failing:?}");
    let shown = bindery(&["status", "-a"], Path::new(&format!("http://{}", node.http)), &[]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.lines().any(|line| line.starts_with("journal: ") && line.contains(" of 1.0 GiB, ")),
        "{shown}"
    );
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_by_check_and_by_the_node() {
    let folder = Folder::new("unmade");
    let config = folder.configuration("a.toml", SHARDS);
    // A file stands where the folder would be.
    std::fs::write(folder.data_dir(), "x").unwrap();
    let checked = bindery(&["check", "-c"], &config, &[]);
    let text = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(3), "{text}");
    assert!(text.contains("node.data_dir") && text.contains("is no folder"), "{text}");
    let (code, said) = Node::start(&config).end(None);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("see that this user may write there"), "{said}");
}

fn options(listener: Option<TcpListener>) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let listeners = listener.into_iter().map(|socket| (ListenerId(0), socket)).collect();
    let (driver, log) = (Driver::Epoll, Box::new(|_: &Event| {}));
    (Options { driver, listeners, spin: Duration::ZERO, links_max: 1000, log, stop, lanes: None }, handle)
}

fn run_here<C: Core>(core: C) -> C {
    io::run(core, options(None).0).unwrap()
}

/// A carrier on its own thread, its address, and its end.
fn carrier(settings: smsc::Settings) -> (JoinHandle<Smsc>, String, StopHandle) {
    let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (options, stop) = options(Some(listener));
    let thread = std::thread::spawn(move || io::run(Smsc::new(settings), options).unwrap());
    (thread, address, stop)
}

/// Waits until the node's carrier is bound, then sends so many messages with receipts asked for.
fn load(node: &Node, messages: u64, receipt_wait: Duration) -> Load {
    let address = Address::Http(node.http.clone());
    while client::fetch(&address, "/readyz").is_err() {
        std::thread::yield_now();
    }
    load_of(node, "acme", messages, Share::ALL, receipt_wait)
}

/// Sends messages of an account.
fn load_of(node: &Node, esme: &str, messages: u64, receipts: Share, receipt_wait: Duration) -> Load {
    run_here(Load::new(load::Settings {
        address: node.listens.clone(),
        system_id: esme.to_owned(),
        password: "p".to_owned(),
        messages: Some(messages),
        receipts,
        receipt_wait,
        closed: true,
        ..load::Settings::default()
    }))
}

#[test]
fn every_message_that_is_over_is_in_a_sound_journal_once() {
    const MESSAGES: u64 = 2000;
    let folder = Folder::new("over");
    let (thread, address, stop) =
        carrier(smsc::Settings { receipt_shuffle: true, ..smsc::Settings::default() });
    let config = folder.with_carrier("a.toml", SHARDS, &address);
    let node = Node::start(&config);
    let load = load(&node, MESSAGES, Duration::from_secs(60));
    let counts = load.counts();
    let (answered, matched) = (counts.answered.get(), counts.receipts_matched.get());
    assert_eq!((answered, matched), (MESSAGES, MESSAGES), "{counts:?}");
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
    stop.drain();
    thread.join().unwrap();
    assert_eq!(verified(&folder), Some(0));
    let finals = bindery(&["journal", "cat"], &folder.journal(), &["--type", "FINISH"]).stdout;
    let finals = String::from_utf8(finals).unwrap();
    let keys: BTreeSet<u64> = finals
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].as_u64().unwrap())
        .collect();
    assert_eq!((finals.lines().count() as u64, keys.len() as u64), (MESSAGES, MESSAGES));
    let mut next = Node::start(&config);
    assert_eq!(next.event("journal_read")["state"], "sound");
    let page = client::fetch(&Address::Http(next.http.clone()), "/metrics").unwrap();
    assert_eq!(
        sample(&page, "bindery_table_used{table=\"journal_open\"}"),
        Some(0.0),
        "nothing is left to do"
    );
    let (code, said) = next.end(Some(Signal::TERM));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_message_that_was_answered_is_known_after_kill_9() {
    const MESSAGES: u64 = 500;
    let folder = Folder::new("known");
    let silent = smsc::Settings { receipts: "0%".parse().unwrap(), ..smsc::Settings::default() };
    let (thread, address, stop) = carrier(silent);
    let config = folder.with_carrier("a.toml", SHARDS, &address);
    let node = Node::start(&config);
    let load = load(&node, MESSAGES, Duration::ZERO);
    // Accepted, and without the receipt.
    assert_eq!(load.counts().receipts_missing.get(), MESSAGES, "{:?}", load.counts());
    let (code, _) = node.end(Some(Signal::KILL));
    assert_eq!((code, verified(&folder)), (None, Some(0)));
    let next = Node::start(&config);
    let page = client::fetch(&Address::Http(next.http.clone()), "/metrics").unwrap();
    let open = sample(&page, "bindery_table_used{table=\"journal_open\"}");
    assert_eq!(open, Some(MESSAGES as f64), "{page}");
    let (code, said) = next.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
    stop.drain();
    thread.join().unwrap();
}

#[test]
fn what_messages_say_is_sealed_and_without_its_key_nothing_starts() {
    let folder = Folder::new("sealed");
    let with_keys = |name: &str, keys: &[u8]| {
        let path = folder.configuration(name, SHARDS);
        let keys: Vec<String> =
            keys.iter().map(|key| format!("\"{}\"", format!("{key:02x}").repeat(32))).collect();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("[esme.acme]\n", "[esme.acme]\nmode = \"store\"\n");
        std::fs::write(&path, format!("{text}[privacy]\nencrypt = [{}]\n", keys.join(", "))).unwrap();
        path
    };
    let node = Node::start(&with_keys("a.toml", &[1]));
    let load = run_here(Load::new(load::Settings {
        address: node.listens.clone(),
        system_id: "acme".to_owned(),
        password: "p".to_owned(),
        messages: Some(50),
        text: "your code is 471133".to_owned(),
        closed: true,
        ..load::Settings::default()
    }));
    assert_eq!(load.counts().answered.get(), 50);
    let (code, _) = node.end(Some(Signal::KILL));
    assert_eq!((code, verified(&folder)), (None, Some(0)));
    let files = folder.files("seg").into_iter().chain(folder.files("spare"));
    let says = |path: PathBuf| std::fs::read(path).unwrap().windows(6).any(|part| part == b"471133");
    assert_eq!(files.filter(|path| says(path.clone())).count(), 0);
    let (code, said) = Node::start(&with_keys("b.toml", &[2])).end(None);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("50 messages that are not over were sealed with another key"), "{said}");
    let next = Node::start(&with_keys("c.toml", &[2, 1]));
    let page = client::fetch(&Address::Http(next.http.clone()), "/metrics").unwrap();
    assert_eq!(sample(&page, "bindery_table_used{table=\"stored\"}"), Some(50.0));
    let (code, said) = next.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
}

/// Accounts that store, by the pool that they use: those of the last two are at home on the second shard, if there is one.
const STORES: [(&str, [&str; 2]); 3] =
    [("main", ["bank", "cafe"]), ("second", ["dent", "echo"]), ("late", ["fish", "golf"])];

/// A node of so many shards whose accounts store, with a sink of call detail records. `late`: the carrier of the last pool.
fn storing(folder: &Folder, shards: u32, carrier: &str, late: &str) -> PathBuf {
    let home = shards.min(2) - 1;
    let mut more = String::from("[[cdr]]\npath = \"cdr/all.jsonl\"\nrotate = \"0\"\n");
    for (name, address) in [("second", carrier), ("late", late)] {
        more += &format!(
            "[carrier.{name}]\naddresses = [\"{address}\"]\nsystem_id = \"b\"\npassword = \"p\"\nhome = {home}\n\
             [pool.{name}]\nmembers = [{{ carrier = \"{name}\" }}]\n"
        );
    }
    for (pool, names) in STORES {
        let account =
            |name: &str| format!("[esme.{name}]\npassword = \"p\"\npool = \"{pool}\"\nmode = \"store\"\n");
        more.extend(names.map(account));
    }
    folder.with_more("a.toml", shards, carrier, &more)
}

/// The lines of the sink: the record of each, and the id that its ESME was given.
fn details(folder: &Folder) -> Vec<(u32, u64, String)> {
    let text = std::fs::read(folder.0.join("cdr/all.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
    let read = |line: &[u8]| {
        let value: Value = serde_json::from_slice(line).unwrap();
        let origin = origin_of(line.strip_suffix(b"\n").unwrap()).unwrap();
        (origin.shard, origin.lsn.0, value["id"].to_string())
    };
    whole.map(read).collect()
}

/// Waits until the sink has so many lines; none of them is there twice.
fn wait_for_details(folder: &Folder, lines: usize) {
    while details(folder).len() < lines {
        std::thread::yield_now();
    }
    let found = details(folder);
    let records: BTreeSet<(u32, u64)> = found.iter().map(|(shard, lsn, _)| (*shard, *lsn)).collect();
    let ids: BTreeSet<&String> = found.iter().map(|(_, _, id)| id).collect();
    assert_eq!((found.len(), records.len(), ids.len()), (lines, lines, lines), "{found:?}");
}

#[test]
fn what_waits_and_what_is_over_survives_a_change_of_the_shards() {
    const EACH: u64 = 60;
    let folder = Folder::new("reshaped");
    let each = 2 * EACH as usize;
    let files_of_second = || {
        let files = std::fs::read_dir(folder.journal()).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("001-")).count()
    };
    let send = |node: &Node, (_, names): (&str, [&str; 2])| {
        // While a shard has no spare, it takes nothing.
        let address = Address::Http(node.http.clone());
        while client::status(&address).unwrap()["journal"]["accepting"] != true
            || !folder.files("new").is_empty()
        {
            std::thread::yield_now();
        }
        for esme in names {
            let load = load_of(node, esme, EACH, Share::NONE, Duration::ZERO);
            let counts = load.counts();
            assert_eq!(counts.responses.of(CommandStatus::OK), EACH, "{counts:?}");
        }
    };
    let (thread, address, stop) = carrier(smsc::Settings::default());
    // Two shards: some wait for a carrier that is not there, some are over and the sink has not got them.
    let node = Node::start(&storing(&folder, 2, &address, "127.0.0.1:1"));
    STORES.iter().rev().for_each(|stores| send(&node, *stores));
    let (code, _) = node.end(Some(Signal::KILL));
    assert_eq!((code, verified(&folder)), (None, Some(0)));
    assert!(files_of_second() > 1);
    // One: all of it goes on, and the second journal is given back but for its last segment.
    let mut node = Node::start(&storing(&folder, 1, &address, &address));
    assert!(
        node.event("journal_messages_moved")["messages"].as_str().unwrap().parse::<u64>().unwrap() >= EACH
    );
    wait_for_details(&folder, 3 * each);
    while files_of_second() != 1 {
        std::thread::yield_now();
    }
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
    let second = |found: &[(u32, u64, String)]| {
        found.iter().filter(|(shard, ..)| *shard == 1).map(|(_, lsn, _)| *lsn).max().unwrap()
    };
    let before = second(&details(&folder));
    // Three: the second journal goes on where it ended.
    let node = Node::start(&storing(&folder, 3, &address, &address));
    STORES.iter().for_each(|stores| send(&node, *stores));
    wait_for_details(&folder, 6 * each);
    assert!(second(&details(&folder)) > before);
    let (code, said) = node.end(Some(Signal::TERM));
    assert_eq!((code, verified(&folder)), (Some(0), Some(0)), "{said}");
    stop.drain();
    let smsc = thread.join().unwrap();
    // What was about to leave when the node was killed is over without it.
    let submits = smsc.stats().submits.get();
    assert!((5 * each as u64..=6 * each as u64).contains(&submits), "{submits}: none of them twice");
}
