//! When the load generator sends, and when it is done. Owns: nothing of its own. Takes: time, room in windows. Gives:
//! submits on schedule or as windows allow, then the end of the run. Never: more than was asked for; a delay of its own
//! that counts as somebody else's.

use super::session::{Slot, State};
use super::template::Wanted;
use super::{Load, Phase, RECONNECT, SETTLE, TICK, TICK_RATE, UNBIND_MAX};
use crate::shard::port::{Action, CloseHow, Core, Input, Outbox};
use crate::smpp::command::CommandId;
use crate::smpp::frame::write_header_only;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::{Duration, Instant, Now};
use crate::tools::units::Share;

impl Load {
    fn may_send(&self) -> bool {
        self.phase == Phase::Sending && self.sent_max.is_none_or(|most| self.sent < most)
    }

    /// Sends what can be sent now; in a closed loop on the session at `index`.
    pub(super) fn send(&mut self, now: Now, index: usize, out: &mut Outbox) {
        match self.schedule {
            None => self.fill(now, index, out),
            Some(rate) => self.send_due(now, rate, out),
        }
    }

    /// Sends until the window or the output is full.
    fn fill(&mut self, now: Now, index: usize, out: &mut Outbox) {
        while self.may_send() && self.send_one(now.mono, index, out) {}
    }

