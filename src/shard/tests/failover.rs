//! What a refused or lost submit becomes while its time allows another attempt.

use super::pdus::{Heard, answer, receipt, refusal, submit, submit_text};
use super::rig::{Rig, config};
use crate::carrier::settings::OnStatus;
use crate::config::Config;
use crate::counters::Reason;
use crate::ids::LinkId;
use crate::route::settings::{EjectSettings, OnUnknown};
use crate::smpp::command::CommandId;
use crate::smpp::sm::Sm;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

const TRANSIENT: CommandStatus = CommandStatus::SYSTEM_ERROR;

/// One account, carriers with one session each; the links of all.
fn up(config: Config) -> (Rig, LinkId, Vec<LinkId>) {
    let count = config.carriers.len();
    let mut rig = Rig::up(config);
    let link = rig.trx("acme");
    let carriers = (0..count).map(|carrier| rig.carrier(carrier)).collect();
    (rig, link, carriers)
}

/// The one carrier that has a request, and the request.
fn who_has(rig: &mut Rig, carriers: &[LinkId]) -> (LinkId, Heard) {
    let mut found: Vec<(LinkId, Heard)> = Vec::new();
    for &carrier in carriers {
        found.extend(rig.heard(carrier).into_iter().map(|heard| (carrier, heard)));
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn nobody_has(rig: &mut Rig, carriers: &[LinkId]) {
    for &carrier in carriers {
        rig.silent(carrier);
    }
}

#[test]
fn a_transient_refusal_goes_to_another_carrier_and_the_esme_hears_that_ones_answer() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha", "beta"]));
    rig.send(link, &submit("38267000001", 7));
    let (first, request) = who_has(&mut rig, &carriers);
    rig.send(first, &refusal(&request, TRANSIENT));
    rig.silent(link);
    let (second, again) = who_has(&mut rig, &carriers);
    assert_ne!(first, second);
    assert_eq!(request.0[16..], again.0[16..], "the same message");
    rig.send(second, &answer(&again, "id-2"));
    let answered = rig.one(link);
    assert_eq!((answered.status(), answered.sequence()), (CommandStatus::OK, 7));
    rig.assert_settled();
}

#[test]
fn a_permanent_refusal_is_the_answer_and_nobody_else_is_asked() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha", "beta"]));
    for status in [CommandStatus::INVALID_DESTINATION, CommandStatus(0x0451), CommandStatus::SUBMIT_FAILED] {
        rig.send(link, &submit("38267000001", 7));
        let (at, request) = who_has(&mut rig, &carriers);
        rig.send(at, &refusal(&request, status));
        assert_eq!(rig.one(link).status(), status);
        nobody_has(&mut rig, &carriers);
    }
    rig.assert_settled();
}

#[test]
fn when_every_carrier_refuses_the_last_refusal_is_the_answer() {
    let mut config = config(&["acme"], &["alpha", "beta", "gamma", "delta"]);
    config.esmes[0].attempts_max = 3;
    let (mut rig, link, carriers) = up(config);
    rig.send(link, &submit("38267000001", 7));
    let statuses = [TRANSIENT, CommandStatus::QUEUE_FULL, CommandStatus::RECEIVER_TEMPORARY];
    let mut asked = Vec::new();
    for status in statuses {
        let (at, request) = who_has(&mut rig, &carriers);
        asked.push(at);
        rig.send(at, &refusal(&request, status));
    }
    assert_eq!(rig.one(link).status(), CommandStatus::RECEIVER_TEMPORARY);
    nobody_has(&mut rig, &carriers);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 3, "each once");
    rig.assert_settled();
}

#[test]
fn one_attempt_is_one_attempt() {
    let mut config = config(&["acme"], &["alpha", "beta"]);
    config.esmes[0].attempts_max = 1;
    let (mut rig, link, carriers) = up(config);
    rig.send(link, &submit("38267000001", 7));
    let (at, request) = who_has(&mut rig, &carriers);
    rig.send(at, &refusal(&request, TRANSIENT));
    assert_eq!(rig.one(link).status(), TRANSIENT);
    rig.assert_settled();
}

