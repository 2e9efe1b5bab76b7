//! Messages that wait for a carrier: for room in its windows, for its pace, for a session at all.
//!
//! Owns: nothing of its own; the queues stand in the carriers. Takes: messages that cannot leave now. Gives: them to
//! a session, in order, as soon as one can take them, or their answer when their time is over. Never: grows over
//! `queue_max`, starts an attempt that cannot finish.

use super::Shard;
use super::failover::Wish;
use super::mail::NotTaken;
use super::message::{DeliveryKey, GuestKind, Kind, Message, MessageKey};
use super::mt::{Body, fits, has_room_for};
use super::port::Outbox;
use super::timers::Timer;
use crate::counters::Reason;
use crate::esme::Account;
use crate::ids::CarrierId;
use crate::ledger::End;
use crate::route::Ask;
use crate::route::lanes::Turns;
use crate::smpp::frame::Pdu;
use crate::smpp::status::CommandStatus;
use crate::time::Now;
use smallvec::SmallVec;

impl Shard {
    /// Lets a message wait for this carrier, behind those that came before it.
    pub(super) fn enqueue(
        &mut self,
        now: Now,
        mut message: Box<Message>,
        carrier: CarrierId,
        pdu: &Pdu<'_>,
    ) -> Result<MessageKey, (CommandStatus, Reason)> {
        message.carrier = carrier;
        debug_assert!(message.frame.is_empty());
        let Some(frame) = self.retained.copy(pdu.bytes()) else {
            self.messages.keep(message);
            return Err((CommandStatus::THROTTLED, Reason::Retained));
        };
        message.frame = frame;
        let key = self.messages.insert(message);
        self.line_up(now, key, carrier);
        Ok(key)
    }

    /// Puts a message that holds its octets into a carrier's queue: by its priority, then by its serial, so that one
    /// which was refused stands before those that came after it.
    pub(super) fn line_up(&mut self, now: Now, key: MessageKey, carrier: CarrierId) {
        let Self { carriers, messages, expiry, .. } = self;
        let (Some(state), Some(message)) = (carriers.get_mut(carrier.index()), messages.get(key)) else {
            return;
        };
        let (place, deadline) = ((message.level, message.serial), message.deadline);
        let before =
            |&other: &MessageKey| messages.get(other).is_none_or(|other| (other.level, other.serial) < place);
        // Nearly always at one of the ends.
        let at = match state.queue.back() {
            Some(last) if !before(last) => state.queue.iter().take_while(|other| before(other)).count(),
            Some(_) | None => state.queue.len(),
        };
        state.queue.insert(at, key);
        let sooner = expiry.get_mut(carrier.index()).filter(|expiry| **expiry > deadline);
        let sooner = sooner.map(|expiry| *expiry = deadline).is_some();
        self.count_queued(carrier);
        self.count_held(now, carrier);
        if sooner {
            self.tick_later(deadline, Timer::Queue(carrier));
        }
        if at == 0 {
            self.wait_for_pace(now, carrier);
        }
    }

