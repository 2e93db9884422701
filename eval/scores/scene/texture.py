"""The texture of views against the true scene's, in two bands of spatial frequency, without a network.

Both bands are of the difference of the pictures over white, within the silhouette that they share: what lies
beyond it is neither compared nor blurred in. `color_error` is of the truth's whole silhouette and of all
frequencies; finer than the high band, `detail_error` allows for detail a pixel off its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from ...views.archive import composite
from ...views.surface import OPAQUE
from ..pathology import mean_inside

if TYPE_CHECKING:
    from ..asset import Asset, Models, PromptTexts

COARSE, FINE = 1 / 16, 1 / 64  # standard deviations of the two Gaussians, of a view's height


@dataclass(frozen=True)
class TextureErrors:
    """The metrics of this module, a value a view; NaN where the silhouettes share no pixel."""

    models: Models
    prompts: PromptTexts
    protocol: ClassVar[dict[str, str]] = {
        "texture_low": f"mean |RGB difference| in [0, 1] behind a Gaussian of {COARSE:g} of the height, "
        "within the common silhouette",
        "texture_high": f"the same between Gaussians of {FINE:g} and {COARSE:g}",
    }

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        return texture_errors(asset.views, asset.true.rgba)


def texture_errors(views: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """texture_low and texture_high of views (V, H, W, 4) uint8, (V,) each."""
    common = (views[..., 3] >= OPAQUE) & (truth[..., 3] >= OPAQUE)
    difference = (composite(views).astype(np.float32) - composite(truth)) / 255 * common[..., None]
    planes = np.ascontiguousarray(np.moveaxis(difference, -1, 1))  # (V, 3, H, W)
    coarse, fine = (blur_inside(planes, common, width * views.shape[1]) for width in (COARSE, FINE))
    bands = {"texture_low": coarse, "texture_high": fine - coarse}
    return {name: mean_inside(np.abs(band).mean(1), common) for name, band in bands.items()}


def blur_inside(planes: np.ndarray, inside: np.ndarray, sigma: float) -> np.ndarray:
    """Planes (V, C, H, W), 0 outside, behind a Gaussian of sigma pixels that knows only the pixels inside."""
    blur = partial(gaussian_filter, sigma=sigma, mode="constant", truncate=3.0)
    weight = blur(inside.astype(np.float32), axes=(1, 2))[:, None]
    return blur(planes, axes=(2, 3)) / np.maximum(weight, 1e-6)
