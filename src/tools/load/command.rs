//! `bindery load` as a command: a run, a ramp, a merge. Owns: what is shown and written while a run goes on. Takes: the
//! command line. Gives: the report and its exit code. Never: shows a password.

use super::meter::{Notice, Second};
use super::ramp::{Bounds, Search};
use super::report::{JSON_SCHEMA, Ran, Report, Verdict};
use super::{Load, Settings, files, html, live, merge, storm};
use crate::io::log::{self, LogForm};
use crate::throttle::Rate;
use crate::time::{Duration, Wall};
use crate::tools::json::Object;
use crate::tools::record::Record;
use crate::tools::run::drive;
use clap::Subcommand;
use std::fs::File;
use std::io::{BufWriter, Error, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

const USAGE: u8 = 2;
/// How often the main thread looks for seconds that are over.
const LOOK: Duration = Duration::from_millis(100);
/// Without a terminal a line is written for every so manieth second.
const PLAIN_EVERY: u64 = 10;
/// How long each step of a ramp is measured when nobody says it.
const STEP: Duration = Duration::from_secs(10);
/// How long each step warms up when nobody says it.
const STEP_WARMUP: Duration = Duration::from_secs(1);
/// A step must be answered at this share of its rate.
const REACHED: f64 = 0.99;

/// The command line of `bindery load`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    form: Option<Form>,
    #[command(flatten)]
    run: Run,
    /// Print the JSON schema of the report and end
    #[arg(long)]
    json_schema: bool,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// Find the highest rate that meets the thresholds and is answered within 1 % of it
    #[command(after_help = "Examples:
  bindery load ramp --from 1000/s --to 100k/s --threshold 'submit.p99<20ms' --threshold lost==0
  bindery load ramp --to-address smsc.example:2775 --account acme:secret --for 30s --json")]
    Ramp(Box<Ramp>),
    /// Make one report of several, of generators that ran at the same time
    #[command(after_help = "Examples:
  bindery load merge one.json two.json
  bindery load merge --json *.json --threshold 'submit.p99<20ms'")]
    Merge(Merge),
    /// Bind from many addresses at once, as ESMEs that come back or with passwords that are guessed
    #[command(after_help = "Examples:
  bindery load storm --account acme:guess --sources 1000 --rate 10k/s --attempts 300000
  bindery load storm --account acme:secret --account bank:secret --rate 2000/s --attempts 2000 --hold

Linux lets a program come from any address of 127.0.0.0/8. With --hold exit code 10 says that not all were bound.")]
    Storm(Box<storm::Settings>),
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Shown {
    /// Write the report as JSON, one object on the last line; before it one on a line when measuring begins and ends
    #[arg(long)]
    json: bool,
    /// Show nothing while it runs
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    shown: Shown,
    /// Write an HdrHistogram interval log, one interval a second, tags submit and receipt
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// Write a line for each second
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write one page with pictures of the run
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(mut_arg("to", |arg| arg.long("destination")), mut_arg("from", |arg| arg.long("source")))]
struct Ramp {
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, clap::Args)]
struct Merge {
    /// Reports of `bindery load --json`
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
    /// Hold the whole to this
    #[arg(long = "threshold", value_name = "METRIC<BOUND")]
    thresholds: Vec<super::threshold::Threshold>,
}

/// Runs it and gives its exit code.
///
/// # Errors
/// A file cannot be written, or the run has failed.
pub fn run(args: Args) -> std::io::Result<u8> {
    if args.json_schema {
        say(JSON_SCHEMA.trim_end());
        return Ok(0);
    }
    match args.form {
        None => run_once(args.run),
        Some(Form::Ramp(ramp)) => run_ramp(&ramp),
        Some(Form::Merge(merge)) => run_merge(merge),
        Some(Form::Storm(settings)) => run_storm(*settings),
    }
}

fn say(text: &str) {
    // A closed pipe ends nothing: the exit code still counts.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn named(path: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn show(report: &Report, json: bool) {
    say(if json { report.json() } else { report.text() }.trim_end());
}

fn seconds_of(wall: Wall) -> f64 {
    wall.0 as f64 / 1e6
}

/// Tells when measuring begins and ends, at once: a script reads another process's CPU by it.
fn tell(notice: &Notice, shown: Shown) {
    let mut object = Object::new();
    match notice {
        Notice::Measuring(at) => object.text("event", "measuring").decimal("at", seconds_of(*at)),
        Notice::Measured(at, answered) => {
            object.text("event", "measured").decimal("at", seconds_of(*at)).number("answered", *answered)
        }
        Notice::Second(_) => return,
    };
    if shown.json {
        return say(&object.finish());
    }
    if shown.quiet || std::io::stderr().is_terminal() {
        return;
    }
    match notice {
        Notice::Measuring(at) => complain(&format!("measuring at={:.3}", seconds_of(*at))),
        Notice::Measured(at, answered) => {
            complain(&format!("measured at={:.3} answered={answered}", seconds_of(*at)));
        }
        Notice::Second(_) => {}
    }
}

