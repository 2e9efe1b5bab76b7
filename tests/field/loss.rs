//! Links that break: what was sent stays unknown or is sent again as configured, binds come back without a storm,
//! nobody waits for ever.

use crate::figures::{account, carrier, figure, one_to_one, pool, scaled};
use crate::net::WireId;
use crate::receipts::millis;
use crate::smsc::Act;
use crate::world::World;
use bindery::session::BindKind;
use bindery::smpp::status::CommandStatus;
use bindery::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

const OK: CommandStatus = CommandStatus::OK;
const WINDOW: u64 = 20;

/// Messages over two carriers that read some submits and then lose the link; how many links were lost.
fn cut(on_unknown: &str, cuts: u64, seed: u64) -> (World, u64) {
    let keys =
        format!("sessions = 2\nwindow_max = {WINDOW}\nreconnect = {{ min = \"10ms\", max = \"50ms\" }}");
    let text = account("a", "window_max = 200\nattempts_max = 10")
        + &carrier("alpha", &keys)
        + &carrier("beta", &keys)
        + &pool(&format!("on_unknown = \"{on_unknown}\""), &[("alpha", 1, 1), ("beta", 1, 1)]);
    let mut world = World::up(&text, 2, seed);
    world.bound(0, 1);
    let done = Rc::new(Cell::new(0));
    for carrier in 0..2 {
        let done = Rc::clone(&done);
        let mut doomed: Option<(WireId, u64)> = None;
        let mut cut_last = None;
        world.script(carrier, move |prng, asked| {
            // Read together with the last one before the cut.
            if cut_last == Some(asked.wire) {
                return vec![];
            }
            if doomed.is_none() && done.get() < cuts && prng.chance(1, 60) {
                done.set(done.get() + 1);
                doomed = Some((asked.wire, 1 + prng.below(WINDOW)));
            }
            match &mut doomed {
                Some((wire, left)) if *wire == asked.wire => {
                    *left -= 1;
                    if *left == 0 {
                        doomed = None;
                        cut_last = Some(asked.wire);
                        return vec![Act::Cut];
                    }
                    vec![]
                }
                _ => vec![Act::Answer(millis(prng, 3, 10), OK)],
            }
        });
    }
    world.stream(0, u64::MAX, Duration::ZERO, 100);
    let limit = world.now().after(Duration::from_secs(20 * cuts));
    while done.get() < cuts {
        world.run_for(Duration::from_secs(1));
        assert!(world.now() < limit, "it stands still: {}", world.tally());
    }
    world.streams[0].left = 0;
    world.run_until(Duration::from_secs(60), World::all_answered);
    world.run_for(Duration::from_secs(20));
    (world, cuts)
}

#[test]
fn up_10_no_duplicate_when_links_are_cut() {
    let (world, cuts) = cut("fail", scaled(500, 10_000), 1);
    let twice = world.messages.iter().filter(|message| message.copies > 1).count();
    let unknown = world.answered(CommandStatus::SUBMIT_FAILED);
    let all = world.messages.len();
    figure(
        "UP-10",
        "up_10_no_duplicate_when_links_are_cut",
        &format!(
            "{cuts} links lost after some of {all} submits were read and not answered; on_unknown = fail"
        ),
        &format!(
            "{twice} twice, {unknown} unknown, {} neither accepted nor unknown",
            all - unknown - world.answered(OK)
        ),
        "0 twice, each accepted or unknown",
    );
    world.assert_base();
    assert_eq!((twice, unknown + world.answered(OK)), (0, all), "{}", world.tally());
    assert!(unknown as u64 >= cuts, "{unknown}");
}

#[test]
fn up_10_none_lost_when_what_is_unknown_is_sent_again() {
    let (world, cuts) = cut("resend", scaled(500, 10_000), 2);
    let copies: u64 = world.messages.iter().map(|message| u64::from(message.copies) - 1).sum();
    let lost = world.messages.len() - world.answered(OK);
    figure(
        "UP-10",
        "up_10_none_lost_when_what_is_unknown_is_sent_again",
        &format!(
            "{cuts} links lost after some of {} submits were read; on_unknown = resend",
            world.messages.len()
        ),
        &format!("{lost} lost, {:.1} sent twice a cut", copies as f64 / cuts as f64),
        &format!("0 lost, at most the window, {WINDOW}, twice a cut"),
    );
    world.assert_base();
    assert_eq!(lost, 0, "{}", world.tally());
    assert!(copies > 0 && copies <= cuts * WINDOW, "{copies}");
}

#[test]
fn up_11_a_carrier_that_restarts_sees_no_more_binds_than_it_allows() {
    let restarts = scaled(100, 2000);
    let keys = "sessions = 4\nreconnect = { min = \"200ms\", max = \"5s\" }\nenquire_link_interval = \"2s\"\nresponse_timeout = \"1s\"";
    let mut world = World::up(&one_to_one("window_max = 100\nanswer_timeout = \"10s\"", keys), 2, 12);
    world.bound(0, 1);
    world.stream(0, u64::MAX, Duration::from_millis(20), 50);
    let mut longest = Duration::ZERO;
    for round in 0..restarts {
        let wait = millis(&mut world.prng, 100, 4000);
        world.run_for(wait);
        let wires: Vec<WireId> = world.carriers[0].sessions.iter().map(|(wire, _)| *wire).collect();
        world.net.refuses[0] = true;
        // Every third time it is the power: nobody says that the links are gone.
        for wire in wires {
            if round % 3 == 0 { world.net.silence(wire) } else { world.net.reset(wire) }
        }
        let down = millis(&mut world.prng, 10, 6000);
        world.run_for(down);
        world.net.refuses[0] = false;
        longest = longest.max(world.run_until(Duration::from_secs(60), World::carriers_bound));
    }
    world.streams[0].left = 0;
    world.run_until(Duration::from_secs(60), World::all_answered);
    let most = world.net.sockets[0].1;
    let binds = world.carriers[0].binds;
    world.run_for(Duration::from_secs(30));
    figure(
        "UP-11",
        "up_11_a_carrier_that_restarts_sees_no_more_binds_than_it_allows",
        &format!("{restarts} restarts of a carrier that allows 4 binds, under traffic"),
        &format!(
            "at most {most} sockets, {binds} binds, all back after {:.1} s at most",
            longest.as_secs_f64()
        ),
        "never more than 4 sockets",
    );
    assert_eq!(most, 4);
    assert!(binds <= 4 * (restarts + 1), "{binds}");
}

