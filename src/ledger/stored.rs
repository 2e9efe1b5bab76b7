//! Messages that we have answered ourselves and no carrier has taken yet.
//!
//! Owns: them, the octets of those that leave next, the order in which they leave. Takes: messages that were written to the
//! journal, what becomes of each. Gives: the next one of a pool, those whose time has come, one by the id that its ESME was
//! given. Never: a message before an earlier one of its account to the same destination is over; more than `STORED_MAX` of
//! them or `STORED_OCTETS_MAX` octets in memory.
//!
//! Over `STORED_OCTETS_HERE` the octets of those that leave last are dropped once the disk has them: they are read back
//! from the journal before they are wanted.
//!
//! ```text
//!  Promised ──safe──▶ Behind ──the one before it is over──▶ Ready ──▶ Told ──written──▶ Sent ──accepted──▶ (gone)
//!      │                 ▲                                   ▲ ▲                         │
//!      └─▶ Scheduled ────┘                                   │ └── not taken ────────────┤
//!                                                            └────────── Waits ◀─────────┘ refused for now, unknown
//! ```

use super::{End, Given};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::journal::{Lsn, Recall, Wanted};
use crate::limits::{STORED_AHEAD, STORED_MAX, STORED_NEAR, STORED_OCTETS_HERE, STORED_OCTETS_MAX};
use crate::smpp::status::CommandStatus;
use crate::split::Split;
use crate::time::{Instant, Wall};
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

new_key_type! {
    /// A message.
    pub struct StoredKey;
}

/// Stale entries of a list that are nothing to be done about.
const STALE: usize = 64;
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// Where a message stands; the diagram is in the room's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Its record is not safe: its ESME has no answer.
    Promised,
    /// Its schedule_delivery_time has not come.
    Scheduled,
    /// An earlier one to its destination is not over.
    Behind,
    /// An operator holds it.
    Held,
    /// It may leave.
    Ready,
    /// Its next attempt waits for its time.
    Waits,
    /// It leaves when the record that says so is written.
    Told,
    /// A carrier has it, or its queue.
    Sent,
    /// It is over, and there was no room for the record that says so.
    Over,
}

/// Where the octets of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Octets {
    /// In memory, or with its carrier.
    Here,
    /// On the disk.
    Away,
    /// They are being read.
    Coming,
    /// They could not be read.
    Lost,
}

impl Octets {
    /// True when they will be there, and are not yet.
    #[must_use]
    pub const fn are_to_come(self) -> bool {
        matches!(self, Self::Away | Self::Coming)
    }
}

/// A message.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its key in the journal.
    pub key: u64,
    /// Who submitted it.
    pub esme: EsmeId,
    /// The session that submitted it; that of the last run: none.
    pub link: LinkId,
    /// Who may take it.
    pub pool: PoolId,
    /// Its class of traffic; 0: it has none.
    pub class: u8,
    /// The id that the ESME was given.
    pub given: Given,
    /// When its submit came.
    pub accepted: Wall,
    /// It is over then.
    pub expires: Instant,
    /// Its ACCEPT, and the one that this is a copy of.
    pub lsn: Lsn,
    /// The first of them.
    pub origin: Lsn,
    /// Its last SENDING or REFUSED; `NONE`: it has none.
    pub outcome: Lsn,
    /// Who had it last.
    pub last: CarrierId,
    /// What the last one refused it with; ESME_ROK: none did.
    pub status: CommandStatus,
    /// Attempts that were made.
    pub attempts: u16,
    /// When it was last written to a carrier; zero: never.
    pub submitted: Wall,
    /// Its registered_delivery.
    pub registered: u8,
    /// The last attempt was written and never answered.
    pub unknown: bool,
    /// An operator holds it: when it could leave it does not.
    held: bool,
    /// Who is not to be asked before the next wait.
    pub tried: Option<Box<SmallVec<[CarrierId; 3]>>>,
    /// How it ended, while the record that says so has no room.
    pub end: Option<Box<End>>,
    stand: Stand,
    /// When somebody is to look at it.
    due: Instant,
    frame: Box<[u8]>,
    place: Octets,
    chain: u64,
    /// Its neighbours in its chain.
    former: Option<StoredKey>,
    next: Option<StoredKey>,
}

