use super::super::segment::ESM_UDHI;
use super::*;
use crate::prng::Prng;

const TEXT: &[u8] =
    b"id:77 sub:001 dlvrd:001 submit date:2606301200 done date:2606301201 stat:DELIVRD err:000 text:id:77";

fn pdu(esm_class: u8, short_message: &[u8], tlvs: &[(Tag, &[u8])]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (tag, value) in tlvs {
        write_tlv(&mut octets, *tag, value);
    }
    let content = Content { esm_class, short_message, tlvs: Tlvs::lenient(&octets), ..Content::default() };
    let mut out = Vec::new();
    Sm { content, ..Sm::default() }.write(&mut out, CommandId::DELIVER_SM, 7);
    out
}

fn deliver(bytes: &[u8]) -> Sm<'_> {
    Sm::parse_deliver(&Pdu::whole(bytes).unwrap()).unwrap()
}

fn rewritten(bytes: &[u8], id: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rewrite_id(&deliver(bytes), id, CommandId::DELIVER_SM, 7, &mut out);
    let (pdu, sm) = (Pdu::whole(bytes).unwrap(), deliver(bytes));
    let read = ReceiptText::scan(body(sm.content.esm_class, sm.content.text())).id;
    for known in [None, read, Some(&b"77"[..])] {
        let mut spliced = Vec::new();
        rewrite_id_of(&pdu, &sm, known, id, 7, &mut spliced);
        assert_eq!(spliced, out, "the same either way");
    }
    out
}

#[test]
fn esm_class_0_is_a_receipt_for_a_peer_of_33_only() {
    let bytes = pdu(0, TEXT, &[]);
    assert_eq!(Receipt::parse(&deliver(&bytes), false), None);
    assert_eq!(Receipt::parse(&deliver(&bytes), true).unwrap().id(), Some(&b"77"[..]));
    assert_eq!(Receipt::parse(&deliver(&pdu(0, b"see my id:77", &[])), true), None);
    assert_eq!(Receipt::parse(&deliver(&pdu(0x08, TEXT, &[])), true), None);
}

#[test]
fn a_pdu_that_is_not_the_one_that_was_read_is_written_from_its_fields() {
    let (bytes, other) = (pdu(4, TEXT, &[]), pdu(4, b"id:5 stat:UNDELIV", &[]));
    let mut out = Vec::new();
    rewrite_id_of(&Pdu::whole(&other).unwrap(), &deliver(&bytes), None, b"8899", 7, &mut out);
    assert_eq!(out, rewritten(&bytes, b"8899"));
}

#[test]
fn the_type_bits_count_and_not_the_whole_octet() {
    let mut text = vec![5, 0, 3, 1, 1, 1];
    text.extend(TEXT);
    let bytes = pdu(0x04 | ESM_UDHI, &text, &[]);
    assert_eq!(Receipt::parse(&deliver(&bytes), false).unwrap().text_id(), Some(&b"77"[..]));
    assert!(rewritten(&bytes, b"8899").windows(7).any(|w| w == b"id:8899"));
}

#[test]
fn a_receipt_that_announces_a_header_but_has_none_is_read_all_the_same() {
    let text = [TEXT, b" and a text that is longer than its first letter says"].concat();
    let bytes = pdu(0x04 | ESM_UDHI, &text, &[]);
    assert_eq!(Receipt::parse(&deliver(&bytes), false).unwrap().text_id(), Some(&b"77"[..]));
}

#[test]
fn tlvs_are_trusted_before_the_text() {
    let tlvs: [(Tag, &[u8]); 3] = [
        (Tag::RECEIPTED_MESSAGE_ID, b"7700112233\0"),
        (Tag::MESSAGE_STATE, &[5]),
        (Tag::NETWORK_ERROR_CODE, b"027"),
    ];
    let bytes = pdu(0x04, TEXT, &tlvs);
    let receipt = Receipt::parse(&deliver(&bytes), false).unwrap();
    assert_eq!((receipt.id(), receipt.text_id()), (Some(&b"7700112233"[..]), Some(&b"77"[..])));
    assert_eq!(receipt.state, Some(MessageState::Undeliverable));
    assert_eq!(receipt.network_error_code, Some(*b"027"));
    assert!(!receipt.intermediate);
}

