use super::*;
use crate::config::{self, Files};
use crate::counters::{LoopCounters, ShardCounters};
use crate::io::Stop;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

fn example() -> View {
    let text = "[[listener]]\naddress = \"127.0.0.1:2775\"\n[esme.acme]\npassword = \"secret\"\npool = \"main\"\n\
                window_max = 10\n[carrier.alpha]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"x\"\n\
                password = \"secret\"\nwindow_max = 20\n[pool.main]\nmembers = [{ carrier = \"alpha\" }]\n";
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    let config = config::load(Path::new("example.toml"), &mut files).unwrap().config;
    let first = Arc::new(ShardCounters::new(1, 1));
    let second = Arc::new(first.beside());
    let loops = vec![Arc::new(LoopCounters::new(2)), Arc::new(LoopCounters::new(2))];
    let counters = Arc::new(NodeCounters::of(vec![first, second], loops));
    View::new(Arc::new(config), counters, Stop::new().unwrap().1.into())
}

type Sample = (String, BTreeMap<String, String>);

/// A strict reader of the format: every sample below its own HELP and TYPE, no sample twice, nothing else.
fn read(page: &str) -> BTreeMap<Sample, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut is_histogram) = (String::new(), false);
    let mut lines = page.lines();
    assert!(page.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()) && !words.is_empty(), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            let wanted =
                if name.ends_with("_seconds") && kind == "histogram" { "histogram" } else { "gauge" };
            assert_eq!(kind, if name.ends_with("_total") { "counter" } else { wanted });
            is_histogram = kind == "histogram";
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert_eq!(if is_histogram { stem.unwrap() } else { name }, family, "{line}");
        let labels = read_labels(labels.strip_suffix('}').unwrap());
        let before = samples.insert((name.to_owned(), labels), value.parse().unwrap());
        assert_eq!(before, None, "{line}");
    }
    samples
}

fn read_labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        let (mut value, mut letters) = (String::new(), rest.char_indices());
        let end = loop {
            match letters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match letters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    letter @ ('\\' | '"') => value.push(letter),
                    other => panic!("no escape: {other}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none());
        let rest = &rest[end + 1..];
        text = rest.strip_prefix(',').unwrap_or(rest);
        assert!(rest.is_empty() || rest.starts_with(','));
    }
    labels
}

fn sum(samples: &BTreeMap<Sample, f64>, name: &str, labels: &[(&str, &str)]) -> u64 {
    exact(samples, name, labels) as u64
}

fn exact(samples: &BTreeMap<Sample, f64>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = |(found, has): &Sample| {
        *found == format!("bindery_{name}")
            && labels.iter().all(|(label, value)| has.get(*label).is_some_and(|found| found == value))
    };
    samples.iter().filter(|(sample, _)| wanted(sample)).map(|(_, count)| count).sum()
}

#[test]
fn every_cell_stands_on_the_page_under_its_name() {
    let view = example();
    let counters = &view.counters;
    let (esme, carrier) = (&counters.esmes[0], &counters.carriers[0]);
    esme.answers.of(0).add(40);
    esme.answers.of(0x58).add(2);
    esme.answers.of(0x4FF).add(1);
    esme.submits.add(45);
    esme.ended.add(43);
    esme.sessions_by_bind.at(1).set(1);
    esme.sessions_by_bind.at(2).set(3);
    esme.refusals.at(Reason::NoRoute as usize).add(4);
    carrier.slots.at(2 * SLOT_STATES.len() + 3).set(2);
    carrier.slots.at(2 * SLOT_STATES.len()).set(1);
    carrier.answers.of(0x0B).add(7);
    let state = usize::from(MessageState::Undeliverable.octet());
    carrier.receipts_by_state.at(Match::Orphan as usize * MESSAGE_STATES + state).add(9);
    carrier.mo_by_status.of(0x64).add(5);
    counters.shards[0].log_dropped.add(4);
    counters.shards[1].log_dropped.add(2);
    counters.shards[1].links.set(8);
    counters.loops[0].mail[1].add(11);
    counters.loops[1].mail[0].add(12);
    view.busy[1].store(305, Ordering::Relaxed);
    carrier.submit_spans.add(core::time::Duration::from_millis(4));
    let samples = read(&render(&view, None));
    let of = |name: &str, labels: &[(&str, &str)]| sum(&samples, name, labels);
    assert_eq!(of("esme_submits_total", &[("esme", "acme")]), 43);
    assert_eq!(of("esme_submits_total", &[("status", "ESME_RTHROTTLED")]), 2);
    assert_eq!(of("esme_submits_total", &[("status", "other")]), 1);
    assert_eq!(of("window_used", &[("side", "esme"), ("name", "acme")]), 2);
    assert_eq!(of("window_max", &[("side", "esme")]), 30, "the receiver has none");
    assert_eq!(of("window_max", &[("side", "carrier")]), 40);
    assert_eq!(of("sessions", &[("side", "esme"), ("bind", "trx"), ("state", "bound")]), 3);
    assert_eq!(of("sessions", &[("side", "carrier"), ("name", "alpha"), ("state", "waiting")]), 1);
    assert_eq!(of("refusals_total", &[("esme", "acme"), ("reason", "no_route")]), 4);
    assert_eq!(of("carrier_submits_total", &[("carrier", "alpha"), ("status", "ESME_RINVDSTADR")]), 7);
    let orphans = [("carrier", "alpha"), ("state", "undeliverable"), ("match", "orphan")];
    assert_eq!(of("carrier_receipts_total", &orphans), 9);
    assert_eq!(of("mo_total", &[("target", "esme"), ("status", "ESME_RX_T_APPN")]), 5);
    assert_eq!((of("log_dropped_total", &[]), of("build_info", &[])), (6, 1));
    assert_eq!(of("table_used", &[("table", "links")]), 8);
    assert_eq!(of("table_max", &[("table", "retained_octets")]), 2 * RETAINED_MAX as u64);
    let mail = |from: &str, to: &str| of("shard_mail_total", &[("from", from), ("to", to)]);
    assert_eq!((mail("0", "1"), mail("1", "0"), of("shard_mail_total", &[])), (11, 12, 23));
    assert_eq!(exact(&samples, "shard_busy_ratio", &[("shard", "1")]), 0.305);
    assert_eq!(exact(&samples, "shard_busy_ratio", &[("shard", "0")]), 0.0);
    assert!(!samples.keys().any(|(name, _)| name.contains("journal")), "there is none");
    let both = |(_, labels): &Sample| labels.contains_key("esme") && labels.contains_key("carrier");
    assert!(!samples.keys().any(both), "no metric carries both an account and a carrier");
}

