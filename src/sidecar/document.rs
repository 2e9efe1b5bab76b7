//! `/v1/status` as JSON. Owns: the names in it. Takes: the shards' status, the cells. Gives: the document. Never: leaves
//! a name out because its value is missing: that is null.

use super::limits::{AccountState, CarrierState, Limit};
use super::{View, journal, ready};
use crate::shard::status::{AccountStatus, BadStatus, CarrierStatus, SessionStatus, Status};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

/// The document.
pub(super) fn of(view: &View, status: &Status) -> Value {
    let failing = ready::failing(view);
    let slots = |bound: bool| {
        let all = status.carriers.iter().flat_map(|carrier| &carrier.slots);
        all.filter(|slot| !bound || slot.state == "bound").count()
    };
    let esme_sessions: u64 = view.counters.esmes.iter().map(|esme| esme.sessions.get()).sum();
    let place = |name: &str| view.config.carriers.iter().position(|carrier| carrier.name == name);
    let listed: HashSet<&str> = status.accounts.iter().map(|row| &*row.name).collect();
    let esmes = view.config.esmes.iter().zip(&view.accounts);
    let states: HashMap<&str, &AccountState> =
        esmes.map(|(esme, state)| (&*esme.name, state)).filter(|(name, _)| listed.contains(name)).collect();
    let mut carriers: Vec<&CarrierStatus> = status.carriers.iter().collect();
    carriers.sort_by_cached_key(|carrier| place(&carrier.name));
    json!({
        "node": view.config.node.name,
        "shards": view.counters.shards.len(),
        "version": env!("CARGO_PKG_VERSION"),
        "ready": failing.is_empty(),
        "failing": failing,
        "draining": status.draining,
        "carrier_sessions": { "bound": slots(true), "configured": slots(false) },
        "esme_sessions": esme_sessions,
        "messages_per_second": view.rate.load(Ordering::Relaxed),
        "journal": journal::document(view),
        "queue_oldest_ms": status.carriers.iter().filter_map(|carrier| carrier.oldest_ms).max(),
        "accounts": status.accounts.iter().map(|row| account(states.get(&*row.name).copied(), row)).collect::<Vec<_>>(),
        "accounts_unlisted": status.accounts_unlisted,
        "carriers": carriers.into_iter().map(|row| carrier(view, row, place(&row.name))).collect::<Vec<_>>(),
        "sessions": status.sessions.iter().map(session).collect::<Vec<_>>(),
        "sessions_unlisted": status.sessions_unlisted,
        "strangers": status.strangers.iter().map(bad).collect::<Vec<_>>(),
    })
}

fn bad(found: &BadStatus) -> Value {
    let bad = &found.bad;
    json!({
        "what": bad.kind.name(),
        "reason": bad.reason,
        "offset": bad.offset,
        "octets": bad.octets,
        "peer": bad.peer.map(|peer| peer.to_string()),
        "ago_ms": found.ago_ms,
    })
}

fn account(state: Option<&AccountState>, account: &AccountStatus) -> Value {
    json!({
        "name": account.name,
        "sessions": account.sessions,
        "receivers": account.receivers,
        "in_flight": account.in_flight,
        "waiting": account.waiting,
        "limited_by": state.and_then(AccountState::limit),
        "bad": account.bad.iter().map(bad).collect::<Vec<_>>(),
    })
}

fn carrier(view: &View, carrier: &CarrierStatus, place: Option<usize>) -> Value {
    let state = place.and_then(|place| view.carriers.get(place));
    let slots = carrier.slots.iter().map(|slot| {
        json!({
            "bind": slot.bind,
            "state": slot.state,
            "dial_in_ms": slot.dial_in_ms,
            "bound_ms": slot.bound_ms,
        })
    });
    let error =
        carrier.last_error.as_ref().map(|error| json!({ "reason": error.reason, "ago_ms": error.ago_ms }));
    json!({
        "name": carrier.name,
        "slots": slots.collect::<Vec<_>>(),
        "window_used": carrier.window_used,
        "window_max": carrier.window_max,
        "queue": carrier.queued,
        "queue_max": carrier.queue_max,
        "queue_oldest_ms": carrier.oldest_ms,
        "pace_per_second": carrier.pace_milli.map(|milli| milli as f64 / 1000.0),
        "pace_cut": carrier.pace_cut,
        "message_id_form": carrier.id_form,
        "limited_by": state.and_then(CarrierState::limit).map(Limit::name),
        "rate_per_second": state.map(CarrierState::rate),
        "expected_per_second": state.and_then(|state| state.expected(carrier.window_max)),
        "latency_ms": state.and_then(CarrierState::latency_us).map(|micros| micros as f64 / 1000.0),
        "last_error": error,
        "bad": carrier.bad.iter().map(bad).collect::<Vec<_>>(),
    })
}

fn session(session: &SessionStatus) -> Value {
    json!({
        "side": session.side,
        "name": session.name,
        "peer": session.peer.map(|peer| peer.to_string()),
        "state": session.state,
        "version": format!("{}.{}", session.version >> 4, session.version & 0x0F),
        "window_used": session.window_used,
        "window_max": session.window_max,
        "theirs": session.theirs,
        "paused": session.paused,
        "age_ms": session.age_ms,
        "heard_ms": session.heard_ms,
    })
}
