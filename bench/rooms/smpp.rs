//! Bytes ↔ views.
//!
//! Sketch: a submit_sm with 160 octets of text is 211 octets, four cache lines, read from the receive buffer in order.
//! Framing touches the first 16 octets. The view walks five C strings and a dozen octets before the text, 35 octets,
//! and skips the text; with TLVs it steps from header to header. The one copy writes four cache lines. No system call.
//! Memory that streams through one core's L1 at 32 octets a cycle would allow a copy in about 7 cycles; what costs is
//! the walk over the strings, octet by octet: 35 octets, so some 100 cycles for view and check.

use crate::case::{Case, Work, warmed};
use crate::pdus::{BATCH, each, kept, submits, write_receipt, write_response};
use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::check::check_request;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, Pdu, copy_with_sequence};
use bindery::smpp::receipt::{Receipt, rewrite_id_of};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::Sm;
use bindery::smpp::status::CommandStatus;
use std::hint::black_box;

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: BATCH as u64, rounds: 256, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] = &[
    case("smpp/frame", frame),
    case("smpp/view", view),
    case("smpp/view_tlvs", view_tlvs),
    case("smpp/check", check),
    case("smpp/copy", copy),
    case("smpp/response_id", response_id),
    case("smpp/receipt", receipt),
    case("smpp/receipt_id", receipt_id),
];

/// Cuts a stream into PDUs.
fn frame() -> Box<dyn Work> {
    let stream = submits(BATCH, 1, false, false);
    let work = move || {
        let mut rest = black_box(stream.as_slice());
        while let Frame::Whole(pdu, behind) = Frame::next(rest, PDU_MAX_DEFAULT) {
            black_box(pdu.sequence_number());
            rest = behind;
        }
    };
    warmed(work, 10)
}

/// Reads a submit as far as routing needs it, which checks every field.
fn view() -> Box<dyn Work> {
    viewed(submits(BATCH, 1, false, false))
}

/// The same with two TLVs.
fn view_tlvs() -> Box<dyn Work> {
    viewed(submits(BATCH, 1, false, true))
}

fn viewed(stream: Vec<u8>) -> Box<dyn Work> {
    let pdus = kept(stream);
    let work = move || {
        for pdu in &pdus {
            let sm = Sm::parse_submit(black_box(pdu));
            assert!(sm.is_ok_and(|sm| black_box(sm.destination.digits).len() == 11));
        }
    };
    warmed(work, 10)
}

/// Says whether a request is sound.
fn check() -> Box<dyn Work> {
    let pdus = kept(submits(BATCH, 1, false, false));
    let work = move || pdus.iter().for_each(|pdu| assert!(check_request(black_box(pdu)).is_ok()));
    warmed(work, 10)
}

/// The one copy, into an output buffer, with the sequence number patched.
fn copy() -> Box<dyn Work> {
    let pdus = kept(submits(BATCH, 1, false, false));
    let mut out = Vec::new();
    let work = move || {
        out.clear();
        pdus.iter().for_each(|pdu| copy_with_sequence(&mut out, black_box(pdu), black_box(7)));
        black_box(out.as_slice());
    };
    warmed(work, 10)
}

/// A carrier's response with the ESME's id and sequence number in it.
fn response_id() -> Box<dyn Work> {
    let mut stream = Vec::new();
    (0..BATCH).for_each(|at| write_response(&mut stream, at, at));
    let (pdus, mut out) = (kept(stream), Vec::new());
    let work = move || {
        out.clear();
        for pdu in &pdus {
            let response = MessageIdResp::parse(black_box(pdu)).with_id(black_box(b"1234567890123456789"));
            response.write(&mut out, CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 7);
        }
        black_box(out.as_slice());
    };
    warmed(work, 10)
}

fn receipts() -> Vec<u8> {
    let mut stream = Vec::new();
    (0..BATCH).for_each(|at| write_receipt(&mut stream, at, at, at));
    stream
}

/// Reads a receipt: the deliver_sm and the text in it.
fn receipt() -> Box<dyn Work> {
    let pdus = kept(receipts());
    let work = move || {
        for pdu in &pdus {
            let sm = Sm::parse_deliver(black_box(pdu)).unwrap_or_default();
            assert!(Receipt::parse(&sm, false).is_some_and(|receipt| black_box(receipt).id().is_some()));
        }
    };
    warmed(work, 10)
}

/// Copies a receipt with the id that the ESME knows in the place of the carrier's.
fn receipt_id() -> Box<dyn Work> {
    let stream: &'static [u8] = receipts().leak();
    let read = |pdu: Pdu<'static>| (pdu, Sm::parse_deliver(&pdu).unwrap_or_default());
    let receipts: Vec<(Pdu<'static>, Sm<'static>)> = each(stream).map(read).collect();
    let mut out = Vec::new();
    let work = move || {
        out.clear();
        for (pdu, sm) in &receipts {
            let id = black_box(b"1234567890123456789");
            rewrite_id_of(black_box(pdu), black_box(sm), None, id, 7, &mut out);
        }
        black_box(out.as_slice());
    };
    warmed(work, 10)
}
