//! Which shard is the home of which account and carrier. Owns: the two lists. Takes: a configuration and the number of
//! shards. Gives: the home of each. Never: changes while the node runs (design decision 5).

use super::Config;
use crate::ids::{CarrierId, EsmeId, ListenerId, ShardId};

/// The homes of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Homes {
    shards: usize,
    esmes: Vec<ShardId>,
    carriers: Vec<ShardId>,
}

impl Homes {
    /// Everybody on the one shard.
    #[must_use]
    pub fn one(config: &Config) -> Self {
        Self::fixed(1, vec![ShardId(0); config.esmes.len()], vec![ShardId(0); config.carriers.len()])
    }

    /// As given; each must be below `shards`.
    #[must_use]
    pub fn fixed(shards: usize, esmes: Vec<ShardId>, carriers: Vec<ShardId>) -> Self {
        debug_assert!(esmes.iter().chain(&carriers).all(|home| home.index() < shards));
        Self { shards, esmes, carriers }
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards
    }

    /// The shard that accepts the links of a listener, so that its limits have one owner.
    #[must_use]
    pub const fn of_listener(&self, listener: ListenerId) -> ShardId {
        ShardId::new(listener.index() % if self.shards == 0 { 1 } else { self.shards })
    }

    /// The home of an account.
    #[must_use]
    #[inline]
    pub fn of_esme(&self, esme: EsmeId) -> ShardId {
        self.esmes.get(esme.index()).copied().unwrap_or_default()
    }

    /// The home of a carrier.
    #[must_use]
    #[inline]
    pub fn of_carrier(&self, carrier: CarrierId) -> ShardId {
        self.carriers.get(carrier.index()).copied().unwrap_or_default()
    }
}
