//! The window: requests of ours that the peer has not answered. Owns: one slot each, in send order. Takes: a
//! request when it is written, a response when it comes. Gives: whose request it was, once. Never: the same slot
//! twice, an allocation after warm-up.
//!
//! Slots are a power of two, at least twice the window, indexed by our sequence number; a number whose slot is taken
//! is skipped (design decision 10). The table comes from the shard's pool at the first request and goes back when
//! the window is empty, so an idle session holds none.

use crate::limits::{SEQUENCE_MAX, WINDOW_MAX, WINDOW_POOL_KEPT, WINDOW_SLOTS_MIN};
use crate::smpp::command::CommandId;
use crate::time::Instant;

/// Whose request a slot holds: a number that the owner understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner(pub u64);

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    sequence: u32,
    /// The request's command_id; 0 marks a free slot.
    command: u32,
    sent_at: Instant,
    owner: Owner,
    /// Neighbours in send order.
    before: u32,
    after: u32,
}

const FREE: Slot =
    Slot { sequence: 0, command: 0, sent_at: Instant::ZERO, owner: Owner(0), before: NONE, after: NONE };

/// Slot tables that no window holds at present, by size.
#[derive(Debug, Default)]
pub struct WindowPool {
    tables: Vec<Vec<Slot>>,
}

impl WindowPool {
    /// A table with `slots` free slots.
    fn take(&mut self, slots: usize) -> Vec<Slot> {
        match self.tables.iter().rposition(|table| table.len() == slots) {
            Some(at) => self.tables.swap_remove(at),
            None => vec![FREE; slots],
        }
    }

    fn give(&mut self, table: Vec<Slot>) {
        if self.tables.len() < WINDOW_POOL_KEPT {
            self.tables.push(table);
        }
    }
}

/// Why a response fits no request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// No request with this number: late, duplicate or never sent.
    Unknown,
    /// The request with this number is of another type.
    WrongType,
}

/// Requests in flight toward one peer.
#[derive(Debug)]
pub struct Window {
    slots: Vec<Slot>,
    used: u32,
    max: u32,
    oldest: u32,
    newest: u32,
}

impl Window {
    /// An empty window for `max` requests, 1 to `WINDOW_MAX`.
    #[must_use]
    pub fn new(max: u32) -> Self {
        debug_assert!((1..=WINDOW_MAX as u32).contains(&max));
        Self { slots: Vec::new(), used: 0, max, oldest: NONE, newest: NONE }
    }

    /// Requests in flight.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Most requests in flight.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// True when one more request may be sent.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.used < self.max
    }

    /// When the oldest request in flight was sent.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.get(self.oldest as usize).map(|slot| slot.sent_at)
    }

    fn slots_for(max: u32) -> usize {
        (2 * max as usize).next_power_of_two().max(WINDOW_SLOTS_MIN)
    }

    /// Takes a slot for a request and gives its sequence number; `None` when the window is full. `next` is the
    /// session's counter of sequence numbers.
    #[inline]
    pub fn open(
        &mut self,
        now: Instant,
        command: CommandId,
        owner: Owner,
        next: &mut u32,
        pool: &mut WindowPool,
    ) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        if self.slots.is_empty() {
            self.slots = pool.take(Self::slots_for(self.max));
        }
        assert!(command.0 != 0 && !command.is_response());
        let mask = self.slots.len() - 1;
        let mut sequence = take_sequence(next);
        // At most half of the slots are taken, so a free one is near.
        while self.slots.get(sequence as usize & mask).is_some_and(|slot| slot.command != 0) {
            sequence = take_sequence(next);
        }
        let index = sequence as usize & mask;
        let slot = self.slots.get_mut(index)?;
        *slot = Slot { sequence, command: command.0, sent_at: now, owner, before: self.newest, after: NONE };
        match self.slots.get_mut(self.newest as usize) {
            Some(newest) => newest.after = index as u32,
            None => self.oldest = index as u32,
        }
        self.newest = index as u32;
        self.used += 1;
        // The next request's slot was last written a window ago: its memory is asked for now, not waited for then.
        let next_one = self.slots.get(next.wrapping_add(1) as usize & mask);
        core::hint::black_box(next_one.map(|slot| slot.sequence));
        Some(sequence)
    }

    /// Frees the slot that a response answers and gives whose request it was. A generic_nack fits every type.
    ///
    /// # Errors
    /// The response fits nothing in flight; nothing changes.
    #[inline]
    pub fn close(
        &mut self,
        sequence: u32,
        response: CommandId,
        pool: &mut WindowPool,
    ) -> Result<(Owner, CommandId, Instant), Mismatch> {
        let index = sequence as usize & self.slots.len().wrapping_sub(1);
        let slot = self.slots.get(index).copied().unwrap_or(FREE);
        if slot.command == 0 || slot.sequence != sequence {
            return Err(Mismatch::Unknown);
        }
        if response != CommandId::GENERIC_NACK && response.request().0 != slot.command {
            return Err(Mismatch::WrongType);
        }
        self.free(index, pool);
        Ok((slot.owner, CommandId(slot.command), slot.sent_at))
    }

    /// Whose request a response with this number answers, most likely; nothing changes.
    #[inline]
    #[must_use]
    pub fn owner(&self, sequence: u32) -> Option<Owner> {
        let slot = self.slots.get(sequence as usize & self.slots.len().wrapping_sub(1))?;
        (slot.sequence == sequence).then_some(slot.owner)
    }

    /// Frees the oldest slot if it was sent at `deadline` or before; gives its owner and sequence number.
    pub fn expire(&mut self, deadline: Instant, pool: &mut WindowPool) -> Option<(Owner, u32)> {
        let slot = self.slots.get(self.oldest as usize).copied()?;
        if slot.sent_at > deadline {
            return None;
        }
        self.free(self.oldest as usize, pool);
        Some((slot.owner, slot.sequence))
    }

    /// Frees the oldest slot: for links that have closed.
    pub fn abandon(&mut self, pool: &mut WindowPool) -> Option<Owner> {
        self.expire(Instant::from_nanos(u64::MAX), pool).map(|(owner, _)| owner)
    }

    #[inline(always)]
    fn free(&mut self, index: usize, pool: &mut WindowPool) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        assert!(slot.command != 0, "a slot is freed once");
        let (before, after) = (slot.before, slot.after);
        *slot = FREE;
        match self.slots.get_mut(before as usize) {
            Some(neighbour) => neighbour.after = after,
            None => self.oldest = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(neighbour) => neighbour.before = before,
            None => self.newest = before,
        }
        self.used -= 1;
        if self.used == 0 {
            debug_assert!(self.oldest == NONE && self.newest == NONE);
            pool.give(core::mem::take(&mut self.slots));
        }
    }
}

