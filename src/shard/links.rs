//! Links: from octets to PDUs, and each PDU to whom it concerns.
//!
//! Owns: per link its session and the octets of a PDU that is not whole yet. Takes: what the driver read. Gives: whole
//! PDUs to the session, and what it leaves to `esmes`, `mt`, `mo`. Never: copies a PDU that came whole.
//!
//! A paused link keeps what it had read and not processed; the driver reads nothing more from it, so that is at most
//! one read buffer.

use super::Shard;
use super::mail::Parcel;
use super::port::{Action, CloseHow, Level, Outbox};
use super::timers::Timer;
use crate::counters::{Dropped, Ignored, Reason};
use crate::ids::{CarrierId, EsmeId, LinkId, ListenerId, ShardId};
use crate::limits::{HEADER_LEN, OUTPUT_HARD, OUTPUT_STALL, PDU_READ, TAIL_KEPT_MAX, TAILS_KEPT};
use crate::session::{Heard, Session, Ticked};
use crate::smpp::command::CommandId;
use crate::smpp::cursor::PduError;
use crate::smpp::frame::{Frame, Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, sooner};
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Connected to a listener, not bound.
    Unbound(ListenerId),
    Esme(EsmeId),
    /// A carrier, the index of its slot and the attempt.
    Carrier(CarrierId, u16, u16),
}

/// A refused bind whose answer is held back.
#[derive(Debug, Clone, Copy)]
pub(super) struct BindRefused {
    pub(super) command: CommandId,
    pub(super) sequence: u32,
    pub(super) status: CommandStatus,
}

/// Links of a listener that have not bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) count: u32,
    /// In order, and some that have bound or gone.
    pub(super) waiting: VecDeque<LinkId>,
}

#[derive(Debug)]
pub(super) struct LinkSlot {
    pub(super) id: LinkId,
    pub(super) side: Side,
    pub(super) peer: Option<(ListenerId, SocketAddr)>,
    pub(super) session: Session,
    pub(super) pdu_max: u32,
    /// Octets read and not processed.
    tail: Vec<u8>,
    /// While paused: the tail holds requests only, what could go ahead of them has.
    ahead_done: bool,
    /// Since when the tail begins with a PDU that is not whole.
    partial_since: Option<Instant>,
    /// The earliest tick that is asked for.
    pub(super) armed: Instant,
    pub(super) paused: bool,
    /// Since when its output is full, and how long it may be.
    full_since: Option<Instant>,
    pub(super) output_timeout: Duration,
    /// It counts among those that have not bound.
    pub(super) in_line: bool,
    /// Deliveries in a row that were not answered in time.
    pub(super) unanswered: u32,
    /// Nothing more is taken from it; it is being closed.
    pub(super) closing: bool,
    pub(super) bind_refused: Option<BindRefused>,
    /// Receipts of it that are parked.
    pub(super) parked: usize,
}

impl LinkSlot {
    pub(super) fn new(id: LinkId, side: Side, session: Session, pdu_max: u32) -> Self {
        Self {
            id,
            side,
            peer: None,
            session,
            pdu_max,
            tail: Vec::new(),
            ahead_done: false,
            partial_since: None,
            armed: Instant::from_nanos(u64::MAX),
            paused: false,
            full_since: None,
            output_timeout: OUTPUT_STALL,
            in_line: false,
            unanswered: 0,
            closing: false,
            bind_refused: None,
            parked: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let partial = self.partial_since.map(|since| since.after(PDU_READ));
        let full = self.full_since.map(|since| since.after(self.output_timeout));
        sooner(self.session.deadline(), sooner(partial, full))
    }
}

/// What is to be done with the octets behind a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// This PDU and all behind it wait.
    Pause,
    /// Nothing more is read.
    Stop,
    /// This PDU and all behind it are for another shard.
    Leave(ShardId),
}

/// The slot of a link that is there.
#[inline]
pub(super) fn live(links: &[Option<LinkSlot>], id: LinkId) -> Option<&LinkSlot> {
    links.get(id.index()).and_then(Option::as_ref).filter(|slot| slot.id.generation == id.generation)
}

/// The same, to be changed.
#[inline]
pub(super) fn live_mut(links: &mut [Option<LinkSlot>], id: LinkId) -> Option<&mut LinkSlot> {
    links.get_mut(id.index()).and_then(Option::as_mut).filter(|slot| slot.id.generation == id.generation)
}

impl Shard {
    pub(super) fn add_link(&mut self, slot: LinkSlot) {
        let index = slot.id.index();
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        if let Some(place) = self.links.get_mut(index) {
            debug_assert!(place.is_none());
            *place = Some(slot);
            self.links_open += 1;
        }
    }

