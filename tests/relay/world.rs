//! A running node between an ESME and carriers that the test plays.

use crate::peer::{PATIENCE, Peer, header_of, header_only, sequence_of, view, with_sequence};
use bindery::config::{self, Config, Files};
use bindery::io::Driver;
use bindery::node::Node;
use bindery::smpp::bind::{Bind, BindResp};
use bindery::smpp::command::CommandId;
use bindery::smpp::frame::write_pdu;
use bindery::smpp::sm::{Address, Content, Sm, write_c_octets};
use bindery::smpp::status::CommandStatus;
use bindery::smpp::tlv::Tlvs;
use std::cell::Cell;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;

thread_local! {
    /// What the worlds of this thread run over.
    static DRIVER: Cell<Driver> = const { Cell::new(Driver::Auto) };
}

/// What the worlds of this thread run over.
pub(crate) fn driver() -> Driver {
    DRIVER.get()
}

/// The worlds of this thread run over `driver` from now on.
pub(crate) fn over(driver: Driver) {
    DRIVER.set(driver);
}

/// Runs a test once over each driver that works here.
pub(crate) fn over_each_driver(test: impl Fn()) {
    for driver in Driver::available() {
        over(driver);
        println!("over {}", driver.name());
        test();
    }
}

/// What differs between worlds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Named when something is wrong.
    pub(crate) label: &'a str,
    /// The interface_version that the ESME binds with.
    pub(crate) version: u8,
    /// More keys of the accounts.
    pub(crate) account: &'a str,
    /// The keys of each carrier.
    pub(crate) carriers: &'a [&'a str],
}

/// A carrier that the test plays.
pub(crate) struct Played {
    listener: TcpListener,
    /// Its sessions that are bound: transmitter before receiver.
    pub(crate) sessions: Vec<Peer>,
}

/// A node and everybody around it.
pub(crate) struct World {
    node: Option<Node>,
    label: String,
    version: u8,
    pub(crate) carriers: Vec<Played>,
    /// The ESME's sessions that are bound: transmitter before receiver.
    pub(crate) esme: Vec<Peer>,
}

/// The keys of a carrier of version 3.3, which has no transceiver.
pub(crate) const THREE_THREE: &str = "interface_version = \"3.3\"\nbind = \"tx+rx\"\nsessions = 2\n";
/// The keys of a carrier of version 3.4.
pub(crate) const THREE_FOUR: &str = "interface_version = \"3.4\"\n";
/// The keys of a carrier of version 5.0.
pub(crate) const FIVE: &str = "interface_version = \"5.0\"\n";

fn config_text(plan: &Plan<'_>, ports: &[u16]) -> String {
    let mut text = format!(
        "[node]\nshards = 2\nspin = \"0\"\nio = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
        driver().name()
    );
    let accounts = [
        ("esme01", "esme01", "secret"),
        ("example", "SMPP3TEST", "secret08"),
        ("longest", "abcdefghijklmno", "12345678"),
    ];
    for (name, system_id, password) in accounts {
        writeln!(text, "[esme.{name}]\nsystem_id = \"{system_id}\"\npassword = \"{password}\"").unwrap();
        writeln!(text, "pool = \"main\"\n{}", plan.account).unwrap();
    }
    let mut members = Vec::new();
    for (index, (keys, port)) in plan.carriers.iter().zip(ports).enumerate() {
        writeln!(text, "[carrier.c{index}]\naddresses = [\"127.0.0.1:{port}\"]").unwrap();
        // Its ESME comes in on the other shard: every session of it is handed over.
        writeln!(text, "system_id = \"bindery\"\npassword = \"secret\"\nhome = 1").unwrap();
        // These tests are of the relay: a refusal is passed on, not met with another attempt.
        writeln!(text, "on_status = {{ ESME_RTHROTTLED = \"fail\" }}").unwrap();
        writeln!(text, "reconnect = {{ min = \"10ms\", max = \"20ms\" }}\n{keys}").unwrap();
        members.push(format!("{{ carrier = \"c{index}\" }}"));
    }
    writeln!(text, "[pool.main]\nmembers = [{}]", members.join(", ")).unwrap();
    let deliver = accounts.map(|(name, ..)| format!("{{ esme = \"{name}\" }}")).join(", ");
    writeln!(text, "[[mo_route]]\nwhen = {{ to = [\"1234\"] }}\ndeliver = [{deliver}]").unwrap();
    writeln!(text, "[[mo_route]]\ndeliver = [{{ esme = \"esme01\" }}]").unwrap();
    text
}

fn config_of(text: &str) -> Config {
    let mut files =
        Files { read: &mut |_| Ok(text.to_owned()), list: &mut |_| Ok(Vec::new()), env: &mut |_| None };
    config::load(Path::new("relay.toml"), &mut files)
        .unwrap_or_else(|report| panic!("the configuration is wrong: {report:?}\n{text}"))
        .config
}

