//! Messages that we have answered ourselves and no carrier has taken yet.
//!
//! Owns: them, the octets of those that leave next, the order in which they leave. Takes: messages that were written to the
//! journal, what becomes of each. Gives: the next one of a pool, those whose time has come, one by the id that its ESME was
//! given. Never: a message before an earlier one of its account to the same destination is over; more than `STORED_MAX` of
//! them or `STORED_OCTETS_MAX` octets in memory.
//!
//! Over `STORED_OCTETS_HERE` the octets of those that leave last are dropped once the disk has them: they are read back
//! from the journal before they are wanted. Such a message that was never sent is folded (`shelf`): with its places in the
//! tables here it takes some 80 octets.
//!
//! ```text
//!  Promised ──safe──▶ Behind ──the one before it is over──▶ Ready ──▶ Told ──written──▶ Sent ──accepted──▶ (gone)
//!      │                 ▲                                   ▲ ▲                         │
//!      └─▶ Scheduled ────┘                                   │ └── not taken ────────────┤
//!                                                            └────────── Waits ◀─────────┘ refused for now, unknown
//! ```

use super::by_age::ByAge;
use super::own_id::ID_STEP;
use super::shelf::{Shelf, index_of};
use super::stored_message::{NEVER, Octets, Stand, StoredKey, StoredMessage};
use super::{End, Given};
use crate::ids::{EsmeId, PoolId};
use crate::journal::{Lsn, Recall, Wanted};
use crate::limits::{STORED_AHEAD, STORED_MAX, STORED_NEAR, STORED_OCTETS_HERE, STORED_OCTETS_MAX};
use crate::split::Split;
use crate::time::Instant;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Stale entries of a list that are nothing to be done about.
const STALE: usize = 64;

/// When somebody is to look at the message in which place, in one word: 36 bits of 4.2 ms, which are nine years, and 28.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Look(u64);

const PLACE_BITS: u32 = 28;
const LOOK_BITS: u32 = 22;
const _: () = assert!(STORED_MAX < 1 << (PLACE_BITS - 1));

impl Look {
    /// Never too soon.
    fn new(at: Instant, place: u32) -> Self {
        let ticks = at.as_nanos().div_ceil(1 << LOOK_BITS).min(u64::MAX >> PLACE_BITS);
        Self(ticks << PLACE_BITS | u64::from(place))
    }

    const fn at(self) -> Instant {
        Instant::from_nanos(self.0 >> PLACE_BITS << LOOK_BITS)
    }

    const fn place(self) -> u32 {
        (self.0 & ((1 << PLACE_BITS) - 1)) as u32
    }
}

/// See the room's header.
#[derive(Debug)]
pub struct Stored {
    pub(super) messages: Shelf,
    /// Octets in memory.
    octets: u64,
    /// So many of them stay there, and queues that are so short.
    octets_here: u64,
    near: usize,
    /// Those that were taken when there were enough in memory.
    leaving: VecDeque<StoredKey>,
    /// Those that were unfolded, and may be folded again.
    unfolded: Vec<StoredKey>,
    /// Those whose id was given just before their key,
    by_age: ByAge,
    /// and the others, most for 3.3 peers.
    by_id: Split<u32>,
    /// The place of the last one of each chain.
    chains: Split<u32>,
    /// By pool and class: those that may leave, in their order, and some that may not any more.
    lanes: Vec<VecDeque<StoredKey>>,
    classes: usize,
    /// Those of them that may not.
    stale: usize,
    /// When somebody is to look at which, and some that nobody is to look at then any more.
    looks: BinaryHeap<Reverse<Look>>,
}

fn id_hash(esme: EsmeId, given: Given) -> u64 {
    super::mix(given.hash() ^ u64::from(esme.0) << 40)
}

fn hash_at(messages: &Shelf, place: u32) -> u64 {
    messages.name(place).map_or(0, |(esme, given)| id_hash(esme, given))
}

/// Keys of a message, or of all of a submit_multi, are so near behind the id that its ESME was given: 254 destinations, in
/// ids of any shard.
const NEAR: u64 = 256 * ID_STEP;

