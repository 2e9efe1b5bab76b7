//! A number goes from the files of a sink. Owns: the order in which that survives any end of the process. Takes: a number, the
//! key of what stands in its place. Gives: how many lines had it, and the files that still have it. Never: changes a file in
//! place; anything in a line but that number.
//!
//! The hidden file tells a place in one of the files. Before that file is replaced by one of another length, the place becomes
//! its begin: all its lines are read again at the next start, and must be lines. A file of which that is not so stays as it is.

use super::files::{Files, LINE_MAX};
use crate::journal::cdr::numbers::Numbers;
use crate::journal::cdr::origin_of;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Result, Write};
use std::path::{Path, PathBuf};

/// What was done to files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Files that were replaced.
    pub files: u64,
    /// Lines that had the number.
    pub lines: u64,
    /// Files that have it still: they have lines that are none, and one that is written to is not changed then.
    pub left: Vec<PathBuf>,
}

impl Erased {
    /// Of two sinks.
    pub fn join(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.left.extend(other.left);
    }
}

/// The same file without a number, beside it.
struct Fresh {
    path: PathBuf,
    lines: u64,
    /// All of it but a torn end are lines.
    sound: bool,
}

impl Files {
    /// Nothing may write to the files meanwhile.
    pub(in crate::sidecar) fn erase(&self, number: &str, numbers: &Numbers) -> Result<Erased> {
        let mut erased = Erased::default();
        let (list, place) = (self.list()?, self.place()?);
        for (begin, name) in &list {
            let path = self.folder.join(name);
            let Some(fresh) = without(&path, number, numbers)? else { continue };
            if place == Some(*begin) {
                if !fresh.sound {
                    std::fs::remove_file(&fresh.path)?;
                    erased.left.push(path);
                    continue;
                }
                self.rewind()?;
            }
            std::fs::rename(&fresh.path, &path)?;
            erased.files += 1;
            erased.lines += fresh.lines;
        }
        if erased.files > 0 {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(erased)
    }
}

/// Writes such a file; `None`: the number is not in it.
fn without(path: &Path, number: &str, numbers: &Numbers) -> Result<Option<Fresh>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&fresh)?);
    let (mut line, mut out, mut had, mut sound) = (Vec::new(), Vec::new(), 0, true);
    while lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? > 0 {
        had += u64::from(numbers.line_of(number, &line, &mut out));
        file.write_all(&out)?;
        sound &= line.strip_suffix(b"\n").is_none_or(|line| origin_of(line).is_some());
        line.clear();
        out.clear();
    }
    if had == 0 {
        std::fs::remove_file(&fresh)?;
        return Ok(None);
    }
    let file = file.into_inner()?;
    file.set_permissions(std::fs::metadata(path)?.permissions())?;
    file.sync_all()?;
    Ok(Some(Fresh { path: fresh, lines: had, sound }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::cdr::numbers::KEY;
    use crate::time::Duration;

    const NUMBER: &str = "38267000001";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bindery-{}-erase-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("2026-11-22.jsonl"), text).unwrap();
            Self(path)
        }

        fn files(&self) -> Files {
            Files::new(&self.0.join("{date}.jsonl"), Duration::from_secs(86_400), Duration::ZERO).unwrap()
        }

        /// Keeps the place at the end of what is there.
        fn saved(&self) -> Files {
            let mut files = self.files();
            let (_, output) = files.resume().unwrap();
            files.save(&output.unwrap(), 7, &[(0, crate::journal::Lsn(2))]).unwrap();
            files
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.0.join("2026-11-22.jsonl")).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn line(to: &str, lsn: u64) -> String {
        format!(
            "{{\"v\":1,\"from\":\"A\",\"to\":\"{to}\",\"journal\":\"{:032x}\",\"shard\":0,\"lsn\":{lsn}}}\n",
            7
        )
    }

    fn numbers() -> Numbers {
        Numbers::new(&[7; KEY])
    }

    #[test]
    fn a_file_loses_the_number_and_all_its_lines_are_there_at_the_next_start() {
        let folder = Folder::new("lines", &[line(NUMBER, 1), line("1", 2)].concat());
        let files = folder.saved();
        let erased = files.erase(NUMBER, &numbers()).unwrap();
        assert_eq!((erased.files, erased.lines, erased.left.len()), (1, 1, 0));
        assert_eq!(folder.text(), [line(&numbers().hashed(NUMBER), 1), line("1", 2)].concat());
        // One that ended in front of the rename has the old lines, and finds them whole, too.
        let (positions, output) = folder.files().resume().unwrap();
        assert_eq!(positions[&(7, 0)].0, 2);
        assert_eq!(output.unwrap().synced, folder.text().len() as u64);
        assert_eq!(files.erase(NUMBER, &numbers()).unwrap(), Erased::default());
    }

    #[test]
    fn a_file_with_lines_that_are_none_stays_as_it_is_while_the_place_is_in_it() {
        let text = [line(NUMBER, 1), "nonsense\n".to_owned(), line("1", 2)].concat();
        let folder = Folder::new("nonsense", &text);
        let files = folder.saved();
        let erased = files.erase(NUMBER, &numbers()).unwrap();
        assert_eq!((erased.files, erased.left.len()), (0, 1));
        assert_eq!(folder.text(), text);
        // As an older file it does not matter.
        let newer = folder.0.join("2026-11-23.jsonl");
        std::fs::write(&newer, line(NUMBER, 3)).unwrap();
        let mut files = folder.files();
        let (_, output) = files.resume().unwrap();
        files.save(&output.unwrap(), 7, &[(0, crate::journal::Lsn(3))]).unwrap();
        assert_eq!(files.erase(NUMBER, &numbers()).unwrap().lines, 2);
        assert!(!folder.text().contains(NUMBER) && folder.text().contains("nonsense"));
    }
}
