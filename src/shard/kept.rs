//! Receipts and MO that the journal has: the carrier is answered when they are safe, the account gets them when it can.
//!
//! Owns: nothing of its own. Takes: receipts of messages that have records, MO that nobody takes and whose route says
//! `nobody = "queue"`. Gives: ESME_ROK to the carrier once the record survives what the account wants, then the delivery
//! to a session of the account, in order, again and again until one has answered it or its time is over. Never: gives
//! one to the account before the response of its message, which has an earlier record.

use super::Shard;
use super::at_once::{Asker, AtOnce};
use super::mail::Mail;
use super::message::{Delivery, DeliveryKey, Origin};
use super::mo::Delivered;
use super::port::Outbox;
use super::records::Held;
use super::timers::Timer;
use crate::config::Config;
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::journal::record::NO_REASON;
use crate::journal::{Lsn, Record};
use crate::ledger::{AddressTail, End, ErrorText, OpenKey};
use crate::limits::{MESSAGE_ID_MAX, RECEIPT_AGAIN};
use crate::smpp::message_state::MessageState;
use crate::smpp::receipt::Receipt;
use crate::smpp::status::{CommandStatus, StatusClass};
use crate::time::Now;

const LATER: CommandStatus = CommandStatus::RECEIVER_TEMPORARY;

/// The record of a delivery that is to be kept.
pub(super) fn record_of<'a>(delivery: &'a Delivery, config: &'a Config) -> Record<'a> {
    let (carrier, pdu) = (config.carrier_name(delivery.carrier).as_bytes(), delivery.frame.as_slice());
    if delivery.is_receipt {
        return Record::DlrIn { carrier, pdu };
    }
    Record::MoIn { carrier, esme: config.esme_name(delivery.esme).as_bytes(), pdu }
}

/// True when a receipt names its message otherwise than the response did.
pub(super) fn differs(receipt: &Receipt<'_>, id: &[u8]) -> bool {
    let other = |named: Option<&[u8]>| id.len() <= MESSAGE_ID_MAX && named.is_some_and(|named| named != id);
    other(receipt.tlv_id) || other(receipt.text.id)
}

/// Where the journal has a delivery.
struct OwnRecord {
    is_receipt: bool,
    key: u64,
    of: Lsn,
    at: Lsn,
}

impl OwnRecord {
    const fn of(delivery: &Delivery) -> Self {
        let (of, at) = (delivery.origin_lsn, delivery.lsn);
        Self { is_receipt: delivery.is_receipt, key: delivery.key, of, at }
    }
}

impl Delivery {
    /// What a receipt tells; of one that ends nothing and names no state, that its message is under way.
    const fn says(&self) -> MessageState {
        if self.is_final || !self.state.is_final() { self.state } else { MessageState::Enroute }
    }
}

/// Behind the response of its message, which has an earlier record: it is in its stream by now.
fn behind_response(written: Option<(LinkId, u64)>, out: &Outbox) -> Option<(LinkId, u64)> {
    written.map(|(link, _)| (link, out.position(link)))
}

impl Shard {
    /// Takes a delivery into the journal, for an account at home here. It comes back when it is none of the journal's
    /// business: its message has no records, or there is no room for one.
    pub(super) fn keep_delivery(
        &mut self,
        now: Now,
        mut delivery: Box<Delivery>,
        delivered: &Delivered<'_>,
        out: &mut Outbox,
    ) -> Result<Option<Box<Delivery>>, CommandStatus> {
        if delivery.is_receipt {
            let records = self.records.as_ref();
            let Some(open) = records.and_then(|records| records.open.get(delivery.record)) else {
                return self.behind_responses(delivery, delivered);
            };
            if open.lsn == Lsn::NONE {
                // The record of its message comes first.
                return Err(LATER);
            }
            delivery.key = open.key;
            delivery.number = Some(AddressTail::of(delivered.source()));
            if let Some(again) = self.go_again(now, &delivery) {
                let (stored, lsn) = again?;
                delivery.again = Some(stored);
                self.keep_until_safe(now, delivery, lsn, out);
                return Ok(None);
            }
        }
        // Behind those that wait for their turn also when it will need a record: theirs may come to need one.
        let behind = self.accounts.get(delivery.esme.index()).is_some_and(|account| account.turns > 0);
        let at_once = delivery.is_receipt && (behind || self.may_be_at_once(now, &delivery));
        let Self { records, accounts, config, own_ids, .. } = self;
        let Some(records) = records else { return Ok(Some(delivery)) };
        let Some(account) = accounts.get(delivery.esme.index()) else { return Err(LATER) };
        let waiting = account.settings.waiting;
        if !delivery.is_receipt {
            delivery.key = own_ids.next(now.wall);
        }
        if account.waiting.len() >= waiting.count_max as usize {
            self.deliveries.keep(delivery);
            return Err(LATER);
        }
        delivery.frame = records.frames.copy(delivered.pdu.bytes()).ok_or(LATER)?;
        delivery.came = now.wall;
        delivery.until = now.mono.after(waiting.keep);
        if at_once {
            self.begin_at_once(now, delivery, out);
            return Ok(None);
        }
        let record = record_of(&delivery, config);
        let Some(lsn) = records.pen.append(now, delivery.key, &record, None) else {
            records.frames.release(core::mem::take(&mut delivery.frame));
            let behind = records.open.get(delivery.record).map(|open| open.lsn);
            // Its message's response may still wait for its record.
            let early = behind.is_some_and(|lsn| !self.may_go(delivery.esme, lsn));
            if early || !delivery.is_receipt {
                return Err(LATER);
            }
            delivery.written = behind_response(delivery.written, out);
            return Ok(Some(delivery));
        };
        (delivery.lsn, delivery.origin_lsn) = (lsn, lsn);
        self.keep_until_safe(now, delivery, lsn, out);
        Ok(None)
    }

