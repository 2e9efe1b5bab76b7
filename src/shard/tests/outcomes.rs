//! What an ESME is answered: the carrier's own words, or the status of what went wrong, exactly once.

use super::pdus::{Dlr, answer, header, receipt, refusal, submit};
use super::rig::{Rig, config};
use crate::counters::{Ignored, Match, Reason};
use crate::esme::settings::MessageIdSource;
use crate::smpp::command::CommandId;
use crate::smpp::frame::write_pdu;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

/// One account, one carrier, one session each.
fn pair(source: MessageIdSource) -> (Rig, crate::ids::LinkId, crate::ids::LinkId) {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].message_id = source;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    (rig, link, alpha)
}

#[test]
fn the_carriers_status_id_and_tlvs_are_relayed_octet_for_octet() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Carrier);
    let bodies: [(CommandStatus, &[u8]); 5] = [
        (CommandStatus::OK, b"AbC-007\0"),
        (CommandStatus::OK, b"AbC-008\0\x14\x00\x00\x02hi\x04\x28\x00\x01\x55"),
        (CommandStatus(0x0451), b"\0"),
        (CommandStatus(0x0B), b""),
        (CommandStatus::DELIVERY_FAILURE, b"\x04\x25\x00\x01\x03"),
    ];
    for (at, (status, body)) in bodies.iter().enumerate() {
        rig.send(link, &submit("38267000001", 0x9000_0000 + at as u32));
        let request = rig.one(alpha);
        let mut response = Vec::new();
        write_pdu(&mut response, CommandId::SUBMIT_SM_RESP, *status, request.sequence(), |out| {
            out.extend_from_slice(body);
        });
        rig.send(alpha, &response);
        let relayed = rig.one(link);
        assert_eq!(relayed.sequence(), 0x9000_0000 + at as u32);
        assert_eq!((relayed.status(), &relayed.0[16..]), (*status, *body));
    }
    rig.assert_settled();
}

#[test]
fn a_nack_of_the_carrier_is_the_matching_response_with_its_status() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Carrier);
    rig.send(link, &submit("38267000001", 4));
    let request = rig.one(alpha);
    rig.send(alpha, &header(CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, request.sequence()));
    let answered = rig.one(link);
    assert_eq!((answered.command(), answered.sequence()), (CommandId::SUBMIT_SM_RESP, 4));
    assert_eq!(answered.status(), CommandStatus::INVALID_COMMAND_ID);
    rig.assert_settled();
}

#[test]
fn requests_that_repeat_a_sequence_number_are_answered_each() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Carrier);
    for _ in 0..3 {
        rig.send(link, &submit("38267000001", 7));
    }
    let requests = rig.heard(alpha);
    for (at, request) in requests.iter().enumerate().rev() {
        rig.send(alpha, &answer(request, &format!("id{at}")));
    }
    let ids: Vec<_> = rig.heard(link).iter().map(|heard| (heard.sequence(), heard.id())).collect();
    assert_eq!(ids, [(7, "id2".to_owned()), (7, "id1".to_owned()), (7, "id0".to_owned())]);
}

#[test]
fn an_own_id_is_decimal_and_stands_for_the_carriers_in_receipts() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Own);
    rig.send(link, &submit("38267000001", 1));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "carrier-1"));
    let own = rig.one(link).id();
    assert!(own.len() <= 19 && own.parse::<u64>().is_ok(), "{own}");
    for (sequence, tlvs) in [(5, true), (6, false)] {
        let dlr = Dlr { id: "carrier-1", number: "38267000001", stat: "ENROUTE", tlvs, ..Dlr::default() };
        let mut octets = dlr.write(sequence);
        if tlvs {
            // message_state ENROUTE, so that the next one is not a duplicate.
            *octets.last_mut().unwrap() = 1;
        }
        rig.send(alpha, &octets);
        let given = rig.one(link);
        let (tlv, text) = given.receipt_ids();
        assert_eq!(tlv, tlvs.then(|| own.clone()));
        assert_eq!(text, Some(own.clone()));
        rig.send(link, &refusal(&given, CommandStatus::OK));
        assert_eq!(rig.one(alpha).sequence(), sequence);
    }
    rig.assert_settled();
}

#[test]
fn auto_gives_the_carriers_id_to_who_reaches_one_carrier_and_ours_to_who_reaches_two() {
    let mut config = config(&["one", "two"], &["alpha", "beta"]);
    let alone = crate::route::settings::PoolSettings::weighted("alone", vec![super::rig::member(0, 1)]);
    config.pools.push(alone);
    config.esmes[0].pool = Some(crate::ids::PoolId(1));
    let mut rig = Rig::up(config);
    for (name, theirs) in [("one", true), ("two", false)] {
        let link = rig.trx(name);
        rig.send(link, &submit("38267000001", 1));
        let carrier = [rig.carrier(0), rig.carrier(1)];
        let (at, request) =
            carrier.iter().find_map(|&at| rig.heard(at).pop().map(|heard| (at, heard))).unwrap();
        rig.send(at, &answer(&request, "theirs-1"));
        assert_eq!(rig.one(link).id() == "theirs-1", theirs, "{name}");
    }
}

