//! May new messages be taken into the journal? Owns: the answer, which does not flutter. Takes: what is used. Gives: yes
//! or no; at no an ESME hears ESME_RMSGQFUL (`journal_full`), and everything that frees space goes on.

use super::disk::Space;
use crate::limits::JOURNAL_RESERVE;

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceLimits {
    /// `[journal] size_max`, octets.
    pub size_max: u64,
    /// `[journal] min_free`, percent of the file system.
    pub min_free: u8,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Octets of segments that hold something.
    pub used: u64,
    /// Prepared files.
    pub spares: usize,
    /// The file system's.
    pub space: Space,
}

/// Closes at 90 % of `size_max` without its reserve, without a spare, or below `min_free`; opens at 80 % with a spare and a
/// tenth more free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    limits: SpaceLimits,
    /// Octets of a file.
    segment: u64,
    open: bool,
}

impl Gate {
    /// An open one, for files of so many octets.
    #[must_use]
    pub const fn new(limits: SpaceLimits, segment: u64) -> Self {
        Self { limits, segment, open: true }
    }

    /// From now on this is `size_max`.
    pub const fn limit(&mut self, size_max: u64) {
        self.limits.size_max = size_max;
    }

    /// The answer, now that so much is used.
    pub fn decide(&mut self, usage: Usage) -> bool {
        let percent = self.percent(usage.used);
        let least = u128::from(usage.space.total) * u128::from(self.limits.min_free) / 100;
        let free = u128::from(usage.space.free);
        self.open = if self.open {
            usage.spares > 0 && percent < 90 && free >= least
        } else {
            usage.spares > 0 && percent < 80 && !self.wants_space(usage.space)
        };
        self.open
    }

    /// True when a file may be made beside so many others: the last ones within `size_max` are a reserve.
    /// `reserve`: the committer has none left; what ends messages must be written even then, so that space comes back.
    #[must_use]
    pub fn allows(&self, files: u64, space: Space, reserve: bool) -> bool {
        let octets = self.segment;
        let least = u128::from(space.total) * u128::from(self.limits.min_free) / 100;
        let after = u128::from(space.free.saturating_sub(octets));
        let size_max = if reserve { self.limits.size_max } else { self.ordinary() };
        let fits = files.saturating_add(1).saturating_mul(octets) <= size_max;
        fits && space.free >= octets && (reserve || after >= least)
    }

    /// `size_max` without its reserve.
    const fn ordinary(&self) -> u64 {
        self.limits.size_max.saturating_sub(JOURNAL_RESERVE as u64 * self.segment)
    }

    /// So many octets as a share of `size_max` without its reserve, percent.
    #[must_use]
    pub fn percent(&self, octets: u64) -> u64 {
        let percent = u128::from(octets) * 100 / u128::from(self.ordinary().max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// True when so little of the file system is free that files beyond the spares are better given back to it.
    #[must_use]
    pub fn wants_space(&self, space: Space) -> bool {
        let least = u128::from(space.total) * u128::from(self.limits.min_free) / 100;
        u128::from(space.free) < least + least / 10
    }

    /// The answer of late.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten files and the reserve.
    const LIMITS: SpaceLimits = SpaceLimits { size_max: 1200, min_free: 10 };

    fn usage(used: u64, spares: usize, free: u64) -> Usage {
        Usage { used, spares, space: Space { free, total: 1000 } }
    }

    #[test]
    fn it_closes_at_nine_tenths_and_opens_again_at_eight() {
        let mut gate = Gate::new(LIMITS, 100);
        let answers = [899, 900, 850, 800, 799, 850].map(|used| gate.decide(usage(used, 1, 500)));
        assert_eq!(answers, [true, false, false, false, true, true]);
    }

    #[test]
    fn it_closes_without_a_spare_or_without_free_space() {
        let mut gate = Gate::new(LIMITS, 100);
        assert!(!gate.decide(usage(0, 0, 500)) && gate.decide(usage(0, 1, 500)));
        let answers = [100, 99, 105, 109, 110].map(|free| gate.decide(usage(0, 2, free)));
        assert_eq!(answers, [true, false, false, false, true]);
    }

    #[test]
    fn no_file_is_made_over_the_size_or_into_the_reserve() {
        let gate = Gate::new(LIMITS, 100);
        assert!(gate.allows(9, Space { free: 200, total: 1000 }, false));
        assert!(!gate.allows(10, Space { free: 900, total: 1000 }, false), "two are kept");
        assert!(!gate.allows(1, Space { free: 199, total: 1000 }, false), "min_free");
        assert!(gate.allows(11, Space { free: 100, total: 1000 }, true), "what frees space goes on");
        assert!(!gate.allows(12, Space { free: 900, total: 1000 }, true), "up to size_max");
    }
}
