//! The files of a sink. Owns: their folder and names. Takes: positions. Gives: the last line of every shard after a crash,
//! and the file to go on with, cut where it is torn; files without the numbers that are not to be kept. Never: removes a file
//! before its time; changes one that is written to.
//!
//! The lines say how far the sink is. So that they need not all be read at a start, a hidden file beside them keeps what
//! is known of those before a place that was synced; only what is behind it is read, and only that may be torn.

use crate::journal::Lsn;
use crate::journal::cdr::dates::DAY;
use crate::journal::cdr::names::{Begin, DATE, Names};
use crate::journal::cdr::numbers::Numbers;
use crate::journal::cdr::origin_of;
use crate::time::{Duration, Wall};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The last record of each journal and shard that a line or the hidden file tells.
pub(super) type Positions = HashMap<(u128, u32), Lsn>;

/// A file that is written to.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) file: File,
    pub(super) begin: Begin,
    /// Octets that are there for good.
    pub(super) synced: u64,
}

/// What the hidden file says.
#[derive(Debug, Default)]
struct Saved {
    /// The file up to which, and how far in it, every line is counted in.
    place: Option<(Begin, u64)>,
    /// No file up to this one has numbers.
    hashed: Option<Begin>,
    positions: Positions,
}

#[derive(Debug)]
pub(in crate::sidecar) struct Files {
    pub(super) folder: PathBuf,
    names: Names,
    hidden: PathBuf,
    keep: Duration,
    /// The file that the hidden one tells the place in: those before it are not needed to go on.
    placed: Option<Begin>,
    /// No file up to this one has numbers.
    hashed: Option<Begin>,
}

