//! Sessions that say nothing.

use super::pdus::header;
use super::rig::{Rig, config};
use crate::ids::LinkId;
use crate::limits::TIMERS_PER_TURN;
use crate::shard::port::Input;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

fn rig() -> Rig {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].sessions_max = 200;
    config.esmes[0].enquire_link_interval = Duration::from_secs(30);
    Rig::new(config)
}

/// Answers the enquire_links that a session has heard; how many those were.
fn answer(rig: &mut Rig, link: LinkId) -> usize {
    let heard = rig.heard(link);
    for one in &heard {
        assert_eq!(one.command(), CommandId::ENQUIRE_LINK);
        rig.send(link, &header(one.command().response(), CommandStatus::OK, one.sequence()));
    }
    heard.len()
}

#[test]
fn idle_sessions_are_asked_in_few_turns_and_none_early_or_much_too_late() {
    let mut rig = rig();
    let links: Vec<LinkId> = (0..118)
        .map(|_| {
            let link = rig.trx("acme");
            rig.advance(Duration::from_millis(250));
            link
        })
        .collect();
    let (mut turns, mut asked) = (0, vec![None; links.len()]);
    for step in 1..=605_u64 {
        rig.advance(Duration::from_millis(50));
        let mut any = false;
        for (number, link) in links.iter().enumerate() {
            if answer(&mut rig, *link) > 0 {
                any = true;
                assert!(asked[number].replace(29_500 + 50 * step).is_none(), "asked once in an interval");
            }
        }
        turns += usize::from(any);
    }
    assert!(turns <= 61, "{turns} turns for {} sessions", links.len());
    for (number, at) in asked.into_iter().enumerate() {
        let late = at.unwrap() - (250 * number as u64 + 30_000);
        assert!(late <= 500, "session {number} was asked {late} ms late");
    }
}

#[test]
fn of_many_sessions_that_are_due_at_once_a_turn_asks_so_many_and_the_next_turn_goes_on() {
    let mut rig = rig();
    let links: Vec<LinkId> = (0..200).map(|_| rig.trx("acme")).collect();
    rig.advance(Duration::from_secs(29));
    rig.oversleep(Duration::from_secs(2));
    let mut total = 0;
    for turn in 1..=200_usize.div_ceil(TIMERS_PER_TURN) + 1 {
        rig.input_all(|| Input::Time);
        let asked: usize = links.iter().map(|link| answer(&mut rig, *link)).sum();
        assert!(asked <= TIMERS_PER_TURN, "{asked} in turn {turn}");
        total += asked;
    }
    assert_eq!(total, links.len());
}
