//! A message whose receipt nobody asked for. Owns: what its entry would say. Takes: an accepted message. Gives: that back
//! when somebody looks for one. Never: what would have to be dropped.

use super::{AddressTail, Destinations, Given, NewEntry};
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::time::Instant;

/// A message that is in no table yet. One is written per message and nearly never read: plain octets, 88 of them.
#[derive(Debug)]
pub(super) struct Unsorted {
    pub(super) at: Instant,
    pub(super) carrier: CarrierId,
    pub(super) esme: EsmeId,
    pub(super) link: LinkId,
    pub(super) mark: u64,
    pub(super) given: Given,
    pub(super) destination: AddressTail,
    pub(super) id_length: u8,
    pub(super) id: [u8; UNSORTED_ID],
}

/// The longest id of a message in no table; a longer one goes into the tables at once.
const UNSORTED_ID: usize = 23;
const _: () = assert!(size_of::<Unsorted>() <= 88);

impl Unsorted {
    pub(super) const EMPTY: Self = Self {
        at: Instant::ZERO,
        carrier: CarrierId(0),
        esme: EsmeId(0),
        link: LinkId { slot: 0, generation: 0 },
        mark: 0,
        given: Given::Carrier,
        destination: AddressTail::ANY,
        id_length: 0,
        id: [0; UNSORTED_ID],
    };

    /// True for what has this plain form.
    pub(super) fn fits(new: &NewEntry<'_>) -> bool {
        new.awaited == 0
            && new.record == 0
            && new.id.len() <= UNSORTED_ID
            && matches!(new.destination, Destinations::One(_))
    }

    /// Becomes this message. Field by field, where it stays: built elsewhere and moved, each write would be waited for.
    #[inline]
    pub(super) fn fill(&mut self, now: Instant, new: &NewEntry<'_>) {
        debug_assert!(Self::fits(new));
        self.at = now;
        self.carrier = new.carrier;
        self.esme = new.esme;
        self.link = new.link;
        self.mark = new.mark;
        self.given = new.given;
        self.destination = match new.destination {
            Destinations::One(tail) => *tail,
            Destinations::Several(_) => AddressTail::ANY,
        };
        self.id_length = new.id.len() as u8;
        if let Some(id) = self.id.get_mut(..new.id.len()) {
            id.copy_from_slice(new.id);
        }
    }
}
