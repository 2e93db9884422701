"""Files with bytes changed, cut or doubled and numbers blown up: read, or refused in one line."""

from __future__ import annotations

import io
import json
import re
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from plyfile import PlyData, PlyElement
from safetensors.numpy import save

from eval.prompt_table import read_prompts, read_texts
from eval.scores.folder import read_features
from eval.views import ring
from eval.views.archive import read_asset
from segmentdreamer.config import load_config
from segmentdreamer.prior.folder import read_header, read_json
from segmentdreamer.prior.schedule import read_schedule
from segmentdreamer.scene.gaussians import PLY_FIELDS, load_ply
from segmentdreamer.start.clouds import read_cloud
from segmentdreamer.timing.record import finished

ROOT = Path(__file__).parents[2]
EXAMPLES = 120
MOST = 64_000_000  # bytes that a reader may hold of a file of a few kilobytes


def ply(text: bool) -> bytes:
    fields = [field for name, fields in PLY_FIELDS.items() if name != "normals" for field in fields]
    buffer = io.BytesIO()
    table = np.ones(4, dtype=[(field, "<f4") for field in fields])
    PlyData([PlyElement.describe(table, "vertex")], text=text).write(buffer)
    return buffer.getvalue()


def views() -> bytes:
    picture, buffer = io.BytesIO(), io.BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(picture, "PNG")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("000.png", "001.png"):
            archive.writestr(name, picture.getvalue())
        archive.writestr("cameras.json", CAMERAS)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"clip/p01": np.ones((3, 2), np.float32)})
    return buffer.getvalue()


CAMERAS = json.dumps({"azimuth": [0.0, 90.0, 180.0, 270.0]}).encode()
SEEDS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "tsv of a run": ("x.tsv", (ROOT / "prompts/toybox.tsv").read_bytes(), read_prompts),
    "tsv of scores": ("x.tsv", (ROOT / "prompts/toybox.tsv").read_bytes(), read_texts),
    "json": ("x.json", b'[{"id": "p01", "prompt": "a cat"}, {"id": 2, "prompt": "b"}]', read_texts),
    "csv": ("x.csv", b'id,prompt\np01,"a cat, big"\np02,a dog\n', read_texts),
    "yaml": ("x.yaml", (ROOT / "segmentdreamer/scales/mini.yaml").read_bytes(), load_config),
    "binary ply": ("x.ply", ply(text=False), load_ply),
    "text ply": ("x.ply", ply(text=True), load_ply),
    "cloud": ("x.ply", ply(text=True), read_cloud),
    "zip": ("views.zip", views(), read_asset),
    "cameras": ("x.json", CAMERAS, lambda path: ring.read_azimuths(path.read_bytes(), str(path))),
    "safetensors": ("x.safetensors", save({"a": np.ones((2, 3), np.float32)}), read_header),
    "scheduler": (
        "x.json",
        (ROOT / "toybox/models/prior/scheduler/scheduler_config.json").read_bytes(),
        lambda path: read_schedule(read_json(path)),
    ),
    "reference": ("x.npz", arrays(), read_features),
    "provenance": (
        "provenance.json",
        b'{"identity": "k", "asset_sha256": "0"}',
        lambda path: finished(path.parent, "k"),
    ),
}


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(draw(st.integers(1, 4))):
        at, to = sorted(draw(st.integers(0, len(data))) for _ in "ab")
        piece = draw(
            st.one_of(
                st.binary(max_size=6), st.sampled_from([b"\0", b"[" * 3000, b"\xff\xfe", b"\t", b'"', b"nan"])
            )
        )
        kind = draw(st.sampled_from(["cut", "put", "flip", "twice", "number"]))
        if kind == "cut":
            data = data[:at] + data[to:] if draw(st.booleans()) else data[:to]
        elif kind == "put":
            data = data[:at] + piece + data[at:]
        elif kind == "flip":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "twice":
            data = data[:to] + data[at:]
        elif numbers := list(re.finditer(rb"\d+", data)):
            found = draw(st.sampled_from(numbers))
            large = draw(st.sampled_from([b"0", b"-1", b"4294967296", b"99999999999999999999", b"1e999"]))
            data = data[: found.start()] + large + data[found.end() :]
    return data


def message(read: Callable[[], object]) -> str:
    try:
        read()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SEEDS)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: str) -> None:
    name, content, read = SEEDS[kind]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=damaged(content))
    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            tracemalloc.start()
            told = message(lambda: read(path))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert len(told.splitlines()) <= 1 and peak < MOST

    check()
