//! Peers of version 3.3 beside peers of 3.4: each is given what it understands, with the id that it knows.

use crate::peer::{header_only, sequence_of, view, with_sequence};
use crate::valid::octets_of;
use crate::world::{
    FIVE, Plan, THREE_FOUR, THREE_THREE, World, accepting, deliver, over_each_driver, submit,
};
use bindery::smpp::command::CommandId;
use bindery::smpp::data::DataSm;
use bindery::smpp::multi::{SubmitMulti, SubmitMultiResp};
use bindery::smpp::operations::{QuerySm, QuerySmResp, ReplaceSm};
use bindery::smpp::receipt::Receipt;
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};

const NUMBER: &str = "447700900123";

fn tlvs(list: &[(Tag, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in list {
        write_tlv(&mut out, *tag, value);
    }
    out
}

/// A 3.3 ESME in front of a carrier that speaks 5.0.
fn old_esme(label: &str) -> World {
    World::bound(&Plan { label, version: 0x33, account: "", carriers: &[FIVE] })
}

/// A 3.4 ESME in front of a carrier of version 3.3.
fn old_carrier(label: &str) -> World {
    World::bound(&Plan { label, version: 0x34, account: "", carriers: &[THREE_THREE] })
}

/// The carrier takes a submit_sm under its id with a TLV; gives the id that the ESME hears.
fn id_given(world: &mut World, carriers_id: &str, sequence: u32) -> String {
    let request = submit(NUMBER, b"hello", sequence, &[]);
    let at_carrier = world.up(&request);
    let mut response = accepting(&request, carriers_id);
    response.extend(tlvs(&[(Tag::CONGESTION_STATE, &[50])]));
    let length = u32::try_from(response.len()).unwrap();
    response[..4].copy_from_slice(&length.to_be_bytes());
    world.carrier_tx().send(&with_sequence(&response, at_carrier));
    let answer = world.tx().pdu();
    assert_eq!((sequence_of(&answer), view(&answer).header().command_status), (sequence, CommandStatus::OK));
    let octets = view(&answer);
    let response = MessageIdResp::parse(&octets);
    assert!(response.terminated && response.after.is_empty(), "an id and no TLV");
    String::from_utf8(response.id.to_vec()).unwrap()
}

/// The receipt reaches the ESME as a deliver_sm without TLVs whose text has this id and state; it is answered.
fn receipt_comes(world: &mut World, receipt: &[u8], id: &str, stat: &str) {
    world.carrier_rx().send(receipt);
    let came = world.rx().pdu();
    let sm = Sm::parse_deliver(&view(&came)).unwrap();
    assert!(sm.content.tlvs.bytes().is_empty());
    let text = String::from_utf8_lossy(sm.content.short_message).into_owned();
    assert!(text.starts_with(&format!("id:{id} ")), "{text}");
    assert!(text.contains(&format!("stat:{stat} ")), "{text}");
    assert_eq!(Receipt::parse(&sm, true).and_then(|receipt| receipt.id()), Some(id.as_bytes()));
    world.rx().send(&accepting(&came, ""));
    let command = view(receipt).command_id();
    let answer = world.carrier_rx().pdu();
    let header = *view(&answer).header();
    let answered = (header.command_id, header.command_status, header.sequence_number);
    assert_eq!(answered, (command.response(), CommandStatus::OK, sequence_of(receipt)));
}

#[test]
fn a_3_3_esme_is_given_8_hex_digits_and_no_tlv() {
    over_each_driver(|| {
        let mut world = old_esme("ids");
        let ids: Vec<String> = (1..4).map(|n| id_given(&mut world, &format!("carrier-{n}"), n)).collect();
        for id in &ids {
            let digits = id.bytes().all(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit));
            assert!(id.len() == 8 && digits, "{id}");
        }
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        world.settle();
    });
}

#[test]
fn a_3_3_esme_hears_of_its_own_id_in_the_text_of_each_receipt() {
    over_each_driver(|| {
        let mut world = old_esme("receipts");
        let text =
        b"id:C1 sub:001 dlvrd:001 submit date:2606301200 done date:2606301201 stat:DELIVRD err:000 text:Hi";
        let both = tlvs(&[(Tag::RECEIPTED_MESSAGE_ID, b"C1\0"), (Tag::MESSAGE_STATE, &[2])]);
        let id = id_given(&mut world, "C1", 1);
        receipt_comes(&mut world, &deliver(NUMBER, 0x04, text, 7, &both), &id, "DELIVRD");
        // In TLVs only.
        let id = id_given(&mut world, "C2", 2);
        let only = tlvs(&[(Tag::RECEIPTED_MESSAGE_ID, b"C2\0"), (Tag::MESSAGE_STATE, &[5])]);
        receipt_comes(&mut world, &deliver(NUMBER, 0x04, b"", 8, &only), &id, "UNDELIV");
        // In message_payload.
        let id = id_given(&mut world, "C3", 3);
        let text =
        b"id:C3 sub:001 dlvrd:000 submit date:2606301200 done date:2606301201 stat:EXPIRED err:000 text:Hi";
        let payload = tlvs(&[(Tag::MESSAGE_PAYLOAD, text)]);
        receipt_comes(&mut world, &deliver(NUMBER, 0x04, b"", 9, &payload), &id, "EXPIRED");
        // As data_sm, which it does not know.
        let id = id_given(&mut world, "C4", 4);
        let only = tlvs(&[(Tag::RECEIPTED_MESSAGE_ID, b"C4\0"), (Tag::MESSAGE_STATE, &[2])]);
        receipt_comes(&mut world, &data_sm(NUMBER, "14499", 0x04, 10, &only), &id, "DELIVRD");
        world.settle();
    });
}

fn data_sm(from: &str, to: &str, esm_class: u8, sequence: u32, tlvs: &[u8]) -> Vec<u8> {
    let international = |digits| Address { ton: 1, npi: 1, digits };
    let data = DataSm {
        source: international(from.as_bytes()),
        destination: international(to.as_bytes()),
        esm_class,
        tlvs: Tlvs::lenient(tlvs),
        ..DataSm::default()
    };
    let mut out = Vec::new();
    data.write(&mut out, sequence);
    out
}

#[test]
fn a_3_3_esme_asks_for_a_message_by_the_id_that_it_was_given() {
    over_each_driver(|| {
        let mut world = old_esme("query");
        let id = id_given(&mut world, "C1", 1);
        let query = |id: &str, sequence| {
            let (source, message_id) = (Address { ton: 1, npi: 1, digits: b"14499" }, id.as_bytes());
            let mut out = Vec::new();
            QuerySm { message_id, source, ..QuerySm::default() }.write(
                &mut out,
                CommandId::QUERY_SM,
                sequence,
            );
            out
        };
        world.tx().send(&query(&id, 2));
        let at_carrier = world.carrier_tx().expect_relayed(&query("C1", 2));
        let state = |id: &str, tlvs: &[u8], sequence| {
            let (message_id, tlvs) = (id.as_bytes(), Tlvs::lenient(tlvs));
            let response = QuerySmResp { message_id, final_date: b"", message_state: 1, error_code: 0, tlvs };
            let mut out = Vec::new();
            response.write(&mut out, CommandStatus::OK, sequence);
            out
        };
        let congestion = tlvs(&[(Tag::CONGESTION_STATE, &[50])]);
        world.carrier_tx().send(&state("C1", &congestion, at_carrier));
        world.tx().expect(&state(&id, b"", 2));
        // A status of 5.0 is translated here too.
        world.tx().send(&query(&id, 4));
        let at_carrier = world.carrier_tx().expect_relayed(&query("C1", 4));
        let refusal = header_only(CommandId::QUERY_SM_RESP, CommandStatus::PROHIBITED, at_carrier);
        world.carrier_tx().send(&refusal);
        world.tx().expect_header(CommandId::QUERY_SM_RESP, CommandStatus::SUBMIT_FAILED, 4);
        // The carrier's id is none that the ESME was given.
        world.tx().send(&query("C1", 3));
        world.tx().expect_header(CommandId::QUERY_SM_RESP, CommandStatus::INVALID_MESSAGE_ID, 3);
        world.settle();
    });
}

#[test]
fn a_3_3_esme_is_given_mo_as_a_deliver_sm_without_tlvs() {
    over_each_driver(|| {
        let mut world = old_esme("MO");
        let payload = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 254]), (Tag::USER_MESSAGE_REFERENCE, &[0, 1])]);
        for (sequence, request) in
            [(7, deliver(NUMBER, 0, b"", 7, &payload)), (8, data_sm(NUMBER, "14499", 0, 8, &payload))]
        {
            world.carrier_rx().send(&request);
            let came = world.rx().pdu();
            let sm = Sm::parse_deliver(&view(&came)).unwrap();
            assert_eq!((sm.source.digits, sm.destination.digits), (NUMBER.as_bytes(), &b"14499"[..]));
            assert_eq!((sm.content.short_message, sm.content.tlvs.bytes()), (&[b'x'; 254][..], &b""[..]));
            world.rx().send(&accepting(&came, ""));
            world.carrier_rx().expect(&with_sequence(&accepting(&request, ""), sequence));
        }
        // What does not fit is refused, and the session goes on.
        let long = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 255])]);
        world.carrier_rx().send(&deliver(NUMBER, 0, b"", 9, &long));
        let status = CommandStatus::INVALID_MESSAGE_LENGTH;
        world.carrier_rx().expect_header(CommandId::DELIVER_SM_RESP, status, 9);
        // It does not know alert_notification.
        world.carrier_rx().send(&octets_of("alert-notification"));
        world.settle();
    });
}

