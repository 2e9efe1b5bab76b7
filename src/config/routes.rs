//! `[pool.NAME]`, `[[route]]` and `[[mo_route]]`. Owns: their defaults and ranges. Takes: the tables and all
//! names. Gives: the settings. Never: a route to a name that does not exist, a pool inside itself.

use super::document::{Document, Named};
use super::names::Names;
use super::patterns::Patterns;
use super::report::{Notes, Place};
use super::table::{Item, Table};
use super::{TIMER_MAX, TIMER_MIN, keys};
use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::limits::{CARRIERS_MAX, ESMES_MAX, POOL_MEMBERS_MAX, POOLS_MAX, ROUTES_MAX, TIER_MAX, WEIGHT_MAX};
use crate::route::settings::{
    BalanceBy, EjectSettings, Member, MemberSettings, MoRouteSettings, Nobody, OnUnknown, PoolSettings,
    RouteSettings,
};
use crate::smpp::message_state::MessageState;
use crate::time::Duration;
use std::collections::HashMap;

/// The names that routes and pools refer to.
pub(super) struct Directory<'a> {
    pub(super) esmes: Names<'a>,
    pub(super) carriers: Names<'a>,
    pub(super) pools: Names<'a>,
    pub(super) policies: Names<'a>,
    pub(super) classes: Names<'a>,
}

/// Reads every pool.
pub(super) fn read_pools(
    document: &Document<'_>,
    directory: &Directory<'_>,
    notes: &mut Notes,
) -> Vec<PoolSettings> {
    if is_over(document.pools.get(POOLS_MAX).map(|pool| pool.place), "pool", POOLS_MAX, notes) {
        return Vec::new();
    }
    document.pools.iter().map(|pool| read_pool(pool, directory, notes)).collect()
}

fn is_over(place: Option<Place>, key: &str, max: usize, notes: &mut Notes) -> bool {
    if let Some(place) = place {
        notes.error(place, key.to_owned(), "one too many").allowed(format!("at most {max}"));
    }
    place.is_some()
}

fn read_pool(pool: &Named<'_>, directory: &Directory<'_>, notes: &mut Notes) -> PoolSettings {
    let table = &pool.table;
    table.check_keys(notes, &keys::POOL);
    let ways = [
        ("weighted", BalanceBy::Weighted),
        ("least_outstanding", BalanceBy::LeastOutstanding),
        ("hash_destination", BalanceBy::HashDestination),
    ];
    let unknowns = [("fail", OnUnknown::Fail), ("resend", OnUnknown::Resend), ("hold", OnUnknown::Hold)];
    let on_unknown = table.choice(notes, "on_unknown", &unknowns, &[]).unwrap_or(OnUnknown::Fail);
    PoolSettings {
        name: pool.name.to_owned(),
        balance: table.choice(notes, "balance", &ways, &["cost", "quality"]).unwrap_or(BalanceBy::Weighted),
        members: read_members(pool, directory, notes),
        on_unknown,
        reroute_on_receipt: read_reroute(table, notes),
        resend_after: read_resend_after(table, on_unknown, notes),
        eject: read_eject(table, notes),
    }
}

fn read_reroute(table: &Table<'_>, notes: &mut Notes) -> Vec<MessageState> {
    const STATES: [MessageState; 5] = [
        MessageState::Undeliverable,
        MessageState::Expired,
        MessageState::Rejected,
        MessageState::Deleted,
        MessageState::Unknown,
    ];
    const ALLOWED: &str = "a list of \"UNDELIV\", \"EXPIRED\", \"REJECTD\", \"DELETED\", \"UNKNOWN\"";
    let Some(item) = table.get("reroute_on_receipt") else { return Vec::new() };
    let items = item.list(notes, STATES.len(), ALLOWED);
    let state = |item: Item<'_>| {
        let found =
            item.value.as_str().and_then(|text| STATES.into_iter().find(|state| state.stat() == text));
        if found.is_none() {
            item.refuse(notes, ALLOWED);
        }
        found
    };
    items.into_iter().filter_map(state).collect()
}

fn read_resend_after(table: &Table<'_>, on_unknown: OnUnknown, notes: &mut Notes) -> Duration {
    if let Some(item) = table.get("resend_after").filter(|_| on_unknown != OnUnknown::Hold) {
        let message = "nothing is held here";
        notes.error(item.place, item.path(), message).help("remove it, or set on_unknown = \"hold\"");
    }
    let range = Duration::from_secs(1)..=Duration::from_secs(72 * 3600);
    table.duration(notes, "resend_after", range, Duration::from_secs(600))
}

