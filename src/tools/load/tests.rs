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
