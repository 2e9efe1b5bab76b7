//! What only a stream shows: large PDUs, full windows, receipts that overtake, links that break.

use crate::peer::{header_of, header_only, sequence_of, view, with_sequence};
use crate::world::{Plan, World, accepting, bind_response, deliver, over_each_driver, submit, usual_plan};
use bindery::smpp::bind::Bind;
use bindery::smpp::command::CommandId;
use bindery::smpp::operations::QuerySm;
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, write_tlv};

const NUMBER: &str = "447700900123";

#[test]
fn the_longest_payload_passes_both_ways() {
    over_each_driver(|| {
        let mut world = World::usual("longest payload", 0x34);
        let mut payload = Vec::new();
        write_tlv(&mut payload, Tag::MESSAGE_PAYLOAD, &[b'x'; 65_535]);
        world.round_trip_up(&submit(NUMBER, b"", 1, &payload));
        world.round_trip_down(&deliver(NUMBER, 0, b"", 1, &payload));
        world.settle();
    });
}

/// 300 submits in one write, sequence numbers from 1.
fn burst() -> Vec<u8> {
    (1..=300).flat_map(|sequence| submit(NUMBER, b"hello", sequence, &[])).collect()
}

fn narrow(label: &str, window_over: &str) -> World {
    let account = format!("message_id = \"carrier\"\nwindow_max = 10\nwindow_over = \"{window_over}\"");
    World::bound(&Plan { account: &account, ..usual_plan(label, 0x34) })
}

#[test]
fn an_esme_over_its_window_waits_and_loses_nothing() {
    over_each_driver(|| {
        let mut world = narrow("wait", "wait");
        world.tx().send(&burst());
        let mut open: Vec<Vec<u8>> = (0..10).map(|_| world.carrier_tx().pdu()).collect();
        // Ten and no more are in flight.
        world.carrier_tx().settle();
        for sequence in 1..=300 {
            let request = open.remove(0);
            assert_eq!(with_sequence(&request, sequence), submit(NUMBER, b"hello", sequence, &[]));
            world.carrier_tx().send(&accepting(&request, "1"));
            let answer = header_of(&world.tx().pdu());
            assert_eq!(answer, ("submit_sm_resp".to_owned(), 0, sequence));
            if sequence <= 290 {
                open.push(world.carrier_tx().pdu());
            }
        }
        world.settle();
    });
}

#[test]
fn an_esme_over_its_window_is_throttled_when_it_is_set_so() {
    over_each_driver(|| {
        let mut world = narrow("refuse", "refuse");
        world.tx().send(&burst());
        let open: Vec<Vec<u8>> = (0..10).map(|_| world.carrier_tx().pdu()).collect();
        for sequence in 11..=300 {
            world.tx().expect_header(CommandId::SUBMIT_SM_RESP, CommandStatus::THROTTLED, sequence);
        }
        for (request, sequence) in open.iter().zip(1..) {
            world.carrier_tx().send(&accepting(request, "1"));
            assert_eq!(header_of(&world.tx().pdu()), ("submit_sm_resp".to_owned(), 0, sequence));
        }
        world.settle();
    });
}

const RECEIPT: &[u8] =
    b"id:C1 sub:001 dlvrd:001 submit date:2606301200 done date:2606301201 stat:DELIVRD err:000 text:Hi";

#[test]
fn a_receipt_that_comes_before_the_response_follows_it() {
    over_each_driver(|| {
        let mut world = World::usual("early receipt", 0x34);
        let request = submit(NUMBER, b"hello", 1, &[]);
        let at_carrier = world.up(&request);
        let receipt = deliver(NUMBER, 0x04, RECEIPT, 7, &[]);
        world.carrier_rx().send(&receipt);
        world.settle();
        world.answer_up(at_carrier, &accepting(&request, "C1"), 1);
        let at_esme = world.rx().expect_relayed(&receipt);
        world.answer_down(at_esme, &accepting(&receipt, ""), 7);
        world.settle();
    });
}

#[test]
fn a_receipt_reaches_an_account_whose_session_broke_before_the_response() {
    over_each_driver(|| {
        let mut world = World::usual("broken link", 0x34);
        let request = submit(NUMBER, b"hello", 1, &[]);
        let at_carrier = world.up(&request);
        world.esme.clear();
        world.bind_esme();
        world.carrier_tx().send(&with_sequence(&accepting(&request, "C1"), at_carrier));
        // The new session did not ask and is not answered.
        world.settle();
        world.round_trip_down(&deliver(NUMBER, 0x04, RECEIPT, 7, &[]));
        world.settle();
    });
}

#[test]
fn a_carrier_that_breaks_leaves_its_messages_unknown_and_is_dialled_again() {
    over_each_driver(|| {
        let mut world = World::usual("broken carrier", 0x34);
        for sequence in 1..=3 {
            world.up(&submit(NUMBER, b"hello", sequence, &[]));
        }
        world.carriers[0].sessions.clear();
        for sequence in 1..=3 {
            world.tx().expect_header(CommandId::SUBMIT_SM_RESP, CommandStatus::SUBMIT_FAILED, sequence);
        }
        let (mut peer, bind) = world.accept(0);
        // What comes meanwhile waits for the bind.
        let request = submit(NUMBER, b"hello", 4, &[]);
        world.tx().send(&request);
        world.tx().settle();
        peer.send(&bind_response(&bind));
        let at_carrier = peer.expect_relayed(&request);
        peer.send(&with_sequence(&accepting(&request, "C4"), at_carrier));
        assert_eq!(sequence_of(&world.tx().pdu()), 4);
    });
}

#[test]
fn a_receipt_reaches_the_account_that_submitted_and_no_other() {
    over_each_driver(|| {
        let mut world = World::usual("two accounts", 0x34);
        let mut other = world.connect();
        let mut bind = Vec::new();
        let (system_id, password) = (b"SMPP3TEST", b"secret08");
        Bind { system_id, password, interface_version: 0x34, ..Bind::default() }.write(
            &mut bind,
            CommandId::BIND_TRANSCEIVER,
            1,
        );
        other.send(&bind);
        assert_eq!(view(&other.pdu()).header().command_status, CommandStatus::OK);
        let request = submit(NUMBER, b"hello", 1, &[]);
        other.send(&request);
        let at_carrier = world.carrier_tx().expect_relayed(&request);
        world.carrier_tx().send(&with_sequence(&accepting(&request, "C1"), at_carrier));
        other.expect(&accepting(&request, "C1"));
        let receipt = deliver(NUMBER, 0x04, RECEIPT, 7, &[]);
        world.carrier_rx().send(&receipt);
        let at_esme = other.expect_relayed(&receipt);
        other.send(&with_sequence(&accepting(&receipt, ""), at_esme));
        world.carrier_rx().expect(&accepting(&receipt, ""));
        // The message of one account is none of the other's.
        world.settle();
        let mut query = Vec::new();
        QuerySm { message_id: b"C1", ..QuerySm::default() }.write(&mut query, CommandId::QUERY_SM, 9);
        world.tx().send(&query);
        world.tx().expect_header(CommandId::QUERY_SM_RESP, CommandStatus::INVALID_MESSAGE_ID, 9);
        world.settle();
        other.send(&query);
        let at_carrier = world.carrier_tx().expect_relayed(&query);
        world.carrier_tx().send(&header_only(CommandId::QUERY_SM_RESP, CommandStatus::OK, at_carrier));
        other.expect_header(CommandId::QUERY_SM_RESP, CommandStatus::OK, 9);
    });
}
