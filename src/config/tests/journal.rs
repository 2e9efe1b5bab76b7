//! The journal, what accounts and routes say of it, and where call detail records go.

use super::{SMALL, config, load_files, load_text};
use crate::config::{Cdr, Severity};
use crate::esme::settings::{Durability, Mode, Waiting};
use crate::route::settings::Nobody;
use crate::time::Duration;
use std::path::Path;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// `SMALL` with a journal and more below it; the first line of `more` is line 17.
fn with(more: &str) -> String {
    format!("{SMALL}[journal]\n{more}")
}

/// `line:column key: message` and the help of each finding.
fn found(text: &str) -> Vec<String> {
    let report = load_text(text).unwrap_err();
    let line = |one: &crate::config::Problem| {
        format!("{}:{} {}: {} {}", one.line, one.column, one.key, one.message, one.help)
    };
    report.problems().iter().map(|one| line(one).trim_end().to_owned()).collect()
}

#[test]
fn without_its_table_there_is_no_journal_and_with_an_empty_one_defaults_hold() {
    let without = config(SMALL);
    assert_eq!((&without.journal, without.cdrs.len()), (&None, 0));
    let with = config(&with("[[cdr]]\npath = \"cdr.jsonl\"\n"));
    let journal = with.journal.unwrap();
    assert_eq!((journal.durability, journal.group_commit), (Durability::Group, Duration::ZERO));
    assert_eq!((journal.segment_size, journal.size_max), (64 << 20, 20 << 30));
    assert_eq!((journal.min_free, journal.retry.jitter), (10, 20));
    assert_eq!((journal.retry.waits[0], journal.retry.give_up_after), (5 * SECOND, 2 * DAY));
    assert_eq!(with.cdrs, [Cdr { path: "cdr.jsonl".into(), rotate: DAY, keep: 400 * DAY }]);
    let esme = &with.esmes[0];
    assert_eq!((esme.mode, esme.durability), (Mode::Relay, None));
    assert_eq!(esme.waiting, Waiting { count_max: 100_000, keep: 3 * DAY });
    assert_eq!(without.esmes[0].waiting, esme.waiting);
}

#[test]
fn what_is_set_is_read() {
    let text = with(
        "durability = \"off\"\ngroup_commit = \"5ms\"\nsegment_size = \"256MiB\"\nsize_max = \"1024GiB\"\nmin_free = \"90%\"\n\
         [[cdr]]\nkind = \"file\"\npath = \"/a/{date}/b.jsonl\"\nrotate = \"1m\"\nkeep = \"3660d\"\n\
         [[mo_route]]\nnobody = \"queue\"\ndeliver = [{ esme = \"acme\" }]\n\
         [defaults.esme]\ndurability = \"group\"\nwaiting = { count_max = 10_000_000, keep = \"30d\" }\n\
         [esme.b]\npassword = \"x\"\npool = \"main\"\ndurability = \"strict\"\nwaiting = { keep = \"1m\" }\n",
    );
    let config = config(&text);
    let journal = config.journal.unwrap();
    assert_eq!((journal.durability, journal.group_commit), (Durability::Off, Duration::from_millis(5)));
    assert_eq!((journal.segment_size, journal.size_max, journal.min_free), (256 << 20, 1 << 40, 90));
    let said: Vec<_> = config.esmes.iter().map(|esme| (esme.durability, esme.waiting)).collect();
    let waiting = |count_max, keep| Waiting { count_max, keep };
    assert_eq!(said[0], (Some(Durability::Group), waiting(10_000_000, 30 * DAY)));
    assert_eq!(said[1], (Some(Durability::Strict), waiting(100_000, 60 * SECOND)));
    assert_eq!(config.mo_routes[0].nobody, Nobody::Queue);
    let cdr = Cdr { path: "/a/{date}/b.jsonl".into(), rotate: 60 * SECOND, keep: 3660 * DAY };
    assert_eq!(config.cdrs, [cdr]);
}

#[test]
fn paths_are_in_the_folder_of_the_file_that_names_them() {
    let main = format!("include = [\"d/kept.toml\"]\n{SMALL}[journal]\n");
    let kept = "[node]\ndata_dir = \"kept\"\n[[cdr]]\npath = \"cdr/{date}.jsonl\"\n";
    let loaded = load_files(&[("main.toml", &main), ("d/kept.toml", kept)]).unwrap();
    assert_eq!(loaded.config.node.data_dir, Path::new("d/kept"));
    assert_eq!(loaded.config.cdrs[0].path, Path::new("d/cdr/{date}.jsonl"));
    assert_eq!(config(SMALL).node.data_dir, Path::new("data"));
}

