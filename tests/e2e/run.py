"""All tests: hosted unit tests, the off-line tool's, fuzzing, make check, end to end. Ends with "N passed, N failed" and the status.

usage: python3 -m tests.e2e.run [--machine KIND] [--soak] [--only PATTERN] [--skip-unit] [--tool] [UNIT_TEST_PROGRAM ...]
"""
import argparse
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e import test_boot, test_control, test_debian, test_demo, test_disk, test_faults, test_harden, test_hostile, test_install, test_kernels, test_life, test_machine, test_monitor, test_nested, test_net, test_nvdimm, test_nvram, test_pool_cuts, test_ranges, test_scale, test_smp, test_uefi, test_vcpu, test_virtio  # noqa: F401 (they register)
from tests.e2e.harness import Runner, jobs, seed_of_run
from tests.fuzz.run import run_fuzz
from tests.machine import bounded, choose
from tests.machine.emulator import Failure
from tests.machine.progress import Progress
from tests.tool.run import run_tool

UNIT_LIMIT_S = 600  # of CPU time, as CHECK_LIMIT_S for each of its programs
# What the optimised programs in build/heavy/ are to do, in make test and in make soak.
HEAVY = ({"POWER": "13", "CASES": "30000"}, {"POWER": "16", "CASES": "100000"})
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


def run_unit(tally, programs, soak):
    """Two programs at a time; each prints "ok NAME" or "not ok NAME" lines, and one that dies otherwise is a failure of
    its own."""
    tally.progress.note(f"{len(programs)} unit test programs")
    with ThreadPoolExecutor(2) as two:
        for program, done in zip(programs, two.map(lambda program: run_program(program, soak), programs)):
            add_verdicts(tally, program, done)


def run_program(program, soak):
    more = HEAVY[soak] if "/heavy/" in program else {}
    try:
        return bounded.run([program], UNIT_LIMIT_S, capture_output=True, text=True, env={**os.environ, **more})
    except Failure as failure:
        return failure


def add_verdicts(tally, program, done):
    if isinstance(done, Failure):
        tally.add(program, str(done))
        return
    output, status, errors = done.stdout, done.returncode, done.stderr
    name = program.rsplit("/", 1)[-1].removeprefix("test_") + (" heavy" if "/heavy/" in program else "")
    for total in re.findall(r"^# total: .*$", output, re.M):
        print(f"{total} ({name})", flush=True)
    verdicts = re.findall(r"^(ok|not ok) (.*)$", output, re.M)
    for verdict, case in verdicts:
        tally.add(f"unit {name} {case}", None if verdict == "ok" else output[-3000:])
    if status and not any(verdict == "not ok" for verdict, _ in verdicts):
        tally.add(f"unit {name}", f"status {status}\n{output[-1500:]}{errors[-3000:]}")
    if not status and not verdicts:
        tally.add(f"unit {name}", "reports no test")


def run_make(tally, goal):
    tally.progress.note(f"make {goal}")
    began = time.monotonic()
    try:
        done = bounded.run(["make", "-s", goal], CHECK_LIMIT_S, capture_output=True, text=True)
        error = (done.stdout + done.stderr)[-6000:] if done.returncode else None
    except Failure as failure:
        error = str(failure)
    tally.add(goal, error, time.monotonic() - began)


def machines(wanted, everywhere):
    """The kinds of machine that the tests are for: by default QEMU, which is the faster one, Bochs, and a nested one, or
    both."""
    kind, reason = choose.choose(wanted)
    kinds = [kind] if wanted != "auto" else [kind, "bochs", *(choose.NESTED if everywhere else choose.NESTED[:1])]
    print(f"# machines: {', '.join(kinds)} ({reason})", flush=True)
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", default="auto", help="end-to-end tests on this kind of machine only")
    parser.add_argument("--soak", action="store_true", help="more of each, and all tests on all machines")
    parser.add_argument("--only", default="", help="the end-to-end tests whose name matches, on all machines")
    parser.add_argument("--skip-unit", action="store_true", help="end-to-end tests only")
    parser.add_argument("--tool", action="store_true", help="the off-line tool's tests only")
    parser.add_argument("programs", nargs="*")
    args = parser.parse_args()

    seed = seed_of_run()
    print(f"# SEED={seed}", flush=True)
    try:
        everywhere = args.soak or bool(args.only)
        kinds = machines(args.machine, everywhere)
    except ValueError as error:
        print(f"error: {error}")
        return 1
    queue = [] if args.tool else jobs(kinds, everywhere, args.soak, args.only)
    progress = Progress("test")
    tally = Tally(progress)
    if args.tool:
        run_tool(tally, seed)
    elif not args.skip_unit:
        run_unit(tally, args.programs, args.soak)
        run_tool(tally, seed)
        run_fuzz(tally, seed)
        for goal in ("check", "analyze") if args.soak else ("check",):
            run_make(tally, goal)
    runner = Runner(queue, seed, args.soak, lambda r: tally.add(f"e2e {r.name}", r.error, r.seconds))
    runner.run(progress.note)
    progress.clear()
    if tally.failed:
        print("failed: " + ", ".join(tally.failed))
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
