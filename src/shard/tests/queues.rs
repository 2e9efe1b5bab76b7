//! What an operator does to stored messages.

use super::journal::Kept;
use super::pdus::{Dlr, answer, refusal, replace, submit, submit_text};
use super::rig::{EIO, Rig};
use super::store::{stored, texts};
use crate::config::{Config, Homes};
use crate::ids::{CarrierId, EsmeId, LinkId, PoolId, ShardId};
use crate::journal::{Book, Kind, Lsn};
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_ALWAYS_AT, QUEUE_SLICE, STORE_RING_THROTTLED};
use crate::route::settings::{Pattern, PoolSettings};
use crate::shard::port::{Answer, Ask, Input, Ticket};
use crate::shard::queues::{Chosen, QueueAct, QueueAnswer, QueueAsk};
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;
use std::sync::atomic::Ordering;

impl Kept {
    /// Asks all shards until all of it was looked at.
    fn ask(&mut self, chosen: &Chosen, act: QueueAct) -> QueueAnswer {
        let mut all = QueueAnswer::default();
        let mut begins = true;
        loop {
            let slice = self.ask_once(QueueAsk { begins, chosen: chosen.clone(), act });
            let (more, waits) = (slice.more, slice.waits);
            all = QueueAnswer { more: false, waits: false, ..all }.join(slice);
            if !more {
                return all;
            }
            begins = false;
            if waits {
                self.durable();
            }
        }
    }

    fn ask_once(&mut self, ask: QueueAsk) -> QueueAnswer {
        self.rig.input_all(|| Input::Ask { ticket: Ticket(1), ask: Ask::Queue(ask.clone()) });
        let slices = self.rig.answers.drain(..).map(|(_, answer)| match answer {
            Answer::Queue(slice) => *slice,
            Answer::Status(_) | Answer::Resent(_) => panic!("nobody asked for it"),
        });
        slices.reduce(QueueAnswer::join).unwrap()
    }

    /// The same of all messages: how many it was done to, whether there are more, whether it waits.
    fn slice(&mut self, begins: bool, act: QueueAct) -> (u64, bool, bool) {
        let slice = self.ask_once(QueueAsk { begins, chosen: Chosen::default(), act });
        (slice.done, slice.more, slice.waits)
    }

    pub(super) fn messages(&mut self, chosen: &Chosen) -> u64 {
        self.ask(chosen, QueueAct::Count).rows.values().map(|(count, _)| count).sum()
    }
}

/// An account whose pool has one carrier, and another pool that has another.
fn two_pools() -> Config {
    let mut config = stored(&["alpha", "beta"]);
    config.pools[0].members.truncate(1);
    config.pools.push(PoolSettings::weighted("other", vec![super::rig::member(1, 1)]));
    config
}

/// Four messages of an account whose only carrier is down.
fn queued() -> (Kept, LinkId) {
    let config = two_pools();
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

fn to(text: &str) -> Chosen {
    Chosen { to: Pattern::parse(text), ..Chosen::default() }
}

#[test]
fn what_an_operator_has_said_holds_after_a_restart_and_each_leaves_once() {
    let (mut kept, _) = queued();
    assert_eq!(kept.ask(&to("38267000001"), QueueAct::Hold).done, 2);
    assert_eq!(kept.ask(&to("38267*"), QueueAct::Reroute(PoolId(1))).done, 3);
    assert_eq!(kept.ask(&to("4479"), QueueAct::Hold).done, 1);
    assert_eq!(kept.ask(&to("4479"), QueueAct::Release).done, 1);
    let given = kept.given(1);
    assert_eq!(texts(&given), ["2"]);
    let beta = kept.rig.carrier(1);
    kept.rig.send(beta, &answer(&given[0], "B2"));
    kept.durable();
    let mut kept = Kept::again(two_pools(), kept.papers);
    assert_eq!(texts(&kept.given(0)), ["3"], "it was released");
    assert!(kept.given(1).is_empty(), "they are held, and what a carrier has does not leave again");
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Release).done, 2);
    for (text, id) in [("1", "B1"), ("4", "B4")] {
        let given = kept.given(1);
        assert_eq!(texts(&given), [text], "by the pool that it was sent to");
        let beta = kept.rig.carrier(1);
        kept.rig.send(beta, &answer(&given[0], id));
    }
    assert!(kept.given(0).is_empty() && kept.given(1).is_empty());
    let mut kept = Kept::again(two_pools(), kept.papers);
    assert!(kept.given(1).is_empty(), "nothing leaves twice");
}

#[test]
fn what_is_held_waits_for_its_next_attempt_after_a_restart_too() {
    let mut kept = Kept::up(two_pools());
    let link = kept.rig.trx("acme");
    kept.taken(link, &submit_text("4479", 1, "1", 1));
    let (given, alpha) = (kept.given(0), kept.rig.carrier(0));
    kept.rig.send(alpha, &refusal(&given[0], CommandStatus::QUEUE_FULL));
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Hold).done, 1);
    let mut kept = Kept::again(two_pools(), kept.papers);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Release).done, 1);
    assert!(kept.given(0).is_empty(), "its time has not come");
    kept.pass(Duration::from_secs(6));
    assert_eq!(texts(&kept.given(0)), ["1"]);
}