/// What is written while a run goes on.
struct Outputs {
    hlog: Option<BufWriter<File>>,
    csv: Option<BufWriter<File>>,
    /// Every second, for the page.
    kept: Option<Vec<Second>>,
    live: bool,
    terminal: bool,
    count: u64,
    error: Option<Error>,
}

fn create(path: Option<&PathBuf>) -> std::io::Result<Option<BufWriter<File>>> {
    let Some(path) = path else { return Ok(None) };
    Ok(Some(BufWriter::new(File::create(path).map_err(|error| named(path, error))?)))
}

impl Outputs {
    fn open(args: &Run) -> std::io::Result<Self> {
        let mut csv = create(args.csv.as_ref())?;
        if let Some(csv) = &mut csv {
            csv.write_all(files::CSV_HEAD.as_bytes())?;
        }
        // The page is written at the end; that it can be is known now.
        create(args.html.as_ref())?;
        Ok(Self {
            hlog: create(args.hlog.as_ref())?,
            csv,
            kept: args.html.is_some().then(Vec::new),
            live: !args.shown.json && !args.shown.quiet,
            terminal: std::io::stderr().is_terminal(),
            count: 0,
            error: None,
        })
    }

    fn take(&mut self, seconds: &Receiver<Box<Second>>) {
        for second in seconds.try_iter() {
            if let Err(error) = self.write(&second) {
                self.error.get_or_insert(error);
            }
            self.show(&second);
            self.count += 1;
            if let Some(kept) = &mut self.kept {
                kept.push(*second);
            }
        }
    }

    fn write(&mut self, second: &Second) -> std::io::Result<()> {
        if let Some(csv) = &mut self.csv {
            csv.write_all(files::csv(second).as_bytes())?;
        }
        let Some(hlog) = &mut self.hlog else { return Ok(()) };
        if self.count == 0 {
            hlog.write_all(files::hlog_head(second).as_bytes())?;
        }
        hlog.write_all(files::hlog(second).as_bytes())
    }

    fn show(&self, second: &Second) {
        if !self.live {
            return;
        }
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[2K{}", live::line(second));
        } else if (self.count + 1).is_multiple_of(PLAIN_EVERY) {
            complain(&live::line(second));
        }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        if self.live && self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for file in [&mut self.hlog, &mut self.csv].into_iter().flatten() {
            file.flush()?;
        }
        Ok(())
    }
}

/// A record that goes on where the file ends.
fn record_to(path: Option<&Path>) -> std::io::Result<Record> {
    let Some(path) = path else { return Ok(Record::default()) };
    let file = File::options().create(true).append(true).open(path);
    Ok(Record::new(Box::new(file.map_err(|error| named(path, error))?)))
}

fn run_once(args: Run) -> std::io::Result<u8> {
    let mut outputs = Outputs::open(&args)?;
    let shown = args.shown;
    let told = move |notice: &Notice| tell(notice, shown);
    let core = run_load(args.settings, told, |seconds| outputs.take(seconds))?;
    outputs.finish()?;
    let report = Report { ran: ran(), ..core.report() };
    show(&report, shown.json);
    if let (Some(path), Some(seconds)) = (&args.html, &outputs.kept) {
        std::fs::write(path, html::page(&report, seconds)).map_err(|error| named(path, error))?;
    }
    match core.record().error() {
        Some(error) => Err(Error::new(error.kind(), error.to_string())),
        None => Ok(report.exit_code()),
    }
}

/// Runs a load to its end; `told` hears of the measured span on the thread that runs it, `look` gets its seconds.
fn run_load(
    settings: Settings,
    told: impl Fn(&Notice) + Send + 'static,
    mut look: impl FnMut(&Receiver<Box<Second>>),
) -> std::io::Result<Load> {
    let record = record_to(settings.record.as_deref())?;
    let mut core = Load::new(settings);
    core.record_to(record);
    let (give, seconds) = channel();
    core.listen(Box::new(move |notice| match notice {
        // Nobody looks any more when this fails.
        Notice::Second(second) => drop(give.send(second)),
        Notice::Measuring(_) | Notice::Measured(..) => told(&notice),
    }));
    let log = log::to_stderr(LogForm::of_stderr());
    let result = drive(core, None, log, LOOK, || look(&seconds));
    look(&seconds);
    result
}

