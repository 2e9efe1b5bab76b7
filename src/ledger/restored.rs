//! What a journal says is not over. Owns: the open messages and what waits, by key. Takes: the records of the last run in
//! order. Gives: them once the last one was taken, with the book of what is still needed. Never: what was closed.

use super::{Over, mix};
use crate::journal::cipher::is_sealed;
use crate::journal::recover::Place;
use crate::journal::{Book, Facts, Frame, Kind, Lsn, Opener, Record};
use crate::smpp::message_state::MessageState;
use crate::time::Wall;
use hashbrown::HashTable;
use std::collections::HashSet;

/// A record that is still needed, as it was first written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Where it is now.
    pub lsn: Lsn,
    /// Where it was first.
    pub origin: Lsn,
    /// When it was first written.
    pub wall: Wall,
}

/// A message that a carrier has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its SENT.
    pub record: Written,
    /// Final receipts that were still to come then.
    pub awaited: u16,
    /// Destinations of a submit_multi that none was to come for.
    pub over: Over,
    /// The payload of its SENT.
    payload: Vec<u8>,
}

impl Accepted {
    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        match Record::read(Kind::Sent, 1, &self.payload) {
            Some(Record::Sent { facts, .. }) => facts,
            _ => Facts::default(),
        }
    }
}

/// The last that is known of a message that we answered and no carrier has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its SENDING or REFUSED.
    pub record: Written,
    /// Which attempt.
    pub number: u16,
    /// The carrier refused it; `None`: it is not known what became of it.
    pub refused: Option<(u32, u32)>,
}

/// A message that we answered and no carrier has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promised {
    /// Its ACCEPT.
    pub record: Written,
    /// Its last attempt.
    pub attempt: Option<Attempt>,
    /// The name of who had it last.
    pub carrier: Vec<u8>,
    /// The payload of its ACCEPT.
    payload: Vec<u8>,
}

impl Promised {
    /// Its ACCEPT.
    #[must_use]
    pub fn accept(&self) -> Option<Record<'_>> {
        Record::read(crate::journal::Kind::Accept, 1, &self.payload)
    }

    /// Who submitted it.
    #[must_use]
    pub fn esme(&self) -> &[u8] {
        match self.accept() {
            Some(Record::Accept { esme, .. }) => esme,
            _ => &[],
        }
    }
}

/// A receipt or MO that was taken from a carrier and not answered by its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its DLR_IN or MO_IN.
    pub record: Written,
    /// Who sent it.
    pub carrier: Vec<u8>,
    /// For whom an MO is; `None`: it is a receipt.
    pub esme: Option<Vec<u8>>,
    /// As it came.
    pub pdu: Vec<u8>,
}

/// What is open of one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The message, when a carrier has accepted it.
    pub accepted: Option<Accepted>,
    /// The message, when none has.
    pub promised: Option<Box<Promised>>,
    /// What waits for its account, in the order of its first records.
    pub taken: Vec<Taken>,
    /// Final receipts that the ESME has answered, as they came.
    pub answered: Vec<Vec<u8>>,
}

impl Kept {
    /// Records that say so; of the copies of one the whole one has the most.
    #[must_use]
    pub fn records(&self) -> usize {
        let promised =
            self.promised.as_ref().map_or(0, |promised| 1 + usize::from(promised.attempt.is_some()));
        usize::from(self.accepted.is_some()) + promised + self.taken.len()
    }

    /// A copy takes the place of what it was made of.
    fn takes(&mut self, taken: Taken) {
        let origin = taken.record.origin;
        let at = self.taken.iter().rposition(|other| other.record.origin <= origin);
        match at.and_then(|at| Some((at, self.taken.get_mut(at)?))) {
            Some((_, same)) if same.record.origin == origin => *same = taken,
            Some((at, _)) => self.taken.insert(at + 1, taken),
            None => self.taken.insert(0, taken),
        }
    }

    /// An intermediate receipt ends nothing: the final one is still to come.
    fn answers(&mut self, of: Lsn, state: u8) {
        let is_final = MessageState::from_octet(state).is_none_or(MessageState::is_final);
        if let Some(at) = self.taken.iter().position(|taken| taken.record.origin == of) {
            let taken = self.taken.remove(at);
            self.answered.extend(is_final.then_some(taken.pdu));
        }
    }
}

/// See the room's header.
#[derive(Debug)]
pub struct Restored {
    book: Book,
    /// Where each key is in `kept`.
    places: HashTable<u32>,
    /// A place is used again when its key was closed, so that most records touch memory that is warm.
    kept: Vec<Option<(u64, Kept)>>,
    free: Vec<u32>,
    left_out: u64,
    /// The highest key of a message, over or not.
    highest: u64,
    /// Opens what messages say.
    opener: Opener,
    /// Keys of what it could not open and is not over.
    unopened: HashSet<u64>,
}

