//! What a message carries: parts that belong together, bodies, TLVs, and PDUs that are none.

use crate::figures::{account, carrier, figure, one_to_one, pool, scaled};
use crate::net::WireId;
use crate::smsc::Act;
use crate::streams::{Draft, header};
use crate::world::{NUMBER, World};
use bindery::prng::Prng;
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Pdu, write_pdu};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::{Tag, Tlvs, write_tlv};
use bindery::time::Duration;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

const OK: CommandStatus = CommandStatus::OK;

/// Long messages of five parts, shuffled over eight binds and four carriers; those whose parts went to several carriers.
fn spread(count: u64, loss: bool) -> (usize, usize, String) {
    let keys = "window_max = 200\nreconnect = { min = \"200ms\", max = \"2s\" }";
    let mut text = account("a", "sessions_max = 8\nwindow_max = 1000");
    let names = ["alpha", "beta", "gamma", "delta"];
    names.iter().for_each(|name| text += &carrier(name, keys));
    text += &pool("", &names.map(|name| (name, 1, 1)));
    let mut world = World::up(&text, 4, 21);
    let wires = world.bound(0, 8);
    // Which long message each part is of.
    let mut longs = Vec::new();
    for first in (0..count).step_by(20) {
        let mut parts: Vec<(u64, u8)> =
            (first..first + 20).flat_map(|long| (1..=5).map(move |n| (long, n))).collect();
        for at in (1..parts.len()).rev() {
            parts.swap(at, world.prng.below(at as u64 + 1) as usize);
        }
        for (at, (long, number)) in parts.into_iter().enumerate() {
            let wire = wires[world.prng.below(8) as usize];
            longs.push(long);
            world.submit(0, wire, |_| Draft {
                to: format!("38160{long:07}").into_bytes(),
                esm_class: 0x40,
                text: vec![5, 0, 3, long as u8, 5, number, b'x'],
                ..Draft::plain(long as u32)
            });
            if at % 25 == 0 {
                world.run_for(Duration::from_millis(3));
            }
            // A carrier goes in the middle of its messages.
            if loss && at == 50 && first % 200 == 0 {
                let carrier = world.prng.below(4) as usize;
                let lost: Vec<WireId> =
                    world.carriers[carrier].sessions.iter().map(|(wire, _)| *wire).collect();
                lost.into_iter().for_each(|wire| world.net.reset(wire));
            }
        }
        world.run_for(Duration::from_millis(20));
    }
    world.run_until(Duration::from_secs(120), World::all_answered);
    let mut carriers = vec![BTreeSet::new(); count as usize];
    for (message, long) in world.messages.iter().zip(longs) {
        if message.copies > 0 {
            carriers[long as usize].insert(message.carrier);
        }
    }
    let mixed = carriers.iter().filter(|carriers| carriers.len() > 1).count();
    let used: BTreeSet<u8> = carriers.iter().flatten().copied().collect();
    assert_eq!(used.len(), 4, "all carriers have a share");
    (mixed, world.answered(OK), world.tally())
}

#[test]
fn up_14_parts_of_a_message_take_one_way() {
    let count = scaled(10_000, 1_000_000);
    let (mixed, accepted, tally) = spread(count, false);
    figure(
        "UP-14",
        "up_14_parts_of_a_message_take_one_way",
        &format!("{count} messages of 5 parts shuffled over 8 binds, 4 carriers"),
        &format!("{mixed} over several carriers, {accepted} parts accepted"),
        "none over several",
    );
    assert_eq!((mixed, accepted as u64), (0, 5 * count), "{tally}");
}

#[test]
fn up_14_a_carrier_lost_in_the_middle_mixes_none() {
    let count = scaled(10_000, 200_000);
    let (mixed, accepted, tally) = spread(count, true);
    figure(
        "UP-14",
        "up_14_a_carrier_lost_in_the_middle_mixes_none",
        &format!("as above with {count} messages, a carrier lost in the middle of every tenth batch"),
        &format!("{mixed} over several carriers, {accepted} of {} parts accepted", 5 * count),
        "none over several",
    );
    assert_eq!(mixed, 0, "{tally}");
    assert!(accepted as u64 * 10 > 5 * count * 9, "{tally}");
}

/// A body that its number decides, for a data_coding.
fn body(message: u32) -> Draft {
    let mut prng = Prng::new(u64::from(message));
    let length = prng.below(255) as usize;
    Draft {
        data_coding: message as u8,
        text: (0..length).map(|_| prng.bits() as u8).collect(),
        ..Draft::plain(message)
    }
}

