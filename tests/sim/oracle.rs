//! The oracle: it sees the wires and nothing else, and says at once when a promise is broken.
//!
//! Its rules, by name:
//! - `unasked`: no response to what was not asked, and one response to each request.
//! - `octets`: what a carrier is given is what an ESME submitted, but for the sequence_number.
//! - `doubled`: a message is given to a carrier again only after every carrier that had it refused it.
//! - `accepted`: ESME_ROK is answered only for what exactly one carrier accepted, and always for that.
//! - `given_id`: the id in a response is the one that the account was promised; ours are never given twice.
//! - `window`, `rate`, `sockets`: never more than the configuration says. `sequence`: no number twice in flight.
//! - `receipt_account`, `receipt_id`, `receipt_early`, `receipt_twice`, `receipt_octets`: to the account that submitted,
//!   with the id that it was given, after its response, not again after ESME_ROK, unchanged otherwise.
//! - `mo`: unchanged, to an account of its route.
//! - `carrier_ok`: a carrier hears ESME_ROK only for what an ESME took.
//! - `late`: an account that is not made to wait is answered in time.
//! - `unanswered`: when all is quiet, every request on a living session is answered.
//! - `stuck`: then everybody can be bound and every account can submit, nothing is held, the counters balance; a node
//!   that drains ends. `woken`: the core is not woken without end. `panic`: it does not panic.

use crate::setup::ACCOUNTS;
use crate::wire::{End, Seen, WireId};
use bindery::config::Config;
use bindery::esme::settings::WindowOver;
use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu};
use bindery::smpp::receipt::Receipt;
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::Sm;
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant};
use std::collections::{HashMap, HashSet};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which rule.
    pub(crate) rule: &'static str,
    /// What was seen.
    pub(crate) what: String,
}

/// What a peer has asked of the node.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Submit(usize),
    Delivery(usize),
    /// A bind of an account, if it is one of ours.
    Bind(Option<usize>),
    Other,
}

/// What the node has asked of a peer.
#[derive(Debug, Clone, Copy)]
struct Request {
    command: CommandId,
    at: Instant,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A message's copy.
    Copy(usize, usize),
    /// A delivery of a carrier.
    Give(usize),
    /// A query: in the window, nothing more.
    Query,
    /// enquire_link, bind, unbind.
    Control,
}

