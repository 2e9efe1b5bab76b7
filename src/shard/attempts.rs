//! Stored messages on their way to a carrier: who gets which next, what becomes of each attempt.
//!
//! Owns: nothing of its own. Takes: messages that may leave, what carriers say of them. Gives: each to a carrier with
//! room, once the record that says so is written; what was refused for now another attempt at its time; what is over to
//! `store`. Never: two attempts of one message at a time; an attempt that its journal does not know; asks again and again
//! where nobody can take anything: links that come up, answers and the pace wake it.

use super::Shard;
use super::failover::{Place, Wish};
use super::links::live;
use super::mail::{Indexed, Tag};
use super::message::{Delivery, IdFrom, Kind, Message, key_of_tag};
use super::mt::{Body, Response, has_room, receipts_asked, takes_now};
use super::port::Outbox;
use super::queues::Steer;
use super::records::Held;
use super::store::{accept_of, open_of};
use super::timers::Timer;
use crate::carrier::settings::OnStatus;
use crate::config::Config;
use crate::counters::Reason;
use crate::ids::{CarrierId, LinkId, PoolId};
use crate::journal::{Lsn, Record};
use crate::ledger::{
    AddressTail, Destinations, End, IdRoom, Octets, OpenKey, Stand, StoredKey, StoredMessage,
};
use crate::limits::{JOURNAL_OPEN_MAX, STORED_AGAIN, STORED_QUEUED_MAX};
use crate::route::lanes::reserved;
use crate::route::settings::OnUnknown;
use crate::route::table::carriers_of;
use crate::smpp::frame::Pdu;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Now};
use smallvec::SmallVec;

/// How soon it is looked again for a carrier that is up and gets nothing for now: it is ejected, or the only one that
/// may take what comes first.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is said of a first message that nobody takes now.
enum Nobody {
    /// It is not this message: those behind it wait as well.
    Room,
    /// Others may pass it.
    OnlyThis,
    /// Its other parts have failed.
    Failed,
    /// Its octets are on the disk: those behind it wait as well, until they are here.
    Away,
    /// Its octets cannot be read now.
    Lost,
}

/// The record of the last attempt of a message, to be written again with the time of that attempt.
pub(super) fn attempt_of<'a>(stored: &StoredMessage, now: Now, config: &'a Config) -> Record<'a> {
    let (attempt, carrier) = (stored.attempts, config.carrier_name(stored.last).as_bytes());
    if stored.unknown || matches!(stored.stand(), Stand::Told | Stand::Sent) {
        return Record::Sending { attempt, carrier };
    }
    let left = stored.waits_until().map_or(Duration::ZERO, |at| at.since(now.mono));
    let ago = Duration::from_micros(u64::try_from(now.wall.0 - stored.submitted.0).unwrap_or(0));
    let wait_ms = u32::try_from((ago + left).as_millis()).unwrap_or(u32::MAX);
    Record::Refused { attempt, status: stored.status.0, wait_ms, carrier }
}

impl Shard {
    /// Once a turn: what may leave goes to those who have room.
    pub(super) fn pump_stored(&mut self, now: Now, out: &mut Outbox) {
        if self.draining || !self.records.as_ref().is_some_and(|records| records.stored.any_ready()) {
            return;
        }
        if self.records.as_ref().is_some_and(|records| records.pen.recorder.failed().is_some()) {
            // No attempt can be written: after a crash it would be made twice.
            return self.tick_later(now.mono.after(LOOK_AGAIN), Timer::Stored);
        }
        for pool in (0..self.config.pools.len()).map(PoolId::new) {
            self.pump_lane(now, pool, out);
        }
    }

