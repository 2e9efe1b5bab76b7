//! What becomes of a message that a carrier refused or never answered: another attempt while its time allows one.
//!
//! Owns: nothing of its own. Takes: refusals, lost and late answers. Gives: the message to another carrier, or back to
//! the head of the same one's queue; what cannot be tried again to `answers`. Never: an attempt that cannot finish in
//! time, one for an ESME that has gone, parts of one message on two carriers.

use super::Shard;
use super::mail::{Indexed, Mail};
use super::message::{Guest, GuestKind, Kind, LateMessage, Message, MessageKey, key_of, tag_of};
use super::mt::{Body, Response, has_room, takes_now};
use super::port::Outbox;
use super::queue::needs_frame;
use crate::carrier::Carrier;
use crate::carrier::settings::OnStatus;
use crate::counters::Reason;
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::ledger::{IdText, NewEntry};
use crate::route::affinity::Key as PartsKey;
use crate::route::health::Outcome;
use crate::route::settings::OnUnknown;
use crate::session::Owner;
use crate::smpp::command::CommandId;
use crate::smpp::frame::Pdu;
use crate::smpp::status::{CommandStatus, StatusClass};
use crate::time::{Instant, Now};

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A session with room.
    Session(CarrierId, LinkId),
    /// A carrier's queue.
    Queue(CarrierId),
    /// The home of a carrier, which finds a session or lets it wait.
    Away(CarrierId),
}

/// What is asked of a carrier: what a message says of where it may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) esme: EsmeId,
    pub(super) pool: Option<PoolId>,
    pub(super) part: Option<(PartsKey, u8)>,
    /// Who has refused it.
    pub(super) tried: &'a [CarrierId],
    /// Others have a higher priority: some slots are theirs.
    pub(super) lower: bool,
}

impl Shard {
    /// Decides where a message goes now.
    #[inline(always)]
    pub(super) fn place(
        &mut self,
        now: Now,
        wish: &Wish<'_>,
        body: &Body<'_>,
        out: &Outbox,
    ) -> Result<Place, (CommandStatus, Reason)> {
        if let Some((key, _)) = wish.part
            && let Some(placed) = self.affinity.place(now.mono, key)
        {
            if placed.failed {
                return Err((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier));
            }
            // Parts follow each other also into a queue, unless nobody would take them from there.
            let up = self.sends_now(placed.carrier);
            if placed.sent > 0 || (up && !wish.tried.contains(&placed.carrier)) {
                return self.place_at(now, placed.carrier, body, out);
            }
        }
        if let Some(place) = self.pick(now.mono, wish, body, out) {
            return Ok(place);
        }
        let carrier = self.pick_queue(now, wish, body)?;
        Ok(if self.is_here(carrier) { Place::Queue(carrier) } else { Place::Away(carrier) })
    }

    /// This carrier and no other.
    pub(super) fn place_at(
        &mut self,
        now: Now,
        carrier: CarrierId,
        body: &Body<'_>,
        out: &Outbox,
    ) -> Result<Place, (CommandStatus, Reason)> {
        if !self.is_here(carrier) {
            if !self.fits_at(carrier, body) {
                return Err((CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts));
            }
            let taken = self.room_at(carrier).at_all;
            let full = (CommandStatus::QUEUE_FULL, Reason::QueueFull);
            return if taken { Ok(Place::Away(carrier)) } else { Err(full) };
        }
        let Self { carriers, links, .. } = self;
        let nobody = (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier);
        let state = carriers.get_mut(carrier.index()).ok_or(nobody)?;
        if takes_now(state, now.mono, body)
            && let Some(link) = state.next_sender(|link| has_room(links, link, out))
        {
            return Ok(Place::Session(carrier, link));
        }
        if state.queue.len() >= state.settings.queue_max as usize {
            return Err((CommandStatus::QUEUE_FULL, Reason::QueueFull));
        }
        Ok(Place::Queue(carrier))
    }

    /// Sends a message where it was decided, or lets it wait there.
    #[inline(always)]
    pub(super) fn commit(
        &mut self,
        now: Now,
        mut message: Box<Message>,
        place: Place,
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        match place {
            Place::Session(carrier, link) => {
                message.written(now.mono, carrier);
                if message.kind == Kind::Submit && needs_frame(&self.accounts, &message) {
                    // Without room for the copy there is no second attempt.
                    message.frame = self.retained.copy(pdu.bytes()).unwrap_or_default();
                }
                let part = message.part;
                let key = self.messages.insert(message);
                self.send(now.mono, key, carrier, link, pdu, body, out);
                self.part_sent(now.mono, part, carrier);
                Ok(key)
            }
            Place::Queue(carrier) => {
                if let Some((key, _)) = message.part {
                    self.affinity.choose(now.mono, key, carrier);
                }
                self.enqueue(now, message, carrier, pdu)
            }
            Place::Away(carrier) => {
                let Some(frame) = self.retained.copy(pdu.bytes()) else {
                    self.messages.keep(message);
                    return Err((CommandStatus::THROTTLED, Reason::Retained));
                };
                Ok(self.send_away(now, message, carrier, frame, out))
            }
        }
    }

