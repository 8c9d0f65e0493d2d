"""One run of an emulator: the process, its serial line both ways, waiting with a bound, power cuts, and how it ended."""
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time


class Failure(Exception):
    """A run did not do what was expected; the text says what, and shows the end of the serial log."""


class Emulator:
    """Started by a subclass' launch(). Use as a context manager: leaving it kills this process and no other.

    log     everything the serial line said so far (bytes decoded as latin-1)
    name    shown in messages
    """

    def __init__(self, name, workdir, watch=None):
        self.name = name
        self.workdir = workdir
        self.watch = watch  # called with each piece of serial output
        self.log = ""
        self.line = None
        self.process = None
        self.started = time.monotonic()
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
        deadline = time.monotonic() + 60
        listener.settimeout(0.2)
        while True:
            try:
                self.line, _ = listener.accept()
                break
            except TimeoutError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.cut()
                    raise Failure(f"{self.name}: did not start: {self.output()[-600:]}") from None
        listener.close()
        self.line.setblocking(False)

    def output(self):
        return (self.workdir / "emulator.txt").read_text(errors="replace")

    def fileno(self):
        return self.line.fileno()

    def pump(self, timeout):
        """Takes what the serial line has to say within `timeout` seconds; False once the line is closed."""
        if self.tick:
            self.tick()
            timeout = min(timeout, 1)
        if self.line is None:
            return False
        if not select.select([self.line], [], [], max(0, timeout))[0]:
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

    def expect(self, pattern, timeout):
        """The match of the pattern in the whole lines after the last match; Failure when the time or the machine ends.
        A line counts once it is complete, so that a number cut short is never taken for a value."""
        deadline = time.monotonic() + timeout
        regex = re.compile(pattern, re.M)
        while True:
            match = regex.search(self.log, self.position, self.log.rfind("\n") + 1)
            if match:
                self.position = match.end()
                return match
            bad = self.fatal and re.search(self.fatal, self.log, re.M)
            if bad:
                raise self.failure(f"{bad[0].strip()!r} while waiting for {pattern!r}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.failure(f"no {pattern!r} within {timeout} s")
            if not self.pump(min(left, 5)):
                self.log += "\n" * (not self.log.endswith("\n"))
                if not regex.search(self.log, self.position):
                    raise self.failure(f"ended ({self.wait_end(10)}) without {pattern!r}")

    def failure(self, what):
        tail = "\n".join("    | " + line for line in self.log.splitlines()[-25:])
        return Failure(f"{self.name}: {what}; the serial line ends with\n{tail}")

    def send(self, text):
        data = text.encode("latin-1")
        while data:
            select.select([], [self.line], [], 10)
            data = data[self.line.send(data[:16]) :]

    def run_for(self, seconds):
        """Lets it run on for a while, e.g. up to a power cut."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.pump(deadline - time.monotonic()):
                return

    def wait_end(self, timeout):
        """Waits for the machine to end by itself; returns how: see ending()."""
        deadline = time.monotonic() + timeout
        while self.pump(min(1, max(0.05, deadline - time.monotonic()))):
            if self.process.poll() is None and time.monotonic() > deadline:
                raise self.failure(f"still runs after {timeout} s")
        try:
            self.process.wait(max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self.failure(f"still runs after {timeout} s") from None
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
                if self.line in ready:
                    self.pump(0)
        finally:
            termios.tcsetattr(stdin, termios.TCSADRAIN, saved)
        return self.wait_end(20)


def listen_tcp():
    """A listener on a free port of the loop-back address, and that port. (A UNIX socket is full after some 280 writes of
    a byte each, which is what a serial port does; QEMU then drops what comes while nobody reads.)"""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener, listener.getsockname()[1]
