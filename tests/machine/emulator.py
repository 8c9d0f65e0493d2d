"""One run of an emulator: the process, its serial line both ways, waiting with a bound, power cuts, and how it ended.

Every bound is for hangs and holds on a loaded machine: see OwnTime.
"""
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_LIMIT_S = 300  # until an emulator has opened its lines
LOOK_S = 1  # how often its own time is looked at


class Failure(Exception):
    """A run did not do what was expected; the text says what, and shows the end of the serial log."""


class OwnTime:
    """Seconds of a process's own time: those of the clock, less those in which one of its threads was ready to run and
    got no CPU, as the kernel tells (Documentation/scheduler/sched-stats.rst in Linux). A process that waits for its own
    timers, or for nothing at all, has all of the clock's."""

    def __init__(self, pid):
        self.folder = Path(f"/proc/{pid}/task")
        self.waited = {}  # nanoseconds in the run queue, by thread
        self.at = time.monotonic()
        self.own = 0.0

    def read(self):
        waited = {}
        try:
            for thread in self.folder.iterdir():
                waited[thread.name] = int((thread / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # it ends, or the kernel does not tell
            pass
        return waited

    def now(self):
        """To be called often: since the last call the thread that waited most counts. A wait is told when it is over, so
        that this may go back."""
        waited, at = self.read(), time.monotonic()
        lost = max([0, *(ns - self.waited.get(name, 0) for name, ns in waited.items())]) / 1e9
        self.own += at - self.at - lost
        self.at, self.waited = at, waited
        return self.own


class Emulator:
    """Started by a subclass' launch(). Use as a context manager: leaving it kills this process and no other.

    log     everything the serial line said so far (bytes decoded as latin-1)
    name    shown in messages

    Limits and times are seconds of its own time, and hold for one CPU: `share` is how many CPUs of its machine take turns
    on one of ours, whose times are as much longer.
    """

    def __init__(self, name, workdir, watch=None, share=1):
        self.name = name
        self.workdir = workdir
        self.watch = watch  # called with each piece of serial output
        self.log = ""
        self.line = None
        self.process = None
        self.share = share
        self.clock = None  # its OwnTime
        self.tick = None  # called now and then while waiting
        self.fatal = None  # a pattern after which no answer is worth waiting for
        self.position = 0  # where the next expect() begins to look

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cut()

    def spawn(self, command, listener, env=None):
        """Runs the command; its serial line connects to `listener`, whose first connection is taken."""
        output = open(self.workdir / "emulator.txt", "wb")
        self.process = subprocess.Popen(
            # setpriv replaces itself by the command; the emulator then ends with us, however we end.
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.workdir,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # a Ctrl-C in the terminal is for us to handle
        )
        output.close()
        self.clock = OwnTime(self.process.pid)
        deadline = self.now() + START_LIMIT_S
        listener.settimeout(0.2)
        while True:
            try:
                self.line, _ = listener.accept()
                break
            except TimeoutError:
                if self.process.poll() is not None or self.now() > deadline:
                    self.cut()
                    raise Failure(f"{self.name}: did not start: {self.output()[-600:]}") from None
        listener.close()
        self.line.setblocking(False)

    def now(self):
        """Seconds of its own time since it was started."""
        return self.clock.now() / self.share

    def output(self):
        return (self.workdir / "emulator.txt").read_text(errors="replace")

    def fileno(self):
        return self.line.fileno()

    def pump(self, timeout):
        """Takes what the serial line has to say within `timeout` seconds of the clock, LOOK_S at the most; False once the
        line is closed."""
        if self.tick:
            self.tick()
        if self.line is None:
            return False
        if not select.select([self.line], [], [], max(0, min(timeout, LOOK_S)))[0]:
            return True
        try:
            data = self.line.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.line.close()
            self.line = None
            return False
        text = data.decode("latin-1")
        self.log += text
        with open(self.workdir / "serial.txt", "ab") as copy:
            copy.write(data)
        if self.watch:
            self.watch(text)
        return True

    def until(self, holds, timeout, what):
        """Waits until holds() is true, and returns what it gave; Failure that tells `what` when the time or the machine
        ends. What the line has said by the end of the time counts."""
        deadline = self.now() + timeout
        while True:
            found = holds()
            if found:
                return found
            late = self.now() > deadline
            size = len(self.log)
            if not self.pump(0 if late else LOOK_S):
                found = holds()
                if found:
                    return found
                raise self.failure(f"ended ({self.wait_end(START_LIMIT_S)}) without {what}")
            if late and len(self.log) == size:
                raise self.failure(f"no {what} within {timeout} s of its own time")

    def expect(self, pattern, timeout):
        """The match of the pattern in the whole lines after the last match; Failure when the time or the machine ends.
        A line counts once it is complete, so that a number cut short is never taken for a value."""
        regex = re.compile(pattern, re.M)

        def holds():
            if self.line is None:
                self.log += "\n" * (not self.log.endswith("\n"))
            match = regex.search(self.log, self.position, self.log.rfind("\n") + 1)
            if match:
                return match
            bad = self.fatal and re.search(self.fatal, self.log, re.M)
            if bad:
                raise self.failure(f"{bad[0].strip()!r} while waiting for {pattern!r}")
            return None

        match = self.until(holds, timeout, repr(pattern))
        self.position = match.end()
        return match

    def failure(self, what):
        tail = "\n".join("    | " + line for line in self.log.splitlines()[-25:])
        return Failure(f"{self.name}: {what}; the serial line ends with\n{tail}")

    def send(self, text):
        data = text.encode("latin-1")
        while data:
            select.select([], [self.line], [], 10)
            data = data[self.line.send(data[:16]) :]

    def run_for(self, seconds):
        """Lets it run on for a while of its own time, e.g. up to a power cut."""
        deadline = self.now() + seconds
        while (left := deadline - self.now()) > 0:
            if not self.pump(left):
                return

    def wait_end(self, timeout):
        """Waits for the machine to end by itself; returns how: see ending()."""
        deadline = self.now() + timeout
        while self.pump(LOOK_S):
            if self.process.poll() is None and self.now() > deadline:
                raise self.failure(f"still runs after {timeout} s of its own time")
        while self.process.poll() is None:
            if self.now() > deadline:
                raise self.failure(f"still runs after {timeout} s of its own time")
            time.sleep(0.05)
        return self.ending()

    def ending(self):
        raise NotImplementedError

    def cut(self):
        """The power cut: SIGKILL to this one process, at this moment. What the line still held is in the log."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        while self.line is not None and self.pump(0.05) and select.select([self.line], [], [], 0)[0]:
            pass
        if self.line is not None:
            self.line.close()
            self.line = None

    def interact(self):
        """Joins the terminal to the serial line until the machine ends; Ctrl-\\ is the power cut."""
        import termios
        import tty

        stdin = sys.stdin.fileno()
        saved = termios.tcgetattr(stdin)
        tty.setraw(stdin)
        try:
            while self.line is not None:
                ready = select.select([self.line, stdin], [], [], 5)[0]
                if stdin in ready:
                    typed = os.read(stdin, 256)
                    if not typed or b"\x1c" in typed:
                        self.cut()
                        return "cut"
                    self.send(typed.decode("latin-1"))
                self.pump(0)
        finally:
            termios.tcsetattr(stdin, termios.TCSADRAIN, saved)
        return self.wait_end(START_LIMIT_S)


def listen_tcp():
    """A listener on a free port of the loop-back address, and that port. (A UNIX socket is full after some 280 writes of
    a byte each, which is what a serial port does; QEMU then drops what comes while nobody reads.)"""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener, listener.getsockname()[1]
