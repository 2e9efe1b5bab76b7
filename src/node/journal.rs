//! A node's journal, from the configuration to the shards. Owns: the words for what can be wrong with it. Takes: where it
//! is, how it is kept. Gives: it open, what each shard begins with, log lines on the way. Never: goes on with one that it
//! cannot read.

use super::tell;
use crate::config::{Config, Homes, Journal as Wished, Secret};
use crate::esme::settings::Durability as Wanted;
use crate::io::journal::{Appender, Former, Journal, OpenError, Settings, Wake};
use crate::io::{Clock, StopHandle};
use crate::journal::recover::{Refusal, Report, Verdict};
use crate::journal::{Cipher, Cursors, DiskError, Durability, Erasing, Lsn, Opener, Sealer};
use crate::ledger::Restored;
use crate::ledger::restored::Kept;
use crate::limits::{JOURNAL_NEEDED_MAX, JOURNAL_RING};
use crate::shard::port::{Event, Level};
use crate::shard::{Left, Moved, Shard, Surplus};
use crate::sidecar::{Journaling, cdr};
use crate::time::{Duration, Instant, Now};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// While what the last run left is read, a line is logged this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// At the start what moves to another shard's journal is waited for so long.
const BRING_HOME: Duration = Duration::from_secs(10);
/// The clock is read once in so many records.
const PROGRESS_LOOK: u64 = 1024;

/// Who is told while it is opened.
pub(super) struct Told<'a> {
    /// The log.
    pub(super) lines: &'a SyncSender<Event>,
    /// Who watches the node.
    pub(super) journaling: &'a Journaling,
}

/// An open journal.
pub(super) struct Opened {
    /// Its threads.
    pub(super) journal: Journal,
    /// What each shard begins with: its end of the journal, and what is not over.
    pub(super) shards: Vec<(Appender, Restored)>,
    /// Of shards that are no more: what is there, and what is not over.
    pub(super) formers: Vec<(Former, Restored)>,
    /// For each shard, also those that are no more, the last record of the last run.
    pub(super) ends: Vec<Lsn>,
    /// For each shard what it seals messages with, if the configuration wants it.
    pub(super) ciphers: Vec<Option<Cipher>>,
}

/// Opens the journal of a node whose loops are these, if its configuration has one. `adopt`: also a copy.
///
/// # Errors
/// It cannot be opened; the reason says what to do.
pub(super) fn open(
    (config, adopt): (&Config, bool),
    handles: &[StopHandle],
    clock: Clock,
    told: &Told<'_>,
) -> std::io::Result<Option<Opened>> {
    let Some(kept) = &config.journal else { return Ok(None) };
    let settings = Settings { adopt, ..settings_of(config, kept, handles.len())? };
    let begun = clock.mono();
    let mut progress = Progress { told, clock, records: 0, said: begun };
    let keys = &config.privacy.encrypt;
    let new = || Restored::new(JOURNAL_NEEDED_MAX).with_keys(opener(keys)).erasing(&settings.erasing);
    let mut restored: BTreeMap<u32, Restored> = (0..settings.shards).map(|shard| (shard, new())).collect();
    let opened =
        Journal::open(&settings, wakes(handles), (clock, told.lines.clone()), &mut |shard, frame, place| {
            progress.one_more(shard);
            restored.entry(shard).or_insert_with(new).take(frame, place);
        });
    let (mut journal, starts) = opened.map_err(|error| explained(&error, &settings.directory))?;
    side_by_side(restored.values_mut(), Restored::settle)?;
    let unopened: usize = restored.values().map(Restored::unopened).sum();
    if unopened > 0 {
        return Err(Error::other(format!(
            "journal in {}: {unopened} messages that are not over were sealed with another key than [privacy] encrypt has; name that key \
             there, behind the one for new messages, until they are over",
            settings.directory.display()
        )));
    }
    let formers = journal.formers();
    let own = starts.iter().zip(0..).map(|(start, shard)| (shard, start.end, &start.report));
    let gone = formers.iter().map(|former| (former.shard(), former.end(), former.report()));
    let (mut reports, mut ends) = (Vec::new(), Vec::new());
    for (shard, end, report) in own.chain(gone) {
        if let Some(event) = alarm(shard as usize, report, &settings.directory) {
            tell(told.lines, event);
        }
        reports.push(report);
        ends.resize(shard as usize, Lsn::NONE);
        ends.push(end);
    }
    tell(told.lines, has_read(&reports, clock.mono().since(begun)));
    let mut left = |shard: u32| restored.remove(&shard).unwrap_or_else(new);
    let formers = formers.into_iter().map(|former| (left(former.shard()), former));
    let formers = formers.map(|(restored, former)| (former, restored)).collect();
    let shards = starts.into_iter().map(|start| start.appender).zip((0..).map(left)).collect();
    let ciphers = handles.iter().map(|_| cipher(keys)).collect::<Result<_, _>>()?;
    Ok(Some(Opened { journal, shards, formers, ends, ciphers }))
}

