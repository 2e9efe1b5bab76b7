//! A flood of binds, of connects, of silence: who is sent away, and what it costs the others.

use super::pdus::{answer, bind, header, receipt, submit};
use super::rig::{Rig, config};
use crate::counters::{Dropped, Reason, TurnedAway};
use crate::esme::settings::AddressBlock;
use crate::limits::REFUSALS_HELD_MAX;
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

const TRX: BindKind = BindKind::Transceiver;

fn turned_away(rig: &Rig, reason: TurnedAway) -> u64 {
    rig.sum(|counters| counters.turned_away.at(reason as usize).get())
}

fn dropped(rig: &Rig, reason: Dropped) -> u64 {
    rig.sum(|counters| counters.dropped.at(reason as usize).get())
}

/// So many wrong binds from an address, each answered.
fn fail(rig: &mut Rig, from: &str, account: &str, times: usize) {
    for _ in 0..times {
        let link = rig.accept_from(from);
        rig.send(link, &bind(account, "wrong", TRX, 0x34));
        rig.advance(Duration::from_secs(8));
        assert_eq!(rig.one(link).status(), CommandStatus::INVALID_PASSWORD);
    }
}

#[test]
fn an_address_that_guesses_is_banned_from_every_listener_and_let_in_again() {
    let mut config = config(&["acme"], &["alpha"]);
    let mut second = config.listeners[0].clone();
    second.address = "192.0.2.11:2775".parse().unwrap();
    config.listeners.push(second);
    for listener in &mut config.listeners {
        listener.admission.ban.failures = 5;
    }
    let mut rig = Rig::up(config);
    let bound = rig.trx("acme");
    fail(&mut rig, "10.0.0.9:1", "acme", 3);
    fail(&mut rig, "10.0.0.9:2", "nobody", 2);
    for listener in [0, 1] {
        let link = rig.accept_at(listener, "10.0.0.9:7");
        assert!(!rig.is_open(link), "listener {listener}");
    }
    assert_eq!((turned_away(&rig, TurnedAway::Banned), rig.events_named("address_banned")), (2, 1));
    let other = rig.accept_from("10.0.0.8:1");
    rig.send(other, &bind("acme", "secret", TRX, 0x34));
    assert_eq!(rig.one(other).status(), CommandStatus::OK);
    assert!(rig.is_open(bound));
    assert!(rig.all(|counters| counters.bans.get() == 1), "every shard knows it");
    rig.advance(Duration::from_secs(601));
    assert!(rig.all(|counters| counters.bans.get() == 0));
    let again = rig.accept_from("10.0.0.9:9");
    assert!(rig.is_open(again));
}

#[test]
fn an_exempt_address_is_never_banned_and_is_answered_later_each_time() {
    let mut config = config(&["acme"], &["alpha"]);
    let never = vec![AddressBlock { address: "10.0.0.0".parse().unwrap(), prefix_len: 24 }];
    config.listeners[0].admission.ban.failures = 2;
    config.listeners[0].admission.ban.never = never;
    let mut rig = Rig::new(config);
    let waits = [1, 1, 1, 2, 4, 8, 8].map(Duration::from_secs);
    for wait in waits {
        let link = rig.accept_from("10.0.0.9:1");
        rig.send(link, &bind("acme", "wrong", TRX, 0x34));
        rig.advance(wait - Duration::from_millis(1));
        rig.silent(link);
        rig.advance(Duration::from_millis(1));
        assert_eq!(rig.one(link).status(), CommandStatus::INVALID_PASSWORD, "{wait:?}");
    }
}

#[test]
fn what_is_no_bind_counts_as_a_wrong_one() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].admission.ban.failures = 2;
    let mut rig = Rig::new(config);
    let scanner = rig.accept_from("10.0.0.9:1");
    rig.send(scanner, b"GET / HTTP/1.1\r\n");
    let cut = rig.accept_from("10.0.0.9:2");
    rig.send(cut, &header(CommandId::BIND_TRANSCEIVER, CommandStatus::OK, 1));
    let third = rig.accept_from("10.0.0.9:3");
    assert!(!rig.is_open(third));
}

#[test]
fn wrong_binds_over_the_bound_are_answered_at_once_the_first_first() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].connections_max = 10_000;
    config.listeners[0].connections_per_address = 10_000;
    config.listeners[0].unbound_max = 10_000;
    config.listeners[0].admission.ban.failures = 0;
    let mut rig = Rig::new(config);
    let links: Vec<_> = (0..REFUSALS_HELD_MAX + 1)
        .map(|_| {
            let link = rig.accept();
            rig.send(link, &bind("nobody", "wrong", TRX, 0x34));
            link
        })
        .collect();
    assert_eq!(rig.one(links[0]).status(), CommandStatus::INVALID_PASSWORD);
    rig.silent(links[1]);
    assert_eq!(rig.sum(|counters| counters.refusals_held.get()), REFUSALS_HELD_MAX as u64);
    rig.reset(links[1]);
    assert_eq!(rig.sum(|counters| counters.refusals_held.get()), REFUSALS_HELD_MAX as u64 - 1);
    rig.advance(Duration::from_secs(8));
    assert_eq!(rig.sum(|counters| counters.refusals_held.get()), 0);
    assert!(links[2..].iter().all(|link| !rig.is_open(*link)));
}