#[test]
fn a_message_whose_new_pool_is_no_more_goes_by_its_route_and_that_is_told() {
    let (mut kept, _) = queued();
    assert_eq!(kept.ask(&to("4479"), QueueAct::Hold).done, 1);
    assert_eq!(kept.ask(&to("4479"), QueueAct::Reroute(PoolId(1))).done, 1);
    let mut config = two_pools();
    config.pools.truncate(1);
    let mut kept = Kept::again(config, kept.papers);
    assert_eq!(texts(&kept.given(0)), ["1", "2"]);
    assert_eq!(kept.rig.events_named("queue_pool_gone"), 1);
    assert_eq!(kept.ask(&to("4479"), QueueAct::Release).done, 1, "it is held all the same");
    assert_eq!(texts(&kept.given(0)), ["3"]);
}

#[test]
fn what_the_journal_has_no_room_for_is_left_as_it_is_and_counted() {
    let (mut kept, _) = queued();
    kept.full(true);
    let said = kept.ask(&Chosen::default(), QueueAct::Hold);
    assert_eq!((said.done, said.left), (0, 4));
    kept.full(false);
    kept.failed(EIO);
    let said = kept.ask(&Chosen::default(), QueueAct::Reroute(PoolId(1)));
    assert_eq!((said.done, said.left), (0, 4));
    kept.failed(0);
    kept.pass(Duration::from_secs(60));
    kept.rig.carrier_up(0);
    let given = kept.given(0);
    assert_eq!(texts(&given), ["1", "2", "3"], "neither held nor elsewhere");
}

#[test]
fn a_nearly_full_table_of_records_takes_no_more_of_what_nobody_must_write() {
    let (mut kept, _) = queued();
    assert_eq!(kept.ask(&to("4479"), QueueAct::Hold).done, 1);
    let none_to_spare = |kept: &mut Kept, books: Vec<Book>| -> Vec<Book> {
        let pens = kept.rig.shards.iter_mut().map(|shard| &mut shard.records.as_mut().unwrap().pen);
        pens.zip(books).map(|(pen, book)| core::mem::replace(&mut pen.book, book)).collect()
    };
    let nearly_full = || {
        let mut book = Book::new(8);
        for lsn in 1..=7 {
            book.appended(Lsn(lsn), 1000 + lsn, Some(Kind::Accept), None, 100).unwrap();
        }
        assert!(book.has_room() && !book.has_room_to_spare());
        book
    };
    let shards = kept.rig.shards.len();
    let books = none_to_spare(&mut kept, (0..shards).map(|_| nearly_full()).collect());
    let said = kept.ask(&Chosen::default(), QueueAct::Hold);
    assert_eq!((said.done, said.left), (0, 3));
    none_to_spare(&mut kept, books);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Hold).done, 3);
}

#[test]
fn a_question_waits_for_the_ring_and_goes_on_where_it_was() {
    let (mut kept, _) = queued();
    let ring = |kept: &mut Kept, percent| {
        kept.papers.iter().for_each(|paper| paper.pen.said.full_percent.store(percent, Ordering::SeqCst));
    };
    ring(&mut kept, STORE_RING_THROTTLED);
    assert_eq!(kept.slice(true, QueueAct::Hold), (0, true, true));
    assert_eq!(kept.slice(false, QueueAct::Hold), (0, true, true));
    ring(&mut kept, STORE_RING_THROTTLED - 1);
    assert_eq!(kept.slice(false, QueueAct::Hold), (4, true, true));
    kept.durable();
    assert_eq!(kept.slice(false, QueueAct::Hold), (0, false, false));
}

#[test]
fn an_operator_is_answered_when_what_he_said_is_safe() {
    let (mut kept, _) = queued();
    assert_eq!(kept.slice(true, QueueAct::Hold), (4, true, true));
    kept.written();
    assert_eq!(kept.slice(false, QueueAct::Hold), (0, true, true), "a power cut would take it");
    assert_eq!(
        kept.slice(true, QueueAct::Count),
        (0, false, false),
        "what changes nothing waits for nothing"
    );
    kept.durable();
    assert_eq!(kept.slice(false, QueueAct::Hold), (0, false, false));
}

#[test]
fn a_message_that_is_replaced_stays_held_and_in_its_new_pool_after_a_restart() {
    let (mut kept, link) = queued();
    let id = kept.taken(link, &submit_text("38160", 1, "before", 1));
    assert_eq!(kept.ask(&to("38160"), QueueAct::Hold).done, 1);
    assert_eq!(kept.ask(&to("38160"), QueueAct::Reroute(PoolId(1))).done, 1);
    kept.rig.send(link, &replace(&id, 9));
    kept.durable();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    let mut kept = Kept::again(two_pools(), kept.papers);
    assert!(kept.given(1).is_empty());
    assert_eq!(kept.ask(&to("38160"), QueueAct::Release).done, 1);
    assert_eq!(texts(&kept.given(1)), [""], "the text was replaced by none");
}

