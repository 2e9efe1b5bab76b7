//! The port between a core and the driver that runs it. Owns: the outputs of one turn. Takes: what the core wants
//! done. Gives: it to the driver, once a turn. Never: does it.
//!
//! A core is a state machine: one input in, all its outputs out, then the next (style rule 1). The same core runs
//! under the drivers of `io` and under the simulator.

use super::mail::{Mail, Parcel};
use super::queues::{QueueAnswer, QueueAsk};
use super::resend::{Resend, Resent};
use super::status::Status;
use crate::ids::{LinkId, ListenerId, ShardId};
use crate::limits::{OUTPUT_BUFFER_KEPT_MAX, OUTPUT_BUFFERS_KEPT, OUTPUT_KEPT_MAX, OUTPUT_SOFT};
use crate::time::{Duration, Instant, Now};
use core::net::{IpAddr, SocketAddr};

/// A state machine that a driver runs. Implemented by the shard, by the simulated carrier and by the load
/// generator.
pub trait Core {
    /// Takes one input and gives all its outputs.
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox);
    /// The inputs of a turn are over: what is done once a turn is done now.
    fn end_turn(&mut self, _now: Now, _out: &mut Outbox) {}
    /// When `Input::Time` is wanted, if nothing else comes first.
    fn deadline(&self) -> Option<Instant>;
    /// True when something that no input tells of is to be done: a turn is due.
    fn has_news(&self) -> bool {
        false
    }
    /// The driver is about to sleep; what no input tells of will wake it. False: it must not sleep now.
    fn sleeps(&self) -> bool {
        true
    }
}

/// What a core asked the driver for and will hear of again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A peer connected to a listener.
    Accepted {
        /// Its link from now on.
        link: LinkId,
        /// Where it came in.
        listener: ListenerId,
        /// Who it is.
        peer: SocketAddr,
    },
    /// A connect that was asked for is up.
    Connected {
        /// Its link from now on.
        link: LinkId,
        /// What was asked.
        ticket: Ticket,
    },
    /// A connect failed; there is no link and no socket.
    ConnectFailed {
        /// What was asked.
        ticket: Ticket,
        /// Why, for people.
        reason: &'a str,
    },
    /// Octets came. Borrowed: what is not used is copied or lost.
    Bytes {
        /// From here.
        link: LinkId,
        /// In stream order.
        bytes: &'a [u8],
    },
    /// The output of a link that was over its soft limit is below it again.
    Room {
        /// This one.
        link: LinkId,
    },
    /// The link is gone, by the peer, by an error or by our own close; its slot may be used again.
    Closed {
        /// This one.
        link: LinkId,
        /// Why, for people.
        reason: &'a str,
    },
    /// Another shard has accepted a link whose ESME is at home here. The parcel holds all that was read of it.
    HandedOver {
        /// Its link from now on.
        link: LinkId,
        /// What is known of it.
        parcel: Parcel,
    },
    /// A letter of another shard.
    Mail {
        /// Who sent it.
        from: ShardId,
        /// What it says.
        mail: Mail,
    },
    /// The deadline has come.
    Time,
    /// Finish what is in flight, take nothing new, then say `Action::Exit`.
    Drain,
    /// Somebody outside wants to know something: `Action::Answer` with the same ticket, in the same turn.
    Ask {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What is asked.
        ask: Ask,
    },
}

/// What a core is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// How it is.
    Status,
    /// The same without sessions, and of the accounts only those for which something waits.
    Brief,
    /// Of stored messages.
    Queue(QueueAsk),
    /// A receipt once more.
    Resend(Box<Resend>),
}

/// What a core answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// How it is.
    Status(Box<Status>),
    /// Of stored messages.
    Queue(Box<QueueAnswer>),
    /// What became of a receipt that is to go once more.
    Resent(Resent),
}

impl Answer {
    /// Of two shards to the same question; of two questions the first.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Status(one), Self::Status(other)) => Self::Status(Box::new(one.join(*other))),
            (Self::Queue(one), Self::Queue(other)) => Self::Queue(Box::new(one.join(*other))),
            (Self::Resent(one), Self::Resent(other)) => Self::Resent(one.join(other)),
            (one, _) => one,
        }
    }
}

