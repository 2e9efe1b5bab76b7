//! The lives of a node: how its shards begin, on which journals, how a life ends, and what its journals say in the end.

use crate::faults::Kind;
use crate::net::Node;
use crate::paper::{Crash, Paper, Trouble};
use crate::planted::Planted;
use crate::world::{Turn, World};
use bindery::config::{Config, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::ShardId;
use bindery::journal::Record;
use bindery::ledger::restored::Kept;
use bindery::prng::Prng;
use bindery::shard::{Left, Moved, Patience, Position, Shard, Surplus};
use bindery::time::{Duration, Now};
use std::sync::Arc;

/// The counters of a node that has not begun.
pub(crate) fn counters(config: &Config, shards: usize) -> Vec<Arc<ShardCounters>> {
    let first = ShardCounters::new(config.esmes.len(), config.carriers.len());
    let others: Vec<_> = (1..shards).map(|_| Arc::new(first.beside())).collect();
    core::iter::once(Arc::new(first)).chain(others).collect()
}

/// Shards that have heard nothing yet.
pub(crate) fn shards(
    believed: &Arc<Config>,
    setup: &crate::setup::Shards,
    counters: &[Arc<ShardCounters>],
    prng: &mut Prng,
) -> Vec<Shard> {
    let homes = Arc::new(setup.homes.clone());
    let hints = Arc::new(Hints::new(believed.carriers.len()));
    let shards = counters.iter().enumerate().map(|(shard, counters)| {
        let position = Position {
            shard: ShardId::new(shard),
            homes: Arc::clone(&homes),
            hints: Arc::clone(&hints),
            credits: setup.credits,
        };
        Shard::placed(Arc::clone(believed), Arc::clone(counters), position, prng.bits())
    });
    shards.collect()
}

/// Journals whose shards are no more, and by journal, those of the shards first, the keys that they are to let go of.
type Leaving = (Vec<Surplus>, Vec<Vec<u64>>);

/// The shards take what their journals have, as a node does before they run, and what those of shards that are no more
/// have. What belongs to another shard now is written there first. `None`: a journal has no room for it.
fn attach(shards: &mut [Shard], papers: &[Paper], beside: (&Config, &Homes), now: Now) -> Option<Leaving> {
    let mut arriving: Vec<Vec<(u64, Kept)>> = shards.iter().map(|_| Vec::new()).collect();
    let (mut surplus, mut moved): (Vec<Surplus>, Vec<Vec<Moved>>) = (Vec::new(), Vec::new());
    for (index, paper) in papers.iter().enumerate() {
        if let Some(shard) = shards.get_mut(index) {
            moved.push(shard.attach(paper.pen(), paper.restored()).moved);
            continue;
        }
        let mut left = Left::of(paper.restored(), beside.0, beside.1);
        moved.push(core::mem::take(&mut left.moved));
        surplus.push(left.kept_by(index, paper.pen()));
    }
    let keys = moved.iter().map(|moved| moved.iter().map(|(_, key, _)| *key).collect()).collect();
    for (home, key, kept) in moved.into_iter().flatten() {
        arriving[home.index()].push((key, kept));
    }
    let mut both = shards.iter_mut().zip(arriving);
    both.all(|(shard, arriving)| shard.adopt(now, arriving).is_empty()).then_some((surplus, keys))
}

/// The former homes let go; false: a journal has no room for that.
fn let_go(shards: &mut [Shard], (surplus, keys): &mut Leaving, now: Now) -> bool {
    let mut keys = keys.iter();
    shards.iter_mut().zip(&mut keys).all(|(shard, keys)| shard.disown(now, keys) == keys.len())
        && surplus.iter_mut().zip(&mut keys).all(|(surplus, keys)| surplus.disown(now, keys) == keys.len())
}

impl World {
    /// The node begins on its journals.
    pub(crate) fn boot(&mut self) {
        let count = self.setup.shards.count;
        self.counters = counters(&self.setup.config, count);
        let (now, papers) = (self.net.now, &self.net.papers);
        let mut shards = loop {
            let mut shards = shards(&self.believed, &self.setup.shards, &self.counters, &mut self.prng);
            let beside = (&*self.believed, &self.setup.shards.homes);
            let Some(mut leaving) = attach(&mut shards, papers, beside, now) else {
                return self.starts_later();
            };
            if leaving.1.iter().all(Vec::is_empty) {
                break shards;
            }
            if self.prng.chance(1, 4) {
                // It crashes once more, before the former homes have let go.
                for paper in papers {
                    paper.crash(Crash::Kill, &mut self.prng);
                }
                continue;
            }
            papers.iter().for_each(Paper::sync);
            if let_go(&mut shards, &mut leaving, now) {
                if self.prng.chance(1, 4) {
                    // Or while they do.
                    for paper in papers {
                        paper.crash(Crash::Kill, &mut self.prng);
                    }
                    continue;
                }
                papers.iter().for_each(Paper::sync);
                break shards;
            }
            return self.starts_later();
        };
        for shard in &mut shards {
            if let Some(after) = self.setup.sleeps_after {
                shard.sleeps_after(after);
            }
            shard.take_up(now);
            if self.setup.away {
                shard.keep_here(0, 0);
            }
            if self.setup.patient {
                let after_late = (Duration::from_millis(100), Duration::from_secs(1));
                shard.waits_for_accounts(Patience { soon: Duration::from_millis(500), after_late });
            }
        }
        self.net.start(shards.into_iter().map(Node::new).collect());
    }

    /// A journal has no room for what comes home: the node ends.
    fn starts_later(&mut self) {
        for paper in &self.net.papers {
            paper.crash(Crash::Kill, &mut self.prng);
        }
        let wait = self.net.millis(1, 3000);
        self.net.later(wait, Turn::Restart);
    }

    /// The node ends without a word, and begins again soon.
    pub(crate) fn crash(&mut self, kind: Kind) -> bool {
        if self.draining || self.net.is_down() || !self.prng.chance(1, 3) {
            return false;
        }
        let crash = if kind == Kind::Kill { Crash::Kill } else { Crash::Power };
        let lost_from = self.net.crash(crash);
        let now = self.net.now.mono;
        let slow = self.net.faults.has(Kind::SlowLane);
        self.net.oracle.crashed(now, lost_from, slow, crash);
        self.submits += self.counters[0].carriers.iter().map(|carrier| carrier.submits.get()).sum::<u64>();
        if self.net.faults.strike(Kind::Moved) {
            self.setup.shards.move_home(&mut self.prng);
            let broken = Planted::broken(self.net.planted.bug);
            self.net.reshape(&self.setup.shards, broken);
        }
        let wait = self.net.millis(1, 3000);
        self.net.later(wait, Turn::Restart);
        true
    }

    /// Something is wrong with a journal for a while.
    pub(crate) fn disk_trouble(&mut self, kind: Kind) -> bool {
        let trouble = match kind {
            Kind::JournalFull => Trouble::Full,
            Kind::JournalRefuses => Trouble::Refusing,
            _ => Trouble::Failed,
        };
        let at = self.prng.below(self.net.papers.len() as u64) as usize;
        self.net.papers[at].trouble(trouble, true);
        self.net.oracle.troubled(self.net.now.mono, true);
        let wait = self.net.millis(20, 2000);
        self.net.later(wait, Turn::DiskWell(at, trouble));
        true
    }

    /// It is over.
    pub(crate) fn disk_well(&mut self, at: usize, trouble: Trouble) {
        self.net.papers[at].trouble(trouble, false);
        self.net.oracle.troubled(self.net.now.mono, false);
        self.net.disk_is_well(at);
    }

    /// What the journals say when all is over and safe.
    pub(crate) fn check_journals(&mut self) {
        let (mut finished, mut open) = (Vec::new(), Vec::new());
        for paper in &self.net.papers {
            if paper.lags_behind(self.net.now.mono) {
                self.net.oracle.fail("stuck", "a journal is not in step".into());
            }
            paper.read(&mut |frame, _| {
                if let Some(Record::Finish { facts, .. }) = frame.record() {
                    let text = |octets: &[u8]| octets.to_vec();
                    finished.push((
                        text(facts.esme),
                        text(facts.id),
                        text(facts.message_id),
                        text(facts.destination),
                    ));
                }
            });
            open.extend(paper.restored().finish().1);
        }
        self.net.oracle.check_finished(&finished);
        self.net.oracle.check_open(&open);
    }
}
