//! Call detail records: a FINISH as a line of JSON. Owns: the columns, their names and order. Takes: a record. Gives: its
//! line; of a line, where it comes from. Never: reads JSON.
//!
//! A line ends with the journal, the shard and the number of its record: that is what it is known by, and what tells a sink
//! where to go on. `SCHEMA` describes the rest.

pub mod dates;
pub mod names;
pub mod numbers;

use super::record::NO_REASON;
use super::{Facts, Frame, Lsn, Record};
use crate::counters::Reason;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Wall;
use dates::Dates;
use std::io::Write as _;

/// The version of the columns, in each line. It changes when a column changes its meaning or goes; new ones may come.
pub const VERSION: u32 = 1;
/// A JSON Schema of a line.
pub const SCHEMA: &str = include_str!("cdr/schema.json");
/// The columns, in order.
pub const COLUMNS: [&str; 23] = [
    "v",
    "id",
    "esme",
    "carrier",
    "message_id",
    "from",
    "to",
    "parts",
    "data_coding",
    "accepted",
    "submitted",
    "final",
    "attempts",
    "state",
    "status",
    "error",
    "reason",
    "fault",
    "price",
    "currency",
    "journal",
    "shard",
    "lsn",
];

/// Which record a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The journal.
    pub journal: u128,
    /// The shard.
    pub shard: u32,
    /// The record.
    pub lsn: Lsn,
}

/// Writes the lines of one shard.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Everything between a line's own columns and its number.
    origin: String,
    dates: Dates,
}

impl Writer {
    /// For a shard of a journal.
    #[must_use]
    pub fn new(journal: u128, shard: u32) -> Self {
        let origin = format!(",\"journal\":\"{journal:032x}\",\"shard\":{shard},\"lsn\":");
        Self { origin, dates: Dates::default() }
    }

    /// Appends the line of a FINISH, with its end; false, and nothing is appended, when the record is something else or
    /// has a form that this program does not know. `ended`: when it was written.
    pub fn write(&mut self, frame: &Frame<'_>, ended: Wall, out: &mut Vec<u8>) -> bool {
        let Some(Record::Finish { state, status, reason, fault, error, price, currency, facts }) =
            frame.record()
        else {
            return false;
        };
        self.known(&facts, ended, out);
        put(out, b",\"state\":\"", state_name(state).as_bytes());
        match CommandStatus(status).name() {
            Some(name) => put(out, b"\",\"status\":\"", name.as_bytes()),
            None => {
                // Writing to a Vec does not fail.
                let _ = write!(out, "\",\"status\":\"0x{status:08X}");
            }
        }
        out.push(b'"');
        text(out, b",\"error\":", error);
        text(out, b",\"reason\":", reason_name(reason).as_bytes());
        text(out, b",\"fault\":", fault.name().as_bytes());
        money(out, price, currency);
        number(out, self.origin.as_bytes(), frame.lsn.0);
        out.extend_from_slice(b"}\n");
        true
    }

    fn known(&mut self, facts: &Facts<'_>, ended: Wall, out: &mut Vec<u8>) {
        number(out, b"{\"v\":", u64::from(VERSION));
        text(out, b",\"id\":", facts.esme_id());
        text(out, b",\"esme\":", facts.esme);
        text(out, b",\"carrier\":", facts.carrier);
        text(out, b",\"message_id\":", facts.message_id);
        text(out, b",\"from\":", facts.source);
        text(out, b",\"to\":", facts.destination);
        number(out, b",\"parts\":", u64::from(facts.parts));
        number(out, b",\"data_coding\":", u64::from(facts.data_coding));
        self.time(out, b",\"accepted\":", facts.accepted);
        self.time(out, b",\"submitted\":", facts.submitted);
        self.time(out, b",\"final\":", ended.0);
        number(out, b",\"attempts\":", u64::from(facts.attempts));
    }

