//! Times as SMPP writes them: `YYMMDDhhmmsstnnp` (SMPP 3.4 §7.1), and the dates of receipts. Owns: nothing.
//! Takes: fields, and the time now as a value. Gives: points in time and spans. Never: reads a clock.

use super::cursor::{Cursor, PduError};
use super::status::CommandStatus;
use crate::time::Wall;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The last instant that two digits of a year can name: years 38–99 are of the last century (SMPP 3.4 appendix C).
const ABSOLUTE_MAX: Wall = Wall(days_from_civil(2038, 1, 1) * DAY - 1);
/// The first one.
const ABSOLUTE_MIN: Wall = Wall(days_from_civil(1938, 1, 1) * DAY);

/// A time field's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// A point in time, whatever the clock says.
    Absolute(Wall),
    /// A span from the moment that the message came.
    Relative {
        /// Years and months, as months; their length depends on when they begin.
        months: u32,
        /// Days, hours, minutes and seconds, as seconds.
        seconds: u64,
    },
}

/// Reads a time field: empty, or 16 characters that mean something, and a NUL. `status` answers anything else;
/// `ESME_RINVCMDLEN` a PDU that ends inside it.
#[inline(always)]
pub fn parse_field<'a>(cursor: &mut Cursor<'a>, status: CommandStatus) -> Result<&'a [u8], PduError> {
    if let Some((0, _)) = cursor.rest().split_first() {
        cursor.take(1);
        return Ok(&[]);
    }
    parse_time(cursor, status)
}

fn parse_time<'a>(cursor: &mut Cursor<'a>, status: CommandStatus) -> Result<&'a [u8], PduError> {
    let before = cursor.clone();
    let text = cursor.c_octets(17, status, "a time is neither empty nor 16 characters")?;
    if Time::parse(text).is_none() {
        return Err(before.error(status, "a time is not YYMMDDhhmmsstnnp"));
    }
    Ok(text)
}

impl Time {
    /// Reads 16 characters without their NUL; `None` when they name no time.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (&kind, digits) = text.split_last()?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (pairs, rest) = digits.as_chunks::<2>();
        let (&[year, month, day, hour, minute, second, [tenths, quarters]], &[quarter]) = (pairs, rest)
        else {
            return None;
        };
        let [year, month, day, hour, minute, second] = [year, month, day, hour, minute, second].map(two);
        let quarters = two([quarters, quarter]);
        if kind == b'R' {
            let months = year * 12 + month;
            let seconds = u64::from(day) * 86_400 + u64::from(hour * 3600 + minute * 60 + second);
            return Some(Self::Relative { months, seconds });
        }
        let year = i64::from(if year >= 38 { 1900 + year } else { 2000 + year });
        let date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !date || hour > 23 || minute > 59 || second > 59 || quarters > 48 {
            return None;
        }
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        let local = days_from_civil(year, month, day) * DAY
            + seconds * SECOND
            + i64::from(tenths - b'0') * (SECOND / 10);
        let ahead = i64::from(quarters) * 15 * 60 * SECOND;
        match kind {
            b'+' => Some(Self::Absolute(Wall(local - ahead))),
            b'-' => Some(Self::Absolute(Wall(local + ahead))),
            _ => None,
        }
    }

    /// The point in time meant by a field that came at `now`. Months keep the day of the month where there is one.
    #[must_use]
    pub fn resolve(self, now: Wall) -> Wall {
        match self {
            Self::Absolute(wall) => wall,
            Self::Relative { months, seconds } => {
                let (year, month, day) = civil_from_days(now.0.div_euclid(DAY));
                let total = year * 12 + i64::from(month - 1) + i64::from(months);
                let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
                let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
                let micros = days.saturating_mul(DAY).saturating_add(now.0.rem_euclid(DAY));
                let span = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND);
                Wall(micros.saturating_add(span))
            }
        }
    }
}

/// The field for a point in time, in UTC. What two digits of a year cannot name becomes the nearest that they can.
#[must_use]
pub fn absolute(at: Wall) -> [u8; 16] {
    let at = at.clamp(ABSOLUTE_MIN, ABSOLUTE_MAX);
    let [[y, z], [m, n], [d, e], [h, i], [j, k], [s, t]] = date_digits(at);
    let tenths = b'0' + (at.0.rem_euclid(SECOND) / (SECOND / 10)) as u8;
    [y, z, m, n, d, e, h, i, j, k, s, t, tenths, b'0', b'0', b'+']
}

/// The date in a receipt's text: `YYMMDDhhmm`, in UTC (SMPP 3.4 appendix B).
#[must_use]
pub fn receipt_date(at: Wall) -> [u8; 10] {
    let [[y, z], [m, n], [d, e], [h, i], [j, k], _] = date_digits(at);
    [y, z, m, n, d, e, h, i, j, k]
}

/// Year, month, day, hour, minute and second in UTC, two digits each.
fn date_digits(at: Wall) -> [[u8; 2]; 6] {
    let (year, month, day) = civil_from_days(at.0.div_euclid(DAY));
    let second = (at.0.rem_euclid(DAY) / SECOND) as u32;
    let fields = [year.rem_euclid(100) as u32, month, day, second / 3600, second / 60 % 60, second % 60];
    fields.map(|field| [b'0' + (field / 10) as u8, b'0' + (field % 10) as u8])
}

