"""make run as a user has it: without a terminal the demonstration, twice; with one a shell in the guest."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

from tests.e2e.harness import check, equal, test

HANGS_S = 1800  # of the clock, however loaded the machine is: nobody here knows what the emulator has executed


def run_command(t):
    return ["python3", "-B", "-m", "tests.machine.cli", "run", "--machine", t.kind, "--folder", str(t.folder / "run")]


@test()
def test_demo(t):
    """The second run shows what the first one stored."""
    for boots in (1, 2):
        done = subprocess.run(
            run_command(t),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANGS_S,
        )
        equal(done.returncode, 0, f"status of run {boots}: {done.stdout[-2000:]}{done.stderr[-500:]}")
        check(f"PF-TEST: demo ok boots={boots}" in done.stdout, f"run {boots} says {done.stdout[-2000:]}")
    check("the last: boot 1: stored by Linux" in done.stdout, "the second run does not show what the first stored")
    shutil.rmtree(t.folder / "run")


POWER_CUT = b"\x1c"  # Ctrl-\


@contextmanager
def terminal_run(t):
    """make run on a terminal, up to the prompt of the guest's shell (which asks where the cursor is): the terminal's
    other end, what was said, and the process."""
    master, slave = pty.openpty()
    process = subprocess.Popen(run_command(t), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        yield master, read_until(master, "", r"/pmem ?# ?(\x1b\[6n)?$", HANGS_S), process
    finally:
        if process.poll() is None:
            os.write(master, POWER_CUT)  # ends its emulator
            process.wait(HANGS_S)
        os.close(master)


@test()
def test_shell(t):
    """A terminal on stdin ends in the guest's shell on the NVRAM, and typing reaches it. What was synced is there after
    a power cut by Ctrl-\\."""
    with terminal_run(t) as (terminal, text, process):
        check("mounted at /pmem with DAX" in text, f"no file system: {text[-1000:]}")
        os.write(terminal, b"echo sum $((6 * 7)) in $(pwd) >note; sync; cat note\r")
        read_until(terminal, "", r"\nsum 42 in /pmem\r", HANGS_S)
        os.write(terminal, POWER_CUT)
        read_until(terminal, "", r"run: the machine ended: cut", HANGS_S)
        equal(process.wait(HANGS_S), 0, "status of make run after the power cut")
    with terminal_run(t) as (terminal, _, process):
        os.write(terminal, b"cat note\r")
        read_until(terminal, "", r"\nsum 42 in /pmem\r", HANGS_S)
        os.write(terminal, b"exit\r")
        equal(process.wait(HANGS_S), 0, "status of make run")
    shutil.rmtree(t.folder / "run")


def read_until(fd, text, pattern, timeout):
    deadline = time.monotonic() + timeout
    while not re.search(pattern, text):
        check(time.monotonic() < deadline, f"no {pattern!r} on the terminal: {text[-1500:]}")
        if select.select([fd], [], [], 1)[0]:
            try:
                text += os.read(fd, 65536).decode("latin-1")
            except OSError:  # EIO: the other side is closed
                check(False, f"the terminal was closed: {text[-1500:]}")
    return text
