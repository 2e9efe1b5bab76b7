//! The records of a journal and their octets.
//!
//! A key is opened by the first record that names it, and closed by FINISH or TOMBSTONE: until then each of its records
//! is needed after a restart, unless a later one takes its place: SENT that of all before it, SENDING and REFUSED that of
//! the last of either, SENT_KEPT that of these alone, since the message may be sent again. The records of a message that a
//! carrier has accepted in relay mode are SENT and FINISH; in store mode ACCEPT comes first, then SENDING before each attempt
//! and its outcome behind it. SENDING without an outcome is *unknown*, ACCEPT alone was not sent. What an operator has said of
//! it is STEER; the last one holds, also when a later ACCEPT takes the place of the first one. A receipt that waits for its
//! message, a receipt or MO that waits for its account, a block and a sink's cursor have keys of their own.

use super::Lsn;
use super::frame::SKIPPABLE;
use super::octets::{Count, Reader, Sink, Writer};

/// In place of a `counters::Reason`: none.
pub const NO_REASON: u8 = 0xFF;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A message was taken from an ESME.
    Accept = 1,
    /// It is about to be written to a carrier.
    Sending = 2,
    /// The carrier refused; there may be another attempt.
    Refused = 3,
    /// The carrier accepted.
    Sent = 4,
    /// A receipt has come.
    DlrIn = 5,
    /// The ESME has answered a receipt.
    DlrOut = 6,
    /// An MO has come.
    MoIn = 7,
    /// The end of a message; the call detail record.
    Finish = 8,
    /// The end of anything else.
    Tombstone = 9,
    /// A copy of an older record whose segment is given back.
    Move = 10,
    /// How far a sink has come.
    Cursor = 11,
    /// An emergency stop by an operator.
    Block = 12,
    /// An operator holds a message, has released it, or has sent it to another pool.
    Steer = 13,
    /// The carrier accepted, and the message may be sent again when its receipt says so.
    SentKept = 14,
}

/// What a record does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is needed until the key is closed.
    Adds,
    /// It is needed until the key is closed, and nothing before it of its key is.
    Replaces,
    /// The same, but what steers its key is.
    Renews,
    /// It is needed until the key is closed, and of those before it neither the one that is `Latest` nor what steers is.
    Follows,
    /// It is needed until the next such record of its key.
    Latest,
    /// The same, beside the one that is `Latest`.
    Steers,
    /// It takes the place of an older one.
    Moves,
    /// One record of its key is not needed any more, nor is it itself.
    Answers,
    /// The key is closed, and nothing of it is needed.
    Closes,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Accept,
        Self::Sending,
        Self::Refused,
        Self::Sent,
        Self::DlrIn,
        Self::DlrOut,
        Self::MoIn,
        Self::Finish,
        Self::Tombstone,
        Self::Move,
        Self::Cursor,
        Self::Block,
        Self::Steer,
        Self::SentKept,
    ];

    /// As it is written.
    #[must_use]
    pub const fn of(octet: u8) -> Option<Self> {
        if octet == 0 || octet as usize > Self::ALL.len() {
            return None;
        }
        Some(Self::ALL[octet as usize - 1])
    }

    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Sending => "SENDING",
            Self::Refused => "REFUSED",
            Self::Sent => "SENT",
            Self::DlrIn => "DLR_IN",
            Self::DlrOut => "DLR_OUT",
            Self::MoIn => "MO_IN",
            Self::Finish => "FINISH",
            Self::Tombstone => "TOMBSTONE",
            Self::Move => "MOVE",
            Self::Cursor => "CURSOR",
            Self::Block => "BLOCK",
            Self::Steer => "STEER",
            Self::SentKept => "SENT_KEPT",
        }
    }

    /// What it does to its key.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::DlrIn | Self::MoIn | Self::Block => Role::Adds,
            Self::Sending | Self::Refused => Role::Latest,
            Self::DlrOut => Role::Answers,
            Self::Accept => Role::Renews,
            Self::Sent | Self::Cursor => Role::Replaces,
            Self::Steer => Role::Steers,
            Self::SentKept => Role::Follows,
            Self::Move => Role::Moves,
            Self::Finish | Self::Tombstone => Role::Closes,
        }
    }

    pub(super) const fn flags(self) -> u16 {
        match self {
            Self::DlrOut => SKIPPABLE,
            Self::Accept
            | Self::Sending
            | Self::Refused
            | Self::Sent
            | Self::DlrIn
            | Self::MoIn
            | Self::Finish
            | Self::Tombstone
            | Self::Move
            | Self::Cursor
            | Self::Block
            // A program that does not know them must not let go what is held, or send what a carrier has.
            | Self::Steer
            | Self::SentKept => 0,
        }
    }
}