/// How a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// After everything queued was written: half-close, wait briefly for the peer's end, close.
    AfterFlush,
    /// At once; what is queued is lost.
    Now,
    /// The same, and nothing is kept of it, by the system neither: the peer's stream is reset.
    Reset,
}

/// A connect to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Comes back with the result.
    pub ticket: Ticket,
    /// `host:port`; names are resolved by the driver, off the shard.
    pub address: String,
    /// Give up after this.
    pub timeout: Duration,
    /// TCP_USER_TIMEOUT; zero: the system's.
    pub user_timeout: Duration,
    /// Which way it leaves this machine.
    pub way: Way,
}

/// Which way a connection leaves this machine; nothing set: the system's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way {
    /// Our end.
    pub source_address: Option<IpAddr>,
    /// The network interface (SO_BINDTODEVICE).
    pub interface: Option<String>,
    /// The mark of its packets (SO_MARK), for policy routing.
    pub firewall_mark: Option<u32>,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody should look.
    Warn,
    /// Something is lost or refused that should not be.
    Error,
}

/// Something for the log. Never a message body, never a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How much it matters.
    pub level: Level,
    /// What happened, one stable name.
    pub name: &'static str,
    /// Who and how.
    pub fields: Vec<(&'static str, String)>,
}

/// What the driver does at the end of the turn, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection.
    Connect(Connect),
    /// End a link.
    Close(LinkId, CloseHow),
    /// Read nothing from it.
    Pause(LinkId),
    /// Read again.
    Resume(LinkId),
    /// Give a link to another shard: it is gone here, without `Input::Closed`. What is still read of it goes behind the
    /// parcel's unread octets; what is still to be written is written first.
    HandOver {
        /// Which.
        link: LinkId,
        /// To whom.
        to: ShardId,
        /// What is known of it.
        parcel: Parcel,
    },
    /// Write a log line.
    Log(Event),
    /// Tell who asked.
    Answer {
        /// As it was asked.
        ticket: Ticket,
        /// For who asked.
        answer: Answer,
    },
    /// Stop the driver; every link is closed.
    Exit,
}

#[derive(Debug, Default)]
struct LinkOutput {
    /// What the core has appended and the driver has not yet taken.
    buffer: Vec<u8>,
    generation: u32,
    open: bool,
    dirty: bool,
    /// Octets of the buffer that was taken last: the next one may be as large.
    last: u32,
    /// Octets ever appended before `buffer` was last taken.
    taken: u64,
    /// Octets ever written to the socket.
    flushed: u64,
}

