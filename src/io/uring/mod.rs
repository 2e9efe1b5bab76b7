//! The io_uring driver: one enter per turn that submits and waits, multishot accepts and receives into a ring of
//! buffers that are read in place, one send in flight per link while the next output grows (design decision 2).
//!
//! Owns: the ring, the listeners. Takes: links. Gives: what happened on them. Never: lets a link go while a request
//! of it is under way.

mod pool;
mod ring;

use super::Stop;
use super::link::{Link, Links, Phase};
use super::mover::{Happened, Mover, Taken};
use super::resolve::Resolver;
use crate::ids::{LinkId, ListenerId};
use crate::limits::READ_BUFFER;
use crate::shard::port::Outbox;
use crate::time::Duration;
use ring::{Completion, Kind, Ring};
use rustix::io::Errno;
use std::net::{TcpListener, TcpStream};
#[cfg(feature = "glommio")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, OwnedFd};

const _: () = assert!(pool::BUFFER <= READ_BUFFER, "one buffer fits in the budget of a turn");

pub(super) struct Uring {
    ring: Ring,
    listeners: Vec<(ListenerId, TcpListener)>,
    /// The descriptors that wake the loop: of the stop handle and of the resolver.
    wakes: [(Kind, OwnedFd); 2],
    /// Counts turns, so that the budget of a link needs no reset.
    turn: u64,
}

/// What is under way on a link, and what came while nobody wanted it.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// A receive is armed, and whether it was told to end.
    armed: bool,
    cancelled: bool,
    connecting: bool,
    flying: bool,
    /// It goes to another shard: nothing is armed, what comes is held.
    leaving: bool,
    /// Output that waits for the one in flight.
    waiting: Vec<u8>,
    /// Octets that came while the link was paused or over its budget, from `given` on. At most what the pool holds:
    /// the receive is told to end with the first of them.
    held: Vec<u8>,
    given: usize,
    /// The stream's end, after what is held.
    ended: Option<Result<(), Errno>>,
    turn: u64,
    /// Octets given in that turn.
    taken: usize,
}

impl Line {
    const fn idle(&self) -> bool {
        !self.armed && !self.connecting && !self.flying
    }
}

