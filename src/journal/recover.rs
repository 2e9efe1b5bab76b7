//! Reads a shard's journal back: every record once, in order, and a report of what is not as it should be.
//!
//! Owns nothing and changes nothing on the disk. Up to the highest `durable` that any header says, each record that is
//! still needed must be there; a gap is `missing`. Above it the records up to the first gap are taken; what lies behind
//! was never promised and is void, for ever, since the next run's segments say where they fork off.

use super::concerned::Concerned;
use super::disk::{Disk, DiskError, FileKind, read_name};
use super::frame::{Frame, SKIPPABLE, frame_len};
use super::header::{BadHeader, BatchHeader, Fork, SEGMENT_HEAD, SegmentHeader, batches};
use super::scan::{Checked, Damage, Found, check};
use super::together::Together;
use super::{Lsn, PAGE, is_blank};
use crate::limits::{JOURNAL_REPORT_MAX, JOURNAL_SEGMENT_MAX};
use crate::time::{Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// Why a journal is not read at all. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The disk does not give it.
    Disk(DiskError),
    /// A later program wrote this file.
    Newer {
        /// Its name.
        file: String,
        /// The least format that a reader must know.
        reader: u16,
    },
    /// A later program wrote this record, and it must not be passed over.
    UnknownKind {
        /// Its number.
        lsn: Lsn,
        /// Its kind.
        kind: u8,
    },
    /// The file belongs to another journal.
    Foreign {
        /// Its name.
        file: String,
    },
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Disk(error) => write!(out, "the journal cannot be read: {error}"),
            Self::Newer { file, reader } => {
                write!(out, "{file}: written by a later program, which wants format {reader}")
            }
            Self::UnknownKind { lsn, kind } => {
                write!(out, "record {}: kind {kind} was written by a later program", lsn.0)
            }
            Self::Foreign { file } => write!(out, "{file} belongs to another journal"),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<DiskError> for Refusal {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of its segment.
    pub segment: u64,
    /// The place of its frame.
    pub at: u64,
    /// When it was written.
    pub wall: Wall,
    /// Octets of its frame.
    pub octets: u32,
    /// Its key is closed by a record that follows soon. Not so of others that are.
    pub is_over: bool,
}

/// A segment that holds records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Which use of a file it is.
    pub number: u64,
    /// The file's name.
    pub name: String,
    /// What the name says.
    pub kind: FileKind,
    /// Its first record.
    pub base: Lsn,
    /// Its length.
    pub length: u64,
    /// A batch in it says that the one before was durable.
    pub proven: bool,
    /// Not every octet of it is as it was written.
    pub damaged: bool,
    /// From here on it has octets of an earlier use of the file; `None`: zeros.
    pub stale: Option<u64>,
}

/// Records that ought to be there and are not: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The first.
    pub first: Lsn,
    /// The last.
    pub last: Lsn,
}

/// How a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every octet is as it was written.
    Sound,
    /// As after a crash: the last batch is not whole, and was not promised.
    Torn,
    /// Something is damaged, and no record that was promised is lost.
    Damaged,
    /// Records that were promised are lost.
    Missing,
}

impl Verdict {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Segments that hold records.
    pub segments: u64,
    /// Records that were read.
    pub records: u64,
    /// Octets of their frames.
    pub octets: u64,
    /// Everything up to here was durable.
    pub durable: Lsn,
    /// The oldest record that was needed.
    pub front: Lsn,
    /// Promised and not there, the first `JOURNAL_REPORT_MAX` ranges.
    pub missing: Vec<Missing>,
    /// How many records those and all others are.
    pub missing_records: u64,
    /// Whose some of them are, as far as others say; `None`: that was not asked for.
    pub concerned: Option<Vec<Concerned>>,
    /// Damaged octets, the first `JOURNAL_REPORT_MAX`: the file and where in it.
    pub damage: Vec<(String, Damage)>,
    /// Damaged places in all.
    pub damaged_places: u64,
    /// The files that have them.
    pub damaged_files: BTreeSet<String>,
    /// Whole records behind a gap that were never promised, and are void.
    pub void: u64,
    /// The last batch of a segment is not whole.
    pub torn: bool,
}

