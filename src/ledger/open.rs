//! Messages that are not over, as their owner's journal knows them. Owns: what the final record of each will say. Takes:
//! messages as they come, what carriers answer. Gives: a message by its handle, the oldest for expiry. Never: grows over
//! `JOURNAL_OPEN_MAX`; decides when a message is over.

use super::pieces::Pieces;
use super::{AddressTail, Destinations, End, Given, IdText, Over, Sleepers, StoredMessage};
use crate::ids::{CarrierId, EsmeId};
use crate::journal::{Facts, Lsn};
use crate::limits::{JOURNAL_OPEN_MAX, REROUTE_OCTETS_MAX};
use crate::time::{Instant, Wall};
use slotmap::{Key, KeyData, SlotMap, new_key_type};
use smallvec::SmallVec;
use std::collections::BTreeMap;

new_key_type! {
    /// A message that is not over. The null key: there is none, or no journal.
    pub struct OpenKey;
}

impl OpenKey {
    /// As another shard carries it, and back.
    #[must_use]
    pub fn number(self) -> u64 {
        self.data().as_ffi()
    }

    /// What `number` gave.
    #[must_use]
    pub fn of(number: u64) -> Self {
        KeyData::from_ffi(number).into()
    }
}

/// Source and destination, one behind the other; most are short.
type Ends = SmallVec<[u8; 36]>;

/// A message that is not over.
#[derive(Debug, Clone)]
pub struct OpenMessage {
    /// Its key in the journal.
    pub key: u64,
    /// Who submitted it.
    pub esme: EsmeId,
    /// Who had it last.
    pub carrier: Option<CarrierId>,
    /// When its submit came.
    pub accepted: Wall,
    /// When it was last written to a carrier; zero: never.
    pub submitted: Wall,
    /// Attempts that were made.
    pub attempts: u16,
    /// Parts of the long message that it is one of.
    pub parts: u8,
    /// Its data_coding.
    pub data_coding: u8,
    /// What the ESME was given.
    pub given: Given,
    /// The carrier's id; empty: none yet.
    pub message_id: IdText,
    /// Final receipts that are still to come.
    pub awaited: u16,
    /// Destinations of a submit_multi that none is to come for.
    pub over: Over,
    /// Its record that is needed, and the one that this is a copy of; `NONE`: it has none yet.
    pub lsn: Lsn,
    /// The first of them.
    pub origin: Lsn,
    /// It is over then, whatever has not come.
    pub expires: Instant,
    /// How it ended, when its receipt is ours.
    pub end: Option<Box<End>>,
    /// As it may be sent again when its receipt says so.
    again: Option<Box<StoredMessage>>,
    ends: Ends,
    source: u8,
}

impl OpenMessage {
    /// A message that has just come: one part, no carrier, no receipts.
    #[must_use]
    pub fn new(key: u64, esme: EsmeId, accepted: Wall, source: &[u8], destination: &[u8]) -> Self {
        let source = source.get(..255).unwrap_or(source);
        let mut ends = Ends::from_slice(source);
        ends.extend_from_slice(destination);
        Self {
            key,
            esme,
            carrier: None,
            accepted,
            submitted: Wall(0),
            attempts: 0,
            parts: 1,
            data_coding: 0,
            given: Given::Carrier,
            message_id: IdText::new(),
            awaited: 0,
            over: Over::default(),
            lsn: Lsn::NONE,
            origin: Lsn::NONE,
            expires: Instant::from_nanos(u64::MAX),
            end: None,
            again: None,
            ends,
            source: source.len() as u8,
        }
    }

