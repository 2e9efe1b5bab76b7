//! Every key of the reference acts: another value makes another configuration, or is refused by name.

use super::{config, load_text};
use crate::config::keys::{self, Keys};
use crate::config::table::found;
use std::collections::{BTreeMap, BTreeSet};
use toml::de::{DeTable, DeValue};

const REFERENCE: &str = include_str!("../../../config/bindery.toml");

/// A line of the reference as far as its value goes, and the same line with another value.
const CHANGES: &[(&str, &str)] = &[
    ("name = \"gw1\"", "name = \"gw2\""),
    ("shards = \"auto\"", "shards = 2"),
    ("shards = \"auto\"", "shards = \"0-3,6\""),
    ("io = \"auto\"", "io = \"epoll\""),
    ("io = \"auto\"", "io = \"io_uring\""),
    #[cfg(feature = "glommio")]
    ("io = \"auto\"", "io = \"glommio\""),
    ("spin = \"100us\"", "spin = \"0\""),
    ("drain_deadline = \"30s\"", "drain_deadline = \"1m\""),
    ("data_dir = \"data\"", "data_dir = \"/var/lib/bindery\""),
    ("address = \"0.0.0.0:2775\"", "address = \"[::]:2775\""),
    ("connections_max = 20_000", "connections_max = 10"),
    ("connections_per_address = 200", "connections_per_address = 10"),
    ("unbound_max = 10_000", "unbound_max = 1"),
    ("bind_rate = \"50/s\"", "bind_rate = \"1/h\""),
    ("min = \"1s\", max = \"8s\"", "min = \"0\", max = \"8s\""),
    ("min = \"1s\", max = \"8s\"", "min = \"1s\", max = \"1s\""),
    ("failures = 20", "failures = 0"),
    ("over = \"1m\"", "over = \"2m\""),
    ("for = \"10m\"", "for = \"7d\""),
    ("never = [\"10.1.0.0/16\"]", "never = [\"10.1.0.0/24\"]"),
    ("output_timeout = \"30s\"", "output_timeout = \"31s\""),
    ("unanswered_max = 100", "unanswered_max = 1"),
    ("session_init_timeout = \"10s\"", "session_init_timeout = \"5s\""),
    ("pdu_max = \"128KiB\"", "pdu_max = \"64KiB\""),
    ("system_id_reply = \"SMSC\"", "system_id_reply = \"US\""),
    ("system_id = \"acme\"", "system_id = \"acme2\""),
    ("password = \"change-me\"             # 1–128 characters; more", "password = \"other\" #"),
    ("allow_from = [\"127.0.0.0/8\", \"10.1.0.0/16\"]", "allow_from = [\"127.0.0.0/8\"]"),
    ("sessions_max = 8", "sessions_max = 1024"),
    ("window_max = 100", "window_max = 16384"),
    ("window_over = \"wait\"", "window_over = \"refuse\""),
    ("answer_timeout = \"20s\"", "answer_timeout = \"9s\""),
    ("attempts_max = 3", "attempts_max = 10"),
    ("message_id = \"auto\"", "message_id = \"own\""),
    ("unknown_status = \"ESME_RSUBMITFAIL\"", "unknown_status = \"0x0400\""),
    ("pool = \"main\"                      # where", "pool = \"standby\" #"),
    (
        "enquire_link_interval = \"30s\"      # silence before we send enquire_link, 10ms–24h. Default: \"30s\"\ninactivity",
        "enquire_link_interval = \"31s\"\ninactivity",
    ),
    ("inactivity_timeout = \"5m\"", "inactivity_timeout = \"7d\""),
    ("response_timeout = \"30s\"", "response_timeout = \"31s\""),
    ("receipts = \"any\"", "receipts = \"submitting\""),
    ("durability = \"group\"               # what a promise", "durability = \"off\" #"),
    ("count_max = 100_000", "count_max = 1"),
    ("keep = \"72h\"", "keep = \"1m\""),
    ("policy = \"standard\"", "#"),
    ("class = \"bulk\"", "class = \"otp\""),
    ("priority = 10", "priority = 1000"),
    ("weight = 4", "weight = 5"),
    ("rate = \"100/s\"", "rate = \"100/m\""),
    ("burst = 100", "burst = 1_000_000"),
    ("tcp_user_timeout = \"20s\"", "tcp_user_timeout = \"21s\""),
    ("\"smsc1.alpha.example:2775\", ", ""),
    ("address_use = \"spread\"", "address_use = \"in_order\""),
    ("system_id = \"bindery\"              # what", "system_id = \"other\" #"),
    ("password = \"change-me\"             # 1–128 characters. No", "password = \"other\" #"),
    ("system_type = \"\"", "system_type = \"VMA\""),
    ("bind = \"trx\"", "bind = \"tx+rx\""),
    ("interface_version = \"3.4\"", "interface_version = \"5.0\""),
    ("sessions = 4", "sessions = 6"),
    ("window_max = 50 ", "window_max = 51 "),
    ("queue_max = 1000", "queue_max = 1"),
    ("rate = \"400/s\"", "rate = \"40/s\""),
    ("burst = 20", "burst = 1"),
    ("min = \"10/s\"", "min = \"10/m\""),
    ("cut = \"50%\"", "cut = \"90%\""),
    ("grow_over = \"30s\"", "grow_over = \"31s\""),
    ("ESME_RTHROTTLED = \"slow_down\"", "ESME_RTHROTTLED = \"retry\""),
    ("ESME_RMSGQFUL = \"next\", ", ""),
    ("\"0x0400\" = ", "\"0x0401\" = "),
    (
        "enquire_link_interval = \"30s\"      # silence before we send enquire_link, 10ms–24h. Default: \"30s\"\nresponse",
        "enquire_link_interval = \"31s\"\nresponse",
    ),
    ("response_timeout = \"8s\"", "response_timeout = \"7s\""),
    ("min = \"1s\", max = \"60s\"", "min = \"2s\", max = \"60s\""),
    ("max = \"60s\"", "max = \"61s\""),
    ("message_id_form = \"auto\"", "message_id_form = \"as_is\""),
    ("home = \"auto\"", "home = 0"),
    ("source_address = \"10.9.0.4\"", "source_address = \"::1\""),
    ("interface = \"ipsec0\"", "interface = \"wg0\""),
    ("firewall_mark = 7", "firewall_mark = 0xFFFF_FFFF"),
    ("balance = \"weighted\"", "balance = \"least_outstanding\""),
    ("balance = \"weighted\"", "balance = \"hash_destination\""),
    ("on_unknown = \"fail\"", "on_unknown = \"resend\""),
    ("mode = \"relay\" ", "mode = \"store\" "),
    ("[\"UNDELIV\", \"EXPIRED\"]", "[\"REJECTD\"]"),
    ("resend_after = \"10m\"", "resend_after = \"1s\""),
    ("first = \"5s\", factor", "first = \"6s\", factor"),
    ("factor = 2.0", "factor = 3"),
    ("{ first = \"5s\", factor = 2.0, max = \"15m\", jitter", "{ intervals = [\"5s\"], jitter"),
    ("max = \"15m\"", "max = \"16m\""),
    ("jitter = \"20%\"", "jitter = \"0%\""),
    ("give_up_after = \"48h\" }", "give_up_after = \"1m\" }"),
    ("errors = \"30%\"", "errors = \"100%\""),
    ("over = \"10s\"", "over = \"11s\""),
    ("for = \"30s\"", "for = \"31s\""),
    ("weight = 3", "weight = 0"),
    ("{ carrier = \"beta\", weight = 1 }", "{ carrier = \"gamma\", weight = 1 }"),
    ("{ pool = \"standby\", tier = 2 }", "{ carrier = \"gamma\", tier = 2 }"),
    ("tier = 2", "tier = 64"),
    ("name = \"montenegro\"", "name = \"crna gora\""),
    ("to = [\"382*\"]", "to = [\"382\"]"),
    ("source = [\"ACME\", \"14499\"], ", ""),
    (", esme = [\"acme\"] }", " }"),
    ("pool = \"main\"                      # No", "pool = \"standby\" #"),
    ("name = \"vote\"", "name = \"vote2\""),
    ("when = { carrier = [\"alpha\"],", "when = {"),
    (", to = [\"14499\"] }", " }"),
    ("deliver = [{ esme = \"acme\" }]", "deliver = [{ esme = \"acme\" }, { esme = \"acme\" }]"),
    ("nobody = \"refuse\"", "nobody = \"queue\""),
    ("durability = \"group\"               # what a response", "durability = \"process\" #"),
    ("group_commit = \"0ms\"", "group_commit = \"20ms\""),
    ("segment_size = \"64MiB\"", "segment_size = \"17MiB\""),
    ("keep_text = \"0s\"", "keep_text = \"1h\""),
    ("erase_within = \"7d\"", "erase_within = \"8d\""),
    ("keep_numbers = \"400d\"", "keep_numbers = \"30d\""),
    ("encrypt = \"0001", "encrypt = \"ff01"),
    ("size_max = \"20GiB\"", "size_max = \"512MiB\""),
    ("min_free = \"10%\"", "min_free = \"0%\""),
    ("path = \"data/cdr/{date}.jsonl\"", "path = \"/var/log/cdr.jsonl\""),
    ("rotate = \"1d\"", "rotate = \"0\""),
    ("keep = \"400d\"", "keep = \"0\""),
    ("address = \"127.0.0.1:2780\"", "address = \"127.0.0.1:2781\""),
    ("admin_socket = \"data/admin.sock\"", "admin_socket = \"/run/bindery.sock\""),
];

