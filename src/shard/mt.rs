//! Toward the handset: a submit from an ESME to a carrier, and the carrier's answer back.
//!
//! Owns: the quanta. Takes: requests of bound ESMEs, responses of carriers. Gives: each request exactly one answer.
//! Never: decodes or re-encodes a body; copies it once, into the output of the link it leaves by.

use super::Shard;
use super::links::Flow;
use super::message::{IdFrom, Kind, Message, MessageKey, key_of, owner_of};
use super::port::Outbox;
use super::timers::Timer;
use crate::carrier::Carrier;
use crate::counters::{Ignored, Reason};
use crate::esme::settings::{MessageIdSource, WindowOver};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::ledger::{AddressTail, Given, NewEntry};
use crate::limits::QUANTUM;
use crate::route::Path;
use crate::session::Owner;
use crate::smpp::broadcast::BroadcastSm;
use crate::smpp::command::CommandId;
use crate::smpp::convert;
use crate::smpp::cursor::PduError;
use crate::smpp::data::DataSm;
use crate::smpp::frame::{Pdu, copy_with_sequence, write_header_only};
use crate::smpp::multi::{SubmitMulti, SubmitMultiResp};
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::Tlvs;
use crate::time::{Instant, Now};
use smallvec::SmallVec;

/// A balance decision that still holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantum {
    pool: PoolId,
    path: Path,
    link: LinkId,
    left: u32,
}

/// The quanta of one account, one per pool that it uses.
pub(super) type Quanta = SmallVec<[Quantum; 1]>;

/// A request that goes to a carrier, read as far as routing and conversion need it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Sm(Sm<'a>),
    Data(DataSm<'a>),
    Multi(SubmitMulti<'a>),
    /// Only passed on.
    Other,
}

impl<'a> Body<'a> {
    /// Reads a PDU that was checked before.
    pub(super) fn again(pdu: &Pdu<'a>) -> Self {
        match pdu.command_id() {
            CommandId::SUBMIT_SM => Sm::parse_submit(pdu).map_or(Self::Other, Self::Sm),
            CommandId::DATA_SM => DataSm::parse(pdu).map_or(Self::Other, Self::Data),
            CommandId::SUBMIT_MULTI => SubmitMulti::parse(pdu).map_or(Self::Other, Self::Multi),
            _ => Self::Other,
        }
    }

    /// Whether a 3.3 carrier can be given it.
    fn fits_v33(&self, command: CommandId) -> bool {
        match self {
            Self::Sm(sm) => convert::fits_v33(sm).is_ok(),
            Self::Data(data) => convert::sm_from_data(data).is_ok_and(|sm| convert::fits_v33(&sm).is_ok()),
            Self::Multi(multi) => convert::multi_fits_v33(multi).is_ok(),
            Self::Other => command != CommandId::BROADCAST_SM,
        }
    }
}

/// What routing asks of a submit.
struct Target<'a> {
    body: Body<'a>,
    source: &'a [u8],
    destination: &'a [u8],
    registered_delivery: u8,
}

impl<'a> Target<'a> {
    fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        match pdu.command_id() {
            CommandId::SUBMIT_SM => Sm::parse_submit(pdu).map(|sm| Self {
                body: Body::Sm(sm),
                source: sm.source.digits,
                destination: sm.destination.digits,
                registered_delivery: sm.content.registered_delivery,
            }),
            CommandId::DATA_SM => DataSm::parse(pdu).map(|data| Self {
                body: Body::Data(data),
                source: data.source.digits,
                destination: data.destination.digits,
                registered_delivery: data.registered_delivery,
            }),
            // A broadcast has no destination: it takes a route without `to`, or the account's pool.
            _ => BroadcastSm::parse(pdu).map(|broadcast| Self {
                body: Body::Other,
                source: broadcast.source.digits,
                destination: &[],
                registered_delivery: 0,
            }),
        }
    }
}

