//! Who is concerned by records that are missing. Owns: nothing. Takes: the disk once more, and which records are missing. Gives:
//! the accounts that records which can be read name. Never: looks when nothing is missing; guesses.
//!
//! Named is the account of a message when a record that can be read proves that one before it was there and is not:
//!
//! | can be read | missing | when that was |
//! |---|---|---|
//! | SENDING or REFUSED, and SENT or FINISH of the same message | its ACCEPT | `accepted` |
//! | FINISH, of a receipt or of none in time | its SENT | after `submitted` |
//! | DLR_OUT, and another one that names the account | its DLR_IN | its number says it |
//!
//! A copy (MOVE) counts as what it is one of. What nothing proves is not told: SENT and FINISH alone are as those of a relayed
//! message, and are whole; a copy that is missing was written later than what it is one of. Of a message the whole of which is
//! missing, or all but what has no name in it, nobody is named: that nobody is does not say that nobody has lost anything.
//! What was given back is not missing; where the oldest file itself is lost the two are not told apart, and accounts may be
//! named that have lost nothing.

use super::record::{Kind, Record};
use super::recover::{Missing, Recovered, Recovery, Refusal};
use super::{Disk, Frame, Lsn};
use crate::limits::JOURNAL_REPORT_MAX;
use crate::smpp::message_state::MessageState;
use std::collections::{BTreeSet, HashMap};

/// Messages that are looked at more closely, the first ones.
const LOOKED_AT_MAX: usize = 256 * JOURNAL_REPORT_MAX;
/// A clock is set by so much without anybody being missed, microseconds.
const CLOCK_LEAP: i64 = 1_000_000;
/// A carrier answers in this time, mostly, microseconds.
const ANSWERED_WITHIN: i64 = 60_000_000;
/// Gaps that one record may have been in, the first ones.
const GAPS_MAX: usize = 16;

/// An account, and what is missing of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Concerned {
    /// Its name.
    pub account: String,
    /// One record of it or more is among these.
    pub missing: Missing,
}

/// What is missing, and when it was written: between the records around it.
#[derive(Debug)]
struct Gap {
    missing: Missing,
    after: i64,
    /// `None`: nothing that follows was read yet.
    before: Option<i64>,
}

/// What is missing, in the order of the journal.
#[derive(Debug)]
struct Gaps {
    gaps: Vec<Gap>,
    /// So many have been passed.
    passed: usize,
    /// The latest time of a record that was read; it does not go back with the clock.
    now: Option<i64>,
    /// What was written before was given back; the least of all: what was oldest is missing.
    since: i64,
}

impl Gaps {
    fn new(missing: &[Missing]) -> Self {
        let gap = |missing: &Missing| Gap { missing: *missing, after: i64::MIN, before: None };
        Self { gaps: missing.iter().map(gap).collect(), passed: 0, now: None, since: i64::MIN }
    }

    /// The next record that can be read, and when it was written.
    fn read(&mut self, lsn: Lsn, wall: i64) {
        let now = self.now.map_or(wall, |now| now.max(wall));
        while let Some(gap) = self.gaps.get_mut(self.passed).filter(|gap| gap.missing.last < lsn) {
            gap.after = self.now.map_or(i64::MIN, |before| before.saturating_sub(CLOCK_LEAP));
            gap.before = Some(now.saturating_add(CLOCK_LEAP));
            self.passed += 1;
        }
        if self.now.is_none() && self.passed == 0 {
            self.since = wall;
        }
        self.now = Some(now);
    }

    /// Those in front of the last record that may hold one of this time.
    fn between(&self, from: i64, to: i64) -> impl Iterator<Item = usize> {
        let upto = if from < self.since { 0 } else { self.passed };
        let passed = self.gaps.get(..upto).unwrap_or_default();
        let first = passed.partition_point(|gap| gap.before.is_some_and(|before| before < from));
        let rest = passed.iter().enumerate().skip(first);
        rest.take_while(move |(_, gap)| gap.after <= to).map(|(at, _)| at).take(GAPS_MAX)
    }

    /// The one that this record is in.
    fn of(&self, lsn: Lsn) -> Option<usize> {
        let at = self.gaps.partition_point(|gap| gap.missing.last < lsn);
        self.gaps.get(at).filter(|gap| gap.missing.first <= lsn).map(|_| at)
    }
}

