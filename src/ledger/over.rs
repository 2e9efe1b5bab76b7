//! Which destinations of a submit_multi are over. Owns: a bit each, and nothing while there is none. Takes: the numbers of
//! final receipts. Gives: what a record says of them. Never: counts what is still to come.

use super::{AddressTail, Destinations};

/// A submit_multi has at most 255 destinations (SMPP 3.4 §5.2.24).
const OCTETS: usize = 32;

/// See the room's header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Over(Option<Box<[u8; OCTETS]>>);

impl Over {
    /// What `bits` gave.
    #[must_use]
    pub fn of(bits: &[u8]) -> Self {
        if bits.is_empty() {
            return Self(None);
        }
        let mut all = Box::new([0; OCTETS]);
        all.iter_mut().zip(bits).for_each(|(to, octet)| *to = *octet);
        Self(Some(all))
    }

    /// Eight destinations an octet, the first in its lowest bit, as far as one is over.
    #[must_use]
    pub fn bits(&self) -> &[u8] {
        let all = self.0.as_deref().map_or(&[] as &[u8], |all| all);
        let used = all.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        all.get(..used).unwrap_or_default()
    }

    /// True when this destination is over.
    #[must_use]
    pub fn has(&self, at: usize) -> bool {
        self.0.as_ref().and_then(|all| all.get(at / 8)).is_some_and(|octet| octet & 1 << (at % 8) != 0)
    }

    fn mark(&mut self, at: usize) {
        if let Some(octet) = self.0.get_or_insert_default().get_mut(at / 8) {
            *octet |= 1 << (at % 8);
        }
    }

    /// A destination with this number is over: the first that was not. One of one destination is over as a whole.
    pub fn take(&mut self, destinations: &Destinations, tail: AddressTail) {
        let Destinations::Several(tails) = destinations else { return };
        let first = tails.iter().enumerate().position(|(at, own)| own.agrees(tail) && !self.has(at));
        if let Some(at) = first {
            self.mark(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_numbers_one_after_the_other_is_over_and_the_bits_say_which() {
        let several = Destinations::of_text(b"38267001,38267002,38267001,38267003");
        let mut over = Over::default();
        assert_eq!((over.bits(), Over::of(&[])), (&[] as &[u8], Over::default()));
        for (digits, bits) in [(&b"38267001"[..], 0b0001), (b"67003", 0b1001), (b"38267001", 0b1101)] {
            over.take(&several, AddressTail::of(digits));
            assert_eq!(over.bits(), [bits]);
        }
        over.take(&several, AddressTail::of(b"38267001"));
        assert_eq!((over.bits(), Over::of(&[0b1101])), (&[0b1101_u8][..], over.clone()));
        assert!(over.has(3) && !over.has(1) && !over.has(300));
        let mut one = Over::default();
        one.take(&Destinations::of_text(b"38267001"), AddressTail::of(b"38267001"));
        assert_eq!(one, Over::default());
    }
}
