//! Delivery receipts as carriers write them (SMPP 3.4 appendix B and §5.3.2). Owns: nothing. Takes: deliver_sm,
//! data_sm. Gives: what a receipt says, and the same receipt with another id or with a text. Never: allocates while
//! reading, trusts the text over a TLV, changes an octet that is not part of the id.

use core::ops::Range;

use super::command::CommandId;
use super::data::DataSm;
use super::frame::{Pdu, write_header, write_pdu};
use super::message_state::MessageState;
use super::segment::{ESM_UDHI, body, esm_type};
use super::sm::{Content, Sm, write_c_octets};
use super::status::CommandStatus;
use super::tlv::{Tag, Tlvs, write_tlv};
use crate::limits::{HEADER_LEN, MESSAGE_ID_MAX};

/// Type bits of a receipt.
const TYPE_RECEIPT: u8 = 1;
/// Type bits of an intermediate notification.
const TYPE_INTERMEDIATE: u8 = 8;
/// Octets of short_message that every version takes.
const SHORT_MESSAGE_MAX: usize = 254;
/// Octets of the message that a receipt repeats (SMPP 3.4 appendix B).
const TEXT_MAX: usize = 20;
/// How a date is written when it is not known.
const NO_DATE: &[u8] = b"0000000000";

/// The fields of a receipt's text, each without the blanks around it; `None` when its key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiptText<'a> {
    /// Never empty.
    pub id: Option<&'a [u8]>,
    /// How many messages were submitted.
    pub sub: Option<&'a [u8]>,
    /// How many were delivered.
    pub dlvrd: Option<&'a [u8]>,
    /// 10, 12 or 14 digits in the carrier's time; all zeros is `None`.
    pub submit_date: Option<&'a [u8]>,
    /// As `submit_date`.
    pub done_date: Option<&'a [u8]>,
    /// The word as it was written; never empty.
    pub stat: Option<&'a [u8]>,
    /// The carrier's own code; may be empty.
    pub err: Option<&'a [u8]>,
    /// Everything after `text:`; may be empty and may look like fields.
    pub text: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Key {
    Id,
    Sub,
    Dlvrd,
    SubmitDate,
    DoneDate,
    Stat,
    Err,
    Text,
}

/// Octets that are compared at once.
type Lane = [u8; 8];

/// The bits of a lower-case letter that it has in both cases.
const LETTER_BITS: u8 = 0xDF;

/// A key and its colon in lanes, with the bits of each octet that count: those of letters do in either case.
struct Name {
    octets: [u64; 2],
    bits: [u64; 2],
    length: usize,
}

impl Name {
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
    const fn new(name: &[u8]) -> Self {
        let (mut octets, mut bits, mut at) = ([0; 2], [0; 2], 0);
        while at < name.len() {
            let (lane, shift) = (at / size_of::<Lane>(), at % size_of::<Lane>() * 8);
            let counts = if name[at].is_ascii_lowercase() { LETTER_BITS } else { 0xFF };
            octets[lane] |= (name[at] as u64) << shift;
            bits[lane] |= (counts as u64) << shift;
            at += 1;
        }
        Self { octets, bits, length: name.len() }
    }

    /// What follows the key and its colon, when `text`, whose first lane is `first`, begins with them.
    #[inline(always)]
    fn before<'a>(&self, first: u64, text: &'a [u8]) -> Option<&'a [u8]> {
        let ([one, two], [one_bits, two_bits]) = (self.octets, self.bits);
        if (first ^ one) & one_bits != 0 {
            return None;
        }
        if two_bits != 0 && (lane(text.get(size_of::<Lane>()..)?) ^ two) & two_bits != 0 {
            return None;
        }
        text.get(self.length..)
    }
}

/// The first octets of `text`, filled up with NUL, which stands in no key.
#[inline(always)]
fn lane(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| short_lane(text), |octets: &Lane| u64::from_le_bytes(*octets))
}

