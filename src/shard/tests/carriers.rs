//! Carriers: sockets bounded, back-off kept, and a node that drains.

use super::pdus::{answer, header, mo, receipt, submit};
use super::rig::{Rig, config};
use crate::counters::Reason;
use crate::ids::LinkId;
use crate::limits::ALREADY_BOUND_WAIT;
use crate::prng::Prng;
use crate::session::BindKind;
use crate::shard::port::Input;
use crate::smpp::bind::Bind;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

#[test]
fn each_slot_dials_binds_as_it_was_told_and_is_bound() {
    let mut config = config(&[], &["alpha"]);
    config.carriers[0].sessions = 3;
    config.carriers[0].system_type = b"VMA".to_vec();
    let mut rig = Rig::new(config);
    assert_eq!(rig.dials.len(), 3);
    let link = rig.connect(0);
    let heard = rig.one(link);
    assert_eq!(heard.command(), CommandId::BIND_TRANSCEIVER);
    let pdu = heard.pdu();
    let bind = Bind::parse(&pdu).unwrap();
    assert_eq!(
        (bind.system_id, bind.password, bind.system_type),
        (&b"bindery"[..], &b"secret"[..], &b"VMA"[..])
    );
    assert_eq!(bind.interface_version, 0x34);
    rig.send(link, &header(CommandId::BIND_TRANSCEIVER_RESP, CommandStatus::OK, heard.sequence()));
    assert_eq!(rig.counters.carriers[0].sessions.get(), 1);
    rig.carrier_up(0);
    assert_eq!(rig.counters.carriers[0].sessions.get(), 3);
}

/// One random thing happens to a carrier's sockets.
fn disturb(rig: &mut Rig, prng: &mut Prng) {
    let links = rig.carrier_links(0);
    let dialling = !rig.dials.is_empty();
    match prng.below(5) {
        0 if dialling => rig.fail_connect(0),
        1 if dialling => {
            let link = rig.connect(0);
            rig.reset(link);
        }
        2 if dialling => {
            let link = rig.connect(0);
            let bind = rig.heard(link).remove(0);
            let status = [CommandStatus::BIND_FAILED, CommandStatus::ALREADY_BOUND][prng.below(2) as usize];
            rig.send(link, &header(bind.command().response(), status, bind.sequence()));
        }
        3 if !links.is_empty() => rig.reset(links[prng.below(links.len() as u64) as usize]),
        _ => {
            rig.carrier_up(0);
        }
    }
}

#[test]
fn two_hundred_failures_never_make_more_sockets_than_sessions() {
    for seed in 0..5 {
        let mut config = config(&[], &["alpha"]);
        config.carriers[0].sessions = 4;
        let mut rig = Rig::seeded(config, seed);
        let mut prng = Prng::new(seed);
        for _ in 0..200 {
            disturb(&mut rig, &mut prng);
            // The rig checks the bound at each connect.
            assert!(rig.sockets(0) <= 4);
            rig.advance(Duration::from_millis(prng.below(20_000)));
        }
        rig.advance(Duration::from_secs(61));
        rig.carrier_up(0);
        assert_eq!(rig.sockets(0), 4, "seed {seed}: none is lost");
    }
}

#[test]
fn waits_between_connects_double_and_a_settled_session_starts_anew() {
    let mut rig = Rig::new(config(&[], &["alpha"]));
    for round in 0..8u32 {
        rig.fail_connect(0);
        let full = Duration::from_secs(1 << round.min(6)).min(Duration::from_secs(60));
        rig.advance(full / 2 - Duration::from_nanos(1));
        assert!(rig.dials.is_empty(), "round {round}");
        rig.advance(full / 2 + Duration::from_nanos(2));
        assert_eq!(rig.dials.len(), 1, "round {round}");
    }
    let link = rig.carrier_up(0)[0];
    for _ in 0..2 {
        rig.advance(Duration::from_secs(20));
        rig.send(link, &header(CommandId::ENQUIRE_LINK, CommandStatus::OK, 1));
    }
    rig.reset(link);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.dials.len(), 1);
}

#[test]
fn a_refused_bind_closes_the_link_and_waits_as_its_status_asks() {
    for (status, least) in [
        (CommandStatus::ALREADY_BOUND, ALREADY_BOUND_WAIT),
        (CommandStatus::INVALID_PASSWORD, Duration::from_secs(60)),
    ] {
        let mut rig = Rig::new(config(&[], &["alpha"]));
        let link = rig.connect(0);
        let bind = rig.one(link);
        rig.send(link, &header(bind.command().response(), status, bind.sequence()));
        assert!(!rig.is_open(link));
        rig.advance(least - Duration::from_millis(1));
        assert!(rig.dials.is_empty());
        rig.advance(Duration::from_millis(1));
        assert_eq!(rig.dials.len(), 1);
        assert_eq!(rig.counters.carriers[0].sessions.get(), 0);
    }
}

#[test]
fn a_bind_that_is_not_answered_ends_the_link_and_is_tried_again() {
    let mut rig = Rig::new(config(&[], &["alpha"]));
    let link = rig.connect(0);
    rig.advance(Duration::from_secs(8));
    assert!(!rig.is_open(link));
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.dials.len(), 1);
}

