//! How fast a carrier is written to: its configured rate, and under it what it turns out to take.
//!
//! Owns: the rate, what was accepted and refused under it. Takes: answers, each with the time when its request was
//! written. Gives: whether one more PDU may leave, and when. Never: a session; it stays while they come and go, so a
//! reconnect forgets nothing.
//!
//! ```text
//!   Free    ──throttled──────────▶ Deep     cut by cut_percent
//!   Deep    ──refuses many───────▶ Settled  to what is accepted meanwhile
//!   any cut ──refuses few────────▶ Step     a little under what was refused
//!   Step    ──refuses many───────▶ Deep     the carrier's rate has fallen
//!   any cut ──grow_over without──▶ Free     grown to the refused rate soon, resting there, then past it
//! ```
//!
//! Only refusals of PDUs written under the present rate say something about it; those written before are a part of
//! the refusal that set it. While a carrier refuses many, what it accepts is its rate; when it refuses few, the rate
//! was right but for a step.

use super::settings::PaceSettings;
use crate::throttle::{Rate, Throttle};
use crate::time::{Duration, Instant};

/// Rates are in PDUs per 1,000,000 s, so that one per hour is no zero.
const MICRO: u64 = 1_000_000;
/// What a refusal costs when the right rate is nearly known, per thousand; twice as much each time that the rate
/// that was refused is not reached again.
const STEP: u64 = 15;
/// The most of that.
const STEP_MAX: u64 = 120;
/// A span of accepted PDUs that is long enough to be a rate.
const SPAN: Duration = Duration::from_secs(1);
/// The same, when at least half of them were refused.
const SPAN_REFUSED: Duration = Duration::from_millis(100);
/// The same after a step; the rest of a spent second is to be over.
const SPAN_STEP: Duration = Duration::from_millis(250);
/// A refusal after so long without one means that a growing rate has just reached the carrier's.
const SPAN_QUIET: Duration = Duration::from_secs(1);
/// How far the driver may look late without losing a PDU.
const SLACK: Duration = Duration::from_millis(2);
/// How often the rate is looked at while it grows.
const UPDATE: Duration = Duration::from_millis(20);
/// Longest stop after a refusal.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Growth after a rate that is a first estimate, per thousand and second.
const SEARCH: u64 = 100;
/// Refusals that are more than a stray one.
const REFUSED_FEW: u64 = 3;
/// Refusals and acceptances from which a share can be told.
const REFUSED_MANY: u64 = 8;
/// The ceiling of a carrier without a rate, while it grows: so many times what was refused.
const CEILING_GUESS: u64 = 4;
/// The time to the refused rate is at most this part of `grow_over`.
const APPROACH: u64 = 5;

/// The pace of one carrier.
#[derive(Debug, Clone)]
pub struct Pace {
    settings: PaceSettings,
    /// PDUs per 1,000,000 s.
    configured: Option<u64>,
    ceiling: Option<Throttle>,
    cut: Option<Cut>,
    seen: Seen,
    /// When it was last cut and is free again.
    freed_at: Option<Instant>,
}

/// A pace under the ceiling.
#[derive(Debug, Clone)]
struct Cut {
    throttle: Throttle,
    rate: u64,
    /// The rate that grows, when it began and what was refused last.
    low: u64,
    from: Instant,
    high: u64,
    /// What it grows to in `grow_over`, and when it passes `high`.
    top: u64,
    approach: Duration,
    update_at: Instant,
    /// Answers to what was written since `from`.
    accepted: u64,
    refused: u64,
    /// When the last of those that were refused was written.
    refused_at: Instant,
    /// It was refused again well under what was refused before.
    again: bool,
    /// How it was cut.
    kind: Kind,
    /// By how much, per thousand, if by a step.
    step: u64,
    /// The rate is a first estimate.
    search: bool,
}

/// How the pace was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By `cut_percent`: nothing better was known, what is accepted now tells the rate.
    Deep,
    /// To what was accepted. Refusals that follow at once are those of an empty bucket or a spent second.
    Settled,
    /// By one step: the rate was right until now.
    Step,
}

