//! The journal of a shard that the node does not have any more. Owns: its end of that journal, the book of what is needed
//! there. Takes: what the journal says is not over, how far the sinks of call detail records are. Gives: what is not over to
//! the homes of its accounts; how far its segments can be given back. Never: a message of its own; forgets what is of an
//! account that nobody knows: its records stay needed, and a later start finds them.
//!
//! ```text
//! read ─▶ at home elsewhere, safe ─▶ let go here, safe ─▶ the shards run ─▶ the sinks have all ─▶ closed, over
//! ```
//!
//! The last segment stays: a shard that comes back goes on with the number of its last record.

use super::records::Pen;
use super::restore::{Known, Moved};
use crate::config::{Config, Homes};
use crate::journal::record::NO_REASON;
use crate::journal::{Book, Cursors, Lsn, Record, Recorder};
use crate::ledger::Restored;
use crate::time::Now;

/// The key of a record that is about no message.
const NOBODY: u64 = 0;

/// What such a journal says is not over.
#[derive(Debug)]
pub struct Left {
    book: Book,
    /// By key, what belongs to accounts of this node.
    pub moved: Vec<Moved>,
    /// Keys of accounts that the configuration does not know.
    pub strangers: u64,
}

impl Left {
    /// By the homes of the accounts.
    #[must_use]
    pub fn of(restored: Restored, config: &Config, homes: &Homes) -> Self {
        let (book, kept) = restored.finish();
        let (known, all) = (Known::of(config), kept.len());
        let home = |(key, kept)| Some((homes.of_esme(known.owner(&kept)?), key, kept));
        let moved: Vec<Moved> = kept.into_iter().filter_map(home).collect();
        Self { book, strangers: (all - moved.len()) as u64, moved }
    }

    /// The journal is written again.
    #[must_use]
    pub fn kept_by(self, shard: usize, recorder: Box<dyn Recorder>) -> Surplus {
        let left = self.book.last();
        Surplus { shard, pen: Pen::new(recorder, self.book), left, closed: Lsn::NONE }
    }
}

/// See the file's header.
pub struct Surplus {
    shard: usize,
    pen: Pen,
    /// The last record that was left: what stands behind says nothing.
    left: Lsn,
    /// The last record, when it is one that says nothing but how far all is over; so is none.
    closed: Lsn,
}

impl Surplus {
    /// Whose journal it was.
    #[must_use]
    pub const fn shard(&self) -> usize {
        self.shard
    }

    /// The homes of their accounts have these keys now. Gives how many it has let go of, as `Shard::disown`.
    pub fn disown(&mut self, now: Now, keys: &[u64]) -> usize {
        self.pen.disown(now, keys)
    }

    /// True when everything that was appended survives what the journal makes it survive.
    #[must_use]
    pub fn is_all_safe(&self) -> bool {
        self.pen.is_all_safe()
    }

    /// Once in a while: the sinks may read what is durable, and what they have not got is kept. Gives the oldest record that
    /// is needed; the disk knows it with the next record.
    pub fn look(&mut self, now: Now, cursors: Option<&Cursors>) -> Lsn {
        self.pen.book.look(now);
        if let Some(cursors) = cursors {
            cursors.tell_durable(self.shard, self.pen.recorder.durable());
            self.pen.book.keep_from(cursors.keep_from(self.shard));
        }
        let front = self.pen.book.front();
        self.pen.recorder.needs_from(front);
        front
    }

    /// True when something may be said in a segment that begins with this record.
    #[must_use]
    pub fn says(&self, base: Lsn) -> bool {
        base <= self.left
    }

    /// True while records are kept only for `[privacy] keep_text`.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.pen.book.keeps()
    }

    /// True when every sink has every record.
    #[must_use]
    pub fn is_read(&self, cursors: Option<&Cursors>) -> bool {
        let unread = cursors.and_then(|cursors| cursors.keep_from(self.shard));
        unread.is_none_or(|unread| unread > self.pen.book.last())
    }

    /// Appends a record that says nothing: the batch that it is in tells the disk how far all is over. Where there is no room
    /// for it, a later one does.
    pub fn close(&mut self, now: Now) {
        let over = Record::Tombstone { reason: NO_REASON };
        if let Some(lsn) = self.pen.append(now, NOBODY, &over, None) {
            self.closed = lsn;
        }
        self.pen.recorder.kick();
    }

    /// True when nothing stands behind its last such record.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.pen.book.last() == self.closed
    }
}
