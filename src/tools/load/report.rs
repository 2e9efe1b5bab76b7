//! What a load run found. Owns: counters and histograms. Takes: what happened. Gives: text, JSON, the verdict.
//! Never: calls a run good that lost, doubled or misdirected anything.

use crate::time::Duration;
use crate::tools::json::Object;
use crate::tools::smsc::stats::{Counter, Statuses};
use hdrhistogram::Histogram;

/// What is counted while it runs; may be read from any thread.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions bound now.
    pub bound: Counter,
    /// Messages given to a link.
    pub submitted: Counter,
    /// Messages with a response.
    pub answered: Counter,
    /// Responses by status.
    pub responses: Statuses,
    /// Submits without a response: timed out, or their link was lost.
    pub unanswered: Counter,
    /// Responses to nothing that is in flight: a second response, or one to another session.
    pub responses_unknown: Counter,
    /// Ids that two messages of an account were given.
    pub ids_repeated: Counter,
    /// First receipts for a message that was accepted.
    pub receipts_matched: Counter,
    /// Second receipts for a message.
    pub receipts_doubled: Counter,
    /// Receipts for an id that no response named.
    pub receipts_unknown: Counter,
    /// Receipts for a message of another account or with another destination.
    pub receipts_misdirected: Counter,
    /// Messages accepted and without a receipt at the end.
    pub receipts_missing: Counter,
    /// MO messages that came.
    pub mo: Counter,
    /// MO messages for the number of another account.
    pub mo_misdirected: Counter,
    /// Links that ended before their time.
    pub links_lost: Counter,
    /// Binds that were refused.
    pub binds_refused: Counter,
}

impl Counts {
    fn numbers(&self) -> [(&'static str, u64); 14] {
        [
            ("submitted", self.submitted.get()),
            ("answered", self.answered.get()),
            ("unanswered", self.unanswered.get()),
            ("responses_unknown", self.responses_unknown.get()),
            ("ids_repeated", self.ids_repeated.get()),
            ("receipts_matched", self.receipts_matched.get()),
            ("receipts_doubled", self.receipts_doubled.get()),
            ("receipts_unknown", self.receipts_unknown.get()),
            ("receipts_misdirected", self.receipts_misdirected.get()),
            ("receipts_missing", self.receipts_missing.get()),
            ("mo", self.mo.get()),
            ("mo_misdirected", self.mo_misdirected.get()),
            ("links_lost", self.links_lost.get()),
            ("binds_refused", self.binds_refused.get()),
        ]
    }

    /// Everything that must not be: lost, doubled, misdirected.
    #[must_use]
    pub fn faults(&self) -> u64 {
        let not_faults = ["submitted", "answered", "receipts_matched", "mo", "links_lost"];
        self.numbers().iter().filter(|(name, _)| !not_faults.contains(name)).map(|(_, count)| count).sum()
    }
}

/// Latencies from the intended send time.
#[derive(Debug)]
pub struct Latency(Option<Histogram<u64>>);

/// Nanoseconds of an hour: what takes longer counts as an hour.
const LONGEST: u64 = 3_600_000_000_000;

const QUANTILES: [(&str, f64); 5] =
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

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    fn json(&self) -> Object {
        let mut object = Object::new();
        object.number("count", self.count());
        for (name, share) in QUANTILES {
            object.decimal(&format!("{name}_ms"), self.quantile(share).as_secs_f64() * 1000.0);
        }
        object
    }

    fn line(&self) -> String {
        let one = |(name, share): (&str, f64)| {
            let millis = self.quantile(share).as_secs_f64() * 1000.0;
            format!("{name} {millis:.3}")
        };
        format!("{} ms", QUANTILES.map(one).join("  "))
    }
}

/// Why a run could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No link came up, and the last reason.
    Unreachable(String),
    /// No transmitting bind was accepted, and the last status.
    Refused(String),
}

/// All results of a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// The counters.
    pub counts: &'a Counts,
    /// From submit to response.
    pub response: &'a Latency,
    /// From submit to receipt.
    pub receipt: &'a Latency,
    /// From the first submit to the last response.
    pub elapsed: Duration,
    /// Why it did not begin.
    pub failure: Option<&'a Failure>,
}

impl Report<'_> {
    /// Messages answered per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.counts.answered.get() as f64 / seconds } else { 0.0 }
    }

    /// 0 good, 1 something was lost, doubled or misdirected, or refused at the bind, 4 nobody was reached.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.failure {
            Some(Failure::Unreachable(_)) => 4,
            Some(Failure::Refused(_)) => 1,
            None => u8::from(self.counts.faults() > 0),
        }
    }

    /// One JSON object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = Object::new();
        for (name, count) in self.counts.numbers() {
            object.number(name, count);
        }
        object.decimal("elapsed_seconds", self.elapsed.as_secs_f64());
        object.decimal("messages_per_second", self.rate());
        object.object("responses", self.counts.responses.json());
        object.object("response_latency", self.response.json());
        object.object("receipt_latency", self.receipt.json());
        object.number("faults", self.counts.faults());
        if let Some(Failure::Unreachable(reason) | Failure::Refused(reason)) = self.failure {
            object.text("failure", reason);
        }
        object.finish()
    }

    /// Lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        match self.failure {
            Some(Failure::Unreachable(reason)) => return format!("cannot reach the server: {reason}\n"),
            Some(Failure::Refused(status)) => return format!("no bind was accepted: {status}\n"),
            None => {}
        }
        let counts = self.counts;
        let mut text = format!(
            "submitted   {}\nanswered    {}  in {:.3} s, {:.0}/s\n",
            counts.submitted.get(),
            counts.answered.get(),
            self.elapsed.as_secs_f64(),
            self.rate()
        );
        for (status, count) in counts.responses.iter() {
            let name = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
            text.push_str(&format!("  {name:<20} {count}\n"));
        }
        for (name, count) in counts.numbers().into_iter().skip(2).filter(|(_, count)| *count > 0) {
            text.push_str(&format!("{name:<22} {count}\n"));
        }
        text.push_str(&format!("response    {}\n", self.response.line()));
        if self.receipt.count() > 0 {
            text.push_str(&format!("receipt     {}\n", self.receipt.line()));
        }
        let faults = counts.faults();
        let verdict = if faults == 0 { "nothing lost, doubled or misdirected" } else { "NOT GOOD" };
        text.push_str(&format!("faults      {faults}  {verdict}\n"));
        text
    }
}
