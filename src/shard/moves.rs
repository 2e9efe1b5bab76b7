//! What is copied to the end of the journal. Owns: when what is. Takes: how old records are, how much of the room is used. Gives:
//! copies, so that segments in front can be given back, and now and then a record that says nothing, so that the disk is told
//! how far all is over while nobody writes. Never: keeps one record back for a copy of another.
//!
//! A copy is made where it pays: where little else is needed, or the disk is nearly full. What is older than its share of
//! `[privacy] erase_within` is copied in any case: what is over stands between.

use super::Shard;
use super::message::{Deliveries, DeliveryKey};
use super::queues::Steer;
use super::records::{Pen, Records, sent_of};
use crate::config::Config;
use crate::journal::book::Plan;
use crate::journal::record::NO_REASON;
use crate::journal::{Erasing, Kind, Lsn, Record};
use crate::ledger::{IdRoom, Octets, OpenKey, StoredKey, StoredMessage};
use crate::limits::{
    ERASE_AGAIN_MAX, JOURNAL_KEEP_BELOW, JOURNAL_KEEP_LOOK, JOURNAL_MOVE_AFTER, JOURNAL_MOVE_ALWAYS_AT,
    JOURNAL_MOVE_LOOK, JOURNAL_MOVES_PER_TURN,
};
use crate::time::{Duration, Instant, Now, Wall};
use std::collections::VecDeque;

/// The key of a record that is about no message.
const NOBODY: u64 = 0;
/// What found no room in a turn is copied so much later.
const MOVE_ON: Duration = Duration::from_millis(1);

/// What is copied to the end of the journal, so that its front can be given back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moving {
    Message(OpenKey),
    /// One that is on the disk alone.
    Asleep(u64),
    Delivery(DeliveryKey),
    /// The ACCEPT of a stored message, and its last attempt.
    Accept(StoredKey),
    Attempt(StoredKey),
    /// What an operator has said of one.
    Steer(StoredKey),
    /// The ACCEPT of one that a carrier has and that may be sent again.
    Again(OpenKey),
}

/// When what is copied.
#[derive(Debug)]
pub(super) struct Copying {
    erasing: Erasing,
    /// The last record at some instants, the oldest first, one a second at most: how old records are.
    ages: VecDeque<(Instant, Lsn)>,
    /// All up to here are so old that they are worth a copy.
    old: Lsn,
    /// What must be copied is looked for again then.
    copy_at: Instant,
    /// Less is kept again then.
    less_at: Instant,
    /// The last record of ours that says nothing, and when the next one is due.
    nudged: Lsn,
    nudge_at: Option<Instant>,
    /// When the last record came that says something.
    said_at: Option<Instant>,
}

impl Copying {
    pub(super) const fn new(erasing: Erasing) -> Self {
        Self {
            erasing,
            ages: VecDeque::new(),
            old: Lsn::NONE,
            copy_at: Instant::ZERO,
            less_at: Instant::ZERO,
            nudged: Lsn::NONE,
            nudge_at: None,
            said_at: None,
        }
    }

    /// Something was appended; this is the last of it.
    pub(super) fn appended(&mut self, now: Instant, last: Lsn) {
        if last != self.nudged {
            self.said_at = Some(now);
        }
    }

    /// True while there may be something to erase.
    fn erases(&self, now: Instant) -> bool {
        self.said_at.is_some_and(|at| now < at.after(self.erasing.rests_after()))
    }

    /// False: it was looked a moment ago.
    fn looks(&mut self, now: Instant, last: Lsn) -> bool {
        if self.ages.back().is_some_and(|(at, _)| at.after(JOURNAL_MOVE_LOOK) > now) {
            return false;
        }
        self.ages.push_back((now, last));
        while let Some(&(at, last)) = self.ages.front()
            && at.after(JOURNAL_MOVE_AFTER) <= now
        {
            self.old = last;
            self.ages.pop_front();
        }
        true
    }
}

impl Records {
    /// When a turn is wanted for what is to be copied or told, though nothing comes.
    pub(super) fn looks_again(&self, now: Instant) -> Option<Instant> {
        let copying = &self.copying;
        if !copying.erases(now) {
            return None;
        }
        let look = copying.erasing.nudge().max(JOURNAL_MOVE_LOOK);
        let moves = !self.moving.is_empty() || self.sleeping.copies();
        Some(now.after(if moves { MOVE_ON } else { look }))
    }

