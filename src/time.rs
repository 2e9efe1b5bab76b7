//! Time as a value. Owns: nothing. Takes: what the clock in `io` read. Gives: instants and spans that can be
//! compared and added. Never: reads a clock.

pub use core::time::Duration;

/// A point on the monotonic clock, in nanoseconds since an origin that the driver chose. Only differences mean
/// anything; 2^64 ns are 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds since `earlier`, zero when `earlier` is later.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since `earlier`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// This instant `span` later; stays at the end of time when it would pass it.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        let nanos = span.as_nanos();
        let nanos = if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 };
        Self(self.0.saturating_add(nanos))
    }

    /// The first instant not before this one that is a whole number of `span` from the origin; this one when `span` is
    /// zero.
    #[must_use]
    pub const fn rounded_up(self, span: Duration) -> Self {
        let span = span.as_nanos();
        if span == 0 || span > u64::MAX as u128 {
            return self;
        }
        match self.0.checked_next_multiple_of(span as u64) {
            Some(nanos) => Self(nanos),
            None => self,
        }
    }
}

/// The earlier of two instants that may not be.
#[inline]
#[must_use]
pub fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z. May jump; used only for dates that people see and
/// for the seed of message ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wall(pub i64);

/// The time of one turn of a shard: both clocks, read together once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For every timer.
    pub mono: Instant,
    /// For dates that people see.
    pub wall: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_is_never_sooner() {
        let (early, late) = (Instant::from_nanos(5), Instant::from_nanos(6));
        assert_eq!(sooner(Some(late), Some(early)), Some(early));
        assert_eq!((sooner(Some(late), None), sooner(None, Some(late))), (Some(late), Some(late)));
        assert_eq!(sooner(None, None), None);
    }

    #[test]
    fn an_earlier_instant_is_no_negative_span() {
        let early = Instant::from_nanos(5);
        let late = early.after(Duration::from_nanos(7));
        assert_eq!(late.since(early), Duration::from_nanos(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn an_instant_is_rounded_up_and_never_past_the_end_of_time() {
        let rounded = |nanos| Instant::from_nanos(nanos).rounded_up(Duration::from_nanos(10)).as_nanos();
        assert_eq!([0, 1, 10, 11].map(rounded), [0, 10, 10, 20]);
        assert_eq!(rounded(u64::MAX), u64::MAX);
        assert_eq!(Instant::from_nanos(7).rounded_up(Duration::ZERO).as_nanos(), 7);
        assert_eq!(Instant::from_nanos(7).rounded_up(Duration::MAX).as_nanos(), 7);
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Instant::from_nanos(u64::MAX).after(Duration::MAX).as_nanos(), u64::MAX);
    }
}
