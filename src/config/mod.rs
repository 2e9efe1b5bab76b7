//! The configuration as a value: text → `Config`, checked once.
//!
//! Owns: names, defaults, ranges and relations of every key. Takes: a path and the caller's way to read files,
//! list folders and look up the environment. Gives: a checked [`Config`] and warnings, or a [`Report`] of all
//! that is wrong. Never: ignores a key, stops at the first fault, touches the world itself.

mod accounts;
mod carriers;
mod classes;
mod document;
mod files;
mod homes;
mod http;
mod journal;
mod keys;
mod names;
mod node;
mod patterns;
mod policies;
mod privacy;
mod refusals;
mod relations;
mod report;
mod routes;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod units;

pub use files::Files;
pub use homes::Homes;
pub use report::{Other, Problem, Report, Severity};

use crate::ids::{CarrierId, EsmeId, ShardId};
use crate::limits::SHARDS_MAX;
use crate::time::Duration;
use crate::{carrier, esme, policy, route};
use document::Document;
use names::Names;
use patterns::Patterns;
use report::Notes;
use routes::Directory;
use std::path::{Path, PathBuf};

/// Which driver moves the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// The best that works here.
    Auto,
    /// io_uring, or no start.
    Uring,
    /// epoll.
    Epoll,
    /// io_uring in a glommio executor, or no start; only when built with the feature `glommio`.
    Glommio,
}

/// How many shards a node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shards {
    /// One per CPU that this process may use, each on its own.
    Auto,
    /// So many, wherever the system runs them.
    Count(u32),
    /// One on each of these CPUs.
    Cpus(Vec<u32>),
}

impl Shards {
    /// How many that are where this process may use so many CPUs.
    #[must_use]
    pub fn count(&self, usable: usize) -> usize {
        match self {
            Self::Auto => usable.clamp(1, SHARDS_MAX),
            Self::Count(count) => *count as usize,
            Self::Cpus(cpus) => cpus.len(),
        }
    }
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// For people.
    pub name: String,
    /// How many shards, and where they run.
    pub shards: Shards,
    /// The driver.
    pub io: Io,
    /// Longest time that a shard looks for work before it sleeps.
    pub spin: Duration,
    /// Longest drain at SIGTERM.
    pub drain_deadline: Duration,
    /// Where what outlives the process is.
    pub data_dir: PathBuf,
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
    /// Links at once that have not bound.
    pub unbound_max: u32,
    /// Rates, bans and delays of those who connect.
    pub admission: esme::admission::Settings,
    /// A link whose output is full and does not move for so long is closed.
    pub output_timeout: Duration,
    /// Largest command_length, octets.
    pub pdu_max: u32,
}

/// `[http]`: the node is asked and told things here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; `None`: nowhere.
    pub address: Option<core::net::SocketAddr>,
    /// The Unix socket of the people who run the node; `None`: there is none.
    pub admin_socket: Option<PathBuf>,
}

/// `[journal]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// What responses wait for, unless an account says otherwise.
    pub durability: esme::settings::Durability,
    /// Longest wait of a record for company; zero: the next sync starts when the last one ends.
    pub group_commit: Duration,
    /// Octets of a segment.
    pub segment_size: u64,
    /// Octets on the disk, of all shards.
    pub size_max: u64,
    /// Percent of the file system that stay free.
    pub min_free: u8,
    /// When a message is tried again that no carrier took.
    pub retry: Retry,
}

/// `[privacy]`: who may read what messages say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privacy {
    /// Keys of the journal: the first seals new messages, all of them open. Empty: messages are written as they are.
    pub encrypt: Vec<Secret>,
    /// What messages say is kept in the journal for so long when it is not needed any more.
    pub keep_text: Duration,
    /// And is gone from it so much later.
    pub erase_within: Duration,
    /// Numbers in call detail records are kept for so long; `None`: as long as these are.
    pub keep_numbers: Option<Duration>,
}

/// A key of 32 octets. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// `[journal] retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Waits before the second, third … attempt; the last one goes on.
    pub waits: Vec<Duration>,
    /// Percent by which a wait may be longer or shorter.
    pub jitter: u8,
    /// It is over with a message after so long.
    pub give_up_after: Duration,
}

/// `[[cdr]]` of kind `file`: where call detail records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdr {
    /// The file; `{date}` in it is the day, as 2026-11-22, in UTC.
    pub path: PathBuf,
    /// A new file after so long; 0: never.
    pub rotate: Duration,
    /// Files are removed after so long; 0: never.
    pub keep: Duration,
}

impl Cdr {
    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }
}

