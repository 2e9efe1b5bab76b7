//! A simulated carrier: an SMSC that accepts binds, answers submits, sends receipts and MO messages, and does wrong
//! whatever its settings say.
//!
//! Owns: its sessions, the answers and receipts that are due later, its counters. Takes: the inputs of a driver.
//! Gives: PDUs. Never: a fault that its seed does not repeat.
//!
//! `settings` is what it is told, `submit` takes messages, `deliver` gives receipts and MO, `compose` writes them,
//! `operations` answers query, cancel and replace, `ids` writes message ids, `stats` counts.

pub mod compose;
pub mod deliver;
pub mod ids;
pub mod operations;
pub mod session;
pub mod settings;
pub mod stats;
pub mod submit;

pub use settings::Settings;
pub use stats::Stats;

use crate::ids::LinkId;
use crate::prng::Prng;
use crate::shard::port::{CloseHow, Core, Input, Level, Outbox};
use crate::smpp::bind::{Bind, BindResp};
use crate::smpp::command::CommandId;
use crate::smpp::cursor::Cursor;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::{Tag, Tlvs, write_tlv};
use crate::throttle::Throttle;
use crate::time::{Duration, Instant, Now};
use crate::tools::record::Record;
use crate::tools::stream::Next;
use crate::tools::timed::Timed;
use deliver::Delivery;
use operations::Remembered;
use session::{Account, Session};
use std::collections::VecDeque;
use std::sync::Arc;
use submit::Answer;

/// The vendor TLV that carries a simulated carrier's name.
pub const CARRIER_NAME: Tag = Tag(0x1501);
/// How long a draining carrier waits for its sessions to end.
const DRAIN_MAX: Duration = Duration::from_millis(1500);

/// A simulated carrier.
#[derive(Debug)]
pub struct Smsc {
    settings: Settings,
    stats: Arc<Stats>,
    prng: Prng,
    throttle: Option<Throttle>,
    first_submit: Option<Instant>,
    sessions: Vec<Option<Session>>,
    open: usize,
    accounts: Vec<Account>,
    next_number: u64,
    answers: Timed<Answer>,
    due: Timed<Delivery>,
    /// Sessions and when they are closed.
    closes: Timed<LinkId>,
    next_mo: Option<Instant>,
    mo_count: u64,
    sweep_at: Option<Instant>,
    exit_at: Option<Instant>,
    draining: bool,
    remembered: Vec<Remembered>,
    kept: VecDeque<Vec<u8>>,
    /// The TLV with the name, or nothing.
    name_tlv: Vec<u8>,
    record: Record,
}

