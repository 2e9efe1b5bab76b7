//! TPDUs: SMS as a modem hands them over (3GPP 23.040 §9.2). Owns: nothing. Takes: the octets of an AT line. Gives:
//! views of SMS-SUBMIT, SMS-DELIVER and SMS-STATUS-REPORT. Never: allocates, reads past the end, believes a length
//! that the octets do not have.

use super::cursor::Cursor;
use super::gsm7;
use super::segment::TextEncoding;

/// TON of an alphanumeric address.
const TON_ALPHANUMERIC: u8 = 5;

/// An address in semi-octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a> {
    /// Type of number, as in SMPP.
    pub ton: u8,
    /// Numbering plan, as in SMPP.
    pub npi: u8,
    semi_octets: usize,
    octets: &'a [u8],
}

impl<'a> Number<'a> {
    fn read(cursor: &mut Cursor<'a>, semi_octets: usize, octets: usize) -> Option<Self> {
        let &[kind] = cursor.take(1)? else { return None };
        let octets = cursor.take(octets)?;
        Some(Self { ton: (kind >> 4) & 0x07, npi: kind & 0x0F, semi_octets, octets })
    }

    /// An address whose length counts digits.
    fn in_tpdu(cursor: &mut Cursor<'a>) -> Option<Self> {
        let semi_octets = usize::from(octet(cursor)?);
        Self::read(cursor, semi_octets, semi_octets.div_ceil(2))
    }

    /// The digits as ASCII, also `*`, `#`, `a`, `b`, `c`; nothing for an alphanumeric address.
    pub fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        let count = if self.ton == TON_ALPHANUMERIC { 0 } else { self.semi_octets };
        let digits = self.octets.iter().flat_map(|octet| [octet & 0x0F, octet >> 4]).take(count);
        digits.filter_map(|digit| b"0123456789*#abc".get(usize::from(digit)).copied())
    }

    /// The letters of an alphanumeric address as septets, one per octet; nothing for a number.
    pub fn septets(&self) -> impl Iterator<Item = u8> + use<'a> {
        let count = if self.ton == TON_ALPHANUMERIC { self.semi_octets * 4 / 7 } else { 0 };
        gsm7::unpack(self.octets, 0, count)
    }
}

/// A time with its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Two digits.
    pub year: u8,
    /// 1–12.
    pub month: u8,
    /// 1–31.
    pub day: u8,
    /// 0–23.
    pub hour: u8,
    /// 0–59.
    pub minute: u8,
    /// 0–59.
    pub second: u8,
    /// Quarter hours that the local time is ahead of UTC.
    pub quarters: i8,
}

impl Stamp {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let &[year, month, day, hour, minute, second, zone] = cursor.take(7)? else { return None };
        let swapped = |octet: u8| (octet & 0x0F) * 10 + (octet >> 4);
        let quarters = swapped(zone & !0x08) as i8;
        Some(Self {
            year: swapped(year),
            month: swapped(month),
            day: swapped(day),
            hour: swapped(hour),
            minute: swapped(minute),
            second: swapped(second),
            quarters: if zone & 0x08 == 0 { quarters } else { -quarters },
        })
    }
}

/// TP-VP: how long the message centre tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// As long as it likes.
    None,
    /// One octet; see `minutes`.
    Relative(u8),
    /// Seven octets that only 23.040 §9.2.3.12.3 explains; passed on.
    Enhanced([u8; 7]),
    /// Until then.
    Absolute(Stamp),
}

impl Validity {
    fn read(format: u8, cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(match format {
            0 => Self::None,
            1 => Self::Enhanced(cursor.take(7)?.try_into().ok()?),
            2 => Self::Relative(octet(cursor)?),
            _ => Self::Absolute(Stamp::read(cursor)?),
        })
    }

    /// Minutes of a relative validity (23.040 §9.2.3.12.1).
    #[must_use]
    pub const fn minutes(self) -> Option<u32> {
        let Self::Relative(value) = self else { return None };
        let value = value as u32;
        Some(match value {
            0..=143 => (value + 1) * 5,
            144..=167 => 12 * 60 + (value - 143) * 30,
            168..=196 => (value - 166) * 24 * 60,
            _ => (value - 192) * 7 * 24 * 60,
        })
    }
}

/// TP-DCS to TP-UD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserData<'a> {
    /// TP-UDL: septets for GSM 03.38, the header with them; else octets.
    pub length: u8,
    /// What the text is in; `Binary` is 8-bit data.
    pub encoding: TextEncoding,
    /// The header, its length octet first; empty when there is none.
    pub udh: &'a [u8],
    /// What follows the header: packed septets or octets.
    pub octets: &'a [u8],
}

impl<'a> UserData<'a> {
    fn read(has_udh: bool, dcs: u8, cursor: &mut Cursor<'a>) -> Option<Self> {
        let encoding = encoding_of(dcs);
        let length = octet(cursor)?;
        let octets = match encoding {
            TextEncoding::Gsm7 => (usize::from(length) * 7).div_ceil(8),
            TextEncoding::Ucs2 | TextEncoding::Latin1 | TextEncoding::Binary => usize::from(length),
        };
        let octets = cursor.take(octets)?;
        let header = if has_udh { usize::from(*octets.first()?) + 1 } else { 0 };
        let (udh, octets) = octets.split_at_checked(header)?;
        Some(Self { length, encoding, udh, octets })
    }

    /// Bits between the header and the first septet.
    #[must_use]
    pub const fn fill_bits(&self) -> u8 {
        gsm7::fill_bits(self.udh.len())
    }

