//! The ESMEs: they bind, submit in bursts, query, and answer what they are given, well or badly.

use crate::faults::Kind;
use crate::setup::{ABROAD, ACCOUNTS, PASSWORD, Speaks};
use crate::wire::WireId;
use crate::world::{Side, Turn, World};
use bindery::session::BindKind;
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::data::DataSm;
use bindery::smpp::frame::{Pdu, write_header_only, write_pdu};
use bindery::smpp::multi::{Destination, Destinations, SubmitMulti};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm, write_c_octets};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};

/// Sessions that an account wants.
const SESSIONS: usize = 3;
/// Where messages go.
const NUMBERS: [&str; 4] = ["38267000001", "38267000002", "38269111111", "436501234567"];

/// Who sends them.
const SOURCE: Address<'static> = Address { ton: 1, npi: 1, digits: b"14499" };

/// One session of an account.
#[derive(Debug)]
pub(crate) struct Session {
    wire: WireId,
    kind: BindKind,
    v33: bool,
    bound: bool,
    unbinding: bool,
    /// Requests without an answer.
    waiting: usize,
}

/// One account.
#[derive(Debug, Default)]
pub(crate) struct Esme {
    pub(crate) sessions: Vec<Session>,
    /// Ids that it was given.
    ids: Vec<Vec<u8>>,
    /// The number in the text of a message that must get through, until it does.
    pub(crate) probe: Option<u32>,
    probe_sequence: u32,
    /// What it was refused with.
    pub(crate) probe_refused: Option<CommandStatus>,
}

/// A header-only PDU.
pub(crate) fn header(command: CommandId, status: CommandStatus, sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    write_header_only(&mut octets, command, status, sequence);
    octets
}

/// A bind request.
pub(crate) fn bind(system_id: &str, password: &str, kind: BindKind, v33: bool, sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    let (system_id, password) = (system_id.as_bytes(), password.as_bytes());
    let interface_version = if v33 { 0x33 } else { 0x34 };
    let bind = Bind { system_id, password, interface_version, ..Bind::default() };
    bind.write(&mut octets, kind.command(), sequence);
    octets
}

impl World {
    /// An account's turn: it keeps its sessions, and sends something over one of them.
    pub(crate) fn esme_turn(&mut self, account: usize) {
        let wait = self.net.millis(20, 450);
        self.net.later(wait, Turn::Esme(account));
        let net = &self.net;
        self.esmes[account].sessions.retain(|session| net.is_open(session.wire));
        let sessions = &self.esmes[account].sessions;
        let live = |session: &&Session| !session.unbinding;
        let sends = sessions.iter().filter(live).any(|session| session.kind.transmits());
        let receives = sessions.iter().filter(live).any(|session| session.kind.receives());
        if !sends || !receives || (sessions.len() < SESSIONS && self.prng.chance(1, 3)) {
            self.esme_binds(account, sends, receives);
        }
        if self.quiet {
            return;
        }
        let window = self.setup.config.esmes[account].window_max as usize;
        let usable: Vec<usize> = (0..self.esmes[account].sessions.len())
            .filter(|&at| {
                let session = &self.esmes[account].sessions[at];
                session.bound && !session.unbinding && session.kind.transmits() && session.waiting < 200
            })
            .collect();
        let Some(at) = self.pick(&usable) else { return };
        let room = window.saturating_sub(self.esmes[account].sessions[at].waiting);
        let mut count = room.min(1 + self.prng.below(10) as usize);
        if self.net.faults.strike(Kind::Overrun) {
            count = window + 1 + self.prng.below(20) as usize;
        }
        for _ in 0..count {
            self.esme_sends(account, at);
        }
        if room > count && self.prng.chance(1, 12) {
            self.esme_queries(account, at);
        }
    }

