//! Text with a unit → value, for command lines. Owns: nothing. Takes: `"20ms"`, `"100/s"`, `"5%"`, `"name:password"`,
//! `"382670000000-382670999999"`. Gives: the value, or what is allowed. Never: guesses a unit.

use crate::prng::Prng;
use crate::throttle::Rate;
use crate::time::Duration;
use core::fmt;
use core::str::FromStr;

fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Reads `"100us"`, `"20ms"`, `"2s"`, `"10m"`, `"1h"`; `"0"` needs no unit.
///
/// # Errors
/// What is allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    let read = number(text).and_then(|(count, unit)| {
        let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
        match unit {
            "" if count == 0 => Some(Duration::ZERO),
            "us" => Some(Duration::from_micros(count)),
            "ms" => Some(Duration::from_millis(count)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3600),
            _ => None,
        }
    });
    read.ok_or_else(|| "a number and us, ms, s, m or h, for example 20ms".to_owned())
}

/// Reads `"100/s"`, `"20/m"`, `"3/h"`, `"50k/s"`, `"2M/s"`.
///
/// # Errors
/// What is allowed.
pub fn rate(text: &str) -> Result<Rate, String> {
    let read = number(text).and_then(|(units, per)| {
        let (times, per) = match per.as_bytes() {
            [b'k', ..] => (1_000, &per[1..]),
            [b'M', ..] => (1_000_000, &per[1..]),
            _ => (1, per),
        };
        let units = units.checked_mul(times)?;
        let per = match per {
            "/s" => Duration::from_secs(1),
            "/m" => Duration::from_secs(60),
            "/h" => Duration::from_secs(3600),
            _ => return None,
        };
        (units > 0).then_some(Rate { units, per })
    });
    read.ok_or_else(|| {
        "a number above zero, perhaps with k or M, and /s, /m or /h, for example 100/s".to_owned()
    })
}

/// A part of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u32);

const WHOLE: u32 = 1_000_000;

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    /// Always.
    pub const ALL: Self = Self(WHOLE);

    /// Millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// True as often as the share says. Draws nothing for never and always.
    pub fn hits(self, prng: &mut Prng) -> bool {
        match self.0 {
            0 => false,
            WHOLE => true,
            millionths => prng.chance(u64::from(millionths), u64::from(WHOLE)),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || "a percentage, for example 5% or 0.1%".to_owned();
        let digits = text.strip_suffix('%').ok_or_else(allowed)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        if !(1..=4).contains(&fraction.len()) {
            return Err(allowed());
        }
        let read = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u32>().ok());
        let (Some(Some(whole)), Some(Some(part))) = (read(whole), read(fraction)) else {
            return Err(allowed());
        };
        let part = part * 10_u32.pow(4 - fraction.len() as u32);
        let millionths = whole.saturating_mul(10_000).saturating_add(part);
        if millionths > WHOLE { Err(allowed()) } else { Ok(Self(millionths)) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// Who binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub system_id: String,
    /// Its password; may be empty.
    pub password: String,
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (system_id, password) = text.split_once(':').ok_or("system_id:password")?;
        if !(1..=15).contains(&system_id.len()) || password.len() > 63 {
            return Err("system_id:password, 1 to 15 and at most 63 characters".to_owned());
        }
        Ok(Self { system_id: system_id.to_owned(), password: password.to_owned() })
    }
}

/// Numbers from `first` to `last`, written with the digits of `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberRange {
    /// The least.
    pub first: u64,
    /// The greatest.
    pub last: u64,
}

impl NumberRange {
    /// How many numbers there are.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

impl FromStr for NumberRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "a number or two of the same length, for example 382670000000-382670999999";
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let good =
            |digits: &str| (1..=18).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
        if !good(first) || !good(last) || first.len() != last.len() || first.starts_with('0') || first > last
        {
            return Err(allowed.to_owned());
        }
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Ok(Self { first, last }),
            (Err(_), _) | (_, Err(_)) => Err(allowed.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_and_never_guessed() {
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(rate("50k/s"), Ok(Rate { units: 50_000, per: Duration::from_secs(1) }));
        assert_eq!(rate("20/m"), Ok(Rate { units: 20, per: Duration::from_secs(60) }));
        assert!(["", "5", "ms", "-1s", "1.5s"].iter().all(|text| duration(text).is_err()));
        assert!(["", "5", "0/s", "0k/s", "/s", "k/s", "5/d", "5K/s"].iter().all(|text| rate(text).is_err()));
    }

    #[test]
    fn a_share_is_a_percentage_with_up_to_four_places() {
        assert_eq!("5%".parse(), Ok(Share(50_000)));
        assert_eq!("0.1%".parse(), Ok(Share(1000)));
        assert_eq!("0.0001%".parse(), Ok(Share(1)));
        assert_eq!("100%".parse(), Ok(Share::ALL));
        for wrong in ["", "%", "5", "-1%", "+1%", "100.1%", "1.%", "0.00001%", "a%", "1.+1%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_hits_as_often_as_it_says() {
        let mut prng = Prng::new(1);
        let share: Share = "5%".parse().unwrap();
        let hits = (0..100_000).filter(|_| share.hits(&mut prng)).count();
        assert!((4_500..5_500).contains(&hits), "{hits}");
        assert!(!Share::NONE.hits(&mut prng) && Share::ALL.hits(&mut prng));
    }

    #[test]
    fn a_range_has_numbers_of_one_length() {
        assert_eq!("100-199".parse(), Ok(NumberRange { first: 100, last: 199 }));
        assert_eq!("38267".parse::<NumberRange>().map(NumberRange::count), Ok(1));
        for wrong in ["", "1-", "99-100", "200-100", "012", "+12", "1234567890123456789"] {
            assert!(wrong.parse::<NumberRange>().is_err(), "{wrong}");
        }
    }
}
