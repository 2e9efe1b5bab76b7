//! What the operator says of a carrier. Owns: values only. Takes: a checked configuration. Gives: itself.

use crate::smpp::id_form::IdForm;
use crate::smpp::status::{CommandStatus, StatusClass};
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

/// What a carrier's refusal means for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStatus {
    /// It stays at the head of this carrier's queue; the pace is cut and grows again.
    SlowDown,
    /// Another member of the pool.
    Next,
    /// Again, any member of the pool.
    Retry,
    /// Back to the ESME as it is.
    Fail,
}

impl OnStatus {
    /// What a class of statuses means unless the operator says otherwise (`smpp.md` §4: transient and session-fatal
    /// statuses go elsewhere, throttling slows down, the rest is final).
    #[must_use]
    pub const fn of_class(class: StatusClass) -> Self {
        match class {
            StatusClass::Transient | StatusClass::Session => Self::Next,
            StatusClass::Throttling => Self::SlowDown,
            StatusClass::Ok | StatusClass::Permanent | StatusClass::Operation | StatusClass::Vendor => {
                Self::Fail
            }
        }
    }
}

/// How the pace answers throttling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceSettings {
    /// Never slower than this, PDUs.
    pub min: Rate,
    /// Share of the rate that is cut when nothing better is known, percent, 1–90.
    pub cut_percent: u32,
    /// Time in which it grows back to the configured rate.
    pub grow_over: Duration,
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
    /// How the pace answers throttling.
    pub pace: PaceSettings,
    /// Statuses whose meaning the operator set; the others go by their class.
    pub on_status: Vec<(CommandStatus, OnStatus)>,
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
    /// Our end of its links; `None`: the system's choice.
    pub source_address: Option<core::net::IpAddr>,
    /// The network interface that its links must leave by (SO_BINDTODEVICE).
    pub interface: Option<String>,
    /// The mark that its packets carry (SO_MARK), for policy routing.
    pub firewall_mark: Option<u32>,
    /// How the carrier writes ids; `None`: learnt.
    pub message_id_form: Option<IdForm>,
}

impl Settings {
    /// What a refusal with this status means for the message.
    #[must_use]
    pub fn on_status(&self, status: CommandStatus) -> OnStatus {
        let set = self.on_status.iter().find(|(of, _)| *of == status).map(|(_, action)| *action);
        set.unwrap_or_else(|| OnStatus::of_class(status.class()))
    }
}
