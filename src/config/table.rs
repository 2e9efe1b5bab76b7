//! Reads one TOML table key by key. Owns: where each value stands. Takes: the parsed table and, for accounts and
//! carriers, the table of defaults behind it. Gives: typed values; notes every fault and goes on with the default.
//! Never: stops at the first fault, ignores a key.

use super::keys::{Keys, listed, nearest};
use super::report::{Notes, Place};
use super::units;
use crate::limits::RATE_MAX;
use crate::throttle::Rate;
use crate::time::Duration;
use core::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback<'a> {
    pub(super) entries: &'a DeTable<'a>,
    pub(super) file: usize,
    pub(super) path: &'static str,
}

/// One table.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    /// Its full path; empty for a file's root.
    pub(super) path: String,
    /// Its header.
    pub(super) place: Place,
    pub(super) entries: &'a DeTable<'a>,
    pub(super) fallback: Option<Fallback<'a>>,
}

/// One value and the path that leads to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    table: &'a str,
    key: &'a str,
    index: Option<usize>,
    pub(super) place: Place,
    pub(super) value: &'a DeValue<'a>,
}

/// `table.key`, with quotes where TOML needs them.
pub(super) fn join(table: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// Text as a note shows it; long text is cut.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() > 60 {
        return format!("{}…", text.chars().take(60).collect::<String>().escape_debug());
    }
    text.escape_debug().to_string()
}

