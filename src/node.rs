//! A node: a configuration put to work. Owns: the shards' threads, their listeners, the journal, the sidecar, the thread
//! that writes the log. Takes: a checked configuration. Gives: the addresses it listens on, its counters, and its end.
//! Never: a message.

mod journal;

use crate::config::{Config, Homes, Io, Shards};
use crate::counters::{Hints, NodeCounters, ShardCounters};
use crate::ids::{ListenerId, ShardId};
use crate::io::journal::Journal;
use crate::io::{Clock, Driver, Lanes, Options, Stop, StopHandle, Stops, listen_soon};
use crate::limits::{LANE_CREDITS, LOG_LINES_MAX};
use crate::shard::port::{Event, Level};
use crate::shard::{Plan, Position, Shard};
use crate::sidecar::{Journaling, Sidecar, Sockets, cdr};
use journal::{Opened, Sinks, Told};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Where log lines go.
pub type Log = Box<dyn FnMut(&Event) + Send>;

/// A running node.
pub struct Node {
    addresses: Vec<SocketAddr>,
    counters: Arc<NodeCounters>,
    stops: Stops,
    http: Option<SocketAddr>,
    sidecar: Sidecar,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    /// It ends after the last shard: what that appended is written then.
    journal: Option<Journal>,
    /// They end after the journal.
    sinks: Vec<cdr::Running>,
    logging: JoinHandle<()>,
}

/// What one shard is started with.
struct Start {
    shard: Shard,
    options: Options,
    cpu: Option<usize>,
}

impl Node {
    /// Binds the listeners and starts the shards and the sidecar.
    ///
    /// # Errors
    /// A port or the admin socket is taken, a CPU may not be used, the journal cannot be opened, or the system gives no
    /// descriptor or thread.
    pub fn start(config: Config, log: Log) -> std::io::Result<Self> {
        Self::start_on(config, log, false)
    }

    /// The same also on a journal that is a copy, when the other one is never started again.
    ///
    /// # Errors
    /// As `start`.
    pub fn adopt(config: Config, log: Log) -> std::io::Result<Self> {
        Self::start_on(config, log, true)
    }

    fn start_on(config: Config, log: Log, adopt: bool) -> std::io::Result<Self> {
        let usable = usable_cpus()?;
        let shards = config.node.shards.count(usable.len());
        let cpus = cpus_of(&config.node.shards, &usable)?;
        let (listeners, addresses) = bind(&config)?;
        let web = Sockets::bind(&config)?;
        let http = web.address();
        let (driver, fallback) = wanted(config.node.io).settle(shards)?;
        let (lines, logging) = start_log(log)?;
        let fields = vec![("driver", driver.name().to_owned()), ("shards", shards.to_string())];
        let first = [fallback, Some(Event { level: Level::Info, name: "io", fields })];
        first.into_iter().flatten().for_each(|event| tell(&lines, event));
        let config = Arc::new(config);
        let stops: Vec<(Stop, StopHandle)> = (0..shards).map(|_| Stop::new()).collect::<Result<_, _>>()?;
        let (stops, handles): (Vec<Stop>, Vec<StopHandle>) = stops.into_iter().unzip();
        let lanes = Lanes::between(&handles);
        let homes = Arc::new(Homes::of(&config, shards));
        let counters = counters_of(&config, &lanes);
        let stops_all = Stops::from(handles.clone());
        let clock = lanes.first().map_or_else(Clock::start, Lanes::clock);
        let journaling: Arc<Journaling> = Arc::default();
        let beside = (Arc::clone(&config), Arc::clone(&counters), stops_all.clone());
        let sidecar = Sidecar::start(web, beside.0, beside.1, beside.2, Arc::clone(&journaling))?;
        let mut options = options_of(&config, &homes, driver, listeners, stops, lanes);
        for (options, cells) in options.iter_mut().zip(&counters.shards) {
            options.log = log_of(lines.clone(), Arc::clone(cells));
        }
        let told = Told { lines: &lines, journaling: &journaling };
        let opened = journal::open((&config, adopt), &handles, clock, &told);
        let fed = match &opened {
            Ok(Some(opened)) => journal::sinks(&config, &opened.ends, &lines, &journaling),
            Ok(None) | Err(_) => Ok(None),
        };
        drop(lines);
        let shards = shards_of(&config, &homes, &counters);
        let (threads, stops, journal, sinks) = (Vec::new(), stops_all, None, Vec::new());
        let mut node = Self { addresses, counters, stops, http, sidecar, threads, journal, sinks, logging };
        let starts = options.into_iter().zip(shards).enumerate();
        let starts = starts
            .map(|(index, (options, shard))| Start { shard, options, cpu: cpus.get(index).copied() })
            .collect();
        let ready = opened.and_then(|opened| Ok((opened, fed?)));
        let beside = (&*config, &*homes);
        match ready.and_then(|(opened, fed)| node.start_shards(starts, opened, fed, beside, clock)) {
            Ok(()) => {
                if let Some(journal) = &node.journal {
                    journaling.runs(journal.watch());
                }
                Ok(node)
            }
            Err(error) => {
                node.stops.exit();
                node.wait().and(Err(error))
            }
        }
    }

