//! How many messages are remembered though nobody waits for them. Owns: how many there were in this second. Takes: each, and
//! the time. Gives: the bound: a lower one while they are many, since each has to be fetched from memory to be forgotten.

use crate::limits::{LEDGER_RECENT_FAST, LEDGER_RECENT_MAX};
use crate::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(1);

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Instant,
    count: usize,
    is_fast: bool,
    /// The tables are as large as at a lower rate.
    is_wide: bool,
}

impl Pace {
    /// One more is remembered.
    pub(super) const fn one_more(&mut self) {
        self.count += 1;
    }

    /// True when the tables are to become smaller, piece by piece.
    pub(super) const fn shrinks(&self, recent: usize) -> bool {
        self.is_fast && self.is_wide && recent <= LEDGER_RECENT_FAST
    }

    /// All pieces are smaller.
    pub(super) const fn has_shrunk(&mut self) {
        self.is_wide = false;
    }

    /// How many may be now.
    pub(super) fn most(&mut self, now: Instant) -> usize {
        if now.since(self.since) >= SPAN {
            let least = if self.is_fast { LEDGER_RECENT_FAST / 2 } else { LEDGER_RECENT_FAST };
            let is_fast = self.count > least;
            *self = Self { since: now, count: 0, is_fast, is_wide: self.is_wide || !is_fast };
        }
        if self.is_fast { LEDGER_RECENT_FAST } else { LEDGER_RECENT_MAX }
    }
}
