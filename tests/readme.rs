//! Holds the README to what is there: its configuration loads, its links lead somewhere.

use bindery::config::{self, Files};
use std::io::{Error, ErrorKind};
use std::path::Path;

const README: &str = include_str!("../README.md");

/// The blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let after = text.split(&open).skip(1);
    after.filter_map(|rest| rest.split_once("\n```").map(|(block, _)| format!("{block}\n"))).collect()
}

/// Loads a text as if it were a file; the report of what is wrong, or the warnings.
fn load(text: &str) -> Result<config::Loaded, config::Report> {
    let mut files = Files {
        read: &mut |_| Ok(text.to_owned()),
        list: &mut |_| Err(Error::from(ErrorKind::NotFound)),
        env: &mut |name| name.ends_with("_PASSWORD").then(|| "secret".to_owned()),
    };
    config::load(Path::new("README.toml"), &mut files)
}

#[test]
fn the_configuration_of_the_readme_loads_without_a_warning() {
    let blocks = blocks(README, "toml");
    assert_eq!(blocks.len(), 1);
    let loaded = load(&blocks[0]).unwrap_or_else(|report| panic!("{report:?}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert_eq!((config.esmes.len(), config.carriers.len(), config.pools.len()), (1, 3, 2));
    assert_eq!((config.routes.len(), config.mo_routes.len()), (1, 1));
    assert!(load(&blocks[0].replace("pool = \"main\"", "pool = \"mian\"")).is_err());
}

#[test]
fn every_link_of_the_readme_leads_to_a_file() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<&str> = README.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 4, "{links:?}");
    for link in links.iter().filter(|link| !link.contains("://")) {
        assert!(top.join(link).exists(), "{link}");
    }
}

#[test]
fn the_map_names_every_room_and_no_other() {
    let map =
        README.split("| room | what it is |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
    let cells = map.lines().skip(2).filter_map(|line| line.split('|').nth(1));
    let mut named: Vec<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|room| *room != "main").collect();
    let library = include_str!("../src/lib.rs");
    let mut rooms: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    named.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(named, rooms);
}
