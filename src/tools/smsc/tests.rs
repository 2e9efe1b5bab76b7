use super::settings::{IdForm, ReceiptForm, ReceiptSession, StateShare, StatusShare, Version};
use super::*;
use crate::ids::ListenerId;
use crate::shard::port::Action;
use crate::smpp::data::DataSm;
use crate::smpp::frame::{Frame, write_pdu};
use crate::smpp::message_state::MessageState;
use crate::smpp::multi::SubmitMultiResp;
use crate::smpp::operations::{QuerySm, QuerySmResp};
use crate::smpp::receipt::Receipt;
use crate::smpp::response::MessageIdResp;
use crate::smpp::sm::{Address, Content, Sm, write_c_octets};
use crate::throttle::Rate;
use crate::time::Wall;
use crate::tools::record::tests::piped;
use crate::tools::units::{Credentials, Share};

const START: Now = Now { mono: Instant::from_nanos(3_600_000_000_000), wall: Wall(1_782_820_860_000_000) };
const TRX: CommandId = CommandId::BIND_TRANSCEIVER;

/// What came back: the PDUs as octets.
type Pdus = Vec<Vec<u8>>;

struct Bench {
    smsc: Smsc,
    out: Outbox,
    now: Now,
    links: u32,
    actions: Vec<Action>,
}

fn share(text: &str) -> Share {
    text.parse().unwrap()
}

fn ids_of(pdus: &Pdus) -> Vec<(CommandId, CommandStatus, u32)> {
    let header = |bytes: &Vec<u8>| *Pdu::whole(bytes).unwrap().header();
    pdus.iter().map(header).map(|h| (h.command_id, h.command_status, h.sequence_number)).collect()
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { smsc: Smsc::new(settings), out: Outbox::new(), now: START, links: 0, actions: Vec::new() }
    }

    fn connect(&mut self) -> LinkId {
        let link = LinkId { slot: self.links, generation: 1 };
        self.links += 1;
        self.out.open(link);
        let peer = "127.0.0.1:9".parse().unwrap();
        let input = Input::Accepted { link, listener: ListenerId(0), peer };
        self.smsc.handle(self.now, input, &mut self.out);
        link
    }

    fn close(&mut self, link: LinkId) {
        self.out.closed(link);
        self.smsc.handle(self.now, Input::Closed { link, reason: "test" }, &mut self.out);
    }

    /// Gives octets and takes what comes back on all links.
    fn give(&mut self, link: LinkId, write: impl FnOnce(&mut Vec<u8>)) -> Pdus {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.smsc.handle(self.now, Input::Bytes { link, bytes: &bytes }, &mut self.out);
        self.take()
    }

    fn take_by_link(&mut self) -> Vec<(LinkId, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((link, buffer)) = self.out.take_dirty() {
            self.out.flushed(link, buffer.len());
            let mut rest = &buffer[..];
            while let Frame::Whole(pdu, after) = Frame::next(rest, 100_000) {
                all.push((link, pdu.bytes().to_vec()));
                rest = after;
            }
            assert!(rest.is_empty());
        }
        let mut actions = Vec::new();
        self.out.take_actions(&mut actions);
        self.actions.extend(actions);
        all
    }

    fn take(&mut self) -> Pdus {
        self.take_by_link().into_iter().map(|(_, pdu)| pdu).collect()
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, span: Duration) -> Pdus {
        let until = self.now.mono.after(span);
        let mut all = Vec::new();
        while let Some(at) = self.smsc.deadline().filter(|at| *at <= until) {
            let at = at.max(self.now.mono);
            self.now.wall = Wall(self.now.wall.0 + at.since(self.now.mono).as_micros() as i64);
            self.now.mono = at;
            self.smsc.handle(self.now, Input::Time, &mut self.out);
            all.extend(self.take());
        }
        self.now.mono = until;
        all
    }

    fn bind_as(&mut self, name: &str, password: &str, command: CommandId) -> (LinkId, CommandStatus) {
        let link = self.connect();
        let bind = Bind {
            system_id: name.as_bytes(),
            password: password.as_bytes(),
            interface_version: 0x34,
            ..Bind::default()
        };
        let pdus = self.give(link, |out| bind.write(out, command, 1));
        let [(_, status, 1)] = ids_of(&pdus)[..] else { panic!("{pdus:?}") };
        (link, status)
    }

    fn bind(&mut self) -> LinkId {
        let (link, status) = self.bind_as("esme", "", TRX);
        assert!(status.is_ok());
        link
    }

    fn submit(&mut self, link: LinkId, sequence: u32, registered_delivery: u8) -> Pdus {
        self.give(link, |out| message(registered_delivery).write(out, CommandId::SUBMIT_SM, sequence))
    }

    fn acknowledge(&mut self, link: LinkId, sequence: u32, status: CommandStatus) -> Pdus {
        self.give(link, |out| {
            write_pdu(out, CommandId::DELIVER_SM_RESP, status, sequence, |out| write_c_octets(out, b""));
        })
    }
}

