"""CLIP score, the same under the other prompts, and R-precision: how well each view fits its prompt.

clip = 100 cos(E_img, E_txt) of the raw prompt, float32, no clamp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .asset import Asset, Models, PromptTexts


@dataclass(frozen=True)
class TextImage:
    """CLIP score and R-precision: how well each view fits its prompt, and the others of the table."""

    models: Models
    prompts: PromptTexts

    @property
    def protocol(self) -> dict[str, str]:
        how = self.models.clip.how
        return {"clip": f"100 cos, raw prompt; {how}", "clip_r": f"own prompt first of the table; {how}"}

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        return text_image_metrics(clip_scores(asset.features["clip"], self.prompts.prompts), asset.own)


def clip_scores(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """100 cos between every image (V, D) and every text (T, D): (V, T)."""
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    return 100 * unit @ texts.T


def text_image_metrics(scores: np.ndarray, own: int) -> dict[str, np.ndarray]:
    """`clip` (own prompt), `clip_shuffled` (mean over the others), `clip_r` (own ranks first).

    scores: (V, T), 100 cos of every view and every prompt of the table.
    """
    clip, others = scores[:, own], np.delete(scores, own, axis=1)
    if not others.shape[1]:
        return {"clip": clip}
    return {"clip": clip, "clip_shuffled": others.mean(1), "clip_r": (clip > others.max(1)).astype(float)}
