//! `mode = "store"`: messages that we answer ourselves, once the journal has them.
//!
//! Owns: nothing of its own; they stand in `ledger::Stored`. Takes: submits of such accounts, query, cancel and replace
//! of what has not left. Gives: ESME_ROK with an id of ours when the record survives what the account wants, the message
//! to `attempts` then; each message that ends here its final record, and a receipt when one was asked for. Never:
//! ESME_ROK for what the journal may lose; refuses for want of a carrier.

use super::Shard;
use super::message::{Delivery, IdFrom, Origin};
use super::mo::delivery_of;
use super::mt::{Body, fits};
use super::multi::address_of;
use super::operations::Operation;
use super::port::Outbox;
use super::records::{Held, HeldStored};
use super::resend::{Resend, delivered_of};
use super::timers::Timer;
use crate::config::Config;
use crate::counters::Reason;
use crate::esme::settings::Mode;
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::journal::{DiskError, Lsn, Record};
use crate::ledger::{End, Given, IdRoom, OpenMessage, Stand, StoredKey, StoredMessage};
use crate::limits::{
    JOURNAL_OPEN_MAX, RECEIPT_KEEP, STORE_RING_FULL, STORE_RING_THROTTLED, STORED_AGAIN, STORED_PDU_MAX,
};
use crate::route::hash;
use crate::route::table::carriers_of;
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_header_only, write_pdu};
use crate::smpp::message_state::MessageState;
use crate::smpp::multi::{Destination, SubmitMulti, Unsuccess};
use crate::smpp::operations::{QuerySmResp, ReplaceSm};
use crate::smpp::receipt::{ReceiptFields, write_text};
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::{Address, Content, Sm, write_c_octets};
use crate::smpp::status::CommandStatus;
use crate::smpp::times::{Time, absolute, receipt_date};
use crate::smpp::tlv::{Tag, Tlvs, write_tlv};
use crate::time::{Duration, Instant, Now, Wall};
use smallvec::SmallVec;

type Refused = (CommandStatus, Reason);

/// No carrier: the receipt is ours.
pub(super) const OURSELVES: CarrierId = CarrierId(u32::MAX);

/// Where there is no room for the end of a message, it is written so much later.
const END_AGAIN: Duration = Duration::from_secs(1);

/// esm_class of a receipt (SMPP 3.4 §5.2.12).
const RECEIPT: u8 = 0x04;

/// When a message may leave, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// Its own schedule_delivery_time; `None`: at once.
    schedule: Option<Wall>,
    /// Its own validity_period; `None`: it has none.
    validity: Option<Wall>,
    /// The sooner of that and `give_up_after`.
    until: Wall,
}

