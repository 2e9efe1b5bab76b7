//! What a peer of version 3.3 can be given. Owns: nothing. Takes: submit_sm, deliver_sm, submit_multi, the fields of
//! data_sm, replace_sm. Gives: the same message without TLVs, or the status that refuses it. Never: drops a text, sends
//! such a peer a TLV.

use super::command::CommandId;
use super::data::DataSm;
use super::frame::write_pdu;
use super::multi::SubmitMulti;
use super::operations::ReplaceSm;
use super::receipt::{Receipt, needs_text, write_text_of, write_with_short_message};
use super::segment::{ConcatForm, ESM_UDHI, Part, Reference, has_udh};
use super::sm::{Content, Sm, write_c_octets};
use super::status::CommandStatus;
use super::tlv::Tlvs;

/// Octets of short_message that a peer of version 3.3 is given.
pub const SHORT_MESSAGE_MAX: usize = 254;
/// Octets of an address in submit_sm and deliver_sm without its NUL; data_sm takes 64.
const ADDRESS_MAX: usize = 20;

/// What becomes of the text.
enum Plan<'a> {
    /// A receipt that says all in TLVs: a text is composed.
    Compose(Receipt<'a>),
    /// The text, behind a header made of the SAR TLVs when there are any.
    Carry(Option<Part>, &'a [u8]),
}

fn plan<'a>(sm: &Sm<'a>) -> Result<Plan<'a>, CommandStatus> {
    if let Some(receipt) = Receipt::parse(sm, false).filter(needs_text) {
        return Ok(Plan::Compose(receipt));
    }
    carried(&sm.content).map(|(part, text)| Plan::Carry(part, text))
}

fn carried<'a>(content: &Content<'a>) -> Result<(Option<Part>, &'a [u8]), CommandStatus> {
    let text = content.text();
    let sar = if has_udh(content.esm_class) { None } else { Part::from_sar(&content.tlvs) };
    let header = sar.map_or(0, |_| ConcatForm::Octet.udh_len());
    if header + text.len() > SHORT_MESSAGE_MAX {
        return Err(CommandStatus::INVALID_MESSAGE_LENGTH);
    }
    // SAR parts are cut for the 6-octet header (153, 67, 134), so the reference keeps its low octet.
    let octet = |part: Part| match part.reference {
        Reference::Octet(octet) => octet,
        Reference::Word(word) | Reference::Sar(word) => word as u8,
    };
    let part = sar.map(|part| Part { reference: Reference::Octet(octet(part)), ..part });
    Ok((part, text))
}

/// Whether the message can be given to a peer of version 3.3; `ESME_RINVMSGLEN` when its text is too long.
pub fn fits_v33(sm: &Sm<'_>) -> Result<(), CommandStatus> {
    plan(sm).map(|_| ())
}

/// Appends the message as a peer of version 3.3 takes it: no TLVs, message_payload as short_message, SAR as a user
/// data header, a receipt with a text. On error nothing is written.
pub fn write_v33(
    sm: &Sm<'_>,
    command_id: CommandId,
    sequence_number: u32,
    out: &mut Vec<u8>,
) -> Result<(), CommandStatus> {
    let plan = plan(sm)?;
    write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| {
        write_c_octets(out, sm.service_type);
        sm.source.write(out);
        sm.destination.write(out);
        match plan {
            // A composed text stands alone: what stood before it, header and all, is replaced.
            Plan::Compose(receipt) => {
                let content = Content { esm_class: sm.content.esm_class & !ESM_UDHI, ..sm.content };
                write_with_short_message(&content, out, |out| write_text_of(&receipt, out));
            }
            Plan::Carry(part, text) => write_carried(&sm.content, part, text, out),
        }
    });
    Ok(())
}

fn write_carried(content: &Content<'_>, part: Option<Part>, text: &[u8], out: &mut Vec<u8>) {
    let esm_class = if part.is_some() { content.esm_class | ESM_UDHI } else { content.esm_class };
    write_with_short_message(&Content { esm_class, ..*content }, out, |out| {
        if let Some(part) = part {
            part.write_udh(out);
        }
        out.extend_from_slice(text);
    });
}

