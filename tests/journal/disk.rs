//! A disk in memory that loses, tears and garbles what was not synced, as one seed says.

use bindery::journal::disk::Syncing;
use bindery::journal::{Disk, DiskError, Space};
use bindery::prng::Prng;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SECTOR: usize = 512;
const EIO: DiskError = DiskError::Failed(5);

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An I/O error.
    Io,
    /// No space.
    Full,
    /// A write takes half of it; any other call works.
    Short,
    /// The power goes in the middle of it.
    Cut,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Io, Self::Full, Self::Short];
}

/// Which calls go wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// This call.
    pub(crate) at: Option<(u64, Fault)>,
    /// And all behind it.
    pub(crate) for_ever: bool,
    /// Of a hundred calls.
    pub(crate) percent: u64,
}

impl Plan {
    /// Some calls, as the seed says.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        Self { at: None, for_ever: false, percent: prng.below(12) }
    }
}

/// What a broken committer would do, done to what the disk sees of a sound one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The sync comes after the answer.
    AnswersBeforeSync,
    /// A batch begins in the page where the last one ended, which is written again.
    RewritesTail,
    /// A sync that failed is asked for again, and then says yes.
    RetriesSync,
}

impl Bug {
    pub(crate) const ALL: [Self; 3] = [Self::AnswersBeforeSync, Self::RewritesTail, Self::RetriesSync];
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What survives a power cut for sure.
    durable: Vec<u8>,
    /// What a read sees.
    cached: Vec<u8>,
    /// Sectors that the next sync writes.
    pending: BTreeSet<usize>,
    /// A write or sync has failed in this life of the process.
    failed: bool,
    /// How far this life of the process has written since it began at the front.
    end: usize,
    /// Pages before it were written when a sync was asked for.
    settled: usize,
}

impl Inode {
    /// True when a write there changes nothing that was written, but zeros behind it, and no page on its way to the disk.
    fn may_be_written(&self, from: usize, to: usize) -> bool {
        let again = self.cached.get(from..to.min(self.end).max(from)).unwrap_or_default();
        from == 0 || from >= self.settled && again.iter().all(|octet| *octet == 0)
    }

    fn settles(&mut self) {
        self.settled = self.end.next_multiple_of(4096);
    }
}

/// A sync that is under way.
#[derive(Debug)]
struct Beside {
    file: usize,
    /// Sectors that it writes.
    pending: BTreeSet<usize>,
    looks: u64,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct SimDisk {
    names: BTreeMap<String, usize>,
    /// As a power cut finds them.
    durable_names: BTreeMap<String, usize>,
    inodes: Vec<Inode>,
    prng: Prng,
    pub(crate) plan: Plan,
    pub(crate) bug: Option<Bug>,
    pub(crate) calls: u64,
    /// The power is gone.
    pub(crate) dead: bool,
    pub(crate) short_writes: u64,
    /// What nobody may ever ask of a disk.
    pub(crate) forbidden: Option<String>,
    /// A sync takes a while: of this file what was there when it began is durable after so many looks at it.
    pub(crate) slow: bool,
    beside: Option<Beside>,
    /// Octets of the file system that are free.
    pub(crate) free: u64,
    /// Files that were opened; the one that has another name just then.
    pub(crate) opens: u64,
    pub(crate) renamed_at: Option<u64>,
}

impl SimDisk {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        Self {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            inodes: Vec::new(),
            prng: Prng::new(seed),
            plan: Plan::default(),
            bug,
            calls: 0,
            dead: false,
            short_writes: 0,
            forbidden: None,
            slow: false,
            beside: None,
            free: 1 << 40,
            opens: 0,
            renamed_at: None,
        }
    }

    fn fault(&mut self) -> Result<Option<Fault>, DiskError> {
        if self.dead {
            return Err(EIO);
        }
        let call = self.calls;
        self.calls += 1;
        let planned = self.plan.at.filter(|(at, _)| call == *at || self.plan.for_ever && call > *at);
        let drawn = self.prng.chance(self.plan.percent, 100);
        let fault = match planned {
            Some((_, fault)) => Some(fault),
            None if drawn => Some(Fault::ALL[self.prng.below(3) as usize]),
            None => None,
        };
        match fault {
            None => Ok(None),
            Some(Fault::Io) => Err(EIO),
            Some(Fault::Full) => Err(DiskError::Full),
            Some(other) => {
                self.dead |= other == Fault::Cut;
                Ok(Some(other))
            }
        }
    }