    pub(super) fn on_bytes(&mut self, now: Now, id: LinkId, bytes: &[u8], out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        if slot.closing {
            return;
        }
        if slot.tail.is_empty() {
            let used = self.process(now, id, bytes, out);
            return self.keep_tail(now, id, bytes.get(used..).unwrap_or_default(), out);
        }
        slot.ahead_done = false;
        let mut tail = core::mem::take(&mut slot.tail);
        let (pdu_max, paused) = (slot.pdu_max as usize, slot.paused);
        if paused {
            tail.extend_from_slice(bytes);
            slot.ahead_done = false;
            return self.put_tail(now, id, tail, out);
        }
        // Complete the one PDU that was cut, then go on in the borrowed octets.
        let mut rest = bytes;
        while let Frame::Partial(missing) = Frame::next(&tail, pdu_max) {
            let (head, behind) = rest.split_at(missing.min(rest.len()));
            tail.extend_from_slice(head);
            rest = behind;
            if head.len() < missing {
                break;
            }
        }
        let used = self.process(now, id, &tail, out);
        tail.drain(..used.min(tail.len()));
        if used > 0 {
            self.forget_partial(id);
        }
        if !tail.is_empty() {
            tail.extend_from_slice(rest);
            return self.put_tail(now, id, tail, out);
        }
        self.spare_tail(tail);
        let used = self.process(now, id, rest, out);
        self.keep_tail(now, id, rest.get(used..).unwrap_or_default(), out);
    }

    fn spare_tail(&mut self, mut tail: Vec<u8>) {
        if self.tails.len() < TAILS_KEPT && (1..=TAIL_KEPT_MAX).contains(&tail.capacity()) {
            tail.clear();
            self.tails.push(tail);
        }
    }

    fn keep_tail(&mut self, now: Now, id: LinkId, rest: &[u8], out: &mut Outbox) {
        if let Some(slot) = self.link_mut(id) {
            slot.ahead_done = false;
        }
        self.forget_partial(id);
        if rest.is_empty() {
            return;
        }
        // A kept buffer that grew would not be kept again.
        let kept = if rest.len() <= TAIL_KEPT_MAX { self.tails.pop() } else { None };
        let mut tail = kept.unwrap_or_default();
        tail.extend_from_slice(rest);
        self.put_tail(now, id, tail, out);
    }

    /// The PDU that was not whole is.
    fn forget_partial(&mut self, id: LinkId) {
        if let Some(slot) = self.link_mut(id) {
            slot.partial_since = None;
        }
    }

    fn put_tail(&mut self, now: Now, id: LinkId, mut tail: Vec<u8>, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        if slot.closing {
            return self.spare_tail(tail);
        }
        if slot.paused && !slot.ahead_done {
            slot.ahead_done = true;
            self.go_ahead(now, id, &mut tail, out);
        }
        let Some(slot) = self.link_mut(id) else { return };
        slot.tail = tail;
        // More octets of the same PDU do not give it more time.
        slot.partial_since = if slot.paused { None } else { slot.partial_since.or(Some(now.mono)) };
        self.arm(id);
    }

    /// A paused link's responses and enquire_links do not wait behind its submits: a peer whose window is full is alive,
    /// and so are we.
    fn go_ahead(&mut self, now: Now, id: LinkId, tail: &mut Vec<u8>, out: &mut Outbox) {
        let Some(pdu_max) = self.link(id).map(|slot| slot.pdu_max as usize) else { return };
        let mut at = 0;
        while let Some(Frame::Whole(pdu, _)) = tail.get(at..).map(|rest| Frame::next(rest, pdu_max)) {
            let length = pdu.bytes().len();
            let enquires = pdu.command_id() == CommandId::ENQUIRE_LINK && !out.is_full(id);
            if enquires || pdu.command_id().is_response() {
                self.hear(now, id, &pdu, out);
                tail.drain(at..at + length);
            } else {
                at += length;
            }
        }
    }

