//! MO and receipts on their way to an ESME that is slow, full, silent or away.

use super::pdus::{answer, header, mo, refusal};
use super::rig::{Rig, config};
use crate::config::Config;
use crate::counters::Ignored;
use crate::ids::{CarrierId, EsmeId};
use crate::limits::{DELIVERIES_MAX, WAITING_TIME};
use crate::route::settings::{MoRouteSettings, Nobody, Pattern};
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::data::AlertNotification;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const HANDSET: &str = "38267000001";

fn mo_route(carrier: &[u32], to: &[&str], deliver: &[u32]) -> MoRouteSettings {
    MoRouteSettings {
        name: "mo".into(),
        carrier: carrier.iter().map(|&id| CarrierId(id)).collect(),
        to: to.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        deliver: deliver.iter().map(|&id| EsmeId(id)).collect(),
        nobody: Nobody::Refuse,
    }
}

/// All MO to `acme`.
fn all_to_acme() -> Config {
    let mut config = config(&["acme"], &["alpha"]);
    config.mo_routes = vec![mo_route(&[], &[], &[0])];
    config
}

#[test]
fn mo_takes_the_first_route_that_holds_by_carrier_and_number() {
    let mut config = config(&["vote", "alphas", "rest"], &["alpha", "beta"]);
    config.mo_routes =
        vec![mo_route(&[], &["14499"], &[0]), mo_route(&[0], &["1*"], &[1]), mo_route(&[], &["*"], &[2])];
    let mut rig = Rig::up(config);
    let esmes = ["vote", "alphas", "rest"].map(|name| rig.trx(name));
    for (carrier, number, wanted) in
        [(0, "14499", 0), (1, "14499", 0), (0, "15000", 1), (1, "15000", 2), (0, "+14499", 0), (0, "999", 2)]
    {
        let link = rig.carrier(carrier);
        rig.send(link, &mo(HANDSET, number, 9));
        for (at, &esme) in esmes.iter().enumerate() {
            let heard = rig.heard(esme);
            assert_eq!(heard.len(), usize::from(at == wanted), "{carrier} {number} {at}");
            for given in heard {
                assert_eq!(given.text(), "VOTE 7");
                rig.send(esme, &answer(&given, ""));
            }
        }
        let answered = rig.one(link);
        assert_eq!((answered.sequence(), answered.status()), (9, CommandStatus::OK));
    }
    rig.assert_settled();
}

