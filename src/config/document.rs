//! All files as one document. Owns: which table of which name stands where. Takes: the parsed texts in their
//! order. Gives: the tables, each once, in file order. Never: lets a later table replace an earlier one.

use super::keys;
use super::report::{Notes, Place, Source};
use super::table::{Fallback, Table, found, join};
use core::ops::Range;
use std::collections::HashMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table with a name, such as `[esme.acme]`.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    /// Where the name stands.
    pub(super) place: Place,
    pub(super) table: Table<'a>,
}

/// The tables of all files.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    pub(super) node: Option<Table<'a>>,
    pub(super) defaults_esme: Option<Fallback<'a>>,
    pub(super) defaults_carrier: Option<Fallback<'a>>,
    pub(super) listeners: Vec<Table<'a>>,
    /// Some file speaks of a listener, however wrongly.
    pub(super) listens: bool,
    pub(super) esmes: Vec<Named<'a>>,
    pub(super) carriers: Vec<Named<'a>>,
    pub(super) pools: Vec<Named<'a>>,
    pub(super) policies: Vec<Named<'a>>,
    pub(super) classes: Vec<Named<'a>>,
    pub(super) routes: Vec<Table<'a>>,
    pub(super) mo_routes: Vec<Table<'a>>,
    pub(super) http: Option<Table<'a>>,
    pub(super) journal: Option<Table<'a>>,
    pub(super) privacy: Option<Table<'a>>,
    pub(super) cdrs: Vec<Table<'a>>,
    seen: HashMap<String, Place>,
}

/// A text and what was parsed of it.
pub(super) struct Parsed<'a> {
    pub(super) file: usize,
    pub(super) root: Spanned<DeTable<'a>>,
}

/// Parses the texts in `order`; notes what is no TOML.
pub(super) fn parse<'a>(sources: &'a [Source], order: &[usize], notes: &mut Notes) -> Vec<Parsed<'a>> {
    let mut parsed = Vec::with_capacity(order.len());
    for &file in order {
        let text = &sources[file].text;
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let place = Place::new(file, span.clone());
            if error.message() == DUPLICATE {
                note_duplicate(notes, text, root.get_ref(), place);
                continue;
            }
            notes.partial = true;
            hide_line(notes, file, text, span.start);
            notes.error(place, String::new(), format!("not TOML: {}", error.message()));
        }
        parsed.push(Parsed { file, root });
    }
    parsed
}

/// What the parser says of a key that stands in its table already.
const DUPLICATE: &str = "duplicate key";

fn note_duplicate(notes: &mut Notes, text: &str, root: &DeTable<'_>, place: Place) {
    let start = line_start(text, place.start);
    let line = text.get(start..place.end).unwrap_or_default();
    let key = text.get(place.start..place.end).unwrap_or_default();
    let header = line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('['));
    let (path, what, first) = match header {
        Some(header) => (header, "this table is defined twice", first_header(notes, text, line, key.len())),
        None => (key, "this key is defined twice", first_key(notes, root, text, &place)),
    };
    hide_line(notes, place.file, text, place.start);
    let problem = notes.error(place, path.to_owned(), what);
    if let Some(span) = first.filter(|span| span.start < place.start) {
        problem.other(Place::new(place.file, span), "first defined here");
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// The last part of the first line that begins with this header, `key_len` octets.
fn first_header(notes: &Notes, text: &str, header: &str, key_len: usize) -> Option<Range<usize>> {
    if !notes.suggests() {
        return None;
    }
    let mut found = text.match_indices(header).map(|(start, _)| start);
    let start = found.find(|start| {
        line_start(text, *start) == *start && text[start + header.len()..].trim_start().starts_with(']')
    })?;
    let end = start + header.len();
    Some(end - key_len..end)
}

/// The nearest key of this name before: in its table it is the only one.
fn first_key(notes: &Notes, root: &DeTable<'_>, text: &str, place: &Place) -> Option<Range<usize>> {
    let name = text.get(place.start..place.end)?;
    let mut open = if notes.suggests() { vec![root] } else { Vec::new() };
    let mut nearest: Option<Range<usize>> = None;
    while let Some(table) = open.pop() {
        for (key, value) in table {
            let span = key.span();
            let before = span.start < place.start && text.get(span.clone()) == Some(name);
            if before && nearest.as_ref().is_none_or(|nearest| nearest.start < span.start) {
                nearest = Some(span);
            }
            match value.get_ref() {
                DeValue::Table(inner) => open.push(inner),
                DeValue::Array(list) => {
                    open.extend(list.iter().filter_map(|element| element.get_ref().as_table()))
                }
                DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) => {}
                DeValue::Boolean(_) | DeValue::Datetime(_) => {}
            }
        }
    }
    nearest
}

