//! A keyed hash of octets: the same for the same seed, on every machine and in every version. Owns: nothing. Takes: a
//! seed, octets. Gives: 64 well mixed bits. Never: a secret's protection.

/// Mixes 64 bits (the finaliser of SplitMix64).
#[inline]
#[must_use]
pub const fn mix(bits: u64) -> u64 {
    let z = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The hash of `octets`; their number is a part of it, so that two in a row cannot be cut differently.
#[inline]
#[must_use]
pub fn octets(seed: u64, octets: &[u8]) -> u64 {
    let mut state = mix(seed ^ octets.len() as u64);
    for chunk in octets.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        state = mix(state ^ u64::from_le_bytes(word));
    }
    state
}

#[cfg(test)]
mod tests {
    use super::octets;

    #[test]
    fn length_content_and_seed_all_count() {
        let of = [octets(1, b""), octets(1, b"\0"), octets(1, b"\0\0"), octets(2, b""), octets(1, b"382671")];
        for (place, one) in of.iter().enumerate() {
            assert!(!of[..place].contains(one), "{place}");
        }
        assert_eq!(octets(7, b"38267123456"), octets(7, b"38267123456"));
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        assert_eq!(octets(0, b""), 0xE220_A839_7B1D_CDAF);
    }
}
