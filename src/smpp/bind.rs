//! bind_receiver, bind_transmitter, bind_transceiver, their responses, and outbind (SMPP 3.4 §4.1, §4.7). Owns:
//! nothing. Takes: a whole PDU. Gives: a view into it, or the status of the first field that is wrong. Never: knows
//! an account.

use super::command::CommandId;
use super::cursor::{Cursor, PduError};
use super::frame::{Pdu, write_pdu};
use super::response::split_text;
use super::sm::write_c_octets;
use super::status::CommandStatus;
use super::tlv::{Tag, Tlvs};
use crate::limits::HEADER_LEN;

/// Octets of a password with its NUL. The specification says 9; peers use longer ones, and the check of the
/// credentials is what refuses a wrong one.
const PASSWORD_MAX: usize = 64;
const CUT: &str = "PDU ends inside its mandatory fields";

/// Any of the three binds, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bind<'a> {
    /// The account, up to 15 characters.
    pub system_id: &'a [u8],
    /// Up to 63 characters.
    pub password: &'a [u8],
    /// Up to 12 characters.
    pub system_type: &'a [u8],
    /// 0x00–0x33, 0x34, 0x50; reserved values pass.
    pub interface_version: u8,
    /// Type of number of the addresses served.
    pub addr_ton: u8,
    /// Numbering plan of the addresses served.
    pub addr_npi: u8,
    /// The addresses served, up to 40 characters.
    pub address_range: &'a [u8],
    /// The specification has none here; peers do.
    pub tlvs: Tlvs<'a>,
}

fn system_id<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], PduError> {
    cursor.c_octets(16, CommandStatus::INVALID_SYSTEM_ID, "system_id over 15 characters")
}

fn password<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], PduError> {
    cursor.c_octets(PASSWORD_MAX, CommandStatus::INVALID_PASSWORD, "password over 63 characters")
}

impl<'a> Bind<'a> {
    /// Reads any of the three.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        let cursor = &mut cursor;
        Ok(Self {
            system_id: system_id(cursor)?,
            password: password(cursor)?,
            system_type: cursor.c_octets(
                13,
                CommandStatus::INVALID_SYSTEM_TYPE,
                "system_type over 12 characters",
            )?,
            interface_version: cursor.octet(CUT)?,
            addr_ton: cursor.octet(CUT)?,
            addr_npi: cursor.octet(CUT)?,
            address_range: cursor.c_octets(
                41,
                CommandStatus::BIND_FAILED,
                "address_range over 40 characters",
            )?,
            tlvs: Tlvs::parse(cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, command_id: CommandId, sequence_number: u32) {
        write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.system_id);
            write_c_octets(out, self.password);
            write_c_octets(out, self.system_type);
            out.extend_from_slice(&[self.interface_version, self.addr_ton, self.addr_npi]);
            write_c_octets(out, self.address_range);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// Any of the three bind responses, read in place. One that is ESME_ROK means bound, whatever its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BindResp<'a> {
    /// Who answers; `None` when the body is missing or is TLVs alone.
    pub system_id: Option<&'a [u8]>,
    /// The whole TLVs.
    pub tlvs: Tlvs<'a>,
}

impl<'a> BindResp<'a> {
    /// Reads the body, whatever it is.
    #[must_use]
    pub fn parse(pdu: &Pdu<'a>) -> Self {
        let (system_id, after) = split_text(pdu);
        Self { system_id, tlvs: Tlvs::lenient(after) }
    }

    /// The version that the peer speaks, when it says so.
    #[must_use]
    pub fn sc_interface_version(&self) -> Option<u8> {
        self.tlvs.octet(Tag::SC_INTERFACE_VERSION)
    }

    /// Appends the PDU.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        command_id: CommandId,
        status: CommandStatus,
        sequence_number: u32,
    ) {
        write_pdu(out, command_id, status, sequence_number, |out| {
            if let Some(system_id) = self.system_id {
                write_c_octets(out, system_id);
            }
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

/// outbind, read in place: the MC asks the ESME to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outbind<'a> {
    /// Who asks, up to 15 characters.
    pub system_id: &'a [u8],
    /// Up to 63 characters.
    pub password: &'a [u8],
    /// The specification has none here.
    pub tlvs: Tlvs<'a>,
}

impl<'a> Outbind<'a> {
    /// Reads the PDU.
    pub fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        let mut cursor = Cursor::new(pdu.body(), HEADER_LEN);
        Ok(Self {
            system_id: system_id(&mut cursor)?,
            password: password(&mut cursor)?,
            tlvs: Tlvs::parse(&mut cursor)?,
        })
    }

    /// Appends the PDU.
    pub fn write(&self, out: &mut Vec<u8>, sequence_number: u32) {
        write_pdu(out, CommandId::OUTBIND, CommandStatus::OK, sequence_number, |out| {
            write_c_octets(out, self.system_id);
            write_c_octets(out, self.password);
            out.extend_from_slice(self.tlvs.bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_over_the_specification_is_read() {
        let password = [b'p'; PASSWORD_MAX - 1];
        let bind =
            Bind { system_id: b"esme01", password: &password, interface_version: 0x34, ..Bind::default() };
        let mut out = Vec::new();
        bind.write(&mut out, CommandId::BIND_TRANSCEIVER, 1);
        assert_eq!(Bind::parse(&Pdu::whole(&out).unwrap()), Ok(bind));

        let longer = [b'p'; PASSWORD_MAX];
        out.clear();
        Bind { password: &longer, ..bind }.write(&mut out, CommandId::BIND_TRANSCEIVER, 1);
        let error = Bind::parse(&Pdu::whole(&out).unwrap()).unwrap_err();
        assert_eq!((error.status, error.offset), (CommandStatus::INVALID_PASSWORD, 23));
    }
}