fn is_by_age(key: u64, given: Given) -> bool {
    matches!(given, Given::Own(id) if key.checked_sub(id).is_some_and(|ids| ids < NEAR))
}

fn chain_hash(chain: u64) -> u64 {
    super::mix(chain)
}

/// The message that is still to be looked at then.
fn looked_for(messages: &Shelf, look: Look) -> Option<StoredKey> {
    let key = messages.key_at(look.place())?;
    messages.due(key).filter(|due| Look::new(*due, look.place()) == look).map(|_| key)
}

impl Stored {
    /// None yet.
    #[must_use]
    pub fn new(pools: usize, classes: usize) -> Self {
        Self {
            messages: Shelf::new(),
            octets: 0,
            octets_here: STORED_OCTETS_HERE,
            near: STORED_NEAR,
            leaving: VecDeque::new(),
            unfolded: Vec::new(),
            by_age: ByAge::default(),
            by_id: Split::default(),
            chains: Split::default(),
            lanes: vec![VecDeque::new(); pools * classes],
            classes,
            stale: 0,
            looks: BinaryHeap::new(),
        }
    }

    /// So many octets stay in memory, and queues of at most so many messages; in place of `STORED_OCTETS_HERE` and
    /// `STORED_NEAR`.
    pub fn keep_here(&mut self, octets: u64, near: usize) {
        (self.octets_here, self.near) = (octets, near);
    }

