//! The links of a loop. Owns: their sockets, phases and slots. Takes: sockets. Gives: links by their handles.
//! Never: moves an octet.

use crate::ids::{LinkId, ShardId};
use crate::shard::mail::Parcel;
use crate::shard::port::Ticket;
use crate::time::Instant;
use std::os::fd::OwnedFd;

/// Generations stay below 2^28, so that a driver has bits left beside a slot and a generation in 64.
const GENERATION_MAX: u32 = 0x0FFF_FFFF;

/// Where a link is in its life.
///
/// ```text
/// Connecting ──▶ Open ──(the core closes)──▶ Flushing ──▶ Lingering ──▶ gone
///                  ├──(the peer's end)──▶ Ending ──▶ gone
///                  └──(handed over)──▶ Leaving ──▶ another shard
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is under way until the instant.
    Connecting(Ticket, Instant),
    Open,
    /// The core asked for the end; output is still to be written.
    Flushing(Instant),
    /// Half-closed; waiting for the peer's end until the instant.
    Lingering(Instant),
    /// The peer will send nothing more; what it is owed is still to be written.
    Ending(Instant),
    /// It goes to another shard as soon as what it is owed is written and nothing is under way on its socket.
    Leaving(Instant),
}

/// Where a link goes, and with what.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) to: ShardId,
    pub(super) parcel: Parcel,
}

#[derive(Debug)]
pub(super) struct Link<L> {
    pub(super) id: LinkId,
    pub(super) socket: OwnedFd,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    /// In the ready list: more may be there to read.
    pub(super) ready: bool,
    /// Octets handed to the driver and not yet written to the socket.
    pub(super) unsent: usize,
    /// Why it ends; the driver still has something under way on the socket.
    pub(super) closing: Option<String>,
    /// Where it goes, while it leaves.
    pub(super) leaving: Option<Box<Leaving>>,
    /// What the driver keeps for it.
    pub(super) line: L,
}

/// All links: a slot each, with the generation that holds it.
#[derive(Debug)]
pub(super) struct Links<L> {
    table: Vec<Option<Link<L>>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    ready: Vec<LinkId>,
}

impl<L: Default> Links<L> {
    pub(super) const fn new() -> Self {
        Self { table: Vec::new(), generations: Vec::new(), free: Vec::new(), ready: Vec::new() }
    }

    /// Slots in use, those of closing links too.
    pub(super) fn in_use(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(super) fn add(&mut self, socket: OwnedFd, phase: Phase) -> LinkId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            self.generations.push(0);
            (self.table.len() - 1) as u32
        });
        let generation = self.generations.get_mut(slot as usize).map_or(0, |generation| {
            *generation = (*generation + 1) & GENERATION_MAX;
            *generation
        });
        let id = LinkId { slot, generation };
        if let Some(place) = self.table.get_mut(slot as usize) {
            assert!(place.is_none(), "a free slot holds no link");
            *place = Some(Link {
                id,
                socket,
                phase,
                paused: false,
                ready: false,
                unsent: 0,
                closing: None,
                leaving: None,
                line: L::default(),
            });
        }
        id
    }

    /// The link, closing or not.
    pub(super) fn get(&mut self, id: LinkId) -> Option<&mut Link<L>> {
        self.table.get_mut(id.index()).and_then(Option::as_mut).filter(|link| link.id == id)
    }

    /// The link, unless it is closing.
    pub(super) fn live(&mut self, id: LinkId) -> Option<&mut Link<L>> {
        self.get(id).filter(|link| link.closing.is_none())
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link<L>> {
        let place = self.table.get_mut(id.index());
        let link = place.and_then(|place| place.take_if(|link| link.id == id))?;
        self.free.push(id.slot);
        Some(link)
    }

    /// Looks at the link in the next pass over the ready ones.
    pub(super) fn mark_ready(&mut self, id: LinkId) {
        if let Some(link) = self.live(id)
            && !link.ready
        {
            link.ready = true;
            self.ready.push(id);
        }
    }

    pub(super) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The ready list in exchange for an empty one.
    pub(super) fn take_ready(&mut self, into: &mut Vec<LinkId>) {
        into.clear();
        std::mem::swap(into, &mut self.ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    fn socket() -> OwnedFd {
        eventfd(0, EventfdFlags::CLOEXEC).unwrap()
    }

    #[test]
    fn a_slot_used_again_is_not_the_link_that_was() {
        let mut links = Links::<()>::new();
        let first = links.add(socket(), Phase::Open);
        assert!(links.remove(first).is_some());
        assert!(links.remove(first).is_none());
        let second = links.add(socket(), Phase::Open);
        assert_eq!((first.slot, links.in_use()), (second.slot, 1));
        assert!(links.get(first).is_none() && links.get(second).is_some());
    }

    #[test]
    fn a_generation_never_reaches_the_bits_that_are_not_its_own() {
        let mut links = Links::<()>::new();
        let first = links.add(socket(), Phase::Open);
        links.remove(first).unwrap();
        links.generations[0] = GENERATION_MAX;
        assert_eq!(links.add(socket(), Phase::Open).generation, 0);
    }

    #[test]
    fn a_closing_link_is_there_and_not_live_and_never_ready() {
        let mut links = Links::<()>::new();
        let id = links.add(socket(), Phase::Open);
        links.get(id).unwrap().closing = Some("closed".into());
        links.mark_ready(id);
        assert!(links.live(id).is_none() && links.get(id).is_some() && !links.any_ready());
    }
}