    fn esme_binds(&mut self, account: usize, sends: bool, receives: bool) {
        let v33 = match self.setup.accounts[account] {
            Speaks::V34 => false,
            Speaks::V33 => true,
            Speaks::Both => self.prng.chance(1, 2),
        };
        // Version 3.3 knows no transceiver.
        let kinds = match (v33, sends, receives) {
            (false, true, true) => {
                [BindKind::Transceiver, BindKind::Transceiver, BindKind::Transmitter, BindKind::Receiver]
            }
            (false, ..) => [BindKind::Transceiver; 4],
            (true, false, _) => [BindKind::Transmitter; 4],
            (true, true, false) => [BindKind::Receiver; 4],
            (true, true, true) => {
                [BindKind::Transmitter, BindKind::Transmitter, BindKind::Receiver, BindKind::Receiver]
            }
        };
        let kind = kinds[self.prng.below(4) as usize];
        let listener = self.prng.below(self.setup.config.listeners.len() as u64) as usize;
        let wire = self.net.connect(listener);
        self.sides.insert(wire, Side::Esme(account));
        let sequence = self.number();
        let mut octets = bind(ACCOUNTS[account], PASSWORD, kind, v33, sequence);
        let mut waiting = 0;
        let eager = self.setup.traffic.eager_in;
        if eager > 0 && self.prng.chance(1, eager) {
            if kind.transmits() && !self.quiet {
                let sequence = self.number();
                octets.extend(self.submit_sm(v33, sequence).1);
                waiting = 1;
            }
            octets.extend(header(CommandId::ENQUIRE_LINK, CommandStatus::OK, self.number()));
        }
        let session = Session { wire, kind, v33, bound: false, unbinding: false, waiting };
        self.esmes[account].sessions.push(session);
        self.net.send(wire, &octets);
    }

    /// A number that a message goes to.
    fn destination(&mut self) -> Vec<u8> {
        if !self.setup.traffic.own_numbers {
            return NUMBERS[self.prng.below(4) as usize].into();
        }
        // Other numbers have other tails: 7919 and ten million have no factor in common.
        let tail = u64::from(self.number()) * 7919 % 10_000_000;
        let prefix = if self.prng.chance(1, 4) { ABROAD.0 } else { "3826" };
        format!("{prefix}{tail:07}").into_bytes()
    }

    /// A text that stands in no other message, and its number.
    fn text(&mut self) -> (u32, Vec<u8>) {
        let number = self.number();
        let mut text = format!("M{number} ").into_bytes();
        for _ in 0..self.prng.below(40) {
            text.push(self.prng.below(256) as u8);
        }
        (number, text)
    }

    /// A submit_sm, and the number in its text.
    fn submit_sm(&mut self, v33: bool, sequence: u32) -> (u32, Vec<u8>) {
        let (number, text) = self.text();
        let to = self.destination();
        let mut tlvs = Vec::new();
        if !v33 && self.prng.chance(1, 4) {
            write_tlv(&mut tlvs, Tag::USER_MESSAGE_REFERENCE, &[1, 2]);
            write_tlv(&mut tlvs, Tag(0x1401), &text[..4]);
        }
        let mut short_message = text.as_slice();
        if !v33 && self.prng.chance(1, 12) {
            write_tlv(&mut tlvs, Tag::MESSAGE_PAYLOAD, short_message);
            short_message = &[];
        }
        let content = Content {
            registered_delivery: u8::from(self.prng.chance(9, 10)),
            data_coding: 4,
            short_message,
            tlvs: Tlvs::lenient(&tlvs),
            ..Content::default()
        };
        let destination = Address { ton: 1, npi: 1, digits: &to };
        let mut octets = Vec::new();
        let sm = Sm { source: SOURCE, destination, content, ..Sm::default() };
        sm.write(&mut octets, CommandId::SUBMIT_SM, sequence);
        (number, octets)
    }

