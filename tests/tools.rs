//! The tools over real sockets: a simulated carrier and what drives it, on a free port of the loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bindery::ids::ListenerId;
use bindery::io::{self, Driver, Options, Stop, StopHandle};
use bindery::shard::port::Core;
use bindery::time::Duration;
use bindery::tools::load::{self, Load};
use bindery::tools::send::{Messages, Outcome, Parts, Sender, Settings};
use bindery::tools::smsc::{self, Smsc};
use bindery::tools::units::Share;
use clap::Parser;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

fn options(driver: Driver, listener: Option<TcpListener>) -> (Options, StopHandle) {
    let (stop, handle) = Stop::new().unwrap();
    let listeners = listener.into_iter().map(|socket| (ListenerId(0), socket)).collect();
    let log = Box::new(|_: &bindery::shard::port::Event| {});
    (Options { driver, listeners, spin: Duration::ZERO, links_max: 1000, log, stop, lanes: None }, handle)
}

fn run_here<C: Core>(driver: Driver, core: C) -> C {
    io::run(core, options(driver, None).0).unwrap()
}

/// A carrier on its own thread, its address, and its end.
fn carrier(driver: Driver, settings: smsc::Settings) -> (JoinHandle<Smsc>, String, StopHandle) {
    let listener = io::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (options, stop) = options(driver, Some(listener));
    let thread = std::thread::spawn(move || io::run(Smsc::new(settings), options).unwrap());
    (thread, address, stop)
}

#[test]
fn load_over_sockets_loses_nothing_and_the_carrier_counts_the_same() {
    Driver::available().into_iter().for_each(load_loses_nothing);
}

fn load_loses_nothing(driver: Driver) {
    let faults = smsc::Settings {
        delay: Duration::from_millis(1),
        receipt_early: "20%".parse().unwrap(),
        receipt_shuffle: true,
        ..smsc::Settings::default()
    };
    let (thread, address, stop) = carrier(driver, faults);
    let settings = load::Settings {
        address,
        messages: Some(5000),
        receipts: Share::ALL,
        closed: true,
        ..load::Settings::default()
    };
    let load = run_here(driver, Load::new(settings));
    stop.drain();
    let smsc = thread.join().unwrap();
    let (counts, stats) = (load.counts(), smsc.stats());
    assert_eq!((counts.answered.get(), counts.receipts_matched.get(), counts.faults()), (5000, 5000, 0));
    assert_eq!((stats.submits.get(), stats.receipts_acked.get(), stats.sockets.max.get()), (5000, 5000, 4));
    assert_eq!(load.report().exit_code(), 0);
}

#[derive(Parser)]
struct Send {
    #[command(flatten)]
    settings: Settings,
}

fn send(driver: Driver, address: &str) -> (Vec<String>, Outcome) {
    let line = ["send", "--to", "38267123456", "--text", "hello", "--address", address];
    let settings = Send::parse_from(line).settings;
    let parts = Parts::of(&settings, 1).unwrap();
    let messages = Messages::new(&settings.to, &settings.from, parts, true);
    let (lines, printed) = channel();
    let on_done = Box::new(move |message: &bindery::tools::send::Message| {
        lines.send(message.to_string()).unwrap();
    });
    let sender = run_here(driver, Sender::new(settings, messages, on_done));
    (printed.try_iter().collect(), sender.outcome())
}

#[test]
fn a_message_from_the_command_line_is_delivered_and_a_closed_port_is_unreachable() {
    Driver::available().into_iter().for_each(a_message_is_delivered);
}

fn a_message_is_delivered(driver: Driver) {
    let name = Some("alpha".to_owned());
    let (thread, address, stop) = carrier(driver, smsc::Settings { name, ..smsc::Settings::default() });
    let (lines, outcome) = send(driver, &address);
    stop.drain();
    thread.join().unwrap();
    assert_eq!(outcome, Outcome::Good);
    assert!(lines[0].contains("status=ESME_ROK carrier=alpha receipt=DELIVRD err=000"), "{lines:?}");
    let (lines, outcome) = send(driver, &address);
    assert_eq!((lines.len(), outcome.exit_code()), (0, 4));
}