/// Hides every value whose key looks like one of a secret, wherever it stands and however it is spelled.
pub(super) fn hide_secrets(parsed: &[Parsed<'_>], notes: &mut Notes) {
    for Parsed { file, root } in parsed {
        let mut open = vec![(root.get_ref(), false)];
        while let Some((table, inside)) = open.pop() {
            for (key, value) in table {
                let secret = inside || is_secret(key.get_ref());
                match value.get_ref() {
                    DeValue::Table(inner) => open.push((inner, secret)),
                    _ if secret => notes.hide(Place::new(*file, value.span())),
                    DeValue::Array(list) => {
                        let tables = list.iter().filter_map(|element| element.get_ref().as_table());
                        open.extend(tables.map(|inner| (inner, false)));
                    }
                    DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) => {}
                    DeValue::Boolean(_) | DeValue::Datetime(_) => {}
                }
            }
        }
    }
}

fn is_secret(key: &str) -> bool {
    ["pass", "secret", "token", "encrypt"].iter().any(|part| key.contains(part))
        || keys::nearest(key, ["password"]).is_some()
}

/// In a line that could not be read nothing tells a secret from the rest: what follows a `=` is not shown.
fn hide_line(notes: &mut Notes, file: usize, text: &str, at: usize) {
    let Some((before, after)) = text.split_at_checked(at.min(text.len())) else {
        return;
    };
    let start = line_start(text, before.len());
    let end = at + after.find('\n').unwrap_or(after.len());
    let line = text.get(start..end).unwrap_or_default();
    if let Some(equals) =
        line.find('=').filter(|equals| is_secret(line[..*equals].trim()) || line.contains("pass"))
    {
        notes.hide(Place::new(file, start + equals + 1..end));
    }
}

