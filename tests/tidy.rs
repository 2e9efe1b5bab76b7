//! Holds the house: the import arrows, the sizes, where effects may be, and what a file must and must not say.
//!
//! Every rule is shown to find what it is for on a small example before it is trusted with the tree.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use std::fmt;
use tree::File;

/// A rule is broken here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl Fault {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Holds every file that `wanted` picks to a rule.
fn hold(wanted: fn(&File) -> bool, rule: fn(&File) -> Vec<Fault>) {
    let files: Vec<File> = tree::files().into_iter().filter(wanted).collect();
    assert!(files.len() > 20, "the rule has something to hold");
    none(&files.iter().flat_map(rule).collect::<Vec<Fault>>());
}

fn none(faults: &[Fault]) {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn a_room_uses_only_the_rooms_that_the_table_allows() {
    hold(File::is_source, arrows::check);
}

#[test]
fn functions_and_files_are_short() {
    hold(File::is_rust, rules::sizes);
}

#[test]
fn only_io_and_the_sidecar_have_a_clock_and_nobody_shares_state() {
    hold(File::is_rust, rules::effects);
}

#[test]
fn unsafe_code_is_in_io_and_has_its_reason() {
    hold(File::is_rust, rules::unsafe_code);
}

#[test]
fn every_file_has_a_header_and_every_door_says_its_four_things() {
    hold(File::is_rust, rules::header);
}

#[test]
fn nothing_is_left_for_later() {
    hold(File::is_rust, rules::finished);
    hold(|_| true, rules::words);
}

#[test]
fn no_text_names_a_place_of_one_machine() {
    hold(|_| true, rules::places);
}

#[test]
fn the_top_level_is_tidy() {
    let names = tree::top();
    assert!(names.iter().any(|name| name == "Cargo.toml"));
    none(&rules::top_level(&names));
}
