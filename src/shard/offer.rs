//! Deliveries: a receipt or MO to a session of its account, and the ESME's answer back to the carrier.
//!
//! Owns: nothing of its own. Takes: deliveries, the answers of ESMEs, sessions that come and go. Gives: each delivery
//! exactly one answer to its carrier: the ESME's own, or ESME_RX_T_APPN. Never: ESME_ROK before the ESME's.

use super::Shard;
use super::message::{Delivery, DeliveryKey, key_of, owner_of};
use super::mo::{Delivered, answer_carrier};
use super::port::Outbox;
use super::timers::Timer;
use crate::counters::Ignored;
use crate::esme::settings::ReceiptsTo;
use crate::ids::{EsmeId, LinkId};
use crate::ledger::EntryKey;
use crate::limits::{WAITING_MAX, WAITING_TIME};
use crate::session::Owner;
use crate::smpp::command::CommandId;
use crate::smpp::convert;
use crate::smpp::frame::{Pdu, copy_with_sequence};
use crate::smpp::receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Now};

/// How soon a delivery is looked at again that waits for its response to be written.
const SOON: Duration = Duration::from_millis(1);

impl Shard {
    /// Gives a delivery to a session of its account, or lets it wait for one that is bound and has no room.
    pub(super) fn offer(
        &mut self,
        now: Now,
        mut delivery: Delivery,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), CommandStatus> {
        const LATER: CommandStatus = CommandStatus::RECEIVER_TEMPORARY;
        let (esme, entry) = (delivery.esme, delivery.entry);
        let account = self.accounts.get(esme.index()).ok_or(LATER)?;
        let receivers = account.receivers();
        if receivers == 0 {
            return Err(LATER);
        }
        if !fits_v33(pdu) && !self.receives_long(esme) {
            return Err(CommandStatus::INVALID_MESSAGE_LENGTH);
        }
        let idle = self.accounts.get(esme.index()).is_some_and(|account| account.waiting.is_empty());
        if idle && let Some(link) = self.receiver(esme, entry, LinkId::default(), pdu, out) {
            if receivers > 1 {
                // A second session may have to be tried. Without room for the copy there is no second try.
                delivery.frame = self.retained.copy(pdu.bytes()).unwrap_or_default();
            }
            let key = self.deliveries.insert(delivery);
            self.deliver(now, key, link, pdu, out);
            return Ok(());
        }
        if self.accounts.get(esme.index()).is_some_and(|account| account.waiting.len() >= WAITING_MAX) {
            return Err(LATER);
        }
        delivery.frame = self.retained.copy(pdu.bytes()).ok_or(LATER)?;
        delivery.until = now.mono.after(WAITING_TIME);
        let key = self.deliveries.insert(delivery);
        self.wait(now, esme, key);
        Ok(())
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
            let slot = links.get(link.index()).and_then(Option::as_ref).filter(|slot| slot.id == link);
            slot.is_some_and(|slot| !slot.session.is_v33())
        };
        accounts.get_mut(esme.index()).and_then(|account| account.next_receiver(receives)).is_some()
    }

    /// Where the response of a receipt's message ends, and in which stream.
    fn written_at(&self, entry: Option<EntryKey>) -> Option<(LinkId, u64)> {
        entry.and_then(|key| self.ledger.get(key)).map(|entry| (entry.link, entry.mark))
    }

    /// A session of the account that may be given this now, other than `not`.
    fn receiver(
        &mut self,
        esme: EsmeId,
        entry: Option<EntryKey>,
        not: LinkId,
        pdu: &Pdu<'_>,
        out: &Outbox,
    ) -> Option<LinkId> {
        let written = self.written_at(entry);
        let fits = fits_v33(pdu);
        let Self { accounts, links, .. } = self;
        let account = accounts.get_mut(esme.index())?;
        let usable = |link: LinkId| {
            let slot = links.get(link.index()).and_then(Option::as_ref).filter(|slot| slot.id == link);
            // Not before the message's response was written, unless it goes behind it in the same stream.
            let after = written.is_none_or(|(at, mark)| at == link || out.is_flushed(at, mark));
            link != not
                && after
                && !out.is_full(link)
                && slot.is_some_and(|slot| {
                    slot.session.may_send() && !slot.closing && (fits || !slot.session.is_v33())
                })
        };
        if account.settings.receipts == ReceiptsTo::Submitting
            && let Some((at, _)) = written
            && usable(at)
        {
            return Some(at);
        }
        account.next_receiver(usable)
    }

    fn deliver(&mut self, now: Now, key: DeliveryKey, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Self { links, windows, deliveries, ledger, .. } = self;
        let (Some(delivery), Some(Some(slot))) = (deliveries.get_mut(key), links.get_mut(link.index()))
        else {
            return;
        };
        delivery.link = link;
        let v33 = slot.session.is_v33();
        let command = if v33 { CommandId::DELIVER_SM } else { pdu.command_id() };
        let was_empty = slot.session.window().used() == 0;
        let Some(sequence) = slot.session.send(now.mono, command, owner_of(key), windows) else { return };
        let entry = delivery.entry.and_then(|entry| ledger.get(entry)).filter(|_| delivery.other_id);
        let own = entry.map(|entry| entry.given.text().unwrap_or_else(|| entry.id.clone()));
        write_delivery(pdu, own.as_deref(), v33, sequence, out.to(link));
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
        let Some(delivery) = self.deliveries.remove(key_of(owner)) else { return };
        let ok =
            pdu.header().command_status == CommandStatus::OK && pdu.command_id() != CommandId::GENERIC_NACK;
        self.settle_entry(&delivery, ok);
        if ok && let Some(cells) = self.counters.esmes.get(esme.index()) {
            if delivery.entry.is_some() {
                cells.receipts.bump();
                cells.receipts_by_state.at(usize::from(delivery.state.octet())).bump();
            } else {
                cells.mo.bump();
            }
        }
        if delivery.entry.is_none() {
            self.count_mo(delivery.carrier, pdu.header().command_status);
        }
        if ok
            && delivery.entry.is_none()
            && let Some(cells) = self.counters.carriers.get(delivery.carrier.index())
        {
            cells.mo.bump();
        }
        self.pass_answer(now, &delivery, pdu, out);
        self.retained.release(delivery.frame);
        self.pump_waiting(now, esme, out);
    }

    fn settle_entry(&mut self, delivery: &Delivery, ok: bool) {
        let Some(entry) = delivery.entry.filter(|_| delivery.is_final) else { return };
        if ok {
            self.ledger.receipt_done(entry);
        } else if let Some(entry) = self.ledger.get_mut(entry) {
            entry.with_esme = false;
        }
    }

    fn pass_answer(&mut self, now: Now, delivery: &Delivery, pdu: &Pdu<'_>, out: &mut Outbox) {
        let (link, sequence) = (delivery.carrier_link, delivery.carrier_sequence);
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
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        let (esme, entry, former) = (delivery.esme, delivery.entry, delivery.link);
        let frame = core::mem::take(&mut delivery.frame);
        let pdu = Pdu::whole(&frame);
        let next = pdu.and_then(|pdu| Some((pdu, self.receiver(esme, entry, former, &pdu, out)?)));
        if let Some((pdu, link)) = next {
            self.deliver(now, key, link, &pdu, out);
        }
        let moved = next.is_some();
        if let Some(delivery) = self.deliveries.get_mut(key) {
            delivery.frame = frame;
        }
        if !moved {
            self.fail_delivery(now, key, out);
        }
    }

    fn fail_delivery(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Some(delivery) = self.deliveries.remove(key) else { return };
        self.settle_entry(&delivery, false);
        self.retained.release(delivery.frame);
        if self.link(delivery.carrier_link).is_none() {
            return self.ignored(Ignored::DeliveryCarrierGone);
        }
        if delivery.entry.is_none() {
            self.count_mo(delivery.carrier, CommandStatus::RECEIVER_TEMPORARY);
        }
        self.refuse_delivery(now, delivery.carrier_link, delivery.command, delivery.carrier_sequence, out);
    }

    /// Gives what waits for an account to its sessions, in order, as long as there is room.
    pub(super) fn pump_waiting(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        loop {
            let Some(account) = self.accounts.get(esme.index()) else { return };
            let Some(&key) = account.waiting.front() else { return };
            let Some(delivery) = self.deliveries.get_mut(key) else {
                self.drop_first_waiting(esme);
                continue;
            };
            let (carrier_link, until, entry) = (delivery.carrier_link, delivery.until, delivery.entry);
            let frame = core::mem::take(&mut delivery.frame);
            let over = until <= now.mono || self.link(carrier_link).is_none();
            let pdu = Pdu::whole(&frame).filter(|_| !over);
            let next =
                pdu.and_then(|pdu| Some((pdu, self.receiver(esme, entry, LinkId::default(), &pdu, out)?)));
            if let Some((pdu, link)) = next {
                self.drop_first_waiting(esme);
                self.deliver(now, key, link, &pdu, out);
            }
            let sent = next.is_some();
            if let Some(delivery) = self.deliveries.get_mut(key) {
                delivery.frame = frame;
            }
            if over {
                self.drop_first_waiting(esme);
                self.fail_delivery(now, key, out);
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
        let (entry, until) = (delivery.entry, delivery.until);
        let unwritten = self.written_at(entry).is_some_and(|(link, mark)| !out.is_flushed(link, mark));
        let at = if unwritten { now.mono.after(SOON) } else { until };
        self.tick_later(at.min(until), Timer::Waiting(esme));
    }

    /// The last receiving session of an account is gone: the carriers keep what waited.
    pub(super) fn refuse_waiting(&mut self, now: Now, esme: EsmeId, out: &mut Outbox) {
        let Some(account) = self.accounts.get_mut(esme.index()) else { return };
        for key in core::mem::take(&mut account.waiting) {
            self.fail_delivery(now, key, out);
        }
    }
}

/// Whether a 3.3 peer can be given it.
fn fits_v33(pdu: &Pdu<'_>) -> bool {
    match Delivered::parse(pdu) {
        Ok(Delivered::Sm(sm)) => sm.content.tlvs.bytes().is_empty() || convert::fits_v33(&sm).is_ok(),
        Ok(Delivered::Data(data)) => {
            convert::sm_from_data(&data).is_ok_and(|sm| convert::fits_v33(&sm).is_ok())
        }
        Err(_) => false,
    }
}

/// Appends a delivery as this ESME takes it: with the id that it was given, without TLVs for a 3.3 peer.
fn write_delivery(pdu: &Pdu<'_>, own: Option<&[u8]>, v33: bool, sequence: u32, to: &mut Vec<u8>) {
    let Some(own) = own else { return write_as_is(pdu, v33, sequence, to) };
    let command = pdu.command_id();
    let mut rewritten = Vec::new();
    let target = if v33 { &mut rewritten } else { &mut *to };
    match Delivered::parse(pdu) {
        Ok(Delivered::Sm(sm)) => receipt::rewrite_id(&sm, own, command, sequence, target),
        Ok(Delivered::Data(data)) => receipt::rewrite_data_id(&data, own, sequence, target),
        Err(_) => copy_with_sequence(target, pdu, sequence),
    }
    if v33 && let Some(pdu) = Pdu::whole(&rewritten) {
        write_as_is(&pdu, v33, sequence, to);
    }
}

fn write_as_is(pdu: &Pdu<'_>, v33: bool, sequence: u32, to: &mut Vec<u8>) {
    let converted = match Delivered::parse(pdu) {
        Ok(Delivered::Sm(sm)) if v33 && !sm.content.tlvs.bytes().is_empty() => {
            convert::write_v33(&sm, CommandId::DELIVER_SM, sequence, to)
        }
        Ok(Delivered::Data(data)) if v33 => {
            convert::write_v33_from_data(&data, CommandId::DELIVER_SM, sequence, to)
        }
        Ok(_) | Err(_) => {
            copy_with_sequence(to, pdu, sequence);
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