/// Whose fault an end is that is none: for the call detail record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Fault {
    /// Nobody's: it was delivered, or nothing is known.
    #[default]
    Nobody = 0,
    /// What the ESME asked for cannot be done.
    Esme = 1,
    /// The carrier's, or what lies behind it.
    Carrier = 2,
    /// Ours: no room, no carrier in time.
    Node = 3,
}

impl Fault {
    /// As it is written.
    #[must_use]
    pub const fn of(octet: u8) -> Option<Self> {
        match octet {
            0 => Some(Self::Nobody),
            1 => Some(Self::Esme),
            2 => Some(Self::Carrier),
            3 => Some(Self::Node),
            _ => None,
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Esme => "esme",
            Self::Carrier => "carrier",
            Self::Node => "node",
        }
    }
}

/// What is known of a message once a carrier has it, or when it ends: the columns of its call detail record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts<'a> {
    /// When its submit came, microseconds since 1970.
    pub accepted: i64,
    /// When it was last written to a carrier, microseconds since 1970; 0: never.
    pub submitted: i64,
    /// Attempts that were made.
    pub attempts: u16,
    /// Parts of the long message that it is one of; 1: it is whole.
    pub parts: u8,
    /// Its data_coding (SMPP 3.4 §5.2.19).
    pub data_coding: u8,
    /// Who submitted it.
    pub esme: &'a [u8],
    /// The id that the ESME was given; empty: the carrier's.
    pub id: &'a [u8],
    /// Who had it last; empty: nobody.
    pub carrier: &'a [u8],
    /// The carrier's id; empty: none.
    pub message_id: &'a [u8],
    /// Who sends it.
    pub source: &'a [u8],
    /// Where it goes; those of a submit_multi with commas between, and cut at 65,535 octets.
    pub destination: &'a [u8],
}

impl<'a> Facts<'a> {
    /// The id as the ESME knows it.
    #[must_use]
    pub const fn esme_id(&self) -> &'a [u8] {
        if self.id.is_empty() { self.message_id } else { self.id }
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.u64(self.accepted.cast_unsigned());
        out.u64(self.submitted.cast_unsigned());
        out.u16(self.attempts);
        out.u8(self.parts);
        out.u8(self.data_coding);
        [self.esme, self.id, self.carrier, self.message_id, self.source]
            .iter()
            .for_each(|text| out.short(text));
        out.long(self.destination);
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            accepted: from.i64()?,
            submitted: from.i64()?,
            attempts: from.u16()?,
            parts: from.u8()?,
            data_coding: from.u8()?,
            esme: from.short()?,
            id: from.short()?,
            carrier: from.short()?,
            message_id: from.short()?,
            source: from.short()?,
            destination: from.long()?,
        })
    }
}