/// The value of two digits.
const fn two([tens, ones]: [u8; 2]) -> u32 {
    (tens - b'0') as u32 * 10 + (ones - b'0') as u32
}

const fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years run from March, so that a leap day ends one.
const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month as i64 + 9) % 12) + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day that are `days` after 1970-01-01.
const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: i64) -> Wall {
        Wall(at * SECOND)
    }

    fn at(text: &[u8]) -> Option<Wall> {
        Time::parse(text).map(|time| time.resolve(Wall(0)))
    }

    #[test]
    fn known_dates_are_themselves() {
        assert_eq!(at(b"700101000000000+"), Some(Wall(0)));
        assert_eq!(at(b"000229120000000+"), Some(seconds(951_825_600)));
        assert_eq!(at(b"260630120100000+"), Some(seconds(1_782_820_860)));
        assert_eq!(at(b"371231235959900+"), Some(Wall(2_145_916_799_900_000)));
        assert_eq!(at(b"380101000000000+"), Some(seconds(-1_009_843_200)));
    }

    #[test]
    fn an_offset_ahead_of_utc_is_taken_off() {
        assert_eq!(at(b"260630120000004+"), at(b"260630110000000+"));
        assert_eq!(at(b"260630120000048-"), at(b"260701000000000+"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        let wrong: [&[u8]; 13] = [
            b"",
            b"261330120000000+",
            b"260030120000000+",
            b"260631120000000+",
            b"260229120000000+",
            b"260630240000000+",
            b"260630126000000+",
            b"260630120060000+",
            b"260630120000049+",
            b"260630120000000Z",
            b"26063012000000+",
            b"2606301200000000+",
            b"26063012 000000+",
        ];
        for text in wrong {
            assert_eq!(Time::parse(text), None, "{}", text.escape_ascii());
        }
        assert!(Time::parse(b"240229120000000+").is_some());
    }

    #[test]
    fn a_relative_time_counts_from_now_in_calendar_months() {
        let two_days = Time::parse(b"000002030000000R").unwrap();
        assert_eq!(two_days, Time::Relative { months: 0, seconds: 2 * 86_400 + 3 * 3600 });
        assert_eq!(two_days.resolve(Wall(5)), Wall((2 * 86_400 + 3 * 3600) * SECOND + 5));
        let last_of_january = at(b"260131120000000+").unwrap();
        let month = Time::parse(b"000100000000000R").unwrap();
        assert_eq!(Some(month.resolve(last_of_january)), at(b"260228120000000+"));
        let year = Time::parse(b"010000000000000R").unwrap();
        assert_eq!(Some(year.resolve(at(b"231231235959000+").unwrap())), at(b"241231235959000+"));
    }

    #[test]
    fn the_ends_of_the_clock_do_not_overflow() {
        let most = Time::parse(b"999999999999999R").unwrap();
        assert_eq!(most.resolve(Wall(i64::MAX)), Wall(i64::MAX));
        assert!(most.resolve(Wall(i64::MIN)) > Wall(i64::MIN));
        assert_eq!(&absolute(Wall(i64::MAX)), b"371231235959900+");
        assert_eq!(&absolute(Wall(i64::MIN)), b"380101000000000+");
    }

    #[test]
    fn writing_is_the_inverse_of_reading() {
        for day in -11_000..24_000 {
            let wall = Wall(day * DAY + 45_296_700_000);
            assert_eq!(at(&absolute(wall)), Some(wall), "day {day}");
        }
        assert_eq!(&absolute(seconds(1_782_820_860)), b"260630120100000+");
        assert_eq!(&receipt_date(seconds(1_782_820_860)), b"2606301201");
        assert_eq!(&receipt_date(Wall(0)), b"7001010000");
    }

    #[test]
    fn a_field_is_empty_or_whole() {
        let field = |bytes: &'static [u8]| {
            let mut cursor = Cursor::new(bytes, 40);
            parse_field(&mut cursor, CommandStatus::INVALID_EXPIRY)
                .map(|text| (text, cursor.rest()))
                .map_err(|error| (error.status, error.offset))
        };
        assert_eq!(field(b"\x00x"), Ok((&b""[..], &b"x"[..])));
        assert_eq!(field(b"260630120100000+\x00x"), Ok((&b"260630120100000+"[..], &b"x"[..])));
        assert_eq!(field(b""), Err((CommandStatus::INVALID_COMMAND_LENGTH, 40)));
        assert_eq!(field(b"260630120100000"), Err((CommandStatus::INVALID_COMMAND_LENGTH, 40)));
        assert_eq!(field(b"260630120100000\x00"), Err((CommandStatus::INVALID_EXPIRY, 40)));
        assert_eq!(field(b"26063012010000000000\x00"), Err((CommandStatus::INVALID_EXPIRY, 40)));
        assert_eq!(field(b"260630120100000Z\x00"), Err((CommandStatus::INVALID_EXPIRY, 40)));
    }
}
