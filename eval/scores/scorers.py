"""The scorers of a scale, loaded once, and all scores of one asset's views.

CLIP gives the text-image metrics and the features of one feature space; Inception, where it is asked for,
those of two more (one a resize protocol); ToyReward is the toybox's reward. ImageReward has an environment
and a program of its own, whose rows are appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from segmentdreamer.records import file_digest
from segmentdreamer.timing.stopwatch import Stopwatch

from ..protocol import Protocol
from ..views.archive import composite_on, has_alpha, read_views
from ..views.ring import FEWEST, RING_METRICS
from . import ground_truth
from .clip_score import Clip, clip_scores, embed_images, embed_texts, fills, load_clip
from .consistency import GATE
from .janus import FIRST, LEAST, withhold
from .pathology import score_pathologies

if TYPE_CHECKING:
    from .inception import InceptionV3
    from .toy_reward import ToyReward

VIEW_WORDS = ("front", "right side", "back", "left side")
TEMPLATE = "{prompt}, {view} view"
SQUARE = "(short side, center crop)"  # what every scorer sees of a picture that is not square
Metrics = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scorers:
    """Everything that maps pictures to numbers, with the protocol that says how."""

    clip: Clip
    reward: ToyReward | None
    inception: InceptionV3 | None
    view_words: tuple[str, ...]
    protocol: Protocol
    device: str = "cpu"
    least: float = -np.inf  # CLIP score below which there is no Janus index
    watch: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True)
class PromptTexts:
    """A prompt table's unit text embeddings: of the prompts, and of each under every view word."""

    ids: list[str]
    texts: list[str]
    prompts: np.ndarray  # (T, D)
    views: np.ndarray  # (T, K, D)
    symmetric: list[bool]
    cut: list[bool]  # whether the model's context ends before the view words do


def load_scorers(
    clip: str,
    clip_weights: str,
    reward: Path | None = None,
    inception: Path | None = None,
    view_words: Sequence[str] = VIEW_WORDS,
    device: str = "cpu",
    orbit: str = "",
) -> Scorers:
    """Load the models; FileNotFoundError or ValueError tell in one line what is missing.

    reward: folder of a ToyReward. inception: weights of FID's network. orbit: how the views were taken, where
    that is known: scores of other views are not compared with these.
    """
    from . import toy_reward

    model = load_clip(clip, clip_weights, device)
    metrics, weights = clip_protocols(clip, model.size, view_words), {}
    if Path(clip_weights).is_file():
        weights["clip"] = file_digest(Path(clip_weights))
    toy = toy_reward.load(reward).to(device) if reward else None
    if reward:
        metrics["toy_reward"] = (
            f"ToyReward, {toy.size} px bilinear {SQUARE}, over white, raw prompt" if toy else ""
        )
        weights["toy_reward"] = file_digest(reward / "model.safetensors")
    network = None
    if inception:
        from .inception import load_inception

        network = load_inception(inception, device)
        for resize in ("clean", "pytorch"):
            metrics[f"fid_{resize}"] = f"Inception-v3 2015-12-05 pool3, resize {resize} {SQUARE}, over white"
        weights["inception"] = file_digest(inception)
    if orbit:
        metrics["views"] = orbit
    protocol = Protocol(metrics, weights)
    least = LEAST.get(clip, -np.inf)
    return Scorers(model, toy, network, tuple(dict.fromkeys(view_words)), protocol, device, least)


def clip_protocols(name: str, size: int, view_words: Sequence[str]) -> dict[str, str]:
    how = f"open_clip {name}, {size} px bicubic {SQUARE}, over white, float32"
    words = "/".join(dict.fromkeys(view_words))
    gates = f"consistency {GATE} (120 views), own prompt first in {FIRST}"
    gates += f", clip {LEAST[name]}" if name in LEAST else ""
    return {
        "clip": f"100 cos, raw prompt; {how}",
        "clip_r": f"own prompt first of the table; {how}",
        "fid_clip": f"image features, not normalized; {how}",
        "cmmd": f"unit image features; {how}",
        "janus_index": f"softmax over '{TEMPLATE}' of {words}, withheld below {gates}; {how}",
    }


def embed_prompts(scorers: Scorers, prompts: pd.DataFrame) -> PromptTexts:
    """Text embeddings of a prompt table (columns id, prompt, symmetric)."""
    texts = prompts["prompt"].tolist()
    worded = [TEMPLATE.format(prompt=text, view=view) for text in texts for view in scorers.view_words]
    with scorers.watch.part("text"):
        embedded = embed_texts(scorers.clip, [*texts, *worded])
    views = embedded[len(texts) :].reshape(len(texts), len(scorers.view_words), -1)
    symmetric = (prompts["symmetric"] == "yes").tolist()
    filled = np.array([fills(scorers.clip, text) for text in worded]).reshape(len(texts), -1)
    cut = [bool(row.any()) for row in filled]
    return PromptTexts(prompts["id"].tolist(), texts, embedded[: len(texts)], views, symmetric, cut)


