//! What single values cannot tell. Owns: nothing. Takes: the settings and where they stand. Gives: notes of pools
//! that contain themselves, accounts that no route serves, times that no attempt can keep. Never: changes a value.

use super::Config;
use super::document::Document;
use super::journal;
use super::node::clash;
use super::report::Notes;
use super::table::join;
use super::units::duration_text;
use crate::carrier::settings::BindMode;
use crate::ids::PoolId;
use crate::limits::POOL_DEPTH;
use crate::route::settings::{Member, PoolSettings};
use crate::time::Duration;

/// Notes every relation that does not hold. Ids of the configuration are indices into the document's tables.
pub(super) fn check(config: &Config, document: &Document<'_>, notes: &mut Notes) {
    if notes.has_errors() {
        return; // half-read tables would only give false alarms
    }
    debug_assert_eq!(config.esmes.len(), document.esmes.len());
    debug_assert_eq!(config.pools.len(), document.pools.len());
    check_http(config, document, notes);
    journal::check(config, document, notes);
    if check_cycles(&config.pools, document, notes) {
        return;
    }
    check_depth(&config.pools, document, notes);
    check_binds(config, document, notes);
    check_reach(config, document, notes);
}

/// Notes HTTP at a listener's address.
fn check_http(config: &Config, document: &Document<'_>, notes: &mut Notes) {
    let address = config.http.as_ref().and_then(|http| http.address);
    let item = document.http.as_ref().and_then(|table| table.get("address"));
    let (Some(address), Some(item)) = (address, item) else {
        return;
    };
    let mut listeners = config.listeners.iter().zip(&document.listeners);
    if let Some((_, taken)) = listeners.find(|(listener, _)| clash(listener.address, address)) {
        let place = taken.get("address").map_or(taken.place, |item| item.place);
        let message = format!("{address} is taken by a listener");
        notes.error(item.place, item.path(), message).other(place, "taken here");
    }
}

/// The pools a pool contains.
fn inner(pool: &PoolSettings) -> impl Iterator<Item = usize> {
    pool.members.iter().filter_map(|member| match member.member {
        Member::Pool(inner) => Some(inner.index()),
        Member::Carrier(_) => None,
    })
}

/// The pools so ordered that each comes after those it contains; pools on or above a cycle are left out.
fn ordered(pools: &[PoolSettings]) -> Vec<usize> {
    let mut outer: Vec<Vec<usize>> = vec![Vec::new(); pools.len()];
    let mut waits: Vec<usize> = Vec::with_capacity(pools.len());
    for (index, pool) in pools.iter().enumerate() {
        inner(pool).for_each(|inner| outer[inner].push(index));
        waits.push(inner(pool).count());
    }
    let mut order: Vec<usize> = (0..pools.len()).filter(|index| waits[*index] == 0).collect();
    let mut at = 0;
    while let Some(&done) = order.get(at) {
        for &index in &outer[done] {
            waits[index] -= 1;
            if waits[index] == 0 {
                order.push(index);
            }
        }
        at += 1;
    }
    order
}

/// Notes each cycle once; true when there is one.
fn check_cycles(pools: &[PoolSettings], document: &Document<'_>, notes: &mut Notes) -> bool {
    let mut done = vec![false; pools.len()];
    ordered(pools).into_iter().for_each(|index| done[index] = true);
    let mut found = false;
    for start in 0..pools.len() {
        let mut walk: Vec<usize> = Vec::new();
        let mut at = start;
        while !done[at] {
            done[at] = true;
            walk.push(at);
            // A pool that waits contains one that waits, on this walk or an earlier one.
            let next = inner(&pools[at]).find(|inner| !done[*inner] || walk.contains(inner));
            at = next.unwrap_or(at);
        }
        let Some(first) = walk.iter().position(|pool| *pool == at).filter(|_| !walk.is_empty()) else {
            continue;
        };
        if !inner(&pools[walk[walk.len() - 1]]).any(|inner| inner == at) {
            continue; // it leads to a cycle that has been noted
        }
        found = true;
        let mut names: Vec<&str> = walk[first..].iter().map(|pool| pools[*pool].name.as_str()).collect();
        names.push(pools[at].name.as_str());
        let pool = &document.pools[at];
        let path = join(&pool.table.path, "members");
        let message = format!("this pool contains itself: {}", names.join(" → "));
        notes.error(pool.place, path, message).help("take one of them out of the other's members");
    }
    found
}