impl Report {
    /// In one word.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        if self.missing_records > 0 {
            Verdict::Missing
        } else if self.damaged_places > 0 {
            Verdict::Damaged
        } else if self.torn || self.void > 0 {
            Verdict::Torn
        } else {
            Verdict::Sound
        }
    }

    fn damaged(&mut self, file: &str, damage: Damage) {
        self.damaged_somewhere(file);
        if self.damage.len() < JOURNAL_REPORT_MAX {
            self.damage.push((file.to_owned(), damage));
        }
    }

    fn damaged_somewhere(&mut self, file: &str) {
        self.damaged_places += 1;
        if !self.damaged_files.contains(file) {
            self.damaged_files.insert(file.to_owned());
        }
    }

    fn lost(&mut self, first: Lsn, last: Lsn) {
        let first = first.max(self.front);
        if first <= last {
            self.missing_records += last.0 - first.0 + 1;
            if self.missing.len() < JOURNAL_REPORT_MAX {
                self.missing.push(Missing { first, last });
            }
        }
    }
}

/// What a run begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The directory's id, when a segment says one.
    pub journal: Option<u128>,
    /// Segments, oldest first.
    pub segments: Vec<Segment>,
    /// Names of prepared files.
    pub spares: Vec<String>,
    /// Names of files after a failed write that hold nothing.
    pub spoilt: Vec<String>,
    /// Names of files whose preparation was not finished.
    pub unfinished: Vec<String>,
    /// The highest number of a run.
    pub run: u64,
    /// Where the runs began.
    pub forks: Vec<Fork>,
    /// The highest number in a header or a name.
    pub number: u64,
    /// The last record.
    pub end: Lsn,
    /// Prepared files that hold nothing but what was never promised.
    pub void: Vec<Segment>,
    /// Frames above `durable`, up to `end`: to be written again before anything else.
    pub tail: Vec<Tail>,
    /// What was found.
    pub report: Report,
}

impl Recovered {
    /// The number of the run that begins now. A run whose headers are all lost may have had the next number: the time
    /// tells the two apart.
    #[must_use]
    pub fn next_run(&self, now: Wall) -> u64 {
        self.run.saturating_add(1).max(now.0.max(0).cast_unsigned())
    }
}

/// A record that may not be durable yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// When it was written.
    pub wall: Wall,
    /// Its frame.
    pub frame: Vec<u8>,
}

/// How a journal is read.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// Whose journal.
    pub shard: u32,
    /// Its directory's id, when it is known.
    pub journal: Option<u128>,
}

/// A journal that is being read.
pub struct Reading<'v> {
    used: Vec<Used>,
    /// So many of them were.
    taken: usize,
    first: Lsn,
    merge: Merge<'v>,
    recovered: Recovered,
}

/// A segment that is to be loaded.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    header: SegmentHeader,
    /// The file behind it.
    next: Option<String>,
}

/// A segment in memory.
#[derive(Debug, Default)]
pub struct Loaded {
    octets: Vec<u8>,
    /// What could not be read.
    unread: Vec<Damage>,
    checked: Checked,
}

impl Source {
    /// Reads and checks it, whatever the others say. `former`: its memory is used again.
    ///
    /// # Errors
    /// The disk does not give it.
    pub fn load<D: Disk>(&self, disk: &mut D, former: Loaded) -> Result<Loaded, Refusal> {
        let Loaded { mut octets, checked, .. } = former;
        self.next.iter().for_each(|next| disk.soon(next));
        let mut unread = load(disk, &self.name, &mut octets)?;
        let (at, length) = (octets.len() as u64, self.header.length);
        if at < length {
            unread.push(Damage { at, octets: length - at, lsn: self.header.base });
        }
        let checked = check(&octets, &self.header, checked);
        Ok(Loaded { octets, unread, checked })
    }
}

