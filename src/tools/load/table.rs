//! Message ids that responses named. Owns: 16 octets per message. Takes: an account, an id, when and where it was
//! sent. Gives: that again when a receipt names the id. Never: allocates per message, forgets an id.

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Microseconds from the run's start to the time it was to be sent, at most 2^40.
    pub(super) sent_micros: u64,
    /// Of its destination, 14 bits.
    pub(super) check: u16,
    /// A receipt has come.
    pub(super) receipted: bool,
}

impl Known {
    const fn pack(self) -> u64 {
        (self.sent_micros & 0xFF_FFFF_FFFF) << 16
            | ((self.check & 0x3FFF) as u64) << 1
            | self.receipted as u64
    }

    const fn unpack(word: u64) -> Self {
        Self { sent_micros: word >> 16, check: (word >> 1 & 0x3FFF) as u16, receipted: word & 1 != 0 }
    }
}

/// An account's id as one word; two of a billion ids share one with a chance of 3 in 100.
pub(super) fn key(account: usize, id: &[u8]) -> u64 {
    let mut mix = (account as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (words, rest) = id.as_chunks::<8>();
    for word in words {
        mix = stir(mix ^ u64::from_le_bytes(*word));
    }
    let tail = rest.iter().fold(rest.len() as u64 + 1, |tail, &octet| tail << 8 | u64::from(octet));
    // Zero marks a free place.
    stir(stir(mix ^ tail) ^ id.len() as u64).max(1)
}

const fn stir(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Open addressing, linear steps, at most three quarters full.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<(u64, u64)>,
    used: usize,
}

impl Table {
    /// Room for `expected` ids without growing.
    pub(super) fn new(expected: usize) -> Self {
        let places = (expected / 3 * 4 + 1024).next_power_of_two();
        Self { places: vec![(0, 0); places], used: 0 }
    }

    fn find(&mut self, key: u64) -> Option<&mut (u64, u64)> {
        let mask = self.places.len() - 1;
        let mut at = key as usize & mask;
        loop {
            let held = self.places.get(at)?.0;
            if held == key || held == 0 {
                return self.places.get_mut(at);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts an id; false when it is there already.
    pub(super) fn put(&mut self, key: u64, known: Known) -> bool {
        if self.used >= self.places.len() / 4 * 3 {
            self.grow();
        }
        match self.find(key) {
            Some(place) if place.0 == 0 => {
                *place = (key, known.pack());
                self.used += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn grow(&mut self) {
        let doubled = vec![(0, 0); self.places.len() * 2];
        for (key, word) in core::mem::replace(&mut self.places, doubled) {
            if key != 0
                && let Some(place) = self.find(key)
            {
                *place = (key, word);
            }
        }
    }

    /// What is known of an id; from now on a receipt has come for it.
    pub(super) fn receipt(&mut self, key: u64) -> Option<Known> {
        let place = self.find(key).filter(|place| place.0 == key)?;
        let known = Known::unpack(place.1);
        place.1 = Known { receipted: true, ..known }.pack();
        Some(known)
    }

    /// True when an id is there.
    pub(super) fn holds(&mut self, key: u64) -> bool {
        self.find(key).is_some_and(|place| place.0 == key)
    }

    /// How many ids are there.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_found_again_through_growth_and_by_its_account_only() {
        let mut table = Table::new(0);
        let known =
            |n: u64| Known { sent_micros: n * 1_000_003, check: (n % 16_384) as u16, receipted: false };
        for n in 0..10_000_u64 {
            assert!(table.put(key(1, n.to_string().as_bytes()), known(n)));
        }
        assert!(!table.put(key(1, b"77"), known(77)));
        assert_eq!(table.len(), 10_000);
        for n in 0..10_000_u64 {
            let id = n.to_string();
            assert!(!table.holds(key(0, id.as_bytes())));
            assert_eq!(table.receipt(key(1, id.as_bytes())), Some(known(n)));
            assert!(table.receipt(key(1, id.as_bytes())).unwrap().receipted);
        }
        assert_eq!(table.receipt(key(1, b"10000")), None);
    }

    #[test]
    fn ids_that_look_alike_have_different_keys() {
        let ids: [&[u8]; 8] = [b"", b"0", b"00", b"\0", b"12345678", b"123456780", b"abcdefgh", b"ABCDEFGH"];
        let keys: std::collections::BTreeSet<_> = ids.iter().map(|id| key(0, id)).collect();
        assert_eq!(keys.len(), ids.len());
    }
}
