//! The accounts: their sessions, the messages that they send at a pace or as fast as their window lets them, and how
//! they take receipts.

use crate::net::WireId;
use crate::world::{Message, NUMBER, OPEN, Side, Turn, World, hash_of};
use bindery::prng::Prng;
use bindery::session::BindKind;
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Pdu, write_header_only};
use bindery::smpp::receipt::Receipt;
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tlvs, write_tlv};
use bindery::time::{Duration, Instant};

/// A header-only PDU.
pub(crate) fn header(command: CommandId, status: CommandStatus, sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    write_header_only(&mut octets, command, status, sequence);
    octets
}

/// How an account answers a delivery: after this, with that; `None`: never.
pub(crate) type Answers = Box<dyn FnMut(&mut Prng) -> Option<(Duration, CommandStatus)>>;

/// One account.
pub(crate) struct Esme {
    /// Its sessions that are bound.
    pub(crate) sessions: Vec<(WireId, BindKind)>,
    pub(crate) binds_refused: u64,
    pub(crate) answers: Answers,
    /// Deliveries that were no receipts.
    pub(crate) mo: u64,
    next: usize,
}

impl Default for Esme {
    fn default() -> Self {
        let answers: Answers = Box::new(|_| Some((Duration::ZERO, CommandStatus::OK)));
        Self { sessions: Vec::new(), binds_refused: 0, answers, mo: 0, next: 0 }
    }
}

impl Esme {
    pub(crate) fn lost(&mut self, wire: WireId) {
        self.sessions.retain(|(of, _)| *of != wire);
    }

    /// Its next session that submits, in turn.
    fn sender(&mut self) -> Option<WireId> {
        let senders = self.sessions.iter().filter(|(_, kind)| kind.transmits()).count();
        self.next += 1;
        let mut senders_of = self.sessions.iter().filter(|(_, kind)| kind.transmits());
        senders_of.nth(self.next.checked_rem(senders)?).map(|(wire, _)| *wire)
    }
}

/// What a message says.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) to: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) esm_class: u8,
    pub(crate) data_coding: u8,
    pub(crate) registered: u8,
    /// TLVs before the one that numbers it.
    pub(crate) tlvs: Vec<u8>,
}

impl Draft {
    /// A short text with a receipt asked for, to a number of its own.
    pub(crate) fn plain(message: u32) -> Self {
        Self {
            to: format!("38160{message:07}").into_bytes(),
            text: format!("M{message}").into_bytes(),
            esm_class: 0,
            data_coding: 0,
            registered: 1,
            tlvs: Vec::new(),
        }
    }

    /// The request.
    pub(crate) fn write(&self, message: u32) -> Vec<u8> {
        let mut tlvs = self.tlvs.clone();
        write_tlv(&mut tlvs, NUMBER, &message.to_be_bytes());
        let content = Content {
            esm_class: self.esm_class,
            data_coding: self.data_coding,
            registered_delivery: self.registered,
            short_message: &self.text,
            tlvs: Tlvs::lenient(&tlvs),
            ..Content::default()
        };
        let source = Address { ton: 1, npi: 1, digits: b"14499" };
        let destination = Address { ton: 1, npi: 1, digits: &self.to };
        let mut octets = Vec::new();
        Sm { source, destination, content, ..Sm::default() }.write(
            &mut octets,
            CommandId::SUBMIT_SM,
            message + 1,
        );
        octets
    }
}

/// What the messages of a stream say.
pub(crate) type Drafts = Box<dyn FnMut(&mut Prng, u32) -> Draft>;

/// Messages of one account.
pub(crate) struct Stream {
    pub(crate) account: usize,
    pub(crate) left: u64,
    /// One message each such span; zero: one for each answer.
    pub(crate) every: Duration,
    /// Requests without an answer, of all its sessions; over it nothing is sent.
    pub(crate) in_flight_max: usize,
    in_flight: usize,
    pub(crate) draft: Drafts,
}