    /// Takes PDUs from the front of `bytes` while the link lets it; gives how many octets were used.
    fn process(&mut self, now: Now, id: LinkId, bytes: &[u8], out: &mut Outbox) -> usize {
        let (mut rest, mut looked_at) = (bytes, 0);
        loop {
            if looked_at == 0 {
                looked_at = self.foresee(id, rest);
            }
            looked_at = looked_at.saturating_sub(1);
            let Some(slot) = self.link(id) else { return bytes.len() };
            if slot.closing {
                return bytes.len();
            }
            match Frame::next(rest, slot.pdu_max as usize) {
                Frame::Partial(_) => return bytes.len() - rest.len(),
                Frame::Lost(length) => {
                    self.on_framing_lost(now, id, (length, rest), out);
                    return bytes.len();
                }
                Frame::Whole(pdu, behind) => match self.on_pdu(now, id, &pdu, out) {
                    Flow::Next => rest = behind,
                    Flow::Pause => {
                        self.pause(now, id, out);
                        return bytes.len() - rest.len();
                    }
                    Flow::Stop => return bytes.len(),
                    Flow::Leave(to) => {
                        self.leaving.push((id, to));
                        return bytes.len() - rest.len();
                    }
                },
            }
        }
    }

    fn on_framing_lost(&mut self, now: Now, id: LinkId, (length, rest): (u32, &[u8]), out: &mut Outbox) {
        self.counters.framing_lost.bump();
        let header = rest.get(..HEADER_LEN).unwrap_or(rest);
        let status = CommandStatus::INVALID_COMMAND_LENGTH;
        self.note_malformed(now.mono, id, header, PduError { status, offset: 0, reason: "command_length" });
        // No later octet can be trusted, the sequence number of this header neither.
        write_header_only(out.to(id), CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_LENGTH, 0);
        self.log(now, out, Level::Warn, "framing_lost", |shard| {
            let mut fields = shard.peer_fields(id);
            fields.push(("command_length", format!("0x{length:08X}")));
            fields
        });
        if self.link(id).is_some_and(|slot| matches!(slot.side, Side::Unbound(_))) {
            self.on_bind_failed(now, id, None, out);
        }
        self.end(id, out);
    }

    /// Closes a link after what is queued; its session is over.
    pub(super) fn end(&mut self, id: LinkId, out: &mut Outbox) {
        if let Some(slot) = self.link_mut(id)
            && !slot.closing
        {
            slot.closing = true;
            out.close(id, CloseHow::AfterFlush);
        }
    }

    fn pause(&mut self, now: Now, id: LinkId, out: &mut Outbox) {
        let full = out.is_full(id);
        let Some(slot) = self.link_mut(id) else { return };
        if full {
            slot.full_since.get_or_insert(now.mono);
        }
        if !slot.paused {
            slot.paused = true;
            out.act(Action::Pause(id));
        }
        self.arm(id);
    }

    /// Looks again at a paused link.
    pub(super) fn resume(&mut self, now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        if !slot.paused || slot.closing {
            return;
        }
        slot.paused = false;
        let tail = core::mem::take(&mut slot.tail);
        let used = self.process(now, id, &tail, out);
        if used >= tail.len() {
            self.spare_tail(tail);
            self.keep_tail(now, id, &[], out);
        } else {
            let mut tail = tail;
            tail.drain(..used);
            self.put_tail(now, id, tail, out);
        }
        if self.link(id).is_some_and(|slot| !slot.paused && !slot.closing) {
            out.act(Action::Resume(id));
        }
        self.progress(now, id, out);
    }

    pub(super) fn on_room(&mut self, now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        slot.full_since = None;
        let (paused, side) = (slot.paused, slot.side);
        if paused {
            self.wake.push(id);
        }
        match side {
            Side::Carrier(carrier, ..) => self.pump(now, carrier, out),
            Side::Esme(esme) => self.pump_waiting(now, esme, out),
            Side::Unbound(_) => {}
        }
    }

    /// One whole PDU.
    #[inline]
    fn on_pdu(&mut self, now: Now, id: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        if !pdu.command_id().is_response() && out.is_full(id) {
            match self.link(id).map(|slot| slot.side) {
                // A carrier's link is never paused; one that takes no answers at all is lost.
                Some(Side::Carrier(..)) if out.backlog(id) > OUTPUT_HARD => {
                    self.drop_link(now, id, Dropped::Output, out);
                    return Flow::Stop;
                }
                Some(Side::Carrier(..)) => {}
                Some(Side::Esme(_) | Side::Unbound(_)) | None => return Flow::Pause,
            }
        }
        self.hear(now, id, pdu, out)
    }

