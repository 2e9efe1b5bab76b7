//! What the journal asks of a disk. Two in the product: a directory (`io::store`), and the one that reads and never
//! writes (`io::store`, for `bindery journal`); the simulated disk of the tests is a third.

/// Why a disk did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// No space, quota or inode is left. Some may come.
    Full,
    /// There is no such file.
    Gone,
    /// Anything else, with the system's number: nothing is known of what was asked.
    Failed(i32),
}

impl DiskError {
    const NO_FILE: i32 = 2; // ENOENT
    const NO_SPACE: i32 = 28; // ENOSPC
    const UNKNOWN: i32 = 5; // EIO

    /// What the system calls it; never 0.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Full => Self::NO_SPACE,
            Self::Gone => Self::NO_FILE,
            Self::Failed(0) => Self::UNKNOWN,
            Self::Failed(number) => number,
        }
    }

    /// That of such a number; 0: none.
    #[must_use]
    pub const fn of(number: i32) -> Option<Self> {
        match number {
            0 => None,
            Self::NO_SPACE => Some(Self::Full),
            Self::NO_FILE => Some(Self::Gone),
            other => Some(Self::Failed(other)),
        }
    }
}

impl core::fmt::Display for DiskError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full => write!(out, "no space is left"),
            Self::Gone => write!(out, "there is no such file"),
            Self::Failed(number) => write!(out, "error {number}"),
        }
    }
}

impl core::error::Error for DiskError {}

/// Octets of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// That we may use.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// What `Disk::sync_beside` has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncing {
    /// All of it.
    Done,
    /// Begun it.
    UnderWay,
}

/// One directory of a disk. A folder `quarantine/` in it takes what is damaged.
pub trait Disk {
    /// An open file.
    type File;

    /// The names of its files.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&mut self) -> Result<Vec<String>, DiskError>;

    /// A new file; one of this name is an error.
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&mut self, name: &str) -> Result<Self::File, DiskError>;

    /// A file that is there.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&mut self, name: &str) -> Result<Self::File, DiskError>;

    /// A file that is read next: the disk may begin. What cannot be had now is said by `open`.
    fn soon(&mut self, _name: &str) {}

    /// How many octets it has.
    ///
    /// # Errors
    /// It cannot be asked.
    fn length(&mut self, file: &Self::File) -> Result<u64, DiskError>;

    /// Reads at a place; less than was asked for only at the end.
    ///
    /// # Errors
    /// Something there cannot be read.
    fn read(&mut self, file: &Self::File, at: u64, into: &mut [u8]) -> Result<usize, DiskError>;

    /// Writes at a place; says how much of it.
    ///
    /// # Errors
    /// Nothing is known of what was to be written.
    fn write(&mut self, file: &Self::File, at: u64, octets: &[u8]) -> Result<usize, DiskError>;

    /// What was written survives a power cut when this returns.
    ///
    /// # Errors
    /// Nothing that was written since the last sync may be relied on, ever.
    fn sync(&mut self, file: &Self::File) -> Result<(), DiskError>;

    /// The same beside other calls, if the disk can: then `synced` says later what became of it. One is under way at a time.
    ///
    /// # Errors
    /// As `sync`.
    fn sync_beside(&mut self, file: &Self::File) -> Result<Syncing, DiskError> {
        self.sync(file).map(|()| Syncing::Done)
    }

    /// What became of the sync that was under way, once: it is not any more.
    fn synced(&mut self) -> Option<Result<(), DiskError>> {
        None
    }

    /// Gives a file another name, for good when it returns. Done before is done.
    ///
    /// # Errors
    /// It may have either name.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file that holds no record.
    ///
    /// # Errors
    /// It may be there or not.
    fn remove(&mut self, name: &str) -> Result<(), DiskError>;

    /// Names that were made are there after a power cut when this returns.
    ///
    /// # Errors
    /// They may be or not.
    fn sync_directory(&mut self) -> Result<(), DiskError>;

    /// What the file system has.
    ///
    /// # Errors
    /// It cannot be asked.
    fn space(&mut self) -> Result<Space, DiskError>;
}

/// Writes all of it, in as many calls as the disk needs.
///
/// # Errors
/// The first error of a call; a call that writes nothing is one.
pub fn write_all<D: Disk>(disk: &mut D, file: &D::File, at: u64, octets: &[u8]) -> Result<(), DiskError> {
    const NOTHING: i32 = 5; // EIO
    let mut done = 0;
    while let Some(rest) = octets.get(done..).filter(|rest| !rest.is_empty()) {
        match disk.write(file, at + done as u64, rest)? {
            0 => return Err(DiskError::Failed(NOTHING)),
            written => done += written,
        }
    }
    Ok(())
}

/// What a file's name says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A segment in use, or full.
    Segment,
    /// A segment after a failed write, which holds durable records.
    Failed,
    /// The same, which holds none.
    Spoilt,
    /// Prepared, perhaps in use since.
    Spare,
    /// Under preparation when the process ended.
    Unfinished,
}

impl FileKind {
    const ALL: [Self; 5] = [Self::Segment, Self::Failed, Self::Spoilt, Self::Spare, Self::Unfinished];

    const fn extension(self) -> &'static str {
        match self {
            Self::Segment => "seg",
            Self::Failed => "failed",
            Self::Spoilt => "spoilt",
            Self::Spare => "spare",
            Self::Unfinished => "new",
        }
    }
}

/// The name of a file of a shard.
#[must_use]
pub fn name_of(kind: FileKind, shard: u32, number: u64) -> String {
    format!("{shard:03}-{number:010}.{}", kind.extension())
}

/// What a name says; `None`: it is no file of a journal.
#[must_use]
pub fn read_name(name: &str) -> Option<(FileKind, u32, u64)> {
    let (stem, extension) = name.split_once('.')?;
    let (shard, number) = stem.split_once('-')?;
    let kind = FileKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
    let (shard, number) = (shard.parse().ok()?, number.parse().ok()?);
    (name_of(kind, shard, number) == name).then_some((kind, shard, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_by_its_number() {
        for error in [DiskError::Full, DiskError::Gone, DiskError::Failed(5), DiskError::Failed(122)] {
            assert_eq!(DiskError::of(error.number()), Some(error));
        }
        assert_eq!((DiskError::of(0), DiskError::Failed(0).number()), (None, 5));
    }

    #[test]
    fn a_name_says_what_the_file_is_and_no_other_name_does() {
        for kind in FileKind::ALL {
            assert_eq!(read_name(&name_of(kind, 7, 12_345)), Some((kind, 7, 12_345)));
        }
        for name in ["lock", "id", "7-1.seg", "007-0000000001.seg.bak", "007-0000000001.txt", "quarantine"] {
            assert_eq!(read_name(name), None, "{name}");
        }
    }
}
