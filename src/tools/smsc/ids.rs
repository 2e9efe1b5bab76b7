//! Message ids as carriers write them. Owns: nothing. Takes: a number and a form. Gives: the id in the response and
//! in the receipt, and the number of an id that comes back. Never: allocates.

use super::settings::IdForm;
use crate::prng::Prng;
use crate::tools::digits;

/// An id as octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdText {
    octets: [u8; 36],
    len: usize,
}

impl IdText {
    const EMPTY: Self = Self { octets: [0; 36], len: 0 };

    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.len) {
            *place = octet;
            self.len += 1;
        }
    }

    /// The id without a NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Where an id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a response, and in what the ESME asks later.
    Response,
    /// In a receipt.
    Receipt,
}

fn decimal(number: u64) -> IdText {
    let mut text = IdText { len: digits::count(number), ..IdText::EMPTY };
    if let Some(place) = text.octets.get_mut(..text.len) {
        digits::fill(place, number);
    }
    text
}

fn push_hex(text: &mut IdText, number: u64, digits: u32, letters: u8) {
    for place in (0..digits).rev() {
        let digit = (number >> (place * 4) & 0xF) as u8;
        text.push(if digit < 10 { b'0' + digit } else { letters + digit - 10 });
    }
}

fn hex(number: u64, least: u32, letters: u8) -> IdText {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(least);
    let mut text = IdText::EMPTY;
    push_hex(&mut text, number, digits, letters);
    text
}

/// Version 4 in form; the last twelve digits are the number, so that it can be found again.
fn uuid(number: u64, seed: u64) -> IdText {
    let bits = Prng::new(seed ^ number).bits();
    let mut text = IdText::EMPTY;
    push_hex(&mut text, bits >> 32, 8, b'a');
    text.push(b'-');
    push_hex(&mut text, bits >> 16, 4, b'a');
    text.push(b'-');
    push_hex(&mut text, 0x4000 | (bits & 0xFFF), 4, b'a');
    text.push(b'-');
    push_hex(&mut text, 0x8000 | (bits >> 48 & 0x3FFF), 4, b'a');
    text.push(b'-');
    push_hex(&mut text, number, 12, b'a');
    text
}

/// The id of the message `number`.
#[must_use]
pub fn write(form: IdForm, place: Place, number: u64, seed: u64) -> IdText {
    match (form, place) {
        (IdForm::Dec, _)
        | (IdForm::RespHexReceiptDec, Place::Receipt)
        | (IdForm::RespDecReceiptHex, Place::Response) => decimal(number),
        (IdForm::Hex, _) | (IdForm::Padded, Place::Receipt) => hex(number, 1, b'a'),
        (IdForm::HexUpper, _)
        | (IdForm::RespHexReceiptDec, Place::Response)
        | (IdForm::RespDecReceiptHex, Place::Receipt) => hex(number, 1, b'A'),
        (IdForm::Uuid, _) => uuid(number, seed),
        (IdForm::Padded, Place::Response) => hex(number, 16, b'a'),
    }
}

/// Appends the id of the message `number`.
#[inline]
pub fn append(out: &mut Vec<u8>, form: IdForm, place: Place, number: u64, seed: u64) {
    if form != IdForm::Dec {
        return out.extend_from_slice(write(form, place, number, seed).as_bytes());
    }
    // The usual form is written where it stays.
    let start = out.len();
    out.resize(start + digits::count(number), 0);
    if let Some(place) = out.get_mut(start..) {
        digits::fill(place, number);
    }
}

/// The number whose id in a response is `id`.
#[must_use]
pub fn read(form: IdForm, id: &[u8], seed: u64) -> Option<u64> {
    let text = core::str::from_utf8(id).ok()?;
    let number = match form {
        IdForm::Dec | IdForm::RespDecReceiptHex => text.parse().ok()?,
        IdForm::Hex | IdForm::HexUpper | IdForm::RespHexReceiptDec | IdForm::Padded => {
            u64::from_str_radix(text, 16).ok()?
        }
        IdForm::Uuid => u64::from_str_radix(text.get(24..)?, 16).ok()?,
    };
    (write(form, Place::Response, number, seed).as_bytes() == id).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(form: IdForm, number: u64) -> (String, String) {
        let text = |place| String::from_utf8(write(form, place, number, 7).as_bytes().to_vec()).unwrap();
        (text(Place::Response), text(Place::Receipt))
    }

    #[test]
    fn each_form_writes_as_carriers_do() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(both(IdForm::Dec, 0), pair("0", "0"));
        assert_eq!(both(IdForm::Dec, u64::MAX), pair("18446744073709551615", "18446744073709551615"));
        assert_eq!(both(IdForm::Hex, 0xABC), pair("abc", "abc"));
        assert_eq!(both(IdForm::HexUpper, 0xABC), pair("ABC", "ABC"));
        assert_eq!(both(IdForm::RespHexReceiptDec, 255), pair("FF", "255"));
        assert_eq!(both(IdForm::RespDecReceiptHex, 255), pair("255", "FF"));
        assert_eq!(both(IdForm::Padded, 0x086E_CD50), pair("00000000086ecd50", "86ecd50"));
        let (response, receipt) = both(IdForm::Uuid, 0xABC);
        assert_eq!((response.len(), &response), (36, &receipt));
        assert!(response.ends_with("-000000000abc") && response.get(14..15) == Some("4"));
    }

    #[test]
    fn an_id_finds_its_number_and_no_other_text_does() {
        let all = [
            IdForm::Dec,
            IdForm::Hex,
            IdForm::HexUpper,
            IdForm::RespHexReceiptDec,
            IdForm::RespDecReceiptHex,
            IdForm::Uuid,
            IdForm::Padded,
        ];
        for form in all {
            for number in [1, 255, 1_000_000_001, 0xFFFF_FFFF_FFFF] {
                let id = write(form, Place::Response, number, 7);
                assert_eq!(read(form, id.as_bytes(), 7), Some(number));
                let mut appended = b"x".to_vec();
                append(&mut appended, form, Place::Response, number, 7);
                assert_eq!(appended, [b"x", id.as_bytes()].concat());
            }
            for wrong in [&b""[..], b"+1", b" 1", b"\xFF", b"xyz"] {
                assert_eq!(read(form, wrong, 7), None);
            }
        }
        assert_eq!(read(IdForm::Dec, b"007", 7), None);
    }
}
