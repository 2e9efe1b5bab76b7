//! What the operator says of a carrier. Owns: values only. Takes: a checked configuration. Gives: itself.

use crate::smpp::id_form::IdForm;
use crate::throttle::Rate;
use crate::time::Duration;

/// In which bind modes a carrier's sessions are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindMode {
    /// bind_transceiver.
    Trx,
    /// bind_transmitter.
    Tx,
    /// bind_receiver.
    Rx,
    /// Half transmitters, half receivers, in pairs.
    TxRx,
}

/// How several addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressUse {
    /// Each session starts at another one.
    Spread,
    /// All sessions start at the first; the next is tried when one fails.
    InOrder,
}

/// One carrier. Defaults are those of `config/bindery.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The key in the configuration.
    pub name: String,
    /// `host:port`, one or more; names are resolved off the shard.
    pub addresses: Vec<String>,
    /// How they are used.
    pub address_use: AddressUse,
    /// What we bind as, at most 15 octets.
    pub system_id: Vec<u8>,
    /// Its password.
    pub password: Vec<u8>,
    /// At most 12 octets.
    pub system_type: Vec<u8>,
    /// Which binds.
    pub bind: BindMode,
    /// 0x33, 0x34 or 0x50.
    pub interface_version: u8,
    /// Sockets; never more, also while reconnecting. 1–1024; even for tx+rx.
    pub sessions: u32,
    /// Requests in flight per session, 1–16384.
    pub window_max: u32,
    /// Relay submits that wait here, at most until their answer_timeout.
    pub queue_max: u32,
    /// PDUs over all its sessions; `None`: no limit.
    pub rate: Option<Rate>,
    /// PDUs that may leave at once, 1 or more.
    pub burst: u32,
    /// Silence before we send enquire_link.
    pub enquire_link_interval: Duration,
    /// A request of ours is unanswered after this.
    pub response_timeout: Duration,
    /// Unacknowledged data closes the link after this (TCP_USER_TIMEOUT).
    pub tcp_user_timeout: Duration,
    /// First wait before reconnecting.
    pub reconnect_min: Duration,
    /// Longest wait.
    pub reconnect_max: Duration,
    /// How the carrier writes ids; `None`: learnt.
    pub message_id_form: Option<IdForm>,
}
