//! A load generator: many ESMEs that submit as fast as their windows or a schedule allow and check what comes back.
//!
//! Owns: its sessions, the messages in flight, the ids that responses named. Takes: the inputs of a driver. Gives:
//! submits, answers to receipts, a report. Never: a message without its number, a latency that hides waiting.
//!
//! `settings` is what it is told, `mix` and `template` make messages, `pace` sends them, `session` and `table` know what
//! is in flight, `counts`, `latency` and `meter` measure, `threshold` and `report` judge. `command` is the command line,
//! `ramp`, `merge` and `storm` its other forms, `live` what a terminal shows, `files` and `html` what is left afterwards.

pub mod command;
pub mod counts;
pub mod files;
pub mod html;
pub mod latency;
pub mod live;
pub mod merge;
pub mod meter;
pub mod mix;
pub mod pace;
pub mod ramp;
pub mod report;
pub mod session;
pub mod settings;
pub mod storm;
pub mod table;
pub mod template;
pub mod threshold;

pub use counts::Counts;
pub use meter::{Notice, Second};
pub use report::{Failure, Report};
pub use settings::Settings;

use crate::ids::LinkId;
use crate::shard::port::{Action, CloseHow, Connect, Outbox, Ticket, Way};
use crate::smpp::bind::Bind;
use crate::smpp::command::CommandId;
use crate::smpp::data::DataSm;
use crate::smpp::frame::{Pdu, write_header, write_header_only};
use crate::smpp::receipt::Receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::{Duration, Instant, Now};
use crate::tools::record::{Printable, Record};
use crate::tools::stream::Next;
use crate::tools::units::{Credentials, Share};
use meter::Meter;
use report::Health;
use session::{Session, State};
use settings::BindKind;
use std::collections::HashMap;
use std::sync::Arc;
use table::{Known, Table};
use template::Template;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a lost session waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long second receipts are looked for after the last first one.
const SETTLE: Duration = Duration::from_millis(200);
/// How long unbinds may take.
const UNBIND_MAX: Duration = Duration::from_secs(2);
/// The least time between two batches of a schedule.
const TICK: Duration = Duration::from_micros(50);
/// Schedules slower than this send each message at its own time.
const TICK_RATE: f64 = 20_000.0;
/// Receipts that may come before the response that names their id; later ones are unknown at once.
const EARLY_MAX: usize = 1_000_000;
/// Ids that the table has room for when nobody says how many there will be.
const EXPECTED: u64 = 1_000_000;

/// Where a run is.
///
/// `Binding → Sending → Answers → Receipts → Settling → Unbinding → Done`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Binding,
    Sending,
    /// All is sent; responses are waited for until the instant.
    Answers(Instant),
    /// Receipts are waited for until the instant.
    Receipts(Instant),
    /// Second receipts are looked for until the instant.
    Settling(Instant),
    Unbinding(Instant),
    Done,
}

/// A receipt that came before its response.
#[derive(Debug, Clone, Copy)]
struct Early {
    at: Instant,
    check: u16,
}

/// A load generator.
#[derive(Debug)]
pub struct Load {
    settings: Settings,
    accounts: Vec<Credentials>,
    template: Template,
    sessions: Vec<Session>,
    /// The session of each link slot.
    by_link: Vec<usize>,
    counts: Arc<Counts>,
    meter: Meter,
    table: Table,
    early: HashMap<u64, Early>,
    phase: Phase,
    started: Instant,
    last_answer: Instant,
    /// The schedule; none in a closed loop.
    schedule: Option<Rate>,
    /// When no more is sent.
    end_at: Option<Instant>,
    /// How many are sent, the warm-up's included, once that is known.
    sent_max: Option<u64>,
    sent: u64,
    /// Messages accepted that asked for a receipt.
    owed: u64,
    turn: usize,
    last_tick: Instant,
    /// There is no room for the next message of the schedule.
    blocked: bool,
    /// When there was room again.
    free_at: Instant,
    stopping: bool,
    failure: Option<Failure>,
    record: Record,
}