#[test]
fn a_state_that_is_not_final_ends_nothing() {
    let intermediate = |esm_class, stat: &str| {
        let bytes = pdu(esm_class, format!("id:1 stat:{stat}").as_bytes(), &[]);
        Receipt::parse(&deliver(&bytes), false).unwrap().intermediate
    };
    assert!(intermediate(0x20, "ENROUTE") && intermediate(0x04, "ACCEPTD") && intermediate(0x04, "BUFFERD"));
    assert!(!intermediate(0x04, "DELIVRD") && !intermediate(0x04, "FOOBAR"));
}

#[test]
fn only_the_id_is_rewritten_everywhere_it_stands() {
    let tlvs: [(Tag, &[u8]); 3] =
        [(Tag(0x1400), b"77"), (Tag::RECEIPTED_MESSAGE_ID, b"77\0"), (Tag(0x1401), b"")];
    let bytes = pdu(0x04, TEXT, &tlvs);
    assert_eq!(rewritten(&bytes, b"77"), bytes);
    let text = TEXT.strip_prefix(b"id:77").unwrap();
    let text = [b"id:0123456789", text].concat();
    let expected: [(Tag, &[u8]); 3] =
        [(Tag(0x1400), b"77"), (Tag::RECEIPTED_MESSAGE_ID, b"0123456789\0"), (Tag(0x1401), b"")];
    assert_eq!(rewritten(&bytes, b"0123456789"), pdu(0x04, &text, &expected));
}

#[test]
fn the_id_is_rewritten_in_message_payload() {
    let bytes = pdu(0x04, b"", &[(Tag::MESSAGE_PAYLOAD, b"stat:DELIVRD id: x9"), (Tag(0x1400), b"v")]);
    let expected = pdu(0x04, b"", &[(Tag::MESSAGE_PAYLOAD, b"stat:DELIVRD id: 12345"), (Tag(0x1400), b"v")]);
    assert_eq!(rewritten(&bytes, b"12345"), expected);
}

#[test]
fn a_text_that_grows_too_long_loses_its_tail() {
    let mut text = TEXT.to_vec();
    text.resize(254, b'z');
    let long = rewritten(&pdu(0x04, &text, &[(Tag(0x1400), b"v")]), b"7766554433221100");
    let sm = deliver(&long);
    assert_eq!(sm.content.short_message.len(), 254);
    assert!(sm.content.short_message.starts_with(b"id:7766554433221100 sub:001"));
    assert_eq!(sm.content.tlvs.get(Tag(0x1400)), Some(&b"v"[..]));
}

#[test]
fn a_composed_text_reads_back_as_it_was_meant() {
    let mut out = Vec::new();
    let fields = ReceiptFields {
        id: b"42",
        sub: 1,
        dlvrd: 1200,
        submit_date: b"2606301200",
        done_date: b"2606301201",
        stat: b"DELIVRD",
        err: b"7",
        text: b"stat:EXPIRED and more than twenty",
    };
    write_text(&mut out, &fields);
    let expected: &[u8] =
        b"id:42 sub:001 dlvrd:999 submit date:2606301200 done date:2606301201 stat:DELIVRD err:007 \
        text:stat:EXPIRED and mor";
    assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
    let read = ReceiptText::parse(&out).unwrap();
    assert_eq!((read.stat, read.err), (Some(&b"DELIVRD"[..]), Some(&b"007"[..])));
}

