//! The command line. Owns: its grammar. Takes: arguments. Gives: an exit code. Never: decides about messages.
//!
//! Exit codes: 0 good, 1 runtime failure, 2 usage, 3 configuration invalid, 4 cannot reach the server, 5 timed out or partly done,
//! 6 environment unfit, 8 damage found, 9 acknowledged data missing, 10 threshold missed.

use crate::demo::{self, Demo};
use bindery::config::{self, Files};
use bindery::io;
use bindery::io::log::{self, LogForm};
use bindery::journal::recover::Verdict;
use bindery::node::Node;
use bindery::sidecar::client::{self, Address};
use bindery::sidecar::order;
use bindery::sidecar::show;
use bindery::time::Duration;
use bindery::tools::against;
use bindery::tools::cdr;
use bindery::tools::journal::{self, life};
use bindery::tools::load;
use bindery::tools::record::Record;
use bindery::tools::run::{drive, stop_on_signals};
use bindery::tools::send::{self, Messages, Outcome, Parts, Sender};
use bindery::tools::smsc::{self, Smsc};
use bindery::tools::units;
use clap::{Parser, Subcommand};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

mod privacy;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CONFIGURATION: u8 = 3;
const UNREACHABLE: u8 = 4;
const PARTLY: u8 = 5;
const UNFIT: u8 = 6;
const DAMAGED: u8 = 8;
const MISSING: u8 = 9;

/// A thread-per-core SMPP proxy, load balancer and SMS gateway
#[derive(Debug, Parser)]
#[command(
    name = "bindery",
    version,
    after_help = "Without a command: the demo, a working proxy with two simulated carriers.

Examples:
  bindery                                  the demo on 127.0.0.1:2775, account demo / demo
  bindery send --to 38267123456 --text hello
  bindery check -c bindery.toml && bindery run -c bindery.toml"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node in the foreground; SIGTERM or SIGINT drains and stops it, a second one at once
    #[command(after_help = "Examples:
  bindery run -c bindery.toml
  bindery run -c bindery.toml --adopt      once, on a backup that was taken of a running node")]
    Run(Run),
    /// Check a configuration without binding a port
    #[command(
        after_help = "Examples:\n  bindery check -c bindery.toml\n  bindery check -c bindery.toml --json
  bindery check -c bindery.toml --against /var/lib/bindery"
    )]
    Check(Check),
    /// How a running node is: the verdict, what is not as it should be, then accounts, carriers and sessions
    #[command(after_help = "Examples:
  bindery status
  bindery status -a unix:data/admin.sock --watch
  bindery status -a http://127.0.0.1:2780 --json
  bindery status acme")]
    Status(StatusArgs),
    /// Stored messages (mode = "store") that no carrier has taken: count, hold, release, reroute, purge
    #[command(after_help = "Examples:
  bindery queue ls
  bindery queue ls --esme acme --older 10m --json
  bindery queue hold --carrier alpha
  bindery queue reroute --to '382*' --to-pool standby --yes
  bindery queue purge --class bulk --older 24h

All but ls come by the admin socket, and ask before they change anything.")]
    Queue {
        #[command(subcommand)]
        ask: order::Ask,
    },
    /// Send messages and wait for their receipts
    #[command(after_help = "Examples:
  bindery send --to 38267123456 --from ACME --text 'Hello'
  bindery send --list numbers.txt --text 'Здраво' --encoding ucs2 --receipt-wait 30s
  bindery send --to 38267123456,38267123457 --hex 0102ff --address smsc.example:2775")]
    Send(Box<send::Settings>),
    /// Simulate a carrier, with faults
    #[command(after_help = "Examples:
  bindery smsc --listen 127.0.0.1:2776 --name alpha --delay 20ms --receipt-delay 2s
  bindery smsc --throttle 100/s --error ESME_RSYSERR:5% --receipt-early 10% --receipt-shuffle
  bindery smsc --mo 5/s --mo-to 14499 --json --every 1s")]
    Smsc(Box<SmscArgs>),
    /// Generate load as ESMEs and check that nothing is lost, doubled or misdirected
    #[command(after_help = "Examples:
  bindery load --rate 5000/s --for 30s --warmup 5s --threshold 'submit.p99<20ms' --threshold lost==0
  bindery load --closed --binds 8 --window 64 --messages 1000000
  bindery load --rate 2000/s --mix gsm7:80,ucs2:15,long:5 --receipts 90% --html run.html --hlog run.hlog
  bindery load ramp --from 1000/s --to 100k/s --threshold 'submit.p99<20ms'
  bindery load merge one.json two.json

