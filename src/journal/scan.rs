//! Reads one segment: every frame whose checksum holds, whatever is wrong around it.
//!
//! Batches follow each other. Where none is to be found, the pages behind are asked for the next one, and what lies
//! between is searched for single frames: a damaged page costs the records in it and no others. At the end of what was
//! written the same search finds nothing; it is bounded by a budget, whatever the octets say.

use super::frame::{FRAME_HEAD, Frame, Seed, span};
use super::header::{BATCH_HEAD, BatchHeader, SEGMENT_HEAD, SegmentHeader};
use super::{Lsn, PAGE, whole_pages};

/// What the scan comes across, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A batch whose header is sound.
    Batch(BatchHeader),
    /// A record.
    Frame(Frame<'a>, u64),
    /// Octets that are not what was written there.
    Damage(Damage),
}

/// Octets that are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin.
    pub at: u64,
    /// How many there may be.
    pub octets: u64,
    /// The first record that may be in them.
    pub lsn: Lsn,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Behind the last octet that is known to have been written.
    pub at: u64,
    /// Behind it stand some of a batch of this segment: it was being written when all stopped, or is damaged.
    pub torn: bool,
    /// Batches that were found.
    pub batches: u64,
}

/// Which octets a frame may be searched in, and how long.
struct Search<'a, 'f> {
    octets: &'a [u8],
    seed: Seed,
    header: &'f SegmentHeader,
    /// Octets whose checksum may still be computed in vain.
    budget: usize,
}

/// Reads a segment.
pub fn scan<'a>(octets: &'a [u8], header: &SegmentHeader, on: &mut dyn FnMut(Found<'a>)) -> End {
    let seed = Seed::of(header.epoch);
    let mut search = Search { octets, seed, header, budget: octets.len() };
    let (mut at, mut end) = (SEGMENT_HEAD, End { at: SEGMENT_HEAD as u64, ..End::default() });
    let (mut next_number, mut lsn) = (0, header.base);
    while at < octets.len() {
        match batch_at(octets, header, at, next_number) {
            Some(batch) => {
                on(Found::Batch(batch));
                let body = at + BATCH_HEAD..at + BATCH_HEAD + batch.octets as usize;
                if !search.whole(body.clone(), &batch, on) {
                    let (at, octets) = (body.start as u64, body.len() as u64);
                    on(Found::Damage(Damage { at, octets, lsn: batch.first }));
                    search.single(body.clone(), on);
                }
                at = whole_pages(body.end);
                let padding = octets.get(body.end..at).unwrap_or_default();
                if padding.iter().any(|octet| *octet != 0) {
                    let (at, octets) = (body.end as u64, padding.len() as u64);
                    on(Found::Damage(Damage { at, octets, lsn: batch.first }));
                }
                next_number = batch.number + 1;
                lsn = batch.first.plus(u64::from(batch.records));
                end.batches += 1;
                end.at = at as u64;
            }
            None => {
                let pages = (at + PAGE..octets.len()).step_by(PAGE);
                let next =
                    pages.into_iter().find(|page| batch_at(octets, header, *page, next_number).is_some());
                let until = next.unwrap_or(octets.len());
                let found = search.single(at..until, on);
                end.torn = next.is_none() && (found || was_begun(octets, header, at));
                if next.is_some() || end.torn {
                    let (at, octets) = (at as u64, (until - at) as u64);
                    on(Found::Damage(Damage { at, octets, lsn }));
                }
                at = until;
            }
        }
    }
    end
}

/// The header of a batch of this segment at a page.
fn batch_at(octets: &[u8], header: &SegmentHeader, at: usize, next_number: u64) -> Option<BatchHeader> {
    let batch = BatchHeader::of_octets(octets.get(at..)?)?;
    let ours = batch.epoch == header.epoch && batch.number >= next_number && batch.first >= header.base;
    let end = (at + BATCH_HEAD).checked_add(batch.octets as usize)?;
    (ours && end <= octets.len()).then_some(batch)
}

/// True when the page has the epoch of this segment where a batch has it.
fn was_begun(octets: &[u8], header: &SegmentHeader, at: usize) -> bool {
    octets.get(at + 8..at + 16) == Some(&header.epoch.to_le_bytes())
}

impl<'a> Search<'a, '_> {
    /// All frames of a batch, when they are sound and the ones that its header says.
    fn whole(
        &self,
        body: core::ops::Range<usize>,
        batch: &BatchHeader,
        on: &mut dyn FnMut(Found<'a>),
    ) -> bool {
        let mut sound = 0;
        // First look, then tell: a batch is told whole or frame by frame.
        for tell in [false, true] {
            let (mut at, mut lsn, mut records) = (body.start, batch.first, 0);
            while at < body.end {
                let rest = self.octets.get(at..body.end).unwrap_or_default();
                let read = if tell { Frame::unsealed(rest) } else { Frame::sealed(rest, self.seed) };
                let Some((frame, span)) = read.filter(|(frame, _)| frame.lsn == lsn) else { return false };
                if tell {
                    on(Found::Frame(frame, at as u64));
                }
                (at, lsn, records) = (at + span, lsn.next(), records + 1);
            }
            if records != batch.records {
                return false;
            }
            sound += records;
        }
        debug_assert_eq!(sound, batch.records * 2);
        true
    }

    /// Every single frame between two places; true when there was one.
    fn single(&mut self, region: core::ops::Range<usize>, on: &mut dyn FnMut(Found<'a>)) -> bool {
        let most = self.header.base.plus((self.octets.len() / FRAME_HEAD) as u64);
        let (mut at, mut found) = (region.start, false);
        while at + FRAME_HEAD <= region.end {
            let rest = self.octets.get(at..region.end).unwrap_or_default();
            let Some(length) = span(rest) else {
                at += 8;
                continue;
            };
            let lsn = rest.get(8..).and_then(|rest| rest.first_chunk());
            let lsn = lsn.map_or(Lsn::NONE, |octets| Lsn(u64::from_le_bytes(*octets)));
            if lsn < self.header.base || lsn > most || length > self.budget {
                at += 8;
                continue;
            }
            match Frame::sealed(rest, self.seed) {
                Some((frame, span)) => {
                    on(Found::Frame(frame, at as u64));
                    found = true;
                    at += span;
                }
                None => {
                    self.budget -= length;
                    at += 8;
                }
            }
        }
        found
    }
}
