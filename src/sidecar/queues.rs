//! Stored messages, for operators. Owns: one question at a time. Takes: which messages, and what is to become of them.
//! Gives: counts as JSON. Never: changes anything for who does not come by the admin socket.

use super::View;
use crate::config::{Config, units};
use crate::ids::{CarrierId, EsmeId, PoolId};
use crate::journal::cdr::dates::Dates;
use crate::route::settings::Pattern;
use crate::shard::port::{Answer, Ask};
use crate::shard::queues::{Chosen, QueueAct, QueueAnswer, QueueAsk};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A shard that has not answered a slice by then is not well.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// While the journal writes what was said, it is asked so often, and so long; a disk that is slower is not well.
const WRITES_AGAIN: Duration = Duration::from_millis(5);
const WRITES_TIME: Duration = Duration::from_secs(10);

/// What an operator asks for: `esme`, `carrier`, `class`, `to`, `from`, `older`, and `to_pool` of a reroute.
pub(super) type Parameters = HashMap<String, String>;

fn named<T>(
    asked: &Parameters,
    key: &str,
    names: impl Iterator<Item = impl AsRef<str>>,
    id: impl Fn(usize) -> T,
) -> Result<Option<T>, String> {
    let Some(wanted) = asked.get(key) else { return Ok(None) };
    let mut names = names;
    match names.position(|name| name.as_ref() == wanted) {
        Some(at) => Ok(Some(id(at))),
        None => Err(format!("there is no {key} {wanted:?}")),
    }
}

/// The messages that are meant.
///
/// # Errors
/// A name or value that is none, in words.
fn chosen(config: &Config, asked: &Parameters) -> Result<Chosen, String> {
    const KNOWN: [&str; 7] = ["esme", "carrier", "class", "to", "from", "older", "to_pool"];
    if let Some(other) = asked.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("there is no parameter {other:?}; there are {}", KNOWN.join(", ")));
    }
    let pattern = |key: &str| match asked.get(key) {
        None => Ok(None),
        Some(text) => match Pattern::parse(text.trim_start_matches('+')) {
            Some(pattern) => Ok(Some(pattern)),
            None => Err(format!("{key}: {text:?} is no number, name or prefix such as 382*")),
        },
    };
    let older = asked.get("older").map(|text| {
        units::duration(text).ok_or_else(|| format!("older: {text:?} is no duration such as 10m or 2h"))
    });
    let older = older.transpose()?;
    let class = asked.get("class").filter(|class| class.as_str() == "-").map(|_| 0);
    let class = match class {
        Some(none) => Some(none),
        None => named(asked, "class", config.classes.iter().map(|it| &it.name), |at| at + 1)?,
    };
    Ok(Chosen {
        esme: named(asked, "esme", config.esmes.iter().map(|it| it.name.as_str()), EsmeId::new)?,
        carrier: named(asked, "carrier", config.carriers.iter().map(|it| &it.name), CarrierId::new)?,
        class,
        to: pattern("to")?,
        from: pattern("from")?,
        older,
    })
}

/// What is to be done.
///
/// # Errors
/// No such word; a reroute without a pool that there is.
fn act(config: &Config, word: &str, asked: &Parameters) -> Result<QueueAct, String> {
    let pool = named(asked, "to_pool", config.pools.iter().map(|it| &it.name), PoolId::new)?;
    match (word, pool) {
        ("ls", None) => Ok(QueueAct::Count),
        ("hold", None) => Ok(QueueAct::Hold),
        ("release", None) => Ok(QueueAct::Release),
        ("purge", None) => Ok(QueueAct::Purge),
        ("reroute", Some(pool)) => Ok(QueueAct::Reroute(pool)),
        ("reroute", None) => Err("to_pool is missing".to_owned()),
        ("ls" | "hold" | "release" | "purge", Some(_)) => Err("to_pool belongs to reroute".to_owned()),
        _ => Err(format!("there is no {word:?}; there are ls, hold, release, reroute, purge")),
    }
}

/// Asks the shards, slice by slice, until all messages were looked at.
///
/// # Errors
/// What was asked for cannot be; a shard does not answer.
pub(super) fn answer(view: &View, word: &str, asked: &Parameters) -> Result<Value, String> {
    let (chosen, act) = (chosen(&view.config, asked)?, act(&view.config, word, asked)?);
    // A series goes on where the last question of its shard has ended.
    let _alone = view.queue.lock().map_err(|_| "an earlier question has failed".to_owned())?;
    let mut all = QueueAnswer::default();
    let (mut begins, mut went_on) = (true, Instant::now());
    loop {
        let ask = Ask::Queue(QueueAsk { begins, chosen: chosen.clone(), act });
        let answers = view.shards.ask(ask).map_err(|_| "a shard takes no questions".to_owned())?;
        let Some(Answer::Queue(slice)) = answers.wait(ANSWER_TIME) else {
            return Err(format!("a shard does not answer; {} messages were done", all.done));
        };
        let (more, waits, done) = (slice.more, slice.waits, slice.done);
        all = QueueAnswer { more: false, waits: false, ..all }.join(*slice);
        if !more {
            return Ok(document(&view.config, act, &all));
        }
        begins = false;
        if !waits || done > 0 {
            went_on = Instant::now();
        } else if went_on.elapsed() > WRITES_TIME {
            return Err(format!("the journal does not write; {} messages were done", all.done));
        }
        if waits {
            std::thread::sleep(WRITES_AGAIN);
        }
    }
}

fn document(config: &Config, act: QueueAct, all: &QueueAnswer) -> Value {
    if act != QueueAct::Count {
        return json!({ "done": all.done, "left": all.left });
    }
    let name_of = |class: u8| match usize::from(class).checked_sub(1).and_then(|at| config.classes.get(at)) {
        Some(class) => class.name.as_str(),
        None => "-",
    };
    let mut dates = Dates::default();
    let rows = all.rows.iter().map(|((esme, class, pool, stand), (count, oldest))| {
        json!({
            "esme": config.esme_name(*esme),
            "class": name_of(*class),
            "pool": config.pools.get(pool.index()).map_or("", |it| it.name.as_str()),
            "state": stand,
            "messages": count,
            "oldest": String::from_utf8_lossy(&dates.text(*oldest)),
        })
    });
    let messages: u64 = all.rows.values().map(|(count, _)| count).sum();
    json!({ "messages": messages, "rows": rows.collect::<Vec<_>>() })
}
