//! `mode = "store"`: who is answered when, who gets what in which order, and what every kind of end leaves behind.

use super::journal::Kept;
use super::pdus::{
    Dlr, Heard, answer, cancel, header, multi, number, query, receipt, refusal, replace, submit, submit_text,
};
use super::rig::{EIO, ENOSPC, Rig, config, member};
use crate::config::{Config, Homes, Journal, Retry};
use crate::counters::Reason;
use crate::esme::settings::{Durability, Mode};
use crate::ids::{ClassId, LinkId, ShardId};
use crate::journal::{Fault, Kind};
use crate::route::lanes::ClassSettings;
use crate::route::settings::OnUnknown;
use crate::session::BindKind;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::operations::{QuerySmResp, ReplaceSm};
use crate::smpp::receipt::Receipt;
use crate::smpp::sm::{Content, Sm};
use crate::smpp::status::CommandStatus;
use crate::smpp::times::absolute;
use crate::time::{Duration, Wall};

const NUMBER: &str = "38267000001";
const OTHER: &str = "38267000002";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn stored(carriers: &[&str]) -> Config {
    let mut config = config(&["acme"], carriers);
    config.esmes[0].mode = Mode::Store;
    // Nobody is asked whether he is there while hours pass.
    (config.esmes[0].inactivity_timeout, config.esmes[0].enquire_link_interval) = (DAY, DAY);
    config.carriers.iter_mut().for_each(|carrier| carrier.enquire_link_interval = DAY);
    let retry = Retry { waits: vec![5 * SECOND, 60 * SECOND], jitter: 0, give_up_after: 3600 * SECOND };
    config.journal = Some(Journal {
        durability: Durability::Group,
        group_commit: Duration::ZERO,
        segment_size: 64 << 20,
        size_max: 1 << 30,
        min_free: 10,
        retry,
    });
    config
}

impl Kept {
    /// A message that was taken: its id.
    pub(super) fn taken(&mut self, link: LinkId, octets: &[u8]) -> String {
        self.rig.send(link, octets);
        self.durable();
        let response = self.rig.one(link);
        assert_eq!(response.status(), CommandStatus::OK);
        self.durable();
        response.id()
    }

    /// What the only session of a carrier was sent.
    pub(super) fn given(&mut self, carrier: usize) -> Vec<Heard> {
        let link = self.rig.carrier(carrier);
        self.durable();
        let mut given = self.rig.heard(link);
        for asked in given.extract_if(.., |heard| heard.command() == CommandId::ENQUIRE_LINK) {
            self.rig.send(link, &header(asked.command().response(), CommandStatus::OK, asked.sequence()));
        }
        given
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.rig.advance(span);
        self.durable();
    }

    /// The state of the one receipt that an account gets, which it answers.
    fn told(&mut self, link: LinkId, id: &str) -> MessageState {
        self.durable();
        let receipt = self.rig.one(link);
        let state = {
            let sm = receipt.sm();
            let receipt = Receipt::parse(&sm, false).unwrap();
            assert_eq!(
                receipt.text_id().map(|id| String::from_utf8_lossy(id).into_owned()).as_deref(),
                Some(id)
            );
            receipt.state.unwrap()
        };
        self.rig.send(link, &answer(&receipt, ""));
        self.turn();
        state
    }

    pub(super) fn settled(&mut self) {
        self.turn();
        self.rig.assert_settled();
        assert!(self.nothing_is_needed());
        assert_eq!(self.rig.sum(|cells| cells.stored.get()), 0);
    }
}

pub(super) fn texts(given: &[Heard]) -> Vec<String> {
    given.iter().map(Heard::text).collect()
}

fn timed(text: &str, schedule: &[u8], validity: &[u8]) -> Vec<u8> {
    let content = Content {
        registered_delivery: 1,
        short_message: text.as_bytes(),
        schedule_delivery_time: schedule,
        validity_period: validity,
        ..Content::default()
    };
    let sm = Sm { source: number("14499"), destination: number(NUMBER), content, ..Sm::default() };
    let mut out = Vec::new();
    sm.write(&mut out, CommandId::SUBMIT_SM, 1);
    out
}