fn read_members(pool: &Named<'_>, directory: &Directory<'_>, notes: &mut Notes) -> Vec<MemberSettings> {
    let table = &pool.table;
    let mut members: Vec<MemberSettings> = Vec::new();
    let allowed = "a list of members, such as [{ carrier = \"alpha\", weight = 3 }]";
    match table.get("members") {
        None => table.missing(notes, "members", allowed),
        Some(item) => {
            for item in item.list(notes, POOL_MEMBERS_MAX, allowed) {
                let Some(member) = read_member(&item, directory, notes) else {
                    continue;
                };
                if members.iter().any(|other| other.member == member.member) {
                    notes.error(item.place, item.path(), "this member stands in the pool twice");
                }
                members.push(member);
            }
        }
    }
    if !members.is_empty() && members.iter().all(|member| member.weight == 0) {
        let message = "every member has weight 0: this pool takes nothing";
        notes.warning(pool.place, table.path.clone(), message);
    }
    members
}

/// Without it nobody is ejected; what it does not say has a default.
fn read_eject(table: &Table<'_>, notes: &mut Notes) -> Option<EjectSettings> {
    let item = table.get("eject")?;
    let table = item.table(notes, "{ errors = \"30%\", over = \"10s\", for = \"30s\" }")?;
    table.check_keys(notes, &keys::EJECT);
    let timer = || TIMER_MIN..=TIMER_MAX;
    Some(EjectSettings {
        errors_percent: table.percent(notes, "errors", 1..=100, 30),
        over: table.duration(notes, "over", timer(), Duration::from_secs(10)),
        for_time: table.duration(notes, "for", timer(), Duration::from_secs(30)),
    })
}

fn read_member(item: &Item<'_>, directory: &Directory<'_>, notes: &mut Notes) -> Option<MemberSettings> {
    let allowed = "{ carrier = \"NAME\" } or { pool = \"NAME\" }, each with weight and tier";
    let table = item.table(notes, allowed)?;
    table.check_keys(notes, &keys::MEMBER);
    let weight = table.count(notes, "weight", 0..=WEIGHT_MAX, 1);
    let tier = table.count(notes, "tier", 1..=TIER_MAX, 1);
    let member = match (table.get("carrier"), table.get("pool")) {
        (Some(carrier), None) => {
            directory.carriers.resolve(&carrier, notes).map(CarrierId::new).map(Member::Carrier)
        }
        (None, Some(pool)) => directory.pools.resolve(&pool, notes).map(PoolId::new).map(Member::Pool),
        (Some(_), Some(_)) => {
            notes.error(item.place, item.path(), "found both a carrier and a pool").allowed(allowed);
            None
        }
        (None, None) => {
            notes.error(item.place, item.path(), "found neither a carrier nor a pool").allowed(allowed);
            None
        }
    };
    Some(MemberSettings { member: member?, weight, tier })
}

/// The names of routes that were read, and where they stand.
type Taken = HashMap<String, Place>;

/// Reads every `[[route]]`.
pub(super) fn read_routes(
    document: &Document<'_>,
    directory: &Directory<'_>,
    patterns: &mut Patterns<'_, '_>,
    notes: &mut Notes,
) -> Vec<RouteSettings> {
    let tables = &document.routes;
    if is_over(tables.get(ROUTES_MAX).map(|table| table.place), "route", ROUTES_MAX, notes) {
        return Vec::new();
    }
    let mut taken = Taken::new();
    let read = |table| read_route(table, directory, (&mut taken, patterns), notes);
    let routes: Vec<Option<RouteSettings>> = tables.iter().map(read).collect();
    let all = routes.iter().position(|route| {
        route
            .as_ref()
            .is_some_and(|route| route.to.is_empty() && route.source.is_empty() && route.esme.is_empty())
    });
    if let Some(all) = all
        && let (Some(next), false) = (tables.get(all + 1), notes.has_errors())
    {
        let message = "no message gets here: an earlier route takes them all";
        notes
            .warning(next.place, next.path.clone(), message)
            .other(tables[all].place, "this one has no condition");
    }
    routes.into_iter().flatten().collect()
}

