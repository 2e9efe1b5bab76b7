//! One SMPP session, in either role.
//!
//! Owns: bind state, the window of our requests, the count of theirs, sequence numbers, timers. Takes: whole PDUs
//! and the time. Gives: the answers that the session itself owes (enquire_link, unbind, wrong state, unknown
//! command), and what is left for its owner to do. Never: sockets, routing, a message's meaning.
//!
//! ```text
//!            bind accepted                peer's unbind, or drain() of ours
//!   Open ───────────────────▶ Bound(tx|rx|trx) ───────────────────────────▶ Unbinding ──▶ Closed
//!    │ ▲ outbind (we are the ESME)                  requests now get 0x04,                    ▲
//!    ▼ │                                            what is in flight is answered first       │
//!   Outbound                     session_init, enquire_link, response timers, lost framing ───┘
//! ```

#[cfg(test)]
mod tests;
mod timers;
mod window;

pub use timers::{Settings as TimerSettings, Ticked, Timers};
pub use window::{Mismatch, Owner, Window, WindowPool, take_sequence};

use crate::counters::{Ignored, Reason, ShardCounters};
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::time::Instant;

/// What we are on this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The peer is an ESME; to it we are the SMSC.
    Smsc,
    /// The peer is a carrier; to it we are the ESME.
    Esme,
}

/// The mode of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindKind {
    /// The ESME sends.
    Transmitter,
    /// The ESME receives.
    Receiver,
    /// Both.
    Transceiver,
}

impl BindKind {
    /// The kind that a bind request or response asks for.
    #[must_use]
    pub const fn of(command: CommandId) -> Option<Self> {
        match command.request() {
            CommandId::BIND_TRANSMITTER => Some(Self::Transmitter),
            CommandId::BIND_RECEIVER => Some(Self::Receiver),
            CommandId::BIND_TRANSCEIVER => Some(Self::Transceiver),
            _ => None,
        }
    }

    /// The request that asks for it.
    #[must_use]
    pub const fn command(self) -> CommandId {
        match self {
            Self::Transmitter => CommandId::BIND_TRANSMITTER,
            Self::Receiver => CommandId::BIND_RECEIVER,
            Self::Transceiver => CommandId::BIND_TRANSCEIVER,
        }
    }

    /// The ESME may submit.
    #[must_use]
    pub const fn transmits(self) -> bool {
        matches!(self, Self::Transmitter | Self::Transceiver)
    }

    /// The ESME may be delivered to.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receiver | Self::Transceiver)
    }

    /// As metrics and status print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transmitter => "tx",
            Self::Receiver => "rx",
            Self::Transceiver => "trx",
        }
    }
}

/// Where a session is in its life; the diagram is in the room's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Connected, not bound.
    Open,
    /// An outbind came; we are to bind.
    Outbound,
    /// Bound.
    Bound(BindKind),
    /// An unbind is under way; what is in flight is being answered.
    Unbinding,
    /// Over; a request that is still read is refused.
    Closed,
}

/// What a PDU was, when the session has done its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing is left to do.
    Handled,
    /// A bind request; the owner checks it, answers it and says `accept_bind` or `refuse_bind`.
    Bind(BindKind),
    /// Our bind was accepted.
    Bound(BindKind),
    /// Our bind was refused.
    BindRefused(CommandStatus),
    /// A request that is legal here; the owner answers it (`begin` when it takes it, `answered` when it is done).
    Request,
    /// A response, or a generic_nack, to the request of this owner; its slot is free again.
    Response(Owner),
    /// A response to nothing in flight: late, duplicate or never asked for. It was counted.
    Unmatched,
    /// An outbind: the peer wants us to bind.
    Outbind,
    /// The session is over; flush and close the link.
    Finished,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    role: Role,
    state: State,
    version: u8,
    window: Window,
    theirs: u32,
    next_sequence: u32,
    timers: Timers,
    /// The peer's unbind, to be answered when its requests are.
    unbind_asked: Option<u32>,
    /// We want to unbind as soon as nothing is in flight.
    unbind_wanted: bool,
}

