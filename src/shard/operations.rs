//! query, cancel, replace: to the carrier that took the message, for the account that submitted it only.
//!
//! Owns: nothing of its own. Takes: requests that name a message. Gives: them to that carrier with its id, the answer
//! back with the id that the ESME knows. Never: an operation on a message of another account, or on none in
//! particular (a cancel_sm without an id could reach the messages of others).

use super::Shard;
use super::mail::Mail;
use super::message::{Kind, Message, MessageKey, tag_of};
use super::mt::Body;
use super::port::Outbox;
use crate::counters::Reason;
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::smpp::broadcast::CancelBroadcastSm;
use crate::smpp::command::CommandId;
use crate::smpp::convert;
use crate::smpp::cursor::PduError;
use crate::smpp::frame::{Pdu, copy_with_sequence, write_header_only};
use crate::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use crate::smpp::response::MessageIdResp;
use crate::smpp::status::CommandStatus;
use crate::smpp::tlv::Tlvs;
use crate::smpp::v33::{ParamRetrieve, QueryLastMsgs, QueryMsgDetails, QueryMsgDetailsResp};
use crate::time::Now;

/// Who took the message is known where its carrier is at home.
const UNKNOWN: CarrierId = CarrierId(u32::MAX);

type Refused = (CommandStatus, Reason);

