"""make bench-pool: the NVRAM pool with 10,000 regions on 1 TiB and 16 TiB. Instructions are exact, by callgrind, of the
image's own objects; flushes and fences are counted calls; times are medians of rounds at full speed."""
import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import callgrind, table

PROGRAM = Path("build/bench/pool_bench")
# None of them calls another while there is clean space: create and grow would call scrub.
VERBS = "mount create grow shrink rename grant attach detach clone delete scrub".split()
FUNCTIONS = [f"pool_{verb}" for verb in VERBS]
ROUNDS = 7

SIZES = {"1t-10000": "1 TiB", "16t-10000": "16 TiB"}
FULL = "16t-10000"
MOUNTS = {
    "1t-10000": "1 TiB: 10,000 regions",
    "16t-10000": "16 TiB: 10,000 regions",
    "16t-5000": "16 TiB: 5,000 regions",
    "16t-2500": "16 TiB: 2,500 regions",
    "16t-10000-more": "16 TiB: 10,000 regions",
}
MOUNT_GOAL = 50_000_000
CALL_GOAL = 5_000
STORES_GOAL = 4  # flushes, and fences, of one record update
BYTES_GOAL = 1.01  # as good as equal: mounting does not depend on the pool's bytes
MEMORY_GOAL = 0.01  # % of the NVRAM

# phase, text, goal of instructions, goal of flushes and of fences; a call each.
WORK = (
    ("create", "create", CALL_GOAL, STORES_GOAL),
    ("delete", "delete", CALL_GOAL, STORES_GOAL),
    ("grow", "grow", CALL_GOAL, STORES_GOAL),
    ("shrink", "shrink", CALL_GOAL, STORES_GOAL),
    ("rename", "rename", CALL_GOAL, STORES_GOAL),
    ("grant", "grant to a VM", CALL_GOAL, STORES_GOAL),
    ("withdraw", "withdraw the grant", CALL_GOAL, STORES_GOAL),
    ("clone", "clone, without the copying", 2 * CALL_GOAL, 2 * STORES_GOAL),
    ("attach", "attach + detach", CALL_GOAL, 0),
)

COLUMNS = {
    "value": "value",
    "goal": "goal",
    "flushes": "flushes",
    "fences": "fences",
    "stores_goal": "goal of each",
    "lines": "lines flushed",
    "us": "µs",
}


@dataclass(frozen=True)
class Phase:
    """One phase's line; only `value`, which is nanoseconds or bytes of DRAM, differs between rounds."""

    operations: int
    value: int
    flushes: int
    lines: int
    fences: int


def row(key, text, value, goal=None, stores_goal=None, **columns):
    """A row that has both goals must meet both."""
    met = [table.verdict(value, goal)]
    met += [table.verdict(columns[kind], stores_goal) for kind in ("flushes", "fences") if kind in columns]
    return {
        "key": f"pool-{key}",
        "text": text,
        "value": round(value, 6),
        "goal": goal,
        "stores_goal": stores_goal,
        **{name: columns.get(name) for name in ("flushes", "fences", "lines", "us")},
        "verdict": "missed" if "missed" in met else "met" if "met" in met else "-",
    }


class Measurement:
    """One run under callgrind and one at full speed."""

    def __init__(self):
        self.instructions, self.phases = callgrind.measure(PROGRAM, FUNCTIONS, ROUNDS, Phase)

    def operations(self, label):
        return self.phases[label][0].operations

    def phase_row(self, label, text, calls, goal=None, stores_goal=None):
        """A row of instructions, stores and time a call."""
        first = self.phases[label][0]
        return row(
            label.replace("/", "-"),
            text,
            self.instructions[label] / calls,
            goal,
            stores_goal,
            flushes=first.flushes / calls,
            fences=first.fences / calls,
            lines=first.lines / calls,
            us=round(median(phase.value for phase in self.phases[label]) / calls / 1000, 2),
        )

    def an_extent_more(self, setup, fewer):
        """What mounting executes for each extent that one setup has more than another."""
        more, less = f"{setup}/mount", f"{fewer}/mount"
        return (self.instructions[more] - self.instructions[less]) / (self.operations(more) - self.operations(less))

    def mount_rows(self):
        labels = {f"{setup}/mount": text for setup, text in MOUNTS.items()}
        found = [
            self.phase_row(label, f"mount {text}, {self.operations(label):,} extents", 1, MOUNT_GOAL, 0)
            for label, text in labels.items()
        ]
        whole = self.instructions[f"{FULL}/mount"]
        ratio = whole / self.instructions["1t-10000/mount"]
        in_more, in_same = self.an_extent_more(FULL, "16t-5000"), self.an_extent_more("16t-10000-more", FULL)
        return [
            *found,
            row("mount-bytes", "mount: 16 TiB with the same regions, to 1 TiB", ratio, BYTES_GOAL),
            row("mount-extent", "mount: an extent, all else included", whole / self.operations(f"{FULL}/mount")),
            row("mount-region", "mount: an extent more, in more regions", in_more),
            row("mount-more", "mount: an extent more, in the same regions", in_same),
        ]

    def work_rows(self, setup):
        return [
            self.phase_row(f"{setup}/{phase}", f"{SIZES[setup]}: {text}", self.operations(f"{setup}/{phase}"), *goals)
            for phase, text, *goals in WORK
        ]

    def memory_row(self, setup):
        """Its operations are the bytes of NVRAM."""
        phase = self.phases[f"{setup}/memory"][0]
        text = f"{SIZES[setup]}: DRAM used, % of the NVRAM"
        return row(f"{setup}-memory", text, 100 * phase.value / phase.operations, MEMORY_GOAL)

    def scrub_rows(self):
        texts = {"small/scrub-mib": "scrub, a MiB", f"{FULL}/scrub-granule": "scrub, a granule without zeroing it"}
        return [self.phase_row(label, text, self.operations(label)) for label, text in texts.items()]


def rows():
    measured = Measurement()
    found = measured.mount_rows()
    for setup in SIZES:
        found += measured.work_rows(setup)
    return [*found, *map(measured.memory_row, SIZES), *measured.scrub_rows()]


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.pool", description=__doc__)
    parser.add_argument("--json", type=Path, help="a document to which the rows are added")
    args = parser.parse_args()
    try:
        measured = rows()
    except (callgrind.Error, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: bench: {error}", file=sys.stderr)
        return 1
    table.show("NVRAM pool, instructions a call", COLUMNS, measured)
    print("Flushes and fences are calls; one record update needs 4 of each. Data is neither copied nor scrubbed there.")
    if args.json:
        table.add_to_json(args.json, "pool", measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
