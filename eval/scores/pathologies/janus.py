"""Janus index without ground truth: how much of a face CLIP sees where there should be a back.

CLIP says of each view of a ring how well it fits the prompt's front, sides and back. The best front view is
the face; farther than 90 degrees from it, an asset with one face shows backs, a Janus shows faces again.
What all views share (over-exposure, a bias of CLIP) draws them to one word alike; three quarters of each
word's mean over the ring are taken off, not all, so that faces everywhere remain faces.

CLIP also answers where there is nothing to tell, so the index is withheld from views that do not show one
thing (consistency) or in which CLIP does not see the prompt (its errors: toybox/models/pathologies.json).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .consistency import gate

TEMPLATE = "{prompt}, {view} view"
TAU = 100.0  # of the softmax: the cap of CLIP's own learned scale
SMOOTHING = 10.0  # degrees, standard deviation of the Gaussian along the ring
SHARED = 0.75  # of each word's mean over the ring, taken off
AWAY = 90.0  # degrees: from here on no part of the face should be seen as a front
FRONT, BACK = 0, 2  # places among the view words: front, a side, back, and maybe another side
FIRST = 0.5  # share of the views in which the own prompt must rank first of the table, whatever the scorer
LEAST = {"toybox-clip": 70.0}  # CLIP score that must be reached on average, for scorers of which it is known


def janus_index(embeddings: np.ndarray, view_texts: np.ndarray) -> float:
    """J in [0, 1]: 0 if all is back away from the face, 1 if all is front; .5 if CLIP cannot tell.

    embeddings: (V, D) image embeddings of a whole ring in the order of azimuth, of any length.
    view_texts: (K, D) unit text embeddings of the prompt with each view word: front first, back third.

    P = softmax over words k of l = 100 (c_vk - .75 mean_v c_vk), c the cosines; P and the front's log-odds
    log P / (1 - P) are smoothed along the ring. v* has the largest log-odds, which never saturate; A are the
    views at least 90 degrees from v*. J = mean_A P_front / (mean_A P_front + mean_A P_back). A start at
    another azimuth changes nothing. Raises ValueError for fewer than three words or other than (V, D).
    """
    logits = view_logits(embeddings, view_texts)
    others = np.delete(logits, FRONT, axis=1)
    front = smooth(logits[:, FRONT] - np.logaddexp.reduce(others, axis=1))
    shares = smooth(np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)))
    views = len(logits)
    steps = np.abs((np.arange(views) - front.argmax() + views // 2) % views - views // 2)
    away = shares[steps * 360 / views >= AWAY - 1e-9]
    face, back = away[:, FRONT].mean(), away[:, BACK].mean()
    return float(face / (face + back)) if face + back > 0 else float("nan")


def withhold(scores: Mapping[str, np.ndarray], least: float) -> dict[str, np.ndarray]:
    """`janus_index` of one asset, NaN where its other scores say that it means nothing, and `janus_withheld`.

    scores: `janus_index`, `consistency`, `clip` (a value a view) and, where the table has several prompts,
    `clip_r`. least: CLIP score that the scorer must give on average. `janus_withheld` is 1 where an index is
    withheld, 0 where it is given, NaN where there is none (nothing to see, a symmetric prompt).
    """
    index = scores["janus_index"]
    readable = scores["consistency"][0] >= gate(len(scores["clip"]))
    readable &= scores["clip"].mean() >= least and np.mean(scores.get("clip_r", 1.0)) >= FIRST
    withheld = np.where(np.isnan(index), np.nan, float(not readable))
    return {"janus_index": np.where(withheld == 0, index, np.nan), "janus_withheld": withheld}


def view_logits(embeddings: np.ndarray, view_texts: np.ndarray) -> np.ndarray:
    """l (V, K), float64: how well each view fits each word, less three quarters of the ring's mean."""
    if embeddings.ndim != 2 or view_texts.ndim != 2 or embeddings.shape[1] != view_texts.shape[1]:
        raise ValueError(f"embeddings {embeddings.shape} and view texts {view_texts.shape} do not match")
    if len(view_texts) <= BACK:
        raise ValueError("a Janus index needs the view words front, side and back")
    images = embeddings.astype(np.float64)
    unit = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-12)
    cosines = unit @ view_texts.T.astype(np.float64)
    return TAU * (cosines - SHARED * cosines.mean(0))


def smooth(profile: np.ndarray) -> np.ndarray:
    """A ring's values (V, ...) under a Gaussian along the ring."""
    return gaussian_filter1d(profile, SMOOTHING * len(profile) / 360, axis=0, mode="wrap")
