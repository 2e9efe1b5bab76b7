//! `bindery privacy` beside a node that runs, and without one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use bindery::sidecar::client::{self, Address};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const FIRST: &str = "38267000001";
const SECOND: &str = "38267000002";

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("privacy-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let text = "[node]\nshards = 2\ndata_dir = \"kept\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
            [carrier.a]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
            [pool.main]\nmembers = [{ carrier = \"a\" }]\n\
            [esme.acme]\npassword = \"p\"\npool = \"main\"\nmode = \"store\"\n\
            [http]\naddress = \"127.0.0.1:0\"\nadmin_socket = \"admin.sock\"\n\
            [journal]\nsegment_size = \"16MiB\"\nsize_max = \"1GiB\"\nmin_free = \"0%\"\n\
            [privacy]\nencrypt = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n\
            [[cdr]]\npath = \"kept/cdr/{date}.jsonl\"\n";
        std::fs::write(folder.join("node.toml"), text).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).output().unwrap()
    }

    fn exported(&self, number: &str) -> Vec<Value> {
        let output = self.run(&["privacy", "export", "-c", "node.toml", "--number", number]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn erased(&self, number: &str) -> (Option<i32>, Value) {
        let asked = ["privacy", "erase", "-c", "node.toml", "--number", number, "--yes", "--json"];
        let output = self.run(&asked);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code(), report.unwrap_or_else(|_| panic!("{said}")))
    }

    /// Lines of call detail records.
    fn lines(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join("kept/cdr")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
        files
            .flat_map(|path| {
                std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    fn wait_for_lines(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.lines().len() < count {
            assert!(begun.elapsed().as_secs() < 60, "{:?}", self.lines());
            std::thread::yield_now();
        }
    }
}

struct Node<'a> {
    child: Child,
    folder: &'a Folder,
    listens: String,
}

impl<'a> Node<'a> {
    fn start(folder: &'a Folder) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let command = command.args(["run", "-c", "node.toml"]).current_dir(&folder.0);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let mut said =
            |begin: &str| lines.find_map(|line| line.strip_prefix(begin).map(str::to_owned)).unwrap();
        let listens = said("listening address=");
        let http: Address = format!("http://{}", said("http address=")).parse().unwrap();
        // What it says later must have a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let node = Self { child, folder, listens };
        // Its files are prepared, and its carrier is what it is.
        let begun = std::time::Instant::now();
        while !client::fetch(&http, "/readyz").is_err_and(|why| !why.to_string().contains("journal")) {
            assert!(begun.elapsed().as_secs() < 60, "it is not ready");
            std::thread::yield_now();
        }
        node
    }

    fn send(&self, to: &str) {
        let who =
            ["--system-id", "acme", "--password", "p", "--address", &self.listens, "--receipt-wait", "0s"];
        let sent =
            self.folder.run(&[&["send", "--to", to, "--text", "the code is 846213"], &who[..]].concat());
        assert!(sent.status.success(), "{sent:?}");
    }

    fn purge(&self, number: &str) {
        let purged = self.folder.run(&["queue", "purge", "--to", number, "--yes", "-a", "unix:admin.sock"]);
        assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    }

    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["kind"].as_str().unwrap()).collect()
}

/// A file that was put away is read, and its records are left.
fn what_was_put_away_is_left(folder: &Folder) {
    let away = folder.0.join("kept/journal/quarantine");
    std::fs::create_dir(&away).unwrap();
    for entry in std::fs::read_dir(folder.0.join("kept/journal")).unwrap().map(|entry| entry.unwrap().path())
    {
        if entry.extension().is_some_and(|end| end == "seg") {
            std::fs::copy(&entry, away.join(entry.file_name().unwrap())).unwrap();
        }
    }
    let (code, report) = folder.erased(SECOND);
    assert!(code == Some(5) && report["journal"]["quarantined"].as_u64() > Some(0), "{report}");
    assert!(
        folder.exported(SECOND).iter().any(|line| line["file"].as_str().unwrap().contains("quarantine/"))
    );
    std::fs::remove_dir_all(&away).unwrap();
}

#[test]
fn a_number_is_exported_and_leaves_the_call_detail_records_with_and_without_a_node() {
    let folder = Folder::new("both");
    let node = Node::start(&folder);
    node.send(&format!("{FIRST},{SECOND}"));
    let exported = folder.exported(&format!("+{FIRST}"));
    assert_eq!(kinds(&exported), ["ACCEPT"]);
    assert_eq!((&exported[0]["to"], &exported[0]["text"]), (&FIRST.into(), &"the code is 846213".into()));
    assert!(
        exported[0]["file"].as_str().unwrap().contains("journal/") && exported[0]["record"]["sealed"] == true
    );
    // What waits stays, and is said.
    let (code, report) = folder.erased(FIRST);
    assert_eq!(
        (code, &report["journal"]["pending"], &report["through"]),
        (Some(5), &1.into(), &"node".into())
    );
    assert_eq!(folder.exported(FIRST).len(), 1);
    node.purge(FIRST);
    node.purge(SECOND);
    folder.wait_for_lines(2);
    let (code, report) = folder.erased(FIRST);
    assert_eq!(
        (code, &report["cdr"]["records"], &report["journal"]["over"]),
        (Some(0), &1.into(), &1.into()),
        "{report}"
    );
    assert_eq!(
        (&report["journal"]["gone_within"], &report["cdr"]["records_left"]),
        (&"168h".into(), &0.into())
    );
    let lines = folder.lines().join("\n");
    assert!(!lines.contains(FIRST) && lines.contains(SECOND) && lines.contains("\"h:"), "{lines}");
    // It is found by its hash, and the sink goes on in the same file.
    assert_eq!(kinds(&folder.exported(FIRST)).last(), Some(&"CDR"));
    node.send(SECOND);
    node.purge(SECOND);
    folder.wait_for_lines(3);
    node.end();
    let (code, report) = folder.erased(SECOND);
    assert_eq!(
        (code, &report["cdr"]["records"], &report["through"]),
        (Some(0), &2.into(), &"lock".into()),
        "{report}"
    );
    assert_eq!(folder.erased(SECOND).1["cdr"]["records"], 0, "once");
    what_was_put_away_is_left(&folder);
    // The next start goes on where the files end: no line twice, none is lost.
    let before = folder.lines();
    let node = Node::start(&folder);
    node.send(FIRST);
    node.purge(FIRST);
    folder.wait_for_lines(4);
    node.end();
    let after = folder.lines();
    assert!(
        after.len() == 4 && after[..3] == before[..] && !after[..3].join("").contains(SECOND),
        "{after:?}"
    );
}

#[test]
fn who_cannot_be_asked_or_reached_changes_nothing() {
    let folder = Folder::new("refused");
    let node = Node::start(&folder);
    node.send(FIRST);
    node.purge(FIRST);
    folder.wait_for_lines(1);
    let before = folder.lines();
    let erase = |config: &str, more: &[&str]| {
        let output = folder.run(&[&["privacy", "erase", "-c", config, "--number", FIRST], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = erase("node.toml", &[]);
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    let text = std::fs::read_to_string(folder.0.join("node.toml")).unwrap();
    std::fs::write(folder.0.join("silent.toml"), text.replace("admin_socket = \"admin.sock\"\n", ""))
        .unwrap();
    let (code, said) = erase("silent.toml", &["--yes"]);
    assert!(code == Some(4) && said.contains("admin_socket"), "{said}");
    let wrong = folder.run(&["privacy", "export", "-c", "node.toml", "--number", "123456789012345678901"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(folder.lines(), before);
    let out = folder.run(&["privacy", "export", "-c", "node.toml", "--number", FIRST, "--out", "mine.jsonl"]);
    assert!(out.status.success() && out.stdout.is_empty());
    assert!(std::fs::read_to_string(folder.0.join("mine.jsonl")).unwrap().lines().count() >= 3);
}
