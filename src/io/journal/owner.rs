//! Whose a journal's directory is. Owns: the form of the note in its `lock` file. Takes: that, and where the directory is. Gives:
//! whether it is the one that was written, or a copy. Never: refuses what may be the same directory.
//!
//! ```text
//! bindery 1
//! journal 0123456789abcdef0123456789abcdef
//! place 10365299 1795305600000000000      (inode of `id` and when that was made; `place -`: not known)
//! owner gw1 8d0c8f5e-… 4711               (host, its boot, process)
//! state runs                              (or ended: all was in step with the disk, and nobody wrote any more)
//! ```
//!
//! A copy has files of its own: another inode, made at another time. A volume that is attached to another host, a replica of
//! its blocks, a snapshot that was put back, a directory that was renamed have the same, so a cold standby takes over whatever
//! became of the owner. Device numbers are not compared: they change with the host and with each boot. Where files may change
//! their inodes without being copied (network, overlay and FUSE file systems) nothing is known, and nothing refused.

use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};
use std::fs::File;
use std::path::Path;

/// File systems whose inodes stay, and are copied by nobody but whoever copies the blocks: ext2 to 4, XFS, Btrfs, F2FS, ZFS.
const LASTING: [u64; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1];

/// A file, as no other one is: its inode, and when it was made, nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    inode: u64,
    born: i128,
}

impl Place {
    /// Of this file; `None`: the file system does not say, or it does not last.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let kind = u64::try_from(fstatfs(&file).ok()?.f_type).ok()? & 0xFFFF_FFFF;
        let found = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::BTIME).ok()?;
        let made = found.stx_mask & StatxFlags::BTIME.bits() != 0 && found.stx_btime.tv_sec != 0;
        let born = i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec);
        (LASTING.contains(&kind) && made).then_some(Self { inode: found.stx_ino, born })
    }
}

/// The note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) journal: u128,
    pub(super) place: Option<Place>,
    /// Host, boot, process; for people.
    pub(super) owner: String,
    pub(super) ended: bool,
}

impl Note {
    /// Of this process, which writes there now.
    pub(super) fn ours(journal: u128, place: Option<Place>) -> Self {
        let of = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let (host, boot) = (of("/proc/sys/kernel/hostname"), of("/proc/sys/kernel/random/boot_id"));
        Self { journal, place, owner: format!("{host} {boot} {}", std::process::id()), ended: false }
    }

    pub(super) fn to_text(&self) -> String {
        let place =
            self.place.map_or_else(|| "-".to_owned(), |place| format!("{} {}", place.inode, place.born));
        let state = if self.ended { "ended" } else { "runs" };
        format!(
            "bindery 1\njournal {:032x}\nplace {place}\nowner {}\nstate {state}\n",
            self.journal, self.owner
        )
    }

    /// `None`: there is none, or it is not whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut of = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        if of("bindery")? != "1" {
            return None;
        }
        let journal = u128::from_str_radix(of("journal")?, 16).ok()?;
        let place = match of("place")? {
            "-" => None,
            known => {
                let (inode, born) = known.split_once(' ')?;
                Some(Place { inode: inode.parse().ok()?, born: born.parse().ok()? })
            }
        };
        let owner = of("owner")?.to_owned();
        let ended = match of("state")? {
            "ended" => true,
            "runs" => false,
            _ => return None,
        };
        Some(Self { journal, place, owner, ended })
    }
}

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// As far as can be known that which was written.
    Same,
    /// A copy; its owner had ended, so all of it was there to be copied.
    Whole,
    /// A copy of one whose owner ran, or ended without a word: it may run still, and something may be missing here.
    Torn,
}

/// Compares the note with where the directory is now.
pub(super) fn found(note: Option<&Note>, journal: u128, place: Option<Place>) -> Found {
    let Some(note) = note.filter(|note| note.journal == journal) else { return Found::Same };
    match (note.place, place) {
        (Some(then), Some(now)) if then != now && note.ended => Found::Whole,
        (Some(then), Some(now)) if then != now => Found::Torn,
        // Of an unknown place nothing is told.
        (Some(_), Some(_)) | (None, _) | (_, None) => Found::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(place: Option<Place>, ended: bool) -> Note {
        Note { journal: 7, place, owner: "gw1 boot 4711".into(), ended }
    }

    const HERE: Option<Place> = Some(Place { inode: 12, born: 1_795_305_600_000_000_000 });

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_torn_one_is_none() {
        for note in [note(HERE, false), note(None, true), Note::ours(u128::MAX, HERE)] {
            let text = note.to_text();
            assert_eq!(Note::parse(&text), Some(note));
            assert!((0..text.len()).all(|end| Note::parse(&text[..end]).is_none()), "{text}");
        }
        assert_eq!(Note::parse("bindery 2\n"), None);
    }

    #[test]
    fn a_copy_is_told_apart_and_what_is_not_known_is_none() {
        let other = Some(Place { inode: 13, ..HERE.unwrap() });
        let younger = Some(Place { born: 1, ..HERE.unwrap() });
        for (there, ended, here, expected) in [
            (HERE, false, HERE, Found::Same),
            (HERE, true, HERE, Found::Same),
            (HERE, true, other, Found::Whole),
            (HERE, false, other, Found::Torn),
            (HERE, false, younger, Found::Torn),
            (None, false, other, Found::Same),
            (HERE, false, None, Found::Same),
        ] {
            assert_eq!(found(Some(&note(there, ended)), 7, here), expected, "{there:?} {ended} {here:?}");
        }
        assert_eq!(found(None, 7, HERE), Found::Same);
        assert_eq!(
            found(Some(&note(other, false)), 8, HERE),
            Found::Same,
            "another journal stands there now"
        );
    }

    #[test]
    fn a_file_has_one_place_and_its_copy_has_another() {
        let folder = std::env::temp_dir().join(format!("bindery-{}-owner", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (first, moved, copy) = (folder.join("a"), folder.join("b"), folder.join("c"));
        std::fs::write(&first, "id").unwrap();
        let place = Place::of(&first);
        std::fs::rename(&first, &moved).unwrap();
        std::fs::copy(&moved, &copy).unwrap();
        assert_eq!(Place::of(&moved), place);
        assert!(place.is_none() || Place::of(&copy) != place);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
