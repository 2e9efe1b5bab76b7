//! Damage to a journal at rest: found wherever it is, and only the records that it touches are lost.

use crate::disk::SimDisk;
use crate::world::{GEOMETRY, Known, World, known};
use bindery::journal::disk::{FileKind, read_name};
use bindery::journal::header::SegmentHeader;
use bindery::journal::prepare::Done;
use bindery::journal::recover::{Recovered, Recovery, Refusal, Verdict};
use bindery::journal::scan::scan;
use bindery::journal::space::SpaceLimits;
use bindery::journal::{Disk, Durability, PAGE, Preparer};
use bindery::prng::Prng;
use bindery::time::Instant;
use std::collections::BTreeMap;

type Read = BTreeMap<u64, Known>;

fn read(disk: &mut SimDisk) -> Result<(Recovered, Read), Refusal> {
    let mut read = Read::new();
    let recovery = Recovery { shard: 0, journal: None };
    let recovered = recovery.run(disk, &mut |frame, _| {
        read.insert(frame.lsn.0, known(frame));
    })?;
    Ok((recovered, read))
}

/// With the first each batch has pages of its own, with the second several share one.
const BOTH: [Durability; 2] = [Durability::Strict, Durability::Process];

/// A journal at rest, without damage, and what it says.
fn sound(messages: u64) -> (World, Recovered, Read) {
    sound_with(messages, Durability::Strict)
}

fn sound_with(messages: u64, durability: Durability) -> (World, Recovered, Read) {
    let mut world = World::new(5, durability, None);
    for _ in 0..3 {
        world.work().unwrap();
        world.rest();
    }
    world.fill(messages);
    world.rest();
    let (recovered, records) = read(&mut world.disk).unwrap();
    assert!(recovered.report.verdict() <= Verdict::Torn && records.len() > 100, "{:?}", recovered.report);
    assert!(recovered.segments.len() > 3);
    (world, recovered, records)
}

/// Where the last batch that is known to be durable ends, in the last segment: what is behind may look torn.
fn known_durable(recovered: &Recovered, lsn: u64) -> bool {
    lsn <= recovered.report.durable.0
}

/// Reads a damaged journal and holds it to the sound one. Says how it was judged and how many records are gone.
fn judge(disk: &mut SimDisk, before: &Recovered, records: &Read) -> (Verdict, usize) {
    let (after, found) = read(disk).unwrap();
    for (lsn, record) in &found {
        assert_eq!(Some(record), records.get(lsn), "record {lsn} was invented");
    }
    let gone: Vec<u64> = records.keys().copied().filter(|lsn| !found.contains_key(lsn)).collect();
    let needed = |lsn: &u64| *lsn >= before.report.front.0 && known_durable(before, *lsn);
    let verdict = after.report.verdict();
    let told = |lsn: u64| after.report.missing.iter().any(|gap| gap.first.0 <= lsn && lsn <= gap.last.0);
    for lsn in gone.iter().filter(|lsn| needed(lsn) && **lsn <= after.report.durable.0) {
        assert!(told(*lsn), "record {lsn} is gone and {:?} does not say so", after.report);
        assert_eq!(verdict, Verdict::Missing);
    }
    (verdict, gone.len())
}

fn segments(recovered: &Recovered) -> Vec<String> {
    recovered.segments.iter().map(|segment| segment.name.clone()).collect()
}

#[test]
fn one_flipped_bit_costs_at_most_one_record_and_is_seen() {
    BOTH.into_iter().for_each(flips_bits);
}

fn flips_bits(durability: Durability) {
    let (world, before, records) = sound_with(500, durability);
    let mut prng = Prng::new(1);
    let (mut seen, mut unseen, mut lost) = (0, 0, 0);
    for name in segments(&before) {
        for page in 0..GEOMETRY.segment as usize / PAGE {
            let mut disk = world.disk.copy();
            let at = page * PAGE + prng.below(PAGE as u64) as usize;
            disk.octets(&name)[at] ^= 1 << prng.below(8);
            let (verdict, gone) = judge(&mut disk, &before, &records);
            // In a header of a batch it costs nothing: its frames are found one by one.
            assert!(gone <= 1 || verdict < Verdict::Missing, "{name} at {at}: {gone} records");
            lost += gone;
            if verdict >= Verdict::Damaged { seen += 1 } else { unseen += 1 }
        }
    }
    println!("seen {seen}, in what was never written or never promised {unseen}, records lost {lost}");
    assert!(seen > 40 && lost > 0);
}

#[test]
fn every_octet_of_what_is_known_to_be_durable_is_watched() {
    BOTH.into_iter().for_each(watches_octets);
}

fn watches_octets(durability: Durability) {
    let (world, before, records) = sound_with(250, durability);
    // The second segment is followed by others: all of its batches are durable.
    let name = before.segments[1].name.clone();
    let mut disk = world.disk.copy();
    let octets = disk.octets(&name);
    let header = SegmentHeader::of_page(octets).unwrap();
    let used = scan(octets, &header, &mut |_| ()).at as usize;
    for at in (0..used).step_by(43) {
        disk.octets(&name)[at] ^= 0x10;
        let (verdict, gone) = judge(&mut disk, &before, &records);
        assert!(verdict >= Verdict::Damaged && gone <= 1, "octet {at}: {verdict:?}, {gone} gone");
        disk.octets(&name)[at] ^= 0x10;
    }
}

