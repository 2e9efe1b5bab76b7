use super::*;

/// A folder of one test, empty at first and removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bindery-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn files(&self, keep: u64) -> Files {
        Files::new(&self.0.join("{date}.jsonl"), Duration::from_secs(86_400), Duration::from_secs(keep))
            .unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn line(shard: u32, lsn: u64) -> String {
    format!("{{\"v\":1,\"journal\":\"{:032x}\",\"shard\":{shard},\"lsn\":{lsn}}}\n", 7)
}

fn positions(found: &[(u32, u64)]) -> Positions {
    found.iter().map(|(shard, lsn)| ((7, *shard), Lsn(*lsn))).collect()
}

#[test]
fn the_last_whole_line_of_each_shard_is_found_and_a_torn_one_is_cut() {
    let folder = Folder::new("last");
    folder.write("2026-11-21.jsonl", &[line(1, 4), line(0, 9)].concat());
    let sound = [line(0, 11), line(2, 5)].concat();
    folder.write("2026-11-22.jsonl", &format!("{sound}{}", &line(0, 12)[..20]));
    folder.write("2026-11-22.jsonl.gz", &line(0, 99));
    let (found, output) = folder.files(0).resume().unwrap();
    assert_eq!(found, positions(&[(0, 11), (1, 4), (2, 5)]));
    assert_eq!(output.unwrap().synced, sound.len() as u64);
    assert_eq!(folder.read("2026-11-22.jsonl"), Some(sound));
}

#[test]
fn behind_the_place_that_was_synced_the_first_line_that_is_none_is_the_end() {
    let folder = Folder::new("hole");
    let mut files = folder.files(0);
    let first = [line(0, 1), line(0, 2)].concat();
    folder.write("2026-11-22.jsonl", &first);
    let (_, output) = files.resume().unwrap();
    files.save(&output.unwrap(), 7, &[(0, Lsn(2))]).unwrap();
    let hole = "\0".repeat(30);
    folder.write("2026-11-22.jsonl", &[&first, &line(0, 3), &hole, &line(0, 4)[9..], &line(0, 5)].concat());
    let (found, output) = files.resume().unwrap();
    assert_eq!((found, output.is_some()), (positions(&[(0, 3)]), true));
    assert_eq!(folder.read("2026-11-22.jsonl"), Some([first, line(0, 3)].concat()));
}

#[test]
fn without_that_place_no_whole_line_is_cut() {
    let folder = Folder::new("kept");
    let text = [&line(0, 1), "what is no line of ours\n", &line(0, 2), "torn"].concat();
    folder.write("2026-11-22.jsonl", &text);
    let (found, _) = folder.files(0).resume().unwrap();
    assert_eq!(found, positions(&[(0, 2)]));
    assert_eq!(folder.read("2026-11-22.jsonl").as_deref(), text.strip_suffix("torn"));
}

#[test]
fn files_that_were_taken_away_are_remembered() {
    let folder = Folder::new("taken");
    let mut files = folder.files(0);
    folder.write("2026-11-21.jsonl", &line(0, 3));
    folder.write("2026-11-22.jsonl", &line(1, 8));
    let (found, output) = files.resume().unwrap();
    assert_eq!(found, positions(&[(0, 3), (1, 8)]));
    files.save(&output.unwrap(), 7, &[(0, Lsn(3)), (1, Lsn(9))]).unwrap();
    for name in ["2026-11-21.jsonl", "2026-11-22.jsonl"] {
        std::fs::remove_file(folder.0.join(name)).unwrap();
    }
    let (found, output) = files.resume().unwrap();
    assert_eq!((found, output.is_none()), (positions(&[(0, 3), (1, 9)]), true));
    folder.write(".date.jsonl.cursors", "nonsense");
    assert!(files.resume().unwrap().0.is_empty(), "it is as good as none");
}

#[test]
fn old_files_go_when_their_time_is_over_and_the_newest_stays() {
    let folder = Folder::new("old");
    let all = ["2026-11-19.jsonl", "2026-11-20.jsonl", "2026-11-21.jsonl", "other.txt"];
    all.iter().for_each(|name| folder.write(name, ""));
    let midnight = Wall(1_795_305_600_000_000);
    let files = folder.files(86_400);
    files.clean(Wall(midnight.0 - 86_400_000_001)).unwrap();
    assert!(folder.read(all[0]).is_some() && folder.read(all[1]).is_some(), "the day has not passed");
    folder.files(0).clean(midnight).unwrap();
    assert!(folder.read(all[0]).is_some(), "kept for ever");
    files.clean(midnight).unwrap();
    assert_eq!(all.map(|name| folder.read(name).is_some()), [false, false, true, true]);
    files.clean(Wall(i64::MAX)).unwrap();
    assert_eq!(all.map(|name| folder.read(name).is_some()), [false, false, true, true]);
}

#[test]
fn a_file_has_one_writer_and_a_folder_no_date() {
    let folder = Folder::new("one");
    let mut files = folder.files(0);
    folder.write("2026-11-22.jsonl", "");
    let (_, output) = files.resume().unwrap();
    assert_eq!(files.resume().unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(output);
    assert!(files.resume().is_ok());
    for path in ["{date}/cdr.jsonl", "/"] {
        assert!(Files::new(Path::new(path), Duration::ZERO, Duration::ZERO).is_err(), "{path}");
    }
}
