//! The glommio driver: io_uring's own ring, hosted by a glommio executor on the shard's thread. Where that driver would
//! block in its ring, this one awaits the ring's eventfd, so other tasks of the executor run meanwhile (design decision 2).
//!
//! Owns: the executor, the eventfd. Takes: a loop over the io_uring driver. Gives: its core when it ends. Never: a
//! socket through glommio, and no glommio name elsewhere.
#![allow(unsafe_code, reason = "an eventfd is handed to glommio as a file")]

use super::mover::Mover;
use super::resolve::Resolver;
use super::turns::Turns;
use super::uring::Uring;
use super::{Options, asked_again, no_driver, say};
use crate::ids::ListenerId;
use crate::shard::port::Core;
use crate::time::Duration;
use ::glommio::io::BufferedFile;
use ::glommio::{LocalExecutor, LocalExecutorBuilder, Placement, yield_if_needed};
use rustix::event::{EventfdFlags, eventfd};
use std::io::{Error, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};

/// As the configuration says it.
pub(super) const NAME: &str = "glommio";
/// Memory that each executor registers for files, of which it reads one with eight octets.
const FILE_MEMORY: usize = 64 * 1024;

/// Shows that so many loops can be hosted here at once, or why not.
pub(super) fn probe(loops: usize) -> std::io::Result<()> {
    // glommio panics without io_uring, so the rings come first.
    Uring::probe(loops, || (0..loops).map(|_| executor()).collect::<std::io::Result<Vec<_>>>())
}

/// An executor of this thread, wherever the thread may run.
fn executor() -> std::io::Result<LocalExecutor> {
    let make = || LocalExecutorBuilder::new(Placement::Unbound).io_memory(FILE_MEMORY).make();
    match std::panic::catch_unwind(make) {
        Ok(made) => made.map_err(Error::from),
        Err(_) => Err(Error::other("its executor panicked")),
    }
}

/// Runs `core` until it says `Exit` or the stop handle says so.
pub(super) fn run<C: Core>(
    core: C,
    listeners: &[(ListenerId, TcpListener)],
    resolver: Resolver,
    mut options: Options,
) -> std::io::Result<C> {
    let mover = asked_again(|| Uring::open(listeners, &options.stop, &resolver));
    let mover = mover.map_err(|error| no_driver(NAME, &error))?;
    let executor = asked_again(executor).map_err(|error| no_driver(NAME, &error))?;
    // The executor waits for a descriptor that would block, and fails on one that must not.
    let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
    // One eventfd that sounds another does so through the kernel's RCU, tens of milliseconds late: whoever wakes us sounds
    // the bell itself.
    options.stop.sound(bell.try_clone()?);
    say(NAME, &mut options);
    executor.run(host(Turns::new(core, mover, resolver, options), bell))
}

/// The loop of `turns::run`, whose sleeps are the executor's.
async fn host<C: Core>(mut turns: Turns<C, Uring>, bell: OwnedFd) -> std::io::Result<C> {
    // SAFETY: the descriptor is ours and open, and the file is its only owner from now on.
    let heard = unsafe { BufferedFile::from_raw_fd(bell.try_clone()?.into_raw_fd()) };
    turns.begin();
    while !turns.is_over() {
        let mut next = Some(turns.rest());
        while let Some(wait) = next {
            let found = if wait.timeout.is_some_and(|span| span.is_zero()) {
                turns.mover().wait(wait.timeout)?
            } else {
                sleep(turns.mover(), &bell, &heard, wait.timeout).await?
            };
            next = turns.waited(&wait, found);
        }
        turns.turn();
        yield_if_needed().await;
    }
    heard.close().await?;
    Ok(turns.into_core())
}

/// Waits as the driver's own `wait` does, in the executor, which hears the bell that the ring sounds.
async fn sleep(
    mover: &mut Uring,
    bell: &OwnedFd,
    heard: &BufferedFile,
    timeout: Option<Duration>,
) -> std::io::Result<bool> {
    if mover.doze(bell.as_fd(), timeout)? {
        return Ok(true);
    }
    if let Err(error) = heard.read_at(0, 8).await.map_err(Error::from)
        // A signal; the loop looks and sleeps again.
        && error.kind() != ErrorKind::Interrupted
    {
        return Err(error);
    }
    mover.awake()?;
    mover.wait(Some(Duration::ZERO))
}
