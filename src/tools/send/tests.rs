use super::settings::Encoding;
use super::*;
use crate::smpp::segment;
use crate::tools::smsc::settings::{StateShare, StatusShare};
use crate::tools::smsc::{self, Smsc};
use crate::tools::units::Share;
use crate::tools::wire::Wire;
use std::sync::mpsc::channel;

const LONG: Duration = Duration::from_secs(600);

#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

fn settings(line: &[&str]) -> Settings {
    let line = ["send"].iter().chain(line);
    <Alone as clap::Parser>::parse_from(line).settings
}

/// What was printed, how it ended, and the carrier.
fn run(send: Settings, smsc: smsc::Settings) -> (Vec<String>, Outcome, Smsc) {
    let parts = Parts::of(&send, 7).unwrap();
    let messages = Messages::new(&send.to, &send.from, parts, !send.receipt_wait.is_zero());
    let (lines, printed) = channel();
    let on_done = Box::new(move |message: &Message| lines.send(message.to_string()).unwrap());
    let mut wire = Wire::new(Sender::new(send, messages, on_done), Smsc::new(smsc));
    wire.run(LONG);
    assert!(wire.exited);
    let outcome = wire.near.outcome();
    (printed.try_iter().collect(), outcome, wire.far)
}

#[test]
fn each_number_gets_its_line_with_id_carrier_and_receipt() {
    let carrier = smsc::Settings {
        name: Some("alpha".into()),
        receipt_delay: Duration::from_millis(210),
        ..smsc::Settings::default()
    };
    let (lines, outcome, _) = run(settings(&["--to", "38267123456,38267123457", "--text", "hi"]), carrier);
    assert_eq!(outcome, Outcome::Good);
    let line = |to, id| format!("{to} id={id} status=ESME_ROK carrier=alpha receipt=DELIVRD err=000 0.21 s");
    assert_eq!(lines, [line("38267123456", "1000000001"), line("38267123457", "1000000002")]);
}

#[test]
fn a_long_text_goes_in_parts_and_is_done_when_the_last_is() {
    let text = "€".repeat(200);
    let (lines, outcome, smsc) =
        run(settings(&["--to", "381", "--text", &text]), smsc::Settings { keep: 9, ..Default::default() });
    assert_eq!((lines.len(), outcome), (1, Outcome::Good));
    assert!(lines[0].contains(" parts=3 "), "{}", lines[0]);
    let mut whole = Vec::new();
    for (number, bytes) in smsc.kept().iter().enumerate() {
        let pdu = Pdu::whole(bytes).unwrap();
        let sm = Sm::parse_submit(&pdu).unwrap();
        let part = segment::part_of(&sm.content).unwrap();
        assert_eq!((usize::from(part.number), part.total), (number + 1, 3));
        whole.extend_from_slice(segment::body(sm.content.esm_class, sm.content.short_message));
    }
    assert_eq!(crate::smpp::gsm7::decode_unpacked(&whole).collect::<String>(), text);
}

#[test]
fn the_alphabet_is_the_one_asked_for() {
    let parts = |line: &[&str]| Parts::of(&settings(line), 1);
    assert_eq!(settings(&["--to", "1", "--text", "x"]).encoding, Encoding::Auto);
    assert!(parts(&["--to", "1", "--text", "ж", "--encoding", "gsm7"]).is_err());
    assert!(parts(&["--to", "1", "--text", "ж"]).is_ok());
    assert!(parts(&["--to", "1", "--hex", "0102ff"]).is_ok());
    assert!(parts(&["--to", "1", "--hex", "012"]).is_err());
    assert!(parts(&["--to", "1", "--hex", "0x"]).is_err());
}

#[test]
fn a_refusal_and_a_failed_delivery_are_no_success() {
    let send = || settings(&["--to", "381", "--text", "hi"]);
    let errors = vec![StatusShare { status: CommandStatus::INVALID_DESTINATION, share: Share::ALL }];
    let (lines, outcome, _) = run(send(), smsc::Settings { errors, ..Default::default() });
    assert_eq!(outcome.exit_code(), 1);
    assert_eq!(lines, ["381 id=- status=ESME_RINVDSTADR carrier=- receipt=- err=- 0.00 s"]);
    let state = crate::smpp::message_state::MessageState::Undeliverable;
    let receipt_states = vec![StateShare { state, share: Share::ALL }];
    let (lines, outcome, _) = run(send(), smsc::Settings { receipt_states, ..Default::default() });
    assert_eq!(outcome.exit_code(), 1);
    assert!(lines[0].contains("receipt=UNDELIV err=001"), "{}", lines[0]);
}

#[test]
fn what_does_not_come_in_time_is_said_and_is_exit_code_5() {
    let send = || settings(&["--to", "381", "--text", "hi"]);
    let lost = smsc::Settings { receipt_lost: Share::ALL, ..Default::default() };
    let (lines, outcome, _) = run(send(), lost);
    assert_eq!(outcome.exit_code(), 5);
    assert!(lines[0].contains("status=ESME_ROK carrier=- receipt=-"), "{}", lines[0]);
    let (lines, outcome, _) = run(send(), smsc::Settings { drop: Share::ALL, ..Default::default() });
    assert_eq!(outcome.exit_code(), 5);
    assert!(lines[0].contains("id=- status=-"), "{}", lines[0]);
    let unasked = settings(&["--to", "381", "--text", "hi", "--receipt-wait", "0"]);
    let (lines, outcome, smsc) = run(unasked, smsc::Settings::default());
    assert_eq!((lines.len(), outcome.exit_code(), smsc.stats().receipts_sent.get()), (1, 0, 0));
}

#[test]
fn nobody_there_is_exit_code_4_and_nobody_let_in_is_1() {
    let send = settings(&["--to", "381", "--text", "hi"]);
    let parts = Parts::of(&send, 1).unwrap();
    let messages = Messages::new(&send.to, "", parts, true);
    let core = Sender::new(send.clone(), messages, Box::new(|_| {}));
    let mut wire = Wire::new(core, Smsc::new(smsc::Settings::default()));
    wire.unreachable = true;
    wire.run(LONG);
    assert_eq!(wire.near.outcome().exit_code(), 4);
    let accounts = vec!["other:pw".parse().unwrap()];
    let (lines, outcome, _) = run(send, smsc::Settings { accounts, ..Default::default() });
    assert_eq!((lines.len(), outcome.exit_code()), (1, 1));
    assert_eq!(outcome, Outcome::Failed("the bind was refused: ESME_RINVSYSID".into()));
}
