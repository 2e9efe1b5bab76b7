//! `[class.NAME]`. Owns: its defaults and ranges. Takes: its table. Gives: the settings.

use super::document::Document;
use super::keys;
use super::report::Notes;
use crate::limits::{CLASSES_MAX, PRIORITY_MAX, WEIGHT_CLASS_MAX};
use crate::route::lanes::ClassSettings;

/// Reads every class.
pub(super) fn read(document: &Document<'_>, notes: &mut Notes) -> Vec<ClassSettings> {
    if let Some(over) = document.classes.get(CLASSES_MAX) {
        let message = format!("found {} classes", document.classes.len());
        notes.error(over.place, "class".to_owned(), message).allowed(format!("at most {CLASSES_MAX}"));
        return Vec::new();
    }
    let read = document.classes.iter().map(|class| {
        let table = &class.table;
        table.check_keys(notes, &keys::CLASS);
        ClassSettings {
            name: class.name.to_owned(),
            priority: table.count(notes, "priority", 0..=PRIORITY_MAX, 0),
            weight: table.count(notes, "weight", 1..=WEIGHT_CLASS_MAX, 1),
        }
    });
    read.collect()
}
