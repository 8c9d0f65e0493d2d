"""PNG files of screens (PNG specification, third edition): few colours, so a palette makes them small.

usage: python3 -m tests.e2e.picture DUMP.ppm OUT.png   prints the text on the screen; a blank screen is an error
"""
import struct
import sys
import zlib
from pathlib import Path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, pixels):
    """A PNG of RGB bytes. Screens of text have two colours or a few; ValueError when there are more than 256."""
    view = memoryview(pixels)
    colours = {}
    for at in range(0, len(pixels), 3):
        colours.setdefault(bytes(view[at : at + 3]), len(colours))
    if len(colours) > 256:
        raise ValueError(f"{len(colours)} colours on the screen")
    depth = 1 if len(colours) <= 2 else 8
    rows = []
    for y in range(height):
        row = [colours[bytes(view[at : at + 3])] for at in range(3 * y * width, 3 * (y + 1) * width, 3)]
        rows.append(b"\0" + (pack_bits(row) if depth == 1 else bytes(row)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0))
        + chunk(b"PLTE", b"".join(colours))
        + chunk(b"IDAT", zlib.compress(b"".join(rows), 9))
        + chunk(b"IEND", b"")
    )


def pack_bits(row):
    bits = "".join(map(str, row)).ljust((len(row) + 7) // 8 * 8, "0")
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def main():
    from tests.e2e.test_boot import read_pixels

    data = Path(sys.argv[1]).read_bytes()
    _, width, height = data.split(maxsplit=3)[:3]
    width, height = int(width), int(height)
    pixels = data[len(data) - 3 * width * height :]
    if len(set(pixels)) < 2:
        sys.exit("it is blank")
    Path(sys.argv[2]).write_bytes(png(width, height, pixels))
    print(read_pixels(width, height, pixels))


if __name__ == "__main__":
    main()
