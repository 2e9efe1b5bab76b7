//! query_sm, cancel_sm and replace_sm: operations on a message that was accepted (SMPP 3.4 §4.8–§4.10). Owns:
//! nothing. Takes: a whole PDU. Gives: a view into it, or the status of the first field that is wrong. Never: knows
//! the message.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::sm::{Address, write_c_octets};
use super::status::CommandStatus;
use super::times;
use super::tlv::{Tag, Tlvs};
use crate::limits::{HEADER_LEN, MESSAGE_ID_MAX};

const CUT: &str = "PDU ends inside its mandatory fields";

/// A request's message_id: at most 64 characters, since it can only be one that was given out.
pub(super) fn message_id<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], PduError> {
    cursor.c_octets(MESSAGE_ID_MAX + 1, CommandStatus::INVALID_MESSAGE_ID, "message_id over 64 characters")
}

/// A message_id that must name a message.
fn message_id_given<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], PduError> {
    let before = cursor.clone();
    let id = message_id(cursor)?;
    if id.is_empty() {
        return Err(before.error(CommandStatus::INVALID_MESSAGE_ID, "message_id is empty"));
    }
    Ok(id)
}

/// A service_type: at most 5 characters.
pub(super) fn service_type<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], PduError> {
    cursor.c_octets(6, CommandStatus::INVALID_SERVICE_TYPE, "service_type over 5 characters")
}

/// A query_sm or query_broadcast_sm, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuerySm<'a> {
    /// The message asked about. A query_broadcast_sm may name it by user_message_reference instead.
    pub message_id: &'a [u8],
    /// Its source.
    pub source: Address<'a>,
    /// Everything after it.
    pub tlvs: Tlvs<'a>,
}

impl<'a> QuerySm<'a> {
    /// Reads either PDU; a query_sm must have a message_id.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let message_id = if pdu.command_id() == CommandId::QUERY_SM {
            message_id_given(&mut cursor)?
        } else {
            message_id(&mut cursor)?
        };
        Ok(Self {
            message_id,
            source: Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, command_id: CommandId, sequence_number: u32) {
        write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.message_id);
            self.source.write(out);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// The body of a query_sm_resp, read in place. A response that is not ESME_ROK need not have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuerySmResp<'a> {
    /// The message asked about.
    pub message_id: &'a [u8],
    /// When it reached its final state: empty, 16 characters, or 12 from some MCs.
    pub final_date: &'a [u8],
    /// 0–9.
    pub message_state: u8,
    /// The network's error, 0 for none.
    pub error_code: u8,
    /// The whole TLVs after them.
    pub tlvs: Tlvs<'a>,
}

impl<'a> QuerySmResp<'a> {
    /// Reads the mandatory fields. The id may be over its maximum and the date in any form; a body without the
    /// state is an error, since there is nothing to tell.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let any = pdu.body().len();
        let message_id = cursor.c_octets(any, CommandStatus::INVALID_COMMAND_LENGTH, CUT)?;
        let final_date = cursor.c_octets(any, CommandStatus::INVALID_COMMAND_LENGTH, CUT)?;
        let message_state = cursor.octet(CUT)?;
        let error_code = cursor.octet(CUT)?;
        Ok(Self { message_id, final_date, message_state, error_code, tlvs: Tlvs::lenient(cursor.rest()) })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, status: CommandStatus, sequence_number: u32) {
        write_pdu(out, CommandId::QUERY_SM_RESP, status, sequence_number, |out| {
            write_c_octets(out, self.message_id);
            write_c_octets(out, self.final_date);
            out.extend_from_slice(&[self.message_state, self.error_code]);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// A cancel_sm, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CancelSm<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// The message, or empty: all that match the other fields.
    pub message_id: &'a [u8],
    /// Its source.
    pub source: Address<'a>,
    /// Its destination; may be empty when there is a message_id.
    pub destination: Address<'a>,
    /// Everything after it.
    pub tlvs: Tlvs<'a>,
}

impl<'a> CancelSm<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        Ok(Self {
            service_type: service_type(&mut cursor)?,
            message_id: message_id(&mut cursor)?,
            source: Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?,
            destination: Address::parse(&mut cursor, 21, CommandStatus::INVALID_DESTINATION)?,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::CANCEL_SM, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            write_c_octets(out, self.message_id);
            self.source.write(out);
            self.destination.write(out);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// A replace_sm, read in place. It has neither data_coding nor esm_class: those of the message stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplaceSm<'a> {
    /// The message.
    pub message_id: &'a [u8],
    /// Its source.
    pub source: Address<'a>,
    /// Empty or 16 characters.
    pub schedule_delivery_time: &'a [u8],
    /// Empty or 16 characters.
    pub validity_period: &'a [u8],
    /// Which receipts are wanted.
    pub registered_delivery: u8,
    /// A canned message, 0 for none.
    pub sm_default_msg_id: u8,
    /// The new text, 0–255 octets.
    pub short_message: &'a [u8],
    /// Everything after it; 5.0 allows message_payload.
    pub tlvs: Tlvs<'a>,
}

impl<'a> ReplaceSm<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let message_id = message_id_given(&mut cursor)?;
        let source = Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let schedule_delivery_time = times::parse_field(&mut cursor, CommandStatus::INVALID_SCHEDULE)?;
        let validity_period = times::parse_field(&mut cursor, CommandStatus::INVALID_EXPIRY)?;
        let registered_delivery = cursor.octet(CUT)?;
        let sm_default_msg_id = cursor.octet(CUT)?;
        let sm_length = usize::from(cursor.octet(CUT)?);
        let Some(short_message) = cursor.take(sm_length) else {
            return Err(cursor.error(CommandStatus::INVALID_MESSAGE_LENGTH, "sm_length is beyond the PDU"));
        };
        Ok(Self {
            message_id,
            source,
            schedule_delivery_time,
            validity_period,
            registered_delivery,
            sm_default_msg_id,
            short_message,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// The new text: message_payload when there is one, else short_message.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.tlvs.get(Tag::MESSAGE_PAYLOAD).unwrap_or(self.short_message)
    }

    /// Appends the PDU. `short_message` must be at most 255 octets.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        debug_assert!(self.short_message.len() <= 255);
        write_pdu(out, CommandId::REPLACE_SM, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.message_id);
            self.source.write(out);
            write_c_octets(out, self.schedule_delivery_time);
            write_c_octets(out, self.validity_period);
            let length = self.short_message.len() as u8;
            out.extend_from_slice(&[self.registered_delivery, self.sm_default_msg_id, length]);
            out.extend_from_slice(self.short_message);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}
