"""Gaussians of another world's axes and size, turned and scaled to ours: z up, the front towards +y."""

from typing import Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from segmentdreamer.scene.gaussians import harmonics

Up = Literal["z", "y", "-y"]
# The rotation to z up. A world whose up is y has its front towards +z, as glTF; -y is COLMAP's and that of
# most captured scenes, whose front looks to -z.
UPRIGHT = {
    "z": np.eye(3),
    "y": np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "-y": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
}


def upright(up: Up, turn: float = 0.0) -> np.ndarray:
    """The rotation (3, 3) of a world with this upward axis, then by so many degrees about the upward one."""
    return Rotation.from_euler("z", turn, degrees=True).as_matrix() @ UPRIGHT[up]


def moved(
    params: dict[str, Tensor], rotation: np.ndarray, scale: float = 1.0, center: Tensor | None = None
) -> dict[str, Tensor]:
    """Gaussians with `center` moved to 0, then rotated (3, 3) and scaled: positions, shapes and harmonics."""
    turn = torch.from_numpy(rotation).float()
    means = params["means"] if center is None else params["means"] - center
    found = {**params, "means": scale * means @ turn.T, "scales": params["scales"] + float(np.log(scale))}
    if np.allclose(rotation, np.eye(3)):
        return found
    quats = params["quats"].double().numpy()
    quats = np.where(np.linalg.norm(quats, axis=1, keepdims=True) > 0, quats, [1.0, 0, 0, 0])
    together = Rotation.from_matrix(rotation) * Rotation.from_quat(quats, scalar_first=True)
    found["quats"] = torch.from_numpy(together.as_quat(scalar_first=True)).float()
    if "shN" in params:
        found["shN"] = turned_harmonics(params["shN"], rotation)
    return found


def turned_harmonics(rest: Tensor, rotation: np.ndarray) -> Tensor:
    """Coefficients (N, K - 1, 3) beyond degree 0 whose colors turn along: c'(d) = c(R^T d) everywhere."""
    count = rest.shape[1] + 1
    directions = torch.randn(8 * count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    there = harmonics(directions @ torch.from_numpy(rotation).double(), count)
    matrix = torch.linalg.lstsq(harmonics(directions, count), there).solution[1:, 1:]
    return torch.einsum("jk,nkc->njc", matrix, rest.double()).float()