/// Fewer octets than a lane has. Two reads that overlap agree where they do.
#[inline(always)]
fn short_lane(text: &[u8]) -> u64 {
    if let (Some(&first), Some(&last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let shift = (text.len() - 4) * 8;
        return u64::from(u32::from_le_bytes(first)) | u64::from(u32::from_le_bytes(last)) << shift;
    }
    text.iter().rev().fold(0, |lane, &octet| lane << 8 | u64::from(octet))
}

/// The key that `text` begins with, and what follows its colon.
#[inline(always)]
fn key_before(text: &[u8]) -> Option<(Key, &[u8])> {
    macro_rules! named {
        ($($name:literal $key:ident),+) => {{
            let first = lane(text);
            $(if let Some(rest) = const { Name::new($name) }.before(first, text) {
                return Some((Key::$key, rest));
            })+
            None
        }};
    }
    match text.first()?.to_ascii_lowercase() {
        b'i' => named!(b"id:" Id),
        b's' => named!(b"sub:" Sub, b"stat:" Stat, b"submit date:" SubmitDate, b"submitdate:" SubmitDate),
        b'd' => named!(b"done date:" DoneDate, b"dlvrd:" Dlvrd, b"donedate:" DoneDate),
        b'e' => named!(b"err:" Err),
        b't' => named!(b"text:" Text),
        _ => None,
    }
}

/// The octets of `text` before its first blank, and those behind that blank.
#[inline(always)]
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    const EACH: u64 = u64::MAX / 0xFF;
    const BLANK_MAX: u64 = b' ' as u64;
    for (at, word) in text.as_chunks::<{ size_of::<Lane>() }>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest octet whose high bit is set here is the first up to the space; a borrow can only spoil later ones.
        let low = word.wrapping_sub(EACH * (BLANK_MAX + 1)) & !word & (EACH << 7);
        if low == 0 {
            continue;
        }
        let from = at * size_of::<Lane>() + low.trailing_zeros() as usize / 8;
        return match text.split_at_checked(from) {
            Some((word, [b' ', rest @ ..])) => (word, rest),
            Some(_) | None => split_word_plainly(text, from),
        };
    }
    split_word_plainly(text, text.len() / size_of::<Lane>() * size_of::<Lane>())
}

/// The same, when no blank stands before `from`.
fn split_word_plainly(text: &[u8], from: usize) -> (&[u8], &[u8]) {
    let blank = text.iter().skip(from).position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(blank.map_or(text.len(), |blank| from + blank));
    (word, rest.get(1..).unwrap_or_default())
}

/// The word that `text` begins with and what follows its blank; `None` when a blank or a key stands there.
#[inline(always)]
fn plain_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = text.first()?;
    if !first.is_ascii_digit() && (first.is_ascii_whitespace() || begins_with_key(text)) {
        return None;
    }
    Some(split_word(text))
}

#[inline(never)]
fn begins_with_key(text: &[u8]) -> bool {
    key_before(text).is_some()
}

/// What follows the id in the layout of appendix B, with values of their usual lengths: `0` stands for 0x30 to 0x3F and
/// `@` for 0x40 to 0x7F, so no value holds a blank, and none is the beginning of a key.
const USUAL: &[u8; 88] =
    b"sub:000 dlvrd:000 submit date:0000000000 done date:0000000000 stat:@@@@@@@ err:000 text:";

/// The bits of each octet of `USUAL` that count.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const USUAL_BITS: [u8; USUAL.len()] = {
    let (mut bits, mut at) = ([0xFF; USUAL.len()], 0);
    while at < USUAL.len() {
        bits[at] = match USUAL[at] {
            b'0' => 0xF0,
            b'@' => 0xC0,
            b'a'..=b'z' => LETTER_BITS,
            _ => 0xFF,
        };
        at += 1;
    }
    bits
};

/// The fields of a text in the layout that nearly every carrier writes, compared as a whole; `None` for all others.
#[inline(always)]
fn scan_usual(text: &[u8]) -> Option<ReceiptText<'_>> {
    let (id, behind) = id_at_front(text)?;
    let (usual, text) = behind.split_first_chunk::<{ USUAL.len() }>()?;
    let wrong = usual.iter().zip(USUAL).zip(USUAL_BITS);
    if wrong.fold(0, |wrong, ((octet, usual), bits)| wrong | (octet ^ usual) & bits) != 0 {
        return None;
    }
    Some(ReceiptText {
        id: Some(id),
        sub: usual.get(4..7),
        dlvrd: usual.get(14..17),
        submit_date: usual.get(30..40).filter(|date| is_date(date)),
        done_date: usual.get(51..61).filter(|date| is_date(date)),
        stat: usual.get(67..74),
        err: usual.get(79..82),
        text: Some(text),
    })
}

