//! Receipts: to the account that submitted, after its response, once.

use super::pdus::{Dlr, Heard, answer, receipt, refusal, submit};
use super::rig::{Rig, config, member};
use crate::carrier::BindMode;
use crate::counters::Match;
use crate::esme::settings::{MessageIdSource, ReceiptsTo};
use crate::ids::{LinkId, PoolId};
use crate::limits::PARKED_MAX;
use crate::route::settings::PoolSettings;
use crate::session::BindKind;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const NUMBER: &str = "38267000001";

struct Pair {
    rig: Rig,
    link: LinkId,
    alpha: LinkId,
}

fn pair() -> Pair {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    Pair { rig, link, alpha }
}

impl Pair {
    /// A message that the carrier took under this id.
    fn accepted(&mut self, id: &str) {
        let request = self.submitted();
        self.rig.send(self.alpha, &answer(&request, id));
        assert_eq!(self.rig.one(self.link).status(), CommandStatus::OK);
    }

    fn submitted(&mut self) -> Heard {
        self.rig.send(self.link, &submit(NUMBER, 1));
        self.rig.one(self.alpha)
    }

    fn carrier_hears(&mut self, sequence: u32, status: CommandStatus) {
        let heard = self.rig.one(self.alpha);
        assert_eq!((heard.sequence(), heard.status()), (sequence, status));
    }
}

#[test]
fn the_answer_of_the_esme_is_the_answer_to_the_carrier() {
    let mut pair = pair();
    for (at, status) in [CommandStatus::RECEIVER_TEMPORARY, CommandStatus::QUEUE_FULL, CommandStatus::OK]
        .into_iter()
        .enumerate()
    {
        if at == 0 {
            pair.accepted("5");
        }
        pair.rig.send(pair.alpha, &receipt("5", NUMBER, 10 + at as u32));
        let given = pair.rig.one(pair.link);
        pair.rig.silent(pair.alpha);
        pair.rig.send(pair.link, &refusal(&given, status));
        pair.carrier_hears(10 + at as u32, status);
    }
    assert_eq!(pair.rig.receipts(0, Match::Matched), 3, "a refused one is forwarded again");
    assert_eq!(pair.rig.counters.esmes[0].receipts.get(), 1);
    pair.rig.assert_settled();
}

#[test]
fn a_receipt_that_was_delivered_is_answered_and_not_forwarded_again() {
    let mut pair = pair();
    pair.accepted("5");
    pair.rig.send(pair.alpha, &receipt("5", NUMBER, 1));
    let given = pair.rig.one(pair.link);
    pair.rig.send(pair.alpha, &receipt("5", NUMBER, 2));
    pair.carrier_hears(2, CommandStatus::RECEIVER_TEMPORARY);
    pair.rig.send(pair.link, &answer(&given, ""));
    pair.carrier_hears(1, CommandStatus::OK);
    pair.rig.send(pair.alpha, &receipt("5", NUMBER, 3));
    pair.carrier_hears(3, CommandStatus::OK);
    pair.rig.silent(pair.link);
    assert_eq!(pair.rig.receipts(0, Match::Duplicate), 2);
    pair.rig.assert_settled();
}

#[test]
fn intermediate_receipts_are_all_forwarded_and_end_nothing() {
    let mut pair = pair();
    pair.accepted("5");
    let enroute = Dlr { id: "5", number: NUMBER, stat: "ENROUTE", ..Dlr::default() };
    for sequence in 1..=3 {
        pair.rig.send(pair.alpha, &enroute.write(sequence));
        let given = pair.rig.one(pair.link);
        pair.rig.send(pair.link, &answer(&given, ""));
        pair.carrier_hears(sequence, CommandStatus::OK);
    }
    pair.rig.send(pair.alpha, &receipt("5", NUMBER, 4));
    assert_eq!(pair.rig.heard(pair.link).len(), 1);
}

#[test]
fn a_receipt_before_its_response_waits_for_it_and_comes_after_it() {
    let mut pair = pair();
    let request = pair.submitted();
    pair.rig.send(pair.alpha, &receipt("99", NUMBER, 8));
    pair.rig.silent(pair.link);
    pair.rig.silent(pair.alpha);
    assert_eq!(pair.rig.counters.carriers[0].parked.get(), 1);
    pair.rig.advance(Duration::from_millis(1_900));
    pair.rig.send(pair.alpha, &answer(&request, "99"));
    let heard = pair.rig.heard(pair.link);
    assert_eq!(heard.len(), 2);
    assert_eq!((heard[0].sequence(), heard[0].id()), (1, "99".to_owned()));
    assert_eq!(heard[1].receipt_ids().1.as_deref(), Some("99"));
    pair.rig.send(pair.link, &answer(&heard[1], ""));
    pair.carrier_hears(8, CommandStatus::OK);
    pair.rig.advance(Duration::from_secs(5));
    pair.rig.silent(pair.alpha);
    assert_eq!(pair.rig.receipts(0, Match::Orphan), 0);
    pair.rig.assert_settled();
}

