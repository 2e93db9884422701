"""Images that the prior itself makes for a prompt: raw prompt without view words, DDIM with guidance.

They are the reference set of FID and, from seeds of their own, the table's ceiling row. Batches have seeds
by (prompt, stream, first index), so how the work is split never changes an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from segmentdreamer.prior.diffusers_prior import DiffusersPrior
    from segmentdreamer.prior.options import PriorConfig

BATCH = 32


@dataclass(frozen=True)
class Sampler:
    """How the images are drawn."""

    steps: int = 25  # of DDIM, eta = 0
    omega: float = 7.5

    def describe(self) -> str:
        return f"DDIM (eta 0), {self.steps} steps, guidance {self.omega:g}, negative ''"


@dataclass(frozen=True)
class Batch:
    """Images first .. first + count - 1 of a prompt."""

    prompt_id: str
    first: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.prompt_id}-{self.first:06d}-{self.count}"


def batches(ids: list[str], count: int) -> list[Batch]:
    """The whole set, `count` images a prompt, in batches of at most 32 of one prompt."""
    return [Batch(name, first, min(BATCH, count - first)) for name in ids for first in range(0, count, BATCH)]


def configure(folder: Path | None, scale: str, overrides: list[str] | None) -> PriorConfig:
    """The prior that a scale under overrides has or, of a folder, its networks in half precision on CUDA."""
    import torch

    from segmentdreamer.config import load_config
    from segmentdreamer.prior.options import PriorConfig

    if not folder:
        return load_config(scale, overrides).prior
    return PriorConfig(path=str(folder), dtype="float16" if torch.cuda.is_available() else "float32")


def open_here(config: PriorConfig, threads: int = 1) -> DiffusersPrior:
    """The prior on the best device here."""
    from segmentdreamer.command import find_device
    from segmentdreamer.prior.diffusers_prior import open_prior

    return open_prior(config, find_device(None), threads)


def draw(
    prior: DiffusersPrior, texts: dict[str, str], work: list[Batch], sampler: Sampler, stream: str
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Each batch with its images, uint8 (count, H, W, 3). texts: prompt id -> prompt.

    stream: `reference`, or another name for images that are independent of those.
    """
    import torch

    from segmentdreamer.diffusion.sampling import sample
    from segmentdreamer.interfaces import Conditioning
    from segmentdreamer.randomness import derive_seed, generator

    names = list(dict.fromkeys(batch.prompt_id for batch in work))
    embedded = prior.encode_prompt([*(texts[name] for name in names), ""])
    cond, null = embedded[:-1], embedded[-1:]
    for batch in work:
        g = generator(derive_seed(batch.prompt_id, stream), "noise", batch.first)
        noise = torch.randn(batch.count, *prior.latent_shape, generator=g).to(cond.device)
        own = cond[names.index(batch.prompt_id)].expand(batch.count, -1, -1)
        latents = sample(prior, Conditioning(own, null, null), noise, sampler.omega, sampler.steps)
        images = prior.decode(latents)
        yield batch, (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
