//! Asks a running node. Owns: one connection for one question. Takes: where the node answers. Gives: the document.
//! Never: waits without a bound.

use serde_json::Value;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Longest wait for the connection, and for each piece of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of an answer.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// Where a node answers: `unix:PATH` or `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The admin socket.
    Unix(PathBuf),
    /// `[http] address`, as `host:port`.
    Http(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let host = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match host.filter(|host| host.contains(':') && !host.contains('/')) {
            Some(host) => Ok(Self::Http(host.to_owned())),
            None => Err("allowed: unix:PATH or http://HOST:PORT".to_owned()),
        }
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(host) => write!(f, "http://{host}"),
        }
    }
}

/// The status of the node.
///
/// # Errors
/// Nobody listens there, or what answers is no node, or one that is not well.
pub fn status(address: &Address) -> std::io::Result<Value> {
    let body = fetch(address, "/v1/status")?;
    serde_json::from_str(&body).map_err(Error::from)
}

/// The body of an answer to GET.
///
/// # Errors
/// As `status`.
pub fn fetch(address: &Address, path: &str) -> std::io::Result<String> {
    ask(address, "GET", path, PATIENCE)
}

/// The body of an answer to POST.
///
/// # Errors
/// As `status`.
pub fn post(address: &Address, path: &str) -> std::io::Result<String> {
    post_for(address, path, PATIENCE)
}

/// The same of what takes longer.
///
/// # Errors
/// As `status`.
pub fn post_for(address: &Address, path: &str, patience: Duration) -> std::io::Result<String> {
    ask(address, "POST", path, patience)
}

/// A value as it stands in the query of a path.
#[must_use]
pub fn escaped(value: &str) -> String {
    let mut text = String::new();
    for octet in value.bytes() {
        match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' => text.push(char::from(octet)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn ask(address: &Address, method: &str, path: &str, patience: Duration) -> std::io::Result<String> {
    let answer = match address {
        Address::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, "localhost", method, path)?
        }
        Address::Http(host) => {
            let stream = connect(host)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, host, method, path)?
        }
    };
    body_of(&answer)
}

fn connect(host: &str) -> std::io::Result<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, host: &str, method: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The body of a whole answer, which ends where its Content-Length says. What is no 200 is an error with its words.
fn body_of(answer: &[u8]) -> std::io::Result<String> {
    let broken = || Error::new(ErrorKind::InvalidData, "what answers there is no node");
    let text = core::str::from_utf8(answer).map_err(|_| broken())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(broken)?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length != Some(body.len()) {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the answer is not whole"));
    }
    if status.starts_with("200") {
        return Ok(body.to_owned());
    }
    Err(Error::other(format!("the node answered {status}: {}", body.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_host_with_its_port() {
        assert_eq!("unix:data/admin.sock".parse(), Ok(Address::Unix("data/admin.sock".into())));
        assert_eq!("http://[::1]:2780/".parse(), Ok(Address::Http("[::1]:2780".into())));
        for wrong in ["", "unix:", "data/admin.sock", "https://x:1", "http://x", "http://x:1/v1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_or_no_answer_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body_of(whole).unwrap(), "{}");
        assert_eq!(body_of(&whole[..whole.len() - 1]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(body_of(b"SSH-2.0-x\r\n").unwrap_err().kind(), ErrorKind::InvalidData);
        let not_well = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad";
        assert!(body_of(not_well).unwrap_err().to_string().ends_with("503 Service Unavailable: bad"));
    }
}
