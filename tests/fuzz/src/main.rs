//! One target under libFuzzer: the one that `FUZZ_TARGET` names.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use targets::{Target, named};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| named(&std::env::var("FUZZ_TARGET").unwrap_or_default()));
    // Longer ones come when inputs are joined.
    (target.run)(data.get(..target.len_max).unwrap_or(data));
});
