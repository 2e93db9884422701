"""Shared by tests of distances: features with known distances, and an extractor that is the identity."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from eval.distances import frechet
from eval.distances import kernels as mmd
from eval.distances.frechet import Moments
from eval.distances.paired import jackknife_error

SEEDS = st.integers(0, 2**32 - 1)


class Stored(torch.nn.Module):
    """The identity as torchmetrics' extractor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def fid(features: np.ndarray, reference: np.ndarray) -> float:
    return float(frechet.distances_to(Moments.of(reference), [Moments.of(features)])[0])


def simulate(
    rng: np.random.Generator,
    prompts: int = 12,
    views: int = 8,
    images: int = 16,
    width: int = 24,
    shift: float = 0.0,
    alike: float = 0.8,
    apart: float = 1.0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A method's views and the reference's images, one array a prompt, with the same law given the prompt.

    Half of the variance is the prompt's, times apart^2; of the rest, the share `alike` is common to the views
    of an asset. Then a method with shift 0 is perfect: each of its views is distributed as a reference image.
    """
    spread = np.sqrt(1 / np.arange(1, width + 1))
    own = rng.normal(size=(prompts, 1, width)) * apart
    asset = rng.normal(size=(prompts, 1, width)) * np.sqrt(alike)
    view = rng.normal(size=(prompts, views, width)) * np.sqrt(1 - alike)
    method = np.sqrt(0.5) * (own + asset + view) * spread + 0.4 + shift
    reference = np.sqrt(0.5) * (own + rng.normal(size=(prompts, images, width))) * spread + 0.4
    return list(method.astype(np.float32)), list(reference.astype(np.float32))


def spread_of(left_out: np.ndarray) -> float:
    return float(jackknife_error(left_out[:, None])[0])


LINEAR = mmd.Kernel(np.asarray, lambda x, y: x @ y.T)
