//! command_id: what a PDU is (SMPP 5.0 §4.7.5). Owns, takes: nothing. Gives: names for the numbers. Never: state.

/// A command_id, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u32);

/// Bit 31 makes a response of a request's number.
const RESPONSE: u32 = 0x8000_0000;

macro_rules! commands {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        #[allow(missing_docs, reason = "the names are those of the specification")]
        impl CommandId {
            $(pub const $name: Self = Self($value);)*

            /// The specification's name of the PDU, `None` for numbers that it does not define.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    GENERIC_NACK = 0x8000_0000, "generic_nack";
    BIND_RECEIVER = 0x01, "bind_receiver";
    BIND_RECEIVER_RESP = 0x8000_0001, "bind_receiver_resp";
    BIND_TRANSMITTER = 0x02, "bind_transmitter";
    BIND_TRANSMITTER_RESP = 0x8000_0002, "bind_transmitter_resp";
    QUERY_SM = 0x03, "query_sm";
    QUERY_SM_RESP = 0x8000_0003, "query_sm_resp";
    SUBMIT_SM = 0x04, "submit_sm";
    SUBMIT_SM_RESP = 0x8000_0004, "submit_sm_resp";
    DELIVER_SM = 0x05, "deliver_sm";
    DELIVER_SM_RESP = 0x8000_0005, "deliver_sm_resp";
    UNBIND = 0x06, "unbind";
    UNBIND_RESP = 0x8000_0006, "unbind_resp";
    REPLACE_SM = 0x07, "replace_sm";
    REPLACE_SM_RESP = 0x8000_0007, "replace_sm_resp";
    CANCEL_SM = 0x08, "cancel_sm";
    CANCEL_SM_RESP = 0x8000_0008, "cancel_sm_resp";
    BIND_TRANSCEIVER = 0x09, "bind_transceiver";
    BIND_TRANSCEIVER_RESP = 0x8000_0009, "bind_transceiver_resp";
    OUTBIND = 0x0B, "outbind";
    ENQUIRE_LINK = 0x15, "enquire_link";
    ENQUIRE_LINK_RESP = 0x8000_0015, "enquire_link_resp";
    SUBMIT_MULTI = 0x21, "submit_multi";
    SUBMIT_MULTI_RESP = 0x8000_0021, "submit_multi_resp";
    PARAM_RETRIEVE = 0x22, "param_retrieve";
    PARAM_RETRIEVE_RESP = 0x8000_0022, "param_retrieve_resp";
    QUERY_LAST_MSGS = 0x23, "query_last_msgs";
    QUERY_LAST_MSGS_RESP = 0x8000_0023, "query_last_msgs_resp";
    QUERY_MSG_DETAILS = 0x24, "query_msg_details";
    QUERY_MSG_DETAILS_RESP = 0x8000_0024, "query_msg_details_resp";
    ALERT_NOTIFICATION = 0x102, "alert_notification";
    DATA_SM = 0x103, "data_sm";
    DATA_SM_RESP = 0x8000_0103, "data_sm_resp";
    BROADCAST_SM = 0x111, "broadcast_sm";
    BROADCAST_SM_RESP = 0x8000_0111, "broadcast_sm_resp";
    QUERY_BROADCAST_SM = 0x112, "query_broadcast_sm";
    QUERY_BROADCAST_SM_RESP = 0x8000_0112, "query_broadcast_sm_resp";
    CANCEL_BROADCAST_SM = 0x113, "cancel_broadcast_sm";
    CANCEL_BROADCAST_SM_RESP = 0x8000_0113, "cancel_broadcast_sm_resp";
}

impl CommandId {
    /// True when bit 31 is set. generic_nack is a response too.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.0 & RESPONSE != 0
    }

    /// The response that answers this request.
    #[must_use]
    pub const fn response(self) -> Self {
        Self(self.0 | RESPONSE)
    }

    /// The request that this response answers.
    #[must_use]
    pub const fn request(self) -> Self {
        Self(self.0 & !RESPONSE)
    }

    /// True for requests that have a response (not alert_notification, not outbind).
    #[must_use]
    pub const fn has_response(self) -> bool {
        !self.is_response()
            && self.name().is_some()
            && self.0 != Self::ALERT_NOTIFICATION.0
            && self.0 != Self::OUTBIND.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_its_request_with_bit_31() {
        assert_eq!(CommandId::SUBMIT_SM.response(), CommandId::SUBMIT_SM_RESP);
        assert_eq!(CommandId::SUBMIT_SM_RESP.request(), CommandId::SUBMIT_SM);
        assert!(CommandId::GENERIC_NACK.is_response());
        assert!(!CommandId::ALERT_NOTIFICATION.has_response());
        assert!(!CommandId(0x0A).has_response());
    }
}