#[test]
fn a_value_out_of_its_range_is_told_where_it_stands() {
    let journal = [
        ("durability = \"grup\"", "14 ", "durability: found \"grup\" did you mean \"group\"?"),
        ("group_commit = \"21ms\"", "16 ", "group_commit: found \"21ms\""),
        ("group_commit = 1", "16 ", "group_commit: found the integer 1"),
        ("segment_size = \"15MiB\"", "16 ", "segment_size: found \"15MiB\""),
        ("segment_size = \"257MiB\"", "16 ", "segment_size: found \"257MiB\""),
        ("segment_size = \"16777217B\"", "16 ", "segment_size: found \"16777217B\""),
        ("size_max = \"95MiB\"", "12 ", "size_max: found \"95MiB\""),
        ("size_max = \"65537GiB\"", "12 ", "size_max: found \"65537GiB\""),
        ("min_free = \"91%\"", "12 ", "min_free: found \"91%\""),
        ("min_free = 0.1", "12 ", "min_free: found the number 0.1"),
    ];
    for (line, column, fault) in journal {
        assert_eq!(found(&with(&format!("{line}\n"))), [format!("17:{column}journal.{fault}")], "{line}");
    }
    let esme = [
        ("durability = \"\"", "14 ", "durability: found \"\""),
        ("waiting = 5", "11 ", "waiting: found the integer 5"),
        ("waiting = { count_max = 0 }", "25 ", "waiting.count_max: found the integer 0"),
        ("waiting = { count_max = 10_000_001 }", "25 ", "waiting.count_max: found the integer 10000001"),
        ("waiting = { keep = \"59s\" }", "20 ", "waiting.keep: found \"59s\""),
        ("waiting = { keep = \"31d\" }", "20 ", "waiting.keep: found \"31d\""),
    ];
    for (line, column, fault) in esme {
        let text = with(&format!("[defaults.esme]\n{line}\n"));
        assert_eq!(found(&text), [format!("18:{column}defaults.esme.{fault}")], "{line}");
    }
    let braces = "between { and } stands `date` and nothing else";
    let cdr = [
        ("rotate = \"59s\"", "10 ", "rotate: found \"59s\"".to_owned()),
        ("rotate = \"367d\"", "10 ", "rotate: found \"367d\"".to_owned()),
        ("keep = \"59m\"", "8 ", "keep: found \"59m\"".to_owned()),
        ("keep = \"3661d\"", "8 ", "keep: found \"3661d\"".to_owned()),
        ("kind = \"fiel\"", "8 ", "kind: found \"fiel\" did you mean \"file\"?".to_owned()),
        ("path = \"\"", "8 ", "path: found \"\"".to_owned()),
        ("path = \"cdr/\"", "8 ", format!("path: found \"cdr/\" {braces}")),
        ("path = \"cdr/{day}\"", "8 ", format!("path: found \"cdr/{{day}}\" {braces}")),
    ];
    for (line, column, fault) in cdr {
        let path = if line.starts_with("path") { "" } else { "path = \"x\"\n" };
        let text = with(&format!("[[cdr]]\n{line}\n{path}"));
        assert_eq!(found(&text), [format!("18:{column}cdr[0].{fault}")], "{line}");
    }
}

#[test]
fn what_needs_a_journal_says_so_when_there_is_none() {
    let text = format!(
        "{SMALL}[defaults.esme]\nwaiting = {{}}\n[esme.b]\npassword = \"x\"\npool = \"main\"\ndurability = \"off\"\n\
         [[mo_route]]\ndeliver = [{{ esme = \"acme\" }}]\nnobody = \"queue\"\n[[cdr]]\npath = \"a\"\n"
    );
    let help = "and there is no [journal] add [journal], or remove this";
    assert_eq!(
        found(&text),
        [
            format!("17:11 defaults.esme.waiting: what waits for this account waits in the journal, {help}"),
            format!("21:14 esme.b.durability: this says what a promise in the journal survives, {help}"),
            format!("24:10 mo_route[0].nobody: what is queued waits in the journal, {help}"),
            "25:1 cdr[0]: call detail records are taken from the journal, and there is none \
             add [journal], or remove this"
                .to_owned(),
        ]
    );
    let with_journal = format!("{text}[journal]\n");
    assert!(load_text(&with_journal).is_ok(), "{}", load_text(&with_journal).unwrap_err().render(false));
    let refuse = format!("{SMALL}[[mo_route]]\ndeliver = [{{ esme = \"acme\" }}]\nnobody = \"refuse\"\n");
    assert!(load_text(&refuse).is_ok());
    let folder = load_text(&format!("{SMALL}[node]\ndata_dir = \"x\"\n")).unwrap().warnings;
    assert_eq!(folder.problems()[0].severity, Severity::Warning);
    assert_eq!(folder.problems()[0].message, "nothing is kept there: there is no [journal]");
}

