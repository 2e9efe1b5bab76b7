//! The journal of a shard that is no more: what belongs to whom in it, and when it is over.

use super::journal::{Kept, Paper};
use super::pdus::{answer, receipt};
use super::rig::{Rig, config};
use crate::config::{Config, Homes};
use crate::ids::ShardId;
use crate::journal::{Cursors, Kind, Lsn};
use crate::shard::{Left, Surplus};

const NUMBER: &str = "38267000001";

fn accounts() -> Config {
    config(&["acme", "bank"], &["alpha"])
}

/// A message of each account, on the second of two shards, that waits for its receipt.
fn two_shards() -> Vec<Paper> {
    let homes = Homes::fixed(2, vec![ShardId(1); 2], vec![ShardId(0)]);
    let mut kept = Kept::on(Rig::placed(accounts(), 1, homes, 8), Vec::new(), |_, _| ());
    for (account, id) in [("acme", "A1"), ("bank", "B1")] {
        let link = kept.rig.trx(account);
        kept.accepted(link, NUMBER, 1, id);
        kept.durable();
        kept.rig.reset(link);
    }
    kept.papers
}

/// What its journal has for a node of one shard that knows these accounts.
fn left_of(paper: &mut Paper, esmes: &[&str]) -> Left {
    let config = config(esmes, &["alpha"]);
    Left::of(paper.restored(), &config, &Homes::one(&config))
}

fn kept_by(left: Left, paper: &Paper) -> Surplus {
    left.kept_by(1, Box::new(paper.pen.clone()))
}

fn kinds(paper: &mut Paper) -> Vec<Kind> {
    let mut kinds = Vec::new();
    paper.read(&mut |frame| kinds.push(frame.kind().unwrap()));
    kinds
}

#[test]
fn what_waits_in_it_goes_on_at_home_and_is_let_go_of() {
    let mut papers = two_shards();
    let mut second = papers.pop().unwrap();
    let mut left = left_of(&mut second, &["acme", "bank"]);
    assert_eq!((left.moved.len(), left.strangers), (2, 0));
    let moved = core::mem::take(&mut left.moved);
    assert!(moved.iter().all(|(home, ..)| *home == ShardId(0)));
    let keys: Vec<u64> = moved.iter().map(|(_, key, _)| *key).collect();
    let mut surplus = kept_by(left, &second);
    let one = Rig::placed(accounts(), 1, Homes::one(&accounts()), 8);
    let mut kept = Kept::on(one, papers, |rig, _| {
        let moved = moved.into_iter().map(|(_, key, kept)| (key, kept)).collect();
        assert!(rig.shards[0].adopt(rig.now, moved).is_empty());
        assert_eq!(surplus.disown(rig.now, &keys), 2);
    });
    assert!(!surplus.is_all_safe(), "it is not on the disk yet");
    kept.durable();
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 7));
    kept.durable();
    let given = kept.rig.one(link);
    assert_eq!(given.receipt_ids().1.as_deref(), Some("A1"));
    kept.rig.send(link, &answer(&given, ""));
    kept.durable();
    let again = left_of(&mut second, &["acme", "bank"]);
    assert_eq!((again.moved.len(), again.strangers), (0, 0), "a later start finds nothing there");
}

#[test]
fn what_is_of_nobody_stays_needed_there() {
    let mut second = two_shards().pop().unwrap();
    let mut left = left_of(&mut second, &["bank"]);
    let moved = core::mem::take(&mut left.moved);
    assert_eq!((moved.len(), left.strangers), (1, 1));
    let (now, keys) = (Rig::new(accounts()).now, [moved[0].1]);
    let mut surplus = kept_by(left, &second);
    assert_eq!(surplus.disown(now, &keys), 1);
    surplus.close(now);
    assert_eq!(surplus.look(now, None), Lsn(1), "the first is that of acme");
    assert!(surplus.is_closed() && surplus.is_read(None));
    assert_eq!(kinds(&mut second), [Kind::Sent, Kind::Sent, Kind::Tombstone, Kind::Tombstone]);
    let again = left_of(&mut second, &["acme", "bank"]);
    assert_eq!((again.moved.len(), again.strangers), (1, 0), "until its account is there again");
}

#[test]
fn it_is_not_over_before_every_sink_has_every_record() {
    let mut second = two_shards().pop().unwrap();
    let mut left = left_of(&mut second, &["acme", "bank"]);
    let keys: Vec<u64> = left.moved.iter().map(|(_, key, _)| *key).collect();
    left.moved.clear();
    let (now, cursors) = (Rig::new(accounts()).now, Cursors::new(2, 2));
    let mut surplus = kept_by(left, &second);
    assert_eq!(surplus.disown(now, &keys), 2);
    assert_eq!((surplus.look(now, Some(&cursors)), cursors.durable(1)), (Lsn(1), Lsn(2)));
    for (sink, next, front) in [(0, 5, 1), (1, 3, 3), (1, 5, 5)] {
        assert!(!surplus.is_read(Some(&cursors)));
        cursors.advance(sink, 1, Lsn(next));
        assert_eq!(surplus.look(now, Some(&cursors)), Lsn(front));
    }
    assert!(surplus.is_read(Some(&cursors)) && !surplus.is_closed());
    surplus.close(now);
    assert!(surplus.is_closed() && !surplus.is_read(Some(&cursors)), "they pass the last one, too");
}