fn message(registered_delivery: u8) -> Sm<'static> {
    Sm {
        source: Address { ton: 5, npi: 0, digits: b"ACME" },
        destination: Address { ton: 1, npi: 1, digits: b"38267123456" },
        content: Content { registered_delivery, short_message: b"hello", ..Content::default() },
        ..Sm::default()
    }
}

fn is_receipt(pdu: &[u8]) -> bool {
    Pdu::whole(pdu).unwrap().command_id() == CommandId::DELIVER_SM
}

fn response_id(pdu: &[u8]) -> String {
    String::from_utf8(MessageIdResp::parse(&Pdu::whole(pdu).unwrap()).id.to_vec()).unwrap()
}

fn receipt_id(pdu: &[u8]) -> (String, MessageState) {
    let pdu = Pdu::whole(pdu).unwrap();
    let sm = Sm::parse_deliver(&pdu).unwrap();
    let receipt = Receipt::parse(&sm, false).unwrap();
    (String::from_utf8(receipt.id().unwrap().to_vec()).unwrap(), receipt.state.unwrap())
}

#[test]
fn a_submit_is_answered_in_the_same_turn_with_a_new_id_each() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.bind();
    let first = bench.submit(link, 7, 0);
    let second = bench.submit(link, 8, 0);
    assert_eq!(ids_of(&first), [(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 7)]);
    assert_ne!(response_id(&first[0]), response_id(&second[0]));
    assert_eq!(bench.smsc.stats().responses.of(CommandStatus::OK), 2);
    assert_eq!(bench.smsc.deadline(), None);
}

#[test]
fn binds_are_admitted_by_account_and_number() {
    let account = Credentials { system_id: "a".into(), password: "pw".into() };
    let settings = Settings { accounts: vec![account], binds_max: Some(1), ..Settings::default() };
    let mut bench = Bench::new(settings);
    assert_eq!(bench.bind_as("b", "pw", TRX).1, CommandStatus::INVALID_SYSTEM_ID);
    assert_eq!(bench.bind_as("a", "no", TRX).1, CommandStatus::INVALID_PASSWORD);
    let (link, status) = bench.bind_as("a", "pw", TRX);
    assert_eq!(status, CommandStatus::OK);
    assert_eq!(bench.bind_as("a", "pw", TRX).1, CommandStatus::ALREADY_BOUND);
    bench.close(link);
    assert_eq!(bench.bind_as("a", "pw", TRX).1, CommandStatus::OK);
    let stats = bench.smsc.stats();
    assert_eq!((stats.sockets.max.get(), stats.binds.max.get(), stats.binds_refused.get()), (4, 1, 3));
    assert_eq!((stats.sockets.now.get(), stats.binds.now.get()), (4, 1));
}

#[test]
fn a_session_does_what_its_bind_allows_and_no_more() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.connect();
    let wrong = CommandStatus::INVALID_BIND_STATUS;
    assert_eq!(ids_of(&bench.submit(link, 1, 0)), [(CommandId::SUBMIT_SM_RESP, wrong, 1)]);
    let receiver = bench.bind_as("esme", "", CommandId::BIND_RECEIVER).0;
    assert_eq!(ids_of(&bench.submit(receiver, 2, 0)), [(CommandId::SUBMIT_SM_RESP, wrong, 2)]);
    let unknown = bench.give(receiver, |out| write_header_only(out, CommandId(0x77), CommandStatus::OK, 3));
    assert_eq!(ids_of(&unknown), [(CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_ID, 3)]);
    let enquire =
        bench.give(link, |out| write_header_only(out, CommandId::ENQUIRE_LINK, CommandStatus::OK, 4));
    assert_eq!(ids_of(&enquire), [(CommandId::ENQUIRE_LINK_RESP, CommandStatus::OK, 4)]);
    let unbind = bench.give(receiver, |out| write_header_only(out, CommandId::UNBIND, CommandStatus::OK, 5));
    assert_eq!(ids_of(&unbind), [(CommandId::UNBIND_RESP, CommandStatus::OK, 5)]);
    assert_eq!(bench.actions.last(), Some(&Action::Close(receiver, CloseHow::AfterFlush)));
    assert_eq!(bench.smsc.stats().submits.get(), 0);
}

