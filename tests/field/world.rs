//! A node in virtual time, carriers with a script, accounts that send, and what became of every message.

use crate::net::{Net, Told, WireId};
use crate::smsc::{Dlr, Smsc};
use crate::streams::{Esme, Stream};
use bindery::config::{self, Config, Files};
use bindery::counters::{CarrierCounters, Match, ShardCounters};
use bindery::prng::Prng;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::frame::{Frame, Pdu};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::Tag;
use bindery::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// The TLV that says which of the world's messages a request is; it passes like every TLV that nobody knows.
pub(crate) const NUMBER: Tag = Tag(0x1501);
/// No answer yet.
pub(crate) const OPEN: u32 = u32::MAX;

/// A peer's turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// A peer sends octets.
    Send(WireId, Vec<u8>),
    /// A carrier sends a receipt.
    Receipt(Dlr),
    /// A delivery should have been answered by now.
    Overdue(WireId, u32),
    /// A stream sends its next message.
    Feed(usize),
    /// This span is over.
    Mark(u64),
}

/// Who speaks on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Esme(usize),
    Carrier(usize),
    Stranger,
}

/// What is known of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) account: u16,
    pub(crate) wire: WireId,
    pub(crate) sent_at: Instant,
    pub(crate) answered_at: Instant,
    /// What it was answered with; `OPEN`: nothing yet.
    pub(crate) status: u32,
    /// The hash of the id that its account was given.
    pub(crate) id: u64,
    /// How often carriers saw it, and the last one that did.
    pub(crate) copies: u16,
    pub(crate) carrier: u8,
    /// Receipts its account took: final ones, and others.
    pub(crate) finals: u8,
    pub(crate) others: u8,
    /// What its last receipt said.
    pub(crate) stat: [u8; 7],
}

pub(crate) fn hash_of(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// See the file's header.
pub(crate) struct World {
    pub(crate) net: Net<Turn>,
    pub(crate) prng: Prng,
    pub(crate) config: Config,
    pub(crate) sides: Vec<Side>,
    pub(crate) carriers: Vec<Smsc>,
    pub(crate) esmes: Vec<Esme>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) messages: Vec<Message>,
    /// PDUs that strangers and watched links heard, when a test asked for them.
    pub(crate) watched: BTreeMap<WireId, Vec<Vec<u8>>>,
    pub(crate) open: usize,
    number: u32,
    spans: u64,
}

/// A configuration of this text behind one listener.
pub(crate) fn config_of(text: &str) -> Config {
    let whole = format!("[[listener]]\naddress = \"192.0.2.10:2775\"\nconnections_max = 1_000_000\n{text}");
    let mut files = Files {
        read: &mut |_: &Path| Ok(whole.clone()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("field.toml"), &mut files) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{}", report.render(false)),
    }
}

impl World {
    /// A node of this configuration, nobody bound yet.
    pub(crate) fn new(text: &str, shards: usize, seed: u64) -> Self {
        let config = config_of(text);
        let carriers = config.carriers.iter().map(|_| Smsc::default()).collect();
        let esmes = config.esmes.iter().map(|_| Esme::default()).collect();
        Self {
            net: Net::new(config.clone(), shards, seed),
            prng: Prng::new(seed),
            config,
            sides: Vec::new(),
            carriers,
            esmes,
            streams: Vec::new(),
            messages: Vec::new(),
            watched: BTreeMap::new(),
            open: 0,
            number: 1,
            spans: 0,
        }
    }

    /// As above, with all sessions of every carrier bound.
    pub(crate) fn up(text: &str, shards: usize, seed: u64) -> Self {
        let mut world = Self::new(text, shards, seed);
        world.run_until(Duration::from_secs(60), |world| world.carriers_bound());
        world
    }

    pub(crate) fn carriers_bound(&self) -> bool {
        let wanted = self.config.carriers.iter().map(|carrier| u64::from(carrier.sessions));
        wanted.enumerate().all(|(at, wanted)| self.carrier_cells(at).sessions.get() == wanted)
    }

    pub(crate) fn carrier_cells(&self, carrier: usize) -> &CarrierCounters {
        &self.net.counters[0].carriers[carrier]
    }

    /// Receipts of a carrier that ended so.
    pub(crate) fn matched(&self, carrier: usize, how: Match) -> u64 {
        self.carrier_cells(carrier).receipts.at(how as usize).get()
    }

    /// A cell that every shard has, over all of them.
    pub(crate) fn sum(&self, of: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.net.counters.iter().map(|counters| of(counters)).sum()
    }

    /// A number that was not used before.
    pub(crate) fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    pub(crate) fn now(&self) -> Instant {
        self.net.now.mono
    }

    /// One thing happens, and who is concerned reacts; true at the end of the latest span.
    fn step(&mut self) -> bool {
        match self.net.step() {
            Told::Connected(wire, carrier) => self.set_side(wire, Side::Carrier(carrier)),
            Told::Heard(wire, octets) => self.heard(wire, &octets),
            Told::Down(wire) => self.down(wire),
            Told::Turn(Turn::Mark(span)) => return span == self.spans,
            Told::Turn(Turn::Send(wire, octets)) => self.net.send(wire, octets),
            Told::Turn(Turn::Receipt(dlr)) => self.send_receipt(dlr),
            Told::Turn(Turn::Overdue(wire, sequence)) => self.delivery_overdue(wire, sequence),
            Told::Turn(Turn::Feed(stream)) => self.feed(stream),
            Told::Nothing => {}
        }
        false
    }

