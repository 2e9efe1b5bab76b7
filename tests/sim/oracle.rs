//! The oracle: it sees the wires and nothing else, and says at once when a promise is broken. Here: links, frames,
//! windows, rates; in `messages` what ESMEs submit, in `receipts` what carriers deliver.
//!
//! Its rules, by name:
//! - `unasked`: no response to what was not asked, and one response to each request.
//! - `octets`: what a carrier is given is what an ESME submitted, but for the sequence_number; to a carrier of version
//!   3.3 as that version writes it, of a submit_multi the destinations that take the carrier's pool.
//! - `v33`: no TLV and no data_sm to a peer of version 3.3. `mode`: nothing to a session that was not bound for it.
//! - `route`: a message goes to a carrier of its pool.
//! - `doubled`: a message is given to a carrier again only after every carrier that had it refused it.
//! - `accepted`: ESME_ROK is answered only for what exactly one carrier accepted, and always for that.
//! - `unsuccess`: the answer to a submit_multi names exactly the destinations that it did not reach.
//! - `given_id`: the id in a response is the one that the account was promised; ours are never given twice.
//! - `query`: a query_sm reaches the carrier that has the message, for its account only, and comes back with the id.
//! - `window`, `rate`, `sockets`: never more than the configuration says. `sequence`: no number twice in flight.
//! - `receipt_account`, `receipt_id`, `receipt_early`, `receipt_twice`, `receipt_octets`: to the account that submitted,
//!   with the id that it was given, after its response, not again after ESME_ROK, unchanged otherwise.
//! - `receipt_lost`: when all is quiet, a final receipt that a carrier goes on offering has reached its account.
//! - `order`, `lost`, `ended`, `finish`, `open`, and what a journal changes in the others: in `kept`.
//! - `mo`: unchanged, to an account of its route.
//! - `carrier_ok`: a carrier hears ESME_ROK only for what an ESME took.
//! - `late`: an account that is not made to wait is answered in time.
//! - `unanswered`: when all is quiet, every request on a living session is answered.
//! - `stuck`: then everybody can be bound and every account can submit, nothing is held, the counters balance; a node
//!   that drains ends. `woken`: the core is not woken without end. `panic`: it does not panic.

use crate::messages::{Message, Outcome};
use crate::paper::Crash;
use crate::receipts::{Delivery, Final};
use crate::setup::{ACCOUNTS, Setup};
use crate::wire::{End, Seen, WireId};
use bindery::limits::PDU_MAX_DEFAULT;
use bindery::session::BindKind;
use bindery::smpp::bind::{Bind, BindResp};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu};
use bindery::smpp::multi::{SubmitMulti, SubmitMultiResp};
use bindery::smpp::operations::{QuerySm, QuerySmResp};
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
pub(crate) enum Asked {
    /// A message.
    Submit(usize),
    /// A query, by its place in the list.
    Query(usize),
    /// A receipt or MO.
    Delivery(usize),
    /// A bind of an account, if it is one of ours.
    Bind(Option<usize>, BindKind),
    /// Anything else.
    Other,
}

/// What the node has asked of a peer.
#[derive(Debug, Clone, Copy)]
struct Request {
    command: CommandId,
    at: Instant,
    what: What,
}

/// What a request of the node is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// A copy of a part of a message.
    Copy(usize, usize, usize),
    /// A delivery of a carrier.
    Give(usize),
    /// A receipt of ours: the message and the part, when it is known which.
    GiveOwn(Option<(usize, usize)>),
    /// A query: in the window, nothing more.
    Query,
    /// enquire_link, bind, unbind.
    Control,
}

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) end: Option<End>,
    /// Who is bound.
    pub(crate) account: Option<usize>,
    /// Who wants to be.
    pub(crate) binding: Option<usize>,
    pub(crate) kind: Option<BindKind>,
    pub(crate) v33: bool,
    pub(crate) closing: bool,
    pub(crate) down: bool,
    lost: bool,
    /// Octets of PDUs that are not whole, by direction.
    from_node: Vec<u8>,
    to_node: Vec<u8>,
    pub(crate) written: u64,
    pub(crate) taken: u64,
    asked: HashMap<(CommandId, u32), Vec<Asked>>,
    requests: HashMap<u32, Request>,
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

