//! Toward the handset: a submit from an ESME to a carrier, and the carrier's answer back.
//!
//! Owns: the quanta. Takes: requests of bound ESMEs, responses of carriers. Gives: each request exactly one answer.
//! Never: decodes or re-encodes a body; copies it once, into the output of the link it leaves by.

use super::Shard;
use super::failover::{Place, Wish};
use super::links::{Flow, LinkSlot, live, live_mut};
use super::message::{IdFrom, Kind, Message, MessageKey, owner_of};
use super::port::Outbox;
use super::post::Room;
use crate::carrier::Carrier;
use crate::counters::Reason;
use crate::esme::settings::{MessageIdSource, WindowOver};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::ledger::{AddressTail, Destinations};
use crate::route::affinity::{Ends, Key as PartsKey};
use crate::route::lanes::reserved;
use crate::route::{Ask, Path};
use crate::smpp::broadcast::BroadcastSm;
use crate::smpp::command::CommandId;
use crate::smpp::convert;
use crate::smpp::cursor::PduError;
use crate::smpp::data::DataSm;
use crate::smpp::frame::{Pdu, copy_with_sequence};
use crate::smpp::multi::{SubmitMulti, SubmitMultiResp};
use crate::smpp::response::MessageIdResp;
use crate::smpp::segment::{has_udh, part_of};
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
    /// It is over when somebody was ejected since.
    ejections: u64,
}

/// The quanta of one account, one per pool that it uses.
pub(super) type Quanta = SmallVec<[Quantum; 1]>;

/// A request that goes to a carrier, read as far as routing and conversion need it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Sm(Sm<'a>),
    Data(DataSm<'a>),
    Multi(SubmitMulti<'a>),
    Broadcast(BroadcastSm<'a>),
    /// Only passed on.
    Other,
}

impl<'a> Body<'a> {
    /// Reads a submit_sm, data_sm, broadcast_sm or submit_multi; everything else is only passed on.
    #[inline(always)]
    pub(super) fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        match pdu.command_id() {
            CommandId::SUBMIT_SM => Sm::parse_submit(pdu).map(Self::Sm),
            CommandId::DATA_SM => DataSm::parse(pdu).map(Self::Data),
            CommandId::SUBMIT_MULTI => SubmitMulti::parse(pdu).map(Self::Multi),
            CommandId::BROADCAST_SM => BroadcastSm::parse(pdu).map(Self::Broadcast),
            _ => Ok(Self::Other),
        }
    }

    /// Reads a PDU that was checked before.
    pub(super) fn again(pdu: &Pdu<'a>) -> Self {
        Self::parse(pdu).unwrap_or(Self::Other)
    }

    /// What its carrier needs of a PDU that was checked before: only for one of 3.3 it is read.
    pub(super) fn as_needed(pdu: &Pdu<'a>, carrier: &Carrier<MessageKey>) -> Self {
        if is_v33(carrier) { Self::again(pdu) } else { Self::Other }
    }

    /// Who sends it.
    pub(super) const fn source(&self) -> &'a [u8] {
        match self {
            Self::Sm(sm) => sm.source.digits,
            Self::Data(data) => data.source.digits,
            Self::Multi(multi) => multi.source.digits,
            Self::Broadcast(broadcast) => broadcast.source.digits,
            Self::Other => &[],
        }
    }

    /// Where it goes; empty for what has one destination or several of no account. A broadcast has none: it takes a
    /// route without `to`, or the account's pool.
    pub(super) const fn destination(&self) -> &'a [u8] {
        match self {
            Self::Sm(sm) => sm.destination.digits,
            Self::Data(data) => data.destination.digits,
            Self::Multi(_) | Self::Broadcast(_) | Self::Other => &[],
        }
    }

    /// Its data_coding; that of a broadcast is not read.
    pub(super) const fn data_coding(&self) -> u8 {
        match self {
            Self::Sm(sm) => sm.content.data_coding,
            Self::Data(data) => data.data_coding,
            Self::Multi(multi) => multi.content.data_coding,
            Self::Broadcast(_) | Self::Other => 0,
        }
    }

    pub(super) const fn registered_delivery(&self) -> u8 {
        match self {
            Self::Sm(sm) => sm.content.registered_delivery,
            Self::Data(data) => data.registered_delivery,
            Self::Multi(multi) => multi.content.registered_delivery,
            Self::Broadcast(_) | Self::Other => 0,
        }
    }

    /// Whether a 3.3 carrier can be given it.
    fn fits_v33(&self) -> bool {
        match self {
            Self::Sm(sm) => convert::fits_v33(sm).is_ok(),
            Self::Data(data) => convert::sm_from_data(data).is_ok_and(|sm| convert::fits_v33(&sm).is_ok()),
            Self::Multi(multi) => convert::multi_fits_v33(multi).is_ok(),
            Self::Broadcast(_) => false,
            Self::Other => true,
        }
    }
}

