//! The text side of `tests/data/vectors.json`: receipts, message ids, alphabets, parts. Every vector is checked and
//! counted.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use bindery::smpp::id_form::{IdForm, IdForms, matches, receipt_keys, response_key};
use bindery::smpp::receipt::ReceiptText;
use bindery::smpp::segment::{ConcatForm, TextEncoding, parts};
use bindery::smpp::{gsm7, ucs2};
use serde_json::Value;
use std::io::Write as _;

fn vectors() -> Value {
    serde_json::from_str(include_str!("data/vectors.json")).unwrap()
}

fn list<'v>(vectors: &'v Value, name: &str) -> &'v [Value] {
    vectors[name].as_array().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn field(vector: &Value, name: &str) -> String {
    vector[name].as_str().unwrap_or_else(|| panic!("{name} of {vector}")).to_owned()
}

#[test]
fn receipt_texts_are_read_as_expected() {
    let vectors = vectors();
    let mut checked = 0;
    for vector in list(&vectors, "receipt_text") {
        let text = field(vector, "text");
        let read = ReceiptText::parse(text.as_bytes());
        checked += 1;
        let Some(expected) = vector["expect"].as_object() else {
            assert_eq!(read, None, "{text}");
            continue;
        };
        let read = read.unwrap_or_else(|| panic!("not read: {text}"));
        for (key, value) in expected {
            let got = match key.as_str() {
                "id" => read.id,
                "sub" => read.sub,
                "dlvrd" => read.dlvrd,
                "submit_date" => read.submit_date,
                "done_date" => read.done_date,
                "stat" => read.stat,
                "err" => read.err,
                "text" => read.text,
                "state" => {
                    let state = read.state().map(|state| u64::from(state.octet()));
                    assert_eq!(state, value.as_u64(), "{text}");
                    continue;
                }
                other => panic!("no field {other}"),
            };
            let got = got.map(|octets| String::from_utf8(octets.to_vec()).unwrap());
            let got = if key == "stat" { got.map(|stat| stat.to_uppercase()) } else { got };
            assert_eq!(got.as_deref(), value.as_str(), "{key} of {text}");
        }
    }
    writeln!(std::io::stdout(), "vectors: receipt_text {checked} of 22").unwrap();
    assert_eq!(checked, 22);
}

