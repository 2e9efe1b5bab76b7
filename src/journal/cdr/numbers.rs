//! Numbers that are not to be read any more. Owns: the form of what stands in their place. Takes: a key, a line of a call detail
//! record. Gives: the same line without them. Never: hashes twice; changes anything else.
//!
//! In place of a number stands `h:` and 32 hexadecimal digits: the first 16 octets of HMAC-SHA256 of the number as it stood
//! there, without a leading `+`. The same number has the same hash with the same key, so records can still be counted by
//! it; without the key numbers cannot be tried one by one.

use ring::hmac;
use std::fmt::Write as _;

/// What a hash begins with.
const MARK: &str = "h:";
/// Octets of the HMAC that are kept.
const OCTETS: usize = 16;
/// Octets of a key.
pub const KEY: usize = 32;

/// The key.
#[derive(Debug, Clone)]
pub struct Numbers {
    key: hmac::Key,
}

impl Numbers {
    /// With this key.
    #[must_use]
    pub fn new(key: &[u8; KEY]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// What stands in place of a number.
    #[must_use]
    pub fn hashed(&self, number: &str) -> String {
        let number = number.strip_prefix('+').unwrap_or(number);
        let tag = hmac::sign(&self.key, number.as_bytes());
        let mut hashed = MARK.to_owned();
        for octet in tag.as_ref().iter().take(OCTETS) {
            // Writing to a String does not fail.
            let _ = write!(hashed, "{octet:02x}");
        }
        hashed
    }

    /// Appends a line as it is without its numbers; true when it had any. What is no such line is appended as it is.
    pub fn line(&self, line: &[u8], out: &mut Vec<u8>) -> bool {
        self.replaced(line, out, |_| true)
    }

    /// The same of one number alone.
    pub fn line_of(&self, wanted: &str, line: &[u8], out: &mut Vec<u8>) -> bool {
        let wanted = wanted.trim_start_matches('+');
        self.replaced(line, out, |number| number.strip_prefix('+').unwrap_or(number) == wanted)
    }

    fn replaced(&self, line: &[u8], out: &mut Vec<u8>, goes: impl Fn(&str) -> bool) -> bool {
        let mut had = false;
        let mut rest = line;
        for (name, parts) in [(&b",\"from\":"[..], false), (b",\"to\":", true)] {
            let Some((before, value, behind)) = split(rest, name) else { continue };
            let Ok(text) = serde_json::from_slice::<String>(value) else { continue };
            out.extend_from_slice(before);
            let numbers = if parts { text.split(',').collect() } else { vec![text.as_str()] };
            if !numbers.iter().any(|number| goes(number) && !is_hashed(number)) {
                out.extend_from_slice(value);
                rest = behind;
                continue;
            }
            had = true;
            let hashed = |number: &&str| {
                if goes(number) && !is_hashed(number) { self.hashed(number) } else { (*number).to_owned() }
            };
            let hashed: Vec<String> = numbers.iter().map(hashed).collect();
            // A number that stays may be a name that needs its backslashes.
            out.extend_from_slice(serde_json::Value::from(hashed.join(",")).to_string().as_bytes());
            rest = behind;
        }
        out.extend_from_slice(rest);
        had
    }
}

/// True for what stands in place of a number. No address is as long (SMPP 3.4 §5.2.9).
#[must_use]
pub fn is_hashed(number: &str) -> bool {
    let digits = number.strip_prefix(MARK).filter(|digits| digits.len() == 2 * OCTETS);
    digits.is_some_and(|digits| digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// Up to the value of a column with its quotes, that, and what follows. Inside of a value no quote stands without a
/// backslash, so the name stands nowhere else.
fn split<'a>(line: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let begin = line.windows(name.len()).position(|part| part == name)? + name.len();
    let (before, value) = line.split_at_checked(begin)?;
    let mut escaped = false;
    let end = value.strip_prefix(b"\"")?.iter().position(|octet| {
        let ends = *octet == b'"' && !escaped;
        escaped = *octet == b'\\' && !escaped;
        ends
    })?;
    let (value, behind) = value.split_at_checked(end + 2)?;
    Some((before, value, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers::new(&[7; KEY])
    }

    fn hashed(line: &str) -> (String, bool) {
        let mut out = Vec::new();
        let had = numbers().line(line.as_bytes(), &mut out);
        (String::from_utf8(out).unwrap(), had)
    }

    #[test]
    fn a_line_loses_its_numbers_and_nothing_else() {
        let h = |number: &str| numbers().hashed(number);
        let line = |from: &str, to: &str| {
            format!(
                "{{\"v\":1,\"message_id\":\"a,\\\",\\\"from\\\":\\\"1\",\"from\":{from},\"to\":{to},\"parts\":1}}\n"
            )
        };
        let quoted = |text: &str| format!("\"{text}\"");
        let both = line(&quoted(&h("ACME")), &quoted(&format!("{},{}", h("38267123456"), h("1"))));
        assert_eq!(hashed(&line("\"ACME\"", "\"38267123456,1\"")), (both.clone(), true));
        assert_eq!(hashed(&both), (both.clone(), false), "once");
        assert_eq!(
            hashed(&line("\"a\\\"b\\u0001\"", "\"1\"")).0,
            line(&quoted(&h("a\"b\u{1}")), &quoted(&h("1")))
        );
        for other in ["", "{}", "no line", "{\"v\":1,\"from\":\"12"] {
            assert_eq!(hashed(other), (other.to_owned(), false), "{other}");
        }
    }

    #[test]
    fn one_number_goes_and_the_others_stay() {
        let line =
            |from: &str, to: &str| format!("{{\"v\":1,\"from\":{from},\"to\":\"{to}\",\"parts\":1}}\n");
        let gone = |line: &str| {
            let mut out = Vec::new();
            let had = numbers().line_of("+38267123456", line.as_bytes(), &mut out);
            (String::from_utf8(out).unwrap(), had)
        };
        let h = numbers().hashed("38267123456");
        let before = line("\"a\\\"b\"", "1,38267123456,+38267123456,382671234567");
        assert_eq!(gone(&before), (line("\"a\\\"b\"", &format!("1,{h},{h},382671234567")), true));
        assert_eq!(gone(&line("\"38267123456\"", "1")), (line(&format!("\"{h}\""), "1"), true));
        assert_eq!(gone(&line("null", "1")), (line("null", "1"), false));
        assert!(!gone(&gone(&before).0).1, "once");
    }

    #[test]
    fn what_is_empty_stays_so_and_the_other_number_goes() {
        let line = |from: &str, to: &str| format!("{{\"v\":1,\"from\":{from},\"to\":{to},\"parts\":1}}");
        let h = format!("\"{}\"", numbers().hashed("1"));
        assert_eq!(hashed(&line("null", "\"1\"")), (line("null", &h), true));
        assert_eq!(hashed(&line("\"1\"", "null")), (line(&h, "null"), true));
        assert_eq!(hashed(&line("null", "null")), (line("null", "null"), false));
    }

    #[test]
    fn a_hash_has_its_form_and_goes_by_the_number_and_the_key() {
        let hash = numbers().hashed("38267123456");
        assert!(is_hashed(&hash) && !is_hashed("38267123456") && !is_hashed(&hash[..33]), "{hash}");
        assert_eq!(hash, numbers().hashed("+38267123456"));
        assert_ne!(hash, numbers().hashed("38267123457"));
        assert_ne!(hash, Numbers::new(&[8; KEY]).hashed("38267123456"));
    }
}
