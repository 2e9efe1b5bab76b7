//! Receipts: early, with ids in every style, of long messages, of every state, several of one message, and never to
//! the wrong account.

use crate::figures::{account, carrier, figure, one_to_one, pool, scaled};
use crate::smsc::{Act, Ids, Says};
use crate::streams::Draft;
use crate::world::World;
use bindery::counters::Match;
use bindery::limits::{LEDGER_RECENT_MAX, PARKED_MAX};
use bindery::prng::Prng;
use bindery::smpp::status::CommandStatus;
use bindery::time::Duration;

const OK: CommandStatus = CommandStatus::OK;

/// Between these, in milliseconds.
pub(crate) fn millis(prng: &mut Prng, low: u64, high: u64) -> Duration {
    Duration::from_millis(low + prng.below(high - low + 1))
}

/// Messages that were accepted and whose final receipt did not come, or came more than once.
fn without_one_final(world: &World) -> usize {
    world.messages.iter().filter(|message| message.status == 0 && message.finals != 1).count()
}

/// Nobody waits for anything any more: answered, and all that carriers offer was taken.
pub(crate) fn settle(world: &mut World, limit: u64) {
    world.run_until(Duration::from_secs(limit), World::all_answered);
    world.run_for(Duration::from_secs(30));
}

#[test]
fn up_01_receipt_before_response() {
    let count = scaled(20_000, 1_000_000);
    let keys = "bind = \"tx+rx\"\nsessions = 4\nwindow_max = 1000\nqueue_max = 10_000";
    let mut world = World::up(&one_to_one("window_max = 4000", keys), 2, 1);
    world.bound(0, 1);
    world.script(0, |prng, _| {
        if !prng.chance(1, 10) {
            return vec![
                Act::Answer(millis(prng, 5, 50), OK),
                Act::Receipt(millis(prng, 60, 900), "DELIVRD"),
            ];
        }
        let early = millis(prng, 1, 500);
        vec![Act::Receipt(early, "DELIVRD"), Act::Answer(early + millis(prng, 0, 5000), OK)]
    });
    world.carriers[0].elsewhere = true;
    world.stream(0, count, Duration::ZERO, 1000);
    let (mut parked, mut retained) = (0, 0);
    while !world.all_answered() {
        world.run_for(Duration::from_millis(200));
        parked = parked.max(world.carrier_cells(0).parked.get());
        retained = retained.max(world.sum(|all| all.retained.get()));
    }
    world.run_for(Duration::from_secs(30));
    world.assert_each_once();
    world.assert_base();
    let unmatched = without_one_final(&world);
    let cap = 2 * PARKED_MAX as u64;
    figure(
        "UP-01",
        "up_01_receipt_before_response",
        &format!("{count} messages, every tenth receipt 0-5 s before its response, on another bind"),
        &format!(
            "{unmatched} unmatched, {} were offered again, most parked {parked}, most octets held {retained}",
            world.carriers[0].receipts_refused
        ),
        &format!("all matched, parked at most {cap}"),
    );
    assert_eq!((unmatched, world.answered(OK) as u64), (0, count), "{}", world.tally());
    assert!(parked > 0 && parked <= cap, "{parked}");
}

#[test]
fn up_01_receipt_whose_response_never_comes() {
    let count = scaled(2000, 100_000);
    let keys = "bind = \"tx+rx\"\nsessions = 4\nwindow_max = 100\nresponse_timeout = \"2s\"";
    let mut world = World::up(&one_to_one("window_max = 4000\nanswer_timeout = \"3s\"", keys), 2, 1);
    world.bound(0, 1);
    world.script(0, |prng, _| vec![Act::Receipt(millis(prng, 1, 500), "DELIVRD")]);
    world.carriers[0].offers_max = 1;
    world.stream(0, count, Duration::ZERO, 100);
    settle(&mut world, 7200);
    let asked = world.carriers[0].asked;
    let orphans = world.matched(0, Match::Orphan);
    figure(
        "UP-01",
        "up_01_receipt_whose_response_never_comes",
        &format!("{asked} receipts of messages whose response never comes"),
        &format!("{orphans} orphans, {} held at the end", world.carrier_cells(0).parked.get()),
        "as many orphans as receipts, nothing held",
    );
    assert_eq!((orphans, asked), (asked, count));
    world.assert_base();
}

