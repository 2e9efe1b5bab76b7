//! The setup of a seed: accounts, carriers, windows, rates, timers, versions, forms of ids, shards and what is sent
//! are drawn.

use crate::ids::Ids;
use bindery::config::{self, Config, Files, Homes, Journal, Retry};
use bindery::esme::settings::{Durability, Mode};
use bindery::ids::{ClassId, ShardId};
use bindery::prng::Prng;
use bindery::route::lanes::ClassSettings;
use bindery::route::settings::OnUnknown;
use bindery::time::Duration;
use std::fmt::Write;
use std::path::Path;

/// The accounts, by the id that they are given for a message.
pub(crate) const ACCOUNTS: [&str; 3] = ["auto", "own", "carrier"];
/// The carriers.
pub(crate) const CARRIERS: [&str; 2] = ["alpha", "beta"];
/// What every account binds with.
pub(crate) const PASSWORD: &str = "secret";
/// Numbers that begin so take a pool of their own, which has this carrier alone.
pub(crate) const ABROAD: (&str, usize) = ("436", 1);
/// Seeds from here on have a journal.
pub(crate) const JOURNAL_FROM: u64 = 1_000_000;
/// How many shards a node may have.
const SHARDS: [usize; 4] = [1, 2, 3, 5];

/// Which versions an account's sessions speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// 3.4.
    V34,
    /// 3.3.
    V33,
    /// Each session one of them.
    Both,
}

/// How often an account sends what is no plain submit_sm: once in so many; 0: never.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) multi_in: u64,
    pub(crate) data_in: u64,
    /// A bind with a submit and an enquire_link behind it, in one segment.
    pub(crate) eager_in: u64,
    /// Every message has a number of its own.
    pub(crate) own_numbers: bool,
}

/// A carrier as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) v33: bool,
    pub(crate) ids: Ids,
    /// Receipts and MO come as data_sm once in so many; 0: never.
    pub(crate) data_in: u64,
}

/// The shards of the node.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    pub(crate) count: usize,
    pub(crate) homes: Homes,
    pub(crate) credits: u32,
    /// Letters that a lane between two shards holds.
    pub(crate) lane: usize,
    /// The longest that a letter usually takes, microseconds.
    pub(crate) delay_us: u64,
}

impl Shards {
    /// Other homes for everybody, perhaps on more or fewer shards.
    pub(crate) fn move_home(&mut self, prng: &mut Prng) {
        if prng.chance(1, 2) {
            self.count = pick(prng, &SHARDS);
        }
        let mut home = || ShardId::new(prng.below(self.count as u64) as usize);
        let esmes = ACCOUNTS.iter().map(|_| home()).collect();
        let carriers = CARRIERS.iter().map(|_| home()).collect();
        self.homes = Homes::fixed(self.count, esmes, carriers);
    }
}

/// See the file's header.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) accounts: Vec<Speaks>,
    pub(crate) carriers: Vec<Script>,
    pub(crate) traffic: Traffic,
    pub(crate) shards: Shards,
    /// The octets of stored messages are on the disk only, as far as they can be.
    pub(crate) away: bool,
    /// Receipts wait for their records so long that ESMEs, which are slow, may be sooner.
    pub(crate) patient: bool,
    /// Accepted messages leave memory so soon.
    pub(crate) sleeps_after: Option<Duration>,
}

fn pick<T: Copy>(prng: &mut Prng, among: &[T]) -> T {
    among[prng.below(among.len() as u64) as usize]
}