    /// When the next message of a schedule is to be sent.
    fn intended(&self, rate: Rate) -> Instant {
        let nanos = rate.per.as_nanos() * u128::from(self.sent) / u128::from(rate.units);
        self.started.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn send_due(&mut self, now: Now, rate: Rate, out: &mut Outbox) {
        if self.blocked && self.has_room() {
            self.blocked = false;
            self.free_at = now.mono;
        }
        let sessions = self.sessions.len();
        while self.may_send() {
            let intended = self.intended(rate);
            if intended > now.mono || self.end_at.is_some_and(|end| end <= intended) {
                return;
            }
            self.last_tick = now.mono;
            let first = self.turn;
            let sent = (0..sessions).any(|step| {
                self.turn = (first + step + 1) % sessions;
                self.send_one(intended, (first + step) % sessions, out)
            });
            if !sent {
                self.blocked = true;
                return;
            }
            self.meter.sent(intended, self.free_at, now.mono);
        }
    }

    /// True when a session could send as far as its window goes.
    fn has_room(&self) -> bool {
        let window = self.settings.window;
        self.sessions.iter().any(|session| session.has_room(window))
    }

    /// Sends one message if the session has room.
    #[inline]
    fn send_one(&mut self, intended: Instant, index: usize, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get_mut(index) else { return false };
        let Some(link) = session.bound() else { return false };
        if !session.has_room(self.settings.window) || out.is_full(link) {
            return false;
        }
        let sequence = session.free_sequence();
        self.sent += 1;
        let number = self.sent;
        let shape = session.next_part.take().unwrap_or_else(|| self.template.shape(number));
        session.next_part = shape.next();
        let source = self.settings.number_of(session.account);
        let written = self.template.write(out.to(link), Wanted { shape, number, source, sequence });
        let (check, asked) = (written.check, written.asked);
        session.take_off(Slot { sequence, asked, check, number, intended, ..Slot::default() });
        self.counts.submitted.add(1);
        true
    }

    fn in_flight(&self) -> u64 {
        self.sessions.iter().map(|session| u64::from(session.in_flight)).sum()
    }

    /// Goes on to the next phase when this one is over.
    fn advance(&mut self, now: Now, out: &mut Outbox) {
        loop {
            let before = self.phase;
            match self.phase {
                Phase::Binding => self.after_binding(now, out),
                Phase::Sending => self.after_sending(now),
                Phase::Answers(until) => self.after_answers(now, until),
                Phase::Receipts(until) => {
                    let missing = self.owed - self.counts.receipts_matched.get();
                    if until <= now.mono || missing == 0 {
                        self.phase = Phase::Settling(now.mono.after(SETTLE));
                    }
                }
                Phase::Settling(until) if until <= now.mono => {
                    let matched = self.counts.receipts_matched.get();
                    self.counts.receipts_missing.add(self.owed - matched);
                    self.counts.receipts_unknown.add(self.early.len() as u64);
                    self.meter.finish(now, &self.counts);
                    self.unbind(now, out);
                }
                Phase::Unbinding(until) => {
                    let gone = self.sessions.iter().all(|session| session.state == State::Gone);
                    if gone || until <= now.mono {
                        self.phase = Phase::Done;
                        out.act(Action::Exit);
                    }
                }
                Phase::Settling(_) | Phase::Done => {}
            }
            if self.phase == before {
                return;
            }
        }
    }

    fn after_binding(&mut self, now: Now, out: &mut Outbox) {
        let pending = |state| matches!(state, State::Connecting(_) | State::Binding(_));
        if self.started == Instant::ZERO || self.sessions.iter().any(|session| pending(session.state)) {
            return;
        }
        let transmits = self.sessions.iter().any(|session| session.bound().is_some() && session.transmits());
        if !transmits || self.stopping {
            return self.unbind(now, out);
        }
        self.failure = None;
        // Those that failed at first are tried again while the run goes on.
        for session in self.sessions.iter_mut().filter(|session| session.state == State::Gone) {
            session.state = State::Connecting(Some(now.mono.after(RECONNECT)));
        }
        self.started = now.mono;
        self.record.line("start", &[&now.wall.0]);
        self.last_answer = now.mono;
        let warmup = self.settings.warmup();
        self.end_at = self.settings.span().map(|span| now.mono.after(warmup).after(span));
        self.sent_max = match (self.settings.total(), self.schedule) {
            (Some(total), Some(rate)) => Some(due_within(rate, warmup).saturating_add(total)),
            (total, _) if warmup.is_zero() => total,
            (_, _) => None,
        };
        self.meter.start(now, warmup, self.end_at, &self.counts);
        self.phase = Phase::Sending;
        for index in 0..self.sessions.len() {
            self.send(now, index, out);
        }
    }

    fn after_sending(&mut self, now: Now) {
        let over = self.end_at.is_some_and(|at| at <= now.mono);
        if !self.may_send() || over || self.stopping {
            if self.stopping {
                self.meter.end_measuring(now, now.mono, &self.counts);
            }
            self.phase = Phase::Answers(now.mono.after(self.settings.response_timeout));
        }
    }

    fn after_answers(&mut self, now: Now, until: Instant) {
        let open = self.in_flight();
        if open > 0 && now.mono < until {
            return;
        }
        self.counts.unanswered.add(open);
        for session in &mut self.sessions {
            session.forget();
        }
        // Unless the clock has ended it: what was asked for by number is measured to its last answer.
        self.meter.end_measuring(now, self.last_answer, &self.counts);
        self.phase = if self.settings.receipts != Share::NONE {
            Phase::Receipts(self.last_answer.after(self.settings.receipt_wait))
        } else {
            Phase::Settling(now.mono)
        };
    }

    fn unbind(&mut self, now: Now, out: &mut Outbox) {
        for session in &mut self.sessions {
            if let State::Bound(link) = session.state {
                let sequence = session.next_sequence();
                write_header_only(out.to(link), CommandId::UNBIND, CommandStatus::OK, sequence);
                session.state = State::Unbinding(link);
            } else if let State::Binding(link) = session.state {
                out.close(link, CloseHow::Now);
                session.state = State::Unbinding(link);
            } else if let State::Connecting(_) = session.state {
                session.state = State::Gone;
            }
        }
        self.phase = Phase::Unbinding(now.mono.after(UNBIND_MAX));
    }

    fn next_send(&self) -> Option<Instant> {
        let rate = self.schedule.filter(|_| self.may_send() && self.has_room())?;
        let fast = rate.units as f64 / rate.per.as_secs_f64() > TICK_RATE;
        let tick = if fast { self.last_tick.after(TICK) } else { Instant::ZERO };
        Some(self.intended(rate).max(tick))
    }

    /// Once the warm-up of a closed loop is over, it is known how many messages are sent in all.
    fn count_from_now(&mut self) {
        if self.sent_max.is_none() && self.phase == Phase::Sending && self.meter.is_measuring() {
            self.sent_max = self.settings.total().map(|total| self.sent.saturating_add(total));
        }
    }
}

/// Messages of a schedule that are due before `span` has passed.
fn due_within(rate: Rate, span: Duration) -> u64 {
    let due = (span.as_nanos() * u128::from(rate.units)).div_ceil(rate.per.as_nanos());
    u64::try_from(due).unwrap_or(u64::MAX)
}

impl Core for Load {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.meter.clock(now, &self.counts);
        self.count_from_now();
        match input {
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, out),
            Input::Time => {
                self.connect_due(now, out);
                self.send(now, usize::MAX, out);
            }
            Input::Connected { link, ticket } => self.on_connected(link, ticket, out),
            Input::ConnectFailed { ticket, reason } => self.on_connect_failed(now, ticket, reason),
            Input::Room { link } => {
                if let Some(index) = self.index_of(link) {
                    self.send(now, index, out);
                }
            }
            Input::Closed { link, reason } => self.on_closed(now, link, reason),
            Input::Drain => self.stopping = true,
            // It is alone.
            Input::Ask { .. } | Input::HandedOver { .. } | Input::Mail { .. } => {}
            Input::Accepted { .. } => debug_assert!(false, "nobody connects to it"),
        }
        self.advance(now, out);
        self.blocked |= self.schedule.is_some() && !self.has_room();
        self.record.flush();
    }

    fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Binding => (self.started == Instant::ZERO).then_some(Instant::ZERO),
            Phase::Sending => self.end_at,
            Phase::Answers(at) | Phase::Receipts(at) | Phase::Settling(at) | Phase::Unbinding(at) => Some(at),
            Phase::Done => None,
        };
        let dials = self.sessions.iter().filter_map(|session| match session.state {
            State::Connecting(at) => at,
            State::Binding(_) | State::Bound(_) | State::Unbinding(_) | State::Gone => None,
        });
        dials.chain(phase).chain(self.next_send()).chain(self.meter.deadline()).min()
    }
}
