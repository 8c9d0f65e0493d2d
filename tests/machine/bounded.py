"""A program with a bound on its CPU time, which holds on a loaded machine as on an idle one."""
import subprocess

from tests.machine.emulator import Failure

ASLEEP = 20  # times the bound, of the clock: for a program that waits for something that never comes


def run(command, limit_s, **options):
    """subprocess.run() of the command. Each of its processes is killed after limit_s seconds of CPU time; Failure when it
    neither computes nor ends."""
    words = ["prlimit", f"--cpu={limit_s}", *map(str, command)]
    try:
        return subprocess.run(words, timeout=ASLEEP * limit_s, **options)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words[2:])}: is there after {ASLEEP * limit_s} s, of which it used less than {limit_s}") from None
