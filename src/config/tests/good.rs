//! What is read from good files.

use super::{SMALL, config, load_files, load_text};
use crate::carrier::settings::{AddressUse, BindMode, OnStatus, PaceSettings};
use crate::config::{Io, Shards};
use crate::esme::settings::{MessageIdSource, ReceiptsTo, WindowOver};
use crate::ids::{CarrierId, EsmeId, PoolId, ShardId};
use crate::route::settings::{BalanceBy, EjectSettings, Member, OnUnknown, Pattern};
use crate::smpp::id_form::IdForm;
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;
use core::fmt::Write as _;
use std::path::Path;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_not_set_has_the_default_of_the_reference() {
    let config = config(SMALL);
    assert_eq!((config.node.name.as_str(), config.node.io), ("bindery", Io::Auto));
    assert_eq!((&config.node.shards, &config.carrier_homes), (&Shards::Auto, &vec![None]));
    assert_eq!((config.node.spin, config.node.drain_deadline), (Duration::from_micros(100), 30 * SECOND));
    let listener = &config.listeners[0];
    assert_eq!((listener.connections_max, listener.connections_per_address), (20_000, 200));
    assert_eq!((listener.session_init_timeout, listener.pdu_max), (10 * SECOND, 131_072));
    assert_eq!((listener.unbound_max, listener.output_timeout), (10_000, 30 * SECOND));
    let admission = &listener.admission;
    assert_eq!((admission.bind_rate, admission.burst), (Some(Rate { units: 50, per: SECOND }), 200));
    assert_eq!(admission.refusal_delay, (SECOND, 8 * SECOND));
    let ban = &admission.ban;
    assert_eq!((ban.failures, ban.over, ban.for_time), (20, 60 * SECOND, 600 * SECOND));
    assert_eq!((config.esmes[0].unanswered_max, ban.never.len()), (100, 0));
    let esme = &config.esmes[0];
    assert_eq!((esme.name.as_str(), esme.system_id.as_slice()), ("acme", &b"acme"[..]));
    assert_eq!((esme.sessions_max, esme.window_max, esme.window_over), (8, 100, WindowOver::Wait));
    assert_eq!((esme.answer_timeout, esme.message_id), (20 * SECOND, MessageIdSource::Auto));
    assert_eq!((esme.unknown_status, esme.pool), (CommandStatus::SUBMIT_FAILED, Some(PoolId(0))));
    assert_eq!((esme.enquire_link_interval, esme.inactivity_timeout), (30 * SECOND, 300 * SECOND));
    assert_eq!((esme.response_timeout, esme.receipts), (30 * SECOND, ReceiptsTo::Any));
    assert_eq!(esme.system_id_reply, b"SMSC");
    assert!(esme.allow_from.is_empty());
    let carrier = &config.carriers[0];
    assert_eq!((carrier.address_use, carrier.bind), (AddressUse::Spread, BindMode::Trx));
    assert_eq!((carrier.interface_version, carrier.sessions, carrier.window_max), (0x34, 1, 50));
    assert_eq!((carrier.queue_max, carrier.rate, carrier.burst), (1000, None, 20));
    assert_eq!((carrier.enquire_link_interval, carrier.response_timeout), (30 * SECOND, 8 * SECOND));
    assert_eq!((carrier.tcp_user_timeout, carrier.message_id_form), (20 * SECOND, None));
    assert_eq!((carrier.reconnect_min, carrier.reconnect_max), (SECOND, 60 * SECOND));
    assert!(carrier.system_type.is_empty());
    let pace = PaceSettings { min: Rate { units: 10, per: SECOND }, cut_percent: 50, grow_over: 30 * SECOND };
    assert_eq!((esme.attempts_max, carrier.pace, carrier.on_status.len()), (3, pace, 0));
    assert_eq!((carrier.source_address, &carrier.interface, carrier.firewall_mark), (None, &None, None));
    let pool = &config.pools[0];
    assert_eq!((pool.balance, pool.on_unknown, pool.eject), (BalanceBy::Weighted, OnUnknown::Fail, None));
    assert_eq!(config.http, None);
    let member = config.pools[0].members[0];
    assert_eq!((member.member, member.weight, member.tier), (Member::Carrier(CarrierId(0)), 1, 1));
}

