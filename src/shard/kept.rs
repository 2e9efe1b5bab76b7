//! Receipts and MO that the journal has: the carrier is answered when they are safe, the account gets them when it can.
//!
//! Owns: nothing of its own. Takes: receipts of messages that have records, MO that nobody takes and whose route says
//! `nobody = "queue"`. Gives: ESME_ROK to the carrier once the record survives what the account wants, then the delivery
//! to a session of the account, in order, again and again until one has answered it or its time is over. Never: gives
//! one to the account before the response of its message, which has an earlier record.

use super::Shard;
use super::message::{Delivery, DeliveryKey, Origin};
use super::mo::Delivered;
use super::port::Outbox;
use super::records::{End, Held};
use super::timers::Timer;
use crate::config::Config;
use crate::ids::EsmeId;
use crate::journal::{Lsn, Record};
use crate::ledger::OpenKey;
use crate::limits::{MESSAGE_ID_MAX, RECEIPT_AGAIN};
use crate::smpp::receipt::Receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::status::{CommandStatus, StatusClass};
use crate::time::Now;

const LATER: CommandStatus = CommandStatus::RECEIVER_TEMPORARY;

/// The record of a delivery that is to be kept.
pub(super) fn record_of<'a>(delivery: &'a Delivery, config: &'a Config) -> Record<'a> {
    let carrier = config.carriers.get(delivery.carrier.index()).map_or("", |carrier| carrier.name.as_str());
    let (carrier, pdu) = (carrier.as_bytes(), delivery.frame.as_slice());
    if delivery.is_receipt {
        return Record::DlrIn { carrier, pdu };
    }
    let esme = config.esmes.get(delivery.esme.index()).map_or("", |esme| esme.name.as_str());
    Record::MoIn { carrier, esme: esme.as_bytes(), pdu }
}

/// True when a receipt names its message otherwise than the response did.
pub(super) fn differs(receipt: &Receipt<'_>, id: &[u8]) -> bool {
    let other = |named: Option<&[u8]>| id.len() <= MESSAGE_ID_MAX && named.is_some_and(|named| named != id);
    other(receipt.tlv_id) || other(receipt.text.id)
}