    /// The septets of a GSM 03.38 text, one per octet, after the header; nothing for other texts.
    pub fn septets(&self) -> impl Iterator<Item = u8> + use<'a> {
        let header = (self.udh.len() * 8).div_ceil(7);
        let count = match self.encoding {
            TextEncoding::Gsm7 => usize::from(self.length).saturating_sub(header),
            TextEncoding::Ucs2 | TextEncoding::Latin1 | TextEncoding::Binary => 0,
        };
        gsm7::unpack(self.octets, self.fill_bits(), count)
    }
}

/// The alphabet of a TP-DCS (23.038 §4).
const fn encoding_of(dcs: u8) -> TextEncoding {
    let (group, alphabet) = (dcs >> 4, (dcs >> 2) & 0x03);
    match (group, alphabet) {
        (0x0..=0x7, 1) | (0xF, 1 | 3) => TextEncoding::Binary,
        (0x0..=0x7, 2) | (0xE, _) => TextEncoding::Ucs2,
        _ => TextEncoding::Gsm7,
    }
}

/// SMS-SUBMIT, from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submit<'a> {
    /// The first octet: RD, VPF, SRR, UDHI, RP.
    pub first: u8,
    /// TP-MR.
    pub reference: u8,
    /// TP-DA.
    pub destination: Number<'a>,
    /// TP-PID.
    pub protocol_id: u8,
    /// TP-DCS.
    pub dcs: u8,
    /// TP-VP.
    pub validity: Validity,
    /// The text.
    pub user_data: UserData<'a>,
}

/// SMS-DELIVER, to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// The first octet: MMS, LP, SRI, UDHI, RP.
    pub first: u8,
    /// TP-OA.
    pub source: Number<'a>,
    /// TP-PID.
    pub protocol_id: u8,
    /// TP-DCS.
    pub dcs: u8,
    /// TP-SCTS.
    pub timestamp: Stamp,
    /// The text.
    pub user_data: UserData<'a>,
}

/// SMS-STATUS-REPORT, the receipt of a modem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusReport<'a> {
    /// The first octet: MMS, SRQ, UDHI.
    pub first: u8,
    /// TP-MR of the SMS-SUBMIT.
    pub reference: u8,
    /// TP-RA: where that went.
    pub recipient: Number<'a>,
    /// TP-SCTS of that.
    pub timestamp: Stamp,
    /// When it was delivered or given up.
    pub discharge: Stamp,
    /// TP-ST.
    pub status: u8,
}

/// What an AT line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tpdu<'a> {
    /// SMS-SUBMIT.
    Submit(Submit<'a>),
    /// SMS-DELIVER.
    Deliver(Deliver<'a>),
    /// SMS-STATUS-REPORT.
    StatusReport(StatusReport<'a>),
}

/// A TPDU behind the address of its message centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `None` when the modem's own (AT+CSCA) is meant.
    pub centre: Option<Number<'a>>,
    /// Octets of the TPDU, which is what AT+CMGS wants to know.
    pub tpdu_length: usize,
    /// The TPDU.
    pub tpdu: Tpdu<'a>,
}

impl<'a> Line<'a> {
    /// Reads the octets of an AT line; `None` when they end too early or are of no such kind.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, 0);
        let centre = match usize::from(octet(&mut cursor)?) {
            0 => None,
            length => Some(Number::read(&mut cursor, (length - 1) * 2, length - 1)?),
        };
        let tpdu_length = cursor.rest().len();
        Some(Self { centre, tpdu_length, tpdu: Tpdu::parse(&mut cursor)? })
    }
}

impl<'a> Tpdu<'a> {
    fn parse(cursor: &mut Cursor<'a>) -> Option<Self> {
        let first = octet(cursor)?;
        match first & 0x03 {
            0 => Deliver::read(first, cursor).map(Self::Deliver),
            1 => Submit::read(first, cursor).map(Self::Submit),
            2 => StatusReport::read(first, cursor).map(Self::StatusReport),
            _ => None,
        }
    }
}

impl<'a> Submit<'a> {
    fn read(first: u8, cursor: &mut Cursor<'a>) -> Option<Self> {
        let reference = octet(cursor)?;
        let destination = Number::in_tpdu(cursor)?;
        let (protocol_id, dcs) = (octet(cursor)?, octet(cursor)?);
        let validity = Validity::read((first >> 3) & 0x03, cursor)?;
        let user_data = UserData::read(has_udh(first), dcs, cursor)?;
        Some(Self { first, reference, destination, protocol_id, dcs, validity, user_data })
    }
}

impl<'a> Deliver<'a> {
    fn read(first: u8, cursor: &mut Cursor<'a>) -> Option<Self> {
        let source = Number::in_tpdu(cursor)?;
        let (protocol_id, dcs) = (octet(cursor)?, octet(cursor)?);
        let timestamp = Stamp::read(cursor)?;
        let user_data = UserData::read(has_udh(first), dcs, cursor)?;
        Some(Self { first, source, protocol_id, dcs, timestamp, user_data })
    }
}

impl<'a> StatusReport<'a> {
    fn read(first: u8, cursor: &mut Cursor<'a>) -> Option<Self> {
        let reference = octet(cursor)?;
        let recipient = Number::in_tpdu(cursor)?;
        let (timestamp, discharge) = (Stamp::read(cursor)?, Stamp::read(cursor)?);
        Some(Self { first, reference, recipient, timestamp, discharge, status: octet(cursor)? })
    }
}

/// TP-UDHI.
const fn has_udh(first: u8) -> bool {
    first & 0x40 != 0
}

fn octet(cursor: &mut Cursor<'_>) -> Option<u8> {
    cursor.take(1)?.first().copied()
}