impl World {
    /// One more session of an account; it is bound when its answer has come.
    pub(crate) fn bind(&mut self, account: usize, kind: BindKind) -> WireId {
        let wire = self.net.connect(0);
        self.set_side(wire, Side::Esme(account));
        let esme = &self.config.esmes[account];
        let system_id = esme.system_id.clone();
        let bind =
            Bind { system_id: &system_id, password: b"secret", interface_version: 0x34, ..Bind::default() };
        let mut octets = Vec::new();
        bind.write(&mut octets, kind.command(), 1);
        self.net.send(wire, octets);
        wire
    }

    /// So many transceivers of an account, bound.
    pub(crate) fn bound(&mut self, account: usize, sessions: usize) -> Vec<WireId> {
        let had = self.esmes[account].sessions.len();
        let wires = (0..sessions).map(|_| self.bind(account, BindKind::Transceiver)).collect();
        self.run_until(Duration::from_secs(10), |world| {
            world.esmes[account].sessions.len() == had + sessions
        });
        wires
    }

    /// A message of an account on one of its links; its number.
    pub(crate) fn submit(&mut self, account: usize, wire: WireId, draft: impl FnOnce(u32) -> Draft) -> u32 {
        let message = self.messages.len() as u32;
        let now = self.now();
        self.messages.push(Message {
            account: account as u16,
            wire,
            sent_at: now,
            answered_at: now,
            status: OPEN,
            id: 0,
            copies: 0,
            carrier: u8::MAX,
            finals: 0,
            others: 0,
            stat: *b"       ",
        });
        self.open += 1;
        self.net.send(wire, draft(message).write(message));
        message
    }

    /// A stream of plain messages: `left` of them, one each `every` or, when that is zero, one for each answer.
    pub(crate) fn stream(
        &mut self,
        account: usize,
        left: u64,
        every: Duration,
        in_flight_max: usize,
    ) -> usize {
        let draft: Drafts = Box::new(|_, message| Draft::plain(message));
        self.stream_of(Stream { account, left, every, in_flight_max, in_flight: 0, draft })
    }

    /// As above, with messages of a kind.
    pub(crate) fn stream_with(
        &mut self,
        (account, left, every, in_flight_max): (usize, u64, Duration, usize),
        draft: impl FnMut(&mut Prng, u32) -> Draft + 'static,
    ) -> usize {
        self.stream_of(Stream { account, left, every, in_flight_max, in_flight: 0, draft: Box::new(draft) })
    }

    fn stream_of(&mut self, stream: Stream) -> usize {
        assert!(stream.account == self.streams.len(), "each account has one stream, in their order");
        self.streams.push(stream);
        self.net.later(Duration::ZERO, Turn::Feed(self.streams.len() - 1));
        self.streams.len() - 1
    }

    pub(crate) fn feed(&mut self, at: usize) {
        let every = self.streams[at].every;
        if self.streams[at].left > 0 && !every.is_zero() {
            self.net.later(every, Turn::Feed(at));
        }
        loop {
            let stream = &mut self.streams[at];
            let account = stream.account;
            if stream.left == 0 || stream.in_flight >= stream.in_flight_max {
                return;
            }
            let Some(wire) = self.esmes[account].sender() else {
                if every.is_zero() {
                    self.net.later(Duration::from_millis(100), Turn::Feed(at));
                }
                return;
            };
            let stream = &mut self.streams[at];
            stream.left -= 1;
            stream.in_flight += 1;
            let draft = (stream.draft)(&mut self.prng, self.messages.len() as u32);
            self.submit(account, wire, |_| draft);
            if !every.is_zero() {
                return;
            }
        }
    }

    /// All streams have sent everything and every message is answered.
    pub(crate) fn all_answered(&self) -> bool {
        self.open == 0 && self.streams.iter().all(|stream| stream.left == 0)
    }

