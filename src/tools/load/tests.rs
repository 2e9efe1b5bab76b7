use super::settings::Settings;
use super::*;
use crate::ids::ListenerId;
use crate::shard::port::{Core, Input};
use crate::smpp::frame::Frame;
use crate::throttle::Rate;
use crate::tools::record::tests::piped;
use crate::tools::smsc::settings::{IdForm, ReceiptForm, ReceiptSession, StatusShare};
use crate::tools::smsc::{self, Smsc};
use crate::tools::wire::Wire;

const LONG: Duration = Duration::from_secs(3600);

fn run(load: Settings, smsc: smsc::Settings) -> Wire<Load, Smsc> {
    let mut wire = Wire::new(Load::new(load), Smsc::new(smsc));
    wire.run(LONG);
    assert!(wire.near.phase == Phase::Done, "{:?}", wire.near.phase);
    wire
}

fn account(name: &str) -> Credentials {
    Credentials { system_id: name.into(), password: "pw".into() }
}

fn some(messages: u64) -> Settings {
    Settings { messages: Some(messages), receipts: Share::ALL, closed: true, ..Settings::default() }
}

#[test]
fn ten_thousand_messages_and_receipts_come_through_and_none_is_lost() {
    let accounts = vec![account("a"), account("b")];
    let wire =
        run(Settings { accounts, ..some(10_000) }, smsc::Settings { keep: 10_000, ..Default::default() });
    let counts = wire.near.counts();
    assert_eq!((counts.submitted.get(), counts.answered.get()), (10_000, 10_000));
    assert_eq!((counts.receipts_matched.get(), counts.faults()), (10_000, 0));
    assert_eq!(wire.near.report().exit_code(), 0);
    let stats = wire.far.stats();
    assert_eq!((stats.submits.get(), stats.receipts_acked.get(), stats.binds.max.get()), (10_000, 10_000, 8));
    let numbers: std::collections::BTreeSet<_> = wire
        .far
        .kept()
        .iter()
        .map(|bytes| {
            let pdu = Pdu::whole(bytes).unwrap();
            Sm::parse_submit(&pdu).unwrap().content.short_message[..12].to_vec()
        })
        .collect();
    assert_eq!(numbers.len(), 10_000, "every message has its own number");
    assert_eq!(stats.sockets.now.get(), 0);
}

#[test]
fn every_way_that_a_receipt_comes_is_matched() {
    for form in [ReceiptForm::Text, ReceiptForm::Tlv, ReceiptForm::Payload] {
        let smsc = smsc::Settings {
            receipt_form: form,
            receipt_session: ReceiptSession::Any,
            receipt_early: "30%".parse().unwrap(),
            receipt_shuffle: true,
            receipt_delay: Duration::from_millis(500),
            delay: Duration::from_millis(20),
            id_form: IdForm::Uuid,
            ..smsc::Settings::default()
        };
        let load = Settings { bind: BindKind::TxRx, ..some(2_000) };
        let wire = run(load, smsc);
        let counts = wire.near.counts();
        assert_eq!((counts.receipts_matched.get(), counts.faults()), (2_000, 0), "{form:?}");
    }
}

#[test]
fn lost_doubled_and_dropped_are_each_counted_as_what_they_are() {
    let lost = smsc::Settings { receipt_lost: "10%".parse().unwrap(), ..Default::default() };
    let wire = run(some(1000), lost);
    let lost = wire.far.stats().receipts_lost.get();
    assert!(lost > 0);
    assert_eq!(wire.near.counts().receipts_missing.get(), lost);
    assert_eq!(wire.near.report().exit_code(), 1);

    let doubled = smsc::Settings { receipt_duplicate: "10%".parse().unwrap(), ..Default::default() };
    let wire = run(some(1000), doubled);
    assert_eq!(wire.near.counts().receipts_doubled.get(), wire.far.stats().receipts_duplicated.get());
    assert_eq!(wire.near.counts().faults(), wire.near.counts().receipts_doubled.get());

    let dropped = smsc::Settings { drop: "10%".parse().unwrap(), ..Default::default() };
    let wire = run(Settings { receipts: Share::NONE, ..some(1000) }, dropped);
    let dropped = wire.far.stats().dropped.get();
    assert!(dropped > 0);
    assert_eq!(wire.near.counts().unanswered.get(), dropped);
    assert_eq!(wire.near.counts().faults(), dropped);
}

