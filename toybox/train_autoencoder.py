"""Train the toybox prior's AutoencoderKL: 64 px pictures to 16 x 16 x 4 latents.

`python -m toybox.train_autoencoder --data toybox/data/train.npz --out toybox/runs/vae`
The encoder has no residual blocks above 16 x 16, since every benchmark step differentiates through it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

import numpy as np
import torch
from torch import Tensor

from toybox import data

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (32, 32, 32),
    "layers_per_block": 0,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "sample_size": 64,
    "mid_block_add_attention": False,
}
KL_WEIGHT = 1e-4
EDGE_WEIGHT = 0.5
LEARNING_RATE = 3e-3
CROP, CROPPED = 32, 0.7  # crops of 32 px for the first 70 % of the time: four times the steps


def edges(image: Tensor) -> tuple[Tensor, Tensor]:
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


def crop(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One random window, aligned to the latent grid, of every picture in the batch."""
    y, x = 4 * rng.integers((image.shape[-1] - CROP) // 4 + 1, size=2)
    return image[..., y : y + CROP, x : x + CROP]


def loss(vae, image: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruction (L1 on pixels and edges) plus KL, and the mean squared error for the log.

    image: (B, 3, 64, 64) in [-1, 1].
    """
    posterior = vae.encode(image).latent_dist
    decoded = vae.decode(posterior.sample()).sample
    difference = decoded - image
    sharp = sum((a - b).abs().mean() for a, b in zip(edges(decoded), edges(image), strict=True))
    total = (
        difference.abs().mean()
        + EDGE_WEIGHT * sharp
        + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
    )
    return total, difference.square().mean().detach()


def train(vae, rgba: np.ndarray, minutes: float, batch: int, seed: int, device: str) -> None:
    """Train in place for a time budget, learning rate warmed up and decayed to zero over it."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    start, step, error = time.time(), 0, 0.0
    while (done := (time.time() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
        picked = rng.integers(len(rgba), size=batch)
        image = data.lay_backgrounds(rgba[picked], rng).to(device) * 2 - 1
        if done < CROPPED:
            image = crop(image, rng)
        total, squared = loss(vae, image)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        error = float(squared) if step == 0 else 0.98 * error + 0.02 * float(squared)
        step += 1
        if step % 200 == 0:
            psnr = 10 * np.log10(4 / error)
            print(f"step {step} images {step * batch} psnr {psnr:.2f} dB {done:.0%}", flush=True)


def measure_scaling(vae, rgba: np.ndarray, device: str) -> float:
    """The factor that gives the latents unit standard deviation (diffusers' `scaling_factor`)."""
    image = data.lay_backgrounds(rgba[:2000], np.random.default_rng(1)).to(device) * 2 - 1
    with torch.no_grad():
        latents = torch.cat([vae.encode(part).latent_dist.sample() for part in image.split(100)])
    return float(1 / latents.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from diffusers import AutoencoderKL

    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vae = AutoencoderKL(**CONFIG).to(device)
    rgba = data.load(args.data).rgba
    train(vae, rgba, args.minutes, args.batch, args.seed, device)
    vae.register_to_config(scaling_factor=measure_scaling(vae.eval(), rgba, device))
    vae.save_pretrained(args.out)


if __name__ == "__main__":
    main()