    /// Gives each shard its end of the journal and starts its thread. Who was not started lets go of the log.
    fn start_shards(
        &mut self,
        mut starts: Vec<Start>,
        opened: Option<Opened>,
        sinks: Option<Sinks>,
        beside: (&Config, &Homes),
        clock: Clock,
    ) -> std::io::Result<()> {
        if let Some(Opened { mut journal, shards, formers, ciphers, .. }) = opened {
            let cursors = sinks.as_ref().map(|sinks| Arc::clone(&sinks.cursors));
            debug_assert_eq!(shards.len(), starts.len());
            let attached = starts.iter_mut().map(|start| &mut start.shard).zip(shards);
            let strays = journal::side_by_side(attached, |(shard, (appender, restored))| {
                shard.attach(Box::new(appender), restored)
            })?;
            let mut moved: Vec<_> = strays.into_iter().map(|strays| strays.moved).collect();
            for (start, cipher) in starts.iter_mut().zip(ciphers) {
                if let Some(cipher) = cipher {
                    start.shard.seal_with(cipher);
                }
                if let Some(cursors) = &cursors {
                    start.shard.feed(Arc::clone(cursors));
                }
            }
            let leftovers = journal::sort_out(&mut journal, formers, beside, cursors.as_deref())?;
            let (mut surplus, mut events) = (leftovers.surplus, leftovers.events);
            moved.extend(leftovers.moved);
            let mut shards: Vec<&mut Shard> = starts.iter_mut().map(|start| &mut start.shard).collect();
            events.extend(journal::bring_home(&mut shards, &mut surplus, moved, clock)?);
            if let Some(start) = starts.first_mut() {
                events.iter().for_each(&mut start.options.log);
            }
            surplus.into_iter().for_each(|surplus| journal.look_after(surplus, cursors.clone()));
            let (all, now) = (starts.iter_mut().map(|start| &mut start.shard), clock.now());
            let strangers = journal::side_by_side(all, |shard| shard.take_up(now))?;
            for ((index, start), strangers) in starts.iter_mut().enumerate().zip(strangers) {
                if let Some(event) = journal::left_where_it_is(index, strangers) {
                    (start.options.log)(&event);
                }
            }
            self.journal = Some(journal);
            self.sinks = sinks.map(|sinks| sinks.running).unwrap_or_default();
        }
        starts.into_iter().enumerate().try_for_each(|(index, start)| self.start_shard(index, start))
    }

