//! GSM 03.38 (3GPP 23.038 §6.2.1): the default alphabet and its extension. Owns: the tables. Takes: text, septets.
//! Gives: septets one per octet (as SMPP carries them), characters, packed octets. Never: allocates while reading,
//! guesses a character that the alphabet does not have.

/// The septet that announces a character of the extension table.
pub const ESCAPE: u8 = 0x1B;

/// The default table by code. Code 0x1B stands for no character by itself; a lone one is shown as a space.
const DEFAULT: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à', //
];

/// The extension table: the code after ESC, and what it means.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{0C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// A character that the alphabet does not have; the text needs UCS2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unencodable {
    /// The first such character.
    pub character: char,
}

/// How a character is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// One septet of the default table.
    Default(u8),
    /// ESC and this septet.
    Extension(u8),
}

impl Code {
    /// Septets it takes.
    #[must_use]
    pub const fn septets(self) -> usize {
        match self {
            Self::Default(_) => 1,
            Self::Extension(_) => 2,
        }
    }
}

/// The code of a character, `None` when the alphabet does not have it.
#[must_use]
pub fn encode_char(character: char) -> Option<Code> {
    // These stand at their ASCII place in the default table; the rest is searched.
    if let 'a'..='z' | 'A'..='Z' | ' '..='#' | '%'..='?' = character {
        return Some(Code::Default(character as u8));
    }
    if character == DEFAULT_ESCAPE {
        return None;
    }
    if let Some(code) = DEFAULT.iter().position(|&c| c == character) {
        return Some(Code::Default(code as u8));
    }
    EXTENSION.iter().find(|(_, c)| *c == character).map(|&(code, _)| Code::Extension(code))
}

/// What the default table holds at ESC; not a character of the alphabet.
const DEFAULT_ESCAPE: char = '\u{1B}';

/// The character of a septet of the default table; U+FFFD for octets that are no septet.
#[must_use]
pub fn decode_default(septet: u8) -> char {
    match DEFAULT.get(usize::from(septet)) {
        Some(&DEFAULT_ESCAPE) => ' ',
        Some(&character) => character,
        None => char::REPLACEMENT_CHARACTER,
    }
}

/// Septets that `text` takes, `None` when it holds a character that the alphabet does not have.
#[must_use]
pub fn septets(text: &str) -> Option<usize> {
    text.chars().try_fold(0, |sum, c| encode_char(c).map(|code| sum + code.septets()))
}

/// Appends the septets of `text`, one per octet. On error `out` is as it was.
pub fn encode_unpacked(text: &str, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let start = out.len();
    for character in text.chars() {
        match encode_char(character) {
            Some(Code::Default(code)) => out.push(code),
            Some(Code::Extension(code)) => out.extend_from_slice(&[ESCAPE, code]),
            None => {
                out.truncate(start);
                return Err(Unencodable { character });
            }
        }
    }
    Ok(())
}

/// The characters of septets that stand one per octet. ESC with a code of no meaning shows the default table's
/// character; ESC ESC, and ESC at the end, show a space (23.038 §6.2.1.1).
pub fn decode_unpacked(septets: &[u8]) -> impl Iterator<Item = char> {
    Decode { septets: septets.iter().copied() }
}

struct Decode<I> {
    septets: I,
}

impl<I: Iterator<Item = u8>> Iterator for Decode<I> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let septet = self.septets.next()?;
        if septet != ESCAPE {
            return Some(decode_default(septet));
        }
        let Some(code) = self.septets.next() else {
            return Some(' ');
        };
        let extended = EXTENSION.iter().find(|(known, _)| *known == code).map(|&(_, c)| c);
        Some(extended.unwrap_or_else(|| decode_default(code)))
    }
}

/// Fill bits between a user data header of `octets` (its length octet included) and the first septet.
#[must_use]
pub const fn fill_bits(octets: usize) -> u8 {
    ((7 - octets * 8 % 7) % 7) as u8
}

/// Appends septets packed as the air carries them, the first `fill` bits (0–6) empty.
pub fn pack(septets: impl IntoIterator<Item = u8>, fill: u8, out: &mut Vec<u8>) {
    debug_assert!(fill < 7);
    let mut held: u16 = 0;
    let mut bits = u32::from(fill);
    for septet in septets {
        held |= u16::from(septet & 0x7F) << bits;
        bits += 7;
        if bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// The first `count` septets of packed octets, after `fill` bits; fewer when the octets end before.
pub fn unpack(packed: &[u8], fill: u8, count: usize) -> impl Iterator<Item = u8> {
    debug_assert!(fill < 7);
    let first = usize::from(fill);
    (0..count).map_while(move |i| {
        let (octet, shift) = ((first + i * 7) / 8, (first + i * 7) % 8);
        let low = u16::from(*packed.get(octet)?);
        let high = match packed.get(octet + 1) {
            Some(&high) => u16::from(high),
            None if shift > 1 => return None,
            None => 0,
        };
        Some(((low | high << 8) >> shift) as u8 & 0x7F)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(septets: &[u8]) -> String {
        decode_unpacked(septets).collect()
    }

    #[test]
    fn every_character_of_both_tables_survives_a_round_trip() {
        let characters: Vec<char> = DEFAULT
            .into_iter()
            .filter(|&c| c != DEFAULT_ESCAPE)
            .chain(EXTENSION.map(|(_, character)| character))
            .collect();
        assert_eq!(characters.len(), 137);
        for (at, &character) in characters.iter().enumerate() {
            let mut octets = Vec::new();
            encode_unpacked(&character.to_string(), &mut octets).unwrap();
            assert_eq!(octets.len(), if at < 127 { 1 } else { 2 }, "{character:?}");
            assert_eq!(shown(&octets), character.to_string());
        }
    }

    #[test]
    fn no_character_outside_the_tables_is_encoded() {
        let known = |c: char| DEFAULT.contains(&c) || EXTENSION.iter().any(|&(_, e)| e == c);
        for character in ('\0'..='\u{FFFF}').filter(|&c| c == DEFAULT_ESCAPE || !known(c)) {
            assert_eq!(encode_char(character), None, "{character:?}");
        }
        let mut out = b"kept".to_vec();
        assert_eq!(encode_unpacked("ab\tc", &mut out), Err(Unencodable { character: '\t' }));
        assert_eq!(out, b"kept");
    }

    #[test]
    fn escapes_without_a_meaning_are_shown_as_the_standard_says() {
        assert_eq!(shown(&[0x41, 0x1B]), "A ");
        assert_eq!(shown(&[0x1B, 0x41]), "A");
        assert_eq!(shown(&[0x1B, 0x1B, 0x41]), " A");
        assert_eq!(shown(&[0x80, 0xFF]), "\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn packing_keeps_every_length_under_every_fill() {
        for fill in 0..7 {
            for length in 0..=160_u8 {
                let septets: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37) & 0x7F).collect();
                let mut packed = Vec::new();
                pack(septets.iter().copied(), fill, &mut packed);
                assert_eq!(packed.len(), (usize::from(fill) + septets.len() * 7).div_ceil(8));
                assert!(unpack(&packed, fill, septets.len()).eq(septets.iter().copied()));
                let short = packed.get(..packed.len().saturating_sub(1)).unwrap();
                assert!(septets.is_empty() || unpack(short, fill, septets.len()).count() < septets.len());
            }
        }
    }

    #[test]
    fn fill_bits_bring_the_text_to_the_next_septet() {
        assert_eq!([fill_bits(0), fill_bits(4), fill_bits(6), fill_bits(7)], [0, 3, 1, 0]);
    }
}