#[test]
fn a_lost_carrier_link_makes_what_it_had_unknown_once_each() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Auto);
    for sequence in 1..=5 {
        rig.send(link, &submit("38267000001", sequence));
    }
    let requests = rig.heard(alpha);
    rig.send(alpha, &answer(&requests[2], "x"));
    assert_eq!(rig.one(link).status(), CommandStatus::OK);
    rig.reset(alpha);
    let answers = rig.heard(link);
    let mut sequences: Vec<_> = answers.iter().map(|heard| heard.sequence()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 4, 5]);
    assert!(answers.iter().all(|heard| heard.status() == CommandStatus::SUBMIT_FAILED));
    assert_eq!((rig.refusals(0, Reason::Unknown), rig.counters.carriers[0].unknown.get()), (4, 4));
    rig.advance(Duration::from_secs(1));
    let again = rig.carrier_up(0)[0];
    rig.send(again, &answer(&requests[0], "late"));
    rig.silent(link);
    assert_eq!(rig.ignored(Ignored::ResponseUnknown), 1);
    rig.assert_settled();
}

#[test]
fn a_submit_that_the_carrier_does_not_answer_in_time_is_unknown_and_a_late_answer_is_ignored() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].unknown_status = CommandStatus(0x0400);
    config.carriers[0].window_max = 1;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &submit("38267000001", 1));
    rig.send(link, &submit("38267000002", 2));
    let request = rig.one(alpha);
    rig.advance(Duration::from_millis(7_999));
    rig.silent(link);
    rig.advance(Duration::from_millis(1));
    let unknown = rig.one(link);
    assert_eq!((unknown.sequence(), unknown.status()), (1, CommandStatus(0x0400)));
    let asked = rig.one(alpha);
    assert_eq!(asked.command(), CommandId::ENQUIRE_LINK, "is it there at all?");
    rig.send(alpha, &answer(&request, "late"));
    let next = rig.one(alpha);
    assert_eq!(next.destination(), "38267000002", "it is, and the slot is free");
    rig.silent(link);
    assert_eq!(rig.ignored(Ignored::ResponseUnknown), 1);
    rig.send(alpha, &answer(&next, "x"));
    assert_eq!(rig.one(link).sequence(), 2);
    rig.assert_settled();
}

#[test]
fn a_response_of_the_wrong_type_is_ignored_and_the_right_one_counts() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Auto);
    rig.send(link, &submit("38267000001", 1));
    let request = rig.one(alpha);
    rig.send(alpha, &header(CommandId::QUERY_SM_RESP, CommandStatus::OK, request.sequence()));
    rig.silent(link);
    assert_eq!(rig.ignored(Ignored::ResponseWrongType), 1);
    rig.send(alpha, &answer(&request, "x"));
    rig.send(alpha, &answer(&request, "x"));
    assert_eq!(rig.one(link).id(), "x");
    assert_eq!(rig.ignored(Ignored::ResponseUnknown), 1, "the second copy");
}

#[test]
fn an_answer_for_an_esme_that_is_gone_is_dropped_and_its_receipt_finds_another_session() {
    let (mut rig, link, alpha) = pair(MessageIdSource::Auto);
    rig.send(link, &submit("38267000001", 1));
    let request = rig.one(alpha);
    let other = rig.trx("acme");
    rig.reset(link);
    let successor = rig.accept();
    rig.send(alpha, &answer(&request, "77"));
    assert_eq!(rig.ignored(Ignored::ResponseEsmeGone), 1);
    rig.silent(successor);
    rig.silent(other);
    rig.send(alpha, &receipt("77", "38267000001", 3));
    let given = rig.one(other);
    assert_eq!(given.receipt_ids().1.as_deref(), Some("77"));
    rig.send(other, &answer(&given, ""));
    assert_eq!(rig.one(alpha).status(), CommandStatus::OK);
    assert_eq!(rig.receipts(0, Match::Matched), 1);
    rig.assert_settled();
}

#[test]
fn what_an_esme_that_is_gone_left_in_a_queue_is_never_written() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].window_max = 1;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &submit("38267000001", 1));
    rig.send(link, &submit("38267000002", 2));
    rig.reset(link);
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "x"));
    rig.silent(alpha);
    rig.assert_settled();
}

#[test]
fn malformed_and_unroutable_submits_are_refused_by_name() {
    let mut config = config(&["acme", "homeless"], &["alpha"]);
    config.esmes[1].pool = None;
    let mut rig = Rig::up(config);
    let (link, homeless, alpha) = (rig.trx("acme"), rig.trx("homeless"), rig.carrier(0));
    rig.send(link, &submit("", 1));
    assert_eq!(rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
    let mut beyond = submit("38267000001", 2);
    let at = beyond.len() - 6;
    beyond[at] = 200;
    rig.send(link, &beyond);
    assert_eq!(rig.one(link).status(), CommandStatus::INVALID_MESSAGE_LENGTH);
    rig.send(homeless, &submit("38267000001", 3));
    assert_eq!(rig.one(homeless).status(), CommandStatus::INVALID_DESTINATION);
    assert_eq!(rig.refusals(0, Reason::Malformed), 2);
    assert_eq!(rig.refusals(1, Reason::NoRoute), 1);
    rig.silent(alpha);
    rig.assert_settled();
}
