//! Follows a shard's journal while it is written. Owns: the place of the next record. Takes: a disk, and up to which record
//! all is durable. Gives: each record once, in order. Never: a record above that; changes anything on the disk.
//!
//! Of the files that may hold a record the one with the highest number that begins at or before it is right: what was
//! written again, after a failed write or a restart, is there. The records of a file are read batch by batch. What cannot
//! be read that way is damaged; then the whole journal is read as at a start, which costs the damaged records and no others.

use super::disk::{Disk, DiskError};
use super::frame::{Frame, Seed};
use super::header::{BATCH_HEAD, BatchHeader, SEGMENT_HEAD, SegmentHeader};
use super::recover::{Recovered, Recovery, Refusal, Report, Used, cut, forks_of};
use super::{Lsn, whole_pages};
use crate::time::Wall;

/// Octets that are read at a time, unless one batch is larger.
const CHUNK: usize = 1024 * 1024;
/// Files get other names while they are looked at: so often it is tried again.
const LOOKS: usize = 4;

/// Reads one shard's records as they become durable.
#[derive(Debug)]
pub struct Follower<F> {
    shard: u32,
    /// The next record; `NONE`: the oldest that there is.
    next: Lsn,
    open: Option<Open<F>>,
    octets: Vec<u8>,
    missed: u64,
    damaged: u64,
}

#[derive(Debug)]
struct Open<F> {
    file: F,
    length: u64,
    header: SegmentHeader,
    seed: Seed,
    /// Records from here on are void.
    cut: Lsn,
    /// Where the next batch begins, and its number.
    at: u64,
    number: u64,
    /// Where the octets that were read begin in the file.
    from: u64,
}

/// What became of a batch.
enum Batch {
    /// So many octets of it were passed.
    Read(usize),
    /// There is none that could hold the next record.
    None,
}

impl<F> Follower<F> {
    /// Of this shard, from the oldest record on.
    #[must_use]
    pub const fn new(shard: u32) -> Self {
        Self { shard, next: Lsn::NONE, open: None, octets: Vec::new(), missed: 0, damaged: 0 }
    }

    /// Goes to this record; `NONE`: the oldest.
    pub fn seek(&mut self, next: Lsn) {
        // A file that was passed begins before it, too; it may be the wrong one all the same.
        if next != self.next {
            self.open = None;
            self.next = next;
        }
    }

    /// The next record.
    #[must_use]
    pub const fn next(&self) -> Lsn {
        self.next
    }

    /// Records that were gone before they were read, and records whose octets are damaged.
    #[must_use]
    pub const fn lost(&self) -> (u64, u64) {
        (self.missed, self.damaged)
    }

    /// The id of the journal; `None` while there is no record.
    ///
    /// # Errors
    /// The disk does not give it.
    pub fn journal<D: Disk<File = F>>(&self, disk: &mut D) -> Result<Option<u128>, Refusal> {
        let used = self.files(disk)?.0;
        Ok(used.iter().map(|used| used.header.journal).find(|journal| *journal != 0))
    }

    /// Reads on, up to `upto`, until about so many octets are read. True when there is more.
    ///
    /// # Errors
    /// The disk does not give it, or it was written by a later program. Some records may have been visited.
    pub fn read<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        upto: Lsn,
        octets: usize,
        visit: &mut dyn FnMut(&Frame<'_>, Wall),
    ) -> Result<bool, Refusal> {
        // What was read before may have been written since.
        self.octets.clear();
        let (mut done, mut again) = (0, false);
        while self.next <= upto && upto > Lsn::NONE {
            if done >= octets {
                return Ok(true);
            }
            let before = self.next;
            let read = self.batch(disk, upto, visit)?;
            if let Batch::Read(octets) = read {
                (done, again) = (done + octets, false);
                continue;
            }
            again &= before == self.next;
            if self.find(disk)? {
                again = false;
            } else if again {
                done += self.mend(disk, upto, visit)?;
                again = false;
            } else {
                again = true;
            }
        }
        Ok(false)
    }

