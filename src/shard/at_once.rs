//! Receipts that need no record of their own: their account answers them before the carrier would have had to wait.
//!
//! Owns: nothing of its own. Takes: the final receipt of a message that has records, for an account that is bound and has
//! room. Gives: the receipt to the account, and ESME_ROK to the carrier once the final record of the message survives
//! what the account wants. Never: lets a carrier wait for an account: who has not answered in `RECEIPT_AT_ONCE` has the
//! receipt written down, and for a while the next ones before they are given to it; lets one pass another that came before
//! it.
//!
//! ```text
//! at its turn ──room──▶ with the ESME ──answered──▶ FINISH ──safe──▶ the carrier hears ESME_ROK
//!      └──────none, refused for now, gone, late──────▶ DLR_IN ──safe──▶ the same, and it waits in the queue (`kept`)
//! ```

use super::Shard;
use super::kept::record_of;
use super::message::{Delivery, DeliveryKey, Origin};
use super::port::Outbox;
use super::records::Held;
use super::timers::Timer;
use crate::ids::{EsmeId, LinkId};
use crate::journal::Lsn;
use crate::ledger::EntryKey;
use crate::limits::{RECEIPT_AGAIN, RECEIPT_AT_ONCE, RECEIPT_FIRST_WRITTEN, RECEIPT_FIRST_WRITTEN_MAX};
use crate::smpp::command::CommandId;
use crate::smpp::frame::Pdu;
use crate::smpp::response::MessageIdResp;
use crate::smpp::status::{CommandStatus, StatusClass};
use crate::time::{Duration, Now};

/// How far a receipt is that may do without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtOnce {
    /// It is none, or its carrier has been answered.
    No,
    /// It waits for its turn, or for its record.
    Here,
    /// The ESME has it.
    WithEsme,
    /// The same, and its record may never be safe: its carrier hears of it when the ESME has answered.
    Unsafe,
}

/// How soon an account is to answer a receipt that has no record, and what comes of it when it does not.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// So soon.
    pub soon: Duration,
    /// Its next receipts are written down before it gets them for so long, the first time and at most.
    pub after_late: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self { soon: RECEIPT_AT_ONCE, after_late: (RECEIPT_FIRST_WRITTEN, RECEIPT_FIRST_WRITTEN_MAX) }
    }
}

/// Whom to answer when a receipt is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) origin: Origin,
    pub(super) command: CommandId,
    /// Of a final receipt whose carrier is at home here.
    pub(super) entry: Option<EntryKey>,
    pub(super) destination: u8,
}

impl Asker {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self {
            origin: delivery.origin,
            command: delivery.command,
            entry: delivery.entry.filter(|_| delivery.is_final),
            destination: delivery.destination,
        }
    }
}

impl Shard {
    /// For a simulation, whose ESMEs are slow. After `attach`.
    pub fn waits_for_accounts(&mut self, patience: Patience) {
        if let Some(records) = &mut self.records {
            records.patience = patience;
        }
    }

    /// True when a receipt may be given to its account before anything of it is written: what its answer ends has a
    /// record of its own.
    pub(super) fn may_be_at_once(&self, now: Now, delivery: &Delivery) -> bool {
        let records = self.records.as_ref();
        let Some(open) = records.and_then(|records| records.open.get(delivery.record)) else { return false };
        let ends_all = delivery.is_final && open.awaited <= 1 && open.end.is_none();
        ends_all
            && self.accounts.get(delivery.esme.index()).is_some_and(|account| {
                account.waiting.is_empty()
                    && account.answers_late_until <= now.mono
                    && account.receivers() > 0
            })
    }

    /// A receipt goes to its account, behind everything that waits for a record now: the response of its message may.
    pub(super) fn begin_at_once(&mut self, now: Now, mut delivery: Box<Delivery>, out: &mut Outbox) {
        delivery.at_once = AtOnce::Here;
        let esme = delivery.esme;
        let key = self.deliveries.insert(delivery);
        let Some(last) = self.last_held(esme) else { return self.give_at_once(now, key, out) };
        if let Some(account) = self.accounts.get_mut(esme.index()) {
            account.turns += 1;
        }
        self.hold(esme, last, Held::Turn(esme, key));
    }

    /// What it waited behind is gone.
    pub(super) fn take_turn(&mut self, now: Now, esme: EsmeId, key: DeliveryKey, out: &mut Outbox) {
        if let Some(account) = self.accounts.get_mut(esme.index()) {
            account.turns = account.turns.saturating_sub(1);
        }
        self.give_at_once(now, key, out);
    }

    /// Its turn has come. What of its account waits for a record now was before it.
    fn give_at_once(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        let esme = delivery.esme;
        delivery.written = delivery.written.map(|(link, _)| (link, out.position(link)));
        let is_next = self.accounts.get(esme.index()).is_some_and(|account| account.held == 0);
        let may = self.deliveries.get(key).is_some_and(|delivery| self.may_be_at_once(now, delivery));
        let is_ready = self.is_own(esme) && is_next && may;
        if !is_ready || !self.pass_on(now, key, LinkId::default(), out) {
            return self.write_down(now, key, out);
        }
        if let Some(delivery) = self.deliveries.get_mut(key) {
            delivery.at_once = AtOnce::WithEsme;
        }
        if let Some(records) = &mut self.records {
            let due = now.mono.after(records.patience.soon);
            if records.at_once.is_empty() {
                self.timers.push_once(due, Timer::AtOnce);
            }
            records.at_once.push_back((due, key));
        }
    }