#[test]
fn a_delay_holds_every_response_and_keeps_their_order() {
    let settings = Settings { delay: Duration::from_millis(20), ..Settings::default() };
    let mut bench = Bench::new(settings);
    let link = bench.bind();
    assert!(bench.submit(link, 1, 1).is_empty());
    assert!(bench.submit(link, 2, 0).is_empty());
    assert!(bench.pass(Duration::from_millis(19)).is_empty());
    let pdus = bench.pass(Duration::from_millis(1));
    let kinds: Vec<_> = ids_of(&pdus).iter().map(|(command, ..)| *command).collect();
    assert_eq!(kinds, [CommandId::SUBMIT_SM_RESP, CommandId::SUBMIT_SM_RESP, CommandId::DELIVER_SM]);
}

#[test]
fn over_the_rate_a_submit_is_throttled() {
    let rate = Rate { units: 3, per: Duration::from_secs(1) };
    let mut bench = Bench::new(Settings { throttle: Some(rate), ..Settings::default() });
    let link = bench.bind();
    let statuses: Vec<_> = (1..=5).map(|n| ids_of(&bench.submit(link, n, 0))[0].1).collect();
    let (ok, over) = (CommandStatus::OK, CommandStatus::THROTTLED);
    assert_eq!(statuses, [ok, ok, ok, over, over]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(ids_of(&bench.submit(link, 6, 0))[0].1, ok);
}

#[test]
fn errors_and_drops_come_by_their_share_and_by_the_seed() {
    let run = |seed| {
        let errors = vec![StatusShare { status: CommandStatus::SYSTEM_ERROR, share: share("20%") }];
        let mut bench = Bench::new(Settings { errors, drop: share("10%"), seed, ..Settings::default() });
        let link = bench.bind();
        (1..=1000).map(|n| bench.submit(link, n, 0).first().map(|pdu| pdu[11])).collect::<Vec<_>>()
    };
    let answers = run(5);
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert!((60..140).contains(&count(None)), "{}", count(None));
    assert!((130..230).contains(&count(Some(8))), "{}", count(Some(8)));
    assert_eq!(count(None) + count(Some(8)) + count(Some(0)), 1000);
    assert_eq!(answers, run(5));
    assert_ne!(answers, run(6));
}

#[test]
fn a_share_is_answered_late_and_no_message_twice_or_never() {
    let late_by = Duration::from_secs(3);
    let mut bench = Bench::new(Settings { late: share("20%"), late_by, ..Settings::default() });
    let link = bench.bind();
    let at_once: usize = (1..=1000).map(|n| bench.submit(link, n, 0).len()).sum();
    let late = bench.smsc.stats().late.get() as usize;
    assert!((150..250).contains(&late), "{late}");
    assert_eq!(at_once + late, 1000);
    assert!(bench.pass(late_by - Duration::from_millis(1)).is_empty());
    let answers = ids_of(&bench.pass(Duration::from_millis(1)));
    assert_eq!(answers.len(), late);
    assert!(
        answers.iter().all(|(command, status, _)| *command == CommandId::SUBMIT_SM_RESP && status.is_ok())
    );
}

#[test]
fn the_receipt_of_a_late_message_follows_its_response() {
    let settings = Settings {
        late: Share::ALL,
        late_by: Duration::from_secs(3),
        delay: Duration::from_millis(5),
        ..Settings::default()
    };
    let mut bench = Bench::new(settings);
    let link = bench.bind();
    assert!(bench.submit(link, 1, 1).is_empty());
    let commands: Vec<_> =
        ids_of(&bench.pass(Duration::from_secs(4))).iter().map(|(command, ..)| *command).collect();
    assert_eq!(commands, [CommandId::SUBMIT_SM_RESP, CommandId::DELIVER_SM]);
}

#[test]
fn a_receipt_follows_its_response_with_the_addresses_swapped() {
    let settings = Settings { name: Some("alpha".into()), ..Settings::default() };
    let mut bench = Bench::new(settings);
    let link = bench.bind();
    let pdus = bench.submit(link, 1, 1);
    assert_eq!(pdus.len(), 2);
    let response = Pdu::whole(&pdus[0]).unwrap();
    assert_eq!(MessageIdResp::parse(&response).tlvs().get(CARRIER_NAME), Some(&b"alpha"[..]));
    let pdu = Pdu::whole(&pdus[1]).unwrap();
    let sm = Sm::parse_deliver(&pdu).unwrap();
    assert_eq!((sm.source, sm.destination), (message(1).destination, message(1).source));
    let receipt = Receipt::parse(&sm, false).unwrap();
    assert_eq!(receipt.text.text, Some(&b"alpha hello"[..]));
    assert_eq!(receipt.text.stat, Some(&b"DELIVRD"[..]));
    assert_eq!(receipt.text_id(), receipt.tlv_id);
    assert_eq!(sm.content.tlvs.get(CARRIER_NAME), Some(&b"alpha"[..]));
    assert_eq!(receipt_id(&pdus[1]), (response_id(&pdus[0]), MessageState::Delivered));
    assert_eq!(bench.submit(link, 2, 0).len(), 1, "no receipt was asked for");
}

#[test]
fn an_early_receipt_is_written_before_its_response() {
    let mut bench = Bench::new(Settings { receipt_early: Share::ALL, ..Settings::default() });
    let link = bench.bind();
    let receipt = bench.submit(link, 1, 1);
    assert_eq!(ids_of(&receipt), [(CommandId::DELIVER_SM, CommandStatus::OK, 1)]);
    let response = bench.pass(Duration::from_millis(5));
    assert_eq!(ids_of(&response), [(CommandId::SUBMIT_SM_RESP, CommandStatus::OK, 1)]);
    assert_eq!(receipt_id(&receipt[0]).0, response_id(&response[0]));
    assert_eq!(bench.smsc.stats().receipts_early.get(), 1);
}

#[test]
fn receipts_are_doubled_lost_and_left_out_as_told() {
    let twice = Settings { receipt_duplicate: Share::ALL, ..Settings::default() };
    let mut bench = Bench::new(twice);
    let link = bench.bind();
    let pdus = bench.submit(link, 1, 1);
    assert_eq!(pdus.iter().filter(|pdu| is_receipt(pdu)).count(), 2);
    assert_eq!(receipt_id(&pdus[1]), receipt_id(&pdus[2]));
    for settings in [
        Settings { receipt_lost: Share::ALL, ..Settings::default() },
        Settings { receipts: Share::NONE, ..Settings::default() },
    ] {
        let mut bench = Bench::new(settings);
        let link = bench.bind();
        assert_eq!(bench.submit(link, 1, 1).len(), 1);
        assert!(bench.pass(Duration::from_secs(60)).is_empty());
    }
}

#[test]
fn a_state_is_reported_by_its_share_and_to_those_who_ask_for_it() {
    let state = StateShare { state: MessageState::Undeliverable, share: Share::ALL };
    let mut bench = Bench::new(Settings { receipt_states: vec![state], ..Settings::default() });
    let link = bench.bind();
    let pdus = bench.submit(link, 1, 1);
    assert_eq!(receipt_id(&pdus[1]).1, MessageState::Undeliverable);
    assert_eq!(bench.submit(link, 2, 2).len(), 2, "failures only");
    assert_eq!(bench.submit(link, 3, 3).len(), 1, "successes only");
}

#[test]
fn a_delayed_receipt_comes_in_time_and_a_shuffled_one_out_of_order() {
    let delay = Duration::from_secs(2);
    let mut bench = Bench::new(Settings { receipt_delay: delay, ..Settings::default() });
    let link = bench.bind();
    assert_eq!(bench.submit(link, 1, 1).len(), 1);
    assert!(bench.pass(delay - Duration::from_millis(1)).is_empty());
    assert_eq!(bench.pass(Duration::from_millis(1)).len(), 1);
    let settings = Settings { receipt_delay: delay, receipt_shuffle: true, ..Settings::default() };
    let mut bench = Bench::new(settings);
    let link = bench.bind();
    let sent: Vec<_> = (1..=50).map(|n| response_id(&bench.submit(link, n, 1)[0])).collect();
    let mut came: Vec<_> = bench.pass(delay * 2).iter().map(|pdu| receipt_id(pdu).0).collect();
    assert_ne!(came, sent);
    came.sort();
    assert_eq!(came, sent);
}

#[test]
fn a_receipt_says_it_where_it_is_told_to() {
    for form in [ReceiptForm::Text, ReceiptForm::Tlv, ReceiptForm::Both, ReceiptForm::Payload] {
        let mut bench = Bench::new(Settings { receipt_form: form, ..Settings::default() });
        let link = bench.bind();
        let pdus = bench.submit(link, 1, 1);
        let pdu = Pdu::whole(&pdus[1]).unwrap();
        let sm = Sm::parse_deliver(&pdu).unwrap();
        let receipt = Receipt::parse(&sm, false).unwrap();
        assert_eq!(receipt.id(), Some(response_id(&pdus[0]).as_bytes()), "{form:?}");
        assert_eq!(
            sm.content.short_message.is_empty(),
            matches!(form, ReceiptForm::Tlv | ReceiptForm::Payload)
        );
        assert_eq!(sm.content.tlvs.get(Tag::MESSAGE_PAYLOAD).is_some(), form == ReceiptForm::Payload);
        assert_eq!(receipt.tlv_id.is_some(), matches!(form, ReceiptForm::Tlv | ReceiptForm::Both));
    }
}

#[test]
fn ids_differ_between_response_and_receipt_as_told() {
    let settings = Settings { id_form: IdForm::RespHexReceiptDec, id_first: 255, ..Settings::default() };
    let mut bench = Bench::new(settings);
    let link = bench.bind();
    let pdus = bench.submit(link, 1, 1);
    assert_eq!((response_id(&pdus[0]).as_str(), receipt_id(&pdus[1]).0.as_str()), ("FF", "255"));
}

#[test]
fn a_receipt_goes_to_the_session_that_submitted_or_to_any() {
    for (session, different) in [(ReceiptSession::Same, 1), (ReceiptSession::Any, 2)] {
        let mut bench = Bench::new(Settings { receipt_session: session, ..Settings::default() });
        let first = bench.bind();
        let _second = bench.bind();
        let _stranger = bench.bind_as("other", "", TRX);
        let mut links = Vec::new();
        for sequence in 1..=4 {
            let mut bytes = Vec::new();
            message(1).write(&mut bytes, CommandId::SUBMIT_SM, sequence);
            bench.smsc.handle(bench.now, Input::Bytes { link: first, bytes: &bytes }, &mut bench.out);
            let took = bench.take_by_link();
            links.extend(took.into_iter().filter(|(_, pdu)| is_receipt(pdu)).map(|(link, _)| link.slot));
        }
        links.sort_unstable();
        links.dedup();
        assert_eq!(links.len(), different);
        assert!(links.iter().all(|slot| *slot < 2), "not the stranger's");
    }
}

#[test]
fn a_receipt_waits_for_a_receiver_and_survives_its_session() {
    let mut bench = Bench::new(Settings::default());
    let transmitter = bench.bind_as("esme", "", CommandId::BIND_TRANSMITTER).0;
    assert_eq!(bench.submit(transmitter, 1, 1).len(), 1);
    let receiver = bench.connect();
    let bind = Bind { system_id: b"esme", interface_version: 0x34, ..Bind::default() };
    let pdus = bench.give(receiver, |out| bind.write(out, CommandId::BIND_RECEIVER, 1));
    assert!(is_receipt(&pdus[1]));
    bench.close(receiver);
    let again = bench.connect();
    let pdus = bench.give(again, |out| bind.write(out, CommandId::BIND_RECEIVER, 1));
    assert!(is_receipt(&pdus[1]));
    bench.acknowledge(again, 1, CommandStatus::OK);
    let stats = bench.smsc.stats();
    assert_eq!(
        (stats.receipts_sent.get(), stats.receipts_resent.get(), stats.receipts_acked.get()),
        (2, 1, 1)
    );
}

#[test]
fn a_temporary_refusal_is_retried_a_bounded_number_of_times() {
    let mut bench = Bench::new(Settings { attempts: 3, ..Settings::default() });
    let link = bench.bind();
    bench.submit(link, 1, 1);
    for sequence in 1..=3 {
        bench.acknowledge(link, sequence, CommandStatus::RECEIVER_TEMPORARY);
        let again = bench.pass(Duration::from_secs(2));
        assert_eq!(again.len(), usize::from(sequence < 3));
    }
    let stats = bench.smsc.stats();
    assert_eq!((stats.receipts_given_up.get(), stats.receipts_refused.get()), (1, 3));
    bench.submit(link, 2, 1);
    bench.acknowledge(link, 4, CommandStatus::RECEIVER_PERMANENT);
    assert!(bench.pass(Duration::from_secs(2)).is_empty());
    assert_eq!(stats.receipts_given_up.get(), 2);
}

#[test]
fn an_unanswered_receipt_is_sent_again_after_the_timeout() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.bind();
    bench.submit(link, 1, 1);
    assert!(bench.pass(Duration::from_secs(29)).is_empty());
    assert_eq!(bench.pass(Duration::from_secs(3)).len(), 1);
    bench.acknowledge(link, 1, CommandStatus::OK);
    assert_eq!(bench.smsc.stats().responses_unknown.get(), 1, "the first attempt is no longer in flight");
    bench.acknowledge(link, 2, CommandStatus::OK);
    assert!(bench.pass(Duration::from_secs(600)).is_empty());
}

