//! Numbers and prefixes in files of their own, and faults far down in what is long.

use super::super::{Problem, Report};
use super::{SMALL, load_files, load_text};
use crate::route::settings::Pattern;

const ROUTE: &str = "[[route]]\npool = \"main\"\nwhen = { to = [\"1*\", \"file:lists/a.txt\", \"2\"] }\n";

/// The patterns of a route with this list, or everything that is wrong: place, key and all that is said of it.
fn with(list: &str) -> Result<Vec<Pattern>, String> {
    let text = format!("{SMALL}{ROUTE}");
    let loaded = load_files(&[("main.toml", &text), ("lists/a.txt", list)]);
    loaded.map(|loaded| loaded.config.routes[0].to.clone()).map_err(|report| said(&report))
}

fn said(report: &Report) -> String {
    let line = |one: &Problem| {
        let Problem { file, line, column, key, message, help, .. } = one;
        format!("{file}:{line}:{column} {key}: {message} {help}\n")
    };
    report.problems().iter().map(line).collect()
}

#[test]
fn the_lines_of_a_list_stand_where_its_name_does() {
    let patterns = with("# of the north\n382*\r\n\n  14499\t\n#381*\n*").unwrap();
    let wanted = ["1*", "382*", "14499", "*", "2"].map(|text| Pattern::parse(text).unwrap());
    assert_eq!(patterns, wanted);
}

#[test]
fn a_fault_in_a_list_is_named_by_its_own_file_line_and_column() {
    let report = with("382*\n# 3 4\n\t 38x *\n+381*\n").unwrap_err();
    assert_eq!(
        report,
        "lists/a.txt:3:3 route[0].when.to[1]: found \"38x *\" \n\
         lists/a.txt:4:1 route[0].when.to[1]: found \"+381*\" write 381*\n"
    );
}

#[test]
fn a_list_that_is_missing_or_holds_nothing_is_a_fault_where_it_is_named() {
    let empty = with("# nothing\n\n").unwrap_err();
    let missing = said(&load_text(&format!("{SMALL}{ROUTE}")).unwrap_err());
    let place = "main.toml:18:22 route[0].when.to[1]:";
    assert_eq!(empty, format!("{place} lists/a.txt holds no number and no prefix \n"));
    assert_eq!(missing, format!("{place} cannot read lists/a.txt: no such file \n"));
}

#[test]
fn the_last_of_many_accounts_and_prefixes_is_checked_like_the_first() {
    let mut text = SMALL.to_owned();
    for number in 0..20_000 {
        text.push_str(&format!("[esme.a{number}]\npassword = \"p\"\npool = \"main\"\n"));
    }
    let lines = text.lines().count();
    text.push_str("window_max = 0\n");
    text.push_str(ROUTE);
    let list: String = (0..20_000).map(|number| format!("4{number:05}*\n")).collect::<String>() + "4:*:\n";
    let report = load_files(&[("main.toml", &text), ("lists/a.txt", &list)]).unwrap_err();
    let places: Vec<_> = report
        .problems()
        .iter()
        .map(|one| (one.key.as_str(), one.file.as_str(), one.line, one.column))
        .collect();
    assert_eq!(
        places,
        [
            ("esme.a19999.window_max", "main.toml", lines + 1, 14),
            ("route[0].when.to[1]", "lists/a.txt", 20_001, 1)
        ]
    );
}
