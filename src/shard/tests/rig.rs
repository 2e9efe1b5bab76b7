//! The rig: it owns the shards of a node and plays their drivers, their ESMEs and their carriers, in virtual time.
//!
//! `RIG_SHARDS` says how accounts and carriers are spread: `1` on one shard, `2` on two with every account apart from
//! every carrier, `3` over three; `tests/homes.rs` runs everything in each of these ways.
//!
//! Owns: the streams between the shards and their peers, the letters, the clock. Takes: what peers send. Gives: what they hear.
//! Never: a socket. It checks at every step that a carrier has no more sockets than its `sessions`.

use super::super::mail::{Mail, Parcel};
use super::super::port::{Action, Answer, CloseHow, Connect, Core, Event, Input, Outbox, Ticket};
use super::super::{Position, Shard};
use super::pdus::{Heard, bind, header};
use crate::carrier::tests::settings as carrier_settings;
use crate::config::{Config, Homes, Io, Listener, Node, Privacy, Shards};
use crate::counters::{Hints, Ignored, Match, Reason, ShardCounters};
use crate::esme::tests::settings as esme_settings;
use crate::ids::{CarrierId, LinkId, ListenerId, PoolId, ShardId};
use crate::limits::PDU_MAX;
use crate::route::settings::{Member, MemberSettings, PoolSettings};
use crate::session::BindKind;
use crate::smpp::frame::Frame;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a disk may say: something is broken, nothing is left.
pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

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
            data_dir: "data".into(),
        },
        listeners: vec![Listener {
            address: "192.0.2.10:2775".parse().unwrap(),
            connections_max: 1000,
            connections_per_address: 1000,
            session_init_timeout: Duration::from_secs(10),
            unbound_max: 1000,
            admission: crate::esme::admission::tests::settings(),
            output_timeout: crate::limits::OUTPUT_STALL,
            pdu_max: 128 * 1024,
        }],
        esmes: esmes
            .iter()
            .map(|name| crate::esme::Settings {
                pool: Some(PoolId(0)),
                sessions_max: 8,
                ..esme_settings(name)
            })
            .map(Into::into)
            .collect(),
        carriers: carriers
            .iter()
            .map(|name| crate::carrier::Settings { sessions: 1, ..carrier_settings(name) })
            .collect(),
        carrier_homes: vec![None; carriers.len()],
        pools: vec![PoolSettings::weighted("main", members)],
        policies: Vec::new(),
        classes: Vec::new(),
        routes: Vec::new(),
        mo_routes: Vec::new(),
        http: None,
        journal: None,
        privacy: Privacy::default(),
        cdrs: Vec::new(),
    }
}

pub(super) fn member(carrier: usize, weight: u32) -> MemberSettings {
    MemberSettings { member: Member::Carrier(CarrierId::new(carrier)), weight, tier: 1 }
}

/// Requests that may be under way between two shards.
const CREDITS: u32 = 1000;

/// Who is at home where, as `RIG_SHARDS` says.
fn homes(config: &Config) -> Homes {
    let (esmes, carriers) = (config.esmes.len(), config.carriers.len());
    let spread = |count: usize, from: usize| (0..count).map(|at| ShardId::new((at + from) % 3)).collect();
    match std::env::var("RIG_SHARDS").as_deref() {
        Ok("2") => Homes::fixed(2, vec![ShardId(1); esmes], vec![ShardId(0); carriers]),
        Ok("3") => Homes::fixed(3, spread(esmes, 1), spread(carriers, 2)),
        _ => Homes::one(config),
    }
}

