//! `[esme.NAME]`. Owns: the defaults and ranges of an account. Takes: its table, with `[defaults.esme]` behind
//! it. Gives: the settings. Never: keeps a password that it could not read.

use super::document::{Document, Named};
use super::files::{Files, secret};
use super::journal::{read_durability, read_waiting};
use super::refusals::{STATUS_ALLOWED, nearest_status};
use super::report::{Notes, Place, Source};
use super::routes::Directory;
use super::table::{Fallback, Table, is_ascii_within};
use super::{INACTIVITY_MAX, TIMER_MAX, TIMER_MIN, keys, units};
use crate::esme::settings::{AddressBlock, MessageIdSource, Mode, ReceiptsTo, WindowOver};
use crate::esme::{Settings, Shared};
use crate::ids::{ClassId, PolicyId, PoolId};
use crate::limits::{ESMES_MAX, SESSIONS_MAX, SYSTEM_ID_MAX, WINDOW_MAX};
use crate::smpp::status::CommandStatus;
use crate::time::Duration;
use std::collections::HashMap;

/// Largest `unanswered_max`.
const UNANSWERED_MAX: u32 = 1_000_000;
const ALLOW_FROM_MAX: usize = 10_000;
/// Largest `attempts_max`.
const ATTEMPTS_MAX: u32 = 10;
/// What `defaults` tables are read as, so that a fault in them is seen even when no account uses it.
pub(super) const NOBODY: &str = "";