impl Shard {
    /// Takes a delivery into the journal, for an account at home here. It comes back when it is none of the journal's
    /// business: its message has no records, or there is no room for one.
    pub(super) fn keep_delivery(
        &mut self,
        now: Now,
        mut delivery: Delivery,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<Option<Delivery>, CommandStatus> {
        let Self { records, accounts, config, own_ids, .. } = self;
        let Some(records) = records else { return Ok(Some(delivery)) };
        let Some(account) = accounts.get(delivery.esme.index()) else { return Err(LATER) };
        if delivery.is_receipt {
            let Some(open) = records.open.get(delivery.record) else { return Ok(Some(delivery)) };
            delivery.key = open.key;
        } else {
            delivery.key = own_ids.next(now.wall);
        }
        let waiting = account.settings.waiting;
        if account.waiting.len() >= waiting.count_max as usize {
            return Err(LATER);
        }
        let frame = records.frames.copy(delivered.pdu.bytes()).ok_or(LATER)?;
        delivery.frame = frame;
        let record = record_of(&delivery, config);
        let Some(lsn) = records.pen.append(now, delivery.key, &record, None) else {
            records.frames.release(core::mem::take(&mut delivery.frame));
            let behind = records.open.get(delivery.record).map(|open| open.lsn);
            // Its message's response may still wait for its record.
            let early = behind.is_some_and(|lsn| !self.is_safe(delivery.esme, lsn));
            return if early || !delivery.is_receipt { Err(LATER) } else { Ok(Some(delivery)) };
        };
        (delivery.lsn, delivery.origin_lsn) = (lsn, lsn);
        delivery.came = now.wall;
        delivery.until = now.mono.after(waiting.keep);
        let esme = delivery.esme;
        let key = self.deliveries.insert(delivery);
        if self.is_safe(esme, lsn) {
            self.let_go(now, key, out);
        } else {
            self.hold(esme, lsn, Held::Delivery(key));
        }
        Ok(None)
    }

    /// The record of a delivery is safe: the carrier hears so, the account is next.
    pub(super) fn let_go(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        let origin = core::mem::replace(&mut delivery.origin, Origin::Journal);
        let (command, esme, carrier) = (delivery.command, delivery.esme, delivery.carrier);
        let (is_receipt, is_final, destination) =
            (delivery.is_receipt, delivery.is_final, delivery.destination);
        let entry = delivery.entry.take();
        // The response of its message has an earlier record: it is in its stream by now.
        delivery.written = delivery.written.map(|(link, _)| (link, out.position(link)));
        match origin {
            Origin::Link(link, sequence) => {
                if let Some(entry) = entry.filter(|_| is_final) {
                    self.ledger.receipt_done(entry, destination);
                }
                if !is_receipt {
                    self.count_mo(carrier, CommandStatus::OK);
                    if let Some(cells) = self.counters.carriers.get(carrier.index()) {
                        cells.mo.bump();
                    }
                }
                if self.link(link).is_some() {
                    self.answer_delivery(now, link, command, sequence, CommandStatus::OK, out);
                }
            }
            Origin::Shard(from, tag) => {
                let mut response = self.retained.buffer(&[]);
                let (command, status) = (command.response(), CommandStatus::OK);
                MessageIdResp::new(&[]).write(&mut response, command, status, 1);
                self.send_mail(now, from, super::mail::Mail::Delivered { tag, response }, out);
            }
            Origin::Journal => {}
        }
        self.queue_kept(now, esme, key);
        self.pump_waiting(now, esme, out);
    }

    /// Puts a kept delivery into its account's queue, in the order in which they came.
    pub(super) fn queue_kept(&mut self, now: Now, esme: EsmeId, key: DeliveryKey) {
        let Self { accounts, deliveries, .. } = self;
        let Some(account) = accounts.get_mut(esme.index()) else { return };
        let lsn = |key: &DeliveryKey| deliveries.get(*key).map_or(Lsn::NONE, |delivery| delivery.origin_lsn);
        let own = lsn(&key);
        // Nearly always at one of the ends.
        let at = match account.waiting.back() {
            Some(last) if lsn(last) > own => {
                account.waiting.iter().take_while(|other| lsn(other) <= own).count()
            }
            Some(_) | None => account.waiting.len(),
        };
        account.waiting.insert(at, key);
        self.tick_later(now.mono.after(RECEIPT_AGAIN), Timer::Waiting(esme));
    }

    /// The ESME answered a kept delivery.
    pub(super) fn kept_answered(&mut self, now: Now, mut delivery: Delivery, status: CommandStatus) {
        let again = matches!(status.class(), StatusClass::Transient | StatusClass::Throttling);
        if again && delivery.until > now.mono {
            delivery.not_before = now.mono.after(RECEIPT_AGAIN);
            let esme = delivery.esme;
            let key = self.deliveries.insert(delivery);
            return self.queue_kept(now, esme, key);
        }
        self.end_delivery(now, delivery, status);
    }

    /// It is over with a kept delivery: answered, or its time is over.
    pub(super) fn end_delivery(&mut self, now: Now, mut delivery: Delivery, status: CommandStatus) {
        let frame = core::mem::take(&mut delivery.frame);
        let Some(records) = &mut self.records else { return };
        let mut last = false;
        if delivery.is_receipt
            && delivery.is_final
            && let Some(open) = records.open.get_mut(delivery.record)
        {
            open.awaited = open.awaited.saturating_sub(1);
            last = open.awaited == 0;
        }
        if last {
            let v33 = self.carriers.get(delivery.carrier.index()).is_some_and(super::mt::is_v33);
            let receipt = Delivered::kept(&frame).and_then(|delivered| delivered.receipt(v33));
            let error = receipt.and_then(|receipt| receipt.text.err).unwrap_or_default();
            self.close_message(now, delivery.record, End::by_receipt(delivery.state, error));
        } else if !delivery.is_receipt {
            let over = Record::Tombstone { reason: crate::journal::record::NO_REASON };
            self.close(now, delivery.key, &over, None);
        } else if records.open.get(delivery.record).is_some() {
            let (of, at, state) = (delivery.origin_lsn, delivery.lsn, delivery.state.octet());
            self.close(now, delivery.key, &Record::DlrOut { of, at, state, status: status.0 }, Some(at));
        }
        if let Some(records) = &mut self.records {
            records.frames.release(frame);
        }
    }

    /// Without room for it the record is left out, and the delivery comes once more after a restart.
    fn close(&mut self, now: Now, key: u64, record: &Record<'_>, of: Option<Lsn>) {
        let Some(records) = &mut self.records else { return };
        if records.pen.append(now, key, record, of).is_none() {
            self.counters.journal_left_out.bump();
        }
    }

    /// Nobody takes an MO and its route wants it kept: for its first account.
    pub(super) fn queue_mo(
        &mut self,
        now: Now,
        mut delivery: Delivery,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<(), CommandStatus> {
        delivery.queued = true;
        let home = self.position.homes.of_esme(delivery.esme);
        if home == self.position.shard {
            return match self.keep_delivery(now, delivery, delivered, out)? {
                None => Ok(()),
                Some(_) => Err(LATER),
            };
        }
        self.give_away(now, home, delivery, delivered, out)
    }

    /// True when this receipt's message has records here.
    pub(super) fn has_records(&self, open: OpenKey) -> bool {
        self.records.as_ref().is_some_and(|records| records.open.get(open).is_some())
    }
}
