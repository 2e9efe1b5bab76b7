//! The targets of the fuzzer: each takes any octets and asserts what must hold of them, not only that nothing panics. They
//! run three ways: over their seeds with some changes in `cargo test`, guided by coverage in `tests/fuzz/run`, and one
//! input at a time.

mod config;
mod driver;
mod pdus;
mod session;
mod shard;
mod texts;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// As it is asked for.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: fn(&[u8]),
    /// The longest input that is worth trying, octets.
    pub(crate) len_max: usize,
}

/// All of them.
pub(crate) const TARGETS: [Target; 8] = [
    Target { name: "pdus", run: pdus::pdus, len_max: 400 },
    Target { name: "tlvs", run: texts::tlvs, len_max: 64 },
    Target { name: "receipts", run: texts::receipts, len_max: 200 },
    Target { name: "headers", run: texts::headers, len_max: 160 },
    Target { name: "texts", run: texts::texts, len_max: 64 },
    Target { name: "session", run: session::session, len_max: 200 },
    Target { name: "config", run: config::config, len_max: 2000 },
    Target { name: "shard", run: shard::shard, len_max: 600 },
];

/// The target of this name.
pub(crate) fn named(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}