#[test]
fn a_message_is_answered_when_its_record_is_safe_and_sent_when_the_attempt_is_written() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(link, &submit(NUMBER, 7));
    kept.turn();
    kept.written();
    kept.rig.silent(link);
    kept.rig.silent(alpha);
    kept.durable();
    let response = kept.rig.one(link);
    assert_eq!((response.status(), response.sequence()), (CommandStatus::OK, 7));
    assert_eq!(kept.kinds(), [Kind::Accept, Kind::Sending]);
    kept.written();
    let request = kept.rig.one(alpha);
    assert_eq!(request.destination(), NUMBER);
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    assert_eq!(kept.told(link, &response.id()), MessageState::Delivered);
    assert_eq!(kept.kinds(), [Kind::Accept, Kind::Sending, Kind::Sent, Kind::DlrIn, Kind::Finish]);
    assert_eq!(kept.ends()[0].5, "A1");
    kept.settled();
}

#[test]
fn what_comes_while_the_only_carrier_is_down_goes_out_in_order_when_it_is_up_whoever_has_gone() {
    let mut config = stored(&["alpha"]);
    config.carriers[0].window_max = 2;
    let mut kept = Kept::up(config);
    let link = kept.rig.trx("acme");
    let alpha = kept.rig.carrier(0);
    kept.rig.reset(alpha);
    for text in ["1", "2", "3", "4", "5"] {
        kept.taken(link, &submit_text(&format!("38267{text}"), 1, text, 0));
    }
    kept.rig.reset(link);
    kept.pass(40 * 60 * SECOND);
    kept.rig.carrier_up(0);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let given = kept.given(0);
        assert!(given.len() <= 2, "its window");
        seen.extend(texts(&given));
        let alpha = kept.rig.carrier(0);
        given.iter().for_each(|request| kept.rig.send(alpha, &answer(request, "")));
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    kept.durable();
    assert_eq!(kept.ends().len(), 5);
    kept.settled();
}

#[test]
fn messages_to_one_number_leave_one_after_the_other_and_others_pass_them() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.taken(link, &submit_text(NUMBER, 1, "1", 0));
    kept.taken(link, &submit_text(NUMBER, 1, "2", 0));
    kept.taken(link, &submit_text(OTHER, 1, "3", 0));
    let given = kept.given(0);
    assert_eq!(texts(&given), ["1", "3"]);
    kept.rig.send(alpha, &refusal(&given[0], CommandStatus::QUEUE_FULL));
    assert!(kept.given(0).is_empty(), "the first is to be tried again");
    kept.pass(5 * SECOND);
    let again = kept.given(0);
    assert_eq!(texts(&again), ["1"]);
    kept.rig.send(alpha, &answer(&again[0], ""));
    assert_eq!(texts(&kept.given(0)), ["2"]);
}

#[test]
fn a_message_whose_record_was_safe_sooner_than_it_looked_does_not_pass_the_one_before_it() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let link = kept.rig.trx("acme");
    kept.quick_from(2);
    kept.rig.send(link, &[submit_text(NUMBER, 1, "1", 0), submit_text(NUMBER, 2, "2", 0)].concat());
    let answered: Vec<u32> = kept.rig.heard(link).iter().map(Heard::sequence).collect();
    assert_eq!(answered, [1, 2]);
    assert_eq!(texts(&kept.given(0)), ["1"]);
}

#[test]
fn a_refusal_for_now_is_another_attempt_elsewhere_or_later_and_one_for_good_is_the_end() {
    let mut config = stored(&["alpha", "beta"]);
    config.pools[0].members =
        vec![member(0, 1), crate::route::settings::MemberSettings { tier: 2, ..member(1, 1) }];
    let mut kept = Kept::up(config);
    let link = kept.rig.trx("acme");
    let (alpha, beta) = (kept.rig.carrier(0), kept.rig.carrier(1));
    let id = kept.taken(link, &submit(NUMBER, 1));
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &refusal(&request, CommandStatus::QUEUE_FULL));
    let request = kept.given(1).remove(0);
    kept.rig.send(beta, &refusal(&request, CommandStatus::QUEUE_FULL));
    assert!(kept.given(0).is_empty() && kept.given(1).is_empty());
    // The second wait counts two attempts.
    kept.pass(59 * SECOND);
    assert!(kept.given(0).is_empty());
    kept.pass(2 * SECOND);
    // A quantum goes on where it was.
    let request = kept.given(1).remove(0);
    kept.rig.send(beta, &refusal(&request, CommandStatus::INVALID_DESTINATION));
    assert_eq!(kept.told(link, &id), MessageState::Rejected);
    let none = crate::journal::record::NO_REASON;
    let end = (8, CommandStatus::INVALID_DESTINATION.0, none, Fault::Carrier, 3, String::new());
    assert_eq!(kept.ends(), [end]);
    kept.settled();
}

