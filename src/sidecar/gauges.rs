//! What is no cell: histograms as they are printed, and what the shards are asked for. Owns: the names. Takes: the
//! cells, the shards' answer. Gives: their part of the page. Never: asks.

use super::View;
use super::limits::Limit;
use super::metrics::Page;
use crate::counters::CarrierCounters;
use crate::shard::status::Status;
use std::collections::HashMap;

/// How long things take.
pub(super) fn spans(page: &mut Page, view: &View) {
    let carriers = || view.config.carriers.iter().zip(view.counters.carriers.iter());
    let mut each = |name, help, of: fn(&CarrierCounters) -> &crate::counters::Spans| {
        page.metric(name, "histogram", help);
        for (carrier, cells) in carriers() {
            page.spans(&[("carrier", &carrier.name)], of(cells));
        }
    };
    each("submit_seconds", "From written to a carrier until answered by it.", |cells| &cells.submit_spans);
    each("receipt_seconds", "From accepted by a carrier to its final receipt.", |cells| &cells.receipt_spans);
    page.metric(
        "added_seconds",
        "histogram",
        "Our own share: turns of a shard, from the first read to the last write.",
    );
    for (shard, cells) in view.counters.loops.iter().enumerate() {
        page.spans(&[("shard", &shard.to_string())], &cells.turn_spans);
    }
}

/// What limits each carrier now.
pub(super) fn limits(page: &mut Page, view: &View) {
    page.gauge("carrier_limited_by", "1 for what limits a carrier now.");
    for (carrier, state) in view.config.carriers.iter().zip(&view.carriers) {
        let found = state.limit();
        for limit in Limit::ALL {
            let labels = [("carrier", &*carrier.name), ("limit", limit.name())];
            page.sample(&labels, u64::from(found == Some(limit)));
        }
    }
}

/// What the shards say of themselves.
pub(super) fn of(page: &mut Page, view: &View, brief: &Status) {
    page.gauge(
        "queue_oldest_seconds",
        "How long the message at the head of a carrier's queue has been here.",
    );
    for carrier in &brief.carriers {
        page.sample_milli(&[("carrier", &carrier.name)], carrier.oldest_ms.unwrap_or(0));
    }
    page.gauge("carrier_pace", "PDUs a second that a carrier is written to at most; absent: no limit.");
    for carrier in &brief.carriers {
        if let Some(pace) = carrier.pace_milli {
            page.sample_milli(&[("carrier", &carrier.name)], pace);
        }
    }
    page.gauge("ejected", "1 while a pool gives a carrier nothing because it fails.");
    for pool in &view.config.pools {
        for member in &pool.members {
            let crate::route::settings::Member::Carrier(carrier) = member.member else { continue };
            let Some(carrier) = view.config.carriers.get(carrier.index()) else { continue };
            let out =
                brief.ejected.iter().any(|(in_pool, name)| *in_pool == pool.name && *name == carrier.name);
            page.sample(&[("pool", &pool.name), ("carrier", &carrier.name)], u64::from(out));
        }
    }
    page.gauge("receipts_waiting", "Receipts and MO that wait for a session of an account with room.");
    let waiting: HashMap<&str, _> = brief.accounts.iter().map(|account| (&*account.name, account)).collect();
    for esme in &view.config.esmes {
        page.sample(&[("esme", &esme.name)], waiting.get(&*esme.name).map_or(0, |account| account.waiting));
    }
    page.gauge("receipts_waiting_oldest_seconds", "How long the first of them has waited.");
    for esme in &view.config.esmes {
        let oldest = waiting.get(&*esme.name).and_then(|account| account.waiting_oldest_ms);
        page.sample_milli(&[("esme", &esme.name)], oldest.unwrap_or(0));
    }
    page.gauge("config_epoch", "Counts the configurations that were put to work since the start.");
    page.sample(&[], 1);
}
