"""make bench-dram: the DRAM allocator beside a textbook buddy measured in the same run, and beside published figures of
LLFree-c and of such a buddy. Instructions are exact, by callgrind; times are medians of interleaved rounds."""
import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import callgrind, table

PROGRAM = Path("build/bench/dram_bench")
FUNCTIONS = [f"{side}_{verb}" for side in ("dram", "buddy") for verb in ("start", "alloc", "free")]
ROUNDS = 7
GIB_A_TIB = 1024

# key, text, LLFree-c's and the buddy's published instructions an operation (callgrind, clang -O2, 8 GiB managed). How
# the half-full heap of their churn came to be is not told: its goal is that of both of ours.
WORK = (
    ("bulk", "bulk allocation of half the memory", 349, 90),
    ("random-free", "random free of it", 216, 84),
    ("pair", "order-0 pair on an empty heap", 271, 314),
    ("pair-whole", "order-0 pair out of a whole 2 MiB", 271, 314),
    ("pair-2m", "2 MiB pair on an empty heap", None, None),
    ("churn", "churn, half full in a row", 294, 73),
    ("churn-holes", "churn, half full with random holes", 294, 73),
)
METADATA_KIB = (36, 8192)  # a GiB: LLFree-c, the buddy
START_MS = (2.5, 110)  # a TiB; the buddy's is a lower bound

COLUMNS = {
    "value": "Permafrost",
    "buddy": "buddy",
    "llfree": "LLFree-c (publ.)",
    "buddy_published": "buddy (publ.)",
    "goal": "goal",
    "time_ratio": "time/buddy's",
}


class Phase(NamedTuple):
    """One phase's line; the value is nanoseconds, or bytes of metadata."""

    operations: int
    value: int


def row(key, text, value, buddy, published=(None, None), goal=None, time_ratio=None):
    """The goal is the better of the published figures unless given."""
    if goal is None and None not in published:
        goal = min(published)
    return {
        "key": key,
        "text": text,
        "value": round(value, 3),
        "buddy": round(buddy, 3),
        "llfree": published[0],
        "buddy_published": published[1],
        "goal": goal,
        "time_ratio": time_ratio,
        "verdict": table.verdict(value, goal),
    }


class Measurement:
    """One run under callgrind and one at full speed."""

    def __init__(self):
        self.instructions, self.phases = callgrind.measure(PROGRAM, FUNCTIONS, ROUNDS, Phase)

    def count(self, side, label):
        return self.instructions[f"{side}/{label}"] / self.phases[f"{side}/{label}"][0].operations

    def times(self, side, label):
        return [phase.value / phase.operations for phase in self.phases[f"{side}/{label}"]]

    def time_ratio(self, label):
        """Each round of ours over the buddy's round that followed it."""
        ratios = [ours / theirs for ours, theirs in zip(self.times("dram", label), self.times("buddy", label))]
        return round(median(ratios), 3)

    def work_row(self, key, text, published, threads):
        label = f"{key}-{threads}"
        ours, buddy = (self.count(side, label) for side in ("dram", "buddy"))
        goal = buddy if None in published else None
        text += ", 2 threads" if threads > 1 else ""
        return row(f"dram-{label}", text, ours, buddy, published, goal, self.time_ratio(label))

    def side_rows(self):
        ms = [median(self.times(side, "start-1")) * GIB_A_TIB / 1e6 for side in ("dram", "buddy")]
        counts = [self.count(side, "start-1") * GIB_A_TIB for side in ("dram", "buddy")]
        kib = [self.times(side, "metadata")[0] / 1024 for side in ("dram", "buddy")]
        return [
            row("dram-metadata", "metadata, KiB a GiB", *kib, METADATA_KIB),
            row("dram-start-ms", "start, milliseconds a TiB", *ms, START_MS),
            row("dram-start", "start, instructions a TiB", *counts, time_ratio=self.time_ratio("start-1")),
        ]


def rows():
    measured = Measurement()
    work = [measured.work_row(key, text, peers, threads) for threads in (1, 2) for key, text, *peers in WORK]
    return work + measured.side_rows()


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.dram", description=__doc__)
    parser.add_argument("--json", type=Path, help="a document to which the rows are added")
    args = parser.parse_args()
    try:
        measured = rows()
    except (callgrind.Error, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: bench: {error}", file=sys.stderr)
        return 1
    table.show("DRAM allocator, instructions an operation", COLUMNS, measured)
    print("LLFree-c and the published buddy: callgrind, clang -O2, 8 GiB managed. The buddy beside us ran in this run.")
    if args.json:
        table.add_to_json(args.json, "dram", measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
