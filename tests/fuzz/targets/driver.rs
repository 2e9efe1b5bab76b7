//! Two shards of a node under a driver that holds letters, links and octets back as it is told, and checks at every step
//! what a peer could see.

use bindery::config::{self, Files, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::limits::PDU_MAX_DEFAULT;
use bindery::shard::mail::{Mail, Parcel};
use bindery::shard::port::{Action, Core, Input, Outbox, Ticket};
use bindery::shard::{Plan, Position, Shard};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::Frame;
use bindery::time::{Duration, Instant, Now, Wall};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The window of an account's session, and of a carrier's.
pub(super) const WINDOWS: (usize, usize) = (3, 2);
/// Sessions of each carrier.
const SESSIONS: usize = 2;
/// response_timeout on both sides.
pub(super) const RESPONSE: Duration = Duration::from_secs(3);

const TEXT: &str = r#"
[[listener]]
address = "192.0.2.10:2775"
session_init_timeout = "5s"
[policy.p]
rate = "50/s"
burst = 5
[defaults.esme]
password = "secret"
pool = "main"
sessions_max = 3
window_max = 3
answer_timeout = "8s"
response_timeout = "3s"
enquire_link_interval = "10s"
inactivity_timeout = "60s"
[esme.a]
[esme.b]
window_over = "refuse"
message_id = "own"
receipts = "submitting"
policy = "p"
[defaults.carrier]
system_id = "bindery"
password = "secret"
sessions = 2
window_max = 2
queue_max = 4
response_timeout = "3s"
enquire_link_interval = "10s"
reconnect = { min = "100ms", max = "2s" }
[carrier.alpha]
addresses = ["alpha.example:2775"]
bind = "tx+rx"
rate = "20/s"
burst = 2
[carrier.beta]
addresses = ["beta.example:2775"]
interface_version = "3.3"
bind = "trx"
[pool.main]
on_unknown = "resend"
eject = {}
members = [{ carrier = "alpha" }, { carrier = "beta", weight = 2 }]
[[mo_route]]
deliver = [{ esme = "a" }, { esme = "b" }]
"#;

fn plan() -> &'static (Plan, usize, usize) {
    static PLAN: OnceLock<(Plan, usize, usize)> = OnceLock::new();
    PLAN.get_or_init(|| {
        let mut files = Files {
            read: &mut |_: &Path| Ok(TEXT.to_owned()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        match config::load(Path::new("fuzz.toml"), &mut files) {
            Ok(loaded) => {
                let (esmes, carriers) = (loaded.config.esmes.len(), loaded.config.carriers.len());
                (Plan::new(Arc::new(loaded.config)), esmes, carriers)
            }
            Err(report) => panic!("{}", report.render(false)),
        }
    })
}

/// Whole PDUs at the front of these octets.
fn pdus(mut octets: &[u8]) -> usize {
    let mut count = 0;
    while let Frame::Whole(_, behind) = Frame::next(octets, PDU_MAX_DEFAULT) {
        (octets, count) = (behind, count + 1);
    }
    count
}

/// One link, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Peer {
    shard: usize,
    /// `None`: an ESME.
    pub(super) carrier: Option<usize>,
    /// Written by the node, not taken by its socket.
    sending: Vec<u8>,
    /// When each PDU of that was written.
    written: VecDeque<Instant>,
    /// Of that, octets that its former shard wrote.
    former: usize,
    /// The socket takes nothing.
    pub(super) stuck: bool,
    paused: bool,
    /// Sent to the node, not read.
    unread: Vec<u8>,
    /// What the peer has of a PDU that is not whole.
    stream: Vec<u8>,
    /// Requests of the node that the peer has not answered: command, number, when they were written.
    pub(super) asked: VecDeque<(CommandId, u32, Instant, Vec<u8>)>,
    /// Numbers that the peer answered before it had read what it was asked.
    early: BTreeSet<u32>,
    /// What the peer sent, as far as it is framed; responses that it got.
    sent: Vec<u8>,
    requests: u64,
    responses: u64,
    lost: bool,
    moving: bool,
}

impl Peer {
    /// When a request was written, no more than a window of them was in flight.
    ///
    /// Each is so for the response time from when the node wrote it, not from when the peer's socket took it: its slot
    /// is free again then, answered or not, and no node can know when a peer reads. Whoever reads nothing for longer
    /// than that, and still sends, finds requests that are overdue beside a new window; it may answer both.
    fn check_window(&self, written: Instant) {
        let window = if self.carrier.is_some() { WINDOWS.1 } else { WINDOWS.0 };
        let in_window = |command: CommandId| {
            matches!(
                command,
                CommandId::SUBMIT_SM | CommandId::DELIVER_SM | CommandId::DATA_SM | CommandId::SUBMIT_MULTI
            )
        };
        let in_flight = |command: CommandId, at: Instant| in_window(command) && written.since(at) < RESPONSE;
        let flying = self.asked.iter().filter(|(command, _, at, _)| in_flight(*command, *at)).count();
        assert!(flying <= window, "{flying} in flight in a window of {window}");
    }
}

/// See the file's header.
pub(super) struct Driver {
    shards: Vec<(Shard, Outbox)>,
    pub(super) counters: Vec<Arc<ShardCounters>>,
    pub(super) now: Now,
    pub(super) peers: BTreeMap<LinkId, Peer>,
    pub(super) dials: Vec<(usize, Ticket, usize)>,
    letters: VecDeque<(usize, usize, Mail)>,
    parcels: VecDeque<(LinkId, usize, Parcel)>,
    /// Letters and parcels stay where they are.
    pub(super) holds: bool,
    next: u32,
    exits: usize,
    /// Sessions over a ceiling cannot be told apart once the node has ended.
    resumed: Vec<LinkId>,
}

impl Driver {
    pub(super) fn new(seed: u64) -> Self {
        let (plan, esmes, carriers) = plan();
        let homes = Homes::fixed(2, vec![ShardId(1), ShardId(0)], vec![ShardId(0), ShardId(1)]);
        let (homes, hints) = (Arc::new(homes), Arc::new(Hints::new(*carriers)));
        let first = Arc::new(ShardCounters::new(*esmes, *carriers));
        let counters = vec![Arc::clone(&first), Arc::new(first.beside())];
        let shards = counters.iter().enumerate().map(|(shard, counters)| {
            let (homes, hints) = (Arc::clone(&homes), Arc::clone(&hints));
            let position = Position { shard: ShardId::new(shard), homes, hints, credits: 3 };
            (Shard::planned(plan, Arc::clone(counters), position, seed + shard as u64), Outbox::new())
        });
        let now = Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) };
        let mut driver = Self {
            shards: shards.collect(),
            counters,
            now,
            peers: BTreeMap::new(),
            dials: Vec::new(),
            letters: VecDeque::new(),
            parcels: VecDeque::new(),
            holds: false,
            next: 0,
            exits: 0,
            resumed: Vec::new(),
        };
        driver.pass(Duration::ZERO);
        driver
    }

    fn feed(&mut self, shard: usize, input: Input<'_>) {
        let (core, out) = &mut self.shards[shard];
        core.handle(self.now, input, out);
        core.end_turn(self.now, out);
        self.act(shard);
    }

    /// One input, and everything that follows from it.
    fn input(&mut self, shard: usize, input: Input<'_>) {
        self.feed(shard, input);
        self.settle();
    }

    pub(super) fn input_all(&mut self, input: impl Fn() -> Input<'static>) {
        (0..self.shards.len()).for_each(|shard| self.input(shard, input()));
    }

    pub(super) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100_000, "letters go round without end");
            if let Some(link) = self.resumed.pop() {
                self.read(link);
            } else if self.holds {
                return;
            } else if let Some((link, to, parcel)) = self.parcels.pop_front() {
                self.hand_over(link, to, parcel);
            } else if let Some((from, to, mail)) = self.letters.pop_front() {
                self.feed(to, Input::Mail { from: ShardId::new(from), mail });
            } else {
                return;
            }
        }
    }

    fn act(&mut self, shard: usize) {
        while let Some((link, buffer)) = self.shards[shard].1.take_dirty() {
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.written.extend(core::iter::repeat_n(self.now.mono, pdus(&buffer)));
                peer.sending.extend_from_slice(&buffer);
            }
            self.shards[shard].1.keep(buffer);
            self.flush(link);
        }
        let mut actions = Vec::new();
        self.shards[shard].1.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Connect(connect) => {
                    let carrier = usize::from(connect.address.starts_with("beta"));
                    self.dials.push((shard, connect.ticket, carrier));
                    assert!(self.sockets(carrier) <= SESSIONS, "more sockets than sessions");
                }
                Action::Close(link, _) => self.gone(link),
                Action::Pause(link) => self.pause(link, true),
                Action::Resume(link) => self.pause(link, false),
                Action::HandOver { link, to, parcel } => {
                    self.shards[shard].1.closed(link);
                    if let Some(peer) = self.peers.get_mut(&link) {
                        (peer.moving, peer.paused, peer.former) = (true, false, peer.sending.len());
                        self.parcels.push_back((link, to.index(), parcel));
                    }
                }
                Action::Log(_) | Action::Answer { .. } => {}
                Action::Exit => self.exits += 1,
            }
        }
        let mut mails = Vec::new();
        self.shards[shard].1.take_mails(&mut mails);
        self.letters.extend(mails.into_iter().map(|(to, mail)| (shard, to.index(), mail)));
    }

    /// Connects under way and links of a carrier.
    fn sockets(&self, carrier: usize) -> usize {
        let links = self.peers.values().filter(|peer| peer.carrier == Some(carrier)).count();
        links + self.dials.iter().filter(|(.., of)| *of == carrier).count()
    }

    fn pause(&mut self, link: LinkId, paused: bool) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.paused = paused;
            if !paused {
                self.resumed.push(link);
            }
        }
    }

    fn hand_over(&mut self, link: LinkId, to: usize, mut parcel: Parcel) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        (peer.moving, peer.shard) = (false, to);
        parcel.unread.append(&mut peer.unread);
        self.shards[to].1.open(link);
        self.feed(to, Input::HandedOver { link, parcel });
    }

    fn open(&mut self, shard: usize, carrier: Option<usize>) -> LinkId {
        self.next += 1;
        let link = LinkId { slot: self.next, generation: 1 };
        self.shards[shard].1.open(link);
        self.peers.insert(link, Peer { shard, carrier, ..Peer::default() });
        link
    }

    /// Somebody connects.
    pub(super) fn connect(&mut self) {
        let link = self.open(0, None);
        let peer = core::net::SocketAddr::from(([198, 51, 100, 7], 1024));
        self.input(0, Input::Accepted { link, listener: ListenerId::new(0), peer });
    }

    /// The first connect of a shard ends.
    pub(super) fn dialled(&mut self, up: bool) {
        if self.dials.is_empty() {
            return;
        }
        let (shard, ticket, carrier) = self.dials.remove(0);
        if up {
            let link = self.open(shard, Some(carrier));
            self.input(shard, Input::Connected { link, ticket });
        } else {
            self.input(shard, Input::ConnectFailed { ticket, reason: "refused" });
        }
    }

    /// A peer sends octets.
    pub(super) fn send(&mut self, link: LinkId, octets: &[u8]) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.sent.extend_from_slice(octets);
        while !peer.lost {
            match Frame::next(&peer.sent, PDU_MAX_DEFAULT) {
                Frame::Whole(pdu, _) => {
                    let length = pdu.bytes().len();
                    if pdu.command_id().is_response() {
                        let number = pdu.sequence_number();
                        let asked = peer.asked.len();
                        peer.asked.retain(|(_, of, ..)| *of != number);
                        // The request may be in its socket, or be written before this is read: it is answered then.
                        if asked == peer.asked.len() {
                            peer.early.insert(number);
                        }
                    }
                    peer.requests += 1;
                    peer.sent.drain(..length);
                }
                Frame::Partial(_) => break,
                Frame::Lost(_) => {
                    peer.requests += 1;
                    peer.lost = true;
                }
            }
        }
        peer.unread.extend_from_slice(octets);
        self.read(link);
        self.settle();
    }

    fn read(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.paused && !peer.moving) else {
            return;
        };
        let (bytes, shard) = (core::mem::take(&mut peer.unread), peer.shard);
        if !bytes.is_empty() {
            self.feed(shard, Input::Bytes { link, bytes: &bytes });
        }
    }

    /// The socket takes nothing from now on, or everything.
    pub(super) fn stick(&mut self, link: LinkId, stuck: bool) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.stuck = stuck;
            self.flush(link);
            self.settle();
        }
    }

    fn flush(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link).filter(|peer| !peer.stuck && !peer.moving) else { return };
        let octets = core::mem::take(&mut peer.sending);
        let (shard, own) = (peer.shard, octets.len() - core::mem::take(&mut peer.former));
        self.heard(link, &octets);
        if own > 0 && self.shards[shard].1.flushed(link, own) {
            self.feed(shard, Input::Room { link });
        }
    }

    /// What a peer hears: whole PDUs, one answer for a request at most, no more requests than its window.
    fn heard(&mut self, link: LinkId, octets: &[u8]) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.stream.extend_from_slice(octets);
        let stream = core::mem::take(&mut peer.stream);
        let mut rest = stream.as_slice();
        loop {
            match Frame::next(rest, PDU_MAX_DEFAULT) {
                Frame::Whole(pdu, behind) => {
                    rest = behind;
                    let written = peer.written.pop_front().expect("each PDU was written");
                    if pdu.command_id().is_response() {
                        peer.responses += 1;
                        assert!(peer.responses <= peer.requests, "an answer that nobody asked for: {pdu:?}");
                    } else {
                        assert!(pdu.sequence_number() > 0);
                        if peer.early.remove(&pdu.sequence_number()) {
                            continue;
                        }
                        peer.asked.push_back((
                            pdu.command_id(),
                            pdu.sequence_number(),
                            written,
                            pdu.bytes().to_vec(),
                        ));
                        peer.check_window(written);
                    }
                }
                Frame::Partial(_) => break,
                Frame::Lost(length) => panic!("the node loses framing: {length}"),
            }
        }
        assert!(rest.is_empty(), "the node writes whole PDUs");
    }

    /// A link ends.
    pub(super) fn gone(&mut self, link: LinkId) {
        let Some(peer) = self.peers.remove(&link) else { return };
        if peer.moving {
            // It is known to nobody; who gets the parcel hears of its end at once.
            let at = self.parcels.iter().position(|(of, ..)| *of == link);
            let Some((_, to, parcel)) = at.and_then(|at| self.parcels.remove(at)) else { return };
            self.shards[to].1.open(link);
            self.feed(to, Input::HandedOver { link, parcel });
            self.shards[to].1.closed(link);
            return self.feed(to, Input::Closed { link, reason: "gone" });
        }
        self.shards[peer.shard].1.closed(link);
        self.feed(peer.shard, Input::Closed { link, reason: "gone" });
    }

    /// Time passes; whatever is due happens on the way.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.mono.after(span);
        for round in 0.. {
            assert!(round < 100_000, "the core is woken without end");
            let due =
                self.shards.iter().enumerate().filter_map(|(at, (core, _))| Some((core.deadline()?, at)));
            let Some((at, shard)) = due.min().filter(|(at, _)| *at <= end) else { break };
            self.clock(at);
            self.input(shard, Input::Time);
        }
        self.clock(end);
    }

    fn clock(&mut self, at: Instant) {
        let passed = at.since(self.now.mono);
        self.now.wall.0 += passed.as_micros() as i64;
        self.now.mono = self.now.mono.after(passed);
    }

    /// Every link ends and time passes: nothing is held for anybody.
    pub(super) fn end(&mut self) {
        self.holds = false;
        self.settle();
        let links: Vec<LinkId> = self.peers.keys().copied().collect();
        for link in links {
            self.gone(link);
            self.settle();
        }
        for _ in 0..6 {
            while !self.dials.is_empty() {
                self.dialled(false);
            }
            self.pass(Duration::from_secs(10));
        }
        for (at, counters) in self.counters.iter().enumerate() {
            assert_eq!(counters.retained.get(), 0, "shard {at} holds octets");
            assert_eq!(counters.links.get(), 0, "shard {at} counts links");
        }
        for carrier in self.counters[0].carriers.iter() {
            assert_eq!((carrier.queued.get(), carrier.parked.get(), carrier.window_used()), (0, 0, 0));
        }
        for esme in self.counters[0].esmes.iter() {
            assert_eq!((esme.window_used(), esme.sessions.get()), (0, 0));
        }
    }
}
