//! A submit_sm that is written once and patched for each message. Owns: its octets. Takes: a message's number.
//! Gives: the PDU. Never: allocates per message.

use super::settings::Settings;
use crate::prng::Prng;
use crate::smpp::command::CommandId;
use crate::smpp::sm::{Address, Content, Sm};
use crate::tools::units::NumberRange;

/// Digits of a message's number at the front of its text.
pub(super) const NUMBER_DIGITS: usize = 12;

#[derive(Debug)]
pub(super) struct Template {
    /// One PDU per range, because the digits of a destination may differ in number.
    pdus: Vec<Pdu>,
    /// All numbers of all ranges.
    count: u64,
    seed: u64,
}

#[derive(Debug)]
struct Pdu {
    octets: Vec<u8>,
    range: NumberRange,
    digits: usize,
    destination_at: usize,
    source_at: core::ops::Range<usize>,
    text_at: usize,
}

impl Template {
    pub(super) fn new(settings: &Settings) -> Self {
        let pdus: Vec<_> = settings.to.iter().map(|range| Pdu::new(settings, *range)).collect();
        let count = settings.to.iter().fold(0_u64, |sum, range| sum.saturating_add(range.count()));
        Self { pdus, count, seed: settings.seed }
    }

    /// The destination of a message: the same for the same number.
    fn destination(&self, number: u64) -> (Option<&Pdu>, u64) {
        let mut place = Prng::new(self.seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93)).below(self.count);
        for pdu in &self.pdus {
            if place < pdu.range.count() {
                return (Some(pdu), pdu.range.first + place);
            }
            place -= pdu.range.count();
        }
        (None, 0)
    }

    /// Appends the message `number`, from `source` if it is not the same for all; gives the check of its destination.
    pub(super) fn write(&self, out: &mut Vec<u8>, number: u64, source: Option<u64>, sequence: u32) -> u16 {
        let (Some(pdu), destination) = self.destination(number) else { return 0 };
        let start = out.len();
        out.extend_from_slice(&pdu.octets);
        let Some(octets) = out.get_mut(start..) else { return 0 };
        if let Some(field) = octets.get_mut(12..16) {
            field.copy_from_slice(&sequence.to_be_bytes());
        }
        if let Some(source) = source {
            write_digits(octets.get_mut(pdu.source_at.clone()), source);
        }
        write_digits(octets.get_mut(pdu.destination_at..pdu.destination_at + pdu.digits), destination);
        write_digits(octets.get_mut(pdu.text_at..pdu.text_at + NUMBER_DIGITS), number);
        let digits = octets.get(pdu.destination_at..pdu.destination_at + pdu.digits);
        check(digits.unwrap_or_default())
    }
}

/// 14 bits that say which destination this is, to see that a receipt is about the right message.
pub(super) fn check(digits: &[u8]) -> u16 {
    let mix = digits.iter().fold(0_u32, |mix, &digit| mix.wrapping_mul(31).wrapping_add(u32::from(digit)));
    (mix.wrapping_mul(0x9E37_79B1) >> 18) as u16
}

fn write_digits(place: Option<&mut [u8]>, number: u64) {
    let mut rest = number;
    for digit in place.unwrap_or_default().iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

impl Pdu {
    fn new(settings: &Settings, range: NumberRange) -> Self {
        let destination = range.first.to_string();
        let own = settings.numbers.map(|numbers| numbers.first.to_string());
        let from = own.unwrap_or_else(|| settings.from.clone());
        let letters = from.bytes().any(|octet| !octet.is_ascii_digit());
        let (ton, npi) = if letters { (5, 0) } else { (0, 1) };
        let length = usize::from(settings.length);
        let filler = if settings.text.is_empty() { b" ".as_slice() } else { settings.text.as_bytes() };
        let mut text = vec![b'0'; NUMBER_DIGITS];
        text.extend([b' '].iter().chain(filler.iter().cycle()).take(length.saturating_sub(NUMBER_DIGITS)));
        let sm = Sm {
            service_type: &[],
            source: Address { ton, npi, digits: from.as_bytes() },
            destination: Address { ton: 1, npi: 1, digits: destination.as_bytes() },
            content: Content {
                registered_delivery: u8::from(settings.receipts),
                data_coding: settings.data_coding,
                short_message: &text,
                ..Content::default()
            },
        };
        let mut octets = Vec::new();
        sm.write(&mut octets, CommandId::SUBMIT_SM, 0);
        // Header, service_type, source with its types and NUL, the destination's types.
        let destination_at = 16 + 1 + 2 + from.len() + 1 + 2;
        let source_at = 19..19 + from.len();
        let text_at = octets.len() - length;
        Self { range, digits: destination.len(), destination_at, source_at, text_at, octets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::frame;

    #[test]
    fn each_message_is_whole_and_its_own() {
        let to = vec!["100-199".parse().unwrap(), "382670000000-382670999999".parse().unwrap()];
        let settings = Settings { to, receipts: true, length: 40, text: "ab".into(), ..Settings::default() };
        let template = Template::new(&settings);
        let mut destinations = std::collections::BTreeSet::new();
        for number in 1..1000 {
            let mut out = Vec::new();
            let checked = template.write(&mut out, number, None, number as u32 + 5);
            let pdu = frame::Pdu::whole(&out).unwrap();
            let sm = Sm::parse_submit(&pdu).unwrap();
            assert_eq!(pdu.sequence_number(), number as u32 + 5);
            let text = std::str::from_utf8(sm.content.short_message).unwrap();
            assert_eq!(text, format!("{number:012} {}", "ab".repeat(14).get(..27).unwrap()));
            assert_eq!((sm.content.registered_delivery, sm.source.digits), (1, &b"14499"[..]));
            assert_eq!(checked, check(sm.destination.digits));
            assert!(checked < 1 << 14);
            let digits: u64 = std::str::from_utf8(sm.destination.digits).unwrap().parse().unwrap();
            assert!((100..200).contains(&digits) || (382_670_000_000..=382_670_999_999).contains(&digits));
            destinations.insert(digits);
        }
        assert!(destinations.len() > 950);
    }
}
