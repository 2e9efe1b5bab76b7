//! Who may come in, and who is sent away.

use super::pdus::{bind, header, submit};
use super::rig::{Rig, config};
use crate::counters::Reason;
use crate::esme::settings::AddressBlock;
use crate::limits::{OUTPUT_SOFT, OUTPUT_STALL};
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const TRX: BindKind = BindKind::Transceiver;

#[test]
fn wrong_credentials_all_look_the_same_come_late_and_end_the_link() {
    let mut config = config(&["acme", "fenced"], &["alpha"]);
    config.esmes[1].allow_from = vec![AddressBlock { address: "10.1.0.0".parse().unwrap(), prefix_len: 16 }];
    let mut rig = Rig::new(config);
    let mut answers = Vec::new();
    for (system_id, password) in [("acme", "wrong"), ("nobody", "secret"), ("fenced", "secret")] {
        let link = rig.accept();
        rig.send(link, &bind(system_id, password, TRX, 0x34));
        rig.advance(Duration::from_millis(999));
        rig.silent(link);
        assert!(rig.is_open(link));
        rig.advance(Duration::from_millis(1));
        answers.push(rig.one(link));
        assert!(!rig.is_open(link));
    }
    assert_eq!(answers[0].status(), CommandStatus::INVALID_PASSWORD);
    assert_eq!(answers[0].command(), CommandId::BIND_TRANSCEIVER_RESP);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(rig.sum(|counters| counters.refusals.at(Reason::Credentials as usize).get()), 3);
}

#[test]
fn nothing_is_taken_from_a_link_whose_bind_was_refused() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.accept();
    let mut octets = bind("acme", "wrong", TRX, 0x34);
    octets.extend(bind("acme", "secret", TRX, 0x34));
    rig.send(link, &octets);
    rig.send(link, &bind("acme", "secret", TRX, 0x34));
    rig.send(link, &submit("38267", 9));
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.one(link).status(), CommandStatus::INVALID_PASSWORD);
    assert_eq!(rig.counters.esmes[0].binds.get(), 0);
    let alpha = rig.carrier(0);
    rig.silent(alpha);
}

#[test]
fn an_allowed_address_binds_and_another_does_not() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].allow_from = vec![AddressBlock { address: "10.1.0.0".parse().unwrap(), prefix_len: 16 }];
    let mut rig = Rig::new(config);
    for (peer, status) in
        [("10.1.9.9:5000", CommandStatus::OK), ("10.2.0.1:5000", CommandStatus::INVALID_PASSWORD)]
    {
        let link = rig.accept_from(peer);
        rig.send(link, &bind("acme", "secret", TRX, 0x34));
        rig.advance(Duration::from_secs(1));
        assert_eq!(rig.one(link).status(), status, "{peer}");
    }
}

#[test]
fn a_bind_over_sessions_max_is_told_so_until_a_session_ends() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].sessions_max = 2;
    let mut rig = Rig::new(config);
    let first = rig.trx("acme");
    rig.trx("acme");
    let third = rig.accept();
    rig.send(third, &bind("acme", "secret", TRX, 0x34));
    assert_eq!(rig.one(third).status(), CommandStatus::ALREADY_BOUND);
    assert!(!rig.is_open(third));
    assert_eq!(rig.sum(|counters| counters.refusals.at(Reason::Sessions as usize).get()), 1);
    rig.send(first, &header(CommandId::UNBIND, CommandStatus::OK, 7));
    assert!(!rig.is_open(first));
    rig.trx("acme");
    assert_eq!(rig.counters.esmes[0].sessions.get(), 2);
}

