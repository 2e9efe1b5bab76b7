//! A malformed vector: the session is brought to its state, the octets are sent by its sender, and the verdict, the
//! reply, what the other side sees and whether the connection lives on are what it states.

use crate::peer::{header_of, sequence_of, view, with_sequence};
use crate::sessions;
use crate::valid::octets_of;
use crate::vectors::octets;
use crate::world::{Plan, World, accepting, usual_plan};
use bindery::smpp::bind::BindResp;
use bindery::smpp::command::CommandId;
use bindery::smpp::multi::SubmitMultiResp;
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::status::CommandStatus;
use serde_json::Value;

/// Plays a vector.
pub(crate) fn play(id: &str, vector: &Value) {
    let pdu = octets(&vector["hex"]);
    match vector["sender"].as_str() {
        Some("ESME") => from_esme(id, vector, &pdu),
        Some("SMSC") => from_carrier(id, vector, &pdu),
        other => panic!("{id}: sender {other:?}"),
    }
}

/// The version that the ESME of a vector binds with: two of them are about one.
fn version_of(id: &str) -> u8 {
    match id {
        "sm-tlv-on-33" => 0x33,
        "bcast-noarea" => 0x50,
        _ => 0x34,
    }
}

fn from_esme(id: &str, vector: &Value, pdu: &[u8]) {
    match id {
        "len-waits" => return waits(id, pdu),
        "unbind-inflight" => return unbind_in_flight(id, vector, pdu),
        "submit-after-unbind" => return after_unbind(id, vector, pdu),
        "deliver-resp-nobody" | "deliver-resp-id20" => return deliver_resp(id, pdu),
        _ => {}
    }
    // The carrier of a 3.3 or 5.0 ESME is of version 3.4 or as the ESME.
    let version = version_of(id);
    let mut world = World::with_carriers(&Plan { version, ..usual_plan(id, version.max(0x34)) });
    let peer = match vector["session_state"].as_str() {
        Some("OPEN") => world.connect(),
        Some("BOUND_TX") => world.bind(CommandId::BIND_TRANSMITTER),
        Some("BOUND_RX") => world.bind(CommandId::BIND_RECEIVER),
        Some("BOUND_TRX") => world.bind(CommandId::BIND_TRANSCEIVER),
        other => panic!("{id}: state {other:?}"),
    };
    world.esme = vec![peer];
    let verdict = vector["verdict"].as_str().unwrap();
    match (verdict, vector["reply"].is_null()) {
        ("policy", _) | ("accept", true) => world.round_trip_up(pdu),
        ("ignore", true) => world.tx().send(pdu),
        ("reject" | "accept", false) => {
            world.tx().send(pdu);
            let reply = world.tx().pdu();
            assert_reply(id, vector, &reply);
            if verdict == "accept" && view(pdu).command_id() == CommandId::BIND_TRANSCEIVER {
                is_bound(id, &mut world, pdu, &reply);
            }
        }
        other => panic!("{id}: {other:?} is not known"),
    }
    ends_as_stated(id, vector, world);
}

