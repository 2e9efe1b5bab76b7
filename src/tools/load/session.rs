//! One session of the load generator. Owns: its window. Takes: messages and responses. Gives: which message a
//! response is for. Never: counts.

use super::template::Shape;
use crate::ids::LinkId;
use crate::limits::SEQUENCE_MAX;
use crate::smpp::command::CommandId;
use crate::time::Instant;
use crate::tools::stream::Stream;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The connect is under way, or will be made at the instant.
    Connecting(Option<Instant>),
    /// The bind has no response yet.
    Binding(LinkId),
    Bound(LinkId),
    /// The unbind has no response yet.
    Unbinding(LinkId),
    /// It will not come back.
    Gone,
}

/// A submit without a response.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    pub(super) sequence: u32,
    pub(super) taken: bool,
    /// It asked for a receipt.
    pub(super) asked: bool,
    pub(super) check: u16,
    /// The message's number.
    pub(super) number: u64,
    /// When it was to be sent.
    pub(super) intended: Instant,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) account: usize,
    pub(super) command: CommandId,
    pub(super) state: State,
    pub(super) stream: Stream,
    sequence: u32,
    slots: Vec<Slot>,
    pub(super) in_flight: u32,
    /// The next part of a long message that it has begun.
    pub(super) next_part: Option<Shape>,
}

impl Session {
    pub(super) fn new(account: usize, command: CommandId, window: u32) -> Self {
        let slots = (2 * window as usize).next_power_of_two();
        Self {
            account,
            command,
            state: State::Connecting(None),
            stream: Stream::default(),
            sequence: 0,
            slots: vec![Slot::default(); slots],
            in_flight: 0,
            next_part: None,
        }
    }

    pub(super) fn transmits(&self) -> bool {
        self.command != CommandId::BIND_RECEIVER
    }

    /// True when it may send and its window is not full.
    #[inline]
    pub(super) fn has_room(&self, window: u32) -> bool {
        self.in_flight < window && self.transmits() && matches!(self.state, State::Bound(_))
    }

    pub(super) const fn bound(&self) -> Option<LinkId> {
        match self.state {
            State::Bound(link) => Some(link),
            State::Connecting(_) | State::Binding(_) | State::Unbinding(_) | State::Gone => None,
        }
    }

    pub(super) const fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Bound(link) | State::Binding(link) | State::Unbinding(link) => Some(link),
            State::Connecting(_) | State::Gone => None,
        }
    }

    pub(super) const fn next_sequence(&mut self) -> u32 {
        self.sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
        self.sequence
    }

    /// The next sequence_number whose slot is free. There must be room in the window.
    pub(super) fn free_sequence(&mut self) -> u32 {
        assert!((self.in_flight as usize) < self.slots.len());
        loop {
            let sequence = self.next_sequence();
            let mask = self.slots.len() - 1;
            if self.slots.get(sequence as usize & mask).is_some_and(|slot| !slot.taken) {
                return sequence;
            }
        }
    }

    pub(super) fn take_off(&mut self, taken: Slot) {
        let sequence = taken.sequence;
        let mask = self.slots.len() - 1;
        if let Some(slot) = self.slots.get_mut(sequence as usize & mask) {
            assert!(!slot.taken);
            *slot = Slot { taken: true, ..taken };
            self.in_flight += 1;
        }
    }

    /// The submit that a response is for.
    pub(super) fn land(&mut self, sequence: u32) -> Option<Slot> {
        let mask = self.slots.len() - 1;
        let slot = self.slots.get_mut(sequence as usize & mask)?;
        if !slot.taken || slot.sequence != sequence {
            return None;
        }
        // Copied before it is written: a copy that follows a write of one octet waits for it.
        let landed = *slot;
        slot.taken = false;
        self.in_flight -= 1;
        Some(landed)
    }

    /// The link is gone: how many submits will never be answered.
    pub(super) fn lost(&mut self) -> u32 {
        self.stream = Stream::default();
        self.sequence = 0;
        self.next_part = None;
        self.forget()
    }

    /// Waits for no response any more; how many there were.
    pub(super) fn forget(&mut self) -> u32 {
        self.slots.iter_mut().for_each(|slot| slot.taken = false);
        core::mem::take(&mut self.in_flight)
    }
}