/// The styles: name, how a response and how a receipt writes a number, where the receipt says it.
fn styles() -> Vec<(&'static str, Ids, Says)> {
    const WIDE: u128 = 1 << 100;
    let dec: fn(u64) -> String = |id| id.to_string();
    let hex: fn(u64) -> String = |id| format!("{id:x}");
    let upper: fn(u64) -> String = |id| format!("{id:X}");
    vec![
        ("dec, dec", (dec, dec), Says::Both),
        ("hex lower, dec", (hex, dec), Says::Both),
        ("hex upper, hex lower", (upper, hex), Says::Both),
        ("dec, hex padded to 8", (dec, |id| format!("{id:08X}")), Says::Both),
        ("dec, dec padded to 10", (dec, |id| format!("{id:010}")), Says::Both),
        ("hex padded to 20, hex", (|id| format!("{id:020x}"), hex), Says::Both),
        (
            "over 64 bits, hex, dec",
            (|id| format!("{:x}", WIDE + u128::from(id)), |id| (WIDE + u128::from(id)).to_string()),
            Says::Both,
        ),
        (
            "UUID",
            (
                |id| format!("0e999f21-0000-4000-8000-{id:012x}"),
                |id| format!("0E999F21-0000-4000-8000-{id:012X}"),
            ),
            Says::Both,
        ),
        ("letters and dashes", (|id| format!("gw-{id}-A"), |id| format!("gw-{id}-A")), Says::Both),
        ("TLV only", (dec, dec), Says::Tlv),
        ("text only", (upper, dec), Says::Text),
        ("TLV right, text of another", (dec, dec), Says::TlvNotText),
    ]
}

/// Messages of one style, and those of them whose receipts were not matched: among the first hundred, and later.
fn run_style(ids: Ids, says: Says, first: u64, count: u64) -> (usize, usize) {
    let mut world = World::up(&one_to_one("window_max = 1000", "window_max = 50"), 1, 2);
    world.bound(0, 1);
    world.script(0, |prng, _| {
        vec![Act::Answer(millis(prng, 2, 20), OK), Act::Receipt(millis(prng, 30, 1000), "DELIVRD")]
    });
    let smsc = &mut world.carriers[0];
    (smsc.ids, smsc.says, smsc.first, smsc.offers_max) = (ids, says, first, 3);
    world.stream(0, count, Duration::ZERO, 40);
    settle(&mut world, 100_000);
    world.assert_each_once();
    let missed: Vec<bool> = world.messages.iter().map(|message| message.finals != 1).collect();
    let misses = |among: &[bool]| among.iter().filter(|missed| **missed).count();
    (misses(&missed[..100]), misses(&missed[100..]))
}

#[test]
fn up_02_ids_in_every_style() {
    let count = scaled(1500, 100_000);
    let mut lines = Vec::new();
    for (name, ids, says) in styles() {
        let (early, late) = run_style(ids, says, 4_000_000_000, count);
        if early + late > 0 {
            lines.push(format!("{name}: {early} of the first 100, {late} later"));
        }
    }
    let missed = lines.join("; ");
    figure(
        "UP-02",
        "up_02_ids_in_every_style",
        &format!("12 styles of ids, {count} messages each, no setting"),
        &format!("not matched: {}", if missed.is_empty() { "none" } else { &missed }),
        "99.999 % after the first 100, no wrong match",
    );
    assert!(lines.is_empty(), "{missed}");
}

#[test]
fn up_02_ids_that_are_another_s_in_another_base() {
    let count = scaled(3000, 200_000);
    let dec: fn(u64) -> String = |id| id.to_string();
    let hex: fn(u64) -> String = |id| format!("{id:x}");
    let mut late = 0;
    for ids in [(dec, hex), (hex, dec), (dec, dec), (hex, hex)] {
        late += run_style(ids, Says::Both, 10, count).1;
    }
    figure(
        "UP-02",
        "up_02_ids_that_are_another_s_in_another_base",
        &format!("4 styles with ids counted from 10, {count} messages each"),
        &format!("0 matched wrongly, {late} of the later ones not matched"),
        "none matched wrongly, 99.999 % after the first 100",
    );
    assert_eq!(late, 0);
}

/// A part of a long message: which, of how many.
fn part(long: u32, total: u8, number: u8) -> Draft {
    let mut draft = Draft::plain(long);
    draft.esm_class = 0x40;
    draft.text = vec![5, 0, 3, long as u8, total, number, b'x'];
    draft
}

