//! submit_multi, query_sm, cancel_sm, replace_sm.

use super::journal::Kept;
use super::pdus::{Heard, answer, cancel, multi, query, receipt, refusal, replace, submit};
use super::rig::{Rig, config, member};
use crate::config::Config;
use crate::counters::Reason;
use crate::esme::settings::MessageIdSource;
use crate::ids::PoolId;
use crate::route::settings::{Pattern, PoolSettings, RouteSettings};
use crate::smpp::command::CommandId;
use crate::smpp::frame::write_pdu;
use crate::smpp::multi::{Destination, SubmitMulti, SubmitMultiResp};
use crate::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

/// 381* to alpha, 382* to beta, nothing else.
fn two_pools() -> Config {
    let mut config = config(&["acme", "other"], &["alpha", "beta"]);
    config.pools = vec![
        PoolSettings::weighted("a", vec![member(0, 1)]),
        PoolSettings::weighted("b", vec![member(1, 1)]),
    ];
    config.routes = [("381*", 0), ("382*", 1)]
        .map(|(to, pool)| RouteSettings {
            name: to.into(),
            to: vec![Pattern::parse(to).unwrap()],
            source: Vec::new(),
            esme: Vec::new(),
            pool: PoolId(pool),
        })
        .to_vec();
    for esme in &mut config.esmes {
        esme.pool = None;
    }
    config
}

fn destinations(heard: &Heard) -> Vec<String> {
    let multi = SubmitMulti::parse(&heard.pdu()).unwrap();
    let digits = multi.destinations.iter().map(|destination| match destination {
        Destination::Address(address) => String::from_utf8(address.digits.to_vec()).unwrap(),
        Destination::List(_) => String::new(),
    });
    digits.collect()
}

/// The id and the refused destinations of a submit_multi_resp.
fn outcome(heard: &Heard) -> (String, Vec<(String, u32)>) {
    let pdu = heard.pdu();
    let response = SubmitMultiResp::parse(&pdu);
    let id = response.message_id.unwrap_or_default();
    let failed = response
        .unsuccess
        .iter()
        .map(|failed| (String::from_utf8(failed.destination.digits.to_vec()).unwrap(), failed.status.0));
    (String::from_utf8(id.to_vec()).unwrap(), failed.collect())
}

fn multi_answer(request: &Heard, id: &str, failed: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    write_pdu(&mut out, CommandId::SUBMIT_MULTI_RESP, CommandStatus::OK, request.sequence(), |out| {
        crate::smpp::sm::write_c_octets(out, id.as_bytes());
        out.push(failed.len() as u8);
        for digits in failed {
            super::pdus::number(digits).write(out);
            out.extend_from_slice(&0x0Bu32.to_be_bytes());
        }
    });
    out
}

#[test]
fn a_submit_multi_of_one_pool_passes_unchanged() {
    let mut rig = Rig::up(two_pools());
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    let octets = multi(&["3811", "3812", "3813"], 5);
    rig.send(acme, &octets);
    let request = rig.one(alpha);
    assert_eq!(request.0[16..], octets[16..]);
    let response = multi_answer(&request, "theirs", &["3812"]);
    rig.send(alpha, &response);
    let relayed = rig.one(acme);
    assert_eq!((relayed.sequence(), relayed.status()), (5, CommandStatus::OK));
    assert_eq!(outcome(&relayed).1, [("3812".to_owned(), 0x0B)]);
    rig.assert_settled();
}

#[test]
fn a_submit_multi_of_two_pools_is_split_and_its_answers_are_put_together() {
    let mut rig = Rig::up(two_pools());
    let (acme, alpha, beta) = (rig.trx("acme"), rig.carrier(0), rig.carrier(1));
    rig.send(acme, &multi(&["3811", "3821", "999", "3812", "3822"], 5));
    let (to_alpha, to_beta) = (rig.one(alpha), rig.one(beta));
    assert_eq!(destinations(&to_alpha), ["3811", "3812"]);
    assert_eq!(destinations(&to_beta), ["3821", "3822"]);
    rig.send(alpha, &multi_answer(&to_alpha, "A1", &["3812"]));
    rig.silent(acme);
    rig.send(beta, &multi_answer(&to_beta, "B1", &[]));
    let answered = rig.one(acme);
    assert_eq!((answered.sequence(), answered.status()), (5, CommandStatus::OK));
    let (own, mut failed) = outcome(&answered);
    failed.sort();
    assert_eq!(failed, [("3812".to_owned(), 0x0B), ("999".to_owned(), 0x0B)]);
    assert!(own.parse::<u64>().is_ok(), "{own}");
    for (carrier, id, number) in [(alpha, "A1", "3811"), (beta, "B1", "3821"), (beta, "B1", "3822")] {
        rig.send(carrier, &receipt(id, number, 2));
        let given = rig.one(acme);
        assert_eq!(given.receipt_ids().1.as_ref(), Some(&own), "one id for all");
        rig.send(acme, &answer(&given, ""));
        assert_eq!(rig.one(carrier).status(), CommandStatus::OK);
    }
    assert_eq!(rig.counters.esmes[0].accepted.get(), 1, "it is one answer");
    rig.assert_settled();
}

