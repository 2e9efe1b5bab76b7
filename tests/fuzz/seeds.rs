//! Where the fuzzer begins: the test vectors, as each target reads its input.

use crate::vectors::{list, octets};
use bindery::smpp::frame::{Frame, Pdu};
use bindery::smpp::sm::Sm;
use serde_json::Value;

/// The seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "pdus" => pdus(),
        "tlvs" => messages(|sm| sm.content.tlvs.bytes().to_vec()),
        "receipts" => receipts(),
        "headers" => headers(),
        "texts" => texts(),
        "session" => sessions(),
        "config" => configs(),
        "shard" => nodes(),
        other => panic!("{other} has no seeds"),
    }
}

fn hexes(name: &str, key: &str) -> Vec<Vec<u8>> {
    list(name).iter().filter(|vector| vector[key].is_string()).map(|vector| octets(&vector[key])).collect()
}

fn pdus() -> Vec<Vec<u8>> {
    let streams = list("streams");
    let joined = streams.iter().map(|stream| {
        let segments = stream["segments"].as_array().expect("segments");
        segments.iter().flat_map(octets).collect::<Vec<u8>>()
    });
    let mut all = [hexes("pdu_valid", "hex"), hexes("pdu_malformed", "hex")].concat();
    all.extend(joined);
    all.retain(|pdu| pdu.len() <= 4096);
    all
}

