//! Windows, pace and queues: nothing is lost, nothing overtakes, nobody gets more than was said.

use super::pdus::{answer, header, refusal, submit, submit_text};
use super::rig::{Rig, config, member};
use crate::config::Config;
use crate::counters::Reason;
use crate::esme::settings::WindowOver;
use crate::limits::TAIL_KEPT_MAX;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

/// `count` submits in one stream; the text is the sequence number, from 1.
fn stream(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|n| submit_text("38267000001", n, &n.to_string(), 0)).collect()
}

#[test]
fn a_full_window_pauses_the_link_and_goes_on_in_order() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 3;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &stream(20));
    let mut flying = rig.heard(alpha);
    assert_eq!(flying.len(), 3);
    assert!(rig.peers[&link].paused);
    let (mut texts, mut answered) = (Vec::new(), Vec::new());
    while !flying.is_empty() {
        assert!(flying.len() <= 3);
        let request = flying.remove(0);
        texts.push(request.text());
        rig.send(alpha, &answer(&request, &format!("id-{}", request.text())));
        answered.extend(rig.heard(link).into_iter().map(|heard| (heard.sequence(), heard.id())));
        flying.extend(rig.heard(alpha));
    }
    let wanted: Vec<_> = (1..=20).map(|n: u32| n.to_string()).collect();
    assert_eq!(texts, wanted);
    let wanted: Vec<_> = (1..=20).map(|n: u32| (n, format!("id-{n}"))).collect();
    assert_eq!(answered, wanted);
    assert!(!rig.peers[&link].paused);
    rig.assert_settled();
}

#[test]
fn octets_that_come_while_a_link_is_paused_wait_behind_the_others() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 1;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    let octets = stream(6);
    rig.send(link, &octets[..octets.len() / 2 + 3]);
    rig.send(link, &octets[octets.len() / 2 + 3..]);
    for wanted in 1..=6u32 {
        let request = rig.one(alpha);
        assert_eq!(request.text(), wanted.to_string());
        rig.send(alpha, &answer(&request, "x"));
        assert_eq!(rig.one(link).sequence(), wanted);
    }
}

#[test]
fn what_paused_links_had_read_leaves_no_large_buffers_behind() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 1;
    let mut rig = Rig::up(config);
    let kept = |rig: &Rig| -> Vec<usize> {
        rig.shards.iter().flat_map(|shard| shard.tails.iter().map(Vec::capacity)).collect()
    };
    for _ in 0..3 {
        let link = rig.trx("acme");
        let octets = stream(200);
        assert!(octets.len() > 2 * TAIL_KEPT_MAX);
        rig.send(link, &octets[..3]);
        assert_eq!(kept(&rig), [0; 0], "the only one is in use");
        rig.send(link, &octets[3..]);
        assert!(rig.peers[&link].paused);
        rig.reset(link);
    }
    let link = rig.trx("acme");
    rig.send(link, &stream(1)[..3]);
    rig.send(link, &stream(1)[3..]);
    let kept = kept(&rig);
    assert!(kept.len() == 1 && (1..=TAIL_KEPT_MAX).contains(&kept[0]), "{kept:?}");
}

#[test]
fn a_full_window_that_refuses_answers_throttled_at_once() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 3;
    config.esmes[0].window_over = WindowOver::Refuse;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &stream(5));
    let refused = rig.heard(link);
    let refused: Vec<_> = refused.iter().map(|heard| (heard.sequence(), heard.status())).collect();
    assert_eq!(refused, [(4, CommandStatus::THROTTLED), (5, CommandStatus::THROTTLED)]);
    assert_eq!(rig.refusals(0, Reason::Window), 2);
    let flying = rig.heard(alpha);
    assert_eq!(flying.len(), 3);
    rig.send(alpha, &answer(&flying[0], "x"));
    assert_eq!(rig.one(link).sequence(), 1);
    rig.send(link, &submit("38267000001", 6));
    assert_eq!(rig.heard(alpha).len(), 1, "a place is free again");
}

#[test]
fn a_link_that_its_window_pauses_is_not_taken_for_dead() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].window_max = 1;
    config.esmes[0].enquire_link_interval = Duration::from_secs(1);
    config.esmes[0].response_timeout = Duration::from_secs(1);
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &stream(2));
    let request = rig.one(alpha);
    for _ in 0..7 {
        rig.advance(Duration::from_secs(1));
        for heard in rig.heard(link) {
            rig.send(link, &header(heard.command().response(), CommandStatus::OK, heard.sequence()));
        }
    }
    assert!(rig.is_open(link), "what it answered was not read");
    rig.send(alpha, &answer(&request, "x"));
    assert!(rig.heard(link).iter().any(|heard| heard.command() == CommandId::SUBMIT_SM_RESP));
}

