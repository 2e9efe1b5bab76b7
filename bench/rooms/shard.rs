//! A whole shard without I/O: a submit in, the same out to a carrier, its response in, the answer out.
//!
//! Sketch, per message: the submit is read once where it came and copied once, four lines each; the response and the
//! answer are one line each. Touched besides: the link's session, two window counts and a window slot (2 lines), the
//! message in its slab (4), the quantum, the carrier's pace, session and queue (4), the ledger's ring (2), counters
//! (4). Some 25 lines, all in L1 or L2 while windows are small; with a receipt the ledger's entry and table (6), the
//! delivery (3), three more PDUs. No system call here; `io` adds one read and one write per link and turn, shared by the batch.
//! 25 lines from L2 at 4 ns are 100 ns, so a core could pass 5 to 10 million messages per second through its
//! core; the system calls of `io` set the limit before that.
//!
//! What the peers say is written before each step, and what they heard is checked after it: neither is measured.

use crate::case::{Case, Work, warmed};
use crate::pdus::{BATCH, each, submits, write_receipt, write_response};
use bindery::config::{self, Config, Files, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::session::BindKind;
use bindery::shard::mail::Mail;
use bindery::shard::port::{Action, Core, Input, Outbox, Ticket};
use bindery::shard::{Position, Shard};
use bindery::smpp::bind::{Bind, BindResp};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::write_header_only;
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant, Now, Wall};
use std::path::Path;
use std::sync::Arc;

const fn case(name: &'static str, operations: u32, start: fn() -> Box<dyn Work>) -> Case {
    Case { name, operations: operations as u64, rounds: 16_384 / operations as u64 / 4, start }
}

/// What is measured here, per message.
pub(crate) const CASES: &[Case] = &[
    case("shard/message", BATCH, || started(Run { carriers_at: 0, batch: BATCH, receipts: false })),
    case("shard/message_receipt", BATCH, || started(Run { carriers_at: 0, batch: BATCH, receipts: true })),
    case("shard/message_across", BATCH, || started(Run { carriers_at: 1, batch: BATCH, receipts: false })),
    case("shard/message_alone", 1, || started(Run { carriers_at: 0, batch: 1, receipts: false })),
];

const ESME: LinkId = LinkId { slot: 0, generation: 1 };
const ESME_SHARD: usize = 0;
const SESSIONS: usize = 8;
/// Messages until what is remembered of them is full and every table has its size.
const WARM_UP: u32 = 96_000;
const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:2775"
[esme.acme]
password = "secret"
pool = "main"
window_max = 64
message_id = "own"
[carrier.alpha]
addresses = ["127.0.0.1:1"]
system_id = "b"
password = "p"
sessions = 4
window_max = 64
message_id_form = "as_is"
[carrier.beta]
addresses = ["127.0.0.1:2"]
system_id = "b"
password = "p"
sessions = 4
window_max = 64
message_id_form = "as_is"
[pool.main]
members = [{ carrier = "alpha" }, { carrier = "beta" }]
[[route]]
when.to = ["382*"]
pool = "main"
"#;

fn config() -> Config {
    let mut files = Files {
        read: &mut |_: &Path| Ok(CONFIG.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("bench.toml"), &mut files) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report:?}"),
    }
}

/// How messages pass.
#[derive(Clone, Copy)]
struct Run {
    /// The shard where the carriers are at home; the account is at home on the first.
    carriers_at: usize,
    /// Messages in a turn.
    batch: u32,
    /// Receipts are asked for, and come.
    receipts: bool,
}

/// The shards, and what passes between them and their peers.
struct World {
    run: Run,
    shards: Vec<(Shard, Outbox)>,
    now: Now,
    actions: Vec<Action>,
    mails: Vec<(ShardId, Mail)>,
    dialled: Vec<Ticket>,
    /// Who says what in the step.
    says: Vec<(usize, LinkId, Vec<u8>)>,
    /// What was heard in the step.
    heard: Vec<(usize, LinkId, Vec<u8>)>,
    /// Messages accepted so far: the carriers' ids.
    serial: u32,
    /// Messages of the round, each answered in its last step.
    asked: usize,
    /// Links and ids of messages whose receipts are due.
    due: Vec<(LinkId, u32)>,
}

