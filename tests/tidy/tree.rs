//! The files of the repository, without what is made or installed into it.

use crate::source;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = ["target", "node_modules", ".venv", ".git", "__pycache__"];

/// A text file: its path below the top, with `/`, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// It belongs to a module that is declared for tests only, or lies in `tests/`.
    pub(crate) test: bool,
}

impl File {
    /// A file of the given path and text, as an example.
    pub(crate) fn example(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), test: path.starts_with("tests/") }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_source(&self) -> bool {
        self.is_rust() && self.path.starts_with("src/")
    }
}

/// The names at the top level.
pub(crate) fn top() -> Vec<String> {
    names(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// Every text file.
pub(crate) fn files() -> Vec<File> {
    let mut files = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    mark_tests(&mut files);
    assert!(files.iter().filter(|file| file.is_source()).count() > 20, "the tree was found");
    files
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for name in names(folder) {
        let path = folder.join(&name);
        let below = format!("{prefix}{name}");
        let kind = path.symlink_metadata().map(|data| data.file_type());
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
            if !SKIPPED.contains(&name.as_str()) {
                walk(&path, &format!("{below}/"), files);
            }
        } else if kind.is_ok_and(|kind| kind.is_file())
            && let Ok(text) = fs::read_to_string(&path)
        {
            let test = below.starts_with("tests/");
            files.push(File { path: below, text, test });
        }
    }
}

/// The stem that the modules declared in a file live under: `src/a/mod.rs` and `src/a.rs` both give `src/a/`.
fn modules_under(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].into_iter().find_map(|door| stem.strip_suffix(door));
    format!("{}/", folder.unwrap_or(stem))
}

fn mark_tests(files: &mut [File]) {
    let mut stems = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_source()) {
        for module in source::test_modules(&source::tokens(&file.text)) {
            stems.insert(format!("{}{module}", modules_under(&file.path)));
        }
    }
    for file in files.iter_mut() {
        let inside = |stem: &String| {
            file.path.strip_prefix(stem.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        file.test |= stems.iter().any(inside);
    }
}

#[test]
fn a_file_of_a_test_module_is_a_test() {
    let mut files = vec![
        File::example("src/a/mod.rs", "#[cfg(test)] mod tests; mod b;"),
        File::example("src/a/tests.rs", ""),
        File::example("src/a/tests/c.rs", ""),
        File::example("src/a/b.rs", "#[cfg(test)] mod d;"),
        File::example("src/a/b/d.rs", ""),
        File::example("src/a/testsome.rs", ""),
    ];
    mark_tests(&mut files);
    let tests: Vec<bool> = files.iter().map(|file| file.test).collect();
    assert_eq!(tests, [false, true, true, false, true, false]);
}
