"""Draws bench.json as bars, Permafrost beside its peers, in one SVG of a README's width. It brings its own light
background, so it reads the same on a dark page. Date and machines are the document's."""
import argparse
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

WIDTH, MARGIN, GUTTER = 800, 24, 28
COLUMN = (WIDTH - 2 * MARGIN - GUTTER) // 2
NAME, VALUE = 76, 84  # widths left and right of the longest bar
LONGEST = COLUMN - NAME - VALUE
LETTER = 7  # about the width of a figure's digit
BAR, STEP = 11, 16  # a bar's height, and from one to the next
INK, SOFT, PAPER, FRAME, RULE, GOAL = "#1f2328", "#59636e", "#ffffff", "#d1d9e0", "#e6eaee", "#b42318"
# Told apart by people who see few colours; the names stand beside the bars all the same.
COLOURS = {"Permafrost": "#0072b2", "KVM": "#e69f00", "Xen": "#999999", "buddy": "#cc79a7", "LLFree": "#009e73"}

MACHINES = ("vtx", "svm")  # those that are drawn, side by side
# Their metrics, in the order of drawing, and what is drawn of the allocator: key and heading.
VIRTUAL = (
    ("user-cpuid-0", "CPUID leaf 0 from user mode, instructions a round trip"),
    ("hypercall", "Hypercall from the kernel, instructions a round trip"),
    ("rdmsr-apic-base", "RDMSR of the APIC base, instructions a round trip"),
    ("boot", "Debian's kernel, VM start to /init, memory zeroed before, instructions"),
    ("boot-whole", "The same, zeroing counted, ours from the loader's jump"),
    ("exits", "Exits, VM start to idle user space"),
)
ALLOCATOR = (
    ("dram-bulk-1", "Bulk allocation, instructions a frame"),
    ("dram-random-free-1", "Random free, instructions a frame"),
    ("dram-pair-1", "Allocate and free a frame, instructions"),
    ("dram-churn-holes-1", "Churn on a half-full heap, instructions"),
    ("dram-metadata", "Metadata, KiB a GiB"),
    ("dram-start-ms", "Start, milliseconds a TiB"),
)


class Incomplete(Exception):
    """The document lacks what is to be drawn; the text says what."""


@dataclass(frozen=True)
class Group:
    """Bars of one figure: [(name, value)], ours first; goal: a number, or None."""

    bars: tuple
    goal: float | None
    missed: bool

    @property
    def height(self):
        return len(self.bars) * STEP

    @property
    def top(self):
        """The largest value."""
        return max(value for _, value in self.bars)


def group(bars, goal, verdict):
    known = tuple((name, value) for name, value in bars if value is not None)
    return Group(known, goal if isinstance(goal, (int, float)) else None, verdict == "missed")


def short(value):
    """A figure as people read it."""
    if value >= 1e7:
        return f"{value / 1e6:,.0f} million"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


class Drawing:
    """An SVG that grows downwards; `y` is where the next thing goes."""

    def __init__(self, title):
        self.root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
        self.root.set("font-family", "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif")
        ET.SubElement(self.root, "title").text = title
        self.paper = self.shape("rect", x=0.5, y=0.5, width=WIDTH - 1, rx=8, fill=PAPER, stroke=FRAME)
        self.y = MARGIN

    def shape(self, kind, **attributes):
        return ET.SubElement(self.root, kind, {key: str(value) for key, value in attributes.items()})

    def text(self, x, y, words, size=11, fill=INK, **more):
        self.shape("text", x=x, y=y, fill=fill, **{"font-size": size}, **more).text = words

    def rule(self):
        self.shape("rect", x=MARGIN, y=self.y, width=WIDTH - 2 * MARGIN, height=1, fill=RULE)
        self.y += 18

    def heading(self, words, size, weight=600, fill=INK):
        self.y += size
        self.text(MARGIN, self.y, words, size, fill, **{"font-weight": weight})
        self.y += 8

    def bar(self, x, y, name, value, length, ours):
        """One bar, without its figure."""
        weight = {"font-weight": 600} if ours else {}
        self.text(x + NAME - 8, y + BAR - 1, name, **{"text-anchor": "end"}, **weight)
        self.shape("rect", x=x + NAME, y=y, width=round(length, 1), height=BAR, rx=1.5, fill=COLOURS[name])
        ET.SubElement(self.root[-1], "title").text = f"{name}: {value:,}"

    def goal(self, x, y, length, words, at):
        """The goal's stroke `at` a length on our own bar. Returns where the figure goes: the stroke must not cross it."""
        self.shape("rect", x=round(x + NAME + at, 1), y=y - 2, width=1.5, height=BAR + 4, fill=GOAL)
        crosses = length < at + 4 and at < length + 8 + LETTER * len(words)
        return max(length, at) if crosses else length

    def bars(self, x, y, shown, scale):
        """One group at (x, y), ours first; `scale` is the value of the longest bar."""
        for number, (name, value) in enumerate(shown.bars):
            top, length = y + number * STEP, max(1.5, LONGEST * value / scale)
            ours, words = number == 0, short(value)
            self.bar(x, top, name, value, length, ours)
            more = {"font-weight": 600} if ours else {}
            if ours and shown.missed:
                more["fill"] = GOAL
            if ours and shown.goal and shown.goal <= scale:
                length = self.goal(x, top, length, words, LONGEST * shown.goal / scale)
            self.text(round(x + NAME + length + 6, 1), top + BAR - 1, words, **more)

    def pair(self, left, right):
        """Two groups side by side, from here down."""
        for x, (shown, scale) in zip((MARGIN, MARGIN + COLUMN + GUTTER), (left, right)):
            self.bars(x, self.y, shown, scale)
        self.y += max(left[0].height, right[0].height) + 8

    def columns(self, left, right, size=11, fill=SOFT, **more):
        """A line of text above each column; it may run on over an empty one."""
        self.y += 10
        for x, words in ((MARGIN, left), (MARGIN + COLUMN + GUTTER, right)):
            if words:
                self.text(x, self.y, words, size, fill, **more)
        self.y += 8

    def finish(self):
        height = self.y + MARGIN - 8
        self.paper.set("height", str(height - 1))
        for name, value in (("width", WIDTH), ("height", height), ("viewBox", f"0 0 {WIDTH} {height}")):
            self.root.set(name, str(value))
        ET.indent(self.root)
        return ET.tostring(self.root, encoding="unicode") + "\n"