#[test]
fn a_status_of_5_0_is_translated_for_an_older_esme() {
    over_each_driver(|| {
        for version in [0x33, 0x34, 0x50] {
            let mut world = World::bound(&Plan { label: "status", version, account: "", carriers: &[FIVE] });
            let request = submit(NUMBER, b"hello", 1, &[]);
            let at_carrier = world.up(&request);
            let (command, status) = (CommandId::SUBMIT_SM_RESP, CommandStatus::INVALID_DATA_CODING);
            world.carrier_tx().send(&header_only(command, status, at_carrier));
            let heard = if version == 0x50 { status } else { CommandStatus::SUBMIT_FAILED };
            world.tx().expect_header(command, heard, 1);
        }
    });
}

/// What the carrier is sent for this request.
fn sent(world: &mut World, request: &[u8]) -> Vec<u8> {
    world.tx().send(request);
    let came = world.carrier_tx().pdu();
    world.carrier_tx().send(&accepting(&came, "C1"));
    let answer = world.tx().pdu();
    let header = *view(&answer).header();
    let stated = (view(request).command_id().response(), CommandStatus::OK, sequence_of(request));
    assert_eq!((header.command_id, header.command_status, header.sequence_number), stated);
    came
}

#[test]
fn a_3_3_carrier_is_sent_a_payload_as_short_message_and_none_that_is_too_long() {
    over_each_driver(|| {
        let mut world = old_carrier("payload");
        for (sequence, octets) in [(1, 0), (2, 1), (3, 254)] {
            let text = vec![b'x'; octets];
            let list = tlvs(&[(Tag::USER_MESSAGE_REFERENCE, &[0, 1]), (Tag::MESSAGE_PAYLOAD, &text)]);
            let came = sent(&mut world, &submit(NUMBER, b"", sequence, &list));
            let expected = submit(NUMBER, &text, sequence, &[]);
            assert_eq!(with_sequence(&came, sequence), expected, "{octets} octets");
        }
        let list = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 255])]);
        world.tx().send(&submit(NUMBER, b"", 4, &list));
        let status = CommandStatus::INVALID_MESSAGE_LENGTH;
        world.tx().expect_header(CommandId::SUBMIT_SM_RESP, status, 4);
        world.settle();
    });
}

