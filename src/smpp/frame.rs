//! Framing: octets of a stream ↔ whole PDUs. Owns: nothing. Takes: what the link has read. Gives: the next PDU,
//! how much is missing, or that framing is lost. Never: waits for or allocates what a peer only claims.

use super::command::CommandId;
use super::status::CommandStatus;
use crate::limits::{HEADER_LEN, PDU_MAX};

/// The four header fields (SMPP 3.4 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Octets of the whole PDU.
    pub command_length: u32,
    /// What it is.
    pub command_id: CommandId,
    /// The result, in responses; to be ignored in requests.
    pub command_status: CommandStatus,
    /// Echoed by the response. Peers use every value, also 0 and above 0x7FFFFFFF.
    pub sequence_number: u32,
}

/// One whole PDU: 16 octets or more, as many as its command_length says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pdu<'a> {
    bytes: &'a [u8],
    header: Header,
}

/// What stands at the front of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole PDU and what follows it.
    Whole(Pdu<'a>, &'a [u8]),
    /// More octets are needed before the PDU is whole: this many at least.
    Partial(usize),
    /// command_length is below 16 or over the limit: no later octet can be trusted. Answer generic_nack
    /// ESME_RINVCMDLEN with sequence 0 and close. Decided from the first four octets.
    Lost(u32),
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let octets = bytes.get(at..at + 4).and_then(|s| <[u8; 4]>::try_from(s).ok());
    octets.map_or(0, u32::from_be_bytes)
}

impl Header {
    /// Of the octets of a PDU, which are 16 or more.
    #[inline(always)]
    fn of(pdu: &[u8]) -> Self {
        Self {
            command_length: word(pdu, 0),
            command_id: CommandId(word(pdu, 4)),
            command_status: CommandStatus(word(pdu, 8)),
            sequence_number: word(pdu, 12),
        }
    }
}

impl<'a> Frame<'a> {
    /// Looks at the front of `bytes`. `pdu_max` is the largest command_length taken, octets.
    #[inline]
    #[must_use]
    pub fn next(bytes: &'a [u8], pdu_max: usize) -> Self {
        debug_assert!(pdu_max <= PDU_MAX);
        if bytes.len() < 4 {
            return Self::Partial(4 - bytes.len());
        }
        let command_length = word(bytes, 0);
        let length = command_length as usize;
        if length < HEADER_LEN || length > pdu_max {
            return Self::Lost(command_length);
        }
        let Some((pdu, rest)) = bytes.split_at_checked(length) else {
            return Self::Partial(length - bytes.len());
        };
        Self::Whole(Pdu { bytes: pdu, header: Header::of(pdu) }, rest)
    }
}

impl<'a> Pdu<'a> {
    /// The PDU that `bytes` are, when they are exactly one.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Option<Self> {
        match Frame::next(bytes, PDU_MAX) {
            Frame::Whole(pdu, []) => Some(pdu),
            Frame::Whole(..) | Frame::Partial(_) | Frame::Lost(_) => None,
        }
    }

    /// A copy whose header is read again from its octets. A header that was just written, word by word, cannot be copied
    /// as a whole before the writes ahead of it are done.
    #[inline(always)]
    #[must_use]
    pub fn again(&self) -> Self {
        let bytes = self.bytes;
        Self { bytes, header: Header::of(bytes) }
    }

    /// All octets, header first.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The octets after the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Shorthand for the header's command_id.
    #[must_use]
    pub const fn command_id(&self) -> CommandId {
        self.header.command_id
    }

    /// Shorthand for the header's sequence_number.
    #[must_use]
    pub const fn sequence_number(&self) -> u32 {
        self.header.sequence_number
    }
}

/// Appends a header-only PDU.
pub fn write_header_only(
    out: &mut Vec<u8>,
    command_id: CommandId,
    status: CommandStatus,
    sequence_number: u32,
) {
    write_header(out, HEADER_LEN as u32, command_id, status, sequence_number);
}

/// Appends a header.
#[inline]
pub fn write_header(
    out: &mut Vec<u8>,
    command_length: u32,
    command_id: CommandId,
    status: CommandStatus,
    sequence_number: u32,
) {
    let mut header = [0; HEADER_LEN];
    let words = [command_length, command_id.0, status.0, sequence_number];
    for (field, value) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *field = value.to_be_bytes();
    }
    out.extend_from_slice(&header);
}

/// Appends a PDU whose body `body` writes; command_length is filled in afterwards.
pub fn write_pdu(
    out: &mut Vec<u8>,
    command_id: CommandId,
    status: CommandStatus,
    sequence_number: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    write_header(out, 0, command_id, status, sequence_number);
    body(out);
    let length = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a copy of `pdu` with another sequence_number: the one copy of a relayed PDU.
#[inline]
pub fn copy_with_sequence(out: &mut Vec<u8>, pdu: &Pdu<'_>, sequence_number: u32) {
    let start = out.len();
    out.extend_from_slice(pdu.bytes());
    if let Some(field) = out.get_mut(start + 12..start + 16) {
        field.copy_from_slice(&sequence_number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PDU_MAX_DEFAULT;

    #[test]
    fn a_claim_over_the_limit_is_refused_from_four_octets() {
        assert_eq!(Frame::next(&[0x7F, 0xFF, 0xFF, 0xFF], PDU_MAX_DEFAULT), Frame::Lost(0x7FFF_FFFF));
        assert_eq!(Frame::next(&[0, 0, 0, 15], PDU_MAX_DEFAULT), Frame::Lost(15));
        assert_eq!(Frame::next(&[0, 0, 0], PDU_MAX_DEFAULT), Frame::Partial(1));
        assert_eq!(Frame::next(&[0, 0, 0, 20], PDU_MAX_DEFAULT), Frame::Partial(16));
    }

    #[test]
    fn a_copy_differs_in_its_sequence_number_only() {
        let mut pdu = Vec::new();
        write_pdu(&mut pdu, CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 7, |out| out.extend(b"id\0"));
        let mut copy = Vec::new();
        copy_with_sequence(&mut copy, &Pdu::whole(&pdu).unwrap(), 0x0102_0304);
        assert_eq!(copy.len(), pdu.len());
        assert_eq!(&copy[12..16], &[1, 2, 3, 4]);
        assert_eq!((&copy[..12], &copy[16..]), (&pdu[..12], &pdu[16..]));
    }
}
