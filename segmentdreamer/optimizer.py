"""Adam for Gaussians: one group a parameter, log-linear learning rates, per-tensor gradient clipping.

Source: official gaussian_model.py:182-248, train.py:393-398, arguments/__init__.py:151-212.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.gaussians import Parameters


@dataclass(frozen=True)
class OptimizerConfig:
    """Learning rates are (first, last), decayed log-linearly over the run; official defaults."""

    extent: float = 3.5  # default_radius: scales the position rate and densification
    means: tuple[float, float] = (1.6e-4, 1.6e-6)  # times extent
    sh0: tuple[float, float] = (0.005, 0.003)
    scales: tuple[float, float] = (0.005, 0.001)
    quats: tuple[float, float] = (0.001, 0.0002)
    opacities: tuple[float, float] = (0.05, 0.05)
    eps: float = 1e-15
    clip: tuple[float, float] = (2.0, 8.0)  # norm limit per tensor, rising over `clip_steps`
    clip_steps: int = 1000
    scale_max: float = math.inf  # largest standard deviation, world units (mini's guard)
    refine_start: int = 100  # density control: gsplat's DefaultStrategy
    refine_stop: int = 3000
    refine_every: int = 100
    reset_every: int = 300
    grow_grad: float = 7.5e-4
    grow_scale: float = 0.003  # of extent: larger Gaussians split, smaller ones are cloned
    prune_opacity: float = 0.005
    prune_scale: float = 0.1  # of extent


# Adam.step without its wrappers, which import torch's compiler: seconds of a job's start.
adam_step = inspect.unwrap(torch.optim.Adam.step)


def postpone_dynamo() -> None:
    """Let optimizers be built without importing torch's compiler, which takes seconds of a job's start.

    torch wraps some optimizer methods to be skipped by torch.compile, and the wrapper imports
    torch._dynamo on its first call unless the wrapped function already names its uncompiled form.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None:
            wrapped.__dict__.setdefault("__dynamo_disable", wrapped)


def build_optimizers(params: Parameters, config: OptimizerConfig) -> dict[str, torch.optim.Adam]:
    """One Adam for each parameter, as gsplat's strategies expect."""
    postpone_dynamo()
    return {
        name: torch.optim.Adam([{"params": [value], "name": name}], lr=1.0, eps=config.eps, fused=True)
        for name, value in params.items()
    }


def set_learning_rates(
    optimizers: dict[str, torch.optim.Adam], config: OptimizerConfig, step: int, steps: int
) -> None:
    """Set the rates of `step` (0-based): first^(1 - p) last^p with p = step / steps."""
    for name, optimizer in optimizers.items():
        first, last = getattr(config, name)
        rate = math.exp(math.log(first) + (math.log(last) - math.log(first)) * step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * (config.extent if name == "means" else 1.0)


def clip_gradients(params: Parameters, config: OptimizerConfig, step: int) -> None:
    """Clip each tensor's gradient norm at a limit that rises linearly (train.py:393-398)."""
    low, high = config.clip
    limit = low + (high - low) * min(step / config.clip_steps, 1.0)
    for value in params.values():
        if value.grad is not None:
            torch.nn.utils.clip_grad_norm_([value], limit)


def apply_updates(
    params: Parameters, optimizers: dict[str, torch.optim.Adam], config: OptimizerConfig, skip: Tensor
) -> None:
    """One Adam step, or none where `skip` (a boolean scalar) is true, which is decided on the device.

    Tensors that density control replaced have no gradient and are skipped as well.
    """
    for optimizer in optimizers.values():
        optimizer.found_inf = skip.float()  # type: ignore[attr-defined]  # as torch's GradScaler does
        with torch.no_grad():
            adam_step(optimizer)
        optimizer.zero_grad(set_to_none=True)
    if math.isfinite(config.scale_max):
        with torch.no_grad():
            params["scales"].clamp_(max=math.log(config.scale_max))


def build_strategy(config: OptimizerConfig) -> Any:
    """gsplat's DefaultStrategy with the official constants of density control."""
    from gsplat.strategy import DefaultStrategy

    return DefaultStrategy(
        prune_opa=config.prune_opacity,
        grow_grad2d=config.grow_grad,
        grow_scale3d=config.grow_scale,
        prune_scale3d=config.prune_scale,
        refine_start_iter=config.refine_start,
        refine_stop_iter=config.refine_stop,
        refine_every=config.refine_every,
        reset_every=config.reset_every,
        verbose=False,
    )
