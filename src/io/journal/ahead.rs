//! Reads what the last run left on threads of their own, while its records are taken on the caller's. Owns: the memory that
//! segments are loaded into, a bounded number of them. Takes: a directory. Gives: each record once, in order, to the caller's
//! thread. Never: decides what a record is worth (that is `journal::recover`).
//!
//! Reading and verifying a segment needs nothing of the others and takes longer than keeping what is needed of it: a start with
//! a large journal has all its cores at work.

use super::OpenError;
use super::store::Directory;
use crate::journal::Frame;
use crate::journal::recover::{Loaded, Place, Recovered, Recovery, Refusal, Source};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Threads that load. Each has the memory of one segment, and the caller that of another one.
const LOADERS: usize = 2;

/// The caller's ends of what it and a loader tell each other.
struct Loader {
    loaded: Receiver<Result<Loaded, Refusal>>,
    /// Memory for its next one.
    memory: Sender<Loaded>,
}

/// Reads all of a journal; `visit` is called with each record, in order, on this thread.
pub(super) fn read(
    recovery: Recovery,
    mut disk: Directory,
    visit: &mut dyn FnMut(&Frame<'_>, &Place),
) -> Result<Recovered, OpenError> {
    let mut reading = recovery.begin(&mut disk, visit).map_err(OpenError::Refused)?;
    let sources = reading.sources();
    let taken = std::thread::scope(|scope| {
        // The ends of this thread go with the closure, also when it panics: the others are never left waiting.
        let (mut loaders, mut threads) = (Vec::new(), Vec::new());
        for first in 0..LOADERS.min(sources.len()) {
            let ((give, loaded), (memory, empty)) = (sync_channel(0), channel());
            let (own, disk) = (sources.iter().skip(first).step_by(LOADERS), disk.clone());
            let work = move || load(own, disk, &give, &empty);
            threads.push(std::thread::Builder::new().name("read".into()).spawn_scoped(scope, work)?);
            let _ = memory.send(Loaded::default());
            loaders.push(Loader { loaded, memory });
        }
        let (mut spare, mut refused) = (Loaded::default(), Ok(()));
        for loader in loaders.iter().cycle().take(sources.len()) {
            // One that has panicked gives none.
            let Ok(loaded) = loader.loaded.recv() else { break };
            // One that has ended needs no more.
            let _ = loader.memory.send(spare);
            match loaded {
                Ok(loaded) => {
                    reading.take(&loaded);
                    spare = loaded;
                }
                Err(refusal) => {
                    refused = Err(OpenError::Refused(refusal));
                    break;
                }
            }
        }
        drop(loaders);
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        refused
    });
    taken?;
    reading.finish().map_err(OpenError::Refused)
}

fn load<'s>(
    sources: impl Iterator<Item = &'s Source>,
    mut disk: Directory,
    give: &SyncSender<Result<Loaded, Refusal>>,
    empty: &Receiver<Loaded>,
) {
    for source in sources {
        // Nobody gives or takes any more when the caller has stopped.
        let Ok(former) = empty.recv() else { return };
        let loaded = source.load(&mut disk, former);
        if give.send(loaded).is_err() {
            return;
        }
    }
}