impl World {
    /// Starts the node. Its carriers have dialled; nobody is bound.
    pub(crate) fn start(plan: &Plan<'_>) -> Self {
        let carriers: Vec<Played> = plan.carriers.iter().map(|_| Played::listen()).collect();
        let ports: Vec<u16> =
            carriers.iter().map(|played| played.listener.local_addr().unwrap().port()).collect();
        let config = config_of(&config_text(plan, &ports));
        let node = Node::start(config, Box::new(|_| {})).expect("the node starts");
        Self {
            node: Some(node),
            label: plan.label.to_owned(),
            version: plan.version,
            carriers,
            esme: Vec::new(),
        }
    }

    /// Starts the node and lets every carrier accept its binds.
    pub(crate) fn with_carriers(plan: &Plan<'_>) -> Self {
        let mut world = Self::start(plan);
        for (index, keys) in plan.carriers.iter().enumerate() {
            let sessions = if keys.contains("tx+rx") { 2 } else { 1 };
            for _ in 0..sessions {
                let (mut peer, bind) = world.accept(index);
                peer.send(&bind_response(&bind));
                peer.settle();
                let first = view(&bind).command_id() != CommandId::BIND_RECEIVER;
                let sessions = &mut world.carriers[index].sessions;
                sessions.insert(if first { 0 } else { sessions.len() }, peer);
            }
        }
        world
    }

    /// As above, and the ESME binds: a transceiver, or a transmitter and a receiver where there is no such thing.
    pub(crate) fn bound(plan: &Plan<'_>) -> Self {
        let mut world = Self::with_carriers(plan);
        world.bind_esme();
        world
    }

    /// The ESME binds.
    pub(crate) fn bind_esme(&mut self) {
        let binds: &[CommandId] = match self.version {
            ..0x34 => &[CommandId::BIND_TRANSMITTER, CommandId::BIND_RECEIVER],
            _ => &[CommandId::BIND_TRANSCEIVER],
        };
        self.esme = binds.iter().map(|command| self.bind(*command)).collect();
    }

    /// The usual: message ids of the carrier, one carrier of the same version.
    pub(crate) fn usual(label: &str, version: u8) -> Self {
        Self::bound(&usual_plan(label, version))
    }

    /// One more session of the ESME.
    pub(crate) fn bind(&self, command: CommandId) -> Peer {
        let mut peer = self.connect();
        peer.send(&bind_request(command, self.version));
        let response = peer.pdu();
        assert_eq!(header_of(&response), header_of(&header_only(command.response(), CommandStatus::OK, 1)));
        peer
    }

    /// A connection that is not bound.
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.node().addresses()[0], &format!("{} (ESME)", self.label))
    }

    /// The next connection of the node to a carrier, and its bind request.
    pub(crate) fn accept(&self, index: usize) -> (Peer, Vec<u8>) {
        let accepted = self.carriers[index].listener.accept();
        let (stream, _) = accepted.unwrap_or_else(|error| panic!("{}: not dialled: {error}", self.label));
        let mut peer = Peer::over(stream, &format!("{} (carrier {index})", self.label));
        let bind = peer.pdu();
        (peer, bind)
    }

    /// The running node.
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the node runs")
    }

    /// Lets the node finish what is in flight and stop.
    pub(crate) fn drain(&self) {
        self.node().stop().drain();
    }

    /// Waits until the node has stopped by itself.
    pub(crate) fn wait(mut self) {
        let ended = self.node.take().expect("the node runs").wait();
        assert!(ended.is_ok(), "{}: {ended:?}", self.label);
    }

    /// The ESME's session that submits.
    pub(crate) fn tx(&mut self) -> &mut Peer {
        self.esme.first_mut().expect("the ESME is bound")
    }

    /// The ESME's session that is delivered to.
    pub(crate) fn rx(&mut self) -> &mut Peer {
        self.esme.last_mut().expect("the ESME is bound")
    }

    /// The first carrier's session that is submitted to.
    pub(crate) fn carrier_tx(&mut self) -> &mut Peer {
        self.carriers[0].sessions.first_mut().expect("the carrier is bound")
    }

    /// The first carrier's session that delivers.
    pub(crate) fn carrier_rx(&mut self) -> &mut Peer {
        self.carriers[0].sessions.last_mut().expect("the carrier is bound")
    }

    /// Every session is alive and nothing is on its way to any of them.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.esme.iter_mut().for_each(Peer::settle);
        self.carriers.iter_mut().flat_map(|played| &mut played.sessions).for_each(Peer::settle);
    }

    /// A request of the ESME must reach the carrier as it is; gives its sequence_number there.
    #[track_caller]
    pub(crate) fn up(&mut self, request: &[u8]) -> u32 {
        self.tx().send(request);
        self.carrier_tx().expect_relayed(request)
    }

    /// The carrier's answer to `up` must reach the ESME as it is, with the ESME's sequence_number.
    #[track_caller]
    pub(crate) fn answer_up(&mut self, at_carrier: u32, response: &[u8], sequence: u32) {
        self.carrier_tx().send(&with_sequence(response, at_carrier));
        self.tx().expect(&with_sequence(response, sequence));
    }

    /// A request of the carrier must reach the ESME as it is; gives its sequence_number there.
    #[track_caller]
    pub(crate) fn down(&mut self, request: &[u8]) -> u32 {
        self.carrier_rx().send(request);
        self.rx().expect_relayed(request)
    }

    /// The ESME's answer to `down` must reach the carrier as it is, with the carrier's sequence_number.
    #[track_caller]
    pub(crate) fn answer_down(&mut self, at_esme: u32, response: &[u8], sequence: u32) {
        self.rx().send(&with_sequence(response, at_esme));
        self.carrier_rx().expect(&with_sequence(response, sequence));
    }

    /// A request of the ESME goes up and its answer back.
    #[track_caller]
    pub(crate) fn round_trip_up(&mut self, request: &[u8]) {
        let at_carrier = self.up(request);
        self.answer_up(at_carrier, &accepting(request, "M-1"), sequence_of(request));
    }

    /// A request of the carrier goes down and its answer back.
    #[track_caller]
    pub(crate) fn round_trip_down(&mut self, request: &[u8]) {
        let at_esme = self.down(request);
        self.answer_down(at_esme, &accepting(request, ""), sequence_of(request));
    }

    /// The carrier accepts a message of the ESME to this number under this id, and a receipt is asked for.
    #[track_caller]
    pub(crate) fn accept_message(&mut self, id: &str, to: &str) {
        let request = submit(to, b"known", 0x0D0D, &[]);
        let at_carrier = self.up(&request);
        self.answer_up(at_carrier, &accepting(&request, id), 0x0D0D);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(node) = self.node.take() else { return };
        node.stop().exit();
        let ended = node.wait();
        if !std::thread::panicking() {
            assert!(ended.is_ok(), "{}: {ended:?}", self.label);
        }
    }
}

