//! The configuration as a value: text → `Config`, checked once.

use crate::time::Duration;
use crate::{carrier, esme, route};

/// Which driver moves the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// The best that works here.
    Auto,
    /// epoll.
    Epoll,
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// For people.
    pub name: String,
    /// Number of shards.
    pub shards: u32,
    /// The driver.
    pub io: Io,
    /// Longest time that a shard looks for work before it sleeps.
    pub spin: Duration,
    /// Longest drain at SIGTERM.
    pub drain_deadline: Duration,
}

/// `[[listener]]`: ESMEs bind here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: core::net::SocketAddr,
    /// Links at once, bound or not.
    pub connections_max: u32,
    /// Links at once from one address.
    pub connections_per_address: u32,
    /// A link that has not bound by then is closed.
    pub session_init_timeout: Duration,
    /// Largest command_length, octets.
    pub pdu_max: u32,
}

/// The whole checked configuration. Ids are indices into the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node.
    pub node: Node,
    /// At least one.
    pub listeners: Vec<Listener>,
    /// `EsmeId` is the index.
    pub esmes: Vec<esme::Settings>,
    /// `CarrierId` is the index.
    pub carriers: Vec<carrier::Settings>,
    /// `PoolId` is the index.
    pub pools: Vec<route::settings::PoolSettings>,
    /// `RouteId` is the index; the first match wins.
    pub routes: Vec<route::settings::RouteSettings>,
    /// The first match wins.
    pub mo_routes: Vec<route::settings::MoRouteSettings>,
}