/// Whether a submit_multi can be given to a peer of version 3.3.
pub fn multi_fits_v33(multi: &SubmitMulti<'_>) -> Result<(), CommandStatus> {
    carried(&multi.content).map(|_| ())
}

/// Appends a submit_multi as a peer of version 3.3 takes it, as `write_v33` does a submit_sm.
pub fn write_v33_multi(
    multi: &SubmitMulti<'_>,
    sequence_number: u32,
    out: &mut Vec<u8>,
) -> Result<(), CommandStatus> {
    let (part, text) = carried(&multi.content)?;
    write_pdu(out, CommandId::SUBMIT_MULTI, CommandStatus::OK, sequence_number, |out| {
        write_c_octets(out, multi.service_type);
        multi.source.write(out);
        multi.destinations.write(out);
        write_carried(&multi.content, part, text, out);
    });
    Ok(())
}

/// A replace_sm as a peer of version 3.3 takes it: message_payload as short_message, no TLVs.
pub fn replace_for_v33<'a>(replace: &ReplaceSm<'a>) -> Result<ReplaceSm<'a>, CommandStatus> {
    let short_message = replace.text();
    if short_message.len() > SHORT_MESSAGE_MAX {
        return Err(CommandStatus::INVALID_MESSAGE_LENGTH);
    }
    Ok(ReplaceSm { short_message, tlvs: Tlvs::default(), ..*replace })
}

/// A data_sm as submit_sm or deliver_sm, the text still in message_payload; the status of an address that such a
/// PDU cannot carry.
pub fn sm_from_data<'a>(data: &DataSm<'a>) -> Result<Sm<'a>, CommandStatus> {
    if data.source.digits.len() > ADDRESS_MAX {
        return Err(CommandStatus::INVALID_SOURCE);
    }
    if data.destination.digits.len() > ADDRESS_MAX {
        return Err(CommandStatus::INVALID_DESTINATION);
    }
    let content = Content {
        esm_class: data.esm_class,
        registered_delivery: data.registered_delivery,
        data_coding: data.data_coding,
        tlvs: data.tlvs,
        ..Content::default()
    };
    Ok(Sm { service_type: data.service_type, source: data.source, destination: data.destination, content })
}

/// Appends a data_sm as the submit_sm or deliver_sm that a peer of version 3.3 takes; it does not know data_sm.
pub fn write_v33_from_data(
    data: &DataSm<'_>,
    command_id: CommandId,
    sequence_number: u32,
    out: &mut Vec<u8>,
) -> Result<(), CommandStatus> {
    write_v33(&sm_from_data(data)?, command_id, sequence_number, out)
}

#[cfg(test)]
mod tests {
    use super::super::frame::Pdu;
    use super::super::segment::part_of;
    use super::super::sm::Address;
    use super::super::tlv::{Tag, write_tlv};
    use super::*;