#[test]
fn a_refusal_is_counted_by_its_status_and_is_no_fault() {
    let errors = vec![StatusShare { status: CommandStatus::SYSTEM_ERROR, share: "20%".parse().unwrap() }];
    let wire = run(some(1000), smsc::Settings { errors, ..Default::default() });
    let counts = wire.near.counts();
    let refused = counts.responses.of(CommandStatus::SYSTEM_ERROR);
    assert!(refused > 100);
    assert_eq!(counts.responses.of(CommandStatus::OK) + refused, 1000);
    assert_eq!((counts.receipts_matched.get(), counts.faults()), (1000 - refused, 0));
}

#[test]
fn a_window_is_never_exceeded_and_is_used_whole() {
    let delay = Duration::from_millis(100);
    let load = Settings { binds: 2, window: 5, receipts: Share::NONE, ..some(100) };
    let wire = run(load, smsc::Settings { delay, ..Default::default() });
    // Ten in flight at a time, a hundred in all: ten rounds of a delay each.
    assert_eq!(wire.near.report().elapsed, delay * 10);
    assert_eq!(wire.near.report().response.quantile(1.0).as_millis(), 100);
}

#[test]
fn a_schedule_is_kept_and_waiting_counts_as_latency() {
    let rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    let load = Settings { rate, closed: false, receipts: Share::NONE, ..some(300) };
    let delay = Duration::from_millis(10);
    let wire = run(load, smsc::Settings { delay, ..Default::default() });
    assert_eq!(wire.near.report().elapsed.as_millis(), 2990 + 10);
    let rate = Some(Rate { units: 100, per: Duration::from_secs(1) });
    let load = Settings { rate, closed: false, receipts: Share::NONE, binds: 1, window: 1, ..some(100) };
    let delay = Duration::from_millis(20);
    let wire = run(load, smsc::Settings { delay, ..Default::default() });
    // Half the pace can be had: the last message waited for 99 others of 20 ms and was due after 990 ms.
    let longest = wire.near.report().response.quantile(1.0).as_millis();
    assert!((1005..=1015).contains(&longest), "{longest}");
}

#[test]
fn a_run_by_time_ends_in_time() {
    let span = Some(Duration::from_secs(3));
    let load = Settings { span, messages: None, receipts: Share::NONE, window: 1, binds: 1, ..some(1) };
    let wire = run(load, smsc::Settings { delay: Duration::from_millis(10), ..Default::default() });
    assert_eq!(wire.near.counts().submitted.get(), 300);
    assert_eq!(wire.near.counts().faults(), 0);
}

#[test]
fn a_lost_link_is_counted_and_bound_again() {
    let load = Settings { binds: 1, window: 4, receipts: Share::NONE, ..some(100) };
    let wire = run(load, smsc::Settings { close_after: Some(30), ..Default::default() });
    let counts = wire.near.counts();
    assert_eq!((counts.submitted.get(), counts.links_lost.get()), (100, 3));
    assert_eq!(counts.unanswered.get(), 100 - counts.answered.get());
    assert!(counts.unanswered.get() > 0);
}

#[test]
fn nobody_there_and_nobody_let_in_are_told_apart() {
    let mut wire = Wire::new(Load::new(some(10)), Smsc::new(smsc::Settings::default()));
    wire.unreachable = true;
    wire.run(LONG);
    assert_eq!((wire.exited, wire.near.report().exit_code()), (true, 4));
    let settings = smsc::Settings { accounts: vec![account("other")], ..Default::default() };
    let wire = run(some(10), settings);
    assert_eq!(wire.near.report().exit_code(), 1);
    assert_eq!(wire.near.report().failure, Some(Failure::Refused("ESME_RINVSYSID".into())));
    assert!(wire.near.report().text().contains("ESME_RINVSYSID"));
}

#[test]
fn mo_messages_are_answered_and_counted_apart() {
    let mo = Some(Rate { units: 10, per: Duration::from_secs(1) });
    let span = Some(Duration::from_secs(2));
    let load = Settings { span, window: 1, binds: 1, messages: None, ..some(1) };
    let delay = Duration::from_millis(50);
    let wire = run(load, smsc::Settings { mo, delay, ..Default::default() });
    let stats = wire.far.stats();
    assert!(wire.near.counts().mo.get() >= 20);
    assert_eq!((stats.mo_acked.get(), stats.mo_refused.get()), (wire.near.counts().mo.get(), 0));
    assert_eq!(wire.near.counts().faults(), 0);
}

