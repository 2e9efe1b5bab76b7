//! Whether the node may be sent messages. Owns: nothing. Takes: the cells of the shards. Gives: every check that fails,
//! in words. Never: asks a shard.

use super::View;
use crate::counters::SLOT_STATES;
use crate::ids::PoolId;
use crate::route::carriers_of;
use std::collections::BTreeSet;

/// Where `tx` and `trx` stand among the modes of a bind.
const SENDING: [usize; 2] = [0, 2];
const BOUND: usize = 3;

/// The checks that fail; none: ready.
pub(super) fn failing(view: &View) -> Vec<String> {
    let mut failing = Vec::new();
    if view.counters.draining.get() > 0 {
        failing.push("the node drains".to_owned());
    }
    for pool in pools_in_use(view) {
        let sends = carriers_of(&view.config.pools, pool).into_iter().any(|carrier| {
            let cells = view.counters.carriers.get(carrier.index());
            cells.is_some_and(|cells| {
                SENDING.iter().any(|bind| cells.slots.at(bind * SLOT_STATES.len() + BOUND).get() > 0)
            })
        });
        if !sends && let Some(pool) = view.config.pools.get(pool.index()) {
            failing.push(format!("pool {}: no carrier session that sends is bound", pool.name));
        }
    }
    failing
}

/// Pools that a route or an account names.
fn pools_in_use(view: &View) -> BTreeSet<PoolId> {
    let routed = view.config.routes.iter().map(|route| route.pool);
    routed.chain(view.config.esmes.iter().filter_map(|esme| esme.pool)).collect()
}
