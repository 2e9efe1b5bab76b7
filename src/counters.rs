//! Counters: single-writer cells, summed when read. Owns: the cells. Takes: an event that happened on the shard.
//! Gives: numbers to whoever reads. Never: a lock, a read-modify-write on a shared line.

use crate::time::Duration;
use core::sync::atomic::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the shard that owns the cell may call it: load and store, no atomic addition (below 1 ns).
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn bump(&self) {
        self.add(1);
    }

    /// Takes one back, of a gauge; never below zero.
    #[inline]
    pub fn lower(&self) {
        self.set(self.get().saturating_sub(1));
    }

    /// For gauges.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$vdoc])* $variant,)*
        }

        impl $enum {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The one name of metric, record, log and problem code.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Why we refused something of an ESME (`interface`: what an ESME is answered).
    Reason {
        /// Account, password or address wrong.
        Credentials = "credentials",
        /// Over sessions_max.
        Sessions = "sessions",
        /// The node drains.
        Draining = "draining",
        /// Over the window.
        Window = "window",
        /// Over the rate of its policy.
        Rate = "rate",
        /// Bytes held for other messages are at their limit.
        Retained = "retained",
        /// The destination is empty or no number.
        Destination = "destination",
        /// Neither route nor pool.
        NoRoute = "no_route",
        /// Nobody could take it before the deadline; nothing was written.
        NoCarrier = "no_carrier",
        /// The carriers' queues are full.
        QueueFull = "queue_full",
        /// Written, never answered.
        Unknown = "unknown",
        /// Longer than the peer can take.
        Parts = "parts",
        /// The message it names is not this account's.
        MessageId = "message_id",
        /// The PDU is malformed.
        Malformed = "malformed",
        /// Not legal in the session's state.
        BindStatus = "bind_status",
        /// A PDU that we do not know, or not in this version.
        Command = "command",
        /// The journal has no room for it.
        JournalFull = "journal_full",
    }
}

reasons! {
    /// Why a connection was closed as it came, or before it bound.
    TurnedAway {
        /// Its address is banned for binds that failed.
        Banned = "banned",
        /// Over the rate of its address.
        BindRate = "bind_rate",
        /// Over connections_max.
        Connections = "connections",
        /// Over connections_per_address.
        PerAddress = "connections_per_address",
        /// Over unbound_max, and the one that had not bound for longest.
        Unbound = "unbound",
        /// The node drains.
        Draining = "draining",
    }
}

reasons! {
    /// Why we closed a session that the peer had not ended.
    Dropped {
        /// Not bound in time.
        SessionInit = "session_init",
        /// No answer to our bind or unbind.
        Control = "control",
        /// What was in flight did not end in time when it was to unbind.
        Drain = "drain",
        /// enquire_link was met by silence.
        EnquireLink = "enquire_link",
        /// A PDU did not become whole in time.
        PduRead = "pdu_read",
        /// It did not take its output.
        Output = "output",
        /// It answered none of its deliveries.
        Unanswered = "unanswered",
    }
}

reasons! {
    /// What was ignored or dropped because no answer is possible or due.
    Ignored {
        /// A response whose sequence number is not in flight: late, duplicate or never sent.
        ResponseUnknown = "response_unknown",
        /// A response whose type does not fit the request in flight.
        ResponseWrongType = "response_wrong_type",
        /// bit 31 set on a command that does not exist.
        ResponseCommand = "response_command",
        /// An answer for an ESME that has gone.
        ResponseEsmeGone = "response_esme_gone",
        /// An alert_notification that no mo_route or session takes.
        Alert = "alert",
        /// A late answer to a receipt or MO whose carrier link has gone.
        DeliveryCarrierGone = "delivery_carrier_gone",
    }
}

reasons! {
    /// What became of a receipt that a carrier sent.
    Match {
        /// Its message is known; given to the account.
        Matched = "matched",
        /// Held because its message is not known yet.
        Parked = "parked",
        /// Refused because its message did not become known.
        Orphan = "orphan",
        /// The account has it already.
        Duplicate = "duplicate",
    }
}