#[test]
fn no_more_receipts_are_in_flight_than_the_window_allows() {
    let mut bench = Bench::new(Settings { window: 2, ..Settings::default() });
    let link = bench.bind();
    let sent: usize =
        (1..=5).map(|n| bench.submit(link, n, 1).iter().filter(|pdu| is_receipt(pdu)).count()).sum();
    assert_eq!(sent, 2);
    assert_eq!(bench.acknowledge(link, 1, CommandStatus::OK).len(), 1);
    assert_eq!(bench.acknowledge(link, 1, CommandStatus::OK).len(), 0, "answered before");
}

#[test]
fn a_hanging_session_answers_nothing_and_stays_open() {
    let mut bench = Bench::new(Settings { hang_after: Some(2), ..Settings::default() });
    let link = bench.bind();
    let answers: Vec<_> = (1..=4).map(|n| bench.submit(link, n, 0).len()).collect();
    assert_eq!(answers, [1, 1, 0, 0]);
    let enquire =
        bench.give(link, |out| write_header_only(out, CommandId::ENQUIRE_LINK, CommandStatus::OK, 9));
    assert!(enquire.is_empty());
    assert!(bench.actions.is_empty());
    let other = bench.bind();
    assert_eq!(bench.submit(other, 1, 0).len(), 1);
}