/// Final receipts that registered_delivery asks for: bits 1-0 (SMPP 3.4 §5.2.17).
pub(super) const fn receipts_asked(registered_delivery: u8) -> bool {
    registered_delivery & 0x03 != 0
}

impl Shard {
    pub(super) fn on_esme_request(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Flow {
        let (Some(account), Some(slot)) = (self.accounts.get(esme.index()), self.link(id)) else {
            return Flow::Stop;
        };
        if slot.session.theirs() >= account.settings.window_max {
            if account.settings.window_over == WindowOver::Wait {
                return Flow::Pause;
            }
            self.refuse(id, esme, pdu, CommandStatus::THROTTLED, Reason::Window, out);
            return Flow::Next;
        }
        if self.draining || slot.session.is_ending() {
            self.refuse(id, esme, pdu, CommandStatus::THROTTLED, Reason::Draining, out);
            return Flow::Next;
        }
        if let Some(slot) = self.link_mut(id) {
            slot.session.begin();
        }
        let taken = match pdu.command_id() {
            CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::BROADCAST_SM => {
                self.on_submit(now, id, esme, pdu, out)
            }
            CommandId::SUBMIT_MULTI => self.on_submit_multi(now, id, esme, pdu, out),
            _ => self.on_operation(now, id, esme, pdu, out),
        };
        if let Some(cells) = self.counters.esmes.get(esme.index()) {
            cells.submits.bump();
        }
        if let Err((status, reason)) = taken {
            self.refuse(id, esme, pdu, status, reason, out);
            if let Some(slot) = self.link_mut(id) {
                slot.session.answered();
            }
        }
        Flow::Next
    }

    fn on_submit(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), (CommandStatus, Reason)> {
        let target = Target::parse(pdu).map_err(|error| (error.status, Reason::Malformed))?;
        if target.destination.is_empty() && pdu.command_id() != CommandId::BROADCAST_SM {
            return Err((CommandStatus::INVALID_DESTINATION, Reason::Destination));
        }
        let pool = self.pool_for(esme, target.source, target.destination)?;
        let mut message = self.message(now, id, esme, pdu, Kind::Submit);
        message.pool = Some(pool);
        message.destination = AddressTail::of(target.destination);
        message.awaited = u16::from(receipts_asked(target.registered_delivery));
        self.dispatch(now, message, pdu, &target.body, out).map(|_| ())
    }

    /// The pool for a message.
    pub(super) fn pool_for(
        &self,
        esme: EsmeId,
        source: &[u8],
        destination: &[u8],
    ) -> Result<PoolId, (CommandStatus, Reason)> {
        let routed = self.routes.find(esme, source, destination).map(|(_, pool)| pool);
        let default = || self.accounts.get(esme.index()).and_then(|account| account.settings.pool);
        routed.or_else(default).ok_or((CommandStatus::INVALID_DESTINATION, Reason::NoRoute))
    }

    /// A message for a request, before its carrier is known.
    pub(super) fn message(&self, now: Now, id: LinkId, esme: EsmeId, pdu: &Pdu<'_>, kind: Kind) -> Message {
        let account = self.accounts.get(esme.index());
        let timeout = account.map_or(core::time::Duration::ZERO, |account| account.settings.answer_timeout);
        Message {
            kind,
            esme,
            link: id,
            sequence: pdu.sequence_number(),
            command: pdu.command_id(),
            carrier: CarrierId(0),
            pool: None,
            id_from: self.id_from(id, esme),
            destination: AddressTail::ANY,
            awaited: 0,
            deadline: now.mono.after(timeout),
            frame: Vec::new(),
        }
    }

    fn id_from(&self, id: LinkId, esme: EsmeId) -> IdFrom {
        let (Some(account), Some(slot)) = (self.accounts.get(esme.index()), self.link(id)) else {
            return IdFrom::Own;
        };
        let own = if slot.session.is_v33() { IdFrom::Short } else { IdFrom::Own };
        match account.settings.message_id {
            MessageIdSource::Carrier => IdFrom::Carrier,
            MessageIdSource::Own => own,
            MessageIdSource::Auto if account.only_carrier.is_some() && own == IdFrom::Own => IdFrom::Carrier,
            MessageIdSource::Auto => own,
        }
    }

    /// Sends a message, or lets it wait for room; refused when neither is possible.
    pub(super) fn dispatch(
        &mut self,
        now: Now,
        mut message: Message,
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        let Some(pool) = message.pool else { return Err((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)) };
        if let Some((carrier, link)) = self.pick(now.mono, message.esme, pool, pdu.command_id(), body, out) {
            message.carrier = carrier;
            let key = self.messages.insert(message);
            self.send(now.mono, key, carrier, link, pdu, body, out);
            return Ok(key);
        }
        let carrier = self.pick_queue(pool, pdu.command_id(), body)?;
        self.enqueue(now, message, carrier, pdu)
    }

    pub(super) fn enqueue(
        &mut self,
        now: Now,
        mut message: Message,
        carrier: CarrierId,
        pdu: &Pdu<'_>,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        message.carrier = carrier;
        debug_assert!(message.frame.is_empty());
        let copy = self.retained.copy(pdu.bytes());
        message.frame = copy.ok_or((CommandStatus::THROTTLED, Reason::Retained))?;
        let deadline = message.deadline;
        let key = self.messages.insert(message);
        let Some(queue) = self.carriers.get_mut(carrier.index()).map(|carrier| &mut carrier.queue) else {
            return Err((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier));
        };
        queue.push_back(key);
        let first = queue.len() == 1;
        self.count_queued(carrier);
        if let Some(expiry) = self.expiry.get_mut(carrier.index()).filter(|expiry| **expiry > deadline) {
            *expiry = deadline;
            self.tick_later(deadline, Timer::Carrier(carrier));
        }
        if first {
            self.wait_for_pace(now, carrier);
        }
        Ok(key)
    }

    pub(super) fn count_queued(&self, carrier: CarrierId) {
        let queued = self.carriers.get(carrier.index()).map_or(0, |carrier| carrier.queue.len());
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.queued.set(queued as u64);
        }
    }