#[test]
fn connections_over_the_listeners_bounds_are_closed_and_the_places_come_back() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].connections_max = 3;
    config.listeners[0].connections_per_address = 2;
    let mut rig = Rig::new(config);
    let first = rig.accept_from("10.0.0.1:1");
    assert!(rig.is_open(first));
    let second = rig.accept_from("10.0.0.1:2");
    let third = rig.accept_from("10.0.0.1:3");
    assert!(rig.is_open(second) && !rig.is_open(third), "per address");
    let fourth = rig.accept_from("10.0.0.2:1");
    let fifth = rig.accept_from("10.0.0.3:1");
    assert!(rig.is_open(fourth) && !rig.is_open(fifth), "per listener");
    rig.reset(first);
    let sixth = rig.accept_from("10.0.0.1:4");
    assert!(rig.is_open(sixth));
    assert_eq!(rig.sum(|counters| counters.links.get()), 3);
}

#[test]
fn a_link_that_does_not_bind_in_time_is_closed_whatever_it_chats() {
    let mut rig = Rig::new(config(&["acme"], &["alpha"]));
    let link = rig.accept();
    for sequence in 1..=9 {
        rig.advance(Duration::from_secs(1));
        rig.send(link, &header(CommandId::ENQUIRE_LINK, CommandStatus::OK, sequence));
        assert_eq!(rig.one(link).command(), CommandId::ENQUIRE_LINK_RESP);
    }
    rig.advance(Duration::from_millis(999));
    assert!(rig.is_open(link));
    rig.advance(Duration::from_millis(1));
    assert!(!rig.is_open(link));
}

#[test]
fn a_pdu_that_does_not_become_whole_in_ten_seconds_ends_the_link() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    let octets = submit("38267000001", 2);
    rig.send(link, &octets[..20]);
    rig.advance(Duration::from_secs(9));
    assert!(rig.is_open(link));
    rig.advance(Duration::from_secs(1));
    assert!(!rig.is_open(link));
}

#[test]
fn dribbled_octets_do_not_keep_a_pdu_waiting_for_ever() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    for &octet in &submit("38267000001", 2)[..20] {
        rig.send(link, &[octet]);
        rig.advance(Duration::from_secs(1));
    }
    assert!(!rig.is_open(link));
}

#[test]
fn a_pdu_cut_at_every_octet_is_the_same_pdu() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    let alpha = rig.carrier(0);
    let octets = submit("38267000001", 2);
    for cut in 1..octets.len() {
        rig.send(link, &octets[..cut]);
        rig.silent(alpha);
        rig.send(link, &octets[cut..]);
        let relayed = rig.one(alpha);
        assert_eq!(relayed.0[16..], octets[16..]);
        rig.send(alpha, &super::pdus::answer(&relayed, &format!("id{cut}")));
        assert_eq!(rig.one(link).sequence(), 2);
    }
}

#[test]
fn lost_framing_is_nacked_and_ends_the_link() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    rig.send(link, b"GET / HTTP/1.1\r\n");
    let nack = rig.one(link);
    assert_eq!((nack.command(), nack.sequence()), (CommandId::GENERIC_NACK, 0));
    assert_eq!(nack.status(), CommandStatus::INVALID_COMMAND_LENGTH);
    assert!(!rig.is_open(link));
    assert_eq!(rig.sum(|counters| counters.framing_lost.get()), 1);
}

#[test]
fn a_slow_reader_is_paused_goes_on_with_room_and_is_closed_without() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    rig.takes(link, 0);
    let enquire = header(CommandId::ENQUIRE_LINK, CommandStatus::OK, 5);
    let many = enquire.repeat(OUTPUT_SOFT / 16 + 100);
    rig.send(link, &many);
    assert!(rig.peers[&link].paused);
    assert!(rig.backlog(link) <= OUTPUT_SOFT + 16);
    rig.takes(link, usize::MAX);
    assert!(!rig.peers[&link].paused);
    assert_eq!(rig.heard(link).len(), OUTPUT_SOFT / 16 + 100, "every one is answered");
    rig.takes(link, 0);
    rig.send(link, &many);
    rig.advance(OUTPUT_STALL - Duration::from_millis(1));
    assert!(rig.is_open(link));
    rig.advance(Duration::from_millis(1));
    assert!(!rig.is_open(link));
}
