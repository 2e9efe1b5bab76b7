//! `/metrics`: the cells of the shards in the text format 0.0.4 of Prometheus. Owns: the names. Takes: the
//! configuration's names, the cells. Gives: the page. Never: an account and a carrier on one metric, a number or an id.

use super::{View, cdr, gauges, journal};
use crate::counters::{
    BINDS, CarrierCounters, Dropped, EsmeCounters, Ignored, MESSAGE_STATES, Match, NodeCounters, Reason,
    SLOT_STATES, Spans, StatusCells, TurnedAway,
};
use crate::limits::{
    AFFINITY_MAX, JOURNAL_NEEDED_MAX, JOURNAL_OPEN_MAX, LANE_CREDITS, RECEIPTS_AWAITED_MAX,
    REFUSALS_HELD_MAX, RETAINED_MAX, SOURCES_MAX, STORED_MAX, STORED_OCTETS_MAX,
};
use crate::shard::status::Status;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::Ordering;

const BIND_NAMES: [&str; BINDS] = ["tx", "rx", "trx"];

type Labels<'a> = &'a [(&'a str, &'a str)];

/// The page as it grows.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a metric; its samples follow.
    pub(super) fn metric(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP bindery_{name} {help}\n# TYPE bindery_{name} {kind}");
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &str) {
        debug_assert!(name.ends_with("_total"));
        self.metric(name, "counter", help);
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str) {
        self.metric(name, "gauge", help);
    }

    pub(super) fn sample(&mut self, labels: Labels<'_>, value: u64) {
        self.labels(labels);
        let _ = writeln!(self.text, " {value}");
    }

    /// How long things took: one series of a histogram.
    pub(super) fn spans(&mut self, labels: Labels<'_>, spans: &Spans) {
        let (name, mut count) = (self.name, 0);
        for (bound, sum) in spans.cumulated() {
            count = sum;
            let le = bound.map_or_else(|| "+Inf".to_owned(), |micros| (micros as f64 / 1e6).to_string());
            self.text.push_str("bindery_");
            let _ = write!(self.text, "{name}_bucket{{");
            for (label, text) in labels {
                let _ = write!(self.text, "{label}=\"{}\",", escaped(text));
            }
            let _ = writeln!(self.text, "le=\"{le}\"}} {sum}");
        }
        let sum = spans.sum_us() as f64 / 1e6;
        for (suffix, value) in [("sum", sum.to_string()), ("count", count.to_string())] {
            let _ = write!(self.text, "bindery_{name}_{suffix}");
            self.braced(labels);
            let _ = writeln!(self.text, " {value}");
        }
    }

    /// A sample in thousandths.
    pub(super) fn sample_milli(&mut self, labels: Labels<'_>, value: u64) {
        self.labels(labels);
        let _ = writeln!(self.text, " {}.{:03}", value / 1000, value % 1000);
    }

    fn labels(&mut self, labels: Labels<'_>) {
        let _ = write!(self.text, "bindery_{}", self.name);
        self.braced(labels);
    }

    fn braced(&mut self, labels: Labels<'_>) {
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        self.text.push_str(if labels.is_empty() { "" } else { "}" });
    }

    /// A sample that says nothing while it is zero: there are too many such cells.
    fn sample_if_any(&mut self, labels: Labels<'_>, value: u64) {
        if value > 0 {
            self.sample(labels, value);
        }
    }

    fn statuses(&mut self, label: &str, name: &str, cells: &StatusCells) {
        for (status, count) in cells.all() {
            let status = status.map_or("other", |status| CommandStatus(status).name().unwrap_or("other"));
            self.sample_if_any(&[(label, name), ("status", status)], count);
        }
    }
}

/// A label's value: the format escapes these three.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The names beside the cells.
struct Named<'a> {
    esmes: Vec<(&'a str, &'a EsmeCounters, u64)>,
    carriers: Vec<(&'a str, &'a CarrierCounters, u64)>,
}

