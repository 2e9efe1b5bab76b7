//! `bindery privacy`: what a journal and the files of sinks hold about one number. Owns: what is looked for. Takes: a journal's
//! directory, files. Gives: each record as it is, one JSON object a line, and how many there are. Never: writes to them.
//!
//! A record is about a number when it is from it or to it, or belongs to a message, receipt or MO that is. A line has
//! `file`, `kind` (`ACCEPT`, `SENT`, `FINISH` …, or `CDR`) and `record`: of a journal what `bindery journal cat --full` prints,
//! of a sink its line. `from`, `to` and `text` stand beside it where the record says them in a PDU, which is opened if it was
//! sealed. What stands behind the records of a file, or in a file that is free, is of records that are no more: it is not read.

use super::{AskError, Object, Verdict, line_of, read, text};
use crate::config::Cdr;
use crate::io::journal::ReadOnly;
use crate::journal::cdr::origin_of;
use crate::journal::cipher::is_sealed;
use crate::journal::disk::{FileKind, name_of};
use crate::journal::recover::Place;
use crate::journal::{Book, DiskError, Frame, Kind, Opener, Record};
use crate::limits::JOURNAL_RECORDS_SHOWN_MAX;
use crate::smpp::command::CommandId;
use crate::smpp::data::DataSm;
use crate::smpp::frame::Pdu;
use crate::smpp::segment::{TextEncoding, body};
use crate::smpp::sm::Sm;
use crate::smpp::{gsm7, latin1, ucs2};
use crate::tools::cdr::files_of;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// Who is looked for.
#[derive(Debug)]
pub struct Person {
    /// The number, without `+`; or a name that messages are from.
    number: String,
    /// What stands in its place in old call detail records.
    hashed: Option<String>,
    opener: Opener,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Records of a journal.
    pub records: u64,
    /// Of them those in `quarantine/`.
    pub quarantined: u64,
    /// Messages, receipts and MO that are not over.
    pub pending: u64,
    /// Those that are.
    pub over: u64,
    /// Lines of call detail records.
    pub lines: u64,
    /// Of them those that have no number any more but its hash.
    pub hashed: u64,
    /// Sealed records that no key of the configuration opens: whose they are is not known.
    pub unopened: u64,
    /// Lines that are no call detail records.
    pub wrong: u64,
}

impl Held {
    fn join(&mut self, other: Self) {
        self.records += other.records;
        self.quarantined += other.quarantined;
        self.pending += other.pending;
        self.over += other.over;
        self.lines += other.lines;
        self.hashed += other.hashed;
        self.unopened += other.unopened;
        self.wrong += other.wrong;
    }
}

/// What a PDU says.
struct Said {
    from: Vec<u8>,
    to: Vec<Vec<u8>>,
    text: Option<String>,
}

fn said(pdu: &[u8]) -> Option<Said> {
    let pdu = Pdu::whole(pdu)?;
    let (from, to, class, coding, octets) = if pdu.command_id() == CommandId::DATA_SM {
        let data = DataSm::parse(&pdu).ok()?;
        (data.source, data.destination, data.esm_class, data.data_coding, data.text())
    } else {
        let sm = Sm::parse_deliver(&pdu).ok()?;
        (sm.source, sm.destination, sm.content.esm_class, sm.content.data_coding, sm.content.text())
    };
    let octets = body(class, octets);
    let text = match TextEncoding::from_data_coding(coding) {
        TextEncoding::Gsm7 => Some(gsm7::decode_unpacked(octets).collect()),
        TextEncoding::Ucs2 => Some(ucs2::decode(octets).collect()),
        TextEncoding::Latin1 => Some(latin1::decode(octets).collect()),
        TextEncoding::Binary => None,
    };
    Some(Said { from: from.digits.to_vec(), to: vec![to.digits.to_vec()], text })
}

/// What a record says itself.
enum Says {
    Nothing,
    This(Said),
    Unopened,
}