fn started(run: Run) -> Box<dyn Work> {
    let world = World::new(Run { batch: BATCH, ..run });
    let mut world = world.bound();
    for _ in 0..WARM_UP / BATCH {
        world.round();
    }
    world.run.batch = run.batch;
    warmed(world, 64)
}

impl World {
    fn new(run: Run) -> Self {
        let (config, count) = (Arc::new(config()), run.carriers_at + 1);
        let carriers = vec![ShardId::new(run.carriers_at); 2];
        let homes = Arc::new(Homes::fixed(count, vec![ShardId::new(ESME_SHARD)], carriers));
        let (hints, first) = (Arc::new(Hints::new(2)), Arc::new(ShardCounters::new(1, 2)));
        let shards = (0..count).map(|index| {
            let (homes, hints) = (Arc::clone(&homes), Arc::clone(&hints));
            let position = Position { shard: ShardId::new(index), homes, hints, credits: 1000 };
            let counters = if index == 0 { Arc::clone(&first) } else { Arc::new(first.beside()) };
            (Shard::placed(Arc::clone(&config), counters, position, 1), Outbox::new())
        });
        Self {
            run,
            shards: shards.collect(),
            now: Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) },
            actions: Vec::new(),
            mails: Vec::new(),
            dialled: Vec::new(),
            says: Vec::new(),
            heard: Vec::new(),
            serial: 0,
            asked: 0,
            due: Vec::new(),
        }
    }

    /// Every session of the carriers is bound, then the ESME.
    fn bound(mut self) -> Self {
        (0..self.shards.len()).for_each(|at| self.input(at, Input::Time));
        let home = self.run.carriers_at;
        for (at, ticket) in std::mem::take(&mut self.dialled).into_iter().enumerate() {
            let link = LinkId { slot: at as u32 + 1, generation: 1 };
            self.shards[home].1.open(link);
            self.input(home, Input::Connected { link, ticket });
        }
        assert_eq!(self.heard.len(), SESSIONS);
        let response = BindResp { system_id: Some(b"SMSC"), ..BindResp::default() };
        for (shard, link, heard) in std::mem::take(&mut self.heard) {
            let (mut says, command) = (Vec::new(), CommandId::BIND_TRANSCEIVER_RESP);
            each(&heard)
                .for_each(|pdu| response.write(&mut says, command, CommandStatus::OK, pdu.sequence_number()));
            self.says.push((shard, link, says));
        }
        let bind =
            Bind { system_id: b"acme", password: b"secret", interface_version: 0x34, ..Bind::default() };
        let mut says = Vec::new();
        bind.write(&mut says, BindKind::Transceiver.command(), 1);
        self.says.push((ESME_SHARD, ESME, says));
        self.shards[ESME_SHARD].1.open(ESME);
        let peer = ([192, 0, 2, 1], 1000).into();
        self.input(ESME_SHARD, Input::Accepted { link: ESME, listener: ListenerId(0), peer });
        self.pass();
        assert_eq!(self.answers(), 1, "bound");
        self.heard.clear();
        self
    }

    fn round(&mut self) {
        for step in 0..self.steps() {
            self.lay_out(step);
            self.run(step);
        }
    }

    /// What is said comes in, turn by turn, until nothing is under way.
    fn pass(&mut self) {
        let mut says = std::mem::take(&mut self.says);
        for (shard, link, bytes) in &says {
            self.input(*shard, Input::Bytes { link: *link, bytes });
        }
        says.clear();
        self.says = says;
    }

    fn input(&mut self, shard: usize, input: Input<'_>) {
        let (core, out) = &mut self.shards[shard];
        core.handle(self.now, input, out);
        while self.turn() {}
    }

    /// What a driver does at the end of a turn; true while letters were under way.
    fn turn(&mut self) -> bool {
        let mut more = false;
        for shard in 0..self.shards.len() {
            let (core, out) = &mut self.shards[shard];
            core.end_turn(self.now, out);
            while let Some((link, buffer)) = out.take_dirty() {
                out.flushed(link, buffer.len());
                self.heard.push((shard, link, buffer));
            }
            out.take_actions(&mut self.actions);
            for action in self.actions.drain(..) {
                if let Action::Connect(connect) = action {
                    self.dialled.push(connect.ticket);
                }
            }
            let mut mails = std::mem::take(&mut self.mails);
            self.shards[shard].1.take_mails(&mut mails);
            for (to, mail) in mails.drain(..) {
                let (core, out) = &mut self.shards[to.index()];
                core.handle(self.now, Input::Mail { from: ShardId::new(shard), mail }, out);
                more = true;
            }
            self.mails = mails;
        }
        more
    }

    /// How many responses that accept were heard.
    fn answers(&self) -> usize {
        let ok = CommandStatus::OK;
        let pdus = self.heard.iter().flat_map(|(_, _, heard)| each(heard));
        pdus.filter(|pdu| pdu.command_id().is_response() && pdu.header().command_status == ok).count()
    }
}

