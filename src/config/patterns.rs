//! Numbers and prefixes, in the configuration or in lists of their own. Owns: how one is written; how many there may be.
//! Takes: a list of them, in which `"file:PATH"` stands for the lines of a file. Gives: the patterns, in order. Never: a
//! number with its `+`, which would match nothing.

use super::files::Files;
use super::report::{Notes, Place, Source};
use super::table::{Item, Table, found, shown};
use crate::limits::{ADDRESS_MAX, PATTERNS_MAX};
use crate::route::settings::Pattern;
use std::path::Path;

const ALLOWED: &str =
    "a number without `+` (\"38267123456\"), a prefix (\"382*\"), all (\"*\") or \"file:PATH\"";
const ALLOWED_LINE: &str = "a number without `+` (38267123456), a prefix (382*) or all (*), one a line";

/// What reading patterns needs besides their table.
pub(super) struct Patterns<'a, 'f> {
    pub(super) sources: &'a [Source],
    pub(super) files: &'a mut Files<'f>,
    /// How many there were so far.
    count: usize,
}

impl<'a, 'f> Patterns<'a, 'f> {
    pub(super) const fn new(sources: &'a [Source], files: &'a mut Files<'f>) -> Self {
        Self { sources, files, count: 0 }
    }

    /// The patterns of `key`; none when it is not set.
    pub(super) fn read(&mut self, table: &Table<'_>, key: &str, notes: &mut Notes) -> Vec<Pattern> {
        let Some(item) = table.get(key) else {
            return Vec::new();
        };
        let items = item.list(notes, PATTERNS_MAX, "a list of numbers and prefixes, such as [\"382*\"]");
        let before = self.count;
        let mut patterns = Vec::with_capacity(items.len());
        for item in &items {
            match item.value.as_str().and_then(|text| text.strip_prefix("file:")) {
                Some(name) => self.read_file(item, name, &mut patterns, notes),
                None => {
                    self.count += 1;
                    patterns.extend(read_one(item, notes));
                }
            }
        }
        if before <= PATTERNS_MAX && self.count > PATTERNS_MAX {
            let message = format!("the routes have more than {PATTERNS_MAX} numbers and prefixes");
            notes.error(item.place, item.path(), message).allowed(format!("at most {PATTERNS_MAX} in all"));
        }
        patterns
    }

    /// One pattern a line; empty lines and those that begin with `#` stand for nothing.
    fn read_file(&mut self, item: &Item<'_>, name: &str, patterns: &mut Vec<Pattern>, notes: &mut Notes) {
        let beside = Path::new(&self.sources[item.place.file].path).parent().unwrap_or(Path::new(""));
        let path = beside.join(name);
        let text = match (self.files.read)(&path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                notes.error(item.place, item.path(), message);
                return;
            }
        };
        let file = self.sources.len() + notes.lists();
        let mut start = 0;
        let before = self.count;
        for whole in text.split_inclusive('\n') {
            let line = whole.trim();
            let at = start + (whole.len() - whole.trim_start().len());
            start += whole.len();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.count += 1;
            match pattern_of(line) {
                Ok(pattern) => patterns.push(pattern),
                Err(fault) => {
                    let place = Place::new(file, at..at + line.len());
                    let message = format!("found \"{}\"", shown(line));
                    let problem = notes.error(place, item.path(), message).allowed(ALLOWED_LINE);
                    if let Fault::Plus(bare) = fault {
                        problem.help(format!("write {}", bare.escape_debug()));
                    }
                }
            }
        }
        if self.count == before {
            let message = format!("{} holds no number and no prefix", path.display());
            notes.error(item.place, item.path(), message).allowed(ALLOWED_LINE);
        }
        notes.add_list(Source { path: path.display().to_string(), text });
    }
}

/// What is wrong with a pattern.
enum Fault<'a> {
    /// It has a `+`; what it would be without.
    Plus(&'a str),
    NoPattern,
}

fn pattern_of(text: &str) -> Result<Pattern, Fault<'_>> {
    let bare = text.trim_start_matches('+');
    if bare.len() < text.len() {
        return Err(if bare.is_empty() { Fault::NoPattern } else { Fault::Plus(bare) });
    }
    let body = text.strip_suffix('*').unwrap_or(text);
    let printable = body.bytes().all(|octet| (0x20..0x7F).contains(&octet)) && body.trim() == body;
    let pattern = Pattern::parse(text).filter(|_| printable && body.len() <= ADDRESS_MAX);
    pattern.ok_or(Fault::NoPattern)
}

fn read_one(item: &Item<'_>, notes: &mut Notes) -> Option<Pattern> {
    let text = item.text(notes, ALLOWED)?;
    if text.starts_with("re:") {
        item.not_yet(notes, ALLOWED);
        return None;
    }
    match pattern_of(text) {
        Ok(pattern) => return Some(pattern),
        Err(Fault::Plus(bare)) => {
            let message = format!("found {}", found(item.value));
            let problem = notes.error(item.place, item.path(), message).allowed(ALLOWED);
            problem.help(format!("write \"{}\"", bare.escape_debug()));
        }
        Err(Fault::NoPattern) => item.refuse(notes, ALLOWED),
    }
    None
}