#[test]
fn what_an_operator_has_said_goes_with_its_account_to_another_shard() {
    let placed = |home| {
        let (esme, carriers) = (ShardId(home), vec![ShardId(0); 2]);
        Rig::placed(two_pools(), 1, Homes::fixed(2, vec![esme], carriers), 8)
    };
    let mut kept = Kept::on(placed(0), Vec::new(), |_, _| ());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    kept.taken(link, &submit_text("4479", 1, "1", 1));
    assert_eq!(kept.ask(&to("4479"), QueueAct::Hold).done, 1);
    assert_eq!(kept.ask(&to("4479"), QueueAct::Reroute(PoolId(1))).done, 1);
    let mut kept = Kept::on(placed(1), kept.papers, |rig, strays| {
        let moved = core::mem::take(&mut strays[0].moved);
        let keys: Vec<u64> = moved.iter().map(|(_, key, _)| *key).collect();
        let (now, moved) = (rig.now, moved.into_iter().map(|(_, key, kept)| (key, kept)));
        assert!(rig.shards[1].adopt(now, moved.collect()).is_empty());
        assert_eq!(rig.shards[0].disown(now, &keys), 1);
    });
    kept.durable();
    let mut kept = Kept::on(placed(1), kept.papers, |_, _| ());
    assert!(kept.given(0).is_empty() && kept.given(1).is_empty(), "it is held");
    assert_eq!(kept.ask(&to("4479"), QueueAct::Release).done, 1);
    assert_eq!(texts(&kept.given(1)), ["1"], "by the pool that it was sent to");
}

#[test]
fn a_message_that_goes_again_after_its_receipt_stays_in_its_new_pool_after_a_restart() {
    let mut config = two_pools();
    config.pools[1].members.push(super::rig::member(0, 1));
    config.pools[1].reroute_on_receipt = vec![MessageState::Undeliverable];
    let mut kept = Kept::up(config.clone());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    kept.taken(link, &submit_text("4479", 1, "1", 1));
    assert_eq!(kept.ask(&to("4479"), QueueAct::Reroute(PoolId(1))).done, 1);
    let (given, beta) = (kept.given(1), kept.rig.carrier(1));
    kept.rig.send(beta, &answer(&given[0], "B1"));
    kept.durable();
    kept.rig.send(beta, &Dlr { id: "B1", number: "4479", stat: "UNDELIV", ..Dlr::default() }.write(7));
    kept.rig.reset(beta);
    kept.durable();
    assert_eq!(kept.messages(&Chosen::default()), 1, "it goes again");
    let mut kept = Kept::again(config, kept.papers);
    let rows = kept.ask(&Chosen::default(), QueueAct::Count).rows;
    assert_eq!(rows.keys().map(|(.., pool, _)| *pool).collect::<Vec<_>>(), [PoolId(1)]);
}

#[test]
fn what_an_operator_has_said_is_copied_when_the_front_of_the_journal_is_given_back() {
    let mut kept = Kept::up(two_pools());
    kept.rig.shards.iter_mut().for_each(|shard| shard.keep_here(0, 0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    kept.taken(link, &submit_text("4479", 1, "1", 1));
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Hold).done, 1);
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Reroute(PoolId(1))).done, 1);
    for sequence in 0..2 * JOURNAL_BLOCK as u32 {
        kept.rig.send(link, &submit_text("", 10 + sequence, "nowhere", 0));
        assert_ne!(kept.rig.one(link).status(), CommandStatus::OK);
    }
    kept.used(JOURNAL_MOVE_ALWAYS_AT);
    (0..3).for_each(|_| kept.pass(Duration::from_secs(2)));
    let copies = kept.kinds().iter().filter(|kind| **kind == Kind::Move).count();
    assert_eq!(copies, 2, "its ACCEPT, and the last that was said of it");
    let front = kept.front() as usize;
    assert!(front > JOURNAL_BLOCK, "{front}");
    let given_back = kept.papers.iter_mut().filter(|paper| paper.frames.len() >= front);
    given_back.for_each(|paper| drop(paper.frames.drain(..front - 1)));
    let mut kept = Kept::again(two_pools(), kept.papers);
    assert!(kept.given(0).is_empty() && kept.given(1).is_empty());
    assert_eq!(kept.ask(&Chosen::default(), QueueAct::Release).done, 1);
    let given = kept.given(1);
    assert_eq!(texts(&given), ["1"]);
    let beta = kept.rig.carrier(1);
    kept.rig.send(beta, &answer(&given[0], ""));
    kept.durable();
    assert!(kept.nothing_is_needed());
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