    fn pump_lane(&mut self, now: Now, pool: PoolId, out: &mut Outbox) {
        // A bit for each class whose first message nobody takes now, or that is not here.
        let (mut blocked, mut no_room) = (0_u128, false);
        while let Some((class, key)) = self.next_ready(pool, blocked) {
            match self.choose_for(now, key, out) {
                Ok(carrier) => {
                    if !self.tell(now, key, carrier, out) {
                        // The ring has no room for its record.
                        return self.tick_later(now.mono.after(STORED_AGAIN), Timer::Stored);
                    }
                }
                Err(Nobody::Room) => {
                    blocked |= 1 << class;
                    no_room = true;
                }
                Err(Nobody::Away) => {
                    blocked |= 1 << class;
                    if let Some(records) = &mut self.records {
                        records.fetch_lane(pool, class);
                    }
                }
                Err(Nobody::Lost) => self.unreadable(now, key),
                Err(Nobody::OnlyThis) => {
                    if let Some(records) = &mut self.records {
                        records.stored.told(key);
                        records.stored.wait(key, now.mono.after(LOOK_AGAIN));
                    }
                }
                Err(Nobody::Failed) => {
                    let (status, reason) = (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier);
                    self.end_stored(now, key, End::refused_by_us(status, reason), out);
                }
            }
        }
        if no_room {
            self.wait_for_room(now, pool, out);
        }
    }

    /// The message whose turn it is in a pool.
    fn next_ready(&mut self, pool: PoolId, blocked: u128) -> Option<(usize, StoredKey)> {
        let Self { records, classes, .. } = self;
        let records = records.as_mut()?;
        let firsts: SmallVec<[Option<StoredKey>; 8]> = (0..classes.len())
            .map(
                |class| {
                    if blocked & 1 << class == 0 { records.stored.first_ready(pool, class) } else { None }
                },
            )
            .collect();
        let turns = records.turns.get_mut(pool.index())?;
        let class = turns.next(classes, |class| firsts.get(class).is_some_and(Option::is_some))?;
        Some((class, firsts.get(class).copied().flatten()?))
    }

    /// The carrier that the first message of a lane goes to.
    fn choose_for(&mut self, now: Now, key: StoredKey, out: &Outbox) -> Result<CarrierId, Nobody> {
        match self.records.as_mut().map(|records| records.octets_of(key)) {
            Some(Octets::Away | Octets::Coming) => return Err(Nobody::Away),
            Some(Octets::Lost) => return Err(Nobody::Lost),
            Some(Octets::Here) | None => {}
        }
        let stored = self.records.as_ref().and_then(|records| records.stored.get(key)).ok_or(Nobody::Room)?;
        let (frame, esme, pool) = (stored.frame().to_vec(), stored.esme, stored.pool);
        let tried = stored.tried().to_vec();
        let pdu = Pdu::whole(&frame).ok_or(Nobody::Failed)?;
        let body = Body::again(&pdu);
        let lower = self.level_of(esme) > 0;
        let part = self.part_key(esme, &body);
        let placed = part.and_then(|(part, _)| self.affinity.place(now.mono, part));
        if let Some(placed) = placed {
            if placed.failed {
                return Err(Nobody::Failed);
            }
            if placed.sent > 0 {
                let takes = self.takes_stored(now, placed.carrier, lower, &body, out);
                return if takes { Ok(placed.carrier) } else { Err(Nobody::OnlyThis) };
            }
        }
        let wish = Wish { esme, pool: Some(pool), part, tried: &tried, lower };
        let nobody = if tried.is_empty() { Nobody::Room } else { Nobody::OnlyThis };
        let carrier = match self.pick(now.mono, &wish, &body, out) {
            Some(Place::Session(carrier, _) | Place::Away(carrier)) => carrier,
            Some(Place::Queue(_)) | None => return Err(nobody),
        };
        if self.is_here(carrier) && self.free_slots(carrier, lower, out) <= self.told_to(carrier) {
            return Err(Nobody::Room);
        }
        Ok(carrier)
    }

    /// True when this carrier takes a message now.
    fn takes_stored(
        &mut self,
        now: Now,
        carrier: CarrierId,
        lower: bool,
        body: &Body<'_>,
        out: &Outbox,
    ) -> bool {
        if !self.is_here(carrier) {
            return self.sends_now(carrier) && self.room_at(carrier).at_all && self.fits_at(carrier, body);
        }
        if self.free_slots(carrier, lower, out) <= self.told_to(carrier) {
            return false;
        }
        let state = self.carriers.get_mut(carrier.index());
        state.is_some_and(|state| takes_now(state, now.mono, body))
    }

