//! The core's root: one shard, which is one core's thread and everything it owns.
//!
//! Owns: links' sessions, accounts, carriers, messages in flight, deliveries, the ledger. Takes: one input at a time
//! (`port::Input`). Gives: all its outputs (`port::Outbox`). Never: does I/O, reads a clock, shares state.
//!
//! `links` cuts streams into PDUs; `esmes` and `carriers` let sessions begin and end; `mt` takes a submit from an ESME
//! to a carrier (`queue` while it waits, `failover` when it is refused or lost) and `answers` its answer back; where the
//! two are at home on different shards `post` carries letters, `away` stands for the carrier and `guests` for the ESME.
//! `throttle` asks an account's policy first. `multi` does the same for many destinations, `operations` for query, cancel
//! and replace; `mo` takes receipts and MO from a carrier to an ESME and the answer back. `bad` keeps the last bad things
//! that peers did, `status` tells how all of it is, `tally` counts it by status and state. `plan` is what all shards of a
//! node read; `table` is where messages and deliveries stay while they are in flight.

mod ahead;
mod answers;
mod asleep;
mod at_once;
mod attempts;
mod away;
pub mod bad;
mod carriers;
mod esmes;
mod failover;
mod guests;
mod kept;
mod links;
mod log;
pub mod mail;
mod message;
mod mo;
mod moves;
mod mt;
mod multi;
mod offer;
mod operations;
mod plan;
pub mod port;
mod post;
mod queue;
pub mod queues;
mod recalls;
mod receipts;
mod records;
pub mod resend;
mod restore;
pub mod status;
mod store;
mod surplus;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod throttle;
mod timers;

use crate::carrier::Carrier;
use crate::config::{Config, Homes};
use crate::counters::{Hints, Ignored, Reason, ShardCounters};
use crate::esme::Account;
use crate::esme::admission::{Admission, Source};
use crate::ids::{CarrierId, EsmeId, LinkId, ListenerId, PoolId, ShardId};
use crate::ledger::own_id::{self, OwnIds};
use crate::ledger::{FormLearner, IdRoom, IdText, Ledger, Over, Parked};
use crate::limits::TIMERS_PER_TURN;
use crate::policy::Allowance;
use crate::prng::Prng;
use crate::route::lanes::{Classes, Turns};
use crate::route::table::carriers_of;
use crate::route::{Affinity, Balance, RouteTable};
use crate::session::WindowPool;
use crate::time::{Instant, Now};
pub use at_once::Patience;
use bad::Bads;
use links::{Line, LinkSlot, Side, live, live_mut};
use log::LogLimit;
use mail::{Indexed, Mail};
use message::{Deliveries, DeliveryKey, Late, MessageKey, Messages, Multis, Retained};
use mt::Quanta;
pub use plan::Plan;
use port::{Action, Core, Input, Outbox};
use post::Post;
use records::Records;
use restore::TakingUp;
pub use restore::{Moved, Strays};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
pub use surplus::{Left, Surplus};
use throttle::allowances;
use timers::{Timer, TimerQueue};

/// Which of a node's shards this is, and what it shares with the others.
#[derive(Debug, Clone)]
pub struct Position {
    /// This one.
    pub shard: ShardId,
    /// Who is at home where.
    pub homes: Arc<Homes>,
    /// What homes say of their carriers.
    pub hints: Arc<Hints>,
    /// Requests that may be under way to each other shard.
    pub credits: u32,
}

