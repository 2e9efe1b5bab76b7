//! broadcast_sm and its kin (SMPP 5.0 §4.4–§4.6). Owns: nothing. Takes: a whole PDU. Gives: a view into it, or the
//! status of the first field that is wrong. Never: interprets an area.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::operations::{QuerySm, message_id, service_type};
use super::response::MessageIdResp;
use super::sm::{Address, write_c_octets};
use super::status::CommandStatus;
use super::times;
use super::tlv::{Tag, Tlvs};
use crate::limits::HEADER_LEN;

const CUT: &str = "PDU ends inside its mandatory fields";

/// A query_broadcast_sm has the fields of a query_sm.
pub type QueryBroadcastSm<'a> = QuerySm<'a>;

/// A query_broadcast_sm_resp: a message_id, then message_state, areas and their success as TLVs.
pub type QueryBroadcastSmResp<'a> = MessageIdResp<'a>;

/// The TLVs without which there is no broadcast_sm.
const MANDATORY: [Tag; 4] = [
    Tag::BROADCAST_AREA_IDENTIFIER,
    Tag::BROADCAST_CONTENT_TYPE,
    Tag::BROADCAST_REP_NUM,
    Tag::BROADCAST_FREQUENCY_INTERVAL,
];

/// A broadcast_sm, read in place. The text is in message_payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BroadcastSm<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// Who sends; may be empty.
    pub source: Address<'a>,
    /// The message to replace, else empty.
    pub message_id: &'a [u8],
    /// 0–4.
    pub priority_flag: u8,
    /// Empty or 16 characters.
    pub schedule_delivery_time: &'a [u8],
    /// Empty or 16 characters.
    pub validity_period: &'a [u8],
    /// 0 or 1.
    pub replace_if_present_flag: u8,
    /// The text's alphabet.
    pub data_coding: u8,
    /// A canned message, 0 for none.
    pub sm_default_msg_id: u8,
    /// Everything after it; the mandatory TLVs are there.
    pub tlvs: Tlvs<'a>,
}

impl<'a> BroadcastSm<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let cursor = &mut cursor;
        let service_type = service_type(cursor)?;
        let source = Address::parse(cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let message_id = message_id(cursor)?;
        let priority_flag = cursor.octet(CUT)?;
        let schedule_delivery_time = times::parse_field(cursor, CommandStatus::INVALID_SCHEDULE)?;
        let validity_period = times::parse_field(cursor, CommandStatus::INVALID_EXPIRY)?;
        let replace_if_present_flag = cursor.octet(CUT)?;
        let data_coding = cursor.octet(CUT)?;
        let sm_default_msg_id = cursor.octet(CUT)?;
        let tlvs = Tlvs::parse(cursor)?;
        if MANDATORY.iter().any(|&tag| tlvs.get(tag).is_none()) {
            return Err(cursor.error(CommandStatus::MISSING_TLV, "a mandatory broadcast TLV is missing"));
        }
        Ok(Self {
            service_type,
            source,
            message_id,
            priority_flag,
            schedule_delivery_time,
            validity_period,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            tlvs,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::BROADCAST_SM, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            self.source.write(out);
            write_c_octets(out, self.message_id);
            out.push(self.priority_flag);
            write_c_octets(out, self.schedule_delivery_time);
            write_c_octets(out, self.validity_period);
            out.extend_from_slice(&[self.replace_if_present_flag, self.data_coding, self.sm_default_msg_id]);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// A cancel_broadcast_sm, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CancelBroadcastSm<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// The message; empty when the TLVs name it.
    pub message_id: &'a [u8],
    /// Its source.
    pub source: Address<'a>,
    /// Everything after it.
    pub tlvs: Tlvs<'a>,
}

impl<'a> CancelBroadcastSm<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        Ok(Self {
            service_type: service_type(&mut cursor)?,
            message_id: message_id(&mut cursor)?,
            source: Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::CANCEL_BROADCAST_SM, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            write_c_octets(out, self.message_id);
            self.source.write(out);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}