/// All outputs of a turn. Buffers belong to the shard, not to the link: an idle link holds none.
#[derive(Debug, Default)]
pub struct Outbox {
    links: Vec<LinkOutput>,
    dirty: Vec<LinkId>,
    actions: Vec<Action>,
    mails: Vec<(ShardId, Mail)>,
    spare: Vec<Vec<u8>>,
    /// What they can hold together.
    spare_octets: usize,
    /// Takes what is written to links that are gone.
    sink: Vec<u8>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer that the link's output is appended to. For a link that is gone: a sink.
    #[inline]
    pub fn to(&mut self, link: LinkId) -> &mut Vec<u8> {
        let Some(output) = self.links.get_mut(link.index()) else {
            self.sink.clear();
            return &mut self.sink;
        };
        if !output.open || output.generation != link.generation {
            self.sink.clear();
            return &mut self.sink;
        }
        if !output.dirty {
            output.dirty = true;
            self.dirty.push(link);
            if output.last as usize > OUTPUT_BUFFER_KEPT_MAX {
                output.buffer.reserve(output.last as usize);
            } else if output.buffer.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                self.spare_octets -= spare.capacity();
                output.buffer = spare;
            }
        }
        &mut output.buffer
    }

    /// Asks the driver for something.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Writes a letter to another shard. Letters to the same shard arrive in this order.
    #[inline]
    pub fn mail(&mut self, to: ShardId, mail: Mail) {
        self.mails.push((to, mail));
    }

    /// Asks for the end of a link.
    pub fn close(&mut self, link: LinkId, how: CloseHow) {
        self.act(Action::Close(link, how));
    }

    /// Writes a log line.
    pub fn log(&mut self, level: Level, name: &'static str, fields: Vec<(&'static str, String)>) {
        self.act(Action::Log(Event { level, name, fields }));
    }

    fn output(&self, link: LinkId) -> Option<&LinkOutput> {
        self.links.get(link.index()).filter(|output| output.open && output.generation == link.generation)
    }

    /// Octets appended and not yet written to the socket.
    #[must_use]
    pub fn backlog(&self, link: LinkId) -> usize {
        self.output(link).map_or(0, |output| (output.taken - output.flushed) as usize + output.buffer.len())
    }

    /// True when a link's backlog is over the soft limit: nothing new should be sent to it. `Input::Room` follows.
    #[must_use]
    pub fn is_full(&self, link: LinkId) -> bool {
        self.backlog(link) > OUTPUT_SOFT
    }

    /// Octets ever appended to the link: the place in its stream after the last one.
    #[must_use]
    pub fn position(&self, link: LinkId) -> u64 {
        self.output(link).map_or(0, |output| output.taken + output.buffer.len() as u64)
    }

    /// True when the link's stream was written to its socket up to `position`, or the link is gone.
    #[must_use]
    pub fn is_flushed(&self, link: LinkId, position: u64) -> bool {
        self.output(link).is_none_or(|output| output.flushed >= position)
    }

    /// For the driver: a link exists from now on.
    pub fn open(&mut self, link: LinkId) {
        if self.links.len() <= link.index() {
            self.links.resize_with(link.index() + 1, LinkOutput::default);
        }
        if let Some(output) = self.links.get_mut(link.index()) {
            let buffer = core::mem::take(&mut output.buffer);
            *output = LinkOutput { buffer, generation: link.generation, open: true, ..LinkOutput::default() };
            output.buffer.clear();
        }
    }

    /// For the driver: a link is gone; its output is dropped.
    pub fn closed(&mut self, link: LinkId) {
        let Some(output) = self.links.get_mut(link.index()) else { return };
        if output.generation != link.generation {
            return;
        }
        output.open = false;
        let buffer = core::mem::take(&mut output.buffer);
        self.keep(buffer);
    }

    /// For the driver: the next link with fresh output, and that output in exchange for nothing. Give the buffer
    /// back with `keep` when it was written.
    pub fn take_dirty(&mut self) -> Option<(LinkId, Vec<u8>)> {
        while let Some(link) = self.dirty.pop() {
            let Some(output) = self.links.get_mut(link.index()) else { continue };
            if output.generation != link.generation {
                continue;
            }
            output.dirty = false;
            if !output.open || output.buffer.is_empty() {
                // Asked for and not used: an idle link holds no buffer.
                let unused = core::mem::take(&mut output.buffer);
                self.keep(unused);
                continue;
            }
            output.taken += output.buffer.len() as u64;
            output.last = u32::try_from(output.buffer.len()).unwrap_or(u32::MAX);
            return Some((link, core::mem::take(&mut output.buffer)));
        }
        None
    }

    /// For the driver: this many octets of the link reached the socket. True when its backlog fell through the soft
    /// limit by it.
    pub fn flushed(&mut self, link: LinkId, octets: usize) -> bool {
        let was_full = self.is_full(link);
        if let Some(output) = self.links.get_mut(link.index())
            && output.generation == link.generation
        {
            output.flushed += octets as u64;
            debug_assert!(output.flushed <= output.taken);
        }
        was_full && !self.is_full(link)
    }

    /// For the driver: a buffer that is no longer needed.
    pub fn keep(&mut self, mut buffer: Vec<u8>) {
        let octets = buffer.capacity();
        if self.spare.len() < OUTPUT_BUFFERS_KEPT
            && (1..=OUTPUT_BUFFER_KEPT_MAX).contains(&octets)
            && self.spare_octets + octets <= OUTPUT_KEPT_MAX
        {
            self.spare_octets += octets;
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// For the driver: what else is to be done, in order; the list is empty afterwards.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.clear();
        core::mem::swap(into, &mut self.actions);
    }

    /// For the driver: the letters that were written, in order; the list is empty afterwards.
    pub fn take_mails(&mut self, into: &mut Vec<(ShardId, Mail)>) {
        into.clear();
        core::mem::swap(into, &mut self.mails);
    }
}