    /// A record that says nothing: the batch that it is in begins a segment where the last one is old, and tells the disk
    /// how far all is over.
    fn nudge(&mut self, now: Now) {
        let Self { pen, copying, .. } = self;
        let (last, every) = (pen.book.last(), copying.erasing.nudge());
        let nudge_at = *copying.nudge_at.get_or_insert_with(|| {
            // What the last run left may be old already.
            let left = last != Lsn::NONE;
            copying.said_at = left.then_some(now.mono);
            now.mono.after(if left { every.min(ERASE_AGAIN_MAX) } else { every })
        });
        if pen.appended {
            copying.appended(now.mono, last);
        }
        if now.mono < nudge_at || !copying.erases(now.mono) {
            return;
        }
        let nothing = Record::Tombstone { reason: NO_REASON };
        if let Some(lsn) = pen.append(now, NOBODY, &nothing, None) {
            (copying.nudged, copying.nudge_at) = (lsn, Some(now.mono.after(every)));
        }
    }

    /// What is needed below this record is to be copied now.
    fn moves_below(&mut self, now: Now, used_percent: u64) -> Option<Lsn> {
        let Self { pen, copying, moving, .. } = self;
        if !moving.is_empty() || self.sleeping.copies() {
            return None;
        }
        if now.mono >= copying.copy_at
            && let Some(below) = pen.book.copied_below()
        {
            copying.copy_at = now.mono.after(copying.erasing.nudge().min(ERASE_AGAIN_MAX));
            return Some(below);
        }
        let pressed = used_percent >= JOURNAL_MOVE_ALWAYS_AT;
        if !pressed && pen.book.needed() > copying.old {
            return None;
        }
        let old = copying.old.next();
        // Where room is short age does not count, as long as each octet that is copied frees another one.
        let pays = |plan: &Plan| if pressed { 2 * plan.octets < plan.frees } else { plan.below <= old };
        pen.book.plan(used_percent).filter(pays).map(|plan| plan.below)
    }

    /// The copy of something is its record now.
    fn moved(&mut self, moving: Moving, lsn: Lsn, deliveries: &mut Deliveries) {
        match moving {
            Moving::Accept(key) => {
                if let Some(stored) = self.stored.get_mut(key) {
                    stored.lsn = lsn;
                }
                self.stored.may_leave_memory(key);
            }
            Moving::Attempt(key) => {
                self.stored.get_mut(key).into_iter().for_each(|stored| stored.outcome = lsn);
            }
            Moving::Message(key) => {
                if let Some(open) = self.open.get_mut(key) {
                    open.lsn = lsn;
                }
            }
            Moving::Again(key) => self.open.again_moved(key, lsn),
            Moving::Asleep(_) | Moving::Steer(_) => {}
            Moving::Delivery(key) => {
                if let Some(delivery) = deliveries.get_mut(key) {
                    delivery.lsn = lsn;
                }
            }
        }
    }

    /// New messages need the room of what is kept for a while only.
    fn keep_less(&mut self, now: Instant, used_percent: u64) {
        if used_percent >= JOURNAL_KEEP_BELOW && now >= self.copying.less_at {
            self.copying.less_at = now.after(JOURNAL_KEEP_LOOK);
            self.pen.book.keep_less();
        }
    }
}

impl Shard {
    /// Decides what to copy, so that the segments in front can be given back.
    pub(super) fn plan_moves(&mut self, now: Now) {
        let Self { records, deliveries, .. } = self;
        let Some(records) = records else { return };
        if !records.copying.looks(now.mono, records.pen.book.last()) {
            return;
        }
        let used = records.pen.recorder.used_percent();
        records.pen.book.look(now);
        records.keep_less(now.mono, used);
        records.nudge(now);
        let Some(below) = records.moves_below(now, used) else { return };
        records.recalling.move_below = below;
        let in_front = |lsn: Lsn| lsn != Lsn::NONE && lsn < below;
        let messages = records.open.waiting().take_while(|(_, message)| message.origin < below);
        let messages = messages.filter(|(_, message)| in_front(message.lsn));
        let woken = records.open.woken().filter(|(_, message)| in_front(message.lsn));
        records.moving = messages.chain(woken).map(|(key, _)| Moving::Message(key)).collect();
        let again = records.open.may_go().filter(|(_, again)| in_front(again.lsn));
        records.moving.extend(again.map(|(key, _)| Moving::Again(key)));
        records.copy_sleepers(below);
        let waiting = deliveries.iter().filter(|(_, delivery)| in_front(delivery.lsn));
        records.moving.extend(waiting.map(|(key, _)| Moving::Delivery(key)));
        for (key, stored) in records.stored.iter() {
            records.moving.extend(in_front(stored.lsn).then_some(Moving::Accept(key)));
            records.moving.extend(in_front(stored.outcome).then_some(Moving::Attempt(key)));
            let steers = if stored.is_steered() { records.pen.book.steers(stored.key) } else { None };
            records.moving.extend(steers.is_some_and(in_front).then_some(Moving::Steer(key)));
        }
    }

