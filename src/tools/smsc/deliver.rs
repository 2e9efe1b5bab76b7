//! Receipts and MO messages on their way to an ESME. Owns: their queues, windows, retries. Takes: what is due and
//! how it was answered. Gives: deliver_sm. Never: gives one up before its last attempt or a final refusal.

use super::Smsc;
use super::compose;
use super::ids::{self, Place};
use super::settings::ReceiptSession;
use crate::ids::LinkId;
use crate::shard::port::Outbox;
use crate::smpp::command::CommandId;
use crate::smpp::frame::Pdu;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now, Wall};
use crate::tools::record::Printable;

/// Deliveries of one account that may wait for a session; one more is given up.
const WAITING_MAX: usize = 1_000_000;
/// MO messages that may wait on one session; more are given up.
const MO_READY_MAX: usize = 10_000;
/// How often unanswered deliveries are looked for.
const SWEEP: Duration = Duration::from_millis(500);

/// At most 20 octets without an allocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Text {
    octets: [u8; 20],
    len: u8,
}

impl Text {
    /// The first 20 octets: all of an address that a deliver_sm can carry.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        let mut text = Self::default();
        text.set(octets);
        text
    }

    /// Becomes the first 20 octets, in place: a text that is moved just after its octets were written waits for them.
    pub fn set(&mut self, octets: &[u8]) {
        *self = Self::default();
        let most = octets.len().min(self.octets.len());
        if let (Some(place), Some(octets)) = (self.octets.get_mut(..most), octets.get(..most)) {
            place.copy_from_slice(octets);
            self.len = most as u8;
        }
    }

    /// The same with a point for each octet that is no printable ASCII.
    #[must_use]
    pub fn printable(octets: &[u8]) -> Self {
        let mut text = Self::new(octets);
        text.octets.iter_mut().filter(|octet| !matches!(octet, b' '..=b'~')).for_each(|octet| *octet = b'.');
        text
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// What a deliver_sm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// A receipt for this message.
    Message(u64),
    /// An MO message, the how manieth.
    Mo(u64),
}

/// A deliver_sm to be sent, or sent and not yet answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) number: Number,
    pub(super) account: usize,
    /// The session that submitted the message.
    pub(super) link: LinkId,
    pub(super) attempts: u8,
    pub(super) state: MessageState,
    /// As the message had them; a receipt swaps them.
    pub(super) source: Text,
    pub(super) source_type: (u8, u8),
    pub(super) destination: Text,
    pub(super) destination_type: (u8, u8),
    pub(super) submitted: Wall,
    /// The front of the message.
    pub(super) head: Text,
}

impl Delivery {
    const fn is_mo(&self) -> bool {
        matches!(self.number, Number::Mo(_))
    }
}

impl Smsc {
    /// Gives a delivery that is due to a session, or lets it wait for one.
    pub(super) fn dispatch(&mut self, now: Now, mut delivery: Delivery, out: &mut Outbox) {
        if let Number::Message(number) = delivery.number
            && self.is_canceled(number)
        {
            delivery.state = MessageState::Deleted;
        }
        let Some(link) = self.choose(&delivery) else {
            let Some(account) = self.accounts.get_mut(delivery.account) else { return };
            if account.waiting.len() < WAITING_MAX {
                account.waiting.push_back(delivery);
            } else {
                self.give_up(&delivery);
            }
            return;
        };
        let Some(session) = self.session(link) else { return };
        let full = session.ready.len() >= if delivery.is_mo() { MO_READY_MAX } else { WAITING_MAX };
        if full {
            return self.give_up(&delivery);
        }
        session.ready.push_back(delivery);
        self.pump(now, link, out);
    }

    fn choose(&mut self, delivery: &Delivery) -> Option<LinkId> {
        if self.settings.receipt_session == ReceiptSession::Same && !delivery.is_mo() {
            let account = delivery.account;
            let session = self.session(delivery.link).filter(|session| session.is_bound());
            if let Some(session) = session
                && session.receives
                && session.account == account
            {
                return Some(delivery.link);
            }
        }
        self.accounts.get_mut(delivery.account)?.next_receiver()
    }

    /// A receiving session is there: what waited goes out.
    pub(super) fn dispatch_waiting(&mut self, now: Now, account: usize, out: &mut Outbox) {
        let waiting = self.accounts.get_mut(account).map(|account| core::mem::take(&mut account.waiting));
        for delivery in waiting.into_iter().flatten() {
            self.dispatch(now, delivery, out);
        }
    }

