//! TLVs, receipts, user data headers, alphabets, times, ids: what is written is read again, and nothing grows.

use bindery::prng::Prng;
use bindery::smpp::cursor::Cursor;
use bindery::smpp::gsm7;
use bindery::smpp::id_form::{IdForm, matches, receipt_key, receipt_keys, response_key};
use bindery::smpp::latin1;
use bindery::smpp::receipt::{Receipt, ReceiptFields, ReceiptText, write_text};
use bindery::smpp::segment::{ConcatForm, Part, TextEncoding, Udh, body, parts};
use bindery::smpp::times::{Time, absolute, receipt_date};
use bindery::smpp::tlv::{Tlvs, write_tlv};
use bindery::smpp::tpdu::{Line, Tpdu};
use bindery::smpp::ucs2;
use bindery::time::Wall;

/// TLVs: a strict reader takes all or nothing, a lenient one the sound front; both give them in their order.
pub(super) fn tlvs(data: &[u8]) {
    let strict = Tlvs::parse(&mut Cursor::new(data, 0));
    let lenient = Tlvs::lenient(data);
    assert!(data.starts_with(lenient.bytes()));
    let mut again = Vec::with_capacity(data.len());
    for tlv in lenient.iter() {
        write_tlv(&mut again, tlv.tag, tlv.value);
        let first = lenient.iter().find(|other| other.tag == tlv.tag).map(|other| other.value);
        assert_eq!(lenient.get(tlv.tag), first);
        assert_eq!(lenient.octet(tlv.tag).is_some(), first.is_some_and(|value| value.len() == 1));
    }
    assert_eq!(again, lenient.bytes());
    match strict {
        Ok(strict) => assert_eq!(strict.bytes(), data),
        Err(error) => {
            assert!(error.offset <= data.len());
            assert!(lenient.bytes().len() < data.len());
        }
    }
}

