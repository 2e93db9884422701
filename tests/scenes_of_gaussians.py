"""Shared by tests of the rasterizer: random scenes, cameras around them, images with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.timing.rasterizer import orbit

Scene = dict[str, Any]  # the Gaussians' tensors, as keyword arguments


def random_scene(count: int, seed: int = 0, scale: float = 0.1, spread: float = 0.4) -> Scene:
    """Anisotropic Gaussians around the origin, which `orbit`'s cameras look at from 2.9 away."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "means": spread * torch.randn(count, 3, generator=draw),
        "quats": torch.randn(count, 4, generator=draw),
        "scales": scale * torch.exp(0.3 * torch.randn(count, 3, generator=draw)),
        "opacities": 0.05 + 0.9 * torch.rand(count, generator=draw),
        "colors": torch.rand(count, 3, generator=draw),
    }


def views(count: int, width: int, height: int) -> dict[str, Any]:
    viewmats, Ks = orbit(count, max(width, height))
    Ks[:, 0, 2], Ks[:, 1, 2] = width / 2, height / 2
    return {"viewmats": viewmats, "Ks": Ks, "width": width, "height": height}


def evaluate(
    render: Callable[..., Any], scene: Scene, dtype: torch.dtype, **options: Any
) -> dict[str, Tensor]:
    """Images, meta and the gradients of a random linear loss on color, depth and alpha."""
    inputs = {name: value.to(dtype).clone().requires_grad_() for name, value in scene.items()}
    fixed = {name: value.to(dtype) if isinstance(value, Tensor) else value for name, value in options.items()}
    image, alpha, meta = render(**inputs, **fixed)
    meta["means2d"].retain_grad()
    draw = torch.Generator().manual_seed(1)
    loss = sum(
        (output * torch.randn(output.shape, generator=draw).to(dtype)).sum() for output in (image, alpha)
    )
    torch.as_tensor(loss).backward()
    results = {"image": image.detach(), "alpha": alpha.detach(), "radii": meta["radii"]}
    gradients = {
        name: torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in (*inputs.items(), ("means2d", meta["means2d"]))
    }
    return results | {f"gradient by {name}": value for name, value in gradients.items()}


def trainable(scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    raw = scene | {
        "scales": scene["scales"].log(),
        "opacities": torch.logit(scene["opacities"]),
    }
    params = {name: torch.nn.Parameter(value) for name, value in raw.items()}
    return params, {name: torch.optim.Adam([value], lr=1e-3) for name, value in params.items()}
