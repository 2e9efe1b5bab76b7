//! Whether the node may be sent messages. Owns: nothing. Takes: the cells of the shards. Gives: every check that fails,
//! in words. Never: asks a shard.

use super::{View, journal};
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
    if view.counters.sum(|shard| &shard.draining) > 0 {
        failing.push("the node drains".to_owned());
    }
    failing.extend(journal::failing(view));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Files};
    use crate::counters::{NodeCounters, ShardCounters};
    use crate::io::Stop;
    use std::path::Path;
    use std::sync::Arc;

    const CONFIG: &str = "[[listener]]\naddress = \"127.0.0.1:2775\"\n[defaults.carrier]\nsystem_id = \"x\"\n\
        password = \"secret\"\n[carrier.alpha]\naddresses = [\"127.0.0.1:1\"]\n[carrier.beta]\n\
        addresses = [\"127.0.0.1:2\"]\n[esme.acme]\npassword = \"secret\"\npool = \"main\"\n\
        [pool.main]\nmembers = [{ carrier = \"alpha\" }, { pool = \"standby\", tier = 2 }]\n\
        [pool.standby]\nmembers = [{ carrier = \"beta\" }]\n[pool.abroad]\nmembers = [{ carrier = \"beta\" }]\n\
        [pool.unused]\nmembers = [{ carrier = \"alpha\" }]\n\
        [[route]]\nname = \"abroad\"\nwhen = { to = [\"381*\"] }\npool = \"abroad\"\n";

    fn view() -> View {
        let mut files = Files {
            read: &mut |_: &Path| Ok(CONFIG.to_owned()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        let config = config::load(Path::new("ready.toml"), &mut files).unwrap().config;
        let first = Arc::new(ShardCounters::new(1, 2));
        let second = Arc::new(first.beside());
        let counters = Arc::new(NodeCounters::of(vec![first, second], Vec::new()));
        View::new(Arc::new(config), counters, Stop::new().unwrap().1.into())
    }

    /// Says that a carrier has one bound session of this mode.
    fn bind(view: &View, carrier: usize, bind: usize, count: u64) {
        view.counters.carriers[carrier].slots.at(bind * SLOT_STATES.len() + BOUND).set(count);
    }

    #[test]
    fn every_pool_in_use_needs_a_session_that_sends() {
        let view = view();
        let missing = |pool: &str| format!("pool {pool}: no carrier session that sends is bound");
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(failing(&view)), [missing("abroad"), missing("main")]);
        bind(&view, 0, 2, 1);
        assert_eq!(failing(&view), [missing("abroad")]);
        bind(&view, 1, 1, 1);
        assert_eq!(failing(&view), [missing("abroad")], "a receiver sends nothing");
        bind(&view, 1, 0, 1);
        assert!(failing(&view).is_empty());
        bind(&view, 0, 2, 0);
        assert!(failing(&view).is_empty(), "the standby of the pool sends");
    }

    #[test]
    fn a_node_that_reads_its_journal_is_not_ready() {
        let mut view = view();
        bind(&view, 0, 2, 1);
        bind(&view, 1, 2, 1);
        let text = format!("{CONFIG}[journal]\n");
        let mut files = Files {
            read: &mut |_: &Path| Ok(text.clone()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        view.config = Arc::new(config::load(Path::new("ready.toml"), &mut files).unwrap().config);
        view.journal.has_read();
        assert_eq!(failing(&view), ["journal: what the last run left is read, 1 records so far"]);
    }

    #[test]
    fn a_node_that_drains_is_not_ready() {
        let view = view();
        bind(&view, 0, 2, 1);
        bind(&view, 1, 2, 1);
        view.counters.shards[1].draining.set(1);
        assert_eq!(failing(&view), ["the node drains"]);
    }
}
