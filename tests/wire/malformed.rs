//! The malformed vectors, each in exactly one list: framing, syntax of requests, soundness that only a session can
//! refuse, and responses.

use super::*;
use std::io::Write as _;

/// Framing is lost: command_length is below 16 or over the limit.
const LOST: [&str; 9] =
    ["len-0", "len-1", "len-4", "len-15", "len-2g", "len-ffffffff", "len-1m", "http-get", "tls-hello"];

/// More octets are needed.
const WAITS: [&str; 1] = ["len-waits"];

/// Well-formed requests that the session's state, its version, its role or the check of the credentials refuses.
const REFUSED_BY_THE_SESSION: [&str; 11] = [
    "cmd-33-only",
    "cmd-bcast-on-34",
    "submit-open",
    "submit-rx",
    "query-open",
    "deliver-from-esme",
    "bind-twice",
    "bind-other-twice",
    "outbind-to-server",
    "submit-after-unbind",
    "bind-pw-9",
];

/// Responses that carry nothing but their header's meaning.
const HEADER_ONLY_RESPONSES: [&str; 5] =
    ["unbind-resp-body", "cmd-unknown-resp", "nack-in", "nack-in-zero", "nack-for-submit"];

/// Responses with a message_id: the id that is read and what follows its octets.
const MESSAGE_ID_RESPONSES: [(&str, &[u8], &[u8]); 12] = [
    ("resp-unknown-seq", b"1234567890", b""),
    ("resp-late", b"1234567890", b""),
    ("resp-dup", b"1234567890", b""),
    ("resp-ok-nobody", b"", b""),
    ("resp-err-nul", b"", b""),
    ("resp-err-id", b"123", b""),
    ("resp-err-tlv", b"", b"\x00\x1d\x00\x05busy\x00"),
    ("resp-id-nonul", b"12345", b""),
    ("resp-tail", b"123", b"\x00\x00"),
    ("deliver-resp-nobody", b"", b""),
    ("deliver-resp-id20", b"12345678901234567890", b""),
    ("data-resp-fe-body", b"D-9", b"\x04\x25\x00\x01\x01\x04\x23\x00\x03\x03\x00\x01"),
];

/// Responses with tests of their own below.
const OTHER_RESPONSES: [&str; 5] =
    ["resp-id-65", "resp-wrong-type", "bind-resp-nobody", "bind-resp-tlvcut", "multi-resp-short"];

fn bytes_of(id: &str) -> Vec<u8> {
    let all = list("pdu_malformed");
    octets(&all.iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("{id} exists"))["hex"])
}

/// Requests that no other list names, with their vectors.
fn requests() -> Vec<Value> {
    let elsewhere: Vec<&str> =
        [&LOST[..], &WAITS, &REFUSED_BY_THE_SESSION, &HEADER_ONLY_RESPONSES, &OTHER_RESPONSES]
            .concat()
            .into_iter()
            .chain(MESSAGE_ID_RESPONSES.map(|(id, ..)| id))
            .collect();
    let all = list("pdu_malformed");
    assert_eq!(all.len(), 114);
    for id in &elsewhere {
        assert_eq!(all.iter().filter(|vector| vector["id"] == *id).count(), 1, "{id}");
        assert_eq!(elsewhere.iter().filter(|other| *other == id).count(), 1, "{id}");
    }
    let rest: Vec<Value> =
        all.into_iter().filter(|vector| !elsewhere.contains(&vector["id"].as_str().unwrap())).collect();
    assert_eq!(rest.len() + elsewhere.len(), 114);
    rest
}