fn wall_after(now: Now, span: Duration) -> Wall {
    Wall(now.wall.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

/// When it will be so late; a time that is over is now.
pub(super) fn instant_of(now: Now, at: Wall) -> Instant {
    let micros = u64::try_from(at.0.saturating_sub(now.wall.0)).unwrap_or(0);
    now.mono.after(Duration::from_micros(micros))
}

/// One destination of a submit.
struct One<'a> {
    pool: PoolId,
    destination: &'a [u8],
    /// As a carrier gets it.
    frame: Vec<u8>,
}

impl Shard {
    /// True when we answer this account's submits ourselves. A broadcast is its carrier's.
    pub(super) fn stores(&self, esme: EsmeId, command: CommandId) -> bool {
        self.records.is_some()
            && command != CommandId::BROADCAST_SM
            && self.accounts.get(esme.index()).is_some_and(|account| account.settings.mode == Mode::Store)
    }

    /// Whether a message may be promised now.
    fn may_store(&mut self, octets: usize) -> Result<(), Refused> {
        const FULL: Refused = (CommandStatus::QUEUE_FULL, Reason::JournalFull);
        let Some(records) = &mut self.records else { return Err(FULL) };
        let recorder = &mut records.pen.recorder;
        if let Some(error) = recorder.failed() {
            return Err((while_failing(error), Reason::JournalFull));
        }
        let full = recorder.full_percent();
        if !recorder.accepting() || full >= STORE_RING_FULL || !records.pen.book.has_room() {
            return Err(FULL);
        }
        records.throttled =
            full >= if records.throttled { STORE_RING_THROTTLED / 2 } else { STORE_RING_THROTTLED };
        if records.throttled {
            return Err((CommandStatus::THROTTLED, Reason::JournalFull));
        }
        if !records.stored.has_room(octets) {
            return Err((CommandStatus::QUEUE_FULL, Reason::QueueFull));
        }
        Ok(())
    }

    /// Takes a submit_sm or data_sm that its account may send.
    pub(super) fn store(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        body: &Body<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let destination = body.destination();
        let pool = self.pool_for(esme, body.source(), destination)?;
        self.fits_some(pool, body)?;
        let times = self.times(now, body)?;
        let one = One { pool, destination, frame: form(pdu, body, &times) };
        self.may_store(one.frame.len())?;
        let given = self.own_given(now, id);
        let (key, lsn) = self.accept(now, (id, esme), given, body, &times, one)?;
        self.promise(now, (id, esme), pdu, (lsn, given), SmallVec::from_slice(&[key]), &[], out);
        Ok(())
    }

    /// Takes a submit_multi that its account may send: each destination is a message of its own from now on.
    pub(super) fn store_multi(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        multi: &SubmitMulti<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let body = Body::Multi(*multi);
        let times = self.times(now, &body)?;
        let mut failed: Vec<Unsuccess<'_>> = Vec::new();
        let mut ones: Vec<One<'_>> = Vec::new();
        for destination in multi.destinations.iter() {
            match self.one_of(esme, multi, &times, &destination) {
                Ok(one) => ones.push(one),
                Err((status, reason)) => {
                    self.count_refusal(esme, reason);
                    failed.push(Unsuccess { destination: address_of(&destination), status });
                }
            }
        }
        if ones.is_empty() {
            return Err((CommandStatus::INVALID_DESTINATION, Reason::NoRoute));
        }
        self.may_store(ones.iter().map(|one| one.frame.len()).sum())?;
        let given = self.own_given(now, id);
        let mut keys = SmallVec::new();
        let mut last = Lsn::NONE;
        for one in ones {
            let address = one.destination;
            match self.accept(now, (id, esme), given, &body, &times, one) {
                Ok((key, lsn)) => {
                    keys.push(key);
                    last = lsn;
                }
                Err((status, reason)) => {
                    self.count_refusal(esme, reason);
                    let destination = multi.destinations.iter().map(|each| address_of(&each));
                    let mut destination = destination.filter(|each| each.digits == address);
                    failed.push(Unsuccess { destination: destination.next().unwrap_or_default(), status });
                }
            }
        }
        if keys.is_empty() {
            return Err((CommandStatus::QUEUE_FULL, Reason::JournalFull));
        }
        self.promise(now, (id, esme), pdu, (last, given), keys, &failed, out);
        Ok(())
    }

    fn one_of<'a>(
        &self,
        esme: EsmeId,
        multi: &SubmitMulti<'a>,
        times: &Times,
        destination: &Destination<'a>,
    ) -> Result<One<'a>, Refused> {
        let Destination::Address(address) = *destination else {
            return Err((CommandStatus::INVALID_DESTINATION, Reason::Destination));
        };
        if address.digits.is_empty() {
            return Err((CommandStatus::INVALID_DESTINATION, Reason::Destination));
        }
        let pool = self.pool_for(esme, multi.source.digits, address.digits)?;
        let (service_type, source) = (multi.service_type, multi.source);
        let sm = Sm { service_type, source, destination: address, content: multi.content };
        self.fits_some(pool, &Body::Sm(sm))?;
        Ok(One { pool, destination: address.digits, frame: form_sm(&sm, times) })
    }

    fn own_given(&mut self, now: Now, id: LinkId) -> Given {
        let v33 = self.link(id).is_some_and(|slot| slot.session.is_v33());
        self.given(now, if v33 { IdFrom::Short } else { IdFrom::Own })
    }

    /// Some carrier of the pool can be given such a message at all.
    fn fits_some(&self, pool: PoolId, body: &Body<'_>) -> Result<(), Refused> {
        let of = carriers_of(&self.config.pools, pool);
        let fits = |id: &CarrierId| self.carriers.get(id.index()).is_some_and(|carrier| fits(carrier, body));
        if of.iter().any(fits) { Ok(()) } else { Err((CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts)) }
    }

    /// When it may leave and when it is over, by what it says itself.
    fn times(&self, now: Now, body: &Body<'_>) -> Result<Times, Refused> {
        let refused = |status| (status, Reason::Malformed);
        let retry = self.config.journal.as_ref().map(|journal| journal.retry.give_up_after);
        let give_up = retry.unwrap_or(Duration::ZERO);
        let longest = wall_after(now, give_up);
        let content = match body {
            Body::Sm(sm) => &sm.content,
            Body::Multi(multi) => &multi.content,
            Body::Data(data) => {
                let seconds = data.tlvs.get(Tag::QOS_TIME_TO_LIVE).and_then(|value| value.try_into().ok());
                let seconds = seconds.map(u32::from_be_bytes);
                let validity = seconds.map(|seconds| wall_after(now, Duration::from_secs(seconds.into())));
                let until = validity.map_or(longest, |validity| validity.min(longest));
                return Ok(Times { schedule: None, validity, until });
            }
            Body::Broadcast(_) | Body::Other => {
                return Ok(Times { schedule: None, validity: None, until: longest });
            }
        };
        let of = |text: &[u8]| Time::parse(text).map(|time| time.resolve(now.wall));
        let schedule = of(content.schedule_delivery_time).filter(|at| *at > now.wall);
        let validity = of(content.validity_period);
        if validity.is_some_and(|validity| validity <= schedule.unwrap_or(now.wall)) {
            return Err(refused(CommandStatus::INVALID_EXPIRY));
        }
        let longest = schedule.map_or(longest, |at| wall_after(Now { wall: at, ..now }, give_up));
        if schedule.is_some_and(|at| at > wall_after(now, RECEIPT_KEEP * 10)) {
            return Err(refused(CommandStatus::INVALID_SCHEDULE));
        }
        Ok(Times { schedule, validity, until: validity.map_or(longest, |validity| validity.min(longest)) })
    }

    /// Writes its ACCEPT.
    fn accept(
        &mut self,
        now: Now,
        (link, esme): (LinkId, EsmeId),
        given: Given,
        body: &Body<'_>,
        times: &Times,
        one: One<'_>,
    ) -> Result<(StoredKey, Lsn), Refused> {
        const FULL: Refused = (CommandStatus::QUEUE_FULL, Reason::JournalFull);
        if one.frame.len() > STORED_PDU_MAX {
            return Err((CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts));
        }
        let class = u8::try_from(self.class_of(esme)).unwrap_or(0);
        let Self { records, own_ids, config, .. } = self;
        let Some(records) = records else { return Err(FULL) };
        let key = own_ids.next(now.wall);
        let mut room = IdRoom::default();
        let record = Record::Accept {
            accepted: now.wall.0,
            validity: times.until.0,
            due: times.schedule.map_or(0, |at| at.0),
            esme: config.esme_name(esme).as_bytes(),
            id: given.text_in(&mut room).unwrap_or_default(),
            pdu: &one.frame,
        };
        let lsn = records.pen.append(now, key, &record, None).ok_or(FULL)?;
        let chain = chain_of(esme, one.destination);
        let expires = instant_of(now, times.until);
        let mut message = StoredMessage::new(key, esme, one.pool, (now.wall, expires), chain, one.frame);
        (message.given, message.lsn, message.origin) = (given, lsn, lsn);
        message.registered = body.registered_delivery();
        (message.class, message.link) = (class, link);
        let stored = records.stored.insert(message);
        if let Some(at) = times.schedule {
            records.stored.not_before(stored, instant_of(now, at));
        }
        Ok((stored, lsn))
    }

    /// Answers when the record survives what the account wants; the messages may leave then.
    #[expect(clippy::too_many_arguments, reason = "one call")]
    fn promise(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        (lsn, given): (Lsn, Given),
        keys: SmallVec<[StoredKey; 1]>,
        failed: &[Unsuccess<'_>],
        out: &mut Outbox,
    ) {
        let asked = (id, esme, pdu.command_id());
        let sequence = pdu.sequence_number();
        let mut octets = self.retained.buffer(&[]);
        let mut room = IdRoom::default();
        let id = given.text_in(&mut room).unwrap_or_default();
        let (command, status) = (pdu.command_id().response(), CommandStatus::OK);
        if pdu.command_id() == CommandId::SUBMIT_MULTI {
            write_pdu(&mut octets, command, status, sequence, |out| {
                write_c_octets(out, id);
                out.push(failed.len().min(255) as u8);
                failed.iter().for_each(|failure| failure.write(out));
            });
        } else {
            MessageIdResp::new(id).write(&mut octets, command, status, sequence);
        }
        let held = HeldStored { asked, sequence, octets, keys };
        if self.may_go(esme, lsn) {
            return self.keep_promise(now, held, self.is_safe(esme, lsn), out);
        }
        self.hold(esme, lsn, Held::Stored(held));
    }

    /// The record of a promise is safe, or will never be.
    pub(super) fn keep_promise(&mut self, now: Now, held: HeldStored, safe: bool, out: &mut Outbox) {
        let HeldStored { asked, sequence, octets, keys } = held;
        let (esme, command) = (asked.1, asked.2);
        let error = self.records.as_ref().and_then(|records| records.pen.recorder.failed());
        let failed = error.map_or(CommandStatus::SYSTEM_ERROR, while_failing);
        self.answer_with(now, asked, out, |_, to| {
            if safe {
                to.extend_from_slice(&octets);
                return CommandStatus::OK;
            }
            write_header_only(to, command.response(), failed, sequence);
            failed
        });
        self.retained.reuse(octets);
        if safe {
            if let Some(cells) = self.counters.esmes.get(esme.index()) {
                cells.accepted.bump();
            }
            let Some(records) = &mut self.records else { return };
            keys.iter().for_each(|key| records.stored.safe(*key));
            return;
        }
        self.count_refusal(esme, Reason::JournalFull);
        for key in keys {
            let end = End::refused_by_us(failed, Reason::JournalFull);
            self.forget_promise(now, key, end);
        }
    }

    /// It was never promised: it ends without a receipt.
    fn forget_promise(&mut self, now: Now, key: StoredKey, end: End) {
        let Self { records, config, counters, .. } = self;
        let Some(records) = records else { return };
        let Some(message) = records.stored.remove(key) else { return };
        let open = open_of(&message, message.frame());
        records.end(now, open, end, config, &counters.journal_left_out);
    }

    /// It is over with a message that no carrier has: its final record, or first its receipt.
    pub(super) fn end_stored(&mut self, now: Now, key: StoredKey, end: End, out: &mut Outbox) {
        let Self { records, config, counters, .. } = self;
        let Some(records) = records else { return };
        if records.octets_of(key).are_to_come() {
            return records.stored.end_at(key, end, now.mono.after(STORED_AGAIN));
        }
        let Some(message) = records.stored.get(key) else { return };
        let mut open = open_of(&message, message.frame());
        if !matches!(message.registered & 0x03, 1 | 2) {
            records.stored.remove(key);
            return records.end(now, open, end, config, &counters.journal_left_out);
        }
        let (frame, link) = (own_receipt(&open, &end, now), message.link);
        open.awaited = 1;
        let taken = self.keep_own_receipt(now, open, &end, (link, frame), out);
        let Some(records) = &mut self.records else { return };
        if taken {
            records.stored.remove(key);
        } else {
            records.stored.end_at(key, end, now.mono.after(END_AGAIN));
        }
    }

    /// Writes what stays of a message that is over and its receipt, and gives that to its account when both are safe: what
    /// it was told does not change. False without room.
    pub(super) fn keep_own_receipt(
        &mut self,
        now: Now,
        mut open: OpenMessage,
        end: &End,
        (link, frame): (LinkId, Vec<u8>),
        out: &mut Outbox,
    ) -> bool {
        let Self { records, config, accounts, deliveries, .. } = self;
        let Some(records) = records else { return false };
        let Some(account) = accounts.get(open.esme.index()) else { return false };
        let (esme, key) = (open.esme, open.key);
        let full = records.open.len() >= JOURNAL_OPEN_MAX
            || records.pen.recorder.full_percent() >= STORE_RING_FULL
            || !records.pen.book.has_room()
            || account.waiting.len() >= account.settings.waiting.count_max as usize;
        let Some(frame) = (if full { None } else { records.frames.copy(&frame) }) else { return false };
        let mut room = IdRoom::default();
        let facts = super::records::facts_of(&open, config, &mut room);
        let Some(lsn) =
            records.pen.append(now, key, &Record::Sent { awaited: 1, kept: false, over: b"", facts }, None)
        else {
            records.frames.release(frame);
            return false;
        };
        (open.lsn, open.origin) = (lsn, lsn);
        open.end = Some(Box::new(end.clone()));
        let keep = account.settings.waiting.keep;
        let Some(handle) = records.open.insert(open) else { return false };
        records.open.waits(handle, now.mono.after(RECEIPT_KEEP));
        let Some(pdu) = Pdu::whole(&frame) else { return false };
        let mut delivery = deliveries.make(|| Delivery {
            origin: Origin::Journal,
            is_receipt: true,
            is_final: true,
            state: end.state,
            until: now.mono.after(keep),
            record: handle,
            key,
            came: now.wall,
            // Behind the response of its message, which is in the stream of its session.
            written: Some((link, out.position(link))),
            ..delivery_of(LinkId::default(), OURSELVES, esme, &pdu)
        });
        delivery.frame = frame;
        let record = super::kept::record_of(&delivery, config);
        match records.pen.append(now, key, &record, None) {
            Some(lsn) => (delivery.lsn, delivery.origin_lsn) = (lsn, lsn),
            // Its message says that a receipt is to come: it does so after a restart, too.
            None => self.counters.journal_left_out.bump(),
        }
        let last = delivery.lsn.max(lsn);
        self.keep_until_safe(now, delivery, last, out);
        true
    }

    /// query, cancel or replace of a message that has not left. False: it is none of those.
    pub(super) fn on_stored_operation(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        pdu: &Pdu<'_>,
        operation: &Operation<'_>,
        out: &mut Outbox,
    ) -> Result<bool, Refused> {
        let Some(records) = &self.records else { return Ok(false) };
        let given = Given::of_text(operation.id());
        let Some(key) = records.stored.find(esme, given) else { return Ok(false) };
        let Some(stand) = records.stored.get(key).map(|message| message.stand()) else { return Ok(false) };
        let leaves = matches!(stand, Stand::Told | Stand::Sent | Stand::Over);
        let changes = matches!(operation, Operation::Cancel(_) | Operation::Replace(_)) && !leaves;
        if changes
            && let Some(records) = &mut self.records
            && records.octets_of(key).are_to_come()
        {
            return self.operation_waits(key, (id, esme), pdu).map(|()| true);
        }
        let (command, sequence) = (pdu.command_id().response(), pdu.sequence_number());
        match operation {
            Operation::Query(query) => {
                let state =
                    if stand == Stand::Scheduled { MessageState::Scheduled } else { MessageState::Enroute };
                self.answer_with(now, (id, esme, pdu.command_id()), out, |session, to| {
                    // SCHEDULED came with 5.0.
                    let state = if session.version() < 0x50 { MessageState::Enroute } else { state };
                    let response = QuerySmResp {
                        message_id: query.message_id,
                        final_date: &[],
                        message_state: state.octet(),
                        error_code: 0,
                        tlvs: Tlvs::default(),
                    };
                    response.write(to, CommandStatus::OK, sequence);
                    CommandStatus::OK
                });
            }
            Operation::Cancel(_) if leaves => return Err((CommandStatus::CANCEL_FAILED, Reason::MessageId)),
            Operation::Cancel(_) => {
                self.end_stored(now, key, End::cancelled(), out);
                // It does not leave after a restart either.
                let last = self.records.as_ref().map(|records| records.pen.book.last());
                self.answer_after(now, (id, esme, pdu.command_id()), last, out, |_, to| {
                    write_header_only(to, command, CommandStatus::OK, sequence);
                    CommandStatus::OK
                });
            }
            Operation::Replace(_) if leaves => {
                return Err((CommandStatus::REPLACE_FAILED, Reason::MessageId));
            }
            Operation::Replace(replace) => self.replace_stored(now, (id, esme), (key, pdu), replace, out)?,
            Operation::CancelBroadcast(_) | Operation::Details(_) => return Ok(false),
        }
        Ok(true)
    }

    fn replace_stored(
        &mut self,
        now: Now,
        (id, esme): (LinkId, EsmeId),
        (key, pdu): (StoredKey, &Pdu<'_>),
        replace: &ReplaceSm<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        const FAILED: Refused = (CommandStatus::REPLACE_FAILED, Reason::MessageId);
        const FULL: Refused = (CommandStatus::QUEUE_FULL, Reason::JournalFull);
        let Some(message) = self.records.as_ref().and_then(|records| records.stored.get(key)) else {
            return Err(FAILED);
        };
        let former = message.frame().to_vec();
        let Some(Body::Sm(sm)) = Pdu::whole(&former).map(|pdu| Body::again(&pdu)) else { return Err(FAILED) };
        let content = replaced(&sm.content, replace);
        let changed = Sm { content, ..sm };
        let mut times = self.times(now, &Body::Sm(changed))?;
        let Self { records, config, .. } = self;
        let Some(records) = records else { return Err(FULL) };
        let Some(message) = records.stored.get_mut(key) else { return Err(FAILED) };
        if replace.validity_period.is_empty() {
            // What it does not say stays (SMPP 3.4 §5.2.16).
            let left = message.expires.since(now.mono);
            (times.validity, times.until) = (None, wall_after(now, left));
        }
        let kept = Content {
            validity_period: if replace.validity_period.is_empty() {
                sm.content.validity_period
            } else {
                &[]
            },
            ..content
        };
        let frame = form_sm(&Sm { content: kept, ..sm }, &times);
        if frame.len() > STORED_PDU_MAX {
            return Err((CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts));
        }
        let mut room = IdRoom::default();
        let record = Record::Accept {
            accepted: message.accepted.0,
            validity: times.until.0,
            due: times.schedule.map_or(0, |at| at.0),
            esme: config.esme_name(esme).as_bytes(),
            id: message.given.text_in(&mut room).unwrap_or_default(),
            pdu: &frame,
        };
        let lsn = records.pen.append(now, message.key, &record, None).ok_or(FULL)?;
        (message.lsn, message.origin, message.outcome) = (lsn, lsn, Lsn::NONE);
        message.registered = replace.registered_delivery;
        records.stored.has(key, frame);
        records.stored.expires(key, instant_of(now, times.until));
        if let Some(at) = times.schedule {
            records.stored.reschedule(key, instant_of(now, at));
        }
        let (command, sequence) = (pdu.command_id().response(), pdu.sequence_number());
        self.answer_after(now, (id, esme, pdu.command_id()), Some(lsn), out, |_, to| {
            write_header_only(to, command, CommandStatus::OK, sequence);
            CommandStatus::OK
        });
        Ok(())
    }

    /// What has come of the times of stored messages: they may leave, are tried again, or are over.
    pub(super) fn tick_stored(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..crate::limits::TIMERS_PER_TURN {
            let Some(records) = &mut self.records else { return };
            let Some(key) = records.stored.due(now.mono) else { break };
            let Some(message) = records.stored.get_mut(key) else { continue };
            let over = message.expires <= now.mono;
            match message.stand() {
                Stand::Over => {
                    if let Some(end) = message.end.take() {
                        self.end_stored(now, key, *end, out);
                    }
                }
                // Their record comes, or their carrier answers.
                Stand::Promised | Stand::Told | Stand::Sent => {}
                _ if over => {
                    let end = End::expired(message.status);
                    self.end_stored(now, key, end, out);
                }
                Stand::Scheduled => records.stored.line_up(key),
                Stand::Waits => records.stored.ready(key),
                Stand::Behind | Stand::Held | Stand::Ready => records.stored.looked_at(key),
            }
        }
    }

    /// Asks for the next look at what is stored.
    pub(super) fn look_later(&mut self) {
        let due = self.records.as_ref().and_then(|records| records.stored.next_due());
        if let Some(at) = due {
            self.tick_later(at, Timer::Stored);
        }
    }
}

/// What is answered while the disk fails like this: room may come, what is broken may not.
const fn while_failing(error: DiskError) -> CommandStatus {
    match error {
        DiskError::Full => CommandStatus::QUEUE_FULL,
        DiskError::Gone | DiskError::Failed(_) => CommandStatus::SYSTEM_ERROR,
    }
}

/// What a message says once it was replaced.
const fn replaced<'a>(former: &Content<'a>, replace: &ReplaceSm<'a>) -> Content<'a> {
    Content {
        schedule_delivery_time: replace.schedule_delivery_time,
        validity_period: replace.validity_period,
        registered_delivery: replace.registered_delivery,
        sm_default_msg_id: replace.sm_default_msg_id,
        short_message: replace.short_message,
        tlvs: replace.tlvs,
        ..*former
    }
}

/// The ACCEPT of a message, to be written again.
pub(super) fn accept_of<'a>(
    message: &'a StoredMessage,
    now: Now,
    config: &'a Config,
    room: &'a mut IdRoom,
) -> Record<'a> {
    let wall_of = |at: Instant| wall_after(now, at.since(now.mono));
    Record::Accept {
        accepted: message.accepted.0,
        validity: wall_of(message.expires).0,
        due: message.scheduled().map_or(0, |at| wall_of(at).0),
        esme: config.esme_name(message.esme).as_bytes(),
        id: message.given.text_in(room).unwrap_or_default(),
        pdu: message.frame(),
    }
}