#[test]
fn a_half_open_session_is_read_no_more_and_a_closing_one_is_closed() {
    let mut bench = Bench::new(Settings { half_open_after: Some(1), ..Settings::default() });
    let link = bench.bind();
    assert_eq!(bench.submit(link, 1, 0).len(), 1);
    assert_eq!(bench.actions, [Action::Pause(link)]);
    let mut bench = Bench::new(Settings { close_after: Some(1), ..Settings::default() });
    let link = bench.bind();
    let both = bench.give(link, |out| {
        message(0).write(out, CommandId::SUBMIT_SM, 1);
        message(0).write(out, CommandId::SUBMIT_SM, 2);
    });
    assert_eq!(both.len(), 1);
    assert_eq!(bench.actions, [Action::Close(link, CloseHow::Now)]);
}

#[test]
fn mo_messages_come_at_their_rate_and_are_counted_when_answered() {
    let rate = Rate { units: 5, per: Duration::from_secs(1) };
    let mut bench = Bench::new(Settings { mo: Some(rate), ..Settings::default() });
    let link = bench.bind();
    let pdus = bench.pass(Duration::from_millis(999));
    assert_eq!(pdus.len(), 5);
    let pdu = Pdu::whole(&pdus[0]).unwrap();
    let sm = Sm::parse_deliver(&pdu).unwrap();
    assert_eq!((sm.destination.digits, sm.source.digits), (&b"14499"[..], &b"38267123456"[..]));
    assert_eq!(sm.content.esm_class, 0);
    bench.acknowledge(link, 1, CommandStatus::OK);
    bench.acknowledge(link, 2, CommandStatus::RECEIVER_REJECTED);
    let stats = bench.smsc.stats();
    assert_eq!((stats.mo_sent.get(), stats.mo_acked.get(), stats.mo_refused.get()), (5, 1, 1));
}

