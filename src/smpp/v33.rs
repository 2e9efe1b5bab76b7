//! What only SMPP 3.3 has: param_retrieve, query_last_msgs, query_msg_details. Owns: nothing. Takes: a whole PDU.
//! Gives: a view into it, or the status of the first field that is wrong. Never: expects a TLV; 3.3 has none.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::multi::Destinations;
use super::operations::{message_id, service_type};
use super::sm::{Address, write_c_octets};
use super::status::CommandStatus;
use crate::limits::HEADER_LEN;

const CUT: &str = "PDU ends inside its mandatory fields";
const SHORT: CommandStatus = CommandStatus::INVALID_COMMAND_LENGTH;

/// A request must end with its last field.
fn finish(cursor: &Cursor<'_>) -> Result<(), PduError> {
    if cursor.is_empty() {
        return Ok(());
    }
    Err(cursor.error(CommandStatus::INVALID_COMMAND_LENGTH, "octets left after the last field"))
}

/// A param_retrieve, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParamRetrieve<'a> {
    /// Up to 31 characters.
    pub param_name: &'a [u8],
}

impl<'a> ParamRetrieve<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let param_name = cursor.c_octets(32, SHORT, "param_name over 31 characters")?;
        finish(&cursor)?;
        Ok(Self { param_name })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::PARAM_RETRIEVE, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.param_name);
        });
    }
}

/// The body of a param_retrieve_resp, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParamRetrieveResp<'a> {
    /// Up to 100 characters.
    pub param_value: &'a [u8],
}

impl<'a> ParamRetrieveResp<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        Ok(Self { param_value: cursor.c_octets(101, SHORT, "param_value over 100 characters")? })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, status: CommandStatus, sequence_number: u32) {
        write_pdu(out, CommandId::PARAM_RETRIEVE_RESP, status, sequence_number, |out| {
            write_c_octets(out, self.param_value);
        });
    }
}

/// A query_last_msgs, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryLastMsgs<'a> {
    /// Whose messages.
    pub source: Address<'a>,
    /// How many.
    pub num_of_messages: u8,
}

impl<'a> QueryLastMsgs<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let source = Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let num_of_messages = cursor.octet(CUT)?;
        finish(&cursor)?;
        Ok(Self { source, num_of_messages })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::QUERY_LAST_MSGS, CommandStatus::OK, sequence_number, |out| {
            self.source.write(out);
            out.push(self.num_of_messages);
        });
    }
}

/// The body of a query_last_msgs_resp, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryLastMsgsResp<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> QueryLastMsgsResp<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        Self::parse_at(&mut Cursor::new(pdu.body(), HEADER_LEN))
    }

    /// Reads the count and as many message_ids.
    pub fn parse_at(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        let count = cursor.octet(CUT)?;
        let (bytes, start) = (cursor.rest(), cursor.offset());
        for _ in 0..count {
            message_id(cursor)?;
        }
        Ok(Self { count, bytes: bytes.get(..cursor.offset() - start).unwrap_or_default() })
    }

    /// How many message_ids there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// The message_ids in wire order.
    pub fn message_ids(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut cursor = Cursor::new(self.bytes, 0);
        (0..self.count).map_while(move |_| message_id(&mut cursor).ok())
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, status: CommandStatus, sequence_number: u32) {
        write_pdu(out, CommandId::QUERY_LAST_MSGS_RESP, status, sequence_number, |out| {
            out.push(self.count);
            out.extend_from_slice(self.bytes);
        });
    }
}

/// A query_msg_details, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryMsgDetails<'a> {
    /// The message, up to 8 characters.
    pub message_id: &'a [u8],
    /// Its source.
    pub source: Address<'a>,
    /// How many octets of its text are wanted.
    pub sm_length: u8,
}

impl<'a> QueryMsgDetails<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let message_id =
            cursor.c_octets(9, CommandStatus::INVALID_MESSAGE_ID, "message_id over 8 characters")?;
        let source = Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let sm_length = cursor.octet(CUT)?;
        finish(&cursor)?;
        Ok(Self { message_id, source, sm_length })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::QUERY_MSG_DETAILS, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.message_id);
            self.source.write(out);
            out.push(self.sm_length);
        });
    }
}

