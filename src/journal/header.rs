//! The header of a segment (pages 0 and 1, the same twice) and of a batch.

use super::frame::Seed;
use super::octets::{Reader, Sink, Writer};
use super::{Lsn, PAGE};
use crate::limits::JOURNAL_FORKS_MAX;
use crate::time::{Instant, Now, Wall};

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"BINDERYJ");
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"BTCH");
/// What this program writes.
pub const FORMAT: u16 = 1;
/// Octets of the header of a batch.
pub const BATCH_HEAD: usize = 64;
/// Batches begin at multiples of it.
const BATCH_ALIGN: usize = 8;
/// Octets of the header of a segment in both copies; the first batch follows.
pub const SEGMENT_HEAD: usize = 2 * PAGE;
const CRC_AT: usize = 12;
const SEGMENT_COVERED: usize = 16;
const BATCH_COVERED: usize = 8;
const _: () = assert!(256 + 16 * JOURNAL_FORKS_MAX <= PAGE);

/// Where a run began: what runs before it say from there on is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The run.
    pub run: u64,
    /// Its first record that no earlier run has written.
    pub lsn: Lsn,
}

/// What a segment is: written once, when it is taken into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The directory that it belongs to.
    pub journal: u128,
    /// The shard whose records it holds.
    pub shard: u32,
    /// Which use of a file this is, counted over the journal.
    pub number: u64,
    /// Which start of the process wrote it: its time, or the number after the last one.
    pub run: u64,
    /// Random: of this use of the file alone.
    pub epoch: u64,
    /// Its first record.
    pub base: Lsn,
    /// The first record of its run that no earlier run has written: what earlier segments say from there on is void.
    pub fork: Lsn,
    /// The same of earlier runs, at most `JOURNAL_FORKS_MAX`: their own segments may not have survived.
    pub forks: Vec<Fork>,
    /// The last record that was durable when it was taken into use.
    pub durable: Lsn,
    /// Its length.
    pub length: u64,
    /// When it was taken into use.
    pub wall: Wall,
    /// The same by the clock of its run.
    pub mono: Instant,
}

/// Why a header is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHeader {
    /// It is no header, or damaged.
    Damaged,
    /// A later program wrote it, and this one cannot read it.
    Newer {
        /// The least format that a reader must know.
        reader: u16,
    },
}

impl SegmentHeader {
    /// One copy: a page.
    #[must_use]
    pub fn to_page(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        let mut out = Writer::new(&mut page);
        out.u64(SEGMENT_MAGIC);
        out.u16(FORMAT);
        out.u16(FORMAT);
        // The checksum.
        out.u32(0);
        out.put(&self.journal.to_le_bytes());
        out.u32(self.shard);
        out.u32(0);
        let fields =
            [self.number, self.run, self.epoch, self.base.0, self.fork.0, self.durable.0, self.length];
        fields.iter().for_each(|field| out.u64(*field));
        out.u64(self.wall.0.cast_unsigned());
        out.u64(self.mono.as_nanos());
        let known = self.forks.len().saturating_sub(JOURNAL_FORKS_MAX);
        let forks = self.forks.get(known..).unwrap_or_default();
        out.u64(forks.len() as u64);
        for fork in forks {
            out.u64(fork.run);
            out.u64(fork.lsn.0);
        }
        let crc = page_crc(&page);
        if let Some(place) = page.get_mut(CRC_AT..SEGMENT_COVERED) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        page
    }

    /// Reads one copy.
    ///
    /// # Errors
    /// It is damaged, or of a later format.
    pub fn of_page(page: &[u8]) -> Result<Self, BadHeader> {
        let page = page.get(..PAGE).ok_or(BadHeader::Damaged)?;
        Self::parse(page).ok_or(BadHeader::Damaged)?
    }

    fn parse(page: &[u8]) -> Option<Result<Self, BadHeader>> {
        let mut from = Reader::new(page);
        let magic = from.u64()?;
        let (_format, reader) = (from.u16()?, from.u16()?);
        let crc = from.u32()?;
        if magic != SEGMENT_MAGIC || crc != page_crc(page) {
            return None;
        }
        if reader > FORMAT {
            return Some(Err(BadHeader::Newer { reader }));
        }
        let journal = u128::from_le_bytes(from.array()?);
        let shard = from.u32()?;
        from.u32()?;
        Some(Ok(Self {
            journal,
            shard,
            number: from.u64()?,
            run: from.u64()?,
            epoch: from.u64()?,
            base: Lsn(from.u64()?),
            fork: Lsn(from.u64()?),
            durable: Lsn(from.u64()?),
            length: from.u64()?,
            wall: Wall(from.i64()?),
            mono: Instant::from_nanos(from.u64()?),
            forks: {
                let count = from.u64()?.min(JOURNAL_FORKS_MAX as u64);
                (0..count)
                    .map(|_| Some(Fork { run: from.u64()?, lsn: Lsn(from.u64()?) }))
                    .collect::<Option<_>>()?
            },
        }))
    }

    /// When a record of this segment was written.
    #[must_use]
    pub fn time_of(&self, time_ms: u32) -> Wall {
        let opened = (self.mono.as_nanos() / 1_000_000) as u32;
        // Records are written before and after the segment is taken into use, at most 24 days apart.
        let after = i64::from(time_ms.wrapping_sub(opened).cast_signed());
        Wall(self.wall.0.saturating_add(after * 1000))
    }
}

