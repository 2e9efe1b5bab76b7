//! Drivers: the only room that touches sockets, threads and the clock on the data path.
//!
//! Owns: links, their sockets and half-written output, the clock. Takes: a core and where to listen. Gives: the
//! core its inputs, the world its outputs. Never: decides anything about messages.

mod clock;
mod epoll;
#[cfg(feature = "glommio")]
mod glommio;
mod lanes;

pub mod journal;
mod link;
pub mod log;
mod mover;
pub mod numbers;
mod resolve;
mod spin;
mod stop;
mod turns;
mod uring;

pub use clock::Clock;
pub use lanes::Lanes;
pub use stop::{Answers, AskRefused, Stop, StopHandle, Stops};

use crate::ids::ListenerId;
use crate::limits::{PORT_FREE_WITHIN, PORT_LOOK_EVERY};
use crate::shard::port::{Core, Event, Level};
use crate::time::Duration;
use epoll::Epoll;
use mover::Mover;
use resolve::Resolver;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use turns::Turns;
use uring::Uring;

/// The kernel frees the memory of rings a while after they are closed: until then a program started again may be
/// refused one. So it is asked for again, this often and so far apart.
const NO_MEMORY_TRIES: u32 = 50;
const NO_MEMORY_WAIT: Duration = Duration::from_millis(20);

/// What moves the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where it works, epoll elsewhere.
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
    /// io_uring in a glommio executor, or nothing; only when built with the feature `glommio`.
    Glommio,
}

impl Driver {
    /// Whether it can be had at all here; `Auto` always can.
    ///
    /// # Errors
    /// `Unsupported` when io_uring or glommio was asked for and does not work here.
    pub fn check(self) -> std::io::Result<()> {
        self.settle(1).map(drop)
    }

    /// What so many loops can run over at once: links go from one to another, so all of them have the same. With it
    /// comes what the log should hear when that is not the best.
    ///
    /// # Errors
    /// `Unsupported` when io_uring or glommio was asked for and does not work here.
    pub fn settle(self, loops: usize) -> std::io::Result<(Self, Option<Event>)> {
        let rings = move || Uring::probe(loops, || Ok(()));
        match self {
            Self::Epoll => Ok((self, None)),
            Self::Uring => {
                probe(rings).map(|()| (self, None)).map_err(|error| no_driver(Uring::NAME, &error))
            }
            Self::Auto => Ok(match probe(rings) {
                Ok(()) => (Self::Uring, None),
                Err(error) => (Self::Epoll, Some(fallback(&error))),
            }),
            #[cfg(feature = "glommio")]
            Self::Glommio => probe(move || glommio::probe(loops))
                .map(|()| (self, None))
                .map_err(|error| no_driver(glommio::NAME, &error)),
            #[cfg(not(feature = "glommio"))]
            Self::Glommio => Err(not_built()),
        }
    }

    /// As the configuration says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uring => Uring::NAME,
            Self::Epoll => Epoll::NAME,
            Self::Glommio => "glommio",
        }
    }

    /// Those that were built and work here. Says on stderr which do not work.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let built: &[Self] = if cfg!(feature = "glommio") {
            &[Self::Epoll, Self::Uring, Self::Glommio]
        } else {
            &[Self::Epoll, Self::Uring]
        };
        let works = |driver: &Self| match driver.check() {
            Ok(()) => true,
            Err(error) => {
                eprintln!("{error}: {} is not tried", driver.name());
                false
            }
        };
        built.iter().copied().filter(works).collect()
    }
}

/// What a driver is told besides its core.
pub struct Options {
    /// What moves the octets.
    pub driver: Driver,
    /// Bound sockets with their handles.
    pub listeners: Vec<(ListenerId, TcpListener)>,
    /// Longest time that the loop looks for work before it sleeps; zero: never.
    pub spin: Duration,
    /// Links at once; a connection over it is closed as it comes.
    pub links_max: u32,
    /// Where log lines go.
    pub log: Box<dyn FnMut(&Event) + Send>,
    /// How the loop is stopped from outside.
    pub stop: Stop,
    /// Where the other shards of its node are; `None`: it is alone.
    pub lanes: Option<Lanes>,
}

