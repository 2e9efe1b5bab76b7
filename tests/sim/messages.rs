//! What the oracle knows of messages: what an ESME submitted, in which parts it goes to which pools, which carriers
//! were given them and what they said, and what the ESME heard.

use crate::oracle::{Asked, Oracle, What};
use crate::setup::{ABROAD, ACCOUNTS, Setup};
use crate::wire::WireId;
use bindery::esme::settings::WindowOver;
use bindery::route::settings::OnUnknown;
use bindery::smpp::command::CommandId;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::data::DataSm;
use bindery::smpp::frame::Pdu;
use bindery::smpp::multi::{Destination, Destinations, SubmitMulti, SubmitMultiResp};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::Tlvs;
use bindery::time::{Duration, Instant};

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Accepted,
    /// Accepted when the node need not have known it any more.
    AcceptedLate,
    Refused,
    Unknown,
    /// Answered, and a crash may have taken the record that says so.
    Forgotten,
}

/// What a carrier was given.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) outcome: Outcome,
    pub(crate) carrier: usize,
    pub(crate) wire: WireId,
    pub(crate) at: Instant,
    pub(crate) answered_at: Option<Instant>,
    pub(crate) status: CommandStatus,
    /// A crash may have taken the record that says that it was written.
    pub(crate) unsaid: bool,
    id: Vec<u8>,
    /// Destinations that the carrier did not take.
    pub(crate) failed: Vec<Vec<u8>>,
}

/// The destinations of a message that take the same pool.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) numbers: Vec<Vec<u8>>,
    pub(crate) copies: Vec<Copy>,
    /// Its ESME has heard that it is not stored.
    pub(crate) refused: bool,
    /// When its ESME was last given a receipt of ours, and had it.
    pub(crate) own_given: Option<Instant>,
    pub(crate) own_over: Option<Instant>,
    /// It has had it at some time; a crash may have taken the record of that.
    pub(crate) own_had: bool,
    pub(crate) own_unsure: bool,
    /// A later one to its number has left: it is over, whoever knows of it.
    pub(crate) passed: bool,
}

impl Part {
    pub(crate) fn count(&self, outcomes: &[Outcome]) -> usize {
        self.copies.iter().filter(|copy| outcomes.contains(&copy.outcome)).count()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.count(&[Outcome::Accepted, Outcome::AcceptedLate])
    }
}

/// What an ESME submitted.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) account: usize,
    pub(crate) wire: WireId,
    pub(crate) at: Instant,
    pub(crate) v33: bool,
    pdu: Vec<u8>,
    pub(crate) multi: bool,
    /// A receipt was asked for.
    pub(crate) registered: bool,
    /// The node answers it itself.
    pub(crate) stored: bool,
    /// When its ESME heard ESME_ROK, or a refusal.
    pub(crate) ok_at: Option<Instant>,
    pub(crate) refused_at: Option<Instant>,
    /// A crash may have taken everything that the node knew of it.
    pub(crate) lost: bool,
    pub(crate) parts: Vec<Part>,
    /// It goes to more than one pool, or some of it to none: under an id of ours.
    pub(crate) split: bool,
    /// Destinations that no route takes.
    pub(crate) unroutable: Vec<Vec<u8>>,
    pub(crate) answered: bool,
    /// The id that it was answered with, and where in the stream that answer ends.
    pub(crate) given: Option<(Vec<u8>, u64)>,
}

