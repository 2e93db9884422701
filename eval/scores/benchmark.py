"""Time the scoring of one asset's views with networks of the paper's size and random weights.

    python -m eval.scores.benchmark --views 120 --size 512
    python -m eval.scores.benchmark --reference 2

The second draws that many batches of the reference set instead. What the first times is what a run does
(`scorers.score_asset`: CLIP, Inception under both resize protocols, pathologies), on a synthetic asset;
reading the archive and ImageReward, a program of its own, are not in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pandas as pd
import torch

from segmentdreamer.timing.flops import shapes
from segmentdreamer.timing.stopwatch import Stopwatch

from ..reference.samples import BATCH, Sampler, batches, draw
from .inception import InceptionV3
from .scorers import Scorers, load_models, prepare, score_asset

PROMPT = "a yellow duck"
IMAGES = 50_000  # of the paper's reference set


def build_scorers(clip: str, weights: str, device: str) -> Scorers:
    """CLIP by its open_clip name, with random weights if `weights` is empty, and a random Inception-v3."""
    models = replace(load_models(clip, weights, device=device), inception=InceptionV3().to(device))
    return prepare(models, pd.DataFrame({"id": ["p"], "prompt": [PROMPT], "symmetric": ["no"]}))


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


def time_reference(folder: Path, device: str, count: int) -> float:
    """Seconds an image of drawing `count` batches of the reference set, after one, with random weights."""
    from segmentdreamer.prior.diffusers_prior import DiffusersPrior
    from segmentdreamer.prior.random_networks import random_networks

    dtype = torch.float32 if device == "cpu" else torch.float16
    prior = DiffusersPrior(folder, device, dtype, random_networks(folder, device, dtype))
    drawn = draw(prior, {"p": PROMPT}, batches(["p"], (count + 1) * BATCH), Sampler(), "benchmark")
    next(drawn)
    began = time.perf_counter()
    images = sum(len(batch_images) for _, batch_images in drawn)
    return (time.perf_counter() - began) / images


def print_reference(args: argparse.Namespace, device: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = shapes(args.prior, Path(scratch))
        seconds = time_reference(folder, device, args.reference)
    hours = seconds * IMAGES / 3600
    print(f"reference set on {device}: {seconds:.3f} s an image, {hours:.2f} hours for {IMAGES:,}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Time the scoring of one asset's views.")
    parser.add_argument("--views", type=int, default=120, help="(default: 120)")
    parser.add_argument("--size", type=int, default=512, help="pixels (default: 512)")
    parser.add_argument("--clip", default="ViT-L-14-quickgelu", help="open_clip name (default: the paper's)")
    parser.add_argument("--clip-weights", default="", help="its file (default: random weights)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: 3)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, which resize (default: 1)")
    parser.add_argument(
        "--reference", type=int, metavar="N", help="time N batches of the reference set instead"
    )
    parser.add_argument("--prior", type=Path, default=Path("weights/sd21-base"),
                        help="whose shapes draw them (default: SD 2.1-base's)")  # fmt: skip
    args = parser.parse_args(argv)
    if args.reference is not None and args.reference < 1:
        parser.error("--reference must be at least 1")
    if min(args.views, args.size, args.repeats) < 1:
        parser.error("--views, --size and --repeats must be at least 1")
    if args.clip_weights and not Path(args.clip_weights).is_file():
        sys.exit(f"error: no CLIP weights at {args.clip_weights}")
    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if args.reference:
        return print_reference(args, device)
    try:
        scorers = build_scorers(args.clip, args.clip_weights, device)
        total, parts = time_scoring(scorers, draw_views(args.views, args.size), args.repeats)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"error: {str(error).splitlines()[0][:150]}")
    print(f"{args.views} views of {args.size} px on {device}, {args.threads} CPU threads: {total:.2f} s")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {part:<14} {seconds:7.2f} s")


if __name__ == "__main__":
    main()
