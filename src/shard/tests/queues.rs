//! What an operator does to stored messages.

use super::journal::Kept;
use super::pdus::{answer, submit, submit_text};
use super::store::{stored, texts};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId};
use crate::limits::QUEUE_SLICE;
use crate::route::settings::{Pattern, PoolSettings};
use crate::shard::port::{Answer, Ask, Input, Ticket};
use crate::shard::queues::{Chosen, QueueAct, QueueAnswer, QueueAsk};
use crate::smpp::message_state::MessageState;
use crate::time::Duration;

impl Kept {
    /// Asks all shards until all of it was looked at.
    fn ask(&mut self, chosen: &Chosen, act: QueueAct) -> QueueAnswer {
        let mut all = QueueAnswer::default();
        let mut begins = true;
        loop {
            let ask = QueueAsk { begins, chosen: chosen.clone(), act };
            self.rig.input_all(|| Input::Ask { ticket: Ticket(1), ask: Ask::Queue(ask.clone()) });
            let slices = self.rig.answers.drain(..).map(|(_, answer)| match answer {
                Answer::Queue(slice) => *slice,
                Answer::Status(_) | Answer::Resent(_) => panic!("nobody asked for it"),
            });
            let slice = slices.reduce(QueueAnswer::join).unwrap();
            let more = slice.more;
            all = QueueAnswer { more: false, ..all }.join(slice);
            if !more {
                return all;
            }
            begins = false;
        }
    }

    pub(super) fn messages(&mut self, chosen: &Chosen) -> u64 {
        self.ask(chosen, QueueAct::Count).rows.values().map(|(count, _)| count).sum()
    }
}

/// Four messages of an account whose only carrier is down.
fn queued() -> (Kept, LinkId) {
    let mut config = stored(&["alpha", "beta"]);
    config.pools[0].members.truncate(1);
    config.pools.push(PoolSettings::weighted("other", vec![super::rig::member(1, 1)]));
    let mut kept = Kept::up(config);
    let link = kept.rig.trx("acme");
    let alpha = kept.rig.carrier(0);
    kept.rig.reset(alpha);
    for (number, text) in [("38267000001", "1"), ("38267000002", "2"), ("4479", "3"), ("38267000001", "4")] {
        kept.taken(link, &submit_text(number, 1, text, 1));
    }
    (kept, link)
}

#[test]
fn messages_are_counted_by_whose_they_are_and_where_they_stand() {
    let (mut kept, _) = queued();
    let all = kept.ask(&Chosen::default(), QueueAct::Count);
    let rows: Vec<_> =
        all.rows.iter().map(|((_, _, pool, stand), (count, _))| (pool.index(), *stand, *count)).collect();
    assert_eq!(rows, [(0, "behind", 1), (0, "ready", 3)]);
    let to = |text: &str| Chosen { to: Pattern::parse(text), ..Chosen::default() };
    assert_eq!(
        (kept.messages(&to("382*")), kept.messages(&to("4479")), kept.messages(&to("447"))),
        (3, 1, 0)
    );
    let of = |at| Chosen { carrier: Some(CarrierId::new(at)), ..Chosen::default() };
    assert_eq!((kept.messages(&of(0)), kept.messages(&of(1))), (4, 0));
    let other = Chosen { esme: Some(EsmeId(1)), ..Chosen::default() };
    let old = |seconds| Chosen { older: Some(Duration::from_secs(seconds)), ..Chosen::default() };
    assert_eq!((kept.messages(&other), kept.messages(&old(1)), kept.messages(&old(0))), (0, 0, 4));
    let from = Chosen { from: Pattern::parse("14499"), ..Chosen::default() };
    assert_eq!(kept.messages(&from), 4);
}

#[test]
fn what_is_held_stays_until_it_is_released_and_the_rest_leaves() {
    let (mut kept, _) = queued();
    let chosen = Chosen { to: Pattern::parse("38267000001"), ..Chosen::default() };
    assert_eq!(kept.ask(&chosen, QueueAct::Hold).done, 2);
    assert_eq!(kept.ask(&chosen, QueueAct::Hold).done, 0, "they are");
    kept.pass(Duration::from_secs(2));
    kept.rig.carrier_up(0);
    let given = kept.given(0);
    assert_eq!(texts(&given), ["2", "3"]);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Release).done, 2);
    let given = kept.given(0);
    assert_eq!(texts(&given), ["1"]);
    let alpha = kept.rig.carrier(0);
    kept.rig.send(alpha, &answer(&given[0], "A1"));
    assert_eq!(texts(&kept.given(0)), ["4"]);
}

#[test]
fn what_is_sent_elsewhere_goes_there_and_what_has_left_stays_where_it_is() {
    let (mut kept, _) = queued();
    let chosen = Chosen { to: Pattern::parse("382*"), ..Chosen::default() };
    assert_eq!(kept.ask(&chosen, QueueAct::Reroute(PoolId(1))).done, 3);
    let given = kept.given(1);
    assert_eq!(texts(&given), ["1", "2"]);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Reroute(PoolId(0))).done, 1, "the one behind");
    let beta = kept.rig.carrier(1);
    given.iter().for_each(|request| kept.rig.send(beta, &answer(request, "")));
    assert!(kept.given(1).is_empty(), "its pool is the first one again");
}

#[test]
fn what_is_purged_has_its_record_and_its_receipt() {
    let (mut kept, link) = queued();
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Purge).done, 4);
    kept.durable();
    let receipts = kept.rig.heard(link);
    assert_eq!(receipts.len(), 4);
    receipts.iter().for_each(|receipt| kept.rig.send(link, &answer(receipt, "")));
    kept.turn();
    assert!(kept.ends().iter().all(|end| end.0 == MessageState::Deleted.octet()) && kept.ends().len() == 4);
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_question_looks_at_a_slice_in_a_turn_and_at_all_in_the_end() {
    let mut config = stored(&["alpha"]);
    config.esmes[0].durability = Some(crate::esme::settings::Durability::Off);
    let mut kept = Kept::up(config);
    let link = kept.rig.trx("acme");
    let alpha = kept.rig.carrier(0);
    kept.rig.reset(alpha);
    let all = QUEUE_SLICE as u64 + 10;
    for number in 0..all {
        kept.rig.send(link, &submit(&format!("38{number:07}"), 1));
        kept.rig.heard(link);
    }
    let first = QueueAsk { begins: true, chosen: Chosen::default(), act: QueueAct::Purge };
    kept.rig.input_all(|| Input::Ask { ticket: Ticket(1), ask: Ask::Queue(first.clone()) });
    let done: u64 = kept
        .rig
        .answers
        .drain(..)
        .map(|(_, answer)| match answer {
            Answer::Queue(slice) => slice.done,
            Answer::Status(_) | Answer::Resent(_) => panic!("nobody asked for it"),
        })
        .sum();
    assert_eq!(done, QUEUE_SLICE as u64);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Purge).done, 10);
    assert_eq!(kept.messages(&Chosen::default()), 0);
}