#[test]
fn a_throttled_attempt_is_none_and_the_message_waits_for_the_pace() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.taken(link, &submit_text(NUMBER, 1, "1", 0));
    for _ in 0..3 {
        let request = kept.given(0).remove(0);
        kept.rig.send(alpha, &refusal(&request, CommandStatus::THROTTLED));
        kept.pass(SECOND);
    }
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.durable();
    assert_eq!(kept.ends()[0].4, 1, "attempts");
    kept.settled();
}

#[test]
fn a_validity_that_is_over_is_a_receipt_and_a_final_record() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    let id = kept.taken(link, &timed("1", b"", b"000000010000000R"));
    kept.pass(3599 * SECOND);
    kept.rig.silent(link);
    kept.pass(2 * SECOND);
    assert_eq!(kept.told(link, &id), MessageState::Expired);
    assert_eq!(kept.ends()[0].0, 3);
    kept.settled();
    // Without one it is over when the node gives up.
    kept.taken(link, &submit_text(NUMBER, 1, "2", 0));
    kept.pass(3601 * SECOND);
    assert_eq!(kept.ends().len(), 2);
    kept.rig.send(link, &timed("1", b"", &absolute(Wall(kept.rig.now.wall.0 - 1_000_000))));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::INVALID_EXPIRY);
    assert_eq!(kept.rig.sum(|cells| cells.stored.get()), 0);
}

#[test]
fn a_validity_that_was_made_longer_ends_when_it_says() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    let id = kept.taken(link, &timed("1", b"", b"000000001000000R"));
    let (mut longer, message_id) = (Vec::new(), id.as_bytes());
    let replace = ReplaceSm {
        message_id,
        source: number("14499"),
        validity_period: b"000000003000000R",
        registered_delivery: 1,
        ..ReplaceSm::default()
    };
    replace.write(&mut longer, 7);
    kept.rig.send(link, &longer);
    kept.durable();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    // Over its former one.
    kept.pass(1799 * SECOND);
    kept.rig.silent(link);
    kept.pass(2 * SECOND);
    assert_eq!(kept.told(link, &id), MessageState::Expired);
    kept.settled();
}

#[test]
fn a_scheduled_message_can_be_asked_for_changed_and_taken_back_and_leaves_at_its_time() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let later = b"000000020000000R";
    let first = kept.taken(link, &timed("first", later, b"000000030000000R"));
    let second = kept.taken(link, &timed("second", later, b""));
    kept.rig.send(link, &query(&first, 3));
    let state = |heard: &Heard| QuerySmResp::parse(&heard.pdu()).unwrap().message_state;
    assert_eq!(state(&kept.rig.one(link)), MessageState::Enroute.octet(), "what 3.4 has for it");
    kept.rig.send(link, &cancel(&second, 4));
    assert!(kept.rig.heard(link).is_empty(), "a crash now would send it");
    kept.durable();
    let heard = kept.rig.heard(link);
    assert_eq!(heard[1].status(), CommandStatus::OK);
    kept.rig.send(link, &answer(&heard[0], ""));
    assert_eq!(kept.ends()[0].0, MessageState::Deleted.octet());
    kept.rig.send(link, &replace(&first, 5));
    kept.durable();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    kept.rig.send(link, &query("4711", 6));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::INVALID_MESSAGE_ID);
    kept.pass(2 * 3600 * SECOND - 3 * SECOND);
    kept.rig.silent(alpha);
    kept.pass(4 * SECOND);
    let request = kept.given(0).remove(0);
    let sm = request.sm();
    assert_eq!((sm.content.short_message, sm.content.schedule_delivery_time), (&b""[..], &b""[..]));
    assert_eq!(sm.content.validity_period.last(), Some(&b'+'), "a point in time");
    kept.rig.send(link, &cancel(&first, 7));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::CANCEL_FAILED, "its carrier has it");
}

