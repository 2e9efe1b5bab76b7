//! From a path to the texts it stands for. Owns: nothing. Takes: a way to read files, list folders and look up
//! the environment. Gives: the texts of the file and of everything it includes, in the order in which they
//! count. Never: touches the world itself.

use super::report::{Notes, Place, Source};
use super::table::Item;
use super::table::Table;
use crate::limits::FILES_MAX;
use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use toml::de::DeTable;

/// How the configuration reaches the world: the caller's functions.
pub struct Files<'a> {
    /// The text of a file.
    pub read: &'a mut dyn FnMut(&Path) -> io::Result<String>,
    /// The names of the files in a folder, in any order.
    pub list: &'a mut dyn FnMut(&Path) -> io::Result<Vec<String>>,
    /// The value of an environment variable.
    pub env: &'a mut dyn FnMut(&str) -> Option<String>,
}

impl core::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Files")
    }
}

/// The texts of a configuration.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// As they were read: the main file first.
    pub(super) sources: Vec<Source>,
    /// Their indices in the order in which they count: what a file includes comes before the file.
    pub(super) order: Vec<usize>,
}

/// Reads `path` and everything that it includes.
pub(super) fn gather(path: &Path, files: &mut Files<'_>, notes: &mut Notes) -> Texts {
    let mut texts = Texts::default();
    let text = (files.read)(path).unwrap_or_else(|error| {
        let place = Place::new(0, 0..0);
        notes.error(place, String::new(), format!("cannot read this file: {error}"));
        notes.partial = true;
        String::new()
    });
    let mut seen = HashMap::from([(plain(path), Place::new(0, 0..0))]);
    texts.sources.push(Source { path: path.display().to_string(), text });
    // Depth first without recursion: a file is put in order when all that it includes has been.
    let mut open = vec![(0, included(path, 0, &texts.sources[0].text, files, notes).into_iter())];
    while let Some((file, rest)) = open.last_mut() {
        let Some((next, place)) = rest.next() else {
            texts.order.push(*file);
            open.pop();
            continue;
        };
        let index = texts.sources.len();
        if let Some(text) = read_included(&next, place, &mut seen, index, files, notes) {
            texts.sources.push(Source { path: next.display().to_string(), text });
            let inner = included(&next, index, &texts.sources[index].text, files, notes);
            open.push((index, inner.into_iter()));
        }
    }
    texts
}

/// The path without the steps that lead nowhere, so that a file has one name.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                plain.push(part);
            }
        }
    }
    plain
}

fn read_included(
    path: &Path,
    place: Place,
    seen: &mut HashMap<PathBuf, Place>,
    index: usize,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<String> {
    let name = path.display();
    if let Some(first) = seen.get(&plain(path)) {
        let problem = notes.error(place, "include".to_owned(), format!("{name} is included twice"));
        problem.other(*first, "first named here");
        return None;
    }
    if index >= FILES_MAX {
        notes.error(place, "include".to_owned(), "too many files").allowed(format!("at most {FILES_MAX}"));
        return None;
    }
    match (files.read)(path) {
        Ok(text) => {
            seen.insert(plain(path), place);
            Some(text)
        }
        Err(error) => {
            notes.error(place, "include".to_owned(), format!("cannot read {name}: {error}"));
            notes.partial = true;
            None
        }
    }
}

const INCLUDE: &str = "a list of file names, such as [\"carriers/*.toml\"]";

/// The paths that a text includes, each with the place that names it.
fn included(
    path: &Path,
    file: usize,
    text: &str,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<(PathBuf, Place)> {
    if !text.contains("include") {
        return Vec::new(); // spares a large file the second pass
    }
    let (root, _) = DeTable::parse_recoverable(text);
    let place = Place::new(file, 0..0);
    let root = Table { path: String::new(), place, entries: root.get_ref(), fallback: None };
    let Some(item) = root.get("include") else {
        return Vec::new();
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let names = item.list(notes, FILES_MAX, INCLUDE);
    names.iter().flat_map(|name| expand(folder, name, files, notes)).collect()
}

/// One name or glob, in byte order. A glob may match nothing; a name must exist.
fn expand(folder: &Path, item: &Item<'_>, files: &mut Files<'_>, notes: &mut Notes) -> Vec<(PathBuf, Place)> {
    let Some(name) = item.text(notes, INCLUDE) else {
        return Vec::new();
    };
    let (inner, pattern) = name.rsplit_once('/').unwrap_or(("", name));
    if inner.contains(['*', '?']) {
        item.refuse(notes, "`*` and `?` in the last part of the path only");
        return Vec::new();
    }
    if !pattern.contains(['*', '?']) {
        return vec![(folder.join(name), item.place)];
    }
    let inner = if inner.is_empty() && name.starts_with('/') { "/" } else { inner };
    let listed = folder.join(inner);
    match (files.list)(&listed) {
        Ok(mut names) => {
            names.retain(|name| matches(pattern, name));
            names.sort_unstable();
            names.into_iter().map(|name| (listed.join(name), item.place)).collect()
        }
        Err(error) => {
            let message = format!("cannot list {}: {error}", listed.display());
            notes.error(item.place, item.path(), message);
            Vec::new()
        }
    }
}

/// `*` stands for any characters, `?` for one. A leading dot is matched by a dot only.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut name_at, mut star) = (0, 0, None);
    while let Some(letter) = name.get(name_at) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, name_at));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == letter => {
                at += 1;
                name_at += 1;
            }
            Some(_) | None => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                name_at = taken + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

/// The secret that a literal, `"env:NAME"` or `"file:PATH"` stands for.
pub(super) fn secret(
    item: &Item<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Vec<u8>> {
    use crate::limits::PASSWORD_MAX;
    let allowed = format!("1 to {PASSWORD_MAX} characters, \"env:NAME\" or \"file:PATH\"");
    let Some(text) = item.value.as_str() else {
        let message = format!("found a value of type {}", item.value.type_str());
        notes.error(item.place, item.path(), message).allowed(allowed);
        return None;
    };
    if text.starts_with("argon2id:") {
        let message = "a password as Argon2id hash is not supported yet";
        notes.error(item.place, item.path(), message).allowed(allowed);
        return None;
    }
    let read = read_secret(text, &sources[item.place.file], files);
    let fault = match read {
        Ok(text) if text.is_empty() => "found an empty password".to_owned(),
        Ok(text) if text.len() > PASSWORD_MAX => format!("found a password of {} octets", text.len()),
        Ok(text) if text.contains('\0') => "found a password with a NUL in it".to_owned(),
        Ok(text) => return Some(text.into_bytes()),
        Err(fault) => fault,
    };
    notes.error(item.place, item.path(), fault).allowed(allowed);
    None
}

fn read_secret(text: &str, source: &Source, files: &mut Files<'_>) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        return (files.env)(name).ok_or_else(|| format!("the environment variable `{name}` is not set"));
    }
    let Some(name) = text.strip_prefix("file:") else {
        return Ok(text.to_owned());
    };
    let path = Path::new(&source.path).parent().unwrap_or(Path::new("")).join(name);
    let text = (files.read)(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_not_for_a_leading_dot() {
        for (pattern, name) in
            [("*.toml", "a.toml"), ("*", "x"), ("a?c*e", "abcdde"), (".*", ".a"), ("a*b*", "ab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.toml", "a.tom"), ("*.toml", ".a.toml"), ("a?", "a"), ("a*b", "abc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
