//! The flag of one who sleeps. Who goes to sleep says so and then looks once more; who has brought something looks at the
//! flag. A sequentially consistent fence stands between the two steps of each, so one of them sees the other.
//! `tests/loom` tries every order of their steps.

use super::atomics::{AtomicBool, Ordering, fence};

/// Set by who sleeps, taken by who wakes.
#[derive(Debug)]
pub(super) struct Asleep(AtomicBool);

impl Asleep {
    /// Of one who is awake.
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// It goes to sleep, unless it finds something when it looks once more, after `before_looking`.
    pub(super) fn say(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// It is awake.
    pub(super) fn unsay(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// True when it sleeps and is to be woken by the caller, who has brought something before.
    pub(super) fn take(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::SeqCst)
    }
}

/// Between saying that one sleeps and looking once more.
pub(super) fn before_looking() {
    fence(Ordering::SeqCst);
}
