//! The carriers: what each does with a request is its script's word; what it delivers is offered until it is taken.

use crate::net::WireId;
use crate::streams::header;
use crate::world::{Side, Turn, World, number_of};
use bindery::prng::Prng;
use bindery::session::BindKind;
use bindery::smpp::bind::BindResp;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::Pdu;
use bindery::smpp::receipt::{ReceiptFields, write_text};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::time::{Duration, Instant};
use std::collections::HashMap;

/// A request for a handset, as a script sees it.
pub(crate) struct Asked<'a> {
    pub(crate) pdu: &'a Pdu<'a>,
    /// Which of the world's messages it is.
    pub(crate) message: u32,
    pub(crate) now: Instant,
    pub(crate) wire: WireId,
}

impl Asked<'_> {
    /// Its fields.
    pub(crate) fn sm(&self) -> Sm<'_> {
        Sm::parse_submit(self.pdu).expect("the world writes submit_sm")
    }
}

/// What a carrier does about a request, so much later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// It is answered.
    Answer(Duration, CommandStatus),
    /// It is answered generic_nack.
    Nack(Duration),
    /// A receipt with this stat.
    Receipt(Duration, &'static str),
    /// The link ends at once.
    Cut,
}

/// What a carrier does with requests.
pub(crate) type Script = Box<dyn FnMut(&mut Prng, &Asked<'_>) -> Vec<Act>>;

/// How a response, and how a receipt, writes the number of a message.
pub(crate) type Ids = (fn(u64) -> String, fn(u64) -> String);

/// Where a receipt says its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Text,
    Tlv,
    Both,
    /// The text has another number.
    TlvNotText,
}

/// A receipt that a carrier is to send.
#[derive(Debug, Clone)]
pub(crate) struct Dlr {
    carrier: usize,
    wire: WireId,
    id: u64,
    message: u32,
    number: Vec<u8>,
    stat: &'static str,
    offers: u32,
}

/// One carrier.
pub(crate) struct Smsc {
    pub(crate) sessions: Vec<(WireId, BindKind)>,
    pub(crate) script: Script,
    /// How a response, and how a receipt, writes the number of a message.
    pub(crate) ids: Ids,
    pub(crate) says: Says,
    /// The first number.
    pub(crate) first: u64,
    /// Requests for handsets that it saw.
    pub(crate) asked: u64,
    /// Receipts go to another session than the request came by, when there is one.
    pub(crate) elsewhere: bool,
    /// It reacts to nothing.
    pub(crate) hung: bool,
    /// Binds are refused with this.
    pub(crate) refuses: Option<CommandStatus>,
    /// Binds that it was asked for.
    pub(crate) binds: u64,
    /// A receipt is offered so often at most.
    pub(crate) offers_max: u32,
    /// A receipt that was refused is offered again after this.
    pub(crate) again: Duration,
    pub(crate) receipts_taken: u64,
    pub(crate) receipts_refused: u64,
    /// Answers to unbind, by how it was ended.
    pub(crate) unbinds: u64,
    pub(crate) enquires: u64,
    offered: HashMap<(WireId, u32), Dlr>,
}

/// A carrier that accepts everything after five milliseconds and sends no receipt.
impl Default for Smsc {
    fn default() -> Self {
        Self {
            sessions: Vec::new(),
            script: Box::new(|_, _| vec![Act::Answer(Duration::from_millis(5), CommandStatus::OK)]),
            ids: (|id| id.to_string(), |id| id.to_string()),
            says: Says::Both,
            first: 4_000_000_000,
            asked: 0,
            elsewhere: false,
            hung: false,
            refuses: None,
            binds: 0,
            offers_max: 20,
            again: Duration::from_secs(1),
            receipts_taken: 0,
            receipts_refused: 0,
            unbinds: 0,
            enquires: 0,
            offered: HashMap::new(),
        }
    }
}

/// message_state of a stat.
pub(crate) fn state_of(stat: &str) -> u8 {
    match stat {
        "SCHEDLD" => 0,
        "ENROUTE" => 1,
        "DELIVRD" => 2,
        "EXPIRED" => 3,
        "DELETED" => 4,
        "UNDELIV" => 5,
        "ACCEPTD" => 6,
        "UNKNOWN" => 7,
        "REJECTD" => 8,
        other => panic!("{other} is no stat"),
    }
}

