//! The vectors that a session answers itself: binds, unbind, enquire_link, outbind, generic_nack.

use crate::peer::{Peer, sequence_of, view, with_sequence};
use crate::valid::{Outcome, octets_of};
use crate::world::{FIVE, Plan, THREE_FOUR, World, bind_response, usual_plan};
use bindery::smpp::bind::BindResp;
use bindery::smpp::command::CommandId;
use bindery::smpp::status::CommandStatus;

/// True for the PDUs that never leave their session.
pub(crate) fn owns(command: CommandId) -> bool {
    matches!(
        command.request(),
        CommandId::BIND_RECEIVER
            | CommandId::BIND_TRANSMITTER
            | CommandId::BIND_TRANSCEIVER
            | CommandId::OUTBIND
            | CommandId::UNBIND
            | CommandId::ENQUIRE_LINK
    ) || command == CommandId::GENERIC_NACK
}

/// Plays such a vector.
pub(crate) fn play(label: &str, id: &str, version: u8, pdu: &[u8]) -> Outcome {
    match view(pdu).command_id() {
        CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER | CommandId::BIND_TRANSCEIVER => {
            return bind(label, id, version, pdu);
        }
        CommandId::BIND_RECEIVER_RESP
        | CommandId::BIND_TRANSMITTER_RESP
        | CommandId::BIND_TRANSCEIVER_RESP => bind_resp(label, version, pdu),
        CommandId::OUTBIND => outbind(label, version, pdu),
        CommandId::UNBIND => unbind(label, version, pdu),
        CommandId::UNBIND_RESP => unbind_resp(label, version, pdu),
        CommandId::ENQUIRE_LINK => enquire_link(label, version, pdu),
        CommandId::ENQUIRE_LINK_RESP => enquire_link_resp(label, version, pdu),
        _ => generic_nack(label, version, pdu),
    }
    Outcome::Session
}

/// An account is bound with what the vector says, and the session works as its bind allows.
fn bind(label: &str, id: &str, version: u8, pdu: &[u8]) -> Outcome {
    let command = view(pdu).command_id();
    let mut world = World::with_carriers(&usual_plan(label, version));
    let mut peer = world.connect();
    peer.send(pdu);
    if id == "bind-trx-empty" {
        // No account has an empty name. Guesses are answered after a second, without saying what is wrong.
        peer.expect_header(command.response(), CommandStatus::INVALID_PASSWORD, sequence_of(pdu));
        peer.expect_end();
        return Outcome::Refused;
    }
    let octets = peer.pdu();
    assert_eq!(view(&octets).command_id(), command.response(), "{label}");
    assert_eq!(view(&octets).header().command_status, CommandStatus::OK, "{label}");
    assert_eq!(sequence_of(&octets), sequence_of(pdu), "{label}");
    let response = BindResp::parse(&view(&octets));
    assert_eq!(response.system_id, Some(&b"SMSC"[..]), "{label}");
    // A peer below 3.4 is sent no TLV.
    assert_eq!(response.sc_interface_version(), (version >= 0x34).then_some(0x50), "{label}");
    assert_eq!(response.tlvs.iter().count(), usize::from(version >= 0x34), "{label}");
    world.esme = vec![peer];
    if command != CommandId::BIND_RECEIVER {
        world.round_trip_up(&octets_of("submit-ascii"));
    }
    if command != CommandId::BIND_TRANSMITTER {
        world.round_trip_down(&octets_of("deliver-mo"));
    }
    world.settle();
    Outcome::Session
}

/// A carrier answers our bind with what the vector says. A transmitter or receiver comes with its counterpart.
pub(crate) fn bind_resp(label: &str, version: u8, pdu: &[u8]) {
    let command = view(pdu).command_id().request();
    let plan = usual_plan(label, version);
    let pair = command != CommandId::BIND_TRANSCEIVER;
    let keys = match version {
        0x34 if pair => format!("{THREE_FOUR}bind = \"tx+rx\"\nsessions = 2\n"),
        0x50 if pair => format!("{FIVE}bind = \"tx+rx\"\nsessions = 2\n"),
        _ => plan.carriers[0].to_owned(),
    };
    let mut world = World::start(&Plan { carriers: &[&keys], ..plan });
    let mut sessions = Vec::new();
    for _ in 0..if pair { 2 } else { 1 } {
        let (mut peer, bind) = world.accept(0);
        let kind = view(&bind).command_id();
        let tested = kind == command;
        let response = if tested { with_sequence(pdu, sequence_of(&bind)) } else { bind_response(&bind) };
        peer.send(&response);
        if tested && view(pdu).header().command_status != CommandStatus::OK {
            return peer.expect_end();
        }
        peer.settle();
        sessions.push((kind == CommandId::BIND_RECEIVER, peer));
    }
    sessions.sort_by_key(|(receives_only, _)| *receives_only);
    world.carriers[0].sessions = sessions.into_iter().map(|(_, peer)| peer).collect();
    world.bind_esme();
    world.round_trip_up(&octets_of("submit-ascii"));
    world.round_trip_down(&octets_of("deliver-mo"));
    world.settle();
}

