"""Exact instruction counts of a hosted program, phase by phase: callgrind.run(). The program ends each phase with
CALLGRIND_DUMP_STATS_AT(label), and starts it with CALLGRIND_ZERO_STATS. Counted is only what the functions named by the
caller execute, with all they call. Threads run in turns there, so a spinning one spins outside of what is counted."""
import re
import subprocess
import tempfile
from pathlib import Path


class Error(Exception):
    """valgrind or the program failed."""


def read_dump(text):
    """(label, instructions) of one dump file, or None when no phase's end made it."""
    label = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
    return (label[1], int(total[1])) if label and total else None


def run(program, args, functions, limit_s=300):
    """{label: instructions}. The functions must not call each other: each entry and each return turns the counting."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [f"--toggle-collect={name}" for name in functions]
        done = subprocess.run([*command, program, *args], capture_output=True, text=True, timeout=limit_s)
        if done.returncode:
            raise Error(f"{program} under callgrind: status {done.returncode}\n{done.stderr[-1500:]}")
        dumps = [read_dump(path.read_text()) for path in sorted(Path(folder).iterdir())]
    return dict(dump for dump in dumps if dump)
