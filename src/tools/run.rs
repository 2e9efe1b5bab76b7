//! Runs a tool's core: a thread with a driver, the signals, a look at the counters now and then. Owns: the thread
//! while it runs. Takes: a core. Gives: it back when it is done. Never: more than one core.

use crate::ids::ListenerId;
use crate::io::{self, Driver, Options, Stop, Stops};
use crate::shard::port::{Core, Event};
use crate::time::Duration;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::TcpListener;
use std::sync::mpsc::{RecvTimeoutError, channel};

/// Links at once.
const LINKS_MAX: u32 = 65_536;

/// Turns signals into stops: the first drains, the second ends at once.
///
/// # Errors
/// The handlers cannot be set.
pub fn stop_on_signals(stop: impl Into<Stops>) -> std::io::Result<signal_hook::iterator::Handle> {
    let stop = stop.into();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let handle = signals.handle();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for (number, _) in signals.forever().enumerate() {
            if number == 0 {
                stop.drain();
            } else {
                stop.exit();
            }
        }
    })?;
    Ok(handle)
}

/// Runs `core` on a thread until it is done or the second signal comes; calls `look` every so often.
///
/// # Errors
/// What the driver says, or that its thread has failed.
pub fn drive<C: Core + Send + 'static>(
    core: C,
    listener: Option<TcpListener>,
    log: Box<dyn FnMut(&Event) + Send>,
    every: Duration,
    mut look: impl FnMut(),
) -> std::io::Result<C> {
    let (stop, handle) = Stop::new()?;
    let signals = stop_on_signals(handle)?;
    let listeners = listener.into_iter().map(|socket| (ListenerId(0), socket)).collect();
    let spin = Duration::ZERO;
    // What moves a tool's octets is nobody's concern.
    let mut tell = log;
    let log = Box::new(move |event: &Event| {
        if event.name != "io" {
            tell(event);
        }
    });
    let options =
        Options { driver: Driver::Epoll, listeners, spin, links_max: LINKS_MAX, log, stop, lanes: None };
    let (done, result) = channel();
    std::thread::Builder::new().name("core".into()).spawn(move || {
        // Nobody waits any more when this fails.
        let _ = done.send(io::run(core, options));
    })?;
    let outcome = loop {
        match result.recv_timeout(every.max(Duration::from_millis(10))) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) => look(),
            Err(RecvTimeoutError::Disconnected) => {
                break Err(std::io::Error::other("the thread of the driver has failed"));
            }
        }
    };
    signals.close();
    outcome
}
