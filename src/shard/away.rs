//! Messages of our accounts that are with the home of their carrier, another shard.
//!
//! Owns: nothing of its own. Takes: messages for such a carrier; its replies. Gives: each message to that shard once,
//! and what became of it to `answers` and `failover`, as if the carrier were here. Never: an octet of it kept here as
//! well, but for what its answer needs.

use super::Shard;
use super::answers::status_of;
use super::mail::{Indexed, Mail, NotTaken, Submit, Submitted, Tag};
use super::message::{IdFrom, Kind, Message, MessageKey, MultiKey, TakenPart, key_of_tag, tag_of};
use super::mt::Body;
use super::port::Outbox;
use crate::counters::Reason;
use crate::ids::CarrierId;
use crate::ledger::{IdText, NewEntry};
use crate::smpp::frame::Pdu;
use crate::smpp::status::CommandStatus;
use crate::time::Now;

impl Shard {
    /// Sends a message to the home of its carrier, where there is room for it by the hint.
    pub(super) fn send_away(
        &mut self,
        now: Now,
        mut message: Box<Message>,
        carrier: CarrierId,
        frame: Vec<u8>,
        out: &mut Outbox,
    ) -> MessageKey {
        debug_assert!(message.frame.is_empty());
        let given = self.given(now, message.id_from);
        message.id_from = IdFrom::Already(given);
        message.written(now.mono, carrier);
        message.away = true;
        self.part_sent(now.mono, message.part, carrier);
        let frame = self.retained.hand_out(frame);
        let what = match message.kind {
            Kind::Submit => Submitted::Ordinary,
            Kind::Part(multi) => Submitted::Part(tag_of(multi)),
            Kind::Stored(key) => Submitted::Stored(tag_of(key).0),
            Kind::Operation(_) | Kind::Plain | Kind::Guest(_) => Submitted::Plain,
        };
        let (esme, link, destination) = (message.esme, message.link, message.destination.clone());
        let (awaited, deadline) = (message.awaited, message.deadline);
        let record = self.record_of(message.open);
        let key = self.messages.insert(message);
        let tag = tag_of(key);
        self.spend_room(carrier);
        let submit =
            Submit { tag, carrier, esme, link, given, destination, awaited, record, what, deadline, frame };
        self.request_of(self.home_of(carrier), Mail::Submit(submit), out);
        key
    }

    /// The message that a reply is about, at home again, with its octets.
    fn come_home(&mut self, tag: Tag, frame: Vec<u8>) -> Option<Box<Message>> {
        let frame = self.retained.take_in(frame);
        let mut taken = self.messages.remove(key_of_tag::<MessageKey>(tag));
        debug_assert!(taken.is_some(), "a reply to what nobody asked");
        if let Some(message) = taken.as_mut() {
            message.away = false;
        }
        match taken.as_mut() {
            Some(message) if message.frame.is_empty() => message.frame = frame,
            Some(_) | None => self.retained.release(frame),
        }
        taken
    }

    pub(super) fn on_away_answered(
        &mut self,
        now: Now,
        tag: Tag,
        response: Vec<u8>,
        frame: Vec<u8>,
        out: &mut Outbox,
    ) {
        if let Some(mut message) = self.come_home(tag, frame)
            && let Some(pdu) = Pdu::whole(&response)
        {
            let status = status_of(&pdu);
            self.judge(now, message.carrier, message.esme, status);
            if status == CommandStatus::OK {
                self.answer(now, &mut message, true, &pdu, out);
                self.messages.keep(message);
            } else {
                self.settle(now, message, &pdu, out);
            }
        }
        self.retained.reuse(response);
    }

    pub(super) fn on_away_unknown(&mut self, now: Now, tag: Tag, frame: Vec<u8>, out: &mut Outbox) {
        if let Some(message) = self.come_home(tag, frame) {
            self.lost(now, message, out);
        }
    }