/// Messages of an account to one destination keep their order; two destinations seldom share a chain.
pub(super) fn chain_of(esme: EsmeId, destination: &[u8]) -> u64 {
    hash::octets(hash::mix(u64::from(esme.0) + 1), destination)
}

/// What the final record of a message says; `frame`: as it is stored.
pub(super) fn open_of(message: &StoredMessage, frame: &[u8]) -> OpenMessage {
    let pdu = Pdu::whole(frame);
    let body = pdu.map_or(Body::Other, |pdu| Body::again(&pdu));
    let (source, destination) = (body.source(), body.destination());
    let mut open = OpenMessage::new(message.key, message.esme, message.accepted, source, destination);
    open.data_coding = body.data_coding();
    open.given = message.given;
    open.attempts = message.attempts;
    open.submitted = message.submitted;
    open.carrier = (message.attempts > 0).then_some(message.last);
    if let Body::Sm(sm) = body {
        open.parts = crate::smpp::segment::part_of(&sm.content).map_or(1, |part| part.total);
    }
    open
}

/// The receipt of a message that ends with us.
pub(super) fn own_receipt(open: &OpenMessage, end: &End, now: Now) -> Vec<u8> {
    let mut room = IdRoom::default();
    let id = open.given.text_in(&mut room).unwrap_or_default();
    own_receipt_of(&Resend {
        esme: open.esme,
        id: id.to_vec(),
        accepted: open.accepted,
        over: now.wall,
        source: open.source().to_vec(),
        destination: open.destination().to_vec(),
        end: end.clone(),
    })
}

