//! Parts: one message as several SMS. Owns: nothing. Takes: text, user data headers, SAR TLVs. Gives: the alphabet
//! for a text, where it is cut, headers written and read. Never: cuts an escape or a surrogate pair, reads past the
//! text, believes a part that cannot be (total 0, number 0, number over total).

use core::ops::Range;

use super::cursor::Cursor;
use super::gsm7;
use super::sm::Content;
use super::tlv::{Tag, Tlvs};

/// Octets of user data in one SMS (3GPP 23.040 §9.2.3.24).
pub const USER_DATA_MAX: usize = 140;
/// The bit of esm_class that says that the text begins with a user data header (SMPP 3.4 §5.2.12).
pub const ESM_UDHI: u8 = 0x40;

const IEI_CONCAT_8: u8 = 0x00;
const IEI_PORTS_16: u8 = 0x05;
const IEI_CONCAT_16: u8 = 0x08;
const ESM_TYPE_SHIFT: u8 = 2;

/// True when esm_class announces a user data header.
#[must_use]
pub const fn has_udh(esm_class: u8) -> bool {
    esm_class & ESM_UDHI != 0
}

/// The type bits 5-2 of esm_class: 0 normal, 1 receipt, 2 delivery ack, 4 user ack, 8 intermediate notification.
#[must_use]
pub const fn esm_type(esm_class: u8) -> u8 {
    (esm_class >> ESM_TYPE_SHIFT) & 0x0F
}

/// How the octets of a text are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// GSM 03.38, one septet per octet.
    Gsm7,
    /// UTF-16BE.
    Ucs2,
    /// ISO-8859-1; 8-bit on the air.
    Latin1,
    /// No text at all.
    Binary,
}

impl TextEncoding {
    /// The cheapest alphabet that has every character of `text`.
    #[must_use]
    pub fn choose(text: &str) -> Self {
        if gsm7::septets(text).is_some() { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// What a data_coding means. Those that carry an alphabet that is not known here are `Binary`: they are
    /// counted by octets and never decoded.
    #[must_use]
    pub const fn from_data_coding(data_coding: u8) -> Self {
        match data_coding {
            // 0x10–0x13 is GSM DCS with a class; 0xC0–0xDF message waiting; 0xFx a class, bit 2 = 8-bit data.
            0x00 | 0x01 | 0x10..=0x13 | 0xC0..=0xDF => Self::Gsm7,
            0x03 => Self::Latin1,
            0x08 | 0x18..=0x1B | 0xE0..=0xEF => Self::Ucs2,
            0xF0..=0xFF if data_coding & 0x04 == 0 => Self::Gsm7,
            _ => Self::Binary,
        }
    }

    /// The data_coding that announces this alphabet.
    #[must_use]
    pub const fn data_coding(self) -> u8 {
        match self {
            Self::Gsm7 => 0x00,
            Self::Latin1 => 0x03,
            Self::Binary => 0x04,
            Self::Ucs2 => 0x08,
        }
    }

    /// Octets as SMPP carries them (a septet is one) that fit one SMS beside a header of `udh` octets: 160, 153,
    /// 152 for GSM 03.38; 140, 134, 132 for UCS2; 140, 134, 133 for octets.
    #[must_use]
    pub const fn room(self, udh: usize) -> usize {
        let octets = USER_DATA_MAX.saturating_sub(udh);
        match self {
            Self::Gsm7 => octets * 8 / 7,
            Self::Ucs2 => octets / 2 * 2,
            Self::Latin1 | Self::Binary => octets,
        }
    }
}

/// Which reference number a concatenation header carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConcatForm {
    /// `05 00 03 rr tt nn`.
    Octet,
    /// `06 08 04 rr rr tt nn`.
    Word,
}

impl ConcatForm {
    /// Octets of the header, its length octet included.
    #[must_use]
    pub const fn udh_len(self) -> usize {
        match self {
            Self::Octet => 6,
            Self::Word => 7,
        }
    }
}

/// Where encoded octets are cut: one range when they fit a single SMS, else as many as they need, in order.
#[must_use]
pub fn parts(octets: &[u8], encoding: TextEncoding, form: ConcatForm) -> Parts<'_> {
    let single = octets.len() <= encoding.room(0);
    let room = if single { encoding.room(0) } else { encoding.room(form.udh_len()) };
    Parts { octets, encoding, room, start: 0, done: false }
}

/// Walks the parts of a text; never empty.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    octets: &'a [u8],
    encoding: TextEncoding,
    room: usize,
    start: usize,
    done: bool,
}

impl Iterator for Parts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.done {
            return None;
        }
        let start = self.start;
        let full = start + self.room;
        let end = if full >= self.octets.len() { self.octets.len() } else { self.whole_end(start, full) };
        debug_assert!(end > start || self.octets.is_empty());
        self.start = end;
        self.done = end == self.octets.len();
        Some(start..end)
    }
}