/// The content of a record. Accounts and carriers are named: handles mean nothing after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message was taken from an ESME; its key is its own id.
    Accept {
        /// When its submit came, microseconds since 1970.
        accepted: i64,
        /// When it expires, microseconds since 1970; 0: never.
        validity: i64,
        /// When it may leave, microseconds since 1970; 0: at once.
        due: i64,
        /// Who submitted it.
        esme: &'a [u8],
        /// The id that the ESME was given.
        id: &'a [u8],
        /// As it came, TLVs and all.
        pdu: &'a [u8],
    },
    /// It is about to be written to a carrier.
    Sending {
        /// Which attempt, from 1.
        attempt: u16,
        /// To whom.
        carrier: &'a [u8],
    },
    /// The carrier refused.
    Refused {
        /// Which attempt.
        attempt: u16,
        /// Its command_status.
        status: u32,
        /// Milliseconds until the next attempt is due.
        wait_ms: u32,
        /// Who refused.
        carrier: &'a [u8],
    },
    /// The carrier accepted.
    Sent {
        /// Final receipts that are still to come.
        awaited: u16,
        /// Its ACCEPT is needed beside it: it may be sent again.
        kept: bool,
        /// Destinations of a submit_multi that none is to come for, eight an octet, the first in its lowest bit; empty
        /// at first, and of one destination.
        over: &'a [u8],
        /// What is known of it.
        facts: Facts<'a>,
    },
    /// A receipt has come; of a message, or with a key of its own while its message is not known.
    DlrIn {
        /// Who sent it.
        carrier: &'a [u8],
        /// As it came.
        pdu: &'a [u8],
    },
    /// The ESME has answered a receipt.
    DlrOut {
        /// The first record of that receipt.
        of: Lsn,
        /// The record of it that is not needed any more: the same, or a copy.
        at: Lsn,
        /// What the receipt said, as in SMPP 3.4 §5.2.28.
        state: u8,
        /// The ESME's command_status.
        status: u32,
    },
    /// An MO has come.
    MoIn {
        /// Who sent it; empty: it is a receipt, once more, that an operator asked for.
        carrier: &'a [u8],
        /// For whom it is.
        esme: &'a [u8],
        /// As it came.
        pdu: &'a [u8],
    },
    /// The end of a message.
    Finish {
        /// How it ended, as in SMPP 3.4 §5.2.28.
        state: u8,
        /// The last command_status.
        status: u32,
        /// Why it was refused: the number of a `counters::Reason`; `NO_REASON`: it was not, or by the carrier.
        reason: u8,
        /// Whose fault it is.
        fault: Fault,
        /// The error of the receipt, as it says; empty: none.
        error: &'a [u8],
        /// What it costs the account, millionths of the currency.
        price: i64,
        /// The currency; empty: it has no price.
        currency: &'a [u8],
        /// What is known of it.
        facts: Facts<'a>,
    },
    /// The end of anything else.
    Tombstone {
        /// Why: the number of a `counters::Reason`.
        reason: u8,
    },
    /// A copy of an older record.
    Move {
        /// The record whose place it takes, itself perhaps a copy.
        from: Lsn,
        /// The first one.
        origin: Lsn,
        /// What it is.
        kind: u8,
        /// The version of its payload.
        version: u8,
        /// When it was written, microseconds since 1970.
        wall: i64,
        /// Its payload.
        payload: &'a [u8],
    },
    /// How far a sink has come.
    Cursor {
        /// The last record that it has.
        upto: Lsn,
        /// Its name.
        sink: &'a [u8],
    },
    /// An emergency stop.
    Block {
        /// When it ends, microseconds since 1970.
        until: i64,
        /// What it stops, as the operator wrote it.
        rule: &'a [u8],
    },
    /// What an operator has said of a message that no carrier has accepted: all of it, and nothing before counts.
    Steer {
        /// It does not leave.
        held: bool,
        /// The pool that it was sent to; empty: it goes by its route.
        pool: &'a [u8],
    },
}