/// A server that answers each account's submits with its own id and sends every receipt to the next session.
#[derive(Default)]
struct Crossing {
    links: Vec<LinkId>,
    count: u64,
    repeat: bool,
}

impl Core for Crossing {
    fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Accepted { link, listener: ListenerId(0), .. } => self.links.push(link),
            Input::Bytes { link, bytes } => {
                let mut rest = bytes;
                while let Frame::Whole(pdu, after) = Frame::next(rest, 100_000) {
                    rest = after;
                    self.answer(link, &pdu, out);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl Crossing {
    fn answer(&mut self, link: LinkId, pdu: &Pdu<'_>, out: &mut Outbox) {
        let response = pdu.command_id().response();
        if pdu.command_id() != CommandId::SUBMIT_SM {
            if !pdu.command_id().is_response() {
                write_header_only(out.to(link), response, CommandStatus::OK, pdu.sequence_number());
            }
            return;
        }
        self.count += 1;
        let id = if self.repeat { "1".to_owned() } else { format!("{}-{}", link.slot, self.count) };
        let answer = MessageIdResp::new(id.as_bytes());
        answer.write(out.to(link), response, CommandStatus::OK, pdu.sequence_number());
        if self.repeat {
            // The same response a second time.
            return answer.write(out.to(link), response, CommandStatus::OK, pdu.sequence_number());
        }
        let sm = Sm::parse_submit(pdu).unwrap();
        let text = format!("id:{id} sub:001 dlvrd:001 stat:DELIVRD err:000 text:");
        let receipt = Sm {
            source: sm.destination,
            destination: sm.source,
            content: crate::smpp::sm::Content {
                esm_class: 4,
                short_message: text.as_bytes(),
                ..Default::default()
            },
            ..Sm::default()
        };
        let other = self.links.iter().copied().find(|other| *other != link).unwrap();
        receipt.write(out.to(other), CommandId::DELIVER_SM, 1);
    }
}

#[test]
fn a_receipt_on_another_account_is_misdirected_and_never_matched() {
    let accounts = vec![account("a"), account("b")];
    let load = Settings { accounts, binds: 1, ..some(50) };
    let mut wire = Wire::new(Load::new(load), Crossing::default());
    wire.run(LONG);
    let counts = wire.near.counts();
    assert_eq!(counts.receipts_matched.get(), 0);
    assert_eq!((counts.receipts_misdirected.get(), counts.receipts_unknown.get()), (50, 0));
    assert_eq!(counts.receipts_missing.get(), 50);
    assert_eq!(wire.near.report().exit_code(), 1);
}

#[test]
fn a_second_response_and_a_second_use_of_an_id_are_faults() {
    let mut wire = Wire::new(
        Load::new(Settings { binds: 1, ..some(10) }),
        Crossing { repeat: true, ..Crossing::default() },
    );
    wire.run(LONG);
    let counts = wire.near.counts();
    assert_eq!(
        (counts.answered.get(), counts.responses_unknown.get(), counts.ids_repeated.get()),
        (10, 10, 9)
    );
    let report: serde_json::Value = serde_json::from_str(&wire.near.report().json()).unwrap();
    assert_eq!(report["ids_repeated"], 9);
    assert_eq!(report["response_latency"]["count"], 10);
    assert!(wire.near.report().text().contains("NOT GOOD"));
}

#[test]
fn the_record_names_every_answer_and_receipt() {
    let name = Some("alpha".to_owned());
    let smsc = smsc::Settings { name, id_first: 1000, ..Default::default() };
    let mut wire = Wire::new(Load::new(Settings { binds: 1, window: 1, ..some(2) }), Smsc::new(smsc));
    let (record, written) = piped();
    wire.near.record_to(record);
    wire.run(LONG);
    let lines: String = written.try_iter().collect();
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["start", "1782820860000000"]);
    let kinds: Vec<_> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(kinds, ["start", "answer", "receipt", "answer", "receipt"]);
    assert_eq!(lines[3][2..], ["demo", "2", "ESME_ROK", "1001"]);
    assert_eq!(lines[4][2..], ["demo", "1001", "DELIVRD", "alpha 000000000002 T"]);
}

#[test]
fn what_comes_for_another_accounts_number_is_misdirected() {
    let load = Settings { numbers: Some("14001-14002".parse().unwrap()), ..some(1000) };
    let mo = Some(Rate { units: 1000, per: Duration::from_secs(1) });
    let smsc = |to: &str| smsc::Settings {
        mo,
        mo_to: to.parse().unwrap(),
        delay: Duration::from_millis(10),
        ..Default::default()
    };
    let wire = run(load.clone(), smsc("14001"));
    let counts = wire.near.counts();
    assert_eq!((counts.receipts_matched.get(), counts.faults()), (1000, 0));
    assert!(counts.mo.get() > 10);
    let wire = run(load, smsc("14002"));
    let counts = wire.near.counts();
    assert!(counts.mo.get() > 10);
    assert_eq!((counts.mo_misdirected.get(), counts.faults()), (counts.mo.get(), counts.mo.get()));
}

#[test]
fn each_account_sends_from_its_own_number() {
    let accounts = vec![account("a"), account("b")];
    let load = Settings { accounts, numbers: Some("14001-14002".parse().unwrap()), ..some(1000) };
    let wire = run(load, smsc::Settings { keep: 1000, ..Default::default() });
    let counts = wire.near.counts();
    assert_eq!((counts.receipts_matched.get(), counts.faults()), (1000, 0));
    let from =
        |bytes: &Vec<u8>| Sm::parse_submit(&Pdu::whole(bytes).unwrap()).unwrap().source.digits.to_vec();
    let sources: std::collections::BTreeSet<_> = wire.far.kept().iter().map(from).collect();
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), [b"14001", b"14002"]);
}

