"""PNG files of every mode and depth, written byte by byte: what Pillow cannot write it should not check."""

from __future__ import annotations

import struct
import zlib

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(samples: np.ndarray, depth: int, kind: int, *extra: bytes) -> bytes:
    """A PNG of samples (H, W, C) at their depth, in bits. extra: chunks before the data."""
    height, width = samples.shape[:2]
    if depth < 8:
        bits = (samples[..., 0, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    else:
        rows = samples.reshape(height, -1).astype(">u2" if depth == 16 else np.uint8)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def draw_samples(depth: int, kind: int, size: tuple[int, int] = (5, 9)) -> np.ndarray:
    return np.random.default_rng(depth + kind).integers(0, 2**depth, (*size, CHANNELS[kind]))


def hole(color: np.ndarray) -> bytes:
    """The chunk that makes one color of a PNG without alpha transparent."""
    return chunk(b"tRNS", b"".join(struct.pack(">H", int(value)) for value in color))
