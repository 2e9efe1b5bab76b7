//! How a loop is told to stop, and asked. Owns: an eventfd, two flags, the questions that wait. Takes: a signal or a
//! call. Gives: a wake; the core's answers to who asked. Never: blocks the loop.

use crate::limits::ASKS_MAX;
use crate::shard::port::{Answer, Ask, Ticket};
use crate::time::Duration;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    /// Written to after `wake`, for a loop that sleeps on it.
    #[cfg(feature = "glommio")]
    bell: std::sync::OnceLock<OwnedFd>,
    drain: AtomicBool,
    exit: AtomicBool,
}

/// A question with the place for its answer.
type Asked = (Ask, SyncSender<Answer>);

/// The loop's end.
#[derive(Debug)]
pub struct Stop {
    shared: Arc<Shared>,
    asks: Receiver<Asked>,
    /// Who waits for the answer with this ticket.
    waiting: Vec<(Ticket, SyncSender<Answer>)>,
    tickets: u64,
}

/// The end for everybody else; may be cloned and used from any thread.
#[derive(Debug, Clone)]
pub struct StopHandle {
    shared: Arc<Shared>,
    asks: SyncSender<Asked>,
}

/// Why a loop cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskRefused {
    /// Too many questions wait already; ask again.
    Busy,
    /// The loop has ended.
    Over,
}

impl Stop {
    /// Both ends.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> std::io::Result<(Self, StopHandle)> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared {
            wake,
            #[cfg(feature = "glommio")]
            bell: std::sync::OnceLock::new(),
            drain: AtomicBool::new(false),
            exit: AtomicBool::new(false),
        });
        let (ask, asks) = sync_channel(ASKS_MAX);
        let handle = StopHandle { shared: Arc::clone(&shared), asks: ask };
        Ok((Self { shared, asks, waiting: Vec::new(), tickets: 0 }, handle))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// From now on every wake sounds this eventfd, too.
    #[cfg(feature = "glommio")]
    pub(super) fn sound(&self, bell: OwnedFd) {
        // A loop has one bell; a second one would be another loop's.
        let first = self.shared.bell.set(bell).is_ok();
        assert!(first, "a loop has one bell");
    }

    pub(super) fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means that nobody has woken us; the flags decide.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
    }

    /// True once, when a drain was asked for.
    pub(super) fn take_drain(&self) -> bool {
        self.shared.drain.swap(false, Ordering::AcqRel)
    }

    pub(super) fn must_exit(&self) -> bool {
        self.shared.exit.load(Ordering::Acquire)
    }

    /// The next question; the core answers it with this ticket.
    pub(super) fn take_ask(&mut self) -> Option<(Ticket, Ask)> {
        let (ask, asker) = self.asks.try_recv().ok()?;
        // A core answers within its turn; one that knows no questions leaves them, and they must not pile up.
        if self.waiting.len() >= ASKS_MAX {
            self.waiting.remove(0);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push((ticket, asker));
        Some((ticket, ask))
    }

    /// Brings an answer to who asked.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == ticket) else { return };
        // Who asked may have given up; the channel has room for the one answer.
        let _ = self.waiting.swap_remove(at).1.try_send(answer);
    }
}

impl StopHandle {
    /// Wakes the loop if it sleeps: there is something for its core that comes by no link.
    pub fn wake(&self) {
        // A full counter means that a wake is already pending.
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        #[cfg(feature = "glommio")]
        if let Some(bell) = self.shared.bell.get() {
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    /// Finish what is in flight, then stop.
    pub fn drain(&self) {
        self.shared.drain.store(true, Ordering::Release);
        self.wake();
    }

    /// Stop at once.
    pub fn exit(&self) {
        self.shared.exit.store(true, Ordering::Release);
        self.wake();
    }

    /// Asks the core. Its answer comes through what is given; that ends without one when the loop does.
    ///
    /// # Errors
    /// Too many questions wait already, or the loop has ended.
    pub fn ask(&self, ask: Ask) -> Result<Receiver<Answer>, AskRefused> {
        let (asker, answer) = sync_channel(1);
        self.asks.try_send((ask, asker)).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(_) => AskRefused::Busy,
            std::sync::mpsc::TrySendError::Disconnected(_) => AskRefused::Over,
        })?;
        self.wake();
        Ok(answer)
    }
}

/// The handles of all loops of a node.
#[derive(Debug, Clone)]
pub struct Stops(Arc<[StopHandle]>);

/// The answers that are on their way.
#[derive(Debug)]
pub struct Answers(Vec<Receiver<Answer>>);

impl From<StopHandle> for Stops {
    fn from(handle: StopHandle) -> Self {
        Self(Arc::new([handle]))
    }
}

impl From<Vec<StopHandle>> for Stops {
    fn from(handles: Vec<StopHandle>) -> Self {
        Self(handles.into())
    }
}

