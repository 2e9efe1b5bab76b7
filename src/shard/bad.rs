//! The last bad thing of each kind that a peer did, kept for the operator.
//!
//! Owns: at most one of each kind per account and carrier, and one of those whom nobody knows; nothing while nobody does
//! anything bad. Takes: a malformed PDU, a bind that was refused, a receipt that fits no message. Gives: them to the
//! status. Never: shows a text, a number or a password: printable octets of a PDU are masked.

use super::Shard;
use super::links::Side;
use super::mt::Body;
use super::operations::Operation;
use crate::counters::Reason;
use crate::ids::{CarrierId, EsmeId, LinkId};
use crate::limits::{BAD_PDU_SHOWN, HEADER_LEN};
use crate::smpp::command::CommandId;
use crate::smpp::cursor::PduError;
use crate::smpp::frame::Pdu;
use crate::time::Instant;
use core::fmt::Write;
use core::net::SocketAddr;
use smallvec::SmallVec;
use std::collections::HashMap;

/// What kind of bad thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BadKind {
    /// A PDU that is not what it claims to be.
    MalformedPdu,
    /// A bind that was refused.
    RefusedBind,
    /// A receipt that fits no message.
    UnmatchedReceipt,
}

impl BadKind {
    /// As status prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedPdu => "malformed_pdu",
            Self::RefusedBind => "refused_bind",
            Self::UnmatchedReceipt => "unmatched_receipt",
        }
    }
}

/// A bad thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// What kind.
    pub kind: BadKind,
    /// When.
    pub at: Instant,
    /// What is wrong, for people.
    pub reason: &'static str,
    /// Of a PDU: the octet where it goes wrong.
    pub offset: Option<usize>,
    /// Of a PDU: its header, and what stands around that octet, in hex; `..` is a printable octet.
    pub octets: Option<String>,
    /// Who, where that is known.
    pub peer: Option<SocketAddr>,
}

type Kinds = SmallVec<[Box<Bad>; 1]>;

/// All that are kept.
#[derive(Debug, Default)]
pub(super) struct Bads {
    esmes: HashMap<EsmeId, Kinds>,
    carriers: HashMap<CarrierId, Kinds>,
    strangers: Kinds,
}

impl Bads {
    fn keep(kinds: &mut Kinds, bad: Bad) {
        match kinds.iter_mut().find(|held| held.kind == bad.kind) {
            Some(held) => **held = bad,
            None => kinds.push(Box::new(bad)),
        }
    }

    pub(super) fn of_esme(&self, esme: EsmeId) -> impl Iterator<Item = &Bad> {
        self.esmes.get(&esme).into_iter().flatten().map(|bad| &**bad)
    }

    pub(super) fn of_carrier(&self, carrier: CarrierId) -> impl Iterator<Item = &Bad> {
        self.carriers.get(&carrier).into_iter().flatten().map(|bad| &**bad)
    }

    pub(super) fn of_strangers(&self) -> impl Iterator<Item = &Bad> {
        self.strangers.iter().map(|bad| &**bad)
    }
}

/// The octets of a PDU around one that is wrong.
fn shown(octets: &[u8], offset: usize) -> String {
    let (header, body) = octets.split_at(HEADER_LEN.min(octets.len()));
    let most = BAD_PDU_SHOWN - HEADER_LEN;
    let from = offset.saturating_sub(HEADER_LEN + most / 2).min(body.len().saturating_sub(most));
    let part = body.get(from..body.len().min(from + most)).unwrap_or_default();
    let mut text = String::new();
    // Writing to a String cannot fail.
    for octet in header {
        let _ = write!(text, "{octet:02x}");
    }
    text.push_str(if from > 0 { " … " } else { " " });
    for octet in part {
        let _ = match octet {
            0x20..0x7F => write!(text, ".."),
            octet => write!(text, "{octet:02x}"),
        };
    }
    text
}

impl Shard {
    /// A PDU of this link is malformed.
    #[cold]
    pub(super) fn note_malformed(&mut self, now: Instant, link: LinkId, octets: &[u8], error: PduError) {
        let Some(slot) = self.link(link) else { return };
        let (side, peer) = (slot.side, slot.peer.map(|(_, peer)| peer));
        let bad = Bad {
            kind: BadKind::MalformedPdu,
            at: now,
            reason: error.reason,
            offset: Some(error.offset),
            octets: Some(shown(octets, error.offset)),
            peer,
        };
        self.keep_bad(side, bad);
    }

    /// The same of a request that an ESME was refused as malformed.
    #[cold]
    pub(super) fn note_refused(&mut self, now: Instant, link: LinkId, pdu: &Pdu<'_>) {
        let error = match pdu.command_id() {
            CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::BROADCAST_SM | CommandId::SUBMIT_MULTI => {
                Body::parse(pdu).err()
            }
            _ => Operation::parse(pdu).err(),
        };
        if let Some(error) = error {
            self.note_malformed(now, link, pdu.bytes(), error);
        }
    }

    /// A bind for this account, if it is one, was refused.
    pub(super) fn note_bind(&mut self, now: Instant, link: LinkId, esme: Option<EsmeId>, reason: Reason) {
        let peer = self.link(link).and_then(|slot| slot.peer).map(|(_, peer)| peer);
        let (kind, reason) = (BadKind::RefusedBind, reason.name());
        let bad = Bad { kind, at: now, reason, offset: None, octets: None, peer };
        match esme {
            Some(esme) => Bads::keep(self.bads.esmes.entry(esme).or_default(), bad),
            None => Bads::keep(&mut self.bads.strangers, bad),
        }
    }

    /// A receipt of this carrier fits no message.
    pub(super) fn note_unmatched(&mut self, now: Instant, carrier: CarrierId, reason: &'static str) {
        let kind = BadKind::UnmatchedReceipt;
        let bad = Bad { kind, at: now, reason, offset: None, octets: None, peer: None };
        Bads::keep(self.bads.carriers.entry(carrier).or_default(), bad);
    }

    fn keep_bad(&mut self, side: Side, bad: Bad) {
        match side {
            Side::Esme(esme) => Bads::keep(self.bads.esmes.entry(esme).or_default(), bad),
            Side::Carrier(carrier, ..) => Bads::keep(self.bads.carriers.entry(carrier).or_default(), bad),
            Side::Unbound(_) => Bads::keep(&mut self.bads.strangers, bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_masked_and_the_rest_is_cut_around_the_fault() {
        let mut octets: Vec<u8> = (0..16).collect();
        octets.extend(b"\0\x01\x01secret\0\xff");
        let header = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(shown(&octets, 20), format!("{header} 000101............00ff"));
        octets.extend([0xEE; 1000]);
        octets.extend([0xAA; 16]);
        let cut = shown(&octets, octets.len());
        assert_eq!(cut, format!("{header} … {}{}", "ee".repeat(16), "aa".repeat(16)));
        assert_eq!(shown(&octets[..8], 0).trim_end(), &header[..16]);
    }
}