#[test]
fn what_is_too_long_for_a_3_3_carrier_goes_to_one_that_can() {
    over_each_driver(|| {
        let carriers: &[&str] = &[THREE_THREE, THREE_FOUR];
        let mut world = World::bound(&Plan { label: "long", version: 0x34, account: "", carriers });
        for sequence in 1..5 {
            let list = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 255])]);
            let request = submit(NUMBER, b"", sequence, &list);
            world.tx().send(&request);
            let able = &mut world.carriers[1].sessions[0];
            let at_carrier = able.expect_relayed(&request);
            able.send(&with_sequence(&accepting(&request, "C1"), at_carrier));
            assert_eq!(sequence_of(&world.tx().pdu()), sequence);
        }
        world.settle();
    });
}

#[test]
fn a_3_3_carrier_is_sent_sar_as_a_user_data_header() {
    over_each_driver(|| {
        let mut world = old_carrier("SAR");
        for part in 1..=2 {
            let list = tlvs(&[
                (Tag::SAR_MSG_REF_NUM, &[0x12, 0x34]),
                (Tag::SAR_TOTAL_SEGMENTS, &[2]),
                (Tag::SAR_SEGMENT_SEQNUM, &[part]),
            ]);
            let came = sent(&mut world, &submit(NUMBER, b"part", part.into(), &list));
            let sm = Sm::parse_submit(&view(&came)).unwrap();
            assert_eq!(sm.content.esm_class, 0x40);
            assert_eq!(sm.content.short_message, [&[5, 0, 3, 0x34, 2, part][..], b"part"].concat());
            assert!(sm.content.tlvs.bytes().is_empty());
        }
    });
}

#[test]
fn a_3_3_carrier_is_sent_a_data_sm_as_submit_sm() {
    over_each_driver(|| {
        let mut world = old_carrier("data_sm");
        let payload = tlvs(&[(Tag::MESSAGE_PAYLOAD, b"hello")]);
        let came = sent(&mut world, &data_sm("14499", NUMBER, 0, 1, &payload));
        let sm = Sm::parse_submit(&view(&came)).unwrap();
        assert_eq!((sm.destination.digits, sm.content.short_message), (NUMBER.as_bytes(), &b"hello"[..]));
        assert!(sm.content.tlvs.bytes().is_empty());
        // An address that a submit_sm cannot carry.
        world.tx().send(&octets_of("data-sm-long-addr"));
        let answer = world.tx().pdu();
        assert_eq!(view(&answer).command_id(), CommandId::DATA_SM_RESP);
        assert_ne!(view(&answer).header().command_status, CommandStatus::OK);
        world.settle();
    });
}