const fn per_second(units: u64) -> Option<Rate> {
    Some(Rate { units, per: Duration::from_secs(1) })
}

/// An open loop for ten seconds after one of warming up.
fn warmed(rate: u64) -> Settings {
    Settings {
        rate: per_second(rate),
        span: Some(Duration::from_secs(10)),
        warmup: Some(Duration::from_secs(1)),
        ..Settings::default()
    }
}

#[test]
fn an_open_loop_of_a_thousand_a_second_for_ten_seconds_is_what_runs_when_nothing_is_said() {
    let wire = run(Settings::default(), smsc::Settings::default());
    let report = wire.near.report();
    assert_eq!((report.totals.get("answered"), report.measured.answered), (10_000, 10_000));
    assert_eq!((report.measured.span, report.measured.offered), (Duration::from_secs(10), Some(1000.0)));
    assert_eq!(report.verdict(), report::Verdict::Good);
}

#[test]
fn what_was_due_in_the_warm_up_is_checked_and_not_measured() {
    let delay = Duration::from_millis(50);
    let wire = run(warmed(100), smsc::Settings { delay, ..Default::default() });
    let report = wire.near.report();
    assert_eq!(report.totals.get("submitted"), 1100);
    assert_eq!((report.response.count(), report.health.sends), (1000, 1000));
    // Five of the warm-up are answered within the span, five of the span after it.
    assert_eq!((report.measured.answered, report.measured.span), (1000, Duration::from_secs(10)));
    assert!((report.rate() - 100.0).abs() < 1e-9);
    let by_number = Settings { span: None, messages: Some(500), ..warmed(100) };
    let report = run(by_number, smsc::Settings::default()).near.report();
    assert_eq!((report.totals.get("submitted"), report.response.count()), (600, 500));
    let closed = Settings { rate: None, closed: true, window: 1, binds: 1, ..warmed(1) };
    let report = run(closed, smsc::Settings { delay, ..Default::default() }).near.report();
    assert_eq!((report.totals.get("submitted"), report.response.count()), (220, 200));
    let by_number = Settings {
        rate: None,
        closed: true,
        window: 1,
        binds: 1,
        span: None,
        messages: Some(7),
        ..warmed(1)
    };
    let report = run(by_number, smsc::Settings { delay, ..Default::default() }).near.report();
    assert_eq!((report.totals.get("submitted"), report.response.count()), (27, 7));
}

#[test]
fn a_run_that_ends_in_its_warm_up_is_invalid() {
    let mut wire = Wire::new(Load::new(warmed(100)), Smsc::new(smsc::Settings::default()));
    wire.run(Duration::from_millis(500));
    wire.near.stopping = true;
    wire.run(LONG);
    let report = wire.near.report();
    assert!(report.totals.get("answered") > 0);
    assert_eq!((report.verdict(), report.exit_code()), (report::Verdict::Invalid, 1));
    assert!(report.text().starts_with("INVALID"), "{}", report.text());
}

