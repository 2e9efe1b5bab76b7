//! Messages that did not arrive and go elsewhere (`reroute_on_receipt`), over a restart.

use super::journal::{Kept, NUMBER};
use super::pdus::{Dlr, answer, receipt, submit_text};
use super::rig::{Rig, member};
use super::store::{stored, texts};
use crate::config::{Config, Homes};
use crate::ids::{LinkId, ShardId};
use crate::journal::Kind;
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_ALWAYS_AT};
use crate::route::settings::MemberSettings;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

/// What does not arrive by alpha goes to beta.
fn elsewhere() -> Config {
    let mut config = stored(&["alpha", "beta"]);
    config.pools[0].members = vec![member(0, 1), MemberSettings { tier: 2, ..member(1, 1) }];
    config.pools[0].reroute_on_receipt = vec![MessageState::Undeliverable];
    config
}

/// A message that alpha has accepted.
fn sent(kept: &mut Kept) -> LinkId {
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.taken(link, &submit_text(NUMBER, 1, "hello", 1));
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.durable();
    link
}

/// It did not arrive by alpha, and goes to beta, which delivers it.
fn goes_to_beta(kept: &mut Kept) {
    let (alpha, beta) = (kept.rig.carrier(0), kept.rig.carrier(1));
    let link = kept.rig.trx("acme");
    let failed = Dlr { id: "A1", number: NUMBER, stat: "UNDELIV", ..Dlr::default() };
    kept.rig.send(alpha, &failed.write(9));
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    let given = kept.given(1);
    assert_eq!(texts(&given), ["hello"]);
    kept.rig.silent(link);
    kept.rig.send(beta, &answer(&given[0], "B1"));
    kept.rig.send(beta, &receipt("B1", NUMBER, 9));
    kept.durable();
    kept.rig.one(beta);
    let told = kept.rig.one(link);
    kept.rig.send(link, &answer(&told, ""));
    kept.durable();
    let ends = kept.ends();
    assert_eq!(
        (ends.len(), ends[0].0, ends[0].4, &*ends[0].5),
        (1, MessageState::Delivered.octet(), 2, "B1")
    );
    assert!(kept.nothing_is_needed());
    kept.settled();
}

#[test]
fn after_a_restart_too_what_did_not_arrive_goes_elsewhere() {
    let mut kept = Kept::up(elsewhere());
    sent(&mut kept);
    assert_eq!(kept.kinds(), [Kind::Accept, Kind::Sending, Kind::SentKept]);
    // Also after the second one.
    let kept = Kept::again(elsewhere(), kept.papers);
    let mut kept = Kept::again(elsewhere(), kept.papers);
    assert!(kept.given(0).is_empty() && kept.given(1).is_empty(), "a carrier has it");
    goes_to_beta(&mut kept);
}

#[test]
fn after_a_restart_what_arrived_is_over() {
    let mut kept = Kept::up(elsewhere());
    sent(&mut kept);
    let mut kept = Kept::again(elsewhere(), kept.papers);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.durable();
    let told = kept.rig.one(link);
    kept.rig.send(link, &answer(&told, ""));
    kept.durable();
    assert!(kept.given(1).is_empty() && kept.nothing_is_needed());
    assert_eq!(kept.ends().len(), 1);
}

#[test]
fn without_its_pool_the_receipt_of_such_a_message_is_the_last_one() {
    let mut kept = Kept::up(elsewhere());
    sent(&mut kept);
    let mut config = elsewhere();
    config.pools[0].reroute_on_receipt.clear();
    let mut kept = Kept::again(config, kept.papers);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let failed = Dlr { id: "A1", number: NUMBER, stat: "UNDELIV", ..Dlr::default() };
    kept.rig.send(alpha, &failed.write(9));
    kept.durable();
    let told = kept.rig.one(link);
    kept.rig.send(link, &answer(&told, ""));
    kept.durable();
    assert!(kept.given(1).is_empty() && kept.nothing_is_needed());
}

#[test]
fn its_octets_are_copied_with_what_says_that_a_carrier_has_it() {
    let mut kept = Kept::up(elsewhere());
    let link = sent(&mut kept);
    for sequence in 0..2 * JOURNAL_BLOCK as u32 {
        kept.rig.send(link, &submit_text("", 10 + sequence, "nowhere", 0));
        assert_ne!(kept.rig.one(link).status(), CommandStatus::OK);
    }
    kept.used(JOURNAL_MOVE_ALWAYS_AT);
    (0..3).for_each(|_| kept.pass(Duration::from_secs(2)));
    assert_eq!(kept.kinds().iter().filter(|kind| **kind == Kind::Move).count(), 2);
    let front = kept.front() as usize;
    assert!(front > JOURNAL_BLOCK, "{front}");
    let given_back = kept.papers.iter_mut().filter(|paper| paper.frames.len() >= front);
    given_back.for_each(|paper| drop(paper.frames.drain(..front - 1)));
    let mut kept = Kept::again(elsewhere(), kept.papers);
    // The refusals are not looked at.
    kept.papers.iter_mut().for_each(|paper| paper.frames.clear());
    goes_to_beta(&mut kept);
}

#[test]
fn it_goes_with_its_account_to_another_shard() {
    let placed = |home| {
        let homes = Homes::fixed(2, vec![ShardId(home)], vec![ShardId(0); 2]);
        Rig::placed(elsewhere(), 1, homes, 8)
    };
    let mut kept = Kept::on(placed(0), Vec::new(), |_, _| ());
    sent(&mut kept);
    let mut kept = Kept::on(placed(1), kept.papers, |rig, strays| {
        let moved = core::mem::take(&mut strays[0].moved);
        let keys: Vec<u64> = moved.iter().map(|(_, key, _)| *key).collect();
        let (now, moved) = (rig.now, moved.into_iter().map(|(_, key, kept)| (key, kept)));
        assert!(rig.shards[1].adopt(now, moved.collect()).is_empty());
        assert_eq!(rig.shards[0].disown(now, &keys), 1);
    });
    kept.durable();
    let mut kept = Kept::on(placed(1), kept.papers, |_, _| ());
    goes_to_beta(&mut kept);
}