/// How a cut is begun.
#[derive(Debug, Clone, Copy)]
struct Start {
    low: u64,
    high: u64,
    kind: Kind,
    step: u64,
    search: bool,
}

impl Start {
    /// A refusal at this rate, which was right until now.
    fn step(rate: u64, step: u64) -> Self {
        Self { low: less(rate, step), high: rate, kind: Kind::Step, step, search: false }
    }

    /// A refusal at this rate, and nothing better is known.
    fn deep(rate: u64, cut_percent: u32) -> Self {
        let low = rate / 100 * u64::from(100u32.saturating_sub(cut_percent));
        Self { low, high: rate, kind: Kind::Deep, step: STEP, search: false }
    }

    /// Just under what the carrier accepted, and lower than what it refused.
    fn settled(known: u64, refused: u64) -> Self {
        let high = known.min(less(refused, STEP));
        Self { low: less(high, STEP), high, kind: Kind::Settled, step: STEP, search: false }
    }
}

impl Pace {
    /// The configured rate, or no limit, until the carrier throttles.
    #[must_use]
    pub fn new(now: Instant, settings: &PaceSettings, configured: Option<Rate>, burst: u32) -> Self {
        Self {
            settings: *settings,
            configured: configured.map(micro),
            ceiling: configured.map(|rate| Throttle::new(now, rate, burst)),
            cut: None,
            seen: Seen::default(),
            freed_at: None,
        }
    }

    /// PDUs that may leave now.
    #[inline]
    pub fn available(&mut self, now: Instant) -> u32 {
        if self.ceiling.is_none() && self.cut.is_none() {
            return u32::MAX;
        }
        self.available_within(now)
    }

    fn available_within(&mut self, now: Instant) -> u32 {
        self.grow(now);
        let ceiling = self.ceiling.as_mut().map_or(u32::MAX, |ceiling| ceiling.available(now));
        self.cut.as_mut().map_or(ceiling, |cut| cut.throttle.available(now).min(ceiling))
    }

    /// PDUs that may leave at once after a rest.
    #[must_use]
    pub fn most(&self) -> u32 {
        let ceiling = self.ceiling.as_ref().map_or(u32::MAX, Throttle::most);
        self.cut.as_ref().map_or(ceiling, |cut| cut.throttle.most().min(ceiling))
    }

    /// One PDU leaves; false when none may.
    #[inline]
    pub fn take(&mut self, now: Instant) -> bool {
        if self.ceiling.is_none() && self.cut.is_none() {
            self.seen.add(now);
            return true;
        }
        if self.available(now) == 0 {
            return false;
        }
        self.seen.add(now);
        let ceiling = self.ceiling.as_mut().is_none_or(|ceiling| ceiling.take(now, 1));
        let cut = self.cut.as_mut().is_none_or(|cut| cut.throttle.take(now, 1));
        debug_assert!(ceiling && cut, "asked before");
        true
    }

    /// When the next PDU may leave; `now` or earlier if it may now.
    pub fn ready_at(&mut self, now: Instant) -> Instant {
        self.grow(now);
        let ceiling = self.ceiling.as_mut().map_or(now, |ceiling| ceiling.ready_at(now));
        self.cut.as_mut().map_or(ceiling, |cut| cut.throttle.ready_at(now).max(ceiling))
    }

    /// A PDU written at `sent` was not throttled, whatever else became of it.
    #[inline]
    pub fn accepted(&mut self, sent: Instant) {
        if let Some(cut) = &mut self.cut
            && sent >= cut.from
        {
            cut.accepted += 1;
        }
    }

    /// A PDU written at `sent` was refused with a throttling status.
    pub fn throttled(&mut self, now: Instant, sent: Instant) {
        self.grow(now);
        let start = match &mut self.cut {
            None => Some(self.first(now)),
            Some(cut) if sent < cut.from => None,
            Some(cut) => cut.refused(sent, &self.settings),
        };
        if let Some(start) = start {
            self.begin(now, start);
        }
    }

