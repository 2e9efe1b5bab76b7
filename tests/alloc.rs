//! A turn of a shard allocates nothing after warm-up (design decision 10): messages there and back, with and without
//! receipts, on one shard and across two.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use bindery::config::{self, Config, Files, Homes};
use bindery::counters::{Hints, ShardCounters};
use bindery::ids::{LinkId, ListenerId, ShardId};
use bindery::session::BindKind;
use bindery::shard::mail::Mail;
use bindery::shard::port::{Action, Core, Input, Outbox};
use bindery::shard::{Position, Shard};
use bindery::smpp::bind::{Bind, BindResp};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::{Frame, write_header_only};
use bindery::smpp::receipt::{ReceiptFields, write_text};
use bindery::smpp::response::MessageIdResp;
use bindery::smpp::sm::{Address, Content, Sm};
use bindery::smpp::status::CommandStatus;
use bindery::time::{Duration, Instant, Now, Wall};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    // A thread that ends has no cell any more, and is none that is counted.
    let _ = COUNT.try_with(|cell| cell.set(cell.get().map(|count| count + 1)));
}

// SAFETY: every call is the system allocator's; counting touches a cell of this thread and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: it passes everything on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    // SAFETY: it passes everything on.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `run` runs.
fn allocations(run: impl FnOnce()) -> u64 {
    COUNT.with(|cell| cell.set(Some(0)));
    run();
    COUNT.with(Cell::take).unwrap()
}

const ESME: LinkId = LinkId { slot: 0, generation: 1 };
const CARRIER: LinkId = LinkId { slot: 1, generation: 1 };
const TEXT: &[u8] = &[b'x'; 160];

fn config() -> Config {
    let text = "[[listener]]\naddress = \"127.0.0.1:2775\"\n\
                [esme.acme]\npassword = \"secret\"\npool = \"main\"\nwindow_max = 64\nmessage_id = \"own\"\n\
                [carrier.alpha]\naddresses = [\"127.0.0.1:1\"]\nsystem_id = \"b\"\npassword = \"p\"\nsessions = 1\n\
                window_max = 64\nmessage_id_form = \"as_is\"\nrate = \"1000000/s\"\nburst = 1000\n\
                [pool.main]\nmembers = [{ carrier = \"alpha\" }]\n";
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.to_owned()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    config::load(Path::new("alloc.toml"), &mut files).unwrap().config
}

/// The shards with their outputs, and a buffer for each of the two peers.
struct World {
    shards: Vec<(Shard, Outbox)>,
    now: Now,
    actions: Vec<Action>,
    mails: Vec<(ShardId, Mail)>,
    /// What the ESME, and what the carrier, has heard.
    heard: [Vec<u8>; 2],
    says: Vec<u8>,
    text: Vec<u8>,
    dialled: Option<bindery::shard::port::Ticket>,
}

impl World {
    fn new(esme: usize, carrier: usize) -> Self {
        let config = Arc::new(config());
        let shards = esme.max(carrier) + 1;
        let homes = Arc::new(Homes::fixed(shards, vec![ShardId::new(esme)], vec![ShardId::new(carrier)]));
        let hints = Arc::new(Hints::new(1));
        let first = Arc::new(ShardCounters::new(1, 1));
        let shards = (0..shards).map(|index| {
            let (homes, hints) = (Arc::clone(&homes), Arc::clone(&hints));
            let position = Position { shard: ShardId::new(index), homes, hints, credits: 1000 };
            let counters = if index == 0 { Arc::clone(&first) } else { Arc::new(first.beside()) };
            (Shard::placed(Arc::clone(&config), counters, position, 1), Outbox::new())
        });
        let mut world = Self {
            shards: shards.collect(),
            now: Now { mono: Instant::from_nanos(1_000_000_000), wall: Wall(1_790_000_000_000_000) },
            actions: Vec::new(),
            mails: Vec::new(),
            heard: [Vec::new(), Vec::new()],
            says: Vec::new(),
            text: Vec::new(),
            dialled: None,
        };
        (0..world.shards.len()).for_each(|at| world.input(at, Input::Time));
        world.bind(esme, carrier);
        world
    }

