//! Names → numbers. Owns: the names of one kind of table. Takes: a value that names one. Gives: its index, or a
//! note with the nearest name. Never: creates a name.

use super::document::Named;
use super::keys::{listed, nearest};
use super::report::Notes;
use super::table::{Item, found};
use std::collections::HashMap;

/// The names of one kind of table.
#[derive(Debug)]
pub(super) struct Names<'a> {
    kind: &'static str,
    indices: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
}

/// How many names a note lists at most.
const LISTED_MAX: usize = 20;

impl<'a> Names<'a> {
    pub(super) fn new(kind: &'static str, tables: &[Named<'a>]) -> Self {
        let names: Vec<&str> = tables.iter().map(|named| named.name).collect();
        let indices = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        Self { kind, indices, names }
    }

    /// The index of the table that `item` names.
    pub(super) fn resolve(&self, item: &Item<'_>, notes: &mut Notes) -> Option<usize> {
        let kind = self.kind;
        let text = item.text(notes, &format!("the name of a [{kind}.NAME] table"))?;
        if let Some(index) = self.indices.get(text) {
            return Some(*index);
        }
        if notes.partial {
            return None;
        }
        let meant = if notes.suggests() { nearest(text, self.names.iter().copied()) } else { None };
        let message = format!("there is no {kind} {}", found(item.value));
        let mut allowed = listed(self.names.iter().copied().take(LISTED_MAX));
        match self.names.len().checked_sub(LISTED_MAX) {
            Some(0) | None => {}
            Some(more) => allowed.push_str(&format!(" and {more} more")),
        }
        let problem = notes.error(item.place, item.path(), message).allowed(allowed);
        problem.help(match meant {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("add [{kind}.{}]", super::table::join("", text)),
        });
        None
    }
}
