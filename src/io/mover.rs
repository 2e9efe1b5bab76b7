//! What a driver is to the loop: the trait with its two implementations, epoll and io_uring. Owns: nothing.
//! Takes: links. Gives: what happened on them. Never: decides what becomes of a link.

use super::link::{Link, Links};
use crate::ids::{LinkId, ListenerId};
use crate::shard::port::Outbox;
use crate::time::Duration;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// What happened outside.
#[derive(Debug)]
pub(super) enum Happened<'a> {
    /// The stop handle was used.
    Woken,
    /// A look-up has its answer.
    Resolved,
    Accepted {
        listener: ListenerId,
        socket: OwnedFd,
        peer: SocketAddr,
    },
    /// The connect has ended; the socket knows how.
    Connected(LinkId),
    Taken(LinkId, Taken<'a>),
    /// So many octets reached the socket, or why none ever will.
    Sent(LinkId, Result<usize, Errno>),
    /// Nothing is read any more on a link that leaves, or nothing at all is under way on one that is closing.
    Idle(LinkId),
}

/// What a read came to.
#[derive(Debug)]
pub(super) enum Taken<'a> {
    Bytes {
        bytes: &'a [u8],
        /// More may be there: read again in the next turn.
        again: bool,
    },
    Nothing,
    /// The peer's end.
    End,
    Failed(Errno),
}

/// How octets move between sockets and the loop. Everything else about a link is decided by the loop, once for all
/// drivers.
pub(super) trait Mover {
    /// What the driver keeps for each link.
    type Line: Default;
    /// As the configuration says it.
    const NAME: &'static str;

    /// Begins with a link that is connecting or open.
    fn add(&mut self, link: &mut Link<Self::Line>) -> Result<(), Errno>;

    /// Hands over what is queued and waits for at most `timeout`; true when `next` has something to say.
    fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<bool>;

    /// The next thing of this turn.
    fn next(&mut self, links: &mut Links<Self::Line>, out: &mut Outbox) -> Option<Happened<'_>>;

    /// Reads from a link that was marked ready, at most the budget of a turn.
    fn read<'a>(&'a mut self, link: &'a mut Link<Self::Line>) -> Taken<'a>;

    /// The link has been paused: nothing more is to be read from its socket.
    fn pause(&mut self, link: &mut Link<Self::Line>);

    /// Takes output; gives how much of it, or of what waited before it, has reached the socket already.
    fn send(
        &mut self,
        link: &mut Link<Self::Line>,
        buffer: Vec<u8>,
        out: &mut Outbox,
    ) -> Result<usize, Errno>;

    /// Ends what is under way; true when nothing is. Otherwise `Happened::Idle` follows.
    fn close(&mut self, link: &mut Link<Self::Line>) -> bool;

    /// Reads no more from a link that goes to another shard, lets its sends finish and keeps what came; true when nothing
    /// is under way on its socket and the driver knows it no more. Otherwise ask again after `Happened::Idle`, and after
    /// the last of its output was sent.
    fn leave(&mut self, link: &mut Link<Self::Line>) -> Result<bool, Errno>;

    /// The octets that were read from a link and given to nobody.
    fn unread(line: &Self::Line) -> &[u8];

    /// The output buffer of a link that is gone.
    fn left(line: Self::Line) -> Vec<u8>;
}