/// One cell per variant of a reason.
#[derive(Debug)]
pub struct Cells<const N: usize>([Counter; N]);

impl<const N: usize> Default for Cells<N> {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Cells<N> {
    /// The cell with this number; the last when it is beyond.
    #[must_use]
    pub fn at(&self, index: usize) -> &Counter {
        match self.0.get(index) {
            Some(cell) => cell,
            None => self.0.last().unwrap_or(&NOWHERE),
        }
    }
}

static NOWHERE: Counter = Counter(AtomicU64::new(0));

/// The statuses of submits and MO that have a cell of their own, in ascending order (SMPP 5.0 §4.7.6).
pub const STATUSES: [u32; 47] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0C, 0x14, 0x15, 0x33, 0x34, 0x40, 0x42,
    0x43, 0x44, 0x45, 0x48, 0x49, 0x50, 0x51, 0x53, 0x54, 0x55, 0x58, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66,
    0x67, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xFE, 0xFF, 0x100, 0x101, 0x102, 0x103, 0x104,
];

/// For each number the place of its cell; the one behind the last is everything else.
const PLACES: [u8; 0x105] = {
    let mut places = [STATUSES.len() as u8; 0x105];
    let mut at = 0;
    while at < STATUSES.len() {
        places[STATUSES[at] as usize] = at as u8;
        at += 1;
    }
    places
};

/// One cell per known status, and one for all others.
#[derive(Debug, Default)]
pub struct StatusCells(Cells<{ STATUSES.len() + 1 }>);

impl StatusCells {
    /// The cell of this command_status.
    #[must_use]
    pub fn of(&self, status: u32) -> &Counter {
        let place = PLACES.get(status as usize).copied();
        self.0.at(place.map_or(STATUSES.len(), usize::from))
    }

    /// Every cell with its status; `None`: all others.
    pub fn all(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        let known = STATUSES.iter().copied().map(Some);
        known.chain([None]).enumerate().map(|(at, status)| (status, self.0.at(at).get()))
    }

    /// All cells together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.all().map(|(_, count)| count).sum()
    }
}

