//! Drivers: the only room that touches sockets, threads and the clock on the data path.
//!
//! Owns: links, their sockets and half-written output, the clock. Takes: a core and where to listen. Gives: the
//! core its inputs, the world its outputs. Never: decides anything about messages.

mod clock;
mod epoll;
mod link;
pub mod log;
mod resolve;
mod stop;

pub use clock::Clock;
pub use epoll::run;
pub use stop::{Stop, StopHandle};

use crate::ids::ListenerId;
use crate::shard::port::Event;
use crate::time::Duration;
use std::net::{SocketAddr, TcpListener};

/// What a driver is told besides its core.
pub struct Options {
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