#[test]
fn up_16_bodies_pass_byte_for_byte() {
    let count = scaled(50_000, 5_000_000);
    let keys = "window_max = 500";
    let mut world = World::up(&one_to_one("window_max = 1000", keys), 2, 22);
    world.bound(0, 1);
    let spoiled = Rc::new(Cell::new(0_u64));
    let counts = Rc::clone(&spoiled);
    world.script(0, move |_, asked| {
        let (sm, sent) = (asked.sm(), body(asked.message));
        let same = sm.content.short_message == sent.text && sm.content.data_coding == sent.data_coding;
        counts.set(counts.get() + u64::from(!same));
        vec![Act::Answer(Duration::from_millis(1), OK)]
    });
    world.stream_with((0, count, Duration::ZERO, 400), |_, message| body(message));
    world.run_until(Duration::from_secs(10_000), World::all_answered);
    world.assert_each_once();
    figure(
        "UP-16",
        "up_16_bodies_pass_byte_for_byte",
        &format!("{count} random bodies over all 256 values of data_coding"),
        &format!(
            "{} changed, {} accepted (conversion is not asked for in the product)",
            spoiled.get(),
            world.answered(OK)
        ),
        "0 changed",
    );
    assert_eq!((spoiled.get(), world.answered(OK) as u64), (0, count));
}

/// TLVs of any tag and length, that a seed decides; none that says what the message is.
fn tlvs(seed: u64, most: u64) -> Vec<u8> {
    let mut prng = Prng::new(seed);
    let mut out = Vec::new();
    let mut tag = 0;
    for _ in 0..prng.below(6) {
        // Repeated now and then.
        if !prng.chance(1, 4) {
            tag = prng.bits() as u16;
        }
        let meant = [NUMBER.0, Tag::MESSAGE_PAYLOAD.0, Tag::RECEIPTED_MESSAGE_ID.0];
        if meant.contains(&tag) {
            continue;
        }
        let length = if prng.chance(1, 3) { prng.below(most + 1) } else { prng.below(12) };
        let value: Vec<u8> = (0..length).map(|_| prng.bits() as u8).collect();
        write_tlv(&mut out, Tag(tag), &value);
    }
    out
}

#[test]
fn up_17_tlvs_pass_byte_for_byte() {
    let count = scaled(10_000, 500_000);
    let mut world = World::up(&one_to_one("window_max = 1000", "window_max = 500"), 2, 23);
    world.bound(0, 1);
    let changed = Rc::new(Cell::new(0_u64));
    let counts = Rc::clone(&changed);
    world.script(0, move |_, asked| {
        let mut sent = tlvs(u64::from(asked.message), 4096);
        write_tlv(&mut sent, NUMBER, &asked.message.to_be_bytes());
        counts.set(counts.get() + u64::from(asked.sm().content.tlvs.bytes() != sent));
        vec![Act::Answer(Duration::from_millis(1), OK)]
    });
    world.stream_with((0, count, Duration::ZERO, 200), |_, message| Draft {
        tlvs: tlvs(u64::from(message), 4096),
        ..Draft::plain(message)
    });
    world.run_until(Duration::from_secs(10_000), World::all_answered);
    world.assert_each_once();
    let back = tlvs_back(scaled(2000, 50_000));
    figure(
        "UP-17",
        "up_17_tlvs_pass_byte_for_byte",
        &format!(
            "{count} requests with TLVs of any tag, 0-4096 octets, some repeated; 2 ways back: responses of any status and deliveries"
        ),
        &format!(
            "{} changed to the carrier, {back} changed to the account (rules are not in the product)",
            changed.get()
        ),
        "0 changed",
    );
    assert_eq!((changed.get(), world.answered(OK) as u64, back), (0, count, 0), "{}", world.tally());
}

/// TLVs in responses, accepted and refused, and in MO; how many arrived otherwise than they were sent.
fn tlvs_back(count: u64) -> u64 {
    let text =
        one_to_one("window_max = 1000", "window_max = 500") + "[[mo_route]]\ndeliver = [{ esme = \"a\" }]\n";
    let mut world = World::up(&text, 2, 24);
    let esme = world.bound(0, 1)[0];
    world.script(0, |_, _| vec![]);
    let carrier = world.carriers[0].sessions[0].0;
    world.watch(esme);
    world.watch(carrier);
    let mut changed = 0;
    for round in 0..count {
        let extra = tlvs(round, 400);
        world.submit(0, esme, Draft::plain);
        world.run_for(Duration::from_millis(3));
        let asked = world.take_watched(carrier);
        let sequence = Pdu::whole(asked.last().expect("it was relayed")).expect("whole").sequence_number();
        let status = [OK, CommandStatus(0x451), CommandStatus::INVALID_DESTINATION][round as usize % 3];
        let mut answer = Vec::new();
        write_pdu(&mut answer, CommandId::SUBMIT_SM_RESP, status, sequence, |out| {
            out.extend_from_slice(format!("{round}\0").as_bytes());
            out.extend_from_slice(&extra);
        });
        world.net.send(carrier, answer);
        let content = Content { short_message: b"MO", tlvs: Tlvs::lenient(&extra), ..Content::default() };
        let source = Address { ton: 1, npi: 1, digits: b"38161" };
        let mut mo = Vec::new();
        let number = 1000 + round as u32;
        Sm { source, content, ..Sm::default() }.write(&mut mo, CommandId::DELIVER_SM, number);
        world.net.send(carrier, mo);
        world.run_for(Duration::from_millis(4));
        let came = world.take_watched(esme);
        let same = |pdu: &Vec<u8>| {
            pdu.ends_with(&extra) && Pdu::whole(pdu).is_some_and(|pdu| is_whole(&pdu, &extra))
        };
        changed += came.len().abs_diff(2) as u64 + came.iter().filter(|pdu| !same(pdu)).count() as u64;
    }
    changed
}