/// A message of which something may be missing.
#[derive(Debug, Default)]
struct Doubt {
    /// Where its ACCEPT is, if it had one and that cannot be read.
    accept: Vec<usize>,
    /// The same of its SENT, which it had.
    sent: Vec<usize>,
    /// Where receipts are that its account has answered.
    receipts: Vec<usize>,
    account: Option<String>,
    has_accept: bool,
    was_stored: bool,
    has_sent: bool,
}

impl Doubt {
    /// A record of it that can be read.
    fn read(&mut self, frame: &Frame<'_>) {
        let Some(record) = frame.original() else { return };
        let esme = match record {
            Record::Accept { esme, .. } | Record::MoIn { esme, .. } => Some(esme),
            Record::Sent { facts, .. } | Record::Finish { facts, .. } => Some(facts.esme),
            _ => None,
        };
        if let (None, Some(esme)) = (&self.account, esme) {
            self.account = Some(String::from_utf8_lossy(esme).into_owned());
        }
        self.has_accept |= record.kind() == Kind::Accept;
        self.was_stored |= matches!(record.kind(), Kind::Sending | Kind::Refused);
        self.has_sent |= matches!(record.kind(), Kind::Sent | Kind::SentKept);
    }

    /// Where it has lost something.
    fn lost(self, found: &mut BTreeSet<(String, usize)>) {
        let Some(account) = self.account else { return };
        let accept = self.accept.into_iter().filter(|_| self.was_stored && !self.has_accept);
        let sent = self.sent.into_iter().filter(|_| !self.has_sent);
        found.extend(accept.chain(sent).chain(self.receipts).map(|at| (account.clone(), at)));
    }
}

/// What is looked at more closely: by key, whatever may be missing of it.
fn doubt(frame: &Frame<'_>, gaps: &Gaps) -> Option<Doubt> {
    let mut doubt = Doubt::default();
    match frame.original()? {
        Record::DlrOut { at, .. } => doubt.receipts.extend(gaps.of(at)),
        Record::Sent { facts, .. } => doubt.accept.extend(gaps.between(facts.accepted, facts.accepted)),
        Record::Finish { facts, state, .. } => {
            doubt.accept.extend(gaps.between(facts.accepted, facts.accepted));
            // One that nothing was to come of has none.
            if !facts.message_id.is_empty() && state != MessageState::Accepted as u8 {
                let from = facts.submitted;
                doubt.sent.extend(gaps.between(from, from.saturating_add(ANSWERED_WITHIN)));
            }
        }
        _ => {}
    }
    let is_one = !(doubt.accept.is_empty() && doubt.sent.is_empty() && doubt.receipts.is_empty());
    is_one.then_some(doubt)
}

impl Recovery {
    /// Who is concerned by what is missing, as `Report::concerned` has it; nothing is read when nothing is.
    ///
    /// # Errors
    /// As `run`.
    pub fn concerned<D: Disk>(&self, disk: &mut D, recovered: &Recovered) -> Result<Vec<Concerned>, Refusal> {
        if recovered.report.missing.is_empty() {
            return Ok(Vec::new());
        }
        let mut gaps = Gaps::new(&recovered.report.missing);
        let mut doubts: HashMap<u64, Doubt> = HashMap::new();
        self.run(disk, &mut |frame, place| {
            gaps.read(frame.lsn, place.wall.0);
            let Some(doubt) = doubt(frame, &gaps) else { return };
            if doubts.len() < LOOKED_AT_MAX || doubts.contains_key(&frame.key) {
                let known = doubts.entry(frame.key).or_default();
                known.accept.extend(doubt.accept);
                known.sent.extend(doubt.sent);
                known.receipts.extend(doubt.receipts);
            }
        })?;
        if doubts.is_empty() {
            return Ok(Vec::new());
        }
        self.run(disk, &mut |frame, _| {
            doubts.get_mut(&frame.key).into_iter().for_each(|doubt| doubt.read(frame));
        })?;
        let mut found = BTreeSet::new();
        for doubt in doubts.into_values() {
            doubt.lost(&mut found);
        }
        let found = found.into_iter().filter_map(|(account, at)| {
            gaps.gaps.get(at).map(|gap| Concerned { account, missing: gap.missing })
        });
        Ok(found.take(JOURNAL_REPORT_MAX).collect())
    }
}