fn key_at(kept: &[Option<(u64, Kept)>], at: u32) -> Option<u64> {
    kept.get(at as usize)?.as_ref().map(|(key, _)| *key)
}

impl Restored {
    /// Nothing yet; there is room for so many records that are needed.
    #[must_use]
    pub fn new(needed_max: usize) -> Self {
        let (places, kept, free) = (HashTable::new(), Vec::new(), Vec::new());
        let (opener, book) = (Opener::default(), Book::new(needed_max));
        Self { book, places, kept, free, left_out: 0, highest: 0, opener, unopened: HashSet::new() }
    }

    /// The same for a journal in which messages may be sealed.
    #[must_use]
    pub fn with_keys(self, opener: Opener) -> Self {
        Self { opener, ..self }
    }

    /// Messages and deliveries that are not over, and were sealed with a key that is not here.
    #[must_use]
    pub fn unopened(&self) -> usize {
        self.unopened.len()
    }

    /// Takes the next record of the shard.
    pub fn take(&mut self, frame: &Frame<'_>, place: &Place) {
        if self.book.note(frame, place.octets).is_err() {
            self.left_out += 1;
        }
        if matches!(frame.kind(), Some(Kind::Accept | Kind::Sent | Kind::Finish)) {
            self.highest = self.highest.max(frame.key);
        }
        match frame.kind() {
            Some(
                Kind::Accept
                | Kind::Sending
                | Kind::Refused
                | Kind::Sent
                | Kind::DlrIn
                | Kind::DlrOut
                | Kind::MoIn
                | Kind::Move,
            ) => {}
            Some(Kind::Finish | Kind::Tombstone) => return self.close(frame.key),
            Some(Kind::Cursor | Kind::Block) | None => return,
        }
        let Some(record) = frame.record() else { return };
        let written = Written { lsn: frame.lsn, origin: frame.lsn, wall: place.wall };
        match record {
            Record::Move { from: _, origin, kind, version, wall, payload } => {
                let written = Written { lsn: frame.lsn, origin, wall: Wall(wall) };
                if let Some(kind) = Kind::of(kind)
                    && let Some(record) = Record::read(kind, version, payload)
                {
                    self.add(frame.key, written, &record, payload);
                }
            }
            other => self.add(frame.key, written, &other, frame.payload),
        }
    }

    fn add(&mut self, key: u64, record: Written, content: &Record<'_>, payload: &[u8]) {
        if let Some(pdu) = content.pdu().filter(|pdu| is_sealed(pdu)) {
            return self.add_sealed(key, record, content, pdu.to_vec());
        }
        let taken = |carrier: &[u8], esme: Option<&[u8]>, pdu: &[u8]| {
            let (carrier, esme, pdu) = (carrier.to_vec(), esme.map(<[u8]>::to_vec), pdu.to_vec());
            Taken { record, carrier, esme, pdu }
        };
        match *content {
            Record::Sent { awaited, over, .. } => {
                self.unopened.remove(&key);
                let accepted = Accepted { record, awaited, over: Over::of(over), payload: payload.to_vec() };
                // A copy says what was still to come when it was made.
                self.change(key, |kept| {
                    (kept.accepted, kept.promised) = (Some(accepted), None);
                    kept.answered.clear();
                });
            }
            Record::Accept { .. } => self.change(key, |kept| {
                // A copy says nothing of its attempts; another one that took its place has had none.
                let same = kept.promised.take().filter(|former| former.record.origin == record.origin);
                let (attempt, carrier) = same.map_or((None, Vec::new()), |same| (same.attempt, same.carrier));
                let promised = Promised { record, attempt, carrier, payload: payload.to_vec() };
                // What came for it before it began anew is over.
                *kept = Kept { promised: Some(Box::new(promised)), ..Kept::default() };
            }),
            Record::Sending { attempt, carrier } => {
                self.tried(key, Attempt { record, number: attempt, refused: None }, carrier);
            }
            Record::Refused { attempt, status, wait_ms, carrier } => {
                let refused = Some((status, wait_ms));
                self.tried(key, Attempt { record, number: attempt, refused }, carrier);
            }
            Record::DlrIn { carrier, pdu } => self.change(key, |kept| kept.takes(taken(carrier, None, pdu))),
            Record::MoIn { carrier, esme, pdu } => {
                self.change(key, |kept| kept.takes(taken(carrier, Some(esme), pdu)));
            }
            Record::DlrOut { of, state, .. } => {
                if let Some((_, kept)) =
                    self.find(key).and_then(|at| self.kept.get_mut(at as usize)?.as_mut())
                {
                    kept.answers(of, state);
                }
            }
            _ => {}
        }
    }