    pub(crate) fn esme_hears(&mut self, account: usize, wire: WireId, pdu: &Pdu<'_>) {
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        let ok = pdu.header().command_status == CommandStatus::OK;
        match command {
            CommandId::SUBMIT_SM_RESP => self.note_answer(account, wire, pdu),
            CommandId::DELIVER_SM => {
                self.note_delivery(account, wire, pdu);
                if let Some((wait, status)) = (self.esmes[account].answers)(&mut self.prng) {
                    let mut answer = Vec::new();
                    MessageIdResp::new(&[]).write(&mut answer, command.response(), status, sequence);
                    self.net.later(wait, Turn::Send(wire, answer));
                }
            }
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.net.send(wire, header(command.response(), CommandStatus::OK, sequence));
            }
            _ => match BindKind::of(command) {
                Some(kind) if ok => self.esmes[account].sessions.push((wire, kind)),
                Some(_) => self.esmes[account].binds_refused += 1,
                None => {}
            },
        }
    }

    fn note_answer(&mut self, account: usize, wire: WireId, pdu: &Pdu<'_>) {
        let now = self.now();
        let at = pdu.sequence_number() as usize - 1;
        let message = &mut self.messages[at];
        assert_eq!((message.account as usize, message.wire), (account, wire), "an answer of another: {at}");
        assert_eq!(message.status, OPEN, "message {at} was answered twice");
        message.status = pdu.header().command_status.0;
        message.answered_at = now;
        if message.status == 0 {
            message.id = hash_of(MessageIdResp::parse(pdu).id);
            assert!(message.copies > 0, "message {at} was accepted and no carrier has it");
        }
        self.open -= 1;
        self.stream_answered(account);
    }

    fn stream_answered(&mut self, account: usize) {
        if let Some(stream) = self.streams.get_mut(account) {
            stream.in_flight = stream.in_flight.saturating_sub(1);
            if stream.every.is_zero() {
                self.feed(account);
            }
        }
    }

    fn note_delivery(&mut self, account: usize, wire: WireId, pdu: &Pdu<'_>) {
        let sm = Sm::parse_deliver(pdu).expect("the node relays what is sound");
        let Some(receipt) = Receipt::parse(&sm, false) else {
            self.esmes[account].mo += 1;
            return;
        };
        let text = core::str::from_utf8(receipt.text.text.unwrap_or_default()).unwrap_or_default();
        let at: usize = text.trim_start_matches('M').parse().expect("a receipt says of what");
        let open = self.net.is_open(self.messages[at].wire);
        let message = &mut self.messages[at];
        assert_eq!(message.account as usize, account, "the receipt of message {at} went to another account");
        let id = receipt.tlv_id.or(receipt.text_id()).map(hash_of);
        match message.status {
            0 => assert_eq!(id, Some(message.id), "the receipt of message {at} has another id: {receipt:?}"),
            OPEN => assert!(!open || message.wire != wire, "a receipt before the response of message {at}"),
            _ => {}
        }
        if receipt.intermediate {
            message.others = message.others.saturating_add(1);
        } else {
            message.finals = message.finals.saturating_add(1);
        }
        if let Some(stat) = receipt.text.stat.and_then(|stat| stat.try_into().ok()) {
            message.stat = stat;
        }
    }

    /// The longest that an answer took.
    pub(crate) fn slowest(&self) -> Duration {
        let answered = self.messages.iter().filter(|message| message.status < OPEN - 1);
        let spans = answered.map(|message| message.answered_at.since(message.sent_at));
        spans.max().unwrap_or_default()
    }

    /// Answers that came in this span.
    pub(crate) fn answers_between(&self, from: Instant, to: Instant, status: CommandStatus) -> usize {
        let within = |message: &&Message| {
            message.status == status.0 && message.answered_at >= from && message.answered_at < to
        };
        self.messages.iter().filter(within).count()
    }
}
