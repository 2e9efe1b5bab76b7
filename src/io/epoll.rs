//! The epoll driver: edge-triggered, one read of 64 KiB per event, send first and arm nothing, no epoll_ctl in the
//! hot path (design decision 2).
//!
//! Owns: the loop, the links, the outbox. Takes: a core and options. Gives: the core back when it says `Exit`.
//! Never: looks at octets, waits for anything but epoll.

use super::link::{Link, Moved, Phase};
use super::resolve::Resolver;
use super::{Clock, Options};
use crate::ids::LinkId;
use crate::limits::{ACCEPTS_PER_TURN, CLOSE_FLUSH, CLOSE_LINGER, READ_BUFFER};
use crate::shard::port::{Action, CloseHow, Connect, Core, Input, Outbox, Ticket};
use crate::time::{Duration, Instant, Now};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

/// Event data at and above this are no links.
const SPECIAL: u64 = u64::MAX - 1024;
const STOP: u64 = u64::MAX;
const RESOLVED: u64 = u64::MAX - 1;
const EVENTS: usize = 1024;

struct Loop<C> {
    core: C,
    out: Outbox,
    clock: Clock,
    now: Now,
    epoll: OwnedFd,
    options: Options,
    resolver: Resolver,
    links: Vec<Option<Link>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    ready: Vec<LinkId>,
    /// Ends of connects, flushes and lingers.
    timers: BinaryHeap<Reverse<(Instant, LinkId)>>,
    actions: Vec<Action>,
    exit: bool,
}

/// Runs `core` until it says `Exit` or the stop handle says so.
///
/// # Errors
/// epoll or a listener cannot be set up, or waiting fails.
pub fn run<C: Core>(core: C, options: Options) -> std::io::Result<C> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let resolver = Resolver::new()?;
    epoll::add(&epoll, options.stop.fd(), EventData::new_u64(STOP), EventFlags::IN)?;
    epoll::add(&epoll, resolver.fd(), EventData::new_u64(RESOLVED), EventFlags::IN)?;
    for (index, (_, listener)) in options.listeners.iter().enumerate() {
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, listener, EventData::new_u64(SPECIAL + index as u64), EventFlags::IN)?;
    }
    let clock = Clock::start();
    let mut state = Loop {
        core,
        out: Outbox::new(),
        now: clock.now(),
        clock,
        epoll,
        options,
        resolver,
        links: Vec::new(),
        generations: Vec::new(),
        free: Vec::new(),
        ready: Vec::new(),
        timers: BinaryHeap::new(),
        actions: Vec::new(),
        exit: false,
    };
    state.turns()?;
    Ok(state.core)
}

