"""What end-to-end tests are made of: the list of them, the context each runs in, checked values, and the runner."""
import os
import random
import re
import shutil
import threading
import time
import traceback
from dataclasses import replace

from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, entry, standard_files

BOOT_LIMIT_S = 240  # two emulators and the rest of a test run share two cores

FATAL = r"^PF-TEST: \S+ FAIL.*$|panic: .*$"

TESTS = []


def test(soak=False, long=False):
    """Registers a function(context) as a test. With soak it runs in make soak only. Long ones begin first, so that none
    is left running alone at the end."""

    def register(function):
        function.soak = soak
        function.long = long
        TESTS.append(function)
        return function

    return register


def check(holds, what):
    if not holds:
        raise Failure(what)


def equal(found, expected, what):
    check(found == expected, f"{what}: {found!r} where {expected!r} was expected")


class Context:
    """A test's own folder with its machines (lab), its random numbers (random) and its notes."""

    def __init__(self, name, seed, soak):
        self.name = name
        self.soak = soak
        self.random = random.Random(f"{seed} {name}")
        self.folder = BUILD / "e2e" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lab = Lab(self.folder)

    def boot(self, setup, *vms, options="console=com1 exit=poweroff", files=None):
        """Starts Permafrost with these VMs; `files` adds to or replaces the standard ones on the ISO."""
        named = {**standard_files(), **(files or {})}
        lines = entry(*vms, options=options)
        wanted = {name: path for name, path in named.items() if re.search(rf"/boot/{re.escape(name)}\b", "\n".join(lines))}
        return self.start(setup, self.lab.iso(lines, wanted))

    def start(self, setup, iso):
        """Switches the machine on (again) with this ISO. What it must never say ends the test at once."""
        machine = self.lab.start(setup, iso)
        machine.fatal = FATAL
        return machine


def bochs(**changes):
    return replace(Setup(kind="bochs"), **changes)


class Result:
    def __init__(self, name, error, seconds):
        self.name, self.error, self.seconds = name, error, seconds


def run_one(function, seed, soak):
    began = time.monotonic()
    error = None
    try:
        context = Context(function.__name__.removeprefix("test_"), seed, soak)
        function(context)
        context.lab.forget()
    except Failure as failure:
        error = str(failure)
    except Exception:  # a broken test is a failed one
        error = traceback.format_exc()
    return Result(function.__name__.removeprefix("test_"), error, time.monotonic() - began)


class Runner:
    """Runs the tests with at most `jobs` at a time, in the order given; report(result) is called as each ends."""

    def __init__(self, tests, seed, soak, report, jobs=2):
        self.queue = list(tests)
        self.running = {}
        self.lock = threading.Lock()
        self.seed, self.soak, self.report = seed, soak, report
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(jobs)]

    def work(self):
        while True:
            with self.lock:
                if not self.queue:
                    return
                function = self.queue.pop(0)
                self.running[function.__name__.removeprefix("test_")] = time.monotonic()
            result = run_one(function, self.seed, self.soak)
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