impl Person {
    /// Of this number; `hashed`: what stands in its place, if there is a key; `opener`: the keys of the journal.
    #[must_use]
    pub fn new(number: &str, hashed: Option<String>, opener: Opener) -> Self {
        Self { number: number.trim_start_matches('+').to_owned(), hashed, opener }
    }

    fn is(&self, address: &[u8]) -> bool {
        address.strip_prefix(b"+").unwrap_or(address) == self.number.as_bytes()
    }

    fn says(&mut self, frame: &Frame<'_>) -> Says {
        let Some(record) = frame.original() else { return Says::Nothing };
        if let Record::Sent { facts, .. } | Record::Finish { facts, .. } = record {
            let to = facts.destination.split(|octet| *octet == b',').map(<[u8]>::to_vec).collect();
            return Says::This(Said { from: facts.source.to_vec(), to, text: None });
        }
        let Some(pdu) = record.pdu() else { return Says::Nothing };
        if !is_sealed(pdu) {
            return said(pdu).map_or(Says::Nothing, Says::This);
        }
        match self.opener.open(frame.key, pdu.to_vec()) {
            Some(pdu) => said(&pdu).map_or(Says::Nothing, Says::This),
            None => Says::Unopened,
        }
    }

    /// Looks through all journals and files, and writes what there is to `out`.
    ///
    /// # Errors
    /// Something cannot be read or written.
    pub fn look(
        &mut self,
        journal: &Path,
        sinks: &[Cdr],
        out: &mut dyn Write,
    ) -> Result<(Held, Verdict), AskError> {
        let (mut held, verdict) = self.journal(journal, out)?;
        // What is there was put away: it says nothing of how the journal is, or of what is over.
        let (away, _) = self.journal(&journal.join("quarantine"), out)?;
        held.records += away.records;
        held.quarantined = away.records;
        held.unopened += away.unopened;
        for sink in sinks {
            held.join(self.lines(sink, out)?);
        }
        Ok((held, verdict))
    }

    fn journal(&mut self, path: &Path, out: &mut dyn Write) -> Result<(Held, Verdict), AskError> {
        let shards = match ReadOnly::new(path).shards() {
            Err(DiskError::Gone) => Vec::new(),
            other => other?,
        };
        let (mut held, mut verdict) = (Held::default(), Verdict::Sound);
        for shard in shards {
            let (found, how) = self.shard(path, shard, out)?;
            held.join(found);
            verdict = verdict.max(how);
        }
        Ok((held, verdict))
    }

    fn shard(&mut self, path: &Path, shard: u32, out: &mut dyn Write) -> Result<(Held, Verdict), AskError> {
        let (mut keys, mut held) = (BTreeSet::new(), Held::default());
        let mut book = Book::new(JOURNAL_RECORDS_SHOWN_MAX);
        let found = read(path, shard, &mut |frame, place| {
            // One that has no room is taken for one that is over; the text is in the export all the same.
            let _ = book.note(frame, place.octets);
            match self.says(frame) {
                Says::This(said) if self.is(&said.from) || said.to.iter().any(|to| self.is(to)) => {
                    keys.insert(frame.key);
                }
                Says::Unopened => held.unopened += 1,
                Says::This(_) | Says::Nothing => {}
            }
        })?;
        let is_open = |key: &u64| book.records_of(*key).next().is_some();
        held.pending = keys.iter().filter(|key| is_open(key)).count() as u64;
        held.over = keys.len() as u64 - held.pending;
        let names: BTreeMap<u64, String> =
            found.segments.iter().map(|segment| (segment.number, segment.name.clone())).collect();
        let mut failed = None;
        let again = read(path, shard, &mut |frame, place| {
            if failed.is_some() || !keys.contains(&frame.key) {
                return;
            }
            held.records += 1;
            let name = names.get(&place.segment).cloned();
            let name = name.unwrap_or_else(|| name_of(FileKind::Segment, shard, place.segment));
            let line = self.line((path, &name), shard, frame, place);
            failed = writeln!(out, "{line}").err();
        })?;
        let verdict = found.report.verdict().max(again.report.verdict());
        failed.map_or(Ok((held, verdict)), |error| Err(AskError::Output(error)))
    }

