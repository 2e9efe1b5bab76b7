//! Names to addresses, off the shard. Owns: one thread while there is work. Takes: `host:port`. Gives: socket
//! addresses and a wake. Never: blocks the loop. At most 64 look-ups wait; one more fails at once.

use crate::shard::port::{Connect, Ticket};
use rustix::event::{EventfdFlags, eventfd};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

const WAITING_MAX: usize = 64;

/// A connect whose address is known, or why it is not.
pub(super) type Resolved = (Connect, Result<SocketAddr, String>);

pub(super) struct Resolver {
    asks: Option<SyncSender<Connect>>,
    answers: Receiver<Resolved>,
    answer: Sender<Resolved>,
    wake: Arc<OwnedFd>,
}

impl Resolver {
    pub(super) fn new() -> std::io::Result<Self> {
        let (answer, answers) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        Ok(Self { asks: None, answers, answer, wake })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn start(&self) -> std::io::Result<SyncSender<Connect>> {
        let (asks, asked) = sync_channel::<Connect>(WAITING_MAX);
        let (answer, wake) = (self.answer.clone(), Arc::clone(&self.wake));
        std::thread::Builder::new().name("resolve".into()).spawn(move || {
            for connect in asked {
                let found = connect.address.to_socket_addrs().map_err(|error| error.to_string());
                let found = found.and_then(|mut all| all.next().ok_or_else(|| "no address".to_owned()));
                if answer.send((connect, found)).is_err() {
                    return;
                }
                let _ = rustix::io::write(&*wake, &1u64.to_ne_bytes());
            }
        })?;
        Ok(asks)
    }

    /// Asks; gives the connect's ticket back with the reason when it cannot be asked.
    pub(super) fn ask(&mut self, connect: Connect) -> Result<(), (Ticket, &'static str)> {
        if self.asks.is_none() {
            self.asks = self.start().ok();
        }
        let Some(asks) = &self.asks else { return Err((connect.ticket, "no thread for name look-ups")) };
        asks.try_send(connect).map_err(|refused| match refused {
            TrySendError::Full(connect) => (connect.ticket, "too many name look-ups wait"),
            TrySendError::Disconnected(connect) => (connect.ticket, "name look-ups have stopped"),
        })
    }

    /// The next answer.
    pub(super) fn take(&mut self) -> Option<Resolved> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        self.answers.try_recv().ok()
    }
}
