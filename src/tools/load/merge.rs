//! Several generators as one. Owns: nothing. Takes: their reports as JSON. Gives: one report: numbers added, histograms
//! merged exactly. Never: merges what is invalid, or of another version.

use super::counts::{NAMES, Totals};
use super::latency::Latency;
use super::report::{Failure, Health, Measured, Ran, Report, SCHEMA};
use crate::time::{Duration, Wall};
use crate::tools::units::Share;
use serde_json::Value;

/// Reads the report that stands in the last line of `text`.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<Report, String> {
    let last = text.trim_end().lines().last().unwrap_or_default();
    let value: Value =
        serde_json::from_str(last).map_err(|error| format!("the last line is no JSON: {error}"))?;
    let schema = value["schema"].as_str().unwrap_or("no schema");
    if schema != SCHEMA {
        return Err(format!("it is {schema}, not {SCHEMA}"));
    }
    if value["valid"] != true {
        let reason = value["invalid"].as_str().or(value["failure"].as_str()).unwrap_or("it says so");
        return Err(format!("it is not valid: {reason}"));
    }
    let mut totals = Totals::default();
    for name in NAMES {
        totals.set(name, whole(&value[name]).ok_or_else(|| format!("{name} is missing"))?);
    }
    let histogram = |name: &str| {
        let text = value["histogram"][name].as_str().unwrap_or_default();
        Latency::decode(text).ok_or_else(|| format!("the histogram {name} cannot be read"))
    };
    let statuses = value["responses"].as_object().ok_or("responses is missing")?;
    let counts = statuses.iter().map(|(status, count)| Some((status.clone(), whole(count)?)));
    let responses: Option<Vec<_>> = counts.collect();
    Ok(Report {
        totals,
        responses: responses.ok_or("responses holds something that is no count")?,
        response: histogram("submit")?,
        receipt: histogram("receipt")?,
        elapsed: seconds(&value["elapsed_seconds"]).ok_or("elapsed_seconds is missing")?,
        measured: measured(&value["measured"]).ok_or("measured is missing")?,
        health: health(&value["generator"]).ok_or("generator is missing")?,
        ..Report::default()
    })
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

fn measured(value: &Value) -> Option<Measured> {
    Some(Measured {
        from: Wall((value["from"].as_f64()? * 1e6) as i64),
        span: seconds(&value["seconds"])?,
        submitted: whole(&value["submitted"])?,
        answered: whole(&value["answered"])?,
        accepted: whole(&value["accepted"])?,
        offered: value["offered_per_second"].as_f64(),
    })
}

fn health(value: &Value) -> Option<Health> {
    let share = value["late_max_percent"].as_f64().map(|percent| format!("{percent:.4}%"));
    Some(Health {
        sends: whole(&value["sends"])?,
        late: whole(&value["late"])?,
        held: whole(&value["held"])?,
        worst: seconds(&value["worst_ms"])? / 1000,
        late_max: share.and_then(|share| share.parse::<Share>().ok()),
    })
}

/// One report of all: they are taken to have run at the same time.
///
/// # Errors
/// There is none, or a histogram that the others cannot hold.
pub fn merge(reports: Vec<Report>, ran: Ran) -> Result<Report, String> {
    let mut all = Report { ran, ..Report::default() };
    let mut first = true;
    for report in reports {
        all.totals.add(&report.totals);
        for (status, count) in report.responses {
            match all.responses.iter_mut().find(|(known, _)| *known == status) {
                Some((_, sum)) => *sum += count,
                None => all.responses.push((status, count)),
            }
        }
        if !all.response.add(&report.response) || !all.receipt.add(&report.receipt) {
            return Err("its histograms cannot be added".to_owned());
        }
        all.elapsed = all.elapsed.max(report.elapsed);
        add_measured(&mut all.measured, report.measured, first);
        add_health(&mut all.health, report.health);
        all.failure = all.failure.or(report.failure as Option<Failure>);
        first = false;
    }
    if first { Err("there is nothing to merge".to_owned()) } else { Ok(all) }
}