#[test]
fn no_attempt_starts_that_could_not_finish_in_time() {
    // answer_timeout 20 s, response_timeout 8 s: after 12 s nothing new begins.
    for (seconds, retried) in [(11, true), (13, false)] {
        let mut config = config(&["acme"], &["alpha", "beta"]);
        for carrier in &mut config.carriers {
            carrier.response_timeout = Duration::from_secs(8);
        }
        config.carriers[0].response_timeout = Duration::from_secs(15);
        config.pools[0].members.truncate(1);
        let mut late = config.clone();
        late.pools[0].members.push(super::rig::member(1, 1));
        late.pools[0].members[1].tier = 2;
        let (mut rig, link, carriers) = up(late);
        rig.send(link, &submit("38267000001", 7));
        let (at, request) = who_has(&mut rig, &carriers);
        rig.advance(Duration::from_secs(seconds));
        rig.send(at, &refusal(&request, TRANSIENT));
        if retried {
            let (second, again) = who_has(&mut rig, &carriers);
            rig.send(second, &answer(&again, "x"));
            assert_eq!(rig.one(link).status(), CommandStatus::OK);
        } else {
            assert_eq!(rig.one(link).status(), TRANSIENT);
        }
        rig.assert_settled();
    }
}

#[test]
fn an_esme_that_has_gone_starts_no_other_attempt() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha", "beta"]));
    rig.send(link, &submit("38267000001", 7));
    let (at, request) = who_has(&mut rig, &carriers);
    rig.reset(link);
    rig.send(at, &refusal(&request, TRANSIENT));
    nobody_has(&mut rig, &carriers);
    rig.assert_settled();
}

#[test]
fn the_operators_word_on_a_status_comes_before_its_class() {
    let mut config = config(&["acme"], &["alpha", "beta"]);
    for carrier in &mut config.carriers {
        carrier.on_status = vec![(TRANSIENT, OnStatus::Fail), (CommandStatus(0x0400), OnStatus::Next)];
    }
    let (mut rig, link, carriers) = up(config);
    rig.send(link, &submit("38267000001", 7));
    let (at, request) = who_has(&mut rig, &carriers);
    rig.send(at, &refusal(&request, TRANSIENT));
    assert_eq!(rig.one(link).status(), TRANSIENT);
    rig.send(link, &submit("38267000001", 8));
    let (at, request) = who_has(&mut rig, &carriers);
    rig.send(at, &refusal(&request, CommandStatus(0x0400)));
    rig.silent(link);
    let (second, again) = who_has(&mut rig, &carriers);
    rig.send(second, &answer(&again, "x"));
    assert_eq!(rig.one(link).status(), CommandStatus::OK);
    rig.assert_settled();
}

#[test]
fn a_throttled_submit_stays_at_the_head_and_keeps_its_order() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    config.carriers[0].burst = 5;
    let (mut rig, link, carriers) = up(config);
    for sequence in 1..=5 {
        rig.send(link, &submit_text("38267000001", sequence, &format!("text {sequence}"), 0));
    }
    let first = rig.heard(carriers[0]);
    assert_eq!(first.len(), 5);
    for request in &first {
        rig.send(carriers[0], &refusal(request, CommandStatus::THROTTLED));
    }
    rig.silent(link);
    for sequence in 6..=8 {
        rig.send(link, &submit_text("38267000001", sequence, &format!("text {sequence}"), 0));
    }
    let mut seen = Vec::new();
    for _ in 0..200 {
        rig.advance(Duration::from_millis(20));
        for request in rig.heard(carriers[0]) {
            seen.push(request.text());
            rig.send(carriers[0], &answer(&request, &seen.len().to_string()));
        }
    }
    let wanted: Vec<_> = (1..=8).map(|sequence| format!("text {sequence}")).collect();
    assert_eq!(seen, wanted);
    let answers = rig.heard(link);
    assert!(answers.len() == 8 && answers.iter().all(|heard| heard.status() == CommandStatus::OK));
    rig.assert_settled();
}

