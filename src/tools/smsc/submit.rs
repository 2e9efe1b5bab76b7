//! Messages that ESMEs submit to the simulated carrier. Owns: the verdict on each. Takes: submit_sm, submit_multi,
//! data_sm, broadcast_sm. Gives: responses, now or later, and receipts that are due. Never: answers one twice.

use super::deliver::{Delivery, Number, Text};
use super::ids::{self, Place};
use super::settings::Settings;
use super::{Smsc, nack};
use crate::ids::LinkId;
use crate::shard::port::{Action, CloseHow, Outbox};
use crate::smpp::broadcast::BroadcastSm;
use crate::smpp::command::CommandId;
use crate::smpp::cursor::PduError;
use crate::smpp::data::DataSm;
use crate::smpp::frame::{Pdu, write_header_only, write_pdu};
use crate::smpp::message_state::MessageState;
use crate::smpp::multi::{Destination, Destinations, SubmitMulti};
use crate::smpp::segment;
use crate::smpp::sm::{Address, Sm};
use crate::smpp::status::CommandStatus;
use crate::throttle::{Rate, Throttle};
use crate::time::{Duration, Now};
use crate::tools::record::Printable;
use crate::tools::units::Share;

/// A response that is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) link: LinkId,
    pub(super) command: CommandId,
    pub(super) status: CommandStatus,
    pub(super) sequence: u32,
    /// The number behind its message_id.
    pub(super) number: u64,
    pub(super) tlvs: bool,
}

/// What all four kinds of submit have in common.
#[derive(Default)]
struct Message<'a> {
    source: Address<'a>,
    destination: Address<'a>,
    /// More destinations, of a submit_multi.
    others: Destinations<'a>,
    registered_delivery: u8,
    esm_class: u8,
    text: &'a [u8],
}

impl<'a> Message<'a> {
    fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        match pdu.command_id() {
            CommandId::DATA_SM => DataSm::parse(pdu).map(|data| Self {
                source: data.source,
                destination: data.destination,
                others: Destinations::default(),
                registered_delivery: data.registered_delivery,
                esm_class: data.esm_class,
                text: data.text(),
            }),
            CommandId::SUBMIT_MULTI => SubmitMulti::parse(pdu).map(|multi| Self {
                source: multi.source,
                destination: Address::default(),
                others: multi.destinations,
                registered_delivery: multi.content.registered_delivery,
                esm_class: multi.content.esm_class,
                text: multi.content.text(),
            }),
            CommandId::BROADCAST_SM => {
                BroadcastSm::parse(pdu).map(|broadcast| Self { source: broadcast.source, ..Self::default() })
            }
            _ => Sm::parse_submit(pdu).map(|sm| Self {
                source: sm.source,
                destination: sm.destination,
                others: Destinations::default(),
                registered_delivery: sm.content.registered_delivery,
                esm_class: sm.content.esm_class,
                text: sm.content.text(),
            }),
        }
    }
}

/// What becomes of a message's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    state: MessageState,
    wanted: bool,
    early: bool,
    twice: bool,
}

impl Smsc {
    pub(super) fn on_submit(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let command = pdu.command_id();
        let version = self.session(link).map_or(0, |session| session.version);
        let since = match command {
            CommandId::BROADCAST_SM => 0x50,
            CommandId::DATA_SM => 0x34,
            _ => 0,
        };
        if version < since {
            return nack(out, link, pdu.sequence_number());
        }
        self.stats.submits.add(1);
        if self.settings.drop.hits(&mut self.prng) {
            return self.stats.dropped.add(1);
        }
        let limit = self.fault_after();
        let Some(session) = self.session(link) else { return };
        session.seen += 1;
        if limit.is_some_and(|limit| session.seen > limit) {
            return;
        }
        let account = session.account;
        self.stats.account(account).submits.add(1);
        let mut answer = Answer {
            link,
            command: command.response(),
            status: CommandStatus::OK,
            sequence: pdu.sequence_number(),
            number: 0,
            tlvs: version >= 0x34,
        };
        match Message::parse(pdu) {
            Err(error) => {
                answer.status = error.status;
                self.respond(now, answer, Duration::ZERO, out);
            }
            Ok(message) => self.on_message(now, &message, answer, account, pdu, out),
        }
    }

