//! The sockets of the sidecar. Owns: the admin socket's file. Takes: addresses. Gives: connections, bounded in number
//! and in time. Never: takes a socket away from a node that runs.

use axum::serve::Listener;
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at once, per socket; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// No connection lasts longer, so that idle ones do not keep others out.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
const BACKLOG: i32 = 128;

fn named(error: &Error, what: impl core::fmt::Display) -> Error {
    Error::new(error.kind(), format!("{what}: {error}"))
}

/// Binds the TCP socket.
pub(super) fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).map_err(|error| named(&error, address))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The admin socket and its file, which goes with it.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds it for this user alone. A file that nobody listens behind is replaced.
    pub(super) fn bind(path: &Path) -> std::io::Result<Self> {
        let bound = Self::prepare(path).and_then(|()| bind_private(path));
        let listener = bound.map_err(|error| named(&error, path.display()))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    fn prepare(path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
        if !found.file_type().is_socket() {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        match UnixStream::connect(path) {
            Ok(_) => Err(Error::new(ErrorKind::AddrInUse, "another node answers there")),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        }
    }

    pub(super) fn listener(&self) -> std::io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A file that is left says nothing wrong: the next start replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The socket's mode is set before it has a name: at no moment may anybody else connect (Linux takes the file's mode
/// from the socket).
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A listener with bounds.
#[derive(Debug)]
pub(super) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Held<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (io, address) = self.listener.accept().await;
        let until = Box::pin(tokio::time::sleep(CONNECTION_TIME));
        (Held { io, until, _place: place }, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection with its place among the others and its end.
#[derive(Debug)]
pub(super) struct Held<Io> {
    io: Io,
    until: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Held<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(context, into) {
            return Poll::Ready(read);
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Held<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(context, octets) {
            return Poll::Ready(written);
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Somebody connects whenever it is asked.
    struct Always;

    impl Listener for Always {
        type Io = tokio::net::UnixStream;
        type Addr = ();

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            (tokio::net::UnixStream::pair().unwrap().0, ())
        }

        fn local_addr(&self) -> std::io::Result<Self::Addr> {
            Ok(())
        }
    }

    #[test]
    fn no_more_connections_are_taken_than_there_are_places() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bounded = Bounded::new(Always);
            let mut held = Vec::new();
            for _ in 0..CONNECTIONS_MAX {
                held.push(bounded.accept().await.0);
            }
            let mut context = Context::from_waker(Waker::noop());
            let mut next = Box::pin(bounded.accept());
            assert!(next.as_mut().poll(&mut context).is_pending());
            held.pop();
            assert!(next.as_mut().poll(&mut context).is_ready());
        });
    }
}
