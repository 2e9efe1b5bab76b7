//! The highest rate that holds. Owns: what has been tried. Takes: whether a rate held. Gives: the rate to try next: twice
//! the last while it holds, then halfway between the best that held and the least that did not. Never: tries one twice.

use crate::throttle::Rate;
use crate::time::Duration;
use crate::tools::units::{self, Share};

/// What a search is told.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Bounds {
    /// The rate to begin with
    #[arg(id = "from_rate", long = "from", value_name = "RATE", default_value = "1000/s", value_parser = units::rate)]
    pub from: Rate,
    /// The highest rate to try
    #[arg(id = "to_rate", long = "to", value_name = "RATE", default_value = "100k/s", value_parser = units::rate)]
    pub to: Rate,
    /// Stop when the best rate that held and the least that did not are this close
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    pub step: Share,
}

/// A search under way; rates are messages per second.
#[derive(Debug, Clone)]
pub struct Search {
    from: u64,
    to: u64,
    step: Share,
    held: Option<u64>,
    missed: Option<u64>,
}

fn per_second(rate: Rate) -> u64 {
    (rate.units as f64 / rate.per.as_secs_f64()).round().max(1.0) as u64
}

impl Search {
    /// A search that has tried nothing.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let from = per_second(bounds.from);
        let to = per_second(bounds.to).max(from);
        Self { from, to, step: bounds.step, held: None, missed: None }
    }

    /// The rate to try next; none when the answer is known.
    #[must_use]
    pub fn next(&self) -> Option<Rate> {
        let units = match (self.held, self.missed) {
            (None, None) => self.from,
            (None, Some(_)) => return None,
            (Some(held), None) if held < self.to => held.saturating_mul(2).min(self.to),
            (Some(_), None) => return None,
            (Some(held), Some(missed)) => {
                let close = held as f64 * f64::from(self.step.millionths()) / 1e6;
                if (missed - held) as f64 <= close.max(1.0) {
                    return None;
                }
                held + (missed - held) / 2
            }
        };
        Some(Rate { units, per: Duration::from_secs(1) })
    }

    /// What became of the rate that `next` gave.
    pub fn tell(&mut self, rate: Rate, held: bool) {
        let known = if held { &mut self.held } else { &mut self.missed };
        *known = Some(rate.units);
        assert!(self.missed.is_none_or(|missed| self.held.is_none_or(|held| held < missed)));
    }

    /// The highest rate that held.
    #[must_use]
    pub const fn held(&self) -> Option<u64> {
        self.held
    }

    /// The least rate that did not.
    #[must_use]
    pub const fn missed(&self) -> Option<u64> {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(from: &str, to: &str, limit: u64) -> (Search, Vec<u64>) {
        let bounds = Bounds {
            from: units::rate(from).unwrap(),
            to: units::rate(to).unwrap(),
            step: "5%".parse().unwrap(),
        };
        let (mut search, mut tried) = (Search::new(bounds), Vec::new());
        while let Some(rate) = search.next() {
            tried.push(rate.units);
            search.tell(rate, rate.units <= limit);
            assert!(tried.len() < 50);
        }
        (search, tried)
    }

    #[test]
    fn the_limit_is_found_within_the_step_and_no_rate_is_tried_twice() {
        for limit in [1000, 1500, 7777, 63_999, 64_000, 99_999] {
            let (search, tried) = search("1000/s", "100k/s", limit);
            let held = search.held().unwrap();
            assert!(held <= limit && limit as f64 <= held as f64 * 1.05 + 1.0, "{limit} {held}");
            let mut once = tried.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), tried.len(), "{tried:?}");
        }
    }

    #[test]
    fn a_search_ends_where_it_was_told_to() {
        assert_eq!(search("1000/s", "100k/s", 999).1, [1000]);
        let (search, tried) = search("1000/s", "5k/s", 1_000_000);
        assert_eq!(tried, [1000, 2000, 4000, 5000]);
        assert_eq!((search.held(), search.missed()), (Some(5000), None));
    }
}
