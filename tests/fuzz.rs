//! The targets of the fuzzer over their seeds, and over seeds that were changed a little: what `tests/fuzz/run` does for
//! minutes with coverage to guide it, in seconds and without.
//!
//! `FUZZ_SEED` begins elsewhere, `FUZZ_ROUNDS` says how many inputs each target gets, `FUZZ_INPUT` replays a file (its
//! target's name stands in `FUZZ_TARGET`), `FUZZ_SEEDS` is a folder that the seeds are written to, `FUZZ_CORPUS` one
//! where what the fuzzer has found is, which is tried as well.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/targets/mod.rs"]
mod targets;
mod vectors;

use bindery::prng::Prng;
use std::io::Write as _;
use std::path::Path;
use targets::{TARGETS, Target, named};

#[expect(clippy::explicit_write, reason = "println! would be captured")]
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// An input that is one or two seeds, changed here and there.
fn changed(prng: &mut Prng, seeds: &[Vec<u8>], len_max: usize) -> Vec<u8> {
    let pick = |prng: &mut Prng| seeds[prng.below(seeds.len() as u64) as usize].clone();
    let mut input = pick(prng);
    if prng.chance(1, 4) {
        let other = pick(prng);
        let cut = prng.below(input.len() as u64 + 1) as usize;
        input.truncate(cut);
        input.extend_from_slice(&other[prng.below(other.len() as u64 + 1) as usize..]);
    }
    for _ in 0..prng.below(6) {
        let at = prng.below(input.len() as u64 + 1) as usize;
        match prng.below(4) {
            0 => input.insert(at, prng.bits() as u8),
            1 if at < input.len() => drop(input.remove(at)),
            2 if at < input.len() => input[at] ^= 1 << prng.below(8),
            _ if at < input.len() => input[at] = [0, 1, 0x7F, 0x80, 0xFF, b'0'][prng.below(6) as usize],
            _ => {}
        }
    }
    input.truncate(len_max);
    input
}

/// All seeds of a target, then so many inputs made of them; says which one it was when one fails.
fn try_many(target: Target, rounds: u64) {
    struct Last<'a>(&'a str, Vec<u8>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let hex: String = self.1.iter().map(|octet| format!("{octet:02x}")).collect();
                eprintln!("{} fails with {hex}", self.0);
            }
        }
    }
    let seeds = seeds::of(target.name);
    assert!(!seeds.is_empty());
    let mut last = Last(target.name, Vec::new());
    for seed in &seeds {
        last.1.clone_from(seed);
        (target.run)(&last.1);
    }
    for found in corpus(target) {
        last.1 = found;
        (target.run)(&last.1);
    }
    let mut prng = Prng::new(number("FUZZ_SEED", 1));
    for _ in 0..rounds {
        last.1 = changed(&mut prng, &seeds, target.len_max);
        (target.run)(&last.1);
    }
    say(&format!("fuzz: {} held for {} seeds and {rounds} inputs made of them", target.name, seeds.len()));
}

/// What the fuzzer has found, when `FUZZ_CORPUS` says where.
fn corpus(target: Target) -> Vec<Vec<u8>> {
    let Some(folder) = std::env::var_os("FUZZ_CORPUS") else { return Vec::new() };
    let Ok(files) = std::fs::read_dir(Path::new(&folder).join(target.name)) else { return Vec::new() };
    let read = files.flatten().filter_map(|file| std::fs::read(file.path()).ok());
    read.map(|mut input| {
        input.truncate(target.len_max);
        input
    })
    .collect()
}

macro_rules! tests {
    ($($test:ident = $target:literal, $rounds:literal;)*) => {
        $(#[test]
        fn $test() {
            try_many(named($target), number("FUZZ_ROUNDS", $rounds));
        })*

        #[test]
        fn every_target_has_its_test() {
            assert_eq!([$($target),*], TARGETS.map(|target| target.name));
        }
    };
}

tests! {
    any_stream_of_pdus_is_framed_and_written_as_it_came = "pdus", 200_000;
    any_tlvs_are_read_in_their_order = "tlvs", 400_000;
    any_receipt_is_read_within_its_text = "receipts", 200_000;
    any_header_and_any_cut_keeps_every_octet = "headers", 200_000;
    any_text_comes_back = "texts", 200_000;
    any_session_keeps_its_window_and_its_answers = "session", 200_000;
    any_configuration_is_read_or_refused_with_a_reason = "config", 3000;
    any_node_keeps_its_promises = "shard", 6000;
}

#[test]
fn an_input_is_replayed() {
    if let Some(path) = std::env::var_os("FUZZ_INPUT") {
        let target = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
        (named(&target).run)(&std::fs::read(path).unwrap());
    }
}

#[test]
fn the_seeds_are_written_where_they_are_wanted() {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS") else { return };
    for target in TARGETS {
        let folder = Path::new(&folder).join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (at, seed) in seeds::of(target.name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
        }
    }
}
