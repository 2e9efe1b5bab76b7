//! A shard's end of its journal, as the shard sees it: memory that somebody else brings to a disk.

use super::{DiskError, Lsn, Recall, Recalled, Record};
use crate::time::Now;

/// Why a record was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendRefused {
    /// The ring is full: the disk is slower than the traffic. Retry later.
    Full,
    /// No segment can hold it.
    TooLong,
}

/// Takes a shard's records and says how far they have come. It never makes the shard wait.
pub trait Recorder: Send {
    /// Appends a record. It is on its way to the disk with the next `kick`, at the latest.
    ///
    /// # Errors
    /// There is no room for it.
    fn append(&mut self, now: Now, key: u64, record: &Record<'_>) -> Result<Lsn, AppendRefused>;

    /// Once a turn, when something was appended: wakes who writes.
    fn kick(&self);

    /// The last record that survives kill -9.
    fn written(&self) -> Lsn;

    /// The last record that survives a power cut.
    fn durable(&self) -> Lsn;

    /// Why nothing can be promised for now: two files in a row have failed, or no other one can be made. `None`: it can.
    fn failed(&self) -> Option<DiskError>;

    /// New messages may be taken; else they hear ESME_RMSGQFUL.
    fn accepting(&self) -> bool;

    /// How full the ring is, percent.
    fn full_percent(&mut self) -> u64;

    /// How much of its room is used by what is needed or stands in front of it, percent.
    fn used_percent(&self) -> u64;

    /// Says which record is the oldest that is needed, now.
    fn needs_from(&self, front: Lsn);

    /// Asks for a message that the disk alone has; its record is durable. False: enough are under way, ask again later.
    fn recall(&mut self, recall: Recall) -> bool;

    /// What was asked for and has come, one after the other.
    fn recalled(&mut self) -> Option<Recalled>;

    /// True when `recalled` has one.
    fn has_recalled(&self) -> bool;

    /// The shard goes to sleep and wants to be woken by news; false when there is news behind what it has seen of
    /// `written` and `durable` already, or a message has come that it asked for.
    fn sleeps(&self, written: Lsn, durable: Lsn) -> bool;
}
