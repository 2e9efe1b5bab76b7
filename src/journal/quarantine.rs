//! What is said of a file that is put into `quarantine/`. Owns: the form of the report. Takes: the segment, what a start found
//! wrong with it. Gives: a JSON object, which stands beside the file as `NAME.json`. Never: decides what goes there.
//!
//! | field | |
//! |---|---|
//! | `file`, `shard`, `segment` | its name, whose it was, which use of a file |
//! | `why` | `damaged`, `write_failed`: a write or sync, `header_failed`: it held nothing that was needed |
//! | `first`, `last` | the records that it was to hold; absent: none |
//! | `damage` | octets that are not as they were written: `at`, `octets`, and `record`, the first that may be in them |
//! | `missing` | of its records those that were promised and are nowhere, `first` to `last`; what was not promised is not told |
//! | `accounts` | whose those are, as far as records that can be read say it (`journal::concerned`); `null`: they were not read again |
//!
//! A record that can be read has lost nothing, whatever is damaged beside it: its account is not named for that. That nobody
//! is named where something is missing means that nothing is left that says whose it is, not that it is nobody's.
//!
//! The lists have `JOURNAL_REPORT_MAX` entries at most, of all files of the shard together.

use super::Lsn;
use super::concerned::Concerned;
use super::prepare::WRITE_FAILED;
use super::recover::{Missing, Recovered, Segment};
use super::scan::Damage;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a start found wrong with the segments of a shard.
#[derive(Debug, Clone, Default)]
pub(super) struct Wrong {
    /// By the number of the segment.
    damage: Vec<(u64, Damage)>,
    missing: Vec<Missing>,
    concerned: Option<Vec<Concerned>>,
}

impl Wrong {
    pub(super) fn of(recovered: &Recovered) -> Self {
        let report = &recovered.report;
        let number = |name: &str| recovered.segments.iter().find(|segment| segment.name == name);
        let damage = report.damage.iter();
        let damage = damage.filter_map(|(name, damage)| Some((number(name)?.number, *damage)));
        let (missing, concerned) = (report.missing.clone(), report.concerned.clone());
        Self { damage: damage.collect(), missing, concerned }
    }

    /// The report of a segment behind whose last record stands `next`.
    pub(super) fn report(&self, shard: u32, segment: &Segment, next: Lsn) -> String {
        let last = next.previous();
        let damage = self.damage.iter().filter(|(number, _)| *number == segment.number);
        let damage: Vec<Value> = damage
            .map(|(_, damage)| json!({ "at": damage.at, "octets": damage.octets, "record": damage.lsn.0 }))
            .collect();
        let inside = |missing: &Missing| {
            let (first, last) = (missing.first.max(segment.base), missing.last.min(last));
            (first <= last).then_some(Missing { first, last })
        };
        let missing = self.missing.iter().filter_map(inside);
        let missing: Vec<Value> =
            missing.map(|missing| json!({ "first": missing.first.0, "last": missing.last.0 })).collect();
        let of_it = |concerned: &&Concerned| inside(&concerned.missing).is_some();
        let names = |all: &Vec<Concerned>| -> BTreeSet<String> {
            all.iter().filter(of_it).map(|concerned| concerned.account.clone()).collect()
        };
        let accounts = self.concerned.as_ref().map(names);
        let mut report = json!({
            "file": segment.name, "shard": shard, "segment": segment.number, "why": why(segment),
            "damage": damage, "missing": missing, "accounts": accounts,
        });
        if segment.base <= last {
            report["first"] = segment.base.0.into();
            report["last"] = last.0.into();
        }
        format!("{report}\n")
    }
}

/// Why a segment goes there.
pub(super) const fn why(segment: &Segment) -> &'static str {
    if segment.damaged { "damaged" } else { WRITE_FAILED }
}

/// The report of a file that holds nothing, and whose header could not be written, or was not.
pub(super) fn empty(shard: u32, name: &str, why: &str) -> String {
    let report =
        json!({ "file": name, "shard": shard, "why": why, "damage": [], "missing": [], "accounts": [] });
    format!("{report}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::FileKind;
    use crate::journal::recover::Report;

    #[test]
    fn a_report_says_what_is_wrong_with_its_own_file() {
        let segment = |number, base| Segment {
            number,
            name: format!("000-{number}.seg"),
            kind: FileKind::Segment,
            base: Lsn(base),
            length: 1 << 20,
            proven: true,
            damaged: number == 1,
            stale: None,
        };
        let damage = |at| Damage { at, octets: 10, lsn: Lsn(5) };
        let report = Report {
            damage: vec![("000-1.seg".into(), damage(4096)), ("000-2.seg".into(), damage(8192))],
            missing: vec![
                Missing { first: Lsn(5), last: Lsn(12) },
                Missing { first: Lsn(15), last: Lsn(15) },
            ],
            concerned: Some(
                [("bank", 15, 15), ("acme", 5, 12), ("acme", 15, 15)]
                    .map(|(account, first, last)| Concerned {
                        account: account.to_owned(),
                        missing: Missing { first: Lsn(first), last: Lsn(last) },
                    })
                    .to_vec(),
            ),
            ..Report::default()
        };
        let recovered =
            Recovered { segments: vec![segment(1, 1), segment(2, 10)], report, ..Recovered::default() };
        let mut wrong = Wrong::of(&recovered);
        let read = |number: usize, next| -> Value {
            serde_json::from_str(&wrong.report(0, &recovered.segments[number], Lsn(next))).unwrap()
        };
        let first = read(0, 10);
        assert_eq!(first["damage"], json!([{ "at": 4096, "octets": 10, "record": 5 }]));
        assert_eq!(first["missing"], json!([{ "first": 5, "last": 9 }]));
        assert_eq!(
            (&first["first"], &first["last"], &first["why"]),
            (&json!(1), &json!(9), &json!("damaged"))
        );
        let second = read(1, 20);
        assert_eq!((&second["missing"][0]["last"], &second["why"]), (&json!(12), &json!("write_failed")));
        assert!(read(1, 10).get("first").is_none(), "it holds no record");
        assert_eq!((&first["accounts"], &second["accounts"]), (&json!(["acme"]), &json!(["acme", "bank"])));
        wrong.concerned = None;
        let unread: Value = serde_json::from_str(&wrong.report(0, &recovered.segments[0], Lsn(10))).unwrap();
        assert!(unread["accounts"].is_null(), "nobody has looked");
        let nothing: Value = serde_json::from_str(&empty(3, "003-9.spoilt", "write_failed")).unwrap();
        assert_eq!((&nothing["shard"], &nothing["file"]), (&json!(3), &json!("003-9.spoilt")));
    }
}
