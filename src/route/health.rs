//! Whether a member of a pool is well: who fails too often gets nothing for a while, and then slowly more.
//!
//! Owns: the errors and successes of the last span, and how often it was ejected. Takes: outcomes: timeouts, lost
//! sessions, transient and session-fatal statuses are errors, every other answer is good. Gives: its state. Never:
//! ejects the last one; `allowed` sees to that for a whole pool.
//!
//! ```text
//!             errors over the share                  for_time × times            steps over for_time
//!   Healthy ─────────────────────────▶ Ejected ───────────────────▶ Returning ─────────────────────▶ Healthy
//!                                         ▲     errors over the share   │
//!                                         └─────── times doubles ───────┘
//! ```
//!
//! One account's bad messages are no proof: it takes errors of two accounts, or of many messages.

use super::settings::EjectSettings;
use crate::ids::EsmeId;
use crate::limits::{EJECT_BUCKETS, EJECT_GROWTH_MAX, EJECT_MESSAGES, RETURN_SHARES};
use crate::time::{Duration, Instant};

/// How one message ended, seen as a sign of the carrier's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, whatever the answer says about the message.
    Good,
    /// Timeout, lost session, transient or session-fatal status.
    Error,
}

/// What a member may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its whole share.
    Healthy,
    /// Nothing.
    Ejected {
        /// When it begins to return.
        until: Instant,
    },
    /// A part of its share.
    Returning {
        /// How much, percent, 1–99.
        share_percent: u32,
    },
}

impl State {
    /// The percentage of its share that a member may be given.
    #[must_use]
    pub const fn share_percent(self) -> u32 {
        match self {
            Self::Healthy => 100,
            Self::Ejected { .. } => 0,
            Self::Returning { share_percent } => share_percent,
        }
    }
}

/// What happened in one part of the span.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    good: u32,
    errors: u32,
    /// Whose the first error was, and whether another account had one too.
    first: Option<EsmeId>,
    several: bool,
}

/// The health of one member.
#[derive(Debug, Clone)]
pub struct Health {
    settings: EjectSettings,
    buckets: [Bucket; EJECT_BUCKETS],
    /// The bucket of now, and when it ends.
    at: usize,
    ends: Instant,
    /// The last ejection.
    ejected: Option<Ejection>,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    until: Instant,
    /// When the whole share is back.
    healthy: Instant,
    /// `for_time` was taken so many times.
    times: u32,
    /// The outcomes since `until` are counted afresh.
    returned: bool,
}

impl Health {
    /// A member that is well.
    #[must_use]
    pub fn new(settings: &EjectSettings) -> Self {
        Self {
            settings: *settings,
            buckets: [Bucket::default(); EJECT_BUCKETS],
            at: 0,
            ends: Instant::ZERO,
            ejected: None,
        }
    }

    /// What it may be given now.
    #[inline]
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let Some(ejection) = self.ejected else { return State::Healthy };
        if now < ejection.until {
            return State::Ejected { until: ejection.until };
        }
        if now >= ejection.healthy {
            return State::Healthy;
        }
        let whole = ejection.healthy.since(ejection.until).as_nanos().max(1);
        let step = now.since(ejection.until).as_nanos() * RETURN_SHARES.len() as u128 / whole;
        RETURN_SHARES
            .get(step as usize)
            .map_or(State::Healthy, |&share_percent| State::Returning { share_percent })
    }

    /// A message of this account ended. True when the member is ejected by it.
    #[inline]
    pub fn record(&mut self, now: Instant, esme: EsmeId, outcome: Outcome) -> bool {
        if let Some(ejection) = &mut self.ejected {
            if now < ejection.until {
                // What was under way when it was ejected says nothing new.
                return false;
            }
            if !ejection.returned {
                ejection.returned = true;
                self.buckets = [Bucket::default(); EJECT_BUCKETS];
            }
        }
        self.turn(now);
        let Some(bucket) = self.buckets.get_mut(self.at) else { return false };
        match outcome {
            Outcome::Good => {
                bucket.good = bucket.good.saturating_add(1);
                false
            }
            Outcome::Error => {
                bucket.errors = bucket.errors.saturating_add(1);
                bucket.several |= *bucket.first.get_or_insert(esme) != esme;
                self.judge(now)
            }
        }
    }

    /// Ejects when the errors are too many.
    fn judge(&mut self, now: Instant) -> bool {
        let sum =
            |of: fn(&Bucket) -> u32| self.buckets.iter().map(|bucket| u64::from(of(bucket))).sum::<u64>();
        let errors = sum(|bucket| bucket.errors);
        let all = errors + sum(|bucket| bucket.good);
        let over = errors * 100 >= all * u64::from(self.settings.errors_percent);
        if !over || !(errors >= u64::from(EJECT_MESSAGES) || self.several_accounts()) {
            return false;
        }
        let times = match self.ejected {
            // Again while it returns, or as soon as it had: longer.
            Some(last) if now < last.healthy.after(self.settings.for_time) => {
                (last.times * 2).min(EJECT_GROWTH_MAX)
            }
            Some(_) | None => 1,
        };
        let until = now.after(self.settings.for_time.saturating_mul(times));
        let healthy = until.after(self.settings.for_time);
        self.ejected = Some(Ejection { until, healthy, times, returned: false });
        true
    }

    fn several_accounts(&self) -> bool {
        let mut firsts = self.buckets.iter().filter_map(|bucket| bucket.first);
        let first = firsts.next();
        self.buckets.iter().any(|bucket| bucket.several) || firsts.any(|other| Some(other) != first)
    }

    /// Goes on to the bucket of now and empties those in between.
    #[inline]
    fn turn(&mut self, now: Instant) {
        if now < self.ends {
            return;
        }
        let width = (self.settings.over / EJECT_BUCKETS as u32).max(Duration::from_nanos(1));
        let passed = now.since(self.ends).as_nanos() / width.as_nanos();
        if passed >= EJECT_BUCKETS as u128 {
            self.buckets = [Bucket::default(); EJECT_BUCKETS];
            self.ends = now.after(width);
            return;
        }
        for _ in 0..=passed {
            self.at = (self.at + 1) % EJECT_BUCKETS;
            self.ends = self.ends.after(width);
            if let Some(bucket) = self.buckets.get_mut(self.at) {
                *bucket = Bucket::default();
            }
        }
    }
}

/// Which members of a pool may be asked, a bit for each: those that are not ejected, or all when all are.
#[must_use]
pub fn allowed(states: impl Iterator<Item = State>) -> u64 {
    let (mut allowed, mut all) = (0u64, 0u64);
    for (index, state) in states.enumerate().take(u64::BITS as usize) {
        all |= 1 << index;
        if state.share_percent() > 0 {
            allowed |= 1 << index;
        }
    }
    if allowed == 0 { all } else { allowed }
}

#[cfg(test)]
mod tests;
