"""What surrounds a loss in a step: pixel gradients, skipped steps, brightness, Perp-Neg, half latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segmentdreamer.config import GenerationConfig, load_config
from segmentdreamer.interfaces import Gradient
from segmentdreamer.methods import load_method
from segmentdreamer.optimize import Run, distill, optimize, read_rows, start_run
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.view_prompts import ViewPrompts, embed_views, perp_neg_weights
from segmentdreamer.scene.brightness import BrightnessConfig, brightness, equalize
from segmentdreamer.scene.optimizer import OptimizerConfig, apply_updates, build_optimizers
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.stopwatch import Stopwatch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def prior() -> DiffusersPrior:
    return DiffusersPrior(ROOT / "toybox/models/prior")


def short(*overrides: str) -> GenerationConfig:
    settings = [f"prior.path={ROOT}/toybox/models/prior", "start.count=200", "train.steps=3", *overrides]
    return load_config("mini", settings)


def run_with(method: Any, prior: DiffusersPrior, *overrides: str) -> Run:
    config = short(*overrides)
    run = start_run({k: torch.nn.Parameter(v) for k, v in start_state(config.start, 0).items()}, config)
    prompts = embed_views(prior, "a yellow duck", config.prompts)
    optimize(run, method, prior, prompts, config, 0, Stopwatch())
    read_rows(run.rows)
    return run


@pytest.mark.parametrize("method", ["sds", "ism", "cds", "gcs", "sctd"])
def test_every_method_runs_on_the_shipped_prior_and_logs_numbers(prior: DiffusersPrior, method: str) -> None:
    run = run_with(load_method(method, {}), prior)
    assert all(isinstance(value, (int, float)) for row in run.rows for value in row.values())
    assert all(row["gradient_rms"] > 0 and row["skipped"] == 0 for row in run.rows)


@pytest.mark.parametrize("method", ["sds", "ism", "gcs", "sctd"])
def test_every_method_but_cds_runs_under_perp_neg(prior: DiffusersPrior, method: str) -> None:
    plain, steered = (
        run_with(load_method(method, {}), prior, f"prompts.perp_neg={on}") for on in ("false", "true")
    )
    guidances = 2 if method == "gcs" else 1
    assert steered.cost.nfe - plain.cost.nfe == 3 * load_config("mini").cameras.batch * 2 * guidances


def test_the_solver_can_round_as_the_official_code_does(prior: DiffusersPrior) -> None:
    half = DiffusersPrior(ROOT / "toybox/models/prior", latents=torch.float16)
    method = load_method("sctd", {"N": 5})
    full_rows, half_rows = (run_with(method, p).rows for p in (prior, half))
    assert half.alphas_cumprod.dtype == torch.float16
    assert half_rows[0]["gradient_rms"] == pytest.approx(full_rows[0]["gradient_rms"], rel=0.05)
    assert half_rows[0]["gradient_rms"] != full_rows[0]["gradient_rms"]


def test_the_unet_can_be_differentiated_behind_the_exported_one(prior: DiffusersPrior) -> None:
    cond = prior.encode_prompt(["a yellow duck, front view"])
    x = torch.randn(2, 4, 16, 16).requires_grad_(True)
    eps = prior.eps(x, 500, cond, graph=True)
    (gradient,) = torch.autograd.grad(eps.square().sum(), x)
    assert gradient.abs().max() > 0
    assert torch.allclose(eps, prior.eps(x.detach(), 500, cond), atol=1e-5)


@pytest.mark.parametrize(("every", "reset"), [(2, True), (3, False)])
def test_opacities_are_reset_to_a_hundredth_every_so_many_steps(
    prior: DiffusersPrior, every: int, reset: bool
) -> None:
    settings = (f"optimizer.reset_every={every}", "optimizer.refine_stop=100", "train.steps=2")
    run = run_with(load_method("sds", {}), prior, *settings, "start.opacity=0.2")
    opacities, moments = run.params["opacities"].sigmoid(), run.optimizers["opacities"].state
    assert bool((opacities <= 0.01 + 1e-6).all()) == reset and bool((opacities > 0.1).all()) != reset
    assert (float(moments[run.params["opacities"]]["exp_avg"].abs().sum()) == 0) == reset


class Encoder:
    """An autoencoder whose posterior is known: mean = the first channels, deviation .5."""

    reduction, scaling_factor = 1, 0.25
    predict = embed = decode = None

    def moments(self, images: Tensor) -> Tensor:
        mean = images[:, :2]
        return torch.cat([mean, torch.full_like(mean, 0.25).log()], 1)


def test_latents_are_a_sample_of_the_posterior_scaled() -> None:
    prior = DiffusersPrior(ROOT / "toybox/models/prior", networks=Encoder())
    images, noise = torch.rand(3, 3, 5, 5), torch.randn(3, 2, 5, 5)
    expected = 0.25 * (2 * images[:, :2] - 1 + 0.5 * noise)
    assert torch.allclose(prior.encode(images, noise), expected, atol=1e-6)
    assert torch.allclose(prior.encode(images), 0.25 * (2 * images[:, :2] - 1), atol=1e-6)


class PixelOnly:
    """A loss that asks for nothing but brighter pixels on the left half of what it sees."""

    def __call__(self, prior: Any, z_0: Tensor, conditioning: Any, progress: Any) -> Gradient:
        pixel = torch.zeros(len(z_0), 3, 64, 64)
        pixel[..., :32] = -1.0
        return Gradient(torch.zeros_like(z_0), pixel)


@pytest.mark.parametrize(("flip", "side"), [("0.0", slice(0, 32)), ("1.0", slice(32, 64))])
def test_a_pixel_gradient_belongs_to_the_picture_as_it_was_encoded(
    prior: DiffusersPrior, flip: str, side: slice
) -> None:
    """A mirrored batch is compared mirrored, and its gradient returns mirrored to the render."""
    on_images, _ = pulled(prior, f"train.flip={flip}")
    assert on_images[..., side].abs().sum() > 0
    assert on_images.abs().sum() == on_images[..., side].abs().sum()


def test_a_pixel_gradient_never_reaches_a_disparity_picture(prior: DiffusersPrior) -> None:
    on_images, on_picture = pulled(prior, "train.as_latent=1.0", "train.disparity=true")
    assert on_images is None and on_picture.abs().max() == 0


def pulled(prior: DiffusersPrior, *overrides: str) -> tuple[Tensor | None, Tensor]:
    """One step's gradient on the rendered images and on the encoded picture (B, 3, H, W)."""
    from segmentdreamer.interfaces import Progress
    from segmentdreamer.scene.cameras import training_cameras
    from segmentdreamer.scene.gaussians import activate
    from segmentdreamer.scene.render import render_training

    config = short(*overrides)
    params = {k: torch.nn.Parameter(v) for k, v in start_state(config.start, 0).items()}
    cameras = training_cameras(config.cameras, 0, 0, 64)
    rendered = render_training(activate(params), cameras, config.render, 0, 0, config.train.disparity)
    rendered = replace(rendered, images=rendered.images.detach().requires_grad_(True))
    conditioning = embed_views(prior, "a duck", config.prompts).conditioning(cameras.azimuth)
    _, picture, pull = distill(PixelOnly(), prior, conditioning, rendered, config.train, Progress(0, 3, 0))
    (picture * pull).sum().backward()
    return rendered.images.grad, pull


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(prior: DiffusersPrior) -> None:
    sctd, seen = load_method("sctd", {}), []

    def broken(prior: Any, z_0: Any, conditioning: Any, progress: Any) -> Gradient:
        gradient = sctd(prior, z_0, conditioning, progress)
        seen.append({k: v.detach().clone() for k, v in run.params.items()})
        return replace(gradient, latent=gradient.latent * float("nan")) if progress.step == 1 else gradient

    config = short()
    run = start_run({k: torch.nn.Parameter(v) for k, v in start_state(config.start, 0).items()}, config)
    optimize(run, broken, prior, embed_views(prior, "a duck", config.prompts), config, 0, Stopwatch())
    read_rows(run.rows)
    assert [row["skipped"] for row in run.rows] == [0, 1, 0]
    for name in seen[0]:
        assert not torch.equal(seen[0][name], seen[1][name])  # step 0 moved it
        assert torch.equal(seen[1][name], seen[2][name])  # step 1 did not