/// Keys with one allowed value so far: every other is refused as not built yet.
const FIXED: &[(&str, &str)] = &[
    ("proxy_protocol = false", "proxy_protocol = true"),
    ("require_tls = false", "require_tls = true"),
    ("kind = \"smpp\"", "kind = \"http\""),
    ("balance = \"weighted\"", "balance = \"cost\""),
    ("fan_out = \"first\"", "fan_out = \"all\""),
    ("kind = \"file\"", "kind = \"postgres\""),
];

fn changed(from: &str, to: &str) -> String {
    assert_eq!(REFERENCE.matches(from).count(), 1, "{from} must stand in the reference once");
    REFERENCE.replacen(from, to, 1)
}

#[test]
fn another_value_makes_another_configuration() {
    let before = config(REFERENCE);
    for (from, to) in CHANGES {
        assert_ne!(config(&changed(from, to)), before, "{from} → {to} changes nothing");
    }
}

#[test]
fn a_value_that_does_not_act_yet_is_refused() {
    for (from, to) in FIXED {
        let report = load_text(&changed(from, to)).unwrap_err();
        assert_eq!(report.problems().len(), 1, "{to}\n{}", report.render(false));
        let message = &report.problems()[0].message;
        assert!(message.ends_with("is not supported yet"), "{to}: {message}");
    }
}