    fn time(&mut self, out: &mut Vec<u8>, name: &[u8], at: i64) {
        out.extend_from_slice(name);
        if at == 0 {
            out.extend_from_slice(b"null");
            return;
        }
        put(out, b"\"", &self.dates.text(Wall(at)));
        out.push(b'"');
    }
}

fn put(out: &mut Vec<u8>, first: &[u8], second: &[u8]) {
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    put(out, name, itoa::Buffer::new().format(value).as_bytes());
}

/// A string, or null when it is empty. Octets that are no UTF-8 are taken as Latin-1.
fn text(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    if value.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'"');
    let plain = |octet: &u8| (b' '..=0x7E).contains(octet) && !matches!(octet, b'"' | b'\\');
    if value.iter().all(plain) {
        out.extend_from_slice(value);
    } else {
        escaped(out, value);
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    let utf8 = core::str::from_utf8(value).is_ok();
    for octet in value {
        match octet {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *octet]),
            b' '..=0x7E => out.push(*octet),
            0x80.. if utf8 => out.push(*octet),
            other => {
                // Writing to a Vec does not fail.
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
}

/// The price with six places, as a string: no reader rounds it.
fn money(out: &mut Vec<u8>, millionths: i64, currency: &[u8]) {
    if currency.is_empty() {
        out.extend_from_slice(b",\"price\":null,\"currency\":null");
        return;
    }
    let sign = if millionths < 0 { "-" } else { "" };
    let all = millionths.unsigned_abs();
    // Writing to a Vec does not fail.
    let _ = write!(out, ",\"price\":\"{sign}{}.{:06}\"", all / 1_000_000, all % 1_000_000);
    text(out, b",\"currency\":", currency);
}

/// Why we refused a message, by its number in a record; empty: we did not.
#[must_use]
pub fn reason_name(reason: u8) -> &'static str {
    let known = if reason == NO_REASON { None } else { Reason::ALL.get(usize::from(reason)) };
    known.map_or("", |reason| reason.name())
}

/// What became of a message, in the words of the HTTP interface.
#[must_use]
pub fn state_name(state: u8) -> &'static str {
    match MessageState::from_octet(state) {
        Some(MessageState::Scheduled) => "scheduled",
        Some(MessageState::Enroute) => "sent",
        Some(MessageState::Delivered) => "delivered",
        Some(MessageState::Expired) => "expired",
        Some(MessageState::Deleted) => "canceled",
        Some(MessageState::Undeliverable) => "undelivered",
        Some(MessageState::Accepted) => "accepted",
        Some(MessageState::Rejected) => "rejected",
        Some(MessageState::Skipped) => "skipped",
        Some(MessageState::Unknown) | None => "unknown",
    }
}

/// Which record a line is of, without its end; `None`: it is no whole line. What stands before the last columns is not
/// looked at but for octets that no line has.
#[must_use]
pub fn origin_of(line: &[u8]) -> Option<Origin> {
    if !line.starts_with(b"{\"v\":") || line.iter().any(|octet| *octet < b' ') {
        return None;
    }
    let (rest, lsn) = last_number(line.strip_suffix(b"}")?)?;
    let (rest, shard) = last_number(rest.strip_suffix(b",\"lsn\":")?)?;
    let rest = rest.strip_suffix(b"\",\"shard\":")?;
    let (rest, journal) = rest.split_at_checked(rest.len().checked_sub(32)?)?;
    rest.strip_suffix(b",\"journal\":\"")?;
    let journal = u128::from_str_radix(core::str::from_utf8(journal).ok()?, 16).ok()?;
    Some(Origin { journal, shard: u32::try_from(shard).ok()?, lsn: Lsn(lsn) })
}

fn last_number(text: &[u8]) -> Option<(&[u8], u64)> {
    let digits = text.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let (rest, digits) = text.split_at_checked(text.len() - digits)?;
    Some((rest, core::str::from_utf8(digits).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
