//! `bindery check --against`: can this program read what a node has written? Owns: nothing. Takes: the folder. Gives: what is
//! there, or why it cannot be read. Never: writes, waits for a node.

use crate::io::journal::ReadOnly;
use crate::journal::DiskError;
use crate::journal::recover::{Recovery, Refusal, Report, Verdict};
use crate::limits::SHARDS_MAX;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A running node may give a segment back while it is read: what looks wrong is looked at again so often.
const LOOKS: usize = 3;

/// A journal that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// Where it is.
    pub path: PathBuf,
    /// Shards that have files in it.
    pub shards: usize,
    /// Records that were read.
    pub records: u64,
    /// Segments that hold them.
    pub segments: u64,
    /// How it is.
    pub verdict: Verdict,
}

/// Why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// There are no files of a journal.
    Nothing(PathBuf),
    /// It cannot be read by this program.
    Refused(PathBuf, Refusal),
    /// It has files of this shard, and no node has so many.
    NoShard(PathBuf, u32),
}

impl core::fmt::Display for Unreadable {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Nothing(path) => write!(out, "{}: no journal is there", path.display()),
            Self::Refused(path, refusal) => write!(out, "journal in {}: {refusal}", path.display()),
            Self::NoShard(path, shard) => {
                write!(out, "journal in {}: files of shard {shard}, and no node has so many", path.display())
            }
        }
    }
}

impl core::error::Error for Unreadable {}

impl core::fmt::Display for Readable {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { path, shards, records, segments, verdict } = self;
        let path = path.display();
        write!(
            out,
            "the journal in {path} can be read: {records} records in {segments} segments of {shards} shards"
        )?;
        match verdict {
            Verdict::Sound | Verdict::Torn => Ok(()),
            Verdict::Damaged => write!(out, "; it is damaged: see bindery journal verify {path}"),
            Verdict::Missing => {
                write!(out, "; records that were promised are missing: see bindery journal verify {path}")
            }
        }
    }
}

impl Readable {
    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "against": self.path.display().to_string(),
            "shards": self.shards,
            "records": self.records,
            "segments": self.segments,
            "state": match self.verdict {
                Verdict::Sound => "sound",
                Verdict::Torn => "torn",
                Verdict::Damaged => "damaged",
                Verdict::Missing => "missing",
            },
        })
    }
}

/// Reads the journal in a data_dir, or in this folder itself, as a node would.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read(data_dir: &Path) -> Result<Readable, Unreadable> {
    let inside = data_dir.join("journal");
    let path = if inside.is_dir() { inside } else { data_dir.to_owned() };
    let found = match ReadOnly::new(&path).shards() {
        Ok(found) if !found.is_empty() => found,
        Ok(_) | Err(DiskError::Gone) => return Err(Unreadable::Nothing(path)),
        Err(error) => return Err(Unreadable::Refused(path, Refusal::Disk(error))),
    };
    if let Some(over) = found.iter().find(|shard| **shard as usize >= SHARDS_MAX) {
        return Err(Unreadable::NoShard(path, *over));
    }
    let mut whole = Readable { path, shards: found.len(), records: 0, segments: 0, verdict: Verdict::Sound };
    for shard in found {
        let report = read_shard(&whole.path, shard)
            .map_err(|refusal| Unreadable::Refused(whole.path.clone(), refusal))?;
        whole.records += report.records;
        whole.segments += report.segments;
        whole.verdict = whole.verdict.max(report.verdict());
    }
    Ok(whole)
}

fn read_shard(path: &Path, shard: u32) -> Result<Report, Refusal> {
    let look = || {
        let recovery = Recovery { shard, journal: None };
        recovery.run(&mut ReadOnly::new(path), &mut |_, _| ()).map(|recovered| recovered.report)
    };
    let is_well = |found: &Result<Report, Refusal>| match found {
        Ok(report) => report.verdict() <= Verdict::Torn,
        // Looking again changes nothing.
        Err(Refusal::Newer { .. } | Refusal::UnknownKind { .. } | Refusal::Foreign { .. }) => true,
        Err(Refusal::Disk(_)) => false,
    };
    let mut found = look();
    for _ in 1..LOOKS {
        if is_well(&found) {
            break;
        }
        found = look();
    }
    found
}
