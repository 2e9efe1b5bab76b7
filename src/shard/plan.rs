//! What the shards of a node read and none changes. Owns: the configuration, and what is worked out of it once: the table
//! of routes, the accounts by system_id, the accounts that reach one carrier only. Takes: a configuration. Gives: it to
//! every shard. Never: a copy for each.

use crate::config::Config;
use crate::ids::{CarrierId, EsmeId};
use crate::route::{RouteTable, only_carriers};
use std::collections::HashMap;
use std::sync::Arc;

/// Made once for a node; a copy of it is the same value.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) config: Arc<Config>,
    pub(super) routes: Arc<RouteTable>,
    pub(super) system_ids: Arc<HashMap<Vec<u8>, EsmeId>>,
    /// By `EsmeId`.
    pub(super) only_carriers: Arc<Vec<Option<CarrierId>>>,
}

impl Plan {
    /// Works out what the shards of this configuration share.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        let defaults: Vec<_> = config.esmes.iter().map(|esme| esme.pool).collect();
        let named = config.esmes.iter().enumerate();
        Self {
            routes: Arc::new(RouteTable::new(&config.routes)),
            system_ids: Arc::new(named.map(|(at, esme)| (esme.system_id.clone(), EsmeId::new(at))).collect()),
            only_carriers: Arc::new(only_carriers(&config.routes, &config.pools, &defaults)),
            config,
        }
    }
}