#[test]
fn a_carriers_rate_and_burst_are_exact_and_the_order_is_kept() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    config.carriers[0].burst = 20;
    config.carriers[0].window_max = 1000;
    config.esmes[0].window_max = 1000;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &stream(500));
    let mut heard = rig.heard(alpha);
    assert_eq!(heard.len(), 20, "the burst");
    for step in 1..=48u32 {
        rig.advance(Duration::from_millis(100));
        heard.extend(rig.heard(alpha));
        assert_eq!(heard.len() as u32, 20 + 10 * step);
        if step % 8 == 0 {
            for request in heard.iter().filter(|request| request.sequence() % 8 == step / 8 % 8) {
                rig.send(alpha, &answer(request, "x"));
            }
        }
    }
    let texts: Vec<_> = heard.iter().map(|heard| heard.text()).collect();
    assert_eq!(texts, (1..=500).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_queue_that_lasts_does_not_pile_up_timers() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].rate = Some(Rate { units: 50, per: Duration::from_secs(1) });
    config.carriers[0].burst = 1;
    config.carriers[0].window_max = 1000;
    config.esmes[0].window_max = 400;
    config.esmes[0].answer_timeout = Duration::from_secs(10);
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    let mut most = 0;
    for step in 0..600u32 {
        let octets: Vec<u8> = (0..5).flat_map(|n| submit("38267000001", step * 5 + n)).collect();
        rig.send(link, &octets);
        rig.advance(Duration::from_millis(100));
        for request in rig.heard(alpha) {
            rig.send(alpha, &answer(&request, "x"));
        }
        most = most.max(rig.timers());
    }
    assert!(most < 50, "{most} timers");
}

#[test]
fn a_link_that_works_and_rests_does_not_pile_up_timers() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    for round in 0..500u32 {
        rig.send(link, &submit("38267000001", round));
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, "x"));
        rig.one(link);
        rig.advance(Duration::from_secs(20));
        for peer in [link, alpha] {
            for heard in rig.heard(peer) {
                rig.send(peer, &header(heard.command().response(), CommandStatus::OK, heard.sequence()));
            }
        }
    }
    assert!(rig.timers() < 20, "{} timers", rig.timers());
}

#[test]
fn a_full_queue_is_answered_message_queue_full() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].window_max = 1;
    config.carriers[0].queue_max = 2;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &stream(5));
    let refused: Vec<_> = rig.heard(link).iter().map(|heard| (heard.sequence(), heard.status())).collect();
    assert_eq!(refused, [(4, CommandStatus::QUEUE_FULL), (5, CommandStatus::QUEUE_FULL)]);
    assert_eq!(rig.refusals(0, Reason::QueueFull), 2);
    assert_eq!(rig.counters.carriers[0].queued.get(), 2);
    for wanted in 1..=3u32 {
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, "x"));
        assert_eq!(rig.one(link).sequence(), wanted);
    }
    assert_eq!(rig.counters.carriers[0].queued.get(), 0);
    rig.assert_settled();
}

#[test]
fn a_queued_message_is_answered_by_its_deadline_when_no_carrier_comes() {
    let mut rig = Rig::new(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    rig.send(link, &submit("38267000001", 1));
    rig.advance(Duration::from_secs(10));
    rig.send(link, &submit("38267000001", 2));
    rig.advance(Duration::from_millis(9_999));
    rig.silent(link);
    rig.advance(Duration::from_millis(101));
    let first = rig.one(link);
    assert_eq!((first.sequence(), first.status()), (1, CommandStatus::SYSTEM_ERROR));
    rig.advance(Duration::from_millis(10_000));
    let second = rig.one(link);
    assert_eq!((second.sequence(), second.status()), (2, CommandStatus::SYSTEM_ERROR));
    assert_eq!(rig.refusals(0, Reason::NoCarrier), 2);
    rig.assert_settled();
}

#[test]
fn a_message_that_is_queued_after_the_queue_was_empty_is_answered_by_its_deadline() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].rate = Some(Rate { units: 1, per: Duration::from_secs(1) });
    config.carriers[0].burst = 1;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    // The second waits for the pace, and leaves the queue at a tick that is before its deadline.
    rig.send(link, &stream(2));
    rig.advance(Duration::from_secs(2));
    for request in rig.heard(alpha) {
        rig.send(alpha, &answer(&request, "x"));
    }
    assert_eq!(rig.heard(link).len(), 2);
    rig.reset(alpha);
    rig.advance(Duration::from_secs(5));
    assert_eq!(rig.dials.len(), 1, "the carrier is dialled and does not answer");
    rig.send(link, &submit("38267000001", 3));
    rig.advance(Duration::from_secs(21));
    let last = rig.one(link);
    assert_eq!((last.sequence(), last.status()), (3, CommandStatus::SYSTEM_ERROR));
    rig.assert_settled();
}

