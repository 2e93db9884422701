"""The optimization loop: from a start state to an asset, one method's gradient at a time.

Order within a step (official train.py:260-440): learning rates, cameras, render, encode, the method's
gradient, regularizers, backward, clipping, density control, Adam. Every draw belongs to (seed, step),
so a run resumed from a checkpoint gives the bytes of a straight run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.cameras import training_cameras
from segmentdreamer.config import GenerationConfig
from segmentdreamer.distillation import Gradient, Method, Progress
from segmentdreamer.gaussians import Parameters, activate
from segmentdreamer.optimizer import (
    apply_updates,
    build_optimizers,
    build_strategy,
    clip_gradients,
    set_learning_rates,
)
from segmentdreamer.prior import DiffusersPrior
from segmentdreamer.profile import Stopwatch
from segmentdreamer.prompts import ViewPrompts
from segmentdreamer.randomness import derive_seed, generator
from segmentdreamer.regularizers import regularization
from segmentdreamer.render import Rendered, render_training

Row = dict[str, float | int]


@dataclass
class Run:
    """The state of one optimization: everything that a checkpoint holds."""

    params: Parameters
    optimizers: dict[str, torch.optim.Adam]
    strategy_state: dict[str, Any]
    step: int = 0  # steps done
    seconds: float = 0.0  # spent in steps, over all resumes
    nfe: int = 0
    skipped: int = 0  # steps whose gradient was not finite
    rows: list[Row] = field(default_factory=list)


def start_run(params: Parameters, config: GenerationConfig) -> Run:
    strategy = build_strategy(config.optimizer)
    state = strategy.initialize_state(scene_scale=config.optimizer.extent)
    return Run(params, build_optimizers(params, config.optimizer), state)


def optimize(
    run: Run,
    method: Method,
    prior: DiffusersPrior,
    prompts: ViewPrompts,
    config: GenerationConfig,
    seed: int,
    watch: Stopwatch,
    after_step: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Take the run from where it stands to `config.train.steps`, calling `after_step` after each."""
    strategy = build_strategy(config.optimizer)
    while run.step < config.train.steps:
        began, evaluated = time.perf_counter(), prior.nfe
        row = take_step(run, method, prior, prompts, config, seed, strategy, watch)
        run.step += 1
        run.seconds += time.perf_counter() - began
        run.nfe += prior.nfe - evaluated
        run.rows.append({"step": run.step, "nfe": run.nfe, "gaussians": len(run.params["means"]), **row})
        after_step(run)
    return run


def take_step(
    run: Run,
    method: Method,
    prior: DiffusersPrior,
    prompts: ViewPrompts,
    config: GenerationConfig,
    seed: int,
    strategy: Any,
    watch: Stopwatch,
) -> Row:
    """One step; returns what the log keeps of it."""
    step, train = run.step, config.train
    set_learning_rates(run.optimizers, config.optimizer, step, train.steps)
    cameras = training_cameras(config.cameras, step, seed, config.render.size)
    with watch.part("render"):
        rendered = render_training(activate(run.params), cameras, config.render, seed, step, train.disparity)
    with watch.part("encode"):
        z_0 = encode(prior, rendered, config, seed, step)
    with watch.part("method"):
        progress = Progress(step, train.steps, seed, train.warmup)
        conditioning = prompts.conditioning(cameras.azimuth)
        gradient = method(prior, z_0.detach(), conditioning, progress)
    loss = injected(z_0, rendered.images, gradient) + regularization(rendered, config.regularizers)
    finite = bool(torch.isfinite(gradient.latent).all())
    if finite:
        strategy.step_pre_backward(run.params, run.optimizers, run.strategy_state, step + 1, rendered.meta)
        with watch.part("backward"):
            loss.backward()
        with watch.part("update"):
            update(run, config, seed, strategy, rendered)
    else:
        run.skipped += 1
    return {"loss": float(loss.detach()), "gradient_rms": _rms(gradient.latent),
            **{name: float(value) for name, value in gradient.scalars.items()}}  # fmt: skip


def encode(
    prior: DiffusersPrior, rendered: Rendered, config: GenerationConfig, seed: int, step: int
) -> Tensor:
    """z_0 of the batch, with gradient: colors or (as_latent) disparity, perhaps mirrored."""
    g = generator(seed, "encode", step)
    as_latent, flip = (float(torch.rand(1, generator=g)) for _ in range(2))
    image = rendered.images
    if as_latent < config.train.as_latent and rendered.disparity is not None:
        image = rendered.disparity.expand(-1, 3, -1, -1)
    if flip < config.train.flip:
        image = image.flip(-1)
    shape = (len(image), 4, image.shape[-2] // prior.reduction, image.shape[-1] // prior.reduction)
    return prior.encode(image, noise=torch.randn(shape, generator=g))


def injected(z_0: Tensor, images: Tensor, gradient: Gradient) -> Tensor:
    """A loss whose gradient on z_0 (and on the images) is the prescribed one: <z_0, sg g>."""
    loss = (z_0 * gradient.latent).sum()
    if gradient.pixel is not None:
        loss = loss + (images * gradient.pixel).sum()
    return loss


def update(run: Run, config: GenerationConfig, seed: int, strategy: Any, rendered: Rendered) -> None:
    """Clip, control density, step Adam."""
    k = run.step + 1
    clip_gradients(run.params, config.optimizer, run.step)
    torch.manual_seed(derive_seed(seed, "density", run.step))  # gsplat draws from the global generator
    strategy.step_post_backward(
        run.params, run.optimizers, run.strategy_state, k, rendered.meta, packed=False
    )
    reset_opacity(run, config, k)
    apply_updates(run.params, run.optimizers, config.optimizer)


def reset_opacity(run: Run, config: GenerationConfig, k: int) -> None:
    """Every `reset_every` steps, opacity <- min(opacity, .01) and its Adam moments to zero.

    Ours because gsplat 1.5.3's own condition (`step % reset_every == 0 & step > 0`) is never true.
    """
    from gsplat.strategy.ops import reset_opa

    if k < config.optimizer.refine_stop and k % config.optimizer.reset_every == 0:
        reset_opa(run.params, run.optimizers, run.strategy_state, 2 * config.optimizer.prune_opacity)


def save_checkpoint(run: Run, path: Path, key: str) -> None:
    """Write the run atomically; `key` names the inputs that it belongs to."""
    state = {
        "key": key,
        "params": {name: value.detach() for name, value in run.params.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
        "strategy": run.strategy_state,
        **{name: getattr(run, name) for name in ("step", "seconds", "nfe", "skipped", "rows")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path, key: str, config: GenerationConfig, device: str) -> Run | None:
    """The run saved at `path`, or None where there is none for these inputs."""
    if not path.exists():
        return None
    state = torch.load(path, map_location=device, weights_only=True)
    if state["key"] != key:
        return None
    params = {name: torch.nn.Parameter(value) for name, value in state["params"].items()}
    run = start_run(params, config)
    for name, optimizer in run.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    run.strategy_state.update(state["strategy"])
    for name in ("step", "seconds", "nfe", "skipped", "rows"):
        setattr(run, name, state[name])
    return run


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
