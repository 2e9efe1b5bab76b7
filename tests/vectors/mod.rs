//! The test vectors of `tests/data/vectors.json`.

use serde_json::Value;

/// A list of the file by its name.
pub(crate) fn list(name: &str) -> Vec<Value> {
    let all: Value =
        serde_json::from_str(include_str!("../data/vectors.json")).expect("vectors.json is JSON");
    all[name].as_array().expect("the list exists").clone()
}

/// The octets of lower-case hexadecimal.
pub(crate) fn octets(hex: &Value) -> Vec<u8> {
    let text = hex.as_str().expect("hexadecimal is text");
    assert!(text.len().is_multiple_of(2));
    let octet =
        |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    text.as_bytes().chunks(2).map(octet).collect()
}
