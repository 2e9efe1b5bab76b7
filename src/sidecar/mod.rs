//! What stands beside the shards: HTTP for people and machines that watch a node.
//!
//! Owns: its sockets, one thread, the rate of messages; a thread for each sink of call detail records. Takes: requests; the
//! cells that the shards write; answers of the shards to what it asks; the journal's directory. Gives: `/healthz`,
//! `/readyz`, `/metrics`, `/v1/status` over TCP and the admin socket; the sinks' files, and a number out of them. Never: makes
//! a shard wait.

pub mod cdr;
pub mod client;
mod cpu;
mod document;
mod gauges;
mod http;
mod journal;
mod limits;
mod metrics;
pub mod order;
pub mod privacy;
mod queues;
mod ready;
mod resend;
pub mod show;
mod sockets;

use crate::config::Config;
use crate::counters::NodeCounters;
use crate::io::Stops;
pub use journal::Journaling;
use limits::{AccountState, CarrierState};
use sockets::AdminSocket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// What the sidecar looks at.
#[derive(Debug)]
struct View {
    config: Arc<Config>,
    counters: Arc<NodeCounters>,
    shards: Stops,
    /// How its journal is; nothing is known of one until the shards run.
    journal: Arc<Journaling>,
    /// Whoever asks for stored messages holds it: one at a time.
    queue: std::sync::Mutex<()>,
    /// Submits a second, of late.
    rate: AtomicU64,
    /// Of each shard: thousandths of its time that it worked, of late.
    busy: Vec<AtomicU64>,
    /// By `CarrierId` and `EsmeId`: what limits them, of late.
    carriers: Vec<CarrierState>,
    accounts: Vec<AccountState>,
}

impl View {
    fn new(config: Arc<Config>, counters: Arc<NodeCounters>, shards: Stops) -> Self {
        let busy = counters.loops.iter().map(|_| AtomicU64::new(0)).collect();
        let carriers = core::iter::repeat_with(CarrierState::default).take(config.carriers.len()).collect();
        let accounts = core::iter::repeat_with(AccountState::default).take(config.esmes.len()).collect();
        Self {
            config,
            counters,
            shards,
            journal: Arc::default(),
            queue: std::sync::Mutex::default(),
            rate: AtomicU64::new(0),
            busy,
            carriers,
            accounts,
        }
    }
}

/// Its sockets, bound and not yet served.
#[derive(Debug)]
pub struct Sockets {
    tcp: Option<std::net::TcpListener>,
    admin: Option<AdminSocket>,
    address: Option<SocketAddr>,
}

impl Sockets {
    /// Binds what `[http]` names; nothing without one.
    ///
    /// # Errors
    /// The port is taken, another node answers on the admin socket, or the system refuses.
    pub fn bind(config: &Config) -> std::io::Result<Self> {
        let Some(http) = &config.http else { return Ok(Self { tcp: None, admin: None, address: None }) };
        let tcp = http.address.map(sockets::listen).transpose()?;
        let admin = http.admin_socket.as_deref().map(AdminSocket::bind).transpose()?;
        let address = tcp.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        Ok(Self { tcp, admin, address })
    }

    /// Where HTTP listens; a port that was 0 is known here.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

/// The running sidecar. It ends with `stop`, or when it is dropped.
#[derive(Debug)]
pub struct Sidecar {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sidecar {
    /// Serves the sockets on a thread of its own; without sockets there is no thread.
    ///
    /// # Errors
    /// The system gives no thread or descriptor.
    pub fn start(
        sockets: Sockets,
        config: Arc<Config>,
        counters: Arc<NodeCounters>,
        shards: Stops,
        journal: Arc<Journaling>,
    ) -> std::io::Result<Self> {
        if sockets.tcp.is_none() && sockets.admin.is_none() {
            return Ok(Self { end: None, thread: None });
        }
        let view = Arc::new(View { journal, ..View::new(config, counters, shards) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sidecar".into()).spawn(move || {
            // An end that is dropped is an end, too. What it serves at that moment is dropped with the runtime.
            runtime.block_on(http::serve(view, sockets, ended));
            runtime.shutdown_background();
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }

    /// Ends it and waits until its sockets are closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by its thread; the node's end is not its concern.
            let _ = thread.join();
        }
    }
}