impl Played {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        // On a listener it bounds accept.
        socket2::SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).expect("timeouts are settable");
        Self { listener, sessions: Vec::new() }
    }
}

/// One carrier of the ESME's own version whose ids the ESME is given.
pub(crate) fn usual_plan(label: &str, version: u8) -> Plan<'_> {
    let carriers: &[&str] = match version {
        ..0x34 => &[THREE_THREE],
        0x34 => &[THREE_FOUR],
        _ => &[FIVE],
    };
    Plan { label, version, account: "message_id = \"carrier\"", carriers }
}

/// The bind request of the account `esme01`.
pub(crate) fn bind_request(command: CommandId, interface_version: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let bind = Bind { system_id: b"esme01", password: b"secret", interface_version, ..Bind::default() };
    bind.write(&mut out, command, 1);
    out
}

/// The response that accepts a bind request.
pub(crate) fn bind_response(bind: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let response = BindResp { system_id: Some(b"carrier"), ..BindResp::default() };
    let request = view(bind);
    response.write(&mut out, request.command_id().response(), CommandStatus::OK, request.sequence_number());
    out
}

/// The ESME_ROK response to a request, with this message_id where there is one.
pub(crate) fn accepting(request: &[u8], id: &str) -> Vec<u8> {
    let command = view(request).command_id();
    let mut out = Vec::new();
    write_pdu(&mut out, command.response(), CommandStatus::OK, sequence_of(request), |out| match command {
        CommandId::SUBMIT_SM | CommandId::DATA_SM | CommandId::BROADCAST_SM => {
            write_c_octets(out, id.as_bytes());
        }
        CommandId::SUBMIT_MULTI => {
            write_c_octets(out, id.as_bytes());
            out.push(0);
        }
        CommandId::DELIVER_SM => out.push(0),
        _ => {}
    });
    out
}

fn sm(command: CommandId, addresses: (&str, &str), content: Content<'_>, sequence: u32) -> Vec<u8> {
    let international = |digits| Address { ton: 1, npi: 1, digits };
    let source = international(addresses.0.as_bytes());
    let destination = international(addresses.1.as_bytes());
    let mut out = Vec::new();
    Sm { source, destination, content, ..Sm::default() }.write(&mut out, command, sequence);
    out
}

/// A submit_sm that asks for a receipt.
pub(crate) fn submit(to: &str, short_message: &[u8], sequence: u32, tlvs: &[u8]) -> Vec<u8> {
    let tlvs = Tlvs::lenient(tlvs);
    let content = Content { registered_delivery: 1, short_message, tlvs, ..Content::default() };
    sm(CommandId::SUBMIT_SM, ("14499", to), content, sequence)
}

/// A deliver_sm to 14499.
pub(crate) fn deliver(
    from: &str,
    esm_class: u8,
    short_message: &[u8],
    sequence: u32,
    tlvs: &[u8],
) -> Vec<u8> {
    let content = Content { esm_class, short_message, tlvs: Tlvs::lenient(tlvs), ..Content::default() };
    sm(CommandId::DELIVER_SM, (from, "14499"), content, sequence)
}