/// Notes pools that are nested deeper than a choice goes.
fn check_depth(pools: &[PoolSettings], document: &Document<'_>, notes: &mut Notes) {
    let mut depths = vec![0; pools.len()];
    for index in ordered(pools) {
        let inside = inner(&pools[index]).map(|inner| depths[inner]).max().unwrap_or(0);
        depths[index] = inside + 1;
        // Those that contain it are too deep as well; one note is enough.
        if inside == POOL_DEPTH {
            let pool = &document.pools[index];
            let message = format!("pools stand in pools {} deep here, {POOL_DEPTH} is the most", inside + 1);
            notes.error(pool.place, join(&pool.table.path, "members"), message);
        }
    }
}

/// Notes carriers that are asked for what their binds cannot do.
fn check_binds(config: &Config, document: &Document<'_>, notes: &mut Notes) {
    for (pool, named) in config.pools.iter().zip(&document.pools) {
        for (index, member) in pool.members.iter().enumerate() {
            if let Member::Carrier(id) = member.member
                && config.carriers[id.index()].bind == BindMode::Rx
            {
                let name = &config.carriers[id.index()].name;
                let path = format!("{}[{index}]", join(&named.table.path, "members"));
                let message = format!("carrier `{name}` binds as receiver and takes no message");
                let place = named.table.get("members").map_or(named.place, |item| item.place);
                let problem = notes.error(place, path, message);
                problem.help("set its `bind` to \"trx\", \"tx\" or \"tx+rx\"");
            }
        }
    }
    for (route, table) in config.mo_routes.iter().zip(&document.mo_routes) {
        let deaf = route.carrier.iter().find(|id| config.carriers[id.index()].bind == BindMode::Tx);
        if let Some(id) = deaf {
            let name = &config.carriers[id.index()].name;
            let message = format!("carrier `{name}` binds as transmitter and delivers nothing");
            notes.warning(table.place, format!("{}.when.carrier", table.path), message);
        }
    }
}

/// The shortest response_timeout of the carriers that each pool reaches.
fn quickest(config: &Config) -> Vec<Duration> {
    let mut quickest = vec![Duration::MAX; config.pools.len()];
    for index in ordered(&config.pools) {
        let times = config.pools[index].members.iter().map(|member| match member.member {
            Member::Carrier(carrier) => config.carriers[carrier.index()].response_timeout,
            Member::Pool(inner) => quickest[inner.index()],
        });
        quickest[index] = times.min().unwrap_or(Duration::MAX);
    }
    quickest
}

/// Notes accounts that reach no pool, and those whose answer_timeout leaves no time for an attempt.
fn check_reach(config: &Config, document: &Document<'_>, notes: &mut Notes) {
    let quickest = quickest(config);
    let of = |pool: PoolId| quickest[pool.index()];
    let mut reach: Vec<Option<Duration>> = config.esmes.iter().map(|esme| esme.pool.map(of)).collect();
    let mut receives = vec![false; config.esmes.len()];
    let shorter = |one: Option<Duration>, two: Duration| Some(one.map_or(two, |one| one.min(two)));
    let mut open: Option<Duration> = None;
    for route in &config.routes {
        if route.esme.is_empty() {
            open = shorter(open, of(route.pool));
        }
        for esme in &route.esme {
            reach[esme.index()] = shorter(reach[esme.index()], of(route.pool));
        }
    }
    let targets = config.mo_routes.iter().flat_map(|route| &route.deliver);
    targets.for_each(|esme| receives[esme.index()] = true);
    for (index, esme) in config.esmes.iter().enumerate() {
        let named = &document.esmes[index];
        let reached = open.map_or(reach[index], |open| shorter(reach[index], open));
        let Some(quickest) = reached else {
            if !receives[index] {
                let message = "no pool and no route: every submit is refused with ESME_RINVDSTADR";
                notes.warning(named.place, named.table.path.clone(), message).help("set `pool`");
            }
            continue;
        };
        if quickest >= esme.answer_timeout {
            let item = named.table.get("answer_timeout");
            let place = item.map_or(named.place, |item| item.place);
            let (answer, quickest) = (duration_text(esme.answer_timeout), duration_text(quickest));
            let message = format!(
                "found {answer}; the quickest carrier of `{}` has response_timeout {quickest}: no attempt could finish",
                esme.name
            );
            let path = item.map_or_else(|| join(&named.table.path, "answer_timeout"), |item| item.path());
            notes.error(place, path, message).allowed(format!("more than {quickest}"));
        }
    }
}
