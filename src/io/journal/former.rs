//! What a start finds of a shard that is no more. Owns: what was read of its journal. Takes: nothing. Gives: how it is, and
//! whether anything is left to be done in it. Never: changes its files.

use crate::journal::recover::{Recovered, Report};
use crate::journal::{Frame, Kind, Lsn};

/// The journal of a shard that the node does not have any more.
pub struct Former {
    pub(super) shard: u32,
    pub(super) recovered: Recovered,
    /// What somebody has said is in its files.
    pub(super) texts: bool,
}

/// True when somebody may have said something in this record.
pub(super) fn has_text(frame: &Frame<'_>) -> bool {
    matches!(frame.kind(), None | Some(Kind::Accept | Kind::DlrIn | Kind::MoIn | Kind::Move))
}

impl Former {
    /// Whose it was.
    #[must_use]
    pub const fn shard(&self) -> u32 {
        self.shard
    }

    /// Its last record.
    #[must_use]
    pub const fn end(&self) -> Lsn {
        self.recovered.end
    }

    /// How it was read.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.recovered.report
    }

    /// Octets of its files.
    pub(super) fn octets(&self) -> u64 {
        let Recovered { segments, void, .. } = &self.recovered;
        segments.iter().chain(void).map(|segment| segment.length).sum()
    }

    /// True when it can stay as it is: nothing is to be given back, also for what is said in it, and its sinks, if there are
    /// any, can read all they want.
    /// `is_needed`: of accounts that nobody knows, whose records stay where they are.
    #[must_use]
    pub fn rests(&self, is_needed: bool, has_sinks: bool) -> bool {
        let Recovered { segments, spares, spoilt, unfinished, void, tail, .. } = &self.recovered;
        let files = [spares.len(), spoilt.len(), unfinished.len(), void.len()];
        let is_final = |frame: &[u8]| {
            Frame::unsealed(frame).is_some_and(|(frame, _)| frame.kind() == Some(Kind::Finish))
        };
        // What may not be durable is written again before a sink reads it.
        let awaited = has_sinks && tail.iter().any(|record| is_final(&record.frame));
        let says = self.texts || segments.iter().any(|segment| segment.stale.is_some());
        files.iter().all(|files| *files == 0) && !awaited && (segments.len() <= 1 && !says || is_needed)
    }
}