#[test]
fn an_address_over_its_rate_is_turned_away_and_others_are_not() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].admission.bind_rate = Some(Rate { units: 1, per: Duration::from_secs(1) });
    config.listeners[0].admission.burst = 3;
    let mut rig = Rig::new(config);
    let open = |rig: &mut Rig, from: &str| {
        let link = rig.accept_from(from);
        rig.is_open(link)
    };
    let first: Vec<bool> = (0..4).map(|_| open(&mut rig, "10.0.0.1:1")).collect();
    assert_eq!(first, [true, true, true, false]);
    assert!(open(&mut rig, "10.0.0.2:1"));
    rig.advance(Duration::from_secs(1));
    assert!(open(&mut rig, "10.0.0.1:1") && !open(&mut rig, "10.0.0.1:1"));
    assert_eq!(turned_away(&rig, TurnedAway::BindRate), 2);
}

#[test]
fn the_link_that_has_not_bound_for_longest_makes_room_and_bound_ones_stay() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].unbound_max = 2;
    let mut rig = Rig::up(config);
    let bound = rig.trx("acme");
    let slow: Vec<_> = (0..3).map(|host| rig.accept_from(&format!("10.0.0.{host}:1"))).collect();
    assert_eq!(slow.iter().map(|link| rig.is_open(*link)).collect::<Vec<_>>(), [false, true, true]);
    let late = rig.accept_from("10.0.0.7:1");
    rig.send(late, &bind("acme", "secret", TRX, 0x34));
    assert_eq!(rig.one(late).status(), CommandStatus::OK);
    assert!(!rig.is_open(slow[1]) && rig.is_open(slow[2]) && rig.is_open(bound));
    assert_eq!((turned_away(&rig, TurnedAway::Unbound), rig.sum(|it| it.unbound.get())), (2, 1));
    rig.reset(slow[2]);
    assert_eq!(rig.sum(|counters| counters.unbound.get()), 0);
}

#[test]
fn ten_thousand_fast_binds_do_not_push_out_a_slow_one() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].unbound_max = 5;
    let mut rig = Rig::up(config);
    let slow = rig.accept();
    for _ in 0..1000 {
        let link = rig.trx("acme");
        rig.reset(link);
    }
    assert!(rig.is_open(slow));
    assert_eq!(rig.sum(|counters| counters.unbound.get()), 1);
}

#[test]
fn a_session_that_answers_no_delivery_is_given_up_and_the_next_one_gets_them() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].unanswered_max = 2;
    config.esmes[0].enquire_link_interval = Duration::from_secs(3600);
    let mut rig = Rig::up(config);
    let (alpha, link) = (rig.carrier(0), rig.trx("acme"));
    let mut enquire = 10;
    for number in 1..=2 {
        rig.send(link, &submit("38267000001", number));
        let relayed = rig.one(alpha);
        rig.send(alpha, &answer(&relayed, &format!("{number}")));
        rig.one(link);
    }
    for number in 1..=2 {
        rig.send(alpha, &receipt(&format!("{number}"), "38267000001", number));
        rig.one(link);
    }
    for _ in 0..30 {
        assert!(rig.is_open(link));
        rig.advance(Duration::from_secs(1));
        enquire += 1;
        rig.send(link, &header(CommandId::ENQUIRE_LINK, CommandStatus::OK, enquire));
        rig.heard(link);
    }
    assert!(!rig.is_open(link));
    assert_eq!(dropped(&rig, Dropped::Unanswered), 1);
}

#[test]
fn a_flood_of_one_reason_leaves_the_log_to_the_others() {
    let mut config = config(&["acme"], &["alpha"]);
    config.listeners[0].admission.ban.failures = 0;
    config.esmes[0].sessions_max = 1;
    let mut rig = Rig::new(config);
    rig.trx("acme");
    for _ in 0..100 {
        let link = rig.accept();
        rig.send(link, &bind("nobody", "wrong", TRX, 0x34));
    }
    let lines = rig.events_named("bind_refused");
    assert!((50..=60).contains(&lines), "{lines}");
    let link = rig.accept();
    rig.send(link, &bind("acme", "secret", TRX, 0x34));
    assert_eq!(rig.one(link).status(), CommandStatus::ALREADY_BOUND);
    assert_eq!(rig.events_named("bind_refused"), lines + 1);
    assert_eq!(rig.sum(|counters| counters.refusals.at(Reason::Credentials as usize).get()), 100);
}
