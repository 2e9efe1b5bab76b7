//! The rig: it owns a shard and plays its driver, its ESMEs and its carriers, in virtual time.
//!
//! Owns: the streams between the shard and its peers, the clock. Takes: what peers send. Gives: what they hear.
//! Never: a socket. It checks at every step that a carrier has no more sockets than its `sessions`.

use super::super::Shard;
use super::super::port::{Action, Answer, CloseHow, Connect, Core, Event, Input, Outbox, Ticket};
use super::pdus::{Heard, bind, header};
use crate::carrier::tests::settings as carrier_settings;
use crate::config::{Config, Io, Listener, Node, Shards};
use crate::counters::{Ignored, Match, Reason, ShardCounters};
use crate::esme::tests::settings as esme_settings;
use crate::ids::{CarrierId, LinkId, ListenerId, PoolId};
use crate::limits::PDU_MAX;
use crate::route::settings::{Member, MemberSettings, PoolSettings};
use crate::session::BindKind;
use crate::smpp::frame::Frame;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A configuration with one listener, one pool `main` of all carriers with weight 1, and accounts that use it.
pub(super) fn config(esmes: &[&str], carriers: &[&str]) -> Config {
    let members = (0..carriers.len()).map(|index| member(index, 1)).collect();
    Config {
        node: Node {
            name: "test".into(),
            shards: Shards::Count(1),
            io: Io::Auto,
            spin: Duration::ZERO,
            drain_deadline: Duration::from_secs(30),
        },
        listeners: vec![Listener {
            address: "192.0.2.10:2775".parse().unwrap(),
            connections_max: 1000,
            connections_per_address: 1000,
            session_init_timeout: Duration::from_secs(10),
            pdu_max: 128 * 1024,
        }],
        esmes: esmes
            .iter()
            .map(|name| crate::esme::Settings {
                pool: Some(PoolId(0)),
                sessions_max: 8,
                ..esme_settings(name)
            })
            .collect(),
        carriers: carriers
            .iter()
            .map(|name| crate::carrier::Settings { sessions: 1, ..carrier_settings(name) })
            .collect(),
        carrier_homes: vec![None; carriers.len()],
        pools: vec![PoolSettings::weighted("main", members)],
        routes: Vec::new(),
        mo_routes: Vec::new(),
        http: None,
    }
}

pub(super) fn member(carrier: usize, weight: u32) -> MemberSettings {
    MemberSettings { member: Member::Carrier(CarrierId::new(carrier)), weight, tier: 1 }
}

/// A connect that the shard asked for and that has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) ticket: Ticket,
    pub(super) carrier: usize,
}

/// One end of a stream, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The carrier that it is; `None`: an ESME.
    pub(super) carrier: Option<usize>,
    /// What the shard wrote and the socket has not taken.
    sending: Vec<u8>,
    /// What the socket took and is no whole PDU yet.
    stream: Vec<u8>,
    /// PDUs that came, not yet looked at.
    heard: VecDeque<Heard>,
    /// Octets that the socket still takes.
    takes: usize,
    /// Octets that the shard has not read, because it paused.
    unread: Vec<u8>,
    pub(super) paused: bool,
}

/// See the file's header.
pub(super) struct Rig {
    pub(super) shard: Shard,
    pub(super) out: Outbox,
    pub(super) now: Now,
    pub(super) counters: Arc<ShardCounters>,
    pub(super) peers: BTreeMap<LinkId, Peer>,
    /// Peers whose link is gone, with what they have heard.
    ended: BTreeMap<LinkId, Peer>,
    pub(super) dials: Vec<Dial>,
    pub(super) exit: bool,
    pub(super) events: Vec<Event>,
    pub(super) answers: Vec<(Ticket, Answer)>,
    resumed: Vec<LinkId>,
    free: Vec<u32>,
    generations: Vec<u32>,
    sessions: Vec<usize>,
}

