//! Times as call detail records say them: RFC 3339, UTC, microseconds. Owns: the date that was written last. Takes: points
//! in time. Gives: text, and points in time of text. Never: reads a clock.

use crate::time::Wall;

const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;
/// Octets of a time.
pub const TIME_LEN: usize = 27;
/// Octets of a date.
pub const DATE_LEN: usize = 10;

/// Days from 1970-01-01 to a date of the Gregorian calendar; 719,468 days before it begins the era (Howard Hinnant).
#[must_use]
pub const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// The date so many days after 1970-01-01, as `2026-11-22`; years have four digits.
#[must_use]
pub fn date_of(days: i64) -> [u8; DATE_LEN] {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let mut text = *b"0000-00-00";
    let [y0, y1, y2, y3, _, m0, m1, _, d0, d1] = &mut text;
    [[*y0, *y1], [*y2, *y3]] = [two(year / 100), two(year)];
    [[*m0, *m1], [*d0, *d1]] = [two(month), two(date)];
    text
}

/// The last two digits.
const fn two(number: i64) -> [u8; 2] {
    let number = number.rem_euclid(100) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

/// The day of a date; `None`: it is none.
#[must_use]
pub fn day_of(text: &[u8]) -> Option<i64> {
    let text: &[u8; DATE_LEN] = text.try_into().ok()?;
    let [y0, y1, y2, y3, _, m0, m1, _, d0, d1] = text;
    let (year, month) = (number(&[*y0, *y1, *y2, *y3])?, number(&[*m0, *m1])?);
    let days = days_of(year, month, number(&[*d0, *d1])?);
    (date_of(days) == *text).then_some(days)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Writes times. Most of them are of one day, whose date is made once.
#[derive(Debug, Clone)]
pub struct Dates {
    day: i64,
    text: [u8; DATE_LEN],
}

impl Default for Dates {
    fn default() -> Self {
        Self { day: 0, text: date_of(0) }
    }
}

impl Dates {
    /// `2026-11-22T12:01:00.000000Z`.
    pub fn text(&mut self, at: Wall) -> [u8; TIME_LEN] {
        let (day, micros) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
        if day != self.day {
            *self = Self { day, text: date_of(day) };
        }
        let (seconds, micros) = (micros / SECOND, micros % SECOND);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let (date, time) = text.split_at_mut(DATE_LEN);
        date.copy_from_slice(&self.text);
        if let [_, h0, h1, _, m0, m1, _, s0, s1, _, u0, u1, u2, u3, u4, u5, _] = time {
            [[*h0, *h1], [*m0, *m1], [*s0, *s1]] =
                [two(seconds / 3600), two(seconds / 60 % 60), two(seconds % 60)];
            [[*u0, *u1], [*u2, *u3], [*u4, *u5]] = [two(micros / 10_000), two(micros / 100), two(micros)];
        }
        text
    }
}

/// The time that `Dates` wrote; `None`: it is none.
#[must_use]
pub fn time_of(text: &[u8]) -> Option<Wall> {
    let text: &[u8; TIME_LEN] = text.try_into().ok()?;
    let day = day_of(text.get(..DATE_LEN)?)?;
    let field = |from: usize, to: usize| number(text.get(from..to)?);
    let seconds = field(11, 13)? * 3600 + field(14, 16)? * 60 + field(17, 19)?;
    let at = Wall(day * DAY + seconds * SECOND + field(20, 26)?);
    (Dates::default().text(at) == *text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_were_written() {
        let mut dates = Dates::default();
        let known: [(i64, &[u8]); 4] = [
            (0, b"1970-01-01T00:00:00.000000Z"),
            (951_825_600_123_999, b"2000-02-29T12:00:00.123999Z"),
            (4_107_542_400_000_000, b"2100-03-01T00:00:00.000000Z"),
            (-1, b"1969-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in known {
            assert_eq!(dates.text(Wall(micros)), text);
            assert_eq!(time_of(text), Some(Wall(micros)));
        }
        for day in -11_000..40_000 {
            assert_eq!(day_of(&date_of(day)), Some(day));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let wrong: [&[u8]; 6] = [
            b"",
            b"2026-02-29T00:00:00.000000Z",
            b"2026-02-28T24:00:00.000000Z",
            b"2026-02-28T00:60:00.000000Z",
            b"2026-02-28 00:00:00.000000Z",
            b"2026-02-28T00:00:00.00000xZ",
        ];
        for text in wrong {
            assert_eq!(time_of(text), None, "{}", text.escape_ascii());
        }
        assert_eq!((day_of(b"2026-13-01"), day_of(b"2026-1-011")), (None, None));
    }
}
