"""The page of /metrics as Prometheus' own parser reads it.

    metrics.py URL ESME=COUNT...

Prints what is wrong as a JSON list: the content type, a sample that is not of its family, a counter that is not named as
one, an account whose accepted submits are not COUNT, a window still in use.
"""

import json
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def findings(kind, page, accepted):
    if not kind.startswith("text/plain; version=0.0.4"):
        yield f"content type {kind}"
    families = {family.name: family for family in text_string_to_metric_families(page)}
    for family in families.values():
        if family.type not in SUFFIXES or not family.documentation:
            yield f"{family.name} is a {family.type}: {family.documentation!r}"
        for sample in family.samples:
            if sample.name.removeprefix(family.name) not in SUFFIXES.get(family.type, ()):
                yield f"{sample.name} stands in {family.name}"
    submits = families["bindery_esme_submits"].samples
    for esme, count in accepted.items():
        labels = {"esme": esme, "status": "ESME_ROK"}
        found = sum(sample.value for sample in submits if sample.labels == labels)
        if found != count:
            yield f"{esme}: {found:g} accepted, not {count}"
    for sample in families["bindery_window_used"].samples:
        if sample.value:
            yield f"{sample.labels}: {sample.value:g} in flight"


def main():
    accepted = {esme: int(count) for esme, count in (pair.split("=") for pair in sys.argv[2:])}
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        kind, page = answer.headers["Content-Type"], answer.read().decode("utf-8")
    print(json.dumps(list(findings(kind, page, accepted))))


if __name__ == "__main__":
    main()