    /// PDUs per second at most, `None` without limit.
    pub fn rate(&mut self, now: Instant) -> Option<f64> {
        self.grow(now);
        let rate = self.cut.as_ref().map(|cut| cut.rate).or(self.configured);
        rate.map(|rate| rate as f64 / MICRO as f64)
    }

    /// True while the carrier's throttling keeps it under its ceiling.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// The refusal that ends freedom.
    fn first(&mut self, now: Instant) -> Start {
        if let Some(configured) = self.configured
            && self.freed_at.is_some_and(|at| now.since(at) < self.settings.grow_over)
        {
            // It grew back a moment ago: the ceiling is about right, only its burst is not.
            return Start::step(configured, STEP);
        }
        let seen = self.seen.rate(now);
        let base = self.configured.map_or(seen, |configured| seen.min(configured));
        Start::deep(base, self.settings.cut_percent)
    }

    fn begin(&mut self, now: Instant, start: Start) {
        let ceiling = self.configured.unwrap_or(u64::MAX);
        let min = micro(self.settings.min).clamp(1, ceiling);
        let low = start.low.clamp(min, ceiling);
        let high = start.high.clamp(low, ceiling);
        let top = self.configured.unwrap_or_else(|| high.saturating_mul(CEILING_GUESS));
        let grow_over = self.settings.grow_over;
        let pause = Duration::from_nanos(MICRO * 1_000_000_000 / low).min(PAUSE_MAX);
        let from = now.after(pause);
        let mut throttle = match self.cut.take() {
            Some(cut) => cut.throttle,
            None => Throttle::new(now, per_million_seconds(low), 1),
        };
        throttle.set_pace(per_million_seconds(low), SLACK);
        throttle.hold(now, from);
        self.cut = Some(Cut {
            throttle,
            rate: low,
            low,
            from,
            high,
            top,
            approach: approach(high - low, top - high, grow_over),
            update_at: from,
            accepted: 0,
            refused: 0,
            refused_at: from,
            again: false,
            kind: start.kind,
            step: start.step,
            search: start.search,
        });
    }

    /// Lets the rate grow with the time.
    #[inline]
    fn grow(&mut self, now: Instant) {
        if let Some(cut) = &mut self.cut
            && now >= cut.update_at
        {
            if now.since(cut.from) >= self.settings.grow_over {
                self.cut = None;
                self.freed_at = Some(now);
                return;
            }
            cut.update_at = now.after(UPDATE);
            cut.rate = cut.grown(now, self.settings.grow_over);
            cut.throttle.set_pace(per_million_seconds(cut.rate), SLACK);
        }
    }
}

impl Cut {
    /// The rate now: the cube law, fast up to what was refused, flat there, then ever faster to the top.
    fn grown(&self, now: Instant, grow_over: Duration) -> u64 {
        let age = now.since(self.from);
        let cubed = |rise: u64, part: Duration, whole: Duration| {
            let part = part.as_micros().min(whole.as_micros());
            let whole = whole.as_micros().max(1);
            // Three divisions keep the numbers small: spans are below 2^40 µs, rates below 2^64.
            (0..3).fold(u128::from(rise), |rise, _| rise * part / whole) as u64
        };
        let rate = if age < self.approach {
            self.high - cubed(self.high - self.low, self.approach.saturating_sub(age), self.approach)
        } else {
            let rest = grow_over.saturating_sub(self.approach);
            self.high + cubed(self.top - self.high, age.saturating_sub(self.approach), rest)
        };
        if !self.search {
            return rate;
        }
        let search = u128::from(self.low) * age.as_millis() * u128::from(SEARCH) / MICRO as u128;
        rate.max(self.low.saturating_add(search as u64)).min(self.top)
    }

