//! What the operator hears of a journal's disk. Owns: what was said of one shard's files, and a bound. Takes: what became of
//! them. Gives: log lines. Never: waits for the log; repeats what has not changed.
//!
//! | line | when |
//! |---|---|
//! | `journal_file_failed` | a write or sync failed, and what it may have lost is written again into the next file |
//! | `journal_disk_fails` | that failed, too, or there is no next file: nothing can be promised |
//! | `journal_disk_works` | it can again |
//! | `journal_quarantine` | a file was put into `quarantine/` |
//! | `journal_copy` | the directory is a copy, and the journal goes on in it |
//!
//! While the disk fails, files that are given up are not said one by one: `journal_disk_works` says how many there were.

use crate::journal::DiskError;
use crate::journal::disk::{FileKind, name_of};
use crate::shard::port::{Event, Level};
use crate::time::{Duration, Instant};
use std::sync::mpsc::SyncSender;

/// So many lines in so long.
const LINES_MAX: u32 = 10;
const LINES_SPAN: Duration = Duration::from_secs(60);

/// Lines of one sort.
struct Bound {
    since: Instant,
    lines: u32,
}

impl Bound {
    const fn new(now: Instant) -> Self {
        Self { since: now, lines: 0 }
    }

    /// True when one more may be written.
    fn takes(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= LINES_SPAN {
            *self = Self::new(now);
        }
        self.lines += u32::from(self.lines < LINES_MAX + 1);
        self.lines <= LINES_MAX
    }
}

