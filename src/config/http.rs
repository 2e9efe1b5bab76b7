//! `[http]`. Owns: its ranges. Takes: the table. Gives: where the node is asked and told things by HTTP.
//! Never: opens a port or a socket.

use super::document::Document;
use super::report::{Notes, Source};
use super::table::{Item, Table};
use super::{Http, keys};
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Octets of a Unix socket's path without its NUL (unix(7): sun_path has 108).
const SOCKET_PATH_MAX: usize = 107;

/// Reads `[http]`; without one there is no HTTP.
pub(super) fn read(document: &Document<'_>, sources: &[Source], notes: &mut Notes) -> Option<Http> {
    let table = document.http.as_ref()?;
    table.check_keys(notes, &keys::HTTP);
    let http = Http {
        address: read_address(table, notes),
        admin_socket: table.get("admin_socket").and_then(|item| read_socket(&item, sources, notes)),
    };
    if table.entries.is_empty() {
        let message = "neither an address nor an admin_socket: nothing is served";
        notes.warning(table.place, table.path.clone(), message);
    }
    if let Some(address) = http.address.filter(|address| !address.ip().to_canonical().is_loopback())
        && let Some(item) = table.get("address")
    {
        let message = format!("everyone who reaches {address} is served: tokens are not supported yet");
        notes.warning(item.place, item.path(), message).help("set it to \"127.0.0.1:2780\"");
    }
    Some(http)
}

fn read_address(table: &Table<'_>, notes: &mut Notes) -> Option<SocketAddr> {
    let item = table.get("address")?;
    let address = item.value.as_str().and_then(|text| text.parse().ok());
    if address.is_none() {
        item.refuse(notes, "an IP address and port, such as \"127.0.0.1:2780\" or \"[::1]:2780\"");
    }
    address
}

fn read_socket(item: &Item<'_>, sources: &[Source], notes: &mut Notes) -> Option<PathBuf> {
    let allowed = format!("the path of a Unix socket, 1 to {SOCKET_PATH_MAX} octets with its folder");
    let text = item.text(notes, &allowed)?;
    let folder = Path::new(&sources[item.place.file].path).parent().unwrap_or(Path::new(""));
    let path = folder.join(text);
    let is_file = !text.ends_with('/') && !text.contains('\0') && path.file_name().is_some();
    if !is_file || path.as_os_str().len() > SOCKET_PATH_MAX {
        item.refuse(notes, &allowed);
        return None;
    }
    Some(path)
}
