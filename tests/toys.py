"""Small stand-ins for tests of the losses: networks, inputs, and every loss as one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from baselines.cds import CDS, Pair
from baselines.csd import CSD
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from baselines.sds import SDS
from segmentdreamer.diffusion.mixture import MixturePrior
from segmentdreamer.diffusion.solver import scaled_linear_alphas_cumprod
from segmentdreamer.diffusion.times import Times
from segmentdreamer.interfaces import Conditioning, Gradient, Method
from segmentdreamer.prior.diffusers_prior import UNetPrior
from segmentdreamer.prior.options import PriorConfig
from segmentdreamer.sctd import SCTD

ALPHAS = scaled_linear_alphas_cumprod()
TWO_STEP, ONE_STEP = Times(600, 480, 404), Times(120, 60, 20)
COMPACT = Times(421, 331, 261)

Update = Callable[[UNetPrior, Tensor, Tensor, Conditioning], Gradient]

# Every loss as one call (prior, z_0, noise, conditioning), with its network rows per sample: without
# prompt, and how often guided (2 rows each under CFG, 4 under Perp-Neg).
UPDATES: dict[str, tuple[Update, int, int]] = {
    "sds": (lambda p, z, n, c: SDS().update(p, z, n, c, 300), 0, 1),
    "csd": (lambda p, z, n, c: CSD().update(p, z, n, c, 300), 0, 1),
    "ism, 1 hop": (lambda p, z, n, c: ISM().update(p, z, n, c, Interval(150, 70)), 2, 1),
    "ism, 3 hops": (lambda p, z, n, c: ISM().update(p, z, n, c, Interval(582, 502)), 4, 1),
    "ism, s = 1": (lambda p, z, n, c: ISM().update(p, z, n, c, Interval(60, 1)), 2, 1),
    "cds": (lambda p, z, n, c: CDS(clamp=None).update(p, z, n, c, Pair(620, 500)), 0, 2),
    "gcs": (lambda p, z, n, c: GCS().update(p, z, n, c, COMPACT), 4, 2),
    "sctd, two steps": (lambda p, z, n, c: SCTD().update(p, z, n, c, TWO_STEP), 3, 1),
    "sctd, one step": (lambda p, z, n, c: SCTD().update(p, z, n, c, ONE_STEP), 2, 1),
    "sctd, pixel term": (lambda p, z, n, c: SCTD(w_cp=0.5).update(p, z, n, c, TWO_STEP), 4, 2),
    "sctd, exact G": (lambda p, z, n, c: SCTD(approx_G=False).update(p, z, n, c, TWO_STEP), 4, 1),
    "sctd, Jacobian": (
        lambda p, z, n, c: SCTD(approx_G=False, unet_jacobian=True).update(p, z, n, c, TWO_STEP),
        4,
        1,
    ),
}
METHODS: list[Method] = [SDS(), CSD(), ISM(), CDS(), GCS(), SCTD()]


class ToyPrior(UNetPrior):
    """A noise prediction with a decoder, as the pixel terms need one."""

    def decode(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents[:, :3]).repeat_interleave(8, -1).repeat_interleave(8, -2)


class MixtureImages(UNetPrior):
    """A prior of one's own, for `prior.class`: an exact mixture of two colors, in small latents."""

    latent_shape, reduction = (3, 16, 16), 4

    def __init__(self, config: PriorConfig, device: str, threads: int) -> None:
        self.mixture = MixturePrior(torch.stack([torch.full(self.latent_shape, v) for v in (-0.5, 0.5)]), 0.3)
        super().__init__(self.mixture.eps, self.mixture.alphas_cumprod)

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.nn.functional.avg_pool2d(2 * images - 1, self.reduction)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(latents / 2 + 0.5, scale_factor=self.reduction).clamp(0, 1)

    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        return self.mixture.encode_prompt([""] * len(texts))


def toy_network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """A smooth nonlinear stand-in for a UNet whose output depends on latents, time and text."""
    mixed = torch.einsum("bchw,bd->bchw", x, cond.mean((1, 2), keepdim=True)[..., 0])
    return torch.tanh(x + mixed + t.to(x)[:, None, None, None] / 1000) * 0.7


def toy_prior(alphas: Tensor = ALPHAS) -> ToyPrior:
    return ToyPrior(toy_network, alphas, alphas.dtype)


def toy_inputs(batch: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Conditioning]:
    g = torch.Generator().manual_seed(1)
    z_0, noise = (torch.randn(batch, 4, 8, 8, generator=g, dtype=dtype) for _ in range(2))
    texts = [torch.randn(n, 5, 6, generator=g, dtype=dtype) for n in (batch, 1, 1)]
    return z_0, noise, Conditioning(*texts)


def with_perp_neg(c: Conditioning, batch: int = 3) -> Conditioning:
    g = torch.Generator().manual_seed(2)
    perp = torch.randn(2, batch, 5, 6, generator=g, dtype=c.cond.dtype)
    return replace(c, perp=perp, perp_weights=-torch.rand(2, batch, generator=g, dtype=c.cond.dtype))


def relative_error(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def double() -> tuple[ToyPrior, Tensor, Tensor, Conditioning]:
    return toy_prior(ALPHAS.double()), *toy_inputs(dtype=torch.float64)