/// What became of a completion.
enum Step {
    /// So many octets in this buffer are the link's.
    Bytes(u16, usize),
    Happened(Happened<'static>),
    Nothing,
}

/// Arms the receive of a link that wants one and has none.
fn arm(ring: &mut Ring, link: &mut Link<Line>) {
    let line = &mut link.line;
    let connecting = matches!(link.phase, Phase::Connecting(..));
    let stopped = line.leaving || line.ended.is_some() || link.paused;
    if line.armed || stopped || !line.held.is_empty() || connecting {
        return;
    }
    line.armed = true;
    line.cancelled = false;
    ring.receive(link.socket.as_fd(), link.id);
}

/// Tells the receive of a link to end.
fn disarm(ring: &mut Ring, link: &mut Link<Line>) {
    if link.line.armed && !link.line.cancelled {
        link.line.cancelled = true;
        ring.cancel(Kind::Receive, link.id);
    }
}

fn idle(id: LinkId, line: &Line) -> Step {
    if line.idle() { Step::Happened(Happened::Idle(id)) } else { Step::Nothing }
}

/// Tells of the last thing that was read on a link that leaves.
fn left(id: LinkId, line: &Line) -> Step {
    if line.leaving && !line.armed { Step::Happened(Happened::Idle(id)) } else { Step::Nothing }
}

impl Uring {
    /// Shows that so many rings work here at once, and `beside` while they are there; or why not.
    pub(super) fn probe<T>(rings: usize, beside: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<()> {
        let rings = (0..rings).map(|_| Ring::open()).collect::<std::io::Result<Vec<Ring>>>()?;
        let beside = beside().map(drop);
        drop(rings);
        beside
    }

    pub(super) fn open(
        listeners: &[(ListenerId, TcpListener)],
        stop: &Stop,
        resolver: &Resolver,
    ) -> std::io::Result<Self> {
        let wakes = [
            (Kind::Stop, stop.fd().try_clone_to_owned()?),
            (Kind::Resolved, resolver.fd().try_clone_to_owned()?),
        ];
        let ring = Ring::open()?;
        let cloned: std::io::Result<Vec<_>> =
            listeners.iter().map(|(id, listener)| Ok((*id, listener.try_clone()?))).collect();
        let mut uring = Self { ring, listeners: cloned?, wakes, turn: 0 };
        uring.start()?;
        Ok(uring)
    }

    fn start(&mut self) -> std::io::Result<()> {
        for (index, (_, listener)) in self.listeners.iter().enumerate() {
            // The ring waits for a socket that would block, and fails on one that must not.
            listener.set_nonblocking(false)?;
            self.ring.accept(listener.as_fd(), index as u32);
        }
        for (kind, fd) in &self.wakes {
            self.ring.watch(fd.as_fd(), *kind);
        }
        Ok(())
    }

    /// Hands over what is queued before a sleep elsewhere; true when that must not be, since there is something already.
    /// Otherwise `fd`, an eventfd, is written to when something comes, and no later than after `timeout`.
    #[cfg(feature = "glommio")]
    pub(super) fn doze(&mut self, fd: BorrowedFd<'_>, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.turn += 1;
        self.ring.doze(fd, timeout)
    }

    /// The sleep has ended.
    #[cfg(feature = "glommio")]
    pub(super) fn awake(&mut self) -> std::io::Result<()> {
        self.ring.awake()
    }

    fn woken(&mut self, done: Completion) -> Step {
        if !done.more
            && let Some((_, fd)) = self.wakes.iter().find(|(kind, _)| *kind == done.kind)
        {
            self.ring.watch(fd.as_fd(), done.kind);
        }
        let resolved = done.kind == Kind::Resolved;
        Step::Happened(if resolved { Happened::Resolved } else { Happened::Woken })
    }

    fn accepted(&mut self, done: Completion) -> Step {
        let Some((listener, socket)) = self.listeners.get(done.id.index()) else { return Step::Nothing };
        let came = done.result.map(|fd| TcpStream::from(ring::accepted(fd)));
        if !done.more {
            match done.result {
                Ok(_) | Err(Errno::CONNABORTED | Errno::INTR) => {
                    self.ring.accept(socket.as_fd(), done.id.slot)
                }
                // Out of descriptors or memory: it would fail again at once.
                Err(_) => self.ring.accept_again(done.id.slot),
            }
        }
        // A peer that is gone already has no address, and needs no link.
        let Some((socket, peer)) = came.ok().and_then(|came| came.peer_addr().ok().map(|peer| (came, peer)))
        else {
            return Step::Nothing;
        };
        Step::Happened(Happened::Accepted { listener: *listener, socket: socket.into(), peer })
    }

    fn connected(links: &mut Links<Line>, done: Completion) -> Step {
        let Some(link) = links.get(done.id) else { return Step::Nothing };
        link.line.connecting = false;
        if link.closing.is_some() {
            return idle(done.id, &link.line);
        }
        // From now on the ring waits for the socket.
        match rustix::io::ioctl_fionbio(&link.socket, false) {
            Ok(()) => Step::Happened(Happened::Connected(done.id)),
            Err(error) => Step::Happened(Happened::Taken(done.id, Taken::Failed(error))),
        }
    }

    fn received(&mut self, links: &mut Links<Line>, done: Completion) -> Step {
        if let Some(buffer) = done.buffer {
            self.ring.give(buffer);
        }
        let turn = self.turn;
        let Some(link) = links.get(done.id) else { return Step::Nothing };
        link.line.armed = done.more;
        if link.closing.is_some() {
            return idle(done.id, &link.line);
        }
        if link.line.turn != turn {
            link.line.turn = turn;
            link.line.taken = 0;
        }
        let octets = match (done.result, done.buffer) {
            (Ok(octets), Some(buffer)) if octets > 0 => (buffer, octets as usize),
            // The buffers are back by the next enter; a receive that was told to end may be wanted again.
            (Err(Errno::NOBUFS | Errno::CANCELED | Errno::INTR | Errno::AGAIN), _) => {
                arm(&mut self.ring, link);
                return left(done.id, &link.line);
            }
            (result, _) => {
                link.line.ended = Some(result.map(|_| ()));
                let step = left(done.id, &link.line);
                links.mark_ready(done.id);
                return step;
            }
        };
        let over = link.line.taken + octets.1 > READ_BUFFER;
        if link.paused || over || link.line.leaving || !link.line.held.is_empty() {
            link.line.held.extend_from_slice(self.ring.octets(octets.0, octets.1));
            disarm(&mut self.ring, link);
            let step = left(done.id, &link.line);
            links.mark_ready(done.id);
            return step;
        }
        link.line.taken += octets.1;
        arm(&mut self.ring, link);
        Step::Bytes(octets.0, octets.1)
    }

    fn sent(&mut self, links: &mut Links<Line>, out: &mut Outbox, done: Completion) -> Step {
        let id = done.id;
        let Some(link) = links.get(id) else { return Step::Nothing };
        link.line.flying = false;
        if link.closing.is_some() {
            out.keep(self.ring.landed(id));
            return idle(id, &link.line);
        }
        let octets = match done.result {
            Ok(octets) if octets > 0 => octets,
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Ok(_) | Err(_) => {
                out.keep(self.ring.landed(id));
                let error = done.result.err().unwrap_or(Errno::PIPE);
                return Step::Happened(Happened::Sent(id, Err(error)));
            }
        };
        match self.ring.sent(id, octets) {
            None => {
                link.line.flying = true;
                self.ring.send_rest(link.socket.as_fd(), id);
            }
            Some(buffer) => {
                out.keep(buffer);
                if !link.line.waiting.is_empty() {
                    link.line.flying = true;
                    let buffer = std::mem::take(&mut link.line.waiting);
                    self.ring.send(link.socket.as_fd(), id, buffer);
                }
            }
        }
        Step::Happened(Happened::Sent(id, Ok(octets as usize)))
    }

    fn step(&mut self, links: &mut Links<Line>, out: &mut Outbox, done: Completion) -> Step {
        match done.kind {
            Kind::Receive => self.received(links, done),
            Kind::Send => self.sent(links, out, done),
            Kind::Connect => Self::connected(links, done),
            Kind::Accept => self.accepted(done),
            Kind::AcceptAgain => {
                if let Some((_, listener)) = self.listeners.get(done.id.index()) {
                    self.ring.accept(listener.as_fd(), done.id.slot);
                }
                Step::Nothing
            }
            Kind::Stop | Kind::Resolved => self.woken(done),
            Kind::Other | Kind::Alarm => Step::Nothing,
        }
    }
}

impl Mover for Uring {
    type Line = Line;
    const NAME: &'static str = "io_uring";

