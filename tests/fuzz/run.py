"""Runs the fuzz targets, two at a time: each replays its committed corpus and then fuzzes.

usage: python3 -m tests.fuzz.run [--seconds N] [--only PATTERN] [--merge]
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.machine import bounded
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, ROOT

HERE = ROOT / "tests" / "fuzz"
OUT = BUILD / "fuzz"
TEST_SECONDS = 5  # of each target in make test
JOBS = 2
LIMITS = ["-timeout=300", "-rss_limit_mb=1024"]  # an input takes milliseconds
LIMIT_S = 600  # of CPU time, replay and all
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=32"}
HEX_MAX = 256  # bytes of an input that are shown


class Target:
    def __init__(self, source):
        self.name = source.stem.removeprefix("fuzz_")
        self.program = OUT / source.stem
        self.committed = HERE / "corpus" / self.name
        self.found = OUT / "corpus" / self.name
        self.dictionary = HERE / f"{self.name}.dict"

    def command(self, *options):
        words = [f"-dict={self.dictionary}"] if self.dictionary.exists() else []
        return [self.program, *LIMITS, *words, *options]


def targets(only=""):
    return [t for t in map(Target, sorted(HERE.glob("fuzz_*.c"))) if re.search(only, t.name)]


def describe(artifact):
    data = artifact.read_bytes()
    more = f" ... ({len(data)} bytes)" if len(data) > HEX_MAX else ""
    return f"input {artifact.relative_to(ROOT)}: {data[:HEX_MAX].hex()}{more}"


def fuzz(target, seconds, seed):
    """Returns what was done in words, the error or None, and the seconds it took."""
    began = time.monotonic()
    files = len(list(target.committed.glob("*")))
    for old in OUT.glob(f"{target.name}-*"):
        old.unlink()
    target.found.mkdir(parents=True, exist_ok=True)
    command = target.command(
        f"-seed={seed}", f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={OUT}/{target.name}-",
        target.found, *([target.committed] if files else []),
    )
    with open(OUT / f"{target.name}.log", "w") as log:
        try:
            status = bounded.run(command, seconds + LIMIT_S, stdout=log, stderr=log, env=ENVIRONMENT).returncode
        except Failure as failure:
            status = f"none: {failure}"
    text = (OUT / f"{target.name}.log").read_text(errors="replace")
    runs = re.findall(r"number_of_executed_units: (\d+)", text)
    reached = re.findall(r"cov: (\d+)", text)
    told = f"{runs[-1] if runs else '?'} inputs, {files} of them committed, {reached[-1] if reached else '?'} edges"
    artifacts = sorted(OUT.glob(f"{target.name}-*"))
    if not files:
        return told, "no corpus is committed for it", time.monotonic() - began
    if status == 0 and not artifacts:
        return told, None, time.monotonic() - began
    error = "\n    ".join([f"status {status}, seed {seed}", *map(describe, artifacts), finding(text)])
    return told, error, time.monotonic() - began


def finding(text):
    """The log from the first line that tells what is wrong."""
    first = re.search(r"^.*(broken promise|runtime error|: panic|ERROR: ).*$", text, re.M)
    return text[first.start():][:3000] if first else text[-1500:]


def run_fuzz(tally, seed, only="", seconds=TEST_SECONDS, fresh=True):
    """fresh: forget what earlier runs have found, so that the result does not depend on them."""
    if fresh:
        shutil.rmtree(OUT / "corpus", ignore_errors=True)
    queue = targets(only)
    tally.progress.note(f"fuzz: {len(queue)} targets, {seconds} s each")
    number = seed & 0x7FFFFFFF or 1  # libFuzzer takes 0 as "choose one"
    with ThreadPoolExecutor(JOBS) as pool:
        for target, done in zip(queue, pool.map(lambda t: fuzz(t, seconds, number), queue)):
            told, error, took = done
            tally.add(f"fuzz {target.name}" + ("" if error else f": {told}"), error, took)


def merge(target):
    """Replace the committed corpus by the smallest set that reaches the same edges, with what was found lately. Inputs
    that have a name stay: they were made by hand, for a border."""
    new = OUT / "merged" / target.name
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    target.found.mkdir(parents=True, exist_ok=True)
    sources = [folder for folder in (target.committed, target.found) if folder.exists()]
    subprocess.run(target.command("-merge=1", "-use_counters=0", new, *sources), check=True, capture_output=True)
    target.committed.mkdir(parents=True, exist_ok=True)
    for old in target.committed.glob("*"):
        if re.fullmatch("[0-9a-f]{40}", old.name):
            old.unlink()
    shutil.copytree(new, target.committed, dirs_exist_ok=True)
    size = sum(f.stat().st_size for f in target.committed.glob("*"))
    print(f"{target.name}: {len(list(target.committed.glob('*')))} inputs, {size} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together, two at a time")
    parser.add_argument("--only", default="", help="the targets whose name matches")
    parser.add_argument("--merge", action="store_true", help="make the corpus anew, of what was found")
    args = parser.parse_args()
    if args.merge:
        for target in targets(args.only):
            merge(target)
        return 0

    from tests.e2e.harness import seed_of_run
    from tests.e2e.run import Tally  # which itself imports this file
    from tests.machine.progress import Progress

    seed = seed_of_run()
    print(f"# SEED={seed}", flush=True)
    tally = Tally(Progress("fuzz"))
    each = max(1, args.seconds * JOBS // max(1, len(targets(args.only))))
    run_fuzz(tally, seed, args.only, each, fresh=False)
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