impl Reading<'_> {
    /// The segments, in the order in which they are taken.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let next = self.used.iter().skip(1).map(|used| Some(used.segment.name.clone())).chain([None]);
        let source = |(used, next): (&Used, _)| Source {
            name: used.segment.name.clone(),
            header: used.header.clone(),
            next,
        };
        self.used.iter().zip(next).map(source).collect()
    }

    /// The next one of `sources`.
    pub fn take(&mut self, loaded: &Loaded) {
        let Some(used) = self.used.get_mut(self.taken) else { return };
        self.taken += 1;
        for damage in &loaded.unread {
            self.merge.report.damaged(&used.segment.name, *damage);
        }
        let (proven, end) = self.merge.segment(used, loaded);
        used.segment.proven = proven && used.whole;
        let behind = loaded.octets.get(end..).unwrap_or_default();
        used.segment.stale = (!is_blank(behind)).then_some(end as u64);
    }

    /// All were taken.
    ///
    /// # Errors
    /// This program cannot read it.
    pub fn finish(self) -> Result<Recovered, Refusal> {
        let Self { used, taken, first, merge, mut recovered } = self;
        debug_assert_eq!(taken, used.len());
        merge.finish(first, &mut recovered)?;
        recovered.report.segments = used.len() as u64;
        recovered.run = used.iter().map(|used| used.header.run).max().unwrap_or_default();
        let numbers = used.iter().map(|used| used.header.number);
        recovered.number = numbers.fold(recovered.number, u64::max);
        let is_void = |used: &Used| used.segment.kind == FileKind::Spare && used.header.base >= used.cut;
        let (void, kept): (Vec<Used>, Vec<Used>) = used.into_iter().partition(is_void);
        recovered.void = void.into_iter().map(|used| used.segment).collect();
        recovered.segments = kept.into_iter().map(|used| used.segment).collect();
        let damaged = &recovered.report.damaged_files;
        let segments = recovered.segments.iter_mut();
        segments.for_each(|segment| segment.damaged = damaged.contains(&segment.name));
        Ok(recovered)
    }
}

const HEADER_DAMAGE: Damage = Damage { at: 0, octets: SEGMENT_HEAD as u64, lsn: Lsn::NONE };

/// A file that holds records.
pub(super) struct Used {
    pub(super) segment: Segment,
    pub(super) header: SegmentHeader,
    /// Records from here on are void.
    pub(super) cut: Lsn,
    /// Records from here on were written again into a later segment, or are void.
    again: Lsn,
    /// Both copies of its header are sound.
    whole: bool,
}

impl Used {
    fn new((name, kind): (String, FileKind), header: SegmentHeader, whole: bool) -> Self {
        let (number, base, length) = (header.number, header.base, header.length);
        let (proven, damaged, stale) = (false, false, None);
        Self {
            segment: Segment { number, name, kind, base, length, proven, damaged, stale },
            header,
            cut: Lsn(u64::MAX),
            again: Lsn(u64::MAX),
            whole,
        }
    }
}

struct Held {
    place: Place,
    frame: Vec<u8>,
}

/// What comes together from all segments.
struct Merge<'v> {
    expected: Lsn,
    /// The highest `durable` of any segment's header.
    proven: Lsn,
    held: BTreeMap<Lsn, Held>,
    report: Report,
    gaps: Vec<Missing>,
    /// Damage, if what was there was durable.
    doubtful: Vec<(String, Damage)>,
    refusal: Option<Refusal>,
    visit: &'v mut dyn FnMut(&Frame<'_>, &Place),
}

