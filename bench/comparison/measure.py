"""One row of the comparison: every set-up in turn, several times over."""

import resource
import statistics
import time

from comparison import floor, machine, programs, rows

IDLE_SECONDS = 3
LATENCIES = ("p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms")


def proxy_of(options, row, variant, port, carrier):
    """The proxy of a set-up; none for the direct one."""
    cores = options.cores.proxy(variant.shards)
    if variant.program == "direct":
        return None
    if variant.program == "haproxy":
        return programs.start_haproxy(options, port, carrier, cores)
    return programs.Bindery(options, row, variant, port, carrier, cores)


class Marks:
    """Looks at what was spent, once for each call."""

    def __init__(self, processes):
        self.processes, self.made = processes, []

    def add(self):
        """One more look."""
        self.made.append(machine.Mark(self.processes))

    def add_with(self, load):
        """One more, the load generator included."""
        self.processes["load"] = load
        self.add()


def of_children():
    """CPU seconds of the processes that we started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_run(options, row, variant, count_calls=False):
    """A set-up is started, warmed up, measured and ended. Gives the figures."""
    others = options.cores.others(variant.shards)
    carrier_port = programs.free_port()
    with programs.start_carrier(options, carrier_port, others) as carrier:
        port = carrier_port if variant.program == "direct" else programs.free_port()
        proxy = proxy_of(options, row, variant, port, carrier_port)
        try:
            run = Run(options, row, variant, carrier, proxy, port, others)
            found = run.counted() if count_calls else run.measured()
        finally:
            if proxy is not None:
                proxy.stop()
    # The carrier has ended and said what reached it.
    reached, submitted = carrier.last_object()["submits"], run.submitted
    if reached != submitted:
        raise programs.Failed(f"{variant.name}: {submitted} messages were submitted and {reached} reached the carrier")
    return found


class Run:
    """The load of one run, and what it costs."""

    def __init__(self, options, row, variant, carrier, proxy, port, others):
        self.options, self.row, self.variant = options, row, variant
        self.carrier, self.proxy, self.port, self.others = carrier, proxy, port, others
        self.submitted = 0

    def load(self, seconds, warmup=0, on_event=lambda _: None):
        """One load; it must be without fault."""
        arguments = (self.options, self.row, self.port, seconds, self.others, warmup, on_event)
        with programs.Load(*arguments) as load:
            report = load.report()
        self.submitted += report["submitted"]
        return report

    def counted(self):
        """Calls per message of the proxy, under the load of the row."""
        self.load(1)
        counter = floor.Counter(self.proxy.pid, self.options.folder)
        report = self.load(1)
        return counter.calls(report["answered"], 4 if self.row.receipts else 2)

    def measured(self):
        """All figures of one run."""
        if not self.variant.idle:
            return self.active()
        before = machine.memory_kib(self.proxy.pid, "VmRSS")
        command = programs.idle_command(self.options, self.port, self.variant.idle)
        with programs.Child("idle", command, self.others, self.options.folder) as idle:
            self.proxy.until("idle binds", lambda: self.proxy.bound("esme") == self.variant.idle)
            self.submitted += 1
            time.sleep(0.5)
            marks = Marks({"proxy": self.proxy.pid})
            marks.add()
            time.sleep(IDLE_SECONDS)
            marks.add()
            found = marks.made[0].until(marks.made[1], self.options.cores.usable)
            more = {"idle_busy": found["proxy_busy"],
                    "kib_per_bind": (machine.memory_kib(self.proxy.pid, "VmRSS") - before) / self.variant.idle}
            active = self.active()
        report = idle.last_object()
        if report["links_lost"] or report["submitted"] != 1:
            raise programs.Failed(f"idle binds were lost: {report}")
        return {**active, **more}

    def active(self):
        """Warm-up and measured load."""
        processes = {"carrier": self.carrier.pid}
        if self.proxy is not None:
            processes["proxy"] = self.proxy.pid
        marks = Marks(processes)
        two_shards = self.variant.shards > 1
        letters, spent = self.proxy.mail() if two_shards else 0, of_children()
        if "--warmup" in self.options.load:
            report = self.load(self.options.seconds, self.options.warmup, marks.add_with)
        else:
            self.load(self.options.warmup)
            marks.add()
            spent = of_children()
            report = self.load(self.options.seconds)
            marks.add()
        if len(marks.made) != 2:
            raise programs.Failed(f"the load generator told of {len(marks.made)} moments, not of two")
        found = marks.made[0].until(marks.made[1], self.options.cores.usable)
        found.setdefault("load_busy", (of_children() - spent) / found["span_seconds"])
        if two_shards:
            found["letters"] = (self.proxy.mail() - letters) / self.submitted
        return self.figures(report, found)

    def figures(self, report, found):
        """What the tables are made of."""
        messages = report.get("measured", {}).get("answered", report["answered"])
        figures = {"proxy": self.variant.name, "messages": messages, **found}
        ours = sum(found.get(name, 0.0) for name in ("proxy_busy", "load_busy", "carrier_busy"))
        busy = [found["cores_busy"][core] for core in self.options.cores.usable]
        figures["strangers"] = max(0.0, (sum(busy) - ours) / len(busy))
        figures["others_busy"] = (found["load_busy"] + found["carrier_busy"]) / len(self.others)
        figures["messages_per_second"] = report["messages_per_second"]
        if self.proxy is not None:
            figures["cpu"] = found["cpu_seconds"] * 1e6 / messages
            figures["cpu_system"] = figures["cpu"] * found["system_share"]
            figures["cpu_user"] = figures["cpu"] - figures["cpu_system"]
            figures["memory_mib"] = machine.memory_kib(self.proxy.pid, "VmHWM") / 1024
        figures.update({name: report["response_latency"][name] for name in LATENCIES})
        if self.row.receipts:
            figures["receipt_p50_ms"] = report["receipt_latency"]["p50_ms"]
            figures["receipt_p99_ms"] = report["receipt_latency"]["p99_ms"]
        figures["late_percent"] = report.get("generator", {}).get("late_percent", 0.0)
        return figures


def medians(runs):
    """The median of each figure, and how far the CPU figures lie apart."""
    found = {"proxy": runs[0]["proxy"], "runs": len(runs)}
    for name, value in runs[0].items():
        if isinstance(value, (int, float)):
            found[name] = statistics.median(run[name] for run in runs)
    found["cores_busy"] = {core: statistics.median(run["cores_busy"][core] for run in runs)
                           for core in runs[0]["cores_busy"]}
    if "cpu" in found:
        costs = [run["cpu"] for run in runs]
        found["spread"] = (max(costs) - min(costs)) / found["cpu"]
    return found


def ratio(results, name, base, figure):
    """The median over the rounds of one set-up's figure to another's in the same round."""
    pairs = zip(results[name], results[base])
    return statistics.median(run[figure] / other[figure] for run, other in pairs if other[figure])


def judge(row, variant, results, found):
    """The targets of a set-up: what was found, what is allowed, whether it holds."""
    judged = []
    for target in row.targets:
        figure, base = target.figure, variant.base
        if variant.program != "bindery" or base is None or base not in results:
            continue
        if target.to == "itself":
            value = found[variant.name][figure]
        elif figure == "extra_us":
            pairs = zip(results[variant.name], results[base])
            value = statistics.median(run["cpu"] - other["cpu"] for run, other in pairs)
        else:
            value = ratio(results, variant.name, base, figure)
        judged.append({"proxy": variant.name, "figure": figure, "beside": base if target.to != "itself" else None,
                       "found": value, "most": target.most, "stretch": target.stretch, "met": value <= target.most})
    return judged


def one_row(options, row, said):
    """All rounds of a row."""
    set_ups = rows.variants(row, options.drivers, options.haproxy, options.idle)
    results = {variant.name: [] for variant in set_ups}
    for number in range(options.rounds):
        for variant in set_ups:
            results[variant.name].append(one_run(options, row, variant))
            said(row, number, results[variant.name][-1])
    found = {name: medians(runs) for name, runs in results.items()}
    told = floors(options, row, set_ups, found)
    for variant in set_ups:
        if variant.program != "direct" and variant.base in results:
            found[variant.name]["cpu_ratio"] = ratio(results, variant.name, variant.base, "cpu")
    judged = [one for variant in set_ups for one in judge(row, variant, results, found)]
    return {"row": row.name, "title": row.title, "rounds": results, "medians": found, "targets": judged,
            "batches": told}


def floors(options, row, set_ups, found):
    """Gives each set-up its floor; how the batches were found."""
    set_ups = [variant for variant in set_ups if variant.program != "direct"]
    counted = {variant.name: one_run(options, row, variant, count_calls=True) for variant in set_ups
               if variant.io in ("", "epoll") and not variant.idle}
    told = "counted with perf"
    for variant in set_ups:
        # io_uring's receives and sends are no system calls: its batches are taken to be those of epoll. What is idle
        # moves nothing.
        alike = variant.name.replace("io_uring", "epoll").replace("glommio", "epoll").removesuffix("+idle")
        calls = counted.get(alike)
        if calls is None:
            calls, told = floor.as_windows_allow(row, 4 if row.receipts else 2), "not counted: whole windows are assumed"
        found[variant.name]["calls"] = calls
        found[variant.name]["floor"] = floor.of_message(options.floor, calls)
    return told
