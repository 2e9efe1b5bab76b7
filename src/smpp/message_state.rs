//! message_state: what became of a message (SMPP 5.0 §4.7.15). Owns: the table. Takes: octets, words of carriers.
//! Gives: one of ten states. Never: drops a receipt for a word that it does not know.

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MessageState {
    /// Waits for its schedule_delivery_time (5.0).
    Scheduled = 0,
    /// Under way.
    Enroute = 1,
    /// The handset has it.
    Delivered = 2,
    /// Its validity ran out.
    Expired = 3,
    /// Cancelled or replaced.
    Deleted = 4,
    /// Cannot be delivered.
    Undeliverable = 5,
    /// Taken by the message centre.
    Accepted = 6,
    /// The message centre does not know.
    Unknown = 7,
    /// Refused.
    Rejected = 8,
    /// Left out by the message centre (5.0).
    Skipped = 9,
}

impl MessageState {
    /// In the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Scheduled,
        Self::Enroute,
        Self::Delivered,
        Self::Expired,
        Self::Deleted,
        Self::Undeliverable,
        Self::Accepted,
        Self::Unknown,
        Self::Rejected,
        Self::Skipped,
    ];

    /// The state with this number.
    #[must_use]
    pub fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.get(usize::from(octet)).copied()
    }

    /// The number on the wire.
    #[must_use]
    pub const fn octet(self) -> u8 {
        self as u8
    }

    /// The specification's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Enroute => "enroute",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Undeliverable => "undeliverable",
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
        }
    }

    /// The state with this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }

    /// The word of a receipt's `stat:`. SCHEDULED has none in the specification; it travels as ENROUTE.
    #[must_use]
    pub const fn stat(self) -> &'static str {
        match self {
            Self::Scheduled | Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
            Self::Accepted => "ACCEPTD",
            Self::Unknown => "UNKNOWN",
            Self::Rejected => "REJECTD",
            Self::Skipped => "SKIPPED",
        }
    }

    /// The state that a `stat:` means, by the first letters in any case; full names and Kannel's words too.
    #[must_use]
    pub fn from_stat(stat: &[u8]) -> Option<Self> {
        const PREFIXES: [(&[u8], MessageState); 12] = [
            (b"DELIV", MessageState::Delivered),
            (b"UNDEL", MessageState::Undeliverable),
            (b"EXPIR", MessageState::Expired),
            (b"REJEC", MessageState::Rejected),
            (b"ACCEP", MessageState::Accepted),
            (b"ACKED", MessageState::Accepted),
            (b"ENROU", MessageState::Enroute),
            (b"BUFF", MessageState::Enroute),
            (b"DELET", MessageState::Deleted),
            (b"UNKNO", MessageState::Unknown),
            (b"SKIPP", MessageState::Skipped),
            (b"SCHED", MessageState::Scheduled),
        ];
        let starts =
            |prefix: &[u8]| stat.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
        PREFIXES.iter().find(|(prefix, _)| starts(prefix)).map(|&(_, state)| state)
    }

    /// True when nothing more is expected. ACCEPTED is not: the specification calls it final, but carriers send
    /// DELIVRD after it. UNKNOWN is: the message centre has given up.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Enroute | Self::Accepted => false,
            Self::Delivered
            | Self::Expired
            | Self::Deleted
            | Self::Undeliverable
            | Self::Unknown
            | Self::Rejected
            | Self::Skipped => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_words_lead_back_to_the_state() {
        for (octet, state) in (0..).zip(MessageState::ALL) {
            assert_eq!((state.octet(), MessageState::from_octet(octet)), (octet, Some(state)));
            assert_eq!(MessageState::from_name(&state.name().to_uppercase()), Some(state));
            assert_eq!(MessageState::from_stat(state.name().as_bytes()), Some(state));
            if state != MessageState::Scheduled {
                assert_eq!(MessageState::from_stat(state.stat().as_bytes()), Some(state));
            }
        }
        assert_eq!(MessageState::from_octet(10), None);
        assert_eq!(MessageState::from_stat(b"DELI"), None);
    }
}