    fn data_sm(&mut self, sequence: u32) -> Vec<u8> {
        let (_, text) = self.text();
        let to = self.destination();
        let mut tlvs = Vec::new();
        write_tlv(&mut tlvs, Tag::USER_MESSAGE_REFERENCE, &[1, 2]);
        write_tlv(&mut tlvs, Tag::MESSAGE_PAYLOAD, &text);
        let mut octets = Vec::new();
        let data = DataSm {
            source: SOURCE,
            destination: Address { ton: 1, npi: 1, digits: &to },
            registered_delivery: u8::from(self.prng.chance(9, 10)),
            data_coding: 4,
            tlvs: Tlvs::lenient(&tlvs),
            ..DataSm::default()
        };
        data.write(&mut octets, sequence);
        octets
    }

    /// A submit_multi to numbers that are all different, one of them perhaps empty.
    fn submit_multi(&mut self, v33: bool, sequence: u32) -> Vec<u8> {
        let (_, text) = self.text();
        let mut numbers: Vec<Vec<u8>> = (0..1 + self.prng.below(5)).map(|_| self.destination()).collect();
        if self.prng.chance(1, 6) {
            numbers.push(Vec::new());
        }
        numbers.sort();
        numbers.dedup();
        let mut list = vec![numbers.len() as u8];
        for digits in &numbers {
            Destination::Address(Address { ton: 1, npi: 1, digits }).write(&mut list);
        }
        let mut tlvs = Vec::new();
        if !v33 && self.prng.chance(1, 3) {
            write_tlv(&mut tlvs, Tag::USER_MESSAGE_REFERENCE, &[3, 4]);
        }
        let content = Content {
            registered_delivery: u8::from(self.prng.chance(9, 10)),
            data_coding: 4,
            short_message: &text,
            tlvs: Tlvs::lenient(&tlvs),
            ..Content::default()
        };
        let destinations = Destinations::parse(&mut Cursor::new(&list, 0)).unwrap();
        let mut octets = Vec::new();
        SubmitMulti { source: SOURCE, destinations, content, ..SubmitMulti::default() }
            .write(&mut octets, sequence);
        octets
    }

    /// Something that is to reach a handset.
    fn esme_sends(&mut self, account: usize, at: usize) {
        let v33 = self.esmes[account].sessions[at].v33;
        let sequence = self.number();
        let traffic = self.setup.traffic;
        let octets = if traffic.multi_in > 0 && self.prng.chance(1, traffic.multi_in) {
            self.submit_multi(v33, sequence)
        } else if !v33 && traffic.data_in > 0 && self.prng.chance(1, traffic.data_in) {
            self.data_sm(sequence)
        } else {
            self.submit_sm(v33, sequence).1
        };
        self.esme_asks(account, at, &octets);
    }

    /// A request of an account.
    fn esme_asks(&mut self, account: usize, at: usize, octets: &[u8]) {
        let session = &mut self.esmes[account].sessions[at];
        session.waiting += 1;
        let wire = session.wire;
        self.net.send(wire, octets);
    }

    /// Asks for a message of its own, or for one of another account.
    fn esme_queries(&mut self, account: usize, at: usize) {
        let whose = if self.prng.chance(1, 5) { self.prng.below(3) as usize } else { account };
        let known = self.esmes[whose].ids.len();
        let recent = known.saturating_sub(50) as u64 + self.prng.below(known.min(50) as u64);
        let Some(id) = self.esmes[whose].ids.get(recent as usize).cloned() else { return };
        let sequence = self.number();
        let mut octets = Vec::new();
        write_pdu(&mut octets, CommandId::QUERY_SM, CommandStatus::OK, sequence, |out| {
            write_c_octets(out, &id);
            SOURCE.write(out);
        });
        self.esme_asks(account, at, &octets);
    }

    /// A message that must be accepted, on a session that is bound.
    pub(crate) fn probe(&mut self, account: usize) {
        let usable = self.esmes[account].sessions.iter().position(|session| {
            session.bound && !session.unbinding && session.kind.transmits() && self.net.is_open(session.wire)
        });
        self.esmes[account].probe = Some(0);
        if let Some(at) = usable {
            let (v33, sequence) = (self.esmes[account].sessions[at].v33, self.number());
            let (number, octets) = self.submit_sm(v33, sequence);
            self.esme_asks(account, at, &octets);
            self.esmes[account].probe = Some(number);
            self.esmes[account].probe_sequence = sequence;
        }
    }

