"""What was found, as text: a table per row, what was noisy, what held it, which targets were met."""

# A spread, or a share of the core that others took, above this is told as noise.
NOISY = 0.10
# A core above this is what held the rate.
FULL = 0.93

NAMES = {
    "cpu": "CPU per message", "p50_ms": "p50", "p99_ms": "p99", "extra_us": "extra CPU per message",
    "kib_per_bind": "memory per idle bind", "idle_busy": "share of a core while idle",
}


def noise(median):
    """Why the figures of a set-up are to be doubted; nothing when they are not."""
    found = []
    if median.get("spread", 0.0) > NOISY:
        found.append(f"spread {median['spread']:.0%}")
    if median.get("taken", 0.0) > NOISY:
        found.append(f"others took {median['taken']:.0%} of the proxy's core")
    if median["strangers"] > NOISY:
        found.append(f"other programs used {median['strangers']:.0%} of the machine")
    if median["stolen"] > NOISY:
        found.append(f"the host took {median['stolen']:.0%}")
    if median["late_percent"] > 1.0:
        found.append(f"{median['late_percent']:.1f} % of the sends late")
    return ", ".join(found)


def held_by(row, median):
    """What held the rate. A Bindery that waits looks for work for a while and so fills its core: it counts as the limit
    only where load generator and carrier had time left."""
    shares = [("proxy", "proxy_busy"), ("load", "load_busy"), ("carrier", "carrier_busy"), ("other programs", "strangers")]
    told = ", ".join(f"{name} {median[key]:.0%}" for name, key in shares if key in median)
    if row.rate:
        return f"the schedule ({told})"
    if median["others_busy"] >= FULL:
        return f"the core of load generator and carrier ({told})"
    if median.get("proxy_busy", 0.0) >= FULL:
        return f"the proxy's core ({told})"
    if median["strangers"] > NOISY:
        return f"other programs on the same cores ({told})"
    return f"no core: the way there and back, and waking ({told})"


def cells(median):
    """One line of a table."""
    def figure(name, form, unit=""):
        return f"{median[name]:{form}}{unit}" if name in median else "-"

    latencies = [f"{median[name]:.3f}" for name in ("p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms")]
    return [
        median["proxy"], f"{median['messages_per_second']:,.0f}", figure("cpu", ".3f"), figure("cpu_user", ".3f"),
        figure("cpu_system", ".3f"), figure("floor", ".3f"), figure("cpu_ratio", ".2f"), *latencies,
        figure("memory_mib", ".1f"), figure("proxy_busy", ".0%"), figure("taken", ".0%"), figure("spread", ".0%"),
    ]


HEADS = ["", "msg/s", "us/msg", "user", "system", "floor", "ratio", "p50 ms", "p90", "p99", "p99.9", "max", "MiB",
         "busy", "taken", "spread"]


def table(lines):
    """Columns of equal width, the first to the left."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join([line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
            for line in lines]


def value_of(target):
    """A target's figure with its unit."""
    figure, found = target["figure"], target["found"]
    unit = {"extra_us": " us", "kib_per_bind": " KiB"}.get(figure, "")
    if figure == "idle_busy":
        return f"{found:.2%}", f"{target['most']:.0%}"
    return f"{found:.2f}{unit}", f"{target['most']:g}{unit}"


def target_line(target):
    """Whether a target is met."""
    found, most = value_of(target)
    beside = f" to {target['beside']}'s" if target["beside"] else ""
    stretch = f", stretch {target['stretch']:g}" if target["stretch"] else ""
    word = "met   " if target["met"] else "MISSED"
    return f"  {word} {target['proxy']}: {NAMES[target['figure']]}{beside}: {found}, wanted <= {most}{stretch}"


def of_row(row, found):
    """A row's table and what is to be said of it."""
    medians = list(found["medians"].values())
    lines = [f"\n{row.name}: {row.title}", *table([HEADS, *map(cells, medians)])]
    for target in found["targets"]:
        lines.append(target_line(target))
    for median in medians:
        lines.append(f"  held by, {median['proxy']}: {held_by(row, median)}")
        if "letters" in median:
            lines.append(f"  letters between shards, {median['proxy']}: {median['letters']:.2f} a message")
        if "receipt_p50_ms" in median:
            lines.append(f"  receipts, {median['proxy']}: p50 {median['receipt_p50_ms']:.3f} ms, "
                         f"p99 {median['receipt_p99_ms']:.3f} ms")
        if noise(median):
            lines.append(f"  NOISY, {median['proxy']}: {noise(median)}")
    batches = [f"{median['proxy']} {median['calls']['pdus'] / median['calls']['recv']:.1f} in, "
               f"{median['calls']['pdus'] / median['calls']['send']:.1f} out" for median in medians if "calls" in median]
    lines.append(f"  PDUs per call, {found['batches']}: {'; '.join(batches)}")
    return "\n".join(lines)


def of_floor(floor):
    """What the machine asks for."""
    lines = [["octets", "PDUs a call", "send ns", "recv ns", "both, ns a PDU"]]
    for one in floor["moved"]:
        both = one["send_ns"] + one["recv_ns"]
        lines.append([str(one["octets"]), str(one["batch"]), f"{one['send_ns']:.0f}", f"{one['recv_ns']:.0f}",
                      f"{both / one['batch']:.1f}"])
    calls = ", ".join(f"{name} {nanos:.0f} ns" for name, nanos in floor["calls_ns"].items())
    return "\n".join(["\nThe floor, on the proxy's core: " + calls, *table(lines)])


def of_machine(about, notes):
    """What ran where."""
    lines = [f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, {about['congestion_control']}; "
             f"load before: {about['load_before']:.2f}"]
    return "\n".join(lines + notes)


def progress(row, number, run):
    """A line for each run as it ends."""
    cost = f"{run['cpu']:.3f} us/msg" if "cpu" in run else "-"
    return (f"  {row.name} round {number + 1}: {run['proxy']:<14} {run['messages_per_second']:>10,.0f} msg/s  {cost:>14}  "
            f"p50 {run['p50_ms']:.3f}  p99 {run['p99_ms']:.3f} ms")
