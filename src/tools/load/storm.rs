//! A storm of binds, from many addresses, with right or wrong passwords: what a node has to stand when all its ESMEs come
//! back at once, or when somebody guesses.
//!
//! Owns: the attempts under way, what became of the others. Takes: the inputs of a driver. Gives: connects, binds, a
//! report. Never: a message; sends an attempt later than its time without counting it.

use super::latency::Latency;
use crate::ids::LinkId;
use crate::limits::CONNECT_TIMEOUT;
use crate::shard::port::{Action, CloseHow, Connect, Core, Input, Outbox, Ticket, Way};
use crate::smpp::bind::Bind;
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::status::CommandStatus;
use crate::throttle::{Rate, Throttle};
use crate::time::{Duration, Instant, Now};
use crate::tools::json::Object;
use crate::tools::stream::{Next, Stream};
use crate::tools::timed::Timed;
use crate::tools::units::{self, Credentials};
use core::net::{IpAddr, Ipv4Addr};
use std::collections::HashMap;

/// Attempts under way at once; one more is left out and counted.
const UNDER_WAY_MAX: usize = 16_384;
/// An ESME that was turned away comes again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// How long those that are to stay are waited for.
const HOLD_WAIT: Duration = Duration::from_secs(60);
/// How long the last answers are waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The settings of a storm.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where to bind, HOST:PORT
    #[arg(long = "to-address", default_value = "127.0.0.1:2775")]
    pub address: String,
    /// Bind as these accounts in turn, SYSTEM_ID:PASSWORD; repeatable
    #[arg(long = "account", value_name = "ID:PASSWORD", required = true)]
    pub accounts: Vec<Credentials>,
    /// The first of the addresses to come from
    #[arg(long, value_name = "IP", default_value = "127.1.0.1")]
    pub source: Ipv4Addr,
    /// So many addresses, in turn
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub sources: u32,
    /// Attempts a second
    #[arg(long, default_value = "10k/s", value_parser = units::rate)]
    pub rate: Rate,
    /// So many attempts; the storm is over when all have ended
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub attempts: u64,
    /// Whoever is bound stays, whoever is not comes again, until all are bound
    #[arg(long)]
    pub hold: bool,
    /// Write the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// One attempt under way.
#[derive(Debug)]
struct Attempt {
    number: u64,
    begun: Instant,
    stream: Stream,
}

/// What became of the attempts.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Begun, those that came again counted each time.
    pub attempts: u64,
    /// Left out because too many were under way.
    pub left_out: u64,
    /// Bound.
    pub bound: u64,
    /// Answered with a refusal.
    pub refused: u64,
    /// Closed without an answer.
    pub closed: u64,
    /// Not even connected.
    pub unreachable: u64,
    /// Without an end when the storm was over.
    pub unanswered: u64,
    /// From the connect until bound.
    pub bind: Latency,
    /// From the first connect until the last was bound.
    pub all_bound: Duration,
}

impl Outcome {
    /// As one JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = Object::new();
        object.text("schema", "bindery-load-storm/1");
        for (name, value) in [
            ("attempts", self.attempts),
            ("left_out", self.left_out),
            ("bound", self.bound),
            ("refused", self.refused),
            ("closed", self.closed),
            ("unreachable", self.unreachable),
            ("unanswered", self.unanswered),
        ] {
            object.number(name, value);
        }
        object.decimal("all_bound_ms", self.all_bound.as_secs_f64() * 1000.0);
        object.object("bind_latency", self.bind.json());
        object.finish()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "attempts {}  bound {}  refused {}  closed {}  unreachable {}  unanswered {}  left out {}\nbind     {}",
            self.attempts,
            self.bound,
            self.refused,
            self.closed,
            self.unreachable,
            self.unanswered,
            self.left_out,
            self.bind.line(),
        )
    }
}

