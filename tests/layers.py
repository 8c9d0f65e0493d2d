"""The rules on who stands on whom: `python3 tests/layers.py` prints each breach and fails, or one line.

Checked: includes point down only (boot > guest > hv > mm > drivers > base); no circle of headers; no `#if` in a .c
file (variants are chosen by file lists); assembly stays below 500 lines; no VMCS or VMCB name above hv/.
"""
import re
import sys
from pathlib import Path

# A file may include its own layer and lower ones. The base is usable by all.
LAYERS = {"base": 0, "drivers": 1, "mm": 2, "hv": 3, "guest": 4, "boot": 5, "tests": 6}
BASE = re.compile(r"hv/(cpu\.h$|lib/)")
ASSEMBLY_LINES = 500
BINARY_DATA = {"font.asm", "dsdt.asm"}  # one incbin each
VENDOR = re.compile(r"\b(VMCS|VMCB|vmcs|vmcb|vmx|svm)_\w+")
LINUX_PROGRAMS = {Path("guest/linux"), Path("guest/admin/nvpool")}


def layer(path):
    return "base" if BASE.match(str(path)) else path.parts[0]


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if found:
            yield number, Path(found[1])


def check_arrows(files, breaches):
    for path in files:
        for number, target in includes(path):
            if not target.exists():
                breaches.append(f'{path}:{number}: "{target}" is not a path from the root of the tree')
            elif LAYERS[layer(target)] > LAYERS[layer(path)]:
                breaches.append(f"{path}:{number}: {layer(path)} stands below {layer(target)}, but includes {target}")


def check_circles(headers, breaches):
    edges = {path: [target for _, target in includes(path)] for path in headers}
    done = set()

    def visit(path, above):
        if path in above:
            breaches.append("headers include each other: " + " > ".join(map(str, [*above[above.index(path):], path])))
        elif path not in done:
            for target in edges.get(path, []):
                visit(target, [*above, path])
            done.add(path)

    for path in headers:
        visit(path, [])


def check_lines(files, breaches):
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if path.suffix == ".c" and re.match(r"\s*#\s*if", line):
                breaches.append(f"{path}:{number}: #if in a .c file")
            found = VENDOR.search(line)
            if found and path.parts[0] in ("guest", "boot"):
                breaches.append(f"{path}:{number}: {found[0]} is the virtualization backend's own")


def main():
    breaches = []
    files = sorted(p for top in LAYERS for end in "ch" for p in Path(top).rglob(f"*.{end}"))
    own = [p for p in files if p.parts[0] != "tests" and not LINUX_PROGRAMS & set(p.parents)]
    check_arrows(files, breaches)
    check_circles([p for p in files if p.suffix == ".h"], breaches)
    check_lines(own, breaches)
    assembly = [p for top in LAYERS if top != "tests" for p in Path(top).rglob("*.asm") if p.name not in BINARY_DATA]
    lines = sum(len(p.read_text().splitlines()) for p in assembly)
    if lines >= ASSEMBLY_LINES:
        breaches.append(f"{lines} lines of assembly, {ASSEMBLY_LINES - 1} are allowed")
    if not files or not assembly:
        breaches.append("no files found: not started in the root of the tree?")
    print("\n".join(breaches) if breaches else
          f"layers: {len(files)} files include downwards only, {lines} lines of assembly")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