/// The id, when it is what the text begins with, and what follows its blank.
#[inline(always)]
fn id_at_front(text: &[u8]) -> Option<(&[u8], &[u8])> {
    plain_word(const { Name::new(b"id:") }.before(lane(text), text)?)
}

/// False for zeros alone, or nothing.
#[inline(always)]
fn is_date(digits: &[u8]) -> bool {
    digits.iter().any(|&digit| digit != b'0')
}

/// Walks the fields of a text that ends in no NUL. A key stands at the front or behind a blank, in any case; its value
/// is the word behind it, or nothing before the next key; that of `text` is all that follows.
struct Fields<'a> {
    /// What was not read: a key may begin here.
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    /// A key, its value and the octets from there to the end of the text.
    type Item = (Key, &'a [u8], usize);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, mut value)) = key_before(self.rest) else {
                if self.rest.is_empty() {
                    return None;
                }
                self.rest = split_word(self.rest).1;
                continue;
            };
            if matches!(key, Key::Text) {
                self.rest = &[];
                return Some((key, value, value.len()));
            }
            while let [octet, rest @ ..] = value
                && octet.is_ascii_whitespace()
            {
                value = rest;
            }
            let left = value.len();
            if key_before(value).is_some() {
                self.rest = value;
                return Some((key, &[], left));
            }
            let (word, rest) = split_word(value);
            self.rest = rest;
            return Some((key, word, left));
        }
    }
}

impl<'a> ReceiptText<'a> {
    /// Reads a text that is a receipt by itself: it has an id and a stat.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let fields = Self::scan(text);
        (fields.id.is_some() && fields.stat.is_some()).then_some(fields)
    }

    /// Reads whatever fields there are. Keys come in any order and case; of the same key the first counts; a value
    /// ends at its first blank or at the next key; `text` runs to the end.
    #[inline]
    #[must_use]
    pub fn scan(text: &'a [u8]) -> Self {
        let text = trim_nuls(text);
        scan_usual(text).unwrap_or_else(|| Self::scan_any(text))
    }

    /// The same, in whatever order the fields are.
    fn scan_any(text: &'a [u8]) -> Self {
        let mut fields = Self::default();
        for (key, value, _) in (Fields { rest: text }) {
            let filled = Some(value).filter(|value| !value.is_empty());
            let date = filled.filter(|date| is_date(date));
            match key {
                Key::Id => fields.id = fields.id.or(filled),
                Key::Sub => fields.sub = fields.sub.or(filled),
                Key::Dlvrd => fields.dlvrd = fields.dlvrd.or(filled),
                Key::SubmitDate => fields.submit_date = fields.submit_date.or(date),
                Key::DoneDate => fields.done_date = fields.done_date.or(date),
                Key::Stat => fields.stat = fields.stat.or(filled),
                Key::Err => fields.err = fields.err.or(Some(value)),
                Key::Text => fields.text = Some(value),
            }
        }
        fields
    }

    /// The state that `stat` means.
    #[inline]
    #[must_use]
    pub fn state(&self) -> Option<MessageState> {
        let stat = self.stat?;
        // Nearly every receipt says this word, and it is the one that needs no search.
        if stat == MessageState::Delivered.stat().as_bytes() {
            return Some(MessageState::Delivered);
        }
        MessageState::from_stat(stat)
    }
}

/// Where in `text` the id stands.
#[inline]
fn id_range(text: &[u8]) -> Option<Range<usize>> {
    let text = trim_nuls(text);
    if let Some((id, _)) = id_at_front(text) {
        return Some(b"id:".len()..b"id:".len() + id.len());
    }
    let is_id = |(key, value, _): &(Key, &[u8], usize)| matches!(key, Key::Id) && !value.is_empty();
    let (_, id, left) = Fields { rest: text }.find(is_id)?;
    let start = text.len() - left;
    Some(start..start + id.len())
}

