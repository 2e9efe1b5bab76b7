//! submit_multi and its response (SMPP 3.4 §4.5). Owns: nothing. Takes: a whole PDU. Gives: a view into it whose
//! lists are walked in place, or the status of the first field that is wrong. Never: allocates a list.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::operations::service_type;
use super::response::split_text;
use super::sm::{Address, Content, write_c_octets};
use super::status::CommandStatus;
use super::tlv::Tlvs;
use crate::limits::HEADER_LEN;

/// One receiver of a submit_multi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// dest_flag 1: an address.
    Address(Address<'a>),
    /// dest_flag 2: a distribution list by its name, up to 20 characters.
    List(&'a [u8]),
}

impl<'a> Destination<'a> {
    /// Reads dest_flag and what it announces.
    pub fn parse(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        let before = cursor.clone();
        match cursor.octet("PDU ends inside its destinations")? {
            1 => Address::parse(cursor, 21, CommandStatus::INVALID_DESTINATION).map(Self::Address),
            2 => {
                let name = cursor.c_octets(21, CommandStatus::INVALID_DL_NAME, "dl_name over 20 characters");
                name.map(Self::List)
            }
            _ => Err(before.error(CommandStatus::INVALID_DEST_FLAG, "dest_flag is neither 1 nor 2")),
        }
    }

    /// Appends dest_flag and what it announces.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Address(address) => {
                out.push(1);
                address.write(out);
            }
            Self::List(name) => {
                out.push(2);
                write_c_octets(out, name);
            }
        }
    }
}

/// Destinations in wire order, already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Destinations<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> Destinations<'a> {
    /// Reads number_of_dests and as many destinations.
    pub fn parse(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        let count = cursor.octet("PDU ends before its destinations")?;
        let (bytes, start) = (cursor.rest(), cursor.offset());
        for _ in 0..count {
            Destination::parse(cursor)?;
        }
        Ok(Self { count, bytes: bytes.get(..cursor.offset() - start).unwrap_or_default() })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// In wire order.
    pub fn iter(&self) -> impl Iterator<Item = Destination<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes, 0);
        (0..self.count).map_while(move |_| Destination::parse(&mut cursor).ok())
    }

    /// Appends number_of_dests and the destinations.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.count);
        out.extend_from_slice(self.bytes);
    }
}

/// A submit_multi, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitMulti<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// Who sends; may be empty.
    pub source: Address<'a>,
    /// Who receives, 1–255 of them.
    pub destinations: Destinations<'a>,
    /// The rest.
    pub content: Content<'a>,
}

impl<'a> SubmitMulti<'a> {
    /// Reads the PDU; it must have a destination.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let service_type = service_type(&mut cursor)?;
        let source = Address::parse(&mut cursor, 21, CommandStatus::INVALID_SOURCE)?;
        let before = cursor.clone();
        let destinations = Destinations::parse(&mut cursor)?;
        if destinations.count() == 0 {
            return Err(before.error(CommandStatus::INVALID_NUMBER_OF_DESTS, "number_of_dests is 0"));
        }
        Ok(Self { service_type, source, destinations, content: Content::parse(&mut cursor)? })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::SUBMIT_MULTI, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            self.source.write(out);
            self.destinations.write(out);
            self.content.write(out);
        });
    }
}

/// A destination that a submit_multi did not reach, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsuccess<'a> {
    /// The destination.
    pub destination: Address<'a>,
    /// Why.
    pub status: CommandStatus,
}

impl<'a> Unsuccess<'a> {
    fn parse(cursor: &mut Cursor<'a>) -> Option<Self> {
        let destination = Address::parse(cursor, 21, CommandStatus::INVALID_DESTINATION).ok()?;
        Some(Self { destination, status: CommandStatus(cursor.u32()?) })
    }

    /// Appends it as an unsuccess_sme.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.destination.write(out);
        out.extend_from_slice(&self.status.0.to_be_bytes());
    }
}

/// The unsuccess_sme of a submit_multi_resp in wire order; those that are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsuccesses<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> Unsuccesses<'a> {
    /// Reads no_unsuccess and as many unsuccess_sme, or as many as are whole: none when no_unsuccess is missing.
    #[must_use]
    pub fn parse(cursor: &mut Cursor<'a>) -> Self {
        let claimed = cursor.octet("").unwrap_or(0);
        let (bytes, start) = (cursor.rest(), cursor.offset());
        let mut count = 0;
        while count < claimed {
            let mut ahead = cursor.clone();
            if Unsuccess::parse(&mut ahead).is_none() {
                break;
            }
            *cursor = ahead;
            count += 1;
        }
        Self { count, bytes: bytes.get(..cursor.offset() - start).unwrap_or_default() }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// In wire order.
    pub fn iter(&self) -> impl Iterator<Item = Unsuccess<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes, 0);
        (0..self.count).map_while(move |_| Unsuccess::parse(&mut cursor))
    }
}

/// A submit_multi_resp, read in place and leniently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitMultiResp<'a> {
    /// `None` when the body is missing or is TLVs alone.
    pub message_id: Option<&'a [u8]>,
    /// The destinations that were refused.
    pub unsuccess: Unsuccesses<'a>,
    /// The whole TLVs after them.
    pub tlvs: Tlvs<'a>,
}

impl<'a> SubmitMultiResp<'a> {
    /// Reads the body, whatever it is.
    #[must_use]
    pub fn parse(pdu: &Pdu<'a>) -> Self {
        let (message_id, after) = split_text(pdu);
        let mut cursor = Cursor::new(after, 0);
        let unsuccess =
            if message_id.is_some() { Unsuccesses::parse(&mut cursor) } else { Unsuccesses::default() };
        Self { message_id, unsuccess, tlvs: Tlvs::lenient(cursor.rest()) }
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, status: CommandStatus, sequence_number: u32) {
        debug_assert!(self.message_id.is_some() || self.unsuccess.count == 0);
        write_pdu(out, CommandId::SUBMIT_MULTI_RESP, status, sequence_number, |out| {
            if let Some(message_id) = self.message_id {
                write_c_octets(out, message_id);
                out.push(self.unsuccess.count);
                out.extend_from_slice(self.unsuccess.bytes);
            }
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_cut_keeps_what_is_whole() {
        let mut body = b"M1\x00\x03".to_vec();
        let first = Unsuccess {
            destination: Address { ton: 1, npi: 1, digits: b"447700900123" },
            status: CommandStatus::THROTTLED,
        };
        first.write(&mut body);
        body.extend_from_slice(&[1, 1, b'4']);
        let mut out = Vec::new();
        write_pdu(&mut out, CommandId::SUBMIT_MULTI_RESP, CommandStatus::OK, 7, |out| out.extend(&body));
        let response = SubmitMultiResp::parse(&Pdu::whole(&out).unwrap());
        assert_eq!(response.message_id, Some(&b"M1"[..]));
        assert_eq!(response.unsuccess.count(), 1);
        assert_eq!(response.unsuccess.iter().collect::<Vec<_>>(), [first]);
        assert!(response.tlvs.bytes().is_empty());
    }
}