#[test]
fn a_message_can_be_asked_for_and_canceled_until_it_is_done() {
    let delay = Duration::from_secs(5);
    let mut bench = Bench::new(Settings { receipt_delay: delay, ..Settings::default() });
    let link = bench.bind();
    let id = response_id(&bench.submit(link, 1, 1)[0]);
    let state = |bench: &mut Bench| {
        let query = QuerySm { message_id: id.as_bytes(), ..QuerySm::default() };
        let pdus = bench.give(link, |out| query.write(out, CommandId::QUERY_SM, 2));
        QuerySmResp::parse(&Pdu::whole(&pdus[0]).unwrap()).unwrap().message_state
    };
    assert_eq!(state(&mut bench), MessageState::Enroute.octet());
    let cancel = CancelSmOf(id.clone());
    assert_eq!(cancel.status(&mut bench, link), CommandStatus::OK);
    assert_eq!(state(&mut bench), MessageState::Deleted.octet());
    let receipts = bench.pass(delay);
    assert_eq!(receipt_id(&receipts[0]).1, MessageState::Deleted);
    assert_eq!(cancel.status(&mut bench, link), CommandStatus::CANCEL_FAILED);
    assert_eq!(CancelSmOf("9".into()).status(&mut bench, link), CommandStatus::INVALID_MESSAGE_ID);
}