/// Every kind of table, and how one is opened in a file of its own.
const TABLES: &[(&str, &Keys)] = &[
    ("", &keys::ROOT),
    ("[defaults]", &keys::DEFAULTS),
    ("[node]", &keys::NODE),
    ("[[listener]]", &keys::LISTENER),
    ("[[listener]]\n[listener.refusal_delay]", &keys::REFUSAL_DELAY),
    ("[[listener]]\n[listener.ban]", &keys::BAN),
    ("[esme.x]", &keys::ESME),
    ("[defaults.esme]", &keys::ESME),
    ("[carrier.x]", &keys::CARRIER),
    ("[defaults.carrier]", &keys::CARRIER),
    ("[carrier.x.reconnect]", &keys::RECONNECT),
    ("[carrier.x.pace]", &keys::PACE),
    ("[pool.x]", &keys::POOL),
    ("[pool.x.eject]", &keys::EJECT),
    ("[[pool.x.members]]", &keys::MEMBER),
    ("[policy.x]", &keys::POLICY),
    ("[class.x]", &keys::CLASS),
    ("[[route]]", &keys::ROUTE),
    ("[[route]]\n[route.when]", &keys::WHEN),
    ("[[mo_route]]", &keys::MO_ROUTE),
    ("[[mo_route]]\n[mo_route.when]", &keys::MO_WHEN),
    ("[[mo_route]]\n[[mo_route.deliver]]", &keys::DELIVER),
    ("[http]", &keys::HTTP),
    ("[esme.x.waiting]", &keys::WAITING),
    ("[journal]", &keys::JOURNAL),
    ("[privacy]", &keys::PRIVACY),
    ("[journal.retry]", &keys::RETRY),
    ("[[cdr]]", &keys::CDR),
];

/// The values of a text by kind of table and key: `esme.window_max`, `pool.members.weight`.
fn values(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut values = BTreeMap::new();
    let root = DeTable::parse(text).unwrap();
    for (kind, table) in root.get_ref() {
        let kind = kind.get_ref().as_ref();
        match (kind, table.get_ref()) {
            ("defaults", DeValue::Table(kinds)) => {
                kinds.iter().for_each(|(kind, table)| collect(kind.get_ref(), table.get_ref(), &mut values));
            }
            ("esme" | "carrier" | "pool" | "policy" | "class", DeValue::Table(named)) => {
                named.iter().for_each(|(_, table)| collect(kind, table.get_ref(), &mut values));
            }
            (_, value) => collect(kind, value, &mut values),
        }
    }
    values
}

