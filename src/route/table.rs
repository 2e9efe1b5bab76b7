//! Which route a message takes: the first in the operator's order whose conditions all hold.
//!
//! Owns: an immutable table. Takes: account, source, destination. Gives: a pool. Never: changes, allocates.
//!
//! A look-up keeps the lowest route whose other conditions hold among those of every prefix, number and pattern.

use super::hash;
use super::prefixes::{Digits, Prefixes};
use super::settings::{Member, Pattern, PoolSettings, RouteSettings};
use crate::ids::{CarrierId, EsmeId, PoolId, RouteId};
use hashbrown::HashTable;
use std::collections::BTreeMap;

const NONE: u32 = u32::MAX;

/// From here on a number stands for a place in `RouteTable::lists`, below for the one route itself.
const LISTS: u32 = 1 << 31;

/// The routes for one whole number.
#[derive(Debug, Clone)]
struct Exact {
    key: u64,
    routes: u32,
}

#[derive(Debug, Clone)]
struct Conditions {
    /// There are none but the number.
    none: bool,
    pool: PoolId,
    source: Vec<Pattern>,
    esme: Vec<EsmeId>,
}

/// The routes, ready to be asked.
#[derive(Debug, Clone)]
pub struct RouteTable {
    prefixes: Prefixes,
    /// The routes for every number.
    every: u32,
    exact: HashTable<Exact>,
    /// Where several routes have the same prefix or number: all of them, in order.
    lists: Vec<Vec<u32>>,
    /// Patterns that are no digits, or too many: looked through in order.
    odd: Vec<(Pattern, u32)>,
    conditions: Vec<Conditions>,
}

/// A number without the "+" that some clients send.
#[must_use]
pub fn plain_number(digits: &[u8]) -> &[u8] {
    digits.strip_prefix(b"+").unwrap_or(digits)
}

/// One more route beside those that `routes` stands for.
fn add(routes: &mut u32, lists: &mut Vec<Vec<u32>>, route: u32) {
    debug_assert!(route < LISTS);
    if *routes == NONE {
        *routes = route;
    } else if *routes < LISTS && *routes != route {
        let list = vec![*routes, route];
        *routes = LISTS + lists.len() as u32;
        lists.push(list);
    } else if *routes >= LISTS
        && let Some(list) = lists.get_mut((*routes - LISTS) as usize)
        && list.last() != Some(&route)
    {
        list.push(route);
    }
}

impl RouteTable {
    /// Builds the table from routes in their order.
    #[must_use]
    pub fn new(routes: &[RouteSettings]) -> Self {
        let mut table = Self {
            prefixes: Prefixes::default(),
            every: NONE,
            exact: HashTable::new(),
            lists: Vec::new(),
            odd: Vec::new(),
            conditions: Vec::new(),
        };
        let mut prefixes = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            let mut esme = route.esme.clone();
            esme.sort_unstable();
            let (source, pool) = (route.source.clone(), route.pool);
            let none = source.is_empty() && esme.is_empty();
            table.conditions.push(Conditions { none, pool, source, esme });
            if route.to.is_empty() {
                add(&mut table.every, &mut table.lists, index as u32);
            }
            for pattern in &route.to {
                table.insert(pattern, index as u32, &mut prefixes);
            }
        }
        table.prefixes = Prefixes::new(&prefixes.into_iter().collect::<Vec<_>>());
        table
    }

    fn insert(&mut self, pattern: &Pattern, route: u32, prefixes: &mut BTreeMap<Digits, u32>) {
        let (Pattern::Exact(octets) | Pattern::Prefix(octets)) = pattern;
        let digits = Digits::of(octets);
        if digits.count() < octets.len() {
            self.odd.push((pattern.clone(), route));
            return;
        }
        let Self { every, exact, lists, .. } = self;
        let routes = match pattern {
            Pattern::Prefix(_) if octets.is_empty() => every,
            Pattern::Prefix(_) => prefixes.entry(digits).or_insert(NONE),
            Pattern::Exact(_) => {
                let key = digits.key();
                let same = |exact: &Exact| exact.key == key;
                let entry = exact.entry(hash::mix(key), same, |exact| hash::mix(exact.key));
                &mut entry.or_insert(Exact { key, routes: NONE }).into_mut().routes
            }
        };
        add(routes, lists, route);
    }

    /// The first route that takes a message of `esme` from `source` to `destination`.
    #[must_use]
    pub fn find(&self, esme: EsmeId, source: &[u8], destination: &[u8]) -> Option<(RouteId, PoolId)> {
        if self.conditions.is_empty() {
            return None;
        }
        let number = plain_number(destination);
        let mut best = NONE;
        for (pattern, route) in &self.odd {
            if *route < best && pattern.matches(number) && self.holds(*route, esme, source) {
                best = *route;
            }
        }
        best = self.first(self.every, best, esme, source);
        let digits = Digits::of(number);
        self.prefixes.of(digits, |routes| best = self.first(routes, best, esme, source));
        if !self.exact.is_empty() && digits.count() == number.len() {
            let key = digits.key();
            if let Some(exact) = self.exact.find(hash::mix(key), |exact| exact.key == key) {
                best = self.first(exact.routes, best, esme, source);
            }
        }
        let pool = self.conditions.get(best as usize)?.pool;
        Some((RouteId(best), pool))
    }

    /// The first of these routes that holds, if it stands before `best`.
    #[inline]
    fn first(&self, routes: u32, best: u32, esme: EsmeId, source: &[u8]) -> u32 {
        if routes < LISTS {
            return if routes < best && self.holds(routes, esme, source) { routes } else { best };
        }
        if routes == NONE { best } else { self.first_listed(routes - LISTS, best, esme, source) }
    }

    #[inline(never)]
    fn first_listed(&self, list: u32, best: u32, esme: EsmeId, source: &[u8]) -> u32 {
        let list = self.lists.get(list as usize);
        let mut better = list.into_iter().flatten().copied().take_while(|&route| route < best);
        better.find(|&route| self.holds(route, esme, source)).unwrap_or(best)
    }

    #[inline]
    fn holds(&self, route: u32, esme: EsmeId, source: &[u8]) -> bool {
        self.conditions.get(route as usize).is_some_and(|conditions| {
            conditions.none
                || (conditions.esme.is_empty() || conditions.esme.binary_search(&esme).is_ok())
                    && (conditions.source.is_empty()
                        || conditions.source.iter().any(|source_is| source_is.matches(source)))
        })
    }
}

