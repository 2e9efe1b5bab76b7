//! Messages read back from a shard's journal. Owns: the place where it reads. Takes: which ACCEPTs and SENTs are wanted, all
//! of them durable. Gives: what each says, or that it is not there as it was written. Never: a message with another key;
//! writes.
//!
//! What is asked for together is read in the order of the disk: messages that wait in a queue lie near each other.

use super::Lsn;
use super::disk::Disk;
use super::follow::Follower;
use super::frame::Frame;
use super::record::Record;

/// Records that are read over to get from one to the next; for what is farther away its segment is looked for.
const NEAR: u64 = 4096;

/// What is wanted of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The PDU in its ACCEPT.
    Pdu,
    /// The payload of its SENT.
    Sent,
}

/// A message that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recall {
    /// What of it.
    pub wanted: Wanted,
    /// Its record, or the copy of that which is needed now.
    pub lsn: Lsn,
    /// Its key.
    pub key: u64,
    /// What the asker knows it by.
    pub tag: u64,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// What was asked.
    pub recall: Recall,
    /// The record that it is a copy of, or itself.
    pub origin: Lsn,
    /// What was wanted; `None`: it is not there, or damaged.
    pub content: Option<Vec<u8>>,
}

impl Recall {
    /// What has come of it: in this record, if it is the one that is wanted.
    #[must_use]
    pub fn found(self, frame: Option<&Frame<'_>>) -> Recalled {
        let frame = frame.filter(|frame| frame.lsn == self.lsn && frame.key == self.key);
        let origin = match frame.and_then(Frame::record) {
            Some(Record::Move { origin, .. }) => origin,
            _ => self.lsn,
        };
        let content = match (self.wanted, frame.and_then(Frame::original)) {
            (Wanted::Pdu, Some(Record::Accept { pdu, .. })) => Some(pdu.to_vec()),
            (Wanted::Sent, Some(record @ Record::Sent { .. })) => {
                let mut payload = Vec::with_capacity(record.len());
                record.payload(&mut payload);
                Some(payload)
            }
            _ => None,
        };
        Recalled { recall: self, origin, content }
    }
}

/// See the room's header.
#[derive(Debug)]
pub struct Recaller<F> {
    follower: Follower<F>,
}

impl<F> Recaller<F> {
    /// Of this shard.
    #[must_use]
    pub const fn new(shard: u32) -> Self {
        Self { follower: Follower::new(shard) }
    }

    /// Reads what is asked for; `found` is called once for each.
    pub fn read<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        asked: &mut [Recall],
        found: &mut dyn FnMut(Recalled),
    ) {
        asked.sort_unstable_by_key(|recall| recall.lsn);
        let near = |former: &Recall, next: &Recall| next.lsn.0 - former.lsn.0 <= NEAR;
        for group in asked.chunk_by(near) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let next = self.follower.next();
            if first.lsn < next || first.lsn.0 - next.0 > NEAR {
                self.follower.seek(first.lsn);
            }
            let mut wanted = group.iter().copied().peekable();
            // An error is none of the message's: what was not read is not there for now.
            let _ = self.follower.read(disk, last.lsn, usize::MAX, &mut |frame, _| {
                while let Some(recall) = wanted.next_if(|recall| recall.lsn <= frame.lsn) {
                    found(recall.found(Some(frame)));
                }
            });
            wanted.for_each(|recall| found(recall.found(None)));
        }
    }
}
