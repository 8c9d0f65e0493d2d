"""The glyphs of the font that the build embeds (PSF 1 or 2), to read text back from a screen's pixels."""
import struct

from tests.machine.lab import BUILD


def glyphs():
    """{16 bytes of a glyph: its ASCII character}; the blank is a space."""
    data = (BUILD / "drivers" / "font.bin").read_bytes()
    if data[:2] == b"\x36\x04":
        size, at = data[3], 4
    else:
        _, _, at, _, _, size, _, _ = struct.unpack_from("<8I", data)
    found = {}
    for code in range(126, 31, -1):
        found[data[at + code * size : at + (code + 1) * size]] = chr(code)
    return found