impl Recovery {
    /// Reads all of it; `visit` is called with each record, in order.
    ///
    /// # Errors
    /// It cannot be read, or not by this program.
    pub fn run<D: Disk>(
        &self,
        disk: &mut D,
        visit: &mut dyn FnMut(&Frame<'_>, &Place),
    ) -> Result<Recovered, Refusal> {
        let mut reading = self.begin(disk, visit)?;
        let mut loaded = Loaded::default();
        for source in reading.sources() {
            loaded = source.load(disk, loaded)?;
            reading.take(&loaded);
        }
        reading.finish()
    }

    /// The same step by step, for who loads the segments on other threads.
    ///
    /// # Errors
    /// As `run`.
    pub fn begin<'v, D: Disk>(
        &self,
        disk: &mut D,
        visit: &'v mut dyn FnMut(&Frame<'_>, &Place),
    ) -> Result<Reading<'v>, Refusal> {
        let mut recovered = Recovered { journal: self.journal, ..Recovered::default() };
        let mut report = Report::default();
        let mut used = self.files(disk, &mut recovered, &mut report, &mut Vec::new())?;
        used.sort_by_key(|used| used.header.number);
        recovered.forks = forks_of(&used);
        cut(&mut used, &recovered.forks);
        let proven = used.iter().map(|used| used.header.durable).max().unwrap_or_default();
        // Of two files that failed the later one may still be there, while all is in one behind it.
        let bases = used.iter().filter(|used| used.header.base < used.cut).map(|used| used.header.base);
        let first = bases.min().unwrap_or(Lsn::FIRST);
        let merge = Merge {
            expected: first,
            proven,
            held: BTreeMap::new(),
            report,
            gaps: Vec::new(),
            doubtful: Vec::new(),
            refusal: None,
            visit,
        };
        Ok(Reading { used, taken: 0, first, merge, recovered })
    }

    /// The files of the shard, by what they are.
    pub(super) fn files<D: Disk>(
        &self,
        disk: &mut D,
        recovered: &mut Recovered,
        report: &mut Report,
        octets: &mut Vec<u8>,
    ) -> Result<Vec<Used>, Refusal> {
        let mut names = disk.list()?;
        names.sort();
        let mut used = Vec::new();
        for name in names {
            let Some((kind, shard, number)) = read_name(&name) else { continue };
            if shard != self.shard {
                continue;
            }
            recovered.number = recovered.number.max(number);
            if kind == FileKind::Unfinished {
                recovered.unfinished.push(name);
                continue;
            }
            let (header, whole) = match headers(disk, &name)? {
                (Some(header), both) => {
                    if !both && kind == FileKind::Segment {
                        report.damaged(&name, HEADER_DAMAGE);
                    }
                    (header, both)
                }
                (None, _) if kind == FileKind::Spare => {
                    recovered.spares.push(name);
                    continue;
                }
                (None, _) if kind == FileKind::Spoilt => {
                    recovered.spoilt.push(name);
                    continue;
                }
                (None, _) => {
                    report.damaged(&name, HEADER_DAMAGE);
                    let unread = load(disk, &name, octets)?;
                    unread.into_iter().for_each(|damage| report.damaged(&name, damage));
                    let Some(header) = without_header(octets, self.shard, number) else { continue };
                    (header, false)
                }
            };
            let foreign =
                recovered.journal.is_some_and(|journal| header.journal != 0 && journal != header.journal);
            if foreign || header.shard != self.shard {
                return Err(Refusal::Foreign { file: name });
            }
            if header.journal != 0 {
                recovered.journal = Some(header.journal);
            }
            used.push(Used::new((name, kind), header, whole));
        }
        Ok(used)
    }
}

/// The header of a file, and whether both copies of it are sound.
fn headers<D: Disk>(disk: &mut D, name: &str) -> Result<(Option<SegmentHeader>, bool), Refusal> {
    let file = disk.open(name)?;
    let mut found = [None, None];
    for (at, found) in [0, PAGE as u64].into_iter().zip(&mut found) {
        let mut page = [0; PAGE];
        if !matches!(disk.read(&file, at, &mut page), Ok(PAGE)) {
            continue;
        }
        *found = match SegmentHeader::of_page(&page) {
            Ok(header) => Some(header),
            Err(BadHeader::Damaged) => None,
            Err(BadHeader::Newer { reader }) => {
                return Err(Refusal::Newer { file: name.to_owned(), reader });
            }
        };
    }
    let [first, second] = found;
    let whole = first == second;
    Ok((first.or(second), whole))
}

