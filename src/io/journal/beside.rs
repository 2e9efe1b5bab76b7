//! Syncs a committer's files on a thread of its own, one at a time. Owns: the thread. Takes: a file. Gives: what became of
//! its sync, and wakes the committer. Never: writes.

use super::store::{Directory, refused};
use crate::journal::{Disk as _, DiskError};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// See the file's header. The thread ends when this does and the sync that is under way is through.
#[derive(Debug)]
pub(super) struct Beside {
    ask: Sender<File>,
    done: Receiver<Result<(), DiskError>>,
    has_news: Arc<AtomicBool>,
}

/// The thread has ended, which it does not by itself.
const GONE: DiskError = DiskError::Failed(5); // EIO

impl Beside {
    /// `wake` is called behind each sync.
    pub(super) fn new(
        name: String,
        mut disk: Directory,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (ask, asked) = channel::<File>();
        let (tell, done) = channel();
        let has_news = Arc::new(AtomicBool::new(false));
        let news = Arc::clone(&has_news);
        let run = move || {
            for file in asked {
                if tell.send(disk.sync(&file)).is_err() {
                    return;
                }
                news.store(true, Ordering::Release);
                wake();
            }
        };
        // Nobody waits for it: a disk that hangs holds up no end of a process.
        std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { ask, done, has_news })
    }

    /// Begins one: the same open file, so that an error of earlier writes is told here.
    pub(super) fn begin(&self, file: &File) -> Result<(), DiskError> {
        let same = file.try_clone().map_err(|error| refused(&error))?;
        self.ask.send(same).map_err(|_| GONE)
    }

    /// True when `done` has something to say.
    pub(super) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// What became of it.
    pub(super) fn done(&self) -> Option<Result<(), DiskError>> {
        self.has_news.store(false, Ordering::Relaxed);
        match self.done.try_recv() {
            Ok(done) => Some(done),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(GONE)),
        }
    }
}