#[test]
fn shards_are_a_count_or_cpus_and_auto_is_one_for_each_that_may_be_used() {
    let shards = |value: &str| config(&format!("[node]\nshards = {value}\n{SMALL}")).node.shards;
    assert_eq!((shards("64"), shards("\"0-2,5\"")), (Shards::Count(64), Shards::Cpus(vec![0, 1, 2, 5])));
    let counts = |usable: usize| {
        [shards("\"auto\""), shards("3"), shards("\"4,6\"")].map(|shards| shards.count(usable))
    };
    assert_eq!((counts(0), counts(2), counts(1000)), ([1, 3, 2], [2, 3, 2], [64, 3, 2]));
}

#[test]
fn a_carrier_is_at_home_where_it_is_said_to_be() {
    let text = format!("[node]\nshards = 2\n{SMALL}\n[defaults.carrier]\nhome = 1\n");
    assert_eq!(config(&text).carrier_homes, [Some(ShardId(1))]);
}

#[test]
fn an_account_is_held_to_the_policy_that_it_names_or_that_is_everybodys() {
    let policies = "[policy.a]\nrate = \"3/h\"\n[policy.b]\nrate = \"5/s\"\nburst = 7\n[policy.c]\n";
    let more =
        "[defaults.esme]\npolicy = \"b\"\n[esme.x]\npassword = \"p\"\npool = \"main\"\npolicy = \"a\"\n";
    let all = config(&format!("{SMALL}{policies}{more}"));
    let named = all.esmes.iter().map(|esme| esme.policy.map(|policy| policy.index()));
    assert_eq!(named.collect::<Vec<_>>(), [Some(1), Some(0)]);
    let read = all.policies.iter().map(|policy| (policy.name.as_str(), policy.rate, policy.burst));
    let hourly = Rate { units: 3, per: 3600 * SECOND };
    let wanted = [("a", Some(hourly), 100), ("b", Some(Rate { units: 5, per: SECOND }), 7), ("c", None, 100)];
    assert_eq!(read.collect::<Vec<_>>(), wanted);
    assert_eq!(config(SMALL).esmes[0].policy, None);
}

const SHIPPED: [(&str, &str); 4] = [
    ("bindery.toml", include_str!("../../../config/bindery.toml")),
    ("one-carrier.toml", include_str!("../../../config/examples/one-carrier.toml")),
    ("weighted-with-standby.toml", include_str!("../../../config/examples/weighted-with-standby.toml")),
    ("tx-rx-with-mo.toml", include_str!("../../../config/examples/tx-rx-with-mo.toml")),
];

#[test]
fn every_shipped_file_passes_without_a_warning() {
    for (name, text) in SHIPPED {
        let loaded = load_text(text).unwrap_or_else(|report| panic!("{name}\n{}", report.render(false)));
        assert!(loaded.warnings.is_empty(), "{name}\n{}", loaded.warnings.render(false));
    }
}

#[test]
fn the_reference_says_what_it_means() {
    let config = config(SHIPPED[0].1);
    let carrier = &config.carriers[0];
    assert_eq!(carrier.rate, Some(Rate { units: 400, per: SECOND }));
    assert_eq!(carrier.addresses.len(), 2);
    assert_eq!(config.esmes[0].allow_from.len(), 2);
    assert_eq!(config.pools[0].members[2].member, Member::Pool(PoolId(1)));
    let route = &config.routes[0];
    assert_eq!(
        (route.to.as_slice(), route.esme.as_slice()),
        (&[Pattern::Prefix(b"382".to_vec())][..], &[EsmeId(0)][..])
    );
    assert_eq!(config.mo_routes[0].deliver, [EsmeId(0)]);
}