/// One shard.
pub struct Shard {
    position: Position,
    config: Arc<Config>,
    counters: Arc<ShardCounters>,
    links: Vec<Option<LinkSlot>>,
    links_open: usize,
    /// Links per listener and peer address.
    per_address: HashMap<(ListenerId, Source), u32>,
    per_listener: Vec<u32>,
    admission: Admission,
    /// By listener: links that have not bound.
    unbound: Vec<Line>,
    /// Links with a wrong bind that is not answered yet, and some that have gone.
    refusals_held: VecDeque<LinkId>,
    accounts: Vec<Account<DeliveryKey>>,
    system_ids: Arc<HashMap<Vec<u8>, EsmeId>>,
    quanta: Vec<Quanta>,
    /// By `EsmeId`; `None` without a policy, or at home elsewhere.
    allowances: Vec<Option<Allowance>>,
    carriers: Vec<Carrier<MessageKey>>,
    /// Per carrier: no message of its queue is overdue before this.
    expiry: Vec<Instant>,
    forms: Vec<FormLearner>,
    routes: Arc<RouteTable>,
    balance: Balance,
    affinity: Affinity,
    classes: Classes,
    /// By carrier: whose turn it is in its queue.
    turns: Vec<Turns>,
    late: Late,
    serial: u64,
    messages: Messages,
    multis: Multis,
    deliveries: Deliveries,
    ledger: Ledger,
    parked: Parked,
    retained: Retained,
    windows: WindowPool,
    tails: Vec<Vec<u8>>,
    timers: TimerQueue,
    own_ids: OwnIds,
    /// Where the last of them was written.
    id_room: IdRoom,
    prng: Prng,
    log_limit: LogLimit,
    /// Paused links whose reason may have gone.
    wake: Vec<LinkId>,
    /// Links whose bind has shown that they are at home elsewhere.
    leaving: Vec<(LinkId, ShardId)>,
    post: Post,
    /// By pool: the carriers of other shards that it can lead to.
    reached: Vec<SmallVec<[CarrierId; 8]>>,
    bads: Bads,
    /// `None`: there is no journal.
    records: Option<Box<Records>>,
    /// What the homes of carriers are still to be told of the last run.
    indexing: Vec<(ShardId, Indexed, Over)>,
    /// The same of those that stay on the disk.
    indexing_sleepers: Vec<(CarrierId, IdText, u64)>,
    /// Keys that the journal of this shard has of the last run, and how many records of each; empty once the shard runs.
    restored: HashMap<u64, usize>,
    /// What is to go on as soon as all of it is there, with its keys.
    taking_up: TakingUp,
    draining: bool,
}

impl Shard {
    /// A shard that owns every account and carrier of `config`. `seed` decides jitter; `counters` must have been made
    /// for the same configuration.
    #[must_use]
    pub fn new(config: Arc<Config>, counters: Arc<ShardCounters>, seed: u64) -> Self {
        let position = Position {
            shard: ShardId(0),
            homes: Arc::new(Homes::one(&config)),
            hints: Arc::new(Hints::new(config.carriers.len())),
            credits: 0,
        };
        Self::placed(config, counters, position, seed)
    }

    /// One shard of several, with a plan of its own. Its counters must be beside those of the others.
    #[must_use]
    pub fn placed(config: Arc<Config>, counters: Arc<ShardCounters>, position: Position, seed: u64) -> Self {
        Self::planned(&Plan::new(config), counters, position, seed)
    }