#[test]
fn the_end_and_the_begin_of_measuring_are_told_and_every_second_too() {
    let (give, told) = std::sync::mpsc::channel();
    let mut wire = Wire::new(Load::new(warmed(100)), Smsc::new(smsc::Settings::default()));
    wire.near.listen(Box::new(move |notice| give.send(notice).unwrap()));
    let began = wire.now.wall.0;
    wire.run(LONG);
    let (mut seconds, mut marks) = (Vec::new(), Vec::new());
    for notice in told.try_iter() {
        match notice {
            Notice::Measuring(at) => marks.push((at.0 - began, 0)),
            Notice::Measured(at, answered) => marks.push((at.0 - began, answered)),
            Notice::Second(second) => seconds.push(second),
        }
    }
    assert_eq!(marks, [(1_000_000, 0), (11_000_000, 1000)]);
    let whole: Vec<_> = seconds.iter().filter(|second| second.span == Duration::from_secs(1)).collect();
    assert_eq!(whole.len(), 11);
    assert!(whole.iter().all(|second| second.submitted == 100 && second.response.count() == 100));
    assert_eq!(seconds.iter().filter(|second| second.measured).count(), 10);
    assert_eq!((seconds[0].measured, seconds[0].run_began.0, seconds[3].at.as_secs()), (false, began, 3));
    assert_eq!(seconds.iter().map(|second| second.answered).sum::<u64>(), 1100);
}

#[test]
fn a_generator_that_is_late_refuses_its_own_result_and_one_that_had_no_room_does_not() {
    let settings = Settings { span: Some(Duration::from_secs(1)), ..warmed(1000) };
    let mut wire = Wire::new(Load::new(settings.clone()), Smsc::new(smsc::Settings::default()));
    wire.lag = Duration::from_millis(5);
    wire.run(LONG);
    let report = wire.near.report();
    assert!(report.health.late_percent() > 50.0, "{}", report.health.late_percent());
    assert!(report.health.worst >= Duration::from_millis(5));
    assert_eq!((report.verdict(), report.exit_code()), (report::Verdict::Invalid, 1));
    let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&value["valid"], &value["verdict"]), (&false.into(), &"invalid".into()));
    assert!(value["invalid"].as_str().unwrap().contains("of sends late: result invalid"));

    let patient = Settings { late_max: Share::ALL, ..settings.clone() };
    let mut wire = Wire::new(Load::new(patient), Smsc::new(smsc::Settings::default()));
    wire.lag = Duration::from_millis(5);
    wire.run(LONG);
    assert_eq!(wire.near.report().verdict(), report::Verdict::Good);

    // The window is the limit, not the generator.
    let narrow = Settings { binds: 1, window: 1, ..settings };
    let delay = Duration::from_millis(10);
    let report = run(narrow, smsc::Settings { delay, ..Default::default() }).near.report();
    assert_eq!((report.health.late, report.health.held), (0, report.health.sends));
    assert_eq!(report.verdict(), report::Verdict::Good);
    assert!((report.rate() - 100.0).abs() < 1.1, "{}", report.rate());
}

#[test]
fn a_link_that_is_down_excuses_the_generator() {
    let load = Settings { binds: 1, window: 64, ..warmed(100) };
    let report = run(load, smsc::Settings { close_after: Some(300), ..Default::default() }).near.report();
    assert!(report.totals.get("links_lost") > 0);
    assert_eq!(report.health.late, 0);
    assert!(report.health.held > 50, "{}", report.health.held);
}

#[test]
fn a_share_of_the_messages_asks_and_no_other_receipt_is_waited_for() {
    let load = Settings { receipts: "30%".parse().unwrap(), ..some(10_000) };
    let wire = run(load, smsc::Settings::default());
    let counts = wire.near.counts();
    let matched = counts.receipts_matched.get();
    assert!((2_700..3_300).contains(&matched), "{matched}");
    assert_eq!((counts.faults(), wire.far.stats().receipts_acked.get()), (0, matched));
}