impl Session {
    /// A session whose link has just come up. `window_max`: requests of ours in flight, 1 to `WINDOW_MAX`.
    #[must_use]
    pub fn new(role: Role, now: Instant, window_max: u32, timers: timers::Settings) -> Self {
        Self {
            role,
            state: State::Open,
            version: 0x34,
            window: Window::new(window_max),
            theirs: 0,
            next_sequence: 1,
            timers: Timers::new(now, timers),
            unbind_asked: None,
            unbind_wanted: false,
        }
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The peer's interface_version: below 0x34 it knows no TLVs.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// True for a peer that knows no TLVs and only short ids.
    #[must_use]
    pub const fn is_v33(&self) -> bool {
        self.version < 0x34
    }

    /// Requests of ours in flight.
    #[must_use]
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// Requests of theirs not yet answered.
    #[must_use]
    pub const fn theirs(&self) -> u32 {
        self.theirs
    }

    /// When its link came up.
    #[must_use]
    pub const fn born(&self) -> Instant {
        self.timers.born()
    }

    /// When the peer was last heard.
    #[must_use]
    pub const fn heard_at(&self) -> Instant {
        self.timers.heard_at()
    }

    /// True when the owner may send one more request of the direction that the bind allows.
    #[must_use]
    pub fn may_send(&self) -> bool {
        let State::Bound(kind) = self.state else { return false };
        let direction = match self.role {
            Role::Smsc => kind.receives(),
            Role::Esme => kind.transmits(),
        };
        direction && !self.unbind_wanted && self.window.has_room() && !self.timers.is_doubted()
    }

    /// True while an enquire_link is not answered and nothing else was heard: with the next PDU `deadline` is earlier.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.timers.is_silent()
    }

