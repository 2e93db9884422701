"""The optimization loop: from a start state to an asset, one method's gradient at a time.

Order within a step (official train.py:260-440): learning rates, cameras, render, encode, the method's
gradient, regularizers, backward, clipping, density control, brightness, Adam. Every draw belongs to
(seed, step), so a run resumed from a checkpoint gives the bytes of a straight run.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from gsplat.strategy.ops import reset_opa
from torch import Tensor

from segmentdreamer.command import out_of_memory
from segmentdreamer.config import GenerationConfig, TrainConfig
from segmentdreamer.diffusion.terms import rms
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Progress
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.view_prompts import ViewPrompts
from segmentdreamer.randomness import derive_seed, generator
from segmentdreamer.rasterizer import cuda
from segmentdreamer.scene.brightness import equalize
from segmentdreamer.scene.cameras import training_cameras
from segmentdreamer.scene.density import build_strategy
from segmentdreamer.scene.gaussians import Parameters, activate
from segmentdreamer.scene.optimizer import apply_updates, build_optimizers, clip_gradients, set_learning_rates
from segmentdreamer.scene.render import Rendered, regularization, render_training, seen
from segmentdreamer.timing.cost import Cost, read_meters
from segmentdreamer.timing.stopwatch import Stopwatch

Row = dict[str, Any]  # numbers, or tensors not read yet
READ_EVERY = 10  # steps between two looks at the device's figures


@dataclass
class Run:
    """The state of one optimization: everything that a checkpoint holds."""

    params: Parameters
    optimizers: dict[str, torch.optim.Adam]
    strategy_state: dict[str, Any]
    step: int = 0  # steps done
    cost: Cost = field(default_factory=Cost)  # of the steps, over all resumes
    rows: list[Row] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)  # the method's (interfaces.Progress)


class AssetFailed(RuntimeError):
    """An optimization that can come to nothing any more; the message is the reason."""


def start_run(start: Mapping[str, Tensor], config: GenerationConfig, device: str | None = None) -> Run:
    """A run at its first step, on a copy of its parameters, on their device by default."""
    if device and torch.device(device).type == "cuda":
        cuda.build_kernels()  # here, since without them no asset could be made at all
    copies = {name: value.detach().to(device or value.device, copy=True) for name, value in start.items()}
    params = {name: torch.nn.Parameter(value) for name, value in copies.items()}
    state = build_strategy(config.optimizer).initialize_state(scene_scale=config.optimizer.extent)
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
    """Take the run to `config.train.steps`, `after_step` after each.

    AssetFailed if no Gaussian is left, a step raises or too many were not finite.
    """
    strategy, prior.watch = build_strategy(config.optimizer), watch
    while run.step < config.train.steps:
        if not len(run.params["means"]):
            raise AssetFailed(f"every Gaussian was pruned by step {run.step}")
        before = read_meters(prior)
        with failing(f"step {run.step + 1}"):
            row = take_step(run, method, prior, prompts, config, seed, strategy, watch)
        run.step += 1
        nfe = run.cost.nfe + prior.nfe - before.nfe
        run.rows.append({"step": run.step, "nfe": nfe, "gaussians": len(run.params["means"]), **row})
        if run.step % READ_EVERY == 0 or run.step == config.train.steps:
            read_rows(run.rows)  # waits for the device, so inside the clock
        run.cost += read_meters(prior) - before
        after_step(run)
    check_result(run, config.train.max_skipped)
    return run


@contextmanager
def failing(where: str) -> Iterator[None]:
    """Whatever a method or its step raises becomes AssetFailed, in a line that says what and where."""
    try:
        yield
    except AssetFailed:
        raise
    except Exception as error:
        if reason := out_of_memory(error):
            raise AssetFailed(f"{where} ran {reason}") from error
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = " ".join(str(error).split())[:200]
        place = f"{Path(at.filename).name}:{at.lineno}"
        raise AssetFailed(f"{where} raised {type(error).__name__} at {place}: {told}") from error


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
    """One step; returns what the log keeps of it, tensors unread so that a GPU need not be waited for."""
    step = run.step
    with watch.part("rest"):
        set_learning_rates(run.optimizers, config.optimizer, step, config.train.steps)
        cameras = training_cameras(config.cameras, step, seed, config.render.size)
    with watch.part("rasterizer"):
        splats = activate(run.params)
        rendered = render_training(splats, cameras, config.render, seed, step, config.train.disparity)
    with watch.part("method"):
        progress = Progress(step, config.train.steps, seed, config.train.warmup, run.state)
        conditioning = replace(prompts.conditioning(cameras.azimuth), views=seen(rendered, cameras))
        gradient, picture, pull = distill(method, prior, conditioning, rendered, config.train, progress)
    with watch.part("rest"):
        finite = torch.isfinite(pull).all()
        loss = (picture * torch.where(finite, pull, 0.0)).sum()
        loss = loss + regularization(rendered, config.regularizers)
        strategy.step_pre_backward(run.params, run.optimizers, run.strategy_state, step + 1, rendered.meta)
    with watch.part("rasterizer"):
        loss.backward()
    with watch.part("rest"):
        row = update(run, config, seed, strategy, rendered, finite)
    figures = {name: v if isinstance(v, Tensor) else float(v) for name, v in gradient.scalars.items()}
    return {**row, "loss": loss.detach(), "gradient_rms": rms(gradient.latent), **figures}


def distill(
    method: Method,
    prior: DiffusersPrior,
    conditioning: Conditioning,
    rendered: Rendered,
    train: TrainConfig,
    progress: Progress,
) -> tuple[Gradient, Tensor, Tensor]:
    """The method's gradient, the picture that was encoded (B, 3, H, W), and the gradient on it.

    The picture is the colors or (as_latent) the disparity, perhaps mirrored. A pixel gradient compares
    colors, so it does not apply to disparity (the official code pushes it into the colors all the same).
    """
    g = generator(progress.seed, "encode", progress.step)
    as_latent, flip = (float(torch.rand(1, generator=g)) for _ in range(2))
    picture, colors = rendered.images, True
    if rendered.disparity is not None and as_latent < train.as_latent:
        picture, colors = rendered.disparity.expand(-1, 3, -1, -1), False
    if flip < train.flip:
        views = conditioning.views and conditioning.views.flipped()
        picture, conditioning = picture.flip(-1), replace(conditioning, views=views)
    shape = (len(picture), prior.latent_shape[0], *(side // prior.reduction for side in picture.shape[-2:]))
    leaf = picture.detach().requires_grad_(True)
    z_0 = prior.encode(leaf, noise=torch.randn(shape, generator=g))
    gradient = method(prior, z_0.detach().to(prior.alphas_cumprod.dtype), conditioning, progress)
    with prior.watch.part("vae"):
        (pull,) = torch.autograd.grad((z_0 * gradient.latent.to(z_0)).sum(), leaf)
    if gradient.pixel is not None and colors:
        pull = pull + gradient.pixel
    return gradient, picture, pull


def update(
    run: Run, config: GenerationConfig, seed: int, strategy: Any, rendered: Rendered, finite: Tensor
) -> Row:
    """Clip, control density, equalize brightness, step Adam; a step that is not finite changes nothing."""
    k = run.step + 1
    clip_gradients(run.params, config.optimizer, run.step)
    torch.manual_seed(derive_seed(seed, "density", run.step))  # gsplat draws from the global generator
    strategy.step_post_backward(
        run.params, run.optimizers, run.strategy_state, k, rendered.meta, packed=False
    )
    if k < config.optimizer.refine_stop and k % config.optimizer.reset_every == 0:
        # Opacity <- min(opacity, .01), its moments to 0; ours, since gsplat 1.5.3's condition is never true.
        reset_opa(run.params, run.optimizers, run.strategy_state, 2 * config.optimizer.prune_opacity)
    dimmed = equalize(run.params, run.optimizers, rendered.images, rendered.alphas, config.brightness, k)
    apply_updates(run.params, run.optimizers, config.optimizer, skip=~finite)
    return {"skipped": (~finite).float(), "dimmed": dimmed, "held_back": run.strategy_state["held_back"]}


def read_rows(rows: list[Row]) -> None:
    """Turn the newest rows' tensors into numbers (means), with one transfer for all of them."""
    pending = [
        (row, name)
        for row in takewhile(lambda row: any(isinstance(v, Tensor) for v in row.values()), reversed(rows))
        for name in row
        if isinstance(row[name], Tensor)
    ]
    if pending:
        values = torch.stack([row[name].float().mean() for row, name in pending]).tolist()
        for (row, name), value in zip(pending, values, strict=True):
            row[name] = value


def check_progress(run: Run, patience: int) -> None:
    """Raise AssetFailed if none of the last `patience` steps, which must have been read, changed anything."""
    last = run.rows[-patience:]
    if len(last) == patience and all(row["skipped"] for row in last):
        raise AssetFailed(f"{patience} gradients in a row were not finite, by step {run.step}")


def check_result(run: Run, most: float) -> None:
    """Raise AssetFailed if more than this share of the steps were skipped, or a parameter is not finite."""
    skipped = sum(bool(row["skipped"]) for row in run.rows)
    if skipped > most * len(run.rows):
        raise AssetFailed(f"{skipped} of {len(run.rows)} steps had gradients that were not finite")
    for name, value in run.params.items():
        if not bool(torch.isfinite(value).all()):
            raise AssetFailed(f"its {name} are not finite after step {run.step}")
