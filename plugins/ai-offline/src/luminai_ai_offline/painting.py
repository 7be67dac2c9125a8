"""A pattern of overlapping discs, drawn from the digest of a prompt and a size: the same for the same, and labelled as what it is."""

from __future__ import annotations

import colorsys
import struct
import zlib
from hashlib import blake2b
from random import Random
from typing import Final

SIDES: Final = (16, 2048)
"""Pixels of a side, at least and at most."""
LAYERS: Final = 7
"""Each layer of discs is a bit of the pixel, so that 128 colours tell what lies over what."""
INK: Final = 128
STRIP: Final = 129
NOTE: Final = "A pattern computed from the words of a prompt. It shows nothing, and no model made it."
SOURCE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""What the IPTC calls media that an algorithm made without having been trained."""
LABELS: Final = ("GENERATED PATTERN", "PATTERN", "GEN")
"""The longest that fits is written into the picture."""
_LETTERS: Final = {  # three columns by five rows, the highest bit on the left
    " ": (0, 0, 0, 0, 0),
    "A": (2, 5, 7, 5, 5),
    "D": (6, 5, 5, 5, 6),
    "E": (7, 4, 6, 4, 7),
    "G": (3, 4, 5, 5, 3),
    "N": (6, 5, 5, 5, 5),
    "P": (6, 5, 6, 4, 4),
    "R": (6, 5, 6, 5, 5),
    "T": (7, 2, 2, 2, 2),
}
_TOGGLES: Final = tuple(bytes(value ^ (1 << layer) for value in range(256)) for layer in range(LAYERS))


def paint(prompt: str, width: int, height: int) -> bytes:
    """Return a PNG of ``width`` times ``height`` pixels with a byte each; 1024 x 1024 take some 30 ms. Both sides lie within ``SIDES``."""
    digest = blake2b(f"{width}x{height}\n{prompt}".encode(errors="replace"), digest_size=16).digest()
    random = Random(digest)  # of it only `random` and `uniform`: other methods may draw otherwise in another Python
    rows = [bytearray(width) for _ in range(height)]
    for layer in range(LAYERS):
        for _ in range(1 + int(3 * random.random())):
            _disc(rows, random, _TOGGLES[layer])
    _label(rows)
    note = {"Title": "Generated pattern", "Software": "LuminAI Hub, ai-offline", "Comment": NOTE, "DigitalSourceType": SOURCE}
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        *(_chunk(b"tEXt", name.encode("latin-1") + b"\0" + text.encode("latin-1")) for name, text in note.items()),
        _chunk(b"PLTE", _palette(random)),
        _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 6)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _disc(rows: list[bytearray], random: Random, toggle: bytes) -> None:
    """Turn over one bit of all pixels of a disc, or of a ring."""
    width, height = len(rows[0]), len(rows)
    x, y = random.uniform(0, width), random.uniform(0, height)
    outer = random.uniform(0.12, 0.5) * max(width, height)
    inner = max(0.0, random.uniform(-0.9, 0.9)) * outer  # half of them are rings
    for radius in (outer, inner):  # what lies within both is turned over twice
        for line in range(max(0, int(y - radius)), min(height, int(y + radius) + 1)):
            half = (radius * radius - (line - y) ** 2) ** 0.5 if abs(line - y) < radius else 0.0
            start, end = max(0, round(x - half)), min(width, round(x + half))
            if start < end:
                row = rows[line]
                row[start:end] = row[start:end].translate(toggle)


def _label(rows: list[bytearray]) -> None:
    """Write what it is onto a strip at the lower edge."""
    width, height = len(rows[0]), len(rows)
    text = next((one for one in LABELS if 4 * len(one) + 1 <= width), LABELS[-1])
    scale = max(1, min(width // (8 * len(text)), height // 28))
    top = height - 7 * scale
    for line in range(max(0, top), height):
        rows[line][:] = bytes([STRIP]) * width
    for place, letter in enumerate(text):
        for down, bits in enumerate(_LETTERS[letter]):
            for across in range(3):
                if bits >> (2 - across) & 1:
                    left = (1 + 4 * place + across) * scale
                    for line in range(top + (1 + down) * scale, top + (2 + down) * scale):
                        rows[line][left : left + scale] = bytes([INK]) * scale


def _palette(random: Random) -> bytes:
    """Return the colours: the more layers lie over a pixel, the further its hue turns and the darker it is."""
    hue, turn = random.random(), random.uniform(0.04, 0.12)
    found = bytearray()
    for value in range(1 << LAYERS):
        over = value.bit_count()
        shift = sum((layer + 1) for layer in range(LAYERS) if value >> layer & 1) * turn / 2
        red, green, blue = colorsys.hls_to_rgb((hue + shift) % 1.0, 0.88 - 0.09 * over, 0.35 + 0.06 * over)
        found += bytes(round(255 * part) for part in (red, green, blue))
    return bytes(found) + b"\xff\xff\xff" + b"\x18\x18\x20"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
