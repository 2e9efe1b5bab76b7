//! Text with a unit → value. Owns: nothing. Takes: `"30s"`, `"400/s"`, `"30%"`, `"64MiB"`, `"10.1.0.0/16"`,
//! `"host:2775"`. Gives: the value, or `None`/a reason when it is no such thing. Never: guesses a unit.

use crate::esme::settings::AddressBlock;
use crate::limits::RATE_MAX;
use crate::throttle::Rate;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Leading decimal digits and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// `"100us"`, `"500ms"`, `"30s"`, `"10m"`, `"72h"`, `"7d"`; `"0"` needs no unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = number(text)?;
    let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
    match unit {
        "" if count == 0 => Some(Duration::ZERO),
        "us" => Some(Duration::from_micros(count)),
        "ms" => Some(Duration::from_millis(count)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// A duration as [`duration`] reads it, in the largest unit that is exact.
pub(crate) fn duration_text(span: Duration) -> String {
    let micros = span.as_micros();
    let units = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"), (1, "us")];
    let exact = units.iter().find(|(each, _)| micros > 0 && micros.is_multiple_of(*each));
    exact.map_or_else(|| "0s".to_owned(), |(each, unit)| format!("{}{unit}", micros / each))
}

/// `"400/s"`, `"20/m"`, `"3/h"`; at least one unit, at most `RATE_MAX`.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (units, rest) = number(text)?;
    let per = match rest {
        "/s" => Duration::from_secs(1),
        "/m" => Duration::from_secs(60),
        "/h" => Duration::from_secs(3600),
        _ => return None,
    };
    (1..=RATE_MAX).contains(&units).then_some(Rate { units, per })
}

/// A rate as [`rate`] reads it.
pub(super) fn rate_text(rate: Rate) -> String {
    let span = match rate.per.as_secs() {
        3600 => "h",
        60 => "m",
        _ => "s",
    };
    format!("{}/{span}", rate.units)
}

/// `"30%"`, whole percent.
pub(super) fn percent(text: &str) -> Option<u64> {
    number(text).filter(|(_, unit)| *unit == "%").map(|(percent, _)| percent)
}

/// `"4096B"`, `"128KiB"`, `"64MiB"`, `"20GiB"` in octets.
pub(super) fn size(text: &str) -> Option<u64> {
    let (count, unit) = number(text)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    count.checked_mul(1 << shift)
}

/// What is wrong with an address block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BlockFault {
    /// It is none.
    NoBlock,
    /// Bits after the prefix are set; the block that holds the address.
    HostBits(String),
}

/// `"10.1.0.0/16"`, `"fe80::/64"`, or one address.
pub(super) fn block(text: &str) -> Result<AddressBlock, BlockFault> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| BlockFault::NoBlock)?;
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix_len = match bits.map(number) {
        None => width,
        Some(Some((bits, ""))) if bits <= u64::from(width) => bits as u8,
        Some(_) => return Err(BlockFault::NoBlock),
    };
    let first = first_address(address, prefix_len);
    if first != address {
        return Err(BlockFault::HostBits(format!("{first}/{prefix_len}")));
    }
    Ok(AddressBlock { address, prefix_len })
}

fn first_address(address: IpAddr, prefix_len: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// True for `"name:port"`, `"10.0.0.1:port"` and `"[::1]:port"` with a port above zero.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let port_good = matches!(number(port), Some((1..=65_535, "")));
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_good = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => {
            let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (1..=253).contains(&host.len()) && host.chars().all(letter)
        }
    };
    port_good && host_good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_known_unit() {
        assert_eq!(duration("100us"), Some(Duration::from_micros(100)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("72h"), Some(Duration::from_secs(259_200)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for wrong in
            ["", "5", "s", "-1s", "1.5s", "5 s", "5S", "99999999999999999999s", "9999999999999999999h"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["100us", "500ms", "30s", "90s", "10m", "72h", "0s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn a_rate_is_a_count_per_second_minute_or_hour() {
        assert_eq!(rate("400/s"), Some(Rate { units: 400, per: Duration::from_secs(1) }));
        assert_eq!(rate("3/h"), Some(Rate { units: 3, per: Duration::from_secs(3600) }));
        assert_eq!(rate("20/m").unwrap().per, Duration::from_secs(60));
        for wrong in ["0/s", "400", "/s", "400/d", "1000001/s"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for text in ["400/s", "20/m", "3/h"] {
            assert_eq!(rate_text(rate(text).unwrap()), text);
        }
    }

    #[test]
    fn a_ratio_is_whole_percent() {
        assert_eq!(percent("30%"), Some(30));
        for wrong in ["", "%", "30", "-1%", "0.5%", "30 %", "30%%"] {
            assert_eq!(percent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_is_binary() {
        assert_eq!(size("128KiB"), Some(131_072));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("128KB"), None);
        assert_eq!(size("99999999999999999GiB"), None);
    }

    #[test]
    fn a_block_with_host_bits_is_named_as_it_should_be() {
        assert_eq!(block("10.1.0.0/16").unwrap().prefix_len, 16);
        assert_eq!(block("10.1.2.3").unwrap().prefix_len, 32);
        assert_eq!(block("::/0").unwrap().prefix_len, 0);
        assert_eq!(block("10.1.2.3/16"), Err(BlockFault::HostBits("10.1.0.0/16".to_owned())));
        assert_eq!(block("fe80::1/64"), Err(BlockFault::HostBits("fe80::/64".to_owned())));
        for wrong in ["10.1.0.0/33", "10.1/16", "10.1.0.0/", "::/129", "x"] {
            assert_eq!(block(wrong), Err(BlockFault::NoBlock), "{wrong}");
        }
    }

    #[test]
    fn an_address_needs_host_and_port() {
        for good in ["smsc1.alpha.example:2775", "10.0.0.1:2775", "[::1]:2775", "localhost:1"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for wrong in ["smsc1", "smsc1:", ":2775", "smsc1:0", "smsc1:70000", "::1:2775", "a b:1", "[x]:1"] {
            assert!(!is_host_and_port(wrong), "{wrong}");
        }
    }
}
