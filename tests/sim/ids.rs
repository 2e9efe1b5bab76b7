//! How a carrier of the simulator counts and writes the ids that it gives: the same or another base in responses and
//! in receipts, far apart or densely from a small number.

use bindery::prng::Prng;

/// Ids count from here where none is to be another in a different base; at all carriers alike, so that the same id
/// stands for other messages.
const APART: u64 = 4_000_000_000;
/// Ids count from here where many are another's in a different base.
const DENSE: u64 = 10;

/// One way of writing ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Decimal,
    /// Ten digits, filled up with zeros.
    DecimalPadded,
    HexUpper,
    HexLower,
    /// Eight digits, filled up with zeros.
    HexPadded,
}

impl Writing {
    fn write(self, number: u64) -> String {
        match self {
            Self::Decimal => format!("{number}"),
            Self::DecimalPadded => format!("{number:010}"),
            Self::HexUpper => format!("{number:X}"),
            Self::HexLower => format!("{number:x}"),
            Self::HexPadded => format!("{number:08X}"),
        }
    }

    fn read(self, text: &[u8]) -> Option<u64> {
        let radix = match self {
            Self::Decimal | Self::DecimalPadded => 10,
            Self::HexUpper | Self::HexLower | Self::HexPadded => 16,
        };
        u64::from_str_radix(core::str::from_utf8(text).ok()?, radix).ok()
    }
}

/// The forms: their names in the configuration, how responses and how receipts are written.
const FORMS: [(&str, Writing, Writing); 7] = [
    ("as_is", Writing::Decimal, Writing::Decimal),
    ("as_is", Writing::HexPadded, Writing::HexPadded),
    ("dec", Writing::Decimal, Writing::DecimalPadded),
    ("hex", Writing::HexUpper, Writing::HexLower),
    ("resp_hex_receipt_dec", Writing::HexUpper, Writing::Decimal),
    ("resp_dec_receipt_hex", Writing::Decimal, Writing::HexUpper),
    ("resp_dec_receipt_hex", Writing::Decimal, Writing::HexPadded),
];

/// The ids of one carrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    /// The first.
    pub(crate) first: u64,
    form: usize,
    /// The operator has said which form it is.
    pub(crate) said: bool,
}

impl Ids {
    /// Those of a seed's carrier.
    pub(crate) fn draw(prng: &mut Prng) -> Self {
        let first = if prng.chance(1, 3) { DENSE } else { APART };
        let form = if prng.chance(1, 2) { 0 } else { prng.below(FORMS.len() as u64) as usize };
        Self { first, form, said: prng.chance(1, 4) }
    }

    /// The same form, and none is another's in a different base.
    pub(crate) const fn apart(self) -> Self {
        Self { first: APART, ..self }
    }

    /// Many are another's in a different base.
    pub(crate) const fn dense(&self) -> bool {
        self.first == DENSE
    }

    /// `message_id_form` in the configuration.
    pub(crate) const fn config(&self) -> &'static str {
        if self.said { FORMS[self.form].0 } else { "auto" }
    }

    /// As a response says it.
    pub(crate) fn in_response(&self, number: u64) -> String {
        FORMS[self.form].1.write(number)
    }

    /// As a receipt says it.
    pub(crate) fn in_receipt(&self, number: u64) -> String {
        FORMS[self.form].2.write(number)
    }

    /// What a response says.
    pub(crate) fn of_response(&self, text: &[u8]) -> Option<u64> {
        FORMS[self.form].1.read(text)
    }

    /// What a receipt says.
    pub(crate) fn of_receipt(&self, text: &[u8]) -> Option<u64> {
        FORMS[self.form].2.read(text)
    }
}