    fn begin_span(&mut self, span: Duration) {
        self.spans += 1;
        self.net.later(span, Turn::Mark(self.spans));
    }

    /// Lets so much time pass.
    pub(crate) fn run_for(&mut self, span: Duration) {
        self.begin_span(span);
        while !self.step() {}
    }

    /// Lets time pass until it is so, at most `limit`; how long it took.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let began = self.now();
        self.begin_span(limit);
        while !done(self) {
            assert!(!self.step(), "not within {limit:?}: {}", self.tally());
        }
        self.now().since(began)
    }

    pub(crate) fn set_side(&mut self, wire: WireId, side: Side) {
        if self.sides.len() <= wire {
            self.sides.resize(wire + 1, Side::Stranger);
        }
        self.sides[wire] = side;
    }

    fn heard(&mut self, wire: WireId, octets: &[u8]) {
        let mut rest = octets;
        while let Frame::Whole(pdu, behind) = Frame::next(rest, bindery::limits::PDU_MAX) {
            rest = behind;
            if let Some(watched) = self.watched.get_mut(&wire) {
                watched.push(pdu.bytes().to_vec());
            }
            match self.sides.get(wire).copied().unwrap_or(Side::Stranger) {
                Side::Esme(account) => self.esme_hears(account, wire, &pdu),
                Side::Carrier(carrier) => self.carrier_hears(carrier, wire, &pdu),
                Side::Stranger => {}
            }
        }
    }

    fn down(&mut self, wire: WireId) {
        match self.sides.get(wire).copied() {
            Some(Side::Esme(account)) => self.esmes[account].lost(wire),
            Some(Side::Carrier(carrier)) => self.carriers[carrier].sessions.retain(|(of, _)| *of != wire),
            Some(Side::Stranger) | None => {}
        }
    }

    /// What a link hears from now on is kept.
    pub(crate) fn watch(&mut self, wire: WireId) {
        self.watched.insert(wire, Vec::new());
    }

    /// What was kept since the last look.
    pub(crate) fn take_watched(&mut self, wire: WireId) -> Vec<Vec<u8>> {
        self.watched.get_mut(&wire).map(core::mem::take).unwrap_or_default()
    }

    /// How many messages ended so.
    pub(crate) fn answered(&self, status: CommandStatus) -> usize {
        self.messages.iter().filter(|message| message.status == status.0).count()
    }

    /// How many messages ended in each status, how many are open, how many receipts came.
    pub(crate) fn tally(&self) -> String {
        let mut by_status = BTreeMap::new();
        let (mut finals, mut others) = (0_u64, 0_u64);
        for message in &self.messages {
            *by_status.entry(message.status).or_insert(0_u64) += 1;
            finals += u64::from(message.finals);
            others += u64::from(message.others);
        }
        let by_status: Vec<_> = by_status
            .into_iter()
            .map(
                |(status, count)| {
                    if status == OPEN { format!("open {count}") } else { format!("{status:#x} {count}") }
                },
            )
            .collect();
        format!(
            "{} messages: {}; receipts {finals} final, {others} other",
            self.messages.len(),
            by_status.join(", ")
        )
    }

    /// Nothing is held for anybody any more: no copy, no queue, no parked receipt, no request in flight.
    #[track_caller]
    pub(crate) fn assert_base(&self) {
        assert_eq!(self.sum(|all| all.retained.get()), 0, "octets are held");
        for (at, carrier) in self.net.counters[0].carriers.iter().enumerate() {
            assert_eq!((carrier.queued.get(), carrier.parked.get()), (0, 0), "carrier {at} holds something");
            assert_eq!(carrier.window_used(), 0, "carrier {at} has something in flight");
        }
        for (at, esme) in self.net.counters[0].esmes.iter().enumerate() {
            assert_eq!(esme.window_used(), 0, "account {at} has something in flight");
        }
    }

    /// No message was answered twice or seen twice, and none is open.
    #[track_caller]
    pub(crate) fn assert_each_once(&self) {
        let twice = self.messages.iter().filter(|message| message.copies > 1).count();
        let open = self.messages.iter().filter(|message| message.status == OPEN).count();
        assert_eq!((twice, open), (0, 0), "sent twice, never answered: {}", self.tally());
    }
}

/// Which of the world's messages a request for a handset is.
pub(crate) fn number_of(pdu: &Pdu<'_>) -> Option<u32> {
    let mut at = pdu.body();
    // It stands at the end of what the world writes, so the last of its octets are it.
    at = at.get(at.len().checked_sub(8)?..)?;
    let mut cursor = Cursor::new(at, 0);
    let [high, low, 0, 4] = cursor.octets("").ok()? else { return None };
    (u16::from_be_bytes([high, low]) == NUMBER.0).then_some(())?;
    cursor.octets("").ok().map(u32::from_be_bytes)
}
