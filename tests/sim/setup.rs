//! The configuration of a seed: accounts, carriers, windows, rates and timers are drawn.

use bindery::config::{self, Config, Files};
use bindery::prng::Prng;
use std::fmt::Write;
use std::path::Path;

/// The accounts, by the id that they are given for a message.
pub(crate) const ACCOUNTS: [&str; 3] = ["auto", "own", "carrier"];
/// The carriers.
pub(crate) const CARRIERS: [&str; 2] = ["alpha", "beta"];
/// What every account binds with.
pub(crate) const PASSWORD: &str = "secret";

fn pick<T: Copy>(prng: &mut Prng, among: &[T]) -> T {
    among[prng.below(among.len() as u64) as usize]
}

/// The text of the configuration.
fn text(seed: u64) -> String {
    let mut prng = Prng::new(seed ^ 0xC0F6);
    let mut text = String::from(
        "[node]\nname = \"sim\"\nshards = 1\ndrain_deadline = \"40s\"\n\
         [[listener]]\naddress = \"192.0.2.10:2775\"\nsession_init_timeout = \"5s\"\n",
    );
    for name in ACCOUNTS {
        let window = pick(&mut prng, &[1, 3, 10, 40]);
        let over = pick(&mut prng, &["wait", "refuse"]);
        let receipts = pick(&mut prng, &["any", "submitting"]);
        let response = 1 + prng.below(8);
        let answer = 12 + prng.below(15);
        let pool = if name == "carrier" { "alone" } else { "main" };
        write!(
            text,
            "[esme.{name}]\npassword = \"{PASSWORD}\"\nsessions_max = 6\nwindow_max = {window}\n\
             window_over = \"{over}\"\nmessage_id = \"{name}\"\nreceipts = \"{receipts}\"\n\
             response_timeout = \"{response}s\"\nanswer_timeout = \"{answer}s\"\npool = \"{pool}\"\n\
             enquire_link_interval = \"10s\"\n"
        )
        .unwrap();
    }
    for name in CARRIERS {
        let sessions = 1 + prng.below(3);
        let window = pick(&mut prng, &[1, 3, 10, 30]);
        let queue = pick(&mut prng, &[1, 10, 1000]);
        let response = 2 + prng.below(6);
        write!(
            text,
            "[carrier.{name}]\naddresses = [\"{name}.example:2775\"]\nsystem_id = \"bindery\"\n\
             password = \"{PASSWORD}\"\nsessions = {sessions}\nwindow_max = {window}\nqueue_max = {queue}\n\
             response_timeout = \"{response}s\"\nenquire_link_interval = \"8s\"\n\
             reconnect = {{ min = \"200ms\", max = \"8s\" }}\n"
        )
        .unwrap();
        if prng.chance(1, 2) {
            let rate = pick(&mut prng, &[10, 40, 200]);
            let burst = pick(&mut prng, &[1, 5, 20]);
            writeln!(text, "rate = \"{rate}/s\"\nburst = {burst}").unwrap();
        }
    }
    text.push_str(
        "[pool.main]\nmembers = [{ carrier = \"alpha\", weight = 2 }, { carrier = \"beta\", weight = 1 }]\n\
         [pool.alone]\nmembers = [{ carrier = \"alpha\" }]\n\
         [[mo_route]]\nname = \"all\"\ndeliver = [{ esme = \"auto\" }, { esme = \"own\" }]\n",
    );
    text
}

/// The configuration of a seed.
pub(crate) fn config(seed: u64) -> Config {
    let text = text(seed);
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.clone()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("sim.toml"), &mut files) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{}", report.render(false)),
    }
}