#[test]
fn a_submit_that_is_throttled_until_its_time_is_over_is_answered_throttled() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha"]));
    rig.send(link, &submit("38267000001", 7));
    for _ in 0..2000 {
        for request in rig.heard(carriers[0]) {
            if request.command() == CommandId::SUBMIT_SM {
                rig.send(carriers[0], &refusal(&request, CommandStatus::THROTTLED));
            } else {
                rig.send(carriers[0], &refusal(&request, CommandStatus::OK));
            }
        }
        rig.advance(Duration::from_millis(20));
    }
    let mut answers = rig.heard(link);
    answers.retain(|heard| heard.command() == CommandId::SUBMIT_SM_RESP);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].status(), CommandStatus::THROTTLED);
    rig.assert_settled();
}

#[test]
fn a_status_that_says_the_session_is_wrong_moves_the_message_and_ends_the_session() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha", "beta"]));
    rig.send(link, &submit("38267000001", 7));
    let (first, request) = who_has(&mut rig, &carriers);
    rig.send(first, &refusal(&request, CommandStatus::INVALID_BIND_STATUS));
    rig.silent(link);
    let heard: Vec<_> = carriers.iter().flat_map(|&at| rig.heard(at)).collect();
    let submits = heard.iter().filter(|heard| heard.command() == CommandId::SUBMIT_SM).count();
    let unbinds = heard.iter().filter(|heard| heard.command() == CommandId::UNBIND).count();
    assert_eq!((submits, unbinds), (1, 1));
}

#[test]
fn a_lost_submit_fails_or_is_sent_again_as_the_pool_says() {
    for (on_unknown, resent) in [(OnUnknown::Fail, false), (OnUnknown::Resend, true)] {
        let mut config = config(&["acme"], &["alpha", "beta"]);
        config.pools[0].on_unknown = on_unknown;
        let (mut rig, link, carriers) = up(config);
        rig.send(link, &submit("38267000001", 7));
        let (first, request) = who_has(&mut rig, &carriers);
        rig.reset(first);
        let other: Vec<_> = carriers.iter().copied().filter(|&at| at != first).collect();
        if resent {
            rig.silent(link);
            let (second, again) = who_has(&mut rig, &other);
            assert_eq!(request.0[16..], again.0[16..]);
            rig.send(second, &answer(&again, "x"));
            assert_eq!(rig.one(link).status(), CommandStatus::OK);
        } else {
            nobody_has(&mut rig, &other);
            assert_eq!(rig.one(link).status(), CommandStatus::SUBMIT_FAILED);
            assert_eq!(rig.refusals(0, Reason::Unknown), 1);
        }
        rig.assert_settled();
    }
}

#[test]
fn a_receipt_of_a_message_that_was_accepted_too_late_finds_its_account() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha"]));
    rig.send(link, &submit_text("38267000001", 7, "x", 1));
    let (at, request) = who_has(&mut rig, &carriers);
    rig.advance(Duration::from_secs(9));
    assert_eq!(rig.one(link).status(), CommandStatus::SUBMIT_FAILED);
    rig.heard(at);
    rig.send(at, &answer(&request, "late-1"));
    rig.silent(link);
    rig.send(at, &receipt("late-1", "38267000001", 1));
    let delivered = rig.one(link);
    assert_eq!(delivered.command(), CommandId::DELIVER_SM);
    rig.send(link, &refusal(&delivered, CommandStatus::OK));
    assert_eq!(rig.one(at).status(), CommandStatus::OK);
    rig.assert_settled();
}

/// A part of a long message, in an 8-bit concatenation header.
pub(super) fn part(sequence: u32, reference: u8, total: u8, number: u8) -> Vec<u8> {
    let whole = submit("38267000001", sequence);
    let pdu = crate::smpp::frame::Pdu::whole(&whole).unwrap();
    let mut sm = Sm::parse_submit(&pdu).unwrap();
    let text = [5, 0, 3, reference, total, number, b'x'];
    sm.content.esm_class |= 0x40;
    sm.content.short_message = &text;
    let mut octets = Vec::new();
    sm.write(&mut octets, CommandId::SUBMIT_SM, sequence);
    octets
}