    /// As `commit`, for a message that holds its octets: they are neither copied nor lost.
    pub(super) fn move_on(&mut self, now: Now, mut message: Box<Message>, place: Place, out: &mut Outbox) {
        match place {
            Place::Session(carrier, link) => {
                let key = self.messages.insert(message);
                self.send_held(now.mono, key, carrier, link, out);
            }
            Place::Queue(carrier) => {
                if let Some((key, _)) = message.part {
                    self.affinity.choose(now.mono, key, carrier);
                }
                message.carrier = carrier;
                let key = self.messages.insert(message);
                self.line_up(now, key, carrier);
            }
            Place::Away(carrier) => {
                let frame = core::mem::take(&mut message.frame);
                self.send_away(now, message, carrier, frame, out);
            }
        }
    }

    /// Requests in flight per carrier, for pools that go by it.
    pub(super) fn outstanding(&self, pool: PoolId) -> Vec<u32> {
        if self.balance.quantum(pool) >= crate::limits::QUANTUM {
            return Vec::new();
        }
        let used = |link| self.link(link).map_or(0, |slot| slot.session.window().used());
        let hinted = |carrier: CarrierId| {
            let hint = self.position.hints.of(carrier.index());
            hint.map_or(0, |hint| u32::try_from(hint.used.get()).unwrap_or(u32::MAX))
        };
        let of = |(index, carrier): (usize, &Carrier<MessageKey>)| {
            let id = CarrierId::new(index);
            if !self.is_here(id) {
                return hinted(id);
            }
            carrier.sessions().map(|(link, _)| used(link)).sum()
        };
        self.carriers.iter().enumerate().map(of).collect()
    }

    /// A carrier refused a message. True when it is tried again; else its answer is the carrier's.
    pub(super) fn retry(
        &mut self,
        now: Now,
        message: &mut Option<Box<Message>>,
        status: CommandStatus,
        out: &mut Outbox,
    ) -> bool {
        let Some(refused) = message.as_mut() else { return false };
        let carrier = refused.carrier;
        let action = self.carriers.get(carrier.index()).map(|state| state.settings.on_status(status));
        refused.refusal = status;
        if refused.kind != Kind::Submit || refused.frame.is_empty() || self.link(refused.link).is_none() {
            return false;
        }
        match action {
            None | Some(OnStatus::Fail) => false,
            // Its home has let it wait while its time allowed it.
            Some(OnStatus::SlowDown) if !self.is_here(carrier) => false,
            Some(OnStatus::SlowDown) => self.wait_again(now, message),
            Some(OnStatus::Next) => {
                refused.tried.push(carrier);
                self.try_again(now, message, out)
            }
            Some(OnStatus::Retry) => {
                refused.tried.clear();
                self.try_again(now, message, out)
            }
        }
    }

    pub(super) fn finishes(&self, now: Now, message: &Message, carrier: CarrierId) -> bool {
        let timeout = self.carriers.get(carrier.index()).map(|state| state.settings.response_timeout);
        timeout.is_some_and(|timeout| now.mono.after(timeout) <= message.deadline)
    }

    /// Back to where it stood in this carrier's queue. A throttled attempt is none.
    fn wait_again(&mut self, now: Now, message: &mut Option<Box<Message>>) -> bool {
        let Some(mut refused) = message.take() else { return false };
        let carrier = refused.carrier;
        if !self.finishes(now, &refused, carrier) {
            *message = Some(refused);
            return false;
        }
        refused.attempts = refused.attempts.saturating_sub(1);
        if let Some((key, number)) = refused.part {
            self.affinity.refused(now.mono, key, number);
        }
        let key = self.messages.insert(refused);
        self.line_up(now, key, carrier);
        true
    }

    /// Somewhere else, when there is somewhere with time enough.
    fn try_again(&mut self, now: Now, message: &mut Option<Box<Message>>, out: &mut Outbox) -> bool {
        let Some(refused) = message.take() else { return false };
        let account = self.accounts.get(refused.esme.index());
        let attempts_max = account.map_or(1, |account| account.settings.attempts_max);
        if refused.attempts >= attempts_max {
            *message = Some(refused);
            return false;
        }
        if let Some((key, number)) = refused.part {
            self.affinity.refused(now.mono, key, number);
        }
        let placed = Pdu::whole(&refused.frame)
            .and_then(|pdu| self.place(now, &refused.wish(), &Body::again(&pdu), out).ok());
        let carrier_of = |place| match place {
            Place::Session(carrier, _) | Place::Queue(carrier) | Place::Away(carrier) => carrier,
        };
        match placed {
            Some(place) if self.finishes(now, &refused, carrier_of(place)) => {
                self.move_on(now, refused, place, out);
                true
            }
            Some(_) | None => {
                *message = Some(refused);
                false
            }
        }
    }

    /// What a carrier's answer to this account says of its health, where that counts.
    #[inline]
    pub(super) fn judge(&mut self, now: Now, carrier: CarrierId, esme: EsmeId, status: CommandStatus) {
        if !self.balance.ejects() {
            return;
        }
        let bad = matches!(status.class(), StatusClass::Transient | StatusClass::Session);
        let outcome = if bad { Outcome::Error } else { Outcome::Good };
        self.balance.record(now.mono, carrier, esme, outcome);
    }

