//! A submit_sm that is written once and patched for each message. Owns: its octets. Takes: a message's number and shape.
//! Gives: the PDU. Never: allocates per message.

use super::mix::{Kind, LONG_PARTS, Mix};
use super::settings::Settings;
use crate::prng::Prng;
use crate::smpp::command::CommandId;
use crate::smpp::segment::{ConcatForm, ESM_UDHI, TextEncoding};
use crate::smpp::sm::{Address, Content, Sm};
use crate::tools::digits;
use crate::tools::units::{NumberRange, Share};

/// Digits of a message's number at the front of its text.
pub(super) const NUMBER_DIGITS: usize = 12;

/// What one message is: its kind, and of a long one which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    kind: Kind,
    /// The number of the long message's first part, or its own.
    first: u64,
    /// From 1.
    part: u8,
}

impl Shape {
    /// The part that follows on the same session.
    pub(super) fn next(self) -> Option<Self> {
        (self.kind == Kind::Long && self.part < LONG_PARTS).then(|| Self { part: self.part + 1, ..self })
    }
}

/// A message to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) shape: Shape,
    pub(super) number: u64,
    /// Whom it is from, if it is not the same for all.
    pub(super) source: Option<u64>,
    pub(super) sequence: u32,
}

/// What is to be remembered of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Of its destination.
    pub(super) check: u16,
    /// It asked for a receipt.
    pub(super) asked: bool,
}

#[derive(Debug)]
pub(super) struct Template {
    /// For each kind one PDU per range, because the digits of a destination may differ in number.
    pdus: Vec<(Kind, Vec<Pdu>)>,
    mix: Mix,
    receipts: Share,
    /// All numbers of all ranges.
    count: u64,
    seed: u64,
}

#[derive(Debug)]
struct Pdu {
    octets: Vec<u8>,
    range: NumberRange,
    destination: core::ops::Range<usize>,
    source: core::ops::Range<usize>,
    registered_at: usize,
    /// Reference and part of the user data header.
    part: Option<core::ops::Range<usize>>,
    number_at: usize,
    /// Octets of a digit.
    width: usize,
}

const DRAW_DESTINATION: u64 = 0xD6E8_FEB8_6659_FD93;
const DRAW_KIND: u64 = 0xA24B_AED4_963E_E407;
const DRAW_RECEIPT: u64 = 0x9FB2_1C65_1E98_DF25;

impl Template {
    pub(super) fn new(settings: &Settings) -> Self {
        let of = |kind| -> (Kind, Vec<Pdu>) {
            (kind, settings.to.iter().map(|range| Pdu::new(settings, kind, *range)).collect())
        };
        let count = settings.to.iter().fold(0_u64, |sum, range| sum.saturating_add(range.count()));
        let kinds: &[Kind] =
            if settings.mix.sum() == 0 { &[Kind::Plain] } else { &[Kind::Gsm7, Kind::Ucs2, Kind::Long] };
        Self {
            pdus: kinds.iter().copied().map(of).collect(),
            mix: settings.mix.clone(),
            receipts: settings.receipts,
            count,
            seed: settings.seed,
        }
    }

    /// The draw of this name for a message: the same for the same number.
    fn draw(&self, number: u64, name: u64) -> Prng {
        Prng::new(self.seed ^ number.wrapping_mul(name))
    }

    /// What the message `number` is when no long message is under way.
    pub(super) fn shape(&self, number: u64) -> Shape {
        let sum = self.mix.sum();
        let kind = if sum == 0 { Kind::Plain } else { self.mix.at(self.draw(number, DRAW_KIND).below(sum)) };
        Shape { kind, first: number, part: 1 }
    }

