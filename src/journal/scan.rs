//! Reads one segment: every frame whose checksum holds, whatever is wrong around it. First it is checked, by whoever has the
//! time; then what was found is told, in order.
//!
//! A batch follows the one before at once, or on the next page. Where none is to be found, all that is behind is asked for
//! the next one, and what lies between is searched for single frames: damage costs the records in it and no others. At the
//! end of what was written the same search finds nothing; it is bounded by a budget, whatever the octets say.

use super::frame::{FRAME_HEAD, Frame, Seed, span};
use super::header::{BATCH_HEAD, BatchHeader, SEGMENT_HEAD, SegmentHeader, batches};
use super::{Lsn, PAGE, is_blank, whole_pages};
use crate::limits::JOURNAL_SEGMENT_MAX;

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

/// What a segment holds, found once.
#[derive(Debug, Default)]
pub struct Checked {
    pieces: Vec<Piece>,
    heads: Vec<Head>,
    /// How the scan ended.
    pub end: End,
}

/// Places in the octets of a segment.
#[derive(Debug)]
enum Piece {
    /// The header of a batch.
    Batch(usize),
    /// Frames, in `Checked::heads`: those of a batch, or a single one.
    Frames(core::ops::Range<usize>),
    Damage(Damage),
}

/// A frame, and where its payload is: who is told of it has not had the segment in its cache, and most payloads are not asked
/// for.
#[derive(Debug)]
struct Head {
    lsn: Lsn,
    key: u64,
    time_ms: u32,
    at: u32,
    payload: u32,
    kind: u8,
    version: u8,
    flags: u16,
}

const _: () = assert!(size_of::<Head>() == 32 && JOURNAL_SEGMENT_MAX <= u32::MAX as u64);

impl Head {
    const fn new(frame: &Frame<'_>, at: usize) -> Self {
        let Frame { lsn, key, time_ms, kind, version, flags, payload } = *frame;
        Self { lsn, key, time_ms, at: at as u32, payload: payload.len() as u32, kind, version, flags }
    }

    fn frame<'a>(&self, octets: &'a [u8]) -> Frame<'a> {
        let Self { lsn, key, time_ms, kind, version, flags, .. } = *self;
        let from = self.at as usize + FRAME_HEAD;
        let payload = octets.get(from..from + self.payload as usize).unwrap_or_default();
        Frame { lsn, key, time_ms, kind, version, flags, payload }
    }
}

impl Checked {
    /// Tells it all, in the order of the file. `octets`: those that were checked.
    pub fn tell<'a>(&self, octets: &'a [u8], on: &mut dyn FnMut(Found<'a>)) {
        for piece in &self.pieces {
            match piece {
                Piece::Batch(at) => {
                    let batch = octets.get(*at..).and_then(BatchHeader::of_octets);
                    batch.into_iter().for_each(|batch| on(Found::Batch(batch)));
                }
                Piece::Frames(frames) => {
                    for head in self.heads.get(frames.clone()).unwrap_or_default() {
                        on(Found::Frame(head.frame(octets), u64::from(head.at)));
                    }
                }
                Piece::Damage(damage) => on(Found::Damage(*damage)),
            }
        }
    }

    fn damage(&mut self, octets: core::ops::Range<usize>, lsn: Lsn) {
        let (at, octets) = (octets.start as u64, octets.len() as u64);
        self.pieces.push(Piece::Damage(Damage { at, octets, lsn }));
    }
}

/// Which octets a frame may be searched in, and how long.
struct Search<'a> {
    octets: &'a [u8],
    seed: Seed,
    header: &'a SegmentHeader,
    /// Octets whose checksum may still be computed in vain.
    budget: usize,
}

/// Reads a segment at once.
pub fn scan<'a>(octets: &'a [u8], header: &SegmentHeader, on: &mut dyn FnMut(Found<'a>)) -> End {
    let checked = check(octets, header, Checked::default());
    checked.tell(octets, on);
    checked.end
}

