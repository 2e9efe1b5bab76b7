//! Counters: single-writer cells, summed when read. Owns: the cells. Takes: an event that happened on the shard.
//! Gives: numbers to whoever reads. Never: a lock, a read-modify-write on a shared line.

use core::sync::atomic::{AtomicU64, Ordering};

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

/// What is counted per account.
#[derive(Debug, Default)]
pub struct EsmeCounters {
    /// Sessions bound now.
    pub sessions: Counter,
    /// Binds accepted.
    pub binds: Counter,
    /// Binds refused.
    pub binds_refused: Counter,
    /// Requests taken from it that reached a decision.
    pub submits: Counter,
    /// Answered ESME_ROK.
    pub accepted: Counter,
    /// Answered with a carrier's refusal.
    pub refused_by_carrier: Counter,
    /// Receipts it answered ESME_ROK.
    pub receipts: Counter,
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
    /// Binds that succeeded.
    pub binds: Counter,
    /// Connects or binds that failed.
    pub binds_failed: Counter,
    /// Requests written to it.
    pub submits: Counter,
    /// Answered ESME_ROK.
    pub accepted: Counter,
    /// Answered anything else.
    pub refused: Counter,
    /// Written and never answered.
    pub unknown: Counter,
    /// Accepted after their time was over.
    pub late: Counter,
    /// In flight now.
    pub window_used: Counter,
    /// Waiting now.
    pub queued: Counter,
    /// Receipts, by what became of them.
    pub receipts: Cells<{ Match::ALL.len() }>,
    /// Receipts parked now.
    pub parked: Counter,
    /// MO delivered.
    pub mo: Counter,
    /// MO refused because nobody could take it.
    pub mo_refused: Counter,
}

/// All counters of one shard.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// By `EsmeId`.
    pub esmes: Vec<EsmeCounters>,
    /// By `CarrierId`.
    pub carriers: Vec<CarrierCounters>,
    /// By reason.
    pub ignored: Cells<{ Ignored::ALL.len() }>,
    /// Refusals on links that are not bound, by reason.
    pub refusals: Cells<{ Reason::ALL.len() }>,
    /// Links open now.
    pub links: Counter,
    /// Links closed because framing was lost.
    pub framing_lost: Counter,
    /// Messages in the receipt index now.
    pub indexed: Counter,
    /// Messages put out of the index because it was full.
    pub evicted: Counter,
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
            esmes: core::iter::repeat_with(EsmeCounters::default).take(esmes).collect(),
            carriers: core::iter::repeat_with(CarrierCounters::default).take(carriers).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
