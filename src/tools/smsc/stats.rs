//! What a simulated carrier counts. Owns: the counters, one writer. Takes: what happened. Gives: a line for people
//! and an object for programs, from any thread. Never: waits.

pub use crate::counters::Counter;
use crate::smpp::status::CommandStatus;
use crate::tools::json::Object;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Different statuses that are counted apart; the others count together.
const STATUSES: usize = 32;
/// Accounts that are counted apart; the others count together.
const ACCOUNTS: usize = 64;

/// A gauge that remembers its greatest value.
#[derive(Debug, Default)]
pub struct Peak {
    /// Now.
    pub now: Counter,
    /// The most ever.
    pub max: Counter,
}

impl Peak {
    pub(super) fn up(&self) {
        self.now.add(1);
        if self.now.get() > self.max.get() {
            self.max.set(self.now.get());
        }
    }

    pub(super) fn down(&self) {
        assert!(self.now.get() > 0);
        self.now.set(self.now.get() - 1);
    }
}

/// Counts by status. ESME_ROK is the first.
#[derive(Debug, Default)]
pub struct Statuses {
    /// The number of each slot plus one; zero is free.
    keys: [AtomicU64; STATUSES],
    counts: [Counter; STATUSES],
}

impl Statuses {
    pub(in crate::tools) fn add(&self, status: CommandStatus) {
        let key = u64::from(status.0) + 1;
        let last = STATUSES - 1;
        for (at, (slot, count)) in self.keys.iter().zip(&self.counts).enumerate() {
            let held = slot.load(Ordering::Relaxed);
            if held == 0 || at == last {
                // The last slot stands for every status that found no slot of its own.
                let key = if at == last { u64::MAX } else { key };
                slot.store(key, Ordering::Relaxed);
            } else if held != key {
                continue;
            }
            return count.add(1);
        }
    }

    /// Each status with its count, `None` for those that are counted together.
    pub fn iter(&self) -> impl Iterator<Item = (Option<CommandStatus>, u64)> {
        self.keys.iter().zip(&self.counts).filter_map(|(slot, count)| {
            let key = slot.load(Ordering::Relaxed);
            let status = u32::try_from(key.wrapping_sub(1)).ok().map(CommandStatus);
            (key != 0).then(|| (status, count.get()))
        })
    }

    /// The count of one status.
    #[must_use]
    pub fn of(&self, status: CommandStatus) -> u64 {
        self.iter().find(|(found, _)| *found == Some(status)).map_or(0, |(_, count)| count)
    }

    /// As a JSON object by name.
    #[must_use]
    pub fn json(&self) -> Object {
        let mut object = Object::new();
        for (status, count) in self.iter() {
            object.number(&status.map_or_else(|| "other".to_owned(), |status| status.to_string()), count);
        }
        object
    }
}

/// What one account did.
#[derive(Debug, Default)]
pub struct AccountStats {
    name: OnceLock<String>,
    /// Bound sessions.
    pub binds: Peak,
    /// submit_sm, submit_multi, data_sm and broadcast_sm that came.
    pub submits: Counter,
    /// Those that were answered ESME_ROK.
    pub accepted: Counter,
    /// Receipts that it answered ESME_ROK.
    pub receipts_acked: Counter,
}

impl AccountStats {
    /// Its system_id; empty for a slot without an account.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.get().map_or("", String::as_str)
    }

    fn json(&self) -> Object {
        let mut object = Object::new();
        object.number("binds", self.binds.now.get()).number("binds_max", self.binds.max.get());
        object.number("submits", self.submits.get()).number("accepted", self.accepted.get());
        object.number("receipts_acked", self.receipts_acked.get());
        object
    }
}

/// All that is counted.
#[derive(Debug)]
pub struct Stats {
    /// Open TCP links.
    pub sockets: Peak,
    /// Bound sessions.
    pub binds: Peak,
    /// Binds that were refused.
    pub binds_refused: Counter,
    /// submit_sm, submit_multi, data_sm and broadcast_sm that came.
    pub submits: Counter,
    /// Their responses by status.
    pub responses: Statuses,
    /// Submits that were never answered on purpose.
    pub dropped: Counter,
    /// Accepted messages whose answer was held back on purpose.
    pub late: Counter,
    /// Receipts given to a link, each attempt.
    pub receipts_sent: Counter,
    /// Of these, sent before the response.
    pub receipts_early: Counter,
    /// Second copies made on purpose.
    pub receipts_duplicated: Counter,
    /// Lost on purpose.
    pub receipts_lost: Counter,
    /// Answered ESME_ROK.
    pub receipts_acked: Counter,
    /// Answered something else.
    pub receipts_refused: Counter,
    /// Attempts after the first.
    pub receipts_resent: Counter,
    /// Given up after the last attempt, a final refusal, or because too many wait.
    pub receipts_given_up: Counter,
    /// MO messages given to a link, each attempt.
    pub mo_sent: Counter,
    /// Answered ESME_ROK.
    pub mo_acked: Counter,
    /// Answered something else.
    pub mo_refused: Counter,
    /// MO messages given up, or due while nobody was bound to receive.
    pub mo_given_up: Counter,
    /// Links closed because their framing was lost.
    pub framing_lost: Counter,
    /// Sessions closed at random.
    pub sessions_closed: Counter,
    /// Responses to nothing that is in flight.
    pub responses_unknown: Counter,
    accounts: [AccountStats; ACCOUNTS],
}