    fn flush(&mut self, file: usize) {
        let inode = &mut self.inodes[file];
        inode.durable.resize(inode.cached.len(), 0);
        for sector in std::mem::take(&mut inode.pending) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            inode.durable[range.clone()].copy_from_slice(&inode.cached[range]);
        }
    }

    /// The process is gone, the kernel is not.
    pub(crate) fn kill(&mut self) {
        self.dead = false;
        self.beside = None;
        self.calls = 0;
        self.inodes.iter_mut().for_each(|inode| (inode.failed, inode.end, inode.settled) = (false, 0, 0));
    }

    /// The power is gone: of each sector that was on its way, either image or garbage.
    pub(crate) fn power_cut(&mut self) {
        self.dead = false;
        self.beside = None;
        self.calls = 0;
        self.inodes.iter_mut().for_each(|inode| (inode.failed, inode.end, inode.settled) = (false, 0, 0));
        let garbles = self.prng.chance(1, 2);
        let drops = self.prng.below(101);
        for inode in &mut self.inodes {
            inode.durable.resize(inode.cached.len(), 0);
            for sector in std::mem::take(&mut inode.pending) {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                if garbles && self.prng.chance(1, 3) {
                    inode.durable[range].iter_mut().for_each(|octet| *octet = self.prng.bits() as u8);
                } else if !self.prng.chance(drops, 100) {
                    inode.durable[range.clone()].copy_from_slice(&inode.cached[range]);
                }
            }
            inode.cached = inode.durable.clone();
        }
        // The names of new files: the file system's own journal keeps a part of them.
        for (name, inode) in std::mem::take(&mut self.names) {
            if !self.durable_names.contains_key(&name)
                && !self.durable_names.values().any(|known| *known == inode)
                && self.prng.chance(1, 2)
            {
                self.durable_names.insert(name, inode);
            }
        }
        self.names = self.durable_names.clone();
    }

    /// The octets of a file, as they are read.
    pub(crate) fn octets(&mut self, name: &str) -> &mut Vec<u8> {
        let inode = self.names[name];
        self.inodes[inode].durable.clear();
        &mut self.inodes[inode].cached
    }

    /// Both images of every file that is not put away.
    pub(crate) fn images(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().chain(&self.durable_names);
        let inodes: BTreeSet<usize> =
            names.filter(|(name, _)| !name.starts_with("quarantine/")).map(|(_, inode)| *inode).collect();
        inodes
            .into_iter()
            .flat_map(|inode| {
                let Inode { cached, durable, .. } = &self.inodes[inode];
                [Some(cached.as_slice()), (cached != durable).then_some(durable.as_slice())]
            })
            .flatten()
    }

    /// Removes a file as somebody else would.
    pub(crate) fn lose(&mut self, name: &str) {
        self.names.remove(name);
        self.durable_names.remove(name);
    }

    /// A copy that shares nothing.
    pub(crate) fn copy(&self) -> Self {
        Self {
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            inodes: self.inodes.clone(),
            prng: Prng::new(1),
            plan: Plan::default(),
            bug: None,
            calls: 0,
            dead: false,
            short_writes: 0,
            forbidden: None,
            slow: false,
            beside: None,
            free: self.free,
            opens: 0,
            renamed_at: None,
        }
    }
}