impl Smsc {
    /// A carrier that has not been connected to.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut name_tlv = Vec::new();
        if let Some(name) = &settings.name {
            write_tlv(&mut name_tlv, CARRIER_NAME, name.as_bytes());
        }
        Self {
            stats: Arc::default(),
            prng: Prng::new(settings.seed),
            throttle: None,
            first_submit: None,
            sessions: Vec::new(),
            open: 0,
            accounts: Vec::new(),
            next_number: settings.id_first,
            answers: Timed::default(),
            due: Timed::default(),
            closes: Timed::default(),
            next_mo: None,
            mo_count: 0,
            sweep_at: None,
            exit_at: None,
            draining: false,
            remembered: vec![Remembered::default(); settings.remember],
            kept: VecDeque::new(),
            name_tlv,
            record: Record::default(),
            settings,
        }
    }

    /// Its counters; they may be read while it runs.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// What happens is recorded here from now on.
    pub fn record_to(&mut self, record: Record) {
        self.record = record;
    }

    /// The record, to see whether it is whole.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The last submits as octets, oldest first.
    #[must_use]
    pub const fn kept(&self) -> &VecDeque<Vec<u8>> {
        &self.kept
    }

    fn session(&mut self, link: LinkId) -> Option<&mut Session> {
        let session = self.sessions.get_mut(link.index())?;
        session.as_mut().filter(|session| session.link == link)
    }

    fn on_accepted(&mut self, link: LinkId) {
        if self.sessions.len() <= link.index() {
            self.sessions.resize_with(link.index() + 1, || None);
        }
        if let Some(place) = self.sessions.get_mut(link.index()) {
            assert!(place.is_none(), "a link is opened once");
            *place = Some(Session::new(link));
        }
        self.open += 1;
        self.stats.sockets.up();
    }

    fn on_closed(&mut self, now: Now, link: LinkId, out: &mut Outbox) {
        let place = self.sessions.get_mut(link.index());
        let Some(session) = place.and_then(|place| place.take_if(|held| held.link == link)) else { return };
        self.open -= 1;
        self.stats.sockets.down();
        if session.is_bound() {
            self.unbound(now, session, out);
        }
        if self.draining && self.open == 0 {
            self.exit_at = Some(now.mono);
        }
    }

    /// A bound session has ended: what it had not delivered goes to another.
    fn unbound(&mut self, now: Now, mut session: Session, out: &mut Outbox) {
        self.stats.binds.down();
        self.stats.account(session.account).binds.down();
        if let Some(account) = self.accounts.get_mut(session.account) {
            account.bound -= 1;
            account.receivers.retain(|&link| link != session.link);
        }
        for delivery in session.take_undelivered() {
            self.dispatch(now, delivery, out);
        }
    }

    fn on_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8], out: &mut Outbox) {
        let Some(session) = self.session(link) else { return };
        let mut stream = core::mem::take(&mut session.stream);
        let read = stream.each(bytes, |pdu| self.on_pdu(now, link, &pdu, out));
        if let Some(session) = self.session(link) {
            session.stream = stream;
        }
        if read.is_err() {
            self.stats.framing_lost.add(1);
            let status = CommandStatus::INVALID_COMMAND_LENGTH;
            write_header_only(out.to(link), CommandId::GENERIC_NACK, status, 0);
            out.close(link, CloseHow::AfterFlush);
        }
    }

    fn on_pdu(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Next {
        let Some(session) = self.session(link) else { return Next::Stop };
        if session.silent {
            return Next::Go;
        }
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        if command.is_response() {
            self.on_response(now, link, pdu, out);
            return Next::Go;
        }
        let (bound, submits) = (session.is_bound(), session.submits);
        match command {
            CommandId::SUBMIT_SM | CommandId::SUBMIT_MULTI | CommandId::DATA_SM | CommandId::BROADCAST_SM
                if submits =>
            {
                self.on_submit(now, link, pdu, out);
            }
            CommandId::ENQUIRE_LINK => {
                write_header_only(out.to(link), command.response(), CommandStatus::OK, sequence);
            }
            CommandId::BIND_TRANSMITTER | CommandId::BIND_RECEIVER | CommandId::BIND_TRANSCEIVER => {
                return self.on_bind(now, link, pdu, out);
            }
            CommandId::UNBIND if bound => {
                write_header_only(out.to(link), command.response(), CommandStatus::OK, sequence);
                out.close(link, CloseHow::AfterFlush);
                return Next::Stop;
            }
            CommandId::QUERY_SM if submits => self.on_query(now, link, pdu, out),
            CommandId::CANCEL_SM if submits => self.on_cancel(now, link, pdu, out),
            CommandId::REPLACE_SM if submits => self.on_replace(now, link, pdu, out),
            known if known.has_response() && !submits => {
                write_header_only(
                    out.to(link),
                    known.response(),
                    CommandStatus::INVALID_BIND_STATUS,
                    sequence,
                );
            }
            _ => nack(out, link, sequence),
        }
        Next::Go
    }

    fn on_bind(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Next {
        let ours = self.settings.version.octet();
        if ours < 0x34 && pdu.command_id() == CommandId::BIND_TRANSCEIVER {
            nack(out, link, pdu.sequence_number());
            return Next::Go;
        }
        if self.session(link).is_some_and(|session| session.is_bound()) {
            self.answer_bind(link, pdu, CommandStatus::ALREADY_BOUND, 0, out);
            return Next::Go;
        }
        let admitted = Bind::parse(pdu).map_err(|error| error.status).and_then(|bind| {
            let account = self.admit(&bind)?;
            Ok((account, bind.interface_version.min(ours)))
        });
        match admitted {
            Ok((account, version)) => {
                self.answer_bind(link, pdu, CommandStatus::OK, version, out);
                self.bound(now, link, pdu.command_id(), account, version, out);
                Next::Go
            }
            Err(status) => {
                self.stats.binds_refused.add(1);
                let fields = vec![("status", status.to_string())];
                out.log(Level::Warn, "smsc_bind_refused", fields);
                self.answer_bind(link, pdu, status, 0, out);
                out.close(link, CloseHow::AfterFlush);
                Next::Stop
            }
        }
    }

    /// The account that may bind so, or why it may not.
    fn admit(&mut self, bind: &Bind<'_>) -> Result<usize, CommandStatus> {
        if !self.settings.accounts.is_empty() {
            let mut known = self.settings.accounts.iter();
            let Some(found) = known.find(|account| account.system_id.as_bytes() == bind.system_id) else {
                return Err(CommandStatus::INVALID_SYSTEM_ID);
            };
            if found.password.as_bytes() != bind.password {
                return Err(CommandStatus::INVALID_PASSWORD);
            }
        }
        let held = self.accounts.iter().position(|account| account.name == bind.system_id);
        let index = held.unwrap_or(self.accounts.len());
        let bound = self.accounts.get(index).map_or(0, |account| account.bound);
        if self.draining {
            return Err(CommandStatus::BIND_FAILED);
        }
        if self.settings.binds_max.is_some_and(|max| bound >= max) {
            return Err(CommandStatus::ALREADY_BOUND);
        }
        if held.is_none() {
            self.stats.name_account(index, &String::from_utf8_lossy(bind.system_id));
            self.accounts.push(Account::new(bind.system_id));
        }
        Ok(index)
    }

    fn answer_bind(&self, link: LinkId, pdu: &Pdu<'_>, status: CommandStatus, version: u8, out: &mut Outbox) {
        let (command, sequence) = (pdu.command_id().response(), pdu.sequence_number());
        if !status.is_ok() {
            return write_header_only(out.to(link), command, status, sequence);
        }
        let mut tlvs = Vec::new();
        if version >= 0x34 {
            write_tlv(&mut tlvs, Tag::SC_INTERFACE_VERSION, &[self.settings.version.octet()]);
        }
        let tlvs = Tlvs::parse(&mut Cursor::new(&tlvs, 0)).unwrap_or_default();
        let response = BindResp { system_id: Some(self.settings.system_id.as_bytes()), tlvs };
        response.write(out.to(link), command, status, sequence);
    }

    fn bound(
        &mut self,
        now: Now,
        link: LinkId,
        command: CommandId,
        account: usize,
        version: u8,
        out: &mut Outbox,
    ) {
        let window = self.settings.window;
        let Some(session) = self.session(link) else { return };
        session.bind(command, account, version, window);
        let receives = session.receives;
        if let Some(average) = self.settings.close_every {
            let nanos = u64::try_from(average.as_nanos()).unwrap_or(u64::MAX / 2);
            let span = Duration::from_nanos(self.prng.below(nanos.saturating_mul(2).max(1)));
            self.closes.push(now.mono.after(span), link);
        }
        self.stats.binds.up();
        self.stats.account(account).binds.up();
        let Some(held) = self.accounts.get_mut(account) else { return };
        held.bound += 1;
        if receives {
            held.receivers.push(link);
            self.dispatch_waiting(now, account, out);
            self.start_mo(now);
        }
    }

    fn on_time(&mut self, now: Now, out: &mut Outbox) {
        while let Some(answer) = self.answers.pop_due(now.mono) {
            self.write_answer(&answer, out);
        }
        while let Some(delivery) = self.due.pop_due(now.mono) {
            self.dispatch(now, delivery, out);
        }
        while let Some(link) = self.closes.pop_due(now.mono) {
            if self.session(link).is_some() {
                self.stats.sessions_closed.add(1);
                out.close(link, CloseHow::Now);
            }
        }
        self.send_mo(now, out);
        if self.sweep_at.is_some_and(|at| at <= now.mono) {
            self.sweep(now, out);
        }
        if self.exit_at.take_if(|at| *at <= now.mono).is_some() {
            out.act(crate::shard::port::Action::Exit);
        }
    }

    fn on_drain(&mut self, now: Now, out: &mut Outbox) {
        self.draining = true;
        self.exit_at = Some(if self.open == 0 { now.mono } else { now.mono.after(DRAIN_MAX) });
        for session in self.sessions.iter_mut().flatten() {
            if session.is_bound() {
                let sequence = session.next_sequence();
                write_header_only(out.to(session.link), CommandId::UNBIND, CommandStatus::OK, sequence);
            }
            out.close(session.link, CloseHow::AfterFlush);
        }
    }
}

/// Says that a command is not known here.
fn nack(out: &mut Outbox, link: LinkId, sequence: u32) {
    let status = CommandStatus::INVALID_COMMAND_ID;
    write_header_only(out.to(link), CommandId::GENERIC_NACK, status, sequence);
}

impl Core for Smsc {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, out),
            Input::Time => self.on_time(now, out),
            Input::Accepted { link, .. } => self.on_accepted(link),
            Input::Room { link } => self.pump(now, link, out),
            Input::Closed { link, .. } => self.on_closed(now, link, out),
            Input::Drain => self.on_drain(now, out),
            // It is alone.
            Input::Ask { .. } | Input::HandedOver { .. } | Input::Mail { .. } => {}
            Input::Connected { .. } | Input::ConnectFailed { .. } => {
                debug_assert!(false, "it connects to nobody");
            }
        }
        // Before the responses leave: what a peer has read is in the record, however this process ends.
        self.record.flush();
    }

    fn deadline(&self) -> Option<Instant> {
        let queues = [self.answers.next_at(), self.due.next_at(), self.closes.next_at()];
        let others = [self.next_mo, self.sweep_at, self.exit_at];
        queues.into_iter().chain(others).flatten().min()
    }
}

#[cfg(test)]
mod tests;