/// A request that ends in a call detail record.
const fn is_submit(command: CommandId) -> bool {
    matches!(
        command,
        CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::BROADCAST_SM | CommandId::SUBMIT_MULTI
    )
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
        let Self { accounts, links, .. } = self;
        let (Some(account), Some(slot)) = (accounts.get(esme.index()), live_mut(links, id)) else {
            return Flow::Stop;
        };
        if slot.session.theirs() >= account.settings.window_max {
            if account.settings.window_over == WindowOver::Wait {
                if let Some(cells) = self.counters.esmes.get(esme.index()) {
                    cells.window_full.bump();
                }
                return Flow::Pause;
            }
            self.refuse(id, esme, pdu, CommandStatus::THROTTLED, Reason::Window, out);
            return Flow::Next;
        }
        if self.draining || slot.session.is_ending() {
            self.refuse(id, esme, pdu, CommandStatus::THROTTLED, Reason::Draining, out);
            return Flow::Next;
        }
        slot.session.begin();
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
            if reason == Reason::Malformed {
                self.note_refused(now.mono, id, pdu);
            }
            if is_submit(pdu.command_id()) {
                self.record_refusal(now, esme, pdu, (status, reason));
            }
            self.refuse(id, esme, pdu, status, reason, out);
            if let Some(slot) = self.link_mut(id) {
                slot.session.answered();
            }
            self.count_ended(esme, 1);
        }
        Flow::Next
    }

    #[inline]
    fn on_submit(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), (CommandStatus, Reason)> {
        let malformed = |error: PduError| (error.status, Reason::Malformed);
        // Nearly every one is a submit_sm. It is large: what is read of it must not be moved.
        if pdu.command_id() == CommandId::SUBMIT_SM {
            let body = Body::Sm(Sm::parse_submit(pdu).map_err(malformed)?);
            return self.take(now, (id, esme), pdu, &body, out);
        }
        let body = Body::parse(pdu).map_err(malformed)?;
        self.take(now, (id, esme), pdu, &body, out)
    }

    /// Takes a submit that was read.
    fn take(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) -> Result<(), (CommandStatus, Reason)> {
        let destination = body.destination();
        if destination.is_empty() && pdu.command_id() != CommandId::BROADCAST_SM {
            return Err((CommandStatus::INVALID_DESTINATION, Reason::Destination));
        }
        let part = self.part_key(esme, body);
        let others = match part {
            Some((key, _)) => self.throttle_part(now.mono, esme, key)?,
            None => self.throttle(now.mono, esme, 1).map(|()| 0)?,
        };
        let taken = if self.stores(esme, pdu.command_id()) {
            self.store(now, (id, esme), pdu, body, out)
        } else {
            self.submit(now, (id, esme), pdu, body, part, out)
        };
        if let Some((key, _)) = part.filter(|_| others > 0) {
            self.settle_parts(now.mono, esme, key, others, taken.is_ok());
        }
        taken
    }

    /// Routes a submit that its account may send.
    #[inline]
    fn submit(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        part: Option<(PartsKey, u8)>,
        out: &mut Outbox,
    ) -> Result<(), (CommandStatus, Reason)> {
        let destination = body.destination();
        let pool = self.pool_for(esme, body.source(), destination)?;
        let lower = self.level_of(esme) > 0;
        let wish = Wish { esme, pool: Some(pool), part, tried: &[], lower };
        // The message is made last: it is large, and each step before would move it.
        let place = self.place(now, &wish, body, out)?;
        let mut message = self.message(now, id, esme, pdu, Kind::Submit);
        message.pool = Some(pool);
        message.destination = Destinations::One(AddressTail::of(destination));
        message.awaited = u16::from(receipts_asked(body.registered_delivery()));
        message.part = part;
        if self.records.is_some() {
            self.open_message(now, &mut message, body);
        }
        let open = message.open;
        let committed = self.commit(now, message, place, pdu, body, out).map(|_| ());
        if committed.is_err() {
            self.forget_open(open);
        }
        committed
    }

    /// The long message that a submit is a part of.
    pub(super) fn part_key(&self, esme: EsmeId, body: &Body<'_>) -> Option<(PartsKey, u8)> {
        let Body::Sm(sm) = body else { return None };
        if !has_udh(sm.content.esm_class) && sm.content.tlvs.bytes().is_empty() {
            return None;
        }
        let part = part_of(&sm.content).filter(|part| part.total > 1)?;
        let ends = Ends { esme, source: sm.source.digits, destination: sm.destination.digits };
        Some((self.affinity.key(&ends, &part), part.number))
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
    #[inline(always)]
    pub(super) fn message(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        kind: Kind,
    ) -> Box<Message> {
        let account = self.accounts.get(esme.index());
        let timeout = account.map_or(core::time::Duration::ZERO, |account| account.settings.answer_timeout);
        self.serial += 1;
        let serial = self.serial;
        let mut message = self.messages.make(|| Message::new(now.mono, kind, (esme, id), pdu, serial));
        message.level = self.level_of(esme);
        message.id_from = self.id_from(id, esme);
        message.deadline = now.mono.after(timeout);
        message
    }

    /// The class of an account's messages.
    pub(super) fn class_of(&self, esme: EsmeId) -> usize {
        let class = self.accounts.get(esme.index()).and_then(|account| account.settings.class);
        class.map_or(0, |class| class.index() + 1)
    }

    /// How far below the highest priority it is.
    #[inline]
    pub(super) fn level_of(&self, esme: EsmeId) -> u8 {
        if self.config.classes.is_empty() {
            return 0;
        }
        self.classes.level(self.class_of(esme))
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
        message: Box<Message>,
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        let place = self.place(now, &message.wish(), body, out)?;
        self.commit(now, message, place, pdu, body, out)
    }

    /// A session with room: that of the present quantum, or the first of a new one.
    #[inline(always)]
    pub(super) fn pick(
        &mut self,
        now: Instant,
        wish: &Wish<'_>,
        body: &Body<'_>,
        out: &Outbox,
    ) -> Option<Place> {
        if let Some(found) = self.pick_quantum(now, wish, body, out) {
            return Some(found);
        }
        self.pick_anew(now, wish, body, out)
    }

    /// The first session of a new quantum.
    #[inline(never)]
    fn pick_anew(&mut self, now: Instant, wish: &Wish<'_>, body: &Body<'_>, out: &Outbox) -> Option<Place> {
        let pool = wish.pool?;
        let outstanding = self.outstanding(pool);
        let away = self.rooms(pool, |room| room.at_once);
        let Self { quanta, carriers, links, balance, .. } = self;
        let room = |link: LinkId| has_room_for(links, link, wish.lower, out);
        let count = |carrier: CarrierId| outstanding.get(carrier.index()).copied().unwrap_or(0);
        let ask = Ask { now, destination: body.destination(), outstanding: &count };
        let path = balance.choose(pool, &ask, &mut |id| {
            carriers.get_mut(id.index()).is_some_and(|carrier| {
                if away.contains(&id) {
                    return !wish.tried.contains(&id) && fits(carrier, body);
                }
                !wish.tried.contains(&id)
                    && takes_now(carrier, now, body)
                    && carrier.next_sender(room).is_some()
            })
        })?;
        let is_away = away.contains(&path.carrier);
        let link = if is_away {
            LinkId::default()
        } else {
            carriers.get_mut(path.carrier.index())?.next_sender(room)?
        };
        balance.charge(&path);
        let left = balance.quantum(pool) - 1;
        let quantum = Quantum { pool, path, link, left, ejections: balance.ejections() };
        let quanta = quanta.get_mut(wish.esme.index())?;
        match quanta.iter_mut().find(|held| held.pool == pool) {
            Some(place) => *place = quantum,
            None => quanta.push(quantum),
        }
        Some(if is_away { Place::Away(path.carrier) } else { Place::Session(path.carrier, link) })
    }

    /// The carriers of other shards under a pool that have such room.
    pub(super) fn rooms(&mut self, pool: PoolId, wanted: impl Fn(Room) -> bool) -> SmallVec<[CarrierId; 8]> {
        let away = self.reached.get(pool.index()).filter(|away| !away.is_empty()).cloned();
        let away = away.unwrap_or_default().into_iter();
        away.filter(|carrier| wanted(self.room_at(*carrier))).collect()
    }

    /// The session of the present quantum, while it has room.
    #[inline(always)]
    fn pick_quantum(
        &mut self,
        now: Instant,
        wish: &Wish<'_>,
        body: &Body<'_>,
        out: &Outbox,
    ) -> Option<Place> {
        let Self { quanta, balance, position, carriers, links, .. } = self;
        let held = quanta.get_mut(wish.esme.index())?;
        let quantum = held.iter_mut().find(|quantum| Some(quantum.pool) == wish.pool)?;
        let id = quantum.path.carrier;
        let over = quantum.left == 0 || quantum.ejections != balance.ejections();
        if over || wish.tried.contains(&id) {
            return None;
        }
        if position.homes.of_carrier(id) == position.shard {
            let takes = has_room_for(links, quantum.link, wish.lower, out)
                && takes_now(carriers.get_mut(id.index())?, now, body);
            return takes.then(|| {
                quantum.left -= 1;
                balance.charge(&quantum.path);
                Place::Session(id, quantum.link)
            });
        }
        if !(self.room_at(id).at_once && self.fits_at(id, body)) {
            return None;
        }
        let Self { quanta, balance, .. } = self;
        let mut held = quanta.get_mut(wish.esme.index())?.iter_mut();
        let quantum = held.find(|quantum| Some(quantum.pool) == wish.pool)?;
        quantum.left -= 1;
        balance.charge(&quantum.path);
        Some(Place::Away(id))
    }

    /// Writes a message to a session that has room; `Message::written` says so of the message.
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
        let Self { carriers, links, windows, .. } = self;
        let (Some(state), Some(slot)) = (carriers.get_mut(carrier.index()), live_mut(links, link)) else {
            debug_assert!(false, "has_room was asked");
            return;
        };
        let taken = state.pace.take(now);
        debug_assert!(taken, "asked before");
        let v33 = is_v33(state);
        let command =
            if v33 && matches!(body, Body::Data(_)) { CommandId::SUBMIT_SM } else { pdu.command_id() };
        let was_empty = slot.session.window().used() == 0;
        let Some(sequence) = slot.session.send(now, command, owner_of(key), windows) else {
            debug_assert!(false, "has_room was asked");
            return;
        };
        write_to_carrier(v33, pdu, body, sequence, out.to(link));
        if was_empty {
            self.arm(link);
        }
        self.changed(carrier);
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.submits.bump();
        }
    }

    /// A part of a long message goes to this carrier: the others follow it.
    #[inline]
    pub(super) fn part_sent(&mut self, now: Instant, part: Option<(PartsKey, u8)>, carrier: CarrierId) {
        if let Some((part, number)) = part {
            let allowed = self.affinity.sent(now, part, number, carrier);
            debug_assert!(allowed, "placed before");
        }
    }

    /// Writes a message that holds its octets to a session that has room; they are kept while they may be wanted.
    pub(super) fn send_held(
        &mut self,
        now: Instant,
        key: MessageKey,
        carrier: CarrierId,
        link: LinkId,
        out: &mut Outbox,
    ) {
        let Some(message) = self.messages.get_mut(key) else { return };
        message.written(now, carrier);
        let (frame, part) = (core::mem::take(&mut message.frame), message.part);
        if let Some(pdu) = Pdu::whole(&frame) {
            self.send(now, key, carrier, link, &pdu, &Body::again(&pdu), out);
            self.part_sent(now, part, carrier);
        }
        self.keep_frame(key, frame);
    }

    pub(super) fn forget_quanta_of(&mut self, esme: EsmeId) {
        if self.accounts.get(esme.index()).is_some_and(|account| account.sessions() == 0)
            && let Some(quanta) = self.quanta.get_mut(esme.index())
        {
            quanta.clear();
        }
    }
}

