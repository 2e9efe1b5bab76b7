//! TLVs: optional fields after the mandatory ones. Owns: nothing. Takes: the tail of a PDU. Gives: tags and values
//! in their order, known or not. Never: refuses a tag that it does not know (SMPP 3.4 §3.3, forward compatibility).

use core::ops::RangeInclusive;

use super::cursor::{Cursor, PduError};
use super::status::{self, CommandStatus};

/// A TLV's tag, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

macro_rules! tags {
    ($($name:ident = $value:literal, $text:literal $(or $other:literal)?, $least:literal $(to $most:literal)?;)*) => {
        #[allow(missing_docs, reason = "the names are those of the specification")]
        impl Tag {
            $(pub const $name: Self = Self($value);)*

            /// The specification's name, `None` for tags that it does not define.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }

            /// The lengths of a value that the specifications allow, octets. For people who look at PDUs: a TLV of
            /// another length passes through all the same.
            #[must_use]
            pub const fn expected_length(self) -> Option<RangeInclusive<usize>> {
                match self.0 {
                    $($value => Some(tags!(@range $least $($most)?)),)*
                    _ => None,
                }
            }
        }

        /// Every spelling: 5.0 renamed a few.
        const NAMES: &[(&str, Tag)] = &[$(($text, Tag($value)), $(($other, Tag($value)),)?)*];
    };
    (@range $exact:literal) => { $exact..=$exact };
    (@range $least:literal $most:literal) => { $least..=$most };
}