/// An account and a destination: its messages keep their order.
type Line = (usize, Vec<u8>);

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) setup: Setup,
    pub(crate) links: Vec<Link>,
    pub(crate) messages: Vec<Message>,
    /// Messages by the word that begins their text.
    pub(crate) by_token: HashMap<Vec<u8>, usize>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Deliveries by the word in their text.
    pub(crate) by_word: HashMap<Vec<u8>, usize>,
    /// Message and part by the carrier and the id that it gave.
    pub(crate) issued: HashMap<(usize, u64), (usize, usize)>,
    /// By message and handset.
    pub(crate) finals: HashMap<(usize, Vec<u8>), Final>,
    pub(crate) given: HashSet<(usize, Vec<u8>)>,
    pub(crate) own_ids: HashSet<Vec<u8>>,
    /// Stored messages by account and the id that they were given; by account and number, in the order in which they came.
    pub(crate) by_given: HashMap<(usize, Vec<u8>), usize>,
    pub(crate) lines: HashMap<Line, Vec<(usize, usize)>>,
    /// Crashes of the node: when, since when records may be missing, and how.
    pub(crate) crashes: Vec<(Instant, Instant, Crash)>,
    /// Journals that are in trouble, and since when; when journals were.
    pub(crate) in_trouble: (u32, Instant),
    pub(crate) troubles: Vec<(Instant, Instant)>,
    /// Who asked, and for which id.
    queries: Vec<(usize, Vec<u8>)>,
    carriers: Vec<CarrierState>,
    /// Final receipts of a carrier that were taken.
    pub(crate) finals_taken: Vec<u64>,
    /// Requests that reached carriers.
    pub(crate) submitted: u64,
    /// Messages that carriers accepted and whose ESME heard so.
    pub(crate) accepted: u64,
    /// Messages that two carriers were given.
    pub(crate) second_attempts: u64,
    /// Receipts and MO that ESMEs took.
    pub(crate) delivered: u64,
    /// The first broken promise.
    pub(crate) violation: Option<Violation>,
}

impl Oracle {
    /// An oracle that knows what the operator promised, and how the carriers write.
    pub(crate) fn new(setup: Setup) -> Self {
        let carriers = setup.config.carriers.iter().map(|carrier| CarrierState {
            sockets: 0,
            bucket: carrier.rate.map(|rate| {
                let cost = rate.per.as_nanos() as f64 / rate.units as f64;
                Bucket { cost, burst: cost * f64::from(carrier.burst.max(1)), level: 0.0, at: Instant::ZERO }
            }),
        });
        Self {
            carriers: carriers.collect(),
            finals_taken: vec![0; setup.config.carriers.len()],
            setup,
            links: Vec::new(),
            messages: Vec::new(),
            by_token: HashMap::new(),
            deliveries: Vec::new(),
            by_word: HashMap::new(),
            issued: HashMap::new(),
            finals: HashMap::new(),
            given: HashSet::new(),
            own_ids: HashSet::new(),
            by_given: HashMap::new(),
            lines: HashMap::new(),
            crashes: Vec::new(),
            in_trouble: (0, Instant::ZERO),
            troubles: Vec::new(),
            queries: Vec::new(),
            submitted: 0,
            accepted: 0,
            second_attempts: 0,
            delivered: 0,
            violation: None,
        }
    }

