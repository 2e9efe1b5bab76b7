//! While much is under way, what the next PDUs of a link need is asked for before they are handled: nothing of what they mean
//! may change by that.

use super::journal::{Kept, NUMBER, OTHER, acme};
use super::pdus::{answer, header, mo, receipt, submit};
use crate::ids::LinkId;
use crate::limits::AHEAD_FROM;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;
use crate::time::Instant;

/// So many messages wait for their receipts that it pays.
fn busy() -> (Kept, LinkId, LinkId) {
    let mut kept = Kept::up(acme());
    kept.answer_receipts_until(Instant::ZERO);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for at in 0..AHEAD_FROM as u32 + 20 {
        kept.accepted(link, NUMBER, at + 1, &format!("A{at}"));
        kept.durable();
        kept.rig.heard(link);
    }
    (kept, link, alpha)
}

#[test]
fn what_comes_together_means_what_it_means_one_by_one() {
    let (mut kept, link, alpha) = busy();
    // More than are looked at together, and among them what has no place in any table.
    let mut octets = Vec::new();
    for (sequence, at) in (7..).zip(100..110) {
        octets.extend(receipt(&format!("A{at}"), NUMBER, sequence));
    }
    octets.extend(header(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 0xFFFF_0000));
    octets.extend(receipt("nobody's", NUMBER, 17));
    octets.extend(mo(OTHER, NUMBER, 18));
    octets.extend(receipt("", NUMBER, 19));
    octets.extend(header(CommandId::DELIVER_SM, CommandStatus::OK, 20));
    octets.extend(receipt("A3", NUMBER, 21));
    octets.extend_from_slice(&receipt("A4", NUMBER, 22)[..30]);
    kept.rig.send(alpha, &octets);
    let given = kept.rig.heard(link);
    let ids: Vec<String> = given.iter().filter_map(|one| one.receipt_ids().1).collect();
    let wanted: Vec<String> = (100..110).chain([3]).map(|at| format!("A{at}")).collect();
    assert_eq!(ids, wanted);
    let mut answers = Vec::new();
    given.iter().for_each(|one| answers.extend(answer(one, "")));
    kept.rig.heard(alpha);
    kept.rig.send(link, &answers);
    kept.durable();
    let told: Vec<u32> = kept.rig.heard(alpha).iter().map(|heard| heard.sequence()).collect();
    assert_eq!(told, (7..17).chain([21]).collect::<Vec<_>>());
    assert_eq!(kept.ends().len(), 11);
    kept.rig.send(alpha, &receipt("A4", NUMBER, 22)[30..]);
    assert_eq!(kept.rig.one(link).receipt_ids().1.as_deref(), Some("A4"));
}

#[test]
fn answers_of_a_carrier_that_come_together_are_each_for_its_own_message() {
    let (mut kept, link, alpha) = busy();
    let mut octets = Vec::new();
    (1..=20_u32).for_each(|at| octets.extend(submit(OTHER, 90_000 + at)));
    kept.rig.send(link, &octets);
    let asked = kept.rig.heard(alpha);
    assert_eq!(asked.len(), 20);
    let mut answers = Vec::new();
    for (at, one) in asked.iter().enumerate().rev() {
        answers.extend(answer(one, &format!("B{at}")));
        // Twice: the second one is for nobody.
        answers.extend(answer(one, "twice"));
    }
    kept.rig.send(alpha, &answers);
    kept.durable();
    let heard = kept.rig.heard(link);
    let said: Vec<(u32, String)> = heard.iter().map(|one| (one.sequence(), one.id())).collect();
    let wanted: Vec<(u32, String)> = (0..20).rev().map(|at| (90_001 + at, format!("B{at}"))).collect();
    assert_eq!(said, wanted);
}