#[test]
fn a_silent_carrier_is_asked_then_given_up() {
    let mut rig = Rig::up(config(&[], &["alpha"]));
    let alpha = rig.carrier(0);
    rig.advance(Duration::from_secs(30));
    let asked = rig.one(alpha);
    assert_eq!(asked.command(), CommandId::ENQUIRE_LINK);
    rig.send(alpha, &header(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, asked.sequence()));
    rig.advance(Duration::from_secs(30));
    assert_eq!(rig.one(alpha).command(), CommandId::ENQUIRE_LINK);
    rig.advance(Duration::from_millis(7_999));
    assert!(rig.is_open(alpha));
    rig.advance(Duration::from_millis(1));
    assert!(!rig.is_open(alpha));
}

/// Answers an unbind of the shard.
fn unbound(rig: &mut Rig, link: LinkId) {
    let asked = rig.one(link);
    assert_eq!(asked.command(), CommandId::UNBIND);
    rig.send(link, &header(CommandId::UNBIND_RESP, CommandStatus::OK, asked.sequence()));
    assert!(!rig.is_open(link));
}

#[test]
fn a_drain_answers_what_is_in_flight_then_unbinds_esmes_then_carriers_then_exits() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (acme, rx, alpha) = (rig.trx("acme"), rig.bind("acme", BindKind::Receiver), rig.carrier(0));
    rig.send(acme, &submit("38267", 1));
    let request = rig.one(alpha);
    rig.input_all(|| Input::Drain);
    unbound(&mut rig, rx);
    rig.silent(acme);
    rig.send(acme, &submit("38267", 2));
    let refused = rig.one(acme);
    assert_eq!((refused.sequence(), refused.status()), (2, CommandStatus::THROTTLED));
    assert_eq!(rig.refusals(0, Reason::Draining), 1);
    let late = rig.accept();
    assert!(!rig.is_open(late));
    rig.silent(alpha);
    rig.send(alpha, &answer(&request, "5"));
    let heard = rig.heard(acme);
    assert_eq!(heard[0].command(), CommandId::SUBMIT_SM_RESP);
    assert_eq!(heard[1].command(), CommandId::UNBIND);
    assert!(!rig.exit);
    rig.send(acme, &header(CommandId::UNBIND_RESP, CommandStatus::OK, heard[1].sequence()));
    assert!(!rig.exit);
    unbound(&mut rig, alpha);
    assert!(rig.exit && rig.dials.is_empty());
    rig.assert_settled();
}

#[test]
fn a_session_that_its_window_had_paused_drains_as_soon_as_it_is_answered() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 1;
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(acme, &[submit("38267", 1), submit("38267", 2)].concat());
    let request = rig.one(alpha);
    rig.input_all(|| Input::Drain);
    rig.send(alpha, &answer(&request, "5"));
    let heard = rig.heard(acme);
    let statuses: Vec<_> = heard.iter().map(|heard| (heard.command(), heard.status())).collect();
    let wanted = [
        (CommandId::SUBMIT_SM_RESP, CommandStatus::OK),
        (CommandId::SUBMIT_SM_RESP, CommandStatus::THROTTLED),
        (CommandId::UNBIND, CommandStatus::OK),
    ];
    assert_eq!(statuses, wanted);
}

#[test]
fn a_drain_gives_nothing_new_to_esmes() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(acme, &[submit("38267", 1), submit("38267", 2)].concat());
    let requests = rig.heard(alpha);
    rig.send(alpha, &answer(&requests[0], "5"));
    rig.heard(acme);
    rig.input_all(|| Input::Drain);
    rig.send(alpha, &receipt("5", "38267", 1));
    rig.send(alpha, &mo("38267", "14499", 2));
    rig.advance(Duration::from_secs(6));
    rig.silent(acme);
    let mut answers: Vec<_> =
        rig.heard(alpha).iter().map(|heard| (heard.sequence(), heard.status())).collect();
    answers.sort();
    assert_eq!(answers, [(1, CommandStatus::RECEIVER_TEMPORARY), (2, CommandStatus::RECEIVER_TEMPORARY)]);
}

#[test]
fn a_drain_that_does_not_end_ends_at_its_deadline() {
    let mut config = config(&["acme"], &["alpha"]);
    config.node.drain_deadline = Duration::from_secs(5);
    let mut rig = Rig::up(config);
    let acme = rig.trx("acme");
    rig.input_all(|| Input::Drain);
    rig.heard(acme);
    rig.advance(Duration::from_millis(4_999));
    assert!(!rig.exit);
    rig.advance(Duration::from_millis(1));
    assert!(rig.exit);
}

#[test]
fn a_drain_of_nothing_ends_at_once_and_dials_no_more() {
    let mut rig = Rig::new(config(&[], &["alpha"]));
    rig.input_all(|| Input::Drain);
    rig.fail_connect(0);
    assert!(rig.exit);
    rig.advance(Duration::from_secs(100));
    assert!(rig.dials.is_empty());
}

#[test]
fn who_answers_is_asked_again_after_the_interval_and_not_later() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].enquire_link_interval = Duration::from_millis(50);
    config.carriers[0].enquire_link_interval = Duration::from_millis(50);
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    for _ in 0..5 {
        rig.advance(Duration::from_millis(51));
        for peer in [link, alpha] {
            let asked = rig.one(peer);
            assert_eq!(asked.command(), CommandId::ENQUIRE_LINK);
            rig.send(peer, &header(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, asked.sequence()));
        }
    }
}