/// The same by what the final record of a message says.
pub(super) fn own_receipt_of(resend: &Resend) -> Vec<u8> {
    let Resend { id, end, .. } = resend;
    let (submitted, done) = (receipt_date(resend.accepted), receipt_date(resend.over));
    let mut err = itoa::Buffer::new();
    let err = if end.status.0 <= 999 { err.format(end.status.0) } else { "000" };
    let err = if end.error.is_empty() { err.as_bytes() } else { end.error.as_slice() };
    let padded = [b"000".get(err.len()..).unwrap_or_default(), err].concat();
    let fields = ReceiptFields {
        id,
        sub: 1,
        dlvrd: delivered_of(end.state),
        submit_date: &submitted,
        done_date: &done,
        stat: end.state.stat().as_bytes(),
        err: &padded,
        text: b"",
    };
    let mut text = Vec::new();
    write_text(&mut text, &fields);
    let mut tlvs = Vec::new();
    write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, &[id, &b"\0"[..]].concat());
    write_tlv(&mut tlvs, Tag::MESSAGE_STATE, &[end.state.octet()]);
    let sm = Sm {
        service_type: &[],
        source: address(&resend.destination),
        destination: address(&resend.source),
        content: Content {
            esm_class: RECEIPT,
            short_message: &text,
            tlvs: Tlvs::lenient(&tlvs),
            ..Content::default()
        },
    };
    let mut frame = Vec::new();
    sm.write(&mut frame, CommandId::DELIVER_SM, 1);
    frame
}

