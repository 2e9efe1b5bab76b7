//! query_sm, cancel_sm and replace_sm at the simulated carrier. Owns: nothing of its own. Takes: the requests.
//! Gives: their responses from the messages it remembers. Never: remembers more than its settings say.

use super::Smsc;
use super::deliver::Text;
use super::ids;
use crate::ids::LinkId;
use crate::shard::port::Outbox;
use crate::smpp::frame::{Pdu, write_header_only};
use crate::smpp::message_state::MessageState;
use crate::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use crate::smpp::status::CommandStatus;
use crate::smpp::times;
use crate::smpp::tlv::Tlvs;
use crate::time::{Duration, Instant, Now, Wall};

/// A message that was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Remembered {
    /// Zero: none.
    number: u64,
    source: Text,
    destination: Text,
    /// What it is from `done_at` on.
    state: Option<MessageState>,
    done_at: Instant,
    done: Wall,
    canceled: bool,
}

impl Remembered {
    /// Becomes another message, in place.
    pub(super) fn set(
        &mut self,
        number: u64,
        addresses: [&[u8]; 2],
        state: MessageState,
        now: Now,
        wait: Duration,
    ) {
        let [source, destination] = addresses;
        self.number = number;
        self.source.set(source);
        self.destination.set(destination);
        self.state = Some(state);
        self.done_at = now.mono.after(wait);
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.done = Wall(now.wall.0.saturating_add(micros));
        self.canceled = false;
    }

    fn state_at(&self, now: Instant) -> MessageState {
        match self.state {
            _ if self.canceled => MessageState::Deleted,
            Some(state) if self.done_at <= now => state,
            Some(_) | None => MessageState::Enroute,
        }
    }

    fn cancel(&mut self, now: Now) -> bool {
        if self.state_at(now.mono).is_final() {
            return false;
        }
        self.canceled = true;
        self.done = now.wall;
        true
    }
}

impl Smsc {
    fn remembered(&mut self, number: u64) -> Option<&mut Remembered> {
        let place = number.checked_rem(self.remembered.len() as u64)?;
        self.remembered.get_mut(place as usize).filter(|held| held.number == number && held.state.is_some())
    }

    fn remembered_by_id(&mut self, id: &[u8]) -> Option<&mut Remembered> {
        let number = ids::read(self.settings.id_form, id, self.settings.seed)?;
        self.remembered(number)
    }

    pub(super) fn is_canceled(&self, number: u64) -> bool {
        let place = number.checked_rem(self.remembered.len() as u64);
        let held = place.and_then(|place| self.remembered.get(place as usize));
        held.is_some_and(|held| held.number == number && held.canceled)
    }

    pub(super) fn on_query(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let found = QuerySm::parse(pdu).map_err(|error| error.status).and_then(|query| {
            let held = self.remembered_by_id(query.message_id).ok_or(CommandStatus::QUERY_FAILED)?;
            Ok((query.message_id, held.state_at(now.mono), times::absolute(held.done)))
        });
        match found {
            Ok((message_id, state, done)) => {
                let response = QuerySmResp {
                    message_id,
                    final_date: if state.is_final() { &done } else { &[] },
                    message_state: state.octet(),
                    error_code: 0,
                    tlvs: Tlvs::default(),
                };
                response.write(out.to(link), CommandStatus::OK, pdu.sequence_number());
            }
            Err(status) => answer(link, pdu, status, out),
        }
    }

    pub(super) fn on_cancel(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let status = match CancelSm::parse(pdu) {
            Err(error) => error.status,
            Ok(cancel) if cancel.message_id.is_empty() => self.cancel_all(now, &cancel),
            Ok(cancel) => match self.remembered_by_id(cancel.message_id) {
                None => CommandStatus::INVALID_MESSAGE_ID,
                Some(held) => {
                    if held.cancel(now) {
                        CommandStatus::OK
                    } else {
                        CommandStatus::CANCEL_FAILED
                    }
                }
            },
        };
        answer(link, pdu, status, out);
    }

    /// All that have the source and the destination (SMPP 3.4 §4.9).
    fn cancel_all(&mut self, now: Now, cancel: &CancelSm<'_>) -> CommandStatus {
        let (source, destination) = (Text::new(cancel.source.digits), Text::new(cancel.destination.digits));
        let mut canceled = 0;
        for held in &mut self.remembered {
            let same = held.source == source && held.destination == destination;
            canceled += u32::from(held.state.is_some() && same && held.cancel(now));
        }
        if canceled > 0 { CommandStatus::OK } else { CommandStatus::CANCEL_FAILED }
    }

    pub(super) fn on_replace(&mut self, now: Now, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let status = match ReplaceSm::parse(pdu) {
            Err(error) => error.status,
            Ok(replace) => match self.remembered_by_id(replace.message_id) {
                Some(held) if !held.state_at(now.mono).is_final() => CommandStatus::OK,
                Some(_) | None => CommandStatus::REPLACE_FAILED,
            },
        };
        answer(link, pdu, status, out);
    }
}

fn answer(link: LinkId, pdu: &Pdu<'_>, status: CommandStatus, out: &mut Outbox) {
    write_header_only(out.to(link), pdu.command_id().response(), status, pdu.sequence_number());
}
