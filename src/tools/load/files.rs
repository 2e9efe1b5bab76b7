//! What a run writes second by second: CSV, and the interval log of HdrHistogram. Owns: nothing. Takes: seconds. Gives:
//! lines that spreadsheets and `HistogramLogProcessor` read. Never: a line that is not whole.

use super::latency::Latency;
use super::meter::Second;
use core::fmt::Write as _;

/// The first line of the CSV.
pub const CSV_HEAD: &str = "second,unix_time,span_seconds,measured,submitted,answered,accepted,receipts,in_flight,bound,\
faults,submit_p50_ms,submit_p90_ms,submit_p99_ms,submit_max_ms,receipt_p50_ms,receipt_p90_ms,receipt_p99_ms,receipt_max_ms\n";

/// A second as a line of CSV.
#[must_use]
pub fn csv(second: &Second) -> String {
    let began = second.run_began.0 as f64 / 1e6 + second.at.as_secs_f64();
    let mut line = format!("{:.3},{began:.3},{:.3}", second.at.as_secs_f64(), second.span.as_secs_f64());
    let counts = [
        u64::from(second.measured),
        second.submitted,
        second.answered,
        second.accepted,
        second.receipts,
        second.in_flight,
        second.bound,
        second.faults,
    ];
    for count in counts {
        // Writing to a String does not fail.
        let _ = write!(line, ",{count}");
    }
    for latency in [&second.response, &second.receipt] {
        for share in [0.5, 0.9, 0.99, 1.0] {
            let _ = write!(line, ",{:.3}", latency.quantile_ms(share));
        }
    }
    line.push('\n');
    line
}

/// The head of an interval log for a run whose first second this is.
#[must_use]
pub fn hlog_head(first: &Second) -> String {
    let began = first.run_began.0 as f64 / 1e6;
    format!(
        "#[Latencies of bindery load, nanoseconds; Interval_Max in milliseconds]\n\
         #[Histogram log format version 1.3]\n\
         #[BaseTime: {began:.3} (seconds since epoch)]\n\
         #[StartTime: {began:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    )
}

/// A second as lines of an interval log: one for responses, one for receipts if there were any.
#[must_use]
pub fn hlog(second: &Second) -> String {
    let line = |tag: &str, latency: &Latency| {
        let (at, span) = (second.at.as_secs_f64(), second.span.as_secs_f64());
        format!("Tag={tag},{at:.3},{span:.3},{:.3},{}\n", latency.quantile_ms(1.0), latency.encode())
    };
    let mut lines = line("submit", &second.response);
    if second.receipt.count() > 0 {
        lines.push_str(&line("receipt", &second.receipt));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Wall};
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn second(at: u64) -> Second {
        let mut second = Second {
            run_began: Wall(1_782_820_860_250_000),
            at: Duration::from_secs(at),
            span: Duration::from_secs(1),
            measured: true,
            submitted: 3,
            ..Second::default()
        };
        (1..=3).for_each(|millis| second.response.record(Duration::from_millis(millis + at)));
        second
    }

    #[test]
    fn an_interval_log_is_read_again_by_the_reader_of_the_library() {
        let mut with_receipt = second(1);
        with_receipt.receipt.record(Duration::from_secs(2));
        let log = [hlog_head(&second(0)), hlog(&second(0)), hlog(&with_receipt)].concat();
        let mut intervals = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            match entry.unwrap() {
                LogEntry::StartTime(at) | LogEntry::BaseTime(at) => {
                    assert_eq!(at, Duration::from_millis(1_782_820_860_250));
                }
                LogEntry::Interval(interval) => {
                    let tag = interval.tag().unwrap().as_str().to_owned();
                    let held = Latency::decode(interval.encoded_histogram()).unwrap();
                    intervals.push((tag, interval.start_timestamp().as_secs(), held));
                }
            }
        }
        let tags: Vec<_> = intervals.iter().map(|(tag, at, _)| (tag.as_str(), *at)).collect();
        assert_eq!(tags, [("submit", 0), ("submit", 1), ("receipt", 1)]);
        assert_eq!(intervals[1].2, with_receipt.response);
        assert_eq!(intervals[2].2.count(), 1);
    }

    #[test]
    fn every_line_of_the_csv_has_a_field_for_each_name() {
        let names = CSV_HEAD.trim().split(',').count();
        let line = csv(&second(7));
        let fields: Vec<_> = line.trim().split(',').collect();
        assert_eq!(fields.len(), names);
        assert_eq!(fields[..5], ["7.000", "1782820867.250", "1.000", "1", "3"]);
    }
}
