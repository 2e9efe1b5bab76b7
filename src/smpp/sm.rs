//! submit_sm and deliver_sm: one layout, two directions (SMPP 3.4 §4.4, §4.6). Owns: nothing. Takes: a whole PDU.
//! Gives: a view into it, or the status of the first field that is wrong. Never: allocates, decodes the text.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::status::CommandStatus;
use super::times;
use super::tlv::{Tag, Tlvs};
use crate::limits::HEADER_LEN;

/// A type of number, numbering plan and the digits or letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Address<'a> {
    /// Type of number: 0 unknown, 1 international, 2 national, 5 alphanumeric …
    pub ton: u8,
    /// Numbering plan: 0 unknown, 1 E.164 …
    pub npi: u8,
    /// The address without its NUL; any octets, never re-encoded.
    pub digits: &'a [u8],
}

impl<'a> Address<'a> {
    /// Reads ton, npi and an address of at most `max` octets with its NUL.
    #[inline]
    pub fn parse(cursor: &mut Cursor<'a>, max: usize, status: CommandStatus) -> Result<Self, PduError> {
        let [ton, npi] = cursor.octets("PDU ends before or inside an address")?;
        let digits = cursor.c_octets(max, status, "address has no NUL within its maximum")?;
        Ok(Self { ton, npi, digits })
    }

    /// Appends ton, npi, address and NUL.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.ton, self.npi]);
        write_c_octets(out, self.digits);
    }
}

/// Appends octets and a NUL.
pub fn write_c_octets(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// The fields from esm_class to the end that submit_sm, deliver_sm and submit_multi share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content<'a> {
    /// Mode, type, UDH and reply-path bits (SMPP 3.4 §5.2.12).
    pub esm_class: u8,
    /// TP-PID.
    pub protocol_id: u8,
    /// 0–3; 5.0 also 4.
    pub priority_flag: u8,
    /// Empty or 16 characters.
    pub schedule_delivery_time: &'a [u8],
    /// Empty or 16 characters.
    pub validity_period: &'a [u8],
    /// Which receipts are wanted.
    pub registered_delivery: u8,
    /// 0 or 1.
    pub replace_if_present_flag: u8,
    /// The text's alphabet.
    pub data_coding: u8,
    /// A canned message, 0 for none.
    pub sm_default_msg_id: u8,
    /// 0–255 octets; empty when message_payload carries the text.
    pub short_message: &'a [u8],
    /// Everything after it.
    pub tlvs: Tlvs<'a>,
}

impl<'a> Content<'a> {
    /// Reads from esm_class to the end of the PDU.
    #[inline(always)]
    pub fn parse(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        const CUT: &str = "PDU ends inside its mandatory fields";
        let [esm_class, protocol_id, priority_flag] = cursor.octets(CUT)?;
        let schedule_delivery_time = times::parse_field(cursor, CommandStatus::INVALID_SCHEDULE)?;
        let validity_period = times::parse_field(cursor, CommandStatus::INVALID_EXPIRY)?;
        let [registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id, sm_length] =
            cursor.octets(CUT)?;
        let Some(short_message) = cursor.take(usize::from(sm_length)) else {
            return Err(cursor.error(CommandStatus::INVALID_MESSAGE_LENGTH, "sm_length is beyond the PDU"));
        };
        let tlvs = Tlvs::parse(cursor)?;
        Ok(Self {
            esm_class,
            protocol_id,
            priority_flag,
            schedule_delivery_time,
            validity_period,
            registered_delivery,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            short_message,
            tlvs,
        })
    }

    /// Appends the fields. `short_message` must be at most 255 octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_mandatory(out);
        out.extend_from_slice(self.tlvs.bytes());
    }

    /// Appends the fields without the TLVs.
    pub fn write_mandatory(&self, out: &mut Vec<u8>) {
        debug_assert!(self.short_message.len() <= 255);
        out.extend_from_slice(&[self.esm_class, self.protocol_id, self.priority_flag]);
        write_c_octets(out, self.schedule_delivery_time);
        write_c_octets(out, self.validity_period);
        out.extend_from_slice(&[
            self.registered_delivery,
            self.replace_if_present_flag,
            self.data_coding,
            self.sm_default_msg_id,
            self.short_message.len() as u8,
        ]);
        out.extend_from_slice(self.short_message);
    }

    /// The text as a reader takes it: message_payload when there is one (SMPP 5.0 §4.8.4.36), else short_message.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.tlvs.get(Tag::MESSAGE_PAYLOAD).unwrap_or(self.short_message)
    }
}

/// A submit_sm or deliver_sm, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sm<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// Who sends; may be empty.
    pub source: Address<'a>,
    /// Who receives.
    pub destination: Address<'a>,
    /// The rest.
    pub content: Content<'a>,
}

impl<'a> Sm<'a> {
    /// Reads a submit_sm; its destination must not be empty.
    #[inline(always)]
    pub fn parse_submit(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let sm = Self::parse_deliver(pdu)?;
        if sm.destination.digits.is_empty() {
            let status = CommandStatus::INVALID_DESTINATION;
            let source = sm.service_type.len() + 1;
            let destination = source + 2 + sm.source.digits.len() + 1;
            let offset = HEADER_LEN + destination + 2;
            return Err(PduError { status, offset, reason: "destination_addr is empty" });
        }
        Ok(sm)
    }

    /// Reads a deliver_sm.
    #[inline(always)]
    pub fn parse_deliver(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let service_type =
            cursor.c_octets(6, CommandStatus::INVALID_SERVICE_TYPE, "service_type over 5 characters")?;
        let source = Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let destination = Address::parse(&mut cursor, 21, CommandStatus::INVALID_DESTINATION)?;
        Ok(Self { service_type, source, destination, content: Content::parse(&mut cursor)? })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, command_id: CommandId, sequence_number: u32) {
        write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| self.write_body(out));
    }

    /// Appends the fields after the header.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        write_c_octets(out, self.service_type);
        self.source.write(out);
        self.destination.write(out);
        self.content.write(out);
    }
}
