"""An NVRAM image for the off-line tool's tests: the tool run on it, and the places on media that tests damage.

The layout is that of mm/pool/pool_format.h for one range below 32 GiB.
"""
import json
import struct
import subprocess
from pathlib import Path

from tests.machine import bounded
from tests.machine.emulator import Failure

TOOL = Path(__file__).parent.parent.parent / "build" / "nvpool"
LIMIT_S = 60  # of CPU time

MIB = 1 << 20
SUPERBLOCKS = (0, 64 << 10)
SLOT = 2048
SLOTS = 480
CATALOGUES = (128 << 10, (128 << 10) + SLOTS * SLOT)
NAME_AT, VERSION_AT = 64, 16


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Image:
    def __init__(self, path, mib):
        self.path = Path(path)
        with open(self.path, "wb") as file:
            file.truncate(mib * MIB)

    def start(self, *words, **options):
        return subprocess.Popen([TOOL, self.path, *map(str, words)], stdin=subprocess.DEVNULL, **options)

    def run(self, *words, status=0, says=""):
        """Runs a verb and demands its status and a part of what it says, on either output; returns standard output."""
        done = bounded.run([TOOL, self.path, *words], LIMIT_S, stdin=subprocess.DEVNULL, capture_output=True)
        output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        what = f"nvpool {' '.join(map(str, words))}: status {done.returncode}\n{output[-2000:]}{errors[-2000:]}"
        if done.returncode != status:
            raise Failure(f"{what}\nexpected was status {status}")
        if says not in output + errors:
            raise Failure(f"{what}\nexpected was: {says}")
        if any(not line.startswith("nvpool: ") for line in errors.splitlines()):
            raise Failure(f"{what}\na line on standard error does not begin with the tool's name")
        return output

    def tables(self, *words, status=0):
        """The JSON tables that a verb prints."""
        return [json.loads(line) for line in self.run("-o", "json", *words, status=status).splitlines()]

    def regions(self, status=0):
        return {row["name"]: row for row in self.tables("list", status=status)[0]}

    def bytes(self):
        return self.path.read_bytes()

    def records(self, name):
        """Where the two copies of the record of a region begin."""
        data = self.bytes()[: CATALOGUES[1]]
        for slot in range(SLOTS):
            at = CATALOGUES[0] + slot * SLOT + NAME_AT
            if data[at : at + 32].rstrip(b"\0") == name.encode():
                return [catalogue + slot * SLOT for catalogue in CATALOGUES]
        raise Failure(f"no record of {name} in {self.path}")

    def has_record(self, name):
        with open(self.path, "rb") as file:
            file.seek(CATALOGUES[0])
            return name.encode() in file.read(8 * SLOT)

    def write(self, at, data):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def damage(self, at):
        with open(self.path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))

    def set_version(self, version):
        """Makes both superblocks intact ones of another version."""
        with open(self.path, "r+b") as file:
            for at in SUPERBLOCKS:
                file.seek(at)
                head = bytearray(file.read(SLOT))
                struct.pack_into("<I", head, VERSION_AT, version)
                length = struct.unpack_from("<I", head, VERSION_AT + 4)[0]
                struct.pack_into("<I", head, 4, crc32c(head[8:length]))
                file.seek(at)
                file.write(head)
