//! Receipts that came before their message is known: from another bind, or ahead of the response. Owns: their octets,
//! unanswered. Takes: a receipt; an accepted message. Gives: the receipts of that message, and those that have
//! waited too long. Never: grows over its bounds, answers.

use crate::ids::{CarrierId, LinkId};
use crate::smpp::id_form::{IdKey, receipt_keys, response_key};
use crate::time::Instant;
use hashbrown::HashTable;
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;
use std::collections::VecDeque;

new_key_type! {
    /// A stale-safe handle of a parked receipt.
    pub struct ParkedKey;
}

/// One receipt that waits.
#[derive(Debug)]
pub struct ParkedReceipt {
    /// Who sent it.
    pub carrier: CarrierId,
    /// On which link; its answer goes there.
    pub link: LinkId,
    /// The whole PDU.
    pub pdu: Vec<u8>,
    /// It waits at most until then.
    pub until: Instant,
    keys: SmallVec<[IdKey; 3]>,
}

/// All parked receipts of a shard.
#[derive(Debug, Default)]
pub struct Parked {
    receipts: SlotMap<ParkedKey, ParkedReceipt>,
    by_key: HashTable<(u64, ParkedKey)>,
    /// In order of `until`, since all wait equally long.
    order: VecDeque<ParkedKey>,
    /// How many are held, by `CarrierId`.
    per_carrier: Vec<usize>,
}

fn hash(carrier: CarrierId, key: IdKey) -> u64 {
    super::id_hash(carrier, key)
}

