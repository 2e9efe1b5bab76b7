//! What a load run found. Owns: numbers, histograms, thresholds. Takes: a run that is over, or several. Gives: text,
//! JSON, the verdict. Never: calls a run good that lost, doubled or misdirected anything, or one that it kept late.

pub use super::counts::Totals;
use super::latency::Latency;
use super::threshold::{Judged, Metric, Threshold};
use crate::time::{Duration, Wall};
use crate::tools::json::Object;
use crate::tools::units::Share;

/// What a report's JSON is, and in which version.
pub const SCHEMA: &str = "bindery-load/1";
/// The JSON schema of it.
pub const JSON_SCHEMA: &str = include_str!("report.schema.json");

/// Why a run could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No link came up, and the last reason.
    Unreachable(String),
    /// No transmitting bind was accepted, and the last status.
    Refused(String),
}

/// What ran, for who reads the report later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// The version of this program.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Cores that it may use.
    pub cores: u64,
    /// The command line without passwords.
    pub flags: Vec<String>,
}

/// The measured span: after the warm-up, to the end of the schedule or else to the last answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// When it began; zero: never.
    pub from: Wall,
    /// How long it was.
    pub span: Duration,
    /// Messages sent within it.
    pub submitted: u64,
    /// Messages answered within it.
    pub answered: u64,
    /// Messages answered ESME_ROK within it.
    pub accepted: u64,
    /// Messages per second that the schedule asked for; none in a closed loop.
    pub offered: Option<f64>,
}

/// How well the generator itself kept its schedule in the measured span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Messages of the schedule that were sent.
    pub sends: u64,
    /// Sends more than `LATE` after their time though there was room for them.
    pub late: u64,
    /// Sends more than `LATE` after their time because windows were full or links down.
    pub held: u64,
    /// The latest send of those in `late`.
    pub worst: Duration,
    /// The share of late sends from which on the result is invalid; none in a closed loop.
    pub late_max: Option<Share>,
}

/// A send so long after its time is late.
pub const LATE: Duration = Duration::from_millis(1);

impl Health {
    /// Late sends, percent of all.
    #[must_use]
    pub fn late_percent(&self) -> f64 {
        if self.sends == 0 { 0.0 } else { self.late as f64 * 100.0 / self.sends as f64 }
    }

    fn is_late(&self) -> bool {
        self.late_max.is_some_and(|most| self.late_percent() * 1e4 > f64::from(most.millionths()))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing wrong.
    Good,
    /// Nobody was reached.
    Unreachable,
    /// No bind was accepted.
    Refused,
    /// The generator was late, or nothing was measured: the figures say nothing.
    Invalid,
    /// Something was lost, doubled or misdirected, and no threshold speaks of it.
    Faults,
    /// A threshold was missed.
    Missed,
}

impl Verdict {
    /// Its one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Faults => "faults",
            Self::Missed => "missed",
        }
    }

    /// 0 good, 1 failed, 4 nobody was reached, 10 a threshold was missed.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Unreachable => 4,
            Self::Refused | Self::Invalid | Self::Faults => 1,
            Self::Missed => 10,
        }
    }
}

/// All results of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The counters, of all messages.
    pub totals: Totals,
    /// Responses by the name of their status.
    pub responses: Vec<(String, u64)>,
    /// From submit to response, of messages that were due after the warm-up.
    pub response: Latency,
    /// From submit to receipt, of the same.
    pub receipt: Latency,
    /// From the first submit to the last response.
    pub elapsed: Duration,
    /// What was measured.
    pub measured: Measured,
    /// How the generator did.
    pub health: Health,
    /// Why it did not begin.
    pub failure: Option<Failure>,
    /// What it is held to.
    pub thresholds: Vec<Threshold>,
    /// What ran.
    pub ran: Ran,
}

