//! What a shard tells of itself, and what it counts by status and state.

use super::pdus::{answer, bind, header, mo, receipt, refusal, submit};
use super::rig::{Rig, config};
use crate::carrier::BindMode;
use crate::counters::{MESSAGE_STATES, Match, SLOT_STATES};
use crate::limits::STATUS_ROWS_MAX;
use crate::session::BindKind;
use crate::shard::bad::BadKind;
use crate::shard::port::{Answer, Ask, Input, Ticket};
use crate::shard::status::Status;
use crate::smpp::command::CommandId;
use crate::smpp::message_state::MessageState;
use crate::smpp::status::CommandStatus;
use crate::time::Duration;

const NUMBER: &str = "38267000001";

fn status(rig: &mut Rig) -> Status {
    rig.input_all(|| Input::Ask { ticket: Ticket(7), ask: Ask::Status });
    assert_eq!(rig.answers.len(), rig.shards.len());
    let answers = rig.answers.drain(..).map(|(ticket, answer)| {
        let Answer::Status(status) = answer else { panic!("asked for the status") };
        assert_eq!(ticket, Ticket(7));
        *status
    });
    answers.reduce(Status::join).unwrap()
}

#[test]
fn a_status_tells_windows_queues_and_who_is_bound() {
    let mut config = config(&["idle", "acme"], &["alpha"]);
    config.carriers[0].window_max = 2;
    let mut rig = Rig::up(config);
    let link = rig.trx("acme");
    for sequence in 1..=3 {
        rig.send(link, &submit(NUMBER, sequence));
    }
    rig.advance(Duration::from_millis(1500));
    let status = status(&mut rig);
    let names: Vec<_> = status.accounts.iter().map(|it| (&*it.name, it.sessions, it.in_flight)).collect();
    assert_eq!(names, [("acme", 1, 3), ("idle", 0, 0)], "those with sessions first");
    let alpha = &status.carriers[0];
    assert_eq!((alpha.window_used, alpha.window_max, alpha.queued), (2, 2, 1));
    assert_eq!(
        (alpha.oldest_ms, alpha.slots[0].state, alpha.slots[0].bound_ms),
        (Some(1500), "bound", Some(1500))
    );
    assert!(alpha.last_error.is_none() && alpha.id_form.is_none());
    let sessions: Vec<_> =
        status.sessions.iter().map(|it| (it.side, &*it.name, it.state, it.theirs)).collect();
    assert_eq!(sessions, [("carrier", "alpha", "trx", 0), ("esme", "acme", "trx", 3)]);
    assert_eq!((status.sessions[1].age_ms, status.sessions[1].heard_ms), (1500, 1500));
}

#[test]
fn a_refused_bind_is_the_last_error_and_the_next_dial_is_told() {
    let mut rig = Rig::new(config(&[], &["alpha"]));
    let link = rig.connect(0);
    let bind = rig.one(link);
    rig.send(link, &header(bind.command().response(), CommandStatus::BIND_FAILED, bind.sequence()));
    let status = status(&mut rig);
    let alpha = &status.carriers[0];
    let error = alpha.last_error.as_ref().unwrap();
    assert_eq!((&*error.reason, error.ago_ms), ("bind refused: ESME_RBINDFAIL", 0));
    assert_eq!(alpha.slots[0].state, "waiting");
    assert!(alpha.slots[0].dial_in_ms.is_some_and(|wait| (500..=1000).contains(&wait)));
}