    /// Messages held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.messages.len()
    }

    /// True when none is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// Octets held for them in memory.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// True when one more of so many octets may come.
    #[must_use]
    pub fn has_room(&self, octets: usize) -> bool {
        self.messages.len() < STORED_MAX && self.octets + octets as u64 <= STORED_OCTETS_MAX
    }

    /// Takes a message. One of the last run is let in over the limits, too.
    pub fn insert(&mut self, message: StoredMessage) -> StoredKey {
        self.octets += message.frame.len() as u64;
        let (hash, by_age) = (id_hash(message.esme, message.given), is_by_age(message.key, message.given));
        let key = self.messages.insert(message);
        let (messages, place) = (&self.messages, index_of(key));
        if by_age {
            self.by_age.insert(place, |place| messages.number(place));
        } else {
            self.by_id.insert_unique(hash, place, |place| hash_at(messages, *place));
        }
        key
    }

    /// A message.
    #[must_use]
    pub fn get(&self, key: StoredKey) -> Option<Cow<'_, StoredMessage>> {
        self.messages.get(key)
    }

    /// A message, to be changed.
    pub fn get_mut(&mut self, key: StoredKey) -> Option<&mut StoredMessage> {
        if self.messages.unfold(key) {
            self.unfolded.push(key);
        }
        self.messages.whole_mut(key)
    }

    /// Their keys.
    pub fn keys(&self) -> impl Iterator<Item = StoredKey> + '_ {
        self.messages.keys()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (StoredKey, Cow<'_, StoredMessage>)> {
        self.messages.iter()
    }

    /// The message that an account was given this id for; of a submit_multi any of them.
    #[must_use]
    pub fn find(&self, esme: EsmeId, given: Given) -> Option<StoredKey> {
        let is_it = |place: u32| self.messages.name(place) == Some((esme, given));
        let messages = &self.messages;
        if let Given::Own(id) = given {
            let mut near = self.by_age.range(id..id.saturating_add(NEAR), |place| messages.number(place));
            if let Some(place) = near.find(|place| is_it(*place)) {
                return messages.key_at(place);
            }
        }
        messages.key_at(*self.by_id.find(id_hash(esme, given), |place| is_it(*place))?)
    }

    /// It is not to leave before `at`; said of a message that was just taken.
    pub fn not_before(&mut self, key: StoredKey, at: Instant) {
        if let Some(message) = self.get_mut(key) {
            debug_assert!(message.stand == Stand::Promised);
            message.due = at;
        }
    }

    /// Its record is safe: it lines up, or waits for its time.
    pub fn safe(&mut self, key: StoredKey) {
        let Some(message) = self.get_mut(key) else { return };
        match core::mem::replace(&mut message.due, NEVER) {
            NEVER => self.line_up(key),
            at => {
                self.stand_until(key, Stand::Scheduled, at);
            }
        }
        self.may_leave_memory(key);
    }

    /// It does not leave soon: its octets may go, if there are enough in memory.
    pub fn may_leave_memory(&mut self, key: StoredKey) {
        if self.octets > self.octets_here {
            self.leaving.push_back(key);
        }
    }

    /// Drops octets that the disk has.
    pub fn leave_memory(&mut self, durable: Lsn) {
        while let Some(key) = self.unfolded.pop() {
            self.messages.fold(key);
        }
        while let Some(&key) = self.leaving.front() {
            if let Some(message) = self.messages.whole(key) {
                if message.lsn > durable {
                    return;
                }
                if self.octets > self.octets_here && self.waits_long(message) {
                    self.set_octets(key, Vec::new(), Octets::Away);
                }
                self.messages.fold(key);
            }
            self.leaving.pop_front();
        }
    }

    /// Nobody wants its octets soon. What may be answered late is wanted then.
    fn waits_long(&self, message: &StoredMessage) -> bool {
        let lane = || self.lanes.get(self.lane(message.pool, usize::from(message.class)));
        let long = match message.stand {
            Stand::Scheduled | Stand::Behind | Stand::Held | Stand::Waits => true,
            Stand::Ready => lane().is_some_and(|lane| lane.len() > self.near),
            Stand::Promised | Stand::Told | Stand::Sent | Stand::Over => false,
        };
        long && !message.unknown && message.place == Octets::Here
    }

    fn set_octets(&mut self, key: StoredKey, frame: Vec<u8>, place: Octets) {
        if let Some(message) = self.messages.whole_mut(key) {
            self.octets = self.octets + frame.len() as u64 - message.frame.len() as u64;
            (message.frame, message.place) = (frame.into_boxed_slice(), place);
        }
    }

    /// Its octets are to be read back by who is asked so; `None`: they are here, or on their way. `tag`: what the shard knows
    /// it by.
    pub fn recall(&mut self, key: StoredKey, tag: u64) -> Option<Recall> {
        self.messages.get(key).filter(|message| message.place == Octets::Away)?;
        let message = self.get_mut(key)?;
        message.place = Octets::Coming;
        Some(Recall { wanted: Wanted::Pdu, lsn: message.lsn, key: message.key, tag })
    }

    /// Nobody could be asked for them.
    pub fn not_asked(&mut self, key: StoredKey) {
        self.set_octets(key, Vec::new(), Octets::Away);
        self.unfolded.push(key);
    }

    /// They were read from a record that is a copy of this one, or could not be. False: nobody waits for them any more.
    pub fn came(&mut self, key: StoredKey, frame: Option<Vec<u8>>, origin: Lsn) -> bool {
        let coming = self.messages.whole_mut(key).filter(|message| message.place == Octets::Coming);
        let Some(message) = coming else { return false };
        match frame {
            Some(frame) => {
                message.origin = origin;
                self.set_octets(key, frame, Octets::Here);
            }
            None => self.set_octets(key, Vec::new(), Octets::Lost),
        }
        true
    }

    /// What leaves next of its account to its destination, when this one is over.
    #[must_use]
    pub fn behind(&self, key: StoredKey) -> Option<StoredKey> {
        let next = self.messages.get(key)?.next?;
        (self.messages.stand(next) == Some(Stand::Behind)).then_some(next)
    }

    /// Those of the first ones of a pool and class whose octets are on the disk.
    pub fn away_in_front(&self, pool: PoolId, class: usize) -> impl Iterator<Item = StoredKey> + '_ {
        let lane = self.lanes.get(self.lane(pool, class)).into_iter().flatten().take(STORED_AHEAD);
        lane.copied().filter(|key| {
            self.messages
                .get(*key)
                .is_some_and(|message| message.place == Octets::Away && message.stand == Stand::Ready)
        })
    }

    /// One of the last run was under way when that ended: it does not leave before it is said what became of it.
    pub fn under_way(&mut self, key: StoredKey) {
        self.leaves_lane(key);
        if let Some(message) = self.get_mut(key) {
            message.stand = Stand::Sent;
        }
    }

    /// One of the last run, which is ready or has others before it, is tried again at `at`.
    pub fn postpone(&mut self, key: StoredKey, at: Instant) {
        if matches!(self.messages.stand(key), Some(Stand::Ready | Stand::Held)) {
            self.under_way(key);
            self.wait(key, at);
        }
    }

    /// It is over at another time than before.
    pub fn expires(&mut self, key: StoredKey, at: Instant) {
        let Some(message) = self.get_mut(key) else { return };
        message.expires = at;
        message.due = message.due.min(at);
        let look = Look::new(message.due, index_of(key));
        self.looks.push(Reverse(look));
    }

    /// It was looked at, and is over later.
    pub fn looked_at(&mut self, key: StoredKey) {
        if let Some(at) = self.messages.get(key).map(|message| message.expires) {
            self.expires(key, at);
        }
    }

    /// It is not to leave before `at`, whatever was said before; for one that no carrier has.
    pub fn reschedule(&mut self, key: StoredKey, at: Instant) {
        self.leaves_lane(key);
        let Some(message) = self.get_mut(key) else { return };
        if message.stand == Stand::Promised {
            message.due = at;
            return;
        }
        let place = (message.chain, message.former.take(), message.next.take());
        message.stand = Stand::Scheduled;
        self.unlink(key, place);
        self.stand_until(key, Stand::Scheduled, at);
    }

    /// It may leave when those before it to its destination are over.
    pub fn line_up(&mut self, key: StoredKey) {
        // What one whose time has come keeps of it is not a neighbour.
        let Some(chain) = self.get_mut(key).map(|message| message.chain) else { return };
        let (messages, place) = (&self.messages, index_of(key));
        let last = self.chains.find_mut(chain_hash(chain), |last| messages.chain(*last) == Some(chain));
        let Some(last) = last.map(|last| core::mem::replace(last, place)) else {
            let hash = |last: &u32| messages.chain(*last).map_or(0, chain_hash);
            self.chains.insert_unique(chain_hash(chain), place, hash);
            return self.ready(key);
        };
        let last = self.messages.key_at(last);
        if let Some(last) = last {
            self.messages.set_next(last, Some(key));
        }
        self.messages.set_former(key, last);
        self.stand_until(key, Stand::Behind, NEVER);
    }

    /// It may leave, behind those that may already.
    pub fn ready(&mut self, key: StoredKey) {
        if self.get_mut(key).is_some_and(|message| message.held) {
            self.stand_until(key, Stand::Held, NEVER);
            return;
        }
        if let Some(at) = self.stand_until(key, Stand::Ready, NEVER)
            && let Some(lane) = self.lanes.get_mut(at)
        {
            lane.push_back(key);
        }
    }

    /// It was not taken: it leaves before the others.
    pub fn ready_first(&mut self, key: StoredKey) {
        if self.get_mut(key).is_some_and(|message| message.held) {
            return self.ready(key);
        }
        if let Some(at) = self.stand_until(key, Stand::Ready, NEVER)
            && let Some(lane) = self.lanes.get_mut(at)
        {
            lane.push_front(key);
        }
    }

    /// An operator holds it, and the journal knows. False: as `may_be_held`.
    pub fn hold(&mut self, key: StoredKey) -> bool {
        let Some(message) = self.get_mut(key).filter(|message| message.may_be_held()) else { return false };
        (message.held, message.steered) = (true, true);
        if message.stand == Stand::Ready {
            self.under_way(key);
            self.ready(key);
        }
        true
    }

    /// It is not held any more, and the journal knows. False: it was not.
    pub fn release(&mut self, key: StoredKey) -> bool {
        let Some(message) = self.get_mut(key).filter(|message| message.held) else { return false };
        (message.held, message.steered) = (false, true);
        if message.stand == Stand::Held {
            self.ready(key);
        }
        true
    }

    /// It goes to another pool when it leaves, and the journal knows. False: as `may_go_to`.
    pub fn reroute(&mut self, key: StoredKey, pool: PoolId) -> bool {
        let Some(message) = self.messages.get(key).filter(|message| message.may_go_to(pool)) else {
            return false;
        };
        let ready = message.stand == Stand::Ready;
        drop(message);
        if ready {
            self.under_way(key);
        }
        if let Some(message) = self.get_mut(key) {
            (message.pool, message.rerouted, message.steered) = (pool, true, true);
            message.tried = None;
        }
        if ready {
            self.ready(key);
        }
        true
    }

    /// It is tried again at `at`.
    pub fn wait(&mut self, key: StoredKey, at: Instant) {
        self.stand_until(key, Stand::Waits, at);
        self.may_leave_memory(key);
    }

    /// It is over, and its end is written at `at`.
    pub fn end_at(&mut self, key: StoredKey, end: End, at: Instant) {
        self.leaves_lane(key);
        let Some(message) = self.get_mut(key) else { return };
        (message.stand, message.due) = (Stand::Over, at);
        message.end = Some(Box::new(end));
        self.looks.push(Reverse(Look::new(at, index_of(key))));
    }

    /// Gives its lane.
    fn stand_until(&mut self, key: StoredKey, stand: Stand, at: Instant) -> Option<usize> {
        let message = self.get_mut(key)?;
        debug_assert!(message.stand != Stand::Ready, "it stands in its lane");
        message.stand = stand;
        let due = at.min(message.expires);
        let (pool, class) = (message.pool, message.class);
        if message.due != due {
            message.due = due;
            self.looks.push(Reverse(Look::new(due, index_of(key))));
            self.prune_looks();
        }
        Some(self.lane(pool, usize::from(class)))
    }

    fn lane(&self, pool: PoolId, class: usize) -> usize {
        pool.index() * self.classes + class.min(self.classes - 1)
    }

    /// The lane that a message may leave by.
    fn lane_of(&self, key: StoredKey) -> Option<usize> {
        self.messages.ready_in(key).map(|(pool, class)| self.lane(pool, usize::from(class)))
    }

    fn prune_looks(&mut self) {
        if self.looks.len() > 2 * self.messages.len() + STALE {
            let messages = &self.messages;
            self.looks.retain(|Reverse(look)| looked_for(messages, *look).is_some());
        }
    }

    /// True when some message of some pool may leave.
    #[must_use]
    pub fn any_ready(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_empty())
    }

    /// The first message of this pool and class that may leave.
    pub fn first_ready(&mut self, pool: PoolId, class: usize) -> Option<StoredKey> {
        let at = self.lane(pool, class);
        while let Some(&key) = self.lanes.get(at)?.front() {
            if self.lane_of(key) == Some(at) {
                return Some(key);
            }
            let lane = self.lanes.get_mut(at)?;
            lane.pop_front();
            self.stale = self.stale.saturating_sub(1);
        }
        None
    }

    /// The first one of its pool leaves as soon as its record is written.
    pub fn told(&mut self, key: StoredKey) {
        let Some(message) = self.get_mut(key) else { return };
        message.stand = Stand::Told;
        let (pool, class) = (message.pool, message.class);
        let at = self.lane(pool, usize::from(class));
        if let Some(lane) = self.lanes.get_mut(at) {
            debug_assert!(lane.front() == Some(&key), "the first one");
            lane.pop_front();
        }
    }

    /// It goes to a carrier, with its octets, or with a copy of them.
    pub fn sent(&mut self, key: StoredKey, copy: bool) -> Option<Vec<u8>> {
        let message = self.get_mut(key)?;
        message.stand = Stand::Sent;
        if copy {
            return Some(message.frame.to_vec());
        }
        let frame = core::mem::take(&mut message.frame).into_vec();
        self.octets -= frame.len() as u64;
        Some(frame)
    }

    /// It has these octets: they are back, or others than before.
    pub fn has(&mut self, key: StoredKey, frame: Vec<u8>) {
        self.set_octets(key, frame, Octets::Here);
    }

    fn leaves_lane(&mut self, key: StoredKey) {
        let Some(message) = self.messages.get(key).filter(|message| message.stand == Stand::Ready) else {
            return;
        };
        let at = self.lane(message.pool, usize::from(message.class));
        self.stale += 1;
        let Some(lane) = self.lanes.get_mut(at) else { return };
        if lane.front() == Some(&key) {
            lane.pop_front();
            self.stale -= 1;
        } else if self.stale > self.messages.len() + STALE {
            let mut lanes = core::mem::take(&mut self.lanes);
            for (at, lane) in lanes.iter_mut().enumerate() {
                lane.retain(|other| *other != key && self.lane_of(*other) == Some(at));
            }
            self.lanes = lanes;
            self.stale = 0;
        }
    }

    /// It is over: the next one to its destination may leave.
    pub fn remove(&mut self, key: StoredKey) -> Option<StoredMessage> {
        self.leaves_lane(key);
        let place = index_of(key);
        let message = self.messages.get(key)?;
        let (number, esme, given) = (message.key, message.esme, message.given);
        drop(message);
        if is_by_age(number, given) {
            let messages = &self.messages;
            self.by_age.remove(number, |place| messages.number(place));
        } else {
            self.by_id.remove(id_hash(esme, given), |other| *other == place);
        }
        let message = self.messages.remove(key)?;
        self.octets -= message.frame.len() as u64;
        self.unlink(key, (message.chain, message.former, message.next));
        Some(message)
    }

    /// Its neighbours are each other's.
    fn unlink(&mut self, key: StoredKey, (chain, former, next): (u64, Option<StoredKey>, Option<StoredKey>)) {
        if let Some(former) = former {
            self.messages.set_next(former, next);
        }
        if let Some(next) = next {
            self.messages.set_former(next, former);
            // One that ended behind another stays until its end is written.
            if former.is_none() && self.messages.stand(next) == Some(Stand::Behind) {
                self.ready(next);
            }
            return;
        }
        // It was the last one, if it had its place already.
        let (hash, place) = (chain_hash(chain), index_of(key));
        match (self.chains.find_mut(hash, |last| *last == place), former) {
            (Some(last), Some(former)) => *last = index_of(former),
            (Some(_), None) => {
                self.chains.remove(hash, |last| *last == place);
            }
            (None, _) => {}
        }
    }

    /// The next message that somebody is to look at: its wait is over, or it is.
    pub fn due(&mut self, now: Instant) -> Option<StoredKey> {
        while let Some(&Reverse(look)) = self.looks.peek() {
            let key = looked_for(&self.messages, look);
            if key.is_some() && look.at() > now {
                return None;
            }
            self.looks.pop();
            if let Some(message) = key.and_then(|key| self.get_mut(key)) {
                message.due = NEVER;
                return key;
            }
        }
        None
    }

    /// When `due` is wanted.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.looks.peek().map(|Reverse(look)| look.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[test]
    fn one_that_goes_to_another_pool_leaves_by_that_ones_lane() {
        let mut stored = Stored::new(2, 1);
        let mut ready = |pool, number| {
            let times = (Wall(0), Instant::from_nanos(1 << 40));
            let message = StoredMessage::new(number, EsmeId(0), PoolId(pool), times, number, vec![0]);
            let message = StoredMessage { given: Given::Own(number), ..message };
            let key = stored.insert(message);
            stored.safe(key);
            key
        };
        let (first, second, third, other) = (ready(0, 1), ready(0, 2), ready(0, 3), ready(1, 4));
        assert!(stored.reroute(second, PoolId(1)));
        for (pool, wanted) in [(0, first), (0, third), (1, other), (1, second)] {
            assert_eq!(stored.first_ready(PoolId(pool), 0), Some(wanted));
            stored.told(wanted);
        }
        assert_eq!([0, 1].map(|pool| stored.first_ready(PoolId(pool), 0)), [None, None]);
    }
}