    /// The destination of a message, and the PDU that goes there.
    fn destination(&self, shape: Shape) -> Option<(&Pdu, u64)> {
        let (_, pdus) = self.pdus.iter().find(|(kind, _)| *kind == shape.kind)?;
        let mut place = self.draw(shape.first, DRAW_DESTINATION).below(self.count);
        for pdu in pdus {
            if place < pdu.range.count() {
                return Some((pdu, pdu.range.first + place));
            }
            place -= pdu.range.count();
        }
        None
    }

    /// Appends a message.
    pub(super) fn write(&self, out: &mut Vec<u8>, wanted: Wanted) -> Written {
        let shape = wanted.shape;
        let asked = self.receipts.hits(&mut self.draw(shape.first, DRAW_RECEIPT));
        let Some((pdu, destination)) = self.destination(shape) else { return Written { check: 0, asked } };
        let start = out.len();
        out.extend_from_slice(&pdu.octets);
        let Some(octets) = out.get_mut(start..) else { return Written { check: 0, asked } };
        if let Some(field) = octets.get_mut(12..16) {
            field.copy_from_slice(&wanted.sequence.to_be_bytes());
        }
        if let Some(place) = wanted.source.and_then(|_| octets.get_mut(pdu.source.clone())) {
            digits::fill(place, wanted.source.unwrap_or_default());
        }
        if let Some(place) = octets.get_mut(pdu.registered_at) {
            *place = u8::from(asked);
        }
        pdu.write_number(octets, wanted.number);
        if let Some(place) = pdu.part.clone().and_then(|place| octets.get_mut(place)) {
            place.copy_from_slice(&[shape.first as u8, LONG_PARTS, shape.part]);
        }
        let Some(place) = octets.get_mut(pdu.destination.clone()) else { return Written { check: 0, asked } };
        digits::fill(place, destination);
        Written { check: check_of(destination, place.len()), asked }
    }
}

/// 14 bits that say which destination this is, to see that a receipt is about the right message.
pub(super) fn check(digits: &[u8]) -> u16 {
    let number = digits.iter().fold(0_u64, |number, &digit| {
        number.wrapping_mul(10).wrapping_add(u64::from(digit).wrapping_sub(u64::from(b'0')))
    });
    check_of(number, digits.len())
}