/// The next sequence number: 1 to 0x7FFFFFFF, then 1 again (SMPP 5.0 §2.6.4).
#[inline]
pub fn take_sequence(next: &mut u32) -> u32 {
    let sequence = (*next).clamp(1, SEQUENCE_MAX);
    *next = if sequence == SEQUENCE_MAX { 1 } else { sequence + 1 };
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    const SUBMIT: CommandId = CommandId::SUBMIT_SM;
    const RESP: CommandId = CommandId::SUBMIT_SM_RESP;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn a_slot_is_freed_once_and_by_its_own_type_only() {
        let (mut window, mut pool, mut next) = (Window::new(4), WindowPool::default(), 1);
        let sequence = window.open(at(1), SUBMIT, Owner(9), &mut next, &mut pool).unwrap();
        let wrong = window.close(sequence, CommandId::QUERY_SM_RESP, &mut pool);
        assert_eq!(wrong, Err(Mismatch::WrongType));
        assert_eq!(window.close(sequence, RESP, &mut pool), Ok((Owner(9), SUBMIT, at(1))));
        assert_eq!(window.close(sequence, RESP, &mut pool), Err(Mismatch::Unknown));
        assert_eq!(window.used(), 0);
    }

    #[test]
    fn a_nack_frees_a_request_of_any_type() {
        let (mut window, mut pool, mut next) = (Window::new(1), WindowPool::default(), 1);
        let sequence = window.open(at(1), CommandId::DATA_SM, Owner(3), &mut next, &mut pool).unwrap();
        assert!(window.close(sequence, CommandId::GENERIC_NACK, &mut pool).is_ok());
    }

    #[test]
    fn a_full_window_gives_no_slot() {
        let (mut window, mut pool, mut next) = (Window::new(2), WindowPool::default(), 1);
        assert!(window.open(at(1), SUBMIT, Owner(1), &mut next, &mut pool).is_some());
        assert!(window.open(at(1), SUBMIT, Owner(2), &mut next, &mut pool).is_some());
        assert_eq!(window.open(at(1), SUBMIT, Owner(3), &mut next, &mut pool), None);
    }

    #[test]
    fn numbers_wrap_to_one_and_skip_a_taken_slot() {
        let (mut window, mut pool) = (Window::new(2), WindowPool::default());
        let mut next = SEQUENCE_MAX;
        let stuck = window.open(at(1), SUBMIT, Owner(1), &mut next, &mut pool).unwrap();
        assert_eq!(stuck, SEQUENCE_MAX);
        let mut seen = Vec::new();
        for _ in 0..8 {
            let sequence = window.open(at(2), SUBMIT, Owner(2), &mut next, &mut pool).unwrap();
            seen.push(sequence);
            window.close(sequence, RESP, &mut pool).unwrap();
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 8, 9], "7 shares the slot of 0x7FFFFFFF");
    }

    #[test]
    fn expiry_goes_in_send_order_and_leaves_the_young() {
        let (mut window, mut pool, mut next) = (Window::new(8), WindowPool::default(), 1);
        for n in 1..=4 {
            window.open(at(n), SUBMIT, Owner(n), &mut next, &mut pool).unwrap();
        }
        window.close(2, RESP, &mut pool).unwrap();
        assert_eq!(window.expire(at(3), &mut pool), Some((Owner(1), 1)));
        assert_eq!(window.expire(at(3), &mut pool), Some((Owner(3), 3)));
        assert_eq!(window.expire(at(3), &mut pool), None);
        assert_eq!(window.oldest(), Some(at(4)));
    }

    #[test]
    fn random_traffic_frees_every_slot_exactly_once() {
        let (mut window, mut pool, mut next) = (Window::new(50), WindowPool::default(), SEQUENCE_MAX - 500);
        let (mut prng, mut flying) = (Prng::new(11), Vec::new());
        for step in 0..100_000u64 {
            if prng.chance(1, 2) {
                let full = flying.len() == 50;
                let opened = window.open(at(step), SUBMIT, Owner(step), &mut next, &mut pool);
                assert_eq!(opened.is_none(), full);
                flying.extend(opened.map(|sequence| (sequence, step)));
            } else if !flying.is_empty() {
                let (sequence, owner) = flying.swap_remove(prng.below(flying.len() as u64) as usize);
                let closed = window.close(sequence, RESP, &mut pool).unwrap();
                assert_eq!(closed.0, Owner(owner));
            }
            assert_eq!(window.used() as usize, flying.len());
        }
    }
}
