//! When what was said is gone from the disk. Owns: how `[privacy] keep_text` and `erase_within` are divided among those who
//! each do a part of it, and how old records are. Takes: the two spans, the last record and the oldest needed one now and
//! then. Gives: what each may take, the records that are old. Never: a clock; anything per message.
//!
//! A text that is not needed any more is on the disk until its segment is given back and written over. Each step has its
//! share of `erase_within`, and the shares leave a quarter of it to the disk:
//!
//! | share | step |
//! |---|---|
//! | 1/8 + 1/32 | its segment is not written to any longer: the committer takes the next file, `Erasing::nudge` gives it a record to put there |
//! | 1/4 + 1/32 | what is still needed in front of it and beside it is copied to the end |
//! | 2/32 | the disk is told that nothing in front is needed |
//! | 1/16, at most a minute | the file is taken for new records, or wiped |
//! | 1/8 + 1/32 | it is not written to any longer: what stands behind its last record is wiped |
//! | 1/32 | `keep_text` is told this coarsely |

use super::Lsn;
use crate::limits::{ERASE_LEAST, ERASE_REUSE_MAX};
use crate::time::{Duration, Now, Wall};
use std::collections::VecDeque;

/// `[privacy]`: how long what messages say is kept, and how soon it is gone then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasing {
    /// `keep_text`.
    pub keep: Duration,
    /// `erase_within`.
    pub within: Duration,
}

impl Default for Erasing {
    fn default() -> Self {
        Self { keep: Duration::ZERO, within: Duration::from_secs(7 * 86_400) }
    }
}

impl Erasing {
    fn share(&self, part: u32) -> Duration {
        self.within.max(ERASE_LEAST) / part
    }

    /// A segment is written to for so long.
    #[must_use]
    pub fn rotate(&self) -> Duration {
        self.share(8)
    }

    /// So often something is appended while there may be something to erase.
    #[must_use]
    pub fn nudge(&self) -> Duration {
        self.share(32)
    }

    /// A record that is needed is copied to the end when it is so old.
    #[must_use]
    pub fn copy(&self) -> Duration {
        self.share(4)
    }

    /// A file that was given back waits so long for its next use.
    #[must_use]
    pub fn reuse(&self) -> Duration {
        self.share(16).min(ERASE_REUSE_MAX)
    }

    /// After the last record there may be something to erase for so long.
    #[must_use]
    pub fn rests_after(&self) -> Duration {
        self.keep.saturating_add(self.within.max(ERASE_LEAST))
    }
}

/// A record at some instants, evenly apart and of a bounded number. Times are microseconds of one time line.
#[derive(Debug, Clone)]
struct Marks {
    span: i64,
    every: i64,
    marks: VecDeque<(i64, Lsn)>,
    /// That of the newest mark which is older than the span.
    past: Lsn,
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl Marks {
    /// `every`: as far as they are apart; at least a 4,096th of the span.
    fn new(span: Duration, every: Duration) -> Self {
        let span = micros(span);
        let every = micros(every).max(span / 4096).max(1);
        let marks = VecDeque::with_capacity(usize::try_from(span / every).unwrap_or_default() + 2);
        Self { span, every, marks, past: Lsn::NONE }
    }

    fn note(&mut self, at: i64, lsn: Lsn) {
        // A clock that was set back: what it said before is not older than now.
        while self.marks.back().is_some_and(|(marked, _)| *marked > at) {
            self.marks.pop_back();
        }
        if self.marks.back().is_none_or(|(marked, _)| at - marked >= self.every) {
            self.look(at);
            self.marks.push_back((at, lsn));
        }
    }

    fn look(&mut self, at: i64) {
        while let Some(&(marked, lsn)) = self.marks.front()
            && at.saturating_sub(marked) >= self.span
        {
            self.past = lsn;
            self.marks.pop_front();
        }
    }

    fn forget_half(&mut self) {
        for _ in 0..self.marks.len().div_ceil(2) {
            self.past = self.marks.pop_front().map_or(self.past, |(_, lsn)| lsn);
        }
    }
}

/// How old the records of a journal are. Monotonic within a run, by the wall over restarts.
#[derive(Debug, Clone)]
pub struct Ages {
    /// The last record: all up to it are as old.
    last: Marks,
    /// The oldest record that was needed then; `None`: nothing is kept beyond that.
    needed: Option<Marks>,
    /// What the wall said at the origin of this run's monotonic clock.
    origin: Option<i64>,
}

impl Ages {
    /// Of a journal that is erased like this.
    #[must_use]
    pub fn new(erasing: &Erasing) -> Self {
        let copy = erasing.copy();
        let needed = (!erasing.keep.is_zero()).then(|| Marks::new(erasing.keep, erasing.nudge()));
        Self { last: Marks::new(copy, copy / 64), needed, origin: None }
    }

    fn at(&mut self, now: Now) -> i64 {
        let mono = i64::try_from(now.mono.as_nanos() / 1000).unwrap_or(i64::MAX);
        self.origin.get_or_insert(now.wall.0.saturating_sub(mono)).saturating_add(mono)
    }