/// For each of `esmes` accounts, given their default pools: the one carrier that all its routes lead to, if it is
/// one (`message_id = "auto"`).
#[must_use]
pub fn only_carriers(
    routes: &[RouteSettings],
    pools: &[PoolSettings],
    defaults: &[Option<PoolId>],
) -> Vec<Option<CarrierId>> {
    let reach: Vec<Vec<CarrierId>> =
        (0..pools.len()).map(|pool| carriers_of(pools, PoolId::new(pool))).collect();
    let of_pool = |pool: PoolId| reach.get(pool.index()).map_or(&[] as &[CarrierId], Vec::as_slice);
    let common = routes.iter().filter(|route| route.esme.is_empty());
    let common: Vec<CarrierId> = distinct(common.flat_map(|route| of_pool(route.pool)).copied());
    let mut own: Vec<Vec<CarrierId>> = vec![Vec::new(); defaults.len()];
    for route in routes {
        for esme in &route.esme {
            if let Some(list) = own.get_mut(esme.index()) {
                list.extend(of_pool(route.pool));
            }
        }
    }
    let all = defaults.iter().zip(own).map(|(default, own)| {
        let default = default.map_or(&[] as &[CarrierId], of_pool);
        distinct(common.iter().chain(default).chain(&own).copied())
    });
    all.map(|carriers| if let [only] = carriers.as_slice() { Some(*only) } else { None }).collect()
}

fn distinct(carriers: impl Iterator<Item = CarrierId>) -> Vec<CarrierId> {
    let set: std::collections::BTreeSet<_> = carriers.collect();
    set.into_iter().collect()
}

/// All carriers that a pool reaches, through nested pools too.
#[must_use]
pub fn carriers_of(pools: &[PoolSettings], pool: PoolId) -> Vec<CarrierId> {
    let (mut found, mut seen, mut open) = (Vec::new(), vec![false; pools.len()], vec![pool]);
    while let Some(pool) = open.pop() {
        let (Some(settings), Some(seen)) = (pools.get(pool.index()), seen.get_mut(pool.index())) else {
            continue;
        };
        if std::mem::replace(seen, true) {
            continue;
        }
        for member in &settings.members {
            match member.member {
                Member::Carrier(carrier) => found.push(carrier),
                Member::Pool(pool) => open.push(pool),
            }
        }
    }
    distinct(found.into_iter())
}

#[cfg(test)]
mod tests {
    use super::super::settings::MemberSettings;
    use super::*;
    use crate::prng::Prng;

    fn route(to: &[&str], source: &[&str], esme: &[u32], pool: u32) -> RouteSettings {
        let patterns = |list: &[&str]| list.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        RouteSettings {
            name: String::new(),
            to: patterns(to),
            source: patterns(source),
            esme: esme.iter().map(|&id| EsmeId(id)).collect(),
            pool: PoolId(pool),
        }
    }