Without --closed messages leave on a schedule (open loop), 1000/s for 10 s if nothing is said, and latency counts from
the intended time. Exit codes: 0 good, 1 faults or invalid, 4 nobody was reached, 10 a threshold was missed.")]
    Load(Box<load::command::Args>),
    /// The life of a message, by its id or a number, as far as the journal has it
    #[command(after_help = "Examples:
  bindery trace 1781500559569362944
  bindery trace 38267123456 --journal /var/lib/bindery/journal --full

Numbers are masked unless --full is given. What a journal has given back is in the call detail records.")]
    Trace(life::Trace),
    /// What became of receipts: asked for, returned, answered, waiting for their account, still awaited, overdue
    #[command(after_help = "Examples:
  bindery receipts --esme acme --since 24h
  bindery receipts --esme acme --list --json
  bindery receipts --resend 1781500559569362944

A receipt that is sent once more is made from the final record of its message, which the journal has until its file is used
again. Exit codes: 0 it goes out, or waits for its account; 1 there is none, or none any more; 4 no node was reached.")]
    Receipts(ReceiptsArgs),
    /// Read a journal; never writes, safe beside a running node
    #[command(after_help = "Examples:
  bindery journal verify data/journal
  bindery journal cat data/journal --type FINISH --from 100000
  bindery journal pending data/journal --shard 0
  bindery journal stats data/journal
  bindery journal find data/journal --message-id 1781500559569362944 --full
  bindery journal holes data/journal
  bindery journal cursors data/journal --cdr 'data/cdr/{date}.jsonl'
  bindery journal export data/journal --from 100000 > missing.jsonl
  bindery journal cdr-schema

One JSON object per line. Exit codes: 0 sound, or torn as after a crash; 1 it cannot be read; 8 damage; 9 acknowledged data
is missing.")]
    Journal(JournalArgs),
    /// What a node has written about one number: all of it, or its end
    #[command(after_help = privacy::EXAMPLES)]
    Privacy {
        #[command(subcommand)]
        ask: privacy::Ask,
    },
    /// Call detail records out of the files of a sink; never writes
    #[command(after_help = "Examples:
  bindery cdr export -c bindery.toml --esme acme --from 2026-11-01 --to 2026-11-30 --tz Europe/Podgorica
  bindery cdr export 'data/cdr/{date}.jsonl' --sum day,carrier,state
  bindery cdr export data/cdr --from 2026-11-22 --format csv > 22.csv")]
    Cdr(CdrArgs),
}

#[derive(Debug, clap::Args)]
struct ReceiptsArgs {
    #[command(flatten)]
    asked: life::Receipts,
    /// Send the final receipt of this message to its account once more; ID as the account knows it
    #[arg(long, value_name = "ID", conflicts_with = "list")]
    resend: Option<String>,
    /// The admin socket of the node, for --resend
    #[arg(short, long, value_name = "WHERE", default_value = "unix:data/admin.sock")]
    address: Address,
}

#[derive(Debug, clap::Args)]
struct CdrArgs {
    #[command(subcommand)]
    ask: cdr::Ask,
}

#[derive(Debug, clap::Args)]
struct JournalArgs {
    #[command(subcommand)]
    ask: journal::Ask,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The configuration
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
    /// One JSON object per finding
    #[arg(long)]
    json: bool,
    /// Can this program read the journal of the node that has this data_dir? Nothing is written; safe beside the node
    #[arg(long, value_name = "DATA_DIR")]
    against: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// The admin socket or HTTP address of the node: unix:PATH or http://HOST:PORT
    #[arg(short = 'a', long = "address", value_name = "WHERE", default_value = "unix:data/admin.sock")]
    address: Address,
    /// The document of /v1/status as it is
    #[arg(long)]
    json: bool,
    /// Again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Show only the account or carrier of this name, with its sessions and the last bad things that it did
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The configuration
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
    /// Go on with a copied journal whose owner did not end before it was copied: the other one must never be started again
    #[arg(long)]
    adopt: bool,
}

