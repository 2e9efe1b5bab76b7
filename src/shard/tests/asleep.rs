//! Messages whose receipts are long in coming: on the disk alone, until something may be for them.

use super::journal::{Kept, NUMBER, OTHER, acme};
use super::pdus::{Dlr, Heard, answer, cancel, header, query, receipt};
use super::rig::Rig;
use crate::config::Config;
use crate::counters::Match;
use crate::esme::settings::{MessageIdSource, ReceiptsTo};
use crate::ids::{CarrierId, LinkId};
use crate::journal::Kind;
use crate::ledger::Ledger;
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_ALWAYS_AT, RECEIPT_KEEP};
use crate::shard::restore::Strays;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const SOON: Duration = Duration::from_millis(100);

fn up(config: Config) -> Kept {
    let mut kept = Kept::up(config);
    kept.rig.shards.iter_mut().for_each(|shard| shard.sleeps_after(SOON));
    kept
}

/// Messages that sleep.
fn asleep(kept: &Kept) -> usize {
    kept.rig.shards.iter().filter_map(|shard| Some(shard.records.as_ref()?.open.asleep.len())).sum()
}

/// Messages that their owners have in memory.
fn awake(kept: &Kept) -> usize {
    kept.rig.shards.iter().filter_map(|shard| Some(shard.records.as_ref()?.open.len())).sum()
}

fn passes(kept: &mut Kept) {
    for _ in 0..4 {
        kept.rig.advance(SOON);
        kept.turn();
    }
}

/// Two messages that the carrier has, and that sleep; the ids that their responses had.
fn begun(config: Config) -> (Kept, LinkId, LinkId, Vec<String>) {
    let mut kept = up(config);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let mut ids = Vec::new();
    for (sequence, number, id) in [(1, NUMBER, "A1"), (2, OTHER, "A2")] {
        kept.accepted(link, number, sequence, id);
        kept.durable();
        ids.push(kept.rig.one(link).id());
    }
    passes(&mut kept);
    assert_eq!((asleep(&kept), awake(&kept)), (2, 0));
    assert_eq!(kept.rig.sum(|cells| cells.indexed.get()), 2);
    (kept, link, alpha, ids)
}

/// Its account gets a receipt and answers it, and its carrier hears so.
fn through(kept: &mut Kept, (link, alpha): (LinkId, LinkId), sequence: u32) -> Option<String> {
    kept.durable();
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.durable();
    let told: Vec<_> = kept.rig.heard(alpha).iter().map(|heard| (heard.sequence(), heard.status())).collect();
    assert_eq!(told, [(sequence, CommandStatus::OK)]);
    given.receipt_ids().1
}

#[test]
fn a_message_leaves_memory_and_its_receipt_brings_it_back() {
    let (mut kept, link, alpha, _) = begun(acme());
    kept.rig.send(alpha, &receipt("A2", OTHER, 7));
    kept.turn();
    assert_eq!(through(&mut kept, (link, alpha), 7).as_deref(), Some("A2"));
    assert_eq!((asleep(&kept), kept.ends().len()), (1, 1));
    assert_eq!(kept.ends()[0].5, "A2");
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    kept.turn();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK, "known, and over");
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    assert_eq!(through(&mut kept, (link, alpha), 9).as_deref(), Some("A1"));
    assert!(kept.nothing_is_needed());
    assert_eq!(kept.rig.receipts(0, Match::Orphan), 0);
}

#[test]
fn it_keeps_the_id_that_its_account_was_given() {
    let mut config = acme();
    config.esmes[0].message_id = MessageIdSource::Own;
    let (mut kept, link, alpha, ids) = begun(config);
    assert_ne!(ids[0], "A1");
    kept.rig.send(alpha, &Dlr { id: "A1", number: NUMBER, tlvs: true, ..Dlr::default() }.write(7));
    assert_eq!(through(&mut kept, (link, alpha), 7), Some(ids[0].clone()));
}