/// What the header of a segment must have said, from its batches; `None`: there are none.
fn without_header(octets: &[u8], shard: u32, number: u64) -> Option<SegmentHeader> {
    let batches: Vec<BatchHeader> = batches(octets, SEGMENT_HEAD).map(|(_, batch)| batch).collect();
    // Of several lives of the file the last one has the highest records.
    let epoch = batches.iter().max_by_key(|batch| batch.first).map(|batch| batch.epoch)?;
    let own = || batches.iter().filter(move |batch| batch.epoch == epoch);
    Some(SegmentHeader {
        journal: 0,
        shard,
        number,
        // No run is later than this one on its account, and it is not later than any.
        run: 0,
        epoch,
        base: own().map(|batch| batch.first).min()?,
        fork: Lsn(u64::MAX),
        forks: Vec::new(),
        durable: own().map(|batch| batch.durable).min()?,
        length: octets.len() as u64,
        wall: Wall::default(),
        mono: Instant::ZERO,
    })
}

/// Where the runs began, as all segments tell it.
pub(super) fn forks_of(used: &[Used]) -> Vec<Fork> {
    let mut forks: BTreeMap<u64, Lsn> = BTreeMap::new();
    for header in used.iter().map(|used| &used.header).filter(|header| header.run > 0) {
        let own = Fork { run: header.run, lsn: header.fork };
        for fork in header.forks.iter().copied().chain([own]) {
            forks.entry(fork.run).and_modify(|least| *least = (*least).min(fork.lsn)).or_insert(fork.lsn);
        }
    }
    // That of the oldest run cuts nothing off.
    let oldest = used.iter().map(|used| used.header.run).min().unwrap_or_default();
    forks.into_iter().map(|(run, lsn)| Fork { run, lsn }).filter(|fork| fork.run > oldest).collect()
}

/// What an earlier run wrote behind the place where a later one forked off is void.
pub(super) fn cut(used: &mut [Used], forks: &[Fork]) {
    let mut again = Lsn(u64::MAX);
    for used in used.iter_mut().rev() {
        used.again = again;
        let (run, base) = (used.header.run, used.header.base);
        again = again.min(base);
        // Of one whose header is gone: a run that forked off at or before its first record is its own.
        let voids = |fork: &&Fork| if run == 0 { fork.lsn > base } else { fork.run > run };
        used.cut = forks.iter().filter(voids).map(|fork| fork.lsn).min().unwrap_or(Lsn(u64::MAX));
    }
}

/// Reads a whole file; what cannot be read is zeros, and damage.
fn load<D: Disk>(disk: &mut D, name: &str, octets: &mut Vec<u8>) -> Result<Vec<Damage>, Refusal> {
    const CHUNK: usize = 256 * PAGE;
    let file = disk.open(name)?;
    let length = disk.length(&file)?.min(JOURNAL_SEGMENT_MAX) as usize;
    let mut unread = Vec::new();
    // Every page is read into or made zeros below.
    octets.resize(length, 0);
    for (index, chunk) in octets.chunks_mut(CHUNK).enumerate() {
        let at = index * CHUNK;
        if disk.read(&file, at as u64, chunk) == Ok(chunk.len()) {
            continue;
        }
        for (index, page) in chunk.chunks_mut(PAGE).enumerate() {
            let at = (at + index * PAGE) as u64;
            if disk.read(&file, at, page) != Ok(page.len()) {
                page.fill(0);
                unread.push(Damage { at, octets: page.len() as u64, lsn: Lsn::NONE });
            }
        }
    }
    Ok(unread)
}