#[derive(Debug, clap::Args)]
struct SmscArgs {
    #[command(flatten)]
    settings: smsc::Settings,
    /// Write the counters as JSON
    #[arg(long)]
    json: bool,
    /// Write the counters this often
    #[arg(long, default_value = "1s", value_parser = units::duration)]
    every: Duration,
}

/// Runs the command line.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let code = match cli.command {
        None => demo(),
        Some(Command::Run(args)) => run_node(&args),
        Some(Command::Check(args)) => check(&args),
        Some(Command::Status(args)) => status(&args),
        Some(Command::Queue { ask }) => queue(&ask),
        Some(Command::Send(settings)) => send(*settings),
        Some(Command::Smsc(args)) => smsc(*args),
        Some(Command::Load(args)) => load(*args),
        Some(Command::Journal(args)) => read_journal(&|out| journal::answer(&args.ask, out)),
        Some(Command::Trace(asked)) => read_journal(&|out| life::trace(&asked, out)),
        Some(Command::Receipts(ReceiptsArgs { resend: Some(id), address, asked })) => {
            resend(&address, &id, asked.esme.as_deref(), asked.json)
        }
        Some(Command::Receipts(ReceiptsArgs { asked, .. })) => {
            let now = io::Clock::start().now().wall;
            read_journal(&|out| life::receipts(&asked, now, out))
        }
        Some(Command::Cdr(args)) => export_records(&args),
        Some(Command::Privacy { ask }) => privacy::run(&ask),
    };
    ExitCode::from(code)
}