tags! {
    DEST_ADDR_SUBUNIT = 0x0005, "dest_addr_subunit", 1;
    DEST_NETWORK_TYPE = 0x0006, "dest_network_type", 1;
    DEST_BEARER_TYPE = 0x0007, "dest_bearer_type", 1;
    DEST_TELEMATICS_ID = 0x0008, "dest_telematics_id", 2;
    SOURCE_ADDR_SUBUNIT = 0x000D, "source_addr_subunit", 1;
    SOURCE_NETWORK_TYPE = 0x000E, "source_network_type", 1;
    SOURCE_BEARER_TYPE = 0x000F, "source_bearer_type", 1;
    SOURCE_TELEMATICS_ID = 0x0010, "source_telematics_id", 1;
    QOS_TIME_TO_LIVE = 0x0017, "qos_time_to_live", 4;
    PAYLOAD_TYPE = 0x0019, "payload_type", 1;
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D, "additional_status_info_text", 1 to 256;
    RECEIPTED_MESSAGE_ID = 0x001E, "receipted_message_id", 1 to 65;
    MS_MSG_WAIT_FACILITIES = 0x0030, "ms_msg_wait_facilities", 1;
    PRIVACY_INDICATOR = 0x0201, "privacy_indicator", 1;
    SOURCE_SUBADDRESS = 0x0202, "source_subaddress", 2 to 23;
    DEST_SUBADDRESS = 0x0203, "dest_subaddress", 2 to 23;
    USER_MESSAGE_REFERENCE = 0x0204, "user_message_reference", 2;
    USER_RESPONSE_CODE = 0x0205, "user_response_code", 1;
    SOURCE_PORT = 0x020A, "source_port", 2;
    DESTINATION_PORT = 0x020B, "destination_port" or "dest_port", 2;
    SAR_MSG_REF_NUM = 0x020C, "sar_msg_ref_num", 2;
    LANGUAGE_INDICATOR = 0x020D, "language_indicator", 1;
    SAR_TOTAL_SEGMENTS = 0x020E, "sar_total_segments", 1;
    SAR_SEGMENT_SEQNUM = 0x020F, "sar_segment_seqnum", 1;
    SC_INTERFACE_VERSION = 0x0210, "sc_interface_version" or "SC_interface_version", 1;
    CALLBACK_NUM_PRES_IND = 0x0302, "callback_num_pres_ind", 1;
    CALLBACK_NUM_ATAG = 0x0303, "callback_num_atag", 0 to 65;
    NUMBER_OF_MESSAGES = 0x0304, "number_of_messages", 1;
    CALLBACK_NUM = 0x0381, "callback_num", 4 to 19;
    DPF_RESULT = 0x0420, "dpf_result", 1;
    SET_DPF = 0x0421, "set_dpf", 1;
    MS_AVAILABILITY_STATUS = 0x0422, "ms_availability_status", 1;
    NETWORK_ERROR_CODE = 0x0423, "network_error_code", 3;
    MESSAGE_PAYLOAD = 0x0424, "message_payload", 0 to 65_535;
    DELIVERY_FAILURE_REASON = 0x0425, "delivery_failure_reason", 1;
    MORE_MESSAGES_TO_SEND = 0x0426, "more_messages_to_send", 1;
    MESSAGE_STATE = 0x0427, "message_state", 1;
    CONGESTION_STATE = 0x0428, "congestion_state", 1;
    USSD_SERVICE_OP = 0x0501, "ussd_service_op", 1;
    BROADCAST_CHANNEL_INDICATOR = 0x0600, "broadcast_channel_indicator", 1;
    BROADCAST_CONTENT_TYPE = 0x0601, "broadcast_content_type", 3;
    BROADCAST_CONTENT_TYPE_INFO = 0x0602, "broadcast_content_type_info", 1 to 255;
    BROADCAST_MESSAGE_CLASS = 0x0603, "broadcast_message_class", 1;
    BROADCAST_REP_NUM = 0x0604, "broadcast_rep_num", 2;
    BROADCAST_FREQUENCY_INTERVAL = 0x0605, "broadcast_frequency_interval", 3;
    BROADCAST_AREA_IDENTIFIER = 0x0606, "broadcast_area_identifier" or "failed_broadcast_area_identifier", 1 to 101;
    BROADCAST_ERROR_STATUS = 0x0607, "broadcast_error_status", 4;
    BROADCAST_AREA_SUCCESS = 0x0608, "broadcast_area_success", 1;
    BROADCAST_END_TIME = 0x0609, "broadcast_end_time", 16 to 17;
    BROADCAST_SERVICE_GROUP = 0x060A, "broadcast_service_group", 1 to 255;
    BILLING_IDENTIFICATION = 0x060B, "billing_identification", 1 to 1024;
    SOURCE_NETWORK_ID = 0x060D, "source_network_id", 7 to 65;
    DEST_NETWORK_ID = 0x060E, "dest_network_id", 7 to 65;
    SOURCE_NODE_ID = 0x060F, "source_node_id", 6;
    DEST_NODE_ID = 0x0610, "dest_node_id", 6;
    DEST_ADDR_NP_RESOLUTION = 0x0611, "dest_addr_np_resolution", 1;
    DEST_ADDR_NP_INFORMATION = 0x0612, "dest_addr_np_information", 10;
    DEST_ADDR_NP_COUNTRY = 0x0613, "dest_addr_np_country", 1 to 5;
    DISPLAY_TIME = 0x1201, "display_time", 1;
    SMS_SIGNAL = 0x1203, "sms_signal", 2;
    MS_VALIDITY = 0x1204, "ms_validity", 1 to 4;
    ALERT_ON_MESSAGE_DELIVERY = 0x130C, "alert_on_message_delivery", 0 to 1;
    ITS_REPLY_TYPE = 0x1380, "its_reply_type", 1;
    ITS_SESSION_INFO = 0x1383, "its_session_info", 2;
}

impl Tag {
    /// The tag of a name in either spelling, or of a number: `"0x1400"`, `"5120"`.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, tag)| *tag);
        named.or_else(|| status::number(text).and_then(|value| u16::try_from(value).ok()).map(Self))
    }

    /// True for 0x1400–0x3FFF: what it means is the vendor's business.
    #[must_use]
    pub const fn is_vendor(self) -> bool {
        matches!(self.0, 0x1400..=0x3FFF)
    }
}

/// One TLV as it stands in the PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is.
    pub tag: Tag,
    /// Its value, 0–65,535 octets.
    pub value: &'a [u8],
}

