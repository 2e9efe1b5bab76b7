//! `[journal]`, `[[cdr]]`, `[node] data_dir` and what accounts say of them. Owns: their defaults and ranges. Takes: the
//! tables. Gives: the values, and the folders that a node makes for them. Never: makes one.

use super::document::Document;
use super::report::{Notes, Place, Source};
use super::table::{Item, Table, found, join};
use super::units::duration_text;
use super::{Cdr, Config, Journal, Node, Retry, keys, units};
use crate::esme::settings::{Durability, Waiting};
use crate::limits::{
    CDRS_MAX, JOURNAL_RESERVE, JOURNAL_SEGMENT_MAX, JOURNAL_SEGMENT_MIN, JOURNAL_SEGMENTS_LEAST,
    RETRY_WAITS_MAX, WAITING_COUNT_MAX,
};
use crate::time::Duration;
use core::ops::RangeInclusive;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Longest wait of a record for company; a response would wait for longer than the disk takes.
const GROUP_COMMIT_MAX: Duration = Duration::from_millis(20);
const SEGMENT_DEFAULT: u64 = 64 * MIB;
const SIZE_DEFAULT: u64 = 20 * GIB;
/// Largest `size_max`, octets.
const SIZE_MAX: u64 = 65_536 * GIB;
const MIN_FREE_DEFAULT: u32 = 10;
const MIN_FREE_MAX: u32 = 90;
const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const WAITING_DEFAULT: Waiting = Waiting { count_max: 100_000, keep: Duration::from_secs(72 * 3600) };
/// Shortest and longest wait between two attempts.
const RETRY_WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;
const FACTOR: RangeInclusive<f64> = 1.1..=10.0;

const DURABILITIES: [(&str, Durability); 4] = [
    ("group", Durability::Group),
    ("strict", Durability::Strict),
    ("process", Durability::Process),
    ("off", Durability::Off),
];

impl Journal {
    /// The least `size_max` with which so many shards can work.
    #[must_use]
    pub const fn size_least(&self, shards: usize) -> u64 {
        (shards * JOURNAL_SEGMENTS_LEAST) as u64 * self.segment_size
    }

    /// `size_max` of so many shards without what is kept for the ends of messages.
    #[must_use]
    pub const fn size_ordinary(&self, shards: usize) -> u64 {
        self.size_max.saturating_sub((shards * JOURNAL_RESERVE) as u64 * self.segment_size)
    }
}

/// Where a relative path begins that stands in this file.
fn folder_of(sources: &[Source], file: usize) -> &Path {
    sources.get(file).and_then(|source| Path::new(&source.path).parent()).unwrap_or(Path::new(""))
}

/// The path of `[node] data_dir`, or its default beside the first file.
pub(super) fn read_data_dir(table: Option<&Table<'_>>, sources: &[Source], notes: &mut Notes) -> PathBuf {
    let default = || folder_of(sources, 0).join("data");
    let Some(item) = table.and_then(|table| table.get("data_dir")) else { return default() };
    let allowed = "the path of a folder";
    match item.text(notes, allowed) {
        Some(text) if !text.contains('\0') => folder_of(sources, item.place.file).join(text),
        Some(_) => {
            item.refuse(notes, allowed);
            default()
        }
        None => default(),
    }
}

/// Reads `[journal]`; without one nothing is kept over a restart.
pub(super) fn read(document: &Document<'_>, notes: &mut Notes) -> Option<Journal> {
    let table = document.journal.as_ref()?;
    table.check_keys(notes, &keys::JOURNAL);
    Some(Journal {
        durability: table.choice(notes, "durability", &DURABILITIES, &[]).unwrap_or(Durability::Group),
        group_commit: table.duration(
            notes,
            "group_commit",
            Duration::ZERO..=GROUP_COMMIT_MAX,
            Duration::ZERO,
        ),
        segment_size: read_segment_size(table, notes),
        size_max: read_size_max(table, notes),
        min_free: table.percent(notes, "min_free", 0..=MIN_FREE_MAX, MIN_FREE_DEFAULT) as u8,
        retry: read_retry(table, notes),
    })
}

