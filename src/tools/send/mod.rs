//! Messages from the command line that wait for their receipts.
//!
//! Owns: one session, the messages and what became of them. Takes: numbers, a text, the inputs of a driver. Gives: a
//! line per message and an exit code. Never: more than its window in flight.

pub mod message;
pub mod settings;

pub use message::{Message, Messages, Parts};
pub use settings::Settings;

use crate::ids::LinkId;
use crate::shard::port::{Action, CloseHow, Connect, Core, Input, Outbox, Ticket, Way};
use crate::smpp::bind::Bind;
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::receipt::Receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant, Now};
use crate::tools::smsc::CARRIER_NAME;
use crate::tools::stream::{Next, Stream};

const WINDOW: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const UNBIND_MAX: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every message was accepted, and every receipt that was waited for says delivered.
    Good,
    /// The bind was refused with this status, or the link was lost with this reason.
    Failed(String),
    /// A message was refused or not delivered.
    NotDelivered,
    /// Nobody answered the connect.
    Unreachable(String),
    /// A response or a receipt did not come in time.
    TimedOut,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed(_) | Self::NotDelivered => 1,
            Self::Unreachable(_) => 4,
            Self::TimedOut => 5,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Connecting,
    Binding,
    Sending,
    Receipts,
    Unbinding,
    Done,
}

/// Called with each message that is done.
pub type OnDone = Box<dyn FnMut(&Message) + Send>;

/// Sends messages and waits for their receipts.
pub struct Sender {
    settings: Settings,
    messages: Messages,
    on_done: OnDone,
    phase: Phase,
    link: Option<LinkId>,
    stream: Stream,
    deadline: Option<Instant>,
    failure: Option<Outcome>,
}

impl Sender {
    /// A run that has not begun. `on_done` is called once for every message.
    #[must_use]
    pub fn new(settings: Settings, messages: Messages, on_done: OnDone) -> Self {
        Self {
            settings,
            messages,
            on_done,
            phase: Phase::Start,
            link: None,
            stream: Stream::default(),
            deadline: Some(Instant::ZERO),
            failure: None,
        }
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if let Some(failure) = &self.failure {
            return failure.clone();
        }
        if self.messages.any_open() {
            return Outcome::TimedOut;
        }
        if self.messages.all_good() { Outcome::Good } else { Outcome::NotDelivered }
    }

    fn connect(&mut self, out: &mut Outbox) {
        self.phase = Phase::Connecting;
        self.deadline = None;
        out.act(Action::Connect(Connect {
            ticket: Ticket(0),
            address: self.settings.address.clone(),
            timeout: CONNECT_TIMEOUT,
            user_timeout: Duration::ZERO,
            way: Way::default(),
        }));
    }

    fn on_connected(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        self.link = Some(link);
        self.phase = Phase::Binding;
        self.deadline = Some(now.mono.after(self.settings.response_timeout));
        let bind = Bind {
            system_id: self.settings.system_id.as_bytes(),
            password: self.settings.password.as_bytes(),
            interface_version: 0x34,
            ..Bind::default()
        };
        bind.write(out.to(link), CommandId::BIND_TRANSCEIVER, self.messages.next_sequence());
    }

