//! From the handset: what a carrier delivers, to the account that it is for.
//!
//! Owns: nothing of its own. Takes: deliver_sm, data_sm, alert_notification of carriers. Gives: receipts to
//! `receipts`, MO to the first account of its route that takes it. Never: ESME_ROK for what nobody has taken; the
//! carrier's ESME_ROK is the ESME's.

use super::Shard;
use super::at_once::AtOnce;
use super::links::Flow;
use super::mail::{Deliver, Mail, Tag};
use super::message::{Delivery, DeliveryKey, Origin, key_of_tag, tag_of};
use super::port::Outbox;
use crate::counters::{Ignored, Match, Reason};
use crate::ids::{CarrierId, EsmeId, LinkId, ShardId};
use crate::journal::Lsn;
use crate::ledger::OpenKey;
use crate::limits::DELIVERIES_MAX;
use crate::route::settings::{MoRouteSettings, Nobody};
use crate::smpp::command::CommandId;
use crate::smpp::cursor::PduError;
use crate::smpp::data::{AlertNotification, DataSm};
use crate::smpp::frame::{Pdu, copy_with_sequence, write_header_only};
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Now, Wall};

/// What a carrier delivers, read once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered<'a> {
    pub(super) pdu: Pdu<'a>,
    pub(super) body: Body<'a>,
    /// The id in the text of a receipt, once that was read.
    pub(super) id: Option<&'a [u8]>,
}

/// Its fields.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Sm(Sm<'a>),
    Data(DataSm<'a>),
}

impl<'a> Delivered<'a> {
    #[inline(always)]
    pub(super) fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let body = if pdu.command_id() == CommandId::DATA_SM {
            Body::Data(DataSm::parse(pdu)?)
        } else {
            Body::Sm(Sm::parse_deliver(pdu)?)
        };
        Ok(Self { pdu: pdu.again(), body, id: None })
    }

    /// What is in a copy that was kept; `None` when none was.
    #[inline(never)]
    pub(super) fn kept(frame: &'a [u8]) -> Option<Self> {
        Self::parse(&Pdu::whole(frame)?).ok()
    }

    pub(super) const fn source(&self) -> &'a [u8] {
        match &self.body {
            Body::Sm(sm) => sm.source.digits,
            Body::Data(data) => data.source.digits,
        }
    }

    const fn destination(&self) -> &'a [u8] {
        match &self.body {
            Body::Sm(sm) => sm.destination.digits,
            Body::Data(data) => data.destination.digits,
        }
    }

    #[inline]
    pub(super) fn receipt(&self, peer_is_33: bool) -> Option<Receipt<'a>> {
        match &self.body {
            Body::Sm(sm) => Receipt::parse(sm, peer_is_33),
            Body::Data(data) => Receipt::parse_data(data),
        }
    }
}

