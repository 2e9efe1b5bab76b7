//! The names of a sink's files. Owns: the pattern. Takes: a time, a name. Gives: the name of the file that is written at
//! that time, when a file began. Never: lists a directory.
//!
//! A file is named after the moment at which it begins, so that names sort as the files do: `{date}` is the UTC day, and
//! where a day has several files the time stands behind it, as `2026-11-22.130000`. A pattern without `{date}` that rotates
//! has it before its extension.

use super::dates::{DATE_LEN, DAY, date_of, day_of};
use crate::time::{Duration, Wall};

/// What stands for the day.
pub const DATE: &str = "{date}";
const TIME_LEN: usize = 7;

/// When a file begins, microseconds since 1970, UTC; 0 where there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Begin(pub i64);

/// The names of one sink's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    before: String,
    after: String,
    /// Microseconds of one file; `None`: there is one for ever.
    span: Option<i64>,
}

impl Names {
    /// Of a file name as it is configured. `rotate`: a new file after so long, zero for never; a name with `{date}` has
    /// one a day at least.
    #[must_use]
    pub fn new(pattern: &str, rotate: Duration) -> Self {
        let micros = i64::try_from(rotate.as_micros()).unwrap_or(i64::MAX);
        let span = (micros > 0).then_some(micros);
        if let Some((before, after)) = pattern.split_once(DATE) {
            let span = Some(span.map_or(DAY, |span| span.min(DAY)));
            return Self { before: before.to_owned(), after: after.to_owned(), span };
        }
        let stem = pattern.rfind('.').filter(|at| *at > 0 && span.is_some()).unwrap_or(pattern.len());
        let (before, after) = pattern.split_at(stem);
        let dot = if span.is_some() { "." } else { "" };
        Self { before: format!("{before}{dot}"), after: after.to_owned(), span }
    }

    /// When the file began, or begins, that is written at this time.
    #[must_use]
    pub fn begin_at(&self, now: Wall) -> Begin {
        let Some(span) = self.span else { return Begin(0) };
        // Within a day files begin at midnight and from there on; longer ones are counted from 1970.
        let from = if span < DAY { now.0.div_euclid(DAY) * DAY } else { 0 };
        Begin(from + (now.0 - from).div_euclid(span) * span)
    }

    /// When the next file begins; `None`: never.
    #[must_use]
    pub fn end_of(&self, begin: Begin) -> Option<Wall> {
        let span = self.span?;
        let next_day = (begin.0.div_euclid(DAY) + 1) * DAY;
        let end = begin.0.saturating_add(span);
        Some(Wall(if span < DAY { end.min(next_day) } else { end }))
    }

    fn is_timed(&self) -> bool {
        self.span.is_some_and(|span| span % DAY != 0)
    }

    /// The name of the file that begins then.
    #[must_use]
    pub fn name_of(&self, begin: Begin) -> String {
        let (before, after) = (&self.before, &self.after);
        if self.span.is_none() {
            return format!("{before}{after}");
        }
        let date = date_of(begin.0.div_euclid(DAY));
        let date = core::str::from_utf8(&date).unwrap_or_default();
        if !self.is_timed() {
            return format!("{before}{date}{after}");
        }
        let seconds = begin.0.rem_euclid(DAY) / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{before}{date}.{hour:02}{minute:02}{second:02}{after}")
    }

    /// When the file of this name began; `None`: it is none of this sink's. Names of an earlier `rotate` are its own, too.
    #[must_use]
    pub fn begin_of(&self, name: &str) -> Option<Begin> {
        let middle = name.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        if self.span.is_none() {
            return middle.is_empty().then_some(Begin(0));
        }
        let (date, time) = middle.as_bytes().split_at_checked(DATE_LEN)?;
        let day = day_of(date)? * DAY;
        match time {
            [] => Some(Begin(day)),
            [b'.', digits @ ..] if time.len() == TIME_LEN => {
                let number = |at: usize| -> Option<i64> {
                    core::str::from_utf8(digits.get(at..at + 2)?).ok()?.parse::<u8>().ok().map(i64::from)
                };
                let seconds = number(0)? * 3600 + number(2)? * 60 + number(4)?;
                (seconds < 86_400).then_some(Begin(day + seconds * 1_000_000))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Wall = Wall(1_795_348_800_000_000 + 2_700_000_000);

    fn named(pattern: &str, rotate: u64) -> String {
        let names = Names::new(pattern, Duration::from_secs(rotate));
        let name = names.name_of(names.begin_at(NOON));
        assert_eq!(names.begin_of(&name), Some(names.begin_at(NOON)), "{name}");
        name
    }

    #[test]
    fn a_file_is_named_after_its_begin() {
        assert_eq!(named("{date}.jsonl", 86_400), "2026-11-22.jsonl");
        assert_eq!(named("{date}.jsonl", 0), "2026-11-22.jsonl");
        assert_eq!(
            named("{date}.jsonl", 7 * 86_400),
            "2026-11-22.jsonl",
            "a name with a date is of that day"
        );
        assert_eq!(named("cdr-{date}", 3600), "cdr-2026-11-22.120000");
        assert_eq!(named("cdr.jsonl", 0), "cdr.jsonl");
        assert_eq!(named("cdr.jsonl", 86_400), "cdr.2026-11-22.jsonl");
        assert_eq!(named("cdr", 1800), "cdr.2026-11-22.123000");
        assert_eq!(named(".cdr", 86_400), ".cdr.2026-11-22");
        assert_eq!(named("cdr.jsonl", 7 * 86_400), "cdr.2026-11-19.jsonl", "weeks are counted from 1970");
        assert_eq!(named("{date}", 7 * 3600), "2026-11-22.070000", "from midnight on");
    }

    #[test]
    fn the_next_file_begins_where_this_one_ends() {
        for (pattern, rotate) in [("{date}", 7 * 3600), ("{date}", 0), ("x", 36 * 3600), ("x", 60)] {
            let names = Names::new(pattern, Duration::from_secs(rotate));
            let begin = names.begin_at(NOON);
            let end = names.end_of(begin).unwrap();
            assert_eq!(names.begin_at(Wall(end.0 - 1)), begin);
            assert_eq!(names.begin_at(end), Begin(end.0));
            assert!(names.name_of(begin) < names.name_of(Begin(end.0)));
        }
        assert_eq!(Names::new("x", Duration::ZERO).end_of(Begin(0)), None);
    }

    #[test]
    fn other_names_are_none_of_its_own() {
        let names = Names::new("{date}.jsonl", Duration::from_secs(3600));
        for name in
            ["2026-11-22", "2026-11-22.jsonl.gz", "2026-13-22.jsonl", "2026-11-22.250000.jsonl", ".jsonl"]
        {
            assert_eq!(names.begin_of(name), None, "{name}");
        }
        assert!(names.begin_of("2026-11-22.jsonl").is_some(), "of a time when it rotated once a day");
        assert_eq!(Names::new("x", Duration::ZERO).begin_of("xx"), None);
    }
}
