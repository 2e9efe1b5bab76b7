//! What is wrong, for people and for programs. Owns: the findings of one load and the text they point into.
//! Takes: findings in any order. Gives: them in file order, drawn like a compiler does, or one JSON object a
//! line. Never: shows a secret; stops at the first.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use core::ops::Range;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not usable.
    Error,
    /// It is usable and probably not what was meant.
    Warning,
}

/// A span of one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index into the sources.
    pub(super) file: usize,
    /// First octet.
    pub(super) start: usize,
    /// One past the last octet.
    pub(super) end: usize,
}

impl Place {
    pub(super) const fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// As it was named.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
}

/// A second place that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    place: Place,
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// What is there.
    pub label: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key's full path, such as `esme.acme.window_max`; empty when it is about no key.
    pub key: String,
    /// What was found.
    pub message: String,
    /// What is allowed; empty when the message says all.
    pub allowed: String,
    /// What to do, such as the nearest valid name; empty when nothing is known.
    pub help: String,
    /// The other place, such as the first definition.
    pub other: Option<Other>,
}

/// Findings while they are gathered.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: Vec<Problem>,
    secrets: Vec<Place>,
    /// What was read beside the configuration: its places follow those of the sources.
    lists: Vec<Source>,
    /// Part of the text could not be read, so that what seems missing may stand there.
    pub(super) partial: bool,
}

/// Beyond this many findings no nearest name is looked for: each costs a pass over all names.
const SUGGESTED_MAX: usize = 100;

impl Notes {
    /// Adds an error at `place` about `key`.
    pub(super) fn error(&mut self, place: Place, key: String, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, place, key, message.into())
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, place: Place, key: String, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, place, key, message.into())
    }

    fn add(&mut self, severity: Severity, place: Place, key: String, message: String) -> &mut Problem {
        self.problems.push(Problem {
            place,
            severity,
            file: String::new(),
            line: 0,
            column: 0,
            key,
            message,
            allowed: String::new(),
            help: String::new(),
            other: None,
        });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// True while a nearest name is still looked for.
    pub(super) fn suggests(&self) -> bool {
        self.problems.len() < SUGGESTED_MAX
    }

    /// The span holds a secret: it is never shown.
    pub(super) fn hide(&mut self, place: Place) {
        self.secrets.push(place);
    }

    /// How many lists were read.
    pub(super) const fn lists(&self) -> usize {
        self.lists.len()
    }

    /// A list was read; its number as a source is that of the sources and of the lists before it together.
    pub(super) fn add_list(&mut self, list: Source) {
        self.lists.push(list);
    }

    /// True when nothing was noted.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// True when an error was noted.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// In file order, each once, with lines and columns.
    pub(super) fn into_report(self, mut sources: Vec<Source>) -> Report {
        let Self { mut problems, secrets, lists, partial: _ } = self;
        if problems.is_empty() {
            return Report { problems, sources: Vec::new(), lines: Vec::new() };
        }
        sources.extend(lists);
        problems.sort_by_key(|problem| problem.place); // stable: findings of one place keep their order
        // A fault of a default is found once for each that inherits it.
        problems
            .dedup_by(|one, two| (one.place, &one.key, &one.message) == (two.place, &two.key, &two.message));
        let lines: Vec<Vec<usize>> = sources.iter().map(|source| line_starts(&source.text)).collect();
        for problem in &mut problems {
            let at = problem.place;
            (problem.line, problem.column) = position(&sources, &lines, at);
            problem.file.clone_from(&sources[at.file].path);
            if let Some(other) = &mut problem.other {
                (other.line, other.column) = position(&sources, &lines, other.place);
                other.file.clone_from(&sources[other.place.file].path);
            }
        }
        Report { problems, sources: mask(sources, &secrets), lines }
    }
}

impl Problem {
    /// Says what is allowed.
    pub(super) fn allowed(&mut self, allowed: impl Into<String>) -> &mut Self {
        self.allowed = allowed.into();
        self
    }

