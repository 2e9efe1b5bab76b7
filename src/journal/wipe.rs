//! Octets of a file that nobody needs become zeros, and are so on the disk. Owns: how far it is. Takes: a file, a disk. Gives:
//! one small piece of work at a time. Never: writes where zeros are already; asks a file again that failed.

use super::disk::{Disk, DiskError, write_all};
use super::is_blank;
use crate::limits::JOURNAL_PREPARE_CHUNK;
use core::ops::Range;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wiped {
    /// Something; there is more.
    Some,
    /// All of it is zeros, also after a power cut.
    All,
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct Wipe<F> {
    pub(super) name: String,
    file: Option<F>,
    octets: Range<u64>,
}

impl<F> Wipe<F> {
    /// Of these octets of a file.
    pub(super) const fn new(name: String, octets: Range<u64>) -> Self {
        Self { name, file: None, octets }
    }

    /// One piece of it.
    ///
    /// # Errors
    /// Nothing is known of what is there, and the file is not to be written to again.
    pub(super) fn step<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Wiped, DiskError> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = disk.open(&self.name)?;
                let end = disk.length(&file)?.min(self.octets.end);
                self.octets.end = end;
                self.file.insert(file)
            }
        };
        let length = self.octets.end.saturating_sub(self.octets.start).min(JOURNAL_PREPARE_CHUNK as u64);
        if length == 0 {
            return Ok(Wiped::All);
        }
        let mut octets = vec![0; length as usize];
        let read = disk.read(file, self.octets.start, &mut octets);
        // What cannot be read is not known to be zeros.
        if read != Ok(octets.len()) || !is_blank(&octets) {
            octets.fill(0);
            write_all(disk, file, self.octets.start, &octets)?;
            // A commit that comes meanwhile waits behind this piece, not behind all of the file.
            disk.sync(file)?;
        }
        self.octets.start += length;
        Ok(Wiped::Some)
    }
}
