//! The way that a carrier's links leave by: our address, the interface, the mark.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

use bindery::config::{self, Config, Files};
use bindery::io::Driver;
use bindery::node::Node;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

fn load(text: &str) -> Config {
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("test.toml"), &mut files) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{}", report.render(false)),
    }
}

/// A node with one carrier that listens here, reached by `way`.
fn start(way: &str, driver: Driver) -> (Node, TcpListener) {
    let carrier = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = carrier.local_addr().unwrap();
    let io = driver.name();
    let text = format!(
        "[node]\nshards = 1\nio = \"{io}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [esme.a]\npassword = \"a\"\npool = \"main\"\n\
         [carrier.alpha]\naddresses = [\"{address}\"]\nsystem_id = \"b\"\npassword = \"p\"\n{way}\n\
         [pool.main]\nmembers = [{{ carrier = \"alpha\" }}]\n"
    );
    (Node::start(load(&text), Box::new(|_| ())).unwrap(), carrier)
}

fn end(node: Node) {
    node.stop().exit();
    node.wait().unwrap();
}

#[test]
fn a_link_leaves_from_the_address_that_was_set() {
    for driver in Driver::available() {
        let (node, carrier) = start("source_address = \"127.0.0.9\"", driver);
        let (_, peer) = carrier.accept().unwrap();
        assert_eq!(peer.ip(), "127.0.0.9".parse::<IpAddr>().unwrap(), "{}", driver.name());
        end(node);
    }
}

#[test]
fn a_link_leaves_by_the_interface_that_was_set_or_not_at_all() {
    for driver in Driver::available() {
        let (node, carrier) = start("interface = \"lo\"", driver);
        carrier.accept().unwrap();
        end(node);
        let (node, carrier) = start("interface = \"no-such-if\"", driver);
        let cells = &node.counters().carriers[0];
        while cells.binds_failed.get() == 0 {
            std::thread::yield_now();
        }
        carrier.set_nonblocking(true).unwrap();
        assert!(carrier.accept().is_err(), "{}", driver.name());
        end(node);
    }
}

#[test]
fn a_mark_is_set_or_the_link_fails() {
    for driver in Driver::available() {
        let (node, carrier) = start("firewall_mark = 7", driver);
        let cells = &node.counters().carriers[0];
        // Marks are for who may administer the network; others hear of it instead of going unmarked.
        carrier.set_nonblocking(true).unwrap();
        loop {
            match (carrier.accept(), cells.binds_failed.get()) {
                (Ok(_), _) => break assert!(may_mark()),
                (Err(_), 1..) => break assert!(!may_mark()),
                (Err(_), _) => std::thread::yield_now(),
            }
        }
        end(node);
    }
}

fn may_mark() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_mark(7).is_ok()
}
