//! Classes of traffic: who goes first where messages wait, and what the others keep.

use super::pdus::{Heard, answer, submit_text};
use super::rig::{Rig, config};
use crate::config::Config;
use crate::ids::{ClassId, LinkId};
use crate::route::lanes::ClassSettings;
use crate::smpp::command::CommandId;

/// Of `bulk` and `otp`, with a window of eight at their carrier.
fn classes() -> Config {
    let mut config = config(&["bulk", "otp"], &["alpha"]);
    let class = |name: &str, priority| ClassSettings { name: name.into(), priority, weight: 1 };
    config.classes = vec![class("bulk", 0), class("otp", 10)];
    (0..2).for_each(|at| config.esmes[at].class = Some(ClassId::new(at)));
    config.carriers[0].window_max = 8;
    config
}

fn submits(rig: &mut Rig, link: LinkId, text: &str, count: u32) {
    for sequence in 0..count {
        rig.send(link, &submit_text(&format!("38267{sequence}"), sequence + 1, text, 0));
    }
}

fn texts(heard: &[Heard]) -> Vec<String> {
    heard.iter().filter(|one| one.command() == CommandId::SUBMIT_SM).map(Heard::text).collect()
}

#[test]
fn a_slot_of_the_window_is_for_the_highest_priority() {
    let mut rig = Rig::up(classes());
    let (bulk, otp, alpha) = (rig.trx("bulk"), rig.trx("otp"), rig.carrier(0));
    submits(&mut rig, bulk, "bulk", 10);
    assert_eq!(texts(&rig.heard(alpha)).len(), 7);
    submits(&mut rig, otp, "otp", 2);
    assert!(texts(&rig.heard(alpha)).is_empty(), "those that wait are sent in order");
}

#[test]
fn what_waits_goes_by_priority_and_one_of_twenty_is_a_lower_one() {
    let mut rig = Rig::up(classes());
    let (bulk, otp, alpha) = (rig.trx("bulk"), rig.trx("otp"), rig.carrier(0));
    submits(&mut rig, bulk, "bulk", 20);
    submits(&mut rig, otp, "otp", 50);
    let mut open = rig.heard(alpha);
    let mut order = texts(&open);
    while let Some(request) = (!open.is_empty()).then(|| open.remove(0)) {
        rig.send(alpha, &answer(&request, ""));
        let more = rig.heard(alpha);
        order.extend(texts(&more));
        open.extend(more);
    }
    assert_eq!(order.len(), 70);
    let bulks = |order: &[String]| order.iter().filter(|text| *text == "bulk").count();
    assert_eq!(bulks(&order[..8]), 7, "the eighth slot is for otp");
    // 49 codes wait, and 13 of bulk.
    assert_eq!(bulks(&order[8..60]), 2 + 1, "{order:?}");
    rig.assert_settled();
}