impl Parts<'_> {
    /// The last place up to `full` where no pair is cut.
    fn whole_end(&self, start: usize, full: usize) -> usize {
        let head = self.octets.get(start..full).unwrap_or_default();
        match self.encoding {
            TextEncoding::Gsm7 => {
                // Of a run of escapes each second one is the code of the one before it.
                let run = head.iter().rev().take_while(|&&septet| septet == gsm7::ESCAPE).count();
                full - run % 2
            }
            TextEncoding::Ucs2 => {
                let high = matches!(head, [.., 0xD8..=0xDB, _]);
                let low = matches!(self.octets.get(full), Some(0xDC..=0xDF));
                if high && low { full - 2 } else { full }
            }
            TextEncoding::Latin1 | TextEncoding::Binary => full,
        }
    }
}

/// The number that parts of one message share. The three kinds are different spaces (23.040 §9.2.3.24.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reference {
    /// 8-bit, in a header.
    Octet(u8),
    /// 16-bit, in a header.
    Word(u16),
    /// sar_msg_ref_num.
    Sar(u16),
}

/// Which part of which message an SMS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Shared by the parts.
    pub reference: Reference,
    /// How many parts there are, 1–255.
    pub total: u8,
    /// Which one this is, from 1.
    pub number: u8,
}

impl Part {
    /// A part that can be; `None` for total 0, number 0 and number over total.
    #[must_use]
    pub const fn new(reference: Reference, total: u8, number: u8) -> Option<Self> {
        if number == 0 || number > total { None } else { Some(Self { reference, total, number }) }
    }

    /// Appends the whole user data header with this concatenation. A SAR reference is written as 16-bit.
    pub fn write_udh(&self, out: &mut Vec<u8>) {
        match self.reference {
            Reference::Octet(octet) => {
                out.extend_from_slice(&[5, IEI_CONCAT_8, 3, octet, self.total, self.number]);
            }
            Reference::Word(word) | Reference::Sar(word) => {
                let [high, low] = word.to_be_bytes();
                out.extend_from_slice(&[6, IEI_CONCAT_16, 4, high, low, self.total, self.number]);
            }
        }
    }

    /// The three SAR TLVs, when all are there, have their size and make a part (SMPP 3.4 §5.3.2.22–24).
    #[must_use]
    pub fn from_sar(tlvs: &Tlvs<'_>) -> Option<Self> {
        let reference = tlvs.get(Tag::SAR_MSG_REF_NUM)?.try_into().map(u16::from_be_bytes).ok()?;
        let total = tlvs.octet(Tag::SAR_TOTAL_SEGMENTS)?;
        Self::new(Reference::Sar(reference), total, tlvs.octet(Tag::SAR_SEGMENT_SEQNUM)?)
    }
}

/// The part that a message says it is: by its header, else by its SAR TLVs. `None` is a message of one part.
#[must_use]
pub fn part_of(content: &Content<'_>) -> Option<Part> {
    let by_header = || Udh::parse(content.text())?.concat();
    let header = if has_udh(content.esm_class) { by_header() } else { None };
    header.or_else(|| Part::from_sar(&content.tlvs))
}

/// A user data header, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udh<'a> {
    elements: &'a [u8],
    rest: &'a [u8],
}

/// One information element of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// What it is.
    pub iei: u8,
    /// Its octets.
    pub data: &'a [u8],
}

/// Application ports, 16-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Where it goes.
    pub destination: u16,
    /// Where it comes from.
    pub source: u16,
}

impl<'a> Udh<'a> {
    /// The header at the front of a text; `None` when its length octet is missing or points past the text.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (&length, after) = text.split_first()?;
        let (elements, rest) = after.split_at_checked(usize::from(length))?;
        Some(Self { elements, rest })
    }

    /// The text after the header.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Octets of the header, its length octet included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.elements.len() + 1
    }

    /// True for a header without elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The elements in their order, up to the first that is cut.
    pub fn elements(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.elements, 1);
        core::iter::from_fn(move || {
            let &[iei, length] = cursor.take(2)? else { return None };
            Some(Element { iei, data: cursor.take(usize::from(length))? })
        })
    }

    /// True when the elements fill the header to its last octet.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.elements().map(|element| element.data.len() + 2).sum::<usize>() == self.elements.len()
    }

    /// The concatenation. Of several the last that can be counts (23.040 §9.2.3.24).
    #[must_use]
    pub fn concat(&self) -> Option<Part> {
        let part = |element: Element<'_>| match (element.iei, element.data) {
            (IEI_CONCAT_8, &[reference, total, number]) => {
                Part::new(Reference::Octet(reference), total, number)
            }
            (IEI_CONCAT_16, &[high, low, total, number]) => {
                Part::new(Reference::Word(u16::from_be_bytes([high, low])), total, number)
            }
            _ => None,
        };
        self.elements().filter_map(part).last()
    }

    /// The 16-bit application ports.
    #[must_use]
    pub fn ports(&self) -> Option<Ports> {
        let ports = |element: Element<'_>| match (element.iei, element.data) {
            (IEI_PORTS_16, &[a, b, c, d]) => {
                Some(Ports { destination: u16::from_be_bytes([a, b]), source: u16::from_be_bytes([c, d]) })
            }
            _ => None,
        };
        self.elements().filter_map(ports).last()
    }
}

