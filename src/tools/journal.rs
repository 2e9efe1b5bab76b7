//! `bindery journal`: what a journal says, for people and scripts.
//!
//! Owns: nothing. Takes: a directory and, of a running node, what moves in it meanwhile. Gives: JSON lines and a verdict.
//! Never: writes to the directory, waits for a node, shows a number or a body that was not asked for.

pub mod life;
mod more;
pub mod person;

use crate::io::journal::ReadOnly;
use crate::journal::cipher::is_sealed;
use crate::journal::record::NO_REASON;
use crate::journal::recover::{Missing, Place, Recovered, Recovery, Refusal, Report, Verdict};
use crate::journal::{Book, DiskError, Facts, Frame, Kind, Lsn, Record};
use crate::limits::JOURNAL_RECORDS_SHOWN_MAX;
use crate::tools::json::Object;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A running node may give a segment back while it is read: what looks damaged is looked at again so often.
const LOOKS: usize = 3;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub enum Ask {
    /// Check every octet: exit code 0 sound, or torn as after a crash; 8 damage; 9 acknowledged data missing
    Verify(Where),
    /// The segments
    Ls(Where),
    /// The records, one a line
    Cat(Cat),
    /// Messages, receipts and blocks that are not finished, one a line
    Pending(Where),
    /// How many records of each kind there are, how messages ended, from when to when
    Stats(Where),
    /// Every record of a message, by the id that the account or the carrier knows
    Find(Find),
    /// What is missing or damaged, one range a line
    Holes(Where),
    /// How far the sinks have come; of the files of a sink with --cdr
    Cursors(Sinks),
    /// The call detail records that are in the journal, one a line, with whole numbers
    Export(Range),
    /// The JSON Schema of a call detail record
    CdrSchema(Schema),
}

/// Which journal.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// The journal's directory
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Only this shard
    #[arg(long, value_name = "N")]
    pub shard: Option<u32>,
}

/// Which records.
#[derive(Debug, clap::Args)]
pub struct Cat {
    /// Which journal.
    #[command(flatten)]
    pub at: Where,
    /// From this record on
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    pub from: u64,
    /// Only of this kind: ACCEPT, SENT, FINISH …
    #[arg(long = "type", value_name = "KIND")]
    pub kind: Option<String>,
    /// Only of this message
    #[arg(long, value_name = "ID")]
    pub key: Option<u64>,
    /// Show numbers and bodies, too
    #[arg(long)]
    pub full: bool,
}

/// Which message.
#[derive(Debug, clap::Args)]
pub struct Find {
    /// Which journal.
    #[command(flatten)]
    pub at: Where,
    /// Its id: ours or the carrier's
    #[arg(long, value_name = "ID")]
    pub message_id: String,
    /// Show numbers and bodies, too
    #[arg(long)]
    pub full: bool,
}

/// Which sinks.
#[derive(Debug, clap::Args)]
pub struct Sinks {
    /// Which journal.
    #[command(flatten)]
    pub at: Where,
    /// Files of a sink, as configured: data/cdr/{date}.jsonl
    #[arg(long, value_name = "PATH")]
    pub cdr: Vec<PathBuf>,
}

/// From where.
#[derive(Debug, clap::Args)]
pub struct Range {
    /// Which journal.
    #[command(flatten)]
    pub at: Where,
    /// From this record on
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    pub from: u64,
}

/// No journal is needed.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// A journal's directory, for symmetry; it is not looked at
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The journal cannot be read.
    Journal(Refusal),
    /// There are no files of a journal.
    Nothing(PathBuf),
    /// The answer cannot be written.
    Output(std::io::Error),
}

impl core::fmt::Display for AskError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Journal(refusal) => write!(out, "{refusal}"),
            Self::Nothing(path) => write!(out, "{}: no journal is there", path.display()),
            Self::Output(error) => write!(out, "{error}"),
        }
    }
}

impl core::error::Error for AskError {}

impl From<Refusal> for AskError {
    fn from(refusal: Refusal) -> Self {
        Self::Journal(refusal)
    }
}

impl From<DiskError> for AskError {
    fn from(error: DiskError) -> Self {
        Self::Journal(Refusal::Disk(error))
    }
}