/// Where a part stands that was read from `text`; `None` for octets from elsewhere.
#[inline]
fn range_of(text: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    core::ptr::eq(text.get(range.clone())?, part).then_some(range)
}

fn trim_nuls(mut octets: &[u8]) -> &[u8] {
    while let [head @ .., 0] = octets {
        octets = head;
    }
    octets
}

/// What a receipt says, from its TLVs and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// receipted_message_id without its NUL, 1–64 octets.
    pub tlv_id: Option<&'a [u8]>,
    /// message_state, else what `stat` means. `None` is a word that nobody knows: the receipt still counts.
    pub state: Option<MessageState>,
    /// network_error_code: a network type and a code, or three ASCII digits.
    pub network_error_code: Option<[u8; 3]>,
    /// True when it ends nothing: an intermediate notification, or a state that is not final.
    pub intermediate: bool,
    /// The fields of the text.
    pub text: ReceiptText<'a>,
}

impl<'a> Receipt<'a> {
    /// Reads a deliver_sm; `None` when it is no receipt. A peer of version 3.3 may leave esm_class 0.
    #[must_use]
    pub fn parse(sm: &Sm<'a>, peer_is_33: bool) -> Option<Self> {
        let content = &sm.content;
        Self::from_fields(content.esm_class, content.text(), &content.tlvs, peer_is_33)
    }

    /// Reads a data_sm; `None` when it is no receipt. Version 3.3 does not know data_sm.
    #[must_use]
    pub fn parse_data(data: &DataSm<'a>) -> Option<Self> {
        Self::from_fields(data.esm_class, data.text(), &data.tlvs, false)
    }

    /// Reads the fields that a deliver_sm and a data_sm share.
    #[must_use]
    pub fn from_fields(esm_class: u8, text: &'a [u8], tlvs: &Tlvs<'a>, peer_is_33: bool) -> Option<Self> {
        let kind = esm_type(esm_class);
        let text = match kind {
            TYPE_RECEIPT | TYPE_INTERMEDIATE => ReceiptText::scan(body(esm_class, text)),
            0 if peer_is_33 => ReceiptText::parse(body(esm_class, text))?,
            _ => return None,
        };
        // Of the same tag the first counts.
        let (mut state, mut id, mut code) = (None, None, None);
        for tlv in tlvs {
            match tlv.tag {
                Tag::MESSAGE_STATE => state = state.or(Some(tlv.value)),
                Tag::RECEIPTED_MESSAGE_ID => id = id.or(Some(tlv.value)),
                Tag::NETWORK_ERROR_CODE => code = code.or(Some(tlv.value)),
                _ => {}
            }
        }
        let state = state.and_then(|octets: &[u8]| match octets {
            [octet] => MessageState::from_octet(*octet),
            _ => None,
        });
        let state = state.or_else(|| text.state());
        Some(Self {
            tlv_id: id.map(trim_nuls).filter(|id| is_id(id)),
            state,
            network_error_code: code.and_then(|code| code.try_into().ok()),
            intermediate: kind == TYPE_INTERMEDIATE || state.is_some_and(|state| !state.is_final()),
            text,
        })
    }

    /// The id in the text, when it can be one.
    #[must_use]
    pub fn text_id(&self) -> Option<&'a [u8]> {
        self.text.id.filter(|id| is_id(id))
    }

    /// The id to look for: the TLV's, else the text's. The text's may be cut.
    #[must_use]
    pub fn id(&self) -> Option<&'a [u8]> {
        self.tlv_id.or(self.text_id())
    }
}

const fn is_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MESSAGE_ID_MAX
}

/// Appends the same PDU with `new_id` in the place of the id: in short_message or message_payload, and in
/// receipted_message_id. Everything else stays, octet for octet. When short_message would grow over 254 octets its
/// tail, which is the quoted text, is cut.
pub fn rewrite_id(
    sm: &Sm<'_>,
    new_id: &[u8],
    command_id: CommandId,
    sequence_number: u32,
    out: &mut Vec<u8>,
) {
    debug_assert!(is_id(new_id));
    write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| {
        write_c_octets(out, sm.service_type);
        sm.source.write(out);
        sm.destination.write(out);
        write_content_with_id(&sm.content, new_id, out);
    });
}

