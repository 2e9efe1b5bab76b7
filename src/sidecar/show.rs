//! A status for people: the verdict, what is not as it should be, then everything. Owns: the words. Takes: the document
//! of `/v1/status`. Gives: lines. Never: hides what is wrong below what is well.

use serde_json::Value;
use std::fmt::Write;

/// A message that waits longer for its carrier is worth a line.
const OLDEST_MS_MAX: u64 = 5_000;
/// A queue fuller than this share of its limit is worth a line, percent.
const QUEUE_PERCENT_MAX: u64 = 80;

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Everything, the verdict first.
#[must_use]
pub fn text_of(document: &Value) -> String {
    let exceptions = exceptions(document);
    let mut page = verdict(document, exceptions.is_empty()) + "\n";
    for exception in &exceptions {
        let _ = writeln!(page, "  {exception}");
    }
    if let Some(journal) = document.get("journal").filter(|journal| !journal.is_null()) {
        let _ = writeln!(page, "\n{}", journal_line(journal));
    }
    let _ = write!(page, "\nACCOUNTS\n{}", table(&accounts(document)));
    let _ = write!(page, "\nCARRIERS\n{}", table(&carriers(document)));
    let bad = bad_things(document);
    if bad.len() > 1 {
        let _ = write!(page, "\nBAD\n{}", table(&bad));
    }
    let _ = write!(page, "\nSESSIONS\n{}", table(&sessions(document)));
    for (what, name) in [("accounts", "accounts_unlisted"), ("sessions", "sessions_unlisted")] {
        let unlisted = number(document, name);
        if unlisted > 0 {
            let _ = writeln!(page, "and {unlisted} more {what}");
        }
    }
    page
}

/// The document with nothing but the accounts, carriers and sessions of this name; none when nobody has it.
#[must_use]
pub fn only(document: &Value, name: &str) -> Option<Value> {
    let mut document = document.clone();
    let mut found = false;
    for list in ["accounts", "carriers", "sessions"] {
        let rows = document.get_mut(list).and_then(Value::as_array_mut)?;
        rows.retain(|row| text(row, "name") == name);
        found |= !rows.is_empty();
    }
    document.as_object_mut()?.remove("strangers");
    found.then_some(document)
}

fn verdict(document: &Value, well: bool) -> String {
    let carriers = document.get("carrier_sessions").unwrap_or(&Value::Null);
    let mut line = format!(
        "{} {}/{} carrier sessions, {} ESME sessions, {} msg/s",
        if well { "OK" } else { "WARN" },
        number(carriers, "bound"),
        number(carriers, "configured"),
        number(document, "esme_sessions"),
        thousands(number(document, "messages_per_second")),
    );
    if let Some(oldest) = document.get("queue_oldest_ms").and_then(Value::as_u64) {
        let _ = write!(line, ", oldest queued {}", seconds(oldest));
    }
    line
}

fn journal_line(journal: &Value) -> String {
    let of = |name: &str| size(number(journal, name));
    let mut line = format!(
        "journal: {} of {}, {} free, ring {} %",
        of("bytes"),
        of("bytes_max"),
        of("free_bytes"),
        number(journal, "ring_used_bytes") * 100 / number(journal, "ring_max_bytes").max(1),
    );
    if let Some(millis) = journal.get("sync_ms").and_then(Value::as_f64) {
        let _ = write!(line, ", {} syncs of {millis:.2} ms", thousands(number(journal, "syncs")));
    }
    let failed = number(journal, "failed_files");
    if failed > 0 {
        let _ = write!(line, ", {failed} files given up");
    }
    line
}

/// What is not as it should be, a line each.
fn exceptions(document: &Value) -> Vec<String> {
    let mut lines: Vec<String> =
        list(document, "failing").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    lines.extend(list(document, "carriers").iter().flat_map(carrier_exceptions));
    for session in list(document, "sessions") {
        if session.get("paused").and_then(Value::as_bool) == Some(true) {
            let (name, theirs) = (text(session, "name"), number(session, "theirs"));
            lines.push(format!("session of {name} ({}): paused, {theirs} in flight", text(session, "peer")));
        }
    }
    lines
}

fn carrier_exceptions(carrier: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let name = text(carrier, "name");
    let slots = list(carrier, "slots");
    let bound = bound(slots);
    if bound < slots.len() {
        let mut line = format!("carrier {name}: {bound}/{} sessions bound", slots.len());
        if let Some(next) = slots.iter().filter_map(|slot| slot.get("dial_in_ms")?.as_u64()).min() {
            let _ = write!(line, ", dials in {}", seconds(next));
        }
        if let Some(error) = carrier.get("last_error").filter(|error| !error.is_null()) {
            let ago = seconds(number(error, "ago_ms"));
            let _ = write!(line, ", last error {ago} ago: {}", text(error, "reason"));
        }
        lines.push(line);
    }
    let (queue, most) = (number(carrier, "queue"), number(carrier, "queue_max"));
    if queue * 100 > most * QUEUE_PERCENT_MAX {
        lines.push(format!("carrier {name}: {queue} of at most {most} messages wait"));
    }
    let oldest = number(carrier, "queue_oldest_ms");
    if oldest > OLDEST_MS_MAX {
        lines.push(format!("carrier {name}: a message has waited {}", seconds(oldest)));
    }
    if carrier.get("pace_cut").and_then(Value::as_bool) == Some(true) {
        lines.push(format!("carrier {name}: it throttles, the pace is cut to {}", pace(carrier)));
    }
    lines
}