def text_notes(scorers: Scorers, prompts: PromptTexts) -> list[tuple[str, str]]:
    """(prompt id, note) for every prompt that a text model does not read to its end."""
    notes = []
    for name, text, cut in zip(prompts.ids, prompts.texts, prompts.cut, strict=True):
        if cut and fills(scorers.clip, text):
            notes.append((name, "the prompt fills CLIP's context: what goes beyond it is not read"))
        if cut:
            notes.append((name, "no janus_index: the view words do not fit into CLIP's context"))
        if scorers.reward is not None:
            read, words = scorers.reward.tokenizer.length, len(scorers.reward.tokenizer.words(text))
            if words > read:
                notes.append((name, f"toy_reward reads {read} words of the prompt, not all {words}"))
    return notes


def score_asset(
    scorers: Scorers,
    views: np.ndarray,
    prompt_id: str,
    prompts: PromptTexts,
    truth: Path | None = None,
    ring: bool = True,
) -> tuple[pd.DataFrame, Metrics]:
    """All metrics of one asset as rows (view, metric, value), and its features by feature space.

    views: (V, H, W, 4) uint8, straight alpha. truth: folder with views.zip and two_faced.zip of the true
    scene. ring: whether the views go once around in even steps; without that, or with fewer than FEWEST
    views, there is no metric of the ring. A metric of the whole asset has one row, of view 0. Raises
    ValueError for an unknown prompt.
    """
    if prompt_id not in prompts.ids:
        raise ValueError(f"no prompt {prompt_id!r} in the prompt table")
    own = prompts.ids.index(prompt_id)
    watch = scorers.watch
    with watch.part("compositing"):
        images = composite_on(scorers.device, views)
    features = features_of(scorers, images)
    metrics = text_image_metrics(clip_scores(features["clip"], prompts.prompts), own)
    if scorers.reward is not None:
        with watch.part("toy_reward"):
            pixels = torch.from_numpy(images).to(scorers.device).permute(0, 3, 1, 2).float() / 255
            rewards = scorers.reward.score(pixels, [prompts.texts[own]] * len(images))
            metrics["toy_reward"] = rewards.cpu().numpy()
    if has_alpha(views):
        with watch.part("pathologies"):
            whole = ring and len(views) >= FEWEST
            faceless = prompts.symmetric[own] or prompts.cut[own] or not whole
            found = score_pathologies(views, features["clip"], prompts.views[own], faceless, scorers.device)
            metrics |= {name: values for name, values in found.items() if whole or name not in RING_METRICS}
            if whole:
                metrics |= withhold(metrics, scorers.least)
    if truth is not None:
        with watch.part("ground truth"):
            metrics |= score_truth(views, truth)
    return as_rows(metrics), features


def text_image_metrics(scores: np.ndarray, own: int) -> Metrics:
    """`clip` (own prompt), `clip_shuffled` (mean over the others), `clip_r` (own ranks first).

    scores: (V, T), 100 cos of every view and every prompt of the table.
    """
    others = np.delete(scores, own, axis=1)
    metrics = {"clip": scores[:, own]}
    if others.shape[1]:
        metrics["clip_shuffled"] = others.mean(1)
        metrics["clip_r"] = (scores[:, own] > others.max(1)).astype(float)
    return metrics


def features_of(scorers: Scorers, images: np.ndarray) -> Metrics:
    """Features by feature space of RGB images (V, H, W, 3) uint8: of the CLIP, and of Inception if there."""
    with scorers.watch.part("clip"):
        features = {"clip": embed_images(scorers.clip, images)}
    if scorers.inception is not None:
        from .inception import embed

        with scorers.watch.part("inception"):
            for protocol in ("clean", "pytorch"):
                features[f"inception_{protocol}"] = embed(scorers.inception, images, f"fid_{protocol}")
    return features


def score_truth(views: np.ndarray, folder: Path) -> Metrics:
    """Metrics against the known scene; without alpha there is no silhouette to compare, so none."""
    truth, two_faced = read_views(folder / "views.zip"), read_views(folder / "two_faced.zip")
    if not has_alpha(views):
        return {}
    if truth.shape != views.shape:
        raise ValueError(f"views are {views.shape}, the truth's in {folder} are {truth.shape}")
    return {
        "iou": ground_truth.silhouette_iou(views, truth),
        "color_error": ground_truth.color_error(views, truth),
        "detail_error": ground_truth.detail_error(views, truth),
        "janus": ground_truth.janus(views, truth, two_faced),
    }


def as_rows(metrics: Metrics) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"view": np.arange(len(values)), "metric": name, "value": values})
        for name, values in metrics.items()
    ]
    return pd.concat(frames, ignore_index=True)