    /// The files that hold records, in order, with what is void in them; true when all of their headers are sound.
    fn files<D: Disk<File = F>>(&self, disk: &mut D) -> Result<(Vec<Used>, bool), Refusal> {
        let recovery = Recovery { shard: self.shard, journal: None };
        let mut looks = 0;
        loop {
            let (mut recovered, mut report) = (Recovered::default(), Report::default());
            match recovery.files(disk, &mut recovered, &mut report, &mut Vec::new()) {
                Err(Refusal::Disk(DiskError::Gone)) if looks < LOOKS => looks += 1,
                Err(refusal) => return Err(refusal),
                Ok(mut used) => {
                    used.sort_by_key(|used| used.header.number);
                    let forks = forks_of(&used);
                    cut(&mut used, &forks);
                    return Ok((used, report.damaged_places == 0));
                }
            }
        }
    }

    /// Opens the file that holds the next record; false when that is the one that is open, or there is none.
    fn find<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<bool, Refusal> {
        self.octets.clear();
        let (mut looks, mut gone) = (0, None);
        loop {
            looks += 1;
            let (used, sound) = self.files(disk)?;
            let oldest =
                used.iter().filter(|used| used.header.base < used.cut).map(|used| used.header.base).min();
            let Some(found) = holding(&used, self.next) else {
                let Some(oldest) = oldest.filter(|oldest| sound && *oldest > self.next) else {
                    return Ok(false);
                };
                // What was before the oldest file was given back; or that file is getting its name at this moment.
                if self.next == Lsn::NONE || (looks > LOOKS && gone == Some(oldest)) {
                    self.missed += if self.next == Lsn::NONE { 0 } else { oldest.0 - self.next.0 };
                    self.next = oldest;
                }
                gone = Some(oldest);
                continue;
            };
            let (header, cut) = (&found.header, found.cut);
            if let Some(open) = self.open.as_mut().filter(|open| open.header.epoch == header.epoch) {
                open.cut = cut;
                return Ok(false);
            }
            let file = match disk.open(&found.segment.name) {
                Err(DiskError::Gone) if looks <= LOOKS => continue,
                other => other?,
            };
            let length = disk.length(&file)?;
            let (header, seed) = (header.clone(), Seed::of(header.epoch));
            let at = SEGMENT_HEAD as u64;
            self.open = Some(Open { file, length, header, seed, cut, at, number: 0, from: at });
            return Ok(true);
        }
    }

    /// Reads the next batch of the open file. Those before the next record are passed by their headers alone.
    fn batch<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        upto: Lsn,
        visit: &mut dyn FnMut(&Frame<'_>, Wall),
    ) -> Result<Batch, Refusal> {
        let Some(open) = &mut self.open else { return Ok(Batch::None) };
        loop {
            let head = open.head(disk, &mut self.octets)?;
            let Some(head) = head.filter(|head| head.first <= self.next) else {
                return Ok(Batch::None);
            };
            let length = BATCH_HEAD + head.octets as usize;
            let end = head.first.plus(u64::from(head.records));
            if end > self.next {
                let Some(octets) = open.octets(disk, &mut self.octets, length)? else {
                    return Ok(Batch::None);
                };
                let body = octets.get(BATCH_HEAD..).unwrap_or_default();
                let last = upto.min(open.cut.previous());
                if !frames(body, open, &mut self.next, head.first, last, visit) {
                    return Ok(Batch::None);
                }
                if self.next < end {
                    // The rest of it is not durable yet, or void.
                    return Ok(if self.next > upto { Batch::Read(length) } else { Batch::None });
                }
            }
            (open.at, open.number) = (open.at + length as u64, open.number + 1);
            if end == self.next || end > upto {
                return Ok(Batch::Read(length));
            }
        }
    }