    fn line(&mut self, (path, name): (&Path, &str), shard: u32, frame: &Frame<'_>, place: &Place) -> String {
        let mut object = Object::new();
        object.text("file", &path.join(name).display().to_string());
        object.text("kind", frame.kind().map_or("UNKNOWN", Kind::name));
        if let Says::This(said) = self.says(frame) {
            object.text("from", &text(&said.from)).text("to", &text(&said.to.join(&b',')));
            if let Some(text) = &said.text {
                object.text("text", text);
            }
        }
        object.object("record", line_of(shard, frame, place, true));
        object.finish()
    }

    fn lines(&self, sink: &Cdr, out: &mut dyn Write) -> Result<Held, AskError> {
        let mut held = Held::default();
        if !sink.folder().is_dir() {
            return Ok(held);
        }
        for file in files_of(&sink.path, Some(sink.rotate))? {
            for line in BufReader::with_capacity(1 << 20, File::open(&file.path)?).split(b'\n') {
                let line = line?;
                let record: Option<Value> = origin_of(&line).and_then(|_| serde_json::from_slice(&line).ok());
                let Some(record) = record else {
                    held.wrong += u64::from(!line.is_empty());
                    continue;
                };
                let (own, hashed) = self.stands_in(&record);
                if own || hashed {
                    held.lines += 1;
                    held.hashed += u64::from(!own);
                    let file = file.path.display().to_string();
                    writeln!(out, "{}", json!({ "file": file, "kind": "CDR", "record": record }))?;
                }
            }
        }
        Ok(held)
    }

    /// Whether the number, and whether its hash stands in a call detail record.
    fn stands_in(&self, record: &Value) -> (bool, bool) {
        let both = ["from", "to"].map(|column| record[column].as_str().unwrap_or_default());
        let mut numbers = both[..1].iter().copied().chain(both[1].split(','));
        let (mut own, mut hashed) = (false, false);
        numbers.by_ref().for_each(|number| {
            own |= self.is(number.as_bytes());
            hashed |= self.hashed.as_deref() == Some(number);
        });
        (own, hashed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::sm::{Address, Content};

    fn person() -> Person {
        Person::new("+38267000001", Some("h:00".into()), Opener::default())
    }

    fn pdu(source: &[u8], destination: &[u8]) -> Vec<u8> {
        let address = |digits| Address { ton: 1, npi: 1, digits };
        let content = Content { short_message: b"hello @", data_coding: 3, ..Content::default() };
        let (source, destination) = (address(source), address(destination));
        let mut octets = Vec::new();
        let sm = Sm { service_type: b"", source, destination, content };
        sm.write(&mut octets, CommandId::SUBMIT_SM, 1);
        octets
    }

    #[test]
    fn a_message_says_who_it_is_from_and_to_and_what() {
        let said = said(&pdu(b"ACME", b"38267000001")).unwrap();
        assert_eq!((&said.from[..], said.text.as_deref()), (&b"ACME"[..], Some("hello @")));
        assert!(person().is(&said.to[0]) && person().is(b"+38267000001"));
        assert!(!person().is(b"3826700000") && !person().is(b""));
    }

    #[test]
    fn a_call_detail_record_is_found_by_its_number_and_by_its_hash() {
        let stands = |from: Value, to: &str| person().stands_in(&json!({ "from": from, "to": to }));
        assert_eq!(stands("ACME".into(), "1,38267000001"), (true, false));
        assert_eq!(stands("h:00".into(), "1"), (false, true));
        assert_eq!(stands(Value::Null, "38267000001,h:00"), (true, true));
        assert_eq!(stands(Value::Null, "382670000011"), (false, false));
    }
}