/// A request for handsets.
enum Request<'a> {
    Sm(Sm<'a>),
    Data(DataSm<'a>),
    Multi(SubmitMulti<'a>),
}

impl<'a> Request<'a> {
    fn parse(pdu: &Pdu<'a>) -> Option<Self> {
        match pdu.command_id() {
            CommandId::SUBMIT_SM => Sm::parse_submit(pdu).ok().map(Self::Sm),
            CommandId::DATA_SM => DataSm::parse(pdu).ok().map(Self::Data),
            CommandId::SUBMIT_MULTI => SubmitMulti::parse(pdu).ok().map(Self::Multi),
            _ => None,
        }
    }

    fn numbers(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Sm(sm) => vec![sm.destination.digits.to_vec()],
            Self::Data(data) => vec![data.destination.digits.to_vec()],
            Self::Multi(multi) => multi
                .destinations
                .iter()
                .map(|destination| match destination {
                    Destination::Address(address) => address.digits.to_vec(),
                    Destination::List(name) => name.to_vec(),
                })
                .collect(),
        }
    }

    fn registered(&self) -> bool {
        let asked = match self {
            Self::Sm(sm) => sm.content.registered_delivery,
            Self::Data(data) => data.registered_delivery,
            Self::Multi(multi) => multi.content.registered_delivery,
        };
        asked == 1
    }

    fn text(&self) -> &'a [u8] {
        match self {
            Self::Sm(sm) => sm.content.text(),
            Self::Data(data) => data.text(),
            Self::Multi(multi) => multi.content.text(),
        }
    }

    /// The word that begins the text.
    fn token(&self) -> &'a [u8] {
        self.text().split(|&octet| octet == b' ').next().unwrap_or_default()
    }

    /// The PDU that a carrier must be given.
    fn expected(&self, numbers: &[Vec<u8>], (v33, stored): (bool, bool), out: &mut Vec<u8>) {
        let plain = |content: Content<'a>, text: &'a [u8]| {
            if v33 { Content { short_message: text, tlvs: Tlvs::default(), ..content } } else { content }
        };
        match self {
            Self::Sm(sm) => {
                let content = plain(sm.content, self.text());
                Sm { content, ..*sm }.write(out, CommandId::SUBMIT_SM, 0);
            }
            Self::Data(data) if v33 => {
                let content = Content {
                    esm_class: data.esm_class,
                    registered_delivery: data.registered_delivery,
                    data_coding: data.data_coding,
                    short_message: self.text(),
                    ..Content::default()
                };
                let (source, destination) = (data.source, data.destination);
                let sm = Sm { service_type: data.service_type, source, destination, content };
                sm.write(out, CommandId::SUBMIT_SM, 0);
            }
            Self::Data(data) => data.write(out, 0),
            Self::Multi(multi) if stored => {
                let content = plain(multi.content, self.text());
                let digits = numbers.first().map_or(&[][..], Vec::as_slice);
                let destination = Address { ton: 1, npi: 1, digits };
                let sm = Sm { service_type: multi.service_type, source: multi.source, destination, content };
                sm.write(out, CommandId::SUBMIT_SM, 0);
            }
            Self::Multi(multi) => {
                let mut list = vec![numbers.len() as u8];
                for digits in numbers {
                    Destination::Address(Address { ton: 1, npi: 1, digits }).write(&mut list);
                }
                let content = plain(multi.content, self.text());
                if let Ok(destinations) = Destinations::parse(&mut Cursor::new(&list, 0)) {
                    SubmitMulti { destinations, content, ..*multi }.write(out, 0);
                }
            }
        }
    }
}

