//! What the peers of every case say. Owns, takes: nothing. Gives: octets. Never: the same destination twice in a batch.

use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu};
use bindery::smpp::receipt::{ReceiptFields, write_text};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};

/// Requests that one read brings, and one balance decision holds for.
pub(crate) const BATCH: u32 = 64;

const TEXT: &[u8] = &[b'x'; 160];

/// An eleven-digit number, another one for each `n` below 100,000.
pub(crate) fn number(n: u32) -> [u8; 11] {
    let mut digits = *b"38267100000";
    let mut rest = n;
    for digit in digits.iter_mut().rev().take(5) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// So many submit_sm of 160 octets of text, numbered from `first`: 211 octets each, 16 more with two TLVs.
pub(crate) fn submits(count: u32, first: u32, receipts: bool, tlvs: bool) -> Vec<u8> {
    let (mut out, mut options) = (Vec::new(), Vec::new());
    if tlvs {
        write_tlv(&mut options, Tag::USER_MESSAGE_REFERENCE, &[0, 7]);
        write_tlv(&mut options, Tag(0x1401), b"abcdef");
    }
    for at in 0..count {
        let content = Content {
            registered_delivery: u8::from(receipts),
            short_message: TEXT,
            tlvs: Tlvs::lenient(&options),
            ..Content::default()
        };
        let (source, destination) = (b"Bindery".as_slice(), number(at));
        let source = Address { ton: 5, npi: 0, digits: source };
        let destination = Address { ton: 1, npi: 1, digits: &destination };
        let sm = Sm { source, destination, content, ..Sm::default() };
        sm.write(&mut out, CommandId::SUBMIT_SM, first + at);
    }
    out
}

/// A submit_sm_resp that gives this message an id.
pub(crate) fn write_response(out: &mut Vec<u8>, id: u32, sequence: u32) {
    let id = id_of(id);
    let response = MessageIdResp::new(&id);
    response.write(out, CommandId::SUBMIT_SM_RESP, CommandStatus::OK, sequence);
}

/// The receipt of the message with this id, to the number `n`.
pub(crate) fn write_receipt(out: &mut Vec<u8>, id: u32, n: u32, sequence: u32) {
    let mut text = Vec::with_capacity(128);
    let fields = ReceiptFields {
        id: &id_of(id),
        sub: 1,
        dlvrd: 1,
        submit_date: b"2611211200",
        done_date: b"2611211201",
        stat: b"DELIVRD",
        err: b"000",
        text: b"",
    };
    write_text(&mut text, &fields);
    let content = Content { esm_class: 4, short_message: &text, ..Content::default() };
    let digits = number(n);
    let source = Address { ton: 1, npi: 1, digits: &digits };
    let sm = Sm { source, content, ..Sm::default() };
    sm.write(out, CommandId::DELIVER_SM, sequence);
}

/// Ten decimal digits.
pub(crate) fn id_of(id: u32) -> [u8; 10] {
    let (mut digits, mut rest) = ([b'0'; 10], id);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// The PDUs of a stream that consists of whole ones.
pub(crate) fn each(mut stream: &[u8]) -> impl Iterator<Item = Pdu<'_>> {
    std::iter::from_fn(move || match Frame::next(stream, PDU_MAX_DEFAULT) {
        Frame::Whole(pdu, rest) => {
            stream = rest;
            Some(pdu)
        }
        Frame::Partial(_) | Frame::Lost(_) => None,
    })
}

/// The same for good, for a case that looks at them again and again.
pub(crate) fn kept(stream: Vec<u8>) -> Vec<Pdu<'static>> {
    each(stream.leak()).collect()
}