struct CancelSmOf(String);

impl CancelSmOf {
    fn status(&self, bench: &mut Bench, link: LinkId) -> CommandStatus {
        let cancel =
            crate::smpp::operations::CancelSm { message_id: self.0.as_bytes(), ..Default::default() };
        ids_of(&bench.give(link, |out| cancel.write(out, 3)))[0].1
    }
}

#[test]
fn data_and_multi_are_messages_too() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.bind();
    let data = DataSm { destination: message(0).destination, registered_delivery: 1, ..DataSm::default() };
    let pdus = bench.give(link, |out| data.write(out, 1));
    assert_eq!(ids_of(&pdus)[0].0, CommandId::DATA_SM_RESP);
    assert_eq!(receipt_id(&pdus[1]).0, response_id(&pdus[0]));
    let pdus = bench.give(link, |out| {
        write_pdu(out, CommandId::SUBMIT_MULTI, CommandStatus::OK, 2, |out| {
            out.extend_from_slice(b"\0\0\0\0\x02\x01\x01\x01381\0\x01\x01\x01382\0");
            Content { registered_delivery: 1, short_message: b"x", ..Content::default() }.write(out);
        });
    });
    assert_eq!(ids_of(&pdus)[0].0, CommandId::SUBMIT_MULTI_RESP);
    let response = SubmitMultiResp::parse(&Pdu::whole(&pdus[0]).unwrap());
    assert_eq!((response.message_id.map(<[u8]>::is_empty), response.unsuccess.count()), (Some(false), 0));
    assert_eq!(pdus.iter().filter(|pdu| is_receipt(pdu)).count(), 2);
}

#[test]
fn a_carrier_of_version_3_3_knows_no_transceiver_and_sends_no_tlvs() {
    let settings = Settings { version: Version::V33, name: Some("old".into()), ..Settings::default() };
    let mut bench = Bench::new(settings);
    assert_eq!(bench.bind_as("esme", "", TRX).1, CommandStatus::INVALID_COMMAND_ID);
    let transmitter = bench.bind_as("esme", "", CommandId::BIND_TRANSMITTER).0;
    let receiver = bench.bind_as("esme", "", CommandId::BIND_RECEIVER).0;
    let pdus = bench.submit(transmitter, 1, 1);
    assert_eq!(pdus.len(), 2);
    for bytes in &pdus {
        let pdu = Pdu::whole(bytes).unwrap();
        if is_receipt(bytes) {
            let sm = Sm::parse_deliver(&pdu).unwrap();
            assert!(sm.content.tlvs.bytes().is_empty() && !sm.content.short_message.is_empty());
        } else {
            assert!(MessageIdResp::parse(&pdu).after.is_empty());
        }
    }
    bench.acknowledge(receiver, 1, CommandStatus::OK);
    assert_eq!(bench.smsc.stats().receipts_acked.get(), 1);
}

#[test]
fn the_last_submits_are_kept_octet_for_octet() {
    let mut bench = Bench::new(Settings { keep: 2, ..Settings::default() });
    let link = bench.bind();
    (1..=3).for_each(|n| drop(bench.submit(link, n, 0)));
    let mut third = Vec::new();
    message(0).write(&mut third, CommandId::SUBMIT_SM, 3);
    assert_eq!(bench.smsc.kept().len(), 2);
    assert_eq!(bench.smsc.kept()[1], third);
}

