"""What was found as one page: tables and latency plots, drawn here, without a network."""

import html
import json
import math

from comparison import report

COLOURS = ["#5b6770", "#d1495b", "#1b6ca8", "#2e933c", "#8e5ea2", "#c47f17"]
QUANTILES = [("p50_ms", 0.5, "50 %"), ("p90_ms", 0.9, "90 %"), ("p99_ms", 0.99, "99 %"), ("p99.9_ms", 0.999, "99.9 %")]
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 260, 70, 16, 130, 36

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #1c1f21; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6em 0; }
th, td { text-align: right; padding: .15em .7em; border-bottom: 1px solid #dde1e4; }
th:first-child, td:first-child { text-align: left; }
.met { color: #2e7d32; } .missed { color: #b3261e; font-weight: 600; } .noisy { color: #9a6700; }
svg text { font: 12px system-ui, sans-serif; fill: #1c1f21; }
ul { margin: .3em 0 1em; padding-left: 1.2em; } .plots { display: flex; flex-wrap: wrap; gap: 1em; }
"""


def scale(values, low, high):
    """A logarithmic scale over the values, and its decades with their halves."""
    first, last = math.log10(min(values) * 0.8), math.log10(max(values) * 1.25)

    def at(value):
        return low + (math.log10(value) - first) / (last - first) * (high - low)

    ticks = [digit * 10.0 ** power for power in range(math.floor(first), math.ceil(last) + 1) for digit in (1, 2, 5)]
    return at, [tick for tick in ticks if first <= math.log10(tick) <= last]


def line(x1, y1, x2, y2, colour="#dde1e4", width=1):
    """A straight line."""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def text(x, y, said, anchor="start", colour=None):
    """A word."""
    fill = f' style="fill:{colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{html.escape(said)}</text>'


def frame(parts, title):
    """A plot."""
    return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>')


def latency(medians):
    """Latency by quantile, both axes logarithmic: each nine takes the same room."""
    values = [max(median[name], 0.001) for median in medians for name, _, _ in QUANTILES]
    at_y, ticks = scale(values, HEIGHT - BOTTOM, TOP)

    def at_x(share):
        return LEFT + (-math.log10(1 - share) - 0.3) / 2.7 * (WIDTH - LEFT - RIGHT)

    parts = []
    for tick in ticks:
        parts += [line(LEFT, at_y(tick), WIDTH - RIGHT, at_y(tick)), text(LEFT - 6, at_y(tick) + 4, f"{tick:g} ms", "end")]
    for _, share, name in QUANTILES:
        parts += [line(at_x(share), TOP, at_x(share), HEIGHT - BOTTOM),
                  text(at_x(share), HEIGHT - BOTTOM + 16, name, "middle")]
    for number, median in enumerate(medians):
        colour = COLOURS[number % len(COLOURS)]
        points = [(at_x(share), at_y(max(median[name], 0.001))) for name, share, _ in QUANTILES]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(text(WIDTH - RIGHT + 12, TOP + 14 + 17 * number, median["proxy"], colour=colour))
    return frame(parts, "latency by quantile")


def costs(medians):
    """CPU per message, user and system, with the floor as a mark."""
    shown = [median for median in medians if "cpu" in median]
    if not shown:
        return ""
    most = max(max(median["cpu"], median.get("floor", 0.0)) for median in shown)
    left, step = LEFT + 50, (HEIGHT - TOP - BOTTOM) / len(shown)
    high = min(step * 0.6, 34)

    def at_x(micros):
        return left + micros / most * (WIDTH - left - RIGHT)

    parts = []
    for number, median in enumerate(shown):
        y = TOP + step * number + (step - high) / 2
        parts.append(text(left - 8, y + high / 2 + 4, median["proxy"], "end"))
        system = at_x(median["cpu_system"]) - left
        user = at_x(median["cpu_user"]) - left
        parts.append(f'<rect x="{left}" y="{y:.1f}" width="{system:.1f}" height="{high:.1f}" fill="#1b6ca8"/>')
        parts.append(f'<rect x="{left + system:.1f}" y="{y:.1f}" width="{user:.1f}" height="{high:.1f}" fill="#8fbfe0"/>')
        if "floor" in median:
            parts.append(line(at_x(median["floor"]), y - 4, at_x(median["floor"]), y + high + 4, "#d1495b", 2))
        parts.append(text(max(at_x(median["cpu"]), at_x(median.get("floor", 0.0))) + 8, y + high / 2 + 4,
                          f"{median['cpu']:.3f} us"))
    parts.append(text(left, HEIGHT - 10, "dark: system, light: user, red: the floor of its calls"))
    return frame(parts, "CPU per message")


def table(lines):
    """A table, its first line the head."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in lines[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in one) + "</tr>" for one in lines[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def of_row(row, found):
    """A row's part."""
    medians = list(found["medians"].values())
    notes = []
    for target in found["targets"]:
        kind = "met" if target["met"] else "missed"
        notes.append(f'<li class="{kind}">{html.escape(report.target_line(target).strip())}</li>')
    for median in medians:
        notes.append(f"<li>held by, {html.escape(median['proxy'])}: {html.escape(report.held_by(row, median))}</li>")
        if report.noise(median):
            notes.append(f'<li class="noisy">noisy, {html.escape(median["proxy"])}: {html.escape(report.noise(median))}</li>')
    return (f"<h2>{html.escape(row.name)}</h2><p>{html.escape(row.title)}</p>"
            f"{table([report.HEADS, *map(report.cells, medians)])}<ul>{''.join(notes)}</ul>"
            f'<div class="plots">{latency(medians)}{costs(medians)}</div>')


def whole(rows, document):
    """The page; the figures stand in it as JSON, too."""
    parts = [of_row(row, found) for row, found in zip(rows, document["rows"])]
    data = json.dumps(document).replace("</", "<\\/")
    about = html.escape(report.of_machine(document["machine"], document["notes"])).replace("\n", "<br>")
    floor = html.escape(report.of_floor(document["floor"]).strip())
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bindery side by side</title>'
            f"<style>{STYLE}</style></head><body><h1>Bindery side by side</h1><p>{about}</p>{''.join(parts)}"
            f"<h2>The floor</h2><pre>{floor}</pre>"
            f'<script type="application/json" id="figures">{data}</script></body></html>\n')