    /// Adds a record whose PDU was sealed. One that cannot be opened is counted, and nothing starts with it.
    fn add_sealed(&mut self, key: u64, record: Written, content: &Record<'_>, pdu: Vec<u8>) {
        let Some(pdu) = self.opener.open(key, pdu).filter(|pdu| !is_sealed(pdu)) else {
            self.unopened.insert(key);
            return;
        };
        let opened = content.with_pdu(&pdu);
        let mut payload = Vec::new();
        opened.payload(&mut payload);
        self.add(key, record, &opened, &payload);
    }

    fn tried(&mut self, key: u64, attempt: Attempt, carrier: &[u8]) {
        // A copy of an attempt may stand behind that of its message, and before it.
        let found = self.find(key).and_then(|at| self.kept.get_mut(at as usize)?.as_mut());
        let Some(promised) = found.and_then(|(_, kept)| kept.promised.as_mut()) else { return };
        if promised.attempt.is_none_or(|former| former.record.origin <= attempt.record.origin) {
            promised.attempt = Some(attempt);
            promised.carrier = carrier.to_vec();
        }
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.places.find(mix(key), |at| key_at(&self.kept, *at) == Some(key)).copied()
    }

    /// Changes what is kept of a key; from now on something is.
    fn change(&mut self, key: u64, how: impl FnOnce(&mut Kept)) {
        let at = self.find(key).unwrap_or_else(|| {
            let at = self.free.pop().unwrap_or_else(|| {
                self.kept.push(None);
                (self.kept.len() - 1) as u32
            });
            if let Some(place) = self.kept.get_mut(at as usize) {
                *place = Some((key, Kept::default()));
            }
            let kept = &self.kept;
            self.places.insert_unique(mix(key), at, |at| key_at(kept, *at).map_or(0, mix));
            at
        });
        if let Some(Some((_, kept))) = self.kept.get_mut(at as usize) {
            how(kept);
        }
    }

    /// Nothing of a key is kept any more.
    fn close(&mut self, key: u64) {
        self.unopened.remove(&key);
        let Self { places, kept, free, .. } = self;
        let found = places.find_entry(mix(key), |at| key_at(kept, *at) == Some(key));
        let Ok(found) = found else { return };
        let at = found.remove().0;
        if let Some(place) = kept.get_mut(at as usize) {
            *place = None;
        }
        free.push(at);
    }

    /// The highest key of a message, over or not: an id of ours that was given, whatever the clock says now.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Records that are needed and found no room in the book: their segments may be given back too early.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The book, and what is open in the order of the keys, which is that in which they were given.
    #[must_use]
    pub fn finish(self) -> (Book, Vec<(u64, Kept)>) {
        let mut kept: Vec<(u64, Kept)> = self.kept.into_iter().flatten().collect();
        kept.sort_unstable_by_key(|(key, _)| *key);
        (self.book, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Fault;
    use crate::journal::frame::{Head, frame_len, write};
    use crate::prng::Prng;
    use std::collections::BTreeMap;

    fn take(restored: &mut Restored, lsn: u64, key: u64, record: &Record<'_>) {
        let mut octets = vec![0; frame_len(record.len())];
        write(&mut octets, &Head { lsn: Lsn(lsn), key, time_ms: 0 }, record, record.len());
        let (frame, span) = Frame::unsealed(&octets).unwrap();
        restored.take(&frame, &Place { segment: 1, at: 0, wall: Wall(lsn as i64), octets: span as u32 });
    }

    fn sent() -> Record<'static> {
        Record::Sent {
            awaited: 2,
            over: b"",
            facts: Facts { esme: b"acme", message_id: b"A1", ..Facts::default() },
        }
    }

    fn finish() -> Record<'static> {
        Record::Finish {
            state: 2,
            status: 0,
            reason: crate::journal::record::NO_REASON,
            fault: Fault::Nobody,
            error: b"",
            price: 0,
            currency: b"",
            facts: Facts::default(),
        }
    }

