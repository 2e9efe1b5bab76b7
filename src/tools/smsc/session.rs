//! A session of the simulated carrier and the account that it belongs to. Owns: the bind state, the window of
//! deliver_sm. Takes: binds, deliveries, their answers. Gives: what has not been delivered. Never: writes a PDU.

use super::deliver::Delivery;
use crate::ids::LinkId;
use crate::limits::SEQUENCE_MAX;
use crate::smpp::command::CommandId;
use crate::time::Instant;
use crate::tools::stream::Stream;
use std::collections::VecDeque;

/// A deliver_sm that waits for its response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) sequence: u32,
    pub(super) at: Instant,
    pub(super) delivery: Delivery,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: LinkId,
    pub(super) stream: Stream,
    bound: bool,
    pub(super) account: usize,
    pub(super) submits: bool,
    pub(super) receives: bool,
    /// The lesser of both sides' interface_version.
    pub(super) version: u8,
    sequence: u32,
    /// Submits seen and submits answered, for faults after a count.
    pub(super) seen: u64,
    pub(super) answered: u64,
    /// Answers nothing any more.
    pub(super) silent: bool,
    /// Slot = sequence modulo length, a power of two.
    flights: Vec<Option<Flight>>,
    pub(super) in_flight: u32,
    pub(super) ready: VecDeque<Delivery>,
}

impl Session {
    pub(super) fn new(link: LinkId) -> Self {
        Self {
            link,
            stream: Stream::default(),
            bound: false,
            account: 0,
            submits: false,
            receives: false,
            version: 0,
            sequence: 0,
            seen: 0,
            answered: 0,
            silent: false,
            flights: Vec::new(),
            in_flight: 0,
            ready: VecDeque::new(),
        }
    }

    pub(super) const fn is_bound(&self) -> bool {
        self.bound
    }

    pub(super) fn bind(&mut self, command: CommandId, account: usize, version: u8, window: u32) {
        assert!(!self.bound);
        self.bound = true;
        self.account = account;
        self.version = version;
        self.submits = command != CommandId::BIND_RECEIVER;
        self.receives = command != CommandId::BIND_TRANSMITTER;
        if self.receives {
            self.flights.resize_with((window as usize).next_power_of_two(), || None);
        }
    }

    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
        self.sequence
    }

    fn slot(&mut self, sequence: u32) -> Option<&mut Option<Flight>> {
        let mask = self.flights.len().wrapping_sub(1);
        self.flights.get_mut(sequence as usize & mask)
    }

    /// Takes a slot for a delivery and gives its sequence_number. There must be room in the window.
    pub(super) fn take_off(&mut self, at: Instant, delivery: Delivery) -> u32 {
        assert!((self.in_flight as usize) < self.flights.len());
        loop {
            let sequence = self.next_sequence();
            if let Some(slot) = self.slot(sequence)
                && slot.is_none()
            {
                *slot = Some(Flight { sequence, at, delivery });
                self.in_flight += 1;
                return sequence;
            }
        }
    }

    /// The delivery that a response is for.
    pub(super) fn land(&mut self, sequence: u32) -> Option<Delivery> {
        let flight = self.slot(sequence)?.take_if(|flight| flight.sequence == sequence)?;
        self.in_flight -= 1;
        Some(flight.delivery)
    }

    /// Deliveries that were sent before `before` and not answered; they are in flight no more.
    pub(super) fn take_overdue(&mut self, before: Instant, into: &mut Vec<Delivery>) {
        for slot in &mut self.flights {
            if let Some(flight) = slot.take_if(|flight| flight.at <= before) {
                self.in_flight -= 1;
                into.push(flight.delivery);
            }
        }
    }

    /// All that was in flight or ready.
    pub(super) fn take_undelivered(&mut self) -> Vec<Delivery> {
        let mut all = Vec::new();
        self.take_overdue(Instant::from_nanos(u64::MAX), &mut all);
        all.extend(self.ready.drain(..));
        all
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: Vec<u8>,
    pub(super) bound: u32,
    pub(super) receivers: Vec<LinkId>,
    pub(super) turn: usize,
    /// Deliveries that found no session.
    pub(super) waiting: VecDeque<Delivery>,
}

impl Account {
    pub(super) fn new(name: &[u8]) -> Self {
        Self { name: name.to_vec(), bound: 0, receivers: Vec::new(), turn: 0, waiting: VecDeque::new() }
    }

    /// The next receiving session in turn.
    pub(super) fn next_receiver(&mut self) -> Option<LinkId> {
        self.turn = self.turn.wrapping_add(1);
        let place = self.turn.checked_rem(self.receivers.len())?;
        self.receivers.get(place).copied()
    }
}