fn read_segment_size(table: &Table<'_>, notes: &mut Notes) -> u64 {
    let Some(item) = table.get("segment_size") else { return SEGMENT_DEFAULT };
    let range = JOURNAL_SEGMENT_MIN..=JOURNAL_SEGMENT_MAX;
    let octets = item.value.as_str().and_then(units::size);
    // What is written begins and ends at a page.
    let octets = octets.filter(|octets| range.contains(octets) && octets.is_multiple_of(MIB));
    if octets.is_none() {
        item.refuse(notes, "a size from \"16MiB\" to \"256MiB\", in whole MiB");
    }
    octets.unwrap_or(SEGMENT_DEFAULT)
}

const _: () =
    assert!(JOURNAL_SEGMENT_MIN == 16 * MIB && JOURNAL_SEGMENT_MAX == 256 * MIB, "as it says above");

fn read_size_max(table: &Table<'_>, notes: &mut Notes) -> u64 {
    let Some(item) = table.get("size_max") else { return SIZE_DEFAULT };
    let least = JOURNAL_SEGMENTS_LEAST as u64 * JOURNAL_SEGMENT_MIN;
    let octets = item.value.as_str().and_then(units::size);
    let octets = octets.filter(|octets| (least..=SIZE_MAX).contains(octets));
    if octets.is_none() {
        let allowed = format!(
            "a size from \"{}\" to \"{}\", in B, KiB, MiB or GiB",
            size_text(least),
            size_text(SIZE_MAX)
        );
        item.refuse(notes, &allowed);
    }
    octets.unwrap_or(SIZE_DEFAULT)
}