/// The upper bounds of a histogram's buckets, microseconds; one more bucket holds what is longer.
pub const SPAN_BOUNDS_US: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// For each number of bits: the bucket of the smallest number of microseconds that has so many.
const FIRST_BUCKETS: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits < first.len() {
        let mut bucket = 0;
        while bucket < SPAN_BOUNDS_US.len() && SPAN_BOUNDS_US[bucket] < 1 << (bits - 1) {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
};

/// The bucket of a span: a step or two from the first of its size, where a search takes five.
#[inline]
fn bucket_of(micros: u64) -> usize {
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    let mut bucket = usize::from(FIRST_BUCKETS.get(bits).copied().unwrap_or(0));
    while SPAN_BOUNDS_US.get(bucket).is_some_and(|bound| *bound < micros) {
        bucket += 1;
    }
    bucket
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Spans {
    buckets: Cells<{ SPAN_BOUNDS_US.len() + 1 }>,
    sum_us: Counter,
}

impl Spans {
    /// One more took this long.
    #[inline]
    pub fn add(&self, span: Duration) {
        self.add_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// One more took so many nanoseconds.
    #[inline]
    pub fn add_nanos(&self, nanos: u64) {
        let micros = nanos / 1000;
        self.buckets.at(bucket_of(micros)).bump();
        self.sum_us.add(micros);
    }

    /// How many took at most each bound, and how many in all.
    pub fn cumulated(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = SPAN_BOUNDS_US.iter().copied().map(Some).chain([None]);
        bounds.enumerate().scan(0, |sum, (at, bound)| {
            *sum += self.buckets.at(at).get();
            Some((bound, *sum))
        })
    }

    /// All of them together, microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// How many states a message may have (`smpp::message_state`).
pub const MESSAGE_STATES: usize = 10;
/// How many modes a bind may have: tx, rx, trx.
pub const BINDS: usize = 3;
/// How many states one of a carrier's sockets may be in, as `SLOT_STATES` names them.
pub const SLOT_STATES: [&str; 5] = ["waiting", "connecting", "binding", "bound", "retired"];

/// What is counted per account.
#[derive(Debug, Default)]
pub struct EsmeCounters {
    /// Sessions bound now.
    pub sessions: Counter,
    /// The same by mode: tx, rx, trx.
    pub sessions_by_bind: Cells<BINDS>,
    /// Binds accepted.
    pub binds: Counter,
    /// Binds refused.
    pub binds_refused: Counter,
    /// Requests taken from it that reached a decision.
    pub submits: Counter,
    /// Requests that found the window full and waited on their link.
    pub window_full: Counter,
    /// Those of `submits` that are answered, or whose session has ended: the rest is in flight.
    pub ended: Counter,
    /// Submits answered, by what they were answered with.
    pub answers: StatusCells,
    /// Answered ESME_ROK.
    pub accepted: Counter,
    /// Answered with a carrier's refusal.
    pub refused_by_carrier: Counter,
    /// Receipts it answered ESME_ROK.
    pub receipts: Counter,
    /// The same by what became of the message.
    pub receipts_by_state: Cells<MESSAGE_STATES>,
    /// MO it answered ESME_ROK.
    pub mo: Counter,
    /// Refused by us, by reason.
    pub refusals: Cells<{ Reason::ALL.len() }>,
}

/// What is counted per carrier.
#[derive(Debug, Default)]
pub struct CarrierCounters {
    /// Sessions bound now.
    pub sessions: Counter,
    /// Its sockets, bound or not: at `bind * SLOT_STATES.len() + state`.
    pub slots: Cells<{ BINDS * SLOT_STATES.len() }>,
    /// Binds that succeeded.
    pub binds: Counter,
    /// Connects or binds that failed.
    pub binds_failed: Counter,
    /// Requests written to it.
    pub submits: Counter,
    /// Submits it answered, by what it answered.
    pub answers: StatusCells,
    /// Answered ESME_ROK.
    pub accepted: Counter,
    /// Answered anything else.
    pub refused: Counter,
    /// Written and never answered.
    pub unknown: Counter,
    /// Accepted after their time was over.
    pub late: Counter,
    /// Waiting now.
    pub queued: Counter,
    /// Times that something waited: for a slot of a window.
    pub held_window: Counter,
    /// For the pace, at the configured rate.
    pub held_pace: Counter,
    /// For the pace that the carrier's throttling has cut.
    pub held_throttled: Counter,
    /// Receipts, by what became of them.
    pub receipts: Cells<{ Match::ALL.len() }>,
    /// The same by the state they tell, too: at `match * MESSAGE_STATES + state`.
    pub receipts_by_state: Cells<{ Match::ALL.len() * MESSAGE_STATES }>,
    /// Receipts parked now.
    pub parked: Counter,
    /// From written to answered.
    pub submit_spans: Spans,
    /// From accepted to the final receipt.
    pub receipt_spans: Spans,
    /// MO delivered.
    pub mo: Counter,
    /// MO refused because nobody could take it.
    pub mo_refused: Counter,
    /// MO by what the carrier was answered.
    pub mo_by_status: StatusCells,
}

impl CarrierCounters {
    /// In flight now. What was written is counted before what became of it: reading the other way round never gives
    /// less than nothing.
    #[must_use]
    pub fn window_used(&self) -> u64 {
        let over = self.accepted.get() + self.refused.get() + self.unknown.get();
        self.submits.get().saturating_sub(over)
    }
}

impl EsmeCounters {
    /// Requests taken and not yet answered.
    #[must_use]
    pub fn window_used(&self) -> u64 {
        let ended = self.ended.get();
        self.submits.get().saturating_sub(ended)
    }
}

/// What the home of a carrier says of it to the other shards: a hint, true a moment ago (design decision 7). In a cache
/// line of its own.
#[derive(Debug, Default)]
pub struct CarrierHint {
    /// Messages that it would write at once.
    pub room: Counter,
    /// Messages that it would let wait besides.
    pub queue: Counter,
    /// Requests in flight over all its sessions.
    pub used: Counter,
    /// 1 while a session that sends is bound.
    pub sends: Counter,
    /// Goes up when the others change.
    pub version: Counter,
}

/// The hints of all carriers of a node, by `CarrierId`.
#[derive(Debug, Default)]
pub struct Hints(Vec<CachePadded<CarrierHint>>);

impl Hints {
    /// For so many carriers: no room yet.
    #[must_use]
    pub fn new(carriers: usize) -> Self {
        Self(core::iter::repeat_with(CachePadded::default).take(carriers).collect())
    }

    /// That of one carrier.
    #[must_use]
    pub fn of(&self, carrier: usize) -> Option<&CarrierHint> {
        self.0.get(carrier).map(|hint| &**hint)
    }
}

/// All counters of one shard. Those of accounts and carriers are the node's: each is written by its home only.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// By `EsmeId`.
    pub esmes: Arc<Vec<EsmeCounters>>,
    /// By `CarrierId`.
    pub carriers: Arc<Vec<CarrierCounters>>,
    /// By reason.
    pub ignored: Cells<{ Ignored::ALL.len() }>,
    /// Refusals on links that are not bound, by reason.
    pub refusals: Cells<{ Reason::ALL.len() }>,
    /// Connections that were not let in, by reason.
    pub turned_away: Cells<{ TurnedAway::ALL.len() }>,
    /// Sessions that we closed, by reason.
    pub dropped: Cells<{ Dropped::ALL.len() }>,
    /// Binds refused before their account was known.
    pub binds_refused: Counter,
    /// Links that have not bound now.
    pub unbound: Counter,
    /// Wrong binds whose answer is held back now.
    pub refusals_held: Counter,
    /// Addresses of which something is known now.
    pub sources: Counter,
    /// Bans that hold now.
    pub bans: Counter,
    /// Requests under way to other shards now.
    pub credits_used: Counter,
    /// Long messages whose parts are kept together now.
    pub affinity: Counter,
    /// 1 while the node drains.
    pub draining: Counter,
    /// Links open now.
    pub links: Counter,
    /// Links closed because framing was lost.
    pub framing_lost: Counter,
    /// Messages in the receipt index now.
    pub indexed: Counter,
    /// Messages that we answered and no carrier has accepted.
    pub stored: Counter,
    /// Their octets.
    pub stored_octets: Counter,
    /// Messages put out of the index because it was full.
    pub evicted: Counter,
    /// Records that the journal had no room for: their messages were relayed all the same.
    pub journal_left_out: Counter,
    /// Messages that are not over, have records, and are in memory.
    pub journal_open: Counter,
    /// Those that are on the disk alone.
    pub journal_asleep: Counter,
    /// Bytes of waiting messages held now.
    pub retained: Counter,
    /// Log lines not written because their reason was over its bound.
    pub log_dropped: Counter,
}

impl ShardCounters {
    /// Cells for so many accounts and carriers.
    #[must_use]
    pub fn new(esmes: usize, carriers: usize) -> Self {
        Self {
            esmes: Arc::new(core::iter::repeat_with(EsmeCounters::default).take(esmes).collect()),
            carriers: Arc::new(core::iter::repeat_with(CarrierCounters::default).take(carriers).collect()),
            ..Self::default()
        }
    }

    /// The counters of another shard of the same node.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { esmes: Arc::clone(&self.esmes), carriers: Arc::clone(&self.carriers), ..Self::default() }
    }
}

/// What the loop of a shard counts besides its core.
#[derive(Debug, Default)]
pub struct LoopCounters {
    /// Nanoseconds spent on work: neither asleep nor looking for work in vain.
    pub busy_ns: Counter,
    /// Turns in which something came: from the first read to the last write.
    pub turn_spans: Spans,
    /// Letters and links that found no room in their lane and wait here now.
    pub posts_waiting: Counter,
    /// Letters and links sent to each shard, by `ShardId`.
    pub mail: Vec<Counter>,
}

impl LoopCounters {
    /// For one of so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let mail = core::iter::repeat_with(Counter::default).take(shards).collect();
        Self { mail, ..Self::default() }
    }
}

/// The counters of a whole node, for who reads them.
#[derive(Debug, Default)]
pub struct NodeCounters {
    /// By `EsmeId`; the cells are the node's.
    pub esmes: Arc<Vec<EsmeCounters>>,
    /// By `CarrierId`; the cells are the node's.
    pub carriers: Arc<Vec<CarrierCounters>>,
    /// By `ShardId`.
    pub shards: Vec<Arc<ShardCounters>>,
    /// By `ShardId`.
    pub loops: Vec<Arc<LoopCounters>>,
}

impl NodeCounters {
    /// Those of these shards, which must be beside each other, and of their loops.
    #[must_use]
    pub fn of(shards: Vec<Arc<ShardCounters>>, loops: Vec<Arc<LoopCounters>>) -> Self {
        let first = shards.first();
        let esmes = first.map(|first| Arc::clone(&first.esmes)).unwrap_or_default();
        let carriers = first.map(|first| Arc::clone(&first.carriers)).unwrap_or_default();
        debug_assert!(shards.iter().all(|shard| Arc::ptr_eq(&shard.esmes, &esmes)));
        Self { esmes, carriers, shards, loops }
    }

    /// The sum of a cell over the shards.
    #[must_use]
    pub fn sum(&self, cell: impl Fn(&ShardCounters) -> &Counter) -> u64 {
        self.shards.iter().map(|shard| cell(shard).get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_in_the_first_bucket_that_holds_it() {
        let near = |bound: &u64| [bound - 1, *bound, bound + 1];
        let spans = SPAN_BOUNDS_US.iter().flat_map(near).chain([0, 1, 2, u64::MAX]);
        for micros in spans {
            assert_eq!(
                bucket_of(micros),
                SPAN_BOUNDS_US.partition_point(|bound| *bound < micros),
                "{micros}"
            );
        }
    }

    #[test]
    fn a_node_s_counters_are_the_sum_over_its_shards_and_those_of_accounts_are_one() {
        let one = Arc::new(ShardCounters::new(1, 1));
        let two = Arc::new(one.beside());
        let node = NodeCounters::of(vec![Arc::clone(&one), Arc::clone(&two)], Vec::new());
        one.links.set(3);
        two.links.set(4);
        two.esmes[0].submits.add(5);
        assert_eq!((node.sum(|shard| &shard.links), node.esmes[0].submits.get()), (7, 5));
    }

    #[test]
    fn every_known_status_has_its_own_cell_and_all_others_share_one() {
        assert!(STATUSES.is_sorted());
        let cells = StatusCells::default();
        for (at, status) in STATUSES.iter().enumerate() {
            cells.of(*status).add(at as u64 + 1);
        }
        for strange in [0x05, 0x105, 0x400, u32::MAX] {
            cells.of(strange).bump();
        }
        let counts: Vec<u64> = cells.all().map(|(_, count)| count).collect();
        assert!(counts.iter().take(STATUSES.len()).enumerate().all(|(at, count)| *count == at as u64 + 1));
        assert_eq!(cells.all().last(), Some((None, 4)));
        assert_eq!(cells.sum(), (1..=STATUSES.len() as u64).sum::<u64>() + 4);
    }

    #[test]
    fn a_span_is_counted_in_every_bucket_that_is_not_shorter() {
        let spans = Spans::default();
        for micros in [0, 50, 51, 99_999_999] {
            spans.add(core::time::Duration::from_micros(micros));
        }
        let all: Vec<_> = spans.cumulated().collect();
        assert_eq!(
            (all[0], all[1], all[18], all[19]),
            ((Some(50), 2), (Some(100), 3), (Some(60_000_000), 3), (None, 4))
        );
        assert_eq!(spans.sum_us(), 100_000_100);
        assert!(SPAN_BOUNDS_US.is_sorted());
    }

    #[test]
    fn every_reason_has_its_own_name_and_cell() {
        let cells = Cells::<{ Reason::ALL.len() }>::default();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            cells.at(index).add(index as u64 + 1);
        }
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!((0..Reason::ALL.len()).all(|index| cells.at(index).get() == index as u64 + 1));
    }
}