#[test]
fn a_split_submit_multi_is_answered_when_the_record_of_a_part_is_safe_though_another_part_reached_nobody() {
    let mut kept = Kept::up(two_pools());
    let (acme, alpha, beta) = (kept.rig.trx("acme"), kept.rig.carrier(0), kept.rig.carrier(1));
    kept.rig.send(acme, &multi(&["3811", "3821"], 5));
    let (to_alpha, to_beta) = (kept.rig.one(alpha), kept.rig.one(beta));
    kept.rig.send(alpha, &multi_answer(&to_alpha, "A1", &[]));
    kept.rig.send(beta, &multi_answer(&to_beta, "B1", &["3821"]));
    kept.written();
    kept.rig.silent(acme);
    kept.durable();
    assert_eq!(outcome(&kept.rig.one(acme)).1, [("3821".to_owned(), 0x0B)]);
}

#[test]
fn a_split_submit_multi_of_which_a_part_fails_names_its_destinations() {
    let mut rig = Rig::up(two_pools());
    let (acme, alpha, beta) = (rig.trx("acme"), rig.carrier(0), rig.carrier(1));
    rig.send(acme, &multi(&["3811", "3821", "3822"], 5));
    let (to_alpha, _) = (rig.one(alpha), rig.one(beta));
    rig.send(alpha, &multi_answer(&to_alpha, "A1", &[]));
    rig.reset(beta);
    let answered = rig.one(acme);
    assert_eq!(answered.status(), CommandStatus::OK);
    let failed = outcome(&answered).1;
    assert_eq!(failed, [("3821".to_owned(), 0x45), ("3822".to_owned(), 0x45)]);
    rig.assert_settled();
}

#[test]
fn a_split_submit_multi_of_which_nothing_is_accepted_fails_as_its_first_part() {
    let mut rig = Rig::up(two_pools());
    let (acme, alpha, beta) = (rig.trx("acme"), rig.carrier(0), rig.carrier(1));
    rig.send(acme, &multi(&["3811", "3821"], 5));
    let (to_alpha, to_beta) = (rig.one(alpha), rig.one(beta));
    rig.send(beta, &refusal(&to_beta, CommandStatus::THROTTLED));
    rig.send(alpha, &refusal(&to_alpha, CommandStatus::INVALID_SOURCE));
    let answered = rig.one(acme);
    assert_eq!((answered.sequence(), answered.status()), (5, CommandStatus::THROTTLED));
    rig.assert_settled();
    rig.send(acme, &multi(&["999", "998"], 6));
    assert_eq!(rig.one(acme).status(), CommandStatus::INVALID_DESTINATION);
    assert_eq!(rig.refusals(0, Reason::NoRoute), 1);
    rig.assert_settled();
}

#[test]
fn the_parts_of_an_esme_that_is_gone_still_end() {
    let mut rig = Rig::up(two_pools());
    let (acme, alpha, beta) = (rig.trx("acme"), rig.carrier(0), rig.carrier(1));
    rig.send(acme, &multi(&["3811", "3821"], 5));
    rig.reset(acme);
    for carrier in [alpha, beta] {
        let request = rig.one(carrier);
        rig.send(carrier, &multi_answer(&request, "M", &[]));
    }
    rig.assert_settled();
}

/// A message of `acme` at alpha, its id as the ESME knows it.
fn accepted(rig: &mut Rig, source: MessageIdSource) -> String {
    assert_eq!(rig.shards[0].accounts[0].settings.message_id, source);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(acme, &submit("3811", 1));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "A-77"));
    rig.one(acme).id()
}