/// The time as frames say it.
#[must_use]
pub const fn time_ms(now: Now) -> u32 {
    (now.mono.as_nanos() / 1_000_000) as u32
}

/// The page without its checksum; format and reader are covered.
fn page_crc(page: &[u8]) -> u32 {
    let before = crc32c::crc32c(page.get(..CRC_AT).unwrap_or_default());
    crc32c::crc32c_append(before, page.get(SEGMENT_COVERED..).unwrap_or_default())
}

/// What stands before the frames of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// That of its segment.
    pub epoch: u64,
    /// Its place among the batches of the segment, from 0.
    pub number: u64,
    /// Its first record.
    pub first: Lsn,
    /// The last record that was durable when it was written.
    pub durable: Lsn,
    /// The oldest record that was needed then.
    pub front: Lsn,
    /// Its records.
    pub records: u32,
    /// Octets of its frames.
    pub octets: u32,
}

impl BatchHeader {
    /// As it is written.
    #[must_use]
    pub fn to_octets(&self) -> [u8; BATCH_HEAD] {
        let mut octets = [0; BATCH_HEAD];
        let mut out = Writer::new(&mut octets);
        out.u32(BATCH_MAGIC);
        out.u32(0);
        [self.epoch, self.number, self.first.0, self.durable.0, self.front.0]
            .iter()
            .for_each(|field| out.u64(*field));
        out.u32(self.records);
        out.u32(self.octets);
        let crc = Seed::of(self.epoch).crc(octets.get(BATCH_COVERED..).unwrap_or_default());
        if let Some(place) = octets.get_mut(4..BATCH_COVERED) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        octets
    }

    /// Reads one; `None` when it is none or damaged.
    #[must_use]
    pub fn of_octets(octets: &[u8]) -> Option<Self> {
        let octets = octets.get(..BATCH_HEAD)?;
        let mut from = Reader::new(octets);
        let (magic, crc) = (from.u32()?, from.u32()?);
        if magic != BATCH_MAGIC {
            return None;
        }
        let header = Self {
            epoch: from.u64()?,
            number: from.u64()?,
            first: Lsn(from.u64()?),
            durable: Lsn(from.u64()?),
            front: Lsn(from.u64()?),
            records: from.u32()?,
            octets: from.u32()?,
        };
        (crc == Seed::of(header.epoch).crc(octets.get(BATCH_COVERED..)?)).then_some(header)
    }
}

/// The sound headers of batches that begin at or behind a place, whatever stands between them.
pub fn batches(octets: &[u8], from: usize) -> impl Iterator<Item = (usize, BatchHeader)> {
    let magic = BATCH_MAGIC.to_le_bytes();
    let from = from.next_multiple_of(BATCH_ALIGN);
    let places = octets.get(from..).unwrap_or_default().chunks_exact(BATCH_ALIGN).enumerate();
    let may_be = places.filter(move |(_, octets)| octets.starts_with(&magic));
    may_be.filter_map(move |(index, _)| {
        let at = from + index * BATCH_ALIGN;
        Some((at, BatchHeader::of_octets(octets.get(at..)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            journal: 1 << 100 | 7,
            shard: 3,
            number: 9,
            run: 2,
            epoch: 0xDEAD_BEEF_0123_4567,
            base: Lsn(1000),
            fork: Lsn(990),
            durable: Lsn(999),
            length: 1 << 26,
            wall: Wall(1_790_000_000_000_000),
            mono: Instant::from_nanos(5_000_000_000),
            forks: (0..128).map(|run| Fork { run, lsn: Lsn(run * 3) }).collect(),
        }
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        assert_eq!(SegmentHeader::of_page(&header().to_page()), Ok(header()));
        let batch = BatchHeader {
            epoch: 5,
            number: 1,
            first: Lsn(7),
            durable: Lsn(6),
            front: Lsn(2),
            records: 3,
            octets: 900,
        };
        assert_eq!(BatchHeader::of_octets(&batch.to_octets()), Some(batch));
        assert_eq!(BatchHeader::of_octets(&[0; BATCH_HEAD]), None);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_header_is_seen() {
        let page = header().to_page();
        for octet in 0..PAGE {
            let mut flipped = page;
            flipped[octet] ^= 1 << (octet % 8);
            assert_eq!(SegmentHeader::of_page(&flipped), Err(BadHeader::Damaged), "octet {octet}");
        }
        assert_eq!(SegmentHeader::of_page(&page[..PAGE - 1]), Err(BadHeader::Damaged));
    }

    #[test]
    fn the_header_of_a_later_format_is_named_and_not_read() {
        let mut page = header().to_page();
        page[10] = 9;
        let crc = page_crc(&page);
        page[CRC_AT..SEGMENT_COVERED].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::of_page(&page), Err(BadHeader::Newer { reader: 9 }));
    }

    #[test]
    fn the_time_of_a_record_is_told_around_the_segments_own() {
        let header = header();
        assert_eq!(header.time_of(5_001), Wall(1_790_000_000_001_000));
        assert_eq!(header.time_of(4_999), Wall(1_789_999_999_999_000));
    }
}
