//! What holds for any octets: no view panics or reads what is not there, and what is read is written as it came.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod vectors;

use bindery::limits::PDU_MAX_DEFAULT;
use bindery::smpp::bind::{Bind, BindResp, Outbind};
use bindery::smpp::broadcast::{BroadcastSm, CancelBroadcastSm, QueryBroadcastSm};
use bindery::smpp::check::check_request;
use bindery::smpp::command::CommandId;
use bindery::smpp::cursor::{Cursor, PduError};
use bindery::smpp::data::{AlertNotification, DataSm};
use bindery::smpp::frame::{Frame, Pdu, write_pdu};
use bindery::smpp::multi::{Destination, Destinations, SubmitMulti, SubmitMultiResp, Unsuccess};
use bindery::smpp::operations::{CancelSm, QuerySm, QuerySmResp, ReplaceSm};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::smpp::v33::{
    ParamRetrieve, ParamRetrieveResp, QueryLastMsgs, QueryLastMsgsResp, QueryMsgDetails, QueryMsgDetailsResp,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Octets of a C-octet string of at most `most` characters.
fn characters(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1u8..=255, 0..=most)
}

fn time() -> impl Strategy<Value = Vec<u8>> {
    let pick = [&b""[..], b"000002030000000R", b"260630120100000+", b"991231235959948-"];
    prop::sample::select(pick.to_vec()).prop_map(<[u8]>::to_vec)
}

/// Owned fields of an address.
type OwnedAddress = (u8, u8, Vec<u8>);

fn address(most: usize) -> impl Strategy<Value = OwnedAddress> {
    (any::<u8>(), any::<u8>(), characters(most))
}

fn view(address: &OwnedAddress) -> Address<'_> {
    Address { ton: address.0, npi: address.1, digits: &address.2 }
}

fn tlvs() -> impl Strategy<Value = Vec<u8>> {
    vec((any::<u16>(), vec(any::<u8>(), 0..40)), 0..6).prop_map(|list| {
        let mut out = Vec::new();
        list.iter().for_each(|(tag, value)| write_tlv(&mut out, Tag(*tag), value));
        out
    })
}

fn checked(tlvs: &[u8]) -> Tlvs<'_> {
    Tlvs::parse(&mut Cursor::new(tlvs, 0)).expect("what was written is whole")
}

/// Owned fields of a Content: eight octets, two times, the text, the TLVs.
type OwnedContent = ([u8; 7], Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn content() -> impl Strategy<Value = OwnedContent> {
    (any::<[u8; 7]>(), time(), time(), vec(any::<u8>(), 0..=255), tlvs())
}

fn content_view(owned: &OwnedContent) -> Content<'_> {
    let ([esm_class, protocol_id, priority_flag, registered, replace, data_coding, canned], ..) = *owned;
    Content {
        esm_class,
        protocol_id,
        priority_flag,
        schedule_delivery_time: &owned.1,
        validity_period: &owned.2,
        registered_delivery: registered,
        replace_if_present_flag: replace,
        data_coding,
        sm_default_msg_id: canned,
        short_message: &owned.3,
        tlvs: checked(&owned.4),
    }
}

fn sound<T>(bytes: &[u8], result: Result<T, PduError>) -> Option<T> {
    result.map_err(|error| assert!((4..=bytes.len()).contains(&error.offset))).ok()
}