fn collect(path: &str, value: &DeValue<'_>, values: &mut BTreeMap<String, Vec<String>>) {
    values.entry(path.to_owned()).or_default().push(found(value));
    match value {
        // Its keys are statuses: they are what it says.
        DeValue::Table(table) if path == "carrier.on_status" => values
            .entry(path.to_owned())
            .or_default()
            .extend(table.iter().map(|(key, value)| format!("{} {}", key.get_ref(), found(value.get_ref())))),
        DeValue::Table(table) => table
            .iter()
            .for_each(|(key, value)| collect(&format!("{path}.{}", key.get_ref()), value.get_ref(), values)),
        DeValue::Array(list) => list.iter().for_each(|element| collect(path, element.get_ref(), values)),
        _ => {}
    }
}

/// Every key that acts, as `values` names it.
fn acting() -> BTreeSet<String> {
    let kinds: [(&str, &Keys); 24] = [
        ("node", &keys::NODE),
        ("listener", &keys::LISTENER),
        ("listener.refusal_delay", &keys::REFUSAL_DELAY),
        ("listener.ban", &keys::BAN),
        ("esme", &keys::ESME),
        ("carrier", &keys::CARRIER),
        ("carrier.reconnect", &keys::RECONNECT),
        ("carrier.pace", &keys::PACE),
        ("pool", &keys::POOL),
        ("pool.eject", &keys::EJECT),
        ("pool.members", &keys::MEMBER),
        ("policy", &keys::POLICY),
        ("class", &keys::CLASS),
        ("route", &keys::ROUTE),
        ("route.when", &keys::WHEN),
        ("mo_route", &keys::MO_ROUTE),
        ("mo_route.when", &keys::MO_WHEN),
        ("mo_route.deliver", &keys::DELIVER),
        ("http", &keys::HTTP),
        ("esme.waiting", &keys::WAITING),
        ("journal", &keys::JOURNAL),
        ("journal.retry", &keys::RETRY),
        ("privacy", &keys::PRIVACY),
        ("cdr", &keys::CDR),
    ];
    let all = kinds.iter().flat_map(|(kind, keys)| keys.now.iter().map(move |key| format!("{kind}.{key}")));
    // It cannot stand beside the others.
    all.filter(|path| path != "journal.retry.intervals").collect()
}

#[test]
fn every_key_that_acts_stands_in_the_reference_and_no_other_does() {
    let shown: BTreeSet<String> = values(REFERENCE).into_keys().filter(|path| path.contains('.')).collect();
    assert_eq!(shown, acting());
    assert!(keys::ROOT.now.iter().all(|kind| REFERENCE.contains(&format!("{kind} = [")) || REFERENCE.contains(&format!("[{kind}")))); // `include` in a comment
}

#[test]
fn every_key_that_acts_is_tested_to_act() {
    let before = values(REFERENCE);
    let mut tested = BTreeSet::new();
    for (from, to) in CHANGES.iter().chain(FIXED) {
        let after = values(&changed(from, to));
        let differs = |path: &&String| before.get(*path) != after.get(*path);
        tested.extend(before.keys().chain(after.keys()).filter(differs).cloned());
    }
    let holds =
        |path: &String| tested.iter().any(|tested| tested == path || tested.starts_with(&format!("{path}.")));
    let untested: Vec<String> = acting().into_iter().filter(|path| !holds(path)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn a_key_of_the_plan_is_refused_as_not_supported_and_any_other_as_unknown() {
    for (table, keys) in TABLES {
        for key in keys.later {
            let report = load_text(&format!("{table}\n{key} = 1\n")).unwrap_err();
            let found = report.problems().iter().find(|problem| problem.key.ends_with(key)).unwrap();
            assert_eq!(found.message, "not supported yet", "{table} {key}");
        }
        let report = load_text(&format!("{table}\nqqqqqqqq = 1\n")).unwrap_err();
        let found = report.problems().iter().find(|problem| problem.key.ends_with("qqqqqqqq")).unwrap();
        assert_eq!(found.message, "unknown key", "{table}");
    }
}

#[test]
fn no_key_that_acts_takes_a_date() {
    for (table, keys) in TABLES {
        for key in keys.now {
            let report = load_text(&format!("{table}\n{key} = 1979-05-27\n")).unwrap_err();
            let found = report.problems().iter().any(|problem| {
                problem.key.contains(key) && problem.message.contains("1979-05-27")
                    || ["password", "encrypt"].iter().any(|secret| key.contains(secret))
            });
            assert!(found, "{table} {key}\n{}", report.render(false));
        }
    }
}
