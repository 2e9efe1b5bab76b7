//! `[privacy]`. Owns: the form of its keys. Takes: the table. Gives: the values. Never: shows a key.

use super::document::Document;
use super::files::{Files, secret};
use super::report::{Notes, Source};
use super::table::Table;
use super::units::duration_text;
use super::{Privacy, Secret, keys};
use crate::time::Duration;

const ALLOWED: &str =
    "64 hexadecimal digits, as \"env:NAME\" or \"file:PATH\"; `openssl rand -hex 32` makes them";
const WITHIN_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// Shortest `erase_within`: each of its shares is some seconds then.
const WITHIN_LEAST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(400 * 86_400);
const HOUR: Duration = Duration::from_secs(3600);
/// As long as call detail records may be kept.
const NUMBERS_LONGEST: Duration = Duration::from_secs(3660 * 86_400);
/// `keep_text` is so many times `erase_within` at most.
const KEPT_MAX: u32 = 100;

/// Reads `[privacy]`; without one messages are written as they are.
pub(super) fn read(
    document: &Document<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Privacy {
    let Some(table) = document.privacy.as_ref() else { return Privacy::default() };
    table.check_keys(notes, &keys::PRIVACY);
    if document.journal.is_none() {
        for key in ["encrypt", "keep_text", "erase_within"] {
            let Some(item) = table.get(key) else { continue };
            notes
                .error(item.place, item.path(), "there is no [journal] that it is about")
                .help("remove this key");
        }
    }
    let encrypt = read_keys(table, sources, files, notes);
    let (keep_text, erase_within) = read_spans(table, notes);
    Privacy { encrypt, keep_text, erase_within, keep_numbers: read_keep_numbers(document, table, notes) }
}

/// `keep_text` and `erase_within`.
fn read_spans(table: &Table<'_>, notes: &mut Notes) -> (Duration, Duration) {
    let keep = table.duration(notes, "keep_text", Duration::ZERO..=LONGEST, Duration::ZERO);
    let within = table.duration(notes, "erase_within", WITHIN_LEAST..=LONGEST, WITHIN_DEFAULT);
    // How far what is kept reaches back is known in steps of a share of it.
    let least = keep / KEPT_MAX;
    if within < least
        && let Some(item) = table.get("erase_within").or_else(|| table.get("keep_text"))
    {
        let fault = format!("erase_within is {}", duration_text(within));
        let allowed = format!("a hundredth of keep_text at least, {}s", least.as_secs());
        notes.error(item.place, item.path(), fault).allowed(allowed);
    }
    (keep, within)
}

fn read_keep_numbers(document: &Document<'_>, table: &Table<'_>, notes: &mut Notes) -> Option<Duration> {
    let item = table.get("keep_numbers")?;
    if document.cdrs.is_empty() {
        let fault = "there are no [[cdr]] that it is about";
        notes.error(item.place, item.path(), fault).help("remove this key");
    }
    item.duration(notes, &(HOUR..=NUMBERS_LONGEST))
}

fn read_keys(table: &Table<'_>, sources: &[Source], files: &mut Files<'_>, notes: &mut Notes) -> Vec<Secret> {
    let Some(item) = table.get("encrypt") else { return Vec::new() };
    let items = if item.value.is_array() { item.list(notes, 2, "one or two keys") } else { vec![item] };
    let mut encrypt = Vec::new();
    for item in items {
        let Some(text) = secret(&item, sources, files, notes) else { continue };
        match key(&text) {
            Some(key) => encrypt.push(key),
            None => {
                let fault = format!("found a key of {} characters", text.len());
                notes.error(item.place, item.path(), fault).allowed(ALLOWED.to_owned());
            }
        }
    }
    encrypt
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            encrypt: Vec::new(),
            keep_text: Duration::ZERO,
            erase_within: WITHIN_DEFAULT,
            keep_numbers: None,
        }
    }
}

fn key(text: &[u8]) -> Option<Secret> {
    let mut octets = [0; 32];
    if text.len() != 2 * octets.len() {
        return None;
    }
    for (octet, digits) in octets.iter_mut().zip(text.chunks(2)) {
        let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
        *octet = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(Secret(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_64_digits_and_is_not_shown() {
        let text = "00ff".repeat(16);
        let found = key(text.as_bytes()).unwrap();
        assert_eq!((found.0[0], found.0[31]), (0, 255));
        assert_eq!(format!("{found:?}"), "Secret(…)");
        let bad = [text.replace('f', "g"), text[1..].to_owned(), format!("{text}0"), "+f".repeat(32)];
        assert!(bad.iter().all(|text| key(text.as_bytes()).is_none()));
    }
}
