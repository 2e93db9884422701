"""Pictures as numbers: a PNG of any mode and depth as RGBA of 8 bits, and the square that a network sees.

Pillow alone is not enough: it clips 16-bit gray, cuts the low byte off 16-bit color, and compares the
transparent color of a gray or 16-bit PNG with values of another depth. No gamma or color profile is applied.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 8192  # pixels a side; more is no view, and a small file may unfold to gigabytes
GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # a PNG's color types


def read_picture(data: bytes, name: str) -> np.ndarray:
    """The bytes of a PNG as (H, W, 4) uint8, straight alpha; 16 bits are rounded to 8, v / 257.

    Raises ValueError in one line that bears `name`: no PNG, an animation, damaged, or too large.
    """
    try:
        check_png(data)
        return decode(data)
    except Exception as error:  # Pillow raises what it likes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} cannot be read: {reason}") from error


def read_alpha(data: bytes, name: str) -> np.ndarray:
    """The bytes of a gray PNG of any depth as alpha (H, W) uint8; ValueError if it has color or alpha."""
    rgba = read_picture(data, name)
    if (rgba[..., 3] < 255).any() or (rgba[..., :3] != rgba[..., :1]).any():
        raise ValueError(f"{name} has color or transparency: an alpha picture is gray, white where opaque")
    return rgba[..., 0]


def check_png(data: bytes) -> None:
    """Raise unless the bytes are one whole PNG; every checksum is tested, as loading alone does not."""
    if not data:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind, frames = picture.format, getattr(picture, "n_frames", 1)
            if kind != "PNG":
                raise ValueError(f"it is {kind} by its content, and scores need PNG")
            if max(picture.size) > LARGEST:
                width, height = picture.size
                raise ValueError(f"it has {width} x {height} px, and a view has at most {LARGEST} a side")
            if frames > 1:
                raise ValueError(f"it is an animation of {frames} frames, and a view is one picture")
            picture.verify()
    except UnidentifiedImageError as error:
        raise ValueError("it is no picture, or its beginning is damaged") from error


def decode(data: bytes) -> np.ndarray:
    """A sound PNG as (H, W, 4) uint8."""
    depth, kind = data[24], data[25]  # of the header, which comes first
    picture = Image.open(io.BytesIO(data))
    hole = picture.info.get("transparency")  # of gray and color: the one color that is transparent
    if kind == PALETTE or (depth < 16 and hole is None):
        return np.asarray(picture.convert("RGBA"))
    values = read_values(data, depth, kind)
    top = 65535 if depth == 16 else 255
    color, alpha = values, np.full_like(values[..., :1], top)
    if kind in (GRAY_ALPHA, COLOR_ALPHA):
        color, alpha = values[..., :-1], values[..., -1:]
    elif hole is not None:
        spread = {2: 85, 4: 17}.get(depth, 1)  # Pillow spreads their samples over 0 to 255, not the hole
        alpha = np.where((color == np.multiply(hole, spread)).all(-1, keepdims=True), 0, top)
    rgba = np.concatenate([np.broadcast_to(color, (*color.shape[:2], 3)), alpha], axis=-1)
    return rgba.astype(np.uint8) if top == 255 else ((rgba + 128) // 257).astype(np.uint8)


def read_values(data: bytes, depth: int, kind: int) -> np.ndarray:
    """Samples (H, W, C) int32 of a PNG without palette, 0 to 255, or to 65,535 at a depth of 16."""
    if depth < 16:
        values = unpack(data).astype(np.int32)
        return values * 255 if depth == 1 else values
    if kind == GRAY:
        return unpack(data).astype(np.int32)
    if kind == GRAY_ALPHA:  # two bytes of gray and two of alpha, as if they were four channels
        pairs = unpack(data, "RGBA").astype(np.int32)
        return pairs[..., 0::2] * 256 + pairs[..., 1::2]
    mode = "RGB" if kind == COLOR else "RGBA"
    high, low = (unpack(data, f"{mode};16{end}").astype(np.int32) for end in "BL")
    return high * 256 + low


def unpack(data: bytes, raw: str | None = None) -> np.ndarray:
    """What Pillow decodes, (H, W, C); `raw` names another of its layouts for the same bytes.

    Of 16-bit samples `;16B` keeps the first byte, the high one, and `;16L` the second.
    """
    picture = Image.open(io.BytesIO(data))
    if raw:
        picture.tile = [tile._replace(args=raw) for tile in picture.tile]
    array = np.asarray(picture)
    return array if array.ndim == 3 else array[..., None]


def as_tensor(views: np.ndarray | Tensor) -> Tensor:
    """The same numbers as a tensor, where they are: in this memory, or on the device of a tensor."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(views)) if isinstance(views, np.ndarray) else views


def short_side(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after the shorter of them became `size`, the other in proportion, rounded down."""
    return (size, size * width // height) if height <= width else (size * height // width, size)


def center(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Rows and columns of the central square. As torchvision's CenterCrop, which CLIP and ImageReward use."""
    top, left = round((height - size) / 2), round((width - size) / 2)
    return slice(top, top + size), slice(left, left + size)
