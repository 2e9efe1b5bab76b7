//! Configuration: any text gives a configuration or a report that says what is wrong and where, and always the same one.

use bindery::config::{self, Files, Homes, Loaded, Report};
use bindery::limits::{CARRIERS_MAX, WINDOW_MAX};
use bindery::shard::Plan;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// The text of the main file; every other file that it names has a line of a number, every variable a value.
fn load(text: &str) -> Result<Loaded, Report> {
    let mut files = Files {
        read: &mut |path: &Path| match path.to_str() {
            Some("fuzz.toml") => Ok(text.to_owned()),
            Some(name) if name.ends_with("txt") => Ok("38267*\n".to_owned()),
            _ => Err(Error::from(ErrorKind::NotFound)),
        },
        list: &mut |_: &Path| Ok(vec!["a.toml".to_owned(), "b.txt".to_owned()]),
        env: &mut |name: &str| (!name.is_empty()).then(|| "value".to_owned()),
    };
    config::load(Path::new("fuzz.toml"), &mut files)
}

/// See the file's header.
pub(super) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match (load(&text), load(&text)) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one.config, two.config);
            sound(one);
        }
        (Err(one), Err(two)) => {
            assert!(!one.is_empty(), "refused without a word");
            assert_eq!(one.problems().len(), two.problems().len());
            let said = one.render(false);
            assert!(!said.is_empty() && !one.to_json().is_empty());
            // A fault is said with its line and no more: so long for each line and fault.
            assert!(said.len() <= (one.problems().len() + 1) * (text.len() + 2000), "{}", said.len());
        }
        _ => panic!("the same text is read in two ways"),
    }
}

/// What was accepted is within the limits, and a node can be made of it.
fn sound(loaded: Loaded) {
    let config = loaded.config;
    assert!(config.carriers.len() <= CARRIERS_MAX);
    for carrier in &config.carriers {
        assert!((1..=WINDOW_MAX as u32).contains(&carrier.window_max));
        assert!(!carrier.addresses.is_empty() && carrier.sessions >= 1);
    }
    for esme in &config.esmes {
        assert!((1..=WINDOW_MAX as u32).contains(&esme.window_max));
        assert!((1..=15).contains(&esme.system_id.len()));
    }
    for shards in [1, 3] {
        assert_eq!(Homes::of(&config, shards), Homes::of(&config, shards));
    }
    let _ = Plan::new(Arc::new(config));
}