    /// Sends what is ready while window and output have room.
    pub(super) fn pump(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        let window = self.settings.window;
        loop {
            let Some(session) = self.session(link) else { return };
            if session.silent || session.in_flight >= window || out.is_full(link) {
                return;
            }
            let Some(mut delivery) = session.ready.pop_front() else { return };
            delivery.attempts += 1;
            let (sequence, version) = (session.take_off(now.mono, delivery), session.version);
            assert!(session.in_flight <= window);
            let again = delivery.attempts > 1;
            match delivery.number {
                Number::Message(number) => {
                    self.stats.receipts_sent.add(1);
                    self.stats.receipts_resent.add(u64::from(again));
                    compose::write_receipt(
                        out.to(link),
                        sequence,
                        &compose::Look { settings: &self.settings, name_tlv: &self.name_tlv, version },
                        number,
                        &delivery,
                        now.wall,
                    );
                }
                Number::Mo(number) => {
                    self.stats.mo_sent.add(1);
                    compose::write_mo(out.to(link), sequence, &self.settings, number);
                }
            }
            self.sweep_at.get_or_insert(now.mono.after(SWEEP.min(self.settings.response_timeout)));
        }
    }

    /// A response to something that we sent.
    pub(super) fn on_response(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let ours = matches!(pdu.command_id(), CommandId::DELIVER_SM_RESP | CommandId::GENERIC_NACK);
        if !ours {
            return;
        }
        let Some(session) = self.session(link) else { return };
        let account = session.account;
        let Some(delivery) = session.land(pdu.sequence_number()) else {
            return self.stats.responses_unknown.add(1);
        };
        let status = pdu.header().command_status;
        if self.record.is_on()
            && let Number::Message(number) = delivery.number
        {
            let id = ids::write(self.settings.id_form, Place::Response, number, self.settings.seed);
            self.record.line("receipt", &[&status, &Printable(id.as_bytes())]);
        }
        if status.is_ok() {
            if delivery.is_mo() {
                self.stats.mo_acked.add(1);
            } else {
                self.stats.receipts_acked.add(1);
                self.stats.account(account).receipts_acked.add(1);
            }
        } else {
            self.refused(now, delivery, status);
        }
        self.pump(now, link, out);
    }

    fn refused(&mut self, now: Now, delivery: Delivery, status: CommandStatus) {
        let counter = if delivery.is_mo() { &self.stats.mo_refused } else { &self.stats.receipts_refused };
        counter.add(1);
        let temporary = matches!(
            status,
            CommandStatus::RECEIVER_TEMPORARY
                | CommandStatus::THROTTLED
                | CommandStatus::QUEUE_FULL
                | CommandStatus::SYSTEM_ERROR
        );
        if temporary {
            self.retry(now, delivery);
        } else {
            self.give_up(&delivery);
        }
    }

    fn retry(&mut self, now: Now, delivery: Delivery) {
        if delivery.attempts >= self.settings.attempts {
            return self.give_up(&delivery);
        }
        self.due.push(now.mono.after(self.settings.retry_delay), delivery);
    }

    fn give_up(&self, delivery: &Delivery) {
        let counter = if delivery.is_mo() { &self.stats.mo_given_up } else { &self.stats.receipts_given_up };
        counter.add(1);
    }

    /// Looks for deliveries that were not answered in time.
    pub(super) fn sweep(&mut self, now: Now, out: &mut Outbox) {
        let timeout = self.settings.response_timeout.as_nanos();
        let timeout = u64::try_from(timeout).unwrap_or(u64::MAX);
        let before = Instant::from_nanos(now.mono.as_nanos().saturating_sub(timeout));
        let mut overdue = Vec::new();
        let mut links = Vec::new();
        let mut in_flight = 0;
        for session in self.sessions.iter_mut().flatten() {
            session.take_overdue(before, &mut overdue);
            in_flight += session.in_flight;
            links.push(session.link);
        }
        self.sweep_at = (in_flight > 0).then(|| now.mono.after(SWEEP.min(self.settings.response_timeout)));
        if overdue.is_empty() {
            return;
        }
        for delivery in overdue {
            self.retry(now, delivery);
        }
        for link in links {
            self.pump(now, link, out);
        }
    }

    /// Begins to send MO messages, once somebody can receive them.
    pub(super) fn start_mo(&mut self, now: Now) {
        if self.settings.mo.is_some() && self.next_mo.is_none() {
            self.next_mo = Some(now.mono);
        }
    }

    pub(super) fn send_mo(&mut self, now: Now, out: &mut Outbox) {
        let Some(rate) = self.settings.mo else { return };
        while let Some(at) = self.next_mo
            && at <= now.mono
        {
            let step = rate.per / u32::try_from(rate.units).unwrap_or(u32::MAX).max(1);
            self.next_mo = Some(at.after(step.max(Duration::from_nanos(1))));
            self.mo_count += 1;
            let accounts = self.accounts.len();
            let first = self.mo_count as usize;
            let mut turns = (0..accounts).map(|step| (first + step) % accounts.max(1));
            let receives = |index: &usize| self.accounts.get(*index).is_some_and(|a| !a.receivers.is_empty());
            let Some(account) = turns.find(receives) else {
                self.stats.mo_given_up.add(1);
                continue;
            };
            let delivery = Delivery {
                number: Number::Mo(self.mo_count),
                account,
                link: LinkId::default(),
                attempts: 0,
                state: MessageState::Delivered,
                source: Text::default(),
                source_type: (0, 0),
                destination: Text::default(),
                destination_type: (0, 0),
                submitted: now.wall,
                head: Text::default(),
            };
            self.dispatch(now, delivery, out);
        }
    }
}
