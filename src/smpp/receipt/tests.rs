use super::super::frame::Pdu;
use super::super::segment::ESM_UDHI;
use super::*;

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
