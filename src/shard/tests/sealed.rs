//! `[privacy] encrypt`: what messages say is nowhere in the journal, and goes on all the same.

use super::journal::{Kept, NUMBER, Paper};
use super::pdus::{Dlr, answer, submit_text};
use super::rig::Rig;
use super::store::{stored, texts};
use crate::config::Config;
use crate::ledger::Restored;
use crate::limits::JOURNAL_MOVE_ALWAYS_AT;
use crate::time::Duration;

const CODE: &str = "your code is 471133";

fn secrets(keys: &[u8]) -> Vec<[u8; 32]> {
    keys.iter().map(|key| [*key; 32]).collect()
}

fn papers(keys: &[u8]) -> Vec<Paper> {
    let mut paper = Paper::default();
    paper.keys = secrets(keys);
    vec![paper]
}

/// What a start with these keys cannot open.
fn unopened(papers: &mut [Paper], keys: &[u8]) -> usize {
    papers.iter_mut().for_each(|paper| paper.keys = secrets(keys));
    let unopened = |mut restored: Restored| {
        restored.settle();
        restored.unopened()
    };
    papers.iter_mut().map(|paper| unopened(paper.restored())).sum()
}

fn again(config: Config, papers: Vec<Paper>) -> Kept {
    Kept::on(Rig::new(config), papers, |_, _| ())
}

#[test]
fn a_stored_message_is_sealed_on_the_disk_and_leaves_as_it_came() {
    let mut kept = again(stored(&["alpha"]), papers(&[1]));
    kept.rig.shards.iter_mut().for_each(|shard| shard.keep_here(0, 0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    // The second one waits on the disk for its turn.
    for number in [NUMBER, "38267000009"] {
        kept.taken(link, &submit_text(number, 1, CODE, 1));
    }
    assert!(!kept.says(CODE.as_bytes()));
    let mut kept = again(stored(&["alpha"]), kept.papers);
    kept.rig.shards.iter_mut().for_each(|shard| shard.keep_here(0, 0));
    let given: Vec<String> = (0..4).flat_map(|_| texts(&kept.given(0))).collect();
    assert_eq!(given, [CODE, CODE]);
}

#[test]
fn a_receipt_that_waits_is_sealed_also_in_its_copy() {
    let mut kept = again(stored(&["alpha"]), papers(&[1]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.taken(link, &submit_text(NUMBER, 1, CODE, 1));
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.rig.reset(link);
    kept.rig.send(alpha, &Dlr { id: "A1", number: NUMBER, ..Dlr::default() }.write(7));
    kept.durable();
    kept.used(JOURNAL_MOVE_ALWAYS_AT);
    kept.pass(Duration::from_secs(2));
    assert!(!kept.says(CODE.as_bytes()) && !kept.says(b"stat:DELIVRD"));
    let mut kept = again(stored(&["alpha"]), kept.papers);
    let (_, receipt) = kept.takes("acme");
    assert!(receipt.text().contains("stat:DELIVRD"), "{}", receipt.text());
}

#[test]
fn while_a_key_changes_both_open_and_without_the_old_one_its_messages_are_counted() {
    let mut kept = again(stored(&["alpha"]), papers(&[1]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    kept.taken(link, &submit_text(NUMBER, 1, CODE, 1));
    let mut old = kept.papers;
    assert_eq!((unopened(&mut old, &[2]), unopened(&mut old, &[2, 1])), (1, 0));
    let mut kept = again(stored(&["alpha"]), old);
    let given = kept.given(0);
    assert_eq!(texts(&given), [CODE]);
    let alpha = kept.rig.carrier(0);
    kept.rig.send(alpha, &answer(&given[0], ""));
    kept.durable();
    assert_eq!(unopened(&mut kept.papers, &[2]), 0, "it is over");
}
