//! A node that has no descriptor left turns connections away, and serves again when it has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something fails")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process that ends with the test.
struct Node(Child, SocketAddr);

impl Drop for Node {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A node over epoll that may have 40 descriptors.
fn start() -> Node {
    let folder = std::env::temp_dir().join(format!("bindery-descriptors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bindery.toml");
    let text = "[node]\nshards = 1\nio = \"epoll\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                [esme.demo]\npassword = \"demo\"\npool = \"main\"\n\
                [carrier.alpha]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
                [pool.main]\nmembers = [{ carrier = \"alpha\" }]\n";
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" run -c \"$1\"", env!("CARGO_BIN_EXE_bindery")])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("it listens").unwrap();
        if let Some(address) = line.strip_prefix("listening address=") {
            break address.parse().unwrap();
        }
    };
    // The rest of its log is read to the end, so that it never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    std::fs::remove_dir_all(&folder).unwrap();
    Node(child, address)
}

fn is_served(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // enquire_link is answered in any state.
    let enquire = [0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut answer = [0; 16];
    let answered = stream.write_all(&enquire).and_then(|()| stream.read_exact(&mut answer));
    let left_alone = answered.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!left_alone, "neither served nor turned away");
    answered.is_ok()
}

#[test]
fn a_node_without_descriptors_turns_connections_away_and_recovers() {
    let node = start();
    let mut streams: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(node.1).unwrap()).collect();
    let served = streams.iter_mut().filter_map(|stream| is_served(stream).then_some(())).count();
    assert!((1..40).contains(&served), "{served} served, the others turned away");
    drop(streams);
    // The freed descriptors come back as the node sees each end.
    let again = (0..100).any(|_| TcpStream::connect(node.1).is_ok_and(|mut stream| is_served(&mut stream)));
    assert!(again);
}