    fn on_message(
        &mut self,
        now: Now,
        message: &Message<'_>,
        mut answer: Answer,
        account: usize,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        answer.status = self.verdict(now);
        self.record_submit(message, answer.status);
        if !answer.status.is_ok() {
            return self.respond(now, answer, Duration::ZERO, out);
        }
        answer.number = self.next_number;
        self.next_number += 1;
        self.stats.account(account).accepted.add(1);
        self.keep(pdu);
        let late = self.lateness();
        let plan = self.plan(message.registered_delivery);
        let addresses = [message.source.digits, message.destination.digits];
        self.remember(now, answer.number, addresses, plan.state);
        if !plan.wanted {
            return self.respond(now, answer, late, out);
        }
        let delivery = Delivery {
            number: Number::Message(answer.number),
            account,
            link: answer.link,
            attempts: 0,
            state: plan.state,
            source: Text::new(message.source.digits),
            source_type: (message.source.ton, message.source.npi),
            destination: Text::new(message.destination.digits),
            destination_type: (message.destination.ton, message.destination.npi),
            submitted: now.wall,
            head: Text::printable(segment::body(message.esm_class, message.text)),
        };
        if plan.early {
            self.stats.receipts_early.add(1);
            self.each_receipt(message, delivery, plan.twice, |smsc, one| smsc.dispatch(now, one, out));
            let later = Duration::from_micros(1000 + self.prng.below(4000));
            return self.respond(now, answer, late + later, out);
        }
        self.respond(now, answer, late, out);
        let wait = late + self.receipt_wait();
        self.each_receipt(message, delivery, plan.twice, |smsc, one| {
            if wait.is_zero() {
                smsc.dispatch(now, one, out);
            } else {
                smsc.due.push(now.mono.after(wait), one);
            }
        });
    }

    /// How much later than the others this message is answered.
    fn lateness(&mut self) -> Duration {
        if !self.settings.late.hits(&mut self.prng) {
            return Duration::ZERO;
        }
        self.stats.late.add(1);
        self.settings.late_by
    }

    /// Calls `give` for the receipt of every destination.
    fn each_receipt(
        &mut self,
        message: &Message<'_>,
        delivery: Delivery,
        twice: bool,
        mut give: impl FnMut(&mut Self, Delivery),
    ) {
        let mut copies = |smsc: &mut Self, delivery| {
            give(smsc, delivery);
            if twice {
                smsc.stats.receipts_duplicated.add(1);
                give(smsc, delivery);
            }
        };
        if message.others.count() == 0 {
            return copies(self, delivery);
        }
        for destination in message.others.iter() {
            if let Destination::Address(address) = destination {
                let destination = Text::new(address.digits);
                let destination_type = (address.ton, address.npi);
                copies(self, Delivery { destination, destination_type, ..delivery });
            }
        }
    }

    fn fault_after(&self) -> Option<u64> {
        let Settings { hang_after, half_open_after, close_after, .. } = &self.settings;
        [*hang_after, *half_open_after, *close_after].into_iter().flatten().min()
    }

    /// A message that is accepted gets the next number.
    fn record_submit(&mut self, message: &Message<'_>, status: CommandStatus) {
        if !self.record.is_on() {
            return;
        }
        let Settings { id_form, seed, .. } = self.settings;
        let id = ids::write(id_form, Place::Response, self.next_number, seed);
        let id = if status.is_ok() { id.as_bytes() } else { b"" };
        let to = Printable(message.destination.digits);
        let text = Text::new(segment::body(message.esm_class, message.text));
        self.record.line("submit", &[&status, &Printable(id), &to, &Printable(text.as_bytes())]);
    }

    /// The rate that holds now.
    fn throttle_now(&mut self, now: Now) -> Option<Rate> {
        let from = self.first_submit.get_or_insert(now.mono).after(self.settings.throttle_after);
        let until = self.settings.throttle_for.map(|span| from.after(span));
        self.settings.throttle.filter(|_| from <= now.mono && until.is_none_or(|until| now.mono < until))
    }

    fn verdict(&mut self, now: Now) -> CommandStatus {
        if let Some(rate) = self.throttle_now(now) {
            let burst = u32::try_from(rate.units).unwrap_or(u32::MAX);
            let throttle = self.throttle.get_or_insert_with(|| Throttle::new(now.mono, rate, burst));
            if !throttle.take(now.mono, 1) {
                return CommandStatus::THROTTLED;
            }
        }
        if self.settings.errors.is_empty() {
            return CommandStatus::OK;
        }
        let shares = self.settings.errors.iter().map(|error| (error.share, error.status));
        draw(self.prng.below(1_000_000), shares).unwrap_or(CommandStatus::OK)
    }

