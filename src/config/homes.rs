//! Which shard is the home of which account and carrier. Owns: the two lists. Takes: a configuration and the number of
//! shards. Gives: the home of each. Never: changes while the node runs (design decision 5).

use super::Config;
use crate::carrier;
use crate::ids::{CarrierId, EsmeId, ListenerId, PoolId, ShardId};
use crate::route::carriers_of;
use std::cmp::Reverse;

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

    /// The homes of the accounts and carriers of `config` on so many shards.
    ///
    /// Carriers go where the operator wants them, the others to the shard with the least to carry, the heaviest first.
    /// An account goes to the shard that most of its messages may leave by, as long as no shard has more than its share
    /// of the accounts; those that win most by it choose first.
    #[must_use]
    pub fn of(config: &Config, shards: usize) -> Self {
        let shards = shards.max(1);
        let carriers = deal_carriers(config, shards);
        let esmes = deal_esmes(config, shards, &carriers);
        Self::fixed(shards, esmes, carriers)
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

/// What a carrier may have in flight.
fn weight(carrier: &carrier::Settings) -> u64 {
    u64::from(carrier.sessions) * u64::from(carrier.window_max)
}

fn least(loads: &[u64]) -> usize {
    let loads = loads.iter().enumerate();
    loads.min_by_key(|(shard, load)| (**load, *shard)).map_or(0, |(shard, _)| shard)
}

fn deal_carriers(config: &Config, shards: usize) -> Vec<ShardId> {
    let wanted = |carrier: usize| config.carrier_homes.get(carrier).copied().flatten();
    let wanted = |carrier: usize| wanted(carrier).filter(|home| home.index() < shards);
    let mut homes: Vec<ShardId> =
        (0..config.carriers.len()).map(|carrier| wanted(carrier).unwrap_or_default()).collect();
    let mut loads = vec![0_u64; shards];
    let mut free: Vec<(usize, u64)> = Vec::new();
    for (index, carrier) in config.carriers.iter().enumerate() {
        match wanted(index) {
            Some(home) => loads[home.index()] += weight(carrier),
            None => free.push((index, weight(carrier))),
        }
    }
    free.sort_by_key(|(index, weight)| (Reverse(*weight), *index));
    for (index, weight) in free {
        let shard = least(&loads);
        loads[shard] += weight;
        homes[index] = ShardId::new(shard);
    }
    homes
}

/// For each account and shard: the weight of the carriers at home there that it can reach.
fn nearness(config: &Config, shards: usize, homes: &[ShardId]) -> Vec<Vec<u64>> {
    let reach: Vec<Vec<CarrierId>> =
        (0..config.pools.len()).map(|pool| carriers_of(&config.pools, PoolId::new(pool))).collect();
    let mut pools: Vec<Vec<PoolId>> = config.esmes.iter().map(|esme| Vec::from_iter(esme.pool)).collect();
    let mut open: Vec<PoolId> = Vec::new();
    for route in &config.routes {
        if route.esme.is_empty() {
            open.push(route.pool);
        }
        route.esme.iter().for_each(|esme| pools[esme.index()].push(route.pool));
    }
    // Who has counted a carrier last: 0 nobody, 1 the routes of all, then each account.
    let mut counted = vec![0_usize; config.carriers.len()];
    let mut add = |near: &mut Vec<u64>, pools: &[PoolId], who: usize| {
        for carrier in pools.iter().flat_map(|pool| &reach[pool.index()]).map(|carrier| carrier.index()) {
            if counted[carrier] != 1 && counted[carrier] != who {
                counted[carrier] = who;
                near[homes[carrier].index()] += weight(&config.carriers[carrier]);
            }
        }
    };
    let mut common = vec![0_u64; shards];
    open.sort_unstable();
    open.dedup();
    add(&mut common, &open, 1);
    let each = pools.iter().enumerate().map(|(esme, pools)| {
        let mut near = common.clone();
        add(&mut near, pools, esme + 2);
        near
    });
    each.collect()
}

fn deal_esmes(config: &Config, shards: usize, carriers: &[ShardId]) -> Vec<ShardId> {
    let near = nearness(config, shards, carriers);
    let most = config.esmes.len().div_ceil(shards) as u64;
    let mut homes = vec![ShardId::default(); near.len()];
    let mut taken = vec![0_u64; shards];
    // What is lost with the second choice.
    let loss = |near: &[u64]| {
        let (first, second) = near.iter().fold((0, 0), |(first, second), weight| {
            if *weight > first { (*weight, first) } else { (first, second.max(*weight)) }
        });
        first - second
    };
    let mut order: Vec<(usize, u64)> = near.iter().map(|near| loss(near)).enumerate().collect();
    order.sort_by_key(|(index, loss)| (Reverse(*loss), *index));
    for (index, _) in order {
        let free = (0..shards).filter(|shard| taken[*shard] < most);
        let shard = free.min_by_key(|shard| (Reverse(near[index][*shard]), taken[*shard], *shard));
        let shard = shard.unwrap_or_default();
        taken[shard] += 1;
        homes[index] = ShardId::new(shard);
    }
    homes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Files, load};
    use std::fmt::Write as _;
    use std::path::Path;

    /// Carriers by name and further keys, accounts by name and pool; each carrier is the pool of its name.
    fn config(shards: usize, carriers: &[(&str, &str)], esmes: &[(&str, &str)], more: &str) -> Config {
        let mut text = format!("[node]\nshards = {shards}\n[[listener]]\naddress = \"127.0.0.1:0\"\n");
        for (name, keys) in carriers {
            write!(
                text,
                "[carrier.{name}]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n{keys}\n\
                 [pool.{name}]\nmembers = [{{ carrier = \"{name}\" }}]\n"
            )
            .unwrap();
        }
        for (name, pool) in esmes {
            writeln!(text, "[esme.{name}]\npassword = \"p\"\npool = \"{pool}\"").unwrap();
        }
        text += more;
        let mut files = Files {
            read: &mut |_: &Path| Ok(text.clone()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        load(Path::new("homes.toml"), &mut files)
            .unwrap_or_else(|report| panic!("{}", report.render(false)))
            .config
    }

    fn carriers_of(homes: &Homes, count: u32) -> Vec<u32> {
        (0..count).map(|carrier| homes.of_carrier(CarrierId(carrier)).0).collect()
    }

    fn esmes_of(homes: &Homes, count: u32) -> Vec<u32> {
        (0..count).map(|esme| homes.of_esme(EsmeId(esme)).0).collect()
    }

    #[test]
    fn carriers_are_dealt_out_by_weight_and_those_with_a_home_have_it() {
        let four = [("a", "sessions = 4"), ("b", ""), ("c", "sessions = 2"), ("d", "")];
        let first = config(2, &four, &[("x", "a")], "");
        let homes = Homes::of(&first, 2);
        assert_eq!(carriers_of(&homes, 4), [0, 1, 1, 1]);
        assert_eq!(Homes::of(&first, 2), homes, "the same again");
        let three = [("a", "sessions = 4\nhome = 1"), ("b", ""), ("c", "home = 0")];
        assert_eq!(carriers_of(&Homes::of(&config(2, &three, &[("x", "a")], ""), 2), 3), [1, 0, 0]);
    }

    #[test]
    fn an_account_is_near_its_carriers_and_no_shard_has_more_than_its_share() {
        let two = [("a", "home = 0"), ("b", "home = 1")];
        let all_to_a = [("u", "a"), ("v", "a"), ("w", "a"), ("x", "b")];
        let homes = Homes::of(&config(2, &two, &all_to_a, ""), 2);
        assert_eq!(esmes_of(&homes, 4), [0, 0, 1, 1]);
        let mixed = [("u", "b"), ("v", "a"), ("w", "b"), ("x", "a")];
        assert_eq!(esmes_of(&Homes::of(&config(2, &two, &mixed, ""), 2), 4), [1, 0, 1, 0]);
    }

    #[test]
    fn an_account_that_loses_more_by_it_chooses_first() {
        let two = [("a", "home = 0"), ("b", "home = 1")];
        let pool = "[pool.both]\nmembers = [{ carrier = \"a\" }, { carrier = \"b\" }]\n";
        // The first two could be anywhere; the third cannot.
        let homes =
            Homes::of(&config(2, &two, &[("u", "both"), ("v", "both"), ("w", "a"), ("x", "a")], pool), 2);
        assert_eq!(esmes_of(&homes, 4), [1, 1, 0, 0]);
    }

    #[test]
    fn routes_count_as_the_pool_does_and_a_carrier_reached_twice_counts_once() {
        let three = [("a", "home = 0"), ("b", "home = 1"), ("c", "home = 1\nsessions = 3")];
        let routes = "[[route]]\npool = \"a\"\nwhen = { to = [\"1*\"] }\n\
            [[route]]\npool = \"a\"\nwhen = { to = [\"2*\"], esme = [\"u\"] }\n\
            [[route]]\npool = \"c\"\nwhen = { to = [\"3*\"], esme = [\"v\"] }\n";
        let config = config(2, &three, &[("u", "a"), ("v", "a")], routes);
        assert_eq!(nearness(&config, 2, &[ShardId(0), ShardId(1), ShardId(1)]), [[50, 0], [50, 150]]);
        assert_eq!(esmes_of(&Homes::of(&config, 2), 2), [0, 1]);
    }

    #[test]
    fn one_shard_has_all_and_of_many_shards_each_account_has_its_own() {
        let config = config(4, &[("a", "")], &[("u", "a"), ("v", "a"), ("w", "a")], "");
        assert_eq!(Homes::of(&config, 1), Homes::one(&config));
        let homes = Homes::of(&config, 4);
        assert_eq!((homes.shards(), esmes_of(&homes, 3)), (4, vec![0, 1, 2]));
    }

    #[test]
    fn ten_thousand_accounts_are_spread_evenly() {
        let carriers = ["a", "b", "c", "d", "e"].map(|name| (name, ""));
        let names: Vec<String> = (0..10_000).map(|at| format!("e{at}")).collect();
        let esmes: Vec<(&str, &str)> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), carriers[at % 5].0)).collect();
        let homes = Homes::of(&config(3, &carriers, &esmes, ""), 3);
        let mut counts = [0; 3];
        (0..10_000).for_each(|esme| counts[homes.of_esme(EsmeId(esme)).index()] += 1);
        assert!(counts.iter().all(|count| (3330..=3334).contains(count)), "{counts:?}");
    }
}
