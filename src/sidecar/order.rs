//! `bindery queue`: asks a running node for its stored messages. Owns: nothing. Takes: the command line. Gives: the
//! node's answer, as text or JSON. Never: changes anything before somebody has said yes to the number.

use super::client::{self, Address};
use serde_json::Value;
use std::io::{BufRead, Error, IsTerminal, Write};

/// Which messages; all that are said must hold.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// Where the node answers: unix:PATH, its admin socket; ls also asks http://HOST:PORT
    #[arg(short, long, default_value = "unix:data/admin.sock")]
    pub address: Address,
    /// Of this account
    #[arg(long)]
    pub esme: Option<String>,
    /// That may go to this carrier
    #[arg(long)]
    pub carrier: Option<String>,
    /// To this number, or to all with a prefix: 382*
    #[arg(long)]
    pub to: Option<String>,
    /// From this address
    #[arg(long)]
    pub from: Option<String>,
    /// Of this class; -: of none
    #[arg(long)]
    pub class: Option<String>,
    /// Submitted longer ago than this: 10m, 2h
    #[arg(long)]
    pub older: Option<String>,
    /// The node's JSON as it is
    #[arg(long)]
    pub json: bool,
}

/// The same, of what changes something.
#[derive(Debug, Clone, clap::Args)]
pub struct Change {
    /// Which messages.
    #[command(flatten)]
    pub which: Which,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What is asked.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Ask {
    /// How many there are, by account, class, pool and where they stand, and since when
    Ls(Which),
    /// They do not leave until they are released; they expire all the same
    Hold(Change),
    /// Those that are held may leave
    Release(Change),
    /// They go to another pool when they leave
    Reroute {
        /// Which messages.
        #[command(flatten)]
        change: Change,
        /// Where to
        #[arg(long, value_name = "POOL")]
        to_pool: String,
    },
    /// They are over: each gets its final record, and its receipt if one was asked for
    Purge(Change),
}

fn query(which: &Which, to_pool: Option<&str>) -> String {
    let Which { esme, carrier, to, from, class, older, .. } = which;
    let all = [
        ("esme", esme),
        ("carrier", carrier),
        ("to", to),
        ("from", from),
        ("class", class),
        ("older", older),
    ];
    let said = all.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let said: Vec<String> = said
        .chain(to_pool.map(|pool| ("to_pool", pool)))
        .map(|(key, value)| format!("{key}={}", client::escaped(value)))
        .collect();
    if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) }
}

fn list(which: &Which) -> std::io::Result<Value> {
    let body = client::fetch(&which.address, &format!("/v1/queue{}", query(which, None)))?;
    serde_json::from_str(&body).map_err(Error::from)
}

fn text_of(document: &Value) -> String {
    let mut text = format!("{} messages\n", document["messages"]);
    for row in document["rows"].as_array().into_iter().flatten() {
        let of = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        text += &format!(
            "{:>9}  esme {:<16} class {:<10} pool {:<16} {:<10} oldest {}\n",
            row["messages"],
            of("esme"),
            of("class"),
            of("pool"),
            of("state"),
            of("oldest")
        );
    }
    text
}

/// Asks the node; `None`: nobody said yes.
///
/// # Errors
/// Nobody listens there, the node refuses what was asked, or there is nobody to be asked for a yes.
pub fn answer(ask: &Ask, input: &mut impl BufRead, terminal: bool) -> std::io::Result<Option<String>> {
    let (word, change, to_pool) = match ask {
        Ask::Ls(which) => {
            let document = list(which)?;
            return Ok(Some(if which.json { format!("{document}\n") } else { text_of(&document) }));
        }
        Ask::Hold(change) => ("hold", change, None),
        Ask::Release(change) => ("release", change, None),
        Ask::Reroute { change, to_pool } => ("reroute", change, Some(to_pool.as_str())),
        Ask::Purge(change) => ("purge", change, None),
    };
    if !change.yes {
        if !terminal {
            return Err(Error::other("there is nobody to be asked; add --yes"));
        }
        let messages = list(&change.which)?["messages"].clone();
        write!(std::io::stderr(), "{word} {messages} messages? [y/N] ")?;
        let mut line = String::new();
        input.read_line(&mut line)?;
        if !matches!(line.trim(), "y" | "Y" | "yes") {
            return Ok(None);
        }
    }
    let path = format!("/v1/queue/{word}{}", query(&change.which, to_pool));
    let body = client::post(&change.which.address, &path)?;
    let document: Value = serde_json::from_str(&body)?;
    let left = match document["left"].as_u64() {
        None | Some(0) => String::new(),
        Some(left) => format!("{left} messages were left as they are: the journal has no room; ask again\n"),
    };
    let text = format!("{word}: {} messages\n{left}", document["done"]);
    Ok(Some(if change.which.json { format!("{document}\n") } else { text }))
}

/// True when a person can be asked.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which() -> Which {
        Which {
            address: "unix:/nonexistent/admin.sock".parse().unwrap(),
            esme: Some("acme & co".into()),
            carrier: None,
            to: Some("382*".into()),
            from: None,
            class: None,
            older: None,
            json: false,
        }
    }

    #[test]
    fn what_is_asked_for_travels_whole() {
        assert_eq!(query(&which(), Some("main")), "?esme=acme%20%26%20co&to=382%2A&to_pool=main");
    }

    #[test]
    fn nothing_is_changed_without_a_yes() {
        let purge = Ask::Purge(Change { which: which(), yes: false });
        let refused = answer(&purge, &mut std::io::empty(), false).unwrap_err();
        assert!(refused.to_string().contains("--yes"), "{refused}");
    }
}