fn bound(slots: &[Value]) -> usize {
    slots.iter().filter(|slot| text(slot, "state") == "bound").count()
}

fn pace(carrier: &Value) -> String {
    let pace = carrier.get("pace_per_second").and_then(Value::as_f64);
    pace.map_or("-".to_owned(), |pace| format!("{pace:.0}/s"))
}

type Row = Vec<String>;

fn heading(names: &[&str]) -> Row {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn accounts(document: &Value) -> Vec<Row> {
    let names = ["account", "sessions", "receiving", "in flight", "waiting", "limited by"];
    let mut rows = vec![heading(&names)];
    rows.extend(list(document, "accounts").iter().map(|account| {
        let numbers = ["sessions", "receivers", "in_flight", "waiting"];
        let name = text(account, "name").to_owned();
        let numbers = numbers.map(|name| number(account, name).to_string());
        [name].into_iter().chain(numbers).chain([text(account, "limited_by").to_owned()]).collect()
    }));
    rows
}

fn carriers(document: &Value) -> Vec<Row> {
    let names = [
        "carrier",
        "bound",
        "window",
        "queue",
        "oldest",
        "pace",
        "answers",
        "expected",
        "latency",
        "limited by",
        "id form",
        "last error",
    ];
    let mut rows = vec![heading(&names)];
    let a_second = |carrier: &Value, name: &str| {
        carrier.get(name).and_then(Value::as_u64).map_or("-".to_owned(), |rate| format!("{rate}/s"))
    };
    rows.extend(list(document, "carriers").iter().map(|carrier| {
        let slots = list(carrier, "slots");
        let error = carrier.get("last_error").filter(|error| !error.is_null());
        let error = error
            .map(|error| format!("{} ({} ago)", text(error, "reason"), seconds(number(error, "ago_ms"))));
        let oldest = carrier.get("queue_oldest_ms").and_then(Value::as_u64).map(seconds);
        let latency = carrier.get("latency_ms").and_then(Value::as_f64);
        vec![
            text(carrier, "name").to_owned(),
            format!("{}/{}", bound(slots), slots.len()),
            format!("{}/{}", number(carrier, "window_used"), number(carrier, "window_max")),
            format!("{}/{}", number(carrier, "queue"), number(carrier, "queue_max")),
            oldest.unwrap_or_else(|| "-".to_owned()),
            pace(carrier),
            a_second(carrier, "rate_per_second"),
            a_second(carrier, "expected_per_second"),
            latency.map_or("-".to_owned(), |millis| format!("{millis:.1} ms")),
            text(carrier, "limited_by").to_owned(),
            text(carrier, "message_id_form").to_owned(),
            error.unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    rows
}

/// The last bad thing of each kind that each peer did.
fn bad_things(document: &Value) -> Vec<Row> {
    let mut rows = vec![heading(&["name", "what", "ago", "reason", "peer", "octet", "octets"])];
    let mut add = |name: &str, bad: &Value| {
        let offset = bad.get("offset").and_then(Value::as_u64);
        rows.push(vec![
            name.to_owned(),
            text(bad, "what").to_owned(),
            seconds(number(bad, "ago_ms")),
            text(bad, "reason").to_owned(),
            text(bad, "peer").to_owned(),
            offset.map_or("-".to_owned(), |offset| offset.to_string()),
            text(bad, "octets").to_owned(),
        ]);
    };
    for peer in list(document, "accounts").iter().chain(list(document, "carriers")) {
        list(peer, "bad").iter().for_each(|bad| add(text(peer, "name"), bad));
    }
    list(document, "strangers").iter().for_each(|bad| add("-", bad));
    rows
}

fn sessions(document: &Value) -> Vec<Row> {
    let names = ["side", "name", "peer", "state", "version", "window", "theirs", "age", "heard"];
    let mut rows = vec![heading(&names)];
    rows.extend(list(document, "sessions").iter().map(|session| {
        let mut row: Row =
            ["side", "name", "peer", "state", "version"].map(|name| text(session, name).to_owned()).into();
        row.extend([
            format!("{}/{}", number(session, "window_used"), number(session, "window_max")),
            number(session, "theirs").to_string(),
            seconds(number(session, "age_ms")),
            seconds(number(session, "heard_ms")),
        ]);
        row
    }));
    rows
}

/// Columns as wide as their widest cell.
fn table(rows: &[Row]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut page = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        page.push_str("  ");
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page
}

fn seconds(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

fn size(octets: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    let unit = UNITS.into_iter().find(|(each, _)| octets >= *each);
    unit.map_or_else(
        || format!("{} KiB", octets >> 10),
        |(each, name)| format!("{:.1} {name}", octets as f64 / each as f64),
    )
}

fn thousands(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { format!("{}.{}k", count / 1000, count % 1000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(state: &str) -> Value {
        json!({
            "ready": true, "failing": [], "draining": false,
            "carrier_sessions": { "bound": 6, "configured": 6 },
            "esme_sessions": 214, "messages_per_second": 41_234, "queue_oldest_ms": 820,
            "accounts": [{ "name": "acme", "sessions": 2, "receivers": 1, "in_flight": 7, "waiting": 0 }],
            "carriers": [{
                "name": "alpha",
                "slots": [{ "bind": "trx", "state": state, "dial_in_ms": 3_200 }],
                "window_used": 3, "window_max": 50, "queue": 1, "queue_max": 1000, "queue_oldest_ms": 820,
                "pace_per_second": null, "pace_cut": false, "message_id_form": "hex",
                "rate_per_second": 49, "expected_per_second": 50, "latency_ms": 19.96, "limited_by": "window",
                "last_error": { "reason": "Connection refused", "ago_ms": 2_000 },
            }],
            "sessions": [{ "side": "esme", "name": "acme" }, { "side": "esme", "name": "bank" }],
            "strangers": [{
                "what": "malformed_pdu", "reason": "command_length", "offset": 0, "octets": "47455420",
                "peer": "10.0.0.9:1", "ago_ms": 1_500,
            }],
        })
    }

    #[test]
    fn the_verdict_comes_first_and_all_is_well_without_an_exception() {
        let page = text_of(&document("bound"));
        let verdict = "OK 6/6 carrier sessions, 214 ESME sessions, 41.2k msg/s, oldest queued 0.8 s";
        assert_eq!(page.lines().next(), Some(verdict));
        assert_eq!(page.lines().nth(1), Some(""));
        assert!(page.contains(
            "  alpha    1/1    3/50    1/1000  0.8 s   -     49/s     50/s      20.0 ms  window      hex      \
             Connection refused (2.0 s ago)\n"
        ));
    }

    #[test]
    fn a_journal_has_one_line_and_a_node_without_one_none() {
        let mut document = document("bound");
        assert!(!text_of(&document).contains("journal"));
        document["journal"] = json!({
            "bytes": 201_326_592_u64, "bytes_max": 21_474_836_480_u64, "free_bytes": 1_649_267_441_664_u64,
            "ring_used_bytes": 4_194_304, "ring_max_bytes": 33_554_432, "syncs": 12_345, "sync_ms": 0.417,
            "failed_files": 0,
        });
        let line = "journal: 192.0 MiB of 20.0 GiB, 1.5 TiB free, ring 12 %, 12.3k syncs of 0.42 ms";
        assert_eq!(text_of(&document).lines().nth(2), Some(line));
        document["journal"]["failed_files"] = json!(2);
        document["journal"]["sync_ms"] = Value::Null;
        document["journal"]["free_bytes"] = json!(1023);
        let line = "journal: 192.0 MiB of 20.0 GiB, 0 KiB free, ring 12 %, 2 files given up";
        assert_eq!(text_of(&document).lines().nth(2), Some(line));
    }

    #[test]
    fn what_strangers_did_is_shown_and_only_one_name_when_one_is_asked_for() {
        let document = document("bound");
        let bad = "  -     malformed_pdu  1.5 s  command_length  10.0.0.9:1  0      47455420\n";
        assert!(text_of(&document).contains(bad), "{}", text_of(&document));
        let acme = only(&document, "acme").unwrap();
        assert_eq!((list(&acme, "accounts").len(), list(&acme, "sessions").len()), (1, 1));
        assert!(list(&acme, "carriers").is_empty() && !text_of(&acme).contains("malformed"));
        assert_eq!(only(&document, "nobody"), None);
    }

    #[test]
    fn a_session_that_is_not_bound_is_an_exception_with_its_reason() {
        let page = text_of(&document("waiting"));
        assert!(page.starts_with("WARN "));
        let exception =
            "  carrier alpha: 0/1 sessions bound, dials in 3.2 s, last error 2.0 s ago: Connection refused";
        assert_eq!(page.lines().nth(1), Some(exception));
    }

    #[test]
    fn a_full_queue_an_old_message_and_a_cut_pace_are_exceptions() {
        let mut document = document("bound");
        let carrier = &mut document["carriers"][0];
        carrier["queue"] = json!(801);
        carrier["queue_oldest_ms"] = json!(5_001);
        carrier["pace_cut"] = json!(true);
        carrier["pace_per_second"] = json!(12.5);
        let page = text_of(&document);
        assert!(page.starts_with("WARN ") && page.contains("801 of at most 1000 messages wait"));
        assert!(page.contains("a message has waited 5.0 s") && page.contains("the pace is cut to 12/s"));
    }
}
