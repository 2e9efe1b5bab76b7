//! command_status: how a request ended (SMPP 5.0 §4.7.6). Owns, takes: nothing. Gives: names, classes and the
//! number that an older peer understands. Never: changes a number that it does not know.

use core::fmt;

/// A command_status, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommandStatus(pub u32);

/// What a status says about the message and about the bind that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// It worked.
    Ok,
    /// Retry later, or try another bind.
    Transient,
    /// Slow this bind down, then as transient.
    Throttling,
    /// Final for this message; no other bind does better.
    Permanent,
    /// The session or the account is wrong, not the message.
    Session,
    /// Final for an operation on a message: query, cancel, replace.
    Operation,
    /// 0x400–0x4FF: what it means is the carrier's business.
    Vendor,
}

macro_rules! statuses {
    ($($name:ident = $value:literal, $text:literal $(or $old:literal)?, $class:ident;)*) => {
        #[allow(missing_docs, reason = "the names are those of the specification, spelled out")]
        impl CommandStatus {
            $(pub const $name: Self = Self($value);)*

            /// The specification's name, `None` for numbers that it does not define.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }

            /// The class of the number; reserved numbers are permanent.
            #[must_use]
            pub const fn class(self) -> StatusClass {
                match self.0 {
                    $($value => StatusClass::$class,)*
                    0x400..=0x4FF => StatusClass::Vendor,
                    _ => StatusClass::Permanent,
                }
            }
        }

        /// Every spelling, those of 3.4 among them.
        const NAMES: &[(&str, CommandStatus)] = &[
            $(($text, CommandStatus($value)), $(($old, CommandStatus($value)),)?)*
        ];
    };
}

