//! Everything that is true on one shard is true when accounts and carriers are at home on different ones.

use super::pdus::{answer, bind, header, submit};
use super::rig::{Rig, config};
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::status::CommandStatus;

/// Runs the tests of this room again, each in a rig of so many shards.
fn again(shards: &str) {
    if std::env::var_os("RIG_SHARDS").is_some() {
        return;
    }
    let tests = std::env::current_exe().unwrap();
    let done = std::process::Command::new(tests)
        .args(["shard::tests::", "--quiet"])
        .env("RIG_SHARDS", shards)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(passed.and_then(|passed| passed.parse().ok()).is_some_and(|passed: u32| passed > 100), "{said}");
}

#[test]
fn all_of_it_holds_with_every_account_apart_from_every_carrier() {
    again("2");
}

#[test]
fn all_of_it_holds_over_three_shards() {
    again("3");
}

#[test]
fn a_bind_with_all_that_follows_it_is_answered_at_its_home_wherever_it_is_cut() {
    let mut whole = bind("acme", "secret", BindKind::Transceiver, 0x34);
    whole.extend(submit("38267000001", 2));
    whole.extend(header(CommandId::ENQUIRE_LINK, CommandStatus::OK, 3));
    for cut in 0..=whole.len() {
        let mut rig = Rig::up(config(&["acme"], &["alpha"]));
        let (link, alpha) = (rig.accept(), rig.carrier(0));
        rig.send(link, &whole[..cut]);
        rig.send(link, &whole[cut..]);
        let heard = rig.heard(link);
        let commands: Vec<_> = heard.iter().map(|heard| (heard.command(), heard.sequence())).collect();
        let bound = (CommandId::BIND_TRANSCEIVER_RESP, heard[0].sequence());
        assert_eq!(commands, [bound, (CommandId::ENQUIRE_LINK_RESP, 3)], "cut at {cut}");
        let request = rig.one(alpha);
        rig.send(alpha, &answer(&request, "a1"));
        let accepted = rig.one(link);
        assert_eq!((accepted.status(), accepted.sequence()), (CommandStatus::OK, 2), "cut at {cut}");
        rig.assert_settled();
    }
}
