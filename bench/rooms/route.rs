//! Which pool, and in it which carrier.
//!
//! Sketch: a look-up walks one trie node of 88 octets per digit until the prefixes end, about seven of eleven digits. The
//! first nodes stay in L1; with 100,000 prefixes the last two or three of some 250,000 nodes (over 20 MiB) come from
//! L3 or memory, so it is three misses, 100 ns or more, where numbers are spread evenly, and some 30 ns where they repeat.
//! Then one condition of 56 octets. A choice reads weight, tier and clock of every member of its tier, two cache lines each; eight
//! members stay in L1. Weighted shares are compared; a hashed one takes a logarithm per member. A quantum of
//! up to 64 messages shares one choice. No system call.

use crate::case::{Case, Work, warmed};
use crate::pdus::number;
use bindery::ids::{CarrierId, EsmeId, PoolId};
use bindery::prng::Prng;
use bindery::route::settings::{BalanceBy, Member, MemberSettings, Pattern, PoolSettings, RouteSettings};
use bindery::route::{Ask, Balance, RouteTable};
use bindery::time::Instant;
use std::hint::black_box;

const PREFIXES: u64 = 100_000;
const MEMBERS: u32 = 8;
const TIMES: u32 = 1024;

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: TIMES as u64, rounds: 16, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] = &[
    case("route/find", find),
    case("route/find_spread", find_spread),
    case("route/balance_weighted", weighted),
    case("route/balance_least", least),
    case("route/balance_hash", hash),
];

/// A table of 100,000 drawn prefixes, nearly all of six or seven digits, a route each.
fn table() -> RouteTable {
    let mut prng = Prng::new(1);
    let routes = (0..PREFIXES).map(|at| {
        let digits = prng.below(10_000_000).to_string().into_bytes();
        RouteSettings {
            name: String::new(),
            to: vec![Pattern::Prefix(digits)],
            source: Vec::new(),
            esme: Vec::new(),
            pool: PoolId((at & 63) as u32),
        }
    });
    let routes: Vec<_> = routes.collect();
    RouteTable::new(&routes)
}

/// The route of a number among 100,000 prefixes; the numbers share their first digits.
fn find() -> Box<dyn Work> {
    found((0..TIMES).map(number).collect())
}

/// The same for numbers from everywhere, 65,536 of them by turns.
fn find_spread() -> Box<dyn Work> {
    let mut prng = Prng::new(2);
    let mut drawn = || std::array::from_fn(|_| b'0' + prng.below(10) as u8);
    found((0..1 << 16).map(|_| drawn()).collect())
}

fn found(numbers: Vec<[u8; 11]>) -> Box<dyn Work> {
    let table = table();
    let mut at = 0;
    let work = move || {
        for _ in 0..TIMES {
            at = (at + 1) % numbers.len();
            black_box(table.find(EsmeId(0), b"Bindery", black_box(&numbers[at])));
        }
    };
    warmed(work, 64)
}

/// The next of eight carriers by weight, and its charge.
fn weighted() -> Box<dyn Work> {
    balanced(BalanceBy::Weighted)
}

/// The least busy of eight.
fn least() -> Box<dyn Work> {
    balanced(BalanceBy::LeastOutstanding)
}

/// The one of eight that a destination stays with.
fn hash() -> Box<dyn Work> {
    balanced(BalanceBy::HashDestination)
}

fn balanced(balance: BalanceBy) -> Box<dyn Work> {
    let members = (0..MEMBERS).map(|id| MemberSettings {
        member: Member::Carrier(CarrierId(id)),
        weight: id % 3 + 1,
        tier: 1,
    });
    let pool = PoolSettings { balance, ..PoolSettings::weighted("main", members.collect()) };
    let mut balance = Balance::new(&[pool]);
    let work = move || {
        for at in 0..TIMES {
            let destination = number(at);
            let outstanding = |carrier: CarrierId| carrier.0 ^ at & 7;
            let ask = Ask {
                now: Instant::ZERO,
                destination: black_box(&destination),
                outstanding: black_box(&outstanding),
            };
            let path = balance.choose(PoolId(0), &ask, &mut |carrier| black_box(carrier).0 < MEMBERS);
            assert!(path.is_some_and(|path| {
                balance.charge(&path);
                path.carrier.0 < MEMBERS
            }));
        }
    };
    warmed(work, 4)
}
