//! The demo: a working node in this process with two simulated carriers behind it, and nothing to configure.
//!
//! Owns: the carriers' threads and the node. Takes: a port. Gives: what to try, and live counts. Never: a link to
//! anywhere but this machine.

use bindery::config::{self, Config, Files};
use bindery::ids::ListenerId;
use bindery::io::{self, Driver, Options, Stop, StopHandle};
use bindery::node::{Log, Node};
use bindery::shard::port::{Event, Level};
use bindery::time::Duration;
use bindery::tools::smsc::{self, Smsc};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

/// Where ESMEs bind to the demo.
pub(crate) const ADDRESS: &str = "127.0.0.1:2775";

/// One simulated carrier.
pub(crate) struct Carrier {
    /// Its name.
    pub(crate) name: &'static str,
    address: SocketAddr,
    stop: StopHandle,
    thread: JoinHandle<()>,
}

impl Carrier {
    fn start(name: &'static str, id_first: u64, driver: Driver) -> std::io::Result<Self> {
        let listener = io::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let core = Smsc::new(smsc::Settings {
            listen: address,
            name: Some(name.to_owned()),
            system_id: name.to_owned(),
            receipt_delay: Duration::from_millis(200),
            id_first,
            ..smsc::Settings::default()
        });
        let (stop, handle) = Stop::new()?;
        let options = Options {
            driver,
            listeners: vec![(ListenerId(0), listener)],
            spin: Duration::ZERO,
            links_max: 1024,
            log: Box::new(|_| ()),
            stop,
            lanes: None,
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            // The carrier ends with the demo; how is nobody's concern.
            let _ = io::run(core, options);
        })?;
        Ok(Self { name, address, stop: handle, thread })
    }
}

/// The running demo.
pub(crate) struct Demo {
    /// The proxy.
    pub(crate) node: Node,
    /// Behind it.
    pub(crate) carriers: Vec<Carrier>,
}

fn config_of(address: &str, carriers: &[Carrier], driver: Driver) -> Result<Config, String> {
    use std::fmt::Write as _;
    let mut text = format!(
        "[node]\nname = \"demo\"\nio = \"{}\"\n[[listener]]\naddress = \"{address}\"\n\
         [esme.demo]\npassword = \"demo\"\npool = \"main\"\nsessions_max = 64\n\
         [[mo_route]]\nname = \"all\"\ndeliver = [{{ esme = \"demo\" }}]\n",
        driver.name()
    );
    let mut members = Vec::new();
    for (carrier, weight) in carriers.iter().zip([3, 1]) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[carrier.{}]\naddresses = [\"{}\"]\nsystem_id = \"bindery\"\npassword = \"secret\"\nsessions = 2\n",
            carrier.name, carrier.address
        );
        members.push(format!("{{ carrier = \"{}\", weight = {weight} }}", carrier.name));
    }
    let _ = write!(text, "[pool.main]\nmembers = [{}]\n", members.join(", "));
    let mut files = Files {
        read: &mut |_: &Path| Ok(text.clone()),
        list: &mut |_: &Path| Ok(Vec::new()),
        env: &mut |_: &str| None,
    };
    match config::load(Path::new("demo.toml"), &mut files) {
        Ok(loaded) => Ok(loaded.config),
        Err(report) => Err(report.render(false)),
    }
}

impl Demo {
    /// Starts carriers and node.
    pub(crate) fn start(address: &str, driver: Driver, log: Log) -> Result<Self, String> {
        let carriers = [("alpha", 1_000_000_001), ("beta", 7_000_000_001)];
        let carriers: Vec<Carrier> = carriers
            .into_iter()
            .map(|(name, id_first)| Carrier::start(name, id_first, driver))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let config = config_of(address, &carriers, driver)?;
        let node = Node::start(config, log).map_err(|error| error.to_string())?;
        Ok(Self { node, carriers })
    }

    /// Ends the carriers, after the node has ended.
    pub(crate) fn finish(self) -> std::io::Result<()> {
        let ended = self.node.wait();
        for carrier in self.carriers {
            carrier.stop.exit();
            // A panic there was printed by its thread.
            let _ = carrier.thread.join();
        }
        ended
    }

    /// One line of what has happened so far.
    pub(crate) fn counts(&self) -> String {
        use std::fmt::Write as _;
        let counters = self.node.counters();
        let mut line = String::new();
        for esme in counters.esmes.iter() {
            let _ = write!(
                line,
                "demo: {} sessions, {} submits, {} accepted, {} receipts, {} MO",
                esme.sessions.get(),
                esme.submits.get(),
                esme.accepted.get(),
                esme.receipts.get(),
                esme.mo.get()
            );
        }
        for (carrier, cells) in self.carriers.iter().zip(counters.carriers.iter()) {
            let _ = write!(
                line,
                " | {}: {} sessions, {} submits",
                carrier.name,
                cells.sessions.get(),
                cells.submits.get()
            );
        }
        line
    }
}

/// What the demo prints when it is up. `program`: how it was called.
pub(crate) fn greeting(address: SocketAddr, program: &str) -> String {
    format!(
        "Bindery {version} demo: a proxy on {address}, two simulated carriers (alpha 3 : beta 1) behind it.\n\
         Account demo, password demo; any SMPP client may bind there. In a second terminal, try:\n\n  \
         {program} send --to 38267123456 --text \"hello\"\n  \
         {program} load --binds 4 --window 16 --messages 100000 --receipts\n  \
         {program} check -c config/bindery.toml\n  \
         {program} --help\n\n\
         Ctrl-C ends it.\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The log of the demo: what somebody should look at, on stderr.
pub(crate) fn quiet(mut log: Log) -> Log {
    Box::new(move |event: &Event| {
        if event.level > Level::Info {
            log(event);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_demo_comes_up_with_both_carriers_and_ends() {
        Driver::available().into_iter().for_each(the_demo_comes_up);
    }

    fn the_demo_comes_up(driver: Driver) {
        let demo = Demo::start("127.0.0.1:0", driver, Box::new(|_| ())).unwrap();
        let counters = Arc::clone(demo.node.counters());
        // Four binds over loopback; the test runner's own limit ends a hang.
        while counters.carriers.iter().map(|carrier| carrier.sessions.get()).sum::<u64>() < 4 {
            std::thread::yield_now();
        }
        assert!(demo.counts().contains("alpha: 2 sessions"), "{}", demo.counts());
        demo.node.stop().drain();
        demo.finish().unwrap();
    }
}
