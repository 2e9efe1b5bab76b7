//! Pseudo-random numbers for jitter and simulations: SplitMix64 (Steele, Lea, Flood 2014). Owns: 64 bits of
//! state. Takes: a seed. Gives: numbers, the same for the same seed. Never: secrets; it is predictable.

/// A seeded generator.
#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// A generator whose sequence is decided by `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Prng::new(7), Prng::new(7));
        assert!((0..100).all(|_| a.bits() == b.bits()));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut prng = Prng::new(1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[prng.below(10) as usize] = true;
        }
        assert!(seen.iter().all(|&hit| hit));
        assert_eq!(prng.below(0), 0);
    }
}
