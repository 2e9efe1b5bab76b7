"""What the runs over real sockets share: processes that end with us, ports, a proxy that is up, a table of figures."""

import argparse
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 40
DRIVERS = {"epoll": ["epoll"], "io_uring": ["io_uring"], "both": ["epoll", "io_uring"]}


class Unfit(Exception):
    """The run could not be made."""


class Process:
    """One process of ours; its last lines are kept, and it is ended when we end."""

    def __init__(self, name, arguments):
        self.name = name
        self.lines = []
        self.errors = []
        self.child = subprocess.Popen([str(argument) for argument in arguments], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        self.readers = [threading.Thread(target=self._read, args=pipe, daemon=True)
                        for pipe in ((self.child.stdout, self.lines), (self.child.stderr, self.errors))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.append(line.rstrip("\n"))
            del lines[:-10_000]

    def last_object(self):
        """The last line that is a JSON object."""
        for line in reversed(list(self.lines)):
            if line.startswith("{"):
                return json.loads(line)
        return None

    def wait(self, seconds):
        """Its exit code."""
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Unfit(f"{self.name} did not end within {seconds} s") from error
        for reader in self.readers:
            reader.join(5)
        return code

    def send(self, number):
        """A signal."""
        self.child.send_signal(number)

    def stop(self):
        """Asks it to drain and stop; its exit code."""
        if self.child.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait(STOP_SECONDS)

    def end(self):
        """Ends it whatever it does."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def complaint(self):
        """What it said last, for people."""
        return "\n".join((self.errors or self.lines)[-15:])

    def memory_mib(self, field="VmRSS"):
        """A memory figure of /proc in MiB."""
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise Unfit(f"/proc does not say {field}")


class Processes(list):
    """All processes of a run; a `with` ends them."""

    def start(self, name, arguments):
        """One more."""
        self.append(Process(name, arguments))
        return self[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self:
            process.end()


def free_ports(count):
    """Ports that nobody listens on now, no two alike. None is one that the system gives to a socket that dials: such a
    socket could take the port of a carrier that is down, or even connect to itself."""
    first_dialed = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    sockets = []
    while len(sockets) < count:
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", random.randrange(10_000, first_dialed)))
            sockets.append(sock)
        except OSError:
            sock.close()
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def until(what, holds, processes, seconds=START_SECONDS):
    """Waits until `holds()`; a process that ends before that is an error."""
    limit = time.monotonic() + seconds
    while not holds():
        for process in processes:
            if process.child.poll() is not None:
                raise Unfit(f"{process.name} ended with {process.child.returncode}:\n{process.complaint()}")
        if time.monotonic() > limit:
            said = "\n".join(f"{process.name}: {process.complaint()}" for process in processes)
            raise Unfit(f"{what} did not happen within {seconds} s\n{said}")
        time.sleep(0.02)


def listens(port):
    """True when a connect works."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def listening(process):
    """True once a simulated carrier of ours has said that it listens; asking it would cost it a session."""
    return any("listening" in line for line in list(process.errors) + list(process.lines))


def node(name, listen, driver, shards, http=None):
    """The head of a configuration."""
    text = (f'[node]\nname = "{name}"\nio = "{driver}"\nshards = {shards}\n\n'
            f'[[listener]]\naddress = "127.0.0.1:{listen}"\n\n')
    return text + (f'[http]\naddress = "127.0.0.1:{http}"\n\n' if http else "")


def homes(names, shards):
    """Which shard each carrier lives on; nothing to say while there is one."""
    return {name: f"home = {number % shards}\n" if shards > 1 else "" for number, name in enumerate(names)}


def start_proxy(binary, text, listen, folder, processes):
    """`bindery run` with this configuration, once it listens."""
    path = pathlib.Path(folder) / "bindery.toml"
    path.write_text(text)
    proxy = processes.start("run", [binary, "run", "-c", path])
    until("listening", lambda: listens(listen), [proxy])
    return proxy


def esmes(count, sessions, window, more=""):
    """Accounts in a configuration; more than one, so that they live on all shards."""
    return "\n".join(f'[esme.acc{number}]\npassword = "secret{number}"\npool = "main"\nsessions_max = {sessions}\n'
                     f'window_max = {window}\n{more}' for number in range(1, count + 1)) + "\n"


def accounts(count):
    """Options of `bindery load` for so many accounts."""
    return [part for number in range(1, count + 1) for part in ("--account", f"acc{number}:secret{number}")]


class Memory(threading.Thread):
    """What a process holds, looked at every so often."""

    def __init__(self, process, every):
        super().__init__(daemon=True)
        self.process, self.every, self.samples, self.ended = process, every, [], threading.Event()
        self.start()

    def run(self):
        while True:
            try:
                self.samples.append(self.process.memory_mib())
            except (OSError, Unfit):
                return
            if self.ended.wait(self.every):
                return


class Table:
    """The figures, each with its bound."""

    def __init__(self, said=print, short=False):
        self.passed = 0
        self.failed = 0
        self.slow = 0
        self.said = said
        self.short = short

    def line(self, name, found, wanted, holds):
        """One figure with a bound."""
        self.passed += bool(holds)
        self.failed += not holds
        self.said(f"  {'ok' if holds else 'MISSED':<7}{name:<48}{found:>16}   {wanted}")

    def timing(self, name, found, wanted, holds):
        """A figure of time or CPU. A short run shares its machine with other runs and is too short for a quantile: it says
        what it missed and does not fail by it; the full form does. What waits for ever fails either, by the limit of what
        waited for it."""
        if holds or not self.short:
            self.line(name, found, wanted, holds)
        else:
            self.slow += 1
            self.said(f"  {'slow':<7}{name:<48}{found:>16}   {wanted}")

    def figure(self, name, found, more=""):
        """One figure without a bound."""
        self.said(f"  {'':<7}{name:<48}{found:>16}   {more}".rstrip())

    def equal(self, name, found, wanted, more=""):
        """A figure that must be exact."""
        self.line(name, f"{found:,}", f"= {wanted:,}{more}", found == wanted)

    def most(self, name, found, bound, more=""):
        """A figure with an upper bound."""
        self.line(name, f"{found:,}", f"<= {bound:,}{more}", found <= bound)

    def slow_ones(self):
        """What a short run missed in time, for its last line."""
        return f", {self.slow} slow (a short run does not judge time)" if self.slow else ""


def parser(description):
    """The options that every run has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--io", choices=DRIVERS, default="both", help="what moves the octets (default: both, in turn)")
    made.add_argument("--shards", type=int, default=2, help="shards of the proxy (default: 2)")
    made.add_argument("--short", action="store_true", help="the form of at most a minute")
    made.add_argument("--seed", type=int, default=1, help="the same seed makes the same faults")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    made.add_argument("--binary", default=str(target / "release" / "bindery"), help="a release build of bindery")
    made.add_argument("--keep", type=pathlib.Path, help="keep configuration and records in this folder")
    return made


def main(name, chosen, run):
    """Calls `run(table, driver, folder, processes)` for each driver; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    table = Table(lambda line: print(line, flush=True), chosen.short)
    try:
        for driver in DRIVERS[chosen.io]:
            print(f"{name}: {driver}, {chosen.shards} shard{'s' * (chosen.shards > 1)}", flush=True)
            with tempfile.TemporaryDirectory(prefix=f"bindery-{name}-") as temporary, Processes() as processes:
                folder = chosen.keep / driver if chosen.keep else pathlib.Path(temporary)
                folder.mkdir(parents=True, exist_ok=True)
                run(table, driver, folder, processes)
    except (Unfit, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    print(f"{table.passed} passed, {table.failed} failed{table.slow_ones()}")
    return 1 if table.failed else 0
