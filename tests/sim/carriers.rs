//! The carriers: they accept, refuse, hang, and send receipts and MO, in time or not, once or twice.

use crate::esmes::header;
use crate::faults::Kind;
use crate::wire::WireId;
use crate::world::{Side, Turn, World};
use bindery::session::BindKind;
use bindery::smpp::bind::BindResp;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Pdu, write_pdu};
use bindery::smpp::receipt::{ReceiptFields, write_text};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm, write_c_octets};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Ids count from here, so that none is another in a different base; at both carriers alike, so that the same id
/// stands for other messages.
const FIRST_ID: u64 = 4_000_000_000;
/// How often a carrier offers a receipt.
const OFFERS: u32 = 4;

/// A receipt to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Dlr {
    carrier: usize,
    wire: WireId,
    id: String,
    /// The number of the handset.
    number: Vec<u8>,
    stat: &'static str,
    offers: u32,
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
            CommandId::SUBMIT_SM => self.carrier_takes(carrier, wire, &pdu),
            CommandId::QUERY_SM => {
                let mut answer = Vec::new();
                write_pdu(&mut answer, command.response(), CommandStatus::OK, sequence, |out| {
                    write_c_octets(out, b"1");
                    out.extend([0, 2, 0]);
                });
                self.answer(wire, answer, 60);
            }
            CommandId::ENQUIRE_LINK | CommandId::UNBIND => {
                self.reply(wire, header(command.response(), CommandStatus::OK, sequence), 1, 60);
            }
            CommandId::DELIVER_SM_RESP => self.carrier_answered(carrier, wire, &pdu),
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
        let command = CommandId::SUBMIT_SM_RESP;
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
        let Ok(sm) = Sm::parse_submit(pdu) else {
            return self.answer(wire, header(command, CommandStatus::SYSTEM_ERROR, sequence), 100);
        };
        self.carrier_accepts(carrier, wire, sequence, &sm);
    }

    fn carrier_accepts(&mut self, carrier: usize, wire: WireId, sequence: u32, sm: &Sm<'_>) {
        let command = CommandId::SUBMIT_SM_RESP;
        if self.net.faults.strike(Kind::WrongType) {
            self.reply(wire, header(CommandId::CANCEL_SM_RESP, CommandStatus::OK, sequence), 1, 20);
        }
        self.carriers[carrier].issued += 1;
        let id = (FIRST_ID + self.carriers[carrier].issued).to_string();
        // One that was in flight before, or none that will be soon: a number yet to come cannot be known.
        let mut answered = sequence;
        if self.net.faults.strike(Kind::WrongSequence) {
            answered = if self.prng.chance(1, 3) { sequence - 1 } else { sequence + 5000 };
        }
        let mut answer = Vec::new();
        MessageIdResp::new(id.as_bytes()).write(&mut answer, command, CommandStatus::OK, answered);
        if self.net.faults.strike(Kind::LateAnswer) {
            self.reply(wire, answer, 3000, 15_000);
        } else {
            self.answer(wire, answer, 150);
        }
        if sm.content.registered_delivery == 1 {
            self.plan_receipts(carrier, wire, id, sm.destination.digits.to_vec());
        }
    }

    fn plan_receipts(&mut self, carrier: usize, wire: WireId, id: String, number: Vec<u8>) {
        let stat = ["DELIVRD", "DELIVRD", "UNDELIV", "EXPIRED"][self.prng.below(4) as usize];
        let dlr = Dlr { carrier, wire, id, number, stat, offers: 0 };
        if self.prng.chance(1, 8) {
            let wait = self.net.millis(50, 1000);
            self.net.later(wait, Turn::Receipt(Dlr { stat: "ENROUTE", ..dlr.clone() }));
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
        let Some(wire) = wire else {
            if dlr.offers < OFFERS {
                self.net.later(Duration::from_secs(5), Turn::Receipt(dlr));
            }
            return;
        };
        let sequence = self.number();
        let octets = self.write_receipt(&dlr, sequence);
        self.carriers[dlr.carrier].offered.insert((wire, sequence), dlr);
        self.net.send(wire, &octets);
    }

    fn write_receipt(&mut self, dlr: &Dlr, sequence: u32) -> Vec<u8> {
        let token = format!("R{}", self.number());
        let mut text = Vec::new();
        write_text(
            &mut text,
            &ReceiptFields {
                id: dlr.id.as_bytes(),
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
        if self.prng.chance(1, 2) {
            let state = match dlr.stat {
                "DELIVRD" => 2,
                "EXPIRED" => 3,
                "UNDELIV" => 5,
                _ => 1,
            };
            write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, &[dlr.id.as_bytes(), b"\0"].concat());
            write_tlv(&mut tlvs, Tag::MESSAGE_STATE, &[state]);
        }
        let content =
            Content { esm_class: 4, short_message: &text, tlvs: Tlvs::lenient(&tlvs), ..Content::default() };
        let source = Address { ton: 1, npi: 1, digits: &dlr.number };
        let destination = Address { ton: 1, npi: 1, digits: b"14499" };
        let mut octets = Vec::new();
        Sm { source, destination, content, ..Sm::default() }.write(
            &mut octets,
            CommandId::DELIVER_SM,
            sequence,
        );
        octets
    }

    /// The node answered a delivery: what was refused is offered again.
    fn carrier_answered(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let Some(dlr) = self.carriers[carrier].offered.remove(&(wire, pdu.sequence_number())) else { return };
        if pdu.header().command_status != CommandStatus::OK && dlr.offers < OFFERS {
            let wait = self.net.millis(500, 4000);
            self.net.later(wait, Turn::Receipt(dlr));
        }
    }

    /// A receipt of a message that nobody sent.
    pub(crate) fn foreign_receipt(&mut self) -> bool {
        let carrier = self.prng.below(self.carriers.len() as u64) as usize;
        let among = self.delivering(carrier);
        let Some(wire) = self.pick(&among) else { return false };
        let id = (FIRST_ID + 900_000_000 + self.prng.below(1000)).to_string();
        let dlr = Dlr { carrier, wire, id, number: b"38267000001".to_vec(), stat: "DELIVRD", offers: OFFERS };
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
        let content = Content { short_message: text.as_bytes(), ..Content::default() };
        let source = Address { ton: 1, npi: 1, digits: b"38268123456" };
        let destination = Address { ton: 1, npi: 1, digits: b"14499" };
        let mut octets = Vec::new();
        Sm { source, destination, content, ..Sm::default() }.write(
            &mut octets,
            CommandId::DELIVER_SM,
            sequence,
        );
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