/// Reads `bytes` with every view. What a strict view reads, it writes as it came.
fn every_view(bytes: &[u8]) {
    let Some(pdu) = Pdu::whole(bytes) else {
        return;
    };
    let (id, sequence, status) = (pdu.command_id(), pdu.sequence_number(), pdu.header().command_status);
    let same = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut again = Vec::new();
        write(&mut again);
        assert_eq!(&again[16..], pdu.body());
    };
    let _ = sound(bytes, check_request(&pdu));
    if let Some(view) = sound(bytes, Sm::parse_deliver(&pdu)) {
        same(&|out| view.write(out, id, sequence));
        assert!(view.content.text().len() <= bytes.len());
    }
    let _ = sound(bytes, Sm::parse_submit(&pdu));
    sound(bytes, DataSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, SubmitMulti::parse(&pdu)).inspect(|view| {
        same(&|out| view.write(out, sequence));
        assert_eq!(view.destinations.iter().count(), usize::from(view.destinations.count()));
    });
    sound(bytes, Bind::parse(&pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
    sound(bytes, Outbind::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, QuerySm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
    sound(bytes, QueryBroadcastSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, id, sequence)));
    sound(bytes, CancelSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, ReplaceSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, AlertNotification::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, BroadcastSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, CancelBroadcastSm::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, ParamRetrieve::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, QueryLastMsgs::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    sound(bytes, QueryMsgDetails::parse(&pdu)).inspect(|view| same(&|out| view.write(out, sequence)));
    let view = MessageIdResp::parse(&pdu);
    same(&|out| view.write(out, id.response(), status, sequence));
    lenient_views(&pdu, bytes);
}

/// Reads a PDU with the views that leave out what they cannot read: what they write is no longer than what came,
/// but for the NUL that they add.
fn lenient_views(pdu: &Pdu<'_>, bytes: &[u8]) {
    let (sequence, status) = (pdu.sequence_number(), pdu.header().command_status);
    let mut again = Vec::new();
    let mut bounded = |write: &dyn Fn(&mut Vec<u8>)| {
        again.clear();
        write(&mut again);
        assert!(again.len() <= bytes.len() + 2);
        assert!(Pdu::whole(&again).is_some());
    };
    let view = BindResp::parse(pdu);
    bounded(&|out| view.write(out, CommandId::BIND_TRANSCEIVER_RESP, status, sequence));
    let view = SubmitMultiResp::parse(pdu);
    assert_eq!(view.unsuccess.iter().count(), usize::from(view.unsuccess.count()));
    bounded(&|out| view.write(out, status, sequence));
    sound(bytes, QuerySmResp::parse(pdu)).inspect(|view| bounded(&|out| view.write(out, status, sequence)));
    sound(bytes, ParamRetrieveResp::parse(pdu))
        .inspect(|view| bounded(&|out| view.write(out, status, sequence)));
    sound(bytes, QueryLastMsgsResp::parse(pdu)).inspect(|view| {
        bounded(&|out| view.write(out, status, sequence));
        assert_eq!(view.message_ids().count(), usize::from(view.count()));
    });
    sound(bytes, QueryMsgDetailsResp::parse(pdu))
        .inspect(|view| bounded(&|out| view.write(out, status, sequence)));
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(
        service in characters(5), from in address(20), to in address(20), owned in content(), sequence: u32,
    ) {
        let sm = Sm {
            service_type: &service, source: view(&from), destination: view(&to), content: content_view(&owned),
        };
        let mut out = Vec::new();
        sm.write(&mut out, CommandId::SUBMIT_SM, sequence);
        let pdu = Pdu::whole(&out).expect("one whole PDU");
        prop_assert_eq!(pdu.sequence_number(), sequence);
        prop_assert_eq!(Sm::parse_deliver(&pdu), Ok(sm));
        let empty = CommandStatus::INVALID_DESTINATION;
        let submit = Sm::parse_submit(&pdu).map_err(|error| error.status);
        prop_assert_eq!(submit, if to.2.is_empty() { Err(empty) } else { Ok(sm) });
    }

    #[test]
    fn a_data_sm_is_read_as_it_was_written(
        service in characters(5), from in address(64), to in address(64), octets: [u8; 3], owned in tlvs(),
    ) {
        let data = DataSm {
            service_type: &service, source: view(&from), destination: view(&to),
            esm_class: octets[0], registered_delivery: octets[1], data_coding: octets[2], tlvs: checked(&owned),
        };
        let mut out = Vec::new();
        data.write(&mut out, 1);
        prop_assert_eq!(DataSm::parse(&Pdu::whole(&out).expect("one whole PDU")), Ok(data));
    }

    #[test]
    fn a_submit_multi_is_read_as_it_was_written(
        from in address(20), to in vec((any::<bool>(), address(20)), 1..=255), owned in content(),
    ) {
        let expected: Vec<Destination<'_>> = to
            .iter()
            .map(|(list, one)| if *list { Destination::List(&one.2) } else { Destination::Address(view(one)) })
            .collect();
        let mut list = vec![expected.len() as u8];
        expected.iter().for_each(|one| one.write(&mut list));
        let destinations = Destinations::parse(&mut Cursor::new(&list, 0)).expect("sound destinations");
        let multi = SubmitMulti {
            service_type: b"CMT", source: view(&from), destinations, content: content_view(&owned),
        };
        let mut out = Vec::new();
        multi.write(&mut out, 1);
        prop_assert_eq!(SubmitMulti::parse(&Pdu::whole(&out).expect("one whole PDU")), Ok(multi));
        prop_assert_eq!(destinations.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_submit_multi_resp_is_read_as_it_was_written(
        id in characters(64), refused in vec((address(20), any::<u32>()), 0..=255), owned in tlvs(),
    ) {
        let expected: Vec<Unsuccess<'_>> = refused
            .iter()
            .map(|(one, status)| Unsuccess { destination: view(one), status: CommandStatus(*status) })
            .collect();
        let mut out = Vec::new();
        write_pdu(&mut out, CommandId::SUBMIT_MULTI_RESP, CommandStatus::OK, 9, |out| {
            out.extend_from_slice(&id);
            out.extend_from_slice(&[0, expected.len() as u8]);
            expected.iter().for_each(|one| one.write(out));
            out.extend_from_slice(&owned);
        });
        let response = SubmitMultiResp::parse(&Pdu::whole(&out).expect("one whole PDU"));
        prop_assert_eq!(response.message_id, Some(id.as_slice()));
        prop_assert_eq!(response.unsuccess.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(response.tlvs.bytes(), owned.as_slice());
        let mut again = Vec::new();
        response.write(&mut again, CommandStatus::OK, 9);
        prop_assert_eq!(again, out);
    }

    #[test]
    fn a_response_with_an_id_is_read_as_it_was_written(id in characters(80), owned in tlvs(), status: u32) {
        let response = MessageIdResp { id: &id, terminated: true, after: &owned };
        let mut out = Vec::new();
        response.write(&mut out, CommandId::SUBMIT_SM_RESP, CommandStatus(status), 7);
        let pdu = Pdu::whole(&out).expect("one whole PDU");
        prop_assert_eq!(MessageIdResp::parse(&pdu), response);
        prop_assert_eq!(MessageIdResp::parse(&pdu).tlvs().bytes(), owned.as_slice());
    }

    #[test]
    fn tlvs_are_read_in_their_order(list in vec((any::<u16>(), vec(any::<u8>(), 0..300)), 0..12), stray in 1usize..4) {
        let mut out = Vec::new();
        list.iter().for_each(|(tag, value)| write_tlv(&mut out, Tag(*tag), value));
        let read: Vec<(u16, Vec<u8>)> = checked(&out).iter().map(|tlv| (tlv.tag.0, tlv.value.to_vec())).collect();
        prop_assert_eq!(read, list);
        let whole = out.len();
        out.extend(std::iter::repeat_n(0, stray));
        let error = Tlvs::parse(&mut Cursor::new(&out, 100)).expect_err("octets that make no TLV");
        prop_assert_eq!((error.status, error.offset), (CommandStatus::INVALID_TLV_STREAM, 100 + whole));
        prop_assert_eq!(Tlvs::lenient(&out).bytes(), &out[..whole]);
    }

    #[test]
    fn no_view_trusts_its_octets(id: u32, status in 0u32..3, body in vec(prop_oneof![Just(0u8), any::<u8>()], 0..300)) {
        let mut out = Vec::new();
        write_pdu(&mut out, CommandId(id), CommandStatus(status), 1, |out| out.extend_from_slice(&body));
        every_view(&out);
    }

    #[test]
    fn framing_gives_only_what_is_there(bytes in vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 0..80)) {
        match Frame::next(&bytes, PDU_MAX_DEFAULT) {
            Frame::Whole(pdu, rest) => {
                prop_assert!(pdu.bytes().len() >= 16);
                prop_assert_eq!([pdu.bytes(), rest].concat(), bytes);
            }
            Frame::Partial(missing) => prop_assert!(missing > 0 && missing <= PDU_MAX_DEFAULT),
            Frame::Lost(length) => prop_assert!(length < 16 || length as usize > PDU_MAX_DEFAULT),
        }
    }
}

#[test]
fn no_view_trusts_a_vector_that_was_tampered_with() {
    let valid: Vec<Vec<u8>> =
        vectors::list("pdu_valid").iter().map(|vector| vectors::octets(&vector["hex"])).collect();
    valid.iter().for_each(|bytes| every_view(bytes));
    // The octet, then the place it goes to; then what the PDU is cut to, or nothing. Lengths are made to fit again.
    let edits =
        (0..valid.len(), any::<prop::sample::Index>(), any::<u8>(), any::<Option<prop::sample::Index>>());
    let mut runner = prop::test_runner::TestRunner::new(ProptestConfig::with_cases(20_000));
    let outcome = runner.run(&edits, |(which, place, octet, cut)| {
        let mut bytes = valid[which].clone();
        let place = place.index(bytes.len());
        bytes[place] = octet;
        if let Some(cut) = cut {
            bytes.truncate(16.max(cut.index(bytes.len())));
        }
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        every_view(&bytes);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}
