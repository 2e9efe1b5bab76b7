//! Small files that break each rule, and some that only look as if they did.

use crate::Fault;
use crate::rules::{effects, finished, header, places, sizes, top_level, unsafe_code, words};
use crate::tree::File;

/// The rule finds exactly one fault in each of these.
fn finds(rule: fn(&File) -> Vec<Fault>, wrong: &[(&str, &str)]) {
    for (path, text) in wrong {
        assert_eq!(rule(&File::example(path, text)).len(), 1, "{path}: {text}");
    }
}

/// The rule finds nothing in any of these.
fn leaves(rule: fn(&File) -> Vec<Fault>, right: &[(&str, &str)]) {
    for (path, text) in right {
        assert_eq!(rule(&File::example(path, text)), [], "{path}: {text}");
    }
}

#[test]
fn a_long_function_and_a_long_file_are_found() {
    let function =
        |lines: usize| format!("impl A {{ fn long<T>(a: [u8; 2]) -> T\n{}}} }}", "{}\n".repeat(lines - 2));
    let braced = |lines: usize| format!("fn long() {{\n{}}}\nfn short() {{}}", "x();\n".repeat(lines - 2));
    finds(
        sizes,
        &[("src/a.rs", &braced(71)), ("tests/a.rs", &braced(71)), ("bench/a.rs", &"\n".repeat(801))],
    );
    leaves(sizes, &[("src/a.rs", &braced(70)), ("src/a.rs", &"\n".repeat(800)), ("src/a.rs", &function(90))]);
}

#[test]
fn clocks_sleeps_cells_and_locks_are_found() {
    finds(
        effects,
        &[
            ("src/session/mod.rs", "let now = Instant::now();"),
            ("src/session/mod.rs", "use std::time::{Duration, Instant};"),
            ("src/session/mod.rs", "let now: std::time::SystemTime;"),
            ("src/tools/load/mod.rs", "use std::time::Instant;"),
            ("src/session/mod.rs", "std::thread::sleep(wait);"),
            ("tests/relay.rs", "use std::thread::sleep;"),
            ("src/session/mod.rs", "#[cfg(test)] mod tests { use std::cell::RefCell; }"),
            ("src/io/mod.rs", "static mut COUNT: u32 = 0;"),
            ("tests/relay.rs", "static mut COUNT: u32 = 0;"),
            ("src/shard/mod.rs", "struct Shared(Arc<Mutex<u32>>);"),
            ("src/io/mod.rs", "use std::sync::RwLock;"),
        ],
    );
    leaves(
        effects,
        &[
            (
                "src/io/clock.rs",
                "use std::{cell::RefCell, time::{Instant, SystemTime}}; let now = Instant::now();",
            ),
            ("src/sidecar/mod.rs", "tokio::time::sleep(wait).await; let state = Arc::new(Mutex::new(0));"),
            (
                "src/session/mod.rs",
                "use crate::time::Instant; use std::time::Duration; fn now(at: Instant) {}",
            ),
            ("src/session/mod.rs", "// Instant::now() and a RefCell\nlet text = \"static mut\";"),
            ("tests/relay.rs", "let limit = std::time::Instant::now() + wait;"),
        ],
    );
}

#[test]
fn unsafe_code_elsewhere_or_without_a_reason_is_found() {
    finds(
        unsafe_code,
        &[
            ("src/smpp/sm.rs", "// SAFETY: it is mapped.\nunsafe { read() };"),
            ("src/io/ring.rs", "unsafe { read() };"),
            ("src/io/ring.rs", "// SAFETY: of another statement.\nlet x = 1;\nunsafe { read() };"),
            ("tests/alloc.rs", "unsafe impl Sync for A {}"),
        ],
    );
    leaves(
        unsafe_code,
        &[
            (
                "src/io/ring.rs",
                "// SAFETY: it is mapped\n// for as long as we live.\nlet x =\n    unsafe { read() };",
            ),
            ("src/io/ring.rs", "#![allow(unsafe_code)] // unsafe only in words"),
            ("tests/alloc.rs", "// SAFETY: it passes everything on.\nunsafe impl Sync for A {}"),
        ],
    );
}

#[test]
fn a_missing_header_or_word_is_found() {
    finds(
        header,
        &[
            ("src/smpp/sm.rs", "use crate::limits;"),
            ("tests/relay.rs", "\n//! Late."),
            ("src/smpp/mod.rs", "//! Owns: a. Takes: b.\n//! Gives: c.\npub mod sm;"),
            ("src/limits.rs", "//! Owns: the numbers. Takes, gives: nothing."),
        ],
    );
    leaves(
        header,
        &[
            ("src/smpp/sm.rs", "//! One layout."),
            ("src/tools/load/mod.rs", "//! A generator."),
            ("src/smpp/mod.rs", "//! Owns: a. Takes, gives: b.\n//! Never: c."),
            ("src/lib.rs", "//! The house."),
        ],
    );
}

#[test]
fn what_is_left_for_later_is_found() {
    finds(
        finished,
        &[
            ("src/a.rs", "fn a() { todo!() }"),
            ("tests/a.rs", "fn a() { unimplemented!(\"b\") }"),
            ("tests/a.rs", "#[test] #[ignore] fn a() {}"),
            ("src/a.rs", "fn a() { b.unwrap(); }"),
            ("src/a.rs", "#[cfg(not(test))] fn a() { b.expect(\"c\"); }"),
        ],
    );
    leaves(
        finished,
        &[
            ("tests/a.rs", "#[test] #[ignore = \"needs a minute\"] fn a() { b.unwrap(); }"),
            ("src/a.rs", "fn a() { b.unwrap_or(c); } #[cfg(test)] mod tests { fn d() { e.unwrap(); } }"),
            ("src/a.rs", "// todo!() and b.unwrap()\nlet todo = 1;"),
        ],
    );
    for word in [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|halves| halves.concat()) {
        finds(words, &[("src/a.rs", &format!("// {word}: b")), ("tests/a/run", &format!("# {word}"))]);
        leaves(words, &[("src/a.rs", &format!("// {word}S, a{word}")), ("src/a.rs", &word.to_lowercase())]);
    }
}

#[test]
fn a_place_of_one_machine_is_found() {
    let folder = ["/wo", "rk/a"].concat();
    let host = ["crates", ".io"].concat();
    let source = format!("source = \"registry+https://github.com/rust-lang/{host}-index\"");
    finds(places, &[("tests/a/run", &format!("cd {folder}")), ("README.md", &host), ("Cargo.toml", &source)]);
    leaves(
        places,
        &[
            ("Cargo.lock", &source),
            ("tests/a/Cargo.lock", &source),
            ("README.md", &format!("net{folder} and {{}}{folder}")),
        ],
    );
}

#[test]
fn a_stranger_at_the_top_level_is_found() {
    let names = |names: [&str; 3]| names.map(str::to_owned);
    assert_eq!(top_level(&names(["src", ".ci", "notes.md"])).len(), 1);
    assert_eq!(top_level(&names(["src", ".ci", "README.md"])), []);
}
