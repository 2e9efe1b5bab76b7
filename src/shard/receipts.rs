//! Receipts: to the account that submitted and no other, with the id that it was given, after its response.
//!
//! Owns: nothing of its own. Takes: receipts of carriers. Gives: each to its account, or holds it until its message
//! is known, or refuses it. Never: gives one to an account that is only probably meant.

use super::Shard;
use super::kept::differs;
use super::links::LinkSlot;
use super::mo::{Delivered, delivery_of};
use super::port::Outbox;
use super::timers::Timer;
use crate::counters::Match;
use crate::ids::{CarrierId, LinkId};
use crate::ledger::{AddressTail, Begun, End, Entry, EntryKey, Given, IdText, OpenKey};
use crate::limits::{PARKED_MAX, RECEIPT_PARK};
use crate::smpp::frame::Pdu;
use crate::smpp::id_form::response_key;
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::status::CommandStatus;
use crate::time::Now;

impl Shard {
    pub(super) fn on_receipt(
        &mut self,
        now: Now,
        link: LinkId,
        carrier: CarrierId,
        receipt: &Receipt<'_>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) {
        if let Some(id) = self.rouse(now, carrier, receipt, out) {
            return self.park(now, (link, carrier), receipt, Some(id), &delivered.pdu, out);
        }
        match self.find_message(carrier, receipt, delivered) {
            Some(entry) if !self.falls_asleep(entry) => {
                self.give_receipt(now, (link, carrier), entry, receipt, delivered, out);
            }
            _ => self.park(now, (link, carrier), receipt, receipt.id(), &delivered.pdu, out),
        }
    }

    fn falls_asleep(&self, entry: EntryKey) -> bool {
        self.ledger.get(entry).is_some_and(Entry::falls_asleep)
    }

    /// The message of a receipt: by the TLV's id, else by the text's, which may be cut.
    fn find_message(
        &mut self,
        carrier: CarrierId,
        receipt: &Receipt<'_>,
        delivered: &Delivered<'_>,
    ) -> Option<EntryKey> {
        let tail = AddressTail::of(delivered.source());
        self.ledger.look();
        let form = self.forms.get_mut(carrier.index())?;
        let mut find = |id: &[u8]| {
            let found = form.find(&self.ledger, carrier, id, tail)?;
            if let Some(entry) = self.ledger.get(found) {
                form.learn(&entry.id, id);
            }
            Some(found)
        };
        receipt.tlv_id.and_then(&mut find).or_else(|| receipt.text_id().and_then(&mut find))
    }

