"""What a soak with faults must show, from what both ends recorded of each message."""

import collections

import records

SHARE_TOLERANCE = 0.01
# A turn of a balance: a run that is so short that the turns of all accounts are more than the tolerance gets as much.
QUANTUM = 64
MOVED_MAX_SECONDS = 5.0
# Traffic has moved when so much of the scheduled rate is accepted over this span again.
MOVED_SHARE, MOVED_SPAN = 0.95, 0.5
LONGEST_LOOK_SECONDS = 5.0
GROWTH_MAX_MIB = 128.0


class Run:
    """One run: the plan, what both ends said, and their records joined."""

    def __init__(self, plan, report, heard, lives, faults, carriers):
        self.plan, self.report, self.heard, self.lives, self.faults = plan, report, heard, lives, faults
        self.carriers = carriers
        # What the carrier without a break in its links counted itself.
        self.gamma = None
        # number: the lives of carriers that accepted it
        self.taken = collections.defaultdict(list)
        for life, carried in lives.items():
            for number in carried.accepted.values():
                self.taken[number].append(life)
        self.ok, self.unknown, self.refused = set(), set(), set()
        for number, (_, _, status, _) in heard.answers.items():
            which = {records.OK: self.ok, records.UNKNOWN: self.unknown}.get(status, self.refused)
            which.add(number)

    def carrier_of(self, number):
        """The carrier that accepted a message, by its name."""
        return self.taken[number][0].split("-")[0]


def of_messages(table, run, window, windows):
    """Answers, losses, doubles, shares. So many windows of a carrier may be lost."""
    total = run.plan.messages
    table.equal("submitted", run.report["submitted"], total)
    table.equal("without an answer", total - len(run.heard.answers), 0)
    table.equal("answered twice", run.heard.again + run.report["responses_unknown"], 0)
    for status, count in sorted(run.heard.statuses().items(), key=lambda pair: -pair[1]):
        table.figure(f"answered {status}", f"{count:,}")
    table.equal("ids given twice", run.report["ids_repeated"], 0)
    table.equal("lost: answered ESME_ROK, no carrier has it", sum(not run.taken.get(one) for one in run.ok), 0)
    doubled = [number for number, lives in run.taken.items() if len(lives) > 1]
    table.equal("doubled, but for unknown ones", sum(number not in run.unknown for number in doubled), 0)
    table.equal("doubled among the unknown", sum(number in run.unknown for number in doubled), 0)
    table.equal("refused, and yet a carrier has it", sum(bool(run.taken.get(one)) for one in run.refused), 0)
    table.most("unknown: written, never answered", len(run.unknown), windows * window, f", {windows} windows of {window}")
    table.figure("of these accepted by a carrier", f"{sum(bool(run.taken.get(one)) for one in run.unknown):,}")
    before = [number for number in run.ok if run.heard.answers[number][0] / 1e6 < run.faults["beta is killed"] - 0.1]
    shares = collections.Counter(run.carrier_of(number) for number in before)
    accounts = len({answer[1] for answer in run.heard.answers.values()})
    tolerance = max(SHARE_TOLERANCE, accounts * QUANTUM / len(before))
    for name, weight in run.carriers.items():
        share, wanted = shares[name] / len(before), weight / sum(run.carriers.values())
        table.line(f"share of {name} while all are well", f"{share:.2%}",
                   f"= {wanted:.0%} within {tolerance:.1%}, of {len(before):,}", abs(share - wanted) <= tolerance)


def of_receipts(table, run):
    """Each once, to the account that submitted."""
    came, astray, doubled, late = set(), 0, 0, 0
    for account, message, _, text in run.heard.receipts:
        number = records.number_in(text)
        _, owner, status, given = run.heard.answers[number]
        astray += account != owner or (status == records.OK and message != given)
        doubled += number in came
        late += status != records.OK
        came.add(number)
    table.figure("receipts", f"{len(run.heard.receipts):,}")
    matched = len(came & run.ok)
    table.equal("receipts matched, by the load generator", run.report["receipts_matched"], matched, ", by the records")
    table.equal("receipts misdirected", astray + run.report["receipts_misdirected"], 0)
    table.equal("receipts doubled", doubled + run.report["receipts_doubled"], 0)
    table.equal("receipts for unknown messages", run.report["receipts_unknown"], late, ", by the records")
    killed = run.lives["beta-1"]
    acked = {killed.accepted[message] for message in killed.acked}
    missing = run.ok - came
    owed = {number for number in missing if run.taken.get(number) == ["beta-1"] and number not in acked}
    table.figure("receipts that beta owed when it was killed", f"{len(owed):,}", "it took them with it")
    table.equal("receipts lost", len(missing - owed), 0)


def of_faults(table, run):
    """How long until others carried what the faulty one had."""
    accepted = sorted(answer[0] / 1e6 for answer in run.heard.answers.values() if answer[2] == records.OK)
    bins = collections.Counter(int(at * 20) for at in accepted)
    wanted = MOVED_SHARE * MOVED_SPAN * run.plan.rate
    width = int(MOVED_SPAN * 20)

    def accepted_from(at):
        return sum(bins[one] for one in range(at, at + width))

    unknown = sorted(run.heard.answers[number][0] / 1e6 for number in run.unknown)
    ends = sorted(run.faults.values()) + [float("inf")]
    for name, at in run.faults.items():
        first, end = int(at * 20), next(end for end in ends if end > at)
        least = min(accepted_from(one) for one in range(first, first + 100)) / MOVED_SPAN
        span = next((step / 20 for step in range(400) if accepted_from(first + step) >= wanted), 20.0)
        table.timing(f"{name}: until traffic has moved", f"{span:.2f} s",
                     f"<= {MOVED_MAX_SECONDS:.0f} s, least {least:,.0f}/s over {MOVED_SPAN} s", span <= MOVED_MAX_SECONDS)
        told = [one - at for one in unknown if at <= one < end]
        if told:
            table.figure(f"{name}: unknown told to the accounts", f"{len(told):,}",
                         f"from {told[0]:.2f} s to {told[-1]:.2f} s after the fault")
    throttled = run.lives["gamma-1"].statuses.get("ESME_RTHROTTLED", 0)
    table.line("submits that gamma throttled", f"{throttled:,}", "> 0", throttled > 0)