#[inline]
pub(super) fn is_v33(carrier: &Carrier<MessageKey>) -> bool {
    carrier.settings.interface_version < 0x34
}

#[inline]
pub(super) fn has_room(links: &[Option<LinkSlot>], link: LinkId, out: &Outbox) -> bool {
    live(links, link).is_some_and(|slot| slot.session.may_send() && !slot.closing) && !out.is_full(link)
}

/// The same for a message that others have a higher priority than, if it is one: some slots are theirs.
#[inline]
pub(super) fn has_room_for(links: &[Option<LinkSlot>], link: LinkId, lower: bool, out: &Outbox) -> bool {
    has_room(links, link, out) && (!lower || has_spare(links, link))
}

fn has_spare(links: &[Option<LinkSlot>], link: LinkId) -> bool {
    live(links, link).is_some_and(|slot| {
        let window = slot.session.window();
        window.max().saturating_sub(window.used()) > reserved(window.max())
    })
}

/// Whether the carrier as a whole lets a message pass now: nobody waits before it, its pace allows it, it can be
/// given such a message.
#[inline]
pub(super) fn takes_now(carrier: &mut Carrier<MessageKey>, now: Instant, body: &Body<'_>) -> bool {
    carrier.queue.is_empty() && carrier.pace.available(now) > 0 && fits(carrier, body)
}

