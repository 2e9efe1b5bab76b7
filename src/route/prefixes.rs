//! What the prefixes of a number lead to.
//!
//! Owns: an immutable trie of digits. Takes: prefixes with a value each, then numbers. Gives: the values of all prefixes
//! of a number, shortest first. Never: changes, allocates when it is asked.
//!
//! A node is 16 octets, a quarter of a cache line: which digits go on or lead to something, one bit each, and where
//! their nodes and values stand one behind the other. Digits that no prefix ends or parts at are skipped in one
//! comparison. So 100,000 prefixes of one length are 180 kB and stay in the cache of a core, which one entry of eight
//! octets for each digit of a node (900 kB) did not: look-ups spread over all of them cost a message 0.1 to 0.3 µs more than
//! none, now less than 0.1 (`8x64` of `bench/side_by_side` with and without the route, on a noisy machine).

use std::collections::VecDeque;

/// Digits that a number is looked at by. E.164 numbers have at most 15.
pub(super) const DIGITS_MAX: usize = 15;
/// Digits that one node skips.
const SKIP_MAX: usize = 8;
/// All values of a node are the same, which stands in the place of where they are.
const SAME: u16 = 1 << 15;
const DIGITS: u16 = (1 << 10) - 1;

/// The digits at the front of a number: four bits each, the first one highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digits {
    packed: u64,
    count: usize,
}

impl Digits {
    /// Of what stands before the first octet that is no digit, at most `DIGITS_MAX`.
    #[inline(always)]
    pub(super) fn of(number: &[u8]) -> Self {
        if let (Some(head), Some(tail)) = (number.first_chunk(), number.last_chunk::<8>())
            && number.len() <= DIGITS_MAX
        {
            // What both hold is shifted out of the tail.
            let behind = number.len() - 8;
            let tail = u64::from_be_bytes(*tail) ^ ZEROS;
            let tail = if behind == 0 { 0 } else { tail << (8 * (8 - behind)) };
            if let (Some(head), Some(tail)) = (eight(u64::from_be_bytes(*head) ^ ZEROS), eight(tail)) {
                return Self { packed: u64::from(head) << 32 | u64::from(tail), count: number.len() };
            }
        }
        Self::one_by_one(number)
    }

    fn one_by_one(number: &[u8]) -> Self {
        let (mut packed, mut count) = (0, 0);
        for octet in number.iter().take(DIGITS_MAX) {
            let digit = octet.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            packed |= u64::from(digit) << (60 - 4 * count);
            count += 1;
        }
        Self { packed, count }
    }

    pub(super) const fn count(self) -> usize {
        self.count
    }

    /// Different for different digits.
    pub(super) const fn key(self) -> u64 {
        self.packed | self.count as u64
    }

    #[inline]
    const fn digit(self, at: usize) -> u16 {
        (self.packed >> (60 - 4 * at)) as u16 & 15
    }

    /// So many digits from there on, at most `SKIP_MAX`.
    #[inline]
    const fn run(self, at: usize, length: usize) -> u32 {
        if length == 0 { 0 } else { ((self.packed << (4 * at)) >> (64 - 4 * length)) as u32 }
    }

    /// Digits that two have in common at the front.
    fn common(self, other: Self) -> usize {
        let differ = (self.packed ^ other.packed).leading_zeros() as usize / 4;
        differ.min(self.count).min(other.count)
    }
}

const ZEROS: u64 = u64::from_be_bytes(*b"00000000");

/// Eight octets, each 0 to 9, in four bits each; none when they are not.
#[inline]
const fn eight(digits: u64) -> Option<u32> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    if (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & HIGH != 0 {
        return None;
    }
    let pairs = (digits | digits >> 4) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    Some((fours | fours >> 16) as u32)
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// What must come before its own digit, `skipped` digits of it.
    skip: u32,
    /// The digits behind which there is another node; above them, in four bits, `skipped`.
    children: u16,
    /// The digits that a prefix ends with, and `SAME`.
    ends: u16,
    /// The node behind the lowest of `children`; the others follow.
    first_child: u32,
    /// Where the value of the lowest of `ends` stands, or what it is.
    values: u32,
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    const fn skipped(&self) -> usize {
        (self.children >> 10) as usize
    }
}