/// The whole page.
pub(super) fn render(view: &View, brief: Option<&Status>) -> String {
    let (config, counters) = (&*view.config, &*view.counters);
    let esmes = config.esmes.iter().zip(counters.esmes.iter());
    let carriers = config.carriers.iter().zip(counters.carriers.iter());
    let named = Named {
        esmes: esmes.map(|(it, cells)| (&*it.name, cells, u64::from(it.window_max))).collect(),
        carriers: carriers.map(|(it, cells)| (&*it.name, cells, u64::from(it.window_max))).collect(),
    };
    let mut page = Page::default();
    sessions(&mut page, &named, counters);
    hostile(&mut page, counters);
    submits(&mut page, &named, counters);
    receipts(&mut page, &named);
    windows(&mut page, &named);
    node(&mut page, view);
    shards(&mut page, view);
    gauges::spans(&mut page, view);
    gauges::limits(&mut page, view);
    journal::metrics(&mut page, view);
    cdr::metrics(&mut page, view.journal.sinks());
    if let Some(brief) = brief {
        gauges::of(&mut page, view, brief);
    }
    page.text
}

fn sessions(page: &mut Page, named: &Named<'_>, counters: &NodeCounters) {
    page.gauge("sessions", "Sessions, by side, account or carrier, bind and state.");
    for (name, cells, _) in &named.esmes {
        for (place, bind) in BIND_NAMES.iter().enumerate() {
            let labels = [("side", "esme"), ("name", name), ("bind", bind), ("state", "bound")];
            page.sample(&labels, cells.sessions_by_bind.at(place).get());
        }
    }
    for (name, cells, _) in &named.carriers {
        for (row, bind) in BIND_NAMES.iter().enumerate() {
            for (column, state) in SLOT_STATES.iter().enumerate() {
                let labels = [("side", "carrier"), ("name", name), ("bind", bind), ("state", state)];
                let count = cells.slots.at(row * SLOT_STATES.len() + column).get();
                if count > 0 || *state == "bound" {
                    page.sample(&labels, count);
                }
            }
        }
    }
    page.counter("binds_total", "Binds, by how they ended; name is empty while the account is not known.");
    let unknown = [("side", "esme"), ("name", ""), ("result", "refused")];
    page.sample(&unknown, counters.sum(|shard| &shard.binds_refused));
    for (name, cells, _) in &named.esmes {
        page.sample(&[("side", "esme"), ("name", name), ("result", "ok")], cells.binds.get());
        page.sample(&[("side", "esme"), ("name", name), ("result", "refused")], cells.binds_refused.get());
    }
    for (name, cells, _) in &named.carriers {
        page.sample(&[("side", "carrier"), ("name", name), ("result", "ok")], cells.binds.get());
        page.sample(&[("side", "carrier"), ("name", name), ("result", "failed")], cells.binds_failed.get());
    }
}

/// Who was not let in, and whom we put out.
fn hostile(page: &mut Page, counters: &NodeCounters) {
    page.counter("connections_refused_total", "Connections closed before they bound, by reason.");
    for reason in TurnedAway::ALL {
        let count = counters.sum(|shard| shard.turned_away.at(*reason as usize));
        page.sample(&[("reason", reason.name())], count);
    }
    page.counter("sessions_dropped_total", "Sessions and links that we closed, by reason.");
    for reason in Dropped::ALL {
        let count = counters.sum(|shard| shard.dropped.at(*reason as usize));
        page.sample(&[("reason", reason.name())], count);
    }
    page.counter("framing_lost_total", "Links closed because no later octet of them could be trusted.");
    page.sample(&[], counters.sum(|shard| &shard.framing_lost));
}

