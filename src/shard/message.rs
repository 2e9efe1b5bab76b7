//! What is in flight: messages toward carriers, deliveries toward ESMEs, and the octets that are held for them.
//! Owns: the tables. Takes: new entries. Gives: them back by a handle that tells stale from live.

use super::at_once::AtOnce;
use super::failover::Wish;
use super::mail::Tag;
use super::table::Table;
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId, ShardId};
use crate::journal::Lsn;
use crate::ledger::{AddressTail, Destinations, EntryKey, ErrorText, Given, IdText, OpenKey, StoredKey};
use crate::limits::{LATE_MAX, RETAINED_BUFFER_MAX, RETAINED_BUFFERS_KEPT, RETAINED_MAX};
use crate::route::affinity::Key as PartsKey;
use crate::session::Owner;
use crate::smpp::command::CommandId;
use crate::smpp::frame::Pdu;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Wall};
use slotmap::{Key, KeyData, SlotMap, new_key_type};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};

new_key_type! {
    /// A message.
    pub(super) struct MessageKey;
    /// A submit_multi that was split among carriers.
    pub(super) struct MultiKey;
    /// A delivery.
    pub(super) struct DeliveryKey;
}

/// The window's owner number of a key, and back.
pub(super) fn owner_of(key: impl Key) -> Owner {
    Owner(key.data().as_ffi())
}

pub(super) fn key_of<K: Key>(owner: Owner) -> K {
    KeyData::from_ffi(owner.0).into()
}

/// The tag of a key in a letter, and back.
pub(super) fn tag_of(key: impl Key) -> Tag {
    Tag(key.data().as_ffi())
}

pub(super) fn key_of_tag<K: Key>(tag: Tag) -> K {
    KeyData::from_ffi(tag.0).into()
}

/// Whose id the ESME gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdFrom {
    Carrier,
    Own,
    /// 8 hex digits, for 3.3 peers.
    Short,
    /// Decided before it went to another shard.
    Already(Given),
}

/// What a message is, as far as its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is answered with an id and may get receipts.
    Submit,
    /// A part of a split submit_multi.
    Part(MultiKey),
    /// We have answered it; it stands in `ledger::Stored`.
    Stored(StoredKey),
    /// query, cancel, replace of a message that some shard knows; those with a bit set were asked.
    Operation(u64),
    /// Answered as the carrier answers: param_retrieve.
    Plain,
    /// It is here for a carrier; its owner is to hear what became of it.
    Guest(Guest),
}

/// What the home of a carrier knows of the owner of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) from: ShardId,
    pub(super) tag: Tag,
    pub(super) what: GuestKind,
}

/// What a guest is, as far as its reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuestKind {
    /// See `mail::Submitted`.
    Ordinary,
    /// As `Ordinary`, but it never waits here when it was throttled. Its key at its owner.
    Stored(u64),
    Part(Tag),
    Plain,
    /// Its octets were rewritten for the carrier; the owner has its own.
    Operation,
}

/// A request of an ESME on its way to a carrier and back.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) esme: EsmeId,
    /// The session that sent it, with its sequence number and command.
    pub(super) link: LinkId,
    pub(super) sequence: u32,
    pub(super) command: CommandId,
    pub(super) carrier: CarrierId,
    pub(super) pool: Option<PoolId>,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Who has refused it.
    pub(super) tried: SmallVec<[CarrierId; 3]>,
    /// When it was last written.
    pub(super) sent_at: Instant,
    /// Messages that wait for a carrier stand in this order, within the level of their class.
    pub(super) serial: u64,
    /// How far below the highest priority its class is.
    pub(super) level: u8,
    /// What a carrier refused it with, while it is to be tried again.
    pub(super) refusal: CommandStatus,
    /// The long message that it is a part of, and its number.
    pub(super) part: Option<(PartsKey, u8)>,
    pub(super) id_from: IdFrom,
    pub(super) destination: Destinations,
    /// Final receipts asked for.
    pub(super) awaited: u16,
    /// It is answered by then.
    pub(super) deadline: Instant,
    /// It is with the home of its carrier, another shard, and its octets with it.
    pub(super) away: bool,
    /// The PDU while it waits in a queue, or as long as its answer needs it.
    pub(super) frame: Vec<u8>,
    /// Its records, when it has some and is ours.
    pub(super) open: OpenKey,
    /// Those of a guest, as its owner knows them; 0: none.
    pub(super) record: u64,
}