/// The body of a query_msg_details_resp, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryMsgDetailsResp<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// Who sent.
    pub source: Address<'a>,
    /// To whom.
    pub destinations: Destinations<'a>,
    /// TP-PID.
    pub protocol_id: u8,
    /// 0 or 1.
    pub priority_flag: u8,
    /// A time as the peer wrote it.
    pub schedule_delivery_time: &'a [u8],
    /// A time as the peer wrote it.
    pub validity_period: &'a [u8],
    /// Whether a receipt was wanted.
    pub registered_delivery: u8,
    /// The text's alphabet.
    pub data_coding: u8,
    /// The text, or the front of it; at most 255 octets.
    pub short_message: &'a [u8],
    /// The message.
    pub message_id: &'a [u8],
    /// A time as the peer wrote it.
    pub final_date: &'a [u8],
    /// 1–7.
    pub message_state: u8,
    /// The network's error, 0 for none.
    pub error_code: u8,
}

impl<'a> QueryMsgDetailsResp<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let cursor = &mut cursor;
        let time = |cursor: &mut Cursor<'a>| cursor.c_octets(17, SHORT, "time over 16 characters");
        Ok(Self {
            service_type: service_type(cursor)?,
            source: Address::parse(cursor, 21, CommandStatus::INVALID_SOURCE)?,
            destinations: Destinations::parse(cursor)?,
            protocol_id: cursor.octet(CUT)?,
            priority_flag: cursor.octet(CUT)?,
            schedule_delivery_time: time(cursor)?,
            validity_period: time(cursor)?,
            registered_delivery: cursor.octet(CUT)?,
            data_coding: cursor.octet(CUT)?,
            short_message: {
                let sm_length = usize::from(cursor.octet(CUT)?);
                let error =
                    cursor.error(CommandStatus::INVALID_MESSAGE_LENGTH, "sm_length is beyond the PDU");
                cursor.take(sm_length).ok_or(error)?
            },
            message_id: message_id(cursor)?,
            final_date: time(cursor)?,
            message_state: cursor.octet(CUT)?,
            error_code: cursor.octet(CUT)?,
        })
    }

    /// Appends the PDU. `short_message` must be at most 255 octets.
    pub fn write(&self, out: &mut Vec<u8>, status: CommandStatus, sequence_number: u32) {
        debug_assert!(self.short_message.len() <= 255);
        write_pdu(out, CommandId::QUERY_MSG_DETAILS_RESP, status, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            self.source.write(out);
            self.destinations.write(out);
            out.extend_from_slice(&[self.protocol_id, self.priority_flag]);
            write_c_octets(out, self.schedule_delivery_time);
            write_c_octets(out, self.validity_period);
            let length = self.short_message.len() as u8;
            out.extend_from_slice(&[self.registered_delivery, self.data_coding, length]);
            out.extend_from_slice(self.short_message);
            write_c_octets(out, self.message_id);
            write_c_octets(out, self.final_date);
            out.extend_from_slice(&[self.message_state, self.error_code]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::multi::Destination;

    #[test]
    fn the_details_of_a_message_are_read_as_they_were_written() {
        let mut list = vec![2];
        let address = Address { ton: 1, npi: 1, digits: b"447700900123" };
        Destination::Address(address).write(&mut list);
        Destination::List(b"staff").write(&mut list);
        let details = QueryMsgDetailsResp {
            service_type: b"CMT",
            source: Address { ton: 5, npi: 0, digits: b"Acme" },
            destinations: Destinations::parse(&mut Cursor::new(&list, 0)).unwrap(),
            final_date: b"260630120100",
            short_message: b"Hello",
            message_id: b"0A1B2C3D",
            message_state: 2,
            error_code: 7,
            ..QueryMsgDetailsResp::default()
        };
        let mut out = Vec::new();
        details.write(&mut out, CommandStatus::OK, 9);
        assert_eq!(QueryMsgDetailsResp::parse(&Pdu::whole(&out).unwrap()), Ok(details));
        let cut = out.len() - 1;
        out[3] -= 1;
        let error = QueryMsgDetailsResp::parse(&Pdu::whole(&out[..cut]).unwrap()).unwrap_err();
        assert_eq!((error.status, error.offset), (CommandStatus::INVALID_COMMAND_LENGTH, cut));
    }

    #[test]
    fn a_request_ends_with_its_last_field() {
        let mut out = Vec::new();
        write_pdu(&mut out, CommandId::PARAM_RETRIEVE, CommandStatus::OK, 1, |out| {
            out.extend(b"version\0\0")
        });
        let error = ParamRetrieve::parse(&Pdu::whole(&out).unwrap()).unwrap_err();
        assert_eq!((error.status, error.offset), (CommandStatus::INVALID_COMMAND_LENGTH, 24));
    }
}