impl Shard {
    pub(super) fn on_carrier_request(
        &mut self,
        now: Now,
        id: LinkId,
        carrier: CarrierId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Flow {
        if pdu.command_id() == CommandId::ALERT_NOTIFICATION {
            self.on_alert(now, carrier, 0, pdu, out);
            return Flow::Next;
        }
        let mut delivered = match Delivered::parse(pdu) {
            Ok(delivered) => delivered,
            Err(error) => {
                self.counters.refusals.at(Reason::Malformed as usize).bump();
                self.note_malformed(now.mono, id, pdu.bytes(), error);
                answer_carrier(id, pdu.command_id(), pdu.sequence_number(), error.status, out);
                return Flow::Next;
            }
        };
        let Some(slot) = self.link_mut(id) else { return Flow::Stop };
        if slot.session.theirs() as usize >= DELIVERIES_MAX {
            answer_carrier(id, pdu.command_id(), pdu.sequence_number(), CommandStatus::THROTTLED, out);
            return Flow::Next;
        }
        slot.session.begin();
        let v33 = self.carriers.get(carrier.index()).is_some_and(super::mt::is_v33);
        match delivered.receipt(v33) {
            Some(receipt) => {
                delivered.id = receipt.text.id;
                self.on_receipt(now, id, carrier, &receipt, &delivered, out);
            }
            None => self.on_mo(now, id, carrier, None, &delivered, out),
        }
        Flow::Next
    }

    /// The accounts that MO of this carrier to this number may go to, in order.
    fn mo_targets(&self, carrier: CarrierId, destination: &[u8]) -> Option<&[EsmeId]> {
        self.mo_route(carrier, destination).map(|route| route.deliver.as_slice())
    }

    fn mo_route(&self, carrier: CarrierId, destination: &[u8]) -> Option<&MoRouteSettings> {
        let number = crate::route::plain_number(destination);
        self.config.mo_routes.iter().find(|route| {
            (route.carrier.is_empty() || route.carrier.contains(&carrier))
                && (route.to.is_empty() || route.to.iter().any(|to| to.matches(number)))
        })
    }

    /// The account that an MO is kept for when nobody takes it.
    fn keeper(&self, carrier: CarrierId, destination: &[u8]) -> Option<EsmeId> {
        let route = self.mo_route(carrier, destination).filter(|route| route.nobody == Nobody::Queue)?;
        route.deliver.first().copied()
    }

    /// Offers an MO to the accounts of its route, from the one behind `former` on, until one takes it.
    fn on_mo(
        &mut self,
        now: Now,
        id: LinkId,
        carrier: CarrierId,
        former: Option<(EsmeId, CommandStatus)>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) {
        let pdu = &delivered.pdu;
        let targets = self.mo_targets(carrier, delivered.destination()).unwrap_or_default();
        let done = former.and_then(|(former, _)| targets.iter().position(|target| *target == former));
        let targets = targets.get(done.map_or(0, |done| done + 1)..).unwrap_or_default().to_vec();
        let mut status = former.map_or(CommandStatus::RECEIVER_TEMPORARY, |(_, status)| status);
        for esme in targets {
            let delivery = self.deliveries.make(|| delivery_of(id, carrier, esme, pdu));
            match self.give(now, delivery, delivered, out) {
                Ok(()) => return,
                Err(why) => status = why,
            }
        }
        if let Some(esme) = self.keeper(carrier, delivered.destination()) {
            let delivery = self.deliveries.make(|| delivery_of(id, carrier, esme, pdu));
            match self.queue_mo(now, delivery, delivered, out) {
                Ok(()) => return,
                Err(why) => status = why,
            }
        }
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.mo_refused.bump();
        }
        self.count_mo(carrier, status);
        self.answer_delivery(now, id, pdu.command_id(), pdu.sequence_number(), status, out);
    }