    /// Who sends it.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        self.ends.get(..usize::from(self.source)).unwrap_or_default()
    }

    /// Where it goes; several with commas between.
    #[must_use]
    pub fn destination(&self) -> &[u8] {
        self.ends.get(usize::from(self.source)..).unwrap_or_default()
    }

    /// No final receipt for this number is to come any more: one fewer is awaited. `None`: the number is not known.
    pub fn ends_for(&mut self, tail: Option<AddressTail>) {
        self.awaited = self.awaited.saturating_sub(1);
        if self.awaited > 0
            && let Some(tail) = tail
        {
            let destinations = Destinations::of_text(self.destination());
            self.over.take(&destinations, tail);
        }
    }

    /// True when it may be sent again when its receipt says so.
    #[must_use]
    pub const fn may_go_again(&self) -> bool {
        self.again.is_some()
    }

    /// What its records say; `esme` and `carrier` are the names, `id` the text of what the ESME was given.
    #[must_use]
    pub fn facts<'a>(&'a self, esme: &'a [u8], carrier: &'a [u8], id: &'a [u8]) -> Facts<'a> {
        Facts {
            accepted: self.accepted.0,
            submitted: self.submitted.0,
            attempts: self.attempts,
            parts: self.parts,
            data_coding: self.data_coding,
            esme,
            id,
            carrier,
            message_id: &self.message_id,
            source: self.source(),
            destination: self.destination(),
        }
    }
}

/// The messages of one shard.
#[derive(Debug, Default)]
pub struct OpenMessages {
    messages: SlotMap<OpenKey, OpenMessage>,
    /// In the order in which they are over by themselves; stale keys stay until they reach the front or outnumber the
    /// others.
    order: Pieces<OpenKey>,
    /// Octets of those that may be sent again.
    again: usize,
    /// Those that came back from the disk, which `order` has lost: by key, which is about the order in which they were given.
    woken: BTreeMap<u64, OpenKey>,
    /// Those that are on the disk alone.
    pub asleep: Sleepers,
}

impl OpenMessages {
    /// None yet. The room for all of them is asked for at once, so that no turn waits while a table grows; the system
    /// gives the memory as it is used.
    #[must_use]
    pub fn new() -> Self {
        let messages = SlotMap::with_capacity_and_key(JOURNAL_OPEN_MAX);
        Self { messages, ..Self::default() }
    }

    /// Messages in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True when none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// A message stays on the disk alone. Gives its key there.
    pub fn sleep(&mut self, key: OpenKey) -> Option<u64> {
        let key = self.remove(key)?.key;
        self.asleep.push(key);
        Some(key)
    }

    /// A message is back from the disk, and over at `expires`, whatever has not come. It is let in over the limit, too: it
    /// was here before.
    pub fn wake(&mut self, message: OpenMessage, expires: Instant) -> OpenKey {
        let key = message.key;
        let handle = self.messages.insert(OpenMessage { expires, ..message });
        self.asleep.wakes();
        self.woken.insert(key, handle);
        handle
    }

    /// Those that came back from the disk.
    pub fn woken(&self) -> impl Iterator<Item = (OpenKey, &OpenMessage)> {
        self.woken.values().filter_map(|key| Some((*key, self.messages.get(*key)?)))
    }

    /// Takes a message; `None`: there are as many as may be.
    pub fn insert(&mut self, message: OpenMessage) -> Option<OpenKey> {
        (self.messages.len() < JOURNAL_OPEN_MAX).then(|| self.messages.insert(message))
    }

    /// A message.
    #[must_use]
    pub fn get(&self, key: OpenKey) -> Option<&OpenMessage> {
        self.messages.get(key)
    }

    /// Asks for the memory of a message.
    pub fn ask(&self, key: OpenKey) {
        if let Some(open) = self.messages.get(key) {
            core::hint::black_box((open.key, open.lsn, open.attempts, open.submitted, open.source));
        }
    }

    /// A message, to be changed.
    pub fn get_mut(&mut self, key: OpenKey) -> Option<&mut OpenMessage> {
        self.messages.get_mut(key)
    }

    /// A message is over.
    pub fn remove(&mut self, key: OpenKey) -> Option<OpenMessage> {
        let message = self.messages.remove(key)?;
        if !self.woken.is_empty() {
            self.woken.remove(&message.key);
        }
        self.again -= message.again.as_ref().map_or(0, |again| again.frame().len());
        Some(message)
    }

    /// A message may be sent again when its receipt says so, as long as there is room for its octets.
    pub fn may_go_again(&mut self, key: OpenKey, message: StoredMessage) {
        let octets = message.frame().len();
        let Some(open) = self.messages.get_mut(key).filter(|open| open.again.is_none()) else { return };
        if self.again + octets <= REROUTE_OCTETS_MAX {
            self.again += octets;
            open.again = Some(Box::new(message));
        }
    }