/// The rates of generators that run side by side add up, so the counts of each are put to the longest span.
fn add_measured(all: &mut Measured, one: Measured, first: bool) {
    let span = all.span.max(one.span);
    let stretch = |count: u64, from: Duration| {
        let times = if from.is_zero() { 0.0 } else { span.as_secs_f64() / from.as_secs_f64() };
        (count as f64 * times).round() as u64
    };
    let sum = |all_count: u64, one_count: u64| stretch(all_count, all.span) + stretch(one_count, one.span);
    *all = Measured {
        from: if first { one.from } else { all.from.min(one.from) },
        span,
        submitted: sum(all.submitted, one.submitted),
        answered: sum(all.answered, one.answered),
        accepted: sum(all.accepted, one.accepted),
        offered: match (first, all.offered, one.offered) {
            (true, _, offered) => offered,
            (false, Some(sum), Some(offered)) => Some(sum + offered),
            (false, _, _) => None,
        },
    };
}

fn add_health(all: &mut Health, one: Health) {
    all.sends += one.sends;
    all.late += one.late;
    all.held += one.held;
    all.worst = all.worst.max(one.worst);
    all.late_max = all.late_max.max(one.late_max);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(from_ms: u64, answered: u64, span: u64) -> Report {
        let mut report = Report { elapsed: Duration::from_secs(span), ..Report::default() };
        for number in 0..answered {
            report.response.record(Duration::from_millis(from_ms + number));
        }
        report.totals.set("submitted", answered);
        report.totals.set("answered", answered);
        report.responses = vec![("ESME_ROK".into(), answered)];
        report.measured = Measured {
            from: Wall(1_782_820_860_000_000),
            span: Duration::from_secs(span),
            submitted: answered,
            answered,
            accepted: answered,
            offered: Some(answered as f64 / span as f64),
        };
        report.health.late_max = Some("1%".parse().unwrap());
        report.health.sends = answered;
        report
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let written = report(1, 100, 10);
        let read = read(&format!("{{\"event\":\"measuring\"}}\n{}\n", written.json())).unwrap();
        assert_eq!(read, written);
    }

    #[test]
    fn two_halves_are_the_whole() {
        let halves = [report(1, 50, 10), report(51, 50, 10)].map(|half| read(&half.json()).unwrap());
        let merged = merge(halves.to_vec(), Ran::default()).unwrap();
        assert_eq!(merged, report(1, 100, 10));
        assert!((merged.rate() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn rates_of_spans_that_differ_add_up() {
        let merged = merge(vec![report(1, 100, 10), report(1, 100, 20)], Ran::default()).unwrap();
        assert_eq!(merged.totals.get("answered"), 200);
        assert!((merged.rate() - 15.0).abs() < 1e-9, "{}", merged.rate());
        assert!(merge(Vec::new(), Ran::default()).is_err());
    }

    #[test]
    fn what_is_invalid_or_of_another_version_is_refused() {
        let good = report(1, 10, 1);
        let mut late = good.clone();
        late.health.late = 5;
        let failed = Report { failure: Some(Failure::Refused("ESME_RINVPASWD".into())), ..good.clone() };
        let other = good.json().replace("bindery-load/1", "bindery-load/2");
        let cut = good.json().replace("\"submit\":\"", "\"submit\":\"AAAA");
        for (text, reason) in [
            (late.json(), "50.0 % of sends late"),
            (failed.json(), "ESME_RINVPASWD"),
            (other, "it is bindery-load/2, not bindery-load/1"),
            (cut, "the histogram submit cannot be read"),
            (good.json().replace("\"mo\":", "\"me\":"), "mo is missing"),
            (String::new(), "no JSON"),
            ("{}".into(), "no schema"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