#[test]
fn up_04_receipts_of_long_messages() {
    let count = scaled(300, 20_000);
    let mut wrong = 0;
    let mut parts = 0;
    for (seed, receipted) in [
        (1, (|number, _| number == 1) as fn(u8, u8) -> bool),
        (2, |number, total| number == total),
        (3, |_, _| true),
        (4, |_, _| false),
    ] {
        let mut world =
            World::up(&one_to_one("window_max = 1000", "sessions = 2\nwindow_max = 500"), 2, seed);
        let wire = world.bound(0, 1)[0];
        world.script(0, move |prng, asked| {
            let text = asked.sm().content.short_message;
            let mut acts = vec![Act::Answer(millis(prng, 1, 800), OK)];
            if receipted(text[5], text[4]) {
                acts.push(Act::Receipt(millis(prng, 1, 1500), "DELIVRD"));
            }
            acts
        });
        let mut wanted = Vec::new();
        for long in 0..count {
            let total = 2 + (long % 9) as u8;
            for number in 1..=total {
                world.submit(0, wire, |_| part(long as u32, total, number));
                wanted.push(u8::from(receipted(number, total)));
            }
            if long % 20 == 19 {
                world.run_for(Duration::from_millis(500));
            }
        }
        settle(&mut world, 600);
        world.assert_each_once();
        parts += wanted.len();
        wrong +=
            world.messages.iter().zip(&wanted).filter(|(message, wanted)| message.finals != **wanted).count();
    }
    figure(
        "UP-04",
        "up_04_receipts_of_long_messages",
        &format!(
            "{parts} parts of messages of 2-10, answers and receipts in any order; the carrier receipts the first, the last, all or none"
        ),
        &format!(
            "{wrong} parts with a receipt too many or too few (policy: as submitted; others are not in the product)"
        ),
        "exactly what the policy says",
    );
    assert_eq!(wrong, 0);
}

const STATS: [&str; 8] =
    ["ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"];

/// What a carrier that honours registered_delivery (SMPP 5.0 §4.7.21) sends for a message that ends so.
fn is_wanted(registered: u8, stat: &str) -> bool {
    if matches!(stat, "ENROUTE" | "ACCEPTD") {
        return registered & 0x10 != 0;
    }
    match registered & 3 {
        1 => true,
        2 => stat != "DELIVRD",
        3 => stat == "DELIVRD",
        _ => false,
    }
}

