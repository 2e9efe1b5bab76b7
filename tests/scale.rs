//! What many cost: the heap of a bind that says nothing, over real sockets; that of an account, and of an account on one
//! more shard; that four times as many cost four times the work.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use bindery::config::{self, Config, Files, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::ShardId;
use bindery::io::Driver;
use bindery::node::Node;
use bindery::session::BindKind;
use bindery::shard::{Plan, Position, Shard};
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::write_header_only;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets that are allocated now, by any thread.
static LIVE: AtomicI64 = AtomicI64::new(0);
/// Octets that were ever allocated.
static EVER: AtomicU64 = AtomicU64::new(0);
/// One test at a time: the counts are those of the whole process.
static ONE: Mutex<()> = Mutex::new(());

struct Counting;

fn count(octets: i64) {
    LIVE.fetch_add(octets, Ordering::Relaxed);
    EVER.fetch_add(u64::try_from(octets).unwrap_or(0), Ordering::Relaxed);
}

// SAFETY: every call is the system allocator's; counting touches two numbers and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: it passes everything on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn one() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

fn ever() -> u64 {
    EVER.load(Ordering::Relaxed)
}

fn config(text: &str) -> Config {
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    config::load(Path::new("scale.toml"), &mut files).unwrap().config
}

/// A little above a power of two: tables that double are as empty as they can be.
const BINDS: usize = 600;
/// Octets that an idle bind may hold.
const BIND_MAX: i64 = 1536;

/// As many sockets as both ends of every bind need.
fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Reads a response and gives its status.
fn answer(stream: &mut TcpStream) -> u32 {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
    let mut body = vec![0; word(0) as usize - 16];
    stream.read_exact(&mut body).unwrap();
    word(8)
}

/// A session that was bound by a PDU in two pieces, has sent a submit that was refused and an enquire_link, and is silent
/// from now on.
fn bind(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut says = Vec::with_capacity(512);
    let bind = Bind { system_id: b"acme", password: b"secret", interface_version: 0x34, ..Bind::default() };
    bind.write(&mut says, BindKind::Transceiver.command(), 1);
    stream.write_all(&says[..20]).unwrap();
    stream.write_all(&says[20..]).unwrap();
    assert_eq!(answer(&mut stream), 0);
    says.clear();
    let destination = Address { ton: 1, npi: 1, digits: b"38267123456" };
    let content = Content { short_message: &[b'x'; 160], ..Content::default() };
    Sm { destination, content, ..Sm::default() }.write(&mut says, CommandId::SUBMIT_SM, 2);
    write_header_only(&mut says, CommandId::ENQUIRE_LINK, CommandStatus::OK, 3);
    stream.write_all(&says).unwrap();
    assert_eq!((answer(&mut stream), answer(&mut stream)), (CommandStatus::INVALID_DESTINATION.0, 0));
    stream
}

#[test]
fn an_idle_bind_holds_little_memory() {
    let _one = one();
    allow_descriptors();
    for driver in Driver::available() {
        let node = Node::start(
            config(&format!(
                "[node]\nshards = 1\nio = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                 connections_per_address = 10000\n\
                 [esme.acme]\npassword = \"secret\"\nsessions_max = 1000\n",
                driver.name()
            )),
            Box::new(|_| ()),
        );
        let node = node.unwrap();
        let address = node.addresses()[0];
        // The buffers of a turn come with the first.
        let first = bind(address);
        let mut streams = Vec::with_capacity(BINDS);
        let before = live();
        streams.extend((0..BINDS).map(|_| bind(address)));
        let each = (live() - before) / BINDS as i64;
        println!("{driver:?}: {each} octets for each of {BINDS} binds");
        assert!((1..=BIND_MAX).contains(&each), "{driver:?}: {each} octets each");
        drop((first, streams));
        node.stop().drain();
        node.wait().unwrap();
    }
}

fn accounts(count: usize) -> String {
    let mut text = "[[listener]]\naddress = \"127.0.0.1:2775\"\n[carrier.c]\naddresses = [\"127.0.0.1:1\"]\n\
                    system_id = \"b\"\npassword = \"p\"\n[pool.main]\nmembers = [{ carrier = \"c\" }]\n\
                    [[route]]\npool = \"main\"\nwhen = { to = ["
        .to_owned();
    (0..count).for_each(|number| text.push_str(&format!("\"38{number:06}*\",")));
    text.push_str("] }\n");
    for number in 0..count {
        text.push_str(&format!("[esme.a{number:06}]\npassword = \"secret{number}\"\npool = \"main\"\n"));
    }
    text
}

/// Octets that a configuration holds, that reading it took in all, and that one more shard needs.
fn costs(count: usize) -> [i64; 3] {
    let text = accounts(count);
    let (before, before_ever) = (live(), ever());
    let config = Arc::new(config(&text));
    let (held, took) = (live() - before, ever() - before_ever);
    let plan = Plan::new(Arc::clone(&config));
    let counters = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
    let position = Position {
        shard: ShardId(0),
        homes: Arc::new(Homes::of(&config, 2)),
        hints: Arc::new(Hints::new(config.carriers.len())),
        credits: 1000,
    };
    let before = live();
    let shard = Shard::planned(&plan, counters, position, 1);
    let added = live() - before;
    drop(shard);
    [held, took as i64, added]
}

#[test]
fn an_account_costs_the_same_among_many_and_one_more_shard_adds_little_to_it() {
    let _one = one();
    let (some, many) = (costs(4_000), costs(16_000));
    let each: [i64; 3] = std::array::from_fn(|at| (many[at] - some[at]) / 12_000);
    println!(
        "octets of one more account: {} held, {} to read it, {} in each shard",
        each[0], each[1], each[2]
    );
    assert!((1..=1024).contains(&each[0]), "the settings of an account: {each:?}");
    assert!((1..=256).contains(&each[2]), "what a shard adds: {each:?}");
    for at in [0, 1] {
        assert!(many[at] <= some[at] * 5, "{} octets for 16,000, {} for 4,000", many[at], some[at]);
    }
}
