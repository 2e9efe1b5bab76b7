//! The configuration as its users meet it: files in, a value or a drawn report out.

mod acts;
mod bad;
mod good;
mod journal;
mod lists;

use super::{Config, Files, Loaded, Report, load};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Loads `main.toml` of a world that has these files and the variables `ACME_PASSWORD` and `EMPTY`.
fn load_files(files: &[(&str, &str)]) -> Result<Loaded, Report> {
    let files: BTreeMap<PathBuf, &str> =
        files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
    let mut read = |path: &Path| {
        files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| io::Error::other("no such file"))
    };
    let mut list = |folder: &Path| {
        let inside = files.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.rev().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    };
    let mut env = |name: &str| match name {
        "ACME_PASSWORD" => Some("s3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    load(Path::new("main.toml"), &mut Files { read: &mut read, list: &mut list, env: &mut env })
}

pub(super) fn load_text(text: &str) -> Result<Loaded, Report> {
    load_files(&[("main.toml", text)])
}

/// The value of a text that must be good.
fn config(text: &str) -> Config {
    load_text(text).unwrap_or_else(|report| panic!("{}", report.render(false))).config
}

/// The drawing of everything wrong with a text that must be bad.
fn drawn(text: &str) -> String {
    load_text(text).unwrap_err().render(false)
}

/// A configuration that needs no more, for tests to add to.
pub(super) const SMALL: &str = r#"
[[listener]]
address = "127.0.0.1:2775"

[esme.acme]
password = "secret"
pool = "main"

[carrier.alpha]
addresses = ["localhost:2776"]
system_id = "bindery"
password = "secret"

[pool.main]
members = [{ carrier = "alpha" }]
"#;
