//! A journal as whoever watches it sees it. Owns: nothing. Takes: the counters of its threads. Gives: numbers. Never: makes
//! one of them wait.

use super::ring::Shared;
use crate::counters::Spans;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// For whoever watches a journal; may be kept after its end.
#[derive(Clone)]
pub struct Watch {
    shards: Arc<[Arc<Shared>]>,
    /// Octets of the files of shards that are no more.
    others: Arc<AtomicU64>,
}

/// How a journal is, of all its shards together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Octets of its files.
    pub files: u64,
    /// Octets of the file system that we may use.
    pub space_free: u64,
    /// Octets of the file system.
    pub space_total: u64,
    /// Octets of the rings that hold what is not durable yet.
    pub ring_used: u64,
    /// Octets of the rings.
    pub ring_max: u64,
    /// Shards that take no new messages.
    pub refusing: u64,
    /// Shards that can promise nothing for now: two files in a row have failed.
    pub failed: u64,
    /// Segments given up after a failed write or sync.
    pub failed_files: u64,
    /// Pieces of the preparer's work that failed and are tried again.
    pub failed_preparations: u64,
}

impl Watch {
    pub(super) fn new(shards: &[Arc<Shared>], others: Arc<AtomicU64>) -> Self {
        Self { shards: shards.into(), others }
    }

    /// How it is now.
    #[must_use]
    pub fn state(&self) -> State {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let before = State { files: get(&self.others), ..State::default() };
        self.shards.iter().fold(before, |sum, shard| {
            let (ring_used, ring_max) = shard.ring();
            State {
                files: sum.files + get(&shard.files),
                // They all ask the same file system, one after the other.
                space_free: get(&shard.space_free),
                space_total: get(&shard.space_total),
                ring_used: sum.ring_used + ring_used,
                ring_max: sum.ring_max + ring_max,
                refusing: sum.refusing + u64::from(!shard.accepting.load(Ordering::Acquire)),
                failed: sum.failed + u64::from(shard.has_failed()),
                failed_files: sum.failed_files + get(&shard.failed_files),
                failed_preparations: sum.failed_preparations + get(&shard.failed_preparations),
            }
        })
    }

    /// How long the syncs of each shard took.
    pub fn syncs(&self) -> impl Iterator<Item = &Spans> {
        self.shards.iter().map(|shard| &*shard.syncs)
    }
}

impl core::fmt::Debug for Watch {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.state().fmt(out)
    }
}