    /// Gives a delivery to its account, here or on the account's home.
    #[inline(always)]
    pub(super) fn give(
        &mut self,
        now: Now,
        delivery: Box<Delivery>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<(), CommandStatus> {
        let home = self.position.homes.of_esme(delivery.esme);
        if home != self.position.shard {
            return self.give_away(home, delivery, delivered, out);
        }
        if self.records.is_none() || !delivery.is_receipt {
            return self.offer(now, delivery, delivered, out);
        }
        match self.keep_delivery(now, delivery, delivered, out)? {
            Some(delivery) => self.offer(now, delivery, delivered, out),
            None => Ok(()),
        }
    }

    /// Gives a delivery to the home of its account.
    pub(super) fn give_away(
        &mut self,
        home: ShardId,
        mut delivery: Box<Delivery>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<(), CommandStatus> {
        const LATER: CommandStatus = CommandStatus::RECEIVER_TEMPORARY;
        let (esme, carrier, state) = (delivery.esme, delivery.carrier, delivery.state);
        let (is_final, queued) = (delivery.is_final, delivery.queued);
        let copy = if self.has_credit(home) { self.retained.copy(delivered.pdu.bytes()) } else { None };
        let Some(frame) = copy else {
            self.deliveries.keep(delivery);
            return Err(LATER);
        };
        let frame = self.retained.hand_out(frame);
        let entry = delivery.entry.and_then(|entry| self.ledger.get(entry));
        let (submitted, record) = (entry.map(|entry| entry.link), entry.map_or(0, |entry| entry.record));
        let known_as = delivery.known_as.take();
        let tag = tag_of(self.deliveries.insert(delivery));
        let deliver =
            Deliver { tag, carrier, esme, submitted, known_as, state, is_final, queued, record, frame };
        self.request_of(home, Mail::Deliver(deliver), out);
        Ok(())
    }

    /// A receipt or MO came for an account of ours.
    pub(super) fn on_foreign_delivery(
        &mut self,
        now: Now,
        from: ShardId,
        deliver: Deliver,
        out: &mut Outbox,
    ) {
        let Deliver { tag, carrier, esme, submitted, known_as, state, is_final, queued, record, frame } =
            deliver;
        let frame = self.retained.take_in(frame);
        let Some(delivered) = Delivered::kept(&frame) else {
            debug_assert!(false, "shards send whole PDUs that were read");
            return self.retained.release(frame);
        };
        let pdu = &delivered.pdu;
        let mut delivery = self.deliveries.make(|| delivery_of(LinkId::default(), carrier, esme, pdu));
        delivery.origin = Origin::Shard(from, tag);
        delivery.is_receipt = submitted.is_some();
        delivery.known_as = known_as;
        delivery.state = state;
        // Its response was appended before this came: shards' letters keep their order.
        delivery.written = submitted.map(|link| (link, out.position(link)));
        (delivery.is_final, delivery.queued) = (is_final, queued);
        delivery.record = OpenKey::of(record);
        let taken = if queued {
            self.queue_mo(now, delivery, &delivered, out)
        } else {
            self.give(now, delivery, &delivered, out)
        };
        match taken {
            Ok(()) => self.retained.release(frame),
            Err(status) => {
                let frame = self.retained.hand_out(frame);
                self.send_mail(now, from, Mail::NotDelivered { tag, status, frame }, out);
            }
        }
    }

    /// No session of the account's home took it: at once, when its octets come back; else after it was offered.
    pub(super) fn on_not_delivered(
        &mut self,
        now: Now,
        tag: Tag,
        status: CommandStatus,
        frame: Vec<u8>,
        out: &mut Outbox,
    ) {
        let frame = self.retained.take_in(frame);
        let key: DeliveryKey = key_of_tag(tag);
        let delivered = Delivered::kept(&frame);
        let Some(delivery) = self.deliveries.get(key) else { return self.retained.release(frame) };
        match (delivery.origin, delivered) {
            (Origin::Link(link, _), Some(delivered))
                if !delivery.is_receipt && !delivery.queued && self.link(link).is_some() =>
            {
                let (carrier, esme) = (delivery.carrier, delivery.esme);
                self.deliveries.end(key);
                self.on_mo(now, link, carrier, Some((esme, status)), &delivered, out);
            }
            _ => {
                if delivery.is_receipt && delivered.is_none() {
                    self.count_receipt(delivery.carrier, Match::Matched, Some(delivery.state));
                }
                self.fail_delivery(now, key, status, out);
            }
        }
        self.retained.release(frame);
    }

    /// The carrier keeps it and tries again: ESME_RX_T_APPN.
    pub(super) fn refuse_delivery(
        &mut self,
        now: Now,
        link: LinkId,
        command: CommandId,
        sequence: u32,
        out: &mut Outbox,
    ) {
        self.answer_delivery(now, link, command, sequence, CommandStatus::RECEIVER_TEMPORARY, out);
    }

    /// Answers a delivery that was begun, not with an ESME's words.
    pub(super) fn answer_delivery(
        &mut self,
        now: Now,
        link: LinkId,
        command: CommandId,
        sequence: u32,
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        answer_carrier(link, command, sequence, status, out);
        self.delivery_done(now, link, out);
    }

    /// A request of this carrier session was answered.
    pub(super) fn delivery_done(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        let Some(slot) = self.link_mut(link) else { return self.ignored(Ignored::DeliveryCarrierGone) };
        slot.session.answered();
        if slot.session.is_ending() {
            self.progress(now, link, out);
        }
    }

    /// alert_notification has no response: it is given to a session that receives, or dropped and counted. `at`: the
    /// account of its route to begin with.
    fn on_alert(&mut self, now: Now, carrier: CarrierId, at: u32, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Ok(alert) = AlertNotification::parse(pdu) else {
            self.counters.refusals.at(Reason::Malformed as usize).bump();
            return;
        };
        let targets = self.mo_targets(carrier, alert.esme.digits).unwrap_or_default().to_vec();
        for (index, esme) in targets.into_iter().enumerate().skip(at as usize) {
            let home = self.position.homes.of_esme(esme);
            if home != self.position.shard && self.has_credit(home) {
                let frame = self.retained.buffer(pdu.bytes());
                let mail = Mail::Alert { tag: Tag(0), carrier, at: index as u32, frame };
                return self.request(now, home, mail, out);
            }
            let Self { accounts, links, .. } = self;
            let Some(account) = accounts.get_mut(esme.index()) else { continue };
            let receiver = account.next_receiver(|link| {
                let slot = links.get(link.index()).and_then(Option::as_ref);
                slot.is_some_and(|slot| slot.session.receives() && !slot.session.is_v33())
                    && !out.is_full(link)
            });
            let Some(slot) = receiver.and_then(|link| self.link_mut(link)) else { continue };
            let (link, sequence) = (slot.id, slot.session.number());
            copy_with_sequence(out.to(link), pdu, sequence);
            return;
        }
        self.ignored(Ignored::Alert);
    }

    /// An alert_notification came for an account of ours, or for those behind it.
    pub(super) fn on_foreign_alert(
        &mut self,
        now: Now,
        (from, tag): (ShardId, Tag),
        carrier: CarrierId,
        at: u32,
        frame: Vec<u8>,
        out: &mut Outbox,
    ) {
        if let Some(pdu) = Pdu::whole(&frame) {
            self.on_alert(now, carrier, at, &pdu, out);
        }
        self.retained.reuse(frame);
        self.send_mail(now, from, Mail::Noted { tag }, out);
    }
}

/// Appends a header-only answer to a request of a carrier.
pub(super) fn answer_carrier(
    link: LinkId,
    command: CommandId,
    sequence: u32,
    status: CommandStatus,
    out: &mut Outbox,
) {
    if status == CommandStatus::OK {
        // deliver_sm_resp and data_sm_resp carry a message_id; in deliver_sm_resp it is one NUL (SMPP 3.4 §4.6.2).
        crate::smpp::response::MessageIdResp::new(&[]).write(
            out.to(link),
            command.response(),
            status,
            sequence,
        );
        return;
    }
    write_header_only(out.to(link), command.response(), status, sequence);
}

/// What is in flight when `pdu` goes to an account.
#[inline(always)]
pub(super) fn delivery_of(link: LinkId, carrier: CarrierId, esme: EsmeId, pdu: &Pdu<'_>) -> Delivery {
    Delivery {
        carrier,
        origin: Origin::Link(link, pdu.sequence_number()),
        command: pdu.command_id(),
        esme,
        link: LinkId::default(),
        is_receipt: false,
        entry: None,
        known_as: None,
        written: None,
        is_final: false,
        destination: 0,
        state: MessageState::Unknown,
        error: None,
        frame: Vec::new(),
        until: Instant::ZERO,
        record: OpenKey::default(),
        number: None,
        queued: false,
        again: None,
        key: 0,
        lsn: Lsn::NONE,
        origin_lsn: Lsn::NONE,
        came: Wall(0),
        not_before: Instant::ZERO,
        at_once: AtOnce::No,
    }
}
