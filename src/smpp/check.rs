//! Whether a request is sound, for requests that are only passed on. Owns: nothing. Takes: a whole PDU. Gives: yes,
//! or the status of the first field that is wrong. Never: knows the session's state or version.

use super::bind::{Bind, Outbind};
use super::broadcast::{BroadcastSm, CancelBroadcastSm, QueryBroadcastSm};
use super::command::CommandId;
use super::cursor::PduError;
use super::data::{AlertNotification, DataSm};
use super::frame::Pdu;
use super::multi::SubmitMulti;
use super::operations::{CancelSm, QuerySm, ReplaceSm};
use super::sm::Sm;
use super::status::CommandStatus;
use super::v33::{ParamRetrieve, QueryLastMsgs, QueryMsgDetails};

/// Octets from the start of a PDU to its command_id.
const COMMAND_ID_OFFSET: usize = 4;

/// Reads a request by its own view. Octets after a header that should stand alone are no error; a number that names
/// no request is `ESME_RINVCMDID`, and so is a response.
pub fn check_request(pdu: &Pdu<'_>) -> Result<(), PduError> {
    match pdu.command_id() {
        CommandId::SUBMIT_SM => Sm::parse_submit(pdu).map(drop),
        CommandId::DELIVER_SM => Sm::parse_deliver(pdu).map(drop),
        CommandId::DATA_SM => DataSm::parse(pdu).map(drop),
        CommandId::SUBMIT_MULTI => SubmitMulti::parse(pdu).map(drop),
        CommandId::ENQUIRE_LINK | CommandId::UNBIND => Ok(()),
        CommandId::QUERY_SM => QuerySm::parse(pdu).map(drop),
        CommandId::CANCEL_SM => CancelSm::parse(pdu).map(drop),
        CommandId::REPLACE_SM => ReplaceSm::parse(pdu).map(drop),
        CommandId::ALERT_NOTIFICATION => AlertNotification::parse(pdu).map(drop),
        CommandId::BROADCAST_SM => BroadcastSm::parse(pdu).map(drop),
        CommandId::QUERY_BROADCAST_SM => QueryBroadcastSm::parse(pdu).map(drop),
        CommandId::CANCEL_BROADCAST_SM => CancelBroadcastSm::parse(pdu).map(drop),
        CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER | CommandId::BIND_TRANSCEIVER => {
            Bind::parse(pdu).map(drop)
        }
        CommandId::OUTBIND => Outbind::parse(pdu).map(drop),
        CommandId::PARAM_RETRIEVE => ParamRetrieve::parse(pdu).map(drop),
        CommandId::QUERY_LAST_MSGS => QueryLastMsgs::parse(pdu).map(drop),
        CommandId::QUERY_MSG_DETAILS => QueryMsgDetails::parse(pdu).map(drop),
        _ => Err(PduError {
            status: CommandStatus::INVALID_COMMAND_ID,
            offset: COMMAND_ID_OFFSET,
            reason: "command_id names no request",
        }),
    }
}
