//! The key of what stands in place of numbers in call detail records. Owns: the file that has it. Takes: its path. Gives: the key,
//! made at its first use. Never: shows it; makes another one where there is one.

use crate::journal::cdr::numbers::{KEY, Numbers};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The key in this file; if there is none it is made, for this user alone.
///
/// # Errors
/// The file cannot be read or made, or is no key.
pub fn key(path: &Path) -> Result<Numbers> {
    match there(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        other => other,
    }
}

fn make(path: &Path) -> Result<Numbers> {
    let mut key = [0; KEY];
    let filled = SystemRandom::new().fill(&mut key);
    filled.map_err(|_| Error::other("the system gives no random octets"))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let begun = Path::new(&name);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(begun)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // Of several that begin at a time the first one's key is taken by all.
    let linked = std::fs::hard_link(begun, path);
    std::fs::remove_file(begun)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    there(path)
}

fn there(path: &Path) -> Result<Numbers> {
    let octets = std::fs::read(path)?;
    let damaged = || Error::other(format!("{}: no key of {KEY} octets", path.display()));
    octets.first_chunk().filter(|_| octets.len() == KEY).map(Numbers::new).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_for_this_user_alone() {
        let folder = std::env::temp_dir().join(format!("bindery-{}-numbers", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("numbers.key");
        let first = key(&path).unwrap().hashed("1");
        assert_eq!(key(&path).unwrap().hashed("1"), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::write(&path, "short").unwrap();
        assert!(key(&path).is_err(), "it is not replaced");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