#[test]
fn a_journal_holds_six_segments_for_each_shard() {
    let text = |shards: &str, size: &str| {
        format!("[node]\nshards = {shards}\n{}", with(&format!("segment_size = \"64MiB\"\n{size}\n")))
    };
    assert!(load_text(&text("2", "size_max = \"1GiB\"")).is_ok());
    assert_eq!(
        found(&text("5", "size_max = \"1GiB\"")),
        ["20:12 journal.size_max: found 1GiB; 5 shards with 6 segments of 64MiB each need 1920MiB"]
    );
    // How many shards "auto" makes is known at the start.
    assert!(load_text(&text("\"auto\"", "size_max = \"384MiB\"")).is_ok());
    let small = found(&text("\"auto\"", "size_max = \"383MiB\""));
    assert!(small[0].contains("found 383MiB; 1 shards"), "{small:?}");
    let large = format!("[node]\nshards = 64\n{}", with("segment_size = \"256MiB\"\n"));
    assert_eq!(
        found(&large),
        ["18:1 journal.size_max: found 20GiB; 64 shards with 6 segments of 256MiB each need 96GiB"]
    );
}

#[test]
fn a_wait_for_company_needs_somebody_who_commits_in_groups() {
    let alone = with("durability = \"strict\"\ngroup_commit = \"1ms\"\n");
    let help = "remove it, or set durability = \"group\"";
    assert_eq!(found(&alone), [format!("18:16 journal.group_commit: nothing is committed in groups {help}")]);
    assert!(load_text(&format!("{alone}[defaults.esme]\ndurability = \"group\"\n")).is_ok());
}

#[test]
fn two_places_of_call_detail_records_are_not_the_same_and_they_are_bounded() {
    let two = with("[[cdr]]\npath = \"a\"\n[[cdr]]\npath = \"a\"\n");
    assert_eq!(found(&two), ["20:8 cdr[1].path: a is written by another [[cdr]]"]);
    assert_eq!(found(&with("[[cdr]]\n")), ["17:1 cdr[0].path: missing"]);
    let many: String = (0..17).map(|at| format!("[[cdr]]\npath = \"a{at}\"\n")).collect();
    assert_eq!(found(&with(&many)), ["49:1 cdr: found 17 of them"]);
}

#[test]
fn a_message_is_stored_in_a_journal_and_under_an_id_of_ours() {
    let store = "[defaults.esme]\nmode = \"store\"\n";
    assert!(load_text(&with(store)).is_ok());
    let carriers = with(&format!("{store}message_id = \"carrier\"\n"));
    let why = "a stored message is answered before a carrier has given it an id";
    let help = "remove it, or set mode = \"relay\"";
    assert_eq!(found(&carriers), [format!("19:14 defaults.esme.message_id: {why} {help}")]);
}

#[test]
fn how_long_is_kept_what_messages_say_has_its_ranges_and_its_relation() {
    let privacy = |more: &str| format!("{}[[cdr]]\npath = \"x\"\n[privacy]\n{more}\n", with(""));
    let defaults = config(&privacy("")).privacy;
    assert_eq!((defaults.keep_text, defaults.erase_within), (Duration::ZERO, 7 * DAY));
    assert_eq!(defaults.keep_numbers, None);
    let set = config(&privacy("keep_text = \"100m\"\nerase_within = \"1m\"\nkeep_numbers = \"1h\"")).privacy;
    assert_eq!((set.keep_text, set.erase_within), (6000 * SECOND, 60 * SECOND));
    assert_eq!(set.keep_numbers, Some(3600 * SECOND));
    for (line, column, fault) in [
        ("keep_text = \"401d\"", 13, "keep_text: found \"401d\""),
        ("erase_within = \"59s\"", 16, "erase_within: found \"59s\""),
        ("keep_numbers = \"59m\"", 16, "keep_numbers: found \"59m\""),
        ("keep_text = \"400d\"\nerase_within = \"1d\"", 16, "erase_within: erase_within is 24h"),
    ] {
        let found = found(&privacy(line));
        let row = 20 + line.matches('\n').count();
        assert_eq!(found, [format!("{row}:{column} privacy.{fault}")], "{line}");
    }
    let alone = format!("{SMALL}[privacy]\nkeep_text = \"1h\"\nkeep_numbers = \"1d\"\n");
    let faults = found(&alone);
    assert!(
        faults[0].contains("there is no [journal]") && faults[1].contains("there are no [[cdr]]"),
        "{faults:?}"
    );
}