/// The same from the number behind them: what was just written need not be read again.
fn check_of(number: u64, digits: usize) -> u16 {
    ((number ^ (digits as u64) << 58).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as u16
}

/// The octets of a text of this kind before its number is written, the user data header in front.
fn text_of(settings: &Settings, kind: Kind) -> Vec<u8> {
    let filler = if settings.text.is_empty() { " " } else { &settings.text };
    let long = TextEncoding::Gsm7.room(ConcatForm::Octet.udh_len());
    let mut text = match kind {
        Kind::Long => vec![5, 0, 3, 0, LONG_PARTS, 0],
        Kind::Plain | Kind::Gsm7 | Kind::Ucs2 => Vec::new(),
    };
    let length = match kind {
        Kind::Plain | Kind::Gsm7 => usize::from(settings.length),
        Kind::Ucs2 => TextEncoding::Ucs2.room(0),
        Kind::Long => text.len() + long,
    };
    if kind == Kind::Ucs2 {
        let digits = core::iter::repeat_n(u16::from(b'0'), NUMBER_DIGITS);
        let units = digits.chain([u16::from(b' ')]).chain(filler.encode_utf16().cycle());
        let mut units: Vec<u16> = units.take(length / 2).collect();
        // The first half of a pair that was cut off is no character.
        units.pop_if(|unit| (0xD800..0xDC00).contains(unit));
        text.extend(units.into_iter().flat_map(u16::to_be_bytes));
    } else {
        text.extend([b'0'; NUMBER_DIGITS]);
        let rest = length.saturating_sub(text.len());
        text.extend([b' '].iter().chain(filler.as_bytes().iter().cycle()).take(rest));
    }
    debug_assert!(text.len() <= length && length <= 254);
    text
}

impl Pdu {
    fn new(settings: &Settings, kind: Kind, range: NumberRange) -> Self {
        let destination = range.first.to_string();
        let own = settings.numbers.map(|numbers| numbers.first.to_string());
        let from = own.unwrap_or_else(|| settings.from.clone());
        let letters = from.bytes().any(|octet| !octet.is_ascii_digit());
        let (ton, npi) = if letters { (5, 0) } else { (0, 1) };
        let text = text_of(settings, kind);
        let sm = Sm {
            service_type: &[],
            source: Address { ton, npi, digits: from.as_bytes() },
            destination: Address { ton: 1, npi: 1, digits: destination.as_bytes() },
            content: Content {
                esm_class: if kind == Kind::Long { ESM_UDHI } else { 0 },
                data_coding: match kind {
                    Kind::Plain => settings.data_coding,
                    Kind::Gsm7 | Kind::Long => TextEncoding::Gsm7.data_coding(),
                    Kind::Ucs2 => TextEncoding::Ucs2.data_coding(),
                },
                short_message: &text,
                ..Content::default()
            },
        };
        let mut octets = Vec::new();
        sm.write(&mut octets, CommandId::SUBMIT_SM, 0);
        // Header, service_type, source with its types and NUL, the destination's types.
        let destination_at = 16 + 1 + 2 + from.len() + 1 + 2;
        let text_at = octets.len() - text.len();
        let header = if kind == Kind::Long { ConcatForm::Octet.udh_len() } else { 0 };
        Self {
            range,
            destination: destination_at..destination_at + destination.len(),
            source: 19..19 + from.len(),
            // registered_delivery, replace_if_present, data_coding, default message, sm_length, text.
            registered_at: text_at - 5,
            part: (header > 0).then_some(text_at + 3..text_at + header),
            number_at: text_at + header,
            width: if kind == Kind::Ucs2 { 2 } else { 1 },
            octets,
        }
    }

    fn write_number(&self, octets: &mut [u8], number: u64) {
        let Some(place) = octets.get_mut(self.number_at..self.number_at + NUMBER_DIGITS * self.width) else {
            return;
        };
        if self.width == 1 {
            return digits::fill(place, number);
        }
        let mut narrow = [0; NUMBER_DIGITS];
        digits::fill(&mut narrow, number);
        for (wide, digit) in place.chunks_exact_mut(self.width).zip(narrow) {
            wide.copy_from_slice(&u16::from(digit).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::frame;
    use crate::smpp::segment;

    fn write(template: &Template, shape: Shape, number: u64) -> (Vec<u8>, Written) {
        let mut out = Vec::new();
        let wanted = Wanted { shape, number, source: None, sequence: number as u32 + 5 };
        let written = template.write(&mut out, wanted);
        (out, written)
    }

    #[test]
    fn each_message_is_whole_and_its_own() {
        let to = vec!["100-199".parse().unwrap(), "382670000000-382670999999".parse().unwrap()];
        let settings =
            Settings { to, receipts: Share::ALL, length: 40, text: "ab".into(), ..Settings::default() };
        let template = Template::new(&settings);
        let mut destinations = std::collections::BTreeSet::new();
        for number in 1..1000 {
            let (out, written) = write(&template, template.shape(number), number);
            let pdu = frame::Pdu::whole(&out).unwrap();
            let sm = Sm::parse_submit(&pdu).unwrap();
            assert_eq!(pdu.sequence_number(), number as u32 + 5);
            let text = std::str::from_utf8(sm.content.short_message).unwrap();
            assert_eq!(text, format!("{number:012} {}", "ab".repeat(14).get(..27).unwrap()));
            assert_eq!((sm.content.registered_delivery, sm.source.digits), (1, &b"14499"[..]));
            assert_eq!(written, Written { check: check(sm.destination.digits), asked: true });
            assert!(written.check < 1 << 14);
            let digits: u64 = std::str::from_utf8(sm.destination.digits).unwrap().parse().unwrap();
            assert!((100..200).contains(&digits) || (382_670_000_000..=382_670_999_999).contains(&digits));
            destinations.insert(digits);
        }
        assert!(destinations.len() > 950);
    }

    #[test]
    fn destinations_have_different_checks() {
        let checks: std::collections::BTreeSet<_> =
            (0..1000_u64).map(|n| check((382_670_000_000 + n).to_string().as_bytes())).collect();
        assert!(checks.len() > 950, "{}", checks.len());
        assert_ne!(check(b"100"), check(b"1000"));
    }

    #[test]
    fn a_share_of_the_messages_asks_for_a_receipt_and_the_pdu_says_which() {
        let settings = Settings { receipts: "30%".parse().unwrap(), ..Settings::default() };
        let template = Template::new(&settings);
        let asks = |number| {
            let (out, written) = write(&template, template.shape(number), number);
            let sm = Sm::parse_submit(&frame::Pdu::whole(&out).unwrap()).unwrap().content.registered_delivery;
            assert_eq!(sm, u8::from(written.asked));
            written.asked
        };
        let asked = (1..10_000).filter(|number| asks(*number)).count();
        assert!((2_800..3_200).contains(&asked), "{asked}");
    }

    #[test]
    fn every_kind_is_what_it_says() {
        let settings = Settings { mix: "gsm7:1,ucs2:1,long:1".parse().unwrap(), ..Settings::default() };
        let template = Template::new(&settings);
        let mut seen = std::collections::BTreeMap::new();
        for number in 1..3000 {
            let shape = template.shape(number);
            let (out, _) = write(&template, shape, number);
            let sm = Sm::parse_submit(&frame::Pdu::whole(&out).unwrap()).unwrap();
            let (content, text) = (sm.content, sm.content.short_message);
            let name = match shape.kind {
                Kind::Plain | Kind::Gsm7 => {
                    assert_eq!((content.data_coding, content.esm_class, text.len()), (0, 0, 160));
                    assert!(text.starts_with(format!("{number:012}").as_bytes()));
                    "gsm7"
                }
                Kind::Ucs2 => {
                    assert_eq!((content.data_coding, content.esm_class, text.len()), (8, 0, 140));
                    let units: Vec<u16> =
                        text.chunks(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
                    let read = String::from_utf16(&units).unwrap();
                    assert!(read.starts_with(&format!("{number:012} The quick")), "{read}");
                    "ucs2"
                }
                Kind::Long => "long",
            };
            *seen.entry(name).or_insert(0) += 1;
        }
        assert!(seen.len() == 3 && seen.values().all(|count| *count > 900), "{seen:?}");
    }

    #[test]
    fn the_parts_of_a_long_message_have_one_reference_one_destination_and_their_places() {
        let settings = Settings { mix: "long:1".parse().unwrap(), ..Settings::default() };
        let template = Template::new(&settings);
        let mut shape = template.shape(300);
        let (mut destinations, mut places) = (Vec::new(), Vec::new());
        for number in [300, 307, 311] {
            let (out, _) = write(&template, shape, number);
            let sm = Sm::parse_submit(&frame::Pdu::whole(&out).unwrap()).unwrap();
            destinations.push(sm.destination.digits.to_vec());
            assert_eq!(sm.content.short_message.len(), 6 + 153);
            let body = segment::body(sm.content.esm_class, sm.content.short_message);
            assert!(body.starts_with(format!("{number:012}").as_bytes()));
            let part = segment::part_of(&sm.content).unwrap();
            places.push((part.reference, part.total, part.number));
            shape = shape.next().unwrap_or(shape);
        }
        assert!(destinations.iter().all(|digits| *digits == destinations[0]));
        let reference = segment::Reference::Octet((300 % 256) as u8);
        assert_eq!(places, [(reference, 3, 1), (reference, 3, 2), (reference, 3, 3)]);
        assert_eq!(shape.next(), None);
    }
}
