"""Judge the toybox prior: does a sample show the class, the colors and the side that its prompt names?

    python -m toybox.evaluate_prior --out toybox/models/prior.json --sheet samples.webp

512 samples (DDIM 25 steps, guidance 5) of random captions of the whole world, seen and held out, are
read by the judge, a classifier trained on renders.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from segmentdreamer.diffusion.sampling import sample
from segmentdreamer.interfaces import Conditioning
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.randomness import generator
from segmentdreamer.records import write_json
from toybox import data, judge, scenes

BATCH = 32


def draw_captions(n: int, seed: int) -> tuple[list[scenes.Spec], list[str]]:
    """Random specs of the world (half of them held out of training) and a side for each."""
    rng = np.random.default_rng(seed)
    pools = [data.by_class(scenes.training_specs()), data.by_class(scenes.held_out_specs())]
    specs = [data.draw_spec(rng, pools[i % 2]) for i in range(n)]
    return specs, [data.VIEWS[rng.integers(len(data.VIEWS))] for _ in range(n)]


def draw_samples(
    prior: DiffusersPrior, captions: list[str], omega: float, steps: int, seed: int
) -> torch.Tensor:
    """One image (N, 3, 64, 64) in [0, 1] for each caption."""
    images = []
    null = prior.encode_prompt([""])
    for start in range(0, len(captions), BATCH):
        cond = prior.encode_prompt(captions[start : start + BATCH])
        noise = torch.randn(len(cond), 4, 16, 16, generator=generator(seed, "samples", start))
        latents = sample(prior, Conditioning(cond, null, null), noise.to(prior.device), omega, steps)
        images.append(prior.decode(latents).cpu())
        print(f"{start + len(cond)}/{len(captions)} samples", file=sys.stderr, flush=True)
    return torch.cat(images)


def accuracy(images: torch.Tensor, specs: list[scenes.Spec], views: list[str], folder: Path) -> dict:
    """Share of samples read right, for each of the judge's questions, seen and held out apart."""
    with torch.inference_mode():
        logits = judge.load(folder)(images)
    held_out = torch.tensor([scenes.held_out(spec) for spec in specs])
    result = {}
    for head, answer in judge.labels(specs, views).items():
        right = logits[head].argmax(-1) == answer
        result[head] = round(float(right.float().mean()), 4)
        result[f"{head}_held_out"] = round(float(right[held_out].float().mean()), 4)
    return result


def write_sheet(images: torch.Tensor, path: Path, columns: int = 16) -> None:
    from PIL import Image

    rows = images[: len(images) // columns * columns].reshape(-1, columns, *images.shape[1:])
    grid = rows.permute(0, 3, 1, 4, 2).reshape(rows.shape[0] * 64, columns * 64, 3)
    Image.fromarray((grid.numpy() * 255).round().astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge samples of the toybox prior.")
    parser.add_argument("--prior", type=Path, default=Path("toybox/models/prior"))
    parser.add_argument("--judge", type=Path, default=Path("toybox/models/judge"))
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--sheet", type=Path, help="picture of the samples")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--omega", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    specs, views = draw_captions(args.count, args.seed)
    captions = [data.view_caption(s.caption(), v) for s, v in zip(specs, views, strict=True)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = draw_samples(DiffusersPrior(args.prior, device), captions, args.omega, args.steps, args.seed)
    figures = {
        "samples": args.count,
        "ddim_steps": args.steps,
        "guidance": args.omega,
        **accuracy(images, specs, views, args.judge),
    }
    write_json(args.out, figures)
    print(json.dumps(figures))
    if args.sheet:
        write_sheet(images, args.sheet)


if __name__ == "__main__":
    main()
