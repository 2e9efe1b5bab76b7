//! A node's journal without the node, and a sink beside it that is driven turn by turn.

use bindery::config::Cdr;
use bindery::io::Clock;
use bindery::io::journal::{Journal, ReadOnly, Settings, Start, Wake};
use bindery::journal::cdr::origin_of;
use bindery::journal::record::NO_REASON;
use bindery::journal::{
    AppendRefused, Book, Cursors, Durability, Erasing, Facts, Fault, Kind, Lsn, Record, Recovery,
};
use bindery::sidecar::cdr::{self, Cells, Sink, SinkError};
use bindery::time::{Duration, Instant, Now, Wall};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// Microseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000_000;
/// 2026-11-22, midnight.
const BEGIN: i64 = 1_795_305_600_000_000;

/// A directory of one test, empty at first and removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cdr-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, octets: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, octets).unwrap();
    }

    pub(crate) fn append(&self, name: &str, octets: &[u8]) {
        let text = [self.read(name), octets.to_vec()].concat();
        self.write(name, &text);
    }

    pub(crate) fn remove(&self, name: &str) {
        let path = self.path(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.unwrap();
    }

    /// The names in a folder of it, sorted, without hidden ones.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A shard and the number of one of its records.
pub(crate) type Origin = (u32, u64);

/// All lines of all files, in order.
pub(crate) fn lines_of(folder: &Folder) -> Vec<Origin> {
    let texts = folder.names("cdr").into_iter().map(|name| folder.read(&format!("cdr/{name}")));
    let mut lines = Vec::new();
    for text in texts {
        assert!(text.is_empty() || text.ends_with(b"\n"));
        let own = text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
        lines.extend(own.map(|line| origin_of(line).map(|origin| (origin.shard, origin.lsn.0)).unwrap()));
    }
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "no line twice");
    lines
}

/// Every FINISH that a restart would read, in order.
pub(crate) fn finished(folder: &Folder, shards: u32) -> Vec<Origin> {
    let mut found = Vec::new();
    for shard in 0..shards {
        let mut disk = ReadOnly::new(&folder.path("journal"));
        let recovery = Recovery { shard, journal: None };
        let visited = recovery.run(&mut disk, &mut |frame, _| {
            if frame.kind() == Some(Kind::Finish) {
                found.push((shard, frame.lsn.0));
            }
        });
        visited.unwrap();
    }
    found
}

/// The file and the place in it of a record.
pub(crate) fn place_of(folder: &Folder, (shard, lsn): Origin) -> (String, usize) {
    let (mut disk, mut found) = (ReadOnly::new(&folder.path("journal")), None);
    let recovered = Recovery { shard, journal: None }.run(&mut disk, &mut |frame, place| {
        if frame.lsn.0 == lsn {
            found = Some((place.segment, place.at as usize));
        }
    });
    let (number, at) = found.unwrap();
    let segments = recovered.unwrap().segments;
    let segment = segments.iter().find(|segment| segment.number == number).unwrap();
    (format!("journal/{}", segment.name), at)
}

/// The journal's id.
pub(crate) fn id(folder: &Folder) -> u128 {
    u128::from_str_radix(String::from_utf8(folder.read("journal/id")).unwrap().trim(), 16).unwrap()
}

/// A journal and what its shards do with it.
pub(crate) struct Node {
    _journal: Journal,
    starts: Vec<Start>,
    books: Vec<Book>,
    last: Vec<Lsn>,
    clock: Clock,
    pub(crate) cursors: Arc<Cursors>,
}

impl Node {
    pub(crate) fn open(folder: &Folder, shards: u32) -> Self {
        let settings = Settings {
            directory: folder.path("journal"),
            shards,
            durability: Durability::Group(Duration::ZERO),
            segment: 1 << 20,
            size_max: 256 << 20,
            min_free: 0,
            ring: 1 << 19,
            erasing: Erasing::default(),
            adopt: false,
        };
        let wakes: Vec<Wake> = (0..shards).map(|_| Box::new(|| ()) as Wake).collect();
        let clock = Clock::start();
        let mut books: Vec<Book> = (0..shards).map(|_| Book::new(100)).collect();
        let opened = Journal::open(
            &settings,
            wakes,
            (clock, std::sync::mpsc::sync_channel(0).0),
            &mut |shard, frame, place| {
                books[shard as usize].note(frame, place.octets).unwrap();
            },
        );
        let (journal, starts) = opened.unwrap_or_else(|error| panic!("{error}"));
        let last = starts.iter().map(|start| start.end).collect();
        let cursors = Arc::new(Cursors::new(shards as usize, 1));
        Self { _journal: journal, starts, books, last, clock, cursors }
    }

