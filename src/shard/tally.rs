//! What is counted where it is not one plain number: by status, by state, by bind.
//!
//! Owns: nothing of its own. Takes: what has just happened. Gives: it to the cells. Never: decides anything.

use super::Shard;
use crate::carrier::SlotState;
use crate::counters::{MESSAGE_STATES, Match, SLOT_STATES};
use crate::ids::{CarrierId, EsmeId};
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;

const _: () = assert!(MessageState::ALL.len() == MESSAGE_STATES);

const BINDS: [BindKind; 3] = [BindKind::Transmitter, BindKind::Receiver, BindKind::Transceiver];

/// What carries a message toward the handset.
const fn is_submit(command: CommandId) -> bool {
    matches!(
        command,
        CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::SUBMIT_MULTI | CommandId::BROADCAST_SM
    )
}

const fn place_of(state: SlotState) -> usize {
    match state {
        SlotState::Waiting(_) => 0,
        SlotState::Connecting => 1,
        SlotState::Binding(_) => 2,
        SlotState::Bound(..) => 3,
        SlotState::Retired => 4,
    }
}

/// As metrics and status print it.
pub(super) fn name_of(state: SlotState) -> &'static str {
    SLOT_STATES.get(place_of(state)).copied().unwrap_or_default()
}

impl Shard {
    /// An ESME's request was answered with this; so many that were taken from it are over.
    #[inline]
    pub(super) fn count_answer(&self, esme: EsmeId, command: CommandId, status: CommandStatus, ended: u64) {
        if let Some(cells) = self.counters.esmes.get(esme.index()) {
            if is_submit(command) {
                cells.answers.of(status.0).bump();
            }
            cells.ended.add(ended);
        }
    }

    /// A carrier answered a submit with this.
    #[inline]
    pub(super) fn count_carrier_answer(&self, carrier: CarrierId, command: CommandId, status: CommandStatus) {
        if is_submit(command)
            && let Some(cells) = self.counters.carriers.get(carrier.index())
        {
            cells.answers.of(status.0).bump();
        }
    }

    pub(super) fn count_receipt(&self, carrier: CarrierId, what: Match, state: Option<MessageState>) {
        let state = state.unwrap_or(MessageState::Unknown);
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.receipts.at(what as usize).bump();
            cells.receipts_by_state.at(what as usize * MESSAGE_STATES + usize::from(state.octet())).bump();
        }
    }

    /// A carrier's MO was answered with this.
    pub(super) fn count_mo(&self, carrier: CarrierId, status: CommandStatus) {
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.mo_by_status.of(status.0).bump();
        }
    }

    /// Receipts of a carrier that are parked now.
    pub(super) fn count_parked(&self, carrier: CarrierId) {
        if let Some(cells) = self.counters.carriers.get(carrier.index()) {
            cells.parked.set(self.parked.of(carrier) as u64);
        }
    }

    /// A carrier's sockets, by bind and state.
    pub(super) fn count_slots(&self, id: CarrierId) {
        if !self.is_here(id) {
            return;
        }
        let (Some(carrier), Some(cells)) =
            (self.carriers.get(id.index()), self.counters.carriers.get(id.index()))
        else {
            return;
        };
        for (row, bind) in BINDS.iter().enumerate() {
            for state in 0..SLOT_STATES.len() {
                let such = |slot: &&crate::carrier::Slot| slot.kind == *bind && place_of(slot.state) == state;
                let count = carrier.slots.iter().filter(such).count();
                cells.slots.at(row * SLOT_STATES.len() + state).set(count as u64);
            }
        }
        cells.sessions.set(carrier.sessions().count() as u64);
    }

    /// An account's bound sessions, by mode.
    pub(super) fn count_bound(&self, esme: EsmeId) {
        let (Some(account), Some(cells)) =
            (self.accounts.get(esme.index()), self.counters.esmes.get(esme.index()))
        else {
            return;
        };
        cells.sessions.set(account.sessions() as u64);
        for (place, bind) in BINDS.iter().enumerate() {
            cells.sessions_by_bind.at(place).set(account.sessions_of(*bind) as u64);
        }
    }

    /// Requests taken from an ESME are over.
    #[inline]
    pub(super) fn count_ended(&self, esme: EsmeId, count: u64) {
        if let Some(cells) = self.counters.esmes.get(esme.index()) {
            cells.ended.add(count);
        }
    }
}