    /// Says what to do.
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = help.into();
        self
    }

    /// Names the other place.
    pub(super) fn other(&mut self, place: Place, label: &str) -> &mut Self {
        let label = label.to_owned();
        self.other = Some(Other { place, file: String::new(), line: 0, column: 0, label });
        self
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    core::iter::once(0)
        .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
        .collect()
}

/// Line and column, from 1.
fn position(sources: &[Source], lines: &[Vec<usize>], place: Place) -> (usize, usize) {
    let text = &sources[place.file].text;
    let start = floor(text, place.start);
    let line = lines[place.file].partition_point(|first| *first <= start).max(1);
    let first = lines[place.file][line - 1];
    (line, text[first..start].chars().count() + 1)
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The sources with every octet of a secret drawn as a star, so that all positions stay.
fn mask(sources: Vec<Source>, secrets: &[Place]) -> Vec<Source> {
    let mut octets: Vec<Vec<u8>> = sources.iter().map(|source| source.text.clone().into_bytes()).collect();
    for secret in secrets {
        let text = &sources[secret.file].text;
        let (start, end) = (floor(text, secret.start), floor(text, secret.end).max(secret.start));
        let hidden = octets[secret.file].get_mut(start..end).unwrap_or_default();
        hidden.iter_mut().filter(|octet| **octet != b'\n').for_each(|octet| *octet = b'*');
    }
    let masked = sources.into_iter().zip(octets);
    masked
        .map(|(source, text)| Source { text: String::from_utf8(text).unwrap_or_default(), ..source })
        .collect()
}

/// All findings of one load, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
    sources: Vec<Source>,
    lines: Vec<Vec<usize>>,
}

/// A longer line is named and not drawn.
const DRAWN_MAX: usize = 4096;

impl Report {
    /// The findings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The findings as a compiler draws them, a blank line between; with `colour` for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let drawn: Vec<String> =
            self.problems.iter().map(|problem| renderer.render(&[self.group(problem)])).collect();
        let mut text = drawn.join("\n\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// One JSON object a line: severity, file, line, column, key, message, and where known allowed, help, other.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.problems.iter().map(|problem| format!("{}\n", json(problem))).collect()
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = match problem.key.as_str() {
            "" => problem.message.clone(),
            key => format!("{key}: {}", problem.message),
        };
        let mut group = Group::with_title(level.primary_title(title));
        group = self.draw(group, problem.place, (problem.line, problem.column), None);
        if let Some(other) = &problem.other {
            group = self.draw(group, other.place, (other.line, other.column), Some(&other.label));
        }
        if !problem.allowed.is_empty() {
            group = group.element(Level::NOTE.message(format!("allowed: {}", problem.allowed)));
        }
        if !problem.help.is_empty() {
            group = group.element(Level::HELP.message(problem.help.as_str()));
        }
        group
    }

    fn draw<'a>(
        &'a self,
        group: Group<'a>,
        place: Place,
        (line, column): (usize, usize),
        label: Option<&'a str>,
    ) -> Group<'a> {
        let source = &self.sources[place.file];
        let first = self.lines[place.file][line - 1];
        let text = source.text[first..].split('\n').next().unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() || text.len() > DRAWN_MAX {
            return group.element(Origin::path(source.path.as_str()).line(line).char_column(column));
        }
        let start = floor(text, place.start.saturating_sub(first));
        let end = floor(text, place.end.saturating_sub(first)).max(start);
        let kind = if label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
        let annotation = kind.span(start..end).label(label);
        let snippet = Snippet::source(text).line_start(line).path(source.path.as_str());
        group.element(snippet.annotation(annotation))
    }
}

fn json(problem: &Problem) -> serde_json::Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut object = serde_json::json!({
        "severity": severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.message,
    });
    for (name, text) in [("allowed", &problem.allowed), ("help", &problem.help)] {
        if !text.is_empty() {
            object[name] = serde_json::Value::from(text.as_str());
        }
    }
    if let Some(other) = &problem.other {
        object["other"] = serde_json::json!({
            "file": other.file, "line": other.line, "column": other.column, "label": other.label,
        });
    }
    object
}
