"""Folders as other benchmarks lay them out: whose pictures are found, and which of them are the views."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.prompt_table import read_texts
from eval.views.archive import read_asset
from eval.views.folders import find_assets
from eval.views.remarks import Setting, judge
from segmentdreamer.scene.cameras import orbit

TEXTS = ["A cactus with pink flowers", "An old bronze ship's wheel"]
STAMP = "@20231024-120000"


def png(level: int, width: int = 8, height: int = 8, alpha: bool = False) -> bytes:
    picture = np.full((height, width, 4 if alpha else 3), level, np.uint8)
    if alpha:
        picture[..., 3] = 0
        picture[2:6, 2:6, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def poses(count: int) -> np.ndarray:
    """Cameras to world (V, 3, 4) of the evaluation's ring."""
    return np.linalg.inv(orbit(count).viewmats.numpy())[:, :3]


def whole(folder: Path, place: Path) -> tuple[bool, str]:
    found, notes = judge(read_asset(place), place, folder, Setting())
    return found, " ".join(notes)


def test_gpteval3d_numbers_prompts_from_0_in_the_order_of_its_list(tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps(TEXTS))
    for number in (0, 1):
        for view in range(3):
            write(tmp_path / f"methods/mine/{number}/0/rgb_{view}.png", png(10 * number + view))
            write(tmp_path / f"methods/mine/{number}/0/normal_{view}.png", png(200))
    table = read_texts(tmp_path / "prompts.json")
    found = find_assets(tmp_path / "methods/mine", list(table["id"]), list(table["prompt"]))
    levels = [read_asset(found.places[name]["0"]).rgba[:, 0, 0, 0].tolist() for name in table["id"]]
    assert levels == [[0, 1, 2], [10, 11, 12]]


def test_numbers_of_folders_are_ids_where_prompts_have_such_ids(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"{number}/rgb_0.png", png(number))
    found = find_assets(tmp_path, ["1", "2"], TEXTS)
    assert [found.places[name]["0"].name for name in ("1", "2")] == ["1", "2"]


def test_a_number_beyond_the_list_is_no_prompt(tmp_path: Path) -> None:
    write(tmp_path / "0/rgb_0.png", png(0))
    write(tmp_path / "7/rgb_0.png", png(0))
    with pytest.raises(FileNotFoundError, match="0, 7 are neither id nor text"):
        find_assets(tmp_path, ["p1", "p2"], TEXTS)


def test_t3bench_trials_give_the_color_of_their_last_test(tmp_path: Path) -> None:
    strip = Image.new("RGB", (24, 8), (200, 200, 200))  # color, normal and opacity side by side
    strip.paste((50, 60, 70), (0, 0, 8, 8))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    for text in TEXTS:
        trial = tmp_path / f"{text.replace(' ', '_')}{STAMP}"
        for view in range(4):
            write(trial / f"save/it10000-test/{view}.png", buffer.getvalue())
            write(trial / f"save/it5000-test/{view}.png", png(0))
        write(trial / "ckpts/last.ckpt", b"")
    (tmp_path / "prompt_single.txt").write_text("\n".join(TEXTS))
    table = read_texts(tmp_path / "prompt_single.txt")
    found = find_assets(tmp_path, list(table["id"]), list(table["prompt"]))
    assert not found.missing and not found.strays
    for name in table["id"]:
        rgba = read_asset(found.places[name]["0"]).rgba
        assert rgba.shape == (4, 8, 8, 4) and (rgba[..., :3] == (50, 60, 70)).all()


def test_t3bench_icosphere_is_read_at_one_field_of_view_and_is_no_ring(tmp_path: Path) -> None:
    for direction in range(40):
        for focal in range(5):
            write(tmp_path / f"p1/{direction:03d}_{focal}.png", png(40 * focal, alpha=True))
    asset = read_asset(tmp_path / "p1")
    assert asset.numbers == list(range(40)) and (asset.rgba[..., 0] == 80).all()
    ring, notes = whole(tmp_path, tmp_path / "p1")
    assert not ring and "scattered over a sphere" in notes


def predictions() -> dict[str, bytes]:
    """A file of nerfbaselines' predictions by name: color, what it is compared with, cameras."""
    files = {"info.json": b"{}"}
    for view, pose in enumerate(poses(40)):
        name, buffer = f"r_{view}", io.BytesIO()
        np.savez(buffer, poses=pose)
        files |= {
            f"color/{name}.png": png(view, alpha=True),
            f"gt-color/{name}.png": png(255),
            f"depth-rgb/{name}.png": png(255),
            f"cameras/{name}.npz": buffer.getvalue(),
        }
    return files


@pytest.mark.parametrize(
    "form", ["folder", "predictions.zip", "predictions-30000.tar.gz", "beside", "BESIDE"]
)
def test_nerfbaselines_predictions_are_read_with_their_cameras(tmp_path: Path, form: str) -> None:
    place = tmp_path if form.lower() == "beside" else tmp_path / "p1"
    place.mkdir(exist_ok=True)
    if form == "folder":
        for name, data in predictions().items():
            write(place / name, data)
    elif form.endswith("zip"):
        with zipfile.ZipFile(place / form, "w") as archive:
            for name, data in predictions().items():
                archive.writestr(name, data)
    else:
        name = {"beside": "p1.tar.gz", "BESIDE": "p1.TAR.GZ"}.get(form, form)
        with tarfile.open(place / name, "w:gz") as tar:
            for name, data in predictions().items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    found = find_assets(tmp_path, ["p1", "p2"], TEXTS).places["p1"]["0"]
    assert read_asset(found).rgba[:, 3, 3, 0].tolist() == list(range(40))
    ring, notes = whole(tmp_path, found)
    assert ring and "taken for a full ring" not in notes


def test_a_trajectory_of_nerfbaselines_tells_whether_frames_go_around(tmp_path: Path) -> None:
    for view in range(40):
        write(tmp_path / f"p1/{view:05d}.png", png(9, alpha=True))
    frames = [{"pose": pose.flatten().tolist()} for pose in poses(80)[:40]]  # half a ring
    (tmp_path / "p1/trajectory.json").write_text(json.dumps({"format": "nerfbaselines-v1", "frames": frames}))
    ring, notes = whole(tmp_path, tmp_path / "p1")
    assert not ring and "do not go once around" in notes


def test_a_damaged_tar_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "p1/predictions.tar.gz", b"nothing of the kind")
    with pytest.raises(ValueError, match=r"predictions\.tar\.gz is not an archive of views"):
        read_asset(tmp_path / "p1/predictions.tar.gz")
