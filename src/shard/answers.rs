//! What a carrier answered, brought to the ESME that asked.
//!
//! Owns: nothing of its own. Takes: responses of carriers, and that none came. Gives: each request exactly one
//! answer, and each accepted message an entry in the ledger. Never: an answer for what may still be answered by
//! another carrier.

use super::Shard;
use super::links::live_mut;
use super::message::{IdFrom, Kind, Message, MessageKey, key_of};
use super::mt::Response;
use super::port::Outbox;
use crate::counters::{Ignored, Reason};
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::journal::Lsn;
use crate::ledger::{End, Given, NewEntry};
use crate::route::health::Outcome;
use crate::session::{Owner, Session};
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, copy_with_sequence, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::time::Now;

impl Shard {
    /// Answers a request, if its session is still there: `write` appends the answer and gives its status. The slot is
    /// free then, a paused link may go on.
    #[inline]
    pub(super) fn answer_with(
        &mut self,
        now: Now,
        (link, esme, command): (LinkId, EsmeId, CommandId),
        out: &mut Outbox,
        write: impl FnOnce(&Session, &mut Vec<u8>) -> CommandStatus,
    ) {
        let Some(slot) = live_mut(&mut self.links, link) else {
            return self.ignored(Ignored::ResponseEsmeGone);
        };
        let status = write(&slot.session, out.to(link));
        slot.session.answered();
        let (paused, ending) = (slot.paused, slot.session.is_ending());
        self.count_answer(esme, command, status, 1);
        if paused {
            self.wake.push(link);
        } else if ending {
            self.progress(now, link, out);
        }
    }

    /// Answers a request header-only.
    pub(super) fn answer_status(
        &mut self,
        now: Now,
        message: &Message,
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        self.answer_with(now, message.asked(), out, |session, to| {
            let status = status.for_version(session.version());
            write_header_only(to, message.command.response(), status, message.sequence);
            status
        });
    }

