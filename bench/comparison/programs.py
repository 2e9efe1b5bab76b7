"""The programs of the comparison: built, found, started, and what they say."""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import string
import subprocess
import time
import urllib.request

from comparison import rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
FIRST_NUMBER, NUMBERS, PREFIXES = 382_670_000_000, 1_000_000, 100_000
START_SECONDS = 30


class Failed(Exception):
    """A program did not do its part; the figures would mean nothing."""


def build(drivers, folder, notes):
    """The release binary, with glommio when it is among the drivers wanted and can be built; what cannot be is noted.

    A copy in the folder: the build of the floor puts one without glommio in the same place."""
    cargo = shutil.which("cargo") or pathlib.Path.home() / ".cargo/bin/cargo"
    command = [cargo, "build", "--release", "--quiet"]
    built = False
    if "glommio" in drivers and not shutil.which("git"):
        notes.append("git is not installed, which the build of glommio runs: built without it.")
    elif "glommio" in drivers:
        built = subprocess.run([*command, "--features", "glommio"], cwd=ROOT, check=False).returncode == 0
        if not built:
            notes.append("The build with the feature glommio failed: built without it.")
    if not built:
        subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return pathlib.Path(shutil.copy2(target / "release/bindery", folder / "bindery"))


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Child:
    """One process on its cores, ended when we leave the `with`; what it writes goes into a file or to us."""

    def __init__(self, name, command, cores, folder, to_us=False):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stderr=log,
                stdout=subprocess.PIPE if to_us else log, preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """Asks it to end, then ends it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def complaint(self):
        """What it said last."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])

    def until(self, what, holds):
        """Waits until `holds()`."""
        end = time.monotonic() + START_SECONDS
        while not holds():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.complaint()}")
            if time.monotonic() > end:
                raise Failed(f"{self.name}: {what} did not happen within {START_SECONDS} s\n{self.complaint()}")
            time.sleep(0.02)

    def until_listening(self, port):
        """Waits until a connect works."""

        def listens():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        self.until("listening", listens)

    def last_object(self):
        """The last JSON object in its log."""
        for line in reversed(self.log.read_text(errors="replace").splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        raise Failed(f"{self.name} said nothing:\n{self.complaint()}")


def start_carrier(options, port, cores):
    """The simulated carrier: one process that accepts everybody."""
    command = [options.binary, "smsc", "--listen", f"127.0.0.1:{port}", "--window", "1024", "--json", "--every", "1s"]
    carrier = Child("smsc", command, cores, options.folder)
    carrier.until("listening", lambda: "listening" in carrier.log.read_text(errors="replace"))
    return carrier


def start_haproxy(options, port, carrier, cores):
    """The byte relay."""
    path = options.folder / "haproxy.cfg"
    path.write_text(string.Template((BENCH / "haproxy.cfg").read_text()).substitute(port=port, carrier=carrier))
    proxy = Child("haproxy", ["haproxy", "-db", "-f", path], cores, options.folder)
    proxy.until_listening(port)
    return proxy


def more_accounts(variant):
    """Accounts beside the eight: those whose binds are idle, and those that fill up the carriers' shard.

    Accounts are dealt to the shards that their carriers live on, at most an equal share to each, first come first
    served: eight that come first and never bind take the carriers' shard, and the eight of the load get the other."""
    names = [f"idle{number}" for number in range(1, rows.IDLE_ACCOUNTS + 1)] if variant.idle else []
    if variant.shards > 1:
        names += [f"filler{number}" for number in range(1, rows.ACCOUNTS + 1)]
    return "".join(f'[esme.{name}]\npassword = "secret"\n\n' for name in names)


def routes():
    """One route with all prefixes."""
    each = NUMBERS // PREFIXES
    prefixes = ",\n".join(f'  "{(FIRST_NUMBER + at * each) // each}*"' for at in range(PREFIXES))
    return f'[[route]]\nname = "prefixes"\npool = "main"\nwhen = {{ to = [\n{prefixes}\n] }}\n'


def configuration(row, variant, ports, spin, optional):
    """bindery.toml as this row needs it."""
    text = (BENCH / "bindery.toml").read_text()
    if optional:
        text = re.sub(r"^#\? ", "", text, flags=re.MULTILINE)
    # The carriers' shard is the last one.
    return string.Template(text).substitute(
        ports, shards=variant.shards, io=variant.io, spin=spin, alpha=row.sessions[0], beta=row.sessions[1],
        home=variant.shards - 1)


def knows(options, row, variant, optional):
    """True when the program accepts a driver, or the lines that are optional."""
    ports = {"port": 1, "http": 2, "carrier": 3}
    path = options.folder / "check.toml"
    path.write_text(configuration(row, variant, ports, options.spin, optional))
    (options.folder / "routes.toml").write_text("")
    command = [options.binary, "check", "-c", path]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


class Bindery(Child):
    """A node, and what it says of itself."""

    def __init__(self, options, row, variant, port, carrier, cores):
        self.http = free_port()
        ports = {"port": port, "http": self.http, "carrier": carrier}
        path = options.folder / "bindery.toml"
        path.write_text(configuration(row, variant, ports, options.spin, options.optional))
        (options.folder / "routes.toml").write_text(more_accounts(variant) + routes())
        super().__init__("bindery", [options.binary, "run", "-c", path], cores, options.folder)
        try:
            self.until("listening", lambda: "listening" in self.log.read_text(errors="replace"))
            self.until("binding", lambda: self.bound("carrier") == sum(row.sessions))
        except Failed:
            self.stop()
            raise

    def samples(self, beginning):
        """The samples of /metrics whose lines begin so, by name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, _, value in
                (line.rpartition(" ") for line in lines if line.startswith(beginning))}

    def bound(self, side):
        """Sessions that are bound on a side."""
        found = self.samples("bindery_sessions{")
        return sum(value for name, value in found.items() if f'side="{side}"' in name and 'state="bound"' in name)

    def mail(self):
        """Letters between shards so far."""
        return sum(self.samples("bindery_shard_mail_total").values())


def load_options(binary):
    """The options that this load generator has."""
    text = subprocess.run([binary, "load", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z][a-z-]*", text))


def load_command(options, row, port, seconds, warmup):
    """The load of a row. A generator without --closed sends as windows allow when it is given no rate."""
    command = [options.binary, "load", "--to-address", f"127.0.0.1:{port}", "--binds", row.binds, "--window", row.window]
    for number in range(1, row.accounts + 1):
        command += ["--account", f"acc{number}:secret{number}"]
    command += ["--to", f"{FIRST_NUMBER}-{FIRST_NUMBER + NUMBERS - 1}", "--length", 160, "--for", f"{seconds}s", "--json"]
    if row.rate:
        command += ["--rate", f"{row.rate}/s"]
        # A late generator is told as noise.
        command += ["--late-max", "100%"] if "--late-max" in options.load else []
    elif "--closed" in options.load:
        command += ["--closed"]
    if row.receipts:
        command += ["--receipts", "--receipt-wait", "30s"]
    if warmup:
        command += ["--warmup", f"{warmup}s"]
    return command


def idle_command(options, port, binds):
    """Binds that send nothing, but for one message when all are up."""
    command = [options.binary, "load", "--to-address", f"127.0.0.1:{port}", "--binds", binds // rows.IDLE_ACCOUNTS]
    for number in range(1, rows.IDLE_ACCOUNTS + 1):
        command += ["--account", f"idle{number}:secret"]
    return command + ["--rate", "1/h", "--for", "1h", "--json"]


class Load(Child):
    """A load generator that runs; `on_event` is called with its id when it says that it begins and ends to measure."""

    def __init__(self, options, row, port, seconds, cores, warmup=0, on_event=lambda _: None):
        command = load_command(options, row, port, seconds, warmup)
        super().__init__("load", command, cores, options.folder, to_us=True)
        self.seconds = seconds + warmup
        self.on_event = on_event

    def report(self):
        """Waits for its end; what it found. Anything lost, doubled or refused is an error."""
        objects, end = [], time.monotonic() + self.seconds + 90
        pipe = self.process.stdout
        while True:
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                raise Failed("the load generator did not end")
            line = pipe.readline()
            if not line:
                break
            if line.startswith(b"{"):
                objects.append(json.loads(line))
                if objects[-1].get("event") in ("measuring", "measured"):
                    self.on_event(self.pid)
        code = self.process.wait()
        reports = [one for one in objects if "answered" in one and "event" not in one]
        if not reports:
            raise Failed(f"the load generator ended with {code} and no report:\n{self.complaint()}")
        return self._judged(reports[-1], code)

    @staticmethod
    def _judged(report, code):
        wrong = {status: count for status, count in report["responses"].items() if status != "ESME_ROK" and count}
        if wrong:
            raise Failed(f"messages were refused: {wrong}")
        if code or report["faults"] or report["links_lost"] or report["submitted"] != report["answered"]:
            raise Failed(f"messages were lost or doubled (exit code {code}): {report}")
        if not report["answered"]:
            raise Failed("no message was answered")
        return report
