//! `[node]` and `[[listener]]`. Owns: their defaults and ranges. Takes: the tables. Gives: the values.
//! Never: opens a port.

use super::accounts::read_blocks;
use super::document::Document;
use super::journal::read_data_dir;
use super::keys;
use super::report::{Notes, Place, Source};
use super::table::Table;
use super::{Io, Listener, Node, Shards, TIMER_MAX, TIMER_MIN, units};
use crate::esme::admission;
use crate::limits::{
    CONNECTIONS_MAX, LISTENERS_MAX, OUTPUT_STALL, PDU_MAX, PDU_MAX_DEFAULT, PDU_MAX_MIN, SHARDS_MAX,
};
use crate::throttle::Rate;
use crate::time::Duration;
use core::net::SocketAddr;

/// Longest search for work; more is a core burnt for nothing.
const SPIN_MAX: Duration = Duration::from_millis(10);
/// CPUs that a set of them can name (sched_setaffinity(2)).
const CPUS_MAX: u32 = 1024;
/// Default `bind_rate`.
const BIND_RATE: Rate = Rate { units: 50, per: Duration::from_secs(1) };
/// Longest wait before a wrong bind is answered; its link is held for so long.
const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(60);
/// Longest ban, and longest span over which failures are counted.
const BAN_MAX: Duration = Duration::from_secs(7 * 86_400);
const BAN_FAILURES_MAX: u32 = 1_000_000;
const DRAIN_MAX: Duration = Duration::from_secs(86_400);

/// Reads `[node]`; without one every default holds.
pub(super) fn read_node(table: Option<&Table<'_>>, sources: &[Source], notes: &mut Notes) -> Node {
    let mut node = Node {
        name: "bindery".to_owned(),
        shards: Shards::Auto,
        io: Io::Auto,
        spin: Duration::from_micros(100),
        drain_deadline: Duration::from_secs(30),
        data_dir: read_data_dir(table, sources, notes),
    };
    let Some(table) = table else {
        return node;
    };
    table.check_keys(notes, &keys::NODE);
    if let Some(name) = table.get("name").and_then(|item| item.text(notes, "a name")) {
        node.name = name.to_owned();
    }
    node.shards = read_shards(table, notes).unwrap_or(node.shards);
    node.io = read_io(table, notes).unwrap_or(node.io);
    node.spin = table.duration(notes, "spin", Duration::ZERO..=SPIN_MAX, node.spin);
    node.drain_deadline =
        table.duration(notes, "drain_deadline", Duration::ZERO..=DRAIN_MAX, node.drain_deadline);
    node
}

fn read_io(table: &Table<'_>, notes: &mut Notes) -> Option<Io> {
    let drivers =
        [("auto", Io::Auto), ("io_uring", Io::Uring), ("epoll", Io::Epoll), ("glommio", Io::Glommio)];
    #[cfg(not(feature = "glommio"))]
    let [drivers @ .., (unbuilt, _)] = drivers;
    #[cfg(not(feature = "glommio"))]
    if let Some(item) = table.get("io")
        && item.value.as_str() == Some(unbuilt)
    {
        let allowed = drivers.map(|(word, _)| format!("\"{word}\"")).join(", ");
        let message = format!("\"{unbuilt}\" works only when built with the feature {unbuilt}");
        notes
            .error(item.place, item.path(), message)
            .allowed(allowed)
            .help("build it with `cargo build --release --features glommio`");
        return None;
    }
    table.choice(notes, "io", &drivers, &[])
}

fn read_shards(table: &Table<'_>, notes: &mut Notes) -> Option<Shards> {
    let item = table.get("shards")?;
    let count = item.value.as_integer();
    let count = count.and_then(|count| u32::from_str_radix(count.as_str(), count.radix()).ok());
    let count = count.filter(|count| (1..=SHARDS_MAX as u32).contains(count));
    let shards = match item.value.as_str() {
        Some("auto") => Some(Shards::Auto),
        Some(list) => cpus(list).map(Shards::Cpus),
        None => count.map(Shards::Count),
    };
    if shards.is_none() {
        let allowed =
            format!("\"auto\", a count from 1 to {SHARDS_MAX}, or a list of CPUs such as \"0-3,6\"");
        item.refuse(notes, &allowed);
    }
    shards
}

/// Reads a list such as `0-3,6`: ascending, none twice, no more than there may be shards.
fn cpus(text: &str) -> Option<Vec<u32>> {
    let mut cpus: Vec<u32> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse::<u32>().ok().filter(|number| digits && *number < CPUS_MAX)
        };
        let (first, last) = (number(first)?, number(last)?);
        let ascends = cpus.last().is_none_or(|before| *before < first) && first <= last;
        if !ascends || cpus.len() + (last - first) as usize >= SHARDS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Reads every `[[listener]]`; there must be one.
pub(super) fn read_listeners(document: &Document<'_>, notes: &mut Notes) -> Vec<Listener> {
    let tables = &document.listeners;
    if !document.listens && !notes.partial {
        let problem = notes.error(Place::new(0, 0..0), "listener".to_owned(), "there is no [[listener]]");
        problem.help("add [[listener]] with an address such as \"0.0.0.0:2775\"");
    }
    if let Some(over) = tables.get(LISTENERS_MAX) {
        let message = format!("found {} listeners", tables.len());
        notes.error(over.place, "listener".to_owned(), message).allowed(format!("at most {LISTENERS_MAX}"));
        return Vec::new();
    }
    let mut taken: Vec<(SocketAddr, Place)> = Vec::new();
    tables.iter().filter_map(|table| read_listener(table, &mut taken, notes)).collect()
}