    /// A refusal under the present rate: `None` while it does not say enough.
    fn refused(&mut self, sent: Instant, settings: &PaceSettings) -> Option<Start> {
        self.refused += 1;
        let all = self.accepted + self.refused;
        let span = sent.since(self.from);
        let few = self.refused >= REFUSED_FEW;
        let found = self.search && sent.since(self.refused_at) >= SPAN_QUIET;
        self.refused_at = sent;
        // The rate has grown since; this is the one that was too much.
        let rate = self.grown(sent, settings.grow_over);
        let short = rate < self.high - (self.high - self.low) / 5;
        self.again |= self.kind == Kind::Step && short && span >= SPAN_STEP;
        if span >= SPAN {
            if few && self.refused * 25 >= all && !found {
                // It was over the carrier's rate all the time.
                let search = self.kind == Kind::Deep || (self.search && self.refused * 5 >= all);
                return Some(Start { search, ..Start::settled(self.measured(span), rate) });
            }
            let step = if self.again { (self.step * 2).min(STEP_MAX) } else { STEP };
            return Some(Start::step(rate, step));
        }
        match self.kind {
            Kind::Settled => None,
            Kind::Deep => {
                let many = self.accepted >= REFUSED_MANY && self.refused >= self.accepted;
                let settles = many && span >= SPAN_REFUSED;
                settles.then(|| Start { search: true, ..Start::settled(self.measured(span), rate) })
            }
            Kind::Step if !few || self.refused * 8 < all || span < SPAN_STEP => None,
            Kind::Step => Some(Start::deep(rate, settings.cut_percent)),
        }
    }

    /// What was accepted in this span, as a rate.
    fn measured(&self, span: Duration) -> u64 {
        let micros = span.as_micros().max(1);
        (u128::from(self.accepted) * u128::from(MICRO) * u128::from(MICRO) / micros) as u64
    }
}

/// When the rate passes the refused one: as if one curve of the third degree led from `fall` below it to `rise` above.
fn approach(fall: u64, rise: u64, grow_over: Duration) -> Duration {
    let ratio = cube_root(u128::from(rise) * 1_000_000_000 / u128::from(fall.max(1)));
    let whole = grow_over.as_nanos();
    let at = (whole * 1000 / (1000 + ratio)).min(whole / u128::from(APPROACH));
    Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))
}

/// The largest number whose cube is not over `of`.
fn cube_root(of: u128) -> u128 {
    let mut root = 0u128;
    for bit in (0..42).rev() {
        let next = root | (1 << bit);
        if next * next * next <= of {
            root = next;
        }
    }
    root
}

fn less(rate: u64, per_thousand: u64) -> u64 {
    rate - rate / 1000 * per_thousand
}

fn per_million_seconds(rate: u64) -> Rate {
    Rate { units: rate, per: Duration::from_secs(MICRO) }
}

fn micro(rate: Rate) -> u64 {
    let units = u128::from(rate.units) * 1_000_000_000 * u128::from(MICRO);
    u64::try_from(units / rate.per.as_nanos().max(1)).unwrap_or(u64::MAX).max(1)
}

/// How fast PDUs leave, whether limited or not: those of two short spans.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    since: Instant,
    count: u64,
    before: u64,
}

impl Seen {
    const SPAN: Duration = Duration::from_millis(250);
    const LEAST: Duration = Duration::from_millis(10);

    #[inline]
    fn add(&mut self, now: Instant) {
        self.turn(now);
        self.count += 1;
    }

    fn turn(&mut self, now: Instant) {
        let age = now.since(self.since);
        if age >= Self::SPAN {
            self.before = if age < 2 * Self::SPAN { self.count } else { 0 };
            self.count = 0;
            self.since = now;
        }
    }

    /// The faster of the last whole span and all that is known.
    fn rate(&mut self, now: Instant) -> u64 {
        let age = now.since(self.since);
        let whole = per_micros(self.before, Self::SPAN);
        let both = if self.before > 0 {
            per_micros(self.before + self.count, Self::SPAN + age)
        } else {
            per_micros(self.count, age.max(Self::LEAST))
        };
        whole.max(both)
    }
}

fn per_micros(count: u64, span: Duration) -> u64 {
    let micros = span.as_micros().max(1);
    u64::try_from(u128::from(count) * u128::from(MICRO) * u128::from(MICRO) / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