/// The words for what stands there.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", shown(text)),
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => format!("{flag}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(list) if list.is_empty() => "an empty list".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

impl<'a> Item<'a> {
    /// The full path, such as `route[0].when.to[3]`.
    pub(super) fn path(&self) -> String {
        let path = join(self.table, self.key);
        self.index.map_or_else(|| path.clone(), |index| format!("{path}[{index}]"))
    }

    /// Notes that the value is not one of those allowed.
    pub(super) fn refuse(&self, notes: &mut Notes, allowed: &str) {
        notes.error(self.place, self.path(), format!("found {}", found(self.value))).allowed(allowed);
    }

    /// Notes that the value is known and not built yet.
    pub(super) fn not_yet(&self, notes: &mut Notes, allowed: &str) {
        let message = format!("{} is not supported yet", found(self.value));
        notes.error(self.place, self.path(), message).allowed(allowed);
    }

    /// Text that is not empty.
    pub(super) fn text(&self, notes: &mut Notes, allowed: &str) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) if !text.is_empty() => Some(text),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.refuse(notes, allowed);
                None
            }
        }
    }

    /// The elements of a list that is not empty and has at most `max`.
    pub(super) fn list(&self, notes: &mut Notes, max: usize, allowed: &str) -> Vec<Self> {
        let Some(list) = self.value.as_array().filter(|list| !list.is_empty()) else {
            self.refuse(notes, allowed);
            return Vec::new();
        };
        if list.len() > max {
            let message = format!("found {} elements", list.len());
            notes.error(self.place, self.path(), message).allowed(format!("at most {max}"));
            return Vec::new();
        }
        let element = |(index, element): (usize, &'a Spanned<DeValue<'a>>)| Self {
            index: Some(index),
            place: Place::new(self.place.file, element.span()),
            value: element.get_ref(),
            ..*self
        };
        list.iter().enumerate().map(element).collect()
    }

    /// The table here.
    pub(super) fn table(&self, notes: &mut Notes, allowed: &str) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else {
            self.refuse(notes, allowed);
            return None;
        };
        Some(Table { path: self.path(), place: self.place, entries, fallback: None })
    }

    fn integer(&self, notes: &mut Notes, range: &RangeInclusive<u64>) -> Option<u64> {
        let number = self.value.as_integer();
        let number = number.and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(notes, &format!("an integer from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A duration in `range`.
    pub(super) fn duration(&self, notes: &mut Notes, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let span = self.value.as_str().and_then(units::duration).filter(|span| range.contains(span));
        if span.is_none() {
            let (first, last) = (units::duration_text(*range.start()), units::duration_text(*range.end()));
            let allowed = format!("a duration from \"{first}\" to \"{last}\", in us, ms, s, m, h or d");
            notes.error(self.place, self.path(), format!("found {}", found(self.value))).allowed(allowed);
        }
        span
    }
}

impl<'a> Table<'a> {
    /// The value of `key`, its own or the default.
    pub(super) fn get<'b>(&'b self, key: &'b str) -> Option<Item<'b>> {
        let own = self.entries.get(key).map(|value| (self.path.as_str(), self.place.file, value));
        let found = own.or_else(|| {
            let fallback = self.fallback?;
            fallback.entries.get(key).map(|value| (fallback.path, fallback.file, value))
        });
        let (table, file, value) = found?;
        let place = Place::new(file, value.span());
        Some(Item { table, key, index: None, place, value: value.get_ref() })
    }

    /// Notes every key that this kind of table does not have or that does not act yet.
    pub(super) fn check_keys(&self, notes: &mut Notes, keys: &Keys) {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if keys.now.contains(&name) {
                continue;
            }
            let place = Place::new(self.place.file, key.span());
            let path = join(&self.path, name);
            if keys.later.contains(&name) {
                notes.error(place, path, "not supported yet").help("remove this key");
                continue;
            }
            let meant = if notes.suggests() { nearest(name, keys.now.iter().copied()) } else { None };
            let problem = notes.error(place, path, "unknown key").allowed(listed(keys.now.iter().copied()));
            if let Some(meant) = meant {
                problem.help(format!("did you mean `{meant}`?"));
            }
        }
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, notes: &mut Notes, key: &str, allowed: &str) {
        if !notes.partial {
            notes.error(self.place, join(&self.path, key), "missing").allowed(allowed);
        }
    }

    /// An integer in `range`.
    pub(super) fn integer(
        &self,
        notes: &mut Notes,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        self.get(key).and_then(|item| item.integer(notes, &range)).unwrap_or(default)
    }

    /// The same for values that fit 32 bits.
    pub(super) fn count(
        &self,
        notes: &mut Notes,
        key: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        u32::try_from(self.integer(notes, key, wide, u64::from(default))).unwrap_or(default)
    }

    /// A duration in `range`.
    pub(super) fn duration(
        &self,
        notes: &mut Notes,
        key: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        self.get(key).and_then(|item| item.duration(notes, &range)).unwrap_or(default)
    }

    /// A share in whole percent, such as `"30%"`.
    pub(super) fn percent(
        &self,
        notes: &mut Notes,
        key: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let Some(item) = self.get(key) else {
            return default;
        };
        let percent = item.value.as_str().and_then(units::percent);
        let percent = percent.and_then(|percent| u32::try_from(percent).ok());
        let percent = percent.filter(|percent| range.contains(percent));
        if percent.is_none() {
            item.refuse(notes, &format!("\"{}%\" to \"{}%\"", range.start(), range.end()));
        }
        percent.unwrap_or(default)
    }

    /// A rate; `None` when it is not set.
    pub(super) fn rate(&self, notes: &mut Notes, key: &str) -> Option<Rate> {
        let item = self.get(key)?;
        let rate = item.value.as_str().and_then(units::rate);
        if rate.is_none() {
            item.refuse(notes, &format!("\"N/s\", \"N/m\" or \"N/h\" with N from 1 to {RATE_MAX}"));
        }
        rate
    }

    /// One of a few words; the first is the default. Words of `later` are not built yet.
    pub(super) fn choice<T: Copy>(
        &self,
        notes: &mut Notes,
        key: &str,
        words: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let default = words.first().map(|(_, value)| *value);
        let Some(item) = self.get(key) else {
            return default;
        };
        let text = item.value.as_str();
        if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) {
            return Some(*value);
        }
        let allowed = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        if text.is_some_and(|text| later.contains(&text)) {
            item.not_yet(notes, &allowed);
            return default;
        }
        let meant = nearest(text.unwrap_or_default(), words.iter().map(|(word, _)| *word));
        let problem =
            notes.error(item.place, item.path(), format!("found {}", found(item.value))).allowed(allowed);
        if let Some(meant) = meant {
            problem.help(format!("did you mean \"{meant}\"?"));
        }
        default
    }

    /// A flag that can only be false so far.
    pub(super) fn only_false(&self, notes: &mut Notes, key: &str) {
        let Some(item) = self.get(key) else {
            return;
        };
        match item.value.as_bool() {
            Some(false) => {}
            Some(true) => item.not_yet(notes, "false"),
            None => item.refuse(notes, "false"),
        }
    }

    /// Text of at most `max` octets, printable ASCII.
    pub(super) fn ascii(&self, notes: &mut Notes, key: &str, max: usize) -> Option<Vec<u8>> {
        let item = self.get(key)?;
        let allowed = format!("1 to {max} printable ASCII characters");
        let text = item.text(notes, &allowed)?;
        if !is_ascii_within(text, max) {
            item.refuse(notes, &allowed);
            return None;
        }
        Some(text.as_bytes().to_vec())
    }
}

/// True for 1 to `max` printable ASCII characters.
pub(super) fn is_ascii_within(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|octet| (0x20..0x7F).contains(&octet))
}
