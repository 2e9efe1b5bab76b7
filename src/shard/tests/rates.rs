//! An account's rate over all its sessions: never more than was said, a long message whole or not at all.

use super::failover::part;
use super::pdus::{Heard, answer, header, multi, submit_text};
use super::rig::{Rig, config};
use crate::config::Config;
use crate::counters::Reason;
use crate::ids::{LinkId, PolicyId};
use crate::policy::Settings;
use crate::prng::Prng;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

/// These accounts, each held to so many in a second; the carrier never is the limit.
fn held(esmes: &[&str], units: u64, burst: u32) -> Config {
    let mut config = config(esmes, &["alpha"]);
    let rate = Some(Rate { units, per: Duration::from_secs(1) });
    config.policies = vec![Settings { name: "standard".into(), rate, burst }];
    for esme in &mut config.esmes {
        esme.policy = Some(PolicyId(0));
        esme.window_max = 1000;
    }
    config.carriers[0].window_max = 1000;
    config
}

fn plain(sequence: u32) -> Vec<u8> {
    submit_text("38267000001", sequence, "hi", 0)
}

/// Sends these, has the carrier accept what came to it, and gives what the account was answered, by sequence number.
fn exchange(rig: &mut Rig, link: LinkId, octets: &[u8]) -> Vec<(u32, CommandStatus)> {
    let alpha = rig.carrier(0);
    rig.send(link, octets);
    let given: Vec<u8> = rig.heard(alpha).iter().flat_map(|request: &Heard| answer(request, "7")).collect();
    rig.send(alpha, &given);
    let mut answers: Vec<_> =
        rig.heard(link).iter().map(|heard| (heard.sequence(), heard.status())).collect();
    answers.sort_unstable_by_key(|(sequence, _)| *sequence);
    answers
}

/// How many of these are accepted; all others must be throttled.
fn accepted(rig: &mut Rig, link: LinkId, octets: &[u8]) -> usize {
    let answers = exchange(rig, link, octets);
    let ok = answers.iter().filter(|(_, status)| *status == CommandStatus::OK).count();
    let throttled = answers.iter().filter(|(_, status)| *status == CommandStatus::THROTTLED).count();
    assert_eq!(ok + throttled, answers.len());
    ok
}

fn stream(count: u32) -> Vec<u8> {
    (1..=count).flat_map(plain).collect()
}

#[test]
fn over_the_burst_is_throttled_and_counted_until_the_rate_has_passed() {
    let mut rig = Rig::up(held(&["acme"], 10, 3));
    let link = rig.trx("acme");
    let ok = CommandStatus::OK;
    let no = CommandStatus::THROTTLED;
    assert_eq!(exchange(&mut rig, link, &stream(5)), [(1, ok), (2, ok), (3, ok), (4, no), (5, no)]);
    assert_eq!(rig.refusals(0, Reason::Rate), 2);
    rig.advance(Duration::from_millis(99));
    assert_eq!(accepted(&mut rig, link, &plain(6)), 0);
    rig.advance(Duration::from_millis(1));
    assert_eq!(accepted(&mut rig, link, &stream(2)), 1);
    rig.advance(Duration::from_secs(3));
    assert_eq!(accepted(&mut rig, link, &stream(9)), 3, "rest earns no more than the burst");
    rig.assert_settled();
}

#[test]
fn all_sessions_of_an_account_share_its_bucket_and_no_other_account_does() {
    let mut config = held(&["acme", "bank", "free"], 10, 3);
    config.esmes[2].policy = None;
    let mut rig = Rig::up(config);
    let (one, two) = (rig.trx("acme"), rig.trx("acme"));
    let (bank, free) = (rig.trx("bank"), rig.trx("free"));
    assert_eq!(accepted(&mut rig, one, &stream(2)), 2);
    assert_eq!(accepted(&mut rig, two, &stream(2)), 1);
    assert_eq!(accepted(&mut rig, bank, &stream(5)), 3);
    assert_eq!(accepted(&mut rig, free, &stream(50)), 50);
    rig.reset(one);
    let again = rig.trx("acme");
    assert_eq!(accepted(&mut rig, again, &stream(2)), 0, "a new session brings nothing with it");
    assert_eq!([0, 1, 2].map(|esme| rig.refusals(esme, Reason::Rate)), [3, 2, 0]);
}

#[test]
fn a_long_message_is_refused_whole_or_not_at_all() {
    let mut rig = Rig::up(held(&["acme"], 10, 5));
    let (one, two) = (rig.trx("acme"), rig.trx("acme"));
    assert_eq!(accepted(&mut rig, one, &part(1, 7, 3, 2)), 1, "whichever comes first");
    assert_eq!(accepted(&mut rig, one, &part(2, 8, 3, 1)), 0, "three are not left");
    assert_eq!(accepted(&mut rig, one, &stream(3)), 2);
    assert_eq!(accepted(&mut rig, two, &part(3, 7, 3, 3)), 1);
    assert_eq!(accepted(&mut rig, one, &part(4, 7, 3, 1)), 1);
    assert_eq!(accepted(&mut rig, one, &part(5, 8, 3, 2)), 0);
    rig.advance(Duration::from_millis(300));
    for (sequence, number) in [(6, 1), (7, 2), (8, 3)] {
        assert_eq!(accepted(&mut rig, two, &part(sequence, 8, 3, number)), 1);
    }
    assert_eq!(accepted(&mut rig, two, &part(9, 8, 3, 1)), 0, "once more is another message");
    rig.assert_settled();
}

