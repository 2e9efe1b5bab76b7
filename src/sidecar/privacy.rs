//! A number is to go from what a node has written. Owns: the way there: through the node while it runs, which is the one writer
//! of its files, else with its lock. Takes: a configuration, a number. Gives: what was done. Never: a second writer; a change
//! of the journal, whose records go with their files.

use super::View;
use super::cdr::files::Files;
use super::cdr::{Erased, Wish};
use super::client::{self, Address};
use crate::config::Config;
use crate::config::units::duration_text;
use serde_json::{Value, json};
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Years of call detail records are written anew in this time.
const PATIENCE: Duration = Duration::from_secs(600);

/// True for what can be a number or a name that messages are from (SMPP 3.4 §5.2.9).
#[must_use]
pub fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=20).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ')
}

/// The node that runs: its sinks do it, one after the other.
///
/// # Errors
/// What was asked for is no number; a sink failed, or has no time.
pub(super) fn answer(view: &View, number: &str) -> Result<Value, String> {
    if !is_number(number) {
        return Err(format!("{number:?} is no number"));
    }
    if view.journal.erasers().len() != view.config.cdrs.len() {
        return Err("the node reads its journal still; ask again".to_owned());
    }
    let key = view.config.node.data_dir.join("numbers.key");
    let mut all = Erased::default();
    for eraser in view.journal.erasers() {
        let (done, told) = channel();
        eraser.ask(Wish { number: number.to_owned(), key: key.clone(), done });
        match told.recv_timeout(PATIENCE) {
            Ok(Ok(erased)) => all.join(erased),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("a sink does not answer".to_owned()),
        }
    }
    Ok(document(&all))
}

fn document(erased: &Erased) -> Value {
    let left: Vec<String> = erased.left.iter().map(|path| path.display().to_string()).collect();
    json!({ "files": erased.files, "lines": erased.lines, "left": left })
}

/// After the end of a message it is gone from the journal in so long, as people write it.
#[must_use]
pub fn gone_within(config: &Config) -> String {
    duration_text(config.privacy.keep_text.saturating_add(config.privacy.erase_within))
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// The node that runs.
    Node,
    /// This process, since no node runs.
    Lock,
}

/// Lets a number go from the call detail records of this node.
///
/// # Errors
/// `NotConnected`: a node runs and cannot be reached; else the files failed.
pub fn erase(config: &Config, number: &str) -> std::io::Result<(Through, Erased)> {
    let journal = config.node.data_dir.join("journal");
    let lock = match crate::io::journal::hold(&journal) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Through::Lock, Erased::default())),
        other => other?,
    };
    let Some(_lock) = lock else { return Ok((Through::Node, through_node(config, number)?)) };
    let mut all = Erased::default();
    let numbers = crate::io::numbers::key(&config.node.data_dir.join("numbers.key"))?;
    for cdr in &config.cdrs {
        // A sink that has not written yet has no folder.
        if cdr.folder().is_dir() {
            all.join(Files::new(&cdr.path, cdr.rotate, cdr.keep)?.erase(number, &numbers)?);
        }
    }
    Ok((Through::Lock, all))
}

fn through_node(config: &Config, number: &str) -> std::io::Result<Erased> {
    let away = |why: String| Error::new(ErrorKind::NotConnected, why);
    let socket = config.http.as_ref().and_then(|http| http.admin_socket.clone());
    let socket = socket.ok_or_else(|| {
        away(
            "a node writes there, and its configuration has no [http] admin_socket by which to ask it"
                .to_owned(),
        )
    })?;
    let address = Address::Unix(socket);
    let path = format!("/v1/privacy/erase?number={}", client::escaped(number));
    let body = client::post_for(&address, &path, PATIENCE).map_err(|error| match error.kind() {
        ErrorKind::Other => error,
        _ => away(format!("cannot reach the node at {address}: {error}")),
    })?;
    let value: Value = serde_json::from_str(&body)?;
    let count = |key: &str| value[key].as_u64().unwrap_or_default();
    let left = value["left"].as_array().into_iter().flatten();
    let left = left.filter_map(Value::as_str).map(PathBuf::from).collect();
    Ok(Erased { files: count("files"), lines: count("lines"), left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_to_twenty_characters() {
        assert!(["38267000001", "+38267000001", "ACME", "My Shop"].into_iter().all(is_number));
        assert!(!["", "+", "123456789012345678901", "a\nb", "ž"].into_iter().any(is_number));
    }
}