impl Report {
    /// Messages answered per second of the measured span.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.per_second(self.measured.answered)
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.measured.span.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// Messages answered otherwise than ESME_ROK.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.responses.iter().filter(|(status, _)| status != "ESME_ROK").map(|(_, count)| count).sum()
    }

    /// Each threshold with what was found.
    #[must_use]
    pub fn judged(&self) -> Vec<Judged> {
        self.thresholds.iter().map(|threshold| threshold.judge(self)).collect()
    }

    /// Why the figures say nothing.
    #[must_use]
    pub fn invalid(&self) -> Option<String> {
        if self.health.is_late() {
            let most = self.health.late_max.unwrap_or(Share::NONE);
            return Some(format!(
                "{:.1} % of sends late: result invalid (at most {most}, --late-max)",
                self.health.late_percent()
            ));
        }
        let began = self.measured.from != Wall::default();
        let never = self.failure.is_none() && self.totals.get("answered") > 0 && !began;
        never.then(|| "nothing was measured: the run ended in its warm-up".to_owned())
    }

    /// Faults that no threshold speaks of.
    fn faults_unjudged(&self) -> u64 {
        let judged = |metric| self.thresholds.iter().any(|threshold| threshold.metric() == metric);
        let totals = &self.totals;
        let kinds = [
            (Metric::Lost, totals.lost()),
            (Metric::Doubled, totals.doubled()),
            (Metric::Misdirected, totals.misdirected()),
            (Metric::Unknown, totals.unknown()),
        ];
        let spoken: u64 = kinds.iter().filter(|(metric, _)| judged(*metric)).map(|(_, count)| count).sum();
        totals.faults() - spoken
    }

    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.failure {
            Some(Failure::Unreachable(_)) => return Verdict::Unreachable,
            Some(Failure::Refused(_)) => return Verdict::Refused,
            None => {}
        }
        if self.invalid().is_some() {
            return Verdict::Invalid;
        }
        if self.faults_unjudged() > 0 {
            return Verdict::Faults;
        }
        if self.judged().iter().any(|judged| !judged.met) { Verdict::Missed } else { Verdict::Good }
    }

    /// 0 good, 1 invalid, refused at the bind, or something was lost, doubled or misdirected, 4 nobody was reached, 10 a
    /// threshold was missed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.verdict().exit_code()
    }

    /// One JSON object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = Object::new();
        object.text("schema", SCHEMA).text("verdict", self.verdict().name());
        object.flag("valid", self.invalid().is_none() && self.failure.is_none());
        if let Some(reason) = self.invalid() {
            object.text("invalid", &reason);
        }
        if let Some(Failure::Unreachable(reason) | Failure::Refused(reason)) = &self.failure {
            object.text("failure", reason);
        }
        object.objects("thresholds", self.judged().iter().map(judged_json).collect());
        object.object("ran", self.ran.json());
        for (name, count) in self.totals.iter() {
            object.number(name, count);
        }
        object.number("faults", self.totals.faults());
        object.decimal("elapsed_seconds", self.elapsed.as_secs_f64());
        object.decimal("messages_per_second", self.rate());
        object.object("measured", self.measured_json());
        let mut responses = Object::new();
        for (status, count) in &self.responses {
            responses.number(status, *count);
        }
        object.object("responses", responses);
        object.object("response_latency", self.response.json());
        object.object("receipt_latency", self.receipt.json());
        object.object("generator", self.health.json());
        let mut histogram = Object::new();
        histogram.text("submit", &self.response.encode()).text("receipt", &self.receipt.encode());
        object.object("histogram", histogram);
        object.finish()
    }

    fn measured_json(&self) -> Object {
        let measured = &self.measured;
        let mut object = Object::new();
        object.decimal("from", measured.from.0 as f64 / 1e6).decimal("seconds", measured.span.as_secs_f64());
        object.number("submitted", measured.submitted).number("answered", measured.answered);
        object.number("accepted", measured.accepted);
        if let Some(offered) = measured.offered {
            object.decimal("offered_per_second", offered);
        }
        object
    }

    /// Lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.failure {
            Some(Failure::Unreachable(reason)) => return format!("cannot reach the server: {reason}\n"),
            Some(Failure::Refused(status)) => return format!("no bind was accepted: {status}\n"),
            None => {}
        }
        let mut text = self.verdict_text();
        let ran = &self.ran;
        if !ran.version.is_empty() {
            text.push_str(&format!(
                "ran         bindery {}, Linux {}, {} cores\n            {}\n",
                ran.version,
                ran.kernel,
                ran.cores,
                ran.flags.join(" ")
            ));
        }
        text.push_str(&self.throughput_text());
        text.push_str(&format!("response    {}\n", self.response.line()));
        if self.receipt.count() > 0 {
            text.push_str(&format!("receipt     {}\n", self.receipt.line()));
        }
        text.push_str(&self.correctness_text());
        text.push_str(&self.health.text());
        text
    }

    fn verdict_text(&self) -> String {
        let judged = self.judged();
        let missed = judged.iter().filter(|judged| !judged.met).count();
        let faults = self.faults_unjudged();
        let mut text = match self.verdict() {
            Verdict::Good => "GOOD        nothing lost, doubled or misdirected\n".to_owned(),
            Verdict::Invalid => format!("INVALID     {}\n", self.invalid().unwrap_or_default()),
            Verdict::Missed => format!("MISSED      {missed} of {} thresholds\n", judged.len()),
            Verdict::Faults | Verdict::Unreachable | Verdict::Refused => {
                format!("NOT GOOD    {faults} lost, doubled or misdirected\n")
            }
        };
        if self.verdict() == Verdict::Good && self.totals.faults() > 0 {
            text = format!("GOOD        all {} thresholds met\n", judged.len());
        }
        for judged in judged {
            let word = if judged.met { "met" } else { "MISSED" };
            text.push_str(&format!("  {word:<10}{}  found {}\n", judged.text, judged.found));
        }
        text
    }

    fn throughput_text(&self) -> String {
        let measured = &self.measured;
        let offered = measured.offered.map_or_else(
            || format!("{:.0}/s as windows allowed", self.per_second(measured.submitted)),
            |offered| format!("{offered:.0}/s"),
        );
        format!(
            "offered     {offered}\naccepted    {:.0}/s\nanswered    {:.0}/s  {} in {:.3} s\n",
            self.per_second(measured.accepted),
            self.rate(),
            measured.answered,
            measured.span.as_secs_f64(),
        )
    }

    fn correctness_text(&self) -> String {
        let mut text = format!("submitted   {}\n", self.totals.get("submitted"));
        for (status, count) in &self.responses {
            text.push_str(&format!("  {status:<20} {count}\n"));
        }
        for (name, count) in self.totals.iter().skip(2).filter(|(_, count)| *count > 0) {
            text.push_str(&format!("{name:<22} {count}\n"));
        }
        text.push_str(&format!("faults      {}\n", self.totals.faults()));
        text
    }
}

fn judged_json(judged: &Judged) -> Object {
    let mut object = Object::new();
    object.text("threshold", &judged.text).text("found", &judged.found).flag("met", judged.met);
    object
}

impl Ran {
    pub(super) fn json(&self) -> Object {
        let mut object = Object::new();
        object.text("version", &self.version).text("kernel", &self.kernel).number("cores", self.cores);
        object.texts("flags", &self.flags);
        object
    }
}

impl Health {
    fn json(&self) -> Object {
        let mut object = Object::new();
        object.number("sends", self.sends).number("late", self.late).number("held", self.held);
        object.decimal("late_percent", self.late_percent());
        object.decimal("worst_ms", self.worst.as_secs_f64() * 1000.0);
        if let Some(most) = self.late_max {
            object.decimal("late_max_percent", f64::from(most.millionths()) / 1e4);
        }
        object
    }

    fn text(&self) -> String {
        if self.late_max.is_none() {
            return "generator   closed loop: no schedule to keep\n".to_owned();
        }
        let worst = self.worst.as_secs_f64() * 1000.0;
        format!(
            "generator   {:.3} % of {} sends late by its own fault, worst {worst:.3} ms; {} held back by full windows\n",
            self.late_percent(),
            self.sends,
            self.held
        )
    }
}
