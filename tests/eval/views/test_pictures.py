"""Pictures as numbers: every PNG has the values that it holds, and what cannot be read gets one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pngs import chunk, draw_samples, hole, write_png

from eval.scores import inception, toy_reward
from eval.scores.clip import embed_images, fit, load_clip
from eval.views.pictures import center, read_alpha, read_picture, short_side

ROOT = Path(__file__).parents[3]
GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6
KINDS = [(d, GRAY) for d in (1, 2, 4, 8, 16)] + [(d, k) for k in (2, 4, 6) for d in (8, 16)]


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def expected(samples: np.ndarray, depth: int, kind: int, transparent: np.ndarray | None = None) -> np.ndarray:
    """Samples of any depth as RGBA of 8 bits, by the definition of the format."""
    values = np.round(samples * 255 / (2**depth - 1)).astype(np.uint8)
    alpha = values[..., -1:] if kind in (GRAY_ALPHA, COLOR_ALPHA) else np.full_like(values[..., :1], 255)
    if transparent is not None:
        alpha = np.where(transparent[..., None], 0, 255)
    color = values[..., :-1] if kind in (GRAY_ALPHA, COLOR_ALPHA) else values
    return np.concatenate([np.broadcast_to(color, (*values.shape[:2], 3)), alpha], axis=-1)


@pytest.mark.parametrize(("depth", "kind"), KINDS)
def test_a_png_of_any_mode_and_depth_has_the_values_that_it_holds(depth: int, kind: int) -> None:
    samples = draw_samples(depth, kind)
    read = read_picture(write_png(samples, depth, kind), "x.png")
    assert read.dtype == np.uint8 and np.array_equal(read, expected(samples, depth, kind))


@pytest.mark.parametrize(("depth", "kind"), [(d, k) for d, k in KINDS if k in (GRAY, COLOR)])
def test_the_transparent_color_of_a_png_is_compared_at_its_own_depth(depth: int, kind: int) -> None:
    samples = draw_samples(depth, kind)
    color = samples[2, 3]
    read = read_picture(write_png(samples, depth, kind, hole(color)), "x.png")
    assert np.array_equal(read, expected(samples, depth, kind, (samples == color).all(-1)))


@pytest.mark.parametrize("alphas", [b"\x00\x80\xff\x07", b"\xff\x00", b""])
def test_a_palette_brings_its_transparency_as_bytes_or_as_one_index(alphas: bytes) -> None:
    index, colors = draw_samples(2, PALETTE)[..., 0], np.arange(12).reshape(4, 3) * 20
    extra = [chunk(b"PLTE", colors.astype(np.uint8).tobytes()), *([chunk(b"tRNS", alphas)] if alphas else [])]
    read = read_picture(write_png(index[..., None], 8, PALETTE, *extra), "x.png")
    opacity = np.array([*alphas, *[255] * (4 - len(alphas))])
    assert np.array_equal(read[..., :3], colors[index]) and np.array_equal(read[..., 3], opacity[index])


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_an_alpha_picture_may_have_any_depth(depth: int) -> None:
    samples = draw_samples(depth, GRAY)
    read = read_alpha(write_png(samples, depth, GRAY), "alpha_000.png")
    assert np.array_equal(read, expected(samples, depth, GRAY)[..., 0])


@pytest.mark.parametrize("kind", [COLOR, COLOR_ALPHA, GRAY_ALPHA])
def test_an_alpha_picture_with_color_or_alpha_of_its_own_is_refused(kind: int) -> None:
    with pytest.raises(ValueError, match="alpha_000.png has color or transparency"):
        read_alpha(write_png(draw_samples(8, kind), 8, kind), "alpha_000.png")


def damaged() -> dict[str, tuple[bytes, str]]:
    png = write_png(draw_samples(8, COLOR, (40, 40)), 8, COLOR)
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0x55
    red = Image.new("RGB", (8, 8), "red")
    return {
        "cut in the middle": (png[: len(png) // 2], "Truncated"),
        "cut at the end": (png[:-12], "truncated"),
        "cut in the header": (png[:20], "no picture|Truncated"),
        "one byte wrong": (bytes(flipped), "checksum"),
        "empty": (b"", "empty"),
        "text": (b"<html>not found</html>", "no picture"),
        "a JPEG": (saved(red, "JPEG"), "JPEG by its content"),
        "a CMYK JPEG": (saved(red.convert("CMYK"), "JPEG"), "JPEG by its content"),
        "an animation": (saved(red, "PNG", save_all=True, append_images=[red.rotate(9)]), "animation of 2"),
        "a bomb": (png[:8] + chunk(b"IHDR", b"\0\1\0\0" * 2 + png[24:29]) + png[33:], "exceeds limit"),
    }


@pytest.mark.parametrize("case", damaged())
def test_what_is_no_whole_png_is_said_in_one_line_that_names_it(case: str) -> None:
    data, words = damaged()[case]
    with pytest.raises(ValueError, match=words) as caught:
        read_picture(data, "p01/rgb_003.png")
    assert str(caught.value).startswith("p01/rgb_003.png ") and "\n" not in str(caught.value)


def wide_and_center(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two smooth pictures (2, H, W, 3), and their central squares."""
    rng = np.random.default_rng(height)
    small = [Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)) for _ in range(2)]
    images = np.stack([np.asarray(x.resize((width, height), Image.Resampling.BICUBIC)) for x in small])
    side = min(height, width)
    rows, columns = center(height, width, side)
    return images, images[:, rows, columns]


