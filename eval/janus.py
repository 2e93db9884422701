"""Janus index without ground truth: how much of a face CLIP sees where there should be a back.

CLIP says of each view of a ring how well it fits the prompt's front, sides and back. The best front view is
the face; farther than 90 degrees from it, an asset with one face shows backs, a Janus shows faces again.
"""

from __future__ import annotations

import numpy as np

TAU = 100.0  # of the softmax: the cap of CLIP's own learned scale
SMOOTHING = 10.0  # degrees, standard deviation of the Gaussian along the ring
AWAY = 90.0  # degrees: from here on no part of the face should be seen as a front
FRONT, BACK = 0, 2  # places among the view words: front, a side, back, and maybe another side


def janus_index(embeddings: np.ndarray, view_texts: np.ndarray) -> float:
    """J in [0, 1]: 0 if all is back away from the face, 1 if all is front; .5 if CLIP cannot tell.

    embeddings: (V, D) image embeddings of a whole ring in the order of azimuth, of any length.
    view_texts: (K, D) unit text embeddings of the prompt with each view word: front first, back third.

    With P = softmax over words of 100 cos, smoothed along the ring, v* the view of the largest P_front and A
    the views at least 90 degrees from v*: J = mean_A P_front / (mean_A P_front + mean_A P_back). A start at
    another azimuth changes nothing. Raises ValueError for fewer than three words or other than (V, D).
    """
    profile = view_profile(embeddings, view_texts)
    views, front = len(profile), profile[:, FRONT]
    steps = np.abs((np.arange(views) - front.argmax() + views // 2) % views - views // 2)
    away = profile[steps * 360 / views >= AWAY - 1e-9]
    face, back = away[:, FRONT].mean(), away[:, BACK].mean()
    return float(face / (face + back)) if face + back > 0 else float("nan")


def view_profile(embeddings: np.ndarray, view_texts: np.ndarray) -> np.ndarray:
    """P (V, K): the share of each view word in each view, smoothed along the ring, float64."""
    from scipy.ndimage import gaussian_filter1d

    if embeddings.ndim != 2 or view_texts.ndim != 2 or embeddings.shape[1] != view_texts.shape[1]:
        raise ValueError(f"embeddings {embeddings.shape} and view texts {view_texts.shape} do not match")
    if len(view_texts) <= BACK:
        raise ValueError("a Janus index needs the view words front, side and back")
    images = embeddings.astype(np.float64)
    unit = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12)
    logits = TAU * unit @ view_texts.T.astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return gaussian_filter1d(shares, SMOOTHING * len(shares) / 360, axis=0, mode="wrap")
