//! Stored messages whose octets are on the disk only: each reader of them waits until they are back.

use super::journal::Kept;
use super::pdus::{answer, cancel, header, refusal, replace, submit_text};
use super::store::{stored, texts};
use crate::ids::LinkId;
use crate::journal::Kind;
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_ALWAYS_AT, RECALL_AGAIN};
use crate::route::settings::Pattern;
use crate::shard::queues::Chosen;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const NUMBERS: [&str; 3] = ["38267000001", "38267000002", "38267000003"];

/// Messages of an account whose only carrier is down; nothing of them is in memory.
fn away() -> (Kept, LinkId, Vec<String>) {
    let mut kept = Kept::up(stored(&["alpha"]));
    kept.rig.shards.iter_mut().for_each(|shard| shard.keep_here(0, 0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    let texts = NUMBERS.iter().zip(["1", "2", "3"]);
    let ids = texts.map(|(number, text)| kept.taken(link, &submit_text(number, 1, text, 1))).collect();
    kept.turn();
    assert!(here(&kept) <= 1);
    (kept, link, ids)
}

/// Messages in memory: the first one is, for whoever looks for a carrier.
fn here(kept: &Kept) -> u64 {
    let octets = submit_text(NUMBERS[0], 1, "1", 1).len() as u64;
    kept.rig.sum(|cells| cells.stored_octets.get()).div_ceil(octets)
}

/// Its carrier is there again.
fn carrier_up(kept: &mut Kept) {
    kept.pass(Duration::from_secs(60));
    kept.rig.carrier_up(0);
}

/// What its carrier gets in some turns, each of which it accepts.
fn delivered(kept: &mut Kept) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..4 {
        let given = kept.given(0);
        let alpha = kept.rig.carrier(0);
        given.iter().for_each(|request| kept.rig.send(alpha, &answer(request, "")));
        seen.extend(texts(&given));
    }
    seen
}

#[test]
fn they_leave_in_their_order_once_they_are_read_and_so_after_a_restart() {
    let (mut kept, ..) = away();
    carrier_up(&mut kept);
    assert_eq!(delivered(&mut kept), ["1", "2", "3"]);
    let (kept, ..) = away();
    let mut again = Kept::again(stored(&["alpha"]), kept.papers);
    again.rig.shards.iter_mut().for_each(|shard| shard.keep_here(0, 0));
    assert_eq!(delivered(&mut again), ["1", "2", "3"]);
    assert_eq!(again.ends().len(), 3);
}

#[test]
fn a_refused_one_is_read_again_for_its_next_attempt() {
    let (mut kept, ..) = away();
    carrier_up(&mut kept);
    let given = kept.given(0);
    let alpha = kept.rig.carrier(0);
    for request in &given {
        kept.rig.send(alpha, &refusal(request, CommandStatus::QUEUE_FULL));
    }
    kept.durable();
    assert!(here(&kept) <= 1);
    kept.pass(Duration::from_secs(5));
    let others = delivered(&mut kept);
    assert_eq!((others.len(), texts(&given)), (3, vec!["1".to_owned()]));
    assert!(others.contains(&"1".to_owned()));
}

#[test]
fn cancel_and_replace_are_answered_when_their_message_was_read() {
    let (mut kept, link, ids) = away();
    kept.rig.send(link, &cancel(&ids[1], 7));
    kept.rig.send(link, &replace(&ids[2], 8));
    kept.durable();
    kept.durable();
    let heard = kept.rig.heard(link);
    let answered = |command: CommandId| {
        heard.iter().find(|one| one.command() == command.response()).map(|one| one.status())
    };
    assert_eq!(answered(CommandId::CANCEL_SM), Some(CommandStatus::OK));
    assert_eq!(answered(CommandId::REPLACE_SM), Some(CommandStatus::OK));
    carrier_up(&mut kept);
    let mut seen = delivered(&mut kept);
    seen.sort();
    assert_eq!(seen, ["", "1"], "the text was replaced by none");
}

#[test]
fn one_that_expires_is_read_for_its_receipt() {
    let (mut kept, link, ids) = away();
    kept.pass(Duration::from_secs(3601));
    kept.durable();
    kept.durable();
    let receipts = kept.rig.heard(link);
    assert_eq!(receipts.len(), 3);
    for (receipt, number) in receipts.iter().zip(NUMBERS) {
        assert_eq!(receipt.sm().source.digits, number.as_bytes());
        kept.rig.send(link, &header(CommandId::DELIVER_SM.response(), CommandStatus::OK, receipt.sequence()));
    }
    kept.durable();
    let ends = kept.ends();
    assert_eq!(ends.len(), ids.len());
    assert!(ends.iter().all(|end| end.0 == MessageState::Expired.octet()));
}

#[test]
fn one_that_cannot_be_read_is_tried_again_and_its_end_is_told_all_the_same() {
    let (mut kept, link, ids) = away();
    kept.unreadable(true);
    carrier_up(&mut kept);
    assert_eq!(delivered(&mut kept), ["1"], "it was here");
    kept.unreadable(false);
    kept.pass(RECALL_AGAIN);
    assert_eq!(delivered(&mut kept), ["2", "3"]);
    let (mut kept, lost, _) = away();
    kept.unreadable(true);
    kept.pass(Duration::from_secs(3601));
    kept.durable();
    kept.durable();
    assert_eq!(kept.rig.heard(lost).len(), ids.len(), "receipts that say no address");
    kept.rig.heard(link);
}

#[test]
fn an_operator_finds_them_by_their_addresses() {
    let (mut kept, ..) = away();
    let to = |text: &str| Chosen { to: Pattern::parse(text), ..Chosen::default() };
    assert_eq!((kept.messages(&to("38267000002")), kept.messages(&to("3826*"))), (1, 3));
    kept.turn();
    assert!(here(&kept) <= 1, "they are on the disk again");
}

#[test]
fn they_are_copied_to_the_end_of_the_journal_as_others_are() {
    let (mut kept, link, _) = away();
    for sequence in 0..2 * JOURNAL_BLOCK as u32 {
        kept.rig.send(link, &submit_text("", 10 + sequence, "nowhere", 0));
        assert_ne!(kept.rig.one(link).status(), CommandStatus::OK);
    }
    kept.used(JOURNAL_MOVE_ALWAYS_AT);
    kept.pass(Duration::from_secs(2));
    kept.pass(Duration::from_secs(2));
    assert_eq!(kept.kinds().iter().filter(|kind| **kind == Kind::Move).count(), 3);
    assert!(here(&kept) <= 1);
    carrier_up(&mut kept);
    assert_eq!(delivered(&mut kept), ["1", "2", "3"]);
}
