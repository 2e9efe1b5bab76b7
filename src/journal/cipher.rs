//! What messages say, unreadable without a key. Owns: the keys. Takes: the PDU of a record, and whose record it is. Gives: it
//! sealed, and back. Never: seals twice with one number; opens what was sealed for another message.
//!
//! ```text
//! FF FF FF FF | id of the key u32 | salt, 16 octets | number u64 | AES-256-GCM of the PDU | tag, 16 octets
//! ```
//! No PDU begins so: its length would be over any bound. The key of a run is made of the one in the configuration and the
//! salt, which is random (HKDF-SHA256); the number counts what was sealed with it. Sealed are the PDUs of ACCEPT, DLR_IN
//! and MO_IN and of their copies; numbers, ids and times are not.

use super::record::Record;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::collections::HashMap;

const MARK: [u8; 4] = [0xFF; 4];
const SALT: usize = 16;
const TAG: usize = 16;
const HEAD: usize = MARK.len() + 4 + SALT + 8;
/// Octets that a sealed PDU is longer.
pub const SEALED_BESIDE: usize = HEAD + TAG;
/// Octets of a key.
pub const KEY: usize = 32;
/// Keys of former runs that are at hand at a time.
const RUNS_MAX: usize = 64;

/// Octets to derive.
struct Octets(usize);

impl KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

/// So many octets of a key for one use. HKDF fails only for more than 8,160 octets.
fn derived<const N: usize>(secret: &Prk, uses: &[&[u8]]) -> [u8; N] {
    let mut octets = [0; N];
    let filled = secret.expand(uses, Octets(N)).and_then(|made| made.fill(&mut octets));
    assert!(filled.is_ok(), "{N} octets can be derived");
    octets
}

/// It has the length that the cipher wants.
fn key_of(secret: &Prk, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let octets: [u8; KEY] = derived(secret, &[b"bindery journal run", salt]);
    UnboundKey::new(&AES_256_GCM, &octets).ok().map(LessSafeKey::new)
}

fn nonce(number: u64) -> Nonce {
    let mut octets = [0; NONCE_LEN];
    if let Some(last) = octets.last_chunk_mut() {
        *last = number.to_le_bytes();
    }
    Nonce::assume_unique_for_key(octets)
}

/// True for a PDU that was sealed.
#[must_use]
pub fn is_sealed(pdu: &[u8]) -> bool {
    pdu.starts_with(&MARK)
}

/// Opens what was sealed. Without keys it opens nothing, and what is not sealed is as it is.
#[derive(Debug, Clone, Default)]
pub struct Opener {
    secrets: Vec<(u32, Prk)>,
    /// Keys of the runs whose records were read of late.
    runs: HashMap<(u32, [u8; SALT]), LessSafeKey>,
}

impl Opener {
    /// With these keys.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8; KEY]>) -> Self {
        let extract = |secret: &[u8; KEY]| {
            let secret = Salt::new(HKDF_SHA256, b"bindery").extract(secret);
            (u32::from_le_bytes(derived(&secret, &[b"bindery journal key"])), secret)
        };
        Self { secrets: secrets.into_iter().map(extract).collect(), runs: HashMap::new() }
    }

    /// The PDU of a record of this key, as it was; `None`: it was sealed with a key that is not here, or is damaged.
    pub fn open(&mut self, key: u64, pdu: Vec<u8>) -> Option<Vec<u8>> {
        if !is_sealed(&pdu) {
            return Some(pdu);
        }
        let (id, rest) = pdu.get(MARK.len()..)?.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let number = u64::from_le_bytes(*rest.first_chunk()?);
        let id = u32::from_le_bytes(*id);
        let run = (id, *salt);
        if !self.runs.contains_key(&run) {
            let (_, secret) = self.secrets.iter().find(|(own, _)| *own == id)?;
            if self.runs.len() >= RUNS_MAX {
                self.runs.clear();
            }
            self.runs.insert(run, key_of(secret, salt)?);
        }
        let mut sealed = pdu.get(HEAD..)?.to_vec();
        let opened = self.runs.get(&run)?.open_in_place(nonce(number), aad(key), &mut sealed).ok()?.len();
        sealed.truncate(opened);
        Some(sealed)
    }
}

fn aad(key: u64) -> Aad<[u8; 8]> {
    Aad::from(key.to_le_bytes())
}

