"""Adam for Gaussians: one group a parameter, log-linear learning rates, per-tensor gradient clipping.

Source: official gaussian_model.py:182-248, train.py:393-398, arguments/__init__.py:151-212.
"""

import inspect
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from segmentdreamer.interfaces import Count, Positive, Share, Weight, Whole
from segmentdreamer.scene.gaussians import Parameters

Rates = tuple[Positive, Positive]


@dataclass(frozen=True)
class OptimizerConfig:
    """Learning rates are (first, last), decayed log-linearly over the run; official defaults."""

    rate: Positive = 1.0  # every learning rate times this, once, when the configuration is read
    extent: Positive = 3.5  # default_radius: scales the position rate and densification
    means: Rates = (1.6e-4, 1.6e-6)  # times extent
    sh0: Rates = (0.005, 0.003)
    scales: Rates = (0.005, 0.001)
    quats: Rates = (0.001, 0.0002)
    opacities: Rates = (0.05, 0.05)
    eps: Positive = 1e-15
    clip: Rates = (2.0, 8.0)  # norm limit per tensor, rising over `clip_steps`
    clip_steps: Count = 1000
    scale_max: Annotated[float, Interval(gt=0, le=math.inf)] = (
        math.inf
    )  # largest standard deviation, world units (mini's guard)
    refine_start: Whole = 100  # density control (segmentdreamer/scene/density.py)
    refine_stop: Whole = 3000
    refine_every: Count = 100
    reset_every: Count = 300
    # Who grows, by a view's gradient by a Gaussian's position in NDC: whose is above a threshold, or above a
    # quantile of all that were seen, for losses whose gradients no threshold was chosen for.
    grow_by: Literal["threshold", "quantile"] = "threshold"
    grow_grad: Weight = 7.5e-4
    grow_quantile: Share = 0.95  # at most 1.05^28, a fourfold, over the official 28 refinements
    max_gaussians: Count = 500_000  # growth ends here; officially there is no limit
    grow_scale: Weight = 0.003  # of extent: larger Gaussians split, smaller ones are cloned
    prune_opacity: Share = 0.005
    prune_scale: Weight = 0.1  # of extent


# Adam.step without its wrappers, which import torch's compiler: seconds of a job's start.
adam_step = inspect.unwrap(torch.optim.Adam.step)


def postpone_dynamo() -> None:
    """Let optimizers be built without torch's compiler, which a wrapper imports: seconds of a job's start."""
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
    gradients = [value.grad for value in params.values() if value.grad is not None]
    if gradients:
        norms = torch.stack(torch._foreach_norm(gradients))
        shares = (limit / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
        torch._foreach_mul_(gradients, list(shares.unbind()))


def apply_updates(
    params: Parameters, optimizers: dict[str, torch.optim.Adam], config: OptimizerConfig, skip: Tensor
) -> None:
    """One Adam step of what has a gradient, or none where `skip` (a boolean scalar on the device) is true."""
    found = skip.float()
    for optimizer in optimizers.values():
        optimizer.found_inf = found  # type: ignore[attr-defined]  # as torch's GradScaler does
        with torch.no_grad():
            adam_step(optimizer)
        optimizer.zero_grad(set_to_none=True)
    if math.isfinite(config.scale_max):
        with torch.no_grad():
            params["scales"].clamp_(max=math.log(config.scale_max))
