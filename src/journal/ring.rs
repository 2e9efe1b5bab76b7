//! The ring between a shard and its committer, as numbers and octets: who holds the memory is not said here.
//!
//! Positions count octets from the start of the run and never go back; a position modulo the capacity is a place. A frame
//! is never split: where it would be, the rest of the ring is passed over, marked by a length that no frame has.

use super::Lsn;
use super::frame::{self, Frame, Head, WRAP};
use super::record::Record;
use core::ops::Range;

/// A shard's view: where the next frame goes.
#[derive(Debug)]
pub struct Producer {
    capacity: u64,
    tail: u64,
    freed: u64,
    next: Lsn,
}

/// Room for one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Where the mark goes when the frame does not fit before the end.
    pub mark: Option<Range<usize>>,
    /// Where the frame goes.
    pub at: Range<usize>,
    tail: u64,
}

/// The ring is full: whoever wants to append is refused, and the disk is slower than the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Producer {
    /// Of an empty ring of so many octets, a power of two; `next` is the number of its first record.
    #[must_use]
    pub const fn new(capacity: usize, next: Lsn) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= 64);
        Self { capacity: capacity as u64, tail: 0, freed: 0, next }
    }

    /// Room for a frame of so many octets, a multiple of 8. Nothing changes until `filled`.
    ///
    /// # Errors
    /// There is none before the committer frees some.
    #[inline]
    pub fn room(&self, octets: usize) -> Result<Room, Full> {
        debug_assert!(octets.is_multiple_of(8) && octets > 0);
        let octets = octets as u64;
        let at = self.tail & (self.capacity - 1);
        let to_end = self.capacity - at;
        let (start, mark) = if octets <= to_end { (self.tail, None) } else { (self.tail + to_end, Some(at)) };
        let tail = start + octets;
        if tail - self.freed > self.capacity {
            return Err(Full);
        }
        let place = (start & (self.capacity - 1)) as usize;
        let mark = mark.map(|at| at as usize..at as usize + 4);
        Ok(Room { mark, at: place..place + octets as usize, tail })
    }

    /// What is written where the mark goes.
    #[must_use]
    pub const fn mark() -> [u8; 4] {
        WRAP.to_le_bytes()
    }

    /// The room holds its frame: the tail that the committer may see, and the number after it.
    #[inline]
    pub fn filled(&mut self, room: &Room) -> u64 {
        debug_assert!(room.tail > self.tail);
        self.tail = room.tail;
        self.next = self.next.next();
        assert!(self.tail - self.freed <= self.capacity, "no record is overwritten that is not durable");
        self.tail
    }

    /// The number of the next record.
    #[must_use]
    pub const fn next(&self) -> Lsn {
        self.next
    }

    /// The committer needs nothing below this position any more.
    pub fn free(&mut self, upto: u64) {
        debug_assert!(upto <= self.tail);
        self.freed = self.freed.max(upto);
    }

    /// Octets that the committer still needs.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.tail - self.freed
    }

    /// Appends to a ring that nobody else holds.
    ///
    /// # Errors
    /// There is no room.
    pub fn append(
        &mut self,
        ring: &mut [u8],
        key: u64,
        time_ms: u32,
        record: &Record<'_>,
    ) -> Result<Lsn, Full> {
        let payload = record.len();
        let room = self.room(frame::frame_len(payload))?;
        if let Some(mark) = room.mark.clone() {
            ring.get_mut(mark).ok_or(Full)?.copy_from_slice(&Self::mark());
        }
        let lsn = self.next;
        frame::write(
            ring.get_mut(room.at.clone()).ok_or(Full)?,
            &Head { lsn, key, time_ms },
            record,
            payload,
        );
        self.filled(&room);
        Ok(lsn)
    }

    /// Appends a frame of an earlier run, which keeps its number and gets another time.
    ///
    /// # Errors
    /// There is no room, or it is not the next one.
    pub fn append_again(&mut self, ring: &mut [u8], time_ms: u32, octets: &[u8]) -> Result<Lsn, Full> {
        let (frame, span) = Frame::unsealed(octets).ok_or(Full)?;
        let room = self.room(span)?;
        if frame.lsn != self.next || span != octets.len() {
            return Err(Full);
        }
        if let Some(mark) = room.mark.clone() {
            ring.get_mut(mark).ok_or(Full)?.copy_from_slice(&Self::mark());
        }
        let place = ring.get_mut(room.at.clone()).ok_or(Full)?;
        place.copy_from_slice(octets);
        frame::set_time(place, time_ms);
        self.filled(&room);
        Ok(frame.lsn)
    }
}

