"""make run as a user has it: without a terminal the demonstration, twice; with one a shell in the guest."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test


def run_command(t):
    return ["python3", "-B", "-m", "tests.machine.cli", "run", "--machine", t.kind, "--folder", str(t.folder / "run")]


@test(core=True)
def test_demo(t):
    """The second run shows what the first one stored."""
    for boots in (1, 2):
        done = subprocess.run(
            run_command(t),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * BOOT_LIMIT_S,
        )
        equal(done.returncode, 0, f"status of run {boots}: {done.stdout[-2000:]}{done.stderr[-500:]}")
        check(f"PF-TEST: demo ok boots={boots}" in done.stdout, f"run {boots} says {done.stdout[-2000:]}")
    check("the last: boot 1: stored by Linux" in done.stdout, "the second run does not show what the first stored")
    shutil.rmtree(t.folder / "run")


@test()
def test_shell(t):
    """A terminal on stdin ends in the guest's shell on the NVRAM, and typing reaches it."""
    master, slave = pty.openpty()
    process = subprocess.Popen(run_command(t), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        text = read_until(master, "", r"/pmem ?# ?$", BOOT_LIMIT_S)
        check("mounted at /pmem with DAX" in text, f"no file system: {text[-1000:]}")
        os.write(master, b"echo sum $((6 * 7)) in $(pwd)\r")
        read_until(master, "", r"sum 42 in /pmem\r", 60)
        os.write(master, b"exit\r")
        equal(process.wait(60), 0, "status of make run")
    finally:
        if process.poll() is None:
            os.write(master, b"\x1c")  # its own power cut: it ends its emulator
            process.wait(30)
        os.close(master)
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
