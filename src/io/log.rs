//! Log lines. Owns: nothing. Takes: events, the time. Gives: one line each: `key=value` for people at a terminal, a
//! JSON object otherwise. Never: a line break inside a line.

use crate::journal::cdr::dates::date_of;
use crate::shard::port::{Event, Level};
use crate::time::Wall;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// `2026-06-30T12:01:00.000Z info bound esme=acme`.
    Terminal,
    /// `{"time":"2026-06-30T12:01:00.000Z","level":"info","event":"bound","esme":"acme"}`.
    Json,
}

impl LogForm {
    /// What suits stderr.
    #[must_use]
    pub fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Json }
    }
}

const DAY: i64 = 86_400_000_000;

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn timestamp(at: Wall) -> String {
    let (days, micros) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
    let date = date_of(days);
    let date = core::str::from_utf8(&date).unwrap_or_default();
    let millis = micros / 1000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// A string between quotes, as JSON wants it.
fn push_quoted(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                line.push('\\');
                line.push(character);
            }
            control if control.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(line, "\\u{:04x}", control as u32);
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

fn push_plain(line: &mut String, text: &str) {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        line.push_str(text);
    } else {
        push_quoted(line, text);
    }
}

/// The line of an event, without its end.
#[must_use]
pub fn line(form: LogForm, at: Wall, event: &Event) -> String {
    let mut line = String::with_capacity(128);
    match form {
        LogForm::Terminal => {
            line.push_str(&timestamp(at));
            line.push(' ');
            line.push_str(level(event.level));
            line.push(' ');
            line.push_str(event.name);
            for (name, value) in &event.fields {
                line.push(' ');
                line.push_str(name);
                line.push('=');
                push_plain(&mut line, value);
            }
        }
        LogForm::Json => {
            let time = timestamp(at);
            let head = [("time", time.as_str()), ("level", level(event.level)), ("event", event.name)];
            let fields = event.fields.iter().map(|(name, value)| (*name, value.as_str()));
            for (number, (name, value)) in head.into_iter().chain(fields).enumerate() {
                line.push(if number == 0 { '{' } else { ',' });
                push_quoted(&mut line, name);
                line.push(':');
                push_quoted(&mut line, value);
            }
            line.push('}');
        }
    }
    line
}

/// Writes every event to stderr.
#[must_use]
pub fn to_stderr(form: LogForm) -> Box<dyn FnMut(&Event) + Send> {
    let clock = super::Clock::start();
    Box::new(move |event| {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr(), "{}", line(form, clock.now().wall, event));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(value: &str) -> Event {
        let fields = vec![("esme", "acme".to_owned()), ("reason", value.to_owned())];
        Event { level: Level::Warn, name: "bind_refused", fields }
    }

    #[test]
    fn a_time_is_rfc_3339_in_utc() {
        assert_eq!(timestamp(Wall(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(Wall(951_825_600_123_999)), "2000-02-29T12:00:00.123Z");
        assert_eq!(timestamp(Wall(1_782_820_860_000_000)), "2026-06-30T12:01:00.000Z");
        assert_eq!(timestamp(Wall(4_107_542_400_000_000)), "2100-03-01T00:00:00.000Z");
        assert_eq!(timestamp(Wall(-1)), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_terminal_gets_keys_and_values() {
        let text = line(LogForm::Terminal, Wall(0), &event("two words"));
        assert_eq!(text, "1970-01-01T00:00:00.000Z warn bind_refused esme=acme reason=\"two words\"");
    }

    #[test]
    fn a_pipe_gets_one_json_object_a_line_whatever_a_peer_writes() {
        for value in ["a\nb", "\"}\\", "\u{1b}[31m", ""] {
            let text = line(LogForm::Json, Wall(0), &event(value));
            assert!(!text.contains('\n'));
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&parsed["level"], &parsed["reason"]), (&"warn".into(), &value.into()));
            assert!(!line(LogForm::Terminal, Wall(0), &event(value)).contains(['\n', '\u{1b}']));
        }
    }
}