    /// A message that is accepted and delivered.
    pub(crate) fn message(&mut self, shard: usize) -> Origin {
        let facts = Facts {
            accepted: BEGIN + 7,
            submitted: BEGIN + 9,
            attempts: 1,
            parts: 1,
            esme: b"acme",
            id: b"1781500559569362944",
            carrier: b"alpha",
            message_id: b"0A1",
            source: b"ACME",
            destination: b"38267123456",
            ..Facts::default()
        };
        let accept =
            Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"acme", id: b"", pdu: &[7; 200] };
        self.append(shard, &accept);
        let (state, fault, reason, error) = (2, Fault::Nobody, NO_REASON, b"000");
        let finish =
            Record::Finish { state, status: 0, reason, fault, error, price: 12_500, currency: b"EUR", facts };
        let lsn = self.append(shard, &finish);
        (shard as u32, lsn.0)
    }

    /// A message that is accepted and has not ended.
    pub(crate) fn open_message(&mut self, shard: usize) {
        let accept =
            Record::Accept { accepted: 0, validity: 0, due: 0, esme: b"bank", id: b"", pdu: &[7; 20] };
        self.append(shard, &accept);
    }

    fn append(&mut self, shard: usize, record: &Record<'_>) -> Lsn {
        let key = self.last[shard].0 / 2;
        loop {
            match self.starts[shard].appender.append(self.clock.now(), key, record) {
                Ok(lsn) => {
                    let octets = bindery::journal::frame::frame_len(record.len()) as u32;
                    self.books[shard].appended(lsn, key, Some(record.kind()), None, octets).unwrap();
                    self.last[shard] = lsn;
                    return lsn;
                }
                Err(AppendRefused::Full) => self.turn(shard),
                Err(AppendRefused::TooLong) => panic!("it is short"),
            }
        }
    }

    /// What a shard does once a turn.
    fn turn(&mut self, shard: usize) {
        let appender = &self.starts[shard].appender;
        self.cursors.tell_durable(shard, appender.durable());
        self.books[shard].keep_from(self.cursors.keep_from(shard));
        appender.needs_from(self.books[shard].front());
        appender.kick();
        std::thread::yield_now();
    }

    /// Until everything is durable and the shards know.
    pub(crate) fn settle(&mut self) {
        for shard in 0..self.starts.len() {
            while self.cursors.durable(shard) < self.last[shard] {
                self.turn(shard);
            }
        }
    }

    /// Until everything is durable, of which nobody is told.
    pub(crate) fn written(&mut self, shard: usize) {
        self.starts[shard].appender.kick();
        while self.starts[shard].appender.durable() < self.last[shard] {
            std::thread::yield_now();
        }
    }

    /// The last record of a shard.
    pub(crate) fn end(&self, shard: usize) -> Lsn {
        self.last[shard]
    }
}

/// The time, so much after the begin.
pub(crate) fn at(micros: i64) -> Now {
    Now { mono: Instant::from_nanos(micros as u64 * 1000), wall: Wall(BEGIN + micros) }
}

/// A sink that writes `cdr/{date}.jsonl`.
pub(crate) struct Watch {
    sink: Sink,
    pub(crate) cells: Arc<Cells>,
    lost: u64,
}

impl Watch {
    pub(crate) fn new(folder: &Folder, node: &Node) -> Self {
        Self::with(folder, node, Duration::ZERO, Duration::from_secs(86_400))
    }

    pub(crate) fn with(folder: &Folder, node: &Node, keep: Duration, rotate: Duration) -> Self {
        Self::of(folder, node, Cdr { path: folder.path("cdr/{date}.jsonl"), rotate, keep }, Vec::new(), None)
    }

    /// One whose numbers are kept for so long.
    pub(crate) fn hashing(folder: &Folder, node: &Node, keep_numbers: Duration) -> Self {
        let (rotate, keep) = (Duration::from_secs(86_400), Duration::ZERO);
        let cdr = Cdr { path: folder.path("cdr/{date}.jsonl"), rotate, keep };
        Self::of(folder, node, cdr, Vec::new(), Some((keep_numbers, folder.path("numbers.key"))))
    }

    pub(crate) fn ending(folder: &Folder, node: &Node, ends: Vec<Lsn>) -> Self {
        let (rotate, keep) = (Duration::from_secs(86_400), Duration::ZERO);
        Self::of(folder, node, Cdr { path: folder.path("cdr/{date}.jsonl"), rotate, keep }, ends, None)
    }

    fn of(
        folder: &Folder,
        node: &Node,
        cdr: Cdr,
        ends: Vec<Lsn>,
        numbers: Option<(Duration, PathBuf)>,
    ) -> Self {
        let cells = Arc::new(Cells::default());
        let settings = cdr::Settings { cdr, journal: folder.path("journal"), sink: 0, ends, numbers };
        let sink = Sink::new(settings, Arc::clone(&node.cursors), Arc::clone(&cells)).unwrap();
        Self { sink, cells, lost: 0 }
    }

    pub(crate) fn turn(&mut self, now: Now) -> Result<bool, SinkError> {
        let done = self.sink.turn(now);
        self.lost += self.sink.lost().map(|(_, records)| records).sum::<u64>();
        done
    }

    /// Turns until there is nothing left.
    pub(crate) fn drain(&mut self, now: Now) {
        while self.turn(now).unwrap_or_else(|error| panic!("{error}")) {}
    }

    pub(crate) fn drained(mut self, now: Now) -> Self {
        self.drain(now);
        self
    }

    /// The same, after another one has ended.
    pub(crate) fn drained_after(self, before: Self) -> Self {
        drop(before);
        self.drained(at(0))
    }

    /// Records that it could not have.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}
