"""Measure the shipped judge, CLIP and ToyReward on combinations and cameras that no trainer drew.

`python -m toybox.evaluate_scorers` loads the float16 weights and writes toybox/models/scorers.json and
manifest.json, the SHA-256 of all shipped weights.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from eval.scores import toy_reward
from eval.scores.clip import Clip, embed_images, embed_texts, load_clip
from eval.views.archive import composite
from segmentdreamer.records import file_digest, write_json
from toybox import data, judge, scenes, train_clip, train_reward

MODELS = Path(__file__).parent / "models"
SEED = 20_000  # far from the trainers' seeds
DISTRACTORS = 64


def judge_accuracy(images: Tensor, pictures: data.Pictures) -> dict[str, float]:
    """The share of right answers of every head; images (N, 3, 64, 64) show the pictures."""
    right = judge.labels(pictures.specs, pictures.views)
    logits = [judge.judge(part) for part in images.split(250)]
    return {
        name: float((torch.cat([part[name] for part in logits]).argmax(1) == answer).float().mean())
        for name, answer in right.items()
    }


def shipped_clip() -> Clip:
    return load_clip(train_clip.NAME, str(train_clip.FOLDER / "model.safetensors"))


def embed_pictures(clip: Clip, rgba: np.ndarray) -> Tensor:
    """Unit features (N, D) of pictures (N, 64, 64, 4) on white."""
    return F.normalize(torch.from_numpy(embed_images(clip, composite(rgba))), dim=-1)


def caption_ranks(clip: Clip, pictures: data.Pictures) -> Tensor:
    """How many (N,) of 64 random wrong captions score above each picture's right one."""
    captions = [spec.caption() for spec in scenes.all_specs()]
    similarity = (
        embed_pictures(clip, pictures.rgba) @ torch.from_numpy(embed_texts(clip, captions)).T
    )  # (N, captions)
    right = torch.tensor([captions.index(spec.caption()) for spec in pictures.specs])
    rng = np.random.default_rng(SEED)
    ranks = []
    for row, own in zip(similarity, right, strict=True):
        drawn = rng.choice(len(captions) - 1, DISTRACTORS, replace=False)
        wrong = torch.from_numpy(drawn + (drawn >= int(own)))  # every index but the right one
        ranks.append(int((row[wrong] >= row[own]).sum()))
    return torch.tensor(ranks)


def view_scores(clip: Clip, pictures: data.Pictures) -> Tensor:
    """Similarity (N, 4) of each picture to its right caption with each of the four view words."""
    image = embed_pictures(clip, pictures.rgba)
    captions = [[data.view_caption(spec.caption(), view) for spec in pictures.specs] for view in data.VIEWS]
    return torch.stack([(image * torch.from_numpy(embed_texts(clip, row))).sum(1) for row in captions], dim=1)


def view_accuracy(scores: Tensor, views: list[str]) -> tuple[float, float]:
    """The share of right views of all four, and of front against back where one is right."""
    right = torch.tensor([data.VIEWS.index(view) for view in views])
    front, back = data.VIEWS.index("front"), data.VIEWS.index("back")
    at = (right == front) | (right == back)
    ahead = scores[at, front] > scores[at, back]
    return (
        float((scores.argmax(1) == right).float().mean()),
        float((ahead == (right[at] == front)).float().mean()),
    )


def reward_margins(model: toy_reward.ToyReward, kind: str, n: int, twins: train_reward.Twins) -> Tensor:
    """By how much (n,) the better picture of each pair outscores its rival."""
    rng = np.random.default_rng(SEED)
    pairs = train_reward.draw_pairs(kind, n, twins, scenes.all_specs(), rng)
    return model.score(pairs.better, pairs.prompts) - model.score(pairs.worse, pairs.rival_prompts)


def measure(pictures_drawn: int, pairs_drawn: int) -> dict[str, Any]:
    """All figures: pictures per accuracy and pairs per kind of preference are given."""
    rng = np.random.default_rng(SEED)
    held_out, everything = scenes.held_out_specs(), scenes.all_specs()
    seen = data.draw_pictures(pictures_drawn, rng, everything)
    plain = data.lay_backgrounds(seen.rgba, rng)
    unseen = data.draw_pictures(pictures_drawn, rng, held_out)
    twins = train_reward.draw_twins(pairs_drawn, rng, held_out, everything)
    clip, reward = shipped_clip(), toy_reward.load(train_reward.FOLDER)
    ranks = caption_ranks(clip, unseen)
    four, two = view_accuracy(view_scores(clip, unseen), unseen.views)
    margins = {k: reward_margins(reward, k, pairs_drawn, twins) for k in train_reward.KINDS}
    return {
        "pictures": pictures_drawn,
        "pairs": pairs_drawn,
        "judge": {
            "clean": judge_accuracy(plain, seen),
            "distorted": judge_accuracy(judge.distort(plain, rng), seen),
        },
        "clip": {
            "top1_of_65": float((ranks == 0).float().mean()),
            "top5_of_65": float((ranks < 5).float().mean()),
            "view_of_4": four,
            "front_or_back": two,
        },
        "reward": {kind: float((m > 0).float().mean()) for kind, m in margins.items()},
        "reward_margin": {kind: float(m.mean()) for kind, m in margins.items()},
    }


def rounded(figures: Any) -> Any:
    """Every float, also in lists, to four digits."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    if isinstance(figures, list):
        return [rounded(value) for value in figures]
    return round(figures, 4) if isinstance(figures, float) else figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the judge, CLIP and ToyReward.")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=MODELS / "scorers.json")
    args = parser.parse_args()
    figures = rounded(measure(args.pictures, args.pairs))
    write_json(args.out, figures)
    weights = sorted(MODELS.rglob("*.safetensors"))
    digests = {path.relative_to(MODELS).as_posix(): file_digest(path) for path in weights}
    write_json(args.out.with_name("manifest.json"), digests)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