#[test]
fn up_11_already_bound_is_waited_for() {
    let keys = "sessions = 4\nreconnect = { min = \"100ms\", max = \"60s\" }";
    let mut world = World::new(&one_to_one("", keys), 1, 13);
    world.carriers[0].refuses = Some(CommandStatus::ALREADY_BOUND);
    world.run_for(Duration::from_secs(120));
    let tries = world.carriers[0].binds;
    world.carriers[0].refuses = None;
    let back = world.run_until(Duration::from_secs(120), World::carriers_bound);
    figure(
        "UP-11",
        "up_11_already_bound_is_waited_for",
        "4 binds answered ESME_RALYBND for 120 s",
        &format!("{tries} binds tried, bound {:.1} s after it takes them", back.as_secs_f64()),
        "one bind in 10 s and slot at most, 48",
    );
    assert!((4..=48).contains(&tries), "{tries}");
}

#[test]
fn up_11_two_thousand_sessions_come_back_in_one_second() {
    let accounts = 100;
    let mut text: String = (0..accounts).map(|at| account(&format!("a{at}"), "sessions_max = 20")).collect();
    text += &(account("steady", "window_max = 100")
        + &carrier("alpha", "window_max = 500")
        + &pool("", &[("alpha", 1, 1)]));
    let mut world = World::up(&text, 4, 14);
    for at in 0..accounts {
        world.bound(at, 20);
    }
    let steady = accounts;
    let wires = world.bound(steady, 2);
    let base = probe(&mut world, steady, wires[0]);
    for at in 0..accounts {
        let lost: Vec<WireId> = world.esmes[at].sessions.iter().map(|(wire, _)| *wire).collect();
        lost.into_iter().for_each(|wire| world.net.reset(wire));
    }
    world.run_for(Duration::from_millis(10));
    let began = world.now();
    for session in 0..20 * accounts {
        world.bind(session % accounts, BindKind::Transceiver);
        if session % 2 == 0 {
            world.run_for(Duration::from_millis(1));
        }
    }
    let during = probe(&mut world, steady, wires[0]);
    let bound = |world: &World| world.esmes[..accounts].iter().all(|esme| esme.sessions.len() == 20);
    world.run_until(Duration::from_secs(10), bound);
    let took = world.now().since(began);
    let refused: u64 = world.esmes.iter().map(|esme| esme.binds_refused).sum();
    figure(
        "UP-11",
        "up_11_two_thousand_sessions_come_back_in_one_second",
        "2000 sessions of 100 accounts lost at once, dialling again within 1 s (no processor in virtual time)",
        &format!(
            "all bound after {:.2} s, {refused} refused, an answer to others took {during:?}, {base:?} before",
            took.as_secs_f64()
        ),
        "all bound within 10 s, others not slower than twice",
    );
    assert!(refused == 0 && during <= 2 * base, "{refused} {during:?} {base:?}");
}

/// How long a message of an account takes.
fn probe(world: &mut World, account: usize, wire: WireId) -> Duration {
    let message = world.submit(account, wire, crate::streams::Draft::plain) as usize;
    world.run_until(Duration::from_secs(10), |world| world.messages[message].status == 0);
    world.messages[message].answered_at.since(world.messages[message].sent_at)
}

#[test]
fn up_26_nobody_waits_longer_than_the_answer_timeout() {
    let mut world = World::new(
        &one_to_one("answer_timeout = \"60s\"\nwindow_max = 500", "response_timeout = \"8s\""),
        2,
        15,
    );
    world.net.refuses[0] = true;
    let wire = world.bound(0, 1)[0];
    for _ in 0..200 {
        world.submit(0, wire, crate::streams::Draft::plain);
    }
    world.run_until(Duration::from_secs(61), World::all_answered);
    let spans = world.messages.iter().map(|message| message.answered_at.since(message.sent_at));
    let (first, last) = (spans.clone().min().unwrap_or_default(), spans.max().unwrap_or_default());
    let refused = world.answered(CommandStatus::SYSTEM_ERROR);
    world.assert_base();
    figure(
        "UP-26",
        "up_26_nobody_waits_longer_than_the_answer_timeout",
        "200 messages, answer_timeout 60 s, the carrier down (validity in store mode and a hop limit are not in the product)",
        &format!(
            "{refused} answered ESME_RSYSERR after {:.2} to {:.2} s",
            first.as_secs_f64(),
            last.as_secs_f64()
        ),
        "all, at 60 s less the response_timeout, 1 s either way",
    );
    assert_eq!(refused, 200, "{}", world.tally());
    let low = Duration::from_secs(51);
    assert!(first >= low && last <= Duration::from_secs(61), "{first:?} {last:?}");
}
