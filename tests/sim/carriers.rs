//! The carriers: they accept, refuse, hang, and send receipts and MO, in time or not, once or twice, until they are
//! taken.

use crate::esmes::header;
use crate::faults::Kind;
use crate::wire::WireId;
use crate::world::{Side, Turn, World};
use bindery::session::BindKind;
use bindery::smpp::bind::BindResp;
use bindery::smpp::command::CommandId;
use bindery::smpp::data::DataSm;
use bindery::smpp::frame::{Pdu, write_pdu};
use bindery::smpp::multi::{Destination, SubmitMulti, Unsuccess};
use bindery::smpp::operations::{QuerySm, QuerySmResp};
use bindery::smpp::receipt::{ReceiptFields, write_text};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm, write_c_octets};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Where MO and receipts go.
const HOME: Address<'static> = Address { ton: 1, npi: 1, digits: b"14499" };
/// How long a carrier waits for the answer to a delivery.
const PATIENCE: Duration = Duration::from_secs(12);

/// A receipt to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Dlr {
    carrier: usize,
    wire: WireId,
    /// The message, in the order in which this carrier accepted.
    id: u64,
    /// The number of the handset.
    number: Vec<u8>,
    stat: &'static str,
    offers: u32,
    /// It is offered until it is taken.
    insists: bool,
}

/// What a request for handsets says.
struct Taken {
    registered: bool,
    numbers: Vec<Vec<u8>>,
}

impl Taken {
    fn parse(pdu: &Pdu<'_>) -> Option<Self> {
        let (registered_delivery, numbers) = match pdu.command_id() {
            CommandId::SUBMIT_SM => {
                let sm = Sm::parse_submit(pdu).ok()?;
                (sm.content.registered_delivery, vec![sm.destination.digits.to_vec()])
            }
            CommandId::DATA_SM => {
                let data = DataSm::parse(pdu).ok()?;
                (data.registered_delivery, vec![data.destination.digits.to_vec()])
            }
            _ => {
                let multi = SubmitMulti::parse(pdu).ok()?;
                let digits = multi.destinations.iter().map(|destination| match destination {
                    Destination::Address(address) => address.digits.to_vec(),
                    Destination::List(name) => name.to_vec(),
                });
                (multi.content.registered_delivery, digits.collect())
            }
        };
        Some(Self { registered: registered_delivery == 1, numbers })
    }
}

/// A carrier's SMSC.
#[derive(Debug, Default)]
pub(crate) struct Smsc {
    /// Sessions that are bound, with their mode.
    pub(crate) sessions: BTreeMap<WireId, BindKind>,
    issued: u64,
    hung_until: Instant,
    /// Receipts that wait for an answer.
    offered: BTreeMap<(WireId, u32), Dlr>,
}

impl World {
    /// The node has connected to a carrier.
    pub(crate) fn carrier_connected(&mut self, wire: WireId, carrier: usize) {
        self.sides.insert(wire, Side::Carrier(carrier));
    }