    fn bind(&mut self, esme: usize, carrier: usize) {
        let ticket = self.dialled.take().unwrap();
        self.shards[carrier].1.open(CARRIER);
        self.input(carrier, Input::Connected { link: CARRIER, ticket });
        let asked = sequence_of(&self.heard[1]);
        let response = BindResp { system_id: Some(b"SMSC"), ..BindResp::default() };
        response.write(&mut self.says, CommandId::BIND_TRANSCEIVER_RESP, CommandStatus::OK, asked);
        self.say(carrier, CARRIER);
        // Listener 0 is that of shard 0; a link that leaves it keeps its number.
        self.shards[0].1.open(ESME);
        let peer = "192.0.2.1:1000".parse().unwrap();
        self.input(0, Input::Accepted { link: ESME, listener: ListenerId(0), peer });
        let bind =
            Bind { system_id: b"acme", password: b"secret", interface_version: 0x34, ..Bind::default() };
        bind.write(&mut self.says, BindKind::Transceiver.command(), 1);
        self.say(0, ESME);
        assert_eq!(self.answers(0), 1, "bound on shard {esme}");
        self.heard.iter_mut().for_each(Vec::clear);
    }

    fn say(&mut self, shard: usize, link: LinkId) {
        let says = std::mem::take(&mut self.says);
        self.input(shard, Input::Bytes { link, bytes: &says });
        self.says = says;
        self.says.clear();
    }

    fn input(&mut self, shard: usize, input: Input<'_>) {
        let (core, out) = &mut self.shards[shard];
        core.handle(self.now, input, out);
        while self.turn() {}
    }