/// A size as it is read, in the largest unit that is exact.
pub(super) fn size_text(octets: u64) -> String {
    let units = [(GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
    let exact = units.iter().find(|(each, _)| octets.is_multiple_of(*each));
    exact.map_or_else(|| format!("{octets}B"), |(each, unit)| format!("{}{unit}", octets / each))
}

fn read_retry(table: &Table<'_>, notes: &mut Notes) -> Retry {
    let seconds = Duration::from_secs;
    let (first, max, factor) = (seconds(5), seconds(900), 2.0);
    let (jitter, give_up_after) = (20, seconds(48 * 3600));
    let mut retry = Retry { waits: waits(first, factor, max), jitter, give_up_after };
    let allowed = "{ first = \"5s\", factor = 2.0, max = \"15m\", jitter = \"20%\", give_up_after = \"48h\" } \
        or { intervals = [\"5s\", \"1m\", \"10m\"], give_up_after = \"48h\" }";
    let Some(item) = table.get("retry") else { return retry };
    let Some(inner) = item.table(notes, allowed) else { return retry };
    inner.check_keys(notes, &keys::RETRY);
    retry.jitter = inner.percent(notes, "jitter", 0..=100, u32::from(jitter)) as u8;
    retry.give_up_after = inner.duration(notes, "give_up_after", MINUTE..=30 * DAY, give_up_after);
    if let Some(intervals) = inner.get("intervals") {
        if let Some(other) = ["first", "factor", "max"].into_iter().find_map(|key| inner.get(key)) {
            let message = "found beside `intervals`, which says all waits";
            notes.error(other.place, other.path(), message).help("remove one of the two");
        }
        let items = intervals.list(notes, RETRY_WAITS_MAX, "a list of durations");
        retry.waits = items.iter().filter_map(|item| item.duration(notes, &RETRY_WAIT)).collect();
        return retry;
    }
    let first = inner.duration(notes, "first", RETRY_WAIT, first);
    let max = inner.duration(notes, "max", RETRY_WAIT, max);
    if first > max {
        let message = format!("first is {} and max is {}", duration_text(first), duration_text(max));
        notes.error(item.place, item.path(), message);
    }
    retry.waits = waits(first, read_factor(&inner, notes).unwrap_or(factor), max);
    retry
}

fn read_factor(table: &Table<'_>, notes: &mut Notes) -> Option<f64> {
    let item = table.get("factor")?;
    let text = item.value.as_float().map(|number| number.as_str());
    let text = text.or_else(|| item.value.as_integer().map(|number| number.as_str()));
    let factor = text.and_then(|text| text.parse::<f64>().ok()).filter(|factor| FACTOR.contains(factor));
    if factor.is_none() {
        item.refuse(notes, &format!("a number from {:?} to {:?}", FACTOR.start(), FACTOR.end()));
    }
    factor
}

/// Each so many times as long as the one before, up to the longest.
fn waits(first: Duration, factor: f64, max: Duration) -> Vec<Duration> {
    debug_assert!(FACTOR.contains(&factor));
    let each =
        core::iter::successors(Some(first), |wait| (*wait < max).then(|| wait.mul_f64(factor).min(max)));
    each.take(RETRY_WAITS_MAX).collect()
}

/// What an account says of its promises; `None`: what the journal says.
pub(super) fn read_durability(table: &Table<'_>, notes: &mut Notes) -> Option<Durability> {
    table.get("durability")?;
    table.choice(notes, "durability", &DURABILITIES, &[])
}

/// `waiting` of an account.
pub(super) fn read_waiting(table: &Table<'_>, notes: &mut Notes) -> Waiting {
    let Some(item) = table.get("waiting") else { return WAITING_DEFAULT };
    let Some(inner) = item.table(notes, "{ count_max = 100_000, keep = \"72h\" }") else {
        return WAITING_DEFAULT;
    };
    inner.check_keys(notes, &keys::WAITING);
    let Waiting { count_max, keep } = WAITING_DEFAULT;
    Waiting {
        count_max: inner.count(notes, "count_max", 1..=WAITING_COUNT_MAX, count_max),
        keep: inner.duration(notes, "keep", MINUTE..=30 * DAY, keep),
    }
}

/// Reads every `[[cdr]]`.
pub(super) fn read_cdrs(document: &Document<'_>, sources: &[Source], notes: &mut Notes) -> Vec<Cdr> {
    let tables = &document.cdrs;
    if let Some(over) = tables.get(CDRS_MAX) {
        let message = format!("found {} of them", tables.len());
        notes.error(over.place, "cdr".to_owned(), message).allowed(format!("at most {CDRS_MAX}"));
        return Vec::new();
    }
    let mut taken: HashMap<PathBuf, Place> = HashMap::new();
    let mut cdrs = Vec::with_capacity(tables.len());
    for table in tables {
        table.check_keys(notes, &keys::CDR);
        table.choice(notes, "kind", &[("file", ())], &["http", "postgres", "nats"]);
        let rotate = read_span(table, "rotate", MINUTE..=366 * DAY, DAY, notes);
        let keep = read_span(table, "keep", Duration::from_secs(3600)..=3660 * DAY, 400 * DAY, notes);
        let Some((path, place)) = read_cdr_path(table, sources, notes) else { continue };
        if let Some(first) = taken.insert(path.clone(), place) {
            let message = format!("{} is written by another [[cdr]]", path.display());
            notes.error(place, join(&table.path, "path"), message).other(first, "this one");
        }
        cdrs.push(Cdr { path, rotate, keep });
    }
    cdrs
}

/// A duration in `range`, or `"0"` for never.
fn read_span(
    table: &Table<'_>,
    key: &str,
    range: RangeInclusive<Duration>,
    default: Duration,
    notes: &mut Notes,
) -> Duration {
    let Some(item) = table.get(key) else { return default };
    let span = item.value.as_str().and_then(units::duration);
    let span = span.filter(|span| span.is_zero() || range.contains(span));
    if span.is_none() {
        let (first, last) = (duration_text(*range.start()), duration_text(*range.end()));
        let allowed = format!("\"0\" for never, or a duration from \"{first}\" to \"{last}\"");
        item.refuse(notes, &allowed);
    }
    span.unwrap_or(default)
}

const DATE: &str = "{date}";

fn read_cdr_path(table: &Table<'_>, sources: &[Source], notes: &mut Notes) -> Option<(PathBuf, Place)> {
    let allowed = "the path of a file, such as \"data/cdr/{date}.jsonl\"";
    let Some(item) = table.get("path") else {
        table.missing(notes, "path", allowed);
        return None;
    };
    let text = item.text(notes, allowed)?;
    let path = folder_of(sources, item.place.file).join(text);
    let is_file = !text.ends_with('/') && !text.contains('\0') && path.file_name().is_some();
    if !is_file || text.replace(DATE, "").contains(['{', '}']) {
        let problem = notes.error(item.place, item.path(), format!("found {}", found(item.value)));
        problem.allowed(allowed).help("between { and } stands `date` and nothing else");
        return None;
    }
    Some((path, item.place))
}

/// Notes what says something of a journal where there is none, and a journal that cannot hold what it must.
pub(super) fn check(config: &Config, document: &Document<'_>, notes: &mut Notes) {
    let Some(journal) = &config.journal else {
        return check_without(document, notes);
    };
    let Some(table) = &document.journal else { return };
    let grouped = |esme: &crate::esme::Shared| esme.durability == Some(Durability::Group);
    if let Some(item) = table.get("group_commit")
        && journal.durability != Durability::Group
        && !config.esmes.iter().any(grouped)
    {
        let message = "nothing is committed in groups";
        notes.error(item.place, item.path(), message).help("remove it, or set durability = \"group\"");
    }
    // How many shards "auto" makes is known where the node runs.
    let shards = config.node.shards.count(1);
    let least = journal.size_least(shards);
    if journal.size_max < least {
        let item = table.get("size_max");
        let place = item.map_or(table.place, |item| item.place);
        let (size, least) = (size_text(journal.size_max), size_text(least));
        let message = format!(
            "found {size}; {shards} shards with {JOURNAL_SEGMENTS_LEAST} segments of {} each need {least}",
            size_text(journal.segment_size)
        );
        notes.error(place, join(&table.path, "size_max"), message).allowed(format!("\"{least}\" or more"));
    }
}

fn check_without(document: &Document<'_>, notes: &mut Notes) {
    const HELP: &str = "add [journal], or remove this";
    let mut without = |item: Item<'_>, what: &str| {
        notes.error(item.place, item.path(), format!("{what}, and there is no [journal]")).help(HELP);
    };
    for esme in &document.esmes {
        for (key, what) in [
            ("durability", "this says what a promise in the journal survives"),
            ("waiting", "what waits for this account waits in the journal"),
        ] {
            if let Some(item) = esme.table.get(key) {
                without(item, what);
            }
        }
        if let Some(item) = esme.table.get("mode").filter(|item| item.value.as_str() == Some("store")) {
            without(item, "a stored message stands in the journal");
        }
    }
    for route in &document.mo_routes {
        if let Some(item) = route.get("nobody").filter(|item| item.value.as_str() == Some("queue")) {
            without(item, "what is queued waits in the journal");
        }
    }
    for table in &document.cdrs {
        let message = "call detail records are taken from the journal, and there is none";
        notes.error(table.place, table.path.clone(), message).help("add [journal], or remove this");
    }
    if let Some(item) = document.node.as_ref().and_then(|table| table.get("data_dir")) {
        let message = "nothing is kept there: there is no [journal]";
        notes.warning(item.place, item.path(), message).help(HELP);
    }
}

/// A folder that a node makes when there is none.
struct Made {
    path: PathBuf,
    place: Place,
    key: String,
}

/// Notes the folders that cannot be made. `makeable` says why not.
pub(super) fn check_folders(
    config: &Config,
    document: &Document<'_>,
    makeable: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    notes: &mut Notes,
) {
    for Made { path, place, key } in folders(config, document) {
        if let Err(error) = makeable(&path) {
            let message = format!("{} cannot be made or written to: {error}", path.display());
            notes.error(place, key, message);
        }
    }
}

fn folders(config: &Config, document: &Document<'_>) -> Vec<Made> {
    let Config { node: Node { data_dir, .. }, cdrs, .. } = config;
    let mut made = Vec::new();
    if let Some(journal) = &document.journal {
        let item = document.node.as_ref().and_then(|table| table.get("data_dir"));
        let place = item.map_or(journal.place, |item| item.place);
        made.push(Made { path: data_dir.join("journal"), place, key: "node.data_dir".to_owned() });
    }
    for (cdr, table) in cdrs.iter().zip(&document.cdrs) {
        // The part above a day is there before the day is.
        let whole = |path: &&Path| !path.as_os_str().to_string_lossy().contains(DATE);
        let folder = cdr.path.ancestors().skip(1).find(whole).unwrap_or(Path::new(""));
        let place = table.get("path").map_or(table.place, |item| item.place);
        made.push(Made { path: folder.to_owned(), place, key: join(&table.path, "path") });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SMALL, load_text};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// `retry` of a text, and what is said of it beside that it does not act yet.
    fn retry(value: &str) -> (Retry, Vec<String>) {
        let text = format!("[journal]\nretry = {value}\n");
        let sources = vec![Source { path: "a.toml".to_owned(), text }];
        let mut notes = Notes::default();
        let parsed = super::super::document::parse(&sources, &[0], &mut notes);
        let document = Document::new(&parsed, &mut notes);
        let retry = read(&document, &mut notes).unwrap().retry;
        let report = notes.into_report(sources.clone());
        let said = report.problems().iter().map(|one| format!("{}: {}", one.key, one.message));
        (retry, said.filter(|line| !line.ends_with("not supported yet")).collect())
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_are_bounded() {
        let seconds = |waits: &[u32]| waits.iter().map(|wait| *wait * SECOND).collect::<Vec<_>>();
        let (read, said) = retry("{ jitter = \"0%\" }");
        assert_eq!(read.waits, seconds(&[5, 10, 20, 40, 80, 160, 320, 640, 900]));
        assert_eq!((read.jitter, read.give_up_after, said.len()), (0, 172_800 * SECOND, 0));
        let (read, said) = retry("{ first = \"1s\", factor = 10, max = \"1m\", give_up_after = \"30d\" }");
        assert_eq!((read.waits, read.give_up_after, said.len()), (seconds(&[1, 10, 60]), 30 * DAY, 0));
        assert_eq!(retry("{ first = \"1m\", max = \"1m\" }").0.waits, seconds(&[60]));
        let longest = retry("{ first = \"100ms\", factor = 1.1, max = \"24h\" }").0.waits;
        assert_eq!((longest.len() < RETRY_WAITS_MAX, longest.last()), (true, Some(&DAY)));
        let (read, said) = retry("{ intervals = [\"5s\", \"1m\", \"10m\"] }");
        assert_eq!((read.waits, said.len()), (seconds(&[5, 60, 600]), 0));
    }

    #[test]
    fn a_retry_that_cannot_be_is_told() {
        for (value, want) in [
            ("true", "journal.retry: found true"),
            ("{ first = \"99ms\" }", "journal.retry.first: found \"99ms\""),
            ("{ factor = 1.0 }", "journal.retry.factor: found the number 1.0"),
            ("{ factor = 11 }", "journal.retry.factor: found the integer 11"),
            ("{ first = \"2m\", max = \"1m\" }", "journal.retry: first is 2m and max is 1m"),
            ("{ jitter = \"101%\" }", "journal.retry.jitter: found \"101%\""),
            ("{ give_up_after = \"59s\" }", "journal.retry.give_up_after: found \"59s\""),
            ("{ intervals = [] }", "journal.retry.intervals: found an empty list"),
            ("{ intervals = [\"25h\"] }", "journal.retry.intervals[0]: found \"25h\""),
            (
                "{ intervals = [\"1s\"], max = \"1m\" }",
                "journal.retry.max: found beside `intervals`, which says all waits",
            ),
            ("{ frist = \"1s\" }", "journal.retry.frist: unknown key"),
        ] {
            assert_eq!(retry(value).1, [want], "{value}");
        }
    }

    #[test]
    fn a_folder_is_asked_for_where_it_is_named() {
        let text = format!(
            "{SMALL}[node]\ndata_dir = \"there\"\n[journal]\n[[cdr]]\npath = \"cdr/{{date}}/all.jsonl\"\n"
        );
        let mut asked = Vec::new();
        let mut files = super::super::Files {
            read: &mut |_: &Path| Ok(text.clone()),
            list: &mut |_: &Path| Ok(Vec::new()),
            env: &mut |_: &str| None,
        };
        let mut makeable = |path: &Path| {
            asked.push(path.display().to_string());
            if path.starts_with("d/cdr") { Err(std::io::Error::other("read-only")) } else { Ok(()) }
        };
        let report = super::super::check(Path::new("d/main.toml"), &mut files, &mut makeable).unwrap_err();
        assert_eq!(asked, ["d/there/journal", "d/cdr"]);
        let [problem] = report.problems() else { panic!("{}", report.render(false)) };
        assert_eq!((&*problem.key, problem.line), ("cdr[0].path", 20));
        assert_eq!(problem.message, "d/cdr cannot be made or written to: read-only");
        assert!(load_text(&text).is_ok());
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in ["1B", "1025B", "3KiB", "64MiB", "20GiB"] {
            assert_eq!(size_text(units::size(text).unwrap()), text);
        }
    }
}
