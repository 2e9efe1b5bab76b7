//! Whose journal it is: copies, moved directories, cold standby, on the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-owner-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where a host has its data.
    fn host(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let text = "[node]\nshards = 1\ndata_dir = \"kept\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
            [carrier.a]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
            [pool.main]\nmembers = [{ carrier = \"a\" }]\n[esme.acme]\npassword = \"p\"\npool = \"main\"\n\
            [journal]\nsegment_size = \"16MiB\"\nsize_max = \"1GiB\"\nmin_free = \"0%\"\n";
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("node.toml"), text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn journal(host: &Path) -> PathBuf {
    host.join("kept/journal")
}

fn lock(host: &Path) -> String {
    std::fs::read_to_string(journal(host).join("lock")).unwrap()
}

/// Files of their own, as `cp -a` makes them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(journal(to)).unwrap();
    for entry in std::fs::read_dir(journal(from)).unwrap().map(|entry| entry.unwrap().path()) {
        // A running owner renames files while they are copied.
        let _ = std::fs::copy(&entry, journal(to).join(entry.file_name().unwrap()));
    }
}

struct Node {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Node {
    /// It runs, or has ended.
    fn start(host: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let command = command.args(["run", "-c"]).arg(host.join("node.toml")).args(more);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut node = Self { child, stderr, said: String::new() };
        let mut line = String::new();
        while node.stderr.read_line(&mut line).unwrap() > 0 && !line.starts_with("listening") {
            node.said += &line;
            line.clear();
        }
        node.said += &line;
        node
    }

    fn runs(&self) -> bool {
        self.said.contains("listening address=")
    }

    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // It may have ended.
        let _ = kill_process(pid, signal);
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// False where files may have other inodes tomorrow: then nothing is told apart, and nothing refused.
fn is_told_apart(host: &Path) -> bool {
    !lock(host).contains("place -\n")
}

#[test]
fn a_cold_standby_takes_over_whatever_became_of_the_owner() {
    let folder = Folder::new("standby");
    let (first, second) = (folder.host("first"), folder.host("second"));
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        let node = Node::start(&first, &[]);
        assert!(node.runs() && lock(&first).contains("state runs"), "{}", node.said);
        node.end(signal);
        assert_eq!(lock(&first).contains("state ended"), signal == Signal::TERM);
        // The volume is attached to the other host.
        std::fs::rename(first.join("kept"), second.join("kept")).unwrap();
        let node = Node::start(&second, &[]);
        assert!(node.runs() && !node.said.contains("journal_copy"), "{}", node.said);
        assert_eq!(node.end(Signal::TERM).0, Some(0));
        std::fs::rename(second.join("kept"), first.join("kept")).unwrap();
    }
}

#[test]
fn a_copy_of_a_running_journal_is_refused_until_it_is_adopted() {
    let folder = Folder::new("copy");
    let (first, second) = (folder.host("first"), folder.host("second"));
    let node = Node::start(&first, &[]);
    copy(&first, &second);
    if !is_told_apart(&first) {
        return;
    }
    let before = lock(&second);
    let refused = Node::start(&second, &[]);
    assert!(!refused.runs());
    let (code, said) = refused.end(Signal::TERM);
    assert!(
        code == Some(6) && said.contains("it is a copy") && said.contains("bindery run --adopt"),
        "{said}"
    );
    assert_eq!(lock(&second), before, "it is as it was");
    let adopted = Node::start(&second, &["--adopt"]);
    assert!(adopted.runs() && adopted.said.contains("journal_copy"), "{}", adopted.said);
    adopted.end(Signal::KILL);
    // From then on it is a journal of its own, and the first one goes on.
    let own = Node::start(&second, &[]);
    assert!(own.runs() && !own.said.contains("journal_copy"), "{}", own.said);
    assert_eq!(own.end(Signal::TERM).0, Some(0));
    assert_eq!(node.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_copy_of_a_journal_that_had_ended_goes_on_and_says_so_and_one_without_a_lock_does() {
    let folder = Folder::new("ended");
    let (first, second, third) = (folder.host("first"), folder.host("second"), folder.host("third"));
    assert_eq!(Node::start(&first, &[]).end(Signal::TERM).0, Some(0));
    copy(&first, &second);
    let moved = Node::start(&second, &[]);
    assert!(moved.runs(), "{}", moved.said);
    assert_eq!(moved.said.contains("journal_copy"), is_told_apart(&first), "{}", moved.said);
    moved.end(Signal::KILL);
    copy(&second, &third);
    std::fs::remove_file(journal(&third).join("lock")).unwrap();
    let without = Node::start(&third, &[]);
    assert!(without.runs() && !without.said.contains("journal_copy"), "{}", without.said);
    assert_eq!(without.end(Signal::TERM).0, Some(0));
}