    fn on_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8], out: &mut Outbox) {
        let mut stream = core::mem::take(&mut self.stream);
        let read = stream.each(bytes, |pdu| self.on_pdu(now, link, &pdu, out));
        self.stream = stream;
        if read.is_err() {
            self.fail(Outcome::Failed("the server lost its framing".to_owned()));
            out.close(link, CloseHow::Now);
        }
    }

    fn on_pdu(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Next {
        let (sequence, status) = (pdu.sequence_number(), pdu.header().command_status);
        match pdu.command_id() {
            CommandId::BIND_TRANSCEIVER_RESP if self.phase == Phase::Binding => {
                if !status.is_ok() {
                    self.fail(Outcome::Failed(format!("the bind was refused: {status}")));
                    out.close(link, CloseHow::Now);
                    return Next::Stop;
                }
                self.phase = Phase::Sending;
                self.send(now, link, out);
            }
            CommandId::SUBMIT_SM_RESP | CommandId::GENERIC_NACK if self.phase == Phase::Binding => {
                self.fail(Outcome::Failed(format!("the bind was refused: {status}")));
                out.close(link, CloseHow::Now);
                return Next::Stop;
            }
            CommandId::SUBMIT_SM_RESP | CommandId::GENERIC_NACK => {
                let response = MessageIdResp::parse(pdu);
                let carrier = response.tlvs().get(CARRIER_NAME).map(<[u8]>::to_vec);
                self.messages.answered(now.mono, sequence, status, response.id, carrier);
                self.send(now, link, out);
            }
            CommandId::DELIVER_SM => {
                if let Ok(sm) = Sm::parse_deliver(pdu)
                    && let Some(receipt) = Receipt::parse(&sm, false)
                {
                    let carrier = sm.content.tlvs.get(CARRIER_NAME).map(<[u8]>::to_vec);
                    self.messages.receipt(now.mono, &receipt, carrier);
                }
                let response = MessageIdResp::new(b"");
                response.write(out.to(link), CommandId::DELIVER_SM_RESP, CommandStatus::OK, sequence);
            }
            CommandId::ENQUIRE_LINK => {
                write_header_only(out.to(link), CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, sequence);
            }
            CommandId::UNBIND => {
                write_header_only(out.to(link), CommandId::UNBIND_RESP, CommandStatus::OK, sequence);
                out.close(link, CloseHow::AfterFlush);
                return Next::Stop;
            }
            CommandId::UNBIND_RESP => {
                out.close(link, CloseHow::AfterFlush);
                return Next::Stop;
            }
            _ => {}
        }
        self.settle(now, out);
        Next::Go
    }

    fn send(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        while self.messages.in_flight() < WINDOW && self.messages.write_next(now.mono, out.to(link)) {}
        self.deadline = Some(now.mono.after(self.settings.response_timeout));
    }

    /// Says what is done, and goes on when all is.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        for message in self.messages.take_done() {
            (self.on_done)(&message);
        }
        match self.phase {
            Phase::Sending if self.messages.all_answered() => {
                self.phase = Phase::Receipts;
                self.deadline = Some(now.mono.after(self.settings.receipt_wait));
                self.settle(now, out);
            }
            Phase::Receipts if !self.messages.any_open() => self.unbind(now, out),
            Phase::Start
            | Phase::Connecting
            | Phase::Binding
            | Phase::Sending
            | Phase::Receipts
            | Phase::Unbinding
            | Phase::Done => {}
        }
    }

    fn on_time(&mut self, now: Now, out: &mut Outbox) {
        if self.deadline.is_none_or(|at| at > now.mono) {
            return;
        }
        match self.phase {
            Phase::Start => self.connect(out),
            Phase::Binding => {
                self.fail(Outcome::TimedOut);
                self.done(out);
            }
            Phase::Sending | Phase::Receipts => self.unbind(now, out),
            Phase::Unbinding => self.done(out),
            Phase::Connecting | Phase::Done => self.deadline = None,
        }
    }

    fn unbind(&mut self, now: Now, out: &mut Outbox) {
        for message in self.messages.take_open() {
            (self.on_done)(&message);
        }
        self.phase = Phase::Unbinding;
        self.deadline = Some(now.mono.after(UNBIND_MAX));
        let sequence = self.messages.next_sequence();
        match self.link {
            Some(link) => write_header_only(out.to(link), CommandId::UNBIND, CommandStatus::OK, sequence),
            None => self.done(out),
        }
    }

    fn fail(&mut self, outcome: Outcome) {
        self.failure.get_or_insert(outcome);
    }

    fn done(&mut self, out: &mut Outbox) {
        self.phase = Phase::Done;
        self.deadline = None;
        out.act(Action::Exit);
    }

    fn on_closed(&mut self, reason: &str, out: &mut Outbox) {
        if !matches!(self.phase, Phase::Unbinding | Phase::Done) {
            self.fail(Outcome::Failed(format!("the link was lost: {reason}")));
            for message in self.messages.take_open() {
                (self.on_done)(&message);
            }
        }
        self.done(out);
    }
}

impl Core for Sender {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Time => self.on_time(now, out),
            Input::Connected { link, .. } => self.on_connected(now, link, out),
            Input::ConnectFailed { reason, .. } => {
                self.fail(Outcome::Unreachable(reason.to_owned()));
                self.done(out);
            }
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, out),
            Input::Closed { reason, .. } => self.on_closed(reason, out),
            Input::Drain => self.unbind(now, out),
            Input::Room { .. } => {}
            // It is alone.
            Input::Ask { .. } | Input::HandedOver { .. } | Input::Mail { .. } => {}
            Input::Accepted { .. } => debug_assert!(false, "nobody connects to it"),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

#[cfg(test)]
mod tests;
