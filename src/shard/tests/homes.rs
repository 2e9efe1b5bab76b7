//! Everything that is true on one shard is true when accounts and carriers are at home on different ones.

use super::journal::Kept;
use super::pdus::{Heard, answer, bind, header, receipt, submit, submit_text};
use super::rig::{Rig, config};
use super::store::stored;
use crate::config::{Config, Homes};
use crate::counters::{Match, Reason};
use crate::ids::ShardId;
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

/// Runs the tests of this room again, each in a rig of so many shards.
fn again(shards: &str) {
    if std::env::var_os("RIG_SHARDS").is_some() {
        return;
    }
    let tests = std::env::current_exe().unwrap();
    let done = std::process::Command::new(tests)
        .args(["shard::tests::", "--quiet"])
        .env("RIG_SHARDS", shards)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(passed.and_then(|passed| passed.parse().ok()).is_some_and(|passed: u32| passed > 100), "{said}");
}

#[test]
fn all_of_it_holds_with_every_account_apart_from_every_carrier() {
    again("2");
}

#[test]
fn all_of_it_holds_over_three_shards() {
    again("3");
}

#[test]
fn a_bind_with_all_that_follows_it_is_answered_at_its_home_wherever_it_is_cut() {
    let mut whole = bind("acme", "secret", BindKind::Transceiver, 0x34);
    whole.extend(submit("38267000001", 2));
    whole.extend(header(CommandId::ENQUIRE_LINK, CommandStatus::OK, 3));
    for cut in 0..=whole.len() {
        let mut rig = Rig::up(config(&["acme"], &["alpha"]));
        let (link, alpha) = (rig.accept(), rig.carrier(0));
        rig.send(link, &whole[..cut]);
        rig.send(link, &whole[cut..]);
        let heard = rig.heard(link);
        let commands: Vec<_> = heard.iter().map(|heard| (heard.command(), heard.sequence())).collect();
        let bound = (CommandId::BIND_TRANSCEIVER_RESP, heard[0].sequence());
        assert_eq!(commands, [bound, (CommandId::ENQUIRE_LINK_RESP, 3)], "cut at {cut}");
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, "a1"));
        let accepted = rig.one(link);
        assert_eq!((accepted.status(), accepted.sequence()), (CommandStatus::OK, 2), "cut at {cut}");
        rig.assert_settled();
    }
}

/// Stored messages of two accounts, one at home with the carrier: each takes its turn, whoever is nearer.
fn take_turns(config: Config, pass: impl Fn(&mut Kept)) {
    let homes = Homes::fixed(2, vec![ShardId(0), ShardId(1)], vec![ShardId(0)]);
    let mut kept = Kept::on(Rig::placed(config, 1, homes, 100), Vec::new(), |_, _| ());
    let (acme, bank, alpha) = (kept.rig.trx("acme"), kept.rig.trx("bank"), kept.rig.carrier(0));
    for sequence in 0..120 {
        for (link, text) in [(acme, "acme"), (bank, "bank")] {
            kept.taken(link, &submit_text(&format!("38267{sequence}"), sequence + 2, text, 0));
        }
    }
    let mut given = Vec::new();
    for _ in 0..400 {
        let more = kept.given(0);
        more.iter().for_each(|request| kept.rig.send(alpha, &answer(request, "")));
        given.extend(more.iter().map(Heard::text));
        pass(&mut kept);
    }
    assert_eq!(given.len(), 240);
    let banks = given[..120].iter().filter(|text| *text == "bank").count();
    assert!((48..=72).contains(&banks), "{banks} of the first 120 are from another shard: {given:?}");
    kept.settled();
}

fn two_that_store() -> Config {
    let mut config = stored(&["alpha"]);
    let mut bank = config.esmes[0].clone();
    (bank.name, bank.system_id) = ("bank".into(), b"bank".to_vec());
    config.esmes.push(bank);
    config
}

#[test]
fn stored_messages_of_another_shard_have_their_turn_where_the_window_is_full() {
    let mut config = two_that_store();
    config.carriers[0].window_max = 4;
    take_turns(config, |_| ());
}

#[test]
fn and_where_the_rate_is_used_up() {
    let mut config = two_that_store();
    config.carriers[0].rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    take_turns(config, |kept| kept.pass(Duration::from_millis(10)));
}