#[test]
fn a_page_of_zeros_or_of_another_segment_or_of_an_earlier_life_is_never_taken_for_records() {
    BOTH.into_iter().for_each(takes_no_other_pages);
}

fn takes_no_other_pages(durability: Durability) {
    let (world, before, records) = sound_with(500, durability);
    let names = segments(&before);
    let foreign = world.disk.copy().octets(&names[0]).clone();
    let mut stale = World::new(6, durability, None);
    stale.work().unwrap();
    stale.rest();
    let (other, _) = read(&mut stale.disk).unwrap();
    let stale = stale.disk.octets(&other.segments[0].name).clone();
    for name in &names {
        for page in (2..GEOMETRY.segment as usize / PAGE).step_by(3) {
            for source in [&vec![0; foreign.len()], &foreign, &stale] {
                let mut disk = world.disk.copy();
                let range = page * PAGE..(page + 1) * PAGE;
                disk.octets(name)[range.clone()].copy_from_slice(&source[range]);
                judge(&mut disk, &before, &records);
            }
        }
    }
}

#[test]
fn one_bad_copy_of_a_header_costs_nothing_and_two_cost_no_record() {
    let (world, before, records) = sound(500);
    let segment = before.segments.iter().find(|segment| segment.kind == FileKind::Segment).unwrap();
    for pages in [0..1, 1..2, 0..2] {
        let mut disk = world.disk.copy();
        disk.octets(&segment.name)[pages.start * PAGE..pages.end * PAGE].fill(0xA5);
        assert_eq!(judge(&mut disk, &before, &records), (Verdict::Damaged, 0), "pages {pages:?}");
    }
}

#[test]
fn a_segment_that_is_missing_or_cut_short_is_missed() {
    let (world, before, records) = sound(500);
    for name in segments(&before).iter().rev().skip(1) {
        let mut disk = world.disk.copy();
        disk.lose(name);
        let (verdict, gone) = judge(&mut disk, &before, &records);
        let (after, _) = read(&mut disk).unwrap();
        assert!(gone == 0 || verdict == Verdict::Missing || after.report.front.0 > 1, "{name}: {verdict:?}");
        let mut disk = world.disk.copy();
        disk.octets(name).truncate(5 * PAGE);
        assert!(judge(&mut disk, &before, &records).0 >= Verdict::Damaged, "{name}");
    }
}

#[test]
fn any_octets_are_read_in_bounded_time_and_nothing_is_made_of_them() {
    let mut prng = Prng::new(9);
    let (world, before, _) = sound(500);
    for round in 0..60 {
        let mut disk = world.disk.copy();
        for name in segments(&before) {
            let octets = disk.octets(&name);
            for _ in 0..1 + prng.below(2000) {
                let at = prng.below(octets.len() as u64) as usize;
                octets[at] = prng.bits() as u8;
            }
            if round % 3 == 0 {
                octets.iter_mut().skip(2 * PAGE).for_each(|octet| *octet = prng.bits() as u8);
            }
        }
        let _ = read(&mut disk);
    }
    assert_eq!(read_name(&segments(&before)[0]).map(|(_, shard, _)| shard), Some(0));
}

#[test]
fn a_segment_of_a_later_program_or_of_another_journal_is_refused_untouched() {
    let (mut world, before, _) = sound(500);
    let recovery = Recovery { shard: 0, journal: Some(77) };
    let refused = recovery.run(&mut world.disk, &mut |_, _| ());
    assert!(matches!(refused, Err(Refusal::Foreign { .. })), "{refused:?}");
    let name = before.segments[0].name.clone();
    let octets = world.disk.octets(&name);
    for page in [0, PAGE] {
        octets[page + 10] = 9;
        let page = &mut octets[page..page + PAGE];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..]);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    assert_eq!(read(&mut world.disk).err(), Some(Refusal::Newer { file: name, reader: 9 }));
    assert!(world.disk.list().unwrap().len() >= before.segments.len());
}

#[test]
fn a_damaged_segment_is_put_away_as_it_is_and_never_used_again() {
    let (world, before, _) = sound(500);
    let mut disk = world.disk.copy();
    let name = before.segments[1].name.clone();
    disk.octets(&name)[3 * PAGE] ^= 1;
    let octets = disk.octets(&name).clone();
    let (recovered, _) = read(&mut disk).unwrap();
    let limits = SpaceLimits { size_max: 100 * GEOMETRY.segment, min_free: 0 };
    let mut preparer = Preparer::new(0, GEOMETRY, limits, &recovered);
    while !matches!(preparer.step(Instant::ZERO, recovered.end, &mut disk), Ok(Done::Nothing)) {}
    assert_eq!(preparer.segments(), 1, "all but the last are given back");
    let names = disk.list().unwrap();
    let away: Vec<&String> = names.iter().filter(|name| name.starts_with("quarantine/")).collect();
    assert_eq!(away, [&format!("quarantine/{name}"), &format!("quarantine/{name}.json")]);
    assert!(*disk.octets(away[0]) == octets);
}