    pub(super) fn count_queued(&mut self, carrier: CarrierId) {
        self.changed(carrier);
        let queued = self.carriers.get(carrier.index()).map_or(0, |carrier| carrier.queue.len());
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.queued.set(queued as u64);
        }
    }

    /// Something waits for this carrier: for what, for the operator.
    fn count_held(&mut self, now: Now, carrier: CarrierId) {
        let Self { carriers, counters, .. } = self;
        let (Some(state), Some(cells)) =
            (carriers.get_mut(carrier.index()), counters.carriers.get(carrier.index()))
        else {
            return;
        };
        let paced = state.pace.available(now.mono) == 0;
        let cell = match (paced, state.pace.is_cut()) {
            (true, true) => &cells.held_throttled,
            (true, false) => &cells.held_pace,
            (false, _) => &cells.held_window,
        };
        cell.bump();
    }

    /// A carrier whose queue has room: one that is bound before one that is not.
    pub(super) fn pick_queue(
        &mut self,
        now: Now,
        wish: &Wish<'_>,
        body: &Body<'_>,
    ) -> Result<CarrierId, (CommandStatus, Reason)> {
        let Some(pool) = wish.pool else { return Err((CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)) };
        let outstanding = self.outstanding(pool);
        let open_away = self.rooms(pool, |room| room.at_all);
        let up_away: SmallVec<[CarrierId; 8]> =
            open_away.iter().copied().filter(|carrier| self.sends_now(*carrier)).collect();
        let own = self.position.shard;
        let Self { carriers, balance, position, .. } = self;
        let count = |carrier: CarrierId| outstanding.get(carrier.index()).copied().unwrap_or(0);
        let ask = Ask { now: now.mono, destination: body.destination(), outstanding: &count };
        let mut fits_any = false;
        let mut sends_any = false;
        for bound_only in [true, false] {
            let found = balance.choose(pool, &ask, &mut |id| {
                let Some(carrier) = carriers.get(id.index()) else { return false };
                let fits = fits(carrier, body);
                fits_any |= fits;
                sends_any |= carrier.may_ever_send();
                let (open, up) = if position.homes.of_carrier(id) == own {
                    let open = carrier.queue.len() < carrier.settings.queue_max as usize;
                    (open, if bound_only { carrier.can_send() } else { carrier.may_ever_send() })
                } else {
                    let up = if bound_only { up_away.contains(&id) } else { carrier.may_ever_send() };
                    (open_away.contains(&id), up)
                };
                fits && open && up && !wish.tried.contains(&id)
            });
            if let Some(path) = found {
                balance.charge(&path);
                return Ok(path.carrier);
            }
        }
        Err(if !fits_any {
            (CommandStatus::INVALID_MESSAGE_LENGTH, Reason::Parts)
        } else if sends_any {
            (CommandStatus::QUEUE_FULL, Reason::QueueFull)
        } else {
            (CommandStatus::SYSTEM_ERROR, Reason::NoCarrier)
        })
    }

    /// Sends what waits for a carrier, as long as there is room.
    pub(super) fn pump(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        loop {
            let Self { carriers, links, messages, turns, .. } = self;
            let Some(state) = carriers.get_mut(carrier.index()) else { return };
            let Some(&first) = state.queue.front() else { return };
            let Some(head) = messages.get(first) else {
                state.queue.pop_front();
                continue;
            };
            let level = head.level;
            let several = state
                .queue
                .back()
                .and_then(|last| messages.get(*last))
                .is_some_and(|last| last.level > level);
            let turns = turns.get_mut(carrier.index());
            let at = if several && turns.is_some_and(Turns::is_lower_s_turn) {
                state.queue.partition_point(|key| messages.get(*key).is_none_or(|other| other.level <= level))
            } else {
                0
            };
            let Some(&key) = state.queue.get(at) else { return };
            let Some(message) = messages.get(key) else {
                state.queue.remove(at);
                continue;
            };
            let lower = message.level > 0;
            // No attempt starts that cannot be answered, or cannot finish.
            // The session of a guest is elsewhere; its end is told in a letter.
            let gone = !matches!(message.kind, Kind::Guest(_) | Kind::Stored(_))
                && links
                    .get(message.link.index())
                    .and_then(Option::as_ref)
                    .is_none_or(|slot| slot.id != message.link);
            if gone || message.deadline < now.mono.after(state.settings.response_timeout) {
                state.queue.remove(at);
                self.count_queued(carrier);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                continue;
            }
            let part = message.part;
            let placed = part.and_then(|(part, _)| self.affinity.place(now.mono, part));
            if let Some(placed) = placed
                && (placed.failed || (placed.sent > 0 && placed.carrier != carrier))
            {
                state.queue.remove(at);
                self.count_queued(carrier);
                // Another part failed while it waited, or its other parts went elsewhere.
                if placed.failed {
                    self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
                } else if self.is_here(placed.carrier) {
                    self.line_up(now, key, placed.carrier);
                } else if let Some(message) = self.messages.remove(key) {
                    self.decide_again(now, message, out);
                }
                continue;
            }
            if state.pace.available(now.mono) == 0 {
                self.count_held(now, carrier);
                return self.wait_for_pace(now, carrier);
            }
            let Some(link) = state.next_sender(|link| has_room_for(links, link, lower, out)) else {
                return self.count_held(now, carrier);
            };
            state.queue.remove(at);
            self.count_queued(carrier);
            self.send_held(now.mono, key, carrier, link, out);
        }
    }

    /// Looks again when the carrier's pace allows the next PDU.
    pub(super) fn wait_for_pace(&mut self, now: Now, carrier: CarrierId) {
        let Some(state) = self.carriers.get_mut(carrier.index()) else { return };
        if state.pace.available(now.mono) == 0 {
            let ready = state.pace.ready_at(now.mono);
            self.tick_later(ready, Timer::Carrier(carrier));
        }
    }

    /// Ends a message that waits: with what a carrier refused it with, if one did; else it was never written.
    pub(super) fn give_up(
        &mut self,
        now: Now,
        key: MessageKey,
        status: CommandStatus,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let Some(mut message) = self.messages.remove(key) else { return };
        let refused = message.refusal != CommandStatus::OK;
        let status = if refused { message.refusal } else { status };
        if let Kind::Guest(guest) = message.kind {
            return self.give_back(now, guest, message, NotTaken::Over { status, reason, refused }, out);
        }
        if matches!(message.kind, Kind::Stored(_)) {
            return self.not_taken(now, message);
        }
        if refused {
            if let Some(cells) = self.counters.esmes.get(message.esme.index()) {
                cells.refused_by_carrier.bump();
            }
        } else {
            self.count_refusal(message.esme, reason);
        }
        self.part_failed(now, &message);
        let end = if refused { End::refused(status) } else { End::refused_by_us(status, reason) };
        self.end_message(now, &message, end);
        if let Kind::Part(multi) = message.kind {
            self.on_part_failed(now, multi, &message.frame, status, out);
        } else {
            self.answer_status(now, &message, status, out);
        }
        self.retained.release(core::mem::take(&mut message.frame));
        self.messages.keep(message);
    }

    /// A carrier can send no more, or another can again: what waits there, and was never written, is decided again.
    /// What only this carrier can answer stays.
    pub(super) fn reroute(&mut self, now: Now, carrier: CarrierId, out: &mut Outbox) {
        let Some(state) = self.carriers.get_mut(carrier.index()) else { return };
        let waiting = core::mem::take(&mut state.queue);
        for key in waiting {
            let stays = |message: &Message| match message.kind {
                Kind::Guest(guest) => guest.what == GuestKind::Operation,
                Kind::Submit | Kind::Part(_) | Kind::Operation(_) | Kind::Plain => message.pool.is_none(),
                Kind::Stored(_) => false,
            };
            if self.messages.get(key).is_some_and(stays) {
                if let Some(state) = self.carriers.get_mut(carrier.index()) {
                    state.queue.push_back(key);
                }
                continue;
            }
            let Some(message) = self.messages.remove(key) else { continue };
            if let Kind::Guest(guest) = message.kind {
                self.give_back(now, guest, message, NotTaken::Moved, out);
            } else if matches!(message.kind, Kind::Stored(_)) {
                self.not_taken(now, message);
            } else if self.link(message.link).is_none() {
                let key = self.messages.insert(message);
                self.give_up(now, key, CommandStatus::SYSTEM_ERROR, Reason::NoCarrier, out);
            } else {
                self.decide_again(now, message, out);
            }
        }
        self.count_queued(carrier);
    }

    /// The octets of a message that was sent are kept while another attempt is possible, or its answer needs them.
    pub(super) fn keep_frame(&mut self, key: MessageKey, frame: Vec<u8>) {
        let accounts = &self.accounts;
        match self.messages.get_mut(key) {
            Some(message) if message.frame.is_empty() && !message.away && needs_frame(accounts, message) => {
                message.frame = frame
            }
            _ => self.retained.release(frame),
        }
    }
}

/// Whether a message's octets may be wanted after it was written.
pub(super) fn needs_frame(accounts: &[Account<DeliveryKey>], message: &Message) -> bool {
    match message.kind {
        Kind::Part(_) | Kind::Stored(_) => true,
        Kind::Submit => {
            let account = accounts.get(message.esme.index());
            account.is_some_and(|account| message.attempts < account.settings.attempts_max)
        }
        Kind::Guest(guest) => guest.what != GuestKind::Operation,
        Kind::Operation(_) | Kind::Plain => false,
    }
}
