//! What was said is to be gone: what waits is copied in time, and the disk is told while nobody comes.

use super::journal::{Kept, NUMBER, OTHER, acme};
use super::pdus::{answer, receipt};
use crate::config::Config;
use crate::journal::Kind;
use crate::limits::JOURNAL_KEEP_BELOW;
use crate::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// An account whose texts are kept for so many minutes, and gone within 32 more.
fn keeps(minutes: u32) -> Config {
    let mut config = acme();
    (config.privacy.keep_text, config.privacy.erase_within) = (MINUTE * minutes, MINUTE * 32);
    config
}

fn count(kept: &mut Kept, wanted: Kind) -> usize {
    kept.kinds().iter().filter(|kind| **kind == wanted).count()
}

/// So many minutes pass, looked at now and then.
fn pass(kept: &mut Kept, minutes: u64) {
    for _ in 0..minutes * 4 {
        kept.rig.advance(Duration::from_secs(15));
        kept.durable();
    }
}

#[test]
fn what_waits_is_copied_every_quarter_and_what_is_over_is_not() {
    let mut kept = Kept::up(keeps(0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    for (number, sequence, id) in [(NUMBER, 1, "A1"), (OTHER, 2, "A2")] {
        kept.accepted(link, number, sequence, id);
        kept.durable();
        kept.rig.one(link);
    }
    kept.rig.send(alpha, &receipt("A2", OTHER, 3));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.durable();
    pass(&mut kept, 6);
    assert_eq!(count(&mut kept, Kind::Move), 0, "it is young");
    pass(&mut kept, 5);
    assert_eq!(count(&mut kept, Kind::Move), 1);
    let front = kept.front();
    assert!(front > 5, "{front}");
    pass(&mut kept, 30);
    assert!((3..=5).contains(&count(&mut kept, Kind::Move)));
}

#[test]
fn the_disk_is_told_while_nobody_comes_and_then_there_is_rest() {
    let mut kept = Kept::up(keeps(0));
    pass(&mut kept, 5);
    assert_eq!(kept.kinds(), [], "nothing was said");
    let mut kept = Kept::up(keeps(0));
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    kept.rig.send(alpha, &receipt("A1", NUMBER, 3));
    kept.durable();
    let given = kept.rig.one(link);
    kept.rig.send(link, &answer(&given, ""));
    kept.durable();
    pass(&mut kept, 4);
    let told = count(&mut kept, Kind::Tombstone);
    assert!((3..=5).contains(&told), "{told}");
    pass(&mut kept, 40);
    let told = count(&mut kept, Kind::Tombstone);
    assert!((30..=36).contains(&told), "{told}");
    pass(&mut kept, 10);
    assert_eq!(count(&mut kept, Kind::Tombstone), told);
}

#[test]
fn what_was_needed_of_late_is_kept_for_its_time_and_while_there_is_room() {
    let over = |minutes| {
        let mut kept = Kept::up(keeps(minutes));
        let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
        kept.accepted(link, NUMBER, 1, "A1");
        kept.durable();
        kept.rig.one(link);
        kept.rig.send(alpha, &receipt("A1", NUMBER, 3));
        kept.durable();
        let given = kept.rig.one(link);
        kept.rig.send(link, &answer(&given, ""));
        kept.durable();
        kept
    };
    let mut kept = over(20);
    pass(&mut kept, 19);
    assert!(kept.front() <= 1, "{}", kept.front());
    pass(&mut kept, 3);
    assert!(kept.front() > 1);
    let mut kept = over(20);
    kept.used(JOURNAL_KEEP_BELOW - 1);
    pass(&mut kept, 5);
    assert!(kept.front() <= 1);
    kept.used(JOURNAL_KEEP_BELOW);
    pass(&mut kept, 2);
    assert!(kept.front() > 1, "new messages need the room");
    let mut kept = over(0);
    pass(&mut kept, 1);
    assert!(kept.front() > 1);
    // Also over a restart.
    let mut kept = over(20);
    pass(&mut kept, 1);
    let mut kept = Kept::again(keeps(20), kept.papers);
    pass(&mut kept, 2);
    assert!(kept.front() <= 1, "{}", kept.front());
}
