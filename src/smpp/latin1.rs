//! ISO-8859-1 (data_coding 3): an octet is the code point. Owns: nothing. Takes: text, octets. Gives: octets,
//! characters. Never: allocates while reading, takes Windows-1252 for Latin-1.

use super::gsm7::Unencodable;

/// Appends `text`. On error `out` is as it was.
pub fn encode(text: &str, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let start = out.len();
    for character in text.chars() {
        let Ok(octet) = u8::try_from(u32::from(character)) else {
            out.truncate(start);
            return Err(Unencodable { character });
        };
        out.push(octet);
    }
    Ok(())
}

/// The characters of `octets`.
pub fn decode(octets: &[u8]) -> impl Iterator<Item = char> {
    octets.iter().map(|&octet| char::from(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_256_octets_survive_a_round_trip() {
        let octets: Vec<u8> = (0..=255).collect();
        let mut again = Vec::new();
        encode(&decode(&octets).collect::<String>(), &mut again).unwrap();
        assert_eq!(again, octets);
    }

    #[test]
    fn the_euro_sign_is_not_in_it() {
        let mut out = vec![1];
        assert_eq!(encode("5 €", &mut out), Err(Unencodable { character: '€' }));
        assert_eq!(out, [1]);
    }
}