/// As `rewrite_id`, of a PDU that is at hand, under its own command: what stands around the id is copied as it is.
/// `known`: the id in its text, when that was read.
pub fn rewrite_id_of(
    pdu: &Pdu<'_>,
    sm: &Sm<'_>,
    known: Option<&[u8]>,
    new_id: &[u8],
    sequence_number: u32,
    out: &mut Vec<u8>,
) {
    if splice_id(pdu, sm, known, new_id, sequence_number, out).is_none() {
        rewrite_id(sm, new_id, pdu.command_id(), sequence_number, out);
    }
}

/// `None`, and nothing written, when the id is not in short_message or does not fit there.
fn splice_id(
    pdu: &Pdu<'_>,
    sm: &Sm<'_>,
    known: Option<&[u8]>,
    new_id: &[u8],
    sequence_number: u32,
    out: &mut Vec<u8>,
) -> Option<()> {
    debug_assert!(is_id(new_id));
    let (octets, content) = (pdu.bytes(), &sm.content);
    let short = content.short_message;
    let end = octets.len().checked_sub(content.tlvs.bytes().len())?;
    let start = end.checked_sub(short.len())?;
    if !core::ptr::eq(octets.get(start..end)?, short) {
        return None; // it is not this PDU that was read
    }
    let body = body(content.esm_class, short);
    let id = known.and_then(|id| range_of(body, id)).or_else(|| id_range(body))?;
    let length = short.len() - id.len() + new_id.len();
    if length > SHORT_MESSAGE_MAX {
        return None;
    }
    let body_at = end - body.len();
    let before = octets.get(HEADER_LEN..body_at + id.start)?;
    let after = octets.get(body_at + id.end..end)?;
    let sm_length_at = start.checked_sub(1).filter(|at| *at >= HEADER_LEN)?;
    // From here on it is written whole.
    let from = out.len();
    write_header(out, 0, pdu.command_id(), CommandStatus::OK, sequence_number);
    out.extend_from_slice(before);
    out.extend_from_slice(new_id);
    out.extend_from_slice(after);
    write_tlvs_with_id(content.esm_class, &content.tlvs, new_id, out);
    let whole = (out.len() - from) as u32;
    if let Some(command_length) = out.get_mut(from..from + size_of::<u32>()) {
        command_length.copy_from_slice(&whole.to_be_bytes());
    }
    if let Some(sm_length) = out.get_mut(from + sm_length_at) {
        *sm_length = length as u8;
    }
    Some(())
}

fn write_content_with_id(content: &Content<'_>, new_id: &[u8], out: &mut Vec<u8>) {
    let short = content.short_message;
    // An original of 255 octets came from a peer of version 5.0 and stays.
    let room = SHORT_MESSAGE_MAX.max(short.len());
    write_with_short_message(content, out, |out| {
        write_text_with_id(content.esm_class, short, &NewId { id: new_id, room }, out);
    });
    write_tlvs_with_id(content.esm_class, &content.tlvs, new_id, out);
}

/// Appends the same data_sm with `new_id` in the place of the id, as `rewrite_id` does.
pub fn rewrite_data_id(data: &DataSm<'_>, new_id: &[u8], sequence_number: u32, out: &mut Vec<u8>) {
    debug_assert!(is_id(new_id));
    write_pdu(out, CommandId::DATA_SM, CommandStatus::OK, sequence_number, |out| {
        write_c_octets(out, data.service_type);
        data.source.write(out);
        data.destination.write(out);
        out.extend_from_slice(&[data.esm_class, data.registered_delivery, data.data_coding]);
        write_tlvs_with_id(data.esm_class, &data.tlvs, new_id, out);
    });
}

