//! Receipts whose accounts answer them at once: none of these needs a record of its own.

use super::journal::{Kept, NUMBER, OTHER, acme};
use super::pdus::{Dlr, Heard, answer, receipt, refusal};
use crate::config::Config;
use crate::ids::LinkId;
use crate::journal::Kind;
use crate::limits::{RECEIPT_AGAIN, RECEIPT_AT_ONCE, RECEIPT_FIRST_WRITTEN};
use crate::session::BindKind;
use crate::smpp::status::CommandStatus;
use crate::time::{Duration, Instant};

fn up(config: Config) -> Kept {
    asking(Kept::up(config))
}

/// No account counts as late yet.
fn asking(mut kept: Kept) -> Kept {
    kept.answer_receipts_until(Instant::ZERO);
    kept
}

/// Two messages that the carrier has, whose responses are through; accounts answer as they like.
fn begun() -> (Kept, LinkId, LinkId) {
    let mut kept = up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (sequence, number, id) in [(1, NUMBER, "A1"), (2, OTHER, "A2")] {
        kept.accepted(link, number, sequence, id);
    }
    kept.durable();
    kept.rig.heard(link);
    (kept, link, alpha)
}

/// The carrier's answer to its receipt.
fn told(kept: &mut Kept, carrier: LinkId) -> Vec<(u32, CommandStatus)> {
    kept.rig.heard(carrier).iter().map(|heard| (heard.sequence(), heard.status())).collect()
}

fn given(kept: &mut Kept, link: LinkId, id: &str) -> Heard {
    let given = kept.rig.one(link);
    assert_eq!(given.receipt_ids().1.as_deref(), Some(id));
    given
}

#[test]
fn a_receipt_that_is_answered_at_once_has_no_record_and_its_carrier_is_answered_behind_that_of_its_message() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.rig.send(link, &answer(&one, ""));
    kept.turn();
    assert_eq!(told(&mut kept, alpha), [], "the end of its message is not safe yet");
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::Sent, Kind::Finish]);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 8));
    assert_eq!(told(&mut kept, alpha), [(8, CommandStatus::OK)], "known, and over");
    kept.rig.silent(link);
}

#[test]
fn a_receipt_stays_behind_the_response_of_its_message() {
    let mut kept = up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.turn();
    kept.rig.silent(link);
    kept.durable();
    let heard = kept.rig.heard(link);
    assert_eq!((heard.len(), heard[0].id()), (2, "A1".to_owned()), "the response, then the receipt");
    assert_eq!(heard[1].receipt_ids().1.as_deref(), Some("A1"));
    assert_eq!(kept.kinds(), [Kind::Sent]);
}

#[test]
fn who_is_late_has_its_receipt_written_down_and_the_next_ones_before_it_gets_them() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.rig.advance(RECEIPT_AT_ONCE);
    assert_eq!(told(&mut kept, alpha), []);
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    kept.rig.silent(link);
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    kept.turn();
    kept.rig.silent(link);
    kept.durable();
    let two = given(&mut kept, link, "A2");
    assert_eq!(told(&mut kept, alpha), [(8, CommandStatus::OK)]);
    for one in [one, two] {
        kept.rig.send(link, &answer(&one, ""));
    }
    kept.durable();
    let kinds = [Kind::Sent, Kind::Sent, Kind::DlrIn, Kind::DlrIn, Kind::Finish, Kind::Finish];
    assert_eq!(kept.kinds(), kinds);
    assert!(kept.nothing_is_needed());
    kept.rig.advance(RECEIPT_FIRST_WRITTEN);
    kept.accepted(link, NUMBER, 3, "A3");
    kept.durable();
    kept.rig.heard(link);
    kept.rig.send(alpha, &receipt("A3", NUMBER, 9));
    given(&mut kept, link, "A3");
}

#[test]
fn who_has_answered_one_soon_is_left_alone_no_longer_than_the_first_time() {
    let (mut kept, link, alpha) = begun();
    for (sequence, id, soon) in [(7, "A1", false), (8, "A2", true), (9, "A3", false), (10, "A4", true)] {
        kept.rig.send(alpha, &receipt(id, if sequence % 2 == 1 { NUMBER } else { OTHER }, sequence));
        let one = given(&mut kept, link, id);
        if !soon {
            kept.rig.advance(RECEIPT_AT_ONCE);
            kept.durable();
        }
        kept.rig.send(link, &answer(&one, ""));
        kept.durable();
        assert_eq!(told(&mut kept, alpha), [(sequence, CommandStatus::OK)]);
        kept.rig.advance(RECEIPT_FIRST_WRITTEN);
        if sequence == 8 {
            for (sequence, number, id) in [(3, NUMBER, "A3"), (4, OTHER, "A4")] {
                kept.accepted(link, number, sequence, id);
            }
            kept.durable();
            kept.rig.heard(link);
        }
    }
    let kinds = kept.kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::DlrIn).count(), 2, "{kinds:?}");
}

#[test]
fn an_answer_that_comes_while_the_record_is_written_ends_it_once() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.rig.advance(RECEIPT_AT_ONCE);
    kept.rig.send(link, &answer(&one, ""));
    kept.turn();
    assert_eq!(told(&mut kept, alpha), []);
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::Sent, Kind::DlrIn, Kind::Finish]);
    kept.rig.silent(link);
}