fn read_route(
    table: &Table<'_>,
    directory: &Directory<'_>,
    (taken, patterns): (&mut Taken, &mut Patterns<'_, '_>),
    notes: &mut Notes,
) -> Option<RouteSettings> {
    table.check_keys(notes, &keys::ROUTE);
    let name = read_name(table, taken, notes);
    let when = table.get("when").and_then(|item| item.table(notes, "a table of conditions"));
    let (mut to, mut source, mut esme) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(when) = &when {
        when.check_keys(notes, &keys::WHEN);
        to = patterns.read(when, "to", notes);
        source = patterns.read(when, "source", notes);
        esme = resolve_all(when, "esme", ESMES_MAX, &directory.esmes, notes);
    }
    let Some(pool) = table.get("pool") else {
        table.missing(notes, "pool", "the name of a [pool.NAME] table");
        return None;
    };
    let pool = PoolId::new(directory.pools.resolve(&pool, notes)?);
    let esme = esme.into_iter().map(EsmeId::new).collect();
    Some(RouteSettings { name, to, source, esme, pool })
}

/// Reads every `[[mo_route]]`.
pub(super) fn read_mo_routes(
    document: &Document<'_>,
    directory: &Directory<'_>,
    patterns: &mut Patterns<'_, '_>,
    notes: &mut Notes,
) -> Vec<MoRouteSettings> {
    let tables = &document.mo_routes;
    if is_over(tables.get(ROUTES_MAX).map(|table| table.place), "mo_route", ROUTES_MAX, notes) {
        return Vec::new();
    }
    let mut taken = Taken::new();
    tables.iter().map(|table| read_mo_route(table, directory, (&mut taken, patterns), notes)).collect()
}

fn read_mo_route(
    table: &Table<'_>,
    directory: &Directory<'_>,
    (taken, patterns): (&mut Taken, &mut Patterns<'_, '_>),
    notes: &mut Notes,
) -> MoRouteSettings {
    table.check_keys(notes, &keys::MO_ROUTE);
    table.choice(notes, "fan_out", &[("first", ())], &["all"]);
    let nobody = [("refuse", Nobody::Refuse), ("queue", Nobody::Queue)];
    let nobody = table.choice(notes, "nobody", &nobody, &[]).unwrap_or(Nobody::Refuse);
    let name = read_name(table, taken, notes);
    let when = table.get("when").and_then(|item| item.table(notes, "a table of conditions"));
    let (mut to, mut carrier) = (Vec::new(), Vec::new());
    if let Some(when) = &when {
        when.check_keys(notes, &keys::MO_WHEN);
        to = patterns.read(when, "to", notes);
        carrier = resolve_all(when, "carrier", CARRIERS_MAX, &directory.carriers, notes);
    }
    let carrier = carrier.into_iter().map(CarrierId::new).collect();
    let deliver = read_deliver(table, directory, notes);
    MoRouteSettings { name, carrier, to, deliver, nobody }
}

fn read_deliver(table: &Table<'_>, directory: &Directory<'_>, notes: &mut Notes) -> Vec<EsmeId> {
    let allowed = "a list of targets, such as [{ esme = \"acme\" }]";
    let Some(item) = table.get("deliver") else {
        table.missing(notes, "deliver", allowed);
        return Vec::new();
    };
    let mut deliver = Vec::new();
    for item in item.list(notes, ESMES_MAX, allowed) {
        let Some(target) = item.table(notes, "{ esme = \"NAME\" }") else {
            continue;
        };
        target.check_keys(notes, &keys::DELIVER);
        match target.get("esme") {
            Some(esme) => deliver.extend(directory.esmes.resolve(&esme, notes).map(EsmeId::new)),
            None if target.entries.is_empty() => target.missing(notes, "esme", "{ esme = \"NAME\" }"),
            None => {} // its keys have been refused
        }
    }
    deliver
}

/// A route without a name is called by its place in the list.
fn read_name(table: &Table<'_>, taken: &mut Taken, notes: &mut Notes) -> String {
    let Some(item) = table.get("name") else {
        return table.path.clone();
    };
    let Some(name) = item.text(notes, "a name") else {
        return String::new();
    };
    if let Some(first) = taken.insert(name.to_owned(), item.place) {
        notes
            .error(item.place, item.path(), format!("another route is called \"{}\"", name.escape_debug()))
            .other(first, "this one");
    }
    name.to_owned()
}

fn resolve_all(table: &Table<'_>, key: &str, max: usize, names: &Names<'_>, notes: &mut Notes) -> Vec<usize> {
    let Some(item) = table.get(key) else {
        return Vec::new();
    };
    let items = item.list(notes, max, "a list of names");
    items.iter().filter_map(|item| names.resolve(item, notes)).collect()
}