/// A request that names a message.
pub(super) enum Operation<'a> {
    Query(QuerySm<'a>),
    Cancel(CancelSm<'a>),
    Replace(ReplaceSm<'a>),
    CancelBroadcast(CancelBroadcastSm<'a>),
    Details(QueryMsgDetails<'a>),
}

impl<'a> Operation<'a> {
    pub(super) fn parse(pdu: &Pdu<'a>) -> Result<Self, PduError> {
        match pdu.command_id() {
            CommandId::CANCEL_SM => CancelSm::parse(pdu).map(Self::Cancel),
            CommandId::REPLACE_SM => ReplaceSm::parse(pdu).map(Self::Replace),
            CommandId::CANCEL_BROADCAST_SM => CancelBroadcastSm::parse(pdu).map(Self::CancelBroadcast),
            CommandId::QUERY_MSG_DETAILS => QueryMsgDetails::parse(pdu).map(Self::Details),
            _ => QuerySm::parse(pdu).map(Self::Query),
        }
    }

    pub(super) const fn id(&self) -> &'a [u8] {
        match self {
            Self::Query(query) => query.message_id,
            Self::Cancel(cancel) => cancel.message_id,
            Self::Replace(replace) => replace.message_id,
            Self::CancelBroadcast(cancel) => cancel.message_id,
            Self::Details(details) => details.message_id,
        }
    }

    /// The same for a 3.3 carrier, which is sent no TLVs.
    pub(super) fn for_v33(self) -> Result<Self, CommandStatus> {
        let tlvs = Tlvs::default();
        Ok(match self {
            Self::Query(query) => Self::Query(QuerySm { tlvs, ..query }),
            Self::Cancel(cancel) => Self::Cancel(CancelSm { tlvs, ..cancel }),
            Self::Replace(replace) => Self::Replace(convert::replace_for_v33(&replace)?),
            Self::CancelBroadcast(cancel) => Self::CancelBroadcast(CancelBroadcastSm { tlvs, ..cancel }),
            Self::Details(details) => Self::Details(details),
        })
    }

    /// Appends the request with another id; its sequence number is patched when it is sent.
    pub(super) fn write_with(self, id: &[u8], command: CommandId, out: &mut Vec<u8>) {
        match self {
            Self::Query(query) => QuerySm { message_id: id, ..query }.write(out, command, 0),
            Self::Cancel(cancel) => CancelSm { message_id: id, ..cancel }.write(out, 0),
            Self::Replace(replace) => ReplaceSm { message_id: id, ..replace }.write(out, 0),
            Self::CancelBroadcast(cancel) => CancelBroadcastSm { message_id: id, ..cancel }.write(out, 0),
            Self::Details(details) => QueryMsgDetails { message_id: id, ..details }.write(out, 0),
        }
    }
}

/// What is answered when the message is not the account's: as if it did not exist.
const fn not_found(command: CommandId) -> CommandStatus {
    match command {
        CommandId::CANCEL_SM | CommandId::CANCEL_BROADCAST_SM => CommandStatus::CANCEL_FAILED,
        CommandId::REPLACE_SM => CommandStatus::REPLACE_FAILED,
        CommandId::QUERY_LAST_MSGS => CommandStatus::QUERY_FAILED,
        _ => CommandStatus::INVALID_MESSAGE_ID,
    }
}

impl Shard {
    pub(super) fn on_operation(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let malformed = |error: PduError| (error.status, Reason::Malformed);
        match pdu.command_id() {
            CommandId::PARAM_RETRIEVE => {
                ParamRetrieve::parse(pdu).map_err(malformed)?;
                self.on_param_retrieve(now, id, esme, pdu, out)
            }
            CommandId::QUERY_LAST_MSGS => {
                // The carrier would answer with the ids of every account that uses this source.
                QueryLastMsgs::parse(pdu).map_err(malformed)?;
                Err((not_found(pdu.command_id()), Reason::MessageId))
            }
            _ => {
                let operation = Operation::parse(pdu).map_err(malformed)?;
                if operation.id().is_empty() {
                    return Err((not_found(pdu.command_id()), Reason::MessageId));
                }
                if self.on_stored_operation(now, (id, esme), pdu, &operation, out)? {
                    return Ok(());
                }
                let mut message = self.message(now, id, esme, pdu, Kind::Operation(0));
                message.carrier = UNKNOWN;
                let copy = self.retained.copy(pdu.bytes());
                message.frame = copy.ok_or((CommandStatus::THROTTLED, Reason::Retained))?;
                let key = self.messages.insert(message);
                self.ask_next(now, key, out);
                Ok(())
            }
        }
    }

    fn on_param_retrieve(
        &mut self,
        now: Now,
        id: LinkId,
        esme: EsmeId,
        pdu: &Pdu<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let mut message = self.message(now, id, esme, pdu, Kind::Plain);
        message.pool = Some(self.pool_for(esme, &[], &[])?);
        self.dispatch(now, message, pdu, &Body::Other, out).map(|_| ())
    }

    /// Asks the next shard whether one of its carriers took the message that an operation names; our own first.
    pub(super) fn ask_next(&mut self, now: Now, key: MessageKey, out: &mut Outbox) {
        let own = self.position.shard;
        let others = self.others();
        let Some(message) = self.messages.get_mut(key) else { return };
        let Kind::Operation(asked) = message.kind else { return };
        let next = core::iter::once(own).chain(others).find(|shard| asked & (1 << shard.0) == 0);
        let Some(shard) = next else {
            // As if it did not exist.
            let status = not_found(message.command);
            return self.give_up(now, key, status, Reason::MessageId, out);
        };
        message.kind = Kind::Operation(asked | 1 << shard.0);
        let (esme, link, deadline) = (message.esme, message.link, message.deadline);
        let copy = self.retained.copy(&message.frame);
        let Some(frame) = copy else {
            return self.give_up(now, key, CommandStatus::THROTTLED, Reason::Retained, out);
        };
        if !self.has_credit(shard) {
            self.retained.release(frame);
            return self.give_up(now, key, CommandStatus::QUEUE_FULL, Reason::QueueFull, out);
        }
        let frame = self.retained.hand_out(frame);
        self.request(now, shard, Mail::Operation { tag: tag_of(key), esme, link, deadline, frame }, out);
    }

    /// The carrier's answer to an operation, with the id that the ESME knows.
    pub(super) fn answer_operation(&mut self, now: Now, message: &Message, pdu: &Pdu<'_>, out: &mut Outbox) {
        let asked = Pdu::whole(&message.frame);
        let asked = asked.and_then(|asked| Operation::parse(&asked).ok()).map(|operation| operation.id());
        let own = asked.filter(|id| *id != MessageIdResp::parse(pdu).id);
        let (command, sequence) = (message.command.response(), message.sequence);
        self.answer_with(now, message.asked(), out, |session, to| {
            let status = pdu.header().command_status.for_version(session.version());
            let translated = status != pdu.header().command_status;
            if pdu.command_id() == CommandId::GENERIC_NACK || translated {
                write_header_only(to, command, status, sequence);
            } else if (own.is_some() || session.is_v33()) && !pdu.body().is_empty() {
                write_response_with(pdu, own, session.is_v33(), status, sequence, to);
            } else {
                copy_with_sequence(to, pdu, sequence);
            }
            status
        });
    }
}

/// Appends a response to query_sm and its kin with the id that the ESME knows, if not the carrier's, and without TLVs
/// for a 3.3 peer; the others carry neither.
fn write_response_with(
    pdu: &Pdu<'_>,
    id: Option<&[u8]>,
    v33: bool,
    status: CommandStatus,
    sequence: u32,
    to: &mut Vec<u8>,
) {
    match pdu.command_id() {
        CommandId::QUERY_SM_RESP => match QuerySmResp::parse(pdu) {
            Ok(response) => {
                let message_id = id.unwrap_or(response.message_id);
                let tlvs = if v33 { Tlvs::default() } else { response.tlvs };
                QuerySmResp { message_id, tlvs, ..response }.write(to, status, sequence);
            }
            Err(_) => write_header_only(to, pdu.command_id(), status, sequence),
        },
        CommandId::QUERY_MSG_DETAILS_RESP => match QueryMsgDetailsResp::parse(pdu) {
            Ok(response) => {
                let message_id = id.unwrap_or(response.message_id);
                QueryMsgDetailsResp { message_id, ..response }.write(to, status, sequence);
            }
            Err(_) => write_header_only(to, pdu.command_id(), status, sequence),
        },
        CommandId::QUERY_BROADCAST_SM_RESP => {
            let response = MessageIdResp::parse(pdu);
            let response = id.map_or(response, |id| response.with_id(id));
            response.write(to, pdu.command_id(), status, sequence);
        }
        command if v33 => write_header_only(to, command, status, sequence),
        _ => copy_with_sequence(to, pdu, sequence),
    }
}