#[test]
fn a_text_is_added_beside_the_tlvs_only_where_one_is_missing() {
    let tlvs: [(Tag, &[u8]); 3] = [
        (Tag::RECEIPTED_MESSAGE_ID, b"42"),
        (Tag::MESSAGE_STATE, &[2]),
        (Tag::NETWORK_ERROR_CODE, &[8, 0xFF, 0xFF]),
    ];
    let mut out = Vec::new();
    assert!(!with_text(&deliver(&pdu(0x04, TEXT, &tlvs)), CommandId::DELIVER_SM, 1, &mut out));
    assert!(!with_text(&deliver(&pdu(0x00, b"", &tlvs)), CommandId::DELIVER_SM, 1, &mut out));
    assert!(out.is_empty());
    assert!(with_text(&deliver(&pdu(0x04, b"", &tlvs)), CommandId::DELIVER_SM, 1, &mut out));
    let sm = deliver(&out);
    let receipt = Receipt::parse(&sm, false).unwrap();
    assert_eq!((receipt.text_id(), receipt.text.stat), (Some(&b"42"[..]), Some(&b"DELIVRD"[..])));
    assert_eq!(receipt.text.err, Some(&b"65535"[..]));
    assert_eq!(receipt.tlv_id, Some(&b"42"[..]));
}

#[test]
fn an_id_is_never_cut_in_half() {
    let mut text = b"stat:EXPIRED err:9 sub:".to_vec();
    text.resize(230, b'0');
    text.extend(b" id:7");
    let long = rewritten(&pdu(0x04, &text, &[]), b"0123456789012345678901234567890123456789");
    let expected: &[u8] =
        b"id:0123456789012345678901234567890123456789 sub:001 dlvrd:000 submit date:0000000000 \
        done date:0000000000 stat:EXPIRED err:009 text:";
    assert_eq!(deliver(&long).content.short_message, expected);
}

#[test]
fn a_data_sm_is_a_receipt_too() {
    let receipt = |payload: &[u8], id: &[u8]| {
        let mut tlvs = Vec::new();
        write_tlv(&mut tlvs, Tag::MESSAGE_PAYLOAD, payload);
        write_tlv(&mut tlvs, Tag::RECEIPTED_MESSAGE_ID, id);
        let mut out = Vec::new();
        DataSm { esm_class: 0x04, tlvs: Tlvs::lenient(&tlvs), ..DataSm::default() }.write(&mut out, 7);
        out
    };
    let bytes = receipt(b"id:77 stat:EXPIRED", b"77\0");
    let pdu = Pdu::whole(&bytes).unwrap();
    let data = DataSm::parse(&pdu).unwrap();
    let read = Receipt::parse_data(&data).unwrap();
    assert_eq!((read.id(), read.state), (Some(&b"77"[..]), Some(MessageState::Expired)));
    let mut out = Vec::new();
    rewrite_data_id(&data, b"77", 7, &mut out);
    assert_eq!(out, bytes);
    out.clear();
    rewrite_data_id(&data, b"0099", 7, &mut out);
    assert_eq!(out, receipt(b"id:0099 stat:EXPIRED", b"0099\0"));
    assert_eq!(Receipt::parse_data(&DataSm { esm_class: 0, ..data }), None);
}

/// The keys of a text by the letter of the rules: each colon in turn, and whether a key ends before it that begins the
/// part or follows a blank. Keys with their values, and where these begin.
fn read_plainly(text: &[u8]) -> Vec<(&'static str, &[u8], usize)> {
    const NAMES: [&str; 10] =
        ["id", "sub", "dlvrd", "submit date", "done date", "submitdate", "donedate", "stat", "err", "text"];
    let next_key = |from: usize| {
        (from..text.len()).filter(|&at| text[at] == b':').find_map(|colon| {
            NAMES.into_iter().find_map(|name| {
                let start = colon.checked_sub(name.len()).filter(|start| *start >= from)?;
                let alone = start == from || text[start - 1].is_ascii_whitespace();
                let same = text[start..colon].eq_ignore_ascii_case(name.as_bytes());
                (alone && same).then_some((name, start, colon + 1))
            })
        })
    };
    let (mut read, mut next) = (Vec::new(), next_key(0));
    while let Some((name, _, start)) = next {
        if name == "text" {
            read.push((name, &text[start..], start));
            break;
        }
        next = next_key(start);
        let value = &text[start..next.map_or(text.len(), |(_, begin, _)| begin)];
        let lead = value.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        let word = value[lead..].split(u8::is_ascii_whitespace).next().unwrap();
        read.push((name, word, start + lead));
    }
    read
}