#[test]
fn a_request_that_is_wrong_gets_its_stated_status() {
    let (mut refused, mut accepted) = (0, 0);
    for vector in requests() {
        let id = vector["id"].as_str().unwrap();
        let bytes = octets(&vector["hex"]);
        let pdu = Pdu::whole(&bytes).unwrap_or_else(|| panic!("{id} is one whole PDU"));
        assert!(!pdu.command_id().is_response(), "{id}");
        let result = check_request(&pdu);
        if vector["verdict"] == "reject" {
            let error = result.expect_err(id);
            assert_eq!(json!(error.status.0), vector["reply"]["command_status"], "{id}: {}", error.reason);
            assert!(error.offset <= bytes.len() && !error.reason.is_empty(), "{id}");
            refused += 1;
        } else {
            assert!(matches!(vector["verdict"].as_str(), Some("accept" | "policy")), "{id}");
            assert_eq!(result, Ok(()), "{id}");
            accepted += 1;
        }
    }
    writeln!(std::io::stdout(), "vectors: pdu_malformed {refused} requests refused, {accepted} passed")
        .unwrap();
    assert_eq!((refused, accepted), (36, 35));
}

#[test]
fn what_only_a_session_can_refuse_is_well_formed() {
    for id in REFUSED_BY_THE_SESSION {
        let bytes = bytes_of(id);
        assert_eq!(check_request(&Pdu::whole(&bytes).unwrap()), Ok(()), "{id}");
    }
    let bytes = bytes_of("bind-pw-9");
    assert_eq!(Bind::parse(&Pdu::whole(&bytes).unwrap()).unwrap().password, b"123456789");
}

#[test]
fn lost_framing_is_known_from_four_octets() {
    for id in LOST {
        let bytes = bytes_of(id);
        assert!(matches!(Frame::next(&bytes[..4], PDU_MAX_DEFAULT), Frame::Lost(_)), "{id}");
        assert!(matches!(Frame::next(&bytes, PDU_MAX_DEFAULT), Frame::Lost(_)), "{id}");
    }
    for id in WAITS {
        assert_eq!(Frame::next(&bytes_of(id), PDU_MAX_DEFAULT), Frame::Partial(4), "{id}");
    }
}

#[test]
fn a_response_is_read_whatever_it_leaves_out() {
    for (id, message_id, after) in MESSAGE_ID_RESPONSES {
        let bytes = bytes_of(id);
        let pdu = Pdu::whole(&bytes).unwrap();
        let response = MessageIdResp::parse(&pdu);
        assert_eq!((response.id, response.after), (message_id, after), "{id}");
        let mut again = Vec::new();
        response.write(&mut again, pdu.command_id(), pdu.header().command_status, pdu.sequence_number());
        assert_eq!(again, bytes, "{id}");
    }
    let bytes = bytes_of("resp-id-65");
    let response = MessageIdResp::parse(&Pdu::whole(&bytes).unwrap());
    assert_eq!((response.id, response.after), (&[b'a'; 65][..], &b""[..]));
    assert!(response.terminated);
}

#[test]
fn a_bind_response_that_is_ok_is_read_whatever_its_body_is() {
    let bytes = bytes_of("bind-resp-nobody");
    assert_eq!(BindResp::parse(&Pdu::whole(&bytes).unwrap()), BindResp::default());
    let bytes = bytes_of("bind-resp-tlvcut");
    let response = BindResp::parse(&Pdu::whole(&bytes).unwrap());
    assert_eq!((response.system_id, response.sc_interface_version()), (Some(&b"SMSC"[..]), None));
}

#[test]
fn other_responses_keep_what_is_there() {
    let bytes = bytes_of("multi-resp-short");
    let response = SubmitMultiResp::parse(&Pdu::whole(&bytes).unwrap());
    assert_eq!((response.message_id, response.unsuccess.count()), (Some(&b"M1"[..]), 0));
    let bytes = bytes_of("resp-wrong-type");
    assert_eq!(QuerySmResp::parse(&Pdu::whole(&bytes).unwrap()).unwrap().message_state, 1);
}

#[test]
fn a_response_is_never_checked_as_a_request() {
    let ids = HEADER_ONLY_RESPONSES.into_iter().chain(OTHER_RESPONSES);
    for id in ids.chain(MESSAGE_ID_RESPONSES.map(|(id, ..)| id)) {
        let bytes = bytes_of(id);
        let pdu = Pdu::whole(&bytes).unwrap();
        assert!(pdu.command_id().is_response(), "{id}");
        assert!(check_request(&pdu).is_err(), "{id}");
    }
}
