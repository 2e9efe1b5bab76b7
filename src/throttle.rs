//! Token bucket (GCRA form): one timestamp, no timer. Owns: the next theoretical arrival. Takes: the time.
//! Gives: yes, or when to ask again. Never: refuses what rate and burst allow.

use crate::time::{Duration, Instant};

/// A rate in units per second with a burst. `burst` units pass at once from rest; the long-run rate is exact.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// Nanoseconds that one unit costs, in 1/1024 ns so that high rates stay exact.
    cost: u64,
    /// How far ahead of now the schedule may run, same unit.
    tolerance: u64,
    /// When the schedule is next free, same unit. 2^64 / 1024 ns are 208 days; see `now_scaled`.
    free_at: u64,
    origin: Instant,
}

const SCALE: u64 = 1024;

/// A rate: `units` per `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units allowed in one `per`, 1 or more.
    pub units: u64,
    /// The span, more than zero.
    pub per: Duration,
}

impl Throttle {
    /// A full bucket: `burst` units pass at once (at least 1).
    #[must_use]
    pub fn new(now: Instant, rate: Rate, burst: u32) -> Self {
        let cost = cost_of(rate);
        Self { cost, tolerance: cost.saturating_mul(u64::from(burst.max(1))), free_at: 0, origin: now }
    }

    fn now_scaled(&mut self, now: Instant) -> u64 {
        let mut elapsed = now.since(self.origin).as_nanos() as u64;
        if elapsed > u64::MAX / SCALE / 4 {
            // Move the origin so that the scaled clock never overflows; an idle bucket is full anyway.
            let behind = self.free_at / SCALE;
            let shift = elapsed.min(behind.max(elapsed.saturating_sub(1)));
            self.origin = self.origin.after(Duration::from_nanos(shift));
            self.free_at = self.free_at.saturating_sub(shift * SCALE);
            elapsed -= shift;
        }
        elapsed * SCALE
    }

    /// Takes `units` if the bucket holds them all; takes nothing otherwise.
    pub fn take(&mut self, now: Instant, units: u32) -> bool {
        let clock = self.now_scaled(now);
        let start = self.free_at.max(clock);
        let end = start.saturating_add(self.cost.saturating_mul(u64::from(units)));
        if end > clock.saturating_add(self.tolerance) {
            return false;
        }
        self.free_at = end;
        true
    }

    /// As `take`; a full bucket also gives more than it holds. What it lacks is owed, and nothing passes before it is
    /// paid.
    pub fn take_or_owe(&mut self, now: Instant, units: u32) -> bool {
        if self.take(now, units) {
            return true;
        }
        let clock = self.now_scaled(now);
        if self.free_at > clock || units <= self.most() {
            return false;
        }
        self.free_at = clock.saturating_add(self.cost.saturating_mul(u64::from(units)));
        true
    }

    /// Gives back `units` that were taken and not used.
    pub fn give_back(&mut self, units: u32) {
        self.free_at = self.free_at.saturating_sub(self.cost.saturating_mul(u64::from(units)));
    }

    /// Units that could be taken now.
    pub fn available(&mut self, now: Instant) -> u32 {
        let clock = self.now_scaled(now);
        let room = clock.saturating_add(self.tolerance).saturating_sub(self.free_at.max(clock));
        u32::try_from(room / self.cost.max(1)).unwrap_or(u32::MAX)
    }

    /// Units that can be taken from rest.
    #[must_use]
    pub fn most(&self) -> u32 {
        u32::try_from(self.tolerance / self.cost.max(1)).unwrap_or(u32::MAX)
    }

    /// Another rate from now on. From rest one unit passes; after that the schedule may be made up for as far as
    /// `slack`, so that a driver that looks a little late loses nothing.
    pub fn set_pace(&mut self, rate: Rate, slack: Duration) {
        let slack = u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX).saturating_mul(SCALE);
        self.cost = cost_of(rate);
        self.tolerance = self.cost.saturating_add(slack);
    }

    /// Lets nothing pass before `until`.
    pub fn hold(&mut self, now: Instant, until: Instant) {
        let clock = self.now_scaled(now);
        let wait = u64::try_from(until.since(now).as_nanos()).unwrap_or(u64::MAX).saturating_mul(SCALE);
        let free_at = clock.saturating_add(wait).saturating_add(self.tolerance).saturating_sub(self.cost);
        self.free_at = self.free_at.max(free_at);
    }

    /// When one unit can next be taken; `now` or earlier if it can be now.
    pub fn ready_at(&mut self, now: Instant) -> Instant {
        let clock = self.now_scaled(now);
        let wait =
            self.free_at.saturating_add(self.cost).saturating_sub(clock.saturating_add(self.tolerance));
        now.after(Duration::from_nanos(wait.div_ceil(SCALE)))
    }
}

