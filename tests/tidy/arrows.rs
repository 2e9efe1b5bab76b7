//! Which room may use which: the table, and what holds the code to it.

use crate::Fault;
use crate::source::{nesting, paths, tokens};
use crate::tree::File;

/// A room and the rooms that it may use. Left of every room stand only rooms of earlier rows.
pub(crate) const ROOMS: [(&str, &[&str]); 24] = [
    ("limits", &[]),
    ("time", &[]),
    ("prng", &[]),
    ("split", &[]),
    ("ids", &[]),
    ("throttle", FIRST),
    ("counters", FIRST),
    ("smpp", &["limits", "time", "prng", "ids", "throttle", "counters"]),
    ("session", &["limits", "time", "prng", "ids", "throttle", "counters", "smpp"]),
    ("esme", SESSIONS),
    ("carrier", SESSIONS),
    ("route", SESSIONS),
    ("policy", SESSIONS),
    ("purse", SESSIONS),
    ("journal", SESSIONS),
    ("ledger", &["limits", "time", "prng", "split", "ids", "throttle", "counters", "smpp", "journal"]),
    ("config", &["limits", "time", "prng", "ids", "throttle", "smpp", "esme", "carrier", "route", "policy"]),
    ("shard", CORE),
    ("io", &["limits", "time", "prng", "ids", "counters", "journal", "shard"]),
    ("tools", OUTSIDE),
    ("sidecar", OUTSIDE),
    ("node", NODE),
    ("lib", &[]),
    ("main", EVERYTHING),
];

const FIRST: &[&str] = &["limits", "time", "prng", "ids"];
const SESSIONS: &[&str] =
    &["limits", "time", "prng", "split", "ids", "throttle", "counters", "smpp", "session"];
const CORE: &[&str] = &[
    "limits", "time", "prng", "ids", "throttle", "counters", "smpp", "session", "esme", "carrier", "route",
    "policy", "purse", "journal", "ledger", "config",
];
const OUTSIDE: &[&str] = &[
    "limits", "time", "prng", "ids", "throttle", "counters", "smpp", "session", "esme", "carrier", "route",
    "policy", "purse", "journal", "ledger", "config", "shard", "io",
];
const NODE: &[&str] = &[
    "limits", "time", "prng", "ids", "throttle", "counters", "smpp", "session", "esme", "carrier", "route",
    "policy", "purse", "journal", "ledger", "config", "shard", "io", "sidecar",
];
const EVERYTHING: &[&str] = &[
    "limits", "time", "prng", "ids", "throttle", "counters", "smpp", "session", "esme", "carrier", "route",
    "policy", "purse", "journal", "ledger", "config", "shard", "io", "tools", "sidecar", "node", "cli",
    "demo", "lib",
];

/// Modules of the binary: parts of `main` in files of their own.
const BINARY: [&str; 2] = ["cli", "demo"];

fn row(room: &str) -> Option<&'static [&'static str]> {
    let room = if BINARY.contains(&room) { "main" } else { room };
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, row)| *row)
}

