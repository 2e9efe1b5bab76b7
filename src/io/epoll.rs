//! The epoll driver: edge-triggered, one read of 64 KiB per event, send first and arm nothing, no epoll_ctl in the
//! hot path (design decision 2).
//!
//! Owns: the epoll, the listeners, one read buffer, output that a socket has not taken. Takes: links. Gives: what
//! happened on them. Never: waits for anything but epoll.

use super::Stop;
use super::link::{Link, Links, Phase};
use super::mover::{Happened, Mover, Taken};
use super::resolve::Resolver;
use crate::ids::{LinkId, ListenerId};
use crate::limits::{ACCEPTS_PER_TURN, READ_BUFFER};
use crate::shard::port::Outbox;
use crate::time::Duration;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::net::TcpListener;
use std::os::fd::OwnedFd;

/// Event data at and above this are no links.
const SPECIAL: u64 = u64::MAX - 1024;
const STOP: u64 = u64::MAX;
const RESOLVED: u64 = u64::MAX - 1;
const EVENTS: usize = 1024;
/// What says that the peer's end is near: an edge that does not come twice.
const ENDS: EventFlags = EventFlags::RDHUP.union(EventFlags::ERR).union(EventFlags::HUP);

pub(super) struct Epoll {
    epoll: OwnedFd,
    listeners: Vec<(ListenerId, TcpListener)>,
    events: Vec<epoll::Event>,
    /// The event under way, and how far.
    at: usize,
    written: bool,
    accepted: usize,
    /// Given up for a moment when there is no descriptor left, to close what waits at the door.
    reserve: Option<OwnedFd>,
    buffer: Vec<u8>,
}

/// Output that the socket has not taken, from `sent` on.
#[derive(Debug, Default)]
pub(super) struct Line {
    sending: Vec<u8>,
    sent: usize,
    /// Read until nothing is left: the peer's end was seen, and no edge will tell of it again.
    to_the_end: bool,
}

/// What a step of an event came to; octets read are in the buffer.
enum Step {
    Connected,
    Sent(Result<usize, Errno>),
    Read(Result<usize, Errno>, bool),
    Nothing,
}

fn data_of(id: LinkId) -> EventData {
    EventData::new_u64(u64::from(id.slot) | u64::from(id.generation) << 32)
}

impl Epoll {
    pub(super) fn open(
        listeners: Vec<(ListenerId, TcpListener)>,
        stop: &Stop,
        resolver: &Resolver,
    ) -> std::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, stop.fd(), EventData::new_u64(STOP), EventFlags::IN)?;
        epoll::add(&epoll, resolver.fd(), EventData::new_u64(RESOLVED), EventFlags::IN)?;
        for (index, (_, listener)) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, listener, EventData::new_u64(SPECIAL + index as u64), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            listeners,
            events: Vec::with_capacity(EVENTS),
            at: 0,
            written: false,
            accepted: 0,
            reserve: reserve(),
            buffer: vec![0; READ_BUFFER],
        })
    }

    fn event_done(&mut self) {
        self.at += 1;
        self.written = false;
        self.accepted = 0;
    }

    fn accept(&mut self, index: usize) -> Option<Happened<'static>> {
        while self.accepted < ACCEPTS_PER_TURN {
            self.accepted += 1;
            let (listener, socket) = self.listeners.get(index)?;
            let (socket, peer) = match socket.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    if is_out_of_descriptors(&error) {
                        turn_away(&mut self.reserve, socket);
                    }
                    return None;
                }
            };
            if socket.set_nonblocking(true).is_ok() {
                return Some(Happened::Accepted { listener: *listener, socket: socket.into(), peer });
            }
        }
        None
    }

    /// One step of a link's event: write first, then read.
    fn step(&mut self, links: &mut Links<Line>, out: &mut Outbox, (id, flags): (LinkId, EventFlags)) -> Step {
        let Some(link) = links.live(id) else {
            self.event_done();
            return Step::Nothing;
        };
        if matches!(link.phase, Phase::Connecting(..)) {
            self.event_done();
            let ended = flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP);
            return if ended { Step::Connected } else { Step::Nothing };
        }
        if !self.written {
            self.written = true;
            if flags.intersects(EventFlags::OUT) && !link.line.sending.is_empty() {
                return Step::Sent(write(link, out));
            }
        }
        self.event_done();
        link.line.to_the_end |= flags.intersects(ENDS);
        let reads = flags.intersects(EventFlags::IN | ENDS);
        if !reads || link.ready || link.paused || matches!(link.phase, Phase::Ending(_) | Phase::Leaving(_)) {
            return Step::Nothing;
        }
        Step::Read(receive(link, &mut self.buffer), link.line.to_the_end)
    }

    fn taken(&self, read: Result<usize, Errno>, to_the_end: bool) -> Taken<'_> {
        match read {
            Ok(0) => Taken::End,
            Ok(octets) => Taken::Bytes {
                bytes: self.buffer.get(..octets).unwrap_or_default(),
                again: octets == self.buffer.len() || to_the_end,
            },
            Err(Errno::AGAIN) => Taken::Nothing,
            Err(error) => Taken::Failed(error),
        }
    }
}