#[test]
fn a_receipt_whose_message_stays_unknown_is_refused_after_two_seconds_and_counted() {
    let mut pair = pair();
    pair.rig.send(pair.alpha, &receipt("404", NUMBER, 8));
    pair.rig.advance(Duration::from_millis(1_999));
    pair.rig.silent(pair.alpha);
    pair.rig.advance(Duration::from_millis(1));
    pair.carrier_hears(8, CommandStatus::RECEIVER_TEMPORARY);
    assert_eq!((pair.rig.receipts(0, Match::Parked), pair.rig.receipts(0, Match::Orphan)), (1, 1));
    assert_eq!(pair.rig.counters.carriers[0].parked.get(), 0);
    pair.rig.silent(pair.link);
    pair.rig.assert_settled();
}

#[test]
fn parked_receipts_are_bounded_per_link_and_over_it_refused_at_once() {
    let mut pair = pair();
    for n in 0..PARKED_MAX as u32 {
        pair.rig.send(pair.alpha, &receipt(&(5000 + n).to_string(), NUMBER, n));
    }
    pair.rig.silent(pair.alpha);
    pair.rig.send(pair.alpha, &receipt("4999", NUMBER, 9_999));
    pair.carrier_hears(9_999, CommandStatus::RECEIVER_TEMPORARY);
    pair.rig.advance(Duration::from_secs(2));
    assert_eq!(pair.rig.heard(pair.alpha).len(), PARKED_MAX);
    pair.rig.send(pair.alpha, &receipt("4999", NUMBER, 10_000));
    pair.rig.silent(pair.alpha);
    assert_eq!(pair.rig.counters.carriers[0].parked.get(), 1, "there is room again");
}

#[test]
fn parked_receipts_go_with_their_link() {
    let mut pair = pair();
    pair.rig.send(pair.alpha, &receipt("404", NUMBER, 8));
    pair.rig.reset(pair.alpha);
    assert_eq!(pair.rig.counters.carriers[0].parked.get(), 0);
    pair.rig.assert_settled();
    pair.rig.advance(Duration::from_secs(3));
}

#[test]
fn no_receipt_overtakes_its_response_on_another_link() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].message_id = MessageIdSource::Own;
    let mut rig = Rig::up(config);
    let (tx, rx) = (rig.bind("acme", BindKind::Transmitter), rig.bind("acme", BindKind::Receiver));
    let alpha = rig.carrier(0);
    rig.send(tx, &submit(NUMBER, 1));
    let request = rig.one(alpha);
    rig.takes(tx, 0);
    rig.send(alpha, &answer(&request, "31"));
    rig.send(alpha, &receipt("31", NUMBER, 4));
    rig.advance(Duration::from_secs(1));
    rig.silent(rx);
    rig.takes(tx, 20);
    rig.advance(Duration::from_millis(100));
    rig.silent(rx);
    rig.takes(tx, usize::MAX);
    let own = rig.one(tx).id();
    rig.advance(Duration::from_millis(2));
    let given = rig.one(rx);
    assert_eq!(given.receipt_ids().1, Some(own));
    rig.send(rx, &answer(&given, ""));
    assert_eq!(rig.one(alpha).status(), CommandStatus::OK);
    rig.assert_settled();
}

#[test]
fn with_nobody_bound_to_receive_the_carrier_keeps_the_receipt() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (tx, alpha) = (rig.bind("acme", BindKind::Transmitter), rig.carrier(0));
    rig.send(tx, &submit(NUMBER, 1));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "5"));
    rig.send(alpha, &receipt("5", NUMBER, 1));
    assert_eq!(rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    let rx = rig.bind("acme", BindKind::Receiver);
    rig.send(alpha, &receipt("5", NUMBER, 2));
    let given = rig.one(rx);
    rig.send(rx, &answer(&given, ""));
    assert_eq!(rig.one(alpha).status(), CommandStatus::OK);
    rig.assert_settled();
}