/// The text without its header: what stands after it when esm_class announces one and its elements fill it, else
/// all of it. Carriers do set the bit on texts that have no header.
#[must_use]
pub fn body(esm_class: u8, text: &[u8]) -> &[u8] {
    if !has_udh(esm_class) {
        return text;
    }
    Udh::parse(text).filter(Udh::is_sound).map_or(text, |udh| udh.rest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(octets: &[u8], encoding: TextEncoding, form: ConcatForm) -> Vec<usize> {
        parts(octets, encoding, form).map(|range| range.len()).collect()
    }

    #[test]
    fn the_rooms_are_those_of_the_standard() {
        let rooms = |udh| [TextEncoding::Gsm7, TextEncoding::Ucs2, TextEncoding::Binary].map(|e| e.room(udh));
        assert_eq!(rooms(0), [160, 140, 140]);
        assert_eq!(rooms(ConcatForm::Octet.udh_len()), [153, 134, 134]);
        assert_eq!(rooms(ConcatForm::Word.udh_len()), [152, 132, 133]);
        assert_eq!(rooms(12), [146, 128, 128]);
    }

    #[test]
    fn an_empty_text_is_one_empty_part() {
        assert_eq!(lengths(&[], TextEncoding::Gsm7, ConcatForm::Octet), [0]);
    }

    #[test]
    fn a_run_of_escapes_is_cut_between_its_pairs() {
        let mut octets = vec![0x1B; 153];
        octets.extend([0x41; 20]);
        assert_eq!(lengths(&octets, TextEncoding::Gsm7, ConcatForm::Octet), [152, 21]);
        octets.remove(0);
        assert_eq!(lengths(&octets, TextEncoding::Gsm7, ConcatForm::Octet), [153, 19]);
    }

    #[test]
    fn a_lone_high_surrogate_cuts_nothing() {
        let mut octets = [0x04, 0x36].repeat(80);
        octets[132] = 0xD8;
        assert_eq!(lengths(&octets, TextEncoding::Ucs2, ConcatForm::Octet), [134, 26]);
        octets[134] = 0xDC;
        assert_eq!(lengths(&octets, TextEncoding::Ucs2, ConcatForm::Octet), [132, 28]);
    }

    #[test]
    fn a_written_header_reads_as_the_same_part() {
        for reference in [Reference::Octet(0xFE), Reference::Word(0x1234)] {
            let part = Part::new(reference, 3, 2).unwrap();
            let mut text = Vec::new();
            part.write_udh(&mut text);
            text.extend(b"hi");
            let udh = Udh::parse(&text).unwrap();
            assert_eq!((udh.concat(), udh.rest(), udh.len()), (Some(part), &b"hi"[..], text.len() - 2));
        }
    }

    #[test]
    fn parts_that_cannot_be_are_no_parts() {
        for header in [[5, 0, 3, 1, 0, 1], [5, 0, 3, 1, 2, 0], [5, 0, 3, 1, 2, 3], [5, 0, 9, 1, 2, 1]] {
            assert_eq!(Udh::parse(&header).unwrap().concat(), None, "{header:?}");
        }
        assert_eq!(Udh::parse(&[6, 0, 3, 1, 2, 1]), None);
        assert_eq!(Udh::parse(&[]), None);
    }

    #[test]
    fn a_header_may_carry_ports_and_a_part() {
        let text = [11, 5, 4, 0x0B, 0x84, 0x23, 0xF0, 0, 3, 9, 2, 1, 0xAA];
        let udh = Udh::parse(&text).unwrap();
        assert_eq!(udh.ports(), Some(Ports { destination: 2948, source: 9200 }));
        assert_eq!(udh.concat(), Part::new(Reference::Octet(9), 2, 1));
        assert_eq!(body(ESM_UDHI, &text), [0xAA]);
        assert_eq!(body(0, &text), text);
    }

    #[test]
    fn sar_counts_only_when_all_three_are_sane() {
        let whole = [2, 0x0C, 0, 2, 1, 2, 2, 0x0E, 0, 1, 3, 2, 0x0F, 0, 1, 2];
        let part = |octets: &[u8]| Part::from_sar(&Tlvs::lenient(octets));
        assert_eq!(part(&whole), Part::new(Reference::Sar(0x0102), 3, 2));
        assert_eq!(part(whole.get(..11).unwrap()), None);
        let mut absurd = whole;
        absurd[15] = 4;
        assert_eq!(part(&absurd), None);
    }
}
