"""Progress of long steps on stderr: elapsed seconds and what is waited for; one line now and then without a terminal."""
import sys
import time


class Progress:
    """note(what) sets what is waited for; tick() is called often and shows it when nothing else was shown lately."""

    def __init__(self, title, stream=sys.stderr):
        self.title = title
        self.stream = stream
        self.live = stream.isatty()
        self.began = time.monotonic()
        self.quiet_since = self.began
        self.what = "starts"
        self.drawn = False

    def note(self, what):
        self.what = what
        self.tick()

    def tick(self):
        now = time.monotonic()
        if now - self.quiet_since < (1 if self.live else 15):
            return
        self.quiet_since = now
        text = f"[{now - self.began:4.0f} s] {self.title}: {self.what}"
        self.stream.write(f"\r{text}\x1b[K" if self.live else f"{text}\n")
        self.stream.flush()
        self.drawn = self.live

    def clear(self):
        """Other output follows: takes the live line away and waits for silence again."""
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.drawn = False
        self.quiet_since = time.monotonic()
