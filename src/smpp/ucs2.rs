//! UCS2, in practice UTF-16BE (data_coding 8). Owns: nothing. Takes: text, octets. Gives: octets, characters, units.
//! Never: allocates while reading, adds or drops a byte order mark, fails on octets that are no UTF-16.

/// 16-bit units that `text` takes; characters above U+FFFF take two.
#[must_use]
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Appends `text`.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    for unit in text.encode_utf16() {
        out.extend_from_slice(&unit.to_be_bytes());
    }
}

/// The characters of `octets`. A lone surrogate, and an odd octet at the end, is U+FFFD.
pub fn decode(octets: &[u8]) -> impl Iterator<Item = char> {
    let (pairs, odd) = octets.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(|&pair| u16::from_be_bytes(pair)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .chain(odd.iter().map(|_| char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_octets_are_shown_as_replacements() {
        assert_eq!(decode(&[0xD8, 0x3D]).collect::<String>(), "\u{FFFD}");
        assert_eq!(decode(&[0xDE, 0x00, 0x00, 0x41]).collect::<String>(), "\u{FFFD}A");
        assert_eq!(decode(&[0x00, 0x41, 0x00]).collect::<String>(), "A\u{FFFD}");
    }

    #[test]
    fn units_count_surrogates_twice() {
        assert_eq!(units("a😀б"), 4);
    }
}