    /// Something is damaged: what is left of the journal is read as at a start.
    fn mend<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        upto: Lsn,
        visit: &mut dyn FnMut(&Frame<'_>, Wall),
    ) -> Result<usize, Refusal> {
        let (mut looks, mut octets) = (0, 0);
        self.open = None;
        loop {
            let (first, mut next, mut seen) = (self.next, self.next, 0);
            let mut from = first;
            let recovered = Recovery { shard: self.shard, journal: None }.run(disk, &mut |frame, place| {
                if frame.lsn >= next && frame.lsn <= upto {
                    visit(frame, place.wall);
                    from = if from == Lsn::NONE { frame.lsn } else { from };
                    (next, seen) = (frame.lsn.next(), seen + 1);
                    octets += place.octets as usize;
                }
            });
            let end = recovered.as_ref().map_or(Lsn::NONE, |recovered| recovered.end);
            let reached = end.min(upto).next().max(next);
            self.damaged += (reached.0 - from.max(Lsn::FIRST).0).saturating_sub(seen);
            self.next = reached;
            match recovered {
                Ok(_) if reached > first => return Ok(octets),
                // A file got another name meanwhile; or the record must be there and is not, now.
                Ok(_) | Err(Refusal::Disk(DiskError::Gone)) if looks < LOOKS => looks += 1,
                Ok(_) => return Err(Refusal::Disk(DiskError::Gone)),
                Err(refusal) => return Err(refusal),
            }
        }
    }
}

/// The file that holds this record.
fn holding(used: &[Used], next: Lsn) -> Option<&Used> {
    used.iter().rfind(|used| used.header.base <= next && next < used.cut)
}

impl<F> Open<F> {
    /// The header of the next batch: it stands behind the last one, or on the next page.
    fn head<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        octets: &mut Vec<u8>,
    ) -> Result<Option<BatchHeader>, DiskError> {
        let places = [self.at, whole_pages(self.at as usize) as u64];
        for at in places {
            self.at = at;
            let head = self.octets(disk, octets, BATCH_HEAD)?.and_then(BatchHeader::of_octets);
            let ours = |head: &BatchHeader| head.epoch == self.header.epoch && head.number == self.number;
            if let Some(head) = head.filter(ours) {
                return Ok(Some(head));
            }
        }
        let [at, _] = places;
        self.at = at;
        Ok(None)
    }

    /// So many octets from the next batch on; `None`: the file is shorter.
    fn octets<'a, D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        octets: &'a mut Vec<u8>,
        length: usize,
    ) -> Result<Option<&'a [u8]>, DiskError> {
        let have = self.from + octets.len() as u64;
        let wanted = self.at.saturating_add(length as u64);
        if wanted > self.length {
            return Ok(None);
        }
        if octets.is_empty() || self.at < self.from || wanted > have {
            let most = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
            octets.resize(length.max(CHUNK).min(most), 0);
            let read = disk.read(&self.file, self.at, octets)?;
            octets.truncate(read);
            self.from = self.at;
        }
        let start = (self.at - self.from) as usize;
        Ok(octets.get(start..start + length))
    }
}

/// Visits the records of a batch from the next one on, up to the last; false when one of them is damaged.
fn frames<F>(
    body: &[u8],
    open: &Open<F>,
    next: &mut Lsn,
    first: Lsn,
    last: Lsn,
    visit: &mut dyn FnMut(&Frame<'_>, Wall),
) -> bool {
    let (mut rest, mut lsn) = (body, first);
    while !rest.is_empty() && lsn <= last {
        let Some((frame, span)) = Frame::sealed(rest, open.seed).filter(|(frame, _)| frame.lsn == lsn) else {
            return false;
        };
        if lsn >= *next {
            visit(&frame, open.header.time_of(frame.time_ms));
            *next = lsn.next();
        }
        (rest, lsn) = (rest.get(span..).unwrap_or_default(), lsn.next());
    }
    true
}