/// The storm.
#[derive(Debug)]
pub struct Storm {
    settings: Settings,
    schedule: Option<Throttle>,
    started: Instant,
    next: u64,
    /// Those that come again, by their number.
    again: Timed<u64>,
    connecting: HashMap<Ticket, Instant>,
    open: HashMap<LinkId, Attempt>,
    held: Vec<LinkId>,
    last_by: Option<Instant>,
    outcome: Outcome,
}

impl Storm {
    /// A storm that has not begun.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            schedule: None,
            started: Instant::ZERO,
            next: 0,
            again: Timed::default(),
            connecting: HashMap::new(),
            open: HashMap::new(),
            held: Vec::new(),
            last_by: None,
            outcome: Outcome::default(),
        }
    }

    /// What became of the attempts.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn begin(&mut self, now: Now, number: u64, out: &mut Outbox) {
        if self.connecting.len() + self.open.len() >= UNDER_WAY_MAX {
            self.outcome.left_out += 1;
            return;
        }
        self.outcome.attempts += 1;
        let host = (number % u64::from(self.settings.sources)) as u32;
        let source = Ipv4Addr::from_bits(self.settings.source.to_bits().wrapping_add(host));
        let ticket = Ticket(number);
        self.connecting.insert(ticket, now.mono);
        out.act(Action::Connect(Connect {
            ticket,
            address: self.settings.address.clone(),
            timeout: CONNECT_TIMEOUT,
            user_timeout: Duration::ZERO,
            way: Way { source_address: Some(IpAddr::V4(source)), ..Way::default() },
        }));
    }

    fn on_time(&mut self, now: Now, out: &mut Outbox) {
        let (rate, burst) = (self.settings.rate, (self.settings.rate.units / 100).max(1));
        if self.schedule.is_none() {
            self.started = now.mono;
            self.schedule = Some(Throttle::new(now.mono, rate, u32::try_from(burst).unwrap_or(1)));
        }
        while self.next < self.settings.attempts
            && self.schedule.as_mut().is_some_and(|schedule| schedule.take(now.mono, 1))
        {
            let number = self.next;
            self.next += 1;
            self.begin(now, number, out);
        }
        while let Some(number) = self.again.pop_due(now.mono) {
            self.begin(now, number, out);
        }
        if self.next == self.settings.attempts && self.last_by.is_none() {
            let wait = if self.settings.hold { HOLD_WAIT } else { CONNECT_TIMEOUT + LAST_WAIT };
            self.last_by = Some(now.mono.after(wait));
        }
        self.look_for_the_end(now, out);
    }

    fn look_for_the_end(&mut self, now: Now, out: &mut Outbox) {
        let idle = self.connecting.is_empty() && self.open.is_empty() && self.again.is_empty();
        let over = self.last_by.is_some_and(|end| idle || end <= now.mono);
        if over {
            self.outcome.unanswered = (self.connecting.len() + self.open.len()) as u64;
            self.held.drain(..).for_each(|link| out.close(link, CloseHow::Now));
            out.act(Action::Exit);
        }
    }

    fn on_connected(&mut self, link: LinkId, ticket: Ticket, out: &mut Outbox) {
        let Some(begun) = self.connecting.remove(&ticket) else { return out.close(link, CloseHow::Reset) };
        self.open.insert(link, Attempt { number: ticket.0, begun, stream: Stream::default() });
        let accounts = &self.settings.accounts;
        let Some(account) = accounts.get((ticket.0 % accounts.len().max(1) as u64) as usize) else { return };
        let bind = Bind {
            system_id: account.system_id.as_bytes(),
            password: account.password.as_bytes(),
            interface_version: 0x34,
            ..Bind::default()
        };
        bind.write(out.to(link), CommandId::BIND_TRANSCEIVER, 1);
    }

    fn on_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8], out: &mut Outbox) {
        let Some(attempt) = self.open.get_mut(&link) else {
            return answer_enquiries(link, bytes, out);
        };
        let mut status = None;
        let whole = attempt.stream.each(bytes, |pdu| {
            status = Some(pdu.header().command_status);
            Next::Stop
        });
        if whole.is_err() {
            return out.close(link, CloseHow::Reset);
        }
        let Some(status) = status else { return };
        let Some(attempt) = self.open.remove(&link) else { return };
        if status != CommandStatus::OK {
            self.outcome.refused += 1;
            self.come_again(now, attempt.number);
            return out.close(link, CloseHow::Reset);
        }
        self.outcome.bound += 1;
        self.outcome.bind.record(now.mono.since(attempt.begun));
        self.outcome.all_bound = now.mono.since(self.started);
        if self.settings.hold {
            self.held.push(link);
        } else {
            out.close(link, CloseHow::Reset);
        }
    }

    fn come_again(&mut self, now: Now, number: u64) {
        if self.settings.hold {
            self.again.push(now.mono.after(AGAIN), number);
        }
    }

    fn on_closed(&mut self, now: Now, link: LinkId) {
        if let Some(attempt) = self.open.remove(&link) {
            self.outcome.closed += 1;
            self.come_again(now, attempt.number);
        }
    }
}