#[test]
fn the_reference_says_how_refusals_are_taken() {
    let config = config(SHIPPED[0].1);
    let carrier = &config.carriers[0];
    let mut on_status = carrier.on_status.clone();
    on_status.sort_unstable_by_key(|(status, _)| *status);
    let want = [
        (CommandStatus::QUEUE_FULL, OnStatus::Next),
        (CommandStatus::THROTTLED, OnStatus::SlowDown),
        (CommandStatus(0x400), OnStatus::Fail),
    ];
    assert_eq!(on_status, want);
    assert_eq!(carrier.on_status(CommandStatus::SYSTEM_ERROR), OnStatus::Next);
    let gamma = &config.carriers[2];
    assert_eq!(gamma.source_address, Some("10.9.0.4".parse().unwrap()));
    assert_eq!((gamma.interface.as_deref(), gamma.firewall_mark), (Some("ipsec0"), Some(7)));
    let eject = EjectSettings { errors_percent: 30, over: 10 * SECOND, for_time: 30 * SECOND };
    assert_eq!((config.pools[0].eject, config.pools[1].eject), (Some(eject), None));
    let http = config.http.unwrap();
    assert_eq!(http.address, Some("127.0.0.1:2780".parse().unwrap()));
    assert_eq!(http.admin_socket.as_deref(), Some(Path::new("data/admin.sock")));
}

#[test]
fn what_an_inner_table_does_not_say_has_its_default() {
    let text =
        SMALL.replace("[pool.main]", "pace = { cut = \"10%\" }\non_status = {}\n[pool.main]\neject = {}");
    let config = config(&text);
    let pace = PaceSettings { min: Rate { units: 10, per: SECOND }, cut_percent: 10, grow_over: 30 * SECOND };
    assert_eq!((config.carriers[0].pace, config.carriers[0].on_status.len()), (pace, 0));
    let eject = EjectSettings { errors_percent: 30, over: 10 * SECOND, for_time: 30 * SECOND };
    assert_eq!(config.pools[0].eject, Some(eject));
}

#[test]
fn the_slowest_pace_is_never_above_the_rate() {
    let min = |rate: &str| {
        let text = SMALL.replace("[pool.main]", &format!("rate = \"{rate}\"\n[pool.main]"));
        config(&text).carriers[0].pace.min
    };
    assert_eq!(min("599/m"), Rate { units: 599, per: 60 * SECOND });
    assert_eq!(min("10/s"), Rate { units: 10, per: SECOND });
}

#[test]
fn the_admin_socket_is_in_the_folder_of_the_file_that_names_it() {
    let main = format!("include = [\"d/http.toml\"]\n{SMALL}");
    let socket = |name: &str| {
        let http = format!("[http]\nadmin_socket = \"{name}\"\n");
        let loaded = load_files(&[("main.toml", &main), ("d/http.toml", &http)]).unwrap();
        loaded.config.http.unwrap().admin_socket.unwrap()
    };
    assert_eq!(socket("admin.sock"), Path::new("d/admin.sock"));
    assert_eq!(socket("/run/admin.sock"), Path::new("/run/admin.sock"));
}