impl Message {
    /// One whose carrier is not known yet. Its id is the carrier's and it is answered at once, unless that is changed.
    #[inline(always)]
    pub(super) fn new(
        now: Instant,
        kind: Kind,
        (esme, link): (EsmeId, LinkId),
        pdu: &Pdu<'_>,
        serial: u64,
    ) -> Self {
        Self {
            kind,
            esme,
            link,
            sequence: pdu.sequence_number(),
            command: pdu.command_id(),
            carrier: CarrierId(0),
            pool: None,
            attempts: 0,
            tried: SmallVec::new(),
            sent_at: now,
            serial,
            level: 0,
            refusal: CommandStatus::OK,
            part: None,
            id_from: IdFrom::Carrier,
            destination: Destinations::One(AddressTail::ANY),
            awaited: 0,
            deadline: now,
            away: false,
            frame: Vec::new(),
            open: OpenKey::default(),
            record: 0,
        }
    }

    /// Which request of whom it is.
    #[inline]
    pub(super) const fn asked(&self) -> (LinkId, EsmeId, CommandId) {
        (self.link, self.esme, self.command)
    }

    /// Where it may go.
    pub(super) fn wish(&self) -> Wish<'_> {
        let Self { esme, pool, part, level, .. } = *self;
        Wish { esme, pool, part, tried: &self.tried, lower: level > 0 }
    }

    /// It goes to this carrier now.
    #[inline]
    pub(super) fn written(&mut self, now: Instant, carrier: CarrierId) {
        self.carrier = carrier;
        self.sent_at = now;
        self.attempts += 1;
    }
}

pub(super) type Messages = Table<MessageKey, Message>;

/// What is kept of a message whose answer did not come in time, should it come all the same.
#[derive(Debug)]
pub(super) struct LateMessage {
    /// What was asked.
    pub(super) command: CommandId,
    pub(super) carrier: CarrierId,
    pub(super) esme: EsmeId,
    pub(super) link: LinkId,
    pub(super) id_from: IdFrom,
    pub(super) destination: Destinations,
    pub(super) awaited: u16,
    /// The submit_multi that it is a part of, and whose.
    pub(super) multi: Option<(ShardId, Tag)>,
    /// The stored message that it is, and whose.
    pub(super) stored: Option<(ShardId, u64)>,
}

/// The latest of them, bounded.
#[derive(Debug, Default)]
pub(super) struct Late {
    messages: HashMap<(LinkId, u32), LateMessage>,
    order: VecDeque<(LinkId, u32)>,
}

impl Late {
    /// Keeps one; the oldest goes when there are too many.
    pub(super) fn keep(&mut self, link: LinkId, sequence: u32, message: LateMessage) {
        if self.order.len() >= LATE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.order.push_back((link, sequence));
        self.messages.insert((link, sequence), message);
    }

    /// The message that a late response on this link answers: one of another type answers nothing.
    pub(super) fn take(&mut self, link: LinkId, sequence: u32, response: CommandId) -> Option<LateMessage> {
        let command = self.messages.get(&(link, sequence))?.command;
        let answers = response == command.response() || response == CommandId::GENERIC_NACK;
        if answers { self.messages.remove(&(link, sequence)) } else { None }
    }
}

/// A submit_multi whose destinations went to several carriers.
#[derive(Debug)]
pub(super) struct Multi {
    pub(super) esme: EsmeId,
    pub(super) link: LinkId,
    pub(super) sequence: u32,
    pub(super) given: Given,
    /// Parts not yet answered.
    pub(super) pending: u32,
    pub(super) accepted: bool,
    /// unsuccess_sme entries as they will be written, and how many.
    pub(super) failed: Vec<u8>,
    pub(super) failures: u32,
    pub(super) first_failure: CommandStatus,
    /// Who accepted parts.
    pub(super) taken: Vec<TakenPart>,
    /// The record that its response waits for.
    pub(super) lsn: Option<Lsn>,
}

/// A part that a carrier accepted.
#[derive(Debug)]
pub(super) struct TakenPart {
    pub(super) carrier: CarrierId,
    pub(super) id: IdText,
    pub(super) destination: Destinations,
    pub(super) awaited: u16,
    /// Its records; 0: none.
    pub(super) record: u64,
}

pub(super) type Multis = SlotMap<MultiKey, Multi>;

