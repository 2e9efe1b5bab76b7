//! A directory as a disk: positioned reads and writes, fdatasync, renames that are there after a power cut.

use super::OpenError;
use super::beside::Beside;
use super::owner::{Found, Note, Place, found};
use crate::counters::Spans;
use crate::io::Clock;
use crate::journal::disk::Syncing;
use crate::journal::{Disk, DiskError, Space};
use rustix::fs::{Advice, FlockOperation, fadvise, flock, statvfs};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ID: &str = "id";
const LOCK: &str = "lock";

pub(super) fn refused(error: &Error) -> DiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskError::Full,
        ErrorKind::NotFound => DiskError::Gone,
        _ => DiskError::Failed(error.raw_os_error().unwrap_or_default()),
    }
}

/// A journal's directory. Each thread has its own value of it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Where it is told how long syncs take, by which clock.
    syncs: Option<(Arc<Spans>, Clock)>,
    /// Who syncs while this thread writes.
    beside: Option<Beside>,
}

impl Clone for Directory {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), syncs: self.syncs.clone(), beside: None }
    }
}

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), syncs: None, beside: None }
    }

    /// The same for the one thread that counts its syncs there.
    pub(super) fn timed(self, spans: Arc<Spans>, clock: Clock) -> Self {
        Self { syncs: Some((spans, clock)), ..self }
    }

    /// The same with a thread beside that syncs; `wake` is called when it has something to say.
    pub(super) fn syncing(self, name: String, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let beside = Beside::new(name, self.clone(), wake)?;
        Ok(Self { beside: Some(beside), ..self })
    }

    /// True when `synced` has something to say.
    pub(super) fn has_synced(&self) -> bool {
        self.beside.as_ref().is_some_and(Beside::has_news)
    }

    fn sync_folder(path: &Path) -> Result<(), DiskError> {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| refused(&error))
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        let entries = std::fs::read_dir(&self.path).map_err(|error| refused(&error))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect::<Result<_, _>>().map_err(|error| refused(&error))
    }
}

fn read(file: &File, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(octets) => done += octets,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(done)
}

/// The system reads a file ahead; where it does not, it is read when it is asked for.
fn soon(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = fadvise(&file, 0, None, Advice::WillNeed);
    }
}

fn length(file: &File) -> Result<u64, DiskError> {
    file.metadata().map(|data| data.len()).map_err(|error| refused(&error))
}

fn space(path: &Path) -> Result<Space, DiskError> {
    let found = statvfs(path).map_err(|error| refused(&error.into()))?;
    Ok(Space { free: found.f_bavail * found.f_frsize, total: found.f_blocks * found.f_frsize })
}

impl Disk for Directory {
    type File = File;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        self.names()
    }

    fn create(&mut self, name: &str) -> Result<File, DiskError> {
        let made = File::options().read(true).write(true).create_new(true).open(self.path.join(name));
        made.map_err(|error| refused(&error))
    }

    fn open(&mut self, name: &str) -> Result<File, DiskError> {
        let opened = File::options().read(true).write(true).open(self.path.join(name));
        opened.map_err(|error| refused(&error))
    }

    fn soon(&mut self, name: &str) {
        soon(&self.path.join(name));
    }

    fn length(&mut self, file: &File) -> Result<u64, DiskError> {
        length(file)
    }

    fn read(&mut self, file: &File, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        read(file, at, into)
    }

    fn write(&mut self, file: &File, at: u64, octets: &[u8]) -> Result<usize, DiskError> {
        loop {
            match file.write_at(octets, at) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(|error| refused(&error)),
            }
        }
    }

    fn sync(&mut self, file: &File) -> Result<(), DiskError> {
        let begun = self.syncs.as_ref().map(|(_, clock)| clock.mono());
        let synced = file.sync_data().map_err(|error| refused(&error));
        if let (Some((spans, clock)), Some(begun)) = (&self.syncs, begun) {
            spans.add(clock.mono().since(begun));
        }
        synced
    }

    fn sync_beside(&mut self, file: &File) -> Result<Syncing, DiskError> {
        match &self.beside {
            Some(beside) => beside.begin(file).map(|()| Syncing::UnderWay),
            None => self.sync(file).map(|()| Syncing::Done),
        }
    }

    fn synced(&mut self) -> Option<Result<(), DiskError>> {
        self.beside.as_ref()?.done()
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        let folder = to.parent().unwrap_or(&self.path).to_owned();
        if folder != self.path {
            std::fs::create_dir_all(&folder).map_err(|error| refused(&error))?;
        }
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => {}
            other => other.map_err(|error| refused(&error))?,
        }
        Self::sync_folder(&folder)?;
        Self::sync_folder(&self.path)
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(&error)),
            _ => Self::sync_folder(&self.path),
        }
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        Self::sync_folder(&self.path)
    }

    fn space(&mut self) -> Result<Space, DiskError> {
        space(&self.path)
    }
}

/// A journal's directory for whoever only looks: safe beside a running node, which is not asked and not hindered.
#[derive(Debug)]
pub struct ReadOnly(Directory);

/// Nothing is written by who only reads.
const NEVER: DiskError = DiskError::Failed(30); // EROFS