fn account(prng: &mut Prng, name: &str, text: &mut String) {
    let window = pick(prng, &[1, 3, 10, 40]);
    let over = pick(prng, &["wait", "refuse"]);
    let receipts = pick(prng, &["any", "submitting"]);
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

fn carrier(prng: &mut Prng, name: &str, script: &Script, text: &mut String) {
    let pairs = script.v33 || prng.chance(1, 3);
    let (bind, sessions) = if pairs { ("tx+rx", 2 + 2 * prng.below(2)) } else { ("trx", 1 + prng.below(3)) };
    let version = if script.v33 { "3.3" } else { "3.4" };
    let window = pick(prng, &[1, 3, 10, 30]);
    let queue = pick(prng, &[1, 10, 1000]);
    let response = 2 + prng.below(6);
    let form = script.ids.config();
    write!(
        text,
        "[carrier.{name}]\naddresses = [\"{name}.example:2775\"]\nsystem_id = \"bindery\"\n\
         password = \"{PASSWORD}\"\nbind = \"{bind}\"\ninterface_version = \"{version}\"\n\
         message_id_form = \"{form}\"\nsessions = {sessions}\nwindow_max = {window}\nqueue_max = {queue}\n\
         response_timeout = \"{response}s\"\nenquire_link_interval = \"8s\"\n\
         reconnect = {{ min = \"200ms\", max = \"8s\" }}\n"
    )
    .unwrap();
    if prng.chance(1, 2) {
        let rate = pick(prng, &[10, 40, 200]);
        let burst = pick(prng, &[1, 5, 20]);
        writeln!(text, "rate = \"{rate}/s\"\nburst = {burst}").unwrap();
    }
}

fn read(text: &str) -> Config {
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("sim.toml"), &mut files) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{}", report.render(false)),
    }
}

fn shards(prng: &mut Prng) -> Shards {
    let count = pick(prng, &SHARDS);
    let together = prng.chance(1, 4);
    let all = prng.below(count as u64);
    let mut home = || ShardId::new(if together { all } else { prng.below(count as u64) } as usize);
    let esmes = ACCOUNTS.iter().map(|_| home()).collect();
    let carriers = CARRIERS.iter().map(|_| home()).collect();
    Shards {
        count,
        homes: Homes::fixed(count, esmes, carriers),
        credits: pick(prng, &[1, 3, 64]),
        lane: pick(prng, &[1, 64]),
        delay_us: pick(prng, &[0, 100, 5000]),
    }
}

/// A journal: who stores, what is promised, what becomes of what is not known.
fn keep(prng: &mut Prng, setup: &mut Setup) {
    let seconds = Duration::from_secs;
    let config = &mut setup.config;
    let retry = Retry {
        waits: vec![seconds(1), seconds(1 + prng.below(4)), seconds(5)],
        jitter: 20,
        give_up_after: seconds(15 + prng.below(40)),
    };
    config.journal = Some(Journal {
        durability: Durability::Group,
        group_commit: Duration::ZERO,
        segment_size: 64 << 20,
        size_max: 1 << 30,
        min_free: 10,
        retry,
    });
    // From what is drawn already: the traffic of a seed stays as it is.
    let within = [4, 40, 7 * 86_400]
        [config.journal.as_ref().map_or(0, |journal| journal.retry.give_up_after.as_secs() as usize % 3)];
    config.privacy.erase_within = seconds(within);
    let classed = prng.chance(1, 2);
    if classed {
        let class = |name: &str, priority| ClassSettings { name: name.into(), priority, weight: 1 };
        config.classes = vec![class("bulk", 0), class("otp", 10)];
    }
    let all = prng.chance(1, 2);
    for esme in &mut config.esmes {
        if all || prng.chance(1, 2) {
            esme.mode = Mode::Store;
        }
        let wanted = [Durability::Off, Durability::Process, Durability::Process, Durability::Group];
        esme.durability = Some(if prng.chance(1, 4) { Durability::Strict } else { pick(prng, &wanted) });
        esme.class = classed.then(|| ClassId::new(prng.below(2) as usize));
    }
    for pool in &mut config.pools {
        let drawn = pick(prng, &[OnUnknown::Fail, OnUnknown::Resend, OnUnknown::Hold]);
        // A relayed message that goes again has an id that its ESME was not given.
        pool.on_unknown = if drawn == OnUnknown::Resend && !all { OnUnknown::Hold } else { drawn };
        pool.resend_after = seconds(1 + prng.below(8));
    }
    // Which id a receipt is about is another question.
    setup.carriers.iter_mut().for_each(|carrier| carrier.ids = carrier.ids.apart());
}

