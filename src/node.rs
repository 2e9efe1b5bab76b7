//! A node: a configuration put to work. Owns: the shard's thread, its listeners, the sidecar. Takes: a checked configuration.
//! Gives: the addresses it listens on, its counters, and its end. Never: a message.

use crate::config::{Config, Io};
use crate::counters::ShardCounters;
use crate::ids::ListenerId;
use crate::io::{Driver, Options, Stop, StopHandle, listen};
use crate::shard::Shard;
use crate::shard::port::Event;
use crate::sidecar::{Sidecar, Sockets};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Where log lines go.
pub type Log = Box<dyn FnMut(&Event) + Send>;

/// A running node.
pub struct Node {
    addresses: Vec<SocketAddr>,
    counters: Arc<ShardCounters>,
    stop: StopHandle,
    http: Option<SocketAddr>,
    sidecar: Sidecar,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Node {
    /// Binds the listeners and starts the shard and the sidecar.
    ///
    /// # Errors
    /// A port or the admin socket is taken, or the system gives no descriptor or thread.
    pub fn start(config: Config, log: Log) -> std::io::Result<Self> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for (index, settings) in config.listeners.iter().enumerate() {
            let listener = listen(settings.address).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", settings.address))
            })?;
            addresses.push(listener.local_addr()?);
            listeners.push((ListenerId::new(index), listener));
        }
        let web = Sockets::bind(&config)?;
        let http = web.address();
        let config = Arc::new(config);
        let counters = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
        let (stop, handle) = Stop::new()?;
        let most: u64 = config.listeners.iter().map(|listener| u64::from(listener.connections_max)).sum();
        let sockets: u64 = config.carriers.iter().map(|carrier| u64::from(carrier.sessions)).sum();
        let driver = match config.node.io {
            Io::Auto => Driver::Auto,
            Io::Uring => Driver::Uring,
            Io::Epoll => Driver::Epoll,
        };
        driver.check()?;
        let options = Options {
            driver,
            listeners,
            spin: config.node.spin,
            links_max: u32::try_from(most + sockets).unwrap_or(u32::MAX),
            log,
            stop,
        };
        let sidecar = Sidecar::start(web, Arc::clone(&config), Arc::clone(&counters), handle.clone())?;
        let shard = Shard::new(config, Arc::clone(&counters), seed());
        let thread = std::thread::Builder::new()
            .name("shard0".into())
            .spawn(move || crate::io::run(shard, options).map(|_| ()))?;
        Ok(Self { addresses, counters, stop: handle, http, sidecar, thread })
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

    /// What it has counted; reading costs the shard nothing.
    #[must_use]
    pub fn counters(&self) -> &Arc<ShardCounters> {
        &self.counters
    }

    /// For ending it from elsewhere.
    #[must_use]
    pub fn stop(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The driver failed, or the shard's thread panicked.
    pub fn wait(self) -> std::io::Result<()> {
        let ended = self.thread.join();
        self.sidecar.stop();
        ended.map_err(|_| std::io::Error::other("the shard's thread panicked"))?
    }

    /// True when the shard has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Different at each start: decides jitter only.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