#[test]
fn a_status_is_bounded_and_counts_what_it_leaves_out() {
    let names: Vec<String> = (0..STATUS_ROWS_MAX + 5).map(|at| format!("e{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = config(&names, &[]);
    config.listeners[0].connections_max = 2 * STATUS_ROWS_MAX as u32;
    config.listeners[0].connections_per_address = 2 * STATUS_ROWS_MAX as u32;
    let mut rig = Rig::new(config);
    let last = rig.trx(names[names.len() - 1]);
    let mut unbound: Vec<_> = (0..STATUS_ROWS_MAX).map(|_| rig.accept()).collect();
    let status = status(&mut rig);
    assert_eq!((status.accounts.len(), status.accounts_unlisted), (STATUS_ROWS_MAX, 5));
    assert_eq!(status.accounts[0].name, names[names.len() - 1]);
    assert_eq!((status.sessions.len(), status.sessions_unlisted), (STATUS_ROWS_MAX, 1));
    unbound.push(last);
    assert!(unbound.into_iter().all(|link| rig.is_open(link)), "asking changes nothing");
}

#[test]
fn answers_are_counted_by_status_on_both_sides() {
    let mut config = config(&["acme"], &["alpha"]);
    config.esmes[0].attempts_max = 1;
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &submit(NUMBER, 1));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "5"));
    rig.send(link, &submit(NUMBER, 2));
    let request = rig.one(alpha);
    rig.send(alpha, &refusal(&request, CommandStatus::INVALID_DESTINATION));
    rig.send(link, &submit("", 3));
    let told: Vec<_> = rig.heard(link).iter().map(|heard| heard.status()).collect();
    let wrong = CommandStatus::INVALID_DESTINATION;
    assert_eq!(told, [CommandStatus::OK, wrong, wrong]);
    let (esme, carrier) = (&rig.counters.esmes[0], &rig.counters.carriers[0]);
    let counts =
        |status: CommandStatus| (esme.answers.of(status.0).get(), carrier.answers.of(status.0).get());
    assert_eq!((counts(CommandStatus::OK), counts(wrong)), ((1, 1), (2, 1)));
    assert_eq!((esme.answers.sum(), carrier.answers.sum()), (3, 2));
    assert_eq!((esme.window_used(), carrier.window_used()), (0, 0));
}

#[test]
fn what_is_in_flight_is_over_with_its_session() {
    let mut rig = Rig::up(config(&["acme"], &["alpha"]));
    let link = rig.trx("acme");
    rig.send(link, &submit(NUMBER, 1));
    let used = |rig: &Rig| (rig.counters.esmes[0].window_used(), rig.counters.carriers[0].window_used());
    assert_eq!(used(&rig), (1, 1));
    rig.reset(link);
    assert_eq!(used(&rig), (0, 1));
    let alpha = rig.carrier(0);
    rig.reset(alpha);
    assert_eq!(used(&rig), (0, 0));
    assert_eq!(rig.counters.carriers[0].binds_failed.get(), 0, "a session that is lost was no failed bind");
}

#[test]
fn receipts_are_counted_by_state_and_match_and_mo_by_its_answer() {
    let mut config = config(&["acme"], &["alpha"]);
    config.mo_routes = Vec::new();
    let mut rig = Rig::up(config);
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    rig.send(link, &submit(NUMBER, 1));
    let request = rig.one(alpha);
    rig.send(alpha, &answer(&request, "5"));
    rig.one(link);
    rig.send(alpha, &receipt("5", NUMBER, 10));
    let given = rig.one(link);
    rig.send(link, &header(CommandId::DELIVER_SM_RESP, CommandStatus::OK, given.sequence()));
    rig.send(alpha, &receipt("6", NUMBER, 11));
    assert_eq!(rig.counters.carriers[0].parked.get(), 1);
    rig.advance(Duration::from_secs(3));
    rig.send(alpha, &mo(NUMBER, "14499", 12));
    let cells = &rig.counters.carriers[0];
    let delivered = usize::from(MessageState::Delivered.octet());
    let of = |what: Match| cells.receipts_by_state.at(what as usize * MESSAGE_STATES + delivered).get();
    assert_eq!((of(Match::Matched), of(Match::Parked), of(Match::Orphan)), (1, 1, 1));
    assert_eq!((rig.counters.esmes[0].receipts_by_state.at(delivered).get(), cells.parked.get()), (1, 0));
    let refused = cells.mo_by_status.of(CommandStatus::RECEIVER_TEMPORARY.0).get();
    assert_eq!((refused, cells.mo_by_status.sum()), (1, 1));
}

