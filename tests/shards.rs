//! A node of several shards: whoever accepts a link and wherever accounts and carriers are at home, an ESME and a
//! carrier notice nothing of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bindery::config::{self, Config, Files};
use bindery::ids::ListenerId;
use bindery::io::{self, Driver, Options, Stop, StopHandle};
use bindery::node::Node;
use bindery::shard::port::{Core, Event};
use bindery::sidecar::client::{self, Address as Where};
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu, write_header_only};
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::time::Duration;
use bindery::tools::load::{self, Load};
use bindery::tools::smsc::{self, Smsc};
use bindery::tools::units::Share;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// All of them use both carriers, which are at home on shard 1: some are at home there, too, some are not.
const ACCOUNTS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

fn options(listener: Option<TcpListener>) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let listeners = listener.into_iter().map(|socket| (ListenerId(0), socket)).collect();
    let log = Box::new(|_: &Event| {});
    let (driver, spin) = (Driver::Epoll, Duration::ZERO);
    (Options { driver, listeners, spin, links_max: 1000, log, stop, lanes: None }, handle)
}

struct Carrier {
    thread: JoinHandle<Smsc>,
    address: SocketAddr,
    stop: StopHandle,
}

impl Carrier {
    fn start(id_first: u64) -> Self {
        let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (options, stop) = options(Some(listener));
        let settings =
            smsc::Settings { id_first, receipt_delay: Duration::ZERO, ..smsc::Settings::default() };
        let thread = std::thread::spawn(move || io::run(Smsc::new(settings), options).unwrap());
        Self { thread, address, stop }
    }
}

/// A node and its carriers.
struct World {
    node: Node,
    carriers: Vec<Carrier>,
}

fn load_text(text: &str) -> Config {
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    let loaded = config::load(Path::new("shards.toml"), &mut files);
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).config
}

impl World {
    /// Two listeners, which different shards serve, and every carrier on shard 1.
    fn start(driver: Driver, shards: &str) -> Self {
        let carriers = vec![Carrier::start(1_000_000), Carrier::start(7_000_000)];
        let mut text = format!(
            "[node]\nname = \"many\"\nshards = {shards}\nio = \"{}\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\nbind_rate = \"10000/s\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\nbind_rate = \"10000/s\"\n\
             [http]\naddress = \"127.0.0.1:0\"\n[defaults.esme]\npool = \"main\"\nsessions_max = 64\n\
             [defaults.carrier]\nsystem_id = \"bindery\"\npassword = \"p\"\nsessions = 2\nhome = 1\n\
             [pool.main]\nmembers = [{{ carrier = \"c0\" }}, {{ carrier = \"c1\" }}]\n",
            driver.name()
        );
        for account in ACCOUNTS {
            text += &format!("[esme.{account}]\npassword = \"secret\"\n");
        }
        for (index, carrier) in carriers.iter().enumerate() {
            text += &format!("[carrier.c{index}]\naddresses = [\"{}\"]\n", carrier.address);
        }
        let node = Node::start(load_text(&text), Box::new(|_| ())).unwrap();
        let world = Self { node, carriers };
        // Loopback: it comes, or the test runner's own limit ends this.
        while client::fetch(&world.http(), "/readyz").is_err() {
            std::thread::yield_now();
        }
        world
    }

    fn http(&self) -> Where {
        Where::Http(self.node.http_address().unwrap().to_string())
    }

    /// The sum of a metric's samples.
    fn metric(&self, name: &str) -> f64 {
        let page = client::fetch(&self.http(), "/metrics").unwrap();
        let start = format!("bindery_{name}{{");
        let samples = page.lines().filter(|line| line.starts_with(&start));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Drains the node, which must end by itself.
    fn end(self) {
        self.node.stop().drain();
        self.node.wait().unwrap();
        for carrier in self.carriers {
            carrier.stop.exit();
            carrier.thread.join().unwrap();
        }
    }
}

/// A bind, a submit that asks for a receipt and an enquire_link, and where the first ends.
fn segment(account: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let bind = Bind {
        system_id: account.as_bytes(),
        password: b"secret",
        interface_version: 0x34,
        ..Bind::default()
    };
    bind.write(&mut out, CommandId::BIND_TRANSCEIVER, 1);
    let international = |digits| Address { ton: 1, npi: 1, digits };
    let content = Content { registered_delivery: 1, short_message: b"hello", ..Content::default() };
    let (source, destination) = (international(b"14499"), international(b"38267123456"));
    Sm { source, destination, content, ..Sm::default() }.write(&mut out, CommandId::SUBMIT_SM, 2);
    write_header_only(&mut out, CommandId::ENQUIRE_LINK, CommandStatus::OK, 3);
    out
}

/// The next PDU of a stream.
fn next(stream: &mut TcpStream, read: &mut Vec<u8>) -> Vec<u8> {
    loop {
        if let Frame::Whole(pdu, _) = Frame::next(read, 65_536) {
            let length = pdu.bytes().len();
            return read.drain(..length).collect();
        }
        let mut buffer = [0; 4096];
        let octets = stream.read(&mut buffer).unwrap();
        assert!(octets > 0, "closed");
        read.extend_from_slice(&buffer[..octets]);
    }
}

/// Plays an ESME over one connection, its octets written in these pieces: bound first, then all is answered and the
/// receipt comes; at last it unbinds.
fn play<'a>(address: SocketAddr, pieces: impl Iterator<Item = &'a [u8]>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    pieces.for_each(|piece| stream.write_all(piece).unwrap());
    let (mut read, mut came) = (Vec::new(), Vec::new());
    while came.len() < 4 {
        let octets = next(&mut stream, &mut read);
        let pdu = Pdu::whole(&octets).unwrap();
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        assert_eq!(pdu.header().command_status, CommandStatus::OK, "{command:?}");
        if command == CommandId::DELIVER_SM {
            let mut answer = Vec::new();
            bindery::smpp::frame::write_pdu(
                &mut answer,
                command.response(),
                CommandStatus::OK,
                sequence,
                |out| {
                    out.push(0);
                },
            );
            stream.write_all(&answer).unwrap();
            came.push((command, 0));
        } else {
            came.push((command, sequence));
        }
    }
    assert_eq!(came[0], (CommandId::BIND_TRANSCEIVER.response(), 1), "{came:?}");
    for wanted in [
        (CommandId::SUBMIT_SM.response(), 2),
        (CommandId::ENQUIRE_LINK.response(), 3),
        (CommandId::DELIVER_SM, 0),
    ] {
        assert!(came.contains(&wanted), "{came:?}");
    }
    let mut unbind = Vec::new();
    write_header_only(&mut unbind, CommandId::UNBIND, CommandStatus::OK, 4);
    stream.write_all(&unbind).unwrap();
    let octets = next(&mut stream, &mut read);
    assert_eq!(Pdu::whole(&octets).unwrap().command_id(), CommandId::UNBIND.response());
}