type Fields = Vec<(&'static str, String)>;

/// See the file's header.
pub(super) struct Said {
    shard: u32,
    lines: SyncSender<Event>,
    /// Lines about single files, and about how the disk is.
    files: Bound,
    changes: Bound,
    /// Files of which no line was written since the last line that was.
    unsaid: u64,
    /// Since when nothing can be promised.
    fails: Option<Instant>,
}

impl Said {
    /// Nothing was said yet.
    pub(super) fn new(shard: u32, now: Instant, lines: SyncSender<Event>) -> Self {
        Self { shard, lines, files: Bound::new(now), changes: Bound::new(now), unsaid: 0, fails: None }
    }

    /// A file is not written to again; `holds`: durable records.
    pub(super) fn given_up(&mut self, now: Instant, number: u64, holds: bool, error: DiskError) {
        let (kind, shard) = (if holds { FileKind::Failed } else { FileKind::Spoilt }, self.shard);
        self.of_file(now, "journal_file_failed", || {
            let done =
                "what it may have lost is written again into the next file; it goes to quarantine later";
            let file = name_of(kind, shard, number);
            vec![("file", file), ("error", words(error)), ("done", done.to_owned())]
        });
    }

    /// A file stands in `quarantine/`.
    pub(super) fn away(&mut self, now: Instant, name: &str, why: &'static str) {
        self.of_file(now, "journal_quarantine", || {
            let see = format!("quarantine/{name}.json");
            vec![("file", name.to_owned()), ("reason", why.to_owned()), ("see", see)]
        });
    }

    /// How the disk is now.
    pub(super) fn disk(&mut self, now: Instant, failing: Option<DiskError>) {
        match (self.fails, failing) {
            // What finds no room is said when there is some, if it is so still.
            (None, Some(_)) | (Some(_), None) if !self.changes.takes(now) => {}
            (None, Some(error)) => {
                self.fails = Some(now);
                let status = if error == DiskError::Full { "ESME_RMSGQFUL" } else { "ESME_RSYSERR" };
                let done = format!("stored messages hear {status} until it works, relay goes on");
                self.write(Level::Error, "journal_disk_fails", vec![("error", words(error)), ("done", done)]);
            }
            (Some(since), None) => {
                self.fails = None;
                let after = ("after_ms", now.since(since).as_millis().to_string());
                let files = ("files", core::mem::take(&mut self.unsaid).to_string());
                self.write(Level::Info, "journal_disk_works", vec![after, files]);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn of_file(&mut self, now: Instant, name: &'static str, fields: impl FnOnce() -> Fields) {
        if self.fails.is_some() || !self.files.takes(now) {
            self.unsaid += 1;
            return;
        }
        let mut fields = fields();
        if self.unsaid > 0 {
            fields.push(("unsaid", core::mem::take(&mut self.unsaid).to_string()));
        }
        self.write(Level::Warn, name, fields);
    }

    fn write(&self, level: Level, name: &'static str, mut fields: Fields) {
        fields.insert(0, ("shard", self.shard.to_string()));
        // A log without room has lines enough; the counters have it, too.
        let _ = self.lines.try_send(Event { level, name, fields });
    }
}

/// The directory is a copy, and the journal goes on here.
pub(super) fn copy_of(lines: &SyncSender<Event>, owner: &str) {
    let done = "it goes on here; the other one must not be started again";
    let fields = vec![("owner", owner.to_owned()), ("done", done.to_owned())];
    let _ = lines.try_send(Event { level: Level::Warn, name: "journal_copy", fields });
}

/// As the system says it.
fn words(error: DiskError) -> String {
    std::io::Error::from_raw_os_error(error.number()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, sync_channel};

    const SECOND: u64 = 1_000_000_000;

    fn said() -> (Said, Receiver<Event>) {
        let (lines, written) = sync_channel(100);
        (Said::new(3, Instant::ZERO, lines), written)
    }

    fn field(event: &Event, name: &str) -> String {
        event
            .fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    #[test]
    fn a_disk_that_fails_and_works_again_is_said_once_each() {
        let (mut said, written) = said();
        let at = |seconds: u64| Instant::from_nanos(seconds * SECOND);
        said.given_up(at(1), 7, true, DiskError::Failed(5));
        for second in 2..9 {
            said.given_up(at(second), second + 6, false, DiskError::Full);
            said.disk(at(second), Some(DiskError::Full));
        }
        said.disk(at(12), None);
        said.disk(at(13), None);
        let events: Vec<Event> = written.try_iter().collect();
        let names: Vec<&str> = events.iter().map(|event| event.name).collect();
        assert_eq!(
            names,
            ["journal_file_failed", "journal_file_failed", "journal_disk_fails", "journal_disk_works"]
        );
        assert_eq!(
            (field(&events[0], "file"), field(&events[0], "shard")),
            ("003-0000000007.failed".into(), "3".into())
        );
        assert!(field(&events[0], "error").contains("os error 5"), "{events:?}");
        assert_eq!(field(&events[1], "file"), "003-0000000008.spoilt");
        assert!(field(&events[2], "done").contains("ESME_RMSGQFUL"), "{events:?}");
        assert_eq!((field(&events[3], "after_ms"), field(&events[3], "files")), ("10000".into(), "6".into()));
    }

    #[test]
    fn a_disk_that_flaps_is_said_ten_times_a_minute_and_how_it_is_then_a_minute_later() {
        let (mut said, written) = said();
        for second in 0..45 {
            let failing = (second % 2 == 0).then_some(DiskError::Full);
            said.disk(Instant::from_nanos(second * SECOND), failing);
        }
        assert_eq!(written.try_iter().count(), LINES_MAX as usize);
        said.disk(Instant::from_nanos(61 * SECOND), Some(DiskError::Full));
        assert_eq!(written.try_recv().unwrap().name, "journal_disk_fails");
    }

    #[test]
    fn lines_about_files_are_bounded_and_the_next_one_says_how_many_were_left_out() {
        let (mut said, written) = said();
        (0..30).for_each(|_| said.away(Instant::ZERO, "003-0000000007.seg", "damaged"));
        assert_eq!(written.try_iter().count(), LINES_MAX as usize);
        said.away(Instant::from_nanos(60 * SECOND), "003-0000000008.seg", "damaged");
        let last = written.try_recv().unwrap();
        assert_eq!((last.name, field(&last, "unsaid")), ("journal_quarantine", "20".into()));
        assert_eq!(field(&last, "see"), "quarantine/003-0000000008.seg.json");
    }
}