    /// Free slots of a carrier's windows here; `lower`: for a message that others have a higher priority than.
    fn free_slots(&self, carrier: CarrierId, lower: bool, out: &Outbox) -> u32 {
        let Some(state) = self.carriers.get(carrier.index()) else { return 0 };
        let free = |(link, kind): (LinkId, crate::session::BindKind)| {
            let slot =
                live(&self.links, link).filter(|_| kind.transmits() && has_room(&self.links, link, out));
            slot.map_or(0, |slot| {
                let window = slot.session.window();
                let kept = if lower { reserved(window.max()) } else { 0 };
                window.max().saturating_sub(window.used() + kept)
            })
        };
        state.sessions().map(free).sum()
    }

    /// Messages whose records are on their way: they go to this carrier when those are written.
    #[inline]
    pub(super) fn told_to(&self, carrier: CarrierId) -> u32 {
        self.records.as_ref().and_then(|records| records.leaving.get(carrier.index())).copied().unwrap_or(0)
    }

    /// Nobody of this pool takes what comes first: who wakes us.
    fn wait_for_room(&mut self, now: Now, pool: PoolId, out: &mut Outbox) {
        for carrier in carriers_of(&self.config.pools, pool) {
            if !self.sends_now(carrier) {
                continue; // Its bind wakes us.
            }
            if !self.is_here(carrier) {
                self.want_room(now.mono, carrier, out);
                self.tick_later(now.mono.after(LOOK_AGAIN), Timer::Stored);
                continue;
            }
            self.wait_for_pace(now, carrier);
            // A class that waits for slots that are not its own is woken by the next answer.
            if self.free_slots(carrier, true, out) > self.told_to(carrier) {
                self.tick_later(now.mono.after(LOOK_AGAIN), Timer::Stored);
            }
        }
    }

    /// Writes that a message goes to this carrier. False when the journal has no room.
    fn tell(&mut self, now: Now, key: StoredKey, carrier: CarrierId, out: &mut Outbox) -> bool {
        let Self { records, config, .. } = self;
        let Some(records) = records else { return false };
        let Some(message) = records.stored.get_mut(key) else { return false };
        let (number, esme) = (message.key, message.esme);
        let attempt = message.attempts.saturating_add(1);
        let record = Record::Sending { attempt, carrier: config.carrier_name(carrier).as_bytes() };
        let Some(lsn) = records.pen.append(now, number, &record, None) else { return false };
        (message.attempts, message.outcome, message.last) = (attempt, lsn, carrier);
        message.unknown = false;
        records.stored.told(key);
        records.fetch_behind(key);
        if let Some(told) = records.leaving.get_mut(carrier.index()) {
            *told += 1;
        }
        self.ours_leaves(carrier);
        if self.is_written(esme, lsn) {
            self.send_stored(now, key, carrier, true, out);
        } else {
            self.hold_written(lsn, Held::Sending(key, carrier));
        }
        true
    }