/// The same for each shard, on a thread of its own: before shards run, their cores have nothing else to do.
///
/// # Errors
/// The system gives no thread.
pub(super) fn side_by_side<T: Send, R: Send>(
    shards: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> std::io::Result<Vec<R>> {
    let work = &work;
    std::thread::scope(|scope| {
        let begin = |shard| std::thread::Builder::new().spawn_scoped(scope, move || work(shard));
        let running: Vec<_> = shards.map(begin).collect();
        let running = running.into_iter();
        running.map(|one| Ok(one?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))).collect()
    })
}

fn cipher(keys: &[Secret]) -> std::io::Result<Option<Cipher>> {
    let Some(first) = keys.first() else { return Ok(None) };
    let sealer = Sealer::new(&first.0, crate::io::journal::salt()?);
    Ok(sealer.map(|sealer| Cipher { sealer, opener: opener(keys) }))
}

fn opener(keys: &[Secret]) -> Opener {
    Opener::new(keys.iter().map(|key| &key.0))
}

/// Journals of shards that are no more, and what belongs to whom in them.
#[derive(Default)]
pub(super) struct Leftovers {
    pub(super) surplus: Vec<Surplus>,
    /// By journal, as in `surplus`.
    pub(super) moved: Vec<Vec<Moved>>,
    /// Lines for the log.
    pub(super) events: Vec<Event>,
}

/// What is not over in the journals of shards that are no more goes to where their accounts are at home now. Those in which
/// nothing is left to be done stay as they are, until there are so many shards again.
///
/// # Errors
/// One cannot be written.
pub(super) fn sort_out(
    journal: &mut Journal,
    formers: Vec<(Former, Restored)>,
    (config, homes): (&Config, &Homes),
    cursors: Option<&Cursors>,
) -> Result<Leftovers, Error> {
    let mut leftovers = Leftovers::default();
    for (former, restored) in formers {
        let shard = former.shard() as usize;
        let mut left = Left::of(restored, config, homes);
        leftovers.events.extend(left_where_it_is(shard, left.strangers));
        if left.moved.is_empty() && former.rests(left.strangers > 0, cursors.is_some()) {
            if let Some(cursors) = cursors {
                cursors.tell_durable(shard, former.report().durable);
            }
            continue;
        }
        leftovers.moved.push(core::mem::take(&mut left.moved));
        let directory = config.node.data_dir.join("journal");
        let appender = journal.reopen(former).map_err(|error| explained(&error, &directory))?;
        leftovers.surplus.push(left.kept_by(shard, Box::new(appender)));
    }
    Ok(leftovers)
}

/// The sinks of call detail records: they run, and read what the shards tell `Cursors`.
pub(super) struct Sinks {
    /// Shared with the shards.
    pub(super) cursors: Arc<Cursors>,
    /// Their threads.
    pub(super) running: Vec<cdr::Running>,
}

