"""Networks of the toybox's prior under options, and whether two priors give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.prior import random_networks as stable_diffusion
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.torch_networks import NetworkOptions, TorchNetworks

PRIOR = Path(__file__).parents[3] / "toybox/models/prior"


def networks(
    device: str = "cpu", recorder: Any = None, dtype: torch.dtype = torch.float32, **options: Any
) -> TorchNetworks:
    unet, vae = stable_diffusion.build_modules(PRIOR, "cpu")
    unet, vae = (torch.nn.Module.to(module, dtype) for module in (unet, vae))
    return TorchNetworks(unet, vae, lambda texts: torch.zeros(0), device, NetworkOptions(**options), recorder)


def pulled(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_(True)
    y = function(leaf)
    return y.detach(), torch.autograd.grad(y.sum(), leaf)[0]


def inputs(batch: int, prior: DiffusersPrior) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(batch)
    shapes = ((batch, 4, 16, 16), (batch, 16, 96), (batch, 3, 64, 64))
    x, cond, images = (torch.randn(shape, generator=g).to(prior.device) for shape in shapes)
    return x, cond, images.sigmoid()


def assert_same(recorded: DiffusersPrior, plain: DiffusersPrior, tolerance: float) -> None:
    """Predictions, all kept, and latents with their gradients, of several batch sizes in turn."""
    for batch in (2, 4, 2):
        x, cond, images = inputs(batch, plain)
        ours, theirs = (prior.decode(x) for prior in (recorded, plain))
        assert torch.allclose(ours, theirs, atol=tolerance)
        predictions = [[prior.eps(x, t, cond) for t in (20, 500, 980)] for prior in (recorded, plain)]
        pulls = [pulled(prior.encode, images) for prior in (recorded, plain)]
        for ours, theirs in zip(*predictions, strict=True):
            assert torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()))
        for ours, theirs in zip(*pulls, strict=True):
            assert torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()))
    assert recorded.nfe == plain.nfe == 3 * (2 + 4 + 2) and recorded.encoded == plain.encoded
