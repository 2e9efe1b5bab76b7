//! Who may send how much: what accounts that name a policy are held to.
//!
//! Owns: an account's bucket. Takes: submits of its sessions, as units. Gives: yes, or the refusal. Never: takes a part
//! of what it refuses, counts what another account sends.

use crate::counters::Reason;
use crate::smpp::status::CommandStatus;
use crate::throttle::{Rate, Throttle};
use crate::time::Instant;

/// `[policy.NAME]`: a template, from which each account has buckets of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The key in the configuration.
    pub name: String,
    /// Submits over all sessions of an account; `None`: no limit.
    pub rate: Option<Rate>,
    /// Submits that pass at once, 1–1,000,000.
    pub burst: u32,
}

/// Why a policy refuses a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The account is over its rate.
    Rate,
}

impl Refusal {
    /// What the ESME is answered.
    #[must_use]
    pub const fn status(self) -> CommandStatus {
        match self {
            Self::Rate => CommandStatus::THROTTLED, // retry later
        }
    }

    /// What it is counted as.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Rate => Reason::Rate,
        }
    }
}

/// What one account has left of its policy.
#[derive(Debug, Clone)]
pub struct Allowance {
    rate: Option<Throttle>,
}

impl Allowance {
    /// All of it.
    #[must_use]
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self { rate: settings.rate.map(|rate| Throttle::new(now, rate, settings.burst)) }
    }

    /// Takes the units of one message: one for each of its parts and destinations. All of them or none; a message of
    /// more than the burst passes when the bucket is full, and what it lacks is owed.
    ///
    /// # Errors
    /// The refusal, when they are not there.
    #[inline]
    pub fn take(&mut self, now: Instant, units: u32) -> Result<(), Refusal> {
        debug_assert!(units > 0, "nothing asks for nothing");
        let Some(rate) = &mut self.rate else { return Ok(()) };
        let taken = if units == 1 { rate.take(now, 1) } else { rate.take_or_owe(now, units) };
        if taken { Ok(()) } else { Err(Refusal::Rate) }
    }

    /// Gives back units of a message that will not come.
    pub fn give_back(&mut self, units: u32) {
        if let Some(rate) = &mut self.rate {
            rate.give_back(units);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn allowance(rate: Option<u64>, burst: u32) -> Allowance {
        let rate = rate.map(|units| Rate { units, per: Duration::from_secs(1) });
        Allowance::new(&Settings { name: "p".into(), rate, burst }, at(0))
    }

    #[test]
    fn a_policy_without_a_rate_refuses_nothing() {
        let mut allowance = allowance(None, 1);
        assert!((0..10_000).all(|_| allowance.take(at(0), 255).is_ok()));
        allowance.give_back(1);
    }

    #[test]
    fn a_message_takes_all_its_parts_or_none() {
        let mut allowance = allowance(Some(10), 5);
        assert_eq!(allowance.take(at(0), 3), Ok(()));
        assert_eq!(allowance.take(at(0), 3), Err(Refusal::Rate));
        assert_eq!(allowance.take(at(0), 2), Ok(()), "what was refused took nothing");
        assert_eq!(allowance.take(at(99), 1), Err(Refusal::Rate));
        assert_eq!(allowance.take(at(100), 1), Ok(()));
    }

    #[test]
    fn a_message_over_the_burst_needs_a_full_bucket_and_is_paid_for_afterwards() {
        let mut allowance = allowance(Some(10), 5);
        assert_eq!(allowance.take(at(0), 1), Ok(()));
        assert_eq!(allowance.take(at(99), 8), Err(Refusal::Rate), "not full");
        assert_eq!(allowance.take(at(100), 8), Ok(()));
        assert_eq!(allowance.take(at(100), 1), Err(Refusal::Rate));
        assert_eq!(allowance.take(at(499), 1), Err(Refusal::Rate), "three are owed, and one is asked for");
        assert_eq!(allowance.take(at(500), 1), Ok(()));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut allowance = allowance(Some(10), 5);
        assert_eq!(allowance.take(at(0), 5), Ok(()));
        allowance.give_back(4);
        assert_eq!(allowance.take(at(0), 5), Err(Refusal::Rate));
        assert_eq!(allowance.take(at(0), 4), Ok(()));
    }

    #[test]
    fn a_refusal_is_throttled_and_named_rate() {
        assert_eq!(Refusal::Rate.status(), CommandStatus::THROTTLED);
        assert_eq!(Refusal::Rate.reason().name(), "rate");
    }
}