    fn start_shard(&mut self, index: usize, start: Start) -> std::io::Result<()> {
        let others = EndsOthers { stops: self.stops.clone(), armed: true };
        let thread = std::thread::Builder::new().name(format!("shard{index}")).spawn(move || {
            // A shard that fails or panics ends the node; one that has finished leaves the others to finish.
            let mut others = others;
            if let Some(cpu) = start.cpu {
                pin(cpu)?;
            }
            crate::io::run(start.shard, start.options)?;
            others.armed = false;
            Ok(())
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where it listens, in the order of the configuration; ports that were 0 are known here.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where HTTP is served, if it is.
    #[must_use]
    pub const fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// What it has counted; reading costs the shards nothing.
    #[must_use]
    pub fn counters(&self) -> &Arc<NodeCounters> {
        &self.counters
    }

    /// For ending it from elsewhere.
    #[must_use]
    pub fn stop(&self) -> Stops {
        self.stops.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The driver of a shard failed, or its thread panicked: what the first one to do so says.
    pub fn wait(self) -> std::io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or_else(|_| Err(Error::other("the thread of a shard panicked")));
            outcome = outcome.and(ended);
        }
        drop(self.journal);
        drop(self.sinks);
        self.sidecar.stop();
        // A log that panicked has lost its lines, not the node.
        let _ = self.logging.join();
        outcome
    }

    /// True when every shard has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Ends the whole node when it is dropped armed: by an error or a panic of a shard.
struct EndsOthers {
    stops: Stops,
    armed: bool,
}

impl Drop for EndsOthers {
    fn drop(&mut self) {
        if self.armed {
            self.stops.exit();
        }
    }
}

const fn wanted(io: Io) -> Driver {
    match io {
        Io::Auto => Driver::Auto,
        Io::Uring => Driver::Uring,
        Io::Epoll => Driver::Epoll,
        Io::Glommio => Driver::Glommio,
    }
}

fn bind(config: &Config) -> std::io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for settings in &config.listeners {
        let listener = listen_soon(settings.address)
            .map_err(|error| Error::new(error.kind(), format!("{}: {error}", settings.address)))?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

/// The CPUs that this process may use.
fn usable_cpus() -> std::io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// The CPU of each shard; none where the system decides.
fn cpus_of(shards: &Shards, usable: &[usize]) -> std::io::Result<Vec<usize>> {
    match shards {
        Shards::Auto => Ok(usable.to_vec()),
        Shards::Count(_) => Ok(Vec::new()),
        Shards::Cpus(cpus) => {
            let cpus: Vec<usize> = cpus.iter().map(|cpu| *cpu as usize).collect();
            match cpus.iter().find(|cpu| !usable.contains(cpu)) {
                None => Ok(cpus),
                Some(cpu) => {
                    let reason = format!("shards: this process may not use CPU {cpu}, but {usable:?}");
                    Err(Error::new(ErrorKind::InvalidInput, reason))
                }
            }
        }
    }
}

/// Binds this thread to a CPU.
fn pin(cpu: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|error| Error::other(format!("shards: no thread can be bound to CPU {cpu}: {error}")))
}

fn counters_of(config: &Config, lanes: &[Lanes]) -> Arc<NodeCounters> {
    let first = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
    let others = lanes.iter().skip(1).map(|_| Arc::new(first.beside()));
    let shards = core::iter::once(Arc::clone(&first)).chain(others).collect();
    Arc::new(NodeCounters::of(shards, lanes.iter().map(Lanes::counters).collect()))
}

/// One for each shard. The listeners are dealt out in turn: each has one owner, and so have its limits.
fn options_of(
    config: &Config,
    homes: &Homes,
    driver: Driver,
    listeners: Vec<TcpListener>,
    stops: Vec<Stop>,
    lanes: Vec<Lanes>,
) -> Vec<Options> {
    let most: u64 = config.listeners.iter().map(|listener| u64::from(listener.connections_max)).sum();
    let sockets: u64 = config.carriers.iter().map(|carrier| u64::from(carrier.sessions)).sum();
    let mut options: Vec<Options> = stops
        .into_iter()
        .zip(lanes)
        .map(|(stop, lanes)| Options {
            driver,
            listeners: Vec::new(),
            spin: config.node.spin,
            // All accounts may be at home on one shard.
            links_max: u32::try_from(most + sockets).unwrap_or(u32::MAX),
            log: Box::new(|_| ()),
            stop,
            lanes: Some(lanes),
        })
        .collect();
    for (index, listener) in listeners.into_iter().enumerate() {
        let id = ListenerId::new(index);
        if let Some(options) = options.get_mut(homes.of_listener(id).index()) {
            options.listeners.push((id, listener));
        }
    }
    options
}

fn shards_of(config: &Arc<Config>, homes: &Arc<Homes>, counters: &NodeCounters) -> Vec<Shard> {
    let hints = Arc::new(Hints::new(config.carriers.len()));
    let others = u32::try_from(homes.shards().saturating_sub(1)).unwrap_or(u32::MAX);
    let credits = LANE_CREDITS.checked_div(others).unwrap_or_default();
    let plan = Plan::new(Arc::clone(config));
    let cells = counters.shards.iter().enumerate();
    let placed = cells.map(|(index, cells)| {
        let (homes, hints) = (Arc::clone(homes), Arc::clone(&hints));
        let position = Position { shard: ShardId::new(index), homes, hints, credits };
        Shard::planned(&plan, Arc::clone(cells), position, seed())
    });
    placed.collect()
}

/// The thread that writes the lines of all shards, until the last of them has ended.
fn start_log(mut log: Log) -> std::io::Result<(SyncSender<Event>, JoinHandle<()>)> {
    let (lines, waiting): (SyncSender<Event>, Receiver<Event>) = sync_channel(LOG_LINES_MAX);
    let write = move || waiting.iter().for_each(|event| log(&event));
    Ok((lines, std::thread::Builder::new().name("log".into()).spawn(write)?))
}

/// The log of one shard: it waits for nobody, and what finds no room is counted.
fn log_of(lines: SyncSender<Event>, cells: Arc<ShardCounters>) -> Log {
    Box::new(move |event| {
        // The node has said it once for all.
        if event.name != "io" && lines.try_send(event.clone()).is_err() {
            cells.log_dropped.bump();
        }
    })
}

fn tell(lines: &SyncSender<Event>, event: Event) {
    // The channel is empty: there is room.
    let _ = lines.try_send(event);
}

/// Different at each start: decides jitter only.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::port::{Core, Input, Outbox};
    use crate::time::{Instant, Now};

    /// Never ends by itself.
    struct Idle;

    impl Core for Idle {
        fn handle(&mut self, _: Now, _: Input<'_>, _: &mut Outbox) {}

        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    fn run(stop: Stop, lanes: Lanes) -> JoinHandle<bool> {
        let (driver, log) = (Driver::Epoll, Box::new(|_: &Event| ()));
        let spin = crate::time::Duration::ZERO;
        let options =
            Options { driver, listeners: Vec::new(), spin, links_max: 1, log, stop, lanes: Some(lanes) };
        std::thread::spawn(move || crate::io::run(Idle, options).is_ok())
    }

    #[test]
    fn a_shard_that_panics_ends_the_others_and_one_that_has_finished_does_not() {
        let stops: Vec<(Stop, StopHandle)> = (0..2).map(|_| Stop::new().unwrap()).collect();
        let (stops, handles): (Vec<Stop>, Vec<StopHandle>) = stops.into_iter().unzip();
        let lanes = Lanes::between(&handles);
        let all = Stops::from(handles);
        let running: Vec<_> = stops.into_iter().zip(lanes).map(|(stop, lanes)| run(stop, lanes)).collect();
        drop(EndsOthers { stops: all.clone(), armed: false });
        assert!(all.ask(crate::shard::port::Ask::Brief).is_ok(), "they run");
        let panicking = std::thread::spawn(move || {
            let _others = EndsOthers { stops: all, armed: true };
            panic!("as planned");
        });
        assert!(panicking.join().is_err());
        assert!(running.into_iter().all(|thread| thread.join().unwrap()));
    }

    #[test]
    fn a_log_that_is_behind_drops_lines_and_counts_them() {
        let (lines, waiting) = sync_channel(2);
        let cells = Arc::new(ShardCounters::new(0, 0));
        let mut log = log_of(lines, Arc::clone(&cells));
        for name in ["io", "bound", "closed", "bound", "closed"] {
            log(&Event { level: Level::Info, name, fields: Vec::new() });
        }
        drop(log);
        let names: Vec<&str> = waiting.iter().map(|event| event.name).collect();
        assert_eq!((names, cells.log_dropped.get()), (vec!["bound", "closed"], 2));
    }
}
