"""Where other benchmarks keep their pictures, and what those show: names of files and folders alone.

- GPTEval3D: METHOD/0/0/rgb_0.png, normal_0.png: prompts numbered from 0 in the order of its prompts.json
  (3DTopia/GPTEval3D e5f1ac9, assets/data_format.md).
- T3Bench, on threestudio: METHOD_GROUP/A_cactus_with_pink_flowers@20231024-120000/save/it10000-test/0.png, in
  each picture color, normal and opacity side by side; and its own pictures of meshes, 000_0.png to 161_4.png,
  from 162 directions of an icosphere at five fields of view (THU-LYJ-Lab/T3Bench 0d0a84a, run_mesh.py,
  render/meshrender.py; prompts a line in data/prompt_*.txt).
- nerfbaselines: color/NAME.png, gt-color/, depth-rgb/, cameras/NAME.npz in a folder, .zip or .tar.gz of
  predictions; frames 00000.png of a trajectory (nerfbaselines/nerfbaselines befbbd5, io.py, evaluation.py).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

TRIAL = re.compile(r"@\d{8}-\d{6}(-\d+)?$")  # threestudio's stamp behind a prompt
TEST = re.compile(r"it(\d+)-test")  # its folder of pictures of the finished object
ICOSPHERE = re.compile(r"(\d{3})_[0-4]\.png")  # direction and field of view: 60, 45, 36, 30 and 24 degrees
SHOWN = "_2.png"  # the middle one, 36 degrees
COMPANIONS = {"gt-color", "gt-color-linear", "color-linear", "depth-rgb"}  # of nerfbaselines' color
ARCHIVES = (".zip", ".tar.gz", ".tgz")


def prompt_name(folder: str) -> str:
    """What a folder's name says of its prompt."""
    ending = next((ending for ending in ARCHIVES if folder.lower().endswith(ending)), "")
    return TRIAL.sub("", folder[: len(folder) - len(ending)])


def numbered(folders: Sequence[Path], ids: Sequence[str]) -> dict[Path, str]:
    """The prompts of folders 0, 1, ..., where ids are no numbers themselves; none if a folder fits none."""
    if any(name.isdecimal() for name in ids) or not all(place.name.isdecimal() for place in folders):
        return {}
    if any(int(place.name) >= len(ids) for place in folders):
        return {}
    return {place: ids[int(place.name)] for place in folders}


def tests_of(place: Path) -> Path:
    """The folder of a trial's last test, or the folder itself."""
    tests = {int(m[1]): path for path in place.glob("save/it*-test") if (m := TEST.fullmatch(path.name))}
    return tests[max(tests)] if tests else place


def companion(name: str) -> bool:
    return bool(COMPANIONS & {*PurePosixPath(name).parts})


def icosphere(names: Sequence[str]) -> dict[int, str]:
    """By direction, the pictures of T3Bench's middle field of view; none unless all are T3Bench's."""
    found = {name: ICOSPHERE.fullmatch(PurePosixPath(name).name) for name in names}
    if not names or not all(found.values()) or len({name[-5] for name in names}) < 2:
        return {}
    return {int(m[1]): name for name, m in sorted(found.items()) if m and name.endswith(SHOWN)}


def first_square(view: np.ndarray, place: Path) -> np.ndarray:
    """A test picture of threestudio's (H, n H, 4) as its first square, the color."""
    height, width = view.shape[:2]
    strip = TEST.fullmatch(place.name) and width > height and width % height == 0
    return view[:, :height] if strip else view


def read_poses(names: Sequence[str], read: Callable[[str], bytes]) -> bytes | None:
    """nerfbaselines' cameras as the transforms.json of NeRF; None where there are none."""
    frames = []
    for name in sorted(n for n in names if PurePosixPath(n).match("cameras/*.npz")):
        with np.load(io.BytesIO(read(name))) as stored:
            pose = stored["poses"].reshape(-1, stored["poses"].shape[-1])
        frames.append({"file_path": PurePosixPath(name).name, "transform_matrix": pose.tolist()})
    return json.dumps({"frames": frames}).encode() if frames else None