    /// Messages that ESMEs have submitted.
    pub(crate) fn count(&self) -> u64 {
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
                let sessions = self.setup.config.carriers[carrier].sessions as usize;
                if self.carriers[carrier].sockets > sessions {
                    self.fail("sockets", format!("more than {sessions} sockets to carrier {carrier}"));
                }
            }
            Seen::DialFailed(carrier) => self.carriers[carrier].sockets -= 1,
            Seen::Up(wire, end) => {
                debug_assert_eq!(wire, self.links.len());
                let v33 = matches!(end, End::Carrier(carrier) if self.setup.carriers[carrier].v33);
                self.links.push(Link { end: Some(end), v33, ..Link::default() });
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
            if let What::Copy(message, part, copy) = request.what {
                self.messages[message].parts[part].copies[copy].outcome = Outcome::Unknown;
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
            (Some(End::Esme), CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::SUBMIT_MULTI) => {
                self.submit(now, wire, pdu)
            }
            (Some(End::Esme), CommandId::QUERY_SM) => self.asks_state(wire, pdu),
            (Some(End::Esme), _) if BindKind::of(command).is_some() => self.asks_bind(wire, pdu),
            (Some(End::Carrier(carrier)), CommandId::DELIVER_SM | CommandId::DATA_SM) => {
                self.delivery(carrier, pdu)
            }
            _ => Asked::Other,
        };
        self.links[wire].asked.entry((command, pdu.sequence_number())).or_default().push(asked);
    }

    fn asks_bind(&mut self, wire: WireId, pdu: &Pdu<'_>) -> Asked {
        let (Ok(bind), Some(kind)) = (Bind::parse(pdu), BindKind::of(pdu.command_id())) else {
            return Asked::Other;
        };
        let account = ACCOUNTS.iter().position(|name| name.as_bytes() == bind.system_id);
        let link = &mut self.links[wire];
        link.binding = link.binding.or(account);
        link.v33 = bind.interface_version < 0x34;
        Asked::Bind(account, kind)
    }

    fn asks_state(&mut self, wire: WireId, pdu: &Pdu<'_>) -> Asked {
        let (Some(account), Ok(query)) = (self.links[wire].account, QuerySm::parse(pdu)) else {
            return Asked::Other;
        };
        self.queries.push((account, query.message_id.to_vec()));
        Asked::Query(self.queries.len() - 1)
    }