    fn give_receipt(
        &mut self,
        now: Now,
        (link, carrier): (LinkId, CarrierId),
        key: EntryKey,
        receipt: &Receipt<'_>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.ledger.get_mut(key) else { return };
        let (tail, pdu) = (AddressTail::of(delivered.source()), &delivered.pdu);
        let is_final = !receipt.intermediate;
        let esme = entry.esme;
        let destination = match entry.begin(tail, is_final) {
            Begun::News(destination) => destination,
            Begun::Over => {
                // State only goes forward: after the final receipt nothing more is news.
                self.count_receipt(carrier, Match::Duplicate, receipt.state);
                let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
                return self.answer_delivery(now, link, command, sequence, CommandStatus::OK, out);
            }
            Begun::Busy => {
                // The ESME has not answered it yet: whether this one is needed is not known.
                self.count_receipt(carrier, Match::Duplicate, receipt.state);
                return self.refuse_delivery(now, link, pdu.command_id(), pdu.sequence_number(), out);
            }
        };
        if is_final && let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.receipt_spans.add(now.mono.since(entry.accepted()));
        }
        // Also with the carrier's own id: it may write it in hexadecimal here and in decimal there.
        let other_id = entry.given != Given::Carrier || differs(receipt, &entry.id);
        let mut delivery = self.deliveries.make(|| delivery_of(link, carrier, esme, pdu));
        delivery.is_receipt = true;
        delivery.entry = Some(key);
        if other_id {
            let known_as = delivery.known_as.insert(IdText::new());
            known_as.extend_from_slice(entry.given.text_in(&mut self.id_room).unwrap_or(&entry.id));
        }
        // Not before the message's response was written, unless it goes behind it in the same stream.
        delivery.written = Some((entry.link, entry.mark));
        delivery.record = OpenKey::of(entry.record);
        delivery.is_final = is_final;
        delivery.destination = destination;
        delivery.state = receipt.state.unwrap_or(MessageState::Unknown);
        delivery.error = self.records.as_ref().map(|_| End::error(receipt.text.err.unwrap_or_default()));
        let here = self.is_own(esme);
        let Err(status) = self.give(now, delivery, delivered, out) else {
            if here {
                self.count_receipt(carrier, Match::Matched, receipt.state);
            }
            return;
        };
        if is_final {
            self.ledger.receipt_back(key, destination);
        }
        self.answer_delivery(now, link, pdu.command_id(), pdu.sequence_number(), status, out);
    }

    /// Holds a receipt whose message is not known: its response may be on its way on another session.
    fn park(
        &mut self,
        now: Now,
        (link, carrier): (LinkId, CarrierId),
        receipt: &Receipt<'_>,
        id: Option<&[u8]>,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let room = self.link(link).is_some_and(|slot: &LinkSlot| slot.parked < PARKED_MAX);
        let copy = id.filter(|_| room).and_then(|id| Some((id, self.retained.copy(pdu.bytes())?)));
        let Some((id, frame)) = copy else {
            self.count_receipt(carrier, Match::Orphan, receipt.state);
            let without_id = id.is_none();
            let reason = if without_id { "it names no id" } else { "too many wait for their message" };
            self.note_unmatched(now.mono, carrier, reason);
            return self.refuse_delivery(now, link, pdu.command_id(), pdu.sequence_number(), out);
        };
        let first = self.parked.is_empty();
        let until = now.mono.after(RECEIPT_PARK);
        self.parked.park(carrier, link, id, frame, until);
        if let Some(slot) = self.link_mut(link) {
            slot.parked += 1;
        }
        self.count_receipt(carrier, Match::Parked, receipt.state);
        self.count_parked(carrier);
        if first {
            self.tick_later(until, Timer::Parked);
        }
    }

    /// A message became known: the receipts that waited for it go on.
    pub(super) fn unpark(&mut self, now: Now, carrier: CarrierId, id: &[u8], out: &mut Outbox) {
        let v33 = self.carriers.get(carrier.index()).is_some_and(super::mt::is_v33);
        for at in self.parked.for_message(carrier, response_key(id)) {
            let Some((link, frame)) = self.parked.lend(at) else { continue };
            let delivered = Delivered::kept(&frame);
            let receipt = delivered.and_then(|delivered| delivered.receipt(v33));
            let (Some(delivered), Some(receipt)) = (delivered, receipt) else { continue };
            let sleeps = self.may_sleep(carrier, &receipt);
            let entry = if sleeps { None } else { self.find_message(carrier, &receipt, &delivered) };
            let Some(entry) = entry.filter(|entry| !self.falls_asleep(*entry)) else {
                self.parked.put_back(at, frame);
                continue;
            };
            self.parked.take(at);
            if let Some(slot) = self.link_mut(link) {
                slot.parked -= 1;
            }
            self.give_receipt(now, (link, carrier), entry, &receipt, &delivered, out);
            self.retained.release(frame);
        }
        self.count_parked(carrier);
    }

    pub(super) fn expire_parked(&mut self, now: Now, out: &mut Outbox) {
        while let Some(held) = self.parked.take_expired(now.mono) {
            if let Some(slot) = self.link_mut(held.link) {
                slot.parked -= 1;
            }
            let v33 = self.carriers.get(held.carrier.index()).is_some_and(super::mt::is_v33);
            let delivered = Delivered::kept(&held.pdu);
            let receipt = delivered.and_then(|delivered| delivered.receipt(v33));
            let state = receipt.and_then(|receipt| receipt.state);
            self.count_receipt(held.carrier, Match::Orphan, state);
            self.note_unmatched(now.mono, held.carrier, "its message did not become known");
            if let Some(Delivered { pdu, .. }) = delivered {
                self.refuse_delivery(now, held.link, pdu.command_id(), pdu.sequence_number(), out);
            }
            self.count_parked(held.carrier);
            self.retained.release(held.pdu);
        }
        if let Some(deadline) = self.parked.deadline() {
            self.tick_later(deadline, Timer::Parked);
        }
    }
}