impl From<std::io::Error> for AskError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Answers. Gives how the journal is, of all that was read.
///
/// # Errors
/// It cannot be read, or the answer cannot be written.
pub fn answer(ask: &Ask, out: &mut dyn Write) -> Result<Verdict, AskError> {
    match ask {
        Ask::Verify(at) => each(at, &mut |at, shard| verify(at, shard, out)),
        Ask::Ls(at) => each(at, &mut |at, shard| list(at, shard, out)),
        Ask::Cat(cat) => each(&cat.at, &mut |at, shard| records(at, shard, cat, out)),
        Ask::Pending(at) => each(at, &mut |at, shard| pending(at, shard, out)),
        Ask::Stats(at) => each(at, &mut |at, shard| more::stats(at, shard, out)),
        Ask::Find(find) => each(&find.at, &mut |at, shard| more::find(at, shard, find, out)),
        Ask::Holes(at) => each(at, &mut |at, shard| more::holes(at, shard, out)),
        Ask::Cursors(sinks) => {
            let files = more::positions(&sinks.cdr)?;
            each(&sinks.at, &mut |at, shard| more::cursors(at, shard, &files, out))
        }
        Ask::Export(range) => each(&range.at, &mut |at, shard| more::export(at, shard, range.from, out)),
        Ask::CdrSchema(_) => {
            write!(out, "{}", crate::journal::cdr::SCHEMA)?;
            Ok(Verdict::Sound)
        }
    }
}

fn each(
    at: &Where,
    one: &mut dyn FnMut(&Path, u32) -> Result<Verdict, AskError>,
) -> Result<Verdict, AskError> {
    let shards = ReadOnly::new(&at.path).shards()?;
    let wanted = shards.into_iter().filter(|shard| at.shard.is_none_or(|wanted| wanted == *shard));
    let verdicts: Vec<Verdict> = wanted.map(|shard| one(&at.path, shard)).collect::<Result<_, _>>()?;
    verdicts.into_iter().max().ok_or_else(|| AskError::Nothing(at.path.clone()))
}

type Visit<'a> = dyn FnMut(&Frame<'_>, &Place) + 'a;

fn read(path: &Path, shard: u32, visit: &mut Visit<'_>) -> Result<Recovered, Refusal> {
    Recovery { shard, journal: None }.run(&mut ReadOnly::new(path), visit)
}

/// The best of a few looks.
fn look(path: &Path, shard: u32) -> Result<Recovered, Refusal> {
    let mut best: Option<Recovered> = None;
    for _ in 0..LOOKS {
        match read(path, shard, &mut |_, _| ()) {
            Err(Refusal::Disk(DiskError::Gone)) => continue,
            Err(refusal) => return Err(refusal),
            Ok(found) => {
                let verdict = found.report.verdict();
                if best.as_ref().is_none_or(|best| verdict < best.report.verdict()) {
                    best = Some(found);
                }
                if verdict <= Verdict::Torn {
                    break;
                }
            }
        }
    }
    best.ok_or(Refusal::Disk(DiskError::Gone))
}

/// The same, and whose that is which is missing. A node that gives something back meanwhile leaves that untold.
fn look_closer(path: &Path, shard: u32) -> Result<Recovered, Refusal> {
    let mut found = look(path, shard)?;
    let recovery = Recovery { shard, journal: None };
    found.report.concerned = match recovery.concerned(&mut ReadOnly::new(path), &found) {
        Err(Refusal::Disk(DiskError::Gone)) => None,
        concerned => Some(concerned?),
    };
    Ok(found)
}

/// A range that is missing, and the accounts that something in it is of; without `accounts` nobody could look.
fn say_gap(object: &mut Object, report: &Report, gap: &Missing) {
    object.number("first", gap.first.0).number("last", gap.last.0);
    if let Some(concerned) = &report.concerned {
        let of_it = concerned.iter().filter(|concerned| concerned.missing == *gap);
        let names: Vec<String> = of_it.map(|concerned| concerned.account.clone()).collect();
        object.texts("accounts", &names);
    }
}

fn verify(path: &Path, shard: u32, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let found = look_closer(path, shard)?;
    writeln!(out, "{}", verdict_of(shard, &found.report, found.end).finish())?;
    Ok(found.report.verdict())
}

fn verdict_of(shard: u32, report: &Report, end: Lsn) -> Object {
    let missing = report.missing.iter().map(|gap| {
        let mut object = Object::new();
        say_gap(&mut object, report, gap);
        object
    });
    let damage = report.damage.iter().map(|(file, damage)| {
        let mut object = Object::new();
        object.text("file", file).number("at", damage.at).number("octets", damage.octets);
        object
    });
    let (missing, damage) = (missing.collect(), damage.collect());
    let mut object = Object::new();
    object
        .number("shard", u64::from(shard))
        .text("verdict", report.verdict().name())
        .number("segments", report.segments)
        .number("records", report.records)
        .number("octets", report.octets)
        .number("front", report.front.0)
        .number("durable", report.durable.0)
        .number("end", end.0)
        .number("missing_records", report.missing_records)
        .objects("missing", missing)
        .number("damaged_places", report.damaged_places)
        .objects("damage", damage)
        .number("void_records", report.void)
        .flag("torn", report.torn);
    object
}

