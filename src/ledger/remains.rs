//! What is open after a restart. Owns: it, as it was read. Takes: all that a journal says is not over. Gives: each key in the
//! order in which they were given, and what goes elsewhere. Never: copies what nobody wants in memory.
//!
//! Most of it is SENTs of messages that wait for their receipts. They sleep on, so that a look at each where it lies is enough.

use super::restored::{Accepted, Kept, Open, Written};
use crate::journal::{Facts, Frame, Kind, Record};
use crate::time::Wall;

/// See the room's header.
#[derive(Debug, Default)]
pub struct Remains {
    open: Vec<Open>,
    /// Keys, and where they are.
    order: Vec<(u64, u32)>,
}

impl Remains {
    pub(super) const fn new(open: Vec<Open>, order: Vec<(u64, u32)>) -> Self {
        Self { open, order }
    }

    /// The highest key of all.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.iter().next_back().map_or(0, |(key, _)| key)
    }

    /// Keys from this place on.
    pub fn keys(&self, from: usize) -> impl Iterator<Item = u64> {
        self.order.get(from..).unwrap_or_default().iter().map(|(key, _)| *key)
    }

    /// All of it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Still<'_>)> {
        let still = |(key, at): &(u64, u32)| Some((*key, self.open.get(*at as usize)?.still()?));
        self.order.iter().filter_map(still)
    }

    /// What goes elsewhere.
    pub fn extract<T>(&mut self, mut goes: impl FnMut(&Still<'_>) -> Option<T>) -> Vec<(T, u64, Kept)> {
        let Self { open, order } = self;
        let mut gone = Vec::new();
        order.retain(|(key, at)| {
            let Some(still) = open.get(*at as usize).and_then(Open::still) else { return false };
            let Some(to) = goes(&still) else { return true };
            gone.push((to, *key, still.to_kept()));
            false
        });
        gone
    }
}

/// What is open of one key, as it was read.
#[derive(Debug)]
pub enum Still<'a> {
    /// A carrier has accepted the message, and nothing has come for it since.
    Lone(Lone<'a>),
    /// Anything else.
    Kept(&'a Kept),
}

impl Still<'_> {
    /// The same for who keeps it.
    #[must_use]
    pub fn to_kept(&self) -> Kept {
        match self {
            Self::Lone(lone) => lone.to_kept(),
            Self::Kept(kept) => (*kept).clone(),
        }
    }

    /// As `Kept::records`.
    #[must_use]
    pub fn records(&self) -> usize {
        match self {
            Self::Lone(_) => 1,
            Self::Kept(kept) => kept.records(),
        }
    }
}

/// A SENT that is all there is of its message.
#[derive(Debug)]
pub struct Lone<'a> {
    /// The SENT.
    pub record: Written,
    /// Final receipts that are still to come.
    pub awaited: u16,
    /// What is known of the message.
    pub facts: Facts<'a>,
    over: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Lone<'a> {
    pub(super) fn of(frame: &Frame<'a>, wall: Wall) -> Option<Self> {
        let lsn = frame.lsn;
        let (record, kind, version, payload) = match frame.kind()? {
            Kind::Move => match frame.record()? {
                Record::Move { from: _, origin, kind, version, wall, payload } => {
                    (Written { lsn, origin, wall: Wall(wall) }, Kind::of(kind)?, version, payload)
                }
                _ => return None,
            },
            kind => (Written { lsn, origin: lsn, wall }, kind, frame.version, frame.payload),
        };
        match Record::read(kind, version, payload)? {
            Record::Sent { awaited, over, facts, .. } => Some(Self { record, awaited, facts, over, payload }),
            _ => None,
        }
    }

    /// The same for who keeps it.
    #[must_use]
    pub fn to_kept(&self) -> Kept {
        let Self { record, awaited, .. } = *self;
        let accepted = Accepted::new((record, awaited), false, self.over, self.payload);
        Kept { accepted: Some(accepted), ..Kept::default() }
    }
}