    /// A session with room: that of the present quantum, or the first of a new one.
    fn pick(
        &mut self,
        now: Instant,
        esme: EsmeId,
        pool: PoolId,
        command: CommandId,
        body: &Body<'_>,
        out: &Outbox,
    ) -> Option<(CarrierId, LinkId)> {
        let Self { quanta, carriers, links, balance, .. } = self;
        let room = |link: LinkId| has_room(links, link, out);
        let quanta = quanta.get_mut(esme.index())?;
        let at = quanta.iter().position(|quantum| quantum.pool == pool);
        if let Some(quantum) = at.and_then(|at| quanta.get_mut(at))
            && quantum.left > 0
            && room(quantum.link)
            && let Some(carrier) = carriers.get_mut(quantum.path.carrier.index())
            && takes_now(carrier, now, command, body)
        {
            quantum.left -= 1;
            balance.charge(&quantum.path);
            return Some((quantum.path.carrier, quantum.link));
        }
        let path = balance.pick(pool, &mut |carrier| {
            carriers.get_mut(carrier.index()).is_some_and(|carrier| {
                takes_now(carrier, now, command, body) && carrier.next_sender(room).is_some()
            })
        })?;
        let link = carriers.get_mut(path.carrier.index())?.next_sender(room)?;
        balance.charge(&path);
        let quantum = Quantum { pool, path, link, left: QUANTUM - 1 };
        match at.and_then(|at| quanta.get_mut(at)) {
            Some(place) => *place = quantum,
            None => quanta.push(quantum),
        }
        Some((path.carrier, link))
    }

