//! What shards tell each other. Owns: values only. Takes: a message, a delivery, an answer. Gives: it to the shard
//! that is the home of the carrier or of the account. Never: a reference to anything of the sender.
//!
//! Mail between two shards arrives in the order in which it was sent. A request holds a credit of its sender until its
//! reply has come, so what is under way is bounded (design decision 8); everything else is bounded by the links and
//! the messages that it is about.
//!
//! ```text
//!   account's home ── Submit, Operation ──▶ carrier's home ── Answered, Unknown, NotTaken, NotFound ──▶
//!   carrier's home ── Deliver, Alert ─────▶ account's home ── Delivered, NotDelivered, Noted ─────────▶
//! ```

use crate::counters::Reason;
use crate::ids::{CarrierId, EsmeId, LinkId, ListenerId};
use crate::ledger::{Destinations, Given, IdText, NewEntry, Over};
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, SocketAddr};

/// What the sender of a request knows it by; the reply brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u64);

/// A letter from one shard to another. Frames are whole PDUs; who holds the frame holds its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// Request: a message for a carrier of yours.
    Submit(Submit),
    /// Request: query, cancel or replace of a message that a carrier of yours may have taken.
    Operation {
        /// Comes back with the reply.
        tag: Tag,
        /// Whose message it must be.
        esme: EsmeId,
        /// The session that asks.
        link: LinkId,
        /// When it must be answered.
        deadline: Instant,
        /// As the ESME sent it.
        frame: Vec<u8>,
    },
    /// Request: a receipt or MO for an account of yours.
    Deliver(Deliver),
    /// Request: an alert_notification for the accounts from this place of its route on.
    Alert {
        /// Comes back with the reply.
        tag: Tag,
        /// Who sent it.
        carrier: CarrierId,
        /// The place in the list of accounts.
        at: u32,
        /// The PDU.
        frame: Vec<u8>,
    },
    /// Reply: the carrier answered.
    Answered {
        /// Of the request.
        tag: Tag,
        /// Its response.
        response: Vec<u8>,
        /// The request, when it was refused; else empty.
        frame: Vec<u8>,
    },
    /// Reply: it was written and will not be answered.
    Unknown {
        /// Of the request.
        tag: Tag,
        /// The request.
        frame: Vec<u8>,
    },
    /// Reply: it was not written, or was refused and may not wait longer.
    NotTaken {
        /// Of the request.
        tag: Tag,
        /// The request.
        frame: Vec<u8>,
        /// Why.
        why: NotTaken,
    },
    /// Reply: none of our messages is known to this account by this id.
    NotFound {
        /// Of the request.
        tag: Tag,
    },
    /// Reply: the ESME answered.
    Delivered {
        /// Of the request.
        tag: Tag,
        /// Its response.
        response: Vec<u8>,
    },
    /// Reply: no session of the account took it.
    NotDelivered {
        /// Of the request.
        tag: Tag,
        /// For the carrier.
        status: CommandStatus,
        /// The request when it was refused at once: somebody else may be asked; else empty.
        frame: Vec<u8>,
    },
    /// Reply: an alert_notification has come.
    Noted {
        /// Of the request.
        tag: Tag,
    },
    /// A message that a carrier of yours accepted may get its receipts from now on.
    Index(Indexed),
    /// The same, of the last run.
    Restored(Indexed, Over),
    /// Nobody has asked for this message of yours in a while: it may leave memory.
    Sleep {
        /// Comes back with `Sleeps`.
        tag: Tag,
        /// Its records, as its owner knows them.
        record: u64,
        /// The session that submitted it.
        link: LinkId,
    },
    /// Whether it does.
    Sleeps {
        /// Of `Sleep`.
        tag: Tag,
        /// Its key in the journal of its owner; 0: it stays.
        key: u64,
    },
    /// A message of the last run that a carrier of yours has sleeps.
    Slept {
        /// Who took it.
        carrier: CarrierId,
        /// The carrier's id.
        id: IdText,
        /// Its key in the journal of its owner.
        key: u64,
    },
    /// A receipt or an operation may be of this message of yours.
    Wake {
        /// Its key.
        key: u64,
        /// Of its id.
        hash: u32,
    },
    /// A message that slept is awake.
    Woken {
        /// Its key.
        key: u64,
        /// How long ago it was accepted.
        age: Duration,
        /// What the index is to say.
        indexed: Indexed,
    },
    /// A message that slept does not wake.
    Gone {
        /// Its key.
        key: u64,
        /// Of its id.
        hash: u32,
        /// It is over; else it could not be read now, and may be asked for again.
        over: bool,
    },
    /// A carrier of mine accepted a part of this submit_multi after its time.
    LatePart {
        /// Of the submit_multi.
        multi: Tag,
        /// What `Mail::Index` is to say once that was answered.
        indexed: Indexed,
    },
    /// A carrier of mine accepted a stored message after its time.
    LateStored {
        /// Its key at its owner.
        stored: u64,
        /// What `Mail::Index` is to say then.
        indexed: Indexed,
    },
    /// A session of mine is gone: what waits for it need not be sent.
    SessionGone(LinkId),
    /// A carrier of mine can send again: what waits in vain elsewhere may come.
    CarrierUp,
    /// My stored messages wait for room at this carrier of yours.
    RoomWanted(CarrierId),
    /// It is their turn: so many may come.
    Room {
        /// The carrier, one of mine.
        carrier: CarrierId,
        /// How many.
        messages: u64,
    },
    /// A link that came in at a listener of yours is closed.
    LinkGone {
        /// Where it came in.
        listener: ListenerId,
        /// Who it was.
        peer: SocketAddr,
    },
    /// A bind that came in at a listener of yours was wrong.
    BindFailed {
        /// Where it came in.
        listener: ListenerId,
        /// From where.
        peer: IpAddr,
    },
    /// An address is banned.
    Banned {
        /// Which.
        peer: IpAddr,
        /// Until when.
        until: Instant,
    },
    /// While the node drains: no ESME is left here.
    EsmesGone,
    /// While the node drains: no link is left here.
    LinksGone,
}

