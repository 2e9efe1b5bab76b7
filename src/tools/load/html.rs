//! A run as one page. Owns: nothing. Takes: the report and its seconds. Gives: HTML with its pictures and its data in it.
//! Never: asks the network for anything.

use super::latency::Latency;
use super::meter::Second;
use super::report::Report;
use core::fmt::Write as _;

/// Points of a curve; a longer run is drawn by the worst of several seconds.
const POINTS_MAX: usize = 1000;
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const COLOURS: [&str; 4] = ["#2563a8", "#c2571a", "#8a8a8a", "#3b8f4d"];

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
pre{background:#f5f5f3;padding:1rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}\
svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#444}\
.axis{stroke:#999}.grid{stroke:#e6e6e6}path{fill:none;stroke-width:1.6}h2{font-size:1.1rem;margin-top:2rem}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#222}text{fill:#bbb}\
.grid{stroke:#333}}";

/// One curve: its name and its points.
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// The page.
#[must_use]
pub fn page(report: &Report, seconds: &[Second]) -> String {
    let drawn = thinned(seconds);
    let over_time = |name, value: &dyn Fn(&Row) -> f64| Curve {
        name,
        points: drawn.iter().map(|row| (row.at, value(row))).collect(),
    };
    let latency = [
        over_time("p50", &|row| row.p50),
        over_time("p99", &|row| row.p99),
        over_time("max", &|row| row.max),
    ];
    let rates = [
        over_time("sent", &|row| row.submitted),
        over_time("answered", &|row| row.answered),
        over_time("receipts", &|row| row.receipts),
    ];
    let spectrum = [spectrum("submit", &report.response), spectrum("receipt", &report.receipt)];
    let title = format!("bindery load: {}", report.verdict().name());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head>\
         <body>\n<h1>{0}</h1>\n<pre>{1}</pre>\n",
        escaped(&title),
        escaped(&report.text())
    );
    for (title, axes, curves) in [
        ("Submit to response, by second", ["s", "ms"], &latency[..]),
        ("Messages by second", ["s", "/s"], &rates[..]),
        ("Percentiles", ["one message in", "ms"], &spectrum[..]),
    ] {
        let picture = picture(axes, curves);
        // Writing to a String does not fail.
        let _ = write!(page, "<h2>{title}</h2>\n{picture}\n");
    }
    // In a script's text only `<` could end it.
    let data = report.json().replace('<', "\\u003c");
    let _ = write!(page, "<script type=\"application/json\" id=\"report\">{data}</script>\n</body></html>\n");
    page
}

/// What is drawn of one second, or of several.
struct Row {
    at: f64,
    p50: f64,
    p99: f64,
    max: f64,
    submitted: f64,
    answered: f64,
    receipts: f64,
}

fn thinned(seconds: &[Second]) -> Vec<Row> {
    // The last one is not whole: its rate would say little.
    let whole = if seconds.len() > 1 { seconds.len() - 1 } else { seconds.len() };
    let several = whole.div_ceil(POINTS_MAX).max(1);
    let row = |group: &[Second]| {
        let worst =
            |share: f64| group.iter().map(|second| second.response.quantile_ms(share)).fold(0.0, f64::max);
        let span: f64 = group.iter().map(|second| second.span.as_secs_f64()).sum();
        let rate = |count: fn(&Second) -> u64| group.iter().map(count).sum::<u64>() as f64 / span.max(1e-9);
        Row {
            at: group.first().map_or(0.0, |second| second.at.as_secs_f64()),
            p50: worst(0.5),
            p99: worst(0.99),
            max: worst(1.0),
            submitted: rate(|second| second.submitted),
            answered: rate(|second| second.answered),
            receipts: rate(|second| second.receipts),
        }
    };
    seconds.get(..whole).unwrap_or_default().chunks(several).map(row).collect()
}

/// The latency of the slowest of ten, of a hundred and so on: x is the power of ten.
fn spectrum(name: &'static str, latency: &Latency) -> Curve {
    let count = latency.count().max(1) as f64;
    let power = |share: f64| (1.0 / (1.0 - share).max(1.0 / count)).log10();
    Curve { name, points: latency.spectrum().into_iter().map(|(share, ms)| (power(share), ms)).collect() }
}

fn picture(axes: [&str; 2], curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|curve| curve.points.iter());
    let x_max = all().map(|(x, _)| *x).fold(0.0, f64::max).max(1e-9);
    let y_max = nice(all().map(|(_, y)| *y).fold(0.0, f64::max));
    let x = |value: f64| LEFT + value / x_max * (WIDTH - LEFT - 20.0);
    let y = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - BOTTOM - 30.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for step in 0..=4 {
        let (part, across) = (f64::from(step) / 4.0, WIDTH - 20.0);
        let (height, value) = (y(part * y_max), number(part * y_max));
        let label = if axes[0] == "s" { number(part * x_max) } else { number(10_f64.powf(part * x_max)) };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{across}\" y1=\"{height:.1}\" y2=\"{height:.1}\"/>\
             <text x=\"{0}\" y=\"{1:.1}\" text-anchor=\"end\">{value} {2}</text>\
             <text x=\"{3:.1}\" y=\"{4}\" text-anchor=\"middle\">{label}</text>",
            LEFT - 6.0,
            height + 4.0,
            axes[1],
            x(part * x_max),
            HEIGHT - 10.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text>",
        WIDTH - 20.0,
        HEIGHT,
        axes[0]
    );
    for (at, (curve, colour)) in curves.iter().zip(COLOURS).enumerate() {
        let mut path = String::new();
        for (place, (across, up)) in curve.points.iter().enumerate() {
            let _ = write!(path, "{}{:.1} {:.1}", if place == 0 { 'M' } else { 'L' }, x(*across), y(*up));
        }
        let name_at = LEFT + 90.0 * at as f64;
        let _ = write!(
            svg,
            "<path d=\"{path}\" stroke=\"{colour}\"/>\
             <text x=\"{name_at}\" y=\"14\" style=\"fill:{colour}\">{}</text>",
            curve.name
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(most.log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|times| times * unit)
        .find(|step| *step >= most)
        .unwrap_or(10.0 * unit)
}

fn number(value: f64) -> String {
    let text = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn seconds(count: u64) -> Vec<Second> {
        let second = |at| {
            let mut second = Second {
                at: Duration::from_secs(at),
                span: Duration::from_secs(1),
                submitted: at + 1,
                ..Second::default()
            };
            second.response.record(Duration::from_millis(at + 1));
            second
        };
        (0..count).map(second).collect()
    }

    #[test]
    fn a_page_needs_nothing_but_itself_and_holds_its_data() {
        let mut report = Report::default();
        (1..1000).for_each(|millis| report.response.record(Duration::from_millis(millis)));
        report.ran.flags = vec!["--text".into(), "</script><b>".into()];
        report.ran.version = "1".into();
        let page = page(&report, &seconds(10));
        assert!(!page.contains("http") && !page.contains("src=") && !page.contains("<b>"));
        assert_eq!((page.matches("<svg").count(), page.matches("<path").count()), (3, 8));
        let data = page.split("id=\"report\">").nth(1).unwrap().split("</script>").next().unwrap();
        let value: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(value["response_latency"]["count"], 999);
        assert_eq!(value["ran"]["flags"][1], "</script><b>");
    }

    #[test]
    fn a_long_run_is_drawn_by_its_worst_seconds() {
        let rows = thinned(&seconds(POINTS_MAX as u64 * 2 + 1));
        assert_eq!(rows.len(), POINTS_MAX);
        assert!((rows[0].max - 2.0).abs() < 0.01, "{}", rows[0].max);
        assert!((rows[0].submitted - 1.5).abs() < 1e-9);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let ends = [0.0, 0.9, 1.0, 1.1, 2.2, 3.0, 7.0, 4321.0].map(nice);
        assert_eq!(ends, [1.0, 1.0, 1.0, 2.0, 2.5, 5.0, 10.0, 5000.0]);
        assert_eq!([number(2.5), number(0.0), number(1200.0), number(0.25)], ["2.5", "0", "1200", "0.25"]);
    }
}