statuses! {
    OK = 0x00, "ESME_ROK", Ok;
    INVALID_MESSAGE_LENGTH = 0x01, "ESME_RINVMSGLEN", Permanent;
    INVALID_COMMAND_LENGTH = 0x02, "ESME_RINVCMDLEN", Permanent;
    INVALID_COMMAND_ID = 0x03, "ESME_RINVCMDID", Permanent;
    INVALID_BIND_STATUS = 0x04, "ESME_RINVBNDSTS", Session;
    ALREADY_BOUND = 0x05, "ESME_RALYBND", Session;
    INVALID_PRIORITY = 0x06, "ESME_RINVPRTFLG", Permanent;
    INVALID_REGISTERED_DELIVERY = 0x07, "ESME_RINVREGDLVFLG", Permanent;
    SYSTEM_ERROR = 0x08, "ESME_RSYSERR", Transient;
    INVALID_SOURCE = 0x0A, "ESME_RINVSRCADR", Permanent;
    INVALID_DESTINATION = 0x0B, "ESME_RINVDSTADR", Permanent;
    INVALID_MESSAGE_ID = 0x0C, "ESME_RINVMSGID", Operation;
    BIND_FAILED = 0x0D, "ESME_RBINDFAIL", Session;
    INVALID_PASSWORD = 0x0E, "ESME_RINVPASWD", Session;
    INVALID_SYSTEM_ID = 0x0F, "ESME_RINVSYSID", Session;
    CANCEL_FAILED = 0x11, "ESME_RCANCELFAIL", Operation;
    REPLACE_FAILED = 0x13, "ESME_RREPLACEFAIL", Operation;
    QUEUE_FULL = 0x14, "ESME_RMSGQFUL", Transient;
    INVALID_SERVICE_TYPE = 0x15, "ESME_RINVSERTYP", Permanent;
    INVALID_NUMBER_OF_DESTS = 0x33, "ESME_RINVNUMDESTS", Permanent;
    INVALID_DL_NAME = 0x34, "ESME_RINVDLNAME", Permanent;
    INVALID_DEST_FLAG = 0x40, "ESME_RINVDESTFLAG", Permanent;
    INVALID_SUBMIT_REPLACE = 0x42, "ESME_RINVSUBREP", Permanent;
    INVALID_ESM_CLASS = 0x43, "ESME_RINVESMCLASS", Permanent;
    CANNOT_SUBMIT_TO_LIST = 0x44, "ESME_RCNTSUBDL", Permanent;
    SUBMIT_FAILED = 0x45, "ESME_RSUBMITFAIL", Permanent;
    INVALID_SOURCE_TON = 0x48, "ESME_RINVSRCTON", Permanent;
    INVALID_SOURCE_NPI = 0x49, "ESME_RINVSRCNPI", Permanent;
    INVALID_DESTINATION_TON = 0x50, "ESME_RINVDSTTON", Permanent;
    INVALID_DESTINATION_NPI = 0x51, "ESME_RINVDSTNPI", Permanent;
    INVALID_SYSTEM_TYPE = 0x53, "ESME_RINVSYSTYP", Session;
    INVALID_REPLACE_FLAG = 0x54, "ESME_RINVREPFLAG", Permanent;
    INVALID_NUMBER_OF_MESSAGES = 0x55, "ESME_RINVNUMMSGS", Permanent;
    THROTTLED = 0x58, "ESME_RTHROTTLED", Throttling;
    INVALID_SCHEDULE = 0x61, "ESME_RINVSCHED", Permanent;
    INVALID_EXPIRY = 0x62, "ESME_RINVEXPIRY", Permanent;
    INVALID_DEFAULT_MESSAGE = 0x63, "ESME_RINVDFTMSGID", Permanent;
    RECEIVER_TEMPORARY = 0x64, "ESME_RX_T_APPN", Transient;
    RECEIVER_PERMANENT = 0x65, "ESME_RX_P_APPN", Permanent;
    RECEIVER_REJECTED = 0x66, "ESME_RX_R_APPN", Permanent;
    QUERY_FAILED = 0x67, "ESME_RQUERYFAIL", Operation;
    INVALID_TLV_STREAM = 0xC0, "ESME_RINVTLVSTREAM" or "ESME_RINVOPTPARSTREAM", Permanent;
    TLV_NOT_ALLOWED = 0xC1, "ESME_RTLVNOTALLWD" or "ESME_ROPTPARNOTALLWD", Permanent;
    INVALID_TLV_LENGTH = 0xC2, "ESME_RINVTLVLEN" or "ESME_RINVPARLEN", Permanent;
    MISSING_TLV = 0xC3, "ESME_RMISSINGTLV" or "ESME_RMISSINGOPTPARAM", Permanent;
    INVALID_TLV_VALUE = 0xC4, "ESME_RINVTLVVAL" or "ESME_RINVOPTPARAMVAL", Permanent;
    DELIVERY_FAILURE = 0xFE, "ESME_RDELIVERYFAILURE", Permanent;
    UNKNOWN_ERROR = 0xFF, "ESME_RUNKNOWNERR", Transient;
    SERVICE_TYPE_UNAUTHORISED = 0x100, "ESME_RSERTYPUNAUTH", Permanent;
    PROHIBITED = 0x101, "ESME_RPROHIBITED", Permanent;
    SERVICE_TYPE_UNAVAILABLE = 0x102, "ESME_RSERTYPUNAVAIL", Transient;
    SERVICE_TYPE_DENIED = 0x103, "ESME_RSERTYPDENIED", Permanent;
    INVALID_DATA_CODING = 0x104, "ESME_RINVDCS", Permanent;
    INVALID_SOURCE_SUBUNIT = 0x105, "ESME_RINVSRCADDRSUBUNIT", Permanent;
    INVALID_DESTINATION_SUBUNIT = 0x106, "ESME_RINVDSTADDRSUBUNIT", Permanent;
    INVALID_BROADCAST_INTERVAL = 0x107, "ESME_RINVBCASTFREQINT", Permanent;
    INVALID_BROADCAST_ALIAS = 0x108, "ESME_RINVBCASTALIAS_NAME", Permanent;
    INVALID_BROADCAST_AREA = 0x109, "ESME_RINVBCASTAREAFMT", Permanent;
    INVALID_BROADCAST_AREAS = 0x10A, "ESME_RINVNUMBCAST_AREAS", Permanent;
    INVALID_BROADCAST_CONTENT = 0x10B, "ESME_RINVBCASTCNTTYPE", Permanent;
    INVALID_BROADCAST_CLASS = 0x10C, "ESME_RINVBCASTMSGCLASS", Permanent;
    BROADCAST_FAILED = 0x10D, "ESME_RBCASTFAIL", Operation;
    BROADCAST_QUERY_FAILED = 0x10E, "ESME_RBCASTQUERYFAIL", Operation;
    BROADCAST_CANCEL_FAILED = 0x10F, "ESME_RBCASTCANCELFAIL", Operation;
    INVALID_BROADCAST_REPEAT = 0x110, "ESME_RINVBCAST_REP", Permanent;
    INVALID_BROADCAST_GROUP = 0x111, "ESME_RINVBCASTSRVGRP", Permanent;
    INVALID_BROADCAST_CHANNEL = 0x112, "ESME_RINVBCASTCHANIND", Permanent;
}

