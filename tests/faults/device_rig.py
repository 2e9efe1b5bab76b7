"""A disk whose power can be cut: a file served by a program of ours, a loop device over it, ext4 on that; and what a journal
on such a disk, or on what a cut left of it, says of each message."""

import collections
import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import shutil
import struct
import subprocess
import threading
import time

import carrier as pdus
import disk_node
import kill_peers as peers
import rig
from disk_node import MIB

HERE = pathlib.Path(__file__).resolve().parent
BLOCK = 4096
# Room for all files of a small journal; for what failed beside it, which is kept.
SMALL, LARGE = 256 * MIB, 1024 * MIB
COMMAND_SECONDS = 60
READABLE_SECONDS = 5
STILL_SECONDS = 1.0
# What belongs to ext4 stands before the first data block; folders are made before anything else and do not grow.
MKFS = ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", str(BLOCK), "-N", "512",
        "-E", "packed_meta_blocks=1,nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
# A file system that fails to flush its own journal writes nothing any more, and all that is asked for afterwards is its refusal.
JOURNAL, NO_JOURNAL = ["-J", "size=8"], ["-O", "^has_journal"]
FOLDERS = [".", "data", "data/journal", "data/journal/quarantine", "data/cdr", "lost+found"]
FOREVER = -1
LOOP_CTL_GET_FREE, LOOP_CONFIGURE, FIEMAP = 0x4C82, 0x4C0A, 0xC020660B
LO_AUTOCLEAR, LO_DIRECT_IO = 4, 16
LOOP_CONFIG, LOOP_FLAGS_AT = 304, 60
MNT_FORCE, MNT_DETACH = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def unfit():
    """Why no such disk can be had here; nothing if it can."""
    if os.geteuid() != 0:
        return "only root can mount a disk"
    for command in ("cc", "mkfs.ext4", "dumpe2fs", "unshare", "mount", "umount"):
        if not shutil.which(command):
            return f"there is no {command}"
    for path in ("/dev/fuse", "/dev/loop-control"):
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            return f"{path}: {error.strerror}"
    done = subprocess.run([*namespace(), "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def namespace():
    """What stands before a command so that its processes and mounts end with it, whatever ends it: with the last process
    the server's connection is aborted, with the last mount the loop devices are free."""
    return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]


def called(command):
    """Runs it; a disk that hangs must not hang us."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode:
        raise rig.Unfit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def unmounted(place):
    """Whoever used it has been killed; its last reference may take a moment."""
    for _ in range(100):
        if not libc.umount2(os.fsencode(place), 0):
            return
        if ctypes.get_errno() != errno.EBUSY:
            break
        time.sleep(0.05)
    libc.umount2(os.fsencode(place), MNT_FORCE | MNT_DETACH)


@contextlib.contextmanager
def mounted(path, place, options="noatime"):
    """ext4 in this file, over a loop device that goes with the mount; each write of it is a write of the file."""
    place.mkdir(parents=True, exist_ok=True)
    file, loop = os.open(path, os.O_RDWR), None
    try:
        while loop is None:
            with open("/dev/loop-control", "rb") as control:
                name = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            loop = os.open(name, os.O_RDWR)
            config = bytearray(LOOP_CONFIG)
            struct.pack_into("<I", config, 0, file)
            struct.pack_into("<I", config, LOOP_FLAGS_AT, LO_AUTOCLEAR | LO_DIRECT_IO)
            try:
                fcntl.ioctl(loop, LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(loop)
                loop = None
                # Somebody else was faster.
                if error.errno != errno.EBUSY:
                    raise
        called(["mount", "-t", "ext4", "-o", options, name, place])
    finally:
        os.close(file)
        if loop is not None:
            os.close(loop)
    try:
        yield place
    finally:
        unmounted(place)


def blocks(path):
    """Those in which a folder stands."""
    request = bytearray(32 + 16 * 56)
    struct.pack_into("<QQIII", request, 0, 0, 2**64 - 1, 0, 0, 16)
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, FIEMAP, request)
    finally:
        os.close(folder)
    count, = struct.unpack_from("<I", request, 20)
    found = []
    for number in range(count):
        _, at, octets = struct.unpack_from("<QQQ", request, 32 + 56 * number)
        found += range(at // BLOCK, (at + octets) // BLOCK)
    return found


class Disk:
    """The disk: a process of its own, that ends when we do."""

    def __init__(self, folder, size, more):
        self.folder, self.image, self.file = folder, folder / "image", folder / "disk"
        self.place, self.lock = folder / "place", threading.Lock()
        program = folder / "device"
        called(["cc", "-O2", "-o", program, HERE / "device.c"])
        self.image.touch()
        os.truncate(self.image, size)
        called([*MKFS, *more, self.image])
        free = next(line for line in called(["dumpe2fs", self.image]).splitlines() if line.startswith("  Free blocks: "))
        first = int(free.split(": ")[1].split("-")[0]) * BLOCK
        with mounted(self.image, self.place):
            for name in FOLDERS:
                (self.place / name).mkdir(parents=True, exist_ok=True)
            own = sorted({block for name in FOLDERS for block in blocks(self.place / name)})
        self.file.touch()
        self.server = subprocess.Popen([program, self.image, self.file, str(first), *map(str, own)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        """One line of its."""
        line = self.server.stdout.readline()
        if not line or "error" in line:
            raise rig.Unfit(f"the disk says {line!r}")
        return json.loads(line)

    def ask(self, *words):
        """A command, and what it says to that."""
        with self.lock:
            self.server.stdin.write(" ".join(map(str, words)) + "\n")
            self.server.stdin.flush()
            return self.answer()

    def fail(self, what, count, number=errno.EIO):
        """So many writes or flushes fail from now on."""
        self.ask("fail", what, count, int(number))

    def cut(self, path, seed, kind, writes=0):
        """What a power cut would leave after so many more writes of data."""
        said = self.ask("cut", path, seed, kind, writes)
        if not said["whole"]:
            raise rig.Unfit(f"{path} could not be written")
        return said

    def end(self):
        """It goes when nobody holds its input."""
        with contextlib.suppress(OSError):
            self.server.stdin.close()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        libc.umount2(os.fsencode(self.file), MNT_FORCE | MNT_DETACH)


@contextlib.contextmanager
def a_disk(folder, size=SMALL, more=JOURNAL):
    """One, mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = Disk(folder, size, more)
    try:
        with mounted(disk.file, disk.place, "noatime,errors=continue"):
            try:
                yield disk
            finally:
                # Nothing that is injected outlives the run.
                for words in (("fail", "write", 0, 0), ("fail", "flush", 0, 0), ("delay", 0), ("rate", 0)):
                    with contextlib.suppress(OSError, rig.Unfit):
                        disk.ask(*words)
    finally:
        disk.end()


@dataclasses.dataclass
class Setup(disk_node.Setup):
    """A node whose data is on such a disk. `stored` names the accounts whose messages are stored."""

    stored: tuple = ()
    place: pathlib.Path = None
    # Of accounts that have another one.
    windows: dict = dataclasses.field(default_factory=dict)

    def promise(self, account):
        """All alike."""
        return self.durability

    def text(self):
        """The configuration."""
        self.data_dir = str(self.place / "data")
        made = super().text()
        for name in self.stored:
            made = made.replace(f"[esme.{name}]\n", f'[esme.{name}]\nmode = "store"\n')
        for name, window in self.windows.items():
            head, tail = made.split(f"[esme.{name}]\n")
            made = head + f"[esme.{name}]\n" + tail.replace(f"window_max = {disk_node.WINDOW}\n", f"window_max = {window}\n", 1)
        return made + f'[[cdr]]\npath = "{self.data_dir}/cdr/{{date}}.jsonl"\n'


class Account(disk_node.Account):
    """The source address of its messages is their number: receipts of the node's own quote no text."""

    def shape(self, number):
        return shape_of(number)

    @staticmethod
    def number_of(sender, words):
        del words
        return int(sender[1:])


def shape_of(number):
    """What a message says besides its number."""
    return peers.Shape(b"9%012d" % number, b"38267%09d" % number)


class World(disk_node.World):
    """All peers of one node."""

    def __init__(self, setup, *more, **others):
        super().__init__(setup, *more, **others)
        # What is stored and has not left is known to nobody else.
        self.still_seconds = STILL_SECONDS
        self.accounts = [Account(self, one.name, one.rate, one.window) for one in self.accounts]


def octets_of(path):
    """Of a file on a disk that may fail: what the kernel could not write reads as EIO until whoever wrote it writes it again."""
    octets = []

    def read():
        with contextlib.suppress(OSError):
            octets.append(path.read_bytes())
        return bool(octets)

    rig.until(f"reading {path.name}", read, [], READABLE_SECONDS)
    return octets[0]


def lines_of(folder):
    """Call detail records, and how many lines are none: what is not yet synced may be anything."""
    records, others = [], 0
    for path in sorted((folder / "data" / "cdr").glob("*.jsonl")):
        for line in octets_of(path).split(b"\n"):
            try:
                records.append(json.loads(line))
            except ValueError:
                others += bool(line)
    return records, others


class Left:
    """What a journal says of messages, of those that its files hold; and what was written of them elsewhere. A message that
    was moved to the end of the journal has its key only: `ids` are those of former looks."""

    def __init__(self, node, place, ids):
        self.code, self.verdicts = node.ask("verify")
        told = node.ask("cat", "--full")[1]
        # By key: account and id, octets, what there is of it; by account and id: the key.
        self.ids, self.bodies, self.kinds = ids, {}, collections.defaultdict(set)
        for line in told:
            self.kinds[line["key"]].add(line["of"] if line["type"] == "MOVE" else line["type"])
            if line.get("esme"):
                self.ids.setdefault(line["key"], (line["esme"], line["id"] or line.get("message_id")))
            if line["type"] == "ACCEPT":
                self.bodies[line["key"]] = bytes.fromhex(line["pdu"])
        self.keys = {who: key for key, who in self.ids.items()}
        # An id of ours is the key and a constant.
        self.apart = {key - int(name) for key, (_, name) in self.ids.items() if key in self.bodies}
        self.pending = {line["key"] for line in node.ask("pending")[1]}
        self.lines, self.torn = lines_of(place)
        self.written = {(line["esme"], line["id"]) for line in self.lines}
        self.over = self.written | {(line["esme"], line["id"]) for line in node.ask("export")[1]}

    def key(self, who):
        """Of a message: as it was read, or as its id says."""
        return self.keys.get(who) or (int(who[1]) + min(self.apart) if len(self.apart) == 1 else None)

    def has(self, who):
        """Whether a message is there, open or over."""
        return who in self.over or self.key(who) in self.pending


class Known:
    """What was promised by a moment."""

    def __init__(self, world):
        self.answered = dict(world.answered)
        self.acked = {one.accepted[message][0] for one in world.carriers for message in list(one.acked)}
        self.taken = set(world.taken)
        self.time = time.monotonic()

    def who(self, world, number):
        """As records name it."""
        return world.owners[number], self.answered[number]

    def lost(self, world, left):
        """Answered, and not there."""
        return [number for number in self.answered if not left.has(self.who(world, number))]

    def receipts_lost(self, world, left):
        """Answered to the carrier, and not there."""
        found = []
        for number in self.acked & set(self.answered):
            who = self.who(world, number)
            if who not in left.over and not left.kinds[left.key(who)] & {"DLR_IN", "DLR_OUT", "FINISH"}:
                found.append(number)
        return found


def strange(world, left):
    """Messages of watched accounts that nobody submitted, or not so."""
    names, found = {one.name for one in world.accounts}, []
    for key, body in left.bodies.items():
        if left.ids[key][0] not in names:
            continue
        source, destination, _, text = pdus.fields(body)
        number = int(text) if text.isdigit() else 0
        shape, owner = shape_of(number), left.ids[key][0]
        submitted = (shape.source, shape.destination, b"%012d" % number, world.owners.get(number))
        if (source, destination, text, owner) != submitted:
            found.append(body)
    ends = {line["to"] for line in left.lines if line["esme"] in names}
    return found + [end for end in ends if int(end[5:]) not in world.owners]


def is_whole(shard):
    """What may be left by a power cut: nothing is damaged, nothing missing."""
    return shard["verdict"] in ("sound", "torn") and not shard["missing_records"]