    #[test]
    fn what_was_not_closed_comes_back_and_what_was_answered_does_not() {
        let mut restored = Restored::new(100);
        take(&mut restored, 1, 7, &sent());
        take(&mut restored, 2, 8, &sent());
        take(&mut restored, 3, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"first" });
        take(&mut restored, 4, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"second" });
        take(&mut restored, 5, 8, &finish());
        take(&mut restored, 6, 7, &Record::DlrOut { of: Lsn(3), at: Lsn(3), state: 2, status: 0 });
        take(&mut restored, 7, 9, &Record::MoIn { carrier: b"alpha", esme: b"acme", pdu: b"mo" });
        let (book, kept) = restored.finish();
        assert_eq!(book.front(), Lsn(1));
        assert_eq!(kept.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [7, 9]);
        let (_, message) = &kept[0];
        assert_eq!(message.accepted.as_ref().unwrap().facts().message_id, b"A1");
        assert_eq!((&message.answered[..], message.taken.len()), (&[b"first".to_vec()][..], 1));
        assert_eq!(message.taken[0].pdu, b"second");
        assert_eq!(kept[1].1.taken[0].esme.as_deref(), Some(&b"acme"[..]));
    }

    #[test]
    fn an_intermediate_receipt_that_was_answered_ends_nothing_and_a_copy_says_itself_what_is_to_come() {
        let mut restored = Restored::new(100);
        take(&mut restored, 1, 7, &sent());
        for (lsn, state) in [(2, MessageState::Enroute), (4, MessageState::Delivered)] {
            take(&mut restored, lsn, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
            let state = state.octet();
            take(&mut restored, lsn + 1, 7, &Record::DlrOut { of: Lsn(lsn), at: Lsn(lsn), state, status: 0 });
        }
        take(&mut restored, 6, 8, &sent());
        take(&mut restored, 7, 8, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
        take(&mut restored, 8, 8, &Record::DlrOut { of: Lsn(7), at: Lsn(7), state: 2, status: 0 });
        let mut payload = Vec::new();
        Record::Sent { awaited: 1, over: b"", facts: Facts::default() }.payload(&mut payload);
        let (from, kind) = (Lsn(6), Kind::Sent as u8);
        let copy = Record::Move { from, origin: from, kind, version: 1, wall: 5, payload: &payload };
        take(&mut restored, 9, 8, &copy);
        let (_, kept) = restored.finish();
        let to_come =
            |kept: &Kept| kept.accepted.as_ref().map(|accepted| (accepted.awaited, kept.answered.len()));
        assert_eq!(
            kept.iter().map(|(_, kept)| to_come(kept)).collect::<Vec<_>>(),
            [Some((2, 1)), Some((1, 0))]
        );
    }

    #[test]
    fn many_keys_that_open_and_close_are_not_taken_for_each_other() {
        let (mut restored, mut prng) = (Restored::new(10_000), Prng::new(3));
        let mut open: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for lsn in 1..20_000 {
            let key = prng.below(500) * 0x1_0001;
            match (prng.below(4), open.get_mut(&key)) {
                (0 | 1, None) => {
                    take(&mut restored, lsn, key, &sent());
                    open.insert(key, Vec::new());
                }
                (0 | 1, Some(receipts)) => {
                    let pdu = lsn.to_le_bytes();
                    take(&mut restored, lsn, key, &Record::DlrIn { carrier: b"alpha", pdu: &pdu });
                    receipts.push(lsn);
                }
                (2, Some(receipts)) if !receipts.is_empty() => {
                    let of = Lsn(receipts.remove(prng.below(receipts.len() as u64) as usize));
                    take(&mut restored, lsn, key, &Record::DlrOut { of, at: of, state: 2, status: 0 });
                }
                _ => {
                    take(&mut restored, lsn, key, &finish());
                    open.remove(&key);
                }
            }
        }
        let (book, kept) = restored.finish();
        assert!(kept.len() > 100 && book.open() == kept.len());
        let of =
            |(key, kept): &(u64, Kept)| (*key, kept.taken.iter().map(|taken| taken.record.lsn.0).collect());
        assert_eq!(kept.iter().map(of).collect::<BTreeMap<u64, Vec<u64>>>(), open);
        let octets = |taken: &Taken| taken.pdu == taken.record.lsn.0.to_le_bytes();
        assert!(kept.iter().all(|(_, kept)| kept.accepted.is_some() && kept.taken.iter().all(octets)));
    }

    #[test]
    fn a_copy_stands_for_what_it_was_made_of() {
        let mut restored = Restored::new(100);
        take(&mut restored, 1, 7, &sent());
        take(&mut restored, 2, 7, &Record::DlrIn { carrier: b"alpha", pdu: b"one" });
        let mut payload = Vec::new();
        sent().payload(&mut payload);
        let copy = |from: u64, origin: u64, kind: u8, payload: &'static [u8]| Record::Move {
            from: Lsn(from),
            origin: Lsn(origin),
            kind,
            version: 1,
            wall: 5,
            payload,
        };
        take(&mut restored, 3, 7, &copy(1, 1, 4, payload.leak()));
        take(&mut restored, 4, 7, &copy(2, 2, 5, b"\x05alphaone"));
        take(&mut restored, 5, 7, &Record::DlrOut { of: Lsn(2), at: Lsn(4), state: 2, status: 0 });
        let (book, kept) = restored.finish();
        let accepted = kept[0].1.accepted.as_ref().unwrap();
        assert_eq!(accepted.record, Written { lsn: Lsn(3), origin: Lsn(1), wall: Wall(5) });
        assert_eq!((kept[0].1.taken.len(), book.front()), (0, Lsn(3)));
    }
}
