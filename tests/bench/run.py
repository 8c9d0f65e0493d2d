"""make bench: boots the bench kernel and Debian on the reference model, twice each as they must count the same, and
tells the numbers as a table and as JSON."""
import argparse
import json
import re
import sys
import threading
from pathlib import Path

from tests.bench.metrics import KVM, KVM_RDMSR_MODEL, METRICS, XEN, XEN_TOOLSTACK
from tests.machine.bochs import REFERENCE
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, Vm, entry
from tests.machine.progress import Progress

LIMIT_S = 240
RUNS = 2
# How far the runs may lie apart, as a part of the value; all that is not named must agree to the instruction. Linux
# places itself and its data at random (KASLR and more, from RDRAND), and clears and maps a little more or less then.
SPREAD = {"boot": 0.001, "exits": 0.01}
VMS = {
    "exits": Vm(kernel="exits", initrd="", args="root=none"),  # a VM without initrd must have a root=
    "debian": Vm(args="quiet rdinit=/bin/pf_bench"),
}
FILES = {
    "exits": {"exits": BUILD / "bench" / "exits.bin"},
    "debian": {"vmlinuz": BUILD / "linux" / "vmlinuz", "initrd": BUILD / "bench" / "initrd.img"},
}


def boot(kind, number):
    """The serial log of one boot, from power-on to the machine's own power-off."""
    lab = Lab(BUILD / "bench" / f"{kind}-{number}")
    files = {"permafrost.elf": BUILD / "permafrost.elf", **FILES[kind]}
    image = lab.iso(entry(VMS[kind]), files)
    with lab.start(Setup(model=REFERENCE), image) as machine:
        ending = machine.wait_end(LIMIT_S)
        if ending != "poweroff" or "vm db: powered off" not in machine.log:
            raise machine.failure(f"the {kind} guest ended by {ending}")
        return machine.log


def find(pattern, log):
    match = re.search(pattern, log, re.M)
    if not match:
        raise Failure(f"no line matches {pattern!r} in the log:\n{log[-1500:]}")
    return match


def exits_by_kind(log):
    return {kind: int(count) for kind, count in re.findall(r"^vm db: exits (\S+) +(\d+)\r*$", log, re.M)}


def large_percent(log):
    small, *large = map(
        int, find(r"mapped in pages of 4 KiB: (\d+) KiB, 2 MiB: (\d+) KiB, 1 GiB: (\d+) KiB", log).groups()
    )
    return round(100 * sum(large) / (small + sum(large)), 3)


def read_exits(log):
    """{key: value} of the bench kernel. A pass over the NVRAM must show no exit in either count."""
    values = {name: int(value) for name, value in re.findall(r"^PF-BENCH: (\S+) (\d+)\r*$", log, re.M)}
    find(r"^PF-BENCH: nvram-pages [1-9]\d*\r*$", log)
    values["nvram-exits"] += exits_by_kind(log).get("memory", 0)
    return values


def read_debian(log):
    start = find(r"^vm db: started at TSC (\d+), (\d+) after the loader's jump\r*$", log)
    init = find(r"^PF-BENCH: init-tsc (\d+)\r*$", log)
    values = {
        "boot": int(init[1]) - int(start[1]),
        "entry": int(start[2]),
        "entry-log-bytes": find(r"^vm db: starts\r*$", log).start(),
        "exits": int(find(r"^vm db: (\d+) exits,", log)[1]),
        "large-pages": large_percent(log),
    }
    values.update({f"exits-{kind}": count for kind, count in exits_by_kind(log).items()})
    return values


READERS = {"exits": read_exits, "debian": read_debian}


class Measurement:
    """The boots, as many at a time as there are runs of each; `values` has one {key: value} a run."""

    def __init__(self):
        self.values = [{} for _ in range(RUNS)]
        self.error = None
        self.doing = {}

    def work(self, number):
        try:
            for kind, read in READERS.items():
                self.doing[number] = kind
                self.values[number].update(read(boot(kind, number)))
            self.doing[number] = "done"
        except Exception as error:  # told by run(), in the main thread
            self.error = error

    def run(self):
        progress = Progress("bench")
        threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(RUNS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            progress.note("boots " + ", ".join(f"{n + 1}: {kind}" for n, kind in sorted(self.doing.items())))
            for thread in threads:
                thread.join(0.5)
        progress.clear()
        if self.error:
            raise self.error


def number(value):
    return "-" if value is None else f"{value:,}"


def print_table(values):
    rows = [("instructions (counts where named so)", "Permafrost", "KVM", "Xen", "goal", "aim", "verdict")]
    for m in METRICS:
        value = values[m.key]
        rows.append((m.text, *map(number, (value, m.kvm, m.xen, m.goal, m.aim)), m.verdict(value)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        texts, numbers = row[0].ljust(widths[0]), [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:])]
        print("  ".join([texts, *numbers, row[-1]]))
    kinds = sorted(((v, k.removeprefix("exits-")) for k, v in values.items() if k.startswith("exits-")), reverse=True)
    print("exits by reason: " + ", ".join(f"{kind} {count:,}" for count, kind in kinds))
    print(f"KVM: {KVM}. Xen: {XEN}. CPU model {REFERENCE}.\n{KVM_RDMSR_MODEL}; {XEN_TOOLSTACK}.")


def compare(measured):
    """Prints what differs between the runs; False when something does that must not, or by too much."""
    sound = True
    for key in (m.key for m in METRICS):
        values = [run[key] for run in measured]
        apart = max(values) - min(values)
        if apart:
            allowed = SPREAD.get(key, 0) * max(values)
            sound = sound and apart <= allowed
            why = "Linux' own randomness" if apart <= allowed else "ERROR: must not differ so much"
            print(f"{key} differs between the runs by {number(apart)} ({', '.join(map(number, values))}): {why}")
    return sound


def document(measured, values):
    """What bench.json holds; `runs` has each run's value, in the order of the runs."""
    metrics = {}
    for m in METRICS:
        metrics[m.key] = {
            "text": m.text,
            "value": values[m.key],
            "runs": [run[m.key] for run in measured],
            "kvm": m.kvm,
            "xen": m.xen,
            "goal": m.goal,
            "aim": m.aim,
            "verdict": m.verdict(values[m.key]),
        }
    return {
        "machine": f"Bochs, {REFERENCE}",
        "unit": "instructions, or what the text names",
        "peers": {"kvm": KVM, "xen": XEN, "notes": [KVM_RDMSR_MODEL, XEN_TOOLSTACK]},
        "metrics": metrics,
        "exits": {k.removeprefix("exits-"): v for k, v in measured[0].items() if k.startswith("exits-")},
    }


def report(measured, path):
    """Prints and writes everything: of the runs the worst. False when the runs do not agree."""
    values = dict(measured[0])
    for m in METRICS:
        values[m.key] = (min if m.higher else max)(run[m.key] for run in measured)
    print_table(values)
    sound = compare(measured)
    path.write_text(json.dumps(document(measured, values), indent=2) + "\n")
    verdicts = [m.verdict(values[m.key]) for m in METRICS if m.goal is not None]
    missed = verdicts.count("missed")
    print(f"bench: {len(verdicts) - missed} goals met, {missed} missed; the numbers are in {path.name}")
    return sound


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.run", description=__doc__)
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json", help="where the numbers go")
    args = parser.parse_args()
    measurement = Measurement()
    try:
        measurement.run()
    except (Failure, OSError, RuntimeError) as error:
        print(f"error: bench: {error}", file=sys.stderr)
        return 1
    return 0 if report(measurement.values, args.json) else 1


if __name__ == "__main__":
    sys.exit(main())
