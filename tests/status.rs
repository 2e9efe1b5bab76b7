//! The sidecar over real sockets: a node between a load and two simulated carriers, watched while it runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bindery::config::{self, Config, Files};
use bindery::ids::ListenerId;
use bindery::io::{self, Driver, Options, Stop, StopHandle};
use bindery::node::Node;
use bindery::shard::port::{Core, Event};
use bindery::sidecar::client::{self, Address};
use bindery::sidecar::show;
use bindery::time::Duration;
use bindery::tools::load::{self, Load};
use bindery::tools::smsc::{self, Smsc};
use bindery::tools::units::Share;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

fn options(listener: Option<TcpListener>) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let listeners = listener.into_iter().map(|socket| (ListenerId(0), socket)).collect();
    let log = Box::new(|_: &Event| {});
    let driver = Driver::Epoll;
    (Options { driver, listeners, spin: Duration::ZERO, links_max: 1000, log, stop, lanes: None }, handle)
}

fn run_here<C: Core>(core: C) -> C {
    io::run(core, options(None).0).unwrap()
}

struct Carrier {
    thread: JoinHandle<Smsc>,
    address: String,
    stop: StopHandle,
}

fn carrier(settings: smsc::Settings) -> Carrier {
    let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (options, stop) = options(Some(listener));
    let thread = std::thread::spawn(move || io::run(Smsc::new(settings), options).unwrap());
    Carrier { thread, address, stop }
}

fn config(driver: Driver, folder: &Path, carriers: &[&str]) -> Config {
    let mut text = format!(
        "[node]\nshards = 2\nname = \"watched\"\nio = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [http]\naddress = \"127.0.0.1:0\"\nadmin_socket = \"{}/data/admin.sock\"\n\
         [esme.acme]\npassword = \"secret\"\npool = \"main\"\nsessions_max = 64\n\
         [defaults.carrier]\nsystem_id = \"bindery\"\npassword = \"secret\"\nsessions = 2\n",
        driver.name(),
        folder.display()
    );
    let mut members = Vec::new();
    for (index, address) in carriers.iter().enumerate() {
        text += &format!("[carrier.c{index}]\naddresses = [\"{address}\"]\n");
        members.push(format!("{{ carrier = \"c{index}\" }}"));
    }
    text += &format!("[pool.main]\nmembers = [{}]\n", members.join(", "));
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.clone()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    config::load(Path::new("watched.toml"), &mut files).unwrap().config
}

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bindery-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("data/admin.sock")
    }

    fn address(&self) -> Address {
        Address::Unix(self.socket())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Loopback and a shard that runs: what is waited for comes, or the test runner's own limit ends it.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::yield_now();
    }
}

fn http(node: &Node) -> Address {
    Address::Http(node.http_address().unwrap().to_string())
}