#[derive(Debug, Default)]
struct Link {
    end: Option<End>,
    account: Option<usize>,
    closing: bool,
    down: bool,
    lost: bool,
    /// Octets of PDUs that are not whole, by direction.
    from_node: Vec<u8>,
    to_node: Vec<u8>,
    written: u64,
    taken: u64,
    asked: HashMap<(CommandId, u32), Vec<Asked>>,
    requests: HashMap<u32, Request>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Accepted,
    /// Accepted when the node need not have known it any more.
    AcceptedLate,
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Copy {
    outcome: Outcome,
    id: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    account: usize,
    wire: WireId,
    at: Instant,
    copies: Vec<Copy>,
    answered: bool,
    /// The id that it was answered with, and where in the stream that answer ends.
    given: Option<(Vec<u8>, u64)>,
    /// The account has taken its final receipt.
    done: bool,
}

#[derive(Debug)]
struct Delivery {
    carrier: usize,
    /// The whole PDU.
    pdu: Vec<u8>,
    /// The id that its text says, when it is a receipt.
    receipt: Option<Vec<u8>>,
    is_final: bool,
    /// An ESME has said ESME_ROK.
    taken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    cost: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct CarrierState {
    sockets: usize,
    bucket: Option<Bucket>,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Oracle {
    config: Config,
    links: Vec<Link>,
    messages: Vec<Message>,
    by_body: HashMap<Vec<u8>, usize>,
    deliveries: Vec<Delivery>,
    by_token: HashMap<Vec<u8>, usize>,
    issued: HashMap<(usize, Vec<u8>), usize>,
    own_ids: HashSet<Vec<u8>>,
    carriers: Vec<CarrierState>,
    /// Submits that reached carriers.
    pub(crate) submitted: u64,
    /// Messages that ESMEs submitted.
    pub(crate) accepted: u64,
    /// Receipts and MO that ESMEs took.
    pub(crate) delivered: u64,
    /// The first broken promise.
    pub(crate) violation: Option<Violation>,
}

impl Oracle {
    /// An oracle that knows what the operator promised.
    pub(crate) fn new(config: Config) -> Self {
        let carriers = config.carriers.iter().map(|carrier| CarrierState {
            sockets: 0,
            bucket: carrier.rate.map(|rate| {
                let cost = rate.per.as_nanos() as f64 / rate.units as f64;
                Bucket { cost, burst: cost * f64::from(carrier.burst.max(1)), level: 0.0, at: Instant::ZERO }
            }),
        });
        Self {
            carriers: carriers.collect(),
            config,
            links: Vec::new(),
            messages: Vec::new(),
            by_body: HashMap::new(),
            deliveries: Vec::new(),
            by_token: HashMap::new(),
            issued: HashMap::new(),
            own_ids: HashSet::new(),
            submitted: 0,
            accepted: 0,
            delivered: 0,
            violation: None,
        }
    }

    /// Messages that ESMEs have submitted.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    /// A promise is broken.
    pub(crate) fn fail(&mut self, rule: &'static str, what: String) {
        self.violation.get_or_insert(Violation { rule, what });
    }

    /// One event on the wires.
    pub(crate) fn see(&mut self, now: Instant, seen: &Seen<'_>) {
        match *seen {
            Seen::Dial(carrier) => {
                self.carriers[carrier].sockets += 1;
                let sessions = self.config.carriers[carrier].sessions as usize;
                if self.carriers[carrier].sockets > sessions {
                    self.fail("sockets", format!("more than {sessions} sockets to carrier {carrier}"));
                }
            }
            Seen::DialFailed(carrier) => self.carriers[carrier].sockets -= 1,
            Seen::Up(wire, end) => {
                debug_assert_eq!(wire, self.links.len());
                self.links.push(Link { end: Some(end), ..Link::default() });
            }
            Seen::Wrote(wire, octets) => self.wrote(now, wire, octets),
            Seen::Took(wire, octets) => self.links[wire].taken += octets as u64,
            Seen::Read(wire, octets) => self.read(now, wire, octets),
            Seen::Closing(wire) => self.links[wire].closing = true,
            Seen::Down(wire) => self.down(wire),
        }
    }

    fn down(&mut self, wire: WireId) {
        let link = &mut self.links[wire];
        link.down = true;
        if let Some(End::Carrier(carrier)) = link.end {
            self.carriers[carrier].sockets -= 1;
        }
        for (_, request) in core::mem::take(&mut link.requests) {
            if let What::Copy(message, copy) = request.what {
                self.messages[message].copies[copy].outcome = Outcome::Unknown;
            }
        }
    }

    fn read(&mut self, now: Instant, wire: WireId, octets: &[u8]) {
        let mut stream = core::mem::take(&mut self.links[wire].to_node);
        stream.extend_from_slice(octets);
        let mut rest = stream.as_slice();
        while !self.links[wire].lost {
            match Frame::next(rest, PDU_MAX_DEFAULT) {
                Frame::Whole(pdu, behind) => {
                    rest = behind;
                    if pdu.command_id().is_response() {
                        self.read_response(now, wire, &pdu);
                    } else {
                        self.read_request(now, wire, &pdu);
                    }
                }
                Frame::Partial(_) => break,
                Frame::Lost(_) => self.links[wire].lost = true,
            }
        }
        self.links[wire].to_node = rest.to_vec();
    }

    fn read_request(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) {
        let command = pdu.command_id();
        if command == CommandId::ALERT_NOTIFICATION || command == CommandId::OUTBIND {
            return;
        }
        let asked = match (self.links[wire].end, command) {
            (Some(End::Esme), CommandId::SUBMIT_SM) => self.submit(now, wire, pdu),
            (Some(End::Esme), _) if bindery::session::BindKind::of(command).is_some() => {
                let bind = Bind::parse(pdu).ok();
                Asked::Bind(
                    bind.and_then(|bind| ACCOUNTS.iter().position(|name| name.as_bytes() == bind.system_id)),
                )
            }
            (Some(End::Carrier(carrier)), CommandId::DELIVER_SM) => self.delivery(carrier, pdu),
            _ => Asked::Other,
        };
        self.links[wire].asked.entry((command, pdu.sequence_number())).or_default().push(asked);
    }

    fn submit(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) -> Asked {
        let Some(account) = self.links[wire].account.filter(|_| Sm::parse_submit(pdu).is_ok()) else {
            return Asked::Other;
        };
        let index = self.messages.len();
        self.by_body.insert(pdu.body().to_vec(), index);
        let (copies, given) = (Vec::new(), None);
        self.messages.push(Message { account, wire, at: now, copies, answered: false, given, done: false });
        Asked::Submit(index)
    }

    fn delivery(&mut self, carrier: usize, pdu: &Pdu<'_>) -> Asked {
        let Ok(sm) = Sm::parse_deliver(pdu) else { return Asked::Other };
        let receipt = Receipt::parse(&sm, false);
        let token = receipt.map_or(sm.content.short_message, |receipt| receipt.text.text.unwrap_or_default());
        let index = self.deliveries.len();
        self.by_token.insert(token.to_vec(), index);
        self.deliveries.push(Delivery {
            carrier,
            pdu: pdu.bytes().to_vec(),
            receipt: receipt.map(|receipt| receipt.id().unwrap_or_default().to_vec()),
            is_final: receipt.is_some_and(|receipt| !receipt.intermediate),
            taken: false,
        });
        Asked::Delivery(index)
    }

    /// How long the node waits for a response of this peer.
    fn response_timeout(&self, wire: WireId) -> Duration {
        let link = &self.links[wire];
        match (link.end, link.account) {
            (Some(End::Carrier(carrier)), _) => self.config.carriers[carrier].response_timeout,
            (_, Some(account)) => self.config.esmes[account].response_timeout,
            _ => Duration::ZERO,
        }
    }

    fn read_response(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) {
        let timeout = self.response_timeout(wire);
        let requests = &mut self.links[wire].requests;
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        let Some(request) = requests.get(&sequence).copied() else { return };
        let nack = command == CommandId::GENERIC_NACK;
        if command != request.command.response() && !nack {
            return;
        }
        requests.remove(&sequence);
        let ok = pdu.header().command_status == CommandStatus::OK && !nack;
        let limit = request.at.after(timeout);
        match request.what {
            What::Copy(message, copy) => {
                let outcome = match ok {
                    true if now < limit => Outcome::Accepted,
                    true => Outcome::AcceptedLate,
                    false if now <= limit => Outcome::Refused,
                    false => Outcome::Unknown,
                };
                let id = if ok { MessageIdResp::parse(pdu).id } else { &[] };
                self.messages[message].copies[copy] = Copy { outcome, id: id.to_vec() };
                if let (true, Some(End::Carrier(carrier))) = (ok, self.links[wire].end) {
                    self.issued.insert((carrier, id.to_vec()), message);
                }
            }
            What::Give(delivery) if ok => self.taken(delivery, now < limit),
            What::Give(_) | What::Query | What::Control => {}
        }
    }

    fn taken(&mut self, delivery: usize, in_time: bool) {
        let delivery = &mut self.deliveries[delivery];
        delivery.taken = true;
        self.delivered += 1;
        if in_time
            && delivery.is_final
            && let Some(id) = &delivery.receipt
            && let Some(&message) = self.issued.get(&(delivery.carrier, id.clone()))
        {
            self.messages[message].done = true;
        }
    }

    fn wrote(&mut self, now: Instant, wire: WireId, octets: &[u8]) {
        let mut stream = core::mem::take(&mut self.links[wire].from_node);
        stream.extend_from_slice(octets);
        let mut rest = stream.as_slice();
        loop {
            match Frame::next(rest, PDU_MAX_DEFAULT) {
                Frame::Whole(pdu, behind) => {
                    rest = behind;
                    self.links[wire].written += pdu.bytes().len() as u64;
                    if pdu.command_id().is_response() {
                        self.wrote_response(now, wire, &pdu);
                    } else {
                        self.wrote_request(now, wire, &pdu);
                    }
                }
                Frame::Partial(_) => break,
                Frame::Lost(_) => {
                    self.fail("octets", format!("link {wire} was written what is no PDU"));
                    break;
                }
            }
        }
        self.links[wire].from_node = rest.to_vec();
    }

    /// The request that a response of the node answers.
    fn take_asked(&mut self, wire: WireId, pdu: &Pdu<'_>) -> Option<Asked> {
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        let asked = &mut self.links[wire].asked;
        let key = if command == CommandId::GENERIC_NACK {
            // To what is no request of SMPP; by its sequence_number alone.
            asked.keys().copied().find(|(command, number)| *number == sequence && command.name().is_none())?
        } else {
            (command.request(), sequence)
        };
        let waiting = asked.get_mut(&key)?;
        let first = if waiting.is_empty() { None } else { Some(waiting.remove(0)) };
        if waiting.is_empty() {
            asked.remove(&key);
        }
        first
    }

    fn wrote_response(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) {
        let status = pdu.header().command_status;
        let Some(asked) = self.take_asked(wire, pdu) else {
            let lost = self.links[wire].lost && pdu.command_id() == CommandId::GENERIC_NACK;
            if !lost {
                self.fail(
                    "unasked",
                    format!("link {wire} was answered what it did not ask: {:?}", pdu.header()),
                );
            }
            return;
        };
        match asked {
            Asked::Submit(message) => self.answered(now, wire, message, pdu),
            Asked::Bind(account) if status == CommandStatus::OK => self.links[wire].account = account,
            Asked::Delivery(delivery) if status == CommandStatus::OK => self.carrier_hears_ok(delivery),
            Asked::Bind(_) | Asked::Delivery(_) | Asked::Other => {}
        }
    }

    fn carrier_hears_ok(&mut self, delivery: usize) {
        let heard = &self.deliveries[delivery];
        let known = heard.receipt.as_ref().and_then(|id| self.issued.get(&(heard.carrier, id.clone())));
        let duplicate = known.is_some_and(|&message| self.messages[message].done);
        if !heard.taken && !duplicate {
            self.fail(
                "carrier_ok",
                format!("nobody has taken delivery {delivery}, the carrier hears ESME_ROK"),
            );
        }
    }

    fn answered(&mut self, now: Instant, wire: WireId, index: usize, pdu: &Pdu<'_>) {
        let end = self.links[wire].written;
        let message = &mut self.messages[index];
        message.answered = true;
        let ok = pdu.header().command_status == CommandStatus::OK;
        let count =
            |among: &[Outcome]| message.copies.iter().filter(|copy| among.contains(&copy.outcome)).count();
        let accepted = count(&[Outcome::Accepted, Outcome::AcceptedLate]);
        let refused = count(&[Outcome::Refused]);
        let account = &self.config.esmes[message.account];
        let slowest = self.config.carriers.iter().map(|carrier| carrier.response_timeout).max();
        let limit = account.answer_timeout + slowest.unwrap_or_default() + Duration::from_secs(1);
        if account.window_over == WindowOver::Refuse && now.since(message.at) > limit {
            let took = now.since(message.at);
            return self.fail("late", format!("message {index} was answered after {took:?}"));
        }
        if !ok {
            if count(&[Outcome::Accepted]) > 0 {
                self.fail(
                    "accepted",
                    format!("a carrier accepted message {index}, its ESME hears a refusal"),
                );
            }
            return;
        }
        self.accepted += 1;
        if accepted != 1 || refused + 1 != message.copies.len() {
            let copies = format!("{:?}", message.copies);
            return self.fail("accepted", format!("ESME_ROK for message {index}, which has {copies}"));
        }
        let id = MessageIdResp::parse(pdu).id.to_vec();
        let carriers = message.copies.last().is_some_and(|copy| copy.id == id);
        let name = ACCOUNTS[message.account];
        message.given = Some((id.clone(), end));
        if name == "carrier" && !carriers {
            self.fail("given_id", format!("message {index} was not given its carrier's id"));
        } else if name != "carrier" && !self.own_ids.insert(id) {
            self.fail("given_id", format!("message {index} was given an id of another"));
        }
    }

    fn wrote_request(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) {
        let carrier = match self.links[wire].end {
            Some(End::Carrier(carrier)) => Some(carrier),
            _ => None,
        };
        let what = match (pdu.command_id(), carrier) {
            (CommandId::SUBMIT_SM, Some(carrier)) => {
                self.spend(now, carrier);
                self.copied(pdu)
            }
            (CommandId::QUERY_SM, Some(carrier)) => {
                self.spend(now, carrier);
                Some(What::Query)
            }
            (CommandId::DELIVER_SM, None) => self.give(wire, pdu),
            (CommandId::ENQUIRE_LINK | CommandId::UNBIND, _) => Some(What::Control),
            (command, Some(_)) if bindery::session::BindKind::of(command).is_some() => Some(What::Control),
            (command, _) => {
                self.fail("octets", format!("link {wire} was sent a request {command:?}"));
                None
            }
        };
        let Some(what) = what else { return };
        let request = Request { command: pdu.command_id(), at: now, what };
        if self.links[wire].requests.insert(pdu.sequence_number(), request).is_some() {
            self.fail("sequence", format!("link {wire}: {} is in flight", pdu.sequence_number()));
        }
        self.check_window(now, wire);
    }

    fn check_window(&mut self, now: Instant, wire: WireId) {
        let timeout = self.response_timeout(wire);
        let link = &self.links[wire];
        let max = match (link.end, link.account) {
            (Some(End::Carrier(carrier)), _) => self.config.carriers[carrier].window_max,
            (_, Some(account)) => self.config.esmes[account].window_max,
            _ => 0,
        };
        let waits =
            |request: &&Request| !matches!(request.what, What::Control) && now < request.at.after(timeout);
        let in_flight = link.requests.values().filter(waits).count();
        if in_flight > max as usize {
            self.fail("window", format!("{in_flight} requests in flight on link {wire}, window_max {max}"));
        }
    }

    fn spend(&mut self, now: Instant, carrier: usize) {
        let Some(bucket) = &mut self.carriers[carrier].bucket else { return };
        let passed = now.since(bucket.at).as_nanos() as f64;
        bucket.level = (bucket.level - passed).max(0.0) + bucket.cost;
        bucket.at = now;
        // A microsecond for rounding.
        if bucket.level > bucket.burst + 1000.0 {
            self.fail("rate", format!("carrier {carrier} is given more than its rate"));
        }
    }

    fn copied(&mut self, pdu: &Pdu<'_>) -> Option<What> {
        let Some(&index) = self.by_body.get(pdu.body()) else {
            self.fail("octets", "a carrier is given what no ESME submitted".into());
            return None;
        };
        self.submitted += 1;
        let message = &mut self.messages[index];
        let refused = message.copies.iter().all(|copy| copy.outcome == Outcome::Refused);
        let answered = message.answered;
        message.copies.push(Copy { outcome: Outcome::Open, id: Vec::new() });
        let copy = message.copies.len() - 1;
        if !refused || answered {
            let copies = format!("{:?}", message.copies);
            self.fail("doubled", format!("message {index} is given to a carrier again: {copies}"));
        }
        Some(What::Copy(index, copy))
    }

    /// A delivery is given to an ESME.
    fn give(&mut self, wire: WireId, pdu: &Pdu<'_>) -> Option<What> {
        let Ok(sm) = Sm::parse_deliver(pdu) else {
            self.fail("receipt_octets", format!("link {wire} is given no deliver_sm"));
            return None;
        };
        let receipt = Receipt::parse(&sm, false);
        let token = receipt.map_or(sm.content.short_message, |receipt| receipt.text.text.unwrap_or_default());
        let Some(&index) = self.by_token.get(token) else {
            let rule = if receipt.is_some() { "receipt_octets" } else { "mo" };
            self.fail(rule, format!("link {wire} is given what no carrier sent"));
            return None;
        };
        match receipt {
            Some(receipt) => self.give_receipt(wire, index, &sm, &receipt),
            None => {
                let account = self.links[wire].account;
                let same =
                    Pdu::whole(&self.deliveries[index].pdu).is_some_and(|sent| sent.body() == pdu.body());
                if !same || account.is_none_or(|account| account > 1) {
                    self.fail("mo", format!("MO {index} is changed or went to account {account:?}"));
                }
            }
        }
        Some(What::Give(index))
    }

    fn give_receipt(&mut self, wire: WireId, index: usize, sm: &Sm<'_>, receipt: &Receipt<'_>) {
        let sent = &self.deliveries[index];
        let id = sent.receipt.clone().unwrap_or_default();
        let Some(&message) = self.issued.get(&(sent.carrier, id)) else {
            let what = format!("link {wire} is given receipt {index} of a message that is not known");
            return self.fail("receipt_account", what);
        };
        let message = &self.messages[message];
        if self.links[wire].account != Some(message.account) {
            let what = format!("link {wire} is given receipt {index} of account {}", message.account);
            return self.fail("receipt_account", what);
        }
        // An intermediate one that an ESME left unanswered may come again whenever it likes.
        if message.done && sent.is_final {
            return self.fail("receipt_twice", format!("receipt {index} was taken already"));
        }
        let other = &self.links[message.wire];
        if let Some((given, end)) = &message.given {
            let tlv = receipt.tlv_id.is_none_or(|tlv| tlv == given);
            if receipt.text_id() != Some(given) || !tlv {
                let what = format!("receipt {index} says {:?}, not {given:?}", receipt.text_id());
                return self.fail("receipt_id", what);
            }
            if message.wire != wire && !other.down && other.taken < *end {
                return self
                    .fail("receipt_early", format!("receipt {index} came before the response was written"));
            }
        } else if !message.answered && !other.down {
            return self.fail("receipt_early", format!("receipt {index} came before its response"));
        }
        let whole = Pdu::whole(&sent.pdu);
        let was = whole.and_then(|pdu| Sm::parse_deliver(&pdu).ok());
        let same = was.is_some_and(|was| {
            let said = Receipt::parse(&was, false).map(|said| (said.state, said.text.stat, said.text.err));
            was.source == sm.source
                && was.destination == sm.destination
                && was.content.esm_class == sm.content.esm_class
                && said == Some((receipt.state, receipt.text.stat, receipt.text.err))
        });
        if !same {
            self.fail("receipt_octets", format!("receipt {index} was changed"));
        }
    }

    /// All is quiet: nothing may be left to do.
    pub(crate) fn settled(&mut self) {
        for wire in 0..self.links.len() {
            let link = &self.links[wire];
            let esme_bound = link.account.is_some() || matches!(link.end, Some(End::Carrier(_)));
            if link.down || link.closing || !esme_bound {
                continue;
            }
            if let Some((asked, waits)) = link.asked.iter().min_by_key(|(asked, _)| asked.1) {
                let (name, number) = (asked.0.name().unwrap_or("?"), asked.1);
                let what = format!("{:?}, link {wire}: no answer to {name} {number}, {waits:?}", link.end);
                self.fail("unanswered", what);
            }
        }
    }
}