#[test]
fn a_3_3_carrier_is_sent_a_submit_multi_without_tlvs() {
    over_each_driver(|| {
        let mut world = old_carrier("submit_multi");
        let came = sent(&mut world, &with_sequence(&octets_of("submit-multi-2+dl"), 1));
        assert_eq!(with_sequence(&came, 1), with_sequence(&octets_of("submit-multi-2+dl"), 1));
        let (payload, short) = (octets_of("submit-multi-payload"), b"short enough");
        let octets = view(&payload);
        let long = SubmitMulti::parse(&octets).unwrap();
        assert!(long.content.text().len() > 254);
        let list = tlvs(&[(Tag::MESSAGE_PAYLOAD, short)]);
        let content = Content { tlvs: Tlvs::lenient(&list), ..long.content };
        let mut request = Vec::new();
        SubmitMulti { content, ..long }.write(&mut request, 2);
        let came = sent(&mut world, &request);
        let octets = view(&came);
        let multi = SubmitMulti::parse(&octets).unwrap();
        assert_eq!(multi.destinations, long.destinations);
        assert_eq!((multi.content.short_message, multi.content.tlvs.bytes()), (&short[..], &b""[..]));
        world.tx().send(&payload);
        let status = CommandStatus::INVALID_MESSAGE_LENGTH;
        world.tx().expect_header(CommandId::SUBMIT_MULTI_RESP, status, sequence_of(&payload));
        world.settle();
    });
}

#[test]
fn a_3_3_carrier_is_sent_a_replace_sm_without_tlvs() {
    over_each_driver(|| {
        let mut world = old_carrier("replace_sm");
        world.accept_message("C1", NUMBER);
        let replace = |short_message: &[u8], tlvs: &[u8], sequence| {
            let (source, tlvs) = (Address { ton: 1, npi: 1, digits: b"14499" }, Tlvs::lenient(tlvs));
            let mut out = Vec::new();
            ReplaceSm { message_id: b"C1", source, short_message, tlvs, ..ReplaceSm::default() }
                .write(&mut out, sequence);
            out
        };
        let list = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 254])]);
        let came = sent(&mut world, &replace(b"", &list, 2));
        assert_eq!(with_sequence(&came, 2), replace(&[b'x'; 254], b"", 2));
        let list = tlvs(&[(Tag::MESSAGE_PAYLOAD, &[b'x'; 255])]);
        world.tx().send(&replace(b"", &list, 3));
        world.tx().expect_header(CommandId::REPLACE_SM_RESP, CommandStatus::INVALID_MESSAGE_LENGTH, 3);
        world.settle();
    });
}

#[test]
fn a_submit_multi_resp_keeps_its_destinations_whatever_id_is_given() {
    over_each_driver(|| {
        for (version, account) in [(0x33, ""), (0x34, "message_id = \"own\""), (0x34, "")] {
            let mut world = World::bound(&Plan { label: "multi", version, account, carriers: &[FIVE] });
            let request = octets_of("submit-multi-2+dl");
            let response = octets_of("submit-multi-resp-partial");
            let at_carrier = world.up(&request);
            world.carrier_tx().send(&with_sequence(&response, at_carrier));
            let answer = world.tx().pdu();
            let (octets, stated) = (view(&answer), view(&response));
            let (came, stated) = (SubmitMultiResp::parse(&octets), SubmitMultiResp::parse(&stated));
            let both = came.unsuccess.iter().zip(stated.unsuccess.iter());
            assert_eq!(came.unsuccess.count(), 2);
            both.for_each(|(came, stated)| assert_eq!(came, stated));
            assert_eq!(came.message_id == stated.message_id, version == 0x34 && account.is_empty());
            assert!(came.message_id.is_some_and(|id| !id.is_empty()));
        }
    });
}

#[test]
fn a_receipt_for_a_submit_multi_is_known_by_its_short_id() {
    over_each_driver(|| {
        let mut world = old_esme("multi receipt");
        let request = octets_of("submit-multi-1");
        let at_carrier = world.up(&request);
        world.carrier_tx().send(&with_sequence(&accepting(&request, "M1"), at_carrier));
        let answer = world.tx().pdu();
        let octets = view(&answer);
        let id = SubmitMultiResp::parse(&octets)
            .message_id
            .map(|id| String::from_utf8(id.to_vec()).unwrap())
            .unwrap();
        let list = tlvs(&[(Tag::RECEIPTED_MESSAGE_ID, b"M1\0"), (Tag::MESSAGE_STATE, &[2])]);
        receipt_comes(&mut world, &deliver(NUMBER, 0x04, b"", 9, &list), &id, "DELIVRD");
    });
}
