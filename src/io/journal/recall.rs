//! The thread that reads messages back for the shards. Owns: a place in each shard's journal. Takes: what the shards ask for.
//! Gives: each to its shard, which is woken. Never: writes; makes a shard wait.

use super::ring::{Asked, Shared};
use super::store::ReadOnly;
use crate::journal::{Recall, Recalled, Recaller};
use crate::limits::JOURNAL_RECALLS_MAX;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// A shard that asks.
pub(super) struct Asker {
    recaller: Recaller<File>,
    shared: Arc<Shared>,
    give: Sender<Recalled>,
    asked: Vec<Recall>,
}

impl Asker {
    pub(super) fn new(shard: u32, shared: Arc<Shared>, give: Sender<Recalled>) -> Self {
        Self { recaller: Recaller::new(shard), shared, give, asked: Vec::new() }
    }

    fn read(&mut self, disk: &mut ReadOnly) {
        let messages = self.asked.len() as u64;
        if messages == 0 {
            return;
        }
        let give = &self.give;
        // A shard that has ended wants none of them.
        self.recaller.read(disk, &mut self.asked, &mut |recalled| drop(give.send(recalled)));
        self.asked.clear();
        self.shared.has_recalled(messages);
    }
}

/// Reads until it is told to end, or nobody can ask any more. What was asked for together is read together.
pub(super) fn run(mut askers: Vec<Asker>, mut disk: ReadOnly, asked: &Receiver<Asked>) {
    while let Ok(first) = asked.recv() {
        let more = asked.try_iter().take(JOURNAL_RECALLS_MAX as usize);
        for asked in core::iter::once(first).chain(more) {
            match asked {
                Asked::For(shard, recall) => {
                    if let Some(asker) = askers.get_mut(shard) {
                        asker.asked.push(recall);
                    }
                }
                Asked::End => return,
            }
        }
        askers.iter_mut().for_each(|asker| asker.read(&mut disk));
    }
}
