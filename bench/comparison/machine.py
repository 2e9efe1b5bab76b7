"""The machine: which cores who gets, what processes and cores have spent, what it is."""

import contextlib
import os
import pathlib
import platform
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Cores:
    """The proxy has the first core to itself where there are two; the load generator and the carrier have the others.
    With two shards the proxy has two cores, of which the others get the second only if there is no third."""

    def __init__(self):
        self.usable = sorted(os.sched_getaffinity(0))

    def proxy(self, shards=1):
        """Where the proxy runs."""
        return set(self.usable[:shards])

    def others(self, shards=1):
        """Where everything else runs."""
        return set(self.usable[shards:]) or {self.usable[-1]}


def spent(process_id):
    """Of all threads of a process, seconds: on a CPU, and ready to run without getting one."""
    on_cpu = waited = 0
    for task in pathlib.Path(f"/proc/{process_id}/task").iterdir():
        # A thread may end while we look.
        with contextlib.suppress(OSError):
            fields = (task / "schedstat").read_text().split()
            on_cpu += int(fields[0])
            waited += int(fields[1])
    return on_cpu / 1e9, waited / 1e9


def split(process_id):
    """Ticks of a process in user and in kernel mode."""
    fields = pathlib.Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def memory_kib(process_id, field):
    """A memory figure of a process."""
    for line in pathlib.Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit(f"bench: /proc does not say {field}")


def of_cores():
    """By core, in ticks: busy, idle, and taken away by the host."""
    cores = {}
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[:8])
            cores[int(name[3:])] = (user + nice + system + irq + softirq, idle + iowait, steal)
    return cores


class Mark:
    """What had been spent at one moment, by the proxy and by all."""

    def __init__(self, processes):
        self.at = time.monotonic()
        self.spent = {name: spent(process_id) for name, process_id in processes.items()}
        self.split = split(processes["proxy"]) if "proxy" in processes else (0, 0)
        self.cores = of_cores()

    def until(self, end, cores):
        """Between two marks: shares of a core, and the CPU time of the proxy."""
        span = end.at - self.at
        both = {name: [now - then for now, then in zip(end.spent[name], self.spent[name])] for name in self.spent}
        found = {"span_seconds": span}
        for name, (on_cpu, _) in both.items():
            found[f"{name}_busy"] = on_cpu / span
        if "proxy" in both:
            user, system = (now - then for now, then in zip(end.split, self.split))
            found["cpu_seconds"] = both["proxy"][0]
            found["system_share"] = system / (user + system) if user + system else 0.0
            found["taken"] = both["proxy"][1] / span
        rates = {core: [now - then for now, then in zip(end.cores[core], self.cores[core])] for core in end.cores}
        found["cores_busy"] = {core: rate[0] / max(sum(rate), 1) for core, rate in rates.items()}
        found["stolen"] = max((rates[core][2] / max(sum(rates[core]), 1) for core in cores), default=0.0)
        return found


def about():
    """What this machine is."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "congestion_control": control.read_text().strip() if control.exists() else "unknown",
        "load_before": os.getloadavg()[0],
    }