    fn plan(&mut self, registered_delivery: u8) -> Plan {
        let none = Plan { state: MessageState::Delivered, wanted: false, early: false, twice: false };
        let mut state = MessageState::Delivered;
        if !self.settings.receipt_states.is_empty() {
            let shares = self.settings.receipt_states.iter().map(|state| (state.share, state.state));
            state = draw(self.prng.below(1_000_000), shares).unwrap_or(state);
        }
        let asked = match registered_delivery & 0x03 {
            0 => false,
            1 => true,
            // Failure only, success only (SMPP 5.0 §4.7.21).
            2 => state != MessageState::Delivered,
            _ => state == MessageState::Delivered,
        };
        if !asked || !self.settings.receipts.hits(&mut self.prng) {
            return Plan { state, ..none };
        }
        if self.settings.receipt_lost.hits(&mut self.prng) {
            self.stats.receipts_lost.add(1);
            return Plan { state, ..none };
        }
        let early = self.settings.receipt_early.hits(&mut self.prng);
        let twice = self.settings.receipt_duplicate.hits(&mut self.prng);
        Plan { state, wanted: true, early, twice }
    }

    /// From the submit to its receipt.
    fn receipt_wait(&mut self) -> Duration {
        let base = self.settings.receipt_delay;
        if !self.settings.receipt_shuffle {
            return self.settings.delay + base;
        }
        let spread = base.max(Duration::from_millis(10));
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        self.settings.delay + base / 2 + Duration::from_nanos(self.prng.below(nanos))
    }

    fn keep(&mut self, pdu: &Pdu<'_>) {
        if self.settings.keep == 0 {
            return;
        }
        let mut octets = Vec::new();
        if self.kept.len() >= self.settings.keep {
            octets = self.kept.pop_front().unwrap_or_default();
        }
        octets.clear();
        octets.extend_from_slice(pdu.bytes());
        self.kept.push_back(octets);
    }

    fn remember(&mut self, now: Now, number: u64, addresses: [&[u8]; 2], state: MessageState) {
        let wait = self.settings.delay + self.settings.receipt_delay;
        let count = self.remembered.len() as u64;
        let place = number.checked_rem(count).and_then(|place| self.remembered.get_mut(place as usize));
        if let Some(place) = place {
            place.set(number, addresses, state, now, wait);
        }
    }

    /// Answers now, or after the settings' delay and `later`.
    fn respond(&mut self, now: Now, answer: Answer, later: Duration, out: &mut Outbox) {
        let wait = self.settings.delay + later;
        if wait.is_zero() {
            self.write_answer(&answer, out);
        } else {
            self.answers.push(now.mono.after(wait), answer);
        }
    }

    pub(super) fn write_answer(&mut self, answer: &Answer, out: &mut Outbox) {
        let link = answer.link;
        let Some(session) = self.session(link) else { return };
        if session.silent {
            return;
        }
        session.answered += 1;
        let answered = session.answered;
        self.stats.responses.add(answer.status);
        let buffer = out.to(link);
        if answer.status.is_ok() {
            let Settings { id_form, seed, .. } = self.settings;
            let tail: &[u8] = if answer.tlvs { &self.name_tlv } else { &[] };
            // submit_multi_resp: no destination was refused.
            let end: &[u8] = if answer.command == CommandId::SUBMIT_MULTI_RESP { &[0, 0] } else { &[0] };
            write_pdu(buffer, answer.command, answer.status, answer.sequence, |out| {
                ids::append(out, id_form, Place::Response, answer.number, seed);
                out.extend_from_slice(end);
                out.extend_from_slice(tail);
            });
        } else {
            write_header_only(buffer, answer.command, answer.status, answer.sequence);
        }
        if self.fault_after() == Some(answered) {
            self.fail_link(link, out);
        }
    }

    /// The session has answered as many submits as it was to.
    fn fail_link(&mut self, link: LinkId, out: &mut Outbox) {
        let limit = self.fault_after();
        if self.settings.close_after == limit {
            return out.close(link, CloseHow::Now);
        }
        if self.settings.half_open_after == limit {
            out.act(Action::Pause(link));
        }
        if let Some(session) = self.session(link) {
            session.silent = true;
        }
    }
}

/// The thing whose share of the millionths `point` falls into.
fn draw<T>(point: u64, shares: impl Iterator<Item = (Share, T)>) -> Option<T> {
    let mut end = 0;
    for (share, thing) in shares {
        end += u64::from(share.millionths());
        if point < end {
            return Some(thing);
        }
    }
    None
}
