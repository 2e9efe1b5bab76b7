//! Reads what the last run left on a thread of its own, while its records are taken on the caller's. Owns: the records that
//! are under way, a bounded number of octets. Takes: a directory. Gives: each record once, in order, to the caller's thread.
//! Never: decides what a record is worth (that is `journal::recover`).
//!
//! Reading and verifying takes about as long as keeping what is needed: a start with a large journal takes half the time.

use super::OpenError;
use super::store::Directory;
use crate::journal::Frame;
use crate::journal::recover::{Place, Recovered, Recovery, Refusal};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

/// Octets of records that go over together; all that are under way stay in a cache.
const BATCH: usize = 128 * 1024;
/// Batches that may wait for the caller.
const BATCHES: usize = 8;

/// Records that go over together.
#[derive(Default)]
struct Batch {
    /// Payloads, one behind the other.
    octets: Vec<u8>,
    /// Each without its payload, and how long that is.
    records: Vec<(Frame<'static>, Place, usize)>,
}

impl Batch {
    fn add(&mut self, frame: &Frame<'_>, place: &Place) {
        self.octets.extend_from_slice(frame.payload);
        self.records.push((Frame { payload: &[], ..*frame }, *place, frame.payload.len()));
    }

    fn take(&mut self, visit: &mut dyn FnMut(&Frame<'_>, &Place)) {
        let mut rest = self.octets.as_slice();
        for (frame, place, length) in &self.records {
            let (payload, behind) = rest.split_at(*length);
            visit(&Frame { payload, ..*frame }, place);
            rest = behind;
        }
        self.octets.clear();
        self.records.clear();
    }
}

/// Reads all of a journal; `visit` is called with each record, in order, on this thread.
pub(super) fn read(
    recovery: Recovery,
    disk: Directory,
    visit: &mut dyn FnMut(&Frame<'_>, &Place),
) -> Result<Recovered, OpenError> {
    std::thread::scope(|scope| {
        // The ends of this thread go with the closure, also when it panics: the other one is never left waiting.
        let (fill, filled) = sync_channel(BATCHES);
        let (give, given) = channel();
        let reading = move || ahead(recovery, disk, &fill, &given);
        let reader = std::thread::Builder::new().name("read".into()).spawn_scoped(scope, reading)?;
        for mut batch in filled {
            batch.take(visit);
            // One that has ended needs no more.
            let _ = give.send(batch);
        }
        match reader.join() {
            Ok(recovered) => recovered.map_err(OpenError::Refused),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn ahead(
    recovery: Recovery,
    mut disk: Directory,
    fill: &SyncSender<Batch>,
    given: &Receiver<Batch>,
) -> Result<Recovered, Refusal> {
    let mut batch = Batch::default();
    let recovered = recovery.run(&mut disk, &mut |frame, place| {
        batch.add(frame, place);
        if batch.octets.len() >= BATCH {
            let empty = given.try_recv().unwrap_or_default();
            // Nobody takes it any more when the caller has panicked.
            let _ = fill.send(core::mem::replace(&mut batch, empty));
        }
    });
    let _ = fill.send(batch);
    recovered
}
