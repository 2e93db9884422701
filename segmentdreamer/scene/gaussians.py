"""3D Gaussians in the 3DGS parametrization, and their PLY form.

Positions are raw, scales logarithmic, opacities logits, rotations quaternions (w, x, y, z) that
activation normalizes, and color is the degree-0 spherical harmonic: rgb = max(0, 0.5 + C0 dc).
Source: Kerbl et al. 2023; official gaussian_model.py:36-44, sh_utils.py:26. Gaussians of others may have
harmonics of higher degrees besides (`shN`), whose color depends on the view.
"""

import re
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
    colors: Tensor  # (N, 3), or (V, N, 3) as each view sees them


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


def activate(params: Parameters | dict[str, Tensor], viewmats: Tensor | None = None) -> Splats:
    """Apply the activations; colors beyond degree 0, which need cameras (V, 4, 4), are left out without."""
    if "shN" in params and viewmats is not None:
        colors = view_colors(params, viewmats.to(params["means"]))
    else:
        colors = (0.5 + SH_C0 * params["sh0"]).clamp(min=0)
    return Splats(
        means=params["means"],
        quats=torch.nn.functional.normalize(params["quats"], dim=-1),
        scales=params["scales"].exp(),
        opacities=params["opacities"].sigmoid(),
        colors=colors,
    )


def view_colors(params: Parameters | dict[str, Tensor], viewmats: Tensor) -> Tensor:
    """The colors (V, N, 3) that cameras (V, 4, 4) see: max(0, 0.5 + sum_k B_k(direction) c_k)."""
    eyes = -torch.einsum("vji,vj->vi", viewmats[:, :3, :3], viewmats[:, :3, 3])
    coefficients = torch.cat([params["sh0"][:, None], params["shN"]], dim=1)  # (N, K, 3)
    bases = harmonics(params["means"] - eyes[:, None], coefficients.shape[1])
    return (0.5 + torch.einsum("vnk,nkc->vnc", bases, coefficients)).clamp(min=0)


def harmonics(directions: Tensor, count: int) -> Tensor:
    """The first `count` real spherical harmonics (..., K) of directions (..., 3), 3DGS's order and signs."""
    from gsplat.cuda._torch_impl import _eval_sh_bases_fast  # plain torch; the public one wants CUDA

    return _eval_sh_bases_fast(count, torch.nn.functional.normalize(directions, dim=-1))


def save_ply(params: Parameters | dict[str, Tensor], path: Path) -> None:
    """Write the standard binary 3DGS PLY, which public splat viewers open."""
    from plyfile import PlyData, PlyElement

    raw = {name: value.detach().cpu().numpy() for name, value in params.items()}
    raw["quats"] = raw["quats"] / np.maximum(np.linalg.norm(raw["quats"], axis=1, keepdims=True), 1e-12)
    raw["normals"] = np.zeros_like(raw["means"])
    columns: dict[str, tuple[str, ...]] = {**PLY_FIELDS}
    if "shN" in raw:  # all of red, then of green, then of blue
        raw["shN"] = raw["shN"].transpose(0, 2, 1).reshape(len(raw["means"]), -1)
        columns["shN"] = rest_fields(raw["shN"].shape[1])
    fields = [field for names in columns.values() for field in names]
    table = np.empty(len(raw["means"]), dtype=[(field, "<f4") for field in fields])
    for name, names in columns.items():
        for field, column in zip(names, np.atleast_2d(raw[name].T), strict=True):
            table[field] = column
    with replacing(path) as partial:
        PlyData([PlyElement.describe(table, "vertex")], byte_order="<").write(str(partial))


def rest_fields(count: int) -> tuple[str, ...]:
    """The names of so many coefficients beyond degree 0."""
    return tuple(f"f_rest_{i}" for i in range(count))


def load_ply(path: Path) -> Parameters:
    """Read a 3DGS PLY of any order, types and further fields; colors beyond degree 0 as `shN` (N, K - 1, 3).

    Raises ValueError, in a line, for a file that is none, or holds values without meaning.
    """
    needed = {field for name, fields in PLY_FIELDS.items() if name != "normals" for field in fields}
    vertex = read_vertices(path, needed, "3D Gaussian PLY")
    raw = {
        name: torch.from_numpy(np.stack([vertex[field] for field in fields], 1).astype(np.float32))
        for name, fields in PLY_FIELDS.items()
        if name != "normals"
    }
    raw["opacities"] = raw["opacities"][:, 0]
    if rest := sum(name.startswith("f_rest_") for name in vertex.dtype.names or ()):
        if rest not in (9, 24, 45, 72) or not {*rest_fields(rest)} <= {*(vertex.dtype.names or ())}:
            raise ValueError(f"{path} has {rest} fields f_rest_*: 9, 24, 45 or 72 are degrees 1 to 4")
        table = np.stack([vertex[name] for name in rest_fields(rest)], 1).astype(np.float32)
        raw["shN"] = torch.from_numpy(table.reshape(-1, 3, rest // 3).transpose(0, 2, 1).copy())
    for name, value in raw.items():  # the logit of an opacity of 0 or 1 is infinite
        if bool((value.isnan() if name == "opacities" else ~torch.isfinite(value)).any()):
            raise ValueError(f"{path} holds {name} that are not finite")
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
