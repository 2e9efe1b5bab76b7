//! Message ids as carriers write them: one way in the response, maybe another in the receipt. Owns: nothing. Takes:
//! ids. Gives: keys to look a receipt's message up by, and an exact check under each form. Never: allocates, cuts a
//! number, calls two ids equal because their keys are.

use crate::limits::MESSAGE_ID_MAX;

/// How a carrier writes the same id in its response and in its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IdForm {
    /// The same octets.
    AsIs,
    /// Decimal in both: leading zeros do not count. Ids that are no decimal numbers are compared as they are.
    Dec,
    /// Hexadecimal in both: case and leading zeros do not count, of other ids neither.
    Hex,
    /// The response in hexadecimal, the receipt in decimal. A receipt id that is no decimal number of 128 bits is
    /// compared as `Hex`.
    RespHexReceiptDec,
    /// The response in decimal, the receipt in hexadecimal. As above.
    RespDecReceiptHex,
}

impl IdForm {
    /// From the strictest to the one that is least often meant.
    pub const ALL: [Self; 5] =
        [Self::AsIs, Self::Dec, Self::Hex, Self::RespHexReceiptDec, Self::RespDecReceiptHex];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as_is",
            Self::Dec => "dec",
            Self::Hex => "hex",
            Self::RespHexReceiptDec => "resp_hex_receipt_dec",
            Self::RespDecReceiptHex => "resp_dec_receipt_hex",
        }
    }

    /// The form with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// True when response and receipt write the same number in the same base.
    #[must_use]
    pub const fn is_of_one_base(self) -> bool {
        matches!(self, Self::AsIs | Self::Dec | Self::Hex)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of forms: what a match is consistent with. A carrier's form is what all its matches have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdForms(u8);

impl IdForms {
    /// Every form.
    pub const ALL: Self = Self(0x1F);

    /// The forms under which a receipt's id is that of a response.
    #[must_use]
    pub fn of(response_id: &[u8], receipt_id: &[u8]) -> Self {
        Self::ALL.of_these(response_id, receipt_id)
    }

    /// Those of these forms under which a receipt's id is that of a response; no other is tried.
    #[must_use]
    pub fn of_these(self, response_id: &[u8], receipt_id: &[u8]) -> Self {
        // The same octets, as nearly every carrier writes them, are the same id under each form of one base.
        let same = response_id == receipt_id;
        let agrees = |form: IdForm| {
            self.contains(form) && (same && form.is_of_one_base() || matches(form, response_id, receipt_id))
        };
        let bits = IdForm::ALL.into_iter().filter(|&form| agrees(form));
        Self(bits.fold(0, |set, form| set | form.bit()))
    }

    /// True when the form is in the set.
    #[must_use]
    pub const fn contains(self, form: IdForm) -> bool {
        self.0 & form.bit() != 0
    }

    /// True when no form is left.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The strictest form in the set.
    #[must_use]
    pub fn strictest(self) -> Option<IdForm> {
        IdForm::ALL.into_iter().find(|&form| self.contains(form))
    }
}

/// A message id for an index: case and leading zeros do not count. Ids that are not equal so far have the same key as good
/// as never, but a peer can make two that do. Compare the ids too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdKey(u64);

impl IdKey {
    /// The key as a number. Ids that differ in the last three bits of their last octet do so here, and else in nothing; all
    /// other bits are well mixed.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The key of an id whose case and zeros are folded here, its last octet last. Each step but the last is a bijection of its 16 octets; a NUL
    /// cannot stand in an id, so octets that are filled up with NUL are as good as their length.
    fn of(id: &[u8]) -> Self {
        const ODD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        let mix = |state: u128, lane: u128| {
            let mixed = (state ^ upper_case(lane)).wrapping_mul(ODD);
            mixed ^ (mixed >> 64)
        };
        const LAST: u64 = 7;
        let Some((last, head)) = without_zeros(id).split_last() else { return Self(0) };
        let (lanes, rest) = head.as_chunks::<16>();
        let state = lanes.iter().fold(0, |state, &lane| mix(state, u128::from_le_bytes(lane)));
        let last = u64::from(last.to_ascii_uppercase());
        let state = mix(state, short_lane(rest) | u128::from(last & !LAST) << 120).wrapping_mul(ODD);
        Self((state ^ (state >> 64)) as u64 & !LAST | last & LAST)
    }
}

/// The ASCII letters of 16 octets in upper case, all at once.
const fn upper_case(lane: u128) -> u128 {
    const EACH: u128 = u128::MAX / 0xFF;
    if lane & (EACH * 0x40) == 0 {
        return lane; // no letters: digits alone, as most ids are
    }
    let low = lane & (EACH * 0x7F);
    let from_a = low + EACH * (0x80 - b'a' as u128);
    let over_z = low + EACH * (0x7F - b'z' as u128);
    let lower = from_a & !over_z & !lane & (EACH * 0x80);
    lane ^ (lower >> 2)
}

/// Up to 15 octets as a number, the first one lowest, filled up with NUL. Two reads that overlap agree where they do.
fn short_lane(octets: &[u8]) -> u128 {
    if let (Some(&first), Some(&last)) = (octets.first_chunk::<8>(), octets.last_chunk::<8>()) {
        let shift = (octets.len() - 8) * 8;
        return u128::from(u64::from_le_bytes(first)) | u128::from(u64::from_le_bytes(last)) << shift;
    }
    if let (Some(&first), Some(&last)) = (octets.first_chunk::<4>(), octets.last_chunk::<4>()) {
        let shift = (octets.len() - 4) * 8;
        return u128::from(u32::from_le_bytes(first)) | u128::from(u32::from_le_bytes(last)) << shift;
    }
    octets.iter().rev().fold(0, |lane, &octet| lane << 8 | u128::from(octet))
}

/// `id` without leading zeros; of zeros alone the last one stays.
fn without_zeros(id: &[u8]) -> &[u8] {
    let Some((_, head)) = id.split_last() else { return id };
    id.get(zeros_before(head)..).unwrap_or_default()
}

/// How many zeros stand at the front, 8 octets at a time.
#[inline]
fn zeros_before(octets: &[u8]) -> usize {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    let (lanes, rest) = octets.as_chunks();
    for (at, lane) in lanes.iter().enumerate() {
        let others = u64::from_le_bytes(*lane) ^ ZEROS;
        if others != 0 {
            return at * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    lanes.len() * 8 + rest.iter().take_while(|octet| **octet == b'0').count()
}

/// The key under which a response's id is kept.
#[must_use]
pub fn response_key(id: &[u8]) -> IdKey {
    IdKey::of(id)
}

/// A key that the response of a receipt may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The form it supposes; `AsIs` stands for `Dec` and `Hex` too, whose keys are the same.
    pub form: IdForm,
    /// What to look up.
    pub key: IdKey,
}

/// The keys that the response of a receipt with this id may have, one to three, no two alike.
pub fn receipt_keys(id: &[u8]) -> impl Iterator<Item = Candidate> + use<> {
    let folded = Candidate { form: IdForm::AsIs, key: IdKey::of(id) };
    let other = move |form| {
        let key = cross_key(form, id)?;
        (key != folded.key).then_some(Candidate { form, key })
    };
    let hex = other(IdForm::RespHexReceiptDec);
    let dec = other(IdForm::RespDecReceiptHex);
    [Some(folded), hex, dec].into_iter().flatten()
}

/// The key that the response of a receipt with this id has under one form.
#[must_use]
pub fn receipt_key(form: IdForm, id: &[u8]) -> IdKey {
    if form.is_of_one_base() {
        return IdKey::of(id);
    }
    cross_key(form, id).unwrap_or_else(|| IdKey::of(id))
}

fn cross_key(form: IdForm, id: &[u8]) -> Option<IdKey> {
    let mut digits = [0; DIGITS_MAX];
    converted(form, id, &mut digits).map(IdKey::of)
}

/// Whether a receipt's id is that of a response under one form, octet by octet.
#[must_use]
pub fn matches(form: IdForm, response_id: &[u8], receipt_id: &[u8]) -> bool {
    match form {
        IdForm::AsIs => response_id == receipt_id,
        IdForm::Dec if is_decimal(response_id) && is_decimal(receipt_id) => {
            without_zeros(response_id) == without_zeros(receipt_id)
        }
        IdForm::Dec => response_id == receipt_id,
        IdForm::Hex => folded_equal(response_id, receipt_id),
        IdForm::RespHexReceiptDec | IdForm::RespDecReceiptHex => {
            let mut digits = [0; DIGITS_MAX];
            folded_equal(response_id, converted(form, receipt_id, &mut digits).unwrap_or(receipt_id))
        }
    }
}

fn folded_equal(one: &[u8], other: &[u8]) -> bool {
    one == other || without_zeros(one).eq_ignore_ascii_case(without_zeros(other))
}

fn is_decimal(id: &[u8]) -> bool {
    !id.is_empty() && id.iter().all(u8::is_ascii_digit)
}

/// Room for a number of 128 bits in decimal, written from its end.
type Digits = [u8; DIGITS_MAX];
const DIGITS_MAX: usize = 39;
const _: () = assert!(DIGITS_MAX <= MESSAGE_ID_MAX && u128::MAX.ilog10() as usize + 1 == DIGITS_MAX);

/// A receipt's id as the response writes it, under the two forms that differ; `None` under the others, and when it is
/// no number of 128 bits in its base.
fn converted<'d>(form: IdForm, receipt_id: &[u8], digits: &'d mut Digits) -> Option<&'d [u8]> {
    match form {
        IdForm::AsIs | IdForm::Dec | IdForm::Hex => None,
        IdForm::RespHexReceiptDec => Some(write_number::<16>(number::<10>(receipt_id)?, digits)),
        IdForm::RespDecReceiptHex => Some(write_number::<10>(number::<16>(receipt_id)?, digits)),
    }
}