def virtual_group(metric, machine):
    row = metric[machine]
    xen = metric["xen"] if machine == "vtx" else None  # published for VT-x only
    return group((("Permafrost", row["value"]), ("KVM", row["kvm"]), ("Xen", xen)), row["goal"], row["verdict"])


def draw_virtual(drawing, document):
    drawing.heading("The hypervisor", 14)
    drawing.columns(*(document["machines"][machine]["title"] for machine in MACHINES), size=12, fill=INK, **{"font-weight": 600})
    for key, heading in VIRTUAL:
        metric = document["metrics"][key]
        groups = [virtual_group(metric, machine) for machine in MACHINES]
        scale = max(shown.top for shown in groups)
        drawing.columns(heading, None)
        drawing.pair(*((shown, scale) for shown in groups))
    drawing.y += 4


def allocator_group(row):
    bars = (("Permafrost", row["value"]), ("buddy", row["buddy"]), ("LLFree", row["llfree"]))
    return group(bars, row["goal"], row["verdict"])


def draw_allocator(drawing, document):
    drawing.heading("The DRAM allocator", 14)
    for left, right in zip(ALLOCATOR[::2], ALLOCATOR[1::2]):
        drawing.columns(left[1], right[1])
        groups = [allocator_group(document["dram"][key]) for key, _ in (left, right)]
        drawing.pair(*((shown, shown.top) for shown in groups))
    drawing.y += 4


def draw_legend(drawing):
    """What the bars and the stroke mean."""
    drawing.y += 12
    drawing.shape("rect", x=MARGIN, y=drawing.y - 10, width=1.5, height=12, fill=GOAL)
    words = "goal; a figure in this colour misses its goal. Shorter is better; each row has a scale of its own."
    drawing.text(MARGIN + 8, drawing.y, words, 11, SOFT)
    drawing.y += 12


def draw_sources(drawing, document):
    drawn = [document["machines"][machine] for machine in MACHINES]
    lines = [f"{m['title']}: {m['model']}; KVM: {m['kvm']}." for m in drawn]
    lines += [
        "All are instructions that the emulator counts: software path lengths; the hardware's part comes on top.",
        "Xen: 4.17, measured before on the same Bochs. LLFree: published; the buddy ran in the same run.",
        f"make bench, {document['date']}, on {document['host']}",
    ]
    for line in lines:
        drawing.y += 15
        drawing.text(MARGIN, drawing.y, line, 10.5, SOFT)


def draw(document):
    """The SVG's text. Raises Incomplete."""
    drawing = Drawing("Permafrost's benchmark: bars of instructions and counts beside KVM, Xen, a buddy and LLFree")
    try:
        drawing.heading("Permafrost beside its peers", 18)
        draw_legend(drawing)
        drawing.rule()
        draw_virtual(drawing, document)
        drawing.rule()
        draw_allocator(drawing, document)
        drawing.rule()
        drawing.y -= 14
        draw_sources(drawing, document)
    except KeyError as error:
        raise Incomplete(f"the document has no {error}: make bench writes a whole one") from None
    return drawing.finish()


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.chart", description=__doc__)
    parser.add_argument("json", type=Path, help="what make bench has measured")
    parser.add_argument("svg", type=Path, nargs="+", help="where the drawing goes")
    args = parser.parse_args()
    try:
        text = draw(json.loads(args.json.read_text()))
        for path in args.svg:
            path.write_text(text)
            print(f"bench: drawn: {path}")
    except (Incomplete, OSError, ValueError) as error:
        print(f"error: bench: {args.json}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