/// Reads every account and the defaults.
pub(super) fn read(
    document: &Document<'_>,
    directory: &Directory<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<Shared> {
    if let Some(defaults) = document.defaults_esme {
        read_one(&nobody(defaults), directory, sources, files, notes);
    }
    if let Some(over) = document.esmes.get(ESMES_MAX) {
        let message = format!("found {} accounts", document.esmes.len());
        notes.error(over.place, "esme".to_owned(), message).allowed(format!("at most {ESMES_MAX}"));
        return Vec::new();
    }
    let read = |esme| read_one(esme, directory, sources, files, notes).into();
    let esmes: Vec<Shared> = document.esmes.iter().map(read).collect();
    check_system_ids(document, &esmes, notes);
    esmes
}

/// The defaults as a table without a name, from which nothing is missing.
pub(super) fn nobody(defaults: Fallback<'_>) -> Named<'_> {
    let place = Place::new(defaults.file, 0..0);
    let path = defaults.path.to_owned();
    let table = Table { path, place, entries: defaults.entries, fallback: None };
    Named { name: NOBODY, place, table }
}

fn read_one(
    esme: &Named<'_>,
    directory: &Directory<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Settings {
    let table = &esme.table;
    table.check_keys(notes, &keys::ESME);
    table.only_false(notes, "require_tls");
    let timer = || TIMER_MIN..=TIMER_MAX;
    let overs = [("wait", WindowOver::Wait), ("refuse", WindowOver::Refuse)];
    let ids = [
        ("auto", MessageIdSource::Auto),
        ("carrier", MessageIdSource::Carrier),
        ("own", MessageIdSource::Own),
    ];
    let targets = [("any", ReceiptsTo::Any), ("submitting", ReceiptsTo::Submitting)];
    Settings {
        name: esme.name.to_owned(),
        system_id: read_system_id(esme, notes),
        passwords: read_passwords(esme, sources, files, notes),
        allow_from: read_allow_from(table, notes),
        sessions_max: table.count(notes, "sessions_max", 1..=SESSIONS_MAX as u32, 8),
        window_max: table.count(notes, "window_max", 1..=WINDOW_MAX as u32, 100),
        window_over: table.choice(notes, "window_over", &overs, &[]).unwrap_or(WindowOver::Wait),
        answer_timeout: table.duration(notes, "answer_timeout", timer(), Duration::from_secs(20)),
        attempts_max: table.count(notes, "attempts_max", 1..=ATTEMPTS_MAX, 3),
        message_id: table.choice(notes, "message_id", &ids, &[]).unwrap_or(MessageIdSource::Auto),
        unknown_status: read_unknown_status(table, notes),
        pool: table.get("pool").and_then(|item| directory.pools.resolve(&item, notes)).map(PoolId::new),
        policy: table
            .get("policy")
            .and_then(|item| directory.policies.resolve(&item, notes))
            .map(PolicyId::new),
        class: table.get("class").and_then(|item| directory.classes.resolve(&item, notes)).map(ClassId::new),
        enquire_link_interval: table.duration(
            notes,
            "enquire_link_interval",
            timer(),
            Duration::from_secs(30),
        ),
        inactivity_timeout: table.duration(
            notes,
            "inactivity_timeout",
            TIMER_MIN..=INACTIVITY_MAX,
            Duration::from_secs(300),
        ),
        response_timeout: table.duration(notes, "response_timeout", timer(), Duration::from_secs(30)),
        unanswered_max: table.count(notes, "unanswered_max", 1..=UNANSWERED_MAX, 100),
        receipts: table.choice(notes, "receipts", &targets, &[]).unwrap_or(ReceiptsTo::Any),
        system_id_reply: table
            .ascii(notes, "system_id_reply", SYSTEM_ID_MAX)
            .unwrap_or_else(|| b"SMSC".to_vec()),
        mode: read_mode(table, notes),
        durability: read_durability(table, notes),
        waiting: read_waiting(table, notes),
    }
}

fn read_mode(table: &Table<'_>, notes: &mut Notes) -> Mode {
    let modes = [("relay", Mode::Relay), ("store", Mode::Store)];
    let mode = table.choice(notes, "mode", &modes, &[]).unwrap_or(Mode::Relay);
    let id = table.get("message_id").filter(|item| item.value.as_str() == Some("carrier"));
    if let Some(item) = id.filter(|_| mode == Mode::Store) {
        let message = "a stored message is answered before a carrier has given it an id";
        notes.error(item.place, item.path(), message).help("remove it, or set mode = \"relay\"");
    }
    mode
}

fn read_system_id(esme: &Named<'_>, notes: &mut Notes) -> Vec<u8> {
    let set = esme.table.get("system_id").is_some();
    let system_id = esme.table.ascii(notes, "system_id", SYSTEM_ID_MAX);
    if !set && esme.name != NOBODY && !is_ascii_within(esme.name, SYSTEM_ID_MAX) {
        let allowed = format!("1 to {SYSTEM_ID_MAX} printable ASCII characters");
        let path = esme.table.path.clone();
        let problem = notes.error(esme.place, path, "this name is no system_id").allowed(allowed);
        problem.help("set `system_id`");
    }
    system_id.unwrap_or_else(|| esme.name.as_bytes().to_vec())
}

fn read_passwords(
    esme: &Named<'_>,
    sources: &[Source],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<Vec<u8>> {
    let Some(item) = esme.table.get("password") else {
        if esme.name != NOBODY {
            esme.table.missing(notes, "password", "a password, \"env:NAME\" or \"file:PATH\"");
        }
        return Vec::new();
    };
    if item.value.is_array() {
        let items = item.list(notes, 2, "one or two passwords");
        return items.iter().filter_map(|item| secret(item, sources, files, notes)).collect();
    }
    secret(&item, sources, files, notes).into_iter().collect()
}

fn read_allow_from(table: &Table<'_>, notes: &mut Notes) -> Vec<AddressBlock> {
    read_blocks(table, "allow_from", notes)
}

/// A list of addresses and blocks; empty when there is none.
pub(super) fn read_blocks(table: &Table<'_>, key: &str, notes: &mut Notes) -> Vec<AddressBlock> {
    let Some(item) = table.get(key) else {
        return Vec::new();
    };
    let allowed = "addresses and blocks, such as \"10.1.0.0/16\"";
    let mut blocks = Vec::new();
    for item in item.list(notes, ALLOW_FROM_MAX, "a list of addresses and blocks, such as [\"10.1.0.0/16\"]")
    {
        match item.value.as_str().map(units::block) {
            Some(Ok(block)) => blocks.push(block),
            Some(Err(units::BlockFault::HostBits(block))) => {
                let found = super::table::found(item.value);
                let message = format!("found {found}, an address inside a block");
                notes
                    .error(item.place, item.path(), message)
                    .allowed(allowed)
                    .help(format!("write \"{block}\" for the block, or leave out the `/` for one address"));
            }
            Some(Err(units::BlockFault::NoBlock)) | None => item.refuse(notes, allowed),
        }
    }
    blocks
}

fn read_unknown_status(table: &Table<'_>, notes: &mut Notes) -> CommandStatus {
    let default = CommandStatus::SUBMIT_FAILED;
    let Some(item) = table.get("unknown_status") else {
        return default;
    };
    let status = item.value.as_str().and_then(CommandStatus::from_name).filter(|status| !status.is_ok());
    if status.is_none() {
        let meant = item.value.as_str().and_then(|text| nearest_status(text, notes));
        let message = format!("found {}", super::table::found(item.value));
        let problem = notes.error(item.place, item.path(), message).allowed(STATUS_ALLOWED);
        if let Some(meant) = meant {
            problem.help(format!("did you mean \"{meant}\"?"));
        }
    }
    status.unwrap_or(default)
}

fn check_system_ids(document: &Document<'_>, esmes: &[Shared], notes: &mut Notes) {
    let mut taken: HashMap<&[u8], usize> = HashMap::with_capacity(esmes.len());
    for (index, esme) in esmes.iter().enumerate() {
        let Some(first) = taken.insert(&esme.system_id, index) else {
            continue;
        };
        let named = &document.esmes[index];
        let place = named.table.get("system_id").map_or(named.place, |item| item.place);
        let other = document.esmes[first].place;
        let message = format!(
            "system_id \"{}\" is that of account `{}` as well",
            esme.system_id.escape_ascii(),
            esmes[first].name
        );
        let path = super::table::join(&named.table.path, "system_id");
        notes.error(place, path, message).other(other, "the other account");
    }
}