/// Seals what one shard writes in one run.
#[derive(Debug)]
pub struct Sealer {
    id: u32,
    salt: [u8; SALT],
    key: LessSafeKey,
    number: u64,
    sealed: Vec<u8>,
}

impl Sealer {
    /// With this key; the salt is random, and of this value alone.
    #[must_use]
    pub fn new(secret: &[u8; KEY], salt: [u8; SALT]) -> Option<Self> {
        let opener = Opener::new([secret]);
        let (id, secret) = opener.secrets.first()?;
        Some(Self { id: *id, salt, key: key_of(secret, &salt)?, number: 0, sealed: Vec::new() })
    }

    /// The record with its PDU sealed, if it has one.
    pub fn seal<'a>(&'a mut self, key: u64, record: &Record<'a>) -> Record<'a> {
        record.pdu().map_or(*record, |pdu| record.with_pdu(self.sealed(key, pdu)))
    }

    fn sealed(&mut self, key: u64, pdu: &[u8]) -> &[u8] {
        self.number += 1;
        self.sealed.clear();
        self.sealed.extend_from_slice(&MARK);
        self.sealed.extend_from_slice(&self.id.to_le_bytes());
        self.sealed.extend_from_slice(&self.salt);
        self.sealed.extend_from_slice(&self.number.to_le_bytes());
        self.sealed.extend_from_slice(pdu);
        let body = self.sealed.get_mut(HEAD..).unwrap_or_default();
        // It fails only for more than 64 GiB.
        if let Ok(tag) = self.key.seal_in_place_separate_tag(nonce(self.number), aad(key), body) {
            self.sealed.extend_from_slice(tag.as_ref());
        }
        &self.sealed
    }
}

/// The keys of a shard.
#[derive(Debug)]
pub struct Cipher {
    /// Seals what it writes.
    pub sealer: Sealer,
    /// Opens what it reads back.
    pub opener: Opener,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Facts;

    const PDU: &[u8] = b"\0\0\0\x18your code is 471133";

    fn sealed(secret: u8, salt: u8, key: u64) -> Vec<u8> {
        let mut sealer = Sealer::new(&[secret; KEY], [salt; SALT]).unwrap();
        let record = Record::DlrIn { carrier: b"alpha", pdu: PDU };
        let Record::DlrIn { carrier: b"alpha", pdu } = sealer.seal(key, &record) else { panic!("another") };
        pdu.to_vec()
    }

    #[test]
    fn what_was_sealed_is_opened_with_its_key_for_its_message_and_no_other() {
        let pdu = sealed(1, 2, 77);
        assert_eq!(pdu.len(), PDU.len() + SEALED_BESIDE);
        assert!(is_sealed(&pdu) && !pdu.windows(5).any(|part| PDU.windows(5).any(|plain| part == plain)));
        let mut opener = Opener::new([&[9; KEY], &[1; KEY]]);
        assert_eq!(opener.open(77, pdu.clone()).as_deref(), Some(PDU));
        assert_eq!(opener.open(78, pdu.clone()), None, "another message");
        assert_eq!(Opener::new([&[9; KEY]]).open(77, pdu.clone()), None, "another key");
        assert_eq!(Opener::default().open(77, PDU.to_vec()).as_deref(), Some(PDU), "it was not sealed");
        for bit in 0..pdu.len() * 8 {
            let mut flipped = pdu.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(opener.open(77, flipped).as_deref(), Some(PDU), "bit {bit}");
        }
        assert!((0..pdu.len()).all(|cut| opener.open(77, pdu[..cut].to_vec()).as_deref() != Some(PDU)));
    }

    #[test]
    fn nothing_is_sealed_twice_alike_and_runs_differ() {
        let mut sealer = Sealer::new(&[1; KEY], [0; SALT]).unwrap();
        let record = Record::MoIn { carrier: b"alpha", esme: b"acme", pdu: PDU };
        let octets = |sealer: &mut Sealer| {
            let mut payload = Vec::new();
            sealer.seal(5, &record).payload(&mut payload);
            payload
        };
        assert_ne!(octets(&mut sealer), octets(&mut sealer));
        assert_ne!(sealed(1, 2, 7)[HEAD..], sealed(1, 3, 7)[HEAD..]);
        let finish = Record::Sent { awaited: 1, kept: false, over: b"", facts: Facts::default() };
        assert_eq!(sealer.seal(5, &finish), finish, "it says nothing of what the message says");
    }
}
