//! Records on schedule, and as many as the disk takes: what an append costs the shard, how long a commit takes, what is
//! written to the device, whether the shard's thread faults.
//!
//! The thread reads the clock all the time, as a shard that looks for work does. The longest it stood still between two looks,
//! when it did nothing else, is the noise of the machine: no append can be expected to be shorter.

use crate::{Options, SEGMENT, machine, open_journal, traffic};
use bindery::io::Clock;
use bindery::io::journal::{AppendRefused, Appender};
use bindery::journal::Lsn;
use bindery::journal::frame::frame_len;
use serde_json::{Value, json};
use std::io;
use std::time::Instant;

/// Records in flight where the disk sets the pace.
const OUTSTANDING: u64 = 1000;
/// Seconds before anything counts: spares are made, pages are touched.
const WARM_UP: u64 = 2;
/// Segments before those: a journal that takes as much as it gives back writes to none that is new.
const WARM_SEGMENTS: u64 = 6;
/// So often the shard says what it needs no more.
const FRONT_EVERY: u64 = 64;

/// What was measured, in places that are touched before.
struct Found {
    append: Vec<u32>,
    kick: Vec<u32>,
    commit: Vec<u32>,
    /// When each record was appended, nanoseconds.
    at: Vec<u64>,
    still: u64,
}

impl Found {
    fn room_for(records: u64) -> Self {
        // Not zeros, of which the system gives none before they are written to.
        let room = vec![u32::MAX; records as usize];
        let at = vec![u64::MAX; records as usize];
        Self { append: room.clone(), kick: room.clone(), commit: room, at, still: 0 }
    }
}

fn refused(refused: AppendRefused) -> io::Error {
    io::Error::other(format!("a record was refused: {refused:?}"))
}

fn set(places: &mut [u32], index: u64, nanos: u64) {
    if let Some(place) = places.get_mut(index as usize) {
        *place = u32::try_from(nanos).unwrap_or(u32::MAX);
    }
}

/// Appends so many records at a rate, and waits until all are durable.
fn on_schedule(appender: &mut Appender, clock: Clock, rate: u64, found: &mut Found) -> io::Result<()> {
    let (record, every, total) = (traffic::accept(), 1_000_000_000 / rate, found.at.len() as u64);
    let begun = Instant::now();
    let nanos = || begun.elapsed().as_nanos() as u64;
    let (mut sent, mut settled, mut first, mut before) = (0, 0, Lsn::NONE, nanos());
    while settled < total {
        let at = nanos();
        found.still = found.still.max(at - before);
        before = at;
        let durable = appender.durable();
        while settled < sent && first.plus(settled) <= durable {
            let since = found.at.get(settled as usize).copied().unwrap_or_default();
            set(&mut found.commit, settled, at - since);
            settled += 1;
        }
        if sent == total || at < sent * every {
            continue;
        }
        let now = clock.now();
        let start = nanos();
        let appended = appender.append(now, sent, &record);
        let end = nanos();
        appender.kick();
        before = nanos();
        set(&mut found.append, sent, end - start);
        set(&mut found.kick, sent, before - end);
        if let Some(place) = found.at.get_mut(sent as usize) {
            *place = start;
        }
        let lsn = appended.map_err(refused)?;
        first = if sent == 0 { lsn } else { first };
        if sent.is_multiple_of(FRONT_EVERY) {
            appender.needs_from(durable);
        }
        sent += 1;
        before = nanos();
    }
    Ok(())
}

/// Records at a rate.
pub(crate) fn paced(options: &Options) -> io::Result<Value> {
    let clock = Clock::start();
    let (_journal, mut appender) = open_journal(&options.settings(), clock, &mut |_, _, _| ())?;
    warm_up(&mut appender, clock, options)?;
    let mut found = Found::room_for(options.rate * options.seconds);
    let (written, faults) = (machine::octets_written(&options.dir).ok(), machine::faults()?);
    // Reading what the system says may fault by itself the first time.
    let faults_of_looking = machine::faults()?[0] - faults[0];
    let waited = machine::waited_ms()?;
    let faults = machine::faults()?;
    on_schedule(&mut appender, clock, options.rate, &mut found)?;
    let after = machine::faults()?;
    let waited = machine::waited_ms()? - waited;
    let written = written.zip(machine::octets_written(&options.dir).ok()).map(|(before, now)| now - before);
    let records = options.rate * options.seconds * frame_len(traffic::accept().len()) as u64;
    Ok(json!({
        "append": machine::quantiles(found.append),
        "kick": machine::quantiles(found.kick),
        "commit": machine::quantiles(found.commit),
        "clock": clock_ns(),
        "still": found.still,
        "waited_ms": waited,
        "octets_written": written,
        "octets_of_records": records,
        "faults": [after[0] - faults[0], after[1] - faults[1]],
        "faults_of_looking": faults_of_looking,
    }))
}

/// What reading the clock twice costs, nanoseconds: it is in each append.
fn clock_ns() -> u64 {
    let read = || Instant::now().elapsed().as_nanos() as u32;
    let mut all: Vec<u32> = (0..10_001).map(|_| read()).collect();
    all.sort_unstable();
    u64::from(all.get(5_000).copied().unwrap_or_default())
}

/// As many as come back with so many outstanding.
pub(crate) fn flood(options: &Options) -> io::Result<Value> {
    let clock = Clock::start();
    let (_journal, mut appender) = open_journal(&options.settings(), clock, &mut |_, _, _| ())?;
    warm_up(&mut appender, clock, options)?;
    let waited = machine::waited_ms()?;
    let (begun, first) = (Instant::now(), appender.durable());
    let still = outstanding(&mut appender, clock, |_| begun.elapsed().as_secs() < options.seconds)?;
    let (durable, seconds) = (appender.durable().0 - first.0, begun.elapsed().as_secs_f64());
    let waited = machine::waited_ms()? - waited;
    Ok(json!({ "records_per_second": durable as f64 / seconds, "still": still, "waited_ms": waited }))
}

/// So many segments are filled and given back that the next ones are not new, then records come on schedule.
fn warm_up(appender: &mut Appender, clock: Clock, options: &Options) -> io::Result<()> {
    let records = WARM_SEGMENTS * SEGMENT / frame_len(traffic::accept().len()) as u64;
    let first = appender.durable();
    outstanding(appender, clock, |durable| durable.0 - first.0 < records)?;
    on_schedule(appender, clock, options.rate, &mut Found::room_for(options.rate * WARM_UP))
}

/// Records with so many outstanding while `goes_on` says so of the last durable one; the longest the thread stood still.
fn outstanding(appender: &mut Appender, clock: Clock, goes_on: impl Fn(Lsn) -> bool) -> io::Result<u64> {
    let (record, first) = (traffic::accept(), appender.durable());
    let (mut last, mut before, mut still) = (first, Instant::now(), 0);
    while goes_on(appender.durable()) {
        let at = Instant::now();
        still = still.max((at - before).as_nanos() as u64);
        let durable = appender.durable();
        let now = clock.now();
        let room = OUTSTANDING - (last.0 - durable.0);
        for key in 0..room {
            last = appender.append(now, key, &record).map_err(refused)?;
        }
        if room > 0 {
            appender.needs_from(durable);
            appender.kick();
        }
        before = Instant::now();
    }
    Ok(still)
}
