//! The memory that what a link has read will need: asked for before it is needed, that of several PDUs at once.
//!
//! Owns: nothing. Takes: the next PDUs of a carrier, a delivery that was answered. Gives: nothing but time: what stands in
//! no cache comes for all of them in the time of one. Never: changes anything, decides anything; a PDU that it
//! misreads costs what it would have cost.
//!
//! A message is looked at when it comes, when its carrier answers, when its receipt comes and when its ESME answers
//! that. Between two of these the traffic of thousands of others passes through the cache, so each time all of it has to
//! be fetched: window slot, place, index, records, each from where the former one said. One after the other that is half of
//! what a message costs with records (bench/README, "Where the time goes").

use super::Shard;
use super::links::Side;
use super::message::{DeliveryKey, MessageKey, key_of};
use crate::ids::{CarrierId, LinkId};
use crate::ledger::{EntryKey, OpenKey};
use crate::limits::{AHEAD_FROM, AHEAD_PDUS};
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Frame, Pdu};
use crate::smpp::sm::Sm;
use core::hint::black_box;
use smallvec::SmallVec;

type Few<T> = SmallVec<[T; AHEAD_PDUS]>;

/// The id at the front of a receipt's text, where nearly all carriers write it.
fn first_id<'a>(pdu: &Pdu<'a>) -> Option<&'a [u8]> {
    let text = Sm::parse_deliver(pdu).ok()?.content.text();
    let id = text.strip_prefix(b"id:")?;
    id.iter().position(|octet| *octet == b' ').and_then(|end| id.get(..end))
}

impl Shard {
    /// True while so much is under way that what a PDU needs is in no cache.
    const fn pays(&self) -> bool {
        self.ledger.awaited() >= AHEAD_FROM
    }

    /// What a link has read is about to be handled; gives how many PDUs of it were looked at.
    #[inline]
    pub(super) fn foresee(&self, id: LinkId, bytes: &[u8]) -> usize {
        if !self.pays() {
            return usize::MAX;
        }
        let slot = super::links::live(&self.links, id);
        let Some((side, pdu_max)) = slot.map(|slot| (slot.side, slot.pdu_max as usize)) else { return 0 };
        match (side, Frame::next(bytes, pdu_max)) {
            // One alone is handled as soon as looked at.
            (Side::Carrier(carrier, ..), Frame::Whole(_, behind)) if !behind.is_empty() => {
                self.look_at(id, carrier, bytes, pdu_max)
            }
            _ => usize::MAX,
        }
    }

    #[inline(never)]
    fn look_at(&self, id: LinkId, carrier: CarrierId, bytes: &[u8], pdu_max: usize) -> usize {
        let Some(slot) = super::links::live(&self.links, id) else { return 0 };
        let (mut messages, mut receipts) = (Few::<MessageKey>::new(), Few::<u64>::new());
        let (mut rest, mut looked_at) = (bytes, 0);
        let form = self.forms.get(carrier.index());
        while looked_at < AHEAD_PDUS
            && let Frame::Whole(pdu, behind) = Frame::next(rest, pdu_max)
        {
            match pdu.command_id() {
                CommandId::SUBMIT_SM_RESP => {
                    let owner = slot.session.window().owner(pdu.sequence_number());
                    messages.extend(owner.map(key_of::<MessageKey>));
                }
                CommandId::DELIVER_SM => {
                    let place = first_id(&pdu).zip(form);
                    receipts.extend(place.map(|(id, form)| form.place_of(carrier, id)));
                }
                _ => {}
            }
            (rest, looked_at) = (behind, looked_at + 1);
        }
        self.ask_for_messages(&messages);
        self.ask_for_receipts(&receipts);
        looked_at
    }

    fn ask_for_messages(&self, messages: &[MessageKey]) {
        for key in messages {
            black_box(self.messages.place(*key));
        }
        let mut open = Few::<OpenKey>::new();
        for message in messages.iter().filter_map(|key| self.messages.get(*key)) {
            black_box((message.kind, message.deadline, message.link, message.awaited, message.id_from));
            open.push(message.open);
        }
        self.ask_for_open(&open);
    }

    fn ask_for_receipts(&self, places: &[u64]) {
        let found: Few<EntryKey> = places.iter().filter_map(|place| self.ledger.at_place(*place)).collect();
        let open: Few<OpenKey> =
            found.iter().filter_map(|entry| self.ledger.ask(*entry)).map(OpenKey::of).collect();
        self.ask_for_open(&open);
    }

    fn ask_for_open(&self, open: &[OpenKey]) {
        if let Some(records) = &self.records {
            open.iter().for_each(|open| records.open.ask(*open));
        }
    }

    /// A delivery was answered: what its end needs is asked for all at once.
    pub(super) fn ask_for_end(&self, key: DeliveryKey) {
        let Some(delivery) = self.deliveries.get(key).filter(|_| self.pays()) else { return };
        if let Some(records) = &self.records {
            records.open.ask(delivery.record);
            records.pen.book.ask(delivery.key);
        }
        if let Some(entry) = delivery.entry {
            black_box(self.ledger.ask(entry));
        }
    }
}