impl Mover for Epoll {
    type Line = Line;
    const NAME: &'static str = "epoll";

    fn add(&mut self, link: &mut Link<Line>) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &link.socket, data_of(link.id), flags)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.events.clear();
        self.at = 0;
        let timeout = timeout.and_then(|span| span.try_into().ok());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(!self.events.is_empty()),
            Err(error) => Err(error.into()),
        }
    }

    fn next(&mut self, links: &mut Links<Line>, out: &mut Outbox) -> Option<Happened<'_>> {
        while let Some(event) = self.events.get(self.at) {
            let (data, flags) = (event.data.u64(), event.flags);
            match data {
                STOP => {
                    self.event_done();
                    return Some(Happened::Woken);
                }
                RESOLVED => {
                    self.event_done();
                    return Some(Happened::Resolved);
                }
                SPECIAL.. => match self.accept((data - SPECIAL) as usize) {
                    Some(accepted) => return Some(accepted),
                    None => self.event_done(),
                },
                link => {
                    let id = LinkId { slot: link as u32, generation: (link >> 32) as u32 };
                    match self.step(links, out, (id, flags)) {
                        Step::Connected => return Some(Happened::Connected(id)),
                        Step::Sent(sent) => return Some(Happened::Sent(id, sent)),
                        Step::Read(read, end) => return Some(Happened::Taken(id, self.taken(read, end))),
                        Step::Nothing => {}
                    }
                }
            }
        }
        None
    }

    fn read<'a>(&'a mut self, link: &'a mut Link<Line>) -> Taken<'a> {
        let read = receive(link, &mut self.buffer);
        self.taken(read, link.line.to_the_end)
    }

    fn pause(&mut self, _: &mut Link<Line>) {}

    fn send(&mut self, link: &mut Link<Line>, buffer: Vec<u8>, out: &mut Outbox) -> Result<usize, Errno> {
        if link.line.sending.is_empty() {
            link.line.sending = buffer;
            return write(link, out);
        }
        // The socket is full; EPOLLOUT will come.
        link.line.sending.extend_from_slice(&buffer);
        out.keep(buffer);
        Ok(0)
    }

    fn close(&mut self, _: &mut Link<Line>) -> bool {
        true
    }

    fn leave(&mut self, link: &mut Link<Line>) -> Result<bool, Errno> {
        if !link.line.sending.is_empty() {
            return Ok(false); // the set tells when there is room
        }
        epoll::delete(&self.epoll, &link.socket).map(|()| true)
    }

    fn unread(_: &Line) -> &[u8] {
        &[] // what was not read is still in the socket
    }

    fn left(line: Line) -> Vec<u8> {
        line.sending
    }
}

fn receive(link: &Link<Line>, buffer: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| rustix::net::recv(&link.socket, &mut *buffer, RecvFlags::DONTWAIT))
        .map(|(octets, _)| octets)
}

/// Writes what is waiting, as much as the socket takes.
fn write(link: &mut Link<Line>, out: &mut Outbox) -> Result<usize, Errno> {
    let Link { line, socket, .. } = link;
    let mut total = 0;
    while let Some(rest) = line.sending.get(line.sent..)
        && !rest.is_empty()
    {
        match rustix::net::send(&*socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(octets) => {
                line.sent += octets;
                total += octets;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error),
        }
    }
    if line.sent == line.sending.len() {
        line.sent = 0;
        out.keep(std::mem::take(&mut line.sending));
    } else if line.sent > line.sending.len() / 2 {
        // What was sent is dropped from the front once it outweighs the rest: a slow reader costs no growth.
        line.sending.drain(..line.sent);
        line.sent = 0;
    }
    Ok(total)
}

fn reserve() -> Option<OwnedFd> {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).ok()
}

fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Accepts one connection on the reserve descriptor and closes it: a peer that cannot be served is told so, and a
/// listener that stays readable does not keep the loop busy.
fn turn_away(reserve_held: &mut Option<OwnedFd>, listener: &TcpListener) {
    *reserve_held = None;
    // Whether somebody still waits does not matter: the descriptor is free again either way.
    drop(listener.accept());
    *reserve_held = reserve();
}
