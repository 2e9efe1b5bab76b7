//! `bindery receipts --resend` against a running node whose only carrier is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

use bindery::smpp::command::CommandId;
use bindery::smpp::frame::Pdu;
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("resend");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let text = "[node]\nshards = 2\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
            [carrier.a]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
            [pool.main]\nmembers = [{ carrier = \"a\" }]\n\
            [esme.acme]\npassword = \"p\"\npool = \"main\"\nmode = \"store\"\n\
            [http]\nadmin_socket = \"data/admin.sock\"\n\
            [journal]\nsegment_size = \"16MiB\"\nsize_max = \"1GiB\"\nmin_free = \"0%\"\ndurability = \"process\"\n";
        std::fs::write(folder.join("node.toml"), text).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let output = command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    fn resend(&self, id: &str) -> (Option<i32>, String) {
        self.run(&["receipts", "--resend", id])
    }

    fn purge(&self) {
        let (code, said) = self.run(&["queue", "purge", "--yes"]);
        assert_eq!(code, Some(0), "{said}");
    }
}

struct Node {
    child: Child,
    listens: String,
}

impl Node {
    fn start(folder: &Folder) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
        let command = command.args(["run", "-c", "node.toml"]).current_dir(&folder.0);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let begin = "listening address=";
        let listens = lines.find_map(|line| line.strip_prefix(begin).map(str::to_owned)).unwrap();
        // What it says later must have a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, listens }
    }

    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session of the account.
struct Esme(TcpStream);

impl Esme {
    fn bind(node: &Node) -> Self {
        let stream = TcpStream::connect(&node.listens).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut esme = Self(stream);
        let body = b"acme\0p\0\0\x34\0\0\0";
        let mut octets = Vec::new();
        for field in [16 + body.len() as u32, 0x0000_0009, 0, 1] {
            octets.extend_from_slice(&field.to_be_bytes());
        }
        octets.extend_from_slice(body);
        esme.0.write_all(&octets).unwrap();
        let response = esme.pdu();
        assert_eq!(Pdu::whole(&response).unwrap().header().command_status, CommandStatus::OK);
        esme
    }

    fn pdu(&mut self) -> Vec<u8> {
        let mut octets = vec![0; 4];
        self.0.read_exact(&mut octets).unwrap();
        let length = u32::from_be_bytes(octets[..4].try_into().unwrap()) as usize;
        octets.resize(length, 0);
        self.0.read_exact(&mut octets[4..]).unwrap();
        octets
    }

    /// Its id, once the node takes messages.
    fn submit(&mut self, registered_delivery: u8) -> String {
        let address = |digits| Address { ton: 1, npi: 1, digits };
        let content = Content { short_message: b"hello", registered_delivery, ..Content::default() };
        let (source, destination) = (address(b"14499"), address(b"38267000001"));
        let sm = Sm { service_type: b"", source, destination, content };
        for sequence in 2..20_000 {
            let mut octets = Vec::new();
            sm.write(&mut octets, CommandId::SUBMIT_SM, sequence);
            self.0.write_all(&octets).unwrap();
            let response = self.pdu();
            let pdu = Pdu::whole(&response).unwrap();
            if pdu.header().command_status == CommandStatus::OK {
                return String::from_utf8(MessageIdResp::parse(&pdu).id.to_vec()).unwrap();
            }
        }
        panic!("nothing is taken");
    }

    /// The text of the next receipt, which is answered.
    fn receipt(&mut self) -> String {
        let octets = self.pdu();
        let pdu = Pdu::whole(&octets).unwrap();
        assert_eq!(pdu.command_id(), CommandId::DELIVER_SM);
        let sm = Sm::parse_deliver(&pdu).unwrap();
        assert_eq!((sm.content.esm_class, sm.source.digits), (4, &b"38267000001"[..]));
        let mut response = Vec::new();
        let (command, sequence) = (CommandId::DELIVER_SM.response(), pdu.sequence_number());
        MessageIdResp::new(b"").write(&mut response, command, CommandStatus::OK, sequence);
        self.0.write_all(&response).unwrap();
        String::from_utf8(sm.content.short_message.to_vec()).unwrap()
    }
}

#[test]
fn a_receipt_goes_once_more_and_waits_also_over_a_restart_and_what_is_none_is_refused() {
    let folder = Folder::new();
    let node = Node::start(&folder);
    let mut esme = Esme::bind(&node);
    let id = esme.submit(1);
    let (code, said) = folder.resend(&id);
    assert!(code == Some(1) && said.contains("not over"), "{said}");
    folder.purge();
    let first = esme.receipt();
    assert!(first.contains(&format!("id:{id} ")) && first.contains("stat:DELETED"), "{first}");
    // Its end is written when the account has answered.
    let mut resent = folder.resend(&id);
    while resent.1.contains("not over") {
        resent = folder.resend(&id);
    }
    assert_eq!(resent.0, Some(0), "{}", resent.1);
    assert!(resent.1.contains("canceled: goes to acme"), "{}", resent.1);
    assert_eq!(esme.receipt(), first);
    // Nobody asked for one of the next.
    let silent = esme.submit(0);
    folder.purge();
    let (code, said) = folder.resend(&silent);
    assert!(code == Some(1) && said.contains("no receipt was asked for"), "{said}");
    let (code, said) = folder.resend("4711");
    assert!(code == Some(1) && said.contains("no end of such a message"), "{said}");
    let (code, said) = folder.run(&["receipts", "--resend", &id, "--esme", "nobody"]);
    assert!(code == Some(1) && said.contains("there is no esme"), "{said}");
    drop(esme);
    let mut waits = folder.resend(&id);
    while waits.1.contains("goes to") {
        waits = folder.resend(&id);
    }
    assert!(waits.0 == Some(0) && waits.1.contains("waits for a session of acme"), "{}", waits.1);
    node.end();
    let (_, life) = folder.run(&["trace", &id]);
    assert!(life.contains("receipt DELETED once more for acme, by an operator"), "{life}");
    let (_, sums) = folder.run(&["journal", "stats", "data/journal"]);
    let ends: u64 = sums
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|sums| sums["kinds"]["FINISH"]["records"].as_u64())
        .sum();
    assert_eq!(ends, 2, "one for each message: {sums}");
    let node = Node::start(&folder);
    assert_eq!(Esme::bind(&node).receipt(), first);
    let (code, said) = {
        node.end();
        folder.resend(&id)
    };
    assert!(code == Some(4), "{said}");
}
