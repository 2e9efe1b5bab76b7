//! What must hold for any octets and any text: nothing panics, nothing is lost, what is written reads back.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use bindery::smpp::command::CommandId;
use bindery::smpp::convert::{fits_v33, write_v33};
use bindery::smpp::frame::Pdu;
use bindery::smpp::id_form::{IdForm, matches, receipt_key, receipt_keys, response_key};
use bindery::smpp::receipt::{Receipt, ReceiptText, rewrite_id, rewrite_id_of, with_text};
use bindery::smpp::segment::{ConcatForm, TextEncoding, Udh, body, has_udh, part_of, parts};
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::smpp::{gsm7, latin1, ucs2};
use proptest::collection::vec;
use proptest::prelude::*;

/// The room of a text in which fields of receipts, blanks and junk mix.
fn receipt_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "(id|ID|sub|stat|err|text|done ?date|submit ?date|dlvrd): ?",
        "[0-9A-Fa-f]{0,20}",
        "[ \t\r\n:]{1,3}",
        "DELIVRD|undeliv|\u{0}",
    ];
    vec(piece, 0..20).prop_map(|pieces| {
        let mut text = pieces.concat().into_bytes();
        text.truncate(255);
        text
    })
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..=255), receipt_like()]
}

fn any_tlvs() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![
        Just(0x001E),
        Just(0x0427),
        Just(0x0423),
        Just(0x0424),
        0x020C_u16..=0x020F,
        any::<u16>()
    ];
    let tlv = (tag, prop_oneof![vec(any::<u8>(), 0..80), receipt_like()]);
    vec(tlv, 0..6).prop_map(|tlvs| {
        let mut out = Vec::new();
        for (tag, value) in tlvs {
            write_tlv(&mut out, Tag(tag), &value);
        }
        out
    })
}

fn esm_class() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0x04), Just(0x44), Just(0x20), Just(0x00), any::<u8>()]
}

fn deliver(esm_class: u8, short_message: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let content = Content { esm_class, short_message, tlvs: Tlvs::lenient(tlvs), ..Content::default() };
    let source = Address { ton: 1, npi: 1, digits: b"38267123456" };
    let mut out = Vec::new();
    Sm { source, content, ..Sm::default() }.write(&mut out, CommandId::DELIVER_SM, 7);
    out
}

fn read(bytes: &[u8]) -> Sm<'_> {
    Sm::parse_deliver(&Pdu::whole(bytes).unwrap()).unwrap()
}

fn header<'a>(sm: &Sm<'a>) -> Option<&'a [u8]> {
    let text = sm.content.text();
    text.get(..text.len() - body(sm.content.esm_class, text).len())
}