    /// It needs a record after all. Without room for one its carrier keeps it, or hears what the ESME says that has it.
    fn write_down(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Self { records, deliveries, config, .. } = self;
        let (Some(records), Some(delivery)) = (records, deliveries.get_mut(key)) else { return };
        if delivery.lsn > Lsn::NONE {
            return;
        }
        let (esme, with_esme) = (delivery.esme, delivery.at_once == AtOnce::WithEsme);
        let record = record_of(delivery, config);
        match records.pen.append(now, delivery.key, &record, None) {
            Some(lsn) => {
                (delivery.lsn, delivery.origin_lsn) = (lsn, lsn);
                if self.may_go(esme, lsn) {
                    self.let_go(now, key, self.is_safe(esme, lsn), out);
                } else {
                    self.hold_delivery(esme, lsn, key);
                }
            }
            None if with_esme => {}
            None => {
                delivery.at_once = AtOnce::No;
                self.relay_kept(now, key, out);
            }
        }
    }

    /// Those that their ESMEs have had too long.
    pub(super) fn tick_at_once(&mut self, now: Now, out: &mut Outbox) {
        while let Some(records) = &mut self.records {
            let Some(&(due, key)) = records.at_once.front() else { return };
            if due > now.mono {
                return self.timers.push_once(due, Timer::AtOnce);
            }
            records.at_once.pop_front();
            let after_late = records.patience.after_late;
            let waits =
                |delivery: &&Delivery| delivery.at_once == AtOnce::WithEsme && delivery.lsn == Lsn::NONE;
            let Some(esme) = self.deliveries.get(key).filter(waits).map(|delivery| delivery.esme) else {
                continue;
            };
            if let Some(account) = self.accounts.get_mut(esme.index()) {
                account.answers_late(now.mono, after_late);
            }
            self.write_down(now, key, out);
        }
    }

    /// The ESME has answered one whose carrier waits. True when it was one.
    pub(super) fn answered_at_once(
        &mut self,
        now: Now,
        esme: EsmeId,
        key: DeliveryKey,
        (pdu, is_ok): (&Pdu<'_>, bool),
        out: &mut Outbox,
    ) -> bool {
        let Some(delivery) = self.deliveries.get_mut(key).filter(|one| one.at_once != AtOnce::No) else {
            return false;
        };
        if delivery.lsn == Lsn::NONE
            && let Some(account) = self.accounts.get_mut(esme.index())
        {
            account.answers_soon();
        }
        let status = super::answers::status_of(pdu);
        if is_ok && let Some(cells) = self.counters.esmes.get(esme.index()) {
            cells.receipts.bump();
            cells.receipts_by_state.at(usize::from(delivery.state.octet())).bump();
        }
        if matches!(status.class(), StatusClass::Transient | StatusClass::Throttling) {
            delivery.not_before = now.mono.after(RECEIPT_AGAIN);
            self.come_back(now, key, out);
        } else if let Some(delivery) = self.deliveries.remove(key) {
            let (asker, before) = (Asker::of(&delivery), self.last_record());
            self.end_delivery(now, delivery, status);
            let last = self.last_record();
            if last > before && !self.may_go(esme, last) {
                self.hold(esme, last, Held::Asker(asker));
            } else {
                self.answer_asker(now, asker, out);
            }
        }
        self.pump_waiting(now, esme, out);
        true
    }

    /// The session that has one did not answer it in time or is gone. True when it was one.
    pub(super) fn lost_at_once(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) -> bool {
        let Some(delivery) = self.deliveries.get(key).filter(|one| one.at_once != AtOnce::No) else {
            return false;
        };
        let former = delivery.link;
        if !self.pass_on(now, key, former, out) {
            self.come_back(now, key, out);
        }
        true
    }

    /// The ESME does not have one any more, and has not taken it.
    fn come_back(&mut self, now: Now, key: DeliveryKey, out: &mut Outbox) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        if delivery.at_once == AtOnce::Unsafe {
            delivery.at_once = AtOnce::No;
            return self.relay_kept(now, key, out);
        }
        delivery.at_once = AtOnce::Here;
        self.write_down(now, key, out);
    }

    fn last_record(&self) -> Lsn {
        self.records.as_ref().map_or(Lsn::NONE, |records| records.pen.book.last())
    }

    /// A receipt is the account's, and will not come back: its carrier hears ESME_ROK.
    pub(super) fn answer_asker(&mut self, now: Now, asker: Asker, out: &mut Outbox) {
        let Asker { origin, command, entry, destination } = asker;
        match origin {
            Origin::Link(link, sequence) => {
                if let Some(entry) = entry {
                    self.ledger.receipt_done(entry, destination);
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
    }
}