/// A peer's address without its port, for counting links per address.
#[must_use]
pub fn host_of(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId { slot: 0, generation: 1 };

    #[test]
    fn output_for_a_link_that_is_gone_goes_nowhere() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.closed(LINK);
        out.to(LINK).extend(b"late");
        assert!(out.take_dirty().is_none());
        assert_eq!(out.backlog(LINK), 0);
    }

    #[test]
    fn a_new_holder_of_a_slot_gets_nothing_of_the_former() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.to(LINK).extend(b"old");
        out.closed(LINK);
        let next = LinkId { slot: 0, generation: 2 };
        out.open(next);
        assert!(out.take_dirty().is_none());
        out.to(next).extend(b"new");
        assert_eq!(out.take_dirty(), Some((next, b"new".to_vec())));
    }

    #[test]
    fn a_position_is_flushed_when_the_socket_took_it() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.to(LINK).extend(b"12345");
        let mark = out.position(LINK);
        out.to(LINK).extend(b"678");
        assert!(!out.is_flushed(LINK, mark));
        let (link, buffer) = out.take_dirty().unwrap();
        out.flushed(link, 5);
        assert!(out.is_flushed(LINK, mark));
        assert_eq!(out.backlog(LINK), 3);
        out.flushed(link, buffer.len() - 5);
        assert_eq!(out.backlog(LINK), 0);
    }

    #[test]
    fn kept_buffers_are_bounded_in_octets() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.keep(Vec::with_capacity(OUTPUT_BUFFER_KEPT_MAX + 1));
        assert_eq!(out.spare.len(), 0, "what a slow reader left");
        let all = OUTPUT_KEPT_MAX / OUTPUT_BUFFER_KEPT_MAX;
        (0..all + 3).for_each(|_| out.keep(Vec::with_capacity(OUTPUT_BUFFER_KEPT_MAX)));
        assert_eq!(out.spare.len(), all);
        out.to(LINK).push(1);
        assert_eq!(out.spare.len(), all - 1);
        let (_, used) = out.take_dirty().unwrap();
        out.keep(used);
        out.keep(Vec::with_capacity(1));
        assert_eq!(out.spare.len(), all);
    }

    #[test]
    fn a_large_output_now_and_then_does_not_make_every_kept_buffer_large() {
        const LINKS: u32 = 8;
        let mut out = Outbox::new();
        for round in 0..4 * LINKS {
            // The driver holds all of them at once; one is a link that takes everything that has waited for it.
            let ids = (0..LINKS).map(|slot| LinkId { slot, generation: round });
            ids.clone().for_each(|id| out.open(id));
            ids.clone().for_each(|id| out.to(id).extend_from_slice(&[1; 100]));
            out.to(LinkId { slot: round % LINKS, generation: round }).resize(OUTPUT_SOFT / 2, 2);
            let sent: Vec<_> = core::iter::from_fn(|| out.take_dirty()).collect();
            assert_eq!(sent.len(), LINKS as usize);
            sent.into_iter().for_each(|(_, buffer)| out.keep(buffer));
            ids.for_each(|id| out.closed(id));
        }
        assert!(out.spare_octets < OUTPUT_BUFFER_KEPT_MAX, "{} octets are kept", out.spare_octets);
    }

    #[test]
    fn a_link_whose_outputs_are_large_gets_a_buffer_that_need_not_grow() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.keep(Vec::with_capacity(1));
        let large = OUTPUT_BUFFER_KEPT_MAX + 1;
        out.to(LINK).resize(large, 0);
        out.take_dirty().unwrap();
        assert!(out.to(LINK).capacity() >= large);
        out.to(LINK).push(1);
        out.take_dirty().unwrap();
        assert!(out.to(LINK).capacity() < large, "once is not always");
    }

    #[test]
    fn room_is_said_once_when_the_backlog_falls_through_the_limit() {
        let mut out = Outbox::new();
        out.open(LINK);
        out.to(LINK).resize(OUTPUT_SOFT + 10, 0);
        assert!(out.is_full(LINK));
        let (link, _) = out.take_dirty().unwrap();
        assert!(!out.flushed(link, 5));
        assert!(out.flushed(link, 5));
        assert!(!out.flushed(link, 5));
    }
}
