//! `[carrier.NAME]`. Owns: the defaults and ranges of a carrier. Takes: its table, with `[defaults.carrier]`
//! behind it. Gives: the settings. Never: resolves a host name.

use super::accounts::{NOBODY, nobody};
use super::document::{Document, Named};
use super::files::{Files, secret};
use super::refusals::{read_on_status, read_pace};
use super::report::{Notes, Source};
use super::table::Table;
use super::{Shards, TIMER_MAX, TIMER_MIN, keys, units};
use crate::carrier::Settings;
use crate::carrier::settings::{AddressUse, BindMode};
use crate::ids::ShardId;
use crate::limits::{
    ADDRESSES_MAX, BURST_MAX, CARRIERS_MAX, QUEUE_MAX, SESSIONS_MAX, SHARDS_MAX, SYSTEM_ID_MAX,
    SYSTEM_TYPE_MAX, WINDOW_MAX,
};
use crate::smpp::id_form::IdForm;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Octets of a network interface's name without its NUL (netdevice(7): IFNAMSIZ is 16).
const INTERFACE_MAX: usize = 15;

/// Reads every carrier and the defaults.
pub(super) fn read(
    document: &Document<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<Settings> {
    if let Some(defaults) = document.defaults_carrier {
        read_one(&nobody(defaults), sources, files, notes);
    }
    if let Some(over) = document.carriers.get(CARRIERS_MAX) {
        let message = format!("found {} carriers", document.carriers.len());
        notes.error(over.place, "carrier".to_owned(), message).allowed(format!("at most {CARRIERS_MAX}"));
        return Vec::new();
    }
    document.carriers.iter().map(|carrier| read_one(carrier, sources, files, notes)).collect()
}

fn read_one(carrier: &Named<'_>, sources: &[Source], files: &mut Files<'_>, notes: &mut Notes) -> Settings {
    let table = &carrier.table;
    table.check_keys(notes, &keys::CARRIER);
    let kinds = ["http", "aws_sms", "twilio", "vonage", "modem", "email"];
    table.choice(notes, "kind", &[("smpp", ())], &kinds);
    let timer = || TIMER_MIN..=TIMER_MAX;
    let uses = [("spread", AddressUse::Spread), ("in_order", AddressUse::InOrder)];
    let (reconnect_min, reconnect_max) = read_reconnect(table, notes);
    let bind = read_bind(table, notes);
    let rate = table.rate(notes, "rate");
    Settings {
        name: carrier.name.to_owned(),
        addresses: read_addresses(carrier, notes),
        address_use: table.choice(notes, "address_use", &uses, &[]).unwrap_or(AddressUse::Spread),
        system_id: read_system_id(carrier, notes),
        password: read_password(carrier, sources, files, notes),
        system_type: read_system_type(table, notes),
        bind,
        interface_version: read_version(table, notes),
        sessions: read_sessions(carrier, bind, notes),
        window_max: table.count(notes, "window_max", 1..=WINDOW_MAX as u32, 50),
        queue_max: table.count(notes, "queue_max", 1..=QUEUE_MAX as u32, 1000),
        rate,
        burst: table.count(notes, "burst", 1..=BURST_MAX, 20),
        pace: read_pace(table, rate, notes),
        on_status: read_on_status(table, notes),
        enquire_link_interval: table.duration(
            notes,
            "enquire_link_interval",
            timer(),
            Duration::from_secs(30),
        ),
        response_timeout: table.duration(notes, "response_timeout", timer(), Duration::from_secs(8)),
        tcp_user_timeout: table.duration(notes, "tcp_user_timeout", timer(), Duration::from_secs(20)),
        reconnect_min,
        reconnect_max,
        source_address: read_source_address(table, notes),
        interface: read_interface(table, notes),
        firewall_mark: table
            .get("firewall_mark")
            .map(|_| table.count(notes, "firewall_mark", 0..=u32::MAX, 0)),
        message_id_form: read_form(table, notes),
    }
}

fn read_addresses(carrier: &Named<'_>, notes: &mut Notes) -> Vec<String> {
    let allowed = "\"host:port\", such as \"smsc1.alpha.example:2775\"";
    let Some(item) = carrier.table.get("addresses") else {
        if carrier.name != NOBODY {
            carrier.table.missing(notes, "addresses", &format!("a list of {allowed}"));
        }
        return Vec::new();
    };
    let mut addresses: Vec<String> = Vec::new();
    for item in item.list(notes, ADDRESSES_MAX, &format!("a list of {allowed}")) {
        match item.value.as_str().filter(|text| units::is_host_and_port(text)) {
            Some(text) if addresses.iter().any(|other| other == text) => {
                notes.error(item.place, item.path(), format!("\"{text}\" stands here twice"));
            }
            Some(text) => addresses.push(text.to_owned()),
            None => item.refuse(notes, allowed),
        }
    }
    addresses
}

fn read_system_id(carrier: &Named<'_>, notes: &mut Notes) -> Vec<u8> {
    if carrier.table.get("system_id").is_none() && carrier.name != NOBODY {
        carrier.table.missing(notes, "system_id", "the name that the carrier knows us by");
    }
    carrier.table.ascii(notes, "system_id", SYSTEM_ID_MAX).unwrap_or_default()
}

fn read_password(
    carrier: &Named<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<u8> {
    let Some(item) = carrier.table.get("password") else {
        if carrier.name != NOBODY {
            carrier.table.missing(notes, "password", "a password, \"env:NAME\" or \"file:PATH\"");
        }
        return Vec::new();
    };
    if item.value.is_array() {
        let message = "a list of passwords for a carrier is not supported yet";
        notes.error(item.place, item.path(), message).allowed("one password");
        return Vec::new();
    }
    secret(&item, sources, files, notes).unwrap_or_default()
}

/// Many carriers want none, so unlike other text it may be empty.
fn read_system_type(table: &Table<'_>, notes: &mut Notes) -> Vec<u8> {
    match table.get("system_type") {
        Some(item) if item.value.as_str() != Some("") => {
            table.ascii(notes, "system_type", SYSTEM_TYPE_MAX).unwrap_or_default()
        }
        Some(_) | None => Vec::new(),
    }
}

fn read_bind(table: &Table<'_>, notes: &mut Notes) -> BindMode {
    let modes =
        [("trx", BindMode::Trx), ("tx", BindMode::Tx), ("rx", BindMode::Rx), ("tx+rx", BindMode::TxRx)];
    table.choice(notes, "bind", &modes, &[]).unwrap_or(BindMode::Trx)
}

fn read_version(table: &Table<'_>, notes: &mut Notes) -> u8 {
    let versions = [("3.4", 0x34), ("3.3", 0x33), ("5.0", 0x50)];
    table.choice(notes, "interface_version", &versions, &[]).unwrap_or(0x34)
}

fn read_sessions(carrier: &Named<'_>, bind: BindMode, notes: &mut Notes) -> u32 {
    let table = &carrier.table;
    let sessions = table.count(notes, "sessions", 1..=SESSIONS_MAX as u32, 1);
    if bind == BindMode::TxRx && !sessions.is_multiple_of(2) && carrier.name != NOBODY {
        let place =
            table.get("sessions").or_else(|| table.get("bind")).map_or(table.place, |item| item.place);
        let path = super::table::join(&table.path, "sessions");
        let message = format!("found {sessions}, and \"tx+rx\" needs half of each");
        notes
            .error(place, path, message)
            .allowed("an even count")
            .help(format!("set it to {}", sessions + 1));
    }
    sessions
}

fn read_reconnect(table: &Table<'_>, notes: &mut Notes) -> (Duration, Duration) {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
    let allowed = "{ min = \"1s\", max = \"60s\" }";
    let Some(item) = table.get("reconnect") else {
        return (min, max);
    };
    let Some(table) = item.table(notes, allowed) else {
        return (min, max);
    };
    table.check_keys(notes, &keys::RECONNECT);
    let min = table.duration(notes, "min", TIMER_MIN..=TIMER_MAX, min);
    let max = table.duration(notes, "max", TIMER_MIN..=TIMER_MAX, max);
    if min > max {
        let (min, max) = (units::duration_text(min), units::duration_text(max));
        let message = format!("min is {min} and max is {max}");
        notes.error(item.place, item.path(), message).allowed("min no longer than max");
    }
    (min, max)
}

/// An address of ours that a connect can start at, and of the kind that the carrier's addresses are.
fn read_source_address(table: &Table<'_>, notes: &mut Notes) -> Option<IpAddr> {
    let item = table.get("source_address")?;
    let address = item.value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let address = address.filter(|address| {
        !address.is_unspecified() && !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST)
    });
    let Some(address) = address else {
        item.refuse(notes, "an IP address of this machine, such as \"10.9.0.4\"");
        return None;
    };
    let list = table.get("addresses").and_then(|addresses| addresses.value.as_array());
    let texts = list.into_iter().flatten().filter_map(|element| element.get_ref().as_str());
    let mut others = texts.filter_map(|text| text.parse::<SocketAddr>().ok());
    if let Some(other) = others.find(|other| other.is_ipv4() != address.is_ipv4()) {
        let message = format!("found {address}, from where no connect leads to {other}");
        notes.error(item.place, item.path(), message).allowed("IPv4 for IPv4, IPv6 for IPv6");
    }
    Some(address)
}

fn read_interface(table: &Table<'_>, notes: &mut Notes) -> Option<String> {
    let item = table.get("interface")?;
    let allowed = format!("the name of a network interface, 1 to {INTERFACE_MAX} characters");
    let text = item.text(notes, &allowed)?;
    let good = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'/' && octet != b':');
    if !good || text.len() > INTERFACE_MAX || text == "." || text == ".." {
        item.refuse(notes, &allowed);
        return None;
    }
    Some(text.to_owned())
}