/// Digits of a mask below this one.
#[inline]
const fn rank(mask: u16, digit: u16) -> usize {
    if mask & DIGITS == DIGITS {
        return digit as usize;
    }
    (mask & ((1 << digit) - 1)).count_ones() as usize
}

/// What a prefix leads to.
type Prefix = (Digits, u32);

/// The trie.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes {
    nodes: Vec<Node>,
    values: Vec<u32>,
}

impl Prefixes {
    /// Of prefixes with at least one digit, each once, in ascending order.
    pub(super) fn new(prefixes: &[Prefix]) -> Self {
        debug_assert!(prefixes.is_sorted_by(|(one, _), (next, _)| one < next));
        let mut trie = Self::default();
        if prefixes.is_empty() {
            return trie;
        }
        trie.nodes.push(Node::default());
        let mut open = VecDeque::from([(0, prefixes, 0)]);
        while let Some((index, prefixes, depth)) = open.pop_front() {
            let (node, behind) = trie.node(prefixes, depth);
            let first = trie.nodes.len();
            trie.nodes.resize(first + behind.len(), Node::default());
            open.extend(behind.into_iter().zip(first..).map(|((rest, at), child)| (child, rest, at)));
            if let Some(place) = trie.nodes.get_mut(index) {
                *place = node;
            }
        }
        trie.nodes.shrink_to_fit();
        trie.values.shrink_to_fit();
        trie
    }

