//! What is asked of a journal beyond its records: sums, one message, holes, sinks, call detail records. Owns, never: as the
//! module above.

use super::{AskError, Find, Object, Verdict, line_of, look_closer, read, say_gap};
use crate::io::journal::ReadOnly;
use crate::journal::cdr::{Origin, Writer, origin_of, state_name};
use crate::journal::recover::Place;
use crate::journal::{Book, Follower, Frame, Kind, Lsn, Record};
use crate::limits::{JOURNAL_RECORDS_SHOWN_MAX, JOURNAL_REPORT_MAX};
use crate::tools::cdr::files_of;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

pub(super) fn stats(path: &Path, shard: u32, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut book, mut full) = (Book::new(JOURNAL_RECORDS_SHOWN_MAX), false);
    let (mut first, mut span) = (None, None::<(i64, i64)>);
    let found = read(path, shard, &mut |frame, place| {
        let kind = kinds.entry(frame.kind().map_or("UNKNOWN", Kind::name)).or_default();
        *kind = (kind.0 + 1, kind.1 + u64::from(place.octets));
        if let Some(Record::Finish { state, .. }) = frame.record() {
            *states.entry(state_name(state)).or_default() += 1;
        }
        full |= book.note(frame, place.octets).is_err();
        first.get_or_insert(frame.lsn);
        let (oldest, newest) = span.unwrap_or((place.wall.0, place.wall.0));
        span = Some((oldest.min(place.wall.0), newest.max(place.wall.0)));
    })?;
    let mut of_kinds = Object::new();
    for (kind, (records, octets)) in kinds {
        let mut one = Object::new();
        one.number("records", records).number("octets", octets);
        of_kinds.object(kind, one);
    }
    let mut of_states = Object::new();
    for (state, records) in states {
        of_states.number(state, records);
    }
    let report = &found.report;
    let (oldest, newest) = span.unwrap_or_default();
    let mut object = Object::new();
    object
        .number("shard", u64::from(shard))
        .text("journal", &format!("{:032x}", found.journal.unwrap_or_default()))
        .number("segments", report.segments)
        .number("disk_octets", found.segments.iter().map(|segment| segment.length).sum())
        .number("records", report.records)
        .number("octets", report.octets)
        .number("first", first.unwrap_or(Lsn::NONE).0)
        .number("last", found.end.0)
        .number("durable", report.durable.0)
        .number("oldest_us", oldest.max(0).cast_unsigned())
        .number("newest_us", newest.max(0).cast_unsigned())
        .number("open", book.open() as u64)
        .flag("open_cut", full)
        .object("kinds", of_kinds)
        .object("finished", of_states);
    writeln!(out, "{}", object.finish())?;
    Ok(report.verdict())
}

pub(super) fn find(path: &Path, shard: u32, find: &Find, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let wanted = find.message_id.as_bytes();
    let mut keys = HashSet::new();
    read(path, shard, &mut |frame, _| {
        let named = match frame.original() {
            Some(Record::Accept { id, .. }) => id == wanted,
            Some(Record::Sent { facts, .. } | Record::Finish { facts, .. }) => {
                facts.id == wanted || facts.message_id == wanted
            }
            _ => false,
        };
        if named {
            keys.insert(frame.key);
        }
    })?;
    let mut failed = None;
    let found = read(path, shard, &mut |frame, place| {
        if failed.is_none() && keys.contains(&frame.key) {
            failed = writeln!(out, "{}", line_of(shard, frame, place, find.full).finish()).err();
        }
    })?;
    failed.map_or(Ok(found.report.verdict()), |error| Err(AskError::Output(error)))
}