#[test]
fn any_text_is_a_label_value() {
    let mut page = Page::default();
    page.gauge("sessions", "Help.");
    let strange = "a\\n\"b\",c=\"}\n\\";
    page.sample(&[("name", strange), ("side", "esme")], 3);
    let samples = read(&page.text);
    assert_eq!(sum(&samples, "sessions", &[("name", strange), ("side", "esme")]), 3);
}

#[test]
fn every_known_status_has_a_name() {
    for status in crate::counters::STATUSES {
        assert!(CommandStatus(status).name().is_some(), "{status:#x}");
    }
}

#[test]
fn what_the_shards_say_of_themselves_stands_on_the_page() {
    use crate::shard::status::{AccountStatus, CarrierStatus};
    let view = example();
    let carrier = &view.counters.carriers[0];
    carrier.submit_spans.add(core::time::Duration::from_millis(4));
    carrier.submit_spans.add(core::time::Duration::from_secs(400));
    view.counters.loops[1].turn_spans.add(core::time::Duration::from_micros(70));
    let brief = Status {
        accounts: vec![AccountStatus {
            name: "acme".into(),
            sessions: 1,
            receivers: 1,
            in_flight: 0,
            waiting: 3,
            waiting_oldest_ms: Some(1250),
            bad: Vec::new(),
        }],
        carriers: vec![CarrierStatus {
            name: "alpha".into(),
            slots: Vec::new(),
            window_used: 0,
            window_max: 0,
            queued: 2,
            queue_max: 10,
            oldest_ms: Some(700),
            pace_milli: Some(99_500),
            pace_cut: true,
            id_form: None,
            last_error: None,
            bad: Vec::new(),
        }],
        ejected: vec![("main".into(), "alpha".into())],
        ..Status::default()
    };
    let samples = read(&render(&view, Some(&brief)));
    let of = |name: &str, labels: &[(&str, &str)]| exact(&samples, name, labels);
    let alpha = [("carrier", "alpha")];
    assert_eq!((of("carrier_pace", &alpha), of("queue_oldest_seconds", &alpha)), (99.5, 0.7));
    assert_eq!(of("ejected", &[("pool", "main"), ("carrier", "alpha")]), 1.0);
    assert_eq!(of("receipts_waiting", &[("esme", "acme")]), 3.0);
    assert_eq!(of("receipts_waiting_oldest_seconds", &[("esme", "acme")]), 1.25);
    let within = |le: &str| of("submit_seconds_bucket", &[("carrier", "alpha"), ("le", le)]);
    assert_eq!((within("0.0025"), within("0.005"), within("60"), within("+Inf")), (0.0, 1.0, 1.0, 2.0));
    assert_eq!((of("submit_seconds_count", &alpha), of("submit_seconds_sum", &alpha)), (2.0, 400.004));
    assert_eq!(of("added_seconds_count", &[("shard", "1")]), 1.0);
}
