"""The rules on who stands on whom: `python3 tests/layers.py` prints each breach and fails, or one line.

Checked: includes point down only, between the layers (boot > guest > hv > mm > drivers > base) and between the rooms of
guest/; no circle of rooms in any layer, no circle of headers; no `#if` in a .c file (variants are chosen by file lists);
assembly stays below 500 lines; no VMCS or VMCB name above hv/.
"""
import re
import sys
from pathlib import Path

# A file may include its own layer and lower ones. The base is usable by all.
LAYERS = {"base": 0, "drivers": 1, "mm": 2, "hv": 3, "guest": 4, "boot": 5, "tests": 6}
# The rooms of guest/, the lowest first. A file may include its own room and those of rows above; not the others of its row.
ROOMS = [
    {"text"},
    {"mem", "config"},
    {"dev"},
    {"load", "console", "dev/virtio"},
    {"vm"},
    {"exec"},
    {"life"},
    {"admin/nv"},
    {"admin", "admin/nvpool"},
]
ROOM_RANK = {room: rank for rank, row in enumerate(ROOMS) for room in row}
FOR_ALL_ROOMS = Path("guest/abi.h")  # what guests include: it includes nothing
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


def room(path):
    """The folder of a file below its layer's, "" for what lies in the layer itself and is for all its rooms."""
    return str(Path(*path.parts[1:-1])) if len(path.parts) > 2 else ""


def check_rooms(files, breaches):
    """The arrows between the rooms of guest/."""
    for path in files:
        own = room(path)
        if path == FOR_ALL_ROOMS or path.is_relative_to("guest/linux"):
            allowed = set()
        elif own in ROOM_RANK:
            allowed = {own, *(other for other in ROOM_RANK if ROOM_RANK[other] < ROOM_RANK[own])}
        else:
            breaches.append(f"{path}: guest/ has no such room")
            continue
        for number, target in includes(path):
            if target.parts[0] == "guest" and target != FOR_ALL_ROOMS and target.parent != path.parent and \
                    room(target) not in allowed:
                breaches.append(f"{path}:{number}: the room {own or 'guest'} stands below or beside {room(target)}, "
                                f"but includes {target}")


def circles(edges):
    """Each circle in {name: {names}} once, as the names on it."""
    done = set()

    def visit(name, above):
        if name in above:
            yield [*above[above.index(name):], name]
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                yield from visit(target, [*above, name])
            done.add(name)

    for name in sorted(edges):
        yield from visit(name, [])


def check_circles(files, breaches):
    """None of headers, and none of rooms in the layers whose rooms have no fixed order."""
    headers, rooms = {}, {}
    for path in files:
        for _, target in includes(path):
            if path.suffix == ".h":
                headers.setdefault(str(path), set()).add(str(target))
            if path.parts[0] == target.parts[0] != "tests" and path.parent != target.parent and \
                    room(path) and room(target) and layer(target) != "base":
                rooms.setdefault(str(path.parent), set()).add(str(target.parent))
    breaches += ["headers include each other: " + " > ".join(names) for names in circles(headers)]
    breaches += ["rooms include each other: " + " > ".join(names) for names in circles(rooms)]


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
    check_rooms([p for p in files if p.parts[0] == "guest"], breaches)
    check_circles(files, breaches)
    check_lines(own, breaches)
    assembly = [p for top in LAYERS if top != "tests" for end in ("asm", "inc") for p in Path(top).rglob(f"*.{end}")
                if p.name not in BINARY_DATA]
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