    /// Its record is written: it goes. `safe`: it is; else it never will be.
    pub(super) fn send_stored(
        &mut self,
        now: Now,
        key: StoredKey,
        carrier: CarrierId,
        safe: bool,
        out: &mut Outbox,
    ) {
        let Some(records) = &mut self.records else { return };
        if let Some(told) = records.leaving.get_mut(carrier.index()) {
            *told = told.saturating_sub(1);
        }
        let Some(stored) = records.stored.get_mut(key) else { return };
        stored.submitted = now.wall;
        let (esme, link, pool, given) = (stored.esme, stored.link, stored.pool, stored.given);
        let (attempts, registered) = (u32::from(stored.attempts), stored.registered);
        let deadline = now.mono.after(STORED_QUEUED_MAX);
        let open = open_of(stored, stored.frame());
        let room = records.open.len() < JOURNAL_OPEN_MAX;
        // Its receipt may send it elsewhere.
        let again =
            self.config.pools.get(pool.index()).is_some_and(|pool| !pool.reroute_on_receipt.is_empty());
        let Some(frame) = records.stored.sent(key, again) else { return };
        let frame = self.retained.take_in(frame);
        let Some(pdu) = Pdu::whole(&frame) else { return debug_assert!(false, "stored whole") };
        let body = Body::again(&pdu);
        self.serial += 1;
        let (kind, serial) = (Kind::Stored(key), self.serial);
        let mut message = self.messages.make(|| Message::new(now.mono, kind, (esme, link), &pdu, serial));
        message.pool = Some(pool);
        message.level = self.level_of(esme);
        message.carrier = carrier;
        message.id_from = IdFrom::Already(given);
        message.destination = Destinations::One(AddressTail::of(body.destination()));
        message.awaited = u16::from(receipts_asked(registered));
        message.part = self.part_key(esme, &body);
        // `written` counts this attempt.
        message.attempts = attempts.saturating_sub(1);
        let timeout = self.carriers.get(carrier.index()).map(|state| state.settings.response_timeout);
        message.deadline = deadline.after(timeout.unwrap_or_default());
        let place =
            if room && safe && !self.draining { self.place_at(now, carrier, &body, out).ok() } else { None };
        message.frame = frame;
        match (place, &mut self.records) {
            (Some(place), Some(records)) => {
                message.open = records.open.insert(open).unwrap_or_default();
                self.move_on(now, message, place, out);
            }
            _ => self.not_taken(now, message),
        }
    }

    /// The octets of a message are with its entry again; its records are its own.
    fn take_back(&mut self, message: &mut Message) -> Option<StoredKey> {
        let Kind::Stored(key) = message.kind else { return None };
        let frame = core::mem::take(&mut message.frame);
        let frame = self.retained.hand_out(frame);
        self.forget_open(message.open);
        message.open = OpenKey::default();
        self.records.as_mut()?.stored.has(key, frame);
        Some(key)
    }

    /// It was not written to the carrier after all.
    pub(super) fn not_taken(&mut self, now: Now, mut message: Box<Message>) {
        if let Some((part, number)) = message.part {
            self.affinity.refused(now.mono, part, number);
        }
        let Some(key) = self.take_back(&mut message) else { return };
        self.record_refused(now, key, CommandStatus::OK, Duration::ZERO);
        let Some(records) = &mut self.records else { return };
        if let Some(stored) = records.stored.get_mut(key) {
            stored.attempts = stored.attempts.saturating_sub(1);
        }
        records.stored.ready_first(key);
    }

    /// Its last attempt has ended, and there is another at its time.
    fn record_refused(&mut self, now: Now, key: StoredKey, status: CommandStatus, wait: Duration) {
        let Self { records, config, counters, .. } = self;
        let Some(records) = records else { return };
        let Some(message) = records.stored.get_mut(key) else { return };
        let record = Record::Refused {
            attempt: message.attempts,
            status: status.0,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            carrier: config.carrier_name(message.last).as_bytes(),
        };
        match records.pen.append(now, message.key, &record, None) {
            Some(lsn) => message.outcome = lsn,
            // After a crash now it would not be known whether the carrier has it.
            None => counters.journal_left_out.bump(),
        }
    }