#[test]
fn a_mix_goes_out_in_its_shares_and_the_parts_of_a_message_on_one_session() {
    let mix = "gsm7:50,ucs2:30,long:20".parse().unwrap();
    let load = Settings { mix, ..some(5_000) };
    let smsc = smsc::Settings { keep: 5_000, ..Default::default() };
    let wire = run(load, smsc);
    assert_eq!((wire.near.counts().receipts_matched.get(), wire.near.counts().faults()), (5_000, 0));
    let (mut ucs2, mut parts) = (0, HashMap::new());
    for bytes in wire.far.kept() {
        let sm = Sm::parse_submit(&Pdu::whole(bytes).unwrap()).unwrap();
        ucs2 += u32::from(sm.content.data_coding == 8);
        if let Some(part) = crate::smpp::segment::part_of(&sm.content) {
            let of: &mut Vec<u8> = parts.entry((sm.destination.digits.to_vec(), part.reference)).or_default();
            of.push(part.number);
        }
    }
    // 30 of every 140 parts are UCS2, and 20 of every 100 messages are long.
    assert!((950..1200).contains(&ucs2), "{ucs2}");
    let whole = parts.values().filter(|numbers| **numbers == [1, 2, 3]).count();
    assert!((650..800).contains(&whole), "{whole}");
    assert!(parts.len() - whole <= 4, "only the ends of the sessions are cut: {}", parts.len() - whole);
}

#[test]
fn a_missed_threshold_comes_first_and_decides_the_exit_code() {
    let held = |texts: &[&str], smsc: smsc::Settings| {
        let thresholds = texts.iter().map(|text| text.parse().unwrap()).collect();
        run(Settings { thresholds, ..some(1000) }, smsc).near.report()
    };
    let slow = || smsc::Settings { delay: Duration::from_millis(20), ..Default::default() };
    let report = held(&["submit.p50<30ms", "receipt.p99<10ms"], slow());
    assert_eq!((report.exit_code(), report.verdict()), (10, report::Verdict::Missed));
    let text = report.text();
    let lines: Vec<_> = text.lines().take(3).collect();
    assert_eq!(lines[0], "MISSED      1 of 2 thresholds");
    assert!(lines[1].starts_with("  met       submit.p50<30ms  found 20."), "{text}");
    assert!(lines[2].starts_with("  MISSED    receipt.p99<10ms  found 20."), "{text}");
    assert_eq!(held(&["submit.p50<30ms"], slow()).exit_code(), 0);
    // What is lost is a fault, unless a threshold speaks of it.
    let lossy = || smsc::Settings { receipt_lost: "1%".parse().unwrap(), ..Default::default() };
    assert_eq!(held(&["submit.p50<30ms"], lossy()).exit_code(), 1);
    assert_eq!(held(&["lost<100"], lossy()).exit_code(), 0);
    assert_eq!(held(&["lost==0"], lossy()).exit_code(), 10);
}

/// True when `value` is what the schema says: types, required fields, no others.
fn fits(root: &serde_json::Value, schema: &serde_json::Value, value: &serde_json::Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(root, &root["$defs"][name.trim_start_matches("#/$defs/")], value);
    }
    let one_of = schema["enum"].as_array().is_none_or(|all| all.contains(value));
    let is = schema.get("const").is_none_or(|wanted| wanted == value);
    let typed = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => {
            value.as_array().is_some_and(|items| items.iter().all(|it| fits(root, &schema["items"], it)))
        }
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    let required = schema["required"].as_array().into_iter().flatten();
    let whole = required.filter_map(|name| name.as_str()).all(|name| value.get(name).is_some());
    let known = value.as_object().into_iter().flatten().all(|(name, field)| {
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(of), _) => fits(root, of, field),
            (None, serde_json::Value::Bool(allowed)) => *allowed,
            (None, of) => fits(root, of, field),
        }
    });
    one_of && is && typed && whole && known
}

#[test]
fn a_report_is_what_its_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(report::JSON_SCHEMA).unwrap();
    let thresholds = vec!["submit.p99<1s".parse().unwrap()];
    let open = run(Settings { thresholds, ..warmed(100) }, smsc::Settings::default()).near.report();
    let mut late = open.clone();
    late.health.late = 900;
    let refused = Report { failure: Some(Failure::Refused("no".into())), ..Report::default() };
    for report in [open, late, refused, run(some(10), smsc::Settings::default()).near.report()] {
        let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert!(fits(&schema, &schema, &value), "{value}");
        for (name, wrong) in [("more", 1.into()), ("mo", "1".into()), ("verdict", "fine".into())] {
            let mut broken = value.clone();
            broken[name] = wrong;
            assert!(!fits(&schema, &schema, &broken), "{name}");
        }
        let mut cut = value.clone();
        cut.as_object_mut().unwrap().remove("histogram");
        assert!(!fits(&schema, &schema, &cut));
    }
}
