//! A core made of a closure, run on a thread of its own.

use bindery::ids::ListenerId;
use bindery::io::{self, Driver, Options, Stop, StopHandle};
use bindery::shard::port::{Action, CloseHow, Core, Event, Input, Outbox};
use bindery::time::{Duration, Instant, Now};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

/// Longer than any test takes; a hang ends here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One input and what may be done about it.
pub(crate) struct Act<'a, 'i> {
    pub(crate) now: Now,
    pub(crate) input: Input<'i>,
    pub(crate) out: &'a mut Outbox,
    pub(crate) deadline: &'a mut Option<Instant>,
}

/// What a core does with an input.
pub(crate) trait Acts: Send + 'static {
    fn act(&mut self, act: &mut Act<'_, '_>);
    /// Sees the counts before the core goes to its thread.
    fn share(&mut self, _: &Counts) {}
}

impl<F: FnMut(&mut Act<'_, '_>) + Send + 'static> Acts for F {
    fn act(&mut self, act: &mut Act<'_, '_>) {
        self(act);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Counts {
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    echoed: Arc<AtomicUsize>,
}

/// Gives back what it gets; never paused, never full.
#[derive(Default)]
pub(crate) struct Echo(Counts);

impl Acts for Echo {
    fn act(&mut self, act: &mut Act<'_, '_>) {
        if let Input::Bytes { link, bytes } = act.input {
            act.out.to(link).extend_from_slice(bytes);
            self.0.echoed.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    }

    fn share(&mut self, counts: &Counts) {
        self.0 = counts.clone();
    }
}

struct Script<A> {
    acts: A,
    deadline: Option<Instant>,
    links: Vec<bindery::ids::LinkId>,
    draining: bool,
    counts: Counts,
}

impl<A: Acts> Core for Script<A> {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Accepted { link, .. } => {
                self.counts.accepted.fetch_add(1, Ordering::Relaxed);
                self.links.push(link);
            }
            Input::Connected { link, .. } => self.links.push(link),
            Input::Closed { link, .. } => {
                self.counts.closed.fetch_add(1, Ordering::Relaxed);
                let before = self.links.len();
                self.links.retain(|open| *open != link);
                assert_eq!(self.links.len() + 1, before, "a link is closed once");
            }
            Input::Bytes { link, .. } | Input::Room { link } => {
                assert!(self.links.contains(&link), "only an open link is heard of");
            }
            Input::Drain => {
                self.draining = true;
                self.links.iter().for_each(|link| out.close(*link, CloseHow::AfterFlush));
            }
            Input::Time
            | Input::ConnectFailed { .. }
            | Input::Ask { .. }
            | Input::HandedOver { .. }
            | Input::Mail { .. } => {}
        }
        self.acts.act(&mut Act { now, input, out, deadline: &mut self.deadline });
        if self.draining && self.links.is_empty() {
            out.act(Action::Exit);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// A core under a driver, on a thread.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: StopHandle,
    pub(crate) thread: JoinHandle<()>,
    counts: Counts,
}

pub(crate) fn options(driver: Driver) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let log = Box::new(|_: &Event| {});
    let (listeners, spin) = (Vec::new(), Duration::from_micros(50));
    (Options { driver, listeners, spin, links_max: 10_000, log, stop }, handle)
}

impl Running {
    pub(crate) fn start(driver: Driver, acts: impl Acts) -> Self {
        Self::start_with(driver, acts, |_| {})
    }

    pub(crate) fn start_with(driver: Driver, mut acts: impl Acts, change: fn(&mut Options)) -> Self {
        let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (mut options, stop) = options(driver);
        options.listeners.push((ListenerId(0), listener));
        change(&mut options);
        let counts = Counts::default();
        acts.share(&counts);
        let script =
            Script { acts, deadline: None, links: Vec::new(), draining: false, counts: counts.clone() };
        let thread = std::thread::spawn(move || io::run(script, options).map(drop).unwrap());
        Self { address, stop, thread, counts }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Links accepted and closed so far.
    pub(crate) fn links(&self) -> (usize, usize) {
        (self.counts.accepted.load(Ordering::Relaxed), self.counts.closed.load(Ordering::Relaxed))
    }

    pub(crate) fn echoed(&self) -> usize {
        self.counts.echoed.load(Ordering::Relaxed)
    }

    /// Ends the core by its drain and shows what it has panicked about.
    pub(crate) fn drain(self) {
        self.stop.drain();
        self.thread.join().unwrap();
    }
}

/// Octets that no piece of can be mistaken for another.
pub(crate) fn octets(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    next.take(length).collect()
}

pub(crate) fn read_whole(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).unwrap();
    octets
}

pub(crate) fn recv<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(PATIENCE).unwrap()
}

pub(crate) fn eventually(mut is: impl FnMut() -> bool) {
    let clock = io::Clock::start();
    let end = clock.mono().after(PATIENCE);
    while !is() {
        assert!(clock.mono() < end, "it does not come");
        std::thread::yield_now();
    }
}
