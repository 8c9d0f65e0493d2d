"""What end-to-end tests are made of: the list of them, the context each runs in, checked values, and the runner."""
import os
import random
import re
import shutil
import threading
import time
import traceback
from dataclasses import dataclass

from tests.machine import choose
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, entry, standard_files
from tests.machine.memory import Nvdimm

BOOT_LIMIT_S = 240  # of the emulator's own time: for hangs

FATAL = r"^PF-TEST: \S+ FAIL.*$|panic: .*$"

NVDIMMS = (Nvdimm(256), Nvdimm(64), Nvdimm(64))  # where NVRAM is to outlive a machine of QEMU's

TESTS = []
BOTH, BOCHS, QEMU, NONE = ("qemu", "bochs"), ("bochs",), ("qemu",), ("",)
NESTED = choose.NESTED  # in KVM on an emulated host; a run for such a machine alone has the tests for BOTH as well


def test(on=BOTH, core=False, soak=False, long=False):
    """Registers a function(context) as a test. `on` are the machines it makes sense on; qemu-kvm counts as qemu, and
    NONE boots no machine. A core test runs on all of its machines in `make test`, the others there on the first
    machine only. With soak it runs in make soak only. Long ones begin first, so that none is left running alone at the
    end."""

    def register(function):
        function.on = on
        function.core = core
        function.soak = soak
        function.long = long
        TESTS.append(function)
        return function

    return register


@dataclass(frozen=True)
class Job:
    """A test on one kind of machine (choose.KINDS), or on none."""

    function: object
    kind: str

    @property
    def test(self):
        return self.function.__name__.removeprefix("test_")

    @property
    def name(self):
        return f"{self.test} on {self.kind}" if self.kind else self.test


def family(kind):
    """bochs or qemu, the latter with or without KVM."""
    return "bochs" if kind == "bochs" else "qemu"


def kinds_for(function, kinds, everywhere):
    """Which of the kinds of machine this test is to run on."""
    if function.on == NONE:
        return [""]
    fit = [kind for kind in kinds if (kind if kind in NESTED else family(kind)) in function.on]
    if function.on == BOTH and kinds[0] in NESTED:
        fit = kinds
    return fit if everywhere or function.core else fit[:1]


def jobs(kinds, everywhere, soak=False, only=""):
    """The Jobs of a run, long ones first. kinds: the machines, the first one being the one that gets all tests; with
    `everywhere` each gets all that make sense on it. A pattern `only` is looked for in their names."""
    wanted = [function for function in TESTS if soak or not function.soak]
    found = [Job(function, kind) for function in wanted for kind in kinds_for(function, kinds, everywhere)]
    return sorted((job for job in found if re.search(only, job.name)), key=lambda job: not job.function.long)


def check(holds, what):
    if not holds:
        raise Failure(what)


def equal(found, expected, what):
    check(found == expected, f"{what}: {found!r} where {expected!r} was expected")


class Context:
    """A test's own folder with its machines (lab), the kind of machine it is to use (kind), its random numbers (random)
    and its notes."""

    def __init__(self, job, seed, soak):
        self.name = job.name
        self.kind = job.kind
        self.soak = soak
        self.random = random.Random(f"{seed} {job.name}")
        self.folder = BUILD / "e2e" / job.name.replace(" ", "-")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lab = Lab(self.folder)

    @property
    def family(self):
        return family(self.kind)

    def setup(self, **changes):
        """This run's machine; `changes` are fields of Setup. In KVM it keeps its NVRAM in NVDIMMs only."""
        if self.kind in NESTED and changes.get("keep"):
            changes = {"rom": False, "nvdimms": NVDIMMS, **changes}
        return Setup(kind=self.kind, **changes)

    def lasting(self, **changes):
        """This run's machine with NVRAM for power cuts: on QEMU three NVDIMMs, on Bochs the option ROM's ranges."""
        if self.family == "qemu":
            return self.setup(keep=True, rom=False, nvdimms=NVDIMMS, **changes)
        return self.setup(keep=True, **changes)

    def boot(self, setup, *vms, options="console=com1 exit=poweroff", files=None, before=()):
        """Starts Permafrost with these VMs, by default with the log's tables and counters, loglevel=info; `files` adds to
        or replaces the standard ones on the ISO. GRUB runs the lines `before` first."""
        if "loglevel=" not in options:
            options += " loglevel=info"
        named = {**standard_files(), **(files or {})}
        lines = [*before, *entry(*vms, options=options)]
        wanted = {name: path for name, path in named.items() if re.search(rf"/boot/{re.escape(name)}\b", "\n".join(lines))}
        return self.start(setup, self.lab.iso(lines, wanted))

    def start(self, setup, iso):
        """Switches the machine on (again) with this ISO. What it must never say ends the test at once."""
        machine = self.lab.start(setup, iso)
        machine.fatal = FATAL
        return machine


class Result:
    def __init__(self, name, error, seconds):
        self.name, self.error, self.seconds = name, error, seconds


def run_one(job, seed, soak):
    began = time.monotonic()
    error = None
    context = Context(job, seed, soak)
    try:
        job.function(context)
        context.lab.forget()
    except Failure as failure:
        error = str(failure)
    except Exception:  # a broken test is a failed one
        error = traceback.format_exc()
    context.lab.close()
    return Result(job.name, error, time.monotonic() - began)


class Runner:
    """Runs the jobs with at most `hands` at a time, in the order given; report(result) is called as each ends."""

    def __init__(self, queue, seed, soak, report, hands=2):
        self.queue = list(queue)
        self.running = {}
        self.lock = threading.Lock()
        self.seed, self.soak, self.report = seed, soak, report
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(hands)]

    def work(self):
        while True:
            with self.lock:
                if not self.queue:
                    return
                job = self.queue.pop(0)
                self.running[job.name] = time.monotonic()
            result = run_one(job, self.seed, self.soak)
            with self.lock:
                del self.running[result.name]
                self.report(result)

    def run(self, tick):
        for thread in self.threads:
            thread.start()
        while any(thread.is_alive() for thread in self.threads):
            with self.lock:
                names = ", ".join(f"{n} ({time.monotonic() - since:.0f} s)" for n, since in self.running.items())
                left = len(self.queue)
            tick(f"{names}; {left} more")
            for thread in self.threads:
                thread.join(0.5)


def seed_of_run():
    """$SEED, or one from the clock."""
    return int(os.environ.get("SEED") or time.time())
