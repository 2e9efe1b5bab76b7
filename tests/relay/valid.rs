//! A valid vector, once for each version that it names: on its way through the node, or as the session's own affair.

use crate::peer::{sequence_of, view};
use crate::sessions;
use crate::vectors::{list, octets};
use crate::world::{World, accepting};
use bindery::smpp::command::CommandId;
use bindery::smpp::status::CommandStatus;
use serde_json::Value;

/// What a vector showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It came out at the other side octet for octet, but for its sequence_number.
    Relayed,
    /// The session took it and did what SMPP says.
    Session,
    /// It is refused by design, with the stated status.
    Refused,
}

/// Plays a vector; it must do the same in each of its versions.
pub(crate) fn play(id: &str, vector: &Value) -> Outcome {
    let versions = vector["versions"].as_array().unwrap().iter();
    let mut outcomes = versions.map(|version| {
        let version = match version.as_str() {
            Some("3.3") => 0x33,
            Some("3.4") => 0x34,
            Some("5.0") => 0x50,
            other => panic!("{id}: version {other:?}"),
        };
        play_in(&format!("{id} in 0x{version:02X}"), id, version, vector)
    });
    let first = outcomes.next().expect("a vector has a version");
    outcomes.for_each(|outcome| assert_eq!(outcome, first, "{id}"));
    first
}

fn play_in(label: &str, id: &str, version: u8, vector: &Value) -> Outcome {
    let pdu = octets(&vector["hex"]);
    let command = view(&pdu).command_id();
    if sessions::owns(command) {
        return sessions::play(label, id, version, &pdu);
    }
    let mut world = World::usual(label, version);
    let outcome = if command.is_response() {
        relay_response(&mut world, &pdu)
    } else {
        relay_request(&mut world, &pdu, vector)
    };
    world.settle();
    outcome
}

/// The octets of another valid vector.
pub(crate) fn octets_of(id: &str) -> Vec<u8> {
    let all = list("pdu_valid");
    octets(&all.iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("{id} exists"))["hex"])
}

fn relay_request(world: &mut World, pdu: &[u8], vector: &Value) -> Outcome {
    let fields = &vector["decoded"]["fields"];
    match view(pdu).command_id() {
        CommandId::DELIVER_SM => {
            if let Some(id) = receipted_id(vector) {
                world.accept_message(&id, fields["source_addr"].as_str().unwrap());
            }
            world.round_trip_down(pdu);
        }
        CommandId::DATA_SM => {
            match receipted_id(vector) {
                Some(id) => world.accept_message(&id, fields["source_addr"].as_str().unwrap()),
                None => world.round_trip_up(pdu),
            }
            world.round_trip_down(pdu);
        }
        CommandId::ALERT_NOTIFICATION => {
            world.down(pdu);
        }
        CommandId::QUERY_LAST_MSGS => return refused(world, pdu, CommandStatus::QUERY_FAILED),
        CommandId::QUERY_SM
        | CommandId::CANCEL_SM
        | CommandId::REPLACE_SM
        | CommandId::QUERY_MSG_DETAILS
        | CommandId::QUERY_BROADCAST_SM
        | CommandId::CANCEL_BROADCAST_SM => {
            return relay_operation(world, pdu, fields["message_id"].as_str().unwrap());
        }
        _ => world.round_trip_up(pdu),
    }
    Outcome::Relayed
}

/// An operation reaches the carrier for a message of the same account only, so one must be named.
fn relay_operation(world: &mut World, pdu: &[u8], id: &str) -> Outcome {
    let command = view(pdu).command_id();
    if id.is_empty() {
        let status = match command {
            CommandId::CANCEL_SM | CommandId::CANCEL_BROADCAST_SM => CommandStatus::CANCEL_FAILED,
            _ => CommandStatus::INVALID_MESSAGE_ID,
        };
        return refused(world, pdu, status);
    }
    make_known(world, command, id);
    world.round_trip_up(pdu);
    Outcome::Relayed
}

