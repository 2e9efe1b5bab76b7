use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    ask: Ask,
}

fn ask(arguments: &[&str]) -> Export {
    let line = ["cdr", "export"].iter().chain(arguments);
    let Ask::Export(export) = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).ask;
    *export
}

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    /// Two days of files: each record with its account, carrier, state, price and end.
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bindery-export-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let first = [
            record("acme", "alpha", "delivered", "0.012500", "2026-11-21T22:30:00.000000Z", 1),
            record("acme", "beta", "undelivered", "0.000001", "2026-11-21T23:30:00.000000Z", 2),
        ];
        let second = [
            record("bank", "alpha", "delivered", "7.000000", "2026-11-22T00:30:00.000000Z", 3),
            record("acme", "alpha", "delivered", "0.100000", "2026-11-22T22:59:59.999999Z", 4),
            record("acme", "alpha", "delivered", "0.200000", "2026-11-22T23:00:00.000000Z", 5),
        ];
        std::fs::write(path.join("2026-11-21.jsonl"), first.concat()).unwrap();
        std::fs::write(path.join("2026-11-22.jsonl"), second.concat()).unwrap();
        std::fs::write(path.join(".date.jsonl.cursors"), "{}").unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn export(&self, arguments: &[&str]) -> (String, Exported) {
        let path = self.path("{date}.jsonl");
        let mut out = Vec::new();
        let exported = export(&ask(&[&[path.as_str()], arguments].concat()), None, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), exported)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn record(esme: &str, carrier: &str, state: &str, price: &str, ended: &str, lsn: u64) -> String {
    format!(
        "{{\"v\":1,\"id\":\"{lsn}\",\"esme\":\"{esme}\",\"carrier\":\"{carrier}\",\"from\":\"A, B\",\"final\":\"{ended}\",\
         \"state\":\"{state}\",\"price\":\"{price}\",\"currency\":\"EUR\",\"journal\":\"{:032x}\",\"shard\":0,\"lsn\":{lsn}}}\n",
        7
    )
}

fn ids(text: &str) -> Vec<u64> {
    let record = |line: &str| origin_of(line.as_bytes()).unwrap().lsn.0;
    text.lines().map(record).collect()
}

#[test]
fn a_record_belongs_to_the_day_in_the_time_zone_on_which_it_ended() {
    let folder = Folder::new("days");
    assert_eq!(ids(&folder.export(&[]).0), [1, 2, 3, 4, 5]);
    assert_eq!(ids(&folder.export(&["--from", "2026-11-22"]).0), [3, 4, 5]);
    assert_eq!(ids(&folder.export(&["--to", "2026-11-21"]).0), [1, 2]);
    let montenegro = ["--from", "2026-11-22", "--to", "2026-11-22", "--tz", "Europe/Podgorica"];
    assert_eq!(ids(&folder.export(&montenegro).0), [2, 3, 4]);
    assert_eq!(ids(&folder.export(&["--esme", "bank", "--esme", "other"]).0), [3]);
}

#[test]
fn sums_are_exact_and_by_what_was_asked_for() {
    let folder = Folder::new("sums");
    let (text, exported) = folder.export(&["--sum", "day,carrier,state", "--esme", "acme"]);
    let expected = "\
day         carrier  state        records     price  currency
2026-11-21  alpha    delivered          1  0.012500  EUR
2026-11-21  beta     undelivered        1  0.000001  EUR
2026-11-22  alpha    delivered          2  0.300000  EUR
4 records
";
    assert_eq!((text.as_str(), exported), (expected, Exported { records: 4, wrong: 0 }));
    let (text, _) = folder.export(&["--sum", "esme", "--format", "csv"]);
    assert_eq!(text, "esme,records,price,currency\nacme,4,0.312501,EUR\nbank,1,7.000000,EUR\n");
    let (text, _) = folder.export(&["--sum", "day", "--format", "json", "--tz", "Europe/Podgorica"]);
    let first: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&first["day"], &first["records"]), (&"2026-11-22".into(), &3.into()));
}

#[test]
fn csv_has_every_column_and_quotes_what_needs_it() {
    let folder = Folder::new("csv");
    let (text, _) = folder.export(&["--format", "csv", "--esme", "bank"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], COLUMNS.join(","));
    assert!(lines[1].starts_with("1,3,bank,alpha,,\"A, B\",") && lines[1].ends_with(",0,3"), "{text}");
    assert!(
        folder.export(&["--format", "table"]).0.starts_with("2026-11-21T22:30:00.000000Z  acme  alpha  1  ")
    );
}

#[test]
fn a_path_is_a_file_a_folder_or_that_of_a_sink() {
    let folder = Folder::new("paths");
    let found = |path: &str| files_of(Path::new(path), None).map(|files| files.len());
    assert_eq!(found(&folder.path("")).unwrap(), 2);
    assert_eq!(found(&folder.path("2026-11-21.jsonl")).unwrap(), 1);
    assert_eq!(found(&folder.path("x-{date}")).unwrap(), 0);
    assert!(found(&folder.path("2026-11-20.jsonl")).is_err());
    let configured = files_of(&folder.0.join("{date}.jsonl"), Some(Duration::ZERO)).unwrap();
    assert_eq!(configured[1].end, Some(Wall(1_795_392_000_000_000)));
}

#[test]
fn a_line_that_is_no_record_is_counted() {
    let folder = Folder::new("wrong");
    std::fs::write(folder.0.join("2026-11-23.jsonl"), "\nnonsense\n{\"v\":1,\"lsn\":5}\n").unwrap();
    assert_eq!(folder.export(&[]).1, Exported { records: 5, wrong: 2 });
    assert!(Line::try_parse_from(["cdr", "export", "x", "--tz", "Mars/Olympus"]).is_err());
    assert!(Line::try_parse_from(["cdr", "export", "x", "--sum", "text"]).is_err());
    assert!(Line::try_parse_from(["cdr", "export"]).is_err());
}
