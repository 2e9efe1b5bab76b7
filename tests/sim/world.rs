//! The world: a node, ESMEs and carriers of one seed, from its first fault until all is quiet.

use crate::carriers::Smsc;
use crate::esmes::Esme;
use crate::faults::{Faults, Kind};
use crate::lives::{counters, shards};
use crate::net::{Net, Node, Told};
use crate::oracle::{Oracle, Violation};
use crate::paper::{Paper, Trouble};
use crate::planted::{Bug, Planted};
use crate::setup::{ACCOUNTS, CARRIERS, Setup};
use crate::wire::WireId;
use bindery::config::Config;
use bindery::counters::ShardCounters;
use bindery::prng::Prng;
use bindery::time::{Duration, Instant, Now, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A peer's turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// An account does something.
    Esme(usize),
    /// A fault that nobody's PDU brings about.
    Chaos,
    /// A peer sends octets.
    Send(WireId, Vec<u8>),
    /// A carrier sends a receipt.
    Receipt(crate::carriers::Dlr),
    /// A delivery should have been answered by now.
    Overdue(WireId, u32),
    /// A carrier sends an MO.
    Mo(usize),
    /// An account sends a message that must get through.
    Probe(usize),
    /// The run enters its next phase.
    Phase,
    /// The node begins again.
    Restart,
    /// The trouble of a journal is over.
    DiskWell(usize, Trouble),
}

/// Who speaks on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// An account.
    Esme(usize),
    /// A carrier.
    Carrier(usize),
    /// Nobody in particular.
    Stranger,
}

/// What a run is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// It decides everything.
    pub(crate) seed: u64,
    /// Kinds of faults that are off, by bit.
    pub(crate) off: u64,
    /// How long there are faults, milliseconds.
    pub(crate) trouble_ms: u64,
    /// What is broken.
    pub(crate) bug: Option<Bug>,
}

impl Plan {
    /// The usual run of a seed.
    pub(crate) const fn of(seed: u64) -> Self {
        Self { seed, off: 0, trouble_ms: 60_000, bug: None }
    }
}

/// What a run was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    pub(crate) accepted: u64,
    pub(crate) second_attempts: u64,
    pub(crate) delivered: u64,
    pub(crate) shards: usize,
    pub(crate) letters: u64,
    pub(crate) moved: u64,
    pub(crate) crashes: u64,
    pub(crate) read_back: u64,
    pub(crate) faults: Vec<u64>,
    pub(crate) time: Duration,
    pub(crate) trace: u64,
    pub(crate) violation: Option<Violation>,
}

