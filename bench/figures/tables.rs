//! What a message that waits for its receipt takes in memory, and the longest that one insert takes while tables grow.
//!
//! A shard keeps three things of it: an entry in the ledger, by which its receipt is found; the open message, of which its
//! final record is made; its record in the book of what is needed.

use crate::{Options, machine, traffic};
use bindery::ids::{CarrierId, EsmeId, LinkId, PoolId};
use bindery::journal::frame::frame_len;
use bindery::journal::{Book, Kind, Lsn};
use bindery::ledger::own_id::OwnIds;
use bindery::ledger::{
    AddressTail, Destinations, Given, IdText, Ledger, NewEntry, OpenKey, OpenMessage, OpenMessages, Stored,
    StoredMessage,
};
use bindery::limits::JOURNAL_NEEDED_MAX;
use bindery::route::hash;
use bindery::time::{Duration, Instant as Point, Wall};
use serde_json::{Value, json};
use std::hint::black_box;
use std::io;
use std::time::Instant;

const LINK: LinkId = LinkId { slot: 0, generation: 1 };

/// One message a microsecond.
fn at(message: u64) -> Point {
    Point::from_nanos((message + 1) * 1000)
}

fn to_open(open: &mut OpenMessages, message: u64) -> OpenKey {
    let key = traffic::key_of(message);
    let destination = traffic::destination(message);
    let mut new = OpenMessage::new(key, EsmeId(0), Wall(message as i64), b"ACME", &destination);
    (new.carrier, new.given) = (Some(CarrierId(0)), Given::Own(key));
    (new.attempts, new.awaited) = (1, 1);
    new.message_id = IdText::from_slice(&traffic::carriers_id(message));
    (new.lsn, new.origin) = (Lsn(message + 1), Lsn(message + 1));
    let handle = open.insert(new).unwrap_or_default();
    open.waits(handle, at(message).after(Duration::from_secs(72 * 3600)));
    handle
}

fn to_ledger(ledger: &mut Ledger, message: u64, open: OpenKey) {
    let entry = NewEntry {
        carrier: CarrierId(0),
        id: &traffic::carriers_id(message),
        given: Given::Own(traffic::key_of(message)),
        esme: EsmeId(0),
        link: LINK,
        mark: message,
        destination: &Destinations::One(AddressTail::of(&traffic::destination(message))),
        awaited: 1,
        record: open.number(),
    };
    ledger.insert(at(message), &entry);
}

fn to_book(book: &mut Book, message: u64, octets: u32) -> bool {
    book.appended(Lsn(message + 1), traffic::key_of(message), Some(Kind::Sent), None, octets).is_ok()
}

fn record_octets() -> u32 {
    frame_len(traffic::Texts::of(0).sent().len()) as u32
}

/// How much memory `--messages` take, in each of the tables, and the tables before the first one.
pub(crate) fn memory(options: &Options) -> io::Result<Value> {
    machine::as_the_shard()?;
    let octets = record_octets();
    let mut last = machine::resident()?;
    let mut grown = || -> io::Result<u64> {
        let now = machine::resident()?;
        let grown = now.saturating_sub(last);
        last = now;
        Ok(grown)
    };
    // The place for the handles is not the tables'.
    let mut handles = vec![OpenKey::default(); options.messages as usize];
    handles.iter_mut().for_each(|handle| *handle = OpenKey::of(1));
    grown()?;
    let (mut open, mut ledger, mut book) =
        (OpenMessages::new(), Ledger::new(), Book::new(JOURNAL_NEEDED_MAX));
    let empty = grown()?;
    for (message, handle) in (0..).zip(&mut handles) {
        *handle = to_open(&mut open, message);
    }
    let of_open = grown()?;
    for (message, handle) in (0..).zip(&handles) {
        to_ledger(&mut ledger, message, *handle);
    }
    let of_ledger = grown()?;
    let noted = (0..options.messages).filter(|message| to_book(&mut book, *message, octets)).count();
    let of_book = grown()?;
    let all = options.messages as usize;
    if (open.len(), ledger.len(), noted, book.open()) != (all, all, all, all) {
        return Err(io::Error::other("a table did not take all messages"));
    }
    let each = |octets: u64| octets as f64 / options.messages as f64;
    Ok(json!({
        "open": each(of_open),
        "ledger": each(of_ledger),
        "book": each(of_book),
        "each": each(of_open + of_ledger + of_book),
        "empty_tables": empty,
    }))
}