/// What texts are made of.
const PIECES: &str = "id:|ID:|sub:|dlvrd:|submit date:|Submit Date:|done date:|submitdate:|doneDATE:|stat:|STAT:|err:|\
    text:|submit|date|iD|sUb|stat|:|:|:| | | | |\t|\r\n|\x0b|\x0c|\0|\x1a|0|0000000000|2606301200|DELIVRD|submit |x|-|\u{e9}|\
    id:77 sub:001 |abcdefghij|@|?|000";

const USUAL_TEXT: &[u8] =
    b"id:77 sub:001 dlvrd:001 submit date:2606301200 done date:0000000000 stat:DELIVRD err:000 text:hello";

/// A text of any pieces, or the usual one with one piece in it, maybe in the place of an octet or two.
fn any_text(prng: &mut Prng) -> Vec<u8> {
    let pieces: Vec<&str> = PIECES.split('|').collect();
    let piece = |prng: &mut Prng| pieces[prng.below(pieces.len() as u64) as usize];
    if prng.chance(1, 3) {
        let at = prng.below(USUAL_TEXT.len() as u64 + 1) as usize;
        let end = (at + prng.below(3) as usize).min(USUAL_TEXT.len());
        let mut text = USUAL_TEXT.to_vec();
        text.splice(at..end, piece(prng).bytes());
        return text;
    }
    (0..prng.below(14)).flat_map(|_| piece(prng).bytes()).collect()
}

#[test]
fn a_text_made_of_anything_is_read_by_the_letter_of_the_rules() {
    let mut prng = Prng::new(11);
    let (mut keys, mut usual) = (0, 0);
    for step in 0..30_000 {
        let text = any_text(&mut prng);
        let text = trim_nuls(&text);
        let plain = read_plainly(text);
        keys += plain.len();
        usual += u32::from(scan_usual(text).is_some());
        let first = |names: &[&str], is_value: fn(&[u8]) -> bool| {
            plain.iter().find(|(name, value, _)| names.contains(name) && is_value(value)).map(|found| found.1)
        };
        let filled = |value: &[u8]| !value.is_empty();
        let dated = |value: &[u8]| value.iter().any(|digit| *digit != b'0');
        let expected = ReceiptText {
            id: first(&["id"], filled),
            sub: first(&["sub"], filled),
            dlvrd: first(&["dlvrd"], filled),
            submit_date: first(&["submit date", "submitdate"], dated),
            done_date: first(&["done date", "donedate"], dated),
            stat: first(&["stat"], filled),
            err: first(&["err"], |_| true),
            text: first(&["text"], |_| true),
        };
        assert_eq!(ReceiptText::scan(text), expected, "step {step}: {}", text.escape_ascii());
        let id = plain.iter().find(|(name, value, _)| *name == "id" && !value.is_empty());
        let range = id.map(|(_, value, start)| *start..start + value.len());
        assert_eq!(id_range(text), range, "step {step}: {}", text.escape_ascii());
    }
    assert!(keys > 90_000 && (500..10_000).contains(&usual), "{keys} keys, {usual} usual texts");
}

#[test]
fn an_octet_that_differs_from_a_letter_or_a_colon_in_one_bit_makes_no_key() {
    let key: &[u8] = b"submit date:";
    for at in 0..key.len() {
        for bit in 0..8 {
            let mut text = [key, b"2606301200 "].concat();
            text[at] ^= 1 << bit;
            let read = ReceiptText::scan(&text).submit_date;
            assert_eq!(read.is_some(), bit == 5 && key[at].is_ascii_lowercase(), "{}", text.escape_ascii());
        }
    }
}
