//! What a run is held to. Owns: a metric, an operator, a bound. Takes: `"submit.p99<5ms"`, `"lost==0"`. Gives: whether
//! it holds. Never: holds for something that was not measured.

use super::latency::{Latency, QUANTILES};
use super::report::Report;
use crate::tools::units::{self, Share};
use core::fmt;
use core::str::FromStr;

const METRICS: &str = "submit.{p50,p90,p99,p99.9,max}, receipt.{p50,p90,p99,p99.9,max}, lost, doubled, misdirected, \
                       unknown, refused, rate or late";

/// What a threshold is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// A quantile of the latency from submit to response.
    Submit(f64),
    /// A quantile of the latency from submit to receipt.
    Receipt(f64),
    /// Submits without a response, accepted messages without the receipt that they asked for.
    Lost,
    /// Second responses and receipts, ids given twice.
    Doubled,
    /// Receipts and MO for another account, number or message.
    Misdirected,
    /// Receipts for an id that no response named.
    Unknown,
    /// Responses other than ESME_ROK.
    Refused,
    /// Messages answered per second.
    Rate,
    /// Sends that the generator itself made late.
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Operator {
    const ALL: [(&'static str, Self); 5] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("<", Self::Less),
        (">", Self::More),
    ];

    fn holds(self, found: f64, bound: f64) -> bool {
        match self {
            Self::Less => found < bound,
            Self::AtMost => found <= bound,
            Self::Equal => found.total_cmp(&bound).is_eq(),
            Self::AtLeast => found >= bound,
            Self::More => found > bound,
        }
    }
}

/// In which unit a threshold counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Nanoseconds,
    Count,
    Percent,
    PerSecond,
}

/// A bound on what a run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    metric: Metric,
    operator: Operator,
    bound: f64,
    unit: Unit,
    text: String,
}

/// A threshold and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The threshold as it was given.
    pub text: String,
    /// What was found, with its unit.
    pub found: String,
    /// Whether it holds.
    pub met: bool,
}

impl Threshold {
    /// What it is about.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// Holds a run to it.
    #[must_use]
    pub fn judge(&self, report: &Report) -> Judged {
        let found = self.find(report);
        let met = found.is_some_and(|found| self.operator.holds(found, self.bound));
        let found = match (found, self.unit) {
            (None, _) => "nothing was measured".to_owned(),
            (Some(nanos), Unit::Nanoseconds) => format!("{:.3}ms", nanos / 1e6),
            (Some(count), Unit::Count) => format!("{count:.0}"),
            (Some(share), Unit::Percent) => format!("{share:.3}%"),
            (Some(rate), Unit::PerSecond) => format!("{rate:.1}/s"),
        };
        Judged { text: self.text.clone(), found, met }
    }

    fn find(&self, report: &Report) -> Option<f64> {
        let quantile = |latency: &Latency, share: f64| {
            (latency.count() > 0).then(|| latency.quantile(share).as_nanos() as f64)
        };
        let percent = |part: u64, whole: u64| (whole > 0).then(|| part as f64 * 100.0 / whole as f64);
        match self.metric {
            Metric::Submit(share) => quantile(&report.response, share),
            Metric::Receipt(share) => quantile(&report.receipt, share),
            Metric::Lost => Some(report.totals.lost() as f64),
            Metric::Doubled => Some(report.totals.doubled() as f64),
            Metric::Misdirected => Some(report.totals.misdirected() as f64),
            Metric::Unknown => Some(report.totals.unknown() as f64),
            Metric::Refused if self.unit == Unit::Percent => {
                percent(report.refused(), report.totals.get("answered"))
            }
            Metric::Refused => Some(report.refused() as f64),
            Metric::Rate => Some(report.rate()),
            Metric::Late => percent(report.health.late, report.health.sends),
        }
    }
}

fn metric(name: &str) -> Option<Metric> {
    let quantile = |name: &str| QUANTILES.iter().find(|(known, _)| *known == name).map(|(_, share)| *share);
    if let Some(rest) = name.strip_prefix("submit.") {
        return quantile(rest).map(Metric::Submit);
    }
    if let Some(rest) = name.strip_prefix("receipt.") {
        return quantile(rest).map(Metric::Receipt);
    }
    match name {
        "lost" => Some(Metric::Lost),
        "doubled" => Some(Metric::Doubled),
        "misdirected" => Some(Metric::Misdirected),
        "unknown" => Some(Metric::Unknown),
        "refused" => Some(Metric::Refused),
        "rate" => Some(Metric::Rate),
        "late" => Some(Metric::Late),
        _ => None,
    }
}