#[test]
fn a_drain_unbinds_everybody_and_ends() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.bind();
    bench.smsc.handle(bench.now, Input::Drain, &mut bench.out);
    assert_eq!(ids_of(&bench.take()), [(CommandId::UNBIND, CommandStatus::OK, 1)]);
    assert_eq!(bench.actions, [Action::Close(link, CloseHow::AfterFlush)]);
    bench.close(link);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.actions.last(), Some(&Action::Exit));
}

#[test]
fn lost_framing_is_nacked_and_closed() {
    let mut bench = Bench::new(Settings::default());
    let link = bench.bind();
    let pdus = bench.give(link, |out| out.extend_from_slice(b"GET / HTTP/1.1\r\n"));
    assert_eq!(ids_of(&pdus), [(CommandId::GENERIC_NACK, CommandStatus::INVALID_COMMAND_LENGTH, 0)]);
    assert_eq!(bench.actions, [Action::Close(link, CloseHow::AfterFlush)]);
}

#[test]
fn the_record_says_what_was_accepted_and_which_receipts_were_taken() {
    let errors = vec![StatusShare { status: CommandStatus::SYSTEM_ERROR, share: share("100%") }];
    let mut bench =
        Bench::new(Settings { id_form: IdForm::RespHexReceiptDec, id_first: 255, ..Settings::default() });
    let (record, written) = piped();
    bench.smsc.record_to(record);
    let link = bench.bind();
    assert_eq!(bench.submit(link, 1, 1).len(), 2, "a response and its receipt");
    bench.acknowledge(link, 1, CommandStatus::OK);
    bench.smsc.settings.errors = errors;
    bench.submit(link, 2, 1);
    let lines: String = written.try_iter().collect();
    let submit = "submit\tESME_ROK\tFF\t38267123456\thello\n";
    assert_eq!(lines, format!("{submit}receipt\tESME_ROK\tFF\n{}", submit.replace("ROK\tFF", "RSYSERR\t-")));
}

#[test]
fn a_carrier_throttles_only_in_its_span() {
    let rate = Rate { units: 1, per: Duration::from_secs(3600) };
    let mut bench = Bench::new(Settings {
        throttle: Some(rate),
        throttle_after: Duration::from_secs(2),
        throttle_for: Some(Duration::from_secs(3)),
        ..Settings::default()
    });
    let link = bench.bind();
    let mut refused = Vec::new();
    for second in 0..8 {
        for number in 0..2 {
            let pdus = bench.submit(link, 1 + second * 2 + number, 0);
            refused.extend((ids_of(&pdus)[0].1 == CommandStatus::THROTTLED).then_some(second));
        }
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(refused, [2, 3, 3, 4, 4], "one of the burst passes");
}

#[test]
fn sessions_are_closed_at_random_and_bound_again() {
    let close_every = Some(Duration::from_secs(1));
    let mut bench = Bench::new(Settings { close_every, ..Settings::default() });
    let mut closed_at = Vec::new();
    for _ in 0..50 {
        let link = bench.bind();
        let before = bench.now.mono;
        while bench.smsc.stats().sessions_closed.get() == closed_at.len() as u64 {
            bench.pass(Duration::from_millis(1));
        }
        assert!(bench.actions.contains(&Action::Close(link, CloseHow::Now)));
        closed_at.push(bench.now.mono.since(before));
        bench.close(link);
    }
    let sum: Duration = closed_at.iter().sum();
    assert!((Duration::from_secs(40)..Duration::from_secs(60)).contains(&sum), "{sum:?}");
    assert!(closed_at.iter().all(|span| *span <= Duration::from_millis(2001)));
}

#[test]
fn mo_go_to_each_number_in_turn() {
    let rate = Rate { units: 10, per: Duration::from_secs(1) };
    let mut bench =
        Bench::new(Settings { mo: Some(rate), mo_to: "14001-14003".parse().unwrap(), ..Settings::default() });
    bench.bind();
    let to =
        |pdu: &Vec<u8>| Sm::parse_deliver(&Pdu::whole(pdu).unwrap()).unwrap().destination.digits.to_vec();
    let pdus: Vec<_> = bench.pass(Duration::from_millis(500)).iter().map(to).collect();
    assert_eq!(pdus.get(..4).unwrap(), [b"14002", b"14003", b"14001", b"14002"]);
}