pub(super) fn holes(path: &Path, shard: u32, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let found = look_closer(path, shard)?;
    let report = &found.report;
    for gap in &report.missing {
        let mut object = Object::new();
        object.number("shard", u64::from(shard)).text("type", "missing");
        say_gap(&mut object, report, gap);
        object.number("records", gap.last.0 - gap.first.0 + 1);
        writeln!(out, "{}", object.finish())?;
    }
    for (file, damage) in &report.damage {
        let mut object = Object::new();
        object.number("shard", u64::from(shard)).text("type", "damage").text("file", file);
        object.number("at", damage.at).number("octets", damage.octets).number("first", damage.lsn.0);
        writeln!(out, "{}", object.finish())?;
    }
    if report.missing.len() == JOURNAL_REPORT_MAX || report.damage.len() == JOURNAL_REPORT_MAX {
        writeln!(out, "{{\"cut\":true}}")?;
    }
    Ok(report.verdict())
}

/// The last record of each shard that the files of a sink have.
pub(super) struct Position {
    path: PathBuf,
    last: BTreeMap<(u128, u32), Lsn>,
}

pub(super) fn positions(sinks: &[PathBuf]) -> Result<Vec<Position>, AskError> {
    let mut all = Vec::new();
    for path in sinks {
        let mut last: BTreeMap<(u128, u32), Lsn> = BTreeMap::new();
        for file in files_of(path, None)? {
            for line in BufReader::new(File::open(file.path)?).split(b'\n') {
                if let Some(Origin { journal, shard, lsn }) = origin_of(&line?) {
                    let known = last.entry((journal, shard)).or_default();
                    *known = (*known).max(lsn);
                }
            }
        }
        all.push(Position { path: path.clone(), last });
    }
    Ok(all)
}

pub(super) fn cursors(
    path: &Path,
    shard: u32,
    files: &[Position],
    out: &mut dyn Write,
) -> Result<Verdict, AskError> {
    let journal = Follower::new(shard).journal(&mut ReadOnly::new(path))?.unwrap_or_default();
    let upto = |position: &Position| position.last.get(&(journal, shard)).copied().unwrap_or_default();
    let mut behind: Vec<(&Position, Lsn, u64)> = files.iter().map(|file| (file, upto(file), 0)).collect();
    let mut written: BTreeMap<String, (Lsn, Lsn)> = BTreeMap::new();
    let found = read(path, shard, &mut |frame, _| match frame.original() {
        Some(Record::Cursor { upto, sink }) => {
            written.insert(String::from_utf8_lossy(sink).into_owned(), (upto, frame.lsn));
        }
        Some(Record::Finish { .. }) => {
            behind.iter_mut().filter(|file| frame.lsn > file.1).for_each(|file| file.2 += 1);
        }
        _ => {}
    })?;
    let line = |sink: &str, upto: Lsn| {
        let mut object = Object::new();
        object.number("shard", u64::from(shard)).text("sink", sink).number("upto", upto.0);
        object.number("end", found.end.0);
        object
    };
    for (sink, (upto, lsn)) in &written {
        let mut object = line(sink, *upto);
        object.number("lsn", lsn.0);
        writeln!(out, "{}", object.finish())?;
    }
    for (file, upto, records) in behind {
        let mut object = line("file", upto);
        object.text("path", &file.path.display().to_string()).number("behind", records);
        writeln!(out, "{}", object.finish())?;
    }
    Ok(found.report.verdict())
}

pub(super) fn export(path: &Path, shard: u32, from: u64, out: &mut dyn Write) -> Result<Verdict, AskError> {
    let journal = Follower::new(shard).journal(&mut ReadOnly::new(path))?.unwrap_or_default();
    let (mut writer, mut line, mut failed) = (Writer::new(journal, shard), Vec::new(), None);
    let found = read(path, shard, &mut |frame: &Frame<'_>, place: &Place| {
        line.clear();
        if frame.lsn.0 >= from && failed.is_none() && writer.write(frame, place.wall, &mut line) {
            failed = out.write_all(&line).err();
        }
    })?;
    failed.map_or(Ok(found.report.verdict()), |error| Err(AskError::Output(error)))
}
