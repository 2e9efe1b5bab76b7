//! How a message ended, as its final record says. Owns: values only.

use crate::counters::Reason;
use crate::journal::record::NO_REASON;
use crate::journal::{Facts, Fault, Record};
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use smallvec::SmallVec;

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What became of it.
    pub state: MessageState,
    /// The last command_status.
    pub status: CommandStatus,
    /// Why we refused it; `None`: we did not.
    pub reason: Option<Reason>,
    /// Whose fault it is.
    pub fault: Fault,
    /// The error of the receipt, at most 8 octets.
    pub error: ErrorText,
}

/// The error of a receipt; longer ones are cut.
pub type ErrorText = SmallVec<[u8; 8]>;

impl End {
    fn of(state: MessageState, status: CommandStatus, fault: Fault) -> Self {
        Self { state, status, reason: None, fault, error: SmallVec::new() }
    }

    /// A carrier has it, and nobody asked for a receipt.
    #[must_use]
    pub fn accepted() -> Self {
        Self::of(MessageState::Accepted, CommandStatus::OK, Fault::Nobody)
    }

    /// No final receipt came in its time.
    #[must_use]
    pub fn no_receipt() -> Self {
        Self::of(MessageState::Unknown, CommandStatus::OK, Fault::Carrier)
    }

    /// The carrier refused it.
    #[must_use]
    pub fn refused(status: CommandStatus) -> Self {
        Self::of(MessageState::Rejected, status, Fault::Carrier)
    }

    /// It was written to a carrier and never answered.
    #[must_use]
    pub fn unknown(status: CommandStatus) -> Self {
        let end = Self::of(MessageState::Unknown, status, Fault::Carrier);
        Self { reason: Some(Reason::Unknown), ..end }
    }

    /// We refused it.
    #[must_use]
    pub fn refused_by_us(status: CommandStatus, reason: Reason) -> Self {
        let fault = match reason {
            Reason::NoCarrier
            | Reason::QueueFull
            | Reason::JournalFull
            | Reason::Retained
            | Reason::Draining => Fault::Node,
            _ => Fault::Esme,
        };
        Self { reason: Some(reason), ..Self::of(MessageState::Rejected, status, fault) }
    }

    /// Its time was over before a carrier took it; `status`: what the last one refused it with, ESME_ROK if none did.
    #[must_use]
    pub fn expired(status: CommandStatus) -> Self {
        let fault = if status == CommandStatus::OK { Fault::Node } else { Fault::Carrier };
        Self::of(MessageState::Expired, status, fault)
    }

    /// Its ESME took it back.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::of(MessageState::Deleted, CommandStatus::OK, Fault::Esme)
    }

    /// An operator took it out.
    #[must_use]
    pub fn purged() -> Self {
        Self::of(MessageState::Deleted, CommandStatus::OK, Fault::Node)
    }

    /// The error of a receipt as it is kept.
    #[must_use]
    pub fn error(text: &[u8]) -> ErrorText {
        SmallVec::from_slice(text.get(..8).unwrap_or(text))
    }

    /// A final receipt says so.
    #[must_use]
    pub fn by_receipt(state: MessageState, error: &[u8]) -> Self {
        let fault = if state == MessageState::Delivered { Fault::Nobody } else { Fault::Carrier };
        Self { error: Self::error(error), ..Self::of(state, CommandStatus::OK, fault) }
    }

    /// The final record of a message of which this much is known.
    #[must_use]
    pub fn record<'a>(&'a self, facts: Facts<'a>) -> Record<'a> {
        Record::Finish {
            state: self.state.octet(),
            status: self.status.0,
            reason: self.reason.map_or(NO_REASON, |reason| reason as u8),
            fault: self.fault,
            error: &self.error,
            price: 0,
            currency: b"",
            facts,
        }
    }
}