    pub(super) fn on_message_answered(
        &mut self,
        now: Now,
        link: LinkId,
        carrier: CarrierId,
        owner: Owner,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let key: MessageKey = key_of(owner);
        let Some(mut message) = self.messages.remove(key) else { return };
        self.changed(carrier);
        let status = status_of(pdu);
        let ok = status == CommandStatus::OK;
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            if ok {
                cells.accepted.bump()
            } else {
                cells.refused.bump()
            }
            cells.submit_spans.add_nanos(now.mono.nanos_since(message.sent_at));
        }
        self.count_carrier_answer(carrier, message.command, status);
        self.learn_from(now, link, (carrier, message.sent_at), status, out);
        if let Kind::Guest(guest) = message.kind {
            self.answer_guest(now, guest, message, status, pdu, out);
        } else {
            self.judge(now, carrier, message.esme, status);
            if ok {
                self.answer(now, &mut message, ok, pdu, out);
                self.messages.keep(message);
            } else {
                self.settle(now, message, pdu, out);
            }
        }
        if self.carriers.get(carrier.index()).is_some_and(|carrier| !carrier.queue.is_empty()) {
            self.pump(now, carrier, out);
        }
    }

    /// A carrier answered a message of ours: it is tried again, or that is its answer.
    pub(super) fn settle(&mut self, now: Now, message: Box<Message>, pdu: &Pdu<'_>, out: &mut Outbox) {
        let status = status_of(pdu);
        let ok = status == CommandStatus::OK;
        if !ok && matches!(message.kind, Kind::Stored(_)) {
            return self.stored_refused(now, message, status, out);
        }
        let mut message = Some(message);
        if !ok && self.retry(now, &mut message, status, out) {
            return;
        }
        if let Some(mut message) = message {
            self.answer(now, &mut message, ok, pdu, out);
            self.messages.keep(message);
        }
    }

    /// The carrier's answer is the answer.
    pub(super) fn answer(
        &mut self,
        now: Now,
        message: &mut Message,
        ok: bool,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        // A part is no answer of its own; a stored message has had its.
        if !matches!(message.kind, Kind::Part(_) | Kind::Stored(_))
            && let Some(cells) = self.counters.esmes.get(message.esme.index())
        {
            if ok { cells.accepted.bump() } else { cells.refused_by_carrier.bump() }
        }
        if let Some((part, number)) = message.part {
            if ok {
                self.affinity.accepted(now.mono, part, number);
            } else {
                self.affinity.failed(now.mono, part, number);
            }
        }
        if !ok {
            self.end_message(now, message, End::refused(status_of(pdu)));
        }
        match message.kind {
            Kind::Submit => self.answer_submit(now, message, ok, pdu, out),
            Kind::Part(multi) => self.on_part_answered(now, multi, message, ok, pdu, out),
            Kind::Stored(key) => self.stored_sent(now, key, message, pdu, out),
            Kind::Operation(_) => self.answer_operation(now, message, pdu, out),
            Kind::Plain => self.answer_copy(now, message, pdu, out),
            Kind::Guest(_) => debug_assert!(false, "answered by its owner"),
        }
        self.retained.release(core::mem::take(&mut message.frame));
    }

    pub(super) fn answer_submit(
        &mut self,
        now: Now,
        message: &Message,
        ok: bool,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        if !ok {
            return self.answer_copy(now, message, pdu, out);
        }
        let given = self.given(now, message.id_from);
        let response = Response::parse(pdu);
        let lsn = match self.records {
            Some(_) => self.record_accepted(now, message, response.id(), given, Some(pdu)),
            None => None,
        };
        let mut room = self.id_room;
        match given.text_in(&mut room) {
            None => self.answer_copy_after(now, message, pdu, lsn, out),
            Some(id) => self.answer_after(now, message.asked(), lsn, out, |session, to| {
                let (command, status) = (message.command.response(), CommandStatus::OK);
                response.write(Some(id), session.is_v33(), command, status, message.sequence, to);
                status
            }),
        }
        self.id_room = room;
        if self.is_here(message.carrier) {
            let record = lsn.map_or(0, |_| message.open.number());
            self.index(now, message, response.id(), (given, record), out);
        }
    }

    pub(super) fn given(&mut self, now: Now, id_from: IdFrom) -> Given {
        match id_from {
            IdFrom::Carrier => Given::Carrier,
            IdFrom::Own => Given::Own(self.own_ids.next(now.wall)),
            IdFrom::Short => Given::Short(self.own_ids.next_short(now.wall)),
            IdFrom::Already(given) => given,
        }
    }

    /// Keeps an accepted message for its receipts, and looks whether one has come already.
    #[inline(always)]
    pub(super) fn index(
        &mut self,
        now: Now,
        message: &Message,
        id: &[u8],
        (given, record): (Given, u64),
        out: &mut Outbox,
    ) {
        if id.is_empty() {
            return;
        }
        let new = NewEntry {
            carrier: message.carrier,
            id,
            given,
            esme: message.esme,
            link: message.link,
            mark: self.mark_of(message.esme, message.link, out),
            destination: &message.destination,
            awaited: message.awaited,
            record,
        };
        self.keep(now, &new, out);
    }

    #[inline(always)]
    pub(super) fn keep(&mut self, now: Now, new: &NewEntry<'_>, out: &mut Outbox) {
        self.ledger.keep(now.mono, new);
        if !self.parked.is_empty() {
            self.unpark(now, new.carrier, new.id, out);
        }
    }

    /// Answers with the carrier's own response: status, id, TLVs; only the sequence number is the ESME's.
    pub(super) fn answer_copy(&mut self, now: Now, message: &Message, pdu: &Pdu<'_>, out: &mut Outbox) {
        self.answer_copy_after(now, message, pdu, None, out);
    }

    fn answer_copy_after(
        &mut self,
        now: Now,
        message: &Message,
        pdu: &Pdu<'_>,
        lsn: Option<Lsn>,
        out: &mut Outbox,
    ) {
        self.answer_after(now, message.asked(), lsn, out, |session, to| {
            let (command, sequence) = (message.command.response(), message.sequence);
            let status = pdu.header().command_status.for_version(session.version());
            let same = pdu.command_id() == command && status == pdu.header().command_status;
            if pdu.command_id() == CommandId::GENERIC_NACK {
                write_header_only(to, command, status, sequence);
            } else if same && !session.is_v33() {
                copy_with_sequence(to, pdu, sequence);
            } else {
                Response::parse(pdu).write(None, session.is_v33(), command, status, sequence, to);
            }
            status
        });
    }

    /// A message was written and will not be answered any more.
    pub(super) fn on_message_unknown(
        &mut self,
        now: Now,
        carrier: CarrierId,
        owner: Owner,
        out: &mut Outbox,
    ) {
        let Some(message) = self.messages.remove(key_of(owner)) else { return };
        self.changed(carrier);
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.unknown.bump();
        }
        match message.kind {
            Kind::Guest(guest) => self.guest_unknown(now, guest, message, out),
            Kind::Submit | Kind::Part(_) | Kind::Stored(_) | Kind::Operation(_) | Kind::Plain => {
                self.lost(now, message, out);
            }
        }
    }

    /// A message of ours was written and will not be answered any more.
    pub(super) fn lost(&mut self, now: Now, message: Box<Message>, out: &mut Outbox) {
        self.balance.record(now.mono, message.carrier, message.esme, Outcome::Error);
        if matches!(message.kind, Kind::Stored(_)) {
            return self.stored_unknown(now, message, out);
        }
        let mut message = Some(message);
        if self.resend(now, &mut message, out) {
            return;
        }
        let Some(mut message) = message else { return };
        self.count_refusal(message.esme, Reason::Unknown);
        self.part_failed(now, &message);
        let account = self.accounts.get(message.esme.index());
        let status = account.map_or(CommandStatus::SUBMIT_FAILED, |account| account.settings.unknown_status);
        self.end_message(now, &message, End::unknown(status));
        match message.kind {
            Kind::Part(multi) => self.on_part_failed(now, multi, &message.frame, status, out),
            Kind::Submit | Kind::Operation(_) | Kind::Plain | Kind::Guest(_) | Kind::Stored(_) => {
                self.answer_status(now, &message, status, out);
            }
        }
        self.retained.release(core::mem::take(&mut message.frame));
        self.messages.keep(message);
    }
}

/// What a response says; a generic_nack is never an acceptance, whatever its status.
pub(super) fn status_of(pdu: &Pdu<'_>) -> CommandStatus {
    let status = pdu.header().command_status;
    let nack = pdu.command_id() == CommandId::GENERIC_NACK;
    if nack && status == CommandStatus::OK { CommandStatus::UNKNOWN_ERROR } else { status }
}
