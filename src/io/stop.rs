//! How a loop is told to stop. Owns: an eventfd and two flags. Takes: a signal or a call. Gives: a wake.

use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    drain: AtomicBool,
    exit: AtomicBool,
}

/// The loop's end.
#[derive(Debug)]
pub struct Stop(Arc<Shared>);

/// The end for everybody else; may be cloned and used from any thread.
#[derive(Debug, Clone)]
pub struct StopHandle(Arc<Shared>);

impl Stop {
    /// Both ends.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> std::io::Result<(Self, StopHandle)> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared { wake, drain: AtomicBool::new(false), exit: AtomicBool::new(false) });
        Ok((Self(Arc::clone(&shared)), StopHandle(shared)))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }

    pub(super) fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means that nobody has woken us; the flags decide.
        let _ = rustix::io::read(&self.0.wake, &mut count);
    }

    /// True once, when a drain was asked for.
    pub(super) fn take_drain(&self) -> bool {
        self.0.drain.swap(false, Ordering::AcqRel)
    }

    pub(super) fn must_exit(&self) -> bool {
        self.0.exit.load(Ordering::Acquire)
    }
}

impl StopHandle {
    fn wake(&self) {
        // A full counter means that a wake is already pending.
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
    }

    /// Finish what is in flight, then stop.
    pub fn drain(&self) {
        self.0.drain.store(true, Ordering::Release);
        self.wake();
    }

    /// Stop at once.
    pub fn exit(&self) {
        self.0.exit.store(true, Ordering::Release);
        self.wake();
    }
}