def colored(value: float) -> tuple[dict, dict]:
    params = {"sh0": torch.nn.Parameter(torch.full((5, 3), value))}
    optimizers = build_optimizers(params, OptimizerConfig())
    params["sh0"].grad = torch.ones(5, 3)
    apply_updates({"scales": params["sh0"]}, optimizers, OptimizerConfig(), torch.tensor(False))
    params["sh0"].grad = torch.ones(5, 3)
    return params, optimizers


def test_too_bright_a_batch_shrinks_the_colors_towards_gray() -> None:
    config = BrightnessConfig(enabled=True, first=3, last=10)
    white, alphas = torch.ones(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    cases = (
        (white, 5, 1.0),
        (white, 3, 1.0),
        (white, 10, 1.0),
        (white, 2, 0.0),
        (white, 11, 0.0),
        (0.8 * white, 5, 0.0),
    )
    for images, k, dimmed in cases:
        params, optimizers = colored(1.5)
        before = params["sh0"].detach().clone()
        assert float(equalize(params, optimizers, images, alphas, config, k)) == dimmed
        assert torch.allclose(params["sh0"], before * (0.8 if dimmed else 1.0))
        apply_updates({"scales": params["sh0"]}, optimizers, OptimizerConfig(), torch.tensor(False))
        assert torch.allclose(params["sh0"], before * 0.8) == bool(dimmed)  # its own update is skipped


def test_brightness_is_the_objects_and_not_the_backgrounds() -> None:
    images, alphas = torch.ones(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    images[..., :4], alphas[..., :4] = 0.3, 1.0
    assert float(brightness(images, alphas, BrightnessConfig())) == pytest.approx(0.3)
    assert float(brightness(images, alphas, BrightnessConfig(nonblack=True))) == pytest.approx(1.0)
    assert float(brightness(images, torch.zeros(1, 1, 8, 8), BrightnessConfig())) == 0.0


def test_brightness_is_a_quantile_over_pixels_and_again_over_images() -> None:
    levels = torch.linspace(0.1, 0.9, 64).reshape(1, 1, 8, 8)
    images = torch.cat([levels, 0.5 * levels.flip(-1, -2)]).expand(2, 3, 8, 8)
    config = BrightnessConfig(quantile=0.75)
    whole, half = (scale * float(torch.quantile(levels, 0.75)) for scale in (1.0, 0.5))
    found = float(brightness(images, torch.full((2, 1, 8, 8), 0.5), config))
    assert found == pytest.approx(half + 0.75 * (whole - half), abs=1e-6)
    assert float(brightness(images, torch.full((2, 1, 8, 8), 0.49), config)) == 0.0


def test_perp_neg_weights_are_the_official_ones() -> None:
    azimuth = torch.tensor([0.0, 9.0, 45.0, 81.0, 90.0, -90.0, 135.0, -135.0, 175.0])
    front, side = perp_neg_weights(azimuth)
    e = torch.exp
    assert front[:2].abs().max() == 0 and front[4:].eq(-2).all()
    assert torch.isclose(front[2], -2 * e(torch.tensor(-1.0)))
    assert torch.isclose(front[3], -2 * e(torch.tensor(-0.2)))
    assert torch.isclose(side[2], -2 * e(torch.tensor(-5.0))) and side[3] == 0
    assert side[4] == side[5] == 0 and side[6] == side[7]
    assert torch.isclose(side[6], -e(torch.tensor(-5.0)))


def test_perp_neg_steers_away_from_the_side_that_the_camera_is_on() -> None:
    words = torch.arange(4.0)[:, None, None].expand(4, 5, 6)
    prompts = ViewPrompts(words, words[:1], words[:1], "linear", perp_neg=True)
    c = prompts.conditioning(torch.tensor([30.0, -30.0]))
    assert c.perp is not None and c.perp.shape == (2, 2, 5, 6)
    assert c.perp[:, 0, 0, 0].tolist() == [0, 1] and c.perp[:, 1, 0, 0].tolist() == [0, 3]


def test_a_canonical_share_draws_every_view_to_the_front() -> None:
    words = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None, None].expand(4, 5, 6)
    azimuth = torch.tensor([0.0, 90.0, 180.0, -45.0])
    for share in (0.0, 0.5, 1.0):
        prompts = ViewPrompts(words, words[:1], words[:1], "linear", canonical=share)
        seen = prompts.conditioning(azimuth).cond[:, 0, 0]
        torch.testing.assert_close(seen, (1 - share) * torch.tensor([0.0, 1.0, 2.0, 1.5]))


def test_a_part_of_the_stopwatch_does_not_count_what_is_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 5.0, 5.5))  # outer, inner, its end, the outer's end
    monkeypatch.setattr("segmentdreamer.timing.stopwatch.time.perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch.part("outer"), watch.part("inner"):
        pass
    assert watch.seconds == {"inner": 4.0, "outer": 1.5}


@pytest.mark.cuda
@pytest.mark.parametrize("method", ["sds", "gcs", "sctd"])
def test_a_step_waits_for_the_device_in_gsplat_alone(method: str) -> None:
    """It counts the tiles that Gaussians meet; the next step's cameras and draws are made meanwhile."""
    from segmentdreamer.optimize import take_step
    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.scene.density import build_strategy
    from segmentdreamer.timing.step import count_waits, new_run

    config = short()
    on_cuda, loss = open_prior(config.prior, "cuda"), load_method(method, {})
    prompts = embed_views(on_cuda, "a duck", config.prompts)
    run, strategy = new_run(config, "cuda"), build_strategy(config.optimizer)

    def step() -> None:
        take_step(run, loss, on_cuda, prompts, config, 0, strategy, Stopwatch())

    for run.step in (0, 1):
        step()
    assert count_waits(step) <= 1
