//! What is seen on a wire: events with their time. The oracle knows nothing else; their hash is the trace.

use bindery::time::Instant;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// A connection, never used again for another.
pub(crate) type WireId = usize;

/// Who is at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// Somebody who connected to the listener.
    Esme,
    /// The carrier of this index.
    Carrier(usize),
}

/// What happened at the node's end of the wires.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Seen<'a> {
    /// The node began a connect to a carrier.
    Dial(usize),
    /// A connect to a carrier ended without a link.
    DialFailed(usize),
    /// A link is up; for a carrier its connect has ended.
    Up(WireId, End),
    /// The node wrote octets.
    Wrote(WireId, &'a [u8]),
    /// The socket took so many of them.
    Took(WireId, usize),
    /// The node read octets.
    Read(WireId, &'a [u8]),
    /// The node is done with the link and reads nothing more.
    Closing(WireId),
    /// The link is gone.
    Down(WireId),
}

/// The hash of everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Trace(DefaultHasher);

impl Trace {
    /// One more event.
    pub(crate) fn add(&mut self, now: Instant, seen: &Seen<'_>) {
        now.as_nanos().hash(&mut self.0);
        seen.hash(&mut self.0);
    }

    /// The hash so far.
    pub(crate) fn hash(&self) -> u64 {
        self.0.finish()
    }
}