impl Rig {
    pub(super) fn new(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    pub(super) fn seeded(config: Config, seed: u64) -> Self {
        let counters = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
        let sessions = config.carriers.iter().map(|carrier| carrier.sessions as usize).collect();
        let start = Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) };
        let mut rig = Self {
            shard: Shard::new(Arc::new(config), Arc::clone(&counters), seed),
            out: Outbox::new(),
            now: start,
            counters,
            peers: BTreeMap::new(),
            ended: BTreeMap::new(),
            dials: Vec::new(),
            exit: false,
            events: Vec::new(),
            answers: Vec::new(),
            resumed: Vec::new(),
            free: Vec::new(),
            generations: Vec::new(),
            sessions,
        };
        rig.advance(Duration::ZERO);
        rig
    }

    /// All carriers bound.
    pub(super) fn up(config: Config) -> Self {
        let mut rig = Self::new(config);
        for carrier in 0..rig.sessions.len() {
            rig.carrier_up(carrier);
        }
        rig
    }

    fn open(&mut self, carrier: Option<usize>) -> LinkId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            (self.generations.len() - 1) as u32
        });
        self.generations[slot as usize] += 1;
        let link = LinkId { slot, generation: self.generations[slot as usize] };
        self.out.open(link);
        self.peers.insert(link, Peer { carrier, takes: usize::MAX, ..Peer::default() });
        link
    }

    fn handle(&mut self, input: Input<'_>) {
        self.shard.handle(self.now, input, &mut self.out);
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.handle(input);
        self.turn();
    }

    /// One write per dirty link, then what the shard asked for, until there is no more of either.
    fn turn(&mut self) {
        let mut actions = Vec::new();
        loop {
            let mut idle = true;
            while let Some((link, buffer)) = self.out.take_dirty() {
                idle = false;
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.sending.extend_from_slice(&buffer);
                }
                self.out.keep(buffer);
                self.flush(link);
            }
            self.out.take_actions(&mut actions);
            idle &= actions.is_empty();
            for action in actions.drain(..) {
                self.act(action);
            }
            while let Some(link) = self.resumed.pop() {
                self.read(link);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    /// Gives the socket what it takes.
    fn flush(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let octets = peer.sending.len().min(peer.takes);
        peer.takes = peer.takes.saturating_sub(if peer.takes == usize::MAX { 0 } else { octets });
        peer.stream.extend(peer.sending.drain(..octets));
        let mut rest = peer.stream.as_slice();
        while let Frame::Whole(pdu, behind) = Frame::next(rest, PDU_MAX) {
            peer.heard.push_back(Heard(pdu.bytes().to_vec()));
            rest = behind;
        }
        peer.stream = rest.to_vec();
        if octets > 0 && self.out.flushed(link, octets) {
            self.handle(Input::Room { link });
        }
    }

    fn read(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.paused) else { return };
        let bytes = core::mem::take(&mut peer.unread);
        if !bytes.is_empty() {
            self.handle(Input::Bytes { link, bytes: &bytes });
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(Connect { ticket, .. }) => {
                let carrier = (ticket.0 >> 32) as usize;
                self.dials.push(Dial { ticket, carrier });
                assert!(self.sockets(carrier) <= self.sessions[carrier], "more sockets than sessions");
            }
            Action::Close(link, how) => self.close(link, how),
            Action::Pause(link) => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.paused = true;
                }
            }
            Action::Resume(link) => {
                if let Some(peer) = self.peers.get_mut(&link) {
                    peer.paused = false;
                    self.resumed.push(link);
                }
            }
            Action::Log(event) => self.events.push(event),
            Action::Answer { ticket, answer } => self.answers.push((ticket, answer)),
            Action::HandOver { .. } => panic!("there is one shard"),
            Action::Exit => self.exit = true,
        }
    }

    /// Connects under way and links of a carrier.
    pub(super) fn sockets(&self, carrier: usize) -> usize {
        let open = self.peers.values().filter(|peer| peer.carrier == Some(carrier)).count();
        open + self.dials.iter().filter(|dial| dial.carrier == carrier).count()
    }

    fn close(&mut self, link: LinkId, how: CloseHow) {
        if how == CloseHow::AfterFlush {
            while let Some((dirty, buffer)) = self.out.take_dirty() {
                if let Some(peer) = self.peers.get_mut(&dirty) {
                    peer.sending.extend_from_slice(&buffer);
                }
                self.flush(dirty);
            }
        }
        self.gone(link, "closed");
    }

    fn gone(&mut self, link: LinkId, reason: &str) {
        let Some(peer) = self.peers.remove(&link) else { return };
        self.ended.insert(link, peer);
        self.out.closed(link);
        self.free.push(link.slot);
        self.handle(Input::Closed { link, reason });
    }

    /// The peer, or the network, ends the link.
    pub(super) fn reset(&mut self, link: LinkId) {
        self.gone(link, "reset");
        self.turn();
    }

    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.peers.contains_key(&link)
    }

    /// The peer sends octets.
    pub(super) fn send(&mut self, link: LinkId, octets: &[u8]) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.unread.extend_from_slice(octets);
            self.read(link);
            self.turn();
        }
    }

    /// From now on the peer's socket takes this many octets more.
    pub(super) fn takes(&mut self, link: LinkId, octets: usize) {
        self.peers.get_mut(&link).unwrap().takes = octets;
        self.flush(link);
        self.turn();
    }

    /// What the peer has heard since it last looked.
    pub(super) fn heard(&mut self, link: LinkId) -> Vec<Heard> {
        let peer = self.peers.get_mut(&link).or_else(|| self.ended.get_mut(&link));
        peer.map(|peer| peer.heard.drain(..).collect()).unwrap_or_default()
    }

    /// What came to the peer and it has not looked at.
    pub(super) fn unseen(&self, link: LinkId) -> impl Iterator<Item = &Heard> {
        self.peers.get(&link).into_iter().flat_map(|peer| peer.heard.iter())
    }

    /// The one PDU that the peer has heard since it last looked.
    #[track_caller]
    pub(super) fn one(&mut self, link: LinkId) -> Heard {
        let mut heard = self.heard(link);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    #[track_caller]
    pub(super) fn silent(&mut self, link: LinkId) {
        let heard = self.heard(link);
        assert!(heard.is_empty(), "{heard:?}");
    }

    /// Lets time pass; the shard is woken whenever it asked to be.
    pub(super) fn advance(&mut self, span: Duration) {
        let end = self.now.mono.after(span);
        let mut wakes = 0;
        while let Some(at) = self.shard.deadline().filter(|&at| at <= end) {
            self.set_clock(at.max(self.now.mono));
            self.input(Input::Time);
            wakes += 1;
            assert!(wakes < 5_000_000, "the shard is woken without end");
        }
        self.set_clock(end);
    }

    fn set_clock(&mut self, at: Instant) {
        let passed = at.since(self.now.mono);
        self.now.wall.0 += passed.as_micros() as i64;
        self.now.mono = at;
    }

    /// Somebody connects to the listener.
    pub(super) fn accept_from(&mut self, peer: &str) -> LinkId {
        let link = self.open(None);
        let peer: SocketAddr = peer.parse().unwrap();
        self.input(Input::Accepted { link, listener: ListenerId(0), peer });
        link
    }

    pub(super) fn accept(&mut self) -> LinkId {
        self.accept_from("198.51.100.7:40000")
    }

    /// An ESME binds and is accepted.
    #[track_caller]
    pub(super) fn bind(&mut self, system_id: &str, kind: BindKind) -> LinkId {
        self.bind_as(system_id, kind, 0x34)
    }

    #[track_caller]
    pub(super) fn bind_as(&mut self, system_id: &str, kind: BindKind, version: u8) -> LinkId {
        let link = self.accept();
        self.send(link, &bind(system_id, "secret", kind, version));
        let answer = self.one(link);
        assert_eq!((answer.command(), answer.status()), (kind.command().response(), CommandStatus::OK));
        link
    }

    pub(super) fn trx(&mut self, system_id: &str) -> LinkId {
        self.bind(system_id, BindKind::Transceiver)
    }

    /// The first connect of a carrier that is under way comes up.
    pub(super) fn connect(&mut self, carrier: usize) -> LinkId {
        let at = self.dials.iter().position(|dial| dial.carrier == carrier).unwrap();
        let Dial { ticket, .. } = self.dials.remove(at);
        let link = self.open(Some(carrier));
        self.input(Input::Connected { link, ticket });
        link
    }

    pub(super) fn fail_connect(&mut self, carrier: usize) {
        let at = self.dials.iter().position(|dial| dial.carrier == carrier).unwrap();
        let Dial { ticket, .. } = self.dials.remove(at);
        self.input(Input::ConnectFailed { ticket, reason: "refused" });
    }

    /// All connects of a carrier that are under way come up and their binds are accepted; gives its links.
    pub(super) fn carrier_up(&mut self, carrier: usize) -> Vec<LinkId> {
        while self.dials.iter().any(|dial| dial.carrier == carrier) {
            let link = self.connect(carrier);
            let bind = self.heard(link).remove(0);
            assert!(BindKind::of(bind.command()).is_some());
            self.send(link, &header(bind.command().response(), CommandStatus::OK, bind.sequence()));
        }
        self.carrier_links(carrier)
    }

    pub(super) fn carrier_links(&self, carrier: usize) -> Vec<LinkId> {
        let links = self.peers.iter().filter(|(_, peer)| peer.carrier == Some(carrier));
        links.map(|(&link, _)| link).collect()
    }

    /// The only link of a carrier.
    pub(super) fn carrier(&self, carrier: usize) -> LinkId {
        let links = self.carrier_links(carrier);
        assert_eq!(links.len(), 1);
        links[0]
    }

    pub(super) fn refusals(&self, esme: usize, reason: Reason) -> u64 {
        self.counters.esmes[esme].refusals.at(reason as usize).get()
    }

    pub(super) fn ignored(&self, why: Ignored) -> u64 {
        self.counters.ignored.at(why as usize).get()
    }

    pub(super) fn receipts(&self, carrier: usize, what: Match) -> u64 {
        self.counters.carriers[carrier].receipts.at(what as usize).get()
    }

    /// Nothing is in flight, nothing is held.
    #[track_caller]
    pub(super) fn assert_settled(&self) {
        assert_eq!(self.shard.messages.len(), 0, "messages");
        assert_eq!(self.shard.multis.len(), 0, "submit_multi");
        assert_eq!(self.shard.deliveries.len(), 0, "deliveries");
        assert!(self.shard.parked.is_empty(), "parked");
        assert_eq!(self.shard.retained.bytes(), 0, "retained");
        assert!(self.counters.esmes.iter().all(|cells| cells.window_used() == 0), "requests in flight");
        assert!(self.counters.carriers.iter().all(|cells| cells.window_used() == 0), "windows in use");
        assert!(self.counters.carriers.iter().all(|cells| cells.parked.get() == 0), "receipts parked");
    }
}
