"""Score the views of one asset: a row for each view and metric, and the features for FID.

python -m eval.score --views views.zip --prompts prompts/toybox.tsv --prompt-id p01 --out FOLDER
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pandas as pd
import torch

from eval import ground_truth, pathology, toy_reward
from eval.archive import composite, read_views
from eval.clip_score import Clip, clip_scores, embed_images, embed_texts, load_clip
from eval.prompts import read_prompts
from eval.toy_reward import ToyReward

Scored = tuple[dict[str, np.ndarray], np.ndarray]


def score_clip(clip: Clip, images: np.ndarray, prompts: pd.DataFrame, prompt_id: str) -> Scored:
    """Metrics `clip` (own prompt), `clip_shuffled` (mean over the others), `clip_r` (own ranks first)."""
    embedded = embed_images(clip, images)
    scores = clip_scores(embedded, embed_texts(clip, prompts["prompt"].tolist()))  # (V, T)
    own = int(np.flatnonzero(prompts["id"] == prompt_id)[0])
    others = np.delete(scores, own, axis=1)
    metrics = {"clip": scores[:, own]}
    if others.shape[1]:
        metrics["clip_shuffled"] = others.mean(1)
        metrics["clip_r"] = (scores[:, own] > others.max(1)).astype(float)
    return metrics, embedded


def score_reward(model: ToyReward, images: np.ndarray, prompt: str) -> dict[str, np.ndarray]:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return {"toy_reward": model.score(pixels, [prompt] * len(images)).numpy()}


def score_truth(views: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    truth, two_faced = read_views(folder / "views.zip"), read_views(folder / "two_faced.zip")
    if truth.shape != views.shape:
        raise ValueError(f"views are {views.shape}, the truth's in {folder} are {truth.shape}")
    return {
        "iou": ground_truth.silhouette_iou(views, truth),
        "color_error": ground_truth.color_error(views, truth),
        "janus": ground_truth.janus(views, truth, two_faced),
    }


def score_pathology(views: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "over_exposure": pathology.over_exposure(views),
        "saturation": pathology.saturation(views),
        "detail": pathology.detail(views),
    }


def score_asset(
    path: Path,
    prompt_id: str,
    prompts: pd.DataFrame,
    clip: Clip,
    reward: ToyReward | None,
    truth: Path | None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """All metrics of one asset as rows (view, metric, value), and its CLIP image features (V, D)."""
    if prompt_id not in set(prompts["id"]):
        raise ValueError(f"no prompt {prompt_id!r} in the prompt table")
    views = read_views(path)
    images = composite(views)
    metrics, features = score_clip(clip, images, prompts, prompt_id)
    if reward is not None:
        prompt = prompts.loc[prompts["id"] == prompt_id, "prompt"].item()
        metrics |= score_reward(reward, images, prompt)
    metrics |= score_pathology(views)
    if truth is not None:
        metrics |= score_truth(views, truth / prompt_id)
    frames = [
        pd.DataFrame({"view": np.arange(len(values)), "metric": name, "value": values})
        for name, values in metrics.items()
    ]
    return pd.concat(frames, ignore_index=True), features


def write_scores(scores: pd.DataFrame, features: np.ndarray, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(out / "scores.csv", index=False, float_format="%.6g")
    np.savez(out / "features.npz", clip=features.astype(np.float32))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score the views of assets; the models are loaded once for all of them."
    )
    parser.add_argument("--views", type=Path, nargs="+", required=True, help="views.zip of each asset")
    parser.add_argument("--prompt-id", nargs="+", required=True, help="the prompt of each asset")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="a folder for each asset")
    parser.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    parser.add_argument("--clip", default="toybox-clip", help="open_clip model name")
    parser.add_argument("--clip-weights", default="toybox/models/clip/model.safetensors")
    parser.add_argument("--reward", type=Path, help="folder of a ToyReward model")
    parser.add_argument("--truth", type=Path, help="folder with PROMPT/views.zip and two_faced.zip")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    if not len(args.views) == len(args.prompt_id) == len(args.out):
        parser.error("--views, --prompt-id and --out need as many values as there are assets")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    torch.set_num_threads(args.threads)
    try:
        prompts = read_prompts(args.prompts)
        clip = load_clip(args.clip, args.clip_weights)
        reward = toy_reward.load(args.reward) if args.reward else None
        for views, prompt_id, out in zip(args.views, args.prompt_id, args.out, strict=True):
            write_scores(*score_asset(views, prompt_id, prompts, clip, reward, args.truth), out)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
