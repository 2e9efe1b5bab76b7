//! A restart: the last run left a journal in which a tenth of the records is still needed, spread over all of it.
//!
//! Every fourth message never gets its receipt, so its SENT stays needed; each of the others has SENT, DLR_IN and FINISH,
//! the last two so much later as receipts come. A million messages that wait are then a million of ten million records. That is
//! the worst that a relay leaves: what is older than ten minutes and so thinly needed would be copied to the end.

use crate::{Options, machine, open_journal, traffic};
use bindery::config::{self, Config, Files};
use bindery::counters::ShardCounters;
use bindery::io::Clock;
use bindery::io::journal::{AppendRefused, Appender, Journal, ReadOnly, Wake};
use bindery::journal::{Lsn, Record, Recovery};
use bindery::ledger::Restored;
use bindery::limits::JOURNAL_NEEDED_MAX;
use bindery::shard::Shard;
use rustix::fs::{Advice, fadvise};
use serde_json::{Value, json};
use std::fs::{File, read_dir};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Of so many messages one never gets its receipt.
const EVERY: u64 = 4;
/// So many messages later a receipt comes.
const LATER: u64 = 5000;
const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:2775"
[esme.acme]
password = "secret"
pool = "main"
message_id = "own"
[carrier.alpha]
addresses = ["127.0.0.1:1"]
system_id = "b"
password = "p"
[pool.main]
members = [{ carrier = "alpha" }]
[[route]]
when.to = ["382*"]
pool = "main"
[journal]
"#;

fn config() -> io::Result<Config> {
    let mut files = Files {
        read: &mut |_: &Path| Ok(CONFIG.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    let loaded = config::load(Path::new("bench.toml"), &mut files);
    loaded.map(|loaded| loaded.config).map_err(|report| io::Error::other(report.render(false)))
}

/// Appends, and waits for room where there is none.
fn append(appender: &mut Appender, clock: Clock, message: u64, record: &Record<'_>) -> io::Result<Lsn> {
    loop {
        match appender.append(clock.now(), traffic::key_of(message), record) {
            Ok(lsn) => return Ok(lsn),
            Err(AppendRefused::Full) => {
                appender.kick();
                std::thread::yield_now();
            }
            Err(AppendRefused::TooLong) => return Err(io::Error::other("a record is too long")),
        }
    }
}

/// The run that is over: `--messages` of them.
pub(crate) fn write(options: &Options) -> io::Result<Value> {
    let (clock, begun) = (Clock::start(), Instant::now());
    let (journal, mut appender) = open_journal(&options.settings(), clock, &mut |_, _, _| ())?;
    let mut last = Lsn::NONE;
    for message in 0..options.messages + LATER {
        if message < options.messages {
            last = append(&mut appender, clock, message, &traffic::Texts::of(message).sent())?;
        }
        let Some(over) = message.checked_sub(LATER).filter(|over| over % EVERY != 0) else { continue };
        let texts = traffic::Texts::of(over);
        append(&mut appender, clock, over, &texts.receipt())?;
        last = append(&mut appender, clock, over, &texts.finish())?;
    }
    appender.kick();
    while appender.durable() < last {
        std::thread::yield_now();
    }
    drop(journal);
    let octets: u64 = files(&options.dir)?.iter().map(|(_, octets)| octets).sum();
    let live = options.messages.div_ceil(EVERY);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({ "records": last.0, "live": live, "octets_of_files": octets, "seconds": seconds }))
}

fn files(folder: &Path) -> io::Result<Vec<(File, u64)>> {
    let mut files = Vec::new();
    for entry in read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        if data.is_file() {
            files.push((File::open(entry.path())?, data.len()));
        }
    }
    Ok(files)
}

/// The memory of the system forgets the journal, as after a power cut.
pub(crate) fn forget(options: &Options) -> io::Result<Value> {
    let files = files(&options.dir)?;
    for (file, _) in &files {
        file.sync_all()?;
        fadvise(file, 0, None, Advice::DontNeed)?;
    }
    Ok(json!({ "files": files.len() }))
}