    pub(super) fn on_not_taken(
        &mut self,
        now: Now,
        tag: Tag,
        frame: Vec<u8>,
        why: NotTaken,
        out: &mut Outbox,
    ) {
        let Some(mut message) = self.come_home(tag, frame) else { return };
        // It was never written, or was throttled: no attempt.
        message.attempts = message.attempts.saturating_sub(1);
        if let Some((part, number)) = message.part {
            self.affinity.refused(now.mono, part, number);
        }
        if matches!(message.kind, Kind::Stored(_)) {
            return match why {
                NotTaken::Over { status, refused: true, .. } => {
                    self.stored_refused(now, message, status, out)
                }
                NotTaken::Over { .. } | NotTaken::NoRoom | NotTaken::Moved => self.not_taken(now, message),
            };
        }
        let operation = matches!(message.kind, Kind::Operation(_));
        match why {
            NotTaken::Over { status, reason, refused } => {
                message.refusal = if refused { status } else { CommandStatus::OK };
                let key = self.messages.insert(message);
                self.give_up(now, key, status, reason, out);
            }
            NotTaken::NoRoom | NotTaken::Moved if operation || self.link(message.link).is_none() => {
                let key = self.messages.insert(message);
                let (status, reason) = if operation {
                    (CommandStatus::QUEUE_FULL, Reason::QueueFull)
                } else {
                    (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)
                };
                self.give_up(now, key, status, reason, out);
            }
            NotTaken::NoRoom => {
                message.tried.push(message.carrier);
                self.decide_again(now, message, out);
            }
            NotTaken::Moved => self.decide_again(now, message, out),
        }
    }

    /// A message that nobody has now, with its octets, is placed anew; it ends when nobody can take it.
    pub(super) fn decide_again(&mut self, now: Now, message: Box<Message>, out: &mut Outbox) {
        if matches!(message.kind, Kind::Stored(_)) {
            return self.not_taken(now, message);
        }
        let nobody = (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier);
        let placed = match Pdu::whole(&message.frame) {
            Some(pdu) => self.place(now, &message.wish(), &Body::again(&pdu), out),
            None => Err(nobody),
        };
        match placed {
            Ok(place) => self.move_on(now, message, place, out),
            Err((status, reason)) => {
                let key = self.messages.insert(message);
                self.give_up(now, key, status, reason, out);
            }
        }
    }

    /// Keeps an accepted message where its carrier is at home.
    pub(super) fn keep_at_home(&mut self, now: Now, new: &NewEntry<'_>, out: &mut Outbox) {
        if self.is_here(new.carrier) {
            return self.keep(now, new, out);
        }
        let indexed = Indexed {
            carrier: new.carrier,
            id: IdText::from_slice(new.id),
            given: new.given,
            esme: new.esme,
            link: new.link,
            destination: new.destination.clone(),
            awaited: new.awaited,
            record: new.record,
        };
        self.send_mail(now, self.home_of(new.carrier), Mail::Index(indexed), out);
    }

    /// A carrier accepted a part of a submit_multi after its time: its receipts are expected when that is answered.
    pub(super) fn on_late_part(&mut self, now: Now, multi: Tag, indexed: Indexed, out: &mut Outbox) {
        if let Some(multi) = self.multis.get_mut(key_of_tag::<MultiKey>(multi)) {
            let Indexed { carrier, id, destination, awaited, .. } = indexed;
            return multi.taken.push(TakenPart { carrier, id, destination, awaited, record: 0 });
        }
        let new = indexed.entry(self.mark_of(indexed.esme, indexed.link, out));
        self.keep_at_home(now, &new, out);
    }

    /// Whether a 3.3 carrier, wherever it is at home, can be given this.
    pub(super) fn fits_at(&self, carrier: CarrierId, body: &Body<'_>) -> bool {
        self.carriers.get(carrier.index()).is_some_and(|state| super::mt::fits(state, body))
    }
}