    /// The same of the last run, whose journal has them: it is let in over the limit, too.
    pub fn may_still_go_again(&mut self, key: OpenKey, message: StoredMessage) {
        let Some(open) = self.messages.get_mut(key) else { return };
        debug_assert!(open.again.is_none(), "it has just come");
        self.again += message.frame().len();
        open.again = Some(Box::new(message));
    }

    /// Those that may be sent again.
    pub fn may_go(&self) -> impl Iterator<Item = (OpenKey, &StoredMessage)> {
        let messages = (self.again > 0).then(|| self.messages.iter());
        messages.into_iter().flatten().filter_map(|(key, message)| Some((key, message.again.as_deref()?)))
    }

    /// The record of what may be sent again has moved.
    pub fn again_moved(&mut self, key: OpenKey, lsn: Lsn) {
        if let Some(again) = self.messages.get_mut(key).and_then(|message| message.again.as_mut()) {
            again.lsn = lsn;
        }
    }

    /// What is sent again instead of the message, which is over then.
    pub fn goes_again(&mut self, key: OpenKey) -> Option<StoredMessage> {
        let open = self.messages.get_mut(key)?;
        let again = open.again.take()?;
        self.again -= again.frame().len();
        Some(*again)
    }

    /// The same, looked at.
    #[must_use]
    pub fn again(&self, key: OpenKey) -> Option<&StoredMessage> {
        self.messages.get(key)?.again.as_deref()
    }

    /// It waits for something now, and is over at `expires`, which is not before that of any that was said earlier.
    pub fn waits(&mut self, key: OpenKey, expires: Instant) {
        let Some(message) = self.messages.get_mut(key) else { return };
        message.expires = expires;
        if self.order.len() >= 2 * JOURNAL_OPEN_MAX {
            let messages = &self.messages;
            self.order.retain(|key| messages.contains_key(*key));
        }
        self.order.push(key);
    }

    /// The next one whose time is over. It stays until it is removed.
    pub fn expired(&mut self, now: Instant) -> Option<OpenKey> {
        if let Some((_, key)) = self.woken.first_key_value()
            && self.messages.get(*key).is_some_and(|message| message.expires <= now)
        {
            return Some(*key);
        }
        while let Some(key) = self.order.first() {
            match self.messages.get(key) {
                Some(message) if message.expires > now => return None,
                Some(_) => {
                    self.order.drop_first();
                    return Some(key);
                }
                None => {
                    self.order.drop_first();
                }
            }
        }
        None
    }

    /// Those that wait, the oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = (OpenKey, &OpenMessage)> {
        self.order.iter().filter_map(|key| Some((*key, self.messages.get(*key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: u64) -> OpenMessage {
        OpenMessage::new(key, EsmeId(1), Wall(5), b"ACME", b"38267,38268")
    }

    #[test]
    fn a_message_says_of_itself_what_it_was_told() {
        let mut open = OpenMessages::new();
        let key = open.insert(message(7)).unwrap();
        let kept = open.get_mut(OpenKey::of(key.number())).unwrap();
        kept.message_id = IdText::from_slice(b"0A");
        let facts = kept.facts(b"acme", b"alpha", b"7");
        assert_eq!((facts.source, facts.destination), (&b"ACME"[..], &b"38267,38268"[..]));
        assert_eq!((facts.id, facts.message_id, facts.accepted), (&b"7"[..], &b"0A"[..], 5));
        assert!(open.get(OpenKey::default()).is_none());
    }

    #[test]
    fn those_that_wait_are_over_in_order_and_only_once() {
        let mut open = OpenMessages::new();
        let keys: Vec<OpenKey> = (0..4).map(|key| open.insert(message(key)).unwrap()).collect();
        for (key, seconds) in keys.iter().zip(1..) {
            open.waits(*key, Instant::from_nanos(seconds * 1_000_000_000));
        }
        open.remove(keys[1]);
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        assert_eq!(open.waiting().count(), 3);
        assert_eq!(open.expired(at(0)), None);
        assert_eq!(
            (open.expired(at(3)), open.expired(at(3)), open.expired(at(3))),
            (Some(keys[0]), Some(keys[2]), None)
        );
    }
}
