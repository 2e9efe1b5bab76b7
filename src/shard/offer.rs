//! Deliveries: a receipt or MO to a session of its account, and the ESME's answer back to the carrier.
//!
//! Owns: nothing of its own. Takes: deliveries, the answers of ESMEs, sessions that come and go. Gives: each delivery
//! exactly one answer to its carrier: the ESME's own, or ESME_RX_T_APPN. Never: ESME_ROK before the ESME's.

use super::Shard;
use super::links::live;
use super::mail::{Mail, Tag};
use super::message::{Delivery, DeliveryKey, Origin, key_of, key_of_tag, owner_of};
use super::mo::{Body, Delivered, answer_carrier};
use super::port::Outbox;
use super::timers::Timer;
use crate::counters::{Ignored, Match};
use crate::esme::Account;
use crate::esme::settings::ReceiptsTo;
use crate::ids::{EsmeId, LinkId};
use crate::limits::{RECEIPT_AGAIN, WAITING_MAX, WAITING_TIME};
use crate::session::Owner;
use crate::smpp::command::CommandId;
use crate::smpp::convert;
use crate::smpp::frame::{Pdu, copy_with_sequence};
use crate::smpp::receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Now};
use std::collections::VecDeque;

/// How soon a delivery is looked at again that waits for its response to be written.
const SOON: Duration = Duration::from_millis(1);

