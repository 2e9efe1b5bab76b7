//! Stored messages by their keys. Owns: them. Takes: a message, and the word that it may be folded. Gives: it back as it was.
//! Never: folds one that has its octets here, or that a carrier has had.
//!
//! Whole, a message is some 190 octets. Folded it is 40, and four that say whose its place is: what it shares with others of
//! its account is there once, what its record on the disk says as well is there alone. Nothing is read to unfold one.

use super::Given;
use super::own_id::{ID_STEP, OwnIds};
use super::stored_message::{Octets, Stand, StoredKey, StoredMessage};
use crate::ids::{EsmeId, LinkId, PoolId};
use crate::journal::Lsn;
use crate::smpp::status::CommandStatus;
use crate::time::{Instant, Wall};
use slotmap::{Key, KeyData, SlotMap, new_key_type};
use std::borrow::Cow;
use std::collections::HashMap;

new_key_type! {
    struct WholeKey;
}

/// Places that are made together: no turn waits while all of them move.
const PIECE: usize = 1024;
const NONE: u32 = u32::MAX;
/// When a folded message is over is kept to 2^20 ns, about a millisecond, and never too soon.
const TICK_BITS: u32 = 20;
/// More kinds of messages than this are not told apart.
const KINDS_MAX: usize = 1 << 24;

/// What many messages have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Common {
    esme: EsmeId,
    link: LinkId,
    pool: PoolId,
    class: u8,
    registered: u8,
    held: bool,
    rerouted: bool,
    steered: bool,
}

/// What messages have in common, once. Those that nobody has any more are used again.
#[derive(Debug, Default)]
struct Commons {
    all: Vec<(Common, u32)>,
    free: Vec<u32>,
    places: HashMap<Common, u32>,
}

impl Commons {
    /// One more message has this; `None`: there are too many kinds.
    fn take(&mut self, common: Common) -> Option<u32> {
        if let Some(at) = self.places.get(&common).copied() {
            self.all.get_mut(at as usize)?.1 += 1;
            return Some(at);
        }
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.all.len() < KINDS_MAX => {
                self.all.push((common, 0));
                self.all.len() as u32 - 1
            }
            None => return None,
        };
        *self.all.get_mut(at as usize)? = (common, 1);
        self.places.insert(common, at);
        Some(at)
    }

    fn get(&self, at: u32) -> Option<Common> {
        self.all.get(at as usize).map(|(common, _)| *common)
    }

    fn give_back(&mut self, at: u32) {
        let Some((common, messages)) = self.all.get_mut(at as usize) else { return };
        *messages = messages.saturating_sub(1);
        if *messages == 0 {
            self.places.remove(common);
            self.free.push(at);
        }
    }
}

/// A number in as many octets as it needs.
fn packed<const N: usize>(number: u64) -> Option<[u8; N]> {
    let octets = number.to_le_bytes();
    let (low, high) = octets.split_first_chunk::<N>()?;
    high.iter().all(|octet| *octet == 0).then_some(*low)
}