/// Binds a listening socket: address reuse on, TCP_NODELAY inherited by what it accepts, a long backlog.
///
/// # Errors
/// What the system says, for example that the port is taken.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Binds a port, also one that a process which was just killed still has: the kernel closes what its io_uring held only
/// after the process is gone (up to 12 ms later in each of 60 kills), and who starts it again is faster.
///
/// # Errors
/// As `listen`; a port that stays taken is said to be so after `PORT_FREE_WITHIN`.
pub fn listen_soon(address: SocketAddr) -> std::io::Result<TcpListener> {
    let begun = std::time::Instant::now();
    loop {
        match listen(address) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse && begun.elapsed() < PORT_FREE_WITHIN =>
            {
                std::thread::sleep(PORT_LOOK_EVERY);
            }
            listening => return listening,
        }
    }
}

/// Runs `core` until it says `Exit` or the stop handle says so. After io_uring, one later system call of this thread
/// may be interrupted (EINTR) by the kernel's clearing up.
///
/// # Errors
/// The driver cannot be set up (`Unsupported` when io_uring or glommio was asked for and does not work here), or waiting
/// fails.
pub fn run<C: Core>(core: C, mut options: Options) -> std::io::Result<C> {
    let resolver = Resolver::new()?;
    let listeners = std::mem::take(&mut options.listeners);
    if options.driver == Driver::Glommio {
        #[cfg(feature = "glommio")]
        return glommio::run(core, &listeners, resolver, options);
        #[cfg(not(feature = "glommio"))]
        return Err(not_built());
    }
    if options.driver != Driver::Epoll {
        match asked_again(|| Uring::open(&listeners, &options.stop, &resolver)) {
            Ok(mover) => return run_over(core, mover, resolver, options),
            Err(error) if options.driver == Driver::Uring => return Err(no_driver(Uring::NAME, &error)),
            Err(error) => {
                (options.log)(&fallback(&error));
            }
        }
    }
    let mover = Epoll::open(listeners, &options.stop, &resolver)?;
    run_over(core, mover, resolver, options)
}

fn run_over<C: Core, M: Mover>(
    core: C,
    mover: M,
    resolver: Resolver,
    mut options: Options,
) -> std::io::Result<C> {
    say(M::NAME, &mut options);
    turns::run(Turns::new(core, mover, resolver, options))
}

/// The log hears which driver runs.
fn say(driver: &str, options: &mut Options) {
    let fields = vec![("driver", driver.to_owned())];
    (options.log)(&Event { level: Level::Info, name: "io", fields });
}

fn fallback(error: &Error) -> Event {
    let fields = vec![("wanted", Uring::NAME.to_owned()), ("reason", error.to_string())];
    Event { level: Level::Warn, name: "io_fallback", fields }
}

/// Whether what a driver needs can be had. On a thread of its own: a while after a ring is closed, the kernel interrupts a
/// system call of the thread that had it.
fn probe(ask: impl Fn() -> std::io::Result<()> + Send + 'static) -> std::io::Result<()> {
    let probing = std::thread::Builder::new().name("probe".into()).spawn(move || asked_again(ask))?;
    probing.join().map_err(|_| Error::other("the probe panicked"))?
}

fn no_driver(name: &str, error: &Error) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{name} does not work here: {error}"))
}

#[cfg(not(feature = "glommio"))]
fn not_built() -> Error {
    Error::new(ErrorKind::Unsupported, "glommio: only when built with the feature glommio")
}

/// Asks for a ring for a second while the memory for it is missing.
fn asked_again<T>(mut ask: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    for _ in 0..NO_MEMORY_TRIES {
        match ask() {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => std::thread::sleep(NO_MEMORY_WAIT),
            other => return other,
        }
    }
    ask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_without_memory_is_asked_for_again_and_any_other_refusal_is_final() {
        let mut asked = 0;
        let given = asked_again(|| {
            asked += 1;
            if asked < 3 { Err(Error::from(ErrorKind::OutOfMemory)) } else { Ok(asked) }
        });
        assert_eq!(given.unwrap(), 3);
        let mut refused = 0;
        let refusal = asked_again(|| {
            refused += 1;
            Err::<(), _>(Error::from(ErrorKind::PermissionDenied))
        });
        assert_eq!((refusal.unwrap_err().kind(), refused), (ErrorKind::PermissionDenied, 1));
    }
}
