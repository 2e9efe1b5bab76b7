//! The bounded cursor: the only way that this room reads octets. Owns: a position. Takes: a PDU. Gives: fields
//! or the place where they end. Never: reads past the end, panics, allocates.

use super::status::CommandStatus;

/// Why a PDU is not what it claims to be: what the peer is answered, and where and why for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PduError {
    /// The status that the matching response carries.
    pub status: CommandStatus,
    /// Octets from the start of the PDU to the field that is wrong.
    pub offset: usize,
    /// What is wrong, for the log.
    pub reason: &'static str,
}

/// Reads fields in order from one whole PDU.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over `bytes`, whose first octet stands at `offset` of the PDU.
    #[must_use]
    pub const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Octets from the start of the PDU.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the present position.
    #[must_use]
    pub const fn error(&self, status: CommandStatus, reason: &'static str) -> PduError {
        PduError { status, offset: self.offset, reason }
    }

    /// The next `n` octets.
    #[inline]
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        self.offset += n;
        Some(head)
    }

    /// One octet; `ESME_RINVCMDLEN` at the end.
    #[inline]
    pub fn octet(&mut self, reason: &'static str) -> Result<u8, PduError> {
        match self.rest.split_first() {
            Some((&octet, tail)) => {
                self.rest = tail;
                self.offset += 1;
                Ok(octet)
            }
            None => Err(self.error(CommandStatus::INVALID_COMMAND_LENGTH, reason)),
        }
    }

    /// A big-endian 2-octet integer.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| b.iter().fold(0, |n, &o| (n << 8) | u16::from(o)))
    }

    /// A big-endian 4-octet integer.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|b| b.iter().fold(0, |n, &o| (n << 8) | u32::from(o)))
    }

    /// A C-octet string of at most `max` octets, its NUL included; the NUL is not in what is given.
    /// Over `max`: `status`. The PDU ends before its NUL: `ESME_RINVCMDLEN`.
    #[inline]
    pub fn c_octets(
        &mut self,
        max: usize,
        status: CommandStatus,
        reason: &'static str,
    ) -> Result<&'a [u8], PduError> {
        let window = self.rest.get(..max).unwrap_or(self.rest);
        let Some(end) = window.iter().position(|&octet| octet == 0) else {
            let cut = window.len() < max;
            return Err(self.error(if cut { CommandStatus::INVALID_COMMAND_LENGTH } else { status }, reason));
        };
        let text = self.take(end).unwrap_or_default();
        self.take(1);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_is_cut_is_not_one_that_is_too_long() {
        let read = |bytes: &'static [u8]| {
            let mut cursor = Cursor::new(bytes, 16);
            cursor
                .c_octets(4, CommandStatus::INVALID_SOURCE, "")
                .map_err(|error| (error.status, error.offset))
        };
        assert_eq!(read(b"abc\x00d"), Ok(&b"abc"[..]));
        assert_eq!(read(b"\x00"), Ok(&b""[..]));
        assert_eq!(read(b""), Err((CommandStatus::INVALID_COMMAND_LENGTH, 16)));
        assert_eq!(read(b"abc"), Err((CommandStatus::INVALID_COMMAND_LENGTH, 16)));
        assert_eq!(read(b"abcd\x00"), Err((CommandStatus::INVALID_SOURCE, 16)));
        assert_eq!(read(b"abcd"), Err((CommandStatus::INVALID_SOURCE, 16)));
    }

    #[test]
    fn nothing_is_consumed_when_there_is_too_little() {
        let mut cursor = Cursor::new(&[1, 2, 3], 16);
        assert_eq!((cursor.u32(), cursor.take(4)), (None, None));
        assert_eq!((cursor.u16(), cursor.offset()), (Some(0x0102), 18));
        assert_eq!(cursor.octet(""), Ok(3));
        assert_eq!(cursor.octet("").unwrap_err().offset, 19);
    }
}