/// Starts the sinks of a node; `None`: it has none.
///
/// # Errors
/// A path cannot be one of a sink, or the system gives no thread.
pub(super) fn sinks(
    config: &Config,
    ends: &[Lsn],
    lines: &SyncSender<Event>,
    journaling: &Journaling,
) -> std::io::Result<Option<Sinks>> {
    if config.cdrs.is_empty() {
        return Ok(None);
    }
    let cursors = Arc::new(Cursors::new(ends.len(), config.cdrs.len()));
    let (mut running, mut cells, mut erasers) = (Vec::new(), Vec::new(), Vec::new());
    for (sink, cdr) in config.cdrs.iter().enumerate() {
        let journal = config.node.data_dir.join("journal");
        let numbers = config.privacy.keep_numbers;
        let numbers = numbers.map(|keep| (keep, config.node.data_dir.join("numbers.key")));
        let settings = cdr::Settings { cdr: cdr.clone(), journal, sink, ends: ends.to_vec(), numbers };
        let lines = lines.clone();
        // The sink bounds its lines itself; one that finds no room says the same again later.
        let log = Box::new(move |event: &Event| drop(lines.try_send(event.clone())));
        let started = cdr::start(settings, Arc::clone(&cursors), log)?;
        running.push(started.running);
        cells.push(started.cells);
        erasers.push(started.eraser);
    }
    journaling.has_sinks(cells, erasers);
    Ok(Some(Sinks { cursors, running }))
}

fn wakes(handles: &[StopHandle]) -> Vec<Wake> {
    let wake = |handle: &StopHandle| {
        let handle = handle.clone();
        Box::new(move || handle.wake()) as Wake
    };
    handles.iter().map(wake).collect()
}

fn settings_of(config: &Config, kept: &Wished, shards: usize) -> std::io::Result<Settings> {
    let least = kept.size_least(shards);
    if kept.size_max < least {
        let reason = format!(
            "journal: size_max is {} octets and {shards} shards need {least}; raise it, or lower segment_size or shards",
            kept.size_max
        );
        return Err(Error::new(ErrorKind::InvalidInput, reason));
    }
    Ok(Settings {
        directory: config.node.data_dir.join("journal"),
        shards: u32::try_from(shards).unwrap_or(u32::MAX),
        durability: strictest(config, kept),
        segment: kept.segment_size,
        size_max: kept.size_max,
        min_free: kept.min_free,
        ring: JOURNAL_RING,
        erasing: Erasing { keep: config.privacy.keep_text, within: config.privacy.erase_within },
        adopt: false,
    })
}

/// One disk is in step with the whole journal or with none of it: the account that asks for most says when.
fn strictest(config: &Config, kept: &Wished) -> Durability {
    let wanted = config.esmes.iter().filter_map(|esme| esme.durability).chain([kept.durability]);
    let rank = |wanted: &Wanted| match wanted {
        Wanted::Off => 0,
        Wanted::Process => 1,
        Wanted::Group => 2,
        Wanted::Strict => 3,
    };
    match wanted.max_by_key(rank).unwrap_or(kept.durability) {
        Wanted::Off => Durability::Off,
        Wanted::Process => Durability::Process,
        Wanted::Group => Durability::Group(kept.group_commit),
        Wanted::Strict => Durability::Strict,
    }
}

/// Says how far the reading is.
struct Progress<'a> {
    told: &'a Told<'a>,
    clock: Clock,
    records: u64,
    said: Instant,
}

impl Progress<'_> {
    fn one_more(&mut self, shard: u32) {
        self.records += 1;
        self.told.journaling.has_read();
        if !self.records.is_multiple_of(PROGRESS_LOOK) {
            return;
        }
        let now = self.clock.mono();
        if now.since(self.said) >= PROGRESS_EVERY {
            self.said = now;
            let fields = vec![("shard", shard.to_string()), ("records", self.records.to_string())];
            tell(self.told.lines, Event { level: Level::Info, name: "journal_reading", fields });
        }
    }
}