fn submits(page: &mut Page, named: &Named<'_>, counters: &NodeCounters) {
    page.counter("esme_submits_total", "Submits of an account, by what they were answered with.");
    for (name, cells, _) in &named.esmes {
        page.statuses("esme", name, &cells.answers);
    }
    page.counter("carrier_submits_total", "Submits that a carrier answered, by what it answered.");
    for (name, cells, _) in &named.carriers {
        page.statuses("carrier", name, &cells.answers);
    }
    page.counter(
        "refusals_total",
        "Requests that were refused here, by reason; esme is empty before the bind.",
    );
    for reason in Reason::ALL {
        let count = counters.sum(|shard| shard.refusals.at(*reason as usize));
        page.sample_if_any(&[("esme", ""), ("reason", reason.name())], count);
    }
    for (name, cells, _) in &named.esmes {
        for reason in Reason::ALL {
            let count = cells.refusals.at(*reason as usize).get();
            page.sample_if_any(&[("esme", name), ("reason", reason.name())], count);
        }
    }
    page.counter("unknown_total", "Requests that were written to a carrier and never answered.");
    for (name, cells, _) in &named.carriers {
        page.sample(&[("carrier", name)], cells.unknown.get());
    }
}

fn receipts(page: &mut Page, named: &Named<'_>) {
    page.counter("esme_receipts_total", "Receipts that an account took, by what became of the message.");
    for (name, cells, _) in &named.esmes {
        for state in MessageState::ALL {
            let count = cells.receipts_by_state.at(usize::from(state.octet())).get();
            page.sample_if_any(&[("esme", name), ("state", state.name())], count);
        }
    }
    page.counter("carrier_receipts_total", "Receipts of a carrier, by state and by what became of them.");
    for (name, cells, _) in &named.carriers {
        for (row, matched) in Match::ALL.iter().enumerate() {
            for state in MessageState::ALL {
                let count =
                    cells.receipts_by_state.at(row * MESSAGE_STATES + usize::from(state.octet())).get();
                let labels = [("carrier", *name), ("state", state.name()), ("match", matched.name())];
                page.sample_if_any(&labels, count);
            }
        }
    }
    page.gauge("receipts_parked", "Receipts that wait for their message to become known.");
    for (name, cells, _) in &named.carriers {
        page.sample(&[("carrier", name)], cells.parked.get());
    }
    page.counter("mo_total", "MO of a carrier, by target and by what the carrier was answered.");
    for (name, cells, _) in &named.carriers {
        for (status, count) in cells.mo_by_status.all() {
            let status = status.map_or("other", |status| CommandStatus(status).name().unwrap_or("other"));
            page.sample_if_any(&[("carrier", name), ("target", "esme"), ("status", status)], count);
        }
    }
}

fn windows(page: &mut Page, named: &Named<'_>) {
    page.gauge("window_used", "Requests in flight: of an account to here, from here to a carrier.");
    for (name, cells, _) in &named.esmes {
        page.sample(&[("side", "esme"), ("name", name)], cells.window_used());
    }
    for (name, cells, _) in &named.carriers {
        page.sample(&[("side", "carrier"), ("name", name)], cells.window_used());
    }
    page.gauge("window_max", "Most requests in flight over the sessions that are bound and send.");
    let sending = |row: &[u64; BINDS]| row[0] + row[2];
    for (name, cells, window) in &named.esmes {
        let bound = core::array::from_fn(|bind| cells.sessions_by_bind.at(bind).get());
        page.sample(&[("side", "esme"), ("name", name)], sending(&bound) * window);
    }
    for (name, cells, window) in &named.carriers {
        let bound = core::array::from_fn(|bind| cells.slots.at(bind * SLOT_STATES.len() + 3).get());
        page.sample(&[("side", "carrier"), ("name", name)], sending(&bound) * window);
    }
    page.gauge("queue_messages", "Messages that wait for a carrier.");
    for (name, cells, _) in &named.carriers {
        page.sample(&[("carrier", name)], cells.queued.get());
    }
}