    /// A carrier whose queue has room: one that is bound before one that is not.
    fn pick_queue(
        &mut self,
        pool: PoolId,
        command: CommandId,
        body: &Body<'_>,
    ) -> Result<CarrierId, (CommandStatus, Reason)> {
        let Self { carriers, balance, .. } = self;
        let mut fits_any = false;
        let mut sends_any = false;
        for bound_only in [true, false] {
            let found = balance.pick(pool, &mut |carrier| {
                let Some(carrier) = carriers.get(carrier.index()) else { return false };
                let fits = !is_v33(carrier) || body.fits_v33(command);
                fits_any |= fits;
                sends_any |= carrier.may_ever_send();
                let open = carrier.queue.len() < carrier.settings.queue_max as usize;
                let up = if bound_only { carrier.can_send() } else { carrier.may_ever_send() };
                fits && open && up
            });
            if let Some(path) = found {
                balance.charge(&path);
                return Ok(path.carrier);
            }
        }
        Err(if !fits_any {
            (CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts)
        } else if sends_any {
            (CommandStatus::QUEUE_FULL, Reason::QueueFull)
        } else {
            (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)
        })
    }

    /// Writes a message to a session that has room.
    #[expect(clippy::too_many_arguments, reason = "the hot path takes plain arguments")]
    #[inline]
    pub(super) fn send(
        &mut self,
        now: Instant,
        key: MessageKey,
        carrier: CarrierId,
        link: LinkId,
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) {
        let Some(settings) = self.carriers.get_mut(carrier.index()) else { return };
        if let Some(throttle) = &mut settings.throttle {
            let taken = throttle.take(now, 1);
            debug_assert!(taken, "asked before");
        }
        let v33 = is_v33(settings);
        let command =
            if v33 && matches!(body, Body::Data(_)) { CommandId::SUBMIT_SM } else { pdu.command_id() };
        let Self { links, windows, .. } = self;
        let slot = links.get_mut(link.index()).and_then(Option::as_mut).filter(|slot| slot.id == link);
        let Some(slot) = slot else { return };
        let was_empty = slot.session.window().used() == 0;
        let Some(sequence) = slot.session.send(now, command, owner_of(key), windows) else { return };
        write_to_carrier(v33, pdu, body, sequence, out.to(link));
        if was_empty {
            self.arm(link);
        }
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.submits.bump();
        }
    }

    /// Sends what waits for a carrier, as long as there is room.
    pub(super) fn pump(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        loop {
            let Self { carriers, links, messages, .. } = self;
            let Some(state) = carriers.get_mut(carrier.index()) else { return };
            let Some(&key) = state.queue.front() else { return };
            let Some(message) = messages.get(key) else {
                state.queue.pop_front();
                continue;
            };
            // No attempt starts that cannot be answered.
            let gone = links
                .get(message.link.index())
                .and_then(Option::as_ref)
                .is_none_or(|slot| slot.id != message.link);
            if gone || message.deadline <= now.mono {
                state.queue.pop_front();
                self.count_queued(carrier);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                continue;
            }
            if state.throttle.as_mut().is_some_and(|throttle| throttle.available(now.mono) == 0) {
                return self.wait_for_pace(now, carrier);
            }
            let Some(link) = state.next_sender(|link| has_room(links, link, out)) else { return };
            state.queue.pop_front();
            self.count_queued(carrier);
            self.send_queued(now, key, carrier, link, out);
        }
    }

    fn send_queued(&mut self, now: Now, key: MessageKey, carrier: CarrierId, link: LinkId, out: &mut Outbox) {
        let Some(message) = self.messages.get_mut(key) else { return };
        let frame = core::mem::take(&mut message.frame);
        let keep = matches!(message.kind, Kind::Part(_));
        if let Some(pdu) = Pdu::whole(&frame) {
            self.send(now.mono, key, carrier, link, &pdu, &Body::again(&pdu), out);
        }
        if keep && let Some(message) = self.messages.get_mut(key) {
            message.frame = frame;
        } else {
            self.retained.release(frame);
        }
    }

    /// Looks again when the carrier's pace allows the next PDU.
    fn wait_for_pace(&mut self, now: Now, carrier: CarrierId) {
        let state = self.carriers.get_mut(carrier.index());
        let ready =
            state.and_then(|state| state.throttle.as_mut()).map(|throttle| throttle.ready_at(now.mono));
        if let Some(ready) = ready {
            self.tick_later(ready, Timer::Carrier(carrier));
        }
    }

    /// Ends a message that was never written.
    pub(super) fn give_up(
        &mut self,
        now: Now,
        key: MessageKey,
        status: CommandStatus,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let Some(mut message) = self.messages.remove(key) else { return };
        self.count_refusal(message.esme, reason);
        if let Kind::Part(multi) = message.kind {
            self.on_part_failed(now, multi, &message.frame, status, out);
        } else {
            self.answer_status(now, &message, status, out);
        }
        self.retained.release(core::mem::take(&mut message.frame));
    }

    /// Answers a request header-only.
    pub(super) fn answer_status(
        &mut self,
        now: Now,
        message: &Message,
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        let Some(slot) = self.link(message.link) else { return self.ignored(Ignored::ResponseEsmeGone) };
        let status = status.for_version(slot.session.version());
        write_header_only(out.to(message.link), message.command.response(), status, message.sequence);
        self.answered(now, message.link, out);
    }

    /// A request of this ESME session was answered: its slot is free, a paused link may go on.
    #[inline]
    pub(super) fn answered(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(link) else { return };
        slot.session.answered();
        if slot.paused {
            self.wake.push(link);
        } else if slot.session.is_ending() {
            self.progress(now, link, out);
        }
    }

    pub(super) fn on_message_answered(
        &mut self,
        now: Now,
        _link: LinkId,
        carrier: CarrierId,
        owner: Owner,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let key: MessageKey = key_of(owner);
        let Some(message) = self.messages.remove(key) else { return };
        let ok =
            pdu.header().command_status == CommandStatus::OK && pdu.command_id() != CommandId::GENERIC_NACK;
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            if ok { cells.accepted.bump() } else { cells.refused.bump() }
        }
        // A part is no answer of its own.
        if !matches!(message.kind, Kind::Part(_))
            && let Some(cells) = self.counters.esmes.get(message.esme.index())
        {
            if ok { cells.accepted.bump() } else { cells.refused_by_carrier.bump() }
        }
        match message.kind {
            Kind::Submit => self.answer_submit(now, &message, ok, pdu, out),
            Kind::Part(multi) => self.on_part_answered(now, multi, &message, ok, pdu, out),
            Kind::Operation(entry) => self.answer_operation(now, &message, entry, pdu, out),
            Kind::Plain => self.answer_copy(now, &message, pdu, out),
        }
        self.retained.release(message.frame);
        if self.carriers.get(carrier.index()).is_some_and(|carrier| !carrier.queue.is_empty()) {
            self.pump(now, carrier, out);
        }
    }

    fn answer_submit(&mut self, now: Now, message: &Message, ok: bool, pdu: &Pdu<'_>, out: &mut Outbox) {
        if !ok {
            return self.answer_copy(now, message, pdu, out);
        }
        let given = self.given(now, message.id_from);
        match given.text() {
            None => self.answer_copy(now, message, pdu, out),
            Some(id) => {
                if let Some(slot) = self.link(message.link) {
                    let v33 = slot.session.is_v33();
                    let (command, status) = (message.command.response(), CommandStatus::OK);
                    let to = out.to(message.link);
                    write_response(pdu, Some(&id), v33, command, status, message.sequence, to);
                }
                self.answered_or_gone(now, message.link, out);
            }
        }
        self.index(now, message, id_of(pdu), given, out);
    }

    pub(super) fn given(&mut self, now: Now, id_from: IdFrom) -> Given {
        match id_from {
            IdFrom::Carrier => Given::Carrier,
            IdFrom::Own => Given::Own(self.own_ids.next(now.wall)),
            IdFrom::Short => Given::Short(self.own_ids.next_short(now.wall)),
        }
    }

    fn answered_or_gone(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        if self.link(link).is_none() {
            return self.ignored(Ignored::ResponseEsmeGone);
        }
        self.answered(now, link, out);
    }

    /// Keeps an accepted message for its receipts, and looks whether one has come already.
    pub(super) fn index(&mut self, now: Now, message: &Message, id: &[u8], given: Given, out: &mut Outbox) {
        if id.is_empty() {
            return;
        }
        let new = NewEntry {
            carrier: message.carrier,
            id,
            given,
            esme: message.esme,
            link: message.link,
            mark: out.position(message.link),
            destination: message.destination,
            awaited: message.awaited,
        };
        self.keep(now, &new, out);
    }

    pub(super) fn keep(&mut self, now: Now, new: &NewEntry<'_>, out: &mut Outbox) {
        self.ledger.insert(now.mono, new);
        if !self.parked.is_empty() {
            self.unpark(now, new.carrier, new.id, out);
        }
    }

    /// Answers with the carrier's own response: status, id, TLVs; only the sequence number is the ESME's.
    fn answer_copy(&mut self, now: Now, message: &Message, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Some(slot) = self.link(message.link) else { return self.ignored(Ignored::ResponseEsmeGone) };
        let command = message.command.response();
        let status = pdu.header().command_status.for_version(slot.session.version());
        let same = pdu.command_id() == command && status == pdu.header().command_status;
        let v33 = slot.session.is_v33();
        let to = out.to(message.link);
        if pdu.command_id() == CommandId::GENERIC_NACK {
            write_header_only(to, command, status, message.sequence);
        } else if same && !v33 {
            copy_with_sequence(to, pdu, message.sequence);
        } else {
            write_response(pdu, None, v33, command, status, message.sequence, to);
        }
        self.answered(now, message.link, out);
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
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.unknown.bump();
        }
        self.count_refusal(message.esme, Reason::Unknown);
        let account = self.accounts.get(message.esme.index());
        let status = account.map_or(CommandStatus::SUBMIT_FAILED, |account| account.settings.unknown_status);
        match message.kind {
            Kind::Part(multi) => self.on_part_failed(now, multi, &message.frame, status, out),
            Kind::Submit | Kind::Operation(_) | Kind::Plain => self.answer_status(now, &message, status, out),
        }
        self.retained.release(message.frame);
    }

    /// A carrier can send no more, or another can again: what waits there, and was never written, is decided again.
    /// What only this carrier can answer stays.
    pub(super) fn reroute(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        let Some(state) = self.carriers.get_mut(carrier.index()) else { return };
        let waiting = core::mem::take(&mut state.queue);
        for key in waiting {
            if self.messages.get(key).is_some_and(|message| message.pool.is_none()) {
                if let Some(state) = self.carriers.get_mut(carrier.index()) {
                    state.queue.push_back(key);
                }
                continue;
            }
            let Some(mut message) = self.messages.remove(key) else { continue };
            if self.link(message.link).is_none() {
                let key = self.messages.insert(message);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                continue;
            }
            let frame = core::mem::take(&mut message.frame);
            let Some(pdu) = Pdu::whole(&frame) else { continue };
            let asked = (message.esme, message.link, message.sequence, message.command, message.kind);
            match self.dispatch(now, message, &pdu, &Body::again(&pdu), out) {
                Ok(key) => self.keep_frame(key, frame),
                Err(refusal) => {
                    self.refuse_rerouted(now, asked, refusal, &frame, out);
                    self.retained.release(frame);
                }
            }
        }
        self.count_queued(carrier);
    }

    /// A part of a split submit_multi keeps its octets until it is answered; nobody else does once it is sent.
    pub(super) fn keep_frame(&mut self, key: MessageKey, frame: Vec<u8>) {
        match self.messages.get_mut(key) {
            Some(message) if matches!(message.kind, Kind::Part(_)) && message.frame.is_empty() => {
                message.frame = frame;
            }
            _ => self.retained.release(frame),
        }
    }

    fn refuse_rerouted(
        &mut self,
        now: Now,
        (esme, link, sequence, command, kind): (EsmeId, LinkId, u32, CommandId, Kind),
        (status, reason): (CommandStatus, Reason),
        frame: &[u8],
        out: &mut Outbox,
    ) {
        self.count_refusal(esme, reason);
        if let Kind::Part(multi) = kind {
            return self.on_part_failed(now, multi, frame, status, out);
        }
        write_header_only(out.to(link), command.response(), status, sequence);
        self.answered_or_gone(now, link, out);
    }

    pub(super) fn forget_quanta_of(&mut self, esme: EsmeId) {
        if self.accounts.get(esme.index()).is_some_and(|account| account.sessions() == 0)
            && let Some(quanta) = self.quanta.get_mut(esme.index())
        {
            quanta.clear();
        }
    }
}