SHAPES = [(64, 96), (96, 64), (64, 91)]


@pytest.mark.parametrize("shape", SHAPES)
def test_clip_sees_the_center_of_a_picture_that_is_not_square(shape: tuple[int, int]) -> None:
    clip = load_clip("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    whole, square = wide_and_center(*shape)
    assert np.array_equal(embed_images(clip, whole), embed_images(clip, square))


@pytest.mark.parametrize("shape", SHAPES)
def test_toy_reward_sees_the_center_of_a_picture_that_is_not_square(shape: tuple[int, int]) -> None:
    model = toy_reward.load(ROOT / "toybox/models/reward")
    whole, square = (torch.from_numpy(x).permute(0, 3, 1, 2) / 255 for x in wide_and_center(*shape))
    assert torch.equal(model.score(whole, ["a duck"] * 2), model.score(square, ["a duck"] * 2))


@pytest.mark.parametrize("protocol", inception.PROTOCOLS)
def test_inception_sees_the_center_of_a_picture_that_is_not_square(protocol: str) -> None:
    whole, square = (inception.resize(x, protocol) for x in wide_and_center(299, 401))
    assert torch.equal(whole, square)
    tall, square = (inception.resize(x, protocol) for x in wide_and_center(200, 100))
    assert tall.shape == square.shape and (tall - square).abs().mean() < 1  # of 255: but for the cut edges


@pytest.mark.parametrize("shape", [(64, 96), (130, 97), (48, 33), (225, 300)])
def test_clips_preprocessing_is_torchvisions_of_any_shape(shape: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    official = Compose([Resize(64, InterpolationMode.BICUBIC), CenterCrop(64)])
    images, _ = wide_and_center(*shape)
    theirs = np.stack([np.asarray(official(Image.fromarray(image))) for image in images])
    assert np.array_equal(fit(images, 64), theirs)
    assert short_side(*shape, 64) == Resize(64)(Image.new("L", shape[::-1])).size[::-1]


@pytest.mark.parametrize(
    ("name", "weights"),
    [("ViT-L-14", "/nope"), ("nope", "openai"), ("nope", str(ROOT / "toybox/models/clip/model.safetensors"))],
)
def test_a_clip_that_open_clip_does_not_know_is_told_in_one_line(name: str, weights: str) -> None:
    with pytest.raises(ValueError, match="open_clip knows no") as caught:
        load_clip(name, weights)
    assert "\n" not in str(caught.value)