impl<'a> Document<'a> {
    /// Sorts the tables of all files by kind.
    pub(super) fn new(parsed: &'a [Parsed<'a>], notes: &mut Notes) -> Self {
        let mut document = Self::default();
        let roots: Vec<Table<'a>> = parsed
            .iter()
            .map(|parsed| {
                let place = Place::new(parsed.file, 0..0);
                Table { path: String::new(), place, entries: parsed.root.get_ref(), fallback: None }
            })
            .collect();
        for root in &roots {
            root.check_keys(notes, &keys::ROOT);
            document.take_defaults(root, notes);
        }
        for root in &roots {
            document.take_tables(root, notes);
        }
        document
    }

    fn take_defaults(&mut self, root: &Table<'a>, notes: &mut Notes) {
        let Some((place, value)) = entry(root, "defaults") else {
            return;
        };
        let Some(entries) = table_of(notes, "defaults", place, value) else {
            return;
        };
        let defaults = Table { path: "defaults".to_owned(), place, entries, fallback: None };
        defaults.check_keys(notes, &keys::DEFAULTS);
        for (kind, path) in [("esme", "defaults.esme"), ("carrier", "defaults.carrier")] {
            let Some((place, value)) = entry(&defaults, kind) else {
                continue;
            };
            let entries = table_of(notes, path, place, value);
            let Some(entries) = entries.filter(|_| self.is_first(notes, path.to_owned(), place)) else {
                continue;
            };
            let fallback = Some(Fallback { entries, file: place.file, path });
            match kind {
                "esme" => self.defaults_esme = fallback,
                _ => self.defaults_carrier = fallback,
            }
        }
    }

    fn take_tables(&mut self, root: &Table<'a>, notes: &mut Notes) {
        if let Some(node) = self.single(root, "node", notes) {
            self.node = Some(node);
        }
        if let Some(http) = self.single(root, "http", notes) {
            self.http = Some(http);
        }
        if let Some(journal) = self.single(root, "journal", notes) {
            self.journal = Some(journal);
        }
        if let Some(privacy) = self.single(root, "privacy", notes) {
            self.privacy = Some(privacy);
        }
        let (defaults_esme, defaults_carrier) = (self.defaults_esme, self.defaults_carrier);
        let esmes = self.named(root, "esme", defaults_esme, notes);
        let carriers = self.named(root, "carrier", defaults_carrier, notes);
        let pools = self.named(root, "pool", None, notes);
        let policies = self.named(root, "policy", None, notes);
        let classes = self.named(root, "class", None, notes);
        self.esmes.extend(esmes);
        self.carriers.extend(carriers);
        self.pools.extend(pools);
        self.policies.extend(policies);
        self.classes.extend(classes);
        self.listens |= root.entries.contains_key("listener");
        self.listeners.extend(listed(root, "listener", notes));
        self.routes.extend(listed(root, "route", notes));
        self.mo_routes.extend(listed(root, "mo_route", notes));
        self.cdrs.extend(listed(root, "cdr", notes));
    }

    /// `[kind]`, which stands once.
    fn single(&mut self, root: &Table<'a>, kind: &str, notes: &mut Notes) -> Option<Table<'a>> {
        let (place, value) = entry(root, kind)?;
        let entries = table_of(notes, kind, place, value)?;
        let first = self.is_first(notes, kind.to_owned(), place);
        first.then(|| Table { path: kind.to_owned(), place, entries, fallback: None })
    }

    /// `[kind.NAME]` in file order.
    fn named(
        &mut self,
        root: &Table<'a>,
        kind: &str,
        fallback: Option<Fallback<'a>>,
        notes: &mut Notes,
    ) -> Vec<Named<'a>> {
        let tables = entry(root, kind).and_then(|(place, value)| table_of(notes, kind, place, value));
        let mut named = Vec::new();
        for (key, value) in tables.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            let path = join(kind, name);
            let place = Place::new(root.place.file, key.span());
            let header = Place::new(root.place.file, value.span());
            let Some(entries) = table_of(notes, &path, header, value.get_ref()) else {
                continue;
            };
            if self.is_first(notes, path.clone(), place) {
                let table = Table { path, place: header, entries, fallback };
                named.push(Named { name, place, table });
            }
        }
        named.sort_by_key(|named| named.place);
        named
    }

    /// False, and a note of both places, when a table of this path stands elsewhere already.
    fn is_first(&mut self, notes: &mut Notes, path: String, place: Place) -> bool {
        if let Some(first) = self.seen.get(&path) {
            notes.error(place, path, "this table is defined twice").other(*first, "first defined here");
            return false;
        }
        self.seen.insert(path, place);
        true
    }
}

/// The entry of `key`, borrowed from the text rather than from the table.
fn entry<'a>(table: &Table<'a>, key: &str) -> Option<(Place, &'a DeValue<'a>)> {
    let value = table.entries.get(key)?;
    Some((Place::new(table.place.file, value.span()), value.get_ref()))
}

fn table_of<'a>(
    notes: &mut Notes,
    path: &str,
    place: Place,
    value: &'a DeValue<'a>,
) -> Option<&'a DeTable<'a>> {
    let table = value.as_table();
    if table.is_none() && !notes.partial {
        let message = format!("found {}", found(value));
        notes.error(place, path.to_owned(), message).allowed("a table");
    }
    table
}

/// `[[kind]]` in file order.
fn listed<'a>(root: &Table<'a>, kind: &str, notes: &mut Notes) -> Vec<Table<'a>> {
    let Some((place, value)) = entry(root, kind) else {
        return Vec::new();
    };
    let allowed = format!("one or more [[{kind}]]");
    let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
        if notes.partial {
            return Vec::new(); // what was recovered of a torn text is not what its author wrote
        }
        let message = format!("found {}", found(value));
        notes.error(place, kind.to_owned(), message).allowed(allowed).help(format!("write [[{kind}]]"));
        return Vec::new();
    };
    let mut tables = Vec::with_capacity(list.len());
    for (index, element) in list.iter().enumerate() {
        let path = format!("{kind}[{index}]");
        let place = Place::new(root.place.file, element.span());
        if let Some(entries) = table_of(notes, &path, place, element.get_ref()) {
            tables.push(Table { path, place, entries, fallback: None });
        }
    }
    tables
}