impl StoredMessage {
    /// A message whose record is on its way. `chain` is the same for messages that must keep their order.
    #[must_use]
    pub fn new(
        key: u64,
        esme: EsmeId,
        pool: PoolId,
        (accepted, expires): (Wall, Instant),
        chain: u64,
        frame: Vec<u8>,
    ) -> Self {
        Self {
            key,
            esme,
            link: LinkId::default(),
            pool,
            class: 0,
            given: Given::Own(key),
            accepted,
            expires,
            lsn: Lsn::NONE,
            origin: Lsn::NONE,
            outcome: Lsn::NONE,
            last: CarrierId(u32::MAX),
            status: CommandStatus::OK,
            attempts: 0,
            submitted: Wall(0),
            registered: 0,
            unknown: false,
            held: false,
            tried: None,
            end: None,
            stand: Stand::Promised,
            due: NEVER,
            frame: frame.into_boxed_slice(),
            place: Octets::Here,
            chain,
            former: None,
            next: None,
        }
    }

    /// The same as if it had just been taken.
    #[must_use]
    pub fn anew(self) -> Self {
        Self {
            tried: None,
            end: None,
            unknown: false,
            held: false,
            outcome: Lsn::NONE,
            stand: Stand::Promised,
            due: NEVER,
            former: None,
            next: None,
            ..self
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn stand(&self) -> Stand {
        self.stand
    }

    /// When it may leave by its schedule; `None`: that has come, or it has none.
    #[must_use]
    pub fn scheduled(&self) -> Option<Instant> {
        (self.stand == Stand::Scheduled).then_some(self.due)
    }

    /// When it is tried again.
    #[must_use]
    pub fn waits_until(&self) -> Option<Instant> {
        (self.stand == Stand::Waits).then_some(self.due)
    }

    /// Its octets; empty while a carrier has them, and when they are not `Octets::Here`.
    #[must_use]
    pub const fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Where they are.
    #[must_use]
    pub const fn place(&self) -> Octets {
        self.place
    }

    /// Who has refused it since its last wait.
    #[must_use]
    pub fn tried(&self) -> &[CarrierId] {
        self.tried.as_ref().map_or(&[], |tried| tried.as_slice())
    }
}

/// See the room's header.
#[derive(Debug)]
pub struct Stored {
    messages: SlotMap<StoredKey, StoredMessage>,
    /// Octets in memory.
    octets: u64,
    /// So many of them stay there, and queues that are so short.
    octets_here: u64,
    near: usize,
    /// Those that were taken when there were enough in memory.
    leaving: VecDeque<StoredKey>,
    by_id: Split<StoredKey>,
    /// The last one of each chain.
    chains: Split<(u64, StoredKey)>,
    /// By pool and class: those that may leave, in their order, and some that may not any more.
    lanes: Vec<VecDeque<StoredKey>>,
    classes: usize,
    /// Those of them that may not.
    stale: usize,
    /// When somebody is to look at which, and some that nobody is to look at then any more.
    looks: BinaryHeap<Reverse<(Instant, StoredKey)>>,
}

fn id_hash(esme: EsmeId, given: Given) -> u64 {
    super::mix(given.hash() ^ u64::from(esme.0) << 40)
}

impl Stored {
    /// None yet.
    #[must_use]
    pub fn new(pools: usize, classes: usize) -> Self {
        Self {
            messages: SlotMap::with_key(),
            octets: 0,
            octets_here: STORED_OCTETS_HERE,
            near: STORED_NEAR,
            leaving: VecDeque::new(),
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
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True when none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
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
        let hash = id_hash(message.esme, message.given);
        let key = self.messages.insert(message);
        let messages = &self.messages;
        self.by_id.insert_unique(hash, key, |key| {
            messages.get(*key).map_or(0, |message| id_hash(message.esme, message.given))
        });
        key
    }

    /// A message.
    #[must_use]
    pub fn get(&self, key: StoredKey) -> Option<&StoredMessage> {
        self.messages.get(key)
    }

    /// A message, to be changed.
    pub fn get_mut(&mut self, key: StoredKey) -> Option<&mut StoredMessage> {
        self.messages.get_mut(key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (StoredKey, &StoredMessage)> {
        self.messages.iter()
    }

    /// The message that an account was given this id for; of a submit_multi any of them.
    #[must_use]
    pub fn find(&self, esme: EsmeId, given: Given) -> Option<StoredKey> {
        let is_it = |key: &StoredKey| {
            self.messages.get(*key).is_some_and(|message| message.esme == esme && message.given == given)
        };
        self.by_id.find(id_hash(esme, given), is_it).copied()
    }

    /// It is not to leave before `at`; said of a message that was just taken.
    pub fn not_before(&mut self, key: StoredKey, at: Instant) {
        if let Some(message) = self.messages.get_mut(key) {
            debug_assert!(message.stand == Stand::Promised);
            message.due = at;
        }
    }

    /// Its record is safe: it lines up, or waits for its time.
    pub fn safe(&mut self, key: StoredKey) {
        let Some(message) = self.messages.get_mut(key) else { return };
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
        while let Some(&key) = self.leaving.front() {
            if let Some(message) = self.messages.get(key) {
                if message.lsn > durable {
                    return;
                }
                if self.octets > self.octets_here && self.waits_long(message) {
                    self.set_octets(key, Vec::new(), Octets::Away);
                }
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
        if let Some(message) = self.messages.get_mut(key) {
            self.octets = self.octets + frame.len() as u64 - message.frame.len() as u64;
            (message.frame, message.place) = (frame.into_boxed_slice(), place);
        }
    }

    /// Its octets are to be read back by who is asked so; `None`: they are here, or on their way. `tag`: what the shard knows
    /// it by.
    pub fn recall(&mut self, key: StoredKey, tag: u64) -> Option<Recall> {
        let message = self.messages.get_mut(key).filter(|message| message.place == Octets::Away)?;
        message.place = Octets::Coming;
        Some(Recall { wanted: Wanted::Pdu, lsn: message.lsn, key: message.key, tag })
    }

    /// Nobody could be asked for them.
    pub fn not_asked(&mut self, key: StoredKey) {
        self.set_octets(key, Vec::new(), Octets::Away);
    }

    /// They were read, or could not be. False: nobody waits for them any more.
    pub fn came(&mut self, key: StoredKey, frame: Option<Vec<u8>>) -> bool {
        if self.messages.get(key).is_none_or(|message| message.place != Octets::Coming) {
            return false;
        }
        match frame {
            Some(frame) => self.set_octets(key, frame, Octets::Here),
            None => self.set_octets(key, Vec::new(), Octets::Lost),
        }
        true
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
        if let Some(message) = self.messages.get_mut(key) {
            message.stand = Stand::Sent;
        }
    }

    /// One of the last run, which is ready or has others before it, is tried again at `at`.
    pub fn postpone(&mut self, key: StoredKey, at: Instant) {
        if self.messages.get(key).is_some_and(|message| message.stand == Stand::Ready) {
            self.under_way(key);
            self.wait(key, at);
        }
    }

    /// It is over at another time than before.
    pub fn expires(&mut self, key: StoredKey, at: Instant) {
        let Some(message) = self.messages.get_mut(key) else { return };
        message.expires = at;
        message.due = message.due.min(at);
        self.looks.push(Reverse((message.due, key)));
    }

    /// It is not to leave before `at`, whatever was said before; for one that no carrier has.
    pub fn reschedule(&mut self, key: StoredKey, at: Instant) {
        self.leaves_lane(key);
        let Some(message) = self.messages.get_mut(key) else { return };
        if message.stand == Stand::Promised {
            message.due = at;
            return;
        }
        let copy = message.clone();
        message.stand = Stand::Scheduled;
        (message.former, message.next) = (None, None);
        self.unlink(key, &copy);
        self.stand_until(key, Stand::Scheduled, at);
    }

    /// It may leave when those before it to its destination are over.
    pub fn line_up(&mut self, key: StoredKey) {
        let Some(message) = self.messages.get(key) else { return };
        let chain = message.chain;
        let last = self.chains.find_mut(chain, |(other, _)| *other == chain);
        let Some(last) = last.map(|(_, last)| core::mem::replace(last, key)) else {
            self.chains.insert_unique(chain, (chain, key), |(chain, _)| *chain);
            return self.ready(key);
        };
        if let Some(former) = self.messages.get_mut(last) {
            former.next = Some(key);
        }
        if let Some(message) = self.messages.get_mut(key) {
            message.former = Some(last);
        }
        self.stand_until(key, Stand::Behind, NEVER);
    }

    /// It may leave, behind those that may already.
    pub fn ready(&mut self, key: StoredKey) {
        if self.messages.get(key).is_some_and(|message| message.held) {
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
        if self.messages.get(key).is_some_and(|message| message.held) {
            return self.ready(key);
        }
        if let Some(at) = self.stand_until(key, Stand::Ready, NEVER)
            && let Some(lane) = self.lanes.get_mut(at)
        {
            lane.push_front(key);
        }
    }

    /// An operator holds it. False: he does already, or it is over.
    pub fn hold(&mut self, key: StoredKey) -> bool {
        let Some(message) = self.messages.get_mut(key) else { return false };
        if message.held || message.stand == Stand::Over {
            return false;
        }
        message.held = true;
        if message.stand == Stand::Ready {
            self.under_way(key);
            self.ready(key);
        }
        true
    }

    /// It is not held any more. False: it was not.
    pub fn release(&mut self, key: StoredKey) -> bool {
        let Some(message) = self.messages.get_mut(key).filter(|message| message.held) else { return false };
        message.held = false;
        if message.stand == Stand::Held {
            self.ready(key);
        }
        true
    }

    /// It goes to another pool when it leaves. False: that is its pool, or it has left.
    pub fn reroute(&mut self, key: StoredKey, pool: PoolId) -> bool {
        let Some(message) = self.messages.get(key) else { return false };
        let (stand, same) = (message.stand, message.pool == pool);
        if same || matches!(stand, Stand::Told | Stand::Sent | Stand::Over) {
            return false;
        }
        let ready = stand == Stand::Ready;
        if ready {
            self.under_way(key);
        }
        if let Some(message) = self.messages.get_mut(key) {
            message.pool = pool;
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
        let Some(message) = self.messages.get_mut(key) else { return };
        (message.stand, message.due) = (Stand::Over, at);
        message.end = Some(Box::new(end));
        self.looks.push(Reverse((at, key)));
    }

    /// Gives its lane.
    fn stand_until(&mut self, key: StoredKey, stand: Stand, at: Instant) -> Option<usize> {
        let message = self.messages.get_mut(key)?;
        debug_assert!(message.stand != Stand::Ready, "it stands in its lane");
        message.stand = stand;
        let due = at.min(message.expires);
        let (pool, class) = (message.pool, message.class);
        if message.due != due {
            message.due = due;
            self.looks.push(Reverse((due, key)));
            self.prune_looks();
        }
        Some(self.lane(pool, usize::from(class)))
    }

    fn lane(&self, pool: PoolId, class: usize) -> usize {
        pool.index() * self.classes + class.min(self.classes - 1)
    }

    fn prune_looks(&mut self) {
        if self.looks.len() > 2 * self.messages.len() + STALE {
            let messages = &self.messages;
            self.looks.retain(|Reverse((at, key))| messages.get(*key).is_some_and(|one| one.due == *at));
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
        let lane = self.lanes.get_mut(at)?;
        while let Some(&key) = lane.front() {
            if self.messages.get(key).is_some_and(|message| message.stand == Stand::Ready) {
                return Some(key);
            }
            lane.pop_front();
            self.stale = self.stale.saturating_sub(1);
        }
        None
    }

    /// The first one of its pool leaves as soon as its record is written.
    pub fn told(&mut self, key: StoredKey) {
        let Some(message) = self.messages.get_mut(key) else { return };
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
        let message = self.messages.get_mut(key)?;
        message.stand = Stand::Sent;
        if copy {
            return Some(message.frame.to_vec());
        }
        self.octets -= message.frame.len() as u64;
        Some(core::mem::take(&mut message.frame).into_vec())
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
            let messages = &self.messages;
            for lane in &mut self.lanes {
                lane.retain(|other| {
                    *other != key && messages.get(*other).is_some_and(|one| one.stand == Stand::Ready)
                });
            }
            self.stale = 0;
        }
    }

    /// It is over: the next one to its destination may leave.
    pub fn remove(&mut self, key: StoredKey) -> Option<StoredMessage> {
        self.leaves_lane(key);
        let message = self.messages.remove(key)?;
        self.octets -= message.frame.len() as u64;
        self.by_id.remove(id_hash(message.esme, message.given), |other| *other == key);
        self.unlink(key, &message);
        Some(message)
    }

    fn unlink(&mut self, key: StoredKey, message: &StoredMessage) {
        let StoredMessage { chain, former, next, .. } = *message;
        if let Some(former) = former.and_then(|former| self.messages.get_mut(former)) {
            former.next = next;
        }
        match next {
            Some(next) => {
                let Some(one) = self.messages.get_mut(next) else { return };
                one.former = former;
                // One that ended behind another stays until its end is written.
                if former.is_none() && one.stand == Stand::Behind {
                    self.ready(next);
                }
            }
            // It was the last one, if it had its place already.
            None => match (self.chains.find_mut(chain, |last| *last == (chain, key)), former) {
                (Some((_, last)), Some(former)) => *last = former,
                (Some(_), None) => {
                    self.chains.remove(chain, |last| *last == (chain, key));
                }
                (None, _) => {}
            },
        }
    }

    /// The next message that somebody is to look at: its wait is over, or it is.
    pub fn due(&mut self, now: Instant) -> Option<StoredKey> {
        while let Some(&Reverse((at, key))) = self.looks.peek() {
            match self.messages.get_mut(key) {
                Some(message) if message.due == at => {
                    if at > now {
                        return None;
                    }
                    self.looks.pop();
                    message.due = NEVER;
                    return Some(key);
                }
                Some(_) | None => {
                    self.looks.pop();
                }
            }
        }
        None
    }

    /// When `due` is wanted.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.looks.peek().map(|Reverse((at, _))| *at).filter(|at| *at < NEVER)
    }
}