fn list(path: &Path, shard: u32, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let found = look(path, shard)?;
    for segment in &found.segments {
        let mut object = Object::new();
        object
            .number("shard", u64::from(shard))
            .number("segment", segment.number)
            .text("file", &segment.name)
            .number("base", segment.base.0)
            .number("octets", segment.length);
        writeln!(out, "{}", object.finish())?;
    }
    Ok(found.report.verdict())
}

fn records(path: &Path, shard: u32, cat: &Cat, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let mut failed = None;
    let wanted = |frame: &Frame<'_>| {
        let name = frame.kind().map_or("UNKNOWN", Kind::name);
        frame.lsn.0 >= cat.from
            && cat.key.is_none_or(|key| key == frame.key)
            && cat.kind.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case(name))
    };
    let found = read(path, shard, &mut |frame, place| {
        if failed.is_none() && wanted(frame) {
            failed = writeln!(out, "{}", line_of(shard, frame, place, cat.full).finish()).err();
        }
    })?;
    failed.map_or(Ok(found.report.verdict()), |error| Err(AskError::Output(error)))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The last two digits, or all of it.
fn number(octets: &[u8], full: bool) -> String {
    let all = text(octets);
    let shown = if full { 0 } else { all.chars().count().saturating_sub(2) };
    all.chars().enumerate().map(|(at, digit)| if at < shown { '*' } else { digit }).collect()
}

fn line_of(shard: u32, frame: &Frame<'_>, place: &Place, full: bool) -> Object {
    let mut object = Object::new();
    object
        .number("shard", u64::from(shard))
        .number("lsn", frame.lsn.0)
        .text("type", frame.kind().map_or("UNKNOWN", Kind::name))
        .number("key", frame.key)
        .number("time_us", place.wall.0.max(0).cast_unsigned())
        .number("segment", place.segment)
        .number("at", place.at);
    match frame.record() {
        Some(record) => content(&mut object, &record, full),
        None => {
            object.number("kind", u64::from(frame.kind)).number("octets", frame.payload.len() as u64);
        }
    }
    object
}

fn body(object: &mut Object, pdu: &[u8], full: bool) {
    object.number("pdu_octets", pdu.len() as u64);
    if is_sealed(pdu) {
        object.flag("sealed", true);
    }
    if full {
        object.text("pdu", &hex(pdu));
    }
}

fn known(object: &mut Object, facts: &Facts<'_>, full: bool) {
    for (name, time) in [("accepted_us", facts.accepted), ("submitted_us", facts.submitted)] {
        object.number(name, time.max(0).cast_unsigned());
    }
    object.number("attempts", u64::from(facts.attempts)).number("parts", u64::from(facts.parts));
    object.number("data_coding", u64::from(facts.data_coding));
    object.text("esme", &text(facts.esme)).text("id", &text(facts.id));
    object.text("carrier", &text(facts.carrier)).text("message_id", &text(facts.message_id));
    object.text("source", &number(facts.source, full)).text("destination", &number(facts.destination, full));
}

fn content(object: &mut Object, record: &Record<'_>, full: bool) {
    match *record {
        Record::Accept { accepted, validity, due, esme, id, pdu } => {
            object.text("esme", &text(esme)).text("id", &text(id));
            for (name, time) in [("accepted_us", accepted), ("validity_us", validity), ("due_us", due)] {
                object.number(name, time.max(0).cast_unsigned());
            }
            body(object, pdu, full);
        }
        Record::Sending { attempt, carrier } => {
            object.number("attempt", u64::from(attempt)).text("carrier", &text(carrier));
        }
        Record::Refused { attempt, status, wait_ms, carrier } => {
            object.number("attempt", u64::from(attempt)).text("carrier", &text(carrier));
            object.number("status", u64::from(status)).number("wait_ms", u64::from(wait_ms));
        }
        Record::Sent { awaited, facts, .. } => {
            object.number("awaited", u64::from(awaited));
            known(object, &facts, full);
        }
        Record::DlrIn { carrier, pdu } => {
            object.text("carrier", &text(carrier));
            body(object, pdu, full);
        }
        Record::DlrOut { of, at, state, status } => {
            object.number("of", of.0).number("record", at.0);
            object.number("state", u64::from(state)).number("status", u64::from(status));
        }
        Record::MoIn { carrier, esme, pdu } => {
            object.text("carrier", &text(carrier)).text("esme", &text(esme));
            body(object, pdu, full);
        }
        Record::Finish { state, status, reason, fault, error, price, currency, facts } => {
            object.number("state", u64::from(state)).number("status", u64::from(status));
            if reason != NO_REASON {
                object.number("reason", u64::from(reason));
            }
            object.text("fault", fault.name()).text("error", &text(error));
            if !currency.is_empty() {
                object.text("price_millionths", &price.to_string()).text("currency", &text(currency));
            }
            known(object, &facts, full);
        }
        Record::Tombstone { reason } => {
            object.number("reason", u64::from(reason));
        }
        Record::Move { from, origin, kind, payload, .. } => {
            object.number("from", from.0).number("origin", origin.0);
            object.text("of", Kind::of(kind).map_or("UNKNOWN", Kind::name));
            object.number("octets", payload.len() as u64);
        }
        Record::Cursor { upto, sink } => {
            object.number("upto", upto.0).text("sink", &text(sink));
        }
        Record::Block { until, rule } => {
            object.number("until_us", until.max(0).cast_unsigned()).text("rule", &text(rule));
        }
        Record::Steer { held, pool } => {
            object.flag("held", held).text("pool", &text(pool));
        }
    }
}

