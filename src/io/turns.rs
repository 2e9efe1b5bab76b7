//! The loop that runs a core, the same over every driver.
//!
//! Owns: the core while it runs, the links, the outbox, the timers of links. Takes: what the driver says has
//! happened, posts of other shards. Gives: the core its inputs; the driver what is to be sent, closed, paused; other
//! shards letters and links. Never: looks at octets.
//!
//! A link that the core hands over is heard of no more from that moment on: what is still read of it goes behind the
//! parcel, what is still to be written is written, and then its socket goes by lane. One that cannot go is closed, and
//! the core learns by `Mail::LinkGone` what the other shard would have told it.

use super::lanes::Post;
use super::link::{Leaving, Link, Links, Phase};
use super::mover::{Happened, Mover, Taken};
use super::resolve::Resolver;
use super::spin::Spin;
use super::{Clock, Lanes, Options};
use crate::ids::{LinkId, ListenerId, ShardId};
use crate::limits::{CLOSE_FLUSH, CLOSE_LINGER};
use crate::shard::mail::{Mail, Parcel};
use crate::shard::port::{Action, CloseHow, Connect, Core, Input, Outbox, Ticket, Way};
use crate::time::{Duration, Instant, Now};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

const BY_PEER: &str = "closed by the peer";

pub(super) struct Turns<C, M: Mover> {
    core: C,
    mover: M,
    links: Links<M::Line>,
    out: Outbox,
    clock: Clock,
    now: Now,
    options: Options,
    resolver: Resolver,
    /// The links of the pass over the ready ones.
    passing: Vec<LinkId>,
    /// Ends of connects, flushes and lingers.
    timers: BinaryHeap<Reverse<(Instant, LinkId)>>,
    /// What the core wants done at the end of the turn; what it has just asked for; what is being done.
    actions: Vec<Action>,
    fresh: Vec<Action>,
    doing: Vec<Action>,
    /// The core has heard something since the outputs were last taken.
    heard: bool,
    /// It has heard something since the loop last waited.
    worked: bool,
    /// Links that leave and may have nothing under way any more.
    departing: Vec<LinkId>,
    posts: Vec<(ShardId, Post)>,
    mails: Vec<(ShardId, Mail)>,
    spin: Spin,
    exit: bool,
}

/// One wait of the driver, and what the loop goes by after it.
pub(super) struct Wait {
    /// The longest; zero: it only looks; `None`: until something happens.
    pub(super) timeout: Option<Duration>,
    begun: Instant,
    deadline: Option<Instant>,
    /// Work is there whatever the driver finds.
    ready: bool,
    at_once: bool,
}

/// Runs a core until it says `Exit` or the stop handle says so; its waits block the thread.
pub(super) fn run<C: Core, M: Mover>(mut turns: Turns<C, M>) -> std::io::Result<C> {
    turns.begin();
    while !turns.is_over() {
        let mut next = Some(turns.rest());
        while let Some(wait) = next {
            let found = turns.mover.wait(wait.timeout)?;
            next = turns.waited(&wait, found);
        }
        turns.turn();
    }
    Ok(turns.core)
}

impl<C: Core, M: Mover> Turns<C, M> {
    pub(super) fn new(core: C, mover: M, resolver: Resolver, options: Options) -> Self {
        let clock = options.lanes.as_ref().map_or_else(Clock::start, Lanes::clock);
        Self {
            core,
            mover,
            links: Links::new(),
            out: Outbox::new(),
            now: clock.now(),
            clock,
            spin: Spin::new(options.spin),
            options,
            resolver,
            passing: Vec::new(),
            timers: BinaryHeap::new(),
            actions: Vec::new(),
            fresh: Vec::new(),
            doing: Vec::new(),
            heard: false,
            worked: false,
            departing: Vec::new(),
            posts: Vec::new(),
            mails: Vec::new(),
            exit: false,
        }
    }

    /// The first thing that the core hears.
    pub(super) fn begin(&mut self) {
        self.input(Input::Time);
        self.finish_turn();
    }