impl Parked {
    /// Receipts held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.receipts.len()
    }

    /// True when none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// Receipts of a carrier held.
    #[must_use]
    pub fn of(&self, carrier: CarrierId) -> usize {
        self.per_carrier.get(carrier.index()).copied().unwrap_or(0)
    }

    /// Holds a receipt with this id. `until` must not be earlier than that of any receipt held.
    pub fn park(&mut self, carrier: CarrierId, link: LinkId, id: &[u8], pdu: Vec<u8>, until: Instant) {
        let keys: SmallVec<[IdKey; 3]> = receipt_keys(id).map(|candidate| candidate.key).collect();
        let hashes: SmallVec<[u64; 3]> = keys.iter().map(|&key| hash(carrier, key)).collect();
        let at = self.receipts.insert(ParkedReceipt { carrier, link, pdu, until, keys });
        for hash in hashes {
            self.by_key.insert_unique(hash, (hash, at), |&(hash, _)| hash);
        }
        self.order.push_back(at);
        if self.per_carrier.len() <= carrier.index() {
            self.per_carrier.resize(carrier.index() + 1, 0);
        }
        if let Some(count) = self.per_carrier.get_mut(carrier.index()) {
            *count += 1;
        }
    }

    /// The receipts that may be of a message with this response key.
    #[must_use]
    pub fn for_message(&self, carrier: CarrierId, key: IdKey) -> SmallVec<[ParkedKey; 4]> {
        let same = self.by_key.iter_hash(hash(carrier, key)).map(|&(_, at)| at);
        let same = same.filter(|&at| {
            self.receipts
                .get(at)
                .is_some_and(|receipt| receipt.carrier == carrier && receipt.keys.contains(&key))
        });
        same.collect()
    }

    /// True when there are receipts that may be of a message with this id of its carrier.
    #[must_use]
    pub fn has_for(&self, carrier: CarrierId, id: &[u8]) -> bool {
        !self.for_message(carrier, response_key(id)).is_empty()
    }

    /// Takes one out.
    pub fn take(&mut self, at: ParkedKey) -> Option<ParkedReceipt> {
        let receipt = self.receipts.remove(at)?;
        if let Some(count) = self.per_carrier.get_mut(receipt.carrier.index()) {
            *count -= 1;
        }
        for &key in &receipt.keys {
            if let Ok(found) = self.by_key.find_entry(hash(receipt.carrier, key), |&(_, held)| held == at) {
                found.remove();
            }
        }
        Some(receipt)
    }

    /// Takes out one that has waited until `now`.
    pub fn take_expired(&mut self, now: Instant) -> Option<ParkedReceipt> {
        while let Some(&oldest) = self.order.front() {
            match self.receipts.get(oldest) {
                Some(receipt) if receipt.until > now => return None,
                Some(_) => {
                    self.order.pop_front();
                    return self.take(oldest);
                }
                None => {
                    self.order.pop_front();
                }
            }
        }
        None
    }

    /// When the first of them has waited long enough.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let mut held = self.order.iter().filter_map(|&at| self.receipts.get(at));
        held.next().map(|receipt| receipt.until)
    }

    /// Takes out those of a link that is gone: nobody waits for their answer, and the carrier will send them again.
    pub fn take_link(&mut self, link: LinkId) -> Vec<ParkedReceipt> {
        let held = self.receipts.iter().filter(|(_, receipt)| receipt.link == link);
        let of_link: Vec<_> = held.map(|(at, _)| at).collect();
        of_link.into_iter().filter_map(|at| self.take(at)).collect()
    }

    /// The octets of one, to be looked at and put back with `put_back` if it stays.
    pub fn lend(&mut self, at: ParkedKey) -> Option<(LinkId, Vec<u8>)> {
        let receipt = self.receipts.get_mut(at)?;
        Some((receipt.link, core::mem::take(&mut receipt.pdu)))
    }

    /// The octets that `lend` gave.
    pub fn put_back(&mut self, at: ParkedKey, pdu: Vec<u8>) {
        if let Some(receipt) = self.receipts.get_mut(at) {
            receipt.pdu = pdu;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::id_form::response_key;

    const A: CarrierId = CarrierId(0);

    fn link(slot: u32) -> LinkId {
        LinkId { slot, generation: 1 }
    }

    #[test]
    fn a_receipt_is_found_under_every_form_of_its_id() {
        let mut parked = Parked::default();
        parked.park(A, link(1), b"1234567890", vec![1], Instant::from_nanos(10));
        for response in [&b"1234567890"[..], b"499602D2", b"499602d2", b"0001234567890"] {
            assert_eq!(parked.for_message(A, response_key(response)).len(), 1);
        }
        assert!(parked.for_message(A, response_key(b"1234567891")).is_empty());
        assert!(parked.for_message(CarrierId(1), response_key(b"1234567890")).is_empty());
    }

    #[test]
    fn expiry_is_in_order_and_once() {
        let mut parked = Parked::default();
        for n in 1..=3u64 {
            parked.park(A, link(n as u32), n.to_string().as_bytes(), Vec::new(), Instant::from_nanos(n));
        }
        let second = parked.for_message(A, response_key(b"2"));
        assert!(parked.take(second[0]).is_some());
        assert_eq!(parked.take_expired(Instant::from_nanos(3)).map(|r| r.link), Some(link(1)));
        assert_eq!(parked.take_expired(Instant::from_nanos(2)).map(|r| r.link), None);
        assert_eq!(parked.take_expired(Instant::from_nanos(3)).map(|r| r.link), Some(link(3)));
        assert!(parked.is_empty() && parked.deadline().is_none());
    }

    #[test]
    fn each_carrier_has_its_own_count() {
        let mut parked = Parked::default();
        parked.park(A, link(1), b"1", Vec::new(), Instant::from_nanos(1));
        parked.park(CarrierId(1), link(2), b"2", Vec::new(), Instant::from_nanos(2));
        assert_eq!((parked.of(A), parked.of(CarrierId(1)), parked.of(CarrierId(7))), (1, 1, 0));
        parked.take_expired(Instant::from_nanos(1));
        assert_eq!((parked.of(A), parked.of(CarrierId(1))), (0, 1));
    }

    #[test]
    fn a_link_that_goes_takes_its_receipts_along() {
        let mut parked = Parked::default();
        parked.park(A, link(1), b"1", Vec::new(), Instant::from_nanos(1));
        parked.park(A, link(2), b"2", Vec::new(), Instant::from_nanos(1));
        assert_eq!(parked.take_link(link(1)).len(), 1);
        assert_eq!(parked.len(), 1);
        assert!(parked.for_message(A, response_key(b"1")).is_empty());
    }
}
