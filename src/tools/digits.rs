//! Decimal digits, written fast: the tools write several numbers into every message. Owns: nothing. Takes: a place, a
//! number. Gives: digits. Never: divides once per digit.

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Fills `place` with the last digits of `number`, zeros in front.
#[inline]
pub fn fill(place: &mut [u8], number: u64) {
    let mut rest = number;
    let mut chunks = place.rchunks_exact_mut(4);
    for chunk in &mut chunks {
        // Four digits a step: two short divisions that do not wait for each other.
        let four = (rest % 10_000) as usize;
        rest /= 10_000;
        if let ([a, b, c, d], Some(high), Some(low)) = (chunk, PAIRS.get(four / 100), PAIRS.get(four % 100)) {
            [*a, *b] = *high;
            [*c, *d] = *low;
        }
    }
    for digit in chunks.into_remainder().iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// How many digits `number` has; zero has one.
#[must_use]
#[inline]
pub const fn count(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 7, 10, 99, 100, 9_999, 10_000, 123_456_789, 999_999_999_999, u64::MAX] {
            let text = number.to_string();
            assert_eq!(count(number), text.len());
            for width in [text.len(), 20, 23] {
                let mut place = vec![b'x'; width];
                fill(&mut place, number);
                assert_eq!(String::from_utf8(place).unwrap(), format!("{number:0width$}"));
            }
        }
        let mut short = [0; 3];
        fill(&mut short, 1_234_567);
        assert_eq!(&short, b"567");
    }
}