/// Where a form decides otherwise than Kannel's setting of the same meaning, and why. Kannel reads an id that has a
/// non-digit as hexadecimal under every setting, stops at the first character that is no digit, and saturates at 63
/// bits.
const KANNEL_DIFFERS: [(&str, &str, &str); 11] = [
    ("0", "499602D2", "1234567890"),
    ("0", "1234567890", "499602D2"),
    ("0", "499602d2", "499602D2"),
    ("0", "0A1B2C3D", "a1b2c3d"),
    ("0", "04000000086ECD50", "288230376293190992"),
    ("0", "FFFFFFFFFFFFFFFF", "18446744073709551615"),
    ("2", "499602d2", "499602D2"),
    ("2", "0A1B2C3D", "a1b2c3d"),
    ("2", "FFFFFFFFFFFFFFFF", "18446744073709551615"),
    ("3", "FFFFFFFFFFFFFFFF", "18446744073709551615"),
    ("*", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-0000-0000-0000-000000000000"),
];

#[test]
fn message_ids_match_under_the_forms_of_kannel_and_jasmin() {
    let vectors = vectors();
    let (mut checked, mut differ) = (0, 0);
    for vector in list(&vectors, "message_id") {
        let (response, receipt) = (field(vector, "submit_sm_resp_id"), field(vector, "receipt_id"));
        let matched = |form| matches(form, response.as_bytes(), receipt.as_bytes());
        let jasmin = &vector["jasmin_dlr_msgid_match"];
        for (setting, form) in
            [("0", IdForm::Hex), ("1", IdForm::RespHexReceiptDec), ("2", IdForm::RespDecReceiptHex)]
        {
            assert_eq!(matched(form), jasmin[setting].as_bool().unwrap(), "Jasmin {setting}: {vector}");
        }
        let kannel = &vector["kannel_msg_id_type_match"];
        assert_eq!(matched(IdForm::AsIs), kannel["unset"].as_bool().unwrap(), "{vector}");
        for (setting, form) in [
            ("0", IdForm::Dec),
            ("1", IdForm::RespHexReceiptDec),
            ("2", IdForm::RespDecReceiptHex),
            ("3", IdForm::Hex),
        ] {
            let expected = kannel[setting].as_bool().unwrap();
            let known = KANNEL_DIFFERS.iter().any(|&(kannel_setting, one, other)| {
                (kannel_setting == "*" || kannel_setting == setting)
                    && (one, other) == (&*response, &*receipt)
            });
            assert_eq!(matched(form) != expected, known, "Kannel {setting}: {vector}");
            differ += usize::from(known);
        }
        let found = receipt_keys(receipt.as_bytes()).any(|c| c.key == response_key(response.as_bytes()));
        let forms = IdForms::of(response.as_bytes(), receipt.as_bytes());
        assert_eq!(found, !forms.is_empty(), "{vector}");
        checked += 1;
    }
    writeln!(std::io::stdout(), "vectors: message_id {checked} of 11").unwrap();
    assert_eq!((checked, differ), (11, 14));
}

#[test]
fn gsm7_texts_are_encoded_packed_and_read_back() {
    let vectors = vectors();
    let mut checked = 0;
    for vector in list(&vectors, "gsm7") {
        let text = field(vector, "text");
        let (unpacked, packed) = (hex(&field(vector, "unpacked_hex")), hex(&field(vector, "packed_hex")));
        let mut octets = Vec::new();
        gsm7::encode_unpacked(&text, &mut octets).unwrap();
        assert_eq!(octets, unpacked, "{text}");
        assert_eq!(gsm7::septets(&text).map(|n| n as u64), vector["septets"].as_u64());
        assert_eq!(gsm7::decode_unpacked(&unpacked).collect::<String>(), text);
        let mut air = Vec::new();
        gsm7::pack(octets.iter().copied(), 0, &mut air);
        assert_eq!(air, packed, "{text}");
        assert!(gsm7::unpack(&packed, 0, unpacked.len()).eq(unpacked.iter().copied()), "{text}");
        checked += 1;
    }
    for vector in list(&vectors, "gsm7_edge") {
        match (vector["unpacked_hex"].as_str(), vector["text"].as_str()) {
            (Some(unpacked), _) => {
                let shown = match unpacked {
                    "411b" => "A ",
                    "1b41" => "A",
                    "1b1b41" => " A",
                    other => panic!("no expectation for {other}"),
                };
                assert_eq!(gsm7::decode_unpacked(&hex(unpacked)).collect::<String>(), shown);
            }
            (None, Some(text)) => {
                assert_eq!(gsm7::septets(text), None, "{text:?}");
                assert_eq!(TextEncoding::choose(text), TextEncoding::Ucs2);
            }
            (None, None) => panic!("{vector}"),
        }
        checked += 1;
    }
    writeln!(std::io::stdout(), "vectors: gsm7 {checked} of 28").unwrap();
    assert_eq!(checked, 28);
}

#[test]
fn ucs2_texts_are_encoded_and_read_back() {
    let vectors = vectors();
    let mut checked = 0;
    for vector in list(&vectors, "ucs2") {
        let (text, octets) = (field(vector, "text"), hex(&field(vector, "utf16be_hex")));
        let mut written = Vec::new();
        ucs2::encode(&text, &mut written);
        assert_eq!(written, octets, "{text}");
        assert_eq!(ucs2::decode(&octets).collect::<String>(), text);
        assert_eq!(Some(ucs2::units(&text) as u64), vector["units"].as_u64());
        let units: Vec<usize> =
            parts(&octets, TextEncoding::Ucs2, ConcatForm::Octet).map(|part| part.len() / 2).collect();
        let desc = field(vector, "desc");
        match desc.as_str() {
            "71 units: two parts of 67 and 4" => assert_eq!(units, [67, 4]),
            "72 units: parts must not cut a pair, so 66 + 6 units" => assert_eq!(units, [66, 6]),
            _ => assert_eq!(units.len(), 1, "{desc}"),
        }
        checked += 1;
    }
    writeln!(std::io::stdout(), "vectors: ucs2 {checked} of 10").unwrap();
    assert_eq!(checked, 10);
}

/// The text of a segmentation vector. The file names its head and its length; two texts hold a character of two
/// units at the cut, which the stated units give away.
fn segmented_text(vector: &Value) -> String {
    let head = field(vector, "text_head").chars().next().unwrap();
    let count = vector["chars"].as_u64().unwrap() as usize;
    let repeated = |n: usize| head.to_string().repeat(n);
    match (head, count) {
        ('a', 253) => repeated(152) + "€" + &repeated(100),
        ('ж', 77) => repeated(66) + "😀" + &repeated(10),
        _ => repeated(count),
    }
}

#[test]
fn texts_are_cut_where_smsutil_cuts_them() {
    let vectors = vectors();
    let mut checked = 0;
    for vector in list(&vectors, "segmentation") {
        let text = segmented_text(vector);
        assert_eq!(text.chars().count() as u64, vector["chars"].as_u64().unwrap());
        let encoding = TextEncoding::choose(&text);
        let mut octets = Vec::new();
        let per_unit = match field(vector, "encoding").as_str() {
            "gsm0338" => {
                assert_eq!(encoding, TextEncoding::Gsm7);
                gsm7::encode_unpacked(&text, &mut octets).unwrap();
                1
            }
            "utf_16_be" => {
                assert_eq!(encoding, TextEncoding::Ucs2);
                ucs2::encode(&text, &mut octets);
                2
            }
            other => panic!("no encoding {other}"),
        };
        let ranges: Vec<_> = parts(&octets, encoding, ConcatForm::Octet).collect();
        let units: Vec<u64> = ranges.iter().map(|range| (range.len() / per_unit) as u64).collect();
        let expected: Vec<u64> =
            vector["units_per_part"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(units, expected, "{vector}");
        assert_eq!(Some(units.len() as u64), vector["parts"].as_u64());
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        checked += 1;
    }
    writeln!(std::io::stdout(), "vectors: segmentation {checked} of 14").unwrap();
    assert_eq!(checked, 14);
}