def of_memory(table, memory, peak):
    """Memory of the proxy over time."""
    samples = [f"{one:.0f}" for one in memory.samples]
    table.figure(f"memory every {memory.every} s", "", " ".join(samples) + f" MiB, peak {peak:.0f}")
    growth = peak - memory.samples[0]
    table.line("memory: peak over start", f"{growth:.1f} MiB", f"<= {GROWTH_MAX_MIB:.0f} MiB", growth <= GROWTH_MAX_MIB)


def expected_samples(run, samples, binds):
    """What /metrics must say at the end, by the names of the samples; a family that stands here stands here whole."""
    wanted = collections.Counter()
    for _, account, status, _ in run.heard.answers.values():
        wanted[f"bindery_esme_submits_total{{esme={account},status={status}}}"] += 1
        wanted[f"bindery_binds_total{{name={account},result=ok,side=esme}}"] = binds
    for account, _, _, text in run.heard.receipts:
        carrier = text.split(" ")[0]
        wanted[f"bindery_esme_receipts_total{{esme={account},state=delivered}}"] += 1
        wanted[f"bindery_carrier_receipts_total{{carrier={carrier},match=matched,state=delivered}}"] += 1
    for number in run.ok:
        wanted[f"bindery_carrier_submits_total{{carrier={run.carrier_of(number)},status=ESME_ROK}}"] += 1
    for life, carried in run.lives.items():
        for status, count in carried.statuses.items():
            if status != records.OK:
                wanted[f"bindery_carrier_submits_total{{carrier={life.split('-')[0]},status={status}}}"] += count
    for name in run.carriers:
        # Every answer has its time: where the page has histograms, their counts are the sums of the counters.
        answers = sum(count for key, count in wanted.items()
                      if key.startswith(f"bindery_carrier_submits_total{{carrier={name},"))
        receipts = wanted[f"bindery_carrier_receipts_total{{carrier={name},match=matched,state=delivered}}"]
        for key, count in (("submit", answers), ("receipt", receipts)):
            if f"bindery_{key}_seconds_count{{carrier={name}}}" in samples:
                wanted[f"bindery_{key}_seconds_count{{carrier={name}}}"] = count
    wanted["bindery_unknown_total{carrier=gamma}"] = 0
    wanted[f"bindery_binds_total{{name=gamma,result=ok,side=carrier}}"] = run.gamma["binds_max"]
    return wanted


WHOLE_FAMILIES = ("bindery_esme_submits_total", "bindery_esme_receipts_total", "bindery_carrier_submits_total")
IDLE_FAMILIES = ("bindery_window_used", "bindery_queue_messages")


def disagreements(run, watched, binds, sessions):
    """Each figure of the proxy that is not what both ends counted, by its name."""
    samples, status = watched["samples"], watched["status"]
    wanted = expected_samples(run, samples, binds)
    for name, value in samples.items():
        family = name.split("{")[0]
        if family in IDLE_FAMILIES or family in WHOLE_FAMILIES:
            wanted.setdefault(name, 0)
    pairs = [(name, samples.get(name, 0), count) for name, count in wanted.items()]
    unknown = sum(value for name, value in samples.items() if name.startswith("bindery_unknown_total{"))
    pairs.append(("bindery_unknown_total, all carriers", unknown, len(run.unknown)))
    gamma = run.lives["gamma-1"]
    pairs.append(("gamma: accepted, by its record", gamma.statuses[records.OK],
                  wanted["bindery_carrier_submits_total{carrier=gamma,status=ESME_ROK}"]))
    pairs.append(("gamma: receipts acked, by itself", run.gamma["receipts_acked"],
                  wanted["bindery_carrier_receipts_total{carrier=gamma,match=matched,state=delivered}"]))
    for account in status["accounts"]:
        pairs += [(f"status: {key} of {account['name']}", account[key], 0) for key in ("in_flight", "waiting")]
    for carrier in status["carriers"]:
        name, slots = carrier["name"], [slot["state"] for slot in carrier["slots"]]
        pairs += [(f"status: {key} of {name}", carrier[key], 0) for key in ("queue", "window_used")]
        pairs.append((f"status: sessions bound of {name}", slots.count("bound"), sessions))
        gauge = f"bindery_sessions{{bind=trx,name={name},side=carrier,state=bound}}"
        pairs.append((gauge, samples.get(gauge, 0), sessions))
    return len(pairs), [f"{name}: {found:g}, not {count:g}" for name, found, count in pairs if found != count]


def of_metrics(table, run, watched, binds, sessions):
    """The proxy's own figures against both ends'."""
    table.line("looks at /metrics and status", f"{watched['looks']:,}",
               f"longest pause {watched['longest']:.1f} s, <= {LONGEST_LOOK_SECONDS:.0f} s",
               watched["longest"] <= LONGEST_LOOK_SECONDS)
    for what in watched["failed"] + sorted(set(watched["fell"])):
        table.figure("  " + what, "")
    table.equal("looks that failed", len(watched["failed"]), 0)
    table.equal("counters that went down", len(watched["fell"]), 0)
    count, wrong = disagreements(run, watched, binds, sessions)
    for line in wrong:
        table.figure("  " + line, "")
    table.equal(f"disagreements among {count} figures", len(wrong), 0)
