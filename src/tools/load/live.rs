//! What a terminal shows while a run goes on. Owns: nothing. Takes: the second that is over. Gives: one line. Never: more
//! than a terminal is wide.

use super::meter::Second;

/// A second in one line.
#[must_use]
pub fn line(second: &Second) -> String {
    let seconds = second.span.as_secs_f64().max(1e-9);
    let rate = |count: u64| count as f64 / seconds;
    let response = &second.response;
    let mut line = format!(
        "{:>4} s  sent {:.0}/s  answered {:.0}/s  in flight {}  p50 {:.2} p99 {:.2} ms",
        (second.at + second.span).as_secs(),
        rate(second.submitted),
        rate(second.answered),
        second.in_flight,
        response.quantile_ms(0.5),
        response.quantile_ms(0.99),
    );
    if second.receipts > 0 {
        line.push_str(&format!("  receipts {:.0}/s", rate(second.receipts)));
    }
    let refused = second.answered.saturating_sub(second.accepted);
    if refused > 0 {
        line.push_str(&format!("  refused {:.0}/s", rate(refused)));
    }
    if second.faults > 0 {
        line.push_str(&format!("  FAULTS {}", second.faults));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_second_is_told_in_one_line_and_faults_are_not_hidden() {
        let mut second = Second {
            at: Duration::from_secs(2),
            span: Duration::from_secs(1),
            submitted: 500,
            answered: 400,
            accepted: 390,
            in_flight: 100,
            ..Second::default()
        };
        second.response.record(Duration::from_millis(3));
        let good = line(&second);
        assert!(good.starts_with("   3 s  sent 500/s  answered 400/s  in flight 100  p50 3.0"), "{good}");
        assert!(good.ends_with("refused 10/s"), "{good}");
        second.faults = 2;
        assert!(line(&second).ends_with("FAULTS 2"));
    }
}
