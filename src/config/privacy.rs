//! `[privacy]`. Owns: the form of its keys. Takes: the table. Gives: the values. Never: shows a key.

use super::document::Document;
use super::files::{Files, secret};
use super::report::{Notes, Source};
use super::{Privacy, Secret, keys};

const ALLOWED: &str =
    "64 hexadecimal digits, as \"env:NAME\" or \"file:PATH\"; `openssl rand -hex 32` makes them";

/// Reads `[privacy]`; without one messages are written as they are.
pub(super) fn read(
    document: &Document<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Privacy {
    let Some(table) = document.privacy.as_ref() else { return Privacy::default() };
    table.check_keys(notes, &keys::PRIVACY);
    let Some(item) = table.get("encrypt") else { return Privacy::default() };
    let (place, path) = (item.place, item.path());
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
    if document.journal.is_none() && !encrypt.is_empty() {
        notes.error(place, path, "there is no [journal] to encrypt").help("remove this key");
    }
    Privacy { encrypt }
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