/// What runs: this program on this machine with these flags.
fn ran() -> Ran {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get() as u64);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ran { version, kernel: kernel.trim().to_owned(), cores, flags: masked(std::env::args().skip(1)) }
}

/// The command line without passwords.
fn masked(flags: impl Iterator<Item = String>) -> Vec<String> {
    let mut before = String::new();
    let mut all = Vec::new();
    for flag in flags {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value)),
            _ => (before.clone(), Some(flag.as_str())),
        };
        let hidden = match (name.as_str(), value) {
            ("--password", Some(_)) => Some("***".to_owned()),
            ("--account", Some(value)) => {
                let (account, _) = value.split_once(':').unwrap_or((value, ""));
                Some(format!("{account}:***"))
            }
            _ => None,
        };
        all.push(match hidden {
            Some(hidden) if flag.starts_with("--") => format!("{name}={hidden}"),
            Some(hidden) => hidden,
            None => flag.clone(),
        });
        before = flag;
    }
    all
}

/// A rate that was tried and what came of it.
struct Step {
    rate: Rate,
    report: Report,
    reason: Option<String>,
}

impl Step {
    fn new(rate: Rate, report: Report) -> Self {
        let reason = miss(&report);
        Self { rate, report, reason }
    }

    fn line(&self) -> String {
        let report = &self.report;
        let verdict = self.reason.as_ref().map_or_else(|| "held".to_owned(), |why| format!("missed: {why}"));
        format!(
            "{:>9}/s  answered {:>9.0}/s  p50 {:.3} p99 {:.3} max {:.3} ms  {verdict}",
            self.rate.units,
            report.rate(),
            report.response.quantile_ms(0.5),
            report.response.quantile_ms(0.99),
            report.response.quantile_ms(1.0),
        )
    }

    fn json(&self) -> Object {
        let mut object = Object::new();
        object.number("offered_per_second", self.rate.units);
        object.decimal("messages_per_second", self.report.rate());
        object.flag("held", self.reason.is_none());
        if let Some(reason) = &self.reason {
            object.text("reason", reason);
        }
        object.object("response_latency", self.report.response.json());
        object.object("receipt_latency", self.report.receipt.json());
        object.number("faults", self.report.totals.faults());
        object
    }
}

/// Why a step did not hold.
fn miss(report: &Report) -> Option<String> {
    if let Some(reason) = report.invalid() {
        return Some(reason);
    }
    let missed = report.judged().into_iter().find(|judged| !judged.met);
    if let Some(missed) = missed {
        return Some(format!("{}, found {}", missed.text, missed.found));
    }
    let verdict = report.verdict();
    if verdict != Verdict::Good {
        return Some(format!("{} faults", report.totals.faults()));
    }
    let offered = report.measured.offered.unwrap_or_default();
    (report.rate() < offered * REACHED).then(|| format!("answered at {:.0}/s only", report.rate()))
}

fn run_ramp(args: &Ramp) -> std::io::Result<u8> {
    let settings = &args.settings;
    if settings.rate.is_some() || settings.closed || settings.messages.is_some() {
        complain("error: a ramp chooses its rates itself: no --rate, --closed or --messages");
        return Ok(USAGE);
    }
    let mut search = Search::new(args.bounds);
    let mut steps: Vec<Step> = Vec::new();
    while let Some(rate) = search.next() {
        let settings = Settings {
            rate: Some(rate),
            span: Some(settings.span.unwrap_or(STEP)),
            warmup: Some(settings.warmup.unwrap_or(STEP_WARMUP)),
            ..settings.clone()
        };
        let core = run_load(settings, |_| (), |seconds| seconds.try_iter().for_each(drop))?;
        let report = core.report();
        if report.failure.is_some() {
            show(&report, args.shown.json);
            return Ok(report.exit_code());
        }
        if core.was_stopped() {
            break;
        }
        let step = Step::new(rate, report);
        search.tell(rate, step.reason.is_none());
        if args.shown.json {
            let mut event = Object::new();
            event.text("event", "step").object("step", step.json());
            say(&event.finish());
        } else if !args.shown.quiet {
            say(&step.line());
        }
        steps.push(step);
    }
    Ok(answer(&search, &steps, args.shown.json))
}

