//! What an operator asks of stored messages: how many stand where; hold, release, reroute, purge.
//!
//! Owns: where a question has come to. Takes: a question, again and again until it is over, so that no turn looks at
//! more than a slice of the messages. Gives: counts, and what was done to how many; of what must hold after a restart too
//! each its record, and the last word when those are as safe as a promise is. Never: touches what a carrier has; fills the
//! ring that new messages need.

use super::Shard;
use super::mt::Body;
use super::port::Outbox;
use super::records::Records;
use crate::config::Config;
use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::journal::Record;
use crate::ledger::{End, Stand, Stored, StoredKey, StoredMessage};
use crate::limits::{QUEUE_READ_SLICE, QUEUE_SLICE, STORE_RING_THROTTLED};
use crate::route::settings::Pattern;
use crate::route::table::carriers_of;
use crate::smpp::frame::Pdu;
use crate::time::{Duration, Now, Wall};
use std::collections::BTreeMap;

/// Which stored messages are meant; what is `None` holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chosen {
    /// Of this account.
    pub esme: Option<EsmeId>,
    /// Whose pool leads to this carrier.
    pub carrier: Option<CarrierId>,
    /// Of this class; 0: of none.
    pub class: Option<usize>,
    /// To these numbers.
    pub to: Option<Pattern>,
    /// From these addresses.
    pub from: Option<Pattern>,
    /// Submitted longer ago than this.
    pub older: Option<Duration>,
}

/// What is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueAct {
    /// They are counted.
    Count,
    /// They do not leave until they are released; they expire all the same.
    Hold,
    /// Those that are held may leave.
    Release,
    /// They go to this pool.
    Reroute(PoolId),
    /// They are over: each has its final record, and its receipt if one was asked for.
    Purge,
}

impl QueueAct {
    /// True when the journal must know.
    const fn steers(self) -> bool {
        match self {
            Self::Hold | Self::Release | Self::Reroute(_) => true,
            Self::Count | Self::Purge => false,
        }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAsk {
    /// The first of a series begins anew; the others go on.
    pub begins: bool,
    /// Of which messages.
    pub chosen: Chosen,
    /// What.
    pub act: QueueAct,
}

/// A row of the counts: whose, which class, which pool, where they stand.
pub type QueueRow = (EsmeId, u8, PoolId, &'static str);

/// What is said of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueAnswer {
    /// How many, and when the oldest of them was submitted.
    pub rows: BTreeMap<QueueRow, (u64, Wall)>,
    /// To how many something was done.
    pub done: u64,
    /// To how many it was not, since the journal has no room for it.
    pub left: u64,
    /// There are more to look at.
    pub more: bool,
    /// Not before the journal has written what it has.
    pub waits: bool,
}

/// What came of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    /// There was nothing to do.
    Nothing,
    It,
    /// Its record has no room.
    NoRoom,
    /// Its record has no room now, and will soon have some.
    Later,
}

impl QueueAnswer {
    /// Of two shards, or of two slices, the second one later.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for (row, (count, oldest)) in other.rows {
            let all = self.rows.entry(row).or_insert((0, oldest));
            *all = (all.0 + count, all.1.min(oldest));
        }
        Self {
            rows: self.rows,
            done: self.done + other.done,
            left: self.left + other.left,
            more: self.more || other.more,
            waits: self.waits || other.waits,
        }
    }

    /// Gives whether this message was looked at.
    const fn count(&mut self, did: Did) -> bool {
        match did {
            Did::Nothing => {}
            Did::It => self.done += 1,
            Did::NoRoom => self.left += 1,
            Did::Later => (self.more, self.waits) = (true, true),
        }
        !matches!(did, Did::Later)
    }
}

/// As people read it.
const fn name_of(message: &StoredMessage) -> &'static str {
    match message.stand() {
        Stand::Promised => "promised",
        Stand::Scheduled => "scheduled",
        Stand::Behind => "behind",
        Stand::Held => "held",
        Stand::Ready => "ready",
        Stand::Waits => "waits",
        Stand::Told | Stand::Sent => "sent",
        Stand::Over => "over",
    }
}

impl Shard {
    /// Looks at the next slice of the stored messages.
    pub(super) fn on_queue_ask(&mut self, now: Now, ask: &QueueAsk, out: &mut Outbox) -> QueueAnswer {
        let mut answer = QueueAnswer::default();
        let Some(records) = &mut self.records else { return answer };
        let first = if ask.begins { 0 } else { records.asked_upto };
        let looks_inside = ask.chosen.to.is_some() || ask.chosen.from.is_some();
        let slice = if looks_inside { QUEUE_READ_SLICE } else { QUEUE_SLICE };
        let keys: Vec<StoredKey> = records.stored.keys().skip(first).take(slice).collect();
        answer.more = keys.len() == slice;
        let coming = |key: &&StoredKey| records.octets_of(**key).are_to_come();
        if looks_inside && keys.iter().filter(coming).count() > 0 {
            records.asked_upto = first;
            return QueueAnswer { more: true, ..answer };
        }
        let before = records.stored.len();
        let mut looked = 0;
        for &key in &keys {
            if self.is_chosen(now, key, &ask.chosen) {
                let did = self.act(now, key, ask.act, &mut answer, out);
                if !answer.count(did) {
                    break;
                }
            }
            looked += 1;
        }
        if let Some(records) = &mut self.records {
            if looks_inside {
                keys.iter().for_each(|key| records.stored.may_leave_memory(*key));
            }
            // What is gone from this slice lets the next one move up.
            let gone = before.saturating_sub(records.stored.len());
            records.asked_upto = (first + looked).saturating_sub(gone);
            if !answer.more && ask.act.steers() && !records.has_steered() {
                (answer.more, answer.waits) = (true, true);
            }
        }
        answer
    }