    /// A receipt of a message without a record: it is relayed, behind what waits for records now, which may be the response
    /// of its message.
    fn behind_responses(
        &mut self,
        mut delivery: Box<Delivery>,
        delivered: &Delivered<'_>,
    ) -> Result<Option<Box<Delivery>>, CommandStatus> {
        let esme = delivery.esme;
        let (Some(last), Some(records)) = (self.last_held(esme), &mut self.records) else {
            return Ok(Some(delivery));
        };
        delivery.frame = records.frames.copy(delivered.pdu.bytes()).ok_or(LATER)?;
        let key = self.deliveries.insert(delivery);
        self.hold(esme, last, Held::Relay(key));
        Ok(None)
    }

    pub(super) fn keep_until_safe(&mut self, now: Now, delivery: Box<Delivery>, lsn: Lsn, out: &mut Outbox) {
        let esme = delivery.esme;
        let key = self.deliveries.insert(delivery);
        // The response of its message goes first.
        if self.may_go(esme, lsn) {
            self.let_go(now, key, self.is_safe(esme, lsn), out);
        } else {
            self.hold_delivery(esme, lsn, key);
        }
    }

    /// A delivery waits for its record; those of its account that come meanwhile go behind it.
    pub(super) fn hold_delivery(&mut self, esme: EsmeId, lsn: Lsn, key: DeliveryKey) {
        let Some(account) = self.accounts.get_mut(esme.index()) else { return };
        account.held += 1;
        self.hold(esme, lsn, Held::Delivery(esme, key));
    }