/// How much memory `--messages` take that have left the tables, as they do a minute after they were accepted; each did so
/// `AWAKE` messages later.
pub(crate) fn asleep(options: &Options) -> io::Result<Value> {
    const AWAKE: u64 = 10_000;
    machine::as_the_shard()?;
    let octets = record_octets();
    let (mut open, mut ledger, mut book) =
        (OpenMessages::new(), Ledger::new(), Book::new(JOURNAL_NEEDED_MAX));
    let mut after_awake = 0;
    for message in 0..options.messages + AWAKE {
        let handle = to_open(&mut open, message);
        to_ledger(&mut ledger, message, handle);
        to_book(&mut book, message, octets);
        if message == AWAKE {
            after_awake = machine::resident()?;
        }
        // As the shard does, in each turn.
        black_box(open.expired(at(message)));
        let Some(before) = message.checked_sub(AWAKE) else { continue };
        while let Some((entry, _, (_, record))) = ledger.tired(at(before)) {
            let Some(key) = open.sleep(OpenKey::of(record)).filter(|key| book.rest(*key, true)) else {
                return Err(io::Error::other("a message stays awake"));
            };
            ledger.sleeps(entry, key);
        }
    }
    let grown = machine::resident()?.saturating_sub(after_awake);
    let slept = options.messages as usize;
    if open.asleep.len() != slept || ledger.len() != slept + AWAKE as usize {
        return Err(io::Error::other(format!("{} of {slept} sleep", open.asleep.len())));
    }
    Ok(json!({ "each": grown as f64 / options.messages as f64 }))
}

/// How much memory `--messages` take that we have answered and no carrier has taken, each to a number of its own, once their
/// octets are on the disk alone.
pub(crate) fn stored(options: &Options) -> io::Result<Value> {
    const NOW: i64 = 1_790_000_000_000_000;
    const FRAME: usize = 218;
    machine::as_the_shard()?;
    let octets = record_octets();
    let (mut stored, mut book, mut ids) =
        (Stored::new(1, 1), Book::new(JOURNAL_NEEDED_MAX), OwnIds::new(0, 1));
    let frame = [0; FRAME];
    let before = machine::resident()?;
    for message in 0..options.messages {
        let (wall, lsn) = (Wall(NOW + message as i64), Lsn(message + 1));
        let (given, key) = (ids.next(wall), ids.next(wall));
        let times = (wall, at(message).after(Duration::from_secs(24 * 3600)));
        let chain = hash::octets(0, &traffic::destination(message));
        let mut new = StoredMessage::new(key, EsmeId(0), PoolId(0), times, chain, frame.to_vec());
        (new.given, new.lsn, new.origin, new.link) = (Given::Own(given), lsn, lsn, LINK);
        let handle = stored.insert(new);
        book.appended(lsn, key, Some(Kind::Accept), None, octets)
            .map_err(|_| io::Error::other("the book is full"))?;
        stored.safe(handle);
        stored.leave_memory(lsn);
    }
    let grown = machine::resident()?.saturating_sub(before);
    if stored.len() != options.messages as usize {
        return Err(io::Error::other("a message is missing"));
    }
    Ok(json!({
        "each": grown.saturating_sub(stored.octets()) as f64 / options.messages as f64,
        "octets_here": stored.octets(),
    }))
}

/// The longest of so many inserts, nanoseconds, and what all of them took.
fn longest(messages: u64, mut insert: impl FnMut(u64)) -> (u64, u64) {
    let (begun, mut longest) = (Instant::now(), 0);
    for message in 0..messages {
        let start = Instant::now();
        insert(message);
        longest = longest.max(start.elapsed().as_nanos() as u64);
    }
    (longest, begun.elapsed().as_nanos() as u64)
}

/// The longest that the thread stood still in so long, doing nothing but look at the clock.
fn still(nanos: u64) -> u64 {
    let begun = Instant::now();
    let (mut before, mut longest) = (0, 0);
    while before < nanos {
        let at = begun.elapsed().as_nanos() as u64;
        longest = longest.max(at - before);
        before = at;
    }
    longest
}

/// Each table from nothing to `--messages`.
pub(crate) fn inserts(options: &Options) -> io::Result<Value> {
    machine::as_the_shard()?;
    let octets = record_octets();
    let mut open = OpenMessages::new();
    let of_open = longest(options.messages, |message| {
        black_box(to_open(&mut open, message));
    });
    let mut ledger = Ledger::new();
    let of_ledger = longest(options.messages, |message| to_ledger(&mut ledger, message, OpenKey::of(1)));
    let mut book = Book::new(JOURNAL_NEEDED_MAX);
    let of_book = longest(options.messages, |message| {
        black_box(to_book(&mut book, message, octets));
    });
    let still = still(of_open.1 + of_ledger.1 + of_book.1);
    Ok(json!({ "open": of_open.0, "ledger": of_ledger.0, "book": of_book.0, "still": still }))
}