    /// A carrier refused it.
    pub(super) fn stored_refused(
        &mut self,
        now: Now,
        mut message: Box<Message>,
        status: CommandStatus,
        out: &mut Outbox,
    ) {
        let carrier = message.carrier;
        let action = self.carriers.get(carrier.index()).map(|state| state.settings.on_status(status));
        if let Some((part, number)) = message.part {
            if action == Some(OnStatus::Fail) {
                self.affinity.failed(now.mono, part, number);
            } else {
                self.affinity.refused(now.mono, part, number);
            }
        }
        let Some(key) = self.take_back(&mut message) else { return };
        let Some(stored) = self.records.as_mut().and_then(|records| records.stored.get_mut(key)) else {
            return;
        };
        stored.status = status;
        let (pool, attempts, over) = (stored.pool, stored.attempts, stored.expires <= now.mono);
        match action {
            None | Some(OnStatus::Fail) => {
                if let Some(cells) = self.counters.esmes.get(message.esme.index()) {
                    cells.refused_by_carrier.bump();
                }
                self.end_stored(now, key, End::refused(status), out);
            }
            Some(_) if over => self.end_stored(now, key, End::expired(status), out),
            Some(OnStatus::SlowDown) => {
                // Its pace is cut; a throttled attempt is none.
                stored.attempts = attempts.saturating_sub(1);
                self.record_refused(now, key, status, Duration::ZERO);
                if let Some(records) = &mut self.records {
                    records.stored.ready_first(key);
                }
            }
            Some(OnStatus::Next) => {
                let tried = stored.tried.get_or_insert_default();
                if !tried.contains(&carrier) {
                    tried.push(carrier);
                }
                let tried = tried.clone();
                let others = carriers_of(&self.config.pools, pool);
                if others.iter().any(|other| !tried.contains(other) && self.sends_now(*other)) {
                    self.record_refused(now, key, status, Duration::ZERO);
                    if let Some(records) = &mut self.records {
                        records.stored.ready_first(key);
                    }
                } else {
                    self.wait_stored(now, key, status);
                }
            }
            Some(OnStatus::Retry) => self.wait_stored(now, key, status),
        }
    }

    /// Its next attempt is at its time.
    fn wait_stored(&mut self, now: Now, key: StoredKey, status: CommandStatus) {
        let wait = self.wait_after(key);
        self.record_refused(now, key, status, wait);
        self.wait_for(now, key, wait);
    }

    fn wait_for(&mut self, now: Now, key: StoredKey, wait: Duration) {
        let Some(records) = &mut self.records else { return };
        if let Some(stored) = records.stored.get_mut(key) {
            stored.tried = None;
        }
        records.stored.wait(key, now.mono.after(wait));
    }

    /// The wait before the next attempt, with its jitter.
    fn wait_after(&mut self, key: StoredKey) -> Duration {
        let Self { records, config, prng, .. } = self;
        let (Some(records), Some(journal)) = (records, &config.journal) else { return LOOK_AGAIN };
        let retry = &journal.retry;
        let attempts = records.stored.get(key).map_or(1, |stored| usize::from(stored.attempts.max(1)));
        let wait = retry.waits.get(attempts - 1).or(retry.waits.last()).copied().unwrap_or(LOOK_AGAIN);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let span = millis * u64::from(retry.jitter) / 100;
        let drawn = millis - span + prng.below(2 * span + 1);
        Duration::from_millis(drawn.max(1))
    }

    /// It was written to a carrier and will not be answered any more.
    pub(super) fn stored_unknown(&mut self, now: Now, mut message: Box<Message>, out: &mut Outbox) {
        if let Some((part, number)) = message.part {
            self.affinity.refused(now.mono, part, number);
        }
        let Some(key) = self.take_back(&mut message) else { return };
        self.unknown_stored(now, key, Duration::ZERO, out);
    }

    /// The same, so long ago.
    pub(super) fn unknown_stored(&mut self, now: Now, key: StoredKey, ago: Duration, out: &mut Outbox) {
        let Some(stored) = self.records.as_mut().and_then(|records| records.stored.get_mut(key)) else {
            return;
        };
        stored.unknown = true;
        let (esme, pool) = (stored.esme, stored.pool);
        let pool = self.config.pools.get(pool.index());
        let policy = pool.map_or(OnUnknown::Fail, |pool| pool.on_unknown);
        let wait = match policy {
            OnUnknown::Fail => {
                self.count_refusal(esme, Reason::Unknown);
                let account = self.accounts.get(esme.index());
                let status =
                    account.map_or(CommandStatus::SUBMIT_FAILED, |account| account.settings.unknown_status);
                return self.end_stored(now, key, End::unknown(status), out);
            }
            OnUnknown::Resend => self.wait_after(key),
            OnUnknown::Hold => pool.map_or(Duration::ZERO, |pool| pool.resend_after),
        };
        self.wait_for(now, key, wait.saturating_sub(ago));
    }

