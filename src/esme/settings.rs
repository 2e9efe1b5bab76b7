//! What the operator says of an account. Owns: values only. Takes: a checked configuration. Gives: itself.

use crate::smpp::status::CommandStatus;
use crate::time::Duration;
use core::net::IpAddr;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

/// An address block such as `10.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    /// Its first address.
    pub address: IpAddr,
    /// Leading bits that must agree, 0–32 or 0–128.
    pub prefix_len: u8,
}

impl AddressBlock {
    /// True when `peer` lies inside. An IPv4 peer that comes as an IPv6-mapped address is an IPv4 peer.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address.to_canonical(), peer.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(peer)) => {
                let shift = 32 - u32::from(self.prefix_len.min(32));
                (u64::from(block.to_bits()) >> shift) == (u64::from(peer.to_bits()) >> shift)
            }
            (IpAddr::V6(block), IpAddr::V6(peer)) => {
                let shift = 128 - u32::from(self.prefix_len.min(128));
                shift == 128 || (block.to_bits() >> shift) == (peer.to_bits() >> shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What happens to a submit over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowOver {
    /// Stop reading that link until a slot frees.
    Wait,
    /// Answer ESME_RTHROTTLED.
    Refuse,
}

/// Whose message_id the account is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageIdSource {
    /// The carrier's when the account's routes reach one carrier only, else ours.
    Auto,
    /// The carrier's.
    Carrier,
    /// Ours.
    Own,
}

/// Which of the account's sessions gets a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptsTo {
    /// Any that can receive.
    Any,
    /// The one that submitted if it can receive, else any.
    Submitting,
}

/// Who answers a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The carrier: its answer is the answer.
    Relay,
    /// We: it is written to the journal, answered, then sent.
    Store,
}

/// What a promise to the account survives: how far its record is when the response leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the response waits for no record.
    Off,
    /// kill -9, a panic: it is written.
    Process,
    /// Also a power cut: it is synced, with others.
    Group,
    /// The same; no sync waits for company.
    Strict,
}

/// `waiting`: receipts and MO for an account that is not bound; they are in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// So many at once, 1–10,000,000; over it the carrier keeps them (ESME_RX_T_APPN).
    pub count_max: u32,
    /// So long, then it is over with them.
    pub keep: Duration,
}

/// One account. Defaults are those of `config/bindery.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The key in the configuration.
    pub name: String,
    /// What the ESME binds as; the name unless set.
    pub system_id: Vec<u8>,
    /// Accepted passwords: one, or two during rotation.
    pub passwords: Vec<Vec<u8>>,
    /// Addresses that may bind; empty: all.
    pub allow_from: Vec<AddressBlock>,
    /// Sessions at once, 1–1024.
    pub sessions_max: u32,
    /// Requests in flight per session and direction, 1–16384.
    pub window_max: u32,
    /// What happens over it.
    pub window_over: WindowOver,
    /// A submit is answered by then.
    pub answer_timeout: Duration,
    /// Attempts of one submit, the first counted, 1–10.
    pub attempts_max: u32,
    /// Whose id is given.
    pub message_id: MessageIdSource,
    /// The answer when a submit was written to a carrier and never answered.
    pub unknown_status: CommandStatus,
    /// The pool when no route matches, by its index.
    pub pool: Option<crate::ids::PoolId>,
    /// What it is held to.
    pub policy: Option<crate::ids::PolicyId>,
    /// How soon its messages go where others wait.
    pub class: Option<crate::ids::ClassId>,
    /// Silence before we send enquire_link.
    pub enquire_link_interval: Duration,
    /// Silence of any kind of PDU but enquire_link before we unbind.
    pub inactivity_timeout: Duration,
    /// A request of ours is unanswered after this.
    pub response_timeout: Duration,
    /// A session that has answered none of so many deliveries in a row is closed.
    pub unanswered_max: u32,
    /// Where receipts go.
    pub receipts: ReceiptsTo,
    /// system_id in the bind response.
    pub system_id_reply: Vec<u8>,
    /// Who answers.
    pub mode: Mode,
    /// What a promise survives; `None`: as `[journal]` says.
    pub durability: Option<Durability>,
    /// What is kept while it is not bound.
    pub waiting: Waiting,
}

/// Settings of which there is one value, however many shards read it. Whoever changes a setting, before the start, has a
/// value of his own from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(Arc<Settings>);

impl From<Settings> for Shared {
    fn from(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }
}

impl Deref for Shared {
    type Target = Settings;

    #[inline]
    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esme::tests::settings;

    #[test]
    fn settings_are_one_value_until_somebody_changes_his() {
        let first = Shared::from(settings("acme"));
        let mut second = first.clone();
        assert!(core::ptr::eq(&*first, &*second));
        second.window_max += 1;
        assert_eq!((first.window_max + 1, &first.name), (second.window_max, &second.name));
    }

    fn block(text: &str, prefix_len: u8) -> AddressBlock {
        AddressBlock { address: text.parse().unwrap(), prefix_len }
    }

    #[test]
    fn a_block_holds_its_addresses_and_no_others() {
        let block_v4 = block("10.1.0.0", 16);
        assert!(block_v4.contains("10.1.255.9".parse().unwrap()));
        assert!(block_v4.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!block_v4.contains("10.2.0.1".parse().unwrap()));
        assert!(!block_v4.contains("::1".parse().unwrap()));
        assert!(block("0.0.0.0", 0).contains("200.1.1.1".parse().unwrap()));
        assert!(block("::", 0).contains("fe80::1".parse().unwrap()));
        assert!(!block("fe80::", 64).contains("fe81::1".parse().unwrap()));
    }
}
