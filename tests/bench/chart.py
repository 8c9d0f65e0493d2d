"""Draws build/bench.json as bars beside the peers: python3 -m tests.bench.chart JSON SVG...; each group of bars is to a
scale of its own, as the values lie a million apart."""
import argparse
import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH = 800
MARGIN = 20
COLUMN = (WIDTH - 3 * MARGIN) // 2
BAR, BAR_STEP, ROW_HEAD, ROW_GAP, PANEL_HEAD = 11, 15, 17, 9, 30
VALUE_ROOM = 112  # for the number behind the longest bar
# Names and colours; the chart has a background of its own, so that it reads the same on a dark page.
SERIES = {
    "permafrost": ("Permafrost", "#1668b8"),
    "kvm": ("KVM, same run", "#d9822b"),
    "xen": ("Xen, measured before", "#8a9199"),
    "buddy": ("buddy, same run", "#b08bc9"),
    "llfree": ("LLFree, published", "#6aa583"),
}
INK, FAINT, PAPER = "#1f2328", "#59636e", "#f6f8fa"
MACHINE_ROWS = ("user-cpuid-0", "user-hypercall", "rdmsr-apic-base", "wrmsr-tsc-deadline", "boot", "exits")
XEN_MACHINE = "vtx"
DRAM_ROWS = (("dram-bulk-1", "dram-random-free-1"), ("dram-pair-1", "dram-churn-1"))
DRAM_TITLE = "DRAM allocator, instructions an operation"


class Drawing:
    """The elements of an SVG."""

    def __init__(self):
        self.elements = []

    def text(self, x, y, words, size=12, colour=INK, weight="normal"):
        style = f'font-size="{size}" fill="{colour}" font-weight="{weight}"'
        self.elements.append(f'<text x="{x}" y="{y}" {style}>{escape(words)}</text>')

    def box(self, x, y, width, height, colour, radius=2):
        place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"'
        self.elements.append(f'<rect {place} fill="{colour}"/>')

    def finish(self, height):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        paper = f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>'
        return "\n".join([f'{head} font-family="sans-serif">', paper, *self.elements, "</svg>\n"])


def row_height(bars):
    return ROW_HEAD + BAR_STEP * len(bars) + ROW_GAP


def draw_row(drawing, x, y, words, bars):
    """bars: {series: value}, each at least 0."""
    drawing.text(x, y + 12, words)
    longest = max(bars.values()) or 1
    y += ROW_HEAD
    for series, value in bars.items():
        length = max(1, round((COLUMN - VALUE_ROOM) * value / longest))
        drawing.box(x, y, length, BAR, SERIES[series][1])
        drawing.text(x + length + 5, y + 10, f"{value:,.0f}", 11, FAINT)
        y += BAR_STEP


def draw_panel(drawing, x, y, title, rows):
    """Returns where the panel ends. rows: [(words, bars)]."""
    drawing.text(x, y + 15, title, 14, weight="bold")
    y += PANEL_HEAD
    for words, bars in rows:
        draw_row(drawing, x, y, words, bars)
        y += row_height(bars)
    return y


def machine_rows(document, machine):
    for key in MACHINE_ROWS:
        metric = document["metrics"][key]
        xen = metric["xen"] if machine == XEN_MACHINE else None
        values = {"permafrost": metric[machine]["value"], "kvm": metric[machine]["kvm"], "xen": xen}
        yield metric["text"], {series: value for series, value in values.items() if value is not None}


def dram_rows(document, keys):
    for key in keys:
        row = document["dram"][key]
        yield row["text"], {"permafrost": row["value"], "buddy": row["buddy"], "llfree": row["llfree"]}


def draw_legend(drawing, y):
    x = MARGIN
    for name, colour in SERIES.values():
        drawing.box(x, y, 12, 12, colour)
        drawing.text(x + 17, y + 10, name)
        x += 34 + 7 * len(name)
    return y + 30


def draw(document):
    """The SVG's text."""
    drawing = Drawing()
    columns = (MARGIN, 2 * MARGIN + COLUMN)
    drawing.text(MARGIN, 32, "Permafrost beside its peers: instructions, shorter is better", 18, weight="bold")
    machines = document["machines"]
    models = "; ".join(machine["model"] for machine in machines.values())
    run = f"{document['date']}, on {document['host']}: {models}"
    drawing.text(MARGIN, 52, run, 12, FAINT)
    y = draw_legend(drawing, 66)
    ends = [
        draw_panel(drawing, x, y, machine["title"], machine_rows(document, key))
        for x, (key, machine) in zip(columns, machines.items())
    ]
    y = max(ends) + MARGIN // 2
    ends = [
        draw_panel(drawing, x, y, title, dram_rows(document, keys))
        for x, title, keys in zip(columns, (DRAM_TITLE, ""), DRAM_ROWS)
    ]
    return drawing.finish(max(ends) + MARGIN // 2)


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.chart", description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("svg", type=Path, nargs="+")
    args = parser.parse_args()
    text = draw(json.loads(args.json.read_text()))
    for path in args.svg:
        path.write_text(text)
        print(f"bench: drawn: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
