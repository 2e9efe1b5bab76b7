//! `bindery cdr`: call detail records out of a sink's files. Owns: nothing. Takes: files, days in a time zone, names. Gives:
//! lines, columns or sums. Never: writes to a file; counts a line that it cannot read without saying so.

mod sums;

use crate::config::Cdr;
use crate::journal::cdr::dates::time_of;
use crate::journal::cdr::names::{DATE, Names};
use crate::journal::cdr::{COLUMNS, origin_of};
use crate::time::{Duration, Wall};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Write};
use std::path::{Path, PathBuf};
use sums::Sums;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub enum Ask {
    /// Call detail records by account and day, or their sums
    #[command(after_help = "Examples:
  bindery cdr export -c bindery.toml --from 2026-11-01 --to 2026-11-30 --tz Europe/Podgorica
  bindery cdr export 'data/cdr/{date}.jsonl' --esme acme --from 2026-11-22 --format csv
  bindery cdr export data/cdr --sum day,carrier,state

A record belongs to the day on which its message ended. PATH is a file, a folder, or the path as configured. Exit codes: 0
good; 1 it cannot be read; 8 some lines are no call detail records.")]
    Export(Box<Export>),
}

/// Which records, and how they are shown.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Files, folders, or the path of a sink
    #[arg(value_name = "PATH", required_unless_present = "config")]
    pub paths: Vec<PathBuf>,
    /// The configuration; its first [[cdr]] is read
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "paths")]
    pub config: Option<PathBuf>,
    /// Only of this account; may be given again
    #[arg(long, value_name = "NAME")]
    pub esme: Vec<String>,
    /// From this day on, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub from: Option<Date>,
    /// Up to this day, which is included
    #[arg(long, value_name = "DAY")]
    pub to: Option<Date>,
    /// The time zone of the days, as Europe/Podgorica
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    pub tz: TimeZone,
    /// Sums by these: day, esme, carrier, state, status, error, reason, fault
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub sum: Vec<Column>,
    /// How it is written: json for records, table for sums unless said
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// What sums may be made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Column {
    /// The day on which the message ended, in the time zone.
    Day,
    /// The account.
    Esme,
    /// The carrier that had it last.
    Carrier,
    /// What became of it.
    State,
    /// The last command_status.
    Status,
    /// The error of the receipt.
    Error,
    /// Why it was refused here.
    Reason,
    /// Whose fault it is.
    Fault,
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Esme => "esme",
            Self::Carrier => "carrier",
            Self::State => "state",
            Self::Status => "status",
            Self::Error => "error",
            Self::Reason => "reason",
            Self::Fault => "fault",
        }
    }
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One object a line.
    Json,
    /// Commas, with a line of names.
    Csv,
    /// For people.
    Table,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Records that were asked for.
    pub records: u64,
    /// Lines that are no call detail records.
    pub wrong: u64,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|error| error.to_string())
}

/// A file of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Nothing is written into it after this, when its name says so.
    pub(super) end: Option<Wall>,
}