    /// The record of a delivery is safe, or will never be: the carrier hears so and the account is next, or the carrier hears
    /// what the account says.
    pub(super) fn let_go(&mut self, now: Now, key: DeliveryKey, safe: bool, out: &mut Outbox) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        let with_esme = matches!(delivery.at_once, AtOnce::WithEsme | AtOnce::Unsafe);
        if !safe && delivery.again.is_none() && delivery.origin != Origin::Journal {
            if with_esme {
                delivery.at_once = AtOnce::Unsafe;
                return;
            }
            delivery.at_once = AtOnce::No;
            return self.relay_kept(now, key, out);
        }
        let asker = Asker::of(delivery);
        (delivery.origin, delivery.entry, delivery.at_once) = (Origin::Journal, None, AtOnce::No);
        let (esme, carrier, is_receipt, again) =
            (delivery.esme, delivery.carrier, delivery.is_receipt, delivery.again);
        delivery.written = behind_response(delivery.written, out);
        if matches!(asker.origin, Origin::Link(..)) && !is_receipt {
            self.count_mo(carrier, CommandStatus::OK);
            if let Some(cells) = self.counters.carriers.get(carrier.index()) {
                cells.mo.bump();
            }
        }
        self.answer_asker(now, asker, out);
        if with_esme {
            return;
        }
        if let Some(stored) = again {
            self.deliveries.end(key);
            if let Some(records) = &mut self.records {
                records.stored.safe(stored);
            }
            return;
        }
        self.queue_kept(now, esme, key);
        self.pump_waiting(now, esme, out);
    }

    /// A delivery that has no record, or waits for one while nothing can be promised: its carrier hears what its account says.
    pub(super) fn relay_kept(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Some(mut delivery) = self.deliveries.remove(key) else { return };
        let frame = core::mem::take(&mut delivery.frame);
        delivery.written = behind_response(delivery.written, out);
        let (origin, command, esme) = (delivery.origin, delivery.command, delivery.esme);
        let (entry, destination) = (delivery.entry.filter(|_| delivery.is_final), delivery.destination);
        let (record, carrier) = (OwnRecord::of(&delivery), delivery.carrier);
        let offered = match Delivered::kept(&frame) {
            Some(delivered) if self.is_own(esme) => self.offer(now, delivery, &delivered, out),
            _ => Err(LATER),
        };
        if let Some(records) = &mut self.records {
            records.frames.release(frame);
        }
        let Err(status) = offered else { return };
        self.close_record(now, &record, MessageState::Enroute, status);
        match origin {
            Origin::Link(link, sequence) => {
                if let Some(entry) = entry {
                    self.ledger.receipt_back(entry, destination);
                }
                if !record.is_receipt {
                    self.count_mo(carrier, status);
                }
                if self.link(link).is_some() {
                    self.answer_delivery(now, link, command, sequence, status, out);
                }
            }
            Origin::Shard(from, tag) => {
                self.send_mail(now, from, Mail::NotDelivered { tag, status, frame: Vec::new() }, out);
            }
            Origin::Journal => {}
        }
    }

    /// A delivery went the way of one without a record, and its account did not take it: its carrier sends it again.
    pub(super) fn not_kept(&mut self, now: Now, delivery: &Delivery, status: CommandStatus) {
        // That ends nothing.
        self.close_record(now, &OwnRecord::of(delivery), MessageState::Enroute, status);
    }

    /// The record of a delivery is not needed any more. `state`: what the account was told; one that is not final ends
    /// nothing.
    fn close_record(&mut self, now: Now, record: &OwnRecord, state: MessageState, status: CommandStatus) {
        let OwnRecord { is_receipt, key, of, at } = *record;
        if at == Lsn::NONE {
            return;
        }
        if is_receipt {
            let out = Record::DlrOut { of, at, state: state.octet(), status: status.0 };
            self.close(now, key, &out, Some(at));
        } else {
            self.close(now, key, &Record::Tombstone { reason: NO_REASON }, None);
        }
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
    pub(super) fn kept_answered(&mut self, now: Now, mut delivery: Box<Delivery>, status: CommandStatus) {
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
    pub(super) fn end_delivery(&mut self, now: Now, mut delivery: Box<Delivery>, status: CommandStatus) {
        let frame = core::mem::take(&mut delivery.frame);
        let Some(records) = &mut self.records else { return };
        let (mut last, mut ours) = (false, None);
        if delivery.is_receipt
            && delivery.is_final
            && let Some(open) = records.open.get_mut(delivery.record)
        {
            let source = || Delivered::kept(&frame).map(|delivered| AddressTail::of(delivered.source()));
            open.ends_for(delivery.number.or_else(source));
            last = open.awaited == 0;
            ours = open.end.take();
        }
        if let (true, Some(end)) = (last, ours) {
            self.close_message(now, delivery.record, *end);
        } else if last {
            let error = delivery.error.take().unwrap_or_else(|| self.error_in(delivery.carrier, &frame));
            self.close_message(now, delivery.record, End::by_receipt(delivery.state, &error));
        } else if !delivery.is_receipt || records.open.get(delivery.record).is_some() {
            self.close_record(now, &OwnRecord::of(&delivery), delivery.says(), status);
        }
        if let Some(records) = &mut self.records {
            records.frames.release(frame);
        }
        self.deliveries.keep(delivery);
    }

    /// The error of a receipt that came from elsewhere, or in an earlier run.
    fn error_in(&self, carrier: CarrierId, frame: &[u8]) -> ErrorText {
        let v33 = self.carriers.get(carrier.index()).is_some_and(super::mt::is_v33);
        let receipt = Delivered::kept(frame).and_then(|delivered| delivered.receipt(v33));
        End::error(receipt.and_then(|receipt| receipt.text.err).unwrap_or_default())
    }

    /// The ESME has answered what the journal could not promise to keep: a message is over all the same, and so is the
    /// record, when there is one.
    pub(super) fn answered_without_record(&mut self, now: Now, delivery: &Delivery) {
        let open = self.records.as_mut().and_then(|records| records.open.get_mut(delivery.record));
        let last = open.filter(|_| delivery.is_receipt && delivery.is_final).is_some_and(|open| {
            open.ends_for(delivery.number);
            open.awaited == 0
        });
        if last {
            return self.close_message(now, delivery.record, End::by_receipt(delivery.state, b""));
        }
        self.close_record(now, &OwnRecord::of(delivery), delivery.says(), CommandStatus::OK);
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
        mut delivery: Box<Delivery>,
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
        self.give_away(home, delivery, delivered, out)
    }

    /// True when this receipt's message has records here.
    pub(super) fn has_records(&self, open: OpenKey) -> bool {
        self.records.as_ref().is_some_and(|records| records.open.get(open).is_some())
    }
}
