"""What every registered method keeps to, one of your own too (`-k NAME` runs one).

On small random networks, with the hyper-parameters of the mini scale.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from segmentdreamer.checkpoint import load_checkpoint, save_checkpoint
from segmentdreamer.config import load_config
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Progress, Views
from segmentdreamer.methods import load_method, registry, trunk_settings
from segmentdreamer.optimize import Run, optimize, start_run
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.torch_networks import TorchNetworks
from segmentdreamer.prior.view_prompts import embed_views
from segmentdreamer.randomness import generator
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.stopwatch import Stopwatch
from segmentdreamer.timing.warmup import warm_up

PRIOR = Path(__file__).parents[2] / "toybox/models/prior"
ENTRIES = {name: entry for name, entry in registry().items() if "class" in entry}
STEPS, SIDE, WIDTH = 40, 8, 8  # of a run, of latents, of an embedding
SETTINGS = [
    "start.count=40",
    "render.size=16",
    "train.steps=6",
    "optimizer.refine_start=1",
    "optimizer.refine_every=2",
]

every_method = pytest.mark.parametrize("name", ENTRIES)


def build_prior(dtype: torch.dtype = torch.float32) -> DiffusersPrior:
    """Random networks of a few thousand weights, under the toybox's schedule."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    blocks: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    unet = UNet2DConditionModel(
        sample_size=SIDE,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        **blocks,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    down, up = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
    vae = AutoencoderKL(latent_channels=4, down_block_types=down, up_block_types=up, **blocks)

    def embed(texts: Any) -> torch.Tensor:
        return torch.stack([torch.randn(3, WIDTH, generator=generator(0, text)) for text in texts])

    networks = TorchNetworks(unet.to(dtype), vae.to(dtype), embed, "cpu")
    return DiffusersPrior(PRIOR, dtype=dtype, networks=networks)


@pytest.fixture(scope="module")
def prior() -> DiffusersPrior:
    return build_prior()


def load(name: str) -> Method:
    return load_method(name, load_config("mini").methods.get(name, {}))


def inputs(perp_neg: bool = False) -> tuple[torch.Tensor, Conditioning]:
    """Latents and conditioning of two views, which see half a ball from two sides."""
    g = torch.Generator().manual_seed(1)
    line = torch.linspace(-1, 1, 2 * SIDE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    inside = (x**2 + y**2 < 0.9).float()
    height = (1 - x**2 - y**2).clamp(min=0).sqrt()
    points = torch.stack([torch.stack([x, -height, -y]), torch.stack([-height, x, -y])])
    views = Views(torch.eye(4).repeat(2, 1, 1), inside.expand(2, 1, -1, -1), points)
    text = Conditioning(*(torch.randn(n, 3, WIDTH, generator=g) for n in (2, 1, 1)), views=views)
    text = replace(text, source=torch.randn(2, 3, WIDTH, generator=g))
    if perp_neg:
        text = replace(text, perp=torch.randn(2, 2, 3, WIDTH, generator=g), perp_weights=-torch.ones(2, 2))
    return torch.randn(2, 4, SIDE, SIDE, generator=g), text


def follow(method: Method, prior: DiffusersPrior, seed: int = 0, perp_neg: bool = False) -> list[Gradient]:
    """The gradients at four steps of a run, under one state."""
    z_0, text = inputs(perp_neg)
    state: dict[str, Any] = {}
    steps = (0, 1, STEPS // 2, STEPS - 1)
    return [method(prior, z_0, text, Progress(step, STEPS, seed, STEPS // 3, state)) for step in steps]


@every_method
def test_gradients_are_finite_and_shaped_as_what_they_pull(name: str, prior: DiffusersPrior) -> None:
    z_0, _ = inputs()
    for gradient in follow(load(name), prior):
        assert gradient.latent.shape == z_0.shape and gradient.latent.dtype == z_0.dtype
        assert torch.isfinite(gradient.latent).all() and gradient.latent.abs().max() > 0
        assert not gradient.latent.requires_grad
        if gradient.pixel is not None:
            assert gradient.pixel.shape == (2, 3, 2 * SIDE, 2 * SIDE)
            assert torch.isfinite(gradient.pixel).all()
        assert all(torch.as_tensor(value).float().isfinite().all() for value in gradient.scalars.values())


@every_method
def test_a_run_belongs_to_its_seed_and_to_no_run_before_it(name: str, prior: DiffusersPrior) -> None:
    method = load(name)
    alone, other, again = (
        follow(used, prior, seed) for used, seed in ((load(name), 1), (method, 2), (method, 1))
    )
    for one, two, three in zip(alone, again, other, strict=True):
        assert torch.equal(one.latent, two.latent)
        assert not torch.equal(one.latent, three.latent)


@every_method
@pytest.mark.parametrize("guidance", ["cfg", "perp_neg"])
def test_a_step_asks_for_as_many_rows_as_its_entry_declares(
    name: str, guidance: str, prior: DiffusersPrior
) -> None:
    declared, method = ENTRIES[name]["rows"], load(name)
    assert (("perp_neg" in declared), "cfg" in declared) == (getattr(method, "has_perp_neg", True), True)
    if guidance not in declared:
        return
    rows = declared[guidance]
    least, most = rows if isinstance(rows, list) else (rows, rows)
    (z_0, text), found = inputs(guidance == "perp_neg"), set()
    for step in (0, 7, 22, STEPS - 1):
        before = prior.nfe
        method(prior, z_0, text, Progress(step, STEPS, 0, STEPS // 3))
        found.add((prior.nfe - before) / len(z_0))
    assert least <= min(found) <= max(found) <= most


@every_method
def test_a_run_goes_on_from_any_step_to_the_same_bytes(
    name: str, prior: DiffusersPrior, tmp_path: Path
) -> None:
    config = load_config("mini", [*trunk_settings(name), *SETTINGS])
    method, steps = load(name), config.train.steps
    prompts = embed_views(prior, "a duck", config.prompts, method)
    cut = random.Random(name).randrange(1, steps)

    def save(run: Run) -> None:
        if run.step == cut:
            save_checkpoint(run, tmp_path / "run.pt", "key")

    def go_on(run: Run, after_step: Any = lambda run: None) -> Run:
        return optimize(run, method, prior, prompts, config, 0, Stopwatch(), after_step)

    straight = go_on(start_run(start_state(config.start, 0), config), save)
    resumed = load_checkpoint(tmp_path / "run.pt", "key", config, "cpu")
    assert resumed is not None and resumed.step == cut
    warm_up(resumed, method, prior, prompts, config, 0)  # which leaves no trace
    go_on(resumed)
    assert all(torch.equal(resumed.params[key], value) for key, value in straight.params.items())


@every_method
def test_networks_in_half_precision_leave_latents_as_they_are(name: str, prior: DiffusersPrior) -> None:
    exact, rounded = (follow(load(name), each) for each in (prior, build_prior(torch.float16)))
    for two in rounded:
        assert two.latent.dtype == torch.float32 and torch.isfinite(two.latent).all()
    assert (exact[0].latent - rounded[0].latent).norm() < 0.2 * exact[0].latent.norm()


@every_method
def test_no_view_depends_on_another_one_unless_the_entry_says_so(name: str, prior: DiffusersPrior) -> None:
    """`independent: false` in an entry says that views of one batch depend on one another."""
    if not ENTRIES[name].get("independent", True):
        return
    z_0, text = inputs()
    other = torch.cat([z_0[:1], -z_0[1:]])
    first, second = (load(name)(prior, z, text, Progress(30, STEPS, 0, 10)).latent[0] for z in (z_0, other))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
