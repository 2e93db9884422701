"""Train the toybox prior's AutoencoderKL: 64 px pictures to 16 x 16 x 4 latents.

`python -m toybox.train_autoencoder --data toybox/data/train.npz --out toybox/runs/vae`
On CUDA the pictures lie on the device and a step is one graph. The encoder has no residual blocks above
16 x 16, since every benchmark step differentiates through it.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

import torch
from torch import Tensor

from toybox import data
from toybox.replay import record, use_fast_kernels

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
CROP, CROPPED = 32, 0.7  # on a CPU crops of 32 px for the first 70 % of the time: four times the steps
BATCH = {"cpu": 16, "cuda": 64}


def edges(image: Tensor) -> tuple[Tensor, Tensor]:
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


def crop(image: Tensor) -> Tensor:
    """One random window, aligned to the latent grid, of every picture in the batch."""
    y, x = (4 * torch.randint((image.shape[-1] - CROP) // 4 + 1, (2,))).tolist()
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


class Trainer:
    """The autoencoder, its optimizer, and what a step reads and leaves on the device."""

    def __init__(self, vae, rgba: Tensor, batch: int):
        self.vae, self.rgba, self.batch = vae, rgba, batch
        self.rate, self.squared = torch.zeros((), device=rgba.device), torch.zeros((), device=rgba.device)
        self.optimizer = torch.optim.Adam(
            vae.parameters(), lr=self.rate, betas=(0.9, 0.99), fused=True, capturable=rgba.is_cuda
        )

    def update(self, cropped: bool = False) -> None:
        """One step on random pictures; `squared` then holds its mean squared error."""
        picked = torch.randint(len(self.rgba), (self.batch,), device=self.rgba.device)
        image = 2 * data.draw_images(self.rgba, picked) - 1
        total, squared = loss(self.vae, crop(image) if cropped else image)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimizer.step()
        self.squared.copy_(squared)

    def set_rate(self, step: int, done: float) -> None:
        self.rate.fill_(LEARNING_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done)))


def train(vae, rgba: Tensor, minutes: float, batch: int) -> None:
    """Train in place for a time budget, learning rate warmed up and decayed to zero over it."""
    trainer = Trainer(vae, rgba, batch)
    trainer.set_rate(0, 0)
    update = record(trainer.update, rgba.device.type)
    start, step, error = time.time(), 0, 0.0
    while (done := (time.time() - start) / (60 * minutes)) < 1:
        trainer.set_rate(step, done)
        if done < CROPPED and not rgba.is_cuda:
            trainer.update(cropped=True)
        else:
            update()
        squared = float(trainer.squared)  # waits for the device
        if not math.isfinite(squared):
            raise FloatingPointError(f"step {step}: the error is {squared}; lower LEARNING_RATE")
        error = squared if step == 0 else 0.98 * error + 0.02 * squared
        step += 1
        if step % 200 == 0:
            psnr = 10 * math.log10(4 / error)
            print(f"step {step} images {step * batch} psnr {psnr:.2f} dB {done:.0%}", flush=True)


@torch.no_grad()
def measure_scaling(vae, rgba: Tensor) -> float:
    """The factor that gives the latents unit standard deviation (diffusers' `scaling_factor`)."""
    picked = torch.arange(min(2000, len(rgba)), device=rgba.device)
    image = 2 * data.draw_images(rgba, picked) - 1
    latents = torch.cat([vae.encode(part).latent_dist.sample() for part in image.split(100)])
    return float(1 / latents.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, help=f"default: {BATCH['cpu']}, on CUDA {BATCH['cuda']}")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from diffusers import AutoencoderKL

    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    use_fast_kernels()
    vae = AutoencoderKL(**CONFIG).to(device)
    rgba = torch.from_numpy(data.load(args.data).rgba).to(device)
    train(vae, rgba, args.minutes, args.batch or BATCH[device])
    vae.register_to_config(scaling_factor=measure_scaling(vae.eval(), rgba))
    vae.save_pretrained(args.out)


if __name__ == "__main__":
    main()
