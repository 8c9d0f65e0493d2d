"""A test machine's physical memory: its size, its NVRAM ranges, the firmware table that tells of them, its NVDIMMs, and
the file that keeps the memory of an emulator when its power is cut."""
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
FOUR_GIB = 4 * GIB
RAM, RESERVED, ACPI, NVS, PERSISTENT, LEGACY_PERSISTENT, THESIS = 1, 2, 3, 4, 7, 12, 90
ROM_SOURCE = Path(__file__).parent.parent / "firmware" / "nvrom.asm"
BOCHS_BLOCK = 128 << 10  # Bochs hands out its memory in blocks of this size
BOCHS_HOLE = (0xA0000, 0x100000)  # addresses that take none
Q35_LOW = 2816 * MIB  # q35 with this much memory or more has 2 GiB of it below 4 GiB and the rest above


@dataclass(frozen=True)
class Range:
    base: int
    size: int
    kind: int


@dataclass(frozen=True)
class Nvdimm:
    """An NVDIMM of `mib`. An unarmed one says of itself that it will not keep what is written."""

    mib: int
    unarmed: bool = False


@dataclass(frozen=True)
class Part:
    """A range of NVRAM and where it is kept while the machine is off: at `offset` of the file `path`."""

    path: Path
    offset: int
    base: int
    size: int


@dataclass(frozen=True)
class Memory:
    """`mib` of memory at address 0, of which `nvram` ranges are persistent. `rows` replaces the derived table."""

    mib: int = 1024
    nvram: tuple = (
        Range(0x20000000, 256 * MIB, LEGACY_PERSISTENT),
        Range(0x30000000, 64 * MIB, PERSISTENT),
        Range(0x34000000, 64 * MIB, THESIS),
    )
    rows: tuple = field(default=())

    def table(self):
        """The E820 rows: the rows given, or usable memory around the NVRAM, the top MiB kept for the firmware."""
        if self.rows:
            return self.rows
        top = self.low - MIB
        rows = [
            Range(0, 0x9FC00, RAM),
            Range(0x9FC00, 0x400, RESERVED),
            Range(0xE0000, 0x20000, RESERVED),
        ]
        at = MIB
        for part in sorted(self.nvram, key=lambda r: r.base):
            if part.base > at:
                rows.append(Range(at, part.base - at, RAM))
            rows.append(part)
            at = part.base + part.size
        if at < top:
            rows.append(Range(at, top - at, RAM))
        rows.append(Range(top, MIB, ACPI))
        rows.append(Range(0xFFFC0000, 0x40000, RESERVED))
        if self.high:
            rows.append(Range(FOUR_GIB, self.high, RAM))
        return tuple(rows)

    @property
    def low(self):
        """Bytes below 4 GiB; QEMU's q35 puts the rest above."""
        return self.mib * MIB if self.mib * MIB < Q35_LOW else 2 * GIB

    @property
    def high(self):
        """Bytes from 4 GiB on."""
        return self.mib * MIB - self.low

    def qemu_offset(self, address):
        """Where a physical address stands in QEMU's memory file."""
        return address if address < self.low else address - FOUR_GIB + self.low

    def nvdimm_bases(self, nvdimms):
        """Where the NVDIMMs are put: one after the other on borders of 1 GiB, from the first where q35 allows it."""
        at = FOUR_GIB + self.high
        bases = []
        for nvdimm in nvdimms:
            at = -(-at // GIB) * GIB
            bases.append(at)
            at += nvdimm.mib * MIB
        return bases


def build_rom(memory, path):
    """Assembles the option ROM that reports `memory.table()` to `path`, checksum included."""
    rows = Path(f"{path}.inc")
    rows.write_text("".join(f"        range {r.base:#x}, {r.size:#x}, {r.kind}\n" for r in memory.table()))
    subprocess.run(
        ["nasm", "-f", "bin", f'-DTABLE="{rows}"', "-o", str(path), str(ROM_SOURCE)], check=True
    )
    image = bytearray(Path(path).read_bytes())
    image[-1] = -sum(image[:-1]) & 0xFF
    Path(path).write_bytes(image)


def bochs_offset(address):
    """Where a physical address stands in Bochs' memory once its blocks were touched in order."""
    if address < BOCHS_HOLE[0]:
        return address
    return address - (BOCHS_HOLE[1] - BOCHS_HOLE[0])


def touch_commands(memory):
    """Debugger commands that make the file linear: one read a block, in order."""
    for address in range(0, memory.mib * MIB, BOCHS_BLOCK):
        if not BOCHS_HOLE[0] <= address < BOCHS_HOLE[1]:
            yield f"xp /1bx {address:#x}"


def lose_power(path, parts):
    """What a power cut leaves of the memory file at `path`: the Parts that lie in it; everything else reads as zero. A
    file that is not there stays so."""
    if not os.path.exists(path):
        return
    fresh = f"{path}.new"
    with open(path, "rb") as old, open(fresh, "wb") as new:
        new.truncate(os.path.getsize(path))
        for part in parts:
            copy_data(old, new, part.offset, part.offset + part.size)
    os.replace(fresh, path)


def copy_data(old, new, at, end):
    """Copies [at, end), leaving holes where the old file has holes or zeros."""
    zeros = bytes(MIB)
    while at < end:
        try:
            at = max(at, os.lseek(old.fileno(), at, os.SEEK_DATA))
        except OSError:  # ENXIO: no data from here on
            return
        if at >= end:
            return
        chunk = os.pread(old.fileno(), min(MIB, end - at), at)
        if not chunk:
            return
        if chunk != zeros[: len(chunk)]:
            os.pwrite(new.fileno(), chunk, at)
        at += len(chunk)
