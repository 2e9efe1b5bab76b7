"""Reads /metrics as Prometheus' own parser does, and `bindery status --json`, every second while a run lasts.

    soak_metrics.py URL BINARY [SECONDS]

Ends when its standard input is closed, with one more look at both, and prints one JSON object: how many looks there were,
the longest time between two, what could not be read, the counters that went down, and the last page and status.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def page(url):
    """Every sample of the page: its name with the labels in order, its value; and the names of the counters."""
    with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
        text = answer.read().decode("utf-8")
    samples, counters = {}, set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{label}={value}" for label, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}"
            samples[name] = sample.value
            if family.type in ("counter", "histogram"):
                counters.add(name)
    return samples, counters


def status(binary, url):
    """The document of `bindery status --json`."""
    asked = subprocess.run([binary, "status", "-a", url, "--json"], capture_output=True, text=True, timeout=10)
    if asked.returncode:
        raise OSError(f"bindery status ended with {asked.returncode}: {asked.stderr.strip()}")
    return json.loads(asked.stdout)


class Watch:
    """What was read so far."""

    def __init__(self, url, binary):
        self.url, self.binary = url, binary
        self.samples, self.status, self.counters = {}, {}, {}
        self.looks, self.longest, self.last = 0, 0.0, None
        self.failed, self.fell = [], []

    def look(self):
        try:
            samples, counters = page(self.url)
            self.status = status(self.binary, self.url)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.failed.append(str(error))
            return
        now = time.monotonic()
        if self.last is not None:
            self.longest = max(self.longest, now - self.last)
        self.last, self.samples, self.looks = now, samples, self.looks + 1
        for name in set(self.counters) | counters:
            if samples.get(name, 0) < self.counters.get(name, 0):
                self.fell.append(name)
        self.counters = {name: samples[name] for name in counters}


def main():
    url, binary = sys.argv[1:3]
    every = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    watch = Watch(url, binary)
    watch.look()
    while not ended.wait(every):
        watch.look()
    watch.look()
    print(json.dumps({"looks": watch.looks, "longest": watch.longest, "failed": watch.failed, "fell": watch.fell,
                      "samples": watch.samples, "status": watch.status}))


if __name__ == "__main__":
    main()
