"""3D Gaussians in the 3DGS parametrization, and their PLY form.

Positions are raw, scales logarithmic, opacities logits, rotations quaternions (w, x, y, z) that
activation normalizes, and color is the degree-0 spherical harmonic: rgb = max(0, 0.5 + C0 dc).
Source: Kerbl et al. 2023; official gaussian_model.py:36-44, sh_utils.py:26.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segmentdreamer.records import replacing

SH_C0 = 0.28209479177387814
PLY_FIELDS = {
    "means": ("x", "y", "z"),
    "normals": ("nx", "ny", "nz"),  # zeros, which viewers expect
    "sh0": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacities": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quats": ("rot_0", "rot_1", "rot_2", "rot_3"),
}

SPLATS = {  # other formats of Gaussians, by the endings of their names
    ".splat": "a .splat file (antimatter15's)",
    ".ksplat": "a .ksplat file (of three.js viewers)",
    ".spz": "a .spz file (Niantic's)",
    ".sog": "a .sog file (PlayCanvas's)",
}


@dataclass(frozen=True)
class Splats:
    """Activated Gaussians, as the rasterizer takes them."""

    means: Tensor  # (N, 3)
    quats: Tensor  # (N, 4)
    scales: Tensor  # (N, 3)
    opacities: Tensor  # (N,)
    colors: Tensor  # (N, 3)


Parameters = dict[str, torch.nn.Parameter]


def parameters(means: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor) -> Parameters:
    """Unrotated Gaussians of activated means, scales, colors (N, 3) and opacities (N,), in gsplat's names."""
    quats = torch.zeros(len(means), 4)
    quats[:, 0] = 1
    raw = {
        "means": means,
        "scales": scales.log(),
        "quats": quats,
        "opacities": torch.logit(opacities),
        "sh0": (colors - 0.5) / SH_C0,
    }
    return {name: torch.nn.Parameter(value.float().contiguous()) for name, value in raw.items()}


def activate(params: Parameters | dict[str, Tensor]) -> Splats:
    """Apply the activations."""
    return Splats(
        means=params["means"],
        quats=torch.nn.functional.normalize(params["quats"], dim=-1),
        scales=params["scales"].exp(),
        opacities=params["opacities"].sigmoid(),
        colors=(0.5 + SH_C0 * params["sh0"]).clamp(min=0),
    )


def save_ply(params: Parameters | dict[str, Tensor], path: Path) -> None:
    """Write the standard binary 3DGS PLY (degree-0 colors), which public splat viewers open."""
    from plyfile import PlyData, PlyElement

    raw = {name: value.detach().cpu().numpy() for name, value in params.items()}
    raw["quats"] = raw["quats"] / np.maximum(np.linalg.norm(raw["quats"], axis=1, keepdims=True), 1e-12)
    raw["normals"] = np.zeros_like(raw["means"])
    fields = [field for names in PLY_FIELDS.values() for field in names]
    table = np.empty(len(raw["means"]), dtype=[(field, "<f4") for field in fields])
    for name, names in PLY_FIELDS.items():
        for field, column in zip(names, np.atleast_2d(raw[name].T), strict=True):
            table[field] = column
    with replacing(path) as partial:
        PlyData([PlyElement.describe(table, "vertex")], byte_order="<").write(str(partial))


def load_ply(path: Path) -> Parameters:
    """Read a 3DGS PLY of any order, types and further fields; a line tells of colors beyond degree 0.

    Those are dropped. Raises ValueError, in a line, for a file that is none, or holds values without meaning.
    """
    needed = {field for name, fields in PLY_FIELDS.items() if name != "normals" for field in fields}
    vertex = read_vertices(path, needed, "3D Gaussian PLY")
    raw = {
        name: torch.from_numpy(np.stack([vertex[field] for field in fields], 1).astype(np.float32))
        for name, fields in PLY_FIELDS.items()
        if name != "normals"
    }
    raw["opacities"] = raw["opacities"][:, 0]
    for name, value in raw.items():  # the logit of an opacity of 0 or 1 is infinite
        if bool((value.isnan() if name == "opacities" else ~torch.isfinite(value)).any()):
            raise ValueError(f"{path} holds {name} that are not finite")
    if rest := sum(name.startswith("f_rest_") for name in vertex.dtype.names or ()):
        degree = round((rest / 3 + 1) ** 0.5) - 1
        print(
            f"note: {path}: of its colors' spherical harmonics, degree 0 of {degree} is read", file=sys.stderr
        )
    return {name: torch.nn.Parameter(value) for name, value in raw.items()}


def read_vertices(path: Path, fields: set[str], what: str = "PLY") -> np.ndarray:
    """The vertices (N,) of a PLY, structured; ValueError, in a line, where one of the fields is lacking."""
    from plyfile import PlyData

    with path.open("rb") as stream:
        head = stream.read(65536)
    if not head.startswith(b"ply"):
        format_ = SPLATS.get(path.suffix.lower(), "no PLY")
        raise ValueError(f"{path} is {format_}; expected a {what}")
    counts = [
        int(n) for n in re.findall(rb"^element \w+ (\d{1,18})\s", head.partition(b"end_header")[0], re.M)
    ]
    if sum(counts) > path.stat().st_size:  # each takes a byte at least
        raise ValueError(f"{path} is no whole {what}: it claims {sum(counts):,} elements")
    try:
        vertex = PlyData.read(str(path))["vertex"].data
        named = set(vertex.dtype.names)
    except Exception as error:  # plyfile raises several kinds of its own
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a readable {what}: {reason}") from error
    if "packed_position" in named:
        raise ValueError(f"{path} is a compressed PLY (SuperSplat's); expected one that is not compressed")
    if lacking := sorted(fields - named):
        raise ValueError(f"{path} is not a readable {what}: it has no {', '.join(lacking)}")
    if odd := sorted(name for name in fields if vertex.dtype[name].kind not in "fiu"):
        raise ValueError(f"{path} is not a readable {what}: {odd[0]} is no number")
    return vertex