fn complain(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn say(text: &str) {
    // A closed pipe ends nothing: the exit code still counts.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn load_config(
    path: &Path,
    makeable: &mut dyn FnMut(&Path) -> std::io::Result<()>,
) -> Result<config::Loaded, config::Report> {
    let mut files = Files {
        read: &mut |path: &Path| std::fs::read_to_string(path),
        list: &mut |folder: &Path| {
            let entries = std::fs::read_dir(folder)?;
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        },
        env: &mut |name: &str| std::env::var(name).ok(),
    };
    config::check(path, &mut files, makeable)
}

/// Why a folder cannot be made or written to: the nearest one that is there decides.
fn makeable(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, access};
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(std::io::Error::other(format!("{} is no folder", there.display())));
    }
    Ok(access(there, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn check(args: &Check) -> u8 {
    let (report, is_good) = match load_config(&args.config, &mut makeable) {
        Ok(loaded) => (loaded.warnings, true),
        Err(report) => (report, false),
    };
    if args.json {
        let _ = write!(std::io::stdout(), "{}", report.to_json());
    } else {
        let _ = write!(std::io::stderr(), "{}", report.render(std::io::stderr().is_terminal()));
    }
    if !is_good {
        return CONFIGURATION;
    }
    if !args.json {
        say("the configuration is good");
    }
    args.against.as_deref().map_or(0, |data_dir| check_against(data_dir, args.json))
}

fn check_against(data_dir: &Path, json: bool) -> u8 {
    match against::read(data_dir) {
        Ok(readable) => {
            say(&if json { readable.json().to_string() } else { readable.to_string() });
            0
        }
        Err(reason) => {
            complain(&format!("error: {reason}"));
            UNFIT
        }
    }
}

fn status(args: &StatusArgs) -> u8 {
    let clear = args.watch && !args.json && std::io::stdout().is_terminal();
    let (_wake, woken) = std::sync::mpsc::channel::<()>();
    loop {
        let document = match client::status(&args.address) {
            Ok(document) => document,
            Err(error) => {
                complain(&format!("error: cannot reach the node at {}: {error}", args.address));
                return UNREACHABLE;
            }
        };
        let document = match &args.name {
            None => document,
            Some(name) => match show::only(&document, name) {
                Some(document) => document,
                None => {
                    complain(&format!("error: no account or carrier that is listed has the name {name:?}"));
                    return USAGE;
                }
            },
        };
        let shown = if args.json { format!("{document}\n") } else { show::text_of(&document) };
        let before = if clear { "\x1b[2J\x1b[H" } else { "" };
        let written = write!(std::io::stdout(), "{before}{shown}").and_then(|()| std::io::stdout().flush());
        if !args.watch || written.is_err() {
            return 0;
        }
        // Nobody sends: this is one second.
        let _ = woken.recv_timeout(Duration::from_secs(1));
    }
}

fn queue(ask: &order::Ask) -> u8 {
    match order::answer(ask, &mut std::io::stdin().lock(), order::is_terminal()) {
        Ok(Some(text)) => u8::from(write!(std::io::stdout(), "{text}").is_err()),
        Ok(None) => FAILED,
        Err(error) => {
            complain(&format!("error: {error}"));
            if matches!(error.kind(), ErrorKind::Other) { USAGE } else { UNREACHABLE }
        }
    }
}

/// A journal is read in this time.
const RESEND_PATIENCE: Duration = Duration::from_secs(600);

fn resend(address: &Address, id: &str, esme: Option<&str>, json: bool) -> u8 {
    let of = esme.map(|esme| format!("&esme={}", client::escaped(esme))).unwrap_or_default();
    let path = format!("/v1/receipts/resend?id={}{of}", client::escaped(id));
    match client::post_for(address, &path, RESEND_PATIENCE) {
        Ok(body) if json => say(body.trim_end()),
        Ok(body) => {
            let document: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            let of = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
            let waits = if document["waits"] == true { "waits for a session of" } else { "goes to" };
            say(&format!("receipt of {id}, {}: {waits} {}", of("state"), of("esme")));
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            return if error.kind() == ErrorKind::Other { FAILED } else { UNREACHABLE };
        }
    }
    0
}

fn run_node(args: &Run) -> u8 {
    // What cannot be made the node says itself.
    let loaded = match load_config(&args.config, &mut |_| Ok(())) {
        Ok(loaded) => loaded,
        Err(report) => {
            let _ = write!(std::io::stderr(), "{}", report.render(std::io::stderr().is_terminal()));
            return CONFIGURATION;
        }
    };
    if !loaded.warnings.is_empty() {
        let _ = write!(std::io::stderr(), "{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    raise_descriptor_limit();
    let log = log::to_stderr(LogForm::of_stderr());
    let start = if args.adopt { Node::adopt } else { Node::start };
    let node = match start(loaded.config, log) {
        Ok(node) => node,
        Err(error) => {
            complain(&format!("error: {error}"));
            return UNFIT;
        }
    };
    // Whoever reads that it listens may tell it to end.
    let signals = stop_on_signals(node.stop());
    for address in node.addresses() {
        complain(&format!("listening address={address}"));
    }
    if let Some(address) = node.http_address() {
        complain(&format!("http address={address}"));
    }
    ended(signals.and_then(|_| node.wait()))
}

/// As many sockets as the system allows us: services often start with a soft limit of 1024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that stays as it is bounds the links; connections over it are turned away.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn ended(result: std::io::Result<()>) -> u8 {
    result.map_or_else(|error| unfit(&error), |()| 0)
}

fn demo() -> u8 {
    let log = demo::quiet(log::to_stderr(LogForm::of_stderr()));
    let running = match Demo::start(demo::ADDRESS, io::Driver::Auto, log) {
        Ok(running) => running,
        Err(reason) => {
            complain(&format!("error: {reason}"));
            return UNFIT;
        }
    };
    let under_cargo = std::env::var_os("CARGO").is_some();
    let program = if under_cargo { "cargo run --release --" } else { "bindery" };
    if let Some(address) = running.node.addresses().first() {
        say(&demo::greeting(*address, program));
    }
    let signals = match stop_on_signals(running.node.stop()) {
        Ok(signals) => signals,
        Err(error) => return unfit(&error),
    };
    let terminal = std::io::stdout().is_terminal();
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let mut last = String::new();
    while !running.node.is_over() {
        let line = running.counts();
        if line != last {
            let ends = if terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
            let _ = write!(std::io::stdout(), "{}{line}{}", ends.0, ends.1);
            let _ = std::io::stdout().flush();
            last = line;
        }
        // Nobody sends: this is one second, or less time when the node has ended.
        let _ = woken.recv_timeout(Duration::from_secs(1));
    }
    drop(wake);
    signals.close();
    if terminal {
        say("");
    }
    ended(running.finish())
}

fn numbers(settings: &send::Settings) -> Result<Vec<String>, String> {
    let mut numbers = settings.to.clone();
    if let Some(path) = &settings.list {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = text.lines().map(str::trim);
        numbers.extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
    }
    for number in &mut numbers {
        *number = number.trim().trim_start_matches('+').to_owned();
    }
    match numbers.iter().find(|number| !(1..=20).contains(&number.len())) {
        Some(wrong) => Err(format!("{wrong:?} is no number: 1 to 20 characters")),
        None if numbers.is_empty() => Err("there is no number to send to".to_owned()),
        None => Ok(numbers),
    }
}

fn send(settings: send::Settings) -> u8 {
    // Parts of one message share it; two messages to one phone should not.
    let reference = io::Clock::start().now().wall.0 as u8;
    let prepared = numbers(&settings).and_then(|numbers| Ok((numbers, Parts::of(&settings, reference)?)));
    let (numbers, parts) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => {
            complain(&format!("error: {reason}"));
            return USAGE;
        }
    };
    let wants_receipt = !settings.receipt_wait.is_zero();
    let messages = Messages::new(&numbers, &settings.from, parts, wants_receipt);
    let core = Sender::new(settings, messages, Box::new(|message| say(&message.to_string())));
    let log = log::to_stderr(LogForm::of_stderr());
    match drive(core, None, log, Duration::from_secs(1), || {}) {
        Ok(core) => {
            let outcome = core.outcome();
            match &outcome {
                Outcome::Failed(reason) => complain(&format!("error: {reason}")),
                Outcome::Unreachable(reason) => {
                    complain(&format!("error: cannot reach the server: {reason}"))
                }
                Outcome::Good | Outcome::NotDelivered | Outcome::TimedOut => {}
            }
            outcome.exit_code()
        }
        Err(error) => unfit(&error),
    }
}

fn unfit(error: &std::io::Error) -> u8 {
    complain(&format!("error: {error}"));
    if error.kind() == std::io::ErrorKind::Unsupported { UNFIT } else { FAILED }
}

fn smsc(args: SmscArgs) -> u8 {
    let listener = match io::listen(args.settings.listen) {
        Ok(listener) => listener,
        Err(error) => {
            complain(&format!("error: cannot listen on {}: {error}", args.settings.listen));
            return UNFIT;
        }
    };
    if let Ok(address) = listener.local_addr() {
        complain(&format!("listening address={address}"));
    }
    let record = match record_to(args.settings.record.as_deref()) {
        Ok(record) => record,
        Err(error) => return unfit(&error),
    };
    let mut core = Smsc::new(args.settings);
    core.record_to(record);
    let stats = core.stats();
    let show = |stats: &smsc::Stats| say(&if args.json { stats.json() } else { stats.line() });
    let log = log::to_stderr(LogForm::of_stderr());
    let (mut last, live) = (String::new(), Arc::clone(&stats));
    let result = drive(core, Some(listener), log, args.every, || {
        // A carrier that has nothing to do says nothing new.
        let line = live.json();
        if line != last {
            show(&live);
            last = line;
        }
    });
    match result {
        Ok(core) => {
            show(&stats);
            core.record().error().map_or(0, unfit)
        }
        Err(error) => unfit(&error),
    }
}

/// A record that goes on where the file ends.
fn record_to(path: Option<&Path>) -> std::io::Result<Record> {
    let Some(path) = path else { return Ok(Record::default()) };
    let file = std::fs::File::options().create(true).append(true).open(path);
    let named =
        |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Ok(Record::new(Box::new(file.map_err(named)?)))
}

fn code_of(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Sound | Verdict::Torn => 0,
        Verdict::Damaged => DAMAGED,
        Verdict::Missing => MISSING,
    }
}

fn read_journal(answer: &dyn Fn(&mut dyn Write) -> Result<Verdict, journal::AskError>) -> u8 {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let answered = answer(&mut out).and_then(|verdict| Ok(out.flush().map(|()| verdict)?));
    match answered {
        Ok(verdict) => code_of(verdict),
        Err(error) => {
            complain(&format!("error: {error}"));
            FAILED
        }
    }
}

fn export_records(args: &CdrArgs) -> u8 {
    let cdr::Ask::Export(ask) = &args.ask;
    let sink = match ask.config.as_deref().map(|path| load_config(path, &mut |_| Ok(()))) {
        None => None,
        Some(Err(report)) => {
            let _ = write!(std::io::stderr(), "{}", report.render(std::io::stderr().is_terminal()));
            return CONFIGURATION;
        }
        Some(Ok(loaded)) => match loaded.config.cdrs.into_iter().next() {
            Some(sink) => Some(sink),
            None => {
                complain("error: the configuration has no [[cdr]]");
                return CONFIGURATION;
            }
        },
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let exported = cdr::export(ask, sink.as_ref(), &mut out).and_then(|done| out.flush().map(|()| done));
    match exported {
        Ok(done) if done.wrong > 0 => {
            complain(&format!("error: {} lines are no call detail records", done.wrong));
            DAMAGED
        }
        Ok(_) => 0,
        Err(error) => {
            complain(&format!("error: {error}"));
            FAILED
        }
    }
}

fn load(args: load::command::Args) -> u8 {
    raise_descriptor_limit();
    load::command::run(args).unwrap_or_else(|error| unfit(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_help_with_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", sub.get_name());
        }
    }

    #[test]
    fn the_examples_are_good_command_lines() {
        for line in [
            "bindery smsc --throttle 100/s --error ESME_RSYSERR:5% --receipt-early 10% --receipt-shuffle",
            "bindery load --account acme:secret --account bank:secret --bind tx+rx --for 10s",
            "bindery load --rate 5000/s --for 30s --warmup 5s --threshold submit.p99<20ms --threshold lost==0",
            "bindery load --rate 2000/s --mix gsm7:80,ucs2:15,long:5 --receipts 90% --html run.html --hlog run.hlog",
            "bindery load ramp --from 1000/s --to 100k/s --threshold submit.p99<20ms",
            "bindery load ramp --destination 381-382 --source ACME --step 2%",
            "bindery load merge --json one.json two.json",
            "bindery load storm --account acme:guess --sources 1000 --rate 10k/s --attempts 300000",
            "bindery send --to 38267123456,38267123457 --hex 0102ff --address smsc.example:2775",
            "bindery check -c bindery.toml --json",
            "bindery check -c bindery.toml --against /var/lib/bindery",
            "bindery status",
            "bindery journal verify data/journal",
            "bindery journal ls data/journal",
            "bindery journal cat data/journal --type FINISH --from 100000 --key 7 --full",
            "bindery journal pending data/journal --shard 0",
            "bindery journal stats data/journal",
            "bindery journal find data/journal --message-id 1781500559569362944 --full",
            "bindery journal holes data/journal",
            "bindery journal cursors data/journal --cdr data/cdr/{date}.jsonl",
            "bindery journal export data/journal --from 100000",
            "bindery journal cdr-schema",
            "bindery cdr export -c x.toml --esme acme --from 2026-11-01 --to 2026-11-30 --tz Europe/Podgorica",
            "bindery cdr export data/cdr/{date}.jsonl --sum day,carrier,state",
            "bindery cdr export data/cdr --from 2026-11-22 --format csv",
            "bindery status -a http://127.0.0.1:2780 --json",
            "bindery run -c bindery.toml --adopt",
            "bindery status acme --watch",
            "bindery receipts --resend 1781500559569362944 --esme acme -a unix:admin.sock",
            "bindery privacy export -c bindery.toml --number +38267000001 --out 38267000001.jsonl",
            "bindery privacy erase -c bindery.toml --number 38267000001 --yes --json",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap();
        }
        assert!(Cli::try_parse_from(["bindery", "send", "--text", "no number"]).is_err());
    }

    #[test]
    fn a_node_that_cannot_be_reached_is_exit_code_4() {
        for address in ["unix:/nonexistent/admin.sock", "http://127.0.0.1:1"] {
            let address = address.parse().unwrap();
            let args = StatusArgs { address, json: false, watch: false, name: None };
            assert_eq!(status(&args), UNREACHABLE, "{:?}", args.address);
        }
    }

    #[test]
    fn numbers_come_from_the_line_and_lose_their_plus() {
        let read = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Send(settings)) => numbers(&settings),
            _ => Err("not send".to_owned()),
        };
        assert_eq!(read("bindery send --to +381,382 --text x"), Ok(vec!["381".into(), "382".into()]));
        assert!(read("bindery send --to 381,,382 --text x").is_err());
        assert!(read("bindery send --list /nonexistent --text x").is_err());
    }
}
