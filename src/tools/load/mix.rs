//! Which kinds of message a run sends. Owns: kinds and weights. Takes: `"gsm7:80,ucs2:15,long:5"`. Gives: the kind of a
//! message, the same for the same draw. Never: a kind whose weight is zero.

use core::str::FromStr;

/// Parts of a long message.
pub const LONG_PARTS: u8 = 3;

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// As --text, --length and --data-coding say.
    #[default]
    Plain,
    /// data_coding 0, text of --length octets.
    Gsm7,
    /// data_coding 8, 70 characters.
    Ucs2,
    /// Three parts of 153 characters with a user data header each; every part counts as a message.
    Long,
}

/// Kinds and their weights; none: every message is plain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Kind, u32)>,
    sum: u64,
}

impl Mix {
    /// All weights together; zero when every message is plain.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The kind that `point` falls to, a number below `sum`.
    #[must_use]
    pub fn at(&self, point: u64) -> Kind {
        let mut end = 0;
        for (kind, weight) in &self.weights {
            end += u64::from(*weight);
            if point < end {
                return *kind;
            }
        }
        Kind::Plain
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed =
            || "gsm7, ucs2 and long with a weight above zero each, for example gsm7:80,ucs2:15,long:5";
        let mut mix = Self::default();
        for part in text.split(',') {
            let (name, weight) = part.split_once(':').ok_or_else(allowed)?;
            let kind = match name {
                "gsm7" => Kind::Gsm7,
                "ucs2" => Kind::Ucs2,
                "long" => Kind::Long,
                _ => return Err(allowed().to_owned()),
            };
            let weight: u32 = weight.parse().map_err(|_| allowed())?;
            if weight == 0 || mix.weights.iter().any(|(known, _)| *known == kind) {
                return Err(allowed().to_owned());
            }
            mix.weights.push((kind, weight));
            mix.sum += u64::from(weight);
        }
        Ok(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_weight() {
        let mix: Mix = "gsm7:80,ucs2:15,long:5".parse().unwrap();
        let count = |kind| (0..mix.sum()).filter(|point| mix.at(*point) == kind).count();
        assert_eq!((count(Kind::Gsm7), count(Kind::Ucs2), count(Kind::Long)), (80, 15, 5));
        assert_eq!((Mix::default().sum(), Mix::default().at(0)), (0, Kind::Plain));
        for wrong in ["", "gsm7", "gsm7:0", "gsm7:-1", "gsm7:1,gsm7:2", "latin1:5", "gsm7:1,"] {
            assert!(wrong.parse::<Mix>().unwrap_err().contains("ucs2 and long"), "{wrong}");
        }
    }
}