    /// What a driver does at the end of a turn; true while there is more.
    fn turn(&mut self) -> bool {
        let mut more = false;
        for shard in 0..self.shards.len() {
            let (core, out) = &mut self.shards[shard];
            core.end_turn(self.now, out);
            while let Some((link, buffer)) = out.take_dirty() {
                self.heard[link.index()].extend_from_slice(&buffer);
                out.flushed(link, buffer.len());
                out.keep(buffer);
                more = true;
            }
            let mut actions = std::mem::take(&mut self.actions);
            self.shards[shard].1.take_actions(&mut actions);
            for action in actions.drain(..) {
                self.act(shard, action);
                more = true;
            }
            self.actions = actions;
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

    fn act(&mut self, shard: usize, action: Action) {
        match action {
            Action::Connect(connect) => self.dialled = Some(connect.ticket),
            Action::HandOver { link, to, parcel } => {
                self.shards[shard].1.closed(link);
                let (core, out) = &mut self.shards[to.index()];
                out.open(link);
                core.handle(self.now, Input::HandedOver { link, parcel }, out);
            }
            Action::Log(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// How many PDUs a peer has heard that accept what it asked.
    fn answers(&self, peer: usize) -> usize {
        let (mut rest, mut count) = (self.heard[peer].as_slice(), 0);
        while let Frame::Whole(pdu, behind) = Frame::next(rest, 1 << 20) {
            count += usize::from(
                pdu.command_id().is_response() && pdu.header().command_status == CommandStatus::OK,
            );
            rest = behind;
        }
        count
    }

    /// A window of submits, their answers, and with `receipts` their receipts and the answers to those.
    fn round(&mut self, (esme, carrier): (usize, usize), number: u32, receipts: bool) {
        self.now.mono = self.now.mono.after(Duration::from_millis(1));
        self.now.wall.0 += 1000;
        for at in 0..64 {
            let content = Content {
                registered_delivery: u8::from(receipts),
                short_message: TEXT,
                ..Content::default()
            };
            let destination = Address { ton: 1, npi: 1, digits: b"38267123456" };
            let sm = Sm { destination, content, ..Sm::default() };
            sm.write(&mut self.says, CommandId::SUBMIT_SM, 2 + number * 64 + at);
        }
        self.say(esme, ESME);
        let heard = std::mem::take(&mut self.heard[1]);
        let mut rest = heard.as_slice();
        while let Frame::Whole(pdu, behind) = Frame::next(rest, 1 << 20) {
            let id = id_of(number, pdu.sequence_number());
            let response = MessageIdResp::new(&id);
            response.write(
                &mut self.says,
                CommandId::SUBMIT_SM_RESP,
                CommandStatus::OK,
                pdu.sequence_number(),
            );
            rest = behind;
        }
        self.say(carrier, CARRIER);
        assert_eq!(self.answers(0), 64);
        self.heard[0].clear();
        rest = if receipts { heard.as_slice() } else { &[] };
        while let Frame::Whole(pdu, behind) = Frame::next(rest, 1 << 20) {
            self.write_receipt(&id_of(number, pdu.sequence_number()), pdu.sequence_number());
            rest = behind;
        }
        self.heard[1] = heard;
        self.heard[1].clear();
        if receipts {
            self.say(carrier, CARRIER);
            self.take_receipts(esme);
        }
    }

    fn write_receipt(&mut self, id: &[u8], sequence: u32) {
        self.text.clear();
        let fields = ReceiptFields {
            id,
            sub: 1,
            dlvrd: 1,
            submit_date: b"2611211200",
            done_date: b"2611211201",
            stat: b"DELIVRD",
            err: b"000",
            text: b"",
        };
        write_text(&mut self.text, &fields);
        let content = Content { esm_class: 4, short_message: &self.text, ..Content::default() };
        let source = Address { ton: 1, npi: 1, digits: b"38267123456" };
        let sm = Sm { source, content, ..Sm::default() };
        sm.write(&mut self.says, CommandId::DELIVER_SM, sequence);
    }

    fn take_receipts(&mut self, esme: usize) {
        let heard = std::mem::take(&mut self.heard[0]);
        let (mut rest, mut count) = (heard.as_slice(), 0);
        while let Frame::Whole(pdu, behind) = Frame::next(rest, 1 << 20) {
            let (command, sequence) = (CommandId::DELIVER_SM_RESP, pdu.sequence_number());
            write_header_only(&mut self.says, command, CommandStatus::OK, sequence);
            count += 1;
            rest = behind;
        }
        assert_eq!(count, 64, "receipts");
        self.heard[0] = heard;
        self.heard[0].clear();
        self.say(esme, ESME);
        assert_eq!(self.answers(1), 64);
        self.heard[1].clear();
    }
}

fn sequence_of(heard: &[u8]) -> u32 {
    let Frame::Whole(pdu, _) = Frame::next(heard, 1 << 20) else { panic!("a whole PDU") };
    pdu.sequence_number()
}

/// Eight digits, different for each message.
fn id_of(number: u32, sequence: u32) -> [u8; 10] {
    let mut id = *b"1000000000";
    let mut rest = number.wrapping_mul(100_000) + sequence % 100_000;
    for digit in id.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    id
}

/// Allocations a message, in thousandths, after so many rounds of warm-up.
fn per_message(homes: (usize, usize), receipts: bool) -> u64 {
    let mut world = World::new(homes.0, homes.1);
    for number in 0..1500 {
        world.round(homes, number, receipts);
    }
    let count = allocations(|| (1500..2500).for_each(|number| world.round(homes, number, receipts)));
    count * 1000 / 64_000
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0u8; 10]))), 1);
}

#[test]
fn a_message_allocates_nothing_where_both_are_at_home() {
    assert_eq!(per_message((0, 0), false), 0);
}

#[test]
fn a_message_with_its_receipt_allocates_nothing_either() {
    assert_eq!(per_message((0, 0), true), 0);
}

#[test]
fn a_message_that_crosses_allocates_nothing() {
    assert_eq!(per_message((0, 1), false), 0);
    assert_eq!(per_message((1, 0), true), 0);
}