impl CommandStatus {
    /// The status of a name in the 5.0 or the 3.4 spelling, or of a number: `"0x0400"`, `"1024"`.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, status)| *status);
        named.or_else(|| number(text).map(Self))
    }

    /// True for `ESME_ROK` only.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    /// What a peer of this interface_version is told: 0x100–0x112 exist from 5.0 on only.
    #[must_use]
    pub const fn for_version(self, interface_version: u8) -> Self {
        if interface_version >= 0x50 {
            return self;
        }
        match self {
            Self::SERVICE_TYPE_UNAUTHORISED | Self::SERVICE_TYPE_DENIED => Self::INVALID_SERVICE_TYPE,
            Self::SERVICE_TYPE_UNAVAILABLE => Self::SYSTEM_ERROR,
            Self::BROADCAST_QUERY_FAILED => Self::QUERY_FAILED,
            Self::BROADCAST_CANCEL_FAILED => Self::CANCEL_FAILED,
            Self(0x100..=0x112) => Self::SUBMIT_FAILED,
            Self(_) => self,
        }
    }
}

impl fmt::Display for CommandStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

/// A number as people write it: decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_number_and_every_number_its_name() {
        for (name, status) in NAMES {
            assert_eq!(CommandStatus::from_name(name), Some(*status), "{name}");
            assert!(status.name().is_some());
        }
        assert_eq!(NAMES.len(), 67 + 5);
        assert_eq!(CommandStatus::from_name("ESME_RINVOPTPARSTREAM"), Some(CommandStatus(0xC0)));
        assert_eq!(CommandStatus::from_name("0x0400"), Some(CommandStatus(0x400)));
        assert_eq!(CommandStatus::from_name("88"), Some(CommandStatus::THROTTLED));
        for wrong in ["", "0x", "+1", "0x+1", "-1", "ESME_RNOSUCH", "0x100000000", "esme_rok"] {
            assert_eq!(CommandStatus::from_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_without_a_name_is_shown_as_it_is() {
        assert_eq!(CommandStatus::THROTTLED.to_string(), "ESME_RTHROTTLED");
        assert_eq!(CommandStatus(0x45B).to_string(), "0x0000045B");
    }

    #[test]
    fn reserved_numbers_are_permanent_and_the_vendors_are_their_own() {
        assert_eq!(CommandStatus(0x09).class(), StatusClass::Permanent);
        assert_eq!(CommandStatus(0x500).class(), StatusClass::Permanent);
        assert_eq!(CommandStatus(0x3FF).class(), StatusClass::Permanent);
        assert_eq!(CommandStatus(0x400).class(), StatusClass::Vendor);
        assert_eq!(CommandStatus(0x4FF).class(), StatusClass::Vendor);
        assert_eq!(CommandStatus::OK.class(), StatusClass::Ok);
        assert_eq!(CommandStatus::THROTTLED.class(), StatusClass::Throttling);
    }

    #[test]
    fn an_older_peer_never_hears_a_number_of_5_0() {
        for value in 0x100..=0x112 {
            let status = CommandStatus(value);
            assert!(status.for_version(0x34).0 < 0x100, "{status}");
            assert!(status.for_version(0x33).name().is_some());
            assert_eq!(status.for_version(0x50), status);
        }
        assert_eq!(CommandStatus::INVALID_DATA_CODING.for_version(0x34), CommandStatus::SUBMIT_FAILED);
        assert_eq!(CommandStatus(0x45B).for_version(0x33), CommandStatus(0x45B));
    }
}
