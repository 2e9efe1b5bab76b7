//! The clock: the one place that reads it. Owns: the origin. Takes: nothing. Gives: both times of a turn.

use crate::time::{Duration, Instant, Now, Wall};
use std::time::SystemTime;

/// Reads both clocks. Its origin is the moment it was made, one hour early, so that no deadline underflows.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: std::time::Instant,
}

const HEAD_START: u64 = 3_600_000_000_000;

impl Default for Clock {
    fn default() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self::default()
    }

    /// The monotonic time.
    #[must_use]
    pub fn mono(&self) -> Instant {
        Instant::from_nanos(self.origin.elapsed().as_nanos() as u64 + HEAD_START)
    }

    /// Waits until something holds, looking every millisecond; false: it did not within this span. For what is done once,
    /// before a loop runs.
    pub fn wait_until(&self, at_most: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let end = self.mono().after(at_most);
        while !holds() {
            if self.mono() >= end {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }

    /// Both times.
    #[must_use]
    pub fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)) }
    }
}