fn unpacked<const N: usize>(low: [u8; N]) -> u64 {
    low.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

const fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn number(halves: [u32; 2]) -> u64 {
    let [low, high] = halves.map(u64::from);
    high << 32 | low
}

/// Where a message stands; its key is found by it.
pub(super) fn index_of(key: StoredKey) -> u32 {
    key.data().as_ffi() as u32
}

/// A message whose octets are on the disk and that was never sent.
#[derive(Debug, Clone, Copy)]
struct Folded {
    key: [u32; 2],
    lsn: [u32; 2],
    /// The places of its neighbours in its chain; of one whose time has not come, that.
    links: [u32; 2],
    chain: [u8; 5],
    /// Ticks.
    expires: [u8; 5],
    common: [u8; 3],
    /// Its key was given so many microseconds after it was accepted,
    accepted: u8,
    /// and so many ids after the one that its ESME was given.
    given: u8,
    stand: Stand,
}

#[derive(Debug)]
enum Slot {
    /// The next free one.
    Free(u32),
    Whole(WholeKey),
    Folded(Folded),
}

#[derive(Debug)]
struct Place {
    /// Odd; another one for each message that has the place.
    generation: u32,
    slot: Slot,
}

const _: () = assert!(size_of::<Place>() == 44);

/// See the room's header.
#[derive(Debug)]
pub(super) struct Shelf {
    pieces: Vec<Vec<Place>>,
    free: u32,
    len: usize,
    whole: SlotMap<WholeKey, StoredMessage>,
    commons: Commons,
}

impl Shelf {
    pub(super) fn new() -> Self {
        let (whole, commons) = (SlotMap::with_key(), Commons::default());
        Self { pieces: Vec::new(), free: NONE, len: 0, whole, commons }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn place(&self, index: u32) -> Option<&Place> {
        self.pieces.get(index as usize / PIECE)?.get(index as usize % PIECE)
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut Place> {
        self.pieces.get_mut(index as usize / PIECE)?.get_mut(index as usize % PIECE)
    }

    fn key_of(index: u32, place: &Place) -> StoredKey {
        KeyData::from_ffi(u64::from(place.generation) << 32 | u64::from(index)).into()
    }

    /// The message in this place.
    pub(super) fn key_at(&self, index: u32) -> Option<StoredKey> {
        let place = self.place(index).filter(|place| !matches!(place.slot, Slot::Free(_)))?;
        Some(Self::key_of(index, place))
    }

    fn slot(&self, key: StoredKey) -> Option<&Slot> {
        let place = self.place(index_of(key)).filter(|place| Self::key_of(index_of(key), place) == key)?;
        (!matches!(place.slot, Slot::Free(_))).then_some(&place.slot)
    }

    fn slot_mut(&mut self, key: StoredKey) -> Option<&mut Slot> {
        let place =
            self.place_mut(index_of(key)).filter(|place| Self::key_of(index_of(key), place) == key)?;
        (!matches!(place.slot, Slot::Free(_))).then_some(&mut place.slot)
    }

    fn free_place(&mut self) -> u32 {
        if self.free != NONE {
            return self.free;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let index = (self.pieces.len() - 1) * PIECE + self.pieces.last().map_or(0, Vec::len);
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(Place { generation: 1, slot: Slot::Free(NONE) });
        }
        index as u32
    }

    pub(super) fn insert(&mut self, message: StoredMessage) -> StoredKey {
        let (index, whole) = (self.free_place(), self.whole.insert(message));
        let Some(place) = self.place_mut(index) else { return StoredKey::default() };
        let former = core::mem::replace(&mut place.slot, Slot::Whole(whole));
        let key = Self::key_of(index, place);
        if let Slot::Free(next) = former {
            self.free = next;
        }
        self.len += 1;
        key
    }

    pub(super) fn remove(&mut self, key: StoredKey) -> Option<StoredMessage> {
        self.unfold(key);
        let Some(Slot::Whole(whole)) = self.slot(key) else { return None };
        let message = self.whole.remove(*whole)?;
        let free = self.free;
        let place = self.place_mut(index_of(key))?;
        place.generation = place.generation.wrapping_add(2);
        place.slot = Slot::Free(free);
        self.free = index_of(key);
        self.len -= 1;
        Some(message)
    }

    /// A message as it is.
    pub(super) fn get(&self, key: StoredKey) -> Option<Cow<'_, StoredMessage>> {
        match self.slot(key)? {
            Slot::Free(_) => None,
            Slot::Whole(whole) => self.whole.get(*whole).map(Cow::Borrowed),
            Slot::Folded(folded) => self.unfolded(folded).map(Cow::Owned),
        }
    }

    /// A message that is not folded.
    pub(super) fn whole(&self, key: StoredKey) -> Option<&StoredMessage> {
        match self.slot(key)? {
            Slot::Whole(whole) => self.whole.get(*whole),
            Slot::Free(_) | Slot::Folded(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn whole_mut(&mut self, key: StoredKey) -> Option<&mut StoredMessage> {
        match self.slot(key)? {
            Slot::Whole(whole) => {
                let whole = *whole;
                self.whole.get_mut(whole)
            }
            Slot::Free(_) | Slot::Folded(_) => None,
        }
    }

    pub(super) fn stand(&self, key: StoredKey) -> Option<Stand> {
        match self.slot(key)? {
            Slot::Free(_) => None,
            Slot::Whole(whole) => self.whole.get(*whole).map(|message| message.stand),
            Slot::Folded(folded) => Some(folded.stand),
        }
    }

    /// Of one that may leave: its pool and its class.
    pub(super) fn ready_in(&self, key: StoredKey) -> Option<(PoolId, u8)> {
        match self.slot(key)? {
            Slot::Whole(whole) => {
                let message = self.whole.get(*whole).filter(|message| message.stand == Stand::Ready)?;
                Some((message.pool, message.class))
            }
            Slot::Folded(folded) if folded.stand == Stand::Ready => {
                let common = self.commons.get(unpacked(folded.common) as u32)?;
                Some((common.pool, common.class))
            }
            Slot::Free(_) | Slot::Folded(_) => None,
        }
    }

    /// When somebody is to look at it.
    pub(super) fn due(&self, key: StoredKey) -> Option<Instant> {
        match self.slot(key)? {
            Slot::Free(_) => None,
            Slot::Whole(whole) => self.whole.get(*whole).map(|message| message.due),
            Slot::Folded(folded) => Some(folded.due()),
        }
    }

    /// The chain of the message in this place.
    pub(super) fn chain(&self, index: u32) -> Option<u64> {
        match &self.place(index)?.slot {
            Slot::Free(_) => None,
            Slot::Whole(whole) => self.whole.get(*whole).map(|message| message.chain),
            Slot::Folded(folded) => Some(unpacked(folded.chain)),
        }
    }

    /// The key in the journal of the message in this place.
    pub(super) fn number(&self, index: u32) -> u64 {
        match self.place(index).map(|place| &place.slot) {
            None | Some(Slot::Free(_)) => 0,
            Some(Slot::Whole(whole)) => self.whole.get(*whole).map_or(0, |message| message.key),
            Some(Slot::Folded(folded)) => number(folded.key),
        }
    }

    /// Whose the message in this place is, and what its ESME calls it.
    pub(super) fn name(&self, index: u32) -> Option<(EsmeId, Given)> {
        match &self.place(index)?.slot {
            Slot::Free(_) => None,
            Slot::Whole(whole) => self.whole.get(*whole).map(|message| (message.esme, message.given)),
            Slot::Folded(folded) => {
                let common = self.commons.get(unpacked(folded.common) as u32)?;
                Some((common.esme, folded.given()))
            }
        }
    }

    pub(super) fn set_former(&mut self, key: StoredKey, former: Option<StoredKey>) {
        let place = former.map_or(NONE, index_of);
        if let Some(Slot::Folded(Folded { links: [link, _], .. })) = self.slot_mut(key) {
            *link = place;
        } else if let Some(message) = self.whole_mut(key) {
            message.former = former;
        }
    }

    pub(super) fn set_next(&mut self, key: StoredKey, next: Option<StoredKey>) {
        let place = next.map_or(NONE, index_of);
        if let Some(Slot::Folded(Folded { links: [_, link], .. })) = self.slot_mut(key) {
            *link = place;
        } else if let Some(message) = self.whole_mut(key) {
            message.next = next;
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StoredKey> + '_ {
        let places = self.pieces.iter().flatten().zip(0..);
        let taken = places.filter(|(place, _)| !matches!(place.slot, Slot::Free(_)));
        taken.map(|(place, index)| Self::key_of(index, place))
    }

    /// All of them, and what they say when they are not folded.
    pub(super) fn iter(&self) -> impl Iterator<Item = (StoredKey, Cow<'_, StoredMessage>)> {
        self.keys().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Makes a message small, if it can be.
    pub(super) fn fold(&mut self, key: StoredKey) {
        let Some(&Slot::Whole(whole)) = self.slot(key) else { return };
        let Some(message) = self.whole.get(whole) else { return };
        let Some(folded) = Folded::of(message, &mut self.commons) else { return };
        debug_assert_eq!(unpacked(folded.chain), message.chain);
        self.whole.remove(whole);
        if let Some(slot) = self.slot_mut(key) {
            *slot = Slot::Folded(folded);
        }
    }

    /// Makes it whole. True: it was not.
    pub(super) fn unfold(&mut self, key: StoredKey) -> bool {
        let Some(&Slot::Folded(folded)) = self.slot(key) else { return false };
        let Some(message) = self.unfolded(&folded) else { return false };
        self.commons.give_back(unpacked(folded.common) as u32);
        let whole = self.whole.insert(message);
        if let Some(slot) = self.slot_mut(key) {
            *slot = Slot::Whole(whole);
        }
        true
    }

    fn unfolded(&self, folded: &Folded) -> Option<StoredMessage> {
        let Common { esme, link, pool, class, registered, held, rerouted, steered } =
            self.commons.get(unpacked(folded.common) as u32)?;
        let (key, lsn) = (number(folded.key), Lsn(number(folded.lsn)));
        let times = (folded.accepted(), folded.expires());
        let mut message = StoredMessage::new(key, esme, pool, times, unpacked(folded.chain), Vec::new());
        (message.link, message.class, message.registered) = (link, class, registered);
        (message.held, message.rerouted, message.steered) = (held, rerouted, steered);
        (message.given, message.lsn, message.origin) = (folded.given(), lsn, lsn);
        (message.stand, message.place, message.due) = (folded.stand, Octets::Away, folded.due());
        if folded.stand != Stand::Scheduled {
            let [former, next] = folded.links;
            (message.former, message.next) = (self.key_at(former), self.key_at(next));
        }
        Some(message)
    }
}

impl Folded {
    /// `None`: this one cannot be.
    fn of(message: &StoredMessage, commons: &mut Commons) -> Option<Self> {
        let stands = matches!(message.stand, Stand::Scheduled | Stand::Behind | Stand::Held | Stand::Ready);
        let fresh = message.attempts == 0
            && (message.outcome, message.status) == (Lsn::NONE, CommandStatus::OK)
            && (message.submitted, message.unknown) == (Wall(0), false)
            && message.tried.is_none()
            && message.end.is_none();
        if !stands || !fresh || message.place != Octets::Away {
            return None;
        }
        let expires = message.expires.as_nanos().div_ceil(1 << TICK_BITS);
        let links = if message.stand == Stand::Scheduled {
            halves(message.due.as_nanos())
        } else if message.due == message.expires {
            [message.former, message.next].map(|link| link.map_or(NONE, index_of))
        } else {
            return None;
        };
        let Given::Own(given) = message.given else { return None };
        let early = OwnIds::wall_of(message.key).0.checked_sub(message.accepted.0)?;
        let before = message.key.checked_sub(given).filter(|ids| ids % ID_STEP == 0)? / ID_STEP;
        let mut folded = Self {
            key: halves(message.key),
            lsn: halves(message.lsn.0),
            links,
            chain: packed(message.chain)?,
            expires: packed(expires)?,
            common: [0; 3],
            accepted: u8::try_from(early).ok()?,
            given: u8::try_from(before).ok()?,
            stand: message.stand,
        };
        let StoredMessage { esme, link, pool, class, registered, held, rerouted, steered, .. } = *message;
        let common = Common { esme, link, pool, class, registered, held, rerouted, steered };
        folded.common = packed(u64::from(commons.take(common)?))?;
        Some(folded)
    }

    fn given(&self) -> Given {
        Given::Own(number(self.key) - u64::from(self.given) * ID_STEP)
    }

    fn accepted(&self) -> Wall {
        Wall(OwnIds::wall_of(number(self.key)).0 - i64::from(self.accepted))
    }

    fn expires(&self) -> Instant {
        Instant::from_nanos(unpacked(self.expires) << TICK_BITS)
    }

    fn due(&self) -> Instant {
        if self.stand == Stand::Scheduled { Instant::from_nanos(number(self.links)) } else { self.expires() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{End, Stored};
    use super::*;
    use crate::prng::Prng;

    const EPOCH: i64 = 1_790_000_000_000_000;

    fn new(ids: &mut OwnIds, prng: &mut Prng, number: u64) -> StoredMessage {
        let now = Wall(EPOCH + number as i64 / 2 * 3);
        let (given, key) = (ids.next(now), ids.next(now));
        let (esme, expires) =
            (EsmeId(prng.below(3) as u32), Instant::from_nanos((50 + prng.below(400)) << 22));
        let chain = prng.below(20) << 33 | 7;
        let mut message = StoredMessage::new(
            key,
            esme,
            PoolId(prng.below(2) as u32),
            (now, expires),
            chain,
            vec![number as u8; 9],
        );
        message.given =
            if number.is_multiple_of(16) { Given::Short(number as u32) } else { Given::Own(given) };
        (message.lsn, message.origin) = (Lsn(number + 1), Lsn(number + 1));
        (message.registered, message.class) = (prng.below(2) as u8, 1);
        message.link = LinkId { slot: prng.below(3) as u32, generation: 1 };
        message
    }

    /// All that is known of a message but its octets.
    fn known(message: &StoredMessage) -> String {
        let all = StoredMessage {
            frame: Box::default(),
            place: Octets::Here,
            former: None,
            next: None,
            ..message.clone()
        };
        format!("{all:?}")
    }

    /// Two hold the same; one folds what it can after each step. `left`: what the other one keeps in memory.
    struct Two {
        here: Stored,
        away: Stored,
        keys: Vec<(StoredKey, StoredKey)>,
    }

    impl Two {
        fn both<T: PartialEq + core::fmt::Debug>(
            &mut self,
            at: usize,
            act: impl Fn(&mut Stored, StoredKey) -> T,
        ) {
            let (one, other) = self.keys[at];
            let (one, other) = (act(&mut self.here, one), act(&mut self.away, other));
            assert_eq!(one, other);
        }

        /// Reads a message back and gives it its octets.
        fn read(&mut self, at: usize) {
            let (here, away) = self.keys[at];
            if self.away.recall(away, 0).is_some() {
                let Some(message) = self.here.get(here) else { panic!("it is in both") };
                assert!(self.away.came(away, Some(message.frame().to_vec()), message.origin));
            }
        }

        fn step(&mut self, prng: &mut Prng, now: Instant) {
            let at = prng.below(self.keys.len() as u64) as usize;
            let later = Instant::from_nanos(now.as_nanos() + (prng.below(40) << 22));
            match prng.below(12) {
                0 => self.both(at, |stored, key| stored.hold(key)),
                1 => self.both(at, |stored, key| stored.release(key)),
                2 => self.both(at, |stored, key| stored.reroute(key, PoolId(1))),
                3 => self.both(at, |stored, key| {
                    let leaves =
                        stored.get(key).is_some_and(|one| matches!(one.stand(), Stand::Told | Stand::Sent));
                    if !leaves {
                        stored.reschedule(key, later);
                    }
                }),
                4 => self.both(at, |stored, key| stored.expires(key, later)),
                5 | 6 => self.both(at, |stored, key| stored.remove(key).map(|message| known(&message))),
                7 => self.both(at, |stored, key| stored.end_at(key, End::cancelled(), later)),
                _ => self.leave(prng.below(2) as u32, later),
            }
        }

        /// The first one leaves, and is accepted, or comes back.
        fn leave(&mut self, pool: u32, later: Instant) {
            let firsts = [&mut self.here, &mut self.away].map(|stored| stored.first_ready(PoolId(pool), 1));
            let [Some(first), Some(other)] = firsts else { return assert_eq!(firsts, [None, None]) };
            let at = self.keys.iter().position(|(here, _)| *here == first);
            let at = at.filter(|at| self.keys[*at].1 == other).expect("the same one");
            self.read(at);
            self.both(at, |stored, key| {
                stored.told(key);
                let frame = stored.sent(key, false);
                if later.as_nanos() >> 22 & 1 == 0 {
                    assert!(stored.remove(key).is_some());
                } else {
                    stored.has(key, frame.clone().unwrap_or_default());
                    stored.wait(key, later);
                }
                frame
            });
        }

        fn compare(&mut self, now: Instant) {
            for (here, away) in &self.keys {
                let of = |message: Option<Cow<'_, StoredMessage>>| message.map(|message| known(&message));
                assert_eq!(of(self.here.get(*here)), of(self.away.get(*away)));
            }
            // Those of one moment may come in any order.
            let due = [&mut self.here, &mut self.away].map(|stored| {
                let mut due = Vec::new();
                while let Some(key) = stored.due(now) {
                    due.push(stored.get(key).map(|message| message.key));
                    match stored.get(key).map(|message| message.stand()) {
                        _ if stored.get(key).is_some_and(|message| message.expires <= now) => {
                            stored.remove(key);
                        }
                        Some(Stand::Scheduled) => stored.line_up(key),
                        Some(Stand::Waits) => stored.ready(key),
                        _ => stored.looked_at(key),
                    }
                }
                due.sort_unstable();
                due
            });
            assert_eq!(due[0], due[1]);
        }
    }

    #[test]
    fn a_message_that_was_folded_is_what_it_was() {
        let mut prng = Prng::new(7);
        for round in 0..25 {
            let mut two = Two { here: Stored::new(2, 2), away: Stored::new(2, 2), keys: Vec::new() };
            two.here.keep_here(u64::MAX, usize::MAX);
            two.away.keep_here(0, 0);
            // Keys of one stand between an id and a key of the other.
            let (mut ids, mut now) = ([OwnIds::new(3, 4), OwnIds::new(1, 4)], Instant::ZERO);
            let mut folded = 0;
            for number in 0..400 {
                let message = new(&mut ids[number as usize % 2], &mut prng, number);
                let pair = (two.here.insert(message.clone()), two.away.insert(message));
                two.keys.push(pair);
                let at = two.keys.len() - 1;
                let later = Instant::from_nanos(now.as_nanos() + (5 << 22));
                two.both(at, |stored, key| {
                    if number.is_multiple_of(5) {
                        stored.not_before(key, later);
                    }
                    stored.safe(key);
                });
                two.away.leave_memory(Lsn(number + 1));
                folded += two.away.keys().filter(|key| two.away.messages.whole(*key).is_none()).count();
                two.step(&mut prng, now);
                two.compare(now);
                now = Instant::from_nanos(now.as_nanos() + (prng.below(4) << 22));
            }
            assert!(folded > 1000, "round {round}: {folded} were folded");
            for at in 0..two.keys.len() {
                two.both(at, |stored, key| {
                    let name = stored.get(key).map(|message| (message.esme, message.given));
                    let found = name.and_then(|(esme, given)| stored.find(esme, given));
                    assert_eq!(found, name.map(|_| key));
                    stored.remove(key).map(|message| known(&message))
                });
            }
            assert!(two.away.is_empty() && two.away.messages.whole.is_empty());
            assert!(two.away.messages.commons.places.is_empty());
        }
    }

    #[test]
    fn places_are_used_again_and_an_old_key_finds_nothing() {
        let (mut shelf, mut ids, mut prng) = (Shelf::new(), OwnIds::new(0, 1), Prng::new(1));
        let mut insert = |shelf: &mut Shelf, number| shelf.insert(new(&mut ids, &mut prng, number));
        let keys: Vec<StoredKey> = (0..3 * PIECE as u64).map(|number| insert(&mut shelf, number)).collect();
        assert!(shelf.keys().eq(keys.iter().copied()));
        keys.iter().step_by(2).for_each(|key| assert!(shelf.remove(*key).is_some()));
        let again = insert(&mut shelf, 0);
        let last = keys[keys.len() - 2];
        assert_eq!((index_of(again), shelf.len()), (index_of(last), keys.len() / 2 + 1));
        assert!(again != last && shelf.get(last).is_none() && shelf.remove(last).is_none());
        assert!(shelf.stand(last).is_none() && shelf.whole_mut(last).is_none() && !shelf.unfold(last));
    }
}
