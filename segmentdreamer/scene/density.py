"""Density control: gsplat's DefaultStrategy, held to the official statistic and to a limit.

The official statistic of a Gaussian is the norm of one view's gradient by its position in NDC, averaged over
the steps that saw it (SegmentDreamer train.py:422-435, gaussian_model.py:436-498). gsplat multiplies it by
the number of views in a batch, so that a batch of four crosses the official threshold at a quarter of it.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from gsplat.strategy import DefaultStrategy
from torch import Tensor

from segmentdreamer.scene.gaussians import Parameters
from segmentdreamer.scene.optimizer import OptimizerConfig

Optimizers = dict[str, torch.optim.Optimizer]


@dataclass
class DensityControl(DefaultStrategy):
    """DefaultStrategy whose statistic is a view's own, and whose growth ends at `max_gaussians`.

    Every view that shows a Gaussian counts; officially the last of a batch alone, with the same mean and more
    noise. `state["held_back"]`: how many Gaussians the last refinement wanted to add and could not.
    """

    max_gaussians: int = 500_000
    grow_quantile: float | None = None  # of the statistic, in place of the threshold grow_grad2d

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]:
        return super().initialize_state(scene_scale) | {"held_back": 0}

    def step_post_backward(
        self, params: Any, optimizers: Any, state: Any, step: int, info: Any, packed: bool = False
    ) -> None:
        state["held_back"] = 0
        super().step_post_backward(params, optimizers, state, step, info, packed)

    def _update_state(self, params: Any, state: Any, info: Any, packed: bool = False) -> None:
        """Add each view's statistic where it shows a Gaussian, without an index that a host must wait for."""
        gradients = info[self.key_for_gradient].grad.clone()  # (C, N, 2), by pixels
        gradients[..., 0] *= info["width"] / 2.0
        gradients[..., 1] *= info["height"] / 2.0
        seen = (info["radii"] > 0).all(-1)  # (C, N)
        for name in ("grad2d", "count"):
            if state[name] is None:
                state[name] = gradients.new_zeros(gradients.shape[1])
        for norm, visible in zip(gradients.norm(dim=-1), seen, strict=True):
            state["grad2d"] += torch.where(visible, norm, 0.0)
            state["count"] += visible

    @torch.no_grad()
    def _grow_gs(self, params: Parameters, optimizers: Optimizers, state: dict[str, Any], step: int) -> Any:
        statistic = state["grad2d"] / state["count"].clamp_min(1)
        wanted = self.threshold(statistic[state["count"] > 0])
        room = max(0, self.max_gaussians - len(statistic))
        threshold = limit(statistic, wanted, room)
        state["held_back"] = int((statistic > wanted).sum() - (statistic > threshold).sum())
        held: Any = replace(self, grow_grad2d=threshold)  # type: ignore[call-arg]  # a field of gsplat's
        return DefaultStrategy._grow_gs(held, params, optimizers, state, step)

    def threshold(self, statistic: Tensor) -> float:
        """What a Gaussian's statistic must exceed, from those of all that were seen (N,)."""
        if self.grow_quantile is None or not len(statistic):
            return self.grow_grad2d
        return float(torch.quantile(statistic, self.grow_quantile))


def limit(statistic: Tensor, threshold: float, room: int) -> float:
    """The least threshold, no lower than the given one, that at most `room` of the statistics (N,) exceed."""
    above = statistic[statistic > threshold]
    return float(above.sort(descending=True).values[room]) if len(above) > room else threshold


def build_strategy(config: OptimizerConfig) -> DensityControl:
    """Density control with the configured constants (defaults: the official ones)."""
    return DensityControl(
        prune_opa=config.prune_opacity,
        grow_grad2d=config.grow_grad,
        grow_scale3d=config.grow_scale,
        prune_scale3d=config.prune_scale,
        refine_start_iter=config.refine_start,
        refine_stop_iter=config.refine_stop,
        refine_every=config.refine_every,
        reset_every=config.reset_every,
        verbose=False,
        max_gaussians=config.max_gaussians,
        grow_quantile=config.grow_quantile if config.grow_by == "quantile" else None,
    )
