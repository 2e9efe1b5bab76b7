//! The journal: what was promised, in order, on a disk that may fail at any moment.
//!
//! Owns: the form of records, segments and the ring; what is written when, and what a response may wait for; what a
//! restart reads back; which segment may be used again. Takes: records, the time, a ring as octets, a `Disk`. Gives: how
//! far the journal is written and durable, the records of the last run in order, a report of every octet it does not
//! trust. Never: a file, a clock, a thread (they are in `io`); writes a page again that is durable, or on its way to be;
//! asks the same file for a second sync after one failed; overwrites or deletes what is damaged.
//!
//! ```text
//! shard ─▶ ring ─▶ committer ─▶ segment 7   (used, full)
//!                      │        segment 8   (used, pages 0 and 1 its header, then batches, one on a fresh page after each sync)
//!                      └─ takes spare ◀─ preparer ◀─ segment 5 (nothing in it is needed any more)
//! ```
//!
//! **Order.** One shard, one journal: its records are numbered without gaps (`Lsn`). Segments are given back from the
//! oldest only, so a gap is loss and a closing record never goes before what it closes. What keeps the oldest is copied
//! to the end (MOVE) when that pays.
//!
//! **Names.** `SHARD-NUMBER.seg`; what a segment holds is said by its header, not by its name, since a name that is
//! changed where a message waits for it would cost a sync of the directory. `.spare` is a prepared file: one with a
//! sound header was taken into use and not renamed yet. `.failed` is a segment after a failed write, `.spoilt` one of
//! which nothing was durable before: read, never reused, and put into `quarantine/` in the end.
//!
//! **Salt.** Each use of a file has an epoch of 64 random bits, and every checksum (CRC-32C) begins with it: octets of an
//! earlier life of the file are never taken for new ones. The committer alone knows the epoch, so it is the committer
//! who sets the checksums, while it copies.
//!
//! **After a crash.** Each batch says up to which record all was durable when it was written, and which was the oldest
//! record needed. Between the two every record must be there: what is missing was promised, and that is an alarm. Above
//! it the records up to the first gap are taken, and written again before anything else; the rest was never promised.
//! What a later run has cut off stays cut off: `fork` in its segments' headers.

pub mod book;
pub mod cdr;
pub mod cipher;
pub mod commit;
pub mod concerned;
pub mod cursors;
pub mod disk;
pub mod erase;
pub mod follow;
pub mod frame;
pub mod header;
pub(crate) mod octets;
pub mod prepare;
mod quarantine;
pub mod recall;
pub mod record;
pub mod recorder;
pub mod recover;
pub mod ring;
pub mod scan;
pub mod space;
mod together;
mod wipe;

pub use book::Book;
pub use cipher::{Cipher, Opener, Sealer};
pub use commit::{Committer, Durability, Step};
pub use cursors::Cursors;
pub use disk::{Disk, DiskError, Space};
pub use erase::{Ages, Erasing};
pub use follow::Follower;
pub use frame::Frame;
pub use prepare::Preparer;
pub use recall::{Recall, Recalled, Recaller, Wanted};
pub use record::{Facts, Fault, Kind, Record};
pub use recorder::{AppendRefused, Recorder};
pub use recover::{Recovered, Recovery, Report};

/// Octets of a page: what is written begins and ends at one.
pub const PAGE: usize = 4096;

/// The number of a record in its journal, from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const NONE: Self = Self(0);
    /// The first record.
    pub const FIRST: Self = Self(1);

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one before it; that of the first is `NONE`.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The one so many later.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

/// How large things are, octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Of a segment: whole pages, at least four.
    pub segment: u64,
    /// Of the frames of one batch, unless one frame alone is larger.
    pub batch: usize,
}

impl Geometry {
    /// The largest frame that a segment can hold beside its headers.
    #[must_use]
    pub const fn frame_max(&self) -> usize {
        (self.segment as usize).saturating_sub(2 * PAGE + header::BATCH_HEAD)
    }
}

/// Octets up to the end of the page.
#[must_use]
pub const fn whole_pages(octets: usize) -> usize {
    octets.next_multiple_of(PAGE)
}

/// True when all of them are zero. Looked at in pieces, each without a question in between.
fn is_blank(octets: &[u8]) -> bool {
    octets.chunks(PAGE / 4).all(|piece| piece.iter().fold(0, |all, octet| all | octet) == 0)
}
