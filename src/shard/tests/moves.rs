//! What keeps the front of a journal is copied to its end.

use super::journal::{Kept, NUMBER, OTHER, acme};
use super::pdus::{answer, receipt, submit_text};
use crate::ids::LinkId;
use crate::journal::Kind;
use crate::limits::{JOURNAL_BLOCK, JOURNAL_MOVE_AFTER, JOURNAL_MOVE_ALWAYS_AT};
use crate::session::BindKind;
use crate::time::Duration;

impl Kept {
    /// So many messages without a receipt asked for come and are over.
    pub(super) fn relays(&mut self, link: LinkId, messages: u32) {
        let alpha = self.rig.carrier(0);
        for sequence in 0..messages {
            self.rig.send(link, &submit_text(NUMBER, 10 + sequence, "no receipt", 0));
            let request = self.rig.one(alpha);
            self.rig.send(alpha, &answer(&request, "X"));
            self.rig.one(link);
        }
    }
}

#[test]
fn a_message_that_waits_for_long_is_copied_so_that_the_front_is_free() {
    let mut kept = Kept::up(acme());
    let (link, alpha) = (kept.rig.trx("acme"), kept.rig.carrier(0));
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    kept.accepted(link, OTHER, 2, "A2");
    kept.durable();
    kept.rig.one(link);
    kept.rig.reset(link);
    kept.rig.send(alpha, &receipt("A2", OTHER, 3));
    kept.durable();
    kept.rig.one(alpha);
    let link = kept.rig.bind("acme", BindKind::Transmitter);
    kept.relays(link, 2 * JOURNAL_BLOCK as u32);
    kept.turn();
    assert!(!kept.kinds().contains(&Kind::Move), "they are young");
    kept.rig.advance(JOURNAL_MOVE_AFTER + Duration::from_secs(90));
    kept.turn();
    let moves = kept.kinds().iter().filter(|kind| **kind == Kind::Move).count();
    assert!(moves >= 3, "{moves}");
    assert!(kept.front() > JOURNAL_BLOCK as u64);
    let mut kept = Kept::again(acme(), kept.papers);
    let ((link, waited), alpha) = (kept.takes("acme"), kept.rig.carrier(0));
    assert_eq!(waited.receipt_ids().1.as_deref(), Some("A2"));
    kept.rig.send(link, &answer(&waited, ""));
    kept.rig.send(alpha, &receipt("A1", NUMBER, 3));
    kept.durable();
    let given = kept.rig.one(link);
    assert_eq!(given.receipt_ids().1.as_deref(), Some("A1"));
    kept.rig.send(link, &answer(&given, ""));
    kept.turn();
    assert!(kept.nothing_is_needed());
}

#[test]
fn where_room_is_short_a_message_is_copied_however_young_it_is() {
    let mut kept = Kept::up(acme());
    let link = kept.rig.trx("acme");
    kept.accepted(link, NUMBER, 1, "A1");
    kept.durable();
    kept.rig.one(link);
    kept.relays(link, 2 * JOURNAL_BLOCK as u32);
    for (used, moves) in [(JOURNAL_MOVE_ALWAYS_AT - 1, false), (JOURNAL_MOVE_ALWAYS_AT, true)] {
        kept.used(used);
        kept.rig.advance(Duration::from_secs(2));
        kept.turn();
        assert_eq!(kept.kinds().contains(&Kind::Move), moves, "{used} %");
    }
    assert!(kept.front() > JOURNAL_BLOCK as u64);
}