#[test]
fn the_parts_of_a_message_take_one_carrier_over_several_binds() {
    let mut config = config(&["acme"], &["alpha", "beta", "gamma"]);
    config.esmes[0].sessions_max = 8;
    let (mut rig, first, carriers) = up(config);
    let links = [first, rig.trx("acme"), rig.trx("acme")];
    for reference in 0..60u8 {
        let mut taken = Vec::new();
        for number in 1..=3u8 {
            let link = links[usize::from(number + reference) % 3];
            rig.send(link, &part(u32::from(reference) * 10 + u32::from(number), reference, 3, number));
            let (at, request) = who_has(&mut rig, &carriers);
            taken.push(at);
            rig.send(at, &answer(&request, &format!("{reference}-{number}")));
        }
        assert!(taken.iter().all(|&at| at == taken[0]), "message {reference}");
    }
}

#[test]
fn a_message_moves_only_while_none_of_its_parts_was_accepted() {
    let (mut rig, link, carriers) = up(config(&["acme"], &["alpha", "beta"]));
    rig.send(link, &part(1, 9, 2, 1));
    let (first, request) = who_has(&mut rig, &carriers);
    rig.send(first, &refusal(&request, TRANSIENT));
    let (second, again) = who_has(&mut rig, &carriers);
    assert_ne!(first, second, "no part was sent yet");
    rig.send(second, &answer(&again, "a"));
    assert_eq!(rig.one(link).status(), CommandStatus::OK);
    rig.send(link, &part(2, 9, 2, 2));
    let (third, request) = who_has(&mut rig, &carriers);
    assert_eq!(second, third);
    rig.send(third, &refusal(&request, TRANSIENT));
    nobody_has(&mut rig, &[first]);
}

#[test]
fn a_part_that_waits_is_not_sent_when_another_has_failed() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].window_max = 1;
    let (mut rig, link, carriers) = up(config);
    rig.send(link, &[part(1, 9, 2, 1), part(2, 9, 2, 2)].concat());
    let (at, request) = who_has(&mut rig, &carriers);
    rig.send(at, &refusal(&request, CommandStatus::INVALID_DESTINATION));
    if rig.shards.len() > 1 {
        // It was given to the carrier's home at once, which knows nothing of the other part.
        let (at, request) = who_has(&mut rig, &carriers);
        return rig.send(at, &answer(&request, "late"));
    }
    nobody_has(&mut rig, &carriers);
    let answers = rig.heard(link).iter().map(|heard| (heard.sequence(), heard.status())).collect::<Vec<_>>();
    assert_eq!(answers, [(1, CommandStatus::INVALID_DESTINATION), (2, CommandStatus::SYSTEM_ERROR)]);
    rig.assert_settled();
}

#[test]
fn a_carrier_whose_errors_pass_the_limit_gets_nothing_for_a_while() {
    let mut config = config(&["acme"], &["alpha", "beta"]);
    config.pools[0].eject = Some(EjectSettings {
        errors_percent: 30,
        over: Duration::from_secs(10),
        for_time: Duration::from_secs(30),
    });
    let (mut rig, link, carriers) = up(config);
    let mut at_alpha = [0; 2];
    for sequence in 1..=2000u32 {
        rig.send(link, &submit("38267000001", sequence));
        while rig.heard(link).is_empty() {
            let (at, request) = who_has(&mut rig, &carriers);
            let bad = at == carriers[0];
            at_alpha[usize::from(sequence > 1500)] += u32::from(bad);
            rig.send(at, &if bad { refusal(&request, TRANSIENT) } else { answer(&request, "x") });
        }
        rig.advance(Duration::from_millis(2));
    }
    assert_eq!(at_alpha[0], 20, "{at_alpha:?}");
    assert_eq!(at_alpha[1], 0, "{at_alpha:?}");
}
