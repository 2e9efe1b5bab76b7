//! `bindery queue` against a running node whose only carrier is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A node and its folder; both are gone with the test.
struct Node {
    child: Child,
    folder: PathBuf,
    listens: String,
    http: String,
}

impl Node {
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("queue-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let text = "[node]\nshards = 2\ndata_dir = \"kept\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
            [carrier.a]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
            [pool.main]\nmembers = [{ carrier = \"a\" }]\n[pool.other]\nmembers = [{ carrier = \"a\" }]\n\
            [class.otp]\npriority = 5\n\
            [esme.acme]\npassword = \"p\"\npool = \"main\"\nmode = \"store\"\nclass = \"otp\"\n\
            [http]\naddress = \"127.0.0.1:0\"\nadmin_socket = \"admin.sock\"\n\
            [journal]\nsegment_size = \"16MiB\"\nsize_max = \"1GiB\"\nmin_free = \"0%\"\ndurability = \"process\"\n";
        std::fs::write(folder.join("node.toml"), text).unwrap();
        Self::run_in(folder)
    }

    /// On what an earlier one has left there.
    fn run_in(folder: PathBuf) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let command = command.arg("run").arg("-c").arg(folder.join("node.toml")).current_dir(&folder);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let mut said = |begin: &str| {
            let line = lines.find(|line| line.starts_with(begin)).unwrap();
            line[begin.len()..].to_owned()
        };
        let (listens, http) = (said("listening address="), said("http address="));
        // What it says later must have a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, listens, http }
    }

    /// Another one after kill -9.
    fn killed(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::run_in(core::mem::take(&mut self.folder))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).output().unwrap()
    }

    fn queue(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let all = [&["queue"], arguments, &["-a", "unix:admin.sock"]].concat();
        let output = self.run(&all);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    fn listed(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.queue(&[&["ls", "--json"], arguments].concat());
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

#[test]
fn an_operator_counts_holds_moves_and_ends_what_waits_also_over_kill_9() {
    let node = Node::start("operator");
    let to = "38267000001,38267000002,38267000003,4479";
    let who = ["--system-id", "acme", "--password", "p", "--address", &node.listens, "--receipt-wait", "0s"];
    let sent = node.run(&[&["send", "--to", to, "--text", "hello"], &who[..]].concat());
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let all = node.listed(&[]);
    assert_eq!(all["messages"], 4);
    let row = &all["rows"][0];
    assert_eq!(
        (&row["esme"], &row["class"], &row["pool"], &row["state"]),
        (&"acme".into(), &"otp".into(), &"main".into(), &"ready".into())
    );
    assert_eq!(node.listed(&["--to", "382*", "--class", "otp"])["messages"], 3);
    let (code, said) = node.queue(&["ls"]);
    assert!(code == Some(0) && said.starts_with("4 messages\n"), "{said}");
    assert_eq!(node.queue(&["hold", "--to", "4479", "--yes"]), (Some(0), "hold: 1 messages\n".to_owned()));
    assert_eq!(
        node.queue(&["reroute", "--to", "382*", "--to-pool", "other", "--yes"]).1,
        "reroute: 3 messages\n"
    );
    let rows = |node: &Node| -> Vec<(Value, Value)> {
        let rows = node.listed(&[])["rows"].clone();
        rows.as_array().unwrap().iter().map(|row| (row["pool"].clone(), row["state"].clone())).collect()
    };
    let said = [("main".into(), "held".into()), ("other".into(), "ready".into())];
    assert_eq!(rows(&node), said);
    let node = node.killed();
    assert_eq!(rows(&node), said, "it holds after a restart");
    assert_eq!(node.queue(&["release", "--yes"]).1, "release: 1 messages\n");
    let node = node.killed();
    assert_eq!(rows(&node), [("main".into(), "ready".into()), ("other".into(), "ready".into())]);
    assert_eq!(node.queue(&["purge", "--yes"]).1, "purge: 4 messages\n");
    assert_eq!(node.listed(&[])["messages"], 0);
}

#[test]
fn nothing_is_changed_without_a_yes_without_the_admin_socket_or_of_who_is_not_there() {
    let node = Node::start("refused");
    let (code, said) = node.queue(&["purge"]);
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    let http = format!("http://{}", node.http);
    let listed = node.run(&["queue", "ls", "-a", &http]);
    assert!(listed.status.success());
    let purged = node.run(&["queue", "purge", "--yes", "-a", &http]);
    assert!(String::from_utf8_lossy(&purged.stderr).contains("404"), "TCP is open to whoever reaches it");
    for (wrong, word) in [
        (&["ls", "--esme", "nobody"][..], "there is no esme"),
        (&["ls", "--older", "long"], "older"),
        (&["reroute", "--to-pool", "nowhere", "--yes"], "there is no to_pool"),
    ] {
        let (code, said) = node.queue(wrong);
        assert!(code == Some(2) && said.contains(word), "{wrong:?}: {said}");
    }
}
