//! `[policy.NAME]`. Owns: its defaults and ranges. Takes: its table. Gives: the settings. Never: a burst of nothing.

use super::document::{Document, Named};
use super::keys;
use super::report::Notes;
use crate::limits::{BURST_MAX, POLICIES_MAX};
use crate::policy::Settings;

const BURST_DEFAULT: u32 = 100;

/// Reads every policy.
pub(super) fn read(document: &Document<'_>, notes: &mut Notes) -> Vec<Settings> {
    if let Some(over) = document.policies.get(POLICIES_MAX) {
        let message = format!("found {} policies", document.policies.len());
        notes.error(over.place, "policy".to_owned(), message).allowed(format!("at most {POLICIES_MAX}"));
        return Vec::new();
    }
    document.policies.iter().map(|policy| read_one(policy, notes)).collect()
}

fn read_one(policy: &Named<'_>, notes: &mut Notes) -> Settings {
    let table = &policy.table;
    table.check_keys(notes, &keys::POLICY);
    if let Some(burst) = table.get("burst").filter(|_| table.get("rate").is_none()) {
        let problem = notes.error(burst.place, burst.path(), "there is no rate that it belongs to");
        problem.help("set `rate`, or remove this key");
    }
    Settings {
        name: policy.name.to_owned(),
        rate: table.rate(notes, "rate"),
        burst: table.count(notes, "burst", 1..=BURST_MAX, BURST_DEFAULT),
    }
}