impl Files {
    pub(in crate::sidecar) fn new(path: &Path, rotate: Duration, keep: Duration) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::InvalidInput, format!("{}: {why}", path.display()));
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| wrong("no file name"))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if folder.to_string_lossy().contains(DATE) {
            return Err(wrong("{date} stands in the name of the file, not in its folder"));
        }
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let hidden = folder.join(format!(".{}.cursors", name.replace(DATE, "date")));
        Ok(Self { folder, names: Names::new(name, rotate), hidden, keep, placed: None, hashed: None })
    }

    /// The file that is written at this time.
    pub(super) fn begin_at(&self, now: Wall) -> Begin {
        self.names.begin_at(now)
    }

    fn path_of(&self, begin: Begin, list: &[(Begin, String)]) -> PathBuf {
        let known = list.iter().find(|(known, _)| *known == begin);
        self.folder.join(known.map_or_else(|| self.names.name_of(begin), |(_, name)| name.clone()))
    }

    /// Its files, oldest first.
    pub(super) fn list(&self) -> Result<Vec<(Begin, String)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str()
                && let Some(begin) = self.names.begin_of(name)
            {
                found.push((begin, name.to_owned()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// What the files say, after any end of the process, and the newest of them without its torn end.
    pub(super) fn resume(&mut self) -> Result<(Positions, Option<Output>)> {
        std::fs::create_dir_all(&self.folder)?;
        let saved = self.saved()?;
        let known = saved.place.is_some();
        (self.placed, self.hashed) = (saved.place.map(|(begin, _)| begin), saved.hashed);
        let (mut positions, list) = (saved.positions, self.list()?);
        let (place, from) = saved.place.unwrap_or_default();
        let unread = list.iter().filter(|(begin, _)| !known || *begin >= place);
        let (mut output, last) = (None, list.last().map(|(begin, _)| *begin));
        for (begin, name) in unread {
            let from = if known && *begin == place { from } else { 0 };
            let path = self.folder.join(name);
            // Behind the place that was synced a line that is not whole was being written when the power went, and so was
            // all that follows. Without that place, or in an older file, a line that is none is passed over.
            let strict = known && Some(*begin) == last;
            let end = read_lines(&path, from, strict, &mut positions)?;
            if Some(*begin) == last {
                output = Some(open(&path, *begin, end)?);
            }
        }
        Ok((positions, output))
    }

    /// Opens, or makes, the file that begins then.
    pub(super) fn output(&self, begin: Begin, synced: u64) -> Result<Output> {
        std::fs::create_dir_all(&self.folder)?;
        let output = open(&self.path_of(begin, &self.list()?), begin, synced)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(output)
    }

    fn saved(&self) -> Result<Saved> {
        let text = match std::fs::read_to_string(&self.hidden) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Saved::default()),
            other => other?,
        };
        // One that says nothing is as good as none: the lines are read instead.
        Ok(serde_json::from_str(&text).ok().and_then(|value| saved_of(&value)).unwrap_or_default())
    }

    /// Keeps what is known of the lines up to a place that is synced.
    pub(super) fn save(&mut self, output: &Output, journal: u128, shards: &[(u32, Lsn)]) -> Result<()> {
        let shards: Map<String, Value> =
            shards.iter().map(|(shard, lsn)| (shard.to_string(), json!(lsn.0))).collect();
        let (begin, octets) = (output.begin.0, output.synced);
        let mut value = json!({
            "v": 1, "journal": format!("{journal:032x}"), "begin": begin, "octets": octets, "shards": shards,
        });
        if let Some(hashed) = self.hashed {
            value["hashed"] = hashed.0.into();
        }
        self.hide(&value)?;
        self.placed = Some(output.begin);
        Ok(())
    }

    fn hide(&self, value: &Value) -> Result<()> {
        let fresh = self.hidden.with_extension("new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{value}")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.hidden)
    }

    /// The file in which the hidden one tells a place.
    pub(super) fn place(&self) -> Result<Option<Begin>> {
        Ok(self.saved()?.place.map(|(begin, _)| begin))
    }

    /// That place becomes the begin of its file, for good.
    pub(super) fn rewind(&self) -> Result<()> {
        let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&self.hidden)?)?;
        value["octets"] = 0.into();
        self.hide(&value)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The oldest file whose day ended so long ago loses its numbers; false: there is none that has any. What a crash leaves
    /// is the file as it was, or without them.
    pub(super) fn hash_one(&mut self, now: Wall, keep: Duration, numbers: &Numbers) -> Result<bool> {
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let Some(placed) = self.placed else { return Ok(false) };
        let mut list = self.list()?;
        // The newest one may be written to.
        list.pop();
        let is_next = |begin: Begin| begin < placed && self.hashed.is_none_or(|hashed| begin > hashed);
        let Some((begin, name)) = list.into_iter().find(|(begin, _)| is_next(*begin)) else {
            return Ok(false);
        };
        let end = self.names.end_of(begin).map(|end| end.0.max(begin.0.saturating_add(DAY)));
        if end.is_none_or(|end| end.saturating_add(keep) > now.0) {
            return Ok(false);
        }
        without_numbers(&self.folder, &name, numbers)?;
        self.hashed = Some(begin);
        Ok(true)
    }

    /// Removes the files whose time is over; the newest one stays.
    pub(super) fn clean(&self, now: Wall) -> Result<()> {
        let keep = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        if keep == 0 {
            return Ok(());
        }
        let mut list = self.list()?;
        list.pop();
        for (begin, name) in list {
            // Counted from the end of its day: files of an earlier `rotate` may be as long.
            let end = self.names.end_of(begin).map(|end| end.0.max(begin.0.saturating_add(DAY)));
            if end.is_some_and(|end| end.saturating_add(keep) <= now.0) {
                std::fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn saved_of(value: &Value) -> Option<Saved> {
    let journal = u128::from_str_radix(value.get("journal")?.as_str()?, 16).ok()?;
    let place = (Begin(value.get("begin")?.as_i64()?), value.get("octets")?.as_u64()?);
    let shards = value.get("shards")?.as_object()?;
    let position =
        |(shard, lsn): (&String, &Value)| Some(((journal, shard.parse().ok()?), Lsn(lsn.as_u64()?)));
    let hashed = value.get("hashed").and_then(Value::as_i64).map(Begin);
    Some(Saved { place: Some(place), hashed, positions: shards.iter().map(position).collect::<Option<_>>()? })
}

/// Another file takes the place of this one, if it has numbers.
fn without_numbers(folder: &Path, name: &str, numbers: &Numbers) -> Result<()> {
    let (path, fresh) = (folder.join(name), folder.join(format!(".{name}.new")));
    let mut lines = BufReader::with_capacity(1 << 20, File::open(&path)?);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&fresh)?);
    let (mut line, mut out, mut had) = (Vec::new(), Vec::new(), false);
    while lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? > 0 {
        had |= numbers.line(&line, &mut out);
        file.write_all(&out)?;
        line.clear();
        out.clear();
    }
    if !had {
        return std::fs::remove_file(&fresh);
    }
    let file = file.into_inner()?;
    file.set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()
}

/// Opens a file whose first octets are sound, without the others, for one writer.
fn open(path: &Path, begin: Begin, sound: u64) -> Result<Output> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            Error::new(ErrorKind::AddrInUse, format!("{}: another process writes to it", path.display()))
        }
        std::fs::TryLockError::Error(error) => error,
    })?;
    let length = file.metadata()?.len();
    let synced = sound.min(length);
    if synced < length {
        file.set_len(synced)?;
    }
    // Lines that an earlier process could not sync are no promise yet.
    file.sync_all()?;
    file.seek(SeekFrom::Start(synced))?;
    Ok(Output { file, begin, synced })
}

/// Reads lines; says where the last one ends that is whole. `strict`: the first that is none is where they end.
fn read_lines(path: &Path, from: u64, strict: bool, positions: &mut Positions) -> Result<u64> {
    let mut file = File::open(path)?;
    let from = from.min(file.metadata()?.len());
    file.seek(SeekFrom::Start(from))?;
    let mut lines = BufReader::with_capacity(1 << 20, file);
    let (mut line, mut at, mut end) = (Vec::new(), from, from);
    loop {
        line.clear();
        // What has no line end for so long is no line.
        let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? as u64;
        at += read;
        let text = line.strip_suffix(b"\n");
        match text.and_then(origin_of) {
            Some(origin) => {
                let last = positions.entry((origin.journal, origin.shard)).or_default();
                *last = (*last).max(origin.lsn);
            }
            None if read == 0 || strict => return Ok(end),
            None => {}
        }
        if text.is_some() {
            end = at;
        }
    }
}

/// Longest line: a destination of 65,535 octets, each of them escaped.
pub(super) const LINE_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;