/// The line that says what was read.
fn has_read(reports: &[&Report], took: Duration) -> Event {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(|report| of(report)).sum::<u64>().to_string();
    let verdict = reports.iter().map(|report| report.verdict()).max().unwrap_or(Verdict::Sound);
    let fields = vec![
        ("shards", reports.len().to_string()),
        ("records", sum(|report| report.records)),
        ("segments", sum(|report| report.segments)),
        ("octets", sum(|report| report.octets)),
        ("ms", took.as_millis().to_string()),
        ("state", verdict.name().to_owned()),
    ];
    Event { level: Level::Info, name: "journal_read", fields }
}

/// What must not be overlooked: damage, and records that were promised and are gone. Said at each start while it is there.
fn alarm(shard: usize, report: &Report, directory: &Path) -> Option<Event> {
    let verdict = report.verdict();
    let name = match verdict {
        Verdict::Sound | Verdict::Torn => return None,
        Verdict::Damaged => "journal_damaged",
        Verdict::Missing => "journal_records_missing",
    };
    let mut fields = vec![
        ("shard", shard.to_string()),
        ("missing_records", report.missing_records.to_string()),
        ("damaged_places", report.damaged_places.to_string()),
    ];
    if let Some(missing) = report.missing.first() {
        fields.push(("first_missing", format!("{}-{}", missing.first.0, missing.last.0)));
    }
    if let Some((file, damage)) = report.damage.first() {
        fields.push(("first_damage", format!("{file} octet {}", damage.at)));
    }
    fields.push(("see", format!("bindery journal verify {}", directory.display())));
    Some(Event { level: Level::Error, name, fields })
}

/// What a shard could not give to anybody: it stays needed until its account and carrier are there again.
pub(super) fn left_where_it_is(shard: usize, strangers: u64) -> Option<Event> {
    if strangers == 0 {
        return None;
    }
    let why = "their account or carrier is not in the configuration, or at home on another shard now";
    let fields =
        vec![("shard", shard.to_string()), ("messages", strangers.to_string()), ("reason", why.to_owned())];
    Some(Event { level: Level::Warn, name: "journal_messages_left", fields })
}

/// What belongs to accounts that have another home than in the last run goes into the journals of those; the former ones
/// let go of it when it is safe there, before any of it moves on. What a crash leaves in both is told apart by its keys.
/// `moved`: by journal, those of the shards first.
///
/// # Errors
/// It is not safe in time: a message that ends at its new home would begin again at the former one.
pub(super) fn bring_home(
    shards: &mut [&mut Shard],
    surplus: &mut [Surplus],
    moved: Vec<Vec<Moved>>,
    clock: Clock,
) -> Result<Option<Event>, Error> {
    let mut keys: Vec<Vec<u64>> = Vec::new();
    let mut arriving: Vec<Vec<(u64, Kept)>> = shards.iter().map(|_| Vec::new()).collect();
    for leaving in moved {
        keys.push(leaving.iter().map(|(_, key, _)| *key).collect());
        for (home, key, kept) in leaving {
            if let Some(arriving) = arriving.get_mut(home.index()) {
                arriving.push((key, kept));
            }
        }
    }
    let messages: usize = keys.iter().map(Vec::len).sum();
    if messages == 0 {
        return Ok(None);
    }
    let late = || {
        Error::other(format!(
            "journal: {messages} messages of accounts that have another home now were not safe there in time; nothing is \
             lost: see what the system's log says of the disk, or set [node] shards as it was"
        ))
    };
    for (shard, mut arriving) in shards.iter_mut().zip(arriving) {
        while !arriving.is_empty() {
            let before = arriving.len();
            arriving = shard.adopt(clock.now(), arriving);
            let on = clock.wait_until(BRING_HOME, || shard.is_all_safe());
            if !on || arriving.len() == before {
                return Err(late());
            }
        }
    }
    let mut keys = keys.into_iter();
    let let_go = (shards.iter_mut().zip(&mut keys))
        .all(|(shard, keys)| let_go(*shard, &keys, clock, (Shard::disown, Shard::is_all_safe)))
        && (surplus.iter_mut().zip(&mut keys))
            .all(|(surplus, keys)| let_go(surplus, &keys, clock, (Surplus::disown, Surplus::is_all_safe)));
    if !let_go {
        return Err(late());
    }
    let fields = vec![("messages", messages.to_string())];
    Ok(Some(Event { level: Level::Info, name: "journal_messages_moved", fields }))
}