/// Whether the carrier can be given such a message at all.
#[inline]
pub(super) fn fits(carrier: &Carrier<MessageKey>, body: &Body<'_>) -> bool {
    !is_v33(carrier) || body.fits_v33()
}

/// A carrier's response to a message, read in place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Response<'a> {
    /// With a message_id and what follows it.
    One(MessageIdResp<'a>),
    /// What follows its id are destinations, which no peer may lose.
    Multi(SubmitMultiResp<'a>),
}

impl<'a> Response<'a> {
    #[inline]
    pub(super) fn parse(pdu: &Pdu<'a>) -> Self {
        if pdu.command_id() == CommandId::SUBMIT_MULTI_RESP {
            return Self::Multi(SubmitMultiResp::parse(pdu));
        }
        Self::One(MessageIdResp::parse(pdu))
    }

    /// The id that the carrier gave; empty when it gave none.
    pub(super) fn id(&self) -> &'a [u8] {
        match self {
            Self::One(response) => response.id,
            Self::Multi(response) => response.message_id.unwrap_or_default(),
        }
    }

    /// Appends it as the ESME takes it: with the id that it is given, if not the carrier's, and without TLVs for a 3.3
    /// peer.
    #[inline]
    pub(super) fn write(
        &self,
        id: Option<&[u8]>,
        v33: bool,
        command: CommandId,
        status: CommandStatus,
        sequence: u32,
        to: &mut Vec<u8>,
    ) {
        match *self {
            Self::One(response) => {
                let mut response = id.map_or(response, |id| response.with_id(id));
                response.after = if v33 { &[] } else { response.after };
                response.write(to, command, status, sequence);
            }
            Self::Multi(response) => {
                let message_id = id.or(response.message_id);
                let tlvs = if v33 { Tlvs::default() } else { response.tlvs };
                SubmitMultiResp { message_id, tlvs, ..response }.write(to, status, sequence);
            }
        }
    }
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
        Body::Sm(_) | Body::Data(_) | Body::Multi(_) | Body::Broadcast(_) | Body::Other => {
            copy_with_sequence(to, pdu, sequence);
            Ok(())
        }
    };
    debug_assert!(converted.is_ok(), "fits_v33 was asked");
}