impl Stops {
    /// Finish what is in flight, then stop.
    pub fn drain(&self) {
        self.0.iter().for_each(StopHandle::drain);
    }

    /// Stop at once.
    pub fn exit(&self) {
        self.0.iter().for_each(StopHandle::exit);
    }

    /// Asks every core.
    ///
    /// # Errors
    /// At one of them too many questions wait already, or it has ended.
    pub fn ask(&self, ask: Ask) -> Result<Answers, AskRefused> {
        self.0.iter().map(|handle| handle.ask(ask.clone())).collect::<Result<_, _>>().map(Answers)
    }
}

impl Answers {
    /// Waits for all of them, no longer than this; `None` when one does not come.
    #[must_use]
    pub fn wait(self, at_most: Duration) -> Option<Answer> {
        let clock = super::Clock::start();
        let end = clock.mono().after(at_most);
        let mut together: Option<Answer> = None;
        for answer in self.0 {
            let answer = answer.recv_timeout(end.since(clock.mono())).ok()?;
            together = Some(match together {
                Some(whole) => whole.join(answer),
                None => answer,
            });
        }
        together
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STATUS_ROWS_MAX;
    use crate::shard::status::{AccountStatus, SessionStatus, Status};

    fn account(name: String, sessions: u64) -> AccountStatus {
        AccountStatus {
            name,
            sessions,
            receivers: 0,
            in_flight: 0,
            waiting: 0,
            waiting_oldest_ms: None,
            bad: Vec::new(),
        }
    }

    fn session(side: &'static str) -> SessionStatus {
        SessionStatus {
            side,
            name: String::new(),
            peer: None,
            state: "open",
            version: 0x34,
            window_used: 0,
            window_max: 1,
            theirs: 0,
            paused: false,
            age_ms: 0,
            heard_ms: 0,
        }
    }

    #[test]
    fn the_answers_of_all_loops_are_one_and_bounded() {
        let (mut stops, handles): (Vec<Stop>, Vec<StopHandle>) = (0..2).map(|_| Stop::new().unwrap()).unzip();
        let all = Stops::from(handles);
        let asked = all.ask(Ask::Status).unwrap();
        for (at, stop) in stops.iter_mut().enumerate() {
            let (ticket, _) = stop.take_ask().unwrap();
            let status = Status {
                draining: at == 1,
                accounts: (0..600).map(|row| account(format!("{at}-{row}"), u64::from(at == 1))).collect(),
                accounts_unlisted: 5,
                sessions: vec![session("carrier"), session("esme")],
                ..Status::default()
            };
            stop.answer(ticket, Answer::Status(Box::new(status)));
        }
        let Some(Answer::Status(whole)) = asked.wait(Duration::from_secs(20)) else { panic!() };
        assert!(whole.draining);
        assert_eq!((whole.accounts.len(), whole.accounts_unlisted), (STATUS_ROWS_MAX, 210));
        assert_eq!((&*whole.accounts[0].name, &*whole.accounts[600].name), ("1-0", "0-0"));
        let sides: Vec<&str> = whole.sessions.iter().map(|session| session.side).collect();
        assert_eq!(sides, ["carrier", "carrier", "esme", "esme"]);
        let silent = all.ask(Ask::Status).unwrap();
        stops.pop();
        assert_eq!(silent.wait(Duration::from_millis(1)), None);
        assert_eq!(all.ask(Ask::Status).unwrap_err(), AskRefused::Over);
    }

    #[test]
    fn an_answer_comes_to_who_asked_and_to_nobody_else() {
        let (mut stop, handle) = Stop::new().unwrap();
        let (first, second) = (handle.ask(Ask::Status).unwrap(), handle.ask(Ask::Status).unwrap());
        let (one, _) = stop.take_ask().unwrap();
        let (two, _) = stop.take_ask().unwrap();
        assert!(stop.take_ask().is_none());
        let of = |draining: bool| Answer::Status(Box::new(Status { draining, ..Status::default() }));
        stop.answer(two, of(true));
        stop.answer(Ticket(99), of(true));
        stop.answer(one, of(false));
        assert_eq!((first.recv(), second.recv()), (Ok(of(false)), Ok(of(true))));
    }

    #[test]
    fn questions_are_bounded_and_end_with_the_loop() {
        let (stop, handle) = Stop::new().unwrap();
        let asked: Vec<_> = (0..ASKS_MAX).map(|_| handle.ask(Ask::Status).unwrap()).collect();
        assert_eq!(handle.ask(Ask::Status).unwrap_err(), AskRefused::Busy);
        drop(stop);
        assert_eq!(handle.ask(Ask::Status).unwrap_err(), AskRefused::Over);
        assert!(asked.iter().all(|answer| answer.recv().is_err()));
    }
}