fn read_listener(
    table: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
    notes: &mut Notes,
) -> Option<Listener> {
    table.check_keys(notes, &keys::LISTENER);
    table.only_false(notes, "proxy_protocol");
    let max = CONNECTIONS_MAX as u32;
    let connections_max = table.count(notes, "connections_max", 1..=max, 20_000);
    let connections_per_address = table.count(notes, "connections_per_address", 1..=max, 200);
    let timer = TIMER_MIN..=TIMER_MAX;
    let session_init_timeout = table.duration(notes, "session_init_timeout", timer, Duration::from_secs(10));
    let unbound_max = table.count(notes, "unbound_max", 1..=max, 10_000);
    let output_timeout = table.duration(notes, "output_timeout", TIMER_MIN..=TIMER_MAX, OUTPUT_STALL);
    let pdu_max = read_pdu_max(table, notes);
    let admission = admission::Settings {
        bind_rate: table.rate(notes, "bind_rate").or(Some(BIND_RATE)),
        burst: connections_per_address,
        refusal_delay: read_refusal_delay(table, notes),
        ban: read_ban(table, notes),
    };
    let address = read_address(table, taken, notes)?;
    Some(Listener {
        address,
        connections_max,
        connections_per_address,
        session_init_timeout,
        unbound_max,
        admission,
        output_timeout,
        pdu_max,
    })
}

fn read_refusal_delay(table: &Table<'_>, notes: &mut Notes) -> (Duration, Duration) {
    let timer = Duration::ZERO..=REFUSAL_DELAY_MAX;
    let (mut min, mut max) = (Duration::from_secs(1), Duration::from_secs(8));
    let Some(item) = table.get("refusal_delay") else { return (min, max) };
    let Some(inner) = item.table(notes, "{ min = \"1s\", max = \"8s\" }") else { return (min, max) };
    inner.check_keys(notes, &keys::REFUSAL_DELAY);
    min = inner.duration(notes, "min", timer.clone(), min);
    max = inner.duration(notes, "max", timer, max);
    if min > max {
        notes.error(item.place, item.path(), "min is longer than max");
    }
    (min, max)
}

fn read_ban(table: &Table<'_>, notes: &mut Notes) -> admission::Ban {
    let (over, for_time) = (Duration::from_secs(60), Duration::from_secs(600));
    let default = admission::Ban { failures: 20, over, for_time, never: Vec::new() };
    let Some(item) = table.get("ban") else { return default };
    let Some(inner) = item.table(notes, "{ failures = 20, over = \"1m\", for = \"10m\" }") else {
        return default;
    };
    inner.check_keys(notes, &keys::BAN);
    let timer = || TIMER_MIN..=BAN_MAX;
    admission::Ban {
        failures: inner.count(notes, "failures", 0..=BAN_FAILURES_MAX, default.failures),
        over: inner.duration(notes, "over", timer(), over),
        for_time: inner.duration(notes, "for", timer(), for_time),
        never: read_blocks(&inner, "never", notes),
    }
}

fn read_address(
    table: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
    notes: &mut Notes,
) -> Option<SocketAddr> {
    let allowed = "an IP address and port, such as \"0.0.0.0:2775\" or \"[::]:2775\"";
    let Some(item) = table.get("address") else {
        table.missing(notes, "address", allowed);
        return None;
    };
    let Some(address) = item.value.as_str().and_then(|text| text.parse::<SocketAddr>().ok()) else {
        item.refuse(notes, allowed);
        return None;
    };
    if let Some((_, first)) = taken.iter().find(|(other, _)| clash(*other, address)) {
        let message = format!("{address} is taken by another listener");
        notes.error(item.place, item.path(), message).other(*first, "taken here");
    }
    taken.push((address, item.place));
    Some(address)
}

/// True when two sockets cannot listen on both; port 0 is a free one each time.
pub(super) fn clash(one: SocketAddr, two: SocketAddr) -> bool {
    let overlap = one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified();
    one.port() == two.port() && one.port() != 0 && one.is_ipv4() == two.is_ipv4() && overlap
}

fn read_pdu_max(table: &Table<'_>, notes: &mut Notes) -> u32 {
    let default = PDU_MAX_DEFAULT as u32;
    let Some(item) = table.get("pdu_max") else {
        return default;
    };
    let octets = item.value.as_str().and_then(units::size);
    let octets = octets.filter(|octets| (PDU_MAX_MIN as u64..=PDU_MAX as u64).contains(octets));
    if octets.is_none() {
        item.refuse(notes, "a size from \"1KiB\" to \"1MiB\", in B, KiB or MiB");
    }
    octets.map_or(default, |octets| octets as u32)
}

const _: () = assert!(PDU_MAX_MIN == 1 << 10 && PDU_MAX == 1 << 20, "the text above names them");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_ascends_and_names_each_once() {
        assert_eq!(cpus("0-3,6"), Some(vec![0, 1, 2, 3, 6]));
        assert_eq!(cpus("5"), Some(vec![5]));
        assert_eq!(cpus("0-63").map(|cpus| cpus.len()), Some(SHARDS_MAX));
        for wrong in
            ["", "0-64", "0-3,3", "4,2", "3-1", "0,,1", "a", "1-", "-1", "+1", "0-3-5", "1024", "0 ,1"]
        {
            assert_eq!(cpus(wrong), None, "{wrong}");
        }
    }
}
