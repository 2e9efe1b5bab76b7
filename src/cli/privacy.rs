//! `bindery privacy`. Owns: its grammar and its words. Takes: arguments. Gives: what is held about a number, or what was done so
//! that it is not any more. Never: shows a number in what it says beside an export.

use super::{
    CONFIGURATION, DAMAGED, FAILED, PARTLY, UNREACHABLE, USAGE, code_of, complain, load_config, say,
};
use bindery::config::Config;
use bindery::journal::Opener;
use bindery::journal::recover::Verdict;
use bindery::sidecar::cdr::Erased;
use bindery::sidecar::order::is_terminal;
use bindery::sidecar::privacy::{Through, erase, gone_within, is_number};
use bindery::tools::journal::AskError;
use bindery::tools::journal::person::{Held, Person};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufWriter, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "Examples:
  bindery privacy export -c bindery.toml --number 38267000001 --out 38267000001.jsonl
  bindery privacy erase -c bindery.toml --number 38267000001

An export is JSON lines, one for each record: file, kind (ACCEPT, SENT, FINISH … as of `bindery journal cat`, or CDR), from, to and
text where a record says them, and the record as it is. It reads only, and is safe beside a running node.

An erasure replaces the number in call detail records by the hash that [privacy] keep_numbers writes; through the node while it
runs. Records of the journal are not changed: those of what is over go with their file, at the latest keep_text and erase_within
after its end. What is not over stays: deliver it, or purge it (bindery queue purge), then ask again.

