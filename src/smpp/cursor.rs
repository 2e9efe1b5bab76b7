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
    /// Over `max`, or without a NUL: `status`. Nothing left at all: `ESME_RINVCMDLEN`.
    #[inline]
    pub fn c_octets(
        &mut self,
        max: usize,
        status: CommandStatus,
        reason: &'static str,
    ) -> Result<&'a [u8], PduError> {
        if self.rest.is_empty() {
            return Err(self.error(CommandStatus::INVALID_COMMAND_LENGTH, reason));
        }
        let window = self.rest.get(..max.min(self.rest.len())).unwrap_or(self.rest);
        let Some(end) = window.iter().position(|&octet| octet == 0) else {
            return Err(self.error(status, reason));
        };
        let text = self.take(end).unwrap_or_default();
        self.take(1);
        Ok(text)
    }
}
