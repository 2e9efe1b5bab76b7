//! What the journal does on this machine and this disk, one part a run; `bench/journal` starts them, compares with the bounds
//! and prints the table.
//!
//! ```text
//! cargo bench --bench figures -- PART --dir FOLDER [--seconds N] [--rate N] [--messages N] [--window-ms N]
//! ```
//!
//! A part prints one JSON object. Each is a process of its own, so that none inherits the memory of another.
//! The thread that stands for the shard has the first usable core to itself; the journal's threads have the others.

mod machine;
mod open;
mod paced;
mod tables;
mod traffic;

use bindery::io::Clock;
use bindery::io::journal::{Appender, Journal, Settings};
use bindery::journal::recover::Place;
use bindery::journal::{Durability, Erasing, Frame};
use bindery::limits::JOURNAL_RING;
use bindery::time::Duration;
use std::io;
use std::path::PathBuf;

/// Octets of a segment, the default of `segment_size`.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// More than any part needs.
const SIZE_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// What a part is told.
pub(crate) struct Options {
    part: String,
    /// Where the journal is.
    dir: PathBuf,
    /// How long something is measured.
    seconds: u64,
    /// Records a second.
    rate: u64,
    /// Messages in the tables, or in the journal.
    messages: u64,
    /// `group_commit`.
    window_ms: u64,
}

impl Options {
    fn read() -> io::Result<Self> {
        let mut options = Self {
            part: String::new(),
            dir: PathBuf::new(),
            seconds: 4,
            rate: 50_000,
            messages: 500_000,
            window_ms: 0,
        };
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = given.next() {
            if !argument.starts_with("--") {
                options.part = argument;
                continue;
            }
            let value = given.next().ok_or_else(|| wrong(&argument))?;
            let number = || value.parse::<u64>().map_err(|_| wrong(&value));
            match argument.as_str() {
                "--dir" => options.dir = PathBuf::from(&value),
                "--seconds" => options.seconds = number()?,
                "--rate" => options.rate = number()?,
                "--messages" => options.messages = number()?,
                "--window-ms" => options.window_ms = number()?,
                _ => return Err(wrong(&argument)),
            }
        }
        Ok(options)
    }

    fn settings(&self) -> Settings {
        Settings {
            directory: self.dir.clone(),
            shards: 1,
            durability: Durability::Group(Duration::from_millis(self.window_ms)),
            segment: SEGMENT,
            size_max: SIZE_MAX,
            min_free: 0,
            ring: JOURNAL_RING,
            erasing: Erasing::default(),
            adopt: false,
        }
    }
}

fn wrong(argument: &str) -> io::Error {
    io::Error::other(format!("{argument}: see the header of bench/figures/main.rs"))
}

/// Opens the journal of one shard, its threads on the cores beside the shard's; the caller goes on on the shard's.
pub(crate) fn open_journal(
    settings: &Settings,
    clock: Clock,
    visit: &mut dyn FnMut(u32, &Frame<'_>, &Place),
) -> io::Result<(Journal, Appender)> {
    machine::beside_the_shard()?;
    let opened =
        Journal::open(settings, vec![Box::new(|| ())], (clock, std::sync::mpsc::sync_channel(0).0), visit);
    machine::as_the_shard()?;
    let (journal, starts) = opened.map_err(|error| io::Error::other(error.to_string()))?;
    let start = starts.into_iter().next().ok_or_else(|| io::Error::other("no shard was opened"))?;
    Ok((journal, start.appender))
}

fn main() -> io::Result<()> {
    let options = Options::read()?;
    let found = match options.part.as_str() {
        "paced" => paced::paced(&options)?,
        "flood" => paced::flood(&options)?,
        "write" => open::write(&options)?,
        "open" => open::open(&options)?,
        "steps" => open::steps(&options)?,
        "forget" => open::forget(&options)?,
        "memory" => tables::memory(&options)?,
        "asleep" => tables::asleep(&options)?,
        "stored" => tables::stored(&options)?,
        "inserts" => tables::inserts(&options)?,
        other => return Err(wrong(other)),
    };
    println!("{found}");
    Ok(())
}