    /// True while nothing is sent because a request is overdue and the peer has been silent since.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.timers.is_doubted()
    }

    /// True when bound so that deliver_sm flows over it, whatever the window.
    #[must_use]
    pub const fn receives(&self) -> bool {
        matches!(self.state, State::Bound(kind) if kind.receives())
    }

    /// True when bound so that submit_sm flows over it, whatever the window.
    #[must_use]
    pub const fn transmits(&self) -> bool {
        matches!(self.state, State::Bound(kind) if kind.transmits())
    }

    /// Takes a window slot and a sequence number for a request that the owner writes now.
    #[inline]
    pub fn send(
        &mut self,
        now: Instant,
        command: CommandId,
        owner: Owner,
        pool: &mut WindowPool,
    ) -> Option<u32> {
        self.window.open(now, command, owner, &mut self.next_sequence, pool)
    }

    /// A sequence number for a request that takes no window slot and gets no response (alert_notification).
    pub fn number(&mut self) -> u32 {
        take_sequence(&mut self.next_sequence)
    }

    /// The owner took one request of theirs.
    #[inline]
    pub fn begin(&mut self) {
        self.theirs += 1;
    }

    /// The owner has written the response to one request that it had begun.
    #[inline]
    pub fn answered(&mut self) {
        assert!(self.theirs > 0, "each request is answered once");
        self.theirs -= 1;
    }

    /// The peer's bind was accepted and answered.
    pub fn accept_bind(
        &mut self,
        now: Instant,
        kind: BindKind,
        version: u8,
        window_max: u32,
        timers: timers::Settings,
    ) {
        debug_assert!(self.state == State::Open && self.window.used() == 0);
        self.state = State::Bound(kind);
        self.version = version;
        self.window = Window::new(window_max);
        self.timers.bound(now, timers);
    }

    /// Writes our bind request through `write`, which gets its sequence number.
    pub fn bind(&mut self, now: Instant, kind: BindKind, version: u8, write: impl FnOnce(u32)) {
        debug_assert!(self.role == Role::Esme);
        let sequence = take_sequence(&mut self.next_sequence);
        self.version = version;
        self.timers.control(now, kind.command(), sequence);
        write(sequence);
    }

    /// Starts the end: nothing new is sent, what is in flight is waited for, then unbind.
    pub fn drain(&mut self, now: Instant) {
        if matches!(self.state, State::Bound(_)) {
            self.unbind_wanted = true;
            self.timers.drain(now);
        }
    }

    /// True when an end is under way.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.unbind_wanted || matches!(self.state, State::Unbinding | State::Closed)
    }

    /// The link is gone, or will be. What is still in flight comes from `abandon`.
    pub fn closed(&mut self) {
        self.state = State::Closed;
    }

    /// The next request of ours that will not be answered any more, when the session is closed.
    pub fn abandon(&mut self, pool: &mut WindowPool) -> Option<Owner> {
        debug_assert!(self.state == State::Closed);
        self.window.abandon(pool)
    }

    /// Takes a whole PDU. Answers of the session's own are appended to what `out` gives, which is asked only then.
    #[inline]
    pub fn receive<'o>(
        &mut self,
        now: Instant,
        pdu: &Pdu<'_>,
        pool: &mut WindowPool,
        out: impl FnOnce() -> &'o mut Vec<u8>,
        counters: &ShardCounters,
    ) -> Heard {
        let command = pdu.command_id();
        self.timers.heard(now, command);
        if command.is_response() {
            return self.on_response(now, pdu, pool, counters);
        }
        match command {
            CommandId::ENQUIRE_LINK => {
                respond(out(), pdu, CommandStatus::OK);
                Heard::Handled
            }
            CommandId::UNBIND => self.on_unbind(now, pdu, out()),
            CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER | CommandId::BIND_TRANSCEIVER => {
                self.on_bind(pdu, out(), counters)
            }
            CommandId::OUTBIND => self.on_outbind(pdu, out(), counters),
            // Nearly every request is one of these two; the link's output is not asked for.
            CommandId::SUBMIT_SM | CommandId::DELIVER_SM if self.may_hear(command) => Heard::Request,
            _ => self.on_request(pdu, out(), counters),
        }
    }

    fn on_request(&mut self, pdu: &Pdu<'_>, out: &mut Vec<u8>, counters: &ShardCounters) -> Heard {
        let command = pdu.command_id();
        if !is_known(command, self.version) {
            refuse_unknown(out, pdu, counters);
            return Heard::Handled;
        }
        if self.may_hear(command) {
            return Heard::Request;
        }
        counters.refusals.at(Reason::BindStatus as usize).bump();
        if command.has_response() {
            respond(out, pdu, CommandStatus::INVALID_BIND_STATUS);
        }
        Heard::Handled
    }

    /// SMPP 5.0 §2.4, table 2-1: who may send what in which state.
    fn may_hear(&self, command: CommandId) -> bool {
        let State::Bound(kind) = self.state else { return false };
        match (self.role, command) {
            (Role::Smsc, CommandId::DELIVER_SM | CommandId::ALERT_NOTIFICATION) => false,
            (Role::Smsc, _) => kind.transmits(),
            (Role::Esme, CommandId::DELIVER_SM | CommandId::ALERT_NOTIFICATION | CommandId::DATA_SM) => {
                kind.receives()
            }
            (Role::Esme, _) => false,
        }
    }

    fn on_bind(&mut self, pdu: &Pdu<'_>, out: &mut Vec<u8>, counters: &ShardCounters) -> Heard {
        match (self.role, self.state, BindKind::of(pdu.command_id())) {
            (Role::Smsc, State::Open, Some(kind)) => Heard::Bind(kind),
            (Role::Smsc, State::Bound(_), _) => {
                counters.refusals.at(Reason::BindStatus as usize).bump();
                respond(out, pdu, CommandStatus::ALREADY_BOUND);
                Heard::Handled
            }
            _ => {
                counters.refusals.at(Reason::BindStatus as usize).bump();
                respond(out, pdu, CommandStatus::INVALID_BIND_STATUS);
                Heard::Handled
            }
        }
    }

    fn on_outbind(&mut self, pdu: &Pdu<'_>, out: &mut Vec<u8>, counters: &ShardCounters) -> Heard {
        if self.role == Role::Esme && self.state == State::Open {
            self.state = State::Outbound;
            return Heard::Outbind;
        }
        refuse_unknown(out, pdu, counters);
        Heard::Handled
    }

    fn on_unbind(&mut self, now: Instant, pdu: &Pdu<'_>, out: &mut Vec<u8>) -> Heard {
        match self.state {
            State::Bound(_) => {
                self.state = State::Unbinding;
                self.unbind_asked = Some(pdu.sequence_number());
                self.timers.drain(now);
                self.progress(now, out)
            }
            State::Open | State::Outbound => {
                respond(out, pdu, CommandStatus::OK);
                self.state = State::Closed;
                Heard::Finished
            }
            State::Unbinding | State::Closed => {
                respond(out, pdu, CommandStatus::OK);
                Heard::Handled
            }
        }
    }

    /// Moves an unbind on when nothing is in flight any more. The owner calls it after each answer while
    /// `is_ending`; `Finished` means flush and close.
    pub fn progress(&mut self, now: Instant, out: &mut Vec<u8>) -> Heard {
        if self.theirs > 0 {
            return Heard::Handled;
        }
        if let Some(sequence) = self.unbind_asked.take() {
            // What we sent and they will not answer any more is of unknown outcome; the close tells its owners.
            write_header_only(out, CommandId::UNBIND_RESP, CommandStatus::OK, sequence);
            self.state = State::Closed;
            return Heard::Finished;
        }
        let bound = matches!(self.state, State::Bound(_));
        if self.unbind_wanted && bound && self.window.used() == 0 {
            let sequence = take_sequence(&mut self.next_sequence);
            write_header_only(out, CommandId::UNBIND, CommandStatus::OK, sequence);
            self.timers.control(now, CommandId::UNBIND, sequence);
            self.state = State::Unbinding;
        }
        Heard::Handled
    }

    fn on_response(
        &mut self,
        now: Instant,
        pdu: &Pdu<'_>,
        pool: &mut WindowPool,
        counters: &ShardCounters,
    ) -> Heard {
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        match self.window.close(sequence, command, pool) {
            Ok((owner, _, _)) => return Heard::Response(owner),
            Err(Mismatch::WrongType) => {
                counters.ignored.at(Ignored::ResponseWrongType as usize).bump();
                return Heard::Handled;
            }
            Err(Mismatch::Unknown) => {}
        }
        // A session that is over stays so, whatever else was on its way.
        let over = self.state == State::Closed;
        if let Some(asked) = self.timers.answer(sequence, command).filter(|_| !over) {
            return self.on_control_response(now, asked, pdu);
        }
        let why = if command.name().is_some() { Ignored::ResponseUnknown } else { Ignored::ResponseCommand };
        counters.ignored.at(why as usize).bump();
        Heard::Unmatched
    }

    fn on_control_response(&mut self, now: Instant, asked: CommandId, pdu: &Pdu<'_>) -> Heard {
        if asked == CommandId::UNBIND {
            self.state = State::Closed;
            return Heard::Finished;
        }
        let Some(kind) = BindKind::of(asked) else { return Heard::Handled };
        let status = pdu.header().command_status;
        if status == CommandStatus::OK && pdu.command_id() != CommandId::GENERIC_NACK {
            self.state = State::Bound(kind);
            self.timers.up(now);
            return Heard::Bound(kind);
        }
        Heard::BindRefused(status)
    }

    /// The owner has paused the link and reads nothing from it: silence says nothing of the peer.
    pub fn unread(&mut self, now: Instant) {
        self.timers.up(now);
    }

    /// When `tick` is wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline(self.state, self.window.oldest())
    }

    /// Does one thing that is due; call it until it gives `None`.
    pub fn tick(&mut self, now: Instant, pool: &mut WindowPool, out: &mut Vec<u8>) -> Option<Ticked> {
        if self.state == State::Closed {
            return None;
        }
        if let Some(limit) = self.timers.response_limit(now)
            && let Some((owner, sequence)) = self.window.expire(limit, pool)
        {
            self.timers.overdue(limit);
            return Some(Ticked::Expired(owner, sequence));
        }
        let ticked = self.timers.tick(now, self.state)?;
        match ticked {
            timers::Due::Enquire => {
                let sequence = take_sequence(&mut self.next_sequence);
                write_header_only(out, CommandId::ENQUIRE_LINK, CommandStatus::OK, sequence);
                self.timers.enquired(now, sequence);
                Some(Ticked::Nothing)
            }
            timers::Due::Inactive => {
                self.drain(now);
                self.progress(now, out);
                Some(Ticked::Nothing)
            }
            timers::Due::Close(reason) => {
                self.state = State::Closed;
                Some(Ticked::Close(reason))
            }
        }
    }
}

/// True for the requests of this version (3.3's own are gone in 3.4, broadcast comes with 5.0). Peers below 3.4 do
/// use bind_transceiver and data_sm.
fn is_known(command: CommandId, version: u8) -> bool {
    match command {
        CommandId::PARAM_RETRIEVE | CommandId::QUERY_LAST_MSGS | CommandId::QUERY_MSG_DETAILS => {
            version < 0x34
        }
        CommandId::BROADCAST_SM | CommandId::QUERY_BROADCAST_SM | CommandId::CANCEL_BROADCAST_SM => {
            version >= 0x50
        }
        _ => command.name().is_some() && !command.is_response(),
    }
}

fn refuse_unknown(out: &mut Vec<u8>, pdu: &Pdu<'_>, counters: &ShardCounters) {
    counters.refusals.at(Reason::Command as usize).bump();
    write_header_only(out, CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, pdu.sequence_number());
}

/// Appends the header-only response to a request: the body is left out of refusals (SMPP 3.4 §4.1.2), and
/// enquire_link and unbind have none.
pub fn respond(out: &mut Vec<u8>, request: &Pdu<'_>, status: CommandStatus) {
    write_header_only(out, request.command_id().response(), status, request.sequence_number());
}