/// An address of which the digits or letters are known.
fn address(digits: &[u8]) -> Address<'_> {
    let number = digits.iter().all(u8::is_ascii_digit);
    let (ton, npi) = if number { (1, 1) } else { (5, 0) };
    Address { ton, npi, digits: digits.get(..20).unwrap_or(digits) }
}

/// As a carrier gets it: its schedule is ours to keep, its validity a point in time, whenever it leaves.
fn form(pdu: &Pdu<'_>, body: &Body<'_>, times: &Times) -> Vec<u8> {
    match body {
        Body::Sm(sm) if needs_form(&sm.content) => form_sm(sm, times),
        _ => pdu.bytes().to_vec(),
    }
}

fn needs_form(content: &Content<'_>) -> bool {
    let relative = content.validity_period.last() == Some(&b'R');
    relative || !content.schedule_delivery_time.is_empty()
}

fn form_sm(sm: &Sm<'_>, times: &Times) -> Vec<u8> {
    let validity = times.validity.map(absolute);
    let validity_period =
        validity.as_ref().map_or(sm.content.validity_period, |validity| validity.as_slice());
    let content = Content { schedule_delivery_time: &[], validity_period, ..sm.content };
    let mut frame = Vec::with_capacity(256);
    Sm { content, ..*sm }.write(&mut frame, CommandId::SUBMIT_SM, 1);
    frame
}
