//! Which route a message takes: the first in the operator's order whose conditions all hold.
//!
//! Owns: an immutable table. Takes: account, source, destination. Gives: a pool. Never: changes, allocates.
//!
//! Destinations are digits, so prefixes and whole numbers stand in a trie of ten children per node; each node holds
//! the routes that end there, in order. A look-up walks at most the digits of the number and keeps the lowest
//! route whose other conditions hold.

use super::settings::{Member, Pattern, PoolSettings, RouteSettings};
use crate::ids::{CarrierId, EsmeId, PoolId, RouteId};
use smallvec::SmallVec;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Default)]
struct Node {
    children: [u32; 10],
    /// Routes whose prefix ends here: one as a rule.
    prefix: SmallVec<[u32; 4]>,
    /// Routes whose number ends here.
    exact: SmallVec<[u32; 4]>,
}

#[derive(Debug, Clone)]
struct Conditions {
    source: Vec<Pattern>,
    esme: Vec<EsmeId>,
    pool: PoolId,
}

/// The routes, ready to be asked.
#[derive(Debug, Clone)]
pub struct RouteTable {
    nodes: Vec<Node>,
    /// Patterns that are no digits: looked through in order.
    odd: Vec<(Pattern, u32)>,
    conditions: Vec<Conditions>,
}

/// A number without the "+" that some clients send.
#[must_use]
pub fn plain_number(digits: &[u8]) -> &[u8] {
    digits.strip_prefix(b"+").unwrap_or(digits)
}

fn empty_node() -> Node {
    Node { children: [NONE; 10], ..Node::default() }
}

impl RouteTable {
    /// Builds the table from routes in their order.
    #[must_use]
    pub fn new(routes: &[RouteSettings]) -> Self {
        let mut table = Self { nodes: vec![empty_node()], odd: Vec::new(), conditions: Vec::new() };
        for (index, route) in routes.iter().enumerate() {
            let mut esme = route.esme.clone();
            esme.sort_unstable();
            table.conditions.push(Conditions { source: route.source.clone(), esme, pool: route.pool });
            if route.to.is_empty() {
                table.insert(&Pattern::Prefix(Vec::new()), index as u32);
            }
            for pattern in &route.to {
                table.insert(pattern, index as u32);
            }
        }
        table
    }

    fn insert(&mut self, pattern: &Pattern, route: u32) {
        let (Pattern::Exact(octets) | Pattern::Prefix(octets)) = pattern;
        if !octets.iter().all(u8::is_ascii_digit) {
            self.odd.push((pattern.clone(), route));
            return;
        }
        let mut at = 0;
        for digit in octets {
            at = self.child(at, usize::from(digit - b'0'));
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        let list = if matches!(pattern, Pattern::Exact(_)) { &mut node.exact } else { &mut node.prefix };
        if list.last() != Some(&route) {
            list.push(route);
        }
    }

    fn child(&mut self, at: usize, digit: usize) -> usize {
        let fresh = self.nodes.len();
        let Some(child) = self.nodes.get_mut(at).and_then(|node| node.children.get_mut(digit)) else {
            return 0;
        };
        if *child == NONE {
            *child = fresh as u32;
            self.nodes.push(empty_node());
            return fresh;
        }
        *child as usize
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
        let mut node = self.nodes.first();
        let mut digits = number.iter();
        while let Some(here) = node {
            best = self.first(&here.prefix, best, esme, source);
            let Some(octet) = digits.next() else {
                best = self.first(&here.exact, best, esme, source);
                break;
            };
            let child = here.children.get(usize::from(octet.wrapping_sub(b'0')));
            node = child.and_then(|&child| self.nodes.get(child as usize));
        }
        let pool = self.conditions.get(best as usize)?.pool;
        Some((RouteId(best), pool))
    }

    fn first(&self, routes: &[u32], best: u32, esme: EsmeId, source: &[u8]) -> u32 {
        let better = routes.iter().copied().take_while(|&route| route < best);
        better.into_iter().find(|&route| self.holds(route, esme, source)).unwrap_or(best)
    }

    fn holds(&self, route: u32, esme: EsmeId, source: &[u8]) -> bool {
        self.conditions.get(route as usize).is_some_and(|conditions| {
            (conditions.esme.is_empty() || conditions.esme.binary_search(&esme).is_ok())
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
