//! A shard's stand-in over the real committer and preparer, and the oracle that knows what was appended and promised.

use crate::disk::{Bug, SimDisk};
use crate::erase::Erased;
use bindery::journal::commit::{Front, Identity};
use bindery::journal::frame::{Frame, frame_len};
use bindery::journal::header::time_ms;
use bindery::journal::prepare::Done;
use bindery::journal::recover::{Recovered, Recovery, Verdict};
use bindery::journal::ring::{Producer, Unfreed};
use bindery::journal::space::SpaceLimits;
use bindery::journal::{Book, Committer, Durability, Geometry, Kind, Lsn, Preparer, Record};
use bindery::prng::Prng;
use bindery::time::{Duration, Instant, Now, Wall};
use std::collections::BTreeMap;

pub(crate) const GEOMETRY: Geometry = Geometry { segment: 24 * 4096, batch: 12 * 1024 };
const RING: usize = 32 * 1024;
const LIMITS: SpaceLimits = SpaceLimits { size_max: 40 * 24 * 4096, min_free: 0 };
const JOURNAL: u128 = 0xB1D;
/// The key of a record that is about no message.
const NOBODY: u64 = 1 << 40;

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    pub(crate) acknowledged: u64,
    pub(crate) recovered: u64,
    pub(crate) given_back: u64,
    pub(crate) moved: u64,
    pub(crate) void: u64,
    /// Records that were read back above what was durable, and written again.
    pub(crate) again: u64,
    pub(crate) failed_files: u64,
    pub(crate) short_writes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.recovered += other.recovered;
        self.given_back += other.given_back;
        self.moved += other.moved;
        self.void += other.void;
        self.again += other.again;
        self.failed_files += other.failed_files;
        self.short_writes += other.short_writes;
    }
}

/// A record as the oracle knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) key: u64,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

struct Running {
    ring: Vec<u8>,
    producer: Producer,
    tail: u64,
    freed: u64,
    committer: Committer<usize>,
    preparer: Preparer<usize>,
    front: Lsn,
}

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) totals: Totals,
    pub(crate) calls_made: u64,
    prng: Prng,
    durability: Durability,
    now: Now,
    /// By number, from 1; what is behind the end of a recovery is cut off.
    pub(crate) truth: Vec<Known>,
    book: Book,
    serial: u64,
    durable: Lsn,
    written: Lsn,
    running: Option<Running>,
    /// What it says is erased.
    pub(crate) erasing: Option<Erased>,
}

impl World {
    pub(crate) fn new(seed: u64, durability: Durability, bug: Option<Bug>) -> Self {
        let mut world = Self {
            disk: SimDisk::new(seed, bug),
            totals: Totals::default(),
            calls_made: 0,
            prng: Prng::new(!seed),
            durability,
            now: Now { mono: Instant::from_nanos(1 << 40), wall: Wall(1_790_000_000_000_000) },
            truth: Vec::new(),
            book: Book::new(4096),
            serial: 0,
            durable: Lsn::NONE,
            written: Lsn::NONE,
            running: None,
            erasing: None,
        };
        world.disk.slow = !seed.is_multiple_of(3);
        world.start(&Recovered::default());
        world
    }

    /// The same, new, whose texts are erased.
    pub(crate) fn erases(mut self, erased: Erased) -> Self {
        erased.watches(&mut self.book);
        self.erasing = Some(erased);
        self.start(&Recovered::default());
        self
    }

    fn start(&mut self, recovered: &Recovered) {
        let fork = recovered.end.next();
        let first = Lsn(fork.0 - recovered.tail.len() as u64);
        let identity = Identity {
            journal: JOURNAL,
            shard: 0,
            run: recovered.next_run(self.now.wall),
            fork,
            forks: recovered.forks.clone(),
            first,
            number: recovered.number,
            front: recovered.report.front,
        };
        let seed = self.prng.bits();
        let (mut ring, mut producer) = (vec![0; RING], Producer::new(RING, first));
        for record in &recovered.tail {
            let time = time_ms(self.now);
            producer.append_again(&mut ring, time, &record.frame).expect("a tail fits the ring it came from");
        }
        self.totals.again += recovered.tail.len() as u64;
        self.running = Some(Running {
            ring,
            tail: producer.used(),
            producer,
            freed: 0,
            committer: match &self.erasing {
                Some(erased) => erased.committer(Committer::new(identity, GEOMETRY, self.durability, seed)),
                None => Committer::new(identity, GEOMETRY, self.durability, seed),
            },
            preparer: match &self.erasing {
                Some(erased) => {
                    let limits = SpaceLimits { size_max: 5 * LIMITS.size_max, ..LIMITS };
                    erased.preparer(Preparer::new(0, GEOMETRY, limits, recovered))
                }
                None => Preparer::new(0, GEOMETRY, LIMITS, recovered),
            },
            front: Lsn::NONE,
        });
        (self.durable, self.written) = (first.previous(), first.previous());
    }