#[test]
fn the_examples_say_what_they_mean() {
    let weighted = config(SHIPPED[2].1);
    assert_eq!(weighted.esmes.iter().map(|esme| esme.sessions_max).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(weighted.carriers.iter().map(|carrier| carrier.sessions).collect::<Vec<_>>(), [4, 4, 1]);
    assert_eq!(weighted.routes[0].pool, PoolId(2));
    let pair = config(SHIPPED[3].1);
    assert_eq!(pair.carriers[0].bind, BindMode::TxRx);
    assert_eq!(pair.carriers[0].message_id_form, Some(IdForm::RespHexReceiptDec));
    assert_eq!(pair.mo_routes[0].deliver, [EsmeId(0), EsmeId(1)]);
}

#[test]
fn defaults_hold_until_an_account_says_otherwise() {
    let text = format!("{SMALL}window_max = 7\n[defaults.esme]\nwindow_max = 9\npool = \"main\"\n");
    let text = text.replace(
        "[pool.main]",
        "[esme.beta]\npassword = \"x\"\n[esme.gamma]\npassword = \"x\"\nwindow_max = 8\n[pool.main]",
    );
    let text = text.replace("}]\nwindow_max = 7\n", "}]\n");
    let config = config(&text);
    assert_eq!(config.esmes.iter().map(|esme| esme.window_max).collect::<Vec<_>>(), [9, 9, 8]);
    assert_eq!(config.esmes[1].pool, Some(PoolId(0)));
}

#[test]
fn a_password_is_literal_or_of_the_environment_or_of_a_file() {
    let password = |value: &str, file: &str| {
        let text = SMALL.replacen("password = \"secret\"", &format!("password = {value}"), 1);
        let loaded = load_files(&[("main.toml", &text), ("keys/acme", file)]);
        loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).config.esmes[0].passwords.clone()
    };
    assert_eq!(password("\"a long one is fine\"", ""), [b"a long one is fine".to_vec()]);
    assert_eq!(password("\"env:ACME_PASSWORD\"", ""), [b"s3cret".to_vec()]);
    assert_eq!(password("\"file:keys/acme\"", "line \n"), [b"line ".to_vec()]);
    assert_eq!(password("\"file:keys/acme\"", "line\r\n"), [b"line".to_vec()]);
    assert_eq!(password("[\"new\", \"env:ACME_PASSWORD\"]", ""), [b"new".to_vec(), b"s3cret".to_vec()]);
}

#[test]
fn included_files_count_in_byte_order_before_the_file_that_includes_them() {
    let carriers = "[carrier.b]\naddresses = [\"h:1\"]\nsystem_id = \"x\"\npassword = \"file:b.key\"\n";
    let route =
        |name: &str| format!("[[route]]\nname = \"{name}\"\npool = \"main\"\nwhen = {{ to = [\"1\"] }}\n");
    let main = format!("include = [\"d/*.toml\", \"last.toml\"]\n{SMALL}{}", route("main"));
    let files = [
        ("main.toml", main.as_str()),
        ("d/b.toml", &format!("include = [\"inner/*\"]\n{}{carriers}", route("b"))),
        ("d/a.toml", &route("a")),
        ("d/B.toml", &route("B")),
        ("d/a.txt", "no toml"),
        ("d/.hidden.toml", "no toml"),
        ("d/b.key", "from the folder of the file that names it\n"),
        ("d/inner/x", &route("x")),
        ("last.toml", &route("last")),
    ];
    let config = load_files(&files).unwrap_or_else(|report| panic!("{}", report.render(false))).config;
    let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["B", "a", "x", "b", "last", "main"]);
    let carriers: Vec<&str> = config.carriers.iter().map(|carrier| carrier.name.as_str()).collect();
    assert_eq!(carriers, ["b", "alpha"]);
    assert_eq!(config.carriers[0].password, b"from the folder of the file that names it");
}

#[test]
fn accounts_keep_the_order_of_the_file() {
    let mut text = SMALL.to_owned();
    for name in ["zeta", "10", "beta", "\"a b\""] {
        writeln!(text, "[esme.{name}]\npassword = \"x\"\npool = \"main\"").unwrap();
    }
    let names: Vec<String> = config(&text).esmes.into_iter().map(|esme| esme.name.clone()).collect();
    assert_eq!(names, ["acme", "zeta", "10", "beta", "a b"]);
}

#[test]
fn a_large_configuration_loads() {
    let mut text = SMALL.to_owned();
    let mut prefixes = String::new();
    for number in 0..20_000 {
        writeln!(text, "[esme.a{number}]\npassword = \"p{number}\"\npool = \"main\"\nwindow_max = 20")
            .unwrap();
        write!(prefixes, "\"{}*\", ", 100_000 + number).unwrap();
    }
    write!(text, "[[route]]\nname = \"r\"\npool = \"main\"\nwhen = {{ to = [{prefixes}] }}\n").unwrap();
    let config = config(&text);
    assert_eq!((config.esmes.len(), config.routes[0].to.len()), (20_001, 20_000));
    assert_eq!(config.esmes[20_000].name, "a19999");
}