#[test]
fn sessions_are_counted_by_bind_and_state() {
    let mut config = config(&["acme"], &["alpha"]);
    config.carriers[0].sessions = 4;
    config.carriers[0].bind = BindMode::TxRx;
    let mut rig = Rig::new(config);
    let of = |rig: &Rig, bind: usize, state: &str| {
        let at = SLOT_STATES.iter().position(|name| *name == state).unwrap();
        rig.counters.carriers[0].slots.at(bind * SLOT_STATES.len() + at).get()
    };
    assert_eq!((of(&rig, 0, "connecting"), of(&rig, 1, "connecting")), (2, 2));
    rig.connect(0);
    assert_eq!((of(&rig, 0, "connecting"), of(&rig, 0, "binding")), (1, 1));
    rig.fail_connect(0);
    assert_eq!(of(&rig, 0, "waiting") + of(&rig, 1, "waiting"), 1);
    rig.bind("acme", BindKind::Receiver);
    let link = rig.bind("acme", BindKind::Transmitter);
    let bound = |rig: &Rig| [0, 1, 2].map(|bind| rig.counters.esmes[0].sessions_by_bind.at(bind).get());
    assert_eq!(bound(&rig), [1, 1, 0]);
    rig.reset(link);
    assert_eq!(bound(&rig), [0, 1, 0]);
    rig.input_all(|| Input::Drain);
    let retired = of(&rig, 0, "retired") + of(&rig, 1, "retired");
    assert_eq!((rig.counters.draining.get(), retired), (1, 3));
}

#[test]
fn the_last_bad_thing_of_each_kind_is_kept_for_each_peer_and_nothing_while_all_is_well() {
    let mut rig = Rig::up(config(&["acme", "bank"], &["alpha"]));
    let (link, alpha) = (rig.trx("acme"), rig.carrier(0));
    let clean = status(&mut rig);
    assert!(clean.accounts.iter().all(|it| it.bad.is_empty()) && clean.carriers[0].bad.is_empty());
    let mut beyond = submit(NUMBER, 2);
    let at = beyond.len() - 6;
    beyond[at] = 200;
    rig.send(link, &submit("", 1));
    rig.send(link, &beyond);
    let wrong = rig.accept_from("10.0.0.9:7");
    rig.send(wrong, &bind("bank", "wrong", BindKind::Transceiver, 0x34));
    let scanner = rig.accept_from("10.0.0.8:7");
    rig.send(scanner, b"GET / HTTP/1.1\r\n");
    rig.send(alpha, &receipt("nobody's", NUMBER, 5));
    rig.advance(Duration::from_secs(3));
    let status = status(&mut rig);
    let acme = &status.accounts[0];
    assert_eq!((&*acme.name, acme.bad.len()), ("acme", 1));
    let malformed = &acme.bad[0].bad;
    assert_eq!((malformed.kind, malformed.offset), (BadKind::MalformedPdu, Some(at + 1)));
    let octets = malformed.octets.as_deref().unwrap();
    assert!(octets.ends_with("c8.........."), "the text is masked: {octets}");
    assert_eq!(acme.bad[0].ago_ms, 3000);
    let bank = &status.accounts[1].bad[0].bad;
    assert_eq!((bank.kind, bank.reason), (BadKind::RefusedBind, "credentials"));
    assert_eq!(bank.peer.map(|peer| peer.to_string()).as_deref(), Some("10.0.0.9:7"));
    assert_eq!(status.carriers[0].bad[0].bad.kind, BadKind::UnmatchedReceipt);
    assert_eq!(status.strangers[0].bad.reason, "command_length");
}
