//! A core made of a closure, run on a thread of its own.

use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::io::{self, Driver, Lanes, Options, Stop, StopHandle};
use bindery::shard::mail::Parcel;
use bindery::shard::port::{Action, CloseHow, Core, Event, Input, Outbox};
use bindery::time::{Duration, Instant, Now};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;

/// Longer than any test takes; a hang ends here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One input and what may be done about it.
pub(crate) struct Act<'a, 'i> {
    pub(crate) now: Now,
    pub(crate) input: Input<'i>,
    pub(crate) out: &'a mut Outbox,
    pub(crate) deadline: &'a mut Option<Instant>,
    links: &'a mut Vec<LinkId>,
}

impl Act<'_, '_> {
    /// Gives a link with what was read of it to another core: it is not heard of again.
    pub(crate) fn hand_over(&mut self, link: LinkId, to: u32, unread: &[u8]) {
        self.links.retain(|open| *open != link);
        let peer = "192.0.2.1:7".parse().unwrap();
        let unread = unread.to_vec();
        let parcel = Parcel { listener: ListenerId(3), peer, accepted: self.now.mono, unread };
        self.out.act(Action::HandOver { link, to: ShardId(to), parcel });
    }
}

/// What a core does with an input.
pub(crate) trait Acts: Send + 'static {
    fn act(&mut self, act: &mut Act<'_, '_>);
    /// Sees the counts before the core goes to its thread.
    fn share(&mut self, _: &Counts) {}
}

impl Acts for Box<dyn Acts> {
    fn act(&mut self, act: &mut Act<'_, '_>) {
        (**self).act(act);
    }
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
    links: Vec<LinkId>,
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
            Input::Connected { link, .. } | Input::HandedOver { link, .. } => self.links.push(link),
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
            Input::Time | Input::ConnectFailed { .. } | Input::Ask { .. } | Input::Mail { .. } => {}
        }
        let (deadline, links) = (&mut self.deadline, &mut self.links);
        self.acts.act(&mut Act { now, input, out, deadline, links });
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
    thread: JoinHandle<()>,
    /// Goes with the thread.
    ended: Receiver<()>,
    counts: Counts,
}

pub(crate) fn options(driver: Driver) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let log = Box::new(|_: &Event| {});
    let (listeners, spin) = (Vec::new(), Duration::from_micros(50));
    (Options { driver, listeners, spin, links_max: 10_000, log, stop, lanes: None }, handle)
}

impl Running {
    pub(crate) fn start(driver: Driver, acts: impl Acts) -> Self {
        Self::start_with(driver, acts, |_| {})
    }

    pub(crate) fn start_with(driver: Driver, acts: impl Acts, change: fn(&mut Options)) -> Self {
        let (mut options, stop) = options(driver);
        change(&mut options);
        Self::start_on(options, stop, acts)
    }

    /// Cores of one node: they have lanes of so many slots between them.
    pub(crate) fn start_together(
        driver: Driver,
        slots: usize,
        acts: Vec<Box<dyn Acts>>,
        change: fn(u32, &mut Options),
    ) -> Vec<Self> {
        let (options, handles): (Vec<_>, Vec<_>) = acts.iter().map(|_| options(driver)).unzip();
        let lanes = Lanes::with_slots(&handles, slots);
        let each = acts.into_iter().zip(options).zip(handles).zip(lanes).zip(0..);
        each.map(|((((acts, mut options), stop), lanes), index)| {
            options.lanes = Some(lanes);
            change(index, &mut options);
            Self::start_on(options, stop, acts)
        })
        .collect()
    }

    fn start_on(mut options: Options, stop: StopHandle, mut acts: impl Acts) -> Self {
        let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        options.listeners.push((ListenerId(0), listener));
        let counts = Counts::default();
        acts.share(&counts);
        let script =
            Script { acts, deadline: None, links: Vec::new(), draining: false, counts: counts.clone() };
        let (alive, ended) = channel();
        let thread = std::thread::spawn(move || {
            let _alive = alive;
            io::run(script, options).map(drop).unwrap();
        });
        Self { address, stop, thread, ended, counts }
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
        self.end();
    }

    /// Waits for the loop's end, however it was told.
    pub(crate) fn end(self) {
        let over = self.ended.recv_timeout(PATIENCE);
        assert_eq!(over, Err(RecvTimeoutError::Disconnected), "the loop does not end");
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