#[test]
fn mo_goes_to_the_first_account_that_takes_it_and_back_when_none_does() {
    let mut config = config(&["first", "second"], &["alpha"]);
    config.mo_routes = vec![mo_route(&[], &[], &[0, 1])];
    let mut rig = Rig::up(config);
    let alpha = rig.carrier(0);
    rig.send(alpha, &mo(HANDSET, "14499", 1));
    assert_eq!(rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    assert_eq!(rig.counters.carriers[0].mo_refused.get(), 1);
    rig.bind("first", BindKind::Transmitter);
    let second = rig.trx("second");
    rig.send(alpha, &mo(HANDSET, "14499", 2));
    let given = rig.one(second);
    rig.send(second, &answer(&given, ""));
    assert_eq!(rig.one(alpha).status(), CommandStatus::OK);
    let first = rig.trx("first");
    rig.send(alpha, &mo(HANDSET, "14499", 3));
    assert_eq!(rig.heard(first).len(), 1);
    rig.silent(second);
    assert_eq!(rig.counters.esmes[1].mo.get(), 1);
}

#[test]
fn mo_without_a_route_stays_with_the_carrier() {
    let mut config = all_to_acme();
    config.mo_routes[0].to = vec![Pattern::Exact(b"14499".to_vec())];
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14498", 1));
    assert_eq!(rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    rig.silent(acme);
}

#[test]
fn a_full_receiver_makes_deliveries_wait_in_order() {
    let mut config = all_to_acme();
    config.esmes[0].window_max = 2;
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    for sequence in 1..=8 {
        rig.send(alpha, &mo(HANDSET, "14499", sequence));
    }
    let mut flying = rig.heard(acme);
    assert_eq!(flying.len(), 2);
    let mut answered = Vec::new();
    while !flying.is_empty() {
        assert!(flying.len() <= 2);
        let given = flying.remove(0);
        rig.send(acme, &answer(&given, ""));
        answered.push(rig.one(alpha).sequence());
        flying.extend(rig.heard(acme));
    }
    assert_eq!(answered, [1, 2, 3, 4, 5, 6, 7, 8]);
    rig.assert_settled();
}

#[test]
fn a_delivery_that_waits_too_long_for_a_place_stays_with_the_carrier() {
    let mut config = all_to_acme();
    config.esmes[0].window_max = 1;
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14499", 1));
    let first = rig.one(acme);
    rig.send(alpha, &mo(HANDSET, "14499", 2));
    rig.advance(WAITING_TIME - Duration::from_millis(2));
    rig.silent(alpha);
    rig.advance(Duration::from_millis(2));
    let refused = rig.one(alpha);
    assert_eq!((refused.sequence(), refused.status()), (2, CommandStatus::RECEIVER_TEMPORARY));
    rig.send(acme, &answer(&first, ""));
    assert_eq!(rig.one(alpha).sequence(), 1);
    rig.silent(acme);
    rig.assert_settled();
}

#[test]
fn an_unanswered_delivery_goes_to_the_next_session_and_a_late_answer_is_ignored() {
    let mut config = all_to_acme();
    config.carriers[0].enquire_link_interval = Duration::from_secs(300);
    let mut rig = Rig::up(config);
    let (one, two, alpha) = (rig.trx("acme"), rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14499", 6));
    let (first, second, given) = match rig.heard(one).pop() {
        Some(given) => (one, two, given),
        None => (two, one, rig.one(two)),
    };
    rig.advance(Duration::from_millis(29_999));
    assert!(rig.heard(second).iter().all(|heard| heard.command() != CommandId::DELIVER_SM));
    // A sign of life, so that only the delivery is overdue.
    for link in [first, second] {
        rig.send(link, &super::pdus::header(CommandId::ENQUIRE_LINK, CommandStatus::OK, 1));
        rig.heard(link);
    }
    rig.advance(Duration::from_millis(1));
    let again = rig.one(second);
    assert_eq!(again.0[16..], given.0[16..]);
    rig.send(first, &answer(&given, ""));
    rig.silent(alpha);
    assert_eq!(rig.ignored(Ignored::ResponseUnknown), 1);
    rig.send(second, &answer(&again, ""));
    assert_eq!(rig.one(alpha).sequence(), 6);
    rig.assert_settled();
}

#[test]
fn a_session_that_goes_with_a_delivery_leaves_it_to_the_next_or_to_the_carrier() {
    let mut rig = Rig::up(all_to_acme());
    let (one, two, alpha) = (rig.trx("acme"), rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14499", 6));
    let (first, second) = if rig.heard(one).is_empty() { (two, one) } else { (one, two) };
    rig.heard(first);
    rig.reset(first);
    let again = rig.one(second);
    rig.silent(alpha);
    rig.send(alpha, &mo(HANDSET, "14499", 7));
    assert_eq!(rig.heard(second).len(), 1);
    rig.send(second, &refusal(&again, CommandStatus::OK));
    assert_eq!(rig.one(alpha).sequence(), 6);
    rig.reset(second);
    let back = rig.one(alpha);
    assert_eq!((back.sequence(), back.status()), (7, CommandStatus::RECEIVER_TEMPORARY));
    rig.assert_settled();
}

#[test]
fn a_place_that_a_silent_esme_frees_is_given_to_what_waits() {
    let mut config = all_to_acme();
    config.esmes[0].window_max = 1;
    config.esmes[0].response_timeout = Duration::from_secs(3);
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14499", 1));
    rig.send(alpha, &mo(HANDSET, "14499", 2));
    assert_eq!(rig.heard(acme).len(), 1);
    rig.advance(Duration::from_secs(3));
    assert_eq!(rig.one(alpha).sequence(), 1);
    let asked = rig.one(acme);
    assert_eq!(asked.command(), CommandId::ENQUIRE_LINK, "is it there at all?");
    rig.send(acme, &header(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, asked.sequence()));
    let second = rig.one(acme);
    rig.send(acme, &answer(&second, ""));
    let answered = rig.one(alpha);
    assert_eq!((answered.sequence(), answered.status()), (2, CommandStatus::OK));
    rig.assert_settled();
}

#[test]
fn an_answer_whose_carrier_link_is_gone_is_dropped_and_counted() {
    let mut rig = Rig::up(all_to_acme());
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(alpha, &mo(HANDSET, "14499", 1));
    let given = rig.one(acme);
    rig.reset(alpha);
    rig.advance(Duration::from_secs(1));
    let again = rig.carrier_up(0)[0];
    rig.send(acme, &answer(&given, ""));
    rig.silent(again);
    assert_eq!(rig.ignored(Ignored::DeliveryCarrierGone), 1);
    rig.assert_settled();
}

#[test]
fn a_carrier_over_its_deliveries_is_throttled() {
    let mut config = all_to_acme();
    config.esmes[0].window_max = 2000;
    let mut rig = Rig::up(config);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    for sequence in 0..=DELIVERIES_MAX as u32 {
        rig.send(alpha, &mo(HANDSET, "14499", sequence));
    }
    let refused = rig.one(alpha);
    assert_eq!((refused.sequence(), refused.status()), (1000, CommandStatus::THROTTLED));
    assert_eq!(rig.heard(acme).len(), DELIVERIES_MAX);
}

#[test]
fn an_alert_is_passed_to_a_receiving_session_and_nobody_answers_it() {
    let mut rig = Rig::up(all_to_acme());
    let alpha = rig.carrier(0);
    let mut alert = Vec::new();
    let source = super::pdus::number(HANDSET);
    AlertNotification { source, esme: super::pdus::number("14499"), ..AlertNotification::default() }
        .write(&mut alert, 3);
    rig.send(alpha, &alert);
    assert_eq!(rig.ignored(Ignored::Alert), 1, "nobody is bound");
    let acme = rig.bind("acme", BindKind::Receiver);
    rig.send(alpha, &alert);
    let given = rig.one(acme);
    assert_eq!((given.command(), &given.0[16..]), (CommandId::ALERT_NOTIFICATION, &alert[16..]));
    rig.silent(alpha);
    rig.assert_settled();
}

#[test]
fn a_delivery_to_a_33_peer_has_no_tlvs() {
    let mut rig = Rig::up(all_to_acme());
    let acme = rig.bind_as("acme", BindKind::Receiver, 0x33);
    let alpha = rig.carrier(0);
    let mut octets = mo(HANDSET, "14499", 3);
    octets.extend_from_slice(&[0x14, 0x00, 0x00, 0x01, 0x07]);
    let length = octets.len() as u32;
    octets[..4].copy_from_slice(&length.to_be_bytes());
    rig.send(alpha, &octets);
    let given = rig.one(acme);
    assert_eq!(given.0[16..], mo(HANDSET, "14499", 3)[16..]);
    rig.send(acme, &answer(&given, ""));
    assert_eq!(rig.one(alpha).status(), CommandStatus::OK);
}
