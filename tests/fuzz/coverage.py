"""The table of `coverage`: lines of src/smpp and src/session that count and that were run, by file, from lcov's text."""

import os
import sys

ROOMS = ["src/smpp/", "src/session/"]
WANTED = 90.0


def first_test_line(path):
    """The line at which a file's tests begin."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    marked = [at for at, line in enumerate(lines, 1) if line.startswith("#[cfg(test)]")]
    return marked[-1] if marked and "mod tests {" in "\n".join(lines[marked[-1] :]) else len(lines) + 1


def read(info):
    """Per file and line how often it ran."""
    files, lines = {}, {}
    with open(info, encoding="utf-8") as file:
        for row in file:
            key, _, value = row.strip().partition(":")
            if key == "SF":
                lines = files.setdefault(os.path.relpath(os.path.realpath(value)), {})
            elif key == "DA":
                number, count = value.split(",")[:2]
                lines[int(number)] = max(lines.get(int(number), 0), int(count))
    return files


def main():
    files = read(sys.argv[1])
    short = False
    for room in ROOMS:
        run_all, all_all = 0, 0
        for path in sorted(files):
            if not path.startswith(room) or path.endswith("tests.rs"):
                continue
            end = first_test_line(path)
            counted = {number: count for number, count in files[path].items() if number < end}
            run = sum(1 for count in counted.values() if count)
            missing = [number for number, count in sorted(counted.items()) if not count]
            run_all, all_all = run_all + run, all_all + len(counted)
            share = 100 * run / len(counted) if counted else 100
            print(f"  {path:32} {run:5} of {len(counted):5} {share:6.1f} %  {' '.join(map(str, missing[:20]))}")
        share = 100 * run_all / all_all if all_all else 0
        print(f"{room:34} {run_all:5} of {all_all:5} {share:6.1f} %, wanted {WANTED} %")
        short |= share < WANTED
    return 1 if short else 0


sys.exit(main())
