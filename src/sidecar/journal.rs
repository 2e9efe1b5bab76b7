//! The journal for those who watch a node. Owns: how far it was read at the start, the names. Takes: what its threads
//! count. Gives: checks that fail, metrics, its part of the status. Never: makes it wait.

use super::View;
use super::cdr;
use super::metrics::Page;
use crate::config::Journal as Settings;
use crate::io::journal::{State, Watch};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a node says of its journal.
#[derive(Debug, Default)]
pub struct Journaling {
    /// Records of the last run that were read so far.
    read: AtomicU64,
    watch: OnceLock<Watch>,
    sinks: OnceLock<Vec<Arc<cdr::Cells>>>,
    erasers: OnceLock<Vec<cdr::Eraser>>,
}

impl Journaling {
    /// One more record of the last run was read.
    pub fn has_read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// The shards run: from now on this tells how it is.
    pub fn runs(&self, watch: Watch) {
        // A node has one journal; a second one would be another node's.
        let first = self.watch.set(watch).is_ok();
        debug_assert!(first, "a node has one journal");
    }

    /// There are sinks of call detail records: these count for them, and these tell them what is wished.
    pub fn has_sinks(&self, sinks: Vec<Arc<cdr::Cells>>, erasers: Vec<cdr::Eraser>) {
        let first = self.sinks.set(sinks).is_ok() && self.erasers.set(erasers).is_ok();
        debug_assert!(first, "a node has one list of sinks");
    }

    /// What tells its sinks what is wished.
    pub(super) fn erasers(&self) -> &[cdr::Eraser] {
        self.erasers.get().map_or(&[], Vec::as_slice)
    }

    /// What its sinks count.
    pub(super) fn sinks(&self) -> &[Arc<cdr::Cells>] {
        self.sinks.get().map_or(&[], Vec::as_slice)
    }

    /// How it is; `None` when there is none, or it is still read.
    pub(super) fn state(&self) -> Option<State> {
        self.watch.get().map(Watch::state)
    }
}

/// Why no message may come, as far as the journal is concerned.
pub(super) fn failing(view: &View) -> Option<String> {
    let settings = view.config.journal.as_ref()?;
    let Some(state) = view.journal.state() else {
        let read = view.journal.read.load(Ordering::Relaxed);
        return Some(format!("journal: what the last run left is read, {read} records so far"));
    };
    fault(&state, settings, view.counters.shards.len())
}

fn fault(state: &State, settings: &Settings, shards: usize) -> Option<String> {
    if state.failed > 0 {
        return Some("journal: the disk fails, nothing can be promised".to_owned());
    }
    if state.refusing == 0 {
        return None;
    }
    let (free, total) = (u128::from(state.space_free), u128::from(state.space_total));
    // A tenth more than where it closes, as where it opens.
    let why = if free * 1000 < total * u128::from(settings.min_free) * 11 {
        "the disk is nearly full (min_free)"
    } else if u128::from(state.files) * 100 >= u128::from(settings.size_ordinary(shards)) * 80 {
        "it is nearly as large as it may be (size_max)"
    } else {
        "no segment is prepared"
    };
    Some(format!("journal: not accepting, {why}"))
}

/// Its metrics; a node without one has none.
pub(super) fn metrics(page: &mut Page, view: &View) {
    let Some(watch) = view.journal.watch.get() else { return };
    let state = watch.state();
    page.gauge("journal_bytes", "Octets of the journal's files.");
    page.sample(&[], state.files);
    page.gauge("journal_free_bytes", "Octets that are free in its file system.");
    page.sample(&[], state.space_free);
    page.metric(
        "journal_sync_seconds",
        "histogram",
        "How long the journal waited for the disk to be in step.",
    );
    for (shard, spans) in watch.syncs().enumerate() {
        page.spans(&[("shard", &shard.to_string())], spans);
    }
    page.counter("journal_failed_files_total", "Files of the journal given up after a failed write or sync.");
    page.sample(&[], state.failed_files);
    page.counter("journal_left_out_total", "Records that the journal had no room for.");
    page.sample(&[], view.counters.sum(|shard| &shard.journal_left_out));
    page.counter("journal_failed_preparations_total", "Failed attempts to prepare or put away a file.");
    page.sample(&[], state.failed_preparations);
}

/// Its part of `/v1/status`.
pub(super) fn document(view: &View) -> Value {
    let (Some(settings), Some(watch)) = (&view.config.journal, view.journal.watch.get()) else {
        return Value::Null;
    };
    let state = watch.state();
    let (syncs, micros) = watch.syncs().fold((0, 0), |(count, micros), spans| {
        (count + spans.cumulated().last().map_or(0, |(_, all)| all), micros + spans.sum_us())
    });
    json!({
        "bytes": state.files,
        "bytes_max": settings.size_max,
        "free_bytes": state.space_free,
        "ring_used_bytes": state.ring_used,
        "ring_max_bytes": state.ring_max,
        "syncs": syncs,
        "sync_ms": (syncs > 0).then(|| micros as f64 / syncs as f64 / 1000.0),
        "accepting": state.refusing == 0,
        "failed": state.failed > 0,
        "failed_files": state.failed_files,
        "failed_preparations": state.failed_preparations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esme::settings::Durability;
    use crate::time::Duration;

    fn settings() -> Settings {
        Settings {
            durability: Durability::Group,
            group_commit: Duration::ZERO,
            segment_size: 100,
            size_max: 1200,
            min_free: 10,
            retry: crate::config::Retry {
                waits: vec![Duration::from_secs(5)],
                jitter: 0,
                give_up_after: Duration::from_secs(60),
            },
        }
    }

    const WELL: State = State {
        files: 300,
        space_free: 500,
        space_total: 1000,
        ring_used: 0,
        ring_max: 1,
        refusing: 0,
        failed: 0,
        failed_files: 0,
        failed_preparations: 0,
    };

    #[test]
    fn a_journal_that_takes_nothing_says_why() {
        let said = |state: State| fault(&state, &settings(), 1);
        let refusing = State { refusing: 1, ..WELL };
        assert_eq!(said(WELL), None);
        // What was given up and written again is history.
        assert_eq!(said(State { failed_files: 3, failed_preparations: 5, ..WELL }), None);
        for (state, why) in [
            (State { space_free: 109, ..refusing }, "the disk is nearly full (min_free)"),
            (State { files: 800, ..refusing }, "it is nearly as large as it may be (size_max)"),
            (State { space_free: 110, files: 799, ..refusing }, "no segment is prepared"),
        ] {
            assert_eq!(said(state), Some(format!("journal: not accepting, {why}")));
        }
        let failed = State { failed: 1, ..refusing };
        assert_eq!(said(failed), Some("journal: the disk fails, nothing can be promised".to_owned()));
    }
}