    pub(super) fn move_some(&mut self, now: Now) {
        let Self { records, config, deliveries, .. } = self;
        let Some(records) = records else { return };
        if records.moving.is_empty() {
            records.find_sleepers_to_copy();
        }
        for _ in 0..JOURNAL_MOVES_PER_TURN {
            let Some(moving) = records.moving.pop_front() else { return };
            let mut payload = Vec::new();
            let (key, kind, from, origin, wall) = match moving {
                Moving::Message(key) => {
                    let Some(open) = records.open.get(key) else { continue };
                    let mut room = IdRoom::default();
                    let record = sent_of(open, config, &mut room);
                    record.payload(&mut payload);
                    (open.key, record.kind(), open.lsn, open.origin, open.submitted)
                }
                Moving::Again(key) => {
                    let Some(again) = records.open.again(key) else { continue };
                    copy_accept(&mut records.pen, again, (now, config), &mut payload)
                }
                Moving::Asleep(key) => {
                    if records.recalls_enough() {
                        return records.moving.push_front(moving);
                    }
                    records.copy_sleeper(key);
                    continue; // It is copied when it was read.
                }
                Moving::Accept(key) => {
                    if records.recalls_enough() {
                        return records.moving.push_front(moving);
                    }
                    if records.octets_of(key) != Octets::Here {
                        continue; // It comes again when it was read.
                    }
                    let Some(stored) = records.stored.get(key) else { continue };
                    if stored.frame().is_empty() {
                        continue; // A carrier has it: later.
                    }
                    copy_accept(&mut records.pen, &stored, (now, config), &mut payload)
                }
                Moving::Attempt(key) => {
                    let Some(stored) = records.stored.get(key) else { continue };
                    let record = super::attempts::attempt_of(&stored, now, config);
                    record.payload(&mut payload);
                    (stored.key, record.kind(), stored.outcome, stored.outcome, stored.submitted)
                }
                Moving::Steer(key) => {
                    let Some(stored) = records.stored.get(key) else { continue };
                    let Some(from) = records.pen.book.steers(stored.key) else { continue };
                    Steer::of(&stored).record(config).payload(&mut payload);
                    // Nobody asks when it was said, or which copy this is: the last one holds.
                    (stored.key, Kind::Steer, from, from, now.wall)
                }
                Moving::Delivery(key) => {
                    let Some(delivery) = deliveries.get(key) else { continue };
                    let record = super::kept::record_of(delivery, config);
                    records.pen.payload(delivery.key, &record, &mut payload);
                    (delivery.key, record.kind(), delivery.lsn, delivery.origin_lsn, delivery.came)
                }
            };
            let copy =
                Record::Move { from, origin, kind: kind as u8, version: 1, wall: wall.0, payload: &payload };
            let Some(lsn) = records.pen.append(now, key, &copy, Some(from)) else {
                return records.moving.push_front(moving);
            };
            records.moved(moving, lsn, deliveries);
        }
    }
}

/// The ACCEPT of a message as it is in a copy: its key and kind, where it is, where it was first and when.
fn copy_accept(
    pen: &mut Pen,
    message: &StoredMessage,
    (now, config): (Now, &Config),
    payload: &mut Vec<u8>,
) -> (u64, Kind, Lsn, Lsn, Wall) {
    let mut room = IdRoom::default();
    let record = super::store::accept_of(message, now, config, &mut room);
    pen.payload(message.key, &record, payload);
    (message.key, Kind::Accept, message.lsn, message.origin, message.accepted)
}