fn write_tlvs_with_id(esm_class: u8, tlvs: &Tlvs<'_>, new_id: &[u8], out: &mut Vec<u8>) {
    for tlv in tlvs {
        match tlv.tag {
            Tag::RECEIPTED_MESSAGE_ID => {
                let nuls = tlv.value.get(trim_nuls(tlv.value).len()..).unwrap_or_default();
                out.extend_from_slice(&tlv.tag.0.to_be_bytes());
                out.extend_from_slice(&((new_id.len() + nuls.len()) as u16).to_be_bytes());
                out.extend_from_slice(new_id);
                out.extend_from_slice(nuls);
            }
            Tag::MESSAGE_PAYLOAD => write_payload_with_id(esm_class, tlv.value, new_id, out),
            _ => write_tlv(out, tlv.tag, tlv.value),
        }
    }
}

fn write_payload_with_id(esm_class: u8, payload: &[u8], new_id: &[u8], out: &mut Vec<u8>) {
    write_tlv(out, Tag::MESSAGE_PAYLOAD, &[]);
    let start = out.len();
    let room = usize::from(u16::MAX);
    write_text_with_id(esm_class, payload, &NewId { id: new_id, room }, out);
    let length = (out.len() - start) as u16;
    if let Some(field) = out.get_mut(start - 2..start) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// An id that goes where another stood, in a text that may be `room` octets.
struct NewId<'a> {
    id: &'a [u8],
    room: usize,
}

fn write_text_with_id(esm_class: u8, text: &[u8], new: &NewId<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let body = body(esm_class, text);
    let header = text.len() - body.len();
    let Some(id) = id_range(body) else { return out.extend_from_slice(text) };
    let (before, after) = (text.get(..header + id.start), text.get(header + id.end..));
    if header + id.start + new.id.len() <= new.room {
        out.extend_from_slice(before.unwrap_or_default());
        out.extend_from_slice(new.id);
        out.extend_from_slice(after.unwrap_or_default());
    } else {
        // The id stands so far behind that it would be cut, and half an id is another message's: it goes first.
        out.extend_from_slice(text.get(..header).unwrap_or_default());
        let fields = ReceiptText::scan(body);
        write_composed(out, &ReceiptText { id: Some(new.id), ..fields }, fields.state(), None);
    }
    out.truncate(start + new.room);
}

/// Appends the mandatory fields of `content` with the short_message that `text` appends, at most 255 octets.
pub(crate) fn write_with_short_message(
    content: &Content<'_>,
    out: &mut Vec<u8>,
    text: impl FnOnce(&mut Vec<u8>),
) {
    if content.schedule_delivery_time.is_empty() && content.validity_period.is_empty() {
        // Nearly always: the fields are as many octets.
        out.extend_from_slice(&[
            content.esm_class,
            content.protocol_id,
            content.priority_flag,
            0,
            0,
            content.registered_delivery,
            content.replace_if_present_flag,
            content.data_coding,
            content.sm_default_msg_id,
            0,
        ]);
    } else {
        Content { short_message: &[], ..*content }.write_mandatory(out);
    }
    let start = out.len();
    text(out);
    let length = out.len() - start;
    assert!(length <= usize::from(u8::MAX));
    if let Some(sm_length) = out.get_mut(start - 1) {
        *sm_length = length as u8;
    }
}

/// What a composed receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptFields<'a> {
    /// As the reader knows the message.
    pub id: &'a [u8],
    /// Messages submitted; over 999 is written as 999.
    pub sub: u16,
    /// Messages delivered; as `sub`.
    pub dlvrd: u16,
    /// YYMMDDhhmm.
    pub submit_date: &'a [u8],
    /// YYMMDDhhmm.
    pub done_date: &'a [u8],
    /// DELIVRD, UNDELIV …
    pub stat: &'a [u8],
    /// Padded to 3 with zeros.
    pub err: &'a [u8],
    /// The message's first octets; 20 are written.
    pub text: &'a [u8],
}

