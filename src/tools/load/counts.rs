//! What a load run counts. Owns: the counters, one writer, and their totals once a run is over. Takes: what happened.
//! Gives: numbers by name. Never: calls a thing by two names.

use crate::tools::smsc::stats::{Counter, Statuses};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is counted while it runs; may be read from any thread.
        #[derive(Debug, Default)]
        pub struct Counts {
            /// Sessions bound now.
            pub bound: Counter,
            /// Responses by status.
            pub responses: Statuses,
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The names of the numbers of a report, in its order.
        pub const NAMES: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

        impl Counts {
            /// All numbers as they are now.
            #[must_use]
            pub fn totals(&self) -> Totals {
                Totals([$(self.$name.get()),*])
            }
        }
    };
}

counts! {
    /// Messages given to a link.
    submitted,
    /// Messages with a response.
    answered,
    /// Submits without a response: timed out, or their link was lost.
    unanswered,
    /// Responses to nothing that is in flight: a second response, or one to another session.
    responses_unknown,
    /// Ids that two messages of an account were given.
    ids_repeated,
    /// First receipts for a message that was accepted.
    receipts_matched,
    /// Second receipts for a message.
    receipts_doubled,
    /// Receipts for an id that no response named, or whose message did not ask for one.
    receipts_unknown,
    /// Receipts for a message of another account or with another destination.
    receipts_misdirected,
    /// Messages accepted and without the receipt that they asked for at the end.
    receipts_missing,
    /// MO messages that came.
    mo,
    /// MO messages for the number of another account.
    mo_misdirected,
    /// Links that ended before their time.
    links_lost,
    /// Binds that were refused.
    binds_refused,
}

impl Counts {
    /// Everything that must not be: lost, doubled, misdirected.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.totals().faults()
    }
}

/// The numbers of a run that is over, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals([u64; NAMES.len()]);

impl Totals {
    /// Each number with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0)
    }

    /// One number; zero for a name that there is not.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    /// Puts one number.
    pub fn set(&mut self, name: &str, count: u64) {
        let places = NAMES.iter().zip(&mut self.0);
        places.filter(|(known, _)| **known == name).for_each(|(_, place)| *place = count);
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (place, count) in self.0.iter_mut().zip(other.0) {
            *place += count;
        }
    }

    fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.get(name)).sum()
    }

    /// Messages without the response or receipt that they were owed.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sum(&["unanswered", "receipts_missing"])
    }

    /// Responses, receipts and ids that came twice.
    #[must_use]
    pub fn doubled(&self) -> u64 {
        self.sum(&["responses_unknown", "ids_repeated", "receipts_doubled"])
    }

    /// What came to the wrong account or for the wrong number.
    #[must_use]
    pub fn misdirected(&self) -> u64 {
        self.sum(&["receipts_misdirected", "mo_misdirected"])
    }

    /// Receipts for no message that is known.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.get("receipts_unknown")
    }

    /// Everything that must not be.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.lost() + self.doubled() + self.misdirected() + self.unknown() + self.get("binds_refused")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_place_and_what_must_not_be_is_a_fault() {
        let counts = Counts::default();
        counts.submitted.add(7);
        counts.receipts_missing.add(2);
        let mut totals = counts.totals();
        assert_eq!((totals.get("submitted"), totals.get("none"), totals.faults()), (7, 0, 2));
        totals.add(&counts.totals());
        assert_eq!((totals.get("submitted"), totals.lost()), (14, 4));
        let good = ["submitted", "answered", "receipts_matched", "mo", "links_lost"];
        for name in NAMES {
            let mut one = Totals::default();
            one.set(name, 1);
            assert_eq!(one.faults(), u64::from(!good.contains(&name)), "{name}");
        }
    }
}
