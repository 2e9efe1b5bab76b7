//! What shards and sinks tell each other of a node's journal. Owns: for each shard how far it is durable, and which record
//! each sink wants next. Takes: those two numbers from who knows them. Gives: them to the other side. Never: a record; makes
//! anybody wait.

use super::Lsn;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// One value for a node, made before its journal is opened and shared by its shards and sinks. Until a sink has said what
/// it wants next, it wants everything.
#[derive(Debug)]
pub struct Cursors {
    shards: Box<[Shard]>,
}

#[derive(Debug)]
struct Shard {
    /// Written by the shard.
    durable: CachePadded<AtomicU64>,
    /// Each written by its sink.
    unread: Box<[CachePadded<AtomicU64>]>,
}

impl Cursors {
    /// For so many shards and sinks.
    #[must_use]
    pub fn new(shards: usize, sinks: usize) -> Self {
        let cell = |first: Lsn| CachePadded::new(AtomicU64::new(first.0));
        let shard = || Shard {
            durable: cell(Lsn::NONE),
            unread: core::iter::repeat_with(|| cell(Lsn::FIRST)).take(sinks).collect(),
        };
        Self { shards: core::iter::repeat_with(shard).take(shards).collect() }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Of the shard, once a turn: the last record that survives a power cut. No sink reads beyond it.
    #[inline]
    pub fn tell_durable(&self, shard: usize, durable: Lsn) {
        if let Some(shard) = self.shards.get(shard) {
            shard.durable.store(durable.0, Ordering::Release);
        }
    }

    /// What the shard told last.
    #[must_use]
    pub fn durable(&self, shard: usize) -> Lsn {
        self.shards.get(shard).map_or(Lsn::NONE, |shard| Lsn(shard.durable.load(Ordering::Acquire)))
    }

    /// For the shard, once a turn, into `Book::keep_from`: the oldest record that a sink has not got; `None` when there are
    /// no sinks.
    #[must_use]
    #[inline]
    pub fn keep_from(&self, shard: usize) -> Option<Lsn> {
        let unread = self.shards.get(shard)?.unread.iter();
        unread.map(|cell| Lsn(cell.load(Ordering::Acquire))).min()
    }

    /// Of a sink: this is the next record that it wants; everything before it is where it belongs, for good.
    pub fn advance(&self, sink: usize, shard: usize, next: Lsn) {
        if let Some(cell) = self.shards.get(shard).and_then(|shard| shard.unread.get(sink)) {
            cell.store(next.0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_sink_decides_what_is_kept() {
        let cursors = Cursors::new(2, 2);
        assert_eq!(cursors.keep_from(0), Some(Lsn::FIRST), "nobody has said anything yet");
        cursors.advance(0, 0, Lsn(9));
        assert_eq!(cursors.keep_from(0), Some(Lsn::FIRST));
        cursors.advance(1, 0, Lsn(7));
        assert_eq!((cursors.keep_from(0), cursors.keep_from(1)), (Some(Lsn(7)), Some(Lsn::FIRST)));
        cursors.advance(1, 0, Lsn(70));
        assert_eq!(cursors.keep_from(0), Some(Lsn(9)));
    }

    #[test]
    fn without_sinks_nothing_is_kept_and_what_is_not_there_is_nothing() {
        let cursors = Cursors::new(1, 0);
        assert_eq!((cursors.keep_from(0), cursors.keep_from(5)), (None, None));
        cursors.tell_durable(0, Lsn(5));
        cursors.tell_durable(5, Lsn(5));
        cursors.advance(3, 0, Lsn(5));
        assert_eq!((cursors.durable(0), cursors.durable(5), cursors.shards()), (Lsn(5), Lsn::NONE, 1));
    }
}
