//! Records on their way to who reads a journal. Owns: some that follow each other. Takes: them in order. Gives: them in order,
//! each with the word whether its key is closed by one of those behind it. Never: keeps what they say.
//!
//! Most receipts are answered soon: who keeps what is not over needs not look at what two records later is.

use super::frame::Frame;
use super::record::{Kind, Role};
use super::recover::Place;

/// Records that go together.
const TOGETHER: usize = 256;
/// Places for keys that are closed; one that is taken makes a record be looked at in vain.
const CLOSED: usize = 512;

/// See the room's header.
pub(super) struct Together<'a> {
    records: Vec<(Frame<'a>, Place)>,
}

impl<'a> Together<'a> {
    pub(super) fn new() -> Self {
        Self { records: Vec::with_capacity(TOGETHER) }
    }

    /// True: they are to be told.
    pub(super) fn push(&mut self, frame: Frame<'a>, place: Place) -> bool {
        self.records.push((frame, place));
        self.records.len() >= TOGETHER
    }

    pub(super) fn tell(&mut self, visit: &mut dyn FnMut(&Frame<'_>, &Place)) {
        let mut closed = [None; CLOSED];
        for (frame, place) in self.records.iter_mut().rev() {
            let mixed = frame.key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let Some(closed) = closed.get_mut(mixed as usize % CLOSED) else { continue };
            place.is_over = *closed == Some(frame.key);
            if frame.kind().map(Kind::role) == Some(Role::Closes) {
                *closed = Some(frame.key);
            }
        }
        self.records.iter().for_each(|(frame, place)| visit(frame, place));
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Lsn;
    use crate::prng::Prng;
    use crate::time::Wall;

    #[test]
    fn a_record_is_over_only_when_one_behind_it_closes_its_key() {
        let (mut prng, mut told, mut written) = (Prng::new(11), 0, Vec::new());
        let mut together = Together::new();
        for lsn in 1..=10_000 {
            let kind = if prng.below(3) == 0 { Kind::Finish } else { Kind::DlrIn };
            let (key, lsn) = (prng.below(40), Lsn(lsn));
            written.push((key, kind));
            let frame = Frame { lsn, key, time_ms: 0, kind: kind as u8, version: 1, flags: 0, payload: &[] };
            let place = Place { segment: 1, at: 0, wall: Wall(0), octets: 32, is_over: false };
            if !together.push(frame, place) {
                continue;
            }
            let mut over = 0;
            together.tell(&mut |frame, place| {
                told += 1;
                assert_eq!(frame.lsn.0, told);
                let behind = &written[frame.lsn.0 as usize..];
                let is_closed = behind.iter().any(|(key, kind)| *key == frame.key && *kind == Kind::Finish);
                assert!(!place.is_over || is_closed, "{told}");
                over += u64::from(place.is_over);
            });
            assert!(over > 64, "{over}");
        }
        together.tell(&mut |_, _| told += 1);
        assert_eq!(told, 10_000);
    }
}
