//! A node's shards, the lanes between them and the links to its peers, in virtual time: nothing is lost, delayed or cut
//! but what a test asks for.

use bindery::config::{Config, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::limits::CLOSE_FLUSH;
use bindery::shard::mail::{Mail, Parcel};
use bindery::shard::port::{Action, CloseHow, Core, Input, Outbox, Ticket};
use bindery::shard::{Plan, Position, Shard};
use bindery::smpp::frame::Frame;
use bindery::time::{Duration, Instant, Now, Wall};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// A connection, never used again for another.
pub(crate) type WireId = usize;

/// Octets need so long from one end to the other.
const LATENCY: Duration = Duration::from_millis(1);
/// A letter needs so long from one shard to another.
const POST: Duration = Duration::from_micros(20);
/// Requests of one shard that may be under way to another.
const CREDITS: u32 = 1024;

#[derive(Debug)]
enum Event<P> {
    ToPeer(WireId, Vec<u8>),
    ToNode(WireId, Vec<u8>),
    Room(WireId),
    Gone(WireId),
    Dialled(usize, Ticket, usize, bool),
    Accept(WireId, ListenerId),
    Mail(usize, usize, Mail),
    Link(usize, WireId, Parcel),
    Peer(P),
}

/// What the peers are told.
#[derive(Debug)]
pub(crate) enum Told<P> {
    /// A connect of the node to this carrier is up.
    Connected(WireId, usize),
    /// Whole PDUs, one behind the other.
    Heard(WireId, Vec<u8>),
    /// A link has ended.
    Down(WireId),
    /// What a peer had asked for.
    Turn(P),
    /// Nothing that concerns a peer.
    Nothing,
}

struct Due<P> {
    at: Instant,
    order: u64,
    event: Event<P>,
}

impl<P> PartialEq for Due<P> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<P> Eq for Due<P> {}

impl<P> PartialOrd for Due<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Due<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

struct Node {
    core: Shard,
    out: Outbox,
    wires: HashMap<LinkId, WireId>,
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Node {
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

    fn drop_link(&mut self, link: LinkId) {
        self.wires.remove(&link);
        self.out.closed(link);
        self.free.push(link.slot);
    }
}

#[derive(Debug)]
struct Wire {
    node: usize,
    link: LinkId,
    carrier: Option<usize>,
    open: bool,
    /// Its core knows of it; else it is on its way to one.
    known: bool,
    closing: bool,
    /// Nothing passes and nobody is told.
    silent: bool,
    paused: bool,
    /// The node's socket takes nothing.
    stuck: bool,
    sending: Vec<u8>,
    inbox: Vec<u8>,
    stream: Vec<u8>,
}

/// See the file's header.
pub(crate) struct Net<P> {
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    queue: BinaryHeap<Due<P>>,
    order: u64,
    pub(crate) now: Now,
    pub(crate) counters: Vec<Arc<ShardCounters>>,
    names: Vec<String>,
    /// By carrier: a connect fails.
    pub(crate) refuses: Vec<bool>,
    /// By carrier: nothing comes back from it, of a connect neither.
    pub(crate) swallows: Vec<bool>,
    /// By carrier: sockets that it sees, and the most that it ever saw at once.
    pub(crate) sockets: Vec<(usize, usize)>,
    /// Inputs that the cores were given.
    pub(crate) inputs: u64,
    /// Those of them that only said what time it is.
    pub(crate) wakes: u64,
    /// Octets need so long.
    pub(crate) latency: Duration,
    exits: usize,
}

impl<P> Net<P> {
    pub(crate) fn new(config: Config, shards: usize, seed: u64) -> Self {
        let homes = Arc::new(Homes::of(&config, shards));
        let hints = Arc::new(Hints::new(config.carriers.len()));
        let first = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
        let mut counters = vec![first];
        while counters.len() < shards {
            counters.push(Arc::new(counters[0].beside()));
        }
        let names: Vec<String> = config.carriers.iter().map(|carrier| carrier.name.to_string()).collect();
        let plan = Plan::new(Arc::new(config));
        let nodes = counters.iter().enumerate().map(|(shard, counters)| {
            let (homes, hints) = (Arc::clone(&homes), Arc::clone(&hints));
            let position = Position { shard: ShardId::new(shard), homes, hints, credits: CREDITS };
            let core = Shard::planned(&plan, Arc::clone(counters), position, seed + shard as u64);
            let (out, wires) = (Outbox::new(), HashMap::new());
            Node { core, out, wires, generations: Vec::new(), free: Vec::new() }
        });
        let start = Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) };
        Self {
            nodes: nodes.collect(),
            wires: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            now: start,
            counters,
            refuses: vec![false; names.len()],
            swallows: vec![false; names.len()],
            sockets: vec![(0, 0); names.len()],
            names,
            inputs: 0,
            wakes: 0,
            latency: LATENCY,
            exits: 0,
        }
    }

    fn at(&mut self, at: Instant, event: Event<P>) {
        self.order += 1;
        self.queue.push(Due { at, order: self.order, event });
    }

    fn soon(&mut self, event: Event<P>) {
        self.at(self.now.mono.after(self.latency), event);
    }

    /// A peer wants its turn later.
    pub(crate) fn later(&mut self, wait: Duration, turn: P) {
        self.at(self.now.mono.after(wait), Event::Peer(turn));
    }

    /// One thing happens; it is what the peers are told.
    pub(crate) fn step(&mut self) -> Told<P> {
        let due = (0..self.nodes.len()).filter_map(|node| Some((self.nodes[node].core.deadline()?, node)));
        let due = due.min();
        let next = self.queue.peek().map(|due| due.at);
        if let Some((at, node)) = due
            && next.is_none_or(|next| at <= next)
        {
            self.set_clock(at);
            self.wakes += 1;
            self.feed(node, Input::Time);
            return Told::Nothing;
        }
        let Some(Due { at, event, .. }) = self.queue.pop() else { return Told::Nothing };
        self.set_clock(at);
        self.happen(event)
    }

    fn set_clock(&mut self, at: Instant) {
        let passed = at.since(self.now.mono);
        self.now.wall.0 += passed.as_micros() as i64;
        self.now.mono = self.now.mono.after(passed);
    }

    fn happen(&mut self, event: Event<P>) -> Told<P> {
        match event {
            Event::ToPeer(wire, octets) => return self.arrive(wire, octets),
            Event::ToNode(wire, octets) => self.read(wire, &octets),
            Event::Room(wire) => {
                let Wire { node, link, open, known, .. } = self.wires[wire];
                if open && known {
                    self.feed(node, Input::Room { link });
                }
            }
            Event::Gone(wire) => return self.gone(wire),
            Event::Dialled(node, ticket, carrier, up) => return self.dialled(node, ticket, carrier, up),
            Event::Accept(wire, listener) => self.accept(wire, listener),
            Event::Mail(from, to, mail) => self.feed(to, Input::Mail { from: ShardId::new(from), mail }),
            Event::Link(to, wire, parcel) => self.handed_over(to, wire, parcel),
            Event::Peer(turn) => return Told::Turn(turn),
        }
        Told::Nothing
    }

    fn arrive(&mut self, id: WireId, octets: Vec<u8>) -> Told<P> {
        let wire = &mut self.wires[id];
        if !wire.open || wire.silent {
            return Told::Nothing;
        }
        wire.stream.extend_from_slice(&octets);
        let mut whole = 0;
        while let Frame::Whole(pdu, _) = Frame::next(&wire.stream[whole..], bindery::limits::PDU_MAX) {
            whole += pdu.bytes().len();
        }
        Told::Heard(id, wire.stream.drain(..whole).collect())
    }

    fn add(&mut self, node: usize, carrier: Option<usize>, known: bool) -> WireId {
        let id = self.wires.len();
        let link = self.nodes[node].open(id);
        self.wires.push(Wire {
            node,
            link,
            carrier,
            open: true,
            known,
            closing: false,
            silent: false,
            paused: false,
            stuck: false,
            sending: Vec::new(),
            inbox: Vec::new(),
            stream: Vec::new(),
        });
        id
    }

    /// Somebody connects to a listener.
    pub(crate) fn connect(&mut self, listener: usize) -> WireId {
        let id = self.add(listener % self.nodes.len(), None, false);
        self.at(self.now.mono, Event::Accept(id, ListenerId::new(listener)));
        id
    }

    fn accept(&mut self, id: WireId, listener: ListenerId) {
        let Wire { node, link, .. } = self.wires[id];
        self.wires[id].known = true;
        // Others come from other addresses: a hundred of each.
        let [_, second, third, fourth] = (id as u32 / 100).to_be_bytes();
        let peer = core::net::SocketAddr::from(([10, second, third, fourth], 1024 + (id % 100) as u16));
        self.feed(node, Input::Accepted { link, listener, peer });
        if !self.wires[id].open {
            self.forget(id);
        }
    }

    fn dialled(&mut self, node: usize, ticket: Ticket, carrier: usize, up: bool) -> Told<P> {
        if !up {
            self.feed(node, Input::ConnectFailed { ticket, reason: "refused" });
            return Told::Nothing;
        }
        let id = self.add(node, Some(carrier), true);
        let (sockets, most) = &mut self.sockets[carrier];
        *sockets += 1;
        *most = (*most).max(*sockets);
        let link = self.wires[id].link;
        self.feed(node, Input::Connected { link, ticket });
        Told::Connected(id, carrier)
    }

    /// A peer sends octets.
    pub(crate) fn send(&mut self, id: WireId, octets: Vec<u8>) {
        if self.wires[id].open {
            self.soon(Event::ToNode(id, octets));
        }
    }

    fn read(&mut self, id: WireId, octets: &[u8]) {
        let wire = &mut self.wires[id];
        if !wire.open || wire.closing || wire.silent {
            return;
        }
        if !wire.known || wire.paused {
            return wire.inbox.extend_from_slice(octets);
        }
        let (node, link) = (wire.node, wire.link);
        self.feed(node, Input::Bytes { link, bytes: octets });
    }

    fn read_inbox(&mut self, id: WireId) {
        let octets = core::mem::take(&mut self.wires[id].inbox);
        if !octets.is_empty() {
            self.read(id, &octets);
        }
    }

    fn hand_over(&mut self, node: usize, link: LinkId, to: usize, parcel: Parcel) {
        let Some(&id) = self.nodes[node].wires.get(&link) else { return };
        self.nodes[node].drop_link(link);
        let wire = &mut self.wires[id];
        (wire.known, wire.paused, wire.node) = (false, false, to);
        self.at(self.now.mono.after(POST), Event::Link(to, id, parcel));
    }

    fn handed_over(&mut self, node: usize, id: WireId, mut parcel: Parcel) {
        let link = self.nodes[node].open(id);
        let wire = &mut self.wires[id];
        (wire.link, wire.known) = (link, true);
        parcel.unread.append(&mut wire.inbox);
        self.feed(node, Input::HandedOver { link, parcel });
        if !self.wires[id].open {
            self.forget(id);
        }
    }

    fn feed(&mut self, node: usize, input: Input<'_>) {
        self.inputs += 1;
        let Node { core, out, .. } = &mut self.nodes[node];
        core.handle(self.now, input, out);
        core.end_turn(self.now, out);
        self.act_all(node);
    }

    fn act_all(&mut self, node: usize) {
        while let Some((link, buffer)) = self.nodes[node].out.take_dirty() {
            if let Some(&id) = self.nodes[node].wires.get(&link) {
                self.wires[id].sending.extend_from_slice(&buffer);
                self.flush(id);
            }
            self.nodes[node].out.keep(buffer);
        }
        let mut actions = Vec::new();
        self.nodes[node].out.take_actions(&mut actions);
        for action in actions {
            self.act(node, action);
        }
        let mut mails = Vec::new();
        self.nodes[node].out.take_mails(&mut mails);
        for (to, mail) in mails {
            self.at(self.now.mono.after(POST), Event::Mail(node, to.index(), mail));
        }
    }

    fn flush(&mut self, id: WireId) {
        let wire = &mut self.wires[id];
        if !wire.open || wire.stuck {
            return;
        }
        let octets = core::mem::take(&mut wire.sending);
        let (node, link, done) = (wire.node, wire.link, wire.closing);
        if !octets.is_empty() {
            if self.nodes[node].out.flushed(link, octets.len()) {
                self.at(self.now.mono, Event::Room(id));
            }
            self.soon(Event::ToPeer(id, octets));
        }
        if done {
            self.soon(Event::Gone(id));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Connect(connect) => {
                let named = |name: &String| connect.address.split('.').next() == Some(name);
                let carrier =
                    self.names.iter().position(named).expect("a carrier's address begins with its name");
                let (up, wait) = match (self.swallows[carrier], self.refuses[carrier]) {
                    (true, _) => (false, connect.timeout),
                    (false, refuses) => (!refuses, self.latency),
                };
                self.at(self.now.mono.after(wait), Event::Dialled(node, connect.ticket, carrier, up));
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
            Action::Exit => self.exits += 1,
        }
    }

    fn pause(&mut self, node: usize, link: LinkId, paused: bool) {
        let Some(&id) = self.nodes[node].wires.get(&link) else { return };
        self.wires[id].paused = paused;
        if !paused {
            self.read_inbox(id);
        }
    }

    fn close(&mut self, id: WireId, how: CloseHow) {
        if core::mem::replace(&mut self.wires[id].closing, true) {
            return;
        }
        let wait = if how == CloseHow::Now { Duration::ZERO } else { CLOSE_FLUSH };
        self.at(self.now.mono.after(wait), Event::Gone(id));
        self.flush(id);
    }

    fn gone(&mut self, id: WireId) -> Told<P> {
        if !core::mem::replace(&mut self.wires[id].open, false) {
            return Told::Nothing;
        }
        if let Some(carrier) = self.wires[id].carrier {
            self.sockets[carrier].0 -= 1;
        }
        let wire = &mut self.wires[id];
        (wire.sending, wire.inbox, wire.stream) = (Vec::new(), Vec::new(), Vec::new());
        if self.wires[id].known {
            self.forget(id);
        }
        Told::Down(id)
    }

    fn forget(&mut self, id: WireId) {
        let Wire { node, link, .. } = self.wires[id];
        self.nodes[node].drop_link(link);
        self.feed(node, Input::Closed { link, reason: "gone" });
    }

    /// The network or the peer ends a link; what is on its way is lost.
    pub(crate) fn reset(&mut self, id: WireId) {
        self.at(self.now.mono, Event::Gone(id));
    }

    /// Nothing passes any more and nobody is told.
    pub(crate) fn silence(&mut self, id: WireId) {
        self.wires[id].silent = true;
    }

    /// The node's socket takes nothing, or everything again.
    pub(crate) fn stick(&mut self, id: WireId, stuck: bool) {
        self.wires[id].stuck = stuck;
        self.flush(id);
    }

    /// Room for so many more links, so that a test may watch the heap.
    pub(crate) fn reserve(&mut self, wires: usize) {
        self.wires.reserve(wires);
    }

    pub(crate) fn is_open(&self, id: WireId) -> bool {
        self.wires[id].open
    }

    /// Links that are up.
    pub(crate) fn open_wires(&self) -> usize {
        self.wires.iter().filter(|wire| wire.open).count()
    }
}