/// Whether `part` lies in `whole`.
fn within(whole: &[u8], part: &[u8]) -> bool {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

/// Receipts: the first octet is esm_class, the second how many octets of text there are, TLVs behind it.
pub(super) fn receipts(data: &[u8]) {
    let [esm_class, length, rest @ ..] = data else { return };
    let (text, tlvs) = rest.split_at(usize::from(*length).min(rest.len()));
    let tlvs = Tlvs::lenient(tlvs);
    let scanned = ReceiptText::scan(text);
    let fields = [
        scanned.id,
        scanned.sub,
        scanned.dlvrd,
        scanned.submit_date,
        scanned.done_date,
        scanned.stat,
        scanned.err,
        scanned.text,
    ];
    for field in fields.into_iter().flatten() {
        assert!(field.is_empty() || within(text, field));
    }
    assert!(scanned.id.is_none_or(|id| !id.is_empty()) && scanned.stat.is_none_or(|stat| !stat.is_empty()));
    if let Some(parsed) = ReceiptText::parse(text) {
        assert_eq!(parsed, scanned);
    }
    for v33 in [false, true] {
        let Some(receipt) = Receipt::from_fields(*esm_class, text, &tlvs, v33) else { continue };
        assert!(receipt.tlv_id.is_none_or(|id| (1..=64).contains(&id.len())));
        assert!(receipt.text_id().is_none_or(|id| (1..=64).contains(&id.len())));
        assert!(
            !receipt.intermediate
                || receipt.state.is_none_or(|state| !state.is_final())
                || esm_class & 0x3C == 0x20
        );
        if let Some(id) = receipt.id() {
            ids(id);
        }
    }
    composed(&scanned);
}

/// What we compose of a receipt's words is read as it was meant.
fn composed(text: &ReceiptText<'_>) {
    let word = |field: Option<&[u8]>| field.is_some_and(|word| word.iter().all(u8::is_ascii_alphanumeric));
    if !word(text.id) || !word(text.stat) {
        return;
    }
    let (id, stat) = (text.id.unwrap_or_default(), text.stat.unwrap_or_default());
    let mut out = Vec::new();
    let fields = ReceiptFields {
        id,
        sub: 1,
        dlvrd: 1,
        submit_date: b"2611211200",
        done_date: b"2611211201",
        stat,
        err: b"000",
        text: b"x",
    };
    write_text(&mut out, &fields);
    let again = ReceiptText::scan(&out);
    assert_eq!(
        (again.id, again.stat, again.err, again.text),
        (Some(id), Some(stat), Some(&b"000"[..]), Some(&b"x"[..]))
    );
}

/// An id's keys and what matches agree.
fn ids(id: &[u8]) {
    let keys: Vec<_> = receipt_keys(id).collect();
    assert!((1..=3).contains(&keys.len()));
    for form in IdForm::ALL {
        let key = receipt_key(form, id);
        assert!(keys.iter().any(|candidate| candidate.key == key));
        if matches(form, id, id) {
            assert_eq!(receipt_key(form, id), response_key(id));
        }
    }
    let lower = id.to_ascii_lowercase();
    let padded = [b"000", id].concat();
    assert_eq!(response_key(&lower), response_key(id));
    if id.iter().all(u8::is_ascii_digit) && id.len() < 18 {
        assert_eq!(response_key(&padded), response_key(id));
        let number: u64 =
            core::str::from_utf8(id).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let hex = format!("{number:X}");
        assert!(matches(IdForm::RespHexReceiptDec, hex.as_bytes(), id), "{hex}");
        assert!(receipt_keys(id).any(|candidate| candidate.key == response_key(hex.as_bytes())));
    }
}

/// User data headers, and how a text is cut: the first octet says how it is read.
pub(super) fn headers(data: &[u8]) {
    let [how, text @ ..] = data else { return };
    if let Some(udh) = Udh::parse(text) {
        assert_eq!(udh.len() + udh.rest().len(), text.len());
        let octets: usize = udh.elements().map(|element| element.data.len() + 2).sum();
        assert!(octets < udh.len());
        assert_eq!(udh.is_sound(), octets + 1 == udh.len());
        if let Some(part) = udh.concat() {
            assert!(part.number >= 1 && part.number <= part.total);
            let mut again = Vec::new();
            part.write_udh(&mut again);
            assert_eq!(Udh::parse(&again).and_then(|udh| udh.concat()), Some(part));
            assert_eq!(Part::new(part.reference, part.total, part.number), Some(part));
        }
        let _ = udh.ports();
    }
    assert!(within(text, body(*how, text)) || body(*how, text).is_empty());
    let encodings = [TextEncoding::Gsm7, TextEncoding::Ucs2, TextEncoding::Latin1, TextEncoding::Binary];
    let encoding = encodings[usize::from(how & 3)];
    let form = if how & 4 == 0 { ConcatForm::Octet } else { ConcatForm::Word };
    // Longer than one part now and then.
    let long: Vec<u8> =
        text.iter().copied().cycle().take(text.len() * usize::from(1 + (how >> 3 & 7))).collect();
    let mut end = 0;
    let mut count = 0;
    for range in parts(&long, encoding, form) {
        assert_eq!(range.start, end);
        assert!(range.len() <= encoding.room(if long.len() > encoding.room(0) { form.udh_len() } else { 0 }));
        assert!(!range.is_empty() || long.is_empty());
        end = range.end;
        count += 1;
    }
    assert_eq!(end, long.len());
    assert!(count >= 1);
    assert_eq!(TextEncoding::from_data_coding(encoding.data_coding()), encoding);
    if let Some(line) = Line::parse(text) {
        assert!(line.tpdu_length <= text.len());
        tpdu(&line.tpdu, text.len());
    }
}

fn tpdu(tpdu: &Tpdu<'_>, length: usize) {
    let user_data = match tpdu {
        Tpdu::Submit(submit) => Some(submit.user_data),
        Tpdu::Deliver(deliver) => Some(deliver.user_data),
        Tpdu::StatusReport(_) => None,
    };
    if let Some(user_data) = user_data {
        assert!(user_data.fill_bits() < 7);
        assert!(user_data.septets().count() <= 8 * length / 7 + 1);
    }
}

/// Alphabets, packing and times.
pub(super) fn texts(data: &[u8]) {
    let fill = data.first().copied().unwrap_or_default() % 7;
    let septets: Vec<u8> = data.iter().map(|octet| octet & 0x7F).collect();
    let mut packed = Vec::new();
    gsm7::pack(septets.iter().copied(), fill, &mut packed);
    assert_eq!(packed.len(), (usize::from(fill) + 7 * septets.len()).div_ceil(8));
    assert_eq!(gsm7::unpack(&packed, fill, septets.len()).collect::<Vec<_>>(), septets);
    let text: String = gsm7::decode_unpacked(&septets).collect();
    let mut again = Vec::new();
    assert!(gsm7::encode_unpacked(&text, &mut again).is_ok(), "{text:?}");
    assert_eq!(gsm7::decode_unpacked(&again).collect::<String>(), text);
    assert_eq!(gsm7::septets(&text), Some(again.len()));
    let text: String = ucs2::decode(data).collect();
    again.clear();
    ucs2::encode(&text, &mut again);
    assert_eq!((ucs2::decode(&again).collect::<String>(), ucs2::units(&text) * 2), (text, again.len()));
    let text: String = latin1::decode(data).collect();
    again.clear();
    assert!(latin1::encode(&text, &mut again).is_ok());
    assert_eq!(again, data);
    if let Ok(text) = core::str::from_utf8(data) {
        any_text(text);
    }
    times(data);
}

fn any_text(text: &str) {
    let mut out = Vec::new();
    let encoding = TextEncoding::choose(text);
    assert_eq!(gsm7::encode_unpacked(text, &mut out).is_ok(), encoding == TextEncoding::Gsm7);
    if encoding == TextEncoding::Gsm7 {
        assert_eq!(gsm7::decode_unpacked(&out).collect::<String>(), text);
    }
    out.clear();
    ucs2::encode(text, &mut out);
    assert_eq!(ucs2::decode(&out).collect::<String>(), text);
}

fn times(data: &[u8]) {
    let mut seed = [0; 8];
    seed.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    let mut prng = Prng::new(u64::from_le_bytes(seed));
    let now = Wall((prng.bits() >> 12) as i64);
    if let Some(time) = data.get(..16).and_then(Time::parse) {
        let at = time.resolve(now);
        if let Time::Absolute(wall) = time {
            assert_eq!(at, wall);
            let written = absolute(at);
            let Some(Time::Absolute(again)) = Time::parse(&written) else { panic!("{written:?}") };
            // Tenths of a second are what the field can say, and years 1938 to 2037.
            assert!(
                again.0.abs_diff(at.0) < 100_000 || !(1940..2036).contains(&year(at)),
                "{time:?} {again:?}"
            );
        } else {
            assert!(at >= now, "{time:?}");
        }
    }
    assert!(receipt_date(now).iter().all(u8::is_ascii_digit));
    assert!(Time::parse(&absolute(Wall(i64::from_le_bytes(seed)))).is_some());
}

/// About.
fn year(at: Wall) -> i64 {
    1970 + at.0 / 1_000_000 / 31_556_952
}
