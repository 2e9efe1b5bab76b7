//! Latencies as a histogram. Owns: the histogram. Takes: spans. Gives: quantiles, sums of histograms, the octets that
//! other tools read. Never: rounds twice; a merge is exact.

use crate::time::Duration;
use crate::tools::json::Object;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// Latencies from the intended send time, nanoseconds.
#[derive(Debug, Clone)]
pub struct Latency(Option<Histogram<u64>>);

/// Nanoseconds of an hour: what takes longer counts as an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// The quantiles that a report names.
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Default for Latency {
    fn default() -> Self {
        // These bounds are sound; were they not, there would be no histogram rather than no run.
        Self(Histogram::new_with_bounds(100, LONGEST, 3).ok())
    }
}

impl Latency {
    #[inline]
    pub(super) fn record(&mut self, span: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(span.as_nanos() as u64);
        }
    }

    /// The latency that this share of the messages does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let nanos = self.0.as_ref().map_or(0, |histogram| histogram.value_at_quantile(share));
        Duration::from_nanos(nanos)
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.quantile(share).as_secs_f64() * 1000.0
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// Adds all that another has measured; false when that cannot be held, and nothing is added.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        match (&mut self.0, &other.0) {
            (Some(sum), Some(other)) => sum.add(other).is_ok(),
            (None, _) | (_, None) => false,
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// Base64 of the V2 deflate form of HdrHistogram; empty when there is none.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut octets = Vec::new();
        let written = self.0.as_ref().map(|held| V2DeflateSerializer::new().serialize(held, &mut octets));
        if matches!(written, Some(Ok(_))) { STANDARD.encode(octets) } else { String::new() }
    }

    /// Reads what `encode` wrote.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let octets = STANDARD.decode(text).ok()?;
        let read = Deserializer::new().deserialize(&mut octets.as_slice()).ok()?;
        // What was read has the bounds of its writer: only what ours can hold is taken.
        let mut held = Self::default();
        held.add(&Self(Some(read))).then_some(held)
    }

    /// The whole spectrum: a quantile and its latency in milliseconds, from the median's half up to the greatest.
    #[must_use]
    pub fn spectrum(&self) -> Vec<(f64, f64)> {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Vec::new();
        };
        let step = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (value.quantile_iterated_to(), value.value_iterated_to() as f64 / 1e6)
        };
        histogram.iter_quantiles(5).map(step).collect()
    }

    pub(super) fn json(&self) -> Object {
        let mut object = Object::new();
        object.number("count", self.count());
        for (name, share) in QUANTILES {
            object.decimal(&format!("{name}_ms"), self.quantile_ms(share));
        }
        object
    }

    pub(super) fn line(&self) -> String {
        let one = |(name, share): (&str, f64)| format!("{name} {:.3}", self.quantile_ms(share));
        format!("{} ms", QUANTILES.map(one).join("  "))
    }
}

impl PartialEq for Latency {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl Iterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        micros.for_each(|micros| latency.record(Duration::from_micros(micros)));
        latency
    }

    #[test]
    fn two_halves_are_exactly_the_whole_also_when_they_were_written_and_read() {
        let whole = of((1..10_000).map(|n| n * n));
        let halves = [of((1..10_000).step_by(2).map(|n| n * n)), of((2..10_000).step_by(2).map(|n| n * n))];
        let mut sum = Latency::default();
        for half in &halves {
            let read = Latency::decode(&half.encode()).unwrap();
            assert_eq!((read.count(), &read == half), (half.count(), true));
            assert!(sum.add(&read));
        }
        assert_eq!(sum, whole);
        assert_ne!(halves[0], whole);
    }

    #[test]
    fn what_is_no_histogram_is_not_read() {
        for wrong in ["", "a", "AAAA", "HISTFAAAAAB42pNpmSzMwMDAyAABjAwMDA"] {
            assert!(Latency::decode(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_spectrum_rises_to_the_greatest() {
        let latency = of(1..=1000);
        let spectrum = latency.spectrum();
        assert!(spectrum.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1));
        let (share, most) = *spectrum.last().unwrap();
        assert!(share >= 1.0 && (most - latency.quantile_ms(1.0)).abs() < 1e-9);
        assert!(Latency::default().spectrum().is_empty());
    }
}