    /// What a carrier's answer says of its pace; a status that says that the session is wrong ends it.
    pub(super) fn learn_from(
        &mut self,
        now: Now,
        link: LinkId,
        (carrier, sent_at): (CarrierId, Instant),
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        if let Some(state) = self.carriers.get_mut(carrier.index()) {
            if status != CommandStatus::OK && state.settings.on_status(status) == OnStatus::SlowDown {
                state.pace.throttled(now.mono, sent_at);
            } else {
                state.pace.accepted(sent_at);
            }
        }
        if status == CommandStatus::OK {
            return;
        }
        if status.class() == StatusClass::Session
            && let Some(slot) = self.link_mut(link)
        {
            slot.session.drain(now.mono);
            self.progress(now, link, out);
            self.arm(link);
        }
    }

    /// A message was written and will not be answered any more. True when it is sent again, which may double it: the
    /// operator's choice.
    pub(super) fn resend(&mut self, now: Now, message: &mut Option<Box<Message>>, out: &mut Outbox) -> bool {
        let Some(lost) = message.as_mut() else { return false };
        let pool = lost.pool.and_then(|pool| self.config.pools.get(pool.index()));
        let resend = pool.is_some_and(|pool| pool.on_unknown == OnUnknown::Resend);
        if !resend || lost.kind != Kind::Submit || lost.frame.is_empty() || self.link(lost.link).is_none() {
            return false;
        }
        lost.tried.clear();
        self.try_again(now, message, out)
    }

    /// The account's parts after one that failed fail as well.
    pub(super) fn part_failed(&mut self, now: Now, message: &Message) {
        if let Some((key, number)) = message.part {
            self.affinity.failed(now.mono, key, number);
        }
    }

    /// Keeps what a late answer to an overdue request would need.
    pub(super) fn keep_late(&mut self, link: LinkId, sequence: u32, owner: Owner) {
        let key: MessageKey = key_of(owner);
        let Some(message) = self.messages.get(key) else { return };
        let stored = match message.kind {
            Kind::Stored(key) => Some((self.position.shard, tag_of(key).0)),
            Kind::Guest(Guest { from, what: GuestKind::Stored(key), .. }) => Some((from, key)),
            _ => None,
        };
        let multi = match message.kind {
            Kind::Submit | Kind::Stored(_) => None,
            Kind::Part(multi) => Some((self.position.shard, tag_of(multi))),
            Kind::Guest(guest) => match guest.what {
                GuestKind::Ordinary | GuestKind::Stored(_) => None,
                GuestKind::Part(multi) => Some((guest.from, multi)),
                GuestKind::Plain | GuestKind::Operation => return,
            },
            Kind::Operation(_) | Kind::Plain => return,
        };
        let v33 = self.carriers.get(message.carrier.index()).is_some_and(super::mt::is_v33);
        let data = message.command == CommandId::DATA_SM;
        let late = LateMessage {
            command: if v33 && data { CommandId::SUBMIT_SM } else { message.command },
            carrier: message.carrier,
            esme: message.esme,
            link: message.link,
            id_from: message.id_from,
            destination: message.destination.clone(),
            awaited: message.awaited,
            multi,
            stored,
        };
        self.late.keep(link, sequence, late);
    }

    /// A response to nothing in flight. When it accepts a message that was overdue, its receipts still find their
    /// account (design decision 13).
    pub(super) fn on_late(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Some(late) = self.late.take(link, pdu.sequence_number(), pdu.command_id()) else { return };
        let id = Response::parse(pdu).id();
        if pdu.header().command_status != CommandStatus::OK
            || pdu.command_id() == CommandId::GENERIC_NACK
            || id.is_empty()
        {
            return;
        }
        let given = self.given(now, late.id_from);
        if let Some(cells) = self.counters.carriers.get(late.carrier.index()) {
            cells.late.bump();
        }
        if let Some((owner, stored)) = late.stored {
            let LateMessage { carrier, esme, link, destination, awaited, .. } = late;
            let id = IdText::from_slice(id);
            let indexed = Indexed { carrier, id, given, esme, link, destination, awaited, record: 0 };
            return self.send_mail(now, owner, Mail::LateStored { stored, indexed }, out);
        }
        if let Some((owner, multi)) = late.multi {
            let LateMessage { carrier, esme, link, destination, awaited, .. } = late;
            let indexed = Indexed {
                carrier,
                id: IdText::from_slice(id),
                given,
                esme,
                link,
                destination,
                awaited,
                record: 0,
            };
            return self.send_mail(now, owner, Mail::LatePart { multi, indexed }, out);
        }
        let new = NewEntry {
            carrier: late.carrier,
            id,
            given,
            esme: late.esme,
            link: late.link,
            mark: self.mark_of(late.esme, late.link, out),
            destination: &late.destination,
            awaited: late.awaited,
            record: 0,
        };
        self.keep(now, &new, out);
    }
}