impl World {
    /// What a carrier does from now on.
    pub(crate) fn script(
        &mut self,
        carrier: usize,
        script: impl FnMut(&mut Prng, &Asked<'_>) -> Vec<Act> + 'static,
    ) {
        self.carriers[carrier].script = Box::new(script);
    }

    pub(crate) fn carrier_hears(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let (command, sequence) = (pdu.command_id(), pdu.sequence_number());
        if self.carriers[carrier].hung {
            return;
        }
        match command {
            CommandId::SUBMIT_SM => self.carrier_is_asked(carrier, wire, pdu),
            CommandId::ENQUIRE_LINK => {
                self.carriers[carrier].enquires += 1;
                self.net.send(wire, header(command.response(), CommandStatus::OK, sequence));
            }
            CommandId::UNBIND => {
                self.carriers[carrier].unbinds += 1;
                self.net.send(wire, header(command.response(), CommandStatus::OK, sequence));
            }
            CommandId::DELIVER_SM_RESP => self.carrier_answered(carrier, wire, pdu),
            _ => {
                if let Some(kind) = BindKind::of(command).filter(|_| !command.is_response()) {
                    let smsc = &mut self.carriers[carrier];
                    smsc.binds += 1;
                    if let Some(status) = smsc.refuses {
                        return self.net.send(wire, header(command.response(), status, sequence));
                    }
                    let mut answer = Vec::new();
                    let response = BindResp { system_id: Some(b"smsc"), ..BindResp::default() };
                    response.write(&mut answer, command.response(), CommandStatus::OK, sequence);
                    self.carriers[carrier].sessions.push((wire, kind));
                    self.net.send(wire, answer);
                }
            }
        }
    }

    fn carrier_is_asked(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let message = number_of(pdu).expect("the world numbers its messages");
        let known = &mut self.messages[message as usize];
        known.copies += 1;
        known.carrier = carrier as u8;
        let now = self.net.now.mono;
        let smsc = &mut self.carriers[carrier];
        let asked = Asked { pdu, message, now, wire };
        let id = smsc.first + smsc.asked;
        smsc.asked += 1;
        let acts = (smsc.script)(&mut self.prng, &asked);
        let text = (smsc.ids.0)(id);
        let (sequence, response) = (pdu.sequence_number(), pdu.command_id().response());
        for act in acts {
            match act {
                Act::Answer(wait, CommandStatus::OK) => {
                    let mut answer = Vec::new();
                    MessageIdResp::new(text.as_bytes()).write(
                        &mut answer,
                        response,
                        CommandStatus::OK,
                        sequence,
                    );
                    self.net.later(wait, Turn::Send(wire, answer));
                }
                Act::Answer(wait, status) => {
                    self.net.later(wait, Turn::Send(wire, header(response, status, sequence)));
                }
                Act::Nack(wait) => {
                    let nack = header(CommandId::GENERIC_NACK, CommandStatus::SYSTEM_ERROR, sequence);
                    self.net.later(wait, Turn::Send(wire, nack));
                }
                Act::Receipt(wait, stat) => {
                    let number = asked.sm().destination.digits.to_vec();
                    let dlr = Dlr { carrier, wire, id, message, number, stat, offers: 0 };
                    self.net.later(wait, Turn::Receipt(dlr));
                }
                Act::Cut => self.net.reset(wire),
            }
        }
    }

    pub(crate) fn send_receipt(&mut self, mut dlr: Dlr) {
        let smsc = &self.carriers[dlr.carrier];
        let receiving = smsc.sessions.iter().filter(|(_, kind)| kind.receives()).map(|(wire, _)| *wire);
        let receiving: Vec<WireId> = receiving.collect();
        let others: Vec<WireId> = receiving.iter().copied().filter(|wire| *wire != dlr.wire).collect();
        let same = receiving.contains(&dlr.wire) && (!smsc.elsewhere || others.is_empty());
        let wire = match (same, others.is_empty()) {
            (true, _) => Some(dlr.wire),
            (false, true) => None,
            (false, false) => Some(others[self.prng.below(others.len() as u64) as usize]),
        };
        dlr.offers += 1;
        let Some(wire) = wire else { return self.offer_later(dlr) };
        let sequence = self.number();
        let octets = self.write_receipt(&dlr, sequence);
        self.carriers[dlr.carrier].offered.insert((wire, sequence), dlr);
        self.net.later(Duration::from_secs(45), Turn::Overdue(wire, sequence));
        self.net.send(wire, octets);
    }

    fn offer_later(&mut self, dlr: Dlr) {
        let smsc = &self.carriers[dlr.carrier];
        if dlr.offers < smsc.offers_max {
            let again = smsc.again;
            self.net.later(again, Turn::Receipt(dlr));
        }
    }

    pub(crate) fn delivery_overdue(&mut self, wire: WireId, sequence: u32) {
        let Some(Side::Carrier(carrier)) = self.sides.get(wire).copied() else { return };
        if let Some(dlr) = self.carriers[carrier].offered.remove(&(wire, sequence)) {
            self.offer_later(dlr);
        }
    }

    fn write_receipt(&mut self, dlr: &Dlr, sequence: u32) -> Vec<u8> {
        let smsc = &self.carriers[dlr.carrier];
        let id = (smsc.ids.1)(dlr.id);
        let wrong = (smsc.ids.1)(dlr.id + 77);
        let in_text = match smsc.says {
            Says::Text | Says::Both => Some(&id),
            Says::Tlv => None,
            Says::TlvNotText => Some(&wrong),
        };
        let mut text = Vec::new();
        let (sub, dlvrd) = (1, u16::from(dlr.stat == "DELIVRD"));
        let note = format!("M{}", dlr.message);
        write_text(
            &mut text,
            &ReceiptFields {
                id: in_text.map_or(&b""[..], |id| id.as_bytes()),
                sub,
                dlvrd,
                submit_date: b"2611211200",
                done_date: b"2611211201",
                stat: dlr.stat.as_bytes(),
                err: b"000",
                text: note.as_bytes(),
            },
        );
        let mut tlvs = Vec::new();
        if smsc.says != Says::Text {
            write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, &[id.as_bytes(), b"\0"].concat());
            write_tlv(&mut tlvs, Tag::MESSAGE_STATE, &[state_of(dlr.stat)]);
        }
        let tlvs = Tlvs::lenient(&tlvs);
        let content = Content { esm_class: 4, short_message: &text, tlvs, ..Content::default() };
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

    fn carrier_answered(&mut self, carrier: usize, wire: WireId, pdu: &Pdu<'_>) {
        let Some(dlr) = self.carriers[carrier].offered.remove(&(wire, pdu.sequence_number())) else { return };
        if pdu.header().command_status == CommandStatus::OK {
            self.carriers[carrier].receipts_taken += 1;
        } else {
            self.carriers[carrier].receipts_refused += 1;
            self.offer_later(dlr);
        }
    }
}