/// A connect that the shard asked for and that has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) ticket: Ticket,
    pub(super) carrier: usize,
    shard: usize,
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
    pub(super) shards: Vec<Shard>,
    outs: Vec<Outbox>,
    /// The shard that has each link.
    at: BTreeMap<LinkId, usize>,
    exits: usize,
    credits: u32,
    /// Letters stay where they were written.
    pub(super) holds_mail: bool,
    held: Vec<(usize, ShardId, Mail)>,
    pub(super) now: Now,
    pub(super) counters: Arc<ShardCounters>,
    all_counters: Vec<Arc<ShardCounters>>,
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
        let homes = homes(&config);
        Self::placed(config, seed, homes, CREDITS)
    }

    /// With everybody at home where they are said to be, and so many requests under way between two shards.
    pub(super) fn placed(config: Config, seed: u64, homes: Homes, credits: u32) -> Self {
        let homes = Arc::new(homes);
        let config = Arc::new(config);
        let hints = Arc::new(Hints::new(config.carriers.len()));
        let first = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
        let mut all_counters = vec![first];
        while all_counters.len() < homes.shards() {
            all_counters.push(Arc::new(all_counters[0].beside()));
        }
        let shard = |(index, counters): (usize, &Arc<ShardCounters>)| {
            let (homes, hints) = (Arc::clone(&homes), Arc::clone(&hints));
            let position = Position { shard: ShardId::new(index), homes, hints, credits };
            Shard::placed(Arc::clone(&config), Arc::clone(counters), position, seed + index as u64)
        };
        let shards: Vec<Shard> = all_counters.iter().enumerate().map(shard).collect();
        let sessions = config.carriers.iter().map(|carrier| carrier.sessions as usize).collect();
        let start = Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) };
        let mut rig = Self {
            outs: shards.iter().map(|_| Outbox::new()).collect(),
            shards,
            at: BTreeMap::new(),
            exits: 0,
            credits,
            holds_mail: false,
            held: Vec::new(),
            now: start,
            counters: Arc::clone(&all_counters[0]),
            all_counters,
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
        Self::new(config).with_carriers()
    }

    pub(super) fn with_carriers(mut self) -> Self {
        for carrier in 0..self.sessions.len() {
            self.carrier_up(carrier);
        }
        self
    }

    fn open(&mut self, shard: usize, carrier: Option<usize>) -> LinkId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            (self.generations.len() - 1) as u32
        });
        self.generations[slot as usize] += 1;
        let link = LinkId { slot, generation: self.generations[slot as usize] };
        self.outs[shard].open(link);
        self.at.insert(link, shard);
        self.peers.insert(link, Peer { carrier, takes: usize::MAX, ..Peer::default() });
        link
    }

    fn handle_at(&mut self, shard: usize, input: Input<'_>) {
        self.shards[shard].handle(self.now, input, &mut self.outs[shard]);
        self.shards[shard].end_turn(self.now, &mut self.outs[shard]);
    }

    fn handle(&mut self, link: LinkId, input: Input<'_>) {
        self.handle_at(self.at[&link], input);
    }

    /// Every shard is told.
    pub(super) fn input_all(&mut self, input: impl Fn() -> Input<'static>) {
        for shard in 0..self.shards.len() {
            self.handle_at(shard, input());
        }
        self.turn();
    }

    fn input_at(&mut self, shard: usize, input: Input<'_>) {
        self.handle_at(shard, input);
        self.turn();
    }

    pub(super) fn backlog(&self, link: LinkId) -> usize {
        self.outs[self.at[&link]].backlog(link)
    }

    pub(super) fn timers(&self) -> usize {
        self.shards.iter().map(|shard| shard.timers.len()).sum()
    }

    /// A cell that every shard has, over all of them.
    pub(super) fn sum(&self, of: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.all_counters.iter().map(|counters| of(counters)).sum()
    }

    /// Whether it holds for every shard.
    pub(super) fn all(&self, holds: impl Fn(&ShardCounters) -> bool) -> bool {
        self.all_counters.iter().all(|counters| holds(counters))
    }

    /// Log lines of this name.
    pub(super) fn events_named(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event.name == name).count()
    }

    /// Carries what the shards wrote to each other; true when there was something.
    fn carry(&mut self) -> bool {
        let (mut mails, mut any) = (Vec::new(), false);
        for from in 0..self.shards.len() {
            self.outs[from].take_mails(&mut mails);
            self.held.extend(mails.drain(..).map(|(to, mail)| (from, to, mail)));
        }
        if self.holds_mail {
            return false;
        }
        for (from, to, mail) in core::mem::take(&mut self.held) {
            any = true;
            self.handle_at(to.index(), Input::Mail { from: ShardId::new(from), mail });
        }
        any
    }

    /// The letters that were held arrive.
    pub(super) fn deliver_mail(&mut self) {
        self.holds_mail = false;
        self.turn();
    }

    fn take_dirty(&mut self) -> Option<(LinkId, Vec<u8>)> {
        self.outs.iter_mut().find_map(Outbox::take_dirty)
    }

    fn hand_over(&mut self, link: LinkId, to: usize, parcel: Parcel) {
        self.send_dirty();
        let from = self.at[&link];
        self.outs[from].closed(link);
        self.at.insert(link, to);
        self.outs[to].open(link);
        self.handle_at(to, Input::HandedOver { link, parcel });
    }

    fn send_dirty(&mut self) -> bool {
        let mut any = false;
        while let Some((link, buffer)) = self.take_dirty() {
            any = true;
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.sending.extend_from_slice(&buffer);
            }
            self.outs[0].keep(buffer);
            self.flush(link);
        }
        any
    }

    /// One write per dirty link, then what the shard asked for, until there is no more of either.
    fn turn(&mut self) {
        let mut actions = Vec::new();
        loop {
            let mut idle = !self.send_dirty();
            for shard in 0..self.shards.len() {
                self.outs[shard].take_actions(&mut actions);
                idle &= actions.is_empty();
                for action in actions.drain(..) {
                    self.act(shard, action);
                }
            }
            idle &= !self.carry();
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
        if octets > 0 && self.outs[self.at[&link]].flushed(link, octets) {
            self.handle(link, Input::Room { link });
        }
    }

    fn read(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.paused) else { return };
        let bytes = core::mem::take(&mut peer.unread);
        if !bytes.is_empty() {
            self.handle(link, Input::Bytes { link, bytes: &bytes });
        }
    }

    fn act(&mut self, shard: usize, action: Action) {
        match action {
            Action::Connect(Connect { ticket, .. }) => {
                let carrier = (ticket.0 >> 32) as usize;
                self.dials.push(Dial { ticket, carrier, shard });
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
            Action::HandOver { link, to, parcel } => self.hand_over(link, to.index(), parcel),
            Action::Exit => {
                self.exits += 1;
                self.exit = self.exits >= self.shards.len();
            }
        }
    }

    /// Connects under way and links of a carrier.
    pub(super) fn sockets(&self, carrier: usize) -> usize {
        let open = self.peers.values().filter(|peer| peer.carrier == Some(carrier)).count();
        open + self.dials.iter().filter(|dial| dial.carrier == carrier).count()
    }

    fn close(&mut self, link: LinkId, how: CloseHow) {
        if how == CloseHow::AfterFlush {
            self.send_dirty();
        }
        self.gone(link, "closed");
    }

    fn gone(&mut self, link: LinkId, reason: &str) {
        let Some(peer) = self.peers.remove(&link) else { return };
        self.ended.insert(link, peer);
        self.outs[self.at[&link]].closed(link);
        self.free.push(link.slot);
        self.handle(link, Input::Closed { link, reason });
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
        while let Some((at, shard)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.set_clock(at.max(self.now.mono));
            self.input_at(shard, Input::Time);
            wakes += 1;
            assert!(wakes < 5_000_000, "the shard is woken without end");
        }
        self.set_clock(end);
    }

    fn next_deadline(&self) -> Option<(Instant, usize)> {
        let deadlines = self.shards.iter().enumerate();
        deadlines.filter_map(|(index, shard)| Some((shard.deadline()?, index))).min()
    }

    /// Lets time pass; no shard is woken, as when the driver was busy.
    pub(super) fn oversleep(&mut self, span: Duration) {
        self.set_clock(self.now.mono.after(span));
    }

    fn set_clock(&mut self, at: Instant) {
        let passed = at.since(self.now.mono);
        self.now.wall.0 += passed.as_micros() as i64;
        self.now.mono = at;
    }

    /// Somebody connects to the listener.
    pub(super) fn accept_from(&mut self, peer: &str) -> LinkId {
        self.accept_at(0, peer)
    }

    /// The same with one of several.
    pub(super) fn accept_at(&mut self, listener: u32, peer: &str) -> LinkId {
        let listener = ListenerId(listener);
        let shard = self.shards[0].position.homes.of_listener(listener).index();
        let link = self.open(shard, None);
        let peer: SocketAddr = peer.parse().unwrap();
        self.input_at(shard, Input::Accepted { link, listener, peer });
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
        let Dial { ticket, shard, .. } = self.dials.remove(at);
        let link = self.open(shard, Some(carrier));
        self.input_at(shard, Input::Connected { link, ticket });
        link
    }

    pub(super) fn fail_connect(&mut self, carrier: usize) {
        let at = self.dials.iter().position(|dial| dial.carrier == carrier).unwrap();
        let Dial { ticket, shard, .. } = self.dials.remove(at);
        self.input_at(shard, Input::ConnectFailed { ticket, reason: "refused" });
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
        self.sum(|counters| counters.ignored.at(why as usize).get())
    }

    pub(super) fn receipts(&self, carrier: usize, what: Match) -> u64 {
        self.counters.carriers[carrier].receipts.at(what as usize).get()
    }

    /// Nothing is in flight, nothing is held.
    #[track_caller]
    pub(super) fn assert_settled(&self) {
        for shard in &self.shards {
            assert_eq!(shard.messages.len(), 0, "messages");
            assert_eq!(shard.multis.len(), 0, "submit_multi");
            assert_eq!(shard.deliveries.len(), 0, "deliveries");
            assert!(shard.parked.is_empty(), "parked");
            assert_eq!(shard.retained.bytes(), 0, "retained");
            assert!(shard.post.all_credits(self.credits), "credits");
        }
        assert!(self.counters.esmes.iter().all(|cells| cells.window_used() == 0), "requests in flight");
        assert!(self.counters.carriers.iter().all(|cells| cells.window_used() == 0), "windows in use");
        assert!(self.counters.carriers.iter().all(|cells| cells.parked.get() == 0), "receipts parked");
    }
}