/// Looks for all that is sound in a segment. `former`: its memory is used again.
#[must_use]
pub fn check(octets: &[u8], header: &SegmentHeader, former: Checked) -> Checked {
    let seed = Seed::of(header.epoch);
    let mut search = Search { octets, seed, header, budget: octets.len() };
    let (mut at, mut end) = (SEGMENT_HEAD, End { at: SEGMENT_HEAD as u64, ..End::default() });
    let mut found = former;
    found.pieces.clear();
    found.heads.clear();
    let (mut next_number, mut lsn, mut last) = (0, header.base, header.base);
    while at < octets.len() {
        match batch_at(octets, header, at, next_number) {
            Some(batch) => {
                found.pieces.push(Piece::Batch(at));
                let body = at + BATCH_HEAD..at + BATCH_HEAD + batch.octets as usize;
                // A batch is told whole or frame by frame.
                let known = found.heads.len();
                if search.is_whole(body.clone(), &batch, &mut found.heads) {
                    found.pieces.push(Piece::Frames(known..found.heads.len()));
                } else {
                    found.heads.truncate(known);
                    found.damage(body.clone(), batch.first);
                    search.single(body.clone(), &mut found);
                }
                at = body.end;
                (next_number, last) = (batch.number + 1, batch.first);
                lsn = last.plus(u64::from(batch.records));
                end.batches += 1;
                end.at = whole_pages(at) as u64;
            }
            None if is_padding(octets, at) => at = whole_pages(at),
            None => {
                let next = batches(octets, at + 8)
                    .find(|(at, batch)| is_ours(octets, header, *at, batch, next_number));
                let until = next.map_or(octets.len(), |(at, _)| at);
                let has_some = search.single(at..until, &mut found);
                // What was written to the page has zeros behind it, and is durable with the batch that it follows.
                let shared = !at.is_multiple_of(PAGE);
                end.torn = next.is_none() && (has_some || shared || was_begun(octets, header, at));
                if next.is_some() || end.torn {
                    found.damage(at..until, if shared { last } else { lsn });
                }
                at = until;
            }
        }
    }
    Checked { end, ..found }
}

/// The header of a batch of this segment at a place.
fn batch_at(octets: &[u8], header: &SegmentHeader, at: usize, next_number: u64) -> Option<BatchHeader> {
    let batch = BatchHeader::of_octets(octets.get(at..)?)?;
    is_ours(octets, header, at, &batch, next_number).then_some(batch)
}

/// True when the header at a place is that of a batch of this segment.
fn is_ours(octets: &[u8], header: &SegmentHeader, at: usize, batch: &BatchHeader, next_number: u64) -> bool {
    let end = (at + BATCH_HEAD).checked_add(batch.octets as usize);
    batch.epoch == header.epoch
        && batch.number >= next_number
        && batch.first >= header.base
        && end.is_some_and(|end| end <= octets.len())
}

/// True when nothing stands between here and the end of the page, and this is not the beginning of one.
fn is_padding(octets: &[u8], at: usize) -> bool {
    !at.is_multiple_of(PAGE) && octets.get(at..whole_pages(at)).is_none_or(is_blank)
}

/// True when the page has the epoch of this segment where a batch has it.
fn was_begun(octets: &[u8], header: &SegmentHeader, at: usize) -> bool {
    octets.get(at + 8..at + 16) == Some(&header.epoch.to_le_bytes())
}

impl Search<'_> {
    /// True when all frames of a batch are sound and the ones that its header says.
    fn is_whole(&self, body: core::ops::Range<usize>, batch: &BatchHeader, heads: &mut Vec<Head>) -> bool {
        let (mut at, mut lsn, mut records) = (body.start, batch.first, 0);
        while at < body.end {
            let rest = self.octets.get(at..body.end).unwrap_or_default();
            let sealed = Frame::sealed(rest, self.seed);
            let Some((frame, span)) = sealed.filter(|(frame, _)| frame.lsn == lsn) else { return false };
            heads.push(Head::new(&frame, at));
            (at, lsn, records) = (at + span, lsn.next(), records + 1);
        }
        records == batch.records
    }

    fn is_blank_page(&self, at: usize) -> bool {
        self.octets.get(at..at + PAGE).is_some_and(is_blank)
    }

    /// Every single frame between two places; true when there was one.
    fn single(&mut self, region: core::ops::Range<usize>, into: &mut Checked) -> bool {
        let most = self.header.base.plus((self.octets.len() / FRAME_HEAD) as u64);
        let (mut at, mut found) = (region.start, false);
        while at + FRAME_HEAD <= region.end {
            // What nobody has written to, mostly: no frame begins in it.
            if at.is_multiple_of(PAGE) && at + PAGE <= region.end && self.is_blank_page(at) {
                at += PAGE;
                continue;
            }
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
                    let known = into.heads.len();
                    into.heads.push(Head::new(&frame, at));
                    into.pieces.push(Piece::Frames(known..known + 1));
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
