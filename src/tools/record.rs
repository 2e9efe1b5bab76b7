//! What happened, line by line, for a program that judges a run. Owns: the lines that are not written yet. Takes:
//! fields. Gives: lines of fields with tabs between them. Never: a line of octets that are not printable, silence
//! about a line that could not be written.

use core::fmt;
use std::io::{Error, Write};

/// A record, or none.
#[derive(Default)]
pub struct Record {
    out: Option<Box<dyn Write + Send>>,
    lines: Vec<u8>,
    error: Option<Error>,
}

impl Record {
    /// Lines go to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out), ..Self::default() }
    }

    /// False when nothing is recorded: what a line would say need not be made.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.out.is_some()
    }

    /// Puts a line: its kind, then its fields.
    pub fn line(&mut self, kind: &str, fields: &[&dyn fmt::Display]) {
        if self.out.is_none() {
            return;
        }
        self.lines.extend_from_slice(kind.as_bytes());
        for field in fields {
            // Writing to a Vec cannot fail.
            let _ = write!(self.lines, "\t{field}");
        }
        self.lines.push(b'\n');
    }

    /// Writes what was put, whole lines at once.
    pub fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(&self.lines)
        {
            self.error = Some(error);
            self.out = None;
        }
        self.lines.clear();
    }

    /// Why the record is not whole.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("lines", &self.lines.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Octets of a PDU as a field: those that are no printable ASCII are points, none at all are a hyphen.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        let printable = |octet: u8| if matches!(octet, b' '..=b'~') { char::from(octet) } else { '.' };
        self.0.iter().try_for_each(|&octet| fmt::Write::write_char(f, printable(octet)))
    }
}

#[cfg(test)]
pub(in crate::tools) mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    struct Pipe(Sender<String>);

    impl Write for Pipe {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8(octets.to_vec()).unwrap()).map_err(Error::other)?;
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A record and what it writes.
    pub(in crate::tools) fn piped() -> (Record, Receiver<String>) {
        let (lines, written) = channel();
        (Record::new(Box::new(Pipe(lines))), written)
    }

    #[test]
    fn lines_are_written_whole_and_only_when_flushed() {
        let (mut record, written) = piped();
        record.line("submit", &[&7, &Printable(b"a\tb\xFF"), &Printable(b"")]);
        record.line("end", &[]);
        assert!(written.try_recv().is_err());
        record.flush();
        record.flush();
        assert_eq!(written.try_iter().collect::<Vec<_>>(), ["submit\t7\ta.b.\t-\nend\n"]);
    }

    #[test]
    fn a_line_that_could_not_be_written_is_not_forgotten() {
        let (mut record, written) = piped();
        drop(written);
        record.line("submit", &[]);
        record.flush();
        assert!(record.error().is_some());
        record.line("submit", &[]);
        record.flush();
        assert!(record.error().is_some() && record.lines.is_empty());
        let mut none = Record::default();
        none.line("submit", &[]);
        assert!(none.error().is_none() && none.lines.is_empty());
    }
}