/// The carrier takes a message under this id: a broadcast for the operations on broadcasts.
fn make_known(world: &mut World, command: CommandId, id: &str) {
    if !matches!(command, CommandId::QUERY_BROADCAST_SM | CommandId::CANCEL_BROADCAST_SM) {
        return world.accept_message(id, "447700900123");
    }
    let broadcast = octets_of("broadcast-sm");
    let at_carrier = world.up(&broadcast);
    world.answer_up(at_carrier, &accepting(&broadcast, id), sequence_of(&broadcast));
}

/// The ESME hears a status at once; the carrier hears nothing, which `settle` shows.
fn refused(world: &mut World, pdu: &[u8], status: CommandStatus) -> Outcome {
    world.tx().send(pdu);
    world.tx().expect_header(view(pdu).command_id().response(), status, sequence_of(pdu));
    Outcome::Refused
}

/// The id that a receipt is for: its TLV's, else its text's.
fn receipted_id(vector: &Value) -> Option<String> {
    let decoded = &vector["decoded"];
    let tlvs = decoded["tlvs"].as_array().map_or(&[][..], Vec::as_slice);
    let value = |tag: &str| tlvs.iter().find(|tlv| tlv["tag"] == tag).map(|tlv| octets(&tlv["value_hex"]));
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    if let Some(id) = value("0x001E") {
        return Some(text(id).trim_end_matches('\0').to_owned());
    }
    let short_message = Some(&decoded["fields"]["short_message"]).filter(|text| text.is_string()).map(octets);
    let body = text(value("0x0424").or(short_message)?);
    let (_, id) = body.split_once("id:")?;
    id.split_whitespace().next().map(str::to_owned)
}

/// A response passes as the answer to a request that it fits.
fn relay_response(world: &mut World, response: &[u8]) -> Outcome {
    let command = view(response).command_id();
    let request = octets_of(match command {
        CommandId::SUBMIT_SM_RESP => "submit-ascii",
        CommandId::SUBMIT_MULTI_RESP => "submit-multi-1",
        CommandId::DATA_SM_RESP => "data-sm",
        CommandId::DELIVER_SM_RESP => "deliver-mo",
        CommandId::QUERY_SM_RESP => "query-sm",
        CommandId::CANCEL_SM_RESP => "cancel-sm",
        CommandId::REPLACE_SM_RESP => "replace-sm",
        CommandId::BROADCAST_SM_RESP => "broadcast-sm",
        CommandId::QUERY_BROADCAST_SM_RESP => "query-broadcast-sm",
        CommandId::CANCEL_BROADCAST_SM_RESP => "cancel-broadcast-sm",
        CommandId::PARAM_RETRIEVE_RESP => "v33-param-retrieve",
        // Its request is refused, so it answers nothing: it is ignored, which `settle` shows.
        CommandId::QUERY_LAST_MSGS_RESP => {
            world.carrier_tx().send(response);
            return Outcome::Refused;
        }
        other => panic!("{other:?} has no request"),
    });
    let sequence = sequence_of(&request);
    match command {
        CommandId::QUERY_SM_RESP | CommandId::CANCEL_SM_RESP | CommandId::REPLACE_SM_RESP => {
            make_known(world, command.request(), "1234567890");
        }
        CommandId::QUERY_BROADCAST_SM_RESP | CommandId::CANCEL_BROADCAST_SM_RESP => {
            make_known(world, command.request(), "B1");
        }
        _ => {}
    }
    if command != CommandId::DELIVER_SM_RESP {
        let at_carrier = world.up(&request);
        world.answer_up(at_carrier, response, sequence);
    }
    if matches!(command, CommandId::DELIVER_SM_RESP | CommandId::DATA_SM_RESP) {
        let at_esme = world.down(&request);
        world.answer_down(at_esme, response, sequence);
    }
    Outcome::Relayed
}