/// A carrier asks to be bound to, which has happened already: the bind goes on as if it had not asked.
fn outbind(label: &str, version: u8, pdu: &[u8]) {
    let mut world = World::start(&usual_plan(label, version));
    let (mut peer, bind) = world.accept(0);
    peer.send(pdu);
    peer.settle();
    peer.send(&bind_response(&bind));
    peer.settle();
    world.carriers[0].sessions = vec![peer];
    world.bind_esme();
    world.round_trip_up(&octets_of("submit-ascii"));
    world.settle();
}

/// Either side may end a session; it is answered and closed. The node dials a carrier again.
fn unbind(label: &str, version: u8, pdu: &[u8]) {
    let mut world = World::usual(label, version);
    let unbound = |peer: &mut Peer| {
        peer.send(pdu);
        peer.expect_header(CommandId::UNBIND_RESP, CommandStatus::OK, sequence_of(pdu));
        peer.expect_end();
    };
    world.esme.iter_mut().for_each(unbound);
    world.esme.clear();
    world.settle();
    let mut sessions = std::mem::take(&mut world.carriers[0].sessions);
    sessions.iter_mut().for_each(unbound);
    drop(sessions);
    let (mut peer, bind) = world.accept(0);
    peer.send(&bind_response(&bind));
    peer.settle();
}

/// The node drains: it unbinds its ESMEs, then its carriers, and stops when they have answered.
pub(crate) fn unbind_resp(label: &str, version: u8, pdu: &[u8]) {
    let mut world = World::usual(label, version);
    world.drain();
    let unbound = |peer: &mut Peer| {
        let unbind = peer.pdu();
        assert_eq!(view(&unbind).command_id(), CommandId::UNBIND, "{label}");
        peer.send(&with_sequence(pdu, sequence_of(&unbind)));
        peer.expect_end();
    };
    world.esme.iter_mut().for_each(unbound);
    world.esme.clear();
    let mut sessions = std::mem::take(&mut world.carriers[0].sessions);
    sessions.iter_mut().for_each(unbound);
    drop(sessions);
    world.wait();
}

fn enquire_link(label: &str, version: u8, pdu: &[u8]) {
    let mut world = World::usual(label, version);
    let mut unbound = world.connect();
    let carriers = world.carriers[0].sessions.iter_mut();
    for peer in world.esme.iter_mut().chain(carriers).chain([&mut unbound]) {
        peer.send(pdu);
        peer.expect_header(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, sequence_of(pdu));
        peer.settle();
    }
}

/// The node asks both sides whether they are there; who answers is asked again and not given up.
fn enquire_link_resp(label: &str, version: u8, pdu: &[u8]) {
    let plan = usual_plan(label, version);
    let often = "enquire_link_interval = \"50ms\"";
    let account = format!("{}\n{often}", plan.account);
    let carrier = format!("{}{often}\n", plan.carriers[0]);
    let mut world = World::bound(&Plan { account: &account, carriers: &[&carrier], ..plan });
    let carriers = world.carriers[0].sessions.iter_mut();
    let mut peers: Vec<&mut Peer> = world.esme.iter_mut().chain(carriers).collect();
    let mut asked = vec![Vec::new(); peers.len()];
    for _ in 0..3 {
        for (peer, asked) in peers.iter_mut().zip(&mut asked) {
            let enquire = peer.pdu();
            assert_eq!(view(&enquire).command_id(), CommandId::ENQUIRE_LINK, "{label}");
            assert!(!asked.contains(&sequence_of(&enquire)), "{label}: each has its own number");
            asked.push(sequence_of(&enquire));
            peer.send(&with_sequence(pdu, sequence_of(&enquire)));
        }
    }
}

/// One that names a request in flight answers it; any other is ignored.
fn generic_nack(label: &str, version: u8, pdu: &[u8]) {
    let mut world = World::usual(label, version);
    world.tx().send(pdu);
    world.rx().send(pdu);
    world.carrier_tx().send(pdu);
    world.carrier_rx().send(pdu);
    world.settle();
    let status = view(pdu).header().command_status;
    let (submit, deliver) = (octets_of("submit-ascii"), octets_of("deliver-mo"));
    let at_carrier = world.up(&submit);
    world.carrier_tx().send(&with_sequence(pdu, at_carrier));
    world.tx().expect_header(CommandId::SUBMIT_SM_RESP, status, sequence_of(&submit));
    let at_esme = world.down(&deliver);
    world.rx().send(&with_sequence(pdu, at_esme));
    world.carrier_rx().expect_header(CommandId::DELIVER_SM_RESP, status, sequence_of(&deliver));
    world.settle();
}