impl Merge<'_> {
    /// Reads a segment; whether it is proven, and where the pages begin that no record of it stands in.
    fn segment(&mut self, used: &Used, loaded: &Loaded) -> (bool, usize) {
        let (mut proven, mut last, mut together) = (false, 0, Together::new());
        let Loaded { octets, checked, .. } = loaded;
        self.proven_upto(used.header.durable);
        checked.tell(octets, &mut |found| match found {
            Found::Batch(batch) => {
                proven |= batch.durable >= used.header.base;
                self.report.front = self.report.front.max(batch.front);
                // What was held stands behind what is on its way.
                if !self.held.is_empty() {
                    together.tell(self.visit);
                }
                self.proven_upto(batch.durable.min(used.cut.previous()));
            }
            Found::Frame(frame, at) => {
                last = at as usize + frame_len(frame.payload.len());
                if frame.lsn < used.cut {
                    self.frame(used, octets, (frame, at), &mut together);
                }
            }
            Found::Damage(damage) if damage.lsn < used.again.min(used.cut) => {
                // Past the bound it is told without the doubt: so much damage is no crash.
                if self.doubtful.len() >= 64 * JOURNAL_REPORT_MAX {
                    self.report.damaged_somewhere(&used.segment.name);
                    return;
                }
                self.doubtful.push((used.segment.name.clone(), damage));
            }
            Found::Damage(_) => self.report.torn = true,
        });
        together.tell(self.visit);
        self.report.torn |= checked.end.torn;
        (proven, super::whole_pages(last).max(checked.end.at as usize).min(octets.len()))
    }

    fn frame<'a>(
        &mut self,
        used: &Used,
        octets: &[u8],
        (frame, at): (Frame<'a>, u64),
        together: &mut Together<'a>,
    ) {
        let length = frame_len(frame.payload.len());
        let wall = used.header.time_of(frame.time_ms);
        let place = Place { segment: used.header.number, at, wall, octets: length as u32, is_over: false };
        if frame.lsn == self.expected && frame.lsn <= self.proven.max(self.report.durable) {
            self.passes(&frame, &place);
            if together.push(frame, place) || !self.held.is_empty() {
                together.tell(self.visit);
                self.follow();
            }
        } else if frame.lsn >= self.expected {
            let frame_octets =
                octets.get(at as usize..).and_then(|rest| rest.get(..length)).unwrap_or_default();
            let held = || Held { place, frame: frame_octets.to_vec() };
            self.held.entry(frame.lsn).or_insert_with(held);
        }
    }

    /// It is the next one to be told.
    fn passes(&mut self, frame: &Frame<'_>, place: &Place) {
        debug_assert_eq!(frame.lsn, self.expected);
        if frame.kind().is_none() && frame.flags & SKIPPABLE == 0 && self.refusal.is_none() {
            self.refusal = Some(Refusal::UnknownKind { lsn: frame.lsn, kind: frame.kind });
        }
        self.report.records += 1;
        self.report.octets += u64::from(place.octets);
        self.expected = frame.lsn.next();
    }

    fn tell_held(&mut self, held: &Held) {
        if let Some((frame, _)) = Frame::unsealed(&held.frame) {
            self.passes(&frame, &held.place);
            (self.visit)(&frame, &held.place);
        }
    }

    /// Held records that follow the last one told, as far as they are proven.
    fn follow(&mut self) {
        let proven = self.proven.max(self.report.durable);
        while self.expected <= proven
            && let Some(held) = self.held.remove(&self.expected)
        {
            self.tell_held(&held);
        }
    }

    /// Every copy of these records has been passed: what is not held is missing.
    fn proven_upto(&mut self, durable: Lsn) {
        self.report.durable = self.report.durable.max(durable);
        while self.expected <= durable {
            let next = self.held.first_key_value().map_or(Lsn(u64::MAX), |(lsn, _)| *lsn);
            if next > self.expected {
                let last = next.previous().min(durable);
                self.gaps.push(Missing { first: self.expected, last });
                self.expected = last.next();
            } else if let Some((_, held)) = self.held.pop_first() {
                self.tell_held(&held);
            }
        }
    }

    fn finish(mut self, first: Lsn, recovered: &mut Recovered) -> Result<(), Refusal> {
        self.proven_upto(self.proven.max(self.report.durable));
        while let Some(held) = self.held.remove(&self.expected) {
            self.tell_held(&held);
            recovered.tail.push(Tail { wall: held.place.wall, frame: held.frame });
        }
        self.report.void = self.held.len() as u64;
        for (file, damage) in core::mem::take(&mut self.doubtful) {
            if damage.lsn <= self.report.durable {
                self.report.damaged(&file, damage);
            } else {
                self.report.torn = true;
            }
        }
        // What is below the front may have been given back.
        if self.report.front < first {
            self.report.lost(self.report.front.max(Lsn::FIRST), first.previous());
        }
        for gap in core::mem::take(&mut self.gaps) {
            self.report.lost(gap.first, gap.last);
        }
        recovered.end = self.expected.previous();
        recovered.report = self.report;
        self.refusal.map_or(Ok(()), Err)
    }
}
