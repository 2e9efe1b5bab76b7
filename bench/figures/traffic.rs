//! The records of the measured traffic.

use bindery::journal::record::NO_REASON;
use bindery::journal::{Facts, Fault, Record};

/// Octets of the PDU in an ACCEPT of 300 octets: 304 with its head and the zeros behind it.
const PDU: [u8; 238] = [0x55; 238];
/// Octets of a receipt, so large that a record has 300 octets on average when three of four messages have got theirs: SENT
/// has 120 and FINISH 144.
const RECEIPT: [u8; 658] = [0x55; 658];
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A message as it was submitted: 300 octets.
pub(crate) fn accept() -> Record<'static> {
    Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: &PDU }
}

/// What a carrier calls a message: 16 digits.
pub(crate) fn carriers_id(message: u64) -> [u8; 16] {
    let mixed = message.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    core::array::from_fn(|place| DIGITS[(mixed >> (4 * place)) as usize & 0xF])
}

/// The number of a message's handset, from a million.
pub(crate) fn destination(message: u64) -> [u8; 11] {
    let mut digits = *b"38267000000";
    let mut rest = message % 1_000_000;
    for place in digits.iter_mut().rev().take(6) {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// The key of a message: our id of it, of 19 digits as the first of 64 shards gives them.
pub(crate) const fn key_of(message: u64) -> u64 {
    1_781_500_559_569_362_944 + (message << 6)
}

/// The octets that the facts of a message are made of.
pub(crate) struct Texts {
    key: [u8; 19],
    id: [u8; 16],
    destination: [u8; 11],
}

impl Texts {
    pub(crate) fn of(message: u64) -> Self {
        let mut rest = key_of(message);
        let mut key = [b'0'; 19];
        for place in key.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self { key, id: carriers_id(message), destination: destination(message) }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            accepted: 1_790_000_000_000_000,
            submitted: 1_790_000_000_000_900,
            attempts: 1,
            parts: 1,
            data_coding: 0,
            esme: b"acme",
            id: &self.key,
            carrier: b"alpha",
            message_id: &self.id,
            source: b"ACME",
            destination: &self.destination,
        }
    }

    /// A carrier has accepted it.
    pub(crate) fn sent(&self) -> Record<'_> {
        Record::Sent { awaited: 1, kept: false, over: b"", facts: self.facts() }
    }

    /// Its receipt has come.
    pub(crate) fn receipt(&self) -> Record<'static> {
        Record::DlrIn { carrier: b"alpha", pdu: &RECEIPT }
    }

    /// It is over.
    pub(crate) fn finish(&self) -> Record<'_> {
        Record::Finish {
            state: 2,
            status: 0,
            reason: NO_REASON,
            fault: Fault::Nobody,
            error: b"000",
            price: 0,
            currency: b"",
            facts: self.facts(),
        }
    }
}
