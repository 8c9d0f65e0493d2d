"""make bench: boots Permafrost with the bench kernels and with Debian on all machines, twice each as they must count the
same, and the peer with KVM; tells the numbers as a table and as JSON."""
import argparse
import json
import sys
import threading
import time
from pathlib import Path

from tests.bench.machines import MACHINES, READERS, find
from tests.bench.metrics import BELOW_KVM_NOTE, METRICS, PEER_BOOTS, PEER_PORTS, PEER_TINY, XEN, XEN_TOOLSTACK
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD
from tests.machine.progress import Progress

AT_A_TIME = 2  # emulators
# Boots of a kind, in the order of starting: the longest first.
RUNS = {"peer": 1, "debian": 2, "exits": 2, "tiny": 2}
# How far the runs may lie apart, as a part of the value; all that is not named must agree to the instruction. Linux
# places itself and its data at random (KASLR and more, from RDRAND), and clears and maps a little more or less then. On
# QEMU a device that is polled answers a few turns sooner or later.
LINUX = {"boot": 0.001, "boot-whole": 0.001, "exits": 0.01}
SPREAD = {"vtx": LINUX, "ryzen": LINUX, "svm": {**LINUX, "entry": 0.0001, "tiny-start": 0.0001, "entry-log-bytes": 0.001}}


class Measurement:
    """The boots. values[machine's key][kind] has one {key: value} a run."""

    def __init__(self):
        self.values = {machine.key: {kind: [] for kind in RUNS} for machine in MACHINES}
        self.jobs = [(m, kind, n) for kind in RUNS for m in MACHINES for n in range(RUNS[kind])]
        self.doing = {}
        self.error = None
        self.lock = threading.Lock()

    def next_job(self):
        with self.lock:
            return self.jobs.pop(0) if self.jobs and not self.error else None

    def work(self, worker):
        try:
            while job := self.next_job():
                machine, kind, number = job
                self.doing[worker] = f"{machine.title}: {kind} {number + 1}"
                self.values[machine.key][kind].append(READERS[kind](machine.boot(kind, number)))
        except Exception as error:  # told by run(), in the main thread
            self.error = error
        self.doing.pop(worker, None)

    def run(self):
        progress = Progress("bench")
        threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(AT_A_TIME)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            progress.note(", ".join(text for _, text in sorted(self.doing.copy().items())))
            for thread in threads:
                thread.join(0.5)
        progress.clear()
        if self.error:
            raise self.error

    def runs(self, machine):
        """Permafrost's values on a machine, a dictionary a run."""
        kinds = self.values[machine.key]
        ours = zip(kinds["exits"], kinds["tiny"], kinds["debian"])
        return [{**exits, **tiny, **debian} for exits, tiny, debian in ours]

    def kvm(self, machine):
        return self.values[machine.key]["peer"][0]


def host_cpu():
    """The name of the CPU that this runs on: for the times, instruction counts do not depend on it."""
    return find(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]


def number(value):
    return "-" if value is None else value if isinstance(value, str) else f"{value:,}"


class Row:
    """One metric on one machine; of the runs the worst."""

    def __init__(self, metric, machine, measurement):
        self.runs = [run[metric.key] for run in measurement.runs(machine)]
        self.value = (min if metric.higher else max)(self.runs)
        self.kvm = measurement.kvm(machine).get(metric.key)
        self.goal = metric.bound(machine.key, self.kvm)[1]
        self.verdict = metric.verdict(machine.key, self.value, self.kvm)

    def cells(self):
        return number(self.value), number(self.kvm), number(self.goal), self.verdict

    def document(self):
        return {"value": self.value, "runs": self.runs, "kvm": self.kvm, "goal": self.goal, "verdict": self.verdict}


def rows_of(measurement):
    """{metric's key: {machine's key: Row}}."""
    return {m.key: {machine.key: Row(m, machine, measurement) for machine in MACHINES} for m in METRICS}


def print_columns(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  ".join([line[0].ljust(widths[0]), *cells]).rstrip())


def print_table(rows):
    heads = [word for machine in MACHINES for word in (f"Permafrost, {machine.key}", "KVM", "goal", "verdict")]
    lines = [["instructions (counts where named so)", *heads, "Xen"]]
    for m in METRICS:
        cells = [cell for machine in MACHINES for cell in rows[m.key][machine.key].cells()]
        lines.append([m.text, *cells, number(m.xen)])
    print_columns(lines)


def exits_of(values):
    return {key.removeprefix("exits-"): value for key, value in values.items() if key.startswith("exits-")}


def print_notes(measurement):
    for machine in MACHINES:
        for side, values in ("Permafrost", measurement.runs(machine)[0]), ("KVM", measurement.kvm(machine)):
            kinds = sorted(exits_of(values).items(), key=lambda item: -item[1])
            counts = ", ".join(f"{kind} {count:,}" for kind, count in kinds)
            print(f"{machine.title}, exits by reason, {side}: {counts}")
    for machine in MACHINES:
        print(f"{machine.key}: {machine.title} ({machine.description()}), KVM: {measurement.kvm(machine)['host']}")
    print(f"Xen: {XEN}.\n{XEN_TOOLSTACK}.\n{PEER_PORTS}.\n{PEER_BOOTS}.\n{PEER_TINY}.")


def compare(measurement):
    """Prints what differs between the runs; False when something does that must not, or by too much."""
    sound = True
    for machine in MACHINES:
        for key in (m.key for m in METRICS):
            values = [run[key] for run in measurement.runs(machine)]
            apart = max(values) - min(values)
            if apart:
                allowed = SPREAD[machine.key].get(key, 0) * max(values)
                sound = sound and apart <= allowed
                why = "as it may" if apart <= allowed else "ERROR: must not differ so much"
                shown = ", ".join(map(number, values))
                print(f"{machine.title}: {key} differs between the runs by {number(apart)} ({shown}): {why}")
    return sound


def document(measurement, rows):
    """What bench.json holds; `runs` has each run's value, in the order of the runs."""
    machines = {}
    for machine in MACHINES:
        machines[machine.key] = {
            "title": machine.title,
            "model": machine.description(),
            "kvm": measurement.kvm(machine)["host"],
            "exits": exits_of(measurement.runs(machine)[0]),
            "kvm-exits": exits_of(measurement.kvm(machine)),
        }
    metrics = {}
    for m in METRICS:
        sides = {key: row.document() for key, row in rows[m.key].items()}
        metrics[m.key] = {"text": m.text, "xen": m.xen, "aim": m.aim, **sides}
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "host": host_cpu(),
        "unit": "instructions, or what the text names",
        "machines": machines,
        "peers": {"xen": XEN, "notes": [XEN_TOOLSTACK, PEER_PORTS, PEER_BOOTS, PEER_TINY, BELOW_KVM_NOTE]},
        "metrics": metrics,
    }


def report(measurement, path):
    """Prints and writes everything. False when the runs do not agree."""
    rows = rows_of(measurement)
    print_table(rows)
    print_notes(measurement)
    sound = compare(measurement)
    path.write_text(json.dumps(document(measurement, rows), indent=2) + "\n")
    verdicts = [row.verdict for of_metric in rows.values() for row in of_metric.values() if row.goal is not None]
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
    return 0 if report(measurement, args.json) else 1


if __name__ == "__main__":
    sys.exit(main())