/// The whole checked configuration. Ids are indices into the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node.
    pub node: Node,
    /// At least one.
    pub listeners: Vec<Listener>,
    /// `EsmeId` is the index.
    pub esmes: Vec<esme::Shared>,
    /// `CarrierId` is the index.
    pub carriers: Vec<carrier::Settings>,
    /// By `CarrierId`: the shard that the operator wants it on, which exists; `None`: any.
    pub carrier_homes: Vec<Option<ShardId>>,
    /// `PoolId` is the index.
    pub pools: Vec<route::settings::PoolSettings>,
    /// `PolicyId` is the index.
    pub policies: Vec<policy::Settings>,
    /// `ClassId` is the index.
    pub classes: Vec<route::lanes::ClassSettings>,
    /// `RouteId` is the index; the first match wins.
    pub routes: Vec<route::settings::RouteSettings>,
    /// The first match wins.
    pub mo_routes: Vec<route::settings::MoRouteSettings>,
    /// `None`: no HTTP.
    pub http: Option<Http>,
    /// `None`: nothing is kept over a restart.
    pub journal: Option<Journal>,
    /// What the journal seals messages with.
    pub privacy: Privacy,
    /// Each has every record, once.
    pub cdrs: Vec<Cdr>,
}

impl Config {
    /// As records and reports name an account; empty: it has none of this id.
    #[must_use]
    pub fn esme_name(&self, id: EsmeId) -> &str {
        self.esmes.get(id.index()).map_or("", |esme| &esme.name)
    }

    /// The same of a carrier.
    #[must_use]
    pub fn carrier_name(&self, id: CarrierId) -> &str {
        self.carriers.get(id.index()).map_or("", |carrier| &carrier.name)
    }
}

/// Shortest timer that may be set.
const TIMER_MIN: Duration = Duration::from_millis(10);
/// Longest.
const TIMER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest inactivity_timeout.
const INACTIVITY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A configuration that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The value.
    pub config: Config,
    /// What is usable and probably not meant; may be empty.
    pub warnings: Report,
}

/// Reads the configuration at `path` and everything it includes.
///
/// # Errors
/// Every fault of every file in one report, warnings among them.
pub fn load(path: &Path, files: &mut Files<'_>) -> Result<Loaded, Report> {
    // Who starts a node makes the folders then, and hears what the system says.
    check(path, files, &mut |_| Ok(()))
}

/// The same; `makeable` says of each folder that a node makes why it cannot be made or written to.
///
/// # Errors
/// As `load`, and those folders.
pub fn check(
    path: &Path,
    files: &mut Files<'_>,
    makeable: &mut dyn FnMut(&Path) -> std::io::Result<()>,
) -> Result<Loaded, Report> {
    let mut notes = Notes::default();
    let texts = files::gather(path, files, &mut notes);
    let config = read(&texts, files, makeable, &mut notes);
    let failed = notes.has_errors();
    let report = notes.into_report(texts.sources);
    if failed {
        return Err(report);
    }
    Ok(Loaded { config, warnings: report })
}

/// The value of the texts; meaningful when no error was noted.
fn read(
    texts: &files::Texts,
    files: &mut Files<'_>,
    makeable: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    notes: &mut Notes,
) -> Config {
    let parsed = document::parse(&texts.sources, &texts.order, notes);
    let document = Document::new(&parsed, notes);
    let directory = Directory {
        esmes: Names::new("esme", &document.esmes),
        carriers: Names::new("carrier", &document.carriers),
        pools: Names::new("pool", &document.pools),
        policies: Names::new("policy", &document.policies),
        classes: Names::new("class", &document.classes),
    };
    let node = node::read_node(document.node.as_ref(), &texts.sources, notes);
    let esmes = accounts::read(&document, &directory, &texts.sources, files, notes);
    let carriers = carriers::read(&document, &texts.sources, files, notes);
    let mut patterns = Patterns::new(&texts.sources, files);
    let routes = routes::read_routes(&document, &directory, &mut patterns, notes);
    // As many again for those of MO.
    let mut patterns = Patterns::new(&texts.sources, files);
    let config = Config {
        carrier_homes: carriers::read_homes(&document, &node.shards, notes),
        node,
        listeners: node::read_listeners(&document, notes),
        esmes,
        carriers,
        pools: routes::read_pools(&document, &directory, notes),
        policies: policies::read(&document, notes),
        classes: classes::read(&document, notes),
        routes,
        mo_routes: routes::read_mo_routes(&document, &directory, &mut patterns, notes),
        http: http::read(&document, &texts.sources, notes),
        journal: journal::read(&document, notes),
        privacy: privacy::read(&document, &texts.sources, files, notes),
        cdrs: journal::read_cdrs(&document, &texts.sources, notes),
    };
    relations::check(&config, &document, notes);
    if !notes.has_errors() {
        journal::check_folders(&config, &document, makeable, notes);
    }
    if !notes.is_empty() {
        document::hide_secrets(&parsed, notes);
    }
    config
}
