"""No circle of files: `python3 tests/circles.py OBJECT...` prints each and fails, or one line.

A file stands on another when it uses a function or a variable of it, as the symbols of their objects tell. What entry code
in assembly calls is not counted: it is called by the CPU, and hands over to its file in C. Nor are the compiler's own
calls, such as those of the stack protector.
"""
import subprocess
import sys
from pathlib import Path

from tests.layers import circles

COMPILERS_OWN = "__stack_chk_"


def symbols(objects):
    """{object: (names it defines, names it wants)}"""
    found = {name: (set(), set()) for name in objects}
    for line in subprocess.run(["nm", "-A", "-g", *objects], capture_output=True, text=True, check=True).stdout.splitlines():
        name, rest = line.split(":", 1)
        *_, kind, symbol = rest.split()
        found[name][kind == "U"].add(symbol)
    return found


def source(name):
    return Path(name).with_suffix("").as_posix().removeprefix("build/hv/")


def main(objects):
    found = symbols(objects)
    owner = {symbol: name for name, (defines, _) in found.items() for symbol in defines}
    edges = {}
    for name, (_, wants) in found.items():
        if not Path(source(name) + ".asm").exists():
            edges[source(name)] = {source(owner[s]) for s in wants if s in owner and not s.startswith(COMPILERS_OWN)}
    breaches = [" > ".join(names) for names in circles(edges)]
    print("\n".join("files call each other: " + names for names in breaches) if breaches else
          f"circles: {len(objects)} files call no file that stands on them")
    return 1 if breaches or not objects else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