#[test]
fn whose_a_receipt_is_is_not_decided_while_one_that_it_may_be_for_sleeps() {
    let mut kept = up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    // 16 in hexadecimal is 10: while nothing is known of how this carrier writes ids, a receipt with 16 may be for either.
    for (sequence, number, id) in [(1, NUMBER, "10"), (2, OTHER, "16")] {
        kept.accepted(link, number, sequence, id);
        kept.durable();
        kept.rig.one(link);
        if sequence == 1 {
            passes(&mut kept);
            assert_eq!(asleep(&kept), 1);
        }
    }
    kept.rig.send(alpha, &receipt("16", OTHER, 7));
    (0..3).for_each(|_| kept.durable());
    assert_eq!(asleep(&kept), 0);
    kept.rig.silent(link);
    kept.rig.advance(Duration::from_secs(3));
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    kept.rig.silent(link);
}

#[test]
fn a_message_that_something_is_known_of_stays() {
    let mut config = acme();
    let mut kept = up(config.clone());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    // Its record is not durable, and its response waits for that.
    kept.turn();
    passes(&mut kept);
    assert_eq!(asleep(&kept), 0);
    kept.durable();
    kept.rig.one(link);
    kept.accepted(link, OTHER, 2, "A2");
    kept.durable();
    kept.rig.one(link);
    let early = Dlr { id: "A2", number: OTHER, stat: "ENROUTE", ..Dlr::default() };
    kept.rig.send(alpha, &early.write(7));
    kept.durable();
    kept.rig.one(link);
    passes(&mut kept);
    assert_eq!(asleep(&kept), 0, "one was asked about too early, of the other a receipt has come");
    config.esmes[0].receipts = ReceiptsTo::Submitting;
    let mut kept = up(config);
    let link = kept.rig.trx("acme");
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    passes(&mut kept);
    assert_eq!(asleep(&kept), 0, "who submitted it is wanted");
}

#[test]
fn one_whose_response_has_not_left_us_stays_until_it_has() {
    let mut kept = up(acme());
    let link = kept.rig.trx("acme");
    kept.rig.takes(link, 3);
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    passes(&mut kept);
    assert_eq!(asleep(&kept), 0);
    kept.rig.takes(link, usize::MAX);
    passes(&mut kept);
    assert_eq!(asleep(&kept), 1);
}

fn named(heard: &[Heard], command: CommandId) -> Vec<CommandStatus> {
    heard.iter().filter(|one| one.command() == command).map(Heard::status).collect()
}

#[test]
fn an_operation_finds_it_by_either_id() {
    for source in [MessageIdSource::Own, MessageIdSource::Carrier] {
        let mut config = acme();
        config.esmes[0].message_id = source;
        let (mut kept, link, alpha, ids) = begun(config);
        kept.rig.send(link, &query(&ids[0], 5));
        kept.rig.send(link, &cancel("unknown", 6));
        (0..3).for_each(|_| kept.durable());
        let asked = kept.rig.one(alpha);
        assert_eq!((asked.command(), asked.id()), (CommandId::QUERY_SM, "A1".to_owned()), "{source:?}");
        assert_eq!(asleep(&kept), 1);
        let heard = kept.rig.heard(link);
        assert_eq!(named(&heard, CommandId::CANCEL_SM.response()), [CommandStatus::CANCEL_FAILED]);
        kept.rig.send(alpha, &header(CommandId::GENERIC_NACK, CommandStatus::QUERY_FAILED, asked.sequence()));
        kept.turn();
        kept.rig.heard(link);
        kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
        assert_eq!(through(&mut kept, (link, alpha), 9).as_deref(), Some(&*ids[0]));
    }
}

#[test]
fn it_is_over_when_its_receipt_does_not_come_in_time() {
    let (mut kept, ..) = begun(acme());
    kept.rig.oversleep(RECEIPT_KEEP);
    for _ in 0..4 {
        kept.rig.advance(Duration::from_secs(1));
        kept.durable();
    }
    let states: Vec<u8> = kept.ends().iter().map(|end| end.0).collect();
    assert_eq!(states, [MessageState::Unknown.octet(); 2]);
    assert_eq!((asleep(&kept), awake(&kept)), (0, 0));
    assert_eq!(kept.rig.sum(|cells| cells.indexed.get() + cells.journal_asleep.get()), 0);
    assert!(kept.nothing_is_needed());
}