impl Mail {
    /// True for what brings a credit back.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        match self {
            Self::Answered { .. }
            | Self::Unknown { .. }
            | Self::NotTaken { .. }
            | Self::NotFound { .. }
            | Self::Delivered { .. }
            | Self::NotDelivered { .. }
            | Self::Noted { .. } => true,
            Self::Submit(_)
            | Self::Operation { .. }
            | Self::Deliver(_)
            | Self::Alert { .. }
            | Self::Index(_)
            | Self::Restored(..)
            | Self::Sleep { .. }
            | Self::Sleeps { .. }
            | Self::Slept { .. }
            | Self::Wake { .. }
            | Self::Woken { .. }
            | Self::Gone { .. }
            | Self::LatePart { .. }
            | Self::LateStored { .. }
            | Self::SessionGone(_)
            | Self::CarrierUp
            | Self::RoomWanted(_)
            | Self::Room { .. }
            | Self::LinkGone { .. }
            | Self::BindFailed { .. }
            | Self::Banned { .. }
            | Self::EsmesGone
            | Self::LinksGone => false,
        }
    }
}

/// A message on its way to a carrier of another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// Comes back with the reply.
    pub tag: Tag,
    /// Who is to take it.
    pub carrier: CarrierId,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it.
    pub link: LinkId,
    /// The id that the ESME gets.
    pub given: Given,
    /// How its receipts are compared.
    pub destination: Destinations,
    /// Final receipts asked for.
    pub awaited: u16,
    /// Its records, as its owner knows them; 0: it has none.
    pub record: u64,
    /// What it is.
    pub what: Submitted,
    /// When it must be answered.
    pub deadline: Instant,
    /// The PDU.
    pub frame: Vec<u8>,
}

/// What goes to a carrier of another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It may wait when it is throttled, and its receipts are expected as soon as it is accepted.
    Ordinary,
    /// As `Ordinary`, but it comes back when it is throttled: its owner's journal is to know. Its key there.
    Stored(u64),
    /// A part of this submit_multi of the sender's: neither. `Mail::Index` follows when that was answered.
    Part(Tag),
    /// No submit: neither.
    Plain,
}

/// Why a carrier's home gives a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Its queue is full, or it will never send: not this carrier.
    NoRoom,
    /// It can send no more for now: decide again.
    Moved,
    /// Its time is over.
    Over {
        /// What the ESME is answered.
        status: CommandStatus,
        /// Counted as.
        reason: Reason,
        /// The status is a refusal of the carrier.
        refused: bool,
    },
}

/// A receipt or MO on its way to an account of another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// Comes back with the reply.
    pub tag: Tag,
    /// Who sent it.
    pub carrier: CarrierId,
    /// For whom it is.
    pub esme: EsmeId,
    /// The session that submitted its message, when it is a receipt.
    pub submitted: Option<LinkId>,
    /// The id that it is written with, when that is not the one it has.
    pub known_as: Option<IdText>,
    /// What a receipt says.
    pub state: MessageState,
    /// It is final.
    pub is_final: bool,
    /// Nobody else takes this MO: it is to be kept.
    pub queued: bool,
    /// The records of a receipt's message, as their owner knows them; 0: it has none.
    pub record: u64,
    /// The PDU.
    pub frame: Vec<u8>,
}

/// An accepted message, for the receipt index of its carrier's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Who took it.
    pub carrier: CarrierId,
    /// The carrier's id.
    pub id: IdText,
    /// What the ESME was given.
    pub given: Given,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it.
    pub link: LinkId,
    /// How its receipts are compared.
    pub destination: Destinations,
    /// Final receipts asked for.
    pub awaited: u16,
    /// Its records, as its owner knows them; 0: it has none.
    pub record: u64,
}

impl Indexed {
    /// For the index; `mark`: where its response ends in its session's stream.
    pub(super) fn entry(&self, mark: u64) -> NewEntry<'_> {
        NewEntry {
            carrier: self.carrier,
            id: &self.id,
            given: self.given,
            esme: self.esme,
            link: self.link,
            mark,
            destination: &self.destination,
            awaited: self.awaited,
            record: self.record,
        }
    }
}

/// A link on its way to another shard: what the core there needs besides the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Where it came in.
    pub listener: ListenerId,
    /// Who it is.
    pub peer: SocketAddr,
    /// When it was accepted; its session_init runs from then.
    pub accepted: Instant,
    /// What was read of it and not processed: the bind first.
    pub unread: Vec<u8>,
}

// A letter is copied into a ring and out of it.
const _: () = assert!(size_of::<Mail>() <= 128);
