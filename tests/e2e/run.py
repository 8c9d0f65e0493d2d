"""All tests: the hosted unit tests, the off-line tool's, make check, the end-to-end tests. Ends with "N passed, N failed" and the status.

usage: python3 -m tests.e2e.run [--soak] [--only PATTERN] [--skip-unit] [--tool] [UNIT_TEST_PROGRAM ...]
"""
import argparse
import random
import re
import shutil
import subprocess
import sys
import time
import traceback

from tests.e2e import test_boot, test_demo, test_faults, test_machine, test_nvram  # noqa: F401 (they register)
from tests.e2e.harness import TESTS, Runner, seed_of_run
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD
from tests.machine.progress import Progress
from tests.tool import test_nvpool

UNIT_LIMIT_S = 300
CHECK_LIMIT_S = 900


class Tally:
    def __init__(self, progress):
        self.passed = 0
        self.failed = []
        self.progress = progress

    def add(self, name, error=None, seconds=None):
        took = "" if seconds is None else f" ({seconds:.1f} s)"
        self.progress.clear()
        if error is None:
            self.passed += 1
            print(f"ok {name}{took}", flush=True)
        else:
            self.failed.append(name)
            print(f"not ok {name}{took}\n    {error.strip()}", flush=True)


def run_unit(tally, programs):
    """Each program prints "ok NAME" or "not ok NAME" lines; one that dies otherwise is a failure of its own."""
    for program in programs:
        tally.progress.note(f"unit tests: {program}")
        try:
            done = subprocess.run([program], capture_output=True, text=True, timeout=UNIT_LIMIT_S)
            output, status = done.stdout, done.returncode
            errors = done.stderr
        except subprocess.TimeoutExpired:
            tally.add(program, f"still runs after {UNIT_LIMIT_S} s")
            continue
        name = program.rsplit("/", 1)[-1].removeprefix("test_")
        verdicts = re.findall(r"^(ok|not ok) (.*)$", output, re.M)
        for verdict, case in verdicts:
            tally.add(f"unit {name} {case}", None if verdict == "ok" else output[-3000:])
        if status and not any(verdict == "not ok" for verdict, _ in verdicts):
            tally.add(f"unit {name}", f"status {status}\n{output[-1500:]}{errors[-3000:]}")
        if not status and not verdicts:
            tally.add(f"unit {name}", "reports no test")


def run_tool(tally, seed):
    """The off-line tool's tests, each in a folder of its own."""
    for function in test_nvpool.TESTS:
        name = function.__name__.removeprefix("test_")
        folder = BUILD / "tool-tests" / name
        tally.progress.note(f"tool: {name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        error = None
        try:
            function(folder, random.Random(f"{seed} {name}"))
            shutil.rmtree(folder)
        except Failure as failure:
            error = str(failure)
        except Exception:  # a broken test is a failed one
            error = traceback.format_exc()
        tally.add(f"tool {name}", error, time.monotonic() - began)


def run_check(tally):
    tally.progress.note("make check")
    began = time.monotonic()
    done = subprocess.run(["make", "-s", "check"], capture_output=True, text=True, timeout=CHECK_LIMIT_S)
    error = (done.stdout + done.stderr)[-6000:] if done.returncode else None
    tally.add("check", error, time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--skip-unit", action="store_true", help="end-to-end tests only")
    parser.add_argument("--tool", action="store_true", help="the off-line tool's tests only")
    parser.add_argument("programs", nargs="*")
    args = parser.parse_args()

    seed = seed_of_run()
    print(f"# SEED={seed}", flush=True)
    progress = Progress("test")
    tally = Tally(progress)
    if not args.skip_unit and not args.tool:
        run_unit(tally, args.programs)
    if not args.skip_unit:
        run_tool(tally, seed)
    if not args.skip_unit and not args.tool:
        run_check(tally)
    tests = [] if args.tool else [t for t in TESTS if (args.soak or not t.soak) and re.search(args.only, t.__name__)]
    runner = Runner(tests, seed, args.soak, lambda r: tally.add(f"e2e {r.name}", r.error, r.seconds))
    runner.run(progress.note)
    progress.clear()
    if tally.failed:
        print("failed: " + ", ".join(tally.failed))
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
