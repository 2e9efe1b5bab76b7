//! One link: a socket and its half-written output. Owns: both. Takes: octets to write. Gives: octets read.
//! Never: looks at them.

use crate::ids::LinkId;
use crate::shard::port::Ticket;
use crate::time::Instant;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is under way until the instant.
    Connecting(Ticket, Instant),
    Open,
    /// The core asked for the end; output is still to be written.
    Flushing(Instant),
    /// Half-closed; waiting for the peer's end until the instant.
    Lingering(Instant),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) socket: OwnedFd,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    /// In the ready list: more may be there to read.
    pub(super) ready: bool,
    /// Output that the socket has not taken, from `sent` on.
    pub(super) sending: Vec<u8>,
    pub(super) sent: usize,
}

/// What a read or write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Octets(usize),
    Blocked,
    /// The peer's end.
    End,
    Failed(rustix::io::Errno),
}

impl Link {
    pub(super) fn new(id: LinkId, socket: OwnedFd, phase: Phase) -> Self {
        Self { id, socket, phase, paused: false, ready: false, sending: Vec::new(), sent: 0 }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> Moved {
        loop {
            return match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => Moved::End,
                Ok((octets, _)) => Moved::Octets(octets),
                Err(rustix::io::Errno::AGAIN) => Moved::Blocked,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => Moved::Failed(error),
            };
        }
    }

    /// Writes what is waiting, as much as the socket takes.
    pub(super) fn write(&mut self) -> Moved {
        let mut total = 0;
        while let Some(rest) = self.sending.get(self.sent..)
            && !rest.is_empty()
        {
            match rustix::net::send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(octets) => {
                    self.sent += octets;
                    total += octets;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if total > 0 => return Moved::Octets(total),
                Err(rustix::io::Errno::AGAIN) => return Moved::Blocked,
                Err(error) => return Moved::Failed(error),
            }
        }
        Moved::Octets(total)
    }

    /// True when everything handed over was written.
    pub(super) fn is_written(&self) -> bool {
        self.sent >= self.sending.len()
    }
}
