"""FID by torchmetrics on stored features, with a jackknife over prompts.

torchmetrics' FrechetInceptionDistance accumulates in float64; its feature extractor is the identity
here, since features were taken once, when the views were scored.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Stored(nn.Module):
    """The identity as torchmetrics' feature extractor."""

    def __init__(self, width: int):
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(features: np.ndarray, reference: np.ndarray) -> float:
    """Frechet distance between two sets of features (n, D) and (m, D), n, m >= 2."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before torchmetrics)

    from torchmetrics.image.fid import FrechetInceptionDistance

    width = features.shape[1]
    metric = FrechetInceptionDistance(feature=Stored(width), input_img_size=(1, 1, width))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(reference).double(), real=True)
    metric.update(torch.from_numpy(features).double(), real=False)
    return float(metric.compute())


def jackknife_fid(features: list[np.ndarray], reference: list[np.ndarray]) -> tuple[float, float]:
    """FID of pooled per-prompt features, and its standard error by leaving one prompt out.

    features, reference: one array (n_p, D) a prompt, in the same order; the prompt is left out of both.
    """
    whole = fid(np.concatenate(features), np.concatenate(reference))
    n = len(features)
    if n < 3:
        return whole, float("nan")
    left = [
        fid(np.concatenate(features[:i] + features[i + 1 :]),
            np.concatenate(reference[:i] + reference[i + 1 :]))
        for i in range(n)
    ]  # fmt: skip
    return whole, float(np.sqrt((n - 1) / n * np.sum((np.array(left) - np.mean(left)) ** 2)))