/// What the peers do.
impl World {
    /// What was heard, by link; the buffers go back to where they came from.
    fn listen(&mut self, mut each_link: impl FnMut(&mut Self, usize, LinkId, &[u8])) {
        for (shard, link, buffer) in std::mem::take(&mut self.heard) {
            each_link(self, shard, link, &buffer);
            self.shards[shard].1.keep(buffer);
        }
    }

    fn submit(&mut self) {
        assert_eq!(self.answers(), self.asked, "answers in the last step of a round");
        self.asked = self.run.batch as usize;
        self.listen(|_, _, _, _| ());
        self.now.mono = self.now.mono.after(Duration::from_millis(1));
        self.now.wall.0 += 1000;
        self.says.push((ESME_SHARD, ESME, submits(self.run.batch, 1, self.run.receipts, false)));
    }

    fn accept(&mut self) {
        let first = self.serial;
        self.listen(|world, shard, link, heard| {
            let mut says = Vec::new();
            for pdu in each(heard) {
                assert_eq!(pdu.command_id(), CommandId::SUBMIT_SM);
                write_response(&mut says, world.serial, pdu.sequence_number());
                world.due.push((link, world.serial));
                world.serial += 1;
            }
            world.says.push((shard, link, says));
        });
        assert_eq!((self.serial - first) as usize, self.asked);
    }

    fn deliver(&mut self) {
        assert_eq!(self.answers(), self.asked);
        self.listen(|_, _, _, _| ());
        let home = self.run.carriers_at;
        for (link, id) in std::mem::take(&mut self.due) {
            // Messages are submitted and accepted in the same order.
            let n = id % self.run.batch;
            match self.says.iter_mut().find(|(_, of, _)| *of == link) {
                Some((_, _, says)) => write_receipt(says, id, n, id),
                None => {
                    let mut says = Vec::new();
                    write_receipt(&mut says, id, n, id);
                    self.says.push((home, link, says));
                }
            }
        }
    }

    fn take_receipts(&mut self) {
        let mut says = Vec::new();
        self.listen(|_, _, link, heard| {
            assert_eq!(link, ESME);
            for pdu in each(heard) {
                assert_eq!(pdu.command_id(), CommandId::DELIVER_SM);
                let (command, sequence) = (CommandId::DELIVER_SM_RESP, pdu.sequence_number());
                write_header_only(&mut says, command, CommandStatus::OK, sequence);
            }
        });
        self.says.push((ESME_SHARD, ESME, says));
    }
}

impl Work for World {
    fn steps(&self) -> usize {
        if self.run.receipts { 4 } else { 2 }
    }

    fn lay_out(&mut self, step: usize) {
        match step {
            0 => self.submit(),
            1 => self.accept(),
            2 => self.deliver(),
            _ => self.take_receipts(),
        }
        if !self.run.receipts {
            self.due.clear();
        }
    }

    fn run(&mut self, _step: usize) {
        self.pass();
    }
}