/// See the file's header.
pub(crate) struct World {
    pub(crate) net: Net<Turn>,
    pub(crate) prng: Prng,
    pub(crate) sides: BTreeMap<WireId, Side>,
    pub(crate) esmes: Vec<Esme>,
    pub(crate) carriers: Vec<Smsc>,
    pub(crate) setup: Setup,
    pub(crate) counters: Vec<Arc<ShardCounters>>,
    /// The configuration as the node reads it.
    pub(crate) believed: Arc<Config>,
    /// Submits that its former lives have counted.
    pub(crate) submits: u64,
    /// Numbers that are used once: texts, sequence numbers.
    number: u32,
    /// No new messages.
    pub(crate) quiet: bool,
    /// No receipts either.
    pub(crate) hushed: bool,
    /// The node drains: it does not begin again.
    pub(crate) draining: bool,
    start: Instant,
    steps: u64,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let setup = Setup::of(plan.seed);
        let believed = Arc::new(Planted::misread(plan.bug, &setup.config));
        let mut prng = Prng::new(plan.seed);
        let start = Instant::from_nanos(1_000_000_000);
        let now = Now { mono: start, wall: Wall(1_790_000_000_000_000) };
        let counters = counters(&setup.config, setup.shards.count);
        let shards = shards(&believed, &setup.shards, &counters, &mut prng);
        let journal = setup.config.journal.is_some();
        // One with a journal begins on it.
        let nodes = if journal { Vec::new() } else { shards.into_iter().map(Node::new).collect() };
        let faults = Faults::swarm(plan.seed, plan.off, journal);
        let mut net = Net::new(nodes, now, Prng::new(prng.bits()), faults, Oracle::new(setup.clone()));
        net.planted.bug = plan.bug;
        if journal {
            let broken = Planted::broken(plan.bug);
            net.papers = (0..setup.shards.count).map(|_| Paper::of(broken)).collect();
        }
        Self {
            net,
            prng,
            sides: BTreeMap::new(),
            esmes: ACCOUNTS.iter().map(|_| Esme::default()).collect(),
            carriers: CARRIERS.iter().map(|_| Smsc::default()).collect(),
            setup,
            counters,
            believed,
            submits: 0,
            number: 1000,
            quiet: false,
            hushed: false,
            draining: false,
            start,
            steps: 0,
        }
    }

    /// A number that was not used before.
    pub(crate) fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// One of these, if there is one.
    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        among.get(self.prng.below(among.len() as u64) as usize).copied()
    }

    /// Lets things happen until the phase ends or a promise is broken.
    fn run_for(&mut self, span: Duration, step: &AtomicU64) {
        self.net.later(span, Turn::Phase);
        while self.net.oracle.violation.is_none() {
            self.steps += 1;
            step.store(self.steps, Ordering::Relaxed);
            match self.net.step() {
                Told::Connected(wire, carrier) => self.carrier_connected(wire, carrier),
                Told::Heard(wire, pdus) => self.heard(wire, &pdus),
                Told::Turn(Turn::Phase) => return,
                Told::Turn(turn) => self.turn(turn),
                Told::Nothing => {}
            }
        }
    }

    fn heard(&mut self, wire: WireId, pdus: &[Vec<u8>]) {
        let side = self.sides.get(&wire).copied();
        for pdu in pdus {
            match side {
                Some(Side::Esme(account)) => self.esme_hears(account, wire, pdu),
                Some(Side::Carrier(carrier)) => self.carrier_hears(carrier, wire, pdu),
                Some(Side::Stranger) | None => {}
            }
        }
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Esme(account) => self.esme_turn(account),
            Turn::Chaos => self.chaos(),
            Turn::Send(wire, octets) => self.net.send(wire, &octets),
            Turn::Receipt(dlr) => self.send_receipt(dlr),
            Turn::Overdue(wire, sequence) => self.delivery_overdue(wire, sequence),
            Turn::Mo(carrier) => self.send_mo(carrier),
            Turn::Probe(account) => self.probe(account),
            Turn::Restart => self.boot(),
            Turn::DiskWell(at, trouble) => self.disk_well(at, trouble),
            Turn::Phase => {}
        }
    }

    fn begin(&mut self) {
        if !self.net.papers.is_empty() {
            self.boot();
        }
        for account in 0..ACCOUNTS.len() {
            let wait = self.net.millis(10, 400);
            self.net.later(wait, Turn::Esme(account));
        }
        for carrier in 0..CARRIERS.len() {
            self.net.later(Duration::from_secs(1), Turn::Mo(carrier));
        }
        self.net.later(Duration::from_secs(1), Turn::Chaos);
    }

    /// Faults, then none, then a message of each account that must get through.
    fn run(&mut self, plan: &Plan, step: &AtomicU64) {
        self.begin();
        self.run_for(Duration::from_millis(plan.trouble_ms), step);
        if self.net.faults.has(Kind::Drain) && !self.net.is_down() {
            self.net.faults.count(Kind::Drain);
            return self.run_drain(step);
        }
        self.net.faults.stop();
        self.net.forget_turns(|turn| !matches!(turn, Turn::Chaos));
        self.quiet = true;
        let journal = !self.net.papers.is_empty();
        // What is kept is tried for so long.
        self.run_for(Duration::from_secs(if journal { 150 } else { 75 }), step);
        self.run_for(Duration::from_secs(15), step);
        self.hushed = true;
        let hushed_at = self.net.now.mono;
        self.run_for(Duration::from_secs(5), step);
        // One after the other and when nothing else is under way: no credit, window or queue is taken then.
        for account in 0..ACCOUNTS.len() {
            self.net.later(Duration::from_secs(2 * account as u64), Turn::Probe(account));
        }
        self.run_for(Duration::from_secs(15), step);
        if self.net.oracle.violation.is_none() {
            self.check_quiet(hushed_at);
        }
        if journal && self.net.oracle.violation.is_none() {
            self.net.oracle.check_kept();
            self.check_journals();
        }
    }

    fn run_drain(&mut self, step: &AtomicU64) {
        self.draining = true;
        self.net.drain();
        self.run_for(self.setup.config.node.drain_deadline + Duration::from_secs(5), step);
        if self.net.oracle.violation.is_none() && self.net.nodes.iter().any(|node| !node.exit) {
            self.net.oracle.fail("stuck", "a node that drains does not end".into());
        }
    }

    /// Nothing may be left to do, and the gauges must say so.
    fn check_quiet(&mut self, hushed_at: Instant) {
        self.net.oracle.settled(hushed_at);
        let paused = self.net.paused();
        let mut wrong = Vec::new();
        for (account, esme) in self.esmes.iter().enumerate() {
            if let Some(sequence) = esme.probe {
                let why = esme.probe_refused;
                wrong.push(format!("the probe {sequence} of account {account} did not get through: {why:?}"));
            }
        }
        if paused > 0 {
            wrong.push(format!("{paused} links are paused"));
        }
        let sum =
            |of: &dyn Fn(&ShardCounters) -> u64| -> u64 { self.counters.iter().map(|all| of(all)).sum() };
        // Those of accounts and carriers are the node's.
        let carriers = &self.counters[0].carriers;
        for (name, left) in [
            ("retained", sum(&|all| all.retained.get())),
            ("queued", carriers.iter().map(|carrier| carrier.queued.get()).sum()),
            ("parked", carriers.iter().map(|carrier| carrier.parked.get()).sum()),
        ] {
            if left > 0 {
                wrong.push(format!("{name} is {left}"));
            }
        }
        let links = sum(&|all| all.links.get());
        if links != self.net.open_wires().len() as u64 {
            wrong.push(format!("{links} links are counted, {} are open", self.net.open_wires().len()));
        }
        let submitted: u64 = carriers.iter().map(|carrier| carrier.submits.get()).sum();
        let submitted = submitted + self.submits;
        if submitted < self.net.oracle.submitted {
            wrong.push(format!("{submitted} submits are counted, {} were seen", self.net.oracle.submitted));
        }
        for (index, carrier) in self.setup.config.carriers.iter().enumerate() {
            let bound = carriers[index].sessions.get();
            if bound != u64::from(carrier.sessions) {
                wrong.push(format!("{bound} of {} sessions of {} are bound", carrier.sessions, carrier.name));
            }
        }
        for (index, esme) in self.counters[0].esmes.iter().enumerate() {
            if esme.window_used() > 0 {
                wrong.push(format!("{} requests of account {index} are in flight", esme.window_used()));
            }
        }
        for what in wrong {
            self.net.oracle.fail("stuck", what);
        }
    }
}

/// One run; `step` tells how far it has come even if the core panics.
pub(crate) fn run(plan: &Plan, step: &AtomicU64) -> Report {
    let mut world = World::new(plan);
    world.run(plan, step);
    Report {
        steps: world.steps,
        messages: world.net.oracle.count(),
        accepted: world.net.oracle.accepted,
        second_attempts: world.net.oracle.second_attempts,
        shards: world.setup.shards.count,
        letters: world.net.letters,
        moved: world.net.moved,
        crashes: world.net.oracle.crashes.len() as u64,
        read_back: world.net.papers.iter().map(Paper::read_back).sum(),
        delivered: world.net.oracle.delivered,
        faults: world.net.faults.happened.clone(),
        time: world.net.now.mono.since(world.start),
        trace: world.net.trace.hash(),
        violation: world.net.oracle.violation.take(),
    }
}
