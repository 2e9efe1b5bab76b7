//! The network and the node in it, in virtual time: shards, the lanes between them, links. Every octet that passes a
//! socket of the node is shown to the oracle.

use crate::faults::{Faults, Kind};
use crate::lanes::{Lanes, Letter};
use crate::oracle::Oracle;
use crate::paper::{Broken, Crash, Paper};
use crate::planted::Planted;
use crate::setup::{CARRIERS, Shards};
use crate::wire::{End, Seen, Trace, WireId};
use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::limits::{CLOSE_FLUSH, PDU_MAX};
use bindery::prng::Prng;
use bindery::shard::Shard;
use bindery::shard::mail::Parcel;
use bindery::shard::port::{Action, CloseHow, Core, Input, Outbox, Ticket};
use bindery::smpp::frame::Frame;
use bindery::time::{Duration, Instant, Now};
use std::collections::{BTreeMap, HashMap};

/// What happens at an instant. `P` is what the peers ask for.
#[derive(Debug)]
enum Event<P> {
    /// Octets arrive at the peer.
    ToPeer(WireId, Vec<u8>),
    /// Octets arrive in the node's socket.
    ToNode(WireId, Vec<u8>),
    /// The node reads what its socket has.
    Read(WireId),
    /// The output of a link is below its soft limit again.
    Room(WireId),
    /// A slow socket takes everything again.
    Widen(WireId),
    /// A link ends.
    Gone(WireId),
    /// A connect of a shard ends.
    Dialled(usize, Ticket, usize, bool),
    /// Somebody has connected to a listener.
    Accept(WireId, ListenerId),
    /// A letter between two shards arrives.
    Letter(usize, usize),
    /// A shard is told to finish.
    Drain(usize),
    /// The disk under a shard's journal does some of its work.
    Disk(usize),
    /// A peer's turn.
    Peer(P),
}

/// What the peers are told.
#[derive(Debug)]
pub(crate) enum Told<P> {
    /// A connect of the node to this carrier is up.
    Connected(WireId, usize),
    /// These PDUs came.
    Heard(WireId, Vec<Vec<u8>>),
    /// What a peer had asked for.
    Turn(P),
    /// Nothing that concerns a peer.
    Nothing,
}

/// A core under its driver.
pub(crate) struct Node {
    core: Shard,
    out: Outbox,
    wires: HashMap<LinkId, WireId>,
    generations: Vec<u32>,
    free: Vec<u32>,
    /// Nothing reaches its core before.
    stalled_until: Instant,
    /// It has said that it is done.
    pub(crate) exit: bool,
}

impl Node {
    /// A shard whose core has heard nothing yet.
    pub(crate) fn new(core: Shard) -> Self {
        let (out, wires) = (Outbox::new(), HashMap::new());
        let stalled_until = Instant::ZERO;
        Self { core, out, wires, generations: Vec::new(), free: Vec::new(), stalled_until, exit: false }
    }

    /// When its core wants to be woken and can be.
    fn due(&self) -> Option<Instant> {
        self.core.deadline().map(|at| at.max(self.stalled_until))
    }

    fn open(&mut self, wire: WireId) -> LinkId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            (self.generations.len() - 1) as u32
        });
        self.generations[slot as usize] += 1;
        let link = LinkId { slot, generation: self.generations[slot as usize] };
        self.out.open(link);
        self.wires.insert(link, wire);
        link
    }
}

/// One connection.
#[derive(Debug)]
struct Wire {
    node: usize,
    link: LinkId,
    end: End,
    open: bool,
    /// Its core knows of it; else it is on its way to one.
    known: bool,
    /// The node has asked for its end.
    closing: bool,
    /// Nothing passes and nobody knows.
    silent: bool,
    paused: bool,
    /// Written by the node, not taken by its socket.
    sending: Vec<u8>,
    /// Octets that the node's core believes are not taken yet.
    owed: usize,
    /// Octets that the socket still takes.
    takes: usize,
    /// In the node's socket, not read.
    inbox: Vec<u8>,
    /// The node reads nothing before.
    held_until: Instant,
    /// The last octets on their way arrive then, by direction.
    peer_at: Instant,
    node_at: Instant,
    /// What the peer has of a PDU that is not whole.
    stream: Vec<u8>,
}