    /// A PDU for an account.
    pub(crate) fn esme_hears(&mut self, account: usize, wire: WireId, octets: &[u8]) {
        let Some(pdu) = Pdu::whole(octets) else { return };
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        let ok = pdu.header().command_status == CommandStatus::OK;
        let esme = &mut self.esmes[account];
        let session = esme.sessions.iter_mut().find(|session| session.wire == wire);
        match command {
            CommandId::SUBMIT_SM_RESP
            | CommandId::DATA_SM_RESP
            | CommandId::SUBMIT_MULTI_RESP
            | CommandId::QUERY_SM_RESP => {
                if let Some(session) = session {
                    session.waiting = session.waiting.saturating_sub(1);
                }
                if !ok && esme.probe.is_some() && esme.probe_sequence == sequence {
                    esme.probe_refused = Some(pdu.header().command_status);
                }
                if ok && command != CommandId::QUERY_SM_RESP {
                    esme.ids.push(MessageIdResp::parse(&pdu).id.to_vec());
                    if esme.probe.is_some() && esme.probe_sequence == sequence {
                        esme.probe = None;
                    }
                }
            }
            CommandId::DELIVER_SM | CommandId::DATA_SM => self.esme_answers(wire, &pdu),
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.reply(wire, header(command.response(), CommandStatus::OK, sequence), 1, 60);
            }
            _ if BindKind::of(command).is_some() => {
                if let Some(session) = session {
                    session.bound = ok;
                }
                if !ok {
                    self.net.reset(wire);
                }
            }
            _ => {}
        }
    }

    fn esme_answers(&mut self, wire: WireId, pdu: &Pdu<'_>) {
        if self.net.faults.strike(Kind::EsmeSilent) {
            return;
        }
        let (command, sequence) = (pdu.command_id().response(), pdu.sequence_number());
        if self.net.faults.strike(Kind::WrongType) {
            self.reply(wire, header(CommandId::CANCEL_SM_RESP, CommandStatus::OK, sequence), 1, 20);
        }
        let statuses = [
            CommandStatus::RECEIVER_TEMPORARY,
            CommandStatus::RECEIVER_PERMANENT,
            CommandStatus::SYSTEM_ERROR,
        ];
        let refuses = self.net.faults.strike(Kind::EsmeRefuses);
        let status = if refuses { statuses[self.prng.below(3) as usize] } else { CommandStatus::OK };
        let mut answer = Vec::new();
        write_pdu(&mut answer, command, status, sequence, |out| out.push(0));
        self.answer(wire, answer, 120);
    }

    /// A response, perhaps twice, within so many milliseconds.
    pub(crate) fn answer(&mut self, wire: WireId, octets: Vec<u8>, within: u64) {
        if self.net.faults.strike(Kind::AnswerTwice) {
            self.reply(wire, octets.clone(), 1, 2 * within);
        }
        self.reply(wire, octets, 1, within);
    }

    /// Octets that a peer sends between `low` and `high` milliseconds from now.
    pub(crate) fn reply(&mut self, wire: WireId, octets: Vec<u8>, low: u64, high: u64) {
        let wait = self.net.millis(low, high);
        self.net.later(wait, Turn::Send(wire, octets));
    }

    /// An account ends one of its sessions, whatever is in flight.
    pub(crate) fn esme_unbinds(&mut self) -> bool {
        let account = self.prng.below(ACCOUNTS.len() as u64) as usize;
        let sequence = self.number();
        let sessions = &mut self.esmes[account].sessions;
        let Some(session) = sessions.iter_mut().find(|session| session.bound && !session.unbinding) else {
            return false;
        };
        session.unbinding = true;
        let wire = session.wire;
        self.net.send(wire, &header(CommandId::UNBIND, CommandStatus::OK, sequence));
        true
    }
}