/// The TLVs of a PDU, already checked to fill the octets exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks that everything the cursor has left is whole TLVs; `ESME_RINVTLVSTREAM` otherwise.
    #[inline]
    pub fn parse(cursor: &mut Cursor<'a>) -> Result<Self, PduError> {
        let bytes = cursor.rest();
        while !cursor.is_empty() {
            let start = cursor.offset();
            let whole = cursor.u16().is_some()
                && cursor.u16().is_some_and(|length| cursor.take(usize::from(length)).is_some());
            if !whole {
                let reason = "octets left that make no TLV";
                return Err(PduError { status: CommandStatus::INVALID_TLV_STREAM, offset: start, reason });
            }
        }
        Ok(Self { bytes })
    }

    /// The whole TLVs at the front of `bytes`; what follows them is left out. For responses, whose bodies are not
    /// read strictly: a refused response loses an accepted message.
    #[must_use]
    pub fn lenient(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.get(..whole_len(bytes)).unwrap_or_default() }
    }

    /// The octets as they came.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// In wire order.
    #[must_use]
    pub const fn iter(&self) -> TlvIter<'a> {
        TlvIter { cursor: Cursor::new(self.bytes, 0) }
    }

    /// The first value with this tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.tag == tag).map(|tlv| tlv.value)
    }

    /// The first value with this tag when it is exactly one octet.
    #[must_use]
    pub fn octet(&self, tag: Tag) -> Option<u8> {
        match self.get(tag)? {
            [octet] => Some(*octet),
            _ => None,
        }
    }
}

/// How many octets at the front of `bytes` are whole TLVs.
fn whole_len(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes, 0);
    let mut end = 0;
    while cursor.u16().is_some()
        && cursor.u16().is_some_and(|length| cursor.take(usize::from(length)).is_some())
    {
        end = cursor.offset();
    }
    end
}

/// True when `bytes` are whole TLVs and nothing else, or nothing.
#[inline]
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    bytes.is_empty() || whole_len(bytes) == bytes.len()
}

impl<'a> IntoIterator for &Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = TlvIter<'a>;
    fn into_iter(self) -> TlvIter<'a> {
        self.iter()
    }
}

/// Walks TLVs in wire order.
#[derive(Debug, Clone)]
pub struct TlvIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = Tlv<'a>;

    #[inline]
    fn next(&mut self) -> Option<Tlv<'a>> {
        let tag = Tag(self.cursor.u16()?);
        let length = self.cursor.u16()?;
        Some(Tlv { tag, value: self.cursor.take(usize::from(length))? })
    }
}

/// Appends one TLV. `value` must be at most 65,535 octets; longer ones are cut there.
pub fn write_tlv(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    let length = value.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&tag.0.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(value.get(..length).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_tag() {
        for (name, tag) in NAMES {
            assert_eq!(Tag::from_name(name), Some(*tag));
            assert!(tag.name().is_some() && tag.expected_length().is_some() && !tag.is_vendor());
        }
        assert_eq!(Tag::from_name("0x1400"), Some(Tag(0x1400)));
        assert_eq!(Tag::from_name("0x10000"), None);
        assert_eq!((Tag(0x060C).name(), Tag(0x1400).expected_length()), (None, None));
        assert_eq!(Tag::BROADCAST_REP_NUM.expected_length(), Some(2..=2));
        assert_eq!(Tag::SOURCE_TELEMATICS_ID.expected_length(), Some(1..=1));
    }

    #[test]
    fn a_broken_tlv_is_named_by_where_it_begins() {
        let bytes = [0x02, 0x04, 0, 2, 0, 1, 0x02, 0x0A, 0, 2, 0x23];
        let error = Tlvs::parse(&mut Cursor::new(&bytes, 54)).unwrap_err();
        assert_eq!((error.status, error.offset), (CommandStatus::INVALID_TLV_STREAM, 60));
        let lenient = Tlvs::lenient(&bytes);
        assert_eq!(lenient.get(Tag::USER_MESSAGE_REFERENCE), Some(&[0, 1][..]));
        assert_eq!(lenient.iter().count(), 1);
    }

    #[test]
    fn an_octet_of_another_length_is_not_read() {
        let mut out = Vec::new();
        write_tlv(&mut out, Tag::SAR_TOTAL_SEGMENTS, &[0, 2]);
        write_tlv(&mut out, Tag::MESSAGE_STATE, &[2]);
        let tlvs = Tlvs::parse(&mut Cursor::new(&out, 0)).unwrap();
        assert_eq!(tlvs.octet(Tag::SAR_TOTAL_SEGMENTS), None);
        assert_eq!(tlvs.octet(Tag::MESSAGE_STATE), Some(2));
        assert_eq!(tlvs.octet(Tag::SET_DPF), None);
    }
}