    /// Once in a while: the last record, and the oldest that is needed.
    pub fn look(&mut self, now: Now, last: Lsn, needed: Lsn) {
        let at = self.at(now);
        self.note(at, last, needed);
        self.last.look(at);
        self.needed.iter_mut().for_each(|marks| marks.look(at));
    }

    /// The same of an earlier run, by what the wall said.
    pub fn was(&mut self, wall: Wall, last: Lsn, needed: Lsn) {
        self.note(wall.0, last, needed);
    }

    /// True when `was` has something to note at this time.
    #[must_use]
    pub fn wants(&self, wall: Wall) -> bool {
        let due = |marks: &Marks| {
            marks.marks.back().is_none_or(|(marked, _)| *marked > wall.0 || wall.0 - marked >= marks.every)
        };
        due(&self.last) || self.needed.as_ref().is_some_and(due)
    }

    fn note(&mut self, at: i64, last: Lsn, needed: Lsn) {
        self.last.note(at, last);
        self.needed.iter_mut().for_each(|marks| marks.note(at, needed));
    }

    /// What is needed up to here is to be copied to the end.
    #[must_use]
    pub const fn old(&self) -> Lsn {
        self.last.past
    }

    /// Nothing from here on is given back yet: it was needed less than `keep_text` ago. `None`: nothing is kept for that.
    #[must_use]
    pub fn kept_from(&self) -> Option<Lsn> {
        self.needed.as_ref().map(|marks| marks.past)
    }

    /// Room is wanted: half of what is kept goes, the older one.
    pub fn forget_half(&mut self) {
        self.needed.iter_mut().for_each(Marks::forget_half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    const HOUR: i64 = 3_600_000_000;

    fn erasing(keep_hours: u64, within_hours: u64) -> Erasing {
        let hours = |hours| Duration::from_secs(hours * 3600);
        Erasing { keep: hours(keep_hours), within: hours(within_hours) }
    }

    fn at(hours: i64) -> Now {
        Now {
            mono: Instant::from_nanos((hours * HOUR) as u64 * 1000),
            wall: Wall(1000 * HOUR + hours * HOUR),
        }
    }

    #[test]
    fn the_shares_leave_a_quarter_to_the_disk() {
        for minutes in [1, 10, 60, 60 * 24 * 400] {
            let erasing = Erasing { keep: Duration::ZERO, within: Duration::from_secs(60 * minutes) };
            let life = erasing.rotate() + erasing.nudge();
            let told = 2 * erasing.nudge();
            let copied = erasing.copy() + erasing.nudge();
            let all = life + copied + told + erasing.reuse() + life + erasing.nudge();
            assert!(all <= erasing.within * 3 / 4, "{minutes}: {all:?}");
        }
    }

    #[test]
    fn a_record_is_old_after_a_quarter_and_never_before() {
        let mut ages = Ages::new(&erasing(0, 64));
        for hour in 0..100 {
            ages.look(at(hour), Lsn(hour as u64 * 10), Lsn(1));
            let old = ages.old().0;
            assert!(
                old <= (hour - 16).max(0) as u64 * 10 && old + 20 >= (hour - 16).max(0) as u64 * 10,
                "{hour}"
            );
        }
        assert_eq!(ages.kept_from(), None);
    }

    #[test]
    fn what_was_needed_of_late_is_kept_also_over_a_restart() {
        let mut ages = Ages::new(&erasing(48, 64));
        for hour in 0..40 {
            assert!(ages.wants(Wall(hour * HOUR)) || hour % 2 == 1, "{hour}");
            ages.was(Wall(hour * HOUR), Lsn(1000), Lsn(hour as u64));
        }
        assert_eq!(ages.kept_from(), Some(Lsn::NONE), "nothing is as old");
        // The clock of the new run begins anew; the wall says 60.
        let now = |hours: i64| Now { wall: Wall(hours * HOUR), ..at(hours - 60) };
        ages.look(now(60), Lsn(1000), Lsn(40));
        let kept = ages.kept_from().unwrap();
        assert!(kept <= Lsn(12) && kept >= Lsn(8), "{kept:?}");
        // A wall that leaps within the run says nothing.
        ages.look(Now { wall: Wall(0), ..now(62) }, Lsn(1000), Lsn(40));
        let kept = ages.kept_from().unwrap();
        assert!(kept <= Lsn(14) && kept >= Lsn(10), "{kept:?}");
        ages.forget_half();
        assert!(ages.kept_from() > Some(kept));
    }

    #[test]
    fn marks_are_bounded_and_a_clock_that_was_set_back_makes_nothing_old() {
        let mut marks = Marks::new(Duration::from_secs(400 * 86_400), Duration::from_millis(1));
        let room = marks.marks.capacity();
        for at in 0..10_000_000_i64 {
            marks.note(at * 10_000_000, Lsn(at as u64));
        }
        assert!(marks.marks.len() <= 4098 && marks.marks.capacity() == room);
        marks.note(0, Lsn(7));
        assert_eq!(marks.marks.len(), 1);
    }
}
