//! `bindery trace` and `bindery receipts`: the life of a message, and what became of the receipts of an account, as far as
//! the journal still has them. Owns, never: as the module above.

use super::{AskError, Object, Verdict, Where, each, line_of, number, read, text};
use crate::journal::cdr::dates::Dates;
use crate::journal::cdr::{reason_name, state_name};
use crate::journal::record::NO_REASON;
use crate::journal::{Frame, Record};
use crate::smpp::frame::Pdu;
use crate::smpp::receipt::Receipt;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Wall};
use crate::tools::units;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;

/// Where the journal is.
const FOLDER: &str = "data/journal";

/// Which message.
#[derive(Debug, Clone, clap::Args)]
pub struct Trace {
    /// Its id, ours or the carrier's, or the number that it is for or from
    #[arg(value_name = "ID")]
    pub wanted: String,
    /// The journal's directory
    #[arg(short, long, value_name = "PATH", default_value = FOLDER)]
    pub journal: PathBuf,
    /// Show numbers whole
    #[arg(long)]
    pub full: bool,
    /// The records, one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Whose receipts.
#[derive(Debug, Clone, clap::Args)]
pub struct Receipts {
    /// Of this account; else of all
    #[arg(long)]
    pub esme: Option<String>,
    /// Of messages that a carrier has accepted since then
    #[arg(long, default_value = "24h", value_parser = units::duration)]
    pub since: Duration,
    /// A receipt that has not come for so long is overdue
    #[arg(long, default_value = "1h", value_parser = units::duration)]
    pub overdue: Duration,
    /// The messages whose receipt has not come, or was not answered, one a line
    #[arg(long)]
    pub list: bool,
    /// The journal's directory
    #[arg(short, long, value_name = "PATH", default_value = FOLDER)]
    pub journal: PathBuf,
    /// JSON objects
    #[arg(long)]
    pub json: bool,
}

fn named(frame: &Frame<'_>, wanted: &[u8]) -> bool {
    match frame.original() {
        Some(Record::Accept { id, pdu, .. }) => {
            let sm = Pdu::whole(pdu).and_then(|pdu| Sm::parse_deliver(&pdu).ok());
            id == wanted || sm.is_some_and(|sm| sm.destination.digits == wanted || sm.source.digits == wanted)
        }
        Some(Record::Sent { facts, .. } | Record::Finish { facts, .. }) => {
            [facts.id, facts.message_id, facts.source].contains(&wanted)
                || facts.destination.split(|octet| *octet == b',').any(|number| number == wanted)
        }
        // A receipt that an operator asked for names its message itself.
        Some(Record::MoIn { carrier: b"", pdu, .. }) => {
            let sm = Pdu::whole(pdu).and_then(|pdu| Sm::parse_deliver(&pdu).ok());
            sm.is_some_and(|sm| {
                Receipt::parse(&sm, false).is_some_and(|receipt| receipt.id() == Some(wanted))
            })
        }
        _ => false,
    }
}

/// Writes the life of each message that is meant.
///
/// # Errors
/// As `answer`.
pub fn trace(asked: &Trace, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let wanted = asked.wanted.trim_start_matches('+').as_bytes();
    let mut found = false;
    let at = Where { path: asked.journal.clone(), shard: None };
    let verdict = each(&at, &mut |path, shard| {
        let mut keys = HashSet::new();
        read(path, shard, &mut |frame, _| {
            if named(frame, wanted) {
                keys.insert(frame.key);
            }
        })?;
        let mut lives: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut dates = Dates::default();
        let report = read(path, shard, &mut |frame, place| {
            if !keys.contains(&frame.key) {
                return;
            }
            let life = lives.entry(frame.key).or_default();
            if asked.json {
                life.push(line_of(shard, frame, place, asked.full).finish());
            } else if let Some(told) = told(frame, asked.full) {
                let time = dates.text(place.wall);
                life.push(format!("  {}  {told}", String::from_utf8_lossy(&time)));
            }
        })?;
        found |= !lives.is_empty();
        for (key, life) in &lives {
            if !asked.json {
                writeln!(out, "message {key}, shard {shard}")?;
            }
            life.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(report.report.verdict())
    })?;
    if !found && !asked.json {
        writeln!(out, "the journal has no message of that id or number, or has none any more")?;
    }
    Ok(verdict)
}

fn status(status: u32) -> String {
    CommandStatus(status).to_string()
}

/// A record as people say it; a copy says nothing new.
fn told(frame: &Frame<'_>, full: bool) -> Option<String> {
    let receipt = |pdu: &[u8]| {
        let sm = Pdu::whole(pdu).and_then(|pdu| Some((pdu, Sm::parse_deliver(&pdu).ok()?)));
        let receipt = sm.as_ref().and_then(|(_, sm)| Receipt::parse(sm, false));
        receipt.and_then(|receipt| receipt.state).map_or("?", |state| state.stat())
    };
    Some(match frame.record()? {
        Record::Accept { esme, id, due, .. } => {
            let later = if due > 0 { ", for later" } else { "" };
            format!("taken from {}, answered with id {}{later}", text(esme), text(id))
        }
        Record::Sending { attempt, carrier } => format!("attempt {attempt}: to {}", text(carrier)),
        Record::Refused { attempt, status: 0, carrier, .. } => {
            format!("attempt {attempt}: not given to {}", text(carrier))
        }
        Record::Refused { attempt, status: code, wait_ms, carrier } => {
            format!(
                "attempt {attempt}: {} refused it with {}, next in {wait_ms} ms",
                text(carrier),
                status(code)
            )
        }
        Record::Sent { awaited, facts, .. } => {
            let (esme, id, carrier) = (text(facts.esme), text(facts.id), text(facts.carrier));
            let (to, theirs) = (number(facts.destination, full), text(facts.message_id));
            format!("{esme} to {to}, id {id:?}: at {carrier} as {theirs:?}, receipts to come: {awaited}")
        }
        Record::DlrIn { carrier, pdu } => {
            let from = if carrier.is_empty() { "us".to_owned() } else { text(carrier) };
            format!("receipt {} of {from}", receipt(pdu))
        }
        Record::DlrOut { status: code, .. } => {
            format!("its account answered a receipt with {}", status(code))
        }
        Record::MoIn { carrier: b"", esme, pdu } => {
            format!("receipt {} once more for {}, by an operator", receipt(pdu), text(esme))
        }
        Record::MoIn { carrier, esme, .. } => format!("MO of {} for {}", text(carrier), text(esme)),
        Record::Finish { state, status: code, reason, error, facts, .. } => {
            let why = if reason == NO_REASON { String::new() } else { format!(", {}", reason_name(reason)) };
            let error = if error.is_empty() { String::new() } else { format!(", error {}", text(error)) };
            let (esme, to) = (text(facts.esme), number(facts.destination, full));
            format!(
                "over, {esme} to {to}: {}, {}{why}{error}, attempts {}",
                state_name(state),
                status(code),
                facts.attempts
            )
        }
        Record::Tombstone { .. } => "over".to_owned(),
        Record::Steer { held, pool } => {
            let held = if held { "held" } else { "not held" };
            let pool =
                if pool.is_empty() { "its own pool".to_owned() } else { format!("pool {}", text(pool)) };
            format!("{held}, for {pool}, by an operator")
        }
        Record::Move { .. } | Record::Cursor { .. } | Record::Block { .. } => return None,
    })
}

/// What became of the receipts of an account.
#[derive(Debug, Default)]
struct Sums {
    asked: u64,
    returned: u64,
    answered: u64,
    waiting: u64,
    awaited: u64,
    overdue: u64,
}

/// A message whose receipts are not over.
struct Open {
    esme: Vec<u8>,
    id: Vec<u8>,
    submitted: i64,
    awaited: u64,
    came: u64,
    answered: u64,
}

/// Writes what became of receipts, by account.
///
/// # Errors
/// As `answer`.
pub fn receipts(asked: &Receipts, now: Wall, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let from = now.0.saturating_sub(micros(asked.since));
    let late = now.0.saturating_sub(micros(asked.overdue));
    let is_meant = |esme: &[u8]| asked.esme.as_ref().is_none_or(|wanted| wanted.as_bytes() == esme);
    let mut sums: BTreeMap<Vec<u8>, Sums> = BTreeMap::new();
    let mut lines: Vec<(i64, Open)> = Vec::new();
    let at = Where { path: asked.journal.clone(), shard: None };
    let verdict = each(&at, &mut |path, shard| {
        let mut open: HashMap<u64, Open> = HashMap::new();
        let report = read(path, shard, &mut |frame, _| match frame.record() {
            Some(Record::Sent { awaited, facts, .. }) if is_meant(facts.esme) && facts.submitted >= from => {
                let sums = sums.entry(facts.esme.to_vec()).or_default();
                sums.asked += u64::from(awaited);
                let (esme, id) = (facts.esme.to_vec(), facts.id.to_vec());
                let id = if id.is_empty() { facts.message_id.to_vec() } else { id };
                let (submitted, awaited) = (facts.submitted, u64::from(awaited));
                open.insert(frame.key, Open { esme, id, submitted, awaited, came: 0, answered: 0 });
            }
            Some(Record::DlrIn { .. }) => {
                if let Some(message) = open.get_mut(&frame.key) {
                    message.came += 1;
                    sums.entry(message.esme.clone()).or_default().returned += 1;
                }
            }
            Some(Record::DlrOut { .. }) => {
                if let Some(message) = open.get_mut(&frame.key) {
                    message.answered += 1;
                    sums.entry(message.esme.clone()).or_default().answered += 1;
                }
            }
            Some(Record::Finish { .. }) => {
                if let Some(message) = open.remove(&frame.key) {
                    let last = message.came.saturating_sub(message.answered).min(1);
                    sums.entry(message.esme).or_default().answered += last;
                }
            }
            _ => {}
        })?;
        for message in open.into_values() {
            let sums = sums.entry(message.esme.clone()).or_default();
            sums.waiting += message.came.saturating_sub(message.answered);
            let missing = message.awaited.saturating_sub(message.came);
            sums.awaited += missing;
            sums.overdue += if message.submitted < late { missing } else { 0 };
            if asked.list {
                lines.push((message.submitted, message));
            }
        }
        Ok(report.report.verdict())
    })?;
    lines.sort_by_key(|(submitted, _)| *submitted);
    write_sums(asked.json, &sums, out)?;
    let mut dates = Dates::default();
    for (submitted, message) in &lines {
        let time = dates.text(Wall(*submitted));
        let time = String::from_utf8_lossy(&time).into_owned();
        let why = if message.came > message.answered { "waits for its account" } else { "not come" };
        if asked.json {
            let mut object = Object::new();
            object.text("esme", &text(&message.esme)).text("id", &text(&message.id));
            object.text("submitted", &time).text("why", why);
            writeln!(out, "{}", object.finish())?;
        } else {
            writeln!(out, "  {time}  {}  {}  {why}", text(&message.esme), text(&message.id))?;
        }
    }
    Ok(verdict)
}

fn write_sums(json: bool, sums: &BTreeMap<Vec<u8>, Sums>, out: &mut dyn Write) -> std::io::Result<()> {
    for (esme, sums) in sums {
        let all = [
            ("asked", sums.asked),
            ("returned", sums.returned),
            ("answered", sums.answered),
            ("waiting", sums.waiting),
            ("awaited", sums.awaited),
            ("overdue", sums.overdue),
        ];
        if json {
            let mut object = Object::new();
            object.text("esme", &text(esme));
            for (name, count) in all {
                object.number(name, count);
            }
            writeln!(out, "{}", object.finish())?;
        } else {
            let said: Vec<String> = all.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(out, "{}: {}", text(esme), said.join(", "))?;
        }
    }
    Ok(())
}