impl Disk for SimDisk {
    type File = usize;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(self.names.keys().cloned().collect())
    }

    fn create(&mut self, name: &str) -> Result<usize, DiskError> {
        self.fault()?;
        if self.names.contains_key(name) {
            return Err(EIO);
        }
        self.inodes.push(Inode::default());
        self.names.insert(name.to_owned(), self.inodes.len() - 1);
        Ok(self.inodes.len() - 1)
    }

    fn open(&mut self, name: &str) -> Result<usize, DiskError> {
        self.opens += 1;
        let there = self.renamed_at.is_none_or(|at| at + 1 != self.opens);
        self.names.get(name).copied().filter(|_| there).ok_or(DiskError::Gone)
    }

    fn length(&mut self, file: &usize) -> Result<u64, DiskError> {
        Ok(self.inodes[*file].cached.len() as u64)
    }

    fn read(&mut self, file: &usize, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let octets = self.inodes[*file].cached.get(at as usize..).unwrap_or_default();
        let length = octets.len().min(into.len());
        into[..length].copy_from_slice(&octets[..length]);
        Ok(length)
    }

    fn write(&mut self, file: &usize, at: u64, octets: &[u8]) -> Result<usize, DiskError> {
        let fault = self.fault();
        let length = match fault {
            Ok(None) => octets.len(),
            Ok(Some(Fault::Short)) => {
                self.short_writes += 1;
                octets.len().div_ceil(2)
            }
            // Some of it may be on its way.
            Ok(Some(_)) | Err(_) => self.prng.below(octets.len() as u64 + 1) as usize,
        };
        let rewrites = self.bug == Some(Bug::RewritesTail) && at > 8192;
        let (from, to) = (at as usize, at as usize + length);
        let inode = &mut self.inodes[*file];
        if inode.failed || !inode.may_be_written(from, to) {
            let Inode { end, settled, failed, .. } = inode;
            self.forbidden =
                Some(format!("a write at {at}, written to {end}, settled to {settled}, failed: {failed}"));
        }
        inode.failed |= fault.is_err();
        (inode.end, inode.settled) = if from == 0 { (to, 0) } else { (to.max(inode.end), inode.settled) };
        if inode.cached.len() < to.next_multiple_of(SECTOR) {
            inode.cached.resize(to.next_multiple_of(SECTOR), 0);
        }
        inode.cached[from..to].copy_from_slice(&octets[..length]);
        inode.pending.extend(from / SECTOR..to.div_ceil(SECTOR));
        if rewrites {
            inode.pending.extend(from / SECTOR - 8..from / SECTOR);
        }
        match fault {
            Ok(Some(Fault::Cut)) => Err(EIO),
            Ok(_) => Ok(length),
            Err(error) => Err(error),
        }
    }

    fn sync(&mut self, file: &usize) -> Result<(), DiskError> {
        self.inodes[*file].settles();
        match self.fault() {
            Ok(Some(Fault::Cut)) => Err(EIO),
            Ok(_) => {
                if self.inodes[*file].failed {
                    self.forbidden = Some("a second sync of a file that failed".to_owned());
                }
                if self.bug != Some(Bug::AnswersBeforeSync) || self.calls.is_multiple_of(3) {
                    self.flush(*file);
                }
                Ok(())
            }
            Err(error) => {
                if self.inodes[*file].failed {
                    self.forbidden = Some("a second sync of a file that failed".to_owned());
                }
                self.inodes[*file].failed = true;
                // The kernel calls the pages clean, whatever became of them, and says it once.
                let inode = &mut self.inodes[*file];
                inode.durable.resize(inode.cached.len(), 0);
                for sector in std::mem::take(&mut inode.pending) {
                    if self.prng.chance(1, 3) {
                        let range = sector * SECTOR..(sector + 1) * SECTOR;
                        inode.durable[range.clone()].copy_from_slice(&inode.cached[range]);
                    }
                }
                if self.bug == Some(Bug::RetriesSync) { Ok(()) } else { Err(error) }
            }
        }
    }

    fn sync_beside(&mut self, file: &usize) -> Result<Syncing, DiskError> {
        if !self.slow || self.bug.is_some() {
            return self.sync(file).map(|()| Syncing::Done);
        }
        self.inodes[*file].settles();
        if self.beside.is_some() {
            self.forbidden = Some("two syncs at a time".to_owned());
        }
        let (pending, looks) = (self.inodes[*file].pending.clone(), self.prng.below(12));
        self.beside = Some(Beside { file: *file, pending, looks });
        Ok(Syncing::UnderWay)
    }

    fn synced(&mut self) -> Option<Result<(), DiskError>> {
        let beside = self.beside.as_mut().filter(|_| !self.dead)?;
        if beside.looks > 0 {
            beside.looks -= 1;
            return None;
        }
        let Beside { file, pending, .. } = self.beside.take()?;
        // What came since is not in it, whatever becomes of it.
        let later: BTreeSet<usize> = self.inodes[file].pending.difference(&pending).copied().collect();
        self.inodes[file].pending = pending;
        // It was asked for before a write failed.
        let failed = std::mem::take(&mut self.inodes[file].failed);
        let settled = self.inodes[file].settled;
        let synced = self.sync(&file);
        self.inodes[file].settled = settled;
        self.inodes[file].failed |= failed;
        self.inodes[file].pending.extend(later);
        Some(synced)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let fault = self.fault();
        let done = matches!(fault, Ok(None | Some(Fault::Short))) || self.prng.chance(1, 2);
        if done && from != to {
            if let Some(inode) = self.names.remove(from) {
                self.names.insert(to.to_owned(), inode);
            } else if !self.names.contains_key(to) {
                return Err(DiskError::Gone);
            }
            self.durable_names = self.names.clone();
        }
        match fault? {
            Some(Fault::Cut) => Err(EIO),
            _ => Ok(()),
        }
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.fault()?;
        self.names.remove(name);
        self.durable_names.remove(name);
        Ok(())
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        self.fault()?;
        self.durable_names = self.names.clone();
        Ok(())
    }

    fn space(&mut self) -> Result<Space, DiskError> {
        Ok(Space { free: self.free, total: 1 << 40 })
    }
}