    fn pool_of(table: &RouteTable, esme: u32, source: &str, to: &str) -> Option<u32> {
        table.find(EsmeId(esme), source.as_bytes(), to.as_bytes()).map(|(_, pool)| pool.0)
    }

    #[test]
    fn the_first_route_whose_conditions_hold_wins_not_the_longest() {
        let table = RouteTable::new(&[
            route(&["382*"], &[], &[], 1),
            route(&["38267*"], &[], &[], 2),
            route(&["*"], &["ACME"], &[], 3),
            route(&["44*"], &[], &[7], 4),
        ]);
        assert_eq!(pool_of(&table, 1, "", "38267123456"), Some(1));
        assert_eq!(pool_of(&table, 1, "", "+38267123456"), Some(1));
        assert_eq!(pool_of(&table, 1, "ACME", "4477"), Some(3));
        assert_eq!(pool_of(&table, 7, "X", "4477"), Some(4));
        assert_eq!(pool_of(&table, 1, "X", "4477"), None);
    }

    #[test]
    fn a_number_without_a_star_is_that_number_only() {
        let table = RouteTable::new(&[route(&["14499"], &[], &[], 1), route(&["VOTE"], &[], &[], 2)]);
        assert_eq!(pool_of(&table, 0, "", "14499"), Some(1));
        assert_eq!(pool_of(&table, 0, "", "144990"), None);
        assert_eq!(pool_of(&table, 0, "", "1449"), None);
        assert_eq!(pool_of(&table, 0, "", "VOTE"), Some(2));
    }

    #[test]
    fn numbers_longer_than_any_key_take_the_prefixes_of_their_front() {
        let long = "1234567890123456";
        let table = RouteTable::new(&[
            route(&[&format!("{long}7*")], &[], &[], 1),
            route(&["123456789012345*"], &[], &[], 2),
            route(&[long], &[], &[], 3),
            route(&["12a*"], &[], &[], 4),
            route(&["12*"], &[], &[], 5),
        ]);
        assert_eq!(pool_of(&table, 0, "", "12345678901234567"), Some(1));
        assert_eq!(pool_of(&table, 0, "", "12345678901234568"), Some(2));
        assert_eq!(pool_of(&table, 0, "", long), Some(2));
        assert_eq!(pool_of(&table, 0, "", "12a9"), Some(4), "letters: looked through in order");
        assert_eq!(pool_of(&table, 0, "", "12b9"), Some(5), "the digits in front count");
        assert_eq!(pool_of(&table, 0, "", ""), None);
    }

    #[test]
    fn routes_of_the_same_prefix_are_asked_in_order() {
        let table = RouteTable::new(&[
            route(&["382*"], &["A"], &[], 1),
            route(&["382*", "382*"], &["B"], &[], 2),
            route(&["382*"], &[], &[], 3),
        ]);
        let of = |source| pool_of(&table, 0, source, "38267");
        assert_eq!([of("A"), of("B"), of("C")], [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_thousand_random_routes_agree_with_a_plain_search() {
        let mut prng = Prng::new(5);
        let patterns: Vec<String> = (0..1000)
            .map(|_| {
                let digits = prng.below(100_000).to_string();
                if prng.chance(4, 5) { format!("{digits}*") } else { digits }
            })
            .collect();
        let routes: Vec<_> =
            patterns.iter().enumerate().map(|(n, text)| route(&[text], &[], &[], n as u32)).collect();
        let table = RouteTable::new(&routes);
        for _ in 0..5000 {
            let number = prng.below(10_000_000).to_string();
            let plain = routes.iter().position(|route| route.to[0].matches(number.as_bytes()));
            assert_eq!(pool_of(&table, 0, "", &number), plain.map(|n| n as u32), "{number}");
        }
    }

    #[test]
    fn one_carrier_is_found_through_nested_pools() {
        let member = |member| MemberSettings { member, weight: 1, tier: 1 };
        let carrier = |id| member(Member::Carrier(CarrierId(id)));
        let pools = [
            PoolSettings::weighted("a", vec![carrier(0)]),
            PoolSettings::weighted("b", vec![member(Member::Pool(PoolId(0)))]),
            PoolSettings::weighted("c", vec![carrier(0), carrier(1)]),
        ];
        let routes = [route(&["1*"], &[], &[], 1), route(&["2*"], &[], &[1], 2)];
        let only = only_carriers(&routes, &pools, &[Some(PoolId(0)), Some(PoolId(0)), None]);
        assert_eq!(only, [Some(CarrierId(0)), None, Some(CarrierId(0))]);
    }
}