impl<'a> Record<'a> {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Accept { .. } => Kind::Accept,
            Self::Sending { .. } => Kind::Sending,
            Self::Refused { .. } => Kind::Refused,
            Self::Sent { kept: true, .. } => Kind::SentKept,
            Self::Sent { .. } => Kind::Sent,
            Self::DlrIn { .. } => Kind::DlrIn,
            Self::DlrOut { .. } => Kind::DlrOut,
            Self::MoIn { .. } => Kind::MoIn,
            Self::Finish { .. } => Kind::Finish,
            Self::Tombstone { .. } => Kind::Tombstone,
            Self::Move { .. } => Kind::Move,
            Self::Cursor { .. } => Kind::Cursor,
            Self::Block { .. } => Kind::Block,
            Self::Steer { .. } => Kind::Steer,
        }
    }

    /// What somebody has said in it: a message, receipt or MO as it came.
    #[must_use]
    pub const fn pdu(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Accept { pdu, .. } | Self::DlrIn { pdu, .. } | Self::MoIn { pdu, .. } => Some(pdu),
            _ => None,
        }
    }

    /// The same record, if it has such a PDU with this one.
    #[must_use]
    pub const fn with_pdu(self, pdu: &'a [u8]) -> Self {
        match self {
            Self::Accept { accepted, validity, due, esme, id, .. } => {
                Self::Accept { accepted, validity, due, esme, id, pdu }
            }
            Self::DlrIn { carrier, .. } => Self::DlrIn { carrier, pdu },
            Self::MoIn { carrier, esme, .. } => Self::MoIn { carrier, esme, pdu },
            other => other,
        }
    }

    /// Version of its form.
    #[must_use]
    pub const fn version(&self) -> u8 {
        1
    }

    /// Octets of its payload.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        let mut count = Count::default();
        self.encode(&mut count);
        count.0
    }

    /// Appends its payload.
    pub fn payload(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.resize(start + self.len(), 0);
        self.encode(&mut Writer::new(to.get_mut(start..).unwrap_or_default()));
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        self.encode(out);
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match *self {
            Self::Accept { accepted, validity, due, esme, id, pdu } => {
                [accepted, validity, due].iter().for_each(|time| out.u64(time.cast_unsigned()));
                out.short(esme);
                out.short(id);
                out.put(pdu);
            }
            Self::Sending { attempt, carrier } => {
                out.u16(attempt);
                out.short(carrier);
            }
            Self::Refused { attempt, status, wait_ms, carrier } => {
                out.u16(attempt);
                out.u32(status);
                out.u32(wait_ms);
                out.short(carrier);
            }
            Self::Sent { awaited, over, facts, .. } => {
                out.u16(awaited);
                facts.encode(out);
                out.put(over);
            }
            Self::DlrIn { carrier, pdu } => {
                out.short(carrier);
                out.put(pdu);
            }
            Self::DlrOut { of, at, state, status } => {
                out.u64(of.0);
                out.u64(at.0);
                out.u8(state);
                out.u32(status);
            }
            Self::MoIn { carrier, esme, pdu } => {
                out.short(carrier);
                out.short(esme);
                out.put(pdu);
            }
            Self::Finish { state, status, reason, fault, error, price, currency, facts } => {
                out.u8(state);
                out.u32(status);
                out.u8(reason);
                out.u8(fault as u8);
                out.short(error);
                out.u64(price.cast_unsigned());
                out.short(currency);
                facts.encode(out);
            }
            Self::Tombstone { reason } => out.u8(reason),
            Self::Move { from, origin, kind, version, wall, payload } => {
                out.u64(from.0);
                out.u64(origin.0);
                out.put(&[kind, version]);
                out.u64(wall.cast_unsigned());
                out.put(payload);
            }
            Self::Cursor { upto, sink } => {
                out.u64(upto.0);
                out.short(sink);
            }
            Self::Block { until, rule } => {
                out.u64(until.cast_unsigned());
                out.put(rule);
            }
            Self::Steer { held, pool } => {
                out.u8(u8::from(held));
                out.short(pool);
            }
        }
    }

    /// The record of a payload; `None` when it has another form.
    #[must_use]
    pub fn read(kind: Kind, version: u8, payload: &'a [u8]) -> Option<Self> {
        if version != 1 {
            return None;
        }
        let mut from = Reader::new(payload);
        let record = match kind {
            Kind::Accept => Self::Accept {
                accepted: from.i64()?,
                validity: from.i64()?,
                due: from.i64()?,
                esme: from.short()?,
                id: from.short()?,
                pdu: rest(&mut from),
            },
            Kind::Sending => Self::Sending { attempt: from.u16()?, carrier: from.short()? },
            Kind::Refused => Self::Refused {
                attempt: from.u16()?,
                status: from.u32()?,
                wait_ms: from.u32()?,
                carrier: from.short()?,
            },
            Kind::Sent | Kind::SentKept => {
                let (awaited, facts) = (from.u16()?, Facts::read(&mut from)?);
                Self::Sent { awaited, kept: matches!(kind, Kind::SentKept), facts, over: rest(&mut from) }
            }
            Kind::DlrIn => Self::DlrIn { carrier: from.short()?, pdu: rest(&mut from) },
            Kind::DlrOut => Self::DlrOut {
                of: Lsn(from.u64()?),
                at: Lsn(from.u64()?),
                state: from.u8()?,
                status: from.u32()?,
            },
            Kind::MoIn => Self::MoIn { carrier: from.short()?, esme: from.short()?, pdu: rest(&mut from) },
            Kind::Finish => Self::Finish {
                state: from.u8()?,
                status: from.u32()?,
                reason: from.u8()?,
                fault: Fault::of(from.u8()?)?,
                error: from.short()?,
                price: from.i64()?,
                currency: from.short()?,
                facts: Facts::read(&mut from)?,
            },
            Kind::Tombstone => Self::Tombstone { reason: from.u8()? },
            Kind::Move => Self::Move {
                from: Lsn(from.u64()?),
                origin: Lsn(from.u64()?),
                kind: from.u8()?,
                version: from.u8()?,
                wall: from.i64()?,
                payload: rest(&mut from),
            },
            Kind::Cursor => Self::Cursor { upto: Lsn(from.u64()?), sink: from.short()? },
            Kind::Block => Self::Block { until: from.i64()?, rule: rest(&mut from) },
            Kind::Steer => Self::Steer { held: flag(from.u8()?)?, pool: from.short()? },
        };
        from.all().is_empty().then_some(record)
    }
}

