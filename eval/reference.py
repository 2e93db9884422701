"""The reference set: images that the prior itself makes for each prompt, as features for FID.

    python -m eval.reference --prior toybox/models/prior --prompts prompts/toybox.tsv --count 64 --out FOLDER

Raw prompts without view words, DDIM with guidance; writes features.npz (one array a prompt) and a
contact sheet. The images themselves are not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

BATCH = 32


def draw_images(
    prior_folder: Path,
    prompt: str,
    prompt_id: str,
    count: int,
    steps: int,
    omega: float,
    negative: str,
) -> np.ndarray:
    """`count` samples of the prior for one prompt: uint8 (count, H, W, 3); seeds from the prompt's id."""
    import torch

    from segmentdreamer.guidance import Conditioning
    from segmentdreamer.prior import DiffusersPrior
    from segmentdreamer.randomness import derive_seed, generator
    from segmentdreamer.sampling import sample

    device = "cuda" if torch.cuda.is_available() else "cpu"
    prior = DiffusersPrior(prior_folder, device)
    cond, neg, null = prior.encode_prompt([prompt, negative, ""]).split(1)
    side = json.loads((prior_folder / "unet" / "config.json").read_text())["sample_size"]
    images = []
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        g = generator(derive_seed(prompt_id, "reference"), "noise", start)
        noise = torch.randn(n, 4, side, side, generator=g).to(device)
        conditioning = Conditioning(cond.expand(n, -1, -1), neg, null)
        decoded = prior.decode(sample(prior, conditioning, noise, omega, steps))
        images.append((decoded * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(images)


def write_sheet(images: dict[str, np.ndarray], path: Path, columns: int = 16) -> None:
    """One row of samples for each prompt."""
    from PIL import Image

    rows = [np.concatenate(list(stack[:columns]), axis=1) for stack in images.values()]
    Image.fromarray(np.concatenate(rows)).save(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Sample the prior for every prompt; keep the features.")
    parser.add_argument("--prior", type=Path, required=True, help="a StableDiffusionPipeline folder")
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1250, help="images a prompt (default: 1250)")
    parser.add_argument("--steps", type=int, default=25, help="DDIM steps (default: 25)")
    parser.add_argument("--omega", type=float, default=7.5, help="guidance scale (default: 7.5)")
    parser.add_argument("--negative", default="", help="negative prompt (default: empty)")
    parser.add_argument("--clip", default="toybox-clip")
    parser.add_argument("--clip-weights", default="toybox/models/clip/model.safetensors")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    import torch

    from eval.clip_score import embed_images, load_clip
    from eval.prompts import read_prompts

    torch.set_num_threads(args.threads)
    try:
        prompts = read_prompts(args.prompts)
        clip = load_clip(args.clip, args.clip_weights)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    images = {}
    for i, (name, text) in enumerate(zip(prompts["id"], prompts["prompt"], strict=True)):
        print(f"[{i + 1}/{len(prompts)}] {name}: {text}", file=sys.stderr, flush=True)
        images[name] = draw_images(args.prior, text, name, args.count, args.steps, args.omega, args.negative)
    args.out.mkdir(parents=True, exist_ok=True)
    write_sheet(images, args.out / "sheet.png")
    features = {name: embed_images(clip, stack) for name, stack in images.items()}
    np.savez(args.out / "features.npz", **features)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
