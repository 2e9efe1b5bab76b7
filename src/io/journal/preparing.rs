//! The thread that prepares the files of all shards' journals, and ends the journals of shards that are no more. Owns: a
//! preparer for each. Takes: what their committers changed. Gives: spares, and how much is used. Never: makes one of them
//! wait for another longer than a small piece of work takes.

use super::Settings;
use super::ring::Shared;
use super::said::Said;
use super::store::Directory;
use crate::io::Clock;
use crate::journal::commit::{Change, Spare};
use crate::journal::prepare::{Done, Preparer};
use crate::journal::{Cursors, DiskError, Lsn};
use crate::limits::JOURNAL_SEGMENTS_LEAST;
use crate::shard::Surplus;
use crate::time::{Duration, Now};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

/// A preparer that has nothing to do looks so often whether it is to end, and what sinks have read.
const IDLE: Duration = Duration::from_millis(500);
/// While there is no room for another file, room is looked for this often.
const STARVED: Duration = Duration::from_millis(100);

/// What the thread is told.
pub(super) enum News {
    /// The journal of a shard that is no more is written again; its files had so many octets.
    Reopened(Box<Prepared>, u64),
    /// What is not over in it is elsewhere now.
    Surplus(Box<Surplus>, Option<Arc<Cursors>>),
}

/// What the preparer does for one shard.
pub(super) struct Prepared {
    preparer: Preparer<File>,
    shared: Arc<Shared>,
    changes: Receiver<Change>,
    spares: SyncSender<Spare<File>>,
    former: Option<Ending>,
    said: Said,
    /// The committer has ended.
    ended: bool,
    /// There was nothing to do.
    idle: bool,
}

/// How far the journal of a shard that is no more is.
struct Ending {
    shard: u32,
    surplus: Option<(Box<Surplus>, Option<Arc<Cursors>>)>,
    /// Nothing is left to be done, but to remove what holds nothing.
    over: bool,
}

/// The thread.
pub(super) struct Preparing {
    pub(super) shards: Vec<Prepared>,
    pub(super) news: Receiver<News>,
    pub(super) disk: Directory,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    /// Octets of the files of shards that are no more, and whose journals are not written.
    pub(super) resting: u64,
    /// Those and what the others of them have.
    pub(super) others: Arc<AtomicU64>,
}

/// What a shard's files may have of `size_max`, when those of shards that are no more have so much of it.
pub(super) fn share(settings: &Settings, others: u64) -> u64 {
    let shards = u64::from(settings.shards.max(1));
    let least = (settings.size_max / shards).min(JOURNAL_SEGMENTS_LEAST as u64 * settings.segment);
    (settings.size_max.saturating_sub(others) / shards).max(least)
}