#[test]
fn a_part_that_comes_again_is_not_free() {
    let mut rig = Rig::up(held(&["acme"], 1, 3));
    let link = rig.trx("acme");
    let many: Vec<u8> = (1..=20).flat_map(|sequence| part(sequence, 7, 3, 1)).collect();
    assert_eq!(accepted(&mut rig, link, &many), 3);
}

#[test]
fn a_message_longer_than_the_burst_passes_from_rest_and_is_paid_for_afterwards() {
    let mut rig = Rig::up(held(&["acme"], 10, 2));
    let link = rig.trx("acme");
    assert_eq!(accepted(&mut rig, link, &plain(1)), 1);
    assert_eq!(accepted(&mut rig, link, &part(2, 7, 6, 1)), 0);
    rig.advance(Duration::from_millis(100));
    let parts: Vec<u8> = (1..=6).flat_map(|number| part(u32::from(number), 7, 6, number)).collect();
    assert_eq!(accepted(&mut rig, link, &parts), 6);
    rig.advance(Duration::from_millis(499));
    assert_eq!(accepted(&mut rig, link, &plain(8)), 0, "four are owed");
    rig.advance(Duration::from_millis(1));
    assert_eq!(accepted(&mut rig, link, &plain(9)), 1);
}

#[test]
fn a_first_part_that_is_refused_otherwise_costs_no_more_than_itself() {
    let mut config = held(&["acme"], 1, 5);
    config.esmes[0].pool = None;
    let mut rig = Rig::up(config);
    let link = rig.trx("acme");
    for sequence in 1..=3 {
        rig.send(link, &part(sequence, 7, 3, 1));
        assert_eq!(rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
    }
    rig.send(link, &part(4, 7, 3, 1));
    assert_eq!(rig.one(link).status(), CommandStatus::THROTTLED, "two are left");
    rig.send(link, &plain(5));
    assert_eq!(rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
}

#[test]
fn a_submit_multi_takes_one_for_each_destination_or_none() {
    let mut rig = Rig::up(held(&["acme"], 1, 5));
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &multi(&["3811", "3812", "3813"], 1));
    assert_eq!(rig.one(alpha).command(), CommandId::SUBMIT_MULTI);
    rig.send(link, &multi(&["3811", "3812", "3813"], 2));
    rig.silent(alpha);
    let refused = rig.one(link);
    assert_eq!((refused.command(), refused.sequence()), (CommandId::SUBMIT_MULTI_RESP, 2));
    assert_eq!(refused.status(), CommandStatus::THROTTLED);
    assert_eq!(accepted(&mut rig, link, &stream(3)), 2);
}

#[test]
fn what_is_no_submit_is_not_counted() {
    let mut rig = Rig::up(held(&["acme"], 1, 1));
    let link = rig.trx("acme");
    for sequence in 1..=5 {
        rig.send(link, &header(CommandId::ENQUIRE_LINK, CommandStatus::OK, sequence));
        assert_eq!(rig.one(link).status(), CommandStatus::OK);
    }
    rig.send(link, &submit_text("", 6, "nowhere", 0));
    assert_eq!(rig.one(link).status(), CommandStatus::INVALID_DESTINATION);
    assert_eq!(accepted(&mut rig, link, &stream(2)), 1);
}

#[test]
fn whatever_is_sent_when_passes_if_rate_and_burst_allow_it_and_else_not() {
    for seed in 0..40 {
        let mut prng = Prng::new(seed);
        let (rate, burst) = (1 + prng.below(200), 4 + prng.below(40));
        let mut rig = Rig::up(held(&["acme"], rate, burst as u32));
        let links = [rig.trx("acme"), rig.trx("acme")];
        // What may pass, counted apart.
        let mut left = burst as f64;
        let mut refused = 0;
        for reference in 0..200u8 {
            let pause = prng.below(60);
            rig.advance(Duration::from_millis(pause));
            left = (left + (pause * rate) as f64 / 1000.0).min(burst as f64);
            let total = 1 + prng.below(4) as u8;
            let mut all = 0;
            for number in 1..=total {
                let octets = match total {
                    1 => plain(1),
                    _ => part(u32::from(number), reference, total, number),
                };
                all += accepted(&mut rig, links[prng.below(2) as usize], &octets);
            }
            if all == 0 {
                refused += 1;
                assert!(left < f64::from(total) + 1e-3, "seed {seed}: {left} were left for {total}");
                continue;
            }
            assert_eq!(all, usize::from(total), "seed {seed}: a message was cut");
            left -= f64::from(total);
            assert!(left > -1e-3, "seed {seed}: {} over the rate", -left);
        }
        assert!(refused < 200, "seed {seed}");
    }
}