impl Oracle {
    pub(crate) fn submit(&mut self, now: Instant, wire: WireId, pdu: &Pdu<'_>) -> Asked {
        let link = &self.links[wire];
        let Some(account) = link.account.or(link.binding) else { return Asked::Other };
        let Some(request) = Request::parse(pdu) else { return Asked::Other };
        let stored = self.setup.stores(account);
        let (mut parts, mut unroutable): (Vec<(bool, Part)>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
        for number in request.numbers() {
            let abroad = Setup::is_abroad(account, &number);
            if number.is_empty() {
                unroutable.push(number);
            } else if let Some((_, part)) = parts.iter_mut().find(|(pool, _)| *pool == abroad && !stored) {
                part.numbers.push(number);
            } else {
                parts.push((abroad, Part { numbers: vec![number], ..Part::default() }));
            }
        }
        let split = parts.len() > 1 || !unroutable.is_empty();
        let index = self.messages.len();
        self.by_token.insert(request.token().to_vec(), index);
        for (part, (_, one)) in parts.iter().enumerate().filter(|_| stored) {
            let line = self.lines.entry((account, one.numbers[0].clone())).or_default();
            line.push((index, part));
        }
        self.messages.push(Message {
            account,
            wire,
            at: now,
            v33: link.v33,
            pdu: pdu.bytes().to_vec(),
            multi: pdu.command_id() == CommandId::SUBMIT_MULTI,
            registered: request.registered(),
            stored,
            ok_at: None,
            refused_at: None,
            lost: false,
            parts: parts.into_iter().map(|(_, part)| part).collect(),
            split,
            unroutable,
            answered: false,
            given: None,
        });
        Asked::Submit(index)
    }

    /// A carrier is given a copy of something.
    pub(crate) fn copied(
        &mut self,
        now: Instant,
        wire: WireId,
        carrier: usize,
        pdu: &Pdu<'_>,
    ) -> Option<What> {
        let found = Request::parse(pdu).and_then(|request| {
            let index = *self.by_token.get(request.token())?;
            let numbers = request.numbers();
            let parts = &self.messages[index].parts;
            Some((index, parts.iter().position(|part| part.numbers == numbers)?))
        });
        let Some((index, part)) = found else {
            self.fail("octets", format!("carrier {carrier} is given what no ESME submitted"));
            return None;
        };
        self.submitted += 1;
        if self.messages[index].stored {
            self.check_stored(now, index, part);
        }
        let message = &mut self.messages[index];
        let numbers = &message.parts[part].numbers;
        let mut expected = Vec::new();
        if let Some(request) = Pdu::whole(&message.pdu).as_ref().and_then(Request::parse) {
            let form = (self.setup.carriers[carrier].v33, message.stored);
            request.expected(numbers, form, &mut expected);
        }
        let same = Pdu::whole(&expected)
            .is_some_and(|whole| whole.command_id() == pdu.command_id() && whole.body() == pdu.body());
        let abroad = numbers.first().is_some_and(|number| Setup::is_abroad(message.account, number));
        let routed = match (ACCOUNTS[message.account], abroad) {
            ("carrier", _) => carrier == 0,
            (_, true) => carrier == ABROAD.1,
            (_, false) => true,
        };
        let (account, number) = (message.account, &message.parts[part].numbers[0]);
        let policy = self.setup.on_unknown(account, number);
        let copies = &self.messages[index].parts[part].copies;
        let refused = copies.iter().all(|copy| self.may_relay_again(now, copy, policy));
        let message = &mut self.messages[index];
        let copies = &mut message.parts[part].copies;
        if copies.iter().any(|copy| copy.carrier != carrier) {
            self.second_attempts += u64::from(copies.iter().all(|copy| copy.carrier != carrier));
        }
        copies.push(Copy {
            outcome: Outcome::Open,
            carrier,
            wire,
            at: now,
            answered_at: None,
            status: CommandStatus::OK,
            unsaid: false,
            id: Vec::new(),
            failed: Vec::new(),
        });
        let copy = copies.len() - 1;
        if !message.stored && (!refused || message.answered) {
            let copies = format!("{copies:?}");
            self.fail("doubled", format!("message {index} is given to a carrier again: {copies}"));
        } else if !same {
            self.fail("octets", format!("carrier {carrier} is given message {index} in another form"));
        } else if !routed {
            self.fail("route", format!("carrier {carrier} is given message {index}"));
        }
        Some(What::Copy(index, part, copy))
    }

    /// A carrier has answered a copy.
    pub(crate) fn copy_answered(
        &mut self,
        index: usize,
        part: usize,
        copy: usize,
        (now, outcome): (Instant, Outcome),
        pdu: &Pdu<'_>,
    ) {
        let copy = &mut self.messages[index].parts[part].copies[copy];
        (copy.outcome, copy.answered_at) = (outcome, Some(now));
        copy.status = pdu.header().command_status;
        if !matches!(outcome, Outcome::Accepted | Outcome::AcceptedLate) {
            return;
        }
        if pdu.command_id() == CommandId::SUBMIT_MULTI_RESP {
            let response = SubmitMultiResp::parse(pdu);
            copy.id = response.message_id.unwrap_or_default().to_vec();
            copy.failed = failures(&response);
        } else {
            copy.id = MessageIdResp::parse(pdu).id.to_vec();
        }
        let carrier = copy.carrier;
        if let Some(id) = self.setup.carriers[carrier].ids.of_response(&copy.id) {
            self.issued.insert((carrier, id), (index, part));
        }
    }

    /// An ESME hears what became of its message.
    pub(crate) fn answered(&mut self, now: Instant, wire: WireId, index: usize, pdu: &Pdu<'_>) {
        self.messages[index].answered = true;
        let message = &self.messages[index];
        let config = &self.setup.config;
        let account = &config.esmes[message.account];
        let slowest = config.carriers.iter().map(|carrier| carrier.response_timeout).max();
        // Mail takes its time.
        let slack = Duration::from_secs(if self.setup.shards.count > 1 { 6 } else { 1 });
        let limit = account.answer_timeout + slowest.unwrap_or_default() + slack;
        if account.window_over == WindowOver::Refuse && now.since(message.at) > limit {
            let took = now.since(message.at);
            return self.fail("late", format!("message {index} was answered after {took:?}"));
        }
        let ok = pdu.header().command_status == CommandStatus::OK;
        let message = &mut self.messages[index];
        *(if ok { &mut message.ok_at } else { &mut message.refused_at }) = Some(now);
        if message.stored {
            return self.stored_answered(wire, index, pdu);
        }
        let message = &self.messages[index];
        if !ok {
            if message.parts.iter().any(|part| part.count(&[Outcome::Accepted]) > 0) {
                let what = format!("a carrier accepted message {index}, its ESME hears a refusal");
                self.fail("accepted", what);
            }
            return;
        }
        self.accepted += 1;
        let of_part = |part: &Part| {
            let (accepted, refused) = (part.accepted(), part.count(&[Outcome::Refused]));
            let resent = self.setup.on_unknown(message.account, &part.numbers[0]) == OnUnknown::Resend;
            let unknown = part.count(&[Outcome::Open, Outcome::Unknown, Outcome::AcceptedLate]);
            let others = refused + if resent { unknown } else { 0 };
            (accepted == 1 && refused + 1 == part.copies.len())
                || (resent && accepted > 0 && others + 1 >= part.copies.len())
        };
        let some = message.parts.iter().any(of_part);
        if !some || message.parts.iter().any(|part| part.accepted() > 0 && !of_part(part)) {
            let parts = format!("{:?}", message.parts);
            return self.fail("accepted", format!("ESME_ROK for message {index}, which has {parts}"));
        }
        if pdu.command_id() == CommandId::SUBMIT_MULTI_RESP {
            self.check_unsuccess(index, &SubmitMultiResp::parse(pdu));
        }
        self.check_given(wire, index, pdu);
    }

    /// The destinations that were not reached, as the ESME hears it.
    fn check_unsuccess(&mut self, index: usize, response: &SubmitMultiResp<'_>) {
        let message = &self.messages[index];
        if message.parts.iter().any(|part| part.count(&[Outcome::AcceptedLate]) > 0) {
            return;
        }
        let mut missed = message.unroutable.clone();
        for part in &message.parts {
            let accepted = part.copies.iter().find(|copy| copy.outcome == Outcome::Accepted);
            missed.extend(accepted.map_or(&part.numbers, |copy| &copy.failed).iter().cloned());
        }
        let mut said = failures(response);
        said.sort();
        missed.sort();
        if said != missed {
            self.fail(
                "unsuccess",
                format!("message {index} did not reach {missed:?}, its ESME hears {said:?}"),
            );
        }
    }

    pub(crate) fn check_given(&mut self, wire: WireId, index: usize, pdu: &Pdu<'_>) {
        let id = if pdu.command_id() == CommandId::SUBMIT_MULTI_RESP {
            SubmitMultiResp::parse(pdu).message_id.unwrap_or_default()
        } else {
            MessageIdResp::parse(pdu).id
        };
        let end = self.links[wire].written;
        let message = &mut self.messages[index];
        message.given = Some((id.to_vec(), end));
        self.given.insert((message.account, id.to_vec()));
        if message.stored {
            self.by_given.insert((message.account, id.to_vec()), index);
        }
        if ACCOUNTS[message.account] == "carrier" && !message.split && !message.stored {
            let carriers = message.parts.first().and_then(|part| part.copies.last());
            if carriers.is_none_or(|copy| copy.id != id) {
                self.fail("given_id", format!("message {index} was not given its carrier's id"));
            }
            return;
        }
        let hex = id.len() == 8 && id.iter().all(u8::is_ascii_hexdigit);
        let decimal = id.len() <= 19 && id.iter().all(u8::is_ascii_digit);
        if if message.v33 { !hex } else { !decimal } {
            let what = format!(
                "message {index} of {} was given {}",
                ACCOUNTS[message.account],
                String::from_utf8_lossy(id)
            );
            self.fail("given_id", what);
        } else if !self.own_ids.insert(id.to_vec()) {
            self.fail("given_id", format!("message {index} was given an id of another"));
        }
    }
}

pub(crate) fn failures(response: &SubmitMultiResp<'_>) -> Vec<Vec<u8>> {
    response.unsuccess.iter().map(|failure| failure.destination.digits.to_vec()).collect()
}