impl Shard {
    /// Gives a delivery to a session of its account, or lets it wait for one that is bound and has no room.
    #[inline(always)]
    pub(super) fn offer(
        &mut self,
        now: Now,
        mut delivery: Box<Delivery>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<(), CommandStatus> {
        const LATER: CommandStatus = CommandStatus::RECEIVER_TEMPORARY;
        let esme = delivery.esme;
        let account = self.accounts.get(esme.index());
        let receivers = account.map_or(0, Account::receivers);
        if receivers == 0 {
            return self.refused(delivery, LATER);
        }
        let pdu = &delivered.pdu;
        let idle = account.is_some_and(|account| account.waiting.is_empty());
        let written = delivery.written.as_ref();
        if idle && let Some(link) = self.receiver(esme, written, LinkId::default(), delivered, out) {
            if receivers > 1 {
                // A second session may have to be tried. Without room for the copy there is no second try.
                delivery.frame = self.retained.copy(pdu.bytes()).unwrap_or_default();
            }
            let key = self.deliveries.insert(delivery);
            self.deliver(now, key, link, delivered, out);
            return Ok(());
        }
        if !fits_v33(&delivered.body) && !self.receives_long(esme) {
            return self.refused(delivery, CommandStatus::INVALID_MESSAGE_LENGTH);
        }
        if self.accounts.get(esme.index()).is_some_and(|account| account.waiting.len() >= WAITING_MAX) {
            return self.refused(delivery, LATER);
        }
        let Some(frame) = self.retained.copy(pdu.bytes()) else { return self.refused(delivery, LATER) };
        delivery.frame = frame;
        delivery.until = now.mono.after(WAITING_TIME);
        let key = self.deliveries.insert(delivery);
        self.wait(now, esme, key);
        Ok(())
    }

    fn refused(&mut self, delivery: Box<Delivery>, status: CommandStatus) -> Result<(), CommandStatus> {
        self.deliveries.keep(delivery);
        Err(status)
    }

    fn wait(&mut self, now: Now, esme: EsmeId, key: DeliveryKey) {
        let Some(account) = self.accounts.get_mut(esme.index()) else { return };
        account.waiting.push_back(key);
        if account.waiting.len() == 1 {
            self.tick_later(now.mono.after(SOON), Timer::Waiting(esme));
        }
    }

    /// True when a session of the account takes what does not fit a 3.3 peer.
    fn receives_long(&mut self, esme: EsmeId) -> bool {
        let Self { accounts, links, .. } = self;
        let receives = |link: LinkId| {
            let slot = live(links, link);
            slot.is_some_and(|slot| !slot.session.is_v33())
        };
        accounts.get_mut(esme.index()).and_then(|account| account.next_receiver(receives)).is_some()
    }

    /// A session of the account that may be given this now, other than `not`.
    fn receiver(
        &mut self,
        esme: EsmeId,
        written: Option<&(LinkId, u64)>,
        not: LinkId,
        delivered: &Delivered<'_>,
        out: &Outbox,
    ) -> Option<LinkId> {
        let Self { accounts, links, .. } = self;
        let account = accounts.get_mut(esme.index())?;
        let usable = |link: LinkId| {
            let slot = live(links, link);
            let after = written.is_none_or(|&(at, mark)| at == link || out.is_flushed(at, mark));
            link != not
                && after
                && !out.is_full(link)
                && slot.is_some_and(|slot| {
                    slot.session.may_send()
                        && !slot.closing
                        && (!slot.session.is_v33() || fits_v33(&delivered.body))
                })
        };
        if account.settings.receipts == ReceiptsTo::Submitting
            && let Some(&(at, _)) = written
            && usable(at)
        {
            return Some(at);
        }
        account.next_receiver(usable)
    }

    fn deliver(
        &mut self,
        now: Now,
        key: DeliveryKey,
        link: LinkId,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) {
        let Self { links, windows, deliveries, .. } = self;
        let (Some(delivery), Some(Some(slot))) = (deliveries.get_mut(key), links.get_mut(link.index()))
        else {
            return;
        };
        delivery.link = link;
        let v33 = slot.session.is_v33();
        let command = if v33 { CommandId::DELIVER_SM } else { delivered.pdu.command_id() };
        let was_empty = slot.session.window().used() == 0;
        let Some(sequence) = slot.session.send(now.mono, command, owner_of(key), windows) else { return };
        write_delivery(delivered, delivery.known_as.as_deref(), v33, sequence, out.to(link));
        if was_empty {
            self.arm(link);
        }
    }

    /// The ESME answered: the carrier hears the same.
    pub(super) fn on_delivery_answered(
        &mut self,
        now: Now,
        _link: LinkId,
        esme: EsmeId,
        owner: Owner,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let key: DeliveryKey = key_of(owner);
        self.ask_for_end(key);
        if self.records.is_some() && self.answered_at_once(now, esme, key, (pdu, is_ok(pdu)), out) {
            return;
        }
        let Some(mut delivery) = self.deliveries.remove(key) else { return };
        if delivery.origin != Origin::Journal {
            self.retained.release(core::mem::take(&mut delivery.frame));
        }
        if is_ok(pdu)
            && let Some(cells) = self.counters.esmes.get(esme.index())
        {
            if delivery.is_receipt || delivery.is_resent() {
                cells.receipts.bump();
                cells.receipts_by_state.at(usize::from(delivery.state.octet())).bump();
            } else {
                cells.mo.bump();
            }
        }
        if self.records.is_some() && delivery.origin != Origin::Journal {
            match is_ok(pdu) {
                true => self.answered_without_record(now, &delivery),
                false => self.not_kept(now, &delivery, super::answers::status_of(pdu)),
            }
        }
        match delivery.origin {
            Origin::Link(link, sequence) => {
                self.conclude(now, &delivery, (link, sequence), pdu, out);
                self.deliveries.keep(delivery);
            }
            Origin::Shard(from, tag) => {
                let response = self.retained.buffer(pdu.bytes());
                self.deliveries.keep(delivery);
                self.send_mail(now, from, Mail::Delivered { tag, response }, out);
            }
            Origin::Journal => self.kept_answered(now, delivery, super::answers::status_of(pdu)),
        }
        self.pump_waiting(now, esme, out);
    }

    /// The home of an account says what its ESME answered.
    pub(super) fn on_delivered(&mut self, now: Now, tag: Tag, response: Vec<u8>, out: &mut Outbox) {
        let delivery = self.deliveries.remove(key_of_tag(tag));
        if let Some(delivery) = delivery
            && let Origin::Link(link, sequence) = delivery.origin
            && let Some(pdu) = Pdu::whole(&response)
        {
            if delivery.is_receipt {
                self.count_receipt(delivery.carrier, Match::Matched, Some(delivery.state));
            }
            self.conclude(now, &delivery, (link, sequence), &pdu, out);
            self.deliveries.keep(delivery);
        }
        self.retained.reuse(response);
    }

    /// A delivery of a carrier of ours was answered by the ESME.
    fn conclude(
        &mut self,
        now: Now,
        delivery: &Delivery,
        (link, sequence): (LinkId, u32),
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let ok = is_ok(pdu);
        self.settle_entry(delivery, ok);
        if !delivery.is_receipt {
            self.count_mo(delivery.carrier, pdu.header().command_status);
            if ok && let Some(cells) = self.counters.carriers.get(delivery.carrier.index()) {
                cells.mo.bump();
            }
        }
        self.pass_answer(now, delivery, (link, sequence), pdu, out);
    }

    fn settle_entry(&mut self, delivery: &Delivery, ok: bool) {
        let Some(entry) = delivery.entry.filter(|_| delivery.is_final) else { return };
        if ok {
            self.ledger.receipt_done(entry, delivery.destination);
        } else {
            self.ledger.receipt_back(entry, delivery.destination);
        }
    }

    fn pass_answer(
        &mut self,
        now: Now,
        delivery: &Delivery,
        (link, sequence): (LinkId, u32),
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        if self.link(link).is_none() {
            return self.ignored(Ignored::DeliveryCarrierGone);
        }
        let command = delivery.command.response();
        let v33 = self.carriers.get(delivery.carrier.index()).is_some_and(super::mt::is_v33);
        let status = pdu.header().command_status;
        if pdu.command_id() == CommandId::GENERIC_NACK {
            answer_carrier(link, delivery.command, sequence, status, out);
        } else if pdu.command_id() == command && !v33 {
            copy_with_sequence(out.to(link), pdu, sequence);
        } else {
            let mut response = MessageIdResp::parse(pdu);
            response.after = if v33 { &[] } else { response.after };
            response.write(out.to(link), command, status, sequence);
        }
        self.delivery_done(now, link, out);
    }

    /// The session that had a delivery did not answer it in time or is gone: the next one, or back to the carrier.
    pub(super) fn retry_delivery(&mut self, now: Now, owner: Owner, out: &mut Outbox) {
        let key: DeliveryKey = key_of(owner);
        if self.records.is_some() && self.lost_at_once(now, key, out) {
            return;
        }
        let Some(former) = self.deliveries.get(key).map(|delivery| delivery.link) else { return };
        if !self.pass_on(now, key, former, out) {
            self.fail_delivery(now, key, CommandStatus::RECEIVER_TEMPORARY, out);
        }
    }

    /// Gives a delivery whose PDU is here to a session other than `former`; false: there is none with room.
    pub(super) fn pass_on(&mut self, now: Now, key: DeliveryKey, former: LinkId, out: &mut Outbox) -> bool {
        let Some(delivery) = self.deliveries.get_mut(key) else { return false };
        let (esme, written) = (delivery.esme, delivery.written);
        let frame = core::mem::take(&mut delivery.frame);
        let next = Delivered::kept(&frame).and_then(|delivered| {
            let link = self.receiver(esme, written.as_ref(), former, &delivered, out)?;
            Some((delivered, link))
        });
        if let Some((delivered, link)) = &next {
            self.deliver(now, key, *link, delivered, out);
        }
        let goes = next.is_some();
        if let Some(delivery) = self.deliveries.get_mut(key) {
            delivery.frame = frame;
        }
        goes
    }

    /// Nobody took a delivery: its carrier keeps it.
    pub(super) fn fail_delivery(
        &mut self,
        now: Now,
        key: DeliveryKey,
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        if let Some(kept) = self.deliveries.get(key).filter(|delivery| delivery.origin == Origin::Journal) {
            let esme = kept.esme;
            return self.queue_kept(now, esme, key);
        }
        let Some(mut delivery) = self.deliveries.remove(key) else { return };
        self.settle_entry(&delivery, false);
        self.not_kept(now, &delivery, status);
        self.retained.release(core::mem::take(&mut delivery.frame));
        let (origin, carrier, command) = (delivery.origin, delivery.carrier, delivery.command);
        let is_receipt = delivery.is_receipt;
        self.deliveries.keep(delivery);
        let (link, sequence) = match origin {
            Origin::Link(link, sequence) => (link, sequence),
            Origin::Shard(from, tag) => {
                let frame = Vec::new();
                return self.send_mail(now, from, Mail::NotDelivered { tag, status, frame }, out);
            }
            Origin::Journal => return debug_assert!(false, "it waits again"),
        };
        if self.link(link).is_none() {
            return self.ignored(Ignored::DeliveryCarrierGone);
        }
        if !is_receipt {
            self.count_mo(carrier, status);
        }
        self.answer_delivery(now, link, command, sequence, status, out);
    }

    /// Gives what waits for an account to its sessions, in order, as long as there is room.
    #[inline]
    pub(super) fn pump_waiting(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        if self.accounts.get(esme.index()).is_some_and(|account| !account.waiting.is_empty()) {
            self.pump_some(now, esme, out);
        }
    }

    fn pump_some(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        loop {
            let Some(account) = self.accounts.get(esme.index()) else { return };
            let Some(&key) = account.waiting.front() else { return };
            let Some(delivery) = self.deliveries.get_mut(key) else {
                self.drop_first_waiting(esme);
                continue;
            };
            let (origin, until, written) = (delivery.origin, delivery.until, delivery.written);
            let not_before = delivery.not_before;
            if not_before > now.mono {
                return self.tick_later(not_before, Timer::Waiting(esme));
            }
            let frame = core::mem::take(&mut delivery.frame);
            let gone = match origin {
                Origin::Link(link, _) => self.link(link).is_none(),
                Origin::Shard(..) | Origin::Journal => false,
            };
            let over = until <= now.mono || gone;
            let waits = if over { None } else { Delivered::kept(&frame) };
            let next = waits.and_then(|delivered| {
                let link = self.receiver(esme, written.as_ref(), LinkId::default(), &delivered, out)?;
                Some((delivered, link))
            });
            if let Some((delivered, link)) = next {
                self.drop_first_waiting(esme);
                self.deliver(now, key, link, &delivered, out);
            }
            let sent = next.is_some();
            if let Some(delivery) = self.deliveries.get_mut(key) {
                delivery.frame = frame;
            }
            if over && origin == Origin::Journal {
                self.drop_first_waiting(esme);
                if let Some(delivery) = self.deliveries.remove(key) {
                    self.end_delivery(now, delivery, CommandStatus::RECEIVER_TEMPORARY);
                }
            } else if over {
                self.drop_first_waiting(esme);
                self.fail_delivery(now, key, CommandStatus::RECEIVER_TEMPORARY, out);
            } else if !sent {
                return;
            }
        }
    }

    fn drop_first_waiting(&mut self, esme: EsmeId) {
        if let Some(account) = self.accounts.get_mut(esme.index()) {
            account.waiting.pop_front();
        }
    }

    pub(super) fn tick_waiting(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        self.pump_waiting(now, esme, out);
        let Some(&first) = self.accounts.get(esme.index()).and_then(|account| account.waiting.front()) else {
            return;
        };
        let Some(delivery) = self.deliveries.get(first) else { return };
        let until = delivery.until;
        let unwritten = delivery.written.is_some_and(|(link, mark)| !out.is_flushed(link, mark));
        let at = if unwritten {
            now.mono.after(SOON)
        } else if delivery.origin == Origin::Journal {
            now.mono.after(RECEIPT_AGAIN)
        } else {
            until
        };
        self.tick_later(at.min(until), Timer::Waiting(esme));
    }

    /// The last receiving session of an account is gone: the carriers keep what waited.
    pub(super) fn refuse_waiting(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        let Some(account) = self.accounts.get_mut(esme.index()) else { return };
        let waiting = core::mem::take(&mut account.waiting);
        let is_kept = |key: &DeliveryKey| {
            self.deliveries.get(*key).is_some_and(|delivery| delivery.origin == Origin::Journal)
        };
        let (kept, others): (VecDeque<DeliveryKey>, VecDeque<DeliveryKey>) =
            waiting.into_iter().partition(is_kept);
        if let Some(account) = self.accounts.get_mut(esme.index()) {
            account.waiting = kept;
        }
        for key in others {
            self.fail_delivery(now, key, CommandStatus::RECEIVER_TEMPORARY, out);
        }
    }
}

fn is_ok(response: &Pdu<'_>) -> bool {
    response.header().command_status == CommandStatus::OK && response.command_id() != CommandId::GENERIC_NACK
}

/// Whether a 3.3 peer can be given it.
fn fits_v33(body: &Body<'_>) -> bool {
    match body {
        Body::Sm(sm) => sm.content.tlvs.bytes().is_empty() || convert::fits_v33(sm).is_ok(),
        Body::Data(data) => convert::sm_from_data(data).is_ok_and(|sm| convert::fits_v33(&sm).is_ok()),
    }
}

/// Appends a delivery as this ESME takes it: with the id that it was given, without TLVs for a 3.3 peer.
fn write_delivery(delivered: &Delivered<'_>, own: Option<&[u8]>, v33: bool, sequence: u32, to: &mut Vec<u8>) {
    let Some(own) = own else { return write_as_is(delivered, v33, sequence, to) };
    if !v33 {
        return write_with_id(delivered, own, sequence, to);
    }
    let mut rewritten = Vec::new();
    write_with_id(delivered, own, sequence, &mut rewritten);
    if let Some(delivered) = Delivered::kept(&rewritten) {
        write_as_is(&delivered, v33, sequence, to);
    }
}

fn write_with_id(delivered: &Delivered<'_>, own: &[u8], sequence: u32, to: &mut Vec<u8>) {
    match &delivered.body {
        Body::Sm(sm) => receipt::rewrite_id_of(&delivered.pdu, sm, delivered.id, own, sequence, to),
        Body::Data(data) => receipt::rewrite_data_id(data, own, sequence, to),
    }
}

fn write_as_is(delivered: &Delivered<'_>, v33: bool, sequence: u32, to: &mut Vec<u8>) {
    let converted = match &delivered.body {
        Body::Sm(sm) if v33 && !sm.content.tlvs.bytes().is_empty() => {
            convert::write_v33(sm, CommandId::DELIVER_SM, sequence, to)
        }
        Body::Data(data) if v33 => convert::write_v33_from_data(data, CommandId::DELIVER_SM, sequence, to),
        Body::Sm(_) | Body::Data(_) => {
            copy_with_sequence(to, &delivered.pdu, sequence);
            Ok(())
        }
    };
    debug_assert!(converted.is_ok(), "asked before");
}

#[cfg(test)]
mod tests {
    use super::super::links::LinkSlot;

    #[test]
    fn a_link_slot_stays_small() {
        // Ten thousand idle binds must stay within 4 KiB each.
        assert!(size_of::<LinkSlot>() <= 768, "{}", size_of::<LinkSlot>());
    }
}