const fn flag(octet: u8) -> Option<bool> {
    match octet {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn rest<'a>(from: &mut Reader<'a>) -> &'a [u8] {
    let all = from.all();
    from.take(all.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        accepted: 1_790_000_000_000_000,
        submitted: 1_790_000_000_000_900,
        attempts: 2,
        parts: 3,
        data_coding: 8,
        esme: b"acme",
        id: b"1781500559569362944",
        carrier: b"alpha",
        message_id: b"0A1",
        source: b"ACME",
        destination: b"38267123456",
    };

    fn examples() -> Vec<Record<'static>> {
        vec![
            Record::Accept { accepted: 5, validity: -1, due: 0, esme: b"acme", id: b"17", pdu: b"pdu" },
            Record::Sending { attempt: 2, carrier: b"alpha" },
            Record::Refused { attempt: 2, status: 0x58, wait_ms: 5000, carrier: b"alpha" },
            Record::Sent { awaited: 1, kept: false, over: b"", facts: FACTS },
            Record::Sent { awaited: 1, kept: false, over: b"\x05", facts: FACTS },
            Record::DlrIn { carrier: b"alpha", pdu: b"" },
            Record::DlrOut { of: Lsn(3), at: Lsn(4), state: 2, status: 0 },
            Record::MoIn { carrier: b"alpha", esme: b"acme", pdu: b"pdu" },
            Record::Finish {
                state: 2,
                status: 0,
                reason: NO_REASON,
                fault: Fault::Carrier,
                error: b"011",
                price: -5,
                currency: b"EUR",
                facts: FACTS,
            },
            Record::Tombstone { reason: 3 },
            Record::Move { from: Lsn(4), origin: Lsn(2), kind: 1, version: 1, wall: 9, payload: b"x" },
            Record::Cursor { upto: Lsn(u64::MAX), sink: b"file" },
            Record::Block { until: 5, rule: b"--to 382*" },
            Record::Steer { held: true, pool: b"" },
            Record::Steer { held: false, pool: b"bulk" },
            Record::Sent { awaited: 1, kept: true, over: b"", facts: FACTS },
        ]
    }

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        let mut kinds = Vec::new();
        for record in examples() {
            let mut octets = vec![0; record.len()];
            let mut out = Writer::new(&mut octets);
            record.put(&mut out);
            assert!(out.rest().is_empty());
            assert_eq!(Record::read(record.kind(), 1, &octets), Some(record));
            assert_eq!(Record::read(record.kind(), 2, &octets), None, "a version of its own");
            assert_eq!(Kind::of(record.kind() as u8), Some(record.kind()));
            kinds.push(record.kind());
        }
        kinds.dedup();
        assert_eq!(kinds, Kind::ALL);
        assert_eq!((Kind::of(0), Kind::of(15)), (None, None));
        assert_eq!(Record::read(Kind::Steer, 1, b"\x02\x00"), None, "neither held nor not");
    }

    #[test]
    fn a_payload_that_is_cut_is_no_record() {
        for record in examples() {
            let mut octets = vec![0; record.len()];
            record.put(&mut Writer::new(&mut octets));
            let open =
                matches!(record.kind(), Kind::Accept | Kind::DlrIn | Kind::MoIn | Kind::Move | Kind::Block)
                    || matches!(record, Record::Sent { over: [_, ..], .. });
            let cut = &octets[..octets.len() - 1];
            assert!(open || Record::read(record.kind(), 1, cut).is_none(), "{record:?}");
            assert_eq!(Record::read(record.kind(), 1, &[]), None);
        }
    }
}