    /// A carrier has accepted it.
    pub(super) fn stored_sent(
        &mut self,
        now: Now,
        key: StoredKey,
        message: &Message,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) {
        let Some(stored) = self.records.as_mut().and_then(|records| records.stored.remove(key)) else {
            return;
        };
        let given = stored.given;
        let response = Response::parse(pdu);
        let pool = self.config.pools.get(stored.pool.index());
        if pool.is_some_and(|pool| !pool.reroute_on_receipt.is_empty())
            && let Some(records) = &mut self.records
        {
            records.open.may_go_again(message.open, stored.anew());
        }
        let lsn = self.record_accepted(now, message, response.id(), given, None);
        if self.is_here(message.carrier) {
            let record = lsn.map_or(0, |_| message.open.number());
            self.index(now, message, response.id(), (given, record), out);
        }
    }

    /// A carrier accepted a message after its time: when it waits whether one does, that is its answer.
    pub(super) fn on_late_stored(&mut self, now: Now, stored: u64, mut indexed: Indexed, out: &mut Outbox) {
        let key: StoredKey = key_of_tag(Tag(stored));
        if let Some(record) = self.stored_late(now, key, indexed.carrier, &indexed.id) {
            indexed.record = record;
        }
        let new = indexed.entry(self.mark_of(indexed.esme, indexed.link, out));
        self.keep_at_home(now, &new, out);
    }

    fn stored_late(&mut self, now: Now, key: StoredKey, carrier: CarrierId, id: &[u8]) -> Option<u64> {
        let records = self.records.as_mut()?;
        let waits = |stored: &StoredMessage| stored.unknown && stored.stand() == Stand::Waits;
        let stored = records.stored.get(key).filter(|stored| waits(stored))?;
        let (esme, link, given, registered) = (stored.esme, stored.link, stored.given, stored.registered);
        let pdu = Pdu::whole(stored.frame())?;
        let mut message = Message::new(now.mono, Kind::Stored(key), (esme, link), &pdu, 0);
        message.carrier = carrier;
        message.attempts = u32::from(stored.attempts);
        message.awaited = u16::from(receipts_asked(registered));
        let open = records.open.insert(open_of(&stored, stored.frame()))?;
        message.open = open;
        records.stored.remove(key);
        self.record_accepted(now, &message, id, given, None).map(|_| open.number())
    }

    /// A receipt says that a message did not arrive, and its pool that it is to be tried elsewhere: its record begins
    /// anew. `None`: it is its receipt.
    pub(super) fn go_again(
        &mut self,
        now: Now,
        delivery: &Delivery,
    ) -> Option<Result<(StoredKey, Lsn), CommandStatus>> {
        let Self { records, config, counters, .. } = self;
        let records = records.as_mut()?;
        let again = records.open.again(delivery.record).filter(|_| delivery.is_final)?;
        let pool = config.pools.get(again.pool.index())?;
        if !pool.reroute_on_receipt.contains(&delivery.state) || again.expires <= now.mono {
            return None;
        }
        let mut room = IdRoom::default();
        let record = accept_of(again, now, config, &mut room);
        let Some(lsn) = records.pen.append(now, again.key, &record, None) else {
            return Some(Err(CommandStatus::RECEIVER_TEMPORARY));
        };
        let mut message = records.open.goes_again(delivery.record)?;
        records.open.remove(delivery.record);
        (message.lsn, message.origin) = (lsn, lsn);
        let mut last = lsn;
        if message.is_rerouted() {
            // What an operator has said of it was over with its SENT.
            match records.pen.append(now, message.key, &Steer::of(&message).record(config), None) {
                Some(lsn) => (last, message) = (lsn, message.steered(false, true)),
                None => counters.journal_left_out.bump(),
            }
        }
        message.tried = Some(Box::new(SmallVec::from_slice(&[delivery.carrier])));
        Some(Ok((records.stored.insert(message), last)))
    }

    fn is_written(&self, esme: crate::ids::EsmeId, lsn: Lsn) -> bool {
        self.records.as_ref().is_none_or(|records| records.is_written(self.promises_nothing(esme), lsn))
    }

    fn hold_written(&mut self, lsn: Lsn, held: Held) {
        if let Some(records) = &mut self.records {
            records.hold_written(lsn, held);
        }
    }
}