#[test]
fn what_was_written_and_never_answered_fails_is_sent_again_or_waits_as_its_pool_says() {
    for policy in [OnUnknown::Fail, OnUnknown::Resend, OnUnknown::Hold] {
        let mut config = stored(&["alpha"]);
        config.pools[0].on_unknown = policy;
        config.pools[0].resend_after = 600 * SECOND;
        let mut kept = Kept::up(config);
        let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
        let id = kept.taken(link, &submit(NUMBER, 1));
        let request = kept.given(0).remove(0);
        kept.pass(9 * SECOND);
        match policy {
            OnUnknown::Fail => {
                assert_eq!(kept.told(link, &id), MessageState::Unknown);
                assert_eq!(kept.ends()[0].2, Reason::Unknown as u8);
                assert_eq!(kept.rig.refusals(0, Reason::Unknown), 1);
            }
            OnUnknown::Resend => {
                assert!(kept.given(0).is_empty());
                kept.pass(5 * SECOND);
                let again = kept.given(0).remove(0);
                kept.rig.send(alpha, &answer(&again, "A1"));
                kept.durable();
                kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
                kept.durable();
                assert_eq!(kept.told(link, &id), MessageState::Delivered);
            }
            OnUnknown::Hold => {
                assert!(kept.given(0).is_empty());
                kept.pass(300 * SECOND);
                assert!(kept.given(0).is_empty());
                kept.rig.send(alpha, &answer(&request, "A1"));
                kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
                kept.durable();
                assert_eq!(kept.told(link, &id), MessageState::Delivered, "it came late");
                assert_eq!(kept.ends()[0].4, 1);
            }
        }
        kept.turn();
        assert!(kept.nothing_is_needed(), "{policy:?}");
    }
}

#[test]
fn the_receipt_of_an_acceptance_that_came_late_waits_for_the_response_that_is_not_written_yet() {
    let mut config = stored(&["alpha"]);
    config.pools[0].on_unknown = OnUnknown::Resend;
    let mut kept = Kept::up(config);
    let (link, alpha) = (kept.rig.bind("acme", BindKind::Transmitter), kept.rig.carrier(0));
    let other = kept.rig.bind("acme", BindKind::Receiver);
    kept.rig.takes(link, 0);
    kept.rig.send(link, &submit(NUMBER, 1));
    kept.durable();
    let request = kept.given(0).remove(0);
    kept.pass(9 * SECOND);
    assert!(kept.given(0).is_empty());
    kept.pass(6 * SECOND);
    assert_eq!(kept.given(0).len(), 1, "it is sent again");
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.durable();
    kept.rig.silent(other);
    kept.rig.takes(link, usize::MAX);
    kept.pass(SECOND);
    let response = kept.rig.one(link);
    assert_eq!(kept.rig.one(other).receipt_ids().1, Some(response.id()));
}

#[test]
fn a_restart_finds_each_message_where_it_stood() {
    let build = || {
        let mut config = stored(&["alpha"]);
        config.pools[0].on_unknown = OnUnknown::Fail;
        config
    };
    let mut kept = Kept::up(build());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let unknown = kept.taken(link, &submit_text("1", 1, "unknown", 1));
    let refused = kept.taken(link, &submit_text("2", 1, "refused", 1));
    kept.taken(link, &submit_text("2", 1, "behind", 0));
    kept.taken(link, &timed("scheduled", b"000000002000000R", b""));
    let given = kept.given(0);
    assert_eq!(texts(&given), ["unknown", "refused"]);
    kept.rig.send(alpha, &refusal(&given[1], CommandStatus::QUEUE_FULL));
    kept.durable();
    kept.rig.reset(link);
    let mut kept = Kept::again(build(), kept.papers);
    kept.durable();
    let ((link, told), alpha) = (kept.takes("acme"), kept.rig.carrier(0));
    assert_eq!(told.receipt_ids().1, Some(unknown));
    kept.rig.send(link, &answer(&told, ""));
    assert!(kept.given(0).is_empty());
    kept.pass(5 * SECOND);
    let again = kept.given(0);
    assert_eq!(texts(&again), ["refused"]);
    kept.rig.send(alpha, &refusal(&again[0], CommandStatus::INVALID_DESTINATION));
    kept.durable();
    assert_eq!(kept.told(link, &refused), MessageState::Rejected);
    let behind = kept.given(0);
    assert_eq!(texts(&behind), ["behind"]);
    kept.rig.send(alpha, &answer(&behind[0], ""));
    kept.pass(20 * 60 * SECOND);
    let scheduled = kept.given(0);
    assert_eq!(texts(&scheduled), ["scheduled"]);
    kept.rig.send(alpha, &answer(&scheduled[0], "S1"));
    kept.rig.send(alpha, &receipt("S1", NUMBER, 9));
    kept.durable();
    let link_heard = kept.rig.heard(link);
    assert_eq!(link_heard.len(), 1);
    kept.rig.send(link, &answer(&link_heard[0], ""));
    kept.turn();
    assert_eq!(kept.ends().len(), 4);
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_receipt_of_ours_waits_over_a_restart_for_an_account_that_is_not_bound() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let id = kept.taken(link, &submit(NUMBER, 1));
    let request = kept.given(0).remove(0);
    kept.rig.reset(link);
    kept.rig.send(alpha, &refusal(&request, CommandStatus::INVALID_DESTINATION));
    kept.durable();
    assert_eq!(kept.kinds(), [Kind::Accept, Kind::Sending, Kind::Sent, Kind::DlrIn]);
    let mut kept = Kept::again(stored(&["alpha"]), kept.papers);
    let (link, given) = kept.takes("acme");
    assert_eq!(given.receipt_ids().0.as_deref(), Some(&*id));
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert_eq!(kept.ends()[0].0, MessageState::Rejected.octet());
    assert!(kept.nothing_is_needed());
}