/// Who is told what became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The carrier's session, with its sequence number.
    Link(LinkId, u32),
    /// The carrier's home.
    Shard(ShardId, Tag),
    /// Nobody: the carrier was answered when the journal had it.
    Journal,
}

/// A receipt or MO on its way to an ESME and its answer back.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) carrier: CarrierId,
    pub(super) origin: Origin,
    pub(super) command: CommandId,
    pub(super) esme: EsmeId,
    /// The session that has it now.
    pub(super) link: LinkId,
    pub(super) is_receipt: bool,
    /// Its message, when it is a receipt and this is the carrier's home.
    pub(super) entry: Option<EntryKey>,
    /// The id that the ESME knows its message by, when the receipt names it otherwise.
    pub(super) known_as: Option<IdText>,
    /// Where the response of a receipt's message ends, and in which stream.
    pub(super) written: Option<(LinkId, u64)>,
    /// A receipt that ends its message, or this destination of it.
    pub(super) is_final: bool,
    pub(super) destination: u8,
    /// What a receipt says.
    pub(super) state: MessageState,
    /// Its error; `None`: nobody has looked yet.
    pub(super) error: Option<ErrorText>,
    /// The PDU, while another session may have to be tried.
    pub(super) frame: Vec<u8>,
    /// While it waits for a session with room: at most until then.
    pub(super) until: Instant,
    /// The records of its message at its owner; the null key: it has none.
    pub(super) record: OpenKey,
    /// Of a receipt whose message has records: which number it is of.
    pub(super) number: Option<AddressTail>,
    /// Its route wants it kept: nobody else is asked.
    pub(super) queued: bool,
    /// Its message goes again in place of it: its account does not get it.
    pub(super) again: Option<StoredKey>,
    /// Of its own record: the key, where it is now, where it was first, when it came. `NONE`: it has none.
    pub(super) key: u64,
    pub(super) lsn: Lsn,
    pub(super) origin_lsn: Lsn,
    pub(super) came: Wall,
    /// The ESME did not want it before then.
    pub(super) not_before: Instant,
    pub(super) at_once: AtOnce,
}

pub(super) type Deliveries = Table<DeliveryKey, Delivery>;

/// Octets held for messages and deliveries that wait: bounded per shard.
#[derive(Debug)]
pub(super) struct Retained {
    bytes: usize,
    max: usize,
    spare: Vec<Vec<u8>>,
}

impl Default for Retained {
    fn default() -> Self {
        Self::up_to(RETAINED_MAX)
    }
}

impl Retained {
    /// None yet, and never more octets than this.
    pub(super) const fn up_to(max: usize) -> Self {
        Self { bytes: 0, max, spare: Vec::new() }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A copy of `pdu`; `None` when the shard holds as much as it may.
    pub(super) fn copy(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        if self.bytes + pdu.len() > self.max {
            return None;
        }
        self.bytes += pdu.len();
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(pdu);
        Some(buffer)
    }

    /// A buffer for what is not held: it goes to another shard at once.
    pub(super) fn buffer(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(octets);
        buffer
    }

    /// A copy goes to another shard, which holds it from now on.
    pub(super) fn hand_out(&mut self, frame: Vec<u8>) -> Vec<u8> {
        debug_assert!(self.bytes >= frame.len());
        self.bytes -= frame.len();
        frame
    }

    /// A copy came from another shard. It is let in also over the limit: what is under way is bounded by credits.
    pub(super) fn take_in(&mut self, frame: Vec<u8>) -> Vec<u8> {
        self.bytes += frame.len();
        frame
    }

    /// Gives a copy back.
    pub(super) fn release(&mut self, frame: Vec<u8>) {
        debug_assert!(self.bytes >= frame.len());
        self.bytes -= frame.len();
        self.reuse(frame);
    }

    /// Keeps a buffer for later, when it is worth it.
    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>) {
        if (1..=RETAINED_BUFFER_MAX).contains(&buffer.capacity()) && self.spare.len() < RETAINED_BUFFERS_KEPT
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retained_octets_are_bounded_and_come_back() {
        let mut retained = Retained::default();
        let half = vec![0; RETAINED_MAX / 2];
        let (one, two) = (retained.copy(&half).unwrap(), retained.copy(&half).unwrap());
        assert!(retained.copy(&[0]).is_none());
        retained.release(one);
        assert!(retained.copy(&[0]).is_some());
        retained.release(two);
        assert_eq!(retained.bytes(), 1);
    }
}