    /// One shard of several that share a plan.
    #[must_use]
    pub fn planned(plan: &Plan, counters: Arc<ShardCounters>, position: Position, seed: u64) -> Self {
        let config = Arc::clone(&plan.config);
        let only = plan.only_carriers.iter();
        let accounts = config.esmes.iter().zip(only).map(|(esme, only)| Account::new(esme.clone(), *only));
        let mut timers = TimerQueue::default();
        let here = |carrier: CarrierId| position.homes.of_carrier(carrier) == position.shard;
        for id in (0..config.carriers.len()).map(CarrierId::new).filter(|id| here(*id)) {
            timers.push_once(Instant::ZERO, Timer::Carrier(id));
        }
        let carriers = carriers(&config, here);
        let post = Post::new(&config, &position);
        let reached = (0..config.pools.len()).map(|pool| {
            let reached = carriers_of(&config.pools, PoolId::new(pool)).into_iter();
            reached.filter(|carrier| !here(*carrier)).collect()
        });
        let reached = reached.collect();
        Self {
            accounts: accounts.collect(),
            system_ids: Arc::clone(&plan.system_ids),
            quanta: vec![Quanta::default(); config.esmes.len()],
            allowances: allowances(&config, &position),
            carriers,
            expiry: vec![Instant::from_nanos(u64::MAX); config.carriers.len()],
            forms: config.carriers.iter().map(|carrier| FormLearner::new(carrier.message_id_form)).collect(),
            routes: Arc::clone(&plan.routes),
            balance: Balance::new(&config.pools),
            affinity: Affinity::new(seed),
            classes: Classes::new(&config.classes),
            turns: vec![Turns::default(); config.carriers.len()],
            late: Late::default(),
            serial: 0,
            per_listener: vec![0; config.listeners.len()],
            admission: Admission::default(),
            unbound: vec![Line::default(); config.listeners.len()],
            refusals_held: VecDeque::new(),
            config,
            counters,
            links: Vec::new(),
            links_open: 0,
            per_address: HashMap::new(),
            messages: Messages::default(),
            multis: Multis::default(),
            deliveries: Deliveries::default(),
            ledger: Ledger::new(),
            parked: Parked::default(),
            retained: Retained::default(),
            windows: WindowPool::default(),
            tails: Vec::new(),
            timers,
            id_room: IdRoom::default(),
            own_ids: OwnIds::new(u64::from(position.shard.0), position.homes.shards() as u32),
            position,
            prng: Prng::new(seed),
            log_limit: LogLimit::default(),
            wake: Vec::new(),
            leaving: Vec::new(),
            post,
            reached,
            bads: Bads::default(),
            records: None,
            indexing: Vec::new(),
            indexing_sleepers: Vec::new(),
            restored: HashMap::new(),
            taking_up: TakingUp::default(),
            draining: false,
        }
    }

    fn link(&self, id: LinkId) -> Option<&LinkSlot> {
        live(&self.links, id)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut LinkSlot> {
        live_mut(&mut self.links, id)
    }

    fn ignored(&self, why: Ignored) {
        self.counters.ignored.at(why as usize).bump();
    }

    fn count_refusal(&self, esme: EsmeId, reason: Reason) {
        if let Some(cells) = self.counters.esmes.get(esme.index()) {
            cells.refusals.at(reason as usize).bump();
        }
    }

    /// Asks for a tick when the link's session will want one, unless an earlier one is already asked for.
    fn arm(&mut self, id: LinkId) {
        let Some(slot) = self.link_mut(id) else { return };
        if let Some(deadline) = slot.deadline()
            && deadline < slot.armed
        {
            slot.armed = deadline;
            self.timers.push(deadline, Timer::Link(id));
        }
    }

    fn on_time(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..TIMERS_PER_TURN {
            // What else is due leaves the deadline in the past: the driver comes back.
            let Some(timer) = self.timers.pop_due(now.mono) else { return };
            match timer {
                Timer::Link(link) => self.tick_link(now, link, out),
                Timer::Carrier(carrier) => self.tick_carrier(now, carrier, out),
                Timer::Queue(carrier) => self.expire_queue(now, carrier, out),
                Timer::RefuseBind(link) => self.refuse_bind_now(now, link, out),
                Timer::Parked => self.expire_parked(now, out),
                Timer::Waiting(esme) => self.tick_waiting(now, esme, out),
                Timer::Bans => self.count_bans(now),
                Timer::AtOnce => self.tick_at_once(now, out),
                Timer::Restored => self.tell_restored(now, out),
                Timer::Stored => self.tick_stored(now, out),
                Timer::Asleep => self.tick_asleep(now, out),
                // The end of the turn does it.
                Timer::Erase => {}
                Timer::Drained => out.act(Action::Exit),
            }
        }
    }

    fn on_drain(&mut self, now: Now, out: &mut Outbox) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.counters.draining.set(1);
        self.timers.push_once(now.mono.after(self.config.node.drain_deadline), Timer::Drained);
        for carrier in &mut self.carriers {
            carrier.retire();
        }
        (0..self.carriers.len()).for_each(|index| self.count_slots(CarrierId::new(index)));
        let ids: Vec<LinkId> = self.links.iter().flatten().map(|slot| slot.id).collect();
        for id in ids {
            let Some(slot) = self.link_mut(id) else { continue };
            match slot.side {
                Side::Esme(_) => {
                    slot.session.drain(now.mono);
                    self.progress(now, id, out);
                    self.arm(id);
                }
                Side::Unbound(_) => out.close(id, port::CloseHow::AfterFlush),
                Side::Carrier(..) => {}
            }
        }
        self.drain_carriers(now, out);
    }