fn bound(metric: Metric, text: &str) -> Result<(f64, Unit), String> {
    let share =
        |text: &str| text.parse().map(|share: Share| (f64::from(share.millionths()) / 1e4, Unit::Percent));
    let count = |text: &str| text.parse::<u32>().map(|count| (f64::from(count), Unit::Count));
    match metric {
        Metric::Submit(_) | Metric::Receipt(_) => {
            units::duration(text).map(|span| (span.as_nanos() as f64, Unit::Nanoseconds))
        }
        Metric::Lost | Metric::Doubled | Metric::Misdirected | Metric::Unknown => {
            count(text).map_err(|_| "a whole number, for example 0".to_owned())
        }
        Metric::Refused => {
            count(text).or_else(|_| share(text)).map_err(|_| "a whole number or a percentage".to_owned())
        }
        Metric::Rate => {
            units::rate(text).map(|rate| (rate.units as f64 / rate.per.as_secs_f64(), Unit::PerSecond))
        }
        Metric::Late => share(text),
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        let at = plain.find(['<', '>', '=']).unwrap_or(plain.len());
        let (name, rest) = plain.split_at(at);
        let metric = metric(name).ok_or_else(|| format!("{name:?} is no metric: {METRICS}"))?;
        let mut operators = Operator::ALL.iter();
        let found = operators.find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or("an operator is missing: <, <=, ==, >= or >")?;
        let (bound, unit) =
            bound(metric, value).map_err(|allowed| format!("{value:?} is no bound of {name}: {allowed}"))?;
        Ok(Self { metric, operator, bound, unit, text: plain })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Totals;
    use super::*;
    use crate::time::Duration;

    fn judge(text: &str, report: &Report) -> (bool, String) {
        let judged = text.parse::<Threshold>().unwrap().judge(report);
        (judged.met, judged.found)
    }

    #[test]
    fn a_threshold_holds_or_not_by_what_was_found() {
        let mut report = Report::default();
        (1..=100).for_each(|millis| report.response.record(Duration::from_millis(millis)));
        let mut totals = Totals::default();
        totals.set("answered", 1000);
        totals.set("unanswered", 2);
        totals.set("receipts_missing", 1);
        totals.set("receipts_doubled", 4);
        report.totals = totals;
        report.responses = vec![("ESME_ROK".into(), 990), ("ESME_RTHROTTLED".into(), 10)];
        report.measured.span = Duration::from_secs(2);
        report.measured.answered = 1000;
        for (text, met) in [
            ("submit.p50<60ms", true),
            ("submit.p50<50ms", false),
            ("submit.max >= 100ms", true),
            ("submit.p99.9>1s", false),
            ("lost==3", true),
            ("lost<3", false),
            ("lost<=3", true),
            ("doubled>3", true),
            ("misdirected==0", true),
            ("unknown==0", true),
            ("refused<1%", false),
            ("refused<=1%", true),
            ("refused==10", true),
            ("rate>=500/s", true),
            ("rate>30000/m", false),
            ("rate<1k/s", true),
        ] {
            assert_eq!(judge(text, &report).0, met, "{text}");
        }
        assert_eq!(judge("refused<2%", &report).1, "1.000%");
        assert_eq!(judge("rate>1/s", &report).1, "500.0/s");
    }

    #[test]
    fn what_was_not_measured_holds_nothing() {
        for text in ["receipt.p99<1h", "submit.p50>=0", "late<100%", "refused<100%"] {
            assert_eq!(judge(text, &Report::default()), (false, "nothing was measured".into()), "{text}");
        }
    }

    #[test]
    fn a_wrong_threshold_is_told_what_is_allowed() {
        for (wrong, allowed) in [
            ("", "submit.{p50"),
            ("p99<5ms", "lost, doubled"),
            ("submit.p98<5ms", "submit.{p50"),
            ("lost", "<, <=, ==, >= or >"),
            ("lost=0", "<, <=, ==, >= or >"),
            ("lost<5ms", "a whole number"),
            ("submit.p99<5", "a number and us"),
            ("refused<x", "a whole number or a percentage"),
            ("rate>=5", "/s, /m or /h"),
            ("late<1", "a percentage"),
        ] {
            let error = wrong.parse::<Threshold>().unwrap_err();
            assert!(error.contains(allowed), "{wrong}: {error}");
        }
    }
}