#[test]
fn one_that_is_refused_for_now_is_kept_and_one_that_is_refused_for_good_is_over() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.rig.send(link, &refusal(&one, CommandStatus::QUEUE_FULL));
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    kept.rig.silent(link);
    kept.rig.advance(RECEIPT_AGAIN + Duration::from_millis(10));
    let again = given(&mut kept, link, "A1");
    kept.rig.send(link, &answer(&again, ""));
    kept.durable();
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::Sent, Kind::DlrIn, Kind::Finish]);
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    let two = given(&mut kept, link, "A2");
    kept.rig.send(link, &refusal(&two, CommandStatus::INVALID_DESTINATION));
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(8, CommandStatus::OK)]);
    assert_eq!(kept.kinds().last(), Some(&Kind::Finish));
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_session_that_goes_leaves_it_to_another_one_and_the_last_one_to_the_journal() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    given(&mut kept, link, "A1");
    let (second, heard) = kept.binds("acme", BindKind::Receiver);
    assert_eq!(heard.len(), 0);
    kept.rig.reset(link);
    kept.turn();
    given(&mut kept, second, "A1");
    assert_eq!(told(&mut kept, alpha), []);
    kept.rig.reset(second);
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    let (third, waited) = kept.takes("acme");
    assert_eq!(waited.receipt_ids().1.as_deref(), Some("A1"));
    kept.rig.send(third, &answer(&waited, ""));
    kept.durable();
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::Sent, Kind::DlrIn, Kind::Finish]);
}

#[test]
fn a_journal_without_room_leaves_the_answer_to_the_esme() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.full(true);
    kept.rig.advance(RECEIPT_AT_ONCE);
    kept.durable();
    assert_eq!(told(&mut kept, alpha), []);
    kept.rig.send(link, &answer(&one, ""));
    kept.turn();
    assert_eq!(told(&mut kept, alpha), [(7, CommandStatus::OK)]);
    kept.full(false);
    kept.durable();
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::Sent, Kind::Finish], "its end is written when there is room");
}

#[test]
fn an_intermediate_receipt_is_written_down_as_ever() {
    let mut kept = up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.heard(link);
    let early = Dlr { id: "A1", number: NUMBER, stat: "ENROUTE", ..Dlr::default() };
    kept.rig.send(alpha, &early.write(7));
    kept.turn();
    kept.rig.silent(link);
    kept.durable();
    given(&mut kept, link, "A1");
    assert_eq!(kept.kinds(), [Kind::Sent, Kind::DlrIn]);
}

#[test]
fn after_a_crash_before_the_end_was_safe_the_carrier_sends_it_again_and_the_message_has_one_end() {
    let (mut kept, link, alpha) = begun();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    given(&mut kept, link, "A1");
    let mut kept = asking(Kept::again(acme(), kept.papers));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 8));
    let one = given(&mut kept, link, "A1");
    kept.rig.send(link, &answer(&one, ""));
    kept.durable();
    assert_eq!(told(&mut kept, alpha), [(8, CommandStatus::OK)]);
    assert_eq!(kept.ends().len(), 1);
}

#[test]
fn one_that_waits_for_its_turn_is_passed_by_none_behind_it_when_its_account_gets_late() {
    let (mut kept, link, alpha) = begun();
    for (sequence, id) in [(3, "A3"), (4, "A4")] {
        kept.accepted(link, NUMBER, sequence, id);
    }
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    kept.durable();
    let mut heard = kept.rig.heard(link);
    let first: Vec<_> = heard.drain(2..).filter_map(|heard| heard.receipt_ids().1).collect();
    assert_eq!(first, ["A1", "A2"], "behind the responses");
    // This response waits for its record, and with it the turn of A3.
    kept.accepted(link, NUMBER, 5, "A5");
    kept.rig.send(alpha, &receipt("A3", NUMBER, 9));
    kept.rig.advance(RECEIPT_AT_ONCE);
    kept.rig.send(alpha, &receipt("A4", NUMBER, 10));
    (0..3).for_each(|_| kept.durable());
    let ids: Vec<_> = kept.rig.heard(link).iter().skip(1).filter_map(|heard| heard.receipt_ids().1).collect();
    assert_eq!(ids, ["A3", "A4"]);
}

#[test]
fn one_passes_none_before_it_that_waits_for_its_record() {
    let (mut kept, link, alpha) = begun();
    let held = |kept: &Kept| {
        let accounts = kept.rig.shards.iter().flat_map(|shard| shard.accounts.iter());
        accounts.map(|account| account.held).sum::<u32>()
    };
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    let one = given(&mut kept, link, "A1");
    kept.rig.send(link, &refusal(&one, CommandStatus::QUEUE_FULL));
    kept.turn();
    assert_eq!(held(&kept), 1);
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    kept.turn();
    kept.rig.silent(link);
    kept.durable();
    kept.durable();
    assert_eq!((held(&kept), kept.rig.heard(link).len()), (0, 0));
    kept.rig.advance(RECEIPT_AGAIN + Duration::from_millis(10));
    let ids: Vec<_> = kept.rig.heard(link).iter().filter_map(|heard| heard.receipt_ids().1).collect();
    assert_eq!(ids, ["A1", "A2"]);
}