/// The two pieces of a ring of `capacity` octets between two positions.
#[must_use]
pub const fn pieces(capacity: usize, from: u64, to: u64) -> (Range<usize>, Range<usize>) {
    let length = (to - from) as usize;
    let at = (from & (capacity as u64 - 1)) as usize;
    let first = if length < capacity - at { length } else { capacity - at };
    (at..at + first, 0..length - first)
}

/// What the committer may read: everything from the last durable record to the tail.
#[derive(Debug, Clone, Copy)]
pub struct Unfreed<'a> {
    /// The position where it begins.
    pub start: u64,
    /// Up to the end of the ring.
    pub first: &'a [u8],
    /// From the beginning of the ring.
    pub second: &'a [u8],
}

impl<'a> Unfreed<'a> {
    /// Of a ring that nobody else holds.
    #[must_use]
    pub fn of(ring: &'a [u8], from: u64, to: u64) -> Self {
        let (first, second) = pieces(ring.len(), from, to);
        Self {
            start: from,
            first: ring.get(first).unwrap_or_default(),
            second: ring.get(second).unwrap_or_default(),
        }
    }

    /// Where it ends.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + (self.first.len() + self.second.len()) as u64
    }

    /// The frame at a position, and the position behind it.
    #[must_use]
    pub fn frame(&self, position: u64) -> Option<(Frame<'a>, &'a [u8], u64)> {
        let skipped = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let (octets, at) = match self.first.get(skipped..) {
            Some(rest) if !rest.is_empty() && !is_mark(rest) => (rest, position),
            Some(_) => (self.second, self.start + self.first.len() as u64),
            None => (self.second.get(skipped - self.first.len()..)?, position),
        };
        let (frame, span) = Frame::unsealed(octets)?;
        Some((frame, octets.get(..span)?, at + span as u64))
    }
}

fn is_mark(octets: &[u8]) -> bool {
    octets.starts_with(&Producer::mark())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn what_is_appended_is_read_in_order_over_many_turns_of_the_ring() {
        let mut ring = vec![0; 1024];
        let (mut producer, mut prng) = (Producer::new(1024, Lsn(5)), Prng::new(1));
        let (mut position, mut expected) = (0, 5);
        for _ in 0..5000 {
            let length = prng.below(200) as usize;
            let pdu = vec![length as u8; length];
            let record = Record::DlrIn { carrier: b"a", pdu: &pdu };
            if producer.append(&mut ring, 1, 2, &record).is_ok() {
                continue;
            }
            let unfreed = Unfreed::of(&ring, position, producer.tail);
            while let Some((frame, _, after)) = unfreed.frame(position) {
                let Some(Record::DlrIn { pdu, .. }) = frame.record() else { panic!("{frame:?}") };
                assert!(
                    frame.lsn == Lsn(expected) && pdu.iter().all(|octet| usize::from(*octet) == pdu.len())
                );
                (position, expected) = (after, expected + 1);
            }
            assert_eq!((position, Lsn(expected)), (producer.tail, producer.next()));
            producer.free(position);
        }
        assert!(expected > 2000);
    }

    #[test]
    fn a_full_ring_refuses_and_changes_nothing() {
        let mut ring = vec![0; 128];
        let mut producer = Producer::new(128, Lsn::FIRST);
        let record = Record::Tombstone { reason: 1 };
        assert_eq!(producer.append(&mut ring, 1, 0, &record), Ok(Lsn(1)));
        assert_eq!(producer.append(&mut ring, 1, 0, &record), Ok(Lsn(2)));
        assert_eq!(producer.append(&mut ring, 1, 0, &record), Ok(Lsn(3)));
        let before = (producer.used(), ring.clone());
        assert_eq!(producer.append(&mut ring, 1, 0, &record), Err(Full));
        assert_eq!((producer.used(), ring), before);
        assert_eq!(producer.next(), Lsn(4));
    }
}