/// See the file's header.
pub(crate) struct Net<P> {
    pub(crate) nodes: Vec<Node>,
    lanes: Lanes,
    wires: Vec<Wire>,
    queue: BTreeMap<(Instant, u64), Event<P>>,
    order: u64,
    pub(crate) now: Now,
    pub(crate) faults: Faults,
    prng: Prng,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) planted: Planted,
    /// Wakes at the same instant.
    wakes: u32,
    /// By shard: its journal, and whether its disk is at work; none without a journal.
    pub(crate) papers: Vec<Paper>,
    working: Vec<bool>,
    /// Letters from shard to shard, and links that moved with some of them.
    pub(crate) letters: u64,
    pub(crate) moved: u64,
}

impl<P> Net<P> {
    pub(crate) fn new(nodes: Vec<Node>, now: Now, prng: Prng, faults: Faults, oracle: Oracle) -> Self {
        let Shards { count, lane, delay_us, .. } = oracle.setup.shards;
        Self {
            nodes,
            lanes: Lanes::new(count, lane, Duration::from_micros(delay_us)),
            wires: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            now,
            faults,
            prng,
            oracle,
            trace: Trace::default(),
            planted: Planted::default(),
            wakes: 0,
            papers: Vec::new(),
            working: vec![false; count],
            letters: 0,
            moved: 0,
        }
    }

    fn see(&mut self, seen: Seen<'_>) {
        self.trace.add(self.now.mono, &seen);
        self.oracle.see(self.now.mono, &seen);
    }

    fn at(&mut self, at: Instant, event: Event<P>) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// A peer wants its turn later.
    pub(crate) fn later(&mut self, wait: Duration, turn: P) {
        self.at(self.now.mono.after(wait), Event::Peer(turn));
    }