/// What one unit costs, in 1/1024 ns.
fn cost_of(rate: Rate) -> u64 {
    let nanos = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX / SCALE);
    nanos.saturating_mul(SCALE) / rate.units.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const RATE: Rate = Rate { units: 100, per: Duration::from_secs(1) };

    #[test]
    fn a_burst_passes_and_the_next_is_refused() {
        let mut throttle = Throttle::new(at(0), RATE, 100);
        assert!((0..100).all(|_| throttle.take(at(0), 1)));
        assert!(!throttle.take(at(0), 1));
        assert_eq!(throttle.ready_at(at(0)), at(10));
        assert!(throttle.take(at(10), 1));
    }

    #[test]
    fn the_long_run_rate_is_exact() {
        let mut throttle = Throttle::new(at(0), RATE, 100);
        let passed = (0..600_000u64).filter(|&ms| throttle.take(at(ms), 1)).count();
        // Ten minutes at 100/s and the burst at the start.
        assert!((60_000..=60_100).contains(&passed), "{passed}");
    }

    #[test]
    fn a_message_that_does_not_fit_whole_takes_nothing() {
        let mut throttle = Throttle::new(at(0), RATE, 10);
        assert!(throttle.take(at(0), 8));
        assert!(!throttle.take(at(0), 3));
        assert!(throttle.take(at(0), 2));
        throttle.give_back(2);
        assert_eq!(throttle.available(at(0)), 2);
    }

    #[test]
    fn only_a_full_bucket_gives_more_than_it_holds_and_the_long_run_rate_stays_exact() {
        let mut throttle = Throttle::new(at(0), RATE, 10);
        assert!(throttle.take(at(0), 1));
        assert!(!throttle.take_or_owe(at(9), 11), "nearly full");
        assert!(throttle.take_or_owe(at(10), 30));
        assert_eq!(throttle.ready_at(at(10)), at(220), "20 are owed, and one more has to come");
        assert!(!throttle.take_or_owe(at(219), 1));
        assert!(throttle.take_or_owe(at(220), 1));
        let passed = (0..60_000u64).filter(|&ms| throttle.take_or_owe(at(220 + ms), 30)).count();
        assert!((199..=201).contains(&passed), "{passed} of 30 in a minute at 100/s");
    }

    #[test]
    fn a_pace_passes_one_at_a_time_and_makes_up_for_its_slack_only() {
        let mut throttle = Throttle::new(at(0), RATE, 100);
        throttle.set_pace(RATE, Duration::from_millis(2));
        assert!(throttle.take(at(0), 1));
        assert_eq!(throttle.ready_at(at(0)), at(8));
        assert!(throttle.take(at(8), 1));
        assert!(!throttle.take(at(17), 1), "the slack is used up");
        assert!(throttle.take(at(500), 1));
        assert!(!throttle.take(at(500), 1), "rest earns no burst");
    }

    #[test]
    fn nothing_passes_while_it_is_held() {
        let mut throttle = Throttle::new(at(0), RATE, 10);
        throttle.hold(at(0), at(300));
        assert!(!throttle.take(at(299), 1));
        assert_eq!(throttle.ready_at(at(100)), at(300));
        assert!(throttle.take(at(300), 1));
    }

    #[test]
    fn a_year_of_uptime_does_not_overflow() {
        let mut throttle = Throttle::new(at(0), RATE, 10);
        for day in 0..365u64 {
            let now = at(day * 86_400_000);
            assert!((0..10).all(|_| throttle.take(now, 1)), "day {day}");
            assert!(!throttle.take(now, 1), "day {day}");
        }
    }
}