    /// A PDU for a carrier.
    pub(crate) fn carrier_hears(&mut self, carrier: usize, wire: WireId, octets: &[u8]) {
        let Some(pdu) = Pdu::whole(octets) else { return };
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        if self.net.now.mono < self.carriers[carrier].hung_until && !self.quiet {
            return;
        }
        match command {
            CommandId::SUBMIT_SM | CommandId::SUBMIT_MULTI | CommandId::DATA_SM => {
                self.carrier_takes(carrier, wire, &pdu);
            }
            CommandId::QUERY_SM => {
                let Ok(query) = QuerySm::parse(&pdu) else { return };
                let mut answer = Vec::new();
                let response =
                    QuerySmResp { message_id: query.message_id, message_state: 2, ..QuerySmResp::default() };
                response.write(&mut answer, CommandStatus::OK, sequence);
                self.answer(wire, answer, 60);
            }
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.reply(wire, header(command.response(), CommandStatus::OK, sequence), 1, 60);
            }
            CommandId::DELIVER_SM_RESP | CommandId::DATA_SM_RESP => {
                self.carrier_answered(carrier, wire, &pdu);
            }
            _ => {
                if let Some(kind) = BindKind::of(command).filter(|_| !command.is_response()) {
                    self.carrier_binds(carrier, wire, kind, sequence);
                }
            }
        }
    }

    fn carrier_binds(&mut self, carrier: usize, wire: WireId, kind: BindKind, sequence: u32) {
        let mut answer = Vec::new();
        if self.net.faults.strike(Kind::BindRefused) {
            let statuses =
                [CommandStatus::BIND_FAILED, CommandStatus::ALREADY_BOUND, CommandStatus::INVALID_PASSWORD];
            let status = statuses[self.prng.below(3) as usize];
            answer = header(kind.command().response(), status, sequence);
        } else {
            let response = BindResp { system_id: Some(b"smsc"), ..BindResp::default() };
            response.write(&mut answer, kind.command().response(), CommandStatus::OK, sequence);
            self.carriers[carrier].sessions.insert(wire, kind);
        }
        self.reply(wire, answer, 1, 60);
    }

    fn carrier_takes(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let sequence = pdu.sequence_number();
        let command = pdu.command_id().response();
        if self.net.faults.strike(Kind::NoAnswer) {
            return;
        }
        let refusal = if self.net.faults.strike(Kind::Throttled) {
            Some(CommandStatus::THROTTLED)
        } else if self.net.faults.strike(Kind::Refused) {
            let statuses = [
                CommandStatus::INVALID_DESTINATION,
                CommandStatus::QUEUE_FULL,
                CommandStatus::SYSTEM_ERROR,
                CommandStatus(0x451),
            ];
            Some(statuses[self.prng.below(4) as usize])
        } else {
            None
        };
        if let Some(status) = refusal {
            return self.answer(wire, header(command, status, sequence), 100);
        }
        if self.net.faults.strike(Kind::Nack) {
            let nack = header(CommandId::GENERIC_NACK, CommandStatus::SYSTEM_ERROR, sequence);
            return self.answer(wire, nack, 100);
        }
        let Some(taken) = Taken::parse(pdu) else {
            return self.answer(wire, header(command, CommandStatus::SYSTEM_ERROR, sequence), 100);
        };
        self.carrier_accepts(carrier, wire, pdu, taken);
    }

    fn carrier_accepts(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>, mut taken: Taken) {
        let (command, sequence) = (pdu.command_id().response(), pdu.sequence_number());
        if self.net.faults.strike(Kind::WrongType) {
            self.reply(wire, header(CommandId::CANCEL_SM_RESP, CommandStatus::OK, sequence), 1, 20);
        }
        let ids = self.setup.carriers[carrier].ids;
        let number = ids.first + self.carriers[carrier].issued;
        self.carriers[carrier].issued += 1;
        let id = ids.in_response(number);
        // One that was in flight before, or none that will be soon: a number yet to come cannot be known.
        let mut answered = sequence;
        if self.net.faults.strike(Kind::WrongSequence) {
            answered = if self.prng.chance(1, 3) { sequence - 1 } else { sequence + 5000 };
        }
        let mut answer = Vec::new();
        if pdu.command_id() == CommandId::SUBMIT_MULTI {
            let refused: Vec<_> =
                taken.numbers.extract_if(.., |_| self.net.faults.strike(Kind::PartlyRefused)).collect();
            write_pdu(&mut answer, command, CommandStatus::OK, answered, |out| {
                write_c_octets(out, id.as_bytes());
                out.push(refused.len() as u8);
                for digits in &refused {
                    let destination = Address { ton: 1, npi: 1, digits };
                    Unsuccess { destination, status: CommandStatus::INVALID_DESTINATION }.write(out);
                }
            });
        } else {
            MessageIdResp::new(id.as_bytes()).write(&mut answer, command, CommandStatus::OK, answered);
        }
        if self.net.faults.strike(Kind::LateAnswer) {
            self.reply(wire, answer, 3000, 15_000);
        } else {
            self.answer(wire, answer, 150);
        }
        for handset in taken.numbers.into_iter().filter(|_| taken.registered) {
            let dlr = Dlr {
                carrier,
                wire,
                id: number,
                number: handset,
                stat: ["DELIVRD", "DELIVRD", "UNDELIV", "EXPIRED"][self.prng.below(4) as usize],
                offers: 0,
                insists: true,
            };
            self.plan_receipts(dlr);
        }
    }

    fn plan_receipts(&mut self, dlr: Dlr) {
        // What became of it on the way, said before or after the end of it.
        for _ in 0..self.prng.below(9).saturating_sub(6) {
            let wait = self.net.millis(50, 6000);
            let on_the_way = Dlr { stat: "ENROUTE", insists: false, ..dlr.clone() };
            self.net.later(wait, Turn::Receipt(on_the_way));
        }
        if self.net.faults.strike(Kind::ReceiptLost) {
            return;
        }
        let wait = if self.net.faults.strike(Kind::ReceiptEarly) {
            Duration::from_micros(10)
        } else if self.net.faults.strike(Kind::ReceiptLate) {
            self.net.millis(20_000, 120_000)
        } else {
            self.net.millis(100, 4000)
        };
        if self.net.faults.strike(Kind::ReceiptTwice) {
            let again = self.net.millis(100, 8000);
            self.net.later(again, Turn::Receipt(dlr.clone()));
        }
        self.net.later(wait, Turn::Receipt(dlr));
    }

    /// The sessions of a carrier on which it may deliver.
    fn delivering(&mut self, carrier: usize) -> Vec<WireId> {
        let net = &self.net;
        self.carriers[carrier].sessions.retain(|wire, _| net.is_open(*wire));
        let sessions = self.carriers[carrier].sessions.iter();
        sessions.filter(|(_, kind)| kind.receives()).map(|(wire, _)| *wire).collect()
    }

    /// A receipt is due.
    pub(crate) fn send_receipt(&mut self, mut dlr: Dlr) {
        if self.hushed {
            return;
        }
        let among = self.delivering(dlr.carrier);
        let elsewhere = among.len() > 1 && self.net.faults.strike(Kind::ReceiptElsewhere);
        let wire = if among.contains(&dlr.wire) && !elsewhere { Some(dlr.wire) } else { self.pick(&among) };
        dlr.offers += 1;
        let Some(wire) = wire else { return self.offer_later(dlr) };
        let sequence = self.number();
        let octets = self.write_receipt(&dlr, sequence);
        self.carriers[dlr.carrier].offered.insert((wire, sequence), dlr);
        self.net.later(PATIENCE, Turn::Overdue(wire, sequence));
        self.net.send(wire, &octets);
    }

    /// A receipt that was not taken is offered again, more and more seldom.
    fn offer_later(&mut self, dlr: Dlr) {
        if dlr.insists || dlr.offers < 4 {
            let longest = 1000 << dlr.offers.min(3);
            let wait = self.net.millis(500, longest);
            self.net.later(wait, Turn::Receipt(dlr));
        }
    }

    /// A delivery should have been answered by now.
    pub(crate) fn delivery_overdue(&mut self, wire: WireId, sequence: u32) {
        let mut carriers = self.carriers.iter_mut();
        let dlr = carriers.find_map(|carrier| carrier.offered.remove(&(wire, sequence)));
        if let Some(dlr) = dlr {
            self.offer_later(dlr);
        }
    }

    fn write_receipt(&mut self, dlr: &Dlr, sequence: u32) -> Vec<u8> {
        let script = self.setup.carriers[dlr.carrier];
        let id = script.ids.in_receipt(dlr.id);
        let token = format!("R{}", self.number());
        let mut text = Vec::new();
        write_text(
            &mut text,
            &ReceiptFields {
                id: id.as_bytes(),
                sub: 1,
                dlvrd: 1,
                submit_date: b"2611211200",
                done_date: b"2611211201",
                stat: dlr.stat.as_bytes(),
                err: b"000",
                text: token.as_bytes(),
            },
        );
        let mut tlvs = Vec::new();
        if !script.v33 && self.prng.chance(1, 2) {
            let state = match dlr.stat {
                "DELIVRD" => 2,
                "EXPIRED" => 3,
                "UNDELIV" => 5,
                _ => 1,
            };
            write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, &[id.as_bytes(), b"\0"].concat());
            write_tlv(&mut tlvs, Tag::MESSAGE_STATE, &[state]);
        }
        // A peer of version 3.3 need not mark receipts.
        let esm_class = if script.v33 && self.prng.chance(1, 4) { 0 } else { 4 };
        self.write_delivery(dlr.carrier, &dlr.number, esm_class, &text, &mut tlvs, sequence)
    }

    /// A deliver_sm, or a data_sm of a carrier that sends such.
    fn write_delivery(
        &mut self,
        carrier: usize,
        from: &[u8],
        esm_class: u8,
        text: &[u8],
        tlvs: &mut Vec<u8>,
        sequence: u32,
    ) -> Vec<u8> {
        let data_in = self.setup.carriers[carrier].data_in;
        let source = Address { ton: 1, npi: 1, digits: from };
        let mut octets = Vec::new();
        if data_in > 0 && self.prng.chance(1, data_in) {
            write_tlv(tlvs, Tag::MESSAGE_PAYLOAD, text);
            let tlvs = Tlvs::lenient(tlvs);
            let data = DataSm { source, destination: HOME, esm_class, tlvs, ..DataSm::default() };
            data.write(&mut octets, sequence);
            return octets;
        }
        let content =
            Content { esm_class, short_message: text, tlvs: Tlvs::lenient(tlvs), ..Content::default() };
        let sm = Sm { source, destination: HOME, content, ..Sm::default() };
        sm.write(&mut octets, CommandId::DELIVER_SM, sequence);
        octets
    }

    /// The node answered a delivery: what was refused is offered again.
    fn carrier_answered(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let Some(dlr) = self.carriers[carrier].offered.remove(&(wire, pdu.sequence_number())) else { return };
        if pdu.header().command_status != CommandStatus::OK {
            self.offer_later(dlr);
        }
    }

    /// A receipt of a message that nobody sent.
    pub(crate) fn foreign_receipt(&mut self) -> bool {
        let carrier = self.prng.below(self.carriers.len() as u64) as usize;
        let among = self.delivering(carrier);
        let Some(wire) = self.pick(&among) else { return false };
        let id = self.setup.carriers[carrier].ids.first + 900_000_000 + self.prng.below(1000);
        let (number, stat) = (b"38267000001".to_vec(), "DELIVRD");
        let dlr = Dlr { carrier, wire, id, number, stat, offers: 3, insists: false };
        self.send_receipt(dlr);
        true
    }

    /// Somebody writes to us.
    pub(crate) fn send_mo(&mut self, carrier: usize) {
        let wait = self.net.millis(200, 5000);
        self.net.later(wait, Turn::Mo(carrier));
        if self.quiet {
            return;
        }
        let among = self.delivering(carrier);
        let Some(wire) = self.pick(&among) else { return };
        let (sequence, text) = (self.number(), format!("MO{}", self.number()));
        let octets =
            self.write_delivery(carrier, b"38268123456", 0, text.as_bytes(), &mut Vec::new(), sequence);
        self.net.send(wire, &octets);
    }

    /// A carrier reacts to nothing for a while.
    pub(crate) fn hang(&mut self) -> bool {
        let carrier = self.prng.below(self.carriers.len() as u64) as usize;
        self.carriers[carrier].hung_until = self.net.now.mono.after(self.net.millis(1000, 15_000));
        true
    }

    /// A carrier ends one of its sessions, whatever is in flight.
    pub(crate) fn carrier_unbinds(&mut self) -> bool {
        let carrier = self.prng.below(self.carriers.len() as u64) as usize;
        let among = self.delivering(carrier);
        let Some(wire) = self.pick(&among) else { return false };
        self.carriers[carrier].sessions.remove(&wire);
        let sequence = self.number();
        self.net.send(wire, &header(CommandId::UNBIND, CommandStatus::OK, sequence));
        true
    }
}