    fn is_chosen(&self, now: Now, key: StoredKey, chosen: &Chosen) -> bool {
        let message = self.records.as_ref().and_then(|records| records.stored.get(key));
        let Some(message) = message else { return false };
        let old = |span: Duration| {
            let age = now.wall.0.saturating_sub(message.accepted.0);
            u128::try_from(age).is_ok_and(|age| age >= span.as_micros())
        };
        let leads = |carrier: CarrierId| carriers_of(&self.config.pools, message.pool).contains(&carrier);
        if chosen.esme.is_some_and(|esme| esme != message.esme)
            || chosen.class.is_some_and(|class| class != usize::from(message.class))
            || chosen.older.is_some_and(|span| !old(span))
            || chosen.carrier.is_some_and(|carrier| !leads(carrier))
        {
            return false;
        }
        if chosen.to.is_none() && chosen.from.is_none() {
            return true;
        }
        // A carrier has the octets of those that have left.
        let Some(pdu) = Pdu::whole(message.frame()) else { return false };
        let body = Body::again(&pdu);
        let to = crate::route::plain_number(body.destination());
        chosen.to.as_ref().is_none_or(|pattern| pattern.matches(to))
            && chosen.from.as_ref().is_none_or(|pattern| pattern.matches(body.source()))
    }

    fn act(
        &mut self,
        now: Now,
        key: StoredKey,
        act: QueueAct,
        answer: &mut QueueAnswer,
        out: &mut Outbox,
    ) -> Did {
        let Self { records, config, .. } = self;
        let Some(records) = records else { return Did::Nothing };
        let Some(message) = records.stored.get(key) else { return Did::Nothing };
        match act {
            QueueAct::Count => {
                let row = (message.esme, message.class, message.pool, name_of(&message));
                let all = answer.rows.entry(row).or_insert((0, message.accepted));
                *all = (all.0 + 1, all.1.min(message.accepted));
                Did::Nothing
            }
            QueueAct::Hold if !message.may_be_held() => Did::Nothing,
            QueueAct::Hold => {
                let said = Steer { held: true, ..Steer::of(&message) };
                records.steer(now, message.key, said, config, |stored| stored.hold(key))
            }
            QueueAct::Release if !message.is_held() => Did::Nothing,
            QueueAct::Release => {
                let said = Steer { held: false, ..Steer::of(&message) };
                records.steer(now, message.key, said, config, |stored| stored.release(key))
            }
            QueueAct::Reroute(pool) if !message.may_go_to(pool) => Did::Nothing,
            QueueAct::Reroute(pool) => {
                let said = Steer { pool: Some(pool), ..Steer::of(&message) };
                records.steer(now, message.key, said, config, |stored| stored.reroute(key, pool))
            }
            QueueAct::Purge => {
                let leaves =
                    matches!(message.stand(), Stand::Promised | Stand::Told | Stand::Sent | Stand::Over);
                if leaves {
                    return Did::Nothing;
                }
                self.end_stored(now, key, End::purged(), out);
                Did::It
            }
        }
    }
}

/// What an operator has said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steer {
    held: bool,
    /// `None`: it goes by its route.
    pool: Option<PoolId>,
}

impl Steer {
    pub(super) fn of(message: &StoredMessage) -> Self {
        Self { held: message.is_held(), pool: message.is_rerouted().then_some(message.pool) }
    }

    pub(super) fn record(self, config: &Config) -> Record<'_> {
        let pool = self.pool.and_then(|pool| config.pools.get(pool.index()));
        Record::Steer { held: self.held, pool: pool.map_or(&[], |pool| pool.name.as_bytes()) }
    }
}

impl Records {
    /// Writes what an operator has said of a message, and does it.
    fn steer(
        &mut self,
        now: Now,
        key: u64,
        said: Steer,
        config: &Config,
        act: impl FnOnce(&mut Stored) -> bool,
    ) -> Did {
        let Self { pen, stored, .. } = self;
        // What lets a held one go takes the place of what held it: also where there is no room for anything else.
        let may = pen.book.steers(key).is_some() || pen.recorder.accepting() && pen.book.has_room_to_spare();
        if !may || pen.recorder.failed().is_some() {
            return Did::NoRoom;
        }
        if pen.recorder.full_percent() >= STORE_RING_THROTTLED {
            return Did::Later;
        }
        let Some(lsn) = pen.append(now, key, &said.record(config), None) else { return Did::NoRoom };
        self.steered = lsn;
        let done = act(stored);
        debug_assert!(done, "asked before");
        Did::It
    }

    /// True when what an operator has said is as safe as a promise is.
    fn has_steered(&self) -> bool {
        self.steered <= self.safe(self.wait)
    }
}
