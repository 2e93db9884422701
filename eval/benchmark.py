"""Time the scoring of one asset's views with networks of the paper's size and random weights.

    python -m eval.benchmark --views 120 --size 512
    python -m eval.benchmark --reference 2 --set prior.compile=false

The second draws that many batches of the reference set instead, as the paper's scale does but for --set. What
the first times is what a run does (`scorers.score_asset`: CLIP, Inception under both resize protocols,
pathologies), on a synthetic asset; reading the archive and ImageReward, a program of its own, are not in it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch

from segmentdreamer.command import (
    Device,
    Overrides,
    Program,
    Threads,
    check_threads,
    find_device,
    inputs,
    settings,
)
from segmentdreamer.timing.flops import shapes
from segmentdreamer.timing.stopwatch import Stopwatch

from .reference.samples import BATCH, Sampler, batches, draw
from .scores.inception import InceptionV3
from .scores.scorers import Scorers, load_models, prepare, score_asset

PROMPT = "a yellow duck"
IMAGES = 50_000  # of the paper's reference set
SD21 = Path("weights/sd21-base")


def draw_views(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Views (count, side, side, 4) uint8 of a disc of smooth random color, transparent around it."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    phase = draw.uniform(0, 2 * np.pi, (count, 3))[:, None, None]
    color = 0.5 + 0.5 * np.sin(4 * x[..., None] + 3 * y[..., None] + phase)  # (count, side, side, 3)
    alpha = np.broadcast_to((x**2 + y**2 < 0.5)[..., None], (count, side, side, 1))
    return (255 * np.concatenate([color, alpha], axis=-1)).astype(np.uint8)


def time_scoring(scorers: Scorers, views: np.ndarray, repeats: int) -> tuple[float, dict[str, float]]:
    """Median seconds of scoring one asset, after one time to warm up, and the mean seconds by part."""
    score_asset(scorers, views, "p")
    models, seconds = replace(scorers.models, watch=Stopwatch(synchronize=True)), []
    scorers = replace(scorers, models=models)
    for _ in range(repeats):
        began = time.perf_counter()
        score_asset(scorers, views, "p")
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), {part: s / repeats for part, s in models.watch.seconds.items()}


def time_reference(folder: Path, device: str, count: int, overrides: list[str] | None = None) -> float:
    """Seconds an image of drawing `count` batches of the reference set, after one, with random weights."""
    from segmentdreamer.config import load_config
    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.prior.random_networks import random_networks

    config = replace(load_config("paper", overrides).prior, path=str(folder))
    prior = open_prior(config, device, build=random_networks)
    drawn = draw(prior, {"p": PROMPT}, batches(["p"], (count + 1) * BATCH), Sampler(), "benchmark")
    next(drawn)
    began = time.perf_counter()
    images = sum(len(batch_images) for _, batch_images in drawn)
    return (time.perf_counter() - began) / images


def time_scores(
    views: Annotated[int, settings("views of the asset", min=1)] = 120,
    size: Annotated[int, settings("pixels", min=1)] = 512,
    clip: Annotated[str, inputs("open_clip name (default: the paper's)")] = "ViT-L-14-quickgelu",
    clip_weights: Annotated[str, inputs("its file (default: random weights)")] = "",
    repeats: Annotated[int, settings("how often", min=1)] = 3,
    reference: Annotated[int | None, settings("time N batches of the reference set instead", min=1)] = None,
    prior: Annotated[Path, inputs("whose shapes draw them (default: SD 2.1-base's)")] = SD21,
    overrides: Overrides = None,
    device: Device = None,
    threads: Threads = 1,
) -> None:
    """Time the scoring of one asset's views."""
    check_threads(threads)
    torch.set_num_threads(threads)
    device = find_device(device)
    if reference:
        with tempfile.TemporaryDirectory() as scratch:
            image = time_reference(shapes(prior, Path(scratch)), device, reference, overrides)
        hours = image * IMAGES / 3600
        return print(f"reference set on {device}: {image:.3f} s an image, {hours:.2f} hours for {IMAGES:,}")
    try:
        models = replace(load_models(clip, clip_weights, device=device), inception=InceptionV3().to(device))
        scorers = prepare(models, pd.DataFrame({"id": ["p"], "prompt": [PROMPT], "symmetric": ["no"]}))
        total, parts = time_scoring(scorers, draw_views(views, size), repeats)
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[0][:150]) from error
    print(f"{views} views of {size} px on {device}, {threads} CPU threads: {total:.2f} s")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {part:<14} {seconds:7.2f} s")


main = Program(time_scores)

if __name__ == "__main__":
    main()