    #[inline]
    fn hear(&mut self, now: Now, id: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let Self { links, windows, counters, .. } = self;
        let slot = live_mut(links, id);
        let Some(slot) = slot else { return Flow::Stop };
        let side = slot.side;
        let (silent, doubted) = (slot.session.is_silent(), slot.session.is_doubted());
        let ending = slot.session.is_ending();
        let heard = slot.session.receive(now.mono, pdu, windows, || out.to(id), counters);
        if silent {
            self.arm(id);
        }
        if doubted {
            self.on_sign_of_life(now, side, out);
        }
        match heard {
            Heard::Handled => Flow::Next,
            Heard::Unmatched => {
                self.on_late(now, id, pdu, out);
                Flow::Next
            }
            Heard::Request => match side {
                Side::Esme(esme) => self.on_esme_request(now, id, esme, pdu, out),
                Side::Carrier(carrier, ..) => self.on_carrier_request(now, id, carrier, pdu, out),
                Side::Unbound(_) => Flow::Next,
            },
            Heard::Response(owner) => {
                match side {
                    Side::Carrier(carrier, ..) => self.on_message_answered(now, id, carrier, owner, pdu, out),
                    Side::Esme(esme) => {
                        if let Some(slot) = self.link_mut(id) {
                            slot.unanswered = 0;
                        }
                        self.on_delivery_answered(now, id, esme, owner, pdu, out);
                    }
                    Side::Unbound(_) => self.ignored(Ignored::ResponseUnknown),
                }
                if ending {
                    self.progress(now, id, out);
                }
                Flow::Next
            }
            Heard::Bind(kind) => self.on_bind(now, id, kind, pdu, out),
            Heard::Bound(_) => self.on_carrier_bound(now, id, out),
            Heard::BindRefused(status) => self.on_carrier_bind_refused(now, id, status, out),
            Heard::Outbind => Flow::Next,
            Heard::Finished => {
                self.finish(id, out);
                // What stands behind an unbind is still refused by name.
                Flow::Next
            }
        }
    }

    /// A peer that was silent too long speaks: what waited for it may go.
    fn on_sign_of_life(&mut self, now: Now, side: Side, out: &mut Outbox) {
        match side {
            Side::Carrier(carrier, ..) => {
                self.changed(carrier);
                self.pump(now, carrier, out);
            }
            Side::Esme(esme) => self.pump_waiting(now, esme, out),
            Side::Unbound(_) => {}
        }
    }

    fn finish(&mut self, id: LinkId, out: &mut Outbox) {
        out.close(id, CloseHow::AfterFlush);
        if let Some(slot) = self.link_mut(id) {
            slot.session.closed();
        }
    }

    /// Moves an end that is under way on; call it when something in flight was answered.
    #[inline]
    pub(super) fn progress(&mut self, now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        if slot.session.is_ending() && slot.session.progress(now.mono, out.to(id)) == Heard::Finished {
            self.finish(id, out);
        }
    }

    pub(super) fn tick_link(&mut self, now: Now, id: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(id) else { return };
        if slot.armed > now.mono {
            // This wish was replaced by another, which stands in the queue.
            return;
        }
        slot.armed = Instant::from_nanos(u64::MAX);
        if slot.closing {
            return;
        }
        if slot.paused {
            slot.session.unread(now.mono);
        }
        let due =
            |since: Option<Instant>, span| since.is_some_and(|since: Instant| since.after(span) <= now.mono);
        if due(slot.partial_since, PDU_READ) {
            return self.drop_link(now, id, Dropped::PduRead, out);
        }
        if due(slot.full_since, slot.output_timeout) {
            return self.drop_link(now, id, Dropped::Output, out);
        }
        loop {
            let Self { links, windows, .. } = self;
            let slot = live_mut(links, id);
            let Some(slot) = slot else { return };
            let side = slot.side;
            match slot.session.tick(now.mono, windows, out.to(id)) {
                None => break,
                Some(Ticked::Nothing) => {}
                Some(Ticked::Close(reason)) => return self.drop_link(now, id, reason, out),
                Some(Ticked::Expired(owner, sequence)) => match side {
                    Side::Carrier(carrier, ..) => {
                        self.keep_late(id, sequence, owner);
                        self.on_message_unknown(now, carrier, owner, out);
                    }
                    Side::Esme(_) | Side::Unbound(_) => {
                        slot.unanswered += 1;
                        self.retry_delivery(now, owner, out);
                    }
                },
            }
        }
        if self.answers_nothing(id) {
            return self.drop_link(now, id, Dropped::Unanswered, out);
        }
        self.progress(now, id, out);
        match self.link(id).map(|slot| slot.side) {
            Some(Side::Carrier(carrier, ..)) => self.pump(now, carrier, out),
            Some(Side::Esme(esme)) => self.pump_waiting(now, esme, out),
            Some(Side::Unbound(_)) | None => {}
        }
        self.arm(id);
    }