pub(super) fn is_v33(carrier: &Carrier<MessageKey>) -> bool {
    carrier.settings.interface_version < 0x34
}

fn has_room(links: &[Option<super::links::LinkSlot>], link: LinkId, out: &Outbox) -> bool {
    let slot = links.get(link.index()).and_then(Option::as_ref).filter(|slot| slot.id == link);
    slot.is_some_and(|slot| slot.session.may_send() && !slot.closing) && !out.is_full(link)
}

/// Whether the carrier as a whole lets a message pass now: nobody waits before it, its pace allows it, it can be
/// given such a message.
fn takes_now(carrier: &mut Carrier<MessageKey>, now: Instant, command: CommandId, body: &Body<'_>) -> bool {
    carrier.queue.is_empty()
        && carrier.throttle.as_mut().is_none_or(|throttle| throttle.available(now) > 0)
        && (!is_v33(carrier) || body.fits_v33(command))
}

/// The id that a carrier gave a message; empty when it gave none.
fn id_of<'a>(response: &Pdu<'a>) -> &'a [u8] {
    if response.command_id() == CommandId::SUBMIT_MULTI_RESP {
        return SubmitMultiResp::parse(response).message_id.unwrap_or_default();
    }
    MessageIdResp::parse(response).id
}

/// Appends a carrier's response as the ESME takes it: with the id that it is given, if not the carrier's, and without
/// TLVs for a 3.3 peer.
fn write_response(
    pdu: &Pdu<'_>,
    id: Option<&[u8]>,
    v33: bool,
    command: CommandId,
    status: CommandStatus,
    sequence: u32,
    to: &mut Vec<u8>,
) {
    if command == CommandId::SUBMIT_MULTI_RESP {
        // What follows its id are destinations, which no peer may lose.
        let mut response = SubmitMultiResp::parse(pdu);
        response.message_id = id.or(response.message_id);
        response.tlvs = if v33 { Tlvs::default() } else { response.tlvs };
        return response.write(to, status, sequence);
    }
    let mut response = MessageIdResp::parse(pdu);
    response = id.map_or(response, |id| response.with_id(id));
    response.after = if v33 { &[] } else { response.after };
    response.write(to, command, status, sequence);
}

/// Appends a request as the carrier takes it. Whether it fits was asked before.
fn write_to_carrier(v33: bool, pdu: &Pdu<'_>, body: &Body<'_>, sequence: u32, to: &mut Vec<u8>) {
    let converted = match body {
        Body::Sm(sm) if v33 && !sm.content.tlvs.bytes().is_empty() => {
            convert::write_v33(sm, CommandId::SUBMIT_SM, sequence, to)
        }
        Body::Data(data) if v33 => convert::write_v33_from_data(data, CommandId::SUBMIT_SM, sequence, to),
        Body::Multi(multi) if v33 && !multi.content.tlvs.bytes().is_empty() => {
            convert::write_v33_multi(multi, sequence, to)
        }
        Body::Sm(_) | Body::Data(_) | Body::Multi(_) | Body::Other => {
            copy_with_sequence(to, pdu, sequence);
            Ok(())
        }
    };
    debug_assert!(converted.is_ok(), "fits_v33 was asked");
}
