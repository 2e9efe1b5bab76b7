//! data_sm (SMPP 3.4 §4.7.1) and alert_notification (§4.12): the PDUs with addresses of 65 octets. Owns: nothing.
//! Takes: a whole PDU. Gives: a view into it, or the status of the first field that is wrong. Never: decodes the text.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::sm::{Address, write_c_octets};
use super::status::CommandStatus;
use super::tlv::{Tag, Tlvs};
use crate::limits::HEADER_LEN;

/// Octets of an address with its NUL in these PDUs.
const ADDRESS_MAX: usize = 65;
const CUT: &str = "PDU ends inside its mandatory fields";

/// A data_sm of either direction, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataSm<'a> {
    /// Empty or up to 5 characters.
    pub service_type: &'a [u8],
    /// Who sends.
    pub source: Address<'a>,
    /// Who receives.
    pub destination: Address<'a>,
    /// Mode, type, UDH and reply-path bits.
    pub esm_class: u8,
    /// Which receipts are wanted.
    pub registered_delivery: u8,
    /// The text's alphabet.
    pub data_coding: u8,
    /// The text is in message_payload; a receipt may have none.
    pub tlvs: Tlvs<'a>,
}

impl<'a> DataSm<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let cursor = &mut cursor;
        Ok(Self {
            service_type: cursor.c_octets(
                6,
                CommandStatus::INVALID_SERVICE_TYPE,
                "service_type over 5 characters",
            )?,
            source: Address::parse(cursor, ADDRESS_MAX, CommandStatus::INVALID_SOURCE)?,
            destination: Address::parse(cursor, ADDRESS_MAX, CommandStatus::INVALID_DESTINATION)?,
            esm_class: cursor.octet(CUT)?,
            registered_delivery: cursor.octet(CUT)?,
            data_coding: cursor.octet(CUT)?,
            tlvs: Tlvs::parse(cursor)?,
        })
    }

    /// The text, empty when there is no message_payload.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.tlvs.get(Tag::MESSAGE_PAYLOAD).unwrap_or_default()
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::DATA_SM, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.service_type);
            self.source.write(out);
            self.destination.write(out);
            out.extend_from_slice(&[self.esm_class, self.registered_delivery, self.data_coding]);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// An alert_notification, read in place: a handset can be reached again. It has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlertNotification<'a> {
    /// The handset.
    pub source: Address<'a>,
    /// The ESME that had asked.
    pub esme: Address<'a>,
    /// ms_availability_status, or nothing.
    pub tlvs: Tlvs<'a>,
}

impl<'a> AlertNotification<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        Ok(Self {
            source: Address::parse(&mut cursor, ADDRESS_MAX, CommandStatus::INVALID_SOURCE)?,
            esme: Address::parse(&mut cursor, ADDRESS_MAX, CommandStatus::INVALID_DESTINATION)?,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::ALERT_NOTIFICATION, CommandStatus::OK, sequence_number, |out| {
            self.source.write(out);
            self.esme.write(out);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}