    /// How long the node waits for a response of this peer.
    pub(crate) fn response_timeout(&self, wire: WireId) -> Duration {
        let link = &self.links[wire];
        match (link.end, link.account) {
            (Some(End::Carrier(carrier)), _) => self.setup.config.carriers[carrier].response_timeout,
            (_, Some(account)) => self.setup.config.esmes[account].response_timeout,
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
            What::Copy(message, part, copy) => {
                let outcome = match ok {
                    true if now < limit => Outcome::Accepted,
                    true => Outcome::AcceptedLate,
                    false if now <= limit => Outcome::Refused,
                    false => Outcome::Unknown,
                };
                self.copy_answered(message, part, copy, (now, outcome), pdu);
            }
            What::Give(delivery) if ok => self.taken(now, delivery, now < limit),
            What::GiveOwn(own) => self.own_taken(now, own, now < limit, pdu.header().command_status),
            What::Give(delivery) if now < limit => {
                self.given_up(now, delivery, pdu.header().command_status);
            }
            What::Give(_) | What::Query | What::Control => {}
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
                    if self.links[wire].v33 && !fits_v33(&pdu) {
                        let what = format!("link {wire} of version 3.3 was written {:?}", pdu.header());
                        self.fail("v33", what);
                    }
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
        let ok = status == CommandStatus::OK;
        match asked {
            Asked::Submit(message) => self.answered(now, wire, message, pdu),
            Asked::Query(query) if ok => self.state_told(query, pdu),
            Asked::Bind(account, kind) if ok => {
                self.links[wire].account = account;
                self.links[wire].kind = Some(kind);
            }
            Asked::Delivery(delivery) if ok => self.carrier_hears_ok(now, delivery),
            Asked::Delivery(delivery) => self.carrier_hears_refusal(now, delivery),
            Asked::Query(_) | Asked::Bind(..) | Asked::Other => {}
        }
    }

    fn state_told(&mut self, query: usize, pdu: &Pdu<'_>) {
        let id = QuerySmResp::parse(pdu).map(|response| response.message_id.to_vec()).unwrap_or_default();
        let asked = &self.queries[query];
        if id != asked.1 || !self.given.contains(asked) {
            self.fail("query", format!("asked {asked:?}, told of {id:?}"));
        }
    }

    /// A query for a carrier: it must be for a message that it has.
    fn ask_state(&mut self, carrier: usize, pdu: &Pdu<'_>) -> Option<What> {
        let id = QuerySm::parse(pdu)
            .ok()
            .and_then(|query| self.setup.carriers[carrier].ids.of_response(query.message_id));
        if id.is_none_or(|id| !self.issued.contains_key(&(carrier, id))) {
            self.fail("query", format!("carrier {carrier} is asked for message {id:?}, which it never had"));
        }
        Some(What::Query)
    }

    fn wrote_request(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) {
        let carrier = match self.links[wire].end {
            Some(End::Carrier(carrier)) => Some(carrier),
            _ => None,
        };
        let kind = self.links[wire].kind;
        let what = match (pdu.command_id(), carrier) {
            (CommandId::ENQUIRE_LINK | CommandId::UNBIND, _) => Some(What::Control),
            (command, Some(_)) if BindKind::of(command).is_some() => {
                self.links[wire].kind = BindKind::of(command);
                Some(What::Control)
            }
            (command, Some(_)) if !kind.is_some_and(BindKind::transmits) => {
                self.fail("mode", format!("carrier link {wire}, bound as {kind:?}, is given {command:?}"));
                None
            }
            (command, None) if !kind.is_some_and(BindKind::receives) => {
                self.fail("mode", format!("ESME link {wire}, bound as {kind:?}, is given {command:?}"));
                None
            }
            (CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::SUBMIT_MULTI, Some(carrier)) => {
                self.spend(now, carrier);
                self.copied(now, wire, carrier, pdu)
            }
            (CommandId::QUERY_SM, Some(carrier)) => {
                self.spend(now, carrier);
                self.ask_state(carrier, pdu)
            }
            (CommandId::DELIVER_SM | CommandId::DATA_SM, None) => self.give(now, wire, pdu),
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
            (Some(End::Carrier(carrier)), _) => self.setup.config.carriers[carrier].window_max,
            (_, Some(account)) => self.setup.config.esmes[account].window_max,
            _ => 0,
        };
        let waits =
            |request: &&Request| !matches!(request.what, What::Control) && now < request.at.after(timeout);
        let in_flight = link.requests.values().filter(waits).count();
        if in_flight > max as usize {
            self.fail("window", format!("{in_flight} requests in flight on link {wire}, window_max {max}"));
        }
    }

    /// A node that begins again has spent nothing yet.
    pub(crate) fn forget_pace(&mut self) {
        for carrier in &mut self.carriers {
            if let Some(bucket) = &mut carrier.bucket {
                bucket.level = 0.0;
            }
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

    /// All is quiet: nothing may be left to do.
    pub(crate) fn settled(&mut self, hushed_at: Instant) {
        self.check_receipts_lost(hushed_at);
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

/// Whether a peer of version 3.3 knows such a PDU.
fn fits_v33(pdu: &Pdu<'_>) -> bool {
    match pdu.command_id() {
        CommandId::DATA_SM | CommandId::BIND_TRANSCEIVER => false,
        CommandId::SUBMIT_SM => Sm::parse_submit(pdu).is_ok_and(|sm| sm.content.tlvs.bytes().is_empty()),
        CommandId::DELIVER_SM => Sm::parse_deliver(pdu).is_ok_and(|sm| sm.content.tlvs.bytes().is_empty()),
        CommandId::SUBMIT_MULTI => {
            SubmitMulti::parse(pdu).is_ok_and(|multi| multi.content.tlvs.bytes().is_empty())
        }
        CommandId::SUBMIT_SM_RESP | CommandId::DELIVER_SM_RESP => MessageIdResp::parse(pdu).after.is_empty(),
        CommandId::SUBMIT_MULTI_RESP => SubmitMultiResp::parse(pdu).tlvs.bytes().is_empty(),
        CommandId::QUERY_SM_RESP => {
            QuerySmResp::parse(pdu).is_ok_and(|response| response.tlvs.bytes().is_empty())
                || pdu.body().is_empty()
        }
        CommandId::BIND_TRANSMITTER_RESP | CommandId::BIND_RECEIVER_RESP => {
            BindResp::parse(pdu).tlvs.bytes().is_empty()
        }
        _ => true,
    }
}
