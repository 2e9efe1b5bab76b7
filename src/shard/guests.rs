//! Messages of other shards that are here for a carrier of ours.
//!
//! Owns: nothing of its own. Takes: them, and what the carrier said. Gives: each exactly one reply to its owner, its
//! octets with it unless the carrier accepted it. Never: decides where else it could go.

use super::Shard;
use super::mail::{Indexed, Mail, NotTaken, Submit, Submitted, Tag};
use super::message::{Guest, GuestKind, IdFrom, Kind, Message, MessageKey};
use super::mt::{Body, Response, has_room_for, takes_now};
use super::operations::Operation;
use super::port::Outbox;
use crate::carrier::settings::OnStatus;
use crate::counters::Reason;
use crate::ids::{CarrierId, EsmeId, LinkId, ShardId};
use crate::smpp::frame::Pdu;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Now};

impl Shard {
    fn guest(&mut self, now: Now, guest: Guest, esme: EsmeId, link: LinkId, pdu: &Pdu<'_>) -> Box<Message> {
        self.serial += 1;
        let (kind, serial) = (Kind::Guest(guest), self.serial);
        let mut message = self.messages.make(|| Message::new(now.mono, kind, (esme, link), pdu, serial));
        message.level = self.level_of(esme);
        message
    }

    /// A message came for a carrier of ours.
    pub(super) fn on_guest(&mut self, now: Now, from: ShardId, submit: &mut Submit, out: &mut Outbox) {
        let carrier = submit.carrier;
        let frame = self.retained.take_in(core::mem::take(&mut submit.frame));
        let Some(pdu) = Pdu::whole(&frame) else {
            debug_assert!(false, "shards send whole PDUs");
            return self.retained.release(frame);
        };
        let what = match submit.what {
            Submitted::Ordinary => GuestKind::Ordinary,
            Submitted::Stored(key) => GuestKind::Stored(key),
            Submitted::Part(multi) => GuestKind::Part(multi),
            Submitted::Plain => GuestKind::Plain,
        };
        let guest = Guest { from, tag: submit.tag, what };
        let mut message = self.guest(now, guest, submit.esme, submit.link, &pdu);
        message.carrier = carrier;
        message.id_from = IdFrom::Already(submit.given);
        message.destination = submit.destination.clone();
        message.awaited = submit.awaited;
        message.record = submit.record;
        message.deadline = submit.deadline;
        self.changed(carrier);
        let Self { carriers, links, .. } = self;
        let Some(state) = carriers.get_mut(carrier.index()) else { return self.retained.release(frame) };
        let body = Body::as_needed(&pdu, state);
        let lower = message.level > 0;
        let session = if takes_now(state, now.mono, &body) {
            state.batch_sender(|link| has_room_for(links, link, lower, out))
        } else {
            None
        };
        let waits = state.may_ever_send() && state.queue.len() < state.settings.queue_max as usize;
        match session {
            Some(link) => {
                message.written(now.mono, carrier);
                let key = self.messages.insert(message);
                self.send(now.mono, key, carrier, link, &pdu, &body, out);
                // Its owner may want it back.
                if let Some(message) = self.messages.get_mut(key) {
                    message.frame = frame;
                }
            }
            None if waits => {
                message.frame = frame;
                let key = self.messages.insert(message);
                self.line_up(now, key, carrier);
            }
            None => {
                message.frame = frame;
                self.give_back(now, guest, message, NotTaken::NoRoom, out);
            }
        }
    }

    /// A guest was not written: its owner decides.
    pub(super) fn give_back(
        &mut self,
        now: Now,
        guest: Guest,
        mut message: Box<Message>,
        why: NotTaken,
        out: &mut Outbox,
    ) {
        let frame = self.returned(guest, core::mem::take(&mut message.frame));
        self.messages.keep(message);
        self.send_mail(now, guest.from, Mail::NotTaken { tag: guest.tag, frame, why }, out);
    }

    /// The octets that go back; those of an operation were rewritten, and its owner has its own.
    fn returned(&mut self, guest: Guest, frame: Vec<u8>) -> Vec<u8> {
        if guest.what == GuestKind::Operation {
            self.retained.release(frame);
            return Vec::new();
        }
        self.retained.hand_out(frame)
    }

    /// The carrier answered a guest.
    pub(super) fn answer_guest(
        &mut self,
        now: Now,
        guest: Guest,
        mut message: Box<Message>,
        status: CommandStatus,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let carrier = message.carrier;
        let ok = status == CommandStatus::OK;
        let ordinary = guest.what == GuestKind::Ordinary;
        if !ok && ordinary {
            let action = self.carriers.get(carrier.index()).map(|state| state.settings.on_status(status));
            message.refusal = status;
            if action == Some(OnStatus::SlowDown) && self.finishes(now, &message, carrier) {
                let key = self.messages.insert(message);
                return self.line_up(now, key, carrier);
            }
        }
        let frame = core::mem::take(&mut message.frame);
        let frame = if ok {
            self.retained.release(frame);
            Vec::new()
        } else {
            self.returned(guest, frame)
        };
        let response = self.retained.buffer(pdu.bytes());
        self.send_mail(now, guest.from, Mail::Answered { tag: guest.tag, response, frame }, out);
        // Behind the answer: a receipt that waits for it goes the same way.
        if ok && (ordinary || matches!(guest.what, GuestKind::Stored(_))) {
            let given = self.given(now, message.id_from);
            let record = if message.awaited > 0 { message.record } else { 0 };
            self.index(now, &message, Response::parse(pdu).id(), (given, record), out);
        }
        self.messages.keep(message);
    }