#[test]
fn receipts_go_back_to_the_session_that_submitted_when_asked_to() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].receipts = ReceiptsTo::Submitting;
    let mut rig = Rig::up(config);
    let (first, second, alpha) = (rig.trx("acme"), rig.trx("acme"), rig.carrier(0));
    for round in 0..6u32 {
        for link in [first, second] {
            rig.send(link, &submit(NUMBER, round));
            let request = rig.one(alpha);
            let id = format!("{}", 100 * round + link.slot);
            rig.send(alpha, &answer(&request, &id));
            rig.heard(link);
            rig.send(alpha, &receipt(&id, NUMBER, 1));
            let given = rig.one(link);
            rig.send(link, &answer(&given, ""));
            rig.heard(alpha);
        }
    }
    rig.send(first, &submit(NUMBER, 77));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "7777"));
    rig.reset(first);
    rig.send(alpha, &receipt("7777", NUMBER, 1));
    assert_eq!(rig.heard(second).len(), 1, "else any");
}

#[test]
fn receiver_sessions_take_turns() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (first, second, alpha) = (rig.trx("acme"), rig.trx("acme"), rig.carrier(0));
    for n in 0..10u32 {
        rig.send(first, &submit(NUMBER, n));
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, &(600 + n).to_string()));
        rig.heard(first);
    }
    for n in 0..10u32 {
        rig.send(alpha, &receipt(&(600 + n).to_string(), NUMBER, n));
    }
    assert_eq!((rig.heard(first).len(), rig.heard(second).len()), (5, 5));
}

#[test]
fn the_receivers_of_a_carrier_bring_the_receipts_of_its_transmitters() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].bind = BindMode::TxRx;
    config.carriers[0].sessions = 2;
    let mut rig = Rig::up(config);
    let link = rig.trx("acme");
    rig.send(link, &submit(NUMBER, 1));
    let links = rig.carrier_links(0);
    let (tx, request) = links.iter().find_map(|&at| rig.heard(at).pop().map(|heard| (at, heard))).unwrap();
    let rx = links.into_iter().find(|&at| at != tx).unwrap();
    rig.send(rx, &receipt("5", NUMBER, 1));
    rig.silent(link);
    rig.send(tx, &answer(&request, "5"));
    assert_eq!(rig.heard(link).len(), 2, "parked, then matched");
}

#[test]
fn two_carriers_that_use_the_same_ids_never_cross_accounts() {
    let mut config = config(&["acme", "other"], &["alpha", "beta"]);
    config.pools = vec![
        PoolSettings::weighted("a", vec![member(0, 1)]),
        PoolSettings::weighted("b", vec![member(1, 1)]),
    ];
    config.esmes[1].pool = Some(PoolId(1));
    let mut rig = Rig::up(config);
    let (acme, other) = (rig.trx("acme"), rig.trx("other"));
    let (alpha, beta) = (rig.carrier(0), rig.carrier(1));
    for (link, carrier) in [(acme, alpha), (other, beta)] {
        for n in 0..5 {
            rig.send(link, &submit(NUMBER, n));
            let request = rig.one(carrier);
            rig.send(carrier, &answer(&request, &n.to_string()));
            rig.one(link);
        }
    }
    for n in 0..5u32 {
        rig.send(beta, &receipt(&n.to_string(), NUMBER, n));
        rig.silent(acme);
        let given = rig.one(other);
        rig.send(other, &answer(&given, ""));
        rig.send(alpha, &receipt(&n.to_string(), NUMBER, n));
        rig.silent(other);
        let given = rig.one(acme);
        rig.send(acme, &answer(&given, ""));
    }
    rig.send(beta, &receipt("0005", NUMBER, 9));
    rig.advance(Duration::from_secs(3));
    rig.silent(acme);
    rig.silent(other);
    rig.assert_settled();
}

#[test]
fn an_id_that_two_accounts_share_on_one_carrier_is_told_apart_by_the_number_or_refused() {
    let mut rig = Rig::up(config(&["acme", "other"], &["alpha"]));
    let (acme, other, alpha) = (rig.trx("acme"), rig.trx("other"), rig.carrier(0));
    for link in [acme, other] {
        rig.send(link, &submit(NUMBER, 1));
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, "12"));
        rig.one(link);
    }
    rig.send(alpha, &receipt("12", NUMBER, 1));
    rig.advance(Duration::from_secs(3));
    rig.silent(acme);
    rig.silent(other);
    assert_eq!(rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
}

#[test]
fn ids_that_change_their_base_in_receipts_are_found() {
    let mut pair = pair();
    for n in 0..30u32 {
        let id = 0x499602D2 + n;
        pair.accepted(&format!("{id:X}"));
        pair.rig.send(pair.alpha, &receipt(&format!("{id}"), NUMBER, n));
        let given = pair.rig.one(pair.link);
        pair.rig.send(pair.link, &answer(&given, ""));
        pair.carrier_hears(n, CommandStatus::OK);
    }
    assert_eq!(pair.rig.receipts(0, Match::Matched), 30);
}