#[test]
fn a_session_goes_on_across_shards_wherever_its_octets_are_cut() {
    for driver in Driver::available() {
        for shards in ["2", "3"] {
            let world = World::start(driver, shards);
            for account in &ACCOUNTS[1..5] {
                let octets = segment(account);
                for (index, address) in world.node.addresses().iter().enumerate() {
                    play(*address, octets.chunks(octets.len()));
                    play(*address, octets.chunks(1));
                    // Each cut at one of the listeners.
                    for cut in (1..octets.len()).filter(|cut| cut % 2 == index) {
                        let (first, second) = octets.split_at(cut);
                        play(*address, [first, second].into_iter());
                    }
                }
            }
            assert!(world.metric("shard_mail_total") > 0.0);
            world.end();
        }
    }
}

fn run_here<C: Core>(core: C) -> C {
    io::run(core, options(None).0).unwrap()
}

#[test]
fn load_over_all_shards_loses_nothing_and_the_node_shows_all_of_it() {
    const MESSAGES: u64 = 4000;
    for driver in Driver::available() {
        for shards in ["2", "3"] {
            let world = World::start(driver, shards);
            let loads: Vec<JoinHandle<Load>> = (0..2)
                .map(|index| {
                    // A receipt may come to any session of its account: no account is in two loads.
                    let accounts = ACCOUNTS.iter().skip(index).step_by(2);
                    let settings = load::Settings {
                        address: world.node.addresses()[index].to_string(),
                        accounts: accounts.map(|name| format!("{name}:secret").parse().unwrap()).collect(),
                        messages: Some(MESSAGES),
                        receipts: Share::ALL,
                        closed: true,
                        ..load::Settings::default()
                    };
                    std::thread::spawn(move || run_here(Load::new(settings)))
                })
                .collect();
            for load in loads {
                let load = load.join().unwrap();
                let report = load.report();
                assert_eq!(report.exit_code(), 0, "{driver:?} {shards} {}", report.text());
                assert_eq!(load.counts().answered.get(), MESSAGES);
            }
            let status = client::status(&world.http()).unwrap();
            let names = |list: &str| -> Vec<String> {
                let rows = status[list].as_array().unwrap().iter();
                rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
            };
            let mut accounts = names("accounts");
            accounts.sort();
            assert_eq!(
                (accounts.join(" "), names("carriers").join(" ")),
                ("five four one six three two".into(), "c0 c1".into())
            );
            assert_eq!(status["carrier_sessions"]["bound"], 4);
            assert_eq!(status["shards"].to_string(), shards);
            assert_eq!(world.metric("window_used"), 0.0);
            assert!(world.metric("shard_mail_total") > MESSAGES as f64);
            let busy: Vec<u64> =
                world.node.counters().loops.iter().map(|cells| cells.busy_ns.get()).collect();
            assert!(busy.iter().all(|nanos| *nanos > 0), "every shard has worked: {busy:?}");
            world.end();
        }
    }
}

#[test]
fn a_node_takes_as_many_shards_as_there_are_cpus_or_those_that_are_named() {
    let start = |shards: &str| {
        let text = format!(
            "[node]\nshards = {shards}\n[[listener]]\naddress = \"127.0.0.1:0\"\n[esme.a]\npassword = \"p\"\n\
             pool = \"main\"\n[carrier.c]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n\
             [pool.main]\nmembers = [{{ carrier = \"c\" }}]\n"
        );
        let (say, said) = channel();
        let log = Box::new(move |event: &Event| drop(say.send(event.clone())));
        Node::start(load_text(&text), log).map(|node| (node, said))
    };
    let usable = std::thread::available_parallelism().unwrap().get();
    let (node, _) = start("\"auto\"").unwrap();
    assert!(node.counters().shards.len() >= usable.min(64));
    node.stop().drain();
    node.wait().unwrap();
    let refused = start("\"1023\"").err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("may not use CPU 1023"), "{refused}");
    let (over, said) = start("5").unwrap();
    assert_eq!(over.counters().shards.len(), 5);
    over.stop().drain();
    over.wait().unwrap();
    let drivers: Vec<Event> = said.iter().filter(|event| event.name == "io").collect();
    assert_eq!(drivers.len(), 1, "said once: {drivers:?}");
    assert_eq!(drivers[0].fields[1], ("shards", "5".to_owned()));
}