#[test]
fn its_record_is_copied_to_the_end_and_it_comes_back_from_there() {
    let (mut kept, link, alpha, _) = begun(acme());
    kept.relays(link, 2 * JOURNAL_BLOCK as u32);
    kept.durable();
    kept.used(JOURNAL_MOVE_ALWAYS_AT);
    kept.rig.advance(Duration::from_secs(2));
    (0..3).for_each(|_| kept.durable());
    assert_eq!(kept.kinds().iter().filter(|kind| **kind == Kind::Move).count(), 2);
    assert!(kept.front() > JOURNAL_BLOCK as u64);
    assert_eq!(asleep(&kept), 2);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.turn();
    assert_eq!(through(&mut kept, (link, alpha), 7).as_deref(), Some("A1"));
    let mut kept = Kept::again(acme(), kept.papers);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(alpha, &receipt("A2", OTHER, 8));
    assert_eq!(through(&mut kept, (link, alpha), 8).as_deref(), Some("A2"));
    assert!(kept.nothing_is_needed());
}

/// Two ids of the first carrier that the index of sleeping messages does not tell apart.
fn alike() -> (String, String) {
    let mut seen = std::collections::HashMap::new();
    let mut ids = (1_000_000..2_000_000).map(|id: u32| id.to_string());
    let found = ids.find_map(|id| {
        let hash = Ledger::sleep_hash(CarrierId(0), id.as_bytes());
        Some((seen.insert(hash, id.clone())?, id))
    });
    found.expect("of a million ids some are alike")
}

#[test]
fn two_that_are_alike_both_wake_whichever_is_read_first() {
    let (one, other) = alike();
    for first in [&one, &other] {
        let mut kept = up(acme());
        let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
        for (sequence, number, id) in [(1, NUMBER, &one), (2, OTHER, &other)] {
            kept.accepted(link, number, sequence, id);
            kept.durable();
            kept.rig.one(link);
        }
        passes(&mut kept);
        assert_eq!(asleep(&kept), 2);
        let number = if *first == one { NUMBER } else { OTHER };
        kept.rig.send(alpha, &receipt(first, number, 7));
        kept.turn();
        assert_eq!(through(&mut kept, (link, alpha), 7).as_ref(), Some(first));
        assert_eq!((asleep(&kept), awake(&kept)), (0, 1), "nobody can tell");
    }
}

#[test]
fn after_a_restart_it_sleeps_on() {
    let (kept, ..) = begun(acme());
    let later = |rig: &mut Rig, _: &mut [Strays]| {
        rig.shards.iter_mut().for_each(|shard| shard.sleeps_after(Duration::ZERO));
    };
    let mut kept = Kept::on(Rig::new(acme()), kept.papers, later);
    assert_eq!((asleep(&kept), awake(&kept)), (2, 0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (sequence, number, id) in [(7, NUMBER, "A1"), (8, OTHER, "A2")] {
        kept.rig.send(alpha, &receipt(id, number, sequence));
        kept.turn();
        assert_eq!(through(&mut kept, (link, alpha), sequence).as_deref(), Some(id));
    }
    assert!(kept.nothing_is_needed());
}

#[test]
fn one_that_cannot_be_read_has_its_receipt_sent_again_later() {
    let (mut kept, link, alpha, ids) = begun(acme());
    kept.unreadable(true);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.rig.send(link, &query(&ids[1], 5));
    (0..3).for_each(|_| kept.durable());
    assert_eq!(kept.rig.events_named("journal_message_unreadable"), 2);
    kept.rig.advance(Duration::from_secs(3));
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    let heard = kept.rig.heard(link);
    assert_eq!(named(&heard, CommandId::QUERY_SM.response()), [CommandStatus::INVALID_MESSAGE_ID]);
    kept.unreadable(false);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 8));
    assert_eq!(through(&mut kept, (link, alpha), 8).as_deref(), Some("A1"));
}
