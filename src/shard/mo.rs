//! From the handset: what a carrier delivers, to the account that it is for.
//!
//! Owns: nothing of its own. Takes: deliver_sm, data_sm, alert_notification of carriers. Gives: receipts to
//! `receipts`, MO to the first account of its route that takes it. Never: ESME_ROK for what nobody has taken; the
//! carrier's ESME_ROK is the ESME's.

use super::Shard;
use super::links::Flow;
use super::message::Delivery;
use super::port::Outbox;
use crate::counters::{Ignored, Reason};
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::limits::DELIVERIES_MAX;
use crate::smpp::command::CommandId;
use crate::smpp::cursor::PduError;
use crate::smpp::data::{AlertNotification, DataSm};
use crate::smpp::frame::{Pdu, copy_with_sequence, write_header_only};
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Now};

/// A deliver_sm or data_sm of a carrier, read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Delivered<'a> {
    Sm(Sm<'a>),
    Data(DataSm<'a>),
}

impl<'a> Delivered<'a> {
    pub(super) fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        if pdu.command_id() == CommandId::DATA_SM {
            return DataSm::parse(pdu).map(Self::Data);
        }
        Sm::parse_deliver(pdu).map(Self::Sm)
    }

    pub(super) const fn source(&self) -> &'a [u8] {
        match self {
            Self::Sm(sm) => sm.source.digits,
            Self::Data(data) => data.source.digits,
        }
    }

    pub(super) const fn destination(&self) -> &'a [u8] {
        match self {
            Self::Sm(sm) => sm.destination.digits,
            Self::Data(data) => data.destination.digits,
        }
    }

    pub(super) fn receipt(&self, peer_is_33: bool) -> Option<Receipt<'a>> {
        match self {
            Self::Sm(sm) => Receipt::parse(sm, peer_is_33),
            Self::Data(data) => Receipt::parse_data(data),
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
            self.on_alert(carrier, pdu, out);
            return Flow::Next;
        }
        let delivered = match Delivered::parse(pdu) {
            Ok(delivered) => delivered,
            Err(error) => {
                self.counters.refusals.at(Reason::Malformed as usize).bump();
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
            Some(receipt) => self.on_receipt(now, id, carrier, &receipt, &delivered, pdu, out),
            None => self.on_mo(now, id, carrier, &delivered, pdu, out),
        }
        Flow::Next
    }

    /// The accounts that MO of this carrier to this number may go to, in order.
    fn mo_targets(&self, carrier: CarrierId, destination: &[u8]) -> Option<&[EsmeId]> {
        let number = crate::route::plain_number(destination);
        let route = self.config.mo_routes.iter().find(|route| {
            (route.carrier.is_empty() || route.carrier.contains(&carrier))
                && (route.to.is_empty() || route.to.iter().any(|to| to.matches(number)))
        });
        route.map(|route| route.deliver.as_slice())
    }

    fn on_mo(
        &mut self,
        now: Now,
        id: LinkId,
        carrier: CarrierId,
        delivered: &Delivered<'_>,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let targets = self.mo_targets(carrier, delivered.destination()).unwrap_or_default().to_vec();
        let mut status = CommandStatus::RECEIVER_TEMPORARY;
        for esme in targets {
            let delivery = delivery_of(id, carrier, esme, pdu);
            match self.offer(now, delivery, pdu, out) {
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

    /// alert_notification has no response: it is given to a session that receives, or dropped and counted.
    fn on_alert(&mut self, carrier: CarrierId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Ok(alert) = AlertNotification::parse(pdu) else {
            self.counters.refusals.at(Reason::Malformed as usize).bump();
            return;
        };
        let targets = self.mo_targets(carrier, alert.esme.digits).unwrap_or_default().to_vec();
        for esme in targets {
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
pub(super) fn delivery_of(link: LinkId, carrier: CarrierId, esme: EsmeId, pdu: &Pdu<'_>) -> Delivery {
    Delivery {
        carrier,
        carrier_link: link,
        carrier_sequence: pdu.sequence_number(),
        command: pdu.command_id(),
        esme,
        link: LinkId::default(),
        entry: None,
        other_id: false,
        is_final: false,
        state: MessageState::Unknown,
        frame: Vec::new(),
        until: Instant::ZERO,
    }
}