    fn append(&mut self, key: u64, record: &Record<'_>) -> bool {
        let Some(running) = &mut self.running else { return false };
        let before = running.tail;
        let time = time_ms(self.now);
        if !self.book.has_room() || running.producer.append(&mut running.ring, key, time, record).is_err() {
            return false;
        }
        running.tail = running.freed + running.producer.used();
        let unfreed = Unfreed::of(&running.ring, before, running.tail);
        let (frame, octets, _) = unfreed.frame(before).expect("it was appended");
        self.book.note(&frame, octets.len() as u32).expect("there is room");
        let (key, kind, payload) = (frame.key, frame.kind, frame.payload.to_vec());
        self.truth.push(Known { key, kind, payload });
        assert_eq!(self.truth.len() as u64, frame.lsn.0);
        true
    }

    fn append_some(&mut self) {
        for _ in 0..self.prng.below(6) {
            self.serial += 1;
            let key = self.prng.below(60);
            let length = if self.prng.chance(1, 40) { 9000 } else { self.prng.below(500) };
            let mut pdu = vec![self.serial as u8; length as usize];
            pdu.extend(self.serial.to_le_bytes());
            if let Some(erased) = &mut self.erasing {
                pdu.extend(erased.text(self.truth.len() as u64 + 1, self.now.mono));
            }
            let closes = self.prng.chance(1, 2);
            let record = if closes {
                Record::Tombstone { reason: self.serial as u8 }
            } else {
                Record::Accept {
                    accepted: 0,
                    validity: self.serial as i64,
                    due: 0,
                    esme: b"acme",
                    id: b"",
                    pdu: &pdu,
                }
            };
            let said = self.append(key, &record) && !closes;
            self.erasing.iter_mut().filter(|_| !said).for_each(Erased::unsaid);
        }
        if self.prng.chance(1, 10) {
            self.compact();
        }
    }

    /// Copies what is needed in front to the end, as a shard will.
    fn compact(&mut self) {
        // A plan wants thousands of records; here the oldest few will do.
        let front = self.book.front().0;
        let wanted: Vec<u64> = (front..=self.truth.len() as u64)
            .take(100)
            .filter(|lsn| self.book.is_needed(Lsn(*lsn)))
            .take(10)
            .collect();
        self.copy(&wanted);
    }

    fn copy(&mut self, wanted: &[u64]) {
        for &lsn in wanted {
            let known = self.truth[lsn as usize - 1].clone();
            let from = Lsn(lsn);
            let (origin, kind, payload) = match Record::read(Kind::Move, 1, &known.payload) {
                Some(Record::Move { origin, kind, payload, .. }) if known.kind == Kind::Move as u8 => {
                    (origin, kind, payload)
                }
                _ => (from, known.kind, known.payload.as_slice()),
            };
            let record = Record::Move { from, origin, kind, version: 1, wall: self.now.wall.0, payload };
            let copied = self.append(known.key, &record);
            self.totals.moved += u64::from(copied);
            if let Some(erased) = self.erasing.as_mut().filter(|_| copied) {
                erased.copied(lsn, self.truth.len() as u64);
            }
        }
    }

    /// What a shard does now and then for what is to be erased.
    fn look(&mut self) {
        let Some(mut erased) = self.erasing.take() else { return };
        self.book.look(self.now);
        let below = self.book.copied_below().filter(|_| erased.copies());
        let due = erased.nudges(self.now.mono);
        erased.lives(&self.book, self.now.mono);
        self.erasing = Some(erased);
        if let Some(below) = below {
            let front = self.book.needed().0;
            let old: Vec<u64> = (front..below.0).filter(|lsn| self.book.is_needed(Lsn(*lsn))).collect();
            self.copy(&old);
        }
        if due {
            self.append(NOBODY, &Record::Tombstone { reason: 0 });
        }
    }