/// `src/session/window.rs` and `src/session.rs` are of room `session`.
pub(crate) fn room(path: &str) -> &str {
    let below = path.trim_start_matches("src/");
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

/// How many modules deep a file is: the crate's root is 0, the door of a room 1.
fn depth(path: &str) -> usize {
    let below = path.trim_start_matches("src/").trim_end_matches(".rs");
    let below = below.strip_suffix("/mod").unwrap_or(below);
    if below == "lib" || below == "main" { 0 } else { below.split('/').count() }
}

/// Every use of a room that the table does not allow, by `crate::` or by climbing with `super::`.
pub(crate) fn check(file: &File) -> Vec<Fault> {
    let from = room(&file.path);
    let Some(allowed) = row(from) else {
        return vec![Fault::new(&file.path, 1, format!("room {from} is not in the table"))];
    };
    let tokens = tokens(&file.text);
    let nesting = nesting(&tokens);
    let mut faults = Vec::new();
    for path in paths(&tokens) {
        let token = tokens[path.at];
        let climbs = path.names.iter().take_while(|name| **name == "super" || **name == "self").count();
        let supers = path.names[..climbs].iter().filter(|name| **name == "super").count();
        let at_root = supers > 0 && supers >= depth(&file.path) + nesting[path.at];
        let target = match path.names.first() {
            Some(&"crate") => path.names.get(1),
            Some(&("super" | "self")) if at_root => path.names.get(climbs),
            _ => None,
        };
        if let Some(to) = target
            && *to != from
            && !allowed.contains(to)
        {
            faults.push(Fault::new(&file.path, token.line, format!("room {from} may not use {to}")));
        }
    }
    let renamed = tokens.windows(2).filter(|two| two[0].text == "crate" && two[1].text == "as");
    faults.extend(renamed.map(|two| Fault::new(&file.path, two[0].line, "the crate keeps its name")));
    faults
}

#[test]
fn every_arrow_of_the_table_points_left() {
    for (place, (room, row)) in ROOMS.iter().enumerate() {
        for to in *row {
            let left = ROOMS[..place].iter().any(|(name, _)| name == to);
            assert!(
                left || (*room == "main" && BINARY.contains(to)),
                "{room} uses {to}, which is not left of it"
            );
        }
    }
    let beside = [["throttle", "counters"], ["esme", "carrier"], ["carrier", "route"], ["ledger", "config"]];
    for [one, other] in
        beside.into_iter().chain([["tools", "sidecar"], ["limits", "time"], ["journal", "policy"]])
    {
        assert!(!row(one).is_some_and(|row| row.contains(&other)), "{one} and {other} stand side by side");
        assert!(!row(other).is_some_and(|row| row.contains(&one)), "{other} and {one} stand side by side");
    }
}

#[test]
fn a_wrong_arrow_is_found_however_it_is_written() {
    let wrong = [
        ("src/smpp/sm.rs", "use crate::session::Session;"),
        ("src/smpp/sm.rs", "use crate::{limits, shard::port};"),
        ("src/smpp/sm.rs", "fn f(x: &crate::io::Clock) {}"),
        ("src/smpp/sm.rs", "use super::super::session;"),
        ("src/smpp/mod.rs", "use super::session;"),
        ("src/smpp/sm.rs", "mod a { use super::super::super::session; }"),
        ("src/smpp/sm.rs", "use self::super::super::session;"),
        ("src/throttle.rs", "use crate::counters::Counter;"),
        ("src/carrier/mod.rs", "use crate::esme::Account;"),
        ("src/io/epoll.rs", "use crate::config::Config;"),
        ("src/ledger/mod.rs", "use crate::config::Config;"),
        ("src/tools/load/mod.rs", "use crate::sidecar::http;"),
        ("src/smpp/sm.rs", "use crate::*;"),
        ("src/smpp/sm.rs", "use crate::Surprise;"),
        ("src/smpp/sm.rs", "use crate as house;"),
        ("src/attic/mod.rs", ""),
    ];
    for (path, text) in wrong {
        assert_eq!(check(&File::example(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn a_right_arrow_is_left_alone() {
    let right = [
        (
            "src/smpp/sm.rs",
            "use crate::limits::PDU_MAX; use crate::{time::Instant, smpp::tlv}; pub(crate) fn f() {}",
        ),
        (
            "src/smpp/sm.rs",
            "// use crate::shard;\nlet x = \"crate::shard\"; use super::tlv; mod t { use super::*; }",
        ),
        ("src/smpp/receipt/tests.rs", "use super::super::tlv;"),
        ("src/shard/mod.rs", "use crate::{carrier, config::Config, esme, ledger, route};"),
        ("src/tools/load/mod.rs", "use crate::{io, shard::port, tools::units};"),
        ("src/main.rs", "use crate::cli; use bindery::sidecar;"),
    ];
    for (path, text) in right {
        assert_eq!(check(&File::example(path, text)), [], "{path}: {text}");
    }
}
