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
    /// Where `rest` ends, from the start of the PDU.
    end: usize,
}

/// Where the first NUL stands, 8 octets at a time: addresses are the longest strings that a relay looks through, and an
/// octet at a time they cost a third of reading a submit_sm.
#[inline]
pub(super) fn find_nul(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        if let Some(nul) = nul_in(word) {
            return Some(at * 8 + nul);
        }
    }
    if rest.is_empty() {
        return None;
    }
    // Those of the last 8 that were looked at are none.
    let Some(last) = bytes.last_chunk() else { return rest.iter().position(|&octet| octet == 0) };
    nul_in(last).map(|nul| bytes.len() - 8 + nul)
}

#[inline]
const fn nul_in(octets: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(*octets);
    // The lowest octet whose high bit is set here is the first that is 0; a borrow can only spoil later ones.
    let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
    if zeros == 0 { None } else { Some(zeros.trailing_zeros() as usize / 8) }
}

impl<'a> Cursor<'a> {
    /// A cursor over `bytes`, whose first octet stands at `offset` of the PDU.
    #[must_use]
    pub const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, end: offset + bytes.len() }
    }

    /// Octets from the start of the PDU.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.end - self.rest.len()
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
        PduError { status, offset: self.offset(), reason }
    }

    /// The next `n` octets.
    #[inline]
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    /// The next `N` octets; `ESME_RINVCMDLEN` at the end of the PDU when it has fewer.
    #[inline]
    pub fn octets<const N: usize>(&mut self, reason: &'static str) -> Result<[u8; N], PduError> {
        match self.rest.split_first_chunk::<N>() {
            Some((octets, tail)) => {
                self.rest = tail;
                Ok(*octets)
            }
            None => {
                let status = CommandStatus::INVALID_COMMAND_LENGTH;
                Err(PduError { status, offset: self.end, reason })
            }
        }
    }

    /// One octet; `ESME_RINVCMDLEN` at the end.
    #[inline]
    pub fn octet(&mut self, reason: &'static str) -> Result<u8, PduError> {
        self.octets::<1>(reason).map(|[octet]| octet)
    }

    /// A big-endian 2-octet integer.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        let (octets, tail) = self.rest.split_first_chunk()?;
        self.rest = tail;
        Some(u16::from_be_bytes(*octets))
    }

    /// A big-endian 4-octet integer.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        let (octets, tail) = self.rest.split_first_chunk()?;
        self.rest = tail;
        Some(u32::from_be_bytes(*octets))
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
        // Most fields that may be empty are.
        if let Some((0, tail)) = self.rest.split_first() {
            self.rest = tail;
            return Ok(&[]);
        }
        let window = self.rest.get(..max).unwrap_or(self.rest);
        let found = find_nul(window).and_then(|end| self.rest.split_at_checked(end));
        if let Some((text, [_, tail @ ..])) = found {
            self.rest = tail;
            return Ok(text);
        }
        let cut = window.len() < max;
        Err(self.error(if cut { CommandStatus::INVALID_COMMAND_LENGTH } else { status }, reason))
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
    fn the_first_nul_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for other in [1u8, 0x7F, 0x80, 0xFF] {
                    let mut bytes = vec![other; length];
                    assert_eq!(find_nul(&bytes), None);
                    bytes[at] = 0;
                    assert_eq!(find_nul(&bytes), Some(at));
                    bytes[length - 1] = 0;
                    assert_eq!(find_nul(&bytes), Some(at), "the first of two");
                }
            }
        }
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