/// An open key: its first record as it was first written, and how many there are.
struct Open {
    kind: &'static str,
    since_us: i64,
}

fn pending(path: &Path, shard: u32, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let mut book = Book::new(JOURNAL_RECORDS_SHOWN_MAX);
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    let mut full = false;
    let found = read(path, shard, &mut |frame, place| {
        full |= book.note(frame, place.octets).is_err();
        if book.records_of(frame.key).next().is_none() {
            open.remove(&frame.key);
            return;
        }
        let first = || match frame.record() {
            Some(Record::Move { kind, wall, .. }) => {
                Open { kind: Kind::of(kind).map_or("UNKNOWN", Kind::name), since_us: wall }
            }
            _ => Open { kind: frame.kind().map_or("UNKNOWN", Kind::name), since_us: place.wall.0 },
        };
        open.entry(frame.key).or_insert_with(first);
    })?;
    for (key, first) in &open {
        let mut object = Object::new();
        object
            .number("shard", u64::from(shard))
            .number("key", *key)
            .text("type", first.kind)
            .number("since_us", first.since_us.max(0).cast_unsigned())
            .number("records", book.records_of(*key).count() as u64);
        writeln!(out, "{}", object.finish())?;
    }
    if full {
        writeln!(out, "{{\"cut\":true}}")?;
    }
    Ok(found.report.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::concerned::Concerned;
    use crate::journal::frame::{Head, frame_len, write};

    #[test]
    fn numbers_and_bodies_are_shown_only_when_asked_for() {
        let facts = Facts { message_id: b"7", destination: b"38267", ..Facts::default() };
        let record = Record::Sent { awaited: 1, kept: false, over: b"", facts };
        let mut octets = vec![0; frame_len(record.len())];
        write(&mut octets, &Head { lsn: Lsn(3), key: 9, time_ms: 0 }, &record, record.len());
        let (frame, _) = Frame::unsealed(&octets).unwrap();
        let place = Place { segment: 1, at: 8256, wall: crate::time::Wall(5), octets: 48, is_over: false };
        let masked = line_of(0, &frame, &place, false).finish();
        let full = line_of(0, &frame, &place, true).finish();
        let value: serde_json::Value = serde_json::from_str(&masked).unwrap();
        assert_eq!((&value["type"], &value["destination"]), (&"SENT".into(), &"***67".into()));
        assert!(full.contains("\"38267\"") && value["message_id"] == "7");
        let mut body_of = [Object::new(), Object::new()];
        body(&mut body_of[0], b"\x01\xff", false);
        body(&mut body_of[1], b"\x01\xff", true);
        assert_eq!(
            body_of.map(Object::finish),
            ["{\"pdu_octets\":2}", "{\"pdu_octets\":2,\"pdu\":\"01ff\"}"]
        );
    }

    #[test]
    fn a_range_that_is_missing_is_said_with_those_whose_it_is() {
        let [gap, other] = [5, 9].map(|lsn| Missing { first: Lsn(lsn), last: Lsn(lsn + 1) });
        let concerned = [("acme", gap), ("bank", gap), ("carol", other)]
            .map(|(account, missing)| Concerned { account: account.to_owned(), missing });
        let mut report = Report { concerned: Some(concerned.to_vec()), ..Report::default() };
        let said = |report: &Report| {
            let mut object = Object::new();
            say_gap(&mut object, report, &gap);
            object.finish()
        };
        assert_eq!(said(&report), "{\"first\":5,\"last\":6,\"accounts\":[\"acme\",\"bank\"]}");
        report.concerned = None;
        assert_eq!(said(&report), "{\"first\":5,\"last\":6}");
    }

    #[test]
    fn where_no_journal_is_there_is_no_verdict() {
        let at = Where { path: PathBuf::from("/nonexistent"), shard: None };
        assert!(matches!(answer(&Ask::Verify(at), &mut Vec::new()), Err(AskError::Journal(_))));
    }
}
