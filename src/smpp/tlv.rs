//! TLVs: optional fields after the mandatory ones. Owns: nothing. Takes: the tail of a PDU. Gives: tags and values
//! in their order, known or not. Never: refuses a tag that it does not know (SMPP 3.4 §3.3, forward compatibility).

use super::cursor::{Cursor, PduError};
use super::status::CommandStatus;

/// A TLV's tag, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

/// One TLV as it stands in the PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is.
    pub tag: Tag,
    /// Its value, 0–65,535 octets.
    pub value: &'a [u8],
}

/// The TLVs of a PDU, already checked to fill the octets exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks that everything the cursor has left is whole TLVs; `ESME_RINVTLVSTREAM` otherwise.
    #[inline]
    pub fn parse(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        let bytes = cursor.rest();
        while !cursor.is_empty() {
            let whole = cursor.u16().is_some()
                && cursor.u16().is_some_and(|length| cursor.take(usize::from(length)).is_some());
            if !whole {
                return Err(cursor.error(CommandStatus::INVALID_TLV_STREAM, "octets left that make no TLV"));
            }
        }
        Ok(Self { bytes })
    }

    /// The whole TLVs at the front of `bytes`; what follows them is left out. For responses, whose bodies are not
    /// read strictly: a refused response loses an accepted message.
    #[must_use]
    pub fn lenient(bytes: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(bytes, 0);
        let mut end = 0;
        while cursor.u16().is_some()
            && cursor.u16().is_some_and(|length| cursor.take(usize::from(length)).is_some())
        {
            end = cursor.offset();
        }
        Self { bytes: bytes.get(..end).unwrap_or_default() }
    }

    /// The octets as they came.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// In wire order.
    #[must_use]
    pub const fn iter(&self) -> TlvIter<'a> {
        TlvIter { cursor: Cursor::new(self.bytes, 0) }
    }

    /// The first value with this tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.tag == tag).map(|tlv| tlv.value)
    }

    /// The first value with this tag when it is exactly one octet.
    #[must_use]
    pub fn octet(&self, tag: Tag) -> Option<u8> {
        match self.get(tag)? {
            [octet] => Some(*octet),
            _ => None,
        }
    }
}

impl<'a> IntoIterator for &Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = TlvIter<'a>;
    fn into_iter(self) -> TlvIter<'a> {
        self.iter()
    }
}

/// Walks TLVs in wire order.
#[derive(Debug, Clone)]
pub struct TlvIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = Tlv<'a>;

    #[inline]
    fn next(&mut self) -> Option<Tlv<'a>> {
        let tag = Tag(self.cursor.u16()?);
        let length = self.cursor.u16()?;
        Some(Tlv { tag, value: self.cursor.take(usize::from(length))? })
    }
}

/// Appends one TLV. `value` must be at most 65,535 octets; longer ones are cut there.
pub fn write_tlv(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    let length = value.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&tag.0.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(value.get(..length).unwrap_or_default());
}