    /// The node for prefixes that have their first `depth` digits in common, and what goes on behind its digits.
    fn node<'p>(&mut self, prefixes: &'p [Prefix], depth: usize) -> (Node, Vec<(&'p [Prefix], usize)>) {
        let mut node = Node { first_child: self.nodes.len() as u32, ..Node::default() };
        let (Some((first, _)), Some((last, _))) = (prefixes.first(), prefixes.last()) else {
            return (node, Vec::new());
        };
        // None of them is shorter than what the first and the last have in common: it would stand before the first.
        let at = first.common(*last).min(first.count() - 1).min(depth + SKIP_MAX);
        node.skip = first.run(depth, at - depth);
        node.children = ((at - depth) as u16) << 10;
        let (mut behind, mut values) = (Vec::new(), Vec::new());
        for group in prefixes.chunk_by(|(one, _), (next, _)| one.digit(at) == next.digit(at)) {
            let Some(((head, value), rest)) = group.split_first() else { continue };
            let bit = 1 << head.digit(at);
            let ends = head.count() == at + 1;
            if ends {
                node.ends |= bit;
                values.push(*value);
            }
            let rest = if ends { rest } else { group };
            if !rest.is_empty() {
                node.children |= bit;
                behind.push((rest, at + 1));
            }
        }
        match values.as_slice() {
            [value, others @ ..] if others.iter().all(|other| other == value) => {
                node.ends |= SAME;
                node.values = *value;
            }
            _ => {
                node.values = self.values.len() as u32;
                self.values.append(&mut values);
            }
        }
        (node, behind)
    }

    /// Calls `found` with the value of each prefix of a number, the shortest first.
    #[inline]
    pub(super) fn of(&self, number: Digits, mut found: impl FnMut(u32)) {
        let (mut index, mut at) = (0, 0);
        while let Some(node) = self.nodes.get(index) {
            let skipped = node.skipped();
            if number.count <= at + skipped || number.run(at, skipped) != node.skip {
                return;
            }
            at += skipped;
            let digit = number.digit(at);
            if node.ends >> digit & 1 != 0 {
                let same = node.ends & SAME != 0;
                let listed = || self.values.get(node.values as usize + rank(node.ends, digit)).copied();
                if let Some(value) = if same { Some(node.values) } else { listed() } {
                    found(value);
                }
            }
            if node.children >> digit & 1 == 0 {
                return;
            }
            index = node.first_child as usize + rank(node.children, digit);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;
    use std::collections::BTreeMap;

    fn found(trie: &Prefixes, number: &str) -> Vec<u32> {
        let mut values = Vec::new();
        trie.of(Digits::of(number.as_bytes()), |value| values.push(value));
        values
    }

    fn trie(prefixes: &BTreeMap<String, u32>) -> Prefixes {
        let mut list: Vec<_> =
            prefixes.iter().map(|(text, value)| (Digits::of(text.as_bytes()), *value)).collect();
        list.sort_unstable();
        Prefixes::new(&list)
    }

    #[test]
    fn digits_end_at_the_first_octet_that_is_none() {
        let of = |text: &str| Digits::of(text.as_bytes());
        assert_eq!(of("38267123456"), Digits { packed: 0x3826_7123_4560_0000, count: 11 });
        assert_eq!(of("1234567890123456789"), Digits { packed: 0x1234_5678_9012_3450, count: 15 });
        assert_eq!(of("12:34567890"), Digits { packed: 0x1200_0000_0000_0000, count: 2 });
        assert_eq!(of("12345678/9"), Digits { packed: 0x1234_5678_0000_0000, count: 8 });
        assert_eq!(of("\u{e9}1234567"), Digits { packed: 0, count: 0 });
        for odd in 0..=u8::MAX {
            for at in 0..12 {
                let mut number = *b"123456789012";
                number[at] = odd;
                let count = if odd.is_ascii_digit() { 12 } else { at };
                assert_eq!(Digits::of(&number).count(), count, "{odd} at {at}");
            }
        }
    }

    #[test]
    fn every_prefix_of_a_number_is_found_from_the_shortest_on() {
        let names = ["3", "382", "38267", "3826712", "123456789012345", "1234567890", "0", "00", "000"];
        let prefixes = names.iter().zip(0..).map(|(name, value)| ((*name).to_owned(), value)).collect();
        let trie = trie(&prefixes);
        assert_eq!(found(&trie, "38267123456"), [0, 1, 2, 3]);
        assert_eq!(found(&trie, "38267"), [0, 1, 2]);
        assert_eq!(found(&trie, "3826a"), [0, 1]);
        assert_eq!(found(&trie, "1234567890123456"), [5, 4]);
        assert_eq!(found(&trie, "123456789"), [] as [u32; 0]);
        assert_eq!(found(&trie, "0000"), [6, 7, 8]);
        assert_eq!(found(&trie, ""), [] as [u32; 0]);
        assert_eq!(found(&Prefixes::new(&[]), "1"), [] as [u32; 0]);
    }

    #[test]
    fn random_prefixes_agree_with_a_plain_search() {
        for seed in 0..60 {
            let mut prng = Prng::new(seed);
            let (spread, values) = (10_u64.pow(1 + seed as u32 % 8), 1 + prng.below(4));
            let mut prefixes = BTreeMap::new();
            for _ in 0..300 {
                let long = if prng.chance(1, 10) { "00000000" } else { "" };
                let mut prefix = format!("{}{long}{}", prng.below(3), prng.below(spread));
                prefix.truncate(DIGITS_MAX);
                prefixes.insert(prefix, prng.below(values) as u32);
            }
            let trie = trie(&prefixes);
            for _ in 0..300 {
                let number = format!("{}{}", prng.below(3), prng.below(spread * 100));
                let number = if prng.chance(1, 4) {
                    prefixes.keys().nth(7).cloned().unwrap() + &number
                } else {
                    number
                };
                let number = &number[..number.len().min(DIGITS_MAX)];
                let plain: Vec<u32> =
                    (1..=number.len()).filter_map(|end| prefixes.get(&number[..end])).copied().collect();
                assert_eq!(found(&trie, number), plain, "{seed} {number}");
            }
        }
    }

    #[test]
    fn a_hundred_thousand_prefixes_are_small() {
        let prefixes: Vec<_> = (38_267_000_000_u64..38_267_100_000)
            .map(|prefix| (Digits::of(prefix.to_string().as_bytes()), 7))
            .collect();
        let trie = Prefixes::new(&prefixes);
        assert_eq!((trie.nodes.len(), trie.values.len()), (11_111, 0));
        assert_eq!(found(&trie, "382670456789"), [7]);
    }
}