/// From the start of the process to the moment at which a shard takes messages.
pub(crate) fn open(options: &Options) -> io::Result<Value> {
    let (clock, config) = (Clock::start(), Arc::new(config()?));
    let (before, waited) = (machine::resident()?, machine::waited_ms()?);
    let (begun, cpu) = (Instant::now(), machine::cpu_ms());
    let mut restored = Restored::new(JOURNAL_NEEDED_MAX);
    let mut records = 0_u64;
    let wakes: Vec<Wake> = vec![Box::new(|| ())];
    // On all cores, as a node that starts.
    let opened = Journal::open(
        &options.settings(),
        wakes,
        (clock, std::sync::mpsc::sync_channel(0).0),
        &mut |_, frame, place| {
            records += 1;
            restored.take(frame, place);
        },
    );
    let (_journal, starts) = opened.map_err(|error| io::Error::other(error.to_string()))?;
    let appender = starts.into_iter().next().map(|start| start.appender);
    let appender = appender.ok_or_else(|| io::Error::other("no shard was opened"))?;
    let (read, cpu_of_read) = (begun.elapsed(), machine::cpu_ms() - cpu);
    let counters = Arc::new(ShardCounters::new(config.esmes.len(), config.carriers.len()));
    let mut shard = Shard::new(config, counters, 1);
    let strays = shard.attach(Box::new(appender), restored);
    let strangers = shard.take_up(clock.now());
    let (ready, waited) = (begun.elapsed(), machine::waited_ms()? - waited);
    let cpu_of_all = machine::cpu_ms() - cpu;
    if strangers > 0 || !strays.moved.is_empty() {
        return Err(io::Error::other("messages of the last run found no home"));
    }
    let after = machine::resident()?;
    Ok(json!({
        "records": records,
        "read_ms": read.as_secs_f64() * 1000.0,
        "attach_ms": (ready - read).as_secs_f64() * 1000.0,
        "ready_ms": ready.as_secs_f64() * 1000.0,
        "read_cpu_ms": cpu_of_read,
        "attach_cpu_ms": cpu_of_all - cpu_of_read,
        "waited_ms": waited,
        "octets_of_memory": after - before,
        "octets_of_memory_most": machine::resident_most()? - before,
    }))
}

/// The same in steps that do not overlap: reading alone, then also what is kept of it, then its order.
pub(crate) fn steps(options: &Options) -> io::Result<Value> {
    machine::as_the_shard()?;
    let recovery = Recovery { shard: 0, journal: None };
    let refused = |refusal: bindery::journal::recover::Refusal| io::Error::other(refusal.to_string());
    let (begun, cpu) = (Instant::now(), machine::cpu_ms());
    let recovered = recovery.run(&mut ReadOnly::new(&options.dir), &mut |_, _| ()).map_err(refused)?;
    let (read, read_cpu) = (begun.elapsed(), machine::cpu_ms() - cpu);
    let (begun, cpu) = (Instant::now(), machine::cpu_ms());
    let mut restored = Restored::new(JOURNAL_NEEDED_MAX);
    recovery
        .run(&mut ReadOnly::new(&options.dir), &mut |frame, place| restored.take(frame, place))
        .map_err(refused)?;
    let (taken, taken_cpu) = (begun.elapsed(), machine::cpu_ms() - cpu);
    let (begun, cpu) = (Instant::now(), machine::cpu_ms());
    let (book, kept) = restored.finish();
    let (sorted, sorted_cpu) = (begun.elapsed(), machine::cpu_ms() - cpu);
    let live = kept.iter().filter(|(_, kept)| kept.accepted.is_some()).count();
    let report = &recovered.report;
    Ok(json!({
        "read_ms": read.as_secs_f64() * 1000.0,
        "read_and_kept_ms": taken.as_secs_f64() * 1000.0,
        "sorted_ms": sorted.as_secs_f64() * 1000.0,
        "read_cpu_ms": read_cpu,
        "read_and_kept_cpu_ms": taken_cpu,
        "sorted_cpu_ms": sorted_cpu,
        "records": report.records,
        "octets_of_records": report.octets,
        "verdict": report.verdict().name(),
        "live": live,
        "open": book.open(),
    }))
}