const NUMBER: &str = "38267000001";

/// The accounts on shards of their own, the carriers on the first.
fn apart(config: Config, credits: u32) -> Rig {
    let esmes: Vec<_> = (0..config.esmes.len()).map(|at| ShardId::new(at + 1)).collect();
    let homes = Homes::fixed(esmes.len() + 1, esmes, vec![ShardId(0); config.carriers.len()]);
    Rig::placed(config, 1, homes, credits)
}

#[test]
fn without_a_credit_a_message_is_refused_and_the_reply_brings_the_credit_back() {
    let mut rig = apart(config(&["acme"], &["alpha"]), 1).with_carriers();
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &[submit(NUMBER, 2), submit(NUMBER, 3)].concat());
    let refused = rig.one(link);
    assert_eq!((refused.sequence(), refused.status()), (3, CommandStatus::QUEUE_FULL));
    assert_eq!(rig.refusals(0, Reason::QueueFull), 1);
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "a1"));
    assert_eq!(rig.one(link).status(), CommandStatus::OK);
    rig.send(link, &submit(NUMBER, 4));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "a2"));
    assert_eq!(rig.one(link).status(), CommandStatus::OK);
    rig.assert_settled();
}

#[test]
fn a_receipt_without_a_credit_stays_with_its_carrier() {
    let mut rig = apart(config(&["acme"], &["alpha"]), 1).with_carriers();
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    for (sequence, id) in [(2, "a1"), (3, "a2")] {
        rig.send(link, &submit_text(NUMBER, sequence, "hi", 1));
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, id));
    }
    rig.heard(link);
    rig.send(alpha, &[receipt("a1", NUMBER, 8), receipt("a2", NUMBER, 9)].concat());
    let refused = rig.one(alpha);
    assert_eq!((refused.sequence(), refused.status()), (9, CommandStatus::RECEIVER_TEMPORARY));
    let delivered = rig.one(link);
    rig.send(link, &header(CommandId::DELIVER_SM_RESP, CommandStatus::OK, delivered.sequence()));
    assert_eq!((rig.one(alpha).sequence(), rig.receipts(0, Match::Matched)), (8, 1));
    rig.send(alpha, &receipt("a2", NUMBER, 10));
    let delivered = rig.one(link);
    rig.send(link, &header(CommandId::DELIVER_SM_RESP, CommandStatus::OK, delivered.sequence()));
    assert_eq!((rig.one(alpha).status(), rig.receipts(0, Match::Matched)), (CommandStatus::OK, 2));
    rig.assert_settled();
}

#[test]
fn what_waits_for_a_session_that_is_gone_is_not_sent_elsewhere_either() {
    let mut rig = apart(config(&["acme"], &["alpha"]), 100);
    let link = rig.trx("acme");
    rig.send(link, &submit(NUMBER, 2));
    rig.silent(link);
    rig.reset(link);
    rig.carrier_up(0);
    let alpha = rig.carrier(0);
    rig.silent(alpha);
    assert_eq!(rig.refusals(0, Reason::NoCarrier), 1);
    rig.assert_settled();
}

#[test]
fn what_a_hint_promised_too_often_comes_back_and_is_answered_once() {
    let mut config = config(&["acme", "bank"], &["alpha"]);
    config.carriers[0].window_max = 2;
    config.carriers[0].queue_max = 3;
    let mut rig = apart(config, 100).with_carriers();
    let (one, two) = (rig.trx("acme"), rig.trx("bank"));
    rig.holds_mail = true;
    for link in [one, two] {
        for sequence in 2..=6 {
            rig.send(link, &submit(NUMBER, sequence));
        }
        rig.silent(link);
    }
    rig.deliver_mail();
    rig.silent(one);
    let refused = rig.heard(two);
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|heard| heard.status() == CommandStatus::QUEUE_FULL));
    let alpha = rig.carrier(0);
    for _ in 0..5 {
        for request in rig.heard(alpha) {
            rig.send(alpha, &answer(&request, &format!("a{}", request.sequence())));
        }
    }
    assert_eq!(rig.heard(one).len(), 5, "each is answered");
    rig.assert_settled();
}