fn answer(search: &Search, steps: &[Step], json: bool) -> u8 {
    // When the least rate that did not hold was the generator's own limit, more may be possible.
    let least = steps.iter().find(|step| search.missed() == Some(step.rate.units));
    let own = least.is_some_and(|step| step.report.invalid().is_some());
    if json {
        let mut object = Object::new();
        object.text("schema", "bindery-load-ramp/1");
        object.number("highest_per_second", search.held().unwrap_or(0));
        object.flag("limited_by_generator", own).flag("limited_by_to", search.missed().is_none());
        object.object("ran", ran().json()).objects("steps", steps.iter().map(Step::json).collect());
        say(&object.finish());
    } else {
        let bound = if search.missed().is_none() { " or more: --to was reached" } else { "" };
        let bound = if own { " or more: the generator was the limit" } else { bound };
        say(&match search.held() {
            Some(held) => format!("highest     {held}/s{bound}"),
            None => "highest     none: the first rate did not hold".to_owned(),
        });
    }
    if search.held().is_some() { 0 } else { Verdict::Missed.exit_code() }
}

fn run_storm(settings: storm::Settings) -> std::io::Result<u8> {
    let (json, wanted) = (settings.json, settings.hold.then_some(settings.attempts));
    let log = log::to_stderr(LogForm::of_stderr());
    let core = drive(storm::Storm::new(settings), None, log, LOOK, || {})?;
    let outcome = core.outcome();
    say(&if json { outcome.json() } else { outcome.text() });
    let missed = wanted.is_some_and(|wanted| outcome.bound < wanted);
    Ok(if missed { Verdict::Missed.exit_code() } else { 0 })
}

fn run_merge(args: Merge) -> std::io::Result<u8> {
    let mut reports = Vec::new();
    for path in &args.files {
        let text = std::fs::read_to_string(path).map_err(|error| named(path, error))?;
        match merge::read(&text) {
            Ok(report) => reports.push(report),
            Err(reason) => {
                complain(&format!("error: {}: {reason}", path.display()));
                return Ok(Verdict::Invalid.exit_code());
            }
        }
    }
    match merge::merge(reports, ran()) {
        Ok(merged) => {
            let report = Report { thresholds: args.thresholds, ..merged };
            show(&report, args.json);
            Ok(report.exit_code())
        }
        Err(reason) => {
            complain(&format!("error: {reason}"));
            Ok(Verdict::Invalid.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::smsc::{self, Smsc};
    use crate::tools::units;
    use crate::tools::wire::Wire;

    /// The best rate of one session whose window holds ten, by a carrier of this delay.
    fn highest(delay: Duration, thresholds: &[&str]) -> (Search, Vec<Step>) {
        let bounds = Bounds {
            from: units::rate("100/s").unwrap(),
            to: units::rate("100k/s").unwrap(),
            step: "2%".parse().unwrap(),
        };
        let (mut search, mut steps) = (Search::new(bounds), Vec::new());
        while let Some(rate) = search.next() {
            let settings = Settings {
                rate: Some(rate),
                span: Some(Duration::from_secs(10)),
                warmup: Some(STEP_WARMUP),
                binds: 1,
                window: 10,
                thresholds: thresholds.iter().map(|text| text.parse().unwrap()).collect(),
                ..Settings::default()
            };
            let carrier = Smsc::new(smsc::Settings { delay, ..smsc::Settings::default() });
            let mut wire = Wire::new(Load::new(settings), carrier);
            wire.run(Duration::from_secs(100));
            let step = Step::new(rate, wire.near.report());
            search.tell(rate, step.reason.is_none());
            steps.push(step);
        }
        (search, steps)
    }

    #[test]
    fn a_ramp_finds_what_a_window_and_a_delay_allow() {
        let (search, steps) = highest(Duration::from_millis(10), &[]);
        let held = search.held().unwrap();
        assert!((980..=1010).contains(&held), "{held}");
        let reason = steps.iter().find_map(|step| step.reason.as_deref()).unwrap();
        assert!(reason.contains("answered at 1000/s only"), "{reason}");
    }

    #[test]
    fn a_ramp_holds_its_steps_to_the_thresholds() {
        let (search, steps) = highest(Duration::from_millis(10), &["submit.p99<5ms"]);
        assert_eq!((search.held(), steps.len()), (None, 1));
        let reason = steps[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("submit.p99<5ms, found 10."), "{reason}");
        let line = steps[0].line();
        assert!(line.contains("100/s") && line.contains("missed: submit.p99"), "{line}");
    }

    #[test]
    fn no_password_is_shown() {
        let line =
            "load --password geheim --account a:geheim --account=b:geheim --password=geheim --rate 5/s";
        let shown = masked(line.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(shown, "load --password *** --account a:*** --account=b:*** --password=*** --rate 5/s");
    }
}