    /// Runs for so long; what is said is erased, and what is kept is there.
    pub(crate) fn run_for(&mut self, span: Duration) -> Result<(), String> {
        let until = self.now.mono.after(span);
        let (mut idle, mut check_at) = (false, self.now.mono);
        while self.now.mono < until {
            if self.prng.chance(1, if idle { 500 } else { 100 }) {
                idle = !idle;
                // Nothing waits, and nobody comes.
                let over = idle && self.prng.chance(1, 2);
                (0..if over { 60 } else { 0 }).for_each(|key| {
                    self.append(key, &Record::Tombstone { reason: 1 });
                });
            }
            if !idle && self.prng.chance(1, 2) {
                self.append_some();
            }
            self.look();
            self.commit()?;
            while self.prepare() {}
            self.commit()?;
            let span = self.prng.below(60);
            self.now.mono = self.now.mono.after(Duration::from_millis(span));
            self.now.wall.0 += span as i64 * 1000;
            if let Some(what) = &self.disk.forbidden {
                return Err(what.clone());
            }
            let (now, durable) = (self.now.mono, self.durable);
            let Self { erasing, disk, book, .. } = self;
            if let Some(erased) = erasing.as_mut().filter(|_| now >= check_at) {
                check_at = now.after(Duration::from_secs(5));
                erased.lives(book, now);
                erased.check(disk, now, durable)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ring = Unfreed::of(&running.ring, running.freed, running.tail);
        let front = Front { lsn: self.book.front(), as_of: Lsn(self.truth.len() as u64) };
        let step = running.committer.step(self.now, &ring, front, &mut self.disk);
        if step.durable < self.durable {
            return Err(format!("durable went back from {:?} to {:?}", self.durable, step.durable));
        }
        running.freed = step.freed;
        running.producer.free(step.freed);
        running.front = step.front;
        self.totals.acknowledged += step.durable.0 - self.durable.0;
        self.durable = step.durable;
        self.written = self.written.max(step.written);
        while let Some(change) = running.committer.change() {
            self.totals.failed_files +=
                u64::from(matches!(change, bindery::journal::commit::Change::Failed { .. }));
            running.preparer.changed(change);
        }
        Ok(())
    }

    /// False: there is nothing to do.
    fn prepare(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let before = running.preparer.segments();
        let done = running.preparer.step(self.now.mono, running.front, &mut self.disk);
        let worked = matches!(done, Ok(Done::Some | Done::Spare(_) | Done::Away(..)));
        if let Ok(Done::Spare(spare)) = done {
            running.committer.give(spare);
        }
        self.totals.given_back += before.saturating_sub(running.preparer.segments()) as u64;
        worked
    }

    /// A while of work, until the power goes by itself or the time is over.
    pub(crate) fn work(&mut self) -> Result<(), String> {
        for _ in 0..20 + self.prng.below(200) {
            match self.prng.below(4) {
                0 => self.append_some(),
                1 => {
                    self.prepare();
                }
                _ => self.commit()?,
            }
            let span = if self.prng.chance(1, 20) { 300 } else { self.prng.below(3) };
            self.now.mono = self.now.mono.after(Duration::from_millis(span));
            self.now.wall.0 += span as i64 * 1000;
            if let (Some(what), None) = (&self.disk.forbidden, self.disk.bug) {
                return Err(what.clone());
            }
            if self.disk.dead {
                break;
            }
        }
        self.calls_made = self.disk.calls;
        Ok(())
    }

    /// So many messages that stay open.
    pub(crate) fn fill(&mut self, messages: u64) {
        for key in 1000..1000 + messages {
            let pdu = vec![key as u8; 700];
            let record =
                Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: &pdu };
            while !self.append(key, &record) {
                self.prepare();
                self.commit().expect("no fault is planned");
                self.now.mono = self.now.mono.after(Duration::from_millis(1));
            }
        }
    }

    /// Everything that was appended becomes durable.
    pub(crate) fn rest(&mut self) {
        for _ in 0..500 {
            self.prepare();
            self.commit().expect("no fault is planned");
            self.now.mono = self.now.mono.after(Duration::from_millis(1));
        }
        assert_eq!(self.durable.0, self.truth.len() as u64, "all is durable");
    }

    /// The process ends in one of two ways; another begins, and what it reads is held to what is known.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        let kill = !self.disk.dead && self.prng.chance(1, 3);
        self.totals.short_writes = self.disk.short_writes;
        let failing = self.disk.plan.percent > 0 || self.disk.plan.at.is_some();
        let mut promised = self.durable;
        if kill {
            self.disk.kill();
            self.totals.kills += 1;
            // After a failed write the kernel may have dropped the pages: two faults at once.
            if !failing {
                promised = promised.max(self.written);
            }
        } else {
            self.disk.power_cut();
            self.totals.cuts += 1;
        }
        self.running = None;
        let recovered = self.recover(promised)?;
        self.truth.truncate(recovered.end.0 as usize);
        self.erasing.iter_mut().for_each(|erased| erased.cut(recovered.end, self.now.mono));
        self.totals.void += recovered.report.void;
        self.totals.recovered += recovered.report.records;
        self.start(&recovered);
        Ok(())
    }