    fn tlvs(list: &[(Tag, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, value) in list {
            write_tlv(&mut out, *tag, value);
        }
        out
    }

    fn sm<'a>(esm_class: u8, short_message: &'a [u8], tlvs: &'a [u8]) -> Sm<'a> {
        let destination = Address { ton: 1, npi: 1, digits: b"38267123456" };
        let content = Content { esm_class, short_message, tlvs: Tlvs::lenient(tlvs), ..Content::default() };
        Sm { destination, content, ..Sm::default() }
    }

    #[test]
    fn a_payload_of_254_octets_becomes_short_message_and_255_is_refused() {
        let payload = [b'x'; 255];
        let octets = tlvs(&[(Tag::MESSAGE_PAYLOAD, &payload[..254]), (Tag(0x1400), b"v")]);
        let mut out = Vec::new();
        write_v33(&sm(0, b"", &octets), CommandId::SUBMIT_SM, 5, &mut out).unwrap();
        let written = Sm::parse_submit(&Pdu::whole(&out).unwrap()).unwrap();
        assert_eq!(written.content.short_message, &payload[..254]);
        assert!(written.content.tlvs.bytes().is_empty());
        let octets = tlvs(&[(Tag::MESSAGE_PAYLOAD, &payload)]);
        let long = sm(0, b"", &octets);
        let length = out.len();
        assert_eq!(fits_v33(&long), Err(CommandStatus::INVALID_MESSAGE_LENGTH));
        assert_eq!(
            write_v33(&long, CommandId::SUBMIT_SM, 5, &mut out),
            Err(CommandStatus::INVALID_MESSAGE_LENGTH)
        );
        assert_eq!(out.len(), length);
    }

    #[test]
    fn sar_becomes_a_header_when_there_is_room() {
        let octets = tlvs(&[
            (Tag::SAR_MSG_REF_NUM, &[0x12, 0x34]),
            (Tag::SAR_TOTAL_SEGMENTS, &[3]),
            (Tag::SAR_SEGMENT_SEQNUM, &[2]),
        ]);
        let mut out = Vec::new();
        write_v33(&sm(0, b"part", &octets), CommandId::SUBMIT_SM, 1, &mut out).unwrap();
        let written = Sm::parse_submit(&Pdu::whole(&out).unwrap()).unwrap();
        assert_eq!(written.content.short_message, b"\x05\x00\x03\x34\x03\x02part");
        assert_eq!(part_of(&written.content), Part::new(Reference::Octet(0x34), 3, 2));
        assert_eq!(fits_v33(&sm(0, &[0; 248], &octets)), Ok(()));
        assert_eq!(fits_v33(&sm(0, &[0; 249], &octets)), Err(CommandStatus::INVALID_MESSAGE_LENGTH));
        // A text that brings its own header gets no second one.
        assert_eq!(fits_v33(&sm(ESM_UDHI, &[0; 249], &octets)), Ok(()));
    }

    #[test]
    fn a_receipt_without_text_gets_one() {
        let octets = tlvs(&[
            (Tag::RECEIPTED_MESSAGE_ID, b"ab12\0"),
            (Tag::MESSAGE_STATE, &[5]),
            (Tag::NETWORK_ERROR_CODE, &[3, 0, 27]),
        ]);
        let mut out = Vec::new();
        write_v33(&sm(0x04, b"", &octets), CommandId::DELIVER_SM, 1, &mut out).unwrap();
        let written = Sm::parse_deliver(&Pdu::whole(&out).unwrap()).unwrap();
        let text = String::from_utf8_lossy(written.content.short_message);
        assert_eq!(
            text,
            "id:ab12 sub:001 dlvrd:000 submit date:0000000000 done date:0000000000 stat:UNDELIV err:027 text:"
        );
        assert!(Receipt::parse(&written, true).is_some_and(|receipt| receipt.id() == Some(b"ab12")));
    }

    #[test]
    fn a_data_sm_becomes_a_deliver_sm_unless_an_address_is_too_long() {
        let octets = tlvs(&[(Tag::MESSAGE_PAYLOAD, b"hello")]);
        let address = Address { ton: 1, npi: 1, digits: b"38267123456" };
        let data = DataSm {
            destination: address,
            data_coding: 3,
            tlvs: Tlvs::lenient(&octets),
            ..DataSm::default()
        };
        let mut out = Vec::new();
        write_v33_from_data(&data, CommandId::DELIVER_SM, 9, &mut out).unwrap();
        let written = Sm::parse_deliver(&Pdu::whole(&out).unwrap()).unwrap();
        assert_eq!((written.content.short_message, written.content.data_coding), (&b"hello"[..], 3));
        let source = Address { digits: b"123456789012345678901", ..address };
        let refused = sm_from_data(&DataSm { source, ..data });
        assert_eq!(refused, Err(CommandStatus::INVALID_SOURCE));
    }
}
