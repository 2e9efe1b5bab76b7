//! The flags of the lanes under loom: every order of the steps of a sender and a receiver, and every value that a relaxed
//! load may see. The flags are the program's own source; the ring is a model with one slot and the same ordering as the
//! real one. A wake that is lost leaves one asleep for ever, which loom finds. The same tests over flags without their
//! fence must fail. Each flag is used once: loom does not keep the order of a flag's values over several sleeps (a swap
//! that finds it lowered may stand behind a later rise), and would find wakes lost that no machine loses.

#![cfg(test)]

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

/// The flags as they are, and where they may be used.
#[path = "."]
mod sound {
    #[path = "."]
    pub(crate) mod lanes {
        mod atomics {
            pub(super) use loom::sync::atomic::{AtomicBool, Ordering, fence};
        }
        #[path = "../../../src/io/lanes/flag.rs"]
        mod flag;
        pub(crate) struct Flag(flag::Asleep);
        crate::opened!();
    }
}

/// The same without fences.
#[path = "."]
mod broken {
    #[path = "."]
    pub(crate) mod lanes {
        mod atomics {
            pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
            pub(super) fn fence(_: Ordering) {}
        }
        #[path = "../../../src/io/lanes/flag.rs"]
        mod flag;
        pub(crate) struct Flag(flag::Asleep);
        crate::opened!();
    }
}

/// What a flag can do.
trait Sleeps: Send + Sync + 'static {
    fn new() -> Self;
    fn say(&self);
    fn unsay(&self);
    fn take(&self) -> bool;
    fn before_looking();
}

/// A flag of its own module, to be used from outside.
#[macro_export]
macro_rules! opened {
    () => {
        impl $crate::Sleeps for Flag {
            fn new() -> Self {
                Self(flag::Asleep::new())
            }
            fn say(&self) {
                self.0.say();
            }
            fn unsay(&self) {
                self.0.unsay();
            }
            fn take(&self) -> bool {
                self.0.take()
            }
            fn before_looking() {
                flag::before_looking();
            }
        }
    };
}

/// A lane of one slot between two shards, and their doors.
struct Lane<F> {
    written: AtomicUsize,
    read: AtomicUsize,
    /// The sender sleeps with a post that found no room.
    full: F,
    sender: (F, Notify),
    receiver: (F, Notify),
}

impl<F: Sleeps> Lane<F> {
    fn new() -> Self {
        let zero = || AtomicUsize::new(0);
        let door = || (F::new(), Notify::new());
        Self { written: zero(), read: zero(), full: F::new(), sender: door(), receiver: door() }
    }

    fn has_room(&self, written: usize) -> bool {
        written - self.read.load(Ordering::Acquire) < 1
    }

    fn has_post(&self, read: usize) -> bool {
        self.written.load(Ordering::Acquire) > read
    }
}

/// Sends until so many are written, asleep while there is no room.
fn send<F: Sleeps>(lane: &Lane<F>, mut written: usize, posts: usize) {
    while written < posts {
        if lane.has_room(written) {
            written += 1;
            lane.written.store(written, Ordering::Release);
            if lane.receiver.0.take() {
                lane.receiver.1.notify();
            }
            continue;
        }
        lane.sender.0.say();
        lane.full.say();
        F::before_looking();
        if !lane.has_room(written) {
            lane.sender.1.wait();
        }
        lane.sender.0.unsay();
    }
}

/// Takes so many posts, asleep while there is none.
fn take<F: Sleeps>(lane: &Lane<F>, posts: usize) {
    let mut read = 0;
    while read < posts {
        if lane.has_post(read) {
            read += 1;
            lane.read.store(read, Ordering::Release);
            if lane.full.take() && lane.sender.0.take() {
                lane.sender.1.notify();
            }
            continue;
        }
        lane.receiver.0.say();
        F::before_looking();
        if !lane.has_post(read) {
            lane.receiver.1.wait();
        }
        lane.receiver.0.unsay();
    }
}

/// A receiver that waits for a post.
fn waits_for_a_post<F: Sleeps>() {
    loom::model(|| {
        let lane = Arc::new(Lane::<F>::new());
        let other = Arc::clone(&lane);
        let sender = thread::spawn(move || send(&other, 0, 1));
        take(&lane, 1);
        sender.join().expect("the sender ends");
    });
}

/// A sender that waits for room: the lane is full, and the receiver takes what is in it.
fn waits_for_room<F: Sleeps>() {
    loom::model(|| {
        let lane = Arc::new(Lane::<F>::new());
        lane.written.store(1, Ordering::Release);
        let other = Arc::clone(&lane);
        let receiver = thread::spawn(move || take(&other, 1));
        send(&lane, 1, 2);
        receiver.join().expect("the receiver ends");
    });
}

#[test]
fn a_receiver_that_goes_to_sleep_is_woken_by_the_post_that_it_did_not_see() {
    waits_for_a_post::<sound::lanes::Flag>();
}

#[test]
fn a_sender_that_goes_to_sleep_is_woken_by_the_room_that_it_did_not_see() {
    waits_for_room::<sound::lanes::Flag>();
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_its_fence_the_wake_for_a_post_is_lost() {
    waits_for_a_post::<broken::lanes::Flag>();
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_its_fence_the_wake_for_room_is_lost() {
    waits_for_room::<broken::lanes::Flag>();
}
