//! PDUs that peers send and hear. Owns: nothing. Takes: what a test means. Gives: octets, and reads them back.

use crate::session::BindKind;
use crate::smpp::bind::Bind;
use crate::smpp::command::CommandId;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::multi::{Destination, SubmitMulti};
use crate::smpp::operations::{CancelSm, QuerySm, ReplaceSm};
use crate::smpp::receipt::{Receipt, ReceiptFields, write_text};
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::{Address, Content, Sm};
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::{Tag, Tlvs, write_tlv};

/// A PDU that a peer was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard(pub(super) Vec<u8>);

impl Heard {
    pub(super) fn pdu(&self) -> Pdu<'_> {
        Pdu::whole(&self.0).unwrap()
    }

    pub(super) fn command(&self) -> CommandId {
        self.pdu().command_id()
    }

    pub(super) fn status(&self) -> CommandStatus {
        self.pdu().header().command_status
    }

    pub(super) fn sequence(&self) -> u32 {
        self.pdu().sequence_number()
    }

    /// The message_id of a response.
    pub(super) fn id(&self) -> String {
        String::from_utf8(MessageIdResp::parse(&self.pdu()).id.to_vec()).unwrap()
    }

    /// A submit_sm or deliver_sm.
    pub(super) fn sm(&self) -> Sm<'_> {
        Sm::parse_deliver(&self.pdu()).unwrap()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.sm().content.text()).into_owned()
    }

    pub(super) fn destination(&self) -> String {
        String::from_utf8_lossy(self.sm().destination.digits).into_owned()
    }

    /// The ids of a receipt: in its TLV and in its text.
    pub(super) fn receipt_ids(&self) -> (Option<String>, Option<String>) {
        let sm = self.sm();
        let receipt = Receipt::parse(&sm, false).unwrap();
        let text = |id: Option<&[u8]>| id.map(|id| String::from_utf8_lossy(id).into_owned());
        (text(receipt.tlv_id), text(receipt.text_id()))
    }
}

pub(super) fn number(digits: &str) -> Address<'_> {
    Address { ton: 1, npi: 1, digits: digits.as_bytes() }
}

pub(super) fn bind(system_id: &str, password: &str, kind: BindKind, version: u8) -> Vec<u8> {
    let bind = Bind {
        system_id: system_id.as_bytes(),
        password: password.as_bytes(),
        interface_version: version,
        ..Bind::default()
    };
    let mut out = Vec::new();
    bind.write(&mut out, kind.command(), 1);
    out
}

/// A submit_sm that asks for a final receipt.
pub(super) fn submit(destination: &str, sequence: u32) -> Vec<u8> {
    submit_text(destination, sequence, "hello", 1)
}

pub(super) fn submit_text(destination: &str, sequence: u32, text: &str, registered_delivery: u8) -> Vec<u8> {
    let content = Content { registered_delivery, short_message: text.as_bytes(), ..Content::default() };
    let sm = Sm { source: number("14499"), destination: number(destination), content, ..Sm::default() };
    let mut out = Vec::new();
    sm.write(&mut out, CommandId::SUBMIT_SM, sequence);
    out
}

/// What a receipt of a test says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dlr<'a> {
    pub(super) id: &'a str,
    /// Who the message went to.
    pub(super) number: &'a str,
    pub(super) stat: &'a str,
    /// In TLVs as well as in the text.
    pub(super) tlvs: bool,
    /// What it repeats of the message.
    pub(super) text: &'a str,
}

impl Default for Dlr<'_> {
    fn default() -> Self {
        Self { id: "", number: "", stat: "DELIVRD", tlvs: false, text: "hello" }
    }
}

/// A final receipt, DELIVRD, in text only.
pub(super) fn receipt(id: &str, destination: &str, sequence: u32) -> Vec<u8> {
    Dlr { id, number: destination, ..Dlr::default() }.write(sequence)
}

impl Dlr<'_> {
    pub(super) fn write(&self, sequence: u32) -> Vec<u8> {
        let fields = ReceiptFields {
            id: self.id.as_bytes(),
            sub: 1,
            dlvrd: 1,
            submit_date: b"2611210800",
            done_date: b"2611210801",
            stat: self.stat.as_bytes(),
            err: b"000",
            text: self.text.as_bytes(),
        };
        let mut text = Vec::new();
        write_text(&mut text, &fields);
        let mut tlvs = Vec::new();
        if self.tlvs {
            write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, format!("{}\0", self.id).as_bytes());
            write_tlv(&mut tlvs, Tag::MESSAGE_STATE, &[2]);
        }
        let content = Content {
            esm_class: 0x04,
            short_message: &text,
            tlvs: Tlvs::lenient(&tlvs),
            ..Content::default()
        };
        deliver(self.number, "14499", content, sequence)
    }
}

pub(super) fn deliver(source: &str, destination: &str, content: Content<'_>, sequence: u32) -> Vec<u8> {
    let sm = Sm { source: number(source), destination: number(destination), content, ..Sm::default() };
    let mut out = Vec::new();
    sm.write(&mut out, CommandId::DELIVER_SM, sequence);
    out
}

/// A message from a handset.
pub(super) fn mo(source: &str, destination: &str, sequence: u32) -> Vec<u8> {
    let content = Content { short_message: b"VOTE 7", ..Content::default() };
    deliver(source, destination, content, sequence)
}

/// A header-only PDU.
pub(super) fn header(command: CommandId, status: CommandStatus, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write_header_only(&mut out, command, status, sequence);
    out
}

/// The answer to a request, with a message_id.
pub(super) fn answer(request: &Heard, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let response = MessageIdResp::new(id.as_bytes());
    response.write(&mut out, request.command().response(), CommandStatus::OK, request.sequence());
    out
}

/// The answer to a request, header-only.
pub(super) fn refusal(request: &Heard, status: CommandStatus) -> Vec<u8> {
    header(request.command().response(), status, request.sequence())
}

pub(super) fn query(id: &str, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let query = QuerySm { message_id: id.as_bytes(), source: number("14499"), ..QuerySm::default() };
    query.write(&mut out, CommandId::QUERY_SM, sequence);
    out
}

pub(super) fn cancel(id: &str, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let cancel = CancelSm { message_id: id.as_bytes(), source: number("14499"), ..CancelSm::default() };
    cancel.write(&mut out, sequence);
    out
}

pub(super) fn replace(id: &str, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let replace = ReplaceSm { message_id: id.as_bytes(), source: number("14499"), ..ReplaceSm::default() };
    replace.write(&mut out, sequence);
    out
}

pub(super) fn multi(destinations: &[&str], sequence: u32) -> Vec<u8> {
    let mut octets = vec![destinations.len() as u8];
    for destination in destinations {
        Destination::Address(number(destination)).write(&mut octets);
    }
    let mut cursor = crate::smpp::cursor::Cursor::new(&octets, 0);
    let destinations = crate::smpp::multi::Destinations::parse(&mut cursor).unwrap();
    let content = Content { registered_delivery: 1, short_message: b"hello", ..Content::default() };
    let mut out = Vec::new();
    let multi = SubmitMulti { source: number("14499"), destinations, content, ..SubmitMulti::default() };
    multi.write(&mut out, sequence);
    out
}