    fn add(&mut self, link: &mut Link<Line>) -> Result<(), Errno> {
        if matches!(link.phase, Phase::Connecting(..)) {
            link.line.connecting = true;
            self.ring.writable(link.socket.as_fd(), link.id);
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.turn += 1;
        self.ring.wait(timeout)
    }

    fn next(&mut self, links: &mut Links<Line>, out: &mut Outbox) -> Option<Happened<'_>> {
        while let Some(done) = self.ring.next() {
            match self.step(links, out, done) {
                Step::Bytes(buffer, length) => {
                    let bytes = self.ring.octets(buffer, length);
                    return Some(Happened::Taken(done.id, Taken::Bytes { bytes, again: false }));
                }
                Step::Happened(happened) => return Some(happened),
                Step::Nothing => {}
            }
        }
        None
    }

    fn read<'a>(&'a mut self, link: &'a mut Link<Line>) -> Taken<'a> {
        let from = link.line.given;
        if from < link.line.held.len() {
            link.line.given = link.line.held.len().min(from + READ_BUFFER);
            let bytes = link.line.held.get(from..link.line.given).unwrap_or_default();
            return Taken::Bytes { bytes, again: true };
        }
        link.line.given = 0;
        // An idle link holds no buffer.
        link.line.held = Vec::new();
        match link.line.ended {
            Some(Ok(())) => Taken::End,
            Some(Err(error)) => Taken::Failed(error),
            None => {
                arm(&mut self.ring, link);
                Taken::Nothing
            }
        }
    }

    fn pause(&mut self, link: &mut Link<Line>) {
        disarm(&mut self.ring, link);
    }

    fn send(&mut self, link: &mut Link<Line>, buffer: Vec<u8>, out: &mut Outbox) -> Result<usize, Errno> {
        if link.line.flying {
            if link.line.waiting.is_empty() {
                link.line.waiting = buffer;
            } else {
                link.line.waiting.extend_from_slice(&buffer);
                out.keep(buffer);
            }
            return Ok(0);
        }
        link.line.flying = true;
        self.ring.send(link.socket.as_fd(), link.id, buffer);
        Ok(0)
    }

    fn close(&mut self, link: &mut Link<Line>) -> bool {
        disarm(&mut self.ring, link);
        for (kind, under_way) in [(Kind::Send, link.line.flying), (Kind::Connect, link.line.connecting)] {
            if under_way {
                self.ring.cancel(kind, link.id);
            }
        }
        link.line.idle()
    }

    fn leave(&mut self, link: &mut Link<Line>) -> Result<bool, Errno> {
        link.line.leaving = true;
        disarm(&mut self.ring, link);
        Ok(link.line.idle())
    }

    fn unread(line: &Line) -> &[u8] {
        line.held.get(line.given..).unwrap_or_default()
    }

    fn left(line: Line) -> Vec<u8> {
        line.waiting
    }
}