/// The reply must be the stated PDU, with the stated status or one as good.
#[track_caller]
fn assert_reply(id: &str, vector: &Value, reply: &[u8]) {
    let stated = &vector["reply"];
    let (name, status, sequence) = header_of(reply);
    assert_eq!(
        (Some(name.as_str()), u64::from(sequence)),
        (stated["pdu"].as_str(), number(&stated["sequence_number"])),
        "{id}"
    );
    let others = stated["command_status_also_acceptable"].as_array().map_or(&[][..], Vec::as_slice);
    let mut good = others.iter().chain([&stated["command_status"]]).map(number);
    assert!(good.any(|good| good == u64::from(status)), "{id}: status {status}");
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// A bind that is accepted makes a session that works; a peer below 3.4 is sent no TLV, any other our version.
fn is_bound(id: &str, world: &mut World, pdu: &[u8], reply: &[u8]) {
    let octets = view(reply);
    let version = BindResp::parse(&octets).sc_interface_version();
    let stated = bindery::smpp::bind::Bind::parse(&view(pdu)).unwrap().interface_version;
    assert_eq!(version, (stated >= 0x34).then_some(0x50), "{id}");
    world.round_trip_up(&octets_of("submit-ascii"));
    world.round_trip_down(&octets_of("deliver-mo"));
}

/// `keep`: the session answers. `close`: it ends. The carrier was sent nothing that was not read yet.
fn ends_as_stated(id: &str, vector: &Value, mut world: World) {
    match vector["connection"].as_str() {
        Some("keep") => {}
        Some("close") => {
            world.tx().expect_end();
            world.esme.clear();
        }
        other => panic!("{id}: connection {other:?}"),
    }
    world.settle();
}

/// No verdict until the PDU is whole.
fn waits(id: &str, pdu: &[u8]) {
    let mut world = World::usual(id, 0x34);
    let mut other = world.bind(CommandId::BIND_TRANSCEIVER);
    world.tx().send(pdu);
    // The node has read it when it has answered somebody else who asked later.
    other.settle();
    world.tx().send(&[0; 4]);
    world.tx().expect_header(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, 2);
    world.settle();
}

/// What is in flight is answered before the unbind.
fn unbind_in_flight(id: &str, vector: &Value, pdu: &[u8]) {
    let mut world = World::usual(id, 0x34);
    let submit = octets_of("submit-ascii");
    let at_carrier = world.up(&submit);
    world.tx().send(pdu);
    world.tx().settle();
    world.answer_up(at_carrier, &accepting(&submit, "1"), sequence_of(&submit));
    let reply = world.tx().pdu();
    assert_reply(id, vector, &reply);
    ends_as_stated(id, vector, world);
}

/// Refused while the unbind waits for what is in flight, and right behind an unbind that waits for nothing.
fn after_unbind(id: &str, vector: &Value, pdu: &[u8]) {
    let unbind = octets_of("unbind");
    let mut world = World::usual(id, 0x34);
    let submit = with_sequence(&octets_of("submit-ascii"), 9);
    let at_carrier = world.up(&submit);
    world.tx().send(&[&unbind[..], pdu].concat());
    let reply = world.tx().pdu();
    assert_reply(id, vector, &reply);
    world.answer_up(at_carrier, &accepting(&submit, "1"), 9);
    world.tx().expect_header(CommandId::UNBIND_RESP, CommandStatus::OK, sequence_of(&unbind));
    ends_as_stated(id, vector, world);

    let mut world = World::usual(id, 0x34);
    world.tx().send(&[&unbind[..], pdu].concat());
    world.tx().expect_header(CommandId::UNBIND_RESP, CommandStatus::OK, sequence_of(&unbind));
    let reply = world.tx().pdu();
    assert_reply(id, vector, &reply);
    ends_as_stated(id, vector, world);
}

/// The carrier hears that its message was taken.
fn deliver_resp(id: &str, pdu: &[u8]) {
    let mut world = World::usual(id, 0x34);
    let deliver = octets_of("deliver-mo");
    let at_esme = world.down(&deliver);
    world.rx().send(&with_sequence(pdu, at_esme));
    let answer = world.carrier_rx().pdu();
    let taken = (CommandId::DELIVER_SM_RESP, CommandStatus::OK, sequence_of(&deliver));
    let header = *view(&answer).header();
    assert_eq!((header.command_id, header.command_status, header.sequence_number), taken, "{id}");
    world.settle();
}

fn from_carrier(id: &str, vector: &Value, pdu: &[u8]) {
    assert_eq!((vector["connection"].as_str(), vector["reply"].is_null()), (Some("keep"), true), "{id}");
    match id {
        "bind-resp-nobody" | "bind-resp-tlvcut" => return sessions::bind_resp(id, 0x34, pdu),
        "unbind-resp-body" => sessions::unbind_resp(id, 0x34, pdu),
        "resp-late" => return late(id, pdu),
        _ => {}
    }
    let mut world = World::usual(id, 0x34);
    match (id, vector["verdict"].as_str()) {
        ("alert-noresp", Some("accept")) => {
            world.down(pdu);
        }
        ("unbind-resp-body", Some("accept"))
        | ("nack-in" | "nack-in-zero" | "resp-unknown-seq", Some("ignore")) => {
            world.carrier_tx().send(pdu);
        }
        ("resp-wrong-type" | "resp-dup", Some("ignore")) => beside_the_answer(id, &mut world, pdu),
        (_, Some("accept")) => completes(id, &mut world, pdu),
        other => panic!("{other:?} is not known"),
    }
    world.settle();
    world.round_trip_up(&octets_of("submit-ascii"));
}

/// A response that is not the answer leaves the request open; the answer is passed once.
fn beside_the_answer(id: &str, world: &mut World, pdu: &[u8]) {
    let submit = octets_of("submit-ascii");
    let at_carrier = world.up(&submit);
    let not_it = with_sequence(pdu, at_carrier);
    if id == "resp-dup" {
        world.answer_up(at_carrier, pdu, sequence_of(&submit));
        world.carrier_tx().send(&not_it);
        return;
    }
    world.carrier_tx().send(&not_it);
    world.settle();
    world.answer_up(at_carrier, &accepting(&submit, "1"), sequence_of(&submit));
}

/// A response that is missing something, or has too much, answers the request with its status and id.
fn completes(id: &str, world: &mut World, pdu: &[u8]) {
    let request = octets_of(match view(pdu).command_id() {
        CommandId::SUBMIT_MULTI_RESP => "submit-multi-1",
        CommandId::DATA_SM_RESP => "data-sm",
        _ => "submit-ascii",
    });
    let at_carrier = world.up(&request);
    world.carrier_tx().send(&with_sequence(pdu, at_carrier));
    let answer = world.tx().pdu();
    let (came, sent) = (view(&answer), view(pdu));
    assert_eq!(came.command_id(), view(&request).command_id().response(), "{id}");
    assert_eq!(came.header().command_status, sent.header().command_status, "{id}");
    assert_eq!(came.sequence_number(), sequence_of(&request), "{id}");
    match sent.command_id() {
        CommandId::GENERIC_NACK => assert!(came.body().is_empty(), "{id}"),
        CommandId::SUBMIT_MULTI_RESP => {
            let (came, sent) = (SubmitMultiResp::parse(&came), SubmitMultiResp::parse(&sent));
            assert_eq!((came.message_id, came.unsuccess.count()), (sent.message_id, 0), "{id}");
        }
        // The reason of a failed transaction stands in the body.
        CommandId::DATA_SM_RESP => assert_eq!(came.body(), sent.body(), "{id}"),
        _ => assert_eq!(MessageIdResp::parse(&came).id, MessageIdResp::parse(&sent).id, "{id}"),
    }
}

/// The ESME has heard that the outcome is unknown; what comes later is no second answer.
fn late(id: &str, pdu: &[u8]) {
    let plan = usual_plan(id, 0x34);
    let keys = format!("{}response_timeout = \"500ms\"\n", plan.carriers[0]);
    let mut world = World::bound(&Plan { carriers: &[&keys], ..plan });
    let submit = octets_of("submit-ascii");
    let at_carrier = world.up(&submit);
    world.tx().expect_header(CommandId::SUBMIT_SM_RESP, CommandStatus::SUBMIT_FAILED, sequence_of(&submit));
    world.carrier_tx().send(&with_sequence(pdu, at_carrier));
    world.settle();
}
