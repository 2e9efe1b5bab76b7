//! The index of accepted messages.
//!
//! Sketch: an entry is about 150 octets, three cache lines written; its hash is one line of control octets and one of
//! places, which four ids in a row share, in a table that is larger than L2 as soon as receipts are slow; the lists in order of
//! arrival take 8 and 16 octets at their ends. A receipt reads all of that again a while later: three or four misses, 100 to
//! 300 ns once the index is larger than the cache. A message whose receipt nobody asked for is written to the end of a ring,
//! two lines. Eviction removes the oldest of 65,536 remembered ones (4,096 at a high rate): each message pays for a
//! removal too, the one whose receipt came with that, any other as it is put in. No system call.

use crate::case::{Case, Work, warmed};
use crate::pdus::{BATCH, id_of, number};
use bindery::ids::{CarrierId, EsmeId, LinkId};
use bindery::ledger::{AddressTail, Begun, Destinations, FormLearner, Given, Ledger, NewEntry};
use bindery::smpp::id_form::IdForm;
use bindery::time::{Duration, Instant};
use std::hint::black_box;

const CARRIER: CarrierId = CarrierId(0);
const LINK: LinkId = LinkId { slot: 0, generation: 1 };

const fn case(name: &'static str, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: BATCH as u64, rounds: 256, start }
}

/// What is measured here.
pub(crate) const CASES: &[Case] =
    &[case("ledger/insert", insert), case("ledger/take", take), case("ledger/unasked", unasked)];

/// A ledger and the messages that pass through it.
struct Passing {
    ledger: Ledger,
    learner: FormLearner,
    now: Instant,
    serial: u32,
    /// Final receipts asked for.
    awaited: u16,
    /// What is measured.
    inserts: bool,
}

/// An accepted message, found by its carrier's id from now on.
fn insert() -> Box<dyn Work> {
    Passing::start(1, true)
}

/// Its receipt: found, begun, answered.
fn take() -> Box<dyn Work> {
    Passing::start(1, false)
}

/// An accepted message whose receipt nobody asked for.
fn unasked() -> Box<dyn Work> {
    Passing::start(0, true)
}

impl Passing {
    /// As many messages as are remembered have passed, so that each new one puts an old one out.
    fn start(awaited: u16, inserts: bool) -> Box<dyn Work> {
        let (ledger, learner) = (Ledger::new(), FormLearner::new(Some(IdForm::AsIs)));
        warmed(Self { ledger, learner, now: Instant::ZERO, serial: 0, awaited, inserts }, 1100)
    }

    fn keep(&mut self) {
        for at in self.serial..self.serial + BATCH {
            let (id, number) = (id_of(at), number(at % 100_000));
            let destination = Destinations::One(AddressTail::of(&number));
            let new = NewEntry {
                record: 0,
                carrier: CARRIER,
                id: &id,
                given: Given::Own(u64::from(at)),
                esme: EsmeId(0),
                link: LINK,
                mark: u64::from(at),
                destination: &destination,
                awaited: self.awaited,
            };
            self.ledger.keep(self.now, black_box(&new));
        }
    }

    fn receipts(&mut self) {
        self.ledger.look();
        for at in self.serial..self.serial + BATCH {
            let (id, number) = (id_of(at), number(at % 100_000));
            let tail = AddressTail::of(black_box(&number));
            let found = self.learner.find(&self.ledger, CARRIER, black_box(&id), tail);
            assert!(found.is_some_and(|key| {
                let begun = self.ledger.get_mut(key).map(|entry| entry.begin(tail, true));
                self.ledger.receipt_done(key, 0);
                begun == Some(Begun::News(0))
            }));
        }
    }
}

impl Work for Passing {
    fn lay_out(&mut self, _step: usize) {
        if self.inserts {
            // Those of the round before.
            if self.awaited > 0 && self.serial > 0 {
                self.serial -= BATCH;
                self.receipts();
                self.serial += BATCH;
            }
        } else {
            self.keep();
        }
        self.now = self.now.after(Duration::from_millis(1));
    }

    fn run(&mut self, _step: usize) {
        if self.inserts {
            self.keep();
        } else {
            self.receipts();
        }
        self.serial += BATCH;
    }
}
