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


def score_clip(args: argparse.Namespace, images: np.ndarray, prompts: pd.DataFrame) -> tuple:
    """Metrics `clip` (own prompt), `clip_shuffled` (mean over the others), `clip_r` (own ranks first)."""
    from eval.clip_score import clip_scores, embed_images, embed_texts, load_clip

    clip = load_clip(args.clip, args.clip_weights)
    embedded = embed_images(clip, images)
    scores = clip_scores(embedded, embed_texts(clip, prompts["prompt"].tolist()))  # (V, T)
    own = int(np.flatnonzero(prompts["id"] == args.prompt_id)[0])
    others = np.delete(scores, own, axis=1)
    metrics = {"clip": scores[:, own]}
    if others.shape[1]:
        metrics["clip_shuffled"] = others.mean(1)
        metrics["clip_r"] = (scores[:, own] > others.max(1)).astype(float)
    return metrics, embedded


def score_reward(args: argparse.Namespace, images: np.ndarray, prompt: str) -> dict[str, np.ndarray]:
    import torch

    from eval import toy_reward

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    model = toy_reward.load(args.reward)
    return {"toy_reward": model.score(pixels, [prompt] * len(images)).numpy()}


def score_truth(views: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    from eval import ground_truth
    from eval.archive import read_views

    truth, two_faced = read_views(folder / "views.zip"), read_views(folder / "two_faced.zip")
    if truth.shape != views.shape:
        raise ValueError(f"views are {views.shape}, the truth's in {folder} are {truth.shape}")
    return {
        "iou": ground_truth.silhouette_iou(views, truth),
        "color_error": ground_truth.color_error(views, truth),
        "janus": ground_truth.janus(views, truth, two_faced),
    }


def score(args: argparse.Namespace) -> tuple[pd.DataFrame, np.ndarray]:
    """All metrics as rows (view, metric, value), and the CLIP image features (V, D)."""
    import torch

    from eval.archive import composite, read_views
    from eval.prompts import read_prompts

    torch.set_num_threads(args.threads)
    prompts = read_prompts(args.prompts)
    if args.prompt_id not in set(prompts["id"]):
        raise ValueError(f"no prompt {args.prompt_id!r} in {args.prompts}")
    prompt = prompts.loc[prompts["id"] == args.prompt_id, "prompt"].item()
    views = read_views(args.views)
    images = composite(views)
    metrics, features = score_clip(args, images, prompts)
    if args.reward:
        metrics |= score_reward(args, images, prompt)
    if args.truth:
        metrics |= score_truth(views, args.truth)
    frames = [
        pd.DataFrame({"view": np.arange(len(values)), "metric": name, "value": values})
        for name, values in metrics.items()
    ]
    return pd.concat(frames, ignore_index=True), features


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Score the views of one asset.")
    parser.add_argument("--views", type=Path, required=True, help="views.zip")
    parser.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    parser.add_argument("--prompt-id", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clip", default="toybox-clip", help="open_clip model name")
    parser.add_argument("--clip-weights", default="toybox/models/clip/model.safetensors")
    parser.add_argument("--reward", type=Path, help="folder of a ToyReward model")
    parser.add_argument("--truth", type=Path, help="folder with the true views.zip and two_faced.zip")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        scores, features = score(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    args.out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(args.out / "scores.csv", index=False, float_format="%.6g")
    np.savez(args.out / "features.npz", clip=features.astype(np.float32))


if __name__ == "__main__":
    main()
