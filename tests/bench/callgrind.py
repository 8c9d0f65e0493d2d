"""A hosted program, phase by phase: exact instruction counts under callgrind and times at full speed, by measure(). The
program ends each phase with CALLGRIND_DUMP_STATS_AT(label), and starts it with CALLGRIND_ZERO_STATS. Counted is only what
the functions named by the caller execute, with all they call. Threads run in turns there, so a spinning one spins outside
of what is counted."""
import re
import tempfile
from pathlib import Path

from tests.machine import bounded

COUNT_LIMIT_S = 300  # of CPU time, both
LIMIT_S = 120


class Error(Exception):
    """valgrind or the program failed."""


def read_dump(text):
    """(label, instructions) of one dump file, or None when no phase's end made it."""
    label = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
    return (label[1], int(total[1])) if label and total else None


def run(command, name, limit_s):
    """What the command prints."""
    done = bounded.run(command, limit_s, capture_output=True, text=True)
    if done.returncode:
        raise Error(f"{name}: status {done.returncode}\n{done.stderr[-1500:]}")
    return done.stdout


def count(program, functions):
    """{label: instructions} of one round. The functions must not call each other: each entry and each return turns the
    counting."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [f"--toggle-collect={name}" for name in functions]
        run([*command, program, "1"], f"{program} under callgrind", COUNT_LIMIT_S)
        dumps = [read_dump(path.read_text()) for path in sorted(Path(folder).iterdir())]
    return dict(dump for dump in dumps if dump)


def measure(program, functions, rounds, phase):
    """({label: instructions} of one round, {label: [phase(*numbers) a round]} of rounds at full speed). The program
    takes the number of rounds, and prints a line of a label and numbers for each phase."""
    phases = {}
    for line in run([program, str(rounds)], program, LIMIT_S).splitlines():
        label, *numbers = line.split()
        phases.setdefault(label, []).append(phase(*map(int, numbers)))
    return count(program, functions), phases