    fn recover(&mut self, promised: Lsn) -> Result<Recovered, String> {
        let mut read: BTreeMap<u64, Known> = BTreeMap::new();
        let mut book = Book::new(8192);
        self.erasing.iter().for_each(|erased| erased.watches(&mut book));
        let mut wrong = None;
        let recovery = Recovery { shard: 0, journal: Some(JOURNAL) };
        let result = recovery.run(&mut self.disk, &mut |frame, place| {
            if read.last_key_value().is_some_and(|(last, _)| *last >= frame.lsn.0) {
                wrong.get_or_insert(format!("{:?} is out of order", frame.lsn));
            }
            book.was(place.wall);
            if book.note(frame, place.octets).is_err() {
                wrong.get_or_insert("the book is full".to_owned());
            }
            read.insert(frame.lsn.0, known(frame));
        });
        let recovered = result.map_err(|refusal| format!("refused: {refusal}"))?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if recovered.end < promised {
            return Err(format!("acknowledged up to {promised:?}, read up to {:?}", recovered.end));
        }
        if let Some((lsn, _)) =
            read.iter().find(|(lsn, known)| self.truth.get(**lsn as usize - 1) != Some(known))
        {
            return Err(format!("record {lsn} is not what was appended, or was void"));
        }
        if recovered.report.verdict() > Verdict::Torn {
            return Err(format!("a crash is reported as damage: {:?}", recovered.report));
        }
        self.check_needed(&read, &book, recovered.end)?;
        self.book = book;
        Ok(recovered)
    }

    /// Every record that is still needed was read, and no closed key came back.
    fn check_needed(&self, read: &BTreeMap<u64, Known>, book: &Book, end: Lsn) -> Result<(), String> {
        let mut told = Book::new(1 << 20);
        let mut keys = std::collections::BTreeSet::new();
        for (index, known) in self.truth.iter().enumerate().take(end.0 as usize) {
            keys.insert(known.key);
            let (payload, kind) = (known.payload.as_slice(), known.kind);
            let lsn = Lsn(index as u64 + 1);
            let frame = Frame { lsn, key: known.key, time_ms: 0, kind, version: 1, flags: 0, payload };
            told.note(&frame, frame_len(payload.len()) as u32).map_err(|full| format!("{full:?}"))?;
        }
        if told.open() != book.open() || told.needed() != book.needed() {
            let (open, front) = (told.open(), told.needed());
            return Err(format!("{} open from {:?}, not {open} from {front:?}", book.open(), book.needed()));
        }
        for key in keys {
            let mut needed = told.records_of(key);
            if !needed.by_ref().all(|lsn| read.contains_key(&lsn.0)) {
                return Err(format!("a record of key {key} is gone"));
            }
            let sorted = |book: &Book| {
                let mut records: Vec<Lsn> = book.records_of(key).collect();
                records.sort_unstable();
                records
            };
            if sorted(&told) != sorted(book) {
                return Err(format!("key {key} is not as it was"));
            }
        }
        Ok(())
    }
}

pub(crate) fn known(frame: &Frame<'_>) -> Known {
    Known { key: frame.key, kind: frame.kind, payload: frame.payload.to_vec() }
}
