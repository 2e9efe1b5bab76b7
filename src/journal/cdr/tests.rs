use super::*;
use crate::journal::Fault;
use crate::journal::frame::{Head, frame_len, write};
use serde_json::{Value, json};

const FACTS: Facts<'static> = Facts {
    accepted: 1_795_348_800_000_001,
    submitted: 1_795_348_800_000_900,
    attempts: 2,
    parts: 3,
    data_coding: 8,
    esme: b"acme",
    id: b"1781500559569362944",
    carrier: b"alpha",
    message_id: b"0A1",
    source: b"ACME",
    destination: b"38267123456",
};

const FINISH: Record<'static> = Record::Finish {
    state: 2,
    status: 0,
    reason: NO_REASON,
    fault: Fault::Nobody,
    error: b"000",
    price: -12_500,
    currency: b"EUR",
    facts: FACTS,
};

fn line_of(record: &Record<'_>) -> Option<String> {
    let mut octets = vec![0; frame_len(record.len())];
    write(&mut octets, &Head { lsn: Lsn(41), key: 9, time_ms: 0 }, record, record.len());
    let (frame, _) = Frame::unsealed(&octets).unwrap();
    let mut out = Vec::new();
    let written = Writer::new(0xA0B, 3).write(&frame, Wall(1_795_348_801_000_000), &mut out);
    assert_eq!(written, !out.is_empty());
    written.then(|| String::from_utf8(out).unwrap())
}

#[test]
fn a_message_that_ended_is_one_line_with_every_column_in_order() {
    let line = line_of(&FINISH).unwrap();
    let expected = "{\"v\":1,\"id\":\"1781500559569362944\",\"esme\":\"acme\",\"carrier\":\"alpha\",\"message_id\":\"0A1\",\
        \"from\":\"ACME\",\"to\":\"38267123456\",\"parts\":3,\"data_coding\":8,\
        \"accepted\":\"2026-11-22T12:00:00.000001Z\",\"submitted\":\"2026-11-22T12:00:00.000900Z\",\
        \"final\":\"2026-11-22T12:00:01.000000Z\",\"attempts\":2,\"state\":\"delivered\",\"status\":\"ESME_ROK\",\
        \"error\":\"000\",\"reason\":null,\"fault\":\"nobody\",\"price\":\"-0.012500\",\"currency\":\"EUR\",\
        \"journal\":\"00000000000000000000000000000a0b\",\"shard\":3,\"lsn\":41}\n";
    assert_eq!(line, expected);
    let mut at = 0;
    for column in COLUMNS {
        let found = line[at..].find(&format!("\"{column}\":")).unwrap();
        at += found + 1;
    }
    assert_eq!(line_of(&Record::Tombstone { reason: 1 }), None);
}

#[test]
fn what_is_not_known_is_null_and_the_carriers_id_stands_in_for_none() {
    let facts = Facts { message_id: b"77", ..Facts::default() };
    let Record::Finish { fault, .. } = FINISH else { unreachable!() };
    let record = Record::Finish {
        state: 99,
        status: 0x45B,
        reason: 1,
        fault,
        error: b"",
        price: 5,
        currency: b"",
        facts,
    };
    let value: Value = serde_json::from_str(&line_of(&record).unwrap()).unwrap();
    assert_eq!((&value["id"], &value["message_id"]), (&json!("77"), &json!("77")));
    for column in ["esme", "carrier", "from", "to", "accepted", "submitted", "error", "price", "currency"] {
        assert_eq!(value[column], Value::Null, "{column}");
    }
    assert_eq!((&value["status"], &value["state"]), (&json!("0x0000045B"), &json!("unknown")));
    assert_eq!(value["reason"], Reason::ALL[1].name());
}

#[test]
fn the_schema_names_the_columns_and_the_states_and_no_others() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let required: Vec<&str> =
        schema["required"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(required, COLUMNS);
    let mut named: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = COLUMNS.to_vec();
    named.sort_unstable();
    columns.sort_unstable();
    assert_eq!(named, columns);
    let states = schema["properties"]["state"]["enum"].as_array().unwrap();
    assert!((0..12).all(|state| states.contains(&json!(state_name(state)))));
    assert_eq!(states.len(), 10);
    assert_eq!(schema["properties"]["v"]["const"], VERSION);
}

#[test]
fn whatever_a_peer_writes_stays_one_line_of_json_and_says_where_it_comes_from() {
    let texts: [(&[u8], &str); 4] = [
        (b"a\"b\\\n\x00", "a\"b\\\n\0"),
        ("Здраво".as_bytes(), "Здраво"),
        (b"caf\xe9", "café"),
        (b"\",\"journal\":\"00000000000000000000000000000001\",\"shard\":1,\"lsn\":1}", ""),
    ];
    for (octets, meant) in texts {
        let facts = Facts { source: octets, destination: octets, ..FACTS };
        let Record::Finish { state, status, reason, fault, error, price, .. } = FINISH else {
            unreachable!()
        };
        let record = Record::Finish { state, status, reason, fault, error, price, currency: octets, facts };
        let line = line_of(&record).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(meant.is_empty() || value["from"] == meant);
        let origin = Origin { journal: 0xA0B, shard: 3, lsn: Lsn(41) };
        assert_eq!(origin_of(line.trim_end().as_bytes()), Some(origin));
    }
}

#[test]
fn a_line_that_is_cut_or_has_a_hole_has_no_origin() {
    let line = line_of(&FINISH).unwrap();
    let line = line.trim_end().as_bytes();
    assert!(
        (0..line.len()).all(|cut| origin_of(&line[..cut]).is_none() && origin_of(&line[cut + 1..]).is_none())
    );
    let mut holed = line.to_vec();
    holed[50] = 0;
    assert_eq!(origin_of(&holed), None);
}
