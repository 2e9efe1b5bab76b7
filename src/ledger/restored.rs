//! What a journal says is not over. Owns: the open messages and what waits, by key. Takes: the records of the last run in
//! order. Gives: them once the last one was taken, with the book of what is still needed. Never: what was closed.

use crate::journal::recover::Place;
use crate::journal::{Book, Facts, Frame, Lsn, Record};
use crate::time::Wall;
use std::collections::{BTreeMap, HashMap};

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
    /// The payload of its SENT.
    payload: Vec<u8>,
}

impl Accepted {
    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        match Record::read(crate::journal::Kind::Sent, 1, &self.payload) {
            Some(Record::Sent { facts, .. }) => facts,
            _ => Facts::default(),
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
    /// What waits for its account, by its first record.
    pub taken: BTreeMap<Lsn, Taken>,
    /// Final receipts that the ESME has answered.
    pub answered: u16,
}

/// See the room's header.
#[derive(Debug)]
pub struct Restored {
    book: Book,
    kept: HashMap<u64, Kept>,
    left_out: u64,
}

impl Restored {
    /// Nothing yet; there is room for so many records that are needed.
    #[must_use]
    pub fn new(needed_max: usize) -> Self {
        Self { book: Book::new(needed_max), kept: HashMap::new(), left_out: 0 }
    }

    /// Takes the next record of the shard.
    pub fn take(&mut self, frame: &Frame<'_>, place: &Place) {
        if self.book.note(frame, place.octets).is_err() {
            self.left_out += 1;
        }
        let Some(record) = frame.record() else { return };
        let written = Written { lsn: frame.lsn, origin: frame.lsn, wall: place.wall };
        match record {
            Record::Move { from: _, origin, kind, version, wall, payload } => {
                let written = Written { lsn: frame.lsn, origin, wall: Wall(wall) };
                if let Some(kind) = crate::journal::Kind::of(kind)
                    && let Some(record) = Record::read(kind, version, payload)
                {
                    self.add(frame.key, written, &record, payload);
                }
            }
            Record::Finish { .. } | Record::Tombstone { .. } => {
                self.kept.remove(&frame.key);
            }
            other => self.add(frame.key, written, &other, frame.payload),
        }
    }

    fn add(&mut self, key: u64, record: Written, content: &Record<'_>, payload: &[u8]) {
        match *content {
            Record::Sent { awaited, .. } => {
                let accepted = Accepted { record, awaited, payload: payload.to_vec() };
                self.kept.entry(key).or_default().accepted = Some(accepted);
            }
            Record::DlrIn { carrier, pdu } => {
                let taken = Taken { record, carrier: carrier.to_vec(), esme: None, pdu: pdu.to_vec() };
                self.kept.entry(key).or_default().taken.insert(record.origin, taken);
            }
            Record::MoIn { carrier, esme, pdu } => {
                let (carrier, esme) = (carrier.to_vec(), Some(esme.to_vec()));
                let taken = Taken { record, carrier, esme, pdu: pdu.to_vec() };
                self.kept.entry(key).or_default().taken.insert(record.origin, taken);
            }
            Record::DlrOut { of, .. } => {
                if let Some(kept) = self.kept.get_mut(&key) {
                    kept.answered += u16::from(kept.taken.remove(&of).is_some());
                }
            }
            _ => {}
        }
    }

    /// Records that are needed and found no room in the book: their segments may be given back too early.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The book, and what is open in the order of the keys, which is that in which they were given.
    #[must_use]
    pub fn finish(self) -> (Book, Vec<(u64, Kept)>) {
        let mut kept: Vec<(u64, Kept)> = self.kept.into_iter().collect();
        kept.sort_unstable_by_key(|(key, _)| *key);
        (self.book, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Fault;
    use crate::journal::frame::{Head, frame_len, write};

    fn take(restored: &mut Restored, lsn: u64, key: u64, record: &Record<'_>) {
        let mut octets = vec![0; frame_len(record.len())];
        write(&mut octets, &Head { lsn: Lsn(lsn), key, time_ms: 0 }, record, record.len());
        let (frame, span) = Frame::unsealed(&octets).unwrap();
        restored.take(&frame, &Place { segment: 1, at: 0, wall: Wall(lsn as i64), octets: span as u32 });
    }

    fn sent() -> Record<'static> {
        Record::Sent { awaited: 2, facts: Facts { esme: b"acme", message_id: b"A1", ..Facts::default() } }
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
        assert_eq!((message.answered, message.taken.len()), (1, 1));
        assert_eq!(message.taken[&Lsn(4)].pdu, b"second");
        assert_eq!(kept[1].1.taken[&Lsn(7)].esme.as_deref(), Some(&b"acme"[..]));
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