impl ReadOnly {
    /// The journal in this directory.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(Directory::new(path))
    }

    /// The shards that have files here.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn shards(&self) -> Result<Vec<u32>, DiskError> {
        shards(&self.0)
    }
}

fn shards(directory: &Directory) -> Result<Vec<u32>, DiskError> {
    let names = directory.names()?;
    let mut shards: Vec<u32> = names
        .iter()
        .filter_map(|name| crate::journal::disk::read_name(name))
        .map(|(_, shard, _)| shard)
        .collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

impl Disk for ReadOnly {
    type File = File;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        self.0.names()
    }

    fn create(&mut self, _name: &str) -> Result<File, DiskError> {
        Err(NEVER)
    }

    fn open(&mut self, name: &str) -> Result<File, DiskError> {
        File::open(self.0.path.join(name)).map_err(|error| refused(&error))
    }

    fn soon(&mut self, name: &str) {
        soon(&self.0.path.join(name));
    }

    fn length(&mut self, file: &File) -> Result<u64, DiskError> {
        length(file)
    }

    fn read(&mut self, file: &File, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        read(file, at, into)
    }

    fn write(&mut self, _file: &File, _at: u64, _octets: &[u8]) -> Result<usize, DiskError> {
        Err(NEVER)
    }

    fn sync(&mut self, _file: &File) -> Result<(), DiskError> {
        Err(NEVER)
    }

    fn rename(&mut self, _from: &str, _to: &str) -> Result<(), DiskError> {
        Err(NEVER)
    }

    fn remove(&mut self, _name: &str) -> Result<(), DiskError> {
        Err(NEVER)
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        Err(NEVER)
    }

    fn space(&mut self) -> Result<Space, DiskError> {
        space(&self.0.path)
    }
}

/// The right to write to a directory, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// What it says of the owner; `None`: that is no node.
    note: Option<Note>,
}

impl Lock {
    /// The journal is open: its owner is noted, and with this lock ends a run of it. Before that the directory is as it was.
    pub(super) fn begins_run(&mut self) -> std::io::Result<()> {
        let Some(note) = &mut self.note else { return Ok(()) };
        write_note(&self.file, note)?;
        note.ended = true;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without the word a copy of it needs more care, and nothing else does.
        if let Some(note) = self.note.as_ref().filter(|note| note.ended) {
            let _ = write_note(&self.file, note);
        }
        // Closing would do, were there no child that was forked and has not begun its program yet.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The right to write to a directory, for who is no node; `None`: a node has it.
///
/// # Errors
/// There is no such directory, or the system refuses.
pub fn hold(path: &Path) -> std::io::Result<Option<Lock>> {
    let lock = File::options().write(true).create(true).truncate(false).open(path.join(LOCK))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { file: lock, note: None })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is known of a directory once it is ours.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) directory: Directory,
    pub(super) lock: Lock,
    /// Its journal's id.
    pub(super) journal: u128,
    /// Shards that have files in it.
    pub(super) shards: Vec<u32>,
    /// It is a copy: whose directory it is a copy of.
    pub(super) copy_of: Option<String>,
}

/// In place: a note that is torn is none.
fn write_note(mut file: &File, note: &Note) -> std::io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(note.to_text().as_bytes())?;
    file.sync_data()
}

/// Makes the directory if there is none, and takes it. `fresh`: the id of a new journal. `adopt`: also a copy of one that
/// somebody may write to elsewhere.
pub(super) fn take(path: &Path, fresh: u128, adopt: bool) -> Result<Taken, OpenError> {
    std::fs::create_dir_all(path)?;
    let mut lock =
        File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let reason = format!("{}: another process writes to this journal", path.display());
        Error::new(ErrorKind::AddrInUse, reason)
    })?;
    let directory = Directory::new(path);
    let journal = match std::fs::read_to_string(path.join(ID)) {
        Ok(text) => u128::from_str_radix(text.trim(), 16)
            .map_err(|_| Error::other(format!("{}: the journal's id is damaged", path.display())))?,
        Err(error) if error.kind() == ErrorKind::NotFound => name_it(path, fresh)?,
        Err(error) => return Err(error.into()),
    };
    let shards = shards(&directory).map_err(Error::other)?;
    let mut text = String::new();
    // What is no text is no note.
    let read = lock.read_to_string(&mut text);
    let (former, place) = (read.ok().and_then(|_| Note::parse(&text)), Place::of(&path.join(ID)));
    let found = found(former.as_ref(), journal, place);
    let copy_of = former.map(|note| note.owner).filter(|_| found != Found::Same);
    if let (Found::Torn, false, Some(owner)) = (found, adopt, &copy_of) {
        return Err(OpenError::Copy(owner.clone()));
    }
    let lock = Lock { file: lock, note: Some(Note::ours(journal, place)) };
    Ok(Taken { directory, lock, journal, shards, copy_of })
}

fn name_it(path: &Path, fresh: u128) -> std::io::Result<u128> {
    let begun = path.join("id.new");
    let mut file = File::create(&begun)?;
    writeln!(file, "{fresh:032x}")?;
    file.sync_all()?;
    std::fs::rename(&begun, path.join(ID))?;
    File::open(path)?.sync_all()?;
    Ok(fresh)
}