#[test]
fn a_journal_without_room_refuses_new_messages_and_keeps_those_that_it_has() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let id = kept.taken(link, &submit(NUMBER, 1));
    let request = kept.given(0).remove(0);
    kept.full(true);
    kept.rig.send(link, &submit(OTHER, 2));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::QUEUE_FULL);
    assert_eq!(kept.rig.refusals(0, Reason::JournalFull), 1);
    // Its carrier takes it, and a receipt comes: both are written when there is room.
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::RECEIVER_TEMPORARY);
    kept.full(false);
    kept.durable();
    kept.rig.send(alpha, &receipt("A1", NUMBER, 10));
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    assert_eq!(kept.told(link, &id), MessageState::Delivered);
    assert_eq!(kept.ends().len(), 2, "the refusal, too");
    kept.settled();
}

#[test]
fn a_promise_that_the_disk_broke_is_none() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let link = kept.rig.trx("acme");
    let alpha = kept.rig.carrier(0);
    kept.rig.reset(alpha);
    kept.taken(link, &submit_text(OTHER, 1, "before", 0));
    kept.rig.send(link, &submit(NUMBER, 1));
    kept.failed(EIO);
    kept.turn();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::SYSTEM_ERROR);
    kept.rig.send(link, &submit(NUMBER, 2));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::SYSTEM_ERROR);
    kept.failed(ENOSPC);
    kept.rig.send(link, &submit(NUMBER, 3));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::QUEUE_FULL);
    kept.pass(2 * SECOND);
    kept.rig.carrier_up(0);
    assert!(kept.given(0).is_empty(), "no attempt could be written");
    kept.failed(0);
    kept.pass(SECOND);
    let given = kept.given(0);
    assert_eq!(texts(&given), ["before"]);
    let alpha = kept.rig.carrier(0);
    kept.rig.send(alpha, &answer(&given[0], ""));
    kept.durable();
    kept.settled();
}

#[test]
fn a_promise_that_a_full_disk_broke_may_be_made_later() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let link = kept.rig.trx("acme");
    kept.rig.send(link, &submit(NUMBER, 1));
    kept.failed(ENOSPC);
    kept.turn();
    assert_eq!(kept.rig.one(link).status(), CommandStatus::QUEUE_FULL);
    kept.failed(0);
    kept.taken(link, &submit(NUMBER, 2));
}

#[test]
fn stored_messages_of_a_higher_priority_leave_first() {
    let mut config = stored(&["alpha"]);
    let class = |name: &str, priority| ClassSettings { name: name.into(), priority, weight: 1 };
    config.classes = vec![class("bulk", 0), class("otp", 10)];
    config.esmes.push(config.esmes[0].clone());
    (config.esmes[1].name, config.esmes[1].system_id) = ("otp".into(), b"otp".to_vec());
    (0..2).for_each(|at| config.esmes[at].class = Some(ClassId::new(at)));
    config.carriers[0].window_max = 2;
    // Their home is the same: it decides.
    let homes = Homes::fixed(1, vec![ShardId(0); 2], vec![ShardId(0)]);
    let mut kept = Kept::on(Rig::placed(config, 1, homes, 8), Vec::new(), |_, _| ());
    let (bulk, otp, alpha) = (kept.rig.trx("acme"), kept.rig.trx("otp"), kept.rig.carrier(0));
    kept.rig.reset(alpha);
    for at in 0..3 {
        kept.taken(bulk, &submit_text(&format!("1{at}"), 1, "bulk", 0));
        kept.taken(otp, &submit_text(&format!("2{at}"), 1, "otp", 0));
    }
    kept.pass(2 * SECOND);
    kept.rig.carrier_up(0);
    let mut order = Vec::new();
    for _ in 0..6 {
        let given = kept.given(0);
        order.extend(texts(&given));
        let alpha = kept.rig.carrier(0);
        given.iter().for_each(|request| kept.rig.send(alpha, &answer(request, "")));
    }
    assert_eq!(order, ["otp", "otp", "otp", "bulk", "bulk", "bulk"]);
}

