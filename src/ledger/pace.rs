//! How many messages are remembered though nobody waits for them. Owns: how many there were in this second. Takes: each, and
//! the time. Gives: the bound: a lower one while they are many, since each has to be fetched from memory to be forgotten.

use crate::limits::{LEDGER_RECENT_FAST, LEDGER_RECENT_MAX};
use crate::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(1);

/// See the file's header.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the second is over.
    pub(super) until: Instant,
    count: usize,
    /// How many may be now.
    pub(super) most: usize,
    /// The tables are as large as at a lower rate, and are to become smaller, piece by piece.
    pub(super) shrinks: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { until: Instant::ZERO, count: 0, most: LEDGER_RECENT_MAX, shrinks: false }
    }
}

impl Pace {
    /// One more is remembered.
    pub(super) const fn one_more(&mut self) {
        self.count += 1;
    }

    /// The second is over.
    #[cold]
    pub(super) fn turns(&mut self, now: Instant) {
        let was_fast = self.most == LEDGER_RECENT_FAST;
        let is_fast = self.count > if was_fast { LEDGER_RECENT_FAST / 2 } else { LEDGER_RECENT_FAST };
        *self = Self {
            until: now.after(SPAN),
            count: 0,
            most: if is_fast { LEDGER_RECENT_FAST } else { LEDGER_RECENT_MAX },
            shrinks: is_fast && (self.shrinks || !was_fast),
        };
    }
}