/// The files of a path: itself, those in a folder, or those that the path of a sink means.
pub(super) fn files_of(path: &Path, rotate: Option<Duration>) -> std::io::Result<Vec<Found>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_file() && rotate.is_none() {
        return Ok(vec![Found { path: path.to_owned(), end: None }]);
    }
    let folder_asked = path.is_dir();
    if !folder_asked && rotate.is_none() && !name.contains(DATE) {
        let why = format!("{}: neither a file nor a folder, and without {DATE}", path.display());
        return Err(Error::new(ErrorKind::NotFound, why));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if folder_asked { path } else { parent };
    // A day at a time is the coarsest that a name with a date may mean.
    let names = (!folder_asked).then(|| Names::new(&name, rotate.unwrap_or(Duration::from_secs(86_400))));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.starts_with('.') || !entry.path().is_file() {
            continue;
        }
        match &names {
            None => found.push(Found { path: entry.path(), end: None }),
            Some(names) => {
                if let Some(begin) = names.begin_of(&file) {
                    found.push(Found { path: entry.path(), end: names.end_of(begin) });
                }
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// The times that are asked for: from, and before.
fn span(ask: &Export) -> std::io::Result<(Wall, Wall)> {
    let midnight = |day: Date| {
        let begin = day.to_zoned(ask.tz.clone()).map_err(Error::other)?;
        Ok::<Wall, Error>(Wall(begin.timestamp().as_microsecond()))
    };
    let from = ask.from.map_or(Ok(Wall(i64::MIN)), midnight)?;
    let after = ask.to.map(|day| day.tomorrow().map_err(Error::other).and_then(midnight));
    Ok((from, after.transpose()?.unwrap_or(Wall(i64::MAX))))
}

/// Reads what is asked for and writes it. `cdr`: the sink, when a configuration names it.
///
/// # Errors
/// A file cannot be read, or the answer cannot be written.
pub fn export(ask: &Export, cdr: Option<&Cdr>, out: &mut dyn Write) -> std::io::Result<Exported> {
    let (from, before) = span(ask)?;
    let mut files = Vec::new();
    for path in &ask.paths {
        files.extend(files_of(path, None)?);
    }
    if let Some(cdr) = cdr {
        files.extend(files_of(&cdr.path, Some(cdr.rotate))?);
    }
    // A line is written after its message has ended; the clock may have been put right since.
    const MARGIN: i64 = 86_400_000_000;
    files.retain(|file| file.end.is_none_or(|end| end.0.saturating_add(MARGIN) > from.0));
    let mut shown = Shown::new(ask, out)?;
    let mut exported = Exported::default();
    for file in &files {
        for line in BufReader::with_capacity(1 << 20, File::open(&file.path)?).split(b'\n') {
            let line = line?;
            match wanted(ask, &line, from, before) {
                Wanted::Yes(record, ended) => {
                    exported.records += 1;
                    shown.record(&line, &record, ended)?;
                }
                Wanted::No => {}
                Wanted::Wrong => exported.wrong += u64::from(!line.is_empty()),
            }
        }
    }
    shown.finish()?;
    Ok(exported)
}

enum Wanted {
    Yes(Value, Wall),
    No,
    Wrong,
}

fn wanted(ask: &Export, line: &[u8], from: Wall, before: Wall) -> Wanted {
    if origin_of(line).is_none() {
        return Wanted::Wrong;
    }
    let Ok(record) = serde_json::from_slice::<Value>(line) else { return Wanted::Wrong };
    let ended = record.get("final").and_then(Value::as_str).and_then(|text| time_of(text.as_bytes()));
    let Some(ended) = ended else { return Wanted::Wrong };
    let esme = record.get("esme").and_then(Value::as_str).unwrap_or_default();
    let asked = ask.esme.is_empty() || ask.esme.iter().any(|name| name == esme);
    if asked && from <= ended && ended < before { Wanted::Yes(record, ended) } else { Wanted::No }
}

/// A value as a person or a table reads it.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// One line of comma-separated values (RFC 4180).
fn csv(out: &mut dyn Write, values: &[String]) -> std::io::Result<()> {
    for (at, value) in values.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        if value.contains([',', '"', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", value.replace('"', "\"\""))?;
        } else {
            write!(out, "{comma}{value}")?;
        }
    }
    writeln!(out)
}

/// What becomes of the records.
struct Shown<'a> {
    ask: &'a Export,
    out: &'a mut dyn Write,
    sums: Option<Sums>,
}

impl<'a> Shown<'a> {
    fn new(ask: &'a Export, out: &'a mut dyn Write) -> std::io::Result<Self> {
        let sums = (!ask.sum.is_empty()).then(|| Sums::new(ask.sum.iter().map(|column| column.name())));
        if sums.is_none() && ask.format == Some(Format::Csv) {
            csv(out, &COLUMNS.map(str::to_owned))?;
        }
        Ok(Self { ask, out, sums })
    }

    fn record(&mut self, line: &[u8], record: &Value, ended: Wall) -> std::io::Result<()> {
        if let Some(sums) = &mut self.sums {
            let day = |column: Column| match column {
                Column::Day => day_of(&self.ask.tz, ended),
                column => plain(record.get(column.name())),
            };
            sums.add(self.ask.sum.iter().map(|column| day(*column)).collect(), record);
            return Ok(());
        }
        match self.ask.format {
            None | Some(Format::Json) => {
                self.out.write_all(line)?;
                writeln!(self.out)
            }
            Some(Format::Csv) => csv(self.out, &COLUMNS.map(|column| plain(record.get(column)))),
            Some(Format::Table) => {
                let few = ["final", "esme", "carrier", "id", "to", "state", "status", "error"];
                let cells = few.map(|column| plain(record.get(column)));
                writeln!(self.out, "{}", cells.join("  "))
            }
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self.sums {
            None => Ok(()),
            Some(sums) => sums.write(self.ask.format.unwrap_or(Format::Table), self.out),
        }
    }
}

fn day_of(zone: &TimeZone, at: Wall) -> String {
    Timestamp::from_microsecond(at.0)
        .map_or_else(|_| String::new(), |at| zone.to_datetime(at).date().to_string())
}

#[cfg(test)]
mod tests;