    /// A guest was written and will not be answered any more.
    pub(super) fn guest_unknown(
        &mut self,
        now: Now,
        guest: Guest,
        mut message: Box<Message>,
        out: &mut Outbox,
    ) {
        let frame = self.returned(guest, core::mem::take(&mut message.frame));
        self.messages.keep(message);
        self.send_mail(now, guest.from, Mail::Unknown { tag: guest.tag, frame }, out);
    }

    /// An account of another shard names a message: it may be one that a carrier of ours took.
    pub(super) fn on_guest_operation(
        &mut self,
        now: Now,
        (from, tag): (ShardId, Tag),
        esme: EsmeId,
        (link, deadline): (LinkId, Instant),
        frame: Vec<u8>,
        out: &mut Outbox,
    ) {
        let frame = self.retained.take_in(frame);
        let operation = Pdu::whole(&frame).and_then(|pdu| Some((pdu, Operation::parse(&pdu).ok()?)));
        let carriers = self.carriers.len() as u32;
        self.ledger.look();
        let found = operation.and_then(|(pdu, operation)| {
            let (_, entry) = self.ledger.of_account(esme, operation.id(), carriers)?;
            Some((pdu, operation, entry.carrier, entry.id.clone()))
        });
        let Some((pdu, operation, carrier, id)) = found else {
            let again = Pdu::whole(&frame).and_then(|pdu| Operation::parse(&pdu).ok());
            let again = again.filter(|_| self.has_room_for_sleeper());
            if let Some(sleeper) = again.and_then(|operation| self.sleeper(now, esme, operation.id(), out)) {
                let frame = self.retained.hand_out(frame);
                return self.await_sleeper(sleeper, (from, tag), esme, (link, deadline), frame);
            }
            self.retained.release(frame);
            return self.send_mail(now, from, Mail::NotFound { tag }, out);
        };
        let guest = Guest { from, tag, what: GuestKind::Operation };
        let mut message = self.guest(now, guest, esme, link, &pdu);
        message.deadline = deadline;
        if let Err((status, reason)) = self.line_up_operation(now, message, carrier, &pdu, operation, &id) {
            let why = NotTaken::Over { status, reason, refused: false };
            self.send_mail(now, from, Mail::NotTaken { tag, frame: Vec::new(), why }, out);
        }
        self.retained.release(frame);
        self.pump(now, carrier, out);
    }

    /// Lets an operation wait for its carrier, and no other, with the id that this one knows.
    fn line_up_operation(
        &mut self,
        now: Now,
        message: Box<Message>,
        carrier: CarrierId,
        pdu: &Pdu<'_>,
        operation: Operation<'_>,
        id: &[u8],
    ) -> Result<(), (CommandStatus, Reason)> {
        let state =
            self.carriers.get(carrier.index()).ok_or((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier))?;
        let fitting = if super::mt::is_v33(state) { operation.for_v33() } else { Ok(operation) };
        let operation = fitting.map_err(|status| (status, Reason::Parts))?;
        if state.queue.len() >= state.settings.queue_max as usize {
            return Err((CommandStatus::QUEUE_FULL, Reason::QueueFull));
        }
        let mut rewritten = Vec::new();
        operation.write_with(id, pdu.command_id(), &mut rewritten);
        let rewritten = Pdu::whole(&rewritten).ok_or((CommandStatus::SYSTEM_ERROR, Reason::Malformed))?;
        self.enqueue(now, message, carrier, &rewritten).map(|_| ())
    }

    /// A part of a submit_multi that a carrier of ours accepted may get its receipts.
    pub(super) fn on_index(&mut self, now: Now, indexed: &Indexed, out: &mut Outbox) {
        let new = indexed.entry(0);
        self.keep(now, &new, out);
    }

    /// A session of another shard is gone: what waits here for it is not sent.
    pub(super) fn forget_guests(&mut self, now: Now, from: ShardId, link: LinkId, out: &mut Outbox) {
        let mut gone: Vec<MessageKey> = Vec::new();
        let Self { carriers, messages, .. } = self;
        let is_of = |key: &MessageKey| {
            messages.get(*key).is_some_and(|message| {
                // A stored message goes on without its session.
                let of_it = |guest: Guest| guest.from == from && !matches!(guest.what, GuestKind::Stored(_));
                message.link == link && matches!(message.kind, Kind::Guest(guest) if of_it(guest))
            })
        };
        for carrier in carriers.iter_mut() {
            let before = gone.len();
            gone.extend(carrier.queue.iter().copied().filter(is_of));
            if gone.len() > before {
                carrier.queue.retain(|key| !is_of(key));
            }
        }
        for key in gone {
            if let Some(carrier) = self.messages.get(key).map(|message| message.carrier) {
                self.count_queued(carrier);
            }
            self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
        }
    }

    /// Some carrier can send again: what waits at ours that cannot is decided again.
    pub(super) fn reroute_stranded(&mut self, now: Now, out: &mut Outbox) {
        for carrier in (0..self.carriers.len()).map(CarrierId::new) {
            let state = self.carriers.get(carrier.index());
            if state.is_some_and(|state| !state.queue.is_empty() && !state.can_send()) {
                self.reroute(now, carrier, out);
            }
        }
    }

    /// Where the response of a message ends in its session's stream, as far as this shard knows.
    pub(super) fn mark_of(&self, esme: EsmeId, link: LinkId, out: &Outbox) -> u64 {
        if self.is_own(esme) { out.position(link) } else { 0 }
    }
}