Exit codes: 0 done; 1 failed; 4 the node runs and cannot be reached; 5 partly done, something about the number is not over or was left;
8 of an export: damage, there may be more.";

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ask {
    /// Everything that the journal and the call detail records say about a number, as JSON lines
    Export {
        #[command(flatten)]
        of: Of,
        /// Where to; for this user alone. Default: standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// The number goes from the call detail records, and what is left of it is told
    Erase {
        #[command(flatten)]
        of: Of,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Of what.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    /// The configuration of the node
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
    /// The number, or the name that messages are from
    #[arg(long, value_name = "N")]
    number: String,
}

pub(super) fn run(ask: &Ask) -> u8 {
    let (Ask::Export { of, .. } | Ask::Erase { of, .. }) = ask;
    if !is_number(&of.number) {
        complain(&format!("error: {:?} is no number: 1 to 20 characters", of.number));
        return USAGE;
    }
    let config = match load_config(&of.config, &mut |_| Ok(())) {
        Ok(loaded) => loaded.config,
        Err(report) => {
            let _ = write!(std::io::stderr(), "{}", report.render(std::io::stderr().is_terminal()));
            return CONFIGURATION;
        }
    };
    let done = match ask {
        Ask::Export { out, .. } => export(&config, &of.number, out.as_deref()),
        Ask::Erase { yes, json, .. } => {
            let asks = !yes;
            erased(&config, &of.number, asks, *json)
        }
    };
    done.unwrap_or_else(|error| {
        complain(&format!("error: {error}"));
        match error {
            AskError::Output(error) if error.kind() == ErrorKind::NotConnected => UNREACHABLE,
            AskError::Output(_) | AskError::Journal(_) | AskError::Nothing(_) => FAILED,
        }
    })
}

/// All that there is, as it is written.
fn look(config: &Config, number: &str, out: &mut dyn Write) -> Result<(Held, Verdict), AskError> {
    let key = config.node.data_dir.join("numbers.key");
    // Looking makes no key.
    let hashed = if key.exists() { Some(bindery::io::numbers::key(&key)?.hashed(number)) } else { None };
    let opener = Opener::new(config.privacy.encrypt.iter().map(|key| &key.0));
    Person::new(number, hashed, opener).look(&config.node.data_dir.join("journal"), &config.cdrs, out)
}

fn export(config: &Config, number: &str, out: Option<&Path>) -> Result<u8, AskError> {
    let to: Box<dyn Write> =
        match out {
            None => Box::new(std::io::stdout().lock()),
            Some(path) => {
                let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
                Box::new(file.map_err(|error| {
                    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?)
            }
        };
    let mut to = BufWriter::new(to);
    let (held, verdict) = look(config, number, &mut to)?;
    to.flush()?;
    complain(&format!(
        "{} records of the journal, {} call detail records, {} of them by the hash of the number",
        held.records, held.lines, held.hashed
    ));
    if held.unopened > 0 {
        let why = "sealed records that no key of [privacy] encrypt opens: whose they are is not known";
        complain(&format!("{} {why}", held.unopened));
    }
    Ok(if held.wrong > 0 { DAMAGED } else { code_of(verdict) })
}

fn erased(config: &Config, number: &str, asks: bool, json: bool) -> Result<u8, AskError> {
    let (before, _) = look(config, number, &mut std::io::sink())?;
    if asks {
        let lines = before.lines - before.hashed;
        if !is_terminal() {
            complain("error: there is nobody to be asked; add --yes");
            return Ok(USAGE);
        }
        let question = format!("{lines} call detail records lose this number, for good. Go on? [y/N] ");
        write!(std::io::stderr(), "{question}")?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        if !matches!(line.trim(), "y" | "Y" | "yes") {
            return Ok(FAILED);
        }
    }
    let (through, erased) = erase(config, number)?;
    let (after, _) = look(config, number, &mut std::io::sink())?;
    let report = Report { through, erased, after, within: gone_within(config) };
    say(&if json { report.json() } else { report.text() });
    Ok(if report.is_whole() { 0 } else { PARTLY })
}

/// What was done, and what is left.
struct Report {
    through: Through,
    erased: Erased,
    after: Held,
    within: String,
}

impl Report {
    /// Nothing is left but what goes by itself.
    fn is_whole(&self) -> bool {
        let Held { pending, unopened, quarantined, lines, hashed, .. } = self.after;
        pending == 0 && unopened == 0 && quarantined == 0 && lines == hashed && self.erased.left.is_empty()
    }

    fn json(&self) -> String {
        let left: Vec<String> = self.erased.left.iter().map(|path| path.display().to_string()).collect();
        let through = if self.through == Through::Node { "node" } else { "lock" };
        json!({
            "through": through,
            "cdr": { "files": self.erased.files, "records": self.erased.lines, "left": left,
                "records_left": self.after.lines - self.after.hashed },
            "journal": { "over": self.after.over, "gone_within": self.within, "pending": self.after.pending,
                "unopened": self.after.unopened, "quarantined": self.after.quarantined },
        })
        .to_string()
    }

    fn text(&self) -> String {
        let Self { through, erased, after, within } = self;
        let who = match through {
            Through::Node => "by the node",
            Through::Lock => "by this process, no node runs",
        };
        let mut text = format!(
            "call detail records: {} in {} files lost the number, {who}\n\
             journal: {} messages, receipts and MO are over; they are gone within {within} after their end, as their files are \
             written over or wiped while a node runs",
            erased.lines, erased.files, after.over
        );
        for path in &erased.left {
            let why = "it has lines that are no call detail records, and is written to; it can be erased when the next file is begun";
            text += &format!("\nleft: {}: {why}", path.display());
        }
        if after.pending > 0 {
            text += &format!(
                "\nleft: {} messages, receipts or MO are not over; deliver or purge them (bindery queue purge), then ask again",
                after.pending
            );
        }
        if after.quarantined > 0 {
            let why = "records in quarantine/ of the journal: look what is in it, and remove it";
            text += &format!("\nleft: {} {why}", after.quarantined);
        }
        if after.unopened > 0 {
            let why = "sealed records of the journal that no key of [privacy] encrypt opens";
            text += &format!("\nleft: {} {why}", after.unopened);
        }
        text
    }
}