/// Appends the text of appendix B.
pub fn write_text(out: &mut Vec<u8>, fields: &ReceiptFields<'_>) {
    const ZEROS: &[u8] = b"000";
    out.extend_from_slice(b"id:");
    out.extend_from_slice(fields.id);
    out.extend_from_slice(b" sub:");
    out.extend_from_slice(&three_digits(fields.sub));
    out.extend_from_slice(b" dlvrd:");
    out.extend_from_slice(&three_digits(fields.dlvrd));
    out.extend_from_slice(b" submit date:");
    out.extend_from_slice(fields.submit_date);
    out.extend_from_slice(b" done date:");
    out.extend_from_slice(fields.done_date);
    out.extend_from_slice(b" stat:");
    out.extend_from_slice(fields.stat);
    out.extend_from_slice(b" err:");
    out.extend_from_slice(ZEROS.get(fields.err.len()..).unwrap_or_default());
    out.extend_from_slice(fields.err);
    out.extend_from_slice(b" text:");
    out.extend_from_slice(fields.text.get(..TEXT_MAX).unwrap_or(fields.text));
}

fn three_digits(number: u16) -> [u8; 3] {
    let number = number.min(999);
    [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8)
}

/// True when the text of a receipt does not say what the reader needs, but the TLVs do: an id and a state.
#[must_use]
pub(crate) fn needs_text(receipt: &Receipt<'_>) -> bool {
    receipt.id().is_some() && (receipt.text.id.is_none() || receipt.text.stat.is_none())
}

/// Appends a text that says what the TLVs say, at most 254 octets.
pub(crate) fn write_text_of(receipt: &Receipt<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let text = ReceiptText { id: receipt.id(), ..receipt.text };
    write_composed(out, &text, receipt.state, receipt.network_error_code);
    out.truncate(start + SHORT_MESSAGE_MAX);
}

/// Appends the standard template; what `text` lacks comes from the state and the code, and dates that nobody wrote
/// are zeros.
fn write_composed(
    out: &mut Vec<u8>,
    text: &ReceiptText<'_>,
    state: Option<MessageState>,
    network_error_code: Option<[u8; 3]>,
) {
    let mut digits = [0; 5];
    let state = state.unwrap_or(MessageState::Unknown);
    let fields = ReceiptFields {
        id: text.id.unwrap_or_default(),
        sub: 1,
        dlvrd: u16::from(state == MessageState::Delivered),
        submit_date: text.submit_date.unwrap_or(NO_DATE),
        done_date: text.done_date.unwrap_or(NO_DATE),
        stat: text.stat.unwrap_or(state.stat().as_bytes()),
        err: text.err.unwrap_or_else(|| error_digits(network_error_code, &mut digits)),
        text: text.text.unwrap_or_default(),
    };
    write_text(out, &fields);
}

/// network_error_code as `err` carries it: three ASCII digits as they are, else its number in decimal.
fn error_digits(code: Option<[u8; 3]>, digits: &mut [u8; 5]) -> &[u8] {
    let Some(code) = code else { return &[] };
    if code.iter().all(u8::is_ascii_digit) {
        let (head, _) = digits.split_at_mut(3);
        head.copy_from_slice(&code);
        return head;
    }
    let [_, high, low] = code;
    let mut number = u16::from_be_bytes([high, low]);
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        if number > 0 || at >= 2 {
            first = at;
        }
        number /= 10;
    }
    digits.get(first..).unwrap_or_default()
}

/// Appends a receipt that says all in its TLVs with a text beside them, for readers of texts. False, and nothing
/// written, when it is no receipt, has no id, or its text is enough. A header that stood before the text goes with it.
pub fn with_text(sm: &Sm<'_>, command_id: CommandId, sequence_number: u32, out: &mut Vec<u8>) -> bool {
    let Some(receipt) = Receipt::parse(sm, false).filter(needs_text) else {
        return false;
    };
    write_pdu(out, command_id, CommandStatus::OK, sequence_number, |out| {
        write_c_octets(out, sm.service_type);
        sm.source.write(out);
        sm.destination.write(out);
        let esm_class = sm.content.esm_class & !ESM_UDHI;
        let content = Content { esm_class, ..sm.content };
        write_with_short_message(&content, out, |out| write_text_of(&receipt, out));
        for tlv in sm.content.tlvs.iter().filter(|tlv| tlv.tag != Tag::MESSAGE_PAYLOAD) {
            write_tlv(out, tlv.tag, tlv.value);
        }
    });
    true
}

#[cfg(test)]
mod tests;