/// The number that `id` is in base 10 or 16; in 64 bits as long as it fits, which is faster.
fn number<const BASE: u8>(id: &[u8]) -> Option<u128> {
    let digits = without_zeros(id);
    if digits.is_empty() {
        return None;
    }
    // 16 hexadecimal or 19 decimal digits are at most 64 bits.
    let narrow_max = if BASE == 16 { 16 } else { 19 };
    let (head, tail) = digits.split_at_checked(narrow_max).unwrap_or((digits, &[]));
    let mut narrow = 0_u64;
    for &octet in head {
        narrow = narrow.wrapping_mul(u64::from(BASE)).wrapping_add(u64::from(digit::<BASE>(octet)?));
    }
    tail.iter().try_fold(u128::from(narrow), |sum, &octet| {
        sum.checked_mul(u128::from(BASE))?.checked_add(u128::from(digit::<BASE>(octet)?))
    })
}

#[inline]
const fn digit<const BASE: u8>(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' if BASE == 16 => Some(octet - b'a' + 10),
        b'A'..=b'F' if BASE == 16 => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// Writes `number` in base 10 or 16, upper case, to the end of `digits`.
fn write_number<const BASE: u8>(number: u128, digits: &mut Digits) -> &[u8] {
    const LETTERS: &[u8; 16] = b"0123456789ABCDEF";
    let letter = |value: usize| LETTERS.get(value).copied().unwrap_or_default();
    let mut wide = number;
    let mut places = digits.iter_mut().rev();
    let mut written = 0;
    while wide > u128::from(u64::MAX) {
        let Some(place) = places.next() else { break };
        *place = letter((wide % u128::from(BASE)) as usize);
        wide /= u128::from(BASE);
        written += 1;
    }
    let mut narrow = wide as u64;
    for place in places {
        *place = letter((narrow % u64::from(BASE)) as usize);
        narrow /= u64::from(BASE);
        written += 1;
        if narrow == 0 {
            break;
        }
    }
    debug_assert!(narrow == 0);
    digits.get(DIGITS_MAX - written..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(response: &[u8], receipt: &[u8]) -> bool {
        receipt_keys(receipt).any(|candidate| candidate.key == response_key(response))
    }

    #[test]
    fn upper_case_is_that_of_ascii() {
        for octet in 0..=u8::MAX {
            let lane = [b'z', octet, b'a', 0, octet, b'{', b'`', 0xFF, octet, b'@', 1, 2, 3, 4, 5, octet];
            let folded = upper_case(u128::from_le_bytes(lane)).to_le_bytes();
            assert_eq!(folded, lane.map(|octet| octet.to_ascii_uppercase()));
        }
    }

    #[test]
    fn a_short_lane_is_its_octets_filled_up_with_nul() {
        let octets: Vec<u8> = (1..=15).collect();
        for length in 0..=15 {
            let mut lane = [0; 16];
            lane[..length].copy_from_slice(&octets[..length]);
            assert_eq!(short_lane(&octets[..length]), u128::from_le_bytes(lane));
        }
    }

    #[test]
    fn names_lead_back_to_their_form() {
        for form in IdForm::ALL {
            assert_eq!(IdForm::from_name(form.name()), Some(form));
        }
        assert_eq!(IdForm::from_name("auto"), None);
    }

    #[test]
    fn every_match_is_found_by_a_key_under_its_form() {
        let ids: [&[u8]; 12] = [
            b"0",
            b"000",
            b"9",
            b"A",
            b"10",
            b"16",
            b"00ff",
            b"255",
            b"FFFFFFFFFFFFFFFF",
            b"18446744073709551615",
            b"340282366920938463463374607431768211455",
            b"ffffffffffffffffffffffffffffffff",
        ];
        for response in ids {
            for receipt in ids {
                for form in IdForm::ALL {
                    if matches(form, response, receipt) {
                        assert!(finds(response, receipt));
                        assert_eq!(receipt_key(form, receipt), response_key(response));
                    }
                }
            }
        }
        assert!(matches(IdForm::RespHexReceiptDec, ids[11], ids[10]));
        assert!(matches(IdForm::RespDecReceiptHex, ids[10], ids[11]));
    }

    #[test]
    fn numbers_over_128_bits_are_only_folded() {
        let over = b"340282366920938463463374607431768211456";
        assert_eq!(receipt_keys(over).count(), 1);
        assert!(!matches(IdForm::RespHexReceiptDec, b"100000000000000000000000000000000", over));
        assert!(matches(IdForm::RespHexReceiptDec, over, over));
    }

    #[test]
    fn as_is_is_the_same_octets_and_nothing_else() {
        assert!(matches(IdForm::AsIs, b"ab", b"ab") && !matches(IdForm::AsIs, b"ab", b"AB"));
        assert!(!matches(IdForm::Dec, b"ab", b"AB") && matches(IdForm::Hex, b"ab", b"AB"));
        assert!(matches(IdForm::Dec, b"0012", b"12") && !matches(IdForm::AsIs, b"0012", b"12"));
    }

    #[test]
    fn matches_narrow_the_forms_of_a_carrier_down() {
        let first = IdForms::of(b"0012345678", b"0012345678");
        let second = IdForms::of(b"0012345679", b"12345679");
        assert_eq!(first.strictest(), Some(IdForm::AsIs));
        assert_eq!(second.strictest(), Some(IdForm::Dec));
        assert_eq!(first.of_these(b"0012345679", b"12345679"), second);
        assert!(second.of_these(b"499602D2", b"1234567890").is_empty());
        assert_eq!(IdForms::of(b"499602D2", b"1234567890").strictest(), Some(IdForm::RespHexReceiptDec));
        assert!(IdForms::of(b"1", b"2").is_empty() && IdForms::ALL.contains(IdForm::RespDecReceiptHex));
    }

    #[test]
    fn ids_made_to_collide_do_not() {
        let mut seen = std::collections::HashMap::new();
        let mut put = |id: String| {
            let folded = String::from_utf8(without_zeros(id.to_uppercase().as_bytes()).to_vec()).unwrap();
            let other = seen.insert(response_key(id.as_bytes()), folded.clone());
            assert!(other.is_none_or(|other| other == folded), "{id}");
        };
        for n in 0..20_000_u32 {
            put(format!("{n}"));
            put(format!("{n:08x}"));
            put(format!("f47ac10b-58cc-4372-a567-{n:012x}"));
            put(format!("{n:08x}-58cc-4372-a567-0e02b2c3d479"));
            put(format!("1{n:063}"));
        }
        // Saturating and truncating readers take these for equal.
        assert!(!finds(b"FFFFFFFFFFFFFFFF", b"18446744073709551616"));
        assert!(!finds(b"7FFFFFFFFFFFFFFF", b"18446744073709551615"));
        assert!(!finds(b"12345", b"12345-1") && !finds(b"", b"0"));
    }
}