fn node(page: &mut Page, view: &View) {
    let (config, counters) = (&view.config, &view.counters);
    let shards = counters.shards.len() as u64;
    let links: u64 = config.listeners.iter().map(|it| u64::from(it.connections_max)).sum();
    let sockets: u64 = config.carriers.iter().map(|it| u64::from(it.sessions)).sum();
    let unbound: u64 = config.listeners.iter().map(|it| u64::from(it.unbound_max)).sum();
    // Every shard knows every ban.
    let bans = counters.shards.iter().map(|shard| shard.bans.get()).max().unwrap_or(0);
    let credits = if shards > 1 { shards * u64::from(LANE_CREDITS) } else { 0 };
    let mut tables = vec![
        ("links", counters.sum(|shard| &shard.links), links + sockets),
        ("unbound", counters.sum(|shard| &shard.unbound), unbound),
        ("refusals_held", counters.sum(|shard| &shard.refusals_held), shards * REFUSALS_HELD_MAX as u64),
        ("addresses", counters.sum(|shard| &shard.sources), shards * SOURCES_MAX as u64),
        ("bans", bans, SOURCES_MAX as u64),
        ("credits", counters.sum(|shard| &shard.credits_used), credits),
        ("parts", counters.sum(|shard| &shard.affinity), shards * AFFINITY_MAX as u64),
        ("receipt_index", counters.sum(|shard| &shard.indexed), shards * RECEIPTS_AWAITED_MAX as u64),
        ("retained_octets", counters.sum(|shard| &shard.retained), shards * RETAINED_MAX as u64),
    ];
    if let Some(state) = view.journal.state() {
        tables.push(("journal_ring", state.ring_used, state.ring_max));
        let open = counters.sum(|shard| &shard.journal_open);
        tables.push(("journal_open", open, shards * JOURNAL_OPEN_MAX as u64));
        let asleep = counters.sum(|shard| &shard.journal_asleep);
        tables.push(("journal_asleep", asleep, shards * JOURNAL_NEEDED_MAX as u64));
        tables.push(("stored", counters.sum(|shard| &shard.stored), shards * STORED_MAX as u64));
        let octets = counters.sum(|shard| &shard.stored_octets);
        tables.push(("stored_octets", octets, shards * STORED_OCTETS_MAX));
    }
    page.gauge("table_used", "Entries in a bounded table.");
    for (table, used, _) in &tables {
        page.sample(&[("table", table)], *used);
    }
    // They are bounded by the messages and links that they are about.
    let posts = counters.loops.iter().map(|cells| cells.posts_waiting.get()).sum();
    page.sample(&[("table", "posts_waiting")], posts);
    page.gauge("table_max", "Most entries of a bounded table.");
    for (table, _, max) in &tables {
        page.sample(&[("table", table)], *max);
    }
    page.counter("ignored_total", "What no answer is possible or due for, by reason.");
    for reason in Ignored::ALL {
        let count = counters.sum(|shard| shard.ignored.at(*reason as usize));
        page.sample(&[("reason", reason.name())], count);
    }
    page.counter("log_dropped_total", "Log lines not written because their event was over its bound.");
    page.sample(&[], counters.sum(|shard| &shard.log_dropped));
    page.gauge("build_info", "Always 1; the version is a label.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn shards(page: &mut Page, view: &View) {
    page.gauge("shard_busy_ratio", "Share of its time that a shard worked, over the last seconds.");
    for (shard, busy) in view.busy.iter().enumerate() {
        page.sample_milli(&[("shard", &shard.to_string())], busy.load(Ordering::Relaxed));
    }
    page.counter("shard_mail_total", "Letters and links from shard to shard.");
    for (from, cells) in view.counters.loops.iter().enumerate() {
        for (to, count) in cells.mail.iter().enumerate().filter(|(to, _)| *to != from) {
            page.sample(&[("from", &from.to_string()), ("to", &to.to_string())], count.get());
        }
    }
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
