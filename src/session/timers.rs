//! The timers of a session: session_init, enquire_link, inactivity, response (SMPP 5.0 §2.7), and the deadline of a
//! drain. Owns: instants. Takes: what was heard and sent. Gives: what is due. Never: a timer touched per PDU beyond
//! one store.

use super::State;
use super::window::Owner;
use crate::counters::Dropped;
use crate::limits::{ENQUIRE_TURNS, ENQUIRES_UNANSWERED, SESSION_DRAIN};
use crate::smpp::command::CommandId;
use crate::time::{Duration, Instant, sooner};

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Connected and not bound for so long: close.
    pub session_init: Duration,
    /// Silent for so long: send enquire_link. Zero: never.
    pub enquire_link: Duration,
    /// No PDU but enquire_link for so long: unbind. Zero: never.
    pub inactivity: Duration,
    /// A request of ours unanswered for so long has failed.
    pub response: Duration,
}

/// What `Session::tick` did or wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticked {
    /// The session did what was due.
    Nothing,
    /// A request of this owner, with this sequence number, was not answered in time; its slot is free.
    Expired(Owner, u32),
    /// Close the link.
    Close(Dropped),
}

pub(super) enum Due {
    Enquire,
    Inactive,
    Close(Dropped),
}

/// A bind, unbind or enquire_link of ours that waits for its answer; these take no window slot.
#[derive(Debug, Clone, Copy)]
struct Asked {
    command: CommandId,
    sequence: u32,
    at: Instant,
}

/// The timers of one session.
#[derive(Debug)]
pub struct Timers {
    settings: Settings,
    born: Instant,
    heard_at: Instant,
    /// The last PDU that was no enquire_link.
    active_at: Instant,
    /// A request of ours was overdue and nothing had been heard since it was sent, nor has been since.
    doubted: bool,
    enquire: Option<Asked>,
    /// Nothing was heard since the last enquire_link.
    silent: bool,
    enquires_unanswered: u32,
    control: Option<Asked>,
    drain_by: Option<Instant>,
    inactive: bool,
}

impl Timers {
    pub(super) fn new(now: Instant, settings: Settings) -> Self {
        Self {
            settings,
            born: now,
            heard_at: now,
            active_at: now,
            doubted: false,
            enquire: None,
            silent: false,
            enquires_unanswered: 0,
            control: None,
            drain_by: None,
            inactive: false,
        }
    }

    pub(super) fn bound(&mut self, now: Instant, settings: Settings) {
        self.settings = settings;
        self.up(now);
    }

    pub(super) fn up(&mut self, now: Instant) {
        self.heard_at = now;
        self.active_at = now;
        self.silent = false;
        self.doubted = false;
    }

    /// When the link came up.
    pub(super) const fn born(&self) -> Instant {
        self.born
    }

    /// When the peer was last heard.
    pub(super) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Any PDU is a sign of life.
    #[inline]
    pub(super) fn heard(&mut self, now: Instant, command: CommandId) {
        self.heard_at = now;
        self.silent = false;
        self.doubted = false;
        self.enquires_unanswered = 0;
        if command.request() != CommandId::ENQUIRE_LINK {
            self.active_at = now;
        }
    }

    pub(super) fn control(&mut self, now: Instant, command: CommandId, sequence: u32) {
        self.control = Some(Asked { command, sequence, at: now });
    }

    pub(super) fn enquired(&mut self, now: Instant, sequence: u32) {
        self.enquire = Some(Asked { command: CommandId::ENQUIRE_LINK, sequence, at: now });
        self.silent = true;
    }

    pub(super) fn drain(&mut self, now: Instant) {
        self.drain_by.get_or_insert(now.after(SESSION_DRAIN));
    }

    /// The control request that this response answers.
    pub(super) fn answer(&mut self, sequence: u32, response: CommandId) -> Option<CommandId> {
        for asked in [&mut self.control, &mut self.enquire] {
            let fits = asked.is_some_and(|asked| {
                asked.sequence == sequence
                    && (response == CommandId::GENERIC_NACK || response == asked.command.response())
            });
            if fits {
                return asked.take().map(|asked| asked.command);
            }
        }
        None
    }

    /// Requests sent at this instant or before are overdue.
    pub(super) fn response_limit(&self, now: Instant) -> Option<Instant> {
        let span = u64::try_from(self.settings.response.as_nanos()).ok()?;
        now.as_nanos().checked_sub(span).map(Instant::from_nanos)
    }

    /// A request of ours, sent at `sent_by` or before, is overdue. A peer that has said nothing since then is doubted
    /// until it does, and asked at once: it shall not cost another window.
    pub(super) fn overdue(&mut self, sent_by: Instant) {
        if self.heard_at <= sent_by && !self.settings.enquire_link.is_zero() {
            self.doubted = true;
        }
    }

    /// True while the peer may be dead.
    #[inline]
    pub(super) const fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// True while an enquire_link has been met by silence: what is heard next brings the deadline forward.
    #[inline]
    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Silence is broken by an enquire_link at this instant; while one is unanswered, by no other. Instants are rounded
    /// up, so that many idle sessions are asked in few turns instead of waking the shard for each.
    fn enquire_at(&self) -> Option<Instant> {
        let interval = self.settings.enquire_link;
        if interval.is_zero() || self.silent {
            return None;
        }
        if self.doubted {
            return Some(self.heard_at);
        }
        Some(self.heard_at.after(interval).rounded_up(interval / ENQUIRE_TURNS))
    }

    /// The peer is taken for dead when an enquire_link has been met by silence for the response time.
    fn dead_at(&self) -> Option<Instant> {
        let asked = self.enquire.filter(|_| self.silent)?;
        Some(asked.at.after(self.settings.response))
    }

    fn inactive_at(&self) -> Option<Instant> {
        let off = self.settings.inactivity.is_zero() || self.inactive;
        (!off).then(|| self.active_at.after(self.settings.inactivity))
    }

    fn control_at(&self) -> Option<Instant> {
        self.control.map(|asked| asked.at.after(self.settings.response))
    }

    pub(super) fn deadline(&self, state: State, oldest: Option<Instant>) -> Option<Instant> {
        let response = oldest.map(|at| at.after(self.settings.response));
        match state {
            State::Closed => None,
            State::Open | State::Outbound => {
                sooner(Some(self.born.after(self.settings.session_init)), self.control_at())
            }
            State::Bound(_) | State::Unbinding => {
                let enquire = self.enquire_at().filter(|_| state != State::Unbinding);
                let silence = sooner(enquire, sooner(self.dead_at(), self.inactive_at()));
                sooner(sooner(silence, response), sooner(self.control_at(), self.drain_by))
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant, state: State) -> Option<Due> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.control_at()) {
            return Some(Due::Close(Dropped::Control));
        }
        if matches!(state, State::Open | State::Outbound) {
            let late = due(Some(self.born.after(self.settings.session_init)));
            return late.then_some(Due::Close(Dropped::SessionInit));
        }
        if due(self.drain_by) {
            return Some(Due::Close(Dropped::Drain));
        }
        if due(self.dead_at()) {
            self.enquires_unanswered += 1;
            if self.enquires_unanswered >= ENQUIRES_UNANSWERED {
                return Some(Due::Close(Dropped::EnquireLink));
            }
            return Some(Due::Enquire);
        }
        if due(self.inactive_at()) {
            self.inactive = true;
            return Some(Due::Inactive);
        }
        // Whoever was told unbind answers that, or is gone.
        (state != State::Unbinding && due(self.enquire_at())).then_some(Due::Enquire)
    }
}