#[test]
fn what_waited_for_a_carrier_is_sent_when_it_binds() {
    let mut rig = Rig::new(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    rig.send(link, &stream(3));
    rig.advance(Duration::from_secs(5));
    rig.silent(link);
    let alpha = rig.carrier_up(0)[0];
    let texts: Vec<_> = rig.heard(alpha).iter().map(|heard| heard.text()).collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[test]
fn what_waits_goes_to_whichever_carrier_binds_first() {
    for first in [0, 1] {
        let mut rig = Rig::new(config(&["acme"], &["alpha", "beta"]));
        let link = rig.trx("acme");
        rig.send(link, &stream(4));
        rig.advance(Duration::from_secs(5));
        let up = rig.carrier_up(first)[0];
        let texts: Vec<_> = rig.heard(up).iter().map(|heard| heard.text()).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        rig.silent(link);
    }
}

#[test]
fn what_waits_at_a_carrier_goes_elsewhere_when_it_goes_down_and_what_was_written_does_not() {
    let mut config = config(&["acme"], &["alpha", "beta"]);
    config.carriers[0].window_max = 2;
    config.carriers[1].window_max = 2;
    config.pools[0].members = vec![member(0, 1), member(1, 1)];
    let mut rig = Rig::up(config);
    let (link, alpha, beta) = (rig.trx("acme"), rig.carrier(0), rig.carrier(1));
    rig.send(link, &stream(8));
    let (written, kept) = (rig.heard(alpha), rig.heard(beta));
    assert_eq!((written.len(), kept.len()), (2, 2));
    assert_eq!(rig.counters.carriers[0].queued.get() + rig.counters.carriers[1].queued.get(), 4);
    rig.reset(alpha);
    let unknown: Vec<_> = rig.heard(link);
    let mut lost: Vec<_> = unknown.iter().map(|heard| heard.sequence().to_string()).collect();
    lost.sort();
    let mut texts: Vec<_> = written.iter().map(|heard| heard.text()).collect();
    texts.sort();
    assert_eq!(lost, texts, "only what was written is lost");
    assert!(unknown.iter().all(|heard| heard.status() == CommandStatus::SUBMIT_FAILED));
    assert_eq!(rig.counters.carriers[1].queued.get(), 4);
    let mut flying = kept;
    let mut taken = Vec::new();
    while let Some(request) = flying.pop() {
        taken.push(request.text());
        rig.send(beta, &answer(&request, "x"));
        flying.extend(rig.heard(beta));
    }
    assert_eq!(taken.len(), 6);
    assert!(taken.iter().all(|text| !texts.contains(text)), "nothing is sent twice");
    rig.assert_settled();
}

/// What waited for the carrier, by what it waited for, and what waited on its link for the account's own window.
fn waited(config: Config, messages: u32, refuses: bool) -> [bool; 4] {
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    for sequence in 1..=messages {
        rig.send(link, &submit("38267000001", sequence));
    }
    for request in rig.heard(alpha).iter().filter(|_| refuses) {
        rig.send(alpha, &refusal(request, CommandStatus::THROTTLED));
    }
    rig.advance(Duration::from_millis(500));
    let (carrier, esme) = (&rig.counters.carriers[0], &rig.counters.esmes[0]);
    [&carrier.held_window, &carrier.held_pace, &carrier.held_throttled, &esme.window_full]
        .map(|cell| cell.get() > 0)
}

#[test]
fn what_waits_is_counted_by_what_it_waits_for() {
    let calm = config(&["acme"], &["alpha"]);
    assert_eq!(waited(calm.clone(), 3, false), [false; 4]);
    let mut narrow = calm.clone();
    narrow.carriers[0].window_max = 1;
    assert_eq!(waited(narrow, 3, false), [true, false, false, false]);
    let mut paced = calm.clone();
    paced.carriers[0].rate = Some(Rate { units: 1, per: Duration::from_secs(1) });
    paced.carriers[0].burst = 1;
    assert_eq!(waited(paced, 3, false), [false, true, false, false]);
    assert_eq!(waited(calm.clone(), 3, true), [false, false, true, false]);
    let mut own = calm;
    own.esmes[0].window_max = 2;
    assert_eq!(waited(own, 3, false), [false, false, false, true]);
}