#[test]
fn operations_carry_the_carriers_id_there_and_the_esmes_back() {
    for source in [MessageIdSource::Own, MessageIdSource::Carrier] {
        let mut config = two_pools();
        config.esmes[0].message_id = source;
        let mut rig = Rig::up(config);
        let id = accepted(&mut rig, source);
        let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
        rig.send(acme, &query(&id, 2));
        let asked = rig.one(alpha);
        assert_eq!(QuerySm::parse(&asked.pdu()).unwrap().message_id, b"A-77");
        let mut response = Vec::new();
        QuerySmResp { message_id: b"A-77", message_state: 2, ..QuerySmResp::default() }.write(
            &mut response,
            CommandStatus::OK,
            asked.sequence(),
        );
        rig.send(alpha, &response);
        let told = rig.one(acme);
        assert_eq!(told.sequence(), 2);
        let told = told.pdu();
        let told = QuerySmResp::parse(&told).unwrap();
        assert_eq!((told.message_id, told.message_state), (id.as_bytes(), 2));
        rig.send(acme, &cancel(&id, 3));
        let asked = rig.one(alpha);
        assert_eq!(CancelSm::parse(&asked.pdu()).unwrap().message_id, b"A-77");
        rig.send(alpha, &refusal(&asked, CommandStatus::OK));
        assert_eq!((rig.one(acme).sequence(), rig.silent(alpha)), (3, ()));
        rig.send(acme, &replace(&id, 4));
        let asked = rig.one(alpha);
        assert_eq!(ReplaceSm::parse(&asked.pdu()).unwrap().message_id, b"A-77");
        rig.send(alpha, &refusal(&asked, CommandStatus::REPLACE_FAILED));
        let told = rig.one(acme);
        assert_eq!((told.sequence(), told.status()), (4, CommandStatus::REPLACE_FAILED));
        rig.assert_settled();
    }
}

#[test]
fn another_account_and_an_unknown_id_are_answered_alike_and_nothing_is_sent() {
    for source in [MessageIdSource::Own, MessageIdSource::Carrier] {
        let mut config = two_pools();
        config.esmes[0].message_id = source;
        config.esmes[1].message_id = source;
        let mut rig = Rig::up(config);
        let id = accepted(&mut rig, source);
        let (other, alpha, beta) = (rig.trx("other"), rig.carrier(0), rig.carrier(1));
        for unknown in [id.as_str(), "A-77", "12345", "00000001"] {
            rig.send(other, &query(unknown, 2));
            assert_eq!(rig.one(other).status(), CommandStatus::INVALID_MESSAGE_ID);
            rig.send(other, &cancel(unknown, 3));
            assert_eq!(rig.one(other).status(), CommandStatus::CANCEL_FAILED);
            rig.send(other, &replace(unknown, 4));
            assert_eq!(rig.one(other).status(), CommandStatus::REPLACE_FAILED);
        }
        rig.send(other, &cancel("", 5));
        assert_eq!(rig.one(other).status(), CommandStatus::CANCEL_FAILED);
        rig.silent(alpha);
        rig.silent(beta);
        assert_eq!(rig.refusals(1, Reason::MessageId), 13);
    }
}

#[test]
fn an_operation_on_a_carrier_that_is_down_waits_for_it_and_is_then_refused() {
    let mut config = two_pools();
    config.esmes[0].message_id = MessageIdSource::Own;
    let mut rig = Rig::up(config);
    let id = accepted(&mut rig, MessageIdSource::Own);
    let (acme, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.reset(alpha);
    rig.send(acme, &query(&id, 2));
    rig.silent(acme);
    rig.advance(Duration::from_secs(1));
    let again = rig.carrier_up(0)[0];
    let asked = rig.one(again);
    assert_eq!(asked.command(), CommandId::QUERY_SM);
    rig.send(again, &refusal(&asked, CommandStatus::QUERY_FAILED));
    assert_eq!(rig.one(acme).status(), CommandStatus::QUERY_FAILED);
    rig.reset(again);
    rig.send(acme, &query(&id, 3));
    rig.advance(Duration::from_millis(20_100));
    let refused = rig.heard(acme).into_iter().find(|heard| heard.sequence() == 3);
    assert_eq!(refused.map(|heard| heard.status()), Some(CommandStatus::SYSTEM_ERROR));
    rig.assert_settled();
}