    /// Between `low` and `high` milliseconds.
    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(1000 * low + self.prng.below(1000 * (high - low) + 1))
    }

    fn latency(&mut self) -> Duration {
        if self.faults.strike(Kind::Delay) { self.millis(200, 3000) } else { self.millis(1, 15) }
    }

    /// One thing happens; it is what the peers are told.
    pub(crate) fn step(&mut self) -> Told<P> {
        let due = (0..self.nodes.len()).filter_map(|node| Some((self.nodes[node].due()?, node))).min();
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        if let Some((at, node)) = due
            && next.is_none_or(|next| at <= next)
        {
            self.wakes = if at <= self.now.mono { self.wakes + 1 } else { 0 };
            if self.wakes > 10_000 {
                self.oracle.fail("woken", "the core is woken without end".into());
            }
            self.set_clock(at);
            self.feed(node, Input::Time);
            return Told::Nothing;
        }
        let Some(((at, _), event)) = self.queue.pop_first() else { return Told::Nothing };
        self.set_clock(at);
        self.happen(event)
    }

    fn set_clock(&mut self, at: Instant) {
        let passed = at.since(self.now.mono);
        self.now.wall.0 += passed.as_micros() as i64;
        self.now.mono = self.now.mono.after(passed);
    }

    /// The shard that an event is for.
    fn target(&self, event: &Event<P>) -> Option<usize> {
        match event {
            Event::ToNode(wire, _)
            | Event::Read(wire)
            | Event::Room(wire)
            | Event::Gone(wire)
            | Event::Accept(wire, _) => Some(self.wires[*wire].node),
            Event::Dialled(node, ..) | Event::Letter(_, node) | Event::Drain(node) | Event::Disk(node) => {
                Some(*node)
            }
            Event::ToPeer(..) | Event::Widen(_) | Event::Peer(_) => None,
        }
    }

    fn happen(&mut self, event: Event<P>) -> Told<P> {
        if let Some(node) = self.target(&event) {
            let until = self.nodes[node].stalled_until;
            if until > self.now.mono {
                self.at(until, event);
                return Told::Nothing;
            }
        }
        match event {
            Event::ToPeer(wire, octets) => return self.arrive(wire, &octets),
            Event::ToNode(wire, octets) => {
                self.wires[wire].inbox.extend(octets);
                self.read(wire);
            }
            Event::Read(wire) => self.read(wire),
            Event::Room(wire) => {
                let Wire { node, link, open, known, .. } = self.wires[wire];
                if open && known {
                    self.feed(node, Input::Room { link });
                }
            }
            Event::Widen(wire) => {
                self.wires[wire].takes = usize::MAX;
                self.flush(wire);
            }
            Event::Gone(wire) => self.gone(wire),
            Event::Dialled(node, ticket, carrier, up) => return self.dialled(node, ticket, carrier, up),
            Event::Accept(wire, listener) => self.accept(wire, listener),
            Event::Letter(from, to) => self.letter(from, to),
            Event::Drain(node) => self.feed(node, Input::Drain),
            Event::Disk(node) => self.disk(node),
            Event::Peer(turn) => return Told::Turn(turn),
        }
        Told::Nothing
    }

    fn arrive(&mut self, id: WireId, octets: &[u8]) -> Told<P> {
        let wire = &mut self.wires[id];
        if !wire.open || wire.silent {
            return Told::Nothing;
        }
        wire.stream.extend_from_slice(octets);
        let mut heard = Vec::new();
        let mut rest = wire.stream.as_slice();
        while let Frame::Whole(pdu, behind) = Frame::next(rest, PDU_MAX) {
            heard.push(pdu.bytes().to_vec());
            rest = behind;
        }
        wire.stream = rest.to_vec();
        Told::Heard(id, heard)
    }

    fn add(&mut self, node: usize, end: End) -> WireId {
        let id = self.wires.len();
        let link = self.nodes[node].open(id);
        self.push(node, link, end, true);
        id
    }

    /// A connect that nobody listens for.
    fn refused(&mut self) -> WireId {
        let id = self.wires.len();
        self.push(0, LinkId::default(), End::Esme, false);
        self.see(Seen::Down(id));
        id
    }

    fn push(&mut self, node: usize, link: LinkId, end: End, open: bool) {
        let (id, now) = (self.wires.len(), self.now.mono);
        self.wires.push(Wire {
            node,
            link,
            end,
            open,
            known: true,
            closing: false,
            silent: false,
            paused: false,
            sending: Vec::new(),
            owed: 0,
            takes: usize::MAX,
            inbox: Vec::new(),
            held_until: now,
            peer_at: now,
            node_at: now,
            stream: Vec::new(),
        });
        self.see(Seen::Up(id, end));
    }

    /// Somebody connects to a listener.
    pub(crate) fn connect(&mut self, listener: usize) -> WireId {
        if self.is_down() {
            return self.refused();
        }
        let id = self.add(listener % self.nodes.len(), End::Esme);
        self.wires[id].known = false;
        self.at(self.now.mono, Event::Accept(id, ListenerId::new(listener)));
        id
    }

    fn accept(&mut self, id: WireId, listener: ListenerId) {
        let Wire { node, link, open, .. } = self.wires[id];
        if !open {
            let holder = &mut self.nodes[node];
            holder.wires.remove(&link);
            holder.out.closed(link);
            return holder.free.push(link.slot);
        }
        self.wires[id].known = true;
        let port = 1024 + (id % 60_000) as u16;
        let peer = core::net::SocketAddr::from(([198, 51, 100, 7], port));
        self.feed(node, Input::Accepted { link, listener, peer });
        self.read(id);
    }

    fn dialled(&mut self, node: usize, ticket: Ticket, carrier: usize, up: bool) -> Told<P> {
        if !up {
            self.see(Seen::DialFailed(carrier));
            self.feed(node, Input::ConnectFailed { ticket, reason: "refused" });
            return Told::Nothing;
        }
        let id = self.add(node, End::Carrier(carrier));
        let link = self.wires[id].link;
        self.feed(node, Input::Connected { link, ticket });
        Told::Connected(id, carrier)
    }

    /// A peer sends octets.
    pub(crate) fn send(&mut self, id: WireId, octets: &[u8]) {
        if !self.wires[id].open || octets.is_empty() {
            return;
        }
        let mut cuts = vec![octets.len()];
        if self.faults.strike(Kind::SplitRead) {
            cuts.extend((0..3).map(|_| self.prng.below(octets.len() as u64) as usize));
            cuts.sort_unstable();
        }
        if self.faults.strike(Kind::Coalesce) {
            let until = self.now.mono.after(self.millis(50, 600));
            self.wires[id].held_until = until;
            self.at(until, Event::Read(id));
        }
        let mut from = 0;
        for to in cuts {
            let arrives = self.now.mono.after(self.latency()).max(self.wires[id].node_at);
            self.wires[id].node_at = arrives;
            self.at(arrives, Event::ToNode(id, octets[from..to].to_vec()));
            from = to;
        }
    }

    fn read(&mut self, id: WireId) {
        let now = self.now.mono;
        let wire = &mut self.wires[id];
        let reads = wire.known && !wire.closing && !wire.silent && !wire.paused && wire.held_until <= now;
        if !reads || !wire.open || wire.inbox.is_empty() {
            return;
        }
        let (node, link) = (wire.node, wire.link);
        let octets = core::mem::take(&mut wire.inbox);
        self.see(Seen::Read(id, &octets));
        self.feed(node, Input::Bytes { link, bytes: &octets });
    }

    /// The node is to finish: every shard hears it in its own time.
    pub(crate) fn drain(&mut self) {
        for node in 0..self.nodes.len() {
            let wait = self.millis(0, if node == 0 { 0 } else { 5 });
            self.at(self.now.mono.after(wait), Event::Drain(node));
        }
    }

    /// Nothing reaches a shard for a while.
    pub(crate) fn stall(&mut self, node: usize, wait: Duration) {
        self.nodes[node].stalled_until = self.now.mono.after(wait);
    }

    /// Letters from one shard to another take longer for a while.
    pub(crate) fn slow_lane(&mut self, from: usize, to: usize, delay: Duration, wait: Duration) {
        self.lanes.slow(from, to, delay, self.now.mono.after(wait));
    }

    fn post(&mut self, from: usize, to: usize, letter: Letter) {
        self.lanes.put(from, to, letter);
        self.carry(from, to);
    }

    /// What waits at the sender goes on its way while the lane has room.
    fn carry(&mut self, from: usize, to: usize) {
        while let Some(arrives) = self.lanes.take_up(from, to, self.now.mono, &mut self.prng) {
            self.at(arrives, Event::Letter(from, to));
        }
    }

    fn letter(&mut self, from: usize, to: usize) {
        let letter = self.lanes.arrive(from, to);
        self.letters += 1;
        self.carry(from, to);
        match letter {
            Some(Letter::Mail(mail)) => {
                let from = ShardId::new(from);
                self.feed(to, Input::Mail { from, mail });
            }
            Some(Letter::Link(id, parcel)) => self.handed_over(to, id, parcel),
            None => {}
        }
    }

    /// A core gives a link away: it is unknown until it arrives, and what comes meanwhile waits in the socket.
    fn hand_over(&mut self, node: usize, link: LinkId, to: usize, parcel: Parcel) {
        let holder = &mut self.nodes[node];
        let Some(id) = holder.wires.remove(&link) else { return };
        holder.out.closed(link);
        holder.free.push(link.slot);
        let wire = &mut self.wires[id];
        (wire.known, wire.paused, wire.owed, wire.node) = (false, false, 0, to);
        self.post(node, to, Letter::Link(id, parcel));
    }

    fn handed_over(&mut self, node: usize, id: WireId, mut parcel: Parcel) {
        self.moved += 1;
        let link = self.nodes[node].open(id);
        let wire = &mut self.wires[id];
        (wire.link, wire.known) = (link, true);
        let open = wire.open;
        if open && !wire.silent {
            let octets = core::mem::take(&mut wire.inbox);
            if !octets.is_empty() {
                self.see(Seen::Read(id, &octets));
                parcel.unread.extend(octets);
            }
        }
        self.feed(node, Input::HandedOver { link, parcel });
        if !open {
            self.forget(id);
        }
    }

    fn feed(&mut self, node: usize, input: Input<'_>) {
        let Node { core, out, .. } = &mut self.nodes[node];
        core.handle(self.now, input, out);
        core.end_turn(self.now, out);
        self.turn(node);
    }

    /// What the core wants done: one write per dirty link, then its actions.
    fn turn(&mut self, node: usize) {
        while let Some((link, buffer)) = self.nodes[node].out.take_dirty() {
            let Some(&id) = self.nodes[node].wires.get(&link) else { continue };
            self.wires[id].owed += buffer.len();
            let end = self.wires[id].end;
            for (id, octets) in self.planted.write(self.now.mono, id, end, &buffer) {
                self.write(id, &octets);
            }
            self.nodes[node].out.keep(buffer);
            self.flush(id);
        }
        let mut actions = Vec::new();
        self.nodes[node].out.take_actions(&mut actions);
        for action in actions {
            self.act(node, action);
        }
        let mut mails = Vec::new();
        self.nodes[node].out.take_mails(&mut mails);
        for (to, mail) in mails {
            if !self.planted.loses_letter() {
                self.post(node, to.index(), Letter::Mail(mail));
            }
        }
        self.work_later(node);
    }

    /// The disk comes to what was appended.
    fn work_later(&mut self, node: usize) {
        if !self.papers.get(node).is_some_and(Paper::lags) || self.working[node] {
            return;
        }
        self.working[node] = true;
        let slow = self.faults.strike(Kind::SlowDisk);
        let wait = if slow { self.millis(100, 2000) } else { self.millis(0, 10) };
        self.at(self.now.mono.after(wait), Event::Disk(node));
    }

    fn disk(&mut self, node: usize) {
        self.working[node] = false;
        self.papers[node].work(&mut self.prng);
        let Node { core, out, .. } = &mut self.nodes[node];
        if core.has_news() {
            core.end_turn(self.now, out);
            return self.turn(node);
        }
        self.work_later(node);
    }

    /// The trouble of a disk is over: what waits for it goes on.
    pub(crate) fn disk_is_well(&mut self, node: usize) {
        self.work_later(node);
    }

    /// The node has crashed and is not up again.
    pub(crate) fn is_down(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node is gone at once, with its links and everything on its way; its journals keep what they have. Gives the
    /// instant since when records may be missing.
    pub(crate) fn crash(&mut self, crash: Crash) -> Instant {
        for id in self.open_wires() {
            self.wires[id].open = false;
            self.see(Seen::Down(id));
        }
        for (at, event) in core::mem::take(&mut self.queue) {
            if let Event::Dialled(_, _, carrier, _) = event {
                self.see(Seen::DialFailed(carrier));
            } else if matches!(event, Event::Peer(_)) {
                self.queue.insert(at, event);
            }
        }
        self.nodes.clear();
        let Shards { count, lane, delay_us, .. } = self.oracle.setup.shards;
        self.lanes = Lanes::new(count, lane, Duration::from_micros(delay_us));
        self.working.fill(false);
        let lost = self.papers.iter().filter_map(|paper| paper.crash(crash, &mut self.prng)).min();
        lost.unwrap_or(self.now.mono)
    }

    /// The next life has other shards, perhaps more or fewer of them. Journals of shards that are no more stay.
    pub(crate) fn reshape(&mut self, shards: &Shards, broken: Broken) {
        self.lanes = Lanes::new(shards.count, shards.lane, Duration::from_micros(shards.delay_us));
        while self.papers.len() < shards.count {
            self.papers.push(Paper::of(broken));
        }
        self.working.resize(self.papers.len(), false);
        self.oracle.setup.shards = shards.clone();
    }

    /// The node is up again.
    pub(crate) fn start(&mut self, nodes: Vec<Node>) {
        self.nodes = nodes;
        for node in 0..self.nodes.len() {
            self.feed(node, Input::Time);
        }
    }

    fn write(&mut self, id: WireId, octets: &[u8]) {
        if self.wires[id].open && !octets.is_empty() {
            self.see(Seen::Wrote(id, octets));
            self.wires[id].sending.extend_from_slice(octets);
            self.flush(id);
        }
    }

    fn flush(&mut self, id: WireId) {
        let wire = &mut self.wires[id];
        if !wire.open {
            return;
        }
        let octets = wire.sending.len().min(wire.takes);
        if wire.takes != usize::MAX {
            wire.takes -= octets;
        }
        let taken: Vec<u8> = wire.sending.drain(..octets).collect();
        let owed = if wire.sending.is_empty() { wire.owed } else { octets.min(wire.owed) };
        wire.owed -= owed;
        let (node, link, done) = (wire.node, wire.link, wire.closing && wire.sending.is_empty());
        if octets > 0 {
            self.see(Seen::Took(id, octets));
            let arrives = self.now.mono.after(self.latency()).max(self.wires[id].peer_at);
            self.wires[id].peer_at = arrives;
            self.at(arrives, Event::ToPeer(id, taken));
        }
        if self.nodes[node].out.flushed(link, owed) {
            self.at(self.now.mono, Event::Room(id));
        }
        if done {
            let soon = self.now.mono.after(self.millis(1, 30));
            self.at(soon, Event::Gone(id));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Connect(_) if self.planted.forgets_connect() => {}
            Action::Connect(connect) => {
                let named = |name: &&str| connect.address.starts_with(*name);
                let Some(carrier) = CARRIERS.iter().position(named) else { return };
                self.see(Seen::Dial(carrier));
                let up = !self.faults.strike(Kind::ConnectRefused);
                let at = self.now.mono.after(self.latency());
                self.at(at, Event::Dialled(node, connect.ticket, carrier, up));
            }
            Action::Close(link, how) => {
                if let Some(&id) = self.nodes[node].wires.get(&link) {
                    self.close(id, how);
                }
            }
            Action::Pause(link) => self.pause(node, link, true),
            Action::Resume(link) => self.pause(node, link, false),
            Action::HandOver { link, to, parcel } => self.hand_over(node, link, to.index(), parcel),
            Action::Log(_) | Action::Answer { .. } => {}
            Action::Exit => self.nodes[node].exit = true,
        }
    }

    fn pause(&mut self, node: usize, link: LinkId, paused: bool) {
        if let Some(&id) = self.nodes[node].wires.get(&link) {
            self.wires[id].paused = paused;
            if !paused {
                self.at(self.now.mono, Event::Read(id));
            }
        }
    }

    fn close(&mut self, id: WireId, how: CloseHow) {
        if self.wires[id].closing {
            return;
        }
        self.wires[id].closing = true;
        self.see(Seen::Closing(id));
        let wait = if how == CloseHow::AfterFlush { CLOSE_FLUSH } else { Duration::ZERO };
        self.at(self.now.mono.after(wait), Event::Gone(id));
        self.flush(id);
    }

    fn gone(&mut self, id: WireId) {
        let Wire { node, open, known, .. } = self.wires[id];
        if !open {
            return;
        }
        if self.nodes[node].stalled_until > self.now.mono {
            return self.at(self.nodes[node].stalled_until, Event::Gone(id));
        }
        self.wires[id].open = false;
        self.see(Seen::Down(id));
        if known {
            self.forget(id);
        }
    }

    /// A core hears that a link is gone.
    fn forget(&mut self, id: WireId) {
        let Wire { node, link, .. } = self.wires[id];
        let holder = &mut self.nodes[node];
        holder.wires.remove(&link);
        holder.out.closed(link);
        holder.free.push(link.slot);
        self.feed(node, Input::Closed { link, reason: "gone" });
    }

    /// The network or the peer ends a link.
    pub(crate) fn reset(&mut self, id: WireId) {
        self.gone(id);
    }

    /// Nothing passes any more.
    pub(crate) fn silence(&mut self, id: WireId) {
        self.wires[id].silent = true;
    }

    /// The node's socket takes only so many octets for a while.
    pub(crate) fn squeeze(&mut self, id: WireId, octets: usize, wait: Duration) {
        self.wires[id].takes = octets;
        self.at(self.now.mono.after(wait), Event::Widen(id));
    }

    pub(crate) fn is_open(&self, id: WireId) -> bool {
        self.wires[id].open
    }

    /// Links that are up.
    pub(crate) fn open_wires(&self) -> Vec<WireId> {
        (0..self.wires.len()).filter(|&id| self.wires[id].open).collect()
    }

    /// Links that the node has paused.
    pub(crate) fn paused(&self) -> usize {
        self.wires.iter().filter(|wire| wire.open && wire.paused && !wire.closing).count()
    }

    /// The next turns of peers are none of theirs any more: all of them that `keep` does not want are dropped.
    pub(crate) fn forget_turns(&mut self, keep: impl Fn(&P) -> bool) {
        self.queue.retain(|_, event| !matches!(event, Event::Peer(turn) if !keep(turn)));
    }
}
