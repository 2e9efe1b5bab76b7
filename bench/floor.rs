//! What this machine itself asks for moving octets: the CPU time of one send and one recv over a loopback TCP pair, by
//! how many PDUs one call carries, and of the system calls beside them. No program can relay for less.
//!
//! ```text
//! cargo bench --bench floor [-- --json]
//! ```
//!
//! One thread holds both ends, so it pays for the whole of a send: on the loopback the receiver's half of TCP runs
//! inside it. Times are the thread's CPU time, the least of several rounds. A message of 218 octets is a submit_sm with
//! 160 octets of text; one of 28 octets is its response.

use rustix::event::{Timespec, epoll};
use rustix::process::getppid;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// PDUs that one call carries.
const BATCHES: [usize; 5] = [1, 4, 16, 64, 256];
/// Octets of a submit_sm with 160 octets of text, and of its response.
const PDU_SIZES: [usize; 2] = [218, 28];
/// Calls of one round, and rounds of which the cheapest counts: short ones, so that some of them are left in peace.
const CALLS: u32 = 250;
const ROUNDS: usize = 120;

/// A send and a recv of one batch, and what the cheapest round of it cost so far.
struct Case {
    octets: usize,
    batch: usize,
    near: TcpStream,
    far: TcpStream,
    sent: Vec<u8>,
    taken: Vec<u8>,
    both_ns: f64,
    send_ns: f64,
}

impl Case {
    fn new(octets: usize, batch: usize) -> io::Result<Self> {
        let (near, far) = pair()?;
        let (sent, taken) = (vec![b'x'; octets * batch], vec![0_u8; octets * batch]);
        let (both_ns, send_ns) = (f64::INFINITY, f64::INFINITY);
        Ok(Self { octets, batch, near, far, sent, taken, both_ns, send_ns })
    }

    /// The clock is read around each send of one half of a round and around none of the other: what both cost is taken
    /// from the second, what of it the sends cost from the first, without what reading the clock costs.
    fn round(&mut self, clock_ns: f64) -> io::Result<()> {
        let before = cpu_ns();
        for _ in 0..CALLS {
            self.near.write_all(&self.sent)?;
            self.far.read_exact(&mut self.taken)?;
        }
        self.both_ns = self.both_ns.min((cpu_ns() - before) / f64::from(CALLS));
        let mut sum = 0.0;
        for _ in 0..CALLS {
            let before = cpu_ns();
            self.near.write_all(&self.sent)?;
            sum += cpu_ns() - before;
            self.far.read_exact(&mut self.taken)?;
        }
        self.send_ns = self.send_ns.min(sum / f64::from(CALLS) - clock_ns);
        Ok(())
    }

    fn recv_ns(&self) -> f64 {
        (self.both_ns - self.send_ns).max(0.0)
    }
}

fn main() -> io::Result<()> {
    let clock_ns = cheapest(|| {
        black_box(cpu_ns());
        Ok(())
    })?;
    let mut cases = Vec::new();
    for octets in PDU_SIZES {
        for batch in BATCHES {
            cases.push(Case::new(octets, batch)?);
        }
    }
    // In turn, so that a neighbour who is busy for a while spoils some rounds of all and no case.
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.round(clock_ns)?;
        }
    }
    let calls = calls()?;
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json(&calls, &cases));
    } else {
        table(&calls, &cases);
    }
    Ok(())
}

/// CPU time of this thread so far.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The cheapest round's CPU time for one call of `one`.
fn cheapest(mut one: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = cpu_ns();
        for _ in 0..CALLS {
            one()?;
        }
        least = least.min((cpu_ns() - before) / f64::from(CALLS));
    }
    Ok(least)
}

/// Both ends of a TCP connection over the loopback.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// System calls that move nothing, by name; io_uring only where it is allowed.
fn calls() -> io::Result<Vec<(&'static str, f64)>> {
    let mut calls = Vec::new();
    calls.push((
        "getppid",
        cheapest(|| {
            black_box(getppid());
            Ok(())
        })?,
    ));
    let (near, _far) = pair()?;
    near.set_nonblocking(true)?;
    let mut octet = [0_u8];
    calls.push((
        "recv_eagain",
        cheapest(|| match (&near).read(&mut octet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("nobody had written")),
        })?,
    ));
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &near, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut events = Vec::with_capacity(8);
    calls.push((
        "epoll_wait_0",
        cheapest(|| {
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&at_once))?;
            Ok(())
        })?,
    ));
    if let Ok(ring) = io_uring::IoUring::new(8) {
        calls.push(("io_uring_enter", cheapest(|| ring.submitter().submit().map(|_| ()))?));
    }
    Ok(calls)
}

/// One object on one line.
fn json(calls: &[(&str, f64)], cases: &[Case]) -> String {
    let calls: serde_json::Map<_, _> =
        calls.iter().map(|(name, nanos)| ((*name).to_owned(), (*nanos).into())).collect();
    let moved = cases.iter().map(|case| {
        serde_json::json!({
            "octets": case.octets,
            "batch": case.batch,
            "send_ns": case.send_ns,
            "recv_ns": case.recv_ns(),
        })
    });
    let moved: Vec<_> = moved.collect();
    serde_json::json!({ "calls_ns": calls, "moved": moved }).to_string()
}

fn table(calls: &[(&str, f64)], cases: &[Case]) {
    for (name, nanos) in calls {
        println!("{name:<16}{nanos:>10.0} ns");
    }
    println!("\n{:>7}{:>7}{:>12}{:>12}{:>16}", "octets", "batch", "send ns", "recv ns", "both, ns a PDU");
    for case in cases {
        let each = case.both_ns / case.batch as f64;
        let (octets, batch) = (case.octets, case.batch);
        println!("{octets:>7}{batch:>7}{:>12.0}{:>12.0}{each:>16.1}", case.send_ns, case.recv_ns());
    }
}