    /// An ESME that enquires and never answers a delivery keeps receipts from its other sessions.
    fn answers_nothing(&self, id: LinkId) -> bool {
        let Some(slot) = self.link(id) else { return false };
        let Side::Esme(esme) = slot.side else { return false };
        let account = self.accounts.get(esme.index());
        account.is_some_and(|account| slot.unanswered >= account.settings.unanswered_max)
    }

    fn drop_link(&mut self, now: Now, id: LinkId, reason: Dropped, out: &mut Outbox) {
        self.counters.dropped.at(reason as usize).bump();
        self.log_by(now, out, Level::Warn, ("session_dropped", reason.name()), |shard| {
            let mut fields = shard.peer_fields(id);
            fields.push(("reason", reason.name().to_owned()));
            fields
        });
        self.leave_line(id);
        if let Some(slot) = self.link_mut(id) {
            slot.closing = true;
            slot.session.closed();
            out.close(id, CloseHow::AfterFlush);
        }
    }

    /// Gives a link whose bind has come to the home of its account, which answers it.
    pub(super) fn leave(&mut self, now: Now, id: LinkId, to: ShardId, out: &mut Outbox) {
        let place = self.links.get_mut(id.index());
        let Some(mut slot) = place.and_then(|place| place.take_if(|slot| slot.id == id)) else { return };
        self.links_open -= 1;
        let unread = core::mem::take(&mut slot.tail);
        if slot.in_line {
            self.left_line(slot.peer.map(|(listener, _)| listener));
        }
        if let Some((listener, peer)) = slot.peer {
            let parcel = Parcel { listener, peer, accepted: slot.session.born(), unread };
            out.act(Action::HandOver { link: id, to, parcel });
        }
        self.drain_carriers(now, out);
    }

    pub(super) fn on_closed(&mut self, now: Now, id: LinkId, reason: &str, out: &mut Outbox) {
        let place = self.links.get_mut(id.index());
        let Some(mut slot) = place.and_then(|place| place.take_if(|slot| slot.id == id)) else { return };
        self.links_open -= 1;
        slot.session.closed();
        let tail = core::mem::take(&mut slot.tail);
        self.spare_tail(tail);
        if slot.in_line {
            self.left_line(slot.peer.map(|(listener, _)| listener));
        }
        if slot.bind_refused.is_some() {
            self.count_held_off();
        }
        if let Some((listener, peer)) = slot.peer {
            self.peer_gone(now, listener, peer, out);
        }
        match slot.side {
            Side::Unbound(_) => {}
            Side::Esme(esme) => self.on_esme_gone(now, esme, &mut slot, reason, out),
            Side::Carrier(carrier, index, attempt) => {
                self.on_carrier_gone(now, carrier, (index, attempt), &mut slot, reason, out);
            }
        }
        self.drain_carriers(now, out);
    }

    /// Answers a request header-only with a status, for a reason that is counted.
    pub(super) fn refuse(
        &mut self,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        status: CommandStatus,
        reason: Reason,
        out: &mut Outbox,
    ) {
        self.count_refusal(esme, reason);
        let version = self.link(id).map_or(0x34, |slot| slot.session.version());
        let status = status.for_version(version);
        write_header_only(out.to(id), pdu.command_id().response(), status, pdu.sequence_number());
        self.count_answer(esme, pdu.command_id(), status, 0);
    }

    /// Who a link is, for the log.
    pub(super) fn peer_fields(&self, id: LinkId) -> super::log::Fields {
        let Some(slot) = self.link(id) else { return Vec::new() };
        let mut fields = vec![("side", side_name(slot.side).to_owned())];
        match slot.side {
            Side::Esme(esme) => fields.extend(self.account_name(esme).map(|name| ("esme", name))),
            Side::Carrier(carrier, ..) => {
                fields.extend(self.carrier_name(carrier).map(|name| ("carrier", name)))
            }
            Side::Unbound(_) => {}
        }
        fields.extend(slot.peer.map(|(_, peer)| ("peer", peer.to_string())));
        fields
    }

    pub(super) fn account_name(&self, esme: EsmeId) -> Option<String> {
        self.accounts.get(esme.index()).map(|account| account.settings.name.clone())
    }

    pub(super) fn carrier_name(&self, carrier: CarrierId) -> Option<String> {
        self.carriers.get(carrier.index()).map(|carrier| carrier.settings.name.clone())
    }

    pub(super) fn tick_later(&mut self, at: Instant, timer: Timer) {
        self.timers.push_once(at, timer);
    }
}

const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Unbound(_) => "unbound",
        Side::Esme(_) => "esme",
        Side::Carrier(..) => "carrier",
    }
}