/// It has these TLVs and no others.
fn is_whole(pdu: &Pdu<'_>, extra: &[u8]) -> bool {
    match pdu.command_id() {
        CommandId::DELIVER_SM => Sm::parse_deliver(pdu).is_ok_and(|sm| sm.content.tlvs.bytes() == extra),
        _ => MessageIdResp::parse(pdu).tlvs().bytes() == extra,
    }
}

/// A PDU whose frame is well and whose inside is not.
fn broken(prng: &mut Prng, whole: &[u8]) -> Vec<u8> {
    let mut octets = whole.to_vec();
    match prng.below(4) {
        0 => octets.truncate(16 + prng.below(octets.len() as u64 - 15) as usize),
        1 => octets.extend((0..prng.below(40)).map(|_| prng.bits() as u8).collect::<Vec<_>>()),
        _ => {}
    }
    for _ in 0..prng.below(6) {
        // The command_id as well, the length not.
        let at = 4 + prng.below(octets.len() as u64 - 4) as usize;
        octets[at] = prng.bits() as u8;
    }
    let length = octets.len() as u32;
    octets[..4].copy_from_slice(&length.to_be_bytes());
    octets
}

/// Asks a peer of the node for life: it answers.
fn is_alive(world: &mut World, wire: WireId) -> bool {
    let sequence = world.number() | 0x4000_0000;
    world.take_watched(wire);
    world.net.send(wire, header(CommandId::ENQUIRE_LINK, OK, sequence));
    world.run_for(Duration::from_millis(5));
    let heard = world.take_watched(wire);
    let answer = header(CommandId::ENQUIRE_LINK_RESP, OK, sequence);
    world.net.is_open(wire) && heard.contains(&answer)
}

#[test]
fn up_18_a_broken_pdu_does_not_end_a_session() {
    let count = scaled(30_000, 1_000_000);
    let text = one_to_one(
        "window_max = 1000\nsessions_max = 4\nunanswered_max = 1_000_000",
        "window_max = 500\nresponse_timeout = \"1s\"",
    ) + "[[mo_route]]\ndeliver = [{ esme = \"a\" }]\n";
    let mut world = World::up(&text, 2, 25);
    let esme = world.bound(0, 1)[0];
    let carrier = world.carriers[0].sessions[0].0;
    // What is broken may reach the carrier, and its own deliveries the account: they are strangers here, and answer none.
    world.set_side(esme, crate::world::Side::Stranger);
    world.set_side(carrier, crate::world::Side::Stranger);
    world.watch(esme);
    world.watch(carrier);
    let mut deliver = Vec::new();
    let content = Content { esm_class: 4, short_message: b"id:4000000000 sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:DELIVRD err:000 text:M0", ..Content::default() };
    Sm { content, ..Sm::default() }.write(&mut deliver, CommandId::DELIVER_SM, 5);
    let mut response = Vec::new();
    MessageIdResp::new(b"4000000000").write(&mut response, CommandId::SUBMIT_SM_RESP, OK, 3);
    let (mut lost, mut dead) = (0, 0);
    for round in 0..count {
        let (wire, whole) = match round % 4 {
            0 | 1 => (esme, Draft::plain(1).write(1)),
            2 => (carrier, deliver.clone()),
            _ => (carrier, response.clone()),
        };
        let mut octets = broken(&mut world.prng, &whole);
        while Pdu::whole(&octets)
            .is_some_and(|pdu| matches!(pdu.command_id(), CommandId::UNBIND | CommandId::UNBIND_RESP))
        {
            octets = broken(&mut world.prng, &whole);
        }
        world.net.send(wire, octets);
        if round % 20 == 19 {
            dead += u64::from(!is_alive(&mut world, esme)) + u64::from(!is_alive(&mut world, carrier));
            lost += u64::from(!world.net.is_open(esme)) + u64::from(!world.net.is_open(carrier));
        }
        if dead > 0 {
            break;
        }
    }
    figure(
        "UP-18",
        "up_18_a_broken_pdu_does_not_end_a_session",
        &format!(
            "{count} PDUs with a good length and a broken inside, of an ESME and of a carrier (all vectors: tests/relay; coverage-guided: tests/fuzz)"
        ),
        &format!("{lost} sessions lost, {dead} that do not answer any more"),
        "0 and 0",
    );
    assert_eq!((lost, dead), (0, 0));
}
