//! What was said is gone from the disk in time, in random runs with power cuts and kills, and what waits is not.

use crate::disk::SimDisk;
use crate::seeds;
use crate::world::{Totals, World};
use bindery::journal::{Book, Committer, Erasing, Lsn, Preparer};
use bindery::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 8;
/// What every text begins with.
const MARK: [u8; 4] = [0xB1, 0xDE, 0x5E, 0xC7];

/// Who does not do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lazy {
    /// Files are not wiped.
    Preparer,
    /// What is old is not copied.
    Shard,
    /// Nothing is appended when nothing comes.
    Nudge,
    /// Nothing is kept for a while.
    Keeper,
}

#[derive(Debug)]
struct Text {
    /// The records that have it.
    lsns: Vec<Lsn>,
    /// When one of them was needed last.
    needed_at: Instant,
}

/// What is said in a journal, and where it must be and must not be.
#[derive(Debug)]
pub(crate) struct Erased {
    erasing: Erasing,
    lazy: Option<Lazy>,
    texts: BTreeMap<u32, Text>,
    next: u32,
    nudge_at: Instant,
    /// Texts that had to be gone, and that had to be there though they were over.
    gone: u64,
    kept: u64,
}

impl Erased {
    pub(crate) fn new(erasing: Erasing, lazy: Option<Lazy>) -> Self {
        let (texts, nudge_at) = (BTreeMap::new(), Instant::ZERO);
        Self { erasing, lazy, texts, next: 0, nudge_at, gone: 0, kept: 0 }
    }

    pub(crate) fn committer(&self, committer: Committer<usize>) -> Committer<usize> {
        committer.erasing(&self.erasing)
    }

    pub(crate) fn preparer(&self, preparer: Preparer<usize>) -> Preparer<usize> {
        if self.lazy == Some(Lazy::Preparer) { preparer } else { preparer.erasing(&self.erasing) }
    }

    pub(crate) fn watches(&self, book: &mut Book) {
        let keep = if self.lazy == Some(Lazy::Keeper) { Duration::ZERO } else { self.erasing.keep };
        book.erasing(&Erasing { keep, ..self.erasing });
    }

    pub(crate) fn copies(&self) -> bool {
        self.lazy != Some(Lazy::Shard)
    }

    pub(crate) fn nudges(&mut self, now: Instant) -> bool {
        let due = now >= self.nudge_at && self.lazy != Some(Lazy::Nudge);
        if due {
            self.nudge_at = now.after(self.erasing.nudge());
        }
        due
    }

    /// The text of the next record.
    pub(crate) fn text(&mut self, lsn: u64, now: Instant) -> Vec<u8> {
        self.next += 1;
        self.texts.insert(self.next, Text { lsns: vec![Lsn(lsn)], needed_at: now });
        [MARK, self.next.to_le_bytes()].concat()
    }

    /// It was not used.
    pub(crate) fn unsaid(&mut self) {
        self.texts.remove(&self.next);
    }

    pub(crate) fn copied(&mut self, from: u64, to: u64) {
        let text = self.texts.values_mut().find(|text| text.lsns.contains(&Lsn(from)));
        text.into_iter().for_each(|text| text.lsns.push(Lsn(to)));
    }

    /// Which texts are needed now.
    pub(crate) fn lives(&mut self, book: &Book, now: Instant) {
        for text in self.texts.values_mut() {
            if text.lsns.iter().any(|lsn| book.is_needed(*lsn)) {
                text.needed_at = now;
            }
        }
    }

    /// What a crash took was never promised; its octets may be there all the same.
    pub(crate) fn cut(&mut self, end: Lsn, now: Instant) {
        for text in self.texts.values_mut() {
            let before = text.lsns.len();
            text.lsns.retain(|lsn| *lsn <= end);
            if text.lsns.len() < before {
                text.needed_at = now;
            }
        }
    }

    fn found(disk: &SimDisk) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for image in disk.images() {
            for (at, octets) in image.windows(4).enumerate() {
                if octets == MARK
                    && let Some(number) = image.get(at + 4..at + 8)
                {
                    found.insert(u32::from_le_bytes(number.try_into().unwrap()));
                }
            }
        }
        found
    }

    pub(crate) fn check(&mut self, disk: &SimDisk, now: Instant, durable: Lsn) -> Result<(), String> {
        let Self { erasing, texts, gone, kept, .. } = self;
        let found = Self::found(disk);
        for (number, text) in texts.iter() {
            let age = now.since(text.needed_at);
            if age > erasing.keep + erasing.within && found.contains(number) {
                return Err(format!("text {number} of {:?} is there after {age:?}", text.lsns));
            }
            *gone += u64::from(age > erasing.keep + erasing.within);
            if text.lsns.iter().any(|lsn| *lsn <= durable) && age < erasing.keep {
                *kept += u64::from(!age.is_zero());
                if !found.contains(number) {
                    return Err(format!("text {number} of {:?} is gone after {age:?}", text.lsns));
                }
            }
        }
        texts.retain(|_, text| now.since(text.needed_at) <= erasing.keep + erasing.within);
        Ok(())
    }
}

fn erasing(seed: u64) -> Erasing {
    let millis = |millis| Duration::from_millis(millis);
    Erasing { keep: millis([0, 0, 3000, 20_000][seed as usize % 4]), within: millis(8000) }
}

/// Runs one seed; how many texts had to be gone, and to be kept.
fn run(seed: u64, lazy: Option<Lazy>) -> Result<(Totals, [u64; 2]), String> {
    let world = World::new(seed, crate::durability(seed / 4), None);
    let mut world = world.erases(Erased::new(erasing(seed), lazy));
    world.fill(seed % 8 / 4 * 3);
    for life in 0..8 {
        // Some lives are long, some end at once.
        world.run_for(Duration::from_secs([1, 12, 40, 4][(seed as usize + life) % 4]))?;
        world.crash()?;
    }
    let erased = world.erasing.take().unwrap();
    Ok((world.totals, [erased.gone, erased.kept]))
}

#[test]
fn what_was_said_is_gone_in_time_and_what_waits_is_not() {
    let (mut all, mut figures) = (Totals::default(), [0, 0]);
    for seed in seeds(SEEDS) {
        let (totals, more) = run(seed, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.add(&totals);
        figures = [figures[0] + more[0], figures[1] + more[1]];
    }
    println!("{figures:?} texts had to be gone and kept, {all:?}");
    if crate::number("JOURNAL_SEED").is_none() {
        assert!(figures[0] > 2000 && figures[1] > 500 && all.moved > 500, "{figures:?} {all:?}");
    }
}

#[test]
fn whoever_does_not_do_its_part_is_caught() {
    for lazy in [Lazy::Preparer, Lazy::Shard, Lazy::Nudge, Lazy::Keeper] {
        let caught = (0..64).find_map(|seed| run(seed, Some(lazy)).err().map(|what| (seed, what)));
        let (seed, what) = caught.unwrap_or_else(|| panic!("{lazy:?} was not caught"));
        println!("{lazy:?}: seed {seed}: {what}");
    }
}