impl Load {
    /// A run that has not begun.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let accounts = settings.credentials();
        let mut sessions = Vec::new();
        for account in 0..accounts.len() {
            for number in 0..settings.binds {
                let command = match (settings.bind, number % 2) {
                    (BindKind::Trx, _) => CommandId::BIND_TRANSCEIVER,
                    (BindKind::TxRx, 0) => CommandId::BIND_TRANSMITTER,
                    (BindKind::TxRx, _) => CommandId::BIND_RECEIVER,
                };
                sessions.push(Session::new(account, command, settings.window));
            }
        }
        let asks = settings.receipts != Share::NONE;
        let expected = if asks { settings.total().unwrap_or(EXPECTED).min(1 << 27) } else { 0 };
        Self {
            template: Template::new(&settings),
            accounts,
            sessions,
            by_link: Vec::new(),
            counts: Arc::default(),
            meter: Meter::default(),
            table: Table::new(expected as usize),
            early: HashMap::new(),
            phase: Phase::Binding,
            started: Instant::ZERO,
            last_answer: Instant::ZERO,
            schedule: settings.schedule(),
            end_at: None,
            sent_max: None,
            sent: 0,
            owed: 0,
            turn: 0,
            last_tick: Instant::ZERO,
            blocked: false,
            free_at: Instant::ZERO,
            stopping: false,
            failure: None,
            record: Record::default(),
            settings,
        }
    }

    /// Its counters; they may be read while it runs.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
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

    /// Tells `listener` what happens from now on, on the thread that runs it.
    pub fn listen(&mut self, listener: Box<dyn FnMut(Notice) + Send>) {
        self.meter.listener.0 = Some(listener);
    }

    /// True when it was told to stop before its end.
    #[must_use]
    pub const fn was_stopped(&self) -> bool {
        self.stopping
    }

    /// What it found.
    #[must_use]
    pub fn report(&self) -> Report {
        let (response, receipt) = self.meter.latencies();
        let name = |status: Option<CommandStatus>| {
            status.map_or_else(|| "other".to_owned(), |status| status.to_string())
        };
        let late_max = self.schedule.map(|_| self.settings.late_max);
        let offered = self.schedule.map(|rate| rate.units as f64 / rate.per.as_secs_f64());
        Report {
            totals: self.counts.totals(),
            responses: self.counts.responses.iter().map(|(status, count)| (name(status), count)).collect(),
            response,
            receipt,
            elapsed: self.last_answer.since(self.started),
            measured: report::Measured { offered, ..self.meter.measured() },
            health: Health { late_max, ..self.meter.health() },
            failure: self.failure.clone(),
            thresholds: self.settings.thresholds.clone(),
            ran: report::Ran::default(),
        }
    }

    fn index_of(&self, link: LinkId) -> Option<usize> {
        let index = *self.by_link.get(link.index())?;
        self.sessions.get(index).filter(|session| session.link() == Some(link)).map(|_| index)
    }

    fn connect_due(&mut self, now: Now, out: &mut Outbox) {
        let first = self.phase == Phase::Binding && self.started == Instant::ZERO;
        if first {
            self.started = now.mono;
        }
        for (index, session) in self.sessions.iter_mut().enumerate() {
            let due = match session.state {
                State::Connecting(None) => first,
                State::Connecting(Some(at)) => at <= now.mono,
                State::Binding(_) | State::Bound(_) | State::Unbinding(_) | State::Gone => false,
            };
            if due {
                session.state = State::Connecting(None);
                out.act(Action::Connect(Connect {
                    ticket: Ticket(index as u64),
                    address: self.settings.address.clone(),
                    timeout: CONNECT_TIMEOUT,
                    user_timeout: Duration::ZERO,
                    way: Way::default(),
                }));
            }
        }
    }

    fn on_connected(&mut self, link: LinkId, ticket: Ticket, out: &mut Outbox) {
        let index = ticket.0 as usize;
        let Some(session) = self.sessions.get_mut(index) else { return };
        if session.state == State::Gone {
            return out.close(link, CloseHow::Now);
        }
        session.state = State::Binding(link);
        let sequence = session.next_sequence();
        if self.by_link.len() <= link.index() {
            self.by_link.resize(link.index() + 1, usize::MAX);
        }
        if let Some(place) = self.by_link.get_mut(link.index()) {
            *place = index;
        }
        let Some(account) = self.accounts.get(session.account) else { return };
        let bind = Bind {
            system_id: account.system_id.as_bytes(),
            password: account.password.as_bytes(),
            interface_version: 0x34,
            ..Bind::default()
        };
        bind.write(out.to(link), session.command, sequence);
    }

    fn on_connect_failed(&mut self, now: Now, ticket: Ticket, reason: &str) {
        let running = !matches!(self.phase, Phase::Binding);
        let Some(session) = self.sessions.get_mut(ticket.0 as usize) else { return };
        session.state =
            if running { State::Connecting(Some(now.mono.after(RECONNECT))) } else { State::Gone };
        if !running && !matches!(self.failure, Some(Failure::Refused(_))) {
            self.failure = Some(Failure::Unreachable(reason.to_owned()));
        }
    }

    fn on_closed(&mut self, now: Now, link: LinkId, reason: &str) {
        let Some(index) = self.index_of(link) else { return };
        let Some(session) = self.sessions.get_mut(index) else { return };
        let state = session.state;
        let lost = session.lost();
        self.counts.unanswered.add(u64::from(lost));
        session.state = State::Gone;
        match state {
            State::Bound(_) => {
                self.counts.bound.add(u64::MAX);
                self.counts.links_lost.add(1);
                session.state = State::Connecting(Some(now.mono.after(RECONNECT)));
            }
            State::Binding(_) if self.phase == Phase::Binding => {
                if self.failure.is_none() {
                    self.failure = Some(Failure::Refused(reason.to_owned()));
                }
            }
            State::Binding(_) => session.state = State::Connecting(Some(now.mono.after(RECONNECT))),
            State::Unbinding(_) | State::Connecting(_) | State::Gone => {}
        }
    }

    fn on_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8], out: &mut Outbox) {
        let Some(index) = self.index_of(link) else { return };
        let Some(session) = self.sessions.get_mut(index) else { return };
        let mut stream = core::mem::take(&mut session.stream);
        let read = stream.each(bytes, |pdu| self.on_pdu(now, index, link, &pdu, out));
        if let Some(session) = self.sessions.get_mut(index) {
            session.stream = stream;
        }
        if read.is_err() {
            out.close(link, CloseHow::Now);
        }
        self.send(now, index, out);
    }

    fn on_pdu(&mut self, now: Now, index: usize, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) -> Next {
        let sequence = pdu.sequence_number();
        match pdu.command_id() {
            CommandId::SUBMIT_SM_RESP | CommandId::GENERIC_NACK => self.on_answer(now, index, pdu),
            CommandId::DELIVER_SM => {
                self.on_deliver(now, index, pdu);
                let (response, status) = (CommandId::DELIVER_SM_RESP, CommandStatus::OK);
                let buffer = out.to(link);
                write_header(buffer, 17, response, status, sequence);
                buffer.push(0);
            }
            CommandId::DATA_SM => {
                self.on_data(now, index, pdu);
                let (response, status) = (CommandId::DATA_SM_RESP, CommandStatus::OK);
                MessageIdResp::new(b"").write(out.to(link), response, status, sequence);
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
            CommandId::BIND_TRANSCEIVER_RESP
            | CommandId::BIND_TRANSMITTER_RESP
            | CommandId::BIND_RECEIVER_RESP => self.on_bound(index, link, pdu, out),
            _ => {}
        }
        Next::Go
    }

    fn on_bound(&mut self, index: usize, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if session.state != State::Binding(link) {
            return;
        }
        let status = pdu.header().command_status;
        if status.is_ok() {
            session.state = State::Bound(link);
            return self.counts.bound.add(1);
        }
        self.counts.binds_refused.add(1);
        if self.phase == Phase::Binding {
            self.failure = Some(Failure::Refused(status.to_string()));
        }
        out.close(link, CloseHow::Now);
    }

    #[inline]
    fn on_answer(&mut self, now: Now, index: usize, pdu: &Pdu<'_>) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let account = session.account;
        let Some(slot) = session.land(pdu.sequence_number()) else {
            return self.counts.responses_unknown.add(1);
        };
        let status = pdu.header().command_status;
        self.counts.answered.add(1);
        self.counts.responses.add(status);
        self.last_answer = now.mono;
        self.meter.response(slot.intended, now.mono);
        if self.record.is_on() {
            let id = Printable(if status.is_ok() { MessageIdResp::parse(pdu).id } else { b"" });
            let name = self.accounts.get(account).map_or("", |account| &account.system_id);
            let micros = now.mono.since(self.started).as_micros();
            self.record.line("answer", &[&micros, &name, &slot.number, &status, &id]);
        }
        if !slot.asked || !status.is_ok() {
            return;
        }
        self.owed += 1;
        let id = MessageIdResp::parse(pdu).id;
        let key = table::key(account, id);
        let sent_micros = slot.intended.since(self.started).as_micros() as u64;
        if !self.table.put(key, Known { sent_micros, check: slot.check, receipted: false }) {
            return self.counts.ids_repeated.add(1);
        }
        if !self.early.is_empty() {
            self.match_early(account, id);
        }
    }

    /// A receipt that came before its response is known now, also when it came to another account.
    fn match_early(&mut self, account: usize, id: &[u8]) {
        let own = table::key(account, id);
        if let Some(early) = self.early.remove(&own) {
            self.on_receipt_key(early.at, own, early.check);
        }
        for other in (0..self.accounts.len()).filter(|other| *other != account) {
            if self.early.remove(&table::key(other, id)).is_some() {
                self.counts.receipts_misdirected.add(1);
            }
        }
    }

    fn on_deliver(&mut self, now: Now, index: usize, pdu: &Pdu<'_>) {
        let Some(account) = self.sessions.get(index).map(|session| session.account) else { return };
        match Sm::parse_deliver(pdu).map(|sm| (sm, Receipt::parse(&sm, false))) {
            Ok((sm, Some(receipt))) => {
                if self.is_for(account, sm.destination.digits) {
                    self.on_receipt(now, account, &receipt, sm.source.digits);
                } else {
                    self.counts.receipts_misdirected.add(1);
                }
            }
            Ok((sm, None)) => self.on_mo(now, account, sm.destination.digits),
            Err(_) => self.counts.receipts_unknown.add(1),
        }
    }

    fn on_data(&mut self, now: Now, index: usize, pdu: &Pdu<'_>) {
        let Some(account) = self.sessions.get(index).map(|session| session.account) else { return };
        let Ok(data) = DataSm::parse(pdu) else { return self.counts.receipts_unknown.add(1) };
        match Receipt::from_fields(data.esm_class, data.text(), &data.tlvs, false) {
            Some(receipt) => self.on_receipt(now, account, &receipt, data.source.digits),
            None => self.on_mo(now, account, data.destination.digits),
        }
    }

    /// True unless these are not the digits of the account's own number.
    fn is_for(&self, account: usize, digits: &[u8]) -> bool {
        let number = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        self.settings.number_of(account).is_none_or(|own| number == Some(own))
    }

    fn on_mo(&mut self, now: Now, account: usize, to: &[u8]) {
        self.counts.mo.add(1);
        self.counts.mo_misdirected.add(u64::from(!self.is_for(account, to)));
        let name = self.accounts.get(account).map_or("", |account| &account.system_id);
        self.record.line("mo", &[&now.mono.since(self.started).as_micros(), &name, &Printable(to)]);
    }

    fn on_receipt(&mut self, now: Now, account: usize, receipt: &Receipt<'_>, source: &[u8]) {
        if receipt.intermediate {
            return;
        }
        let Some(id) = receipt.id() else { return self.counts.receipts_unknown.add(1) };
        if self.record.is_on() {
            let name = self.accounts.get(account).map_or("", |account| &account.system_id);
            let stat = receipt.state.map_or("-", |state| state.stat());
            let text = Printable(receipt.text.text.unwrap_or_default());
            let micros = now.mono.since(self.started).as_micros();
            self.record.line("receipt", &[&micros, &name, &Printable(id), &stat, &text]);
        }
        let (key, check) = (table::key(account, id), template::check(source));
        if self.table.holds(key) {
            return self.on_receipt_key(now.mono, key, check);
        }
        let others = (0..self.accounts.len()).filter(|other| *other != account);
        if others.map(|other| table::key(other, id)).any(|key| self.table.holds(key)) {
            return self.counts.receipts_misdirected.add(1);
        }
        if self.early.contains_key(&key) {
            return self.counts.receipts_doubled.add(1);
        }
        if self.early.len() >= EARLY_MAX {
            return self.counts.receipts_unknown.add(1);
        }
        self.early.insert(key, Early { at: now.mono, check });
    }

    fn on_receipt_key(&mut self, at: Instant, key: u64, check: u16) {
        let Some(known) = self.table.receipt(key) else { return };
        if known.receipted {
            return self.counts.receipts_doubled.add(1);
        }
        self.counts.receipts_matched.add(1);
        if known.check != check {
            self.counts.receipts_misdirected.add(1);
        }
        let sent = self.started.after(Duration::from_micros(known.sent_micros));
        self.meter.receipt(sent, at);
    }
}

#[cfg(test)]
mod tests;