/// Something of every submit_sm and deliver_sm among the vectors.
fn messages(of: impl Fn(&Sm<'_>) -> Vec<u8>) -> Vec<Vec<u8>> {
    let valid = hexes("pdu_valid", "hex");
    let read = valid.iter().filter_map(|octets| match Frame::next(octets, 65_536) {
        Frame::Whole(pdu, _) => Sm::parse_deliver(&pdu).ok().map(|sm| of(&sm)),
        Frame::Partial(_) | Frame::Lost(_) => None,
    });
    read.filter(|found| found.len() <= 4096).collect()
}

fn text(value: &Value) -> Vec<u8> {
    value.as_str().expect("text").as_bytes().to_vec()
}

fn receipts() -> Vec<Vec<u8>> {
    let known = list("receipt_text");
    let texts = known.iter().map(|vector| {
        let text = text(&vector["text"]);
        [&[4, text.len() as u8], text.as_slice()].concat()
    });
    let mut all: Vec<Vec<u8>> = texts.collect();
    all.extend(messages(|sm| {
        let short = sm.content.short_message;
        [&[sm.content.esm_class, short.len() as u8], short, sm.content.tlvs.bytes()].concat()
    }));
    for vector in list("message_id") {
        let id = text(&vector["receipt_id"]);
        let text = [b"id:", id.as_slice(), b" stat:DELIVRD"].concat();
        all.push([&[4, text.len() as u8], text.as_slice()].concat());
    }
    all
}

fn headers() -> Vec<Vec<u8>> {
    let mut all = messages(|sm| [&[sm.content.esm_class], sm.content.short_message].concat());
    for vector in list("sms_tpdu") {
        if let Some(hex) = vector["pdu_with_sca"].as_str() {
            let octets = octets(&Value::String(hex.to_lowercase()));
            all.push([&[0x40], octets.as_slice()].concat());
        }
    }
    all
}

fn texts() -> Vec<Vec<u8>> {
    let named = list("gsm7").into_iter().chain(list("ucs2"));
    let mut all: Vec<Vec<u8>> = named.map(|vector| text(&vector["text"])).collect();
    all.extend(hexes("gsm7", "unpacked_hex"));
    all.extend(hexes("gsm7_edge", "unpacked_hex"));
    all.extend(hexes("ucs2", "utf16be_hex"));
    all.extend([b"260630120100000+".to_vec(), b"000002030000000R".to_vec(), b"991231235959948-".to_vec()]);
    all
}

/// A bind and requests both ways, and an end.
fn sessions() -> Vec<Vec<u8>> {
    let hear = |which: u8, number: u8| [which << 3, number];
    let smsc = [
        [0x08, 0x00],
        hear(0, 0x05),
        hear(0, 0x02),
        hear(2, 5),
        [2, 0],
        [2, 1],
        hear(5, 1),
        [3, 0],
        [4, 22],
        hear(8, 9),
        [3, 0],
    ];
    let esme = [
        [0x09, 0x00],
        [6, 0],
        hear(12, 0x01),
        [2, 0],
        [2, 0],
        hear(4, 0x02),
        [4, 21],
        hear(3, 1),
        [5, 0],
        hear(9, 6),
    ];
    let idle = [[0x08, 0x00], hear(0, 0x02), [4, 23], [4, 24], [4, 25], [4, 26], hear(7, 1), [4, 27]];
    vec![smsc.concat(), esme.concat(), idle.concat(), vec![0, 3, 4, 27], vec![1, 3, 4, 27]]
}

fn configs() -> Vec<Vec<u8>> {
    let files = [
        &include_bytes!("../../config/examples/one-carrier.toml")[..],
        include_bytes!("../../config/examples/tx-rx-with-mo.toml"),
        include_bytes!("../../config/examples/weighted-with-standby.toml"),
        include_bytes!("../../bench/bindery.toml"),
    ];
    let mut all: Vec<Vec<u8>> = files.map(<[u8]>::to_vec).to_vec();
    // The reference, table by table, each with what every configuration needs.
    let whole = include_str!("../../config/bindery.toml");
    let needed = "[[listener]]\naddress = \"0.0.0.0:1\"\n[esme.a]\npassword = \"p\"\n[carrier.c]\naddresses = [\"h:1\"]\nsystem_id = \"s\"\npassword = \"p\"\n[pool.main]\nmembers = [{ carrier = \"c\" }]\n";
    for table in whole.split("\n\n") {
        let keys: Vec<&str> =
            table.lines().map(|line| line.split("   #").next().unwrap_or(line).trim_end()).collect();
        all.push(keys.join("\n").into_bytes());
        all.push(format!("{needed}{}", keys.join("\n")).into_bytes());
    }
    all
}

/// The usual life of a node, and some unusual ones.
fn nodes() -> Vec<Vec<u8>> {
    let up = [[16, 0], [16, 1], [7, 0x80], [7, 0x81], [7, 0x82], [7, 0x83]].concat();
    let traffic =
        [[2, 1], [3, 0x11], [7, 0x80], [7, 0x81], [7, 0x82], [9, 0x80], [7, 0], [10, 0x81], [7, 1], [11, 9]]
            .concat();
    let mut all = vec![up.clone(), [&up[..], &traffic].concat(), [&up[..], &traffic, &traffic].concat()];
    for extra in
        [[14, 0], [12, 0x80], [12, 0], [13, 0x80], [15, 0xD7], [11, 14], [6, 3], [8, 0x84], [8, 0x86]]
    {
        all.push([&up[..], &extra, &traffic, &extra, &[11, 13]].concat());
    }
    all.extend(idle_readers(&up));
    all.push(include_bytes!("found/shard-queued-after-its-queue-was-empty").to_vec());
    for vector in pdus().iter().filter(|pdu| (17..100).contains(&pdu.len())) {
        let Some(pdu) = Pdu::whole(vector) else { continue };
        let body = pdu.body();
        let mut input = [&up[..], &traffic].concat();
        for how in [1, 0x80 | 1, 11, 12, 0x80 | 11] {
            input.extend_from_slice(&[5, how, body.len() as u8]);
            input.extend_from_slice(body);
        }
        all.push(input);
    }
    all
}

/// An ESME that takes nothing for longer than the response time while it is delivered to: one that is silent, one that
/// enquires, and one that is not read because it submits beyond its window, as the fuzzer found it.
fn idle_readers(up: &[u8]) -> [Vec<u8>; 3] {
    let deliveries = [[10, 0x81], [10, 0x82], [10, 0x83]].concat();
    let full = [up, &[0, 0, 13, 0], &deliveries, &deliveries].concat();
    let over = [&deliveries[..], &[13, 3, 7, 0, 11, 9]].concat();
    let enquires = [11, 10, 5, 0x15, 0].repeat(4);
    let found = include_bytes!("found/shard-full-window-of-an-idle-reader");
    [[&full[..], &[11, 12], &over].concat(), [full, enquires, over].concat(), found.to_vec()]
}
