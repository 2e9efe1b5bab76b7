//! The TPDUs of `tests/data/vectors.json`: every field that a vector states is compared.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use bindery::smpp::segment::TextEncoding;
use bindery::smpp::tpdu::{Line, Number, Stamp, Tpdu, UserData, Validity};
use bindery::smpp::{gsm7, ucs2};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::io::Write as _;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn number(number: &Number<'_>) -> Value {
    let mut value = json!({"ton": number.ton, "npi": number.npi});
    if number.ton == 5 {
        let septets: Vec<u8> = number.septets().collect();
        value["alpha"] = gsm7::decode_unpacked(&septets).collect::<String>().into();
    } else {
        let digits = String::from_utf8(number.digits().collect()).unwrap();
        value["digits"] = digits.into();
    }
    value
}

fn stamp(stamp: &Stamp) -> Value {
    let Stamp { year, month, day, hour, minute, second, quarters } = *stamp;
    let minutes = i32::from(quarters.abs()) * 15;
    let sign = if quarters < 0 { '-' } else { '+' };
    let (zone_hour, zone_minute) = (minutes / 60, minutes % 60);
    format!(
        "20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{zone_hour:02}:{zone_minute:02}"
    )
    .into()
}

fn user_data(data: &UserData<'_>) -> Value {
    let mut value = json!({"udl": data.length});
    if !data.udh.is_empty() {
        value["udh"] = to_hex(data.udh).into();
    }
    match data.encoding {
        TextEncoding::Gsm7 => {
            let septets: Vec<u8> = data.septets().collect();
            value["alphabet"] = "gsm7".into();
            value["fill_bits"] = data.fill_bits().into();
            value["septets_hex"] = to_hex(&septets).into();
            value["text"] = gsm7::decode_unpacked(&septets).collect::<String>().into();
        }
        TextEncoding::Ucs2 => {
            value["alphabet"] = "ucs2".into();
            value["text"] = ucs2::decode(data.octets).collect::<String>().into();
        }
        TextEncoding::Binary | TextEncoding::Latin1 => {
            value["alphabet"] = "8bit".into();
            value["data_hex"] = to_hex(data.octets).into();
        }
    }
    value
}

fn octet(octet: u8) -> Value {
    format!("0x{octet:02x}").into()
}

/// The line in the words of the vectors, and its kind.
fn shown(line: &Line<'_>) -> (&'static str, Value) {
    let mut value = json!({"tpdu_length": line.tpdu_length});
    if let Some(centre) = &line.centre {
        value["sca"] = number(centre);
    }
    let (kind, fields) = match &line.tpdu {
        Tpdu::Submit(tpdu) => {
            let bit = |bit: u8| tpdu.first >> bit & 1 == 1;
            let mut fields = json!({
                "first_octet": octet(tpdu.first), "rd": bit(2), "vpf": tpdu.first >> 3 & 3, "srr": bit(5),
                "udhi": bit(6), "rp": bit(7), "mr": tpdu.reference, "da": number(&tpdu.destination),
                "pid": tpdu.protocol_id, "dcs": octet(tpdu.dcs), "ud": user_data(&tpdu.user_data),
            });
            match tpdu.validity {
                Validity::Relative(raw) => {
                    fields["vp_raw"] = raw.into();
                    fields["vp_minutes"] = tpdu.validity.minutes().into();
                }
                Validity::Absolute(until) => fields["vp_abs"] = stamp(&until),
                Validity::None | Validity::Enhanced(_) => {}
            }
            ("SMS-SUBMIT", fields)
        }
        Tpdu::Deliver(tpdu) => {
            let bit = |bit: u8| tpdu.first >> bit & 1 == 1;
            let fields = json!({
                "first_octet": octet(tpdu.first), "mms": !bit(2), "sri": bit(5), "udhi": bit(6), "rp": bit(7),
                "oa": number(&tpdu.source), "pid": tpdu.protocol_id, "dcs": octet(tpdu.dcs),
                "scts": stamp(&tpdu.timestamp), "ud": user_data(&tpdu.user_data),
            });
            ("SMS-DELIVER", fields)
        }
        Tpdu::StatusReport(tpdu) => {
            let bit = |bit: u8| tpdu.first >> bit & 1 == 1;
            let fields = json!({
                "first_octet": octet(tpdu.first), "mms": !bit(2), "srq": bit(5), "mr": tpdu.reference,
                "ra": number(&tpdu.recipient), "scts": stamp(&tpdu.timestamp),
                "discharge": stamp(&tpdu.discharge), "status": octet(tpdu.status),
            });
            ("SMS-STATUS-REPORT", fields)
        }
    };
    let all: Map<String, Value> =
        [value, fields].into_iter().flat_map(|part| part.as_object().unwrap().clone()).collect();
    (kind, all.into())
}

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("data/vectors.json")).unwrap();
    all["sms_tpdu"].as_array().unwrap().clone()
}

#[test]
fn every_tpdu_is_read_as_stated() {
    let mut checked = 0;
    for vector in vectors() {
        let bytes = hex(vector["pdu_with_sca"].as_str().unwrap());
        let line = Line::parse(&bytes).unwrap_or_else(|| panic!("not read: {vector}"));
        let (kind, fields) = shown(&line);
        assert_eq!(vector["kind"], kind);
        assert_eq!(fields, vector["decoded"], "{}", vector["id"]);
        checked += 1;
    }
    writeln!(std::io::stdout(), "vectors: sms_tpdu {checked} of 47").unwrap();
    assert_eq!(checked, 47);
}

#[test]
fn a_tpdu_that_ends_too_early_is_not_read() {
    for vector in vectors() {
        let bytes = hex(vector["pdu_with_sca"].as_str().unwrap());
        for end in 0..bytes.len() {
            assert_eq!(Line::parse(&bytes[..end]), None, "{} at {end}", vector["id"]);
        }
    }
}

proptest! {
    #[test]
    fn no_octets_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(line) = Line::parse(&bytes) {
            prop_assert!(line.tpdu_length < bytes.len());
            let _ = shown(&line);
        }
    }
}
