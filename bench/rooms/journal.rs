//! Records of 300 octets, from the ring to the disk and back.
//!
//! Sketch: an append writes 40 octets of head and account and copies the PDU: five cache lines, no system call, no
//! checksum. A commit reads them once, copies them into the staging buffer, five lines again, and reads those for the
//! checksum: hardware CRC-32C takes eight octets in a cycle at best, about 40 cycles a record. Then one write and one
//! sync for the whole batch, which are the disk's and not measured here. A scan reads the record for its checksum, once.
//! The book of what is needed writes a place of 16 octets, a hash of one line and a bit.

use crate::case::{Case, Work, warmed};
use bindery::journal::commit::{Front, Identity, Spare};
use bindery::journal::frame::Frame;
use bindery::journal::header::{SegmentHeader, time_ms};
use bindery::journal::ring::{Producer, Unfreed};
use bindery::journal::scan::{Found, scan};
use bindery::journal::{Book, Committer, Disk, DiskError, Durability, Geometry, Lsn, PAGE, Record, Space};
use bindery::time::{Duration, Now};
use std::hint::black_box;

const RING: usize = 1 << 20;
const BATCH: u64 = 50;
const GEOMETRY: Geometry = Geometry { segment: 8 << 20, batch: 1 << 20 };

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: BATCH, rounds: 256, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] = &[
    case("journal/append", append),
    case("journal/commit", commit),
    case("journal/scan", read),
    case("journal/book", book),
];

/// A disk that keeps the last segment that was written.
struct Kept {
    octets: Vec<u8>,
}

impl Disk for Kept {
    type File = ();

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(Vec::new())
    }

    fn create(&mut self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn open(&mut self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn length(&mut self, (): &()) -> Result<u64, DiskError> {
        Ok(GEOMETRY.segment)
    }

    fn read(&mut self, (): &(), _: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        Ok(into.len())
    }

    fn write(&mut self, (): &(), at: u64, octets: &[u8]) -> Result<usize, DiskError> {
        if let Some(place) = self.octets.get_mut(at as usize..at as usize + octets.len()) {
            place.copy_from_slice(octets);
        }
        Ok(octets.len())
    }

    fn sync(&mut self, (): &()) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&mut self, _: &str, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn space(&mut self) -> Result<Space, DiskError> {
        Ok(Space { free: 1 << 40, total: 1 << 40 })
    }
}

/// A shard and its committer.
struct Both {
    ring: Vec<u8>,
    producer: Producer,
    committer: Committer<()>,
    disk: Kept,
    tail: u64,
    freed: u64,
    pdu: [u8; 254],
    now: Now,
    appends: bool,
}

impl Both {
    fn new(appends: bool) -> Self {
        let first = Lsn::FIRST;
        let identity = Identity {
            journal: 1,
            shard: 0,
            run: 1,
            fork: first,
            forks: Vec::new(),
            first,
            number: 0,
            front: first,
        };
        Self {
            ring: vec![0; RING],
            producer: Producer::new(RING, first),
            committer: Committer::new(identity, GEOMETRY, Durability::Group(Duration::ZERO), 7),
            disk: Kept { octets: vec![0; GEOMETRY.segment as usize] },
            tail: 0,
            freed: 0,
            pdu: [0x55; 254],
            now: Now::default(),
            appends,
        }
    }

    fn append(&mut self) {
        for key in 0..BATCH {
            let record = Record::Accept {
                accepted: 0,
                validity: 0,
                due: 0,
                esme: b"acme",
                id: b"",
                pdu: black_box(&self.pdu),
            };
            let appended = self.producer.append(&mut self.ring, key, time_ms(self.now), &record);
            assert!(appended.is_ok());
        }
        self.tail = self.freed + self.producer.used();
    }

    fn commit(&mut self) {
        let unfreed = Unfreed::of(&self.ring, self.freed, self.tail);
        let step = self.committer.step(self.now, &unfreed, Front::default(), &mut self.disk);
        assert!(step.freed == self.tail, "one batch, one step");
        self.freed = step.freed;
        self.producer.free(step.freed);
    }

    fn spare(&mut self) {
        while self.committer.change().is_some() {}
        if self.committer.spares() == 0 {
            self.committer.give(Spare { name: String::new(), file: (), wiped_at: None });
        }
    }
}

impl Work for Both {
    fn lay_out(&mut self, _step: usize) {
        self.spare();
        if self.appends {
            if self.tail > self.freed {
                self.commit();
            }
        } else {
            self.append();
        }
    }

    fn run(&mut self, _step: usize) {
        if self.appends {
            self.append();
        } else {
            self.commit();
        }
    }
}

/// A record into the ring.
fn append() -> Box<dyn Work> {
    warmed(Both::new(true), 500)
}

/// A record from the ring onto its page, as one of fifty.
fn commit() -> Box<dyn Work> {
    warmed(Both::new(false), 500)
}

/// A record of a segment read back, its checksum held.
fn read() -> Box<dyn Work> {
    let mut both = Both::new(false);
    both.spare();
    both.append();
    both.commit();
    let octets = both.disk.octets.get(..8 * PAGE).map(<[u8]>::to_vec).unwrap_or_default();
    let Ok(header) = SegmentHeader::of_page(&octets) else { panic!("it was written") };
    Box::new(move || {
        let mut records = 0;
        let end = scan(black_box(&octets), &header, &mut |found| {
            records += u64::from(matches!(found, Found::Frame(..)))
        });
        assert!(records == BATCH && end.batches == 1);
    })
}

/// A record in the book of what is needed: one half opens a key, the other closes it.
fn book() -> Box<dyn Work> {
    let (mut book, mut lsn) = (Book::new(100_000), 0);
    Box::new(move || {
        for kind in [1, 8] {
            for key in 0..BATCH / 2 {
                lsn += 1;
                let frame =
                    Frame { lsn: Lsn(lsn), key, time_ms: 0, kind, version: 1, flags: 0, payload: &[] };
                assert!(book.note(black_box(&frame), 300).is_ok());
            }
        }
    })
}