impl<C: Core> Loop<C> {
    fn turns(&mut self) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BUFFER];
        let mut spin = Spin::new(self.options.spin);
        self.input(Input::Time);
        self.finish_turn();
        while !self.exit && !self.options.stop.must_exit() {
            self.wait(&mut events, &mut spin)?;
            self.now = self.clock.now();
            for event in &events {
                self.on_event(event.data.u64(), event.flags, &mut buffer);
            }
            self.read_ready(&mut buffer);
            self.fire_timers();
            if self.core.deadline().is_some_and(|deadline| deadline <= self.now.mono) {
                self.input(Input::Time);
            }
            self.finish_turn();
        }
        Ok(())
    }

    fn input(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input, &mut self.out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = self.timers.peek().map(|Reverse((at, _))| *at);
        match (self.core.deadline(), own) {
            (Some(core), Some(own)) => Some(core.min(own)),
            (core, own) => core.or(own),
        }
    }

    fn wait(&mut self, events: &mut Vec<epoll::Event>, spin: &mut Spin) -> std::io::Result<()> {
        loop {
            events.clear();
            let deadline = self.next_deadline();
            let at_once = !self.ready.is_empty() || spin.wants_to_look();
            let timeout = if at_once { Some(Duration::ZERO) } else { deadline.map(|at| self.until(at)) };
            let timeout = timeout.and_then(|span| span.try_into().ok());
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mono = self.clock.mono();
            spin.looked(mono, !events.is_empty());
            let due = deadline.is_some_and(|at| at <= mono);
            if !events.is_empty() || !self.ready.is_empty() || due {
                return Ok(());
            }
        }
    }

    fn until(&self, at: Instant) -> Duration {
        at.since(self.clock.mono())
    }

    fn on_event(&mut self, data: u64, flags: EventFlags, buffer: &mut [u8]) {
        match data {
            STOP => {
                self.options.stop.clear();
                if self.options.stop.take_drain() {
                    self.input(Input::Drain);
                }
            }
            RESOLVED => self.take_resolved(),
            SPECIAL.. => self.accept((data - SPECIAL) as usize),
            link => {
                self.on_link(LinkId { slot: link as u32, generation: (link >> 32) as u32 }, flags, buffer)
            }
        }
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index()).and_then(Option::as_mut).filter(|link| link.id == id)
    }

    fn on_link(&mut self, id: LinkId, flags: EventFlags, buffer: &mut [u8]) {
        let Some(link) = self.link(id) else { return };
        if let Phase::Connecting(ticket, _) = link.phase {
            if flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
                self.on_connected(id, ticket);
            }
            return;
        }
        if flags.intersects(EventFlags::OUT) {
            self.write(id);
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::ERR | EventFlags::HUP) {
            let to_the_end = flags.intersects(EventFlags::RDHUP | EventFlags::ERR | EventFlags::HUP);
            self.read(id, to_the_end, buffer);
        }
    }

    fn read_ready(&mut self, buffer: &mut [u8]) {
        // Links that become ready during this pass wait for the next turn: a budget of one read each.
        for id in std::mem::take(&mut self.ready) {
            if let Some(link) = self.link(id)
                && link.ready
            {
                link.ready = false;
                self.read(id, false, buffer);
            }
        }
    }

    fn read(&mut self, id: LinkId, to_the_end: bool, buffer: &mut [u8]) {
        let Some(link) = self.link(id) else { return };
        if link.ready {
            return;
        }
        if link.paused {
            return;
        }
        let discard = !matches!(link.phase, Phase::Open);
        match link.read(buffer) {
            Moved::Octets(octets) => {
                if octets == buffer.len() || to_the_end {
                    link.ready = true;
                    self.ready.push(id);
                }
                if !discard {
                    let bytes = buffer.get(..octets).unwrap_or_default();
                    self.core.handle(self.now, Input::Bytes { link: id, bytes }, &mut self.out);
                }
            }
            Moved::Blocked => {}
            Moved::End => self.drop_link(id, "closed by the peer"),
            Moved::Failed(error) => self.drop_failed(id, error),
        }
    }

    fn drop_failed(&mut self, id: LinkId, error: Errno) {
        let reason = std::io::Error::from(error).to_string();
        self.drop_link(id, &reason);
    }

    /// Closes the socket, frees the slot, tells the core.
    fn drop_link(&mut self, id: LinkId, reason: &str) {
        let place = self.links.get_mut(id.index());
        let Some(link) = place.and_then(|place| place.take_if(|link| link.id == id)) else { return };
        self.out.closed(id);
        self.out.keep(link.sending);
        self.free.push(id.slot);
        match link.phase {
            Phase::Connecting(ticket, _) => self.input(Input::ConnectFailed { ticket, reason }),
            Phase::Open | Phase::Flushing(_) | Phase::Lingering(_) => {
                self.input(Input::Closed { link: id, reason });
            }
        }
    }

    fn add_link(&mut self, socket: OwnedFd, phase: Phase) -> Result<LinkId, Errno> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.links.push(None);
                self.generations.push(0);
                (self.links.len() - 1) as u32
            }
        };
        let generation = self.generations.get_mut(slot as usize).map_or(0, |generation| {
            // Bit 31 stays clear, so that no link is mistaken for a special event.
            *generation = (*generation + 1) & 0x7FFF_FFFF;
            *generation
        });
        let id = LinkId { slot, generation };
        let data = EventData::new_u64(u64::from(slot) | u64::from(generation) << 32);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &socket, data, flags) {
            self.free.push(slot);
            return Err(error);
        }
        if let Some(place) = self.links.get_mut(slot as usize) {
            *place = Some(Link::new(id, socket, phase));
        }
        Ok(id)
    }

    fn links_open(&self) -> usize {
        self.links.len() - self.free.len()
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((listener, socket)) = self.options.listeners.get(index) else { return };
            let listener = *listener;
            let Ok((socket, peer)) = socket.accept() else { return };
            if self.links_open() >= self.options.links_max as usize || socket.set_nonblocking(true).is_err() {
                continue;
            }
            if let Ok(link) = self.add_link(socket.into(), Phase::Open) {
                self.out.open(link);
                self.input(Input::Accepted { link, listener, peer });
            }
        }
    }

    fn take_resolved(&mut self) {
        while let Some((connect, found)) = self.resolver.take() {
            match found {
                Ok(address) => self.connect_to(&connect, address),
                Err(reason) => self.input(Input::ConnectFailed { ticket: connect.ticket, reason: &reason }),
            }
        }
    }

    fn connect(&mut self, connect: Connect) {
        if let Ok(address) = connect.address.parse() {
            return self.connect_to(&connect, address);
        }
        if let Err((connect, reason)) = self.resolver.ask(connect) {
            self.input(Input::ConnectFailed { ticket: connect.ticket, reason });
        }
    }

    fn connect_to(&mut self, connect: &Connect, address: SocketAddr) {
        let ticket = connect.ticket;
        let opened = open_socket(connect, address).and_then(|socket| {
            let until = self.now.mono.after(connect.timeout);
            let id = self.add_link(socket, Phase::Connecting(ticket, until))?;
            self.timers.push(Reverse((until, id)));
            Ok(())
        });
        if let Err(error) = opened {
            self.input(Input::ConnectFailed { ticket, reason: &error.to_string() });
        }
    }

    fn on_connected(&mut self, id: LinkId, ticket: Ticket) {
        let Some(link) = self.link(id) else { return };
        match rustix::net::sockopt::socket_error(link.socket.as_fd()) {
            Ok(Ok(())) => {
                link.phase = Phase::Open;
                link.ready = true;
                self.ready.push(id);
                self.out.open(id);
                self.input(Input::Connected { link: id, ticket });
            }
            Ok(Err(error)) | Err(error) => self.drop_failed(id, error),
        }
    }

    fn fire_timers(&mut self) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied()
            && at <= self.now.mono
        {
            self.timers.pop();
            let Some(link) = self.link(id) else { continue };
            match link.phase {
                Phase::Connecting(_, until) if until <= at => self.drop_link(id, "connect timed out"),
                Phase::Flushing(until) if until <= at => self.drop_link(id, "closed, output not taken"),
                Phase::Lingering(until) if until <= at => self.drop_link(id, "closed"),
                Phase::Connecting(..) | Phase::Flushing(_) | Phase::Lingering(_) | Phase::Open => {}
            }
        }
    }

    /// One write per dirty link, then what the core asked for, until neither gives more of the other.
    fn finish_turn(&mut self) {
        loop {
            while let Some((id, buffer)) = self.out.take_dirty() {
                self.send(id, buffer);
            }
            let mut actions = std::mem::take(&mut self.actions);
            self.out.take_actions(&mut actions);
            let idle = actions.is_empty();
            for action in actions.drain(..) {
                self.act(action);
            }
            self.actions = actions;
            if idle {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(connect) => self.connect(connect),
            Action::Close(id, CloseHow::Now) => self.drop_link(id, "closed"),
            Action::Close(id, CloseHow::AfterFlush) => self.close_after_flush(id),
            Action::Pause(id) => {
                if let Some(link) = self.link(id) {
                    link.paused = true;
                }
            }
            Action::Resume(id) => {
                if let Some(link) = self.link(id)
                    && link.paused
                {
                    link.paused = false;
                    if !link.ready {
                        link.ready = true;
                        self.ready.push(id);
                    }
                }
            }
            Action::Log(event) => (self.options.log)(&event),
            Action::Exit => self.exit = true,
        }
    }

    fn close_after_flush(&mut self, id: LinkId) {
        // What the core appended in this turn goes out first.
        while let Some((dirty, buffer)) = self.out.take_dirty() {
            self.send(dirty, buffer);
        }
        let until = self.now.mono.after(CLOSE_FLUSH);
        let Some(link) = self.link(id) else { return };
        if !matches!(link.phase, Phase::Open) {
            return;
        }
        link.paused = false;
        link.phase = Phase::Flushing(until);
        if link.is_written() {
            self.linger(id);
        } else {
            self.timers.push(Reverse((until, id)));
        }
    }

    /// Half-closes and reads on until the peer's end: closing with unread input would reset the link and with it the
    /// answer that was just written.
    fn linger(&mut self, id: LinkId) {
        let until = self.now.mono.after(CLOSE_LINGER);
        let Some(link) = self.link(id) else { return };
        link.phase = Phase::Lingering(until);
        if !link.ready {
            link.ready = true;
            self.ready.push(id);
        }
        match self.link(id).map(|link| rustix::net::shutdown(&link.socket, rustix::net::Shutdown::Write)) {
            Some(Err(error)) => self.drop_failed(id, error),
            Some(Ok(())) | None => self.timers.push(Reverse((until, id))),
        }
    }

    fn send(&mut self, id: LinkId, buffer: Vec<u8>) {
        let Some(link) = self.link(id) else { return self.out.keep(buffer) };
        if link.is_written() {
            let former = std::mem::replace(&mut link.sending, buffer);
            link.sent = 0;
            self.out.keep(former);
            self.write(id);
        } else {
            // The socket is full; EPOLLOUT will come.
            link.sending.extend_from_slice(&buffer);
            self.out.keep(buffer);
        }
    }

    fn write(&mut self, id: LinkId) {
        let Some(link) = self.link(id) else { return };
        if link.is_written() {
            return;
        }
        match link.write() {
            Moved::Octets(octets) => {
                let room = self.out.flushed(id, octets);
                self.after_write(id);
                if room {
                    self.input(Input::Room { link: id });
                }
            }
            Moved::Blocked | Moved::End => {}
            Moved::Failed(error) => self.drop_failed(id, error),
        }
    }

    fn after_write(&mut self, id: LinkId) {
        let Some(link) = self.link(id) else { return };
        if !link.is_written() {
            // What was sent is dropped from the front once it outweighs the rest: a slow reader costs no growth.
            if link.sent > link.sending.len() / 2 {
                link.sending.drain(..link.sent);
                link.sent = 0;
            }
            return;
        }
        let written = std::mem::take(&mut link.sending);
        link.sent = 0;
        let closing = matches!(link.phase, Phase::Flushing(_));
        self.out.keep(written);
        if closing {
            self.linger(id);
        }
    }
}

fn open_socket(connect: &Connect, address: SocketAddr) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if !connect.user_timeout.is_zero() {
        let millis = u32::try_from(connect.user_timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&socket, millis)?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Adaptive spin: looks for work for a while before sleeping, but only when the last waits were short enough for
/// that to have paid (reference measurement: 143 → 50 µs p50 at 1 × 1).
struct Spin {
    longest: Duration,
    idle_since: Option<Instant>,
    worthwhile: bool,
    look: bool,
}

impl Spin {
    fn new(longest: Duration) -> Self {
        Self { longest, idle_since: None, worthwhile: true, look: !longest.is_zero() }
    }

    fn wants_to_look(&self) -> bool {
        self.look
    }

    fn looked(&mut self, mono: Instant, found: bool) {
        if self.longest.is_zero() {
            return;
        }
        if found {
            let waited = self.idle_since.take().map_or(Duration::ZERO, |since| mono.since(since));
            self.worthwhile = waited < self.longest;
            self.look = true;
            return;
        }
        let since = *self.idle_since.get_or_insert(mono);
        self.look = self.worthwhile && mono.since(since) < self.longest;
    }
}
