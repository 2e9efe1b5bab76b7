//! What is said of bad files.

use super::{SMALL, drawn, load_files, load_text};
use crate::config::{Report, Severity};
use core::fmt::Write as _;
use proptest::prelude::*;

/// `SMALL` with more below it; the first added line is line 16.
fn with(more: &str) -> String {
    format!("{SMALL}{more}")
}

/// `line:column key message` of each finding.
fn lines(report: &Report) -> Vec<String> {
    let line = |problem: &crate::config::Problem| {
        format!("{}:{} {}: {}", problem.line, problem.column, problem.key, problem.message)
    };
    report.problems().iter().map(line).collect()
}

/// The findings of a text that must be bad.
fn found(text: &str) -> Vec<String> {
    lines(&load_text(text).unwrap_err())
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = with("\n[node]\nspinn = \"100us\"\n");
    let want = "\
error: node.spinn: unknown key
  --> main.toml:18:1
   |
18 | spinn = \"100us\"
   | ^^^^^
   |
   = note: allowed: `name`, `shards`, `io`, `spin`, `drain_deadline`, `data_dir`
   = help: did you mean `spin`?
";
    assert_eq!(drawn(&text), want);
}

#[test]
fn every_fault_is_told_in_one_go_and_in_file_order() {
    let text = with(
        "[esme.beta]
password = \"x\"
window_max = \"5\"
sessions_max = 1025
answer_timeout = 20
class = \"bulk\"
pool = \"mian\"
[carrier.beta]
addresses = [\"smsc\", \"h:1\", \"h:1\"]
system_id = \"bindery\"
password = \"env:NOBODY\"
rate = \"400\"
bind = \"txrx\"
[[route]]
when = { to = [\"+382*\"], source = [] }
",
    );
    let want = [
        "18:14 esme.beta.window_max: found \"5\"",
        "19:16 esme.beta.sessions_max: found the integer 1025",
        "20:18 esme.beta.answer_timeout: found the integer 20",
        "21:9 esme.beta.class: there is no class \"bulk\"",
        "22:8 esme.beta.pool: there is no pool \"mian\"",
        "24:14 carrier.beta.addresses[0]: found \"smsc\"",
        "24:29 carrier.beta.addresses[2]: \"h:1\" stands here twice",
        "26:12 carrier.beta.password: the environment variable `NOBODY` is not set",
        "27:8 carrier.beta.rate: found \"400\"",
        "28:8 carrier.beta.bind: found \"txrx\"",
        "29:1 route[0].pool: missing",
        "30:16 route[0].when.to[0]: found \"+382*\"",
        "30:35 route[0].when.source: found an empty list",
    ];
    assert_eq!(found(&text), want);
}

#[test]
fn a_wrong_value_names_what_is_allowed_and_the_nearest_word() {
    let text = with("[node]\nspin = 100\nio = \"epol\"\nshards = \"0-\"\n");
    let want = "\
error: node.spin: found the integer 100
  --> main.toml:17:8
   |
17 | spin = 100
   |        ^^^
   |
   = note: allowed: a duration from \"0s\" to \"10ms\", in us, ms, s, m, h or d

error: node.io: found \"epol\"
  --> main.toml:18:6
   |
18 | io = \"epol\"
   |      ^^^^^^
   |
   = note: allowed: DRIVERS
   = help: did you mean \"epoll\"?

error: node.shards: found \"0-\"
  --> main.toml:19:10
   |
19 | shards = \"0-\"
   |          ^^^^
   |
   = note: allowed: \"auto\", a count from 1 to 64, or a list of CPUs such as \"0-3,6\"
";
    let drivers = if cfg!(feature = "glommio") { ", \"glommio\"" } else { "" };
    let want = want.replace("DRIVERS", &format!("\"auto\", \"io_uring\", \"epoll\"{drivers}"));
    assert_eq!(drawn(&text), want);
}

#[test]
#[cfg(not(feature = "glommio"))]
fn a_driver_that_was_not_built_says_how_to_have_it() {
    let want = "\
error: node.io: \"glommio\" works only when built with the feature glommio
  --> main.toml:17:6
   |
17 | io = \"glommio\"
   |      ^^^^^^^^^
   |
   = note: allowed: \"auto\", \"io_uring\", \"epoll\"
   = help: build it with `cargo build --release --features glommio`
";
    assert_eq!(drawn(&with("[node]\nio = \"glommio\"\n")), want);
}

#[test]
fn a_home_is_a_shard_that_is_there() {
    let home = |shards: &str, home: &str| {
        drawn(&format!("[node]\nshards = {shards}\n{SMALL}\n[defaults.carrier]\nhome = {home}\n"))
    };
    let report = home("2", "2");
    assert!(report.contains("defaults.carrier.home: found 2, and the node has 2 shards"), "{report}");
    assert!(report.contains("allowed: \"auto\", or 0 to 1"), "{report}");
    assert!(report.contains("help: set `shards` of [node] to 3 or more"), "{report}");
    assert_eq!(report.matches("error: ").count(), 1, "{report}");
    let report = home("\"auto\"", "1");
    assert!(report.contains("found 1, and how many shards there are is not set"), "{report}");
    assert!(report.contains("help: set `shards` of [node] to 2 or more"), "{report}");
    for wrong in ["-1", "64", "1.5", "\"0\"", "true"] {
        let report = home("2", wrong);
        assert!(report.contains("allowed: \"auto\" or the number of a shard, from 0 to 1"), "{report}");
    }
}

#[test]
fn a_number_with_a_plus_comes_with_its_mend() {
    let text = with("[[route]]\npool = \"main\"\nwhen = { to = [\"+382*\"] }\n");
    let want = "\
error: route[0].when.to[0]: found \"+382*\"
  --> main.toml:18:16
   |
18 | when = { to = [\"+382*\"] }
   |                ^^^^^^^
   |
   = note: allowed: a number without `+` (\"38267123456\"), a prefix (\"382*\"), all (\"*\") or \"file:PATH\"
   = help: write \"382*\"
";
    assert_eq!(drawn(&text), want);
}

#[test]
fn an_unknown_pool_names_the_nearest_and_those_there_are() {
    let report = load_text(&with("[[route]]\npool = \"mian\"\n")).unwrap_err();
    let [problem] = report.problems() else { panic!("{}", report.render(false)) };
    assert_eq!((problem.allowed.as_str(), problem.help.as_str()), ("`main`", "did you mean \"main\"?"));
    let report = load_text(&with("[[route]]\npool = \"backup\"\n")).unwrap_err();
    assert_eq!(report.problems()[0].help, "add [pool.backup]");
}

#[test]
fn an_unknown_policy_names_the_nearest() {
    let policy = "[policy.standard]\nrate = \"1/s\"\n";
    let esme = "[esme.b]\npassword = \"x\"\npool = \"main\"\npolicy = \"standrad\"\n";
    let report = load_text(&with(&format!("{policy}{esme}"))).unwrap_err();
    assert_eq!(lines(&report), ["21:10 esme.b.policy: there is no policy \"standrad\""]);
    let problem = &report.problems()[0];
    assert_eq!(
        (problem.allowed.as_str(), problem.help.as_str()),
        ("`standard`", "did you mean \"standard\"?")
    );
}

#[test]
fn a_policy_takes_no_rate_or_burst_that_cannot_be() {
    let text = "[policy.a]\nrate = 100\nburst = 0\n[policy.b]\nburst = 5\n[policy.c]\nrate = \"1/s\"\nburst = 1_000_001\nquota = {}\n";
    assert_eq!(
        found(&with(text)),
        [
            "17:8 policy.a.rate: found the integer 100",
            "18:9 policy.a.burst: found the integer 0",
            "20:9 policy.b.burst: there is no rate that it belongs to",
            "23:9 policy.c.burst: found the integer 1000001",
            "24:1 policy.c.quota: not supported yet",
        ]
    );
}

#[test]
fn a_table_of_two_files_names_both_places() {
    let main = format!("include = [\"a.toml\"]\n{SMALL}");
    let files =
        [("main.toml", main.as_str()), ("a.toml", "\n[esme.acme]\npassword = \"zz\"\npool = \"main\"\n")];
    let want = "\
error: esme.acme: this table is defined twice
 --> main.toml:6:7
  |
6 | [esme.acme]
  |       ^^^^ second
  |
 ::: a.toml:2:7
  |
2 | [esme.acme]
  |       ---- first defined here
"
    .replace(" second", "");
    assert_eq!(load_files(&files).unwrap_err().render(false), want);
}

#[test]
fn a_table_or_key_of_one_file_names_both_places() {
    let report = load_text(&with("[esme.acme]\nwindow_max = 1\nwindow_max = 2\n")).unwrap_err();
    assert_eq!(
        lines(&report),
        ["16:7 esme.acme: this table is defined twice", "18:1 window_max: this key is defined twice"]
    );
    let firsts: Vec<_> =
        report.problems().iter().map(|problem| problem.other.as_ref().unwrap().line).collect();
    assert_eq!(firsts, [5, 17]);
}

#[test]
fn includes_that_cannot_be_read_are_told_where_they_are_named() {
    let main = format!("include = [\"a.toml\", \"b.toml\", \"./x/../a.toml\", \"*/c.toml\", \"\"]\n{SMALL}");
    let report = load_files(&[("main.toml", &main), ("a.toml", "include = [\"main.toml\"]\n")]).unwrap_err();
    assert_eq!(
        lines(&report),
        [
            "1:22 include: cannot read b.toml: no such file",
            "1:32 include: ./x/../a.toml is included twice",
            "1:49 include[3]: found \"*/c.toml\"",
            "1:61 include[4]: found \"\"",
            "1:12 include: main.toml is included twice",
        ]
    );
    assert_eq!(report.problems()[4].file, "a.toml");
}

#[test]
fn a_file_that_is_not_there_is_the_only_fault() {
    let report = load_files(&[]).unwrap_err();
    assert_eq!(report.render(false), "error: cannot read this file: no such file\n--> main.toml:1:1\n");
    assert_eq!(
        report.to_json(),
        "{\"column\":1,\"file\":\"main.toml\",\"key\":\"\",\"line\":1,\
         \"message\":\"cannot read this file: no such file\",\"severity\":\"error\"}\n"
    );
}

#[test]
fn json_has_one_object_a_finding() {
    let main = format!("include = [\"a.toml\"]\n{SMALL}[node]\nspinn = 1\n");
    let report = load_files(&[("main.toml", &main), ("a.toml", "[esme.acme]\n")]).unwrap_err();
    let text = report.to_json();
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), report.problems().len());
    assert_eq!(objects[0]["other"]["file"], "a.toml");
    let spin = objects.iter().find(|object| object["key"] == "node.spinn").unwrap();
    assert_eq!((spin["line"].as_u64(), spin["column"].as_u64()), (Some(18), Some(1)));
    assert_eq!(spin["help"], "did you mean `spin`?");
    assert_eq!(spin["severity"], "error");
}

#[test]
fn no_drawing_shows_a_secret() {
    let bad = [
        "[esme.b]\npassword = \"hunter2 is longer than any password may be, really: it goes on and on and on and on and on and on and on and on and on and on and on\"\n",
        "[esme.b]\npasword = \"hunter2\"\n",
        "[esme.b]\npassword = \"hunter2\n",
        "[esme.b]\npassword = hunter2\n",
        "[esme.b]\npassword = \"x\"\npassword = \"hunter2\"\n",
        "[esme.b]\npassword = [\"hunter2\", \"hunter2\", \"hunter2\"]\n",
        "[esme.b]\npassword = \"argon2id:hunter2\"\n",
        "[esme.b]\npassword = \"hunter2\\u0000\"\n",
        "[esme.b]\npassword = { hunter2 = \"hunter2\" }\n",
        "[esme.b]\nwebhook = { secret = \"hunter2\" }\n",
        "[carrier.b]\npassword = [\"hunter2\"]\n",
        "esme = { acme = { password = \"hunter2\" } }\n",
    ];
    for text in bad {
        let report = load_text(&with(text)).unwrap_err();
        let shown = report.render(false) + &report.to_json();
        assert!(!shown.replace("{ hunter2 =", "").contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn text_that_is_no_toml_does_not_make_other_things_missing() {
    let found = found("[esme.acme\npassword = \"x\"\n[[route]]\npool = \"main\"\n[node]\nnme = \"x\"\n");
    assert_eq!(found, ["1:11 : not TOML: unclosed table, expected `]`", "6:1 node.nme: unknown key"]);
}

#[test]
fn pools_nest_four_deep_and_have_64_members() {
    let nested = |count: usize| -> String {
        let pool = |n: usize| format!("[pool.p{n}]\nmembers = [{{ pool = \"p{}\" }}]\n", n + 1);
        let first: String = (1..count).map(pool).collect();
        format!("{first}[pool.p{count}]\nmembers = [{{ carrier = \"alpha\" }}]\n")
    };
    assert!(load_text(&with(&nested(4))).is_ok());
    let deep = found(&with(&nested(5)));
    assert!(deep[0].contains("pool.p1.members: pools stand in pools 5 deep here, 4 is the most"), "{deep:?}");
    let carriers = |count: usize| -> String {
        let carrier = |n: usize| {
            format!("[carrier.c{n}]\naddresses = [\"c:1\"]\nsystem_id = \"b\"\npassword = \"p\"\n")
        };
        let members: Vec<_> = (0..count).map(|n| format!("{{ carrier = \"c{n}\" }}")).collect();
        let carriers: String = (0..count).map(carrier).collect();
        format!("{carriers}[pool.wide]\nmembers = [{}]\n", members.join(", "))
    };
    assert!(load_text(&with(&carriers(64))).is_ok());
    assert!(load_text(&with(&carriers(65))).is_err());
}

#[test]
fn pools_that_contain_themselves_are_told_with_the_way_round() {
    let pools = "[pool.a]\nmembers = [{ pool = \"b\" }]
[pool.b]\nmembers = [{ carrier = \"alpha\" }, { pool = \"c\" }]
[pool.c]\nmembers = [{ pool = \"main\" }, { pool = \"b\" }]
[pool.d]\nmembers = [{ pool = \"d\" }]\n";
    assert_eq!(
        found(&with(pools)),
        [
            "18:7 pool.b.members: this pool contains itself: b → c → b",
            "22:7 pool.d.members: this pool contains itself: d → d",
        ]
    );
}

#[test]
fn a_pool_may_be_in_two_pools() {
    let pools = "[pool.a]\nmembers = [{ pool = \"b\" }, { pool = \"c\" }]
[pool.b]\nmembers = [{ pool = \"main\" }]
[pool.c]\nmembers = [{ pool = \"main\" }, { pool = \"b\", tier = 2 }]\n";
    assert!(load_text(&with(pools)).is_ok());
}

#[test]
fn relations_that_cannot_hold_are_errors() {
    let cases = [
        (
            "[esme.b]\nsystem_id = \"acme\"\npassword = \"x\"\n",
            "17:13 esme.b.system_id: system_id \"acme\" is that of account `acme` as well",
        ),
        (
            "[esme.a-very-long-name-indeed]\npassword = \"x\"\n",
            "16:7 esme.a-very-long-name-indeed: this name is no system_id",
        ),
        ("[esme.b]\npool = \"main\"\n", "16:1 esme.b.password: missing"),
        ("[esme.b]\npassword = \"env:EMPTY\"\n", "17:12 esme.b.password: found an empty password"),
        (
            "[esme.b]\npassword = \"x\"\npool = \"main\"\nanswer_timeout = \"8s\"\n",
            "19:18 esme.b.answer_timeout: found 8s; the quickest carrier of `b` has response_timeout 8s: no attempt could finish",
        ),
        (
            "[defaults.esme]\nanswer_timeout = \"2s\"\n",
            "17:18 defaults.esme.answer_timeout: found 2s; the quickest carrier of `acme` has response_timeout 8s: no attempt could finish",
        ),
        (
            "[defaults.carrier]\nbind = \"tx+rx\"\n",
            "17:8 carrier.alpha.sessions: found 1, and \"tx+rx\" needs half of each",
        ),
        (
            "[defaults.carrier]\nbind = \"rx\"\n",
            "15:11 pool.main.members[0]: carrier `alpha` binds as receiver and takes no message",
        ),
        (
            "[defaults.carrier]\nreconnect = { min = \"2s\", max = \"1s\" }\n",
            "17:13 defaults.carrier.reconnect: min is 2s and max is 1s",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:2775\"\n",
            "17:11 listener[1].address: 0.0.0.0:2775 is taken by another listener",
        ),
        (
            "[pool.b]\nmembers = [{ carrier = \"alpha\" }, { carrier = \"alpha\" }]\n",
            "17:35 pool.b.members[1]: this member stands in the pool twice",
        ),
        (
            "[pool.b]\nmembers = [{ carrier = \"alpha\", pool = \"main\" }]\n",
            "17:12 pool.b.members[0]: found both a carrier and a pool",
        ),
        (
            "[pool.b]\nmembers = [{ weight = 1 }]\n",
            "17:12 pool.b.members[0]: found neither a carrier nor a pool",
        ),
        (
            "[[mo_route]]\ndeliver = [{ esme = \"acne\" }]\n",
            "17:21 mo_route[0].deliver[0].esme: there is no esme \"acne\"",
        ),
        (
            "[esme.b]\npassword = \"x\"\nallow_from = [\"10.1.2.3/16\"]\n",
            "18:15 esme.b.allow_from[0]: found \"10.1.2.3/16\", an address inside a block",
        ),
        (
            "[defaults.esme]\nunknown_status = \"ESME_ROK\"\n",
            "17:18 defaults.esme.unknown_status: found \"ESME_ROK\"",
        ),
        ("[defaults.esme]\npool = \"mian\"\n", "17:8 defaults.esme.pool: there is no pool \"mian\""),
    ];
    for (more, want) in cases {
        assert_eq!(found(&with(more)), [want], "{more}");
    }
}

#[test]
fn a_carrier_or_http_at_odds_with_the_rest_is_an_error() {
    let cases = [
        (
            "[defaults.carrier]\nrate = \"5/s\"\npace = { min = \"301/m\" }\n",
            "18:8 defaults.carrier.pace: min is 301/m and the rate is 5/s",
        ),
        (
            "[carrier.b]\naddresses = [\"h:1\", \"[::1]:2\"]\nsystem_id = \"x\"\npassword = \"x\"\nsource_address = \"10.9.0.4\"\n",
            "20:18 carrier.b.source_address: found 10.9.0.4, from where no connect leads to [::1]:2",
        ),
        (
            "[http]\naddress = \"127.0.0.1:2775\"\n",
            "17:11 http.address: 127.0.0.1:2775 is taken by a listener",
        ),
        (
            "[defaults.carrier]\npace = { min = \"10/s\" }\n[carrier.b]\naddresses = [\"h:1\"]\nsystem_id = \"x\"\npassword = \"x\"\nrate = \"5/s\"\n",
            "17:8 defaults.carrier.pace: min is 10/s and the rate is 5/s",
        ),
    ];
    for (more, want) in cases {
        assert_eq!(found(&with(more)), [want], "{more}");
    }
}

#[test]
fn a_value_out_of_its_range_is_told_where_it_stands() {
    let long = format!("\"{}.sock\"", "a".repeat(103));
    let carrier = [
        ("pace = \"10/s\"", "8 ", "pace: found \"10/s\""),
        ("pace = { min = \"0/s\" }", "16 ", "pace.min: found \"0/s\""),
        ("pace = { cut = \"91%\" }", "16 ", "pace.cut: found \"91%\""),
        ("pace = { cut = 50 }", "16 ", "pace.cut: found the integer 50"),
        ("pace = { grow_over = \"0\" }", "22 ", "pace.grow_over: found \"0\""),
        ("on_status = []", "13 ", "on_status: found an empty list"),
        ("on_status = { ESME_RTHROTTLED = \"slow\" }", "33 ", "on_status.ESME_RTHROTTLED: found \"slow\""),
        ("on_status = { ESME_ROK = \"fail\" }", "15 ", "on_status.ESME_ROK: is no refusal"),
        ("on_status = { \"0\" = \"fail\" }", "15 ", "on_status.0: is no refusal"),
        ("on_status = { ESME_RTROTTLED = \"fail\" }", "15 ", "on_status.ESME_RTROTTLED: no such status"),
        (
            "on_status = { ESME_RTHROTTLED = \"next\", \"0x58\" = \"fail\" }",
            "41 ",
            "on_status.0x58: ESME_RTHROTTLED stands here twice",
        ),
        ("source_address = \"0.0.0.0\"", "18 ", "source_address: found \"0.0.0.0\""),
        ("source_address = \"ff02::1\"", "18 ", "source_address: found \"ff02::1\""),
        ("source_address = \"10.9.0.4:0\"", "18 ", "source_address: found \"10.9.0.4:0\""),
        ("interface = \"sixteen-letters-\"", "13 ", "interface: found \"sixteen-letters-\""),
        ("interface = \"a b\"", "13 ", "interface: found \"a b\""),
        ("interface = \"..\"", "13 ", "interface: found \"..\""),
        ("firewall_mark = 0x1_0000_0000", "17 ", "firewall_mark: found the integer 0x100000000"),
    ];
    let esme = [
        ("attempts_max = 0", "16 ", "attempts_max: found the integer 0"),
        ("attempts_max = 11", "16 ", "attempts_max: found the integer 11"),
        ("unknown_status = \"ESME_RSUBMITFAI\"", "18 ", "unknown_status: found \"ESME_RSUBMITFAI\""),
    ];
    let pool = [
        ("eject = true", "9 ", "eject: found true"),
        ("eject = { errors = \"0%\" }", "20 ", "eject.errors: found \"0%\""),
        ("eject = { errors = \"101%\" }", "20 ", "eject.errors: found \"101%\""),
        ("eject = { over = \"9ms\" }", "18 ", "eject.over: found \"9ms\""),
        ("eject = { for = \"25h\" }", "17 ", "eject.for: found \"25h\""),
    ];
    let http = [
        ("address = \"localhost:2780\"", "11 ", "address: found \"localhost:2780\""),
        ("admin_socket = \"\"", "16 ", "admin_socket: found \"\""),
        ("admin_socket = \"data/\"", "16 ", "admin_socket: found \"data/\""),
        (&format!("admin_socket = {long}"), "16 ", &format!("admin_socket: found \"{}…\"", "a".repeat(60))),
    ];
    let told = |table: &str, line: &str, at: &str, fault: &str| {
        assert_eq!(found(&with(&format!("[{table}]\n{line}\n"))), [format!("{at}{table}.{fault}")], "{line}");
    };
    for (line, column, fault) in carrier {
        told("defaults.carrier", line, &format!("17:{column}"), fault);
    }
    for (line, column, fault) in esme {
        told("defaults.esme", line, &format!("17:{column}"), fault);
    }
    for (line, column, fault) in pool {
        let line = format!("{line}\nmembers = [{{ carrier = \"alpha\" }}]");
        told("pool.b", &line, &format!("17:{column}"), fault);
    }
    for (line, column, fault) in http {
        told("http", line, &format!("17:{column}"), fault);
    }
}

#[test]
fn a_status_with_a_slip_names_the_nearest() {
    let help = |text: &str| load_text(&with(text)).unwrap_err().problems()[0].help.clone();
    assert_eq!(
        help("[defaults.carrier]\non_status = { esme_rthrottled = \"next\" }\n"),
        "did you mean `ESME_RTHROTTLED`?"
    );
    assert_eq!(
        help("[defaults.carrier]\non_status = { ESME_RMSGQFUL = \"slowdown\" }\n"),
        "did you mean \"slow_down\"?"
    );
    assert_eq!(
        help("[defaults.esme]\nunknown_status = \"ESME_RSUBMITFAI\"\n"),
        "did you mean \"ESME_RSUBMITFAIL\"?"
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let cases = [
        ("[esme.b]\npassword = \"x\"\n", "esme.b", "every submit is refused"),
        ("[http]\n", "http", "nothing is served"),
        ("[http]\naddress = \"0.0.0.0:2780\"\n", "http.address", "everyone who reaches 0.0.0.0:2780"),
        ("[[route]]\npool = \"main\"\n[[route]]\npool = \"main\"\n", "route[1]", "no message gets here"),
        ("[pool.b]\nmembers = [{ carrier = \"alpha\", weight = 0 }]\n", "pool.b", "takes nothing"),
        (
            "[defaults.carrier]\nbind = \"tx\"\n[[mo_route]]\nwhen = { carrier = [\"alpha\"] }\ndeliver = [{ esme = \"acme\" }]\n",
            "mo_route[0].when.carrier",
            "delivers nothing",
        ),
    ];
    for (more, key, part) in cases {
        let warnings =
            load_text(&with(more)).unwrap_or_else(|report| panic!("{}", report.render(false))).warnings;
        let [warning] = warnings.problems() else { panic!("{more}{}", warnings.render(false)) };
        assert_eq!((warning.severity, warning.key.as_str()), (Severity::Warning, key));
        assert!(warning.message.contains(part), "{}", warning.message);
    }
    let receiver = "[esme.b]\npassword = \"x\"\n[[mo_route]]\ndeliver = [{ esme = \"b\" }]\n";
    assert!(load_text(&with(receiver)).unwrap().warnings.is_empty());
}

#[test]
fn a_fault_of_a_default_is_told_once() {
    let mut text = with("[defaults.esme]\nwindow_max = 0\n");
    for number in 0..300 {
        writeln!(text, "[esme.a{number}]\npassword = \"x\"\npool = \"main\"").unwrap();
    }
    assert_eq!(found(&text), ["17:14 defaults.esme.window_max: found the integer 0"]);
    assert_eq!(found("[[listener]]\naddress = \"[::1]:1\"\n[defaults.carrier]\nburst = 0\n").len(), 1);
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |open: &str| format!("a = {}", open.repeat(100_000));
    let dotted = format!("{}b = 1\n[{}b]", "a.".repeat(100_000), "c.".repeat(100_000));
    for text in [deep("["), deep("{b="), dotted] {
        assert!(found(&text).iter().any(|line| line.contains("recurs")));
    }
}

#[test]
fn more_than_the_program_holds_is_refused() {
    let mut text = SMALL.to_owned();
    for number in 1..=crate::limits::CARRIERS_MAX {
        writeln!(text, "[carrier.c{number}]\naddresses = [\"h:1\"]\nsystem_id = \"x\"\npassword = \"x\"")
            .unwrap();
    }
    assert_eq!(found(&text), ["4108:10 carrier: found 1025 carriers"]);
    let digits = "1".repeat(crate::limits::ADDRESS_MAX + 1);
    let long = with(&format!("[[route]]\npool = \"main\"\nwhen = {{ to = [\"{digits}\"] }}\n"));
    assert_eq!(found(&long), [format!("18:16 route[0].when.to[0]: found \"{digits}\"")]);
}

#[test]
fn a_configuration_without_a_listener_is_refused() {
    assert_eq!(found("[node]\nname = \"x\"\n"), ["1:1 listener: there is no [[listener]]"]);
    assert_eq!(found("[listener]\naddress = \"[::]:1\"\n"), ["1:1 listener: found a table"]);
}

/// Text that is nearly a configuration: the reference with a piece replaced.
fn torn_reference() -> impl Strategy<Value = String> {
    const REFERENCE: &str = include_str!("../../../config/bindery.toml");
    let pieces = prop_oneof!["[ -~\n]{0,12}", "\\PC{0,4}", Just("\"\"\"".to_owned()), Just("[".to_owned())];
    (0..REFERENCE.len(), 0usize..400, pieces).prop_map(|(start, length, piece)| {
        let bound =
            |at: usize| (0..=at.min(REFERENCE.len())).rev().find(|at| REFERENCE.is_char_boundary(*at));
        let (start, end) = (bound(start).unwrap(), bound(start + length).unwrap());
        format!("{}{piece}{}", &REFERENCE[..start], &REFERENCE[end.max(start)..])
    })
}

fn must_not_panic(text: &str) {
    let report = match load_text(text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => {
            assert!(!report.is_empty());
            report
        }
    };
    assert_eq!(report.to_json().lines().count(), report.problems().len());
    assert_eq!(report.render(true).is_empty(), report.is_empty());
    for problem in report.problems() {
        assert!(problem.line >= 1 && problem.line <= text.split('\n').count() && problem.column >= 1);
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        must_not_panic(&text);
    }

    #[test]
    fn a_torn_reference_never_panics(text in torn_reference()) {
        must_not_panic(&text);
    }
}