    /// Its driver, to wait with.
    #[cfg(feature = "glommio")]
    pub(super) const fn mover(&mut self) -> &mut M {
        &mut self.mover
    }

    /// The core, when there is no further turn.
    #[cfg(feature = "glommio")]
    pub(super) fn into_core(self) -> C {
        self.core
    }

    /// True when there is no further turn.
    pub(super) fn is_over(&self) -> bool {
        self.exit || self.options.stop.must_exit()
    }

    /// One turn: everything that the waits before it have found.
    pub(super) fn turn(&mut self) {
        self.now = self.clock.now();
        self.take_happened();
        self.read_ready();
        self.take_posts();
        self.fire_timers();
        if self.core.deadline().is_some_and(|deadline| deadline <= self.now.mono) {
            self.input(Input::Time);
        }
        self.finish_turn();
    }

    fn input(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input, &mut self.out);
        self.heard = true;
        self.worked = true;
        self.collect();
    }

    /// Takes what the core wants done. A link that it hands over is not heard of again, not even in this turn.
    fn collect(&mut self) {
        self.out.take_actions(&mut self.fresh);
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for action in fresh.drain(..) {
            match action {
                Action::HandOver { link, to, parcel } => self.leave(link, to, parcel),
                other => self.actions.push(other),
            }
        }
        self.fresh = fresh;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = self.timers.peek().map(|Reverse((at, _))| *at);
        match (self.core.deadline(), own) {
            (Some(core), Some(own)) => Some(core.min(own)),
            (core, own) => core.or(own),
        }
    }

    /// The first wait after a turn.
    pub(super) fn rest(&mut self) -> Wait {
        let begun = self.clock.mono();
        let turn = begun.since(self.now.mono);
        self.count_busy(turn);
        if std::mem::take(&mut self.worked)
            && let Some(lanes) = &self.options.lanes
        {
            lanes.turned(turn);
        }
        self.next_wait(begun)
    }

    fn next_wait(&self, begun: Instant) -> Wait {
        let deadline = self.next_deadline();
        let ready = self.links.any_ready() || self.has_posts() || self.core.has_news();
        let at_once = ready || self.spin.wants_to_look() || !self.doze();
        let until = |at: Instant| at.since(begun);
        let timeout = if at_once { Some(Duration::ZERO) } else { deadline.map(until) };
        Wait { timeout, begun, deadline, ready, at_once }
    }

    /// Takes what a wait came to; gives the next one, or none when a turn is due.
    pub(super) fn waited(&mut self, wait: &Wait, found: bool) -> Option<Wait> {
        if !wait.at_once
            && let Some(lanes) = &self.options.lanes
        {
            lanes.awake();
        }
        let found = found || self.has_posts() || self.core.has_news();
        let mono = self.clock.mono();
        self.spin.looked(mono, found);
        if found && wait.at_once {
            self.count_busy(mono.since(wait.begun));
        }
        let due = found || wait.ready || wait.deadline.is_some_and(|at| at <= mono);
        (!due).then(|| self.next_wait(mono))
    }

    /// True when another shard has sent something, or has made room for what waits.
    fn has_posts(&self) -> bool {
        self.options.lanes.as_ref().is_some_and(Lanes::has_work)
    }

    /// True when nothing keeps the loop from sleeping; the other shards wake it then.
    fn doze(&self) -> bool {
        self.core.sleeps() && self.options.lanes.as_ref().is_none_or(Lanes::doze)
    }

    fn count_busy(&self, span: Duration) {
        if let Some(lanes) = &self.options.lanes {
            lanes.busy().add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn take_happened(&mut self) {
        while let Some(happened) = self.mover.next(&mut self.links, &mut self.out) {
            match happened {
                Happened::Taken(id, Taken::Bytes { bytes, again }) => {
                    match self.links.live(id) {
                        Some(Link { phase: Phase::Open, .. }) => {
                            self.core.handle(self.now, Input::Bytes { link: id, bytes }, &mut self.out);
                            self.collect();
                        }
                        Some(Link { leaving: Some(leaving), .. }) => {
                            leaving.parcel.unread.extend_from_slice(bytes);
                        }
                        Some(_) | None => {}
                    }
                    if again {
                        self.links.mark_ready(id);
                    }
                }
                Happened::Taken(_, Taken::Nothing) => {}
                Happened::Taken(id, Taken::End) => self.on_end(id),
                Happened::Taken(id, Taken::Failed(error)) => self.drop_failed(id, error),
                Happened::Sent(id, Ok(octets)) => self.on_sent(id, octets),
                Happened::Sent(id, Err(error)) => self.drop_failed(id, error),
                Happened::Connected(id) => self.on_connected(id),
                Happened::Accepted { listener, socket, peer } => self.on_accepted(listener, socket, peer),
                Happened::Idle(id) => self.on_idle(id),
                Happened::Woken => {
                    self.options.stop.clear();
                    if self.options.stop.take_drain() {
                        self.input(Input::Drain);
                    }
                    while let Some((ticket, ask)) = self.options.stop.take_ask() {
                        self.input(Input::Ask { ticket, ask });
                    }
                }
                Happened::Resolved => self.take_resolved(),
            }
        }
    }

    fn read_ready(&mut self) {
        // Links that become ready during this pass wait for the next turn: a budget of one read each.
        let mut passing = std::mem::take(&mut self.passing);
        self.links.take_ready(&mut passing);
        for id in passing.drain(..) {
            if let Some(link) = self.links.live(id) {
                link.ready = false;
                self.read(id);
            }
        }
        self.passing = passing;
    }

    fn read(&mut self, id: LinkId) {
        let Some(link) = self.links.live(id) else { return };
        if link.paused || matches!(link.phase, Phase::Connecting(..) | Phase::Ending(_) | Phase::Leaving(_)) {
            return;
        }
        let open = link.phase == Phase::Open;
        match self.mover.read(link) {
            Taken::Bytes { bytes, again } => {
                if open {
                    self.core.handle(self.now, Input::Bytes { link: id, bytes }, &mut self.out);
                    self.collect();
                }
                if again {
                    self.links.mark_ready(id);
                }
            }
            Taken::Nothing => {}
            Taken::End => self.on_end(id),
            Taken::Failed(error) => self.drop_failed(id, error),
        }
    }

    /// The peer sends nothing more. It may still read: what it is owed is written before the link goes.
    fn on_end(&mut self, id: LinkId) {
        self.send_dirty();
        let soon = self.now.mono.after(CLOSE_LINGER);
        let Some(link) = self.links.live(id) else { return };
        let until = match link.phase {
            // The other shard reads the end as well.
            Phase::Ending(_) | Phase::Leaving(_) => return,
            Phase::Open => soon,
            Phase::Flushing(until) => until,
            Phase::Connecting(..) | Phase::Lingering(_) => return self.drop_link(id, BY_PEER),
        };
        if link.unsent == 0 {
            return self.drop_link(id, BY_PEER);
        }
        link.phase = Phase::Ending(until);
        self.timers.push(Reverse((until, id)));
    }

    fn drop_failed(&mut self, id: LinkId, error: Errno) {
        let ending = self.links.live(id).is_some_and(|link| matches!(link.phase, Phase::Ending(_)));
        if ending {
            return self.drop_link(id, BY_PEER);
        }
        let reason = std::io::Error::from(error).to_string();
        self.drop_link(id, &reason);
    }

    /// Ends the link: at once, or as soon as the driver has nothing under way on its socket.
    fn drop_link(&mut self, id: LinkId, reason: &str) {
        let Some(link) = self.links.live(id) else { return };
        let idle = self.mover.close(link);
        link.closing = Some(reason.to_owned());
        self.out.closed(id);
        if idle {
            self.release(id);
        }
    }

    /// Closes the socket, frees the slot, tells the core.
    fn release(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(id) else { return };
        let Link { socket, phase, closing, leaving, line, .. } = link;
        drop(socket);
        self.out.keep(M::left(line));
        if let Some(leaving) = leaving {
            return self.lost(&leaving.parcel);
        }
        let reason = closing.unwrap_or_default();
        match phase {
            Phase::Connecting(ticket, _) => self.input(Input::ConnectFailed { ticket, reason: &reason }),
            Phase::Open | Phase::Flushing(_) | Phase::Lingering(_) | Phase::Ending(_) | Phase::Leaving(_) => {
                self.input(Input::Closed { link: id, reason: &reason });
            }
        }
    }

    fn add_link(&mut self, socket: OwnedFd, phase: Phase) -> Result<LinkId, Errno> {
        let id = self.links.add(socket, phase);
        if let Some(link) = self.links.get(id)
            && let Err(error) = self.mover.add(link)
        {
            self.links.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    fn on_accepted(&mut self, listener: ListenerId, socket: OwnedFd, peer: SocketAddr) {
        if self.links.in_use() >= self.options.links_max as usize {
            return;
        }
        if let Ok(link) = self.add_link(socket, Phase::Open) {
            self.out.open(link);
            self.links.mark_ready(link);
            self.input(Input::Accepted { link, listener, peer });
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
        if let Err((ticket, reason)) = self.resolver.ask(connect) {
            self.input(Input::ConnectFailed { ticket, reason });
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

    fn on_connected(&mut self, id: LinkId) {
        let Some(link) = self.links.live(id) else { return };
        let Phase::Connecting(ticket, _) = link.phase else { return };
        match rustix::net::sockopt::socket_error(link.socket.as_fd()) {
            Ok(Ok(())) => self.open(id, ticket),
            Ok(Err(error)) | Err(error) => self.drop_failed(id, error),
        }
    }

    fn open(&mut self, id: LinkId, ticket: Ticket) {
        let Some(link) = self.links.live(id) else { return };
        link.phase = Phase::Open;
        self.links.mark_ready(id);
        self.out.open(id);
        self.input(Input::Connected { link: id, ticket });
    }

    fn fire_timers(&mut self) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied()
            && at <= self.now.mono
        {
            self.timers.pop();
            let Some(link) = self.links.live(id) else { continue };
            match link.phase {
                Phase::Connecting(_, until) if until <= at => self.drop_link(id, "connect timed out"),
                Phase::Flushing(until) if until <= at => self.drop_link(id, "closed, output not taken"),
                Phase::Lingering(until) if until <= at => self.drop_link(id, "closed"),
                Phase::Ending(until) if until <= at => self.drop_link(id, BY_PEER),
                Phase::Leaving(until) if until <= at => self.drop_link(id, "handed over, output not taken"),
                Phase::Connecting(..)
                | Phase::Flushing(_)
                | Phase::Lingering(_)
                | Phase::Ending(_)
                | Phase::Leaving(_)
                | Phase::Open => {}
            }
        }
    }

    /// One write per dirty link, then what the core asked for, until neither gives more of the other; then the mail.
    fn finish_turn(&mut self) {
        let mut looks = true;
        loop {
            self.heard = false;
            self.core.end_turn(self.now, &mut self.out);
            self.send_dirty();
            self.depart();
            self.deliver_mail();
            if self.actions.is_empty() && !self.heard {
                // What the turn appended may be written by now: those who wait for it need not wait for the next turn.
                if core::mem::take(&mut looks) && self.core.has_news() {
                    continue;
                }
                break;
            }
            std::mem::swap(&mut self.actions, &mut self.doing);
            let mut doing = std::mem::take(&mut self.doing);
            for action in doing.drain(..) {
                self.act(action);
            }
            self.doing = doing;
        }
        if let Some(lanes) = &mut self.options.lanes {
            lanes.flush();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(connect) => self.connect(connect),
            Action::Close(id, CloseHow::Now) => self.drop_link(id, "closed"),
            Action::Close(id, CloseHow::AfterFlush) => self.close_after_flush(id),
            Action::Close(id, CloseHow::Reset) => self.reset(id),
            Action::Pause(id) => {
                if let Some(link) = self.links.live(id)
                    && !link.paused
                {
                    link.paused = true;
                    self.mover.pause(link);
                }
            }
            Action::Resume(id) => {
                if let Some(link) = self.links.live(id)
                    && link.paused
                {
                    link.paused = false;
                    self.links.mark_ready(id);
                }
            }
            Action::HandOver { link, to, parcel } => self.leave(link, to, parcel),
            Action::Log(event) => (self.options.log)(&event),
            Action::Answer { ticket, answer } => self.options.stop.answer(ticket, answer),
            Action::Exit => self.exit = true,
        }
    }

    fn reset(&mut self, id: LinkId) {
        if let Some(link) = self.links.live(id) {
            // A socket that refuses this is closed in order; the peer that comes too often costs a little more.
            let _ = rustix::net::sockopt::set_socket_linger(&link.socket, Some(Duration::ZERO));
        }
        self.drop_link(id, "reset");
    }

    fn close_after_flush(&mut self, id: LinkId) {
        // What the core appended in this turn goes out first.
        self.send_dirty();
        let until = self.now.mono.after(CLOSE_FLUSH);
        let Some(link) = self.links.live(id) else { return };
        if link.phase != Phase::Open {
            return;
        }
        link.paused = false;
        link.phase = Phase::Flushing(until);
        if link.unsent == 0 {
            self.linger(id);
        } else {
            self.timers.push(Reverse((until, id)));
        }
    }

    /// Half-closes and reads on until the peer's end: closing with unread input would reset the link and with it the
    /// answer that was just written.
    fn linger(&mut self, id: LinkId) {
        let until = self.now.mono.after(CLOSE_LINGER);
        let Some(link) = self.links.live(id) else { return };
        link.phase = Phase::Lingering(until);
        match rustix::net::shutdown(&link.socket, rustix::net::Shutdown::Write) {
            Err(error) => self.drop_failed(id, error),
            Ok(()) => {
                self.links.mark_ready(id);
                self.timers.push(Reverse((until, id)));
            }
        }
    }

    fn send_dirty(&mut self) {
        while let Some((id, buffer)) = self.out.take_dirty() {
            self.send(id, buffer);
        }
    }

    fn send(&mut self, id: LinkId, buffer: Vec<u8>) {
        let Some(link) = self.links.live(id) else { return self.out.keep(buffer) };
        link.unsent += buffer.len();
        match self.mover.send(link, buffer, &mut self.out) {
            Ok(0) => {}
            Ok(octets) => self.on_sent(id, octets),
            Err(error) => self.drop_failed(id, error),
        }
    }

    fn on_sent(&mut self, id: LinkId, octets: usize) {
        let Some(link) = self.links.live(id) else { return };
        assert!(octets <= link.unsent, "no more is sent than was handed over");
        link.unsent -= octets;
        let (written, phase) = (link.unsent == 0, link.phase);
        let room = self.out.flushed(id, octets);
        match phase {
            Phase::Flushing(_) if written => self.linger(id),
            Phase::Ending(_) if written => return self.drop_link(id, BY_PEER),
            // The core hears of it no more.
            Phase::Leaving(_) => return self.departing.push(id),
            Phase::Flushing(_)
            | Phase::Ending(_)
            | Phase::Open
            | Phase::Lingering(_)
            | Phase::Connecting(..) => {}
        }
        if room && self.links.live(id).is_some() {
            self.input(Input::Room { link: id });
        }
    }

    /// The core has handed a link over: nothing of it is given to the core any more.
    fn leave(&mut self, id: LinkId, to: ShardId, parcel: Parcel) {
        let until = self.now.mono.after(CLOSE_FLUSH);
        let known = self.options.lanes.as_ref().is_some_and(|lanes| lanes.leads_to(to));
        let Some(link) = self.links.get(id) else { return self.lost(&parcel) };
        link.leaving = Some(Box::new(Leaving { to, parcel }));
        if link.closing.is_some() {
            return; // it ends already
        }
        if !known || !matches!(link.phase, Phase::Open | Phase::Ending(_)) {
            return self.drop_link(id, "nowhere to go");
        }
        link.phase = Phase::Leaving(until);
        self.timers.push(Reverse((until, id)));
        self.departing.push(id);
    }

    /// Sends the links that have nothing under way any more to where they go.
    fn depart(&mut self) {
        while let Some(id) = self.departing.pop() {
            let Some(link) = self.links.live(id) else { continue };
            match self.mover.leave(link) {
                Ok(true) if link.unsent == 0 => self.send_link(id),
                Ok(_) => {}
                Err(error) => self.drop_failed(id, error),
            }
        }
    }

    fn send_link(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(id) else { return };
        self.out.closed(id);
        let Link { socket, leaving, line, .. } = link;
        if let (Some(leaving), Some(lanes)) = (leaving, &mut self.options.lanes) {
            let Leaving { to, mut parcel } = *leaving;
            parcel.unread.extend_from_slice(M::unread(&line));
            lanes.send(to, Post::Link { socket, parcel });
        }
        self.out.keep(M::left(line));
    }

    /// Tells the core that a link which it has handed over has ended on the way.
    fn lost(&mut self, parcel: &Parcel) {
        let from = self.options.lanes.as_ref().map_or_else(ShardId::default, Lanes::shard);
        let mail = Mail::LinkGone { listener: parcel.listener, peer: parcel.peer };
        self.input(Input::Mail { from, mail });
    }

    fn on_idle(&mut self, id: LinkId) {
        let closing = self.links.get(id).is_some_and(|link| link.closing.is_some());
        if closing {
            self.release(id);
        } else {
            self.departing.push(id);
        }
    }

    /// Gives the letters that the core has written to the lanes, those to itself to the core.
    fn deliver_mail(&mut self) {
        let mut mails = std::mem::take(&mut self.mails);
        self.out.take_mails(&mut mails);
        for (to, mail) in mails.drain(..) {
            match &mut self.options.lanes {
                Some(lanes) if lanes.leads_to(to) => lanes.send(to, Post::Mail(mail)),
                Some(_) | None => self.input(Input::Mail { from: to, mail }),
            }
        }
        self.mails = mails;
    }

    /// Takes what the other shards have sent.
    fn take_posts(&mut self) {
        let mut posts = std::mem::take(&mut self.posts);
        if let Some(lanes) = &mut self.options.lanes {
            lanes.take(&mut posts);
        }
        for (from, post) in posts.drain(..) {
            match post {
                Post::Mail(mail) => self.input(Input::Mail { from, mail }),
                Post::Link { socket, parcel } => self.on_handed_over(from, socket, parcel),
            }
        }
        self.posts = posts;
    }

    /// A link of another shard is ours now; if it cannot be, who accepted it counts it no more.
    fn on_handed_over(&mut self, from: ShardId, socket: OwnedFd, parcel: Parcel) {
        let room = self.links.in_use() < self.options.links_max as usize;
        let added = if room { self.add_link(socket, Phase::Open).ok() } else { None };
        if let Some(link) = added {
            self.out.open(link);
            self.input(Input::HandedOver { link, parcel });
            self.links.mark_ready(link);
        } else if let Some(lanes) = &mut self.options.lanes {
            let mail = Mail::LinkGone { listener: parcel.listener, peer: parcel.peer };
            lanes.send(from, Post::Mail(mail));
        }
    }
}

/// Makes a socket leave by the way that the operator chose.
fn set_way(socket: &OwnedFd, way: &Way) -> Result<(), Errno> {
    let socket = socket2::SockRef::from(socket);
    let refused = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    if let Some(interface) = &way.interface {
        socket.bind_device(Some(interface.as_bytes())).map_err(refused)?;
    }
    if let Some(mark) = way.firewall_mark {
        socket.set_mark(mark).map_err(refused)?;
    }
    if let Some(address) = way.source_address {
        socket.bind(&SocketAddr::new(address, 0).into()).map_err(refused)?;
    }
    Ok(())
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
    set_way(&socket, &connect.way)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