/// How a journal lets go of keys, and when that is safe.
type LettingGo<J> = (fn(&mut J, Now, &[u64]) -> usize, fn(&J) -> bool);

/// A journal lets go of these keys; false: it was not safe in time.
fn let_go<J>(journal: &mut J, keys: &[u64], clock: Clock, (disown, is_safe): LettingGo<J>) -> bool {
    let mut left = keys;
    while !left.is_empty() {
        let gone = disown(journal, clock.now(), left);
        left = left.get(gone..).unwrap_or_default();
        if gone == 0 || !clock.wait_until(BRING_HOME, || is_safe(journal)) {
            return false;
        }
    }
    true
}

/// Why it is not opened, and what to do.
fn explained(error: &OpenError, directory: &Path) -> Error {
    const DISK: &str = "see what the system's log says of the disk";
    const LATER: &str = "run the version that wrote it or a later one; its files are as they were";
    let fix = match error {
        OpenError::System(error) if error.kind() == ErrorKind::AddrInUse => {
            "end that process, or give this node a data_dir of its own".to_owned()
        }
        OpenError::System(_) => "see that this user may write there".to_owned(),
        OpenError::Copy(_) => "if the other one is never started again: bindery run --adopt".to_owned(),
        OpenError::Refused(Refusal::Disk(_)) => DISK.to_owned(),
        OpenError::Refused(Refusal::Newer { .. } | Refusal::UnknownKind { .. }) => LATER.to_owned(),
        OpenError::Refused(Refusal::Foreign { .. }) => "put that file back where it came from".to_owned(),
        OpenError::NoShard(_) => "put those files back where they came from".to_owned(),
        OpenError::NoSpace(DiskError::Full) => {
            "free space on the disk, lower min_free or raise size_max".to_owned()
        }
        OpenError::NoSpace(DiskError::Gone | DiskError::Failed(_)) => DISK.to_owned(),
    };
    Error::other(format!("journal in {}: {error}; {fix}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Files, load};
    use crate::journal::Lsn;
    use crate::journal::recover::Missing;
    use std::sync::mpsc::sync_channel;

    fn config(more: &str) -> Config {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[carrier.a]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\n\
             password = \"p\"\n[pool.main]\nmembers = [{{ carrier = \"a\" }}]\n[esme.acme]\npassword = \"p\"\n\
             pool = \"main\"\n{more}"
        );
        let mut files = Files {
            read: &mut |_: &Path| Ok(text.clone()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        load(Path::new("a.toml"), &mut files)
            .unwrap_or_else(|report| panic!("{}", report.render(false)))
            .config
    }

    #[test]
    fn syncs_go_by_whoever_asks_for_most() {
        let of = |esme: &str, journal: &str| {
            let config = config(&format!("{esme}\n[journal]\n{journal}\n"));
            strictest(&config, config.journal.as_ref().unwrap())
        };
        let millis = Duration::from_millis;
        assert_eq!(of("", ""), Durability::Group(millis(0)));
        assert_eq!(of("", "group_commit = \"7ms\""), Durability::Group(millis(7)));
        assert_eq!(of("durability = \"off\"", "durability = \"off\""), Durability::Off);
        assert_eq!(of("durability = \"off\"", "durability = \"process\""), Durability::Process);
        assert_eq!(of("durability = \"group\"", "durability = \"off\""), Durability::Group(millis(0)));
        assert_eq!(of("durability = \"strict\"", "group_commit = \"7ms\""), Durability::Strict);
    }

    #[test]
    fn a_size_that_cannot_hold_the_shards_says_what_they_need() {
        let config = config("[journal]\nsize_max = \"768MiB\"\n");
        let kept = config.journal.as_ref().unwrap();
        assert_eq!(settings_of(&config, kept, 2).unwrap().shards, 2);
        let reason = settings_of(&config, kept, 3).unwrap_err().to_string();
        assert!(reason.contains("is 805306368 octets and 3 shards need 1207959552"), "{reason}");
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let file = || "000-0000000001.seg".to_owned();
        let system = |kind: ErrorKind| OpenError::System(Error::new(kind, "as it is"));
        for (error, fix) in [
            (system(ErrorKind::AddrInUse), "a data_dir of its own"),
            (system(ErrorKind::PermissionDenied), "may write there"),
            (OpenError::Refused(Refusal::Disk(DiskError::Failed(5))), "of the disk"),
            (OpenError::Refused(Refusal::Newer { file: file(), reader: 9 }), "a later one"),
            (OpenError::Refused(Refusal::UnknownKind { lsn: Lsn(3), kind: 200 }), "a later one"),
            (OpenError::Refused(Refusal::Foreign { file: file() }), "back where it came from"),
            (OpenError::NoShard(3000), "back where they came from"),
            (OpenError::NoSpace(DiskError::Full), "lower min_free or raise size_max"),
            (OpenError::NoSpace(DiskError::Failed(5)), "of the disk"),
        ] {
            let text = explained(&error, Path::new("data/journal")).to_string();
            assert!(text.starts_with("journal in data/journal: ") && text.contains(fix), "{text}");
        }
    }

    #[test]
    fn damage_is_an_alarm_with_its_figures_and_a_torn_end_is_none() {
        let mut report = Report { torn: true, ..Report::default() };
        assert_eq!(alarm(0, &report, Path::new("j")), None);
        report.missing_records = 12;
        report.missing.push(Missing { first: Lsn(5), last: Lsn(16) });
        let event = alarm(3, &report, Path::new("j")).unwrap();
        assert_eq!((event.level, event.name), (Level::Error, "journal_records_missing"));
        let field = |name: &str| event.fields.iter().find(|(key, _)| *key == name).map(|(_, text)| &**text);
        assert_eq!((field("shard"), field("missing_records")), (Some("3"), Some("12")));
        assert_eq!((field("first_missing"), field("first_damage")), (Some("5-16"), None));
        assert_eq!(field("see"), Some("bindery journal verify j"));
        let damaged = Report { damaged_places: 1, ..Report::default() };
        assert_eq!(alarm(0, &damaged, Path::new("j")).unwrap().name, "journal_damaged");
    }

    #[test]
    fn reading_says_how_far_it_is_once_a_second_at_most() {
        let (lines, waiting) = sync_channel(8);
        let (journaling, clock) = (Journaling::default(), Clock::start());
        let told = Told { lines: &lines, journaling: &journaling };
        // As if the last line were of an hour ago: the clock begins an hour early.
        let mut progress = Progress { told: &told, clock, records: 0, said: Instant::ZERO };
        for _ in 0..3 * PROGRESS_LOOK {
            progress.one_more(1);
        }
        let events: Vec<Event> = waiting.try_iter().collect();
        assert_eq!(events.first().map(|event| event.name), Some("journal_reading"));
        assert!(events[0].fields.contains(&("records", PROGRESS_LOOK.to_string())), "{events:?}");
        assert!(events.len() < 3, "{events:?}");
    }
}