/// The shard that each carrier is to be at home on.
pub(super) fn read_homes(
    document: &Document<'_>,
    shards: &Shards,
    notes: &mut Notes,
) -> Vec<Option<ShardId>> {
    if let Some(defaults) = document.defaults_carrier {
        read_home(&nobody(defaults).table, shards, notes);
    }
    document.carriers.iter().map(|carrier| read_home(&carrier.table, shards, notes)).collect()
}

fn read_home(table: &Table<'_>, shards: &Shards, notes: &mut Notes) -> Option<ShardId> {
    let item = table.get("home").filter(|item| item.value.as_str() != Some("auto"))?;
    let number = item.value.as_integer();
    let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    // How many shards "auto" makes is known where the node runs; the first is always there.
    let count = shards.count(1);
    let Some(number) = number.filter(|number| (*number as usize) < SHARDS_MAX) else {
        item.refuse(notes, &format!("\"auto\" or the number of a shard, from 0 to {}", count - 1));
        return None;
    };
    if number as usize >= count {
        let message = match shards {
            Shards::Auto => format!("found {number}, and how many shards there are is not set"),
            Shards::Count(_) | Shards::Cpus(_) => format!("found {number}, and the node has {count} shards"),
        };
        let problem = notes.error(item.place, item.path(), message);
        problem.allowed(format!("\"auto\", or 0 to {}", count - 1));
        problem.help(format!("set `shards` of [node] to {} or more", number + 1));
        return None;
    }
    Some(ShardId(number))
}

fn read_form(table: &Table<'_>, notes: &mut Notes) -> Option<IdForm> {
    let forms = [
        ("auto", None),
        ("as_is", Some(IdForm::AsIs)),
        ("dec", Some(IdForm::Dec)),
        ("hex", Some(IdForm::Hex)),
        ("resp_hex_receipt_dec", Some(IdForm::RespHexReceiptDec)),
        ("resp_dec_receipt_hex", Some(IdForm::RespDecReceiptHex)),
    ];
    table.choice(notes, "message_id_form", &forms, &[]).flatten()
}