impl Default for Stats {
    fn default() -> Self {
        let counter = Counter::default;
        Self {
            sockets: Peak::default(),
            binds: Peak::default(),
            binds_refused: counter(),
            submits: counter(),
            responses: Statuses::default(),
            dropped: counter(),
            late: counter(),
            receipts_sent: counter(),
            receipts_early: counter(),
            receipts_duplicated: counter(),
            receipts_lost: counter(),
            receipts_acked: counter(),
            receipts_refused: counter(),
            receipts_resent: counter(),
            receipts_given_up: counter(),
            mo_sent: counter(),
            mo_acked: counter(),
            mo_refused: counter(),
            mo_given_up: counter(),
            framing_lost: counter(),
            sessions_closed: counter(),
            responses_unknown: counter(),
            accounts: core::array::from_fn(|_| AccountStats::default()),
        }
    }
}

impl Stats {
    /// The counters of the account at `index`; the last slot is for all that found none.
    #[must_use]
    pub fn account(&self, index: usize) -> &AccountStats {
        let [.., last] = &self.accounts;
        self.accounts.get(index).unwrap_or(last)
    }

    pub(super) fn name_account(&self, index: usize, name: &str) {
        let name = if index + 1 >= ACCOUNTS { "(others)" } else { name };
        self.account(index).name.get_or_init(|| name.to_owned());
    }

    /// The accounts that were seen.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountStats> {
        self.accounts.iter().filter(|account| !account.name().is_empty())
    }

    fn numbers(&self) -> [(&'static str, u64); 19] {
        [
            ("sockets", self.sockets.now.get()),
            ("sockets_max", self.sockets.max.get()),
            ("binds", self.binds.now.get()),
            ("binds_max", self.binds.max.get()),
            ("binds_refused", self.binds_refused.get()),
            ("submits", self.submits.get()),
            ("dropped", self.dropped.get()),
            ("late", self.late.get()),
            ("receipts_sent", self.receipts_sent.get()),
            ("receipts_early", self.receipts_early.get()),
            ("receipts_duplicated", self.receipts_duplicated.get()),
            ("receipts_lost", self.receipts_lost.get()),
            ("receipts_acked", self.receipts_acked.get()),
            ("receipts_refused", self.receipts_refused.get()),
            ("receipts_resent", self.receipts_resent.get()),
            ("receipts_given_up", self.receipts_given_up.get()),
            ("mo_sent", self.mo_sent.get()),
            ("mo_acked", self.mo_acked.get()),
            ("mo_refused", self.mo_refused.get()),
        ]
    }

    /// One JSON object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = Object::new();
        for (name, value) in self.numbers() {
            object.number(name, value);
        }
        object.number("mo_given_up", self.mo_given_up.get()).number("framing_lost", self.framing_lost.get());
        object.number("responses_unknown", self.responses_unknown.get());
        object.number("sessions_closed", self.sessions_closed.get());
        object.object("responses", self.responses.json());
        let mut accounts = Object::new();
        for account in self.accounts() {
            accounts.object(account.name(), account.json());
        }
        object.object("accounts", accounts);
        object.finish()
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in self.numbers() {
            let always = matches!(name, "binds" | "submits" | "receipts_sent" | "receipts_acked");
            if always || value > 0 {
                line.push_str(&format!("{name}={value} "));
            }
        }
        for (status, count) in self.responses.iter() {
            let name = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
            line.push_str(&format!("{name}={count} "));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_over_the_limit_are_counted_together_and_none_is_lost() {
        let statuses = Statuses::default();
        statuses.add(CommandStatus::OK);
        for _ in 0..2 {
            (0x400..0x430).for_each(|status| statuses.add(CommandStatus(status)));
        }
        assert_eq!((statuses.of(CommandStatus::OK), statuses.of(CommandStatus(0x400))), (1, 2));
        assert_eq!(statuses.iter().map(|(_, count)| count).sum::<u64>(), 1 + 2 * 0x30);
        assert_eq!(statuses.iter().last(), Some((None, 2 * (0x30 - 30))));
    }

    #[test]
    fn the_report_is_json_with_every_account() {
        let stats = Stats::default();
        stats.name_account(0, "acme");
        stats.account(0).submits.add(3);
        stats.sockets.up();
        stats.sockets.up();
        stats.sockets.down();
        stats.responses.add(CommandStatus::THROTTLED);
        let value: serde_json::Value = serde_json::from_str(&stats.json()).unwrap();
        assert_eq!(value["accounts"]["acme"]["submits"], 3);
        assert_eq!((&value["sockets"], &value["sockets_max"]), (&1.into(), &2.into()));
        assert_eq!(value["responses"]["ESME_RTHROTTLED"], 1);
        assert!(stats.line().contains("ESME_RTHROTTLED=1"));
    }
}