/// Whoever stays answers what keeps a session up.
fn answer_enquiries(link: LinkId, bytes: &[u8], out: &mut Outbox) {
    let answer = |pdu: Pdu<'_>| {
        if pdu.command_id() == CommandId::ENQUIRE_LINK {
            let sequence = pdu.sequence_number();
            write_header_only(out.to(link), CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, sequence);
        }
        Next::Go
    };
    // Sixteen octets come whole; a peer that we cannot read is none that we hold.
    let _ = Stream::default().each(bytes, answer);
}

impl Core for Storm {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Time => return self.on_time(now, out),
            Input::Connected { link, ticket } => self.on_connected(link, ticket, out),
            Input::ConnectFailed { ticket, .. } => {
                if self.connecting.remove(&ticket).is_some() {
                    self.outcome.unreachable += 1;
                    self.come_again(now, ticket.0);
                }
            }
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, out),
            Input::Closed { link, .. } => self.on_closed(now, link),
            Input::Drain => self.last_by = Some(now.mono),
            Input::Accepted { .. }
            | Input::Room { .. }
            | Input::HandedOver { .. }
            | Input::Mail { .. }
            | Input::Ask { .. } => {}
        }
        self.look_for_the_end(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let Some(schedule) = &self.schedule else { return Some(Instant::ZERO) };
        let next = (self.next < self.settings.attempts).then(|| schedule.clone().ready_at(self.started));
        [next, self.again.next_at(), self.last_by].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::smsc::{self, Smsc};
    use crate::tools::wire::Wire;

    fn storm(password: &str, hold: bool) -> Outcome {
        let settings = Settings {
            address: "127.0.0.1:2775".into(),
            accounts: vec![format!("acme:{password}").parse().unwrap()],
            source: Ipv4Addr::new(127, 1, 0, 1),
            sources: 10,
            rate: units::rate("1000/s").unwrap(),
            attempts: 100,
            hold,
            json: true,
        };
        let known = smsc::Settings { accounts: vec!["acme:secret".parse().unwrap()], ..Default::default() };
        let mut wire = Wire::new(Storm::new(settings), Smsc::new(known));
        wire.run(Duration::from_secs(100));
        assert!(wire.exited);
        wire.near.outcome().clone()
    }

    #[test]
    fn every_attempt_ends_bound_or_refused() {
        let right = storm("secret", true);
        assert_eq!((right.attempts, right.bound, right.bind.count()), (100, 100, 100));
        let span = right.all_bound.as_millis();
        assert!((80..=110).contains(&span), "{span} ms at 1000/s");
        let wrong = storm("wrong", false);
        assert_eq!((wrong.attempts, wrong.refused, wrong.bound), (100, 100, 0));
        assert!(wrong.json().contains("\"refused\":100"), "{}", wrong.json());
    }
}