impl Preparing {
    /// Small pieces of work for each shard in turn, until all committers have ended.
    pub(super) fn run(mut self) {
        loop {
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
            let (mut pause, mut starved) = (None::<Duration>, false);
            for shard in &mut self.shards {
                if shard.work(&mut self.disk, self.clock.now()) {
                    let own = shard.preparer.pause();
                    pause = Some(pause.map_or(own, |pause| pause.min(own)));
                }
                starved |= shard.preparer.starved().is_some();
            }
            self.end_formers();
            if self.shards.iter().all(|shard| shard.ended) {
                return;
            }
            match pause {
                None => std::thread::park_timeout(if starved { STARVED } else { IDLE }),
                Some(Duration::ZERO) => {}
                Some(pause) => std::thread::park_timeout(pause),
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Reopened(prepared, octets) => {
                self.resting = self.resting.saturating_sub(octets);
                self.shards.push(*prepared);
            }
            News::Surplus(surplus, cursors) => {
                let of = |ending: &&mut Ending| ending.shard as usize == surplus.shard();
                let ending = self.shards.iter_mut().filter_map(|shard| shard.former.as_mut()).find(of);
                if let Some(ending) = ending {
                    ending.surplus = Some((surplus, cursors));
                }
            }
        }
    }

    /// Former journals that are over hold one segment at most and no thread; the others share what they leave of the room.
    fn end_formers(&mut self) {
        let Self { shards, disk, resting, others, settings, .. } = self;
        shards.retain_mut(|shard| {
            let is_over = shard.former.as_ref().is_some_and(|ending| ending.over);
            let gone = is_over && shard.ended && shard.idle && shard.preparer.clear(disk).is_ok();
            *resting += if gone { shard.preparer.octets() } else { 0 };
            !gone
        });
        let written = shards.iter().filter(|shard| shard.former.is_some());
        let octets = *resting + written.map(|shard| shard.preparer.octets()).sum::<u64>();
        if others.swap(octets, Ordering::Relaxed) != octets || octets > 0 {
            let share = share(settings, octets);
            let own = shards.iter_mut().filter(|shard| shard.former.is_none());
            own.for_each(|shard| shard.preparer.limit(share));
        }
    }
}

impl Prepared {
    /// `former`: the shard that is no more whose journal it is.
    pub(super) fn new(
        preparer: Preparer<File>,
        shared: Arc<Shared>,
        changes: Receiver<Change>,
        spares: SyncSender<Spare<File>>,
        (former, said): (Option<u32>, Said),
    ) -> Self {
        let former = former.map(|shard| Ending { shard, surplus: None, over: false });
        Self { preparer, shared, changes, spares, former, said, ended: false, idle: false }
    }

    /// One piece of work; false: there was none.
    fn work(&mut self, disk: &mut Directory, now: Now) -> bool {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.preparer.changed(change),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => break self.ended = true,
            }
        }
        let front = Lsn(self.shared.given_back.load(Ordering::Acquire));
        let done = self.preparer.step(now.mono, front, disk);
        self.idle = matches!(done, Ok(Done::Nothing));
        let worked = matches!(done, Ok(Done::Some | Done::Spare(_) | Done::Away(..)));
        match done {
            Ok(Done::Some) => {}
            Ok(Done::Away(name, why)) => self.said.away(now.mono, &name, why),
            Ok(Done::Spare(spare)) => {
                // There is room for all spares; a committer that has ended needs none.
                let _ = self.spares.try_send(spare);
                self.shared.wake_committer();
            }
            Ok(Done::Nothing) => self.end(front, now),
            // It is tried again after the wait.
            Err(_) => {
                self.shared.failed_preparations.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.publish();
        worked
    }

    fn publish(&self) {
        let (shared, preparer) = (&self.shared, &self.preparer);
        shared.accepting.store(preparer.accepting(), Ordering::Release);
        let starved = preparer.starved().map_or(0, DiskError::number);
        shared.starved.store(starved, Ordering::Release);
        shared.used_percent.store(preparer.used_percent(), Ordering::Relaxed);
        shared.files.store(preparer.octets(), Ordering::Relaxed);
        let space = preparer.space();
        shared.space_free.store(space.free, Ordering::Relaxed);
        shared.space_total.store(space.total, Ordering::Relaxed);
    }

    /// Brings the journal of a shard that is no more nearer to its end. `front`: the oldest record needed, as the disk knows.
    fn end(&mut self, front: Lsn, now: Now) {
        let Some(ending) = self.former.as_mut().filter(|ending| !ending.over) else { return };
        let Some((surplus, cursors)) = &mut ending.surplus else { return };
        let cursors = cursors.as_deref();
        let needed = surplus.look(now, cursors);
        if !surplus.is_all_safe() {
            return;
        }
        let is_read = surplus.is_read(cursors);
        // The last segment stays, and is to say nothing: the next record begins one that does not.
        let says = is_read && self.preparer.newest().is_some_and(|base| surplus.says(base));
        if self.preparer.gives_back(needed) && !self.preparer.gives_back(front)
            || is_read && !surplus.is_closed()
            || says
        {
            return surplus.close(now);
        }
        if is_read && !surplus.keeps() && !self.preparer.gives_back(front) {
            (ending.over, ending.surplus) = (true, None);
            self.preparer.ends();
            self.shared.ends();
        }
    }
}