impl Setup {
    /// That of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut setup = Self::plain(seed);
        if seed >= JOURNAL_FROM {
            keep(&mut Prng::new(seed ^ 0x1ED6), &mut setup);
            setup.away = seed % 4 == 3;
            setup.patient = !seed.is_multiple_of(3);
            setup.sleeps_after =
                [None, Some(Duration::ZERO), Some(Duration::from_millis(300))][seed as usize / 4 % 3];
        }
        setup
    }

    fn plain(seed: u64) -> Self {
        let mut prng = Prng::new(seed ^ 0xC0F6);
        let prng = &mut prng;
        let accounts = ACCOUNTS
            .iter()
            .map(|_| pick(prng, &[Speaks::V34, Speaks::V34, Speaks::V34, Speaks::V33, Speaks::Both]));
        let accounts = accounts.collect();
        let carriers: Vec<Script> = CARRIERS
            .iter()
            .map(|_| {
                let v33 = prng.chance(1, 4);
                let data_in = if v33 { 0 } else { pick(prng, &[0, 0, 3]) };
                Script { v33, ids: Ids::draw(prng), data_in }
            })
            .collect();
        let multi_in = pick(prng, &[0, 4, 12]);
        let traffic = Traffic {
            multi_in,
            data_in: pick(prng, &[0, 3, 10]),
            eager_in: pick(prng, &[0, 2]),
            own_numbers: multi_in > 0 || carriers.iter().any(|carrier| carrier.ids.dense()),
        };
        let shards = shards(prng);
        let mut text = String::from("[node]\nname = \"sim\"\nshards = 1\ndrain_deadline = \"40s\"\n");
        for listener in 0..1 + prng.below(3) {
            let port = 2775 + listener;
            writeln!(
                text,
                "[[listener]]\naddress = \"192.0.2.10:{port}\"\nsession_init_timeout = \"5s\"\n\
                 unbound_max = 20\nban = {{ failures = 5, for = \"2s\" }}"
            )
            .unwrap();
        }
        for name in ACCOUNTS {
            account(prng, name, &mut text);
        }
        for (name, script) in CARRIERS.into_iter().zip(&carriers) {
            carrier(prng, name, script, &mut text);
        }
        let (prefix, abroad) = ABROAD;
        write!(
            text,
            "[pool.main]\nmembers = [{{ carrier = \"alpha\", weight = 2 }}, {{ carrier = \"beta\", weight = 1 }}]\n\
             [pool.alone]\nmembers = [{{ carrier = \"alpha\" }}]\n\
             [pool.abroad]\nmembers = [{{ carrier = \"{}\" }}]\n\
             [[route]]\nname = \"abroad\"\nwhen = {{ to = [\"{prefix}*\"], esme = [\"auto\", \"own\"] }}\n\
             pool = \"abroad\"\n\
             [[mo_route]]\nname = \"all\"\ndeliver = [{{ esme = \"auto\" }}, {{ esme = \"own\" }}]\n",
            CARRIERS[abroad]
        )
        .unwrap();
        Self {
            config: read(&text),
            accounts,
            carriers,
            traffic,
            shards,
            away: false,
            patient: false,
            sleeps_after: None,
        }
    }

    /// True when the node answers this account's messages itself.
    pub(crate) fn stores(&self, account: usize) -> bool {
        self.config.journal.is_some() && self.config.esmes[account].mode == Mode::Store
    }

    /// What an account's records survive.
    pub(crate) fn durability(&self, account: usize) -> Durability {
        self.config.esmes[account].durability.unwrap_or(Durability::Group)
    }

    /// What becomes of a message to this number that was written and never answered.
    pub(crate) fn on_unknown(&self, account: usize, number: &[u8]) -> OnUnknown {
        let pool = match ACCOUNTS[account] {
            "carrier" => "alone",
            _ if Self::is_abroad(account, number) => "abroad",
            _ => "main",
        };
        let found = self.config.pools.iter().find(|found| found.name == pool);
        found.map_or(OnUnknown::Fail, |found| found.on_unknown)
    }

    /// Which of an account's pools takes messages to this number: true for the one abroad.
    pub(crate) fn is_abroad(account: usize, number: &[u8]) -> bool {
        ACCOUNTS[account] != "carrier" && number.starts_with(ABROAD.0.as_bytes())
    }
}
