//! What is in flight: messages toward carriers, deliveries toward ESMEs, and the octets that are held for them.
//! Owns: the tables. Takes: new entries. Gives: them back by a handle that tells stale from live.

use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::ledger::{AddressTail, EntryKey, Given, IdText};
use crate::limits::{LATE_MAX, RETAINED_BUFFER_MAX, RETAINED_BUFFERS_KEPT, RETAINED_MAX};
use crate::route::affinity::Key as PartsKey;
use crate::session::Owner;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Instant;
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

/// Whose id the ESME gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdFrom {
    Carrier,
    Own,
    /// 8 hex digits, for 3.3 peers.
    Short,
}

/// What a message is, as far as its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is answered with an id and may get receipts.
    Submit,
    /// A part of a split submit_multi.
    Part(MultiKey),
    /// query, cancel, replace of this message.
    Operation(EntryKey),
    /// Answered as the carrier answers: param_retrieve.
    Plain,
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
    /// Attempts so far, and with whom.
    pub(super) attempts: u32,
    pub(super) tried: SmallVec<[CarrierId; 3]>,
    /// When it was last written.
    pub(super) sent_at: Instant,
    /// Messages that wait for a carrier stand in this order.
    pub(super) serial: u64,
    /// What a carrier refused it with, while it is to be tried again.
    pub(super) refusal: CommandStatus,
    /// The long message that it is a part of, and its number.
    pub(super) part: Option<(PartsKey, u8)>,
    pub(super) id_from: IdFrom,
    pub(super) destination: AddressTail,
    /// Final receipts asked for.
    pub(super) awaited: u16,
    /// It is answered by then.
    pub(super) deadline: Instant,
    /// The PDU while it waits in a queue, or as long as its answer needs it.
    pub(super) frame: Vec<u8>,
}

pub(super) type Messages = SlotMap<MessageKey, Message>;

/// What is kept of a message whose answer did not come in time, should it come all the same.
#[derive(Debug)]
pub(super) struct LateMessage {
    /// What was asked.
    pub(super) command: CommandId,
    pub(super) carrier: CarrierId,
    pub(super) esme: EsmeId,
    pub(super) link: LinkId,
    pub(super) id_from: IdFrom,
    pub(super) destination: AddressTail,
    pub(super) awaited: u16,
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
    /// Who accepted parts, with their ids and the receipts that are awaited.
    pub(super) taken: Vec<(CarrierId, IdText, u16)>,
}

pub(super) type Multis = SlotMap<MultiKey, Multi>;

/// A receipt or MO on its way to an ESME and its answer back.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) carrier: CarrierId,
    pub(super) carrier_link: LinkId,
    pub(super) carrier_sequence: u32,
    pub(super) command: CommandId,
    pub(super) esme: EsmeId,
    /// The session that has it now.
    pub(super) link: LinkId,
    /// Its message, when it is a receipt.
    pub(super) entry: Option<EntryKey>,
    /// The receipt names its message otherwise than the ESME knows it.
    pub(super) other_id: bool,
    /// A receipt that ends its message.
    pub(super) is_final: bool,
    /// What a receipt says.
    pub(super) state: MessageState,
    /// The PDU, while another session may have to be tried.
    pub(super) frame: Vec<u8>,
    /// While it waits for a session with room: at most until then.
    pub(super) until: Instant,
}

pub(super) type Deliveries = SlotMap<DeliveryKey, Delivery>;

/// Octets held for messages and deliveries that wait: bounded per shard.
#[derive(Debug, Default)]
pub(super) struct Retained {
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Retained {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A copy of `pdu`; `None` when the shard holds as much as it may.
    pub(super) fn copy(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        if self.bytes + pdu.len() > RETAINED_MAX {
            return None;
        }
        self.bytes += pdu.len();
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(pdu);
        Some(buffer)
    }

    /// Gives a copy back.
    pub(super) fn release(&mut self, mut frame: Vec<u8>) {
        debug_assert!(self.bytes >= frame.len());
        self.bytes -= frame.len();
        if (1..=RETAINED_BUFFER_MAX).contains(&frame.capacity()) && self.spare.len() < RETAINED_BUFFERS_KEPT {
            frame.clear();
            self.spare.push(frame);
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