proptest! {
    #[test]
    fn no_octets_panic_a_reader(esm_class in esm_class(), text in any_text(), tlvs in any_tlvs()) {
        let bytes = deliver(esm_class, &text, &tlvs);
        let sm = read(&bytes);
        let _ = (Receipt::parse(&sm, true), Receipt::parse(&sm, false), part_of(&sm.content));
        let _ = (ReceiptText::parse(&text), ReceiptText::scan(&text));
        if let Some(udh) = Udh::parse(&text) {
            prop_assert_eq!(udh.len() + udh.rest().len(), text.len());
            prop_assert!(udh.elements().count() <= text.len());
        }
        let _ = (gsm7::decode_unpacked(&text).count(), ucs2::decode(&text).count());
        prop_assert!(gsm7::unpack(&text, 3, 300).count() <= text.len() * 8 / 7);
    }

    #[test]
    fn the_same_id_gives_the_same_octets(esm_class in esm_class(), text in any_text()) {
        let bytes = deliver(esm_class, &text, &[]);
        let sm = read(&bytes);
        let id = Receipt::parse(&sm, true).and_then(|receipt| receipt.text_id());
        if let Some(id) = id {
            let mut out = Vec::new();
            rewrite_id(&sm, id, CommandId::DELIVER_SM, 7, &mut out);
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_rewritten_receipt_has_the_new_id_and_its_other_fields(
        esm_class in prop_oneof![Just(0x04), Just(0x20), Just(0x44)],
        text in any_text(),
        tlvs in any_tlvs(),
        id in "[0-9a-f]{1,64}",
    ) {
        let bytes = deliver(esm_class, &text, &tlvs);
        let (sm, mut out) = (read(&bytes), Vec::new());
        rewrite_id(&sm, id.as_bytes(), CommandId::DELIVER_SM, 7, &mut out);
        for known in [None, Receipt::parse(&sm, false).unwrap().text.id] {
            let mut spliced = b"what is before".to_vec();
            rewrite_id_of(&Pdu::whole(&bytes).unwrap(), &sm, known, id.as_bytes(), 7, &mut spliced);
            prop_assert_eq!(spliced.strip_prefix(b"what is before"), Some(&out[..]), "the same either way");
        }
        let (before, after) = (Receipt::parse(&sm, false).unwrap(), read(&out));
        // A text that grows may make a header of octets that were none.
        prop_assume!(!has_udh(esm_class) || header(&sm) == header(&after));
        let receipt = Receipt::parse(&after, false).unwrap();
        prop_assert_eq!(receipt.text.id.is_some(), before.text.id.is_some());
        prop_assert!(receipt.text.id.is_none_or(|new| new == id.as_bytes()));
        prop_assert!(receipt.tlv_id.is_none_or(|new| new == id.as_bytes()));
        let tags = |sm: &Sm<'_>| sm.content.tlvs.iter().map(|tlv| tlv.tag).collect::<Vec<_>>();
        prop_assert_eq!(tags(&after), tags(&sm));
        if out.len() <= bytes.len() {
            prop_assert_eq!(receipt.text.stat, before.text.stat);
        }
    }

    #[test]
    fn a_peer_of_33_never_gets_a_tlv(esm_class in esm_class(), text in any_text(), tlvs in any_tlvs()) {
        let bytes = deliver(esm_class, &text, &tlvs);
        let (sm, mut out) = (read(&bytes), Vec::new());
        let written = write_v33(&sm, CommandId::DELIVER_SM, 7, &mut out);
        prop_assert_eq!(written, fits_v33(&sm));
        if written.is_ok() {
            let content = read(&out).content;
            prop_assert!(content.tlvs.bytes().is_empty() && content.short_message.len() <= 254);
        } else {
            prop_assert!(out.is_empty());
        }
        out.clear();
        if with_text(&sm, CommandId::DELIVER_SM, 7, &mut out) {
            let sm = read(&out);
            prop_assert!(Receipt::parse(&sm, false).is_some_and(|receipt| receipt.id().is_some()));
        }
    }

    #[test]
    fn texts_read_back_as_they_were_written(text in any::<String>(), latin in vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        ucs2::encode(&text, &mut out);
        prop_assert_eq!(ucs2::decode(&out).collect::<String>(), text.clone());
        out.clear();
        if gsm7::encode_unpacked(&text, &mut out).is_ok() {
            prop_assert_eq!(gsm7::decode_unpacked(&out).collect::<String>(), text);
        }
        let text: String = latin1::decode(&latin).collect();
        out.clear();
        latin1::encode(&text, &mut out).unwrap();
        prop_assert_eq!(out, latin);
    }

    #[test]
    fn parts_lose_nothing_and_cut_no_character(text in "[a€😀ж]{0,700}") {
        let encoding = TextEncoding::choose(&text);
        for form in [ConcatForm::Octet, ConcatForm::Word] {
            let mut octets = Vec::new();
            let decode = |octets: &[u8]| -> String {
                match encoding {
                    TextEncoding::Gsm7 => gsm7::decode_unpacked(octets).collect(),
                    _ => ucs2::decode(octets).collect(),
                }
            };
            if encoding == TextEncoding::Gsm7 {
                gsm7::encode_unpacked(&text, &mut octets).unwrap();
            } else {
                ucs2::encode(&text, &mut octets);
            }
            let shown: String = parts(&octets, encoding, form).map(|part| decode(&octets[part])).collect();
            prop_assert_eq!(&shown, &text);
        }
    }

    #[test]
    fn a_key_is_never_missed(response in "[0-9]{0,40}|[0-9A-Fa-f]{0,40}", receipt in "[0-9]{0,40}|[0-9A-Fa-f-]{0,40}") {
        for form in IdForm::ALL {
            if matches(form, response.as_bytes(), receipt.as_bytes()) {
                prop_assert_eq!(receipt_key(form, receipt.as_bytes()), response_key(response.as_bytes()));
            }
        }
        let keys: Vec<_> = receipt_keys(receipt.as_bytes()).map(|candidate| candidate.key).collect();
        prop_assert!((1..=3).contains(&keys.len()));
        for form in IdForm::ALL {
            prop_assert!(keys.contains(&receipt_key(form, receipt.as_bytes())));
        }
        if let Ok(number) = receipt.parse::<u128>() {
            let hex = format!("{number:X}");
            prop_assert!(keys.contains(&response_key(hex.as_bytes())));
        }
        if let Ok(number) = u128::from_str_radix(&receipt, 16) {
            prop_assert!(keys.contains(&response_key(number.to_string().as_bytes())));
        }
    }
}