#[test]
fn a_message_that_did_not_arrive_goes_elsewhere_and_its_account_hears_of_the_last_one() {
    let mut config = stored(&["alpha", "beta"]);
    config.pools[0].members =
        vec![member(0, 1), crate::route::settings::MemberSettings { tier: 2, ..member(1, 1) }];
    config.pools[0].reroute_on_receipt = vec![MessageState::Undeliverable];
    let mut kept = Kept::up(config);
    let link = kept.rig.trx("acme");
    let (alpha, beta) = (kept.rig.carrier(0), kept.rig.carrier(1));
    let id = kept.taken(link, &submit(NUMBER, 1));
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &answer(&request, "A1"));
    kept.durable();
    let failed = Dlr { id: "A1", number: NUMBER, stat: "UNDELIV", ..Dlr::default() };
    kept.rig.send(alpha, &failed.write(9));
    kept.turn();
    kept.rig.silent(alpha);
    kept.durable();
    assert_eq!(kept.rig.one(alpha).status(), CommandStatus::OK);
    let request = kept.given(1).remove(0);
    assert_eq!(request.destination(), NUMBER);
    kept.rig.silent(link);
    kept.rig.send(beta, &answer(&request, "B1"));
    kept.rig.send(beta, &receipt("B1", NUMBER, 9));
    kept.durable();
    assert_eq!(kept.rig.one(beta).status(), CommandStatus::OK);
    assert_eq!(kept.told(link, &id), MessageState::Delivered);
    let ends = kept.ends();
    assert_eq!((ends.len(), ends[0].4, &*ends[0].5), (1, 2, "B1"));
    kept.settled();
}

#[test]
fn each_destination_of_a_submit_multi_is_a_message_of_its_own_under_one_id() {
    let mut kept = Kept::up(stored(&["alpha"]));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let id = kept.taken(link, &multi(&[NUMBER, OTHER], 1));
    let given = kept.given(0);
    let to: Vec<String> = given.iter().map(Heard::destination).collect();
    assert_eq!(to, [NUMBER, OTHER]);
    assert!(given.iter().all(|request| request.command() == CommandId::SUBMIT_SM));
    kept.rig.send(alpha, &answer(&given[0], "A1"));
    kept.rig.send(alpha, &refusal(&given[1], CommandStatus::INVALID_DESTINATION));
    kept.durable();
    assert_eq!(kept.told(link, &id), MessageState::Rejected);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 9));
    kept.durable();
    assert_eq!(kept.told(link, &id), MessageState::Delivered);
    assert_eq!(kept.ends().len(), 2);
    kept.settled();
}

#[test]
fn without_a_safe_record_nothing_is_asked_of_an_account_that_promises_nothing() {
    let mut config = stored(&["alpha"]);
    config.esmes[0].durability = Some(Durability::Off);
    let mut kept = Kept::up(config);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.rig.send(link, &submit(NUMBER, 1));
    assert_eq!(kept.rig.one(link).status(), CommandStatus::OK);
    kept.turn();
    assert_eq!(kept.rig.one(alpha).destination(), NUMBER);
}

#[test]
fn ids_stay_above_those_of_the_last_run_though_its_messages_are_over_and_the_clock_has_gone_back() {
    let mut kept = Kept::up(stored(&["alpha"]));
    kept.pass(DAY / 2);
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    let before: u64 = kept.taken(link, &submit_text(NUMBER, 1, "1", 0)).parse().unwrap();
    let request = kept.given(0).remove(0);
    kept.rig.send(alpha, &answer(&request, ""));
    kept.settled();
    // The rig begins at the same time as the first one.
    let mut kept = Kept::again(stored(&["alpha"]), kept.papers);
    let link = kept.rig.trx("acme");
    let after: u64 = kept.taken(link, &submit_text(NUMBER, 1, "2", 0)).parse().unwrap();
    assert!(after > before, "{after} {before}");
}