/// The sum of a metric's samples that have all these labels.
fn metric(page: &str, name: &str, labels: &[&str]) -> u64 {
    let start = [format!("bindery_{name}{{"), format!("bindery_{name} ")];
    let samples = page.lines().filter(|line| start.iter().any(|start| line.starts_with(start)));
    let chosen = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
    chosen.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn what_is_counted_is_what_load_and_carriers_counted() {
    Driver::available().into_iter().for_each(counts_agree);
}

fn counts_agree(driver: Driver) {
    let folder = Folder::new(&format!("counts-{}", driver.name()));
    let faults = smsc::Settings {
        errors: vec!["ESME_RINVDSTADR:10%".parse().unwrap()],
        receipt_early: "20%".parse().unwrap(),
        ..smsc::Settings::default()
    };
    let carriers = [carrier(faults), carrier(smsc::Settings::default())];
    let node = Node::start(
        config(driver, &folder.0, &[&carriers[0].address, &carriers[1].address]),
        Box::new(|_| ()),
    )
    .unwrap();
    until(|| client::fetch(&http(&node), "/readyz").is_ok());
    assert_eq!(client::fetch(&http(&node), "/healthz").unwrap(), "ok");
    let address = node.addresses()[0].to_string();
    let account = "acme:secret".parse().unwrap();
    let messages = 3000;
    let settings = load::Settings {
        address,
        accounts: vec![account],
        messages: Some(messages),
        receipts: Share::ALL,
        closed: true,
        ..load::Settings::default()
    };
    let load = run_here(Load::new(settings));
    assert_eq!(load.counts().answered.get(), messages);
    until(|| node.counters().esmes[0].sessions.get() == 0);
    let page = client::fetch(&http(&node), "/metrics").unwrap();
    assert_eq!(metric(&page, "esme_submits_total", &["esme=\"acme\""]), messages);
    let ok = load.counts().receipts_matched.get();
    assert!(0 < ok && ok < messages, "{ok}");
    assert_eq!(metric(&page, "esme_submits_total", &["status=\"ESME_ROK\""]), ok);
    assert_eq!(metric(&page, "esme_receipts_total", &["state=\"delivered\""]), ok);
    assert_eq!(metric(&page, "window_used", &[]), 0);
    assert_eq!(metric(&page, "receipts_parked", &[]), 0);
    let status = client::status(&folder.address()).unwrap();
    assert_eq!(status["carrier_sessions"]["bound"], 4);
    node.stop().drain();
    node.wait().unwrap();
    let mut refused = 0;
    for (index, carrier) in carriers.into_iter().enumerate() {
        carrier.stop.exit();
        let smsc = carrier.thread.join().unwrap();
        let label = format!("carrier=\"c{index}\"");
        assert_eq!(metric(&page, "carrier_submits_total", &[&label]), smsc.stats().submits.get());
        refused += metric(&page, "carrier_submits_total", &[&label, "status=\"ESME_RINVDSTADR\""]);
        let matched = [&*label, "match=\"matched\""];
        assert_eq!(metric(&page, "carrier_receipts_total", &matched), smsc.stats().receipts_acked.get());
    }
    assert_eq!(refused, messages - ok);
    assert!(!folder.socket().exists(), "the admin socket goes with the node");
}

#[test]
fn the_status_tells_of_sessions_while_messages_flow_and_of_a_carrier_that_is_down() {
    let folder = Folder::new("status");
    let up = carrier(smsc::Settings { delay: Duration::from_millis(5), ..smsc::Settings::default() });
    let nobody = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let node =
        Node::start(config(Driver::Auto, &folder.0, &[&up.address, &closed]), Box::new(|_| ())).unwrap();
    let mode = std::fs::metadata(folder.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    until(|| client::fetch(&http(&node), "/readyz").is_ok());
    let settings = load::Settings {
        address: node.addresses()[0].to_string(),
        accounts: vec!["acme:secret".parse().unwrap()],
        messages: Some(2000),
        closed: true,
        ..load::Settings::default()
    };
    let loading = std::thread::spawn(move || run_here(Load::new(settings)));
    let mut flowing = serde_json::Value::Null;
    until(|| {
        flowing = client::status(&folder.address()).unwrap();
        flowing["carriers"][0]["window_used"].as_u64() > Some(0)
    });
    assert_eq!(flowing["esme_sessions"], 4);
    assert_eq!(flowing["accounts"][0]["name"], "acme");
    let sessions = flowing["sessions"].as_array().unwrap();
    let bound = |side: &str| sessions.iter().filter(|it| it["side"] == side && it["state"] == "trx").count();
    assert_eq!((bound("carrier"), bound("esme")), (2, 4));
    until(|| {
        let status = client::status(&http(&node)).unwrap();
        let page = show::text_of(&status);
        page.starts_with("WARN 2/4 carrier sessions")
            && page.contains("carrier c1: 0/2 sessions bound")
            && page.contains("Connection refused")
    });
    assert_eq!(loading.join().unwrap().report().exit_code(), 0);
    up.stop.exit();
    up.thread.join().unwrap();
    until(|| client::fetch(&http(&node), "/readyz").is_err());
    let why = client::fetch(&http(&node), "/readyz").unwrap_err().to_string();
    assert!(
        why.contains("503") && why.contains("pool main: no carrier session that sends is bound"),
        "{why}"
    );
    node.stop().exit();
    node.wait().unwrap();
    assert!(client::status(&folder.address()).is_err());
}

#[test]
fn a_port_that_a_dying_process_still_has_is_waited_for() {
    let folder = Folder::new("port");
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut taken = config(Driver::Epoll, &folder.0, &["127.0.0.1:1"]);
    taken.listeners[0].address = held.local_addr().unwrap();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let dying = std::thread::spawn(move || {
        let told = ends.recv_timeout(std::time::Duration::from_millis(100));
        drop(held);
        told
    });
    let node = Node::start(taken, Box::new(|_| ())).unwrap();
    assert!(dying.join().unwrap().is_err(), "nobody told it to go before");
    drop(end);
    node.stop().exit();
    node.wait().unwrap();
}

#[test]
fn an_admin_socket_is_taken_from_the_dead_and_not_from_the_living() {
    let folder = Folder::new("socket");
    let nobody = "127.0.0.1:1";
    std::fs::create_dir_all(folder.socket().parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
    assert!(folder.socket().exists(), "left by a node that died");
    let node = Node::start(config(Driver::Epoll, &folder.0, &[nobody]), Box::new(|_| ())).unwrap();
    let second = Node::start(config(Driver::Epoll, &folder.0, &[nobody]), Box::new(|_| ()));
    assert_eq!(second.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
    assert_eq!(client::status(&folder.address()).unwrap()["node"], "watched");
    node.stop().exit();
    node.wait().unwrap();
    std::fs::write(folder.socket(), "a file").unwrap();
    let third = Node::start(config(Driver::Epoll, &folder.0, &[nobody]), Box::new(|_| ()));
    assert_eq!(third.err().map(|error| error.kind()), Some(std::io::ErrorKind::AlreadyExists));
    assert_eq!(std::fs::read_to_string(folder.socket()).unwrap(), "a file");
}