    /// While draining: when no ESME is left on any shard, the carriers are unbound; when no link is left on any, the
    /// driver stops.
    fn drain_carriers(&mut self, now: Now, out: &mut Outbox) {
        if !self.draining {
            return;
        }
        let own = 1 << self.position.shard.0;
        let all = u64::MAX >> (64 - self.shards());
        let esmes = self.links.iter().flatten().any(|slot| !matches!(slot.side, Side::Carrier(..)));
        if !esmes && self.post.esmes_gone & own == 0 {
            self.post.esmes_gone |= own;
            self.others().for_each(|other| out.mail(other, Mail::EsmesGone));
        }
        if self.links_open == 0 && self.post.links_gone & own == 0 {
            self.post.links_gone |= own;
            self.others().for_each(|other| out.mail(other, Mail::LinksGone));
        }
        if self.post.links_gone == all && self.links_open == 0 {
            return out.act(Action::Exit);
        }
        // Carriers answer for the ESMEs of every shard.
        if esmes || self.post.esmes_gone != all {
            return;
        }
        let ids: Vec<LinkId> = self.links.iter().flatten().map(|slot| slot.id).collect();
        for id in ids {
            if let Some(slot) = self.link_mut(id)
                && !slot.session.is_ending()
            {
                slot.session.drain(now.mono);
                self.progress(now, id, out);
                self.arm(id);
            }
        }
    }

    fn update_gauges(&self) {
        self.counters.links.set(self.links_open as u64);
        self.counters.indexed.set(self.ledger.len() as u64);
        self.counters.evicted.set(self.ledger.evicted());
        self.counters.retained.set(self.retained.bytes() as u64);
        self.counters.affinity.set(self.affinity.len() as u64);
    }
}

/// All carriers; those at home elsewhere never dial.
fn carriers(config: &Config, here: impl Fn(CarrierId) -> bool) -> Vec<Carrier<MessageKey>> {
    let each = config.carriers.iter().enumerate().map(|(index, settings)| {
        let mut carrier = Carrier::new(settings.clone(), Instant::ZERO);
        if !here(CarrierId::new(index)) {
            carrier.retire();
        }
        carrier
    });
    each.collect()
}

impl Core for Shard {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, out),
            Input::Accepted { link, listener, peer } => self.on_accepted(now, link, listener, peer, out),
            Input::Connected { link, ticket } => self.on_connected(now, link, ticket, out),
            Input::ConnectFailed { ticket, reason } => self.on_connect_failed(now, ticket, reason, out),
            Input::Room { link } => self.on_room(now, link, out),
            Input::Closed { link, reason } => self.on_closed(now, link, reason, out),
            Input::HandedOver { link, parcel } => self.on_handed_over(now, link, &parcel, out),
            Input::Mail { from, mail } => self.on_mail(now, from, mail, out),
            Input::Time => {
                self.settle_unknown(now, out);
                self.on_time(now, out);
            }
            Input::Drain => self.on_drain(now, out),
            Input::Ask { ticket, ask } => self.on_ask(now, ticket, ask, out),
        }
        while let Some(link) = self.wake.pop() {
            self.resume(now, link, out);
        }
        while let Some((link, to)) = self.leaving.pop() {
            self.leave(now, link, to, out);
        }
    }

    fn end_turn(&mut self, now: Now, out: &mut Outbox) {
        self.turn_records(now, out);
        self.publish(now.mono, out);
        self.update_gauges();
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    fn has_news(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.has_news())
    }

    fn sleeps(&self) -> bool {
        self.records.as_ref().is_none_or(|records| records.sleeps())
    }
}
