//! How much is done, and what came of it.

use std::fmt::Write as _;
use std::io::Write as _;

/// So many, or so many when `FIELD_LONG` is set.
pub(crate) fn scaled(short: u64, long: u64) -> u64 {
    if std::env::var_os("FIELD_LONG").is_some() { long } else { short }
}

/// One line of the table: problem, test, what was injected, what was reached, what was wanted.
#[expect(clippy::explicit_write, reason = "println! would be captured")]
pub(crate) fn figure(problem: &str, test: &str, injected: &str, reached: &str, target: &str) {
    writeln!(std::io::stdout(), "field: {problem} | {test} | {injected} | {reached} | {target}").unwrap();
}

/// The keys of a carrier; what `keys` says comes last.
pub(crate) fn carrier(name: &str, keys: &str) -> String {
    format!(
        "[carrier.{name}]\naddresses = [\"{name}.example:2775\"]\nsystem_id = \"bindery\"\npassword = \"secret\"\n{keys}\n"
    )
}

/// The keys of an account of the pool `main`.
pub(crate) fn account(name: &str, keys: &str) -> String {
    format!("[esme.{name}]\npassword = \"secret\"\npool = \"main\"\n{keys}\n")
}

/// The pool `main` of carriers with these weights and tiers; `keys` stand before.
pub(crate) fn pool(keys: &str, members: &[(&str, u32, u32)]) -> String {
    let mut list = String::new();
    for (name, weight, tier) in members {
        write!(list, "{{ carrier = \"{name}\", weight = {weight}, tier = {tier} }}, ").unwrap();
    }
    format!("[pool.main]\n{keys}\nmembers = [{}]\n", list.trim_end_matches(", "))
}

/// One account `a`, one carrier `alpha`.
pub(crate) fn one_to_one(account_keys: &str, carrier_keys: &str) -> String {
    account("a", account_keys) + &carrier("alpha", carrier_keys) + &pool("", &[("alpha", 1, 1)])
}
