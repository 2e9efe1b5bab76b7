//! A frame: one record with its number and checksum, the same in the ring and on the disk.
//!
//! ```text
//! len u32 | crc u32 | lsn u64 | key u64 | time_ms u32 | kind u8 | version u8 | flags u16 | payload | zeros to 8
//! ```
//! `len` counts head and payload. The checksum begins with the epoch and the length and covers everything behind itself,
//! the zeros too. In the ring it is not set.

use super::octets::{Reader, Sink, Writer};
use super::record::Record;
use super::{Kind, Lsn};

/// Octets before the payload.
pub const FRAME_HEAD: usize = 32;
/// What `len` says where the ring goes on at its beginning.
pub(super) const WRAP: u32 = u32::MAX;
/// A reader that does not know the kind may pass over the record.
pub const SKIPPABLE: u16 = 1;
const CRC_AT: usize = 4;
const COVERED_FROM: usize = 8;
const TIME_AT: usize = 24;
const ALIGN: usize = 8;

/// What the checksums of one use of a file begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// Of an epoch.
    #[must_use]
    pub fn of(epoch: u64) -> Self {
        Self(crc32c::crc32c(&epoch.to_le_bytes()))
    }

    /// The checksum of these octets.
    #[must_use]
    pub fn crc(self, octets: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, octets)
    }

    fn crc_of_frame(self, length: u32, covered: &[u8]) -> u32 {
        crc32c::crc32c_append(self.crc(&length.to_le_bytes()), covered)
    }
}

/// What a shard says of a record beside its kind and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub lsn: Lsn,
    /// What it belongs to: a message's own id, a parked receipt, a sink, a block.
    pub key: u64,
    /// Milliseconds of the monotonic clock, the lower 32 bits.
    pub time_ms: u32,
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// What it belongs to.
    pub key: u64,
    /// Milliseconds of the monotonic clock of the run that wrote it, the lower 32 bits.
    pub time_ms: u32,
    /// The kind as it is written; this program may not know it.
    pub kind: u8,
    /// Version of the payload's form.
    pub version: u8,
    /// `SKIPPABLE`.
    pub flags: u16,
    /// The record.
    pub payload: &'a [u8],
}

/// Octets that a frame with such a payload takes.
#[must_use]
pub const fn frame_len(payload: usize) -> usize {
    (FRAME_HEAD + payload).next_multiple_of(ALIGN)
}

/// Writes a frame without its checksum; `out` is `frame_len` octets.
#[inline]
pub fn write(out: &mut [u8], head: &Head, record: &Record<'_>, payload: usize) {
    assert_eq!(out.len(), frame_len(payload), "the place was measured for this record");
    let mut to = Writer::new(out);
    to.u32((FRAME_HEAD + payload) as u32);
    to.u32(0);
    to.u64(head.lsn.0);
    to.u64(head.key);
    to.u32(head.time_ms);
    to.u8(record.kind() as u8);
    to.u8(record.version());
    to.u16(record.kind().flags());
    record.put(&mut to);
    to.rest().fill(0);
}

/// Sets the checksum of a whole frame.
pub fn seal(frame: &mut [u8], seed: Seed) {
    let length = frame.first_chunk().map_or(0, |octets| u32::from_le_bytes(*octets));
    let crc = seed.crc_of_frame(length, frame.get(COVERED_FROM..).unwrap_or_default());
    if let Some(place) = frame.get_mut(CRC_AT..COVERED_FROM) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Gives a frame another time.
pub(super) fn set_time(frame: &mut [u8], time_ms: u32) {
    if let Some(place) = frame.get_mut(TIME_AT..TIME_AT + 4) {
        place.copy_from_slice(&time_ms.to_le_bytes());
    }
}

/// The octets that the frame at the front takes, when its length can be one.
#[must_use]
pub fn span(octets: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*octets.first_chunk()?) as usize;
    if length < FRAME_HEAD || length > octets.len() {
        return None;
    }
    let span = length.next_multiple_of(ALIGN);
    (span <= octets.len()).then_some(span)
}

impl<'a> Frame<'a> {
    /// The frame at the front, whose checksum is not looked at: in the ring there is none.
    #[must_use]
    pub fn unsealed(octets: &'a [u8]) -> Option<(Self, usize)> {
        let span = span(octets)?;
        let mut from = Reader::new(octets);
        let length = from.u32()? as usize;
        from.u32()?;
        let frame = Self {
            lsn: Lsn(from.u64()?),
            key: from.u64()?,
            time_ms: from.u32()?,
            kind: from.u8()?,
            version: from.u8()?,
            flags: from.u16()?,
            payload: from.take(length.checked_sub(FRAME_HEAD)?)?,
        };
        Some((frame, span))
    }

    /// The frame at the front, when its checksum holds.
    #[must_use]
    pub fn sealed(octets: &'a [u8], seed: Seed) -> Option<(Self, usize)> {
        let (frame, span) = Self::unsealed(octets)?;
        let mut from = Reader::new(octets);
        let (length, crc) = (from.u32()?, from.u32()?);
        (seed.crc_of_frame(length, octets.get(COVERED_FROM..span)?) == crc).then_some((frame, span))
    }

    /// The kind, when this program knows it.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::of(self.kind)
    }

    /// The record, when this program can read it.
    #[must_use]
    pub fn record(&self) -> Option<Record<'a>> {
        Record::read(self.kind()?, self.version, self.payload)
    }

    /// The same; of a copy the record that it is one of.
    #[must_use]
    pub fn original(&self) -> Option<Record<'a>> {
        match self.record()? {
            Record::Move { kind, version, payload, .. } => Record::read(Kind::of(kind)?, version, payload),
            record => Some(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(seed: Seed) -> Vec<u8> {
        let record = Record::Tombstone { reason: 7 };
        let payload = record.len();
        let mut frame = vec![0xFF; frame_len(payload)];
        write(&mut frame, &Head { lsn: Lsn(9), key: 77, time_ms: 5 }, &record, payload);
        seal(&mut frame, seed);
        frame
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let frame = framed(Seed::of(1));
        let (read, span) = Frame::sealed(&frame, Seed::of(1)).unwrap();
        assert_eq!((read.lsn, read.key, read.time_ms, span), (Lsn(9), 77, 5, frame.len()));
        assert_eq!(read.record(), Some(Record::Tombstone { reason: 7 }));
    }

    #[test]
    fn any_bit_that_flips_is_seen_and_so_is_another_life_of_the_file() {
        let seed = Seed::of(1);
        let frame = framed(seed);
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::sealed(&flipped, seed).is_none(), "bit {bit}");
        }
        assert!(Frame::sealed(&frame, Seed::of(2)).is_none());
        assert!((0..frame.len()).all(|cut| Frame::sealed(&frame[..cut], seed).is_none()));
    }
}
