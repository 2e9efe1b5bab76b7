//! Sleeping elsewhere than in the ring's own enter: an eventfd tells of completions, an alarm ends the sleep in time.
//! Owns: nothing. Takes: the eventfd, how long the sleep may be. Gives: whether to sleep at all. Never: waits.

use super::{Kind, LinkId, Ring, data_of};
use crate::time::Duration;
use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::Timespec;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{Ordering, fence};

/// What ends a sleep in time.
#[derive(Default)]
pub(super) struct Alarm {
    span: Timespec,
    /// It has not rung yet.
    set: bool,
}

impl Alarm {
    /// Takes a completion of its kind.
    pub(super) fn told(&mut self, result: Result<u32, Errno>) {
        if result == Err(Errno::TIME) {
            self.set = false;
        }
    }
}

impl Ring {
    /// Submits everything and takes what there is; true when there is something, or a request that the kernel does not
    /// take yet: then nobody may sleep. Until `awake`, `fd` is written to when something comes, within `timeout` at the latest.
    pub(in super::super) fn doze(
        &mut self,
        fd: BorrowedFd<'_>,
        timeout: Option<Duration>,
    ) -> std::io::Result<bool> {
        if let Some(span) = timeout {
            self.set_alarm(span);
        }
        if self.wait(Some(Duration::ZERO))? {
            return Ok(true);
        }
        // Anew each time: one that stays, even disabled, tells of what came while nobody slept.
        self.ring.submitter().register_eventfd(fd.as_raw_fd())?;
        // A completion that this look does not see finds the eventfd registered; the eventfd is told of deferred work
        // only when there was none before, so none may be left.
        fence(Ordering::SeqCst);
        let entered = self.sleep(Some(Duration::ZERO));
        let found = self.take(entered)?;
        let awake = found || !self.backlog.is_empty() || !self.ring.submission().is_empty();
        if awake {
            self.awake()?;
        }
        Ok(awake)
    }

    /// There is one alarm at most; it is put off or drawn near. When it rings before it hears of that, the failure and the
    /// ring are completions, and nobody sleeps on them.
    fn set_alarm(&mut self, span: Duration) {
        self.alarm.span = Timespec::from(span);
        let span = &raw const self.alarm.span;
        let entry = if std::mem::replace(&mut self.alarm.set, true) {
            let alarm = data_of(Kind::Alarm, LinkId::default());
            opcode::TimeoutUpdate::new(alarm, span).build().flags(Flags::SKIP_SUCCESS)
        } else {
            opcode::Timeout::new(span).build()
        };
        self.push(&entry, Kind::Alarm, LinkId::default());
    }

    /// After a `doze` that let one sleep: the eventfd is left alone until the next.
    pub(in super::super) fn awake(&mut self) -> std::io::Result<()> {
        self.ring.submitter().unregister_eventfd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
    use std::os::fd::{AsFd, OwnedFd};

    const LONG: Duration = Duration::from_secs(60);

    /// A ring with an eventfd, or none where the system forbids rings; then the test says so.
    fn ring() -> Option<(Ring, OwnedFd)> {
        let ring = Ring::open();
        let ring = ring.map_err(|error| eprintln!("no io_uring here: {error}; nothing is tried")).ok()?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        Some((ring, wake))
    }

    /// Whether the eventfd has something to read, waited for a minute at most.
    fn woken(wake: &OwnedFd, at_once: bool) -> bool {
        let span = rustix::time::Timespec { tv_sec: if at_once { 0 } else { 60 }, tv_nsec: 0 };
        poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&span)).unwrap() == 1
    }

    fn clear(wake: &OwnedFd) {
        rustix::io::read(wake, &mut [0; 8]).unwrap();
    }

    #[test]
    fn who_dozes_is_woken_by_a_completion_and_who_does_not_is_left_alone() {
        let Some((mut ring, wake)) = ring() else { return };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ring.watch(ours.as_fd(), Kind::Stop);
        assert!(!ring.doze(wake.as_fd(), Some(LONG)).unwrap());
        assert!(!woken(&wake, true));
        rustix::io::write(&theirs, b"a").unwrap();
        assert!(woken(&wake, false));
        clear(&wake);
        ring.awake().unwrap();
        assert!(ring.wait(Some(Duration::ZERO)).unwrap());
        assert_eq!(ring.next().unwrap().kind, Kind::Stop);
        rustix::io::write(&theirs, b"b").unwrap();
        assert!(ring.wait(Some(LONG)).unwrap());
        assert_eq!(ring.next().unwrap().kind, Kind::Stop);
        assert!(!woken(&wake, true), "nobody dozes");
        // What happens before the doze is found by it.
        rustix::io::write(&theirs, b"c").unwrap();
        assert!(ring.doze(wake.as_fd(), None).unwrap());
    }

    #[test]
    fn who_dozes_is_woken_by_an_eventfd_as_often_as_it_is_written() {
        let Some((mut ring, wake)) = ring() else { return };
        let asked = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        ring.watch(asked.as_fd(), Kind::Stop);
        for round in 0..5 {
            assert!(!ring.doze(wake.as_fd(), Some(LONG)).unwrap(), "round {round}");
            rustix::io::write(&asked, &1u64.to_ne_bytes()).unwrap();
            assert!(woken(&wake, false), "round {round}");
            clear(&wake);
            ring.awake().unwrap();
            assert!(ring.wait(Some(Duration::ZERO)).unwrap());
            assert_eq!(ring.next().unwrap().kind, Kind::Stop);
            clear(&asked);
        }
    }

    #[test]
    fn an_alarm_rings_when_nothing_else_comes_and_is_put_off_when_something_does() {
        let Some((mut ring, wake)) = ring() else { return };
        for round in 0..3 {
            assert!(!ring.doze(wake.as_fd(), Some(Duration::from_millis(1))).unwrap());
            assert!(woken(&wake, false));
            clear(&wake);
            ring.awake().unwrap();
            assert!(ring.wait(Some(Duration::ZERO)).unwrap(), "round {round}");
            assert_eq!(ring.next().unwrap().kind, Kind::Alarm);
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ring.watch(ours.as_fd(), Kind::Stop);
        for round in 0..3 {
            assert!(!ring.doze(wake.as_fd(), Some(LONG)).unwrap(), "round {round}");
            rustix::io::write(&theirs, b"a").unwrap();
            assert!(woken(&wake, false));
            clear(&wake);
            ring.awake().unwrap();
            assert!(ring.wait(Some(Duration::ZERO)).unwrap());
            assert_eq!(ring.next().unwrap().kind, Kind::Stop);
            assert!(!ring.wait(Some(Duration::ZERO)).unwrap());
            assert!(ring.next().is_none());
        }
        // And drawn near, as often as it is wanted.
        for round in 0..3 {
            assert!(!ring.doze(wake.as_fd(), Some(Duration::from_millis(1))).unwrap(), "round {round}");
            assert!(woken(&wake, false));
            clear(&wake);
            ring.awake().unwrap();
            assert!(ring.wait(Some(Duration::ZERO)).unwrap());
            assert_eq!(ring.next().unwrap().kind, Kind::Alarm);
        }
        assert!(ring.quiesce());
    }
}
