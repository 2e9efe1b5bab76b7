//! Responses that carry a message_id, read so that nothing a peer leaves out loses an accepted message
//! (SMPP 5.0 §4.2.3). Owns: nothing. Takes: a whole PDU. Gives: the id, and every octet after it as it came, so that
//! a relay can put its own id there. Never: refuses a response.

use super::command::CommandId;
use super::cursor::find_nul;
use super::frame::{Pdu, write_header};
use super::status::CommandStatus;
use super::tlv::{Tlvs, is_whole};
use crate::limits::HEADER_LEN;

/// submit_sm_resp, data_sm_resp, deliver_sm_resp, broadcast_sm_resp or query_broadcast_sm_resp, read in place; the
/// front of a submit_multi_resp too.
///
/// The body is `id`, a NUL when `terminated`, then `after`: together they are all of its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageIdResp<'a> {
    /// The message_id without its NUL, of any length; empty when there is none.
    pub id: &'a [u8],
    /// False in a header-only PDU, where TLVs take the id's place and where a peer forgot the NUL.
    pub terminated: bool,
    /// All octets after the id and its NUL, TLVs or not.
    pub after: &'a [u8],
}

impl<'a> MessageIdResp<'a> {
    /// Reads the body, whatever it is.
    #[inline]
    #[must_use]
    pub fn parse(pdu: &Pdu<'a>) -> Self {
        let body = pdu.body();
        let found = find_nul(body).and_then(|end| body.split_at_checked(end));
        let Some((id, [_, after @ ..])) = found else {
            return Self { id: body, terminated: false, after: &[] };
        };
        if !is_whole(after) && is_whole(body) {
            return Self { id: &[], terminated: false, after: body };
        }
        Self { id, terminated: true, after }
    }

    /// A response with this message_id and nothing else.
    #[must_use]
    pub const fn new(id: &'a [u8]) -> Self {
        Self { id, terminated: true, after: &[] }
    }

    /// The same response with another message_id.
    #[must_use]
    pub const fn with_id(self, id: &'a [u8]) -> Self {
        Self { id, terminated: true, after: self.after }
    }

    /// The whole TLVs after the id.
    #[must_use]
    pub fn tlvs(&self) -> Tlvs<'a> {
        Tlvs::lenient(self.after)
    }

    /// Appends the PDU.
    #[inline]
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        command_id: CommandId,
        status: CommandStatus,
        sequence_number: u32,
    ) {
        debug_assert!(command_id.is_response());
        debug_assert!(self.terminated || self.id.is_empty() || self.after.is_empty());
        let length = HEADER_LEN + self.id.len() + usize::from(self.terminated) + self.after.len();
        write_header(out, length as u32, command_id, status, sequence_number);
        out.extend_from_slice(self.id);
        if self.terminated {
            out.push(0);
        }
        out.extend_from_slice(self.after);
    }
}

/// The text at the front of a response's body and what follows its NUL; no text where an error's body is TLVs alone
/// or is missing.
pub(super) fn split_text<'a>(pdu: &Pdu<'a>) -> (Option<&'a [u8]>, &'a [u8]) {
    let body = pdu.body();
    if body.is_empty() || (!pdu.header().command_status.is_ok() && is_whole(body)) {
        return (None, body);
    }
    let mut parts = body.splitn(2, |&octet| octet == 0);
    (parts.next(), parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::frame::write_pdu;
    use crate::smpp::tlv::Tag;

    fn pdu(status: CommandStatus, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_pdu(&mut out, CommandId::SUBMIT_SM_RESP, status, 10, |out| out.extend_from_slice(body));
        out
    }

    fn read(status: CommandStatus, body: &[u8]) -> (Vec<u8>, bool, Vec<u8>) {
        let bytes = pdu(status, body);
        let response = MessageIdResp::parse(&Pdu::whole(&bytes).unwrap());
        let mut again = Vec::new();
        response.write(&mut again, CommandId::SUBMIT_SM_RESP, status, 10);
        assert_eq!(again, bytes);
        (response.id.to_vec(), response.terminated, response.after.to_vec())
    }

    #[test]
    fn whatever_a_peer_leaves_out_the_rest_is_read() {
        let empty = Vec::new;
        assert_eq!(read(CommandStatus::OK, b""), (empty(), false, empty()));
        assert_eq!(read(CommandStatus::OK, b"\0"), (empty(), true, empty()));
        assert_eq!(read(CommandStatus::OK, b"12345"), (b"12345".to_vec(), false, empty()));
        assert_eq!(read(CommandStatus::OK, b"123\0\0\0"), (b"123".to_vec(), true, vec![0, 0]));
        let tlv = b"\x00\x1d\x00\x05busy\x00";
        assert_eq!(read(CommandStatus::SYSTEM_ERROR, tlv), (empty(), false, tlv.to_vec()));
        let both = b"\x00\x04\x25\x00\x01\x03";
        assert_eq!(read(CommandStatus::DELIVERY_FAILURE, both), (empty(), true, both[1..].to_vec()));
    }

    #[test]
    fn another_id_leaves_the_tlvs_as_they_were() {
        let bytes = pdu(CommandStatus::OK, b"theirs\0\x04\x28\x00\x01\x55");
        let response = MessageIdResp::parse(&Pdu::whole(&bytes).unwrap());
        let mut out = Vec::new();
        response.with_id(b"ours").write(&mut out, CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 3);
        let relayed = Pdu::whole(&out).unwrap();
        assert_eq!(relayed.body(), b"ours\0\x04\x28\x00\x01\x55");
        assert_eq!(MessageIdResp::parse(&relayed).tlvs().octet(Tag::CONGESTION_STATE), Some(0x55));
    }
}