#[test]
fn up_05_registered_delivery_passes_and_is_kept() {
    let mut wrong = Vec::new();
    let mut cells = 0;
    for says in [Says::Text, Says::Tlv, Says::Both] {
        let mut world = World::up(&one_to_one("window_max = 1000", "window_max = 200"), 1, 3);
        let wire = world.bound(0, 1)[0];
        world.carriers[0].says = says;
        world.script(0, |_, asked| {
            let sm = asked.sm();
            let stat = STATS[usize::from(sm.content.short_message[0])];
            let mut acts = vec![Act::Answer(Duration::from_millis(5), OK)];
            if is_wanted(sm.content.registered_delivery, stat) {
                acts.push(Act::Receipt(Duration::from_millis(50), stat));
            }
            acts
        });
        // Bits 0-1 the final receipt, 2-3 the handset's own acknowledgement, 4 the intermediate one.
        for registered in (0..4).chain(4..16).chain(16..32) {
            for (at, stat) in STATS.iter().enumerate() {
                let message = world.submit(0, wire, |message| Draft {
                    registered,
                    text: vec![at as u8],
                    ..Draft::plain(message)
                });
                world.run_for(Duration::from_millis(100));
                let told = world.messages[message as usize];
                let came = (told.finals + told.others, told.finals > 0);
                let intermediate = matches!(*stat, "ENROUTE" | "ACCEPTD");
                let wanted = is_wanted(registered, stat);
                let well = came.0 == u8::from(wanted) && (!wanted || told.stat == stat.as_bytes());
                if !well || (wanted && came.1 == intermediate) {
                    wrong.push(format!("{registered:#x} {stat} {says:?}: {told:?}"));
                }
                cells += 1;
            }
        }
    }
    figure(
        "UP-05",
        "up_05_registered_delivery_passes_and_is_kept",
        &format!("{cells} cells: 32 values of registered_delivery, 8 states, text, TLV or both"),
        &format!("{} wrong (layout, time zone and codes of one's own are not in the product)", wrong.len()),
        "0 wrong",
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The four, in an order.
fn permuted(prng: &mut Prng) -> [&'static str; 4] {
    let mut stats = ["ENROUTE", "ACCEPTD", "DELIVRD", "UNDELIV"];
    for at in (1..4).rev() {
        stats.swap(at, prng.below(at as u64 + 1) as usize);
    }
    stats
}

#[test]
fn up_06_receipts_that_contradict_each_other() {
    let count = scaled(70_000, 400_000);
    let mut world = World::up(&one_to_one("window_max = 4000", "sessions = 2\nwindow_max = 1000"), 2, 4);
    world.bound(0, 1);
    world.script(0, |prng, _| {
        let at = |n: u64| Duration::from_millis(100 + 200 * n);
        let stats = permuted(prng).into_iter().zip(0..).map(|(stat, n)| Act::Receipt(at(n), stat));
        core::iter::once(Act::Answer(Duration::from_millis(5), OK)).chain(stats).collect()
    });
    world.stream(0, count, Duration::from_micros(500), 1000);
    settle(&mut world, 100_000);
    // With the next message what is over is forgotten.
    let wire = world.esmes[0].sessions[0].0;
    world.submit(0, wire, Draft::plain);
    world.run_for(Duration::from_secs(5));
    world.assert_each_once();
    world.assert_base();
    let not_one = without_one_final(&world);
    let last_not_final =
        world.messages.iter().filter(|message| !matches!(&message.stat, b"DELIVRD" | b"UNDELIV")).count();
    let indexed = world.sum(|all| all.indexed.get());
    figure(
        "UP-06",
        "up_06_receipts_that_contradict_each_other",
        &format!("{count} messages with ENROUTE, ACCEPTD, DELIVRD and UNDELIV in any order"),
        &format!(
            "{not_one} without exactly one final, {last_not_final} told something after it, {indexed} messages known afterwards"
        ),
        &format!("one final each, nothing after it, at most {LEDGER_RECENT_MAX} known afterwards"),
    );
    assert_eq!((not_one, last_not_final), (0, 0), "{}", world.tally());
    assert!(indexed <= LEDGER_RECENT_MAX as u64 + 1, "{indexed}");
}

#[test]
fn up_31_a_hundred_clients_over_two_pairs_of_binds() {
    let count = scaled(200, 10_000);
    let mut text: String = (0..100).map(|at| account(&format!("client{at}"), "window_max = 50")).collect();
    let keys =
        "bind = \"tx+rx\"\nsessions = 4\nwindow_max = 200\nreconnect = { min = \"100ms\", max = \"1s\" }";
    text += &(carrier("alpha", keys) + &pool("", &[("alpha", 1, 1)]));
    let mut world = World::up(&text, 4, 5);
    for client in 0..100 {
        world.bound(client, 1);
    }
    world.script(0, |prng, _| {
        vec![Act::Answer(millis(prng, 1, 60), OK), Act::Receipt(millis(prng, 10, 2000), "DELIVRD")]
    });
    world.carriers[0].elsewhere = true;
    world.carriers[0].offers_max = 100;
    for client in 0..100 {
        world.stream(client, count, Duration::from_millis(20), 50);
    }
    let mut flaps = 0;
    while !world.all_answered() {
        world.run_for(Duration::from_millis(150));
        let sessions = world.carriers[0].sessions.len() as u64;
        if sessions > 0 {
            let at = world.prng.below(sessions) as usize;
            let wire = world.carriers[0].sessions[at].0;
            world.net.reset(wire);
            flaps += 1;
        }
    }
    // A receipt whose response was lost is offered a hundred times.
    world.run_for(Duration::from_secs(600));
    world.assert_base();
    let (accepted, missing) = (world.answered(OK), without_one_final(&world));
    figure(
        "UP-31",
        "up_31_a_hundred_clients_over_two_pairs_of_binds",
        &format!(
            "100 clients, 2 TX and 2 RX binds of one carrier, {} messages, {flaps} binds lost",
            world.messages.len()
        ),
        &format!(
            "0 receipts or answers to another client, {accepted} accepted, {missing} of them without their receipt"
        ),
        "none to another client, none missing",
    );
    assert_eq!(missing, 0, "{}", world.tally());
    assert!(flaps > 3 && accepted * 10 > world.messages.len() * 2, "{flaps} {accepted}");
}
