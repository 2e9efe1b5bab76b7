//! Classes of traffic: whose turn it is where several wait.
//!
//! Owns: how often each was passed over. Takes: which classes wait. Gives: the one that is next: the highest priority,
//! by weight inside one; of `LOWER_EVERY` turns one goes to a lower priority, so that none starves. Never: a message.

use crate::limits::{CLASS_RESERVED, LOWER_EVERY};

/// `[class.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSettings {
    /// The key in the configuration.
    pub name: String,
    /// Higher goes first, 0–1000.
    pub priority: u32,
    /// Share among those of its priority, 1–1000.
    pub weight: u32,
}

/// All classes; the first is that of accounts without one: priority 0, weight 1.
#[derive(Debug, Clone)]
pub struct Classes {
    /// By class: 0 for the highest priority that there is.
    levels: Vec<u8>,
    weights: Vec<u32>,
}

impl Classes {
    /// Those of a configuration, at most 255.
    #[must_use]
    pub fn new(settings: &[ClassSettings]) -> Self {
        let priorities: Vec<u32> =
            core::iter::once(0).chain(settings.iter().map(|class| class.priority)).collect();
        let mut all = priorities.clone();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        let level = |priority: &u32| all.iter().position(|other| other == priority).unwrap_or(0) as u8;
        Self {
            levels: priorities.iter().map(level).collect(),
            weights: core::iter::once(1).chain(settings.iter().map(|class| class.weight)).collect(),
        }
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// How far below the highest priority a class is.
    #[must_use]
    pub fn level(&self, class: usize) -> u8 {
        self.levels.get(class).copied().unwrap_or(0)
    }

    fn weight(&self, class: usize) -> i64 {
        i64::from(self.weights.get(class).copied().unwrap_or(1))
    }
}

/// Slots of a window of so many that only the highest priority may use.
#[must_use]
pub const fn reserved(window: u32) -> u32 {
    if window < 2 {
        return 0;
    }
    let share = window / CLASS_RESERVED;
    if share == 0 { 1 } else { share }
}

/// Whose turn it was.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// By class: turns that it is behind, in weights.
    behind: Vec<i64>,
    /// Turns since a lower priority had one.
    passed: u32,
}

impl Turns {
    /// The class that is next among those that wait.
    pub fn next(&mut self, classes: &Classes, waits: impl Fn(usize) -> bool) -> Option<usize> {
        self.behind.resize(classes.len(), 0);
        let waiting = || (0..classes.len()).filter(|class| waits(*class));
        let top = waiting().map(|class| classes.level(class)).min()?;
        let lower = waiting().map(|class| classes.level(class)).filter(|level| *level > top).min();
        let level = match lower {
            Some(lower) if self.is_lower_s_turn() => lower,
            Some(_) | None => top,
        };
        let mut total = 0;
        let mut next = None;
        for class in waiting().filter(|class| classes.level(*class) == level) {
            let Some(behind) = self.behind.get_mut(class) else { continue };
            *behind += classes.weight(class);
            total += classes.weight(class);
            if next.is_none_or(|(_, most)| *behind > most) {
                next = Some((class, *behind));
            }
        }
        let (class, _) = next?;
        if let Some(behind) = self.behind.get_mut(class) {
            *behind -= total;
        }
        Some(class)
    }

    /// While a lower priority waits: counts a turn, and says whether it is one for that.
    pub const fn is_lower_s_turn(&mut self) -> bool {
        self.passed += 1;
        let turn = self.passed >= LOWER_EVERY;
        if turn {
            self.passed = 0;
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, priority: u32, weight: u32) -> ClassSettings {
        ClassSettings { name: name.to_owned(), priority, weight }
    }

    fn shares(classes: &Classes, waiting: &[usize], turns: usize) -> Vec<usize> {
        let mut given = vec![0; classes.len()];
        let mut all = Turns::default();
        for _ in 0..turns {
            given[all.next(classes, |class| waiting.contains(&class)).unwrap()] += 1;
        }
        given
    }

    #[test]
    fn the_highest_goes_first_and_the_others_keep_five_percent() {
        let classes = Classes::new(&[class("bulk", 0, 1), class("otp", 10, 4)]);
        assert_eq!(shares(&classes, &[1, 2], 1000), [0, 50, 950]);
        assert_eq!(shares(&classes, &[1], 10), [0, 10, 0]);
        assert_eq!((classes.level(0), classes.level(1), classes.level(2)), (1, 1, 0));
    }

    #[test]
    fn inside_one_priority_turns_go_by_weight_and_are_spread() {
        let classes = Classes::new(&[class("a", 5, 3), class("b", 5, 1), class("c", 1, 1)]);
        assert_eq!(shares(&classes, &[1, 2], 400), [0, 300, 100, 0]);
        let mut turns = Turns::default();
        let order: Vec<usize> =
            (0..8).map(|_| turns.next(&classes, |class| class < 3 && class > 0).unwrap()).collect();
        assert_eq!(order, [1, 1, 2, 1, 1, 1, 2, 1]);
        assert_eq!(Turns::default().next(&classes, |_| false), None);
    }

    #[test]
    fn one_in_eight_slots_is_for_the_highest_and_at_least_one() {
        assert_eq!([1, 2, 8, 50, 1000].map(reserved), [0, 1, 1, 6, 125]);
    }
}
